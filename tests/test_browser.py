"""The page in a real browser: what no parser sees. All data are made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from assay.answer.question import Missing
from assay.record import Status
from gallery import CHROMIUM, DRIVER, MISSING, View, chromium, look
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from test_page import HOSTILE_WORDS, LINES, Site, answer, hardware, hostile_answer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING),
]

LIGHT, DARK, PHONE = View("light", 1280, "light"), View("dark", 1280, "dark"), 360
MISSED = [
    Missing(what=f"gpu, n {n}", status=Status.UNAVAILABLE, reason="needs a GPU") for n in range(9)
]

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
    if (!texts.currentNode.data.trim() || element.closest('svg')) continue;
    const [a, b] = [getComputedStyle(element).color, behind(element)].map(luminance);
    seen.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), texts.currentNode.data.trim()]);
}
return seen;
"""

# What is drawn in a figure in the page's neutral colours, as the browser paints it.
INKED = """
return [...document.querySelectorAll('svg [style*="stroke: var(--ink)"]')]
    .map(e => getComputedStyle(e).stroke);
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with two plain answers and a hostile one."""
    answers = [answer(missing=MISSED), answer("crossover", snippet=None), hostile_answer()]
    site = Site(tmp_path_factory.mktemp("site") / "my results", answers, [hardware()])
    site.make([*LINES[:3], HOSTILE_WORDS[0]])
    return site.page.as_uri()


@pytest.fixture
def opened(browser: Chrome, address: str) -> Chrome:
    look(browser, LIGHT)
    browser.get(address)
    return browser


def attributes(browser: Chrome, selector: str, name: str) -> list[Any]:
    """An attribute as written, for every element that matches."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].map(e => e.getAttribute(arguments[1]))"
    )
    return browser.execute_script(script, selector, name)


def test_console_is_silent_and_nothing_is_requested(opened: Chrome) -> None:
    assert opened.get_log("browser") == []
    assert opened.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("width", [PHONE, 600, 1280])
def test_the_page_never_scrolls_sideways(opened: Chrome, width: int) -> None:
    look(opened, View("narrow", width, "light"))
    opened.execute_script("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    beyond = """
        return [...document.querySelectorAll('body *')]
            .filter(e => !e.closest('.scroll') && !e.classList.contains('skip'))
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML)
    """
    assert opened.execute_script(beyond) == []


def test_figures_and_tables_stay_readable_on_a_phone(opened: Chrome) -> None:
    look(opened, View("phone", PHONE, "light"))
    widths = "return [...document.querySelectorAll('figure svg')].map(e => e.clientWidth)"
    assert min(opened.execute_script(widths)) > 500
    boxes = opened.find_elements(By.CSS_SELECTOR, ".scroll")
    assert all(box.size["width"] <= PHONE for box in boxes)


def test_every_figure_is_seen_and_has_a_text_alternative(opened: Chrome) -> None:
    drawings = opened.find_elements(By.CSS_SELECTOR, "figure svg")
    assert len(drawings) == 3
    for drawing in drawings:
        assert drawing.is_displayed()
        assert drawing.size["width"] > 300
        assert drawing.size["height"] > 100
        assert drawing.aria_role in ("img", "image")
        assert drawing.accessible_name
        described = drawing.get_attribute("aria-describedby")
        assert opened.find_element(By.ID, described).get_attribute("textContent")


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


def test_hostile_strings_are_shown_as_text(opened: Chrome) -> None:
    text = opened.find_element(By.ID, "hostile").text
    for word in HOSTILE_WORDS:
        assert word in text
    assert attributes(opened, "script, img", "src") == []
    assert opened.title == "torch-assay: measured answers"


def test_dark_differs_from_light_and_both_are_readable(opened: Chrome) -> None:
    grounds, inks = [], []
    for view in (LIGHT, DARK):
        look(opened, view)
        faint = [seen for seen in opened.execute_script(CONTRASTS) if seen[0] < 4.5]
        assert faint == []
        ground = "return getComputedStyle(document.documentElement).backgroundColor"
        grounds.append(opened.execute_script(ground))
        inks.append(set(opened.execute_script(INKED)))
    assert grounds[0] != grounds[1]
    assert len(inks[0]) == len(inks[1]) == 1
    assert inks[0] != inks[1]


def test_keyboard(opened: Chrome) -> None:
    ActionChains(opened).send_keys(Keys.TAB).perform()
    first = opened.switch_to.active_element
    assert first.text == "Skip to the answers"
    assert first.rect["x"] >= 0
    first.send_keys(Keys.ENTER)
    assert opened.current_url.endswith("#the-answers")
    ActionChains(opened).send_keys(Keys.TAB).perform()
    inside = "return document.activeElement.closest('main') !== null"
    assert opened.execute_script(inside)
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert opened.execute_script(outline) == "solid"


def test_motion_is_reduced_on_request(opened: Chrome) -> None:
    behaviour = "return getComputedStyle(document.documentElement).scrollBehavior"
    for value, expected in (("reduce", "auto"), ("no-preference", "smooth")):
        feature = {"name": "prefers-reduced-motion", "value": value}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        assert opened.execute_script(behaviour) == expected


def test_print_is_light_and_leaves_nothing_out(opened: Chrome) -> None:
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": [feature]})
    ink = "return getComputedStyle(document.documentElement).color"
    assert opened.execute_script(ink) == "rgb(27, 31, 36)"
    folded = "return [...document.querySelectorAll('details li')].map(e => e.clientHeight)"
    heights = opened.execute_script(folded)
    assert heights
    assert min(heights) > 0
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
