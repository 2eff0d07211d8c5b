"""Time one matrix size against the anchor, for every dtype, memory layout and shape asked for.

python workflow/scripts/measure_alignment.py --device cpu --n 1025 --output 1025.json
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from assay import job
from assay.job import Job
from assay.record import Status, Trial
from assay.timing import proof, trial
from assay.timing.clock import (
    Clock,
    CudaClock,
    HostClock,
    NotAhead,
    clock_for,
    cuda_graph_s,
)
from assay.timing.consumption import Meter, meter
from assay.timing.dtypes import DTYPES, precisions, require
from assay.timing.product import (
    LAYOUTS,
    Operands,
    batched_product,
    dense,
    matrix_vector,
    name_kernel,
    product,
    prove,
    settle,
    tell_too_slow,
)
from assay.timing.trial import Protocol, Work

LAUNCH_BLOCK_S = 2e-3

TARGET = "target"  # the measured arm
SQUARE = "matrix"  # the shape of the question; the others are named in the settings


def shaped(shape: str, n: int, dtype: torch.dtype, place: torch.device, batch: int) -> Work[Any]:
    """The product of that shape: ``batched`` or ``vector``."""
    if shape == "batched":
        return batched_product(n, dtype, place, batch)
    return matrix_vector(n, dtype, place)


def works(what: Mapping[str, Any], job: Job) -> tuple[Work[Any], Work[Any]]:
    """Anchor and target of a trial; the anchor is dense in memory."""
    dtype, place, batch = DTYPES[what["dtype"]], job.device, job.settings["shapes"].get("batch")
    sizes = what["anchor"], what["n"]
    if what["shape"] != SQUARE:
        anchor, target = (shaped(what["shape"], n, dtype, place, batch) for n in sizes)
        return anchor, target
    layouts = dense, LAYOUTS.get(what["layout"], dense)
    anchor, target = (product(n, dtype, place, own) for n, own in zip(sizes, layouts, strict=True))
    return anchor, target


def measure(job: Job) -> list[Trial]:
    """One trial per dtype, and one per dtype and layout or shape asked for this size."""
    settings, place = job.settings, job.device
    protocol = Protocol.of_study(settings, place)
    clock, counted = clock_for(place), meter(place, [TARGET])
    settle(settings["anchor"], protocol, clock)
    trials = []
    for name in precisions(settings["dtypes"], place):
        for what in _products(name, job):
            trials.append(_trial(what, job, protocol, clock, None if what["layout"] else counted))
            if trials[-1].status == Status.SKIPPED:
                break  # at other addresses the product is as slow
    slow = {str(each.what["dtype"]) for each in trials if each.status == Status.SKIPPED}
    trials += _other_shapes(job, slow, protocol, clock)
    tell_too_slow(trials, protocol)
    for seen in trials:
        if "kernel" in seen.result:  # it was proved
            name, (_, target) = str(seen.what["dtype"]), works(seen.what, job)
            name_kernel(seen.result, target, name, clock, settings["seed"])
    return trials


def _products(name: str, job: Job) -> Iterator[dict[str, Any]]:
    """The size against the anchor, and each other layout of it against the dense one."""
    n, settings = job.axes["n"], job.settings
    layouts = {each["layout"]: n for each in settings["layouts"] if each["n"] == n}
    for layout, anchor_n in {None: settings["anchor"], **layouts}.items():
        yield {"dtype": name, "n": n, "layout": layout, "anchor": anchor_n, "shape": SQUARE}


def _other_shapes(job: Job, slow: Collection[str], protocol: Protocol, clock: Clock) -> list[Trial]:
    """One trial per other shape and dtype asked for this size, each against its own anchor.

    They take few rounds: they stand beside the verdict and do not make it. A dtype
    in which even the square product is too slow says so once and is not tried again.
    """
    n, settings = job.axes["n"], job.settings
    shapes, of_all = settings["shapes"], {"layout": None, "anchor": settings["anchor"]}
    if n not in shapes["sizes"]:
        return []
    short = replace(protocol, rounds_most=shapes["rounds_most"])
    return [
        _trial({"dtype": name, "n": n, **of_all, "shape": shape}, job, short, clock)
        for name in precisions([each for each in shapes["dtypes"] if each not in slow], job.device)
        for shape in shapes["kinds"]
    ]


def _trial(
    what: dict[str, Any],
    job: Job,
    protocol: Protocol,
    clock: Clock,
    counted: Meter | None = None,
) -> Trial:
    """One paired trial with its proofs: a right product, a possible speed."""
    anchor, target = works(what, job)
    name, seed = str(what["dtype"]), job.settings["seed"]

    def measured() -> Trial:
        require(name, job.device)
        seen = trial.compare(what, anchor, {TARGET: target}, protocol, clock, seed, counted)
        if seen.status in (Status.OK, Status.CONTENDED):
            _prove(seen, target, clock, seed)
        return seen

    return proof.attempt(what, measured)


def _prove(measured: Trial, target: Work[Operands], clock: Clock, seed: int) -> None:
    """Add error and throughput to a trial; refuse a figure that cannot be true."""
    name, n = str(measured.what["dtype"]), int(str(measured.what["n"]))
    found = prove(target, n, name, clock, seed)
    measured.result |= {"arm": TARGET, **asdict(found)}
    arms: Any = measured.result["arms"]
    flops = target.units / arms[TARGET]["time_median_s"] if arms else None
    proof.refuse(measured, found.objection(flops))
    if flops:
        measured.result["throughput_flops"] = flops
        measured.result["throughput_bytes_per_s"] = found.bytes_per_call * flops / target.units
        if isinstance(clock, CudaClock):
            operands = target.prepare(torch.Generator(device=clock.device).manual_seed(seed))
            measured.result |= _launch_times(lambda: target.run(operands), clock)


def _launch_times(call: Callable[[], Any], clock: CudaClock) -> dict[str, float | None]:
    """What a host sees and what a CUDA graph needs, beside the device time of the trial.

    Nothing where the device's clock cannot time the call: the trial is the host's then.
    """
    try:
        block = clock.calibrate(call, LAUNCH_BLOCK_S)
    except NotAhead:
        return {}
    return {
        "host_visible_s": HostClock(clock.device).time(call, block),
        "cuda_graph_s": cuda_graph_s(call, block, clock),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("alignment", {"n": int, "occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
