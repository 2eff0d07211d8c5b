"""Twenty checks of the instrument on a GPU, in at most eight minutes.

    python tests/gpu/check.py [CHECK …] [--device cuda:0] [--configfile FILE …]

``make test-gpu`` runs this. It ends with 1 where something is not as expected, and with 0 and a
line where there is no GPU. Measuring scripts run as the workflow runs them, each in a process of
its own, with the settings of the quick preset unless other files are named.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pynvml
import torch

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow/scripts"
sys.path[:0] = [str(SCRIPTS), str(ROOT / "workflow")]

from assay import device, machine, record  # noqa: E402
from assay.record import Record, Status, Trial  # noqa: E402
from assay.timing.clock import Call, CudaClock, HostClock, NotAhead  # noqa: E402
from assay.timing.cuda import Queue  # noqa: E402
from assay.timing.kernel import kernel_name  # noqa: E402
from plan import merged  # noqa: E402

MOST_S = 480  # of all checks
QUICK = ROOT / "workflow/presets/quick.yaml"
BLOCK_S = 2e-3
IDLE_S = 2  # in which a GPU lowers its clocks
QUICKER = {"settle_s": 2, "energy_s": 0}  # of the protocol: energy is not looked at here
HALF = ("float16", "bfloat16")  # before compute capability 8, and since

Seen = tuple[bool, str]  # whether it is as expected, and what it is


@dataclass(frozen=True)
class Bench:
    """What a check works with."""

    place: torch.device
    config: dict[str, Any]
    folder: Path
    until: float

    def record(self, study: str, *axes: str, **changed: Any) -> Record:
        """What a measuring script leaves, with the settings of its study but for those changed."""
        output = self.folder / f"{'-'.join((study, *axes))}.json"
        settings = {name: self.config[name] for name in ("seed", "protocol")}
        settings |= self.config["studies"][study]["settings"] | changed
        script = SCRIPTS / f"measure_{study}.py"
        options = ["--device", self.place, "--settings", json.dumps(settings), "--output", output]
        self._run(script, *options, *axes)
        return record.read(output)

    @cached_property
    def dataset(self) -> Path:
        """The images that come with the project."""
        path = self.folder / "dataset"
        settings = json.dumps({"size": "sample", "folder": None})
        self._run(SCRIPTS / "fetch_dataset.py", "--settings", settings, "--output", path)
        return path

    def _run(self, *words: Any) -> None:
        left_s = max(1.0, self.until - time.monotonic())
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=left_s
        )
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:])

    def ones(self, *sizes: int) -> torch.Tensor:
        """A tensor on the GPU."""
        return torch.ones(*sizes, device=self.place)

    def product(self, n: int) -> Call:
        """A product of two n × n matrices."""
        a, out = self.ones(n, n), self.ones(n, n)
        return lambda: torch.mm(a, a, out=out)

    def kernels(self, count: int) -> Call:
        """So many of the shortest kernels."""
        x = self.ones(1)

        def call() -> None:
            for _ in range(count):
                x.add_(1)

        return call

    def work(self, seconds: float) -> None:
        """Bring the GPU to its working clock, and leave it work while somebody looks at it."""
        call, end = self.product(2048), time.monotonic() + seconds
        while time.monotonic() < end:
            call()
            torch.cuda.synchronize(self.place)
        for _ in range(100):
            call()

    def call_s(self, call: Call) -> float:
        """Seconds of a call by our clock, the median of a few blocks."""
        clock = CudaClock(self.place)
        block = clock.calibrate(call, BLOCK_S)
        return statistics.median(clock.time(call, block) for _ in range(7))


def trial(seen: Record, **what: Any) -> Trial:
    """The trial of a record that measured this."""
    return next(each for each in seen.trials if what.items() <= each.what.items())


def us(seconds: float) -> str:
    """As microseconds."""
    return f"{1e6 * seconds:.2f} µs"


# ---- what NVML says ------------------------------------------------------------------------------


def card(bench: Bench) -> Seen:
    """NVML knows the GPU by torch's name, which of a part (MIG) says its size"""
    told = machine.gpu_conditions(bench.place) or {}
    name = torch.cuda.get_device_properties(bench.place).name
    return told.get("name") == name, f"{told.get('name')}, torch: {name}, hash {told.get('gpu_id')}"


