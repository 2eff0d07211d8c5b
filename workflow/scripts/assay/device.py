"""Device labels and what stands behind them; what is there, and why not.

A *label* (``cpu``, ``gpu1``, ``h100``) is what paths and figures say; a *device* (``cpu``,
``cuda:1``) is what torch is asked for. Importing this module imports no torch, so that the
workflow can resolve labels while its files are read.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NUMBERED = ("cuda", "xpu")  # kinds of which a machine may have several
FAILED = "the GPU failed, nothing was kept"  # begins the reason of a record that is unavailable so


class Unavailable(Exception):
    """What was asked for is not on this machine; the message is the reason, one sentence."""


def first_line(error: BaseException) -> str:
    """What an error says first."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def visible_gpus() -> int:
    """Number of NVIDIA GPUs that NVML shows and CUDA_VISIBLE_DEVICES lets through.

    One that is lost or that this user may not use does not hide the others.
    """
    return count_visible(gpus()[0], os.environ.get("CUDA_VISIBLE_DEVICES"))


def gpus() -> tuple[list[str], list[str]]:
    """The UUIDs of the GPUs that NVML shows, and those that it refuses, each with its reason."""
    import pynvml

    return _of_each_gpu(pynvml.nvmlDeviceGetUUID)


def gpus_in_sight() -> str | None:
    """A hash of the GPUs that NVML shows, and of which are visible; None where it shows none."""
    shown = gpus()[0]
    told = repr((shown, os.environ.get("CUDA_VISIBLE_DEVICES")))
    return hashlib.sha256(told.encode()).hexdigest()[:16] if shown else None


def gpu_models() -> set[str]:
    """The models of the GPUs that NVML shows."""
    import pynvml

    return {*_of_each_gpu(pynvml.nvmlDeviceGetName)[0]}


def _of_each_gpu(asked: Callable[[Any], str]) -> tuple[list[str], list[str]]:
    """What NVML tells of every GPU, and those that it refuses, each with its reason."""
    import pynvml

    shown, refused = [], []
    try:
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                shown.append(str(asked(pynvml.nvmlDeviceGetHandleByIndex(index))))
            except pynvml.NVMLError as error:  # lost, or not this user's
                refused.append(f"GPU {index} ({error})")
    except pynvml.NVMLError:
        pass
    return shown, refused


def count_visible(uuids: list[str], visible: str | None) -> int:
    """How many of the GPUs a value of CUDA_VISIBLE_DEVICES lets through.

    As CUDA and torch read it (``torch.cuda._parse_visible_devices``): the first entry decides
    whether the list is of UUIDs or of numbers; it counts up to the first entry that names no GPU; a
    repeated entry makes it empty; of a GPU's parts (MIG) one is used.
    """
    if visible is None:
        return len(uuids)
    entries = visible.split(",")
    if visible.startswith("MIG-"):
        parts = [*takewhile(lambda entry: entry.startswith("MIG-"), entries)]
        return 0 if _repeats(parts) else 1
    if visible.startswith("GPU-"):
        named = [*takewhile(lambda entry: entry.startswith("GPU-"), entries)]
        found = [*takewhile(lambda index: index >= 0, (_by_uuid(each, uuids) for each in named))]
        return 0 if _repeats(named) or _repeats(found) else len(found)
    numbers = [*takewhile(lambda number: number >= 0, map(_leading_number, entries))]
    return 0 if _repeats(numbers) else len([*takewhile(lambda n: n < len(uuids), numbers)])


def _repeats(values: Sequence[Any]) -> bool:
    return len(set(values)) < len(values)


def _by_uuid(entry: str, uuids: list[str]) -> int:
    """The one GPU whose UUID begins so; −1 for none or several."""
    matches = [i for i, uuid in enumerate(uuids) if uuid.startswith(entry)]
    return matches[0] if len(matches) == 1 else -1


def _leading_number(entry: str) -> int:
    """The number that an entry begins with, as C's strtoul reads it; −1 for none."""
    match = re.match(r"[+-]?\d+", entry.strip())
    return int(match[0]) if match else -1


def behind(label: str) -> str:
    """The device that a bare label stands for.

    ``gpu`` is ``cuda:0``, ``gpu1`` is ``cuda:1``, ``xpu1`` is ``xpu:1``; others are their own.
    """
    match = re.fullmatch(r"(gpu|cuda|xpu)_?(\d*)", label)
    if not match:
        return label
    kind, number = match.groups()
    return f"{'xpu' if kind == 'xpu' else 'cuda'}:{number or 0}"


