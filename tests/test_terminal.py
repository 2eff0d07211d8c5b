"""What a run tells in the terminal: while it goes on, and at its end."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, load
from snakemake_interface_logger_plugins.common import LogEvent

sys.path.append(str(ROOT / "workflow"))
summary = load(ROOT / "workflow/summary.py")
live = load(ROOT / "workflow/snakemake_logger_plugin_assay/__init__.py")

RECORD = "results/records/norm_log/device-cpu/occasion-1.json"


def answer(question: str, group: str, state: str, **lost: float) -> dict[str, Any]:
    """An answer that lost a measurement to these neighbours, if there are any."""
    return {
        "question": question,
        "group": group,
        "short": f"The short answer to {question}.",
        "state": state,
        "circumstances": {
            "measurements": {RECORD: 6},
            "disturbed": [
                {"record": RECORD, "what": "each", "lost": bool(lost), "neighbours": lost},
                {"record": RECORD, "what": "batched", "lost": False, "neighbours": {"cron": 0.1}},
            ],
        },
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A run of three questions in two groups; two of them read the record that lost a trial."""
    folder = tmp_path / "a földer/results"
    (folder / "answers").mkdir(parents=True)
    for each in (
        answer("placement", "Blocks", "answered"),
        answer("norm_log", "Products", "in part", firefox=0.6),
        answer("bandwidth", "Products", "cannot tell", firefox=0.6),
    ):
        (folder / f"answers/{each['question']}.json").write_text(json.dumps(each))
    (folder / "report.html").write_text("the page")
    return folder


def told(results: Path, *arguments: str, **changes: str) -> str:
    """What the script prints into a pipe."""
    command = [sys.executable, ROOT / "workflow/summary.py", "--results", results, *arguments]
    env = os.environ | changes
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    assert done.stderr == ""
    return done.stdout


def test_short_answers_stand_in_their_groups_in_the_order_of_the_page(results):
    lines = told(results, "norm_log", "bandwidth", "placement").splitlines()
    assert [line for line in lines if line and not line.startswith("  ")][:2] == [
        "Products",
        "Blocks",
    ]
    assert "  ◐ norm_log        The short answer to norm_log." in lines
    assert lines.index("Blocks") > lines.index("Products") + 2


def test_what_was_lost_is_counted_once_and_its_neighbour_named(results):
    text = told(results, "--again", "python workflow/again.py")
    said = "1 of 6 measurements lost to other programs (firefox took 0.6 of a core)."
    assert said in " ".join(text.split())
    assert "  python workflow/again.py\n" in text
    assert "Close what else runs" not in told(results, "--again", "")  # a comparison of runs


def test_nothing_is_said_of_losses_where_there_are_none(results):
    assert "lost" not in told(results, "placement")


def test_the_path_of_the_report_can_be_clicked(results):
    assert told(results).splitlines()[-1] == f"The report: {(results / 'report.html').as_uri()}"
    assert "f%C3%B6lder" in told(results)


def test_a_report_that_is_older_than_the_answers_is_not_offered(results):
    os.utime(results / "report.html", (0, 0))
    assert "The report" not in told(results)


def test_a_run_that_failed_says_what_is_missing(results):
    text = told(results, "--failed", "norm_log", "alignment")
    assert "did not finish" in text
    assert "Not answered: alignment." in text
    assert "The report" not in text


def test_without_answers_nothing_is_told(tmp_path):
    assert told(tmp_path) == "\n"


def on_a_terminal(results: Path, **changes: str) -> str:
    """What the script prints where a person looks."""
    ours, theirs = pty.openpty()
    command = [sys.executable, ROOT / "workflow/summary.py", "--results", results]
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run(command, stdout=theirs, env=env | {"TERM": "xterm"} | changes, check=True)
    os.close(theirs)
    with open(ours, "rb", buffering=0) as terminal:
        return terminal.read(10_000).decode()


def test_colours_are_for_terminals_that_want_them(results):
    assert "\033[" in on_a_terminal(results)
    assert "\033[" not in on_a_terminal(results, NO_COLOR="1")
    assert "\033[" not in on_a_terminal(results, TERM="dumb")
    assert "\033[" not in told(results)


# ---- while it goes on ----------------------------------------------------------------------------

CONFIG = {"studies": {"alignment": {"expected_s": 60}, "placement": {"expected_s": 30}}}


