"""Bandwidth: knees in made-up curves, an answer for every verdict, one small real job."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import answer_bandwidth as answer
import measure_bandwidth as measure
import numpy as np
import pandas as pd
import pytest
import torch
from assay import contention, record, statistic
from assay.answer import model, occasion, question
from assay.answer.arms import Arm
from assay.answer.model import Answer, State
from assay.answer.verdict import Word
from assay.probe import working_sets
from assay.probe.items import Item
from assay.probe.working_sets import Point
from assay.record import Record, Status, Trial
from builders import QUICK, answered, make_record
from hypothesis import given
from hypothesis import strategies as st

GB = 1e9
SETTINGS = {
    "seed": 1,
    "protocol": {**QUICK, "rounds_most": 100},
    "smallest_bytes": 2**14,
    "largest_bytes": 2**20,
    "points_per_doubling": 1,
    "point_s": 0.002,
    "attempts": 3,
    "overheads": {"cpu": 10, "gpu": 3},
    "memory_share": 0.25,
    "operations": ["read", "copy", "triad"],
    "transfer_bytes": 2**20,
}


# ---- working sets and knees ----------------------------------------------------------------------


@given(
    st.integers(4, 20).map(lambda power: 2**power),
    st.integers(1, 2**40),
    st.sampled_from([1, 2, 4]),
)
def test_working_sets(smallest: int, largest: int, per_doubling: int) -> None:
    sizes = working_sets.sizes(smallest, largest, per_doubling)
    step = 2 ** (1 / per_doubling)
    assert sizes[0] == smallest
    assert all(b / a == pytest.approx(step, rel=0.1) for a, b in pairwise(sizes))
    if largest >= smallest:
        assert largest / step * 0.99 < sizes[-1] <= largest + 1


def test_working_sets_reach_the_largest() -> None:
    assert len(working_sets.sizes(2**14, 2**30, 2)) == 33
    assert working_sets.sizes(2**14, 2**30, 2)[-1] == 2**30


def staircase(steps: Mapping[int, float], noise: float = 0.0, seed: int = 0) -> list[Point]:
    """Points by √2 from 16 KiB to 1 GiB; each key is the largest working set of its level."""
    draw = np.random.default_rng(seed)
    points = []
    for size in working_sets.sizes(2**14, 2**30, 2):
        level = next(rate for largest, rate in steps.items() if size <= largest)
        rate = level * math.exp(noise * draw.standard_normal()) * GB
        points.append(Point(size, rate, rate * 0.99, rate * 1.01, overhead_bound=False))
    return points


LEVELS = {2**17: 160.0, 2**21: 80.0, 2**25: 40.0, 2**30: 10.0}


@pytest.mark.parametrize("seed", range(20))
def test_knees_of_a_noisy_staircase(seed: int) -> None:
    found = working_sets.knees(staircase(LEVELS, noise=0.02, seed=seed))
    assert len(found) == 3
    for knee, edge in zip(found, LEVELS, strict=False):
        assert knee.start <= knee.middle <= knee.end
        assert edge / 2 <= knee.middle <= 2 * edge
    assert found[-1].below == pytest.approx(10 * GB, rel=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_has_no_knee(seed: int) -> None:
    assert working_sets.knees(staircase({2**30: 20.0}, noise=0.03, seed=seed)) == []


@given(st.floats(1e-3, 1e3))
def test_knees_do_not_depend_on_the_unit(factor: float) -> None:
    points = staircase(LEVELS, noise=0.01)
    scaled = [
        Point(p.size, p.rate * factor, p.low * factor, p.high * factor, p.overhead_bound)
        for p in points
    ]
    before, after = working_sets.knees(points), working_sets.knees(scaled)
    assert [knee.middle for knee in after] == pytest.approx([knee.middle for knee in before])


def test_a_lone_outlier_is_no_knee() -> None:
    points = staircase({2**30: 20.0})
    points[15] = Point(points[15].size, 5 * GB, 4.9 * GB, 5.1 * GB, overhead_bound=False)
    assert working_sets.knees(points) == []


def test_a_slope_is_one_knee_from_end_to_end() -> None:
    """Where a cache gives way slowly, one knee says between which sizes."""
    points = []
    for p in staircase({2**30: 100.0}):
        rate = p.rate / (1 + p.size / 2**24)
        points.append(Point(p.size, rate, 0.99 * rate, 1.01 * rate, overhead_bound=False))
    (knee,) = working_sets.knees(points)
    assert knee.start < 2**24 < knee.end


def test_rising_curves_and_overhead_have_no_knee() -> None:
    rising = [Point(2**i, i * GB, i * GB, i * GB, overhead_bound=False) for i in range(14, 30)]
    assert working_sets.knees(rising) == []
    hidden = [Point(p.size, p.rate, p.low, p.high, True) for p in staircase(LEVELS)]
    assert working_sets.knees(hidden) == []
    assert working_sets.knees([]) == []


def test_overlapping_intervals_have_no_knee() -> None:
    vague = [Point(p.size, p.rate, p.rate / 20, p.rate * 20, False) for p in staircase(LEVELS)]
    assert working_sets.knees(vague) == []


# ---- the measurement -----------------------------------------------------------------------------


@pytest.mark.parametrize("arrays", [1, 2, 3])
@given(st.integers(1, 3000), st.integers(0, 2**32))
def test_arrays_lie_apart_in_the_arena(arrays: int, count: int, seed: int) -> None:
    arena = torch.arange(3 * 3072, dtype=torch.float32)
    placed = measure.place(arena, arrays, count, np.random.default_rng(seed))
    assert [len(each) for each in placed] == [count] * arrays
    assert all(a[-1] < b[0] for a, b in pairwise(placed))
    assert all(each.data_ptr() % 256 == arena.data_ptr() % 256 for each in placed)


@pytest.mark.parametrize(("confidence", "samples"), [(0.9, 5), (0.95, 6), (0.99, 8)])
def test_fewest_samples_have_a_finite_interval(confidence: float, samples: int) -> None:
    assert statistic.fewest(confidence) == samples
    ends = statistic.median(range(samples), confidence)
    assert math.isfinite(ends.low)
    assert math.isfinite(ends.high)
    assert not math.isfinite(statistic.median(range(samples - 1), confidence).low)


def test_operations_do_what_they_say() -> None:
    a, b, c = (torch.full((4,), float(value)) for value in (1, 2, 0))
    assert measure.OPERATIONS["read"].run([b]) == 8
    measure.OPERATIONS["triad"].run([a, b, c])
    assert c.tolist() == [1 + measure.SCALAR * 2] * 4
    measure.OPERATIONS["copy"].run([a, c])
    assert c.tolist() == a.tolist()


def measured(folder: Path, device: str = "cpu", **changes: Any) -> Record:
    """The record of a run of the measuring script."""
    path = folder / f"{device.replace(':', '_')}.json"
    settings = json.dumps(SETTINGS | changes)
    measure.main(["--device", device, "--settings", settings, "--output", str(path)])
    return record.read(path)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """This machine's CPU."""
    return measured(tmp_path_factory.mktemp("here"))


