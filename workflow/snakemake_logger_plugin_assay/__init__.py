"""A logger of Snakemake's that tells a run as a person wants to follow it.

At the start, what is to be measured and about how many minutes it takes; then a line for each
question that is answered, with the minutes that are left. A terminal also shows a bar and what is
being measured now. Failures are told as Snakemake does.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from logging import WARNING, Filter, LogRecord
from pathlib import Path
from statistics import fmean
from typing import Any

import plan
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

PRIOR_S = 60  # seconds that the plan counts for, beside what was seen
BAR = 20  # characters
WIDTH = 80


class Progress:
    """How much of a run is done, and how long the rest takes."""

    def __init__(
        self,
        config: Mapping[str, Any],
        threads: Mapping[str, list[int]],
        cores: int,
        slower: float = 1,
    ) -> None:
        self.seconds = {
            rule: slower * plan.job_s(config, rule) * fmean(each) / cores
            for rule, each in threads.items()
        }
        self.left = {rule: len(each) for rule, each in threads.items()}
        self.total_s = self.left_s
        self.begun = time.monotonic()

    @property
    def left_s(self) -> float:
        """Seconds of the plan that are left."""
        return sum(n * self.seconds[rule] for rule, n in self.left.items())

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1."""
        return 1 - self.left_s / self.total_s if self.total_s else 1.0

    @property
    def minutes(self) -> float:
        """Minutes that the rest takes, at the pace that was seen."""
        pace = (time.monotonic() - self.begun + PRIOR_S) / (self.total_s - self.left_s + PRIOR_S)
        return self.left_s * pace / 60

    def finish(self, rule: str) -> None:
        """Count a job as done, if it was planned: what a neighbour spoilt comes on top."""
        if self.left.get(rule):
            self.left[rule] -= 1


class MinutesLeft(Filter):
    """Adds the minutes that are left to what Snakemake itself tells of a finished job.

    What goes wrong in a filter ends the run, so that nothing is taken for granted here.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress
        self.rules: dict[Any, str] = {}  # by job

    def filter(self, record: LogRecord) -> bool:
        """Remember what a job is, or tell the minutes; let every record through."""
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_INFO:
            self.rules[getattr(record, "jobid", None)] = getattr(record, "rule_name", "")
        elif event == LogEvent.JOB_FINISHED:
            self.progress.finish(self.rules.get(getattr(record, "job_id", None), ""))
            record.msg = f"{record.msg}, about {self.progress.minutes:.1f} min left"
        return True


class LogHandler(LogHandlerBase):
    """Tells what matters to who waits, on the standard error."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.progress: Progress | None = None
        self.running: dict[int, tuple[str, str]] = {}  # rule and what it works on, by job
        self.live = sys.stderr.isatty()

    def emit(self, record: LogRecord) -> None:
        """Tell a record, or what it means for the run."""
        try:
            self._tell(record)
        except Exception:
            self.handleError(record)

    def _tell(self, record: LogRecord) -> None:
        event = getattr(record, "event", None)
        if self.common_settings.dryrun:
            self._line(self.format(record))
        elif hasattr(record, "to_do"):
            self._begin(record)
        elif event == LogEvent.JOB_INFO:
            self.running[record.jobid] = (record.rule_name, record.wildcards.get("question", ""))
            self._status()
        elif event == LogEvent.JOB_FINISHED:
            self._finished(record.job_id)
        elif event == LogEvent.JOB_ERROR:
            self.running.pop(record.jobid, None)
            self._line(self.format(record))
        elif record.levelno >= WARNING or str(record.msg).startswith("Nothing to be done"):
            self._line(self.format(record))

    def _begin(self, record: LogRecord) -> None:
        self.progress = Progress(record.config, record.to_do, record.cores, record.slower)
        self._line(record.getMessage())

    def _finished(self, job: int) -> None:
        rule, question = self.running.pop(job, ("", ""))
        if self.progress:
            self.progress.finish(rule)
        if rule == "answer":
            answer = json.loads(Path(f"results/answers/{question}.json").read_text("utf-8"))
            self._line(f"{self._minutes():>13}  {question}: {answer['state']}")
        self._status()

    def _minutes(self) -> str:
        return f"{self.progress.minutes:.1f} min left" if self.progress else ""  # on a cluster

    def _line(self, text: str) -> None:
        clear = "\r\033[K" if self.live else ""
        print(f"{clear}{text}", file=sys.stderr, flush=True)

    def _status(self) -> None:
        """A bar and what runs now, over the last such line; only where a person looks."""
        if self.live and self.progress:
            done = round(BAR * self.progress.share)
            bar = "█" * done + "░" * (BAR - done)
            names = {rule.removeprefix("measure_") for rule, _ in self.running.values()}
            now = f"{bar} {self._minutes()}  {', '.join(sorted(names))}" if names else ""
            print(f"\r\033[K{now}"[:WIDTH], end="", file=sys.stderr, flush=True)
