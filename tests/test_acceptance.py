"""What a reader meets: the ten rows that the page was accepted by, on the page of a whole run.

The run is that of the tiny workflow, or the one whose results folder TORCH_ASSAY_RESULTS names.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from assay.answer import model
from assay.answer.model import Answer, Cell, State, Table
from conftest import Workflow
from gallery import CHROMIUM, DRIVER, MISSING, View, chromium, look, restyle
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from test_browser import CONTRASTS, click, seen, unfold, waited

pytestmark = [
    pytest.mark.browser,
    pytest.mark.workflow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING),
]

BYTES = 1_500_000
WIDE, NARROW = View("light", 1280, "light"), View("phone", 360, "light")
SCREEN, PHONE_SCREEN, TALL = 900, 800, 1600
TITLE = "torch-assay: measured answers"
WORD = re.compile(r"\w")
MARGIN = re.compile(r"the same within ([\d.]+) %")
ENDS = re.compile(r"% \[([^],]+), ([^]]+)\]$")
UNSAID = re.compile(
    r"cannot (be )?(tell|told|say|said)|disturbed|diverged|unknown|out of memory|skipped|refused"
    r"|no(t|thing|ne)?\b|without|lost|missing|only|needs|never|failed|in part",
    re.IGNORECASE,
)

# The text of every node that is shown, with where it stands.
SHOWN = """
const walker = document.createTreeWalker(arguments[0], NodeFilter.SHOW_TEXT), found = [];
while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || parent.closest('title, desc, script, style, option')) continue;
    if (!parent.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNode(node);
    const box = range.getBoundingClientRect();
    if (box.right > 0 && box.width > 1) found.push([node.data, box.top + scrollY]);
}
return found;
"""

# Texts of each figure in view: their boxes, without the leading above and below the letters.
BOXES = """
return [...document.querySelectorAll('figure svg')].filter(e => e.getClientRects().length).map(svg => {
    const {left, right, top, bottom} = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].filter(e => e.textContent.trim());
    return {name: svg.closest('figure').id, bounds: [left, right, top, bottom], texts: texts.map(e => {
        const box = e.getBoundingClientRect(), cut = 0.2 * box.height;
        const size = parseFloat(getComputedStyle(e).fontSize) * svg.getScreenCTM().a;
        return [e.textContent, size, box.left, box.right, box.top + cut, box.bottom - cut];
    })};
});
"""  # noqa: E501


@dataclass(frozen=True)
class Results:
    """The results folder of a run."""

    folder: Path

    @property
    def page(self) -> Path:
        return self.folder / "report.html"

    @property
    def answers(self) -> list[Answer]:
        return [model.read(path) for path in sorted((self.folder / "answers").glob("*.json"))]

    @property
    def several(self) -> bool:
        """Whether there are several devices or machines, which gives texts more room."""
        probed = model.read(self.folder / "answers/hardware.json").records
        return len(probed) > 1


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Results:
    if given := os.environ.get("TORCH_ASSAY_RESULTS"):
        return Results(Path(given).resolve())
    finished: Workflow = request.getfixturevalue("finished")
    return Results(finished.folder / "results")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser: Chrome, results: Results) -> Chrome:
    look(browser, WIDE, SCREEN)
    browser.get("about:blank")
    browser.get(results.page.as_uri())
    return browser


def show_everything(browser: Chrome) -> None:
    """Open what is folded, and show all views of every card."""
    unfold(browser)
    restyle(browser, ".views > figure { display: block !important }")


def words(texts: list[list[Any]]) -> int:
    """Words among texts, signs and dashes apart."""
    return sum(bool(WORD.search(word)) for text, *_ in texts for word in text.split())


def whole(opened: Chrome) -> Any:
    return opened.find_element(By.TAG_NAME, "body")


# ---- 1: size, and Snakemake's own report ---------------------------------------------------------


def test_the_page_opens_as_an_address_of_data(
    browser: Chrome, results: Results, tmp_path: Path
) -> None:
    """So does Snakemake's report show it; Chromium opens such addresses up to 2 MiB."""
    text = results.page.read_bytes()
    assert len(text) <= BYTES
    frame = f"data:text/html;charset=utf8;base64,{base64.b64encode(text).decode()}"
    outer = tmp_path / "outer.html"
    outer.write_text(f'<!DOCTYPE html><title>outer</title><iframe src="{frame}"></iframe>')
    browser.get(outer.as_uri())
    browser.switch_to.frame(0)
    assert browser.execute_script("return document.title") == TITLE
    assert browser.execute_script("return document.documentElement.className") == "js"
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    name = results.answers[0].question
    click(browser, f"#{name} [data-do=csv]")
    waited((tmp_path / f"{name}.csv").is_file)
    browser.switch_to.default_content()


