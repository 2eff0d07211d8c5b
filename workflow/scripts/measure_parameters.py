"""Look at parameters: how layers begin, what sharing does to them, what a state_dict holds.

    python workflow/scripts/measure_parameters.py --topic initialisation --output drawn.json

Topics: ``initialisation`` draws layers of many sizes and describes their weights. ``storage``
compares a network that shares a layer with one that does not, then changes one thing of a module at
a time and looks for it in the state_dict and after a reload.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from assay import job
from assay.device import first_line
from assay.job import Job
from assay.learning.network import parameter_count
from assay.modules import layers
from assay.modules.checkpoint import content, reloaded
from assay.modules.contents import ITEMS, WAYS, Everything, Item, library, nested
from assay.modules.ties import OPERATIONS, SHARINGS, positions
from assay.modules.weights import LAYERS, Sizes, describe, histogram
from assay.record import Trial
from assay.timing.proof import relative_error
from torch import Tensor, nn

# ---- initialisation ------------------------------------------------------------------------------


def sizes(layer: str, settings: Mapping[str, Any]) -> Iterator[Sizes]:
    """The grid of sizes that a kind of layer is drawn in, the largest last."""
    features, channels = settings["features"], settings["channels"]
    grids: dict[str, dict[str, Sequence[int]]] = {
        "conv": {"inputs": channels, "outputs": channels, "kernel": settings["kernels"]},
        "bilinear": {"first": channels, "second": channels, "outputs": channels},
    }
    grid = grids.get(layer, {"inputs": features, "outputs": features})
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def initialisation(job: Job) -> list[Trial]:
    """One trial per layer and size; the largest of each kind also gives a histogram."""
    trials = []
    for name, layer in LAYERS.items():
        torch.manual_seed(job.settings["seed"])  # once a kind: no two sizes share their draws
        for size in sizes(name, job.settings):
            with job.device:
                weights = layer.weights(**size).detach()
            described = describe(weights, job.settings["tested_values"])
            result = {"factors": {**layer.factors(**size)}, **described}
            trials.append(Trial(what={"layer": name, **size}, result=result))
        trials[-1].samples.update(histogram(weights, job.settings["bins"]))
    return trials


# ---- shared parameters ---------------------------------------------------------------------------


def tied(job: Job) -> list[Trial]:
    """Gradient, values after training, size, and what operations do to the tie."""
    width, times, steps = (job.settings[key] for key in ("width", "times", "steps"))
    torch.manual_seed(job.settings["seed"])
    shared = layers.tied_perceptron(width, width, 1, times).double()
    separate = layers.untied(shared)
    inputs, targets = torch.randn(64, width).double(), torch.randn(64, 1).double()
    return [
        Trial(what={"check": "gradient"}, result=gradients(shared, separate, inputs, targets)),
        Trial(what={"check": "size"}, result=footprint(shared, separate)),
        *ties(width),
        Trial(what={"check": "conflict"}, result=conflict(width)),
        # Last, because it changes the values.
        Trial(
            what={"check": "training", "steps": steps},
            result={
                "difference_tied": after_training(shared, inputs, targets, steps),
                "difference_untied": after_training(separate, inputs, targets, steps),
            },
        ),
    ]


def gradients(
    shared: nn.Sequential, separate: nn.Sequential, inputs: Tensor, targets: Tensor
) -> dict[str, Any]:
    """The gradient of the shared weight beside those of its untied copies."""

    def slopes(network: nn.Sequential) -> tuple[Tensor, ...]:
        loss = nn.functional.mse_loss(network(inputs), targets)
        layers_once = dict.fromkeys(positions(network))
        return torch.autograd.grad(loss, [layer.weight for layer in layers_once])

    (whole,), parts = slopes(shared), slopes(separate)
    return {
        "positions": len(parts),
        "error_of_sum": relative_error(torch.stack(parts).sum(0), whole),
        "error_of_largest_part": min(relative_error(part, whole) for part in parts),
    }


def after_training(network: nn.Sequential, inputs: Tensor, targets: Tensor, steps: int) -> float:
    """Largest difference between the weights of two positions after some steps of SGD."""
    parameters = list(network.parameters())
    for _ in range(steps):
        loss = nn.functional.mse_loss(network(inputs), targets)
        with torch.no_grad():
            for each, slope in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                each -= 0.1 * slope
    first, *others = (layer.weight.detach() for layer in positions(network))
    return max(float((first - other).abs().max()) for other in others)


def footprint(shared: nn.Sequential, separate: nn.Sequential) -> dict[str, Any]:
    """Parameters, keys, bytes in memory and bytes in a file, of both networks."""
    result: dict[str, Any] = {}
    for name, network in (("tied", shared), ("untied", separate)):
        state = network.state_dict()
        storages = {value.untyped_storage().data_ptr(): value for value in state.values()}
        result |= {
            f"parameters_{name}": parameter_count(network),
            f"keys_{name}": len(state),
            f"bytes_{name}": sum(v.untyped_storage().nbytes() for v in storages.values()),
            f"file_bytes_{name}": len(content(state)),
        }
    return result


def ties(width: int) -> Iterator[Trial]:
    """Whether a tie survives an operation: the two places are one parameter, with the old value."""
    for (name, sharing), (operation, operate) in product(SHARINGS.items(), OPERATIONS.items()):
        network = sharing.make(width)
        before = sharing.pair(network)[0].detach().clone()
        result: dict[str, Any] = {"refused": None}
        try:
            first, second = sharing.pair(operate(network, sharing.make(width)))
        except RuntimeError as error:
            result["refused"] = first_line(error)
        else:
            same = [bool(torch.equal(each.float(), before)) for each in (first, second)]
            result |= {"tied": first is second, "same_values": all(same)}
        yield Trial(what={"check": "tie", "sharing": name, "operation": operation}, result=result)


def conflict(width: int) -> dict[str, Any]:
    """What a tied network makes of a state_dict in which the two places differ: 1 and 2."""
    shared = layers.tied_perceptron(width, width, 1, 2)
    separate = layers.untied(shared)
    with torch.no_grad():
        for number, layer in enumerate(positions(separate), start=1):
            layer.weight.fill_(number)
    outcome = shared.load_state_dict(separate.state_dict())
    return {
        "complaints": len(outcome.missing_keys) + len(outcome.unexpected_keys),
        "value": float(positions(shared)[0].weight.detach().mean()),
    }


# ---- what a state_dict holds ---------------------------------------------------------------------


def state(job: Job) -> list[Trial]:
    """What is in a state_dict, what comes back from it, and what a parameter can be reached by."""
    items = {name: whereabouts(item) for name, item in ITEMS.items()}
    items["optimiser (momentum)"] = optimiser(job)
    return [
        *(Trial(what={"check": "item", "item": n}, result=r) for n, r in items.items()),
        *(Trial(what={"check": "layer", "layer": n}, result=held(m)) for n, m in library()),
        *(Trial(what={"check": "access", "way": n}, result=r) for n, r in accesses()),
        Trial(what={"check": "snapshot"}, result=snapshot()),
    ]


def whereabouts(item: Item) -> dict[str, Any]:
    """Change one thing, and look where the change can be seen and whether a reload brings it."""
    plain, changed, loaded = Everything(), Everything(), Everything()
    item.change(changed)
    assert item.read(changed) != item.read(plain)
    loaded.load_state_dict(reloaded(changed.state_dict()))
    return {
        "in_parameters": _differ(
            dict(enumerate(changed.parameters())), dict(enumerate(plain.parameters()))
        ),
        "in_state_dict": _differ(changed.state_dict(), plain.state_dict()),
        "restored": item.read(loaded) == item.read(changed),
    }


def _differ(one: Mapping[Any, Tensor], other: Mapping[Any, Tensor]) -> bool:
    """Whether two sets of tensors differ in their names or values."""
    return one.keys() != other.keys() or any(
        not torch.equal(value, other[key]) for key, value in one.items()
    )


def optimiser(job: Job) -> dict[str, Any]:
    """Whether training goes on as before after a reload, without and with the optimiser's state."""
    torch.manual_seed(job.settings["seed"])
    network, inputs = nn.Linear(8, 1), torch.randn(16, 8)

    def step(trained: nn.Linear, by: torch.optim.Optimizer) -> Tensor:
        by.zero_grad()
        trained(inputs).square().mean().backward()
        by.step()
        return trained.weight.detach().clone()

    def sgd(of: nn.Linear) -> torch.optim.SGD:
        return torch.optim.SGD(of.parameters(), lr=0.1, momentum=0.9)

    optimizer = sgd(network)
    for _ in range(3):
        step(network, optimizer)
    saved, momentum = reloaded(network.state_dict()), reloaded(optimizer.state_dict())
    unbroken = step(network, optimizer)

    def resumed(state: Any) -> Tensor:
        again = nn.Linear(8, 1)
        again.load_state_dict(saved)
        anew = sgd(again)
        if state:
            anew.load_state_dict(state)
        return step(again, anew)

    return {
        "in_parameters": False,
        "in_state_dict": any("momentum" in key for key in saved),
        "restored": bool(torch.equal(resumed(None), unbroken)),
        "error_without": relative_error(resumed(None), unbroken),
        "error_with": relative_error(resumed(momentum), unbroken),
    }


