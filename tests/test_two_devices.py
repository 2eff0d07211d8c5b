"""Two devices: the lanes do what devices do, and the answer follows what is put into records."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import answer_two_devices as answer
import measure_two_devices as measure
import pytest
import torch
from answer_two_devices import Scaling
from assay import record
from assay.answer import model, occasion
from assay.answer.verdict import Comparison, Word
from assay.record import Record, Status, Trial
from assay.timing import proof
from assay.timing.lanes import TURN
from builders import PROTOCOL, QUICK, answered, make_record
from conftest import check_budgets
from hypothesis import given
from hypothesis import strategies as st

CPU = torch.device("cpu")
SETTINGS = {
    "seed": 1,
    "protocol": {**QUICK, "rounds_most": 8, "look_every": 2, "cap_s": 20},
    "dtype": "float32",
    "work_s": 0.002,
    "cap_s": 20,
}
TWO_CPUS = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) >= 2
needs_two_cpus = pytest.mark.skipif(not TWO_CPUS, reason="needs two CPUs and Linux")


# ---- lanes -----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 4), min_size=1, max_size=9))
def test_halves_are_disjoint_and_have_as_many_cores(threads_per_core: list[int]) -> None:
    numbers = iter(range(100))
    cores = [[next(numbers) for _ in range(count)] for count in threads_per_core]
    left, right = measure.halve(cores) or ([], [])
    assert not set(left) & set(right)
    if len(cores) > 1:  # no core is split
        touched = [{i for i, core in enumerate(cores) if set(core) & set(h)} for h in (left, right)]
        assert not touched[0] & touched[1]
        assert len(touched[0]) == len(touched[1]) == len(cores) // 2
    else:
        assert len(left) == len(right) == len(cores[0]) // 2


def test_halves_are_not_known_everywhere() -> None:
    assert measure.halve(None) is None


@needs_two_cpus
def test_cores_are_told_by_the_system(tmp_path: Path) -> None:
    usable = sorted(os.sched_getaffinity(0))
    for i, cpu in enumerate(usable):  # neighbours share a core
        folder = tmp_path / f"cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text("0\n")
        (folder / "core_id").write_text(f"{i // 2}\n")
    assert (measure.physical_cores(tmp_path) or [])[0] == usable[:2]
    nothing_told = measure.physical_cores(tmp_path / "none")
    assert nothing_told == [[cpu] for cpu in usable]


@needs_two_cpus
def test_each_half_has_its_own_cores_and_threads() -> None:
    threads = torch.get_num_threads()
    with measure.two_halves(2) as lanes:
        seen: list[tuple[set[int], int]] = []
        for lane in lanes:
            lane.start(lambda: torch.mm(torch.ones(300, 300), torch.ones(300, 300)))
            lane.start(lambda: seen.append((os.sched_getaffinity(0), torch.get_num_threads())))
            lane.wait()
        assert not seen[0][0] & seen[1][0]
        assert [each[1] for each in seen] == [1, 1]
        assert torch.get_num_threads() == threads  # the caller keeps its own
        assert len(os.sched_getaffinity(0)) >= 2
    torch.set_num_threads(threads)


@needs_two_cpus
def test_lanes_work_at_once_and_a_caller_goes_on() -> None:
    meeting = threading.Barrier(3)
    with measure.two_halves(2) as lanes:
        for lane in lanes:
            lane.start(lambda: meeting.wait(timeout=20))
        meeting.wait(timeout=20)  # would time out if one waited for the other, or start() for it
        for lane in lanes:
            lane.wait()


@needs_two_cpus
def test_lanes_are_closed_whatever_happens() -> None:
    def fails() -> None:
        raise ValueError("in the lane")

    before = threading.active_count()
    with measure.two_halves(2) as lanes:
        lanes[1].start(fails)
        with pytest.raises(ValueError, match="in the lane"):
            lanes[1].wait()
        lanes[0].start(lambda: time.sleep(0.1))  # still at work when they are closed
    assert threading.active_count() == before


def test_one_thread_has_no_halves() -> None:
    with pytest.raises(measure.Unavailable, match="found 1"), measure.two_halves(1):
        pass


def test_who_measures_what() -> None:
    def names(place: str, gpus: int, *earlier: str) -> list[str]:
        return [each.name for each in measure.pairs(torch.device(place), gpus, 2, earlier)]

    halves, streams = "two halves of the CPU's cores", "two streams of one GPU"
    assert names("cpu", 0) == names("cpu", 1) == ["two GPUs", halves]
    assert names("cpu", 2) == [halves]
    assert names("cuda:0", 1) == ["two GPUs", streams]
    assert names("cuda:0", 2) == ["two GPUs"]
    assert names("cuda:1", 2, "cuda") == names("cuda:1", 2, "cuda:0") == []  # the same two
    assert names("cuda:1", 2) == ["two GPUs"]  # the run asks for no other
    assert names("cuda:0", 2, "cuda:1") == []
    assert names("cuda:2", 3, "cuda:0", "cuda:1") == ["two GPUs"]


@pytest.mark.parametrize(("count", "found"), [(0, "found none"), (1, "found 1")])
def test_two_gpus_that_are_not_there(count: int, found: str) -> None:
    with pytest.raises(measure.Unavailable, match=found), measure.two_gpus(CPU, count):
        pass


def test_streams_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_streams(device: torch.device) -> None:
        raise RuntimeError("Backend doesn't support streams\nat …")

    monkeypatch.setattr(torch, "Stream", no_streams)
    says = "no streams on cpu: Backend doesn't support streams"
    with pytest.raises(measure.Unavailable, match=says), measure.two_streams(CPU):
        pass


# ---- the work --------------------------------------------------------------------------------


class SlowLane:
    """A lane that takes a known time, to test the clock."""

    device, turn = CPU, None

    def __init__(self) -> None:
        self.until = 0.0

    def start(self, call: Any) -> None:
        call()
        self.until = max(self.until, time.perf_counter()) + 0.02

    def wait(self) -> None:
        time.sleep(max(0.0, self.until - time.perf_counter()))

    def described(self) -> dict[str, Any]:
        return {"device": "made up"}


def test_the_clock_waits_for_both_and_adds_only_what_is_in_sequence() -> None:
    first, second = SlowLane(), SlowLane()
    clock = measure.LanesClock((first, second))
    one = measure.products((first, first), 8, torch.float32, 1)
    both = measure.products((first, second), 8, torch.float32, 1)
    generator = torch.Generator().manual_seed(1)
    ratios = []
    for _ in range(3):
        times = []
        for work in (one, both):
            sets = work.prepare(generator)
            times.append(clock.time(lambda work=work, sets=sets: work.run(sets), measure.ONCE))
        ratios.append(times[0] / times[1])
    assert max(ratios) == pytest.approx(2, rel=0.2)
    assert one.units == both.units == 2 * 2 * 8**3


class QueueLane:
    """A GPU's lane in virtual time: one host hands over to two queues, and waits for a full one."""

    device, turn = CPU, TURN
    launch_s, product_s, depth = 5e-6, 20e-6, 100

    def __init__(self, host: list[float]) -> None:
        self.host, self.ends = host, [0.0]

    def start(self, call: Any) -> None:
        for _ in range(call.args[1]):  # products
            self.host[0] += self.launch_s
            if len(self.ends) > self.depth:
                self.host[0] = max(self.host[0], self.ends[-self.depth])
            self.ends.append(max(self.host[0], self.ends[-1]) + self.product_s)

    def wait(self) -> None:
        self.host[0] = max(self.host[0], self.ends[-1])


