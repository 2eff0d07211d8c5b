"""Time a step of training with every activation, in one paired trial.

    python workflow/scripts/measure_steps.py --occasion 1 \\
        --dataset results/data/dataset.safetensors --output steps.json

A study of its own: the trainings share the machine with each other, and nothing is timed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from assay import job
from assay.job import Job
from assay.learning import dataset, experiment
from assay.learning.dataset import CLASSES
from assay.learning.network import of_activation
from assay.learning.training import TIMED_RATE, Examples
from assay.record import Trial
from assay.timing import trial
from assay.timing.clock import HostClock
from assay.timing.trial import Protocol, Work
from torch.nn import functional

ANCHOR = "relu"


def measure(job: Job) -> list[Trial]:
    """One trial: ReLU is the anchor, every other activation an arm."""
    settings = job.settings
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    batch = data.training.head(settings["batch"])
    own = Protocol.of_study(settings, job.device)
    # Who reads of it reads an answer to another study's question.
    protocol = replace(own, budget="studies.steps.settings.cap_s")
    # What a person waits for, who does not care whether the host or the device is late.
    clock, seed = HostClock(job.device), settings["seed"]
    anchor = step(ANCHOR, settings["hidden"], batch)
    trial.settle(anchor, protocol, clock, seed)
    targets = {
        name: step(name, settings["hidden"], batch)
        for name in settings["activations"]
        if name != ANCHOR
    }
    what = {"phase": "step time", "anchor": ANCHOR}
    return [trial.compare({**what}, anchor, targets, protocol, clock, seed)]


def step(activation: str, hidden: Sequence[int], batch: Examples) -> Work[Any]:
    """One step of SGD on one batch, as a work to be timed."""
    widths = [batch.inputs.shape[1], *hidden, CLASSES]

    def prepare(generator: torch.Generator) -> Any:
        network = of_activation(activation, widths, 0).to(batch.inputs.device)
        return network, torch.optim.SGD(network.parameters(), lr=TIMED_RATE)

    def run(operands: Any) -> None:
        network, optimizer = operands
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(batch.inputs), batch.labels).backward()
        optimizer.step()

    return Work(prepare, run)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("steps", {"occasion": int}, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
