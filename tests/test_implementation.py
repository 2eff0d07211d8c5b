"""Framework against from scratch: every rung trains alike, and every claim is judged as it is."""

from __future__ import annotations

import argparse
import copy
import inspect
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import answer_implementation as answer
import measure_implementation as measure
import numpy as np
import pytest
import torch
from assay import configuration, record
from assay.answer import model
from assay.answer.question import NOTHING
from assay.job import Job
from assay.ladder import counting, pieces, rungs, shapes
from assay.ladder.rungs import Rung
from assay.ladder.shapes import Shape
from assay.learning import dataset
from assay.learning.training import Examples
from assay.record import DatasetInfo, Record, Status, Trial
from assay.timing import allocation
from assay.timing.clock import Block
from assay.timing.trial import Work
from builders import PACE, QUICK, answered, make_record
from conftest import check_budgets
from test_configuration import DEFAULT, changed, complaint

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {
    "seed": 1,
    "protocol": {**QUICK},
    "perceptron": {"hidden": [12, 8], "batch": 16},
    "convolution": {"channels": [3, 4], "kernel": 3, "batch": 4},
    "recurrent": {"hidden": 6, "batch": 4},
    "rate": 0.1,
    "steps": 5,
    "tolerance": {"float32": 1e-5, "float64": 1e-12},
    "compiled": [],
    "detailed": ["depth-1", "recurrent-1"],
    "rounds_most": 6,
    "cell_s": 60,
    "half_width": 0.5,
    "operand_sets": 1,
    "substantial": 0.2,
}
SHAPES = ["depth-1", "depth-2", "width-20", "batch-1", "convolution-2", "recurrent-2"]


def examples(count: int = 40, dtype: torch.dtype = torch.float64) -> Examples:
    generator = torch.Generator().manual_seed(3)
    return Examples(
        torch.rand(count, 784, generator=generator, dtype=dtype),
        torch.randint(10, (count,), generator=generator),
    )


def ladder(name: str) -> tuple[dict[str, type[Rung]], torch.nn.Module, list[Examples]]:
    """What can be trained on a CPU of a shape, its network, and some batches, in float64."""
    shape = Shape(name, SETTINGS)
    kinds = shape.kinds
    del kinds["graph"]
    return kinds, shape.network().double(), shape.batches(examples())


# ---- the rungs -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_every_rung_has_the_losses_of_the_framework(name: str) -> None:
    found, network, given = ladder(name)
    seen = {n: measure.losses(kind, network, 0.5, given) for n, kind in found.items()}
    for rung, losses in seen.items():
        assert losses == pytest.approx(seen["module"], rel=1e-12), rung
    assert len(set(seen["module"])) == 5  # they do move


@pytest.mark.parametrize("name", SHAPES)
def test_no_rung_changes_the_network_that_all_start_from(name: str) -> None:
    found, network, given = ladder(name)
    before = copy.deepcopy(network.state_dict())
    for kind in found.values():
        measure.losses(kind, network, 0.5, given)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("name", ["depth-2", "convolution-1", "recurrent-1"])
def test_a_piece_of_a_step_can_be_repeated(name: str) -> None:
    """The forward and the backward pass leave everything as it was; only the update moves it."""
    found, network, given = ladder(name)
    for rung_name, kind in found.items():
        rung, *own = pieces.start(kind, network, given[0], 0.5)
        rung.forward(*own)
        first = rung.loss.item()
        for _ in range(3):
            pieces.gradient((rung, *own))
            assert rung.loss.item() == first, rung_name
        rung.update()
        rung.forward(*own)
        assert rung.loss.item() < first, rung_name


def test_torch_by_hand_allocates_nothing_in_a_step() -> None:
    found, network, given = ladder("depth-2")
    rung, *own = pieces.start(found["torch"], network, given[0])
    rung.step(*own)
    peak = allocation.peak_bytes(lambda: rung.step(given[1].inputs, given[1].labels), CPU)
    assert peak is not None
    assert peak <= given[0].inputs.nbytes // 100


def test_the_recurrent_cell_by_hand_is_the_modules() -> None:
    network = rungs.recurrent(hidden=6, layers=2, seed=1).double()
    batch = examples(4)
    own = rungs.ScratchRecurrent(network, 0.1, batch.inputs, batch.labels)
    assert torch.allclose(own.logits(batch.inputs), network(batch.inputs), rtol=1e-12)