@pytest.mark.parametrize("repeats", [1, 17, 1000])
def test_a_full_queue_of_one_gpu_does_not_hold_up_the_other(repeats: int) -> None:
    def seconds(same: bool) -> float:
        host = [0.0]
        first = QueueLane(host)
        both = (first, first if same else QueueLane(host))
        work = measure.products(both, 8, torch.float32, repeats)  # type: ignore[arg-type]
        work.run(((), ()))
        for lane in both:
            lane.wait()
        return host[0]

    if repeats == 1000:
        assert seconds(same=True) / seconds(same=False) == pytest.approx(2, rel=0.03)
    assert seconds(same=False) < 1.03 * (repeats * 20e-6 + 32 * 5e-6)


@needs_two_cpus
def test_both_lanes_compute_their_own_product() -> None:
    with measure.two_halves(2) as lanes:
        work = measure.products(lanes, 48, torch.float32, 3)
        sets = work.prepare(torch.Generator().manual_seed(1))
        assert not torch.equal(sets[0][0], sets[1][0])
        work.run(sets)
        for lane in lanes:
            lane.wait()
        for each in sets:
            error = proof.product_error(each, measure.ROWS)
            assert 0 < error < proof.tolerance(48, "float32")
        sets[1][2].zero_()
        assert proof.product_error(sets[1]) == pytest.approx(1)


@needs_two_cpus
def test_enough_repeats_fill_the_time() -> None:
    with measure.two_halves(2) as lanes:
        clock = measure.LanesClock(lanes)
        assert measure.enough_repeats(lanes[0], 32, torch.float32, 1e-9, clock, 1) == 1
        assert measure.enough_repeats(lanes[0], 32, torch.float32, 2e-3, clock, 1) > 20


