"""The decade: trends are those put into tables, and the cited table is sound."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import answer_decade as answer
import pandas as pd
import pytest
from assay.answer import model
from assay.answer.model import State
from assay.answer.verdict import Word
from assay.probe.items import Item
from assay.record import Record, Status, Trial
from builders import answered, make_record
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

TABLE = answer.published()


def table(growth: dict[str, float], noise: float = 0.02, years: range = range(2006, 2026)) -> Any:
    """Peaks that grow by this factor in a decade, with a little noise, one chip a year."""
    rows = [
        {
            "year": year,
            "chip": f"{name}-{year}",
            "format": name,
            "peak_flops": 1e12
            * factor ** ((year - 2006) / 10)
            * 10 ** (noise * math.sin(12.9898 * year)),
            "source": "made up",
        }
        for name, factor in growth.items()
        for year in years
    ]
    return pd.DataFrame(rows)


def product(dtype: str, n: int, flops: float, **changes: Any) -> Trial:
    result = {
        "throughput_flops": flops,
        "arms": {"target": {"time_median_s": 1.0, "time_low_s": 0.9, "time_high_s": 1.2}},
    }
    what = {"dtype": dtype, "n": n, "layout": None, "anchor": 1024, "shape": "matrix"}
    return Trial(**({"what": what, "result": result} | changes))


def records(*trials: Trial, device: str = "cpu") -> list[Record]:
    named = {"brand": "Made-up CPU"} if device == "cpu" else {"name": "Made-up GPU"}
    item = Item.CPU if device == "cpu" else Item.GPU
    about = Trial(what={"item": item}, result={**named, "source": "made up"})
    return [
        make_record("alignment", {"device": device, "n": 1024}, list(trials)),
        make_record("hardware", {"device": device}, [about]),
    ]


# ---- the cited table -------------------------------------------------------------------------


def test_the_table_is_cited_and_plausible() -> None:
    assert set(TABLE["format"]) == set(answer.FORMATS)
    assert TABLE["year"].between(2006, 2026).all()
    assert TABLE["source"].str.len().min() > 15
    assert not TABLE.duplicated(["chip", "format"]).any()
    assert (TABLE.groupby("chip")["year"].nunique() == 1).all()
    assert TABLE["year"].is_monotonic_increasing


def test_narrower_formats_are_never_slower_on_one_chip() -> None:
    for chip, rows in TABLE.groupby("chip"):
        peaks = rows.set_index("format")["peak_flops"].reindex(answer.FORMATS).dropna()
        assert peaks.is_monotonic_increasing, chip


def test_peaks_follow_from_cores_and_clocks() -> None:
    """A few that can be worked out: two operations × cores × clock."""
    peak = TABLE.set_index(["chip", "format"])["peak_flops"]
    for chip, cores, gigahertz in (
        ("GeForce 8800 GTX", 128, 1.35),
        ("Tesla C2050", 448, 1.15),
        ("Tesla K20X", 2688, 0.732),
        ("Tesla P100", 3584, 1.48),
        ("Tesla V100", 5120, 1.53),
        ("A100", 6912, 1.41),
        ("GeForce RTX 4090", 16384, 2.52),
    ):
        assert peak[chip, "float32"] == pytest.approx(2 * cores * gigahertz * 1e9, rel=0.01)


def test_what_the_table_says_today() -> None:
    found = answer.answer(records())
    assert found.sentence.startswith("No: in float32 ")
    assert len(found.sentence.split()) <= 25
    assert ";" not in found.sentence
    assert len(found.short.split()) <= 12
    assert 0 < len(found.so.split()) <= 20
    assert model.state(found.cells) == State.ANSWERED
    assert 10 < found.numbers["per_decade"]["float32"]["factor"] < 40
    assert found.numbers["per_decade"]["float32"]["word"] == Word.SLOWER
    assert "fp4" not in found.numbers["per_decade"]
    cells = {row[0]: row for row in found.table.rows}
    assert cells["fp4"][1:4] == [None, None, "too short a time"]
    assert cells["fp4"][5] == "2024 to 2025"
    assert "Largest growth within ten years: 1950 ×" in found.why[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("year,chip\n2006,x\n", "columns must be"),
        ("year,chip,format,peak_flops,source\n2006,x,int8,1,y\n", "unknown format 'int8'"),
        ("year,chip,format,peak_flops,source\n2006,x,fp8,-1,y\n", "not positive"),
        ("year,chip,format,peak_flops,source\n2006,x,fp8,,y\n", "a cell is empty"),
        ("", "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "peaks.csv").write_text(text)
    with pytest.raises(SystemExit) as error:
        answer.published(tmp_path / "peaks.csv")
    assert "peaks.csv" in str(error.value)
    assert says in str(error.value)


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cannot be read"):
        answer.published(tmp_path / "none.csv")


# ---- trends ----------------------------------------------------------------------------------


@given(st.floats(2, 5000))
def test_a_trend_finds_its_growth(growth: float) -> None:
    line = answer.trend("float32", table({"float32": growth}))
    assert line.value is not None
    assert line.value.value == pytest.approx(growth, rel=0.1)
    assert line.value.low < line.value.value < line.value.high


def test_a_short_time_or_few_chips_have_no_trend() -> None:
    for years in (range(2020, 2026), range(2006, 2026, 8)):
        line = answer.trend("fp8", table({"fp8": 20}, years=years))
        assert (line.lost, line.seen) == ("too short a time", None)


@pytest.mark.parametrize(
    ("growth", "word", "says"),
    [
        ({"float32": 20}, "slower", "No: in float32 "),
        ({"float32": 5000}, "faster", "Yes, and more: in float32 "),
    ],
)
def test_the_verdict_is_the_growth(growth: dict[str, float], word: str, says: str) -> None:
    found = answer.answer_from(table(growth), [])
    assert found.sentence.startswith(says)
    assert found.table.rows[0][3] == word
    assert model.state(found.cells) == State.ANSWERED
    assert found.so == ""


def test_too_much_noise_cannot_tell() -> None:
    found = answer.answer_from(table({"float32": 900}, noise=1), [])
    assert found.sentence.startswith("Cannot tell: in float32 ")
    assert found.numbers["per_decade"]["float32"]["word"] == Word.UNKNOWN
    assert model.state(found.cells) == State.UNKNOWN
    assert found.so == ""


def test_mixing_formats_is_told_apart_from_growth() -> None:
    """Each format grows 10 × a decade, and a narrower one comes along, 1000 × faster."""
    wide = table({"float32": 10}, years=range(2006, 2017))
    narrow = table({"float16": 10}, years=range(2014, 2026)).assign(
        peak_flops=lambda rows: 1000 * rows["peak_flops"]
    )
    found = answer.answer_from(pd.concat([wide, narrow]), [])
    factors = {name: each["factor"] for name, each in found.numbers["per_decade"].items()}
    assert factors["float32"] == pytest.approx(10, rel=0.2)
    assert factors["float16"] == pytest.approx(10, rel=0.2)
    assert factors[answer.MIXED] > 100
    jump = answer.largest_jump(pd.concat([wide, narrow]))
    assert jump is not None
    ratio, before, after = jump
    assert (before["format"], after["format"]) == ("float32", "float16")
    assert ratio > 5000


def test_years_that_have_no_decade_have_no_jump() -> None:
    assert answer.largest_jump(table({"float32": 20}, years=range(2018, 2026))) is None


def test_nothing_to_fit_cannot_tell() -> None:
    short = table({"fp4": 20}, years=range(2024, 2026))
    found = answer.answer_from(short, [])
    assert found.sentence.startswith("Cannot tell")
    assert model.state(found.cells) == State.UNKNOWN
    assert "Nothing was measured" in found.views[0].alternative


def test_another_format_speaks_where_float32_has_no_trend() -> None:
    found = answer.answer_from(table({"float64": 10}), [])
    assert found.sentence.startswith("No: in float64 ")


# ---- this machine ----------------------------------------------------------------------------


def test_this_machine_is_its_fastest_product() -> None:
    gone = product("float16", 1024, 9e15, status=Status.REFUSED, reason="above the peak")
    mine = records(
        product("float32", 1024, 1.2e12),
        product("float32", 1025, 2.4e12),
        product("bfloat16", 1024, 4e9),
        product("tf32", 1024, 8e12),
        gone,
    )
    best = answer.measured(mine).set_index("dtype")
    assert set(best.index) == {"float32", "bfloat16"}
    assert best.loc["float32", "flops"] == 2.4e12
    assert best.loc["float32", "flops_low"] == pytest.approx(2e12)
    assert best.loc["float32", "flops_high"] == pytest.approx(2.4e12 / 0.9)
    made = table({"float32": 10, "float16": 10}, noise=1e-3)
    found = answer.answer_from(made, mine)
    cells = {row[0]: row[-1] for row in found.table.rows}
    assert cells["float32"] == "float32 2.40 TFLOP/s"
    assert cells["float16"] == "bfloat16 4.00 GFLOP/s"
    assert "cpu here 2.40 TFLOP/s" in found.folded[0].alternative


def test_devices_have_their_own_points() -> None:
    made = [
        *records(product("float32", 1024, 1.2e12)),
        *records(product("bfloat16", 2048, 700e12), device="gpu"),
    ]
    found = answer.answer(made)
    cells = {row[0]: str(row[-1]) for row in found.table.rows}
    assert cells["float32"] == "cpu: float32 1.20 TFLOP/s"
    assert cells["float16"] == "gpu: bfloat16 700 TFLOP/s"


def test_the_files_of_an_answer(tmp_path: Path) -> None:
    found = answered(answer, tmp_path, records(product("float32", 1024, 3e11)))
    rows = len(TABLE) + 1 + sum(bool(line.seen) for line in answer.trends(TABLE).values())
    assert len((tmp_path / "table.csv").read_text().splitlines()) == rows + 1
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert found.numbers["this_machine"][0]["dtype"] == "float32"


def test_the_table_travels_with_the_workflow() -> None:
    assert answer.TABLE == ROOT / "resources/peak-flops/peak_flops.csv"
