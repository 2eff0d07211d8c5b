"""A real Slurm of one node for tests: munged, slurmctld, slurmd on this machine, started by hand.

Slurm reads its configuration from one place of the system, so this wants root, and stays away from
a machine that has a configuration of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/etc/slurm")
OURS = "# made by the tests of torch-assay"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
CPUS = 8  # declared, whatever the machine has: so an overlap is told apart from a lack of room
MEMORY_MB = 64_000  # declared, likewise
UP_S = 30  # seconds that the node may take until it is idle

# linuxproc and none: no cgroups, which containers lack. Killing over memory is polled, every 2 s.
# MinJobAge keeps ended jobs in sight of scontrol; with sched_* a waiting job starts at once.
CONFIGURATION = """{ours}
ClusterName=assay
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
EnforcePartLimits=ALL
MinJobAge=3600
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=1
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES DefaultTime=60 MaxTime=INFINITE State=UP
"""
# Slurm never opens the file of a GPU: any character device stands in for one.
GPU = """{ours}
AutoDetect=off
NodeName={host} Name=gpu File={folder}/gpu0
"""


def why_not() -> str | None:
    """Why no Slurm can be started here; None where it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "starting a Slurm wants root"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: apt install slurm-wlm munge)"
    if " " in sys.executable:
        return f"Snakemake's plugin for Slurm does not quote the path of Python: {sys.executable}"
    configuration = SYSTEM / "slurm.conf"
    if configuration.exists() and OURS not in configuration.read_text():
        return f"{configuration} is there already: this machine has a Slurm of its own"
    return None


@dataclass(frozen=True)
class Job:
    """What Slurm says about a job that ended: times in seconds since 1970."""

    name: str  # of the rule, from the comment that Snakemake leaves
    start: float
    end: float
    exclusive: bool
    gpus: int

    def overlaps(self, other: Job) -> bool:
        """Whether the two ran at the same time."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class Slurm:
    """A running Slurm of one node."""

    folder: Path
    host: str

    @classmethod
    def start(cls, folder: Path) -> Slurm:
        """Start it, with everything it writes in a folder (a short path: sockets want that).

        Raises:
            RuntimeError: It did not come up; the message holds the ends of its logs.
        """
        host = socket.gethostname().split(".")[0]
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        _resolve(host)
        os.mknod(folder / "gpu0", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        SYSTEM.mkdir(exist_ok=True)
        filled = {"ours": OURS, "host": host, "folder": folder, "cpus": CPUS, "memory": MEMORY_MB}
        (SYSTEM / "slurm.conf").write_text(CONFIGURATION.format(**filled))
        (SYSTEM / "gres.conf").write_text(GPU.format(**filled))
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        _run(
            "munged",
            "--force",
            f"--key-file={key}",
            f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munged.seed",
        )
        _run("slurmctld")
        _run("slurmd")
        slurm = cls(folder, host)
        slurm._wait()
        return slurm

    def _wait(self) -> None:
        deadline = time.monotonic() + UP_S
        while time.monotonic() < deadline:
            if _run("sinfo", "--noheader", "--format=%T").strip() == "idle":
                return
            time.sleep(0.1)
        logs = [path.read_text()[-1000:] for path in sorted(self.folder.glob("*.log"))]
        raise RuntimeError("Slurm did not come up:\n" + "\n".join(logs))

    def stop(self) -> None:
        """Cancel what is left, stop the three, and remove the configuration."""
        _run("scancel", "--user=root")
        for name in ("slurmd", "slurmctld", "munged"):
            _stop(self.folder / f"{name}.pid")
        for name in ("slurm.conf", "gres.conf"):
            (SYSTEM / name).unlink(missing_ok=True)

    def queue(self) -> list[tuple[int, str, str]]:
        """Id, state and comment of every job that waits or runs."""
        lines = _run("squeue", "--noheader", "--format=%i|%T|%k").splitlines()
        return [(int(i), state, comment) for i, state, comment in (x.split("|") for x in lines)]

    def cancel(self, job: int) -> None:
        """Cancel a job, as a person would."""
        _run("scancel", str(job))

    def ended(self) -> list[Job]:
        """Every job that ended."""
        text = _run("scontrol", "--oneliner", "show", "job")
        return [_job(line) for line in text.splitlines() if "EndTime=" in line]


def _job(line: str) -> Job:
    fields = dict(part.split("=", 1) for part in line.split() if "=" in part)

    def moment(name: str) -> float:
        return time.mktime(time.strptime(fields[name], "%Y-%m-%dT%H:%M:%S"))

    return Job(
        name=fields.get("Comment", ""),
        start=moment("StartTime"),
        end=moment("EndTime"),
        exclusive=fields.get("OverSubscribe") == "NO",
        gpus="gres:gpu" in line,
    )


def _resolve(host: str) -> None:
    """Slurm looks its own host up; a container's name may be known nowhere."""
    try:
        socket.gethostbyname(host)
    except OSError:
        with Path("/etc/hosts").open("a") as hosts:
            hosts.write(f"127.0.0.1 {host}\n")


def _run(*command: str) -> str:
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    environment.pop("SLURM_CONF", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def _stop(pid_file: Path) -> None:
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            os.kill(pid, 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):
        return  # it is gone
