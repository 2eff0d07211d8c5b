"""Move tensors, modules and files between number formats and devices, and see what happened.

    python workflow/scripts/measure_placement.py --output cpu.json

Three moves: to another number format, to ``meta`` (shapes without data, which every machine has),
and between the CPU and the device of the job, if that is another one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from assay import job
from assay.job import Job
from assay.modules import checkpoint, process
from assay.record import Status, Trial
from torch import nn

CPU, META = torch.device("cpu"), torch.device("meta")
FORMAT, DEVICE = "number format", "device"  # the two of the moves that are not to meta
ABSENT = "cuda:63"  # a device that no machine has


@dataclass(frozen=True)
class Move:
    """From where to where: number formats or devices, as ``.to`` takes them."""

    name: str
    source: Any
    target: Any


class Network(nn.Module):
    """A layer, a buffer of either kind, and a tensor that is neither parameter nor buffer."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, features)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.plain = torch.zeros(features)


def moves(device: torch.device) -> list[Move]:
    """The moves that this device allows."""
    found = [Move(FORMAT, torch.float32, torch.float64), Move("meta", device, META)]
    return found if device == CPU else [*found, Move(DEVICE, CPU, device)]


def arrived(tensor: torch.Tensor, place: Any) -> bool:
    """Whether a tensor has this number format, or lies on this device."""
    return bool(tensor.dtype == place if isinstance(place, torch.dtype) else tensor.device == place)


def attempt(action: Callable[[], Any]) -> dict[str, Any]:
    """Whether something raises, and what; the message is part of the answer."""
    try:
        action()
    except Exception as error:  # which one it is is what is measured
        first = (str(error).strip().splitlines() or [""])[0]
        return {"error": type(error).__name__, "message": first[:200]}
    return {"error": None, "message": None}


# ---- tensors and modules -------------------------------------------------------------------------


def tensor_moved(move: Move, features: int) -> dict[str, Any]:
    """``tensor.to`` another place."""
    tensor = torch.ones(features, features).to(move.source)
    moved = tensor.to(move.target)
    return {
        "same_object": moved is tensor,
        "arrived": arrived(moved, move.target),
        "source_stays": arrived(tensor, move.source),
    }


def tensor_kept(move: Move, features: int) -> dict[str, Any]:
    """``tensor.to`` the place where it is, and the same with ``copy=True``."""
    tensor = torch.ones(features, features).to(move.source)
    again, copy = tensor.to(move.source), tensor.to(move.source, copy=True)
    return {
        "same_object": again is tensor,
        "same_object_with_copy": copy is tensor,
        "same_memory_with_copy": copy.data_ptr() == tensor.data_ptr(),
    }


def module_moved(move: Move, features: int) -> dict[str, Any]:
    """``module.to`` another place, with an optimiser made before."""
    module = Network(features).to(move.source)
    module.plain = module.plain.to(move.source)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = module.layer.weight
    moved = module.to(move.target)
    return {
        "same_object": moved is module,
        "parameters_arrived": all(arrived(p, move.target) for p in module.parameters()),
        "same_parameters": module.layer.weight is before,
        "optimizer_follows": optimizer.param_groups[0]["params"][0] is module.layer.weight,
        "buffer_arrived": arrived(module.mean, move.target),
        "integer_buffer_arrived": arrived(module.count, move.target),
        "plain_tensor_arrived": arrived(module.plain, move.target),
    }


def mixed(move: Move, features: int) -> dict[str, Any]:
    """A product and a sum of tensors from both places."""
    here = torch.ones(features, features).to(move.source)
    there = torch.ones(features, features).to(move.target)
    return {"product": attempt(lambda: here @ there), "sum": attempt(lambda: here + there)}


# ---- files ---------------------------------------------------------------------------------------


def loaded(move: Move, path: Path, features: int) -> dict[str, Any]:
    """A file from the target, loaded with and without ``map_location``."""
    tensor = torch.randn(features, features)
    torch.save(tensor.to(move.target), path)
    plainly = torch.load(path, weights_only=True)
    on_cpu = torch.load(path, map_location=CPU, weights_only=True)
    seen = {"comes_back_to_target": arrived(plainly, move.target)}
    if move.target == META:
        return seen | {"map_location_arrived": arrived(on_cpu, CPU), "equal": None}
    return seen | {
        "map_location_arrived": arrived(on_cpu, CPU),
        "equal": torch.equal(on_cpu, tensor.to(move.target).cpu()),
    }


