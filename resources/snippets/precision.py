"""In bfloat16 a weight of 1 has 8 bits: adding less than 1/256 to it changes nothing, as often as
you like. Mixed precision keeps the weights in float32 for that reason.
"""

import torch

for update in (1 / 64, 1 / 256, 1 / 1024):
    for dtype in (torch.float32, torch.bfloat16):
        weight = torch.ones((), dtype=dtype)
        for _ in range(1000):
            weight += update
        print(f"1 + 1000 × 1/{1 / update:.0f} in {dtype}: {weight.item():.4g}")

tiny = torch.tensor(1e-8)
print("1e-8 in float16:", tiny.half().item())
print("1e-8 in float16, scaled by 65536 and back:", (tiny * 65536).half().float().item() / 65536)
print("1e-8 in bfloat16:", tiny.bfloat16().item())
