"""The measurement protocol: one paired trial.

A trial compares *targets* with an *anchor*, in rounds. In every round each arm is timed once, in
an order drawn anew, and beside the anchor runs its *twin*: the same work on other memory, the
A/A control that shows what difference this machine makes up today. Each arm owns several operand
sets at different addresses, and every block draws one, because where operands lie decides, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from pydantic import JsonValue

from assay import contention, machine, statistic
from assay.clock import Block, Clock
from assay.record import Status
from assay.record import Trial as TrialRecord

T = TypeVar("T")

ANCHOR, TWIN = "anchor", "twin"
FIRST_CALL = 10  # blocks that a first call, which also starts libraries, may take


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
    cap_s: float  # seconds of rounds at most
    operand_sets: int  # per arm at most
    operand_sets_least: int  # per arm, even where they need more than operand_bytes
    operand_bytes: int  # of all arms' operand sets together, where fewer sets can keep to it
    void_delay_share: float  # run-queue delay above which a round is void
    void_clock_share: float  # SM clock, relative to the settled one, below which a round is void
    half_width: float  # stop when every ratio's interval is within ± this
    block_s: float  # seconds in a block at least
    warmup_calls: int
    warmup_s: float
    settle_s: float  # seconds at most

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], device: torch.device) -> Protocol:
        """The protocol block of a configuration, with the values for that kind of device."""
        shared = {key: value for key, value in settings.items() if not isinstance(value, dict)}
        return cls(**shared, **settings["cpu" if device.type == "cpu" else "gpu"])


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
) -> TrialRecord:
    """Run one trial and summarise it.

    Args:
        what: What is compared, for the record.
        anchor: The reference.
        targets: The arms to compare with it, by name (not ``anchor`` or ``twin``).
        protocol: When to stop, what is void.
        clock: The clock of the device that all arms run on.
        seed: Seed of the operands, the order and the draws.

    Returns:
        A trial whose result holds, per arm, the time of one call (``time_s`` …), and per target
        and for the twin the time per unit of work relative to the anchor (``ratio`` …).
    """
    works = {ANCHOR: anchor, TWIN: anchor, **targets}
    generator = torch.Generator(device=clock.device).manual_seed(seed)
    estimate_s = _round_estimate(works, generator, protocol, clock) * protocol.rounds_least
    if estimate_s > protocol.cap_s:
        return TrialRecord(
            what=what,
            status=Status.SKIPPED,
            reason=f"{protocol.rounds_least} rounds would take {estimate_s:.0f} s or more, "
            f"over the budget of {protocol.cap_s:g} s a trial (protocol.cap_s)",
            result={"estimate_s": estimate_s},
        )
    arms = _set_up(works, generator, protocol, clock)
    rounds = _Rounds(arms, protocol, clock, np.random.default_rng(seed))
    stopped = rounds.run()
    return TrialRecord(what=what, **rounds.outcome(), result=rounds.result(stopped))


def settle(call: Callable[[], Any], protocol: Protocol, clock: Clock) -> None:
    """Once per process: bring the device to its working clock with the same kind of work.

    A CPU is given ``settle_s``; a GPU works until its SM clock moves less than 1 % over a second.
    """
    deadline = time.perf_counter() + protocol.settle_s
    clocks: list[float | None] = []
    while time.perf_counter() < deadline:
        pause = min(deadline, time.perf_counter() + 1.0)
        while time.perf_counter() < pause:
            call()
            clock.synchronize()
        clocks.append(machine.sm_clock_hz(clock.device))
        last, before = clocks[-1], clocks[-2] if len(clocks) > 1 else None
        if last and before and abs(last / before - 1) < 0.01:
            return


def _round_estimate(
    works: Mapping[str, Work[Any]], generator: torch.Generator, protocol: Protocol, clock: Clock
) -> float:
    """Seconds that one round's slow calls will take, from one call of each different work.

    Stops counting once the budget is passed: a slow product is not run only to say how slow.
    """
    seconds: dict[int, float] = {}
    total = 0.0
    for work in works.values():
        if id(work) not in seconds:
            operands = work.prepare(generator)
            clock.synchronize()
            start = time.perf_counter()
            work.run(operands)
            clock.synchronize()
            seconds[id(work)] = time.perf_counter() - start
        # A first call is slow for many reasons; only one that is far too slow counts.
        if seconds[id(work)] > FIRST_CALL * protocol.block_s:
            total += seconds[id(work)]
        if total * protocol.rounds_least > protocol.cap_s:
            break
    return total


def _set_up(
    works: Mapping[str, Work[Any]], generator: torch.Generator, protocol: Protocol, clock: Clock
) -> dict[str, _Arm]:
    """Allocate every arm's operand sets, warm up and decide the calls of a block."""
    first = {name: work.prepare(generator) for name, work in works.items()}
    sets = _operand_sets(first, protocol, machine.free_memory(clock.device))
    operands = {name: [own] for name, own in first.items()}
    for _ in range(sets - 1):  # in turn, so that no arm has the better part of the memory
        for name, work in works.items():
            operands[name].append(work.prepare(generator))
    arms = {}
    for name, work in works.items():
        arm = _Arm(work, operands[name], Block(1))
        _warm_up(arm, protocol, clock)
        arm.block = clock.calibrate(arm.call(0), protocol.block_s)
        arms[name] = arm
    return arms


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


