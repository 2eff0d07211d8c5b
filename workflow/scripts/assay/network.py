"""The networks: depth, width, activation, initialisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "identity": nn.Identity,
}
# The arm that must not differ from ReLU: a published answer passes the activation to a function
# that ignores it and always builds ReLU.
PLACEBO = "placebo"


def perceptron(widths: Sequence[int], activation: str, seed: int) -> nn.Sequential:
    """A multilayer perceptron with torch's default initialisation.

    The linear layers of two networks of the same widths and seed have the same weights, whatever
    the activation, so that arms can be paired by seed.

    Args:
        widths: Features of the input, of each hidden layer, and of the output.
        activation: A name of :data:`ACTIVATIONS`.
        seed: Seed of the weights; the global generator is left as it was.

    Raises:
        KeyError: There is no such activation.
    """
    make = ACTIVATIONS[activation]
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), make()]
    return nn.Sequential(*layers[:-1])  # no activation behind the output


def perceptron_ignoring(widths: Sequence[int], activation: str, seed: int) -> nn.Sequential:
    """The same, but the argument is ignored: always ReLU, whatever is asked for."""
    return perceptron(widths, "relu", seed)


def hidden_outputs(network: nn.Sequential, inputs: torch.Tensor) -> list[torch.Tensor]:
    """What each hidden layer passes on, after its activation.

    Args:
        network: A network of :func:`perceptron`.
        inputs: (n, features).

    Returns:
        One (n, width) tensor per hidden layer.
    """
    outputs = []
    for layer in network:
        inputs = layer(inputs)
        if not isinstance(layer, nn.Linear):
            outputs.append(inputs)
    return outputs
