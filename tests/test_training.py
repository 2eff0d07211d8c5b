"""Networks and the training loop: pairs by seed, placebos, divergence, evaluation."""

import math

import pytest
import torch
from assay.learning import network, training
from assay.learning.training import Examples, Recipe
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

WIDTHS = [12, 7, 3]


def blobs(count=300, seed=0):
    """Three classes that a network can tell apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    inputs = torch.randn(count, 12, generator=generator) + 3 * torch.eye(3, 12)[labels]
    return Examples(inputs, labels)


def linear_weights(net):
    return [layer.weight for layer in net if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("name", network.ACTIVATIONS)
def test_arms_of_one_seed_begin_with_the_same_weights(name):
    one, other = (network.perceptron(WIDTHS, arm, seed=5) for arm in ("relu", name))
    assert all(map(torch.equal, linear_weights(one), linear_weights(other)))
    another_seed = network.perceptron(WIDTHS, name, seed=6)
    assert not torch.equal(linear_weights(one)[0], linear_weights(another_seed)[0])


def test_building_a_network_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    network.perceptron(WIDTHS, "relu", seed=1)
    assert torch.equal(before, torch.get_rng_state())


def test_nothing_follows_the_output_layer():
    assert isinstance(network.perceptron(WIDTHS, "sigmoid", seed=1)[-1], nn.Linear)


def test_the_textbooks_network_has_203530_parameters():
    net = network.perceptron([784, 256, 10], "relu", seed=0)
    assert sum(p.numel() for p in net.parameters()) == 203_530


def test_the_placebo_ignores_its_argument():
    ignoring = network.perceptron_ignoring(WIDTHS, "sigmoid", seed=1)
    assert isinstance(ignoring[1], nn.ReLU)


def train(name="relu", rate=0.1, epochs=3, seed=0, build=network.perceptron):
    net = build(WIDTHS, name, seed)
    data = blobs()
    return net, training.train(net, data, blobs(seed=1), Recipe(rate, epochs, 32, seed))


def test_it_learns():
    net, course = train()
    assert course.losses[-1] < course.first_loss
    assert course.diverged_at is None
    assert training.accuracy(net, blobs(seed=2)) > 0.9


def test_the_same_recipe_gives_the_same_weights_bit_for_bit():
    assert training.digest(train()[0]) == training.digest(train()[0])
    assert training.digest(train()[0]) != training.digest(train(seed=1)[0])


def test_the_placebo_is_relu_bit_for_bit():
    placebo = train("tanh", build=network.perceptron_ignoring)
    assert training.digest(placebo[0]) == training.digest(train("relu")[0])
    assert placebo[1].losses == train("relu")[1].losses


def test_it_ends_with_the_weights_of_its_best_epoch_in_validation():
    data, early = blobs(), network.perceptron(WIDTHS, "relu", 0)
    training.train(early, data, data, Recipe(rate=0.01, epochs=1, batch=32, seed=0))
    as_after_one = Examples(data.inputs, early(data.inputs).argmax(1))
    net = network.perceptron(WIDTHS, "relu", 0)
    course = training.train(net, data, as_after_one, Recipe(0.01, epochs=4, batch=32, seed=0))
    assert course.best == 0
    assert course.accuracies[-1] < course.accuracies[0] == 1.0
    assert training.digest(net) == training.digest(early)


def test_plain_sgd_against_a_step_by_hand():
    net = network.perceptron(WIDTHS, "tanh", seed=3)
    by_hand = network.perceptron(WIDTHS, "tanh", seed=3)
    data = blobs(32)
    training.train(net, data, data, Recipe(rate=0.5, epochs=1, batch=32, seed=0))
    nn.functional.cross_entropy(by_hand(data.inputs), data.labels).backward()
    for seen, expected in zip(net.parameters(), by_hand.parameters(), strict=True):
        assert torch.allclose(seen, expected - 0.5 * expected.grad, atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "prelu"])
def test_the_update_is_that_of_torchs_sgd_bit_for_bit(name):
    ours, theirs = (network.perceptron(WIDTHS, name, seed=3) for _ in range(2))
    ours[0].bias.requires_grad_(False)
    theirs[0].bias.requires_grad_(False)
    data = blobs(50)
    step = training.sgd(ours, 0.5)
    losses = training.epoch(step, data, 32, torch.Generator().manual_seed(0))
    optimizer, seen = torch.optim.SGD(theirs.parameters(), lr=0.5), []
    for rows in torch.randperm(50, generator=torch.Generator().manual_seed(0)).split(32):
        loss = nn.functional.cross_entropy(theirs(data.inputs[rows]), data.labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.item())
    assert losses == seen
    assert training.digest(ours) == training.digest(theirs)


def test_divergence_is_recorded_with_its_step():
    _, course = train("identity", rate=1e4, epochs=5)
    assert course.diverged_at is not None
    assert course.diverged_at < 5 * math.ceil(300 / 32)


@pytest.mark.parametrize(
    ("losses", "first", "step"),
    [
        ([1.0, 0.9], 1.0, None),
        ([1.0, math.nan, 0.5], 1.0, 1),
        ([1.0, math.inf], 1.0, 1),
        ([1.0, 3.0, 2.0], 1.0, 2),  # the epoch's mean is above the start
        ([1.05, 1.05], 1.0, None),  # wanders, as a network does that cannot learn
        ([1.0], 1.0, None),
    ],
)
def test_what_counts_as_divergence(losses, first, step):
    assert training.divergence(losses, first) == step


def test_dead_units():
    net = network.perceptron(WIDTHS, "relu", seed=0)
    with torch.no_grad():
        net[0].weight[:3] = 0
        net[0].bias[:3] = -1
    assert training.constant_share(net, blobs().inputs) == pytest.approx(3 / 7)
    no_hidden = network.perceptron([12, 3], "relu", seed=0)
    assert training.constant_share(no_hidden, blobs().inputs) == 0


def test_gradient_norm_by_hand():
    net = nn.Sequential(nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        net[0].weight.zero_()
    data = Examples(torch.ones(1, 1), torch.tensor([0]))
    assert training.gradient_norm(net, data) == pytest.approx(math.sqrt(0.5))  # (−½, ½)


@given(st.integers(1, 40), st.integers(1, 15))
def test_accuracy_does_not_depend_on_the_chunks(count, chunk):
    net = network.perceptron(WIDTHS, "relu", seed=0)
    data = blobs(count)
    whole = training.accuracy(net, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EVALUATED_AT_ONCE", chunk)
        assert training.accuracy(net, data) == whole
