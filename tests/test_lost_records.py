"""No answer dies: whatever could not be measured, every question and the page say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import cycle, product
from pathlib import Path
from types import ModuleType

import page
import pytest
import yaml
from assay import record
from assay.answer import model, occasion, question
from assay.answer.model import State
from assay.answer.verdict import Word
from assay.record import Record, Status
from conftest import ROOT, Workflow
from invented import LOST, REASON, lost

pytestmark = pytest.mark.workflow

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
QUESTIONS: list[str] = CONFIG["ask"]
STUDIES = [name for name in CONFIG["studies"] if name != "search"]  # which the tiny run leaves out
# Questions whose headline rests on what is timed beside a twin.
TWINS = [
    "activation",
    "alignment",
    "crossover",
    "custom_layers",
    "implementation",
    "loader",
    "norm_log",
]
ABOUT = {
    "preset": "lost",
    "command": "",
    "questions": QUESTIONS,
    "protocol": {"rounds_least": 20, "void_delay_share": 0.02},
}

Damage = Callable[[Record, Status], Record]


def a_whole_job(each: Record, status: Status) -> Record:
    return each.model_copy(update={"status": status, "reason": REASON, "trials": []})


def every_trial(each: Record, status: Status) -> Record:
    trials = [lost(trial, status) for trial in each.trials]
    return each.model_copy(update={"status": status, "reason": REASON, "trials": trials})


def some_trials(each: Record, status: Status) -> Record:
    trials = [lost(t, status) if i % 3 == 0 else t for i, t in enumerate(each.trials)]
    left, reason = (Status.OK, None) if len(trials) > 1 else (status, REASON)
    return each.model_copy(update={"status": left, "reason": reason, "trials": trials})


def the_last_trial(each: Record, status: Status) -> Record:
    *kept, last = each.trials
    left, reason = (Status.OK, None) if kept else (status, REASON)
    return each.model_copy(
        update={"status": left, "reason": reason, "trials": [*kept, lost(last, status)]}
    )


def script(name: str) -> ModuleType:
    return import_module(f"answer_{name}")


def paths(finished: Workflow, name: str) -> list[Path]:
    """The records of a question in a finished run."""
    told = (finished.folder / f"results/answers/{name}.json").read_text(encoding="utf-8")
    return [finished.folder / path for path in json.loads(told)["records"]]


@cache
def records(finished: Workflow, name: str) -> list[Record]:
    """What those paths hold; nobody changes it."""
    return [record.read(path) for path in paths(finished, name)]


# Damage in part, of two kinds in turn: each question meets each status, and each kind of damage.
IN_PART = zip(cycle((some_trials, the_last_trial)), LOST, strict=False)


@pytest.mark.parametrize(
    ("damage", "status"), [*product((a_whole_job, every_trial), LOST), *IN_PART]
)
@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_answered(
    name: str, damage: Damage, status: Status, finished: Workflow
) -> None:
    measured = records(finished, name)
    damaged = [damage(each, status) if each.trials else each for each in measured]
    found = script(name).answer(occasion.pooled(damaged, {}))
    assert found.short
    assert found.sentence
    assert "nan" not in found.sentence.split()
    if damage in (a_whole_job, every_trial) and name != "decade":  # from a cited table
        assert model.state(found.cells) in (State.NONE, State.UNKNOWN)
        assert found.so == ""
    assert any((each.status, each.reason) == (status, REASON) for each in question.missing(damaged))


@pytest.mark.parametrize(("place", "status"), enumerate(LOST))
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_when_one_job_of_several_is_lost(
    name: str, place: int, status: Status, finished: Workflow
) -> None:
    damaged = [*records(finished, name)]
    gone = place * len(damaged) // len(LOST)  # another job with each status
    damaged[gone] = a_whole_job(damaged[gone], status)
    found = script(name).answer(occasion.pooled(damaged, {}))
    assert found.sentence
    assert found.views


@pytest.mark.parametrize("study", STUDIES)
def test_a_device_that_is_absent_is_a_record_with_the_reason(
    study: str, finished: Workflow, tmp_path: Path
) -> None:
    results, output = finished.folder / "results", tmp_path / "record.json"
    measured = record.read(next((results / "records" / study).rglob("*.json")))
    axes = {name: str(value) for name, value in measured.axes.items() if name != "device"}
    arguments = [text for name, value in axes.items() for text in (f"--{name}", value)]
    if measured.provenance.dataset:
        arguments += ["--dataset", str(results / "data/dataset.safetensors")]
    place = ("--device", "cuda:63", "--label", "gpu")
    settings = json.dumps(measured.settings)
    import_module(f"measure_{study}").main(
        [*place, *arguments, "--settings", settings, "--output", str(output)]
    )
    seen = record.read(output)
    assert (seen.status, seen.trials) == (Status.UNAVAILABLE, [])
    assert seen.axes == measured.axes | {"device": "gpu"}
    assert seen.reason


def noisy_twin(each: Record) -> Record:
    """The record as if whatever is compared with itself had differed by up to a factor of five."""
    seen = each.model_copy(deep=True)
    for trial in seen.trials:
        ratios = trial.result.get("ratios")
        if isinstance(ratios, dict) and "twin" in ratios:
            ratios["twin"] |= {"ratio_low": 0.2, "ratio_high": 5.0}
    return seen


@pytest.mark.parametrize("name", TWINS)
def test_beside_a_noisy_twin_there_is_no_verdict(name: str, finished: Workflow) -> None:
    found = script(name).answer(occasion.pooled([*map(noisy_twin, records(finished, name))], {}))
    assert {cell.word for cell in found.cells} <= {None, Word.UNKNOWN}


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        (a_whole_job, Status.CONTENDED),
        (every_trial, Status.CONTENDED),
        (a_whole_job, Status.UNAVAILABLE),
    ],
)
def test_the_page_is_made_of_nothing_but_what_was_lost(
    damage: Damage, status: Status, finished: Workflow, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    for path in (finished.folder / "results/records").rglob("*.json"):
        kept = results / path.relative_to(finished.folder / "results")
        record.write(kept, damage(record.read(path), status))
    for name in QUESTIONS:
        own = [results / p.relative_to(finished.folder / "results") for p in paths(finished, name)]
        block = CONFIG["questions"][name]
        title = json.dumps({key: block[key] for key in ("title", "group", "exercise")})
        files = {"table": "tables/{}.csv", "figure": "figures/{}.svg", "answer": "answers/{}.json"}
        out = [f"--{kind}={results / file.format(name)}" for kind, file in files.items()]
        script(name).main(["--about", title, *out, *map(str, own)])
    page.main(
        [
            *("--output", str(results / "report.html")),
            *("--about", json.dumps(ABOUT)),
            *("--hardware", *map(str, (results / "records/hardware").rglob("*.json"))),
            *("--", *(str(results / f"answers/{name}.json") for name in QUESTIONS)),
        ]
    )
    text = (results / "report.html").read_text(encoding="utf-8")
    assert ("measurements lost" in text) == (status == Status.CONTENDED)
    assert REASON in text
