"""The paired trial: what stops it, what voids it, what it finds. No test here asserts a speed."""

import itertools
import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from assay import contention
from assay.contention import Neighbour
from assay.record import Status
from assay.timing import trial
from assay.timing.clock import Block, HostClock, SharedCores
from assay.timing.trial import Protocol, Work
from builders import PROTOCOL
from hypothesis import given, settings
from hypothesis import strategies as st

CPU = torch.device("cpu")
PACE = {
    "half_width": 0.02,
    "block_s": 1e-4,
    "block_least_s": 1e-5,
    "lead_in_s": 0,
    "energy_s": 0.02,
    "warmup_calls": 1,
    "warmup_s": 0.0,
    "settle_s": 0.0,
}


def protocol(**changes: Any) -> Protocol:
    pace = {key: changes.pop(key, value) for key, value in PACE.items()}
    return Protocol.from_settings({**PROTOCOL, "cpu": pace, "gpu": pace} | changes, CPU)


class ScriptedClock:
    """A clock whose readings are written down beforehand: seconds by the name of the work."""

    device, late = CPU, None

    def __init__(self, seconds: dict[str, float], noise: float = 0.0) -> None:
        self.seconds, self.noise, self.draw = seconds, noise, np.random.default_rng(0)
        self.order: list[str] = []

    def synchronize(self) -> None:
        pass

    def calibrate(self, call, block_s) -> Block:
        return Block(1)

    def time(self, call, block) -> float:
        name = call()
        self.order.append(name)
        return self.seconds[name] * math.exp(self.noise * self.draw.standard_normal())


def work(name: str, units: float = 1.0) -> Work[Any]:
    return Work(lambda generator: torch.zeros(4), lambda operands: name, units)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """No contention unless a test says so: these tests are about the protocol."""
    monkeypatch.setattr(contention, "longest_wait", lambda *_: 0.0)


def run(clock, target=None, **changes):
    arms = {"target": target or work("target")}
    return trial.compare({}, work("anchor"), arms, protocol(**changes), clock, seed=1)


def test_an_effect_is_found_and_its_twin_is_one():
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.05}, noise=0.01))
    assert seen.status == Status.OK
    ratios = seen.result["ratios"]
    assert ratios["target"]["ratio_low"] < 1.05 < ratios["target"]["ratio_high"]
    assert ratios["target"]["ratio_low"] > 1
    assert ratios["twin"]["ratio"] == pytest.approx(1, abs=0.01)


def test_ratios_are_of_time_per_unit_of_work():
    seen = run(ScriptedClock({"anchor": 1.0, "target": 2.0}), work("target", units=2.0))
    assert seen.result["ratios"]["target"]["ratio"] == pytest.approx(1.0)


def test_a_precise_trial_stops_at_the_first_look():
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.0}, noise=1e-4))
    assert (seen.result["stopped"], seen.result["rounds"]) == ("precise", 20)


def test_a_noisy_trial_goes_on_to_the_most_rounds():
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.0}, noise=0.5))
    assert (seen.result["stopped"], seen.result["rounds"]) == ("rounds", 100)


def test_every_round_runs_every_arm_once_and_the_order_changes():
    clock = ScriptedClock({"anchor": 1.0, "target": 1.0})
    run(clock)
    rounds = [tuple(clock.order[i : i + 3]) for i in range(0, len(clock.order), 3)]
    assert all(sorted(each) == ["anchor", "anchor", "target"] for each in rounds)
    assert len(set(rounds)) == 3


def test_every_operand_set_is_drawn():
    seen: set[int] = set()
    arm = Work(lambda generator: torch.zeros(4), lambda operands: seen.add(operands.data_ptr()))
    clock = HostClock(CPU)
    trial.compare(
        {},
        arm,
        {"target": arm},
        protocol(operand_sets=3, operand_sets_least=3, half_width=1),
        clock,
        1,
    )
    assert len(seen) >= 3 * 3


LONG = 1e6  # seconds of waiting: more than any block takes


def waiting(monkeypatch, waits):
    """Every block's wait for a core, as written down, again and again."""
    script = itertools.cycle(waits)
    monkeypatch.setattr(contention, "longest_wait", lambda *_: next(script))


def test_a_disturbed_block_is_timed_again_and_counted(monkeypatch):
    waiting(monkeypatch, [0.0, LONG, 0.0, 0.0])
    clock = ScriptedClock({"anchor": 1.0, "target": 1.0})
    seen = run(clock)
    assert seen.status == Status.OK
    assert seen.result["rounds_void"] == 0
    assert seen.result["blocks_repeated"] == sum(seen.samples["repeated"])
    assert seen.result["blocks_repeated"] == pytest.approx(len(clock.order) / 4, abs=1)
    assert len(clock.order) == 3 * seen.result["rounds"] + seen.result["blocks_repeated"]


