"""Compile the simulated cards: what to put in front of torch's CUDA build."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import torch

SOURCES = Path(__file__).parent
TORCH = Path(torch.__file__).parent


def build(to: Path) -> dict[str, str]:
    """The runtime, NVML and an empty driver, compiled into a folder.

    Returns:
        The variables that put them in front of the real ones.

    Raises:
        FileNotFoundError: Something that this takes is missing.
    """
    headers = sorted(TORCH.parent.glob("nvidia/cu*/include"))
    if not (headers and torch.version.cuda and shutil.which("g++") and shutil.which("nm")):
        raise FileNotFoundError(
            "a simulated card needs g++, nm and torch's CUDA build with headers"
        )
    includes = [f"-I{each}" for each in (*headers, TORCH.parent / "triton/backends/nvidia/include")]
    shared = ["-O1", "-shared", "-fPIC"]
    cuda, nvml, driver = (
        to / name for name in ("libsimulated_cuda.so", "libnvidia-ml.so.1", "libcuda.so.1")
    )
    (to / "driver.c").write_text(driver_source())
    for command in (
        ["g++", "-std=c++17", *shared, *includes, SOURCES / "cuda.cpp", "-o", cuda],
        ["cc", *shared, SOURCES / "nvml.c", "-o", nvml],
        ["cc", *shared, to / "driver.c", "-o", driver],
    ):
        subprocess.run(command, check=True)
    # Torch's calls of cuBLASLt, which is not simulated, are left out.
    return {
        "LD_PRELOAD": str(cuda),
        "LD_LIBRARY_PATH": str(to),
        "DISABLE_ADDMM_CUDA_LT": "1",
    }


def driver_source() -> str:
    """The functions of the driver that torch links, doing nothing."""
    linked = subprocess.run(
        ["nm", "-D", "--undefined-only", TORCH / "lib/libcaffe2_nvrtc.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = re.findall(r" U (cu[A-Z]\w+)", linked)
    return "".join(f"int {name}(void) {{ return 0; }}\n" for name in names)
