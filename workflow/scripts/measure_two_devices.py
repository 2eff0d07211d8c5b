"""Time two products on two devices at once against the same two in sequence on one.

    python workflow/scripts/measure_two_devices.py --device cuda:0 --n 4096 --output 4096.json

Where there are not two GPUs, the same code times two *stand-ins* for devices, and the record says
so: two streams of one GPU, or two halves of the CPU's cores.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from assay import device, job, machine
from assay.device import Unavailable
from assay.job import Job
from assay.record import Status, Trial
from assay.timing import trial
from assay.timing.clock import Block, Call, HostClock
from assay.timing.kernel import kernel_name
from assay.timing.product import is_missing_kernel
from assay.timing.trial import Work
from pydantic import JsonValue

AT_ONCE = "at_once"  # the arm that is compared with the anchor, the same work in sequence
QUESTION, STAND_IN = "question", "stand-in"
ROWS = 64  # of each product, checked against float64
PEAK_TOLERANCE = 1.05
ONCE = Block(1)
TIMINGS = 5  # from which to tell how long a product takes
TOPOLOGY = Path("/sys/devices/system/cpu")

Operands = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


# ---- lanes: two devices, or what stands in for them ----------------------------------------------


class Lane(Protocol):
    """Does what it is given, one call after the other, while the caller goes on."""

    device: torch.device

    def start(self, call: Call) -> None:
        """Hand a call over, and return at once."""

    def wait(self) -> None:
        """Return when everything that was handed over is done."""

    def described(self) -> dict[str, JsonValue]:
        """What stands behind it, for the record."""


class StreamLane:
    """A GPU and a stream of its own: what a call launches is queued there."""

    def __init__(self, place: torch.device) -> None:
        self.device = place
        self._stream = torch.Stream(device=place)

    def start(self, call: Call) -> None:
        with self._stream:
            call()

    def wait(self) -> None:
        torch.accelerator.synchronize(self.device)

    def described(self) -> dict[str, JsonValue]:
        module = torch.get_device_module(self.device)
        name = getattr(module, "get_device_name", lambda _: None)(self.device)
        return {"device": str(self.device), "name": name}


class CoreLane:
    """A part of the CPU's cores: a thread that works through a queue, as a stream does.

    Torch counts and keeps its OpenMP threads per calling thread, and a thread inherits the cores
    of the one that starts it. So two such lanes compute side by side in one process, each on its
    own cores, and the process's own counters still show what either of them had to wait for.
    """

    device = torch.device("cpu")

    def __init__(self, cpus: Sequence[int] | None, threads: int) -> None:
        self._cpus = cpus
        self._pending: list[Future[Any]] = []
        self._queue = ThreadPoolExecutor(1)
        self._pinned, self._threads = self._queue.submit(occupy, cpus, threads).result()

    def start(self, call: Call) -> None:
        self._pending.append(self._queue.submit(call))

    def wait(self) -> None:
        pending, self._pending = self._pending, []
        for each in pending:
            each.result()

    def described(self) -> dict[str, JsonValue]:
        cpus: list[JsonValue] | None = list(self._cpus) if self._cpus and self._pinned else None
        return {"device": "cpu", "threads": self._threads, "pinned_to_cpus": cpus}

    def close(self) -> None:
        """End the thread, whatever it was doing; what waits in the queue is dropped."""
        self._queue.shutdown(cancel_futures=True)


def occupy(cpus: Sequence[int] | None, threads: int) -> tuple[bool, int]:
    """Bind the calling thread, and those it will start, to these CPUs; set its torch threads.

    Returns:
        Whether it is bound, and how many threads torch will use for it.
    """
    torch.set_num_threads(threads)
    try:
        if cpus:
            os.sched_setaffinity(0, cpus)  # 0 is the calling thread, not the process
    except (AttributeError, OSError):  # not on macOS; forbidden in some containers
        return False, torch.get_num_threads()
    return bool(cpus), torch.get_num_threads()


class LanesClock(HostClock):
    """The host's clock until every lane is done: no lane's own events could see the other."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        super().__init__(lanes[0].device)
        self._lanes = lanes

    def synchronize(self) -> None:
        """Wait for every lane."""
        for lane in self._lanes:
            lane.wait()


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


