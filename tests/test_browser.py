"""The page in a real browser: what no parser sees. All data are made up."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from assay.answer.model import Column, Missing, State, Table
from assay.record import Status
from gallery import CHROMIUM, DRIVER, MISSING, View, chromium, look
from PIL import Image
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from test_page import HOSTILE_WORDS, Site, answer, hardware, hostile_answer, matrix, view

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING),
]

LIGHT, DARK, PHONE = View("light", 1280, "light"), View("dark", 1280, "dark"), 360
MISSED = [
    Missing(what=f"gpu, n {n}", status=Status.UNAVAILABLE, reason="needs a GPU") for n in range(9)
]
RATES = Table(
    columns=[Column(name="rate"), Column(name="verdict")],
    rows=[["none", "worse"], ["0.1", None], ["1", "reference"], ["0.03", "cannot tell"]],
)

# Every text that is seen, with the contrast between its colour and what lies behind it.
CONTRASTS = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
};
const luminance = colour => {
    const [r, g, b] = [...rgba(colour)].slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = element => {
    for (; element; element = element.parentElement) {
        const colour = getComputedStyle(element).backgroundColor;
        if (rgba(colour)[3] > 0) return colour;
    }
    return 'white';
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = [];
while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest('title, desc, script')) continue;
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const colour = element.closest('svg') ? style.fill : style.color;
    const [a, b] = [colour, behind(element)].map(luminance);
    seen.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), texts.currentNode.data.trim()]);
}
return seen;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with two plain answers and a hostile one."""
    shown = [view("cpu", svg=None, table=matrix()), view("gpu", svg=None, table=matrix())]
    answers = [
        answer(missing=MISSED),
        answer(
            "registration",
            snippet=None,
            views=shown,
            state=State.ANSWERED,
            group="Blocks",
            table=RATES,
        ),
        hostile_answer(),
    ]
    site = Site(tmp_path_factory.mktemp("site") / "my results", answers, [hardware()])
    site.put_card()
    site.make()
    return site.page.as_uri()


@pytest.fixture
def opened(browser: Chrome, address: str) -> Chrome:
    look(browser, LIGHT)
    browser.get("about:blank")
    browser.get(address)
    return browser


@pytest.fixture
def downloads(browser: Chrome, tmp_path: Path) -> Path:
    """Where the browser saves what it is given."""
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    return tmp_path


def one(browser: Chrome, selector: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, selector)


def seen(browser: Chrome, selector: str) -> list[WebElement]:
    """The elements that are shown."""
    return [e for e in browser.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed()]


def click(browser: Chrome, selector: str) -> None:
    """Click where a click is heard, whatever stands over it."""
    browser.execute_script("arguments[0].click()", one(browser, selector))


def waited(for_what: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true value that a function returns."""
    end = time.monotonic() + seconds
    while not (found := for_what()) and time.monotonic() < end:
        time.sleep(0.05)
    assert found
    return found


def unfold(browser: Chrome) -> None:
    browser.execute_script("document.querySelectorAll('details').forEach(e => e.open = true)")


def attributes(browser: Chrome, selector: str, name: str) -> list[Any]:
    """An attribute as written, for every element that matches."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].map(e => e.getAttribute(arguments[1]))"
    )
    return browser.execute_script(script, selector, name)


def test_console_is_silent_and_nothing_is_requested(opened: Chrome) -> None:
    assert opened.get_log("browser") == []
    assert opened.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_a_foreign_script_is_blocked(opened: Chrome) -> None:
    opened.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.foreign = 1';"
        "document.body.append(s)"
    )
    assert opened.execute_script("return window.foreign") is None
    assert "violates" in opened.get_log("browser")[-1]["message"]


# ---- layout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [PHONE, 600, 1000, 1280])
def test_the_page_never_scrolls_sideways(opened: Chrome, width: int) -> None:
    look(opened, View("narrow", width, "light"))
    unfold(opened)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    beyond = """
        return [...document.querySelectorAll('body *')]
            .filter(e => !e.closest('.scroll') && !e.classList.contains('skip'))
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)
    """
    assert opened.execute_script(beyond) == []


def test_a_figure_fits_on_a_phone_and_its_letters_stay_large(opened: Chrome) -> None:
    look(opened, View("phone", PHONE, "light"))
    for figure in seen(opened, ".views svg"):
        assert figure.size["width"] <= PHONE
        assert figure.size["width"] * 13 / 380 >= 11
    boxes = opened.find_elements(By.CSS_SELECTOR, ".scroll")
    assert all(box.size["width"] <= PHONE for box in boxes)


def test_no_line_stands_beside_a_table_that_ends(opened: Chrome) -> None:
    """On a display that draws three pixels for two, neither."""
    find = """
        const table = [...document.querySelectorAll('.views .table')].find(
            e => e.checkVisibility() && e.firstElementChild.offsetWidth + 20 < e.offsetWidth);
        const box = table.getBoundingClientRect();
        return {x: box.right - 10 + scrollX, y: box.y + scrollY, width: 12, height: box.height};
    """
    clip = opened.execute_script(find) | {"scale": 1.5}
    shot = {"captureBeyondViewport": True, "clip": clip}
    seen = opened.execute_cdp_cmd("Page.captureScreenshot", shot)["data"]
    with Image.open(io.BytesIO(base64.b64decode(seen))) as picture:
        assert len(picture.convert("RGB").getcolors()) == 1


