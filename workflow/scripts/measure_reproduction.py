"""Run one published method as it was described, and beside it the right one.

    python workflow/scripts/measure_reproduction.py --exercise sizes \\
        --dataset results/data/dataset.safetensors --output sizes.json

A record has trials of two methods, ``as published`` (room :mod:`assay.published`) and
``corrected``. Each holds its figures under the names that ``resources/published`` gives to the
published ones, in seconds, as shares, or as numbers of things.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from assay import job
from assay.device import Unavailable
from assay.job import Job
from assay.learning import dataset
from assay.learning.network import perceptron
from assay.learning.training import TIMED_RATE
from assay.published import flawed, steps
from assay.published.bars import activations, initialisers, rates
from assay.published.figures import AS_PUBLISHED, CORRECTED, Figure, add_ratio, compare, of_method
from assay.published.steps import BATCH, RATE, Step, widths
from assay.record import Status, Trial
from assay.timing.clock import HostClock, clock_for
from assay.timing.dtypes import set_precision
from assay.timing.trial import Work
from pydantic import JsonValue
from torch import Tensor, nn

# What the published methods fix. What they leave open, and what only costs time, are settings.
SIZES = (1024, 1025, 1026, 1028, 1032)
DEPTHS = (1, 5)  # of the five that were published
EPOCHS = 10
STEPS = math.ceil(60_000 / BATCH)  # in an epoch
WORKERS = 4
SIDE = 1000  # rows and columns on which CPU and GPU were compared
NORMS, NORM_SIDE = 1000, 100
LARGE = (5000, 10_000)  # rows and columns of the products on GPUs

COMPARED_STEPS = 5  # in which two implementations must have the same losses
AGREEMENT = 1e-4  # largest relative difference between them

# ---- framework: the framework against an implementation from scratch -----------------------------


IMPLEMENTATIONS: dict[str, Callable[[nn.Sequential, float], Step]] = {
    "framework": steps.of_framework,
    "scratch": lambda network, rate: steps.from_scratch(steps.weights_of(network), rate),
}


def framework(job: Job) -> list[Trial]:
    """Whole trainings as published, then the steps alone."""
    return [published_trainings(job), *(steps_alone(job, depth) for depth in DEPTHS)]


def published_trainings(job: Job) -> Trial:
    """One run of each training, the loader included, first the framework's, then from scratch.

    Each is one epoch or its beginning, from which the published number of epochs is extrapolated.
    """
    seed, place = job.settings["seed"], job.device
    count = min(job.settings["loader_images"], len(job.data.labels))
    images, labels = job.data.images[:count], job.data.labels[:count]
    torch.manual_seed(seed)
    figures: dict[str, Figure] = {}
    for depth in DEPTHS:
        step = steps.of_framework(perceptron(widths(depth), "relu", seed).to(place), RATE)
        figures[f"framework, depth {depth}"] = _published_training(step, images, labels, place)
    for depth in DEPTHS:
        step = steps.from_scratch(steps.small_normal(widths(depth), place), RATE)
        figures[f"scratch, depth {depth}"] = _published_training(step, images, labels, place)
    return of_method(AS_PUBLISHED, figures, images=count, epochs=1)


def _published_training(step: Step, images: Tensor, labels: Tensor, place: torch.device) -> Figure:
    """Seconds of a whole training, extrapolated from one epoch or its beginning."""
    from assay.published import textbook  # costs most of a second; only this exercise needs it

    timed = textbook.epoch(
        lambda x, y: step(x.to(place), y.to(place)),
        textbook.loader(images, labels, BATCH, WORKERS),
    )
    whole = EPOCHS * timed.whole_s(STEPS)
    return {"value": whole, "seconds_timed": timed.first_s + timed.rest_s}


def steps_alone(job: Job, depth: int) -> Trial:
    """The steps of both, from the same weights on the same batch, in turns."""
    place = job.device
    images = dataset.pixels(job.data.images[:BATCH], place)
    labels = job.data.labels[:BATCH].to(place).long()

    def network() -> nn.Sequential:
        return perceptron(widths(depth), "relu", job.settings["seed"]).to(place)

    if difference := disagreement(network, images, labels):
        what: dict[str, JsonValue] = {"method": CORRECTED, "depth": depth}
        return Trial(what=what, status=Status.REFUSED, reason=difference)
    works: dict[str, Work[Any]] = {
        f"{name}, depth {depth}": Work(
            lambda _, make=make: make(network(), TIMED_RATE), lambda step: step(images, labels)
        )
        for name, make in IMPLEMENTATIONS.items()
    }
    measured = compare(job, HostClock(place), works, per_call=EPOCHS * STEPS)
    add_ratio(measured, f"scratch, depth {depth}", f"scratch / framework, depth {depth}")
    return measured


def disagreement(
    network: Callable[[], nn.Sequential], images: Tensor, labels: Tensor
) -> str | None:
    """Why the two implementations do not learn the same; None if they do."""
    both = [make(network(), RATE) for make in IMPLEMENTATIONS.values()]
    for i in range(COMPARED_STEPS):
        left, right = (float(step(images, labels)) for step in both)
        if not math.isclose(left, right, rel_tol=AGREEMENT):
            return f"the losses of step {i} differ: {left:.6g} and {right:.6g}"
    return None


# ---- sizes: matrix products near 1024 ------------------------------------------------------------


def matrix_vector(n: int, place: torch.device) -> Work[Any]:
    """An n × n matrix times one column, as published, without allocating."""

    def prepare(generator: torch.Generator) -> tuple[Tensor, ...]:
        matrix = torch.rand(n, n, generator=generator, device=place)
        return matrix, matrix[:, :1].clone(), torch.empty(n, 1, device=place)

    return Work(prepare, lambda operands: torch.mm(*operands[:2], out=operands[2]))


def one_cold_sample(place: torch.device) -> dict[int, float]:
    """Seconds of one product of each size before anything else has started the library.

    On a CPU in a process of its own: this one has started it, to see how many threads compute. A
    GPU's starts only now, and may refuse a second process.
    """
    if place.type != "cpu":
        return flawed.one_cold_sample(SIZES, place)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(flawed.one_cold_sample, SIZES, place).result()


def sizes(job: Job) -> list[Trial]:
    """One cold sample of each size; then the same products warm, in turns."""
    place = job.device
    cold = one_cold_sample(place)
    works = {f"n {n}": matrix_vector(n, place) for n in SIZES}
    measured = compare(job, clock_for(place), works)
    ratios: Any = measured.result.get("ratios")
    if ratios:  # of the others to the first, whose reciprocal the middle one gives
        value, high, low = (
            1 / statistics.median(ratios[f"n {n}"][key] for n in SIZES[1:])
            for key in ("ratio", "ratio_low", "ratio_high")
        )
        right: Any = measured.result["figures"]
        right[f"{SIZES[0]} / the other sizes"] = {"value": value, "low": low, "high": high}
    figures: dict[str, Figure] = {f"n {n}": {"value": seconds} for n, seconds in cold.items()}
    return [of_method(AS_PUBLISHED, figures), measured]


# ---- devices: a large and a small computation on CPU and GPU -------------------------------------


def product(n: int, place: torch.device) -> Work[Any]:
    """The product of two n × n matrices, without allocating."""

    def prepare(generator: torch.Generator) -> tuple[Tensor, ...]:
        # One clock may time works of two devices, and a generator belongs to one.
        own = torch.Generator(place).manual_seed(generator.initial_seed())
        left, right = (torch.rand(n, n, generator=own, device=place) for _ in range(2))
        return left, right, torch.empty(n, n, device=place)

    return Work(prepare, lambda operands: torch.mm(*operands[:2], out=operands[2]))


def devices(job: Job) -> list[Trial]:
    """One multiplication by elements, with all that surrounds it; then products of matrices."""
    places = {"CPU": torch.device("cpu")}
    if job.device.type != "cpu":
        return small_and_large(places | {"GPU": job.device}, job)
    missing = Trial(
        what={"compared": "CPU with GPU"},
        status=Status.UNAVAILABLE,
        reason=f"needs a GPU beside the CPU, and this is {job.device}",
    )
    return [*small_and_large(places, job), missing]


def small_and_large(places: Mapping[str, torch.device], job: Job) -> list[Trial]:
    """Both methods on these devices; the products of two are compared size by size."""
    asked = {f"{SIDE}²": SIDE, "1×1": 1}
    with open(os.devnull, "w", encoding="utf-8") as sink:
        figures: dict[str, Figure] = {
            f"{name}, {size}": {"value": flawed.multiply_and_print(n, place, sink)}
            for size, n in asked.items()
            for name, place in places.items()
        }
    trials, clock = [of_method(AS_PUBLISHED, figures)], HostClock(job.device)
    if len(places) == 1:
        works = {f"CPU, {size}": product(asked[size], job.device) for size in reversed(asked)}
        measured = compare(job, clock, works)
        add_ratio(measured, f"CPU, {SIDE}²", f"CPU: {SIDE}² / 1×1")
        return [*trials, measured]
    for size, n in asked.items():
        works = {f"{name}, {size}": product(n, places[name]) for name in ("GPU", "CPU")}
        measured = compare(job, clock, works)
        add_ratio(measured, f"CPU, {size}", f"CPU / GPU, {size}")
        trials.append(measured)
    return trials


# ---- norm_log: a log of 1000 norms ---------------------------------------------------------------


def norm_log(job: Job) -> list[Trial]:
    """Two loops that multiply elements, one of which prints; the right ways are a study's own."""
    generator = torch.Generator(job.device).manual_seed(job.settings["seed"])
    x = torch.randn(NORM_SIDE, NORM_SIDE, generator=generator, device=job.device)
    with open(os.devnull, "w", encoding="utf-8") as sink:
        figures: dict[str, Figure] = {
            "with log": {"value": flawed.norms_printed(x, NORMS, sink)},
            "without log": {"value": flawed.norms_dropped(x, NORMS, sink)},
        }
    finite, infinite_from = flawed.finite_norms(x, NORMS)
    figures["finite norms"] = {"value": finite / NORMS}
    return [of_method(AS_PUBLISHED, figures, infinite_from=infinite_from, norms=NORMS)]