def test_every_operation_on_one_thread_and_on_all(here: Record) -> None:
    assert here.status == Status.OK
    threads = sorted({1, here.conditions.threads_used})
    assert [(trial.what["threads"], trial.what["operation"]) for trial in here.trials] == [
        (count, name) for count in threads for name in ("read", "copy", "triad")
    ]
    for trial in here.trials:
        points: Any = trial.result["points"]
        assert len(points) == 7
        assert all(2**14 * 0.99 < point["working_set_bytes"] <= 2**20 for point in points)
        for point in points:
            low, middle, high = (
                point[f"bandwidth{end}_bytes_per_s"] for end in ("_low", "", "_high")
            )
            assert low <= middle <= high
            assert 1e5 < middle < 1e13
        assert trial.result["overhead_s"] > 0
        lengths = {len(column) for column in trial.samples.values()}
        assert lengths == {trial.result["rounds"]}


def test_threads_are_as_before_afterwards() -> None:
    before = torch.get_num_threads()
    with measure.on_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_this_machine_is_answered(here: Record, tmp_path: Path) -> None:
    found = told(tmp_path, [here])
    known = found.sentence.startswith("Memory gives ")
    assert known or found.sentence.startswith("Cannot tell what memory gives: between ")  # is busy
    assert len(found.sentence.split()) <= 25
    assert found.state == (State.ANSWERED if known else State.UNKNOWN)
    assert "nan" not in found.model_dump_json().lower()
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(table) == 7 * len(here.trials)


