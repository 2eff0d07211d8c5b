"""Alignment: the verdict follows the pattern that is put into made-up records."""

import json
import math

import pytest
import torch
from assay import contrast, occasion, product, record
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
        "arms": {
            "target": {"time_median_s": 0.01, "time_low_s": 0.0099, "time_high_s": 0.0101},
        },
        "throughput_flops": 1e11,
        "kernel": "SGEMM",
        "rounds": 20,
        "rounds_void": 0,
        "relative_error": 1e-7,
    }
    anchor = n if layout else 1024
    what = {"dtype": dtype, "n": n, "layout": layout, "anchor": anchor, "shape": shape}
    return Trial(**({"what": what, "result": result} | changes))


def sizes_alone(law, sizes=SIZES, device="cpu"):
    return [make_record("alignment", {"device": device, "n": n}, [trial(n, law(n))]) for n in sizes]


def together(law, sizes=(1008, 1023, 1025, 1040), device="cpu", dtype="float32", **changes):
    """The record of a trial in which the sizes that decide were timed in the same rounds."""
    found = trial(1024, 1.0)
    for name, weights in contrast.weights(1024, sizes).items():
        ratio = math.prod(law(n) ** weight for n, weight in weights.items())
        found.result["ratios"][name] = trial(1024, ratio).result["ratios"]["target"]
    what = {"dtype": dtype, "anchor": 1024}
    trials = [Trial(**({"what": what, "result": found.result} | changes))]
    return make_record("contrast", {"device": device, "occasion": 1}, trials)


def records(law, sizes=SIZES, device="cpu"):
    return [*sizes_alone(law, sizes, device), together(law, device=device)]


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
        (lambda n: 1.0, "neither (all the same within 2 %)"),
        (lambda n: 1.0 if n == 1024 else 0.9, "power of two +11.1 %"),
        (lambda n: 1 / odd(n), "alignment −9.1 %"),
    ],
)
def test_the_verdict_is_the_pattern(law, says):
    assert answer.answer(records(law)).sentence == f"cpu – float32: {says}."


def test_sizes_of_jobs_of_their_own_make_no_verdict():
    """They lie minutes apart: their ratios are shown, a contrast of them would be none."""
    found = answer.answer(sizes_alone(odd))
    assert found.sentence == (
        "cpu – float32: cannot tell (the sizes that decide were not timed together)."
    )
    assert list(found.frame.loc[found.frame["n"] == 1025, "verdict"]) == ["slower"]


def test_a_lost_trial_says_how_it_was_lost():
    lost = together(odd, status=Status.CONTENDED, reason="busy", result={})
    said = answer.answer([*sizes_alone(odd), lost]).sentence
    assert said == "cpu – float32: cannot tell (the trial that decides: contended)."


def test_without_a_size_that_decides_it_cannot_tell():
    found = answer.answer([*sizes_alone(odd), together(odd, sizes=(1008, 1023))])
    assert "cannot tell (a size that decides was not measured)" in found.sentence


@pytest.mark.parametrize("arm", [contrast.TILE, "twin"])
def test_noise_cannot_tell(arm):
    noisy = records(lambda n: 1.0)
    seen = noisy[-1].trials[0].result["ratios"][arm]
    seen["ratio_low"], seen["ratio_high"] = 0.8, 1.2
    assert answer.answer(noisy).sentence == "cpu – float32: cannot tell."


def test_occasions_that_disagree_do_not_make_a_verdict():
    """Each alone would be sure; what they differ by widens the interval of both."""
    twice = [together(lambda n, by=by: 1 + (odd(n) - 1) * by) for by in (0, 0.6)]
    twice[1].axes["occasion"] = 2
    pooled = occasion.pooled([*sizes_alone(odd), *twice], {"contrast": {"ratio": 0.05}})
    found = answer.answer(pooled)
    assert found.sentence == "cpu – float32: cannot tell."
    seen = found.frame.set_index("effect").loc[contrast.ALIGNMENT]
    assert seen["occasions"] == 2
    assert seen["target_ratio"] == pytest.approx(math.sqrt(1.06))
    assert seen["target_ratio_low"] < 1.0


def test_all_comparisons_are_one_family():
    """What is judged alone may be a difference that among sixteen is none."""
    many = records(lambda n: 1.0)
    many[-1].trials[0].result["ratios"][contrast.ALIGNMENT] = {
        **{"ratio": 1.05, "ratio_low": 1.002, "ratio_high": 1.1},
        "p": 0.01,
    }
    assert answer.answer(many[-1:]).sentence == "cpu – float32: alignment +5.0 %."
    found = answer.answer(many)
    assert found.sentence == "cpu – float32: cannot tell."
    assert any(f"one family of {len(SIZES) + 3}" in each for each in found.method)


