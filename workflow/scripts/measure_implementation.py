"""Time a step of training on every rung between NumPy and a compiled framework.

    python workflow/scripts/measure_implementation.py --shape depth-1 \\
        --dataset results/data/dataset.safetensors --output depth-1.json

A shape is a network and a batch: `depth-3` has the first three of the hidden layers, `width-1024`
one of 1024 units, `batch-64` the first of them and 64 images in a step, `convolution-2` two
convolutions, `recurrent-1` one recurrent layer over the rows of the images.

Before anything is timed, all rungs start from the same weights, see the same batches, and must have
the same losses, step by step. Then they are arms of one paired trial, whose anchor is `nn.Module`
with `torch.optim.SGD`. At some shapes a step is also split: how far it has come after the forward
and after the backward pass are arms of the same trial. Times are what the host waits for.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import inspect
import io
import itertools
import os
import re
import textwrap
import time
import tokenize
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

# Read when NumPy is imported: after 2^20 cycles without work its OpenBLAS threads sleep, not after
# 2^26 (30 ms), in which they took the cores from torch and from NumPy's own work between products.
# Seen on 2 cores: NumPy's step 1.00 ms against 1.47, void rounds 0 of 20 against 65 of 70.
os.environ["OPENBLAS_THREAD_TIMEOUT"] = "20"

import numpy as np
import torch
from assay import job, machine, statistic
from assay.job import Job
from assay.ladder import by_hand, rungs
from assay.ladder.rungs import Rung
from assay.learning import dataset
from assay.learning.dataset import pixels
from assay.learning.network import perceptron
from assay.learning.training import Examples
from assay.record import Status, Trial
from assay.timing import trial
from assay.timing.clock import Block, Call, Clock, HostClock
from assay.timing.trial import Protocol, Work
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

ANCHOR = "module"
PERCEPTRONS = ("depth", "width", "batch")  # what varies; all of these are perceptrons
SHAPE = re.compile(rf"({'|'.join(PERCEPTRONS)}|convolution|recurrent)-([1-9][0-9]*)")
# Timed steps repeat one batch thousands of times. At a real rate they would learn it by heart, and
# gradients near zero are denormal numbers, which are slow. The work is the same at any rate.
TIMED_RATE = 1e-6
REST_S = 0.01  # after which the threads of a library sleep
MEMORY_SHARE = 0.25  # of the free memory, for the operand sets of all arms

Kinds = dict[str, type[Rung]]


# ---- shapes ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """A network and a batch, as the axis names them."""

    name: str
    family: str
    number: int

    @property
    def is_perceptron(self) -> bool:
        """Whether it is one; else it is one of the complex pieces."""
        return self.family in PERCEPTRONS


def shape_of(name: str) -> Shape:
    """The shape of that name.

    Raises:
        argparse.ArgumentTypeError: There is none.
    """
    if not (match := SHAPE.fullmatch(name)):
        raise argparse.ArgumentTypeError(
            f"{name!r} is no shape; use one like depth-1, width-64, batch-16, convolution-2 or "
            "recurrent-1"
        )
    return Shape(name, match[1], int(match[2]))


def hidden(shape: Shape, settings: Mapping[str, Any]) -> list[int]:
    """Widths of the hidden layers of a perceptron."""
    if shape.family == "width":
        return [shape.number]
    layers = shape.number if shape.family == "depth" else 1
    return list(settings["perceptron"]["hidden"][:layers])


def batch_size(shape: Shape, settings: Mapping[str, Any]) -> int:
    """Images in a step."""
    if shape.family == "batch":
        return shape.number
    block = settings["perceptron" if shape.is_perceptron else shape.family]
    return int(block["batch"])


def build(shape: Shape, settings: Mapping[str, Any]) -> nn.Module:
    """The network that every rung starts from."""
    seed = settings["seed"]
    if shape.family == "convolution":
        block = settings["convolution"]
        return rungs.convolutional(block["channels"][: shape.number], block["kernel"], seed)
    if shape.family == "recurrent":
        return rungs.recurrent(settings["recurrent"]["hidden"], shape.number, seed)
    return rungs.multilayer(hidden(shape, settings), seed)


# What a network of each family is built with, for the count of lines.
BUILDERS: dict[str, tuple[Callable[..., Any], ...]] = {
    "convolution": (rungs.convolutional,),
    "recurrent": (rungs.Recurrent, rungs.recurrent),
    **dict.fromkeys(PERCEPTRONS, (rungs.multilayer, perceptron)),
}
BY_HAND: Kinds = {"numpy": by_hand.NumpyPerceptron, "torch": by_hand.TorchPerceptron}
FRAMEWORK: Kinds = {
    ANCHOR: rungs.Framework,
    "fused": rungs.Fused,
    "compiled": rungs.Compiled,
    "graph": rungs.Graph,
}
SCRATCH: Kinds = {"convolution": rungs.ScratchConvolution, "recurrent": rungs.ScratchRecurrent}


def kinds(shape: Shape, settings: Mapping[str, Any]) -> Kinds:
    """The rungs of a shape, from the lowest to the highest."""
    found = {"scratch": SCRATCH.get(shape.family, rungs.ScratchPerceptron), **FRAMEWORK}
    if shape.is_perceptron:
        found = BY_HAND | found
    if shape.name not in settings["compiled"]:
        del found["compiled"]
    return found


def batch_for(kind: type[Rung], batch: Examples) -> tuple[Any, Any]:
    """A batch as a rung takes it."""
    if kind is by_hand.NumpyPerceptron:
        return batch.inputs.numpy(), batch.labels.numpy()
    return batch.inputs, batch.labels


def start(kind: type[Rung], network: nn.Module, rate: float, batch: Examples) -> Rung:
    """A rung with the weights of a network."""
    return kind(network, rate, batch.inputs, batch.labels)


# ---- what is here ------------------------------------------------------------------------------


def missing_here(name: str, place: torch.device) -> str | None:
    """Why a rung cannot be on a device, as far as that is known without trying."""
    if name == "numpy" and place.type != "cpu":
        return f"NumPy computes on a CPU, this is {place}"
    if name == "graph" and place.type != "cuda":
        return f"a CUDA graph needs a CUDA device, this is {place}"
    return None


def first_step(
    name: str, kind: type[Rung], network: nn.Module, batch: Examples
) -> tuple[float, str | None]:
    """Seconds of a rung's first step, and why it cannot be done here, if it cannot."""
    began = time.perf_counter()
    try:
        start(kind, network, TIMED_RATE, batch).step(*batch_for(kind, batch))
    except RuntimeError as error:
        if name not in ("fused", "compiled", "graph") or job.is_out_of_memory(error):
            raise
        return 0.0, reason_of(error)
    if batch.inputs.device.type != "cpu":
        torch.accelerator.synchronize(batch.inputs.device)
    return time.perf_counter() - began, None


