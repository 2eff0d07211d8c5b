"""Run one published method as it was described, and beside it the right one.

    python workflow/scripts/measure_reproduction.py --exercise sizes \\
        --dataset results/data/dataset.safetensors --output sizes.json

A record has trials of two methods, ``as published`` (room
:mod:`assay.published`) and ``corrected``. Each holds its figures under the names that
``resources/published`` gives to the published ones, in seconds, as shares, or as numbers of things.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from assay import job, statistic
from assay.device import Unavailable
from assay.job import Job
from assay.learning import dataset, experiment, training
from assay.learning.dataset import CLASSES
from assay.learning.experiment import Parts
from assay.learning.network import perceptron, perceptron_ignoring
from assay.learning.training import Examples, Recipe
from assay.published import flawed
from assay.record import Status, Trial
from assay.timing import trial
from assay.timing.clock import Clock, HostClock, clock_for
from assay.timing.trial import Protocol, Work
from pydantic import JsonValue
from torch import Tensor, nn
from torch.nn import functional

AS_PUBLISHED, CORRECTED = "as published", "corrected"

# What the published methods fix. What they leave open, and what only costs time, are settings.
SIZES = (1024, 1025, 1026, 1028, 1032)
WIDTHS = (256, 128, 64, 32, 16)  # of the hidden layers; a network of depth d has the first d
DEPTHS = (1, 5)  # of the five that were published
EPOCHS = 10
BATCH, RATE = 256, 0.1
STEPS = math.ceil(60_000 / BATCH)  # in an epoch
WORKERS = 4
ACTIVATIONS = ("relu", "sigmoid", "tanh", "leaky_relu", "prelu")
RATES = (0.001, 0.01, 0.03, 0.1, 0.3, 1)
SIDE = 1000  # rows and columns on which CPU and GPU were compared
NORMS, NORM_SIDE = 1000, 100
LARGE = (5000, 10_000)  # rows and columns of the products on GPUs

TIMING_RATE = 1e-6  # so small that thousands of timed steps leave the weights about as they are
COMPARED_STEPS = 5  # in which two implementations must have the same losses
AGREEMENT = 1e-4  # largest relative difference between them
PIXELS = 784

Figure = dict[str, JsonValue]  # value, and where there is an interval low and high
Step = Callable[[Tensor, Tensor], Tensor]  # one step on a batch of images and labels: its loss


def found(method: str, figures: Mapping[str, Figure], **more: JsonValue) -> Trial:
    """The figures of one method, as a trial."""
    return Trial(what={"method": method}, result={"figures": dict(figures), **more})


# ---- what the corrected timings share ------------------------------------------------------------


def compare(job: Job, clock: Clock, works: Mapping[str, Work[Any]], per_call: float = 1.0) -> Trial:
    """One paired trial of works, the first of which is the anchor.

    Args:
        job: The job.
        clock: The clock of all works.
        works: The works by the names of their figures.
        per_call: How many calls one figure stands for.
    """
    settings = job.settings
    protocol = replace(
        Protocol.from_settings(settings["protocol"], job.device),
        cap_s=settings["cap_s"],
        half_width=settings["half_width"],
    )
    (anchor, first), *others = works.items()
    ready = first.prepare(torch.Generator(clock.device).manual_seed(settings["seed"]))
    trial.settle(lambda: first.run(ready), protocol, clock)
    what: dict[str, JsonValue] = {"method": CORRECTED, "anchor": anchor}
    measured = trial.compare(what, first, dict(others), protocol, clock, settings["seed"])
    # The protocol calls the budget by its own name; here it is the study's.
    measured.reason = measured.reason and measured.reason.replace("protocol.cap_s", "cap_s")
    arms: Any = measured.result.get("arms", {})
    measured.result["figures"] = {
        anchor if name == trial.ANCHOR else name: {
            key: per_call * arm[f"time_{part}_s"]
            for key, part in (("value", "median"), ("low", "low"), ("high", "high"))
        }
        for name, arm in arms.items()
        if name != trial.TWIN
    }
    return measured


def add_ratio(measured: Trial, target: str, name: str) -> None:
    """Add the paired ratio of a target to the anchor to the figures."""
    ratios: Any = measured.result.get("ratios")
    if not ratios:
        return
    value, low, high = (ratios[target][key] for key in ("ratio", "ratio_low", "ratio_high"))
    figures: Any = measured.result["figures"]
    figures[name] = {"value": value, "low": low, "high": high}


# ---- framework: the framework against an implementation from scratch -----------------------------


def of_framework(network: nn.Module, rate: float) -> Step:
    """One step with the framework's layers and its optimiser."""
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        loss = functional.cross_entropy(network(images.flatten(1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


Layers = list[tuple[Tensor, Tensor]]  # weight (fan-in, fan-out) and bias of each layer


def from_scratch(layers: Layers, rate: float) -> Step:
    """The same step from scratch: tensors, automatic differentiation, hand-written ReLU and SGD."""
    parameters = [each.requires_grad_() for layer in layers for each in layer]

    def step(images: Tensor, labels: Tensor) -> Tensor:
        outputs = images.flatten(1)
        for i, (weight, bias) in enumerate(layers):
            outputs = outputs @ weight + bias
            if i < len(layers) - 1:
                outputs = torch.max(outputs, torch.zeros_like(outputs))
        loss = functional.cross_entropy(outputs, labels)
        loss.backward()
        with torch.no_grad():
            for each in parameters:
                assert each.grad is not None
                each -= rate * each.grad
                each.grad.zero_()
        return loss.detach()

    return step


def small_normal(widths: Sequence[int], place: torch.device) -> Layers:
    """Weights as the textbook's scratch networks have them: N(0, 0.01), biases zero."""
    return [
        (0.01 * torch.randn(fan_in, fan_out, device=place), torch.zeros(fan_out, device=place))
        for fan_in, fan_out in pairwise(widths)
    ]


def weights_of(network: nn.Sequential) -> Layers:
    """A copy of a network's weights and biases."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    return [(each.weight.detach().T.clone(), each.bias.detach().clone()) for each in linear]


def framework(job: Job) -> list[Trial]:
    """Whole trainings as published, then the steps alone."""
    return [published_trainings(job), *(steps_alone(job, depth) for depth in DEPTHS)]


def widths(depth: int) -> list[int]:
    """Features from the input to the output of a network with so many hidden layers."""
    return [PIXELS, *WIDTHS[:depth], CLASSES]


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
        step = of_framework(perceptron(widths(depth), "relu", seed).to(place), RATE)
        figures[f"framework, depth {depth}"] = _published_training(step, images, labels, place)
    for depth in DEPTHS:
        step = from_scratch(small_normal(widths(depth), place), RATE)
        figures[f"scratch, depth {depth}"] = _published_training(step, images, labels, place)
    return found(AS_PUBLISHED, figures, images=count, epochs=1)


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
        f"framework, depth {depth}": Work(
            lambda _: of_framework(network(), TIMING_RATE), lambda step: step(images, labels)
        ),
        f"scratch, depth {depth}": Work(
            lambda _: from_scratch(weights_of(network()), TIMING_RATE),
            lambda step: step(images, labels),
        ),
    }
    measured = compare(job, HostClock(place), works, per_call=EPOCHS * STEPS)
    add_ratio(measured, f"scratch, depth {depth}", f"scratch / framework, depth {depth}")
    return measured


def disagreement(
    network: Callable[[], nn.Sequential], images: Tensor, labels: Tensor
) -> str | None:
    """Why the two implementations do not learn the same; None if they do."""
    steps = of_framework(network(), RATE), from_scratch(weights_of(network()), RATE)
    for i in range(COMPARED_STEPS):
        left, right = (float(step(images, labels)) for step in steps)
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


def sizes(job: Job) -> list[Trial]:
    """One cold sample of each size; then the same products warm, in turns."""
    place = job.device
    cold = flawed.one_cold_sample(SIZES, place)  # before anything else has started the library
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
    return [found(AS_PUBLISHED, figures), measured]


# ---- activations, initialisers, rates: bars of accuracy ------------------------------------------


def parts(job: Job) -> Parts:
    """The data set on the device."""
    share, seed = job.settings["validation_share"], job.settings["seed"]
    return experiment.parts(job.data, share, seed, job.device)


def learned(network: nn.Sequential, rate: float, data: Parts, job: Job) -> nn.Sequential:
    """The network, trained in place as every network of these exercises is."""
    settings = job.settings
    recipe = Recipe(rate, settings["epochs"], settings["batch"], settings["seed"])
    training.train(network, data.training, data.validation, recipe)
    return network


def accuracy(network: nn.Sequential, examples: Examples) -> Figure:
    """Accuracy with the interval that the number of images leaves (Wilson's, 95 %)."""
    share, count = training.accuracy(network, examples), len(examples.labels)
    seen = statistic.wilson_share(round(share * count), count)
    return {"value": share, "low": seen.low, "high": seen.high, "images": count}


@torch.no_grad()
def paired_difference(network: nn.Sequential, seen: Examples, reference: Examples) -> Figure:
    """Accuracy on some examples minus that on others that are the same images, image by image."""
    right, of_reference = (
        (network(each.inputs).argmax(1) == each.labels).double() for each in (seen, reference)
    )
    mean = statistic.mean_of_many((right - of_reference).cpu().numpy())
    return {"value": mean.value, "low": mean.low, "high": mean.high}


Build = Callable[[Sequence[int], str, int], nn.Sequential]


def activations(job: Job) -> list[Trial]:
    """Bars of a function that ignores its argument, on raw pixels; then of one that does not."""
    data = parts(job)
    raw = flawed.raw_pixels(data.test)
    return [
        bars(AS_PUBLISHED, perceptron_ignoring, data, raw, job),
        bars(CORRECTED, perceptron, data, data.test, job),
    ]


def bars(method: str, build: Build, data: Parts, test: Examples, job: Job) -> Trial:
    """One network per activation asked for, and how many different ones that makes."""
    figures: dict[str, Figure] = {}
    networks = set()
    for name in ACTIVATIONS:
        network = build(widths(1), name, job.settings["seed"]).to(job.device)
        figures[name] = accuracy(learned(network, RATE, data, job), test)
        networks.add(training.digest(network))
    figures["networks compared"] = {"value": len(networks)}
    return found(method, figures)


INITIALISERS: dict[str, Callable[[Tensor], Any]] = {
    "Xavier": nn.init.xavier_uniform_,
    "uniform": nn.init.uniform_,  # between 0 and 1
    "normal": nn.init.normal_,  # mean 0, standard deviation 1
}
LAZY = ("uniform", "normal")  # which of them the published code gives to lazy layers only


def initialisers(job: Job) -> list[Trial]:
    """Bars of networks that nothing initialised, on raw pixels; then of initialised networks."""
    data, seed = parts(job), job.settings["seed"]
    raw = flawed.raw_pixels(data.test)
    wrong: dict[str, Figure] = {}
    right: dict[str, Figure] = {}
    untouched: list[JsonValue] = []

    def network(kind: type[nn.Module], fill: Callable[[Tensor], Any]) -> nn.Sequential:
        start = perceptron(widths(1), "relu", seed).to(job.device)
        before = training.digest(start)
        flawed.initialise(start, kind, fill, seed)
        untouched.extend([fill.__name__] if training.digest(start) == before else [])
        return learned(start, RATE, data, job)

    for name, fill in INITIALISERS.items():
        filled = network(nn.Linear, fill)
        right[name] = right[f"{name}, own curve"] = accuracy(filled, data.test)
        right[f"{name}: bar − own curve"] = {"value": 0.0}  # one and the same
        shown = network(nn.LazyLinear, fill) if name in LAZY else filled
        wrong[name] = accuracy(shown, raw)
        wrong[f"{name}, own curve"] = accuracy(shown, data.test)
        wrong[f"{name}: bar − own curve"] = paired_difference(shown, raw, data.test)
    return [found(AS_PUBLISHED, wrong, untouched=untouched), found(CORRECTED, right)]


def rates(job: Job) -> list[Trial]:
    """Bars one place off and on raw pixels; then every network's own accuracy."""
    data, seed = parts(job), job.settings["seed"]
    networks = [
        learned(perceptron(widths(1), "relu", seed).to(job.device), rate, data, job)
        for rate in RATES
    ]
    names = [f"rate {rate:g}" for rate in RATES]
    raw = flawed.raw_pixels(data.test)
    bars = flawed.shifted([accuracy(network, raw) for network in networks])
    own = [accuracy(network, data.test) for network in networks]
    curves = [f"{name}, own curve" for name in names]
    wrong = dict(zip(names, bars, strict=True)) | dict(zip(curves, own, strict=True))
    return [found(AS_PUBLISHED, wrong), found(CORRECTED, dict(zip(names, own, strict=True)))]


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
    trials, clock = [found(AS_PUBLISHED, figures)], HostClock(job.device)
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
    return [found(AS_PUBLISHED, figures, infinite_from=infinite_from, norms=NORMS)]


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
    torch.backends.cuda.matmul.fp32_precision = "ieee"  # float32 means float32
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
    wrong = found(AS_PUBLISHED, {name: {"value": asked}})
    return [wrong, compare(job, HostClock(places[0]), {name: work})]


# ---- the job -------------------------------------------------------------------------------------

EXERCISES: dict[str, Callable[[Job], list[Trial]]] = {
    "framework": framework,
    "sizes": sizes,
    "activations": activations,
    "initialisers": initialisers,
    "rates": rates,
    "devices": devices,
    "norm_log": norm_log,
    "two_gpus": two_gpus,
}


def exercise(name: str) -> str:
    """A name of an exercise.

    Raises:
        argparse.ArgumentTypeError: There is none of that name.
    """
    if name not in EXERCISES:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(EXERCISES)}")
    return name


def measure(job: Job) -> list[Trial]:
    """Both methods of one exercise."""
    return EXERCISES[job.axes["exercise"]](job)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("reproduction", {"exercise": exercise}, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
