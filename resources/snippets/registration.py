"""Count what torch finds when all but the last layer are in a list, then in a ModuleList."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.hidden = keep([nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU()])
        self.output = nn.Linear(128, 10)

    def forward(self, x):
        for layer in self.hidden:
            x = layer(x)
        return self.output(x)


x = torch.randn(5, 784)
for keep in (list, nn.ModuleList):  # wrong, and nothing says so; right
    net, built_anew = Net(keep), Net(keep)
    built_anew.load_state_dict(net.state_dict(), strict=True)
    print(
        keep.__name__,
        "finds",
        sum(p.numel() for p in net.parameters()),
        "parameters;",
        "loaded, it computes the same:",
        torch.equal(net(x), built_anew(x)),
    )
