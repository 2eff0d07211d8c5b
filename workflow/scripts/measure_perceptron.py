"""Train one network at one rate, once per seed, and read the test set with each run's best epoch.

    python workflow/scripts/measure_perceptron.py --hidden 256-1 --rate 0.1 \\
        --dataset results/data/dataset.safetensors --output bottleneck.json
"""

from __future__ import annotations

from collections.abc import Sequence

from assay import job
from assay.job import Job
from assay.learning import dataset, experiment
from assay.learning.dataset import CLASSES
from assay.learning.network import parameter_count, perceptron
from assay.record import Trial
from torch import nn

NONE = "none"  # no hidden layer: softmax regression


def hidden_layers(text: str) -> list[int]:
    """The width of each hidden layer: ``256-1`` has two, ``none`` has none.

    Raises:
        ValueError: The text is something else.
    """
    return [] if text == NONE else [int(width) for width in text.split("-")]


def shape(text: str) -> str:
    """The text itself, if it is a shape: what the command line is checked by."""
    hidden_layers(text)
    return text


def measure(job: Job) -> list[Trial]:
    """One run per seed."""
    settings, rate = job.settings, job.axes["rate"]
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    features = data.training.inputs.shape[1]
    widths = [features, *hidden_layers(job.axes["hidden"]), CLASSES]

    def build(seed: int) -> nn.Sequential:
        return perceptron(widths, "relu", seed).to(job.device)

    trials = [
        experiment.compete(build, rate, seed, data, settings) for seed in experiment.seeds(settings)
    ]
    count = parameter_count(build(settings["seed"]))
    for trial in trials:
        trial.result |= {"widths": [*widths], "parameters": count}
    return trials


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"hidden": shape, "rate": float}
    job.run("perceptron", axes, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
