"""Time a step of training on every rung between NumPy and a compiled framework.

    python workflow/scripts/measure_implementation.py --shape depth-1 \\
        --dataset results/data/dataset.safetensors --output depth-1.json

A shape is a network and a batch (:mod:`assay.ladder.shapes`). Before anything is timed, all rungs
start from the same weights, see the same batches, and must have the same losses, step by step. Then
they are arms of one paired trial, whose anchor is `nn.Module` with `torch.optim.SGD`. At some
shapes a step is also split: how far it has come after the forward and after the backward pass are
arms of the same trial. Times are what the host waits for.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

# Read when NumPy is imported: after 2^20 cycles without work its OpenBLAS threads sleep, not after
# 2^26 (30 ms), in which they took the cores from torch and from NumPy's own work between products.
# Seen on 2 cores: NumPy's step 1.00 ms against 1.47, void rounds 0 of 20 against 65 of 70.
os.environ["OPENBLAS_THREAD_TIMEOUT"] = "20"

import numpy as np
import torch
from assay import environment, job, machine
from assay.job import Job
from assay.ladder import counting, shapes
from assay.ladder.pieces import LibraryClock, parts, start, step, taken, taking, using, works
from assay.ladder.rungs import Rung
from assay.ladder.shapes import ANCHOR, Kinds, Shape
from assay.learning import dataset
from assay.learning.dataset import pixels
from assay.learning.network import parameter_count
from assay.learning.training import Examples
from assay.record import Status, Trial
from assay.timing import trial
from assay.timing.clock import Clock
from assay.timing.consumption import Meter, meter
from assay.timing.dtypes import set_precision
from assay.timing.trial import Protocol, Work
from pydantic import JsonValue
from torch import nn

MEMORY_SHARE = 0.25  # of the free memory, for the operand sets of all arms


# ---- what is here ------------------------------------------------------------------------------


def here(
    wanted: Kinds, network: nn.Module, batch: Examples
) -> tuple[Kinds, list[Trial], dict[str, float]]:
    """The rungs that this device has, what the record says of the others, and first steps."""
    ready: dict[str, type[Rung]] = {}
    absent, seconds = [], {}
    for name, kind in wanted.items():
        reason = missing_here(name, batch.labels.device)
        if not reason:
            seconds[name], reason = first_step(name, kind, network, batch)
        if reason:
            absent.append(unavailable(name, reason))
            seconds.pop(name, None)
        else:
            ready[name] = kind
    return ready, absent, seconds


def missing_here(name: str, place: torch.device) -> str | None:
    """Why a rung cannot be on a device, as far as that is known without trying."""
    if name == "numpy" and place.type != "cpu":
        return f"NumPy computes on a CPU, this is {place}"
    if name == "graph" and place.type != "cuda":
        return f"a CUDA graph needs a CUDA device, this is {place}"
    return None


def first_step(
    name: str, kind: type[Rung], network: nn.Module, batch: Examples
) -> tuple[float, str | None]:
    """Seconds of a rung's first step, and why it cannot be done here, if it cannot."""
    began = time.perf_counter()
    try:
        step(start(kind, network, batch))
    except RuntimeError as error:
        if name not in ("fused", "compiled", "graph") or job.is_out_of_memory(error):
            raise
        text = environment.without_folders(" ".join(str(error).split()))
        compiler = "C++ compiler" in text or "CppCompileError" in text
        return 0.0, f"no C++ compiler that works: {text[:200]}" if compiler else text[:200]
    if batch.inputs.device.type != "cpu":
        torch.accelerator.synchronize(batch.inputs.device)
    return time.perf_counter() - began, None


def unavailable(name: str, reason: str) -> Trial:
    """What the record says of a rung that is not here."""
    return Trial(what={"rung": name}, status=Status.UNAVAILABLE, reason=reason)


# ---- the same losses ---------------------------------------------------------------------------


def check(kinds: Kinds, network: nn.Module, batches: Sequence[Examples], job: Job) -> list[Trial]:
    """Train on every rung, in every number format; refuse those whose losses are not the anchor's.

    Returns:
        Per number format a trial with all losses, and one more for every rung that is refused.
    """
    trials = []
    for name, tolerance in job.settings["tolerance"].items():
        if name == "float64" and job.device.type == "mps":
            trials.append(unavailable("float64", "Apple's GPUs have no float64"))
            continue
        dtype = getattr(torch, name)
        own = [Examples(batch.inputs.to(dtype), batch.labels) for batch in batches]
        like = copy.deepcopy(network).to(dtype)
        trained = {n: losses(kind, like, job.settings["rate"], own) for n, kind in kinds.items()}
        trials += judged(trained, name, tolerance)
    return trials


def losses(
    kind: type[Rung], network: nn.Module, rate: float, batches: Sequence[Examples]
) -> list[float]:
    """The loss of every step of a training."""
    rung, *_ = start(kind, network, batches[0], rate)
    return [step((rung, *taken(kind, batch))).item() for batch in batches]


def judged(trained: Mapping[str, list[float]], dtype: str, tolerance: float) -> list[Trial]:
    """One trial with the losses of every rung, and one for each whose losses are wrong."""
    what: dict[str, JsonValue] = {"measured": "losses", "dtype": dtype}
    anchor = trained[ANCHOR]
    wrong = {name: disagreement(own, anchor, tolerance) for name, own in trained.items()}
    whole = Trial(
        what=what,
        samples={name: [*own] for name, own in trained.items() if np.isfinite(own).all()},
        result={
            "tolerance": tolerance,
            "largest_difference": {
                name: float(np.max(np.abs(np.subtract(own, anchor)) / np.abs(anchor)))
                for name, own in trained.items()
                if not wrong[name]
            },
        },
    )
    refused = [
        Trial(what={**what, "rung": name}, status=Status.REFUSED, reason=f"{name}: {reason}")
        for name, reason in wrong.items()
        if reason
    ]
    return [whole, *refused]


