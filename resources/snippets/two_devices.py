"""The clock stopped when the work is handed over, then when it is done; on two halves of the CPU,
which take work in as two GPUs do.
"""

import time, torch
from concurrent.futures import ThreadPoolExecutor

n, half = 1024, max(1, torch.get_num_threads() // 2)
a, b = torch.randn(n, n), torch.randn(n, n)
lanes = [ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(half,)) for _ in "ab"]
product = lambda: [a @ b for _ in range(10)]
[lane.submit(product).result() for lane in lanes]  # warm up
for name, (x, y) in {"in sequence": (lanes[0], lanes[0]), "at once": lanes}.items():
    start = time.perf_counter()
    work = [x.submit(product), y.submit(product)]
    handed_over = time.perf_counter() - start  # wrong: nothing is done yet
    [each.result() for each in work]  # on GPUs: torch.cuda.synchronize() for each of them
    done = time.perf_counter() - start
    for what, seconds in (("handed over", handed_over), ("done", done)):
        print(f"{name}, {what}: {40 * n**3 / seconds / 1e12:.2f} TFLOP/s")
