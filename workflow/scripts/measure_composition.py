"""Compose a network of blocks: branches side by side, or several instances one after the other.

    python workflow/scripts/measure_composition.py --structure shared \\
        --dataset results/data/dataset.safetensors --output shared.json

``parallel`` checks the block that concatenates the outputs of its branches. The other structures
are ways to get several instances of a block; of each, what its instances have in common is counted,
the distance between the outputs of two inputs is followed through a stack, and a network is
trained.

Structures joined by + share a job: ``--structure copied+shared``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import Any

import torch
from assay import job
from assay.device import first_line
from assay.job import Job
from assay.learning import dataset, experiment
from assay.learning.dataset import CLASSES
from assay.learning.experiment import Parts
from assay.learning.network import parameter_count
from assay.modules.blocks import FACTORIES, Parallel, Sequential, joined, seeded
from assay.record import Trial
from torch import nn

PARALLEL = "parallel"
FEATURES, HIDDEN = 4, 3  # inputs of the branches that are checked, and their hidden units
COUNTED = (1, 2, 4, 8)  # instances whose parameters are counted


# ---- branches side by side ----------------------------------------------------------------------


def branches(widths: Sequence[int]) -> list[nn.Module]:
    """One small perceptron per width of an output."""
    return [
        nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, width))
        for width in widths
    ]


def parallel(settings: dict[str, Any], device: torch.device) -> list[Trial]:
    """What must hold for a parallel block, each checked by running it."""
    with seeded(settings["seed"]):
        parts = [branch.to(device) for branch in branches(settings["branches"])]
        inputs = torch.randn(5, FEATURES).to(device)
    return [
        equality(parts, inputs),
        by_parameters(parts, inputs[:1]),
        by_inputs(parts, inputs),
        without_dim(device),
        contract(inputs),
    ]


def checked(name: str, **result: Any) -> Trial:
    """What one check of the parallel block came to."""
    return Trial(what={"structure": PARALLEL, "check": name}, result=result)


def equality(parts: Sequence[nn.Module], inputs: torch.Tensor) -> Trial:
    """Outputs and gradients against the branches called and concatenated by hand."""
    block = Parallel(*parts)
    one, other = block(inputs), torch.cat([part(inputs) for part in parts], dim=1)
    gradients = (
        torch.autograd.grad(each.square().sum(), [*block.parameters()]) for each in (one, other)
    )
    return checked(
        "equality",
        output_shape=[*one.shape],
        outputs_equal=torch.equal(one, other),
        gradients_equal=all(map(torch.equal, *gradients)),
        parameters=parameter_count(block),
        parameters_of_branches=sum(map(parameter_count, parts)),
    )


def jacobian(outputs: torch.Tensor, by: Sequence[torch.Tensor]) -> torch.Tensor:
    """Derivatives of every output (rows) by every number in the tensors (columns)."""
    rows = [
        torch.autograd.grad(value, by, retain_graph=True, materialize_grads=True)
        for value in outputs.flatten()
    ]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def by_parameters(parts: Sequence[nn.Module], inputs: torch.Tensor) -> Trial:
    """The Jacobian by the parameters: one block per branch, nothing outside of them."""
    outputs = [part(inputs).numel() for part in parts]
    columns = [*map(parameter_count, parts)]
    block = Parallel(*parts)
    matrix = jacobian(block(inputs), [*block.parameters()]).cpu()
    own = torch.block_diag(*(torch.ones(size) for size in zip(outputs, columns, strict=True)))
    inside = matrix[own.bool()]
    seen = checked(
        "jacobian by parameters",
        outputs=outputs,
        parameters=columns,
        largest_outside=float(matrix[~own.bool()].abs().max()) if len(parts) > 1 else 0.0,
        largest_inside=float(inside.abs().max()),
        filled_inside=float((inside != 0).float().mean()),
    )
    seen.samples = {f"output_{row}": values for row, values in enumerate(matrix.tolist())}
    return seen


def by_inputs(parts: Sequence[nn.Module], inputs: torch.Tensor) -> Trial:
    """The Jacobian by the inputs: those of the branches, stacked; samples do not mix."""
    sample = inputs[:1].clone().requires_grad_()
    whole = jacobian(Parallel(*parts)(sample), [sample])
    stacked = torch.cat([jacobian(part(sample), [sample]) for part in parts])
    pair = inputs[:2].clone().requires_grad_()
    mixed = jacobian(Parallel(*parts)(pair)[0], [pair])[:, FEATURES:]
    return checked(
        "jacobian by inputs",
        equals_stack=torch.equal(whole, stacked),
        largest_between_samples=float(mixed.abs().max()),
    )


def without_dim(device: torch.device) -> Trial:
    """What ``torch.cat`` does to two outputs when it is not told along which dimension."""
    outputs = [torch.zeros(2, 16, device=device) for _ in range(2)]
    unequal = [torch.zeros(2, width, device=device) for width in (3, 5)]
    return checked(
        "cat without dim",
        shapes=[[*each.shape] for each in outputs],
        shape_without_dim=[*torch.cat(outputs).shape],
        shape_of_block=[*joined(outputs).shape],
        error_of_unequal=refusal(lambda: torch.cat(unequal)),
        shape_of_block_unequal=[*joined(unequal).shape],
    )


def contract(inputs: torch.Tensor) -> Trial:
    """What a parallel block says when the outputs of its branches do not fit."""
    parts = [nn.Identity(), nn.Flatten(0)]
    message = refusal(lambda: Parallel(*parts)(inputs))
    shapes = [str(tuple(part(inputs).shape)) for part in parts]
    named = message is not None and all(shape in message for shape in shapes)
    return checked("contract", error=message, names_both_shapes=named)


def refusal(call: Any) -> str | None:
    """The first line of the error that a call raises; None when it raises none."""
    try:
        call()
    except (RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {first_line(error)}"
    return None


# ---- several instances --------------------------------------------------------------------------


def block(width: int) -> nn.Module:
    """The block that is instantiated: a linear layer and ReLU."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU())


