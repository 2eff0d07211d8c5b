"""What is told of simulated cards beside the truth: answers still say what is compared there."""

from __future__ import annotations

import math
from pathlib import Path

import invented
import pytest
import yaml
from assay import record
from conftest import ROOT, load
from invented import World

truth = load(ROOT / "tests/gpu_sim/truth.py")
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("question", truth.QUESTIONS)
def test_every_question_tells_what_the_truth_stands_beside(question: str, tmp_path: Path) -> None:
    config = {**CONFIG, "devices": ["cpu", *truth.GPUS]}
    for each in invented.of_question(config, question, World(seed=5)):
        name = "-".join(map(str, each.axes.values()))
        record.write(tmp_path / "records" / each.study / f"{name}.json", each)
    rows = [*truth.QUESTIONS[question](tmp_path)]
    of = ["two GPUs"] if question == "two_devices" else truth.GPUS
    assert all(any(what.startswith(each) for what, *_ in rows) for each in of)
    assert not any(math.isnan(told / true) for _, true, told, _ in rows)
