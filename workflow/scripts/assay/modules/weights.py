"""The first weights of torch's layers, and how they are spread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Sizes = dict[str, int]


@dataclass(frozen=True)
class Layer:
    """A kind of layer: its weights for some sizes, and what these sizes mean.

    Attributes:
        weights: Draws the weights from torch's global generator.
        factors: The numbers that the spread of the weights may depend on, by name. Where inputs
            and outputs can be told, they are ``fan_in`` and ``fan_out``.
    """

    weights: Callable[..., Tensor]
    factors: Callable[..., Sizes]


def linear(inputs: int, outputs: int) -> Tensor:
    """The weights (outputs, inputs) of a linear layer."""
    return nn.Linear(inputs, outputs).weight


def xavier(inputs: int, outputs: int) -> Tensor:
    """The control: an initialisation that does take inputs and outputs into account."""
    return nn.init.xavier_uniform_(nn.Linear(inputs, outputs).weight)


def convolution(inputs: int, outputs: int, kernel: int) -> Tensor:
    """The weights (outputs, inputs, kernel, kernel) of a convolution."""
    return nn.Conv2d(inputs, outputs, kernel).weight


def bilinear(first: int, second: int, outputs: int) -> Tensor:
    """The weights (outputs, first, second) of a bilinear layer."""
    return nn.Bilinear(first, second, outputs).weight


def embedding(inputs: int, outputs: int) -> Tensor:
    """The weights (inputs, outputs) of an embedding: a linear layer for one-hot inputs."""
    return nn.Embedding(inputs, outputs).weight


def matrix_fans(inputs: int, outputs: int) -> Sizes:
    """What an output sums over, and how many outputs an input goes to."""
    return {"fan_in": inputs, "fan_out": outputs}


LAYERS = {
    "linear": Layer(linear, matrix_fans),
    "conv": Layer(
        convolution,
        lambda inputs, outputs, kernel: matrix_fans(inputs * kernel**2, outputs * kernel**2),
    ),
    "bilinear": Layer(
        bilinear,
        lambda first, second, outputs: {"first": first, "second": second, "fan_out": outputs},
    ),
    "embedding": Layer(embedding, matrix_fans),
    "xavier": Layer(xavier, matrix_fans),
}


def describe(weights: Tensor, tested: int) -> dict[str, Any]:
    """How weights are spread, and whether that is uniform or normal.

    The Kolmogorov–Smirnov distances compare the first ``tested`` weights with the uniform
    distribution that ends at the largest one, and with the normal distribution of their spread.
    Both are fitted, which makes the test milder; with thousands of values it still rejects the
    wrong one by far.
    """
    flat = weights.flatten().cpu().double().numpy()
    values, bound, spread = flat[:tested], float(np.abs(flat).max()), float(flat.std())
    uniform = distance(np.clip((values + bound) / (2 * bound), 0, 1))
    normal = distance(torch.special.ndtr(torch.from_numpy(values / spread)).numpy())
    return {
        "count": flat.size,
        "tested": len(values),
        "bound": bound,
        "std": spread,
        "mean": float(flat.mean()),
        "uniform_distance": uniform,
        "normal_distance": normal,
    }


def distance(probabilities: NDArray[np.float64]) -> float:
    """Largest distance between an empirical distribution and the one that gave its probabilities.

    Kolmogorov's statistic; its p-value is computed where the verdict is given.
    """
    ordered, steps = np.sort(probabilities), np.arange(len(probabilities) + 1) / len(probabilities)
    return float(max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1])))


def histogram(weights: Tensor, bins: int) -> dict[str, list[float | bool | str | None]]:
    """Density of the weights in units of their standard deviation, from −4 to 4."""
    values = (weights / weights.std()).flatten().cpu().numpy()
    density, edges = np.histogram(values, bins=bins, range=(-4, 4), density=True)
    return {"density": density.tolist(), "centre": ((edges[1:] + edges[:-1]) / 2).tolist()}
