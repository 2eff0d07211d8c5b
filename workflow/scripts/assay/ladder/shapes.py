"""A network and a batch, as the axis of the study names them, and the rungs that can train it.

`depth-3` has the first three of the hidden layers, `width-1024` one of 1024 units, `batch-64` the
first of them and 64 images in a step, `convolution-2` two convolutions, `recurrent-1` one recurrent
layer over the rows of the images.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from assay.ladder import by_hand, rungs
from assay.ladder.rungs import Rung
from assay.learning.network import perceptron
from assay.learning.training import Examples

ANCHOR = "module"
PERCEPTRONS = ("depth", "width", "batch")  # what varies; all of these are perceptrons
NAME = re.compile(rf"({'|'.join(PERCEPTRONS)}|convolution|recurrent)-([1-9][0-9]*)")

Kinds = Mapping[str, type[Rung]]  # by the names of the rungs, from the lowest to the highest

BY_HAND: Kinds = {"numpy": by_hand.NumpyPerceptron, "torch": by_hand.TorchPerceptron}
FRAMEWORK: Kinds = {
    ANCHOR: rungs.Framework,
    "fused": rungs.Fused,
    "compiled": rungs.Compiled,
    "graph": rungs.Graph,
}
SCRATCH: Kinds = {"convolution": rungs.ScratchConvolution, "recurrent": rungs.ScratchRecurrent}
# What a network of each family is built with, for the count of lines.
BUILDERS: dict[str, tuple[Callable[..., Any], ...]] = {
    "convolution": (rungs.convolutional,),
    "recurrent": (rungs.Recurrent, rungs.recurrent),
    **dict.fromkeys(PERCEPTRONS, (rungs.multilayer, perceptron)),
}


def checked(name: str) -> str:
    """The name, which is that of a shape.

    Raises:
        argparse.ArgumentTypeError: It is not.
    """
    if not NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(
            f"{name!r} is no shape; use one like depth-1, width-64, batch-16, convolution-2 or "
            "recurrent-1"
        )
    return name


@dataclass(frozen=True)
class Shape:
    """A network and a batch.

    Args:
        name: A name that :func:`checked` lets pass.
        settings: Those of the study.
    """

    name: str
    settings: Mapping[str, Any]

    @property
    def family(self) -> str:
        """What varies, or the kind of a complex piece."""
        return self.name.split("-")[0]

    @property
    def number(self) -> int:
        """Layers, units or images."""
        return int(self.name.split("-")[1])

    @property
    def is_perceptron(self) -> bool:
        """Whether it is one; else it is one of the complex pieces."""
        return self.family in PERCEPTRONS

    @property
    def hidden(self) -> list[int]:
        """Widths of the hidden layers of a perceptron."""
        if self.family == "width":
            return [self.number]
        layers = self.number if self.family == "depth" else 1
        return list(self.settings["perceptron"]["hidden"][:layers])

    @property
    def batch(self) -> int:
        """Images in a step."""
        if self.family == "batch":
            return self.number
        block = self.settings["perceptron" if self.is_perceptron else self.family]
        return int(block["batch"])

    @property
    def kinds(self) -> dict[str, type[Rung]]:
        """The rungs, whether or not this machine has them."""
        own = {"scratch": SCRATCH.get(self.family, rungs.ScratchPerceptron), **FRAMEWORK}
        if self.is_perceptron:
            own = {**BY_HAND, **own}
        if self.name not in self.settings["compiled"]:
            del own["compiled"]
        return own

    def network(self) -> nn.Module:
        """The network that every rung starts from."""
        settings, seed = self.settings, self.settings["seed"]
        if self.family == "convolution":
            block = settings["convolution"]
            return rungs.convolutional(block["channels"][: self.number], block["kernel"], seed)
        if self.family == "recurrent":
            return rungs.recurrent(settings["recurrent"]["hidden"], self.number, seed)
        return rungs.multilayer(self.hidden, seed)

    def batches(self, examples: Examples) -> list[Examples]:
        """A batch per step, in a random order; a small data set begins again at its start."""
        size, count = self.batch, self.settings["steps"]
        generator = torch.Generator().manual_seed(self.settings["seed"])
        order = torch.randperm(len(examples.labels), generator=generator)
        rows = order.repeat(-(-size * count // len(order)))[: size * count]
        return [examples.rows(own.to(examples.labels.device)) for own in rows.split(size)]
