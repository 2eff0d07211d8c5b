"""Memory modules, and the width of the bus that they make up.

Firmware describes each module (SMBIOS, type 17); udev, dmidecode and lshw print that table in three
ways, and the kernel's error detection (EDAC) knows part of it. Serial and part numbers are in it,
too; they are never read.

Firmware is often wrong, so a width or a rate counts only where the standard of the module's type
allows it (:data:`STANDARDS`), and a bus only where its channels can be told apart: what contradicts
itself is not exposed, with the reason, rather than guessed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from assay import machine
from assay.probe.items import known


@dataclass(frozen=True)
class Standard:
    """What a type of memory can be.

    Attributes:
        widths: Data bits that one channel can have.
        slowest: Transfers per second, in millions, of its slowest grade.
        fastest: Of its fastest, with what is sold beyond the standard.
    """

    widths: tuple[int, ...]
    slowest: int
    fastest: int


# JEDEC JESD79 (DDR), 79-2 to 79-5 (DDR5: a channel of 64, or its two halves of 32) and 209-2 to
# 209-5 (LPDDR4 and 5: channels of 16, often listed in pairs; LPDDR2 and 3: of 32 or 64).
STANDARDS = {
    "DDR": Standard((64,), 200, 500),
    "DDR2": Standard((64,), 400, 1200),
    "DDR3": Standard((64,), 800, 3200),
    "DDR4": Standard((64,), 1600, 5400),
    "DDR5": Standard((32, 64), 3200, 10000),
    "LPDDR": Standard((16, 32), 200, 500),
    "LPDDR2": Standard((16, 32, 64), 400, 1100),
    "LPDDR3": Standard((32, 64), 800, 2200),
    "LPDDR4": Standard((16, 32), 1600, 4300),
    "LPDDR5": Standard((16, 32), 3200, 11000),
}
UNNAMED = Standard((16, 32, 64), 100, 11000)  # where the table does not say which type it is
# Widths in which bits of error correction are counted among the data, and what is left.
WITH_CORRECTION = {72: 64, 80: 64, 40: 32, 36: 32}
OLD_CHANNELS = 2  # at most so many low-power channels are listed as if they had 64 bits, as before
MODULES_MOST = 3  # in one channel

# Types of the table that are no main memory (SMBIOS 3.7, section 7.18.2).
OTHER_THAN_MEMORY = {"FLASH", "ROM", "EEPROM", "FEPROM", "EPROM", "SRAM", "VRAM",
                     "LOGICAL NON-VOLATILE DEVICE"}  # fmt: skip
CHIP = re.compile(r"\b(SYSTEM ROM|BIOS|FLASH|SPI)\b")


class UnknownBus(ValueError):
    """The modules do not tell the width of the bus; the message says what is missing."""


@dataclass(frozen=True)
class Module:
    """One populated module, as far as it is described.

    Attributes:
        locator: The name of its slot.
        bank: What the table calls the bank; some name processor and channel there.
        kind: ``DDR4``, ``LPDDR5`` …
        size_bytes: How much it holds.
        data_bits: As the table has it, right or wrong.
        rate_mts: Configured transfers per second, in millions, where they are possible.
        slots: The names of all slots of the table, empty ones included.
    """

    locator: str = ""
    bank: str = ""
    kind: str | None = None
    size_bytes: int | None = None
    data_bits: int | None = None
    rate_mts: int | None = None
    slots: tuple[tuple[str, str], ...] = ()

    def values(self) -> dict[str, JsonValue]:
        """The module for a record."""
        return known(
            locator=self.locator or None,
            bank=self.bank or None,
            type=self.kind,
            size_bytes=self.size_bytes,
            data_width_bits=self.data_bits,
            transfer_rate_mts=self.rate_mts,
        )

    @property
    def is_memory(self) -> bool:
        """Whether it is main memory: the firmware's own chip is in the table, too."""
        if (self.kind or "").upper() in OTHER_THAN_MEMORY:
            return False
        return family(self.kind) is not None or not CHIP.search(self.locator.upper())


