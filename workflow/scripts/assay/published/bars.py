"""Bars of accuracy: activations, initialisers and learning rates, as published and corrected.

Every network is trained as the textbook trains it; what differs is which network a bar shows, and
on which images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from assay import statistic
from assay.job import Job
from assay.learning import experiment, training
from assay.learning.experiment import Parts
from assay.learning.network import perceptron, perceptron_ignoring
from assay.learning.training import Examples, Recipe
from assay.published import flawed
from assay.published.figures import AS_PUBLISHED, CORRECTED, Figure, of_method
from assay.published.steps import RATE, widths
from assay.record import Trial

ACTIVATIONS = ("relu", "sigmoid", "tanh", "leaky_relu", "prelu")
RATES = (0.001, 0.01, 0.03, 0.1, 0.3, 1)


def parts(job: Job) -> Parts:
    """The data set on the device."""
    share, seed = job.settings["validation_share"], job.settings["seed"]
    return experiment.parts(job.data, share, seed, job.device)


def learned(network: nn.Sequential, rate: float, data: Parts, job: Job) -> nn.Sequential:
    """The network, trained in place as every network of these exercises is."""
    settings = job.settings
    recipe = Recipe(rate, settings["epochs"], settings["batch"], settings["seed"])
    training.train(network, data.training, data.validation, recipe)
    return network


def accuracy(network: nn.Sequential, examples: Examples) -> Figure:
    """Accuracy with the interval that the number of images leaves (Wilson's, 95 %)."""
    share, count = training.accuracy(network, examples), len(examples.labels)
    seen = statistic.wilson_share(round(share * count), count)
    return {"value": share, "low": seen.low, "high": seen.high, "images": count}


@torch.no_grad()
def paired_difference(network: nn.Sequential, seen: Examples, reference: Examples) -> Figure:
    """Accuracy on some examples minus that on others that are the same images, image by image."""
    right, of_reference = (
        (network(each.inputs).argmax(1) == each.labels).double() for each in (seen, reference)
    )
    mean = statistic.mean_of_many((right - of_reference).cpu().numpy())
    return {"value": mean.value, "low": mean.low, "high": mean.high}


Build = Callable[[Sequence[int], str, int], nn.Sequential]


def activations(job: Job) -> list[Trial]:
    """Bars of a function that ignores its argument, on raw pixels; then of one that does not."""
    data = parts(job)
    raw = flawed.raw_pixels(data.test)
    return [
        bars(AS_PUBLISHED, perceptron_ignoring, data, raw, job),
        bars(CORRECTED, perceptron, data, data.test, job),
    ]


def bars(method: str, build: Build, data: Parts, test: Examples, job: Job) -> Trial:
    """One network per activation asked for, and how many different ones that makes."""
    figures: dict[str, Figure] = {}
    networks = set()
    for name in ACTIVATIONS:
        network = build(widths(1), name, job.settings["seed"]).to(job.device)
        figures[name] = accuracy(learned(network, RATE, data, job), test)
        networks.add(training.digest(network))
    figures["networks compared"] = {"value": len(networks)}
    return of_method(method, figures)


INITIALISERS: dict[str, Callable[[Tensor], Any]] = {
    "Xavier": nn.init.xavier_uniform_,
    "uniform": nn.init.uniform_,  # between 0 and 1
    "normal": nn.init.normal_,  # mean 0, standard deviation 1
}
LAZY = ("uniform", "normal")  # which of them the published code gives to lazy layers only


def initialisers(job: Job) -> list[Trial]:
    """Bars of networks that nothing initialised, on raw pixels; then of initialised networks."""
    data, seed = parts(job), job.settings["seed"]
    raw = flawed.raw_pixels(data.test)
    wrong: dict[str, Figure] = {}
    right: dict[str, Figure] = {}
    untouched: list[JsonValue] = []

    def network(kind: type[nn.Module], fill: Callable[[Tensor], Any]) -> nn.Sequential:
        start = perceptron(widths(1), "relu", seed).to(job.device)
        before = training.digest(start)
        flawed.initialise(start, kind, fill, seed)
        untouched.extend([fill.__name__] if training.digest(start) == before else [])
        return learned(start, RATE, data, job)

    for name, fill in INITIALISERS.items():
        filled = network(nn.Linear, fill)
        right[name] = right[f"{name}, own curve"] = accuracy(filled, data.test)
        right[f"{name}: bar − own curve"] = {"value": 0.0}  # one and the same
        shown = network(nn.LazyLinear, fill) if name in LAZY else filled
        wrong[name] = accuracy(shown, raw)
        wrong[f"{name}, own curve"] = accuracy(shown, data.test)
        wrong[f"{name}: bar − own curve"] = paired_difference(shown, raw, data.test)
    return [of_method(AS_PUBLISHED, wrong, untouched=untouched), of_method(CORRECTED, right)]


def rates(job: Job) -> list[Trial]:
    """Bars one place off and on raw pixels; then every network's own accuracy."""
    data, seed = parts(job), job.settings["seed"]
    networks = [
        learned(perceptron(widths(1), "relu", seed).to(job.device), rate, data, job)
        for rate in RATES
    ]
    names = [f"rate {rate:g}" for rate in RATES]
    raw = flawed.raw_pixels(data.test)
    shown = flawed.shifted([accuracy(network, raw) for network in networks])
    own = [accuracy(network, data.test) for network in networks]
    right = dict(zip(names, own, strict=True))
    wrong = dict(zip(names, shown, strict=True))
    wrong |= {f"{name}, own curve": figure for name, figure in right.items()}
    return [of_method(AS_PUBLISHED, wrong), of_method(CORRECTED, right)]
