"""The wiring, by real Snakemake on the tiny workflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
import yaml
from assay import device, grid, record
from conftest import PARTS, ROOT, Planned, Workflow, copy_workflow, plan
from snakemake.utils import update_config

pytestmark = pytest.mark.workflow
QUESTIONS = len(yaml.safe_load((ROOT / "config.yaml").read_text())["ask"])


def measured(workflow: Workflow) -> dict[Path, int]:
    """Every record with its time of change."""
    return {p: p.stat().st_mtime_ns for p in (workflow.folder / "results/records").rglob("*.json")}


def ask(workflow: Workflow, *questions: str, **blocks: object) -> None:
    """Ask less than the tiny configuration does, with other blocks of it."""
    tiny = yaml.safe_load((ROOT / "tests/config.yaml").read_text())
    changed = tiny | {"ask": [*questions]} | blocks
    (workflow.folder / "tests/config.yaml").write_text(yaml.safe_dump(changed))


def other_config(workflow: Workflow, **alignment: object) -> str:
    """A configuration file that changes the axes or settings of the tiny alignment study."""
    tiny = yaml.safe_load((ROOT / "tests/config.yaml").read_text())
    for block in ("axes", "settings"):
        changes = alignment.get(block, {})
        assert isinstance(changes, dict)
        tiny["studies"]["alignment"][block] |= changes
    (workflow.folder / "tests/config.yaml").write_text(yaml.safe_dump(tiny))
    return "tests/config.yaml"


# ---- a whole run ---------------------------------------------------------------------------------


def test_a_run_leaves_records_tables_figures_answers_and_the_page(finished):
    results = finished.folder / "results"
    page = (results / "report.html").read_text(encoding="utf-8")
    for question in yaml.safe_load((ROOT / "config.yaml").read_text())["ask"]:
        answer = json.loads((results / f"answers/{question}.json").read_text())
        assert answer["sentence"]
        assert (results / f"tables/{question}.csv").stat().st_size > 0
        assert "<svg" in (results / f"figures/{question}.svg").read_text()
        assert f'id="{question}"' in page
    assert len(page) < 5e6


def test_records_stand_under_their_axes_and_say_what_made_them(finished):
    folder = finished.folder / "results/records/alignment/device-cpu"
    paths = [folder / f"n-{n}/occasion-1.json" for n in (48, 63, 64, 65, 80)]
    for path in paths:
        seen = record.read(path)
        assert path == folder / f"n-{seen.axes['n']}/occasion-{seen.axes['occasion']}.json"
        assert seen.settings["seed"] == 1
        assert seen.conditions.threads_used >= 1
        assert seen.provenance.versions["torch"]
        assert len(seen.provenance.machine_id) >= 12


def test_nothing_but_results_is_written(finished):
    known = {part.split("/")[0] for part in os.listdir(finished.folder)}
    assert known <= {*(part.split("/")[0] for part in PARTS), "results", ".snakemake"}


def test_logs_lie_with_the_results(finished):
    assert (finished.folder / "results/logs/alignment/device-cpu/n-64/occasion-1.log").exists()


def test_a_run_names_of_a_job_no_library_and_few_files(finished):
    log = min((finished.folder / ".snakemake/log").glob("*.log")).read_text(encoding="utf-8")
    inputs = re.findall(r"^    input: (.*)$", log, re.MULTILINE)
    assert "workflow/scripts/measure_placement.py" in "".join(inputs)
    assert "/assay/" not in "".join(inputs)
    assert max(each.count(", ") for each in inputs) <= 4


# ---- what runs again, and what does not ----------------------------------------------------------


def test_a_second_run_has_nothing_to_do(finished):
    assert finished.planned() == {}


def test_touching_a_script_runs_nothing(copied):
    for script in (copied.folder / "workflow/scripts").rglob("*.py"):
        os.utime(script)
    assert copied.planned() == {}


@pytest.fixture(scope="module")
def every_job(finished: Workflow) -> list[Planned]:
    """All jobs with what they depend on; Snakemake runs those of which something was edited."""
    return finished.jobs("--forceall")


def reading(jobs: list[Planned], path: str) -> Counter[str]:
    """How many jobs of each rule depend on a file."""
    return Counter(job.rule for job in jobs if path in job.input)


def test_editing_an_answer_runs_that_answer_and_the_page(copied):
    copied.edit("workflow/scripts/answer_alignment.py", lambda text: text + "\n# edited\n")
    assert copied.planned() == {"answer": 1, "page": 1, "all": 1, "total": 3}


def test_editing_a_module_runs_what_depends_on_it(copied, every_job):
    kernel = "workflow/scripts/assay/timing/kernel.py"
    copied.edit(kernel, lambda text: text + "\n# edited\n")
    planned = copied.planned()
    assert {rule: n for rule, n in planned.items() if rule.startswith("measure")} == reading(
        every_job, kernel
    )


@pytest.mark.parametrize(
    ("path", "rules"),
    [
        ("resources/snippets/alignment.py", {"answer": 1}),
        ("workflow/report/page.css", {"page": 1}),
        ("workflow/report/page.js", {"page": 1}),
        ("workflow/scripts/assay/answer/figure.py", {"answer": QUESTIONS, "card": 1, "page": 1}),
        ("workflow/scripts/assay/record.py", {}),  # guarded by its format number
    ],
)
def test_only_so_many_jobs_depend_on_a_file(every_job, path, rules):
    assert reading(every_job, path) == rules


def test_a_job_depends_on_the_modules_that_its_script_imports(every_job, finished):
    """As Python's own finder of modules sees them, whatever the rules derive."""
    used = {}
    for job in (job for job in every_job if job.rule != "all"):
        ours = {path for path in job.input if path.startswith("workflow/scripts/")}
        library = {path for path in ours if path.startswith("workflow/scripts/assay/")}
        (script,) = ours - library
        used[script] = library
    assert len(used) > QUESTIONS
    for script, library in used.items():
        assert library == imported(finished, script) - {"workflow/scripts/assay/record.py"}, script


