"""Save a network in one format, then load it under every hazard, each in a process of its own.

    python workflow/scripts/measure_formats.py --format module --output module.json

The code of the network lies in a temporary folder, so that it can be missing, moved or edited when
the file is loaded. This process never imports it: it writes and loads in forked processes, which
know nothing but torch and this library.
"""

from __future__ import annotations

import importlib
import math
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from assay import job
from assay.job import Job
from assay.modules import checkpoint, process
from assay.record import Trial
from assay.timing import trial
from assay.timing.clock import clock_for
from assay.timing.trial import Protocol, Work
from torch import nn

# ---- the code of the network, as a user keeps it in a file of his own ----------------------------

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


def find_code(folder: Path, version: str) -> None:
    """Let this process find one version of the code."""
    sys.path.insert(0, str(folder / version))


def code(version: str) -> Any:
    """The module with the classes; raises ModuleNotFoundError where it is missing."""
    return importlib.import_module(CODE[version][0])


# ---- the formats ---------------------------------------------------------------------------------

MESSAGE = 200  # characters of an error's message that are kept
Shape = Mapping[str, Any]  # the arguments of a network's class
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
    save: Callable[[Any, Shape, torch.Tensor, Path], Any]
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
    the hazards. Only files that this script wrote a moment ago are read so.
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


def save_class(network: Any, shape: Shape, example: torch.Tensor, path: Path) -> None:
    """The class, its arguments and the tensors in one dictionary."""
    held = {"class": type(network), "arguments": dict(shape), "state": network.state_dict()}
    torch.save(held, path)


def export(network: Any, shape: Shape, example: torch.Tensor, path: Path) -> None:
    """The graph of a network, with its tensors."""
    torch.export.save(torch.export.export(network, (example,)), path)


def path_first(load: Callable[..., Any]) -> Callable[[Path], Any]:
    """A loader that takes its path as text."""
    return lambda path: load(str(path))