@pytest.mark.skipif("TORCH_ASSAY_RESULTS" in os.environ, reason="needs the workflow of the run")
def test_snakemakes_report_shows_the_page(
    browser: Chrome, finished: Workflow, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    done = finished.run("--report", str(report))
    assert done.returncode == 0, done.stdout
    assert "System Message" not in report.read_text(encoding="utf-8")
    look(browser, WIDE, SCREEN)
    browser.get(report.as_uri())
    menu = WebDriverWait(browser, 10).until(
        lambda b: any("0 Answers" in e.text for e in b.find_elements(By.TAG_NAME, "li"))
    )
    assert menu
    categories = browser.execute_script("return Object.keys(categories).sort()")
    assert [name[:1] for name in categories] == ["0", "1", "2", "3", "4"]
    figures = browser.execute_script(
        "return Object.values(results).filter(e => e.mime_type.includes('svg'))"
    )
    for name in ("alignment", "checkpoint"):
        (own,) = (each for each in figures if each["name"] == f"{name}.svg")
        answer = model.read(finished.folder / f"results/answers/{name}.json")
        assert own["labels"] == {"question": answer.title}
        told = re.sub(r"<[^>]+>", "", own["caption"])
        assert answer.sentence.split(" ")[0] in told
        assert answer.title in told
        assert '\\"' not in own["job_properties"]["params"]  # no walls of JSON
    uri = browser.execute_script(
        "return Object.values(results).find(e => e.name === 'report.html').data_uri"
    )
    browser.execute_script(
        "const f = document.createElement('iframe'); f.src = arguments[0]; f.id = 'inner';"
        "document.body.replaceChildren(f)",
        uri,
    )
    browser.switch_to.frame("inner")
    waited(lambda: browser.execute_script("return document.title") == TITLE)
    browser.switch_to.default_content()


# ---- 2 to 4: how much there is to read -----------------------------------------------------------


def test_all_answers_stand_on_the_first_screen(opened: Chrome, results: Results) -> None:
    lines = opened.find_elements(By.CSS_SELECTOR, ".list li")
    assert len(lines) == len(results.answers)
    assert max(line.rect["y"] + line.rect["height"] for line in lines) < SCREEN
    first = [text for text in opened.execute_script(SHOWN, whole(opened)) if text[1] < SCREEN]
    assert words(first) <= 400
    for answer in results.answers:
        assert words([[answer.short]]) <= (24 if results.several else 12), answer.short


def test_a_tall_window_has_no_gap_below_the_list(opened: Chrome) -> None:
    look(opened, WIDE, TALL)
    bottom = "return Math.max(...[...document.querySelectorAll('.first > *')].map("
    bottom += "e => e.getBoundingClientRect().bottom))"
    (cards,) = seen(opened, "main")
    assert cards.rect["y"] - opened.execute_script(bottom) < 40


def test_words(opened: Chrome, results: Results) -> None:
    assert words(opened.execute_script(SHOWN, whole(opened))) <= 4500
    long = {}
    for card in opened.find_elements(By.CSS_SELECTOR, ".card[data-state]"):
        count = words(opened.execute_script(SHOWN, card))
        if count > (250 if results.several else 170):
            long[card.get_attribute("id")] = count
    assert long == {}


def test_headlines(results: Results) -> None:
    for answer in results.answers:
        assert words([[answer.sentence]]) <= 25, answer.sentence
        assert ";" not in answer.sentence
        assert answer.sentence.endswith(".")
        assert words([[answer.so]]) <= (40 if results.several else 20), answer.so
        assert "\n" not in answer.sentence


@pytest.mark.parametrize(
    ("view", "screen", "most"), [(WIDE, SCREEN, 25), (NARROW, PHONE_SCREEN, 45)]
)
def test_height_and_width(opened: Chrome, view: View, screen: int, most: int) -> None:
    look(opened, view, screen)
    height, width = opened.execute_script(
        "const e = document.documentElement; return [e.scrollHeight, e.scrollWidth]"
    )
    assert height <= most * screen
    assert width <= view.width
    show_everything(opened)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= view.width
    for figure in seen(opened, "section:not(#machine) figure svg"):  # that one is a picture to send
        assert figure.rect["x"] + figure.rect["width"] <= view.width + 1


# ---- 5: letters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("view", "least"), [(WIDE, 12), (NARROW, 11)])
def test_letters_of_figures(opened: Chrome, view: View, least: float) -> None:
    look(opened, view, SCREEN)
    show_everything(opened)
    faults = []
    for figure in opened.execute_script(BOXES):
        left, right, top, bottom = figure["bounds"]
        for text, size, x0, x1, y0, y1 in figure["texts"]:
            if size < least:
                faults.append(f"{figure['name']}: {text!r} has {size:.1f} px")
            if x0 < left - 1 or x1 > right + 1 or y0 < top - 1 or y1 > bottom + 1:
                faults.append(f"{figure['name']}: {text!r} leaves the drawing")
        for (a, _, *one), (b, _, *other) in combinations(figure["texts"], 2):
            if _overlap(one, other):
                faults.append(f"{figure['name']}: {a!r} and {b!r} overlap")
    assert faults == []


def _overlap(one: list[float], other: list[float]) -> bool:
    across = min(one[1], other[1]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[2], other[2])
    return across > 1 and down > 1


def test_no_figure_is_empty(results: Results) -> None:
    for answer in results.answers:
        for view in (*answer.views, *answer.folded):
            if view.svg and "axes_1" in view.svg:
                assert view.svg.count("<title>") >= 2, f"{answer.question}: {view.title}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(opened: Chrome, scheme: str) -> None:
    look(opened, View(scheme, 1280, scheme), SCREEN)
    show_everything(opened)
    assert [text for text in opened.execute_script(CONTRASTS) if text[0] < 4.5] == []


# ---- 6 to 8: what is said ------------------------------------------------------------------------


def texts(row: list[Any]) -> list[str]:
    """The cells of a row as text."""
    return [cell.text if isinstance(cell, Cell) else str(cell) for cell in row]


def test_the_headline_of_alignment_is_the_tables(results: Results) -> None:
    (answer,) = (each for each in results.answers if each.question == "alignment")
    said = re.search(r"(\d+(?:\.\d+)?)(?: \[[^]]*\])? [%×]", answer.sentence)
    if said is None:
        assert UNSAID.search(answer.sentence), answer.sentence
        return
    size = re.search(r"size (\d+)", answer.sentence)
    assert size, answer.sentence
    rows = [" ".join(texts(row)) for row in answer.table.rows]
    own = [row for row in rows if row.startswith(size[1])]
    assert any(re.search(rf"(?<![\d.]){re.escape(said[1])}(?![\d.])", row) for row in own), own


def test_what_is_not_answered_is_named(results: Results) -> None:
    for answer in results.answers:
        if answer.state != State.ANSWERED:
            assert UNSAID.search(answer.sentence), f"{answer.question}: {answer.sentence}"


def test_every_card_says_what_its_answer_says(opened: Chrome, results: Results) -> None:
    """That a lost main cell lowers the state and is in the headline is the law of the answers."""
    for answer in results.answers:
        card = opened.find_element(By.ID, answer.question)
        line = opened.find_element(By.CSS_SELECTOR, f".list [data-card={answer.question}]")
        assert card.find_element(By.CLASS_NAME, "answer").text == answer.sentence
        assert line.find_element(By.CLASS_NAME, "short").text == answer.short
        for place in (card, line):
            assert place.get_attribute("data-state") == answer.state.replace(" ", "-")
            assert answer.state in place.find_element(By.CLASS_NAME, "state").get_attribute("title")
    for state in State:
        count = sum(answer.state == state for answer in results.answers)
        chips = [chip.text for chip in seen(opened, f".chips .{state.replace(' ', '-')}")]
        assert [int(re.findall(r"\d+", chip)[0]) for chip in chips] == ([count] if count else [])


def tables(answer: Answer) -> list[Table]:
    views = [view.table for view in [*answer.views, *answer.folded] if view.table]
    return [answer.table, *views]


def test_the_same_is_within_its_margin(results: Results) -> None:
    for answer in results.answers:
        for row in (row for table in tables(answer) for row in table.rows):
            cells = texts(row)
            margin = next(filter(None, map(MARGIN.match, cells)), None)
            ends = next(filter(None, map(ENDS.search, cells)), None)
            if margin and ends:
                low, high = (abs(float(each.replace("−", "-"))) for each in ends.groups())
                assert max(low, high) <= 1.1 * float(margin[1]), f"{answer.question}: {cells}"


def test_shares_stay_within_0_and_100(results: Results) -> None:
    share = re.compile(r"(?<![\d.])([−\d.]+) \[([−\d.]+), ([−\d.]+)\] %")
    for answer in results.answers:
        every = [t for table in tables(answer) for row in table.rows for t in texts(row)]
        for text in [*every, *answer.why, *answer.caveats]:
            for _, low, high in share.findall(text):
                assert float(low.replace("−", "-")) >= 0, f"{answer.question}: {text}"
                assert float(high.replace("−", "-")) <= 100, f"{answer.question}: {text}"


def test_nothing_is_said_that_no_reader_needs(opened: Chrome, results: Results) -> None:
    unfold(opened)
    opened.execute_script("document.querySelectorAll('pre, #records').forEach(e => e.remove())")
    texts = [text.strip() for text, _ in opened.execute_script(SHOWN, whole(opened))]
    said = " ".join(texts)
    for word in ("None", "nan", "True", "False", "twin", "contended"):
        found = re.search(rf".{{0,40}}(?<![=(])\b{word}\b.{{0,40}}", said)
        assert not found, found
    if not results.several:
        assert [text for text in texts if re.match(r"cpu( –|,|:)", text)] == []


# ---- 9 and 10: one file, with and without its script ---------------------------------------------


def test_alone_in_an_empty_folder(browser: Chrome, results: Results, tmp_path: Path) -> None:
    alone = Path(shutil.copy(results.page, tmp_path / "alone.html"))
    saved = tmp_path / "saved"
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(saved)}
    )
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(alone.as_uri())
    for answer in results.answers[:3]:  # a browser refuses many at once
        table = saved / f"{answer.question}.csv"
        click(browser, f"#{answer.question} [data-do=csv]")
        waited(table.is_file)
        assert table.read_bytes() == (results.folder / f"tables/{table.name}").read_bytes()
    inside = json.loads(browser.execute_script("return document.querySelector('#tables').text"))
    for name, packed in inside.items():
        text = gzip.decompress(base64.b64decode(packed))
        assert text == (results.folder / f"tables/{name}.csv").read_bytes()
    assert inside.keys() == {answer.question for answer in results.answers}
    dead = browser.execute_script(
        "return [...document.querySelectorAll('a:not([data-do], [href^=\"#\"])')]"
        ".filter(e => !e.closest('#records')).map(e => e.outerHTML)"
    )
    assert dead == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.get_log("browser") == []


