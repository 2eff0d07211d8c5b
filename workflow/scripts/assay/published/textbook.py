"""The textbook's image loader, and a training timed together with it.

The data set is Fashion-MNIST as torchvision reads it: every image becomes a PIL image, is resized
(to the size that it has) and converted to a tensor, again in every epoch, in worker processes that
are started anew for every epoch. Here it reads images from memory, so that nothing is downloaded.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import FashionMNIST

SIDE = 28  # rows and columns of an image


class InMemory(FashionMNIST):  # type: ignore[misc]  # torchvision publishes no types
    """Torchvision's own access to an image, without the files that its constructor looks for."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        """Take (n, 28, 28) grey values and (n,) classes, both uint8, as they are."""
        self.data, self.targets = images, labels
        self.transform = transforms.Compose(
            [transforms.Resize((SIDE, SIDE)), transforms.ToTensor()]
        )
        self.target_transform = None


def loader(images: Tensor, labels: Tensor, batch: int, workers: int) -> DataLoader[Any]:
    """The textbook's batches: images (batch, 1, 28, 28) between 0 and 1, and their classes.

    Args:
        images: (n, 28, 28), uint8.
        labels: (n,) classes, uint8.
        batch: Images in a batch.
        workers: Processes that load; 0 loads in the calling one.
    """
    # Forked where the textbook's workers are, so that they need not import torch first.
    start = "fork" if workers and sys.platform == "linux" else None
    return DataLoader(
        InMemory(images, labels),
        batch,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context=start,
    )


@dataclass(frozen=True)
class Epoch:
    """A timed epoch, or the beginning of one.

    Attributes:
        first_s: Seconds until the first batch was there and learned from; workers start in it.
        rest_s: Seconds of all other batches.
        batches: How many there were.
    """

    first_s: float
    rest_s: float
    batches: int

    def whole_s(self, batches: int) -> float:
        """Seconds of an epoch of that many batches: the first once, the others in proportion."""
        if batches == self.batches:
            return self.first_s + self.rest_s
        return self.first_s + self.rest_s / max(1, self.batches - 1) * (batches - 1)


def epoch(step: Callable[[Any, Any], Any], batches: Iterable[Any]) -> Epoch:
    """Time one epoch as it was published: the loader and the steps under one clock, once.

    Flaw: for a small network the loader takes many times as long as the steps, so whoever compares
    two implementations like this compares two runs of one loader.
    """
    start = time.perf_counter()
    first, count = start, 0
    for images, labels in batches:
        step(images, labels)
        count += 1
        if count == 1:
            first = time.perf_counter()
    return Epoch(first - start, time.perf_counter() - first, count)
