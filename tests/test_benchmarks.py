"""Benchmarks: they measure what they say, their tables add up, and goals are judged rightly."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from assay.learning import dataset, training
from assay.record import Trial
from builders import QUICK, make_record
from conftest import ROOT
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(ROOT / "benchmarks"))
contestants = import_module("contestants")
trainer = import_module("trainer")
scale = import_module("scale")
repeatability = import_module("repeatability")
startup = import_module("startup")

IMAGES, EPOCHS = 1200, 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten classes of images that a network tells apart at once."""
    labels = torch.arange(IMAGES, dtype=torch.uint8) % 10
    noise = torch.randint(0, 100, (IMAGES, 28, 28), generator=torch.Generator().manual_seed(0))
    rows = labels[:, None, None] == torch.arange(28).expand(28, 28).T // 2
    images = (noise + 155 * rows).to(torch.uint8)
    return contestants.write(tmp_path_factory.mktemp("data"), images, labels)


def fit(name, data, epochs):
    """Train as the benchmark does: whoever asks for a turn too many is ended."""
    taken = []

    def turns():
        for epoch in range(epochs):
            taken.append(epoch)
            yield
        raise SystemExit

    network = contestants.network(seed=0)
    with pytest.raises(SystemExit):
        contestants.CONTESTANTS[name].fit(network, data, turns())
    assert len(taken) == epochs
    return network


TORCH = sorted(
    contestants.CONTESTANTS.keys() - {"floor", *contestants.PARTS, "Keras", "scikit-learn"}
)


@pytest.mark.parametrize("name", TORCH)
def test_contestants_on_torch_train_the_network_they_are_given(data, name):
    if not contestants.CONTESTANTS[name].is_installed:
        pytest.skip(f"needs {name} (make bench-trainer installs it)")
    assert training.accuracy(fit(name, data, EPOCHS), data.examples) > 0.5  # by chance: 0.1


@pytest.mark.parametrize("name", ["Keras", "scikit-learn"])
def test_contestants_with_their_own_network_take_every_turn(data, name, monkeypatch):
    if not contestants.CONTESTANTS[name].is_installed:
        pytest.skip(f"needs {name} (make bench-trainer installs it)")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    fit(name, data, EPOCHS)


def test_the_images_are_the_same_in_every_form(data):
    from torchvision.datasets import FashionMNIST

    seen = FashionMNIST(data.folder, train=True)
    assert np.array_equal(seen.data.flatten(1) / 255, data.examples.inputs)
    assert torch.equal(seen.targets, data.examples.labels)


def test_the_floor_is_the_products_of_the_trainers_steps(data):
    flops = {}
    for name in (contestants.FLOOR, contestants.OURS):
        with FlopCounterMode(display=False) as counter:
            fit(name, data, 1)
        flops[name] = counter.get_total_flops()
    forward = 2 * IMAGES * (784 * 256 + 256 * 10)
    backward = 2 * IMAGES * (784 * 256 + 2 * 256 * 10)  # nothing needs the images' gradient
    assert flops == {"floor": forward + backward, "ours": forward + backward}


def made_up(**seconds):
    """Samples of contestants that take these seconds, in rounds of unequal speed."""
    return {
        name: {
            "seconds": [each * pace for pace in (1, 2, 3, 2, 1, 1)],
            "throughput": [2 / each / pace for pace in (2, 1, 1, 3, 1, 2)],
            "cpu_s": [each / 2] * 6,
        }
        for name, each in seconds.items()
    }


def test_ratios_are_taken_within_rounds():
    row = trainer.row("peer", made_up(floor=1.0, ours=2.0, peer=6.0))
    behind_ours = [row.seconds_ours, row.throughput_ours, row.cpu_ours]
    assert behind_ours == pytest.approx([3, 3, 3])
    assert [row.throughput_ours_low, row.throughput_ours_high] == pytest.approx([3, 3])
    assert [row.seconds_floor, row.throughput_floor] == pytest.approx([6, 6])
    assert row.seconds == 9


def test_goals_are_ones_that_the_floor_allows_and_name_the_best_peer():
    samples = made_up(floor=1.0, ours=1.2, drawing=0.06, updating=0.03, DataLoader=5.0, Keras=1.1)
    rows = {name: trainer.row(name, samples) for name in samples}
    one_fit, side_by_side, best = trainer.speed_goals(rows)
    assert (one_fit.goal, one_fit.met) == ("≤ 1.1 × the floor, one fit", False)
    assert (one_fit.seen, side_by_side.seen) == ("1.20", "1.20")
    assert (best.goal, best.seen, best.met) == ("faster than the best peer (Keras)", "0.92", False)
    told, _ = trainer.shares(rows)
    assert told.split(": ")[1].strip() == "floor 83%, drawing 5%, updating 2%, the rest 9%"


