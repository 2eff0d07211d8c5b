"""What keeps Snakemake, and our own jobs, from disturbing a timing."""

import os
import sys

sys.path.insert(0, os.path.join(str(workflow.current_basedir), "../scripts"))

from assay.device import usable_cores


def wake_only_when_limited():
    """Keep Snakemake's scheduler asleep while a job runs.

    Snakemake (seen in 9.27; its issues 2354 and 3804, pull request 3744) sets a timer at every look
    at its queue, which wakes it for the next, and each finished job adds one more such chain: after
    170 jobs its main process takes an eighth of a core, next to what we time. A timer is of use only
    when nothing else will wake it: no job runs, or the limit on jobs in a timespan was reached. Done
    while the files are read, so that --no-hooks and workflows that use this one as a module are
    quiet, too; a Snakemake that is built otherwise keeps its timers.
    """
    try:
        from snakemake.scheduling.job_scheduler import JobScheduler

        wake = JobScheduler._schedule_reevalutation
    except (ImportError, AttributeError):
        return

    def wake_if_limited(scheduler, delay):
        try:
            limiter = scheduler.job_rate_limiter
            will_wake = delay == limiter.timespan and scheduler.running
            needless = will_wake and limiter.get_free_jobs() > 0
        except AttributeError:
            needless = False
        if not needless:
            wake(scheduler, delay)

    JobScheduler._schedule_reevalutation = wake_if_limited


def run_on_usable_cores():
    """Take --cores for no more than this process may use, where the jobs run on this machine.

    With four on two, four trainings would share two cores, and what they time would be each other.
    """
    asked, elsewhere = workflow.resource_settings.cores, workflow.resource_settings.nodes
    if asked and not elsewhere and workflow.is_main_process:
        workflow.register_resource("_cores", min(asked, usable_cores()))


wake_only_when_limited()
run_on_usable_cores()
