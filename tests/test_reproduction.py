"""Reproduction: verdicts follow what is put in; the published flaws do what they are said to do."""

import io
import json
import math
import os

import answer_batch
import answer_loader
import answer_precision
import answer_reproduction as answer
import measure_reproduction as measure
import pytest
import torch
from answer_reproduction import Said
from assay import record
from assay.answer import model
from assay.job import Job
from assay.learning import network, training
from assay.learning.training import Examples
from assay.published import flawed, textbook
from assay.published.bars import ACTIVATIONS, RATES
from assay.published.figures import AS_PUBLISHED, CORRECTED
from assay.record import Status, Trial
from assay.statistic import Interval
from builders import PROTOCOL, QUICK, make_record
from conftest import check_budgets
from torch import nn

TABLE = answer.published()
CONTRASTS = {(each.exercise, each.name): each for each in answer.CONTRASTS}


def claimed(exercise, name):
    """A contrast of the published figures."""
    return CONTRASTS[exercise, name].seen(answer.of_table(TABLE, exercise)).value


# ---- the cited table -----------------------------------------------------------------------------


def test_every_contrast_has_its_published_figures_or_says_that_there_are_none():
    missing = [
        each.name
        for each in answer.CONTRASTS
        if each.seen(answer.of_table(TABLE, each.exercise)) is None
    ]
    assert missing == [answer.FINITE]