def family(kind: str | None) -> str | None:
    """The standard that a type belongs to: ``DDR4`` of ``Registered-DDR4``; None where unnamed."""
    text = (kind or "").upper()
    match = re.search(r"DDR(\d?)", text)
    if match is None:
        return None
    low_power = text.startswith("LP") or "LOW-POWER" in text or "LOW POWER" in text
    name = f"{'LP' if low_power else ''}DDR{match[1]}"
    return name if name in STANDARDS else None


def standard(kind: str | None) -> Standard:
    """What a type of memory can be."""
    name = family(kind)
    return STANDARDS[name] if name else UNNAMED


def bus(modules: Iterable[Module]) -> dict[str, JsonValue]:
    """Width of the bus in bits: the sum, over distinct populated channels, of their data widths.

    Two modules in one channel share its wires.

    Raises:
        UnknownBus: A module names no channel, or what the table says cannot be.
    """
    listed = [module for module in modules if module.is_memory]
    if not listed:
        raise UnknownBus("not exposed: the table lists no memory")
    _refuse_repeats(listed)
    places = [_place(module) for module in listed]
    _refuse_crowds(listed, places)
    widths: dict[tuple[str, ...], int] = {}
    for module, place in zip(listed, places, strict=True):
        bits = _width(module, len(set(places)))
        widths[place] = max(widths.get(place, 0), bits)
    rates = [module.rate_mts for module in listed]
    bits = sum(widths.values())
    slowest = min((rate for rate in rates if rate), default=None) if all(rates) else None
    return known(
        bus_width_bits=bits,
        channels=len(widths),
        transfer_rate_mts=slowest,
        bandwidth_bytes_per_s=None if slowest is None else bits / 8 * slowest * 1e6,
    )


def _place(module: Module) -> tuple[str, ...]:
    place = channel(module)
    if place is None:
        name = module.locator.strip() or "unnamed"
        raise UnknownBus(f"not exposed: the module at {name!r} does not name its channel")
    return place


def _width(module: Module, channels: int) -> int:
    """Data bits of a module's channel, where its type can have so many."""
    name = module.locator.strip()
    if module.data_bits is None:
        raise UnknownBus(f"not exposed: no data width is given for {name!r}")
    bits = module.data_bits
    own = family(module.kind)
    if own is None or not own.startswith("LP"):
        bits = WITH_CORRECTION.get(bits, bits)
    allowed = standard(module.kind).widths
    whole_channels = bits == 64 and (own or "").startswith("LP") and channels <= OLD_CHANNELS
    if bits not in allowed and not whole_channels:
        raise UnknownBus(
            f"not exposed: the firmware gives {name!r} {module.data_bits} data bits, which a "
            f"channel of {module.kind or 'memory'} cannot have"
        )
    return bits


def _refuse_repeats(modules: Sequence[Module]) -> None:
    """Two modules cannot sit in one slot.

    Raises:
        UnknownBus: A name with the number of a slot stands there twice.
    """
    for (locator, _), times in Counter((each.locator, each.bank) for each in modules).items():
        if times > 1 and re.search(r"(DIMM|SLOT)[ _-]*[A-Z]?\d", locator.upper()):
            raise UnknownBus(f"not exposed: the firmware names {times} modules {locator.strip()!r}")


def _refuse_crowds(modules: Sequence[Module], places: Sequence[tuple[str, ...]]) -> None:
    """A channel has three slots at most: what holds more is a processor or a group of channels.

    Raises:
        UnknownBus: What looks like a channel has more slots, filled or empty.
    """
    counts = Counter(places)
    slots = (channel(Module(locator, bank)) for locator, bank in set(modules[0].slots))
    counts |= Counter(place for place in slots if place)
    for place, number in counts.items():
        if number > MODULES_MOST:
            raise UnknownBus(
                f"not exposed: the firmware lists {number} slots under {' '.join(place)!r}, more "
                "than a channel has"
            )


