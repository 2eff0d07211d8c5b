"""The published function ignores its argument; count what really is in the network."""

from torch import nn


def net_ignoring(activation):  # wrong: whatever is asked for, it is ReLU
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def net(activation):  # right
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), activation, nn.Linear(256, 10))


for make in (net_ignoring, net):
    for activation in (nn.ReLU(), nn.Sigmoid(), nn.Tanh()):
        print(make.__name__, "asked for", activation, "and got", make(activation)[2])
