"""The shell's variables: what is taken out, what is told, and what a job starts with."""

import getpass
import json
import os
import shutil
import statistics
import subprocess
import sys
from fnmatch import fnmatchcase

import pytest
from assay import device, environment, job, record, yardstick
from assay.answer import question
from builders import make_record
from conftest import ROOT, copy_workflow

SCRIPTS = ROOT / "workflow/scripts"
HARM = {
    "MKL_DEBUG_CPU_TYPE": "5",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F",
    "NVIDIA_TF32_OVERRIDE": "0",
    "OMP_PROC_BIND": "true",
    "OMP_THREAD_LIMIT": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Haswell",
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "TORCHINDUCTOR_MAX_AUTOTUNE": "1",
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "TRITON_INTERPRET": "1",
    "ATEN_CPU_CAPABILITY": "default",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "CUDA_LAUNCH_BLOCKING": "1",
    "GOMP_CPU_AFFINITY": "0",
    "KMP_AFFINITY": "compact",
}
NO_HARM = {
    "PATH": "/usr/bin",
    "HOME": "/nowhere",
    "CUDA_VISIBLE_DEVICES": "1",
    "CUDA_HOME": "/usr/local/cuda",
    "TORCHINDUCTOR_CACHE_DIR": "/scratch/cache",
    "MPLCONFIGDIR": "/tmp/m",
    "PYTHONPATH": "lib",
    "PYTHONUNBUFFERED": "1",
    "OPENBLAS_THREAD_TIMEOUT": "20",
}


def test_what_harms_is_taken_out_and_nothing_else():
    assert environment.known(HARM | NO_HARM) == NO_HARM


def test_every_pattern_has_a_reason_and_every_exception_something_to_except():
    assert all(environment.TAKEN_OUT.values())
    for pattern in environment.LEFT:
        name = pattern.replace("*_", "CUDA_").replace("*", "X")
        assert any(fnmatchcase(name, other) for other in environment.TAKEN_OUT), pattern


def test_the_method_names_every_pattern():
    method = (ROOT / "docs/method.md").read_text()
    for name in [*environment.TAKEN_OUT, *environment.TOLD]:
        assert f"`{name}`" in method, name


@pytest.mark.parametrize(
    ("count", "stays"), [("2", True), ("8", True), ("1", False), ("2,1", False)]
)
def test_numbers_of_threads_stay_unless_they_hold_the_job_back(count, stays):
    assert (
        "OPENBLAS_NUM_THREADS" in environment.known({"OPENBLAS_NUM_THREADS": count}, 2)
    ) == stays


def test_what_is_told_names_no_folder():
    told = environment.told(
        {"LD_PRELOAD": "/home/me/lib/libjemalloc.so.2:/x/b.so", "CXX": "", "HOME": "/home/me"}
    )
    assert told == {"LD_PRELOAD": "libjemalloc.so.2:b.so"}


def test_what_is_told_can_be_written_whatever_bytes_the_shell_has():
    variables = {"LD_LIBRARY_PATH": os.fsdecode("/opt/caf\xe9".encode("latin-1"))}
    assert json.dumps(environment.told(variables), ensure_ascii=False).encode() == (
        b'{"LD_LIBRARY_PATH": "caf?"}'
    )


def started(variables, program, *arguments):
    """What a program prints that is started by hand in a shell with these variables."""
    done = subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)} | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_program_starts_again_without_what_harms_and_with_all_its_cores():
    code = (
        "import os, torch; from assay import device, environment; environment.start_again(2);"
        "print(device.usable_cores(), sorted(environment.known(os.environ)) == sorted(os.environ))"
    )
    # Warnings that are errors stop NumPy before us; cores that are named are meant.
    harm = {k: v for k, v in HARM.items() if k not in ("PYTHONWARNINGS", "GOMP_CPU_AFFINITY")}
    lines = started(harm, ["-c", code]).splitlines()
    assert lines[0].startswith("Started again without ATEN_CPU_CAPABILITY, ")
    assert lines[-1] == f"{device.usable_cores()} True"


def test_a_script_run_by_hand_measures_in_a_known_environment(tmp_path):
    path = tmp_path / "parameters.json"
    settings = json.dumps(job._configured("hardware") | {"cap_s": 0.1})
    harm = {"OMP_PROC_BIND": "true", "OPENBLAS_NUM_THREADS": "1", "CXX": "/usr/bin/c++"}
    script = SCRIPTS / "measure_hardware.py"
    said = started(harm, [script], "--settings", settings, "--output", path)
    assert "OMP_PROC_BIND, OPENBLAS_NUM_THREADS" in said
    conditions = record.read(path).conditions
    assert conditions.threads_used == device.usable_cores()
    assert conditions.environment == {"PYTHONPATH": "scripts", "CXX": "c++"}


def test_a_figure_is_drawn_whatever_backend_a_notebook_left():
    code = "from assay.answer import figure; print(len(figure.svg(figure.nothing('x'), 'x')))"
    assert int(started({"MPLBACKEND": HARM["MPLBACKEND"]}, ["-c", code])) > 100


