"""The machine card, and where a machine stands beside others; from records that nobody measured."""

from __future__ import annotations

import copy
import json
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import card
import invented
import matplotlib.image
import pytest
import yaml
from assay.answer import ability, occasion
from assay.answer.ability import Ability, Device
from assay.answer.model import Answer
from assay.record import RecordError, write_atomically
from assay.statistic import Interval
from conftest import ROOT
from invented import World
from test_page import answer, circumstances, disturbed
from test_three_devices import check

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
QUESTIONS = ("hardware", "bandwidth", "crossover", "norm_log", "implementation")
PEAKS = {"float64": 67e12, "float32": 67e12, "tf32": 495e12, "bfloat16": 990e12, "float16": 990e12}


@cache
def answers(*devices: str) -> list[Answer]:
    """The answers to the questions that a card tells of."""
    config = {**copy.deepcopy(CONFIG), "devices": [*devices]}
    found = []
    for name in QUESTIONS:
        records = occasion.pooled(invented.of_question(config, name, World(seed=3)), {})
        numbers = import_module(f"answer_{name}").answer(records).numbers
        found.append(answer(name, numbers=json.loads(json.dumps(numbers))))
    return found


def with_numbers(given: list[Answer], question: str, device: str, **values: Any) -> list[Answer]:
    changed = copy.deepcopy(given)
    next(a for a in changed if a.question == question).numbers[device].update(values)  # type: ignore[union-attr]
    return changed


def test_every_number_stands_with_its_interval() -> None:
    said = card.card(answers("cpu"), "default").spoken
    for told in (r"float32 \d", r"memory \d", "One operation: ", "Training step: "):
        assert told.replace(r"\d", "") in said
    assert "not measured" not in said
    assert said.count("[") >= 8
    assert "no GPU measured" in said


def test_a_card_says_when_how_and_how_undisturbed_it_was_measured() -> None:
    seen = circumstances(disturbed=[disturbed("n 8")], occasions=1)
    given = [each.model_copy(update={"circumstances": seen}) for each in answers("cpu")]
    said = card.card(given, "quick").foot
    assert said == [
        "3 Feb 2001, quick preset, one occasion; in brackets: 95 % intervals; disturbed: "
        "1 of its 3 measurements",
        "torch-assay, commit 01234567, with local changes; torch 2.99.0",
    ]


def test_a_gpu_has_a_column_of_its_own_and_shares_of_its_peak() -> None:
    given = with_numbers(answers("cpu", "gpu"), "hardware", "gpu", peak_flops=PEAKS)
    made = card.card(given, "default")
    assert [block.heading for column in made.columns for block in column] == [
        "CPU matrix products", "CPU bandwidth", "GPU matrix products", "GPU bandwidth",
    ]  # fmt: skip
    assert made.name.endswith("NVIDIA H100")
    assert all(each.theory for each in made.columns[1][0].rows)
    assert [each.name for each in made.columns[1][1].rows] == ["L2", "memory"]
    assert all(text.startswith(("CPU: ", "GPU: ")) for each in made.facts for text in each.values)


def test_a_simulated_card_is_never_shown_as_one() -> None:
    given = with_numbers(answers("cpu", "gpu"), "hardware", "gpu", name="Simulated T4")
    assert "simulated: these figures tell nothing of any hardware" in card.card(given, "t").about


def test_several_gpus_of_one_model_are_counted_and_the_first_is_shown() -> None:
    made = card.card(answers("cpu", "gpu0", "gpu1"), "default")
    assert made.name.endswith("2 × NVIDIA H100")
    assert len(made.columns) == 2


