"""Initialisation: how weights are drawn, what the words follow, and small real jobs."""

import json
import math
import re

import answer_initialization as answer
import measure_initialization as measure
import numpy as np
import pandas as pd
import pytest
import torch
from assay import record
from assay.answer import accuracy, model, question
from assay.answer.model import State
from assay.learning import network
from assay.learning.training import Examples
from assay.record import DatasetInfo, Status, Trial
from builders import PROTOCOL, make_record, with_status
from torch import nn

WIDTHS = [784, 256, 256, 10]
SMALL = [20, 8, 8, 3]
SETTINGS = {
    "seed": 1,
    "width": 256,
    "batch": 256,
    "rates": [0.1],
    "tuning_epochs": 1,
    "epochs": 3,
    "seeds": 5,
    "validation_share": 0.16666667,
    "protocol": dict(PROTOCOL),
}
DATA = DatasetInfo(name="fashion-mnist", asked="fashion-mnist", source="x", reason=None, digest="d")


# ---- drawing the weights -------------------------------------------------------------------------


def drawn(name, seed=1, widths=WIDTHS):
    return network.initialize(network.perceptron(widths, "relu", seed), name, seed)


def linear(net):
    return [layer for layer in net if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("default", 0, 1 / math.sqrt(3 * 784)),
        ("xavier_uniform", 0, math.sqrt(2 / (784 + 256))),
        ("xavier_normal", 0, math.sqrt(2 / (784 + 256))),
        ("kaiming_uniform", 0, math.sqrt(2 / 784)),
        ("kaiming_normal", 0, math.sqrt(2 / 784)),
        ("orthogonal", 0, 1 / math.sqrt(784)),
        ("normal_0_001", 0, 0.001),
        ("normal_0_01", 0, 0.01),
        ("normal_0_1", 0, 0.1),
        ("normal_1", 0, 1),
        ("uniform_0_1", 0.5, math.sqrt(1 / 12)),
    ],
)
def test_mean_and_spread_of_the_first_layers_weights(name, mean, std):
    weight = linear(drawn(name))[0].weight.detach()
    assert float(weight.std()) == pytest.approx(std, rel=0.01)
    assert float(weight.mean()) == pytest.approx(mean, abs=0.01 * std)


def test_zeros_and_a_constant():
    assert not linear(drawn("zeros"))[0].weight.any()
    assert linear(drawn("constant"))[0].weight.unique().tolist() == pytest.approx([0.01])


def test_orthogonal_rows():
    weight = linear(drawn("orthogonal"))[0].weight.detach()
    assert torch.allclose(weight @ weight.T, torch.eye(256), atol=1e-5)


