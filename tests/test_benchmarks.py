"""The trainer's benchmark: its contestants train, its floor is one, and its table adds up."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from assay import dataset, training
from conftest import ROOT
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(ROOT / "benchmarks"))
contestants = import_module("contestants")
trainer = import_module("trainer")
scale = import_module("scale")

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


TORCH = sorted(contestants.CONTESTANTS.keys() - {"floor", "Keras", "scikit-learn"})


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


def test_goals_name_the_best_peer():
    samples = made_up(floor=1.0, ours=2.0, textbook=31.0, DataLoader=5.0, Keras=3.8)
    rows = {name: trainer.row(name, samples) for name in samples}
    textbook, best = trainer.speed_goals(rows)
    assert (textbook.seen, textbook.met) == ("15.5", True)
    assert (best.goal, best.seen, best.met) == ("≥ 2 × the best peer (Keras)", "1.90", False)
    assert not list(trainer.speed_goals({name: rows[name] for name in ("floor", "ours")}))


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
    assert [row["contestant"] for row in kept["rows"]] == ["floor", "ours", "DataLoader"]
    assert kept["rows"][1]["seconds_ours"] == kept["rows"][0]["throughput_floor"] == 1
    assert all(len(each["seconds"]) == 2 for each in kept["samples"].values())
    assert {name: np.shape(each) for name, each in kept["accuracy"].items()} == {
        "ours": (2, 1),
        "DataLoader": (2, 1),
    }
    said = capsys.readouterr().out
    assert "512 images of fashion-mnist-10k, 1 fits side by side" in said
    assert "≥ 2 × the best peer (DataLoader)" in said


@pytest.mark.workflow
def test_two_hundred_cells_are_planned_run_and_answered():
    row = scale.measure(200)  # exits with what was printed if any of the three fails
    assert row.cells == 200
    assert min(row.plan.seconds, row.run.seconds, row.answer.seconds) > 0


def test_growth_is_judged():
    cost = scale.Cost(10.0, 100.0)
    rows = [scale.Row(cells, cost, cost, cost) for cells in (1000, 5000)]
    assert all(met for *_, met in scale.judged(rows))
    rows[1] = scale.Row(5000, scale.Cost(61.0, 100.0), cost, cost)
    missed = {name for name, *_, met in scale.judged(rows) if not met}
    assert missed == {"planning, s", "plan, 5,000 / 1,000"}
