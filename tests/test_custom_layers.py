"""Custom layers: the verdicts follow made-up records; one small job of each study; the traps."""

import json

import answer_custom_layers as answer
import measure_fourier as fourier
import measure_reduction as reduction
import numpy as np
import pytest
import torch
from assay import record
from assay.answer import model, trials
from assay.answer.model import State
from assay.learning.training import Examples
from assay.modules import layers
from assay.record import DatasetInfo, Status, Trial
from builders import QUICK, answered, make_record, with_status

REDUCTION = {
    "seed": 1,
    "protocol": {**QUICK},
    "base": {"batch": 4, "n": 8, "k": 3},
    "sizes": {"batch": [1, 4], "n": [4, 8, 16], "k": [1, 3]},
    "dtype": "float32",
    "cell_s": 60,
    "half_width": 0.5,
    "operand_sets_least": 1,
}
FOURIER = {
    "seed": 1,
    "protocol": {**QUICK},
    "kept": [0.1, 1],
    "checked_sizes": [7, 8],
    "hidden": [8],
    "batch": 64,
    "rates": [0.1],
    "tuning_epochs": 1,
    "epochs": 1,
    "seeds": 2,
    "validation_share": 0.16666667,
}
DATA = DatasetInfo(name="fashion-mnist", asked="fashion-mnist", source="x", reason=None, digest="d")
TIMES = {
    "einsum": 1.0,
    "bilinear": 3.0,
    "outer": 1.2,
    "matmul": 0.9,
    "packed": 0.5,
    "brute_force": 9,
}


# ---- the reduction, made up ----------------------------------------------------------------------


def cell(n, scale=1e-6, times=TIMES, noise=0.001):
    """A trial in which each implementation takes so many times n² microseconds."""
    draw = np.random.default_rng(n)
    samples = {}
    for name, factor in ({"twin": times["einsum"]} | times).items():
        arm = "anchor" if name == "einsum" else name
        samples[arm] = [*map(float, factor * scale * n**2 * (1 + draw.normal(0, noise, 20)))]
    arms = {
        name: {
            "time_median_s": float(np.median(t)),
            "time_low_s": min(t),
            "time_high_s": max(t),
            "units_per_call": 1.0,
        }
        for name, t in samples.items()
    }
    ratios = {
        name: {
            "ratio": float(np.median(np.array(t) / samples["anchor"])),
            "ratio_low": float(np.min(np.array(t) / samples["anchor"])),
            "ratio_high": float(np.max(np.array(t) / samples["anchor"])),
            "p": 1e-6,
        }
        for name, t in samples.items()
        if name != "anchor"
    }
    memory = {name: {"temporary": 4 * n * 50, "parameter": 1} for name in answer.NAMES}
    return Trial(
        what={"batch": 64, "n": n, "k": 16, "anchor": "einsum", "dtype": "float32"},
        samples={**samples, "void": [False] * 20},
        result={
            "arms": arms,
            "ratios": ratios,
            "rounds": 20,
            "memory_bytes": memory,
            "disagreement": {"outer": 1e-15},
        },
    )


def swept(*trials):
    axes = {"device": "cpu", "sweep": "n"}
    return make_record("reduction", axes, [*trials], settings=REDUCTION)


def test_the_fastest_is_named_with_its_ratio():
    found = answer.answer([swept(cell(8), cell(32), cell(128))])
    assert "at n = 128: fastest with packed matmul" in found.sentence
    assert len(found.sentence.split()) <= 25
    assert len(found.short.split()) <= 12
    assert found.so == "For a forward pass at n = 128 use packed matmul."
    assert found.numbers["fastest"][-1]["names"] == ["packed"]
    assert "n 128" in found.views[0].title
    assert model.state(found.cells) == State.PART  # Fourier's layer is missing, and named
    assert "Not measured: Fourier layer." in found.sentence


def test_where_einsum_is_fastest_the_next_is_told():
    found = answer.answer([swept(cell(8, times=TIMES | {"matmul": 1.3, "packed": 1.1}))])
    assert found.numbers["fastest"][0]["names"] == ["einsum"]
    assert "fastest with einsum, packed matmul 10" in found.sentence
    assert found.so.endswith("use einsum.")


def test_where_nothing_can_be_told_nothing_is_advised():
    found = answer.answer([swept(cell(8, times=dict.fromkeys(TIMES, 1.0), noise=0.05))])
    assert len(found.numbers["fastest"][0]["names"]) == 6
    assert "Cannot tell: quadratic layers at n = 8." in found.sentence
    assert found.short == "Cannot tell"
    assert found.so == ""
    assert model.state(found.cells) == State.UNKNOWN


def test_what_cannot_be_told_from_the_fastest_shares_its_place():
    near = TIMES | {"matmul": 0.5}
    found = answer.answer([swept(cell(8, times=near, noise=0.02))])
    assert set(found.numbers["fastest"][0]["names"]) == {"matmul", "packed"}


