"""How often the host reads what a device computed, which on a GPU means to wait for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

SYNCHRONISING = "synchronizing CUDA operation"  # how torch's warning calls it


class Reads(TorchDispatchMode):
    """Counts the values and tensors that the host reads, which on a GPU are synchronisations.

    Printing a tensor hides from it: torch formats with all such modes off.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        to_host = func is torch.ops.aten._to_copy.default and options.get("device") == torch.device(
            "cpu"
        )
        self.count += to_host or func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **options)


def reads(call: Callable[[], Any]) -> int:
    """How often the host reads something in a call."""
    with Reads() as counter:
        call()
    return int(counter.count)


def synchronisations(call: Callable[[], Any]) -> int:
    """How often torch itself says in a call that a CUDA device had to be waited for."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return sum(SYNCHRONISING in str(warning.message) for warning in caught)