def test_a_round_is_void_when_repeating_does_not_help(monkeypatch):
    hopeless = [LONG] * trial.TRIES
    waiting(monkeypatch, [0.0] * 6 + hopeless + [LONG, LONG])
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.0}), patience=1000)
    assert seen.status == Status.OK
    void = seen.samples["void"]
    assert len(void) - sum(void) == 20
    assert sum(void) == seen.result["rounds_void"] > 5
    assert len(seen.samples["target"]) == len(void)
    assert set(seen.samples["why_void"]) == {None, "run-queue delay"}


def test_what_is_kept_does_not_depend_on_what_the_disturbed_blocks_showed(monkeypatch):
    """A neighbour that makes every second block of the target slow takes no part in its time."""
    clock = ScriptedClock({"anchor": 1.0, "target": 1.0})
    honest, last = clock.time, [False]

    def time_of(call, block):
        last.append(clock.order.count("target") % 2 == 1)
        seconds = honest(call, block)
        return 9.0 if last[-1] and clock.order[-1] == "target" else seconds

    clock.time = time_of
    monkeypatch.setattr(
        contention,
        "longest_wait",
        lambda *_: LONG if last[-1] and clock.order[-1] == "target" else 0.0,
    )
    seen = run(clock)
    assert set(seen.samples["target"]) == {1.0}
    assert seen.result["ratios"]["target"]["ratio"] == 1


def test_too_few_kept_rounds_are_contended_and_give_no_ratio(monkeypatch):
    waiting(monkeypatch, [LONG])
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.0}), cap_s=0.05)
    assert seen.status == Status.CONTENDED
    assert "run-queue delay" in seen.reason
    assert seen.result["ratios"] == {}
    assert seen.samples["target"]


def test_patience_bounds_what_is_spent_on_disturbed_rounds(monkeypatch):
    waiting(monkeypatch, [LONG])
    clock = ScriptedClock({"anchor": 1.0, "target": 1.0})
    brief, long = (run(clock, cap_s=0.2, patience=each) for each in (0.25, 2))
    assert brief.result["lost_s"] < 0.5 * long.result["lost_s"]
    assert long.result["kept_s"] == 0


def test_blocks_shrink_beside_a_neighbour_and_not_below_their_least(monkeypatch):
    waiting(monkeypatch, [0.0, LONG])

    class Calibrated(ScriptedClock):
        def __init__(self, calls: int) -> None:
            super().__init__({"anchor": 1.0, "target": 1.0})
            self.calls = calls

        def calibrate(self, call, block_s) -> Block:
            return Block(self.calls)

    blocks = {"block_s": 4e-4, "block_least_s": 1e-4}
    assert run(Calibrated(8), **blocks).result["block_scale"] == 0.25
    assert run(Calibrated(1), **blocks).result["block_scale"] == 1, "a single call is no shorter"
    waiting(monkeypatch, [0.0] * 9 + [LONG])
    assert run(Calibrated(8), **blocks).result["block_scale"] == 1


def test_calls_longer_than_a_mild_neighbours_pauses_are_judged_beside_it(monkeypatch):
    """Every block waits, but a little: all rounds count, and the trial says so."""
    monkeypatch.setattr(contention, "longest_wait", lambda *_: 5e-4)

    class Slow(ScriptedClock):
        def time(self, call, block):
            time.sleep(4e-3)
            return super().time(call, block)

    seen = run(Slow({"anchor": 1.0, "target": 1.1}), cap_s=4)  # seconds, of which it pauses two
    assert seen.status == Status.OK
    assert seen.result["beside_neighbour"] is True
    assert seen.result["stopped"] == "precise", "what can't be had is not waited for"
    assert seen.result["blocks_repeated"] < trial.RECENT
    assert not any(seen.samples["void"])
    assert seen.result["ratios"]["target"]["ratio"] == pytest.approx(1.1)


def test_a_machine_that_was_slow_for_a_moment_shortens_no_block():
    """Else one arm of two with the same work seems slower: the first call of a block is."""

    looks = itertools.count(1)

    class Hiccup(ScriptedClock):
        def calibrate(self, call, block_s) -> Block:
            hiccup = next(looks) in (1, 3)  # of the anchor and of the target
            return Block(7 if hiccup else 70)

    seen = run(Hiccup({"anchor": 1e-5, "target": 1e-5}))
    calls = {name: arm["calls_per_block"] for name, arm in seen.result["arms"].items()}
    assert calls == {"anchor": 70, "twin": 70, "target": 70}


