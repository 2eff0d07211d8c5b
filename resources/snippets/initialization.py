"""The published initialiser matches no layer of the network; ask whether a weight changed."""

import torch
from torch import nn


def as_published(layer):  # wrong: the network is made of Linear layers, so this does nothing
    if isinstance(layer, nn.LazyLinear):
        nn.init.uniform_(layer.weight)


def as_meant(layer):  # right, and now it can be seen that U(0, 1) is a bad idea
    if isinstance(layer, nn.Linear):
        nn.init.uniform_(layer.weight)


images = torch.rand(256, 784)
for draw in (as_published, as_meant):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    before = net[0].weight.clone()
    net.apply(draw)
    changed = not torch.equal(before, net[0].weight)
    print(draw.__name__, "changed the weights:", changed, "- std of scores:", net(images).std())
