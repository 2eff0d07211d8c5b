"""The clocks, on a GPU that does not exist: a host that launches, a queue, and a device behind it.

Time is virtual. Nothing sleeps, and no result depends on the machine that runs the tests.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import measure_alignment
import measure_crossover
import pytest
import torch
from assay import contention, device, machine
from assay.ladder import rungs
from assay.record import Status
from assay.timing import clock, cuda, trial
from assay.timing.clock import Block, CudaClock, HostClock, NotAhead
from assay.timing.trial import Protocol, Work
from builders import PROTOCOL
from conftest import ROOT

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
KERNEL_S = 2e-6
BOOST_HZ = 2e9


@dataclass
class Simulation:
    """A host and its GPU; it stands in for the queue and for the host's clock.

    Attributes:
        launch_s: What handing over one kernel costs the host.
        depth: Kernels that may wait; the host has to, while there are as many.
        idle_hz: The GPU's clock before ``ramp_s`` of host time.
    """

    launch_s: float = 5e-6
    depth: int = 1024
    idle_hz: float = BOOST_HZ
    ramp_s: float = 0.0
    now: float = 0.0  # on the host
    done: float = 0.0  # when the device has done everything
    pending: deque[float] = field(default_factory=deque)

    def launch(self, seconds: float, cost: float | None = None) -> float:
        """Hand over a kernel that takes so long; returns when it will be done."""
        self.now += self.launch_s if cost is None else cost
        if len(self.pending) == self.depth:
            self.now = max(self.now, self.pending[0])
        while self.pending and self.pending[0] <= self.now:
            self.pending.popleft()
        self.done = max(self.done, self.now) + seconds
        self.pending.append(self.done)
        return self.done

    def mark(self) -> Any:
        at = self.launch(0.0, 5e-7)
        return SimpleNamespace(
            at=at, query=lambda: at <= self.now, elapsed_time=lambda end: 1e3 * (end.at - at)
        )

    def sleep(self, cycles: int) -> None:
        self.launch(cycles / (self.idle_hz if self.now < self.ramp_s else BOOST_HZ))

    def wait(self, *_: Any) -> None:
        self.now = max(self.now, self.done)

    def perf_counter(self) -> float:
        return self.now

    def perf_counter_ns(self) -> int:
        return round(self.now * 1e9)

    def kernels(self, count: int, seconds: float = KERNEL_S) -> Callable[[], None]:
        """A call that launches so many kernels."""

        def call() -> None:
            for _ in range(count):
                self.launch(seconds)

        return call


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Simulation]:
    """A simulation in place of the queue of every CUDA device and of the host's clock."""

    def install(**properties: float) -> Simulation:
        made = Simulation(**properties)  # type: ignore[arg-type]
        monkeypatch.setattr(clock, "Queue", lambda device: made)
        monkeypatch.setattr(clock, "time", made)
        monkeypatch.setattr(torch.accelerator, "synchronize", made.wait)
        return made

    return install


# ---- the device's clock --------------------------------------------------------------------------


@pytest.mark.parametrize("ramp_s", [0.0, 0.02], ids=["warm", "out of idle"])
@pytest.mark.parametrize("launch_us", [1, 2.5, 5, 12])
@pytest.mark.parametrize("count", [1, 5, 20, 50, 100, 400])
def test_what_is_timed_is_the_device_and_not_its_launches(
    simulated: Callable[..., Simulation], count: int, launch_us: float, ramp_s: float
) -> None:
    idle = {"idle_hz": 3.45e8, "ramp_s": ramp_s} if ramp_s else {}
    gpu = simulated(launch_s=launch_us * 1e-6, **idle)
    own, call = CudaClock(GPU), gpu.kernels(count)
    block = own.calibrate(call, 2e-3)
    gpu.now += 1  # what happens between calibrating and timing: the clock has risen
    for _ in range(3):
        assert own.time(call, block) == pytest.approx(count * KERNEL_S, rel=0.02)
    assert own.time(call, block.scaled(0.25)) == pytest.approx(count * KERNEL_S, rel=0.02)