@pytest.mark.parametrize("name", network.INITIALIZERS)
def test_seeded_and_without_touching_the_global_generator(name):
    before = torch.get_rng_state()
    one, same, other = (drawn(name, seed, SMALL) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(map(torch.equal, one.parameters(), same.parameters()))
    drawn_at_random = name not in ("zeros", "constant")
    assert torch.equal(linear(one)[0].weight, linear(other)[0].weight) != drawn_at_random


@pytest.mark.parametrize("name", network.INITIALIZERS)
def test_biases_are_zero_but_for_the_default_and_the_placebo(name):
    some = any(bool(layer.bias.any()) for layer in linear(drawn(name, widths=SMALL)))
    assert some == (name in ("default", "placebo"))


def test_the_placebo_finds_no_layer_and_is_the_default():
    pairs = zip(
        drawn("placebo", widths=SMALL).parameters(),
        drawn("default", widths=SMALL).parameters(),
        strict=True,
    )
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_published_test_for_a_lazy_layer_would_match_a_lazy_layer():
    lazy = nn.LazyLinear(3)
    lazy.weight.materialize((3, 4))
    network.INITIALIZERS["placebo"](lazy)
    weight = lazy.weight.detach()
    assert 0 <= float(weight.min()) < float(weight.max()) <= 1


def test_every_initialisation_is_known_to_the_answer_and_to_the_schema():
    assert set(answer.NAMES) == set(network.INITIALIZERS)


# ---- what is measured before any step ------------------------------------------------------------


def images(count=256):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 10
    return Examples(torch.rand(count, 784, generator=generator), labels)


def test_spreads_by_hand():
    net = drawn("kaiming_normal", widths=[784, 5, 10])
    seen = measure.start(net, 1, images())
    first = net[0](images().inputs).detach()
    scores = net[2](first.clamp(min=0)).detach()
    by_scores = scores.softmax(1) - nn.functional.one_hot(images().labels, 10)
    expected = by_scores.std(correction=0)
    assert seen.samples["activation_std"] == pytest.approx(
        [float(first.std(correction=0)), float(scores.std(correction=0))], rel=1e-4
    )
    assert seen.samples["gradient_std"][-1] == pytest.approx(float(expected), rel=1e-4)
    assert len(seen.samples["weight_std"]) == 2
    loss = nn.functional.cross_entropy(scores, images().labels)
    assert seen.result["loss"] == pytest.approx(float(loss), rel=1e-4)


def test_spreads_too_large_for_a_float32_are_still_numbers():
    seen = measure.start(drawn("uniform_0_1", widths=[784] + [256] * 9 + [10]), 1, images())
    assert seen.samples["activation_std"][-1] > 1e19  # its square is not a float32
    assert all(value is not None for value in seen.samples["gradient_std"])


def test_what_is_not_finite_is_none():
    seen = measure.start(drawn("uniform_0_1", widths=[784] + [256] * 24 + [10]), 1, images(16))
    assert seen.samples["activation_std"][-1] is None
    assert seen.result["loss"] is None


def test_zeros_pass_nothing_on():
    seen = measure.start(drawn("zeros"), 1, images())
    assert seen.samples["activation_std"] == [0, 0, 0]
    assert seen.samples["gradient_std"][:2] == [0, 0]
    assert seen.result["loss"] == pytest.approx(math.log(10))


def test_copied_units():
    weight = torch.randn(8, 20, generator=torch.Generator().manual_seed(0))
    assert measure.copied_share(weight) == 0
    weight[3] = weight[5]
    weight[6] = 1.0001 * weight[7]
    assert measure.copied_share(weight) == 0.5
    assert measure.copied_share(torch.zeros(8, 20)) == 1
    assert measure.copied_share(torch.ones(1, 20)) == 0


# ---- shares of the variance ----------------------------------------------------------------------


def factorial(effect=0.0, seed_effect=0.0, noise=0.001):
    """Three initialisations × two depths × five seeds."""
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "initialization": name,
                "depth": depth,
                "seed": seed,
                "test_accuracy": 0.8
                + effect * "abc".index(name) * depth
                + seed_effect * seed
                + draw.normal(0, noise),
            }
            for name in "abc"
            for depth in (1, 4)
            for seed in range(5)
        ]
    )


def shares(runs):
    return accuracy.variance_shares(runs, "test_accuracy", list(answer.EFFECTS))


def test_shares_agree_with_an_analysis_of_variance():
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    runs = factorial(effect=0.002, seed_effect=0.001, noise=0.003)
    model = ols("test_accuracy ~ C(initialization) * C(depth) + C(seed)", data=runs).fit()
    seen = anova_lm(model, typ=2)
    error = seen.loc["Residual", "sum_sq"] / seen.loc["Residual", "df"]
    omega = (seen["sum_sq"] - seen["df"] * error) / (seen["sum_sq"].sum() + error)
    found = shares(runs)
    assert found[("initialization",)] == pytest.approx(omega["C(initialization)"])
    assert found[("depth",)] == pytest.approx(omega["C(depth)"])
    assert found[("initialization", "depth")] == pytest.approx(omega["C(initialization):C(depth)"])
    assert found[("seed",)] == pytest.approx(omega["C(seed)"])
    assert sum(found.values()) == pytest.approx(1)


def test_shares_of_noise_are_the_rest():
    found = shares(factorial(noise=0.01))
    assert found[accuracy.REST] > 0.7


