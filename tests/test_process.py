"""Processes of a job's own: they answer, they die, and nothing is left behind."""

import os
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import pytest
from assay.modules import process
from conftest import ROOT

HERE = process.context("cpu")


def test_a_call_answers_from_another_process():
    assert process.call(HERE, os.getpid) != os.getpid()
    assert process.call(HERE, divmod, 7, 2) == (3, 1)


def test_what_a_call_raises_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        process.call(HERE, divmod, 7, 0)


def test_a_call_that_dies_says_so():
    with pytest.raises(BrokenProcessPool):
        process.call(HERE, os._exit, 3)


def count(sender, start):
    """A victim's work: numbers without end."""
    parent = os.getppid()
    while not process.orphaned(parent):
        sender.send(start)
        start += 1


def say_once(sender):
    """Work that ends by itself."""
    sender.send("only once")


def test_a_victim_works_until_it_is_killed():
    with process.victim(HERE, count, 5) as told:
        assert [told(), told(), told()] == [5, 6, 7]


def test_a_victim_that_ends_by_itself_is_an_error():
    with pytest.raises(RuntimeError, match="ended"), process.victim(HERE, say_once) as told:
        [told() for _ in range(2)]


HOLD = """
import sys, time
from assay.modules import process
with process.folder() as folder:
    (folder / "large").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_the_folder_goes_with_the_process_even_if_that_is_killed():
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=ROOT / "workflow/scripts",
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    folder = holder.stdout.readline().strip()
    assert os.listdir(folder) == ["large"]
    holder.kill()
    holder.wait()
    holder.stdout.close()
    deadline = time.monotonic() + 20
    while os.path.exists(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.exists(folder)


def test_the_folder_goes_at_the_end():
    with process.folder() as folder:
        (folder / "file").write_text("x")
    assert not folder.exists()
