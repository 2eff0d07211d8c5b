"""The textbook's blocks: what they compute, what torch finds in them, what they refuse."""

from collections import Counter

import pytest
import torch
from assay.modules import blocks
from assay.modules.blocks import CONSTANTS, FACTORIES, STORAGES, Parallel, seeded
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

UNREGISTERED = ("list", "dict", "tuple")


def layers():
    with seeded(1):
        return [nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)]


# ---- chains --------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", STORAGES)
def test_every_chain_computes_what_torchs_own_does(storage):
    parts, inputs = layers(), torch.randn(7, 4)
    assert torch.equal(STORAGES[storage](*parts)(inputs), nn.Sequential(*parts)(inputs))


@pytest.mark.parametrize("storage", [name for name in STORAGES if name != "partial"])
def test_a_chain_without_a_block_passes_its_inputs_on(storage):
    inputs = torch.randn(2, 4)
    assert STORAGES[storage]()(inputs) is inputs


def test_a_partly_registered_chain_needs_a_block():
    with pytest.raises(ValueError, match="got none"):
        STORAGES["partial"]()


def test_a_loop_over_children_applies_a_repeated_instance_once():
    layer, inputs = nn.Linear(4, 4), torch.randn(2, 4)
    thrice = layer(layer(layer(inputs)))
    assert torch.equal(blocks.Sequential(layer, layer, layer)(inputs), thrice)
    looped = blocks.ChildrenSequential(layer, layer, layer)(inputs)
    assert torch.equal(looped, layer(inputs))
    assert not torch.equal(looped, thrice)


@pytest.mark.parametrize("storage", STORAGES)
def test_outputs_that_do_not_fit_the_next_block_name_both_shapes(storage):
    with pytest.raises(RuntimeError, match=r"2x5 and 6x3"):
        STORAGES[storage](nn.Linear(4, 5), nn.Linear(6, 3))(torch.randn(2, 4))


# A tree of modules: a leaf by its kind, or what keeps the children and the children.
leaves = st.sampled_from(["linear", "norm", "constant", "the same"])
kept = st.sampled_from([*STORAGES, "parallel"])
trees = st.recursive(leaves, lambda below: st.tuples(kept, st.lists(below, min_size=1, max_size=3)))


def grown(tree, same):
    """The module of a tree, and the parameters that torch must find in it."""
    match tree:
        case "linear":
            module = nn.Linear(2, 2)
        case "norm":
            module = nn.BatchNorm1d(2)
        case "constant":
            module = blocks.FixedMLP(2)
        case "the same":
            module = same
        case (storage, below):
            children, parameters = zip(*(grown(each, same) for each in below), strict=True)
            make = Parallel if storage == "parallel" else STORAGES[storage]
            if storage in UNREGISTERED:
                registered = []
            else:
                registered = parameters[-1:] if storage == "partial" else parameters
            return make(*children), [p for found in registered for p in found]
    own = module.linear if tree == "constant" else module
    return module, [own.weight, own.bias]


@given(trees)
def test_every_registered_parameter_is_reached_exactly_once(tree):
    same = nn.Linear(2, 2)
    module, registered = grown(tree, same)
    wanted = {id(parameter) for parameter in registered}
    for found in (
        [*module.parameters()],
        [*dict(module.named_parameters()).values()],
    ):
        assert Counter(map(id, found)) == dict.fromkeys(wanted, 1)


# ---- parallel ------------------------------------------------------------------------------------


def test_a_parallel_block_joins_unequal_widths_along_the_features():
    parts, inputs = [nn.Linear(4, 3), nn.Linear(4, 5), nn.Identity()], torch.randn(2, 6, 4)
    outputs = Parallel(*parts)(inputs)
    assert outputs.shape == (2, 6, 12)
    assert torch.equal(outputs, torch.cat([part(inputs) for part in parts], dim=2))


def test_parallel_blocks_nest():
    inner = Parallel(nn.Linear(4, 3), nn.Linear(4, 2))
    outer = Parallel(inner, nn.Linear(4, 1))
    assert outer(torch.randn(7, 4)).shape == (7, 6)
    assert sum(p.numel() for p in outer.parameters()) == 15 + 10 + 5


def test_without_dim_torch_stacks_the_batch():
    """The trap: (2, 16) and (2, 16) become (4, 16), and nothing complains."""
    one, other = torch.zeros(2, 16), torch.ones(2, 16)
    assert torch.cat([one, other]).shape == (4, 16)
    assert blocks.joined([one, other]).shape == (2, 32)


@pytest.mark.parametrize(
    ("one", "other"), [((2, 3), (4, 3)), ((2, 3), (3,)), ((2, 3), (2, 1, 3)), ((), ()), ((3,), ())]
)
def test_outputs_that_do_not_fit_side_by_side_name_both_shapes(one, other):
    with pytest.raises(ValueError, match="cannot be joined") as error:
        blocks.joined([torch.zeros(one), torch.zeros(other)])
    assert str(one) in str(error.value)
    assert str(other) in str(error.value)


def test_a_parallel_block_needs_a_branch():
    with pytest.raises(ValueError, match="got none"):
        Parallel()


# ---- factories -----------------------------------------------------------------------------------


def described(structure, count=4):
    """Parameters, places in memory and different values of several instances."""
    made = FACTORIES[structure](lambda: nn.Linear(3, 3), count)
    weights = [each.weight for each in made]
    return (
        sum(p.numel() for p in nn.ModuleList(made).parameters()),
        len({weight.data_ptr() for weight in weights}),
        len({tuple(weight.flatten().tolist()) for weight in weights}),
    )


def test_what_several_instances_have_in_common():
    assert described("independent") == (4 * 12, 4, 4)
    assert described("copied") == (4 * 12, 4, 1)
    assert described("shared") == (12, 1, 1)


def test_seeds_draw_alike_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    one, other = layers(), layers()
    assert torch.equal(one[0].weight, other[0].weight)
    assert torch.equal(before, torch.get_rng_state())


# ---- a constant ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_is_no_parameter_and_does_not_learn(name):
    module = CONSTANTS[name](4)
    before = module.constant.clone()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    module(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    assert torch.equal(module.constant, before)
    assert sum(p.numel() for p in module.parameters()) == 4 * 4 + 4


def test_only_a_buffer_is_saved_and_moved():
    plain, buffered = CONSTANTS["fixed_tensor"](4), CONSTANTS["fixed_buffer"](4)
    assert "constant" not in plain.state_dict()
    assert "constant" in buffered.state_dict()
    assert plain.to(torch.float64).constant.dtype == torch.float32
    assert buffered.to(torch.float64).constant.dtype == torch.float64


@pytest.mark.parametrize("name", CONSTANTS)
def test_inputs_that_do_not_fit_the_constant_name_both_shapes(name):
    with pytest.raises(ValueError, match=r"\(2, 5\).*\(4, 4\)"):
        CONSTANTS[name](4)(torch.randn(2, 5))
