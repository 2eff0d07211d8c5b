"""The measurement protocol: one paired trial.

A trial compares *targets* with an *anchor*, in rounds. In every round each arm is timed once, in
an order drawn anew, and beside the anchor runs its *twin*: the same work on other memory, the
A/A control that shows what difference this machine makes up today. Each arm owns several operand
sets at different addresses, and every block draws one, because where operands lie decides, too.

A block during which one of our threads waited for a core is *disturbed* and timed again. Only that
wait decides, never the time, so that what is kept is a fair sample of the undisturbed machine. (A
GPU's own clock does not see the host wait; there it is a block that was launched too late.)
Where much is disturbed, blocks shrink until some fit between two wakes of a neighbour.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from assay import contention, machine, statistic
from assay.record import Status
from assay.record import Trial as TrialRecord
from assay.timing.clock import Block, Clock, HostClock, NotAhead, SharedCores, disturbed
from assay.timing.consumption import Meter, stretch_j

T = TypeVar("T")

ANCHOR, TWIN = "anchor", "twin"
FIRST_CALL = 10  # blocks that a first call, which also starts libraries, may take
ESTIMATES = 3  # of a call, before a trial is given up for its length or blocks are decided
EQUAL = 0.8  # of the estimate before: a call that gets no faster than that is as slow as it seems
HOPELESS = 5  # times its budget that a trial on a CPU would take: one undisturbed estimate tells
GRACE = 2  # times cap_s that the least rounds may take, so that a slower machine is answered, too
MIXED = 3  # times as many calls of one arm fill a block as of another: very different work
TRIES = 5  # of one block in one round
WARMING = 10  # times warmup_s that a call may take to be seen once without a wait for a core
RECENT = 20  # blocks that tell whether a neighbour is there
SHRINK = 0.3  # share of them that were disturbed, from which on blocks shrink
PAUSE_S = 0.02  # after a void round, at most, times the void rounds in a row
PAUSES = 10  # in a row that lengthen it
TURNS = 2  # times as many stretches as are needed to count energy, where some are disturbed
MILD = 0.25  # wait share under which all arms are held up alike, and their ratio still tells


@dataclass(frozen=True)
class Work(Generic[T]):
    """Something to be timed.

    Attributes:
        prepare: Allocates and fills one set of operands, from a generator of the work's device.
        run: Does the work once on such a set, without allocating.
        units: How much one call does (FLOP, bytes, samples); arms are compared by time per unit.
    """

    prepare: Callable[[torch.Generator], T]
    run: Callable[[T], Any]
    units: float = 1.0


@dataclass(frozen=True)
class Protocol:
    """The numbers of the protocol, as the configuration gives them."""

    confidence: float  # of every interval
    rounds_least: int  # kept rounds before a result is given
    rounds_most: int  # kept rounds at most
    look_every: int  # kept rounds between two looks at the intervals
    cap_s: float  # seconds of rounds that count, at most; rounds_least may take GRACE times that
    patience: float  # times cap_s that disturbed rounds, and waiting for better ones, may take
    operand_sets: int  # per arm at most
    operand_sets_least: int  # per arm, even where they need more than operand_bytes
    operand_bytes: int  # of all arms' operand sets together, where fewer sets can keep to it
    void_delay_share: float  # share of a block that a thread waited, above which it is disturbed
    void_clock_share: float  # SM clock, relative to the settled one, below which a round is void
    half_width: float  # stop when every ratio's interval is within ± this
    block_s: float  # seconds in a block at least
    block_least_s: float  # the same where a neighbour disturbs longer ones
    lead_in_s: float  # seconds that an arm runs untimed before its block
    energy_s: float  # seconds in a stretch at least, in which an arm's energy is counted
    warmup_calls: int
    warmup_s: float
    settle_s: float  # seconds at most
    budget: str = "protocol.cap_s"  # what the configuration calls cap_s

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], device: torch.device) -> Protocol:
        """The protocol block of a configuration, with the values for that kind of device."""
        shared = {key: value for key, value in settings.items() if not isinstance(value, dict)}
        return cls(**shared, **settings["cpu" if device.type == "cpu" else "gpu"])

    @classmethod
    def of_study(cls, settings: Mapping[str, Any], device: torch.device) -> Protocol:
        """The protocol of a study, whose own settings go before those of the same name.

        Args:
            settings: The study's, and ``protocol``. Its budget is ``cap_s``, or ``cell_s`` where it
                has several cells.
            device: Where it measures.
        """
        budget = "cell_s" if "cell_s" in settings else "cap_s"
        own = {each.name: settings[each.name] for each in fields(cls) if each.name in settings}
        own |= {"cap_s": settings[budget], "budget": budget}
        return replace(cls.from_settings(settings["protocol"], device), **own)


@dataclass
class _Arm:
    work: Work[Any]
    operands: list[Any]
    block: Block
    times: list[float] = field(default_factory=list)  # seconds per call, one per round

    def call(self, chosen: int) -> Callable[[], Any]:
        run, operands = self.work.run, self.operands[chosen]
        return lambda: run(operands)


def compare(
    what: dict[str, JsonValue],
    anchor: Work[Any],
    targets: Mapping[str, Work[Any]],
    protocol: Protocol,
    clock: Clock,
    seed: int,
    meter: Meter | None = None,
) -> TrialRecord:
    """Run one trial and summarise it.

    Args:
        what: What is compared, for the record.
        anchor: The reference.
        targets: The arms to compare with it, by name (not ``anchor`` or ``twin``).
        protocol: When to stop, what is void.
        clock: The clock of the device that all arms run on; where it cannot time one of them, all
            are timed by the host's.
        seed: Seed of the operands, the order and the draws.
        meter: What counts energy, and of which arms; of none without one.

    Returns:
        A trial whose result holds, per arm, the time of one call (``time_s`` …), and its energy
        where that was counted (``energy_j`` …), and per target and for the twin the time per unit
        of work relative to the anchor (``ratio`` …).
    """
    works = {ANCHOR: anchor, TWIN: anchor, **targets}
    generator = torch.Generator(device=clock.device).manual_seed(seed)
    if too_long := _too_long(works, generator, protocol, clock):
        return TrialRecord(what=what, status=Status.SKIPPED, **too_long)
    arms = _set_up(works, generator, protocol, clock)
    clock = _calibrate(arms, protocol, clock)
    rounds = _Rounds(arms, protocol, clock, np.random.default_rng(seed))
    stopped = rounds.run()
    seen = TrialRecord(what=what, **rounds.outcome(), result=rounds.result(stopped))
    if meter and seen.status == Status.OK:
        rounds.count_energy(meter, seen.result)
    return seen


def kept(measured: TrialRecord, arm: str) -> NDArray[np.float64]:
    """Seconds per call of an arm in the rounds that count, of a trial that :func:`compare` ran."""
    samples: Any = measured.samples
    void = np.array(samples["void"], dtype=bool)
    seconds: NDArray[np.float64] = np.array(samples[arm], dtype=float)[~void]
    return seconds


def settle(work: Work[Any], protocol: Protocol, clock: Clock, seed: int = 0) -> None:
    """Once per process: bring the device to its working clock with the same kind of work.

    A CPU is given ``settle_s``; a GPU works until its SM clock moves less than 1 % over a second.
    The operands are given back before anything is measured.
    """
    operands = work.prepare(torch.Generator(device=clock.device).manual_seed(seed))
    deadline = time.perf_counter() + protocol.settle_s
    clocks: list[float | None] = []
    while time.perf_counter() < deadline:
        pause = min(deadline, time.perf_counter() + 1.0)
        while time.perf_counter() < pause:
            work.run(operands)
            clock.synchronize()
        clocks.append(machine.sm_clock_hz(clock.device))
        last, before = clocks[-1], clocks[-2] if len(clocks) > 1 else None
        if last and before and abs(last / before - 1) < 0.01:
            return


@dataclass(frozen=True)
class _Estimate:
    """What one round will take, from one call of each different work."""

    calls_s: dict[int, float]  # by the identity of the work, as far as they were called
    slow_s: float  # of a round's calls that are far longer than a block
    disturbed: bool


def _too_long(
    works: Mapping[str, Work[Any]], generator: torch.Generator, protocol: Protocol, clock: Clock
) -> dict[str, Any] | None:
    """Why the least rounds won't fit into the budget, as reason and result of a skipped trial.

    A first call is slow for many reasons, and a neighbour makes any call slow: all are called again
    before a trial is given up, until two estimates in a row without a neighbour are about equal.
    One is enough if it is far off on a CPU, where no library takes seconds to start.
    """
    hopeless_s = HOPELESS * GRACE * protocol.cap_s if clock.device.type == "cpu" else math.inf
    before_s = math.inf
    for _ in range(ESTIMATES):
        seen = _estimate(works, generator, protocol, clock)
        estimate_s = seen.slow_s * protocol.rounds_least
        if estimate_s <= GRACE * protocol.cap_s:
            return None
        if not seen.disturbed and estimate_s > min(EQUAL * before_s, hopeless_s):
            break
        before_s = math.inf if seen.disturbed else estimate_s
    reason = f"{protocol.rounds_least} rounds would take {estimate_s:.0f} s or more, over the "
    reason += f"budget of {GRACE * protocol.cap_s:g} s a trial ({GRACE} × {protocol.budget})"
    return {
        "reason": reason + (", beside another program" if seen.disturbed else ""),
        "result": {
            "estimate_s": estimate_s,
            "call_s": seen.calls_s[id(works[ANCHOR])],
            "disturbed": seen.disturbed,
        },
    }


def _estimate(
    works: Mapping[str, Work[Any]], generator: torch.Generator, protocol: Protocol, clock: Clock
) -> _Estimate:
    """Call each different work once, the anchor first.

    Stops once the budget is passed: a slow product is not run only to say how slow.
    """
    seconds: dict[int, float] = {}
    slow_s, disturbed = 0.0, False
    with contention.waits() as waits:
        for work in works.values():
            if id(work) not in seconds:
                operands = work.prepare(generator)
                clock.synchronize()
                before, start = waits.read(), time.perf_counter()
                work.run(operands)
                clock.synchronize()
                seconds[id(work)] = time.perf_counter() - start
                waited_s = contention.longest_wait(before, waits.read()) or 0.0
                # Processes of ours that share the cores are no other program.
                alone = not isinstance(clock, SharedCores)
                disturbed |= alone and waited_s > protocol.void_delay_share * seconds[id(work)]
            if seconds[id(work)] > FIRST_CALL * protocol.block_s:
                slow_s += seconds[id(work)]
            if slow_s * protocol.rounds_least > GRACE * protocol.cap_s:
                break
    return _Estimate(seconds, slow_s, disturbed)


def _set_up(
    works: Mapping[str, Work[Any]], generator: torch.Generator, protocol: Protocol, clock: Clock
) -> dict[str, _Arm]:
    """Allocate every arm's operand sets."""
    first = {name: work.prepare(generator) for name, work in works.items()}
    sets = _operand_sets(first, protocol, machine.free_memory(clock.device))
    operands = {name: [own] for name, own in first.items()}
    for _ in range(sets - 1):  # in turn, so that no arm has the better part of the memory
        for name, work in works.items():
            operands[name].append(work.prepare(generator))
    return {name: _Arm(work, operands[name], Block(1)) for name, work in works.items()}