@pytest.mark.parametrize(("gain", "met"), [(0.0, True), (0.05, False)])
def test_the_accuracy_is_the_same_when_the_interval_holds_zero(gain, met):
    ours = [[0.5, 0.80], [0.6, 0.82], [0.5, 0.81]]
    theirs = [[0.5, 0.81 + gain], [0.6, 0.81 + gain], [0.5, 0.81 + gain]]
    assert trainer.accuracy_goal({"ours": ours, "DataLoader": theirs}).met is met


def test_more_processes_than_memory_are_refused():
    with pytest.raises(SystemExit, match=r"1000000 processes need about .* --contestants"):
        trainer.check_memory(1_000_000)


def test_a_tiny_run(tmp_path: Path, capsys):
    store, output = tmp_path / "dataset.safetensors", tmp_path / "trainer.json"
    fetch = import_module("fetch_dataset")
    fetch.embedded(store, dataset.SAMPLE, None)
    arguments = "--contestants DataLoader --fits 1 --images 512 --rounds 2 --seeds 2 --epochs 1"
    trainer.main([*arguments.split(), "--dataset", str(store), "--output", str(output)])
    kept = json.loads(output.read_text())
    assert [row["contestant"] for row in kept["rows"]] == [
        *("floor", "ours", *contestants.PARTS, "DataLoader")
    ]
    assert kept["rows"][1]["seconds_ours"] == kept["rows"][0]["throughput_floor"] == 1
    assert all(len(each["seconds"]) == 2 for each in kept["samples"].values())
    assert {name: np.shape(each) for name, each in kept["accuracy"].items()} == {
        "ours": (2, 1),
        "DataLoader": (2, 1),
    }
    said = capsys.readouterr().out
    assert "512 images of fashion-mnist-10k, 1 fits side by side" in said
    assert "faster than the best peer (DataLoader)" in said


@pytest.mark.workflow
def test_two_hundred_cells_are_planned_run_and_answered():
    row = scale.measure(200)  # exits with what was printed if any of the three fails
    assert row.cells == 200
    assert row.beside <= scale.BESIDE
    assert min(row.plan.seconds, row.run.seconds, row.answer.seconds) > 0


def test_growth_is_judged():
    cost = scale.Cost(10.0, 100.0)
    rows = [scale.Row(cells, cost, cost, cost, 0.001) for cells in (1000, 5000)]
    assert all(met for *_, met in scale.judged(rows))
    rows[1] = scale.Row(5000, scale.Cost(61.0, 100.0), cost, cost, 0.05)
    missed = {name for name, *_, met in scale.judged(rows) if not met}
    assert missed == {"5000 cells, % of a core", "planning, s", "plan, 5,000 / 1,000"}


def made_run(folder, ratio, word, sentence="cpu – float32: alignment {:.1f} %."):
    """What is left of a run whose only question has one figure and one word."""
    (folder / "answers").mkdir(parents=True)
    (folder / "tables").mkdir()
    effect = {
        **{"device": "cpu", "effect": "alignment", "word": word, "p": 0.01},
        **{"ratio": ratio, "ratio_low": ratio - 0.02, "ratio_high": ratio + 0.02},
    }
    said = {"sentence": sentence.format(100 * ratio), "numbers": {"effects": [effect]}}
    (folder / "answers/alignment.json").write_text(json.dumps(said))
    table = pd.DataFrame(
        [
            {
                **{"device": "cpu", "n": n, "verdict": word, "rounds": int(100 * ratio)},
                **{"time_s": ratio, "time_low_s": ratio - 0.02, "time_high_s": ratio + 0.02},
            }
            for n in (1023, 1025)
        ]
    )
    table.to_csv(folder / "tables/alignment.csv", index=False)
    return repeatability.read_run(folder)


def test_runs_that_agree_meet_every_goal(tmp_path, capsys):
    runs = [made_run(tmp_path / str(i), ratio, "slower") for i, ratio in enumerate((1.05, 1.06))]
    assert [(each.seen, each.met) for each in repeatability.compare(runs)] == [
        ("100.0% of 3", True),
        ("100.0% of 2", True),
        ("0", True),
    ]
    assert "differs in more than figures" not in capsys.readouterr().out


def test_runs_that_contradict_each_other_are_told_apart(tmp_path, capsys):
    seen = [(1.05, "slower"), (1.0, "the same"), (1.06, "cannot tell")]
    runs = [made_run(tmp_path / str(i), *each) for i, each in enumerate(seen)]
    overlap, words, contradictions = repeatability.compare(runs)
    assert (overlap.seen, overlap.met) == ("33.3% of 9", False)  # 1.05 and 1.06 only
    assert (words.seen, words.met) == ("0.0% of 6", False)
    assert (contradictions.seen, contradictions.met) == ("2", False)
    assert "alignment: cpu, n 1025: slower, the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("one", "other", "opposed"),
    [
        ("faster", "slower", True),
        ("better", "the same", True),
        ("faster", "cannot tell", False),
        ("reproduced", "not reproduced", False),  # no word of a comparison
        ("slower", "slower", False),
    ],
)
def test_only_definite_words_contradict(one, other, opposed):
    assert repeatability.contradict(one, other) is opposed
    assert repeatability.contradict(other, one) is opposed


