"""Fleets: who is found ill, who is not, and what is said of them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import answer_fleet as answer
import invented
import numpy as np
import pytest
import yaml
from assay.answer import fleet, model, nodes, occasion, other_runs
from assay.answer.fleet import Standing
from assay.answer.model import State, written
from assay.answer.question import Findings
from assay.answer.verdict import SIGNIFICANCE
from assay.probe.items import Item, Reading
from assay.record import Record, Trial
from builders import answered, make_record
from conftest import ROOT, check_budgets
from hypothesis import given
from hypothesis import strategies as st
from invented import World
from numpy.typing import NDArray
from test_law import says_its_state, whole

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
MANY = {3: 400, 8: 400, 200: 100}  # fleets, by their nodes
STUDIES = CONFIG["questions"]["fleet"]["studies"]
Floats = NDArray[np.float64]

# ---- made-up fleets, as numbers ------------------------------------------------------------------


def default_jobs() -> list[tuple[str, float]]:
    """The part of each cell of a default run, and its standard error between occasions."""
    found = []
    for part, studies in nodes.PARTS.items():
        for study in studies:
            block = CONFIG["studies"][study]
            axes = {name: len(values) for name, values in block["axes"].items()}
            times = axes.pop("occasion", 1)
            spread = block["between_occasions"]["time"] / math.sqrt(times)
            found += [(part, spread)] * math.prod(axes.values())
    return found


def made(
    count: int, ill: Mapping[int, float], part: str = "", spread: float = 0.015
) -> tuple[Floats, Floats, list[str]]:
    """Logarithms of times and their errors, fleets by nodes by jobs, and the part of each job.

    Healthy nodes differ by ``spread``, in each part by another draw; ill ones take so many times as
    long, in one part or in all of them.
    """
    draw = np.random.default_rng(count)
    jobs = default_jobs()
    parts = [part for part, _ in jobs]
    errors = np.array([error for _, error in jobs])
    machines = draw.normal(0, spread, (MANY[count], count, len(nodes.PARTS)))
    logs = machines[..., [[*nodes.PARTS].index(each) for each in parts]]
    logs = logs + draw.normal(0, errors, (MANY[count], count, len(jobs)))
    hit = np.array([part in ("", each) for each in parts])
    for node, factor in ill.items():
        logs[:, node] += hit * math.log(factor)
    return logs, np.broadcast_to(errors, logs.shape), parts


def called(logs: Floats, errors: Floats, parts: Sequence[str]) -> NDArray[np.bool_]:
    """Which nodes of each fleet are called slow or fast, in anything."""
    columns = [np.array(parts) == part for part in nodes.PARTS]
    seen = [fleet.over_jobs(logs[..., own], errors[..., own]) for own in columns]
    whole = fleet.over_parts(*(np.stack(each, axis=-1) for each in zip(*seen, strict=True)))
    found = [fleet.effects(*each) for each in (whole, *seen)]
    p = np.stack([each.p for each in found], axis=-1)
    value = np.stack([each.value for each in found], axis=-1)
    family = p.reshape(len(p), -1)
    order = np.argsort(family, axis=-1)
    raised = np.take_along_axis(family, order, -1) * np.arange(family.shape[-1], 0, -1)
    holm = np.empty_like(family)
    np.put_along_axis(holm, order, np.maximum.accumulate(raised, axis=-1), -1)
    matters = np.abs(np.expm1(value)) > 0.02
    return np.asarray(((holm.reshape(p.shape) < SIGNIFICANCE) & matters).any(axis=-1))


@pytest.mark.parametrize("count", [3, 8, 200])
@pytest.mark.parametrize("spread", [0.01, 0.015, 0.02])
def test_of_healthy_fleets_one_in_twenty_raises_an_alarm_at_most(count: int, spread: float) -> None:
    assert called(*made(count, {}, spread=spread)).any(axis=-1).mean() <= 0.05


@pytest.mark.parametrize("count", [8, 200])
def test_a_node_that_is_seven_per_cent_slow_is_found(count: int) -> None:
    found = called(*made(count, {3: 1.07}, spread=0.01))
    assert found[:, 3].mean() >= 0.95
    assert np.delete(found, 3, axis=1).any(axis=-1).mean() <= 0.05


def test_where_healthy_nodes_differ_more_it_takes_more_of_them() -> None:
    few, many = (called(*made(n, {3: 1.07}, spread=0.015))[:, 3].mean() for n in (8, 200))
    assert few >= 0.85
    assert many >= 0.95


def test_two_ill_nodes_do_not_hide_each_other() -> None:
    found = called(*made(8, {2: 1.15, 5: 1.15}))
    assert found[:, [2, 5]].all(axis=-1).mean() >= 0.95
    assert np.delete(found, [2, 5], axis=1).any(axis=-1).mean() <= 0.05


@pytest.mark.parametrize("part", nodes.PARTS)
def test_a_node_that_is_ill_in_one_part_alone_is_found(part: str) -> None:
    assert called(*made(8, {3: 1.2}, part))[:, 3].mean() >= 0.95


def test_nodes_that_vary_by_more_than_is_known_are_believed() -> None:
    """Such as those that others worked on meanwhile: few of them are called ill for it."""
    assert called(*made(8, {}, spread=0.2)).any(axis=-1).mean() <= 0.15


# ---- laws ----------------------------------------------------------------------------------------

LOGS = st.integers(3, 12).flatmap(
    lambda count: st.lists(
        st.lists(st.floats(-1, 1), min_size=5, max_size=5), min_size=count, max_size=count
    )
)


@given(LOGS, st.floats(-5, 5), st.randoms())
def test_neither_the_order_of_nodes_nor_the_unit_of_time_matters(
    rows: list[list[float]], shift: float, random: Any
) -> None:
    logs = np.array(rows)
    errors = np.broadcast_to([0.01, 0.02, 0.05, 0.02, 0.03], logs.shape)
    order = random.sample(range(len(rows)), len(rows))
    seen = fleet.effects(*fleet.over_jobs(logs, errors))
    other = fleet.effects(*fleet.over_jobs(logs[order] + shift, errors))
    np.testing.assert_allclose(other.value, seen.value[order], atol=1e-9)
    np.testing.assert_allclose(other.p, seen.p[order], rtol=1e-6, atol=1e-9)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=9))
def test_with_equal_weights_it_is_the_median(values: list[float]) -> None:
    weights = np.full(len(values), 0.25)
    found = fleet.weighted_median(np.array(values), weights)
    assert found == pytest.approx(float(np.median(values)))


def test_what_weighs_nothing_is_not_there() -> None:
    values = np.array([[1.0, 2.0, math.nan], [math.nan, 5.0, 7.0]])
    weights = np.where(np.isnan(values), 0.0, [3.0, 1.0, 1.0])
    assert fleet.weighted_median(values, weights).tolist() == [1.0, 6.0]


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=9))
def test_distances_of_others_are_those_without_a_node(values: list[float]) -> None:
    expected = [
        np.median([abs(a - b) for a, b in combinations(values[:i] + values[i + 1 :], 2)])
        for i in range(len(values))
    ]
    np.testing.assert_allclose(fleet.distances_of_others(np.array(values)), expected)


# ---- records -------------------------------------------------------------------------------------


def time(seconds: float, error: float = 0.002) -> dict[str, float]:
    reach = math.exp(1.96 * error)
    ends = {"time_low_s": seconds / reach, "time_high_s": seconds * reach}
    return {"time_median_s": seconds, **ends}


def node(
    name: str,
    slow: Mapping[str, float] | float = 1.0,
    model: str = "Synthetic 9000",
    machine: str = "",
) -> list[Record]:
    """The records of a machine of another run that takes so many times as long, by study."""
    factor = slow if isinstance(slow, Mapping) else dict.fromkeys(CONFIG["studies"], slow)
    draw = np.random.default_rng([*name.encode()])
    device = f"cpu ({name})"

    def paired(what: dict[str, Any], study: str, seconds: float) -> Trial:
        own = seconds * factor.get(study, 1.0) * math.exp(draw.normal(0, 0.01))
        arms = {"anchor": time(own), "twin": time(9 * own), "target": time(1.5 * own)}
        return Trial(what=what, result={"arms": arms, "ratios": {}, "rounds": 20})

    cpu = Reading(Item.CPU, {"brand": model, "usable_cores": 2}).trial()
    points = [
        time(size / 1e10 * factor.get("bandwidth", 1.0)) | {"working_set_bytes": size}
        for size in (2**20, 2**25)
    ]
    read = Trial(what={"operation": "read"}, result={"points": points})
    found = [
        make_record("hardware", {"device": device}, [cpu]),
        make_record("bandwidth", {"device": device}, [read]),
    ]
    for n in (1008, 1023, 1024, 1025, 1040):
        trials = [paired({"dtype": "float32", "n": n, "anchor": 1024}, "alignment", n * 1e-6)]
        found.append(make_record("alignment", {"device": device, "n": n}, trials))
    for shape in ("depth-1", "depth-3", "width-64", "batch-1"):
        trials = [paired({"measured": "step", "anchor": "module"}, "implementation", 1e-3)]
        found.append(make_record("implementation", {"device": device, "shape": shape}, trials))
    for each in found:
        each.provenance.machine_id = machine or name
    return found


def records(*runs: list[Record]) -> list[Record]:
    known = {"bandwidth": {"time": 0.02}, "alignment": {"time": 0.03}}
    known["implementation"] = {"time": 0.03}
    return occasion.pooled([each for own in runs for each in own], known)


def words(found: Findings) -> dict[str, str]:
    """The word on each node, as the table has it."""
    place = [column.name for column in found.table.columns].index("verdict")
    return {written(row[0]): written(row[place]).split(" ", 1)[1] for row in found.table.rows}


def of_part(found: Findings, part: str) -> list[dict[Any, Any]]:
    return [row for row in found.frame.to_dict("records") if row["part"] == part]


def test_the_ill_node_is_named_with_its_factor() -> None:
    found = answer.answer(records(*(node(f"n{i}", 1.25 if i == 4 else 1.0) for i in range(8))))
    check_budgets(found)
    assert found.short == "n4 slow"
    assert found.sentence.startswith("n4 is slow: in everything it takes 2")
    assert found.so.startswith("Take n4 out of use")
    rows = {row["node"]: row for row in of_part(found, "everything")}
    assert rows["n4"]["verdict"] == Standing.SLOW.value
    assert rows["n4"]["ratio"] == pytest.approx(1.25, abs=0.03)
    assert {row["verdict"] for name, row in rows.items() if name != "n4"} == {"in line"}
    assert found.table.rows[0][0] == "n4"


def test_what_is_ill_in_one_part_is_named_with_the_part_and_the_worst_time() -> None:
    slow = {"bandwidth": 1.6}
    found = answer.answer(records(*(node(f"n{i}", slow if i == 4 else 1.0) for i in range(8))))
    assert "n4 is slow: in memory it takes 60 %" in found.sentence
    (row,) = [row for row in of_part(found, "memory") if row["node"] == "n4"]
    assert row["verdict"] == "slow"
    assert row["most"].startswith("bandwidth, read, ")
    assert row["most"].endswith(": +60.0 %")


def test_where_one_is_ill_the_others_are_in_line_all_the_same() -> None:
    """Four of five: the ill one would make them seem to vary."""
    found = answer.answer(records(*(node(f"n{i}", 1.5 if i == 4 else 1.0) for i in range(5))))
    assert words(found) == {"n4": "slow"} | {f"n{i}": "in line" for i in range(4)}


def test_two_machines_are_too_few_and_it_is_said_why() -> None:
    found = answer.answer(records(node("n1"), node("n2", 2.0)))
    check_budgets(found)
    assert found.short == "Cannot tell: too few machines of a kind"
    assert "takes three machines of a kind, and here are two" in found.sentence
    assert any("of two that differ nobody can say which is ill" in text for text in found.method)
    assert found.so == ""


def test_of_one_machine_it_is_said_in_the_singular() -> None:
    assert "and here is one." in answer.answer(records(node("n1"))).sentence


def test_two_of_each_kind_are_two_of_a_kind() -> None:
    runs = [node(f"{kind}{i}", model=kind) for kind in ("a", "b") for i in range(2)]
    assert "and here are two." in answer.answer(records(*runs)).sentence


def test_several_times_as_long_is_said_as_such() -> None:
    found = answer.answer(records(*(node(f"n{i}", 3.0 if i == 4 else 1.0) for i in range(8))))
    assert "× as long as the middle of its kind." in found.sentence


def test_of_nodes_that_vary_wildly_no_more_is_promised_than_would_have_been_found() -> None:
    found = answer.answer(records(*(node(f"n{i}", 9.0**i) for i in range(3))))
    check_budgets(found)
    assert set(words(found).values()) == {"cannot tell"}
    assert found.numbers["found_from"]["Synthetic 9000, 2 cores"]["everything"] is None
    for text in (found.short, found.sentence):
        assert "only one over twice as slow would" in text


def test_no_node_of_many_is_drawn_outside() -> None:
    found = answer.answer(records(*(node(f"n{i}", 1.2**i) for i in range(-15, 16))))
    (axes,) = found.views[0].drawn().axes
    dots = [x for line in axes.lines for x in line.get_xdata()]
    low, high = axes.get_xlim()
    assert max(dots) > 200
    assert low <= min(dots) <= max(dots) <= high


def test_the_name_of_a_run_is_never_a_formula(tmp_path: Path) -> None:
    """Matplotlib takes what stands between dollars for one."""
    answered(answer, tmp_path, [e for i in range(3) for e in node(f"run${i}_$")])
    assert "run$1_$" in (tmp_path / "figure.svg").read_text()


def test_machines_of_several_kinds_are_compared_within_their_kind() -> None:
    like = [node(f"a{i}") for i in range(3)] + [node(f"b{i}", 3.0, "Other 1") for i in range(3)]
    found = answer.answer(records(*like, node("c", 9.0, "Third 1")))
    assert found.short.startswith("No ill node among 6: ")
    assert [view.name for view in found.views] == ["Synthetic 9000, 2 cores", "Other 1, 2 cores"]
    verdicts = words(found)
    assert verdicts.pop("c") == "cannot tell"
    assert set(verdicts.values()) == {"in line"}


def test_other_settings_are_other_work() -> None:
    runs = [node(f"n{i}") for i in range(4)]
    for each in runs[3]:
        each.settings["batch"] = 1
    found = answer.answer(records(*runs))
    assert words(found) == {"n0": "in line", "n1": "in line", "n2": "in line", "n3": "cannot tell"}
    assert "and of 1 nobody can tell" in found.sentence


@pytest.mark.parametrize("failing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_whatever_was_lost_what_is_said_is_so(count: int, failing: float) -> None:
    config = {**CONFIG, "devices": [f"cpu (n{i})" for i in range(count)]}
    made = invented.of_question(config, "fleet", World(seed=count, failing=failing))
    found = answer.answer(occasion.pooled(made, {}))
    check_budgets(found)
    for text in (found.short, found.sentence, *found.why, *found.method, *found.caveats):
        whole(text)
    says_its_state(found.short, found.sentence, model.state(found.cells))
    assert set(words(found)) == {cell.name for cell in found.cells}


def test_runs_of_one_machine_are_called_so() -> None:
    found = answer.answer(records(*(node(f"n{i}", machine="m") for i in range(3))))
    (said,) = [text for text in found.caveats if "one machine id" in text]
    assert said.startswith("n0, n1 and n2 have")
    assert "clones of one system" in said  # nodes of a cluster often share an image, id and all


def test_one_real_run_under_three_names_is_in_line_with_itself(tmp_path: Path) -> None:
    run, *_ = sorted((ROOT / "resources/references").glob("*/"))
    for name in ("n1", "n2", "n3"):
        shutil.copytree(run, tmp_path / name)
    paths = [path for study in STUDIES for path in sorted(tmp_path.glob(f"*/{study}/**/*.json"))]
    seen = other_runs.read(paths, tmp_path / "own")
    found = answer.answer(occasion.pooled(seen, occasion.known()))
    assert words(found) == dict.fromkeys(("n1", "n2", "n3"), "in line")
    assert {row["ratio"] for row in found.frame.to_dict("records")} == {1.0}
    assert {row["part"] for row in found.frame.to_dict("records")} > {"memory", "products"}


def test_the_whole_answer_has_a_figure_and_a_table(tmp_path: Path) -> None:
    many = [each for i in range(30) for each in node(f"n{i:02}", 1.3 if i == 7 else 1.0)]
    seen = answered(answer, tmp_path, many)
    assert seen.state == State.ANSWERED
    assert "29 other nodes" in (tmp_path / "figure.svg").read_text()
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 30 * 4
