"""What machines can do, by the numbers of their answers: for a card to show, and for a ranking."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.answer import other_runs, say
from assay.answer.model import Answer
from assay.statistic import Interval

LATENCIES = ("waited", "one_thread")  # ways of the crossover whose call on one element is a latency
KEPT = ("list", "buffer")  # ways of a log that read back once
SHAPE, FRAMEWORK, SCRATCH = "depth-1", "module", "scratch"


@dataclass(frozen=True)
class Ability:
    """One thing that a device can do.

    Attributes:
        name: What, as a row of a card calls it.
        unit: FLOP/s, B/s or s.
        seen: How much, in that unit; None where it was not measured.
        theory: The same in theory; None where it is not known.
        beside: What was compared with it, as a ratio of times, and the verdict.
    """

    name: str
    unit: str
    seen: Interval | None = None
    theory: float | None = None
    beside: tuple[Interval, str] | None = None

    @property
    def speed(self) -> Interval | None:
        """How much of it in a second."""
        if self.seen is None or self.unit != "s":
            return self.seen
        return Interval(1 / self.seen.value, 1 / self.seen.high, 1 / self.seen.low)


@dataclass(frozen=True)
class Device:
    """A device and what it can do."""

    label: str
    numbers: Mapping[str, Any] = field(repr=False)  # of each question
    configured: str = ""  # CPU or GPU; empty where nobody says

    @property
    def probed(self) -> Mapping[str, Any]:
        """What the hardware question tells of it; empty where it was not asked."""
        return self._of("hardware")

    @property
    def kind(self) -> str:
        """CPU or GPU; where neither a probe nor the configuration tells, by its label."""
        named = "CPU" if self.label.startswith("cpu") else "GPU"
        return str(self.probed.get("kind") or self.configured or named)

    @property
    def products(self) -> list[Ability]:
        """The fastest product of each number format."""
        theory = self.probed.get("peak_flops", {})
        found = self._of("bandwidth").get("products_flops") or {}
        return [
            Ability(dtype, "FLOP/s", Interval(*ends), theory.get(dtype))
            for dtype, ends in found.items()
        ]

    @property
    def levels(self) -> list[Ability]:
        """The bandwidth of each cache, and of memory, which comes last."""
        found = self._of("bandwidth")
        theory = {"memory": found.get("theory_bytes_per_s")}
        return [
            Ability(name.removesuffix("d"), "B/s", ends and Interval(*ends), theory.get(name))
            for name, ends in (found.get("levels_bytes_per_s") or {"memory": None}).items()
        ]

    @property
    def operation(self) -> Ability:
        """The time of one operation on one element, until its result is there."""
        rows = self._rows("crossover", "latencies")
        known = {row["way"]: _ends(row, "time", "_s") for row in rows}
        seen = next((known[way] for way in LATENCIES if known.get(way)), None)
        return Ability("one operation", "s", seen)

    @property
    def log(self) -> Ability:
        """The time of 1000 small products whose results are read back, one by one and at once."""
        rows = {row["arm"]: row for row in self._rows("norm_log", "ways")}
        item = _ends(rows.get("item", {}), "time", "_ms_per_1000")
        kept = [_beside(rows.get(way, {})) for way in KEPT]
        best = min(filter(None, kept), key=lambda each: each[0].value, default=None)
        seen = item and Interval(item.value / 1e3, item.low / 1e3, item.high / 1e3)
        return Ability("1000 results read back", "s", seen, beside=best)

    @property
    def step(self) -> Ability:
        """The time of a training step of the framework, and that of one from scratch beside it."""
        rows = {
            row["rung"]: row
            for row in self._of("implementation").get("steps", [])
            if row["shape"] == SHAPE
        }
        seen = _ends(rows.get(FRAMEWORK, {}), "time", "_s")
        return Ability("training step", "s", seen, beside=_beside(rows.get(SCRATCH, {})))

    @property
    def compared(self) -> dict[str, Interval]:
        """The speeds in which machines are ranked, by name."""
        products = {f"product in {each.name}": each.speed for each in self.products}
        others = {"bandwidth of memory": self.levels[-1].speed}
        others |= {each.name: each.speed for each in (self.operation, self.log, self.step)}
        return {k: v for k, v in (products | others).items() if v}

    def _of(self, question: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.numbers.get(question, {}).get(self.label, {})
        return found

    def _rows(self, question: str, name: str) -> list[Mapping[str, Any]]:
        rows = self.numbers.get(question, {}).get(name, [])
        return [row for row in rows if row["device"] == self.label]


def devices(answers: Iterable[Answer], gpus: Container[str] | None = None) -> list[Device]:
    """Every device of which the answers tell, those of other runs included.

    Args:
        answers: To all questions.
        gpus: The labels of this run that are GPUs; None where nobody says.
    """
    numbers: dict[str, Any] = {each.question: each.numbers for each in answers}
    labels = [
        label
        for name in ("hardware", "bandwidth", "implementation")
        for label, told in numbers.get(name, {}).items()
        if isinstance(told, dict)
    ]
    labels += [row["device"] for row in numbers.get("crossover", {}).get("latencies", [])]
    labels += [row["device"] for row in numbers.get("norm_log", {}).get("ways", [])]

    def configured(label: str) -> str:
        if gpus is None or other_runs.run_of(label):
            return ""
        return "GPU" if label in gpus else "CPU"

    return [Device(label, numbers, configured(label)) for label in dict.fromkeys(labels)]


def _ends(row: Mapping[str, Any], name: str, unit: str) -> Interval | None:
    """A number with its interval, as :func:`assay.answer.verdict.ends` wrote it."""
    found: list[Any] = [row.get(f"{name}{end}{unit}") for end in ("", "_low", "_high")]
    return None if None in found else Interval(*found)


def _beside(row: Mapping[str, Any]) -> tuple[Interval, str] | None:
    seen = _ends(row, "ratio", "")
    return (seen, str(row["verdict"])) if seen else None


# ---- several machines ----------------------------------------------------------------------------


def standing(found: Sequence[Device]) -> list[str]:
    """A sentence for each number that several machines have: where this one stands among them.

    A machine is there with its fastest device of a kind. Where none is the run at hand, the first
    and the last are named.
    """
    several = len({each.kind for each in found}) > 1
    machines: dict[str, dict[str | None, Interval]] = {}
    for device in found:
        run = other_runs.run_of(device.label)
        for name, speed in device.compared.items():
            own = machines.setdefault(f"{device.kind}, {name}" if several else name, {})
            own[run] = max(own.get(run, speed), speed, key=lambda each: each.value)
    here = any(None in own for own in machines.values())
    return [
        _stands(say.capital(name), own)
        for name, own in machines.items()
        if len(own) > 1 and (None in own or not here)
    ]


def _stands(name: str, speeds: Mapping[str | None, Interval]) -> str:
    count, order = len(speeds), sorted(speeds, key=lambda run: speeds[run].value)
    last, first = order[0], order[-1]
    if None not in speeds and speeds[first].low <= speeds[last].high:
        return f"{name}: cannot tell {count} machines apart."
    if None not in speeds:
        share = say.number(speeds[last].value / speeds[first].value, 2)
        return f"{name}: {first} is first of {count}, {last} last ({share} × the first)."
    own = speeds[None]
    ahead = sum(each.low > own.high for each in speeds.values())
    behind = sum(each.high < own.low for each in speeds.values())
    place = " to ".join(dict.fromkeys([ordinal(ahead + 1), ordinal(count - behind)]))
    share = say.number(own.value / speeds[first].value, 2)
    against = f", {share} × the fastest ({first})" if first else ""
    return f"{name}: {place} of {count}{against}."


def ordinal(number: int) -> str:
    """A rank in words: ``1st``, ``22nd``, ``13th``."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"