def test_who_is_fastest_is_judged_by_pooled_ratios_with_all_else():
    """The rounds themselves may be gone: several occasions have no rounds in common."""
    made = cell(8)
    made.samples = {}
    found = answer.answer([swept(made)])
    assert found.numbers["fastest"][0]["names"] == ["packed"]
    frame = found.frame
    behind = frame[frame["against"] == "packed"].set_index("arm")
    assert behind.loc["einsum", "ratio"] == pytest.approx(2, rel=0.01)
    assert set(behind["verdict"]) == {"slower"}
    assert behind[["p", "bound", "margin"]].notna().all(axis=None)
    assert frame["p"].notna().sum() == 10


def test_exponents_are_those_that_were_put_in():
    found = answer.answer([swept(cell(8), cell(32), cell(128))])
    for each in found.numbers["exponents"]:
        assert each["time"] == pytest.approx(2, abs=0.01)


def test_a_contended_size_is_left_out_and_told():
    lost = cell(128)
    lost.status, lost.reason, lost.result = Status.CONTENDED, "3 of 20 rounds", {}
    found = answer.answer([swept(cell(8), cell(32), lost)])
    assert "at n = 32" in found.sentence
    assert "Disturbed: n = 128." in found.sentence
    assert model.state(found.cells) == State.PART
    assert "disturbed" in {row[4] for row in found.table.rows}


@pytest.mark.parametrize("status", [s for s in Status if s != Status.OK])
def test_records_of_every_status_give_an_answer(status):
    gone = make_record("fourier", {"device": "cpu", "selection": "leading"}, [], status=status)
    gone.settings = FOURIER
    found = answer.answer([with_status(swept(cell(8), cell(32)), status), gone])
    assert found.sentence.endswith("Fourier layer.")
    assert {cell.told for cell in found.cells} == {False}
    assert model.state(found.cells) == State.NONE
    assert found.so == ""


def test_every_device_is_answered():
    other = swept(cell(8), cell(32))
    other.axes["device"] = "gpu"
    found = answer.answer([swept(cell(8)), other])
    assert "cpu: Quadratic layers" in found.sentence
    assert "gpu: Quadratic layers" in found.sentence
    assert [view.name for view in found.views] == ["cpu", "gpu"]


# ---- Fourier, made up ----------------------------------------------------------------------------


def learned(selection, means, digest="w"):
    draw = np.random.default_rng(len(selection))
    trials = [
        Trial(
            what={
                "phase": "training",
                "rate": 0.1,
                "seed": s,
                "fraction": f,
                "kept": round(393 * f),
            },
            result={
                "test_accuracy": float(mean + draw.normal(0, 0.0005)),
                "validation_accuracy": mean,
                "test_images": 10_000,
                "weights_sha256": f"{digest}{s}",
            },
        )
        for f, mean in means.items()
        for s in range(5)
    ]
    axes = {"device": "cpu", "selection": selection}
    made = make_record("fourier", axes, trials, settings=FOURIER)
    made.provenance.dataset = DATA
    return made


def test_leading_against_random_at_every_number_and_against_all():
    found = answer.answer(
        [learned("leading", {0.1: 0.84, 1: 0.88}), learned("random", {0.1: 0.80, 1: 0.88})]
    )
    words = {
        (c["kept"], c["against"], c["against_kept"]): c["verdict"]
        for c in found.numbers["accuracy"]
    }
    assert words == {(39, "random", 39): "better", (39, "leading", 393): "worse"}
    assert found.short == "39 leading Fourier coefficients beat random"
    assert "Not measured: quadratic layer." in found.sentence
    assert len(found.views[0].table.rows) == 2  # every comparison
    assert found.numbers["same_at_all"]


def test_a_level_that_diverged_is_told_and_not_compared():
    leading = learned("leading", {0.1: 0.84, 1: 0.88})
    lost = leading.trials[0]
    lost.status, lost.reason, lost.result = Status.DIVERGED, "diverged in step 3", {}
    found = answer.answer([leading, learned("random", {0.1: 0.80, 1: 0.88})])
    assert found.numbers["accuracy"] == []
    assert "Diverged: Fourier layer." in found.sentence


def test_a_control_that_differs_with_all_coefficients_is_told():
    found = answer.answer(
        [learned("leading", {1: 0.88}), learned("random", {1: 0.88}, digest="other")]
    )
    assert found.numbers["same_at_all"] is False
    assert any("mistrust this run" in text for text in found.why)


# ---- this machine --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(data, tmp_path_factory):
    """The records of one small job of each study and selection."""
    folder = tmp_path_factory.mktemp("here")
    paths = [folder / f"{name}.json" for name in ("n", "leading", "random")]
    reduction.main(["--sweep", "n", "--threads", "1", "--settings", json.dumps(REDUCTION),
                    "--output", str(paths[0])])  # fmt: skip
    for path in paths[1:]:
        fourier.main(["--selection", path.stem, "--threads", "1", "--dataset", str(data),
                      "--settings", json.dumps(FOURIER), "--output", str(path)])  # fmt: skip
    return paths


