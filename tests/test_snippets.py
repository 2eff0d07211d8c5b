"""Every snippet is a few lines that run at home."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from assay.answer import question
from conftest import ROOT

FILES = sorted((ROOT / "resources/snippets").glob("*.py"))
QUESTIONS = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["questions"]


def test_every_question_has_one() -> None:
    assert {file.stem for file in FILES} == set(QUESTIONS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_says_what_it_shows_and_runs(file: Path, tmp_path: Path) -> None:
    seen = question.snippet(file.stem)
    assert seen
    assert seen.text.endswith(".")
    assert len(seen.code.splitlines()) <= 45
    ast.parse(seen.code)
    done = subprocess.run(
        [sys.executable, file], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
