"""How should parameters be read and written on a GPU? Moves between number formats and devices.

The moves come from the study ``placement``, the speed of copies between host and device from the
study ``bandwidth``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from assay.answer import model, question, say, trials
from assay.answer.model import Cell, Content, Main, Table
from assay.answer.model import outcome as cell
from assay.answer.question import Findings, Shown, Told
from assay.record import Record
from assay.statistic import Interval

FORMAT, META, DEVICE = "number format", "meta", "device"
MOVES = {FORMAT: "float32 → float64", META: "device → meta", DEVICE: "CPU → GPU"}
FILE = "file"
DIRECTIONS = {"host_to_device": "host → device", "device_to_host": "device → host"}
TITLE = "What moves in place, what is copied, and what is left behind"

Outcome = Mapping[str, Any]  # of a check
Line = list[Content]


@dataclass(frozen=True)
class Device:
    """What the records say about one device."""

    label: str
    results: Mapping[tuple[str, str], Outcome]  # by check and move
    rates: Mapping[tuple[str, str], Interval]  # bytes/s of copies, by direction and host memory

    @property
    def moves(self) -> list[str]:
        """The moves that it allows."""
        return [move for move in MOVES if any(move == made for _, made in self.results)]


def devices(records: Sequence[Record]) -> list[Device]:
    """Every device on which something was moved."""
    found = []
    for each in question.measured(records):
        if each.study == "placement" and each.trials:
            label = str(each.axes["device"])
            results = {(str(t.what["check"]), str(t.what["move"])): t.result for t in each.trials}
            found.append(Device(label, results, _rates_of(records, label)))
    return found


def _copied(records: Sequence[Record], label: str) -> list[Record]:
    """The bandwidth of a device."""
    return [e for e in records if e.study == "bandwidth" and e.axes["device"] == label]


def _rates_of(records: Sequence[Record], label: str) -> dict[tuple[str, str], Interval]:
    keys = [f"{key}_bytes_per_s" for key in ("bandwidth", "bandwidth_low", "bandwidth_high")]
    return {
        (str(t.what["transfer"]), str(t.what["host_memory"])): Interval(*map(t.result.get, keys))
        for each in question.measured(_copied(records, label))
        for t in each.trials
        if "transfer" in t.what
    }


# ---- outcomes ------------------------------------------------------------------------------------


def pick(key: str, yes: str, no: str) -> Callable[[Outcome], Cell]:
    """One of two cells, by an outcome."""
    return lambda result: cell(yes if result[key] else no)


def raised(key: str, otherwise: Callable[[Outcome], Cell]) -> Callable[[Outcome], Cell]:
    """The error, or what is said of the result where there was none."""

    def judge(result: Outcome) -> Cell:
        own = result[key]
        return cell(f"✗ {own['error']}", str(own["message"])) if own["error"] else otherwise(own)

    return judge


def filled(result: Outcome) -> Cell:
    """What tensors of a file did to a module that is somewhere else."""
    if not result["stays_at_source"]:
        return cell("! module follows the file")
    if off := result.get("largest_difference", 0):
        return cell("! module stays, values rounded", f"by up to {say.number(off, 2)}")
    return cell("✓ module stays")


def loaded(result: Outcome) -> Cell:
    """What a file came to that raised no error."""
    return cell("✓ loaded" if result.get("has_data", True) else "✗ silently nothing")


NEW, KEPT, MOVED, BEHIND = "a new tensor", "! the same object", "✓ moved", "✗ left behind"
MODULE = "module moved"
# Check, and what is said of its result.
ROWS: dict[str, tuple[str, Callable[[Outcome], Cell]]] = {
    "tensor.to(other)": ("tensor moved", pick("same_object", "! in place", NEW)),
    "tensor.to(where it is)": ("tensor kept", pick("same_object", KEPT, NEW)),
    "… with copy=True": ("tensor kept", pick("same_object_with_copy", KEPT, NEW)),
    "module.to(other)": (MODULE, pick("same_object", "in place", "! a new module")),
    "its parameters": (MODULE, pick("same_parameters", "✓ same objects", "! replaced")),
    "optimiser made before": (MODULE, pick("optimizer_follows", "✓ follows", BEHIND)),
    "its buffer": (MODULE, pick("buffer_arrived", MOVED, BEHIND)),
    "its integer buffer": (MODULE, pick("integer_buffer_arrived", MOVED, "kept as it is")),
    "its plain tensor": (MODULE, pick("plain_tensor_arrived", MOVED, BEHIND)),
    "product of both": ("mixed", raised("product", lambda own: cell("! no error"))),
    "sum of both": ("mixed", raised("sum", lambda own: cell("! no error"))),
    "file loaded, no options": (
        *("file loaded", pick("comes_back_to_target", "as it was saved", "! elsewhere")),
    ),
    "file into module": ("file into module", raised("copying", filled)),
    "… with assign=True": ("file into module", raised("assigning", filled)),
}
# What the card shows of them; the rest is in the whole table.
SHORT = [
    *("tensor.to(other)", "module.to(other)", "optimiser made before", "its buffer"),
    *("its plain tensor", "product of both"),
]
FILES: dict[str, tuple[str, Callable[[Outcome], Cell]]] = {
    "file from an absent device": ("from elsewhere", raised("plainly", loaded)),
    "… with map_location": ("from elsewhere", raised("map_location", loaded)),
    "weights into a skeleton on meta": ("skeleton", raised("copying", loaded)),
    "… filled with assign=True": ("skeleton", raised("assigning", loaded)),
}


def outcome(device: Device, name: str, move: str) -> Cell | None:
    """What became of a check in a move; None where there is no such check."""
    check, judge = (ROWS | FILES)[name]
    result = device.results.get((check, move))
    return judge(result) if result else None


def written(device: Device, name: str, move: str) -> str:
    """The same in words."""
    return model.written(outcome(device, name, move) or "not measured")


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of the moves and of the bandwidth."""
    found = devices(records)
    return Findings(
        **vars(_tell(records, found)),
        numbers={device.label: _numbers(device) for device in found},
        method=METHOD,
        caveats=CAVEATS,
        views=[_view(device) for device in found] or question.nothing(TITLE),
        table=_table(found),
        frame=trials.frame(records),
    )


