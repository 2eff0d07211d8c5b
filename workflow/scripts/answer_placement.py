"""How should parameters be read and written on a GPU? Moves between number formats and devices.

The moves come from the study ``placement``, the speed of copies between host and device from the
study ``bandwidth``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from assay.answer import question
from assay.answer import old_figure as figure
from assay.answer.figure import Cell
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OK, CARE, BAD = "✓", "!", "✗"
FORMAT, META, DEVICE = "number format", "meta", "device"
MOVES = {FORMAT: "float32 → float64", META: "device → meta", DEVICE: "CPU → device"}
FILE = "file"
DIRECTIONS = {"host_to_device": "host → device", "device_to_host": "device → host"}


@dataclass(frozen=True)
class Transfer:
    """Copies between host and device in one direction."""

    direction: str
    host_memory: str  # pageable or pinned
    rate: Interval  # bytes/s


@dataclass(frozen=True)
class Device:
    """What the records say about one device."""

    label: str
    results: dict[tuple[str, str], dict[str, Any]]  # by check and move
    transfers: list[Transfer]

    @property
    def moves(self) -> list[str]:
        """The moves that it allows."""
        return [move for move in MOVES if any(move == made for _, made in self.results)]

    def all(self, check: str, key: str) -> list[bool]:
        """One outcome of a check, over the moves for which it is known."""
        known = [self.results[check, move] for move in self.moves if (check, move) in self.results]
        return [bool(result[key]) for result in known]


def devices(records: Sequence[Record]) -> list[Device]:
    """Every device on which something was moved."""
    found = []
    for each in records:
        if each.study != "placement" or not each.trials:
            continue
        label = str(each.axes["device"])
        results = {
            (str(trial.what["check"]), str(trial.what["move"])): dict(trial.result)
            for trial in each.trials
            if trial.status == Status.OK
        }
        bandwidth = [r for r in records if r.study == "bandwidth" and r.axes["device"] == label]
        copies = [_transfer(trial) for r in bandwidth for trial in r.trials if _is_transfer(trial)]
        found.append(Device(label, results, copies))
    return [device for device in found if device.results]


def _is_transfer(trial: Trial) -> bool:
    return "transfer" in trial.what and trial.status == Status.OK


def _transfer(trial: Trial) -> Transfer:
    result: Any = trial.result
    keys = ("bandwidth", "bandwidth_low", "bandwidth_high")
    return Transfer(
        str(trial.what["transfer"]),
        str(trial.what["host_memory"]),
        Interval(*(result[f"{key}_bytes_per_s"] for key in keys)),
    )


# ---- outcomes ------------------------------------------------------------------------------------


def chosen(value: bool, yes: Cell, no: Cell) -> Cell:
    """One of two cells."""
    return yes if value else no


def raised(result: Mapping[str, Any], otherwise: Cell) -> Cell:
    """The error, or what to say where there was none."""
    return Cell(str(result["error"]), BAD) if result["error"] else otherwise


def filled(result: Mapping[str, Any]) -> Cell:
    """What tensors of a file did to a module that is somewhere else."""
    if result["error"]:
        return Cell(str(result["error"]), BAD)
    if not result["stays_at_source"]:
        return Cell("module follows\nthe file", CARE)
    if result.get("largest_difference", 0) > 0:
        return Cell("module stays,\nvalues rounded", CARE)
    return Cell("module stays", OK)


LOST = Cell("not measured")

# Name, check, and what is said of its result.
ROWS: list[tuple[str, str, Callable[[Mapping[str, Any]], Cell]]] = [
    (
        "tensor.to(other)",
        "tensor moved",
        lambda r: chosen(r["same_object"], Cell("in place", CARE), Cell("a new tensor")),
    ),
    (
        "tensor.to(where it is)",
        "tensor kept",
        lambda r: chosen(r["same_object"], Cell("the same object", CARE), Cell("a new tensor")),
    ),
    (
        "… with copy=True",
        "tensor kept",
        lambda r: chosen(
            r["same_object_with_copy"], Cell("the same object", CARE), Cell("a new tensor")
        ),
    ),
    (
        "module.to(other)",
        "module moved",
        lambda r: chosen(r["same_object"], Cell("in place"), Cell("a new module", CARE)),
    ),
    (
        "its parameters",
        "module moved",
        lambda r: chosen(r["same_parameters"], Cell("same objects", OK), Cell("replaced", CARE)),
    ),
    (
        "optimiser made before",
        "module moved",
        lambda r: chosen(r["optimizer_follows"], Cell("follows", OK), Cell("left behind", BAD)),
    ),
    (
        "its buffer",
        "module moved",
        lambda r: chosen(r["buffer_arrived"], Cell("moved", OK), Cell("left behind", BAD)),
    ),
    (
        "its integer buffer",
        "module moved",
        lambda r: chosen(r["integer_buffer_arrived"], Cell("moved", OK), Cell("kept as it is")),
    ),
    (
        "its plain tensor",
        "module moved",
        lambda r: chosen(r["plain_tensor_arrived"], Cell("moved", OK), Cell("left behind", BAD)),
    ),
    ("product of both", "mixed", lambda r: raised(r["product"], Cell("no error", CARE))),
    ("sum of both", "mixed", lambda r: raised(r["sum"], Cell("no error", CARE))),
    (
        "file loaded, no options",
        "file loaded",
        lambda r: chosen(
            r["comes_back_to_target"], Cell("as it was saved"), Cell("elsewhere", CARE)
        ),
    ),
    ("file into module", "file into module", lambda r: filled(r["copying"])),
    ("… with assign=True", "file into module", lambda r: filled(r["assigning"])),
]
FILE_ROWS: list[tuple[str, str, str, str]] = [
    # Name, check, and the keys of what happens without and with the option.
    ("file from an absent device; map_location", "from elsewhere", "plainly", "map_location"),
    ("weights into a skeleton on meta; assign", "skeleton", "copying", "assigning"),
]


def cells(device: Device) -> dict[str, list[Cell]]:
    """The outcome of every check, by move."""
    return {
        name: [
            judge(result) if (result := device.results.get((check, move))) else LOST
            for move in device.moves
        ]
        for name, check, judge in ROWS
    }


def file_cells(device: Device) -> dict[str, list[Cell]]:
    """What happens to files without and with the option that they need."""
    found = {}
    for name, check, *keys in FILE_ROWS:
        result = device.results.get((check, FILE))
        found[name] = [_loaded(result[key]) if result else LOST for key in keys]
    return found


def _loaded(result: Mapping[str, Any]) -> Cell:
    if result["error"]:
        return Cell(str(result["error"]), BAD)
    return chosen(result.get("has_data", True), Cell("loaded", OK), Cell("silently nothing", BAD))


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of the moves and of the bandwidth."""
    found = devices(records)
    return Findings(
        sentence=" ".join(map(sentence, found)) or "Nothing could be moved; the reasons are below.",
        findings=[text for device in found for text in findings(device)],
        numbers={device.label: _numbers(device) for device in found},
        method=[
            "Each move is done on small tensors and modules, and identity, place, number format "
            "and values are compared afterwards. `meta` is torch's device for shapes without data; "
            "every machine has it.",
            "The file from an absent device was written here, and the device's name in it was "
            "exchanged for one that no machine has. Files are loaded with weights_only=True.",
            "Bandwidth between host and device is that of the bandwidth study, with its intervals.",
        ],
        caveats=[
            "A move to another number format runs the same code of nn.Module.to as a move to a "
            "GPU, but only a second device shows the errors and the speed of that.",
            "One version of torch, with its defaults: `torch.__future__` has a switch that makes "
            "modules replace their parameters instead.",
        ],
        picture=Picture(
            title="What moves in place, what is copied, and what fails",
            alternative=". ".join(text for device in found for text in spoken(device))
            or "Nothing could be measured.",
        ),
        table=_table(found),
        frame=_frame(records),
        figure=_figure(found),
    )


