"""Contrasts: what they compare, that each round makes its own, and the trial they come from."""

import json

import numpy as np
import pytest
from assay import record
from assay.record import Status
from assay.timing import contrast
from builders import QUICK
from conftest import ROOT, load
from hypothesis import given
from hypothesis import strategies as st

measure = load(ROOT / "workflow/scripts/measure_contrast.py")

SIZES = (1008, 1023, 1025, 1040)


def test_contrasts_of_the_default_sizes():
    assert contrast.weights(1024, SIZES) == {
        contrast.ALIGNMENT: {1023: 0.5, 1008: -0.5, 1025: 0.5, 1040: -0.5},
        contrast.TILE: {1040: 1.0, 1008: -1.0},
        contrast.POWER: {1024: 1.0, 1008: -1.0},
    }


@pytest.mark.parametrize(
    ("sizes", "names"),
    [
        ((1008, 1023), {contrast.ALIGNMENT, contrast.POWER}),
        ((1025, 1040), {contrast.ALIGNMENT}),
        ((1023, 1025), set()),
        ((1016, 1032), set()),  # 8 divides them: neither aligned nor misaligned
        ((960, 1023, 1025, 1088), set()),  # too far from the anchor
        ((1008, 1040), {contrast.TILE, contrast.POWER}),
    ],
)
def test_only_contrasts_that_the_sizes_allow(sizes, names):
    assert contrast.weights(1024, sizes).keys() == names


@given(st.lists(st.integers(32, 96), unique=True), st.sampled_from([64, 65]))
def test_weights_of_a_contrast_sum_to_nothing(sizes, anchor):
    """So that a machine that is slower throughout shows no contrast."""
    for weights in contrast.weights(anchor, sizes).values():
        assert sum(weights.values()) == pytest.approx(0)
        assert set(weights) <= {anchor, *sizes}


def test_what_slows_a_whole_round_is_no_contrast():
    """Sizes are compared within the round: a drift that all of them share leaves no trace."""
    draw = np.random.default_rng(1)
    drift = np.exp(draw.normal(0, 0.3, 40))
    times = {n: drift * (1.1 if n % 2 else 1.0) for n in (1024, *SIZES)}
    weights = contrast.weights(1024, SIZES)
    seen = contrast.of_rounds(times, weights[contrast.ALIGNMENT])
    assert [seen.low, seen.value, seen.high] == pytest.approx([1.1, 1.1, 1.1])
    assert contrast.of_rounds(times, weights[contrast.TILE]).value == pytest.approx(1)


# Nothing is void: a busy neighbour of the tests must not change what they see.
SETTINGS = {
    "seed": 1,
    "anchor": 64,
    "sizes": [48, 63, 65, 80],
    "dtypes": ["float32", "tf32", "bfloat16"],
    "cap_s": 20,
    "protocol": {**QUICK, "rounds_most": 8},
}


def measured(tmp_path, **changes):
    output = tmp_path / "record.json"
    settings = json.dumps(SETTINGS | changes)
    measure.main(["--occasion", "2", "--settings", settings, "--output", str(output)])
    return record.read(output)


def test_all_sizes_are_arms_of_one_trial(tmp_path):
    seen = measured(tmp_path)
    assert seen.axes == {"device": "cpu", "occasion": 2}
    assert [each.what["dtype"] for each in seen.trials] == ["float32", "bfloat16"]
    for each in seen.trials:
        assert each.status == Status.OK, each.reason
        sizes = {"48", "63", "65", "80"}
        assert each.result["arms"].keys() == {"anchor", "twin", *sizes}
        assert each.result["ratios"].keys() == {
            *sizes, "twin", contrast.ALIGNMENT, contrast.TILE, contrast.POWER,
        }  # fmt: skip
        rounds = len(each.samples["void"])
        assert all(len(each.samples[arm]) == rounds for arm in each.result["arms"])
        assert each.result["proofs"].keys() == {"64", *sizes}


def test_contrasts_are_of_the_rounds_that_count(tmp_path):
    """From the record's own samples, without the module: 48 and 80 are 3 and 5 times 16."""
    for each in measured(tmp_path).trials:
        kept = ~np.array(each.samples["void"])
        below, above = (np.array(each.samples[n])[kept] / int(n) ** 3 for n in ("48", "80"))
        ratio = each.result["ratios"][contrast.TILE]
        assert ratio["ratio"] == pytest.approx(np.exp(np.median(np.log(above / below))))
        assert ratio["ratio_low"] <= ratio["ratio"] <= ratio["ratio_high"]


def test_a_wrong_product_is_refused(tmp_path, monkeypatch):
    from assay.timing import product

    monkeypatch.setattr(product.proof, "tolerance", lambda n, _: 0.0 if n == 63 else 1.0)
    seen = measured(tmp_path, dtypes=["float32"])
    assert seen.trials[0].status == Status.REFUSED
    assert seen.trials[0].reason.startswith("63: wrong product")
    assert contrast.ALIGNMENT not in seen.trials[0].result["ratios"]


@pytest.mark.parametrize(
    ("beside", "times"), [([], ""), (["float32"], ", 50 times as long as in float32")]
)
def test_a_number_format_that_is_too_slow_is_told_with_its_time(
    tmp_path, monkeypatch, beside, times
):
    def compare(what, *_):
        if what["dtype"] == "float32":
            result = {"arms": {"anchor": {"time_median_s": 0.013}}, "ratios": {}}
            return record.Trial(what=what, status=Status.DIVERGED, result=result)
        result = {"call_s": 0.65, "estimate_s": 78.0}
        return record.Trial(what=what, status=Status.SKIPPED, reason="78 s", result=result)

    monkeypatch.setattr(measure.trial, "compare", compare)
    *_, slow = measured(tmp_path, dtypes=[*beside, "bfloat16"]).trials
    assert slow.reason == (
        f"a product in bfloat16 takes 0.65 s here{times}: 6 rounds of a trial are over its budget "
        "of 40 s"
    )


def test_a_dtype_without_a_kernel_leaves_the_others(tmp_path, monkeypatch):
    compare = measure.trial.compare

    def no_half(what, *rest):
        if what["dtype"] == "float16":
            raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")
        return compare(what, *rest)

    monkeypatch.setattr(measure.trial, "compare", no_half)
    seen = measured(tmp_path, dtypes=["float16", "float32"]).trials
    assert [each.status for each in seen] == [Status.UNAVAILABLE, Status.OK]
    assert "Half" in seen[0].reason
