"""The training loop and its evaluation: minibatch SGD on data that stay on the device."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from assay.learning.network import hidden_outputs

EVALUATED_AT_ONCE = 10_000  # images; bounds the memory of an evaluation
# A network that cannot learn wanders about the loss it began with; one that diverges leaves it.
WORSE = 1.1
CONSTANT = 1e-6  # standard deviation under which a unit says nothing about its input
# Timed steps repeat one batch thousands of times. At a real rate they would learn it by heart, and
# gradients near zero are denormal numbers, which are slow. The work is the same at any rate.
TIMED_RATE = 1e-6


@dataclass(frozen=True)
class Examples:
    """Inputs (n, features), float32, and their classes (n,), int64, on one device."""

    inputs: torch.Tensor
    labels: torch.Tensor

    def rows(self, rows: torch.Tensor) -> Examples:
        """Some of the examples, by their row numbers."""
        # index_select copies a row at once; the same by indexing costs an epoch 5 % more.
        return Examples(self.inputs.index_select(0, rows), self.labels.index_select(0, rows))

    def head(self, count: int) -> Examples:
        """The first of the examples, or all where there are fewer."""
        return Examples(self.inputs[:count], self.labels[:count])


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: plain SGD, no momentum, a new order in every epoch."""

    rate: float
    epochs: int
    batch: int
    seed: int  # of the order of the examples


@dataclass(frozen=True)
class Course:
    """How a training went.

    Attributes:
        losses: Mean training loss of each epoch, in nats.
        accuracies: Validation accuracy after each epoch, between 0 and 1.
        best: The epoch (from 0) of the best validation accuracy, the first among equals; None if
            no epoch was finished.
        first_loss: Mean loss of the (first 10,000) training examples before any step.
        diverged_at: Step (from 0) at which the loss was not finite, or the last step of an epoch
            that ended above the start; None if it learned.
        seconds: Wall time of the steps, without evaluation.
    """

    losses: list[float]
    accuracies: list[float]
    best: int | None
    first_loss: float
    diverged_at: int | None
    seconds: float


Step = Callable[[Examples], torch.Tensor]  # of a network on a batch; returns the loss before it
Stepper = Callable[[nn.Module, float], Step]  # the steps of a network at a rate


def sgd(network: nn.Module, rate: float) -> Step:
    """Steps of plain SGD.

    The update is written out, bit for bit that of ``torch.optim.SGD``, whose bookkeeping costs a
    small network some 8 % of its time.
    """
    weights = [each for each in network.parameters() if each.requires_grad]

    def step(batch: Examples) -> torch.Tensor:
        loss = functional.cross_entropy(network(batch.inputs), batch.labels)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=rate)
        return loss.detach()

    return step


def train(
    network: nn.Module,
    examples: Examples,
    validation: Examples,
    recipe: Recipe,
    stepper: Stepper = sgd,
) -> Course:
    """Train a network in place, and leave it with the weights of its best epoch in validation.

    At a constant rate the accuracy moves by a point or two from epoch to epoch, so the last one is
    a draw; the validation images choose another (early stopping: Prechelt 1998). Training stops at
    the end of the epoch in which it diverged, with the weights it then has.
    """
    take = stepper(network, recipe.rate)
    order = torch.Generator().manual_seed(recipe.seed)
    losses: list[float] = []
    accuracies: list[float] = []
    best, weights = None, network.state_dict()
    first_loss, seconds = _loss(network, examples.head(EVALUATED_AT_ONCE)), 0.0
    for number in range(recipe.epochs):
        start = time.perf_counter()
        steps = epoch(take, examples, recipe.batch, order)
        seconds += time.perf_counter() - start
        diverged = divergence(steps, first_loss)
        if diverged is not None:
            step = number * len(steps) + diverged
            return Course(losses, accuracies, best, first_loss, step, seconds)
        losses.append(sum(steps) / len(steps))
        accuracies.append(accuracy(network, validation))
        if best is None or accuracies[number] > accuracies[best]:
            best, weights = number, copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)
    return Course(losses, accuracies, best, first_loss, None, seconds)


def epoch(step: Step, examples: Examples, batch: int, order: torch.Generator) -> list[float]:
    """One pass over the examples, in a new order; the loss of every step.

    The losses are fetched once, at the end, so that a GPU need not wait for each.
    """
    rows = torch.randperm(len(examples.labels), generator=order).to(examples.labels.device)
    losses = [step(examples.rows(chosen)) for chosen in rows.split(batch)]
    return list(torch.stack(losses).tolist())


def divergence(losses: list[float], first_loss: float) -> int | None:
    """The step of an epoch at which training went wrong; None if it did not.

    That is the first loss that is no finite number, or the last step when the epoch's mean is
    worse than the loss before training by a tenth of it.
    """
    for step, loss in enumerate(losses):
        if not math.isfinite(loss):
            return step
    above = sum(losses) / len(losses) > WORSE * first_loss
    return len(losses) - 1 if above else None


@torch.no_grad()
def _loss(network: nn.Module, examples: Examples) -> float:
    # A mean over thousands needs float32, whatever the network's own format.
    return float(functional.cross_entropy(network(examples.inputs).float(), examples.labels))


@torch.no_grad()
def accuracy(network: nn.Module, examples: Examples) -> float:
    """Share of the examples whose class gets the highest score."""
    right = 0
    for inputs, labels in zip(
        examples.inputs.split(EVALUATED_AT_ONCE),
        examples.labels.split(EVALUATED_AT_ONCE),
        strict=True,
    ):
        right += int((network(inputs).argmax(1) == labels).sum())
    return right / len(examples.labels)


@torch.no_grad()
def constant_share(network: nn.Sequential, inputs: torch.Tensor) -> float:
    """Share of the hidden units whose output is the same for every input: dead units.

    For ReLU these are the units that are never positive; the definition also fits activations
    that saturate.
    """
    spreads = [outputs.std(0) for outputs in hidden_outputs(network, inputs)]
    return float((torch.cat(spreads) < CONSTANT).float().mean()) if spreads else 0.0


@torch.no_grad()
def classes_named(network: nn.Module, inputs: torch.Tensor) -> int:
    """How many classes a network gives as its answer to at least one of the inputs."""
    return len(network(inputs).argmax(1).unique())


def gradient_norm(network: nn.Module, examples: Examples) -> float:
    """Euclidean norm of the loss's gradient in all parameters that learn, on these examples."""
    loss = functional.cross_entropy(network(examples.inputs), examples.labels)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, learning)
    return float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients])))


def digest(network: nn.Module) -> str:
    """SHA-256 of all weights and biases: two networks have the same one only bit for bit.

    The parameters of an activation count, too.
    """
    hashed = hashlib.sha256()
    for parameter in network.parameters():
        # As bytes: NumPy has no bfloat16.
        hashed.update(parameter.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()