# The channel where it is named, best first: "ChannelA", "CHAN A", "CHA1"; "Channel0", "CH0".
NAMED = (
    re.compile(r"(?<![A-Z])CH(?:AN(?:NEL)?)?[ _-]*([A-Z])\d*(?![A-Z0-9])"),
    re.compile(r"(?<![A-Z])CH(?:AN(?:NEL)?)?[ _-]*(\d+)(?![A-Z0-9])"),
)
LETTERED = re.compile(r"DIMM[ _-]*(?:P\d+[ _-]*)?([A-Z])\d(?![A-Z0-9])")
ABOVE = re.compile(
    r"(?<![A-Z])(PROC|CPU|P|NODE|SOCKET|SKT|DIE|CONTROLLER|IMC|MC|BOARD|RISER)[ _-]*(\d+)"
)


def channel(module: Module) -> tuple[str, ...] | None:
    """Processor, controller and channel of a module; None where its locators do not name one.

    Read are ``ChannelA-DIMM0``, ``P0 CHANNEL A``, ``CHAN A DIMM 0``, ``DIMM CHA1``,
    ``P0_Node0_Channel0_Dimm0``, ``SOCKET 1 CHANNEL 3``, ``Controller1-ChannelA`` and ``DIMM_A2`` or
    ``P1-DIMMA1``, where the letter is the channel. Not read are bare slot numbers (``A1``,
    ``DIMM 3``): their meaning depends on the board.
    """
    text = f"{module.bank} {module.locator}".upper()
    found = (pattern.search(text) for pattern in (*NAMED, LETTERED))
    match = next((each for each in found if each), None)
    if match is None:
        return None
    above = ABOVE.findall(text)
    return (*sorted({f"{word}{number}" for word, number in above}), match[1])


def rate(kind: str | None, configured: int | None, most: int | None) -> int | None:
    """The rate that a module runs at in MT/s; None where the table cannot be believed.

    Some firmware writes the clock, which is half the rate.

    Args:
        kind: Its type.
        configured: What the table calls its configured speed.
        most: What the table calls its speed: the highest that it can.
    """
    own = standard(kind)
    told = configured or most
    if not told:
        return None
    halved = bool(configured and most and abs(2 * configured - most) <= 2)
    if own.slowest <= told <= own.fastest and not halved:
        return told
    if halved and told < own.slowest:
        return 2 * told
    return None  # impossible, or as well the clock of a fast module as the rate of a slow one


def _told(modules: Iterable[Module], slots: Iterable[tuple[str, str]]) -> list[Module]:
    """The modules that are memory, each with the names of all slots."""
    names = tuple(slots)
    return [replace(module, slots=names) for module in modules if module.is_memory]


def of_udev(text: str) -> list[Module]:
    """Modules in ``udevadm info -q property -p /sys/devices/virtual/dmi/id``."""
    slots: dict[str, dict[str, str]] = {}
    for number, key, value in re.findall(r"^MEMORY_DEVICE_(\d+)_(\w+)=(.*)$", text, re.MULTILINE):
        slots.setdefault(number, {})[key] = value
    found = [
        Module(
            locator=slot.get("LOCATOR", ""),
            bank=slot.get("BANK_LOCATOR", ""),
            kind=slot.get("TYPE"),
            size_bytes=_number(slot.get("SIZE")),
            data_bits=_number(slot.get("DATA_WIDTH")),
            rate_mts=rate(
                slot.get("TYPE"),
                _number(slot.get("CONFIGURED_SPEED_MTS")),
                _number(slot.get("SPEED_MTS")),
            ),
        )
        for slot in slots.values()
        if slot.get("PRESENT") != "0" and _number(slot.get("SIZE"))
    ]
    names = [(slot.get("LOCATOR", ""), slot.get("BANK_LOCATOR", "")) for slot in slots.values()]
    return _told(found, names)


