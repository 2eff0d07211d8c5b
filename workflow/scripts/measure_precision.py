"""Train in one precision, once per seed, and look at what its rounding loses.

    python workflow/scripts/measure_precision.py --precision bfloat16 \\
        --dataset results/data/dataset.safetensors --output bfloat16.json

All precisions have the same rate: that half precision needs no other one is what is tested.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from typing import Any

from assay import job
from assay.job import Job
from assay.ladder.precision import PRECISIONS, require, rounded_away, step_s
from assay.learning import dataset, experiment
from assay.learning.dataset import CLASSES
from assay.learning.network import perceptron
from assay.learning.training import Examples, Step
from assay.record import Status, Trial
from assay.timing import allocation
from torch import nn


def measure(job: Job) -> list[Trial]:
    """One run per seed, then the memory of a step; skipped where they would take too long."""
    settings, name = job.settings, job.axes["precision"]
    precision, rate = PRECISIONS[name], settings["rate"]
    whole = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    data, batch = whole.map(precision.examples), whole.training.head(settings["batch"])
    widths = [batch.inputs.shape[1], *settings["hidden"], CLASSES]

    def build(seed: int) -> nn.Sequential:
        return perceptron(widths, "relu", seed).to(job.device, precision.weights)

    require(name, perceptron(widths, "relu", 0).to(job.device), batch)
    batch = precision.examples(batch)
    steps = math.ceil(len(data.training.labels) / settings["batch"])
    steps *= settings["epochs"] * settings["seeds"]
    estimate_s = steps * step_s(precision.steps(build(0), rate), batch)
    if estimate_s > settings["cell_s"]:
        return [too_long(estimate_s, settings["cell_s"])]
    trials = []
    for seed in experiment.seeds(settings):
        arm = build(seed)
        run = experiment.compete(lambda _: arm, rate, seed, data, settings, precision.steps)  # noqa: B023
        if run.status == Status.OK:
            lost: Any = rounded_away(precision, arm, batch, rate)
            run.result["rounded_away"] = lost
        trials.append(run)
    network = build(0)  # of float32 at first, whose memory no step needs
    return [*trials, memory(network, lambda: precision.steps(network, rate), batch)]


def too_long(estimate_s: float, budget_s: float) -> Trial:
    """Why a precision's runs are left out."""
    reason = f"its runs would take {estimate_s:.0f} s, over the budget of {budget_s:g} s "
    reason += "(studies.precision.settings.cell_s)"
    what, found = {"phase": "estimate"}, {"estimate_s": estimate_s}
    return Trial(what={**what}, status=Status.SKIPPED, reason=reason, result={**found})


def memory(network: nn.Module, start: Callable[[], Step], batch: Examples) -> Trial:
    """Bytes of the weights, and most of what two steps with them allocate at once."""

    def two_steps() -> None:
        step = start()
        step(batch)
        step(batch)

    gc.collect()
    peak = allocation.peak_bytes(two_steps, batch.inputs.device)
    whole = None if peak is None else peak + sum(each.nbytes for each in network.parameters())
    return Trial(what={"phase": "memory"}, result={"memory_bytes": whole})


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"precision": job.one_of(PRECISIONS)}
    job.run("precision", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
