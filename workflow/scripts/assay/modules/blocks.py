"""Building blocks that hold other blocks: chains, parallel branches, factories, a constant.

Companion to a textbook's exercises on layers and modules. What a block *is* does not decide
whether torch finds it, but where it is *kept*: torch looks at attributes of a module that are
modules, parameters or buffers themselves, and into nothing else. So the chains here compute the
same and differ only in how they keep their blocks; :data:`STORAGES` holds them by name.

Shapes are written (n, features): any number of leading dimensions may stand for n. Blocks compute
in the dtype and on the device of their parameters, and inputs must be of both. Blocks that draw
random numbers draw them from torch's global generator; made inside ``with seeded(…)`` they draw
the same ones again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Blocks made inside draw from this seed; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


# ---- chains: one block after the other ----------------------------------------------------------


class Chain(nn.Module):
    """Blocks applied one after the other; a subclass says where it keeps them.

    Inputs of whatever shape and dtype the first block takes come out in the shape and dtype that
    the last block gives; without a block they come out as they are.

    Raises:
        RuntimeError: In a call; an output does not fit the next block. Torch's own message names
            both shapes ("mat1 and mat2 shapes cannot be multiplied (2x5 and 6x3)"), dtypes or
            devices.
    """

    def blocks(self) -> Iterable[nn.Module]:
        """The blocks in the order in which they are applied."""
        raise NotImplementedError

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Apply every block; call the module instead, or its own hooks do not run."""
        for block in self.blocks():
            inputs = block(inputs)
        return inputs


class Sequential(Chain):
    """A sequence of one's own that does what ``nn.Sequential`` does (exercise: a custom one).

    The blocks are registered under the names "0", "1", …, by ``add_module``.
    """

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        for number, block in enumerate(blocks):
            self.add_module(str(number), block)

    def blocks(self) -> Iterable[nn.Module]:
        """The registered blocks; the same instance twice if it was given twice."""
        return (block for block in self._modules.values() if block is not None)


class ChildrenSequential(Sequential):
    """As textbooks write it, with a loop over ``self.children()`` – and so with a mistake.

    ``children`` yields an instance only once: a block that was given twice is applied once.
    """

    def blocks(self) -> Iterable[nn.Module]:
        """The registered blocks, each instance once."""
        return self.children()


class ModuleListSequential(Chain):
    """A sequence that keeps its blocks in an ``nn.ModuleList``, which registers them."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.kept = nn.ModuleList(blocks)

    def blocks(self) -> Iterable[nn.Module]:
        """The registered blocks."""
        return self.kept


class ModuleDictSequential(Chain):
    """A sequence that keeps its blocks in an ``nn.ModuleDict``, which registers them."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.kept = nn.ModuleDict({str(number): block for number, block in enumerate(blocks)})

    def blocks(self) -> Iterable[nn.Module]:
        """The registered blocks."""
        return self.kept.values()


class AttributeSequential(Chain):
    """A sequence whose blocks are attributes of their own, which registers them."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.length = len(blocks)
        for number, block in enumerate(blocks):
            setattr(self, f"block{number}", block)

    def blocks(self) -> Iterable[nn.Module]:
        """The registered blocks."""
        return [getattr(self, f"block{number}") for number in range(self.length)]


class ListSequential(Chain):
    """A sequence that keeps its blocks in a Python list – the mistake that the exercise asks about.

    Torch does not look into lists: it computes right and finds no parameter.
    """

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.kept = list(blocks)

    def blocks(self) -> Iterable[nn.Module]:
        """The blocks, none of them registered."""
        return self.kept


class TupleSequential(Chain):
    """The same mistake with a tuple."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.kept = blocks

    def blocks(self) -> Iterable[nn.Module]:
        """The blocks, none of them registered."""
        return self.kept


