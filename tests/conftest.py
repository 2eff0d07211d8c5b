"""What tests share: made-up records, and a real run of the tiny workflow to work on copies of."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from assay.record import Conditions, Provenance, Record, Status, Trial
from hypothesis import settings

# No test is timed: on a busy machine a slow example is no finding.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    "Snakefile",
    "config.yaml",
    "workflow",
    "profiles",
    "envs",
    "resources",
    "tests/config.yaml",
)


def load(path: Path) -> Any:
    """A script as a module, without putting its folder on the path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plan = load(ROOT / "workflow/plan.py")


@dataclass(frozen=True)
class Workflow:
    """A copy of the workflow in a folder of its own."""

    folder: Path

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start snakemake with the tiny configuration."""
        return subprocess.Popen(
            self._command(arguments), **self.options(), **options, start_new_session=True
        )

    def run(self, *arguments: str, tiny: bool = True) -> subprocess.CompletedProcess[str]:
        """Run snakemake, with the tiny configuration unless told otherwise."""
        return subprocess.run(self._command(arguments, tiny), timeout=600, **self.options())

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs by rule that a dry run shows; the total stands under ``total``."""
        done = self.run("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        return dict(plan.counts(done.stdout))

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Rewrite a file of this copy."""
        file = self.folder / path
        file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")

    def _command(self, arguments: tuple[str, ...], tiny: bool = True) -> list[str]:
        config = ["--configfile", "tests/config.yaml"] if tiny else []
        return [sys.executable, "-m", "snakemake", *arguments, *config]

    def options(self) -> dict[str, Any]:
        """How every command of a test is run: here, with this Python first on the path."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {
            "cwd": self.folder,
            "env": os.environ | {"PATH": path},
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "stdin": subprocess.DEVNULL,
            "text": True,
        }


def copy_workflow(to: Path) -> Workflow:
    """Copy what a user clones (without results) into a folder."""
    for part in PARTS:
        target = to / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / part, target, ignore=ignored)
        else:
            shutil.copy2(ROOT / part, target)
    return Workflow(to)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The tiny workflow after a run, in a folder with spaces and umlauts; not to be changed."""
    workflow = copy_workflow(tmp_path_factory.mktemp("run") / "a földer with späces")
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    return workflow


@pytest.fixture
def copied(finished: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the finished run, metadata included, to change at will."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Workflow(tmp_path / "copy")


@pytest.fixture
def fresh(tmp_path: Path) -> Workflow:
    """The workflow before its first run."""
    return copy_workflow(tmp_path / "fresh")


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """A figure that a test draws and does not save is closed."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


PROTOCOL: Mapping[str, Any] = {
    "confidence": 0.95,
    "rounds_least": 20,
    "rounds_most": 100,
    "look_every": 10,
    "cap_s": 4,
    "patience": 1,
    "operand_sets": 2,
    "operand_sets_least": 2,
    "operand_bytes": 0,
    "void_delay_share": 0.02,
    "void_clock_share": 0.75,
}


def make_record(study: str, axes: dict[str, Any], trials: list[Trial], **changes: Any) -> Record:
    """A record that a test makes up."""
    values: dict[str, Any] = {
        "study": study,
        "axes": axes,
        "status": Status.OK,
        "reason": None,
        "settings": {"protocol": dict(PROTOCOL), "anchor": 1024},
        "trials": trials,
        "conditions": Conditions(
            threads_asked=2,
            threads_used=2,
            contention={
                "delay_share": 0.0,
                "cpu_per_thread": 1.0,
                "steal_share": 0.0,
                "pressure_share": 0.0,
            },
            gpu=None,
        ),
        "provenance": Provenance(
            commit=None,
            dirty=None,
            versions={"python": "3"},
            machine_id="synthetic",
            started="2026-01-01T00:00:00+00:00",
            duration_s=1.0,
        ),
    }
    return Record(**(values | changes))


def with_status(made: Record, status: Status, *which: int) -> Record:
    """The record with some trials, or all, as they are when they end in another status."""
    trials = [
        t.model_copy(update={"status": status, "result": {}}) if not which or i in which else t
        for i, t in enumerate(made.trials)
    ]
    return made.model_copy(update={"trials": trials})


# Words that the page has room for, by the field of an answer.
BUDGETS = {"short": 12, "sentence": 25, "so": 20, "why": 120, "method": 120, "caveats": 60}


def check_budgets(found: Any) -> None:
    """What is said of a question, findings or a whole answer, fits on its card."""
    for field, most in BUDGETS.items():
        value = getattr(found, field)
        text = value if isinstance(value, str) else " ".join(value)
        assert len(text.split()) <= most, (field, text)
    assert ";" not in found.sentence


@pytest.fixture
def families(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the families of comparisons that are judged."""
    from assay.answer import verdict  # pandas, for those who judge

    sizes: list[int] = []
    judge = verdict.judge

    def counted(family: Any) -> Any:
        sizes.append(len(family))
        return judge(family)

    monkeypatch.setattr(verdict, "judge", counted)
    return sizes