def test_every_figure_has_a_text_alternative(opened: Chrome) -> None:
    unfold(opened)
    drawings = seen(opened, "main svg")
    assert len(drawings) == 6
    for drawing in drawings:
        assert drawing.size["width"] > 300
        assert drawing.size["height"] > 40  # the machine card of these answers has nothing to show
        assert drawing.aria_role in ("img", "image")
        assert drawing.accessible_name
        described = drawing.get_attribute("aria-describedby")
        assert opened.find_element(By.ID, described).get_attribute("textContent")


def test_dark_differs_from_light_and_both_are_readable(opened: Chrome) -> None:
    grounds = []
    for each in (LIGHT, DARK):
        look(opened, each)
        unfold(opened)
        faint = [text for text in opened.execute_script(CONTRASTS) if text[0] < 4.5]
        assert faint == []
        ground = "return getComputedStyle(document.documentElement).backgroundColor"
        grounds.append(opened.execute_script(ground))
    assert grounds[0] != grounds[1]


def test_motion_is_reduced_on_request(opened: Chrome) -> None:
    behaviour = "return getComputedStyle(document.documentElement).scrollBehavior"
    for value, expected in (("reduce", "auto"), ("no-preference", "smooth")):
        feature = {"name": "prefers-reduced-motion", "value": value}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        assert opened.execute_script(behaviour) == expected


# ---- finding -------------------------------------------------------------------------------------


def test_every_link_leads_somewhere(opened: Chrome) -> None:
    places, files = [], []
    for link in opened.execute_script("return [...document.links].map(e => e.href)"):
        target = urlparse(link)
        assert target.scheme == "file"
        (places if target.fragment else files).append(target)
    assert places
    assert files
    for target in places:
        assert opened.find_elements(By.ID, target.fragment)
    for target in files:
        assert Path(unquote(target.path)).is_file()


def test_chips_filter_by_state_without_the_script(opened: Chrome) -> None:
    assert len(seen(opened, ".list li")) == len(seen(opened, ".card[data-state]")) == 3
    click(opened, "#state-answered")
    assert [each.get_attribute("id") for each in seen(opened, ".card[data-state]")] == [
        "registration"
    ]
    assert len(seen(opened, ".list li")) == 1
    click(opened, "#state-all")
    assert len(seen(opened, ".list li")) == 3


def test_search_finds_cards_and_lines(opened: Chrome) -> None:
    ActionChains(opened).send_keys("/").perform()
    field = opened.switch_to.active_element
    assert field.get_attribute("id") == "search"
    field.send_keys("keys moduleLIST")
    assert one(opened, "#found").text == "2 found"
    assert [each.get_attribute("id") for each in seen(opened, ".card[data-state]")] == [
        "registration",
        "hostile",
    ]
    click(opened, "#state-answered")
    assert one(opened, "#found").text == "1 found"
    assert attributes(opened, "option:not([hidden])[data-state=answered]", "value") == [
        "registration"
    ]
    click(opened, "#state-all")
    field.clear()
    field.send_keys(" ")
    assert len(seen(opened, ".card[data-state]")) == 3
    assert one(opened, "#found").text == ""


def test_an_address_opens_what_is_folded(opened: Chrome, address: str) -> None:
    assert not seen(opened, "#alignment-numbers table")
    opened.get(f"{address}#alignment-numbers")
    assert seen(opened, "#alignment-numbers table")
    opened.execute_script("location.hash = 'machine-card'")
    waited(lambda: seen(opened, "#machine-card pre"))


def test_contents_follow_and_a_phone_has_a_select(opened: Chrome) -> None:

    opened.execute_script("document.getElementById('registration').scrollIntoView()")
    marked = waited(lambda: seen(opened, ".contents a[aria-current]"))
    waited(lambda: attributes(opened, ".contents a[aria-current]", "href") == ["#registration"])
    assert marked
    look(opened, View("phone", PHONE, "light"))
    assert not seen(opened, ".contents")
    one(opened, "#jump").find_element(By.CSS_SELECTOR, "option[value=files]").click()
    waited(lambda: opened.current_url.endswith("#files"))


# ---- a card --------------------------------------------------------------------------------------


def test_the_switch_shows_one_view_at_a_time(opened: Chrome) -> None:
    (first,) = seen(opened, "#alignment .views > figure")
    click(opened, "#alignment .switch label:nth-of-type(2) input")
    (second,) = seen(opened, "#alignment .views > figure")
    assert first.get_attribute("id") != second.get_attribute("id")


def column(browser: Chrome, number: int, card: str = "alignment") -> list[str]:
    cells = f"#{card}-numbers tbody tr > :nth-child({number})"
    return [each.text for each in browser.find_elements(By.CSS_SELECTOR, cells)]