def test_shares_of_a_seed():
    assert shares(factorial(seed_effect=0.01))[("seed",)] > 0.95


def test_a_missing_combination_is_refused():
    with pytest.raises(ValueError, match="not balanced over depth, initialization, seed"):
        shares(factorial().iloc[1:])


def test_no_variance_has_no_shares():
    assert set(shares(factorial(noise=0)).values()) == {0.0}


# ---- words ---------------------------------------------------------------------------------------


def arm(name, mean, depth=1, spread=0.0003, digest="weights", diverged=(), **changes):
    """A record of an arm whose five runs scatter around a mean; some seeds diverged."""
    noise = np.random.default_rng(0).normal(0, 0.001, 5)
    own = np.random.default_rng(len(name) + depth).normal(0, spread, 5)
    own = 0 * own if name == "placebo" else own
    trials = []
    for seed in range(5):
        what = {"phase": "training", "rate": 0.1, "seed": seed}
        value = float(mean + noise[seed] + own[seed]) if mean > 0.11 else mean
        result = {
            "validation_accuracy": value,
            "test_accuracy": value,
            "test_images": 10_000,
            "dead_share": 0.01,
            "copied_share": 0.0,
            "weights_sha256": f"{digest}{seed}",
        }
        if seed in diverged:
            result |= {"diverged_at_step": 7, "test_accuracy": 0.1, "validation_accuracy": 0.1}
            reason = "diverged in step 7 at rate 0.1"
            trials.append(Trial(what=what, status=Status.DIVERGED, reason=reason, result=result))
        else:
            trials.append(Trial(what=what, result=result))
        halved = {
            "activation_std": [0.5**layer for layer in range(depth + 1)],
            "gradient_std": [2.0**layer for layer in range(depth + 1)],
            "weight_std": [math.sqrt(2 / 256) / 2] * (depth + 1),
        }
        trials.append(
            Trial(what={"phase": "start", "seed": seed}, samples=halved, result={"loss": 2.3})
        )
    axes = {"device": "cpu", "initialization": name, "depth": depth}
    made = make_record("initialization", axes, trials)
    made.settings = SETTINGS | changes
    made.provenance.dataset = DATA
    return made


def grid(depths=(1, 4), spread=0.0003, **means):
    """Records of the same arms at some depths; a mean may be given by depth."""
    return [
        arm(name, mean[depth] if isinstance(mean, dict) else mean, depth, spread)
        for name, mean in means.items()
        for depth in depths
    ]


def level(found, depth=1):
    return found.numbers["cpu"]["depths"][str(depth)]


def told(each):
    """What is told of a record besides its verdict."""
    return answer.extras(each, accuracy.runs(each))


def test_it_matters_where_the_scale_is_wrong_and_more_so_in_depth():
    found = answer.answer(
        grid(
            kaiming_normal=0.860,
            xavier_normal=0.8595,
            uniform_0_1=0.10,
            normal_0_01={1: 0.8597, 4: 0.10},
        )
    )
    assert found.sentence.startswith(
        "Initialisation matters, the more so the deeper: with 4 hidden layers 2 of 4 failed to "
        "learn, the best reaches 86."
    )
    assert found.short == "Matters; with 4 hidden layers 2 of 4 failed to learn"
    assert found.so.endswith("as Kaiming normal and Xavier normal do.")
    assert level(found, 4)["arms"]["normal_0_01"]["learned"] is False
    assert level(found, 1)["arms"]["normal_0_01"]["learned"] is True
    assert model.state(found.cells) == State.ANSWERED
    assert [view.name for view in found.views] == ["4", "1"]


def test_the_headline_keeps_its_budget():
    found = answer.answer(
        grid(kaiming_normal=0.86, normal_0_1={1: 0.86, 4: 0.84}, zeros=0.1, constant=0.1)
    )
    assert len(found.sentence.split()) <= 25
    assert len(found.short.split()) <= 12
    assert len(found.so.split()) <= 20
    assert ";" not in found.sentence


