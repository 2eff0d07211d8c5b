"""What tests make up: records, the settings of jobs that take seconds, and an answer's files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from assay import record
from assay.answer import model
from assay.answer.model import Answer
from assay.record import Conditions, Provenance, Record, Status, Trial

PROTOCOL: Mapping[str, Any] = {
    "confidence": 0.95,
    "rounds_least": 20,
    "rounds_most": 100,
    "look_every": 10,
    "cap_s": 4,
    "patience": 1,
    "operand_sets": 2,
    "operand_sets_least": 2,
    "operand_bytes": 0,
    "void_delay_share": 0.02,
    "void_clock_share": 0.75,
}
PACE: Mapping[str, Any] = {
    "half_width": 0.5,
    "block_s": 5e-4,
    "block_least_s": 1e-5,
    "lead_in_s": 0,
    "energy_s": 0.02,
    "warmup_calls": 1,
    "warmup_s": 0.01,
    "settle_s": 0.01,
}
# Nothing is void: a busy neighbour of the tests must not change what they see.
QUICK: Mapping[str, Any] = {
    **PROTOCOL,
    **{"rounds_least": 6, "rounds_most": 6, "void_delay_share": 1},
    **{"cpu": dict(PACE), "gpu": dict(PACE)},
}


def make_record(study: str, axes: dict[str, Any], trials: list[Trial], **changes: Any) -> Record:
    """A record that a test makes up."""
    values: dict[str, Any] = {
        "study": study,
        "axes": axes,
        "status": Status.OK,
        "reason": None,
        "settings": {"protocol": dict(PROTOCOL), "anchor": 1024},
        "trials": trials,
        "conditions": Conditions(
            threads_asked=2,
            threads_used=2,
            contention={
                "delay_share": 0.0,
                "cpu_per_thread": 1.0,
                "steal_share": 0.0,
                "pressure_share": 0.0,
            },
            gpu=None,
        ),
        "provenance": Provenance(
            commit=None,
            dirty=None,
            versions={"python": "3"},
            machine_id="synthetic",
            started="2026-01-01T00:00:00+00:00",
            duration_s=1.0,
        ),
    }
    return Record(**(values | changes))


def with_status(made: Record, status: Status, *which: int) -> Record:
    """The record with some trials, or all, as they are when they end in another status."""
    trials = [
        t.model_copy(update={"status": status, "result": {}}) if not which or i in which else t
        for i, t in enumerate(made.trials)
    ]
    return made.model_copy(update={"trials": trials})


def answered(
    script: ModuleType, folder: Path, records: Iterable[Record], *arguments: str
) -> Answer:
    """Answer from records as the workflow does: ``table.csv``, ``figure.svg``, ``answer.json``."""
    paths = []
    for i, each in enumerate(records):
        paths.append(folder / f"{i}.json")
        record.write(paths[-1], each)
    ends = (("table", "csv"), ("figure", "svg"), ("answer", "json"))
    out = [f"--{kind}={folder / kind}.{end}" for kind, end in ends]
    about = json.dumps({"title": "t", "exercise": "e"})
    script.main(["--about", about, *arguments, *out, *map(str, paths)])
    assert "<svg" in (folder / "figure.svg").read_text(encoding="utf-8")
    return model.read(folder / "answer.json")
