"""The paired trial: what stops it, what voids it, what it finds. No test here asserts a speed."""

import itertools
import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from assay import contention, trial
from assay.clock import Block, HostClock
from assay.contention import Contention
from assay.record import Status
from assay.trial import Protocol, Work
from conftest import PROTOCOL
from hypothesis import given, settings
from hypothesis import strategies as st

CPU = torch.device("cpu")
PACE = {"half_width": 0.02, "block_s": 1e-4, "warmup_calls": 1, "warmup_s": 0.0, "settle_s": 0.0}


def protocol(**changes: Any) -> Protocol:
    pace = {key: changes.pop(key, value) for key, value in PACE.items()}
    return Protocol.from_settings({**PROTOCOL, "cpu": pace, "gpu": pace} | changes, CPU)


class ScriptedClock:
    """A clock whose readings are written down beforehand: seconds by the name of the work."""

    device = CPU

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
    calm = Contention(delay_share=0.0, cpu_per_thread=1.0, pressure_share=0.0, steal_share=0.0)
    monkeypatch.setattr(contention, "between", lambda *_: calm)


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
    assert ratios["target"]["p"] < 1e-3


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


def test_void_rounds_are_marked_kept_and_repeated(monkeypatch):
    shares = itertools.cycle([0.0, 0.5, 0.01])
    monkeypatch.setattr(contention, "between", lambda *_: Contention(next(shares), 1.0, 0.0, 0.0))
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.0}))
    assert seen.status == Status.OK
    void = seen.samples["void"]
    assert len(void) - sum(void) == 20
    assert sum(void) == seen.result["rounds_void"] == 10
    assert len(seen.samples["target"]) == len(void)
    assert set(seen.samples["why_void"]) == {None, "run-queue delay"}


def test_too_few_kept_rounds_are_contended_and_give_no_ratio(monkeypatch):
    monkeypatch.setattr(contention, "between", lambda *_: Contention(0.9, 0.5, 0.9, 0.0))
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.0}), cap_s=0.05)
    assert seen.status == Status.CONTENDED
    assert "run-queue delay" in seen.reason
    assert seen.result["ratios"] == {}
    assert seen.samples["target"]


def test_unknown_contention_voids_nothing(monkeypatch):
    monkeypatch.setattr(contention, "between", lambda *_: Contention(None, 1.0, None, None))
    seen = run(ScriptedClock({"anchor": 1.0, "target": 1.0}))
    assert seen.status == Status.OK
    assert seen.result["contention_known"] is False


def test_a_product_beyond_the_budget_is_skipped_with_its_estimate():
    slow = Work(lambda generator: torch.zeros(1), lambda operands: time.sleep(0.02))
    seen = trial.compare({}, slow, {"target": slow}, protocol(cap_s=0.2), HostClock(CPU), seed=1)
    assert seen.status == Status.SKIPPED
    assert seen.result["estimate_s"] > 0.2
    assert "protocol.cap_s" in seen.reason


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
