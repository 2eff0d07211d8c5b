"""The page: what stands on it, and that nothing in a record can break it. All data are made up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import page
import pytest
from assay.answer import figure
from assay.answer.question import (
    Answer,
    Circumstances,
    Column,
    Disturbed,
    Missing,
    Picture,
    Snippet,
    Table,
)
from assay.record import Conditions, Provenance, Record, Status, write
from docutils.core import publish_parts
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

REPORT = Path(__file__).resolve().parent.parent / "workflow/report"
COMMAND = "snakemake --cores all --resources gpu=1"
LINES = [
    "Processor: Synthetic CPU 9000, 2 cores, 2 threads.",
    "Memory: 8 GB; bus width not exposed by this virtual machine.",
    "Caches: 32 KiB L1d, 2 MiB L2, 33 MiB L3.",
    "GPU: none that torch can use.",
]
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> {{ 7*7 }} </title></style>'
HOSTILE_WORDS = (HOSTILE, "w" * 400, "\u202eright to left \u05e9\u05dc\u05d5\u05dd", "&amp; ]]>")


def hardware(**changes: Any) -> Record:
    """A hardware record that no machine wrote."""
    provenance = {
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": True,
        "versions": {"python": "3.12.0", "torch": "2.99.0"},
        "machine_id": "feedfacecafe",
        "started": "2001-02-03T04:05:06+00:00",
        "duration_s": 1.0,
    }
    return Record(
        study="hardware",
        axes={"device": "cpu"},
        status=Status.OK,
        reason=None,
        settings={},
        trials=[],
        conditions=Conditions(
            threads_asked=2, threads_used=2, contention={"delay_share": 0.0031}, gpu=None
        ),
        provenance=Provenance(**provenance | changes),
    )


def circumstances(**changes: Any) -> Circumstances:
    """Circumstances that never were."""
    values = {
        "first": "2001-02-03T04:05:06+00:00",
        "last": "2001-02-03T04:05:06+00:00",
        "commits": ["01234567, with local changes"],
        "torch": ["2.99.0"],
        "threads": [2],
        "machines": ["feedfacecafe"],
        "delay_share": 0.0031,
        "rounds": 45,
        "rounds_void": 2,
        "measurements": {"records/a.json": 3},
        "disturbed": [],
    }
    return Circumstances.model_validate(values | changes)


def answer(question: str = "alignment", **changes: Any) -> Answer:
    """An answer that nobody measured."""
    values = {
        "question": question,
        "title": "Does alignment matter?",
        "exercise": "Measure products of 1024, 1025, 1026, 1028 and 1032.",
        "sentence": "Synthetic: in bfloat16 a size that is no multiple of 16 costs 21 to 36 %, "
        "in float32 it costs nothing that could be told from noise.",
        "findings": [
            "bfloat16, n = 1025: 1.36 times the time per FLOP of n = 1024, 95 %: 1.33–1.39.",
            "float32, n = 1025: 1.01 times, 0.99–1.02: the same within 2 %.",
        ],
        "numbers": {"ratio": 1.36},
        "method": [
            "Rounds of every arm in random order, with a twin of the anchor beside it.",
            "45 rounds, of which 2 were void; one process.",
        ],
        "caveats": ["One process: how far processes differ was not measured."],
        "missing": [],
        "notices": [],
        "picture": Picture(
            title="Time per FLOP against size, relative to n = 1024",
            alternative="Two panels. In bfloat16 odd sizes lie a third above 1; in float32 every "
            "size lies at 1.",
        ),
        "table": Table(
            columns=[
                Column(name="device, dtype"),
                Column(name="n"),
                Column(name="time per product", unit="ms", digits=3),
                Column(name="ratio", unit="to n = 1024", digits=3),
                Column(name="95 % interval"),
                Column(name="verdict"),
            ],
            rows=[
                ["cpu, bfloat16", 1024, 1.234567, 1.0, "", None],
                ["cpu, bfloat16", 1025, 1.7123, 1.3623, "1.33–1.39", "slower"],
                ["cpu, bfloat16", 1040, 1.2345, 0.9421, "0.93–0.95", "faster"],
                ["cpu, float32", 1025, 4.2e-6, 1.0098, "0.99–1.02", "the same"],
                ["cpu, float16", 1025, None, 1.21, "0.88–1.50", "cannot tell"],
            ],
        ),
        "snippet": Snippet(
            text="Without warm-up the first call is measured; with it, the product.",
            code="import torch, time\n\nx = torch.randn(1024, 1024)\nx @ x  # warm up\n",
        ),
        "circumstances": circumstances(),
        "records": [f"records/{question}/device-cpu/n-{n}.json" for n in (1024, 1025)],
    }
    return Answer.model_validate(values | changes)


def hostile_answer(question: str = "hostile") -> Answer:
    """An answer whose every string tries to be something else."""
    bad = " ".join(HOSTILE_WORDS)
    return answer(
        question,
        title=bad,
        exercise=bad,
        sentence=bad,
        findings=[*HOSTILE_WORDS],
        method=[bad],
        caveats=[bad],
        missing=[
            Missing(what=f"{bad} {n}", status=Status.UNAVAILABLE, reason=bad) for n in range(9)
        ],
        picture=Picture(title=bad, alternative=bad),
        table=Table(
            columns=[Column(name=bad, unit=bad), Column(name=bad, unit=bad, digits=3)],
            rows=[[bad, 1.0], [bad, bad], *([word, 2.0] for word in HOSTILE_WORDS)],
        ),
        snippet=Snippet(text=bad, code=bad),
        records=["javascript:alert(1)", 'a "b" <c>/d e.json', "records/ü?#%41.json"],
    )


class Site:
    """A results folder with made-up answers and the page made from them."""

    def __init__(self, results: Path, answers: list[Answer], records: list[Record]) -> None:
        self.results, self.answers = results, answers
        self.page = results / "report.html"
        self.hardware = [results / f"records/hardware/{i}.json" for i in range(len(records))]
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
        self._write(self.results / f"tables/{each.question}.csv", "n\n1024\n")
        drawing, panels = figure.panels(1, 2, sharey=True)
        for axes, colour in zip(panels[0], figure.CYCLE, strict=False):
            axes.axhspan(0.98, 1.02, color=figure.BAND)
            axes.axhline(1, color=figure.MUTED, linewidth=1)
            figure.interval(
                axes, [0, 1, 2], [1, 1.3, 1.1], [0.9, 1.2, 1], [1.1, 1.4, 1.2], color=colour
            )
            axes.set(title="cpu, bfloat16", xlabel="n", ylabel="time per FLOP, relative")
        path = self.results / f"figures/{each.question}.svg"
        figure.save(drawing, path, each.picture.alternative)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def arguments(self) -> list[str]:
        names = [each.question for each in self.answers]
        about = {"preset": "quick", "command": COMMAND, "questions": names}
        figures = [str(self.results / f"figures/{name}.svg") for name in names]
        answers = [str(self.results / f"answers/{name}.json") for name in names]
        given = ["--output", str(self.page), "--about", json.dumps(about)]
        return [
            *given,
            "--hardware",
            *map(str, self.hardware),
            "--figures",
            *figures,
            "--",
            *answers,
        ]

    def make(self, lines: list[str]) -> str:
        """Make the page, with these lines for the machine."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(page.hardware, "four_lines", lambda records: lines)
            page.main(self.arguments())
        return self.page.read_text(encoding="utf-8")


