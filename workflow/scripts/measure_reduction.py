"""Time six implementations of y_k = Σ_ij W_ijk x_i x_j while one size grows, and check them.

    python workflow/scripts/measure_reduction.py --sweep n --output n.json

All implementations are arms of one trial per size. The anchor is `einsum`, the formula as it is
written. What an implementation allocates on its way is part of what it costs, so it is timed, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from assay import job
from assay.job import Job
from assay.modules import layers
from assay.modules.layers import IMPLEMENTATIONS, Implementation
from assay.record import Trial
from assay.timing import allocation, proof, trial
from assay.timing.clock import clock_for
from assay.timing.dtypes import set_precision
from assay.timing.trial import Protocol, Work
from torch import Tensor

ANCHOR = "einsum"
SWEEPS = ("batch", "n", "k")
# Rounding errors of n² terms in float64 are far below, a wrong term is far above.
TOLERANCE = 1e-10
CHECKED = [(1, 1, 1), (2, 3, 2), (5, 8, 1), (3, 7, 4)]  # batch, n, k: small, odd and even

Operands = tuple[Tensor, tuple[Tensor, ...]]  # inputs, what the implementation keeps


@dataclass(frozen=True)
class Sizes:
    """The three sizes of a layer, the number format, and where it is computed."""

    batch: int
    n: int
    k: int
    dtype: torch.dtype
    place: torch.device

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Normal inputs (batch, n), and weights (k, n, n) with which outputs are of order one."""
        inputs = torch.randn(self.batch, self.n, generator=generator, device=self.place)
        weights = torch.randn(self.k, self.n, self.n, generator=generator, device=self.place)
        return inputs.to(self.dtype), weights.to(self.dtype) / self.n


def operands(sizes: Sizes, way: Implementation, generator: torch.Generator) -> Operands:
    """Inputs and weights of such sizes, stored as the implementation wants them."""
    inputs, weights = sizes.draw(generator)
    return inputs, way.store(weights)


def work(sizes: Sizes, way: Implementation) -> Work[Operands]:
    """One forward pass of the layer."""
    return Work(partial(operands, sizes, way), lambda given: way.apply(given[0], *given[1]))


# ---- what is measured ---------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """The checks on the layer, then one trial of all implementations per size."""
    settings, sweep = job.settings, job.axes["sweep"]
    protocol = Protocol.of_study(settings, job.device)
    set_precision("float32")
    dtype = getattr(torch, settings["dtype"])
    swept = [
        Sizes(**(settings["base"] | {sweep: size}), dtype=dtype, place=job.device)
        for size in settings["sizes"][sweep]
    ]
    anchor = work(swept[-1], IMPLEMENTATIONS[ANCHOR])
    trial.settle(anchor, protocol, clock_for(job.device), settings["seed"])
    timed = [compare(sizes, protocol, settings["seed"]) for sizes in swept]
    return [*checks(settings["seed"]), *timed]


def compare(sizes: Sizes, protocol: Protocol, seed: int) -> Trial:
    """All implementations of these sizes in one trial, their memory, and proof that they agree."""
    works = {name: work(sizes, way) for name, way in IMPLEMENTATIONS.items()}
    anchor = works.pop(ANCHOR)
    what: dict[str, Any] = {"batch": sizes.batch, "n": sizes.n, "k": sizes.k, "anchor": ANCHOR}
    what["dtype"] = str(sizes.dtype).removeprefix("torch.")

    def tried() -> Trial:
        seen = trial.compare(what, anchor, works, protocol, clock_for(sizes.place), seed)
        seen.result["memory_bytes"] = memory(sizes, seed)
        errors = disagreement(sizes, seed)
        seen.result["disagreement"] = {**errors}
        worst = max(errors, key=lambda name: errors[name])
        if errors[worst] > TOLERANCE:
            wrong = f"{worst} computes something else: relative error {errors[worst]:.1e}"
            proof.refuse(seen, wrong)
        return seen

    return proof.attempt(what, tried)


