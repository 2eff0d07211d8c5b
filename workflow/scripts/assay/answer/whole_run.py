"""What the circumstances of all answers come to: when, where and how a run was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from assay.answer import say
from assay.answer.model import Circumstances, Disturbed

NAMED = 2  # neighbours that a notice names, at most
YARDSTICKS = {"product_s": "the same product", "copy_s": "the same copy"}


@dataclass(frozen=True)
class Run:
    """The whole run: what the circumstances of all answers come to."""

    measured: str
    took: str
    torch: str
    commit: str
    threads: str
    machines: list[str]
    occasions: int
    steady: str
    void: str
    delay: str


@dataclass(frozen=True)
class Disturbance:
    """What other programs cost this run."""

    found: list[Disturbed]
    total: int

    @property
    def lost(self) -> list[Disturbed]:
        """Measurements that gave no number."""
        return [each for each in self.found if each.lost]

    @property
    def beside(self) -> list[Disturbed]:
        """Measurements that gave one, with a wider interval."""
        return [each for each in self.found if not each.lost]

    @property
    def who(self) -> str:
        """Who took most of the cores: ``dd took 1.5 cores, cron 0.2``; empty where unknown."""
        cores: dict[str, float] = {}
        for each in self.lost or self.beside:
            for name, share in each.neighbours.items():
                cores[name] = max(share, cores.get(name, 0.0))
        most = sorted(cores, key=cores.__getitem__, reverse=True)[:NAMED]
        told = [f"{name} took {_cores(cores[name])}" for name in most[:1]]
        return ", ".join([*told, *(f"{name} {_share(cores[name])}" for name in most[1:])])


def _cores(share: float) -> str:
    return f"{_share(share)} {'cores' if share > 1 else 'of a core'}"


def _share(cores: float) -> str:
    return f"{cores:.1f}" if cores > 1 else f"{cores:.2g}"


def summary(seen: Sequence[Circumstances]) -> Run:
    """What the circumstances of all answers come to."""
    rounds, void = sum(each.rounds for each in seen), sum(each.rounds_void for each in seen)
    shares = [each.delay_share for each in seen if each.delay_share is not None]
    return Run(
        measured=measured(seen),
        took=took(seen),
        torch=joined(version for each in seen for version in each.torch),
        commit=joined(commit for each in seen for commit in each.commits),
        threads=say.listed(sorted({count for each in seen for count in each.threads}), "or"),
        machines=[*dict.fromkeys(name for each in seen for name in each.machines)],
        occasions=max(each.occasions for each in seen),
        steady=steady([each.yardsticks for each in seen]),
        void=say.share(void, rounds) if rounds else "",
        delay=say.share(max(shares)) if shares else "",
    )


def steady(seen: Iterable[Mapping[str, tuple[float, float]]]) -> str:
    """By how much the same work took longer in one job than in another; empty where unknown."""
    ends: dict[str, list[float]] = {}
    for each in seen:
        for name, both in each.items():
            ends.setdefault(name, []).extend(1e3 * seconds for seconds in both)
    told = [
        f"{YARDSTICKS[name]} took {say.short(min(both))} to {say.short(max(both))} ms"
        for name, both in ends.items()
    ]
    return say.listed(sorted(told, reverse=True))


def joined(values: Iterable[str]) -> str:
    """Each different value once, in order."""
    return " and ".join(dict.fromkeys(values))


def measured(seen: Sequence[Circumstances]) -> str:
    """When the measuring started; from the first day to the last if it took more than one."""
    first = day(min(each.first for each in seen))
    last = day(max(each.last for each in seen))
    start = first.removesuffix(last.partition(" ")[2]).rstrip()  # a month stands once
    return first if first == last else f"{start} to {last}"


def day(moment: str) -> str:
    """A moment in ISO 8601 as a day; as it stands if it is not one."""
    when = _moment(moment)
    return f"{when.day} {when:%b %Y}" if when else moment


def took(seen: Sequence[Circumstances]) -> str:
    """How long it took from the first job to the last, unless it was made in several goes."""
    first = _moment(min(each.first for each in seen))
    last = _moment(max(each.last for each in seen))
    if not first or not last or not timedelta(minutes=1) <= last - first < timedelta(days=1):
        return ""
    minutes = round((last - first).total_seconds() / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def disturbance(seen: Sequence[Circumstances]) -> Disturbance:
    """What other programs disturbed, each once though several questions may read its record."""
    found = {(e.record, e.what): e for circumstances in seen for e in circumstances.disturbed}
    counts = {path: count for each in seen for path, count in each.measurements.items()}
    return Disturbance([*found.values()], sum(counts.values()))
