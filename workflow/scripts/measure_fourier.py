"""Learn from some Fourier coefficients of each image, and check the layer that returns them.

    python workflow/scripts/measure_fourier.py --selection leading \\
        --dataset results/data/dataset.safetensors --output leading.json

`leading` keeps the lowest frequencies; `random` is the control, which keeps as many at positions
drawn by the seed. With all coefficients kept the two are the same, and must learn the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from assay import job
from assay.job import Job
from assay.learning import dataset, experiment
from assay.learning.dataset import CLASSES
from assay.learning.experiment import Parts
from assay.learning.network import perceptron
from assay.learning.training import Examples
from assay.modules import layers
from assay.modules.layers import LeadingFourier
from assay.record import Trial
from torch import Tensor, nn

VECTORS = 1000  # random inputs of a check
STEPS = 20  # of SGD, to see what moves

Selection = Callable[[int, int, int], Tensor]  # coefficients, kept, seed: positions, ascending


def leading(count: int, kept: int, seed: int) -> Tensor:
    """The lowest frequencies; the seed changes nothing."""
    return torch.arange(kept)


def at_random(count: int, kept: int, seed: int) -> Tensor:
    """As many, wherever the seed puts them."""
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return drawn[:kept].sort().values


SELECTIONS: dict[str, Selection] = {"leading": leading, "random": at_random}


# ---- learning ------------------------------------------------------------------------------------


def spectrum(images: Parts) -> Parts:
    """All coefficients of every image, each with mean 0 and variance 1 over the training images.

    The layer has no parameters, so that it is applied once, ahead of the training. Without the
    scaling, coefficients of little energy would be slow to learn from, whatever they tell.

    Returns:
        Inputs of shape (images, coefficients, 2), the real features of each coefficient.
    """
    layer = LeadingFourier(images.training.inputs.shape[1])
    whole = images.map(lambda each: Examples(torch.view_as_real(layer(each.inputs)), each.labels))
    mean, spread = whole.training.inputs.mean(0), whole.training.inputs.std(0)
    scale = torch.where(spread > 1e-6, 1 / spread, 0.0)  # some are zero for every image
    return whole.map(lambda each: Examples((each.inputs - mean) * scale, each.labels))


def select(coefficients: Parts, positions: Tensor) -> Parts:
    """The data set with only these coefficients."""

    def chosen(examples: Examples) -> Examples:
        own = positions.to(examples.inputs.device)
        return Examples(examples.inputs[:, own].flatten(1), examples.labels)

    return coefficients.map(chosen)


def network(hidden: Sequence[int], device: torch.device, inputs: int, seed: int) -> nn.Sequential:
    """A ReLU perceptron on so many features."""
    return perceptron([inputs, *hidden, CLASSES], "relu", seed).to(device)


def measure(job: Job) -> list[Trial]:
    """The checks, the energy of the images by coefficient, and the runs by kept fraction."""
    settings, choose = job.settings, SELECTIONS[job.axes["selection"]]
    images = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    count = layers.coefficients(images.training.inputs.shape[1])
    trials = [*checks(settings["checked_sizes"], settings["seed"]), energy(images.training.inputs)]
    coefficients = spectrum(images)
    for fraction in settings["kept"]:
        kept = max(1, round(fraction * count))
        build = partial(network, settings["hidden"], job.device, 2 * kept)

        def draw(seed: int, kept: int = kept) -> Parts:
            return select(coefficients, choose(count, kept, seed))

        runs = experiment.learn(build, draw, settings)
        for run in runs:
            run.what |= {"fraction": fraction, "kept": kept}
        trials += runs
    return trials


def energy(inputs: Tensor) -> Trial:
    """Share of the images' energy by coefficient, with and without their mean image."""
    layer = LeadingFourier(inputs.shape[1])

    def shares(images: Tensor) -> list[float | bool | str | None]:
        found = layers.energies(layer(images), inputs.shape[1]).mean(0).cpu().double()
        return [*(found / found.sum()).tolist()]

    return Trial(
        what={"check": "energy", "images": len(inputs)},
        samples={"share": shares(inputs), "share_centred": shares(inputs - inputs.mean(0))},
    )


# ---- checks --------------------------------------------------------------------------------------