def disagreement(sizes: Sizes, seed: int) -> dict[str, float]:
    """Relative Frobenius distance of each implementation from brute force, in float64, on a CPU."""
    exact = replace(sizes, dtype=torch.float64, place=torch.device("cpu"))
    inputs, weights = exact.draw(torch.Generator().manual_seed(seed))
    outputs = {n: way.apply(inputs, *way.store(weights)) for n, way in IMPLEMENTATIONS.items()}
    expected = outputs.pop("brute_force")
    return {name: proof.relative_error(seen, expected) for name, seen in outputs.items()}


def memory(sizes: Sizes, seed: int) -> dict[str, Any]:
    """Bytes that each implementation needs at most beside operands and result, and keeps."""
    found = {}
    for name, way in IMPLEMENTATIONS.items():
        generator = torch.Generator(device=sizes.place).manual_seed(seed)
        inputs, stored = operands(sizes, way, generator)
        way.apply(inputs, *stored)  # libraries allocate at their first call
        peak = allocation.peak_bytes(partial(way.apply, inputs, *stored), sizes.place)
        result = sizes.batch * sizes.k * sizes.dtype.itemsize
        found[name] = {
            "temporary": None if peak is None else max(0, peak - result),
            "parameter": stored[0].numel() * sizes.dtype.itemsize,
        }
    return found


# ---- what is checked ----------------------------------------------------------------------------


def checks(seed: int) -> list[Trial]:
    """That all implementations are one function, with right gradients, and what of W it feels.

    In float64 on a CPU: these are questions of arithmetic, not of a device.
    """
    cpu = torch.device("cpu")
    errors = [disagreement(Sizes(batch, n, k, torch.float64, cpu), seed) for batch, n, k in CHECKED]
    worst = {name: max(each[name] for each in errors) for name in errors[0]}
    return [
        Trial(what={"check": "equal"}, result={"disagreement": {**worst}}),
        Trial(what={"check": "gradcheck"}, result={"right": {**gradients(seed)}}),
        Trial(what={"check": "symmetry"}, result=symmetry(seed)),
    ]


def gradients(seed: int) -> dict[str, bool]:
    """Whether each implementation's gradients in x and W agree with finite differences."""
    sizes = Sizes(2, 3, 2, torch.float64, torch.device("cpu"))
    found = {}
    for name, way in IMPLEMENTATIONS.items():
        inputs, weights = sizes.draw(torch.Generator().manual_seed(seed))

        def layer(x: Tensor, w: Tensor, way: Implementation = way) -> Tensor:
            return way.apply(x, *way.store(w))

        leaves = (inputs.requires_grad_(), weights.requires_grad_())
        found[name] = bool(torch.autograd.gradcheck(layer, leaves, raise_exception=False))
    return found


def symmetry(seed: int) -> dict[str, Any]:
    """What adding to W does to the outputs: an antisymmetric part, and a symmetric one as control.

    Both have the norm of W's own symmetric part. The gradient has no antisymmetric part either, so
    training never changes it.
    """
    sizes = Sizes(64, 16, 8, torch.float64, torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    inputs, weights = sizes.draw(generator)
    _, other = sizes.draw(generator)
    own = layers.symmetric(weights)

    def scaled(part: Tensor) -> Tensor:
        return part * torch.linalg.norm(own) / torch.linalg.norm(part)

    def change(part: Tensor) -> float:
        before, after = layers.einsum(inputs, weights), layers.einsum(inputs, weights + part)
        return float(torch.linalg.norm(after - before) / torch.linalg.norm(before))

    leaf = weights.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(layers.einsum(inputs, leaf).square().sum(), leaf)
    uneven = torch.linalg.norm(layers.antisymmetric(gradient)) / torch.linalg.norm(gradient)
    return {
        "change_by_antisymmetric": change(scaled(layers.antisymmetric(other))),
        "change_by_symmetric": change(scaled(layers.symmetric(other))),
        "antisymmetric_share_of_gradient": float(uneven),
        "parameters": weights.numel(),
        "parameters_that_matter": layers.pack(weights)[0].numel(),
    }


# ---- the job ------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("reduction", {"sweep": job.one_of(SWEEPS), "occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
