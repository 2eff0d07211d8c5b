"""The page: what stands on it, and that nothing in a record can break it. All data are made up."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import page
import pytest
import yaml
from assay.answer import figure, whole_run
from assay.answer.figure import Axis, Band, Row, Tone
from assay.answer.model import (
    Answer,
    Cell,
    Circumstances,
    Column,
    Disturbed,
    Missing,
    Snippet,
    State,
    Table,
    View,
)
from assay.record import Conditions, Provenance, Record, Status, Trial, write
from assay.statistic import Interval
from docutils.core import publish_parts
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

REPORT = Path(__file__).resolve().parent.parent / "workflow/report"
COMMAND = "snakemake --cores all --resources gpu=1"
PROTOCOL = {"rounds_least": 20, "void_delay_share": 0.02}
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> {{ 7*7 }} </title></style>'
HOSTILE_WORDS = (HOSTILE, "w" * 400, "\u202eright to left \u05e9\u05dc\u05d5\u05dd", "&amp; ]]>")
GIB = 2**30


def item(about: str, **result: Any) -> Trial:
    """A row of the hardware study."""
    return Trial(what={"item": about}, status=Status.OK, reason=None, result=result)


def hardware(device: str = "cpu", trials: list[Trial] | None = None, **changes: Any) -> Record:
    """A hardware record that no machine wrote."""
    provenance = {
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": True,
        "versions": {"python": "3.12.0", "torch": "2.99.0"},
        "machine_id": "feedfacecafe",
        "started": "2001-02-03T04:05:06+00:00",
        "duration_s": 1.0,
    }
    synthetic = [
        item("CPU", brand="Synthetic(R) CPU 9000 2-Core Processor @ 2.10GHz", physical_cores=2),
        item("memory", total_bytes=8 * GIB),
        item("virtualisation", hypervisor="KVM"),
    ]
    return Record(
        study="hardware",
        axes={"device": device},
        status=Status.OK,
        reason=None,
        settings={},
        trials=synthetic if trials is None else trials,
        conditions=Conditions(
            threads_asked=2, threads_used=2, contention={"delay_share": 0.0031}, gpu=None
        ),
        provenance=Provenance(**provenance | changes),
    )


def circumstances(**changes: Any) -> Circumstances:
    """Circumstances that never were."""
    values = {
        "first": "2001-02-03T04:05:06+00:00",
        "last": "2001-02-03T04:35:06+00:00",
        "commits": ["01234567, with local changes"],
        "torch": ["2.99.0"],
        "threads": [2],
        "machines": ["feedfacecafe"],
        "delay_share": 0.0031,
        "occasions": 2,
        "rounds": 45,
        "rounds_void": 2,
        "measurements": {"records/a.json": 3},
        "disturbed": [],
    }
    return Circumstances.model_validate(values | changes)


@cache
def drawing(name: str = "1025") -> str:
    """A figure with every colour of the page, and with a hollow mark."""
    rows = [
        Row("1024", Interval(0, 0, 0), "reference", "÷1024", Tone.REFERENCE, strong=True),
        Row(name, Interval(7.5, 6.6, 8.7), "+7.5 %, slower", "÷1", Tone.BAD),
        Row("1008", Interval(-4, -5, -3), "−4.0 %, faster", "÷16", Tone.GOOD),
        Row("1040", Interval(1, -3, 5), "+1 %, cannot tell", "÷16", Tone.UNKNOWN),
    ]
    axis = Axis("time per operation against 1024, in per cent (bar: 95 %)", "{:+g} %".format)
    band = Band(-2, 2, "grey: under 2 %, called the same")
    return figure.svg(figure.rows({"": rows}, axis, band=band, line=0), "four sizes")


def view(name: str = "", **changes: Any) -> View:
    values = {
        "name": name,
        "title": "Time per operation against size",
        "alternative": "Odd sizes take 7 % longer.",
        "svg": drawing(),
    }
    return View.model_validate(values | changes)


def matrix() -> Table:
    """A table of outcomes."""
    return Table(
        columns=[Column(name="operation"), Column(name="list"), Column(name="ModuleList")],
        rows=[
            ["keys", Cell(text="lost", sign="✗", reason="no key"), Cell(text="kept", sign="✓")],
            ["to", Cell(text="silent", sign="!"), Cell(text="moved", sign="✓")],
        ],
    )  # fmt: skip


def answer(question: str = "alignment", **changes: Any) -> Answer:
    """An answer that nobody measured."""
    values = {
        "question": question,
        "title": "Does alignment matter?",
        "group": "Matrix products",
        "exercise": "Measure products of 1024, 1025, 1026, 1028 and 1032.",
        "short": "bfloat16: yes, 7.5 %; float32: cannot tell",
        "state": State.PART,
        "sentence": "In bfloat16 a product of size 1025 takes 7.5 % [6.6, 8.7] longer per "
        "operation than 1024. In float32: cannot tell.",
        "so": "Pad to a multiple of 16 up to 1024.",
        "numbers": {"ratio": 1.075},
        "why": ["The same size at other addresses costs nothing, so it is the size."],
        "method": ["Eight sizes, each in a trial with 1024 as the reference."],
        "caveats": ["The matrices are square."],
        "missing": [],
        "notices": [],
        "switch": "Format",
        "views": [view("bfloat16"), view("float32")],
        "folded": [view(title="Other products")],
        "table": Table(
            columns=[
                Column(name="size"),
                Column(name="time", unit="ms"),
                Column(name="against 1024"),
                Column(name="verdict"),
            ],
            rows=[
                ["1024", 1.234567, None, "reference"],
                ["1025", 1.7123, Cell(text="+7.5 % [+6.6, +8.7]", value=1.075), "slower"],
                ["1008", 4.2e-6, Cell(text="−4.0 % [−5.0, −3.0]", value=0.96), "faster"],
                ["1040", 10240, Cell(text="+1 % [−3, +5]", value=1.01), "cannot tell"],
                ["1016", None, Cell(text="+0.5 % [−1, +1]", value=1.005), "the same within 2 %"],
                ["1023", None, None, Cell(text="disturbed", reason="5 of 20 rounds were left")],
            ],
        ),
        "snippet": Snippet(
            text="Without warm-up the first call is measured; with it, the product.",
            code="import torch, time\n\nx = torch.randn(1024, 1024)\nx @ x  # warm up\n",
        ),
        "circumstances": circumstances(),
        "records": [f"records/{question}/device-cpu/n-{n}.json" for n in (1024, 1025)],
    }  # fmt: skip
    return Answer.model_validate(values | changes)


def hostile_answer(question: str = "hostile") -> Answer:
    """An answer whose every string tries to be something else."""
    bad = " ".join(HOSTILE_WORDS)
    return answer(
        question,
        title=bad,
        group=bad,
        exercise=bad,
        short=bad,
        sentence=bad,
        more=bad,
        so=bad,
        why=[*HOSTILE_WORDS],
        method=[bad],
        caveats=[bad],
        missing=[
            Missing(what=f"{bad} {n}", status=Status.UNAVAILABLE, reason=bad) for n in range(9)
        ],
        switch=bad,
        views=[
            view(bad, title=bad, alternative=bad),
            view(bad, title=bad, svg=None, table=matrix()),
        ],
        folded=[view(title=bad, alternative=bad)],
        table=Table(
            columns=[Column(name=bad, unit=bad), Column(name=bad, unit=bad)],
            rows=[
                [bad, 1.0],
                [bad, bad],
                *([word, 2.0] for word in HOSTILE_WORDS),
                [Cell(text=bad, sign=bad, reason=bad), Cell(text=bad, value=1.0)],
            ],
        ),
        snippet=Snippet(text=bad, code=bad),
        records=["javascript:alert(1)", 'a "b" <c>/d e.json', "records/ü?#%41.json"],
    )


class Site:
    """A results folder with made-up answers and the page made from them."""

    def __init__(self, results: Path, answers: list[Answer], records: list[Record]) -> None:
        self.results, self.answers = results, answers
        self.rehearsal: dict[str, int] = {}  # seeds by question
        self.left_out: list[str] = []  # titles
        self.again = "python workflow/again.py"
        self.page, self.card = results / "report.html", results / "card.svg"
        self.hardware = [
            results / f"records/hardware/device-{each.axes['device']}.json" for each in records
        ]
        for path, each in zip(self.hardware, records, strict=True):
            write(path, each)
        for each in answers:
            self._put(each)

    def _put(self, each: Answer) -> None:
        """The files that the answer's own rule would have written."""
        for name in each.records:
            self._write(self.results / name, "{}")
        each = each.model_copy(update={"records": [str(self.results / n) for n in each.records]})
        self._write(self.results / f"answers/{each.question}.json", each.model_dump_json())
        self._write(self.results / f"tables/{each.question}.csv", "n,µs\n1024,1.5\n")
        self._write(self.results / f"figures/{each.question}.png", "")

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def arguments(self) -> list[str]:
        names = [each.question for each in self.answers]
        about = {"preset": "quick", "command": COMMAND, "questions": names, "protocol": PROTOCOL}
        about |= {"rehearsal": self.rehearsal, "left_out": self.left_out, "again": self.again}
        answers = [str(self.results / f"answers/{name}.json") for name in names]
        given = ["--output", str(self.page), "--about", yaml.safe_dump(about)]
        given += ["--card", str(self.card)] if self.card.exists() else []
        return [*given, "--hardware", *map(str, self.hardware), "--", *answers]

    def put_card(self) -> None:
        """The machine card that its own rule would have drawn."""
        drawn = figure.nothing("a card")
        figure.save(drawn, self.card, figure.svg(drawn, "float32 1 TFLOP/s"))

    def make(self) -> str:
        """Make the page."""
        page.main(self.arguments())
        return self.page.read_text(encoding="utf-8")


