"""What `benchmarks/trainer.py` compares: one training, written as each library means it.

The network is 784-256-10 with ReLU, trained by plain SGD at rate 0.1 on batches of 256, a new order
in every epoch; nothing is evaluated. Each contestant is a function of a network, the data, and
turns: it trains one epoch each time the next turn comes, so that whoever gives the turns can time
the epochs of a fit that goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assay.learning import training
from assay.learning.dataset import CLASSES, FILES
from assay.learning.network import perceptron
from assay.learning.training import Examples
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PIXELS, HIDDEN = 784, 256
RATE, BATCH = 0.1, 256
WIDTHS = [PIXELS, HIDDEN, CLASSES]

Turns = Iterator[None]


@dataclass(frozen=True)
class Data:
    """The training images in a folder, as files that processes map instead of copying."""

    folder: Path

    @property
    def inputs(self) -> np.ndarray:
        """Grey values between 0 and 1: (n, 784), float32."""
        return np.asarray(np.load(self.folder / "inputs.npy", mmap_mode="c"))

    @property
    def labels(self) -> np.ndarray:
        """Classes: (n,), int64."""
        return np.asarray(np.load(self.folder / "labels.npy", mmap_mode="c"))

    @property
    def examples(self) -> Examples:
        """Both, as tensors on the same memory."""
        return Examples(torch.from_numpy(self.inputs), torch.from_numpy(self.labels))

    @property
    def dataset(self) -> TensorDataset:
        """Both, as torch's loaders want them."""
        return TensorDataset(self.examples.inputs, self.examples.labels)


def write(folder: Path, images: torch.Tensor, labels: torch.Tensor) -> Data:
    """Write images (n, 28, 28) and labels (n,), both uint8, in every form a contestant reads."""
    raw = folder / "FashionMNIST/raw"
    raw.mkdir(parents=True)
    for name in FILES:  # torchvision wants the test files as well, so they get the same content
        values = (images if "images" in name else labels).numpy()
        header = np.array([0x0800 + values.ndim, *values.shape], dtype=">u4")
        (raw / name).write_bytes(header.tobytes() + values.tobytes())
    np.save(folder / "inputs.npy", images.flatten(1).float().div_(255).numpy())
    np.save(folder / "labels.npy", labels.long().numpy())
    return Data(folder)


# ---- torch ---------------------------------------------------------------------------------------


def ours(network: nn.Sequential, data: Data, turns: Turns) -> None:
    """The pipeline's trainer."""
    examples = data.examples
    order = torch.Generator().manual_seed(torch.initial_seed())
    step = training.sgd(network, RATE)
    for _ in turns:
        training.epoch(step, examples, BATCH, order)


def loop(network: nn.Module, batches: Iterable[Any], turns: Turns) -> None:
    """The usual loop over a loader."""
    loss_of = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    for _ in turns:
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss_of(network(inputs), labels).backward()
            optimizer.step()


def loader(data: Data) -> DataLoader[Any]:
    """A loader over tensors in memory."""
    return DataLoader(data.dataset, batch_size=BATCH, shuffle=True)


def dataloader(network: nn.Sequential, data: Data, turns: Turns) -> None:
    """The usual loop over tensors in memory."""
    loop(network, loader(data), turns)


def textbook(network: nn.Sequential, data: Data, turns: Turns, workers: int = 4) -> None:
    """The textbook's way: image files through torchvision, transformed one by one by workers."""
    from torchvision import transforms
    from torchvision.datasets import FashionMNIST

    transform = transforms.Compose([transforms.Resize((28, 28)), transforms.ToTensor()])
    images = FashionMNIST(data.folder, train=True, transform=transform)
    batches = DataLoader(images, batch_size=BATCH, shuffle=True, num_workers=workers)
    loop(nn.Sequential(nn.Flatten(), network), batches, turns)


def floor(network: nn.Sequential, data: Data, turns: Turns) -> None:
    """No training: the matrix products of its steps alone, into memory that is there already.

    Two forward and three backward, as nothing needs the gradient in the images. The batches are
    taken in the order in which they lie.
    """
    first, second = (layer.weight.detach() for layer in network if isinstance(layer, nn.Linear))
    hidden, hidden_gradient = torch.rand(2, BATCH, HIDDEN)
    scores, scores_gradient = torch.rand(2, BATCH, CLASSES)
    first_gradient, second_gradient = torch.empty_like(first), torch.empty_like(second)
    batches = data.examples.inputs.split(BATCH)
    for _ in turns:
        for inputs in batches:
            n = len(inputs)  # the last batch is smaller
            torch.mm(inputs, first.T, out=hidden[:n])
            torch.mm(hidden[:n], second.T, out=scores[:n])
            torch.mm(scores_gradient[:n].T, hidden[:n], out=second_gradient)
            torch.mm(scores_gradient[:n], second, out=hidden_gradient[:n])
            torch.mm(hidden_gradient[:n].T, inputs, out=first_gradient)


