"""First the line that shares the donor's memory and forgets its bias, then a copy."""

import torch
from torch import nn


def train(layer):
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.ones(8, 4)).square().sum().backward()
    optimizer.step()


donor = nn.Linear(4, 4)
before = donor.weight.detach().clone()

new = nn.Linear(4, 4)
new.weight = nn.Parameter(donor.state_dict()["weight"])  # wrong: no copy, and no bias
train(new)
print("assigned: the donor moved by", (donor.weight - before).abs().max().item())
print("and its bias came along:", torch.equal(new.bias, donor.bias))

donor.weight.data.copy_(before)
new = nn.Linear(4, 4)
new.load_state_dict(donor.state_dict())  # right
print("copied: the bias came along:", torch.equal(new.bias, donor.bias))
train(new)
print("and the donor moved by", (donor.weight - before).abs().max().item())
