"""The lowest rungs of the ladder: a perceptron whose backpropagation is written out.

The mean cross-entropy of softmax has the gradient (softmax − one-hot) / n in the scores; from there
the chain rule goes from layer to layer: a weight's gradient is input-transposed times slope, and
the slope goes on through the weight, where ReLU let something through.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from assay.ladder.rungs import Rung


class NumpyPerceptron(Rung):
    """NumPy alone; batches are arrays. On a CPU only."""

    def __init__(
        self, network: nn.Module, rate: float, inputs: torch.Tensor, labels: torch.Tensor
    ) -> None:
        own = [parameter.detach().numpy() for parameter in network.parameters()]
        self.weights = [weight.T.copy() for weight in own[::2]]  # (in, out)
        self.biases = [bias.copy() for bias in own[1::2]]
        self.gradients: list[tuple[Any, Any]] = []  # of weight and bias, from the last layer on
        self.rate = rate

    def forward(self, inputs: Any, labels: Any) -> None:
        """Compute the loss; keep the input of every layer."""
        self.labels, self.inputs = labels, [inputs]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            outputs = self.inputs[-1] @ weight
            outputs += bias
            self.inputs.append(np.maximum(outputs, 0, out=outputs))
        logits = self.inputs[-1] @ self.weights[-1]
        logits += self.biases[-1]
        logits -= logits.max(1, keepdims=True)  # changes no probability, and nothing overflows
        self.exponentials = np.exp(logits)
        self.sums = self.exponentials.sum(1, keepdims=True)
        picked = logits[np.arange(len(labels)), labels]
        self.loss = np.log(self.sums).mean() - picked.mean()

    def backward(self) -> None:
        """The chain rule, from the last layer to the first."""
        slope = self.exponentials / self.sums
        slope[np.arange(len(slope)), self.labels] -= 1
        slope /= len(slope)
        self.gradients = []
        for weight, inputs in zip(self.weights[::-1], self.inputs[::-1], strict=True):
            self.gradients.append((inputs.T @ slope, slope.sum(0)))
            if inputs is not self.inputs[0]:
                slope = slope @ weight.T
                slope *= inputs > 0

    def update(self) -> None:
        """Plain SGD."""
        layers = zip(self.weights[::-1], self.biases[::-1], self.gradients, strict=True)
        for weight, bias, (of_weight, of_bias) in layers:
            weight -= self.rate * of_weight
            bias -= self.rate * of_bias


class TorchPerceptron(Rung):
    """Torch without autograd: every result has its place beforehand, nothing is allocated."""

    def __init__(
        self, network: nn.Module, rate: float, inputs: torch.Tensor, labels: torch.Tensor
    ) -> None:
        own = [parameter.detach().t() for parameter in network.parameters()]
        self.weights = [weight.clone(memory_format=torch.contiguous_format) for weight in own[::2]]
        self.biases = [bias.clone() for bias in own[1::2]]
        self.weight_gradients = [torch.empty_like(weight) for weight in self.weights]
        self.bias_gradients = [torch.empty_like(bias) for bias in self.biases]
        self.outputs = [inputs.new_empty(len(inputs), len(bias)) for bias in self.biases]
        self.slopes = [torch.empty_like(outputs) for outputs in self.outputs]
        self.sums, self.logs, self.picked = (inputs.new_empty(len(inputs), 1) for _ in range(3))
        self.minus_one = inputs.new_full((len(inputs), 1), -1)
        self.loss = inputs.new_empty(1)
        self.rate = rate

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Compute the loss; keep the output of every layer."""
        self.inputs, self.labels = [inputs, *self.outputs[:-1]], labels[:, None]
        for weight, bias, before, outputs in zip(
            self.weights, self.biases, self.inputs, self.outputs, strict=True
        ):
            torch.addmm(bias, before, weight, out=outputs)
            if outputs is not self.outputs[-1]:
                outputs.relu_()
        logits, exponentials = self.outputs[-1], self.slopes[-1]
        torch.amax(logits, 1, keepdim=True, out=self.sums)
        logits.sub_(self.sums)  # changes no probability, and nothing overflows
        torch.exp(logits, out=exponentials)
        torch.sum(exponentials, 1, keepdim=True, out=self.sums)
        torch.log(self.sums, out=self.logs)
        torch.gather(logits, 1, self.labels, out=self.picked)
        torch.mean(self.logs.sub_(self.picked), 0, out=self.loss)

    def backward(self) -> None:
        """The chain rule, from the last layer to the first."""
        slope = self.slopes[-1].div_(self.sums)
        slope.scatter_add_(1, self.labels, self.minus_one).div_(len(slope))
        for layer in reversed(range(len(self.weights))):
            inputs = self.inputs[layer]
            torch.mm(inputs.t(), slope, out=self.weight_gradients[layer])
            torch.sum(slope, 0, out=self.bias_gradients[layer])
            if layer:
                before = self.slopes[layer - 1]
                torch.mm(slope, self.weights[layer].t(), out=before)
                slope = before.mul_(inputs.sign_())  # no longer needed but for its sign

    def update(self) -> None:
        """Plain SGD."""
        for parameters, gradients in (
            (self.weights, self.weight_gradients),
            (self.biases, self.bias_gradients),
        ):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.add_(gradient, alpha=-self.rate)
