"""How many workers should the data loader have? Every number of them against none.

The answer is the smallest number that is faster than none and not slower than the fastest. Tensors
in memory, which no loader can beat, tell how much of an epoch is loading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from assay.answer import arms, model, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis
from assay.answer.model import Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Trial
from assay.statistic import Interval

NONE, RESIDENT, NEW, PAGEABLE = "0", "resident", " new", " pageable"
CONVERSIONS = {"indexed": "tensor rows", "to_tensor": "ToTensor", "augmented": "ToTensor + crop"}
HEAD, STEP = "to_tensor", "step"  # what the headline speaks of
BESIDE = {"nothing": "alone", STEP: "with a step"}
EPOCH = 60_000  # images
TITLE = "An epoch of 60,000 images, with a training step per batch, by number of workers"
CLAIMS: Mapping[str, Callable[[int], int]] = {
    "none: DataLoader's default": lambda cores: 0,
    "4: D2L's loader; “4 × GPUs” (PyTorch forum, topic 813) with one GPU": lambda cores: 4,
    "as many as cores: Lightning's hint; torch warns of more": lambda cores: cores,
}


def label(name: str) -> str:
    """What a reader calls an arm."""
    if name in (NONE, RESIDENT):
        return {NONE: "no workers", RESIDENT: "in memory"}[name]
    workers = say.plural(int(name.removesuffix(PAGEABLE)), "worker")
    return workers + ", not pinned" * name.endswith(PAGEABLE)


@dataclass(frozen=True)
class Race:
    """The images of one conversion, loaded in every way, alone or beside a step."""

    conversion: str
    beside: str
    arms: Sequence[Arm]
    slower: Sequence[str]  # numbers of workers that are slower than the fastest
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The conversion, for a reader."""
        return CONVERSIONS[self.conversion]

    @property
    def lost(self) -> str:
        """Why there is nothing, in a word or two; empty where there is."""
        return self.arms[0].lost

    @property
    def best(self) -> Arm | None:
        """The fewest workers that are faster than none and not slower than the fastest."""
        good = [arm for arm in counts(self.arms) if arm.word == Word.FASTER]
        return next((arm for arm in good if arm.name not in self.slower), None)

    @property
    def told(self) -> Arm:
        """What the verdict is about: the best number of workers, or the fastest that is none."""
        return self.best or min(counts(self.arms), key=lambda arm: arm.relative)

    @property
    def main(self) -> Main:
        """The race as something that the headline rests on."""
        return Main(self.name, lost=self.lost) if self.lost else Main(self.name, self.told.word)

    def time(self, name: str) -> Interval:
        """Of an epoch, in seconds."""
        return next(arm.value for arm in self.arms if arm.name == name and arm.value)

    def loading(self, name: str) -> float:
        """The share of an epoch that is not the steps: what the loader adds to them."""
        return max(0.0, 1 - self.time(RESIDENT).value / self.time(name).value)

    @property
    def image_s(self) -> float:
        """What loading one image takes without workers."""
        return self.loading(NONE) * self.time(NONE).value / EPOCH


def counts(found: Sequence[Arm]) -> list[Arm]:
    """The loaders with workers, fewest first."""
    return [arm for arm in found if arm.name.isdigit() and arm.name != NONE]


def races(records: Sequence[Record]) -> list[Race]:
    """Every trial of every device, all comparisons judged as one family."""
    found = [(trial, _arms(each, trial)) for each in records for trial in each.trials]
    sizes = [len(own) for _, own in found]
    judged = iter(arms.judged([arm for _, own in found for arm in own]))
    made = []
    for (trial, _), size in zip(found, sizes, strict=True):
        own = [next(judged) for _ in range(size)]
        behind = [arm.name for arm in own if "against" in arm.extras and arm.word == Word.SLOWER]
        beside_none = [arm for arm in own if "against" not in arm.extras]
        what = (str(trial.what["conversion"]), str(trial.what["beside"]))
        made.append(Race(*what, beside_none, behind, trial.result))
    return made


