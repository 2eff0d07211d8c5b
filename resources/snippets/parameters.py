"""What the claim predicts for the largest weight, and what it is; then a tied gradient."""

import math, torch
from torch import nn

for inputs, outputs in ((100, 10), (100, 1000), (10000, 10)):
    claimed = math.sqrt(6 / (inputs + outputs))  # wrong: what Xavier's range would be
    largest = nn.Linear(inputs, outputs).weight.abs().max().item()
    print(inputs, outputs, f"claimed {claimed:.4f}, is {largest:.4f} = 1/sqrt({inputs})")

shared = nn.Linear(4, 4)
net = nn.Sequential(shared, nn.Tanh(), shared)
copies = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
copies.load_state_dict(net.state_dict())  # equal values, no longer tied
x = torch.randn(8, 4)
for each in (net, copies):
    each(x).square().sum().backward()
print("one copy's gradient differs by", (shared.weight.grad - copies[0].weight.grad).abs().max())
both = copies[0].weight.grad + copies[2].weight.grad
print("the sum of both by", (shared.weight.grad - both).abs().max())
