"""How should parameters be read and written on a GPU? Moves between number formats and devices.

The moves come from the study ``placement``, the speed of copies from ``bandwidth``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from assay.answer import arms, model, question, say, trials
from assay.answer.model import Cell, Main, Table
from assay.answer.model import outcome as cell
from assay.answer.question import Findings, Shown, Told
from assay.record import Record
from assay.statistic import Interval

FORMAT, META, DEVICE, FILE = "number format", "meta", "device", "file"
MOVES = {FORMAT: "float32 → float64", META: "device → meta", DEVICE: "CPU → GPU"}
DIRECTIONS = {"host_to_device": "host → device", "device_to_host": "device → host"}
RATE = [f"bandwidth{end}_bytes_per_s" for end in ("", "_low", "_high")]
TITLE = "What moves in place, what is copied, and what is left behind"

Judge = Callable[[Any], Cell]  # of a part of a check's result


@dataclass(frozen=True)
class Device:
    """What the records say about one device on which something was to be moved."""

    label: str
    results: Mapping[tuple[str, str], Mapping[str, Any]]  # of what went well, by check and move
    rates: Mapping[tuple[str, str], Interval]  # bytes/s of copies, by direction and host memory
    lost: Mapping[str, str]  # why nothing is known of a study, where nothing is

    @property
    def moves(self) -> list[str]:
        """The moves that it allows."""
        return [move for move in MOVES if any(move == made for _, made in self.results)]


def devices(records: Sequence[Record]) -> list[Device]:
    """Every device on which something was to be moved, whatever became of it."""
    checked, copied = itemgetter("check", "move"), itemgetter("transfer", "host_memory")
    found = []
    for label, own in trials.by_device(records).items():
        well = [trial for each in question.measured(own) for trial in each.trials]
        results = {checked(t.what): t.result for t in well if "check" in t.what}
        copies = {copied(t.what): t.result for t in well if "transfer" in t.what}
        rates = {way: Interval(*map(seen.get, RATE)) for way, seen in copies.items()}
        studies = arms.grouped(own, attrgetter("study"))
        lost = {study: trials.why_lost(each) for study, each in studies.items()}
        found.append(Device(label, results, rates, lost))
    return [device for device in found if "placement" in device.lost]


# ---- outcomes ------------------------------------------------------------------------------------


def pick(yes: str, no: str) -> Judge:
    """One of two cells, by whether something is so."""
    return lambda seen: cell(yes if seen else no)


def filled(seen: Mapping[str, Any]) -> Cell:
    """What tensors of a file did to a module that is somewhere else."""
    if not seen["stays_at_source"]:
        return cell("! module follows the file")
    if off := seen.get("largest_difference", 0):
        return cell("! module stays, values rounded", f"by up to {say.number(off, 2)}")
    return cell("✓ module stays")


def loaded(seen: Mapping[str, Any]) -> Cell:
    """What a file came to that raised no error."""
    return cell("✓ loaded" if seen.get("has_data", True) else "✗ silently nothing")


TENSOR, MODULE, ELSEWHERE = "tensor moved", "module moved", "from elsewhere"
KEPT, BACK = pick("! the same object", "a new tensor"), pick("as it was saved", "! elsewhere")
FOLLOWS, ARRIVED = pick("✓ follows", "✗ left behind"), pick("✓ moved", "✗ left behind")
# Check, what of its result is told, and how where it is no error.
ROWS: dict[str, tuple[str, str, Judge]] = {
    "tensor.to(other)": (TENSOR, "same_object", pick("! in place", "a new tensor")),
    "tensor.to(where it is)": ("tensor kept", "same_object", KEPT),
    "… with copy=True": ("tensor kept", "same_object_with_copy", KEPT),
    "module.to(other)": (MODULE, "same_object", pick("in place", "! a new module")),
    "its parameters": (MODULE, "same_parameters", pick("✓ same objects", "! replaced")),
    "optimiser made before": (MODULE, "optimizer_follows", FOLLOWS),
    "its buffer": (MODULE, "buffer_arrived", ARRIVED),
    "its integer buffer": (MODULE, "integer_buffer_arrived", pick("✓ moved", "kept as it is")),
    "its plain tensor": (MODULE, "plain_tensor_arrived", ARRIVED),
    "product of both": ("mixed", "product", lambda seen: cell("! no error")),
    "sum of both": ("mixed", "sum", lambda seen: cell("! no error")),
    "file loaded, no options": ("file loaded", "comes_back_to_target", BACK),
    "file into module": ("file into module", "copying", filled),
    "… with assign=True": ("file into module", "assigning", filled),
}
# What the card shows of them; the rest is in the whole table.
SHORT = [
    *("tensor.to(other)", "module.to(other)", "optimiser made before", "its buffer"),
    *("its plain tensor", "product of both"),
]
FILES: dict[str, tuple[str, str, Judge]] = {
    "file from an absent device": (ELSEWHERE, "plainly", loaded),
    "… with map_location": (ELSEWHERE, "map_location", loaded),
    "weights into a skeleton on meta": ("skeleton", "copying", loaded),
    "… filled with assign=True": ("skeleton", "assigning", loaded),
}


def outcome(device: Device, name: str, move: str) -> Cell | None:
    """What became of a check in a move, or its error; None where there is no such check."""
    check, key, judge = (ROWS | FILES)[name]
    if (check, move) not in device.results:
        return None
    seen: Any = device.results[check, move][key]
    failed = isinstance(seen, dict) and seen["error"]
    return cell(f"✗ {failed}", str(seen["message"])) if failed else judge(seen)


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of the moves and of the bandwidth."""
    asked = devices(records)
    found = [device for device in asked if device.results]
    return Findings(
        **vars(_tell(found, _cells(asked))),
        numbers={device.label: _numbers(device) for device in found},
        method=[
            "Each move is done on small tensors and modules; identity, place, number format and "
            "values are compared afterwards. “meta” is torch's device for shapes without data, "
            "which every machine has.",
            "The file from an absent device was written here, and its device was renamed to one "
            "that no machine has. Files are loaded with weights_only=True.",
        ],
        caveats=[
            "A move to another number format runs the code of a move to a GPU, but only a second "
            "device shows the errors and the speed of that.",
            "One version of torch, with its defaults: torch.__future__ can make modules replace "
            "their parameters instead.",
        ],
        views=[_view(device) for device in found] or question.nothing(TITLE),
        table=_table(found),
        frame=trials.frame(records),
    )