def test_contention_is_a_status_of_the_curve(tmp_path: Path) -> None:
    protocol = {**SETTINGS["protocol"], "void_delay_share": -1}  # every sample is void
    if contention.read().delay_s is None:
        pytest.skip("this system does not show the run-queue delay")
    busy = measured(tmp_path, protocol=protocol)
    assert busy.status == Status.CONTENDED
    curve = busy.trials[0]
    assert "0 samples of a point could be kept, 6 are needed" in str(curve.reason)
    assert curve.result["rounds_void"] == curve.result["rounds"] == 8 * 6 * 3
    found = told(tmp_path, [busy])
    assert (found.sentence, found.state) == (question.NOTHING, State.NONE)


def test_a_first_call_that_waited_for_a_core_makes_no_short_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited_s = itertools.chain([1.0], itertools.repeat(0.0))
    monkeypatch.setattr(contention, "longest_wait", lambda *_: next(waited_s))
    called = itertools.count()

    def call() -> None:
        time.sleep(0.1 if next(called) == 1 else 0)  # the first is untimed

    work = measure.Job({"device": "cpu"}, SETTINGS, torch.device("cpu"))
    probe = measure.Probe(traffic=1, place=lambda: call)
    measure.Sampler(work, measure.HostClock(torch.device("cpu"))).run([probe])
    assert probe.block.calls > 1


def test_a_missing_device_is_a_reason(tmp_path: Path) -> None:
    missing = measured(tmp_path, "cuda:7")
    assert missing.status == Status.UNAVAILABLE
    found = told(tmp_path, [missing])
    assert (found.sentence, found.state) == (question.NOTHING, State.NONE)
    assert found.so == ""


def test_less_memory_means_smaller_working_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.machine, "free_memory", lambda device: 2**20)
    assert measure.affordable(2**30, 0.25, torch.device("cpu")) == 2**18
    monkeypatch.setattr(measure.machine, "free_memory", lambda device: None)
    assert measure.affordable(2**30, 0.25, torch.device("mps")) == 2**30


def test_more_than_theory_is_refused() -> None:
    points = [point(2**20, 9000.0), point(2**28, 3600.0)]
    fast = Trial(what={"operation": "read"}, result={"points": points})
    assert measure.refused_if_impossible(fast, 3352e9, 2**30).status == Status.OK  # all in cache
    assert measure.refused_if_impossible(fast, 3500e9, 2**25).status == Status.OK
    refused = measure.refused_if_impossible(fast, 3352e9, 2**25)
    assert refused.status == Status.REFUSED
    assert "3600 GB/s from memory is above the theoretical 3352" in str(refused.reason)


def test_the_l2_of_a_gpu_does_not_hide_behind_the_overhead() -> None:
    """Half of an L2 of 50 MB is read at 5.5 TB/s in more than two calls on one element take."""
    overheads = measure.job._configured("bandwidth")["overheads"]
    overhead_s, read_s = 2e-6, 25e6 / 5.5e12
    assert overheads["gpu"] * overhead_s <= read_s < overheads["cpu"] * overhead_s


def test_transfers_without_an_accelerator() -> None:
    """On a CPU pinning is refused: the pageable copies are measured, the others have a reason."""
    if torch.accelerator.is_available():
        pytest.skip("needs a machine without")
    work = measure.Job({"device": "cpu"}, SETTINGS, torch.device("cpu"))
    trials = measure.transfers(work, measure.Sampler(work, measure.HostClock(torch.device("cpu"))))
    kinds = {(t.what["transfer"], t.what["host_memory"]): t.status for t in trials}
    assert len(kinds) == 4
    assert kinds["host_to_device", "pageable"] == Status.OK
    assert kinds["device_to_host", "pinned"] == Status.UNAVAILABLE


