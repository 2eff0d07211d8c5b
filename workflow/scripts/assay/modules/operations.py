"""What torch does with a module, and how much of the module each of these operations reaches.

Every operation is run on a small network whose blocks are also held outside of it, so that it can
be counted how much of the network the operation reached.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from assay.modules.blocks import CONSTANTS, STORAGES, seeded
from assay.modules.checkpoint import reloaded

WIDTH = 6  # features that the small networks take
REBUILT = 2_000_000  # added to the seed of what is built anew, as another process would draw it

Reach = tuple[int, int]  # how many an operation reached, of how many


@dataclass(frozen=True)
class Case:
    """A module beside what it really consists of, known from outside of it.

    Attributes:
        module: The module.
        blocks: Its blocks.
        constants: The attributes that hold weights beside the blocks, which are not learned.
        reference: Computes the same from the same blocks.
        inputs: What it is called with.
        again: Builds the same anew with other values.
    """

    module: nn.Module
    blocks: list[nn.Module]
    constants: tuple[str, ...]
    reference: Callable[[torch.Tensor], torch.Tensor]
    inputs: torch.Tensor
    again: Callable[[], Case]

    # Read from the blocks every time: a conversion may replace parameters and buffers.

    @property
    def parameters(self) -> list[torch.Tensor]:
        """What is learned."""
        return [*nn.Sequential(*self.blocks).parameters()]

    @property
    def buffers(self) -> list[torch.Tensor]:
        """What is not learned, and belongs to the state."""
        constants = [getattr(self.module, name) for name in self.constants]
        return [*nn.Sequential(*self.blocks).buffers(), *constants]

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


def chain(storage: str, seed: int, make: Callable[[], list[nn.Module]] = varied) -> Case:
    """A chain of blocks, kept in one way; every tensor has values that no fresh network has."""
    with seeded(seed):
        parts = make()
        case = Case(
            module=STORAGES[storage](*parts),
            blocks=parts,
            constants=(),
            reference=nn.Sequential(*parts),
            inputs=torch.randn(4, WIDTH),
            again=partial(chain, storage, seed + REBUILT, make),
        )
        with torch.no_grad():
            for tensor in case.state:
                tensor.copy_(1 + 10 * torch.rand(tensor.shape))  # positive, as variances must be
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
            constants=("constant",),
            reference=by_hand,
            inputs=torch.randn(4, WIDTH),
            again=partial(constant, storage, seed + REBUILT),
        )


# ---- the operations: what each reached, of what it should have reached --------------------------


def once(yielded: Iterable[object], wanted: Sequence[object]) -> Reach:
    """How many of the wanted objects were yielded exactly once."""
    alive = [*yielded]  # while their identities are compared
    times = Counter(map(id, alive))
    return holding([times[id(each)] == 1 for each in wanted])


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


def converted(case: Case, dtype: torch.dtype) -> Reach:
    """``to(dtype)`` converts all floating numbers, and inputs of that type go through."""
    settled(case).module.to(dtype)
    case.module(case.inputs.to(dtype))
    return holding([tensor.dtype == dtype for tensor in case.state if tensor.is_floating_point()])


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
    fresh.module.load_state_dict(reloaded(case.module.state_dict()), strict=True)
    pairs = zip(case.state, fresh.state, strict=True)
    return holding([torch.equal(*pair) for pair in pairs])


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
    "to_float64": partial(converted, dtype=torch.float64),
    "half": partial(converted, dtype=torch.float16),
    "deepcopy": deepcopy,
    "save_load": save_load,
}