# ---- this machine ----------------------------------------------------------------------------


def measured(folder: Path, device: str = "cpu", **changes: Any) -> Record:
    path = folder / "record.json"
    arguments = ["--n", "64", "--device", device, "--output", str(path)]
    measure.main([*arguments, "--settings", json.dumps(SETTINGS | changes)])
    return record.read(path)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="needs a machine without a GPU")
@needs_two_cpus
def test_without_a_gpu_the_question_is_unavailable_and_its_stand_in_measured(
    tmp_path: Path,
) -> None:
    real, stand_in = measured(tmp_path).trials
    assert real.status == Status.UNAVAILABLE
    assert real.reason == "needs two GPUs, found none"
    assert stand_in.status == Status.OK, stand_in.reason
    assert stand_in.what["role"] == "stand-in"
    result: Any = stand_in.result
    assert 0.2 < 1 / result["ratios"]["at_once"]["ratio"] < 5  # the tests' neighbours are busy
    assert result["arms"]["anchor"]["units_per_call"] == result["arms"]["at_once"]["units_per_call"]
    assert result["arms"]["at_once"]["calls_per_block"] <= 2  # the hand-over is not what repeats
    assert 0 < result["handover_s"] < result["arms"]["at_once"]["time_median_s"]
    assert result["wrong_stream_s"] is None
    found = answer.answer(occasion.pooled([measured(tmp_path)], {}))
    assert found.sentence.startswith("Two GPUs: not available. As a stand-in, two halves of")


@needs_two_cpus
def test_nothing_is_timed_after_a_profiler_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    times, name = measure.LanesClock.time, measure.kernel_name
    for own, kind, real in (
        (measure.LanesClock, "time", times),
        (measure, "kernel_name", name),
        (measure, "handover_s", measure.handover_s),
    ):

        def noted(*given: Any, kind: str = kind, real: Any = real) -> Any:
            seen.append(kind)
            return real(*given)

        monkeypatch.setattr(own, kind, noted)
    measured(tmp_path)
    assert set(seen) == {"time", "handover_s", "kernel_name"}
    assert seen.index("kernel_name") == len(seen) - 1


def test_a_dtype_without_a_kernel_is_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_kernel(*_: Any) -> None:
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    monkeypatch.setattr(measure, "multiply", no_kernel)
    last = measured(tmp_path, dtype="float16").trials[-1]
    assert last.status == Status.UNAVAILABLE
    assert last.reason


def test_memory_that_is_not_there_is_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: Any) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr(measure, "operands", no_memory)
    if TWO_CPUS:
        assert measured(tmp_path).trials[-1].status == Status.OUT_OF_MEMORY


def test_a_bug_is_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(measure, "multiply", bug)
    if TWO_CPUS:
        with pytest.raises(RuntimeError, match="a bug"):
            measured(tmp_path)


# ---- made-up records -------------------------------------------------------------------------


def trial(n: int, speedup: float, width: float = 0.005, **changes: Any) -> Trial:
    """A trial that found this speed-up to within ± that share."""
    ratio = 1 / speedup
    at_once = 2 * 2.0 * n**3 / 100e12  # two products at 100 TFLOP/s in all
    result: dict[str, Any] = {
        "ratios": {
            "at_once": {
                "ratio": ratio,
                "ratio_low": ratio / (1 + width),
                "ratio_high": ratio * (1 + width),
                "p": 1e-6 if abs(ratio - 1) > width else 0.5,
            },
            "twin": {"ratio": 1.0, "ratio_low": 0.995, "ratio_high": 1.005, "p": 0.5},
        },
        "arms": {
            "anchor": {"time_median_s": speedup * at_once},
            "at_once": {"time_median_s": at_once, "units_per_call": 4.0 * n**3},
        },
        "repeats": 1,
        "rounds": 20,
        "rounds_void": 0,
        "handover_s": 3e-5,
        "wrong_stream_s": 4e-6,
        "kernel": "sgemm",
        "throughput_flops": 100e12,
        "lanes": [{"device": f"cuda:{i}", "name": "Made-up GPU"} for i in range(2)],
    }
    what = {"pair": "two GPUs", "role": "question", "n": n, "dtype": "float32"}
    return Trial(**({"what": what, "result": result} | changes))