def test_without_the_script_all_can_be_reached(
    browser: Chrome, results: Results, tmp_path: Path
) -> None:
    plain = re.sub(r"<script.*?</script>", "", results.page.read_text(encoding="utf-8"), flags=re.S)
    for each in results.folder.iterdir():  # what the page links to
        (tmp_path / each.name).symlink_to(each)
    copy = tmp_path / "without-script.html"
    copy.write_text(plain, encoding="utf-8")
    look(browser, WIDE, SCREEN)
    browser.get(copy.as_uri())
    assert len(seen(browser, ".card[data-state]")) == len(results.answers)
    for switch in browser.find_elements(By.CSS_SELECTOR, ".switch"):
        for i, radio in enumerate(switch.find_elements(By.TAG_NAME, "input")):
            browser.execute_script("arguments[0].click()", radio)
            name = radio.get_attribute("name").removesuffix("-view")
            (shown,) = seen(browser, f"#{name} .views > figure")
            assert shown.get_attribute("id") == f"{name}-view-{i + 1}"
    for summary in browser.find_elements(By.CSS_SELECTOR, "summary")[:20]:
        browser.execute_script("arguments[0].click()", summary)
        assert summary.find_element(By.XPATH, "..").get_attribute("open")
    for link in browser.find_elements(By.CSS_SELECTOR, "a[data-do]"):
        assert Path(unquote(urlparse(link.get_attribute("href")).path)).exists()
    assert not seen(browser, "button, #search, #jump")


def test_paper(opened: Chrome) -> None:
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    last = "return [...document.querySelectorAll('details > :last-child')].map(e => e.clientHeight)"
    assert min(opened.execute_script(last)) > 0
    flat = "return [...document.querySelectorAll('main figure')].some(e => e.clientHeight < 9)"
    assert not opened.execute_script(flat)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    paper = {"paperWidth": 210 / 25.4, "paperHeight": 297 / 25.4, "preferCSSPageSize": False}
    printed = base64.b64decode(opened.execute_cdp_cmd("Page.printToPDF", paper)["data"])
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", printed)) <= 40
