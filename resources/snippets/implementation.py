"""First one call of each, one after the other, as published comparisons time them; then rounds of
both in turn, from the same weights.
"""

import statistics, time, torch
from torch import nn
from torch.nn.functional import cross_entropy

x, y = torch.rand(256, 784), torch.randint(10, (256,))
net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
sgd = torch.optim.SGD(net.parameters(), lr=1e-3)
own = [p.detach().clone().requires_grad_() for p in net.parameters()]  # the same weights


def framework():
    sgd.zero_grad()
    loss = cross_entropy(net(x), y)
    loss.backward()
    sgd.step()
    return loss


def scratch():
    for p in own:
        p.grad = None if p.grad is None else p.grad.zero_()
    w, b, v, c = own
    scores = torch.maximum(x @ w.T + b, torch.zeros(())) @ v.T + c
    loss = (scores.logsumexp(1) - scores[torch.arange(256), y]).mean()
    loss.backward()
    with torch.no_grad():
        for p in own:
            p -= 1e-3 * p.grad
    return loss


def seconds(step, calls):
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


a, b = seconds(framework, 1), seconds(scratch, 1)  # wrong: the first call starts the library
print(f"one call each: from scratch takes {b / a:.2f} x the time")
print("losses:", framework().item(), scratch().item())  # equal, or the comparison is void
ratios = [seconds(scratch, 5) / seconds(framework, 5) for _ in range(30)]
print(f"in turn, median of 30: {statistics.median(ratios):.2f} x")