@pytest.mark.workflow
def test_jobs_of_the_workflow_start_in_a_known_environment(fresh, monkeypatch):
    for name, value in {"OMP_PROC_BIND": "true", "LD_LIBRARY_PATH": "/nowhere/lib"}.items():
        monkeypatch.setenv(name, value)
    path = "results/records/hardware/device-cpu.json"
    done = fresh.run("--cores", "all", path)
    assert done.returncode == 0, done.stdout
    assert "OMP_PROC_BIND" in done.stdout.partition("Jobs start without ")[2].partition("\n")[0]
    conditions = record.read(fresh.folder / path).conditions
    assert conditions.threads_asked == conditions.threads_used == device.usable_cores()
    assert conditions.environment == {"LD_LIBRARY_PATH": "lib"}
    log = fresh.folder / "results/logs/hardware/device-cpu.log"
    assert "Started again" not in log.read_text()


@pytest.mark.workflow
def test_a_path_without_the_environment_is_said_once(fresh, tmp_path):
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\nexit 1\n")  # as one that lacks torch
    other.chmod(0o755)
    options = fresh.options()
    options["env"] = options["env"] | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile"]
    done = subprocess.run([*command, "tests/config.yaml"], timeout=120, **options)
    assert done.returncode != 0
    assert done.stdout.count("activate the environment") == 1
    assert "command not found" not in done.stdout
    assert not (fresh.folder / "results/records").exists()


@pytest.mark.workflow
def test_another_snakemake_than_the_environments_is_told_what_it_lacks(
    fresh, tmp_path, monkeypatch
):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pynvml'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = fresh.run("--dry-run")
    assert done.returncode != 0
    assert "has no nvidia-ml-py" in done.stdout
    assert "activate the environment" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.workflow
def test_a_folder_with_braces_is_refused_in_one_sentence(tmp_path):
    done = copy_workflow(tmp_path / "a{b}").run("--dry-run")
    assert done.returncode != 0
    assert "a{b}: rename it, Snakemake cannot work in a path with braces." in done.stdout
    assert "Traceback" not in done.stdout


# ---- what the page says --------------------------------------------------------------------------


def under(**changes):
    seen = make_record("x", {"device": "cpu"}, [])
    conditions = seen.conditions.model_copy(update=changes)
    return seen.model_copy(update={"conditions": conditions})


def noticed(**changes):
    return question.notices([under(**changes)])


def test_the_page_tells_what_was_measured_with():
    assert noticed() == []
    [said] = noticed(environment={"LD_PRELOAD": "libjemalloc.so.2"})
    assert said.startswith("Measured with LD_PRELOAD=libjemalloc.so.2")


def test_the_page_tells_that_a_card_does_not_exist():
    [said] = noticed(gpu={"name": "Simulated H100"})
    assert said.startswith("Simulated H100 is no GPU: these figures test the program")
    assert noticed(gpu={"name": "NVIDIA H100"}) == []


def test_the_page_tells_of_threads_that_were_not_there():
    [fewer] = noticed(threads_asked=64, threads_used=2)
    assert fewer == "Some jobs were given 64 threads and could use 2."
    [idle] = noticed(threads_at_work=1.02)
    assert idle == "Jobs had 2 threads, and by CPU time 1.0 of them computed."
    assert noticed(threads_at_work=1.9) == []


def test_one_burst_says_nothing_of_the_threads():
    burst, bound = ([under(threads_at_work=n) for n in each] for each in [(2, 1, 2), (1, 1, 2)])
    assert not [*question.idle_threads(burst)]
    assert len([*question.idle_threads(bound)]) == 1


@pytest.mark.skipif(device.usable_cores() < 2, reason="needs two cores")
def test_threads_at_work_are_seen_by_their_cpu_time():
    def usual():  # tests beside this one take the cores from single readings
        return statistics.median(job.threads_at_work(2) for _ in range(9))

    before = device.use_threads(None)
    try:
        device.use_threads(2)
        both = usual()
        device.use_threads(1)
        one = usual()
        assert one == pytest.approx(1, abs=0.4)
        assert both > 1.2 * one
        assert job.threads_at_work(1) is None
    finally:
        device.use_threads(before)


@pytest.mark.parametrize(
    ("threads", "usable", "alone"), [(4, 4, True), (2, 4, True), (1, 4, False), (1, 1, True)]
)
def test_a_job_of_several_threads_has_the_cores(monkeypatch, threads, usable, alone):
    """With --cores 2 of four a timing takes two; nothing else of ours is on the others."""
    monkeypatch.setattr(device, "usable_cores", lambda: usable)
    assert job.has_the_cores(threads) is alone


def test_the_yardstick_tells_seconds():
    seen = yardstick.read()
    assert {*seen} == {"product_s", "copy_s"}
    assert all(0 < seconds < 10 for seconds in seen.values())


def test_a_user_whom_the_system_does_not_know_gets_a_name(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr(os, "environ", {})
    environment.name_user()
    assert getpass.getuser() == "somebody"


# ---- the checkout --------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="gives a folder away (root)")
def test_the_commit_of_a_clone_that_belongs_to_somebody_else(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(path, 12345, 12345)
    monkeypatch.setattr(job, "ROOT", tmp_path)
    seen = job._commit()
    assert len(seen["commit"]) == 40
    assert seen["dirty"] is False


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_the_commit_where_git_is_missing(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    monkeypatch.setattr(job, "ROOT", tmp_path)
    known = job._commit()["commit"]
    ways = [["pack-refs", "--all"], ["checkout", "-q", "--detach"]]
    commits = []
    for way in [["status"], *ways]:  # a branch, a packed one, none
        subprocess.run([*git, *way], check=True, capture_output=True)
        with monkeypatch.context() as without:
            without.setenv("PATH", "")
            commits.append(job._commit())
    assert commits == [{"commit": known, "dirty": None}] * 3
    assert job._head(tmp_path / "nothing") is None
