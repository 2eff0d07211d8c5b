"""Tell a run in the terminal: its short answers, what was lost and to whom, where the report lies.

The workflow starts it at the end of each run; by hand, in the folder of the run:

    python workflow/summary.py
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

Answer = Mapping[str, Any]
Paint = Callable[[str, int], str]  # a text and a colour: that text, in that colour

BOLD, RED, GREEN, YELLOW = 1, 31, 32, 33
SIGNS = {
    "answered": ("●", GREEN),
    "in part": ("◐", GREEN),
    "cannot tell": ("?", YELLOW),
    "not measured": ("○", RED),
}
NAMED = 3  # neighbours, at most
WIDTH = 120  # columns of text, at most


def read(folder: Path, asked: Sequence[str]) -> list[Answer]:
    """The answers that are there, to the questions asked or to all.

    Args:
        folder: With the answers.
        asked: Names of questions, in the order of the page; all that are answered when empty.
    """
    names = asked or sorted(path.stem for path in folder.glob("*.json"))
    files = [folder / f"{name}.json" for name in names]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]


def answered(answers: Iterable[Answer], paint: Paint, width: int) -> Iterator[str]:
    """The short answers under their headings, as on the page."""
    groups: dict[str, list[Answer]] = {}
    for each in answers:
        groups.setdefault(each["group"], []).append(each)
    for group, members in groups.items():
        yield ""
        yield paint(group, BOLD)
        for each in members:
            sign, colour = SIGNS[each["state"]]
            head = f"  {sign} {each['question']:<15} "
            text = textwrap.fill(each["short"], width, initial_indent=head,
                                 subsequent_indent=" " * len(head))  # fmt: skip
            yield text.replace(sign, paint(sign, colour), 1)


def lost(answers: Iterable[Answer]) -> str:
    """What was lost and to whom, in a sentence; empty when nothing was."""
    seen = [each["circumstances"] for each in answers]
    gone = {
        (each["record"], each["what"]): each["neighbours"]
        for circumstances in seen
        for each in circumstances["disturbed"]
        if each["lost"]
    }
    if not gone:
        return ""
    counts = {path: n for each in seen for path, n in each["measurements"].items()}
    cores: dict[str, float] = {}
    for neighbours in gone.values():
        for name, share in neighbours.items():
            cores[name] = max(share, cores.get(name, 0.0))
    most = sorted(cores, key=cores.__getitem__, reverse=True)[:NAMED]
    told = [f"{name} took {worded(cores[name])}" for name in most[:1]]
    who = ", ".join([*told, *(f"{name} {share(cores[name])}" for name in most[1:])])
    lost = f"{len(gone)} of {sum(counts.values())} measurements lost to other programs"
    return f"{lost} ({who})." if who else f"{lost}."


def worded(cores: float) -> str:
    """How much of the cores, as the page has it."""
    return f"{share(cores)} {'cores' if cores > 1 else 'of a core'}"


def share(cores: float) -> str:
    """The same without its unit."""
    return f"{cores:.1f}" if cores > 1 else f"{cores:.2g}"


def lines(
    results: Path, asked: Sequence[str], again: str, failed: bool, paint: Paint, width: int
) -> Iterator[str]:
    """All that is told of a run.

    Args:
        results: Its folder.
        asked: The questions that it asks.
        again: The command that measures again what was lost; empty where nothing can be.
        failed: Whether it stopped before its end.
        paint: Gives a text a colour.
        width: Columns of the terminal.
    """
    answers = read(results / "answers", asked)
    if not answers and not failed:
        return
    yield from answered(answers, paint, width)
    yield ""
    if failed:
        missing = [name for name in asked if name not in {each["question"] for each in answers}]
        yield paint("The run did not finish: what failed stands above.", RED)
        yield "It goes on where it stopped when you run the same command again."
        if missing:
            yield f"Not answered: {', '.join(missing)}."
    if sentence := lost(answers):
        yield paint(textwrap.fill(sentence, width), YELLOW)
        if again:
            yield "Close what else runs, then measure that again, and nothing else:"
            yield f"  {again}"
    page = results / "report.html"
    if not failed and is_newest(page, (results / "answers").glob("*.json")):
        yield f"The report: {page.resolve().as_uri()}"


def is_newest(page: Path, answers: Iterable[Path]) -> bool:
    """Whether the page is there and was made after the answers, so that it tells them."""
    newest = max(path.stat().st_mtime for path in answers)
    return page.is_file() and page.stat().st_mtime >= newest


def painter(stream: TextIO) -> Paint:
    """Colours for a terminal; none in a pipe, nor where NO_COLOR is set (https://no-color.org)."""
    if stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        return lambda text, colour: f"\033[{colour}m{text}\033[0m"
    return lambda text, colour: text


def main(argv: Sequence[str] | None = None) -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the run")
    parser.add_argument("--again", default="make again", help="command that measures again")
    parser.add_argument("--failed", action="store_true", help="the run stopped before its end")
    parser.add_argument("questions", nargs="*", help="those asked, in order (all)")
    given = parser.parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no ●
    width = min(shutil.get_terminal_size().columns, WIDTH)
    told = lines(given.results, given.questions, given.again, given.failed,
                 painter(sys.stdout), width)  # fmt: skip
    print("\n".join(told), flush=True)


if __name__ == "__main__":
    main()
