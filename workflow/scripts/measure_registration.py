"""Keep the blocks of a network in one way, see what torch then finds, and what training comes to.

    python workflow/scripts/measure_registration.py --storage list \\
        --dataset results/data/dataset.safetensors --output list.json

Every operation is run on a small network whose blocks are also held outside of it, so that it can
be counted how much of the network the operation reached. Then a real network is trained, saved,
and loaded into one that was built anew.

Ways joined by + share a job: ``--storage list+tuple``.
"""

from __future__ import annotations

import copy
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from assay import job
from assay.job import Job
from assay.learning import dataset, experiment, training
from assay.learning.dataset import CLASSES
from assay.learning.experiment import Parts
from assay.learning.network import perceptron
from assay.learning.training import Recipe
from assay.modules.blocks import CONSTANTS, STORAGES, seeded
from assay.record import Phase, Status, Trial
from pydantic import JsonValue
from torch import nn
from torch.nn import functional

WIDTH = 6  # features that the small networks take
REBUILT = 2_000_000  # added to the seed of what is built anew, as another process would draw it

Reach = tuple[int, int]  # how many an operation reached, of how many


@dataclass(frozen=True)
class Case:
    """A module beside what it really consists of, known from outside of it."""

    module: nn.Module
    blocks: list[nn.Module]
    constants: Callable[[], list[torch.Tensor]]  # weights beside the blocks that are not learned
    reference: Callable[[torch.Tensor], torch.Tensor]  # computes the same from the same blocks
    inputs: torch.Tensor
    again: Callable[[], Case]  # the same, built anew with other values

    # Read from the blocks every time: a conversion may replace parameters and buffers.

    @property
    def parameters(self) -> list[torch.Tensor]:
        """What is learned."""
        return [*nn.Sequential(*self.blocks).parameters()]

    @property
    def buffers(self) -> list[torch.Tensor]:
        """What is not learned, and belongs to the state."""
        return [*nn.Sequential(*self.blocks).buffers(), *self.constants()]

    @property
    def state(self) -> list[torch.Tensor]:
        """All that a saved network should hold."""
        return [*self.parameters, *self.buffers]


Operation = Callable[[Case], Reach]


# ---- the small networks -------------------------------------------------------------------------


def varied() -> list[nn.Module]:
    """Blocks of every kind that an operation can miss."""
    return [nn.Linear(WIDTH, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 3)]


def repeated() -> list[nn.Module]:
    """One and the same instance three times."""
    return [nn.Linear(WIDTH, WIDTH)] * 3


def chain(storage: str, make: Callable[[], list[nn.Module]], seed: int) -> Case:
    """A chain of blocks, kept in one way."""
    with seeded(seed):
        parts = make()
        case = Case(
            module=STORAGES[storage](*parts),
            blocks=parts,
            constants=list,
            reference=nn.Sequential(*parts),
            inputs=torch.randn(4, WIDTH),
            again=partial(chain, storage, make, seed + REBUILT),
        )
        scramble(case.state)
    return case


def constant(storage: str, seed: int) -> Case:
    """A network with a constant weight, kept in one way."""
    with seeded(seed):
        module = CONSTANTS[storage](WIDTH)
        linear = module.linear

        def by_hand(inputs: torch.Tensor) -> torch.Tensor:
            hidden = functional.relu(linear(inputs) @ module.constant + 1)
            outputs: torch.Tensor = linear(hidden)
            return outputs

        return Case(
            module=module,
            blocks=[linear],
            constants=lambda: [module.constant],
            reference=by_hand,
            inputs=torch.randn(4, WIDTH),
            again=partial(constant, storage, seed + REBUILT),
        )


def scramble(tensors: Iterable[torch.Tensor]) -> None:
    """Give every tensor values that no fresh network has; all positive, as variances must be."""
    with torch.no_grad():
        for tensor in tensors:
            tensor.copy_(1 + 10 * torch.rand(tensor.shape))


# ---- the operations: what each reached, of what it should have reached --------------------------


