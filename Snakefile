"""torch-assay: the questions of a deep-learning course, answered by measurement."""

import os

from snakemake.utils import min_version

min_version("9.25")


# The defaults come with the workflow; a config.yaml in another working directory
# (--directory) is merged over them.
configfile: str(workflow.current_basedir.join("config.yaml"))


if os.path.exists("config.yaml") and os.getcwd() != str(workflow.current_basedir):

    configfile: "config.yaml"


pathvars:
    scripts=os.path.relpath(str(workflow.current_basedir.join("workflow/scripts"))),
    logs="results/logs",


report: "workflow/report/workflow.rst"


wildcard_constraints:
    question="[a-z_]+",
    device="[a-z0-9_]+",
    n="[0-9]+",
    occasion="[0-9]+",
    activation="[a-z_]+",
    initialization="[a-z0-9_]+",
    depth="[0-9]+",
    exercise="[a-z_]+",
    storage="[a-z_+]+",
    structure="[a-z_+]+",
    topic="[a-z_]+",
    sweep="[a-z]+",
    selection="[a-z]+",
    images="[0-9]+|all",
    format="[a-z_]+",
    shape="[a-z]+-[0-9]+",
    hidden="none|[0-9]+(-[0-9]+)*",
    rate="[0-9]+([.][0-9]+)?",
    precision="[a-z0-9_]+",
    batch="[0-9]+",
    strategy="grid|random",


include: "workflow/rules/environment.smk"
include: "workflow/rules/scheduler.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/hardware.smk"
include: "workflow/rules/matmul.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/modules.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/hooks.smk"


rule all:
    default_target: True
    # Not the page alone: a record or an answer that was deleted would not be missed.
    input:
        "<results>/report.html",
        expand("<results>/answers/{question}.json", question=config["ask"]),
        all_records(),
        all_retried,
