"""Three slips that raise no error, each beside what was meant."""

import torch
from torch import nn

one, other = torch.zeros(2, 16), torch.ones(2, 16)
print(
    "without dim:",
    tuple(torch.cat([one, other]).shape),
    "along the features:",
    tuple(torch.cat([one, other], dim=-1).shape),
)


def count(net):
    return sum(p.numel() for p in net.parameters())


block = nn.Linear(16, 16)
print(
    "one block used four times:",
    count(nn.Sequential(*[block] * 4)),
    "parameters;",
    "four blocks:",
    count(nn.Sequential(*[nn.Linear(16, 16) for _ in range(4)])),
)


class Looping(nn.Sequential):  # as textbooks write it
    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x


x = torch.randn(3, 16)
print("children() applies a repeated block once:", torch.equal(Looping(*[block] * 4)(x), block(x)))
