"""The custom layers of the textbook's exercises, right and wrong, as a companion to read and run.

* A layer whose every output is a quadratic form of the input, in six equal implementations.
* A layer that returns the leading Fourier coefficients of its input.
* Layers that share their parameters, and the same network with parameters of its own everywhere.
* The mistake of computing with ``weight.data``, under which a layer stops learning.

Shapes are given as in ``(batch, n)``; an input of another one raises :class:`ShapeError`, which
names both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class ShapeError(ValueError):
    """An input does not have the shape that a layer takes; the message names both shapes."""


def expect(inputs: Tensor, shape: tuple[int | str, ...], layer: str) -> None:
    """Check the shape of an input.

    Args:
        inputs: What the layer was given.
        shape: What it takes: a number where the size is fixed, a name where any will do.
        layer: How the message calls the layer.

    Raises:
        ShapeError: The number of dimensions or a fixed size is another.
    """
    seen = tuple(inputs.shape)
    sizes = zip(seen, shape, strict=False)
    if len(seen) != len(shape) or any(isinstance(b, int) and a != b for a, b in sizes):
        wanted = ", ".join(map(str, shape))
        raise ShapeError(f"{layer} takes inputs of shape ({wanted}), not {seen}.")


# ---- y_k = Σ_ij W_ijk x_i x_j -------------------------------------------------------------------


@dataclass(frozen=True)
class Implementation:
    """One way to compute y_k = Σ_ij W_ijk x_i x_j.

    Attributes:
        store: From the weights (k, n, n) to what the layer keeps of them: the parameter, and after
            it the constants (such as indices) that it needs.
        apply: From the inputs (batch, n), the parameter and the constants to the outputs
            (batch, k).
    """

    store: Callable[[Tensor], tuple[Tensor, ...]]
    apply: Callable[..., Tensor]


def _whole(weights: Tensor) -> tuple[Tensor, ...]:
    return (weights,)


def einsum(inputs: Tensor, weights: Tensor) -> Tensor:
    """The formula as it is written. 2bkn² FLOP; a few times bkn numbers of memory on the way."""
    return torch.einsum("kij,bi,bj->bk", weights, inputs, inputs)


def bilinear(inputs: Tensor, weights: Tensor) -> Tensor:
    """``nn.Bilinear`` with the input on both sides. 2bkn² FLOP, output after output; bn numbers."""
    return functional.bilinear(inputs, inputs, weights)


def outer(inputs: Tensor, weights: Tensor) -> Tensor:
    """All products x_i x_j, then one matrix product. 2bkn² FLOP; bn² numbers."""
    products = inputs[:, :, None] * inputs[:, None, :]
    return products.flatten(1) @ weights.flatten(1).T


def matmul(inputs: Tensor, weights: Tensor) -> Tensor:
    """One matrix product per output, times the input, summed. 2bkn² FLOP; 2bkn numbers."""
    return ((inputs @ weights) * inputs).sum(-1).T


def brute_force(inputs: Tensor, weights: Tensor) -> Tensor:
    """Every term of the sum at once. 3bkn² FLOP without any matrix product; 2bkn² numbers."""
    terms = weights * inputs[:, None, :, None] * inputs[:, None, None, :]
    return terms.sum((2, 3))


def packed(inputs: Tensor, weights: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Each pair i ≤ j once, since x_i x_j = x_j x_i. bkn² FLOP; three arrays of bn²/2 numbers.

    The pairs are picked from the transposed inputs, where picking copies whole rows: picking
    columns, ``inputs[:, rows]``, took about ten times as long.

    Args:
        inputs: (batch, n).
        weights: (k, n(n+1)/2), from :func:`pack`.
        rows: i of each pair, from :func:`pack`.
        columns: j of each pair.
    """
    features = inputs.T.contiguous()
    pairs = features.index_select(0, rows) * features.index_select(0, columns)
    return (weights @ pairs).T


