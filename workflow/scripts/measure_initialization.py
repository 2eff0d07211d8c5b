"""Train from one initialisation at one depth: how signals start, then one run per seed.

    python workflow/scripts/measure_initialization.py --initialization kaiming_normal --depth 4 \\
        --dataset results/data/dataset.safetensors --output kaiming_normal.json
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from assay import job
from assay.job import Job
from assay.learning import dataset, experiment, training
from assay.learning.dataset import CLASSES
from assay.learning.experiment import Build, Parts
from assay.learning.network import initialize, perceptron
from assay.learning.training import Examples
from assay.record import Status, Trial
from torch import nn
from torch.nn import functional

Settings = Mapping[str, Any]
ALIKE = 1e-3  # distance of two units' weights, relative to their size, under which they are copies


def measure(job: Job) -> list[Trial]:
    """Tuning where there is a choice, one run per seed, and the signals at the start by seed."""
    settings, device = job.settings, job.device
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], device)
    hidden = [settings["width"]] * job.axes["depth"]
    widths = [data.training.inputs.shape[1], *hidden, CLASSES]

    def build(seed: int) -> nn.Sequential:
        network = perceptron(widths, "relu", seed)
        return initialize(network, job.axes["initialization"], seed).to(device)

    seeds, rates = experiment.seeds(settings), settings["rates"]
    batch = data.training.head(settings["batch"])
    # A single rate needs no tuning.
    tuning = [tune(build, rate, data, settings) for rate in rates if len(rates) > 1]
    rate = experiment.best_rate(tuning) or min(rates)  # the smallest where every one diverges
    runs = [compete(build(seed), rate, seed, data, settings) for seed in seeds]
    return [*tuning, *runs, *(start(build(seed), seed, batch) for seed in seeds)]


def tune(build: Build, rate: float, data: Parts, settings: Settings) -> Trial:
    """A tuning run; one that diverged is judged by the network that it left."""
    network = build(settings["seed"] + experiment.TUNING_SEED)
    seen = experiment.tune(lambda _: network, rate, data, settings)
    if seen.status == Status.DIVERGED:
        seen.result["validation_accuracy"] = training.accuracy(network, data.validation)
    return seen


def compete(
    network: nn.Sequential, rate: float, seed: int, data: Parts, settings: Settings
) -> Trial:
    """A run that counts; one that diverged is judged by the network that it left.

    An initialisation that makes training diverge has come to something, too: to guessing.
    """
    seen = experiment.compete(lambda _: network, rate, seed, data, settings)
    if seen.status == Status.DIVERGED:
        seen.result |= {
            "validation_accuracy": training.accuracy(network, data.validation),
            "test_accuracy": training.accuracy(network, data.test),
            "test_images": len(data.test.labels),
            "dead_share": training.constant_share(network, data.validation.inputs),
            "weights_sha256": training.digest(network),
        }
    seen.result["copied_share"] = copied_share(network[0].weight)
    return seen


@torch.no_grad()
def copied_share(weight: torch.Tensor) -> float:
    """Share of a layer's units whose incoming weights are those of another unit.

    Args:
        weight: (units, features).
    """
    distances = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(math.inf)
    nearest = distances.min(1).values
    return float((nearest <= ALIKE * weight.norm(dim=1)).float().mean())


def start(network: nn.Sequential, seed: int, batch: Examples) -> Trial:
    """Standard deviations by layer before any step, on a batch that all arms share.

    Activations are the outputs of the linear layers, before ReLU; gradients are those of an
    image's loss in them; over all images and units. The last layer's outputs are the scores.
    """
    outputs, signal = [], batch.inputs
    for layer in network:
        signal = layer(signal)
        if isinstance(layer, nn.Linear):
            outputs.append(signal)
    # The sum, so that a gradient is that of one image, however many there are in the batch.
    loss = functional.cross_entropy(signal, batch.labels, reduction="sum")
    gradients = torch.autograd.grad(loss, outputs)
    weights = [layer.weight for layer in network if isinstance(layer, nn.Linear)]
    return Trial(
        what={"phase": "start", "seed": seed},
        samples={
            "activation_std": [*map(std, outputs)],
            "gradient_std": [*map(std, gradients)],
            "weight_std": [*map(std, weights)],
        },
        result={"loss": finite(loss.item() / len(batch.labels))},
    )


def std(values: torch.Tensor) -> float | None:
    """Standard deviation over all values, None if there is no finite one.

    In double precision: squares of what U(0, 1) makes of eight layers exceed a float32.
    """
    return finite(float(values.detach().cpu().double().std(correction=0)))


def finite(value: float) -> float | None:
    """A number that JSON can hold, or None."""
    return value if math.isfinite(value) else None


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"initialization": str, "depth": int}
    job.run("initialization", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
