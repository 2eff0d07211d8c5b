"""Pictures of the report, for the README and for whoever reviews it: ``make gallery``.

Every figure is copied, and ``results/report.html`` is photographed whole in light, in dark and at
the width of a phone, into ``results/gallery``; so are its first screen and a card, for the README.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
MISSING = "needs Chromium and its driver (Debian: apt install chromium chromium-driver)"

# Local files only: nothing is fetched, nothing is reported home.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@dataclass(frozen=True)
class View:
    """How the page is looked at."""

    name: str
    width: int
    scheme: str  # light or dark


VIEWS = (View("light", 1280, "light"), View("dark", 1280, "dark"), View("phone", 360, "light"))
README = """
.first { min-height: 0; }
.below { display: block; }
.contents, main > :not(#alignment) { display: none; }
#alignment { margin: 1.5rem auto 0; }
body { padding-bottom: 1rem; }
"""
PICTURES = [
    *((f"page-{view.name}.png", view, "") for view in VIEWS),
    ("readme.png", VIEWS[0], README),
]


@contextmanager
def chromium() -> Iterator[Chrome]:
    """The system's own Chromium with a fresh profile; selenium is left nothing to download."""
    if CHROMIUM is None or DRIVER is None:
        raise FileNotFoundError(MISSING)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = Chrome(options=options, service=Service(executable_path=DRIVER))
        try:
            yield browser
        finally:
            browser.quit()


def look(browser: Chrome, view: View, height: int = 800) -> None:
    """Give the page the width and the colour scheme of a view."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": view.width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": view.scheme}]},
    )


def restyle(browser: Chrome, style: str) -> None:
    """Add styles to the page that is looked at."""
    script = (
        "document.head.append(Object.assign(document.createElement('style'), "
        "{textContent: arguments[0]}))"
    )
    browser.execute_script(script, style)


def photograph(browser: Chrome, target: Path) -> None:
    """Write the whole page as it is looked at, as PNG."""
    size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    shot = browser.execute_cdp_cmd(
        "Page.captureScreenshot",
        {"captureBeyondViewport": True, "clip": {**size, "x": 0, "y": 0, "scale": 1}},
    )
    target.write_bytes(base64.b64decode(shot["data"]))


def gallery(results: Path) -> Iterator[Path]:
    """Copy the figures and photograph the page; yields each picture."""
    folder = results / "gallery"
    folder.mkdir(exist_ok=True)
    for figure in sorted((results / "figures").glob("*.png")):
        yield Path(shutil.copy(figure, folder / f"figure-{figure.name}"))
    with chromium() as browser:
        for name, view, style in PICTURES:
            look(browser, view)
            browser.get((results / "report.html").resolve().as_uri())
            restyle(browser, style)
            photograph(browser, folder / name)
            yield folder / name


def main(argv: Sequence[str] | None = None) -> None:
    """Make the gallery and print where its pictures lie."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="folder of a run")
    results = parser.parse_args(argv).results
    if not (results / "report.html").is_file():
        sys.exit(f"{results / 'report.html'}: there is no report yet; run `make` first.")
    try:
        for picture in gallery(results):
            print(picture)
    except FileNotFoundError as error:
        sys.exit(f"make gallery {error}")


if __name__ == "__main__":
    main()
