"""The shell's variables that change what is measured: which are taken out, which are told.

Sites, notebooks and containers set variables for other programs than ours. A measuring job starts
without those that would break it or change its numbers (:data:`TAKEN_OUT`). What cannot be taken
out, because the machine may need it to work at all (:data:`TOLD`), stands in the record, and the
page says what was measured with it. Importing this module imports nothing that reads a variable.
"""

from __future__ import annotations

import ctypes
import getpass
import os
import re
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase

# Patterns of names, each with what such a variable does to a measurement.
TAKEN_OUT = {
    "OMP_*": "OpenMP: how many threads, where, how they wait; binding hides cores from torch",
    "GOMP_*": "the same for GCC's OpenMP",
    "KMP_*": "the same for Intel's and LLVM's OpenMP",
    "MKL_*": "MKL: threads, and instruction sets of another processor",
    "ONEDNN_*": "oneDNN: instruction sets, number formats, output that slows it",
    "DNNL_*": "the same under its old name",
    "OPENBLAS_*": "OpenBLAS: kernels of another processor, threads",
    "GOTO_*": "the same under its old name",
    "BLIS_*": "BLIS: threads and kernels",
    "NVPL_*": "NVIDIA's BLAS for Arm: threads and kernels",
    "VECLIB_*": "Apple's Accelerate: threads",
    "NUMEXPR_*": "NumExpr: threads",
    "NPY_*": "NumPy: vector instructions that are switched off",
    "ATEN_*": "torch: kernels of another processor",
    "TORCH*": "torch and its compiler: how checkpoints are read, whether and how it compiles",
    "PYTORCH_*": "torch: allocators, fallbacks from one device to another",
    "AOT*": "torch's compiler: debugging, tuning",
    "INDUCTOR_*": "torch's compiler: debugging, tuning",
    "TRITON_*": "Triton: kernels that are interpreted, compiled anew or printed",
    "CUDA_*": "CUDA: launches that block, queues, code that is compiled anew",
    "CUBLAS*": "cuBLAS: workspaces, and with them the kernels it takes; output",
    "CUDNN_*": "cuDNN: output, kernels",
    "CUTLASS_*": "CUTLASS: kernels",
    "NVIDIA_TF32_OVERRIDE": "cuBLAS and cuDNN: float32 that is TF32, or TF32 that is float32",
    "KINETO_*": "torch's profiler, which names kernels",
    "HIP_*": "AMD: launches that block",
    "AMD_*": "AMD: kernels one after the other, output",
    "MIOPEN_*": "AMD: kernels of convolutions",
    "ROCBLAS_*": "AMD: kernels of products",
    "HIPBLAS*": "AMD: kernels of products",
    "MALLOC_*": "the allocator: checks, filling, arenas",
    "TCMALLOC_*": "the allocator",
    "PYTHON*": "Python: no docstrings, warnings as errors, tracing, another standard library",
    "MPL*": "matplotlib: a notebook's backend, which draws nothing elsewhere",
    "MATPLOTLIBRC": "matplotlib: another look",
}

# What these patterns would take out as well, and may not.
LEFT = {
    "*_VISIBLE_DEVICES": "which devices to measure",
    "*_DEVICE_ORDER": "which of them is the first",
    "CUDA_MPS_*": "how the GPU is shared, which the site decides",
    "*_HOME": "where something lies",
    "*_PATH": "where something lies",
    "*_DIR": "where something lies",
    "*_ROOT": "where something lies",
    "*_VERSION": "read by nobody; containers set it",
    "MPLCONFIGDIR": "where matplotlib may write",
    "PYTHONPATH": "where packages lie; told",
    "PYTHONUSERBASE": "where packages lie",
    "PYTHONNOUSERSITE": "packages of the user that are left out",
    "PYTHONPYCACHEPREFIX": "where Python may write",
    "PYTHONDONTWRITEBYTECODE": "whether Python may write",
    "PYTHONUNBUFFERED": "when the log is written",
    "TORCH_DEVICE_BACKEND_AUTOLOAD": "a broken extension without which torch loads",
    "KMP_DUPLICATE_LIB_OK": "two OpenMPs in one program, which else stops",
    "MKL_SERVICE_FORCE_INTEL": "the same",
    "MKL_THREADING_LAYER": "which OpenMP MKL uses, where another stops; told",
    "TORCH_ASSAY_*": "ours",
    "OPENBLAS_THREAD_TIMEOUT": "ours: measure_implementation sets it",
}

