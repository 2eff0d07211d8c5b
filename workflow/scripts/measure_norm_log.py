"""Time the ways of keeping a log of the norms of many matrix products.

    python workflow/scripts/measure_norm_log.py --device cpu --output cpu.json

The Frobenius norm of each of 1000 products of 100 × 100 is logged: read one at a time, or kept on
the device and transferred once. The anchor is `.item()` each: it is the textbook's first way, so
that every ratio says what changing from it gains or loses.

All times are what the host waits for, because waiting for the device is what the ways differ in.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TextIO

import torch
from assay import job, machine, statistic
from assay.device import first_line
from assay.job import Job
from assay.record import Status, Trial
from assay.timing import proof, trial
from assay.timing.clock import HostClock
from assay.timing.cuda import Queue
from assay.timing.dtypes import set_precision
from assay.timing.reads import reads, synchronisations
from assay.timing.trial import Protocol, Work
from pydantic import JsonValue

ANCHOR = "item"
AGREEMENT = 1e-4  # largest relative difference between two ways' logs: other orders of summation

# The matrices (products + 1, n, n), room for one product, the log on the device. Product i is that
# of matrices i and i + 1, so that the batched way needs no copy of them.
Operands = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


# ---- the ways ----------------------------------------------------------------------------------


def matrices(
    products: int, n: int, place: torch.device, generator: torch.Generator
) -> torch.Tensor:
    """Fresh normal random matrices for that many products."""
    return torch.randn(products + 1, n, n, generator=generator, device=place)


def one_at_a_time(products: int, n: int, place: torch.device) -> Callable[..., Operands]:
    """What prepares the operands of the ways that compute one product after the other."""

    def prepare(generator: torch.Generator) -> Operands:
        chain = matrices(products, n, place, generator)
        return chain, torch.empty(n, n, device=place), torch.empty(products, device=place)

    return prepare


def norms(operands: Operands) -> Iterator[torch.Tensor]:
    """The Frobenius norm of each product, on the device."""
    chain, product, _ = operands
    for left, right in pairwise(chain):
        yield torch.linalg.norm(torch.mm(left, right, out=product))


def on_host(log: torch.Tensor) -> torch.Tensor:
    """The log where it can be read: one transfer, on a CPU a copy."""
    return log.to("cpu", copy=True)


def item_each(operands: Operands) -> list[float]:
    """Every norm is read as soon as it is asked for."""
    return [norm.item() for norm in norms(operands)]


def list_and_stack(operands: Operands) -> torch.Tensor:
    """A list of norms on the device, stacked and transferred at the end."""
    return on_host(torch.stack(list(norms(operands))))


def buffer(operands: Operands) -> torch.Tensor:
    """Every norm goes to its place in a tensor on the device, which is transferred at the end."""
    fill(operands)
    return on_host(operands[2])


def fill(operands: Operands) -> None:
    """Every norm goes to its place in a tensor on the device."""
    log = operands[2]
    for place, norm in enumerate(norms(operands)):
        log[place] = norm


def print_each(operands: Operands, sink: TextIO) -> None:
    """Every norm is printed."""
    for norm in norms(operands):
        print(norm, file=sink)


def batched(operands: Operands) -> torch.Tensor:
    """All products in one call, all norms in another, and one transfer."""
    chain, product, log = operands
    torch.bmm(chain[:-1], chain[1:], out=product)
    return on_host(torch.linalg.vector_norm(product, dim=(1, 2), out=log))


def batch(products: int, n: int, place: torch.device) -> Callable[..., Operands]:
    """What prepares the operands of :func:`batched`, which needs room for all products."""

    def prepare(generator: torch.Generator) -> Operands:
        chain = matrices(products, n, place, generator)
        return (
            chain,
            torch.empty(products, n, n, device=place),
            torch.empty(products, device=place),
        )

    return prepare


def captured(prepare: Callable[..., Operands]) -> Callable[[torch.Generator], tuple[Any, ...]]:
    """What prepares operands and records :func:`fill` on them as a graph."""

    def prepare_and_capture(generator: torch.Generator) -> tuple[Any, ...]:
        operands = prepare(generator)
        return *operands, Queue(operands[2].device).capture(partial(fill, operands))

    return prepare_and_capture


def replayed(operands: tuple[Any, ...]) -> torch.Tensor:
    """The recorded launches, all started by one call, and one transfer."""
    *_, log, graph = operands
    graph.replay()
    return on_host(log)


# ---- what is beside the time ---------------------------------------------------------------


def first_infinite(n: int, iterations: int, seed: int) -> tuple[int | None, int | None]:
    """In which iteration of ``z = z * x`` the norm of z, and z itself, first overflow in float32.

    That is what a published answer timed instead of products.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, n, generator=generator)
    z, of_norm = x, None
    for iteration in range(1, iterations + 1):
        z = z * x
        if of_norm is None and not torch.linalg.norm(z).isfinite():
            of_norm = iteration
        if not z.isfinite().all():
            return of_norm, iteration
    return of_norm, None