# ---- made-up machines ----------------------------------------------------------------------------


def point(size: int, rate: float, spread: float = 0.01, bound: bool = False) -> dict[str, Any]:
    """A point of a scan, at a rate in GB/s."""
    return {
        "working_set_bytes": size,
        "status": "ok",
        "bandwidth_bytes_per_s": rate * GB,
        "bandwidth_low_bytes_per_s": rate * GB * (1 - spread),
        "bandwidth_high_bytes_per_s": rate * GB * (1 + spread),
        "overhead_bound": bound,
    }


def curve(
    operation: str, threads: int | None, scan: list[dict[str, Any]], contended: int = 0
) -> Trial:
    return Trial(
        what={"operation": operation, **({"threads": threads} if threads else {})},
        result={
            "rounds": 100,
            "rounds_void": 0,
            "overhead_s": 2e-6,
            "points_contended": contended,
            "points": [*scan, *[{"working_set_bytes": 1, "status": "contended"}] * contended],
        },
    )


def scan(levels: Mapping[int, float], overhead_to: int = 0) -> list[dict[str, Any]]:
    """A staircase that rises with the working set while the overhead decides."""
    points = staircase(levels, noise=0.01)
    rising = [min(1.0, p.size / max(1, overhead_to)) for p in points]
    return [
        point(p.size, p.rate / GB * share, bound=share < 1)
        for p, share in zip(points, rising, strict=True)
    ]


def bandwidths(device: str, trials: list[Trial]) -> Record:
    return make_record("bandwidth", {"device": device}, trials, settings=dict(SETTINGS))


def cpu(scale: float = 1.0) -> Record:
    """A CPU with caches to 128 KiB, 2 MiB and 32 MiB, and 10 GB/s of memory."""
    trials = []
    for threads in (1, 2):
        for name, share in (("read", 1.0), ("copy", 0.9), ("triad", 0.95)):
            levels = {size: share * scale * threads * rate for size, rate in LEVELS.items()}
            trials.append(curve(name, threads, scan(levels, overhead_to=2**16)))
    return bandwidths("cpu", trials)


def gpu(rate: float = 2900.0) -> Record:
    levels = {2**25: 2 * rate, 2**30: rate}
    trials = [
        curve(name, None, scan(levels, overhead_to=2**24)) for name in ("read", "copy", "triad")
    ]
    for direction in ("host_to_device", "device_to_host"):
        for kind, speed in (("pageable", 9.0), ("pinned", 55.0)):
            moved = {key: value for key, value in point(2**28, speed).items() if "band" in key}
            what = {"transfer": direction, "host_memory": kind}
            trials.append(Trial(what=what, result={"transfer_bytes": 2**28, **moved}))
    return bandwidths("gpu", trials)


def rows(device: str, values: Mapping[Item, dict[str, Any]]) -> Record:
    """A record of the hardware study."""
    trials = [Trial(what={"item": item}, result=each) for item, each in values.items()]
    return make_record("hardware", {"device": device}, trials)


def cpu_rows(l3: int = 2**25) -> Record:
    caches = [
        {"level": 1, "type": "data", "size_bytes": 2**15, "instances": 4},
        {"level": 1, "type": "instruction", "size_bytes": 2**15, "instances": 4},
        {"level": 2, "type": "unified", "size_bytes": 2**20, "instances": 4},
        {"level": 3, "type": "unified", "size_bytes": l3, "instances": 1},
    ]
    virtual = {"hypervisor": "KVM", "container": None}
    return rows(
        "cpu",
        {
            Item.CPU: {"brand": "X"},
            Item.CACHES: {"caches": caches},
            Item.VIRTUALISATION: virtual,
        },
    )