def record(message: object = None, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    made.__dict__ |= extra
    return made


def following(monkeypatch: pytest.MonkeyPatch, dryrun: bool = False) -> tuple[Any, io.StringIO]:
    """A handler, and what it prints."""
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", printed)
    return live.LogHandler(SimpleNamespace(dryrun=dryrun), None), printed


def test_a_run_begins_with_its_minutes(monkeypatch):
    handler, printed = following(monkeypatch)
    to_do = {"measure_alignment": [2, 2], "answer": [1]}
    said = live.plan.opening(CONFIG, to_do, 2)
    handler.emit(record(said, to_do=to_do, config=CONFIG, cores=2, slower=1))
    assert printed.getvalue() == "1 question, 2 measuring jobs: about 2.0 min on 2 cores\n"


def test_a_machine_that_starts_torch_slowly_is_told_more_minutes():
    assert "about 10.0 min" in live.plan.opening(CONFIG, {"measure_placement": [1] * 10}, 1, 2)


def test_each_answer_comes_with_the_minutes_that_are_left(results, monkeypatch):
    monkeypatch.chdir(results.parent)
    handler, printed = following(monkeypatch)
    to_do = {"measure_placement": [1, 1], "answer": [1]}
    handler.emit(record("1 questions", to_do=to_do, config=CONFIG, cores=1, slower=1))
    for job, (rule, wildcards) in enumerate(
        [("measure_placement", {}), ("answer", {"question": "placement"})]
    ):
        described = {"jobid": job, "rule_name": rule, "wildcards": wildcards}
        handler.emit(record(event=LogEvent.JOB_INFO, **described))
        handler.emit(record(event=LogEvent.JOB_FINISHED, job_id=job))
    last = printed.getvalue().splitlines()[-1]
    assert last.endswith("min left  placement: answered")
    assert float(last.split()[0]) < 0.5
    assert "\033" not in printed.getvalue()


def test_the_minutes_follow_what_was_seen():
    progress = live.Progress(CONFIG, {"measure_alignment": [1] * 20}, 1)
    for _ in range(10):
        progress.finish("measure_alignment")
    progress.begun -= 2 * 600  # it took twice as long as planned
    assert progress.share == pytest.approx(0.5)
    assert progress.minutes == pytest.approx(20, rel=0.2)


def test_snakemake_itself_is_given_the_minutes_that_are_left():
    """By a filter, which must let everything through and stop at nothing: it would end the run."""
    minutes = live.MinutesLeft(live.Progress(CONFIG, {"measure_alignment": [1, 1]}, 1))
    begun = record(event=LogEvent.JOB_INFO, jobid=7, rule_name="measure_alignment")
    ended = record("Finished jobid: 7", event=LogEvent.JOB_FINISHED, job_id=7)
    bare = [record(event=event) for event in (*LogEvent, None)]
    assert all(minutes.filter(each) for each in (begun, ended, *bare))
    assert re.fullmatch(r"Finished jobid: 7, about [01]\.\d min left", ended.msg)
    assert minutes.progress.left == {"measure_alignment": 1}


def test_a_job_that_failed_runs_no_more(monkeypatch):
    handler, printed = following(monkeypatch)
    described = {"jobid": 7, "rule_name": "measure_alignment", "wildcards": {}}
    handler.emit(record(event=LogEvent.JOB_INFO, **described))
    handler.emit(record("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=7))
    assert handler.running == {}
    assert printed.getvalue() == "Error in rule\n"


def test_what_was_not_planned_changes_nothing():
    progress = live.Progress(CONFIG, {"measure_alignment": [1]}, 1)
    progress.finish("measure_alignment")
    progress.finish("measure_alignment")
    progress.finish("find_lost")
    assert progress.left_s == 0
    assert progress.share == 1


def test_warnings_and_dry_runs_are_told_as_snakemake_does(monkeypatch):
    handler, printed = following(monkeypatch)
    handler.emit(record("Building DAG of jobs..."))
    handler.emit(record("Nothing to be done (all requested files are present)."))
    handler.emit(record("Error in rule a", logging.ERROR))
    assert printed.getvalue().splitlines() == [
        "Nothing to be done (all requested files are present).",
        "Error in rule a",
    ]
    handler, printed = following(monkeypatch, dryrun=True)
    handler.emit(record("Building DAG of jobs..."))
    assert printed.getvalue() == "Building DAG of jobs...\n"