def drawing(network: nn.Sequential, data: Data, turns: Turns) -> None:
    """No training: the batches of the trainer's steps alone."""
    examples, order = data.examples, torch.Generator()
    for _ in turns:
        for rows in torch.randperm(len(examples.labels), generator=order).split(BATCH):
            examples.rows(rows)


@torch.no_grad()
def updating(network: nn.Sequential, data: Data, turns: Turns) -> None:
    """No training: the updates of the trainer's steps alone, by gradients that are there."""
    weights = [*network.parameters()]
    gradients = [torch.zeros_like(weight) for weight in weights]
    for _ in turns:
        for _ in data.examples.labels.split(BATCH):
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=RATE)


# ---- other libraries -----------------------------------------------------------------------------


def lightning(network: nn.Sequential, data: Data, turns: Turns) -> None:
    """Lightning, without its logs and checkpoints."""
    from lightning import Callback, LightningModule, Trainer

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.loss_of = network, nn.CrossEntropyLoss()

        def training_step(self, batch: Any, batch_index: int) -> torch.Tensor:
            inputs, labels = batch
            return self.loss_of(self.network(inputs), labels)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=RATE)

    class Turn(Callback):
        def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
            next(turns)

    Trainer(
        accelerator="cpu",
        max_epochs=-1,
        callbacks=[Turn()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Module(), loader(data))


def skorch(network: nn.Sequential, data: Data, turns: Turns) -> None:
    """skorch, without a validation split."""
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback

    class Turn(Callback):
        def on_epoch_begin(self, net: Any, **_: Any) -> None:
            next(turns)

    NeuralNetClassifier(
        network,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=RATE,
        batch_size=BATCH,
        max_epochs=1_000_000,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[Turn()],
        verbose=0,
    ).fit(data.inputs, data.labels)


def keras(network: nn.Sequential, data: Data, turns: Turns) -> None:
    """Keras on torch (KERAS_BACKEND=torch), with a network of its own."""
    from keras import Sequential, callbacks, layers, losses, optimizers

    class Turn(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            next(turns)

    dense = [layers.Dense(HIDDEN, activation="relu"), layers.Dense(CLASSES)]
    model = Sequential([layers.Input((PIXELS,)), *dense])
    model.compile(optimizers.SGD(RATE), losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(
        data.inputs,
        data.labels,
        batch_size=BATCH,
        epochs=1_000_000,
        callbacks=[Turn()],
        verbose=0,
    )


def scikit_learn(network: nn.Sequential, data: Data, turns: Turns) -> None:
    """scikit-learn's MLPClassifier, with a network of its own, without penalty and momentum.

    An epoch at a time is its `partial_fit`; the check of the inputs, which one `fit` would do once,
    is switched off for it.
    """
    from sklearn import config_context
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    model = MLPClassifier(
        (HIDDEN,),
        solver="sgd",
        alpha=0,
        batch_size=BATCH,
        learning_rate_init=RATE,
        momentum=0,
        nesterovs_momentum=False,
    )
    inputs, labels, classes = data.inputs, data.labels, np.arange(CLASSES)
    for _ in turns:
        with threadpool_limits(torch.get_num_threads()), config_context(assume_finite=True):
            model.partial_fit(inputs, labels, classes=classes)


@dataclass(frozen=True)
class Contestant:
    """A way to train, and the package it needs beside torch."""

    fit: Callable[[nn.Sequential, Data, Turns], None]
    package: str = "torch"

    @property
    def is_installed(self) -> bool:
        """Whether its package is."""
        return find_spec(self.package) is not None


FLOOR, OURS, TEXTBOOK, DATALOADER = "floor", "ours", "textbook", "DataLoader"
PARTS = ("drawing", "updating")  # what a step of ours consists of beside the floor, as far as known
CONTESTANTS: Mapping[str, Contestant] = {
    FLOOR: Contestant(floor),
    OURS: Contestant(ours),
    **dict(zip(PARTS, map(Contestant, (drawing, updating)), strict=True)),
    DATALOADER: Contestant(dataloader),
    "scikit-learn": Contestant(scikit_learn, "sklearn"),
    "Keras": Contestant(keras, "keras"),
    "skorch": Contestant(skorch, "skorch"),
    "Lightning": Contestant(lightning, "lightning"),
    TEXTBOOK: Contestant(textbook),
    "textbook, no workers": Contestant(partial(textbook, workers=0)),
}


def network(seed: int) -> nn.Sequential:
    """The network that every contestant on torch trains; the seed of its fit is set with it."""
    torch.manual_seed(seed)
    return perceptron(WIDTHS, "relu", seed)
