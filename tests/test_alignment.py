"""Alignment: the verdict follows the pattern that is put into made-up records."""

import json
import math

import pytest
import torch
from assay import record
from assay.record import Status, Trial
from conftest import PROTOCOL, ROOT, load, make_record

measure = load(ROOT / "workflow/scripts/measure_alignment.py")
answer = load(ROOT / "workflow/scripts/answer_alignment.py")

SIZES = [1008, 1016, 1020, 1023, 1024, 1025, 1026, 1028, 1032, 1040, 1056]


def trial(n, ratio, dtype="float32", layout=None, shape="matrix", **changes):
    """A trial that found this ratio to within 0.5 %."""
    result = {
        "ratios": {
            "target": {
                "ratio": ratio,
                "ratio_low": ratio * 0.995,
                "ratio_high": ratio * 1.005,
                "p": 1e-6 if abs(ratio - 1) > 0.01 else 0.5,
            },
            "twin": {"ratio": 1.0, "ratio_low": 0.995, "ratio_high": 1.005, "p": 0.5},
        },
        "arms": {"target": {"time_median_s": 0.01}},
        "throughput_flops": 1e11,
        "kernel": "SGEMM",
        "rounds": 20,
        "rounds_void": 0,
        "relative_error": 1e-7,
    }
    anchor = n if layout else 1024
    what = {"dtype": dtype, "n": n, "layout": layout, "anchor": anchor, "shape": shape}
    return Trial(**({"what": what, "result": result} | changes))


def records(law, sizes=SIZES, device="cpu"):
    return [make_record("alignment", {"device": device, "n": n}, [trial(n, law(n))]) for n in sizes]


def odd(n):
    return 1.10 if n & -n <= 4 else 1.0


def past_the_edge(n):
    return 1.10 if n > 1024 else 1.0


def both(n):
    return odd(n) * past_the_edge(n)


@pytest.mark.parametrize(
    ("law", "says"),
    [
        (odd, "alignment +10.0 %"),
        (past_the_edge, "tile quantisation +10.0 %"),
        (both, "alignment +10.0 %, tile quantisation +10.0 %"),
        (lambda n: 1.0, "neither"),
        (lambda n: 1.0 if n == 1024 else 0.9, "power of two +11.1 %"),
        (lambda n: 1 / odd(n), "alignment −9.1 %"),
    ],
)
def test_the_verdict_is_the_pattern(law, says):
    assert answer.answer(records(law)).sentence == f"cpu – float32: {says}."


def test_the_five_sizes_alone_cannot_tell():
    found = answer.answer(records(odd, [1024, 1025, 1026, 1028, 1032]))
    assert "cannot tell" in found.sentence


def test_without_the_anchors_own_job_it_cannot_tell():
    """Contended, for instance: the other contrasts stand, the verdict waits."""
    found = answer.answer(records(odd, [n for n in SIZES if n != 1024]))
    assert "cannot tell" in found.sentence


def test_noise_cannot_tell():
    noisy = records(lambda n: 1.0)
    for each in noisy:
        target = each.trials[0].result["ratios"]["target"]
        target["ratio_low"], target["ratio_high"] = 0.8, 1.2
    assert "cannot tell" in answer.answer(noisy).sentence


def test_devices_and_layouts_each_get_their_say():
    two = records(odd) + records(past_the_edge, device="gpu")
    two[4].trials.append(trial(1024, 1.08, layout="offset"))
    found = answer.answer(two)
    assert found.sentence == (
        "cpu – float32: alignment +10.0 %. gpu – float32: tile quantisation +10.0 %."
    )
    assert "1024 moved by one element 1.080 [1.075, 1.085] × (slower)" in found.findings[1]


def with_shapes(law, vector_flops=5e9):
    """Square products without any effect, and the other shapes under a law of theirs."""
    made = records(lambda n: 1.0)
    for each in made:
        n = each.axes["n"]
        if n not in (1024, 1025, 1026, 1028, 1032):
            continue
        each.settings["shapes"] = {"batch": 4}
        for shape, flops, intensity in (("batched", 1e11, 200), ("vector", vector_flops, 0.5)):
            for dtype in ("float32", "bfloat16"):
                other = trial(n, law(n), dtype=dtype, shape=shape)
                other.result |= {
                    "throughput_flops": flops,
                    "throughput_bytes_per_s": flops / intensity,
                    "bytes_per_call": 1000,
                }
                other.result["arms"]["target"]["units_per_call"] = 1000 * intensity
                each.trials.append(other)
    made[0].settings["shapes"] = {"batch": 4}
    return made


