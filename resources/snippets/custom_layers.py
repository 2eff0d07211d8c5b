"""First the halved transform, which loses a coefficient; then the layer's."""

import torch

x = torch.tensor([1.0, -1, 1, -1, 2, -2, 3, -3])
n = len(x)
halved = torch.fft.fft(x)[: n // 2]  # wrong: one coefficient is missing
leading = torch.fft.rfft(x)  # right: n // 2 + 1 of them
for name, kept in (("fft[:n//2]", halved), ("rfft", leading)):
    back = torch.fft.irfft(kept, n=n)
    print(name, "keeps", len(kept), "and is off by", ((back - x).norm() / x.norm()).item())

W, x = torch.randn(3, 8, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
y = torch.einsum("kij,bi,bj->bk", W, x, x)
print("einsum and Bilinear differ by", (y - torch.nn.functional.bilinear(x, x, W)).abs().max())
A = W - W.mT  # antisymmetric: changes nothing
print("and with A by", (y - torch.einsum("kij,bi,bj->bk", W + A, x, x)).abs().max())
