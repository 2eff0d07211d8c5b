"""Run measuring scripts once each, with tiny settings, on a simulated card and in one process.

    python tests/gpu_sim/measure.py DEVICE FOLDER [STUDY…]

The records go to FOLDER/STUDY.json. Exits with 1 where a script raised, after all of them ran.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {"resume"}  # divides by the norm of what a card computed, which is zero here
FILES = ("config.yaml", "tests/config.yaml", "tests/gpu_sim/config.yaml")


def configuration() -> dict[str, Any]:
    """The project's configuration, with that of the tests and ours over it."""
    merged: dict[str, Any] = {}
    for name in FILES:
        _merge(merged, yaml.safe_load((ROOT / name).read_text(encoding="utf-8")))
    return merged


def _merge(base: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def measure(study: str, device: str, folder: Path, config: dict[str, Any]) -> None:
    """One cell of a study: the last value of each of its axes."""
    block = config["studies"][study]
    settings = {name: config[name] for name in ("seed", "protocol")} | block["settings"]
    axes = {name: values[-1] for name, values in block.get("axes", {}).items()}
    arguments = ["--device", device, "--threads", "1", "--settings", json.dumps(settings)]
    for name, value in axes.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    script = importlib.import_module(f"measure_{study}")
    if hasattr(script, "dataset"):  # it learns from one
        arguments += ["--dataset", str(folder / "dataset")]
    script.main([*arguments, "--output", str(folder / f"{study}.json")])


def main() -> None:
    """Measure what the command line names."""
    sys.path.insert(0, str(ROOT / "workflow/scripts"))
    warnings.filterwarnings("ignore", "Attempting to run cu")  # there is no driver's context
    device, folder, *studies = sys.argv[1:]
    config, failed = configuration(), []
    for study in studies or sorted(config["studies"].keys() - LEFT_OUT):
        try:
            measure(study, device, Path(folder), config)
        except Exception:
            traceback.print_exc()
            failed.append(study)
    if failed:
        sys.exit(f"raised: {', '.join(failed)}")


if __name__ == "__main__":
    main()
