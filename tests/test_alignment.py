"""Alignment: the verdict follows the pattern that is put into made-up records."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from assay import record
from assay.answer import model, occasion, question
from assay.answer.model import State
from assay.record import Status, Trial
from assay.timing import contrast, dtypes, product, proof
from builders import QUICK, answered, make_record
from conftest import ROOT, load

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


def verdicts(found):
    return found.numbers["verdicts"]


def words(text):
    return len(text.split())


def row(found, name, group="float32"):
    """A row of the page's table, by what it is of and its number format."""
    return next(row for row in found.table.rows if row[0] == name and group in row)


def short_enough(found):
    assert words(found.short) <= 12
    assert words(found.sentence) <= 25
    assert ";" not in found.sentence
    assert words(found.so) <= 20
    assert sum(map(words, found.why)) <= 120
    assert sum(map(words, found.method)) <= 120
    assert sum(map(words, found.caveats)) <= 60


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
    found = answer.answer(records(law))
    assert verdicts(found) == {"cpu, float32": says}
    assert says in found.why[0]
    short_enough(found)


def test_the_headline_is_the_row_of_1025():
    found = answer.answer(records(odd))
    assert found.sentence == (
        "In float32, size 1025 takes 10.0 % [9.5, 10.5] longer per operation than 1024."
    )
    assert any("+10.0 %" in getattr(cell, "text", "") for cell in row(found, "1025"))
    assert found.short == "1025: +10.0 % in float32"
    assert model.state(found.cells) == State.ANSWERED


@pytest.mark.parametrize(
    ("law", "says"),
    [
        (lambda n: 1.0, "size 1025 takes the same time per operation as 1024"),
        (lambda n: 1 / odd(n), "less per operation than 1024"),
        (lambda n: 3 * odd(n) if n != 1024 else 1.0, "× as long per operation as 1024"),
    ],
)
def test_the_headline_says_how_1025_differs(law, says):
    found = answer.answer(records(law))
    assert says in found.sentence
    short_enough(found)


def test_a_lost_1025_is_named_and_lowers_the_state():
    lost = records(odd)
    at = SIZES.index(1025)
    lost[at] = make_record(
        "alignment", {"device": "cpu", "n": 1025}, [], status=Status.CONTENDED, reason="busy"
    )
    found = answer.answer(lost)
    assert "size 1025" in found.sentence
    assert "float32: disturbed." in found.sentence
    assert model.state(found.cells) == State.NONE
    assert row(found, "1025")[-4] == "disturbed"
    lost[0].trials.append(trial(1008, 1.0, dtype="float64"))
    lost[at + 1].trials.append(trial(1026, 1.1, dtype="float64"))
    lost[at] = make_record(
        "alignment",
        {"device": "cpu", "n": 1025},
        [trial(1025, 1.1, status=Status.CONTENDED, reason="busy"), trial(1025, 1.1, "float64")],
    )
    found = answer.answer(lost)
    assert found.sentence.startswith("In float64, size 1025 takes 10.0 %")
    assert found.sentence.endswith("float32: disturbed.")
    assert model.state(found.cells) == State.PART


def test_the_headline_names_every_format_and_leads_with_the_largest_difference():
    made = sizes_alone(lambda n: 1.0)
    for each in made:
        n = each.axes["n"]
        each.trials.append(trial(n, odd(n), dtype="bfloat16"))
        unsure = trial(n, 1.0, dtype="float64")
        unsure.result["ratios"]["target"] |= {"ratio_low": 0.8, "ratio_high": 1.2}
        each.trials.append(unsure)
    found = answer.answer(made)
    assert found.sentence == (
        "In bfloat16, size 1025 takes 10.0 % [9.5, 10.5] longer per operation than 1024. "
        "float32: the same, float64: cannot tell."
    )
    assert found.short == "1025: +10.0 % in bfloat16; others the same or cannot tell"
    assert [view.name for view in found.views] == ["bfloat16", "float32", "float64"]
    assert model.state(found.cells) == State.PART
    short_enough(found)


def test_advice_is_given_where_a_contrast_carries_it():
    assert answer.answer(records(odd)).so == "Choose multiples of 16."
    assert answer.answer(records(past_the_edge)).so == "Stay at or below 1024."
    assert answer.answer(records(both)).so == "Choose multiples of 16, and stay at or below 1024."
    assert answer.answer(records(lambda n: 1.0)).so == ""
    assert answer.answer(sizes_alone(odd)).so == ""


