"""Keep the blocks of a network in one way, see what torch then finds, and what training comes to.

    python workflow/scripts/measure_registration.py --storage list \\
        --dataset results/data/dataset.safetensors --output list.json

Every operation of :mod:`assay.modules.operations` is tried. Then a real network is trained, saved,
and loaded into one that was built anew.

Ways joined by + share a job: ``--storage list+tuple``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from assay import job
from assay.device import first_line
from assay.job import Job
from assay.learning import dataset, experiment, training
from assay.learning.dataset import CLASSES
from assay.learning.experiment import Parts
from assay.learning.network import parameter_count, perceptron
from assay.learning.training import Recipe
from assay.modules import operations
from assay.modules.blocks import CONSTANTS, STORAGES
from assay.modules.checkpoint import reloaded
from assay.modules.operations import OPERATIONS, REBUILT, Case, Operation
from assay.record import Phase, Status, Trial
from pydantic import JsonValue
from torch import nn

# ---- the operations ------------------------------------------------------------------------------


def outcome(operation: Operation, case: Case) -> dict[str, JsonValue]:
    """What an operation came to: it passed, failed silently, or raised an error."""
    try:
        reached, of = operation(case)
    except (RuntimeError, ValueError) as error:
        return {"outcome": "loud", "error": f"{type(error).__name__}: {first_line(error)}"}
    return {"outcome": "pass" if reached == of else "silent", "reached": reached, "of": of}


def tried(storage: str, seed: int, device: torch.device) -> list[Trial]:
    """Every operation on a network that keeps its blocks in one way."""
    # Without another device, `meta` stands in: it has shapes and no memory.
    target = torch.device("meta") if device.type == "cpu" else device
    make = partial(operations.chain if storage in STORAGES else operations.constant, storage)
    outcomes = {name: outcome(operate, make(seed)) for name, operate in OPERATIONS.items()}
    moved = outcome(partial(operations.to_device, device=target), make(seed))
    outcomes["to_device"] = moved | {"target": str(target)}
    if storage in STORAGES:
        repeated = operations.chain(storage, seed, operations.repeated)
        outcomes["repetition"] = outcome(operations.output, repeated)
    trials = [
        Trial(what={"storage": storage, "operation": name}, result=result)
        for name, result in outcomes.items()
    ]
    return [*trials, hooks(storage, make(seed))]


def hooks(storage: str, case: Case) -> Trial:
    """How often a forward hook runs when the module is called, and when ``forward`` is."""
    runs: list[None] = []
    case.module.register_forward_hook(lambda *_: runs.append(None))
    case.module(case.inputs)
    by_call = len(runs)
    case.module.forward(case.inputs)
    return Trial(
        what={"storage": storage, "operation": "hooks"},
        result={"runs_by_call": by_call, "runs_by_forward": len(runs) - by_call},
    )


# ---- the consequence ----------------------------------------------------------------------------


def consequence(storage: str, seed: int, data: Parts, job: Job) -> Trial:
    """Train a network that keeps its layers in one way; save it, build it anew, load it."""
    settings = job.settings
    network, layers = perceptron_kept(storage, seed, job)
    registered = parameter_count(network)
    # With no parameter an optimiser raises: then it is given the layers' own, by hand.
    trained = network if registered else layers
    recipe = Recipe(settings["rate"], settings["epochs"], settings["batch"], seed)
    course = training.train(trained, data.training, data.validation, recipe)
    what = {"phase": Phase.TRAINING, "storage": storage, "rate": recipe.rate, "seed": seed}
    seen = experiment.outcome(what, course)
    if seen.status == Status.OK:
        again, _ = perceptron_kept(storage, seed + REBUILT, job)
        again.load_state_dict(reloaded(network.state_dict()), strict=True)
        seen.result |= {
            "parameters": parameter_count(layers),
            "parameters_registered": registered,
            "by_hand": not registered,
            "test_accuracy": training.accuracy(network, data.test),
            "test_accuracy_reloaded": training.accuracy(again, data.test),
            "test_images": len(data.test.labels),
            "weights_sha256": training.digest(layers),
        }
    return seen


def perceptron_kept(storage: str, seed: int, job: Job) -> tuple[nn.Module, nn.Sequential]:
    """A perceptron that keeps its layers in one way, and the layers themselves."""
    widths = [job.data.images[0].numel(), *job.settings["hidden"], CLASSES]
    layers = perceptron(widths, "relu", seed).to(job.device)  # before they can be missed
    return STORAGES[storage](*layers), layers


def measure(job: Job) -> list[Trial]:
    """All ways of the job: the operations, then the training of those that are networks."""
    settings, storages = job.settings, str(job.axes["storage"]).split("+")
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    seed, seeds = settings["seed"], experiment.seeds(settings)
    trials = [trial for storage in storages for trial in tried(storage, seed, job.device)]
    networks = [storage for storage in storages if storage in STORAGES]
    return trials + [consequence(each, seed, data, job) for each in networks for seed in seeds]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"storage": job.names([*STORAGES, *CONSTANTS])}
    job.run("registration", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
