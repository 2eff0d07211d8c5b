"""Keep the records after an edit that changes no number, and answer from them anew.

    python workflow/accept.py

Accepts what the last run of this folder made; with --configfile, what a run with that made. Where
parameters differ or records are missing, nothing is accepted, and the difference is told.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import again

SHOWN = 8  # differences, at most


def commands(text: str) -> dict[str, dict[str, Any]]:
    """The flags of every measuring command in what Snakemake printed, by the record it writes."""
    found = {}
    for line in re.findall(r"\bpython [^\t\n]*?measure_\w+\.py[^\t\n]*", text):
        words = shlex.split(line)
        flags = dict(zip(words[2::2], words[3::2], strict=False))
        settings = leaves(json.loads(flags.pop("--settings")))
        found[flags["--output"]] = settings | {name[2:]: value for name, value in flags.items()}
    return found


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What a command had and has not now: ``protocol.cap_s 4, now 8``."""
    for key in {**was, **now}:
        if was.get(key) != now.get(key):
            yield f"{key} {was.get(key)}, now {now.get(key)}"


def leaves(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value of nested settings, under the dotted name that the configuration gives it."""
    found = {}
    for name, value in settings.items():
        inside = isinstance(value, Mapping)
        found |= leaves(value, f"{prefix}{name}.") if inside else {f"{prefix}{name}": value}
    return found


def refusal(missing: Sequence[str], other: Sequence[str], found: Sequence[str]) -> str:
    """Why nothing is accepted.

    Args:
        missing: Records that are not there.
        other: Records that were made with other parameters.
        found: How these differ, one entry for each of them and each difference.
    """
    parts = []
    if missing:
        parts.append(f"{len(missing)} records are not there ({missing[0]})")
    if other:
        how = ", ".join(f"{what} ({n} ×)" for what, n in Counter(found).most_common(SHOWN))
        parts.append(f"{len(other)} were made with other parameters ({other[0]}): {how}")
    return (
        f"Nothing is accepted: {'; '.join(parts)}. Run snakemake to measure these, or give the "
        "--configfile of the run that is to be accepted."
    )


def main() -> None:
    """Accept the records or say why not; then answer from them."""
    # Not abbreviated: --config is Snakemake's, and so is all that is not named here.
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], allow_abbrev=False)
    known, arguments = again.parsed(parser)
    summary = again.said(*arguments, "--detailed-summary", "--nolock")
    missing = [path for path, _ in again.planned(summary) if not (known.directory / path).exists()]
    made, to_do = commands(summary), commands(again.said(*arguments, "-n", "--printshellcmds"))
    found = {path: [*differences(made[path], to_do[path])] for path in made.keys() & to_do.keys()}
    other = sorted(path for path, how in found.items() if how)
    if missing or other:
        raise SystemExit(refusal(missing, other, [how for path in other for how in found[path]]))
    again.said(*arguments, "--touch")
    # Answers cost seconds, so that none of them has to be believed.
    again.become(again.live(*arguments, "--forcerun", "answer"))


if __name__ == "__main__":
    main()