def test_a_block_lasts_as_long_as_asked_where_the_queue_has_room(
    simulated: Callable[..., Simulation],
) -> None:
    gpu = simulated()
    call = gpu.kernels(1, 20e-6)
    assert CudaClock(GPU).calibrate(call, 2e-3).calls == pytest.approx(100, rel=0.1)
    assert CudaClock(GPU).calibrate(gpu.kernels(1, 1.0), 2e-3).calls == 1
    assert 100 < CudaClock(GPU).calibrate(gpu.kernels(1), 1.0).calls < gpu.depth


def test_a_late_launch_is_timed_again(simulated: Callable[..., Simulation]) -> None:
    gpu = simulated()
    calls = gpu.kernels(20)
    own = CudaClock(GPU)
    block = own.calibrate(calls, 2e-3)
    hiccups = iter([False, True])  # not while it is led in

    def call() -> None:
        gpu.now += 0.02 * next(hiccups, False)  # the host was elsewhere
        calls()

    assert own.time(call, block) == pytest.approx(20 * KERNEL_S, rel=0.02)


def test_hiccups_while_it_is_calibrated_make_no_block_short(
    simulated: Callable[..., Simulation],
) -> None:
    gpu = simulated()
    launch, calls = gpu.kernels(5), iter(range(1, 10**6))
    late_s = {2: 2e-4, 3: 2e-4, 4: 4e-4, 5: 4e-4}  # twice in a row, by the number of the call

    def call() -> None:
        gpu.now += late_s.get(next(calls), 0.0)
        launch()

    assert CudaClock(GPU).calibrate(call, 1e-3).calls == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("why", ["the queue is full", "it waits for the device"])
def test_a_call_that_cannot_be_launched_ahead_is_not_for_this_clock(
    simulated: Callable[..., Simulation], why: str
) -> None:
    gpu = simulated()
    own, launches = CudaClock(GPU), gpu.kernels(3000)

    def waits() -> None:
        gpu.launch(KERNEL_S)
        gpu.wait()

    with pytest.raises(NotAhead):
        own.calibrate(launches if why == "the queue is full" else waits, 2e-3)


def test_no_device_is_kept_waiting_for_seconds(
    simulated: Callable[..., Simulation],
) -> None:
    """However long a call waits itself: one that also draws a screen would end the program."""
    gpu, call_s, calls = simulated(), 5.0, []

    def waits() -> None:
        calls.append(gpu.now)
        gpu.launch(call_s)
        gpu.wait()

    with pytest.raises(NotAhead):
        CudaClock(GPU).calibrate(waits, 2e-3)
    assert gpu.now < len(calls) * (call_s + 1)


# ---- one clock for all arms ----------------------------------------------------------------------


@pytest.fixture
def without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a trial asks of a GPU besides its clock."""
    generator = SimpleNamespace(manual_seed=lambda seed: None)
    monkeypatch.setattr(torch, "Generator", lambda device: generator)
    monkeypatch.setattr(machine, "free_memory", lambda device: None)
    monkeypatch.setattr(contention, "longest_wait", lambda *_: 0.0)


PACE = {
    "half_width": 0.02,
    "block_s": 2e-3,
    "block_least_s": 1e-4,
    "lead_in_s": 0,
    "energy_s": 0.02,
    "warmup_calls": 1,
    "warmup_s": 0.0,
    "settle_s": 0.0,
}


def work(call: Callable[[], None]) -> Work[Any]:
    return Work(lambda generator: None, lambda operands: call())


@pytest.mark.usefixtures("without_a_gpu")
@pytest.mark.parametrize(
    ("kernels", "name"), [(40, CudaClock.name), (400, CudaClock.name), (3000, HostClock.name)]
)
def test_all_arms_of_a_trial_are_timed_by_one_clock_which_is_named(
    simulated: Callable[..., Simulation], kernels: int, name: str
) -> None:
    """Ten kernels against many: as many times as long, whatever clock it is."""
    gpu = simulated()
    protocol = Protocol.from_settings({**PROTOCOL, "gpu": PACE}, GPU)
    seen = trial.compare(
        {},
        work(gpu.kernels(10)),
        {"target": work(gpu.kernels(kernels))},
        protocol,
        CudaClock(GPU),
        seed=1,
    )
    ratios: Any = seen.result["ratios"]
    assert ratios["target"]["ratio"] == pytest.approx(kernels / 10, rel=0.03)
    assert seen.result["clock"] == name


@pytest.mark.usefixtures("without_a_gpu")
def test_what_only_stands_beside_a_trial_does_not_cost_it(
    simulated: Callable[..., Simulation],
) -> None:
    """More kernels than the queue holds: the trial is the host's, and other clocks are silent."""
    call = simulated().kernels(3000)
    assert measure_alignment._launch_times(call, CudaClock(GPU)) == {}
    assert measure_crossover.device_times(work(call), GPU, 1e-3, seed=1) == {}


