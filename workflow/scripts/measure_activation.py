"""Train with one activation: tune its rate, then train once per seed and read the test set.

    python workflow/scripts/measure_activation.py --activation relu \\
        --dataset results/data/dataset.safetensors --output relu.json
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from assay import dataset, experiment, job, trial
from assay.clock import clock_for
from assay.dataset import CLASSES
from assay.job import Job
from assay.network import PLACEBO, perceptron, perceptron_ignoring
from assay.record import Trial
from assay.training import Examples
from assay.trial import Protocol, Work
from torch import nn
from torch.nn import functional


def network(activation: str, hidden: Sequence[int], seed: int, examples: Examples) -> nn.Sequential:
    """The network of an arm, on the device of the examples."""
    widths = [examples.inputs.shape[1], *hidden, CLASSES]
    build = perceptron_ignoring if activation == PLACEBO else perceptron
    return build(widths, activation, seed).to(examples.inputs.device)


def measure(job: Job) -> list[Trial]:
    """Tuning runs, one run per seed at the best rate, and the time of a step."""
    settings, activation = job.settings, job.axes["activation"]
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)

    def build(seed: int) -> nn.Sequential:
        return network(activation, settings["hidden"], seed, data.training)

    trials = [experiment.tune(build, rate, data, settings) for rate in settings["rates"]]
    rate = experiment.best_rate(trials)
    if rate is None:
        return trials
    seeds = experiment.seeds(settings)
    trials += [experiment.compete(build, rate, seed, data, settings) for seed in seeds]
    return [*trials, step_time(activation, data.training, job)]


def step(activation: str, hidden: Sequence[int], batch: Examples) -> Work[Any]:
    """One step of SGD on one batch, as a work to be timed."""

    def prepare(generator: torch.Generator) -> Any:
        arm = network(activation, hidden, 0, batch)
        return arm, torch.optim.SGD(arm.parameters(), lr=1e-6)

    def run(operands: Any) -> None:
        arm, optimizer = operands
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(arm(batch.inputs), batch.labels).backward()
        optimizer.step()

    return Work(prepare, run)


def step_time(activation: str, examples: Examples, job: Job) -> Trial:
    """The time of a step relative to ReLU's, in one paired trial."""
    settings, device = job.settings, job.device
    batch = examples.head(settings["batch"])
    anchor, target = (step(name, settings["hidden"], batch) for name in ("relu", activation))
    protocol = Protocol.from_settings(settings["protocol"], device)
    return trial.compare(
        {"phase": "step time"},
        anchor,
        {"target": target},
        protocol,
        clock_for(device),
        settings["seed"],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("activation", {"activation": str}, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
