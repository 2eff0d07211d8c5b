"""Train with one activation: tune its rate, then train once per seed and read the test set.

    python workflow/scripts/measure_activation.py --activation relu \\
        --dataset results/data/dataset.safetensors --output relu.json
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from assay import dataset, job, training, trial
from assay.clock import clock_for
from assay.dataset import CLASSES, Dataset
from assay.job import Job
from assay.network import PLACEBO, perceptron, perceptron_ignoring
from assay.record import Status, Trial
from assay.training import Course, Examples, Recipe
from assay.trial import Protocol, Work
from torch import nn
from torch.nn import functional

TUNING_SEED = 1_000_000  # added to the seed, so that no seed of the comparison tuned the rate


@dataclass(frozen=True)
class Parts:
    """The data set on the device: for fitting, for choosing, and for the one look at the end."""

    training: Examples
    validation: Examples
    test: Examples


def parts(data: Dataset, share: float, seed: int, device: torch.device) -> Parts:
    """Split the training images and bring everything to the device."""
    split = dataset.split(data.labels, share, seed)
    whole = Examples(dataset.pixels(data.images, device), data.labels.to(device).long())
    return Parts(
        training=whole.rows(split.training.to(device)),
        validation=whole.rows(split.validation.to(device)),
        test=Examples(dataset.pixels(data.test_images, device), data.test_labels.to(device).long()),
    )


def network(activation: str, hidden: Sequence[int], seed: int, examples: Examples) -> nn.Sequential:
    """The network of an arm, on the device of the examples."""
    widths = [examples.inputs.shape[1], *hidden, CLASSES]
    build = perceptron_ignoring if activation == PLACEBO else perceptron
    return build(widths, activation, seed).to(examples.inputs.device)


def measure(job: Job) -> list[Trial]:
    """Tuning runs, one run per seed at the best rate, and the time of a step."""
    settings, activation = job.settings, job.axes["activation"]
    data = parts(job.data, settings["validation_share"], settings["seed"], job.device)
    trials = [tune(activation, rate, data, settings) for rate in settings["rates"]]
    learned = [each for each in trials if each.status == Status.OK]
    if not learned:
        return trials
    best: Any = max(learned, key=lambda each: float(str(each.result["validation_accuracy"])))
    rate = best.what["rate"]
    seeds = range(settings["seed"], settings["seed"] + settings["seeds"])
    trials += [compete(activation, rate, seed, data, settings) for seed in seeds]
    return [*trials, step_time(activation, data.training, job)]


def tune(activation: str, rate: float, data: Parts, settings: dict[str, Any]) -> Trial:
    """Train a little at one rate; only the validation part is looked at."""
    seed = settings["seed"] + TUNING_SEED
    recipe = Recipe(rate, settings["tuning_epochs"], settings["batch"], seed)
    arm = network(activation, settings["hidden"], seed, data.training)
    course = training.train(arm, data.training, data.validation, recipe)
    return outcome({"phase": "tuning", "rate": rate, "seed": seed}, course)


def compete(
    activation: str, rate: float, seed: int, data: Parts, settings: dict[str, Any]
) -> Trial:
    """Train with one seed at the chosen rate, then read the test set, once."""
    recipe = Recipe(rate, settings["epochs"], settings["batch"], seed)
    arm = network(activation, settings["hidden"], seed, data.training)
    first = data.training.rows(torch.arange(settings["batch"], device=data.training.labels.device))
    norm = training.gradient_norm(arm, first)
    course = training.train(arm, data.training, data.validation, recipe)
    seen = outcome({"phase": "training", "rate": rate, "seed": seed}, course)
    if seen.status == Status.OK:
        seen.result |= {
            "test_accuracy": training.accuracy(arm, data.test),
            "test_images": len(data.test.labels),
            "dead_share": training.constant_share(arm, data.validation.inputs),
            "gradient_norm_start": norm,
            "weights_sha256": training.digest(arm),
        }
    return seen


def outcome(what: dict[str, Any], course: Course) -> Trial:
    """A training as a trial; one that diverged keeps its epochs and gets a reason."""
    curves = {"loss": [*course.losses], "validation_accuracy": [*course.accuracies]}
    if course.diverged_at is not None:
        return Trial(
            what=what,
            status=Status.DIVERGED,
            reason=f"diverged in step {course.diverged_at} at rate {what['rate']:g}",
            samples={**curves},
            result={"diverged_at_step": course.diverged_at},
        )
    return Trial(
        what=what,
        samples={**curves},
        result={
            "validation_accuracy": course.accuracies[-1],
            "loss": course.losses[-1],
            "train_s": course.seconds,
        },
    )


def step(activation: str, hidden: Sequence[int], batch: Examples) -> Work[Any]:
    """One step of SGD on one batch, as a work to be timed."""

    def prepare(generator: torch.Generator) -> Any:
        arm = network(activation, hidden, 0, batch)
        return arm, torch.optim.SGD(arm.parameters(), lr=1e-6)

    def run(operands: Any) -> None:
        arm, optimizer = operands
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(arm(batch.inputs), batch.labels).backward()
        optimizer.step()

    return Work(prepare, run)


def step_time(activation: str, examples: Examples, job: Job) -> Trial:
    """The time of a step relative to ReLU's, in one paired trial."""
    settings, device = job.settings, job.device
    batch = examples.rows(torch.arange(settings["batch"], device=device))
    anchor, target = (step(name, settings["hidden"], batch) for name in ("relu", activation))
    protocol = Protocol.from_settings(settings["protocol"], device)
    return trial.compare(
        {"phase": "step time"},
        anchor,
        {"target": target},
        protocol,
        clock_for(device),
        settings["seed"],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("activation", {"activation": str}, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