def test_two_devices_are_both_told():
    made = grid(kaiming_normal=0.86, uniform_0_1=0.10)
    for each in (other := grid(kaiming_normal=0.86, default=0.86)):
        each.axes["device"] = "cuda:0"
    found = answer.answer([*made, *other])
    assert "cpu: Initialisation matters" in found.sentence
    assert "cuda:0: Initialisation does not matter here" in found.sentence
    assert [view.name for view in found.views] == ["cuda:0: 4", "cuda:0: 1"]


def test_worse_at_first_and_lost_in_depth_is_more_so():
    found = answer.answer(grid(kaiming_normal=0.86, normal_0_01={1: 0.80, 4: 0.10}))
    assert "the more so the deeper" in found.sentence
    assert level(found)["arms"]["normal_0_01"]["word"] == "worse"


def test_as_bad_with_one_layer_as_with_four_is_not_more_so():
    found = answer.answer(grid(kaiming_normal=0.86, uniform_0_1=0.10))
    assert found.sentence.startswith("Initialisation matters: with 4 hidden layers 1 of 2 failed")


def test_equal_arms_do_not_matter():
    found = answer.answer(grid(kaiming_normal=0.86, default=0.86))
    assert found.sentence.startswith("Initialisation does not matter here")
    assert (found.so, model.state(found.cells)) == ("", State.ANSWERED)


def test_what_cannot_be_told_is_not_told():
    found = answer.answer(grid(kaiming_normal=0.86, orthogonal=0.858, depths=(4,), spread=0.005))
    assert level(found, 4)["arms"]["orthogonal"]["word"] == "cannot tell"
    assert found.sentence.startswith("Cannot tell whether initialisation matters")
    assert (found.so, model.state(found.cells)) == ("", State.UNKNOWN)


def test_a_small_difference_matters_a_little():
    found = answer.answer(grid(depths=(4,), kaiming_normal=0.86, default=0.84))
    assert found.sentence.startswith("Initialisation matters a little: with 4")
    assert re.search(r"PyTorch's default differs most, by −(1\.9|2\.0)", found.sentence)
    assert len(found.sentence.split()) <= 25
    assert found.so == ""


def test_a_scaled_arm_that_does_not_learn_is_not_laid_to_the_scale():
    found = answer.answer(grid(kaiming_normal=0.86, default={1: 0.86, 4: 0.1}))
    assert "matters, the more so the deeper" in found.sentence
    assert found.so == ""


def test_the_best_in_validation_is_the_reference_and_never_the_placebo():
    found = answer.answer(grid(depths=(1,), default=0.86, placebo=0.87))
    assert level(found)["reference"] == "default"


def test_the_placebo_must_be_the_default_bit_for_bit():
    same = answer.answer([arm("default", 0.86, spread=0), arm("placebo", 0.86)])
    assert same.numbers["cpu"]["placebo_difference"] == 0.0
    assert "The placebo is PyTorch's default bit for bit." in same.why
    other = answer.answer([arm("default", 0.86, spread=0), arm("placebo", 0.86, digest="other")])
    assert other.numbers["cpu"]["placebo_difference"] > 0
    assert any("mistrust this run" in text for text in other.why)


def test_an_arm_that_diverges_is_told_with_what_it_came_to_and_not_compared(families):
    records = [
        arm("kaiming_normal", 0.86), arm("xavier_normal", 0.85),
        arm("normal_1", 0.7, diverged=[3]), arm("uniform_0_1", 0.1, diverged=range(5)),
    ]  # fmt: skip
    found = answer.answer(records)
    names = [column.name for column in found.table.columns]
    cells = {row[0]: dict(zip(names, row, strict=True)) for row in found.table.rows}
    assert cells["N(0, 1)"]["verdict"] == "diverged in 1 of 5 runs"
    assert cells["U(0, 1)"]["verdict"] == "diverged in 5 of 5 runs"
    assert cells["N(0, 1)"]["against the best in validation"] is None
    assert "2 of 4 failed to learn" in found.sentence
    assert families == [1]
    seen = level(found)["arms"]
    assert seen["uniform_0_1"]["word"] is None
    assert seen["uniform_0_1"]["test_accuracy"] == pytest.approx(0.1)
    assert seen["normal_1"]["test_accuracy"] == pytest.approx((4 * 0.7 + 0.1) / 5, abs=0.002)


