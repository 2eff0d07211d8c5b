"""What a run leaves and tells at its start, and what it tells at its end."""

import subprocess
from collections import defaultdict

from snakemake.logging import logger
from snakemake.settings.enums import Quietness


def remember():
    """Leave the arguments of this run, for those who measure again or accept what it made."""
    arguments = {
        "configfile": [os.path.relpath(file) for file in workflow.overwrite_configfiles],
        "config": list(workflow.config_settings.config_args or []),
        "cores": workflow.resource_settings.cores,
    }
    os.makedirs("results", exist_ok=True)
    Path("results/run.json").write_text(json.dumps(arguments) + "\n", encoding="utf-8")


def announce():
    """Tell a logger what is to be done: the threads of every job, by rule. Others see nothing."""
    jobs = defaultdict(list)
    for job in workflow.dag.needrun_jobs():
        jobs[job.rule.name].append(job.threads)
    logger.info(None, extra={"to_do": jobs, "config": config, "cores": workflow.cores})


def tell(*options):
    """The answers, what was lost and where the report lies; whatever fails there, fails alone."""
    if not workflow.touch and Quietness.ALL not in (workflow.output_settings.quiet or ()):
        command = [sys.executable, str(WORKFLOW / "summary.py"), "--again", measure_again()]
        subprocess.run([*command, *options, *config["ask"]])


onstart:
    require_python()
    say_what_was_taken_out()
    if not workflow.touch:
        remember()
        if workflow.local_exec:
            announce()


onsuccess:
    tell()


onerror:
    tell("--failed")
