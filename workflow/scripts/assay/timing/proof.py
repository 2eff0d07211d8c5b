"""The proof that work was done: a right result, at a possible speed, by a kernel that is there.

One copy for every measuring script. What cannot be true is refused; what this machine lacks is a
status with its reason; everything else that fails is a bug, and stays a crash.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pydantic import JsonValue

from assay import job
from assay.device import Unavailable, first_line
from assay.record import Status, Trial

TF32_EPSILON = 2.0**-10  # ten explicit bits of mantissa
PEAK_TOLERANCE = 1.05

Product = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # two factors and room for their product


def relative_error(seen: torch.Tensor, exact: torch.Tensor) -> float:
    """Relative Frobenius distance of a result from the exact one."""
    return float(torch.linalg.norm(seen - exact) / torch.linalg.norm(exact))


def product_error(operands: Product, rows: int | None = None) -> float:
    """Relative Frobenius error of a product that was just computed, against float64.

    The reference is summed in two halves, so that float64 itself is compared with another order
    of summation and not with its own bits.

    Args:
        operands: A matrix or a batch of them, what it was multiplied with, and the product.
        rows: Look at so many rows of it at most; at all of them when None.
    """
    a, b, out = operands
    step = math.ceil(a.shape[-2] / rows) if rows else 1
    some = (slice(None),) * (a.dim() - 2) + (slice(None, None, step),)
    exact = torch.device("cpu") if a.device.type == "mps" else a.device  # MPS has no float64
    a, b, out = (each.to(exact, torch.float64) for each in (a[some], b, out[some]))
    half = a.shape[-1] // 2
    return relative_error(out, a[..., :half] @ b[:half] + a[..., half:] @ b[half:])


def tolerance(n: int, name: str) -> float:
    """Largest error of a right product: rounding errors of n terms adding up at random, ε√n.

    Args:
        n: Number of terms.
        name: The number format: ``tf32``, or as torch calls it.
    """
    epsilon = TF32_EPSILON if name == "tf32" else torch.finfo(getattr(torch, name)).eps
    return float(epsilon * math.sqrt(n))


def wrong(error: float, allowed: float, what: str = "product") -> str | None:
    """That a result is wrong, in words; None where its error is allowed."""
    if error <= allowed:  # never true of a NaN
        return None
    return f"wrong {what}: relative error {error:.1e}, at most {allowed:.1e}"


def beyond_peak(seen: float | None, peak: float | None, unit: str = "TFLOP/s") -> str | None:
    """That a rate is above what is possible, in words; None where it is not, or nobody knows.

    Args:
        seen: The rate that was measured, in FLOP/s or bytes/s.
        peak: The theoretical one.
        unit: In which to tell it, ``TFLOP/s`` or ``GB/s``.
    """
    if not seen or not peak or seen <= PEAK_TOLERANCE * peak:
        return None
    scale = 1e9 if unit.startswith("G") else 1e12
    return (
        f"{seen / scale:.0f} {unit} is above the theoretical {peak / scale:.0f}: the clock missed "
        "part of the work"
    )


def refuse(measured: Trial, reason: str | None) -> None:
    """Refuse a trial for this reason; None leaves it as it is."""
    if reason:
        measured.status, measured.reason = Status.REFUSED, reason


def attempt(what: dict[str, JsonValue], measure: Callable[[], Trial]) -> Trial:
    """Measure; where the device, a kernel or the memory for it is missing, a trial that says so."""
    try:
        return measure()
    except Unavailable as missing:
        return Trial(what=what, status=Status.UNAVAILABLE, reason=str(missing))
    except (MemoryError, OSError, RuntimeError, TypeError) as error:
        if status := missing_status(error):
            return Trial(what=what, status=status, reason=first_line(error))
        raise


def missing_status(error: BaseException) -> Status | None:
    """The status of an error that tells what this machine lacks; None for a bug."""
    if job.is_out_of_memory(error):
        return Status.OUT_OF_MEMORY
    return Status.UNAVAILABLE if is_missing_kernel(error) else None


def is_missing_kernel(error: BaseException) -> bool:
    """Whether torch says that it has no kernel for this dtype on this device."""
    text = str(error)
    spellings = ("not implemented for", "CUBLAS_STATUS_NOT_SUPPORTED", "CUDNN_STATUS_NOT_SUPPORTED")
    missing = isinstance(error, NotImplementedError) or any(each in text for each in spellings)
    return missing or job.is_missing_dtype(error)