def once(found: Iterable[object], wanted: Sequence[object]) -> Reach:
    """How many of the wanted objects were found exactly once."""
    kept = [*found]  # alive while their identities are compared
    seen = Counter(map(id, kept))
    return sum(seen[id(each)] == 1 for each in wanted), len(wanted)


def holding(flags: Sequence[bool]) -> Reach:
    """How many of the flags hold."""
    return sum(flags), len(flags)


def settled(case: Case) -> Case:
    """The case with every block in evaluation, whether or not the module could say so."""
    for block in case.blocks:
        block.eval()
    return case


def output(case: Case) -> Reach:
    """The outputs equal the reference's, bit for bit."""
    settled(case)
    return holding([torch.equal(case.module(case.inputs), case.reference(case.inputs))])


def gradients(case: Case) -> Reach:
    """The gradient in every parameter equals the reference's, bit for bit."""
    settled(case)
    one, other = (
        torch.autograd.grad(compute(case.inputs).square().sum(), case.parameters)
        for compute in (case.module, case.reference)
    )
    return holding([torch.equal(*pair) for pair in zip(one, other, strict=True)])


def parameters(case: Case) -> Reach:
    """``parameters()`` yields every parameter once."""
    return once(case.module.parameters(), case.parameters)


def named_parameters(case: Case) -> Reach:
    """``named_parameters()`` gives every parameter one name of its own."""
    return once(dict(case.module.named_parameters()).values(), case.parameters)


def buffers(case: Case) -> Reach:
    """``buffers()`` yields every buffer once."""
    return once(case.module.buffers(), case.buffers)


def named_modules(case: Case) -> Reach:
    """``named_modules()`` yields every block once."""
    return once(dict(case.module.named_modules()).values(), case.blocks)


def state_dict(case: Case) -> Reach:
    """``state_dict()`` holds every parameter and buffer."""
    held = {tensor.data_ptr() for tensor in case.module.state_dict().values()}
    return holding([tensor.data_ptr() in held for tensor in case.state])


def representation(case: Case) -> Reach:
    """``repr`` shows every block."""
    text = repr(case.module)
    return holding([repr(block) in text for block in case.blocks])


def apply(case: Case) -> Reach:
    """``apply`` calls its function on every block once."""
    visited: list[nn.Module] = []
    case.module.apply(visited.append)
    return once(visited, case.blocks)


def optimiser(case: Case) -> Reach:
    """A step of SGD changes every parameter."""
    optimizer = torch.optim.SGD(case.module.parameters(), lr=1.0)
    before = [parameter.detach().clone() for parameter in case.parameters]
    for parameter in case.parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    pairs = zip(before, case.parameters, strict=True)
    return holding([not torch.equal(*pair) for pair in pairs])


def zero_grad(case: Case) -> Reach:
    """``zero_grad`` clears every gradient."""
    for parameter in case.parameters:
        parameter.grad = torch.ones_like(parameter)
    case.module.zero_grad()
    return holding([parameter.grad is None for parameter in case.parameters])


def requires_grad(case: Case) -> Reach:
    """``requires_grad_(False)`` freezes every parameter."""
    case.module.requires_grad_(False)
    return holding([not parameter.requires_grad for parameter in case.parameters])


def train_eval(case: Case) -> Reach:
    """``eval`` and ``train`` switch every block."""
    case.module.eval()
    off = [not block.training for block in case.blocks]
    case.module.train()
    on = [block.training for block in case.blocks]
    return holding([a and b for a, b in zip(off, on, strict=True)])


def to_float64(case: Case) -> Reach:
    """``to(torch.float64)`` converts all floating numbers, and inputs of that type go through."""
    return _converted(case, torch.float64)


def half(case: Case) -> Reach:
    """``half()`` converts all floating numbers, and inputs of that type go through."""
    return _converted(case, torch.float16)


def _converted(case: Case, dtype: torch.dtype) -> Reach:
    settled(case).module.to(dtype)
    case.module(case.inputs.to(dtype))
    floating = [tensor for tensor in case.state if tensor.is_floating_point()]
    return holding([tensor.dtype == dtype for tensor in floating])