def imported(workflow: Workflow, script: str) -> set[str]:
    """The modules of the library that a script imports, directly or not."""
    path = workflow.folder / script
    finder = ModuleFinder([str(path.parent)])
    finder.run_script(str(path))
    files = [Path(module.__file__) for module in finder.modules.values() if module.__file__]
    names = {file.relative_to(workflow.folder).as_posix() for file in files}
    return {name for name in names if "/assay/" in name and not name.endswith("__init__.py")}


def test_what_was_deleted_is_made_again_and_nothing_else_measured(copied):
    """As the messages about spoilt files advise."""
    records = {
        "results/records/alignment/device-cpu/n-64/occasion-1.json",
        "results/records/hardware/device-cpu.json",
    }
    for path in {*records, ANSWER}:
        (copied.folder / path).unlink()
    jobs = copied.jobs()
    assert {path for job in jobs for path in job.output if "/records/" in path} == records
    assert ANSWER in {path for job in jobs for path in job.output}


def test_adding_a_size_runs_that_size_and_the_answers_that_read_it(copied):
    other_config(copied, axes={"n": [48, 63, 64, 65, 66, 80]})
    assert copied.planned() == {
        "measure_alignment": 1, "find_lost": 4, "answer": 4, "card": 1, "page": 1, "all": 1,
        "total": 12,
    }  # fmt: skip


def test_changing_a_setting_runs_its_study(copied):
    other_config(copied, settings={"dtypes": ["float64"]})
    planned = copied.planned()
    assert planned["measure_alignment"] == 5
    assert "measure_hardware" not in planned


def accept(workflow: Workflow, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "workflow/accept.py", *arguments]
    return subprocess.run(command, **workflow.options())


def test_only_what_the_last_configuration_made_is_accepted(copied):
    """A quick run is no default run, whatever is touched."""
    other_config(copied, axes={"n": [48, 63, 64, 65, 66, 80]}, settings={"cap_s": 3})
    before = copied.planned()
    done = accept(copied)
    assert done.returncode != 0
    assert "1 records are not there (results/records/alignment/device-cpu/n-66/" in done.stdout
    assert "5 were made with other parameters" in done.stdout
    assert "cap_s 2, now 3 (5 ×)" in done.stdout
    assert copied.planned() == before