# ---- proofs before timing --------------------------------------------------------------------


class Forgetful(rungs.ScratchPerceptron):
    """The published kind of mistake: it trains, but it does not train all of it."""

    def update(self) -> None:
        forgotten = self.parameters[-1].detach().clone()
        super().update()
        with torch.no_grad():
            self.parameters[-1].copy_(forgotten)


def check(found: shapes.Kinds, network: torch.nn.Module, given: Sequence[Examples]) -> list[Trial]:
    job = Job({"shape": "depth-1"}, SETTINGS, CPU)
    return measure.check(found, network, given, job)


def test_a_rung_with_other_losses_is_refused_with_the_step_and_the_losses() -> None:
    found, network, given = ladder("depth-1")
    trials = check(found | {"scratch": Forgetful}, network.float(), given)
    refused = [trial for trial in trials if trial.status == Status.REFUSED]
    assert {trial.what["rung"] for trial in refused} == {"scratch"}
    assert [trial.what["dtype"] for trial in refused] == ["float32", "float64"]
    assert "scratch: at step 1 the loss is 2." in str(refused[0].reason)
    assert "that of module 2." in str(refused[0].reason)
    whole: Any = trials[0]
    assert len(whole.samples["module"]) == 5
    assert set(whole.result["largest_difference"]) == set(found) - {"scratch"}


def test_a_loss_that_is_no_number_is_refused() -> None:
    assert measure.disagreement([1.0, math.nan], [1.0, 1.0], 1e-5)
    assert measure.disagreement([1.0, 1.0], [1.0, math.nan], 1e-5)
    assert measure.disagreement([1.0, 1.0 + 1e-6], [1.0, 1.0], 1e-5) is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy says that it overflows
def test_when_the_anchor_has_no_losses_nothing_is_timed(tmp_path: Path, data: Path) -> None:
    seen = measured(tmp_path, data, "depth-1", rate=1e30)
    assert all("anchor" not in trial.what for trial in seen.trials)
    refused = {str(t.what["rung"]) for t in seen.trials if t.status == Status.REFUSED}
    assert refused == {"numpy", "torch", "scratch", "module", "fused"}
    found = answer.answer([seen])
    assert found.sentence == NOTHING
    assert {cell.lost for cell in found.cells} == {"refused"}


def test_batches_of_a_small_data_set_begin_again() -> None:
    given = Shape("batch-4", SETTINGS).batches(examples(10))
    assert [len(batch.labels) for batch in given] == [4] * 5
    assert torch.equal(given[0].inputs[0], given[2].inputs[2])
    assert not torch.equal(given[0].inputs, given[1].inputs)


@pytest.mark.parametrize("name", ["depth", "depth-0", "width-", "tree-3", "depth-1; ls"])
def test_what_is_no_shape_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no shape; use one like depth-1"):
        shapes.checked(name)


def test_a_shape_with_more_layers_than_described_is_refused() -> None:
    said = complaint(changed("studies.implementation.axes.shape", ["depth-6"]))
    assert "holds depth-6, but" in said
    assert "allowed: depth-1 to depth-5" in said
    configuration.check(DEFAULT)


# ---- what is not here ------------------------------------------------------------------------


class NoCompiler(rungs.Compiled):
    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        raise RuntimeError("CppCompileError: Command: g++ /tmp/torchinductor_alice/ab/main.cpp")


class Broken(rungs.ScratchPerceptron):
    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_without_a_compiler_torch_compile_is_unavailable() -> None:
    found, network, given = ladder("depth-1")
    ready, absent, _ = measure.here(found | {"compiled": NoCompiler}, network, given[0])
    assert set(ready) == set(found)
    assert [(each.what["rung"], each.status) for each in absent] == [
        ("compiled", Status.UNAVAILABLE)
    ]
    assert absent[0].reason == (
        "no C++ compiler that works: CppCompileError: Command: g++ main.cpp"
    )


def test_a_mistake_in_a_rung_is_a_crash_not_a_status() -> None:
    found, network, given = ladder("depth-1")
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        measure.here(found | {"scratch": Broken}, network, given[0])