def disagreement(own: Sequence[float], anchor: Sequence[float], tolerance: float) -> str | None:
    """Where two trainings part, in words; None where they do not."""
    for number, (loss, other) in enumerate(zip(own, anchor, strict=True)):
        if not abs(loss - other) <= tolerance * abs(other):
            return (
                f"at step {number} the loss is {loss!r}, that of {ANCHOR} {other!r}; "
                f"the relative difference may be {tolerance:g}"
            )
    return None


# ---- the trial ---------------------------------------------------------------------------------


def compare(
    kinds: Kinds,
    network: nn.Module,
    batches: Sequence[Examples],
    examples: Examples,
    job: Job,
    counted: Meter | None,
) -> list[Trial]:
    """One paired trial of all rungs, and one of the pieces of NumPy's step, if it is to be split.

    Pieces of NumPy's step are compared with each other alone: every change between the libraries
    costs a rest.
    """
    settings, clock = job.settings, LibraryClock(job.device)
    split = job.axes["shape"] in settings["detailed"]
    of_numpy = {name: kind for name, kind in kinds.items() if name == "numpy"}
    of_torch = {name: kind for name, kind in kinds.items() if name != "numpy"}
    arms = works(of_torch, network, batches, split)
    arms["data"] = taking(examples, len(batches[0].labels))
    alone = using("numpy", works(of_numpy, network, batches, split), clock)
    arms = using("torch", arms, clock) | {name: alone[name] for name in of_numpy}
    sets = operand_sets(len(kinds) + 1, network, batches[0], settings)
    own = Protocol.of_study(settings, job.device)
    protocol = replace(
        own,
        rounds_most=max(own.rounds_most, own.rounds_least),
        operand_sets=sets,
        operand_sets_least=sets,
    )
    joint = paired(arms, ANCHOR, protocol, clock, settings["seed"], counted)
    trials = [joint]
    if of_numpy and split:
        trials.append(paired(alone, "numpy", protocol, clock, settings["seed"]))
    joint.result["parts"] = {
        name: parts(measured, name, joint)
        for measured, own in zip(trials, (of_torch, of_numpy), strict=False)
        for name in own
        if split and name != "graph" and {measured.status, joint.status} == {Status.OK}
    }
    return trials


def paired(
    arms: Mapping[str, Work[Any]],
    anchor: str,
    protocol: Protocol,
    clock: Clock,
    seed: int,
    counted: Meter | None = None,
) -> Trial:
    """One paired trial of the arms."""
    trial.settle(arms[anchor], protocol, clock)
    targets = {name: work for name, work in arms.items() if name != anchor}
    what: dict[str, JsonValue] = {"measured": "step", "anchor": anchor}
    return trial.compare(what, arms[anchor], targets, protocol, clock, seed, counted)


def operand_sets(
    arms: int, network: nn.Module, batch: Examples, settings: Mapping[str, Any]
) -> int:
    """How many operand sets an arm may have: as many as wanted, or as fit into memory."""
    most = int(settings["operand_sets"])
    # With gradients and buffers, about.
    size = 4 * (3 * parameter_count(network) + 2 * batch.inputs.numel())
    free = machine.free_memory(batch.labels.device)
    return most if free is None else max(1, min(most, int(MEMORY_SHARE * free / (arms * size))))


# ---- the job -----------------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """The trial of all rungs of a shape, the proofs before it, and what is not here."""
    set_precision("float32")
    torch.backends.cudnn.fp32_precision = "ieee"
    torch.compiler.config.force_disable_caches = True  # compiling is timed, too
    settings, place = job.settings, job.device
    shape = Shape(job.axes["shape"], settings)
    # First, while the device is idle.
    split = shape.name in settings["detailed"]
    counted = meter(place, {trial.ANCHOR, *shape.kinds}) if split else None
    examples = Examples(pixels(job.data.images, place), job.data.labels.to(place).long())
    network = shape.network().to(place)
    batches = shape.batches(examples)
    ready, absent, seconds = here(shape.kinds, network, batches[0])
    checks = check(ready, network, batches, job)
    refused = {each.what.get("rung") for each in checks if each.status == Status.REFUSED}
    right = {name: kind for name, kind in ready.items() if name not in refused}
    if ANCHOR not in right:  # its losses are no numbers, so nothing can be compared with it
        return [*checks, *absent]
    timed = compare(right, network, batches, examples, job, counted)
    looked_at = right if split else {}
    first = batches[0]
    timed[0].result |= {
        "family": shape.family,
        "number": shape.number,
        "hidden": [*shape.hidden] if shape.is_perceptron else None,
        "batch": shape.batch,
        "parameters": parameter_count(network),
        "flops": counting.flops(shape, network, first),
        "operations": {n: counting.operations(n, k, network, first) for n, k in looked_at.items()},
        "memory_bytes": {
            n: counting.peak_bytes(n, k, network, first) for n, k in looked_at.items()
        },
        "lines": {n: counting.lines(k, shape.family) for n, k in right.items()},
        "first_step_s": {**seconds},
    }
    return [*timed, *checks, *absent]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"shape": shapes.checked, "occasion": int}
    job.run("implementation", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