def test_other_shapes_have_a_finding_and_no_part_in_the_verdict():
    found = answer.answer(with_shapes(odd))
    assert found.sentence == "cpu – float32: neither."
    batched, vector = found.findings[1:]
    assert batched == (
        "cpu, tensor × matrix, against its own anchor: "
        "float32 slower at 1025 (+10.0 %), 1026 (+10.0 %), 1028 (+10.0 %), the same at 1032; "
        "bfloat16 slower at 1025 (+10.0 %), 1026 (+10.0 %), 1028 (+10.0 %), the same at 1032."
    )
    assert (
        "and with 0.5 FLOP per byte bandwidth limits it (10 GB/s, 5.0% of the FLOP/s of the "
        "product of two matrices)" in vector
    )
    assert {row[3] for row in found.table.rows} == {"dense", "tensor × matrix", "matrix × vector"}
    assert set(found.frame["shape"]) == {"matrix", "batched", "vector"}
    assert any("Tensor × matrix: 4 matrices" in each for each in found.method)


def test_bandwidth_is_named_only_where_it_limits():
    found = answer.answer(with_shapes(odd, vector_flops=9e10))
    assert not any("bandwidth" in each for each in found.findings)


def test_the_figure_has_a_panel_per_shape():
    squares, others = answer._by_shape(answer.rows(with_shapes(odd)))
    drawn = answer._figure(squares, others)
    titles = [axes.get_title("left") for axes in drawn.axes]
    assert titles[0].startswith("cpu, float32")
    assert titles[1:] == ["cpu, tensor × matrix", "cpu, matrix × vector"]
    assert [axes.texts[0].get_text() for axes in drawn.axes[1:]] == [
        "full: float32\nhollow: bfloat16"
    ] * 2


def test_records_from_before_there_were_shapes_are_of_matrices():
    old = records(odd)
    for each in old:
        del each.trials[0].what["shape"]
    assert answer.answer(old).sentence == "cpu – float32: alignment +10.0 %."


def test_when_nothing_could_be_measured_it_says_so():
    gone = Trial(
        what={"dtype": "float16", "n": 1024, "layout": None, "anchor": 1024},
        status=Status.SKIPPED,
        reason="too slow",
    )
    found = answer.answer([make_record("alignment", {"device": "cpu", "n": 1024}, [gone])])
    assert found.sentence.startswith("Nothing could be measured")


def test_the_files_of_an_answer(tmp_path):
    paths = []
    for each in records(odd):
        paths.append(tmp_path / f"{each.axes['n']}.json")
        record.write(paths[-1], each)
    about = json.dumps({"title": "t", "exercise": "e"})
    out = [
        f"--{kind}={tmp_path / kind}.{end}"
        for kind, end in (("table", "csv"), ("figure", "svg"), ("answer", "json"))
    ]
    answer.main(["--about", about, *out, *map(str, paths)])
    assert len((tmp_path / "table.csv").read_text().splitlines()) == len(SIZES) + 1
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert json.loads((tmp_path / "answer.json").read_text())["sentence"]


def test_a_broken_record_is_one_sentence(tmp_path):
    (tmp_path / "half.json").write_text('{"format": 1, "study"')
    with pytest.raises(SystemExit) as error:
        answer.main(
            [
                "--about",
                "{}",
                "--table",
                "t",
                "--figure",
                "f",
                "--answer",
                "a",
                str(tmp_path / "half.json"),
            ]
        )
    assert "half.json: not a whole JSON file" in str(error.value)


CPU = torch.device("cpu")


@pytest.mark.parametrize("n", [16, 17, 64])
def test_layouts_are_what_they_say(n):
    plain = measure.dense(n, torch.float32, CPU)
    assert plain.data_ptr() % 64 == 0
    moved = measure.offset(n, torch.float32, CPU)
    assert moved.data_ptr() % 64 == 4
    assert moved.is_contiguous()
    assert measure.odd_leading_dimension(n, torch.float32, CPU).stride(0) % 2 == 1
    assert measure.odd_leading_dimension(n, torch.float32, CPU).stride(0) > n
    padded = measure.padded_leading_dimension(n, torch.float32, CPU)
    assert padded.stride(0) % 64 == 0
    assert {m.shape for m in (plain, moved, padded)} == {(n, n)}


@pytest.mark.parametrize("name", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("layout", ["offset", "odd_leading_dimension", "padded_leading_dimension"])
def test_every_layout_gives_the_right_product(name, layout):
    work = measure.product(48, measure.DTYPES[name], CPU, measure.LAYOUTS[layout])
    operands = work.prepare(torch.Generator().manual_seed(1))
    assert 0 < measure.relative_error(work, operands) < measure.tolerance(48, name)
    assert work.units == 2 * 48**3


@pytest.mark.parametrize("name", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "flop", "elements"),
    [("batched", 3 * 2 * 48**3, (3 + 1 + 3) * 48**2), ("vector", 2 * 48**2, 48**2 + 2 * 48)],
)
def test_every_shape_gives_the_right_product(name, shape, flop, elements):
    dtype = measure.DTYPES[name]
    work = measure.shaped(shape, 48, dtype, CPU, batch=3)
    operands = work.prepare(torch.Generator().manual_seed(1))
    assert 0 < measure.relative_error(work, operands) < measure.tolerance(48, name)
    assert work.units == flop
    assert measure.bytes_moved(operands) == elements * dtype.itemsize
    a, b, out = operands
    torch.testing.assert_close(out, a @ b, rtol=1e-2, atol=1e-2)


