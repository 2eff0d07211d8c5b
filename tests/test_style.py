"""Style and types: what `make lint` checks is clean."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

TOOLS = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("snakefmt", "--check", "Snakefile", "workflow/rules"),
    ],
    ids=" ".join,
)
def test_clean(command):
    tool = TOOLS / command[0]
    if not tool.exists():
        pytest.skip(f"needs {command[0]} (make test installs it)")
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"  # snakefmt calls shfmt by name
    done = subprocess.run(
        [tool, *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
