"""Crossover: the size is the one that is put into made-up records; a real job on this CPU."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import answer_crossover as answer
import measure_crossover as measure
import pytest
import torch
from assay import record
from assay.answer import model, question
from assay.answer.inference import bracket
from assay.answer.model import State
from assay.device import usable_cores
from assay.record import Record, Status, Trial
from assay.timing.clock import Block
from assay.timing.trial import Work
from builders import PROTOCOL, QUICK, answered, make_record

CPU = torch.device("cpu")
SIZES = [2**i for i in range(13)]
SETTINGS: dict[str, Any] = {
    "seed": 1,
    "protocol": {**QUICK},
    "operations": {"product": ["float32", "bfloat16"], "elementwise": ["float32"]},
    "cell_s": 20,
    "half_width": 0.5,
    "operand_sets_least": 1,
}


# ---- where a curve crosses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ([True, True, True], (0, 0)),
        ([False, False, False], (math.inf, math.inf)),
        ([True, True, False], (math.inf, math.inf)),  # faster only where it is small
        ([False, True, True], (1, 2)),
        ([False, True, False, True], (4, 8)),  # the last time it falls below
    ],
)
def test_always_never_and_the_last_crossing(
    below: list[bool], expected: tuple[float, float]
) -> None:
    assert bracket(SIZES[: len(below)], below) == expected


# ---- made-up records -------------------------------------------------------------------------

Law = Callable[[int], float]


def arm(seconds: float, flop: float, width: float) -> dict[str, float]:
    return {
        "time_median_s": seconds,
        "time_low_s": seconds * (1 - width),
        "time_high_s": seconds * (1 + width),
        "units_per_call": flop,
    }


def ratio(value: float, width: float) -> dict[str, float]:
    low, high = value * (1 - width), value * (1 + width)
    return {
        "ratio": value,
        "ratio_low": low,
        "ratio_high": high,
        "p": 0.5 if low <= 1 <= high else 1e-9,
    }


def trial(
    n: int, operation: str, anchor: str, laws: dict[str, Law], width: float, **extra: Any
) -> Trial:
    """A trial whose ways take these times."""
    flop = measure.Task(operation, "float32", n, CPU).flops
    seconds = {name: law(n) for name, law in laws.items()}
    names = {anchor: "anchor"}
    arms = {names.get(name, name): arm(value, flop, width) for name, value in seconds.items()}
    others = [name for name in seconds if name != anchor]
    return Trial(
        what={"operation": operation, "dtype": "float32", "n": n, "anchor": anchor},
        result={
            "arms": {**arms, "twin": arms["anchor"]},
            "ratios": {
                "twin": ratio(1.0, min(width, 0.01)),
                **{name: ratio(seconds[name] / seconds[anchor], width) for name in others},
            },
            "rounds": 20,
            "rounds_void": 0,
            "bytes_per_call": 12 * n**2,
            **extra,
        },
    )


def one_thread(n: int) -> float:
    return 1e-6 + 2 * n**3 / 1e11


def all_threads(n: int) -> float:
    """Half the time for the work, and 2 µs to begin: as fast as one thread at n = 58.5."""
    return 3e-6 + n**3 / 1e11


def small_work(n: int) -> float:
    return 1e-6 + n**2 / 1e9


def device(
    label: str, products: dict[str, Law], small: dict[str, Law], width: float = 0.002, **extra: Any
) -> list[Record]:
    """The records of one device; the first way is the anchor."""
    anchor = next(iter(products))
    settings = {**SETTINGS, "protocol": dict(PROTOCOL)}
    return [
        make_record(
            "crossover",
            {"device": label, "n": n},
            [
                trial(n, "product", anchor, products, width, **extra),
                trial(n, "elementwise", anchor, small, width, **extra),
            ],
            settings=settings,
        )
        for n in SIZES
    ]


def cpu(width: float = 0.002) -> list[Record]:
    products: dict[str, Law] = {"one_thread": one_thread, "all_threads": all_threads}
    small: dict[str, Law] = {
        "one_thread": small_work,
        "all_threads": small_work,
        "printed": lambda n: small_work(n) + 1e-4,
    }
    return device("cpu", products, small, width)


def gpu(width: float = 0.002, **extra: Any) -> list[Record]:
    """Launches of 10 µs, a hundred times the speed, and 10 GB/s in between."""

    def product(n: int) -> float:
        return 1e-5 + n**3 / 1e13

    def small(n: int) -> float:
        return 1e-5 + n**2 / 1e12

    def away(law: Law) -> Law:
        return lambda n: law(n) + 3e-5 + 12 * n**2 / 1e10

    products: dict[str, Law] = {"resident": product, "transfer": away(product)}
    tasks: dict[str, Law] = {
        "resident": small,
        "waited": lambda n: small(n) + 1e-5,
        "transfer": away(small),
    }
    return device("gpu", products, tasks, width, **extra)


def numbers(found: question.Findings, way: str, operation: str = "product") -> dict[str, Any]:
    return next(
        each
        for each in found.numbers["crossovers"]
        if (each["way"], each["operation"]) == (way, operation)
    )


def words(text: str) -> int:
    return len(text.split())


def short_enough(found: question.Findings, sentence: int = 25) -> None:
    assert words(found.short) <= 12
    assert words(found.sentence) <= sentence
    assert ";" not in found.sentence
    assert words(found.so) <= 20
    assert sum(map(words, found.why)) <= 120
    assert sum(map(words, found.caveats)) <= 60


def test_each_cpu_gets_a_clause_of_its_own() -> None:
    lab = cpu()
    for each in lab:
        each.axes["device"] = "lab"
    said = answer.answer([*cpu(), *lab]).sentence
    assert "cpu: Two threads beat one" in said
    assert "lab: Two threads beat one" in said


def test_without_a_gpu_threads_are_compared_and_it_is_said_plainly() -> None:
    found = answer.answer(cpu())
    assert found.sentence.startswith(
        "No GPU here. Two threads beat one for float32 products from n between 32 and 64. "
    )
    assert "Elementwise products: at no size up to 4096." in found.sentence
    assert found.short == "No GPU; two threads beat one from n = 32–64"
    short_enough(found)
    assert sum(map(words, found.method)) <= 120
    seen = numbers(found, "all_threads")
    assert seen["between"] == [32, 64]
    assert 58 < seen["n"] < 64  # straight lines between powers of two are not the law itself
    assert (seen["n_low"], seen["n_high"]) == (32, 64)
    assert seen["verdict_at_largest_n"] == "faster"
    assert model.state(found.cells) == State.PART  # of threads, not of a GPU


def test_with_a_gpu_it_is_compared_with_the_whole_cpu() -> None:
    found = answer.answer([*cpu(), *gpu()])
    resident, transfer = numbers(found, "resident"), numbers(found, "transfer")
    # 1e-5 s of launch against 3e-6 + n³/1e11: n = 89; with transfer 4e-5 + 1.2e-9 n²: n = 209.
    assert resident["n"] == pytest.approx(89, rel=0.1)
    assert transfer["n"] == pytest.approx(209, rel=0.1)
    assert resident["against_way"] == "all_threads"
    assert numbers(found, "transfer", "elementwise")["case"] == "never"
    assert found.sentence.startswith(
        "The GPU is worth it for float32 products from n between 64 and 128. "
        "Products with transfer: from n between 128 and 256."
    )
    assert "products with transfer: at no size up to 4096" in found.sentence
    assert model.state(found.cells) == State.ANSWERED
    short_enough(found, sentence=42)
    assert [view.name for view in found.views] == ["gpu", "cpu"]
    assert any("separate processes" in text for text in found.method)


def test_intervals_of_separate_processes_are_propagated() -> None:
    sharp, blunt = (numbers(answer.answer([*cpu(w), *gpu(w)]), "resident") for w in (0.001, 0.45))
    assert blunt["n_low"] < sharp["n_low"] < sharp["n_high"] < blunt["n_high"]
    found = answer.compared([*cpu(0.1), *gpu(0.1)])
    seen = next(arm.seen for arm in found if arm.name == "resident")
    assert seen
    reach = math.sqrt(2) * math.log(1.1 / 0.9) / 2  # two errors in quadrature
    assert seen.low == pytest.approx(seen.value * math.exp(-reach))
    assert seen.high == pytest.approx(seen.value * math.exp(reach))


def test_a_size_that_is_not_called_faster_lies_within_the_interval() -> None:
    """Its ratio is as small as before, but its twin shows that this may be noise."""
    records = cpu()
    assert numbers(answer.answer(records), "all_threads")["n_high"] == 64
    at_64: Any = next(each for each in records if each.axes["n"] == 64).trials[0].result
    at_64["ratios"]["twin"]["ratio_high"] = 1.9
    seen = numbers(answer.answer(records), "all_threads")
    assert (seen["n_low"], seen["n_high"]) == (32, 128)
    assert 58 < seen["n"] < 64


def test_noise_cannot_tell_and_widens_the_interval() -> None:
    found = answer.answer(cpu(width=0.45))
    seen = numbers(found, "all_threads", "elementwise")
    assert seen["verdict_at_largest_n"] == "cannot tell"
    assert seen["case"] == "never"
    assert "lementwise products: cannot tell." in found.sentence
    assert model.state(found.cells) != State.ANSWERED
    assert (seen["n_low"], seen["n_high"]) == (None, None)  # beyond the sizes, on both sides


def test_from_where_on_it_is_faster_is_told_though_it_may_be_so_before() -> None:
    """At n = 1 the ratio is under the limit, but may as well be over it."""
    laws: dict[str, Law] = {"one_thread": one_thread, "all_threads": faster}
    records = device("cpu", laws, laws)
    for trial in records[0].trials:
        trial.result["ratios"]["all_threads"] = ratio(0.97, 0.1)  # type: ignore[index, call-overload]
    found = answer.answer(records)
    assert "beat one for float32 products from n = 2 or less." in found.sentence
    assert [cell.word for cell in found.cells if not cell.lost] == [None, None]
    assert (numbers(found, "all_threads")["n_high"], found.so) == (2, "")


@pytest.mark.parametrize(
    ("sure", "says"), [((), "at no size for certain up to"), ((64,), "only at 64 for certain")]
)
def test_a_size_at_which_nothing_can_be_told_is_not_counted_out(
    sure: tuple[int, ...], says: str
) -> None:
    """It is slower at the largest size, yet at n = 8 it may well be faster."""
    laws: dict[str, Law] = {"one_thread": one_thread, "all_threads": slower}
    records = device("cpu", laws, laws)
    for each in records:
        for trial in each.trials:
            if each.axes["n"] in (8, *sure):
                value = 0.9 if each.axes["n"] == 8 else 0.5
                trial.result["ratios"]["all_threads"] = ratio(value, 0.15)  # type: ignore[index, call-overload]
    found = answer.answer(records)
    assert f"two threads beat one {says.partition(' up to')[0]}" in found.short
    assert f"for float32 products {says}" in found.sentence
    short_enough(found, sentence=28)


def test_a_gpu_of_another_run_stands_beside_the_cpu_of_that_run() -> None:
    """Which has half the speed, so that its GPU is worth it earlier."""
    lab = [*device("cpu (lab)", *[{"one_thread": slower}] * 2), *gpu()]
    for each in lab[len(SIZES) :]:
        each.axes["device"] = "gpu (lab)"
    found = answer.compared([*cpu(), *lab])
    beside = {
        arm.extras["against_device"] for arm in found if arm.device == "gpu (lab)" and arm.seen
    }
    assert beside == {"cpu (lab)"}
    here = answer.compared([*cpu(), *lab[len(SIZES) :]])  # that run measured no CPU
    assert {arm.extras["against_device"] for arm in here if arm.seen} == {"cpu"}


def test_no_more_is_told_than_the_sizes_allow() -> None:
    """From n = 1 and n = 1024 alone, a line through five decades is no estimate."""
    ends = [each for each in cpu() if each.axes["n"] in (1, 1024)]
    found = answer.answer(ends)
    seen = numbers(found, "all_threads")
    assert (seen["n"], seen["n_low"], seen["n_high"]) == (None, 1, 1024)
    assert "for float32 products from n between 1 and 1024" in found.sentence
    assert "for float32 products up to n = 1" in found.so


def slower(n: int) -> float:
    return 2 * one_thread(n)


def faster(n: int) -> float:
    return one_thread(n) / 2


@pytest.mark.parametrize(
    ("law", "word", "case", "says"),
    [
        (slower, "slower", "never", "at no size up to 4096"),
        (faster, "faster", "always", "at every size from 1"),
        (one_thread, "the same", "never", "at no size up to 4096"),
        (
            lambda n: faster(n) if n in (8, 16) else slower(n),
            "slower",
            "never",
            "only at 8 and 16",
        ),
    ],
)
def test_every_verdict(law: Law, word: str, case: str, says: str) -> None:
    laws: dict[str, Law] = {"one_thread": one_thread, "all_threads": law}
    found = answer.answer(device("cpu", laws, laws))
    seen = numbers(found, "all_threads")
    assert (seen["verdict_at_largest_n"], seen["case"]) == (word, case)
    assert says in found.sentence
    short_enough(found)


def test_advice_is_given_where_verdicts_carry_it() -> None:
    def so(law: Law) -> str:
        laws: dict[str, Law] = {"one_thread": one_thread, "all_threads": law}
        return answer.answer(device("cpu", laws, laws)).so

    assert so(one_thread) == ""
    assert so(faster) == ""
    assert "Use one thread for float32 products up to n = 4096" in so(slower)
    with_gpu = answer.answer([*cpu(), *gpu()]).so
    assert with_gpu.startswith("Use gpu for float32 products from n = 128")


def test_launches_are_numbers() -> None:
    found = answer.answer([*cpu(), *gpu()])
    launches = {(each["device"], each["way"]): each for each in found.numbers["latencies"]}
    assert launches["gpu", "waited"]["time_s"] == pytest.approx(2e-5, rel=0.01)
    printed = found.frame[(found.frame["way"] == "printed") & (found.frame["n"] == 1)]
    assert list(printed["time_s"]) == pytest.approx([101e-6], rel=0.01)


def test_a_cpu_with_one_thread_is_still_the_reference() -> None:
    laws: dict[str, Law] = {"one_thread": one_thread}
    found = answer.answer([*device("cpu", laws, laws), *gpu()])
    assert numbers(found, "resident")["against_way"] == "one_thread"
    assert {row[-1] for row in found.table.rows} == {"one thread of cpu", None}
    alone = answer.answer(device("cpu", laws, laws))
    assert "so there is nothing to compare" in alone.sentence
    assert alone.sentence.startswith("No GPU here")
    assert model.state(alone.cells) == State.NONE


def test_the_mark_of_a_crossing_begins_with_its_size() -> None:
    """Also where it may lie below the smallest size that was compared."""
    laws: dict[str, Law] = {"one_thread": one_thread, "all_threads": lambda n: 1e-6 + n**3 / 1e11}
    figure = answer.answer(device("cpu", laws, laws, width=0.1)).views[0].figure
    assert figure
    told = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any(each.endswith(" or less") for each in told)
    assert not [each for each in told if each.startswith("=")]


def test_a_gpu_whose_results_are_wrong_is_not_said_to_be_missing() -> None:
    wrong = gpu()
    for each in wrong:
        for one in each.trials:
            one.status, one.reason = Status.REFUSED, "wrong result (transfer)"
    found = answer.answer([*cpu(), *wrong])
    assert found.sentence.startswith("No GPU could be compared. Two threads beat one")
    assert "Refused: gpu." in found.sentence
    assert found.short.startswith("No GPU could be compared; two threads")
    assert [cell.lost for cell in found.cells if cell.lost] == ["refused"]


def test_a_gpu_alone_has_nothing_to_be_compared_with() -> None:
    found = answer.answer(gpu())
    assert found.sentence == "No CPU was measured beside gpu, so there is nothing to compare."
    assert model.state(found.cells) == State.NONE
    assert found.numbers["latencies"]


def test_a_lost_task_is_named_and_lowers_the_state() -> None:
    records = [*cpu(), *gpu()]
    for each in records:
        each.trials[1] = Trial(what=each.trials[1].what, status=Status.CONTENDED, reason="busy")
    found = answer.answer(records)
    assert found.sentence.endswith("Disturbed: elementwise products.")
    assert model.state(found.cells) == State.PART
    assert set(numbers(found, "resident")) >= {"n", "n_low", "n_high"}


def test_a_lost_first_number_format_is_not_replaced_by_another() -> None:
    records = cpu()
    for each in records:
        product, small = each.trials
        other = product.model_copy(update={"what": {**product.what, "dtype": "bfloat16"}})
        lost = Trial(what=product.what, status=Status.CONTENDED, reason="busy")
        each.trials = [lost, other, small]
    found = answer.answer(records)
    assert "Disturbed: products." in found.sentence
    assert "bfloat16" not in found.sentence
    assert numbers(found, "all_threads")["dtype"] == "bfloat16"
    short_enough(found)


def test_what_is_not_drawn_is_told() -> None:
    records = [*cpu(), *gpu()]
    for each in records:
        what = {**each.trials[0].what, "dtype": "bfloat16"}
        each.trials.append(each.trials[0].model_copy(update={"what": what}))
    found = answer.answer(records)
    assert found.why == [
        "gpu: bfloat16 products: from n between 64 and 128.",
        "gpu: bfloat16 products with transfer: from n between 128 and 256.",
    ]
    assert "bfloat16" not in found.sentence + found.views[0].alternative
    assert "bfloat16" in found.views[1].alternative


def test_when_nothing_could_be_measured_it_says_so() -> None:
    gone = Trial(
        what={"operation": "product", "dtype": "float32", "n": 4096},
        status=Status.SKIPPED,
        reason="20 rounds would take about 66 s",
        result={"estimate_s": 66},
    )
    absent = make_record(
        "crossover", {"device": "gpu", "n": 4096}, [], status=Status.UNAVAILABLE, reason="no GPU"
    )
    one = make_record("crossover", {"device": "cpu", "n": 4096}, [gone], settings=SETTINGS)
    found = answer.answer([one, absent])
    assert found.sentence == question.NOTHING
    assert model.state(found.cells) == State.NONE
    assert sorted(found.frame["status"]) == ["skipped", "unavailable"]


def test_the_figure_names_the_crossover_and_holds_two_points_or_more() -> None:
    (shown,) = answer.answer(cpu()).views
    assert shown.figure
    assert "between 32 and 64" in [text.get_text() for text in shown.figure.axes[0].texts]
    named = " ".join(text.get_text() for text in shown.figure.texts)
    assert "(under 1: two threads faster)" in named
    single = answer.answer(cpu()[:1])
    assert single.views[0].title == answer.TITLE
    assert single.views[0].figure is None


def test_the_files_of_an_answer(tmp_path: Path) -> None:
    seen = answered(answer, tmp_path, [*cpu(), *gpu(unsynchronised_s=5e-6, device_s=1e-6)])
    lines = (tmp_path / "table.csv").read_text().splitlines()
    ways = len(SIZES) * (2 + 3 + 2 + 3)
    assert len(lines) == 1 + ways
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert len(seen.table.rows) == ways
    assert {row[2].rpartition(", ")[2] for row in seen.table.rows} >= {
        "one thread",
        "all 2 threads",
    }
    assert len(seen.views) == 2


def test_a_gpu_is_compared_with_the_faster_of_one_thread_and_all() -> None:
    found = {
        arm.label: arm.extras["against_way"]
        for arm in answer.compared([*cpu(), *gpu()])
        if arm.name == "resident" and arm.extras["operation"] == "product"
    }
    assert (found["16"], found["1024"]) == ("one_thread", "all_threads")


# ---- the measuring script --------------------------------------------------------------------


def task(operation: str = "product", n: int = 48, dtype: str = "float32") -> measure.Task:
    return measure.Task(operation, dtype, n, CPU)


def test_a_real_job_leaves_the_threads_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    measure.main(["--n", "40", "--settings", json.dumps(SETTINGS), "--output", str(path)])
    assert torch.get_num_threads() == usable_cores()
    seen = record.read(path)
    assert seen.axes == {"device": "cpu", "n": 40, "occasion": 1}
    assert [each.status for each in seen.trials] == [Status.OK] * 3
    product, _, small = seen.trials
    result: Any = product.result
    assert product.what["operation"] == "product"
    assert result["throughput_flops"] > 0
    assert result["transfer"].startswith("none: the operands of a CPU")
    if seen.conditions.threads_used > 1:
        assert product.what["anchor"] == "one_thread"
        assert set(result["ratios"]) == {"twin", "all_threads"}
    arms: Any = small.result["arms"]
    assert arms["printed"]["time_median_s"] > arms["anchor"]["time_median_s"]
    found = answered(answer, tmp_path, [seen])
    assert found.table.rows


def test_a_cell_over_its_budget_is_skipped_with_its_estimate(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    settings = json.dumps({**SETTINGS, "cell_s": 0.001})
    measure.main(["--n", "64", "--settings", settings, "--output", str(path)])
    seen = record.read(path)
    assert seen.status == Status.SKIPPED
    assert "over the budget of 0.001 s a cell (cell_s)" in str(seen.reason)
    estimate: Any = seen.trials[0].result["estimate_s"]
    assert 0.001 < estimate < 60


def test_a_long_call_is_estimated_from_a_short_one() -> None:
    asked = []

    def way(probe: measure.Task) -> Work[None]:
        asked.append(probe.n)
        return Work(lambda _: None, lambda _: time.sleep(0.006 * (probe.n / 256) ** 3))

    seconds = measure.call_s(way, task(n=16384), measure.EnteringClock(CPU))
    assert asked == [256, 512]  # 48 ms is long enough
    assert seconds == pytest.approx(0.006 * 64**3, rel=0.1)


def test_if_one_thread_takes_too_long_all_are_measured_alone() -> None:
    names = ["one_thread", "all_threads", "printed"]
    assert measure.plans(names, "product") == [["one_thread", "all_threads"], ["all_threads"]]
    assert measure.plans(names, "elementwise") == [names, ["all_threads", "printed"]]
    assert measure.plans(["resident", "transfer", "printed"], "product") == [
        ["resident", "transfer"]
    ]


def test_a_size_that_does_not_fit_is_out_of_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measure.machine, "free_memory", lambda _: 1000)
    path = tmp_path / "record.json"
    measure.main(["--n", "64", "--settings", json.dumps(SETTINGS), "--output", str(path)])
    seen = record.read(path)
    assert seen.status == Status.OUT_OF_MEMORY
    assert "GB of cpu are free" in str(seen.reason)


def test_setting_the_threads_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = []

    def set_slowly(threads: int) -> None:
        slow.append(threads)
        time.sleep(0.05)

    monkeypatch.setattr(torch, "set_num_threads", set_slowly)
    clock = measure.EnteringClock(CPU)
    called = []
    threads = torch.get_num_threads() + 1
    work = measure.threaded(Work(lambda _: None, called.append), threads, clock)
    assert clock.time(lambda: work.run("operands"), Block(3)) < 0.01
    assert slow == [threads]
    assert called == ["operands"] * 4  # one leads in; the call that sets the threads does not work


@pytest.mark.parametrize("threads", [1, 2])
def test_work_runs_on_the_threads_it_was_given(threads: int) -> None:
    clock = measure.EnteringClock(CPU)
    seen: list[int] = []
    work = measure.threaded(
        Work(lambda _: None, lambda _: seen.append(torch.get_num_threads())), threads, clock
    )
    before = torch.get_num_threads()
    with measure.on_threads(3 - threads):
        clock.time(lambda: work.run(None), Block(2))
        assert seen == [threads] * 3  # one leads in
    assert torch.get_num_threads() == before


def test_threads_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        torch.set_num_threads(before + 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), measure.on_threads(before):
        fail()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("operation", ["product", "elementwise"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("n", [1, 3, 100])
def test_every_way_gives_the_right_result(operation: str, dtype: str, n: int) -> None:
    here = task(operation, n, dtype)
    clock = measure.HostClock(CPU)
    for work in (measure.resident(here), measure.waited(here, clock), measure.transfer(here)):
        seen = trial(n, operation, "resident", {"resident": one_thread}, 0.01)
        measure._prove(seen, "resident", work, here, seed=1)
        assert seen.status == Status.OK, seen.reason
        assert work.units == here.flops


def test_a_wrong_result_is_refused() -> None:
    here = task()
    right = measure.resident(here)
    wrong = Work(right.prepare, lambda operands: operands[2].zero_())
    seen = trial(48, "product", "one_thread", {"one_thread": one_thread}, 0.01)
    measure._prove(seen, "resident", wrong, here, seed=1)
    assert seen.status == Status.REFUSED
    assert "wrong result (resident)" in str(seen.reason)


def test_a_speed_beyond_the_peak_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.machine, "peak_flops", lambda *_: 1.0)
    seen = trial(48, "product", "one_thread", {"one_thread": one_thread}, 0.01)
    measure._add_throughput(seen, task())
    assert seen.status == Status.REFUSED
    assert "missed part of the work" in str(seen.reason)


def test_a_dtype_without_a_kernel_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_kernel(*_: Any) -> Trial:
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    monkeypatch.setattr(measure, "_compare", no_kernel)
    protocol = measure.Protocol.from_settings(SETTINGS["protocol"], CPU)
    clock = measure.EnteringClock(CPU)
    with open("/dev/null", "w") as sink:
        seen = measure._trial(task(), measure.ways(clock, 1, sink), protocol, clock, 1)
    assert seen.status == Status.UNAVAILABLE
    assert "Half" in str(seen.reason)