def test_a_headline_of_another_word_is_marked(tmp_path, capsys):
    repeatability.compare(
        [made_run(tmp_path / each, 1.05, "slower", sentence=each) for each in ("1.2 ×", "neither")]
    )
    assert "alignment (differs in more than figures)" in capsys.readouterr().out


def test_a_folder_without_answers_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="holds no answers"):
        repeatability.read_run(tmp_path)


def occasions_of(spread, cells=60):
    """Trials of cells on two occasions, the logarithms of which differ by this much at random."""
    draw = np.random.default_rng(3)
    for cell in range(cells):
        for each in (1, 2):
            ratio = float(np.exp(draw.normal(0, spread)))
            ends = {"ratio": ratio, "ratio_low": ratio * 0.999, "ratio_high": ratio * 1.001}
            what = {"dtype": "float32"}
            yield make_record(
                "alignment",
                {"device": "cpu", "n": cell, "occasion": each},
                [Trial(what=what, result={"ratios": {"target": ends}, "arms": {}})],
            )


def test_the_spread_between_occasions_is_found():
    lines = [*repeatability.between_occasions(occasions_of(0.02))]
    assert [line.split(" {")[0].split() for line in lines] == [
        ["alignment"],
        ["alignment", "float32"],
    ]
    for line in lines:
        found = re.search(r"ratio: ([0-9.]+)", line)
        assert float(found.group(1)) == pytest.approx(0.02, rel=0.25)


TINY_TRIAL = {
    **{"seed": 1, "anchor": 32, "layouts": [], "cap_s": 20, "half_width": 0.5},
    "shapes": {"kinds": [], "sizes": [], "dtypes": [], "batch": 1, "rounds_most": 6},
    "protocol": {**QUICK, "cap_s": 20},
}


def test_fresh_runs_are_measured_pooled_and_judged(capsys):
    cells = [repeatability.Cell(48, "float32"), repeatability.Cell(48, "float32", (1, 3))]
    found = repeatability.fresh(cells, times=1, occasions=2, pause_s=0, settings=TINY_TRIAL)
    known = {"alignment": {"ratio": 0.01}}
    for cell, runs in found.items():
        assert [len(records) for records in runs] == [2]
        measured, *_ = repeatability.judged(cell, runs, known)
        assert measured.met
    assert str(cells[1]) == "48, float32, 200.0% more work"
    assert capsys.readouterr().out.count("[") == 2  # an interval per run and cell


def test_planted_work_must_be_found_and_its_interval_hold_it():
    """Ten runs of one of which neither is true."""
    cell = repeatability.Cell(48, "float32", (20, 21))
    ratios = [1.05] * 9 + [1.0]
    runs = [[planted_record(ratio)] for ratio in ratios]
    measured, holds, found = repeatability.judged(cell, runs, {})
    assert (measured.seen, holds.seen, found.seen) == ("10 of 10", "90.0% of 10", "90.0% of 10")
    assert holds.met
    assert found.met
    runs[0] = [planted_record(1.0)]
    assert [each.met for each in repeatability.judged(cell, runs, {})] == [True, False, False]


def planted_record(ratio):
    ratios = {
        name: {"ratio": value, "ratio_low": value * 0.995, "ratio_high": value * 1.005}
        for name, value in (("target", ratio), ("twin", 1.0))
    }
    trial = Trial(what={"dtype": "float32"}, result={"ratios": ratios, "arms": {}})
    return make_record("alignment", {"device": "cpu", "n": 48}, [trial])


def test_what_a_script_imports_beside_torch_is_told(tmp_path, capsys):
    output = tmp_path / "startup.json"
    startup.main(["--times", "1", "--scripts", "measure_contrast", "--output", str(output)])
    rows = json.loads(output.read_text())["rows"]
    assert [row["script"] for row in rows] == ["torch", "measure_contrast"]
    assert rows[0]["beside_torch_s"] == 0
    assert rows[1]["cpu_s"] > 0
    assert "measure_contrast" in capsys.readouterr().out


def test_an_import_that_fails_is_named():
    with pytest.raises(SystemExit, match="import no_such_module failed"):
        startup.import_s("no_such_module")


def test_measuring_scripts_import_nothing_slow():
    """Each of these takes a tenth of a CPU second or more, in every job, before it measures."""
    slow = ["scipy", "pandas", "statsmodels", "matplotlib", "seaborn", "torchvision", "snakemake"]
    scripts = ROOT / "workflow/scripts"
    names = sorted(path.stem for path in scripts.glob("measure_*.py"))
    code = "import importlib, sys\n"
    code += f"for name in {names}:\n    importlib.import_module(name)\n"
    code += f"    for slow in {slow}:\n        sys.modules.pop(slow, None) and print(name, slow)\n"
    environment = os.environ | {"PYTHONPATH": str(scripts)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    # The loader times torchvision's own transforms.
    assert done.stdout.splitlines() == ["measure_loader torchvision"]
