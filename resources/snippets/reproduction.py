"""One cold sample, 1024 first, as published; then the same products warm."""

import time, torch


def milliseconds(n):
    matrix, vector = torch.rand(n, n), torch.rand(n, 1)
    start = time.perf_counter()
    matrix @ vector
    return 1e3 * (time.perf_counter() - start)


sizes = (1024, 1025, 1026, 1028, 1032)
for n in sizes:  # wrong: the first one also starts the library
    print(f"{n}: {milliseconds(n):.3f} ms, one cold sample")
for n in sizes:  # right: many, warm
    print(f"{n}: {sorted(milliseconds(n) for _ in range(51))[25]:.3f} ms, median of 51")