METHOD = [
    "Each move is done on small tensors and modules; identity, place, number format and values are "
    "compared afterwards. “meta” is torch's device for shapes without data, which every machine "
    "has.",
    "The file from an absent device was written here, and its device was renamed to one that no "
    "machine has. Files are loaded with weights_only=True.",
]
CAVEATS = [
    "A move to another number format runs the code of a move to a GPU, but only a second device "
    "shows the errors and the speed of that.",
    "One version of torch, with its defaults: torch.__future__ can make modules replace their "
    "parameters instead.",
]


def _cells(records: Sequence[Record], found: Sequence[Device]) -> list[Main]:
    """The headline rests on tensors and modules, on moves between devices and their speed."""
    by_label = {device.label: device for device in found}
    moved = [each for each in records if each.study == "placement"]
    cells = []
    for each in moved:
        label = str(each.axes["device"])
        device, where = by_label.get(label), f" on {label}" if len(moved) > 1 else ""
        for name, check in (("tensor.to", "tensor moved"), ("module.to", MODULE)):
            known = device and any(check == own for own, _ in device.results)
            cells.append(Main(f"{name}{where}", lost="" if known else trials.why_lost([each])))
        if device and DEVICE in device.moves:
            lost = "" if device.rates else trials.why_lost(_copied(records, label))
            cells.append(Main(f"speed of copies to {label}", lost=lost))
    if not any(DEVICE in device.moves for device in found):
        cells.append(Main("moves to a GPU", lost="not available"))
    return cells


def _holds(found: Sequence[Device], check: str, key: str, value: bool = True) -> bool:
    """Whether an outcome is known, and so on every device and in every move."""
    results = [
        own for device in found for (name, _), own in device.results.items() if name == check
    ]
    return bool(results) and all(bool(own[key]) == value for own in results)


def _tell(records: Sequence[Record], found: Sequence[Device]) -> Told:
    """What was seen on every device and in every move, and what follows from it."""
    cells = _cells(records, found)
    if not found:
        return Told("Not measured", question.NOTHING, "", cells)
    moved = [device.results.get((MODULE, move)) for device in found for move in (FORMAT, DEVICE)]
    elsewhere = [device.results.get(("from elsewhere", FILE)) for device in found]
    needed = [e and e["plainly"]["error"] and not e["map_location"]["error"] for e in elsewhere]
    in_place = _holds(found, MODULE, "same_object")
    copied = _holds(found, "tensor moved", "same_object", False)
    behind = _holds(found, MODULE, "plain_tensor_arrived", False)
    buffers = behind and _holds(found, MODULE, "buffer_arrived")
    brief = {"modules move in place": in_place, "tensors are copied": copied,
             "plain tensors stay behind": behind}  # fmt: skip
    rules = {
        "module.to works in place": in_place,
        "tensor.to returns a new tensor": copied,
        "a module's plain tensor is left behind": behind,
        "an optimiser made before loses the parameters": any(
            own and not own["optimizer_follows"] for own in moved
        ),
    }
    advice = {"assign what tensor.to returns": copied,
              "register a module's tensors as buffers": buffers,
              "load files with map_location": all(needed)}  # fmt: skip
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
    rates = [(rate, device.label, way) for device in found for way, rate in device.rates.items()]
    if not rates:
        return ""
    rate, label, (direction, memory) = max(rates, key=lambda each: each[0].value)
    way = DIRECTIONS[direction].replace("device", label)
    return f"{say.capital(memory)} copies {way} reach {say.measured(rate, 'B/s')}."


def _numbers(device: Device) -> dict[str, Any]:
    return {
        "moves": {name: {m: written(device, name, m) for m in device.moves} for name in ROWS},
        "files": {name: written(device, name, FILE) for name in FILES},
        "bandwidth_bytes_per_s": {
            "_".join(way): [rate.value, rate.low, rate.high] for way, rate in device.rates.items()
        },
    }


def _view(device: Device) -> Shown:
    """The matrix in short."""
    rows: list[Line] = [[name, *(outcome(device, name, m) for m in device.moves)] for name in SHORT]
    return question.tabled(TITLE, ["", *map(MOVES.get, device.moves)], rows, device.label)


def _table(found: Sequence[Device]) -> Table:
    """The whole matrix, files included; then how fast copies are."""
    place = ["device"] if len(found) > 1 else []
    rows: list[Line] = []
    for name in ROWS | FILES:
        cells = {d.label: [outcome(d, name, move) for move in (*MOVES, FILE)] for d in found}
        rows += [[name, *own[: len(place)], *own[1:]] for own in question.alike(cells)]
    for device in found:
        for (direction, memory), rate in device.rates.items():
            way = f"{memory} copy {DIRECTIONS[direction]}".replace("device", device.label)
            speed = Cell(text=say.measured(rate, "B/s"), value=rate.value)
            rows.append([way, *(device.label for _ in place), None, None, speed, None])
    return model.headed(["what", *place, *MOVES.values(), "with a file"], rows)


main = partial(question.run, "placement", answer)

if __name__ == "__main__":
    main()
