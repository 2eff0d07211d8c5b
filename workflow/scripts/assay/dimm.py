"""Memory modules, and the width of the bus that they make up.

Firmware describes each module (SMBIOS, type 17); udev, dmidecode and lshw print that table in three
ways, and the kernel's error detection (EDAC) knows part of it. Serial and part numbers are in it,
too; they are never read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from assay.hardware import known

# EDAC does not know widths, but a channel of these has 64 data bits by its standard (JEDEC
# JESD79-3 and JESD79-4). A channel of DDR5 can be reported whole or in halves, so it is left out.
JEDEC_BITS = {"DDR3": 64, "DDR4": 64}


class UnknownBus(ValueError):
    """The modules do not tell the width of the bus; the message says what is missing."""


@dataclass(frozen=True)
class Module:
    """One populated module, as far as it is described."""

    locator: str = ""
    bank: str = ""
    kind: str | None = None  # DDR4, DDR5 …
    size_bytes: int | None = None
    data_bits: int | None = None  # without the bits of error correction
    rate_mts: int | None = None  # configured transfers per second, in millions

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


def bus(modules: Iterable[Module]) -> dict[str, JsonValue]:
    """Width of the bus in bits: the sum, over distinct populated channels, of their data widths.

    Two modules in one channel share its wires.

    Raises:
        UnknownBus: A module names no channel or no width.
    """
    widths: dict[tuple[str, ...], int] = {}
    rates = []
    for module in modules:
        place = channel(module)
        if place is None:
            name = module.locator or "unnamed"
            raise UnknownBus(f"not exposed: the module at {name!r} does not name its channel")
        if module.data_bits is None:
            raise UnknownBus(f"not exposed: no data width is given for {module.locator!r}")
        widths[place] = max(widths.get(place, 0), module.data_bits)
        rates.append(module.rate_mts)
    bits = sum(widths.values())
    slowest = min((rate for rate in rates if rate), default=None) if all(rates) else None
    return known(
        bus_width_bits=bits,
        channels=len(widths),
        transfer_rate_mts=slowest,
        bandwidth_bytes_per_s=None if slowest is None else bits / 8 * slowest * 1e6,
    )


def channel(module: Module) -> tuple[str, ...] | None:
    """Processor, controller and channel of a module; None where its locators do not name one.

    Read are ``ChannelA-DIMM0``, ``P0 CHANNEL A``, ``P0_Node0_Channel0_Dimm0``,
    ``Controller1-ChannelA`` and ``DIMM_A2`` or ``P1-DIMMA1``, where the letter is the channel. Not
    read are bare slot numbers (``A1``, ``DIMM 3``): their meaning depends on the board.
    """
    text = f"{module.bank} {module.locator}".upper()
    named = re.search(r"CHANNEL[ _-]*([A-Z]|\d+)(?![A-Z0-9])", text)
    lettered = re.search(r"DIMM[ _-]*(?:P\d+[ _-]*)?([A-Z])\d(?![A-Z0-9])", text)
    match = named or lettered
    if match is None:
        return None
    above = re.findall(r"(?<![A-Z])(P|PROC|CPU|NODE|CONTROLLER|MC)[ _-]*(\d+)", text)
    return (*sorted({f"{word}{number}" for word, number in above}), match[1])


def of_udev(text: str) -> list[Module]:
    """Modules in ``udevadm info -q property -p /sys/devices/virtual/dmi/id``."""
    slots: dict[str, dict[str, str]] = {}
    for number, key, value in re.findall(r"^MEMORY_DEVICE_(\d+)_(\w+)=(.*)$", text, re.MULTILINE):
        slots.setdefault(number, {})[key] = value
    return [
        Module(
            locator=slot.get("LOCATOR", ""),
            bank=slot.get("BANK_LOCATOR", ""),
            kind=slot.get("TYPE"),
            size_bytes=_number(slot.get("SIZE")),
            data_bits=_number(slot.get("DATA_WIDTH")),
            rate_mts=_number(slot.get("CONFIGURED_SPEED_MTS") or slot.get("SPEED_MTS")),
        )
        for slot in slots.values()
        if slot.get("PRESENT") != "0" and _number(slot.get("SIZE"))
    ]


def of_dmidecode(text: str) -> list[Module]:
    """Modules in ``dmidecode --type 17``."""
    found = []
    for block in text.split("Memory Device\n")[1:]:
        slot = dict(re.findall(r"^\t([^\t:]+): (.*)$", block, re.MULTILINE))
        if _number(slot.get("Size")) is None:  # "No Module Installed"
            continue
        rate = slot.get("Configured Memory Speed") or slot.get("Configured Clock Speed")
        found.append(
            Module(
                locator=slot.get("Locator", ""),
                bank=slot.get("Bank Locator", ""),
                kind=slot.get("Type"),
                size_bytes=_sized(slot["Size"]),
                data_bits=_number(slot.get("Data Width")),
                rate_mts=_number(rate or slot.get("Speed")),
            )
        )
    return found


def of_lshw(text: str) -> list[Module]:
    """Modules in ``lshw -class memory -json``; its clock is the transfer rate in hertz."""
    try:
        listed = json.loads(text) if text.strip() else []
    except ValueError:  # old versions print no list around several
        return []
    return [
        Module(
            locator=entry.get("slot", ""),
            size_bytes=entry["size"],
            data_bits=entry.get("width"),
            rate_mts=entry["clock"] // 10**6 if "clock" in entry else None,
        )
        for entry in _all(listed)
        if str(entry.get("id", "")).startswith("bank") and entry.get("size")
    ]


def _all(entries: Any) -> list[Mapping[str, Any]]:
    """Every entry of a nested list."""
    listed = entries if isinstance(entries, list) else [entries]
    return [each for entry in listed for each in (entry, *_all(entry.get("children", [])))]


def of_edac(root: Path) -> list[Module]:
    """Modules in ``/sys/devices/system/edac/mc``: type, size and channel, but no speed."""
    found = []
    for folder in sorted((root / "sys/devices/system/edac/mc").glob("mc*/dimm*")):
        try:
            place, kind, size = (
                (folder / name).read_text().strip()
                for name in ("dimm_location", "dimm_mem_type", "size")
            )
        except OSError:
            continue
        if int(size):
            family = re.search(r"DDR\d", kind)
            found.append(
                Module(
                    locator=place,
                    bank=folder.parent.name,
                    kind=kind,
                    size_bytes=int(size) * 2**20,
                    data_bits=JEDEC_BITS.get(family[0]) if family else None,
                )
            )
    return found


def _number(text: str | None) -> int | None:
    match = re.match(r"(\d+)", text or "")
    return int(match[1]) if match else None


def _sized(text: str) -> int:
    """Bytes in a size as dmidecode writes it: ``16 GB``, ``8192 MB`` (powers of two)."""
    number, unit = text.split()[:2]
    return int(number) * {"kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}.get(unit, 1)