def test_sizes_of_jobs_of_their_own_make_no_verdict():
    """They lie minutes apart: their ratios are shown, a contrast of them would be none."""
    found = answer.answer(sizes_alone(odd))
    assert verdicts(found) == {
        "cpu, float32": "cannot tell (sizes that decide, in the same rounds: not measured)"
    }
    assert list(found.frame.loc[found.frame["n"] == 1025, "verdict"]) == ["slower"]


def test_a_lost_trial_says_how_it_was_lost():
    lost = together(odd, status=Status.CONTENDED, reason="busy", result={})
    said = verdicts(answer.answer([*sizes_alone(odd), lost]))["cpu, float32"]
    assert said == "cannot tell (sizes that decide, in the same rounds: disturbed)"


def test_without_a_size_that_decides_it_cannot_tell():
    found = answer.answer([*sizes_alone(odd), together(odd, sizes=(1008, 1023))])
    assert "not measured" in verdicts(found)["cpu, float32"]


@pytest.mark.parametrize("arm", [contrast.TILE, "twin"])
def test_noise_cannot_tell(arm):
    noisy = records(lambda n: 1.0)
    seen = noisy[-1].trials[0].result["ratios"][arm]
    seen["ratio_low"], seen["ratio_high"] = 0.8, 1.2
    found = answer.answer(noisy)
    assert verdicts(found) == {"cpu, float32": "cannot tell"}
    assert found.so == ""


def test_noise_at_1025_is_said_in_the_headline():
    noisy = records(lambda n: 1.0)
    seen = noisy[SIZES.index(1025)].trials[0].result["ratios"]["target"]
    seen["ratio_low"], seen["ratio_high"] = 0.8, 1.2
    found = answer.answer(noisy)
    assert found.sentence.startswith("Cannot tell whether size 1025 takes longer")
    assert model.state(found.cells) == State.UNKNOWN
    short_enough(found)


def test_occasions_that_disagree_do_not_make_a_verdict():
    """Each alone would be sure; what they differ by widens the interval of both."""
    twice = [together(lambda n, by=by: 1 + (odd(n) - 1) * by) for by in (0, 0.6)]
    twice[1].axes["occasion"] = 2
    pooled = occasion.pooled([*sizes_alone(odd), *twice], {"contrast": {"ratio": 0.05}})
    found = answer.answer(pooled)
    assert verdicts(found) == {"cpu, float32": "cannot tell"}
    seen = found.frame.set_index("arm").loc[contrast.ALIGNMENT]
    assert seen["occasions"] == 2
    assert seen["ratio"] == pytest.approx(math.sqrt(1.06))
    assert seen["ratio_low"] < 1.0


def test_all_comparisons_are_one_family():
    """What is judged alone may be a difference that among fourteen is none."""
    many = records(lambda n: 1.0)
    many[-1].trials[0].result["ratios"][contrast.ALIGNMENT] = {
        **{"ratio": 1.05, "ratio_low": 1.002, "ratio_high": 1.1},
        "p": 0.01,
    }
    alone, all_of_them = answer.answer(many[-1:]), answer.answer(many)
    assert verdicts(alone) == {"cpu, float32": "alignment +5.0 %"}
    assert model.state(alone.cells) == State.NONE
    assert "size 1025" in alone.sentence
    assert verdicts(all_of_them) == {"cpu, float32": "cannot tell"}


def test_the_table_holds_verdict_bound_margin_and_p_of_sizes_and_contrasts():
    frame = answer.answer(records(odd)).frame
    assert len(frame) == len(SIZES) + 3
    assert list(frame.loc[frame["kind"] == "contrast", "arm"]) == [
        contrast.ALIGNMENT,
        contrast.TILE,
        contrast.POWER,
    ]
    assert frame[["verdict", "bound", "margin", "p"]].notna().all(axis=None)


def too_slow(n, **changes):
    what = {"dtype": "float16", "n": n, "layout": None, "anchor": 1024, "shape": "matrix"}
    result = {"call_s": 0.65, "estimate_s": 39.0}
    shared = {"what": what, "status": Status.SKIPPED, "reason": "too slow", "result": result}
    return Trial(**(shared | changes))


def test_a_number_format_too_slow_to_be_measured_is_named():
    slow = records(lambda n: 1.0)
    for each in slow[:-1]:
        each.trials.append(too_slow(each.axes["n"]))
    found = answer.answer(slow)
    assert verdicts(found)["cpu, float16"] == "too slow"
    assert found.sentence.endswith("float16: too slow.")
    assert model.state(found.cells) == State.PART


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
        assert found.sentence == question.NOTHING
        assert model.state(found.cells) == State.NONE
        assert found.table.rows == []


