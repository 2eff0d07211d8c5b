"""Labels, what stands behind them, and what is there."""

import os
import subprocess
import sys
from itertools import takewhile
from unittest.mock import patch

import pytest
import torch
from assay import device
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

UUIDS = ["GPU-aaa1", "GPU-aaa2", "GPU-bbb"]


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 3),
        ("", 0),
        ("-1", 0),
        ("0", 1),
        ("2,0", 2),
        ("0,7,1", 1),  # CUDA stops at the first entry that names nothing
        ("0,,1", 1),
        ("1,1", 0),  # a repeated entry empties the list
        ("0, 1, 2, 1", 0),
        ("0,7,0", 0),
        ("2, +1, -0", 3),  # numbers are read as strtoul does
        ("1gpu2,2ampere", 2),
        ("GPU-bbb", 1),
        ("GPU-aaa", 0),  # names two
        ("GPU-aaa1,GPU-aaa2", 2),
        ("GPU-aaa1,GPU-aaa1", 0),
        ("GPU-aaa1, 2", 1),  # the first entry decides which kind of list it is
        ("MIG-89c850dc-38e3-57df-85c7-690c186b68e9", 1),
    ],
)
def test_cuda_visible_devices(visible, count):
    assert device.count_visible(UUIDS, visible) == count


entry = st.sampled_from(["0", "1", "2", "3", "-1", "+1", " 2", "1x", "", "x", "GPU-", *UUIDS])


@given(st.lists(entry, max_size=5).map(",".join))
def test_visible_devices_are_counted_as_torch_does(visible):
    with patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": visible}):
        parsed = torch.cuda._parse_visible_devices()
    if parsed and isinstance(parsed[0], str):
        parsed = torch.cuda._transform_uuid_to_ordinals(parsed, UUIDS)
    expected = [*takewhile(lambda number: number < len(UUIDS), parsed)]
    assert device.count_visible(UUIDS, visible) == len(expected)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("cpu", "cpu"),
        ("gpu", "cuda:0"),
        ("gpu1", "cuda:1"),
        ("cuda", "cuda:0"),
        ("cuda_1", "cuda:1"),
        ("xpu1", "xpu:1"),
        ("mps", "mps"),
    ],
)
def test_bare_labels(label, name):
    assert device.behind(label) == name


def test_a_list_is_short_for_labels_of_those_names():
    assert device.resolve(["cpu", "gpu"]) == {"cpu": {"device": "cpu"}, "gpu": {"device": "cuda:0"}}


def test_a_mapping_is_taken_as_it_stands():
    labels = {"h100": {"device": "cuda:1"}}
    assert device.resolve(labels) == labels


@pytest.mark.parametrize(
    ("gpus", "labels"), [(0, ["cpu"]), (1, ["cpu", "gpu"]), (2, ["cpu", "gpu0", "gpu1"])]
)
def test_all_names_every_visible_gpu_and_auto_one_where_they_are_equal(monkeypatch, gpus, labels):
    monkeypatch.setattr(device, "visible_gpus", lambda: gpus)
    for models, auto in (({"H100"}, ["cpu", "gpu"][: gpus + 1]), ({"H100", "T4"}, labels)):
        monkeypatch.setattr(device, "gpu_models", lambda models=models: models)
        assert list(device.resolve("all")) == labels
        assert list(device.resolve("auto")) == auto


def test_the_cpu_connects():
    assert device.connect("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["tpu9", "cuda:99", "xpu:0"])
def test_what_is_not_there_says_why_in_one_line(name):
    with pytest.raises(device.Unavailable) as error:
        device.connect(name)
    assert str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("error", [RuntimeError, torch.cuda.DeferredCudaCallError])
def test_a_gpu_that_does_not_start_is_unavailable(monkeypatch, error):
    def start(*_, **__):
        raise error("CUDA call failed lazily at initialization\n\nCUDA call was invoked at: …")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "ones", start)
    with pytest.raises(device.Unavailable, match=r"cannot use cuda:1 here: CUDA call .*tion$"):
        device.reach("cuda:1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_the_checks_of_a_gpu_say_that_there_is_none() -> None:
    command = [sys.executable, ROOT / "tests/gpu/check.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("Nothing is checked: no GPU: ")


def test_threads_are_clamped_to_the_usable_cores():
    before = torch.get_num_threads()
    try:
        assert device.use_threads(10_000) == device.usable_cores()
        assert device.use_threads(1) == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", None), ("200000 100000", 2.0), ("50000 100000", 0.5)]
)
def test_quota_of_control_groups_version_2(tmp_path, text, cores):
    (tmp_path / "cpu.max").write_text(text)
    assert device.cpu_quota(tmp_path) == cores


def test_quota_of_control_groups_version_1(tmp_path):
    (tmp_path / "cpu.cfs_quota_us").write_text("150000")
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    assert device.cpu_quota(tmp_path) == 1.5
    (tmp_path / "cpu.cfs_quota_us").write_text("-1")
    assert device.cpu_quota(tmp_path) is None


def test_no_control_group_no_quota(tmp_path):
    assert device.cpu_quota(tmp_path) is None


def test_groups_above_count_too(tmp_path):
    """A cluster's job is limited by its own group, a user by that of the session."""
    seen = device.control_groups("cpu", "0::/slurm/job\n", tmp_path)
    assert seen == [tmp_path / "slurm/job", tmp_path / "slurm", tmp_path]
    old = device.control_groups("cpu", "3:cpu,cpuacct:/a\n4:memory:/b\n", tmp_path)
    assert old == [tmp_path / "cpu/a", tmp_path / "cpu"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity (Linux)")
def test_usable_cores_follow_the_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert device.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
