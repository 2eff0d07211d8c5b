"""The rooms of the library: floors, doors, and who may enter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "workflow/scripts"
FLOORS = {
    "": 0,
    "timing": 1,
    "probe": 1,
    "learning": 1,
    "modules": 1,
    "ladder": 2,
    "published": 2,
    "answer": 3,
}
MODULES = sorted((SCRIPTS / "assay").rglob("*.py"))
MEASURING = sorted([*SCRIPTS.glob("measure_*.py"), SCRIPTS / "fetch_dataset.py"])
READS_RECORDS = {"items", "working_sets"}  # of the probe: what answers may use
SLOW = {"pandas", "scipy", "seaborn", "matplotlib", "statsmodels", "jinja2"}


def statements(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import of a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def module_of(path: Path) -> str:
    """``assay/timing/trial.py`` is ``timing.trial``."""
    return ".".join(path.relative_to(SCRIPTS / "assay").with_suffix("").parts)


def imported(path: Path) -> set[str]:
    """The modules of the library that a file imports, by the names of :func:`module_of`."""
    found = set()
    for node in statements(path):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("assay"):
            place = SCRIPTS / node.module.replace(".", "/")
            inside = node.module.removeprefix("assay").removeprefix(".")
            names = [alias.name for alias in node.names] if place.is_dir() else [""]
            found |= {".".join(filter(None, (inside, name))) for name in names}
    return found


def floor(module: str) -> int:
    return FLOORS[module.rpartition(".")[0]]


def test_every_room_is_on_a_floor_and_says_what_it_knows() -> None:
    doors = sorted((SCRIPTS / "assay").rglob("__init__.py"))
    assert {door.parent.name.replace("assay", "") for door in doors} == set(FLOORS)
    for door in doors:
        body = ast.parse(door.read_text()).body
        assert len(body) == 1, f"{door} holds more than its sign"
        assert len(ast.literal_eval(body[0].value).strip().splitlines()) >= 3, door  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_imports_point_downward(path: Path) -> None:
    own = module_of(path).removesuffix("__init__")
    for other in imported(path):
        assert floor(other) <= floor(own), f"{own} imports {other} from a floor above"
        same = own.rpartition(".")[0] == other.rpartition(".")[0]
        assert same or floor(other) < floor(own), f"{own} imports {other} from the room beside it"


def test_no_circle() -> None:
    list(TopologicalSorter({module_of(path): imported(path) for path in MODULES}).static_order())


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS.glob("*.py")], ids=lambda path: path.name)
def test_the_workflow_can_follow_every_import(path: Path) -> None:
    """Its derived inputs see ``from assay… import …`` alone (common.smk)."""
    for node in statements(path):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
        else:
            assert not any(alias.name.split(".")[0] == "assay" for alias in node.names), "a dotted"
    for module in imported(path):
        assert (SCRIPTS / "assay" / module.replace(".", "/")).with_suffix(".py").exists(), module


@pytest.mark.parametrize("path", MEASURING, ids=lambda path: path.name)
def test_a_measuring_script_neither_judges_nor_waits_for_what_judging_needs(path: Path) -> None:
    seen: set[str] = set()
    files = [path]
    while files:
        file = files.pop()
        packages = {
            node.module if isinstance(node, ast.ImportFrom) else alias.name
            for node in ast.parse(file.read_text()).body  # those inside functions wait for nobody
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        packages = {(package or "").split(".")[0] for package in packages}
        assert not packages & SLOW, f"{file.name} imports {packages & SLOW}"
        new = imported(file) - seen
        assert not any(module.startswith("answer") for module in new), file.name
        seen |= new
        files += [(SCRIPTS / "assay" / m.replace(".", "/")).with_suffix(".py") for m in new]


@pytest.mark.parametrize(
    "path",
    sorted([*SCRIPTS.glob("answer_*.py"), *(SCRIPTS / "assay/answer").glob("*.py")]),
    ids=lambda path: path.name,
)
def test_an_answer_looks_at_records_and_not_at_the_machine(path: Path) -> None:
    probing = {m.removeprefix("probe.") for m in imported(path) if m.startswith("probe.")}
    assert probing <= READS_RECORDS


# What torch does without being told a device is done on the current one, which may be another.
DEVICELESS = {
    "torch.cuda": {"is_available", "device_count", "get_sync_debug_mode", "set_sync_debug_mode"},
    "torch.accelerator": {"is_available", "device_count", "current_accelerator"},
}
NAMES_IT = {"set_device_index"}  # of torch.accelerator
ASKS_FOR_IT = {
    "get_device_properties",
    "get_rng_state",
    "max_memory_allocated",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "set_rng_state",
    "synchronize",
}


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS.glob("*.py")], ids=lambda path: path.name)
def test_nothing_is_done_on_whatever_cuda_device_is_current(path: Path) -> None:
    if path == SCRIPTS / "assay/timing/cuda.py":  # the one place
        return
    tree = ast.parse(path.read_text())
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
        module, _, name = ast.unparse(node.func).rpartition(".")
        if module in DEVICELESS and name not in DEVICELESS[module]:
            assert name in ASKS_FOR_IT | NAMES_IT, f"{path.name}: {module}.{name} names no device"
            given = len(node.args) + len(node.keywords)
            assert given >= 1 + (name == "set_rng_state"), f"{path.name}: {module}.{name}()"
