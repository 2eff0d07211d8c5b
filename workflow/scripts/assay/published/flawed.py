"""Published methods that measure something else than they claim, written anew.

They are here to be run beside the right ones, so that a reader sees the wrong number appear; each
says what is wrong with it. They were written from a description, none of the published code is
copied. What was published, and where, is in ``resources/published``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO, TypeVar

import torch
from torch import Tensor, nn

from assay.learning.training import Examples

T = TypeVar("T")

WHITE = 255.0  # the largest grey value of a raw pixel


# ---- one cold sample -----------------------------------------------------------------------------


def one_cold_sample(sizes: Sequence[int], place: torch.device) -> dict[int, float]:
    """Seconds of one matrix–vector product of each size, in that order, in a fresh process.

    Flaw: the first one also starts the library and its threads, so whichever size comes first is
    slow. And it is a matrix times a vector, which reads memory and hardly computes.
    """
    found = {}
    for n in sizes:
        matrix, vector = torch.rand(n, n, device=place), torch.rand(n, 1, device=place)
        _wait(place)
        start = time.perf_counter()
        matrix @ vector
        _wait(place)
        found[n] = time.perf_counter() - start
    return found


def _wait(place: torch.device) -> None:
    if place.type != "cpu":
        torch.accelerator.synchronize(place)


# ---- evaluation and initialisation ---------------------------------------------------------------


def raw_pixels(examples: Examples) -> Examples:
    """The same images with grey values from 0 to 255.

    Flaw: a network that learned from values between 0 and 1 sees its inputs 255 times as large, and
    its biases no longer count.
    """
    return Examples(examples.inputs * WHITE, examples.labels)


def initialise(
    network: nn.Module, kind: type[nn.Module], fill: Callable[[Tensor], Any], seed: int
) -> nn.Module:
    """Fill the weights of all layers that are exactly of one kind, and return the network.

    Flaw, when the kind is ``nn.LazyLinear``: a lazy layer turns into ``nn.Linear`` when it first
    sees its input, and a network built of ``nn.Linear`` never had one. Nothing matches, nothing is
    filled, and nothing is said.

    Args:
        network: The network, changed in place.
        kind: The type that a layer must have.
        fill: Fills one weight in place, as the functions of ``torch.nn.init`` do.
        seed: Seed of the fill; the global generator is left as it was.
    """

    def visit(module: nn.Module) -> None:
        if type(module) is kind:
            fill(module.weight)  # type: ignore[arg-type]  # a layer's weight is a tensor

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network.apply(visit)


def shifted(values: Sequence[T]) -> list[T]:
    """Every value one place too early; the last one stays.

    Flaw: a bar shows the network of the next learning rate.
    """
    return [*values[1:], *values[-1:]]


# ---- a small operation with much around it -------------------------------------------------------


def multiply_and_print(n: int, place: torch.device, sink: TextIO) -> float:
    """Seconds of "a computation" on a device.

    Flaw: it is elementwise, n² multiplications instead of the 2n³ operations of a product, and most
    of the time goes to drawing random numbers, copying them, and printing.
    """
    start = time.perf_counter()
    x, z = torch.rand(n, n).to(place), torch.rand(n, n).to(place)
    z = z * x
    print(z, file=sink)
    return time.perf_counter() - start


# ---- a log of norms ------------------------------------------------------------------------------


def norms_printed(x: Tensor, iterations: int, sink: TextIO) -> float:
    """Seconds of a loop that prints the norm of ``z = z * x`` in every iteration.

    Flaw: no matrices are multiplied, z grows beyond all bounds, and printing is what takes long.
    """
    start = time.perf_counter()
    z = x
    for _ in range(iterations):
        z = z * x
        print(torch.linalg.norm(z), file=sink)
    return time.perf_counter() - start


def norms_dropped(x: Tensor, iterations: int, sink: TextIO) -> float:
    """Seconds of the loop that is said to log on the device.

    Flaw: it logs nothing: one norm is printed, behind the loop.
    """
    start = time.perf_counter()
    z = x
    for _ in range(iterations):
        z = z * x
    print(torch.linalg.norm(z), file=sink)
    return time.perf_counter() - start


def finite_norms(x: Tensor, iterations: int) -> tuple[int, int | None]:
    """How many norms of that loop are finite, and from which iteration z itself is not.

    Args:
        x: (n, n), float32.
        iterations: Of the loop.

    Returns:
        The number of finite norms, and the first iteration (from 1) with an infinite element of z,
        None if there is none.
    """
    z, finite, infinite_from = x, 0, None
    for iteration in range(1, iterations + 1):
        z = z * x
        finite += math.isfinite(float(torch.linalg.norm(z)))
        if infinite_from is None and not bool(z.isfinite().all()):
            infinite_from = iteration
    return finite, infinite_from


# ---- a clock that does not wait ------------------------------------------------------------------


def unsynchronised_s(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Seconds until the host has asked for all products, each on the device of its operands.

    Flaw: a GPU has then hardly begun. What is timed is the asking.
    """
    start = time.perf_counter()
    for left, right in pairs:
        left @ right
    return time.perf_counter() - start