class DictSequential(Chain):
    """The same mistake with a dictionary."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.kept = {str(number): block for number, block in enumerate(blocks)}

    def blocks(self) -> Iterable[nn.Module]:
        """The blocks, none of them registered."""
        return self.kept.values()


class PartialSequential(Chain):
    """The mistake that nothing reports: the last block is registered, the others are in a list.

    With no parameter at all an optimiser raises an error; with some it trains those, silently.

    Raises:
        ValueError: There is no block.
    """

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        if not blocks:
            raise ValueError("a partly registered sequence needs a block to register, got none")
        *hidden, self.output = blocks
        self.hidden = hidden

    def blocks(self) -> Iterable[nn.Module]:
        """The blocks, the last of them registered."""
        return [*self.hidden, self.output]


STORAGES: Mapping[str, Callable[..., nn.Module]] = {
    "list": ListSequential,
    "dict": DictSequential,
    "tuple": TupleSequential,
    "partial": PartialSequential,
    "module_list": ModuleListSequential,
    "module_dict": ModuleDictSequential,
    "add_module": Sequential,
    "children": ChildrenSequential,
    "attribute": AttributeSequential,
    "sequential": nn.Sequential,  # torch's own, the reference
}


# ---- parallel branches --------------------------------------------------------------------------


class Parallel(nn.Module):
    """Branches side by side: their outputs for one input, concatenated (exercise: parallel block).

    Inputs (n, features) that every branch takes; outputs (n, sum of the branches' features). The
    branches may give different numbers of features. Outputs of different dtypes become the one
    that torch promotes them to.

    Raises:
        ValueError: There is no branch; or, in a call, outputs differ in another than the last
            dimension. The message names both shapes.
    """

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        if not branches:
            raise ValueError("a parallel block needs at least one branch, got none")
        self.branches = nn.ModuleList(branches)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Every branch's output, joined along the features."""
        return joined([branch(inputs) for branch in self.branches])


def joined(outputs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Outputs (…, features) next to each other along the last dimension.

    ``torch.cat`` without ``dim`` joins along the first one: it stacks the batches.

    Raises:
        ValueError: Two outputs differ in another than the last dimension, or have none.
    """
    first = outputs[0]
    for other in outputs:
        if not other.shape or other.shape[:-1] != first.shape[:-1]:
            raise ValueError(
                f"outputs of shapes {tuple(first.shape)} and {tuple(other.shape)} cannot be "
                "joined along their last dimension: all the others must be equal"
            )
    return torch.cat([*outputs], dim=-1)


# ---- factories: several instances of one block --------------------------------------------------

Make = Callable[[], nn.Module]  # a new block at every call


def independent(make: Make, count: int) -> list[nn.Module]:
    """Several instances of a block, each with parameters of its own (exercise: block factory).

    Args:
        make: Makes a block; it is called once per instance.
        count: How many.
    """
    return [make() for _ in range(count)]


def copied(make: Make, count: int) -> list[nn.Module]:
    """Several instances with parameters of their own, which begin with the same values.

    Args:
        make: Makes a block; it is called once, the other instances are deep copies.
        count: How many, at least one.
    """
    first = make()
    return [first, *(copy.deepcopy(first) for _ in range(count - 1))]


def shared(make: Make, count: int) -> list[nn.Module]:
    """One instance several times – what a factory must not give: there is one set of parameters.

    Args:
        make: Makes a block; it is called once.
        count: How often the instance stands in the list.
    """
    return [make()] * count


FACTORIES: Mapping[str, Callable[[Make, int], list[nn.Module]]] = {
    "independent": independent,
    "copied": copied,
    "shared": shared,
}


# ---- a constant weight --------------------------------------------------------------------------


class FixedMLP(nn.Module):
    """A perceptron with a weight C that is not learned: A(ReLU(A(x) C + 1)), A a linear layer.

    The constant (width, width), float32, drawn from U(0, 1), is a buffer: it belongs to the state,
    follows ``.to``, and is no parameter. The linear layer is used twice (exercise: a layer with a
    constant parameter). Inputs (n, width) give outputs (n, width).

    Raises:
        ValueError: In a call; the inputs' last dimension is not the width. The message names both
            shapes.
    """

    constant: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self._keep(torch.rand(width, width))

    def _keep(self, constant: torch.Tensor) -> None:
        self.register_buffer("constant", constant)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The outputs; the constant takes no part in the gradient's step."""
        if inputs.shape[-1:] != self.constant.shape[:1]:
            raise ValueError(
                f"inputs of shape {tuple(inputs.shape)} do not fit weights of shape "
                f"{tuple(self.constant.shape)}: their last dimension must be the width"
            )
        hidden: torch.Tensor = self.linear(inputs)
        outputs: torch.Tensor = self.linear(functional.relu(hidden @ self.constant + 1))
        return outputs


class FixedTensorMLP(FixedMLP):
    """As textbooks write it, with the constant as a plain tensor – and so with a mistake.

    A plain tensor is no part of the state: it is neither saved nor moved by ``.to``, and a network
    that is built anew draws another.
    """

    def _keep(self, constant: torch.Tensor) -> None:
        self.constant = constant


CONSTANTS: Mapping[str, Callable[[int], FixedMLP]] = {
    "fixed_tensor": FixedTensorMLP,
    "fixed_buffer": FixedMLP,
}
