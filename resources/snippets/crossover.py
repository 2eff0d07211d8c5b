"""On a GPU: first the time to ask for a product, then the time to do it. The second loop is right
on a CPU, too.
"""

import time, torch

accelerator = torch.accelerator.current_accelerator(check_available=True)
device, n = (accelerator, 4096) if accelerator else (torch.device("cpu"), 512)
wait = torch.accelerator.synchronize if accelerator else lambda: None
x = torch.randn(n, n, device=device)
x @ x  # the first call also starts the library
wait()

start = time.perf_counter()
x @ x  # wrong on a GPU: returns before the product is done
seconds = time.perf_counter() - start
print(f"not waited for: {2 * n**3 / seconds / 1e12:.3f} TFLOP/s")
wait()

start = time.perf_counter()
for _ in range(10):
    x @ x
wait()  # right: the clock stops when the work is done
seconds = (time.perf_counter() - start) / 10
print(f"waited for: {2 * n**3 / seconds / 1e12:.3f} TFLOP/s")