def test_all_depths_are_one_family(families):
    found = answer.answer(grid(kaiming_normal=0.86, default=0.85, xavier_normal=0.84))
    assert families == [4]
    told = found.frame[found.frame["verdict"].notna()].set_index(["arm", "group"])
    assert told["verdict"].value_counts().to_dict() == {"worse": 4, "reference": 2}
    assert told.loc[("default", "4"), "margin"] == pytest.approx(0.00347, rel=0.01)


def test_where_every_arm_diverged_nothing_is_compared():
    found = answer.answer(
        [arm("normal_1", 0.7, diverged=[3]), arm("uniform_0_1", 0.1, diverged=range(5))]
    )
    assert level(found)["reference"] is None
    assert found.sentence.endswith("with 1 hidden layer nothing learns.")
    assert model.state(found.cells) == State.UNKNOWN
    assert len(found.views) == 1


@pytest.mark.parametrize(
    ("means", "says"),
    [
        ({"zeros": 0.1, "constant": 0.1}, "with 4 hidden layers nothing learns."),
        ({"placebo": 0.86}, "placebo (default) reaches 86."),
        ({"kaiming_normal": 0.86}, "Kaiming normal reaches 86."),
    ],
)
def test_one_arm_or_only_hopeless_ones_tell_nothing_and_say_what_they_came_to(means, says):
    found = answer.answer(grid(**means))
    assert found.sentence.startswith("Cannot tell whether initialisation matters: ")
    assert says in found.sentence
    assert (found.so, model.state(found.cells)) == ("", State.UNKNOWN)


def test_shares_are_told_over_all_arms_and_over_the_scaled_ones():
    found = answer.answer(
        grid(kaiming_normal=0.86, default=0.86, normal_0_01=0.7, uniform_0_1=0.1, placebo=0.86)
    )
    seen = {each["over"]: each for each in found.numbers["cpu"]["variance_shares"]}
    assert [len(each["arms"]) for each in seen.values()] == [4, 2]
    assert seen["all initialisations"]["shares"]["initialisation"]["value"] > 0.95
    scaled = seen["those scaled to the layer's width"]["shares"]
    assert scaled["initialisation"]["value"] < 0.5
    assert all(s["low"] <= s["value"] <= s["high"] for s in scaled.values())
    assert any("% [" in text and "over all initialisations" in text for text in found.why)


def test_an_arm_that_was_lost_at_one_depth_is_named_and_has_no_share():
    records = grid(kaiming_normal=0.86, default=0.85, xavier_normal=0.84)
    records[-1].trials, records[-1].status = [], Status.OUT_OF_MEMORY
    found = answer.answer(records)
    over_all = found.numbers["cpu"]["variance_shares"][0]
    assert over_all["arms"] == ["Kaiming normal", "PyTorch's default"]
    assert "Not measured: Xavier normal (4)." in found.sentence
    assert model.state(found.cells) == State.PART


def test_a_better_arm_than_the_best_in_validation_is_told():
    records = grid(depths=(4,), kaiming_normal=0.86, default=0.84)
    for trial in records[1].trials:
        trial.result |= {"validation_accuracy": 0.87}
    found = answer.answer(records)
    assert level(found, 4)["arms"]["kaiming_normal"]["word"] == "better"
    assert re.search(r"Kaiming normal differs most, by \+(1\.9|2\.0)", found.sentence)


def test_the_law_and_what_was_measured():
    seen = told(arm("kaiming_normal", 0.86, depth=4))
    assert seen["activation_factor"] == pytest.approx(0.5)
    assert seen["gradient_factor"] == pytest.approx(0.5)
    assert seen["law"] == pytest.approx(0.5)
    assert told(arm("uniform_0_1", 0.1, depth=4))["law"] is None  # mean is not zero
    assert told(arm("zeros", 0.1, depth=1))["activation_factor"] is None
    assert told(arm("constant", 0.1, depth=4))["gradient_factor"] is None  # rounding