def into_module(move: Move, path: Path, features: int) -> dict[str, Any]:
    """Tensors from the target, loaded into a module at the source: by copying, and by assigning."""
    saved = nn.Linear(features, features).to(move.target)
    if move.target != META:
        nn.init.normal_(saved.weight)  # in the target's own precision
    torch.save(saved.state_dict(), path)
    state = torch.load(path, weights_only=True)
    found: dict[str, Any] = {}
    for name, assign in (("copying", False), ("assigning", True)):
        module = nn.Linear(features, features).to(move.source)
        seen = attempt(partial(module.load_state_dict, state, assign=assign))
        if seen["error"] is None and move.target != META:
            written, stored = module.weight.detach().cpu(), saved.weight.detach().cpu()
            seen["largest_difference"] = float((written.double() - stored.double()).abs().max())
        seen["stays_at_source"] = arrived(module.weight, move.source)
        found[name] = seen
    return found


def into_skeleton(path: Path, features: int) -> dict[str, Any]:
    """A file loaded into a module that was built on ``meta``, without memory for its weights."""
    torch.save(nn.Linear(features, features).state_dict(), path)
    state = torch.load(path, map_location=CPU, weights_only=True)
    found: dict[str, Any] = {}
    for name, assign in (("copying", False), ("assigning", True)):
        with META:
            module = nn.Linear(features, features)
        seen = attempt(partial(module.load_state_dict, state, assign=assign))
        seen["has_data"] = not module.weight.is_meta
        found[name] = seen
    found["moving"] = attempt(lambda: torch.ones(2, device=META).to(CPU))
    return found


def from_elsewhere(path: Path, features: int) -> dict[str, Any]:
    """A file that says it comes from a device that is not here.

    It is written here, and the name of the device in it is exchanged.
    """
    tensor = torch.randn(features, features)
    torch.save(tensor, path)
    checkpoint.rewrite(path, path, renamed)
    back: list[torch.Tensor] = []
    return {
        "plainly": attempt(lambda: torch.load(path, weights_only=True)),
        "map_location": attempt(
            lambda: back.append(torch.load(path, map_location=CPU, weights_only=True))
        ),
        "equal": bool(back) and torch.equal(back[0], tensor),
    }


def renamed(content: bytes) -> bytes:
    """A pickle in which the text ``cpu`` is the name of the absent device."""
    return content.replace(text_in_pickle("cpu"), text_in_pickle(ABSENT))


def text_in_pickle(text: str) -> bytes:
    """How pickle's second protocol writes a text: BINUNICODE, four bytes of length, UTF-8."""
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


# ---- the job -------------------------------------------------------------------------------------


def trials_of(move: Move, folder: Path, features: int) -> list[Trial]:
    """Every check for one move."""
    path = folder / "tensors.pt"
    checks = {
        "tensor moved": partial(tensor_moved, move, features),
        "tensor kept": partial(tensor_kept, move, features),
        "module moved": partial(module_moved, move, features),
        "mixed": partial(mixed, move, features),
        "file loaded": partial(loaded, move, path, features),
        "file into module": partial(into_module, move, path, features),
    }
    return [
        Trial(what={"check": name, "move": move.name}, result=check())
        for name, check in checks.items()
    ]


def measure(job: Job) -> list[Trial]:
    """Every check for every move, and what happens to files from elsewhere."""
    features = job.settings["features"]
    torch.manual_seed(job.settings["seed"])
    with process.folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of copies into meta, which is one of the findings
        trials = [each for move in moves(job.device) for each in trials_of(move, folder, features)]
        for name, check in (("skeleton", into_skeleton), ("from elsewhere", from_elsewhere)):
            result = check(folder / "tensors.pt", features)
            trials.append(Trial(what={"check": name, "move": "file"}, result=result))
    return trials if job.device != CPU else [*trials, no_second_device()]


def no_second_device() -> Trial:
    """What a CPU alone cannot show."""
    return Trial(
        what={"check": "all", "move": DEVICE},
        status=Status.UNAVAILABLE,
        reason="moves between two devices need a second one, and the device of this job is the "
        "CPU itself; list an accelerator under `devices` on a machine that has one",
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("placement", {}, measure, argv)


if __name__ == "__main__":
    main()