def checks(sizes: Sequence[int], seed: int) -> list[Trial]:
    """What must hold for the layer, at odd and even sizes, and the mistakes beside it.

    In float64 on a CPU: these are questions of arithmetic, not of a device.
    """
    return [
        *(Trial(what={"check": "transform", "n": n}, result=transform(n, seed)) for n in sizes),
        Trial(what={"check": "batch"}, result=mixing(seed)),
        Trial(what={"check": "data"}, result=detached(seed)),
    ]


def _normals(rows: int, n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, n, generator=generator, dtype=torch.float64)


def transform(n: int, seed: int) -> dict[str, Any]:
    """Parseval, inverse and gradient of the layer, and what ``fft[:n // 2]`` loses.

    The mistake's error is that of putting back together what it kept: the root of the mean over
    random inputs, beside what is lost in theory, one number in n of an even size and two of an odd
    one.
    """
    layer, inputs = LeadingFourier(n), _normals(VECTORS, n, seed)
    kept = layer(inputs)
    halved = torch.fft.fft(inputs, norm="ortho")[:, : n // 2]
    back = torch.fft.irfft(halved, n=n, norm="ortho")
    leaf = _normals(2, n, seed).requires_grad_()
    norms = inputs.square().sum(1)
    return {
        "coefficients": kept.shape[1],
        "parseval_error": float((layers.energies(kept, n).sum(1) / norms - 1).abs().max()),
        "inverse_error": _distance(layer.inverse(kept), inputs),
        "gradient_right": bool(torch.autograd.gradcheck(layer, leaf, raise_exception=False)),
        "halved_coefficients": halved.shape[1],
        "halved_error": _distance(back, inputs),
        "halved_error_expected": math.sqrt((2 if n % 2 else 1) / n),
        "halved_error_alternating": _alternating(n),
    }


def _distance(seen: Tensor, expected: Tensor) -> float:
    """Root of the mean over rows of the squared relative distance."""
    squares = (seen - expected).square().sum(1) / expected.square().sum(1)
    return float(squares.mean().sqrt())


def _alternating(n: int) -> float | None:
    """The same error for 1, −1, 1, … of an even size: all of it."""
    if n % 2:
        return None
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(n // 2)[None]
    halved = torch.fft.fft(signs, norm="ortho")[:, : n // 2]
    return _distance(torch.fft.irfft(halved, n=n, norm="ortho"), signs)


def mixing(seed: int) -> dict[str, Any]:
    """How much the first sample's output moves when the second sample of its batch is another."""
    batch, other = _normals(4, 8, seed), _normals(4, 8, seed + 1)
    changed = batch.clone()
    changed[1] = other[1]

    def moved(layer: Callable[[Tensor], Tensor]) -> float:
        before, after = layer(batch)[0], layer(changed)[0]
        return float(torch.linalg.norm(after - before) / torch.linalg.norm(before))

    return {
        "moved_by_layer": moved(LeadingFourier(8)),
        "moved_by_fftn": moved(lambda x: torch.fft.fftn(x, norm="ortho")[:, :5]),
    }


def detached(seed: int) -> dict[str, Any]:
    """What learns in a network whose middle layer computes with ``.data``, and in the right one."""
    result: dict[str, Any] = {"steps": STEPS}
    for name, kind in (("right", nn.Linear), ("data", layers.DetachedLinear)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), kind(8, 8), nn.Tanh(), nn.Linear(8, 1))
        result |= {f"{key}_{name}": value for key, value in _train_a_little(net, seed).items()}
    return result


def _train_a_little(net: nn.Sequential, seed: int) -> dict[str, Any]:
    inputs = _normals(256, 8, seed).float()
    targets = inputs[:, :1] * inputs[:, 1:2]
    before = [net[i].weight.detach().clone() for i in (0, 2)]  # the first, and the one in question
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.mse_loss(net(inputs), targets).backward()
        optimizer.step()
    moved = [
        float((net[i].weight.detach() - old).abs().max())
        for i, old in zip((0, 2), before, strict=True)
    ]
    return {
        "has_gradient": net[2].weight.grad is not None,
        "moved": moved[1],
        "moved_before_it": moved[0],
    }


# ---- the job -------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"selection": job.one_of(SELECTIONS)}
    job.run("fourier", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
