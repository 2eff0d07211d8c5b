"""Fashion-MNIST on disk and in memory.

Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
algorithms" (2017): 60,000 training and 10,000 test images of clothing, 28 × 28 grey values, ten
classes. Contents are known by the SHA-256 of the decompressed files, so that an archive may come
from anywhere.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from assay.record import DatasetInfo, InputError, write_atomically

# SHA-256 of the four files, decompressed.
FILES = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FULL, SAMPLE = "fashion-mnist", "fashion-mnist-10k"
CLASSES = 10
SAMPLE_TRAINING = 800  # images of each class of the sample that are for training, the rest is test
HEADER = {3: 16, 1: 8}  # bytes before the values of an IDX file, by its number of dimensions

Array = NDArray[np.uint8]


class DatasetError(InputError):
    """A file is not what it should be."""


@dataclass(frozen=True)
class Dataset:
    """Images (n, 28, 28) and labels (n,), all uint8."""

    images: torch.Tensor
    labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    info: DatasetInfo


def read_idx(folder: Path, name: str) -> Array:
    """Read one of the four files from a folder, compressed (``.gz``) or not.

    Raises:
        DatasetError: The file is missing, cut short, or does not hold what it should.
    """
    path = folder / f"{name}.gz"
    path = path if path.exists() else folder / name
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise DatasetError(f"{folder / name}: no such file, compressed or not.") from None
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path}: cut short or damaged ({error}).") from error
    seen = hashlib.sha256(content).hexdigest()
    if seen != FILES[name]:
        raise DatasetError(
            f"{path}: not Fashion-MNIST's {name} (SHA-256 of its content {seen[:12]}…, "
            f"expected {FILES[name][:12]}…)."
        )
    dimensions = content[3]  # two zeros, the type (8: unsigned byte), the dimensions
    shape = np.frombuffer(content, dtype=">u4", count=dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=HEADER[dimensions]).reshape(shape)


def read_full(folder: Path) -> dict[str, Array]:
    """The whole data set from the four files in a folder.

    Raises:
        DatasetError: One of the files is not what it should be.
    """
    images, labels, test_images, test_labels = (read_idx(folder, name) for name in FILES)
    return {
        "images": images,
        "labels": labels,
        "test_images": test_images,
        "test_labels": test_labels,
    }


def read_sample(folder: Path) -> dict[str, Array]:
    """The data set's 10,000 test images, split into 8,000 for training and 2,000 for the test.

    Of each class the first 800 images are for training.

    Raises:
        DatasetError: One of the two files is not what it should be.
    """
    images, labels = (read_idx(folder, name) for name in TEST)
    rank = np.zeros(len(labels), dtype=int)  # how many of its class came before
    for label in range(CLASSES):
        members = labels == label
        rank[members] = np.arange(members.sum())
    training = rank < SAMPLE_TRAINING
    return {
        "images": images[training],
        "labels": labels[training],
        "test_images": images[~training],
        "test_labels": labels[~training],
    }


def digest(arrays: Mapping[str, Array | torch.Tensor]) -> str:
    """SHA-256 over the names, shapes and bytes of a data set's arrays."""
    hashed = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hashed.update(f"{name}{array.shape}".encode())
        hashed.update(array.data)
    return hashed.hexdigest()


def write(path: Path, arrays: Mapping[str, Array], info: DatasetInfo) -> None:
    """Write a data set as one safetensors file, atomically."""
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    write_atomically(path, save(tensors, metadata={"info": info.model_dump_json()}))


def read(path: Path) -> Dataset:
    """Map a data set that :func:`write` wrote, after checking its digest.

    Raises:
        DatasetError: The file is missing, cut short, or was changed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()  # no dictionary, although it looks like one
            tensors = {name: file.get_tensor(name) for name in names}
            info = DatasetInfo.model_validate(json.loads(file.metadata()["info"]))
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: no such file. Make it with: snakemake {path.as_posix()}"
        ) from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: not a whole data set ({error}). Delete it and run again."
        ) from error
    if digest(tensors) != info.digest:
        raise DatasetError(f"{path}: its content was changed. Delete it and run again.")
    return Dataset(**tensors, info=info)


@dataclass(frozen=True)
class Split:
    """Row numbers of the training images, for fitting and for validation."""

    training: torch.Tensor
    validation: torch.Tensor


def split(labels: torch.Tensor, share: float, seed: int) -> Split:
    """Set aside a share of each class for validation, drawn by a seed.

    Args:
        labels: (n,) classes.
        share: Share of each class that goes to validation; a class's number is rounded.
        seed: Seed of the draw.
    """
    generator = torch.Generator().manual_seed(seed)
    parts: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for label in labels.unique().tolist():
        members = torch.nonzero(labels == label).flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        cut = math.floor(share * len(members) + 0.5)
        parts[0].append(members[cut:])
        parts[1].append(members[:cut])
    training, validation = (torch.cat(part).sort().values for part in parts)
    return Split(training, validation)


def pixels(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Images as rows of grey values between 0 and 1: (n, 784), float32, on the device."""
    return images.to(device).flatten(1).float().div_(255)
