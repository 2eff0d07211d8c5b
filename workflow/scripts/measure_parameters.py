"""Look at parameters: how layers begin, what sharing does to them, what a state_dict holds.

    python workflow/scripts/measure_parameters.py --topic initialisation --output drawn.json

Topics: ``initialisation`` draws layers of many sizes and describes their weights. ``storage``
compares a network that shares a layer with one that does not, then changes one thing of a module at
a time and looks for it in the state_dict and after a reload.
"""

from __future__ import annotations

import argparse
import copy
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import safetensors.torch
import torch
from assay import job
from assay.job import Job
from assay.modules import layers
from assay.record import Trial
from numpy.typing import NDArray
from torch import Tensor, nn

Sizes = dict[str, int]
State = Mapping[str, Tensor]


# ---- initialisation ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """A kind of layer: its weights for some sizes, and what these sizes mean.

    Attributes:
        weights: Draws the weights from torch's global generator.
        factors: The numbers that the spread of the weights may depend on, by name. Where inputs
            and outputs can be told, they are ``fan_in`` and ``fan_out``.
    """

    weights: Callable[..., Tensor]
    factors: Callable[..., Sizes]


def linear(inputs: int, outputs: int) -> Tensor:
    """The weights (outputs, inputs) of a linear layer."""
    return nn.Linear(inputs, outputs).weight


def xavier(inputs: int, outputs: int) -> Tensor:
    """The control: an initialisation that does take inputs and outputs into account."""
    return nn.init.xavier_uniform_(nn.Linear(inputs, outputs).weight)


def convolution(inputs: int, outputs: int, kernel: int) -> Tensor:
    """The weights (outputs, inputs, kernel, kernel) of a convolution."""
    return nn.Conv2d(inputs, outputs, kernel).weight


def bilinear(first: int, second: int, outputs: int) -> Tensor:
    """The weights (outputs, first, second) of a bilinear layer."""
    return nn.Bilinear(first, second, outputs).weight


def embedding(inputs: int, outputs: int) -> Tensor:
    """The weights (inputs, outputs) of an embedding: a linear layer for one-hot inputs."""
    return nn.Embedding(inputs, outputs).weight


def matrix_fans(inputs: int, outputs: int) -> Sizes:
    """What an output sums over, and how many outputs an input goes to."""
    return {"fan_in": inputs, "fan_out": outputs}


LAYERS = {
    "linear": Layer(linear, matrix_fans),
    "conv": Layer(
        convolution,
        lambda inputs, outputs, kernel: matrix_fans(inputs * kernel**2, outputs * kernel**2),
    ),
    "bilinear": Layer(
        bilinear,
        lambda first, second, outputs: {"first": first, "second": second, "fan_out": outputs},
    ),
    "embedding": Layer(embedding, matrix_fans),
    "xavier": Layer(xavier, matrix_fans),
}


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
        for each in sizes(name, job.settings):
            with job.device:
                weights = layer.weights(**each).detach()
            described = describe(weights, job.settings["tested_values"])
            trials.append(
                Trial(
                    what={"layer": name, **each},
                    result={"factors": {**layer.factors(**each)}, **described},
                )
            )
        trials[-1].samples.update(histogram(weights, job.settings["bins"]))
    return trials


def describe(weights: Tensor, tested: int) -> dict[str, Any]:
    """How weights are spread, and whether that is uniform or normal.

    The Kolmogorov–Smirnov distances compare the first ``tested`` weights with the uniform
    distribution that ends at the largest one, and with the normal distribution of their spread.
    Both are fitted, which makes the test milder; with thousands of values it still rejects the
    wrong one by far.
    """
    flat = weights.flatten().cpu().double().numpy()
    values, bound, spread = flat[:tested], float(np.abs(flat).max()), float(flat.std())
    uniform = distance(np.clip((values + bound) / (2 * bound), 0, 1))
    normal = distance(torch.special.ndtr(torch.from_numpy(values / spread)).numpy())
    return {
        "count": flat.size,
        "tested": len(values),
        "bound": bound,
        "std": spread,
        "mean": float(flat.mean()),
        "uniform_distance": uniform,
        "normal_distance": normal,
    }


def distance(probabilities: NDArray[np.float64]) -> float:
    """Largest distance between an empirical distribution and the one that gave its probabilities.

    Kolmogorov's statistic; its p-value is computed where the verdict is given.
    """
    ordered, steps = np.sort(probabilities), np.arange(len(probabilities) + 1) / len(probabilities)
    return float(max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1])))


def histogram(weights: Tensor, bins: int) -> dict[str, list[float | bool | str | None]]:
    """Density of the weights in units of their standard deviation, from −4 to 4."""
    values = (weights / weights.std()).flatten().cpu().numpy()
    density, edges = np.histogram(values, bins=bins, range=(-4, 4), density=True)
    return {"density": density.tolist(), "centre": ((edges[1:] + edges[:-1]) / 2).tolist()}


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


def positions(network: nn.Sequential) -> list[nn.Linear]:
    """The hidden linear layers of a network of :func:`layers.tied_perceptron`, by position."""
    found = [layer for layer in network if isinstance(layer, nn.Linear)]
    return found[1:-1]


def gradients(
    shared: nn.Sequential, separate: nn.Sequential, inputs: Tensor, targets: Tensor
) -> dict[str, Any]:
    """The gradient of the shared weight beside those of its untied copies."""
    for network in (shared, separate):
        nn.functional.mse_loss(network(inputs), targets).backward()
    whole = _gradient(positions(shared)[0])
    parts = [_gradient(layer) for layer in positions(separate)]
    return {
        "positions": len(parts),
        "error_of_sum": _relative(torch.stack(parts).sum(0), whole),
        "error_of_largest_part": min(_relative(part, whole) for part in parts),
    }


def _gradient(layer: nn.Linear) -> Tensor:
    assert layer.weight.grad is not None
    return layer.weight.grad


def _relative(seen: Tensor, expected: Tensor) -> float:
    return float(torch.linalg.norm(seen - expected) / torch.linalg.norm(expected))


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
            f"parameters_{name}": sum(p.numel() for p in network.parameters()),
            f"keys_{name}": len(state),
            f"bytes_{name}": sum(v.untyped_storage().nbytes() for v in storages.values()),
            f"file_bytes_{name}": len(_file(state)),
        }
    return result


def _file(state: object) -> bytes:
    content = io.BytesIO()
    torch.save(state, content)
    return content.getvalue()


def _reloaded(state: object) -> Any:
    """What a file of torch.save brings back, read without running what it holds."""
    return torch.load(io.BytesIO(_file(state)), weights_only=True)


Pair = Callable[[nn.Module], tuple[Tensor, Tensor]]  # the two places of the shared weight


def _of_module(network: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(network, nn.Sequential)
    first, second, *_ = positions(network)
    return first.weight, second.weight


def _of_parameter(network: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(network, layers.Autoencoder)
    return network.encoder.weight, network.decoder.weight


def _loaded(network: nn.Module, fresh: nn.Module) -> nn.Module:
    fresh.load_state_dict(_reloaded(network.state_dict()))
    return fresh


def _assigned(network: nn.Module, fresh: nn.Module) -> nn.Module:
    fresh.load_state_dict(_reloaded(network.state_dict()), assign=True)
    return fresh


def _through_safetensors(network: nn.Module, fresh: nn.Module) -> nn.Module:
    fresh.load_state_dict(safetensors.torch.load(safetensors.torch.save(network.state_dict())))
    return fresh


# What is done to a tied network; each also gets a fresh one, tied as well, to load into.
OPERATIONS: dict[str, Callable[[nn.Module, nn.Module], nn.Module]] = {
    "copy.deepcopy": lambda network, fresh: copy.deepcopy(network),
    ".to(torch.float64)": lambda network, fresh: network.to(torch.float64),
    "torch.save, load_state_dict": _loaded,
    "torch.save, load_state_dict(assign=True)": _assigned,
    "safetensors": _through_safetensors,
}


def ties(width: int) -> Iterator[Trial]:
    """Whether a tie survives an operation: the two places are one parameter, with the old value."""
    makers: dict[str, tuple[Callable[[], nn.Module], Pair]] = {
        "one module twice": (lambda: layers.tied_perceptron(width, width, 1, 2), _of_module),
        "one parameter twice": (lambda: layers.Autoencoder(width), _of_parameter),
    }
    for (sharing, (make, pair)), (name, operate) in product(makers.items(), OPERATIONS.items()):
        what = {"check": "tie", "sharing": sharing, "operation": name}
        network = make()
        before = pair(network)[0].detach().clone()
        try:
            first, second = pair(operate(network, make()))
        except RuntimeError as error:
            yield Trial(what={**what}, result={"refused": str(error).strip().splitlines()[0]})
            continue
        yield Trial(
            what={**what},
            result={
                "refused": None,
                "tied": first is second,
                "same_values": bool(torch.equal(first.float(), before))
                and bool(torch.equal(second.float(), before)),
            },
        )


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


class Everything(nn.Module):
    """A module with one of each thing that a module can have."""

    passing: Tensor
    buffer: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.zeros(3), requires_grad=False)
        self.register_buffer("buffer", torch.zeros(3))
        self.register_buffer("passing", torch.zeros(3), persistent=False)
        self.tensor = torch.zeros(3)
        self.hidden = [nn.Linear(1, 1, bias=False)]  # a plain list: not registered
        nn.init.zeros_(self.hidden[0].weight)
        self.dropout = nn.Dropout(0.0)
        self.activation: nn.Module = nn.ReLU()


@dataclass(frozen=True)
class Item:
    """Something that a module has, which can be read as a number, and set to one."""

    read: Callable[[Everything], float]
    change: Callable[[Everything], object]


def _tensor(find: Callable[[Everything], Tensor]) -> Item:
    return Item(lambda m: float(find(m).detach().sum()), lambda m: find(m).detach().fill_(1.0))


ITEMS = {
    "parameter": _tensor(lambda m: m.parameter),
    "frozen parameter": _tensor(lambda m: m.frozen),
    "buffer": _tensor(lambda m: m.buffer),
    "non-persistent buffer": _tensor(lambda m: m.passing),
    "plain tensor": _tensor(lambda m: m.tensor),
    "layer in a Python list": _tensor(lambda m: m.hidden[0].weight),
    "setting (dropout's p)": Item(lambda m: m.dropout.p, lambda m: setattr(m.dropout, "p", 0.5)),
    "flag requires_grad": Item(
        lambda m: float(m.parameter.requires_grad), lambda m: m.parameter.requires_grad_(False)
    ),
    "mode (train or eval)": Item(lambda m: float(m.training), lambda m: m.eval()),
    "architecture (activation)": Item(
        lambda m: float(m.activation(torch.tensor(-1.0))),
        lambda m: setattr(m, "activation", nn.Tanh()),
    ),
}


def state(job: Job) -> list[Trial]:
    """What is in a state_dict, what comes back from it, and what a parameter can be reached by."""
    return [
        *(
            Trial(what={"check": "item", "item": n}, result=whereabouts(i))
            for n, i in ITEMS.items()
        ),
        Trial(what={"check": "item", "item": "optimiser (momentum)"}, result=optimiser(job)),
        *(Trial(what={"check": "layer", "layer": n}, result=held(m)) for n, m in library()),
        *(Trial(what={"check": "access", "way": n}, result=r) for n, r in accesses()),
        Trial(what={"check": "snapshot"}, result=snapshot()),
    ]


def whereabouts(item: Item) -> dict[str, Any]:
    """Change one thing, and look where the change can be seen and whether a reload brings it."""
    plain, changed, loaded = Everything(), Everything(), Everything()
    item.change(changed)
    assert item.read(changed) != item.read(plain)
    loaded.load_state_dict(_reloaded(changed.state_dict()))
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
    saved, momentum = _reloaded(network.state_dict()), _reloaded(optimizer.state_dict())
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
        "error_without": _relative(resumed(None), unbroken),
        "error_with": _relative(resumed(momentum), unbroken),
    }


def library() -> Iterator[tuple[str, nn.Module]]:
    """Layers of torch, and a nested network of them."""
    yield "Linear", nn.Linear(4, 4)
    yield "Conv2d", nn.Conv2d(4, 4, 3)
    yield "Bilinear", nn.Bilinear(4, 4, 4)
    yield "Embedding", nn.Embedding(4, 4)
    yield "BatchNorm1d", nn.BatchNorm1d(4)
    yield "LSTM", nn.LSTM(4, 4, num_layers=2, bidirectional=True)
    yield "MultiheadAttention", nn.MultiheadAttention(4, 2)
    yield "TransformerEncoderLayer", nn.TransformerEncoderLayer(4, 2, 8)
    yield "nested Sequential", nested()


def held(module: nn.Module) -> dict[str, Any]:
    """Parameters that a state_dict lacks, and what it holds besides parameters."""
    keys = set(module.state_dict())
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return {
        "parameters": len(parameters),
        "missing": sorted(parameters - keys),
        "besides": sorted(keys - parameters),
    }


def nested() -> nn.Sequential:
    """A network in a network in a network."""
    block = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU())
    return nn.Sequential(nn.Sequential(block, nn.Linear(4, 4)), nn.Linear(4, 1))


WAYS: dict[str, Callable[[nn.Sequential], Tensor]] = {
    "net[0][0][2].weight": lambda net: net[0][0][2].weight,
    'net.get_parameter("0.0.2.weight")': lambda net: net.get_parameter("0.0.2.weight"),
    'net.get_submodule("0.0.2").weight': lambda net: net.get_submodule("0.0.2").weight,
    'dict(net.named_parameters())["0.0.2.weight"]': lambda net: dict(net.named_parameters())[
        "0.0.2.weight"
    ],
    'net.state_dict()["0.0.2.weight"]': lambda net: net.state_dict()["0.0.2.weight"],
    "net[0][0][2].weight.data": lambda net: net[0][0][2].weight.data,
}


def accesses() -> Iterator[tuple[str, dict[str, Any]]]:
    """What each way to a nested parameter gives: the parameter, or only its values."""
    for name, reach in WAYS.items():
        net = nested()
        net(torch.ones(2, 4)).sum().backward()
        there, found = net[0][0][2].weight, reach(net)
        with torch.no_grad():
            found.fill_(7.0)
        yield (
            name,
            {
                "is_parameter": found is there,
                "has_gradient": found.grad is not None,
                "writes_through": bool((there == 7.0).all()),
            },
        )


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


def topic(name: str) -> str:
    """A name of :data:`TOPICS`."""
    if name not in TOPICS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(TOPICS)}")
    return name


def measure(job: Job) -> list[Trial]:
    """The trials of the job's topic."""
    return TOPICS[job.axes["topic"]](job)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("parameters", {"topic": topic}, measure, argv)


if __name__ == "__main__":
    main()
