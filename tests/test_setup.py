"""The set-up: the lock, the environments derived from it, and what `make` says when it fails."""

import ast
import filecmp
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from importlib.metadata import packages_distributions
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "workflow" / "scripts"
RUNTIME, TEST, PEERS = "requirements.txt", "requirements-test.txt", "requirements-peers.txt"
LOCKS = [RUNTIME, TEST, PEERS]


def lock(name: str) -> list[tuple[Requirement, int]]:
    """The packages of a lock file, each with the number of its hashes."""
    text = (ROOT / "envs" / name).read_text()
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    return [
        (Requirement(entry.split("\\\n")[0]), entry.count("--hash=sha256:"))
        for entry in entries
        if entry.strip()
    ]


def versions(name: str) -> dict[str, str]:
    return {
        canonicalize_name(package.name): str(package.specifier).removeprefix("==")
        for package, _ in lock(name)
    }


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def environment(name: str) -> dict[str, str]:
    """The pip packages of a conda environment and their versions."""
    dependencies = yaml.safe_load((ROOT / "envs" / name).read_text())["dependencies"]
    [pins] = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    return dict(pin.split("==") for pin in pins)


# ---- the lock ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_one_version_and_hashes_per_package(name: str) -> None:
    entries = lock(name)
    names = [canonicalize_name(package.name) for package, _ in entries]
    assert len(names) == len(set(names)) > 20
    for package, hashes in entries:
        assert re.fullmatch(r"==[^*,]+", str(package.specifier)), package
        assert hashes, f"{package.name} has no hash"


@pytest.mark.parametrize(("one", "other"), list(combinations(LOCKS, 2)))
def test_locks_agree(one: str, other: str) -> None:
    ones, others = versions(one), versions(other)
    shared = ones.keys() & others.keys()
    assert shared
    assert {name: ones[name] for name in shared} == {name: others[name] for name in shared}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_every_direct_dependency_within_its_range(name: str) -> None:
    groups = pyproject()["dependency-groups"]
    wanted = {
        RUNTIME: pyproject()["project"]["dependencies"],
        TEST: groups["test"],
        PEERS: groups["peers"],
    }
    locked = versions(name)
    for requirement in map(Requirement, wanted[name]):
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, requirement


# ---- the conda environments ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torch.yaml", "report.yaml"])
def test_environment_is_in_step_with_the_lock(name: str) -> None:
    locked = versions(RUNTIME)
    pins = environment(name)
    assert pins == {package: locked.get(package) for package in pins}, "run `make lock`"


def test_the_list_for_torchs_cpu_build_is_the_lock_without_cuda() -> None:
    locked, rest = lock(RUNTIME), lock("requirements-cpu.txt")
    assert [entry for entry in locked if entry in rest] == rest, "run `make lock`"
    left = {package.name for package, _ in locked} - {package.name for package, _ in rest}
    assert {"torch", "torchvision", "triton"} <= left
    assert all(re.match(r"torch|triton|cuda-|nvidia-", name) for name in left), left
    assert "nvidia-ml-py" not in left, "the probe asks it for GPUs"


