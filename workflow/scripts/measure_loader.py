"""Time a pass over images by who loads them: the process itself, or so many workers.

    python workflow/scripts/measure_loader.py --occasion 1 \\
        --dataset results/data/dataset.safetensors --output loader.json

The anchor is a DataLoader without workers. Beside it stand those with workers, which are started
once and wait between two passes, and, as what no loader can beat, tensors in memory that are sliced
by index. Each is timed beside the training step that it feeds, which wants the same cores, and
some alone.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from assay import contention, device, job, statistic
from assay.job import Job
from assay.learning import dataset, training
from assay.learning.dataset import CLASSES
from assay.learning.network import perceptron
from assay.learning.training import TIMED_RATE, Examples
from assay.record import Status, Trial
from assay.timing import proof, trial
from assay.timing.clock import SharedCores
from assay.timing.trial import MILD, Protocol, Work
from PIL import Image
from pydantic import JsonValue
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

NONE, RESIDENT = "0", "resident"
INDEXED, CONVERTED, AUGMENTED = "indexed", "to_tensor", "augmented"
ALONE, STEP = "nothing", "step"  # what is beside the loader
NEW, PAGEABLE = " new", " pageable"  # workers of every pass anew; batches that are not pinned
TEXTBOOK = 4  # workers of the textbook's loader, and of "four for a GPU": tried on any machine
AGREEMENT = 1e-6  # largest relative difference of two sums of the same grey values

Batch = Sequence[Tensor]  # images and their classes
Learn = Callable[[Examples], Any]


# ---- the data ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pictures(Dataset[Any]):
    """Images in memory, each made into an example when it is asked for, as torchvision does."""

    images: Tensor
    labels: Tensor
    convert: Callable[[Tensor], Any]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.convert(self.images[index]), int(self.labels[index])


def as_it_is(image: Tensor) -> Tensor:
    """A row of a tensor."""
    return image


def picture(image: Tensor) -> Image.Image:
    """Grey values as a PIL image, in which torchvision's data sets hand images out."""
    return Image.fromarray(image.numpy())


def pictures(conversion: str, images: Tensor, labels: Tensor) -> Pictures:
    """The data set of a conversion, from (n, 28, 28) grey values and (n,) classes, both uint8."""
    if conversion == INDEXED:
        return Pictures(dataset.pixels(images, torch.device("cpu")), labels, as_it_is)
    augment = [transforms.RandomCrop(images.shape[-1], padding=2)]
    steps = [picture, *(augment if conversion == AUGMENTED else []), transforms.ToTensor()]
    return Pictures(images, labels, transforms.Compose(steps))


@dataclass(frozen=True)
class Resident:
    """Batches of tensors in memory, in a new order in every pass, without a DataLoader."""

    examples: Examples
    batch: int

    def __iter__(self) -> Iterator[Batch]:
        for rows in torch.randperm(len(self.examples.labels)).split(self.batch):
            drawn = self.examples.rows(rows.to(self.examples.labels.device))
            yield drawn.inputs, drawn.labels


def loader(data: Pictures, batch: int, name: str, pinned: bool) -> DataLoader[Any]:
    """The batches of an arm, by its name: ``2``, ``2 new``, ``2 pageable``."""
    workers = int(name.split()[0])
    made = DataLoader(
        data,
        batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0 and not name.endswith(NEW),
        pin_memory=pinned and not name.endswith(PAGEABLE),
    )
    if made.persistent_workers:
        deque(made, maxlen=0)  # starts them, which would else make the first pass look long
    return made


# ---- the work ------------------------------------------------------------------------------------


def works(job: Job, conversion: str, beside: str) -> dict[str, Work[Any]]:
    """Everything that is compared, by name, the anchor first."""
    settings, place = job.settings, job.device
    images, labels = (each[: settings["images"]] for each in (job.data.images, job.data.labels))
    resident = Examples(dataset.pixels(images, place), labels.to(place).long())
    data, batch, pinned = pictures(conversion, images, labels), settings["batch"], gpu(place)
    batches: dict[str, Callable[[], Iterable[Batch]]] = {
        # Whoever prepares it gets the same one: its workers are started once in a trial.
        name: cache(partial(loader, data, batch, name, pinned))
        for name in names(job, conversion, beside)
    }
    batches[RESIDENT] = lambda: Resident(resident, batch)
    widths = [resident.inputs.shape[1], *settings["hidden"], CLASSES]

    def learner() -> Learn:
        return training.sgd(perceptron(widths, "relu", 0).to(place), TIMED_RATE)

    learners = {STEP: learner, ALONE: lambda: lambda _: None}
    return {
        name: a_pass(own, learners[beside], place, len(labels)) for name, own in batches.items()
    }


def a_pass(
    batches: Callable[[], Iterable[Batch]],
    learner: Callable[[], Learn],
    place: torch.device,
    images: int,
) -> Work[Any]:
    """A pass over the images as something to be timed; its operands are batches and learner."""

    def run(operands: Any) -> None:
        drawn, learn = operands
        for batch in drawn:
            inputs, labels = (each.to(place, non_blocking=True) for each in batch)
            learn(Examples(inputs.flatten(1), labels))

    return Work(lambda _: (batches(), learner()), run, images)


