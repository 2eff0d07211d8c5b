"""Reuse two layers of a trained network for other classes, with so many images to learn from.

    python workflow/scripts/measure_transfer.py --images 100 \\
        --dataset results/data/dataset.safetensors --output 100.json

The donor has learned the first five classes. The network that gets its first two layers learns
the other five: with the layers copied, copied and frozen, assigned (which shares their storage
with the donor), or from scratch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from assay import job
from assay.job import Job
from assay.learning import dataset, experiment, network, training
from assay.learning.dataset import CLASSES
from assay.learning.experiment import Parts
from assay.learning.training import Examples, Recipe
from assay.record import Status, Trial
from torch import nn

DONOR_CLASSES = 5  # the classes below are the donor's, the others are to be learned
REUSED = (0, 2)  # places of the two layers in the network, activations between them
ALL = "all"


def classes(examples: Examples, first: int, last: int) -> Examples:
    """The examples of some classes, which are then counted from zero."""
    rows = torch.nonzero((examples.labels >= first) & (examples.labels < last)).flatten()
    chosen = examples.rows(rows)
    return Examples(chosen.inputs, chosen.labels - first)


def halves(data: Parts) -> tuple[Parts, Parts]:
    """The data of the donor and those of the network that its layers are for."""
    one = data.map(lambda examples: classes(examples, 0, DONOR_CLASSES))
    return one, data.map(lambda examples: classes(examples, DONOR_CLASSES, CLASSES))


# ---- ways of reusing layers ----------------------------------------------------------------------


def scratch(fresh: nn.Sequential, donor: nn.Sequential) -> None:
    """Nothing is taken over."""


def copied(fresh: nn.Sequential, donor: nn.Sequential) -> None:
    """Weights and biases are copied, and go on learning."""
    for place in REUSED:
        fresh[place].load_state_dict(donor[place].state_dict())


def frozen(fresh: nn.Sequential, donor: nn.Sequential) -> None:
    """The same, and they stay as they are."""
    copied(fresh, donor)
    for place in REUSED:
        fresh[place].requires_grad_(False)


def aliased(fresh: nn.Sequential, donor: nn.Sequential) -> None:
    """The published line: it copies nothing and forgets the bias."""
    for place in REUSED:
        fresh[place].weight = nn.Parameter(donor[place].state_dict()["weight"])


ARMS: dict[str, Callable[[nn.Sequential, nn.Sequential], None]] = {
    "scratch": scratch,
    "copied": copied,
    "frozen": frozen,
    "aliased": aliased,
}


# ---- the experiment ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """What all runs of a job share."""

    donor: nn.Sequential
    donor_test: Examples
    data: Parts  # of the classes to be learned
    images: int
    settings: dict[str, Any]

    def fresh(self, seed: int) -> nn.Sequential:
        """A network with torch's initial weights."""
        inputs = self.data.training.inputs
        widths = [inputs.shape[1], *self.settings["hidden"], CLASSES - DONOR_CLASSES]
        return network.perceptron(widths, "relu", seed).to(inputs.device)

    def drawn(self, seed: int) -> Parts:
        """The images that a run learns from, drawn by its seed.

        They are repeated until they make an epoch worth a look at the validation images: few
        images are seen as often as is needed, not as often as many.
        """
        count = len(self.data.training.labels)
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randperm(count, generator=generator)[: self.images]
        rows = rows.repeat(math.ceil(self.settings["epoch_images"] / self.images))
        chosen = self.data.training.rows(rows.to(self.data.training.labels.device))
        return replace(self.data, training=chosen)

    def tune(self, arm: str, rate: float) -> Trial:
        """Train an arm a little at one rate."""
        build = self.build(arm, copy.deepcopy(self.donor))
        data = self.drawn(self.settings["seed"] + experiment.TUNING_SEED)
        return experiment.tune(build, rate, data, self.settings)

    def compete(self, arm: str, rate: float, seed: int) -> Trial:
        """A run that counts, and what it did to the donor."""
        donor = copy.deepcopy(self.donor)
        build, data = self.build(arm, donor), self.drawn(seed)
        run = experiment.compete(build, rate, seed, data, self.settings)
        run.result |= {
            "donor_accuracy_before": training.accuracy(self.donor, self.donor_test),
            "donor_accuracy_after": training.accuracy(donor, self.donor_test),
            "donor_changed": training.digest(donor) != training.digest(self.donor),
        }
        return run

    def build(self, arm: str, donor: nn.Sequential) -> experiment.Build:
        """How an arm builds its network from a seed."""

        def build(seed: int) -> nn.Sequential:
            fresh = self.fresh(seed)
            ARMS[arm](fresh, donor)
            return fresh

        return build

    def taken_over(self, arm: str) -> Trial:
        """What of the donor a network of this arm has before any step."""
        fresh = self.build(arm, self.donor)(self.settings["seed"])
        pairs = [(fresh[place], self.donor[place]) for place in REUSED]
        return Trial(
            what={"phase": "taken over"},
            result={
                "weights": all(torch.equal(new.weight, old.weight) for new, old in pairs),
                "biases": all(torch.equal(new.bias, old.bias) for new, old in pairs),
                "storage": any(
                    new.weight.data_ptr() == old.weight.data_ptr() for new, old in pairs
                ),
            },
        )


def trained_donor(data: Parts, settings: dict[str, Any]) -> nn.Sequential:
    """A network that has learned the donor's classes."""
    inputs, donor, seed = data.training.inputs, settings["donor"], settings["seed"]
    widths = [inputs.shape[1], *settings["hidden"], DONOR_CLASSES]
    made = network.perceptron(widths, "relu", seed).to(inputs.device)
    recipe = Recipe(donor["rate"], donor["epochs"], settings["batch"], seed)
    training.train(made, data.training, data.validation, recipe)
    return made


def measure(job: Job) -> list[Trial]:
    """Train the donor, then every arm: tuning runs, and one run per seed at the best rate."""
    settings = job.settings
    whole = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    of_donor, other = halves(whole)
    there = len(other.training.labels)
    images = there if job.axes["images"] == ALL else int(job.axes["images"])
    if images > there:
        return [too_few(images, there)]
    other = replace(other, validation=other.validation.head(settings["validation_images"]))
    bench = Bench(trained_donor(of_donor, settings), of_donor.test, other, images, settings)
    trials: list[Trial] = []
    seeds = experiment.seeds(settings)
    for arm in ARMS:
        tuned = [bench.tune(arm, rate) for rate in settings["rates"]]
        rate = experiment.best_rate(tuned)
        runs = [] if rate is None else [bench.compete(arm, rate, seed) for seed in seeds]
        own = [bench.taken_over(arm), *tuned, *runs]
        for trial in own:
            trial.what |= {"arm": arm, "images": images}
        trials += own
    return trials


def too_few(images: int, there: int) -> Trial:
    """The data set is smaller than this value of the axis."""
    return Trial(
        what={"phase": "training", "images": images},
        status=Status.SKIPPED,
        reason=f"the data set has {there:,} training images of these classes; `all` takes them",
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("transfer", {"images": number}, measure, argv, read_data=dataset.read)


def number(text: str) -> str:
    """A number of images, or the word for all of them; argparse makes a sentence of the error."""
    if text != ALL and int(text) < 1:
        raise ValueError(text)
    return text


if __name__ == "__main__":
    main()
