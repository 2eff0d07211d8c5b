"""The textbook's network, and one step of its training: with the framework and from scratch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from assay.learning.dataset import CLASSES

PIXELS = 784
WIDTHS = (256, 128, 64, 32, 16)  # of the hidden layers; a network of depth d has the first d
BATCH, RATE = 256, 0.1

Step = Callable[[Tensor, Tensor], Tensor]  # one step on a batch of images and labels: its loss
Layers = list[tuple[Tensor, Tensor]]  # weight (fan-in, fan-out) and bias of each layer


def of_framework(network: nn.Module, rate: float) -> Step:
    """One step with the framework's layers and its optimiser."""
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        loss = functional.cross_entropy(network(images.flatten(1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def from_scratch(layers: Layers, rate: float) -> Step:
    """The same step from scratch: tensors, automatic differentiation, hand-written ReLU and SGD."""
    parameters = [parameter.requires_grad_() for layer in layers for parameter in layer]

    def step(images: Tensor, labels: Tensor) -> Tensor:
        outputs = images.flatten(1)
        for i, (weight, bias) in enumerate(layers):
            outputs = outputs @ weight + bias
            if i < len(layers) - 1:
                outputs = torch.max(outputs, torch.zeros_like(outputs))
        loss = functional.cross_entropy(outputs, labels)
        loss.backward()
        with torch.no_grad():
            for parameter in parameters:
                assert parameter.grad is not None
                parameter -= rate * parameter.grad
                parameter.grad.zero_()
        return loss.detach()

    return step


def small_normal(widths: Sequence[int], place: torch.device) -> Layers:
    """Weights as the textbook's scratch networks have them: N(0, 0.01), biases zero."""
    return [
        (0.01 * torch.randn(fan_in, fan_out, device=place), torch.zeros(fan_out, device=place))
        for fan_in, fan_out in pairwise(widths)
    ]


def weights_of(network: nn.Sequential) -> Layers:
    """A copy of a network's weights and biases."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    return [(each.weight.detach().T.clone(), each.bias.detach().clone()) for each in linear]


def widths(depth: int) -> list[int]:
    """Features from the input to the output of a network with so many hidden layers."""
    return [PIXELS, *WIDTHS[:depth], CLASSES]
