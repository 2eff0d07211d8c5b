"""First the published loop, which multiplies elements and overflows; then the products."""

import time, torch

n, products = 100, 1000
x = torch.randn(n, n)
z = x
for i in range(products):  # wrong: elementwise, and soon infinite
    z = z * x
print("z * x a thousand times has norm", torch.linalg.norm(z).item())

chain = torch.randn(products + 1, n, n)
for _ in range(2):  # the first time also starts the library
    start = time.perf_counter()
    log = [torch.linalg.norm(chain[i] @ chain[i + 1]).item() for i in range(products)]
    seconds = time.perf_counter() - start
mean = sum(log) / products
print(f"mean norm {mean:.1f}, expected {n**1.5:.0f}; {1e3 * seconds:.1f} ms with .item() each")
start = time.perf_counter()
log = torch.empty(products)  # on the device of the matrices, to be transferred once
for i in range(products):
    log[i] = torch.linalg.norm(chain[i] @ chain[i + 1])
log = log.cpu()
print(f"{1e3 * (time.perf_counter() - start):.1f} ms with a buffer")