@pytest.mark.skipif(device.usable_cores() < 2, reason="wants two cores")
def test_records_of_one_thread_and_of_two_are_not_mixed(copied):
    """Timings are measured again with other cores, trainings (which take one) are not."""
    assert copied.planned() == {}
    planned = copied.planned("--cores", "1")
    assert planned["measure_alignment"] == 5
    assert planned["measure_reproduction"] == 1
    assert "measure_activation" not in planned
    assert copied.planned("--cores", "99") == {}


def test_a_change_of_the_protocol_is_none_to_what_is_not_timed(copied):
    copied.edit("tests/config.yaml", lambda text: text.replace("rounds_most: 8", "rounds_most: 9"))
    planned = copied.planned()
    assert planned["measure_alignment"] == 5
    trained = {"measure_activation", "measure_placement", "measure_perceptron", "measure_precision"}
    assert not trained & planned.keys()


def test_changing_the_spread_between_occasions_answers_again_and_measures_nothing(copied):
    copied.edit("config.yaml", lambda text: text.replace("{ratio: 0.0", "{ratio: 0.1"))
    planned = copied.planned()
    assert planned["answer"] > 5
    assert not [rule for rule in planned if rule.startswith("measure")]


# ---- occasions, and cells that were lost ---------------------------------------------------------

NORM_LOG = "results/records/norm_log/device-cpu/occasion-{}.json"
ANSWER = "results/answers/norm_log.json"


def test_first_occasions_come_before_second_ones(fresh):
    text = (ROOT / "tests/config.yaml").read_text().replace("occasion: [1]", "occasion: [1, 2]")
    (fresh.folder / "tests/config.yaml").write_text(text)
    done = fresh.run("--until", "measure_crossover", "measure_two_devices", "measure_norm_log")
    assert done.returncode == 0, done.stdout
    made = {path: path.stat().st_mtime for path in measured(fresh)}
    first = [time for path, time in made.items() if path.stem == "occasion-1"]
    second = [time for path, time in made.items() if path.stem == "occasion-2"]
    assert len(first) == len(second) == 4
    assert max(first) < min(second)


def spoil(workflow: Workflow) -> None:
    """As if a neighbour had spoilt every trial of norm_log."""
    path = workflow.folder / NORM_LOG.format(1)
    seen = record.read(path)
    trials = [
        each.model_copy(update={"status": record.Status.CONTENDED, "reason": "a neighbour"})
        for each in seen.trials
    ]
    record.write(path, seen.model_copy(update={"trials": trials}))


def test_a_record_that_was_measured_once_more_and_deleted_is_made_again(copied):
    spoil(copied)
    assert copied.run().returncode == 0  # all of it: another question reads these records, too
    again = copied.folder / NORM_LOG.format(2)
    again.unlink()
    assert copied.planned()["measure_norm_log"] == 1


def read_by(workflow: Workflow) -> list[str]:
    """The records that norm_log was answered from."""
    return json.loads((workflow.folder / ANSWER).read_text())["records"]


def test_a_lost_cell_is_measured_once_more_and_nothing_else(copied):
    spoil(copied)
    before = measured(copied)
    before.pop(copied.folder / NORM_LOG.format(2), None)  # this machine may be busy, too
    done = copied.run(ANSWER)
    assert done.returncode == 0, done.stdout
    after = measured(copied)
    assert after.keys() - before.keys() == {copied.folder / NORM_LOG.format(2)}
    assert {path: after[path] for path in before} == before
    assert read_by(copied) == [NORM_LOG.format(1), NORM_LOG.format(2)]
    assert copied.planned(ANSWER) == {}


def test_without_retry_a_lost_cell_stays_lost(copied):
    copied.edit("tests/config.yaml", lambda text: f"retry: false\n{text}")
    spoil(copied)
    done = copied.run(ANSWER)
    assert done.returncode == 0, done.stdout
    assert read_by(copied) == [NORM_LOG.format(1)]


def test_a_record_of_an_earlier_retry_is_not_read_when_nothing_is_lost(copied):
    shutil.copy(copied.folder / NORM_LOG.format(1), copied.folder / NORM_LOG.format(2))
    (copied.folder / "results/lost/norm_log.json").write_text("[]")
    copied.edit("workflow/scripts/answer_norm_log.py", lambda text: text + "\n# edited\n")
    done = copied.run(ANSWER, "--rerun-triggers", "mtime")
    assert done.returncode == 0, done.stdout
    assert read_by(copied) == [NORM_LOG.format(1)]


