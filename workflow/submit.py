"""Check a finished run, and make a reference set of it that can be offered in a pull request.

    python workflow/submit.py results --label epyc-7763-2-cores

What is in the set, and what is not: docs/references.md. Nothing is written but the set's own
folder, and that only if every check passes.
"""

from __future__ import annotations

import argparse
import getpass
import ipaddress
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from assay import grid, record  # noqa: E402
from assay.probe import items  # noqa: E402
from assay.record import SIMULATED, Record, Status  # noqa: E402

# The questions that say much about a machine; learning curves say little.
QUESTIONS = ("hardware", "bandwidth", "alignment", "crossover", "norm_log", "two_devices")
STATED = {"cpu_memory_bus", "earlier_gpus"}  # settings that tell of the machine, and may differ
MOST_LOST = 0.02  # share of the trials that other programs may have spoilt
LABEL = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
NOBODY = {"root", "user", "admin", "ubuntu", "debian", "nobody", "localhost"}  # names of no person
SHORTEST = 3  # letters of a name that is looked for
ADDRESS = re.compile(r"[0-9a-fA-F]*[.:][0-9a-fA-F.:]{5,}")
PATTERNS = {
    "a home folder": re.compile(r"(?:/home/|/Users/|\\Users\\)\w", re.IGNORECASE),
    "an e-mail address": re.compile(r"\w@\w+\.\w"),
    "a network card's address": re.compile(r"\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b", re.IGNORECASE),
}

Records = Mapping[Path, Record]  # by where they lie below the folder of the run's records


class Check(NamedTuple):
    """Something that must be true of a reference set."""

    name: str
    faults: Callable[[Records], Iterator[str]]
    remedy: str


def studies(config: Mapping[str, Any]) -> list[str]:
    """The studies whose records make a set."""
    named = (study for name in QUESTIONS for study in config["questions"][name]["studies"])
    return list(dict.fromkeys(named))


def defaults() -> dict[str, Any]:
    """The default preset."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return found


def read(folder: Path) -> dict[Path, Record]:
    """The records of the set's studies, but for cells that the default preset has not.

    Raises:
        record.RecordError: One is no record that this version reads; the message names it.
    """
    config, found = defaults(), {}
    for study in studies(config):
        axes = {k: {*map(str, v)} for k, v in config["studies"][study]["axes"].items()}
        axes.pop("occasion", None)  # a cell that was measured once more has another
        for path in map(Path, grid.beside(folder, study)):
            each = record.read(path)
            if all(str(each.axes.get(name)) in values for name, values in axes.items()):
                found[path.relative_to(folder)] = each
    return found


# ---- the checks ----------------------------------------------------------------------------------


def not_default(found: Records) -> Iterator[str]:
    """Settings that are not those of config.yaml, and cells of it that are not there."""
    config = defaults()
    for path, each in found.items():
        shared = {key: config[key] for key in ("seed", "protocol") if key in each.settings}
        asked = shared | config["studies"][each.study]["settings"]
        for key in sorted((asked.keys() | each.settings.keys()) - STATED):
            if asked.get(key) != each.settings.get(key):
                yield f"{path}: the setting {key} is not that of config.yaml"
    devices = dict.fromkeys(each.axes["device"] for each in found.values())
    seen = {_cell(each.study, each.axes) for each in found.values()}
    for study in studies(config):
        axes = {"device": devices, **config["studies"][study]["axes"]}
        for values in product(*axes.values()):
            cell = dict(zip(axes, values, strict=True))
            if _cell(study, cell) not in seen:
                told = ", ".join(f"{name} {value}" for name, value in cell.items())
                yield f"{study}: {told} is not there"


def _cell(study: str, axes: Mapping[str, Any]) -> tuple[str, str]:
    return study, repr(sorted((name, str(value)) for name, value in axes.items()))


def not_one_commit(found: Records) -> Iterator[str]:
    """More commits than one, none, or local changes."""
    commits = {each.provenance.commit for each in found.values()}
    if len(commits) > 1 or None in commits:
        named = (commit[:8] if commit else "no commit" for commit in commits)
        yield f"measured by {', '.join(sorted(named))}"
    for path, each in found.items():
        if each.provenance.commit and each.provenance.dirty is not False:
            yield f"{path}: measured with local changes, or git could not tell"


def not_one_machine(found: Records) -> Iterator[str]:
    """Records of several machines, or of a card that does not exist."""
    machines = {each.provenance.machine_id for each in found.values()}
    if len(machines) > 1:
        yield f"measured on {len(machines)} machines ({', '.join(sorted(machines))})"
    for path, each in found.items():
        if str((each.conditions.gpu or {}).get("name")).startswith(SIMULATED):
            yield f"{path}: measured on a simulated card"


def not_quiet(found: Records) -> Iterator[str]:
    """Too much that other programs spoilt, or variables of the shell that change numbers.

    What another occasion measured is not lost.
    """
    measured: dict[tuple[Any, ...], bool] = {}
    for path, each in found.items():
        axes = {name: value for name, value in each.axes.items() if name != "occasion"}
        ended = [(trial.what, trial.status) for trial in each.trials] or [({}, each.status)]
        for what, status in ended:
            cell = (*_cell(each.study, axes), repr(what))
            measured[cell] = measured.get(cell, False) or status != Status.CONTENDED
        if each.conditions.environment:
            yield f"{path}: measured with {', '.join(each.conditions.environment)} in the shell"
    lost = len(measured) - sum(measured.values())
    if lost > MOST_LOST * len(measured):
        yield f"{lost} of {len(measured)} measurements were disturbed by other programs"


def personal(found: Records) -> Iterator[str]:
    """Names, folders and addresses, with the key under which they stand."""
    patterns = [*((what, _whole(name)) for name, what in own_names().items()), *PATTERNS.items()]
    for path, each in found.items():
        for key, text in _texts(each.model_dump(mode="json")):
            for what, pattern in patterns:
                if pattern.search(text):
                    yield f"{path}: {key} holds {what}: {text!r}"
            if ".versions." not in key and any(map(_is_address, ADDRESS.findall(text))):
                yield f"{path}: {key} holds a network address: {text!r}"


def own_names() -> dict[str, str]:
    """What this machine and its user are called, as far as that tells who they are."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = ""
    host = platform.node()
    names = {
        str(ROOT): "the folder of this checkout",
        str(Path.home()): "the home folder",
        host.split(".")[0]: "the host's name",
        host: "the host's name",
        user: "the user's name",
    }
    return {k: v for k, v in names.items() if len(k) >= SHORTEST and k not in NOBODY}