def sm_clock(bench: Bench) -> Seen:
    """under load the SM clock is at least half of the highest, and nothing slows it down"""
    bench.work(1)
    now, slow = machine.sm_clock_hz(bench.place) or 0.0, machine.throttled(bench.place)
    handle = machine.nvml_handle(bench.place)
    most = machine.clock_hz(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM) or 0.0
    return now >= most / 2 > 0 and not slow, f"{now / 1e6:.0f} of {most / 1e6:.0f} MHz, {slow}"


def compute_mode(bench: Bench) -> Seen:
    """the compute mode lets several processes in"""
    exclusive = machine.is_exclusive(bench.place)
    return not exclusive, "exclusive: resume is unavailable" if exclusive else "it does"


def company(bench: Bench) -> Seen:
    """nobody else computes on it"""
    other = machine.others_on_gpu(bench.place)
    return other is None, other or "nobody"


# ---- placement -----------------------------------------------------------------------------------


def current(bench: Bench) -> Seen:
    """a device that is connected is the current one, and `cuda` is number 0"""
    first, own = device.connect("cuda"), device.connect(str(bench.place))
    now = torch.cuda.current_device()
    return (first.index, now) == (0, own.index), f"cuda is {first}, {own} made {now} current"


def placement(bench: Bench) -> Seen:
    """a tensor is copied, a module moved in place; the two places do not mix"""
    seen = bench.record("placement")
    tensor, module, mixed = (
        trial(seen, check=check, move="device").result
        for check in ("tensor moved", "module moved", "mixed")
    )
    holds = not tensor["same_object"] and tensor["arrived"] and module["same_object"]
    error = mixed["product"]["error"]  # type: ignore[index, call-overload]
    return bool(holds and error), f"tensor {tensor}, mixed: {error}"


# ---- the clock -----------------------------------------------------------------------------------