def to_device(case: Case, device: torch.device) -> Reach:
    """``to(device)`` moves everything, and inputs on that device go through."""
    settled(case).module.to(device)
    case.module(case.inputs.to(device))
    return holding([tensor.device.type == device.type for tensor in case.state])


def deepcopy(case: Case) -> Reach:
    """A deep copy computes the same, and goes on doing so when the original is changed."""
    twin = copy.deepcopy(settled(case).module)
    expected = case.reference(case.inputs)
    with torch.no_grad():
        for tensor in case.state:
            tensor.zero_()
    return holding([torch.equal(twin(case.inputs), expected)])


def save_load(case: Case) -> Reach:
    """What was saved and loaded, strictly, into a module built anew is there again."""
    fresh = case.again()
    fresh.module.load_state_dict(through_a_file(case.module), strict=True)
    pairs = zip(case.state, fresh.state, strict=True)
    return holding([torch.equal(*pair) for pair in pairs])


def through_a_file(module: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a module, saved and read again."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    state: dict[str, torch.Tensor] = torch.load(file, weights_only=True)
    return state


OPERATIONS: dict[str, Operation] = {
    "output": output,
    "gradients": gradients,
    "parameters": parameters,
    "named_parameters": named_parameters,
    "buffers": buffers,
    "named_modules": named_modules,
    "state_dict": state_dict,
    "repr": representation,
    "apply": apply,
    "optimiser": optimiser,
    "zero_grad": zero_grad,
    "requires_grad": requires_grad,
    "train_eval": train_eval,
    "to_float64": to_float64,
    "half": half,
    "deepcopy": deepcopy,
    "save_load": save_load,
}


def outcome(operation: Operation, case: Case) -> dict[str, JsonValue]:
    """What an operation came to: it passed, failed silently, or raised an error."""
    try:
        reached, of = operation(case)
    except (RuntimeError, ValueError) as error:
        return {"outcome": "loud", "error": f"{type(error).__name__}: {first_line(error)}"}
    return {"outcome": "pass" if reached == of else "silent", "reached": reached, "of": of}


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return str(error).splitlines()[0]


def cells(storage: str, seed: int, device: torch.device) -> list[Trial]:
    """Every operation on a network that keeps its blocks in one way."""
    # Without another device, `meta` stands in: it has shapes and no memory.
    target = torch.device("meta") if device.type == "cpu" else device
    operations = OPERATIONS | {"to_device": partial(to_device, device=target)}
    make = partial(chain, storage, varied) if storage in STORAGES else partial(constant, storage)
    found = {name: outcome(operation, make(seed)) for name, operation in operations.items()}
    found["to_device"]["target"] = str(target)
    if storage in STORAGES:
        found["repetition"] = outcome(output, chain(storage, repeated, seed))
    trials = [
        Trial(what={"storage": storage, "operation": name}, result=result)
        for name, result in found.items()
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
    registered = counted(network)
    # With no parameter an optimiser raises: then it is given the layers' own, by hand.
    trained = network if registered else layers
    recipe = Recipe(settings["rate"], settings["epochs"], settings["batch"], seed)
    course = training.train(trained, data.training, data.validation, recipe)
    what = {"phase": Phase.TRAINING, "storage": storage, "rate": recipe.rate, "seed": seed}
    seen = experiment.outcome(what, course)
    if seen.status == Status.OK:
        again, _ = perceptron_kept(storage, seed + REBUILT, job)
        again.load_state_dict(through_a_file(network), strict=True)
        seen.result |= {
            "parameters": counted(layers),
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


def counted(module: nn.Module) -> int:
    """How many numbers the parameters that torch finds consist of."""
    return sum(parameter.numel() for parameter in module.parameters())


def measure(job: Job) -> list[Trial]:
    """All ways of the job: the operations, then the training of those that are networks."""
    settings, storages = job.settings, str(job.axes["storage"]).split("+")
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    trials = [
        trial for storage in storages for trial in cells(storage, settings["seed"], job.device)
    ]
    return trials + [
        consequence(storage, seed, data, job)
        for storage in storages
        if storage in STORAGES
        for seed in experiment.seeds(settings)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"storage": job.names([*STORAGES, *CONSTANTS])}
    job.run("registration", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