def gpu_rows() -> Record:
    return rows(
        "gpu",
        {
            Item.GPU: {"name": "NVIDIA H100 80GB HBM3", "l2_bytes": 52428800},
            Item.GPU_BANDWIDTH: {"bandwidth_bytes_per_s": 3352.3e9},
            Item.PCIE: {"generation": 5, "lanes": 16, "bandwidth_bytes_per_s": 63.0e9},
        },
    )


def product(dtype: str, n: int, rate: float, arm: str = "target", **what: Any) -> Trial:
    """A trial of a product at so many FLOP/s."""
    seconds = 2 * n**3 / rate
    times = {"time_median_s": seconds, "time_low_s": 0.99 * seconds, "time_high_s": 1.01 * seconds}
    slow = {key: 3 * value for key, value in times.items()}
    work = {"units_per_call": 2 * n**3}
    return Trial(
        what={"dtype": dtype, "n": n, **what},
        result={
            "throughput_flops": rate,
            "arms": {"anchor": slow | work, "twin": slow | work, arm: times | work},
            "ratios": {"twin": {"ratio": 1.0, "ratio_low": 0.99, "ratio_high": 1.01, "p": 0.5}},
        },
    )


def products(device: str, study: str, scale: float) -> list[Record]:
    """Products that memory limits when they are small, in two number formats."""
    best = {"float32": 1.5e11 * scale, "bfloat16": 6e11 * scale}
    made = []
    for n in (16, 64, 256, 1024):
        trials = [
            product(dtype, n, rate * n / (n + 100), layout=None, arm="all_threads")
            for dtype, rate in best.items()
        ]
        made.append(make_record(study, {"device": device, "n": n}, trials))
    return made


def told(folder: Path, records: list[Record]) -> Answer:
    """The answer to records, as if nothing were known of occasions."""
    return answered(answer, folder, records, "--between", "{}")


def both() -> list[Record]:
    """A CPU and a GPU with everything."""
    return [
        cpu_rows(),
        gpu_rows(),
        cpu(),
        gpu(),
        *products("cpu", "alignment", 1),
        *products("gpu", "crossover", 100),
    ]


def test_a_gpu_machine(tmp_path: Path) -> None:
    found = told(tmp_path, both())
    assert found.sentence.startswith("cpu: Memory gives 19.97 [")
    assert "(read with 2 threads)" in found.sentence
    assert "gpu: Memory gives 28" in found.more
    assert "% of theory)" in found.more
    assert "GPUs against CPUs: ahead in bandwidth, float32 and bfloat16." in found.more
    assert len(found.sentence.split()) <= 25
    assert ";" not in found.sentence
    assert found.state == State.ANSWERED
    assert "cpu: Reuse data within " in found.so
    assert {view.name for view in found.views} == {"cpu", "gpu"}
    cells = {(row[0], row[1]): row for row in found.table.rows}
    assert cells["gpu", "host to device, pageable"][2].text == "9.00 [8.91, 9.09]"
    assert cells["gpu", "host to device, pinned"][3].text == "87 %"
    assert {claim["arm"] for claim in found.numbers["claims"]} == {
        "bandwidth",
        "float32",
        "bfloat16",
    }
    assert str(cells["cpu", "read, with 2 threads"][5]).count("iB") == 3  # where it falls
    assert found.missing == []


def test_one_device_is_not_named(tmp_path: Path) -> None:
    found = told(tmp_path, [cpu_rows(), cpu()])
    assert found.sentence.startswith("Memory gives 19.97 [")
    assert len(found.sentence.split()) <= 25
    assert len(found.short.split()) <= 12
    assert 0 < len(found.so.split()) <= 20
    assert found.table.columns[0].name == "operation"
    assert [shown.title for shown in found.views] == ["Bandwidth by working set, with 2 threads"]


def test_the_figure_leaves_out_where_a_call_decides(tmp_path: Path) -> None:
    """And says nothing of knees where none was seen: no advice."""
    flat = bandwidths("cpu", [curve("read", 1, scan({2**30: 10.0}, overhead_to=2**16))])
    found = told(tmp_path, [flat])
    assert found.so == ""
    assert (found.views[0].svg or "").count("<title>") == 33 - 4
    short = bandwidths("cpu", [curve("read", 1, scan({2**30: 10.0}, overhead_to=2**31))])
    assert "Nothing was measured" in told(tmp_path, [short]).views[0].alternative