def stand_in(n: int, speedup: float) -> Trial:
    made = trial(n, speedup)
    made.what |= {"pair": "two halves of the CPU's cores", "role": "stand-in"}
    lanes: Any = [
        {"device": "cpu", "threads": 4, "pinned_to_cpus": [0, 1, 2, 3]},
        {"device": "cpu", "threads": 4, "pinned_to_cpus": [4, 5, 6, 9]},
    ]
    made.result |= {"lanes": lanes, "wrong_stream_s": None}
    return made


def records(*trials: Trial, device: str = "gpu0") -> list[Record]:
    settings = {"protocol": dict(PROTOCOL), "dtype": "float32", "work_s": 0.02}
    return [
        make_record(
            "two_devices", {"device": device, "n": each.what["n"]}, [each], settings=settings
        )
        for each in trials
    ]


def test_a_noisy_control_is_no_proof_of_no_speed_up() -> None:
    """1.67 times as fast beside a control up to 1.6 times as slow: nothing can be told."""
    noisy = trial(8192, 1 / 0.6)
    ratios: Any = noisy.result["ratios"]
    ratios["at_once"] |= {"ratio_low": 0.5, "ratio_high": 0.7}
    ratios["twin"] |= {"ratio_low": 0.9, "ratio_high": 1.6}
    found = answer.answer(records(noisy))
    assert "1.67 [1.43, 2.00] times as fast at n = 8192, cannot tell" in found.sentence
    assert model.state(found.cells) == "cannot tell"
    assert found.so == ""
    row = found.frame.dropna(subset=["verdict"]).iloc[0]
    assert (row["verdict"], row["bound"], row["margin"]) == (
        "cannot tell",
        pytest.approx(0.6),
        0.02,
    )


@pytest.mark.parametrize(
    ("speedup", "says", "so"),
    [
        (1.98, "almost linear", "both GPUs"),
        (1.5, "sublinear", "both GPUs"),
        (1.9, "perhaps almost linear", "both GPUs"),
        (1.0, "no speed-up beyond 2 %", "one GPU"),
        (0.8, "slower than in sequence", "one GPU"),
        (2.4, "more than linear", "both GPUs"),
    ],
)
def test_the_verdict_is_the_speedup(speedup: float, says: str, so: str) -> None:
    found = answer.answer(records(trial(8192, speedup)))
    assert found.sentence.startswith(f"Two GPUs: {speedup:.2f}")
    assert found.sentence.endswith(f"at n = 8192, {says}.")
    assert says in found.table.rows[0]
    assert so in found.so
    assert model.state(found.cells) == "answered"
    check_budgets(found)


def test_noise_cannot_tell() -> None:
    found = answer.answer(records(trial(8192, 1.1, width=0.3)))
    assert found.numbers["speedups"][0]["scaling"] == "cannot tell"
    assert model.state(found.cells) == "cannot tell"


@given(st.floats(0.3, 4), st.floats(0, 0.3), st.sampled_from(list(Word)))
def test_every_speedup_has_one_scaling(speedup: float, width: float, word: Word) -> None:
    low, high = 1 / speedup / (1 + width), (1 + width) / speedup
    seen = answer.scaling(Comparison(1 / speedup, low, high, 0, 1, 1), word)
    if seen == Scaling.LINEAR:
        assert word == Word.FASTER
        assert abs(speedup - 2) <= 0.1 + 1e-12  # 2 − 1.9 is a rounding error more than 0.1
    if word == Word.UNKNOWN:
        assert seen == Scaling.UNKNOWN


def test_small_and_large_products_differ_and_the_hand_over_stands_beside_them() -> None:
    found = answer.answer(records(trial(512, 1.2), trial(4096, 1.97), trial(8192, 1.98)))
    assert [each["scaling"] for each in found.numbers["speedups"]] == [
        "sublinear",
        "almost linear",
        "almost linear",
    ]
    assert "at n = 8192, almost linear" in found.sentence  # the largest one decides
    assert found.why == ["Two GPUs: cuda:0 (Made-up GPU) | cuda:1 (Made-up GPU)."]
    assert [str(row[-1].text) for row in found.table.rows] == ["0.0300"] * 3
    assert found.views[0].alternative.count("almost linear") == 2
    check_budgets(found)


def test_a_smaller_size_that_gains_less_is_not_hidden_by_the_largest() -> None:
    found = answer.answer(records(trial(256, 1.33), trial(1024, 1.98)))
    assert found.sentence.endswith("at n = 1024, almost linear, and 1.330 at n = 256.")
    check_budgets(found)


def test_a_smaller_size_of_which_nothing_can_be_told_is_said_to_be_such() -> None:
    found = answer.answer(records(trial(256, 1.1, width=0.3), trial(1024, 1.98)))
    assert found.sentence.endswith("almost linear, and 1.10 at n = 256 (cannot tell).")
    check_budgets(found)


