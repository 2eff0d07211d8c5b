"""How fast the trainer is: against its peers and against the matrix products of its steps alone.

- *One fit*: seconds per epoch of one training that has every core.
- *Side by side*: epochs per second of as many one-thread trainings at once as there are cores,
  which is how the pipeline trains; and the CPU seconds of such an epoch, those of a loader's
  workers included, which say nearly the same where other programs disturb.
- *What an epoch of ours consists of*: its products (the floor), drawing its batches, updating its
  weights; the rest is autograd, biases, ReLU and softmax.
- *Accuracy*: the trainer learns what the usual loop over a DataLoader learns (paired by seed).

Every round lets every contestant train one epoch of both kinds, in a new order, so that a change of
the machine meets them all; ratios are medians of the ratios within rounds. Leave the machine alone
meanwhile. `make bench-trainer` installs the peers and runs it with workflow/scripts on the path;
peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import contestants
import numpy as np
import psutil
import torch
from assay import device, record, statistic
from assay.answer import inference
from assay.learning import dataset, training
from assay.learning.training import Examples
from assay.statistic import Interval
from contestants import CONTESTANTS, DATALOADER, FLOOR, OURS, PARTS, Data

ROOT = Path(__file__).resolve().parents[1]
FETCH = ROOT / "workflow/scripts/fetch_dataset.py"
FOLDER = ROOT / "results/benchmarks"
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "keras", "skorch", "lightning")
PROCESS_BYTES = 400e6  # what a contestant needs beside the mapped images
FLOOR_GOAL = 1.1  # times the floor: no trainer can be faster than its products

spawn = multiprocessing.get_context("spawn")  # a fork would inherit the director's thread pools


# ---- the processes that train ----------------------------------------------------------------


def work(name: str, folder: Path, director: Connection) -> None:
    """One process of a contestant: an epoch for every number of threads that the director sends."""

    def turns() -> Iterator[None]:
        while True:
            try:
                torch.set_num_threads(director.recv())
            except EOFError:  # the director is done
                raise SystemExit from None
            start, cpu = time.perf_counter(), cpu_seconds()
            yield
            director.send((time.perf_counter() - start, cpu_seconds() - cpu))

    # A process that was spawned would spawn its own: a loader's workers would import torch in every
    # epoch, seconds that they do not take where a user starts them.
    multiprocessing.set_start_method(None, force=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the director, who then ends us
    warnings.simplefilter("ignore")  # advice about workers and devices
    CONTESTANTS[name].fit(contestants.network(seed=0), Data(folder), turns())


def cpu_seconds() -> float:
    """CPU time of this process and of those it started that have ended."""
    ended = os.times()  # counts in hundredths of a second
    return time.process_time() + ended.children_user + ended.children_system


@dataclass(frozen=True)
class Team:
    """The processes of a contestant, each amid a fit and waiting for its next turn."""

    pipes: Sequence[Connection]

    def one_fit(self) -> float:
        """Seconds of an epoch of one process with a thread per core."""
        self.pipes[0].send(device.usable_cores())
        seconds, _ = self.pipes[0].recv()
        return float(seconds)

    def side_by_side(self) -> tuple[float, float]:
        """Epochs per second of all processes together, with one thread each; CPU s of an epoch."""
        start = time.perf_counter()
        for pipe in self.pipes:
            pipe.send(1)
        cpu = [pipe.recv()[1] for pipe in self.pipes]
        return len(self.pipes) / (time.perf_counter() - start), sum(cpu) / len(cpu)


@contextmanager
def team(name: str, folder: Path, fits: int) -> Iterator[Team]:
    """Start a contestant's processes, let them warm up for an epoch, and end them at last."""
    pipes = []
    processes = []
    for _ in range(fits):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=work, args=(name, folder, theirs))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        started = Team(pipes)
        started.side_by_side()
        started.one_fit()
        yield started
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            pipe.close()
            process.join()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables that the processes started meanwhile see."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# ---- speed -----------------------------------------------------------------------------------


Samples = dict[str, dict[str, list[float]]]  # contestant → quantity → its value in every round


def race(names: Sequence[str], folder: Path, fits: int, rounds: int) -> Samples:
    """Epochs of all contestants in turn; the first epochs of each process do not count."""
    shuffled, order = list(names), random.Random(0)
    samples: Samples = {name: {"seconds": [], "throughput": [], "cpu_s": []} for name in names}
    with ExitStack() as stack:
        teams = {}
        for name in names:
            progress(f"starting {name}")
            teams[name] = stack.enter_context(team(name, folder, fits))
        for round_ in range(rounds):
            order.shuffle(shuffled)
            for name in shuffled:
                progress(f"round {round_ + 1} of {rounds}: {name}")
                samples[name]["seconds"].append(teams[name].one_fit())
                throughput, cpu_s = teams[name].side_by_side()
                samples[name]["throughput"].append(throughput)
                samples[name]["cpu_s"].append(cpu_s)
    progress("")
    return samples