def test_a_lost_operation_is_named_and_lowers_the_state(tmp_path: Path) -> None:
    busy = cpu()
    busy.trials[3].status, busy.trials[3].reason = Status.CONTENDED, "busy"
    found = told(tmp_path, [busy])
    assert found.sentence.endswith(" Disturbed: read.")
    assert found.state == State.PART
    cut = cpu()
    cut.trials[3] = curve("read", 2, scan(LEVELS)[:-4], contended=4)
    points: Any = cut.trials[3].result["points"]
    points[-1]["working_set_bytes"] = 2**30
    assert told(tmp_path, [cut]).sentence.endswith(" Disturbed: read.")


def test_the_frame_is_tidy(tmp_path: Path) -> None:
    told(tmp_path, both())
    table = pd.read_csv(tmp_path / "table.csv")
    assert len(table) == 9 * 33 + 4 + 16 + 3
    claims = table[table["operation"] == "against a GPU"]
    assert set(claims["verdict"]) == {"slower"}
    assert (
        not claims[["against", "ratio", "ratio_low", "ratio_high", "p", "bound"]]
        .isna()
        .any(axis=None)
    )
    only = table[(table["operation"] == "product") & (table["device"] == "cpu")]
    assert set(only["study"]) == {"alignment"}
    shares = only["throughput_flops"] / only["roof_flops"]
    assert shares.max() == pytest.approx(1)
    exact = only[only["dtype"] == "bfloat16"]
    assert list(exact["intensity_flop_per_byte"]) == pytest.approx([n / 3 for n in exact["n"]])


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (2900.0, "ahead"),
        (2.0, "behind"),
        (20.0, "level"),
        (22.0, "cannot tell"),
    ],
)
def test_every_word_about_bandwidth(rate: float, words: str, tmp_path: Path) -> None:
    card, processor = gpu(rate), cpu()
    if words.startswith("cannot"):
        wide = [point(2**29, rate), point(2**30, rate, spread=0.1)]
        card = bandwidths("gpu", [curve("read", None, wide)])
    found = told(tmp_path, [processor, card])
    assert f"GPUs against CPUs: {words} in bandwidth." in f"{found.sentence} {found.more}"
    assert found.state == (State.PART if words.startswith("cannot") else State.ANSWERED)


def test_without_a_gpu_the_claims_cannot_be_told(tmp_path: Path) -> None:
    found = told(tmp_path, [cpu_rows(), cpu(), *products("cpu", "crossover", 1)])
    assert any("cannot be told: no GPU was measured" in text for text in found.why)
    assert "GPU" not in found.sentence
    assert found.numbers["claims"] == []
    assert found.state == State.ANSWERED


def test_a_single_point_cannot_tell(tmp_path: Path) -> None:
    card = bandwidths("gpu", [curve("read", None, [point(2**20, 2900.0)])])
    found = told(tmp_path, [cpu(), card])
    assert found.sentence.endswith("GPUs against CPUs: cannot tell.")
    assert found.state == State.PART


def test_what_limits_an_answer_is_said(tmp_path: Path) -> None:
    busy = cpu()
    busy.trials[0] = curve("read", 1, scan(LEVELS)[:-4], contended=4)
    found = told(tmp_path, [cpu_rows(l3=300 * 2**20 * 2), busy])
    assert "not clearly beyond the reported 600 MiB L3" in found.caveats[-1]
    assert found.state == State.ANSWERED  # one thread is not what the headline speaks of


