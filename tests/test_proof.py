"""Proofs: what is refused, what is a status, and what stays a crash."""

from __future__ import annotations

import argparse
from pathlib import Path

import measure_resume
import pynvml
import pytest
import torch
from assay import device, job, machine
from assay.record import Status, Trial
from assay.timing import proof

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate …"), Status.OUT_OF_MEMORY),
        (MemoryError(), Status.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), Status.OUT_OF_MEMORY),
        (OSError(12, "Cannot allocate memory"), Status.OUT_OF_MEMORY),  # of a fork
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors …"), Status.OUT_OF_MEMORY),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
            Status.OUT_OF_MEMORY,
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), Status.OUT_OF_MEMORY),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx`"),
            Status.UNAVAILABLE,
        ),
        (RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'"), Status.UNAVAILABLE),
        (NotImplementedError("no"), Status.UNAVAILABLE),
        (device.Unavailable("no such device"), Status.UNAVAILABLE),
    ],
)
def test_what_this_machine_lacks_is_a_status(error: Exception, status: Status) -> None:
    def fail() -> Trial:
        raise error

    seen = proof.attempt({"n": 1}, fail)
    assert (seen.status, seen.what) == (status, {"n": 1})
    assert seen.reason
    assert "\n" not in seen.reason


def test_a_bug_is_a_crash() -> None:
    def fail() -> Trial:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        proof.attempt({}, fail)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: unspecified launch failure",
        "CUDA error: the launch timed out and was terminated",
        "CUDA error: unknown error",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    ],
)
def test_a_gpu_that_failed_is_told_and_the_run_goes_on(message: str, tmp_path: Path) -> None:
    def fail(_: job.Job) -> list[Trial]:
        raise RuntimeError(f"{message}\nCUDA kernel errors might be asynchronously reported")

    arguments = argparse.Namespace(device="cpu", settings={"seed": 1})
    trials, status, reason = job._measure(arguments, {}, None, fail)
    assert (trials, status) == ([], Status.UNAVAILABLE)
    assert reason == f"the GPU failed, nothing was kept: {message}"


def test_trainings_in_processes_of_their_own_need_a_shared_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(machine, "nvml_handle", lambda device: "handle")
    for mode, exclusive in ((0, False), (3, True)):  # as NVML numbers them
        monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeMode", lambda handle, mode=mode: mode)
        assert machine.is_exclusive(gpu) == exclusive
    with pytest.raises(device.Unavailable, match="not exclusive"):
        measure_resume.measure(job.Job({}, {}, gpu))


@pytest.mark.parametrize("rows", [None, 7, 64, 1000])
def test_an_error_in_a_product_is_seen_and_a_right_one_is_not(rows: int | None) -> None:
    a, b = torch.randn(100, 100), torch.randn(100, 100)
    assert 0 < proof.product_error((a, b, a @ b), rows) < proof.tolerance(100, "float32")
    assert proof.product_error((a, b, 1.01 * (a @ b)), rows) == pytest.approx(0.01, rel=0.01)


def test_a_result_without_numbers_is_wrong() -> None:
    assert proof.wrong(float("nan"), 1e-6)
    assert proof.wrong(1e-7, 1e-6) is None


def test_only_what_is_above_the_peak_is_refused() -> None:
    seen = Trial(what={})
    for peak in (None, 1e12, 0.96e12):
        proof.refuse(seen, proof.beyond_peak(1e12, peak))
    assert seen.status == Status.OK
    proof.refuse(seen, proof.beyond_peak(2e12, 1e12))
    assert seen.status == Status.REFUSED
    assert seen.reason == "2 TFLOP/s is above the theoretical 1: the clock missed part of the work"