# ---- two_gpus: large products under a clock that does not wait -----------------------------------

Operands = tuple[Tensor, ...]


def two_gpus(job: Job) -> list[Trial]:
    """Products on one GPU and on two, timed without waiting for them; then with.

    Raises:
        Unavailable: There is no such GPU.
    """
    place = job.device
    if place.type != "cuda":
        raise Unavailable(
            f"needs an NVIDIA GPU, and this is {place}: a CPU has finished a product when the call "
            "returns, so that a clock which does not wait misses nothing"
        )
    set_precision("float32")
    trials = [each for n in LARGE for each in on_gpus(f"{n}², one GPU", n, [place], job)]
    count = torch.cuda.device_count()
    name, n = f"{LARGE[-1]}², two GPUs", LARGE[-1]
    if count < 2:
        reason = f"needs two GPUs, found {count}"
        lack = Trial(what={"figure": name}, status=Status.UNAVAILABLE, reason=reason)
        return [*trials, lack]
    other = torch.device("cuda", ((place.index or 0) + 1) % count)
    return [*trials, *on_gpus(name, n, [place, other], job)]


def on_gpus(name: str, n: int, places: Sequence[torch.device], job: Job) -> list[Trial]:
    """A product on each of these GPUs, under both clocks."""

    def prepare(_: torch.Generator) -> list[Operands]:
        return [product(n, each).prepare(torch.Generator().manual_seed(0)) for each in places]

    def run(operands: Sequence[Operands]) -> None:
        for left, right, out in operands:
            torch.mm(left, right, out=out)
        for each in places:
            HostClock(each).synchronize()

    operands = prepare(torch.Generator())
    run(operands)  # starts the library
    asked = flawed.unsynchronised_s([(left, right) for left, right, _ in operands])
    run(operands)
    del operands
    work: Work[Any] = Work(prepare, run)
    wrong = of_method(AS_PUBLISHED, {name: {"value": asked}})
    return [wrong, compare(job, HostClock(places[0]), {name: work})]


# ---- the job -------------------------------------------------------------------------------------

ACCURACIES = (activations, initialisers, rates)
EXERCISES: dict[str, Callable[[Job], list[Trial]]] = {
    exercise.__name__: exercise
    for exercise in (framework, sizes, *ACCURACIES, devices, norm_log, two_gpus)
}


def measure(job: Job) -> list[Trial]:
    """Both methods of one exercise."""
    return EXERCISES[job.axes["exercise"]](job)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"exercise": job.one_of(EXERCISES), "occasion": int}
    job.run("reproduction", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
