"""What all rules share: the checked configuration, derived libraries, resources."""

import ast
import json
import math
import os
import shlex
from functools import cache
from itertools import chain, takewhile
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

WORKFLOW = Path(str(workflow.current_basedir.join("..")))
SCRIPTS = Path(os.path.relpath(WORKFLOW / "scripts"))
RESOURCES = os.path.relpath(WORKFLOW / "../resources")

from assay import configuration, device
from assay.grid import beside, cells, gpu_of, listed, of_run

UNMEASURED = {"assay/record.py"}  # cannot change a number; its format number guards it
TIMED = "assay/timing/trial.py"  # reads the protocol
TRAINED = {"activations", "initialisers", "rates"}  # published answers that are about accuracy
CITED = {
    "decade": [f"{RESOURCES}/peak-flops/peak_flops.csv"],
    "reproduction": [
        f"{RESOURCES}/published/published.csv",
        f"{RESOURCES}/published/causes.csv",
        f"{RESOURCES}/published/rules.csv",
        f"{RESOURCES}/peak-flops/peak_flops.csv",
    ],
}
CARD = ("hardware", "bandwidth", "crossover", "norm_log", "implementation")  # told on the card
TOLD = ("rounds_least", "void_delay_share")  # of the protocol, by the page
RECORDS = {}  # study -> path of its records, filled by the files beside this one

try:
    configuration.check(config)
except configuration.ConfigurationError as error:
    typed = ["--config"] if workflow.config_settings.config_args else []
    read = [*dict.fromkeys(map(os.path.relpath, workflow.configfiles)), *typed]
    raise WorkflowError(f"{error} It was read from {', '.join(read)}.")

DEVICES = device.resolve(config["devices"])
ON_GPU = [label for label, block in DEVICES.items() if block["device"].startswith("cuda")]


