"""The figures of a published method and of the right one, under the names of the cited table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from assay.job import Job
from assay.record import Trial
from assay.timing import trial
from assay.timing.clock import Clock
from assay.timing.trial import Protocol, Work

AS_PUBLISHED, CORRECTED = "as published", "corrected"

Figure = dict[str, JsonValue]  # value, and where there is an interval low and high


def of_method(method: str, figures: Mapping[str, Figure], **more: JsonValue) -> Trial:
    """The figures of one method, as a trial."""
    return Trial(what={"method": method}, result={"figures": dict(figures), **more})


def compare(job: Job, clock: Clock, works: Mapping[str, Work[Any]], per_call: float = 1.0) -> Trial:
    """One paired trial of works, the first of which is the anchor.

    Args:
        job: The job.
        clock: The clock of all works.
        works: The works by the names of their figures.
        per_call: How many calls one figure stands for.
    """
    protocol, seed = Protocol.of_study(job.settings, job.device), job.settings["seed"]
    (anchor, first), *others = works.items()
    trial.settle(first, protocol, clock, seed)
    what: dict[str, JsonValue] = {"method": CORRECTED, "anchor": anchor}
    measured = trial.compare(what, first, dict(others), protocol, clock, seed)
    arms: Any = measured.result.get("arms", {})
    measured.result["figures"] = {
        anchor if name == trial.ANCHOR else name: {
            key: per_call * arm[f"time_{part}_s"]
            for key, part in (("value", "median"), ("low", "low"), ("high", "high"))
        }
        for name, arm in arms.items()
        if name != trial.TWIN
    }
    return measured


def add_ratio(measured: Trial, target: str, name: str) -> None:
    """Add the paired ratio of a target to the anchor to the figures."""
    ratios: Any = measured.result.get("ratios")
    if not ratios:
        return
    value, low, high = (ratios[target][key] for key in ("ratio", "ratio_low", "ratio_high"))
    figures: Any = measured.result["figures"]
    figures[name] = {"value": value, "low": low, "high": high}
