"""A measuring job: its arguments, the conditions it ran under, and the record it leaves.

Every ``measure_<study>.py`` is ``run(study, axes, measure)`` around one function that takes a
:class:`Job` and returns its trials.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import torch

from assay import contention, device, energy, environment, machine, record, yardstick
from assay.record import Conditions, DatasetInfo, Provenance, Record, Status, Trial

PACKAGES = ("torch", "numpy", "scipy", "pydantic", "psutil", "nvidia-ml-py", "snakemake")
ROOT = Path(__file__).resolve().parents[3]
OCCASION = "occasion"  # the axis of a study that measures its cells more than once
# How allocators call it: the CPU's, the system's, CUDA's runtime, cuBLAS's and cuDNN's.
NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "DataLoader worker (pid",  # killed: for want of memory, or of that which it shares with us
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)
# CUDA's errors after which every later call of a process fails, too, and how its libraries tell
# them (or, of a handle, that there is no memory left for it).
LOST = (
    "illegal memory access",
    "illegal instruction",
    "unspecified launch failure",
    "launch timed out",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "CUDA error: unknown error",
    "GPU is lost",
    "STATUS_EXECUTION_FAILED",
    "STATUS_NOT_INITIALIZED",
)
SEEDS_APART = 1_000_003  # seeds of an occasion; scripts add small numbers to theirs
AT_WORK_S = 0.05  # of products, to see how many threads compute


class Data(Protocol):
    """What a study learns from; it knows where it came from."""

    @property
    def info(self) -> DatasetInfo:
        """For the record's provenance."""


@dataclass(frozen=True)
class Job:
    """What a measuring function is given."""

    axes: dict[str, Any]  # the wildcards of the record's path, ``device`` is the label
    settings: dict[str, Any]  # everything else from the configuration; the occasion's own seed
    device: torch.device
    data: Any = None  # what ``read_data`` of :func:`run` returned, for a study that learns


Measure = Callable[[Job], list[Trial]]


def run(
    study: str,
    axes: Mapping[str, Callable[[str], Any]],
    measure: Measure,
    argv: Sequence[str] | None = None,
    read_data: Callable[[Path], Data] | None = None,
) -> None:
    """Parse the arguments, measure, and write the record.

    Args:
        study: Name of the study; its defaults are the block of that name in ``config.yaml``.
        axes: The axes of the study besides the device, each with the type of its values.
        measure: Does the measuring.
        argv: The command line; that of the process when None.
        read_data: Reads the data set, for a study that learns from one.

    Raises:
        SystemExit: The data set cannot be read, or the record not be written, with one sentence
            that names the file.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    parser = _parser(study, axes)
    if read_data:
        parser.add_argument("--dataset", type=Path, required=True, help="what fetch_dataset wrote")
    arguments = parser.parse_args(argv)
    if argv is None:  # a program of its own
        environment.name_user()
        environment.start_again(arguments.threads or os.cpu_count() or 1)
        # No collection need look at what was imported: neither one while something is timed, nor
        # that at the end of the process, which takes a quarter of a second in which nothing runs.
        gc.freeze()
    if arguments.settings is None:
        arguments.settings = _configured(study)
    data = _read(read_data, arguments.dataset) if read_data else None
    values = {"device": arguments.label or _label(arguments.device)}
    values |= {name: getattr(arguments, name) for name in axes}
    threads = device.use_threads(arguments.threads)
    at_work = threads_at_work(threads)
    steady = yardstick.read() if has_the_cores(threads) else {}
    before = contention.read()
    trials, status, reason = _measure(arguments, values, data, measure)
    conditions = Conditions(
        threads_asked=arguments.threads,
        threads_used=threads,
        threads_at_work=at_work,
        yardstick=steady,
        environment=environment.told(os.environ),
        contention=asdict(contention.between(before, contention.read(), threads)),
        gpu=machine.gpu_conditions(torch.device(arguments.device)) if trials else None,
        energy=energy.told(torch.device(arguments.device)) if trials else None,
    )
    provenance = Provenance(
        **_commit(),
        versions=_versions(),
        machine_id=machine.machine_id(),
        dataset=data.info if data else None,
        started=started.isoformat(timespec="seconds"),
        duration_s=time.perf_counter() - clock,
    )
    _write(
        arguments.output,
        Record(
            study=study,
            axes=values,
            status=status,
            reason=reason,
            settings=arguments.settings,
            trials=trials,
            conditions=conditions,
            provenance=provenance,
        ),
    )


def _write(path: Path, measured: Record) -> None:
    try:
        record.write(path, measured)
    except OSError as error:
        raise SystemExit(
            f"{path}: cannot be written ({error.strerror}). Nothing of this measurement was kept: "
            "make room, or choose another folder (snakemake --directory), and run again."
        ) from error


def _measure(
    arguments: argparse.Namespace, axes: dict[str, Any], data: Data | None, measure: Measure
) -> tuple[list[Trial], Status, str | None]:
    """Measure; what this machine lacks becomes a status with its reason, a bug stays a crash."""
    try:
        place = device.connect(arguments.device)
        trials = measure(Job(axes, _on_occasion(arguments.settings, axes), place, data))
    except device.Unavailable as missing:
        return [], Status.UNAVAILABLE, str(missing)
    except (MemoryError, OSError, RuntimeError, TypeError) as error:
        first = device.first_line(error)
        if is_missing_dtype(error):
            return [], Status.UNAVAILABLE, first
        if is_out_of_memory(error):
            return [], Status.OUT_OF_MEMORY, f"out of memory: {first}"
        if is_lost(error):
            return [], Status.UNAVAILABLE, f"{device.FAILED}: {first}"
        raise
    return trials, *summarize(trials)


def _on_occasion(settings: dict[str, Any], axes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the seed of the occasion, whose operands and order are then its own."""
    later = axes.get(OCCASION, 1) - 1
    return settings | {"seed": settings["seed"] + later * SEEDS_APART} if later else settings


