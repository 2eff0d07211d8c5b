"""Time a step of training in every precision beside float32, in one paired trial per network.

    python workflow/scripts/measure_precision_steps.py --occasion 1 \\
        --dataset results/data/dataset.safetensors --output precision_steps.json

A study of its own: the trainings share the machine with each other, and nothing is timed there.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from assay import contention, job
from assay.job import Job
from assay.ladder.precision import PRECISIONS, require, step_s, wrong
from assay.learning import dataset, experiment
from assay.learning.dataset import CLASSES
from assay.learning.network import perceptron
from assay.learning.training import TIMED_RATE, Examples
from assay.record import Status, Trial
from assay.timing import proof, trial
from assay.timing.clock import HostClock
from assay.timing.consumption import meter
from assay.timing.trial import Protocol, Work
from torch import nn

ANCHOR = "float32"
WAITED = 0.1  # share of a step that a thread waited for a core, above which it is disturbed
SLOW = 3  # times float32's step, from which on a format is too slow if the budget is small


def measure(job: Job) -> list[Trial]:
    """Of every network one trial, and one of each precision that cannot be timed with it."""
    settings, place = job.settings, job.device
    counted = meter(place, {trial.ANCHOR, *settings["precisions"]})  # while the device is idle
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], place)
    batch = data.training.head(settings["batch"])
    own = Protocol.of_study(settings, place)
    protocol = replace(own, budget="studies.precision_steps.settings.cap_s")
    clock, seed = HostClock(place), settings["seed"]
    trials: list[Trial] = []
    for width in settings["widths"]:
        network = perceptron([batch.inputs.shape[1], width, CLASSES], "relu", seed).to(place)
        what = {"phase": "step time", "width": width, "anchor": ANCHOR}
        anchor = work(ANCHOR, network, batch)
        if not trials:
            trial.settle(anchor, protocol, clock, seed)
        names = [name for name in settings["precisions"] if name != ANCHOR]
        # A slow format must not cost the others the budget; a slow machine is none's fault.
        most_s = protocol.cap_s / protocol.rounds_least / max(1, len(names))
        most_s = max(most_s, SLOW * step_s(*anchor.prepare(torch.Generator(place))))
        tried = {name: try_out(what, name, network, batch, most_s) for name in names}
        able = [name for name, seen in tried.items() if seen.status == Status.OK]
        targets = {name: work(name, network, batch) for name in able}
        trials.append(trial.compare({**what}, anchor, targets, protocol, clock, seed, counted))
        trials += [seen for seen in tried.values() if seen.status != Status.OK]
    return trials


def try_out(
    what: dict[str, Any], name: str, network: nn.Sequential, batch: Examples, most_s: float
) -> Trial:
    """Whether a precision is here, computes the right loss, and makes a step in that time."""
    own = {**what, "precision": name}

    def attempt() -> Trial:
        require(name, network, batch)
        seen = Trial(what=own)
        proof.refuse(seen, wrong(name, network, batch))
        operands = work(name, network, batch).prepare(torch.Generator(batch.inputs.device))
        with contention.waits() as waits:
            before = waits.read()
            taken_s = step_s(*operands)
            waited_s = contention.longest_wait(before, waits.read()) or 0.0
        if seen.status == Status.OK and taken_s > most_s:
            seen.status, seen.result = Status.SKIPPED, {"disturbed": waited_s > WAITED * taken_s}
            seen.reason = f"a step takes {taken_s:.2g} s, more than {SLOW} × as long as float32's "
            seen.reason += "and over its share of studies.precision_steps.settings.cap_s"
        return seen

    return proof.attempt(own, attempt)


def work(name: str, network: nn.Sequential, batch: Examples) -> Work[Any]:
    """One step of SGD on one batch, as a work to be timed."""
    precision = PRECISIONS[name]
    taken = precision.examples(batch)

    def prepare(_: torch.Generator) -> Any:
        own = copy.deepcopy(network).to(precision.weights)
        return precision.steps(own, TIMED_RATE), taken

    return Work(prepare, lambda operands: operands[0](operands[1]))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("precision_steps", {"occasion": int}, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
