"""What counts a device's energy, where anything does.

NVML counts that of a GPU (since Volta), RAPL that of a processor's packages. Linux shows RAPL below
``/sys/class/powercap``: since CVE-2020-8694 to root alone, and on most virtual machines to nobody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import pynvml
import torch

from assay import machine
from assay.device import Unavailable

POWERCAP = Path("/sys/class/powercap")


class Counter(Protocol):
    """What a device used since some moment; it moves in steps."""

    source: str  # for the record

    def read_j(self) -> float | None:
        """Joules; None where it cannot be read any more."""


class Nvml:
    """The counter of a whole GPU."""

    source = "nvml"

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def read_j(self) -> float | None:
        """Joules since the driver was loaded."""
        millijoules = machine.ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)
        return None if millijoules is None else millijoules * 1e-3


class Rapl:
    """The counters of all of a processor's packages, together."""

    source = "rapl"

    def __init__(self, zones: Iterable[Path]) -> None:
        self._packages = [_Package(zone) for zone in zones]

    def read_j(self) -> float | None:
        """Joules since the first reading."""
        try:
            return 1e-6 * math.fsum(package.read_uj() for package in self._packages)
        except (OSError, ValueError):
            return None


class _Package:
    """One of them, which begins anew from zero every few minutes."""

    def __init__(self, zone: Path) -> None:
        self._file = zone / "energy_uj"
        self._range = int((zone / "max_energy_range_uj").read_text())
        if self._range <= 0:
            raise ValueError("a counter without a range counts nothing")
        self._last, self._used = int(self._file.read_text()), 0

    def read_uj(self) -> int:
        """Microjoules since the first reading."""
        now = int(self._file.read_text())
        self._used += (now - self._last) % self._range
        self._last = now
        return self._used


def counter_of(device: torch.device, powercap: Path = POWERCAP) -> Counter:
    """The counter of a device.

    Raises:
        Unavailable: There is none, or we may not read it.
    """
    if device.type == "cuda":
        handle = machine.nvml_handle(device)
        if handle is None:
            raise Unavailable("NVML, which would count it, does not show this GPU")
        if machine.is_part(device):
            raise Unavailable("NVML counts a whole GPU, of which this is a part (MIG)")
        counter = Nvml(handle)
        if counter.read_j() is None:
            raise Unavailable("NVML counts none of this GPU, only since Volta")
        return counter
    if device.type != "cpu":
        raise Unavailable(f"nothing that counts it is known for {device.type}")
    zones = _packages(powercap)
    try:
        if zones:
            return Rapl(zones)
    except PermissionError:
        raise Unavailable(
            "only root may read the processor's counter; docs/method.md says how to allow it"
        ) from None
    except (OSError, ValueError):  # listed, but a container hides it
        pass
    raise Unavailable("the system shows no counter (RAPL), as on most virtual machines")


def _packages(powercap: Path) -> list[Path]:
    """The zones of whole packages: what is within one, or is more than one, would count twice."""
    zones = sorted(powercap.glob("intel-rapl:*"))  # AMD's, too, are called so
    return [zone for zone in zones if machine.text(zone / "name").startswith("package")]


def told(device: torch.device) -> dict[str, str]:
    """For the record: the counter's name, or why there is none."""
    try:
        return {"source": counter_of(device).source}
    except Unavailable as missing:
        return {"reason": str(missing)}