def test_a_long_call_is_not_repeated_to_know_its_block():
    looked: list[Any] = []

    class Counting(HostClock):
        def calibrate(self, call, block_s) -> Block:
            looked.append(call)
            return super().calibrate(call, block_s)

    slow = Work(lambda generator: torch.zeros(4), lambda operands: time.sleep(1e-3))
    trial.compare({}, slow, {}, protocol(rounds_least=20, rounds_most=20), Counting(CPU), seed=1)
    assert not looked  # it was called when it was warmed up


def test_calls_that_waited_for_a_core_make_no_short_block(monkeypatch):
    """Beside busy cores the first calls of an arm may all seem longer than a block."""
    called, waited = itertools.count(1), [0.0]

    def held_up(operands):
        waited[0] = LONG if next(called) <= 30 else 0.0
        time.sleep(1e-3 if waited[0] else 0)

    def free(operands):
        waited[0] = 0.0

    monkeypatch.setattr(contention, "longest_wait", lambda *_: waited[0])
    anchor, target = (Work(lambda generator: torch.zeros(4), run) for run in (free, held_up))
    pace = protocol(block_s=5e-4, warmup_s=0.02)
    seen = trial.compare({}, anchor, {"target": target}, pace, HostClock(CPU), seed=1)
    assert seen.result["arms"]["target"]["calls_per_block"] > 5


@pytest.mark.parametrize("short", [2, 100])  # calls in a block of the short arm
def test_only_among_longer_calls_a_short_one_is_led_in(short):
    calls: list[str] = []

    class Calibrated(ScriptedClock):
        def calibrate(self, call, block_s) -> Block:
            return Block({"short": short, "long": 1}[call()])

    def counted(name: str) -> Work[Any]:
        return Work(lambda generator: torch.zeros(4), lambda operands: calls.append(name) or name)

    def total(lead_in_s: float) -> dict[str, int]:
        calls.clear()
        clock = Calibrated({"short": 1e-4, "long": 1.0})
        chosen = protocol(lead_in_s=lead_in_s, rounds_most=20)
        trial.compare({}, counted("short"), {"target": counted("long")}, chosen, clock, seed=1)
        return {name: calls.count(name) for name in ("short", "long")}

    without, led_in = total(0.0), total(1e-3)
    if short == 2:
        assert led_in == without
        return
    assert led_in["short"] >= without["short"] + 2 * 20  # of anchor and twin, in every round
    before_its_length_is_known = led_in["long"] - without["long"]
    assert 1 <= before_its_length_is_known < led_in["short"] / 4


def test_a_trial_that_lost_rounds_names_who_took_the_cores(monkeypatch):
    waiting(monkeypatch, [0.0, LONG])
    monkeypatch.setattr(contention, "neighbours", lambda *_: [Neighbour("compiler", 0.7)])
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.0}))
    assert seen.result["neighbours"] == [{"name": "compiler", "cores": 0.7}]


def test_an_undisturbed_trial_names_nobody(monkeypatch):
    monkeypatch.setattr(contention, "neighbours", lambda *_: pytest.fail("nobody disturbed it"))
    assert run(ScriptedClock({"anchor": 1.0, "target": 1.0})).result["neighbours"] == []


def test_the_order_of_every_round_is_kept():
    clock = ScriptedClock({"anchor": 1.0, "target": 1.0})
    seen = run(clock)
    names = [name.replace("twin", "anchor") for name in " ".join(seen.samples["order"]).split()]
    assert names == clock.order


def test_unknown_contention_voids_nothing(monkeypatch):
    monkeypatch.setattr(contention, "longest_wait", lambda *_: None)
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.0}))
    assert seen.status == Status.OK
    assert seen.result["contention_known"] is False


def test_a_product_beyond_the_budget_is_skipped_with_its_estimate():
    slow = Work(lambda generator: torch.zeros(1), lambda operands: time.sleep(0.02))
    seen = trial.compare({}, slow, {"target": slow}, protocol(cap_s=0.2), HostClock(CPU), seed=1)
    assert seen.status == Status.SKIPPED
    assert seen.result["estimate_s"] > 0.2
    assert seen.result["call_s"] == pytest.approx(0.02, rel=0.5)
    assert seen.result["disturbed"] is False
    assert "protocol.cap_s" in seen.reason


def test_what_a_study_sets_goes_before_the_protocol():
    block = {**PROTOCOL, "cpu": PACE, "gpu": PACE}
    own = Protocol.of_study({"protocol": block, "cell_s": 3, "half_width": 0.5, "n": 64}, CPU)
    assert (own.cap_s, own.budget, own.half_width) == (3, "cell_s", 0.5)
    assert own.rounds_least == PROTOCOL["rounds_least"]
    assert Protocol.of_study({"protocol": block, "cap_s": 4}, CPU).budget == "cap_s"


