"""The kernel's name, from what the libraries say."""

import sys

import pytest
import torch
from assay.timing.kernel import OWN_LOOPS, kernel_name, name_in_verbose_output

CPU = torch.device("cpu")
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
        ("", None),
    ],
)
def test_names(text, name):
    assert name_in_verbose_output(text) == name


def test_a_real_product_names_its_library_and_prints_nothing(capfd):
    a = torch.randn(64, 64)
    name = kernel_name(lambda: a @ a, CPU)
    if torch.backends.mkl.is_available():
        assert name
        assert name.startswith(("MKL", "oneDNN"))
    print("still here", file=sys.stdout, flush=True)
    assert capfd.readouterr().out == "still here\n"


@pytest.mark.parametrize(("mkl", "name"), [(True, OWN_LOOPS), (False, None)])
def test_a_torch_without_a_library_is_not_asked_to_let_it_speak(monkeypatch, mkl, name):
    """Apple's and Arm's have no MKL, Apple's no oneDNN: told to speak, they refuse."""
    backends, switches = torch.backends, torch._C._verbose
    monkeypatch.setattr(backends.mkl, "is_available", lambda: mkl)
    monkeypatch.setattr(backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(switches, "mkl_set_verbose", lambda level: int(mkl))
    monkeypatch.setattr(switches, "mkldnn_set_verbose", lambda level: 0)
    assert kernel_name(lambda: None, CPU) == name