def long_product(bench: Bench) -> Seen:
    """of a long product, events and the host's clock say the same within 3 %"""
    call, own, host = bench.product(4096), CudaClock(bench.place), HostClock(bench.place)
    call()
    blocks = own.calibrate(call, BLOCK_S), host.calibrate(call, 0.05)
    # In turns: a GPU that is held down by its power gets slower meanwhile.
    pairs = [(own.time(call, blocks[0]), host.time(call, blocks[1])) for _ in range(9)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    told = f"{us(pairs[-1][0])} by events, {us(pairs[-1][1])} by the host, × {ratio:.3f}"
    return abs(ratio - 1) < 0.03, told


def out_of_idle(bench: Bench) -> Seen:
    """a short kernel takes less than its launch; out of idle, too, its launches are ahead"""
    call, clock = bench.kernels(1), CudaClock(bench.place)
    block = clock.calibrate(call, BLOCK_S)
    time.sleep(IDLE_S)
    cold = clock.time(call, block)
    late, warm, launch = clock.late, bench.call_s(call), launch_s(bench)
    told = f"{us(cold)} cold, {us(warm)} warm, launch {us(launch)}"
    return not late and warm < launch, f"{told}, {'late' if late else 'ahead'}"


def many_kernels(bench: Bench) -> Seen:
    """a hundred kernels take as long each as one, within 10 %"""
    one, each = bench.call_s(bench.kernels(1)), bench.call_s(bench.kernels(100)) / 100
    return abs(each / one - 1) < 0.1, f"{us(one)} alone, {us(each)} of a hundred"


def full_queue(bench: Bench) -> Seen:
    """five thousand kernels do not fit into the queue, and the clock says so; or it times each"""
    each = bench.call_s(bench.kernels(100)) / 100
    try:
        seconds = bench.call_s(bench.kernels(5000)) / 5000
    except NotAhead as error:
        return True, str(error)
    return abs(seconds / each - 1) < 0.1, f"it timed them: {us(seconds)}, of a hundred {us(each)}"


# ---- products ------------------------------------------------------------------------------------


def ratios(bench: Bench, n: int, dtype: str) -> tuple[Trial, dict[str, float]]:
    """The trial of a size against the anchor, and the ratios of its arms.

    Raises:
        RuntimeError: It has none; the message says why.
    """
    shapes = bench.config["studies"]["alignment"]["settings"]["shapes"] | {"sizes": []}
    seen = bench.record("alignment", "--n", str(n), dtypes=[dtype], layouts=[], shapes=shapes)
    own = trial(seen, dtype=dtype, shape="matrix", layout=None)
    told: Any = own.result.get("ratios")
    if not told:
        raise RuntimeError(f"{n} in {dtype}: {own.status.value}, {own.reason}")
    return own, {name: each["ratio"] for name, each in told.items()}


def alignment(bench: Bench) -> Seen:
    """a product of 1032 in float32 is right, below the peak, and its control within 2 %"""
    own, ratio = ratios(bench, 1032, "float32")
    holds = own.status == Status.OK and abs(ratio["twin"] - 1) < 0.02
    flops, peak = (own.result.get(name) or 0.0 for name in ("throughput_flops", "peak_flops"))
    told = f"{own.status.value}, {ratio}, {flops / 1e12:.1f} of {peak / 1e12:.1f} TFLOP/s"  # type: ignore[operator]
    return holds, f"{told} {own.reason or ''}"


def misalignment(bench: Bench) -> Seen:
    """in half precision, 1025 costs more beside 1024 than 1032 does"""
    dtype = HALF[torch.cuda.get_device_properties(bench.place).major >= 8]
    odd, even = (ratios(bench, n, dtype)[1]["target"] for n in (1025, 1032))
    return odd > even, f"{dtype}, 1025: × {odd:.3f}, 1032: × {even:.3f}"


# ---- launches and the profiler -------------------------------------------------------------------


def launch_s(bench: Bench) -> float:
    """Seconds until the host may go on after a launch: the least of a few series."""
    seconds, count = [], 500
    call = bench.kernels(count)
    for _ in range(5):
        torch.cuda.synchronize(bench.place)
        start = time.perf_counter()
        call()
        seconds.append((time.perf_counter() - start) / count)
    torch.cuda.synchronize(bench.place)
    return min(seconds)


def profiled(bench: Bench) -> Seen:
    """a profile lengthens the launches after it, by less than half"""
    before = launch_s(bench)
    kernel_name(bench.product(256), bench.place)
    after = launch_s(bench)
    return after < 1.5 * before, f"{us(before)} before, {us(after)} after"


def kernel(bench: Bench) -> Seen:
    """the profiler names the kernel of a product"""
    name = kernel_name(bench.product(256), bench.place)
    return name is not None, str(name)


# ---- whole studies -------------------------------------------------------------------------------


def norm_log(bench: Bench) -> Seen:
    """all ways log the same, and a graph is faster than reading each norm"""
    own = bench.record("norm_log").trials[0]
    told: Any = own.result.get("ratios", {})
    ratio = {name: round(each["ratio"], 3) for name, each in told.items()}
    return own.status == Status.OK and ratio.get("graph", 9) < 1, f"{own.status.value}, {ratio}"


def empty_graph(bench: Bench) -> Seen:
    """a graph of nothing is refused"""
    try:
        Queue(bench.place).capture(lambda: None)
    except RuntimeError as error:
        return True, str(error)
    return False, "it was recorded"


def reproduction(bench: Bench) -> Seen:
    """at depth 5 the framework and the step from scratch learn the same, timed by the host"""
    seen = bench.record(
        "reproduction",
        "--exercise",
        "framework",
        "--dataset",
        str(bench.dataset),
        loader_images=512,
    )
    own = seen.trials[-1]
    figures: Any = own.result.get("figures", {})
    ratio = figures.get("scratch / framework, depth 5", {}).get("value")
    holds = own.status == Status.OK and own.result["clock"] == HostClock.name
    return holds and ratio is not None, f"{own.status.value}, scratch / framework × {ratio}"


def recurrence(bench: Bench) -> Seen:
    """every implementation of a recurrence has the same losses"""
    seen = bench.record("implementation", "--shape", "recurrent-1", "--dataset", str(bench.dataset))
    refused = [each.reason for each in seen.trials if each.status == Status.REFUSED]
    own = trial(seen, measured="step")
    arms: Any = own.result.get("arms", {})
    steps = {name: us(arm["time_median_s"]) for name, arm in arms.items()}
    return own.status == Status.OK and not refused, f"{own.status.value}, {refused}, {steps}"


def bandwidth(bench: Bench) -> Seen:
    """inside the L2 cache copying is faster than beyond it by a quarter"""
    cache = int(torch.cuda.get_device_properties(bench.place).L2_cache_size)
    own = trial(bench.record("bandwidth", largest_bytes=8 * cache), operation="copy")
    points: Any = [each for each in own.result["points"] if not each.get("overhead_bound")]  # type: ignore[union-attr]

    def best(least: float, most: float) -> float:
        sizes = [each for each in points if least <= each["working_set_bytes"] <= most]
        return max((each.get("bandwidth_bytes_per_s", 0.0) for each in sizes), default=0.0)

    inside, beyond = best(0, cache), best(4 * cache, 8 * cache)
    told = f"{own.status.value}, {inside / 1e9:.0f} GB/s inside, {beyond / 1e9:.0f} GB/s beyond"
    return own.status == Status.OK and inside > 1.25 * beyond > 0, told


def resume(bench: Bench) -> Seen:
    """a killed training goes on to the same bits, and without its optimiser's state it does not"""
    seen = bench.record("resume", kills=1)
    whole, without = (
        trial(seen, phase="resumed", left_out=left_out).result.get("same")
        for left_out in ("", "optimizer")
    )
    return whole is True and without is False, f"same: {whole}, without the optimiser: {without}"


CHECKS: Sequence[Callable[[Bench], Seen]] = (
    *(card, sm_clock, compute_mode, company, current, placement),
    *(long_product, out_of_idle, many_kernels, full_queue, alignment, misalignment),
    *(profiled, kernel, norm_log, empty_graph, reproduction, recurrence, bandwidth, resume),
)


def checked(bench: Bench, check: Callable[[Bench], Seen]) -> Seen:
    """What a check saw; what it raised is no bug of the others."""
    if time.monotonic() > bench.until:
        return False, f"left out: {MOST_S} s are over"
    try:
        return check(bench)
    except subprocess.TimeoutExpired:
        return False, f"not finished when {MOST_S} s were over"
    except Exception as error:  # the card may be lost by now, and every line tells something
        traceback.print_exc()
        return False, f"{type(error).__name__}: {str(error)[:300]}"


def main() -> None:
    """Run all checks on a GPU, or say that there is none."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cuda:0", help="as torch calls it (cuda:0)")
    parser.add_argument("--configfile", nargs="+", default=[str(QUICK)], help="over config.yaml")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help="by name (all)")
    known = parser.parse_args()
    checks = [each for each in CHECKS if not known.checks or each.__name__ in known.checks]
    try:
        place = device.connect(known.device)
    except device.Unavailable as missing:
        print(f"Nothing is checked: {missing}.")
        return
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        until = time.monotonic() + MOST_S
        config = merged(known.configfile)
        config["protocol"]["gpu"] |= QUICKER
        bench = Bench(place, config, Path(folder), until)
        for number, check in enumerate(checks, 1):
            began = time.monotonic()
            holds, saw = checked(bench, check)
            failed += not holds
            print(f"{number:2} {check.__name__} ({time.monotonic() - began:.1f} s)")
            print(f"   expected: {check.__doc__}")
            print(f"   {'seen' if holds else 'NOT SO'}: {saw}", flush=True)
    if torch.cuda.get_device_name(place).startswith(record.SIMULATED):
        print("This is a simulated card: nothing here tells anything of a GPU.")
    print(f"{len(checks) - failed} of {len(checks)} are as expected.")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
