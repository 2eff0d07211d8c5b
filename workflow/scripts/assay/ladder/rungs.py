"""The rungs of a ladder: one step of training, left to the framework more and more.

Every rung trains the same network from the same weights by plain SGD on the mean cross-entropy. A
step is a forward pass, a backward pass and an update, each of which can be called alone, so that it
can be timed alone. :mod:`assay.ladder.by_hand` has the rungs that write the chain rule out; here
are those that leave it to autograd:

- :class:`Scratch`: what a textbook calls *from scratch*: tensors, autograd, and everything else by
  hand, in the layout of the textbook, ``X @ W + b``;
- :class:`Framework`: ``nn.Module`` and ``torch.optim.SGD``, and on top of it :class:`Fused`,
  :class:`Compiled` and :class:`Graph`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from assay.learning.dataset import CLASSES
from assay.learning.network import perceptron
from assay.timing.cuda import Queue

SIDE = 28  # rows and columns of an image
WARMUP = 3  # steps before a capture, as CUDA graphs want them


class Rung(ABC):
    """A network and all that is needed to train it, a step at a time.

    Attributes:
        loss: Mean cross-entropy of the last forward pass in nats: a scalar of NumPy or a tensor of
            one element.
        helpers: Functions outside the class that are part of its source.
    """

    loss: Any
    helpers: ClassVar[tuple[Callable[..., Any], ...]] = ()

    @abstractmethod
    def __init__(
        self, network: nn.Module, rate: float, inputs: torch.Tensor, labels: torch.Tensor
    ) -> None:
        """Start from a network's weights, which are copied.

        Args:
            network: The network to start from; its device and number format are the rung's.
            rate: The learning rate.
            inputs: A batch such as all later ones, (n, features).
            labels: Its classes, (n,).
        """

    @abstractmethod
    def forward(self, inputs: Any, labels: Any) -> None:
        """Compute the loss of a batch, and keep what the backward pass needs."""

    @abstractmethod
    def backward(self) -> None:
        """Compute the gradients of that loss, in place of those before."""

    @abstractmethod
    def update(self) -> None:
        """Move every parameter against its gradient."""

    def step(self, inputs: Any, labels: Any) -> Any:
        """One step of training on a batch; returns the loss before it."""
        self.forward(inputs, labels)
        self.backward()
        self.update()
        return self.loss


# ---- from scratch -----------------------------------------------------------------------------


def groups(parameters: Sequence[torch.Tensor], size: int) -> list[Sequence[torch.Tensor]]:
    """The parameters of each layer."""
    return [parameters[start : start + size] for start in range(0, len(parameters), size)]


def relu(inputs: torch.Tensor) -> torch.Tensor:
    """What is positive, and zero elsewhere."""
    return torch.maximum(inputs, torch.zeros_like(inputs))


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean of minus the log-probability that softmax gives to each label."""
    log_probabilities = logits - logits.logsumexp(1, keepdim=True)
    return -log_probabilities[torch.arange(len(labels), device=labels.device), labels].mean()


