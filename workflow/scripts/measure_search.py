"""Search width and rate together, on a grid or at random, with the same number of trainings.

Each seed is a search of its own: every pair is trained a little and judged on the validation
images; the best pair is trained anew and reads the test images, once.

    python workflow/scripts/measure_search.py --strategy random \\
        --dataset results/data/dataset.safetensors --output random.json
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from assay import job
from assay.job import Job
from assay.learning import dataset, experiment
from assay.learning.dataset import CLASSES
from assay.learning.experiment import Build
from assay.learning.network import perceptron
from assay.record import Trial
from torch import nn

Pair = tuple[int, float]  # units of the hidden layer, learning rate


def ends(settings: Mapping[str, Any], axis: str) -> tuple[float, float]:
    """From where to where an axis is searched."""
    return settings[axis]["least"], settings[axis]["most"]


def on_grid(settings: Mapping[str, Any], seed: int) -> list[Pair]:
    """Every width with every rate, both evenly spaced in their logarithms; the seed is not used."""
    widths, rates = (
        np.geomspace(*ends(settings, axis), settings["points"]) for axis in ("width", "rate")
    )
    return [(round(float(width)), float(rate)) for width, rate in product(widths, rates)]


def at_random(settings: Mapping[str, Any], seed: int) -> list[Pair]:
    """As many pairs from the same ranges, each drawn evenly in both logarithms.

    Bergstra and Bengio, "Random search for hyper-parameter optimization" (2012).
    """
    generator = np.random.default_rng(seed)
    logs = [
        generator.uniform(*np.log(ends(settings, axis)), settings["points"] ** 2)
        for axis in ("width", "rate")
    ]
    widths, rates = map(np.exp, logs)
    return [(round(float(w)), float(r)) for w, r in zip(widths, rates, strict=True)]


STRATEGIES = {"grid": on_grid, "random": at_random}


def measure(job: Job) -> list[Trial]:
    """One search per seed: a tuning run per pair, and a run that counts with the best of them."""
    settings, choose = job.settings, STRATEGIES[job.axes["strategy"]]
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    features = data.training.inputs.shape[1]

    def arm(width: int) -> Build:
        def build(seed: int) -> nn.Sequential:
            return perceptron([features, width, CLASSES], "relu", seed).to(job.device)

        return build

    trials: list[Trial] = []
    for seed in experiment.seeds(settings):
        own = settings | {"seed": seed}
        tuned = [
            of_search(seed, width, experiment.tune(arm(width), rate, data, own))
            for width, rate in choose(settings, seed)
        ]
        trials += tuned
        best: Any = experiment.best(tuned)
        if best:
            width, rate = best.what["width"], best.what["rate"]
            run = experiment.compete(arm(width), rate, seed, data, settings)
            trials.append(of_search(seed, width, run))
    return trials


def of_search(seed: int, width: int, trial: Trial) -> Trial:
    """The trial with the search that it belongs to and the width that was tried."""
    trial.what |= {"search": seed, "width": width}
    return trial


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"strategy": job.one_of(STRATEGIES)}
    job.run("search", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
