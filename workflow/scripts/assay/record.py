"""The JSON record: what one measuring job leaves on disk.

A record is written atomically and read strictly: a file that is cut short, of another format
number, or of another shape is refused with one sentence that names it.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

FORMAT = 1  # also the literal in Record
SIMULATED = "Simulated "  # begins the name of a card that does not exist (tests/gpu_sim)


class InputError(ValueError):
    """A file cannot be used; the message is one sentence that names it."""


class RecordError(InputError):
    """A file is not a record that this version reads."""


class Phase(StrEnum):
    """What a training is for: to choose a learning rate, or to be compared."""

    TUNING = "tuning"
    TRAINING = "training"


class Status(StrEnum):
    """How a job or a trial ended. All of them are results, none is a crash."""

    OK = "ok"
    UNAVAILABLE = "unavailable"  # the hardware, kernel or compiler is not here
    SKIPPED = "skipped"  # would take longer than its budget
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    CONTENDED = "contended"  # something else used the machine
    REFUSED = "refused"  # the figure contradicts physics or its own control


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Trial(_Model):
    """One measurement inside a job."""

    what: dict[str, JsonValue] = Field(description="What was measured: dtype, layout, item, …")
    status: Status = Status.OK
    reason: str | None = Field(None, description="Why the status is not ok, for a person to act on")
    samples: dict[str, list[float | bool | str | None]] = Field(
        default_factory=dict, description="Every round, column by column; `void` marks void rounds"
    )
    result: dict[str, JsonValue] = Field(
        default_factory=dict, description="The summary, with the unit in each key"
    )


class Conditions(_Model):
    """Under which conditions a job ran; null where the machine does not tell."""

    threads_asked: int | None = Field(description="Threads the workflow gave to the job")
    threads_used: int = Field(description="Threads that torch reported")
    threads_at_work: float | None = Field(
        None, description="Threads that computed in a product of all of them, by their CPU time"
    )
    yardstick: dict[str, float] = Field(
        default_factory=dict,
        description="Seconds of the same product and the same copy, in a job that runs alone",
    )
    environment: dict[str, str] = Field(
        default_factory=dict, description="Variables of the shell that can change numbers"
    )
    contention: dict[str, float | None] = Field(
        description="delay_share, cpu_per_thread, steal_share, pressure_share, throttled_share "
        "over the whole job"
    )
    gpu: dict[str, JsonValue] | None = Field(
        description="Clocks, temperature, power, throttle reasons and other processes at the end"
    )
    energy: dict[str, str] | None = Field(
        None, description="source: what counts the device's energy (nvml, rapl), or reason: why not"
    )


class DatasetInfo(_Model):
    """Which data set a job learned from."""

    name: str = Field(description="fashion-mnist, or fashion-mnist-10k for the embedded sample")
    asked: str = Field(description="Which of them the configuration asked for")
    source: str = Field(description="folder, installed, torchvision, apt or embedded sample")
    reason: str | None = Field(description="Why it is not what was asked for, if it is not")
    digest: str = Field(description="SHA-256 of its arrays")


class Provenance(_Model):
    """Where a record comes from."""

    commit: str | None = Field(description="Commit of the workflow, null outside a git checkout")
    dirty: bool | None = Field(description="Whether tracked files differed from that commit")
    versions: dict[str, str] = Field(description="Python and the packages that matter")
    machine_id: str = Field(description="A hash that tells machines apart; holds no name")
    dataset: DatasetInfo | None = Field(None, description="The data set, if one was used")
    started: str = Field(description="ISO 8601, UTC")
    duration_s: float = Field(description="From the start of the script to the writing, in seconds")


class Record(_Model):
    """One job, one file."""

    format: Literal[1] = 1
    study: str = Field(description="Which measuring script wrote it")
    axes: dict[str, JsonValue] = Field(description="Exactly the wildcards of its path")
    status: Status
    reason: str | None
    settings: dict[str, JsonValue] = Field(description="What else the script was given")
    trials: list[Trial]
    conditions: Conditions
    provenance: Provenance


def schema() -> dict[str, Any]:
    """The JSON schema of a record, as kept in ``workflow/schemas/record.schema.json``."""
    return Record.model_json_schema()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees all of it or nothing, whatever is killed when.

    Text is written in UTF-8.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
            with suppress(PermissionError):  # on Windows' disks, seen from its Linux, all may read
                os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The umask, which can only be read by setting it; mkstemp ignores it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write(path: Path, record: Record) -> None:
    """Write a record atomically.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    write_atomically(path, record.model_dump_json(indent=1) + "\n")


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: The file is missing, cut short, of another format number or of another shape.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise RecordError(
            f"{path}: not a whole JSON file ({error}). Delete it and run again."
        ) from error
    number = raw.get("format") if isinstance(raw, dict) else None
    if number != FORMAT:
        raise RecordError(
            f"{path}: a record of format {number!r}, but this version reads format {FORMAT}. "
            "Delete it and run again, or read it with the version that wrote it."
        )
    try:
        return Record.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"{path}: not a valid record ({where}: {first['msg']}). Delete it and run again."
        ) from error


if __name__ == "__main__":  # python workflow/scripts/assay/record.py prints the schema
    print(json.dumps(schema(), indent=2))