def held(module: nn.Module) -> dict[str, Any]:
    """Parameters that a state_dict lacks, and what it holds besides parameters."""
    keys = set(module.state_dict())
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return {
        "parameters": len(parameters),
        "missing": sorted(parameters - keys),
        "besides": sorted(keys - parameters),
    }


def accesses() -> Iterator[tuple[str, dict[str, Any]]]:
    """What each way to a nested parameter gives: the parameter, or only its values."""
    for name, reach in WAYS.items():
        net = nested()
        net(torch.ones(2, 4)).sum().backward()
        there, found = net[0][0][2].weight, reach(net)
        with torch.no_grad():
            found.fill_(7.0)
        reached = {"is_parameter": found is there, "has_gradient": found.grad is not None}
        yield name, reached | {"writes_through": bool((there == 7.0).all())}


def snapshot() -> dict[str, Any]:
    """Whether a state_dict that is kept in memory changes when training goes on."""
    layer = nn.Linear(2, 2)
    kept, copied = layer.state_dict(), copy.deepcopy(layer.state_dict())
    with torch.no_grad():
        layer.weight.add_(1.0)
    now = layer.weight.detach()
    return {
        "state_dict_changes": bool(torch.equal(kept["weight"], now)),
        "deepcopy_changes": bool(torch.equal(copied["weight"], now)),
    }


# ---- the job -------------------------------------------------------------------------------------

TOPICS: dict[str, Callable[[Job], list[Trial]]] = {
    "initialisation": initialisation,
    "storage": lambda job: [*tied(job), *state(job)],
}


def measure(job: Job) -> list[Trial]:
    """The trials of the job's topic."""
    return TOPICS[job.axes["topic"]](job)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("parameters", {"topic": job.one_of(TOPICS)}, measure, argv)


if __name__ == "__main__":
    main()