def test_a_device_that_is_not_there_is_named():
    gone = {"status": Status.UNAVAILABLE, "reason": "no GPU"}
    absent = make_record("alignment", {"device": "gpu", "n": 1025}, [], **gone)
    found = answer.answer([*records(odd), absent])
    assert found.sentence.endswith("Not available: gpu.")
    assert model.state(found.cells) == State.PART


def test_devices_and_layouts_each_get_their_say():
    two = records(odd) + records(past_the_edge, device="gpu")
    two[4].trials.append(trial(1024, 1.08, layout="offset"))
    found = answer.answer(two)
    assert verdicts(found) == {
        "cpu, float32": "alignment +10.0 %",
        "gpu, float32": "tile quantisation +10.0 %",
    }
    assert "float32 on cpu" in found.sentence
    assert "On gpu, float32: slower." in found.sentence
    assert words(found.sentence) <= 40
    assert [view.name for view in found.views] == ["float32 on cpu", "float32 on gpu"]
    assert "slower" in row(found, "1024, moved by one element")


def test_devices_that_show_alike_are_named_together():
    three = records(odd) + records(odd, device="gpu0") + records(odd, device="gpu1")
    assert "On gpu0 and gpu1, float32: slower." in answer.answer(three).sentence


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


def test_other_shapes_have_rows_and_no_part_in_the_verdict():
    found = answer.answer(with_shapes(odd))
    assert verdicts(found) == {"cpu, float32": "neither (all the same within 2 %)"}
    assert "the same" in found.sentence
    for dtype in ("float32", "bfloat16"):
        assert "slower" in row(found, "1025, tensor × matrix", dtype)
        assert "the same within 2 %" in row(found, "1032, matrix × vector", dtype)
    assert set(found.frame["shape"]) == {"matrix", "batched", "vector"}
    short_enough(found)


def test_the_figure_holds_the_sizes_near_the_reference_and_the_table_more():
    sizes = range(1024, 1324)
    found = answer.answer(sizes_alone(lambda n: 1.0, sizes))
    texts = [text.get_text() for text in found.views[0].figure.axes[0].texts]
    assert {"1024", "1037", "control copy"} <= set(texts)
    assert row(found, "1024, control copy")
    assert "1038" not in texts
    assert len(found.table.rows) == answer.LISTED
    assert len(found.frame) == len(sizes)
    assert any("14 sizes nearest to 1024" in each for each in found.method)


def test_no_figure_is_drawn_of_a_single_size():
    found = answer.answer(sizes_alone(odd, [1025]))
    assert "1025" in found.sentence
    assert found.views[0].title == question.nothing("Time per operation by size")[0].title


def test_records_from_before_there_were_shapes_are_of_matrices():
    old = records(odd)
    for each in old[:-1]:
        del each.trials[0].what["shape"]
    assert verdicts(answer.answer(old)) == {"cpu, float32": "alignment +10.0 %"}


def test_when_nothing_could_be_measured_it_says_so():
    gone = Trial(
        what={"dtype": "float16", "n": 1024, "layout": None, "anchor": 1024},
        status=Status.SKIPPED,
        reason="too slow",
    )
    found = answer.answer([make_record("alignment", {"device": "cpu", "n": 1024}, [gone])])
    assert "was not measured" in found.sentence
    assert model.state(found.cells) == State.NONE


def test_the_files_of_an_answer(tmp_path):
    found = answered(answer, tmp_path, records(odd))
    assert len((tmp_path / "table.csv").read_text().splitlines()) == len(SIZES) + 3 + 1
    assert (tmp_path / "figure.png").stat().st_size > 1000
    assert found.sentence


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
    work = product.product(48, dtypes.DTYPES[name], CPU, product.LAYOUTS[layout])
    operands = work.prepare(torch.Generator().manual_seed(1))
    work.run(operands)
    assert 0 < proof.product_error(operands) < proof.tolerance(48, name)
    assert work.units == 2 * 48**3