Build = Callable[..., Site]


class Elements(HTMLParser):
    """Every element of a page: its name and its attributes, and the text outside of styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside != "style":
            self.text += data

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
    return Elements(site.make([*LINES[:3], HOSTILE]))


def test_first_screen_says_what_how_and_when(build: Build) -> None:
    text = " ".join(Elements(build().make(LINES)).text.split())
    first = text[: text.index("Exercise")]
    for line in LINES:
        assert line in first
    for fact in ("quick", "3 February 2001", "01234567, with local changes", "2.99.0", "0.3 %"):
        assert fact in first
    assert "Synthetic: in bfloat16 a size that is no multiple of 16" in first
    assert COMMAND in first


def test_the_machine_speaks_in_four_lines(build: Build) -> None:
    site = build()
    page.main(site.arguments())
    text = site.page.read_text(encoding="utf-8")
    machine = text[text.index('class="machine"') : text.index("</div>")]
    assert machine.count("<p ") == 4


def test_machine_card_is_one_line() -> None:
    known = page.facts("quick", [circumstances()])
    card = page.machine_card([*LINES, "two\nlines"], known, ["feedfacecafe"])
    assert "\n" not in card
    assert "machine feedface" in card
    assert "torch 2.99.0" in card


def test_days_and_other_programs_of_several_answers() -> None:
    later = circumstances(last="2001-02-05T00:30:00+02:00")
    assert page.measured([later, circumstances()]) == "3 February 2001 to 4 February 2001"
    vague = circumstances(first="long ago", last="long ago")
    assert page.measured([vague]) == "long ago"
    assert page.others([circumstances(delay_share=None)]).startswith("unknown")
    lost = circumstances(disturbed=[disturbed("n 8")])
    assert page.others([lost]).startswith("seen: 1 measurement given up")
    assert "2 of 45 rounds void" in page.others([circumstances()])


def disturbed(what: str, lost: bool = True, **neighbours: float) -> Disturbed:
    """A measurement beside which something ran."""
    return Disturbed(record="records/a.json", what=what, lost=lost, neighbours=neighbours)


def test_what_other_programs_cost_is_one_line_with_what_to_do():
    seen = circumstances(
        measurements={"records/a.json": 3, "records/b.json": 255},
        disturbed=[disturbed("n 8", firefox=0.2, snakemake=0.1), disturbed("n 9", firefox=0.6)],
    )
    (said,) = page.disturbance([seen])
    assert said == (
        "2 of 258 measurements lost to other programs (firefox took 0.6 of a core, snakemake took "
        "0.1 of a core): close them and run `make again`, or `snakemake … --forcerun $(python "
        "workflow/again.py --list)`."
    )


def test_a_record_that_several_questions_read_counts_once():
    both = [circumstances(disturbed=[disturbed("n 8", dd=1.5)]) for _ in range(2)]
    (said,) = page.disturbance(both)
    assert said.startswith("1 of 3 measurements lost to other programs (dd took 1.5 cores): close")


def test_what_was_judged_beside_a_neighbour_is_told_and_not_called_lost():
    (said,) = page.disturbance([circumstances(disturbed=[disturbed("n 8", lost=False, dd=0.5)])])
    assert said == (
        "1 of 3 measurements made beside them, with wider intervals (dd took 0.5 of a core)."
    )


def test_where_nothing_disturbed_nothing_is_said():
    assert page.disturbance([circumstances()]) == []


def test_reasons_that_differ_in_numbers_alone_are_one():
    missing = [
        Missing(what=f"n {n}", status=Status.SKIPPED, reason=f"20 rounds would take {s} s, {m}")
        for n, s, m in [(8, 39, "over 8 s"), (9, 102.5, "over 8 s"), (10, 41, "over 8 s")]
    ]
    missing.append(Missing(what="n 11", status=Status.SKIPPED, reason="no kernel for cuda_1 2.1.0"))
    missing.append(Missing(what="n 12", status=Status.SKIPPED, reason="no kernel for cuda_1 2.1.1"))
    seen = page.gaps(missing)
    assert [(each.reason, each.what) for each in seen] == [
        ("20 rounds would take 39 to 102.5 s, over 8 s", ["n 8", "n 9", "n 10"]),
        ("no kernel for cuda_1 2.1.0", ["n 11"]),  # versions are no counts
        ("no kernel for cuda_1 2.1.1", ["n 12"]),
    ]


@given(st.lists(st.text("ab1. 2,", max_size=12), max_size=5))
def test_any_reasons_can_be_grouped(reasons):
    missing = [Missing(what=r, status=Status.SKIPPED, reason=r) for r in reasons]
    seen = page.gaps(missing)
    assert sorted(what for each in seen for what in each.what) == sorted(reasons)


def test_a_notice_stands_on_the_first_screen_and_at_its_answer(build: Build) -> None:
    text = Elements(build([answer(notices=[HOSTILE])]).make(LINES)).text
    assert text.count(HOSTILE) == 2
    assert text.index(HOSTILE) < text.index("The short answers")


def test_structure(two: Elements) -> None:
    names = Counter(two.names())
    assert names["h1"] == names["main"] == names["header"] == names["nav"] == names["footer"] == 1
    levels = [int(name[1]) for name in two.names() if name in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert names["caption"] == names["table"] == names["svg"] == 2
    assert set(two.values("scope", "th")) == {"col", "row"}
    assert two.values("lang", "html") == ["en"]
    assert two.values("href", "a")[0] == "#the-answers"


def test_ids_are_unique_and_every_reference_has_its_target(two: Elements) -> None:
    ids = two.values("id")
    assert [name for name, count in Counter(ids).items() if count > 1] == []
    inside = [link[1:] for link in two.values("href") if link.startswith("#")]
    named = [
        word
        for attribute in ("aria-labelledby", "aria-describedby", "headers")
        for value in two.values(attribute)
        for word in value.split()
    ]
    clipped = [value[5:-1] for value in two.values("clip-path")]
    assert clipped
    assert set(inside + named + clipped) <= set(ids)


def test_nothing_runs_and_nothing_is_loaded(two: Elements) -> None:
    assert not {"script", "iframe", "object", "embed", "base"} & set(two.names())
    handlers = [key for _, attributes in two.found for key in attributes if key.startswith("on")]
    assert handlers == []
    assert two.values("src") == []
    assert [link for link in two.values("href", "link") if not link.startswith("data:")] == []
    assert "default-src 'none'" in two.values("content", "meta")[2]


def test_hostile_strings_are_text(two: Elements) -> None:
    for word in HOSTILE_WORDS:
        assert two.text.count(word) > 5
    assert HOSTILE in two.values("aria-label")[-1]


def test_links_are_relative_paths_that_exist(build: Build) -> None:
    site = build([answer(), hostile_answer()])
    files = [link for link in Elements(site.make(LINES)).values("href", "a") if link[0] != "#"]
    assert len(files) == 3 + 2 + 3 + 3
    for link in files:
        assert ":" not in link
        assert not link.startswith("/")
        assert (site.results / unquote(link)).is_file()


def test_size(build: Build) -> None:
    assert len(build([answer(), hostile_answer()]).make(LINES).encode()) < 5e6


def test_figures_follow_the_page(build: Build) -> None:
    text = build().make(LINES)
    drawing = text[text.index("<svg") : text.index("</svg>")]
    for colour, variable in page.THEME.items():
        assert colour not in drawing
        assert variable in drawing
    assert figure.RED in drawing
    assert "<style" not in drawing  # matplotlib's would style the whole page


def test_a_figure_brings_nothing_but_its_drawing(tmp_path: Path) -> None:
    path = tmp_path / "q.svg"
    path.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'viewBox="0 0 9 9" onload="alert(1)"><script>alert(1)</script><style>*{color:red}</style>'
        '<foreignObject/><a href="https://example.org"/><image xlink:href="https://example.org/x"/>'
        '<rect id="r" style="fill: url(https://example.org/x)"/><use xlink:href="#r"/></svg>'
    )
    text = page.inline(path, "q", Picture(title="T <b>", alternative="A & B"))
    assert Elements(text).names() == ["svg", "title", "desc", "image", "rect", "use"]
    assert "example.org" not in text
    assert "alert" not in text
    assert 'href="#q-r"' in text
    assert "T &lt;b&gt;" in text


def test_cells(build: Build) -> None:
    cells = " ".join(Elements(build().make(LINES)).text.split())
    for shown in ("1.23", "1.36", "4.20 × 10", "1024", "—", "▲ faster", "▼ slower", "= the same"):
        assert shown in cells
    assert "1.234567" not in cells
    assert "ms" in cells


def test_gaps_are_grouped_by_reason(build: Build) -> None:
    reason = "needs a GPU, found none"
    missing = [
        Missing(what=f"gpu, n {n}", status=Status.OUT_OF_MEMORY, reason=reason) for n in range(20)
    ]
    text = Elements(build([answer(missing=missing)]).make(LINES)).text
    assert text.count(reason) == 1
    assert "out of memory" in text
    assert "and 14 more" in text
    assert all(f"gpu, n {n}" in text for n in range(20))


def test_an_answer_with_next_to_nothing(build: Build) -> None:
    bare = answer(
        findings=[],
        method=[],
        caveats=[],
        snippet=None,
        records=[],
        table=Table(columns=[], rows=[]),
    )
    text = Elements(build([bare]).make(LINES)).text
    assert "No row of the table could be filled." in text
    assert "Everything asked for was measured." in text


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("answers/alignment.json", None, "cannot be read"),
        ("answers/alignment.json", '{"question": "al', "not a whole answer"),
        ("answers/alignment.json", "{}", "not a whole answer"),
        ("figures/alignment.svg", None, "cannot be read"),
        ("figures/alignment.svg", "<svg", "not a whole SVG file"),
        ("figures/alignment.svg", "<svg/>", "not an SVG file with a viewBox"),
        ("records/hardware/0.json", None, "cannot be read"),
        ("records/hardware/0.json", '{"format": 1', "not a whole JSON file"),
        ("records/hardware/0.json", '{"format": 7}', "format 7"),
    ],
)
def test_broken_input_is_one_sentence(
    build: Build, file: str, content: str | None, said: str
) -> None:
    site = build()
    path = site.results / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SystemExit) as stopped:
        site.make(LINES)
    message = str(stopped.value)
    assert message.startswith(str(path))
    assert said in message
    assert "\n" not in message
    assert not site.page.exists()


def test_bytes_that_are_no_text_and_a_page_that_cannot_be_written(build: Build) -> None:
    site = build()
    site.page.mkdir()
    with pytest.raises(SystemExit, match=r"report\.html: cannot be written"):
        site.make(LINES)
    (site.results / "answers/alignment.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SystemExit, match=r"alignment\.json: not a whole answer"):
        site.make(LINES)


def test_a_table_of_uneven_rows_is_refused(build: Build) -> None:
    uneven = Table(columns=[Column(name="n")], rows=[[1, 2]])
    with pytest.raises(SystemExit, match=r"alignment\.json: a row of its table has not 1 cells"):
        build([answer(table=uneven)]).make(LINES)


def test_answers_to_other_questions_are_refused(build: Build) -> None:
    site = build()
    site.answers = [answer("crossover")]
    given = [part.replace("answers/crossover", "answers/alignment") for part in site.arguments()]
    with pytest.raises(SystemExit, match="asked were crossover, but the answers are to alignment"):
        page.main(given)


def test_an_answer_without_its_figure_is_refused(build: Build) -> None:
    site = build()
    given = [part.replace("alignment.svg", "other.svg") for part in site.arguments()]
    with pytest.raises(SystemExit, match=r"alignment\.svg: the figure of this answer"):
        page.main(given)


def test_about_is_checked(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    given = build().arguments()
    given[given.index("--about") + 1] = '{"preset": "quick"}'
    with pytest.raises(SystemExit):
        page.main(given)
    assert "command: Field required" in capsys.readouterr().err


@pytest.mark.parametrize("caption", ["answer", "page", "workflow"])
@pytest.mark.parametrize("categories", [["Report"], []])
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
    config = {"questions": {"q": {"title": text, "exercise": text}}}
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
    if caption == "answer":
        assert Elements(body).text.count(" ".join(text.split())) == 2


class _Category(str):
    """A key with a name, as Snakemake's categories are."""

    @property
    def name(self) -> str:
        return str(self)