def test_the_table_holds_verdict_bound_margin_and_p_of_sizes_and_contrasts():
    frame = answer.answer(records(odd)).frame
    assert len(frame) == len(SIZES) + 3
    assert list(frame["effect"].dropna()) == [contrast.ALIGNMENT, contrast.TILE, contrast.POWER]
    assert frame[["verdict", "bound", "margin", "p"]].notna().all(axis=None)


def too_slow(n, **changes):
    what = {"dtype": "float16", "n": n, "layout": None, "anchor": 1024, "shape": "matrix"}
    result = {"call_s": 0.65, "estimate_s": 39.0}
    shared = {"what": what, "status": Status.SKIPPED, "reason": "too slow", "result": result}
    return Trial(**(shared | changes))


def test_a_number_format_too_slow_to_be_measured_says_how_slow_it_is():
    slow = records(lambda n: 1.0)
    for each in slow[:-1]:
        each.trials[0].result["arms"]["anchor"] = {"time_median_s": 0.0055}
        each.trials.append(too_slow(each.axes["n"]))
    found = answer.answer(slow)
    assert found.sentence.endswith("float16: a product takes 118 × float32's time.")
    assert found.findings[-1] == (
        "cpu, float16: one product of 1024 takes 0.65 s here, 118 × float32's; "
        "not measured further."
    )


@pytest.mark.parametrize(
    "status", [Status.UNAVAILABLE, Status.OUT_OF_MEMORY, Status.CONTENDED, Status.SKIPPED]
)
def test_when_every_record_is_lost_there_is_an_answer(status):
    lost = {"status": status, "reason": "gone"}
    made = [
        make_record("alignment", {"device": "cpu", "n": 1024}, [], **lost),
        make_record("contrast", {"device": "cpu", "occasion": 1}, [], **lost),
    ]
    for each in (made, made[:1], made[1:]):
        found = answer.answer(occasion.pooled(each, {}))
        assert found.sentence == "Nothing could be measured; the reasons are below."
        assert found.table.rows == []


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
        n = each.axes.get("n")
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
    assert found.sentence == "cpu – float32: neither (all the same within 2 %)."
    batched, vector = found.findings[1:]
    assert batched == (
        "cpu, tensor × matrix, against its own anchor: "
        "float32 slower at 1025 (+10.0 %), 1026 (+10.0 %), 1028 (+10.0 %), "
        "the same within 2 % at 1032; "
        "bfloat16 slower at 1025 (+10.0 %), 1026 (+10.0 %), 1028 (+10.0 %), "
        "the same within 2 % at 1032."
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
    squares, others, _ = answer._parts(answer.rows(with_shapes(odd)))
    drawn = answer._figure(squares, others)
    titles = [axes.get_title("left") for axes in drawn.axes]
    assert titles[0].startswith("cpu, float32")
    assert titles[1:] == ["cpu, tensor × matrix", "cpu, matrix × vector"]
    assert [axes.texts[0].get_text() for axes in drawn.axes[1:]] == [
        "full: float32\nhollow: bfloat16"
    ] * 2


def test_records_from_before_there_were_shapes_are_of_matrices():
    old = records(odd)
    for each in old[:-1]:
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
    for i, each in enumerate(records(odd)):
        paths.append(tmp_path / f"{i}.json")
        record.write(paths[-1], each)
    about = json.dumps({"title": "t", "exercise": "e"})
    out = [
        f"--{kind}={tmp_path / kind}.{end}"
        for kind, end in (("table", "csv"), ("figure", "svg"), ("answer", "json"))
    ]
    answer.main(["--about", about, *out, *map(str, paths)])
    assert len((tmp_path / "table.csv").read_text().splitlines()) == len(SIZES) + 3 + 1
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
    plain = product.dense(n, torch.float32, CPU)
    assert plain.data_ptr() % 64 == 0
    moved = product.offset(n, torch.float32, CPU)
    assert moved.data_ptr() % 64 == 4
    assert moved.is_contiguous()
    assert product.odd_leading_dimension(n, torch.float32, CPU).stride(0) % 2 == 1
    assert product.odd_leading_dimension(n, torch.float32, CPU).stride(0) > n
    padded = product.padded_leading_dimension(n, torch.float32, CPU)
    assert padded.stride(0) % 64 == 0
    assert {m.shape for m in (plain, moved, padded)} == {(n, n)}


@pytest.mark.parametrize("name", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("layout", ["offset", "odd_leading_dimension", "padded_leading_dimension"])
def test_every_layout_gives_the_right_product(name, layout):
    work = product.product(48, product.DTYPES[name], CPU, product.LAYOUTS[layout])
    operands = work.prepare(torch.Generator().manual_seed(1))
    assert 0 < product.relative_error(work, operands) < product.tolerance(48, name)
    assert work.units == 2 * 48**3


@pytest.mark.parametrize("name", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "flop", "elements"),
    [("batched", 3 * 2 * 48**3, (3 + 1 + 3) * 48**2), ("vector", 2 * 48**2, 48**2 + 2 * 48)],
)
def test_every_shape_gives_the_right_product(name, shape, flop, elements):
    dtype = product.DTYPES[name]
    work = measure.shaped(shape, 48, dtype, CPU, batch=3)
    operands = work.prepare(torch.Generator().manual_seed(1))
    assert 0 < product.relative_error(work, operands) < product.tolerance(48, name)
    assert work.units == flop
    assert product.bytes_moved(operands) == elements * dtype.itemsize
    a, b, out = operands
    torch.testing.assert_close(out, a @ b, rtol=1e-2, atol=1e-2)


def test_a_wrong_product_is_refused():
    work = product.product(48, torch.float32, CPU)
    wrong = type(work)(work.prepare, lambda operands: operands[2].zero_(), work.units)
    seen = trial(48, 1.0)
    measure._prove(seen, wrong, measure.clock_for(CPU), seed=1)
    assert seen.status == Status.REFUSED
    assert "wrong product" in seen.reason


def test_a_speed_beyond_the_peak_is_refused(monkeypatch):
    monkeypatch.setattr(product.machine, "peak_flops", lambda *_: 1.0)
    seen = trial(48, 1.0)
    measure._prove(seen, product.product(48, torch.float32, CPU), measure.clock_for(CPU), seed=1)
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
    "lead_in_s": 0,
    "warmup_calls": 1,
    "warmup_s": 0.01,
    "settle_s": 0.01,
}
SHORT, FEW = {"cap_s": 20, "half_width": 0.5}, {"rounds_most": 6}