def test_measuring_again_measures_what_was_lost_and_nothing_else(copied):
    spoil(copied)
    done = copied.run()
    assert done.returncode == 0, done.stdout
    before = measured(copied)
    lost = {path for path in before if grid.is_lost(path)}
    assert copied.folder / NORM_LOG.format(1) in lost
    command = [sys.executable, "workflow/again.py"]
    named = subprocess.run([*command, "--list"], **copied.options() | {"stderr": None})
    assert {copied.folder / line for line in named.stdout.split()} <= lost
    assert NORM_LOG.format(1) in named.stdout
    done = subprocess.run(command, **copied.options())
    assert done.returncode == 0, done.stdout
    after = measured(copied)
    again = {path for path in before if after[path] != before[path]}
    assert again == {copied.folder / line for line in named.stdout.split()}
    assert copied.planned() == {}


def remedies(fault: str) -> list[str]:
    """The commands of make that the docs name against a fault, in their order."""
    text = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
    [told] = re.findall(rf"^- \*{re.escape(fault)}(?:.+\n)+?(?=- |\n)", text, re.MULTILINE)
    return re.findall(r"`(make [^`]+)`", told)


@pytest.fixture
def made(copied: Workflow) -> Workflow:
    """The finished run in a folder that `make` has set up."""
    python = copied.folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (copied.folder / ".venv/.installed").touch()
    shutil.copy(ROOT / "Makefile", copied.folder)
    return copied


def test_what_the_docs_say_of_a_contended_measurement_measures_it_again(made):
    spoil(made)
    before = measured(made)
    [command] = remedies("A measurement is `contended`")
    done = subprocess.run(command, shell=True, **made.options())
    assert done.returncode == 0, done.stdout
    assert (
        measured(made)[made.folder / NORM_LOG.format(1)] > before[made.folder / NORM_LOG.format(1)]
    )


def test_what_the_docs_say_of_a_harmless_edit_measures_nothing_and_answers_anew(made):
    before = {path: path.read_bytes() for path in measured(made)}
    page = (made.folder / "results/report.html").stat().st_mtime_ns
    made.edit("workflow/scripts/assay/timing/trial.py", lambda text: text + "\n# edited\n")
    [command] = remedies("An edit that changes no number")
    done = subprocess.run(command, shell=True, **made.options())
    assert done.returncode == 0, done.stdout
    assert {path: path.read_bytes() for path in measured(made)} == before
    assert (made.folder / "results/report.html").stat().st_mtime_ns > page
    assert made.planned() == {}


# ---- a sentence for what is wrong ----------------------------------------------------------------


