"""Time sizes near the anchor in the same rounds, so that contrasts between them can be told.

python workflow/scripts/measure_contrast.py --device cpu --occasion 1 --output contrast.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from assay import job
from assay.job import Job
from assay.record import Status, Trial
from assay.timing import contrast, proof, trial
from assay.timing.clock import Clock, clock_for
from assay.timing.dtypes import DTYPES, precisions, require
from assay.timing.product import name_kernel, product, prove, settle, tell_too_slow
from assay.timing.trial import ANCHOR, Protocol, Work


def measure(job: Job) -> list[Trial]:
    """One trial per dtype; its arms are the anchor and all sizes."""
    settings, place = job.settings, job.device
    protocol = Protocol.of_study(settings, place)
    clock = clock_for(place)
    settle(settings["anchor"], protocol, clock)
    names = precisions(settings["dtypes"], place)
    trials = [_trial(name, job, protocol, clock) for name in names]
    tell_too_slow(trials, protocol)
    for seen in trials:
        found: Any = seen.result.get("proofs", {})
        for n, each in found.items():
            name = str(seen.what["dtype"])
            name_kernel(each, product(int(n), DTYPES[name], place), name, clock, settings["seed"])
    return trials


def _trial(name: str, job: Job, protocol: Protocol, clock: Clock) -> Trial:
    """One trial with its proofs, and with its contrasts beside the ratios of its arms."""
    settings, anchor_n = job.settings, job.settings["anchor"]
    what = {"dtype": name, "anchor": anchor_n}
    anchor, *others = (product(n, DTYPES[name], job.device) for n in (anchor_n, *settings["sizes"]))
    targets = dict(zip(map(str, settings["sizes"]), others, strict=True))

    def measured() -> Trial:
        require(name, job.device)
        seen = trial.compare(what, anchor, targets, protocol, clock, settings["seed"])
        if seen.status in (Status.OK, Status.CONTENDED):
            _prove(seen, name, {str(anchor_n): anchor, **targets}, clock, settings["seed"])
        if seen.status == Status.OK:
            _add_contrasts(seen, anchor_n, settings["sizes"], protocol.confidence)
        return seen

    return proof.attempt(what, measured)


def _prove(
    measured: Trial, name: str, works: Mapping[str, Work[Any]], clock: Clock, seed: int
) -> None:
    """Prove every size's product; refuse the trial where one of them cannot be true."""
    arms: Any = measured.result["arms"]
    proofs = {n: prove(work, int(n), name, clock, seed) for n, work in works.items()}
    for n, found in proofs.items():
        arm = arms.get(n, arms.get(ANCHOR))
        objection = found.objection(works[n].units / arm["time_median_s"] if arm else None)
        proof.refuse(measured, objection and f"{n}: {objection}")
    measured.result["proofs"] = {n: asdict(found) for n, found in proofs.items()}


def _add_contrasts(measured: Trial, anchor: int, sizes: Sequence[int], confidence: float) -> None:
    """Put each contrast, computed round by round, beside the ratios."""
    arms: Any = measured.result["arms"]
    ratios: Any = measured.result["ratios"]
    times = {
        n: trial.kept(measured, arm) / arms[arm]["units_per_call"]
        for n, arm in {anchor: ANCHOR, **{n: str(n) for n in sizes}}.items()
    }
    for name, weights in contrast.weights(anchor, sizes).items():
        seen = contrast.of_rounds(times, weights, confidence)
        ratios[name] = {"ratio": seen.value, "ratio_low": seen.low, "ratio_high": seen.high}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("contrast", {"occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
