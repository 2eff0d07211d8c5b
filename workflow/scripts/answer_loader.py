"""How many workers should the data loader have? Every number of them against none.

The answer is the smallest number that is faster than none and not slower than the fastest. Tensors
in memory, which no loader can beat, tell how much of an epoch is loading.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from assay.answer import arms, inference, model, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis
from assay.answer.model import Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Trial
from assay.statistic import Interval

NONE, RESIDENT, NEW = "0", "resident", " new"
NAMES = {NONE: "no workers", RESIDENT: "in memory"}
BEST_FIRST = [Word.FASTER, Word.UNKNOWN, Word.SAME, Word.SLOWER]
CONVERSIONS = {"indexed": "tensor rows", "to_tensor": "ToTensor", "augmented": "ToTensor + crop"}
HEAD, STEP = "to_tensor", "step"  # what the headline speaks of
BESIDE = {"nothing": "alone", STEP: "with a step"}
EPOCH = 60_000  # images
TITLE = "An epoch of 60,000 images, with a training step per batch, by number of workers"
CLAIMS = {  # with how many workers; None: as many as cores
    "none: DataLoader's default": 0,
    "4: D2L's loader; “4 × GPUs” (PyTorch forum, topic 813) with one GPU": 4,
    "as many as cores: Lightning's hint; torch warns of more": None,
}


@dataclass(frozen=True)
class Race:
    """The images of one conversion, loaded in every way, alone or beside a step."""

    trial: Trial
    arms: Sequence[Arm]  # a single lost one where there are none
    slower: Collection[str]  # numbers of workers that are slower than the fastest

    @property
    def name(self) -> str:
        """The conversion, for a reader."""
        return CONVERSIONS[str(self.trial.what["conversion"])]

    @property
    def told(self) -> Arm:
        """What the verdict is about.

        The fewest workers that are faster than none and not slower than the fastest; where none
        are faster, those of which it cannot be told, else the fastest.
        """
        found = workers(self.arms)
        enough = [arm for arm in found if arm.word == Word.FASTER and arm.name not in self.slower]
        found.sort(key=lambda arm: (BEST_FIRST.index(arm.word), arm.relative))
        return [*enough, *found][0]

    @property
    def main(self) -> Main:
        """The race as something that the headline rests on."""
        lost = self.arms[0].lost
        return Main(self.name, None if lost else self.told.word, lost)

    def loading_s(self, name: str = NONE) -> tuple[float, float]:
        """Seconds of an epoch that are not the steps, and all: what the loader adds to them."""
        own = {arm.name: arm.value.value for arm in self.arms}
        return max(0.0, own[name] - own[RESIDENT]), own[name]


def label(name: str) -> str:
    """What a reader calls an arm."""
    count, _, pageable = name.partition(" ")
    return NAMES.get(name) or say.plural(int(count), "worker") + ", not pinned" * bool(pageable)


def workers(found: Sequence[Arm]) -> list[Arm]:
    """The loaders with workers, fewest first."""
    return [arm for arm in found if arm.name.isdigit() and arm.name != NONE]


def races(records: Sequence[Record]) -> dict[str, list[Race]]:
    """Every trial by device, all comparisons judged as one family."""
    pairs = [(trial, _arms(each, trial)) for each in records for trial in each.trials]
    judged = iter(arms.judged([arm for _, own in pairs for arm in own]))
    here: dict[str, list[Race]] = {device: [] for device in trials.devices(records)}
    for trial, own in pairs:
        seen = [*islice(judged, len(own))]
        raced = [arm for arm in seen if "against" not in arm.extras]
        slower = [arm.name for arm in seen if arm not in raced and arm.word == Word.SLOWER]
        here[own[0].device].append(Race(trial, raced, slower))
    return here


def _arms(each: Record, trial: Trial) -> list[Arm]:
    """The loaders of a trial beside that without workers, then those behind the fastest."""
    seen = {NONE: None} | dict(trial.result.get("arms", {}))
    # Workers of one pass are no epoch's: what they cost to start is told apart.
    counted = [name for name in seen if name[0].isdigit() and not name.endswith(NEW)]
    labels = {name: label(name) for name in [RESIDENT] * (RESIDENT in seen) + counted}
    group = ", ".join((CONVERSIONS[trial.what["conversion"]], BESIDE[trial.what["beside"]]))
    timed = arms.timed(each, trial, labels, group=group, anchor=NONE, per=EPOCH)
    own = [arms.with_extras(arm, verdict.ends("epoch", arm.value, "_s")) for arm in timed]
    return [*own, *arms.behind(workers(own))]


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device."""
    here = races(records)
    lost = {each.axes["device"]: model.lost(each.status) for each in records}
    fed = {device: own for device, mine in here.items() if (own := _beside_step(mine))}
    starts = {device: _starts(mine) for device, mine in here.items() if mine}
    every = [arm for mine in here.values() for race in mine for arm in race.arms]
    return Findings(
        **vars(question.joined({d: _tell(mine, lost[d]) for d, mine in here.items()})),
        numbers={
            "arms": [arms.flat(arm) for arm in every],
            "start": {
                device: {n: verdict.ends("start", seen, "_s") for n, seen in own.items()}
                for device, own in starts.items()
            },
        },
        why=question.on_each({device: _why(own, starts[device]) for device, own in fed.items()}),
        method=_method(records),
        caveats=[
            "Images lie in memory. Files cost more to read and decode, and waiting for a disk is "
            "what workers hide best. In a short pass the first batch, which every loader waits "
            "for, weighs more than in an epoch.",
        ],
        views=[_view(device, own) for device, own in fed.items()] or question.nothing(TITLE),
        folded=[_claims(device, own) for device, own in fed.items()],
        table=arms.table(
            every, "loader", value="epoch", unit="s", against="against no workers", group="images"
        ),
        frame=trials.frame(records, map(arms.flat, every)),
    )


