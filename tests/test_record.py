"""The record: written whole or not at all, read strictly."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from assay import record
from builders import make_record
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

SCRIPTS = ROOT / "workflow/scripts"


def one():
    return make_record("alignment", {"device": "cpu", "n": 8}, [record.Trial(what={"n": 8})])


def test_what_is_written_is_read(tmp_path):
    record.write(tmp_path / "new/folder/record.json", one())
    assert record.read(tmp_path / "new/folder/record.json") == one()


@given(
    reason=st.none() | st.text(),
    number=st.floats(allow_nan=False, allow_infinity=False),
    what=st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none()),
)
def test_any_text_and_number_survive(tmp_path_factory, reason, number, what):
    path = tmp_path_factory.mktemp("r") / "record.json"
    trial = record.Trial(what=what, reason=reason, result={"ratio": number})
    written = make_record("alignment", {"device": "cpu"}, [trial])
    record.write(path, written)
    assert record.read(path) == written


def test_the_schema_on_disk_is_that_of_the_model():
    kept = json.loads((ROOT / "workflow/schemas/record.schema.json").read_text())
    assert kept == record.schema(), (
        "python workflow/scripts/assay/record.py > workflow/schemas/record.schema.json"
    )


def refusal(path: Path) -> str:
    with pytest.raises(record.RecordError) as error:
        record.read(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message.split("(")[0]
    return message


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_record_is_refused_by_name(tmp_path, share):
    path = tmp_path / "record.json"
    record.write(path, one())
    text = path.read_text().rstrip()
    path.write_text(text[: int(len(text) * share)])
    assert "not a whole JSON file" in refusal(path)


@pytest.mark.parametrize("number", [0, 2, "1", None])
def test_another_format_number_is_refused(tmp_path, number):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"format": number}))
    assert "reads format 1" in refusal(path)


def test_a_list_is_no_record(tmp_path):
    (tmp_path / "record.json").write_text("[1]")
    assert "format None" in refusal(tmp_path / "record.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [("status", "splendid"), ("trials", {}), ("axes", None), ("surprise", 1)],
)
def test_a_record_that_fails_its_model_is_refused(tmp_path, key, value):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(json.loads(one().model_dump_json()) | {key: value}))
    assert key in refusal(path)


def test_a_missing_record_is_named(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.json")


def test_not_a_number_is_never_written():
    with pytest.raises(ValueError, match="finite"):
        record.Trial(what={}, samples={"target": [float("nan")]})


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        record.write(path, one())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    """SIGKILL a process that writes one record over and over: what is there can be read."""
    path = tmp_path / "record.json"
    record.write(path, one())
    code = (
        "import sys; from pathlib import Path; from assay import record\n"
        "p = Path(sys.argv[1]); r = record.read(p)\n"
        "r.trials[0].samples['target'] = [1.5] * 100000\n"
        "print('ready', flush=True)\n"
        "while True: record.write(p, r)\n"
    )
    for pause in (0.02, 0.11, 0.23):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
            stdout=subprocess.PIPE,
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(pause)
            writer.send_signal(signal.SIGKILL)
        record.read(path)


def test_files_get_the_permissions_of_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        record.write(tmp_path / "record.json", one())
    finally:
        os.umask(old)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o640


def test_a_disk_that_knows_no_permissions_holds_records_all_the_same(tmp_path, monkeypatch):
    """Windows', mounted in its Linux, may refuse every change of them."""
    monkeypatch.setattr(os, "fchmod", Mock(side_effect=PermissionError))
    record.write(tmp_path / "record.json", one())
    assert record.read(tmp_path / "record.json") == one()
