"""Numbers and lists in words."""

from __future__ import annotations

import math

import pytest
from assay.answer import say
from assay.statistic import Interval
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "text"), [(1024, "1024"), (9999, "9999"), (60000, "60,000"), (-3, "−3"), (1.0, "1")]
)
def test_counts_are_whole(value: float, text: str) -> None:
    assert say.count(value) == text


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (Interval(20, 19.4, 21.4), "20.0 [19.4, 21.4] ms"),
        (Interval(0.1234, 0.1230, 0.1239), "0.12340 [0.12300, 0.12390] ms"),
        (Interval(1234, 1100, 1400), "1230 [1100, 1400] ms"),
        (Interval(60, 4, 1004), "60 [4, 1000] ms"),
        (Interval(5, 5, 5), "5.00 [5.00, 5.00] ms"),
        (Interval(5, 4, math.inf), "5.00 [4.00, ∞] ms"),
    ],
)
def test_two_digits_of_an_intervals_width_decide(seen: Interval, text: str) -> None:
    assert say.interval(seen, "ms") == text


@given(st.floats(1e-6, 1e6), st.floats(1e-4, 0.5), st.floats(1e-4, 0.5))
def test_an_interval_still_holds_its_value_when_it_is_told(value, below, above):
    seen = Interval(value, value * (1 - below), value * (1 + above))
    told = say.bracketed(seen.value, seen.low, seen.high)
    middle, low, high = (
        float(each.replace(",", "").replace("−", "-"))
        for each in told.replace("[", "").replace("]", "").replace(", ", " ").split()
    )
    assert low <= middle <= high


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(1.055, "+5.5 %"), (0.944, "−5.6 %"), (1.0, "0.0 %"), (2.3, "2.3 ×"), (0.25, "0.25 ×")],
)
def test_a_ratio_is_per_cent_up_to_a_factor_of_two(ratio: float, text: str) -> None:
    assert say.change(ratio) == text


def test_a_ratio_in_a_sentence() -> None:
    assert say.longer(Interval(1.075, 1.066, 1.087), "1024") == "7.5 % [6.6, 8.7] longer than 1024"
    assert say.longer(Interval(0.8, 0.79, 0.82)) == "20.0 % [18.0, 21.0] less"
    assert say.longer(Interval(2.3, 2.1, 2.6), "it") == "2.30 [2.10, 2.60] × as long as it"
    assert say.ratio(Interval(1.075, 1.066, 1.087)) == "+7.5 % [+6.6, +8.7]"
    assert say.ratio(Interval(1.01, 0.99, 1.02)) == "+1.0 % [−1.0, +2.0]"


def test_accuracies_stay_between_nothing_and_all() -> None:
    assert say.accuracy(Interval(0.9, 0.75, 1.2)) == "90.0 [75.0, 100.0] %"
    assert say.points(Interval(0.012, 0.003, 0.021)) == "+1.2 [0.3, 2.1]"


def test_quantities_get_the_prefix_that_suits_them() -> None:
    assert say.quantity(2.35e9, "B/s") == "2.35 GB/s"
    assert say.quantity(None, "B/s") == "–"
    assert say.measured(Interval(4.4e10, 4.3e10, 4.5e10), "B/s") == "44.0 [43.0, 45.0] GB/s"


def test_lists_and_plurals() -> None:
    assert say.listed(["a", "b", "c"]) == "a, b and c"
    assert say.listed(["a"]) == "a"
    assert say.few([1, 2, 3, 4, 5, 6]) == "1, 2, 3 and 3 more"
    assert (say.plural(1, "seed"), say.plural(3, "seed")) == ("1 seed", "3 seeds")
    assert say.plural(2, "box", "boxes") == "2 boxes"
    assert (say.on("cpu", ["cpu"]), say.on("cpu", ["cpu", "gpu"])) == ("", "cpu: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cpu: Yes. gpu0: Yes. gpu1: Yes.", "Yes."),
        ("cpu: Yes. gpu0: No. gpu1: No.", "cpu: Yes. gpu0 and gpu1: No."),
        ("cpu: a; gpu0: a; gpu1: b", "cpu and gpu0: a; gpu1: b"),
        ("Both. cpu: a; gpu0: a", "Both. cpu and gpu0: a"),  # nothing is said of the third
        ("cpu: use a; gpu0: use a; gpu1: use a.", "Use a."),
        ("cpu: Yes. gpu0: Yes. gpu1: Yes. Cannot tell: b.", "Yes. Cannot tell: b."),
        ("No GPU here.", "No GPU here."),
        ("", ""),
    ],
)
def test_what_several_devices_have_in_common_is_said_once(text: str, told: str) -> None:
    assert say.once(text, ["cpu", "gpu0", "gpu1"]) == told


def test_one_device_is_not_named() -> None:
    assert say.once("Two threads: n = 3.", ["cpu"]) == "Two threads: n = 3."


@pytest.mark.parametrize(
    ("text", "headline", "below"),
    [
        (f"One. {'word ' * 20}two.", f"One. {'word ' * 20}two.", ""),
        (f"One. {'word ' * 25}two.", "One.", f"{'word ' * 25}two."),
        (f"{'word ' * 30}one. Two.", f"{'word ' * 30}one.", "Two."),
        (f"cpu: One. gpu0: {'word ' * 24}two. End.", "cpu: One.", f"gpu0: {'word ' * 24}two. End."),
        (f"cpu: {'word ' * 22}one. Two. gpu0: No.", f"cpu: {'word ' * 22}one. Two.", "gpu0: No."),
        (f"cpu: {'word ' * 23}one. Two. gpu0: No.", f"cpu: {'word ' * 23}one.",
         "cpu: Two. gpu0: No."),
        (f"cpu and gpu0: {'w ' * 20}one. gpu1: a b c.", f"cpu and gpu0: {'w ' * 20}one.",
         "gpu1: a b c."),
    ],
)  # fmt: skip
def test_a_headline_is_short_and_the_rest_below(text: str, headline: str, below: str) -> None:
    """Whole sentences, and where it can be all that is said of a device."""
    assert say.headline(text, ["cpu", "gpu0", "gpu1"]) == (headline, below)


def test_a_long_short_answer_keeps_the_first_clause_of_every_device() -> None:
    devices, rest = ["cpu", "gpu0", "gpu1"], "and so on, word by word"
    text = f"cpu: Yes, twice; {rest}; gpu0: No; {rest}; gpu1: No; at all"
    assert say.brief(text, devices) == "cpu: Yes, twice; gpu0 and gpu1: No"
    assert say.brief(f"Yes, twice; {rest}", devices) == f"Yes, twice; {rest}"
    assert say.brief(f"Yes, twice; {rest}; {rest}", ["cpu"]) == "Yes, twice"


def test_a_format_begins_a_text_as_it_is_written() -> None:
    assert say.once("cpu: bfloat16: yes; gpu0: bfloat16: yes", ["cpu", "gpu0"]) == "bfloat16: yes"
    assert say.capital("batch 16") == "Batch 16"


def test_what_is_the_same_of_several_devices_is_one_text() -> None:
    devices = ["cpu", "gpu0", "gpu1"]
    texts = ["cpu: slow.", "gpu0: fast.", "gpu1: fast.", "All: alike."]
    assert say.together(texts, devices) == ["cpu: slow.", "gpu0 and gpu1: fast.", "All: alike."]
    assert say.together([f"{each}: fast." for each in devices], devices) == ["fast."]
    assert say.together(["No device."], devices) == ["No device."]