def _arms(each: Record, trial: Trial) -> list[Arm]:
    """The loaders of a trial beside that without workers, then those behind the fastest."""
    conversion, beside = str(trial.what["conversion"]), str(trial.what["beside"])
    seen: Any = trial.result.get("arms", {})
    # Workers of one pass are no epoch's: what they cost to start is told apart.
    names = {name for name in seen if not name.endswith(NEW)} | {NONE}
    names -= {arms.ANCHOR, arms.CONTROL}
    timed = arms.timed(
        each,
        trial,
        {name: label(name) for name in sorted(names, key=_place)},
        group=f"{CONVERSIONS[conversion]}, {BESIDE[beside]}",
        anchor=NONE,
        per=EPOCH,
    )
    own = [arms.with_extras(arm, verdict.ends("epoch", arm.value, "_s")) for arm in timed]
    return [*own, *arms.behind(counts(own))]


def _place(name: str) -> tuple[bool, str, int]:
    """Where an arm stands in a table: memory, numbers of workers, then these tried otherwise."""
    count, _, kind = name.partition(" ")
    return name != RESIDENT, kind, int(count) if count.isdigit() else 0


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device."""
    found = races(records)
    here = arms.grouped(found, lambda race: race.arms[0].device)
    told = question.joined({device: _tell(mine) for device, mine in here.items()})
    empty = (each for each in records if not each.trials)
    cells = [*told.cells, *(Main(str(e.axes["device"]), lost=model.lost(e.status)) for e in empty)]
    every = [arm for race in found for arm in race.arms]
    measured = {device: own for device, mine in here.items() if (own := _beside_step(mine))}
    return Findings(
        short=told.short,
        cells=cells,
        sentence=f"{told.sentence} {model.lost_told(cells)}".strip(),
        so=told.so,
        numbers={
            "arms": [arms.flat(arm) for arm in every],
            "start": {
                device: {n: verdict.ends("start", seen, "_s") for n, seen in _starts(mine).items()}
                for device, mine in here.items()
            },
        },
        why=[
            say.on(device, here) + text
            for device, own in measured.items()
            for text in (*_why(own), *_started(here[device]))
        ],
        method=_method(records),
        caveats=[
            "Images lie in memory. Reading and decoding files costs more per image, and waiting "
            "for a disk is what workers hide best.",
            "A pass is short: the first batch, which every loader waits for, weighs more than in "
            "an epoch.",
        ],
        views=[_view(device, own) for device, own in measured.items()] or question.nothing(TITLE),
        folded=[_claims(device, own) for device, own in measured.items()],
        table=arms.table(
            every, "loader", value="epoch", unit="s", against="against no workers", group="images"
        ),
        frame=trials.frame(records, [arms.flat(arm) for arm in every]),
    )


def _beside_step(mine: Sequence[Race]) -> list[Race]:
    """What was measured beside a step."""
    return [race for race in mine if race.beside == STEP and not race.lost]


def _head(own: Sequence[Race]) -> Race:
    """What the headline speaks of."""
    return next((race for race in own if race.conversion == HEAD), own[0])


def _tell(mine: Sequence[Race]) -> Told:
    cells = [race.main for race in mine if race.beside == STEP]
    if not (own := _beside_step(mine)):
        return Told("", "", "", cells)
    race = _head(own)
    arm = race.told
    loading = f"{say.share(race.loading(race.best.name if race.best else NONE))} of"
    epoch = f"an epoch ({race.name})"
    memory = next(each for each in race.arms if each.name == RESIDENT)
    better = " Slice what fits into memory: that is faster." if memory.word == Word.FASTER else ""
    match arm.word:
        case Word.FASTER:
            return Told(
                f"{arm.label}: {say.change(arm.seen.value)}, {loading} an epoch still loading",
                f"Take {arm.label}: {epoch} takes {say.longer(arm.seen, 'with none')}, "
                f"{loading} it loading.",
                f"Set num_workers={arm.name}, persistent_workers=True.{better}",
                cells,
            )
        case Word.UNKNOWN:
            return Told(
                "Cannot tell whether workers pay",
                f"Cannot tell whether workers pay: {epoch} with {arm.label} takes "
                f"{say.longer(arm.seen, 'with none')}.",
                better.strip(),
                cells,
            )
    same = f"the same within {100 * arm.seen.margin:.2g} %"
    takes = same if arm.word == Word.SAME else say.longer(arm.seen, "with none")
    return Told(
        f"No workers; {loading} an epoch is loading",
        f"Take no workers: {epoch} with {arm.label} takes {takes}, {loading} it loading.",
        f"Leave num_workers at 0.{better}",
        cells,
    )


def _why(own: Sequence[Race]) -> list[str]:
    """What an epoch waits for, and from how much work per image on a worker pays."""
    waits = [
        f"{race.name}: {say.quantity(race.image_s, 's', 2)} an image without workers; loading is "
        f"{say.share(race.loading(NONE))} of an epoch, with {race.told.label} "
        f"{say.share(race.loading(race.told.name))}."
        for race in own
    ]
    return [*waits, f"A worker pays {_from(own)}."]


def _from(own: Sequence[Race]) -> str:
    """From how much loading of an image on a worker pays; nothing narrower than was measured."""
    paying, rest = (
        sorted(race.image_s for race in own if (race.best is None) == none)
        for none in (False, True)
    )
    told, untold = ([say.quantity(each, "s", 2) for each in some] for some in (paying, rest))
    if not paying:
        return f"not even at {untold[-1]} of loading an image"
    if rest and rest[-1] < paying[0]:
        return f"from between {untold[-1]} and {told[0]} of loading an image on"
    if rest:
        return f"at {say.listed(told)} of loading an image, and not at {say.listed(untold)}"
    return f"at {told[0]} of loading an image already"


def _starts(mine: Sequence[Race]) -> dict[str, Interval]:
    """Seconds that starting and ending workers adds to a pass, by their number."""
    ends = ("time_median_s", "time_low_s", "time_high_s")
    return {
        count: Interval(*(seen[end] for end in ends))
        for race in mine
        for count, seen in race.result.get("start", {}).items()
    }


def _started(mine: Sequence[Race]) -> list[str]:
    """What workers cost to start."""
    told = [f"{label(count)} {say.measured(seen, 's')}" for count, seen in _starts(mine).items()]
    lasting = "persistent_workers=True pays that once, else every epoch does."
    return [f"To start and end: {say.listed(told)}; {lasting}"] if told else []


def _method(records: Sequence[Record]) -> list[str]:
    own = records[0].settings
    methods = {str(t.result["start_method"]) for r in records for t in r.trials
               if "start_method" in t.result}  # fmt: skip
    start = f" ({say.listed(sorted(methods), 'or')}, DataLoader's default)" if methods else ""
    return [
        f"A pass over {own['images']} images of Fashion-MNIST in batches of {own['batch']} is "
        f"timed as a whole, and told as an epoch of 60,000. Workers are started once{start} and "
        "wait between passes; torch gives each one thread.",
        f"The step is SGD on a network of {'-'.join(map(str, own['hidden']))} hidden units, on all "
        "cores: workers and step compete for them. Loading is what an epoch takes beyond the same "
        "steps on tensors in memory.",
        "Ours are several processes here, so waiting for a core makes no round void; what other "
        "programs used is watched over the whole trial. All loaders were checked to give the same "
        "images.",
    ]


def _claims(device: str, own: Sequence[Race]) -> Shown:
    """What is said, and what it comes to here."""
    race, rows = _head(own), []
    seen = {arm.name: arm for arm in race.arms}
    for claim, workers in CLAIMS.items():
        arm = seen.get(str(workers(race.result["cores"])))
        rows.append([claim, arm.label, arm.told] if arm else [claim, None, "not measured"])
    rows.append(["measured here", race.told.label, race.told.told])
    title = f"What is said, and what it comes to ({race.name}, {BESIDE[STEP]})"
    return question.tabled(title, ("said", "here", "against no workers"), rows, device)


def _view(device: str, own: Sequence[Race]) -> Shown:
    groups = {
        race.name: [
            arm.row(
                seen=arm.value,
                text=f"{say.value(arm.value, 's')}, {arm.told.partition(',')[0]}",
            )
            for arm in race.arms
            if arm.value and " " not in arm.name
        ]
        for race in own
    }
    axis = Axis("seconds for 60,000 images (bar: 95 %)", log=True)
    return question.dotted(TITLE, groups, axis, name=device)


main = partial(question.run, "loader", answer)

if __name__ == "__main__":
    main()