# ---- the trial ---------------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """One trial of all ways, and what cannot or should not be one of them."""
    settings, place = job.settings, job.device
    set_precision("float32")
    products, n = settings["products"], settings["n"]
    printed = min(settings["printed"], products)
    # The null device: what a terminal or a notebook does with the lines is not measured.
    with open(os.devnull, "w", encoding="utf-8") as sink:
        works = _works(products, printed, n, place, sink)
        if place.type == "cuda":
            missing = _check_capture(works, place, settings["seed"])
        else:
            missing = [_no_graph(f"a CUDA graph needs a CUDA device, this is {place}")]
        compared = _compare(works, job)
    return [compared, *missing, _published(products, n, settings["seed"])]


def _works(
    products: int, printed: int, n: int, place: torch.device, sink: TextIO
) -> dict[str, Work[Any]]:
    """The ways of a device by name, the anchor first; so many products are printed."""
    single = one_at_a_time(products, n, place)
    units = float(products)
    works: dict[str, Work[Any]] = {
        ANCHOR: Work(single, item_each, units),
        "list": Work(single, list_and_stack, units),
        "buffer": Work(single, buffer, units),
        "print": Work(
            one_at_a_time(printed, n, place), partial(print_each, sink=sink), float(printed)
        ),
        "batched": Work(batch(products, n, place), batched, units),
    }
    if place.type == "cuda":
        works["graph"] = Work(captured(single), replayed, units)
    return works


def _check_capture(works: dict[str, Work[Any]], place: torch.device, seed: int) -> list[Trial]:
    """Take the graph out of the ways when this device cannot record one, and say so."""
    try:
        works["graph"].prepare(torch.Generator(place).manual_seed(seed))
    except RuntimeError as error:
        if job.is_out_of_memory(error):
            raise
        del works["graph"]
        return [_no_graph(f"the CUDA graph was not captured: {first_line(error)}")]
    return []


def _no_graph(reason: str) -> Trial:
    return Trial(what={"way": "graph"}, status=Status.UNAVAILABLE, reason=reason)


def _compare(works: dict[str, Work[Any]], job: Job) -> Trial:
    settings, place = job.settings, job.device
    protocol = Protocol.of_study(settings, place)
    products, n, seed = settings["products"], settings["n"], settings["seed"]
    what: dict[str, JsonValue] = {"products": products, "n": n, "anchor": ANCHOR}
    size = (len(works) + 1) * (products + 1) * n**2 * torch.float32.itemsize
    if lack := machine.lack_of_memory(size, place):
        return Trial(what=what, status=Status.OUT_OF_MEMORY, reason=lack)
    clock = HostClock(place)
    trial.settle(works[ANCHOR], protocol, clock, seed)
    targets = {name: work for name, work in works.items() if name != ANCHOR}
    measured = trial.compare(what, works[ANCHOR], targets, protocol, clock, seed)
    _prove(measured, works, job)
    return measured


def _prove(measured: Trial, works: Mapping[str, Work[Any]], job: Job) -> None:
    """Add the norms and the reads; refuse a trial whose ways do not log the same values."""
    settings, place = job.settings, job.device
    products, n, seed = settings["products"], settings["n"], settings["seed"]

    def call(name: str) -> Callable[[], Any]:
        operands = works[name].prepare(torch.Generator(place).manual_seed(seed))  # always the same
        return partial(works[name].run, operands)

    # What is printed is text, not a log; a value is read for each line, at least.
    logging = [name for name in works if name != "print"]
    read = {name: reads(call(name)) for name in logging}
    logs = {name: torch.as_tensor(call(name)()) for name in logging}
    for name, log in logs.items():
        if not torch.allclose(log, logs[ANCHOR], rtol=AGREEMENT, atol=0):
            proof.refuse(measured, f"the ways {name} and {ANCHOR} log different values")
    measured.result |= {"reads": {**read, "print": products}, **mean_norm(logs[ANCHOR], n)}
    if place.type == "cuda":
        measured.result["synchronisations"] = {
            name: round(products / works[name].units * synchronisations(call(name)))
            for name in works
        }


def mean_norm(log: torch.Tensor, n: int) -> dict[str, JsonValue]:
    """Mean of the norms with its interval, beside what it should be.

    The expectation of ‖AB‖² is n³ for independent N(0, 1), since each of the n² elements is a sum
    of n products of variance 1; the norm varies little, so its own mean is nearly n^1.5. Products
    next to each other share a matrix: every other one is taken, and those are independent.
    """
    mean = statistic.mean_of_many(log[::2].double().numpy())
    finite = math.isfinite(mean.low)
    return {
        "norm_mean": mean.value,
        "norm_mean_low": mean.low if finite else None,
        "norm_mean_high": mean.high if finite else None,
        "norm_expected": n**1.5,
    }


def _published(products: int, n: int, seed: int) -> Trial:
    of_norm, of_z = first_infinite(n, products, seed)
    return Trial(
        what={"way": "published", "operation": "z = z * x"},
        result={"first_infinite_norm": of_norm, "first_infinite": of_z, "iterations": products},
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("norm_log", {"occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
