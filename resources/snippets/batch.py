"""Time per step grows with the batch, and is no measure of it: time per sample is. It falls until
the machine is busy, and from there on a larger batch only makes fewer steps.
"""

import time, torch
from torch import nn

net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)


def step(x, y):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()


for batch in (1, 16, 256, 4096):
    x, y = torch.randn(batch, 784), torch.randint(10, (batch,))
    step(x, y)  # the first call of a size is slower
    steps = max(3, 4096 // batch)
    start = time.perf_counter()
    for _ in range(steps):
        step(x, y)
    seconds = (time.perf_counter() - start) / steps
    told = f"{1e3 * seconds:6.2f} ms a step, {1e6 * seconds / batch:6.2f} µs a sample"
    print(f"batch {batch:4}: {told}")
