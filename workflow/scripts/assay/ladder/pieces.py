"""A step of training as works to be timed: the whole of it, or as far as one of its passes.

What the clock of :class:`LibraryClock` is for: NumPy's products and torch's are computed by two
libraries, each with threads of its own. Between two products these do not sleep: they look for
work, for up to 30 ms after the last one (seen: OpenBLAS, which NumPy uses), and take the cores from
the other's. So whenever the library changes, everybody rests until those threads sleep.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn

from assay import statistic
from assay.ladder.by_hand import NumpyPerceptron
from assay.ladder.rungs import Rung
from assay.ladder.shapes import Kinds
from assay.learning.training import TIMED_RATE, Examples
from assay.record import Trial
from assay.timing import trial
from assay.timing.clock import EnteringClock
from assay.timing.trial import Work

REST_S = 0.01  # after which the threads of a library sleep

Operands = tuple[Any, ...]  # a rung, and the inputs and labels of a batch as it takes them


def taken(kind: type[Rung], batch: Examples) -> tuple[Any, Any]:
    """A batch as a rung takes it."""
    if kind is NumpyPerceptron:
        return batch.inputs.numpy(), batch.labels.numpy()
    return batch.inputs, batch.labels


def start(
    kind: type[Rung], network: nn.Module, batch: Examples, rate: float = TIMED_RATE
) -> Operands:
    """A rung with the weights of a network, and a batch as that rung takes it."""
    return kind(network, rate, batch.inputs, batch.labels), *taken(kind, batch)


def forward(operands: Operands) -> None:
    """The forward pass."""
    rung, *batch = operands
    rung.forward(*batch)


def gradient(operands: Operands) -> None:
    """The forward and the backward pass."""
    rung, *batch = operands
    rung.forward(*batch)
    rung.backward()


def step(operands: Operands) -> Any:
    """A whole step; returns the loss before it."""
    rung, *batch = operands
    return rung.step(*batch)


# ---- arms --------------------------------------------------------------------------------------


class Pool:
    """Operand sets of one rung, which the pieces of its step share."""

    def __init__(self, make: Callable[[int], Operands]) -> None:
        self._make = make
        self._sets: list[Operands] = []

    def taker(self) -> Callable[[torch.Generator], Operands]:
        """What prepares the operands of an arm: every set in turn, then new ones."""
        numbers = itertools.count()

        def prepare(_: torch.Generator) -> Operands:
            number = next(numbers)
            while len(self._sets) <= number:
                self._sets.append(self._make(len(self._sets)))
            return self._sets[number]

        return prepare


def works(
    kinds: Kinds, network: nn.Module, batches: Sequence[Examples], split: bool
) -> dict[str, Work[Any]]:
    """The rungs as arms of a trial by name.

    Args:
        kinds: The rungs.
        network: What they start from.
        batches: One after the other for the operand sets.
        split: Whether pieces of a step are arms, too, where a rung has them.
    """
    arms: dict[str, Work[Any]] = {}
    for name, kind in kinds.items():

        def make(number: int, kind: type[Rung] = kind) -> Operands:
            batch = batches[number % len(batches)]
            return start(kind, network, Examples(batch.inputs.clone(), batch.labels.clone()))

        pool = Pool(make)
        arms[name] = Work(pool.taker(), step)
        if split and name != "graph":  # which is one piece
            arms[f"{name} forward"] = Work(pool.taker(), forward)
            arms[f"{name} gradient"] = Work(pool.taker(), gradient)
    return arms


def taking(examples: Examples, size: int) -> Work[Any]:
    """Taking a batch at random from images that are on the device."""
    place = examples.labels.device

    def prepare(generator: torch.Generator) -> torch.Tensor:
        count = len(examples.labels)
        return torch.randint(count, (size,), generator=generator, device=place)

    return Work(prepare, examples.rows)


class LibraryClock(EnteringClock):
    """A host's clock that lets the other library's threads go to sleep before it times an arm."""

    library: str | None = None  # the last that computed

    def enter(self, library: str) -> None:
        """Rest, if another library computed last."""
        if library != self.library:
            time.sleep(REST_S)
            self.library = library


def using(library: str, arms: Mapping[str, Work[Any]], clock: LibraryClock) -> dict[str, Work[Any]]:
    """Arms that have the threads of their library for themselves whenever the clock times them."""

    def entering(work: Work[Any]) -> Work[Any]:
        def run(operands: Any) -> Any:
            return clock.enter(library) if clock.entering else work.run(operands)

        return Work(work.prepare, run, work.units)

    return {name: entering(work) for name, work in arms.items()}


# ---- what the pieces took ----------------------------------------------------------------------


def parts(measured: Trial, name: str, joint: Trial) -> dict[str, JsonValue]:
    """Seconds of the forward pass, the backward pass and the update of a rung, with intervals.

    They are differences between arms of the same round: how much longer it takes to come further.
    ``sum_share`` is what the three medians sum to, relative to the median of the whole step.

    Args:
        measured: The trial that holds the rung's pieces.
        name: The rung.
        joint: The trial of all rungs. Where the pieces had one of their own, they are scaled to the
            step in this one: the machine may have another speed a few seconds later.
    """
    scale = np.median(_steps(joint, name)) / np.median(_steps(measured, name))
    whole = scale * _steps(measured, name)
    first, both = (
        scale * trial.kept(measured, f"{name} {part}") for part in ("forward", "gradient")
    )
    differences = {"forward": first, "backward": both - first, "update": whole - both}
    intervals = {part: statistic.median(seconds) for part, seconds in differences.items()}
    seconds: dict[str, JsonValue] = {}
    for part, middle in intervals.items():
        seconds |= {f"{part}_s": middle.value}
        seconds |= {f"{part}_low_s": middle.low, f"{part}_high_s": middle.high}
    total = sum(middle.value for middle in intervals.values())
    return seconds | {"sum_share": total / float(np.median(whole))}


def _steps(measured: Trial, name: str) -> NDArray[np.float64]:
    """Seconds of a rung's whole step in the rounds that count."""
    return trial.kept(measured, trial.ANCHOR if name == measured.what["anchor"] else name)
