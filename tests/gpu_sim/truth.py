"""What this project says of simulated GPUs, beside what is true of them.

    python tests/gpu_sim/truth.py FOLDER [QUESTION …]

Asks, with the quick preset, what cards that compute nothing can tell, on `cpu`, `cuda:0` and
`cuda:1`, in a new folder; that takes minutes. The truth stands in ``cuda.cpp``.
"""

from __future__ import annotations

import json
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
GPUS = ["gpu0", "gpu1"]
SETTINGS = {
    "devices": ["cpu", *GPUS],
    "retry": False,
    "protocol": {"void_delay_share": 1, "gpu": {"settle_s": 1}},  # other programs run, too
}
KERNEL_S, PRODUCT_S = 2e-6, 4e-6
RATE = {"float32": 5e13, "tf32": 4e14, "bfloat16": 8e14}
L2_FASTER = 3
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


def product_s(n: int, dtype: str) -> float:
    """What a product takes: rows of half precision that are no 16 bytes cost half as much again."""
    slower = 1.5 if dtype == "bfloat16" and n % 8 else 1.0
    return PRODUCT_S + slower * 2 * n**3 / RATE[dtype]


def read(path: Path) -> dict[str, Any]:
    """A record or an answer."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def alignment(results: Path) -> Iterator[Row]:
    """The time of a size per operation, against that of the anchor."""
    for gpu in GPUS:
        for path in sorted((results / f"records/alignment/device-{gpu}").rglob("*.json")):
            for trial in read(path)["trials"]:
                what, ratios = trial["what"], trial["result"].get("ratios")
                if what["shape"] == "matrix" and not what["layout"] and ratios:
                    n, dtype = what["n"], what["dtype"]
                    own, anchor = (product_s(each, dtype) / each**3 for each in (n, ANCHOR))
                    told = ratios["target"]["ratio"]
                    yield f"{gpu}: {n} in {dtype}, × {ANCHOR}", own / anchor, told, 0.02


def bandwidth(results: Path) -> Iterator[Row]:
    """What a launch costs the device, that it has one cache, and how much faster that is."""
    table = read(results / "answers/bandwidth.json")["table"]
    names = [column["name"] for column in table["columns"]]
    told = [dict(zip(names, row, strict=True)) for row in table["rows"]]
    for gpu in GPUS:
        trials = read(results / f"records/bandwidth/device-{gpu}.json")["trials"]
        copy = next(t["result"] for t in trials if t["what"].get("operation") == "copy")
        yield f"{gpu}: a copy of one element, µs", 1e6 * KERNEL_S, 1e6 * copy["overhead_s"], 0.1
        own = next(row for row in told if (row["device"], row["operation"]) == (gpu, "copy"))
        yield f"{gpu}: falls of bandwidth", 1, (own.get("falls at") or "").count("iB"), 0
        rates = [
            each["working_set_bytes"] / (each["time_median_s"] - copy["overhead_s"])
            for each in copy["points"]
            if not each["overhead_bound"]
        ]
        yield f"{gpu}: L2 against memory, ×", L2_FASTER, max(rates) / rates[-1], 0.1


def crossover(results: Path) -> Iterator[Row]:
    """What products and a launch take the card, and from which size on it beats the CPU."""
    told = read(results / "answers/crossover.json")["numbers"]["crossovers"]
    by_cpu = {n: min(arms_s(product).values()) for n, product, _ in crossed(results, "cpu")}
    for gpu in GPUS:
        worth = []
        for n, product, elementwise in crossed(results, gpu):
            true_s = product_s(n, "float32")
            worth += [n] if true_s < by_cpu[n] else []
            yield f"{gpu}: a product of {n}, µs", 1e6 * true_s, 1e6 * product["device_s"], 0.03
            if n == 1:
                yield f"{gpu}: a launch, µs", 1e6 * KERNEL_S, 1e6 * elementwise["device_s"], 0.03
        own = ("product", gpu, "resident")
        seen = next(e for e in told if (e["operation"], e["device"], e["way"]) == own)
        yield f"{gpu}: faster from n =", min(worth), (seen["between"] or [0, 0])[1], 0


def crossed(results: Path, device: str) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Each size with the results of its products and of its elementwise products."""
    for path in (results / f"records/crossover/device-{device}").rglob("*.json"):
        record = read(path)
        found = {t["what"]["operation"]: t["result"] for t in record["trials"]}
        yield record["axes"]["n"], found["product"], found["elementwise"]


def arms_s(result: dict[str, Any]) -> dict[str, float]:
    """Seconds of a call of each arm."""
    return {name: arm["time_median_s"] for name, arm in result["arms"].items()}


def norm_log(results: Path) -> Iterator[Row]:
    """How often the host waits where each norm is read."""
    for way in read(results / "answers/norm_log.json")["numbers"]["ways"]:
        if way["arm"] == "item":
            yield f"{way['device']}: waits for 1000 norms", 1000, way["synchronisations"], 0


def two_devices(results: Path) -> Iterator[Row]:
    """Two cards do not hold each other up."""
    for each in read(results / "answers/two_devices.json")["numbers"]["speedups"]:
        yield f"{each['pair']} at n = {each['n']}, speed-up", 2, each["speedup"], 0.02


QUESTIONS: dict[str, Callable[[Path], Iterator[Row]]] = {
    each.__name__: each for each in (alignment, bandwidth, crossover, norm_log, two_devices)
}


def main() -> None:
    """Run, and print the table; 1 where an answer contradicts the truth."""
    folder, asked = Path(sys.argv[1]).resolve(), sys.argv[2:] or [*QUESTIONS]
    run(folder, asked)
    wrong, rows = 0, chain.from_iterable(QUESTIONS[each](folder / "results") for each in asked)
    print(f"{'':<40}{'true':>9}{'told':>9}")
    for what, truth, told, within in rows:
        differs = abs(told / truth - 1) > within
        wrong += differs
        print(f"{what:<40}{truth:>9.4g}{told:>9.4g}{'  WRONG' if differs else ''}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
