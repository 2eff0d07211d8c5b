"""Every measuring script on two simulated cards, and what the scripts make of faulty ones.

``make test-gpu-sim`` runs this; ``make test`` does not, as it takes minutes. It shows that the
scripts launch, wait, capture and fail as they should, not how fast anything is: the cards' kernels
compute nothing (``cuda.cpp``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import card
import pytest
from assay import record
from assay.record import Record, Status

SOURCES = Path(__file__).parent
ROOT = SOURCES.parents[1]
PRODUCT_S = 4e-6  # what cuda.cpp has a small product take
LEFT_OUT = {"resume"}  # divides by the norm of what a card computed, which is zero here
ENDINGS = {Status.OK, Status.REFUSED, Status.SKIPPED}  # wrong results are to be refused
# Of the checks of a real GPU, those that see something here, and none that a busy host fails.
CHECKS = ["card", "sm_clock", "compute_mode", "company", "current", "placement"]
CHECKS += ["out_of_idle", "many_kernels", "full_queue", "misalignment", "empty_graph", "bandwidth"]
TRUE = {"alignment", "contrast"}  # studies whose anchor is one small product


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables with which a program sees the simulated cards."""
    try:
        return card.build(tmp_path_factory.mktemp("built"))
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images that come with the project, as the measuring scripts read them."""
    path = tmp_path_factory.mktemp("data") / "dataset"
    command = [sys.executable, ROOT / "workflow/scripts/fetch_dataset.py", "--output", path]
    settings = '{"size": "sample", "folder": null}'
    subprocess.run([*command, "--settings", settings], check=True)
    return path


def measure(
    variables: Mapping[str, str], device: str, folder: Path, *studies: str
) -> dict[str, Record]:
    """The records of these studies, of all when none is named."""
    done = subprocess.run(
        [sys.executable, SOURCES / "measure.py", device, folder, *studies],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return {path.stem: record.read(path) for path in folder.glob("*.json")}


# ---- every measuring script ----------------------------------------------------------------------


@pytest.fixture(scope="session", params=["cuda", "cuda:1"])
def measured(
    request: pytest.FixtureRequest,
    built: dict[str, str],
    dataset: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Record]:
    """One cell of every study on a card."""
    folder = tmp_path_factory.mktemp("records")
    shutil.copy(dataset, folder / "dataset")
    return measure(built, request.param, folder)


def test_every_script_leaves_a_record_that_names_the_card(measured: dict[str, Record]) -> None:
    scripts = {path.stem[8:] for path in (ROOT / "workflow/scripts").glob("measure_*.py")}
    assert measured.keys() == scripts - LEFT_OUT
    for study, each in measured.items():
        assert each.status in ENDINGS, (study, each.reason)
        assert each.conditions.gpu, study
        assert str(each.conditions.gpu["name"]).startswith(record.SIMULATED), study
        assert "simulated" in each.conditions.environment["LD_PRELOAD"], study


@pytest.mark.parametrize("study", sorted(TRUE))
def test_a_small_product_takes_what_it_takes(measured: dict[str, Record], study: str) -> None:
    """However slowly a busy host launches it."""
    anchors = [anchor_s(trial.result) for trial in measured[study].trials if trial.result]
    assert min(anchors) == pytest.approx(PRODUCT_S, rel=0.2)


def test_a_card_counts_its_energy(measured: dict[str, Record]) -> None:
    """Of a product, and of steps of training; it draws 300 W whatever it does (nvml.c)."""
    for study, arm in (("alignment", "target"), ("precision_steps", "anchor")):
        seen = measured[study]
        assert seen.conditions.energy == {"source": "nvml"}
        result: Any = next(t.result for t in seen.trials if t.what.get("layout") is None)
        assert result["idle_w"] == pytest.approx(300, rel=0.1)
        call = result["arms"][arm]
        assert call["energy_low_j"] <= call["energy_j"] <= call["energy_high_j"], study


def anchor_s(result: Mapping[str, Any]) -> float:
    return float(result["arms"]["anchor"]["time_median_s"])


# ---- faults --------------------------------------------------------------------------------------


def faulty(built: dict[str, str], folder: Path, device: str = "cuda", **variables: str) -> Record:
    """An alignment cell on a card with a fault."""
    return measure(built | variables, device, folder, "alignment")["alignment"]


@pytest.mark.parametrize(
    ("device", "driver", "reason"),
    [
        ("cuda", "old", "may want a newer driver"),
        ("cuda", "none", "the NVIDIA driver shows none"),
        ("cuda:5", "", "needs GPU 5, but torch sees 2"),
    ],
)
def test_no_card(
    built: dict[str, str], tmp_path: Path, device: str, driver: str, reason: str
) -> None:
    seen = faulty(built, tmp_path, device, SIM_DRIVER=driver)
    assert seen.status == Status.UNAVAILABLE
    assert reason in str(seen.reason)


def test_a_part_of_a_card_tells_what_the_whole_does(built: dict[str, str], tmp_path: Path) -> None:
    """But for its energy, which is not its own."""
    seen = faulty(built, tmp_path, SIM_MIG="1")
    assert seen.status == Status.OK
    assert (seen.conditions.gpu or {})["sm_clock_hz"] == 1980e6
    assert str((seen.conditions.gpu or {})["name"]).endswith("MIG 1g.10gb")
    assert "MIG" in (seen.conditions.energy or {})["reason"]


def test_missing_functions_cost_their_values_only(built: dict[str, str], tmp_path: Path) -> None:
    missing = ("ClockInfo", "ProcessUtilization", "CurrentClocksEventReasons")
    names = ",".join(f"nvmlDeviceGet{each}" for each in missing)
    seen = faulty(built, tmp_path, SIM_MISSING=names)
    assert seen.status == Status.OK
    assert (seen.conditions.gpu or {})["sm_clock_hz"] is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"SIM_EVENTS": "0x20"}, "software thermal slowdown"),
        ({"SIM_PROCESSES": "self:60:c,4000001:30:c"}, "another process on the GPU"),
    ],
)
def test_what_spoils_a_round_voids_it(
    built: dict[str, str], tmp_path: Path, fault: dict[str, str], reason: str
) -> None:
    seen = faulty(built, tmp_path, **fault)
    assert {trial.status for trial in seen.trials} == {Status.CONTENDED}
    assert reason in str(seen.trials[0].samples["void"] + [seen.trials[0].reason])


def test_a_clock_that_falls_voids_its_rounds(built: dict[str, str], tmp_path: Path) -> None:
    """Of the first trial; the others begin with the clock that it fell to."""
    seen = faulty(built, tmp_path, SIM_SM_MHZ="1980,1980,1980,1980,600").trials[0]
    assert seen.status == Status.CONTENDED
    assert "SM clock" in str(seen.reason)
    capped = faulty(built, tmp_path, SIM_SM_MHZ="1980,1980,1980,1980,600", SIM_EVENTS="0x4")
    assert capped.status == Status.OK  # its power holds it down, as in any large product


def test_a_card_out_of_idle_is_timed_as_any(built: dict[str, str], tmp_path: Path) -> None:
    """A head start that is counted in its slow cycles is too short once it is at work."""
    seen = faulty(built, tmp_path, SIM_SM_MHZ=",".join(9 * ["345"] + ["1980"]))
    assert seen.status == Status.OK
    assert min(anchor_s(trial.result) for trial in seen.trials) == pytest.approx(PRODUCT_S, rel=0.2)


@pytest.mark.parametrize("fault", [{"SIM_MEMORY_MIB": "16"}, {"SIM_BLAS": "alloc"}])
def test_no_memory_is_a_status(
    built: dict[str, str], tmp_path: Path, fault: dict[str, str]
) -> None:
    """Torch's own, and cuBLAS's."""
    assert faulty(built, tmp_path, **fault).status == Status.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("error", "words"), [("700", "illegal memory access"), ("214", "uncorrectable ECC error")]
)
def test_a_card_that_is_lost_is_a_status(
    built: dict[str, str], tmp_path: Path, error: str, words: str
) -> None:
    """In the midst of the measuring."""
    seen = faulty(built, tmp_path, SIM_LOST=f"{error}:300")
    assert seen.status == Status.UNAVAILABLE
    assert str(seen.reason).startswith("the GPU failed, nothing was kept")
    assert words in str(seen.reason)


def test_no_graphs_cost_their_time_only(built: dict[str, str], tmp_path: Path) -> None:
    seen = faulty(built, tmp_path, SIM_GRAPHS="fail")
    assert seen.status == Status.OK
    assert all(trial.result["cuda_graph_s"] is None for trial in seen.trials)


# ---- the checks of a real GPU --------------------------------------------------------------------


def test_a_simulated_card_is_as_the_checks_of_a_real_one_expect(built: dict[str, str]) -> None:
    command = [sys.executable, ROOT / "tests/gpu/check.py", *CHECKS, "--configfile"]
    command += [ROOT / "tests/config.yaml", SOURCES / "config.yaml"]
    done = subprocess.run(command, env=os.environ | built, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("expected: ") == len(CHECKS)
    assert "a simulated card: nothing here tells anything of a GPU" in done.stdout