def refusal(workflow: Workflow, *arguments: str) -> str:
    done = workflow.run("--dry-run", *arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    return done.stdout


def test_a_missing_answer_script_is_named(fresh):
    (fresh.folder / "workflow/scripts/answer_alignment.py").unlink()
    assert "answer_alignment.py is missing" in refusal(fresh)


def test_a_renamed_module_is_named_even_when_every_result_is_there(copied):
    scripts = copied.folder / "workflow/scripts/assay"
    (scripts / "timing/kernel.py").rename(scripts / "timing/kernels.py")
    assert "kernel.py is missing" in refusal(copied)


def test_a_mistake_in_the_configuration_is_a_sentence(fresh):
    other_config(fresh, settings={"dtypes": ["float31"]})
    said = refusal(fresh)
    assert "studies.alignment.settings.dtypes[0] is 'float31'" in said
    assert "bfloat16" in said
    assert "It was read from tests/config.yaml, config.yaml." in said
    assert "config.yaml, --config." in refusal(fresh, "--config", "seed=1")


def test_a_plan_of_a_file_that_is_no_yaml_is_a_sentence(fresh):
    (fresh.folder / "mine.yaml").write_text("{a")
    command = [sys.executable, "workflow/plan.py", "--configfile", "mine.yaml"]
    done = subprocess.run(command, **fresh.options())
    assert done.returncode != 0
    assert "not valid JSON or YAML" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_shell_command_is_no_device(fresh):
    (fresh.folder / "tests/config.yaml").write_text("devices: ['cpu; touch owned']\n")
    assert "devices" in refusal(fresh)
    assert not (fresh.folder / "owned").exists()


def test_quoting_holds_even_without_the_schema(fresh):
    """A hostile label that got past the schema reaches the script as one argument."""
    fresh.edit("workflow/rules/common.smk", lambda text: text.replace("configuration.check(", "("))
    fresh.edit("Snakefile", lambda text: text.replace('device="[a-z0-9_]+"', 'device=".+"'))
    name = "cpu; touch owned #"
    (fresh.folder / "tests/config.yaml").write_text(
        yaml.safe_dump({"devices": {name: {"device": "cpu; touch owned2 #"}}})
    )
    target = f"results/records/hardware/device-{name}.json"
    done = fresh.run(target)
    assert done.returncode == 0, done.stdout
    assert "torch knows no device" in str(record.read(fresh.folder / target).reason)
    assert not [path for path in fresh.folder.rglob("owned*") if path.name != Path(target).name]


# ---- the users' own commands ---------------------------------------------------------------------


def test_the_default_run_is_planned(fresh):
    done = fresh.run("--dry-run", "--cores", "4", "--resources", "gpu=1", tiny=False)
    assert done.returncode == 0, done.stdout
    assert plan.counts(done.stdout)["measure_alignment"] >= 10


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_presets_are_planned(fresh, preset):
    done = fresh.run("-n", "--configfile", f"workflow/presets/{preset}.yaml", tiny=False)
    assert done.returncode == 0, done.stdout


def test_on_a_cluster_every_timing_has_the_node_to_itself():
    """A rule that wants to be alone, or one made from it, asks Slurm for the whole node."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text())
    text = "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    rules = re.findall(r"^rule (\w+):\n((?: .*\n|\n)+)", text, re.MULTILINE)
    timing = {name for name, body in rules if "threads: alone" in body}
    timing |= set(re.findall(r"^use rule measure_alone as (\w+) with", text, re.MULTILINE))
    assert len(timing) >= 10
    exclusive = {n for n, r in profile["set-resources"].items() if "exclusive" in r["slurm_extra"]}
    assert exclusive == timing


def test_every_job_goes_to_the_partition_of_its_label(fresh):
    """Those, too, that no device changes: a site may have no default partition or account."""
    gpu, cpu = (
        {"device": device, "threads": 1, "resources": {"slurm_partition": f"{device}s"}}
        for device in ("cuda", "cpu")
    )
    ask(fresh, "checkpoint", devices={"h100": gpu, "epyc": cpu})
    done = fresh.run("--dry-run")
    assert done.returncode == 0, done.stdout
    jobs = re.findall(r"^rule measure_\w+:\n(?: .+\n)+", done.stdout, re.MULTILINE)
    assert len(jobs) > 4
    for job in jobs:
        where = "cudas" if "device-h100" in job else "cpus"
        assert f"slurm_partition={where}" in job, job


def test_one_answer_can_be_asked_for(fresh):
    planned = fresh.planned("results/answers/alignment.json")
    assert planned == {
        "measure_alignment": 5, "measure_contrast": 1, "find_lost": 1, "answer": 1, "total": 8,
    }  # fmt: skip


def test_looking_at_a_run_needs_no_cores(fresh):
    """As in a workflow that uses this one as a module, and so has no profile."""
    done = fresh.run("--summary", "--workflow-profile", "none")
    assert done.returncode == 0, done.stdout


def test_lint_finds_nothing(fresh):
    done = fresh.run("--lint", tiny=False)
    assert done.returncode == 0, done.stdout
    assert "Congratulations" in done.stdout


def test_a_gpu_that_is_asked_for_by_name_and_absent_is_unavailable(copied):
    """No crash: its cells are records with the reason, and the page tells it."""
    if device_is_there("cuda:0"):
        pytest.skip("this machine has a GPU")
    ask(copied, "hardware", "alignment", devices=["cpu", "gpu"])
    done = copied.run()
    assert done.returncode == 0, done.stdout
    seen = record.read(copied.folder / "results/records/alignment/device-gpu/n-64/occasion-1.json")
    assert seen.status == record.Status.UNAVAILABLE
    assert seen.reason in (copied.folder / "results/report.html").read_text()


def test_of_two_gpus_the_first_that_is_asked_for_measures_both(fresh):
    ask(fresh, "two_devices", devices=["cpu", "gpu1", "gpu0"])
    done = fresh.run("--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stdout
    waits = re.findall(r'--label (\w+) .*"earlier_gpus": \["cuda:1"\]', done.stdout)
    assert waits == ["gpu0"], done.stdout


def gpu_is(workflow: Workflow, found: str | None) -> None:
    """Let the workflow find this GPU, or none, behind every label."""
    said = f"import json, sys\nprint(json.dumps([{found!r} for _ in sys.argv[1:]]))\n"
    (workflow.folder / "workflow/scripts/identify_gpus.py").write_text(said)


def test_records_of_another_gpu_are_not_kept_without_a_word(copied):
    """Nor where all of them are from it, so that none contradicts another."""
    ask(copied, "hardware", devices=["gpu"])
    copied.run()
    path = copied.folder / "results/records/hardware/device-gpu.json"
    seen = record.read(path)
    seen.conditions.gpu = {"gpu_id": "of before"}
    record.write(path, seen)  # so that its answer is made anew
    gpu_is(copied, "of now")
    done = copied.run()
    assert done.returncode != 0
    assert "gpu is another GPU, or has another driver, than when 1 of its" in done.stdout
    assert "Traceback" not in done.stdout
    gpu_is(copied, None)  # such as on a laptop
    assert copied.run().returncode == 0
    copied.edit("workflow/scripts/identify_gpus.py", lambda text: "import no_torch")
    assert copied.run("--forcerun", "answer").returncode == 0
    copied.edit("workflow/scripts/answer_hardware.py", lambda text: text + "\n# edited\n")
    gpu_is(copied, "of before")
    assert copied.run().returncode == 0
    gpu_is(copied, "of now")
    [command] = re.findall(r"\((python .+?)\)", done.stdout.replace("\n", " "))
    done = subprocess.run(command, shell=True, **copied.options())
    assert done.returncode == 0, done.stdout
    assert record.read(path).conditions.gpu is None  # measured again


def device_is_there(name: str) -> bool:
    from assay import device

    try:
        device.connect(name)
    except device.Unavailable:
        return False
    return True


def test_snakemakes_own_report_holds_everything(finished, tmp_path):
    done = finished.run("--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stdout
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "System Message" not in text
    for held in ("alignment.svg", "report.html", "0 Answers", "1 This machine"):
        assert held in text


def test_another_directory(finished, tmp_path):
    """Records of another folder are made there, with this folder's workflow and defaults."""
    elsewhere = tmp_path / "else where"
    target = "results/records/hardware/device-cpu.json"
    tiny = str(finished.folder / "tests/config.yaml")
    command = [sys.executable, "-m", "snakemake", "--directory", str(elsewhere)]
    command += [target, "--configfile", tiny, "--cores", "1"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=finished.folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert record.read(elsewhere / target).axes == {"device": "cpu"}


MODULE = """
configfile: "merged.yaml"

module assay:
    snakefile: "a clone/workflow/Snakefile"
    config: config
    pathvars:
        results="speed/results",
        logs="speed/logs",

use rule * from assay as assay_*
"""


def other_workflow(folder):
    """A workflow that uses the one in ``a clone`` beside it as a module."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / "tests/config.yaml").read_text()))
    (folder / "merged.yaml").write_text(yaml.safe_dump(config))
    (folder / "Snakefile").write_text(MODULE)
    return Workflow(folder)


def test_as_a_module_of_another_workflow(tmp_path):
    """Its rules under another name, its results in a folder of the other workflow's choice.

    The Snakefile is the one that the catalogue and snakedeploy name.
    """
    clone = copy_workflow(tmp_path / "a clone")
    other = other_workflow(tmp_path)
    done = other.run("--cores", "2", "speed/results/answers/norm_log.json", tiny=False)
    assert done.returncode == 0, done.stdout
    assert "assay_measure_norm_log" in done.stdout
    assert (tmp_path / "speed/results/records/norm_log/device-cpu/occasion-1.json").exists()
    assert not (clone.folder / "results").exists() or not any((clone.folder / "results").iterdir())


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_a_git_checkout_is_all_that_a_module_needs(tmp_path):
    """What is committed, and nothing that lies beside it."""
    subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path / "a clone"], check=True)
    target = "speed/results/answers/norm_log.json"
    done = other_workflow(tmp_path).run("--dry-run", target, tiny=False)
    assert done.returncode == 0, done.stdout
    assert "assay_measure_norm_log" in done.stdout
    assert "assay_answer" in done.stdout


def test_the_plan_says_jobs_and_minutes(fresh):
    command = [sys.executable, "workflow/plan.py", "--configfile", "tests/config.yaml"]
    done = subprocess.run(command, cwd=fresh.folder, capture_output=True, text=True, check=True)
    assert re.search(r"^alignment +6 +[0-9.]+$", done.stdout, re.MULTILINE), done.stdout
    assert "with a GPU" not in done.stdout  # the CPU alone was asked for
    assert f"{QUESTIONS} answers and 1 page" in done.stdout
    assert re.search(r"takes [0-9.]+ times as long", done.stdout)


def test_the_plan_says_what_a_gpu_would_cost(fresh):
    """Where none is and none was left out: its jobs come on top, and those of the CPU stay."""
    if device.visible_gpus():
        pytest.skip("this machine has a GPU")
    ask(fresh, "norm_log", devices="auto")
    command = [sys.executable, "workflow/plan.py", "--configfile", "tests/config.yaml"]
    done = subprocess.run(command, cwd=fresh.folder, capture_output=True, text=True, check=True)
    [(jobs, here, there)] = re.findall(
        r"^norm_log +(\d+) +([0-9.]+) +([0-9.]+)$", done.stdout, re.MULTILINE
    )
    assert jobs == "1"
    assert float(there) >= 1.9 * float(here) - 0.1


def test_the_plan_gives_a_job_its_share_of_the_cores():
    config = {
        "ask": ["speed", "accuracy"],
        "questions": {"speed": {"studies": ["timed"]}, "accuracy": {"studies": ["trained"]}},
        "studies": {"timed": {"expected_s": 60}, "trained": {"expected_s": 120}},
    }
    for cores, minutes in ((1, [2, 6]), (3, [2, 2])):
        jobs = {"measure_timed": [cores] * 2, "measure_trained": [1] * 3}
        rows = [*plan.plan(config, jobs, cores)]
        assert [row[1] for row in rows] == [2, 3, 0]
        assert [row[2] for row in rows[:2]] == pytest.approx(minutes)


def test_the_plan_follows_the_machine():
    """Where torch takes twice as long to start, everything takes twice as long."""
    config = {
        "ask": ["speed"],
        "questions": {"speed": {"studies": ["timed"]}},
        "studies": {"timed": {"expected_s": 60}},
    }
    jobs = {"measure_timed": [2, 2], "answer": [1]}
    there, here = ([*plan.plan(config, jobs, 2, slower)] for slower in (1, 2))
    assert [row[2] for row in here] == pytest.approx([2 * row[2] for row in there])
    assert there[0][2] == pytest.approx(2)


def test_the_plan_counts_no_more_cores_than_there_are():
    assert plan.usable("1") == 1
    assert plan.usable("all") == plan.usable("9999") == device.usable_cores()


def test_the_plan_says_what_a_finished_run_took(finished):
    command = [sys.executable, "workflow/plan.py", "--configfile", "tests/config.yaml"]
    command += ["--measured", "results"]
    done = subprocess.run(command, cwd=finished.folder, capture_output=True, text=True, check=True)
    told = re.findall(r"^(\w+) +(\d+) +([0-9.]+) +[0-9.]+ +[0-9.]+$", done.stdout, re.MULTILINE)
    assert {study for study, *_ in told} == {
        path.name for path in (finished.folder / "results/records").iterdir()
    }
    assert all(float(seconds) > 0.5 for *_, seconds in told)


def test_the_page_says_when_the_full_data_set_could_not_be_had(copied):
    learning = ("width", "depth", "bottleneck", "rate")  # two jobs serve all four
    no_source = {"size": "full", "sources": [], "fallback": "sample"}
    ask(copied, "norm_log", *learning, dataset=no_source)
    done = copied.run()
    assert done.returncode == 0, done.stdout
    page = (copied.folder / "results/report.html").read_text(encoding="utf-8")
    answers = copied.folder / "results/answers"
    told = {
        name: bool(json.loads((answers / f"{name}.json").read_text())["notices"])
        for name in ("norm_log", *learning)
    }
    assert told == {"norm_log": False} | dict.fromkeys(learning, True)
    said = page.count("which was asked for and could not be had")
    assert said == len(learning) + 1  # each answer, and the first screen


def test_without_a_fallback_the_run_stops_with_a_sentence(copied):
    ask(copied, "width", dataset={"size": "full", "sources": [], "fallback": "none"})
    done = copied.run("results/data/dataset.safetensors")
    assert done.returncode != 0
    assert "dataset.fallback is none: dataset.sources is empty" in done.stdout


# ---- what must survive ---------------------------------------------------------------------------

ALIGNMENT = "results/answers/alignment.json"


def test_a_run_killed_while_measuring_is_finished_by_the_next(tmp_path):
    """SIGKILL to Snakemake and all its jobs; every record that is there can be read."""
    workflow = copy_workflow(tmp_path / "killed")
    running = workflow.start(ALIGNMENT)
    records = workflow.folder / "results/records/alignment"
    wait_until(lambda: len(list(records.rglob("*.json"))) >= 1, running)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    kept = {path: path.read_bytes() for path in records.rglob("*.json")}
    for path in kept:
        record.read(path)
    workflow.run("--unlock")
    done = workflow.run(ALIGNMENT)
    assert done.returncode == 0, done.stdout
    assert workflow.planned(ALIGNMENT) == {}
    assert not list((workflow.folder / "results").rglob("*.part"))


def wait_until(condition, running: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert running.poll() is None, running.stdout.read() if running.stdout else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_measuring_job_that_is_killed_fails_by_name_and_the_others_go_on(tmp_path):
    workflow = copy_workflow(tmp_path / "job")
    script = workflow.folder / "workflow/scripts/measure_alignment.py"
    text = script.read_text()
    killer = "    import os\n    if job.axes['n'] == 63: os.kill(os.getpid(), 9)\n"
    head, body = text.split('asked for this size."""\n', 1)
    script.write_text(f'{head}asked for this size."""\n{killer}{body}')
    done = workflow.run(ALIGNMENT)
    assert done.returncode != 0
    assert "n-63" in done.stdout
    folder = workflow.folder / "results/records/alignment/device-cpu"
    made = {path.parent.name for path in folder.rglob("*.json")}
    assert made == {f"n-{n}" for n in (48, 64, 65, 80)}
    script.write_text(text)
    done = workflow.run(ALIGNMENT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda text: text[: len(text) // 2], "not a whole JSON file"),
        (lambda text: text.replace('"format": 1', '"format": 2', 1), "a record of format 2"),
        (lambda text: text.replace('"status": "ok"', '"status": "fine"', 1), "not a valid record"),
    ],
)
def test_a_spoilt_record_stops_its_answer_with_one_sentence(copied, spoil, says):
    path = "results/records/alignment/device-cpu/n-64/occasion-1.json"
    copied.edit(path, spoil)
    done = copied.run(ALIGNMENT, "--forcerun", ALIGNMENT, "--rerun-triggers", "params")
    assert done.returncode != 0
    assert f"{path}: " in done.stdout
    assert says in done.stdout


def test_a_read_only_workflow_measures_elsewhere(finished, tmp_path):
    """A clone that the user cannot write: results go to another directory."""
    clone = copy_workflow(tmp_path / "clone")
    shutil.rmtree(clone.folder / "tests")
    for path in [clone.folder, *clone.folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        done = finished.run(
            "--snakefile", str(clone.folder / "Snakefile"), "--directory", str(tmp_path / "out"),
            "--dry-run", "results/records/hardware/device-cpu.json", tiny=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    finally:
        for path in [clone.folder, *clone.folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