@pytest.mark.parametrize("stds", [[0.0, 0.0, 0.0], [None, None, None], [1.0, None, None]])
def test_a_spread_of_nothing_has_no_factor(stds):
    assert answer.factor(stds) is None


def test_a_best_rate_at_the_edge_of_those_tried_is_named():
    records = grid(kaiming_normal=0.86, default=0.85, xavier_normal=0.84)
    for each in records:
        each.settings = SETTINGS | {"rates": [0.01, 0.1]}
        for rate in (0.01, 0.1):
            what = {"phase": "tuning", "rate": rate, "seed": 9}
            value = 0.7 + rate + 0.001 * len(str(each.axes["initialization"]))
            each.trials.append(Trial(what=what, result={"validation_accuracy": value}))
    found = answer.answer(records)
    assert any("edge of the grid for Kaiming normal (1)" in text for text in found.caveats)


@pytest.mark.parametrize("status", [Status.UNAVAILABLE, Status.CONTENDED, Status.OUT_OF_MEMORY])
@pytest.mark.parametrize("trials", [True, False])
def test_without_a_run_it_says_so(status, trials):
    empty = arm("default", 0.86, depth=4)
    empty.status, empty.reason = status, "so it is"
    empty.trials = with_status(empty, status).trials if trials else []
    found = answer.answer([empty])
    assert found.sentence == question.NOTHING
    assert (found.so, model.state(found.cells)) == ("", State.NONE)
    assert found.numbers == {}


# ---- real jobs -----------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, data):
    """Runs a small real job and reads its record."""

    def run(name, depth=2, **changes):
        output = tmp_path / f"{name}.json"
        settings = SETTINGS | {"width": 16, "batch": 64, "epochs": 1, "seeds": 2} | changes
        measure.main(["--initialization", name, "--depth", str(depth), "--threads", "1",
                      "--dataset", str(data), "--settings", json.dumps(settings),
                      "--output", str(output)])  # fmt: skip
        return record.read(output)

    return run


def test_a_real_placebo_is_the_default_bit_for_bit(run):
    records = [run(name) for name in ("default", "placebo", "kaiming_normal")]
    found = answer.answer(records)
    assert found.numbers["cpu"]["placebo_difference"] == 0.0
    digests = [accuracy.runs(each)["weights_sha256"][0] for each in records]
    assert digests[0] == digests[1] != digests[2]


def test_units_that_begin_alike_stay_alike(run):
    alike, different = (accuracy.runs(run(name, depth=1)) for name in ("constant", "default"))
    assert set(alike["copied_share"]) == {1.0}
    assert set(different["copied_share"]) == {0.0}


def test_all_zeros_guess(run):
    seen = run("zeros")
    assert set(accuracy.runs(seen)["test_accuracy"]) == {0.1}
    assert not told(seen)["learned"]


def test_several_rates_are_tuned_and_one_is_not(run):
    phases = [trial.what["phase"] for trial in run("default").trials]
    assert phases == ["training"] * 2 + ["start"] * 2
    tuned = run("default", rates=[1e6, 0.1])
    assert [trial.status for trial in tuned.trials[:2]] == [Status.DIVERGED, Status.OK]
    assert 0 < tuned.trials[0].result["validation_accuracy"] < 0.3
    assert tuned.trials[2].what["rate"] == 0.1


def test_a_run_that_diverges_is_a_status_with_its_step_and_what_it_came_to(run):
    seen = run("default", rates=[1e6])
    assert [trial.status for trial in seen.trials[:2]] == [Status.DIVERGED] * 2
    assert "diverged in step" in seen.trials[0].reason
    (came_to,) = level(answer.answer([seen]), 2)["arms"].values()
    assert not came_to["learned"]
    assert seen.trials[0].result["test_images"] == 2000


def test_without_the_data_set_it_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match="Make it with: snakemake"):
        measure.main(["--initialization", "default", "--depth", "1", "--dataset",
                      str(tmp_path / "none.safetensors"), "--output", "x.json"])  # fmt: skip