@pytest.mark.usefixtures("without_a_gpu")
def test_a_host_that_waits_disturbs_no_gpu_that_is_ahead_of_it(
    simulated: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is in the time can be wrong with it."""
    monkeypatch.setattr(contention, "longest_wait", lambda *_: 1e6)
    protocol = Protocol.from_settings({**PROTOCOL, "cap_s": 0.2, "gpu": PACE}, GPU)
    seen = {}
    for made in (CudaClock, HostClock):
        gpu = simulated()
        arms = work(gpu.kernels(10)), {"target": work(gpu.kernels(20))}
        seen[made] = trial.compare({}, *arms, protocol, made(GPU), seed=1)
    assert seen[CudaClock].status == Status.OK
    assert seen[HostClock].status == Status.CONTENDED


@pytest.mark.usefixtures("without_a_gpu")
def test_rounds_with_late_launches_are_void(
    simulated: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = simulated()
    target = work(gpu.kernels(20))
    protocol = Protocol.from_settings({**PROTOCOL, "cap_s": 0.2, "gpu": PACE}, GPU)
    calibrate = trial._calibrate

    def then_full(*given: Any) -> Any:
        found = calibrate(*given)
        gpu.depth = 10  # somebody else's work fills the queue
        return found

    monkeypatch.setattr(trial, "_calibrate", then_full)
    seen = trial.compare({}, target, {"target": target}, protocol, CudaClock(GPU), seed=1)
    assert seen.status == Status.CONTENDED
    assert "late launches" in str(seen.reason)


@pytest.mark.usefixtures("without_a_gpu")
@pytest.mark.parametrize("capped", [False, True])
def test_a_clock_that_falls_voids_its_rounds_unless_power_holds_it_down(
    simulated: Callable[..., Simulation], monkeypatch: pytest.MonkeyPatch, capped: bool
) -> None:
    """As it does of a T4 in any large product."""
    clocks = chain([1.59e9], repeat(0.9e9))
    monkeypatch.setattr(machine, "sm_clock_hz", lambda device: next(clocks))
    monkeypatch.setattr(machine, "power_capped", lambda device: capped)
    gpu = simulated()
    target = work(gpu.kernels(20))
    protocol = Protocol.from_settings({**PROTOCOL, "cap_s": 0.2, "gpu": PACE}, GPU)
    seen = trial.compare({}, target, {"target": target}, protocol, CudaClock(GPU), seed=1)
    assert seen.status == (Status.OK if capped else Status.CONTENDED)
    assert capped or "SM clock" in str(seen.reason)


@pytest.mark.parametrize(
    ("calls", "timed"), [(1, [1.0]), (2, [0.5, 0.25]), (3, [0.5, 0.25, 0.125])]
)
def test_of_several_calls_a_first_one_leads_in(
    simulated: Callable[..., Simulation], calls: int, timed: list[float]
) -> None:
    """It finds cold caches: timed, it would make a block of few calls seem slow."""
    host = simulated()
    cost = iter([1.0, 0.5, 0.25, 0.125])

    def call() -> None:
        host.now += next(cost)

    assert HostClock(CPU).time(call, Block(calls)) == pytest.approx(sum(timed) / calls)


def test_the_host_counts_what_a_person_waits_for(simulated: Callable[..., Simulation]) -> None:
    gpu = simulated()
    own = HostClock(GPU)
    seen = own.time(gpu.kernels(100), Block(10))
    assert seen == pytest.approx(100 * gpu.launch_s, rel=0.02)


@pytest.mark.parametrize("script", ["steps", "implementation", "reproduction"])
def test_a_step_of_training_is_timed_by_the_host(script: str) -> None:
    """Its launches are part of what a person waits for."""
    source = (ROOT / f"workflow/scripts/measure_{script}.py").read_text(encoding="utf-8")
    if script == "reproduction":  # which times products, too
        source = source[source.index("def steps_alone(") : source.index("def disagreement(")]
    assert "clock_for(" not in source


# ---- graphs --------------------------------------------------------------------------------------


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Torch's streams and graphs as far as a capture uses them; the devices that were current."""
    current: list[Any] = [torch.device("cuda:0")]

    @contextlib.contextmanager
    def on(place: Any) -> Iterator[None]:
        current.append(place)
        yield
        current.pop()

    class Graph:
        launched = 0

    @contextlib.contextmanager
    def capture(graph: Graph, stream: Any) -> Iterator[None]:
        with on(stream.device):
            yield
        if not graph.launched:
            warnings.warn("The CUDA Graph is empty. This usually means …", stacklevel=1)

    def stream(place: torch.device | None = None) -> Any:
        return SimpleNamespace(device=place or current[-1], wait_stream=lambda other: None)

    fakes = {
        "device": on,
        "stream": lambda own: on(own.device),
        "Stream": stream,
        "current_stream": stream,
        "CUDAGraph": Graph,
        "graph": capture,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    cuda._beside.cache_clear()
    yield current
    cuda._beside.cache_clear()


def test_a_graph_is_recorded_on_its_own_device(streams: list[Any]) -> None:
    second, seen = torch.device("cuda:1"), []

    def call() -> None:
        seen.append(streams[-1])
        Graph.launched = 1

    Graph = torch.cuda.CUDAGraph
    cuda.Queue(second).capture(call)
    assert seen == [second, second]  # warm-up and capture
    assert streams == [torch.device("cuda:0")]


def test_a_graph_of_nothing_is_refused(streams: list[Any]) -> None:
    with pytest.raises(RuntimeError, match="nothing was launched on cuda:1"):
        cuda.Queue(torch.device("cuda:1")).capture(lambda: None)


def test_no_graph_of_autograd_is_alive_when_a_step_is_captured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive: list[bool] = []

    class Recorder:
        def __init__(self, place: torch.device) -> None:
            pass

        def capture(self, call: Callable[[], None], warm_up: Callable[[], None]) -> None:
            warm_up()
            alive.append(made[0].loss is not None)
            alive.extend(each.grad is not None for each in made[0].network.parameters())

    made: list[rungs.Graph] = []
    start = rungs.Framework.__init__
    monkeypatch.setattr(rungs, "Queue", Recorder)
    monkeypatch.setattr(
        rungs.Framework, "__init__", lambda own, *given: (made.append(own), start(own, *given))[1]
    )
    network = rungs.multilayer([8], seed=1)
    rungs.Graph(network, 0.1, torch.randn(4, 784), torch.zeros(4, dtype=torch.long))
    assert alive
    assert not any(alive)


def test_a_recurrent_network_is_copied_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[Any] = []
    monkeypatch.setattr(torch.nn.RNN, "flatten_parameters", lambda own: joined.append(own))
    network = rungs.recurrent(8, 1, seed=1)
    joined.clear()
    rung = rungs.Framework(network, 0.1, torch.randn(4, 784), torch.zeros(4, dtype=torch.long))
    assert joined == [rung.network.rnn]


# ---- what a label stands for ---------------------------------------------------------------------


@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:1", 1)])
def test_a_cuda_device_has_its_number_and_is_the_current_one(
    monkeypatch: pytest.MonkeyPatch, name: str, index: int
) -> None:
    chosen: list[int] = []
    ones = torch.ones
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "ones", lambda *shape, device: ones(*shape))
    monkeypatch.setattr(torch.accelerator, "set_device_index", chosen.append)
    assert device.connect(name) == torch.device("cuda", index)
    assert chosen == [index]
    assert device.reach("cuda:1") == torch.device("cuda:1")  # another one, used beside it
    assert chosen == [index]