def sentence(device: Device) -> str:
    """The answer for one device."""
    parts = []
    if any(in_place := device.all("module moved", "same_object")) and all(in_place):
        parts.append("module.to works in place")
    if (same := device.all("tensor moved", "same_object")) and not any(same):
        text = "tensor.to returns a new tensor"
        if any(kept := device.all("tensor kept", "same_object")) and all(kept):
            text += ", or the very same one where nothing changes"
        parts.append(text)
    if (plain := device.all("module moved", "plain_tensor_arrived")) and not any(plain):
        parts.append("a plain tensor in a module is left behind")
    if follows := device.all("module moved", "optimizer_follows"):
        parts.append(_optimiser(device, follows))
    elsewhere = device.results.get(("from elsewhere", FILE))
    if elsewhere and elsewhere["plainly"]["error"] and not elsewhere["map_location"]["error"]:
        parts.append("a file from a device that is not here can be read with map_location only")
    parts += [_rate(each) for each in device.transfers]
    if not device.transfers:
        parts.append("the speed of copies between two devices could not be measured here")
    return f"{device.label} – {'; '.join(parts)}."


def _optimiser(device: Device, follows: Sequence[bool]) -> str:
    """What becomes of an optimiser that was made before a module is moved."""
    if all(follows):
        return "an optimiser made before follows"
    moved = {move: device.results.get(("module moved", move)) for move in device.moves}
    lost = [MOVES[move] for move, each in moved.items() if each and not each["optimizer_follows"]]
    return f"an optimiser made before loses the parameters ({', '.join(lost)})"