def test_the_files_of_an_answer(here, tmp_path):
    seen = answered(answer, tmp_path, map(record.read, here))
    assert len(seen.table.rows) == 18
    assert seen.numbers["disagreement"] < 1e-12
    assert seen.numbers["same_at_all"] is True
    assert any("gradcheck accepts all" in text for text in seen.why)


def test_only_the_symmetric_part_is_felt(here):
    (trial,) = trials.checks([record.read(here[0])], "symmetry")
    seen = trial.result
    assert seen["change_by_antisymmetric"] < 1e-12
    assert seen["change_by_symmetric"] > 0.5
    assert seen["antisymmetric_share_of_gradient"] < 1e-12
    assert seen["parameters_that_matter"] / seen["parameters"] == pytest.approx(17 / 32)


def test_memory_on_the_way_is_what_the_implementation_makes():
    """Brute force makes two arrays of batch · k · n² numbers, outer one of batch · n²."""
    at = reduction.Sizes(8, 16, 4, torch.float32, torch.device("cpu"))
    seen = {n: each["temporary"] for n, each in reduction.memory(at, 1).items()}
    assert seen["outer"] == pytest.approx(4 * 8 * 16**2, rel=0.2)
    assert seen["brute_force"] == pytest.approx(2 * 4 * 8 * 4 * 16**2, rel=0.2)


def test_an_implementation_that_computes_something_else_is_refused(monkeypatch):
    wrong = layers.Implementation(lambda w: (w,), lambda x, w: layers.einsum(x, w) * 1.001)
    monkeypatch.setitem(layers.IMPLEMENTATIONS, "outer", wrong)
    at = reduction.Sizes(4, 8, 3, torch.float32, torch.device("cpu"))
    protocol = reduction.Protocol.from_settings(QUICK, at.place)
    seen = reduction.compare(at, protocol, 1)
    assert seen.status == Status.REFUSED
    assert "outer computes something else" in seen.reason


def test_half_of_the_transform_loses_a_coefficient():
    """A single random input of eight can lose 0.49 of itself; over many it is √(1/8)."""
    torch.manual_seed(5)
    one = torch.randn(8)
    back = torch.fft.irfft(torch.fft.fft(one)[:4], n=8)
    assert torch.linalg.norm(back - one) / torch.linalg.norm(one) == pytest.approx(0.49, abs=0.01)
    seen = fourier.transform(8, 1)
    assert (seen["coefficients"], seen["halved_coefficients"]) == (5, 4)
    assert seen["halved_error"] == pytest.approx(8**-0.5, abs=0.02)
    assert seen["halved_error_alternating"] == pytest.approx(1)
    assert seen["inverse_error"] < 1e-14
    assert fourier.transform(7, 1)["halved_error"] == pytest.approx((2 / 7) ** 0.5, abs=0.02)


def test_fftn_mixes_the_samples_of_a_batch():
    seen = fourier.mixing(1)
    assert seen["moved_by_layer"] == 0
    assert seen["moved_by_fftn"] > 0.1


def test_data_in_forward_stops_the_layer_and_nothing_else():
    seen = fourier.detached(1)
    assert (seen["has_gradient_right"], seen["has_gradient_data"]) == (True, False)
    assert seen["moved_data"] == 0
    assert seen["moved_right"] > 0
    assert seen["moved_before_it_data"] > 0


def test_applying_the_layer_ahead_is_applying_it_inside():
    """Up to the scaling, the features are those of the layer on each batch."""
    torch.manual_seed(0)
    images = [Examples(torch.rand(n, 12), torch.zeros(n, dtype=torch.long)) for n in (50, 20, 20)]
    parts = fourier.Parts(*images)
    seen = fourier.select(fourier.spectrum(parts), torch.arange(3))
    layer = layers.LeadingFourier(12, 3)
    inside, ahead = (
        torch.view_as_real(layer(each.inputs)).flatten(1) for each in (parts.test, parts.training)
    )
    mean, spread = ahead.mean(0), ahead.std(0)
    expected = torch.where(spread > 1e-6, (inside - mean) / spread, torch.zeros(()))
    torch.testing.assert_close(seen.test.inputs, expected)


def test_the_control_draws_other_positions_for_every_seed_and_all_are_the_same():
    one, other = (fourier.at_random(100, 10, seed).tolist() for seed in (1, 2))
    assert one != other
    assert one == sorted(set(one))
    assert fourier.at_random(100, 100, 1).tolist() == fourier.leading(100, 100, 1).tolist()


@pytest.mark.parametrize(
    ("script", "flag", "allowed"),
    [(reduction, "--sweep", "batch, n, k"), (fourier, "--selection", "leading, random")],
)
def test_an_unknown_value_is_one_sentence(script, flag, allowed, capsys):
    with pytest.raises(SystemExit):
        script.main([flag, "poetry", "--output", "x.json"])
    assert f"is none of {allowed}" in capsys.readouterr().err