def resolve(devices: str | list[str] | dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The labels of a configuration, each with at least the key ``device``.

    Args:
        devices: ``"all"`` (the CPU and every GPU that NVML shows), ``"auto"`` (the same, but of
            GPUs that are all of one model the first), a list of labels, or a mapping of labels to
            ``{device: …}``.
    """
    if devices in ("auto", "all"):
        count = visible_gpus()
        if devices == "auto" and len(gpu_models()) == 1:
            count = min(count, 1)
        devices = ["cpu", *(["gpu"] if count == 1 else [f"gpu{i}" for i in range(count)])]
    if isinstance(devices, dict):
        return devices
    return {label: {"device": behind(label)} for label in devices}


def usable_cores() -> int:
    """Cores this process may use: its affinity, cut by a control group's quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    quota = own_cpu_quota()
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def own_cpu_quota() -> float | None:
    """The tightest quota on this process in cores; None where there is none."""
    quotas = map(cpu_quota, control_groups("cpu"))
    return min((quota for quota in quotas if quota is not None), default=None)


def control_groups(
    controller: str, membership: str | None = None, root: Path = Path("/sys/fs/cgroup")
) -> list[Path]:
    """Folders of this process's control group and of all groups above it, version 2 or 1.

    Args:
        controller: ``cpu`` or ``memory``.
        membership: Text of ``/proc/<pid>/cgroup``; that of this process when None.
        root: Where the control groups are mounted.
    """
    if membership is None:
        try:
            membership = Path("/proc/self/cgroup").read_text()
        except OSError:  # not Linux
            return []
    folders = []
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        group = _below(base, path)
        folders += [each for each in (group, *group.parents) if each.is_relative_to(base)]
    return folders


def _below(base: Path, path: str) -> Path:
    """Where a control group lies below its mount.

    Inside a container the mount begins further down than the path, which may be the host's: its
    first parts are left out until it leads somewhere.
    """
    parts = Path(path.lstrip("/")).parts
    ways = (base.joinpath(*parts[first:]) for first in range(len(parts)))
    return next((way for way in ways if way.exists()), base.joinpath(*parts))


def cpu_quota(group: Path) -> float | None:
    """CPU quota of one control group in cores, version 2 or 1; None where there is none."""
    try:
        limit, period = (group / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        pass
    try:
        limit = (group / "cpu.cfs_quota_us").read_text()
        period = (group / "cpu.cfs_period_us").read_text()
        return int(limit) / int(period) if int(limit) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def use_threads(asked: int | None) -> int:
    """Let torch use as many threads as were asked for and the process may use; return how many."""
    import torch

    torch.set_num_threads(max(1, min(asked or usable_cores(), usable_cores())))
    return torch.get_num_threads()


def connect(name: str) -> torch.device:
    """The torch device that :func:`reach` finds, made the current one.

    What torch does without being told a device happens there from now on.

    Raises:
        Unavailable: Torch does not know the device, or cannot use it here.
    """
    import torch

    device = reach(name)
    if device.type in NUMBERED:
        torch.accelerator.set_device_index(device.index)
    return device


def reach(name: str) -> torch.device:
    """The torch device of that name, with its number, after it did a small piece of work.

    Raises:
        Unavailable: Torch does not know the device, or cannot use it here.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise Unavailable(
            f"torch knows no device {name!r}; use cpu, cuda:0, mps or xpu:0"
        ) from None
    if device.type in NUMBERED and device.index is None:
        device = torch.device(device.type, 0)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise Unavailable(_why_no_cuda())
        if device.index >= torch.cuda.device_count():
            raise Unavailable(
                f"needs GPU {device.index}, but torch sees {torch.cuda.device_count()} "
                f"(numbered from 0)"
            )
    try:
        torch.ones(1, device=device).add_(1).item()
    except (
        RuntimeError,
        AssertionError,
        NotImplementedError,
        torch.cuda.DeferredCudaCallError,  # NVML counts more GPUs than CUDA lets torch use
    ) as error:
        raise Unavailable(f"torch cannot use {name} here: {first_line(error)}") from None
    return device


def _why_no_cuda() -> str:
    import torch

    if torch.version.cuda is None:
        return f"no GPU: torch {torch.__version__} was built without CUDA"
    if visible_gpus() == 0:
        _, refused = gpus()
        hint = f" and refuses {', '.join(refused)}" if refused else ""
        hint += " (CUDA_VISIBLE_DEVICES is set)" if "CUDA_VISIBLE_DEVICES" in os.environ else ""
        return f"no GPU: the NVIDIA driver shows none{hint}"
    return (
        f"the NVIDIA driver shows a GPU, but torch {torch.__version__} cannot use it: "
        f"CUDA {torch.version.cuda} may want a newer driver"
    )
