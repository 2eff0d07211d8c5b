"""What this project says of simulated GPUs, beside what is true of them.

    python tests/gpu_sim/truth.py FOLDER [QUESTION …]

Measures what the folder's results lack of the quick preset on `cpu`, `cuda:0` and `cuda:1`, which
takes minutes in a new one. Ends with 1 where an answer contradicts the truth, which stands in
``cuda.cpp``. Such cards compute nothing: that results are wrong is overlooked here.
"""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import card
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from assay import record  # noqa: E402
from assay.answer import occasion, roofline, scan  # noqa: E402
from assay.answer.question import Findings  # noqa: E402
from assay.probe import items, working_sets  # noqa: E402
from assay.record import Record, Status  # noqa: E402
from assay.timing import contrast  # noqa: E402

GPUS = ["gpu0", "gpu1"]
SETTINGS = {
    "devices": ["cpu", *GPUS],
    "retry": False,
    "protocol": {"void_delay_share": 1, "gpu": {"settle_s": 1}},  # other programs run, too
    "studies": {"norm_log": {"settings": {"cap_s": 20}}},  # whoever waits for a card sleeps
}
KERNEL_S, PRODUCT_S = 2e-6, 4e-6
RATE = {"float64": 5e13, "float32": 5e13, "tf32": 4e14, "bfloat16": 8e14, "float16": 8e14}
MEMORY, L2_BYTES, L2_FASTER = 2 * 2619e6 * 5120 / 8, 50 << 20, 3
NORM_KERNELS = 2  # of the norm of a product: reduce, and keep it in the log
WAITS = {"item": 1000, "list": 1, "buffer": 1, "batched": 1, "graph": 1}
ANCHOR = 1024

Row = tuple[str, float, float, float]  # what, the truth, what is told, by how much it may differ


def run(folder: Path, questions: list[str]) -> None:
    """Measure and answer."""
    (folder / "built").mkdir(parents=True, exist_ok=True)
    variables = card.build(folder / "built")
    (folder / "asked.yaml").write_text(yaml.safe_dump({"ask": questions, **SETTINGS}))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += ["--cores", "all", "--resources", "gpu=1", "--directory", folder, "--configfile"]
    command += [ROOT / "workflow/presets/quick.yaml", folder / "asked.yaml"]
    subprocess.run(command, env=os.environ | variables, check=True)


def records(results: Path, *studies: str) -> list[Record]:
    """The records of studies, their occasions pooled, as if every result were right."""
    paths = chain.from_iterable((results / "records" / each).rglob("*.json") for each in studies)
    found = [record.read(path) for path in sorted(paths)]
    for each in found:
        for trial in each.trials:
            if trial.status == Status.REFUSED and str(trial.reason).startswith("wrong result"):
                trial.status, trial.reason = Status.OK, None
    return occasion.pooled(found, {})


def answer(question: str, found: list[Record]) -> Findings:
    """What a question says of records."""
    findings: Findings = importlib.import_module(f"answer_{question}").answer(found)
    return findings


def product_s(n: int, dtype: str = "float32") -> float:
    """What a product takes: rows of half precision that are no 16 bytes cost half as much again."""
    slower = 1.5 if dtype.endswith("float16") and n % 8 else 1.0
    return PRODUCT_S + slower * 2 * n**3 / RATE[dtype]


def kernel_s(size: float) -> float:
    """What a kernel takes that moves so many bytes."""
    return KERNEL_S + size / (MEMORY * (L2_FASTER if size < L2_BYTES else 1))


# ---- the questions -------------------------------------------------------------------------------


def alignment(results: Path) -> Iterator[Row]:
    """The time of a size per operation against the anchor's, and the contrasts."""
    found = records(results, "alignment", "contrast")
    frame = answer("alignment", found).frame
    told = frame[frame["device"].isin(GPUS) & frame["ratio"].notna()]

    def true(n: int, dtype: str) -> float:
        return product_s(n, dtype) / n**3

    for row in told[told["kind"] == "size"].to_dict("records"):
        n, dtype = int(row["n"]), row["group"]
        truth = true(n, dtype) / true(ANCHOR, dtype)
        yield f"{row['device']}: {n} in {dtype}, × {ANCHOR}", truth, row["ratio"], 0.02
    sizes: Any = next(each.settings["sizes"] for each in found if each.study == "contrast")
    weights = contrast.weights(ANCHOR, sizes)
    for row in told[told["kind"] == "contrast"].to_dict("records"):
        name, dtype = row["arm"], row["group"]
        truth = math.prod(true(n, dtype) ** weight for n, weight in weights[name].items())
        yield f"{row['device']}: {name} in {dtype}, ×", truth, row["ratio"], 0.02