def _rate(each: Transfer) -> str:
    rate = each.rate
    return (
        f"{DIRECTIONS[each.direction]} {each.host_memory} {rate.value / 1e9:.3g} "
        f"[{rate.low / 1e9:.3g}, {rate.high / 1e9:.3g}] GB/s"
    )


def findings(device: Device) -> list[str]:
    """Errors in torch's own words, and what is silent."""
    texts = []
    for move in device.moves:
        mixed = device.results.get(("mixed", move), {})
        for what, said in mixed.items():
            outcome = f"{said['error']}: {said['message']}" if said["error"] else "no error"
            texts.append(f"{device.label}, {what} across {MOVES[move]}: {outcome}.")
    if loaded := device.results.get(("file into module", FORMAT)):
        rounded = loaded["copying"]
        if rounded["error"] is None and rounded["largest_difference"] > 0:
            texts.append(
                f"{device.label}: float64 weights loaded into a float32 module are rounded without "
                f"a word, here by up to {rounded['largest_difference']:.2g}."
            )
    if elsewhere := device.results.get(("from elsewhere", FILE)):
        texts.append(
            f"{device.label}, file from an absent device: "
            f"{elsewhere['plainly']['error']} ({elsewhere['plainly']['message']}); with "
            f'map_location="cpu" it is {"bit for bit" if elsewhere["equal"] else "not"} what was '
            "saved."
        )
    if skeleton := device.results.get(("skeleton", FILE)):
        texts += _skeleton_findings(device, skeleton)
    return texts


def _skeleton_findings(device: Device, skeleton: Mapping[str, Any]) -> list[str]:
    """What becomes of a module without data."""
    texts = []
    if skeleton["copying"]["error"] is None and not skeleton["copying"]["has_data"]:
        texts.append(
            f"{device.label}: load_state_dict into a module on meta does nothing, without an "
            f"error; with assign=True it "
            f"{'works' if skeleton['assigning']['has_data'] else 'does not work either'}."
        )
    said = skeleton["moving"]
    return [*texts, f"{device.label}, meta → CPU: {said['error']} ({said['message']})."]


def spoken(device: Device) -> list[str]:
    """The matrix in words."""
    heads = [MOVES[move] for move in device.moves]
    return [
        f"{device.label}, {name}: "
        + ", ".join(f"{head}: {_flat(cell)}" for head, cell in zip(heads, row, strict=True))
        for name, row in cells(device).items()
    ]


def _flat(cell: Cell) -> str:
    return " ".join(cell.text.split())


def _signed(cell: Cell) -> str:
    return f"{cell.sign} {_flat(cell)}".strip()