def _beside_step(mine: Sequence[Race]) -> list[Race]:
    """What was measured beside a step; what the headline speaks of comes first."""
    found = [r for r in mine if r.trial.what["beside"] == STEP and not r.main.lost]
    return sorted(found, key=lambda race: race.trial.what["conversion"] != HEAD)


def _tell(mine: Sequence[Race], why_not: str) -> Told:
    """How many workers to take, and how much of an epoch then is loading."""
    own, asked = _beside_step(mine), [r for r in mine if r.trial.what["beside"] == STEP]
    # What was lost is named; of what was measured, the headline rests on one race.
    cells = [race.main for race in asked if race.main.lost or race is own[0]]
    cells = cells or [Main("loaders", lost=why_not)]
    rest = model.lost_told(cells)
    if not own:
        return Told("", rest, "", cells)
    race, arm = own[0], own[0].told
    memory, epoch = next(a for a in race.arms if a.name == RESIDENT), f"an epoch ({race.name})"
    sliced = memory.word == Word.FASTER and memory.seen.high < arm.seen.low
    better = " Slice what fits into memory: that is faster." if sliced else ""
    loading = say.share(*race.loading_s(arm.name if arm.word == Word.FASTER else NONE))
    takes = say.takes(arm.seen, arm.word, "with none")
    took = f"{epoch} with {arm.label} takes {takes}."
    match arm.word:
        case Word.FASTER:
            gain = say.change(arm.seen.value)
            short = f"{arm.label}: {gain}; {loading} of an epoch still loading"
            first = f"Take {arm.label}: {epoch} takes {takes}, {loading} of it loading."
            so = f"Set num_workers={arm.name}, persistent_workers=True.{better}"
        case Word.UNKNOWN:
            short = "Cannot tell whether workers pay"
            first, so = f"{short}: {took}", better.strip()
        case _:
            short = f"No workers; {loading} of an epoch is loading"
            first, so = f"Take no workers: {took}", f"Leave num_workers at 0.{better}"
    return Told(short, f"{first} {rest}".strip(), so, cells)


