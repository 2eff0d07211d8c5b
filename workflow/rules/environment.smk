"""What jobs are started in: the folder, the shell's variables, and the python that they call."""

import os
import subprocess
import sys
from importlib.util import find_spec

from snakemake.exceptions import WorkflowError

# Here for all rules: this file is the first that the Snakefile includes.
sys.path.insert(0, os.path.abspath(os.path.join(str(workflow.current_basedir), "../scripts")))

from assay import environment

# What these files import besides what Snakemake itself does, with the names of the packages.
OURS = {"pydantic": "pydantic", "pynvml": "nvidia-ml-py"}


def require_a_plain_folder():
    """Snakemake takes braces in a path for wildcards, and fails late with a traceback."""
    folder = os.path.abspath(os.path.join(str(workflow.current_basedir), "../.."))
    if "{" in folder or "}" in folder:
        raise WorkflowError(f"{folder}: rename it, Snakemake cannot work in a path with braces.")


def require_packages():
    """Say which snakemake this is where it is not the environment's, before its lack is a traceback."""
    absent = [name for module, name in OURS.items() if find_spec(module) is None]
    if absent:
        raise WorkflowError(
            f"The snakemake that runs here has no {', '.join(absent)} ({sys.executable}): activate "
            "the environment (. .venv/bin/activate) and run again, or use make; for --sdm conda "
            f"install them beside it (pip install {' '.join(absent)})."
        )


def start_jobs_in_a_known_environment():
    """Take out the shell's variables that would break a job or change its numbers; name them.

    A workflow that uses this one as a module keeps its own; measuring scripts then start again
    without them.
    """
    if not workflow.modifier.is_main_snakefile():
        return []
    names = sorted(os.environ.keys() - environment.known(os.environ).keys())
    for name in names:
        del os.environ[name]
    return names


def require_python():
    """Say once, before anything runs, that the environment's python is not on the path."""
    if workflow.deployment_settings.deployment_method:
        return  # each rule has an environment of its own
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    try:
        subprocess.run(["python", "-c", code], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise WorkflowError(
            "Jobs call `python`, and none on the path has torch: activate the environment "
            "(. .venv/bin/activate) and run again, or use make."
        ) from None


def say_what_was_taken_out():
    """Name the variables without which jobs start."""
    if TAKEN_OUT:
        logger.info(f"Jobs start without {', '.join(TAKEN_OUT)} (docs/method.md says why).")


require_a_plain_folder()
require_packages()
TAKEN_OUT = start_jobs_in_a_known_environment()
environment.name_user()
