"""What a measuring script costs before it measures: importing it, beside importing torch.

Every job starts a process, and what it imports is time in which nothing is measured. Each script is
imported in a process of its own, in turn with torch alone, so that a change of pace hits all alike.

    python benchmarks/startup.py --times 5
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from assay import record

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow/scripts"
TORCH = "torch"
GOAL_S = 0.2  # of CPU time for everything but torch


@dataclass(frozen=True)
class Row:
    """One line of the table: medians over the repetitions, in seconds."""

    script: str
    wall_s: float
    cpu_s: float
    beside_torch_s: float  # CPU time that importing torch does not explain

    @property
    def met(self) -> bool:
        """Whether it stays under the goal."""
        return self.beside_torch_s < GOAL_S


def import_s(module: str) -> tuple[float, float]:
    """Wall and CPU seconds of a process that imports a module and ends.

    Raises:
        SystemExit: The module cannot be imported; its complaint has been printed.
    """
    command = [sys.executable, "-c", f"import {module}"]
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    start = time.perf_counter()
    process = subprocess.Popen(command, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"import {module} failed.")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def measure(modules: Sequence[str], times: int) -> list[Row]:
    """Import every module in turn, so many times, torch alone among them.

    Args:
        modules: Names of scripts.
        times: Repetitions; one more goes before them, to warm the file cache.
    """
    everything = [TORCH, *modules]
    seen: dict[str, list[tuple[float, float]]] = {module: [] for module in everything}
    for turn in range(times + 1):
        for module in everything:
            print(f"\r{turn} of {times}: {module:<40}", end="", file=sys.stderr, flush=True)
            seconds = import_s(module)
            if turn:
                seen[module].append(seconds)
    print(file=sys.stderr)
    # Within a turn: what a script costs more than torch did in the same turn.
    return [
        Row(
            module,
            median(wall for wall, _ in seen[module]),
            median(cpu for _, cpu in seen[module]),
            median(own[1] - torch[1] for own, torch in zip(seen[module], seen[TORCH], strict=True)),
        )
        for module in everything
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the table, and keep it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="imports of each script (5)")
    parser.add_argument("--scripts", nargs="+", help="measure_alignment, … (all)")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/startup.json")
    arguments = parser.parse_args(argv)
    scripts = arguments.scripts or sorted(path.stem for path in SCRIPTS.glob("measure_*.py"))
    rows = measure(scripts, arguments.times)
    goal = f"{'goal: < ' + str(GOAL_S):>16}"
    print(f"{'import':<26}{'wall, s':>9}{'CPU, s':>9}{'beside torch, s':>17}{goal}")
    for row in rows:
        met = "yes" if row.met else "NO"
        print(
            f"{row.script:<26}{row.wall_s:>9.2f}{row.cpu_s:>9.2f}{row.beside_torch_s:>17.2f}{met:>16}"
        )
    kept = {"times": arguments.times, "rows": [asdict(row) for row in rows]}
    record.write_atomically(arguments.output, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
