"""A rate means something only together with how the loss is reduced: the sum over a batch of 256
is 256 times the mean, and so is every step.
"""

import torch
from torch import nn


def loss_after(reduction, rate):
    torch.manual_seed(0)
    x = torch.rand(256, 784)
    y = x.view(256, 28, 28).sum((1, 2)).argsort().argsort() // 26
    net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    for _ in range(50):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y, reduction=reduction).backward()
        optimizer.step()
    return nn.functional.cross_entropy(net(x), y).item()


print("guessing one of ten:  2.303")
print("rate 0.1, sum:       ", loss_after("sum", 0.1))
print("rate 0.1, mean:      ", loss_after("mean", 0.1))
print("rate 0.1 / 256, sum: ", loss_after("sum", 0.1 / 256))
