"""The networks: depth, width, activation, initialisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import nn
from torch.nn import init

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
# The arm that must make no difference. As an activation: a published answer passes it to a function
# that ignores it and always builds ReLU. As an initialisation: the published ones match no layer.
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


def of_activation(name: str, widths: Sequence[int], seed: int) -> nn.Sequential:
    """The perceptron of an arm: of an activation, or of the placebo.

    Args:
        name: A name of :data:`ACTIVATIONS`, or :data:`PLACEBO`.
        widths: Features of the input, of each hidden layer, and of the output.
        seed: Seed of the weights.

    Raises:
        KeyError: There is no such activation.
    """
    build = perceptron_ignoring if name == PLACEBO else perceptron
    return build(widths, name, seed)


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


def parameter_count(network: nn.Module) -> int:
    """How many numbers the parameters that torch finds consist of, shared ones counted once."""
    return sum(parameter.numel() for parameter in network.parameters())


# ---- initialisation -----------------------------------------------------------------------------

Initializer = Callable[[nn.Module], None]  # for nn.Module.apply: called with every module


def _drawing(draw: Callable[[torch.Tensor], object]) -> Initializer:
    """An initialiser that draws the weights of linear layers and sets their biases to zero."""

    def initialize(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            draw(module.weight)
            init.zeros_(module.bias)

    return initialize


def _nothing(module: nn.Module) -> None:
    """Leave every module as torch made it."""


def _matching_no_layer(module: nn.Module) -> None:
    """As published: tests for the lazy layer, although the network is made of plain ones."""
    if isinstance(module, nn.LazyLinear):
        init.uniform_(module.weight)


# Ways to draw the first weights. n and m are a layer's fan-in and fan-out; where a gain can be
# given, it is the function's default, as in the exercise.
INITIALIZERS: dict[str, Initializer] = {
    # Weights and biases from U(±1/√n), which torch's Linear draws by itself.
    "default": _nothing,
    # Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    # networks" (2010): variance 2/(n + m), which neither activations nor gradients should outgrow.
    "xavier_uniform": _drawing(init.xavier_uniform_),
    "xavier_normal": _drawing(init.xavier_normal_),
    # He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015): variance 2/n, because ReLU
    # passes on half of the second moment.
    "kaiming_uniform": _drawing(partial(init.kaiming_uniform_, nonlinearity="relu")),
    "kaiming_normal": _drawing(partial(init.kaiming_normal_, nonlinearity="relu")),
    # Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    # linear neural networks" (2014): orthonormal rows or columns, whichever are fewer.
    "orthogonal": _drawing(init.orthogonal_),
    # The same spread for every layer, whatever its width.
    "normal_0_001": _drawing(partial(init.normal_, std=0.001)),
    "normal_0_01": _drawing(partial(init.normal_, std=0.01)),
    "normal_0_1": _drawing(partial(init.normal_, std=0.1)),
    # What the published solutions of the exercise meant by "uniform" and "normal".
    "normal_1": _drawing(init.normal_),
    "uniform_0_1": _drawing(init.uniform_),
    # All units of a layer alike: they compute the same, get the same gradient, and stay alike.
    "zeros": _drawing(init.zeros_),
    "constant": _drawing(partial(init.constant_, val=0.01)),
    # The arm that must not differ from the default.
    PLACEBO: _matching_no_layer,
}


def initialize(network: nn.Sequential, initialization: str, seed: int) -> nn.Sequential:
    """Draw the first weights of a network in place, and return it.

    Args:
        network: The network, with torch's default weights.
        initialization: A name of :data:`INITIALIZERS`. All but ``default`` and the placebo set
            the biases to zero.
        seed: Seed of the weights; the global generator is left as it was.

    Raises:
        KeyError: There is no such initialisation.
    """
    draw = INITIALIZERS[initialization]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.apply(draw)
    return network
