"""A second layer without an activation before it is no second layer: the two are one linear map."""

import torch
from torch import nn

torch.manual_seed(0)
first, second = nn.Linear(784, 256), nn.Linear(256, 10)
one = nn.Linear(784, 10)  # the product of both, as a single layer
with torch.no_grad():
    one.weight.copy_(second.weight @ first.weight)
    one.bias.copy_(second.weight @ first.bias + second.bias)

x = torch.rand(1000, 784)
print(
    "without an activation, largest difference to one layer:",
    (second(first(x)) - one(x)).abs().max().item(),
)
print(
    "with a ReLU between them:                              ",
    (second(first(x).relu()) - one(x)).abs().max().item(),
)