def names(known: Iterable[str]) -> Callable[[str], str]:
    """The type of an axis whose values are names, where names joined by + share a job.

    Raises:
        argparse.ArgumentTypeError: In a call; one of the names is not known.
    """
    listed = [*known]

    def checked(text: str) -> str:
        unknown = [name for name in text.split("+") if name not in listed]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(unknown)}; known, to be joined by +: {', '.join(listed)}"
            )
        return text

    return checked


def one_of(known: Iterable[str]) -> Callable[[str], str]:
    """The type of an axis whose values are these names.

    Raises:
        argparse.ArgumentTypeError: In a call; the name is none of them.
    """
    listed = [*known]

    def checked(text: str) -> str:
        if text not in listed:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(listed)}")
        return text

    return checked


def threads_at_work(threads: int) -> float | None:
    """How many threads compute in a product that is large enough for all of them.

    By their CPU time, with what they waited for a core. None where one was asked for.
    """
    if threads == 1:
        return None
    a = torch.ones(2 * [128 * math.ceil(math.sqrt(threads))])
    torch.mm(a, a)  # starts the threads
    before, end = contention.read(), time.perf_counter() + AT_WORK_S
    while time.perf_counter() < end:
        torch.mm(a, a)
    seen = contention.between(before, contention.read(), threads=1)
    computed = seen.cpu_per_thread or 0.0
    return computed / (1 - (seen.delay_share or 0.0))


def has_the_cores(threads: int) -> bool:
    """Whether nothing of ours runs beside this job: jobs that do not time have one thread each."""
    return threads > 1 or device.usable_cores() == 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; some allocators raise a plain RuntimeError for it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or _says(error, NO_MEMORY)


def is_lost(error: BaseException) -> bool:
    """Whether a GPU failed so that this process can use it no more."""
    return isinstance(error, RuntimeError) and _says(error, LOST)


def _says(error: BaseException, spellings: Iterable[str]) -> bool:
    text = str(error).lower()
    return any(each.lower() in text for each in spellings)


def is_missing_dtype(error: BaseException) -> bool:
    """Whether the device lacks a number format: Apple's GPUs and some Intel's have no float64."""
    return (isinstance(error, TypeError) and "MPS" in str(error)) or "aspect fp64" in str(error)


def summarize(trials: Sequence[Trial]) -> tuple[Status, str | None]:
    """A job's status: ok when any of its trials is, else that of its first trial."""
    if not trials or any(trial.status == Status.OK for trial in trials):
        return Status.OK, None
    return trials[0].status, trials[0].reason


def _label(name: str) -> str:
    """The label of a device given by its torch name: ``cuda:1`` becomes ``cuda_1``."""
    return name.replace(":", "_")


def _read(read_data: Callable[[Path], Data], path: Path) -> Data:
    try:
        return read_data(path)
    except record.InputError as error:
        raise SystemExit(str(error)) from error


def _parser(study: str, axes: Mapping[str, Callable[[str], Any]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=f"Measure {study}: one job, one JSON record.")
    parser.add_argument("--device", default="cpu", help="torch device: cpu, cuda:0, mps (cpu)")
    parser.add_argument("--label", help="what the record calls the device (its name)")
    for name, kind in axes.items():
        first = {"default": 1} if name == OCCASION else {"required": True}
        parser.add_argument(f"--{name}", type=kind, help=f"value of the axis {name}", **first)
    parser.add_argument("--threads", type=int, help="CPU threads (every usable core)")
    parser.add_argument(
        "--settings",
        type=json.loads,
        help="JSON object with the other settings (those of config.yaml)",
    )
    parser.add_argument("--output", type=Path, required=True, help="file to write the record to")
    return parser


def _configured(study: str) -> dict[str, Any]:
    """The settings that the workflow would give, for a person who runs a script by hand."""
    import yaml

    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    shared = {"seed": config["seed"], "protocol": config["protocol"]}
    settings: dict[str, Any] = config["studies"][study]["settings"]
    return shared | settings


def _commit() -> dict[str, Any]:
    """Commit and dirty flag of the workflow's own folder; null outside a git checkout.

    Whose folder it is does not matter: the code in it runs anyway.
    """
    owned = ("-c", f"safe.directory={ROOT}", "-c", "core.fsmonitor=false")

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *owned, "-C", str(ROOT), *arguments],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return {"commit": None, "dirty": None}  # a copy inside somebody else's repository
        status = git("status", "--porcelain", "--untracked-files=no")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(status)}
    except (OSError, subprocess.CalledProcessError):  # no git, or one that refuses all the same
        return {"commit": _head(ROOT / ".git"), "dirty": None}


def _head(git: Path) -> str | None:
    """The commit that is checked out, by the files in a folder ``.git``; None where none is."""
    head = machine.text(git / "HEAD")
    name = head.removeprefix("ref: ")
    if name == head:  # a commit itself, or nothing
        return head or None
    packed = re.search(rf"^(\w+) {re.escape(name)}$", machine.text(git / "packed-refs"), re.M)
    return machine.text(git / name) or (packed[1] if packed else None)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions | {"torch": torch.__version__}