def bandwidth(results: Path) -> Iterator[Row]:
    """What a launch costs the device, and where and by how much its cache is faster.

    How much a reduction reads is more than a simulated card knows.
    """
    for gpu in GPUS:
        found = [each for each in records(results, "bandwidth") if each.axes["device"] == gpu]
        for curve in roofline.curves(found):
            name = f"{gpu}: {curve.operation}"
            yield f"{name} of one element, µs", 1e6 * KERNEL_S, 1e6 * curve.overhead_s, 0.1
            for point in scan.clear(curve.points):
                truth = point.size / kernel_s(point.size)
                told = f"{name} in {items.size(point.size)}, GB/s"
                yield told, scan.GIGA * truth, scan.GIGA * point.rate, 0.03
            knees = working_sets.knees(curve.points)
            yield f"{name}, falls", 1, len(knees), 0
            for knee in knees:  # sizes are doubled
                yield f"{name} falls at, MiB", L2_BYTES / 2**20, knee.middle / 2**20, 0.5


def crossover(results: Path) -> Iterator[Row]:
    """What products and launches take the card, and from which size on it beats the CPU."""
    findings = answer("crossover", records(results, "crossover"))
    frame, told = findings.frame.dropna(subset="time_s"), findings.numbers["crossovers"]
    products = frame[(frame["operation"] == "product") & (frame["dtype"] == "float32")]
    by_cpu = products[products["device"] == "cpu"].groupby("n")["time_s"].min()
    for gpu in GPUS:
        own = frame[(frame["device"] == gpu) & (frame["way"] == "resident")]
        for row in own.to_dict("records"):
            n, small = row["n"], row["operation"] == "elementwise"
            truth = kernel_s(3 * 4 * n**2) if small else product_s(n, row["dtype"])
            what = f"{gpu}: {'elementwise ' if small else ''}product of {n}, µs"
            yield what, 1e6 * truth, 1e6 * row["device_s"], 0.03
        first = min(n for n, time_s in by_cpu.items() if product_s(n) < time_s)
        asked = {"operation": "product", "dtype": "float32", "device": gpu, "way": "resident"}
        seen = next(each for each in told if asked.items() <= each.items())
        from_n = {"always": by_cpu.index.min(), "never": math.inf}.get(seen["case"])
        yield f"{gpu}: faster from n =", first, from_n or seen["between"][1], 0


def norm_log(results: Path) -> Iterator[Row]:
    """How often the host waits for a thousand norms, and what the launches cost a graph of them."""
    for way in answer("norm_log", records(results, "norm_log")).numbers["ways"]:
        if way["device"] in GPUS and way["arm"] in WAITS:
            waits = way["synchronisations"]
            yield f"{way['device']}: waits, {way['arm']}", WAITS[way["arm"]], waits, 0
        if way["device"] in GPUS and way["arm"] == "graph":
            truth = 1e6 * (product_s(100) + NORM_KERNELS * KERNEL_S)
            yield f"{way['device']}: a graph of 1000, ms", truth, way["time_ms_per_1000"], 0.1


def two_devices(results: Path) -> Iterator[Row]:
    """Two cards do not hold each other up."""
    for each in answer("two_devices", records(results, "two_devices")).numbers["speedups"]:
        if each["pair"] == "two GPUs":
            yield f"{each['pair']} at n = {each['n']}, speed-up", 2, each["speedup"], 0.02


QUESTIONS: dict[str, Callable[[Path], Iterator[Row]]] = {
    each.__name__: each for each in (alignment, bandwidth, crossover, norm_log, two_devices)
}


def main() -> None:
    """Run, and print the table; 1 where an answer contradicts the truth."""
    folder, asked = Path(sys.argv[1]).resolve(), sys.argv[2:] or [*QUESTIONS]
    run(folder, asked)
    wrong, rows = 0, chain.from_iterable(QUESTIONS[each](folder / "results") for each in asked)
    print(f"{'':<48}{'true':>9}{'told':>9}")
    for what, truth, told, within in rows:
        differs = not abs(told / truth - 1) <= within
        wrong += differs
        print(f"{what:<48}{truth:>9.4g}{told:>9.4g}{'  WRONG' if differs else ''}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
