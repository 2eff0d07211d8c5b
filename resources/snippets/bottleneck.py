"""Ten scores, but one number behind them: their rank says so, and so do the classes that can
win.
"""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.rand(10_000, 784)
for neurons in (1, 2, 8):
    body = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, neurons))
    head = nn.Linear(neurons, 10)
    scores = head(10 * body(x))
    print(
        f"neurons: {neurons}; {scores.shape[1]} scores, of rank",
        torch.linalg.matrix_rank(scores - head.bias, rtol=1e-4).item(),
    )