def test_a_slow_first_call_is_no_reason_to_give_up():
    """Libraries start in it; the estimate is made again."""
    slow = iter([0.1])
    cold = Work(lambda generator: torch.zeros(1), lambda operands: time.sleep(next(slow, 0)))
    seen = trial.compare({}, cold, {"target": cold}, protocol(cap_s=0.5), HostClock(CPU), seed=1)
    assert seen.status == Status.OK


@pytest.mark.parametrize(("call_s", "expected"), [(0.05, 2), (0.15, 1)])
def test_what_is_as_slow_again_or_far_too_slow_is_not_tried_again(call_s, expected):
    """Calls of two seconds, three times in every job and format, took minutes of a run."""
    calls = []
    slow = Work(lambda generator: torch.zeros(1), lambda operands: calls.append(time.sleep(call_s)))
    seen = trial.compare({}, slow, {"target": slow}, protocol(cap_s=0.2), HostClock(CPU), seed=1)
    assert seen.status == Status.SKIPPED
    assert len(calls) == expected


def test_an_estimate_beside_a_neighbour_says_so(monkeypatch):
    monkeypatch.setattr(contention, "longest_wait", lambda *_: LONG)
    slow = Work(lambda generator: torch.zeros(1), lambda operands: time.sleep(0.02))
    seen = trial.compare({}, slow, {"target": slow}, protocol(cap_s=0.2), HostClock(CPU), seed=1)
    assert seen.status == Status.SKIPPED
    assert seen.result["disturbed"] is True
    clock = SharedCores(CPU)  # of processes of ours, which wait for each other
    seen = trial.compare({}, slow, {"target": slow}, protocol(cap_s=0.2), clock, seed=1)
    assert seen.result["disturbed"] is False
    assert "another program" not in seen.reason


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 2.0), st.integers(0, 2**31))
def test_the_interval_holds_the_true_ratio_or_is_near(true, seed):
    clock = ScriptedClock({"anchor": 1.0, "target": true}, noise=0.02)
    clock.draw = np.random.default_rng(seed)
    ratio = run(clock).result["ratios"]["target"]
    assert ratio["ratio"] == pytest.approx(true, rel=0.05)
    assert ratio["ratio_low"] <= ratio["ratio"] <= ratio["ratio_high"]


@given(
    size=st.integers(1, 1000),
    most=st.integers(1, 50),
    least=st.integers(1, 8),
    budget=st.integers(0, 4000),
    free=st.integers(0, 4000),
)
def test_operand_sets_fit_into_their_budget_and_half_of_the_free_memory(
    size, most, least, budget, free
):
    limits = protocol(operand_sets=most, operand_sets_least=least, operand_bytes=budget)
    sets = trial._operand_sets({"a": torch.zeros(size, dtype=torch.uint8)}, limits, free)
    assert 1 <= sets <= most
    assert sets == 1 or sets * size <= free / 2
    assert sets <= least or sets * size <= budget


def test_a_real_trial_on_this_cpu_has_every_sample():
    def prepare(generator):
        return [torch.randn(64, 64, generator=generator) for _ in range(3)]

    product = Work(prepare, lambda m: torch.mm(m[0], m[1], out=m[2]), units=2 * 64**3)
    seen = trial.compare(
        {"n": 64}, product, {"target": product}, protocol(cap_s=5), HostClock(CPU), seed=1
    )
    assert seen.status == Status.OK
    assert len(seen.samples["anchor"]) == seen.result["rounds"]
    assert all(value > 0 for value in seen.samples["target"])
    assert seen.result["arms"]["target"]["calls_per_block"] >= 1


class HiccupClock(HostClock):
    """A clock on which every call takes 10 µs, but for the hiccups of something else."""

    def __init__(self, hiccups: set[int]) -> None:
        super().__init__(CPU)
        self.hiccups, self.readings = hiccups, 0

    def time(self, call, block) -> float:
        self.readings += 1
        late = 0.1 if self.readings in self.hiccups else 0.0
        return 1e-5 + late / block.calls


@pytest.mark.parametrize("hiccups", [set(), {1}, {1, 2}, {5, 10, 15}])
def test_a_block_lasts_as_long_as_asked_whatever_hiccups_there_are(hiccups):
    assert HiccupClock(hiccups).calibrate(lambda: None, 2e-3) == Block(200)


def test_a_slow_call_is_a_block_of_its_own():
    assert HiccupClock(set()).calibrate(lambda: None, 1e-6) == Block(1)
