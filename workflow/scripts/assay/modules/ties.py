"""Networks that share a weight between two places, and what is done to such a network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor, nn

from assay.modules.checkpoint import reloaded
from assay.modules.layers import Autoencoder, tied_perceptron


def positions(network: nn.Sequential) -> list[nn.Linear]:
    """The hidden linear layers of a network of :func:`tied_perceptron`, by position."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    return linear[1:-1]


@dataclass(frozen=True)
class Sharing:
    """A way to share a weight.

    Attributes:
        make: A network of that width with a shared weight.
        pair: The two places of the weight.
    """

    make: Callable[[int], nn.Module]
    pair: Callable[..., tuple[Tensor, Tensor]]


def _of_module(network: nn.Sequential) -> tuple[Tensor, Tensor]:
    first, second, *_ = positions(network)
    return first.weight, second.weight


SHARINGS = {
    "one module twice": Sharing(lambda width: tied_perceptron(width, width, 1, 2), _of_module),
    "one parameter twice": Sharing(
        Autoencoder, lambda network: (network.encoder.weight, network.decoder.weight)
    ),
}


def _loaded(fresh: nn.Module, state: Mapping[str, Tensor], assign: bool = False) -> nn.Module:
    fresh.load_state_dict(state, assign=assign)
    return fresh


# What is done to a tied network; each also gets a fresh one, tied as well, to load into.
OPERATIONS: dict[str, Callable[[nn.Module, nn.Module], nn.Module]] = {
    "copy.deepcopy": lambda network, fresh: copy.deepcopy(network),
    ".to(torch.float64)": lambda network, fresh: network.to(torch.float64),
    "torch.save, load_state_dict": lambda network, fresh: _loaded(
        fresh, reloaded(network.state_dict())
    ),
    "torch.save, load_state_dict(assign=True)": lambda network, fresh: _loaded(
        fresh, reloaded(network.state_dict()), assign=True
    ),
    "safetensors": lambda network, fresh: _loaded(
        fresh, safetensors.torch.load(safetensors.torch.save(network.state_dict()))
    ),
}