@dataclass(frozen=True)
class Row:
    """One contestant's line of the table; ratios say how many times slower it is."""

    contestant: str
    seconds: float
    seconds_iqr: float
    seconds_ours: float
    seconds_floor: float
    throughput: float
    throughput_iqr: float
    throughput_ours: float
    throughput_ours_low: float
    throughput_ours_high: float
    throughput_floor: float
    cpu_s: float
    cpu_ours: float


def row(name: str, samples: Samples) -> Row:
    """The medians, interquartile ranges and ratios of one contestant."""
    seconds, throughput = samples[name]["seconds"], samples[name]["throughput"]
    behind_ours = slower(samples, name, OURS, "throughput")
    return Row(
        name,
        float(np.median(seconds)),
        statistic.summary(seconds).iqr,
        slower(samples, name, OURS, "seconds").value,
        slower(samples, name, FLOOR, "seconds").value,
        float(np.median(throughput)),
        statistic.summary(throughput).iqr,
        behind_ours.value,
        behind_ours.low,
        behind_ours.high,
        slower(samples, name, FLOOR, "throughput").value,
        float(np.median(samples[name]["cpu_s"])),
        slower(samples, name, OURS, "cpu_s").value,
    )


def slower(samples: Samples, name: str, than: str, what: str) -> Interval:
    """How many times slower a contestant is than another, paired within rounds."""
    one, other = samples[name][what], samples[than][what]
    return statistic.paired_ratio(*((other, one) if what == "throughput" else (one, other)))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of the table."""
    yield f"{'':<22}{'one fit, every core':<34}one-thread fits side by side"
    yield (
        f"{'contestant':<22}{'s/epoch':>8}{'IQR':>8}{'× ours':>8}{'× floor':>8}  "
        f"{'epochs/s':>8}{'IQR':>8}{'× ours':>8}  {'95 % interval':<16}{'× floor':>8}"
        f"{'CPU s':>8}{'× ours':>8}"
    )
    for each in rows:
        interval = f"[{each.throughput_ours_low:.2f}, {each.throughput_ours_high:.2f}]"
        yield (
            f"{each.contestant:<22}{each.seconds:8.3f}{each.seconds_iqr:8.3f}"
            f"{each.seconds_ours:8.2f}{each.seconds_floor:8.2f}  "
            f"{each.throughput:8.2f}{each.throughput_iqr:8.2f}"
            f"{each.throughput_ours:8.2f}  {interval:<16}{each.throughput_floor:8.2f}"
            f"{each.cpu_s:8.3f}{each.cpu_ours:8.2f}"
        )


@dataclass(frozen=True)
class Goal:
    """What the table shall show, and what it shows."""

    goal: str
    seen: str
    met: bool


def speed_goals(rows: Mapping[str, Row]) -> Iterator[Goal]:
    """The trainer's time against the floor, and its throughput against the best peer."""
    ours = rows[OURS]
    for where, ratio in (("one fit", ours.seconds_floor), ("side by side", ours.throughput_floor)):
        yield Goal(f"≤ {FLOOR_GOAL} × the floor, {where}", f"{ratio:.2f}", ratio <= FLOOR_GOAL)
    peers = [each for name, each in rows.items() if name not in (FLOOR, OURS, *PARTS)]
    if peers:
        best = min(peers, key=lambda each: each.throughput_ours)
        ratio = best.throughput_ours
        yield Goal(f"faster than the best peer ({best.contestant})", f"{ratio:.2f}", ratio > 1)


def shares(rows: Mapping[str, Row]) -> Iterator[str]:
    """Of what an epoch of ours consists, in per cent of its time."""
    for where, quantity in (("one fit", "seconds_ours"), ("side by side", "throughput_ours")):
        parts = {name: getattr(rows[name], quantity) for name in (FLOOR, *PARTS)}
        told = "".join(f"{name} {share:.0%}, " for name, share in parts.items())
        yield f"{where + ', of ours:':<24}{told}the rest {1 - sum(parts.values()):.0%}"


# ---- accuracy --------------------------------------------------------------------------------


def curve(name: str, folder: Path, test: Examples, epochs: int, seed: int) -> list[float]:
    """Test accuracy after every epoch of a fit, with one thread."""
    torch.set_num_threads(1)
    network, accuracies = contestants.network(seed), []

    def turns() -> Iterator[None]:
        for _ in range(epochs):
            yield
            accuracies.append(training.accuracy(network, test))

    CONTESTANTS[name].fit(network, Data(folder), turns())
    return accuracies


Curves = dict[str, list[list[float]]]  # contestant → one curve per seed


def curves(folder: Path, test: Examples, fits: int, seeds: int, epochs: int) -> Curves:
    """Curves of the trainer and of the loop over a DataLoader, from the same weights."""
    progress(f"accuracy: {seeds} seeds, {epochs} epochs")
    jobs = [(name, seed) for name in (OURS, DATALOADER) for seed in range(seeds)]
    with ProcessPoolExecutor(fits, spawn) as pool:
        seen = [pool.submit(curve, name, folder, test, epochs, seed) for name, seed in jobs]
        done = [each.result() for each in seen]
    progress("")
    return {OURS: done[:seeds], DATALOADER: done[seeds:]}


