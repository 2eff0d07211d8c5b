"""The joint search: equal budgets, one look at the test images, the verdict; a real one."""

import json

import answer_rate as answer
import measure_search as measure
import numpy as np
import pytest
from assay import record
from assay.answer import verdict
from assay.answer.arms import Role
from assay.record import Trial
from builders import PROTOCOL, make_record
from hypothesis import given
from hypothesis import strategies as st
from test_sweep import cell

SETTINGS = {
    "width": {"least": 4, "most": 16},
    "rate": {"least": 0.01, "most": 1},
    "points": 2,
    "batch": 256,
    "tuning_epochs": 1,
    "epochs": 1,
    "seeds": 2,
    "validation_share": 0.16666667,
    "seed": 1,
    "protocol": dict(PROTOCOL),
}


def test_the_grid_has_its_corners_and_is_even_in_the_logarithm():
    pairs = measure.on_grid(SETTINGS | {"points": 3}, seed=1)
    assert {width for width, _ in pairs} == {4, 8, 16}
    assert sorted({round(rate, 9) for _, rate in pairs}) == [0.01, 0.1, 1.0]
    assert pairs == measure.on_grid(SETTINGS | {"points": 3}, seed=2)


@given(seed=st.integers(0, 2**32 - 1), points=st.integers(2, 6))
def test_random_draws_are_as_many_stay_inside_and_follow_the_seed(seed, points):
    settings = SETTINGS | {"points": points}
    pairs = measure.at_random(settings, seed)
    assert len(pairs) == len(measure.on_grid(settings, seed)) == points**2
    assert all(4 <= width <= 16 and 0.01 <= rate <= 1 for width, rate in pairs)
    assert pairs == measure.at_random(settings, seed)
    assert pairs != measure.at_random(settings, seed + 1)


def test_random_draws_are_even_in_the_logarithm():
    rates = [rate for _, rate in measure.at_random(SETTINGS | {"points": 60}, seed=0)]
    assert np.median(rates) == pytest.approx(0.1, rel=0.1)


def test_what_is_no_strategy_is_one_sentence(capsys):
    with pytest.raises(SystemExit):
        measure.main(["--strategy", "best", "--dataset", "d", "--output", "o"])
    assert "argument --strategy: 'best' is none of grid, random" in capsys.readouterr().err


@pytest.fixture(scope="module")
def searches(data, tmp_path_factory):
    """A real search by each strategy."""
    folder = tmp_path_factory.mktemp("search")
    for name in measure.STRATEGIES:
        measure.main(["--strategy", name, "--threads", "1", "--dataset", str(data),
                      "--settings", json.dumps(SETTINGS),
                      "--output", str(folder / f"{name}.json")])  # fmt: skip
    return [record.read(folder / f"{name}.json") for name in measure.STRATEGIES]


def test_both_have_the_same_budget_and_look_at_the_test_images_once_per_search(searches):
    for search in searches:
        phases = [trial.what["phase"] for trial in search.trials]
        assert phases == [*["tuning"] * 4, "training"] * 2
        read = [trial.what["phase"] for trial in search.trials if "test_accuracy" in trial.result]
        assert read == ["training", "training"]


def test_the_pair_that_counts_was_best_in_validation(searches):
    for search in searches:
        for seed in (1, 2):
            own = [trial for trial in search.trials if trial.what["search"] == seed]
            *tuned, run = own
            best = max(tuned, key=lambda trial: trial.result["validation_accuracy"])
            assert [run.what[k] for k in ("width", "rate")] == [
                best.what[k] for k in ("width", "rate")
            ]


def test_a_real_search_is_answered_beside_the_rates(searches):
    found = answer.answer([cell("256", 0.87), *searches])
    assert set(found.numbers["search"]["cpu"]) == {"grid", "random"}
    assert any("4 pairs of width (4 to 16) and rate (0.01 to 1)" in text for text in found.method)
    assert len(found.frame) == 5 + 20 + 3  # and a verdict on the rate and each strategy
    assert {row[0] for row in found.table.rows} == {"0.1", "grid search", "random search"}
    assert found.folded[-1].title.startswith(answer.SEARCH)


def made_up(strategy, mean, validation):
    """A record of five searches; only their last runs."""
    draw = np.random.default_rng(len(strategy))
    trials = [
        Trial(
            what={"phase": "training", "rate": 0.1, "seed": s, "search": s, "width": 64},
            result={
                "validation_accuracy": validation,
                "test_accuracy": float(mean + draw.normal(0, 0.0005)),
                "test_images": 10_000,
            },
        )
        for s in range(5)
    ]
    found = make_record("search", {"device": "cpu", "strategy": strategy}, trials)
    found.settings = SETTINGS | {"seeds": 5}
    return found


def test_strategies_and_rates_are_judged_as_one_family(monkeypatch):
    sizes = []
    judge = verdict.judge
    monkeypatch.setattr(verdict, "judge", lambda each: sizes.append(len(each)) or judge(each))
    searched = [made_up("grid", 0.87, 0.88), made_up("random", 0.88, 0.87)]
    found = answer.answer([cell("256", 0.87), cell("256", 0.86, rate=0.3), *searched])
    assert found.numbers["search"]["cpu"]["random"]["word"] == "better"
    assert sizes == [2, 2]  # the same family, judged once for the rates and once for the searches


def test_the_strategies_are_compared_search_by_search():
    searched = [made_up("grid", 0.87, 0.88), made_up("random", 0.88, 0.87)]
    seen = {arm.name: arm for arm in answer.compared(searched)}
    assert seen["grid"].role == Role.ANCHOR  # best in validation, whatever the test images say
    assert seen["random"].seen.value == pytest.approx(0.01, abs=0.002)


def test_a_strategy_that_lost_a_search_is_left_out():
    short = made_up("random", 0.88, 0.9)
    short.trials = short.trials[1:]
    assert [arm.name for arm in answer.compared([made_up("grid", 0.87, 0.88), short])] == ["grid"]


def test_without_a_search_the_answer_says_how_to_have_one():
    found = answer.answer([cell("256", 0.87)])
    assert found.numbers["search"] == {}
    assert any("studies.search.axes.strategy" in text for text in found.caveats)


@pytest.mark.workflow
def test_strategies_that_are_named_are_searched(fresh):
    fresh.edit(
        "tests/config.yaml",
        lambda text: text.replace(
            "studies:\n", "studies:\n  search:\n    axes:\n      strategy: [grid, random]\n", 1
        ),
    )
    assert fresh.planned("results/answers/rate.json")["measure_search"] == 2