FORMATS = {
    "state_dict": Format(
        suffix=".pt",
        save=lambda network, shape, example, path: torch.save(network.state_dict(), path),
        load=load_safely,
        default=load_default,
        build=filled,
        tensors=lambda loaded: loaded,
    ),
    "module": Format(
        suffix=".pt",
        save=lambda network, shape, example, path: torch.save(network, path),
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
        save=lambda network, shape, example, path: torch.jit.save(
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
        save=lambda network, shape, example, path: safetensors.torch.save_file(
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
    """A format at work in a temporary folder."""

    name: str
    folder: Path
    settings: Mapping[str, Any]

    @property
    def format(self) -> Format:
        """The format."""
        return FORMATS[self.name]

    @property
    def shape(self) -> dict[str, int]:
        """The arguments of the network's class."""
        return {key: self.settings[key] for key in ("features", "hidden")}

    @property
    def path(self) -> Path:
        """The file that the network is in."""
        return self.file("network")

    def file(self, name: str) -> Path:
        """A file of this format."""
        return self.folder / f"{name}{self.format.suffix}"

    def example(self) -> torch.Tensor:
        """Inputs of a network: (4, features), float32, the same in every process."""
        generator = torch.Generator().manual_seed(self.settings["seed"])
        return torch.randn(4, self.settings["features"], generator=generator)

    def network(self, kind: str = "Net", version: str = ORIGINAL) -> Any:
        """A network from its code."""
        torch.manual_seed(self.settings["seed"])
        return getattr(code(version), kind)(**self.shape)

    def error(self, error: Exception) -> dict[str, Any]:
        """What went wrong, in one line that names no folder of this machine."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # without the terminal's bold type
        message = " ".join(plain.split()).replace(str(self.folder), "…")
        return {"error": type(error).__name__, "message": message[:MESSAGE]}


# ---- what happened to the code, or to the caller -------------------------------------------------


def write(case: Case) -> dict[str, Any]:
    """Write the file that is loaded later, and what the network puts out, for comparison."""
    find_code(case.folder, ORIGINAL)
    network = case.network()
    case.format.save(network, case.shape, case.example(), case.path)
    torch.save(network(case.example()).detach(), case.folder / "expected.pt")
    size = sum(p.nbytes for p in network.parameters())
    return {"file_bytes": case.path.stat().st_size, "parameter_bytes": size}


def reload(case: Case, version: str, default: bool) -> dict[str, Any]:
    """How far loading comes, and how far the outputs then are from those of the saved network."""
    find_code(case.folder, version)
    stage = "load"
    try:
        loaded = (case.format.default if default else case.format.load)(case.path)
        stage = "build"
        network = case.format.build(loaded, lambda: case.network(version=version))
        stage = "run"
        seen = network(case.example())
    except Exception as error:  # which one it is is what is measured
        return {"failed_at": stage, **case.error(error)}
    expected = load_safely(case.folder / "expected.pt")
    return {"failed_at": None, "largest_difference": float((seen - expected).abs().max())}


def unchanged(case: Case) -> dict[str, Any]:
    """The control: nothing has happened, and the file is loaded as it has to be."""
    return reload(case, ORIGINAL, default=False)


def by_default(case: Case) -> dict[str, Any]:
    """Nothing has happened, but the file is loaded with no options."""
    return reload(case, ORIGINAL, default=True)


def class_missing(case: Case) -> dict[str, Any]:
    """Only the file has come along, not the code."""
    return reload(case, MISSING, default=False)


def class_moved(case: Case) -> dict[str, Any]:
    """The class lies in a module of another name, and the caller knows."""
    return reload(case, MOVED, default=False)


def forward_edited(case: Case) -> dict[str, Any]:
    """The forward pass has another activation now."""
    return reload(case, EDITED, default=False)


def layer_renamed(case: Case) -> dict[str, Any]:
    """A layer has another name in the class now."""
    return reload(case, RENAMED, default=False)


# ---- a hostile file ------------------------------------------------------------------------------


class Payload:
    """Unpickled, it creates a file: harmless, and proof that the file's code was run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.marker), "w")


def poisoned(content: bytes, payload: bytes) -> bytes:
    """The payload in place of a pickle, and of what is no archive and no tensor data."""
    return payload if content.startswith(b"\x80\x02") else content


def hostile(case: Case) -> dict[str, Any]:
    """Which ways of loading run the code in a file whose pickles were exchanged.

    The payload's one effect is an empty file in the temporary folder. That a loader which trusts
    the file creates it is shown on this file only, which was written here a moment ago.
    """
    find_code(case.folder, ORIGINAL)
    marker, path = case.folder / "marker", case.file("hostile")
    payload = pickle.dumps(Payload(marker), protocol=2)
    if case.name == "safetensors":
        path.write_bytes(payload)  # nothing in it is a pickle, so all of it becomes one
    else:
        checkpoint.rewrite(case.path, path, lambda content: poisoned(content, payload))
    ways = {"by_default": case.format.default, "as_needed": case.format.load}
    if case.format.default is load_default:  # those that torch.load reads
        ways |= {"weights_only": load_safely, "trusting": load_trusting}
    seen: dict[str, Any] = {"pickles": path.read_bytes().count(payload)}
    for name, load in ways.items():
        marker.unlink(missing_ok=True)
        seen[f"error_{name}"] = None
        try:
            load(path)
        except Exception as error:  # a loader may refuse the file, or stumble after the fact
            seen[f"error_{name}"] = type(error).__name__
        seen[f"ran_{name}"] = marker.exists()
    return seen


# ---- what a file keeps of its tensors ------------------------------------------------------------

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


def through(case: Case, name: str, value: torch.Tensor) -> torch.Tensor:
    """A buffer after it was saved and loaded."""
    path = case.file(name)
    holder = code(ORIGINAL).Holder(value)
    case.format.save(holder, {"value": value}, case.example(), path)
    return case.format.tensors(case.format.load(path))["value"]


def dtypes(case: Case) -> dict[str, Any]:
    """Which number formats come back with every bit."""
    find_code(case.folder, ORIGINAL)
    kept, lost = [], {}
    for name in DTYPES:
        dtype = getattr(torch, name)
        value = any_bits(dtype)
        try:
            seen = through(case, name, value)
        except Exception as error:  # a format says in its own way that it cannot store something
            lost[name] = case.error(error)
            continue
        if seen.dtype == dtype and bits(seen) == bits(value):
            kept.append(name)
        else:
            lost[name] = {"error": None, "message": f"came back as {seen.dtype}, other bits"}
    return {"kept": kept, "lost": lost}


def views(case: Case) -> dict[str, Any]:
    """What is stored of a large tensor when only a part of it is saved."""
    find_code(case.folder, ORIGINAL)
    count = math.isqrt(case.settings["view_bytes"] // 4)
    large = torch.randn(count, count)
    parts = {"rows": large[: count // 100], "columns": large[:, : count // 100]}
    found: dict[str, Any] = {"whole_bytes": large.nbytes}
    for name, part in parts.items():
        seen: dict[str, Any] = {"part_bytes": part.nbytes}
        try:
            back = through(case, name, part)
            seen |= {
                "file_bytes": case.file(name).stat().st_size,
                "equal": torch.equal(back, part),
                "strides_kept": back.stride() == part.stride(),
            }
            through(case, f"{name}-copy", part.clone(memory_format=torch.contiguous_format))
            seen["file_bytes_of_copy"] = case.file(f"{name}-copy").stat().st_size
        except Exception as error:
            seen |= case.error(error)
        found[name] = seen
    return found


def tied(case: Case) -> dict[str, Any]:
    """Whether two layers that share one weight still do."""
    find_code(case.folder, ORIGINAL)
    network, path = case.network("Tied"), case.file("tied")
    stage = "save"
    try:
        case.format.save(network, case.shape, case.example(), path)
        stage = "load"
        loaded = case.format.load(path)
        stored = case.format.tensors(loaded)
        built = case.format.build(loaded, lambda: case.network("Tied"))
    except Exception as error:
        return {"failed_at": stage, **case.error(error)}
    names = dict(built.named_parameters(remove_duplicate=False))
    return {
        "failed_at": None,
        "shared_in_file": _one_storage(stored),
        "shared_after_loading": _one_storage(names),
        "file_bytes": path.stat().st_size,
        "parameter_bytes": sum(p.nbytes for p in network.parameters()),
    }


def _one_storage(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the weights of both layers lie in one place."""
    if not {"hidden.weight", "output.weight"} <= tensors.keys():
        return True  # one of the two names is all that is left
    return tensors["hidden.weight"].data_ptr() == tensors["output.weight"].data_ptr()


HAZARDS: dict[str, Callable[[Case], dict[str, Any]]] = {
    each.__name__: each
    for each in (
        unchanged,
        by_default,
        class_missing,
        class_moved,
        forward_edited,
        layer_renamed,
        hostile,
        tied,
        dtypes,
        views,
    )
}


# ---- time ----------------------------------------------------------------------------------------

ANCHOR = "state_dict"  # what the times of the other formats are relative to


def saving(case: Case) -> Work[Any]:
    """From a network to its file."""

    def prepare(generator: torch.Generator) -> Any:
        return case.network()

    def run(network: Any) -> None:
        case.format.save(network, case.shape, case.example(), case.file(f"timed-{case.name}"))

    return Work(prepare, run)


def loading(case: Case) -> Work[Any]:
    """From a file to a network that can be run."""

    def prepare(generator: torch.Generator) -> Any:
        path = case.file(f"timed-{case.name}")
        case.format.save(case.network(), case.shape, case.example(), path)
        return path

    def run(path: Any) -> None:
        case.format.build(case.format.load(path), case.network)

    return Work(prepare, run)


def times(case: Case) -> list[Trial]:
    """Saving and loading, relative to a state_dict, in two paired trials."""
    find_code(case.folder, ORIGINAL)
    device, settings = torch.device("cpu"), case.settings
    # Few operand sets: a file lies in the system's cache, wherever its tensors lay in memory.
    protocol = replace(
        Protocol.from_settings(settings["protocol"], device),
        operand_sets=1,
        cap_s=settings["cap_s"],
        half_width=settings["half_width"],
    )
    anchor = replace(case, name=ANCHOR)
    trials = []
    for what, work in (("save", saving), ("load", loading)):
        targets = {} if case.name == ANCHOR else {"target": work(case)}
        compared = trial.compare(
            {"time": what}, work(anchor), targets, protocol, clock_for(device), settings["seed"]
        )
        trials.append(compared)
    return trials


# ---- the job -------------------------------------------------------------------------------------


def quietly(function: Callable[[Case], Any], case: Case) -> Any:
    """What a function returns; what torch warns of again and again stays out of the log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(case)


def load_libraries(case: Case) -> None:
    """Save and load a layer of torch's own here, so that what that imports is forked along.

    For torch.export that is seconds, which every process would need again.
    """
    layer, path = nn.Linear(1, 1), case.file("layer")
    case.format.save(layer, {}, torch.ones(1, 1), path)
    case.format.load(path)


def measure(job: Job) -> list[Trial]:
    """Write the file, then try every hazard on it, then time it."""
    name, call = job.axes["format"], partial(process.call, process.context("cpu"), quietly)
    with process.folder() as folder:
        write_code(folder)
        case = Case(name, folder, job.settings)
        load_libraries(case)
        trials = [Trial(what={"hazard": "none"}, result=call(write, case))]
        for hazard, examine in HAZARDS.items():
            trials.append(Trial(what={"hazard": hazard}, result=call(examine, case)))
        return trials + call(times, case)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("formats", {"format": format_name}, measure, argv)


def format_name(name: str) -> str:
    """A format of that name; argparse makes a sentence of the error."""
    if name not in FORMATS:
        raise ValueError(name)
    return name


if __name__ == "__main__":
    main()
