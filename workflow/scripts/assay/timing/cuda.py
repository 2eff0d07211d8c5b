"""What torch does on its *current* CUDA device, done on a named one: the only place for that.

Streams, events and graphs belong to a device that torch's calls do not ask for: on any other than
the current one they time, record or wait for nothing, without a word.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

EMPTY = "CUDA Graph is empty"  # how torch's warning calls it


class Queue:
    """What a CUDA device was given to do, one after the other, on its current stream."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def mark(self) -> torch.cuda.Event:
        """An event that the device reaches when it has done what it was given so far."""
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def sleep(self, cycles: int) -> None:
        """Let the device do nothing for so many cycles of its clock."""
        with torch.cuda.device(self.device):
            torch.cuda._sleep(cycles)

    def wait(self) -> None:
        """Return when the device did everything."""
        torch.cuda.synchronize(self.device)

    def capture(
        self, call: Callable[[], Any], warm_up: Callable[[], Any] | None = None
    ) -> torch.cuda.CUDAGraph:
        """What a call launches, recorded as one graph.

        Args:
            call: Launches on this device alone, and waits for nothing.
            warm_up: Called before, as libraries must have started; the call itself when None.

        Raises:
            RuntimeError: It cannot be recorded, or launched nothing on this device.
        """
        beside = _beside(self.device)
        with torch.cuda.device(self.device):
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                (warm_up or call)()
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                with torch.cuda.graph(graph, stream=beside):
                    call()
        if any(EMPTY in str(warning.message) for warning in caught):
            raise RuntimeError(f"nothing was launched on {self.device} during the capture")
        return graph


@cache  # libraries keep a workspace for every stream that they ever saw
def _beside(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
