"""Records that nobody measured: for every cell of a configuration, with any numbers and statuses.

What a device, a size or a name came to depends on its name and on the seed alone, so that a placebo
equals what it stands for. Studies whose trials no axis changes (what a probe shows, which formats
survive what) are those of a run of ours, cut, in ``fixtures/plain.json``.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from assay.ladder import shapes
from assay.record import DatasetInfo, Record, Status, Trial
from builders import PROTOCOL, make_record

PLAIN = json.loads((Path(__file__).parent / "fixtures/plain.json").read_text(encoding="utf-8"))
DATA = DatasetInfo(
    name="fashion-mnist", asked="fashion-mnist", source="folder", reason=None, digest="d"
)
REASON = "lost by the test"
IGNORED = {
    "activation": "relu",
    "initialization": "default",
    "precision": "float32",
}  # what a placebo is
LOST = [status for status in Status if status != Status.OK]
Axes = Mapping[str, Any]


@dataclass(frozen=True)
class World:
    """Where all numbers come from.

    Attributes:
        seed: Of every number.
        width: Of an interval, relative to its value, half of it.
        effect: How far things differ: standard deviation of the logarithm of a ratio of times.
        failing: Share of the trials, and of the jobs, that end in another status than ok.
        equal: Whether all devices show the same.
        counted: Whether energy is, as if everything drew 50 W.
    """

    seed: int = 0
    width: float = 0.01
    effect: float = 0.3
    failing: float = 0.0
    equal: bool = False
    counted: bool = False

    def draw(self, *key: Any) -> np.random.Generator:
        """The numbers of something, by its name."""
        return np.random.default_rng([self.seed, zlib.crc32(repr(key).encode())])

    def place(self, device: str) -> str:
        """What the numbers of a device depend on."""
        return device[:3] if self.equal else device

    # ---- times ---------------------------------------------------------------------------------

    def arm(self, seconds: float, units: float = 1.0) -> dict[str, float]:
        """The time of a call."""
        low, high = seconds / (1 + self.width), seconds * (1 + self.width)
        ends = {"time_median_s": seconds, "time_low_s": low, "time_high_s": high}
        joules = {"energy_j": 50 * seconds, "energy_low_j": 50 * low, "energy_high_j": 50 * high}
        return {**ends, "units_per_call": units, **(joules if self.counted else {})}

    def ratio(self, value: float) -> dict[str, float]:
        """A ratio of times."""
        low, high = value / (1 + self.width), value * (1 + self.width)
        return {"ratio": value, "ratio_low": low, "ratio_high": high}

    def paired(self, key: Any, seconds: Mapping[str, float], units: float = 1.0) -> dict[str, Any]:
        """The result of a paired trial; the first arm is the anchor."""
        first, *names = seconds
        base = seconds[first]
        twin = math.exp(self.draw("twin", key).normal(0, self.width / 4))
        return {
            "rounds": 20,
            "rounds_void": 0,
            **({"idle_w": 10.0, "energy_source": "rapl"} if self.counted else {}),
            "arms": {"anchor": self.arm(base, units), "twin": self.arm(base * twin, units)}
            | {name: self.arm(seconds[name], units) for name in names},
            "ratios": {"twin": self.ratio(twin)}
            | {name: self.ratio(seconds[name] / base) for name in names},
        }

    def times(self, key: Any, names: Iterable[str], seconds: float = 1e-3) -> dict[str, float]:
        """A time for each name."""
        return {
            name: seconds * math.exp(self.draw("time", key, name).normal(0, self.effect))
            for name in names
        }

    # ---- accuracies ----------------------------------------------------------------------------

    def share(self, key: Any, digits: int = 6) -> float:
        """An accuracy: most learn, some guess."""
        draw = self.draw("share", key)
        level = 0.1 if draw.random() < 0.1 else 0.85
        return round(float(np.clip(level + draw.normal(0, self.effect / 6), 0.02, 1)), digits)

    def learned(self, key: Any, settings: Axes, rates: Iterable[float], **what: Any) -> list[Trial]:
        """Tuning at every rate where there are several, then a run for every seed."""
        rates, epochs = [*rates], settings.get("epochs", 1)
        mean, draw = self.share(key), self.draw("runs", key)
        tuned = [
            self._run({"phase": "tuning", "rate": rate, "seed": 1_000_001, **what}, mean, 1)
            for rate in rates
            if len(rates) > 1
        ]
        rate = rates[int(draw.integers(len(rates)))]
        found = []
        for seed in range(1, settings["seeds"] + 1):
            seen = float(np.clip(mean + draw.normal(0, self.width / 3), 0, 1))
            described = {"phase": "training", "rate": rate, "seed": seed, **what}
            run = self._run(described, seen, epochs)
            digest = f"{seen:.9f}"
            run.result |= {"test_accuracy": seen, "test_images": 10_000, "weights_sha256": digest}
            run.result |= {"dead_share": 0.1, "classes_named": 10, "gradient_norm_start": 0.5}
            found.append(run)
        return [*tuned, *found]

    def _run(self, what: dict[str, Any], seen: float, epochs: int) -> Trial:
        course = [seen * (1 - 0.5**e) for e in range(1, epochs)] + [seen]
        result = {"epoch": epochs, "validation_accuracy": seen, "loss": 0.5, "train_s": 1.0}
        return Trial(what=what, result=result, samples={"validation_accuracy": [*course]})


# ---- matrix products ----------------------------------------------------------------------------


def on_gpu(axes: Axes) -> bool:
    """Whether a label stands for a GPU."""
    return not str(axes["device"]).startswith("cpu")


def crossover(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Launches that differ, and speeds that differ, so that they cross somewhere or nowhere."""
    n, place = axes["n"], world.place(axes["device"])
    names = ["resident", "waited", "transfer"] if on_gpu(axes) else ["one_thread", "all_threads"]
    for operation, dtypes in own["operations"].items():
        for dtype in dtypes:
            flop = float(2 * n**3 if operation == "product" else n**2)
            ways = [*names, "printed"] if operation == "elementwise" else names
            start = world.times((place, operation, dtype), ways, 3e-6)
            fast = world.times((place, operation, dtype, "speed"), ways, 1e-11)
            seconds = {way: start[way] + flop * fast[way] for way in ways}
            what = {"operation": operation, "dtype": dtype, "n": n, "anchor": names[0]}
            result = world.paired((place, *what.values()), seconds, flop)
            result |= {"bytes_per_call": 12 * n * n, "peak_flops": None}
            result |= {"throughput_flops": flop / min(seconds.values())}
            result |= {"device_s": 1e-6, "unsynchronised_s": 2e-6} if on_gpu(axes) else {}
            yield Trial(what=what, result=result)


