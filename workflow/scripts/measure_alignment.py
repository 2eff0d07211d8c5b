"""Time one matrix size against the anchor, for every dtype, memory layout and shape asked for.

python workflow/scripts/measure_alignment.py --device cpu --n 1025 --output 1025.json
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from assay import job, machine, trial
from assay.clock import Clock, CudaClock, clock_for, cuda_graph_s, host_visible_s
from assay.job import Job
from assay.kernel import kernel_name
from assay.record import Status, Trial
from assay.trial import Protocol, Work

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "tf32": torch.float32,  # float32 in memory, rounded to TF32 inside the tensor cores
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
TF32_EPSILON = 2.0**-10  # ten explicit bits of mantissa
PADDING = 64  # elements; a multiple of a cache line and of a GPU's 128 bytes for every dtype
PEAK_TOLERANCE = 1.05
LAUNCH_BLOCK_S = 2e-3

SQUARE = "matrix"  # the shape of the question; the others are named in the settings

Operands = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def dense(n: int, dtype: torch.dtype, place: torch.device) -> torch.Tensor:
    """An uninitialised n × n matrix, rows one after the other."""
    return torch.empty(n, n, dtype=dtype, device=place)


def offset(n: int, dtype: torch.dtype, place: torch.device) -> torch.Tensor:
    """The same, beginning one element after the allocation's aligned start."""
    return torch.empty(n * n + 1, dtype=dtype, device=place)[1:].view(n, n)


def odd_leading_dimension(n: int, dtype: torch.dtype, place: torch.device) -> torch.Tensor:
    """The same, with rows an odd number of elements apart."""
    return torch.empty(n, n + 1 + n % 2, dtype=dtype, device=place)[:, :n]


def padded_leading_dimension(n: int, dtype: torch.dtype, place: torch.device) -> torch.Tensor:
    """The same, with every row beginning at an aligned address."""
    width = math.ceil(n / PADDING) * PADDING
    return torch.empty(n, width, dtype=dtype, device=place)[:, :n]


Layout = Callable[[int, torch.dtype, torch.device], torch.Tensor]
LAYOUTS: dict[str, Layout] = {
    "offset": offset,
    "odd_leading_dimension": odd_leading_dimension,
    "padded_leading_dimension": padded_leading_dimension,
}


def product(n: int, dtype: torch.dtype, place: torch.device, layout: Layout = dense) -> Work[Any]:
    """The product of two n × n matrices of normal random numbers into a third: 2n³ FLOP."""

    def prepare(generator: torch.Generator) -> Operands:
        a, b, out = (layout(n, dtype, place) for _ in range(3))
        return _normal(a, generator), _normal(b, generator), out

    def run(operands: Operands) -> torch.Tensor:
        return torch.mm(operands[0], operands[1], out=operands[2])

    return Work(prepare, run, units=2.0 * n**3)


def batched_product(n: int, dtype: torch.dtype, place: torch.device, batch: int) -> Work[Any]:
    """Each n × n matrix of a batch times the same n × n matrix: 2n³ FLOP each."""

    def prepare(generator: torch.Generator) -> Operands:
        a, out = (torch.empty(batch, n, n, dtype=dtype, device=place) for _ in range(2))
        return _normal(a, generator), _normal(dense(n, dtype, place), generator), out

    def run(operands: Operands) -> torch.Tensor:
        a, b, out = operands
        return torch.bmm(a, b.expand(a.shape[0], -1, -1), out=out)

    return Work(prepare, run, units=2.0 * batch * n**3)


def matrix_vector(n: int, dtype: torch.dtype, place: torch.device) -> Work[Any]:
    """An n × n matrix times a vector: 2n² FLOP, and every element of the matrix is read for two."""

    def prepare(generator: torch.Generator) -> Operands:
        x, out = (torch.empty(n, dtype=dtype, device=place) for _ in range(2))
        return _normal(dense(n, dtype, place), generator), _normal(x, generator), out

    def run(operands: Operands) -> torch.Tensor:
        return torch.mv(operands[0], operands[1], out=operands[2])

    return Work(prepare, run, units=2.0 * n**2)


