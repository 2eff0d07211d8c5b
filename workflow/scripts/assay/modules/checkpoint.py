"""Checkpoints from which a training goes on bit for bit, and what their files hold.

Besides the weights, three things decide the next step: the optimiser's state (momentum), the
state of the random generators (dropout), and the place in the order of the examples.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from assay.record import write_atomically

PARTS = ("weights", "optimizer", "random", "order")


class Order:
    """Minibatches of row numbers, epoch after epoch, which can be continued in mid-epoch.

    Args:
        count: Number of examples.
        batch: Examples in a minibatch; the last one of an epoch may be smaller.
        seed: Seed of the order.
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self._count, self._batch = count, batch
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = torch.empty(0, dtype=torch.int64)  # of this epoch, in their order
        self._used = 0

    def next(self) -> torch.Tensor:
        """Row numbers of the next minibatch, int64."""
        if self._used >= len(self._rows):
            self._rows = torch.randperm(self._count, generator=self._generator)
            self._used = 0
        chosen = self._rows[self._used : self._used + self._batch]
        self._used += len(chosen)
        return chosen

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next minibatches depend on."""
        return {"rows": self._rows, "used": self._used, "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the other order was."""
        self._rows, self._used = state["rows"], state["used"]
        self._generator.set_state(state["generator"])


@dataclass
class Run:
    """A training that can be stopped after any step and continued.

    Attributes:
        network: On its device.
        optimizer: Of the network's parameters.
        order: The order of the examples.
        step: Steps done.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    order: Order
    step: int = 0


def capture(run: Run) -> dict[str, Any]:
    """Everything that the next step depends on.

    The tensors are the run's own, so save them before the next step.
    """
    return {
        "step": run.step,
        "weights": run.network.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "random": _random_state(run.network),
        "order": run.order.state_dict(),
    }


def restore(run: Run, state: dict[str, Any], parts: Collection[str] = PARTS) -> None:
    """Bring a run to where :func:`capture` saw another one.

    Args:
        run: A run as it begins.
        state: What was captured.
        parts: Which of :data:`PARTS` to restore; the others stay as they are.
    """
    run.step = state["step"]
    if "weights" in parts:
        run.network.load_state_dict(state["weights"])
    if "optimizer" in parts:
        run.optimizer.load_state_dict(state["optimizer"])
    if "order" in parts:
        run.order.load_state_dict(state["order"])
    if "random" in parts:
        torch.set_rng_state(state["random"]["cpu"])
        if "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], _device(run.network))


def _random_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """State of the generators that a network on its device draws from."""
    state = {"cpu": torch.get_rng_state()}
    if _device(network).type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(_device(network))
    return state


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def content(state: object) -> bytes:
    """What a file of ``torch.save`` holds."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def reloaded(state: object) -> Any:
    """What such a file brings back, read without running what it holds."""
    return torch.load(io.BytesIO(content(state)), weights_only=True)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that the one before it stays whole until this one is.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    write_atomically(path, content(state))


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; :func:`restore` brings it to the run's device.

    Raises:
        RuntimeError: The file is cut short.
        pickle.UnpicklingError: The file holds other things than tensors and plain values.
    """
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def rewrite(source: Path, target: Path, change: Callable[[bytes], bytes]) -> None:
    """Copy a file of torch's with other contents: what an attacker or another machine may write.

    Args:
        source: A file of ``torch.save``, TorchScript or ``torch.export`` (zip archives), or any
            other file.
        target: Where to write the copy.
        change: Is given the content of every member, also of archives inside the archive, or of
            the whole file if it is none.
    """
    target.write_bytes(_changed(source.read_bytes(), change))


def _changed(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return change(content)
    copy = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(copy, "w") as new:
        for member in old.infolist():  # stored, not compressed, as torch wants them
            new.writestr(member.filename, _changed(old.read(member), change))
    return copy.getvalue()