Build = Callable[..., Site]


class Elements(HTMLParser):
    """Every element of a page: its name and its attributes, and the text that is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text += data

    @property
    def words(self) -> str:
        """The text with single spaces."""
        return " ".join(self.text.split())

    def values(self, attribute: str, tag: str | None = None) -> list[str]:
        return [
            str(attributes[attribute])
            for name, attributes in self.found
            if attribute in attributes and tag in (None, name)
        ]

    def names(self) -> list[str]:
        return [name for name, _ in self.found]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def made(answers: list[Answer] | None = None, records: list[Record] | None = None) -> Site:
        return Site(tmp_path / "the results", answers or [answer()], records or [hardware()])

    return made


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Elements:
    """The page of two questions, one of them hostile."""
    site = Site(tmp_path_factory.mktemp("two"), [answer(), hostile_answer()], [hardware()])
    return Elements(site.make())


# ---- the first screen ----------------------------------------------------------------------------


def test_first_screen_says_what_how_and_when(build: Build) -> None:
    text = Elements(build().make()).words
    first = text[: text.index("Enlarge")]
    for fact in (
        "torch-assay · Synthetic 9000, 2 cores, no GPU",
        "quick run · 3 Feb 2001 · 30 min",
        "8 GiB · virtual machine (KVM) · torch 2.99.0",
        "bfloat16: yes, 7.5 %; float32: cannot tell",
        "◐ 1 in part",
        "1 question",
    ):
        assert fact in first


def test_a_machine_names_its_gpus(build: Build) -> None:
    gpus = [hardware(f"gpu{i}", [item("GPU", name="Model G")]) for i in (0, 1)]
    assert page.machine([hardware(), *gpus]).name == "Synthetic 9000, 2 cores, 2 × Model G"
    absent = hardware("gpu", [])
    assert page.machine([hardware(), absent]).name == "Synthetic 9000, 2 cores, no GPU"
    assert page.machine([hardware(trials=[item("CPU")])]).name.startswith("unnamed processor")


def test_other_machines_stand_beside(build: Build) -> None:
    seen = page.machine([hardware(), hardware("cpu (lab)"), hardware("gpu (lab)", [])])
    assert seen.beside == ["Beside it: lab: Synthetic 9000, 2 cores, no GPU"]
    alone = page.machine([hardware("cpu (lab)"), hardware("cpu (home)")])
    assert alone.name == "2 runs beside each other"
    more = page.machine([hardware("cpu (lab)")], ["lab", "home"])  # whose hardware nobody probed
    assert more.name == "2 runs beside each other"
    assert more.beside[1] == "home: not probed"
    assert alone.beside == ["lab and home: Synthetic 9000, 2 cores, no GPU"]
    assert page.machine_card([hardware("cpu (lab)")], about(), whole_run.summary([circumstances()]))


@pytest.mark.parametrize(
    ("state", "said"), [(State.UNKNOWN, True), (State.PART, True), (State.ANSWERED, False)]
)
def test_a_group_says_once_that_it_is_a_rehearsal(build: Build, state: State, said: bool) -> None:
    """Only where few seeds left something open."""
    site = build([answer("width", state=state), answer("depth", state=state)])
    site.rehearsal = {"width": 3, "depth": 4}
    text = Elements(site.make()).words
    assert text.count("A rehearsal: 3 seeds") == said
    assert ("A rehearsal" in text) == said


def test_the_page_says_by_how_much_the_machine_wandered() -> None:
    one = {"product_s": (1e-3, 1.2e-3), "copy_s": (5e-3, 6e-3)}
    seen = whole_run.steady([one, {"product_s": (0.9e-3, 1.1e-3)}, {}])
    assert seen == "the same product took 0.9 to 1.2 ms and the same copy took 5 to 6 ms"
    assert whole_run.steady([{}]) == ""


def test_what_is_left_to_the_default_run_is_said_with_its_command(build: Build) -> None:
    site = build([answer("width")])
    assert "left to the default run" not in Elements(site.make()).words
    site.left_out = ["Which activation works best?"]
    text = Elements(site.make()).words
    said = f"1 question left to the default run, which takes longer {site.left_out[0]} {COMMAND}"
    assert said in text


def test_what_a_headline_has_no_room_for_stands_below_it(build: Build) -> None:
    text = Elements(build([answer("width", sentence="cpu: Yes.", more="gpu: No.")]).make()).words
    assert "cpu: Yes. gpu: No." in text


def about() -> page.About:
    return page.About(preset="quick", command=COMMAND, questions=[], protocol=PROTOCOL)


def test_machine_card_is_one_line() -> None:
    card = page.machine_card([hardware()], about(), whole_run.summary([circumstances()]))
    assert "\n" not in card
    for part in ("machine feedface", "torch 2.99.0", "commit 01234567, with local changes"):
        assert part in card


def test_the_machine_card_is_on_the_page_to_be_copied(build: Build) -> None:
    site = build()
    assert "copy" not in Elements(site.make()).values("data-do")
    site.put_card()
    made = Elements(site.make())
    assert "copy" in made.values("data-do")
    assert "float32 1 TFLOP/s" in made.text
    assert "card.png" in made.values("href", "a")
    site.card.write_text("no drawing")
    with pytest.raises(SystemExit, match=r"card\.svg: cannot be read"):
        site.make()


def test_beside_other_machines_the_page_says_where_this_one_stands(build: Build) -> None:
    levels = {"cpu": 2e10, "cpu (lab)": 4e10}
    numbers = {
        device: {"levels_bytes_per_s": {"memory": [rate, 0.9 * rate, 1.1 * rate]}}
        for device, rate in levels.items()
    }
    text = Elements(build([answer("bandwidth", numbers=numbers)]).make()).words
    assert "Bandwidth of memory: 2nd of 2, 0.50 × the fastest (lab)." in text
    assert "Where this machine stands" not in Elements(build().make()).text


def test_days_and_lengths_of_several_answers() -> None:
    later = circumstances(last="2001-02-05T00:30:00+02:00")
    assert whole_run.measured([later, circumstances()]) == "3 to 4 Feb 2001"
    assert whole_run.took([later, circumstances()]) == ""
    assert whole_run.took([circumstances(last="2001-02-03T07:05:06+00:00")]) == "3.0 h"
    vague = circumstances(first="long ago", last="long ago")
    assert whole_run.measured([vague]) == "long ago"
    assert whole_run.took([vague]) == ""


def test_the_states_are_counted_and_every_line_has_its_own(build: Build) -> None:
    answers = [answer(state.value.replace(" ", "_"), state=state) for state in State]
    made = Elements(build(answers).make())
    for state, sign in page.STATES.items():
        assert f"{sign} 1 {state.value}" in made.words
        # list, contents, select, card
        assert made.values("data-state").count(page.slug(state)) == 4
    assert "4 questions" in made.words


def test_groups_keep_the_order_in_which_they_are_asked(build: Build) -> None:
    groups = ("Training", "Matrix products", "Training")
    site = build([answer(f"q{i}", group=group) for i, group in enumerate(groups)])
    made = Elements(site.make())
    assert [name for name in made.values("id", "section") if name.startswith("q")] == [
        "q0", "q2", "q1",
    ]  # fmt: skip


# ---- what disturbed it ---------------------------------------------------------------------------


def disturbed(what: str, lost: bool = True, **neighbours: float) -> Disturbed:
    """A measurement beside which something ran."""
    return Disturbed(record="records/a.json", what=what, lost=lost, neighbours=neighbours)


def test_what_other_programs_cost_is_one_line_with_what_to_do(build: Build) -> None:
    seen = circumstances(
        measurements={"records/a.json": 3, "records/b.json": 255},
        disturbed=[disturbed("n 8", firefox=0.2, snakemake=0.1), disturbed("n 9", firefox=0.6)],
    )
    site = build([answer(circumstances=seen)])
    text = Elements(site.make()).words
    said = "Disturbed: 2 of 258 measurements lost (firefox took 0.6 of a core, snakemake 0.1). "
    assert f"{said}Close them and run make again." in text
    assert "a.json n 8; n 9" in text
    site.again = ""  # other runs alone: nothing is measured here
    text = Elements(site.make()).words
    assert f"{said}Which ones?" in text
    assert "make again" not in text


def test_what_was_disturbed_stands_under_its_study() -> None:
    found = [
        Disturbed(record=f"r/records/{study}/device-cpu.json", what=what, lost=lost, neighbours={})
        for study, what, lost in [("a", "cpu, n 8", True), ("b", "cpu", True), ("a", "n 9", False)]
    ]
    assert page.by_place(found, ["cpu"]) == {"a": ["n 8", "n 9 (wider interval)"], "b": ["cpu"]}


def test_a_record_that_several_questions_read_counts_once() -> None:
    both = [circumstances(disturbed=[disturbed("n 8", dd=1.5)]) for _ in range(2)]
    seen = whole_run.disturbance(both)
    assert (len(seen.lost), seen.total, seen.who) == (1, 3, "dd took 1.5 cores")


def test_what_was_judged_beside_a_neighbour_is_told_and_not_called_lost(build: Build) -> None:
    seen = circumstances(disturbed=[disturbed("n 8", lost=False, dd=0.5)])
    text = Elements(build([answer(circumstances=seen)]).make()).words
    assert "1 of 3 measurements made beside other programs (dd took 0.5 of a core), with" in text
    assert "measurements lost" not in text


def test_where_nothing_disturbed_nothing_is_said(build: Build) -> None:
    assert "Disturbed:" not in Elements(build().make()).text


def test_a_notice_stands_on_the_first_screen_and_at_its_answer(build: Build) -> None:
    text = Elements(build([answer(notices=[HOSTILE])]).make()).text
    assert text.count(HOSTILE) == 2
    assert text.index(HOSTILE) < text.index("Enlarge")


# ---- told once -----------------------------------------------------------------------------------


def test_how_things_are_measured_is_told_once_with_this_runs_numbers(build: Build) -> None:
    text = Elements(build([answer(), answer("crossover")]).make()).words
    for said in (
        "more than 2 % of a block",
        "fewer than 20 rounds",
        "4.4 % of the rounds were void",
        "did so for 0.3 % of its time",
        "up to 2 occasions",
        "A virtual machine (KVM) hides",
    ):
        assert text.count(said) == 1
    assert "One occasion each" not in text
    assert "nobody can tell whether" not in text


def test_energy_that_nothing_counts_is_told_once(build: Build) -> None:
    record = hardware()
    record.conditions.energy = {"reason": "the system shows no counter"}
    text = Elements(build([answer(), answer("crossover")], [record]).make()).words
    assert text.count("Not counted on this machine: the system shows no counter.") == 1


def test_what_the_records_do_not_know_is_a_caveat_of_the_page(build: Build) -> None:
    alone = answer(circumstances=circumstances(delay_share=None, occasions=1, rounds=0))
    bare = hardware(trials=[item("CPU", brand="Synthetic", physical_cores=2)])
    text = Elements(build([alone], [bare]).make()).words
    for said in ("How long threads waited is unknown", "nobody can tell", "One occasion each"):
        assert said in text
    assert "virtual machine" not in text


def test_words_are_explained_where_they_first_stand() -> None:
    seen = page.glossed("<b> One occasion, two occasions, control copies & the same rounds")
    assert Elements(seen).values("title") == [
        page.GLOSSARY["occasion"],
        page.GLOSSARY["control copy"],
    ]
    assert seen.startswith("&lt;b&gt;")
    assert len(page.GLOSSARY) == 10


# ---- a card --------------------------------------------------------------------------------------


def test_a_card_holds_its_parts_in_order(build: Build) -> None:
    text = Elements(build().make()).words
    parts = [
        "Does alignment matter? ◐ in part",
        "In bfloat16 a product of size 1025 takes 7.5 % [6.6, 8.7] longer",
        "So: Pad to a multiple of 16",
        "Format:",
        "Enlarge CSV PNG Link",
        "All numbers 6 rows",
        "Why 13 words",
        "Other products",
        "How it was measured 11 words The exercise: Measure products",
        "What limits it 1 point",
        "Try it yourself 4 lines",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_views_have_a_switch_only_where_there_are_several(build: Build) -> None:
    site = build([answer(), answer("one", views=[view("the only one")])])
    made = Elements(site.make())
    assert "the only one" not in made.text
    assert made.values("name", "input").count("alignment-view") == 2
    assert "one-view" not in made.values("name", "input")
    assert "nth-of-type(2)" in site.page.read_text(encoding="utf-8")


def test_a_matrix_is_a_table_with_its_signs(build: Build) -> None:
    site = build([answer(views=[view(svg=None, table=matrix())])])
    made = Elements(site.make())
    assert "✗ lost" in made.words
    assert "no key" in made.values("title", "td")
    assert [kind for kind in made.values("class", "td") if kind in ("good", "bad")][:3] == [
        "bad", "good", "bad",
    ]  # fmt: skip
    assert "png" not in made.values("data-do")


def test_cells(build: Build) -> None:
    made = Elements(build().make())
    cells = made.words
    for shown in ("1.23", "4.20 × 10⁻⁶", "10,240", "–", "▲ faster", "▼ slower", "? cannot tell",
                  "= the same within 2 %", "+7.5 % [+6.6, +8.7]"):  # fmt: skip
        assert shown in cells
    assert "1.234567" not in cells
    assert "1.075" in made.values("data-value", "td")
    assert "5 of 20 rounds were left" in made.values("title", "td")


def test_only_columns_of_numbers_are_set_to_the_right() -> None:
    table = Table(
        columns=[Column(name="a"), Column(name="b"), Column(name="c")],
        rows=[[1, None, "x"], [2.5, None, 3]],
    )
    assert page.grid(table).numeric == [True, False, False]


def test_an_answer_with_next_to_nothing(build: Build) -> None:
    bare = answer(so="", why=[], method=[], caveats=[], snippet=None, records=[], folded=[],
                  views=[view()], table=Table(columns=[], rows=[]))  # fmt: skip
    text = Elements(build([bare]).make()).words
    for absent in ("So:", "All numbers", "What limits it", "Try it"):
        assert absent not in text


# ---- what is missing -----------------------------------------------------------------------------


def test_reasons_that_differ_in_numbers_alone_are_one() -> None:
    missing = [
        Missing(what=f"n {n}", status=Status.SKIPPED, reason=f"20 rounds would take {s} s, {m}")
        for n, s, m in [(8, 39, "over 8 s"), (9, 102.5, "over 8 s"), (10, 41, "over 8 s")]
    ]
    missing.append(Missing(what="n 11", status=Status.SKIPPED, reason="no kernel for cuda_1 2.1.0"))
    missing.append(Missing(what="n 12", status=Status.SKIPPED, reason="no kernel for cuda_1 2.1.1"))
    missing.append(Missing(what="seed 1", status=Status.DIVERGED, reason="diverged in step 3"))
    seen = page.gaps(missing, ["cpu"])
    assert [(each.reason, each.what) for each in seen] == [
        ("20 rounds would take 39 to 102.5 s, over 8 s", ["n 8", "n 9", "n 10"]),
        ("no kernel for cuda_1 2.1.0", ["n 11"]),  # versions are no counts
        ("no kernel for cuda_1 2.1.1", ["n 12"]),
        ("in step 3", ["seed 1"]),  # its status stands before it
    ]


@given(st.lists(st.text("ab1. 2,", max_size=12), max_size=5))
def test_any_reasons_can_be_grouped(reasons: list[str]) -> None:
    missing = [Missing(what=r, status=Status.SKIPPED, reason=r) for r in reasons]
    seen = page.gaps(missing, [])
    assert sorted(what for each in seen for what in each.what) == sorted(reasons)


def test_gaps_are_grouped_by_reason_and_name_a_device_where_there_are_several(build: Build) -> None:
    reason = "needs a GPU, found none"
    missing = [
        Missing(what=f"cpu, n {n}", status=Status.OUT_OF_MEMORY, reason=reason) for n in range(20)
    ]
    text = Elements(build([answer(missing=missing)]).make()).words
    assert text.count(reason) == 1
    assert "out of memory" in text
    assert "n 0; n 1; n 2" in text
    assert "cpu," not in text
    site = build([answer(missing=missing)], [hardware(), hardware("gpu", [])])
    assert "cpu, n 0; cpu, n 1" in Elements(site.make()).words


# ---- one file ------------------------------------------------------------------------------------


def test_structure(two: Elements) -> None:
    names = Counter(two.names())
    assert names["h1"] == names["main"] == names["header"] == names["select"] == 1
    levels = [int(name[1]) for name in two.names() if name in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert names["svg"] == 5
    assert names["table"] == 3
    assert set(two.values("scope", "th")) == {"col", "row"}
    assert two.values("lang", "html") == ["en"]
    assert two.values("href", "a")[0] == "#answers"


def test_ids_are_unique_and_every_reference_has_its_target(two: Elements) -> None:
    ids = two.values("id")
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    inside = [link[1:] for link in two.values("href") if link.startswith("#")]
    named = [
        word
        for attribute in ("aria-labelledby", "aria-describedby", "for")
        for value in two.values(attribute)
        for word in value.split()
    ]
    clipped = [value[5:-1] for value in two.values("clip-path")]
    assert set(inside + named + clipped + two.values("value", "option")) <= set(ids)


def test_one_script_of_our_own_runs_and_nothing_is_loaded(two: Elements) -> None:
    assert not {"iframe", "object", "embed", "base", "form", "img"} & set(two.names())
    handlers = [key for _, attributes in two.found for key in attributes if key.startswith("on")]
    assert handlers == []
    assert two.values("src") == []
    assert [link for link in two.values("href", "link") if not link.startswith("data:")] == []
    assert len(two.scripts) == 2
    program = (REPORT / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(two.scripts[1].encode()).digest()).decode()
    policy = two.values("content", "meta")[2]
    assert two.scripts[1] == program
    for rule in ("default-src 'none'", f"script-src 'sha256-{digest}'", "base-uri 'none'",
                 "form-action 'none'"):  # fmt: skip
        assert rule in policy


def test_the_script_is_small_and_cannot_end_early() -> None:
    program = (REPORT / "page.js").read_text(encoding="utf-8")
    assert len(program.encode()) <= 6000
    assert "</" not in program
    assert "<!--" not in program


def test_every_table_is_in_the_page(build: Build) -> None:
    made = Elements(build([answer(), answer("crossover")]).make())
    tables = json.loads(made.scripts[0])
    assert tables.keys() == {"alignment", "crossover"}
    for packed in tables.values():
        assert gzip.decompress(base64.b64decode(packed)).decode() == "n,µs\n1024,1.5\n"


def test_hostile_strings_are_text(two: Elements) -> None:
    for word in HOSTILE_WORDS:
        assert two.text.count(word) > 5
    assert any(HOSTILE in label for label in two.values("aria-label"))


def test_links_are_relative_paths_that_exist(build: Build) -> None:
    site = build([answer(), hostile_answer()])
    files = [link for link in Elements(site.make()).values("href", "a") if link[0] != "#"]
    assert len(files) == 2 + 2 + 2 + 3
    for link in files:
        assert ":" not in link
        assert not link.startswith("/")
        assert (site.results / unquote(link)).is_file()


def test_every_record_stands_once_under_its_study(tmp_path: Path) -> None:
    folders = ["r/records", "lab/results/records", "x/run/results/records",
               "y/run/results/records", "references/old"]  # fmt: skip
    records = [f"{folder}/a/device-cpu/n-1.json" for folder in folders]
    both = [answer(records=records), answer(records=records[:1])]
    probed = [Path(f"{folder}/hardware/device-cpu.json") for folder in folders[2:4]]
    labelled = [hardware("cpu (run fedcba)"), hardware("cpu (run abcdef)")]
    here = Path("r/report.html")
    seen = page.by_study(both, here, page.named_runs(probed, labelled, here))
    assert {name: [text for _, text in links] for name, links in seen.items()} == {
        name: ["device-cpu/n-1.json"]
        for name in ("a", "a (lab)", "a (run abcdef)", "a (run fedcba)", "a (old)")
    }


# ---- figures -------------------------------------------------------------------------------------


def test_figures_follow_the_page(build: Build) -> None:
    text = build().make()
    shown = text[text.index("<svg") : text.index("</svg>")]
    for colour, variable in page.THEME.items():
        assert colour not in shown
        if colour not in (figure.BLUE, figure.PURPLE):  # of lines
            assert variable in shown
    assert "<style" not in shown  # matplotlib's would style the whole page
    assert re.search(r"<title>1025 ÷1: \+7.5 %, slower</title>", shown)


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_of_figures_are_read_in_light_and_in_dark() -> None:
    style = (REPORT / "page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    for block in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#\w{6})", block))
        for name in ("ink", "muted", "blue", "good", "bad", "purple", "link"):
            for ground in ("card", "paper"):
                assert contrast(colours[name], colours[ground]) >= 4.5, name
        for name in ("ink", "muted"):
            assert contrast(colours[name], colours["band"]) >= 4.5, name


def test_a_figure_is_as_short_as_draws_the_same() -> None:
    given = view(
        svg='<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">\n <g id="figure_1">\n'
        '<g id="patch_1"> <path d="M 0 1.23456 z" style="fill: none"/> </g>'
        '<g id="mark"><title>its value</title><circle r="1.98765"/></g>'
        '<defs><clipPath id="p1"><rect/></clipPath></defs><g clip-path="url(#p1)"><path d="M"/></g>'
        "</g></svg>"
    )
    text = page.inline(given, "q")
    assert Elements(text).names() == [
        "svg", "desc", "g", "title", "circle", "defs", "clippath", "rect", "g", "path",
    ]  # fmt: skip
    assert Elements(text).values("id") == ["q-text", "q-p1"]
    assert 'r="1.99"' in text
    assert "\n" not in text
    assert len(page.inline(view(), "q")) < 0.75 * len(drawing())


def test_a_figure_brings_nothing_but_its_drawing() -> None:
    given = view(
        alternative="A & B",
        svg='<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'viewBox="0 0 9 9" onload="alert(1)" ONCLICK="alert(1)"><script>alert(1)</script>'
        "<style>*{color:red}</style>"
        '<foreignObject/><a href="https://example.org"/><image xlink:href="https://example.org/x"/>'
        '<rect id="r" style="fill: URL(https://example.org/x)"/><use xlink:href="#r"/>'
        "<text>a<tspan>b</tspan></text></svg>",
    )
    text = page.inline(given, "q")
    assert Elements(text).names() == ["svg", "desc", "rect", "use", "text", "tspan"]
    assert "example.org" not in text
    assert "alert" not in text
    assert 'href="#q-r"' in text
    assert "A &amp; B" in text


# ---- what is broken ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("answers/alignment.json", None, "cannot be read"),
        ("answers/alignment.json", '{"question": "al', "not a whole answer"),
        ("answers/alignment.json", "{}", "not a whole answer"),
        ("tables/alignment.csv", None, "cannot be read"),
        ("records/hardware/device-cpu.json", None, "cannot be read"),
        ("records/hardware/device-cpu.json", '{"format": 1', "not a whole JSON file"),
        ("records/hardware/device-cpu.json", '{"format": 7}', "format 7"),
    ],
)
def test_broken_input_is_one_sentence(
    build: Build, file: str, content: str | None, said: str
) -> None:
    site = build()
    path = site.results / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SystemExit) as stopped:
        site.make()
    message = str(stopped.value)
    assert message.startswith(str(path))
    assert said in message
    assert "\n" not in message
    assert not site.page.exists()


@pytest.mark.parametrize(
    ("svg", "said"),
    [("<svg", "not a whole SVG"), ("<svg/>", "not an SVG with a viewBox"), ("<p/>", "not an SVG")],
)
def test_a_figure_that_is_none_is_refused(build: Build, svg: str, said: str) -> None:
    with pytest.raises(SystemExit, match=f"alignment-view-1: its figure is {said}"):
        build([answer(views=[view(svg=svg)])]).make()


def test_bytes_that_are_no_text_and_a_page_that_cannot_be_written(build: Build) -> None:
    site = build()
    site.page.mkdir()
    with pytest.raises(SystemExit, match=r"report\.html: cannot be written"):
        site.make()
    (site.results / "answers/alignment.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SystemExit, match=r"alignment\.json: not a whole answer"):
        site.make()


def test_a_table_of_uneven_rows_is_refused(build: Build) -> None:
    uneven = Table(columns=[Column(name="n")], rows=[[1, 2]])
    for changes in ({"table": uneven}, {"folded": [view(svg=None, table=uneven)]}):
        with pytest.raises(SystemExit, match=r"alignment\.json: a row of a table has not 1 cells"):
            build([answer(**changes)]).make()


def test_answers_to_other_questions_are_refused(build: Build) -> None:
    site = build()
    site.answers = [answer("crossover")]
    given = [part.replace("answers/crossover", "answers/alignment") for part in site.arguments()]
    with pytest.raises(SystemExit, match="asked were crossover, but the answers are to alignment"):
        page.main(given)


@pytest.mark.parametrize(
    ("text", "said"), [('{"preset": "quick"}', "command: Field required"), ("{a", "not YAML")]
)
def test_about_is_checked(
    build: Build, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    given = build().arguments()
    given[given.index("--about") + 1] = text
    with pytest.raises(SystemExit):
        page.main(given)
    assert said in capsys.readouterr().err


# ---- captions of Snakemake's own report ----------------------------------------------------------


@pytest.mark.parametrize("caption", ["answer", "card", "page", "workflow"])
@pytest.mark.parametrize("categories", [["0 Answers", "1 This machine"], []])
@pytest.mark.parametrize(
    "text",
    [
        "Does alignment matter?",
        "- *a* `b` |c| d_ \\ ::",
        "1. x\n====\n\n.. raw:: html\n   <script>alert(1)</script>",
        ":role:`x` [1]_ __ http://x",
        ".. note::",
        ">>> x",
    ],
)
def test_captions_are_valid_rest(caption: str, categories: list[str], text: str) -> None:
    """Rendered as Snakemake does it; reST errors would be printed into its report."""
    source = (REPORT / f"{caption}.rst").read_text(encoding="utf-8")
    source += "".join(f"\n\n.. _{name}: javascript:show('{name}')\n" for name in categories)
    config = {"questions": {"q": {"title": text, "sentence": text}}}
    rendered = (
        Environment(trim_blocks=True, lstrip_blocks=True)
        .from_string(source)
        .render(
            snakemake=SimpleNamespace(config=config, wildcards=SimpleNamespace(question="q")),
            categories={_Category(name): {} for name in categories},
        )
    )
    body = publish_parts(rendered, writer="html")["body"]
    assert "system-message" not in body
    links = bool(categories) and caption not in ("card", "page")
    assert ("href" in body) == links or "http://x" in text
    if caption == "answer":
        assert Elements(body).text.count(" ".join(text.split())) == 2


class _Category(str):
    """A key with a name, as Snakemake's categories are."""

    @property
    def name(self) -> str:
        return str(self)