class Scratch(Rung):
    """Parameters are tensors, the network is a function of them, and SGD is a loop."""

    helpers = (groups, relu, cross_entropy)

    def __init__(
        self, network: nn.Module, rate: float, inputs: torch.Tensor, labels: torch.Tensor
    ) -> None:
        self.rate = rate
        self.parameters = [
            own.clone(memory_format=torch.contiguous_format).requires_grad_()
            for own in self.layout(network)
        ]

    @abstractmethod
    def layout(self, network: nn.Module) -> list[torch.Tensor]:
        """The network's weights and biases, in the shapes that :meth:`logits` wants."""

    @abstractmethod
    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores of the classes, (n, classes), before softmax."""

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Compute the loss."""
        self.loss = cross_entropy(self.logits(inputs), labels)

    def backward(self) -> None:
        """Clear the gradients, then add to them."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.zero_()
        self.loss.backward()

    def update(self) -> None:
        """Plain SGD."""
        with torch.no_grad():
            for parameter in self.parameters:
                assert parameter.grad is not None
                parameter -= self.rate * parameter.grad


class ScratchPerceptron(Scratch):
    """Layers of ``X @ W + b`` with ReLU between them."""

    def layout(self, network: nn.Module) -> list[torch.Tensor]:
        """Weights as (in, out)."""
        return [parameter.detach().t() for parameter in network.parameters()]

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        *hidden, (weight, bias) = groups(self.parameters, 2)
        for own, shift in hidden:
            inputs = relu(inputs @ own + shift)
        return inputs @ weight + bias


class ScratchConvolution(Scratch):
    """A convolution is a product: every patch of the image becomes a column (``unfold``)."""

    def layout(self, network: nn.Module) -> list[torch.Tensor]:
        """Kernels as (out, in · height · width), the last layer as (in, out)."""
        *kernels, weight, bias = [parameter.detach() for parameter in network.parameters()]
        self.kernel = kernels[0].shape[-1]
        return [*(own.flatten(1) if own.dim() > 1 else own for own in kernels), weight.t(), bias]

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores of the classes, from the mean of every channel over the image."""
        *layers, (weight, bias) = groups(self.parameters, 2)
        images = inputs.unflatten(1, (1, SIDE, SIDE))
        for own, shift in layers:
            patches = functional.unfold(images, self.kernel, padding=self.kernel // 2)
            images = relu(own @ patches + shift[:, None]).unflatten(2, (SIDE, SIDE))
        scores: torch.Tensor = images.mean((2, 3)) @ weight + bias
        return scores


class ScratchRecurrent(Scratch):
    """The rows of an image one after the other: h ← tanh(x W + b + h V + c), as ``nn.RNN`` has it.

    One bias would do, but with two of them SGD moves their sum twice as far.
    """

    def layout(self, network: nn.Module) -> list[torch.Tensor]:
        """Weights as (in, out)."""
        return [parameter.detach().t() for parameter in network.parameters()]

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores of the classes, from the state after the last row."""
        *parameters, weight, bias = self.parameters
        rows = inputs.unflatten(1, (SIDE, SIDE)).unbind(1)
        for into, again, shift, other in groups(parameters, 4):  # the order of nn.RNN
            state, states = inputs.new_zeros(len(inputs), len(shift)), []
            for row in rows:
                state = torch.tanh(row @ into + shift + state @ again + other)
                states.append(state)
            rows = tuple(states)
        scores: torch.Tensor = rows[-1] @ weight + bias
        return scores


# ---- the framework ----------------------------------------------------------------------------


def copied(network: nn.Module) -> nn.Module:
    """A copy of a network; after a deep copy cuDNN would join a recurrent layer's weights anew.

    It does so in every step, which no user pays who makes his network once.
    """
    own = copy.deepcopy(network)
    for module in own.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()
    return own


class Framework(Rung):
    """``nn.Module`` and ``torch.optim.SGD``, as a user of the framework writes a step."""

    def __init__(
        self, network: nn.Module, rate: float, inputs: torch.Tensor, labels: torch.Tensor
    ) -> None:
        self.network = copied(network)
        self.optimizer = self.make_optimizer(rate)

    def make_optimizer(self, rate: float) -> torch.optim.Optimizer:
        """Plain SGD with everything else as the framework chooses it."""
        return torch.optim.SGD(self.network.parameters(), lr=rate)

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Compute the loss."""
        self.loss = functional.cross_entropy(self.network(inputs), labels)

    def backward(self) -> None:
        """Drop the gradients, then make new ones."""
        self.optimizer.zero_grad(set_to_none=True)
        self.loss.backward()

    def update(self) -> None:
        """The optimiser's step."""
        self.optimizer.step()


class Fused(Framework):
    """The same with one kernel that updates all parameters."""

    def make_optimizer(self, rate: float) -> torch.optim.Optimizer:
        """SGD with ``fused=True``.

        Raises:
            RuntimeError: Torch has no such kernel for this device or number format.
        """
        return torch.optim.SGD(self.network.parameters(), lr=rate, fused=True)


def loss_of(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The loss of a network, for the compiler."""
    return functional.cross_entropy(network(inputs), labels)


@cache
def compiled_loss() -> Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]:
    """The compiled :func:`loss_of`; compiling happens at its first call, once for all networks."""
    return torch.compile(loss_of, dynamic=False)


class Compiled(Framework):
    """The same with the forward and the backward pass compiled."""

    helpers = (loss_of, compiled_loss)

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Compute the loss.

        Raises:
            RuntimeError: It cannot be compiled here, for want of a compiler for example.
        """
        self.loss = compiled_loss()(self.network, inputs, labels)


class Graph(Framework):
    """The same recorded as one CUDA graph: a batch is copied to its place, one launch does all."""

    def __init__(
        self, network: nn.Module, rate: float, inputs: torch.Tensor, labels: torch.Tensor
    ) -> None:
        super().__init__(network, rate, inputs, labels)
        self.inputs, self.labels = inputs.clone(), labels.clone()
        self.graph = Queue(inputs.device).capture(self._whole_step, self._warm_up)
        self.network.load_state_dict(network.state_dict())  # as before the warm-up

    def _whole_step(self) -> None:
        super().step(self.inputs, self.labels)

    def _warm_up(self) -> None:
        for _ in range(WARMUP):
            self._whole_step()
        self.loss = None  # what autograd holds for it must not be alive at the capture
        self.optimizer.zero_grad(set_to_none=True)

    def step(self, inputs: torch.Tensor, labels: torch.Tensor) -> Any:
        """One step of training on a batch; returns the loss before it."""
        self.inputs.copy_(inputs)
        self.labels.copy_(labels)
        self.graph.replay()
        return self.loss


# ---- the networks that all start from ----------------------------------------------------------


class Recurrent(nn.Module):
    """``nn.RNN`` over the rows of an image, and a linear layer on its last state."""

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(SIDE, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, CLASSES)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores of the classes, (n, classes), for images as rows of pixels, (n, 784)."""
        outputs, _ = self.rnn(inputs.unflatten(1, (SIDE, SIDE)))
        scores: torch.Tensor = self.head(outputs[:, -1])
        return scores


def multilayer(hidden: Sequence[int], seed: int) -> nn.Module:
    """A perceptron with ReLU and hidden layers of these widths, the weights from a seed."""
    return perceptron([SIDE * SIDE, *hidden, CLASSES], "relu", seed)


def convolutional(channels: Sequence[int], kernel: int, seed: int) -> nn.Module:
    """Convolutions to so many channels with ReLU, the mean over the image, and a linear layer."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, SIDE, SIDE))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for before, after in pairwise([1, *channels]):
            layers += [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], CLASSES)]
    return nn.Sequential(*layers)


def recurrent(hidden: int, layers: int, seed: int) -> nn.Module:
    """A network of :class:`Recurrent`, the weights from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Recurrent(hidden, layers)