def pairs(place: torch.device, gpus: int, threads: int) -> list[Pair]:
    """What a job on this device measures: two GPUs, or a stand-in and why it is one.

    With two GPUs the job of the CPU does not speak of them: that of a GPU answers.
    """
    real = Pair("two GPUs", QUESTION, lambda: two_gpus(place, gpus))
    if place.type == "cpu":
        halves = Pair("two halves of the CPU's cores", STAND_IN, lambda: two_halves(threads))
        return [halves] if gpus >= 2 else [real, halves]
    streams = Pair("two streams of one GPU", STAND_IN, lambda: two_streams(place))
    return [real] if gpus >= 2 else [real, streams]


@contextmanager
def two_gpus(place: torch.device, count: int) -> Iterator[Lanes]:
    """This GPU and the next one.

    Raises:
        Unavailable: There are not two.
    """
    if count < 2:
        raise Unavailable(f"needs two GPUs, found {count or 'none'}")
    second = device.connect(f"{place.type}:{((place.index or 0) + 1) % count}")
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
        reason = str(error).strip().splitlines()[0]
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


def physical_cores(root: Path = TOPOLOGY) -> list[list[int]] | None:
    """The CPUs this process may use, those of one physical core together, neighbours side by side.

    None where the system does not tell which they are.
    """
    try:
        cpus = os.sched_getaffinity(0)
    except AttributeError:  # not on macOS
        return None
    cores: dict[tuple[int, int], list[int]] = {}
    for cpu in sorted(cpus):
        cores.setdefault(_core(root / f"cpu{cpu}/topology", cpu), []).append(cpu)
    return [cores[core] for core in sorted(cores)]


def _core(folder: Path, cpu: int) -> tuple[int, int]:
    """Socket and core of a CPU; a CPU that does not tell is a core of its own."""
    try:
        socket, core = (
            int((folder / name).read_text()) for name in ("physical_package_id", "core_id")
        )
    except (OSError, ValueError):
        return -1, cpu
    return socket, core


def halve(cores: Sequence[Sequence[int]] | None) -> tuple[list[int], list[int]] | None:
    """The CPUs of the first half of the cores and those of the second, equally many cores each.

    A single core is split between its hyperthreads. None where the cores are not known.
    """
    if cores is None:
        return None
    parts = cores if len(cores) > 1 else [[cpu] for core in cores for cpu in core]
    middle = len(parts) // 2
    left, right = parts[:middle], parts[middle : 2 * middle]
    return list(chain.from_iterable(left)), list(chain.from_iterable(right))


# ---- the work ------------------------------------------------------------------------------------


def products(lanes: Sequence[Lane], n: int, dtype: torch.dtype, repeats: int) -> Work[Any]:
    """A product of two n × n matrices on each lane, so many times: 2n³ FLOP each.

    The same lane twice is both products in sequence on one device; two lanes are one product on
    each at once.
    """

    def prepare(generator: torch.Generator) -> tuple[Operands, ...]:
        return tuple(operands(lane, n, dtype, generator) for lane in lanes)

    def run(sets: tuple[Operands, ...]) -> None:
        for lane, each in zip(lanes, sets, strict=True):
            lane.start(partial(multiply, each, repeats))

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
            # Drawn in float32: not every dtype has a generator on every device.
            matrix.copy_(torch.randn(n, n, generator=own, device=lane.device))
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
    found = pairs(job.device, torch.accelerator.device_count(), torch.get_num_threads())
    return [_measure_pair(job, pair) for pair in found]


def _measure_pair(job: Job, pair: Pair) -> Trial:
    what: dict[str, JsonValue] = {
        "pair": pair.name,
        "role": pair.role,
        "n": job.axes["n"],
        "dtype": job.settings["dtype"],
    }
    try:
        with pair.lanes() as lanes:
            return _compare(what, lanes, job)
    except Unavailable as missing:
        return Trial(what=what, status=Status.UNAVAILABLE, reason=str(missing))
    except (MemoryError, RuntimeError) as error:
        if status := _recorded(error):
            return Trial(what=what, status=status, reason=str(error).strip().splitlines()[0])
        raise