def test_a_pair_that_either_gpu_measured_is_told_once() -> None:
    other = trial(1024, 1.97)
    other.result["lanes"] = other.result["lanes"][::-1]
    both = [*records(trial(1024, 1.98)), *records(other, device="gpu1")]
    found = answer.answer(both)
    assert found.sentence == answer.answer(both[:1]).sentence
    assert len(found.cells) == 1
    assert len(found.table.rows) == 2
    far = [*records(trial(1024, 1.98)), *records(other, device="gpu1 (lab)")]
    assert "gpu1 (lab): Two GPUs: 1.97" in answer.answer(far).sentence


def test_stand_ins_of_several_machines_are_told_apart() -> None:
    """None has two GPUs, and their halves of a CPU are not alike."""
    found = answer.answer(
        [*records(stand_in(8, 1.6), device="cpu"), *records(stand_in(8, 1.9), device="cpu (lab)")]
    )
    assert "cpu: As a stand-in, two halves of the CPU's cores: 1.600 [" in found.sentence
    assert "cpu (lab): As a stand-in, two halves of the CPU's cores: 1.900 [" in found.sentence
    assert found.short == "Two GPUs not measured"
    assert [each.partition(": ")[0] for each in found.why] == ["cpu", "cpu (lab)"]


def test_stand_ins_are_labelled_everywhere_and_answer_nothing() -> None:
    missing = Trial(
        what={"pair": "two GPUs", "role": "question", "n": 1024, "dtype": "float32"},
        status=Status.UNAVAILABLE,
        reason="needs two GPUs, found 1",
    )
    found = answer.answer(records(missing, stand_in(1024, 1.6), device="cpu"))
    assert found.sentence.startswith("Two GPUs: not available. As a stand-in, two halves")
    assert "1.600 [1.592, 1.608] times as fast at n = 1024" in found.sentence
    assert model.state(found.cells) == "not measured"
    assert found.so == ""
    assert found.why == [
        "Two halves of the CPU's cores (stand-in): 4 threads each, bound to cores of their own."
    ]
    assert [row[1] for row in found.table.rows] == [
        "two GPUs",
        "two halves of the CPU's cores (stand-in)",
    ]
    assert any("A stand-in is not two GPUs" in each for each in found.caveats)
    assert found.numbers["speedups"][0]["role"] == "stand-in"
    check_budgets(found)


def test_the_published_time_is_impossible() -> None:
    implied = 2 * 2 * 10000**3 / 0.00299954
    assert implied == pytest.approx(1334e12, rel=1e-3)
    assert any("1334 TFLOP/s" in each for each in answer.answer(records(trial(64, 2))).caveats)


def busy(n: int) -> Trial:
    """A trial that other programs spoilt."""
    return Trial(
        what={"pair": "two GPUs", "role": "question", "n": n, "dtype": "float32"},
        status=Status.CONTENDED,
        reason="3 of 20 rounds could be kept",
        result={"rounds": 20, "rounds_void": 17, "arms": {}, "ratios": {}},
    )


def test_when_nothing_could_be_measured_it_says_so() -> None:
    found = answer.answer(records(busy(8192)))
    assert found.sentence == "Two GPUs: disturbed."
    assert model.state(found.cells) == "not measured"
    assert "disturbed" in found.table.rows[0]


def test_a_lost_largest_size_is_named_and_lowers_the_state() -> None:
    other = records(trial(4096, 1.9), device="gpu1")
    found = answer.answer([*records(trial(4096, 1.98), busy(8192)), *other])
    assert "Two GPUs, n = 8192: disturbed." in found.sentence
    assert model.state(found.cells) == "in part"
    assert len(found.sentence.split()) <= 40


def test_a_job_without_any_trial() -> None:
    lost = make_record(
        "two_devices",
        {"device": "gpu", "n": 64},
        [],
        status=Status.UNAVAILABLE,
        reason="no GPU",
        settings={"protocol": dict(PROTOCOL), "dtype": "float32", "work_s": 0.02},
    )
    found = answer.answer([lost])
    assert found.sentence == "Two GPUs: not available."
    assert model.state(found.cells) == "not measured"


def test_the_files_of_an_answer(tmp_path: Path) -> None:
    made = records(trial(512, 1.2), trial(8192, 1.98)) + records(stand_in(512, 1.7), device="cpu")
    found = answered(answer, tmp_path, made)
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 2 * 3
    assert (tmp_path / "figure.png").stat().st_size > 5_000
    assert [view.name for view in found.views] == ["gpu0"]  # one size is no figure
    assert "n = 8192: 1.98" in found.views[0].alternative