@pytest.mark.parametrize("name", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(
    ("shape", "flop", "elements"),
    [("batched", 3 * 2 * 48**3, (3 + 1 + 3) * 48**2), ("vector", 2 * 48**2, 48**2 + 2 * 48)],
)
def test_every_shape_gives_the_right_product(name, shape, flop, elements):
    dtype = dtypes.DTYPES[name]
    work = measure.shaped(shape, 48, dtype, CPU, batch=3)
    operands = work.prepare(torch.Generator().manual_seed(1))
    work.run(operands)
    assert 0 < proof.product_error(operands) < proof.tolerance(48, name)
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
    what = {"dtype": "float16", "n": 65, "layout": None, "anchor": 64, "shape": "matrix"}
    job = measure.Job({"n": 65}, {"seed": 1, "shapes": {}}, CPU)
    seen = measure._trial(what, job, None, None)
    assert seen.status == Status.UNAVAILABLE
    assert "Half" in seen.reason


UNDISTURBED = {"rounds_least": 6, "rounds_most": 8, "cap_s": 20, "void_delay_share": 1}
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


def test_nothing_is_timed_after_a_profiler_ran(tmp_path, monkeypatch):
    """Whatever is launched after a profiler is slower: kernels are named last."""
    seen = []
    compare, name = measure.trial.compare, product.kernel_name
    monkeypatch.setattr(measure.trial, "compare", lambda *a: seen.append("timed") or compare(*a))
    monkeypatch.setattr(product, "kernel_name", lambda *a: seen.append("named") or name(*a))
    settings = {
        "seed": 1,
        "anchor": 64,
        "dtypes": ["float32", "bfloat16"],
        "layouts": [{"n": 64, "layout": "offset"}],
        "shapes": {"kinds": ["vector"], "sizes": [64], "dtypes": ["float32"], "batch": 2, **FEW},
        **SHORT,
        "protocol": {**QUICK, **UNDISTURBED},
    }
    output = tmp_path / "record.json"
    measure.main(["--n", "64", "--settings", json.dumps(settings), "--output", str(output)])
    assert seen == ["timed"] * 5 + ["named"] * 5
    assert all(each.result["kernel"] for each in record.read(output).trials)


@pytest.mark.parametrize(("capability", "there"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_tf32_needs_a_gpu_that_has_it(monkeypatch, capability, there):
    major, minor = capability
    properties = SimpleNamespace(major=major, minor=minor)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda place: properties)
    monkeypatch.setattr(measure.trial, "compare", lambda *_: trial(65, 1.0, status=Status.SKIPPED))
    gpu = torch.device("cuda:0")
    what = {"dtype": "tf32", "n": 65, "layout": None, "anchor": 64, "shape": "matrix"}
    seen = measure._trial(what, measure.Job({"n": 65}, {"seed": 1, "shapes": {}}, gpu), None, None)
    assert (seen.status == Status.UNAVAILABLE) is not there
    assert there or "8.0, this GPU has 7.5" in seen.reason
    dtypes.require("float32", gpu)


NO_FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it"


def test_a_number_format_that_a_device_lacks_is_unavailable(tmp_path, monkeypatch):
    """Apple's GPUs: torch raises a TypeError as soon as an operand is made."""
    empty = torch.empty

    def on_mps(*size, dtype=None, **options):
        if dtype == torch.float64:
            raise TypeError(NO_FLOAT64)
        return empty(*size, dtype=dtype, **options)

    monkeypatch.setattr(torch, "empty", on_mps)
    shapes = {"kinds": ["vector"], "sizes": [65], "dtypes": ["float64"], "batch": 2, **FEW}
    formats = {"dtypes": ["float64", "float32"], "layouts": [], "shapes": shapes}
    protocol = {**QUICK, **UNDISTURBED}
    settings = {"seed": 1, "anchor": 64, **formats, **SHORT, "protocol": protocol}
    output = tmp_path / "record.json"
    measure.main(["--n", "65", "--settings", json.dumps(settings), "--output", str(output)])
    first, second, vector = record.read(output).trials
    assert (first.status, first.reason) == (Status.UNAVAILABLE, NO_FLOAT64)
    assert second.status == Status.OK
    assert vector.status == Status.UNAVAILABLE


def test_another_error_of_that_type_stays_a_crash():
    with pytest.raises(TypeError, match="argument"):
        proof.attempt({}, lambda: int([]))


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
        "protocol": {**QUICK, **UNDISTURBED},
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
        "protocol": {**QUICK, **UNDISTURBED},
    }
    output = tmp_path / "record.json"
    measure.main(["--n", "65", "--settings", json.dumps(settings), "--output", str(output)])
    assert tried == [("float16", None, "matrix")]
    seen = record.read(output)
    assert len(seen.trials) == 1
    # Alike for every size, so that the report groups them.
    assert seen.trials[0].reason.startswith("a product in float16 takes 0.65 s here: 6 rounds of")


def test_the_measured_arm_is_named():
    seen = trial(48, 1.0)
    measure._prove(seen, product.product(48, torch.float32, CPU), measure.clock_for(CPU), seed=1)
    assert seen.result["arm"] == "target"
    assert seen.result["arm"] in seen.result["arms"]