def accuracy_table(seen: Curves) -> Iterator[str]:
    """Mean accuracy after each epoch, and the paired difference, in percent and points."""
    ours, theirs = (100 * np.array(seen[name]) for name in (OURS, DATALOADER))
    yield f"{'epoch':<8}{'ours, %':>8}{DATALOADER + ', %':>16}{'difference, points':>20}"
    for epoch in range(ours.shape[1]):
        difference = inference.paired_difference(ours[:, epoch], theirs[:, epoch])
        yield (
            f"{epoch + 1:<8}{ours[:, epoch].mean():8.2f}{theirs[:, epoch].mean():16.2f}"
            f"{difference.value:+9.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"
        )


def accuracy_goal(seen: Curves) -> Goal:
    """The final accuracy is the same: the interval over the seeds holds no difference."""
    ours, theirs = (100 * np.array(seen[name])[:, -1] for name in (OURS, DATALOADER))
    difference = inference.paired_difference(ours, theirs)
    said = f"{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"
    return Goal("same final accuracy, in points", said, difference.low <= 0 <= difference.high)


# ---- the command -----------------------------------------------------------------------------


def progress(text: str) -> None:
    """Say what is going on, in one line that is written over."""
    print(f"\r{text:<60}", end="" if text else "\r", file=sys.stderr, flush=True)


def read_data(path: Path) -> dataset.Dataset:
    """The data set in a file, which is made if it is not there yet."""
    if not path.exists():
        subprocess.run([sys.executable, str(FETCH), "--output", str(path)], check=True)
    return dataset.read(path)


def versions() -> dict[str, str]:
    """Versions of the libraries that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def check_memory(processes: int) -> None:
    """Refuse more processes than the memory holds: swapping would measure the disk."""
    needed, free = processes * PROCESS_BYTES, psutil.virtual_memory().available
    if needed > free:
        raise SystemExit(
            f"{processes} processes need about {needed / 1e9:.0f} GB of memory and "
            f"{free / 1e9:.0f} GB are free: name fewer --contestants or fewer --fits."
        )


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11, help="rounds that count (11)")
    parser.add_argument(
        "--contestants",
        nargs="+",
        choices=list(CONTESTANTS),
        default=list(CONTESTANTS),
        help=f"who takes part beside {FLOOR}, {OURS} and its parts (all)",
    )
    parser.add_argument("--fits", type=int, help="fits side by side (one per usable core)")
    parser.add_argument("--images", type=int, help="training images (all)")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the accuracy (5)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the accuracy (10)")
    parser.add_argument("--dataset", type=Path, default=FOLDER / "dataset.safetensors")
    parser.add_argument("--output", type=Path, default=FOLDER / "trainer.json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Race, compare the accuracy, print the tables, and keep them as JSON."""
    arguments = parse(argv)
    asked = {FLOOR, OURS, *PARTS, *arguments.contestants}
    names = [name for name in CONTESTANTS if name in asked and CONTESTANTS[name].is_installed]
    fits = arguments.fits or device.usable_cores()
    check_memory(fits * len(names))
    data = read_data(arguments.dataset)
    test = Examples(dataset.pixels(data.test_images, torch.device("cpu")), data.test_labels.long())
    images, labels = data.images[: arguments.images], data.labels[: arguments.images]
    print(f"{len(labels):,} images of {data.info.name}, {fits} fits side by side")
    if skipped := sorted(asked - set(names)):
        print(f"not installed, left out: {', '.join(skipped)} (make bench-trainer installs them)")
    with tempfile.TemporaryDirectory() as scratch:
        folder = contestants.write(Path(scratch), images, labels).folder
        # Some peers would take a GPU by themselves.
        with environment(KERAS_BACKEND="torch", CUDA_VISIBLE_DEVICES=""):
            samples = race(names, folder, fits, arguments.rounds)
            seen = curves(folder, test, fits, arguments.seeds, arguments.epochs)
    rows = {name: row(name, samples) for name in names}
    goals = [*speed_goals(rows), accuracy_goal(seen)]
    tables = [table(list(rows.values())), shares(rows), accuracy_table(seen)]
    print(*(line for lines in tables for line in (*lines, "")), sep="\n")
    print(f"{'goal':<42}{'seen':<24}met")
    for goal in goals:
        print(f"{goal.goal:<42}{goal.seen:<24}{'yes' if goal.met else 'NO'}")
    kept: dict[str, Any] = {
        "images": len(labels),
        "fits": fits,
        "skipped": skipped,
        "versions": versions(),
        "rows": [asdict(each) for each in rows.values()],
        "goals": [asdict(goal) for goal in goals],
        "samples": samples,
        "accuracy": seen,
    }
    record.write_atomically(arguments.output, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
