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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TextIO

import torch
from assay import job, machine
from assay.job import Job
from assay.record import Status, Trial
from assay.timing import trial
from assay.timing.clock import Block, Call, Clock, CudaClock, HostClock
from assay.timing.product import is_missing_kernel
from assay.timing.trial import Protocol, Work
from pydantic import JsonValue

SETTLE_N = 512  # rows of the product that brings the device to its clock, at most
PROBE_N = 256  # rows of the first product of an estimate
LONG_S = 10e-3  # a call this long runs at the speed of larger ones
SAMPLE = 64  # rows and columns of a result that are checked
REPEATS = 5  # of the times that only stand beside the trial's
PEAK_TOLERANCE = 1.05
ARRAYS = 3  # two operands and a result
GRAIN = 32768  # elements that torch gives to one thread at least (at::internal::GRAIN_SIZE)

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

    def flops(self, n: int) -> float:
        """FLOP of one call."""
        return float(self.factor * n**self.exponent)


def _exact_product(a: torch.Tensor, b: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return _on_host(a[at]) @ _on_host(b[:, at])


def _exact_elementwise(a: torch.Tensor, b: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return _on_host(a[at][:, at]) * _on_host(b[at][:, at])


def _on_host(matrix: torch.Tensor) -> torch.Tensor:
    """In float64, which not every device has."""
    return matrix.cpu().double()


OPERATIONS = {
    "product": Operation(torch.mm, _exact_product, exponent=3, factor=2.0),
    "elementwise": Operation(torch.mul, _exact_elementwise, exponent=2, factor=1.0),
}


@dataclass(frozen=True)
class Cell:
    """What is timed: an operation on n × n matrices of a number format."""

    operation: str
    dtype: str
    n: int
    place: torch.device

    @property
    def flops(self) -> float:
        """FLOP of one call."""
        return OPERATIONS[self.operation].flops(self.n)

    @property
    def bytes(self) -> int:
        """Bytes of the two operands and the result."""
        return int(ARRAYS * self.n**2 * getattr(torch, self.dtype).itemsize)

    def triple(self, generator: torch.Generator) -> Triple:
        """Two matrices of normal random numbers and room for the result, on the device."""
        dtype = getattr(torch, self.dtype)
        # Drawn in float32: not every dtype has a generator on every device.
        a, b = (
            torch.randn(self.n, self.n, generator=generator, device=self.place).to(dtype)
            for _ in range(2)
        )
        return a, b, torch.empty_like(a)


def resident(cell: Cell) -> Work[Triple]:
    """The operation on operands that are where it computes."""
    apply = OPERATIONS[cell.operation].apply
    return Work(cell.triple, lambda at: apply(at[0], at[1], out=at[2]), cell.flops)


def waited(cell: Cell, clock: Clock) -> Work[Triple]:
    """The same, and after every call the host waits for the result."""
    here = resident(cell)

    def run(operands: Triple) -> None:
        here.run(operands)
        clock.synchronize()

    return Work(here.prepare, run, cell.flops)


def transfer(cell: Cell) -> Work[Journey]:
    """The operands travel there from ordinary (pageable) memory, and the result travels back."""
    apply = OPERATIONS[cell.operation].apply

    def prepare(generator: torch.Generator) -> Journey:
        there = cell.triple(generator)
        a, b, out = (matrix.to("cpu", copy=True) for matrix in there)
        return (a, b, out), there

    def run(operands: Journey) -> None:
        here, there = operands
        there[0].copy_(here[0])
        there[1].copy_(here[1])
        apply(there[0], there[1], out=there[2])
        here[2].copy_(there[2])

    return Work(prepare, run, cell.flops)


def printed(cell: Cell, sink: TextIO) -> Work[Triple]:
    """The operation and the printing of its result, as a published comparison timed it."""
    here = resident(cell)

    def run(operands: Triple) -> None:
        here.run(operands)
        print(operands[2], file=sink)

    return Work(here.prepare, run, cell.flops)


# ---- threads -----------------------------------------------------------------------------------


class ThreadClock(HostClock):
    """A CPU's clock for arms that differ in their number of threads.

    The number belongs to the process, so each block must begin by setting its own. That, and waking
    the threads, takes up to a tenth of a millisecond and is not the work: the clock therefore calls
    once with ``setting`` on, when an arm of :func:`threaded` sets its threads and does nothing
    else, and starts to time after that.
    """

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.setting = False

    def time(self, call: Call, block: Block) -> float:
        """Seconds per call, with the threads of the call."""
        self.setting = True
        try:
            call()
        finally:
            self.setting = False
        return super().time(call, block)


def threaded(work: Work[Any], threads: int, clock: ThreadClock) -> Work[Any]:
    """The work, on that many threads whenever it is timed by the clock."""
    # Small, so that it pushes little out of the caches; large enough for every thread to get some.
    wake = torch.zeros(threads * GRAIN, dtype=torch.uint8)

    def run(operands: Any) -> Any:
        if not clock.setting:
            return work.run(operands)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return wake.add_(1)

    return Work(work.prepare, run, work.units)


@contextmanager
def threads_kept() -> Iterator[None]:
    """The number of threads of this process is afterwards what it was before."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# ---- what fits ---------------------------------------------------------------------------------

Ways = Mapping[str, Callable[[Cell], Work[Any]]]


def ways(clock: Clock, threads: int, sink: TextIO) -> Ways:
    """The ways of a device, the anchor first."""
    if not isinstance(clock, ThreadClock):
        return {
            "resident": resident,
            "waited": lambda cell: waited(cell, clock),
            "transfer": transfer,
            "printed": lambda cell: printed(cell, sink),
        }
    found: dict[str, Callable[[Cell], Work[Any]]] = {
        "one_thread": lambda cell: threaded(resident(cell), 1, clock),
        "all_threads": lambda cell: threaded(resident(cell), threads, clock),
        "printed": lambda cell: threaded(printed(cell, sink), threads, clock),
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


def call_s(way: Callable[[Cell], Work[Any]], cell: Cell, clock: Clock) -> float:
    """About how many seconds one call takes, without making a call that takes long.

    The size is doubled until a call takes :data:`LONG_S`, and the rest is extrapolated by FLOP.
    """
    generator = torch.Generator(device=clock.device).manual_seed(0)
    n = min(cell.n, PROBE_N)
    while True:
        probe = replace(cell, n=n)
        work = way(probe)
        call = partial(work.run, work.prepare(generator))
        seconds = min(clock.time(call, Block(1)) for _ in range(2))  # the first starts libraries
        if n == cell.n or seconds >= LONG_S:
            return seconds * cell.flops / probe.flops
        n = min(cell.n, 2 * n)


def trial_s(calls: Sequence[float], protocol: Protocol) -> float:
    """Seconds of the fewest rounds of a trial.

    Args:
        calls: Seconds of one call of each arm; the first is the anchor, which has a twin.
        protocol: Says how many rounds, and how long a block is at least.
    """
    blocks = [max(each, protocol.block_s) for each in (*calls[:1], *calls)]
    return protocol.rounds_least * sum(blocks)


def lack_of_memory(cell: Cell, names: Sequence[str]) -> str | None:
    """Why one set of operands per arm does not fit into free memory; None if it does."""
    asked = {cell.place: (len(names) + 1) * cell.bytes}  # the anchor has a twin
    if "transfer" in names:
        asked[torch.device("cpu")] = cell.bytes
    for place, size in asked.items():
        free = machine.free_memory(place)
        if free is not None and size > free:
            return (
                f"one set of operands per arm takes {size / 1e9:.3g} GB, "
                f"{free / 1e9:.3g} GB of {place} are free"
            )
    return None


# ---- the trials --------------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """One trial per operation and number format."""
    settings, place = job.settings, job.device
    protocol = replace(
        Protocol.from_settings(settings["protocol"], place),
        cap_s=settings["cell_s"],
        half_width=settings["half_width"],
        operand_sets_least=settings["operand_sets_least"],
    )
    torch.backends.cuda.matmul.fp32_precision = "ieee"  # float32 means float32
    cells = [
        Cell(operation, dtype, job.axes["n"], place)
        for operation, dtypes in settings["operations"].items()
        for dtype in dtypes
    ]
    clock: Clock = ThreadClock() if place.type == "cpu" else HostClock(place)
    _settle(min(job.axes["n"], SETTLE_N), protocol, clock)
    # The null device: what a terminal does with the text is no part of the task.
    with open(os.devnull, "w", encoding="utf-8") as sink:
        offered = ways(clock, torch.get_num_threads(), sink)
        return [_trial(cell, offered, protocol, clock, settings["seed"]) for cell in cells]


def _settle(n: int, protocol: Protocol, clock: Clock) -> None:
    work = resident(Cell("product", "float32", n, clock.device))
    operands = work.prepare(torch.Generator(device=clock.device).manual_seed(0))
    trial.settle(lambda: work.run(operands), protocol, clock)


def _trial(cell: Cell, offered: Ways, protocol: Protocol, clock: Clock, seed: int) -> Trial:
    """The first plan that fits into time and memory, measured; else why none does."""
    what: dict[str, JsonValue] = {"operation": cell.operation, "dtype": cell.dtype, "n": cell.n}
    estimate: float = math.inf
    try:
        for names in plans([*offered], cell.operation):
            if lack := lack_of_memory(cell, names):
                return Trial(what=what, status=Status.OUT_OF_MEMORY, reason=lack)
            with threads_kept():
                calls = [call_s(offered[name], cell, clock) for name in names]
            estimate = trial_s(calls, protocol)
            if estimate <= protocol.cap_s:
                with threads_kept():
                    return _compare(what, cell, names, offered, protocol, clock, seed)
    except (MemoryError, RuntimeError) as error:
        if job.is_out_of_memory(error):
            return Trial(what=what, status=Status.OUT_OF_MEMORY, reason=_first_line(error))
        if is_missing_kernel(error):
            return Trial(what=what, status=Status.UNAVAILABLE, reason=_first_line(error))
        raise
    return Trial(
        what=what,
        status=Status.SKIPPED,
        reason=f"{protocol.rounds_least} rounds would take about {estimate:.0f} s, over the "
        f"budget of {protocol.cap_s:g} s a cell (cell_s)",
        result={"estimate_s": estimate},
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


def _compare(
    what: dict[str, JsonValue],
    cell: Cell,
    names: Sequence[str],
    offered: Ways,
    protocol: Protocol,
    clock: Clock,
    seed: int,
) -> Trial:
    """One paired trial of the ways, with its proofs: right results at a possible speed."""
    anchor, *targets = ((name, offered[name](cell)) for name in names)
    what = {**what, "anchor": anchor[0]}
    measured = trial.compare(what, anchor[1], dict(targets), protocol, clock, seed)
    if measured.status not in (Status.OK, Status.CONTENDED):
        # The protocol calls the budget by its own name; here it is the cell's.
        measured.reason = (measured.reason or "").replace("protocol.cap_s", "cell_s")
        return measured
    measured.result |= {"bytes_per_call": cell.bytes, "transfer": route(cell.place)}
    for name, work in (anchor, *targets):
        _prove(measured, name, work, cell, seed)
    _add_throughput(measured, cell)
    if cell.place.type == "cuda":
        measured.result |= device_times(resident(cell), cell.place, protocol.block_s, seed)
    _refuse_beyond_peak(measured, cell)
    return measured


def route(place: torch.device) -> str:
    """How operands reach the device; a CPU has no transfer, which is not one of zero seconds."""
    if place.type == "cpu":
        return "none: the operands of a CPU are where it computes"
    return "from and to pageable memory"


def relative_error(cell: Cell, operands: Triple, seed: int) -> float:
    """Relative Frobenius error of the result at rows and columns drawn at random."""
    a, b, out = operands
    drawn = torch.randperm(cell.n, generator=torch.Generator().manual_seed(seed))
    at = drawn[:SAMPLE].to(a.device)
    reference = OPERATIONS[cell.operation].exact(a, b, at)
    difference = _on_host(out[at][:, at]) - reference
    return float(torch.linalg.norm(difference) / torch.linalg.norm(reference))


def tolerance(cell: Cell) -> float:
    """Largest error of a right result: rounding errors of n terms adding up at random, ε√n."""
    return float(torch.finfo(getattr(torch, cell.dtype)).eps * math.sqrt(cell.n))


def _prove(measured: Trial, name: str, work: Work[Any], cell: Cell, seed: int) -> None:
    """Check the result of one more call; refuse a trial whose result is wrong."""
    operands = work.prepare(torch.Generator(device=cell.place).manual_seed(seed))
    work.run(operands)
    triple: Triple = operands[0] if isinstance(operands[0], tuple) else operands
    error = relative_error(cell, triple, seed)
    allowed = tolerance(cell)
    if not error <= allowed:
        _refuse(measured, f"wrong result ({name}): relative error {error:.1e}, not {allowed:.1e}")


def _refuse(measured: Trial, reason: str) -> None:
    measured.status, measured.reason = Status.REFUSED, reason


def _add_throughput(measured: Trial, cell: Cell) -> None:
    """FLOP/s of the device as a whole: on all threads, or with resident operands."""
    arms: Any = measured.result["arms"]
    if not arms:
        return
    arm = "all_threads" if "all_threads" in arms else trial.ANCHOR
    flops = cell.flops / arms[arm]["time_median_s"]
    measured.result |= {"arm": arm, "throughput_flops": flops}


def device_times(
    work: Work[Any], place: torch.device, block_s: float, seed: int
) -> dict[str, JsonValue]:
    """What the other clocks say: the device's own, and one that does not wait for the device."""
    operands = work.prepare(torch.Generator(device=place).manual_seed(seed))
    own = CudaClock(place)
    block = own.calibrate(lambda: work.run(operands), block_s)
    device = [own.time(lambda: work.run(operands), block) for _ in range(REPEATS)]
    launch = []
    for _ in range(REPEATS):
        own.synchronize()
        start = time.perf_counter()
        work.run(operands)
        launch.append(time.perf_counter() - start)
    own.synchronize()
    return {
        "device_s": statistics.median(device),
        "unsynchronised_s": statistics.median(launch),
    }


def _refuse_beyond_peak(measured: Trial, cell: Cell) -> None:
    peak = machine.peak_flops(cell.place, cell.dtype)
    measured.result["peak_flops"] = peak
    seen: Any = measured.result.get("throughput_flops")
    if peak and seen and cell.operation == "product" and seen > PEAK_TOLERANCE * peak:
        _refuse(
            measured,
            f"{seen / 1e12:.0f} TFLOP/s is above the theoretical {peak / 1e12:.0f}: "
            "the clock missed part of the work",
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("crossover", {"n": int, "occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
