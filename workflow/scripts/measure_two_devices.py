"""Time two products on two devices at once against the same two in sequence on one.

    python workflow/scripts/measure_two_devices.py --device cuda:0 --n 4096 --output 4096.json

Where there are not two GPUs, the same code times two *stand-ins* for devices, and the record says
so: two streams of one GPU, or two halves of the CPU's cores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from assay import device, job, machine
from assay.device import Unavailable
from assay.job import Job
from assay.record import Status, Trial
from assay.timing import proof, trial
from assay.timing.clock import Block, Call, HostClock
from assay.timing.cuda import Queue
from assay.timing.kernel import kernel_name
from assay.timing.lanes import CoreLane, Lane, LanesClock, StreamLane, halve, physical_cores
from assay.timing.product import normal
from assay.timing.trial import Work
from pydantic import JsonValue

AT_ONCE = "at_once"  # the arm that is compared with the anchor, the same work in sequence
QUESTION, STAND_IN = "question", "stand-in"
ROWS = 64  # of each product, checked against float64
ONCE = Block(1)
TIMINGS = 5  # from which to tell how long a product takes

Operands = proof.Product


# ---- which two -----------------------------------------------------------------------------------


Lanes = tuple[Lane, Lane]


@dataclass(frozen=True)
class Pair:
    """Two lanes that can be had.

    Attributes:
        name: As people read it.
        role: Whether they are what the question asks for, or stand in for it.
        lanes: Opens them; raises Unavailable where they are not here.
    """

    name: str
    role: str
    lanes: Callable[[], AbstractContextManager[Lanes]]


def pairs(place: torch.device, gpus: int, threads: int, earlier: Sequence[str] = ()) -> list[Pair]:
    """What a job on this device measures: two GPUs, or a stand-in and why it is one.

    With two GPUs the job of the CPU does not speak of them: that of a GPU answers, and where there
    are no more than two, that of the first of them which the run measures, for both.

    Args:
        place: The job's device.
        gpus: How many there are.
        threads: Of the CPU.
        earlier: The GPUs that the run measures before this one.
    """
    real = Pair("two GPUs", QUESTION, lambda: two_gpus(place, gpus))
    if place.type == "cpu":
        halves = Pair("two halves of the CPU's cores", STAND_IN, lambda: two_halves(threads))
        return [halves] if gpus >= 2 else [real, halves]
    streams = Pair("two streams of one GPU", STAND_IN, lambda: two_streams(place))
    if gpus == 2 and any((torch.device(each).index or 0) != place.index for each in earlier):
        return []
    return [real] if gpus >= 2 else [real, streams]


@contextmanager
def two_gpus(place: torch.device, count: int) -> Iterator[Lanes]:
    """This GPU and the next one.

    Raises:
        Unavailable: There are not two.
    """
    if count < 2:
        raise Unavailable(f"needs two GPUs, found {count or 'none'}")
    second = device.reach(f"{place.type}:{((place.index or 0) + 1) % count}")
    yield StreamLane(place), StreamLane(second)


@contextmanager
def two_streams(place: torch.device) -> Iterator[Lanes]:
    """Two streams of the same GPU.

    Raises:
        Unavailable: Torch has no streams there.
    """
    try:
        lanes = StreamLane(place), StreamLane(place)
        lanes[0].start(lambda: None)
    except (RuntimeError, NotImplementedError) as error:
        reason = device.first_line(error)
        raise Unavailable(f"torch has no streams on {place.type}: {reason}") from None
    yield lanes


@contextmanager
def two_halves(threads: int) -> Iterator[Lanes]:
    """Two halves of the cores that this process may use, and of the threads it was given.

    Raises:
        Unavailable: There is only one.
    """
    parts = halve(physical_cores())
    if threads < 2 or parts == ([], []):
        raise Unavailable(f"needs two CPU threads and two CPUs, found {min(threads, 1)}")
    left, right = parts or (None, None)
    opened: list[CoreLane] = []
    try:
        for cpus in (left, right):
            opened.append(CoreLane(cpus, min(threads // 2, len(cpus or range(threads)))))
        yield opened[0], opened[1]
    finally:
        for lane in opened:
            lane.close()
        torch.set_num_threads(threads)  # the lanes' number would be that of every new thread


# ---- the work ------------------------------------------------------------------------------------


def products(lanes: Sequence[Lane], n: int, dtype: torch.dtype, repeats: int) -> Work[Any]:
    """A product of two n × n matrices on each lane, so many times: 2n³ FLOP each.

    The same lane twice is both products in sequence on one device; two lanes are one product on
    each at once. In both cases they are handed over in the lanes' turns.
    """
    turn = lanes[0].turn or repeats

    def prepare(generator: torch.Generator) -> tuple[Operands, ...]:
        return tuple(operands(lane, n, dtype, generator) for lane in lanes)

    def run(sets: tuple[Operands, ...]) -> None:
        for done in range(0, repeats, turn):
            for lane, each in zip(lanes, sets, strict=True):
                lane.start(partial(multiply, each, min(turn, repeats - done)))

    return Work(prepare, run, units=len(lanes) * repeats * 2.0 * n**3)


def operands(lane: Lane, n: int, dtype: torch.dtype, generator: torch.Generator) -> Operands:
    """Two n × n matrices of normal random numbers and room for their product.

    The lane itself fills them: what first writes to memory decides to which socket it is near.
    """
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    a, b, out = (torch.empty(n, n, dtype=dtype, device=lane.device) for _ in range(3))

    def fill() -> None:
        own = torch.Generator(lane.device).manual_seed(seed)
        for matrix in (a, b):
            normal(matrix, own)
        out.zero_()

    lane.start(fill)
    lane.wait()
    return a, b, out


def multiply(operands: Operands, repeats: int) -> None:
    """The product, so many times."""
    a, b, out = operands
    for _ in range(repeats):
        torch.mm(a, b, out=out)


def enough_repeats(
    lane: Lane, n: int, dtype: torch.dtype, work_s: float, clock: HostClock, seed: int
) -> int:
    """How many products keep a lane busy for so many seconds, so that starting it costs little."""
    single = products([lane], n, dtype, 1)
    sets = single.prepare(torch.Generator(clock.device).manual_seed(seed))
    clock.time(partial(single.run, sets), ONCE)  # the first call also starts libraries
    repeats = math.ceil(work_s / _least_s(partial(single.run, sets), work_s, clock))
    if repeats > 1:  # not from one alone: most of its time may be the hand-over
        several = products([lane], n, dtype, repeats)
        several_s = _least_s(partial(several.run, sets), work_s, clock)
        repeats = math.ceil(repeats * max(1.0, work_s / several_s))
    return repeats


def _least_s(call: Call, work_s: float, clock: HostClock) -> float:
    """The least of a few timings, as a hiccup would pass for a long call; of one if it is long."""
    seconds: list[float] = []
    while len(seconds) < TIMINGS and sum(seconds) < TIMINGS**2 * work_s:
        seconds.append(clock.time(call, ONCE))
    return min(seconds)


# ---- the trial -----------------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """One trial for two GPUs and, where there are none, one for what stands in for them."""
    gpus, threads = torch.accelerator.device_count(), torch.get_num_threads()
    found = pairs(job.device, gpus, threads, job.settings.get("earlier_gpus", []))
    return [_measure_pair(job, pair) for pair in found]


def _measure_pair(job: Job, pair: Pair) -> Trial:
    what: dict[str, JsonValue] = {
        "pair": pair.name,
        "role": pair.role,
        "n": job.axes["n"],
        "dtype": job.settings["dtype"],
    }

    def measured() -> Trial:
        with pair.lanes() as lanes:
            return _compare(what, lanes, job)

    return proof.attempt(what, measured)


def _compare(what: dict[str, JsonValue], lanes: Lanes, job: Job) -> Trial:
    """The paired trial: both products in sequence on one lane, one on each at once."""
    settings, n, seed = job.settings, job.axes["n"], job.settings["seed"]
    dtype = getattr(torch, settings["dtype"])
    clock = LanesClock(lanes)
    protocol = trial.Protocol.of_study(settings, clock.device)
    # Shorter blocks would time how products are handed over: none are cut beside a neighbour.
    protocol = replace(protocol, block_s=settings["work_s"], block_least_s=settings["work_s"])
    repeats = enough_repeats(lanes[0], n, dtype, settings["work_s"], clock, seed)
    in_sequence = products((lanes[0], lanes[0]), n, dtype, repeats)
    at_once = products(lanes, n, dtype, repeats)
    trial.settle(at_once, protocol, clock, seed)
    measured = trial.compare(what, in_sequence, {AT_ONCE: at_once}, protocol, clock, seed)
    measured.result |= {"repeats": repeats, "lanes": [lane.described() for lane in lanes]}
    if measured.status in (Status.OK, Status.CONTENDED):
        _prove(measured, at_once, lanes, clock, seed, protocol.rounds_least)
    return measured


def _prove(
    measured: Trial,
    work: Work[Any],
    lanes: Lanes,
    clock: LanesClock,
    seed: int,
    count: int,
) -> None:
    """Add kernel, error, throughput and the wrong clocks; refuse what cannot be true."""
    name, n = str(measured.what["dtype"]), int(str(measured.what["n"]))
    sets = work.prepare(torch.Generator(clock.device).manual_seed(seed))

    def complete() -> None:
        work.run(sets)
        clock.synchronize()

    complete()
    error, allowed = max(proof.product_error(each, ROWS) for each in sets), proof.tolerance(n, name)
    places = {lane.device for lane in lanes}
    peaks = [machine.peak_flops(place, name) for place in places]
    peak = None if None in peaks else sum(filter(None, peaks))
    measured.result |= {
        "relative_error": error,
        "relative_error_allowed": allowed,
        "peak_flops": peak,
        "handover_s": handover_s(work, sets, clock, count),
        "wrong_stream_s": wrong_stream_s(work, sets, clock),
        "gpus": [machine.gpu_conditions(place) for place in places if place.type == "cuda"],
        "kernel": kernel_name(complete, clock.device),  # last: a profiler slows later launches
    }
    proof.refuse(measured, proof.wrong(error, allowed))
    arms: Any = measured.result["arms"]
    if arms:
        flops = work.units / arms[AT_ONCE]["time_median_s"]
        measured.result["throughput_flops"] = flops
        proof.refuse(measured, proof.beyond_peak(flops, peak))


def handover_s(work: Work[Any], sets: Any, clock: LanesClock, count: int) -> float:
    """Seconds until the host may go on: what a clock shows that waits for no device.

    The least of so many, as a busy neighbour can only add to it.
    """
    seconds = []
    for _ in range(count):
        clock.synchronize()
        start = time.perf_counter()
        work.run(sets)
        seconds.append(time.perf_counter() - start)
    clock.synchronize()
    return min(seconds)


def wrong_stream_s(work: Work[Any], sets: Any, clock: LanesClock) -> float | None:
    """Seconds between two events on the current stream, where the work is not (CUDA only)."""
    if clock.device.type != "cuda":
        return None
    queue = Queue(clock.device)
    clock.synchronize()
    start = queue.mark()
    work.run(sets)
    end = queue.mark()
    clock.synchronize()
    return float(start.elapsed_time(end)) * 1e-3


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("two_devices", {"n": int, "occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