def test_a_wrong_product_is_refused():
    work = measure.product(48, torch.float32, CPU)
    wrong = type(work)(work.prepare, lambda operands: operands[2].zero_(), work.units)
    seen = trial(48, 1.0)
    measure._prove(seen, wrong, measure.clock_for(CPU), seed=1)
    assert seen.status == Status.REFUSED
    assert "wrong product" in seen.reason


def test_a_speed_beyond_the_peak_is_refused(monkeypatch):
    monkeypatch.setattr(measure.machine, "peak_flops", lambda *_: 1.0)
    seen = trial(48, 1.0)
    measure._prove(seen, measure.product(48, torch.float32, CPU), measure.clock_for(CPU), seed=1)
    assert seen.status == Status.REFUSED
    assert "missed part of the work" in seen.reason


def test_a_dtype_without_a_kernel_is_unavailable_and_the_rest_goes_on(monkeypatch, tmp_path):
    def no_kernel(what, *_):
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    monkeypatch.setattr(measure.trial, "compare", no_kernel)
    seen = measure._trial({"dtype": "float16"}, None, None, None, None, 1)
    assert seen.status == Status.UNAVAILABLE
    assert "Half" in seen.reason


# Nothing is void: a busy neighbour of the tests must not change what they see.
UNDISTURBED = {"rounds_least": 6, "rounds_most": 8, "cap_s": 20, "void_delay_share": 1}
QUICK = {
    "half_width": 0.5,
    "block_s": 5e-4,
    "block_least_s": 1e-5,
    "warmup_calls": 1,
    "warmup_s": 0.01,
    "settle_s": 0.01,
}


def test_by_hand_with_the_settings_of_config_yaml(tmp_path, monkeypatch):
    """A person runs the script with a device and a size only."""
    tiny = {
        "seed": 1,
        "anchor": 64,
        "dtypes": ["float32", "tf32"],
        "layouts": [],
        "shapes": {"kinds": ["batched", "vector"], "sizes": [65], "dtypes": ["tf32"], "batch": 2},
        "protocol": {**measure.job._configured("alignment")["protocol"], **UNDISTURBED},
    }
    output = tmp_path / "record.json"
    measure.main(["--n", "65", "--settings", json.dumps(tiny), "--output", str(output)])
    seen = record.read(output)
    assert seen.axes == {"device": "cpu", "n": 65}
    assert [each.what["dtype"] for each in seen.trials] == ["float32"]  # tf32 is a GPU's
    assert seen.trials[0].result["throughput_flops"] > 0
    assert math.isfinite(seen.trials[0].result["ratios"]["target"]["ratio"])


def test_other_shapes_are_trials_of_the_same_job(tmp_path):
    settings = {
        "seed": 1,
        "anchor": 64,
        "dtypes": ["float32"],
        "layouts": [],
        "shapes": {
            "kinds": ["batched", "vector"],
            "sizes": [65],
            "dtypes": ["float32", "bfloat16"],
            "batch": 2,
        },
        "protocol": {**PROTOCOL, **UNDISTURBED, "cpu": QUICK, "gpu": QUICK},
    }
    seen = {}
    for n in (65, 66):
        output = tmp_path / f"{n}.json"
        measure.main(["--n", str(n), "--settings", json.dumps(settings), "--output", str(output)])
        trials = record.read(output).trials
        seen[n] = [(each.what["shape"], each.what["dtype"]) for each in trials]
        assert all(each.status == Status.OK for each in trials), [each.reason for each in trials]
        for each in trials[1:]:
            assert each.result["rounds"] == 6
            assert each.result["throughput_bytes_per_s"] > 0
    assert seen[66] == [("matrix", "float32")]
    others = [("batched", "float32"), ("vector", "float32")]
    assert seen[65] == [*seen[66], *others, ("batched", "bfloat16"), ("vector", "bfloat16")]


def test_an_absent_device_is_a_record_not_a_crash(tmp_path):
    output = tmp_path / "record.json"
    measure.main(["--n", "64", "--device", "cuda:7", "--label", "gpu7", "--output", str(output)])
    seen = record.read(output)
    assert seen.status == Status.UNAVAILABLE
    assert seen.reason
    assert seen.axes == {"device": "gpu7", "n": 64}
