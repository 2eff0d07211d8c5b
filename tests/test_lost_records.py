"""No answer dies: whatever could not be measured, every question and the page say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import page
import pytest
import yaml
from assay import record
from assay.answer import model, occasion, question
from assay.answer.model import State
from assay.record import Record, Status, Trial
from conftest import ROOT, Workflow

pytestmark = pytest.mark.workflow

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
QUESTIONS: list[str] = CONFIG["ask"]
LOST = [status for status in Status if status != Status.OK]
REASON = "lost by the test"
ABOUT = {
    "preset": "lost",
    "command": "",
    "questions": QUESTIONS,
    "protocol": {"confidence": 0.95, "rounds_least": 20, "void_delay_share": 0.02},
}

Damage = Callable[[Record, Status], Record]


def lost(trial: Trial, status: Status) -> Trial:
    """A trial as a measuring script leaves it when it ends in such a status."""
    result = dict(trial.result) if status == Status.REFUSED else {}
    if status == Status.CONTENDED:
        neighbours = [{"name": "firefox", "cores": 0.6}]
        result = {"rounds": 5, "rounds_void": 5, "arms": {}, "ratios": {}, "neighbours": neighbours}
    return trial.model_copy(update={"status": status, "reason": REASON, "result": result})


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


@pytest.mark.parametrize("status", LOST)
@pytest.mark.parametrize("damage", [a_whole_job, every_trial, some_trials, the_last_trial])
@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_answered(
    name: str, damage: Damage, status: Status, finished: Workflow
) -> None:
    measured = [record.read(path) for path in paths(finished, name)]
    damaged = [damage(each, status) if each.trials else each for each in measured]
    found = script(name).answer(occasion.pooled(damaged, {}))
    assert found.short
    assert found.sentence
    assert "nan" not in found.sentence.split()
    if damage in (a_whole_job, every_trial) and name != "decade":  # from a cited table
        assert model.state(found.cells) in (State.NONE, State.UNKNOWN)
        assert found.so == ""
    assert any((each.status, each.reason) == (status, REASON) for each in question.missing(damaged))


@pytest.mark.parametrize("status", LOST)
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_when_one_job_of_several_is_lost(
    name: str, status: Status, finished: Workflow
) -> None:
    measured = [record.read(path) for path in paths(finished, name)]
    for gone in range(0, len(measured), max(1, len(measured) // 3)):
        damaged = [a_whole_job(e, status) if i == gone else e for i, e in enumerate(measured)]
        found = script(name).answer(occasion.pooled(damaged, {}))
        assert found.sentence
        assert found.views


@pytest.mark.parametrize("damage", [a_whole_job, every_trial])
def test_the_page_is_made_of_nothing_but_what_was_lost(
    damage: Damage, finished: Workflow, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    for path in (finished.folder / "results/records").rglob("*.json"):
        kept = results / path.relative_to(finished.folder / "results")
        record.write(kept, damage(record.read(path), Status.CONTENDED))
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
    assert "measurements lost to other programs" in text
    assert REASON in text