def test_other_shapes_and_layouts_are_not_in_the_roofline() -> None:
    odd = product("float32", 64, 1e11, layout="offset")
    batched = product("float32", 64, 1e11, layout=None)
    for arm in batched.result["arms"].values():  # type: ignore[union-attr]
        arm["units_per_call"] *= 8  # type: ignore[index, call-overload, operator]
    elementwise = Trial(what={"dtype": "float32", "n": 64, "operation": "elementwise"})
    skipped = Trial(what={"dtype": "float32", "n": 64}, status=Status.SKIPPED, reason="slow")
    made = make_record("alignment", {"device": "cpu"}, [odd, batched, elementwise, skipped])
    assert answer.products([made]) == []
    good = make_record("crossover", {"device": "cpu"}, [product("float32", 64, 1e11)])
    (found,) = answer.products([good])
    assert found.value == pytest.approx(1e11)
    assert found.low < found.value < found.high
    assert found.intensity == pytest.approx(2 * 64 / 12)


def test_the_measured_arm_is_named_in_the_record() -> None:
    """Not the one whose throughput happens to be nearest, nor any by its name."""
    made = product("float32", 64, 1e11, arm="resident")
    made.result |= {"arm": "resident"}
    arms: Any = made.result["arms"]
    arms["all_threads"] = arms["anchor"]
    (found,) = answer.products([make_record("crossover", {"device": "gpu"}, [made])])
    assert found.value == pytest.approx(1e11)


def test_rates_are_no_better_known_than_their_occasion(tmp_path: Path) -> None:
    """Two runs of one memory that differ by as much as is known of occasions: no difference."""
    runs = [occasion.pooled([cpu(scale)], {"bandwidth": {"time": 0.05}}) for scale in (1.0, 1.07)]
    (first, second) = (answer.devices(each)[0].rate for each in runs)
    assert first
    assert second
    assert first.high > second.low


def test_a_rate_not_known_within_a_factor_of_two_is_none() -> None:
    every = [cpu(), *products("cpu", "alignment", 1)]
    moved = occasion.pooled(every, {"bandwidth": {"time": 0.5}})
    found = answer.answer(moved)
    assert model.state(found.cells) == State.UNKNOWN
    assert found.short.startswith("Cannot tell; between ")
    assert found.sentence.startswith("Cannot tell what memory gives: between ")
    assert found.so == ""
    assert "n ≥" not in " ".join(found.why)
    assert "memory" not in str([text.get_text() for text in found.views[0].figure.axes[0].texts])


def test_no_scan_but_products(tmp_path: Path) -> None:
    """The bandwidth job failed, the others did not."""
    gone = make_record(
        "bandwidth", {"device": "cpu"}, [], status=Status.OUT_OF_MEMORY, reason="full"
    )
    found = told(tmp_path, [gone, *products("cpu", "alignment", 1)])
    assert (found.sentence, found.state) == (question.NOTHING, State.NONE)
    assert found.missing[0].status == Status.OUT_OF_MEMORY
    assert found.numbers["cpu"]["products_flops"]["float32"][0] > 1e11
    assert "Best products" in found.why[0]


def test_products_of_several_occasions_stand_in_the_roofline() -> None:
    """Their work is a geometric mean, which rounds."""
    made = [
        make_record("crossover", {"device": "cpu", "occasion": i}, [product("float32", 100, 1e11)])
        for i in (1, 2)
    ]
    (found,) = answer.products(occasion.pooled(made, {}))
    assert found.value == pytest.approx(1e11)


def test_products_alone_compare_gpus_and_cpus(tmp_path: Path) -> None:
    found = told(
        tmp_path,
        [cpu_rows(), *products("cpu", "alignment", 1), *products("gpu", "crossover", 100)],
    )
    assert "bandwidth of memory was not measured" in found.sentence
    assert "ahead in float32 and bfloat16." in found.sentence
    assert found.sentence.endswith("Not measured: cpu memory, gpu memory.")
    assert found.state == State.PART


def test_gpus_that_are_not_alike_are_called_neither_ahead_nor_behind() -> None:
    words = {"gpu0": Word.SLOWER, "gpu1": Word.FASTER}
    made = [Arm("cpu", gpu, "float32", "float32", word=word) for gpu, word in words.items()]
    made += [Arm("cpu", gpu, "bandwidth", "bandwidth", word=Word.SLOWER) for gpu in words]
    said = answer.against(made)
    assert said == "GPUs against CPUs: not alike in float32, ahead in bandwidth."