def test_lock_script_brings_an_environment_into_step(tmp_path: Path) -> None:
    envs = shutil.copytree(ROOT / "envs", tmp_path / "envs")
    stale = envs / "torch.yaml"
    current = stale.read_text()
    stale.write_text(re.sub(r"==.+", "==0.1", current))
    (envs / "requirements-cpu.txt").unlink()
    subprocess.run([sys.executable, envs / "lock.py"], check=True)
    assert stale.read_text() == current
    assert filecmp.cmp(envs / "requirements-cpu.txt", ROOT / "envs/requirements-cpu.txt", False)

    stale.write_text(current + "      - torhc==1.0\n")
    done = subprocess.run([sys.executable, envs / "lock.py"], capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.startswith("torhc is in envs/*.yaml but not in envs/requirements.txt")


def imported(path: Path, seen: set[Path]) -> set[str]:
    """The packages that a script needs to be imported at all, its own modules followed.

    Imports inside functions do not count: they are how a module does without a package.
    """
    seen.add(path)
    found = set()
    for statement in ast.parse(path.read_text()).body:
        match statement:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                inside = "assay" if level else ""
                source = ".".join(filter(None, (inside, module)))
                modules = [source, *(f"{source}.{alias.name}" for alias in names)]
            case _:
                continue
        for module in modules:
            own = SCRIPTS / Path(*module.split(".")).with_suffix(".py")
            if own.exists() and own not in seen:
                found |= imported(own, seen)
            found.add(module.split(".")[0])
    return found - {path.stem for path in SCRIPTS.iterdir()} - sys.stdlib_module_names


@pytest.mark.parametrize(
    ("name", "scripts"),
    [
        ("torch.yaml", ["measure_*.py"]),
        ("report.yaml", ["answer_*.py", "find_lost.py", "card.py", "page.py"]),
    ],
)
def test_environment_holds_what_its_scripts_import(name: str, scripts: list[str]) -> None:
    paths = [path for pattern in scripts for path in SCRIPTS.glob(pattern)]
    assert paths
    distributions = packages_distributions()
    available = environment(name).keys()
    for path in paths:
        needed = {
            canonicalize_name(distributions.get(module, [module])[0])
            for module in imported(path, set())
        }
        assert needed <= available, path.name


# ---- nothing of one machine or one index ---------------------------------------------------------


def test_set_up_names_no_index_and_no_machine() -> None:
    index = re.compile(r"https?://[^\s\"']*/(simple|packages|pool|whl)\b|index-url\s|find-links\s")
    folder = re.compile(r"(?<![\w.$})/])/(home|root|work|opt|Users)/")
    paths = [ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "config.yaml"]
    for tree in ("envs", ".ci", "profiles"):
        paths += [path for path in (ROOT / tree).rglob("*") if path.is_file()]
    for path in filter(Path.exists, paths):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not folder.search(line), f"{path.name}:{number}: {line}"
            # make lock has to name the options that keep the addresses out.
            assert not index.search(line.replace("--no-emit-", "")) or "--no-emit-" in line, (
                f"{path.name}:{number}: {line}"
            )


# ---- make ----------------------------------------------------------------------------------------

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the set-up reads, in a folder with a space in its name, with nothing installed yet."""
    folder = tmp_path / "my course"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "envs", folder / "envs")
    return folder


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # Under `make test` the flags and variables of that run would otherwise be passed on.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "PIP_", "PYTHON", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=kept | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def pretend(path: Path, change: str) -> Path:
    """A Python that runs what it is asked to, after a change to what it believes about itself."""
    prelude = f"import sys; {change}; exec(sys.argv.pop(1))"
    path.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = -c ] || exit 70\n'
        f'shift; exec {shlex.quote(sys.executable)} -c {shlex.quote(prelude)} "$@"\n'
    )
    path.chmod(0o755)
    return path


def assert_one_sentence(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert len(said) == 1, done.stderr
    assert re.fullmatch(sentence, said[0]), said[0]


@needs_make
def test_make_with_an_old_python(checkout: Path) -> None:
    old = pretend(checkout / "old python", "sys.version_info = (3, 10, 4, 'final', 0)")
    assert_one_sentence(
        make(checkout, f"PYTHON={old}"),
        r"torch-assay needs Python 3\.11 or newer \(.*old python is 3\.10\): "
        r"install one, or name it with make PYTHON=.*\.",
    )
    assert not (checkout / ".venv").exists()


@needs_make
def test_make_without_python(checkout: Path) -> None:
    assert_one_sentence(
        make(checkout, f"PYTHON={checkout / 'nothing'}"),
        r"torch-assay needs Python 3\.11 or newer \(none was found\): install one, .*",
    )


@needs_make
def test_make_passes_over_an_old_python3(checkout: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    pretend(programs / "python3", "sys.version_info = (3, 10, 4, 'final', 0)")
    pretend(programs / "python3.14", "sys.modules['venv'] = None")
    done = make(checkout, PATH=f"{programs}:{os.environ['PATH']}")
    assert_one_sentence(done, r"python3\.14 cannot create virtual environments: .*")


@needs_make
@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_make_without_the_venv_module(checkout: Path, module: str) -> None:
    bare = pretend(checkout / "bare", f"sys.modules['{module}'] = None")
    assert_one_sentence(
        make(checkout, f"PYTHON={bare}"),
        r".*bare cannot create virtual environments: install its venv module "
        r"\(Debian and Ubuntu: apt install python3\.\d+-venv\) and run make again\.",
    )
    assert not (checkout / ".venv").exists()


@needs_make
def test_make_without_a_network(checkout: Path) -> None:
    offline = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
        "no_proxy": "*",
    }
    sentence = (
        r"The package index could not be reached: check the network "
        r"\(or pip's index and proxy settings\) and run make again\."
    )
    for _ in range(2):  # The second run starts from what the first left behind.
        done = make(checkout, f"PYTHON={sys.executable}", **offline)
        assert_one_sentence(done, sentence)
        assert not (checkout / ".venv" / ".installed").exists()


@needs_make
def test_make_installs_only_what_the_lock_vouches_for(checkout: Path) -> None:
    wheel = checkout / "tiny-1.0-py3-none-any.whl"
    about = "tiny-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    stamp = ".venv/.installed"

    def install(digest: str, folder: Path = checkout) -> subprocess.CompletedProcess[str]:
        (folder / "envs" / RUNTIME).write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
        return make(
            folder,
            stamp,
            f"PYTHON={sys.executable}",
            PIP_CONFIG_FILE=os.devnull,
            PIP_NO_INDEX="1",
            PIP_FIND_LINKS=".",
        )

    refused = install("0" * 64)
    assert refused.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in refused.stderr
    assert "pip could not install the requirements: the reason is above" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (checkout / stamp).exists()

    accepted = install(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert accepted.returncode == 0, accepted.stderr
    subprocess.run([checkout / ".venv" / "bin" / "python", "-c", "import tiny"], check=True)
    assert "is up to date" in make(checkout, stamp).stdout

    renamed = checkout.rename(checkout.with_name("renamed"))
    again = install(hashlib.sha256((renamed / wheel.name).read_bytes()).hexdigest(), renamed)
    assert "This folder was renamed or copied: its environment is made anew." in again.stdout
    assert again.returncode == 0, again.stderr
    assert str(renamed) in (renamed / ".venv/bin/activate").read_text()
    assert "is up to date" in make(renamed, stamp).stdout


@needs_make
def test_make_installs_again_when_the_lock_changes(checkout: Path) -> None:
    stamps = [".venv/.installed", ".venv/.installed-test", ".venv/.installed-peers"]
    (checkout / ".venv").mkdir()
    for stamp in stamps:
        (checkout / stamp).touch()
    locks = {name: checkout / "envs" / name for name in LOCKS}

    def age(name: str, seconds: int) -> None:
        moment = (checkout / stamps[0]).stat().st_mtime + seconds
        os.utime(locks[name], (moment, moment))

    def stale() -> list[bool]:
        return [make(checkout, "--question", stamp).returncode == 1 for stamp in stamps]

    for name in LOCKS:
        age(name, -60)
    assert stale() == [False, False, False]
    age(TEST, 60)
    assert stale() == [False, True, False]
    age(PEERS, 60)
    assert stale() == [False, True, True]
    age(RUNTIME, 60)
    assert stale() == [True, True, True]


@needs_make
def test_make_starts_anew_in_a_folder_that_was_renamed(checkout: Path) -> None:
    stamp = checkout / ".venv/.installed"
    (checkout / ".venv/bin").mkdir(parents=True)
    stamp.write_text(f"{checkout}\n")
    assert make(checkout, "--question", ".venv/.installed").returncode == 0
    renamed = checkout.rename(checkout.with_name("a new name"))
    assert make(renamed, "--question", ".venv/.installed").returncode == 1
    assert make(renamed, "--question", ".venv/.installed-test").returncode == 1
    done = make(renamed, f"PYTHON={renamed / 'nothing'}")
    assert "This folder was renamed or copied: its environment is made anew." in done.stdout
    assert not (renamed / ".venv").exists()


@needs_make
def test_make_help_lists_every_target(checkout: Path) -> None:
    text = (checkout / "Makefile").read_text()
    [phony] = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    listed = re.findall(r"^make ([\w-]+)", make(checkout, "help").stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())


@needs_make
def test_make_bench_passes_arguments_to_one_benchmark_only(checkout: Path) -> None:
    done = make(checkout, "bench", "ARGS=--rounds 3")
    assert done.returncode != 0
    assert "ARGS is for one benchmark: make bench-instrument ARGS=" in done.stderr
    assert not (checkout / ".venv").exists()