def reason_of(error: BaseException) -> str:
    """Why torch could not, in a line."""
    text = " ".join(str(error).split())
    if "C++ compiler" in text or "CppCompileError" in text:
        return f"no C++ compiler that works: {text[:200]}"
    return text[:200]


def unavailable(name: str, reason: str) -> Trial:
    """What the record says of a rung that is not here."""
    return Trial(what={"rung": name}, status=Status.UNAVAILABLE, reason=reason)


# ---- the same losses ---------------------------------------------------------------------------


def batches(examples: Examples, size: int, count: int, seed: int) -> list[Examples]:
    """Batches in a random order; those of a small data set begin again at its start."""
    order = torch.randperm(len(examples.labels), generator=torch.Generator().manual_seed(seed))
    rows = order.repeat(-(-size * count // len(order)))[: size * count]
    return [examples.rows(own.to(examples.labels.device)) for own in rows.split(size)]


def losses(
    kind: type[Rung], network: nn.Module, rate: float, given: Sequence[Examples]
) -> list[float]:
    """The loss of every step of a training."""
    rung = start(kind, network, rate, given[0])
    return [rung.step(*batch_for(kind, batch)).item() for batch in given]


def disagreement(seen: Sequence[float], anchor: Sequence[float], tolerance: float) -> str | None:
    """Where two trainings part, in words; None where they do not."""
    for step, (own, other) in enumerate(zip(seen, anchor, strict=True)):
        if not abs(own - other) <= tolerance * abs(other):
            return (
                f"at step {step} the loss is {own!r}, that of {ANCHOR} {other!r}; "
                f"the relative difference may be {tolerance:g}"
            )
    return None


def largest_difference(seen: Sequence[float], anchor: Sequence[float]) -> float:
    """Largest relative difference between two trainings' losses."""
    own, other = np.array(seen), np.array(anchor)
    return float(np.max(np.abs(own - other) / np.abs(other)))


def check(found: Kinds, network: nn.Module, given: Sequence[Examples], job: Job) -> list[Trial]:
    """Train on every rung, in every number format; refuse those whose losses are not the anchor's.

    Returns:
        Per number format a trial with all losses, and one more for every rung that is refused.
    """
    trials = []
    for name, tolerance in job.settings["tolerance"].items():
        if name == "float64" and job.device.type == "mps":
            trials.append(unavailable("float64", "Apple's GPUs have no float64"))
            continue
        dtype = getattr(torch, name)
        own = [Examples(batch.inputs.to(dtype), batch.labels) for batch in given]
        like = copy.deepcopy(network).to(dtype)
        seen = {n: losses(kind, like, job.settings["rate"], own) for n, kind in found.items()}
        trials += _judged(seen, name, tolerance)
    return trials


def _judged(seen: dict[str, list[float]], dtype: str, tolerance: float) -> list[Trial]:
    what: dict[str, JsonValue] = {"measured": "losses", "dtype": dtype}
    anchor = seen[ANCHOR]
    wrong = {name: disagreement(own, anchor, tolerance) for name, own in seen.items()}
    largest = {n: largest_difference(own, anchor) for n, own in seen.items() if not wrong[n]}
    whole = Trial(
        what=what,
        samples={name: [*own] for name, own in seen.items() if np.isfinite(own).all()},
        result={"tolerance": tolerance, "largest_difference": {**largest}},
    )
    refused = [
        Trial(what={**what, "rung": name}, status=Status.REFUSED, reason=f"{name}: {reason}")
        for name, reason in wrong.items()
        if reason
    ]
    return [whole, *refused]


# ---- the trial ---------------------------------------------------------------------------------


class Pool:
    """Operand sets of one rung, which the pieces of its step share."""

    def __init__(self, make: Callable[[int], tuple[Any, ...]]) -> None:
        self._make = make
        self._sets: list[tuple[Any, ...]] = []

    def taker(self) -> Callable[[torch.Generator], tuple[Any, ...]]:
        """What prepares the operands of an arm: every set in turn, then new ones."""
        numbers = itertools.count()

        def prepare(_: torch.Generator) -> tuple[Any, ...]:
            number = next(numbers)
            while len(self._sets) <= number:
                self._sets.append(self._make(len(self._sets)))
            return self._sets[number]

        return prepare


def forward(operands: tuple[Any, ...]) -> None:
    """The forward pass."""
    rung, *batch = operands
    rung.forward(*batch)


def gradient(operands: tuple[Any, ...]) -> None:
    """The forward and the backward pass."""
    rung, *batch = operands
    rung.forward(*batch)
    rung.backward()


def step(operands: tuple[Any, ...]) -> None:
    """A whole step."""
    rung, *batch = operands
    rung.step(*batch)


def works(
    found: Kinds, network: nn.Module, given: Sequence[Examples], split: bool
) -> dict[str, Work[Any]]:
    """The rungs as arms of a trial by name.

    Args:
        found: The rungs.
        network: What they start from.
        given: Batches, one after the other for the operand sets.
        split: Whether pieces of a step are arms, too, where a rung has them.
    """
    arms: dict[str, Work[Any]] = {}
    for name, kind in found.items():
        pool = Pool(_maker(kind, network, given))
        arms[name] = Work(pool.taker(), step)
        if split and name != "graph":  # which is one piece
            arms[f"{name} forward"] = Work(pool.taker(), forward)
            arms[f"{name} gradient"] = Work(pool.taker(), gradient)
    return arms


def _maker(
    kind: type[Rung], network: nn.Module, given: Sequence[Examples]
) -> Callable[[int], tuple[Any, ...]]:
    def make(number: int) -> tuple[Any, ...]:
        batch = given[number % len(given)]
        own = Examples(batch.inputs.clone(), batch.labels.clone())
        return start(kind, network, TIMED_RATE, own), *batch_for(kind, own)

    return make


def taking(examples: Examples, size: int) -> Work[Any]:
    """Taking a batch at random from images that are on the device."""
    place = examples.labels.device

    def prepare(generator: torch.Generator) -> torch.Tensor:
        count = len(examples.labels)
        return torch.randint(count, (size,), generator=generator, device=place)

    return Work(prepare, examples.rows)


def operand_sets(
    arms: int, network: nn.Module, batch: Examples, settings: Mapping[str, Any]
) -> int:
    """How many operand sets an arm may have: as many as wanted, or as fit into memory."""
    most = int(settings["operand_sets"])
    numbers = sum(parameter.numel() for parameter in network.parameters())
    size = 4 * (3 * numbers + 2 * batch.inputs.numel())  # with gradients and buffers, about
    free = machine.free_memory(batch.labels.device)
    return most if free is None else max(1, min(most, int(MEMORY_SHARE * free / (arms * size))))


class LibraryClock(HostClock):
    """A host's clock for arms whose products two libraries compute, each with threads of its own.

    Between two products the threads of a library do not sleep: they look for work, for up to 30 ms
    after the last one (seen: OpenBLAS, which NumPy uses), and take the cores from the other's.
    So whenever the library changes, everybody rests until those threads sleep. For that, the clock
    calls once with ``entering`` on, which an arm of :func:`using` takes for its turn.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.entering = False
        self.library: str | None = None

    def enter(self, library: str) -> None:
        """Let the other library's threads go to sleep."""
        if library != self.library:
            time.sleep(REST_S)
            self.library = library

    def time(self, call: Call, block: Block) -> float:
        """Seconds per call, with the library's threads for itself."""
        self.entering = True
        try:
            call()
        finally:
            self.entering = False
        return super().time(call, block)


def using(library: str, work: Work[Any], clock: LibraryClock) -> Work[Any]:
    """The work, with the threads of its library for itself whenever it is timed by the clock."""

    def run(operands: Any) -> Any:
        return clock.enter(library) if clock.entering else work.run(operands)

    return Work(work.prepare, run, work.units)


def compare(
    found: Kinds, network: nn.Module, given: Sequence[Examples], examples: Examples, job: Job
) -> list[Trial]:
    """One paired trial of all rungs, and one of the pieces of NumPy's step, if it is to be split.

    Pieces of NumPy's step are compared with each other alone: every change between the libraries
    costs a rest.
    """
    settings, clock = job.settings, LibraryClock(job.device)
    split = job.axes["shape"] in settings["detailed"]
    own = {name: kind for name, kind in found.items() if name == "numpy"}
    others = {name: kind for name, kind in found.items() if name != "numpy"}
    arms = works(others, network, given, split)
    arms["data"] = taking(examples, len(given[0].labels))
    arms = {name: using("torch", work, clock) for name, work in arms.items()}
    alone = works(own, network, given, split)
    alone = {name: using("numpy", work, clock) for name, work in alone.items()}
    if own:
        arms["numpy"] = alone["numpy"]
    protocol = _protocol(job, operand_sets(len(found) + 1, network, given[0], settings))
    measured = _trial(arms, ANCHOR, protocol, clock, settings["seed"])
    trials = [measured]
    if own and split:
        trials.append(_trial(alone, "numpy", protocol, clock, settings["seed"]))
    measured.result["parts"] = {
        name: parts(each, name, measured)
        for each, rungs_of in zip(trials, (others, own), strict=False)
        for name in rungs_of
        if split and name != "graph" and {each.status, measured.status} == {Status.OK}
    }
    return trials


def _protocol(job: Job, sets: int) -> Protocol:
    settings = job.settings
    return replace(
        Protocol.from_settings(settings["protocol"], job.device),
        cap_s=settings["cell_s"],
        rounds_most=max(settings["rounds_most"], settings["protocol"]["rounds_least"]),
        half_width=settings["half_width"],
        operand_sets=sets,
        operand_sets_least=sets,
    )


def _trial(
    arms: Mapping[str, Work[Any]], anchor: str, protocol: Protocol, clock: Clock, seed: int
) -> Trial:
    """One paired trial of the arms."""
    ready = arms[anchor].prepare(torch.Generator(clock.device))
    trial.settle(lambda: arms[anchor].run(ready), protocol, clock)
    targets = {name: work for name, work in arms.items() if name != anchor}
    what: dict[str, JsonValue] = {"measured": "step", "anchor": anchor}
    measured = trial.compare(what, arms[anchor], targets, protocol, clock, seed)
    measured.reason = measured.reason and measured.reason.replace("protocol.cap_s", "cell_s")
    return measured


def parts(measured: Trial, name: str, joint: Trial) -> dict[str, JsonValue]:
    """Seconds of the forward pass, the backward pass and the update of a rung, with intervals.

    They are differences between arms of the same round: how much longer it takes to come further.
    ``sum_share`` is what the three medians sum to, relative to the median of the whole step.

    Args:
        measured: The trial that holds the rung's pieces.
        name: The rung.
        joint: The trial of all rungs. Where the pieces had one of their own, they are scaled to the
            step in this one: the machine may have another speed a few seconds later.
    """
    scale = np.median(steps(joint, name)) / np.median(steps(measured, name))
    whole = scale * steps(measured, name)
    first, both = (scale * kept(measured, f"{name} {piece}") for piece in ("forward", "gradient"))
    pieces = {"forward": first, "backward": both - first, "update": whole - both}
    found: dict[str, JsonValue] = {}
    total = 0.0
    for piece, seconds in pieces.items():
        middle = statistic.median(seconds)
        total += middle.value
        found |= {
            f"{piece}_s": middle.value,
            f"{piece}_low_s": middle.low,
            f"{piece}_high_s": middle.high,
        }
    return found | {"sum_share": total / float(np.median(whole))}


def steps(measured: Trial, name: str) -> NDArray[np.float64]:
    """Seconds of a rung's whole step in the rounds that count."""
    return kept(measured, trial.ANCHOR if name == measured.what["anchor"] else name)


def kept(measured: Trial, arm: str) -> NDArray[np.float64]:
    """Seconds of an arm in the rounds that count."""
    samples: Any = measured.samples
    return np.array(samples[arm], dtype=float)[~np.array(samples["void"], dtype=bool)]


# ---- what is counted beside the time -----------------------------------------------------------


class Operations(TorchDispatchMode):
    """Counts the operations that torch is given; views, which compute nothing, are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.count: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def operations(name: str, kind: type[Rung], network: nn.Module, batch: Examples) -> int | None:
    """Operations of a step after the first; None where torch does not see them."""
    if name in ("numpy", "compiled"):
        return None
    rung, own = start(kind, network, TIMED_RATE, batch), batch_for(kind, batch)
    rung.step(*own)
    with Operations() as counter:
        rung.step(*own)
    return counter.count + (name == "graph")  # the launch of the graph


def flops(found: Kinds, network: nn.Module, batch: Examples) -> int:
    """FLOP of the products of a step, counted from the shapes that torch is given.

    Counted from scratch, where every convolution and recurrent cell is a product.
    """
    rung = start(found["scratch"], network, TIMED_RATE, batch)
    with FlopCounterMode(display=False) as counter:
        rung.step(batch.inputs, batch.labels)
    return int(counter.get_total_flops())


def peak_bytes(name: str, kind: type[Rung], network: nn.Module, batch: Examples) -> int | None:
    """Most bytes that were allocated at once from the first weight to the end of the second step.

    Weights, gradients, buffers and what the backward pass keeps; not the batch, and not what a
    library allocates past torch (oneDNN's scratch memory). None where nobody counts.
    """

    def two_steps() -> None:
        rung, own = start(kind, network, TIMED_RATE, batch), batch_for(kind, batch)
        for _ in range(2):
            rung.step(*own)

    gc.collect()
    place = batch.labels.device
    if name == "numpy":
        return _traced(two_steps)
    if place.type == "cuda":
        return _allocated(two_steps, place)
    return _profiled(two_steps) if place.type == "cpu" else None


def _traced(run: Callable[[], None]) -> int:
    """By Python's tracemalloc, to which NumPy tells what it allocates."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def _allocated(run: Callable[[], None], place: torch.device) -> int:
    """By the CUDA allocator."""
    before = torch.cuda.memory_allocated(place)
    torch.cuda.reset_peak_memory_stats(place)
    run()
    torch.cuda.synchronize(place)
    return torch.cuda.max_memory_allocated(place) - before


def _profiled(run: Callable[[], None]) -> int:
    """By the events of torch's CPU allocator, which its profiler records."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    assert seen.profiler
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = itertools.accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns()))
    return max(held, default=0)


def lines(kind: type[Rung], builders: Sequence[Callable[..., Any]]) -> int:
    """Lines of code of a rung: its classes, their helpers, and what builds its network.

    Counted from the source as it stands here, without comments, docstrings and blank lines.
    """
    own = [each for each in kind.__mro__ if issubclass(each, Rung) and each is not Rung]
    built = builders if issubclass(kind, rungs.Framework) else ()
    return sum(code_lines(inspect.getsource(each)) for each in (*own, *kind.helpers, *built))


def code_lines(source: str) -> int:
    """Lines of Python that hold code."""
    source = textwrap.dedent(source)
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    blank |= {tokenize.ENCODING, tokenize.ENDMARKER}
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in blank
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        if documented and isinstance(node, ast.ClassDef | ast.FunctionDef):
            text = node.body[0]
            code -= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(code)


# ---- the job -----------------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """The trial of all rungs of a shape, the proofs before it, and what is not here."""
    settings, place = job.settings, job.device
    torch.backends.cuda.matmul.fp32_precision = "ieee"  # float32 means float32
    torch.backends.cudnn.fp32_precision = "ieee"
    torch.compiler.config.force_disable_caches = True  # compiling is timed, too
    shape = shape_of(job.axes["shape"])
    examples = Examples(pixels(job.data.images, place), job.data.labels.to(place).long())
    network = build(shape, settings).to(place)
    size = batch_size(shape, settings)
    given = batches(examples, size, settings["steps"], settings["seed"])
    found, absent, seconds = here(kinds(shape, settings), network, given[0])
    checks = check(found, network, given, job)
    refused = {each.what.get("rung") for each in checks if each.status == Status.REFUSED}
    right = {name: kind for name, kind in found.items() if name not in refused}
    if ANCHOR not in right:  # its losses are no numbers, so nothing can be compared with it
        return [*checks, *absent]
    timed = compare(right, network, given, examples, job)
    looked_at = right if shape.name in settings["detailed"] else {}
    timed[0].result |= {
        **described(shape, network, settings),
        "flops": flops(kinds(shape, settings), network, given[0]),
        "operations": {n: operations(n, k, network, given[0]) for n, k in looked_at.items()},
        "memory_bytes": {n: peak_bytes(n, k, network, given[0]) for n, k in looked_at.items()},
        "lines": {n: lines(k, BUILDERS[shape.family]) for n, k in right.items()},
        "first_step_s": {**seconds},
    }
    return [*timed, *checks, *absent]


def here(
    wanted: Kinds, network: nn.Module, batch: Examples
) -> tuple[Kinds, list[Trial], dict[str, float]]:
    """The rungs that this device has, what the record says of the others, and first steps."""
    found: Kinds = {}
    absent, seconds = [], {}
    for name, kind in wanted.items():
        reason = missing_here(name, batch.labels.device)
        if not reason:
            seconds[name], reason = first_step(name, kind, network, batch)
        if reason:
            absent.append(unavailable(name, reason))
            seconds.pop(name, None)
        else:
            found[name] = kind
    return found, absent, seconds


def described(
    shape: Shape, network: nn.Module, settings: Mapping[str, Any]
) -> dict[str, JsonValue]:
    """The shape for whoever reads the record."""
    return {
        "family": shape.family,
        "number": shape.number,
        "hidden": [*hidden(shape, settings)] if shape.is_perceptron else None,
        "batch": batch_size(shape, settings),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the job that the command line describes."""
    axes = {"shape": checked, "occasion": int}
    job.run("implementation", axes, measure, argv, read_data=dataset.read)


def checked(name: str) -> str:
    """The name of a shape, once it is known to be one."""
    return shape_of(name).name


if __name__ == "__main__":
    main()