def _why(own: Sequence[Race], starts: Mapping[str, Interval]) -> list[str]:
    """From how much work per image on a worker pays, no closer than measured; what one costs."""
    ladder = sorted((race.loading_s()[0] / EPOCH, race.told.word) for race in own)
    costs = [cost for cost, _ in ladder]
    possible = [word in (Word.FASTER, Word.UNKNOWN) for _, word in ladder]
    low, high = inference.ends(costs, possible, [word == Word.FASTER for _, word in ladder])
    least, most, first, last = (say.quantity(x, "s", 2) for x in (low, high, costs[0], costs[-1]))
    match low, high:
        case math.inf, _:
            pays = f"A worker does not pay where loading an image takes {last}"
        case _, math.inf:
            pays = f"Cannot tell whether a worker pays where loading an image takes {last}"
        case _, 0:
            pays = f"A worker pays where loading an image takes {first}, the least that was tried"
        case _:
            since = f"between {least} and {most}" if low else f"at most {most}"
            pays = f"A worker pays from {since} of loading an image on"
    told = [f"{label(count)} {say.measured(seen, 's')}" for count, seen in starts.items()]
    lasting = "persistent_workers=True pays that once, else every epoch does."
    started = [f"To start and end: {say.listed(told)}; {lasting}"] if told else []
    loading = say.listed(f"{say.share(*race.loading_s())} ({race.name})" for race in own)
    return [f"Without workers loading is {loading} of an epoch.", f"{pays}.", *started]


def _starts(mine: Sequence[Race]) -> dict[str, Interval]:
    """Seconds that starting and ending workers adds to a pass, by their number."""
    seen = {n: s for race in mine for n, s in dict(race.trial.result.get("start", {})).items()}
    return {count: arms.time_of(start) for count, start in seen.items()}


def _method(records: Sequence[Record]) -> list[str]:
    own = records[0].settings
    methods = {str(m) for r in records for t in r.trials if (m := t.result.get("start_method"))}
    start = f" ({say.listed(sorted(methods), 'or')}, DataLoader's default)" if methods else ""
    return [
        f"A pass over {own['images']} images of Fashion-MNIST in batches of {own['batch']} is "
        f"timed and told as an epoch of 60,000. Workers are started once{start} and wait between "
        "passes; torch gives each one thread. All loaders were checked to give the same images.",
        f"The step is SGD on a network of {'-'.join(map(str, own['hidden']))} hidden units, on all "
        "cores: workers and step compete for them. Loading is what an epoch takes beyond the same "
        "steps on tensors in memory.",
        "Our processes wait for each other, so that makes no round void; what other programs used "
        "is watched over the whole trial.",
    ]


def _claims(device: str, own: Sequence[Race]) -> Shown:
    """What is said, and what it comes to here."""
    race, rows = own[0], []
    seen = {arm.name: arm for arm in race.arms}
    for claim, count in CLAIMS.items():
        arm = seen.get(str(race.trial.result["cores"] if count is None else count))
        rows.append([claim, arm.label, arm.told] if arm else [claim, None, "not measured"])
    title = f"What is said, and what it comes to ({race.name}, {BESIDE[STEP]})"
    return question.tabled(title, ("said", "here", "against no workers"), rows, device)


def _view(device: str, own: Sequence[Race]) -> Shown:
    """Seconds alone, which of many workers are many words: what they compare to is in the table."""
    shown = {race.name: [arm for arm in race.arms if " " not in arm.name] for race in own}
    groups = {
        name: [arm.row(seen=arm.value, text=say.value(arm.value, "s")) for arm in found]
        for name, found in shown.items()
    }
    axis = Axis("seconds for 60,000 images (bar: 95 %)", log=True)
    return question.dotted(TITLE, groups, axis, name=device)


main = partial(question.run, "loader", answer)

if __name__ == "__main__":
    main()