def _whole(name: str) -> re.Pattern[str]:
    """A name that is no part of a longer word."""
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])")


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text within a record, and every name of a key, with where it stands."""
    if isinstance(value, dict):
        for name, inner in value.items():
            where = f"{key}.{name}".removeprefix(".")
            yield where, name
            yield from _texts(inner, where)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _texts(inner, f"{key}[{i}]")
    elif isinstance(value, str):
        yield key, value


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("."))
    except ValueError:
        return False
    return True


CHECKS = (
    Check(
        "default preset",
        not_default,
        "run config.yaml as it stands, and let it finish: snakemake --cores all --resources gpu=1",
    ),
    Check(
        "one commit",
        not_one_commit,
        "measure all of it with one commit of a clean git checkout (git status shows what differs)",
    ),
    Check("one machine", not_one_machine, "leave out what another machine measured"),
    Check(
        "quiet machine", not_quiet, "close what runs beside it, and measure that again: make again"
    ),
    Check(
        "no personal detail",
        personal,
        "tell us in an issue which key it is (not what it holds): a record should hold none",
    ),
)


def refused(found: Records) -> list[str]:
    """A sentence for each check that fails: its first fault, and what to do."""
    said = []
    for check in CHECKS:
        first, *more = [*check.faults(found)] or [""]
        if first:
            others = f" (and {len(more)} more)" if more else ""
            said.append(f"{check.name}: {first}{others}.\n  To do: {check.remedy}.")
    return said


# ---- the set -------------------------------------------------------------------------------------


def submit(results: Path, label: str, references: Path) -> tuple[Path, dict[Path, Record]]:
    """Check a run and copy its records into a new folder of that label; returns both.

    Raises:
        SystemExit: A check fails, or the folder is there; it says which, and what to do.
    """
    if not LABEL.fullmatch(label):
        raise SystemExit(f"{label}: a label has small letters, digits and hyphens only.")
    target = references / label
    if target.exists():
        raise SystemExit(f"{target} is there: choose another --label, or delete it.")
    try:
        folder = grid.of_run(results)
        found = read(folder)
    except (FileNotFoundError, record.RecordError) as error:
        raise SystemExit(f"schema: {error}") from error
    if not found:
        raise SystemExit(f"{folder}: no records of {', '.join(QUESTIONS)}. Run config.yaml first.")
    if said := refused(found):
        raise SystemExit("Not yet a reference set.\n" + "\n".join(said))
    for path in found:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, target / path)
    return target, found


def main(argv: Sequence[str] | None = None) -> None:
    """Make the set and say what to do with it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    add = parser.add_argument
    add("results", type=Path, nargs="?", default=Path("results"), help="a finished run")
    add("--label", required=True, help="what the machine is called here: epyc-7763-2-cores")
    add("--references", type=Path, default=ROOT / "resources/references", help="folder of all sets")
    arguments = parser.parse_args(argv)
    target, found = submit(arguments.results, arguments.label, arguments.references)
    probed = [each for each in found.values() if each.study == "hardware"]
    names = [items.cpu_name(each) for each in items.of_cpu(probed)[:1]]
    names += [items.gpu_name(each) for each in items.of_gpus(probed) if each.trials]
    day = min(each.provenance.started for each in found.values())[:10]
    print(f"{target}: {len(found)} records passed {len(CHECKS) + 1} checks. Then:")
    print("1. Add this line to resources/references/README.md:")
    print(f"   | `{arguments.label}` | {'; '.join(names)} | {day} |")
    print("2. Commit both and open a pull request.")


if __name__ == "__main__":
    main()