def _recorded(error: BaseException) -> Status | None:
    """The status of an error that is a result; None for a bug."""
    if job.is_out_of_memory(error):
        return Status.OUT_OF_MEMORY
    if is_missing_kernel(error):
        return Status.UNAVAILABLE
    return None


def _compare(what: dict[str, JsonValue], lanes: Lanes, job: Job) -> Trial:
    """The paired trial: both products in sequence on one lane, one on each at once."""
    settings, n, seed = job.settings, job.axes["n"], job.settings["seed"]
    dtype = getattr(torch, settings["dtype"])
    clock = LanesClock(lanes)
    protocol = trial.Protocol.from_settings(settings["protocol"], clock.device)
    # Shorter blocks would time how products are handed over: none are cut beside a neighbour.
    protocol = replace(protocol, block_s=settings["work_s"], block_least_s=settings["work_s"])
    repeats = enough_repeats(lanes[0], n, dtype, settings["work_s"], clock, seed)
    in_sequence = products((lanes[0], lanes[0]), n, dtype, repeats)
    at_once = products(lanes, n, dtype, repeats)
    _settle(at_once, protocol, clock, seed)
    measured = trial.compare(what, in_sequence, {AT_ONCE: at_once}, protocol, clock, seed)
    measured.result |= {"repeats": repeats, "lanes": [lane.described() for lane in lanes]}
    if measured.status in (Status.OK, Status.CONTENDED):
        _prove(measured, at_once, lanes, clock, seed, protocol.rounds_least)
    return measured


def _settle(work: Work[Any], protocol: trial.Protocol, clock: LanesClock, seed: int) -> None:
    sets = work.prepare(torch.Generator(clock.device).manual_seed(seed))
    trial.settle(lambda: work.run(sets), protocol, clock)


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

    kernel = kernel_name(complete, clock.device)
    error, allowed = max(relative_error(each) for each in sets), tolerance(n, name)
    places = {lane.device for lane in lanes}
    peaks = [machine.peak_flops(place, name) for place in places]
    peak = None if None in peaks else sum(filter(None, peaks))
    measured.result |= {
        "kernel": kernel,
        "relative_error": error,
        "relative_error_allowed": allowed,
        "peak_flops": peak,
        "handover_s": handover_s(work, sets, clock, count),
        "wrong_stream_s": wrong_stream_s(work, sets, clock),
        "gpus": [machine.gpu_conditions(place) for place in places if place.type == "cuda"],
    }
    if error > allowed:
        _refuse(measured, f"wrong product: relative error {error:.1e}, at most {allowed:.1e}")
    arms: Any = measured.result["arms"]
    if not arms:
        return
    flops = work.units / arms[AT_ONCE]["time_median_s"]
    measured.result["throughput_flops"] = flops
    if peak and flops > PEAK_TOLERANCE * peak:
        _refuse(
            measured,
            f"{flops / 1e12:.0f} TFLOP/s is above the theoretical {peak / 1e12:.0f}: "
            "the clock missed part of the work",
        )


def _refuse(measured: Trial, reason: str) -> None:
    measured.status, measured.reason = Status.REFUSED, reason


def relative_error(operands: Operands) -> float:
    """Relative Frobenius error against float64 of some rows of a product that was just computed.

    The reference is summed in two halves, so that float64 itself is compared with another order
    of summation and not with its own bits.
    """
    a, b, out = operands
    exact = torch.device("cpu") if a.device.type == "mps" else a.device  # MPS has no float64
    step = math.ceil(a.shape[0] / ROWS)
    a, b, out = (matrix.to(exact, torch.float64) for matrix in (a[::step], b, out[::step]))
    half = b.shape[0] // 2
    reference = a[:, :half] @ b[:half] + a[:, half:] @ b[half:]
    return float(torch.linalg.norm(out - reference) / torch.linalg.norm(reference))


def tolerance(n: int, name: str) -> float:
    """Largest error of a right product: rounding errors of n terms adding up at random, ε√n."""
    return float(torch.finfo(getattr(torch, name)).eps * math.sqrt(n))


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
    with torch.cuda.device(clock.device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        clock.synchronize()
        start.record()
        work.run(sets)
        end.record()
        clock.synchronize()
    return float(start.elapsed_time(end)) * 1e-3


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("two_devices", {"n": int, "occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
