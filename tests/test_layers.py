"""The layers of the exercises: what they compute, what they refuse, what goes wrong with others."""

import pytest
import torch
from assay.modules import layers
from assay.modules.layers import IMPLEMENTATIONS, LeadingFourier, ShapeError, TensorReduction
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

SIZES = st.integers(1, 6)


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def by_loops(inputs, weights):
    """The formula with nothing but Python's own loops and sums."""
    n = inputs.shape[1]
    return torch.tensor(
        [
            [sum(float(w[i, j] * x[i] * x[j]) for i in range(n) for j in range(n)) for w in weights]
            for x in inputs
        ],
        dtype=torch.float64,
    )


# ---- the reduction -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(SIZES, SIZES, SIZES)
def test_six_implementations_compute_the_formula(batch, n, k):
    inputs, weights = drawn(batch, n), drawn(k, n, n, seed=1)
    expected = by_loops(inputs, weights)
    assert len(IMPLEMENTATIONS) == 6
    for name, way in IMPLEMENTATIONS.items():
        seen = way.apply(inputs, *way.store(weights))
        assert seen.shape == (batch, k), name
        torch.testing.assert_close(seen, expected, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_the_layer_learns_in_every_implementation(name):
    layer = TensorReduction(5, 3, name, dtype=torch.float64)
    inputs = drawn(4, 5).requires_grad_()
    assert torch.autograd.gradcheck(layer, inputs)
    layer(inputs).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().max() > 0


def test_the_layer_is_nn_bilinear_with_the_input_twice():
    torch_layer = nn.Bilinear(5, 5, 3, bias=False).double()
    layer = TensorReduction(5, 3, dtype=torch.float64)
    layer.load_state_dict(torch_layer.state_dict())
    inputs = drawn(4, 5)
    torch.testing.assert_close(layer(inputs), torch_layer(inputs, inputs))


def test_an_antisymmetric_part_changes_nothing_and_a_symmetric_one_does():
    inputs, weights, other = drawn(4, 6), drawn(2, 6, 6, seed=1), drawn(2, 6, 6, seed=2)
    before = layers.einsum(inputs, weights)
    unfelt = layers.einsum(inputs, weights + layers.antisymmetric(other))
    felt = layers.einsum(inputs, weights + layers.symmetric(other))
    torch.testing.assert_close(before, unfelt)
    assert not torch.allclose(before, felt)


def test_the_packed_layer_has_n_times_n_plus_1_half_numbers_and_saves_only_them():
    layer = TensorReduction(6, 2, "packed")
    assert layer.weight.shape == (2, 21)
    assert set(layer.state_dict()) == {"weight"}
    assert layer.to(torch.float64)(drawn(3, 6)).shape == (3, 2)


def test_outputs_begin_with_a_variance_of_about_one():
    torch.manual_seed(0)
    outputs = TensorReduction(32, 64)(torch.randn(512, 32))
    assert 0.7 < outputs.std() < 1.4


@pytest.mark.parametrize(
    ("layer", "wrong", "taken"),
    [
        (TensorReduction(5, 3), (4, 6), "(batch, 5)"),
        (TensorReduction(5, 3), (5,), "(batch, 5)"),
        (LeadingFourier(8), (4, 7), "(batch, 8)"),
        (LeadingFourier(8), (2, 4, 8), "(batch, 8)"),
    ],
)
def test_a_wrong_shape_names_both_shapes(layer, wrong, taken):
    with pytest.raises(ShapeError) as error:
        layer(torch.zeros(wrong))
    assert taken in str(error.value)
    assert str(wrong) in str(error.value)


# ---- Fourier -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40))
def test_all_coefficients_hold_everything(n):
    layer, inputs = LeadingFourier(n), drawn(3, n)
    kept = layer(inputs)
    assert kept.shape == (3, n // 2 + 1)
    torch.testing.assert_close(layer.inverse(kept), inputs)
    energy = layers.energies(kept, n).sum(1)
    torch.testing.assert_close(energy, inputs.square().sum(1))  # Parseval


def test_the_leading_ones_are_the_smooth_part():
    n = torch.arange(16, dtype=torch.float64)
    slow, fast = torch.cos(2 * torch.pi * n / 16), torch.cos(2 * torch.pi * 7 * n / 16)
    layer = LeadingFourier(16, kept=3)
    seen = layer.inverse(layer((slow + fast)[None]))
    torch.testing.assert_close(seen[0], slow)


def test_an_odd_size_comes_back_only_if_it_is_said():
    inputs = drawn(2, 7)
    kept = torch.fft.rfft(inputs, norm="ortho")
    assert torch.fft.irfft(kept, norm="ortho").shape == (2, 6)
    torch.testing.assert_close(LeadingFourier(7).inverse(kept), inputs)


def test_gradients_pass_through():
    assert torch.autograd.gradcheck(LeadingFourier(6, kept=2), drawn(2, 6).requires_grad_())


@pytest.mark.parametrize("kept", [0, 6])
def test_more_coefficients_than_there_are_is_one_sentence(kept):
    with pytest.raises(ValueError, match="8 real numbers have 5 Fourier coefficients"):
        LeadingFourier(8, kept)


# ---- shared parameters, and the mistake ----------------------------------------------------------


def test_a_tied_network_has_one_hidden_layer_and_its_untied_copy_has_as_many_as_places():
    tied = layers.tied_perceptron(4, 4, 1, times=3)
    free = layers.untied(tied)
    one = sum(p.numel() for p in nn.Linear(4, 4).parameters())
    count = [sum(p.numel() for p in net.parameters()) for net in (tied, free)]
    assert count[1] - count[0] == 2 * one
    inputs = torch.randn(5, 4)
    assert torch.equal(tied(inputs), free(inputs))


def test_computing_with_data_gives_the_same_outputs_and_no_gradient():
    torch.manual_seed(0)
    first, right, wrong = nn.Linear(3, 3), nn.Linear(3, 2), layers.DetachedLinear(3, 2)
    wrong.load_state_dict(right.state_dict())
    inputs = torch.randn(4, 3)
    assert torch.equal(right(inputs), wrong(inputs))
    wrong(first(inputs)).sum().backward()
    assert wrong.weight.grad is None
    assert first.weight.grad is not None  # so that nothing fails
