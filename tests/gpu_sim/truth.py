"""What this project says of a simulated machine, beside what is true of it.

    python tests/gpu_sim/truth.py FOLDER

Asks, with the quick preset, what a card that computes nothing can tell, on `cpu`, `cuda:0` and
`cuda:1`, in a new folder; that takes minutes. The truth stands in ``cuda.cpp``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import card
import yaml

ROOT = Path(__file__).resolve().parents[2]
GPUS = {"gpu0": {"device": "cuda:0"}, "gpu1": {"device": "cuda:1"}}
ASKED = {
    "ask": ["bandwidth", "alignment", "norm_log", "two_devices"],
    "devices": {"cpu": {"device": "cpu"}, **GPUS},
    "retry": False,
    "protocol": {"void_delay_share": 1, "gpu": {"settle_s": 1}},
}
KERNEL_S, PRODUCT_S = 2e-6, 4e-6
RATE = {"float32": 5e13, "tf32": 4e14, "bfloat16": 8e14}
L2_BYTES, L2_FASTER = 50 * 2**20, 3
ANCHOR = 1024

Row = tuple[str, float, float, float]  # what, what is true, what is told, by how much it may differ


def product_s(n: int, dtype: str) -> float:
    """What a product takes: rows of half precision that are no 16 bytes cost half as much again."""
    slower = 1.5 if dtype == "bfloat16" and n % 8 else 1.0
    return PRODUCT_S + slower * 2 * n**3 / RATE[dtype]


def run(folder: Path, variables: dict[str, str]) -> None:
    """Measure and answer."""
    (folder / "asked.yaml").write_text(yaml.safe_dump(ASKED))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        ROOT / "Snakefile",
        "--cores",
        "all",
    ]
    command += ["--resources", "gpu=1", "--directory", folder, "--configfile"]
    command += [ROOT / "workflow/presets/quick.yaml", folder / "asked.yaml"]
    subprocess.run(command, env=os.environ | variables, check=True)


def rows(results: Path) -> Iterator[Row]:
    """What is told of each card, beside the truth."""
    told: dict[str, Any] = {
        name: json.loads((results / f"answers/{name}.json").read_text())["numbers"]
        for name in ASKED["ask"]
    }
    for gpu in GPUS:
        for path in sorted((results / f"records/alignment/device-{gpu}").rglob("*.json")):
            yield from alignment(gpu, json.loads(path.read_text()))
        [curve] = (
            each
            for each in json.loads((results / f"records/bandwidth/device-{gpu}.json").read_text())[
                "trials"
            ]
            if each["what"].get("operation") == "copy"
        )
        yield (
            f"{gpu}: a launch of one element, µs",
            1e6 * KERNEL_S,
            1e6 * curve["result"]["overhead_s"],
            0.1,
        )
        knees = told["bandwidth"][gpu]["knees"]["copy"]
        drop = max(each["above_bytes_per_s"] / each["below_bytes_per_s"] for each in knees)
        yield f"{gpu}: L2 against memory, ×", L2_FASTER, drop, 0.1
        waits = [w for w in told["norm_log"]["ways"] if w["device"] == gpu and w["arm"] == "item"]
        yield f"{gpu}: waits for 1000 norms", 1000, waits[0]["synchronisations"], 0
    for each in told["two_devices"]["speedups"]:
        if each["role"] == "question":
            yield f"two GPUs at n = {each['n']}, speed-up", 2, each["speedup"], 0.02


def alignment(gpu: str, record: dict[str, Any]) -> Iterator[Row]:
    """The time of a size per operation, against that of the anchor."""
    n = record["axes"]["n"]
    for trial in record["trials"]:
        what = trial["what"]
        if what["shape"] == "matrix" and not what["layout"] and trial["result"].get("ratios"):
            own, other = (product_s(each, what["dtype"]) / each**3 for each in (n, ANCHOR))
            ratio = trial["result"]["ratios"]["target"]["ratio"]
            yield f"{gpu}: {n} in {what['dtype']}, × {ANCHOR}", own / other, ratio, 0.02


def main() -> None:
    """Run, and print the table; 1 where an answer contradicts the truth."""
    folder = Path(sys.argv[1]).resolve()
    (folder / "built").mkdir(parents=True, exist_ok=True)
    run(folder, card.build(folder / "built"))
    wrong = 0
    print(f"{'':<40}{'true':>9}{'told':>9}")
    for what, true, seen, within in rows(folder / "results"):
        differs = abs(seen / true - 1) > within
        wrong += differs
        print(f"{what:<40}{true:>9.4g}{seen:>9.4g}{'  WRONG' if differs else ''}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
