"""What tests share: a real run of the tiny workflow to work on copies of, and the data set."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from assay import device
from hypothesis import settings

WORKER = "PYTEST_XDIST_WORKER" in os.environ
APART = {"test_workflow.py", "test_faults.py"}  # tests that share nothing but the finished run
if WORKER:  # before torch and NumPy are loaded: threads of several workers would fight for cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: one of them mostly waits, for Slurm or for a browser."""
    return 1 + min(7, device.usable_cores())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Side by side, a file stays together; the two that take longest are taken apart.

    One worker would else end long after the others.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if Path(file).name in APART else file

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, files that run the workflow are begun first, because they take longest."""
    if WORKER:
        items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@dataclass(frozen=True)
class Planned:
    """A job that a dry run shows."""

    rule: str
    input: list[str]
    output: list[str]


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
        return subprocess.run(self._command(arguments, tiny), timeout=1200, **self.options())

    def planned(self, *arguments: str) -> dict[str, int]:
        """Jobs by rule that a dry run shows; the total stands under ``total``."""
        done = self.run("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        return dict(plan.counts(done.stdout))

    def jobs(self, *arguments: str) -> list[Planned]:
        """The jobs that a dry run shows."""
        done = self.run("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        job = r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?: .+\n)+)"
        return [
            Planned(rule, _told(text, "input"), _told(text, "output"))
            for rule, text in re.findall(job, done.stdout, re.MULTILINE)
        ]

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
            # What a shell starts in the background ignores Ctrl-C, and so would all that we start.
            "preexec_fn": partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        }


def _told(job: str, name: str) -> list[str]:
    found = re.search(rf"^    {name}: (.*)$", job, re.MULTILINE)
    return found[1].split(", ") if found else []


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
    """The tiny workflow after a run, in a folder with spaces and umlauts; not to be changed.

    It runs once, for whichever worker wants it first.
    """
    base = tmp_path_factory.getbasetemp()
    run = (base.parent if WORKER else base) / "run"
    folder, failure = run / "a földer with späces", run / "failure"
    run.mkdir(exist_ok=True)
    with (run / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not failure.exists():
            done = copy_workflow(folder).run()
            failure.write_text(done.stdout if done.returncode else "")
    said = failure.read_text()
    assert not said, said
    return Workflow(folder)


@pytest.fixture
def copied(finished: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the finished run, metadata included, to change at will."""
    written = shutil.ignore_patterns("__pycache__", "log")  # what other workers write meanwhile
    shutil.copytree(finished.folder, tmp_path / "copy", ignore=written)
    return Workflow(tmp_path / "copy")


@pytest.fixture
def fresh(tmp_path: Path) -> Workflow:
    """The workflow before its first run."""
    return copy_workflow(tmp_path / "fresh")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded sample, as the workflow fetches it."""
    import fetch_dataset  # torch, for those who learn

    path = tmp_path_factory.mktemp("data") / "dataset.safetensors"
    settings = json.dumps({"size": "sample", "folder": None})
    fetch_dataset.main(["--settings", settings, "--output", str(path)])
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, bool, bool]:
    """What a test leaves in its process is gone: figures, torch's threads and its precision."""
    torch = sys.modules.get("torch")
    switches = _switches(torch) if torch else ()
    before = [switch.fp32_precision for switch in switches]
    threads = torch.get_num_threads() if torch else 0
    done = yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    if torch:
        torch.set_num_threads(threads)
    for switch, precision in zip(switches, before, strict=True):
        if switch.fp32_precision != precision:  # else it follows a more general one
            switch.fp32_precision = precision
    return done


def _switches(torch: ModuleType) -> tuple[Any, ...]:
    """Where torch keeps the precision of products of float32, the general ones first."""
    cudnn = torch.backends.cudnn
    return torch.backends, torch.backends.cuda.matmul, cudnn, cudnn.conv, cudnn.rnn


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