def product_of(world: World, axes: Axes, what: Axes, names: Iterable[str]) -> Trial:
    """Products of one trial, anchor first."""
    key = (world.place(axes["device"]), *what.values())
    found = world.paired(key, world.times(key, names, 1e-2), 2e9)
    found |= {"throughput_flops": 2e9 / found["arms"]["anchor"]["time_median_s"], "kernel": "GEMM"}
    found |= {"peak_flops": None, "bytes_per_call": 12 * 1024**2, "relative_error": 1e-7}
    return Trial(what={**what}, result=found)


def dtypes(axes: Axes, own: Axes) -> list[str]:
    """Those that a device has."""
    return [name for name in own["dtypes"] if name != "tf32" or on_gpu(axes)]


def alignment(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Every layout and shape of a size."""
    n, shapes = axes["n"], own["shapes"]
    for dtype in dtypes(axes, own):
        kinds = [{"layout": None, "anchor": own["anchor"], "shape": "matrix"}]
        kinds += [
            {"layout": each["layout"], "anchor": n, "shape": "matrix"}
            for each in own["layouts"]
            if each["n"] == n
        ]
        if n in shapes["sizes"] and dtype in shapes["dtypes"]:
            kinds += [{**kinds[0], "shape": shape} for shape in shapes["kinds"]]
        for kind in kinds:
            what = {"dtype": dtype, "n": n, **kind}
            yield product_of(world, axes, what, ["anchor", "target"])


def contrast(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """All sizes in the same rounds, and their contrasts."""
    from assay.timing import contrast as contrasts

    for dtype in dtypes(axes, own):
        names = [*map(str, own["sizes"]), *contrasts.weights(own["anchor"], own["sizes"])]
        yield product_of(world, axes, {"dtype": dtype, "anchor": own["anchor"]}, ["anchor", *names])


def norm_log(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Every way to keep a log."""
    ways = ["item", "list", "buffer", "print", "batched"]
    ways += ["graph"] if on_gpu(axes) else []
    place, many = world.place(axes["device"]), own["products"]
    result = world.paired(place, world.times((place, "log"), ways, 0.03), many)
    result |= {"reads": {way: many if way in ("item", "print") else 1 for way in ways}}
    result |= {"norm_mean": 1e3, "norm_mean_low": 999.0, "norm_mean_high": 1001.0}
    result |= {"norm_expected": 1000.0, "operand_sets": 2}
    yield Trial(what={"products": many, "n": own["n"], "anchor": "item"}, result=result)
    lacks = {"status": Status.UNAVAILABLE, "reason": "a CUDA graph needs a CUDA device"}
    yield from [] if on_gpu(axes) else [Trial(what={"way": "graph"}, **lacks)]
    what = {"way": "published", "operation": "z = z * x"}
    found = {"first_infinite_norm": 30, "first_infinite": 61, "iterations": many}
    yield Trial(what=what, result=found)


def two_devices(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Two GPUs where there are two, and what stands in for them where not."""
    device, n = str(axes["device"]), axes["n"]
    place, gpus = world.place(device), own["gpus"]
    if gpus == 2 and device == "gpu1":  # the first of them speaks for both
        return
    stand_in = "two streams of one GPU" if on_gpu(axes) else "two halves of the CPU's cores"
    roles = {"two GPUs": "question", stand_in: "stand-in"}
    if gpus > 1:
        roles = {"two GPUs": "question"} if on_gpu(axes) else {stand_in: "stand-in"}
    for pair, role in roles.items():
        what = {"pair": pair, "role": role, "n": n, "dtype": own["dtype"]}
        if role == "question" and gpus < 2:
            lacks = {"status": Status.UNAVAILABLE, "reason": f"needs two GPUs, found {gpus}"}
            yield Trial(what=what, **lacks)
            continue
        seconds = world.times((place, pair, n), ["anchor", "at_once"], 0.04)
        result = world.paired((place, pair, n), seconds, 4e9)
        ends = sorted({0, 1, int(device[3:] or 0)})[-2:] if on_gpu(axes) else []
        first = int(device[3:] or 0) if on_gpu(axes) else 0
        cuda = [{"device": f"cuda:{i}", "name": "NVIDIA H100"} for i in (first, (first + 1) % 2)]
        halves = [{"device": "cpu", "threads": 1, "pinned_to_cpus": [i]} for i in (0, 1)]
        result |= {"lanes": cuda if ends else halves, "repeats": 4, "handover_s": 1e-5}
        result |= {"wrong_stream_s": 2e-6 if on_gpu(axes) else None}
        yield Trial(what=what, result=result)


def implementation(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """A step in every implementation, and whether the losses are equal."""
    shape = shapes.Shape(axes["shape"], own)
    key = (world.place(axes["device"]), axes["shape"])
    absent = "numpy" if on_gpu(axes) else "graph"
    rungs = ["module", *(name for name in shape.kinds if name not in ("module", absent)), "data"]
    result = world.paired(key, world.times(key, rungs))
    parts = {"forward_s": 3e-4, "backward_s": 5e-4, "update_s": 2e-4, "sum_share": 1.0}
    known = [rung for rung in rungs if rung != "data"]
    detailed = axes["shape"] in own["detailed"]
    result |= {"parts": dict.fromkeys(["scratch", "module"], parts) if detailed else {}}
    result |= {"family": shape.family, "number": shape.number, "batch": shape.batch}
    result |= {"hidden": shape.hidden if shape.is_perceptron else None}
    result |= {"parameters": 1000, "flops": 10**6, "lines": dict.fromkeys(known, 30)}
    result |= {"operations": dict.fromkeys(known, 50), "memory_bytes": dict.fromkeys(known, 3e6)}
    result |= {"first_step_s": dict.fromkeys(known, 0.1)}
    yield Trial(what={"measured": "step", "anchor": "module"}, result=result)
    samples = dict.fromkeys(known, [2.3] * 3)
    losses = {"tolerance": 1e-5, "largest_difference": dict.fromkeys(known, 1e-8)}
    yield Trial(what={"measured": "losses", "dtype": "float32"}, result=losses, samples={**samples})


# ---- this machine -------------------------------------------------------------------------------


def plain(study: str, key: str = "cpu") -> list[Trial]:
    """The trials of a study that no axis changes."""
    return [Trial(**each) for each in PLAIN[study][key]]


def hardware(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """What a probe shows: of a CPU, or of a GPU."""
    if not on_gpu(axes):
        yield from plain("hardware")
        return
    rows: dict[str, dict[str, Any]] = {
        "GPU": {"name": "NVIDIA H100", "multiprocessors": 132, "l2_bytes": 52428800}
        | {"memory_bytes": 85017755648},
        "GPU memory bus": {"bus_width_bits": 5120},
        "GPU theoretical bandwidth": {"memory_clock_max_hz": 2619e6}
        | {"bandwidth_bytes_per_s": 3352.3e9},
        "GPU heat, power and throttling": {"temperature_c": 41, "clocks_event_reasons": []},
    }
    for item, values in rows.items():
        yield Trial(what={"item": item}, result={**values, "source": "made up"})


def bandwidth(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """A scan of working sets, and copies between host and GPU."""
    place, sizes = world.place(axes["device"]), [2**power for power in range(14, 29)]
    for operation, threads in product(own["operations"], [None] if on_gpu(axes) else [1, 2]):
        rate = 1e10 * math.exp(world.draw("rate", place, operation, threads).normal(0, 0.3))
        points = [
            {"working_set_bytes": size, "status": "ok", "overhead_bound": size < 2**17}
            | _bandwidth(world, rate * (8 if size < 2**20 else 1))
            for size in sizes
        ]
        found = {"overhead_s": 1e-6, "points_contended": 0, "points": points, "rounds": 20}
        what = {"operation": operation} | ({"threads": threads} if threads else {})
        yield Trial(what=what, result={**found, "rounds_void": 0})
    for direction, kind in product(["host_to_device", "device_to_host"], ["pageable", "pinned"]):
        if on_gpu(axes):
            rate = 1e10 * math.exp(world.draw("copy", place, direction, kind).normal(0, 0.3))
            result = {"transfer_bytes": 2**28, **_bandwidth(world, rate)}
            yield Trial(what={"transfer": direction, "host_memory": kind}, result=result)


def _bandwidth(world: World, rate: float) -> dict[str, float]:
    low, high = rate / (1 + world.width), rate * (1 + world.width)
    ends = {"bandwidth_low_bytes_per_s": low, "bandwidth_high_bytes_per_s": high}
    return {"bandwidth_bytes_per_s": rate, **ends}


# ---- training -----------------------------------------------------------------------------------


def named(world: World, axes: Axes, axis: str) -> tuple[str, ...]:
    """What the accuracies of a cell depend on: a placebo is what it ignores its argument for."""
    name = axes[axis]
    return axis, world.place(axes["device"]), IGNORED[axis] if name == "placebo" else name


def activation(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Runs with one activation."""
    yield from world.learned(named(world, axes, "activation"), own, own["rates"])


def steps(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """The time of a step with every activation."""
    others = [name for name in own["activations"] if name != "relu"]
    key = (world.place(axes["device"]), "steps")
    result = world.paired(key, world.times(key, ["relu", *others]))
    yield Trial(what={"phase": "step time", "anchor": "relu"}, result=result)


def loader(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """A pass with every number of workers, alone and beside a step."""
    import answer_loader as answer

    place, ways = world.place(axes["device"]), ["0", *map(str, own["workers"][:2])]
    ways += [f"{ways[-1]} pageable"] if on_gpu(axes) else []
    for conversion in answer.CONVERSIONS:
        for beside in (["nothing"] if conversion in own["alone"] else []) + ["step"]:
            key, alone = (place, "loader", conversion, beside), ["1 new"] * (beside == "nothing")
            seconds = world.times(key, [*ways, *alone, "resident"], 0.05)
            result = world.paired(key, seconds, own["images"])
            result |= {"start_method": "fork", "cores": 2}
            result["start"] = {"1": world.arm(0.03)} if alone else {}
            what = {"conversion": conversion, "beside": beside, "anchor": "0"}
            yield Trial(what=what, result=result)


def precision(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Runs in one precision, with what rounding loses, and the memory of a step."""
    lost = {"signals": [0.1, 0.2], "gradients": [0.0, 0.1], "updates": [0.01, 0.5]}
    for run in world.learned(named(world, axes, "precision"), own, [own["rate"]]):
        run.result["rounded_away"] = lost
        yield run
    yield Trial(what={"phase": "memory"}, result={"memory_bytes": 5_000_000})


def precision_steps(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """The time of a step of every network in every precision that a device has."""
    for width in own["widths"]:
        what = {"phase": "step time", "width": width, "anchor": "float32"}
        key = (world.place(axes["device"]), "precision_steps", width)
        names = [name for name in own["precisions"] if name != "tf32" or on_gpu(axes)]
        yield Trial(what=what, result=world.paired(key, world.times(key, ["float32", *names])))
        if len(names) < len(own["precisions"]):
            lacks = {"status": Status.UNAVAILABLE, "reason": "TF32 is a format of GPUs"}
            yield Trial(what={**what, "precision": "tf32"}, **lacks)


def initialization(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Runs from one initialisation, and how signals spread before them."""
    key, depth = (*named(world, axes, "initialization"), axes["depth"]), int(axes["depth"])
    diverges = world.failing and world.draw("diverges", key).random() < world.failing
    for run in world.learned(key, own, own["rates"]):
        run.result["copied_share"] = 0.0
        if diverges:
            run = run.model_copy(update={"status": Status.DIVERGED, "reason": "in step 3"})
            run.result["diverged_at_step"] = 3
        yield run
    spread: list[Any] = [1.1**layer for layer in range(depth + 1)]
    for seed in range(1, own["seeds"] + 1):
        samples = dict.fromkeys(("activation_std", "gradient_std", "weight_std"), spread)
        yield Trial(what={"phase": "start", "seed": seed}, result={"loss": 2.3}, samples=samples)


def throughput(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """A start that costs, then so much a sample, in every format."""
    for dtype, work in product(own["dtypes"]["gpu" if on_gpu(axes) else "cpu"], ("layer", "step")):
        key = (world.place(axes["device"]), "throughput", dtype, work)
        batches = [own["anchor"], *(each for each in own["batches"] if each != own["anchor"])]
        start, each = world.times(key, ["start", "sample"], 1e-6).values()
        spread = world.times(key, batches, 1.0)
        seconds = {str(batch): (64 * start / batch + each) * spread[batch] for batch in batches}
        result = world.paired(key, seconds)
        for name, arm in result["arms"].items():
            batch = int(name) if name.isdigit() else own["anchor"]
            scaled = {end: batch * value for end, value in arm.items()}
            result["arms"][name] = scaled | {"units_per_call": float(batch)}
        result |= {"flop_per_sample": 10**6, "peak_flops": None}
        yield Trial(what={"work": work, "dtype": dtype, "anchor": own["anchor"]}, result=result)


def scaling(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Runs at one batch by every rule; at the reference one rule does what the placebo does."""
    import measure_scaling as measure

    place, batch = world.place(axes["device"]), axes["batch"]
    rates = measure.rates(batch, own["rates"][0], own)
    for rule, rate in rates.items():
        same = batch == own["batch"] and rule != measure.TUNED
        key = ("scaling", place, batch, "constant" if same else rule)
        for run in world.learned(key, own, [rate]):
            run.what["rule"] = rule
            yield run


def perceptron(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Runs of one network at one rate."""
    layers = str(axes["hidden"])
    widths = [784, *([] if layers == "none" else map(int, layers.split("-"))), 10]
    key = ("perceptron", world.place(axes["device"]), layers, float(axes["rate"]))
    for run in world.learned(key, own, [float(axes["rate"])]):
        run.result |= {"widths": widths, "parameters": sum(widths)}
        yield run


def search(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """The runs of the best pair of every search."""
    key = ("search", world.place(axes["device"]), axes["strategy"])
    for run in world.learned(key, own, [0.1]):
        yield run.model_copy(update={"what": {**run.what, "search": run.what["seed"], "width": 64}})


def reproduction(world: World, axes: Axes, own: Axes) -> list[Trial]:
    """What published methods came to."""
    return plain("reproduction", axes["exercise"])


# ---- building blocks ----------------------------------------------------------------------------


def registration(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Every operation on every way that shares the job."""
    import answer_registration as answer

    for storage in axes["storage"].split("+"):
        place = world.place(axes["device"])
        for operation in answer.OPERATIONS:
            outcome = world.draw(place, storage, operation).choice(["pass", "silent", "loud"])
            found = {"outcome": str(outcome)}
            found |= {"error": "ValueError: none"} if outcome == "loud" else {"reached": 3, "of": 9}
            found |= {"target": "meta"} if operation == "to_device" else {}
            yield Trial(what={"storage": storage, "operation": operation}, result=found)
        if storage not in answer.CONSTANTS:
            runs = world.learned(("registration", place, storage), own, [own["rate"]])
            for run in runs:
                run.result |= {"parameters": 9, "parameters_registered": 9, "by_hand": False}
                run.result["test_accuracy_reloaded"] = run.result["test_accuracy"]
                yield run.model_copy(update={"what": {**run.what, "storage": storage}})


def composition(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """The checks of a parallel block; instances of a block."""
    place = world.place(axes["device"])
    for structure in axes["structure"].split("+"):
        if structure == "parallel":
            yield from _parallel()
            continue
        base = {"structure": structure}
        counted = {"parameters": 9, "parameters_of_one": 3, "memory_places": 3, "pairs": 3}
        counted |= {"pairs_of_equal_values": 0}
        yield Trial(what={**base, "check": "instances", "count": own["depth"]}, result=counted)
        draw = world.draw("distance", place, structure)
        factors = np.exp(draw.normal(-0.9, 0.1 * world.effect, own["draws"]))
        stack = {
            f"draw_{i}": [float(f) ** b for b in range(own["stacked"] + 1)]
            for i, f in enumerate(factors)
        }
        yield Trial(what={**base, "check": "distance"}, samples={**stack})
        for run in world.learned(("composition", place, structure), own, own["rates"], **base):
            run.result["parameters"] = 9
            yield run


def _parallel() -> Iterator[Trial]:
    found: dict[str, dict[str, Any]] = {
        "equality": {"outputs_equal": True, "gradients_equal": True, "parameters": 62}
        | {"parameters_of_branches": 62},
        "jacobian by parameters": {"largest_outside": 0.0},
        "jacobian by inputs": {"equals_stack": True, "largest_between_samples": 0.0},
        "cat without dim": {"shapes": [[2, 16], [2, 16]], "shape_without_dim": [4, 16]}
        | {"shape_of_block": [2, 32]},
        "contract": {"error": "ValueError: no", "names_both_shapes": True},
    }
    for check, result in found.items():
        yield Trial(what={"structure": "parallel", "check": check}, result=result)


def parameters(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Layers of every size, or what a file holds."""
    if axes["topic"] == "storage":
        yield from plain("parameters")
        return
    drawn = {"mean": 0.0, "uniform_distance": 0.003, "normal_distance": 0.06}
    sizes = {"linear": own["features"], "xavier": own["features"], "embedding": own["features"]}
    for layer, features in sizes.items():
        for inputs, outputs in product(features, features):
            bound = (6 / (inputs + outputs)) ** 0.5 if layer == "xavier" else inputs**-0.5
            count = inputs * outputs
            told = {"count": count, "tested": min(count, own["tested_values"]), "bound": bound}
            told |= {"factors": {"fan_in": inputs, "fan_out": outputs}, "std": bound / 3**0.5}
            what = {"layer": layer, "inputs": inputs, "outputs": outputs}
            yield Trial(what=what, result={**drawn, **told})


def reduction(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Every way at every size of a sweep."""
    import answer_custom_layers as answer

    place, sweep = world.place(axes["device"]), axes["sweep"]
    if sweep == "n":
        apart = dict.fromkeys(answer.NAMES, 1e-16)
        yield Trial(what={"check": "equal"}, result={"disagreement": apart})
        yield Trial(what={"check": "gradcheck"}, result={"right": dict.fromkeys(apart, True)})
    for size in own["sizes"][sweep]:
        what = {**own["base"], sweep: size, "anchor": "einsum", "dtype": own["dtype"]}
        result = world.paired((place, sweep, size), world.times((place, sweep, size), answer.NAMES))
        counted = {name: {"temporary": 100 * size} for name in answer.NAMES}
        yield Trial(what=what, result={**result, "memory_bytes": counted, "disagreement": {}})


def fourier(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Runs with every share of the coefficients."""
    place, selection = world.place(axes["device"]), axes["selection"]
    for size in own["checked_sizes"]:
        found = {"inverse_error": 1e-16, "gradient_right": True, "halved_error": 0.4}
        yield Trial(what={"check": "transform", "n": size}, result=found)
    for fraction in own["kept"]:
        kept = max(1, math.ceil(393 * fraction))
        name = "leading" if fraction == 1 else selection
        what = {"fraction": fraction, "kept": kept}
        yield from world.learned(("fourier", place, name, kept), own, own["rates"], **what)


def resume(world: World, axes: Axes, own: Axes) -> list[Trial]:
    """What a killed training needs."""
    return plain("resume")


def transfer(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Runs with and without layers that were learned before."""
    import measure_transfer as measure

    images = 25_000 if axes["images"] == "all" else int(axes["images"])
    for arm in measure.ARMS:
        what, key = {"arm": arm, "images": images}, ("transfer", world.place(axes["device"]), arm)
        taken = {"weights": arm != "scratch", "biases": arm != "scratch", "storage": False}
        yield Trial(what={"phase": "taken over", **what}, result=taken)
        for run in world.learned((*key, images), own, own["rates"], **what):
            if run.what["phase"] == "training":
                run.result |= {"donor_accuracy_before": 0.87, "donor_accuracy_after": 0.87}
                run.result["donor_changed"] = False
            yield run


def formats(world: World, axes: Axes, own: Axes) -> list[Trial]:
    """What a format survives."""
    return plain("formats", axes["format"])


def placement(world: World, axes: Axes, own: Axes) -> Iterator[Trial]:
    """Every move; of a GPU also those to it."""
    for each in plain("placement"):
        if not on_gpu(axes) or each.what["move"] != "device":
            yield each
        if on_gpu(axes) and each.what["move"] == "number format":
            yield each.model_copy(update={"what": {**each.what, "move": "device"}})


STUDIES: dict[str, Callable[[World, Axes, Axes], Iterable[Trial]]] = {
    made.__name__: made
    for made in (
        *(crossover, alignment, contrast, norm_log, two_devices, implementation, hardware),
        *(bandwidth, activation, steps, loader, initialization, perceptron, search, reproduction),
        *(precision, precision_steps, throughput, scaling),
        *(registration, composition, parameters, reduction, fourier, resume, transfer, formats),
        placement,
    )
}


# ---- records ------------------------------------------------------------------------------------


def of_question(config: Mapping[str, Any], name: str, world: World) -> list[Record]:
    """The records of all cells of a question, in the order in which the workflow names them.

    Args:
        config: The whole configuration; its devices a list of labels.
        name: The question.
        world: Where numbers and statuses come from.
    """
    asked = config["questions"][name]
    return [
        made
        for study in asked["studies"]
        for axes in _cells(config, study, asked.get("axes", {}))
        for made in [_record(config, study, axes, world)]
    ]


def _cells(config: Mapping[str, Any], study: str, instead: Axes) -> Iterator[dict[str, Any]]:
    own = config["studies"][study]["axes"]
    axes = {name: instead.get(name, values) for name, values in own.items()}
    devices = ["cpu"] if study == "formats" else config["devices"]
    for device, *values in product(devices, *axes.values()):
        yield {"device": device, **dict(zip(axes, values, strict=True))}


def _record(config: Mapping[str, Any], study: str, axes: Axes, world: World) -> Record:
    own = {**config["studies"][study]["settings"], "protocol": dict(PROTOCOL), "seed": 1}
    gpus = sum(on_gpu({"device": device}) for device in config["devices"])
    trials = [*STUDIES[study](world, axes, {**own, "gpus": gpus})]
    texts = {  # as the command line gives them
        key: str(value) if key in ("hidden", "depth", "images", "rate") else value
        for key, value in axes.items()
    }
    made = make_record(study, texts, trials, settings=own)
    made.provenance.dataset = DATA
    return ended(made, world)


def ended(made: Record, world: World) -> Record:
    """The record as it is when some of it, or all, ended in another status than ok."""
    draw = world.draw("ended", made.study, sorted(made.axes.items()))
    if draw.random() >= world.failing:
        return made
    status, how = LOST[int(draw.integers(len(LOST)))], int(draw.integers(3))
    if how == 0:
        return made.model_copy(update={"status": status, "reason": REASON, "trials": []})
    which = [how == 1 or draw.random() < 0.4 for _ in made.trials]
    trials = [lost(t, status) if hit else t for t, hit in zip(made.trials, which, strict=True)]
    left = {"status": status, "reason": REASON} if all(which) else {}
    return made.model_copy(update={"trials": trials, **left})


def lost(trial: Trial, status: Status) -> Trial:
    """A trial as a measuring script leaves it when it ends in such a status."""
    result = dict(trial.result) if status == Status.REFUSED else {}
    if status == Status.CONTENDED:
        neighbours = [{"name": "firefox", "cores": 0.6}]
        result = {"rounds": 5, "rounds_void": 5, "arms": {}, "ratios": {}, "neighbours": neighbours}
    return trial.model_copy(update={"status": status, "reason": REASON, "result": result})
