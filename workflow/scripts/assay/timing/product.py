"""Products of matrices: the work that is timed, and the proof that it was done."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from assay import machine
from assay.record import Trial
from assay.timing import proof, trial
from assay.timing.clock import Clock
from assay.timing.dtypes import set_precision
from assay.timing.kernel import kernel_name
from assay.timing.trial import Protocol, Work

PADDING = 64  # elements; a multiple of a cache line and of a GPU's 128 bytes for every dtype

Operands = proof.Product


def dense(n: int, dtype: torch.dtype, place: torch.device) -> torch.Tensor:
    """An uninitialised n × n matrix, rows one after the other."""
    return torch.empty(n, n, dtype=dtype, device=place)


def offset(n: int, dtype: torch.dtype, place: torch.device) -> torch.Tensor:
    """The same, beginning one element after the allocation's aligned start."""
    return torch.empty(n * n + 1, dtype=dtype, device=place)[1:].view(n, n)


def odd_leading_dimension(n: int, dtype: torch.dtype, place: torch.device) -> torch.Tensor:
    """The same, with rows an odd number of elements apart."""
    return torch.empty(n, n + 1 + n % 2, dtype=dtype, device=place)[:, :n]


def padded_leading_dimension(n: int, dtype: torch.dtype, place: torch.device) -> torch.Tensor:
    """The same, with every row beginning at an aligned address."""
    width = math.ceil(n / PADDING) * PADDING
    return torch.empty(n, width, dtype=dtype, device=place)[:, :n]


Layout = Callable[[int, torch.dtype, torch.device], torch.Tensor]
LAYOUTS: dict[str, Layout] = {
    "offset": offset,
    "odd_leading_dimension": odd_leading_dimension,
    "padded_leading_dimension": padded_leading_dimension,
}


def product(n: int, dtype: torch.dtype, place: torch.device, layout: Layout = dense) -> Work[Any]:
    """The product of two n × n matrices of normal random numbers into a third: 2n³ FLOP."""

    def prepare(generator: torch.Generator) -> Operands:
        a, b, out = (layout(n, dtype, place) for _ in range(3))
        return normal(a, generator), normal(b, generator), out

    def run(operands: Operands) -> torch.Tensor:
        return torch.mm(operands[0], operands[1], out=operands[2])

    return Work(prepare, run, units=2.0 * n**3)


def batched_product(n: int, dtype: torch.dtype, place: torch.device, batch: int) -> Work[Any]:
    """Each n × n matrix of a batch times the same n × n matrix: 2n³ FLOP each."""

    def prepare(generator: torch.Generator) -> Operands:
        a, out = (torch.empty(batch, n, n, dtype=dtype, device=place) for _ in range(2))
        return normal(a, generator), normal(dense(n, dtype, place), generator), out

    def run(operands: Operands) -> torch.Tensor:
        a, b, out = operands
        return torch.bmm(a, b.expand(a.shape[0], -1, -1), out=out)

    return Work(prepare, run, units=2.0 * batch * n**3)


def matrix_vector(n: int, dtype: torch.dtype, place: torch.device) -> Work[Any]:
    """An n × n matrix times a vector: 2n² FLOP, and every element of the matrix is read for two."""

    def prepare(generator: torch.Generator) -> Operands:
        x, out = (torch.empty(n, dtype=dtype, device=place) for _ in range(2))
        return normal(dense(n, dtype, place), generator), normal(x, generator), out

    def run(operands: Operands) -> torch.Tensor:
        return torch.mv(operands[0], operands[1], out=operands[2])

    return Work(prepare, run, units=2.0 * n**2)


def normal(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Filled with normal random numbers, drawn in float32: not every dtype has a generator."""
    return tensor.copy_(torch.randn(tensor.shape, generator=generator, device=tensor.device))


def bytes_moved(operands: Operands) -> int:
    """Bytes of all operands: what a product reads and writes at least."""
    return sum(tensor.numel() * tensor.element_size() for tensor in operands)


def settle(n: int, protocol: Protocol, clock: Clock) -> None:
    """Multiply n × n matrices until the device has come to rest at its working clock."""
    trial.settle(product(n, torch.float32, clock.device), protocol, clock)


def tell_too_slow(trials: Sequence[Trial], protocol: Protocol) -> None:
    """Say of trials that would take too long what a product in their number format takes.

    The reasons name no size, so that a report of many says it once.
    """
    for seen in trials:
        call_s: Any = seen.result.get("call_s")
        if call_s:
            exact_s = _float32_s(seen, trials)
            times = f", {call_s / exact_s:.0f} times as long as in float32" if exact_s else ""
            seen.reason = (
                f"a product in {seen.what['dtype']} takes {call_s:.2g} s here{times}: "
                f"{protocol.rounds_least} rounds of a trial are over its budget of "
                f"{trial.GRACE * protocol.cap_s:g} s"
            )


def _float32_s(like: Trial, trials: Sequence[Trial]) -> float | None:
    """Seconds of the anchor's product in float32; None where that was not timed."""
    what = {**like.what, "dtype": "float32"}
    arms: Any = next((t.result.get("arms") for t in trials if t.what == what), None)
    return float(arms[trial.ANCHOR]["time_median_s"]) if arms else None


@dataclass(frozen=True)
class Proof:
    """What shows that a product was computed, and rightly."""

    kernel: str | None  # by which kernel: told by :func:`name_kernel`
    relative_error: float
    relative_error_allowed: float
    peak_flops: float | None  # theoretical, per second; None where it is not known
    bytes_per_call: int

    def objection(self, flops: float | None) -> str | None:
        """Why the product, or its speed in FLOP/s, cannot be true; None where it can."""
        return proof.wrong(self.relative_error, self.relative_error_allowed) or proof.beyond_peak(
            flops, self.peak_flops
        )


def prove(work: Work[Operands], n: int, name: str, clock: Clock, seed: int) -> Proof:
    """Compute a product of n × n matrices once more and look at it.

    Args:
        work: The product.
        n: Length of the sums in it.
        name: The number format, a key of :data:`assay.timing.dtypes.DTYPES`.
        clock: The clock of its device.
        seed: Seed of the operands.
    """
    operands = work.prepare(torch.Generator(device=clock.device).manual_seed(seed))
    work.run(operands)
    return Proof(
        kernel=None,
        relative_error=proof.product_error(operands),
        relative_error_allowed=proof.tolerance(n, name),
        peak_flops=machine.peak_flops(clock.device, name),
        bytes_per_call=bytes_moved(operands),
    )


def name_kernel(
    found: dict[str, Any], work: Work[Operands], name: str, clock: Clock, seed: int
) -> None:
    """Put the kernel's name into what :func:`prove` found, as it stands in a record.

    Only when nothing is timed any more: a profiler slows what is launched after it by a tenth or
    more (PyTorch's issue 144455).
    """
    set_precision(name)
    operands = work.prepare(torch.Generator(device=clock.device).manual_seed(seed))
    found["kernel"] = kernel_name(lambda: work.run(operands), clock.device)