def of_dmidecode(text: str) -> list[Module]:
    """Modules in ``dmidecode --type 17``."""
    slots = [
        dict(re.findall(r"^\t([^\t:]+): (.*)$", block, re.MULTILINE))
        for block in text.split("Memory Device\n")[1:]
    ]
    found = [
        Module(
            locator=slot.get("Locator", ""),
            bank=slot.get("Bank Locator", ""),
            kind=slot.get("Type"),
            size_bytes=_sized(slot["Size"]),
            data_bits=_number(slot.get("Data Width")),
            rate_mts=rate(
                slot.get("Type"),
                _number(slot.get("Configured Memory Speed"))
                or _number(slot.get("Configured Clock Speed")),
                _number(slot.get("Speed")),
            ),
        )
        for slot in slots
        if _number(slot.get("Size"))  # else "No Module Installed"
    ]
    names = [(slot.get("Locator", ""), slot.get("Bank Locator", "")) for slot in slots]
    return _told(found, names)


def of_lshw(text: str) -> list[Module]:
    """Modules in ``lshw -class memory -json``; its clock is the transfer rate in hertz."""
    try:
        listed = json.loads(text) if text.strip() else []
    except ValueError:  # old versions print no list around several
        return []
    banks = [entry for entry in _all(listed) if str(entry.get("id", "")).startswith("bank")]
    found = [
        Module(
            locator=str(entry.get("slot", "")),
            size_bytes=entry["size"],
            data_bits=entry.get("width"),
            rate_mts=rate(None, _megahertz(entry.get("clock")), None),
        )
        for entry in banks
        if entry.get("size")
    ]
    return _told(found, [(str(entry.get("slot", "")), "") for entry in banks])


def _megahertz(clock: int | None) -> int | None:
    """A clock in MHz. lshw keeps whole MHz in 32 bits of hertz: faster ones come out too small."""
    if not clock:
        return None
    hertz = clock if clock % 10**6 == 0 else clock + 2**32
    return hertz // 10**6 if hertz % 10**6 == 0 else None


def _all(entries: Any) -> list[Mapping[str, Any]]:
    """Every entry of a nested list."""
    listed = entries if isinstance(entries, list) else [entries]
    known_entries = [entry for entry in listed if isinstance(entry, dict)]
    return [each for entry in known_entries for each in (entry, *_all(entry.get("children", [])))]


def of_edac(root: Path) -> list[Module]:
    """Modules in ``/sys/devices/system/edac/mc``: type, size and channel, but no speed.

    Drivers that know ranks list those; the ranks of a channel are one module here.
    """
    found: dict[tuple[str, str], Module] = {}
    for folder in sorted((root / "sys/devices/system/edac/mc").glob("mc*/*")):
        if not re.fullmatch(r"(dimm|rank)\d+", folder.name):
            continue
        place, kind = machine.text(folder / "dimm_location"), machine.text(folder / "dimm_mem_type")
        size = _number(machine.text(folder / "size"))
        if not size:
            continue
        if folder.name.startswith("rank"):
            place = re.sub(r"csrow \d+ ?", "", place)
        name = family(kind)
        known_width = name in STANDARDS and not str(name).startswith("LP") and name != "DDR5"
        key = (folder.parent.name, place)
        before = found.get(key)
        found[key] = Module(
            locator=place,
            bank=folder.parent.name,
            kind=kind,
            size_bytes=size * 2**20 + (before.size_bytes or 0 if before else 0),
            # EDAC knows no widths. A channel of DDR5 is listed whole or in halves.
            data_bits=64 if known_width else None,
        )
    return [*found.values()]


def _number(text: str | None) -> int | None:
    match = re.match(r"(\d+)", text or "")
    return int(match[1]) if match else None


def _sized(text: str) -> int | None:
    """Bytes in a size as dmidecode writes it: ``16 GB``, ``32 GiB`` (both powers of two)."""
    match = re.match(r"(\d+) *([kKMGT]?)i?B?", text)
    if match is None:
        return None
    powers = {"": 0, "k": 10, "K": 10, "M": 20, "G": 30, "T": 40}
    return int(match[1]) << powers[match[2]]
