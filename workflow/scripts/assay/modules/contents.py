"""What a module can have, and what of it can be reached: things to change and to look for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class Everything(nn.Module):
    """A module with one of each thing that a module can have."""

    passing: Tensor
    buffer: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.zeros(3), requires_grad=False)
        self.register_buffer("buffer", torch.zeros(3))
        self.register_buffer("passing", torch.zeros(3), persistent=False)
        self.tensor = torch.zeros(3)
        self.hidden = [nn.Linear(1, 1, bias=False)]  # a plain list: not registered
        nn.init.zeros_(self.hidden[0].weight)
        self.dropout = nn.Dropout(0.0)
        self.activation: nn.Module = nn.ReLU()


@dataclass(frozen=True)
class Item:
    """Something that a module has, which can be read as a number, and set to one."""

    read: Callable[[Everything], float]
    change: Callable[[Everything], object]


def _tensor(find: Callable[[Everything], Tensor]) -> Item:
    return Item(lambda m: float(find(m).detach().sum()), lambda m: find(m).detach().fill_(1.0))


ITEMS = {
    "parameter": _tensor(lambda m: m.parameter),
    "frozen parameter": _tensor(lambda m: m.frozen),
    "buffer": _tensor(lambda m: m.buffer),
    "non-persistent buffer": _tensor(lambda m: m.passing),
    "plain tensor": _tensor(lambda m: m.tensor),
    "layer in a Python list": _tensor(lambda m: m.hidden[0].weight),
    "setting (dropout's p)": Item(lambda m: m.dropout.p, lambda m: setattr(m.dropout, "p", 0.5)),
    "flag requires_grad": Item(
        lambda m: float(m.parameter.requires_grad), lambda m: m.parameter.requires_grad_(False)
    ),
    "mode (train or eval)": Item(lambda m: float(m.training), lambda m: m.eval()),
    "architecture (activation)": Item(
        lambda m: float(m.activation(torch.tensor(-1.0))),
        lambda m: setattr(m, "activation", nn.Tanh()),
    ),
}


def library() -> Iterator[tuple[str, nn.Module]]:
    """Layers of torch, and a nested network of them."""
    yield "Linear", nn.Linear(4, 4)
    yield "Conv2d", nn.Conv2d(4, 4, 3)
    yield "Bilinear", nn.Bilinear(4, 4, 4)
    yield "Embedding", nn.Embedding(4, 4)
    yield "BatchNorm1d", nn.BatchNorm1d(4)
    yield "LSTM", nn.LSTM(4, 4, num_layers=2, bidirectional=True)
    yield "MultiheadAttention", nn.MultiheadAttention(4, 2)
    yield "TransformerEncoderLayer", nn.TransformerEncoderLayer(4, 2, 8)
    yield "nested Sequential", nested()


def nested() -> nn.Sequential:
    """A network in a network in a network."""
    block = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU())
    return nn.Sequential(nn.Sequential(block, nn.Linear(4, 4)), nn.Linear(4, 1))


WAYS: dict[str, Callable[[Any], Tensor]] = {
    "net[0][0][2].weight": lambda net: net[0][0][2].weight,
    'net.get_parameter("0.0.2.weight")': lambda net: net.get_parameter("0.0.2.weight"),
    'net.get_submodule("0.0.2").weight': lambda net: net.get_submodule("0.0.2").weight,
    'dict(net.named_parameters())["0.0.2.weight"]': lambda net: dict(net.named_parameters())[
        "0.0.2.weight"
    ],
    'net.state_dict()["0.0.2.weight"]': lambda net: net.state_dict()["0.0.2.weight"],
    "net[0][0][2].weight.data": lambda net: net[0][0][2].weight.data,
}
