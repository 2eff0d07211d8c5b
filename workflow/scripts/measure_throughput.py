"""Time a linear layer and a step of training at growing batches, in one paired trial each.

    python workflow/scripts/measure_throughput.py --occasion 1 --output throughput.json

The units of a work are its samples, so arms are compared by their time per sample. Times are what
the host waits for: that a call costs something before it computes is why larger batches pay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from assay import job, machine
from assay.job import Job
from assay.ladder import pieces
from assay.ladder.rungs import SIDE, Framework, multilayer
from assay.learning.dataset import CLASSES
from assay.learning.training import Examples
from assay.record import Status, Trial
from assay.timing import proof, trial
from assay.timing.clock import HostClock
from assay.timing.dtypes import DTYPES, precisions
from assay.timing.product import dense, normal, settle
from assay.timing.trial import Protocol, Work
from pydantic import JsonValue

SETTLE_N = 512  # rows of the product that brings the device to its clock
ROWS = 64  # of a result that are checked, about


def layer(features: int, name: str, place: torch.device, batch: int) -> Work[Any]:
    """A linear layer without bias: (batch, features) times the transposed weights."""

    def prepare(generator: torch.Generator) -> proof.Product:
        size, dtype = (batch, features), DTYPES[name]
        inputs, out = (torch.empty(size, dtype=dtype, device=place) for _ in range(2))
        weight = normal(dense(features, dtype, place), generator)
        return normal(inputs, generator), weight.t(), out

    def run(operands: proof.Product) -> torch.Tensor:
        return torch.mm(operands[0], operands[1], out=operands[2])

    return Work(prepare, run, units=batch)


def step(hidden: Sequence[int], name: str, place: torch.device, batch: int) -> Work[Any]:
    """A step of SGD of a perceptron whose weights and images have that number format."""
    network = multilayer(hidden, seed=0).to(place, DTYPES[name])

    def prepare(generator: torch.Generator) -> pieces.Operands:
        inputs = torch.empty(batch, SIDE**2, dtype=DTYPES[name], device=place)
        labels = torch.randint(CLASSES, (batch,), generator=generator, device=place)
        return pieces.start(Framework, network, Examples(normal(inputs, generator), labels))

    return Work(prepare, pieces.step, units=batch)


def layer_flop(features: int) -> int:
    """FLOP of the layer for one sample."""
    return 2 * features**2


def step_flop(hidden: Sequence[int]) -> int:
    """FLOP of the products of a step for one sample.

    A layer's forward pass and its weights' gradient cost as much, and so does its input's gradient,
    which the first layer does not need.
    """
    first, *others = (a * b for a, b in pairwise([SIDE**2, *hidden, CLASSES]))
    return 2 * (2 * first + 3 * sum(others))


Make = Callable[[str, torch.device, int], Work[Any]]  # of a number format, a device and a batch


def measure(job: Job) -> list[Trial]:
    """One trial of the layer and one of the step per number format."""
    settings, place = job.settings, job.device
    protocol, clock = Protocol.of_study(settings, place), HostClock(place)
    settle(SETTLE_N, protocol, clock)
    features, hidden = settings["features"], settings["hidden"]
    kinds: dict[str, tuple[Make, int]] = {
        "layer": (partial(layer, features), layer_flop(features)),
        "step": (partial(step, hidden), step_flop(hidden)),
    }
    dtypes = settings["dtypes"]["cpu" if place.type == "cpu" else "gpu"]
    return [
        _trial({"work": kind, "dtype": name, "anchor": settings["anchor"]}, *made, protocol, job)
        for name in precisions(dtypes, place)
        for kind, made in kinds.items()
    ]


def _trial(
    what: dict[str, JsonValue], make: Make, flop: int, protocol: Protocol, job: Job
) -> Trial:
    """One paired trial of all batches that fit into the budget, with its proofs."""
    name, place, anchor = str(what["dtype"]), job.device, job.settings["anchor"]

    def measured() -> Trial:
        works = {batch: make(name, place, batch) for batch in sorted(job.settings["batches"])}
        seen = _compare(what, works, protocol, job)
        while [*works][-1] > anchor and _slow(seen):
            works.popitem()  # what a slow device has time for answers, too
            seen = _compare(what, works, protocol, job)
        if seen.status in (Status.OK, Status.CONTENDED):
            _prove(seen, works, flop, job)
        return seen

    return proof.attempt(what, measured)


def _slow(seen: Trial) -> bool:
    """Whether it took too long, and that is no neighbour's fault."""
    return seen.status == Status.SKIPPED and not seen.result.get("disturbed")


def _compare(
    what: dict[str, JsonValue], works: Mapping[int, Work[Any]], protocol: Protocol, job: Job
) -> Trial:
    anchor, clock = job.settings["anchor"], HostClock(job.device)
    targets = {str(batch): work for batch, work in works.items() if batch != anchor}
    return trial.compare(what, works[anchor], targets, protocol, clock, job.settings["seed"])


def _prove(seen: Trial, works: Mapping[int, Work[Any]], flop: int, job: Job) -> None:
    """Add what one sample takes; refuse a wrong product and an impossible speed."""
    name, seed = str(seen.what["dtype"]), job.settings["seed"]
    peak = machine.peak_flops(job.device, name)
    seen.result |= {"flop_per_sample": flop, "peak_flops": peak}
    arms: Any = seen.result["arms"]
    rates = [flop * arm["units_per_call"] / arm["time_median_s"] for arm in arms.values()]
    proof.refuse(seen, proof.beyond_peak(max(rates, default=None), peak))
    for batch, work in works.items() if seen.what["work"] == "layer" else ():
        operands = work.prepare(torch.Generator(device=job.device).manual_seed(seed))
        work.run(operands)
        error = proof.product_error(operands, ROWS)
        allowed = proof.tolerance(job.settings["features"], name)
        proof.refuse(seen, proof.wrong(error, allowed, f"product (batch {batch})"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("throughput", {"occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
