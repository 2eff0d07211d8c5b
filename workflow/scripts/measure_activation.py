"""Train with one activation: tune its rate, then train once per seed and read the test set.

    python workflow/scripts/measure_activation.py --activation relu \\
        --dataset results/data/dataset.safetensors --output relu.json
"""

from __future__ import annotations

from collections.abc import Sequence

from assay import job
from assay.job import Job
from assay.learning import dataset, experiment
from assay.learning.dataset import CLASSES
from assay.learning.network import of_activation
from assay.record import Trial
from torch import nn


def measure(job: Job) -> list[Trial]:
    """Tuning runs, and one run per seed at the best rate."""
    settings, activation = job.settings, job.axes["activation"]
    data = experiment.parts(job.data, settings["validation_share"], settings["seed"], job.device)
    widths = [data.training.inputs.shape[1], *settings["hidden"], CLASSES]

    def build(seed: int) -> nn.Sequential:
        return of_activation(activation, widths, seed).to(job.device)

    return experiment.learn(build, lambda _: data, settings)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("activation", {"activation": str}, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
