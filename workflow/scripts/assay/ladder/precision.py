"""A step of training in several number formats, and what their rounding loses.

Mixed precision, as torch's users write it: ``autocast`` turns what products take into 16 bits while
weights and updates stay float32, and a gradient scaler keeps float16's gradients off zero
(Micikevicius et al., "Mixed precision training", 2018, arXiv:1710.03740). Or the weights themselves
are bfloat16, where an update under about 2⁻⁸ of its weight is rounded away (Zamirai et al.,
"Revisiting bfloat16 training", 2021, arXiv:2010.06192).
"""

from __future__ import annotations

import copy
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from assay.device import Unavailable, first_line
from assay.learning.training import Examples, Step
from assay.timing import dtypes, proof

SCALE = 2.0**16  # a gradient scaler's first factor, as torch has it
TRIED = 4  # steps by which the time of many is estimated


class Sgd:
    """What a gradient scaler needs of an optimiser, bit for bit ``torch.optim.SGD``.

    That one takes seconds to import, in every job.
    """

    def __init__(self, weights: list[nn.Parameter], rate: float) -> None:
        self.param_groups = [{"params": weights}]
        self.weights, self.rate = weights, rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the weights."""
        for weight in self.weights:
            if weight.grad is not None:
                weight.sub_(weight.grad, alpha=self.rate)


@dataclass(frozen=True)
class Precision:
    """In which formats a step is made."""

    weights: torch.dtype = torch.float32  # of inputs, weights, gradients and updates
    products: torch.dtype | None = None  # autocast's; None: as the weights
    scaled: bool = False  # whether the loss is multiplied, and the gradients divided again
    float32: str = "float32"  # how a GPU multiplies float32: as it is, or as tf32

    def examples(self, examples: Examples) -> Examples:
        """The examples as a network of these weights takes them."""
        return replace(examples, inputs=examples.inputs.to(self.weights))

    def scores(self, network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """The forward pass."""
        dtypes.set_precision(self.float32)
        with torch.autocast(inputs.device.type, self.products) if self.products else nullcontext():
            scores: torch.Tensor = network(inputs)
        return scores

    def loss(self, network: nn.Module, batch: Examples) -> torch.Tensor:
        """The mean loss, in float32 whatever the products are."""
        return functional.cross_entropy(self.scores(network, batch.inputs).float(), batch.labels)

    def steps(self, network: nn.Module, rate: float) -> Step:
        """Steps of plain SGD, with torch's gradient scaler where the loss is scaled."""
        optimizer: Any = Sgd([*network.parameters()], rate)
        place = next(network.parameters()).device.type
        scaler = torch.amp.GradScaler(place, init_scale=SCALE, enabled=self.scaled)

        def step(batch: Examples) -> torch.Tensor:
            optimizer.zero_grad()
            loss = self.loss(network, batch)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            return loss.detach()

        return step


FLOAT32 = Precision()
PRECISIONS: dict[str, Precision] = {
    "float32": FLOAT32,
    "tf32": Precision(float32="tf32"),
    "bfloat16": Precision(products=torch.bfloat16),
    "float16": Precision(products=torch.float16),
    "float16_scaled": Precision(products=torch.float16, scaled=True),
    "bfloat16_weights": Precision(weights=torch.bfloat16),
    # Multiplied and divided by a power of two: in float32 that changes no bit.
    "placebo": Precision(scaled=True),
}


def require(name: str, network: nn.Module, batch: Examples) -> None:
    """See to it that the batch's device makes a step in a precision.

    Args:
        name: A key of :data:`PRECISIONS`.
        network: A network of float32, which stays as it is.
        batch: A batch of float32.

    Raises:
        Unavailable: It does not.
    """
    precision, place = PRECISIONS[name], batch.inputs.device
    if name == "tf32" and place.type != "cuda":
        raise Unavailable("TF32 is a format of NVIDIA's GPUs, inside their products")
    dtypes.require(name, place)
    own, taken = copy.deepcopy(network).to(precision.weights), precision.examples(batch)
    try:
        precision.steps(own, 0.0)(taken)
        seen = precision.scores(own, taken.inputs).dtype
    except (RuntimeError, TypeError) as error:
        if proof.is_missing_kernel(error):
            raise Unavailable(first_line(error)) from None
        raise
    if seen != (precision.products or precision.weights):  # torch warns and goes on in float32
        raise Unavailable(f"torch has no autocast to {name} on {place.type}")


def wrong(name: str, network: nn.Module, batch: Examples) -> str | None:
    """That the loss is not float32's but for rounding, in words; None where it is.

    Args:
        name: A key of :data:`PRECISIONS`.
        network: A network of float32, which stays as it is.
        batch: A batch of float32.
    """
    precision = PRECISIONS[name]
    own = copy.deepcopy(network).to(precision.weights)
    exact = FLOAT32.loss(network, batch).detach()
    seen = precision.loss(own, precision.examples(batch)).detach()
    dtype = str(precision.products or precision.weights).removeprefix("torch.")
    allowed = proof.tolerance(batch.inputs.shape[1], "tf32" if name == "tf32" else dtype)
    return proof.wrong(proof.relative_error(seen, exact), allowed, "loss")


def step_s(step: Step, batch: Examples) -> float:
    """Seconds of a step, about, to see whether many would take too long: the best of a few."""
    seen = []
    for _ in range(TRIED):
        start = time.perf_counter()
        float(step(batch))  # waits for a GPU
        seen.append(time.perf_counter() - start)
    return min(seen)


def rounded_away(
    precision: Precision, network: nn.Sequential, batch: Examples, rate: float
) -> dict[str, list[float]]:
    """What a step loses by rounding: shares of what is not zero, by linear layer.

    Args:
        precision: In which the step is made.
        network: A network of such weights.
        batch: As that network takes it.
        rate: The learning rate.

    Returns:
        ``signals``, of the loss's gradient in a layer's outputs, and ``gradients``, in its
        weights: what is not zero in float32, but is in this precision. ``updates``: weights that
        have a gradient, and yet stay as they are.
    """
    scale = SCALE if precision.scaled else 1.0
    own = _gradients(precision, network, batch, scale)
    exact = _gradients(FLOAT32, copy.deepcopy(network).float(), FLOAT32.examples(batch))
    zero = [_share(seen == 0, among=true != 0) for seen, true in zip(own, exact, strict=True)]
    layers = _layers(network)
    updates = []
    for layer, gradient in zip(layers, own[len(layers) :], strict=True):
        weight = layer.weight.detach()
        stays = weight.sub(gradient / scale, alpha=rate) == weight
        updates.append(_share(stays, among=gradient != 0))
    return {"signals": zero[: len(layers)], "gradients": zero[len(layers) :], "updates": updates}


def _layers(network: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in network if isinstance(layer, nn.Linear)]


def _gradients(
    precision: Precision, network: nn.Sequential, batch: Examples, scale: float = 1.0
) -> tuple[torch.Tensor, ...]:
    """The loss's gradients, times a factor: in all layers' outputs, then in their weights."""
    outputs: list[torch.Tensor] = []
    layers = _layers(network)
    hooks = [
        layer.register_forward_hook(lambda *seen: outputs.append(seen[-1])) for layer in layers
    ]
    loss = precision.loss(network, batch)
    for hook in hooks:
        hook.remove()
    return torch.autograd.grad(scale * loss, [*outputs, *(layer.weight for layer in layers)])


def _share(hit: torch.Tensor, among: torch.Tensor) -> float:
    """Share of some elements; none of none."""
    return float(hit[among].float().mean()) if among.any() else 0.0