def instances(structure: str, count: int, settings: dict[str, Any]) -> Trial:
    """What several instances have in common: parameters, memory, values."""
    width = settings["width"]
    with seeded(settings["seed"]):
        made = FACTORIES[structure](partial(block, width), count)
    weights = [next(each.parameters()) for each in made]
    equal = [torch.equal(one, other) for one, other in combinations(weights, 2)]
    return Trial(
        what={"structure": structure, "check": "instances", "count": count},
        result={
            "parameters": parameter_count(Sequential(*made)),
            "parameters_of_one": parameter_count(made[0]),
            "memory_places": len({weight.data_ptr() for weight in weights}),
            "pairs": len(equal),
            "pairs_of_equal_values": sum(equal),
        },
    )


def distances(structure: str, settings: dict[str, Any]) -> Trial:
    """How far apart two inputs stay from block to block, relative to where they began."""
    first = settings["seed"]
    draws = {
        f"draw_{seed}": followed(structure, seed, settings)
        for seed in range(first, first + settings["draws"])
    }
    return Trial(what={"structure": structure, "check": "distance"}, samples={**draws})


@torch.no_grad()
def followed(
    structure: str, seed: int, settings: dict[str, Any]
) -> list[float | bool | str | None]:
    """The distance of one pair of inputs after 0, 1, 2, … blocks of one draw of the weights.

    Inputs and the first block are the same for every structure. In float64 and on the CPU: after
    a dozen blocks the distance would be near the rounding of float32.
    """
    width, depth = settings["width"], settings["stacked"]
    with seeded(seed):
        outputs = [torch.randn(2, width).double()]
        made = FACTORIES[structure](partial(block, width), depth)
    for each in made:
        outputs.append(each.double()(outputs[-1]))
    apart = [float(torch.dist(*output)) for output in outputs]
    return [distance / apart[0] for distance in apart]


def network(
    structure: str, settings: dict[str, Any], features: int, device: torch.device, seed: int
) -> nn.Sequential:
    """The network that is trained: blocks between a layer that reads and one that tells.

    All but the second and further instances begin with the same weights in every structure.
    """
    width = settings["width"]
    with seeded(seed):
        first, last = nn.Linear(features, width), nn.Linear(width, CLASSES)
        made = FACTORIES[structure](partial(block, width), settings["depth"])
    return nn.Sequential(first, nn.ReLU(), *made, last).to(device)


def learned(structure: str, data: Parts, job: Job) -> list[Trial]:
    """Tuning runs, and one run per seed at the best rate."""
    settings, features = job.settings, data.training.inputs.shape[1]
    build = partial(network, structure, settings, features, job.device)
    trials = experiment.learn(build, lambda _: data, settings)
    parameters = parameter_count(build(0))
    for trial in trials:
        trial.what |= {"structure": structure}
        trial.result |= {"parameters": parameters}
    return trials


def measure(job: Job) -> list[Trial]:
    """Every structure of the job: its checks, and the training of those that are stacks."""
    settings, structures = job.settings, str(job.axes["structure"]).split("+")
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    trials: list[Trial] = []
    for structure in structures:
        if structure == PARALLEL:
            trials += parallel(settings, job.device)
        else:
            trials += [instances(structure, count, settings) for count in COUNTED]
            trials.append(distances(structure, settings))
            trials += learned(structure, data, job)
    return trials


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"structure": job.names([PARALLEL, *FACTORIES])}
    job.run("composition", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
