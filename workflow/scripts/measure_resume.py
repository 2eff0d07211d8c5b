"""Kill trainings with SIGKILL, continue them, and compare the weights bit for bit.

    python workflow/scripts/measure_resume.py --output cpu.json

Every training runs in a process of its own. One is killed in mid-epoch, and continued from its
last checkpoint: with everything restored, and with one part of the state left out at a time.
Others are killed while they write a checkpoint, in place or atomically.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assay import job, machine
from assay.device import Unavailable
from assay.job import Job
from assay.learning import training
from assay.learning.training import Examples
from assay.modules import checkpoint, process
from assay.modules.checkpoint import PARTS, Order, Run
from assay.record import Status, Trial
from torch import nn
from torch.nn import functional

CLASSES = 10
FILE = "checkpoint.pt"
LEFT_OUT = ([], ["optimizer"], ["random"], ["order"], ["optimizer", "random", "order"])


# ---- the training --------------------------------------------------------------------------------


def begin(settings: dict[str, Any], device: torch.device) -> Run:
    """A run as the script of a training begins it: seeded, whether it will be continued or not."""
    torch.manual_seed(settings["seed"])
    network = nn.Sequential(
        nn.Linear(settings["features"], settings["hidden"]),
        nn.ReLU(),
        nn.Dropout(settings["dropout"]),
        nn.Linear(settings["hidden"], CLASSES),
    ).to(device)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=settings["rate"], momentum=settings["momentum"]
    )
    return Run(network, optimizer, Order(settings["examples"], settings["batch"], settings["seed"]))


def examples(settings: dict[str, Any], device: torch.device) -> Examples:
    """Normal random inputs; a random linear map says which class each is in."""
    generator = torch.Generator().manual_seed(settings["seed"])
    inputs = torch.randn(settings["examples"], settings["features"], generator=generator)
    teacher = torch.randn(settings["features"], CLASSES, generator=generator)
    return Examples(inputs.to(device), (inputs @ teacher).argmax(1).to(device))


def advance(run: Run, data: Examples, to_step: int) -> None:
    """Train until so many steps are done."""
    while run.step < to_step:
        batch = data.rows(run.order.next().to(data.labels.device))
        run.optimizer.zero_grad()
        functional.cross_entropy(run.network(batch.inputs), batch.labels).backward()
        run.optimizer.step()
        run.step += 1


def finish(run: Run, settings: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Train to the end; the weights' digest, and the weights themselves."""
    advance(run, examples(settings, device), settings["steps"])
    weights = torch.cat([p.detach().flatten() for p in run.network.parameters()])
    return {"sha256": training.digest(run.network), "weights": weights.cpu().numpy()}