def test_by_hand_with_the_settings_of_config_yaml(tmp_path, monkeypatch):
    """A person runs the script with a device and a size only."""
    tiny = {
        "seed": 1,
        "anchor": 64,
        "dtypes": ["float32", "tf32"],
        "layouts": [],
        "shapes": {"kinds": ["vector"], "sizes": [65], "dtypes": ["tf32"], "batch": 2, **FEW},
        **SHORT,
        "protocol": {**measure.job._configured("alignment")["protocol"], **UNDISTURBED},
    }
    output = tmp_path / "record.json"
    measure.main(["--n", "65", "--settings", json.dumps(tiny), "--output", str(output)])
    seen = record.read(output)
    assert seen.axes == {"device": "cpu", "n": 65, "occasion": 1}
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
            **FEW,
        },
        **SHORT,
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
    assert seen.axes == {"device": "gpu7", "n": 64, "occasion": 1}


def test_a_number_format_that_is_too_slow_is_tried_once(tmp_path, monkeypatch):
    tried = []

    def slow(what, *_):
        tried.append((what["dtype"], what["layout"], what["shape"]))
        return too_slow(65, what=what)

    monkeypatch.setattr(measure.trial, "compare", slow)
    layouts = [{"n": 65, "layout": each} for each in ("offset", "odd_leading_dimension")]
    shapes = {"kinds": ["vector"], "sizes": [65], "dtypes": ["float16"], "batch": 2, **FEW}
    settings = {
        **{"seed": 1, "anchor": 64, "dtypes": ["float16"], "layouts": layouts, "shapes": shapes},
        **SHORT,
        "protocol": {**PROTOCOL, **UNDISTURBED, "cpu": QUICK, "gpu": QUICK},
    }
    output = tmp_path / "record.json"
    measure.main(["--n", "65", "--settings", json.dumps(settings), "--output", str(output)])
    assert tried == [("float16", None, "matrix")]
    seen = record.read(output)
    assert len(seen.trials) == 1
    assert "65" not in seen.trials[0].reason  # alike for every size, so that the report groups them


def test_the_measured_arm_is_named():
    seen = trial(48, 1.0)
    measure._prove(seen, product.product(48, torch.float32, CPU), measure.clock_for(CPU), seed=1)
    assert seen.result["arm"] == "target"
    assert seen.result["arm"] in seen.result["arms"]