def parsed(script):
    """The syntax tree of a script or module; a sentence when it is not there."""
    try:
        return ast.parse((SCRIPTS / script).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkflowError(f"{SCRIPTS / script} is missing, but the workflow needs it.")


@cache
def library(script):
    """The modules of assay/ that a script imports, directly or through another."""
    nodes = [n for n in ast.walk(parsed(script)) if isinstance(n, ast.ImportFrom) and n.module]
    ours = [node for node in nodes if node.module.split(".")[0] == "assay"]
    files = set(chain.from_iterable(map(imported, ours))) - UNMEASURED
    return sorted(files.union(*map(library, files)))


def imported(node):
    """The files that an import names: modules of a room, or the module whose names it takes."""
    place = node.module.replace(".", "/")
    if not (SCRIPTS / place).is_dir():
        return [f"{place}.py"]
    return [f"{place}/{alias.name}.py" for alias in node.names]


def sources(script):
    """A script's library as inputs, so that editing a module re-runs what uses it."""
    return [str(SCRIPTS / file) for file in library(script)]


def cores(wildcards):
    """The cores of a job that wants all: as many as its label says, or else this machine's.

    One for what is trained; None where nobody says, as in --report.
    """
    if wildcards.get("exercise") in TRAINED:
        return 1
    try:
        return DEVICES.get(wildcards.device, {}).get("threads") or workflow.cores
    except WorkflowError:
        return None


def every_core(wildcards):
    """Take every core, so that nothing runs beside a timing."""
    if cores(wildcards) is None:
        raise WorkflowError(
            f"devices: {wildcards.device} needs `threads`, the number of cores of the node that its "
            "jobs run on; the login node cannot know it. (Is it in a file that --configfile took the "
            "place of, such as profiles/slurm/site.yaml? Name both.)"
        )
    return cores(wildcards)


def alone():
    """All cores for a timing that uses one, so that nothing runs beside it.

    On a cluster one: there the profile gives the job its node to itself.
    """
    return workflow.resource_settings.cores or 1


def device_name(wildcards):
    """The torch device behind a label.

    A cluster job reads these files on another machine, where `auto` may find other labels.
    """
    label = wildcards.device
    return DEVICES.get(label, {"device": device.behind(label)})["device"]


def gpus(wildcards):
    """As many GPUs as the label says; else one for a job on a CUDA device, none otherwise."""
    one = 1 if device_name(wildcards).startswith("cuda") else 0
    return label_resource("gpu")(wildcards) or one


def label_resource(name):
    """A resource as the label of a job's device gives it; unset where it does not.

    A job that no device changes is one of a CPU's, or else of the first label's.
    """
    others = min(DEVICES, key=lambda label: DEVICES[label]["device"] != "cpu", default=None)

    def given(wildcards):
        label = wildcards.get("device", others)
        return DEVICES.get(label, {}).get("resources", {}).get(name)

    return given


def label_resources():
    """All resources that any label gives, besides gpu."""
    names = {name for block in DEVICES.values() for name in block.get("resources", {})}
    return {name: label_resource(name) for name in sorted(names - {"gpu"})}


def by_occasion(wildcards):
    """First occasions of all cells go before second ones, so that the two are far apart."""
    return 1 - int(wildcards.get("occasion", 1))


def arguments(wildcards, input):
    """The axes of a job, and what it learns from if it does, as its script's arguments."""
    values = {name: value for name, value in wildcards.items() if name != "device"}
    values |= {"dataset": input.dataset} if input.get("dataset") else {}
    return [word for name, value in values.items() for word in (f"--{name}", value)]


def told(values):
    """Values as one argument: YAML on one line, which a person can read in Snakemake's report."""
    plain = json.loads(json.dumps(values))  # no ordered dictionaries, no aliases
    one_line = {"default_flow_style": True, "width": math.inf, "allow_unicode": True}
    return yaml.safe_dump(plain, **one_line).strip()


def settings(study, **more):
    """What a measuring script is given besides its axes, as one order-proof argument.

    The protocol of timing goes to those that time by it: a change of it is none to the others.
    """
    shared = ["seed", *(["protocol"] if TIMED in library(f"measure_{study}.py") else [])]
    values = {key: config[key] for key in shared} | config["studies"][study]["settings"] | more
    return json.dumps(values, sort_keys=True)


def settings_of_pair(wildcards):
    """The same for two devices, with the GPUs that this run measures before a job's own.

    Of two GPUs the first that is asked for measures the pair, for both.
    """
    if wildcards.device not in ON_GPU[1:]:
        return settings("two_devices")
    earlier = takewhile(lambda label: label != wildcards.device, ON_GPU)
    return settings("two_devices", earlier_gpus=[DEVICES[label]["device"] for label in earlier])


def grid(wildcards, output):
    """Where the records of a question lie, as one argument.

    Their paths would be more than a command line holds where there are thousands.
    """
    results = Path(output[-1]).parents[1].as_posix()
    block = config["questions"][wildcards.question]
    studies = block["studies"]
    own = [
        {"pattern": RECORDS[study].replace("<results>", results), "axes": axes(study, block)}
        for study in studies
    ]
    others = [folder.as_posix() for folder in OTHERS]
    words = {"own": own, "others": others, "studies": studies, "only_own_cells": "axes" in block}
    return told(words)


def axes(study, question):
    """The axes of a study with their values, the question's own first; devices before all."""
    own = question.get("axes", {})
    values = config["studies"][study]["axes"]
    return {"device": list(DEVICES), **{name: own.get(name, values[name]) for name in values}}


def own_records(question):
    """Every cell of the grids of a question's studies."""
    block = config["questions"][question]
    return [
        path for study in block["studies"] for path in cells(RECORDS[study], axes(study, block))
    ]


def all_records():
    """Every cell of all questions, each once."""
    return sorted(set(chain.from_iterable(map(own_records, config["ask"]))))


def records(wildcards):
    """The records that a question reads: its own, those measured once more, and other runs'."""
    question = wildcards.question
    elsewhere = map(others, config["questions"][question]["studies"])
    return [*own_records(question), *retried(question), *chain.from_iterable(elsewhere)]


def has_occasions(question):
    """Whether any study of a question can be measured on one more occasion."""
    studies = config["questions"][question]["studies"]
    return any("occasion" in config["studies"][study]["axes"] for study in studies)


def listing(question):
    """The file that names what a question lost, as soon as its own records are there."""
    if config["retry"] and has_occasions(question):
        return checkpoints.find_lost.get(question=question).output[0]
    return []


def retried(question):
    """One more occasion of each cell of a question that lost a trial."""
    named = listing(question)
    return listed(Path(named)) if named and os.path.exists(named) else []  # absent: --touch


def all_retried(wildcards):
    """One more occasion of all cells that lost a trial, each once."""
    return sorted(set(chain.from_iterable(map(retried, config["ask"]))))


def between(wildcards):
    """What is known of the spread between occasions of a question's studies, as one argument."""
    studies = config["questions"][wildcards.question]["studies"]
    named = {study: config["studies"][study].get("between_occasions", {}) for study in studies}
    return told(named)


def others(study):
    """The records of a study in the folders of other runs."""
    return [path for folder in OTHERS for path in beside(folder, study)]


def other_runs():
    """The folders with records of other runs that the configuration names."""
    named = [Path(folder) for folder in config["records"]]
    if config["compare"]["references"]:
        named += sorted(Path(RESOURCES, "references").glob("*/"))
    try:
        return [of_run(folder) for folder in named]
    except FileNotFoundError as error:
        raise WorkflowError(f"records: {error}")


def tables(wildcards):
    """The cited tables that a question is answered from besides its records."""
    return CITED.get(wildcards.question, [])


def snippet(wildcards):
    """The lines to run at home that come with an answer, where there are some."""
    path = f"{RESOURCES}/snippets/{wildcards.question}.py"
    return path if os.path.exists(path) else []


def category(wildcards):
    """The group of a question, numbered as on the page: Snakemake's report sorts its categories."""
    groups = list(dict.fromkeys(config["questions"][name]["group"] for name in config["ask"]))
    group = config["questions"][wildcards.question]["group"]
    return f"{groups.index(group) + 1} {group}"


def on_card():
    """The questions that the machine card tells of; none where only other machines are shown."""
    return [name for name in config["ask"] if name in CARD and DEVICES]


def labels(wildcards, output):
    """What Snakemake's report calls a figure.

    Captions cannot read files, so the measured answer is left in the configuration, where the
    caption finds it.
    """
    block = config["questions"][wildcards.question]
    text = Path(output.answer).read_text(encoding="utf-8")
    block["sentence"] = json.loads(text)["sentence"]
    return {"question": block["title"]}


def about(wildcards):
    """Title, group and exercise of a question, as one argument."""
    block = config["questions"][wildcards.question]
    return told({key: block[key] for key in ("title", "group", "exercise")})


def measure_again():
    """The command that measures again what this run lost to a neighbour; none if it measures none."""
    return shlex.join(["python", os.path.relpath(WORKFLOW / "again.py")]) if DEVICES else ""


@cache
def defaults():
    """The configuration of the default run."""
    return yaml.safe_load((WORKFLOW / "../config.yaml").read_text(encoding="utf-8"))


def few_seeds():
    """The seeds of each question that this run asks with fewer than the default run does."""
    base = defaults()["studies"]
    seeds = {name: block["settings"].get("seeds") for name, block in config["studies"].items()}
    fewer = {name: n for name, n in seeds.items() if n and n < base[name]["settings"]["seeds"]}
    asked = {name: config["questions"][name]["studies"] for name in config["ask"]}
    return {name: fewer[s] for name, studies in asked.items() for s in studies if s in fewer}


def left_out():
    """The titles of the questions that the default run asks and this run's preset does not.

    What only shows other runs can ask no more than they did.
    """
    if not DEVICES or config["preset"] == defaults()["preset"]:
        return []
    missing = [name for name in defaults()["ask"] if name not in config["ask"]]
    return [defaults()["questions"][name]["title"] for name in missing]


def run_in_words():
    """What the page says about the run as a whole, as one argument."""
    words = {
        "preset": config["preset"],
        "command": "snakemake --cores all --resources gpu=1",
        "again": measure_again(),
        "questions": config["ask"],
        "rehearsal": few_seeds(),
        "left_out": left_out(),
        "protocol": {key: config["protocol"][key] for key in TOLD},
    }
    return told(words)


OTHERS = other_runs()

for name in config["ask"]:
    sources(f"answer_{name}.py")  # fails here, by name, when the script is missing