def names(job: Job, conversion: str, beside: str) -> list[str]:
    """The loaders of a trial: without workers, with so many, and what only one trial tells."""
    cores, asked = device.usable_cores(), sorted(job.settings["workers"])
    within = [n for n in asked if n <= cores]
    claimed = TEXTBOOK if (conversion, beside) == (CONVERTED, STEP) else 0
    found = [NONE, *map(str, [n for n in asked if n <= max(cores, claimed)] or asked[:1])]
    if (conversion, beside) == (CONVERTED, ALONE):
        found += [f"{n}{NEW}" for n in within[:1]]
    if gpu(job.device):
        found += [f"{n}{PAGEABLE}" for n in within[-1:]]
    return found


def gpu(place: torch.device) -> bool:
    """Whether a batch can be pinned for a device."""
    return place.type == "cuda"


# ---- the trial -----------------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """A trial of each conversion beside a step, and of some alone."""
    # More workers than cores: that is what is asked here.
    warnings.filterwarnings("ignore", "This DataLoader will create")
    protocol = replace(
        Protocol.of_study(job.settings, job.device),
        # An arm has processes of its own, and a call is long.
        operand_sets=1,
        warmup_calls=1,
        warmup_s=0.0,
    )
    first = works(job, CONVERTED, STEP)[NONE]
    trial.settle(first, protocol, SharedCores(job.device), job.settings["seed"])
    return [
        compare(job, conversion, beside, protocol)
        for conversion in (INDEXED, CONVERTED, AUGMENTED)
        for beside in ([ALONE] if conversion in job.settings["alone"] else []) + [STEP]
    ]


def compare(job: Job, conversion: str, beside: str, protocol: Protocol) -> Trial:
    """One trial, with what its workers cost to start, and whether somebody else computed."""
    what: dict[str, JsonValue] = {"conversion": conversion, "beside": beside, "anchor": NONE}
    clock, seed = SharedCores(job.device), job.settings["seed"]

    def timed(arms: Mapping[str, Work[Any]]) -> Trial:
        targets = {name: work for name, work in arms.items() if name != NONE}
        return trial.compare(what, arms[NONE], targets, protocol, clock, seed)

    def measured() -> Trial:
        asked = works(job, conversion, beside)
        lasting = {name: work for name, work in asked.items() if not name.endswith(NEW)}
        before = contention.look()
        seen = timed(asked)
        if seen.status == Status.SKIPPED and lasting.keys() < asked.keys():
            seen = timed(lasting)  # new workers that are not forked import torch in every pass
        beside_others(seen, before, protocol.void_delay_share)
        seen.result |= {
            "start_method": multiprocessing.get_start_method(),
            "cores": device.usable_cores(),
            "start": started(seen),
        }
        if beside == STEP:
            proof.refuse(seen, disagreement(asked, augmented=conversion == AUGMENTED))
        return seen

    return proof.attempt(what, measured)


def beside_others(measured: Trial, before: contention.Look, told_from: float) -> None:
    """Tell who else computed; where that is much of the machine, the trial is contended.

    Only others count: our workers wait for each other, and that is what is measured. So is what
    a quota of our own withholds of them.

    Args:
        measured: The trial, changed in place.
        before: The machine when it began.
        told_from: Share of the cores above which others are neighbours.
    """
    after = contention.look()
    share = contention.others_share(before, after) or 0.0
    wall_s = after.wall_s - before.wall_s
    seen = contention.neighbours(before.processes, after.processes, wall_s)
    measured.result |= {
        "neighbours": [asdict(each) for each in seen if each.name != contention.QUOTA],
        "others_share": share,
        "beside_neighbour": share > told_from,
        "contention_known": False,  # by the waits of our threads
    }
    if measured.status in (Status.OK, Status.SKIPPED) and share > max(MILD, told_from):
        measured.status = Status.CONTENDED
        measured.reason = f"other programs used {100 * share:.0f} % of the cores"
        measured.result |= {"arms": {}, "ratios": {}}


def started(measured: Trial) -> dict[str, JsonValue]:
    """What starting and ending the workers of one pass takes, by their number, in seconds."""
    found: dict[str, JsonValue] = {}
    for name in measured.samples if measured.status == Status.OK else ():
        if name.endswith(NEW):
            count = name.removesuffix(NEW)
            new, lasting = (trial.kept(measured, each) for each in (name, count))
            seen = statistic.median(new - lasting)
            ends = (seen.value, seen.low, seen.high)
            keys = ("time_median_s", "time_low_s", "time_high_s")
            found[count] = dict(zip(keys, ends, strict=True))
    return found


def disagreement(asked: Mapping[str, Work[Any]], augmented: bool) -> str | None:
    """Why two arms do not load the same images; None where all do."""
    expected = None
    for name, work in asked.items():
        batches = [*work.prepare(torch.Generator())[0]]
        labels = torch.cat([labels.cpu() for _, labels in batches]).sort().values
        total = sum(float(images.cpu().double().sum()) for images, _ in batches)
        first, grey = expected = expected or (labels, total)
        alike = augmented or abs(total - grey) <= AGREEMENT * abs(grey)
        if not (alike and torch.equal(labels, first)):
            return f"{name} and {NONE} workers load different images"
    return None


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    job.run("loader", {"occasion": int}, measure, argv, read_data=dataset.read)


if __name__ == "__main__":
    main()