def test_a_rung_that_a_device_cannot_have_says_why() -> None:
    assert measure.missing_here("graph", CPU) == "a CUDA graph needs a CUDA device, this is cpu"
    gpu = torch.device("cuda:0")
    assert measure.missing_here("numpy", gpu) == "NumPy computes on a CPU, this is cuda:0"
    assert measure.missing_here("graph", gpu) is None
    assert measure.missing_here("numpy", CPU) is None


def test_compiling_happens_only_where_it_is_asked_for() -> None:
    settings = {**SETTINGS, "compiled": ["depth-2"]}
    assert [each for each in SHAPES if "compiled" in Shape(each, settings).kinds] == ["depth-2"]


def test_the_compiled_loss_is_compiled_once_for_all_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With another backend than the slow default; what is tested is the number of compilations."""
    graphs = []

    def backend(graph: Any, _: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    eager = torch.compile(rungs.loss_of, dynamic=False, backend=backend)
    monkeypatch.setattr(rungs, "compiled_loss", lambda: eager)
    _, network, given = ladder("depth-1")
    expected = measure.losses(rungs.Framework, network, 0.5, given)
    for _ in range(3):
        assert measure.losses(rungs.Compiled, network, 0.5, given) == pytest.approx(expected)
    assert len(graphs) == 1


# ---- what is counted -------------------------------------------------------------------------


def test_flop_are_those_of_the_products() -> None:
    _, network, given = ladder("depth-2")
    n = 16
    forward = 2 * n * (784 * 12 + 12 * 8 + 8 * 10)
    backward = forward + 2 * n * (12 * 8 + 8 * 10)  # no slope for the images
    assert counting.flops(Shape("depth-2", SETTINGS), network, given[0]) == forward + backward


def test_operations_are_counted_without_views() -> None:
    with counting.Operations() as counter:
        x = torch.ones(3, 4)
        x.t().unsqueeze(0)
        x.add_(1)
    assert counter.count == 2
    found, network, given = ladder("depth-1")
    seen = {n: counting.operations(n, k, network, given[0]) for n, k in found.items()}
    assert seen["numpy"] is None
    assert seen["fused"] == seen["module"] - 3  # one update for four parameters
    assert seen["scratch"] > seen["module"]


def test_the_peak_holds_weights_gradients_and_buffers() -> None:
    found, network, given = ladder("width-20")
    weights = 8 * sum(parameter.numel() for parameter in network.parameters())
    for name in ("numpy", "torch", "module"):
        peak = counting.peak_bytes(name, found[name], network, given[0])
        assert peak is not None
        assert 2 * weights <= peak < 6 * weights, name


def test_lines_are_counted_from_the_source() -> None:
    source = '''
    class Example:
        """A docstring
        of two lines."""

        # a comment
        def run(self):
            """Another."""
            text = """not
            a docstring"""
            return text
    '''
    assert counting.code_lines(source) == 5
    assert counting.lines(rungs.Fused, "depth") > counting.lines(rungs.Framework, "depth")
    scratch = counting.lines(rungs.ScratchPerceptron, "depth")
    assert scratch == sum(
        counting.code_lines(inspect.getsource(each))
        for each in (rungs.ScratchPerceptron, rungs.Scratch, *rungs.Scratch.helpers)
    )


def test_parts_are_differences_inside_a_round() -> None:
    rounds = 20
    drift = np.linspace(1, 3, rounds)  # the machine slows down, and all arms with it
    samples: dict[str, list[Any]] = {
        "anchor": [*(4 * drift)],
        "module forward": [*(1 * drift)],
        "module gradient": [*(3 * drift)],
        "void": [False] * rounds,
    }
    samples["anchor"][0], samples["void"][0] = 1000.0, True
    made = Trial(what={"anchor": "module"}, samples=samples)
    seen: Any = pieces.parts(made, "module", made)
    assert seen["sum_share"] == pytest.approx(1)
    assert seen["backward_s"] == pytest.approx(2 * seen["forward_s"])
    assert seen["update_low_s"] < seen["update_s"] < seen["update_high_s"]


def test_parts_from_a_trial_of_their_own_fit_the_joint_step() -> None:
    alone = Trial(
        what={"anchor": "numpy"},
        samples={
            "anchor": [4.0] * 20,
            "numpy forward": [1.0] * 20,
            "numpy gradient": [3.0] * 20,
            "void": [False] * 20,
        },
    )
    # The machine is twice as fast by now.
    joint = Trial(
        what={"anchor": "module"},
        samples={"anchor": [9.0] * 20, "numpy": [2.0] * 20, "void": [False] * 20},
    )
    seen: Any = pieces.parts(alone, "numpy", joint)
    assert [seen[f"{part}_s"] for part in ("forward", "backward", "update")] == [0.5, 1.0, 0.5]
    assert seen["sum_share"] == pytest.approx(1)


def test_pieces_share_the_operands_and_arms_do_not() -> None:
    made: list[int] = []

    def make(number: int) -> tuple[int, ...]:
        made.append(number)
        return (number,)

    pool, generator = pieces.Pool(make), torch.Generator()
    first, second = pool.taker(), pool.taker()
    assert [first(generator) for _ in range(3)] == [(0,), (1,), (2,)]
    assert [second(generator) for _ in range(2)] == [(0,), (1,)]
    assert made == [0, 1, 2]


def test_libraries_rest_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(pieces.time, "sleep", rests.append)
    clock = pieces.LibraryClock(CPU)
    called: list[str] = []
    work = Work(lambda _: None, called.append)
    arms = pieces.using("torch", {"torch": work}, clock)
    arms |= pieces.using("numpy", {"numpy": work}, clock)
    for name in ("torch", "torch", "numpy", "torch"):
        work = arms[name]
        clock.time(lambda work=work, name=name: work.run(name), Block(2))  # type: ignore[misc]
    assert len(rests) == 3
    assert called == ["torch"] * 6 + ["numpy"] * 3 + ["torch"] * 3  # entering does no work


# ---- a real job ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "dataset.safetensors"
    draw = np.random.default_rng(1)
    arrays = {
        "images": draw.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        "labels": draw.integers(0, 10, 60, dtype=np.uint8),
        "test_images": draw.integers(0, 256, (10, 28, 28), dtype=np.uint8),
        "test_labels": draw.integers(0, 10, 10, dtype=np.uint8),
    }
    info = DatasetInfo(
        name="made-up", asked="made-up", source="folder", reason=None, digest=dataset.digest(arrays)
    )
    dataset.write(path, arrays, info)
    return path


def measured(folder: Path, data: Path, shape: str, device: str = "cpu", **changes: Any) -> Record:
    """The record of a run of the measuring script, on one thread: a busy core stops two."""
    path = folder / f"{shape}.json"
    settings = json.dumps(SETTINGS | changes)
    arguments = ["--dataset", str(data), "--settings", settings, "--output", str(path)]
    measure.main(["--shape", shape, "--device", device, "--threads", "1", *arguments])
    return record.read(path)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, data: Path) -> list[Record]:
    folder = tmp_path_factory.mktemp("here")
    return [measured(folder, data, shape) for shape in ("depth-1", "recurrent-1")]


def test_a_real_job_times_every_rung_and_its_pieces(here: list[Record]) -> None:
    simple, recurrent = here
    assert simple.axes == {"device": "cpu", "shape": "depth-1", "occasion": 1}
    timed, alone, *checks, graph = simple.trials
    assert timed.status == alone.status == Status.OK
    result: Any = timed.result
    whole = {"numpy", "torch", "scratch", "fused"}
    assert whole | {"twin", "data"} <= set(result["ratios"])
    assert "numpy forward" not in result["ratios"]
    assert alone.what == {"measured": "step", "anchor": "numpy"}
    assert set(result["parts"]) == whole | {"module"}
    assert [each.what["dtype"] for each in checks] == ["float32", "float64"]
    assert graph.what == {"rung": "graph"}
    assert graph.status == Status.UNAVAILABLE
    assert set(recurrent.trials[0].result["parts"]) == {"scratch", "module", "fused"}


def test_this_machine_is_answered(here: list[Record], tmp_path: Path) -> None:
    found = answered(answer, tmp_path, here)
    assert "simple perceptron" in found.sentence
    assert "cpu" not in found.sentence  # there is one device
    assert found.numbers["cpu"]["claims"]["a framework converges faster"] == "does not hold"
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert {row[0] for row in found.table.rows} == {
        "NumPy by hand", "torch by hand", "from scratch", "nn.Module", "fused optimiser",
    }  # fmt: skip
    check_budgets(found)


def test_a_shape_over_its_budget_is_skipped_with_its_estimate(tmp_path: Path, data: Path) -> None:
    eager = {
        **SETTINGS["protocol"],
        "cpu": {**PACE, "block_s": 1e-6, "block_least_s": 1e-5},
    }  # every call is a slow one
    seen = measured(tmp_path, data, "width-600", cell_s=0.001, protocol=eager).trials[0]
    assert seen.status == Status.SKIPPED
    assert "cell_s" in str(seen.reason)
    axes = {"device": "cpu", "shape": "width-600"}
    found = answer.answer([make_record("implementation", axes, [seen], settings=SETTINGS)])
    assert found.numbers == {}
    assert model.state(found.cells) == "not measured"


# ---- the answer ------------------------------------------------------------------------------


def ratio(value: float, width: float, p: float = 1e-6) -> dict[str, float]:
    low, high = value / (1 + width), value * (1 + width)
    return {"ratio": value, "ratio_low": low, "ratio_high": high, "p": p}


def arm(seconds: float) -> dict[str, float]:
    return {"time_median_s": seconds, "time_low_s": seconds, "time_high_s": seconds}


def made_up(
    shape: str, scratch: float, *, width: float = 0.005, device: str = "cpu", **losses: float
) -> Record:
    """A network in which a step from scratch takes so many times as long as with nn.Module."""
    settings = {**SETTINGS, "perceptron": {"hidden": [256, 128, 64, 32, 16], "batch": 256}}
    seen = Shape(shape, settings)
    hidden = seen.hidden if seen.is_perceptron else None
    result: dict[str, Any] = {
        "rounds": 20,
        "rounds_void": 0,
        "arms": {name: arm(1e-3) for name in ("anchor", "twin", "data")}
        | {"scratch": arm(scratch * 1e-3)},
        "ratios": {"twin": ratio(1, 0.005, p=0.5), "scratch": ratio(scratch, width)},
        "parts": {
            name: {"forward_s": 3e-4, "backward_s": 5e-4, "update_s": 2e-4, "sum_share": 1.0}
            for name in ("scratch", "module")
        },
        "family": seen.family,
        "number": seen.number,
        "hidden": hidden,
        "batch": seen.batch,
        "parameters": 1000,
        "operations": {"scratch": 60, "module": 40},
        "memory_bytes": {"scratch": 3e6, "module": 2e6},
        "lines": {"scratch": 33, "module": 22},
        "flops": 6 * seen.batch * 784 * (hidden or [1])[0],
        "first_step_s": {"scratch": 0.1, "module": 0.1},
    }
    difference = losses or {"float32": 1e-7, "float64": 1e-15}
    checks = [
        Trial(
            what={"measured": "losses", "dtype": dtype},
            samples={"module": [2.3] * 20, "scratch": [2.3] * 20},
            result={"largest_difference": {"module": 0.0, "scratch": value}},
        )
        for dtype, value in difference.items()
    ]
    timed = Trial(what={"measured": "step", "anchor": "module"}, result=result)
    axes = {"device": device, "shape": shape}
    return make_record("implementation", axes, [timed, *checks], settings=settings)


def verdict(records: Sequence[Record], claim: str, device: str = "cpu") -> str:
    side = next(each for each in answer.sides(records) if each.device == device)
    return next(cell.text for text, cell in side.claims.items() if claim in text)


@pytest.mark.parametrize(
    ("value", "width", "truth"),
    [
        (1.3, 0.005, "does not hold"),
        (0.8, 0.005, "does not hold"),
        (1.001, 0.005, "holds"),
        (1.05, 0.2, "cannot tell"),
    ],
)
def test_not_significant_for_simple_networks(value: float, width: float, truth: str) -> None:
    assert verdict([made_up("depth-1", value, width=width)], "simple") == truth


def test_equal_times_beside_a_noisy_control_are_no_verdict() -> None:
    seen = made_up("depth-1", 1.0)
    timed: Any = seen.trials[0].result
    timed["ratios"]["twin"] = ratio(1, 0.4, p=0.5)
    assert next(arm.word for arm in answer.sides([seen])[0].found if arm.seen) == "cannot tell"
    found = answer.answer([seen])
    assert found.so == ""
    assert model.state(found.cells) == "cannot tell"
    assert verdict([seen], "simple") == "cannot tell"


def test_a_small_difference_that_is_real_is_said_to_be_both() -> None:
    claim = "not significant for simple networks"
    seen = answer.sides([made_up("depth-1", 1.1)])[0].claims[claim]
    assert seen.text == "does not hold"
    assert seen.reason == "+10.0 % [+9.5, +10.5] slower, though not substantially"
    seen = answer.sides([made_up("depth-1", 1.5)])[0].claims[claim]
    assert seen.reason.endswith("slower")


@pytest.mark.parametrize(
    ("value", "width", "truth"),
    [(3.0, 0.01, "holds"), (1.1, 0.01, "does not hold"), (1.2, 0.1, "cannot tell")],
)
@pytest.mark.parametrize("shape", ["convolution-2", "recurrent-1"])
def test_substantial_for_complex_networks(
    shape: str, value: float, width: float, truth: str
) -> None:
    records = [made_up("depth-1", 1.3), made_up(shape, value, width=width)]
    kind = answer.COMPLEX[shape.split("-")[0]]
    other = "recurrent" if kind == "convolutional" else "convolutional"
    assert verdict(records, kind) == truth
    assert verdict(records, other) == "cannot tell"  # it was not measured


BATCHES = (1, 8, 64, 256, 1024, 2048)


def by_batch(law: Callable[[int], float]) -> list[Record]:
    return [made_up("depth-1" if n == 256 else f"batch-{n}", law(n)) for n in BATCHES]


@pytest.mark.parametrize(
    ("law", "truth"),
    [
        (lambda n: 1.2 * n**0.03, "holds"),
        (lambda n: 1.2 * n**0.0125, "does not hold"),  # by a tenth
        (lambda n: 1.2 * n**-0.03, "does not hold"),
        (lambda n: 1.3, "does not hold"),
        (lambda n: 1.2 if n in (8, 1024) else 1.6, "cannot tell"),
    ],
)
def test_mini_batches_add_to_the_advantage(law: Callable[[int], float], truth: str) -> None:
    assert verdict(by_batch(law), "mini-batches") == truth


def test_two_batches_make_no_slope() -> None:
    records = [made_up("depth-1", 1.3), made_up("batch-16", 1.2)]
    assert verdict(records, "mini-batches") == "cannot tell"
    assert answer.advantage(answer.steps(records)) is None


def test_equal_losses_per_step_are_equal_convergence() -> None:
    claims = answer.sides([made_up("depth-1", 1.3)])[0].claims
    seen = claims["a framework converges faster"]
    assert seen.text == "does not hold"
    assert "1e-07 in float32 and 1e-15 in float64" in seen.reason


def test_unequal_losses_say_nothing_about_convergence() -> None:
    seen = made_up("depth-1", 1.3)
    what = {"measured": "losses", "dtype": "float32", "rung": "scratch"}
    refused = Trial(what=what, status=Status.REFUSED, reason="scratch: at step 1 …")
    seen.trials.append(refused)
    assert verdict([seen], "converges") == "cannot tell"


def test_slopes_are_those_that_were_put_in() -> None:
    records = [*by_batch(lambda n: 1.2 * n**0.05), made_up("width-1024", 1.4)]
    growth = answer._numbers(answer.sides(records)[0])["growth_per_doubling"]["scratch"]
    assert growth["batch"]["factor"] == pytest.approx(2**0.05)
    assert growth["batch"]["networks"] == 6
    assert "width" not in growth  # two widths
    assert growth["flops"]["networks"] == 7


def test_slopes_are_no_better_known_than_the_ratios_behind_them() -> None:
    """Six ratios on a line, each known to ± 40 %: whether it rises cannot be told."""
    sharp, blunt = (
        [
            made_up("depth-1" if n == 256 else f"batch-{n}", 1.2 * n**0.03, width=width)
            for n in BATCHES
        ]
        for width in (0.005, 0.4)
    )
    assert verdict(sharp, "mini-batches") == "holds"
    assert verdict(blunt, "mini-batches") == "cannot tell"


def test_the_growth_with_the_batch_is_one_of_the_family() -> None:
    found = answer.steps(by_batch(lambda n: 1.2 * n**0.03))
    seen = answer.advantage(found)
    assert seen
    assert seen.value == pytest.approx(2048**0.03)
    assert answer.advantage(found[:4]) is None


def test_the_growth_is_known_no_better_than_equal_steps_are() -> None:
    """It grows by a quarter, while one of the twins may differ by a half."""
    records = by_batch(lambda n: 1.2 * n**0.03)
    timed: Any = records[0].trials[0].result
    timed["ratios"]["twin"] = ratio(1, 0.5, p=0.5)
    assert verdict(records, "mini-batches") == "cannot tell"


def test_devices_are_judged_apart() -> None:
    records = [made_up("depth-1", 1.3), made_up("depth-1", 1.0, device="gpu")]
    assert verdict(records, "simple") == "does not hold"
    assert verdict(records, "simple", "gpu") == "holds"
    sentence = answer.answer(records).sentence
    assert sentence.startswith("cpu: The framework is faster")
    assert "gpu: Neither is faster" in sentence
    assert len(sentence.split()) <= 40


def test_only_the_largest_complex_network_judges() -> None:
    records = [made_up("recurrent-1", 1.0), made_up("recurrent-2", 2.0)]
    assert verdict(records, "recurrent") == "holds"


COMPLEX = ("convolution-2", "recurrent-1")


def test_the_headline_holds_the_simple_network_and_the_words_on_the_others() -> None:
    found = answer.answer([made_up("depth-1", 1.26), *(made_up(each, 2.0) for each in COMPLEX)])
    assert "26.0 % [25.4, 26.6] longer" in found.sentence
    assert found.sentence.endswith("From scratch, convolutional and recurrent: slower.")
    assert found.so == "Use nn.Module."
    assert model.state(found.cells) == "answered"
    check_budgets(found)


def test_a_faster_way_of_the_framework_is_advised() -> None:
    seen = made_up("depth-1", 1.0)
    timed: Any = seen.trials[0].result
    timed["arms"]["fused"] = arm(8e-4)
    timed["ratios"]["fused"] = ratio(0.8, 0.005)
    found = answer.answer([seen])
    assert "a fused optimiser" in found.so
    assert found.sentence.startswith("Neither is faster")


@pytest.mark.parametrize(("fused", "advised"), [(0.9, False), (0.795, False), (0.6, True)])
def test_no_way_of_the_framework_is_advised_that_from_scratch_beats(
    fused: float, advised: bool
) -> None:
    """A machine on which the framework is slower."""
    seen = made_up("depth-1", 0.8)
    timed: Any = seen.trials[0].result
    timed["arms"]["fused"] = arm(fused * 1e-3)
    timed["ratios"]["fused"] = ratio(fused, 0.005)
    found = answer.answer([seen])
    assert found.sentence.startswith("From scratch is faster")
    assert bool(found.so) == advised


def test_a_lost_complex_network_is_named_and_lowers_the_state() -> None:
    axes = {"device": "cpu", "shape": "recurrent-1"}
    lost: dict[str, Any] = {"status": Status.CONTENDED, "reason": "busy", "settings": SETTINGS}
    gone = make_record("implementation", axes, [], **lost)
    found = answer.answer([made_up("depth-1", 1.26), gone])
    assert "recurrent: disturbed" in found.sentence
    assert model.state(found.cells) == "in part"
    assert "disturbed" in next(row for row in found.table.rows if row[1] == "recurrent 1")
    check_budgets(found)


def test_one_point_is_no_figure() -> None:
    found = answer.answer([made_up("depth-1", 1.26)])
    assert "Fewer than two" in found.views[0].alternative


def test_the_files_of_an_answer(tmp_path: Path) -> None:
    gone = make_record(
        "implementation",
        {"device": "gpu", "shape": "depth-1"},
        [],
        status=Status.UNAVAILABLE,
        reason="no GPU",
    )
    beside = made_up("depth-1", 1.4, device="other")
    records = [*by_batch(lambda n: 1.3), made_up("recurrent-1", 2.0), beside, gone]
    seen = answered(answer, tmp_path, records)
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 8 + 1 + 2 * 8  # trials, the absent device, implementations
    assert seen.missing[0].reason == "no GPU"
    assert [view.name for view in seen.views] == ["cpu"]  # two points at least


def test_every_rung_is_named() -> None:
    assert set(answer.RUNGS) == {*shapes.BY_HAND, "scratch", *shapes.FRAMEWORK}
