"""An experiment on accuracy: arms paired by seed, tuned on validation images, tested once.

An arm is a way to build a network from a seed. Each arm's rate is chosen on the validation images
with the same budget; then one run per seed at that rate reads the test images, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from assay.learning import dataset, training
from assay.learning.dataset import Dataset
from assay.learning.training import Course, Examples, Recipe, Stepper
from assay.record import Phase, Status, Trial

TUNING_SEED = 1_000_000  # added to the seed, so that no seed of the comparison tuned the rate

Build = Callable[[int], nn.Sequential]  # a network from its seed, on the device of the data


@dataclass(frozen=True)
class Parts:
    """The data set on the device: for fitting, for choosing, and for the one look at the end."""

    training: Examples
    validation: Examples
    test: Examples

    def map(self, change: Callable[[Examples], Examples]) -> Parts:
        """The same three, each changed."""
        return Parts(*map(change, (self.training, self.validation, self.test)))


def parts(data: Dataset, share: float, seed: int, device: torch.device) -> Parts:
    """Split the training images and bring everything to the device.

    Args:
        data: The data set.
        share: Share of each class of the training images that is for validation.
        seed: Seed of the split.
        device: Where the examples shall stay.
    """
    split = dataset.split(data.labels, share, seed)
    whole = Examples(dataset.pixels(data.images, device), data.labels.to(device).long())
    return Parts(
        training=whole.rows(split.training.to(device)),
        validation=whole.rows(split.validation.to(device)),
        test=Examples(dataset.pixels(data.test_images, device), data.test_labels.to(device).long()),
    )


def tune(build: Build, rate: float, data: Parts, settings: Mapping[str, Any]) -> Trial:
    """Train a little at one rate; only the validation part is looked at.

    Args:
        build: The arm.
        rate: The learning rate to try.
        data: The data set.
        settings: ``seed``, ``tuning_epochs`` and ``batch``.
    """
    seed = settings["seed"] + TUNING_SEED
    recipe = Recipe(rate, settings["tuning_epochs"], settings["batch"], seed)
    course = training.train(build(seed), data.training, data.validation, recipe)
    return outcome({"phase": Phase.TUNING, "rate": rate, "seed": seed}, course)


def best_rate(tuned: Sequence[Trial]) -> float | None:
    """The rate of the best validation accuracy; None if training diverged at every one."""
    found = best(tuned)
    return None if found is None else float(str(found.what["rate"]))


def best(tuned: Sequence[Trial]) -> Trial | None:
    """The trial of the best validation accuracy; None if training diverged in every one."""
    learned = [each for each in tuned if each.status == Status.OK]
    return max(
        learned, key=lambda each: float(str(each.result["validation_accuracy"])), default=None
    )


def seeds(settings: Mapping[str, Any]) -> range:
    """The seeds of the runs that count, the same for every arm."""
    return range(settings["seed"], settings["seed"] + settings["seeds"])


def compete(
    build: Build,
    rate: float,
    seed: int,
    data: Parts,
    settings: Mapping[str, Any],
    stepper: Stepper = training.sgd,
) -> Trial:
    """Train with one seed at the chosen rate, then read the test images, once.

    Args:
        build: The arm.
        rate: Its learning rate.
        seed: Seed of the weights and of the order of the examples.
        data: The data set.
        settings: ``epochs`` and ``batch``.
        stepper: How it makes a step.
    """
    arm = build(seed)
    norm = training.gradient_norm(arm, data.training.head(settings["batch"]))
    recipe = Recipe(rate, settings["epochs"], settings["batch"], seed)
    course = training.train(arm, data.training, data.validation, recipe, stepper)
    seen = outcome({"phase": Phase.TRAINING, "rate": rate, "seed": seed}, course)
    if seen.status == Status.OK:
        seen.result |= {
            "test_accuracy": training.accuracy(arm, data.test),
            "test_images": len(data.test.labels),
            "dead_share": training.constant_share(arm, data.validation.inputs),
            "classes_named": training.classes_named(arm, data.validation.inputs),
            "gradient_norm_start": norm,
            "weights_sha256": training.digest(arm),
        }
    return seen


def learn(build: Build, draw: Callable[[int], Parts], settings: Mapping[str, Any]) -> list[Trial]:
    """Tuning runs of an arm, and one run per seed at the best rate, if there is any.

    Args:
        build: The arm.
        draw: The data set that the run of a seed sees.
        settings: ``rates``, ``seeds``, and those of :func:`tune` and :func:`compete`.
    """
    tuning = draw(settings["seed"] + TUNING_SEED)
    trials = [tune(build, rate, tuning, settings) for rate in settings["rates"]]
    if (rate := best_rate(trials)) is None:
        return trials
    return trials + [compete(build, rate, n, draw(n), settings) for n in seeds(settings)]


def outcome(what: Mapping[str, Any], course: Course) -> Trial:
    """A training as a trial; one that diverged keeps its epochs and gets a reason."""
    curves = {"loss": [*course.losses], "validation_accuracy": [*course.accuracies]}
    if course.diverged_at is not None or course.best is None:
        return Trial(
            what=dict(what),
            status=Status.DIVERGED,
            reason=f"diverged in step {course.diverged_at} at rate {what['rate']:g}",
            samples={**curves},
            result={"diverged_at_step": course.diverged_at},
        )
    return Trial(
        what=dict(what),
        samples={**curves},
        result={
            "epoch": course.best + 1,
            "validation_accuracy": course.accuracies[course.best],
            "loss": course.losses[course.best],
            "train_s": course.seconds,
        },
    )