def test_what_was_not_probed_is_a_gpu_where_the_configuration_says_so() -> None:
    numbers: dict[str, Any] = {label: {} for label in ("epyc", "big", "h100 (lab)", "cpu (lab)")}
    found = ability.devices([answer("bandwidth", numbers=numbers)], gpus=["big"])
    assert [each.kind for each in found] == ["CPU", "GPU", "GPU", "CPU"]


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "gpu"), ("gpu",)])
def test_the_picture_can_be_read(devices: tuple[str, ...], tmp_path: Path) -> None:
    given = answers(*devices)
    if "gpu" in devices:
        given = with_numbers(given, "hardware", "gpu", peak_flops=PEAKS)
    given = with_numbers(given, "hardware", devices[0], name="A very long name of a processor " * 4)
    drawn = card.drawn(card.card(given, "default"))
    check(drawn, "machine card")
    path = tmp_path / "answer.json"
    paths = []
    for each in given:
        paths.append(path.with_name(f"{each.question}.json"))
        write_atomically(paths[-1], each.model_dump_json())
    card.main([f"--output={tmp_path / 'card.svg'}", "--preset=quick", *map(str, paths)])
    assert matplotlib.image.imread(tmp_path / "card.png").shape[:2] == (630, 1200)


@pytest.mark.parametrize("left", [*QUESTIONS, None])
def test_what_was_not_asked_is_not_measured(left: str | None) -> None:
    given = [each for each in answers("cpu") if each.question == left] or [answer("decade")]
    made = card.card(given, "quick")
    assert "not measured" in made.spoken
    check(card.drawn(made), "machine card")


def test_an_answer_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"absent\.json"):
        card.main([f"--output={tmp_path}/c.svg", "--preset=quick", f"{tmp_path}/absent.json"])
    assert issubclass(RecordError, Exception)


# ---- beside other machines -----------------------------------------------------------------------


def device(label: str, speed: float, step: float | None = None, width: float = 0.01) -> Device:
    """A device whose memory gives so many bytes/s, and whose training step takes so long."""
    ends = [speed, speed * (1 - width), speed * (1 + width)]
    numbers: dict[str, Any] = {"bandwidth": {label: {"levels_bytes_per_s": {"memory": ends}}}}
    if step:
        row = {"shape": "depth-1", "rung": "module", "time_s": step}
        row |= {"time_low_s": 0.99 * step, "time_high_s": 1.01 * step}
        numbers["implementation"] = {label: {"steps": [row]}}
    return Device(label, numbers)


def test_a_machine_is_told_its_rank_in_every_number_that_others_have() -> None:
    found = [device("cpu", 40e9, 2e-3), device("cpu (lab)", 50e9, 4e-3), device("cpu (old)", 10e9),
             device("gpu (lab)", 9e11), device("gpu (old)", 8e11)]  # fmt: skip
    assert ability.standing(found) == [
        "CPU, bandwidth of memory: 2nd of 3, 0.80 × the fastest (lab).",
        "CPU, training step: 1st of 2.",
    ]


def test_machines_whose_intervals_overlap_share_ranks() -> None:
    found = [device("cpu", 40e9), device("cpu (lab)", 40.2e9), device("cpu (old)", 10e9)]
    assert ability.standing(found)[0].startswith("Bandwidth of memory: 1st to 2nd of 3, 1.00 ×")


def test_without_a_run_at_hand_the_first_and_the_last_are_named() -> None:
    found = [device("cpu (lab)", 40e9), device("cpu (old)", 10e9)]
    assert ability.standing(found) == [
        "Bandwidth of memory: lab is first of 2, old last (0.25 × the first)."
    ]
    found = [device("cpu (lab)", 40e9), device("cpu (old)", 40.1e9)]
    assert ability.standing(found) == ["Bandwidth of memory: cannot tell 2 machines apart."]


def test_a_gpu_stands_among_gpus_with_its_machines_fastest() -> None:
    found = [device("cpu", 4e10), device("gpu0", 1e12), device("gpu1", 2e12),
             device("cpu (lab)", 8e10), device("h100 (lab)", 3e12)]  # fmt: skip
    assert ability.standing(found) == [
        "CPU, bandwidth of memory: 2nd of 2, 0.50 × the fastest (lab).",
        "GPU, bandwidth of memory: 2nd of 2, 0.67 × the fastest (lab).",
    ]


def test_alone_a_machine_stands_nowhere() -> None:
    assert ability.standing([device("cpu", 4e10)]) == []


def test_a_time_is_ranked_by_its_speed() -> None:
    assert Ability("step", "s", Interval(2, 1, 4)).speed == Interval(0.5, 0.25, 1)


@pytest.mark.parametrize(
    ("number", "word"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")]
)
def test_ranks_in_words(number: int, word: str) -> None:
    assert ability.ordinal(number) == word