def test_columns_sort_by_value_both_ways_and_blanks_stay_last(opened: Chrome) -> None:
    unfold(opened)
    heads = opened.find_elements(By.CSS_SELECTOR, "#alignment-numbers thead button")
    opened.execute_script("arguments[0].click()", heads[2])
    assert column(opened, 1) == ["1008", "1016", "1040", "1025", "1024", "1023"]
    opened.execute_script("arguments[0].click()", heads[2])
    assert column(opened, 1) == ["1025", "1040", "1016", "1008", "1024", "1023"]
    opened.execute_script("arguments[0].click()", heads[0])
    assert column(opened, 1) == sorted(column(opened, 1))
    assert attributes(opened, "#alignment-numbers th", "aria-sort")[0] == "ascending"


def test_words_that_are_numbers_sort_as_such_and_blanks_among_words_stay_last(
    opened: Chrome,
) -> None:
    unfold(opened)
    for number, ends in ((0, ["0.03", "none"]), (1, ["0.03", "0.1"]), (1, ["1", "0.1"])):
        click(opened, f"#registration-numbers th:nth-child({number + 1}) button")
        seen = column(opened, 1, "registration")
        assert [seen[0], seen[-1]] == ends
    click(opened, "#registration-numbers th button")
    assert column(opened, 1, "registration") == ["0.03", "0.1", "1", "none"]


def test_enlarge(opened: Chrome) -> None:
    click(opened, "#alignment [data-do=enlarge]")
    (large,) = seen(opened, "dialog svg")
    assert large.size["width"] > one(opened, "#alignment .views svg").size["width"]
    ActionChains(opened).send_keys(Keys.ESCAPE).perform()
    assert not seen(opened, "dialog")
    click(opened, "#registration [data-do=enlarge]")
    assert seen(opened, "dialog table")
    click(opened, "[data-do=close]")
    assert not seen(opened, "dialog")


def test_a_table_is_saved(opened: Chrome, downloads: Path) -> None:
    click(opened, "#alignment [data-do=csv]")
    saved = downloads / "alignment.csv"
    waited(saved.is_file)
    assert saved.read_text(encoding="utf-8") == "n,µs\n1024,1.5\n"


def test_a_figure_is_saved_as_a_picture(opened: Chrome, downloads: Path) -> None:
    click(opened, "#alignment [data-do=png]")
    saved = downloads / "alignment.png"
    waited(saved.is_file)
    assert saved.read_bytes().startswith(b"\x89PNG")
    assert saved.stat().st_size > 3000  # not an empty ground
    assert opened.get_log("browser") == []


def test_the_machine_card_is_copied_with_one_click(opened: Chrome) -> None:
    allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    opened.execute_cdp_cmd("Browser.grantPermissions", {"permissions": allowed})
    assert not seen(opened, "#machine svg")  # folded
    click(opened, "#machine [data-do=copy]")
    assert waited(lambda: one(opened, "#machine [data-do=copy]").text == "Copied")
    kinds = opened.execute_async_script(
        "navigator.clipboard.read().then(found => arguments[0](found[0].types))"
    )
    assert kinds == ["image/png"]


def test_where_nothing_can_be_copied_the_card_is_saved(opened: Chrome, downloads: Path) -> None:
    opened.execute_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    click(opened, "#machine [data-do=copy]")
    assert waited((downloads / "machine.png").is_file)
    assert (downloads / "machine.png").read_bytes().startswith(b"\x89PNG")


# ---- everybody -----------------------------------------------------------------------------------


def test_hostile_strings_are_shown_as_text(opened: Chrome) -> None:
    unfold(opened)
    text = opened.find_element(By.ID, "hostile").text
    for word in HOSTILE_WORDS:
        assert word in text
    assert opened.find_elements(By.CSS_SELECTOR, "img") == []
    assert len(opened.find_elements(By.CSS_SELECTOR, "script")) == 2
    assert opened.title == "torch-assay: measured answers"


def test_keyboard(opened: Chrome) -> None:
    ActionChains(opened).send_keys(Keys.TAB).perform()
    first = opened.switch_to.active_element
    assert first.text == "Skip to the answers"
    assert first.rect["x"] >= 0
    first.send_keys(Keys.ENTER)
    assert opened.current_url.endswith("#answers")
    ActionChains(opened).send_keys(Keys.TAB).perform()
    inside = "return document.activeElement.closest('main') !== null"
    assert opened.execute_script(inside)


def test_print_is_light_and_leaves_nothing_out(opened: Chrome) -> None:
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": [feature]})
    ink = "return getComputedStyle(document.documentElement).color"
    assert opened.execute_script(ink) == "rgb(27, 31, 36)"
    last = "return [...document.querySelectorAll('details > :last-child')].map(e => e.clientHeight)"
    heights = opened.execute_script(last)
    assert heights
    assert min(heights) > 0
    assert len(seen(opened, "#alignment .views > figure")) == 2
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
