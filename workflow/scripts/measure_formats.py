"""Save a network in one format, then load it under every hazard, each in a process of its own.

    python workflow/scripts/measure_formats.py --format module --output module.json

The code of the network (:mod:`assay.modules.formats`) lies in a temporary folder, so that it can be
missing, moved or edited when the file is loaded. This process never imports it: it writes and loads
in forked processes, which know nothing but torch and this library.
"""

from __future__ import annotations

import math
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from assay import job
from assay.job import Job
from assay.modules import checkpoint, formats, process
from assay.modules.formats import EDITED, FORMATS, MISSING, MOVED, ORIGINAL, RENAMED, Case
from assay.record import Trial
from assay.timing import trial
from assay.timing.clock import clock_for
from assay.timing.trial import Protocol, Work
from torch import nn

Result = dict[str, Any]

# ---- what happened to the code, or to the caller -------------------------------------------------


def write(case: Case) -> Result:
    """Write the file that is loaded later, and what the network puts out, for comparison."""
    network = case.network()
    path = case.save(network, "network")
    torch.save(network(case.example()).detach(), case.folder / "expected.pt")
    size = sum(p.nbytes for p in network.parameters())
    return {"file_bytes": path.stat().st_size, "parameter_bytes": size}


def reload(case: Case) -> Result:
    """The file is loaded as it has to be."""
    return come_far(case, case.format.load)


def reload_by_default(case: Case) -> Result:
    """The file is loaded with no options."""
    return come_far(case, case.format.default)


def come_far(case: Case, load: Callable[[Path], Any]) -> Result:
    """How far loading comes, and how far the outputs then are from those of the saved network."""
    stage = "load"
    try:
        loaded = load(case.file("network"))
        stage = "build"
        network = case.format.build(loaded, case.network)
        stage = "run"
        outputs = network(case.example())
    except Exception as error:  # which one it is is what is measured
        return {"failed_at": stage, **case.error(error)}
    expected = formats.load_safely(case.folder / "expected.pt")
    return {"failed_at": None, "largest_difference": float((outputs - expected).abs().max())}


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


def hostile(case: Case) -> Result:
    """Which ways of loading run the code in a file whose pickles were exchanged.

    The payload's one effect is an empty file in the temporary folder. That a loader which trusts
    the file creates it is shown on this file only, which was written here a moment ago.
    """
    marker, path = case.folder / "marker", case.file("hostile")
    payload = pickle.dumps(Payload(marker), protocol=2)
    if case.name == "safetensors":
        path.write_bytes(payload)  # nothing in it is a pickle, so all of it becomes one
    else:
        checkpoint.rewrite(case.file("network"), path, lambda content: poisoned(content, payload))
    ways = {"by_default": case.format.default, "as_needed": case.format.load}
    if case.format.default is formats.load_default:  # those that torch.load reads
        ways |= {"weights_only": formats.load_safely, "trusting": formats.load_trusting}
    seen: Result = {"pickles": path.read_bytes().count(payload)}
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


def through(case: Case, name: str, value: torch.Tensor) -> torch.Tensor:
    """A buffer after it was saved and loaded."""
    path = case.save(formats.code(case.version).Holder(value), name, {"value": value})
    return case.format.tensors(case.format.load(path))["value"]


def dtypes(case: Case) -> Result:
    """Which number formats come back with every bit."""
    kept, lost = [], {}
    for name in formats.DTYPES:
        dtype = getattr(torch, name)
        value = formats.any_bits(dtype)
        try:
            seen = through(case, name, value)
        except Exception as error:  # a format says in its own way that it cannot store something
            lost[name] = case.error(error)
            continue
        if seen.dtype == dtype and formats.bits(seen) == formats.bits(value):
            kept.append(name)
        else:
            lost[name] = {"error": None, "message": f"came back as {seen.dtype}, other bits"}
    return {"kept": kept, "lost": lost}


def views(case: Case) -> Result:
    """What is stored of a large tensor when only a part of it is saved."""
    count = math.isqrt(case.settings["view_bytes"] // 4)
    large = torch.randn(count, count)
    parts = {"rows": large[: count // 100], "columns": large[:, : count // 100]}
    found: Result = {"whole_bytes": large.nbytes}
    for name, part in parts.items():
        seen: Result = {"part_bytes": part.nbytes}
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


def tied(case: Case) -> Result:
    """Whether two layers that share one weight still do."""
    network = case.network("Tied")
    stage = "save"
    try:
        path = case.save(network, "tied")
        stage = "load"
        loaded = case.format.load(path)
        stored = case.format.tensors(loaded)
        built = case.format.build(loaded, partial(case.network, "Tied"))
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


# What became of the code, and what is done then.
HAZARDS: dict[str, tuple[str, Callable[[Case], Result]]] = {
    "unchanged": (ORIGINAL, reload),  # the control
    "by_default": (ORIGINAL, reload_by_default),
    "class_missing": (MISSING, reload),  # only the file has come along
    "class_moved": (MOVED, reload),  # to a module of another name, and the caller knows
    "forward_edited": (EDITED, reload),  # there is another activation now
    "layer_renamed": (RENAMED, reload),
    "hostile": (ORIGINAL, hostile),
    "tied": (ORIGINAL, tied),
    "dtypes": (ORIGINAL, dtypes),
    "views": (ORIGINAL, views),
}


# ---- time ----------------------------------------------------------------------------------------

ANCHOR = "state_dict"  # what the times of the other formats are relative to


def saving(case: Case) -> Work[Any]:
    """From a network to its file."""
    name = f"timed-{case.name}"
    return Work(lambda _: case.network(), lambda network: case.save(network, name))


def loading(case: Case) -> Work[Any]:
    """From a file to a network that can be run."""
    return Work(
        lambda _: case.save(case.network(), f"timed-{case.name}"),
        lambda path: case.format.build(case.format.load(path), case.network),
    )


def times(case: Case) -> list[Trial]:
    """Saving and loading, relative to a state_dict, in two paired trials."""
    device, settings = torch.device("cpu"), case.settings
    # Few operand sets: a file lies in the system's cache, wherever its tensors lay in memory.
    protocol = replace(Protocol.of_study(settings, device), operand_sets=1)
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


def beside_code(function: Callable[[Case], Any], case: Case) -> Any:
    """What a function returns in a process that finds the case's version of the code.

    What torch warns of again and again stays out of the log.
    """
    sys.path.insert(0, str(case.folder / case.version))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(case)


def measure(job: Job) -> list[Trial]:
    """Write the file, then try every hazard on it, then time it."""
    call = partial(process.call, process.context("cpu"), beside_code)
    with process.folder() as folder:
        formats.write_code(folder)
        case = Case(job.axes["format"], folder, job.settings)
        # What saving and loading import is forked along: for torch.export that is seconds, which
        # every process would need again.
        case.format.load(case.save(nn.Linear(job.settings["features"], 1), "layer"))
        trials = [Trial(what={"hazard": "none"}, result=call(write, case))]
        for hazard, (version, examine) in HAZARDS.items():
            result = call(examine, replace(case, version=version))
            trials.append(Trial(what={"hazard": hazard}, result=result))
        return trials + call(times, case)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"format": job.one_of(FORMATS), "occasion": int}
    job.run("formats", axes, measure, argv)


if __name__ == "__main__":
    main()
