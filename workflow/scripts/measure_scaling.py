"""Train at one batch, the rate by each rule, once per seed, on the same number of samples.

    python workflow/scripts/measure_scaling.py --batch 2048 \\
        --dataset results/data/dataset.safetensors --output 2048.json

A rule turns the rate of the reference batch into that of another batch. At the reference batch all
rules give the same rate, bit for bit: there one of them is the placebo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay import job
from assay.job import Job
from assay.learning import dataset, experiment
from assay.learning.dataset import CLASSES
from assay.learning.network import perceptron
from assay.record import Trial
from torch import nn

# By what the rate is multiplied where the batch is multiplied by a number.
RULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda times: 1.0,
    # Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour" (2017),
    # arXiv 1706.02677.
    "linear": lambda times: times,
    # Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014),
    # arXiv 1404.5997; Hoffer, Hubara and Soudry, "Train longer, generalize better" (2017),
    # arXiv 1705.08741.
    "square_root": math.sqrt,
}
PLACEBO = "linear"  # at the reference batch
TUNED = "tuned"  # no rule: the best of some rates in validation


def rates(batch: int, best: float | None, settings: Mapping[str, Any]) -> dict[str, float]:
    """The rate of every rule at a batch, and the one that was best there, if it is no rule's."""
    reference = settings["batch"]
    rules = RULES if batch != reference else {rule: RULES[rule] for rule in ("constant", PLACEBO)}
    found = {rule: settings["rate"] * times(batch / reference) for rule, times in rules.items()}
    return found if best is None or best in found.values() else found | {TUNED: best}


def measure(job: Job) -> list[Trial]:
    """Tuning runs, and one run per rule and seed."""
    settings, batch = job.settings, job.axes["batch"]
    own = settings | {"batch": batch}
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    widths = [data.training.inputs.shape[1], *settings["hidden"], CLASSES]

    def build(seed: int) -> nn.Sequential:
        return perceptron(widths, "relu", seed).to(job.device)

    trials = [experiment.tune(build, rate, data, own) for rate in settings["rates"]]
    for rule, rate in rates(batch, experiment.best_rate(trials), settings).items():
        for seed in experiment.seeds(settings):
            run = experiment.compete(build, rate, seed, data, own)
            run.what["rule"] = rule
            trials.append(run)
    return trials


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("scaling", {"batch": int}, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