def pack(weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What of the weights matters: W_ij + W_ji for every pair i < j, and W_ii.

    Args:
        weights: (k, n, n).

    Returns:
        The packed weights (k, n(n+1)/2), then i and j of each pair.
    """
    n = weights.shape[-1]
    rows, columns = torch.triu_indices(n, n, device=weights.device)
    both = weights[:, rows, columns] + weights[:, columns, rows]
    return torch.where(rows == columns, both / 2, both), rows, columns


IMPLEMENTATIONS = {
    "einsum": Implementation(_whole, einsum),
    "bilinear": Implementation(_whole, bilinear),
    "outer": Implementation(_whole, outer),
    "matmul": Implementation(_whole, matmul),
    "packed": Implementation(pack, packed),
    "brute_force": Implementation(_whole, brute_force),
}


def symmetric(weights: Tensor) -> Tensor:
    """The symmetric part of each output's matrix, (W + Wᵀ)/2: all that the layer can feel."""
    return (weights + weights.mT) / 2


def antisymmetric(weights: Tensor) -> Tensor:
    """The antisymmetric part of each output's matrix, (W − Wᵀ)/2: it cancels in the sum."""
    return (weights - weights.mT) / 2


class TensorReduction(nn.Module):
    """y_k = Σ_ij W_ijk x_i x_j, the exercise's layer that reduces a tensor.

    The weights are kept as ``nn.Bilinear`` keeps them, (outputs, features, features), or packed.
    They begin normal with standard deviation 1/features, so that normal inputs give outputs of a
    variance of about one.

    Shapes: (batch, features) to (batch, outputs), both of the layer's dtype.

    Args:
        features: n, the size of an input.
        outputs: The number of quadratic forms.
        implementation: A name of :data:`IMPLEMENTATIONS`; all compute the same.
        device: Where the weights are.
        dtype: Of the weights, torch's default if None.

    Raises:
        KeyError: There is no such implementation.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        implementation: str = "einsum",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.features, self.outputs, self.implementation = features, outputs, implementation
        weights = torch.randn(outputs, features, features, device=device, dtype=dtype) / features
        stored, *constants = IMPLEMENTATIONS[implementation].store(weights)
        self.weight = nn.Parameter(stored)
        self._constants = [f"constant_{i}" for i in range(len(constants))]
        for name, constant in zip(self._constants, constants, strict=True):
            # Not persistent: it follows from the size, so a state_dict need not hold it.
            self.register_buffer(name, constant, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs (batch, outputs) for inputs (batch, features).

        Raises:
            ShapeError: The inputs have another shape.
        """
        expect(inputs, ("batch", self.features), f"TensorReduction({self.features})")
        constants = [getattr(self, name) for name in self._constants]
        return IMPLEMENTATIONS[self.implementation].apply(inputs, self.weight, *constants)

    def extra_repr(self) -> str:
        """The arguments, for ``print``."""
        return f"{self.features}, {self.outputs}, {self.implementation!r}"


# ---- the leading Fourier coefficients -----------------------------------------------------------


def coefficients(features: int) -> int:
    """How many Fourier coefficients say everything about so many real numbers: ⌊n/2⌋ + 1.

    The others are the complex conjugates of these. Halving n instead loses one.
    """
    return features // 2 + 1


class LeadingFourier(nn.Module):
    """The leading Fourier coefficients of each input, lowest frequency first.

    The transform is unitary (``norm="ortho"``) and goes along the last dimension only, so that no
    sample sees another. All ⌊n/2⌋ + 1 coefficients hold the whole input; the first ``kept`` of
    them hold its smooth part. There are no parameters, and gradients pass through.

    Shapes: (batch, features), real, to (batch, kept), complex of the same precision.

    Args:
        features: n, the size of an input.
        kept: Coefficients to return, all if None.

    Raises:
        ValueError: There are not so many coefficients.
    """

    def __init__(self, features: int, kept: int | None = None) -> None:
        super().__init__()
        most = coefficients(features)
        self.features, self.kept = features, most if kept is None else kept
        if not 1 <= self.kept <= most:
            raise ValueError(
                f"{features} real numbers have {most} Fourier coefficients, so {kept} cannot be "
                "kept."
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """The coefficients (batch, kept), complex, of inputs (batch, features), real.

        Raises:
            ShapeError: The inputs have another shape.
        """
        expect(inputs, ("batch", self.features), f"LeadingFourier({self.features})")
        leading: Tensor = torch.fft.rfft(inputs, norm="ortho")[..., : self.kept]
        return leading

    def inverse(self, kept: Tensor) -> Tensor:
        """Inputs (batch, features) from their coefficients; those not kept are taken for zero.

        The size must be said to the transform: from the coefficients alone an odd one cannot be
        told from the even one before it.

        Raises:
            ShapeError: There are not as many coefficients as the layer keeps.
        """
        expect(kept, ("batch", self.kept), f"the inverse of LeadingFourier({self.features})")
        inputs: Tensor = torch.fft.irfft(kept, n=self.features, norm="ortho")
        return inputs

    def extra_repr(self) -> str:
        """The arguments, for ``print``."""
        return f"{self.features}, {self.kept}"


def energies(leading: Tensor, features: int) -> Tensor:
    """Energy of the input that each coefficient stands for; they add up to Σ x² (Parseval).

    A coefficient and its conjugate count twice, the constant and, for an even n, the fastest
    alternation have no partner and count once.

    Args:
        leading: (batch, kept), complex, from :class:`LeadingFourier`.
        features: n, the size of an input.

    Returns:
        (batch, kept), real.
    """
    twice = torch.full((leading.shape[-1],), 2.0, device=leading.device)
    twice[0] = 1
    if features % 2 == 0:
        twice[features // 2 :] = 1  # empty unless all are kept
    return leading.abs().square() * twice


# ---- shared parameters --------------------------------------------------------------------------


def tied_perceptron(features: int, width: int, outputs: int, times: int) -> nn.Sequential:
    """A perceptron whose hidden layers are one and the same ``nn.Linear``, used again and again.

    Shapes: (batch, features) to (batch, outputs).

    Args:
        features: Size of an input.
        width: Size of each hidden layer.
        outputs: Size of an output.
        times: How often the shared layer is used.
    """
    shared = nn.Linear(width, width)
    hidden = [module for _ in range(times) for module in (shared, nn.Tanh())]
    return nn.Sequential(nn.Linear(features, width), nn.Tanh(), *hidden, nn.Linear(width, outputs))


def untied(network: nn.Sequential) -> nn.Sequential:
    """A copy with the same values, in which every layer has parameters of its own.

    Each layer is copied by itself: a copy of the whole network would keep what is shared.
    """
    return nn.Sequential(*(copy.deepcopy(layer) for layer in network))


class Autoencoder(nn.Module):
    """Two layers with one weight: the decoder's is the encoder's, the same ``nn.Parameter``.

    Here two modules hold one parameter; in :func:`tied_perceptron` it is one module in two places.
    What an operation does to a tie can depend on which it is. Both layers are square, so that the
    weight fits without being transposed.

    Shapes: (batch, width) to (batch, width).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(width, width), nn.Linear(width, width)
        self.decoder.weight = self.encoder.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """The input, encoded and decoded."""
        decoded: Tensor = self.decoder(torch.tanh(self.encoder(inputs)))
        return decoded


# ---- a mistake ----------------------------------------------------------------------------------


class DetachedLinear(nn.Linear):
    """A linear layer with the mistake of computing with ``.data``.

    ``.data`` is the bare tensor behind a parameter, of which autograd knows nothing. The outputs
    are right and the gradient still reaches the layers before this one, so nothing fails; but
    its own parameters never get a gradient and never change.

    Shapes: (batch, in_features) to (batch, out_features).
    """

    def forward(self, input: Tensor) -> Tensor:
        """The outputs (batch, out_features), without a way back to weight and bias."""
        return functional.linear(input, self.weight.data, self.bias.data)