def unbroken(settings: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A training that nothing happens to."""
    return finish(begin(settings, device), settings, device)


def resumed(
    settings: dict[str, Any], device: torch.device, path: Path, parts: Collection[str]
) -> dict[str, Any]:
    """A training that is continued from a checkpoint, with these parts of it."""
    run = begin(settings, device)
    checkpoint.restore(run, checkpoint.load(path), parts)
    return finish(run, settings, device) | {"from_step": checkpoint.load(path)["step"]}


# ---- killed in mid-epoch -------------------------------------------------------------------------


def train_until_killed(
    sender: Connection, settings: dict[str, Any], device: torch.device, path: Path
) -> None:
    """Train, save every so many steps, and say each step."""
    run, data, parent = begin(settings, device), examples(settings, device), os.getppid()
    while not process.orphaned(parent):
        if run.step == settings["steps"] - 1:  # the kill is late: leave something to continue
            time.sleep(0.01)
            continue
        advance(run, data, run.step + 1)
        if run.step % settings["every"] == 0:
            checkpoint.save(path, checkpoint.capture(run))
        sender.send(run.step)


def kill_in_mid_epoch(job: Job, how: Any, path: Path) -> int:
    """Kill a training once it has done so many steps; return the last step it told of."""
    step = 0
    with process.victim(how, train_until_killed, job.settings, job.device, path) as told:
        while step < job.settings["kill_at"]:
            step = int(str(told()))
    return step


def continuing(job: Job, folder: Path) -> list[Trial]:
    """The unbroken run twice, and the killed one continued in every way."""
    settings, device, how = job.settings, job.device, process.context(job.device.type)
    call = partial(process.call, how)
    whole = call(unbroken, settings, device)
    again = call(unbroken, settings, device)
    killed_at = kill_in_mid_epoch(job, how, folder / FILE)
    trials = [
        outcome({"phase": "unbroken", "left_out": ""}, whole, whole),
        outcome({"phase": "unbroken again", "left_out": ""}, again, whole),
    ]
    for left_out in LEFT_OUT:
        parts = [part for part in PARTS if part not in left_out]
        seen = call(resumed, settings, device, folder / FILE, parts)
        trial = outcome({"phase": "resumed", "left_out": ", ".join(left_out)}, seen, whole)
        steps_per_epoch = -(-settings["examples"] // settings["batch"])
        trial.result |= {
            "killed_at_step": killed_at,
            "from_step": seen["from_step"],
            "steps_per_epoch": steps_per_epoch,
        }
        trials.append(trial)
    return trials


def outcome(what: dict[str, Any], seen: dict[str, Any], whole: dict[str, Any]) -> Trial:
    """The final weights of a run beside those of the unbroken one."""
    distance = np.linalg.norm(seen["weights"] - whole["weights"])
    relative = float(distance / np.linalg.norm(whole["weights"]))
    if not np.isfinite(relative):
        reason = "its weights, or those of the unbroken run, are no finite numbers"
        return Trial(what=what, status=Status.DIVERGED, reason=reason)
    return Trial(
        what=what,
        result={
            "weights_sha256": seen["sha256"],
            "same": seen["sha256"] == whole["sha256"],
            "relative_distance": relative,
        },
    )


# ---- killed while writing ------------------------------------------------------------------------


def in_place(path: Path, state: dict[str, Any]) -> None:
    """The usual line; it empties the old file before it writes the new one."""
    torch.save(state, path)


WAYS: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "in place": in_place,
    "atomic": checkpoint.save,
}


def write_until_killed(sender: Connection, way: str, path: Path, count: int) -> None:
    """Write checkpoint after checkpoint; each is filled with its own number."""
    number, parent = 0, os.getppid()
    while not process.orphaned(parent):
        WAYS[way](path, {"number": number, "weights": torch.full((count,), float(number))})
        if number == 0:
            sender.send(path.stat().st_size)
        number += 1


def whole(path: Path) -> bool:
    """Whether a checkpoint can be read and holds what one writing put there."""
    try:
        state = checkpoint.load(path)
    except Exception:  # what a file that is cut short makes torch raise is not documented
        return False
    return bool((state["weights"] == state["number"]).all())


def killing_writers(job: Job, way: str, folder: Path) -> Trial:
    """Kill writers at random moments and look at what each left."""
    settings, how = job.settings, process.context("cpu")  # nothing on the device is written
    draw = np.random.default_rng(settings["seed"])
    count = settings["file_bytes"] // 4
    delays: list[Any] = []
    sizes: list[Any] = []
    kept: list[Any] = []
    left_over = 0
    full_size = 0
    for i in range(settings["kills"]):
        place = folder / f"{way}-{i}".replace(" ", "-")
        place.mkdir()
        delays.append(float(draw.uniform(*settings["kill_after_s"])))
        with process.victim(how, write_until_killed, way, place / FILE, count) as told:
            full_size = int(str(told()))
            time.sleep(delays[-1])
        sizes.append((place / FILE).stat().st_size)
        kept.append(process.call(how, whole, place / FILE))
        left_over += len(list(place.iterdir())) - 1
    return Trial(
        what={"phase": "killed while writing", "way": way},
        samples={"delay_s": delays, "bytes_left": [*map(float, sizes)], "whole": kept},
        result={
            "kills": settings["kills"],
            "unreadable": kept.count(False),
            "file_bytes": full_size,
            "partial_files_left": left_over,
        },
    )


def load_libraries(settings: dict[str, Any]) -> None:
    """Let an optimiser do nothing here, so that what it imports at first use is forked along."""
    begin(settings, torch.device("cpu")).optimizer.step()


def measure(job: Job) -> list[Trial]:
    """Continue a killed training, then kill writers.

    Raises:
        Unavailable: The GPU is for one process alone, which is this one.
    """
    if machine.is_exclusive(job.device):
        raise Unavailable("trainings in processes of their own need a GPU that is not exclusive")
    load_libraries(job.settings)
    with process.folder() as folder:
        trials = continuing(job, folder)
        return trials + [killing_writers(job, way, folder) for way in WAYS]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("resume", {}, measure, argv)


if __name__ == "__main__":
    main()