def _calibrate(arms: Mapping[str, _Arm], protocol: Protocol, clock: Clock) -> Clock:
    """Warm up and decide the calls of a block.

    Whatever slows a machine for some milliseconds makes calls seem long, and a block of too few: of
    several estimates far apart the most calls count, and arms of one work get one block. A call
    that was never shorter than a block is one; a device's own clock looks how far ahead, once.

    Returns:
        The clock of all arms: the host's where the device's own cannot time one of them.
    """
    try:
        quickest_s = {name: _warm_up(arm, protocol, clock) for name, arm in arms.items()}
        blocks: dict[int, list[Block]] = {}
        for passes in range(ESTIMATES):
            for name, arm in arms.items():
                own, long = blocks.setdefault(id(arm.work), []), quickest_s[name] > protocol.block_s
                if long and isinstance(clock, HostClock):
                    own.append(Block(1))
                elif not (long and passes):
                    own.append(clock.calibrate(arm.call(0), protocol.block_s))
    except NotAhead:
        return _calibrate(arms, protocol, HostClock(clock.device))
    for arm in arms.values():
        arm.block = max(blocks[id(arm.work)], key=lambda each: each.calls)
    return clock


def _operand_sets(operands: Mapping[str, Any], protocol: Protocol, free: int | None) -> int:
    """How many operand sets each arm gets.

    Small operands get many: a product of 128 differs by up to 4 % between places in memory, and
    four places a side made one A/A trial in ten find a difference; forty-eight, allocated in turn
    with those of the other arms, none of forty.
    All sets together never take more than half of the free memory.
    """
    size = sum(_bytes(item) for item in operands.values())
    most, least = protocol.operand_sets, min(protocol.operand_sets, protocol.operand_sets_least)
    if not size:
        return most
    sets = max(least, min(most, protocol.operand_bytes // size))
    return sets if free is None else max(1, min(sets, int(free / 2 // size)))


def _bytes(operands: Any) -> int:
    if isinstance(operands, torch.Tensor):
        return operands.untyped_storage().nbytes()
    if isinstance(operands, tuple | list):
        return sum(map(_bytes, operands))
    return 0


def _warm_up(arm: _Arm, protocol: Protocol, clock: Clock) -> float:
    """Call until warm; return the seconds of the quickest call that did not wait for a core.

    Beside busy cores every call may wait for some milliseconds, and seem as long as a block: it is
    called on until one does not.
    """
    start = time.perf_counter()
    waited_s: list[float] = []  # of calls that waited for a core
    free_s: list[float] = []  # of all others
    with contention.waits() as waits:
        while _cold(protocol, len(waited_s), len(free_s), time.perf_counter() - start):
            call = arm.call((len(waited_s) + len(free_s)) % len(arm.operands))
            before, began = waits.read(), time.perf_counter()
            call()
            clock.synchronize()
            call_s = time.perf_counter() - began
            wait_s = contention.longest_wait(before, waits.read())
            spoilt = disturbed(clock, wait_s, protocol.void_delay_share * call_s)
            (waited_s if spoilt else free_s).append(call_s)
    return min(free_s or waited_s)


def _cold(protocol: Protocol, waited: int, free: int, spent_s: float) -> bool:
    """Whether an arm has to be called on, after so many calls that waited for a core or did not."""
    if waited + free < protocol.warmup_calls or spent_s < protocol.warmup_s:
        return True
    return not free and spent_s < WARMING * protocol.warmup_s


@dataclass
class _Round:
    """One round, as it stands in the record: a row of its samples."""

    order: list[str] = field(default_factory=list)  # of the arms
    repeated: int = 0  # blocks that were timed again
    delay_share: float | None = None  # longest wait in a block that stands, as a share of it
    cpu_per_thread: float | None = None
    why_void: str | None = None
    sm_clock_hz: float | None = None
    power_w: float | None = None


class _Rounds:
    """The rounds of one trial: timing, repeating, voiding, stopping, summing up."""

    def __init__(
        self, arms: dict[str, _Arm], protocol: Protocol, clock: Clock, draw: np.random.Generator
    ) -> None:
        self.arms, self.protocol, self.clock, self.draw = arms, protocol, clock, draw
        self.threads = torch.get_num_threads() if clock.device.type == "cpu" else 1
        calls = [arm.block.calls for arm in arms.values()]
        self.mixed = max(calls) > MIXED * min(calls)
        self.settled_hz = machine.sm_clock_hz(clock.device)
        self.rounds: list[_Round] = []
        self.recent: deque[float] = deque(maxlen=RECENT)  # share each block waited; 0: undisturbed
        self.scale = 1.0  # of the calls in a block
        self.least_scale = protocol.block_least_s / protocol.block_s
        self.kept_s = self.lost_s = 0.0
        self.neighbours: list[contention.Neighbour] = []

    def run(self) -> str:
        """Time rounds until precise, or until the most rounds or seconds; return which it was."""
        start, before = time.perf_counter(), contention.processes()
        with contention.waits() as waits:
            stopped = self._until_enough(waits)
        if self.lost_s:
            wall_s = time.perf_counter() - start
            self.neighbours = contention.neighbours(before, contention.processes(), wall_s)
        return stopped

    def _until_enough(self, waits: contention.Waits) -> str:
        protocol = self.protocol
        kept = voids = 0
        while self._affordable(kept) and self.lost_s <= protocol.patience * protocol.cap_s:
            own, all_wait = self._round(waits), self._all_wait
            if not own.why_void:
                kept, voids = kept + 1, 0
            elif not all_wait:
                voids += 1
                self._pause(voids)
                continue
            count = len(self.rounds) if all_wait and self.beside_neighbour else kept
            if count < protocol.rounds_least:
                continue
            if count % protocol.look_every == 0 and self._precise():
                return "precise"
            if kept >= protocol.rounds_most:
                return "rounds"
        return "cap"

    @property
    def _all_wait(self) -> bool:
        """Whether every block waits a little, the shortest, too: no pause or repetition helps."""
        waited = sorted(self.recent)
        every = len(waited) == RECENT and waited[0] > 0 and not self._can_shrink
        return every and waited[RECENT // 2] < MILD

    @property
    def _can_shrink(self) -> bool:
        several = any(arm.block.calls > 1 for arm in self.arms.values())
        return several and self.scale > self.least_scale

    def _affordable(self, kept: int) -> bool:
        """Whether there is time for one more round; for the least of them there is more."""
        grace = GRACE if kept < self.protocol.rounds_least else 1
        return self.kept_s < grace * self.protocol.cap_s

    def _pause(self, voids: int) -> None:
        """Let a burst pass; longer after each void round in a row, and never in step with it."""
        pause_s = float(self.draw.uniform(0, PAUSE_S * min(voids, PAUSES)))
        time.sleep(pause_s)
        self.lost_s += pause_s

    def _round(self, waits: contention.Waits) -> _Round:
        """Time every arm once."""
        own = _Round()
        cpu_s, start, lost_s = time.process_time(), time.perf_counter(), self.lost_s
        for name in self.draw.permutation(list(self.arms)):
            own.order.append(str(name))
            self._lead_in(self.arms[name])
            self._block(own, self.arms[name], waits)
        wall_s = time.perf_counter() - start
        own.cpu_per_thread = (time.process_time() - cpu_s) / (wall_s * self.threads)
        self._look_at_device(own)
        if own.why_void:
            self.lost_s = lost_s + wall_s
        else:
            self.kept_s += wall_s - (self.lost_s - lost_s)
        self.rounds.append(own)
        return own

    def _lead_in(self, arm: _Arm) -> None:
        """Run an arm untimed until the clocks and caches are its own and not the last arm's.

        A call that takes as long leads itself in, and calls of about one length leave each other
        the machine as they need it.
        """
        lead_in_s = self.protocol.lead_in_s
        if not self.mixed or max(arm.times[-1:], default=0.0) >= lead_in_s:
            return
        call = arm.call(int(self.draw.integers(len(arm.operands))))
        start = time.perf_counter()
        while time.perf_counter() - start < lead_in_s:
            self.clock.time(call, Block(1))

    def _block(self, own: _Round, arm: _Arm, waits: contention.Waits) -> None:
        """Time one arm, and again while it is disturbed, unless that is of no use."""
        for left in reversed(range(1 if own.why_void or self._all_wait else TRIES)):
            call = arm.call(int(self.draw.integers(len(arm.operands))))
            before, start = waits.read(), time.perf_counter()
            seconds = self.clock.time(call, arm.block.scaled(self.scale))
            wall_s = time.perf_counter() - start
            waited_s = contention.longest_wait(before, waits.read())
            share = None if waited_s is None else waited_s / wall_s
            spoilt = disturbed(self.clock, waited_s, self.protocol.void_delay_share * wall_s)
            self._adapt((share or math.inf) if spoilt else 0.0)
            if not spoilt or not left:
                break
            own.repeated += 1
            self.lost_s += wall_s
        arm.times.append(float(f"{seconds:.6g}"))  # the record need not hold what no clock sees
        if share is not None:
            own.delay_share = max(share, own.delay_share or 0.0)
        if spoilt:
            own.why_void = "late launches" if self.clock.late else "run-queue delay"

    def _adapt(self, waited: float) -> None:
        """Halve the blocks where many were disturbed of late.

        Args:
            waited: Share of the last block that a thread waited; 0 where that does not disturb it.
        """
        self.recent.append(waited)
        many = sum(share > 0 for share in self.recent) > SHRINK * RECENT
        if len(self.recent) == RECENT and many and self._can_shrink:
            self.scale = max(self.least_scale, self.scale / 2)
            self.recent.clear()

    def _look_at_device(self, own: _Round) -> None:
        """What a GPU did in a round, and what else makes it void."""
        device = self.clock.device
        own.sm_clock_hz, own.power_w = machine.sm_clock_hz(device), machine.power_w(device)
        spoilt = _spoilt(device)
        limit = self.protocol.void_clock_share * (self.settled_hz or 0.0)
        slow = own.sm_clock_hz and own.sm_clock_hz < limit and not machine.power_capped(device)
        own.why_void = own.why_void or spoilt or ("SM clock" if slow else None)

    @property
    def beside_neighbour(self) -> bool:
        """Whether all rounds count, for want of undisturbed ones.

        So where calls are longer than a neighbour's pauses, and it takes little of a core: all arms
        are held up alike.
        """
        void = [each for each in self.rounds if each.why_void]
        shares = sorted(each.delay_share or 0.0 for each in void)
        least = self.protocol.rounds_least
        few = len(self.rounds) - len(void) < least <= len(self.rounds)
        waited = all(each.why_void == "run-queue delay" for each in void)
        return few and waited and shares[len(shares) // 2] < MILD

    @property
    def counted(self) -> list[bool]:
        """Which rounds count."""
        everything = self.beside_neighbour
        return [everything or each.why_void is None for each in self.rounds]

    def kept(self, name: str) -> list[float]:
        """Seconds per call of an arm in the rounds that count."""
        times = self.arms[name].times
        return [t for t, counts in zip(times, self.counted, strict=True) if counts]

    def ratio(self, name: str) -> statistic.Interval:
        """Time per unit of work of an arm relative to the anchor."""
        arm, anchor = self.arms[name], self.arms[ANCHOR]
        target = np.array(self.kept(name)) / arm.work.units
        reference = np.array(self.kept(ANCHOR)) / anchor.work.units
        return statistic.paired_ratio(target, reference, self.protocol.confidence)

    def _compared(self) -> list[str]:
        return [name for name in self.arms if name != ANCHOR]

    def _precise(self) -> bool:
        limit = self.protocol.half_width
        return all(self.ratio(name).half_width <= limit for name in self._compared())

    def outcome(self) -> dict[str, Any]:
        """Status, reason and samples for the record."""
        kept, protocol = sum(self.counted), self.protocol
        if kept >= protocol.rounds_least:
            return {"status": Status.OK, "reason": None, "samples": self._samples()}
        why = sorted({each.why_void for each in self.rounds if each.why_void})
        within_s = GRACE * protocol.cap_s
        reason = f"{kept} of {len(self.rounds)} rounds could be kept within {within_s:g} s, "
        reason += f"{protocol.rounds_least} are needed"
        reason += f" (void for: {', '.join(why)})" if why else ""
        status = Status.CONTENDED if why else Status.SKIPPED
        return {"status": status, "reason": reason, "samples": self._samples()}

    def _samples(self) -> dict[str, list[Any]]:
        names = ["why_void", "delay_share", "cpu_per_thread", "repeated"]
        names += ["sm_clock_hz", "power_w"] if self.clock.device.type == "cuda" else []
        return {
            **{name: arm.times for name, arm in self.arms.items()},
            "void": [not counts for counts in self.counted],
            "order": [" ".join(each.order) for each in self.rounds],
            **{name: [getattr(each, name) for each in self.rounds] for name in names},
        }

    def result(self, stopped: str) -> dict[str, JsonValue]:
        """The summary: per arm the time of a call, per comparison the ratio."""
        result: dict[str, JsonValue] = {
            "stopped": stopped,
            "rounds": len(self.rounds),
            "rounds_void": sum(each.why_void is not None for each in self.rounds),
            "blocks_repeated": sum(each.repeated for each in self.rounds),
            "block_scale": self.scale,
            "kept_s": self.kept_s,
            "lost_s": self.lost_s,
            "neighbours": [asdict(each) for each in self.neighbours],
            "beside_neighbour": self.beside_neighbour,
            "contention_known": self.rounds[0].delay_share is not None,
            "operand_sets": len(self.arms[ANCHOR].operands),
            "arms": {},
            "ratios": {},
        }
        if self.clock.device.type != "cpu":  # which has only one
            result["clock"] = self.clock.name
        if sum(self.counted) < self.protocol.rounds_least:
            return result
        result["arms"] = {name: self._arm_result(name) for name in self.arms}
        result["ratios"] = {name: self._ratio_result(name) for name in self._compared()}
        return result

    def _arm_result(self, name: str) -> dict[str, JsonValue]:
        values = statistic.summary(self.kept(name), self.protocol.confidence)
        seconds = {f"time_{key}_s": value for key, value in asdict(values).items()}
        outliers, count = seconds.pop("time_outliers_s"), seconds.pop("time_count_s")
        block = self.arms[name].block
        return {
            **seconds,
            "rounds_kept": count,
            "outliers": outliers,
            "units_per_call": self.arms[name].work.units,
            "calls_per_block": block.calls,
        }

    def _ratio_result(self, name: str) -> dict[str, JsonValue]:
        ratio = self.ratio(name)
        return {
            "ratio": ratio.value,
            "ratio_low": ratio.low,
            "ratio_high": ratio.high,
        }

    def count_energy(self, meter: Meter, result: dict[str, Any]) -> None:
        """Add to a result what a call of each arm takes that the meter is for."""
        least = statistic.fewest(self.protocol.confidence)
        for name, joules in self._stretches(meter, least).items():
            if len(joules) == least:
                seen = statistic.median(joules, self.protocol.confidence)
                result["arms"][name] |= {
                    "energy_j": seen.value,
                    "energy_low_j": seen.low,
                    "energy_high_j": seen.high,
                }
                result |= {"idle_w": meter.idle_w, "energy_source": meter.counter.source}

    def _stretches(self, meter: Meter, count: int) -> dict[str, list[float]]:
        """Joules per call of so many undisturbed stretches of each arm, taken in turns."""
        found: dict[str, list[float]] = {name: [] for name in self.arms if name in meter.arms}
        with contention.waits() as waits:
            for _ in range(TURNS * count):
                short = [name for name, joules in found.items() if len(joules) < count]
                for name in self.draw.permutation(short):
                    joules = self._stretch(self.arms[name], meter, waits)
                    found[name] += [joules] if joules else []
        return found

    def _stretch(self, arm: _Arm, meter: Meter, waits: contention.Waits) -> float | None:
        """Joules per call of one stretch; None where it was disturbed."""
        protocol, call = self.protocol, arm.call(int(self.draw.integers(len(arm.operands))))
        before, start = waits.read(), time.perf_counter()
        joules = stretch_j(call, arm.block, self.clock, meter.counter, protocol.energy_s)
        limit_s = protocol.void_delay_share * (time.perf_counter() - start)
        waited_s = contention.longest_wait(before, waits.read())
        spoilt = disturbed(self.clock, waited_s, limit_s) or _spoilt(self.clock.device)
        return None if spoilt else joules


def _spoilt(device: torch.device) -> str | None:
    """What makes a GPU slow, or its energy somebody else's; None where nothing does."""
    return machine.throttled(device) or machine.others_on_gpu(device)
