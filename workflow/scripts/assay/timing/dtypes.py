"""Number formats: what a device has, and how torch is told to multiply in one.

Apart from products, which are timed: what is trained needs number formats and no protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from assay.device import Unavailable

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "tf32": torch.float32,  # float32 in memory, rounded to TF32 inside the tensor cores
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
TF32_CAPABILITY = (8, 0)  # of Ampere, the first with such tensor cores


def precisions(names: Sequence[str], place: torch.device) -> Iterator[str]:
    """The dtypes of this kind of device, each after torch was told how to multiply float32."""
    for name in names:
        if name != "tf32" or place.type == "cuda":
            set_precision(name)
            yield name


def set_precision(name: str) -> None:
    """Tell torch how a GPU is to multiply float32: as it is, or rounded to TF32."""
    torch.backends.cuda.matmul.fp32_precision = "tf32" if name == "tf32" else "ieee"


def require(name: str, place: torch.device) -> None:
    """See to it that a GPU has tensor cores for a dtype; without them torch computes another one.

    Raises:
        Unavailable: It has none.
    """
    if name == "tf32" and place.type == "cuda":
        properties = torch.cuda.get_device_properties(place)
        if (properties.major, properties.minor) < TF32_CAPABILITY:
            raise Unavailable(
                f"TF32 needs compute capability 8.0, this GPU has "
                f"{properties.major}.{properties.minor}"
            )
