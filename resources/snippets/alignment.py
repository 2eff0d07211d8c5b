"""First the published way, one cold call each; then medians of warm, repeated calls."""

import time, torch
from torch.utils.benchmark import Timer

data = {n: (torch.randn(n, n), torch.randn(n, n)) for n in (1024, 1025)}
for n, (a, b) in data.items():  # wrong: the first call also starts the library
    start = time.perf_counter()
    a @ b
    print(n, f"{(time.perf_counter() - start) / n**3:.2e} s per n³, once, cold")
for n, (a, b) in data.items():  # better: warm, many calls, the median
    timer = Timer("a @ b", globals={"a": a, "b": b}, num_threads=torch.get_num_threads())
    print(n, f"{timer.blocked_autorange(min_run_time=1).median / n**3:.2e} s per n³, median")
