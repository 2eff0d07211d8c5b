"""Six ways to store a network, and the code of that network as it may be when it is loaded.

The code lies in a folder, so that it can be missing, moved or edited when the file is read.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

# ---- the code of the network, as a user keeps it in a file of his own ---------------------------

SOURCE = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, features: int, hidden: int):
        super().__init__()
        self.hidden = nn.Linear(features, hidden)
        self.output = nn.Linear(hidden, features)

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


class Tied(nn.Module):
    def __init__(self, features: int, hidden: int):
        super().__init__()
        self.hidden = nn.Linear(features, features)
        self.output = nn.Linear(features, features)
        self.output.weight = self.hidden.weight

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


class Holder(nn.Module):
    def __init__(self, value: torch.Tensor):
        super().__init__()
        self.register_buffer("value", value)

    def forward(self, x):
        return x
"""
ORIGINAL, MOVED, EDITED, RENAMED, MISSING = "original", "moved", "edited", "renamed", "missing"
# What became of the code: the module's name and its text.
CODE = {
    ORIGINAL: ("net", SOURCE),
    MOVED: ("networks", SOURCE),
    EDITED: ("net", SOURCE.replace("torch.relu", "torch.tanh")),
    RENAMED: ("net", SOURCE.replace("self.hidden", "self.first")),
    MISSING: ("net", None),
}


def write_code(folder: Path) -> None:
    """Every version of the code in a folder of its name."""
    for version, (name, text) in CODE.items():
        (folder / version).mkdir()
        if text is not None:
            (folder / version / f"{name}.py").write_text(text, encoding="utf-8")


def code(version: str) -> Any:
    """The module with the classes; raises ModuleNotFoundError where it is missing."""
    return importlib.import_module(CODE[version][0])


# ---- the formats --------------------------------------------------------------------------------

MESSAGE = 200  # characters of an error's message that are kept
Arguments = Mapping[str, Any]  # the arguments of a network's class
Make = Callable[[], Any]  # builds the network from its class


@dataclass(frozen=True)
class Format:
    """A way to store a network.

    Attributes:
        suffix: Of the file.
        save: Writes a network, given the arguments of its class and an example of its input.
        load: Reads the file, as it has to be done to get anything out of it.
        default: Reads the file with no options.
        build: Makes what was read a network; the second argument builds one from its class.
        tensors: The stored tensors by name, from what was read.
    """

    suffix: str
    save: Callable[[Any, Arguments, torch.Tensor, Path], Any]
    load: Callable[[Path], Any]
    default: Callable[[Path], Any]
    build: Callable[[Any, Make], Any]
    tensors: Callable[[Any], Mapping[str, torch.Tensor]]


def load_safely(path: Path) -> Any:
    """Tensors and plain values only."""
    return torch.load(path, weights_only=True)


def load_trusting(path: Path) -> Any:
    """Whatever the file says, code included.

    Two of the formats can be read in no other way, and what a hostile file does then is one of
    the hazards. Only files that were written here a moment ago are read so.
    """
    return torch.load(path, weights_only=False)


def load_default(path: Path) -> Any:
    """What the version at hand does when nothing is said: that is what is tried."""
    return torch.load(path)


def filled(state: Mapping[str, torch.Tensor], make: Make) -> Any:
    """A network from its class, with these tensors."""
    network = make()
    network.load_state_dict(state)
    return network


def save_class(network: Any, arguments: Arguments, example: torch.Tensor, path: Path) -> None:
    """The class, its arguments and the tensors in one dictionary."""
    held = {"class": type(network), "arguments": dict(arguments), "state": network.state_dict()}
    torch.save(held, path)


def export(network: Any, arguments: Arguments, example: torch.Tensor, path: Path) -> None:
    """The graph of a network, with its tensors."""
    torch.export.save(torch.export.export(network, (example,)), path)


def path_first(load: Callable[..., Any]) -> Callable[[Path], Any]:
    """A loader that takes its path as text."""
    return lambda path: load(str(path))


