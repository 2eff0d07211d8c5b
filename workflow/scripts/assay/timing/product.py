"""Products of matrices: the work that is timed, and the proof that it was done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import JsonValue

from assay import job, machine
from assay.record import Status, Trial
from assay.timing import trial
from assay.timing.clock import Clock
from assay.timing.kernel import kernel_name
from assay.timing.trial import Protocol, Work

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "tf32": torch.float32,  # float32 in memory, rounded to TF32 inside the tensor cores
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
TF32_EPSILON = 2.0**-10  # ten explicit bits of mantissa
PADDING = 64  # elements; a multiple of a cache line and of a GPU's 128 bytes for every dtype
PEAK_TOLERANCE = 1.05

Operands = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


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
        return _normal(a, generator), _normal(b, generator), out

    def run(operands: Operands) -> torch.Tensor:
        return torch.mm(operands[0], operands[1], out=operands[2])

    return Work(prepare, run, units=2.0 * n**3)


def batched_product(n: int, dtype: torch.dtype, place: torch.device, batch: int) -> Work[Any]:
    """Each n × n matrix of a batch times the same n × n matrix: 2n³ FLOP each."""

    def prepare(generator: torch.Generator) -> Operands:
        a, out = (torch.empty(batch, n, n, dtype=dtype, device=place) for _ in range(2))
        return _normal(a, generator), _normal(dense(n, dtype, place), generator), out

    def run(operands: Operands) -> torch.Tensor:
        a, b, out = operands
        return torch.bmm(a, b.expand(a.shape[0], -1, -1), out=out)

    return Work(prepare, run, units=2.0 * batch * n**3)


def matrix_vector(n: int, dtype: torch.dtype, place: torch.device) -> Work[Any]:
    """An n × n matrix times a vector: 2n² FLOP, and every element of the matrix is read for two."""

    def prepare(generator: torch.Generator) -> Operands:
        x, out = (torch.empty(n, dtype=dtype, device=place) for _ in range(2))
        return _normal(dense(n, dtype, place), generator), _normal(x, generator), out

    def run(operands: Operands) -> torch.Tensor:
        return torch.mv(operands[0], operands[1], out=operands[2])

    return Work(prepare, run, units=2.0 * n**2)


def _normal(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Fill with normal random numbers, drawn in float32: not every dtype has a generator."""
    return tensor.copy_(torch.randn(tensor.shape, generator=generator, device=tensor.device))


def bytes_moved(operands: Operands) -> int:
    """Bytes of all operands: what a product reads and writes at least."""
    return sum(tensor.numel() * tensor.element_size() for tensor in operands)


def relative_error(work: Work[Operands], operands: Operands) -> float:
    """Relative Frobenius error of one product against float64.

    The reference is summed in two halves, so that float64 itself is compared with another order
    of summation and not with its own bits.
    """
    work.run(operands)
    place = operands[0].device
    exact = torch.device("cpu") if place.type == "mps" else place  # MPS has no float64
    a, b, out = (matrix.to(exact, torch.float64) for matrix in operands)
    half = a.shape[-1] // 2
    reference = a[..., :half] @ b[:half] + a[..., half:] @ b[half:]
    return float(torch.linalg.norm(out - reference) / torch.linalg.norm(reference))


def tolerance(n: int, name: str) -> float:
    """Largest error of a right product: rounding errors of n terms adding up at random, ε√n."""
    epsilon = TF32_EPSILON if name == "tf32" else torch.finfo(DTYPES[name]).eps
    return float(epsilon * math.sqrt(n))


def precisions(names: Sequence[str], place: torch.device) -> Iterator[str]:
    """The dtypes that this device has, each after torch was told how to multiply float32."""
    for name in names:
        if name != "tf32" or place.type == "cuda":
            torch.backends.cuda.matmul.fp32_precision = "tf32" if name == "tf32" else "ieee"
            yield name


def settle(n: int, protocol: Protocol, clock: Clock) -> None:
    """Multiply n × n matrices until the device has come to rest at its working clock."""
    work = product(n, torch.float32, clock.device)
    operands = work.prepare(torch.Generator(device=clock.device).manual_seed(0))
    trial.settle(lambda: work.run(operands), protocol, clock)


def attempt(what: dict[str, JsonValue], measure: Callable[[], Trial]) -> Trial:
    """Measure; where there is no kernel or no memory for it, a trial that says so."""
    try:
        return measure()
    except (MemoryError, RuntimeError) as error:
        if job.is_out_of_memory(error):
            return Trial(what=what, status=Status.OUT_OF_MEMORY, reason=_first_line(error))
        if is_missing_kernel(error):
            return Trial(what=what, status=Status.UNAVAILABLE, reason=_first_line(error))
        raise


def too_slow(name: str, protocol: Protocol) -> str:
    """The reason why products in a number format are left out, whatever their size."""
    return (
        f"a product in {name} takes so long here that {protocol.rounds_least} rounds of a trial "
        f"are over its budget of {protocol.cap_s:g} s"
    )


def is_missing_kernel(error: BaseException) -> bool:
    """Whether torch says that it has no kernel for this dtype on this device."""
    text = str(error)
    return isinstance(error, NotImplementedError) or "not implemented for" in text


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


@dataclass(frozen=True)
class Proof:
    """What shows that a product was computed, rightly and by which kernel."""

    kernel: str | None
    relative_error: float
    relative_error_allowed: float
    peak_flops: float | None  # theoretical, per second; None where it is not known
    bytes_per_call: int

    def objection(self, flops: float | None) -> str | None:
        """Why the product, or its speed in FLOP/s, cannot be true; None where it can."""
        error, allowed = self.relative_error, self.relative_error_allowed
        if error > allowed:
            return f"wrong product: relative error {error:.1e}, at most {allowed:.1e}"
        if flops and self.peak_flops and flops > PEAK_TOLERANCE * self.peak_flops:
            return (
                f"{flops / 1e12:.0f} TFLOP/s is above the theoretical "
                f"{self.peak_flops / 1e12:.0f}: the clock missed part of the work"
            )
        return None


def prove(work: Work[Operands], n: int, name: str, clock: Clock, seed: int) -> Proof:
    """Compute a product of n × n matrices once more and look at it.

    Args:
        work: The product.
        n: Length of the sums in it.
        name: The number format, a key of :data:`DTYPES`.
        clock: The clock of its device.
        seed: Seed of the operands.
    """
    operands = work.prepare(torch.Generator(device=clock.device).manual_seed(seed))
    return Proof(
        kernel=kernel_name(lambda: work.run(operands), clock.device),
        relative_error=relative_error(work, operands),
        relative_error_allowed=tolerance(n, name),
        peak_flops=machine.peak_flops(clock.device, name),
        bytes_per_call=bytes_moved(operands),
    )