@pytest.mark.parametrize(
    ("exercise", "name", "value"),
    [
        ("framework", "scratch / framework, depth 1", 0.618),  # the wrong sign
        ("framework", "scratch / framework, depth 5", 0.859),
        ("sizes", "1024 / the other sizes", 19.8),
        ("rates", "best rate", 0.01),
        ("devices", "CPU / GPU, 1000²", 5.41),
        ("devices", "CPU / GPU, 1×1", 1.03),
        ("norm_log", answer.LOGGING, 3.22),
        ("two_gpus", "speed, 10000², two GPUs", 1334e12),
        ("two_gpus", "speed, 5000², one GPU", 250e12),
        ("two_gpus", "speed, 10000², one GPU", 125e12),
        ("two_gpus", "speed, 10000², elsewhere", 179e15),
    ],
)
def test_what_the_published_figures_come_to(exercise, name, value):
    assert claimed(exercise, name) == pytest.approx(value, rel=5e-3)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sizes,n 1024,4.765,parsec,somewhere", "unknown unit 'parsec'"),
        ("sizes,n 1024,,ms,somewhere", "empty or not positive"),
        ("sizes,n 1024,-1,ms,somewhere", "empty or not positive"),
    ],
)
def test_a_wrong_line_of_the_table_is_one_sentence(tmp_path, line, says):
    path = tmp_path / "published.csv"
    path.write_text(f"{','.join(answer.COLUMNS)}\n{line}\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=says):
        answer.published(path)


def test_another_table_is_one_sentence(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="its columns must be exercise, quantity"):
        answer.published(path)
    with pytest.raises(SystemExit, match="cannot be read"):
        answer.published(tmp_path / "none.csv")


# ---- the verdict ---------------------------------------------------------------------------------

TIMES = CONTRASTS["sizes", "1024 / the other sizes"]
POINTS = CONTRASTS["initialisers", "uniform − Xavier"]
CLAIM = CONTRASTS["activations", answer.NETWORKS]


@pytest.mark.parametrize(
    ("contrast", "published", "reproduced", "corrected", "said"),
    [
        (TIMES, 20.0, 7.0, (1.0, 0.98, 1.02), Said.REPRODUCED),
        (TIMES, 20.0, 0.5, (1.0, 0.98, 1.02), Said.NOT),  # errs to the other side
        (TIMES, 20.0, 1.01, (1.0, 0.98, 1.02), Said.NOT),  # inside the interval
        (TIMES, 20.0, 1.015, (1.0, 0.999, 1.001), Said.NOT),  # under 2 %
        (TIMES, 1.0, 7.0, (1.0, 0.98, 1.02), Said.NOT),  # what was published is right
        (TIMES, 20.0, None, (1.0, 0.98, 1.02), Said.CANNOT),
        (TIMES, 20.0, 7.0, None, Said.UNKNOWN),
        (POINTS, -0.021, -0.03, (-0.74, -0.75, -0.73), Said.REPRODUCED),
        (TIMES, 20.0, (7.0, 1.01, 9.0), (1.0, 0.98, 1.02), Said.NOT),  # their intervals touch
        (POINTS, -0.021, -0.80, (-0.74, -0.75, -0.73), Said.NOT),
        (CLAIM, 5, 1, (5, 5, 5), Said.REPRODUCED),
        (CLAIM, 5, 5, (5, 5, 5), Said.NOT),
    ],
)
def test_verdicts(contrast, published, reproduced, corrected, said):
    columns = map(seen, (published, reproduced, corrected))
    assert answer.said(contrast, *columns) == said


def seen(figure):
    """A figure with or without an interval, or none."""
    if isinstance(figure, tuple):
        return Interval(*figure)
    return None if figure is None else answer.exactly(figure)


def test_rates_that_cannot_be_told_from_the_best_are_its_interval():
    bars = dict.fromkeys((f"rate {rate:g}" for rate in answer.RATES), (0.80, 0.79, 0.81))
    bars |= {"rate 0.1": (0.84, 0.83, 0.85), "rate 0.3": (0.85, 0.84, 0.86)}
    bars |= {"rate 0.3, own curve": (0.99, 0.99, 0.99)}
    figures = {name: Interval(*values) for name, values in bars.items()}
    assert CONTRASTS["rates", "best rate"].seen(figures) == Interval(0.3, 0.1, 0.3)


# ---- the answer on made-up records ---------------------------------------------------------------

SETTINGS = {"loader_images": 60_000, "epochs": 3, "protocol": dict(PROTOCOL)}


def trial(method, **figures):
    """The figures of one method; a tuple is a figure with its interval."""
    made = {}
    for name, value in figures.items():
        values = value if isinstance(value, tuple) else (value, value, value)
        made[name] = dict(zip(("value", "low", "high"), values, strict=True))
    return Trial(what={"method": method}, result={"figures": made})


def made(exercise, wrong, right, device="cpu", **changes):
    trials = [trial("as published", **wrong), trial("corrected", **right)]
    axes = {"device": device, "exercise": exercise}
    return make_record("reproduction", axes, trials, settings=SETTINGS, **changes)


def whose(sizes, place):
    """In whose process a sample of each size is taken."""
    return {n: os.getpid() for n in sizes}


def test_a_cold_sample_on_a_cpu_is_of_a_process_that_did_nothing_before(monkeypatch):
    monkeypatch.setattr(flawed, "one_cold_sample", whose)
    assert measure.one_cold_sample(torch.device("meta"))[1024] == os.getpid()
    assert measure.one_cold_sample(torch.device("cpu"))[1024] != os.getpid()


def sizes(cold, device="cpu"):
    """A cold 1024 that takes so many times as long as the other sizes; warm, they are equal."""
    times = {f"n {n}": 2.4e-4 for n in (1025, 1026, 1028, 1032)}
    warm = dict.fromkeys(times, (0.00024, 0.000239, 0.000241))
    right = {"n 1024": (2.401e-4, 2.39e-4, 2.41e-4), **warm}
    return made("sizes", {"n 1024": cold * 2.4e-4, **times}, right, device)


def unavailable():
    axes = {"device": "cpu", "exercise": "two_gpus"}
    lack = {"status": Status.UNAVAILABLE, "reason": "needs an NVIDIA GPU"}
    return make_record("reproduction", axes, [], settings=SETTINGS, **lack)


def verdicts(found):
    return {
        (each["exercise"], each["contrast"]): each["verdict"] for each in found.numbers["contrasts"]
    }


def check_card(found):
    """Its words and those of its table fit on the card."""
    check_budgets(found)
    for view in found.views:
        assert words_of(view.table) <= 170 - len(found.sentence.split()) - len(found.so.split())


def words_of(table):
    texts = [column.name for column in table.columns]
    for row in table.rows:
        texts += [getattr(cell, "text", cell) or "" for cell in row]
    return sum(len(text.split()) for text in texts)


def test_the_wrong_number_that_appears_here_too_is_reproduced():
    found = answer.answer([sizes(cold=8)])
    assert verdicts(found)["sizes", "1024 / the other sizes"] == "reproduced"
    assert "1 of 1 published claims come out wrong again" in found.sentence
    assert found.so
    row = next(row for row in found.table.rows if "1024 / the other sizes" in row[0])
    assert [cell.text for cell in row[1:]] == [
        "19.8 ×",
        "8.00 ×",
        "1.000 [0.995, 1.006] ×",  # in quadrature
        "yes",
    ]
    assert "cpu" not in found.short  # there is one device
    check_card(found)


def test_the_wrong_number_that_does_not_appear_is_not_claimed():
    found = answer.answer([sizes(cold=1)])
    assert verdicts(found)["sizes", "1024 / the other sizes"] == "not reproduced here"
    assert "0 of 1" in found.sentence
    assert found.so == ""


def test_a_method_that_errs_in_another_way_is_not_called_right():
    found = answer.answer([sizes(cold=0.25)])
    assert verdicts(found)["sizes", "1024 / the other sizes"] == "not reproduced here"
    row = next(row for row in found.table.rows if "1024 / the other sizes" in row[0])
    assert (row[-1].sign, row[-1].text) == ("!", "otherwise")


@pytest.mark.parametrize(("low", "cell"), [(0.999, "✓ no"), (0.6, "! cannot tell")])
def test_a_method_is_called_right_only_where_it_is_known_to_be(low, cell):
    """Wide intervals that touch tell nothing."""
    seen = sizes(cold=1)
    right = {"value": 1.0, "low": low, "high": 1 / low}
    seen.trials[1].result["figures"]["1024 / the other sizes"] = right
    found = answer.answer([seen])
    assert verdicts(found)["sizes", "1024 / the other sizes"] == "not reproduced here"
    rows = [*found.table.rows, *found.views[0].table.rows]
    told = {model.written(row[-1]) for row in rows if "1024 / the other sizes" in row[0]}
    assert told == {cell}


def test_what_needs_a_gpu_says_so_and_shows_what_the_time_implies():
    found = answer.answer([unavailable()])
    rows = [row for row in found.numbers["contrasts"] if row["exercise"] == "two_gpus"]
    assert {row["verdict"] for row in rows} == {"cannot be run here"}
    assert {row["reason"] for row in rows} == {"needs an NVIDIA GPU"}
    told = {row[0]: row[1].text for row in found.table.rows if row[1]}
    assert told["two GPUs: speed, 10000²"] == "1.33 PFLOP/s"
    assert told["two GPUs: speed, 10000², elsewhere"] == "179 PFLOP/s"
    assert "Not available: two GPUs." in found.sentence
    assert model.state(found.cells) == "not measured"


def test_every_published_rule_is_listed_with_whom_it_is_of_and_who_judges_it():
    """As the questions themselves have it."""
    listed = {name: own["of"].tolist() for name, own in answer.RULES.groupby("question")}
    assert listed["batch"] == [*answer_batch.CLAIMED.values()]
    assert listed["precision"] == [of for _, of, _ in answer_precision.CLAIMS.values()]
    assert len(listed["loader"]) == len(answer_loader.CLAIMS)
    [view] = [each for each in answer.answer([sizes(cold=8)]).folded if each.title == answer.JUDGED]
    assert view.table is not None
    assert len(view.table.rows) == len(answer.RULES)


def test_an_exercise_that_was_not_asked_for_still_shows_what_was_published():
    found = answer.answer([sizes(cold=8)])
    row = next(row for row in found.table.rows if "best rate" in row[0])
    assert row[1].text == "0.01"
    assert row[2] is None
    assert verdicts(found)["rates", "best rate"] == "not asked for"
    assert "rates" not in found.sentence
    assert model.state(found.cells) == "answered"


def test_a_disturbed_exercise_is_named_and_lowers_the_state():
    lost = {"status": Status.CONTENDED, "reason": "3 of 20 rounds could be kept"}
    axes = {"device": "cpu", "exercise": "rates"}
    found = answer.answer(
        [sizes(cold=8), make_record("reproduction", axes, [], settings=SETTINGS, **lost)]
    )
    assert "Disturbed: learning rates." in found.sentence
    assert model.state(found.cells) == "in part"


def test_a_right_figure_that_was_disturbed_is_named():
    seen = sizes(cold=8)
    seen.trials[1] = Trial(what={"method": "corrected"}, status=Status.CONTENDED, reason="busy")
    found = answer.answer([seen])
    assert verdicts(found)["sizes", "1024 / the other sizes"] == "cannot tell"
    assert "Disturbed: sizes near 1024." in found.sentence


def test_every_device_has_its_three_numbers():
    found = answer.answer([sizes(cold=8), sizes(cold=1, device="gpu")])
    assert [view.name for view in found.views] == ["cpu", "gpu"]
    assert "cpu: 1 of 1 and gpu: 0 of 1" in found.sentence
    assert len(found.sentence.split()) <= 40
    for view in found.views:
        assert len(view.table.rows) == len(answer.EXERCISES)


def test_a_device_that_can_replaces_one_that_cannot():
    times = {"5000², one GPU": 1e-5, "10000², one GPU": 1e-5}
    right = {"5000², one GPU": 5e-3, "10000², one GPU": (4e-2, 3.9e-2, 4.1e-2)}
    found = answer.answer([unavailable(), made("two_gpus", times, right, device="gpu")])
    rows = [
        row for row in found.numbers["contrasts"] if row["contrast"] == "speed, 10000², one GPU"
    ]
    assert [(row["device"], row["verdict"]) for row in rows] == [("gpu", "reproduced")]
    assert rows[0]["corrected"] == pytest.approx(50e12)


def test_the_corrected_log_comes_from_the_records_of_its_own_question():
    arms = {
        name: {"time_median_s": t, "time_low_s": t, "time_high_s": t, "units_per_call": 100.0}
        for name, t in (("anchor", 2.0e-3), ("buffer", 2.5e-3))
    }
    ratios = {
        name: {"ratio": value, "ratio_low": value - 0.05, "ratio_high": value + 0.05, "p": 0.0}
        for name, value in (("buffer", 1.25), ("twin", 1.0))
    }
    result = {"arms": arms, "ratios": ratios, "norm_mean": 999.0}
    own = make_record("norm_log", {"device": "cpu"}, [Trial(what={"products": 100}, result=result)])
    wrong = {"with log": 0.05, "without log": 0.005, "finite norms": 0.063}
    found = answer.answer([made("norm_log", wrong, {}), own])
    rows = {row["contrast"]: row for row in found.numbers["contrasts"]}
    assert rows[answer.LOGGING]["corrected"] == pytest.approx(0.8)
    assert rows[answer.LOGGING]["verdict"] == "reproduced"
    assert rows[answer.FINITE]["verdict"] == "reproduced"
    line = found.frame.query("quantity == 'with log'").iloc[0]
    assert line["corrected"] == pytest.approx(20e-3)  # of 1000 products
    assert line["published"] == pytest.approx(57e-3)


def test_published_figures_are_never_ours():
    """Without a record there is no figure of ours, whatever was published."""
    found = answer.answer([unavailable()])
    assert all(row["reproduced"] is None for row in found.numbers["contrasts"])
    assert all(row["corrected"] is None for row in found.numbers["contrasts"])


# ---- the flaws -----------------------------------------------------------------------------------


def linear(seed=0):
    return network.perceptron([6, 4, 3], "relu", seed)


@pytest.mark.parametrize("fill", [nn.init.uniform_, nn.init.normal_])
def test_looking_for_lazy_layers_fills_nothing(fill):
    before = training.digest(linear())
    assert training.digest(flawed.initialise(linear(), nn.LazyLinear, fill, 1)) == before
    assert training.digest(flawed.initialise(linear(), nn.Linear, fill, 1)) != before


def test_a_lazy_layer_is_one_only_until_it_sees_its_input():
    lazy = nn.Sequential(nn.LazyLinear(3))
    lazy(torch.ones(2, 5))
    before = training.digest(lazy)
    flawed.initialise(lazy, nn.LazyLinear, nn.init.zeros_, 1)
    assert training.digest(lazy) == before


def test_raw_pixels_are_255_times_as_large():
    examples = Examples(torch.tensor([[0.0, 1.0]]), torch.tensor([3]))
    assert flawed.raw_pixels(examples).inputs.tolist() == [[0.0, 255.0]]


def test_shifted_bars_show_the_next_network():
    assert flawed.shifted([1, 2, 3]) == [2, 3, 3]


def test_the_loop_is_infinite_from_about_iteration_64():
    x = torch.randn(100, 100, generator=torch.Generator().manual_seed(1))
    finite, infinite_from = flawed.finite_norms(x, 200)
    # float32 ends at 3.4e38; the largest of 10,000 normal numbers is about 4.
    largest = float(x.abs().max())
    expected = math.ceil(math.log(torch.finfo(torch.float32).max) / math.log(largest)) - 1
    assert infinite_from == pytest.approx(expected, abs=1)
    assert 50 < infinite_from < 80
    assert finite < infinite_from


def test_one_loop_prints_a_thousand_lines_and_the_other_logs_nothing():
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    printed, dropped = io.StringIO(), io.StringIO()
    assert flawed.norms_printed(x, 30, printed) > 0
    assert flawed.norms_dropped(x, 30, dropped) > 0
    assert len(printed.getvalue().splitlines()) == 30
    assert len(dropped.getvalue().splitlines()) == 1


def test_the_computation_is_elementwise_and_printed():
    sink = io.StringIO()
    assert flawed.multiply_and_print(2, torch.device("cpu"), sink) > 0
    assert sink.getvalue().startswith("tensor([[")


def test_the_textbook_loader_gives_the_images_of_the_data_set():
    images = torch.arange(6 * 784, dtype=torch.int64).remainder(256).to(torch.uint8)
    images = images.reshape(6, 28, 28)
    labels = torch.arange(6, dtype=torch.uint8)
    for batch, classes in textbook.loader(images, labels, batch=4, workers=0):
        expected = images[classes].unsqueeze(1) / 255
        assert torch.equal(batch, expected)


def test_an_epoch_is_extrapolated_from_all_but_its_first_batch():
    timed = textbook.Epoch(first_s=1.0, rest_s=2.0, batches=5)
    assert timed.whole_s(5) == 3.0
    assert timed.whole_s(9) == 5.0


def test_an_epoch_counts_every_batch():
    seen = []
    timed = textbook.epoch(lambda x, y: seen.append((x, y)), [(1, 2), (3, 4), (5, 6)])
    assert timed.batches == 3
    assert seen == [(1, 2), (3, 4), (5, 6)]


SMALL = {
    "seed": 1,
    "protocol": {**QUICK},
    "loader_images": 512,
    "epochs": 1,
    "batch": 256,
    "validation_share": 0.16666667,
    "cap_s": 10,
    "half_width": 0.5,
}
CPU = torch.device("cpu")


# ---- the corrected side --------------------------------------------------------------------------


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(16, 6, generator=generator), torch.arange(16).remainder(3)


def test_both_implementations_learn_the_same():
    assert measure.disagreement(linear, *batch()) is None


def test_implementations_that_differ_are_refused():
    seeds = iter((0, 1))
    said = measure.disagreement(lambda: linear(next(seeds)), *batch())
    assert said is not None
    assert said.startswith("the losses of step 0 differ")


def settings_job():
    return Job({}, SMALL, CPU)


def test_what_is_done_with_gpus_gives_the_figures_that_were_published():
    """Run on the CPU, which waits for itself; the names are what counts."""
    trials = [
        *measure.small_and_large({"CPU": CPU, "GPU": CPU}, settings_job()),
        *measure.on_gpus("5000², one GPU", 8, [CPU], settings_job()),
        *measure.on_gpus("10000², two GPUs", 8, [CPU, CPU], settings_job()),
    ]
    names = {
        method: {
            name
            for each in trials
            if each.what["method"] == method
            for name in each.result["figures"]
        }
        for method in (AS_PUBLISHED, CORRECTED)
    }
    cited = TABLE[TABLE["exercise"].isin(["devices", "two_gpus"])]["quantity"]
    assert names[AS_PUBLISHED] <= set(cited)
    ratios = {"CPU / GPU, 1000²", "CPU / GPU, 1×1"}
    assert names[CORRECTED] == names[AS_PUBLISHED] | ratios


# ---- real jobs -----------------------------------------------------------------------------------


def run(tmp_path, data, exercise):
    output = tmp_path / f"{exercise}.json"
    measure.main(["--exercise", exercise, "--threads", "1", "--dataset", str(data),
                  "--settings", json.dumps(SMALL), "--output", str(output)])  # fmt: skip
    return record.read(output)


def figures(seen, method):
    return {
        name: each["value"]
        for trial in seen.trials
        if trial.what.get("method") == method
        for name, each in trial.result["figures"].items()
    }


def test_every_exercise_runs_and_is_answered(tmp_path, data):
    seen = {name: run(tmp_path, data, name) for name in measure.EXERCISES}
    assert [*seen] == answer.EXERCISES
    wrong = {name: figures(each, AS_PUBLISHED) for name, each in seen.items()}
    right = {name: figures(each, CORRECTED) for name, each in seen.items()}

    assert wrong["activations"][answer.NETWORKS] == 1
    assert right["activations"][answer.NETWORKS] == 5
    assert len({wrong["activations"][name] for name in ACTIVATIONS}) == 1

    flaw = seen["initialisers"].trials[0].result
    assert flaw["untouched"] == ["uniform_", "normal_"]
    assert wrong["initialisers"]["uniform"] == wrong["initialisers"]["normal"]
    bars = wrong["initialisers"]
    assert bars["Xavier: bar − own curve"] == pytest.approx(
        bars["Xavier"] - bars["Xavier, own curve"]
    )
    assert right["initialisers"]["uniform"] < right["initialisers"]["Xavier"]

    own = [wrong["rates"][f"rate {rate:g}, own curve"] for rate in RATES]
    assert own == [right["rates"][f"rate {rate:g}"] for rate in RATES]

    assert wrong["norm_log"]["finite norms"] < 0.1
    assert set(wrong["sizes"]) == {f"n {n}" for n in measure.SIZES}
    assert set(wrong["framework"]) <= set(right["framework"])
    assert seen["two_gpus"].status == Status.UNAVAILABLE
    assert "needs an NVIDIA GPU" in seen["two_gpus"].reason
    lost = [each for each in seen["devices"].trials if each.status == Status.UNAVAILABLE]
    assert [each.what for each in lost] == [{"compared": "CPU with GPU"}]

    found = answer.answer([*seen.values()])
    assert verdicts(found)["activations", answer.NETWORKS] == "reproduced"
    assert verdicts(found)["two_gpus", "speed, 5000², one GPU"] == "cannot be run here"
    assert "Not available: CPU against GPU, two GPUs. Not measured: log of norms." in found.sentence
    assert model.state(found.cells) == "in part"
    check_card(found)


def test_an_unknown_exercise_is_one_sentence(tmp_path, data, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, data, "homework")
    assert "'homework' is none of framework, sizes" in capsys.readouterr().err
