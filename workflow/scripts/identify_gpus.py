"""Print which GPU stands behind each torch device that is named: a JSON list of hashes.

    python workflow/scripts/identify_gpus.py cuda:0 cuda:1

Null stands for none, such as where torch sees no GPU.
"""

from __future__ import annotations

import json
import sys

import torch
from assay import machine


def main() -> None:
    """Print the list."""
    print(json.dumps([machine.gpu_id(torch.device(name)) for name in sys.argv[1:]]))


if __name__ == "__main__":
    main()
