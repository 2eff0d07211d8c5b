"""The caches of a CPU, whichever tool lists them.

Each list has one entry per kind of cache: level, type, size of one instance, number of instances,
and how many CPUs share an instance where that is told.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue


def of_sysfs(root: Path) -> list[dict[str, JsonValue]]:
    """The caches that Linux lists per CPU, each physical cache counted once.

    One that does not tell its size is left out, and one that names no CPU is that CPU's own.
    """
    seen: set[tuple[int, str, int, str]] = set()
    for folder in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index[0-9]*"):
        try:
            level, kind, size, shared = (
                (folder / name).read_text(errors="replace").strip("\0 \n")
                for name in ("level", "type", "size", "shared_cpu_list")
            )
            own = folder.parents[1].name.removeprefix("cpu")
            count_cpus(shared)
            seen.add((int(level), kind.lower(), _kibibytes(size), shared or own))
        except (OSError, ValueError, IndexError):
            continue
    counts = Counter(
        (level, kind, size, count_cpus(shared)) for level, kind, size, shared in sorted(seen)
    )
    return [
        {
            "level": level,
            "type": kind,
            "size_bytes": size,
            "shared_by_cpus": cpus,
            "instances": instances,
        }
        for (level, kind, size, cpus), instances in counts.items()
        if size > 0
    ]


def _kibibytes(text: str) -> int:
    """Bytes in a size as sysfs writes it: ``48K``, ``32M``."""
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1], 1)
    return int(text.rstrip("KMG")) * factor


def count_cpus(text: str) -> int:
    """Number of CPUs in a list such as ``0-3,8``."""
    ends = [part.split("-") for part in text.split(",") if part]
    return sum(int(pair[-1]) - int(pair[0]) + 1 for pair in ends)


def joined(
    one: Sequence[Mapping[str, JsonValue]], other: Sequence[Mapping[str, JsonValue]]
) -> list[dict[str, JsonValue]]:
    """Two lists of caches as one: of the second, the levels that the first does not know."""
    levels = {entry["level"] for entry in one}
    return [dict(e) for e in one] + [dict(e) for e in other if e["level"] not in levels]


def of_lscpu(text: str) -> list[dict[str, JsonValue]]:
    """The caches of ``lscpu --bytes --caches --json`` that have a size."""
    try:
        listed = json.loads(text)["caches"] if text else []
    except (ValueError, KeyError, TypeError):
        return []
    found: list[dict[str, JsonValue]] = []
    for entry in listed:
        try:
            one, every = int(entry["one-size"]), entry.get("all-size")
            found.append(
                {
                    "level": int(entry["level"]),
                    "type": str(entry["type"]).lower(),
                    "size_bytes": one,
                    "instances": int(every) // one if every else None,
                }
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            continue
    return found


def of_sysctl(fields: Mapping[str, str]) -> list[dict[str, JsonValue]]:
    """The caches of an Apple chip, by performance level (0 is the fastest cores)."""
    found: list[dict[str, JsonValue]] = []
    for level in (0, 1):
        prefix = f"hw.perflevel{level}."
        cores = int(fields.get(f"{prefix}physicalcpu", 0))
        for name, number, kind, sharing in (
            ("l1dcachesize", 1, "data", 1),
            ("l1icachesize", 1, "instruction", 1),
            ("l2cachesize", 2, "unified", int(fields.get(f"{prefix}cpusperl2", 1))),
        ):
            if cores and (size := fields.get(prefix + name)):
                found.append(
                    {
                        "level": number,
                        "type": kind,
                        "size_bytes": int(size),
                        "shared_by_cpus": sharing,
                        "instances": max(1, cores // sharing),
                    }
                )
    return found