def _cells(asked: Sequence[Device]) -> list[Main]:
    """The headline rests on tensors and modules, on moves between devices and their speed."""
    cells = []
    for device in asked:
        where = f" on {device.label}" if len(asked) > 1 else ""
        for name, check in (("tensor.to", TENSOR), ("module.to", MODULE)):
            known = any(check == own for own, _ in device.results)
            cells.append(Main(f"{name}{where}", lost="" if known else device.lost["placement"]))
        if DEVICE in device.moves:
            lost = "" if device.rates else device.lost.get("bandwidth", "not measured")
            cells.append(Main(f"speed of copies to {device.label}", lost=lost))
    if not any(DEVICE in device.moves for device in asked):
        cells.append(Main("moves to a GPU", lost="not available"))
    return cells


def _tell(found: Sequence[Device], cells: Sequence[Main]) -> Told:
    """What was seen on every device and in every move, and what follows from it."""
    if not found:
        return Told("Not measured", question.NOTHING, "", cells)

    def seen(check: str, key: str) -> set[bool]:
        return {bool(r[key]) for d in found for (own, _), r in d.results.items() if own == check}

    moved = [device.results.get((MODULE, move)) for device in found for move in (FORMAT, DEVICE)]
    forgets = any(own and not own["optimizer_follows"] for own in moved)
    elsewhere = [device.results.get((ELSEWHERE, FILE)) for device in found]
    needed = [e and e["plainly"]["error"] and not e["map_location"]["error"] for e in elsewhere]
    in_place = seen(MODULE, "same_object") == {True}
    copied = seen(TENSOR, "same_object") == {False}
    behind = seen(MODULE, "plain_tensor_arrived") == {False}
    buffers = behind and seen(MODULE, "buffer_arrived") == {True}
    brief = {"modules move in place": in_place, "tensors are copied": copied,
             "plain tensors stay behind": behind}  # fmt: skip
    rules = {
        "module.to works in place": in_place,
        "tensor.to returns a new tensor": copied,
        "a module's plain tensor is left behind": behind,
        "an optimiser made before loses the parameters": forgets,
    }
    advice = {
        "assign what tensor.to returns": copied,
        "register a module's tensors as buffers": buffers,
        "load files with map_location": all(needed),
    }
    short, rule, so = (
        [text for text, holds in each.items() if holds] for each in (brief, rules, advice)
    )
    text = f"Here {say.listed(rule) or 'no rule holds'}."
    return Told(
        say.capital("; ".join(short)) or "Not measured",
        " ".join(filter(None, [text, _fastest(found), model.lost_told(cells)])),
        f"{say.capital(', '.join(so))}." if so else "",
        cells,
    )


def _fastest(found: Sequence[Device]) -> str:
    """The fastest copy between host and device, of all devices."""
    rates = [(rate, device, way) for device in found for way, rate in device.rates.items()]
    if not rates:
        return ""
    rate, device, way = max(rates, key=lambda each: each[0].value)
    return f"{say.capital(_copy(device, 'copies', way))} reach {say.measured(rate, 'B/s')}."


def _copy(device: Device, what: str, way: tuple[str, str]) -> str:
    """A way to copy in words: ``pinned copies host → gpu0``."""
    return f"{way[1]} {what} {DIRECTIONS[way[0]].replace('device', device.label)}"


def _numbers(device: Device) -> dict[str, Any]:
    def written(name: str, move: str) -> str:
        return model.written(outcome(device, name, move) or "not measured")

    return {
        "moves": {name: {move: written(name, move) for move in device.moves} for name in ROWS},
        "files": {name: written(name, FILE) for name in FILES},
        "bandwidth_bytes_per_s": {
            "_".join(way): [rate.value, rate.low, rate.high] for way, rate in device.rates.items()
        },
    }


def _view(device: Device) -> Shown:
    """The matrix in short."""
    heads = ["", *(MOVES[move] for move in device.moves)]
    rows: list[Any] = [[n, *(outcome(device, n, move) for move in device.moves)] for n in SHORT]
    return question.tabled(TITLE, heads, rows, device.label)


def _table(found: Sequence[Device]) -> Table:
    """The whole matrix, files included; then how fast copies are."""
    heads = MOVES | {FILE: "with a file"}
    rows = [
        {"what": name, **own}
        for name in ROWS | FILES
        for own in question.alike(
            {d.label: {heads[m]: outcome(d, name, m) for m in heads} for d in found}
        )
    ]
    for device in found:
        for way, rate in device.rates.items():
            speed = Cell(text=say.measured(rate, "B/s"), value=rate.value)
            copy = {"what": _copy(device, "copy", way), "device": device.label}
            rows.append({**copy, MOVES[DEVICE]: speed})
    return model.tabled(rows)


main = partial(question.run, "placement", answer)

if __name__ == "__main__":
    main()