def _warm_up(arm: _Arm, protocol: Protocol, clock: Clock) -> None:
    start, calls = time.perf_counter(), 0
    while calls < protocol.warmup_calls or time.perf_counter() - start < protocol.warmup_s:
        arm.call(calls % len(arm.operands))()
        clock.synchronize()
        calls += 1


class _Rounds:
    """The rounds of one trial: timing, voiding, stopping, summing up."""

    def __init__(
        self, arms: dict[str, _Arm], protocol: Protocol, clock: Clock, draw: np.random.Generator
    ) -> None:
        self.arms, self.protocol, self.clock, self.draw = arms, protocol, clock, draw
        self.threads = torch.get_num_threads() if clock.device.type == "cpu" else 1
        self.settled_hz = machine.sm_clock_hz(clock.device)
        self.void: list[bool] = []
        self.why_void: list[str | None] = []
        self.contention: list[contention.Contention] = []

    def run(self) -> str:
        """Time rounds until precise, or until the most rounds or seconds; return which it was."""
        protocol, deadline = self.protocol, time.perf_counter() + self.protocol.cap_s
        while time.perf_counter() < deadline:
            self._round()
            kept = len(self.void) - sum(self.void)
            if self.void[-1] or kept < protocol.rounds_least:
                continue
            if kept % protocol.look_every == 0 and self._precise():
                return "precise"
            if kept >= protocol.rounds_most:
                return "rounds"
        return "cap"

    def _round(self) -> None:
        before = contention.read()
        for name in self.draw.permutation(list(self.arms)):
            arm = self.arms[name]
            call = arm.call(int(self.draw.integers(len(arm.operands))))
            arm.times.append(self.clock.time(call, arm.block))
        seen = contention.between(before, contention.read(), self.threads)
        reason = self._void_reason(seen)
        self.contention.append(seen)
        self.void.append(reason is not None)
        self.why_void.append(reason)

    def _void_reason(self, seen: contention.Contention) -> str | None:
        if seen.delay_share is not None and seen.delay_share > self.protocol.void_delay_share:
            return "run-queue delay"
        spoilt = machine.throttled(self.clock.device) or machine.others_on_gpu(self.clock.device)
        if spoilt:
            return spoilt
        now = machine.sm_clock_hz(self.clock.device) if self.settled_hz else None
        if now and self.settled_hz and now < self.protocol.void_clock_share * self.settled_hz:
            return "SM clock"
        return None

    def kept(self, name: str) -> list[float]:
        """Seconds per call of an arm in the rounds that count."""
        return [t for t, void in zip(self.arms[name].times, self.void, strict=True) if not void]

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
        kept = len(self.void) - sum(self.void)
        samples: dict[str, list[Any]] = {name: arm.times for name, arm in self.arms.items()}
        samples["void"] = self.void
        samples["why_void"] = self.why_void
        samples["delay_share"] = [seen.delay_share for seen in self.contention]
        samples["cpu_per_thread"] = [seen.cpu_per_thread for seen in self.contention]
        status, reason = Status.OK, None
        if kept < self.protocol.rounds_least:
            reason = f"{kept} of {len(self.void)} rounds could be kept within "
            reason += f"{self.protocol.cap_s:g} s, {self.protocol.rounds_least} are needed"
            status = Status.CONTENDED if any(self.void) else Status.SKIPPED
            why = sorted({word for word in self.why_void if word})
            reason += f" (void for: {', '.join(why)})" if why else ""
        return {"status": status, "reason": reason, "samples": samples}

    def result(self, stopped: str) -> dict[str, JsonValue]:
        """The summary: per arm the time of a call, per comparison the ratio."""
        result: dict[str, JsonValue] = {
            "stopped": stopped,
            "rounds": len(self.void),
            "rounds_void": sum(self.void),
            "contention_known": self.contention[0].delay_share is not None,
            "operand_sets": len(self.arms[ANCHOR].operands),
            "arms": {},
            "ratios": {},
        }
        if len(self.void) - sum(self.void) < self.protocol.rounds_least:
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