# Snakemake sets these for every job, to the threads of its rule; torch is told its number besides.
# One that is smaller would hold NumPy's products back.
THREADS = {
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
}

# What stays because something may not run without it, and can change numbers.
TOLD = {
    "LD_PRELOAD": "a library in front of all others",
    "LD_LIBRARY_PATH": "other libraries than torch brings",
    "DYLD_INSERT_LIBRARIES": "a library in front of all others",
    "DYLD_LIBRARY_PATH": "other libraries than torch brings",
    "GLIBC_TUNABLES": "another way to allocate and copy",
    "PYTHONPATH": "other packages than the environment's",
    "MKL_THREADING_LAYER": "MKL's threads, or none",
    "CC": "the compiler of Triton's launchers",
    "CXX": "the compiler behind torch.compile",
    "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "a share of the GPU",
    "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "a share of the GPU's memory",
    "HSA_OVERRIDE_GFX_VERSION": "kernels of another GPU",
}

AGAIN = "TORCH_ASSAY_STARTED_AGAIN"


def known(variables: Mapping[str, str], threads: int = 1) -> dict[str, str]:
    """The variables that a measuring job starts with.

    Args:
        variables: Those of the shell.
        threads: CPU threads that the job will use.
    """
    return {name: text for name, text in variables.items() if not _harms(name, text, threads)}


def _harms(name: str, text: str, threads: int) -> bool:
    if name in THREADS:
        return not (text.isdecimal() and int(text) >= threads)
    return _matches(name, TAKEN_OUT) and not _matches(name, LEFT)


def _matches(name: str, patterns: Mapping[str, str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def told(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that stay and can change numbers, without the folders in their values."""
    return {name: without_folders(variables[name]) for name in TOLD if variables.get(name)}


def without_folders(text: str) -> str:
    """A text in which files have no folders, whose names may be a person's: for the record.

    What is no UTF-8, which the shell lets through, could not be written there.
    """
    return re.sub(r"[^\s:=,;]*/(?=.)", "", text).encode(errors="replace").decode()


def start_again(threads: int) -> None:
    """Start this program anew without the variables that are taken out; return if there are none.

    Libraries read them when they are loaded: it is too late to take them out of a running program.

    Args:
        threads: CPU threads that the job will use.
    """
    variables = known(os.environ, threads)
    names = sorted(os.environ.keys() - variables.keys())
    if not names or AGAIN in os.environ:
        return
    print(f"Started again without {', '.join(names)} (docs/method.md says why).", flush=True)
    _unbind()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], variables | {AGAIN: "1"})


def name_user() -> None:
    """Give a user whom the system does not know (``docker --user``) a name.

    Snakemake and torch's compiler ask for one, and fail without.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = "somebody"


def _unbind() -> None:
    """Give this process the cores back that OpenMP took from it when it was loaded.

    A program that is started anew inherits its cores. OpenMP knows which there were: its places.
    """
    try:
        openmp = ctypes.CDLL(None)
        places = range(openmp.omp_get_num_places())
    except (OSError, AttributeError):  # it is not there, or under another name
        return
    cores: set[int] = set()
    for place in places:
        numbers = (ctypes.c_int * openmp.omp_get_place_num_procs(place))()
        openmp.omp_get_place_proc_ids(place, numbers)
        cores.update(numbers)
    if cores:
        os.sched_setaffinity(0, cores)
