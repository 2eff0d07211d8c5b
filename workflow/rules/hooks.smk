"""What a run leaves and tells at its start, and what it tells at its end."""

import argparse
import subprocess
import textwrap
from collections import defaultdict

from snakemake.logging import logger
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.common import LogEvent

sys.path.append(str(WORKFLOW))

import plan
from snakemake_logger_plugin_assay import MinutesLeft, Progress

SHOWN = 4  # inputs of a job, at most
REASON = 200  # characters


def remember():
    """Leave the arguments of this run, for those who measure again or accept what it made."""
    arguments = {
        "where": where_jobs_run(),
        "configfile": [os.path.relpath(file) for file in workflow.overwrite_configfiles],
        "config": list(workflow.config_settings.config_args or []),
        "cores": workflow.resource_settings.cores,
    }
    os.makedirs("results", exist_ok=True)
    Path("results/run.json").write_text(json.dumps(arguments) + "\n", encoding="utf-8")


def where_jobs_run():
    """The arguments of this run that say so, such as a cluster's profile; Snakemake keeps no profile."""
    parser = argparse.ArgumentParser(add_help=False)
    for flags in (["--profile"], ["--workflow-profile"], ["--executor", "-e"]):
        parser.add_argument(*flags, action="append", default=[])
    given = vars(parser.parse_known_args(sys.argv[1:])[0])
    flags = {name: f"--{name.replace('_', '-')}" for name in given}
    return [word for name in given for value in given[name] for word in (flags[name], value)]


def announce():
    """Tell who looks on what is to be done, and in about how many minutes; then how many are left.

    A logger gets the threads of every job, by rule, and tells what is left by itself.
    """
    jobs = defaultdict(list)
    for job in workflow.dag.needrun_jobs():
        jobs[job.rule.name].append(job.threads)
    slower = plan.slowness() if any(rule.startswith("measure_") for rule in jobs) else 1
    told = {"config": config, "to_do": jobs, "cores": workflow.cores, "slower": slower}
    logger.info(plan.opening(config, jobs, workflow.cores, slower), extra=told)
    if not workflow.output_settings.log_handler_settings:
        logger.addFilter(MinutesLeft(Progress(config, jobs, workflow.cores, slower)))


def shortened(record):
    """Leave out of what is told of a job our library, and of many files all but a few."""
    if getattr(record, "event", None) == LogEvent.JOB_INFO:
        own = [path for path in getattr(record, "input", None) or () if "/assay/" not in path]
        record.input = own[:SHOWN] + ([f"{len(own) - SHOWN} more"] if len(own) > SHOWN else [])
        reason = getattr(record, "reason", None) or ""
        record.reason = textwrap.shorten(reason, REASON, placeholder=" …")
    return True


def refuse_other_gpus():
    """Stop where this run would keep what another GPU, or another driver, measured.

    Where no GPU is, as on a laptop that only answers, nothing new can get among it.
    """
    kept = kept_gpus()
    here = gpus_here([*kept])
    for label, records in kept.items():
        other = [path for path, gpu in records.items() if here.get(label) not in (gpu, None)]
        if other:
            raise WorkflowError(
                f"{label} is another GPU, or has another driver, than when {len(other)} of its "
                f"records were measured ({other[0]}): measure them again ({again_from_anywhere()} "
                f"--device {label}), or keep them and measure elsewhere (snakemake --directory …)."
            )


def kept_gpus():
    """The GPU of every record that this run will not measure again, by label and path."""
    kept, needed = defaultdict(dict), set(workflow.dag.needrun_jobs())
    for job in workflow.dag.jobs:
        if job.wildcards.get("device") in ON_GPU and job not in needed:
            for path in map(str, job.output):
                if gpu := gpu_of(Path(path)):
                    kept[job.wildcards.device][path] = gpu
    return kept


def gpus_here(labels):
    """The GPU behind each label, as torch numbers them here; none where torch is not, or sees none."""
    if not labels or workflow.deployment_settings.deployment_method or not workflow.local_exec:
        return {}
    names = [DEVICES[label]["device"] for label in labels]
    command = ["python", str(SCRIPTS / "identify_gpus.py"), *names]
    done = subprocess.run(command, capture_output=True)
    return {} if done.returncode else dict(zip(labels, json.loads(done.stdout)))


def again_from_anywhere():
    """The command that measures again what this run lost, to be typed where this one was."""
    if os.path.samefile(".", WORKFLOW / ".."):
        return measure_again()
    program, folder = os.path.abspath(WORKFLOW / "again.py"), os.getcwd()
    return shlex.join(["python", program, "--directory", folder])


def tell(*options):
    """The answers, what was lost and where the report lies; whatever fails there, fails alone."""
    if not workflow.touch and Quietness.ALL not in (workflow.output_settings.quiet or ()):
        again = again_from_anywhere()
        command = [sys.executable, str(WORKFLOW / "summary.py"), "--again", again]
        subprocess.run([*command, *options, *config["ask"]])


onstart:
    require_python()
    say_what_was_taken_out()
    if not workflow.touch:
        remember()
        refuse_other_gpus()
        loggers = workflow.output_settings.log_handler_settings
        if not loggers:  # others are told all, and so is who looks at a dry run
            logger.addFilter(shortened)
        if workflow.local_exec and (loggers or sys.stderr.isatty()):
            announce()


onsuccess:
    tell()


onerror:
    tell("--failed")