def _normal(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Fill with normal random numbers, drawn in float32: not every dtype has a generator."""
    return tensor.copy_(torch.randn(tensor.shape, generator=generator, device=tensor.device))


def shaped(shape: str, n: int, dtype: torch.dtype, place: torch.device, batch: int) -> Work[Any]:
    """The product of that shape: ``batched`` or ``vector``."""
    if shape == "batched":
        return batched_product(n, dtype, place, batch)
    return matrix_vector(n, dtype, place)


def bytes_moved(operands: Operands) -> int:
    """Bytes of all operands: what a product reads and writes at least."""
    return sum(tensor.numel() * tensor.element_size() for tensor in operands)


def relative_error(work: Work[Operands], operands: Operands) -> float:
    """Relative Frobenius error of one product against float64.

    The reference is summed in two halves, so that float64 itself is compared with another order
    of summation and not with its own bits.
    """
    work.run(operands)
    place = operands[0].device
    exact = torch.device("cpu") if place.type == "mps" else place  # MPS has no float64
    a, b, out = (matrix.to(exact, torch.float64) for matrix in operands)
    half = a.shape[-1] // 2
    reference = a[..., :half] @ b[:half] + a[..., half:] @ b[half:]
    return float(torch.linalg.norm(out - reference) / torch.linalg.norm(reference))


def tolerance(n: int, name: str) -> float:
    """Largest error of a right product: rounding errors of n terms adding up at random, ε√n."""
    epsilon = TF32_EPSILON if name == "tf32" else torch.finfo(DTYPES[name]).eps
    return float(epsilon * math.sqrt(n))


def measure(job: Job) -> list[Trial]:
    """One trial per dtype, and one per dtype and layout or shape asked for this size."""
    n, settings, place = job.axes["n"], job.settings, job.device
    protocol = Protocol.from_settings(settings["protocol"], place)
    clock = clock_for(place)
    layouts = [each["layout"] for each in settings["layouts"] if each["n"] == n]
    _settle(settings["anchor"], protocol, clock)
    trials = []
    for name in _precisions(settings["dtypes"], place):
        arms = [(None, settings["anchor"], product(n, DTYPES[name], place))]
        for layout in layouts:
            arms.append((layout, n, product(n, DTYPES[name], place, LAYOUTS[layout])))
        for layout, anchor_n, target in arms:
            what = {"dtype": name, "n": n, "layout": layout, "anchor": anchor_n, "shape": SQUARE}
            if layout and trials[-1].status == Status.SKIPPED:  # as slow as the dense product
                trials.append(trials[-1].model_copy(update={"what": what}))
                continue
            anchor = product(anchor_n, DTYPES[name], place)
            trials.append(_trial(what, anchor, target, protocol, clock, settings["seed"]))
    return [*trials, *_other_shapes(job, protocol, clock)]


def _precisions(names: Sequence[str], place: torch.device) -> Iterator[str]:
    """The dtypes that this device has, each after torch was told how to multiply float32."""
    for name in names:
        if name != "tf32" or place.type == "cuda":
            torch.backends.cuda.matmul.fp32_precision = "tf32" if name == "tf32" else "ieee"
            yield name


def _other_shapes(job: Job, protocol: Protocol, clock: Clock) -> list[Trial]:
    """One trial per other shape and dtype asked for this size, each against its own anchor.

    They take the least number of rounds: they stand beside the verdict and do not make it.
    """
    n, settings, place = job.axes["n"], job.settings, job.device
    shapes, anchor_n = settings["shapes"], settings["anchor"]
    if n not in shapes["sizes"]:
        return []
    short = replace(protocol, rounds_most=protocol.rounds_least)
    trials = []
    for name in _precisions(shapes["dtypes"], place):
        for shape in shapes["kinds"]:
            target, anchor = (
                shaped(shape, size, DTYPES[name], place, shapes["batch"]) for size in (n, anchor_n)
            )
            what = {"dtype": name, "n": n, "layout": None, "anchor": anchor_n, "shape": shape}
            trials.append(_trial(what, anchor, target, short, clock, settings["seed"]))
    return trials


def _settle(n: int, protocol: Protocol, clock: Clock) -> None:
    work = product(n, torch.float32, clock.device)
    operands = work.prepare(torch.Generator(device=clock.device).manual_seed(0))
    trial.settle(lambda: work.run(operands), protocol, clock)


def _trial(
    what: dict[str, Any],
    anchor: Work[Operands],
    target: Work[Operands],
    protocol: Protocol,
    clock: Clock,
    seed: int,
) -> Trial:
    """One paired trial with its proofs: a kernel that ran, a right product, a possible speed."""
    try:
        measured = trial.compare(what, anchor, {"target": target}, protocol, clock, seed)
        if measured.status in (Status.OK, Status.CONTENDED):
            _prove(measured, target, clock, seed)
    except (MemoryError, RuntimeError) as error:
        if job.is_out_of_memory(error):
            return Trial(what=what, status=Status.OUT_OF_MEMORY, reason=_first_line(error))
        if is_missing_kernel(error):
            return Trial(what=what, status=Status.UNAVAILABLE, reason=_first_line(error))
        raise
    return measured


def is_missing_kernel(error: BaseException) -> bool:
    """Whether torch says that it has no kernel for this dtype on this device."""
    text = str(error)
    return isinstance(error, NotImplementedError) or "not implemented for" in text


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


def _prove(measured: Trial, target: Work[Operands], clock: Clock, seed: int) -> None:
    """Add kernel, error and throughput to a trial; refuse a figure that cannot be true."""
    name, n = str(measured.what["dtype"]), int(str(measured.what["n"]))
    operands = target.prepare(torch.Generator(device=clock.device).manual_seed(seed))
    error, allowed = relative_error(target, operands), tolerance(n, name)
    peak = machine.peak_flops(clock.device, name)
    measured.result |= {
        "kernel": kernel_name(lambda: target.run(operands), clock.device),
        "relative_error": error,
        "relative_error_allowed": allowed,
        "peak_flops": peak,
        "bytes_per_call": bytes_moved(operands),
    }
    if error > allowed:
        _refuse(measured, f"wrong product: relative error {error:.1e}, at most {allowed:.1e}")
    arms = measured.result["arms"]
    if not isinstance(arms, dict) or not arms:
        return
    time_s = arms["target"]["time_median_s"]
    flops = target.units / time_s
    measured.result["throughput_flops"] = flops
    measured.result["throughput_bytes_per_s"] = bytes_moved(operands) / time_s
    if isinstance(clock, CudaClock):
        measured.result |= _launch_times(lambda: target.run(operands), clock)
    if peak and flops > PEAK_TOLERANCE * peak:
        _refuse(
            measured,
            f"{flops / 1e12:.0f} TFLOP/s is above the theoretical {peak / 1e12:.0f}: "
            "the clock missed part of the work",
        )


def _refuse(measured: Trial, reason: str) -> None:
    measured.status, measured.reason = Status.REFUSED, reason


def _launch_times(call: Callable[[], Any], clock: CudaClock) -> dict[str, float | None]:
    """What a host sees and what a CUDA graph needs, beside the device time of the trial."""
    block = clock.calibrate(call, LAUNCH_BLOCK_S)
    return {
        "host_visible_s": host_visible_s(call, block, clock.device),
        "cuda_graph_s": cuda_graph_s(call, block, clock),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("alignment", {"n": int, "occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