FORMATS = {
    "state_dict": Format(
        suffix=".pt",
        save=lambda network, arguments, example, path: torch.save(network.state_dict(), path),
        load=load_safely,
        default=load_default,
        build=filled,
        tensors=lambda loaded: loaded,
    ),
    "module": Format(
        suffix=".pt",
        save=lambda network, arguments, example, path: torch.save(network, path),
        load=load_trusting,
        default=load_default,
        build=lambda loaded, make: loaded,
        tensors=lambda loaded: loaded.state_dict(),
    ),
    "class_in_dict": Format(
        suffix=".pt",
        save=save_class,
        load=load_trusting,
        default=load_default,
        build=lambda loaded, make: filled(
            loaded["state"], lambda: loaded["class"](**loaded["arguments"])
        ),
        tensors=lambda loaded: loaded["state"],
    ),
    "torchscript": Format(
        suffix=".pt",
        save=lambda network, arguments, example, path: torch.jit.save(
            torch.jit.script(network), str(path)
        ),
        load=path_first(torch.jit.load),
        default=path_first(torch.jit.load),
        build=lambda loaded, make: loaded,
        tensors=lambda loaded: loaded.state_dict(),
    ),
    "export": Format(
        suffix=".pt2",
        save=export,
        load=path_first(lambda path: torch.export.load(path)),
        default=path_first(lambda path: torch.export.load(path)),
        build=lambda loaded, make: loaded.module(),
        tensors=lambda loaded: loaded.state_dict,
    ),
    "safetensors": Format(
        suffix=".safetensors",
        save=lambda network, arguments, example, path: safetensors.torch.save_file(
            network.state_dict(), path
        ),
        load=safetensors.torch.load_file,
        default=safetensors.torch.load_file,
        build=filled,
        tensors=lambda loaded: loaded,
    ),
}


@dataclass(frozen=True)
class Case:
    """A format at work in a temporary folder.

    Attributes:
        name: The name of the format.
        folder: The folder.
        settings: ``features``, ``hidden`` and ``seed`` of the network.
        version: The version of the code that is there.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    version: str = ORIGINAL

    @property
    def format(self) -> Format:
        """The format."""
        return FORMATS[self.name]

    def file(self, name: str) -> Path:
        """A file of this format."""
        return self.folder / f"{name}{self.format.suffix}"

    def example(self) -> torch.Tensor:
        """Inputs of a network: (4, features), float32, the same in every process."""
        generator = torch.Generator().manual_seed(self.settings["seed"])
        return torch.randn(4, self.settings["features"], generator=generator)

    def arguments(self) -> dict[str, int]:
        """The arguments of the network's class."""
        return {key: self.settings[key] for key in ("features", "hidden")}

    def network(self, kind: str = "Net") -> Any:
        """A network from its code."""
        torch.manual_seed(self.settings["seed"])
        return getattr(code(self.version), kind)(**self.arguments())

    def save(self, network: Any, name: str, arguments: Arguments | None = None) -> Path:
        """Write a network to a file, and return its path."""
        path = self.file(name)
        self.format.save(network, arguments or self.arguments(), self.example(), path)
        return path

    def error(self, error: Exception) -> dict[str, Any]:
        """What went wrong, in one line that names no folder of this machine."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # without the terminal's bold type
        message = " ".join(plain.split()).replace(str(self.folder), "…")
        return {"error": type(error).__name__, "message": message[:MESSAGE]}


# ---- numbers to store ---------------------------------------------------------------------------

DTYPES = [
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
    *("complex128", "complex64"),
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"),
]


def bits(tensor: torch.Tensor) -> bytes:
    """The bytes of a tensor's elements, in their order."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def any_bits(dtype: torch.dtype) -> torch.Tensor:
    """(16,) elements of all kinds of bits: for floating-point numbers NaN and infinities, too."""
    raw = torch.arange(256, dtype=torch.uint8).roll(7)
    return raw[:16] % 2 == 1 if dtype == torch.bool else raw[: 16 * dtype.itemsize].view(dtype)
