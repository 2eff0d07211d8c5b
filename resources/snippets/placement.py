"""First a move whose result is dropped, then what is moved in place and what is left."""

import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.scale = torch.ones(4)  # wrong: neither parameter nor buffer
        self.register_buffer("shift", torch.zeros(4))  # right


place = "cuda" if torch.cuda.is_available() else "meta"
tensor = torch.ones(4)
tensor.to(place)  # wrong: the result is dropped
print("tensor after tensor.to:", tensor.device)
tensor = tensor.to(place)  # right
print("tensor after tensor = tensor.to:", tensor.device)
print("once more, the same object:", tensor.to(tensor.device) is tensor)

network = Scaled()
network.to(place)  # in place
print("weight", network.layer.weight.device, "· buffer", network.shift.device)
print("plain tensor", network.scale.device)
