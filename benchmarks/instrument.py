"""How good the instrument is: its own tests, run on this machine.

- *A/A*: the same work against itself must not differ.
- *5 % more work* (21 calls against 20) must be seen, and its size must be right.
- *A busy neighbour* on every core must never make a false difference.
- *A neighbour that comes and goes* must neither make one, nor take the verdict.
- *The arm that ran before* must not matter to the next one.
- *Agreement* with ``torch.utils.benchmark`` on the same call, in turn.
- *Share* of a measuring job's wall time that is spent in rounds that count.
- *Verdicts*: how many comparisons of a default run's alignment end in a verdict, beside what is
  known of the spread between occasions: few where a machine moves by more than sizes differ.

Leave the machine alone meanwhile: the first two and the last three need it quiet. `make bench`
runs it with workflow/scripts on the path.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product as combinations
from pathlib import Path
from typing import Any

import answer_alignment
import numpy as np
import torch
import yaml
from assay import device, record, statistic
from assay.answer import inference, occasion, verdict
from assay.answer.occasion import KNOWN_FREEDOM, Component
from assay.answer.verdict import Word
from assay.record import Status, Trial
from assay.timing import trial
from assay.timing.clock import Block, HostClock
from assay.timing.trial import Protocol, Work
from measure_alignment import product
from scipy import stats
from torch.utils.benchmark import Timer

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow/scripts"

CPU = torch.device("cpu")
PRODUCTS = [(16, "float32"), (128, "float32"), (1024, "float32"), (1024, "bfloat16")]
CALLS, MORE_CALLS = 20, 21  # 5 % more work exactly
TURNS, TURN_S = 100, 2e-3  # of each timer, and seconds in one: short, since machines wander
# Twenty products of 1024 a block need more than a default trial's budget; in return those trials
# stop at the first look that suffices for a verdict on 5 %.
LONG_CAP_S, LONG_HALF_WIDTH = 30, 0.02
BUSY_CAP_S = 4  # beside neighbours nearly every trial runs into its cap
# Neighbours that come and go: seconds of work in a period of so many. The second wakes as often as
# most daemons do.
PASSING = {
    "20 ms × 10/s": (0.02, 0.1),
    "1.2 ms × 100/s": (0.0012, 0.01),
    "4 ms × 30/s": (0.004, 1 / 30),
}
BESIDE = [(96, "float32"), (777, "float32"), (1024, "bfloat16")]
BESIDE_TRIALS = 20  # of each product, so 60 beside each neighbour


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    test: str
    work: str
    seen: str
    goal: str
    met: bool


def name(n: int, dtype: str) -> str:
    """How the table calls a product."""
    return f"{n}, {dtype}"


def square(n: int, dtype: str) -> Work[Any]:
    """The product of two n × n matrices."""
    return product(n, getattr(torch, dtype), CPU)


def repeated(work: Work[Any], calls: int) -> Work[Any]:
    """That many calls of a work as one; both sides of a comparison count as one unit."""

    def run(operands: Any) -> None:
        for _ in range(calls):
            work.run(operands)

    return Work(work.prepare, run)


def words(trials: Sequence[Trial]) -> list[str]:
    """The verdict of each trial, or its status where it has none."""
    return [
        verdict.judge([verdict.paired(by_itself(each).result, "target")])[0].value
        if each.status == Status.OK
        else each.status.value
        for each in trials
    ]


def by_itself(seen: Trial) -> Trial:
    """A trial as an occasion that stands for itself alone: it is the instrument that is tested."""
    nothing = Component(variance=0.0, freedom=KNOWN_FREEDOM)
    return occasion.pool([seen], {"ratio": nothing, "time": nothing})


def as_given(seen: Trial, dtype: str) -> Trial:
    """A trial with the interval that a question gives a cell of one occasion."""
    own = occasion.spread(occasion.known(), "alignment", dtype)
    kinds = {kind: Component(own[kind] ** 2, KNOWN_FREEDOM) for kind in ("ratio", "time")}
    return occasion.pool([seen], kinds)


def share(values: Sequence[str], *which: str) -> float:
    """Share of the values that are one of these."""
    return sum(value in which for value in values) / len(values)


def run_trials(
    anchor: Work[Any], target: Work[Any], protocol: Protocol, count: int, what: str
) -> list[Trial]:
    """The same trial over and over, each with its own seed."""
    clock = HostClock(CPU)
    done = []
    for seed in range(count):
        print(f"\r{what}: {seed + 1} of {count} ", end="", file=sys.stderr, flush=True)
        done.append(trial.compare({}, anchor, {"target": target}, protocol, clock, seed))
    print(file=sys.stderr)
    return done


Products = Sequence[tuple[int, str]]


def quiet(protocol: Protocol, count: int, products: Products) -> Iterator[Row]:
    """A/A, and 5 % more work, on a quiet machine."""
    for n, dtype in products:
        seen = words(run_trials(square(n, dtype), square(n, dtype), protocol, count, "A/A"))
        differ, same = share(seen, Word.FASTER, Word.SLOWER), share(seen, Word.SAME)
        yield Row("A/A differs", name(n, dtype), f"{differ:.1%}", "≤ 5 %", differ <= 0.05)
        yield Row("A/A the same", name(n, dtype), f"{same:.1%}", "≥ 90 %", same >= 0.9)
        lost = share(seen, Status.CONTENDED)
        yield Row("A/A contended", name(n, dtype), f"{lost:.1%}", "0 %", lost == 0)
    long = replace(protocol, cap_s=LONG_CAP_S, half_width=LONG_HALF_WIDTH)
    for n, dtype in products:
        arms = (repeated(square(n, dtype), calls) for calls in (CALLS, MORE_CALLS))
        trials = run_trials(*arms, long, count, "5 % more work")
        slower = share(words(trials), Word.SLOWER)
        yield Row("5 % more is slower", name(n, dtype), f"{slower:.1%}", "≥ 90 %", slower >= 0.9)
        given = [as_given(each, dtype).result for each in trials if each.status == Status.OK]
        ratios: list[Any] = [result["ratios"]["target"] for result in given]
        hits = [each["ratio_low"] <= 1.05 <= each["ratio_high"] for each in ratios]
        held = sum(hits) / len(trials)
        yield Row("interval holds 1.05", name(n, dtype), f"{held:.1%}", "≥ 90 %", held >= 0.9)


@contextmanager
def busy_neighbours() -> Iterator[None]:
    """One process per core that does nothing but compute."""
    command = [sys.executable, "-c", "while True: pass"]
    neighbours = [subprocess.Popen(command) for _ in range(device.usable_cores())]
    try:
        yield
    finally:
        for each in neighbours:
            each.kill()
            each.wait()


def neighbour(protocol: Protocol, count: int, products: Products) -> Iterator[Row]:
    """A/A beside a busy neighbour on every core."""
    protocol = replace(protocol, cap_s=BUSY_CAP_S)
    with busy_neighbours():
        for n, dtype in products:
            trials = run_trials(square(n, dtype), square(n, dtype), protocol, count, "neighbour")
            seen = words(trials)
            right = share(seen, Status.CONTENDED, Word.UNKNOWN, Word.SAME)
            yield Row("neighbour: no false word", name(n, dtype), f"{right:.1%}", "≥ 95 %",
                      right >= 0.95)  # fmt: skip
            told = sum(map(tells_of_neighbours, trials)) / len(trials)
            yield Row("neighbour: record says why", name(n, dtype), f"{told:.1%}", "≥ 95 %",
                      told >= 0.95)  # fmt: skip


def tells_of_neighbours(seen: Trial) -> bool:
    """Whether a record says that it was disturbed: void rounds, or blocks timed again."""
    result: Any = seen.result
    return any(seen.samples["void"]) or result["blocks_repeated"] > 0


@contextmanager
def passing_neighbour(busy_s: float, period_s: float) -> Iterator[None]:
    """One process that computes for so long in every period, and sleeps otherwise."""
    code = (
        "import time\n"
        f"busy, period = {busy_s}, {period_s}\n"
        "while True:\n"
        "    start = time.perf_counter()\n"
        "    while time.perf_counter() - start < busy: pass\n"
        "    time.sleep(period - busy)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def passing(protocol: Protocol, count: int) -> Iterator[Row]:
    """A/A beside neighbours that come and go: verdicts, all of them right, in twice the time."""
    for n, dtype in BESIDE:
        work = square(n, dtype)
        alone = run_trials(work, work, protocol, count, "alone")
        alone_s = float(np.median([spent_s(each) for each in alone]))
        for neighbour_name, (busy_s, period_s) in PASSING.items():
            with passing_neighbour(busy_s, period_s):
                trials = run_trials(work, work, protocol, count, neighbour_name)
            seen = words(trials)
            what = f"{name(n, dtype)}, {neighbour_name}"
            told = share(seen, Word.SAME, Word.FASTER, Word.SLOWER)
            yield Row("passing neighbour: verdict", what, f"{told:.1%}", "≥ 90 %", told >= 0.9)
            false = sum(word in (Word.FASTER, Word.SLOWER) for word in seen)
            yield Row("passing neighbour: false", what, str(false), "0", false == 0)
            longer = float(np.median([spent_s(each) for each in trials])) / alone_s
            yield Row("passing neighbour: time", what, f"{longer:.2f} ×", "≤ 2 ×", longer <= 2)


def spent_s(seen: Trial) -> float:
    """Seconds of all rounds of a trial, those that do not count included."""
    result: Any = seen.result
    return float(result["kept_s"] + result["lost_s"])


def previous(protocol: Protocol, count: int) -> Iterator[Row]:
    """Whether an arm's time depends on which arm ran before it."""
    anchor, *others = (square(n, "float32") for n in (1024, 1008, 1040, 96))
    targets = {str(n): work for n, work in zip((1008, 1040, 96), others, strict=True)}
    long = replace(protocol, cap_s=LONG_CAP_S, half_width=1e-9)
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in range(max(1, count // 20)):
        print(f"\rprevious arm: {seed + 1} ", end="", file=sys.stderr, flush=True)
        seen = trial.compare({}, anchor, targets, long, HostClock(CPU), seed)
        for arm, before, log in after_each_other(seen):
            groups[arm, before].append(log)
    print(file=sys.stderr)
    if not groups:
        yield Row("effect of the arm before", "contended", "-", "none or < 1 %", False)
        return
    arms = sorted({arm for arm, _ in groups})
    tests = [stats.kruskal(*(logs for (own, _), logs in groups.items() if own == arm)).pvalue
             for arm in arms]  # fmt: skip
    p = min(inference.holm(tests))
    surely = 1 - 0.05 / len(groups)
    ends = [statistic.median(logs, surely) for logs in groups.values()]
    least = math.expm1(max(max(0.0, each.low, -each.high) for each in ends))
    yield Row("effect of the arm before", f"at least {least:.2%}", f"p = {p:.2g}", "none or < 1 %",
              p > 0.05 or least < 0.01)  # fmt: skip


def after_each_other(seen: Trial) -> Iterator[tuple[str, str, float]]:
    """Each time of each arm: its name, the arm before it, and the log of time / arm's median."""
    middles = {arm: float(np.median(seen.samples[arm])) for arm in seen.result["arms"]}
    before = None
    for i, order in enumerate(seen.samples["order"]):
        for arm in str(order).split():
            if before and not seen.samples["void"][i]:
                yield arm, before, math.log(float(seen.samples[arm][i] or 0) / middles[arm])
            before = arm


def agreement(products: Products) -> Iterator[Row]:
    """Our clock and torch.utils.benchmark on the same call, in equal blocks, in turns."""
    clock, draw = HostClock(CPU), np.random.default_rng(0)
    for n, dtype in products:
        work = square(n, dtype)
        operands = work.prepare(torch.Generator().manual_seed(0))

        def call(work: Work[Any] = work, operands: Any = operands) -> None:
            work.run(operands)

        timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
        block = clock.calibrate(call, TURN_S)
        clocks = {"ours": partial(clock.time, call, block), "theirs": partial(timed, timer, block)}
        logs = []
        for _ in range(TURNS):
            seen = {str(own): clocks[own]() for own in draw.permutation([*clocks])}
            logs.append(math.log(seen["ours"] / seen["theirs"]))
        ratio = math.exp(float(np.median(logs)))
        yield Row("ours / torch.utils.benchmark", name(n, dtype), f"{ratio:.3f}", "1 ± 2 %",
                  abs(ratio - 1) <= 0.02)  # fmt: skip


def timed(timer: Timer, block: Block) -> float:
    """Seconds per call by torch's own timer."""
    return float(timer.timeit(block.calls).median)


def default_run(axes: Mapping[str, Sequence[int]]) -> Iterator[Row]:
    """Jobs of the default run's alignment: the share of time that counts, and the verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        records = []
        for cell in combinations(*axes.values()):
            own = [f"--{axis}={value}" for axis, value in zip(axes, cell, strict=True)]
            print(f"\ralignment: {' '.join(own)} ", end="", file=sys.stderr, flush=True)
            path = Path(folder) / f"{len(records)}.json"
            script = SCRIPTS / "measure_alignment.py"
            command = [sys.executable, str(script), *own, "--output", str(path)]
            subprocess.run(command, check=True)
            records.append(record.read(path))
        print(file=sys.stderr)
    spent = sum(map(counting_s, records)) / sum(r.provenance.duration_s for r in records)
    yield Row("share of time that counts", "alignment, default", f"{spent:.1%}", "≥ 60 %",
              spent >= 0.6)  # fmt: skip
    table = answer_alignment.answer(occasion.pooled(records, occasion.known())).frame
    seen = list(table.loc[table["status"] == Status.OK, "verdict"])
    said = 1 - share(seen, Word.UNKNOWN)
    yield Row("comparisons with a verdict", f"{len(seen)} of alignment", f"{said:.1%}", "≥ 80 %",
              said >= 0.8)  # fmt: skip


def counting_s(seen: record.Record) -> float:
    """Seconds that a job spent in rounds that were kept."""
    total = 0.0
    for each in seen.trials:
        arms: Any = each.result.get("arms", {})
        for arm, summary in arms.items():
            kept = zip(each.samples[arm], each.samples["void"], strict=True)
            total += sum(float(s or 0) for s, void in kept if not void) * summary["calls_per_block"]
    return total


def main() -> None:
    """Run the tests that are asked for, print the table, and keep it as JSON."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    protocol = Protocol.from_settings(config["protocol"], CPU)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40, help="trials per product and test (40)")
    parser.add_argument(
        "--only", nargs="+", help="quiet, neighbour, passing, previous, agreement, default (all)"
    )
    parser.add_argument(
        "--products",
        nargs="+",
        choices=[name(*each) for each in PRODUCTS],
        help="the products to test with (all)",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/instrument.json")
    arguments = parser.parse_args()
    device.use_threads(None)
    asked = arguments.products or [name(*each) for each in PRODUCTS]
    products = [each for each in PRODUCTS if name(*each) in asked]
    axes = config["studies"]["alignment"]["axes"]
    tests: dict[str, Callable[[], Iterator[Row]]] = {
        "quiet": lambda: quiet(protocol, arguments.trials, products),
        "neighbour": lambda: neighbour(protocol, arguments.trials, products),
        "passing": lambda: passing(protocol, BESIDE_TRIALS),
        "previous": lambda: previous(protocol, arguments.trials),
        "agreement": lambda: agreement(products),
        "default": lambda: default_run(axes),
    }
    print(f"{'test':<30}{'work':<22}{'seen':>8}  {'goal':<9}met")
    rows = []
    for test in arguments.only or tests:
        for row in tests[test]():
            said = "yes" if row.met else "NO"
            print(f"{row.test:<30}{row.work:<22}{row.seen:>8}  {row.goal:<9}{said}", flush=True)
            rows.append(row)
    kept = {"trials": arguments.trials, "rows": [asdict(row) for row in rows]}
    record.write_atomically(arguments.output, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