def _numbers(device: Device) -> dict[str, Any]:
    named = {
        name: dict(zip(device.moves, map(_signed, row), strict=True))
        for name, row in cells(device).items()
    }
    files = {name: [*map(_signed, row)] for name, row in file_cells(device).items()}
    rates = {
        f"{each.direction}_{each.host_memory}": [each.rate.value, each.rate.low, each.rate.high]
        for each in device.transfers
    }
    return {"moves": named, "files": files, "bandwidth_bytes_per_s": rates}


def _table(found: Sequence[Device]) -> Table:
    columns = [Column(name="device"), Column(name="what"), *map(_column, MOVES)]
    rows: list[list[str | float | int | None]] = []
    for device in found:
        for name, row in cells(device).items():
            by_move = dict(zip(device.moves, row, strict=True))
            said = [_signed(by_move[move]) if move in by_move else None for move in MOVES]
            rows.append([device.label, name, *said])
    return Table(columns=columns, rows=rows)


def _column(move: str) -> Column:
    return Column(name=MOVES[move])


def _frame(records: Sequence[Record]) -> pd.DataFrame:
    """Tidy, one row per outcome of a check, and one per direction of a copy."""
    rows = []
    for each in records:
        for trial in each.trials:
            head = {"study": each.study, **each.axes, **trial.what, "status": trial.status.value}
            if each.study == "placement":
                rows += [{**head, "outcome": k, "value": v} for k, v in _plain(trial.result)]
            elif _is_transfer(trial):
                rate = trial.result["bandwidth_bytes_per_s"]
                rows.append({**head, "outcome": "bandwidth_bytes_per_s", "value": rate})
    return pd.DataFrame(rows)


def _plain(result: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Outcomes by name, those inside others with both names."""
    found: list[tuple[str, Any]] = []
    for key, value in result.items():
        name = f"{before}{key}"
        found += _plain(value, f"{name} ") if isinstance(value, dict) else [(name, value)]
    return found


# ---- drawing -------------------------------------------------------------------------------------


def _figure(found: Sequence[Device]) -> Figure:
    """Per device the matrix of moves, that of files, and the bandwidth where there is one."""
    if not found:
        return figure.nothing()
    heights = {"moves": 0.7 + 0.3 * len(ROWS), "files": 0.45 + 0.34 * len(FILE_ROWS), "rates": 1.7}
    rows = [
        (kind, device)
        for device in found
        for kind in heights
        if kind != "rates" or device.transfers
    ]
    drawn, axes = figure.mosaic(
        [[f"{kind} {device.label}"] for kind, device in rows],
        height_in=sum(heights[kind] for kind, _ in rows),
        height_ratios=[heights[kind] for kind, _ in rows],
    )
    draw = {"moves": _moves, "files": _files, "rates": _rates}
    for kind, device in rows:
        draw[kind](axes[f"{kind} {device.label}"], device)
    return drawn


def _moves(axes: Axes, device: Device) -> None:
    outcomes = cells(device)
    axes.set_title(device.label, loc="left")
    heads = [MOVES[move].replace("device", device.label) for move in device.moves]
    figure.matrix(axes, [*outcomes], heads, [*outcomes.values()])


def _files(axes: Axes, device: Device) -> None:
    outcomes = file_cells(device)
    names = [name.replace("; ", ";\noption: ") for name in outcomes]
    figure.matrix(axes, names, ["without the option", "with it"], [*outcomes.values()])


def _rates(axes: Axes, device: Device) -> None:
    axes.set_title(f"{device.label}: copies between host and device")
    names = [f"{DIRECTIONS[each.direction]}, {each.host_memory}" for each in device.transfers]
    for y, each in enumerate(device.transfers):
        low, high = each.rate.low / 1e9, each.rate.high / 1e9
        axes.plot([low, high], [y, y], color=figure.BLUE, linewidth=1.6)
        axes.plot(each.rate.value / 1e9, y, "o", color=figure.BLUE)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("GB/s; line: 95 %")


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("placement", answer, argv)


if __name__ == "__main__":
    main()
