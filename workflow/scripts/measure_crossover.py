"""Time the products of one size in every way that this device offers.

    python workflow/scripts/measure_crossover.py --device cpu --n 256 --output 256.json

On a CPU all threads are compared with one. On anything else, operands that are there already are
compared with operands that travel there and a result that travels back. The elementwise product is
the task with little calculation; with n = 1 it is an operation on one element, whose time is the
launch latency.

All times are what the host waits for, on every device: a launch that takes longer than the work
is part of the answer here, so the device's own clock would miss the point (it stands beside).
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TextIO

import torch
from assay import job, machine
from assay.job import Job
from assay.record import Status, Trial
from assay.timing import proof, trial
from assay.timing.clock import (
    Block,
    Clock,
    CudaClock,
    EnteringClock,
    HostClock,
    NotAhead,
)
from assay.timing.dtypes import DTYPES, set_precision
from assay.timing.product import dense, normal, settle
from assay.timing.threads import on_threads, threaded
from assay.timing.trial import Protocol, Work
from pydantic import JsonValue

SETTLE_N = 512  # rows of the product that brings the device to its clock, at most
PROBE_N = 256  # rows of the first product of an estimate
LONG_S = 10e-3  # a call this long runs at the speed of larger ones
SAMPLE = 64  # rows and columns of a result that are checked
REPEATS = 5  # of the times that only stand beside the trial's
ARRAYS = 3  # two operands and a result

Triple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # two operands and the result
Journey = tuple[Triple, Triple]  # on the host, on the device


# ---- the work ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """Something that is done to two n × n matrices.

    Attributes:
        apply: Does it, as ``apply(a, b, out=…)``.
        exact: The result at some rows and columns, in float64 and on the host.
        exponent: An operation on n × n matrices takes ``factor`` · n^exponent FLOP.
        factor: See there.
    """

    apply: Callable[..., Any]
    exact: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    exponent: int
    factor: float


def _on_host(matrix: torch.Tensor) -> torch.Tensor:
    """In float64, which not every device has."""
    return matrix.cpu().double()


OPERATIONS = {
    "product": Operation(
        torch.mm, lambda a, b, at: _on_host(a[at]) @ _on_host(b[:, at]), exponent=3, factor=2.0
    ),
    "elementwise": Operation(
        torch.mul,
        lambda a, b, at: _on_host(a[at][:, at]) * _on_host(b[at][:, at]),
        exponent=2,
        factor=1.0,
    ),
}


@dataclass(frozen=True)
class Task:
    """What is timed: an operation on n × n matrices of a number format."""

    operation: str
    dtype: str
    n: int
    place: torch.device

    @property
    def flops(self) -> float:
        """FLOP of one call."""
        operation = OPERATIONS[self.operation]
        return float(operation.factor * self.n**operation.exponent)

    @property
    def bytes(self) -> int:
        """Bytes of the two operands and the result."""
        return int(ARRAYS * self.n**2 * DTYPES[self.dtype].itemsize)

    def triple(self, generator: torch.Generator) -> Triple:
        """Two matrices of normal random numbers and room for the result, on the device."""
        a, b, out = (dense(self.n, DTYPES[self.dtype], self.place) for _ in range(ARRAYS))
        return normal(a, generator), normal(b, generator), out


def resident(task: Task) -> Work[Triple]:
    """The operation on operands that are where it computes."""
    apply = OPERATIONS[task.operation].apply
    return Work(task.triple, lambda at: apply(at[0], at[1], out=at[2]), task.flops)


def waited(task: Task, clock: Clock) -> Work[Triple]:
    """The same, and after every call the host waits for the result."""
    here = resident(task)

    def run(operands: Triple) -> None:
        here.run(operands)
        clock.synchronize()

    return Work(here.prepare, run, task.flops)


def transfer(task: Task) -> Work[Journey]:
    """The operands travel there from ordinary (pageable) memory, and the result travels back."""
    apply = OPERATIONS[task.operation].apply

    def prepare(generator: torch.Generator) -> Journey:
        there = task.triple(generator)
        a, b, out = (matrix.to("cpu", copy=True) for matrix in there)
        return (a, b, out), there

    def run(operands: Journey) -> None:
        here, there = operands
        there[0].copy_(here[0])
        there[1].copy_(here[1])
        apply(there[0], there[1], out=there[2])
        here[2].copy_(there[2])

    return Work(prepare, run, task.flops)


def printed(task: Task, sink: TextIO) -> Work[Triple]:
    """The operation and the printing of its result, as a published comparison timed it."""
    here = resident(task)

    def run(operands: Triple) -> None:
        here.run(operands)
        print(operands[2], file=sink)

    return Work(here.prepare, run, task.flops)


# ---- what fits ---------------------------------------------------------------------------------

Ways = Mapping[str, Callable[[Task], Work[Any]]]


def ways(clock: Clock, threads: int, sink: TextIO) -> Ways:
    """The ways of a device, the anchor first."""
    if not isinstance(clock, EnteringClock):
        return {
            "resident": resident,
            "waited": lambda task: waited(task, clock),
            "transfer": transfer,
            "printed": lambda task: printed(task, sink),
        }
    found: dict[str, Callable[[Task], Work[Any]]] = {
        "one_thread": lambda task: threaded(resident(task), 1, clock),
        "all_threads": lambda task: threaded(resident(task), threads, clock),
        "printed": lambda task: threaded(printed(task, sink), threads, clock),
    }
    if threads == 1:
        del found["all_threads"]
    return found


def plans(names: Sequence[str], operation: str) -> list[list[str]]:
    """Which ways to compare, the anchor first; then what to do if that takes too long.

    Printing belongs to the small task. Where one thread would take too long, all of them are
    still measured, alone.
    """
    full = [name for name in names if name != "printed" or operation == "elementwise"]
    return [full, full[1:]] if full[:2] == ["one_thread", "all_threads"] else [full]


def call_s(way: Callable[[Task], Work[Any]], task: Task, clock: Clock) -> float:
    """About how many seconds one call takes, without making a call that takes long.

    The size is doubled until a call takes :data:`LONG_S`, and the rest is extrapolated by FLOP.
    """
    generator = torch.Generator(device=clock.device).manual_seed(0)
    n = min(task.n, PROBE_N)
    while True:
        probe = replace(task, n=n)
        work = way(probe)
        call = partial(work.run, work.prepare(generator))
        seconds = min(clock.time(call, Block(1)) for _ in range(2))  # the first starts libraries
        if n == task.n or seconds >= LONG_S:
            return seconds * task.flops / probe.flops
        n = min(task.n, 2 * n)


def trial_s(calls: Sequence[float], protocol: Protocol) -> float:
    """Seconds of the fewest rounds of a trial.

    Args:
        calls: Seconds of one call of each arm; the first is the anchor, which has a twin.
        protocol: Says how many rounds, and how long a block is at least.
    """
    blocks = [max(each, protocol.block_s) for each in (*calls[:1], *calls)]
    return protocol.rounds_least * sum(blocks)


def lack_of_memory(task: Task, names: Sequence[str]) -> str | None:
    """Why one set of operands per arm does not fit into free memory; None if it does."""
    asked = {task.place: (len(names) + 1) * task.bytes}  # the anchor has a twin
    if "transfer" in names:
        asked[torch.device("cpu")] = task.bytes
    lacks = (machine.lack_of_memory(size, place) for place, size in asked.items())
    return next(filter(None, lacks), None)


# ---- the trials --------------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """One trial per operation and number format."""
    settings, place = job.settings, job.device
    protocol = Protocol.of_study(settings, place)
    set_precision("float32")
    tasks = [
        Task(operation, dtype, job.axes["n"], place)
        for operation, dtypes in settings["operations"].items()
        for dtype in dtypes
    ]
    clock: Clock = EnteringClock(place) if place.type == "cpu" else HostClock(place)
    settle(min(job.axes["n"], SETTLE_N), protocol, clock)
    # The null device: what a terminal does with the text is no part of the task.
    with open(os.devnull, "w", encoding="utf-8") as sink:
        offered = ways(clock, torch.get_num_threads(), sink)
        return [_trial(task, offered, protocol, clock, settings["seed"]) for task in tasks]


def _trial(task: Task, offered: Ways, protocol: Protocol, clock: Clock, seed: int) -> Trial:
    """The first plan that fits into time and memory, measured; else why none does."""
    what: dict[str, JsonValue] = {"operation": task.operation, "dtype": task.dtype, "n": task.n}

    def measured() -> Trial:
        estimate: float = math.inf
        for names in plans([*offered], task.operation):
            if lack := lack_of_memory(task, names):
                return Trial(what=what, status=Status.OUT_OF_MEMORY, reason=lack)
            calls = [call_s(offered[name], task, clock) for name in names]
            estimate = trial_s(calls, protocol)
            if estimate <= protocol.cap_s:
                works = {name: offered[name](task) for name in names}
                return _compare(what, task, works, protocol, clock, seed)
        return Trial(
            what=what,
            status=Status.SKIPPED,
            reason=f"{protocol.rounds_least} rounds would take about {estimate:.0f} s, over the "
            f"budget of {protocol.cap_s:g} s a cell (cell_s)",
            result={"estimate_s": estimate},
        )

    with on_threads(torch.get_num_threads()):
        return proof.attempt(what, measured)


def _compare(
    what: dict[str, JsonValue],
    task: Task,
    works: Mapping[str, Work[Any]],
    protocol: Protocol,
    clock: Clock,
    seed: int,
) -> Trial:
    """One paired trial of the ways, with its proofs: right results at a possible speed."""
    anchor, *targets = works
    measured = trial.compare(
        {**what, "anchor": anchor},
        works[anchor],
        {name: works[name] for name in targets},
        protocol,
        clock,
        seed,
    )
    if measured.status not in (Status.OK, Status.CONTENDED):
        return measured
    measured.result |= {"bytes_per_call": task.bytes, "transfer": route(task.place)}
    for name, work in works.items():
        _prove(measured, name, work, task, seed)
    _add_throughput(measured, task)
    if task.place.type == "cuda":
        measured.result |= device_times(resident(task), task.place, protocol.block_s, seed)
    return measured


def route(place: torch.device) -> str:
    """How operands reach the device; a CPU has no transfer, which is not one of zero seconds."""
    if place.type == "cpu":
        return "none: the operands of a CPU are where it computes"
    return "from and to pageable memory"


def _prove(measured: Trial, name: str, work: Work[Any], task: Task, seed: int) -> None:
    """Check one more call at rows and columns drawn at random; refuse a wrong result."""
    operands = work.prepare(torch.Generator(device=task.place).manual_seed(seed))
    work.run(operands)
    a, b, out = operands[0] if isinstance(operands[0], tuple) else operands
    drawn = torch.randperm(task.n, generator=torch.Generator().manual_seed(seed))
    at = drawn[:SAMPLE].to(a.device)
    exact = OPERATIONS[task.operation].exact(a, b, at)
    error = proof.relative_error(_on_host(out[at][:, at]), exact)
    allowed = proof.tolerance(task.n, task.dtype)
    proof.refuse(measured, proof.wrong(error, allowed, f"result ({name})"))


def _add_throughput(measured: Trial, task: Task) -> None:
    """FLOP/s of the device as a whole: on all threads, or with resident operands."""
    arms: Any = measured.result["arms"]
    flops, peak = None, machine.peak_flops(task.place, task.dtype)
    if arms:
        arm = "all_threads" if "all_threads" in arms else trial.ANCHOR
        flops = task.flops / arms[arm]["time_median_s"]
        measured.result |= {"arm": arm, "throughput_flops": flops}
    measured.result["peak_flops"] = peak
    if task.operation == "product":
        proof.refuse(measured, proof.beyond_peak(flops, peak))


def device_times(
    work: Work[Any], place: torch.device, block_s: float, seed: int
) -> dict[str, JsonValue]:
    """What the other clocks say: the device's own, and one that does not wait for the device.

    Nothing where the device's own cannot time the call.
    """
    call = partial(work.run, work.prepare(torch.Generator(device=place).manual_seed(seed)))
    own = CudaClock(place)
    try:
        block = own.calibrate(call, block_s)
    except NotAhead:
        return {}
    device = [own.time(call, block) for _ in range(REPEATS)]
    launch = []
    for _ in range(REPEATS):
        own.synchronize()
        start = time.perf_counter()
        call()
        launch.append(time.perf_counter() - start)
    own.synchronize()
    return {
        "device_s": statistics.median(device),
        "unsynchronised_s": statistics.median(launch),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("crossover", {"n": int, "occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
