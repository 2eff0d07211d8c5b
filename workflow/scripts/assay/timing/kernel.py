"""Which kernel did the work: the name beside the number."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

OWN_LOOPS = "torch (no BLAS library)"


def kernel_name(call: Callable[[], Any], device: torch.device) -> str | None:
    """Name of the kernel that a call runs longest; None where nothing tells.

    On a CPU the library says it in verbose mode (oneDNN, MKL). Where neither speaks, torch's own
    loops did the work; a torch without MKL (Arm's, Apple's) has another BLAS, which never speaks.
    """
    return _profiled(call, device) if device.type != "cpu" else _verbose(call)


def _profiled(call: Callable[[], Any], device: torch.device) -> str | None:
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    try:
        with profile(activities=activities) as profiler:
            call()
            torch.accelerator.synchronize(device)
    except RuntimeError:  # the profiling library can be locked by another process
        return None
    kernels = [
        event for event in profiler.events() if event.device_type == torch.profiler.DeviceType.CUDA
    ]
    longest = max(kernels, key=lambda event: event.device_time_total, default=None)
    return str(longest.name) if longest else None


def _verbose(call: Callable[[], Any]) -> str | None:
    mkl = torch.backends.mkl
    with tempfile.TemporaryFile() as output:
        with _stdout_to(output.fileno()), ExitStack() as speaking:
            for library in (torch.backends.mkldnn, mkl):
                if library.is_available():  # asked to speak, one that is not there raises
                    speaking.enter_context(library.verbose(library.VERBOSE_ON))
            call()
        output.seek(0)
        name = name_in_verbose_output(output.read().decode(errors="replace"))
    return name or (OWN_LOOPS if mkl.is_available() else None)


def name_in_verbose_output(text: str) -> str | None:
    """The kernel in the verbose output of oneDNN or MKL; None where neither speaks."""
    for line in text.splitlines():
        # onednn_verbose,v1,primitive,exec,cpu,matmul,brg_matmul:avx512_core_bf16,undef,…
        if line.startswith("onednn_verbose") and ",exec,cpu," in line:
            return "oneDNN " + line.split(",exec,cpu,", 1)[1].split(",")[1]
        if match := re.match(r"MKL_VERBOSE (\w+)\(", line):
            return f"MKL {match[1]}"
    return None


@contextmanager
def _stdout_to(file: int) -> Iterator[None]:
    """Send file descriptor 1, where C libraries print past sys.stdout, to another file."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(file, 1)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # they print through C's buffered stdio
        os.dup2(saved, 1)
        os.close(saved)
