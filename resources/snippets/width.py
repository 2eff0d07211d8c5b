"""One run per width ranks the widths by luck; several seeds show how much of it is luck."""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(2200, 10)
y = nn.Sequential(nn.Linear(10, 50), nn.Tanh(), nn.Linear(50, 3))(x).argmax(1)


def accuracy(width, seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[:200]), y[:200]).backward()
        optimizer.step()
    return (net(x[200:]).argmax(1) == y[200:]).float().mean().item()


for width in (8, 12, 16):
    runs = torch.tensor([accuracy(width, seed) for seed in range(6)])
    print(
        f"{width} units: one run {runs[0]:.3f}; six runs {runs.mean():.3f},",
        f"from {runs.min():.3f} to {runs.max():.3f}",
    )
