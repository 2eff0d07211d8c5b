"""The kernel's name, from what the libraries say."""

import sys

import pytest
import torch
from assay.timing.kernel import kernel_name, name_in_verbose_output

ONEDNN = (
    "onednn_verbose,v1,info,cpu,runtime:OpenMP,nthr:2\n"
    "onednn_verbose,v1,primitive,exec,cpu,matmul,brg_matmul:avx512_core_bf16,undef,src:bf16,,,0.05\n"
)
MKL = (
    "MKL_VERBOSE oneMKL 2024.0 Update 2 Product build 20240605\n"
    "MKL_VERBOSE SGEMM(N,N,256,256,256,0x7f,0x55,256,0x55,256,0x7f,0x55,256) 230us CNR:OFF\n"
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (ONEDNN, "oneDNN brg_matmul:avx512_core_bf16"),
        (MKL, "MKL SGEMM"),
        ("", "torch (no BLAS library)"),
    ],
)
def test_names(text, name):
    assert name_in_verbose_output(text) == name


def test_a_real_product_names_its_library_and_prints_nothing(capfd):
    a = torch.randn(64, 64)
    name = kernel_name(lambda: a @ a, torch.device("cpu"))
    assert name
    if torch.backends.mkl.is_available():
        assert name.startswith(("MKL", "oneDNN"))
    print("still here", file=sys.stdout, flush=True)
    assert capfd.readouterr().out == "still here\n"
