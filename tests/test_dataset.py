"""The data set: the real files, every source, and every way a file can be wrong."""

import gzip
import json
import shutil
from pathlib import Path

import fetch_dataset
import numpy as np
import pytest
import torch
from assay.learning import dataset
from assay.learning.dataset import FULL, SAMPLE, DatasetError
from assay.record import DatasetInfo
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

EMBEDDED = ROOT / "resources/fashion-mnist-10k"
IMAGES = "t10k-images-idx3-ubyte"
LABELS = "t10k-labels-idx1-ubyte"
needs_package = pytest.mark.skipif(
    not fetch_dataset.INSTALLED.is_dir(),
    reason="needs Debian's package dataset-fashion-mnist, installed",
)


@pytest.fixture
def copy(tmp_path):
    """The embedded files in a folder of their own."""
    return shutil.copytree(EMBEDDED, tmp_path / "copy")


def settings_of(**changes):
    values = {"size": "full", "sources": [], "folder": None, "fallback": "sample"}
    return ["--settings", json.dumps(values | changes)]


# ---- files ---------------------------------------------------------------------------------------


def test_the_sample_is_split_evenly_over_the_classes():
    arrays = dataset.read_sample(EMBEDDED)
    assert arrays["images"].shape == (8000, 28, 28)
    assert arrays["test_images"].shape == (2000, 28, 28)
    assert np.bincount(arrays["labels"]).tolist() == [800] * 10
    assert np.bincount(arrays["test_labels"]).tolist() == [200] * 10


def test_an_archive_may_be_unpacked(copy):
    packed = copy / f"{IMAGES}.gz"
    (copy / IMAGES).write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    assert dataset.digest(dataset.read_sample(copy)) == dataset.digest(
        dataset.read_sample(EMBEDDED)
    )


def test_an_archive_may_be_packed_otherwise(copy):
    packed = copy / f"{IMAGES}.gz"
    packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes()), compresslevel=1))
    dataset.read_sample(copy)


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def tamper(content: bytes) -> bytes:
    plain = bytearray(gzip.decompress(content))
    plain[-1] ^= 1
    return gzip.compress(bytes(plain), compresslevel=1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (truncate, "cut short"),
        (tamper, "not Fashion-MNIST's t10k-images"),
        (lambda _: b"", "not Fashion-MNIST's"),
        (lambda _: b"hello", "cut short or damaged"),
        (lambda _: (EMBEDDED / f"{LABELS}.gz").read_bytes(), "not Fashion-MNIST's t10k-images"),
    ],
    ids=["truncated", "tampered", "empty", "no archive", "swapped"],
)
def test_a_wrong_file_is_refused_by_name(copy, spoil, says):
    path = copy / f"{IMAGES}.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DatasetError, match=says) as error:
        dataset.read_sample(copy)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(copy):
    (copy / f"{LABELS}.gz").unlink()
    with pytest.raises(DatasetError, match=f"{LABELS}: no such file"):
        dataset.read_sample(copy)


# ---- one file for the jobs -----------------------------------------------------------------------


def made(path):
    fetch_dataset.main([*settings_of(size="sample"), "--output", str(path)])
    return dataset.read(path)


def test_a_job_reads_what_was_written(tmp_path):
    seen = made(tmp_path / "data.safetensors")
    assert seen.images.dtype == torch.uint8
    assert seen.info.name == seen.info.asked == SAMPLE
    assert seen.info.reason is None
    assert torch.equal(
        seen.images, torch.from_numpy(dataset.read_sample(EMBEDDED)["images"].copy())
    )


def test_a_changed_file_is_refused(tmp_path):
    path = tmp_path / "data.safetensors"
    made(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="its content was changed"):
        dataset.read(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 100])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "data.safetensors"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"data\.safetensors: not a whole data set"):
        dataset.read(path)


def test_a_missing_data_set_says_how_to_make_it(tmp_path):
    with pytest.raises(DatasetError, match="Make it with: snakemake"):
        dataset.read(tmp_path / "none.safetensors")


def test_digests_tell_data_sets_apart():
    arrays = dataset.read_sample(EMBEDDED)
    other = arrays | {"labels": arrays["labels"][::-1]}
    assert dataset.digest(arrays) != dataset.digest(other)
    assert dataset.digest(arrays) == dataset.digest(dict(reversed(arrays.items())))


# ---- sources -------------------------------------------------------------------------------------


@needs_package
def test_the_full_set_from_the_installed_package(tmp_path):
    path = tmp_path / "full.safetensors"
    fetch_dataset.main([*settings_of(sources=["folder", "installed"]), "--output", str(path)])
    seen = dataset.read(path)
    assert seen.images.shape == (60_000, 28, 28)
    assert seen.test_images.shape == (10_000, 28, 28)
    assert seen.labels.bincount().tolist() == [6000] * 10
    assert (seen.info.name, seen.info.asked, seen.info.source) == (FULL, FULL, "installed")


@needs_package
def test_the_full_set_from_a_folder(tmp_path):
    folder = str(fetch_dataset.INSTALLED)
    arguments = settings_of(sources=["folder"], folder=folder)
    fetch_dataset.main([*arguments, "--output", str(tmp_path / "full.safetensors")])
    assert dataset.read(tmp_path / "full.safetensors").info.source == "folder"


@pytest.mark.parametrize("inside", [".", "FashionMNIST/raw", "raw"])
def test_a_folder_may_be_torchvisions_or_in_the_home(tmp_path, monkeypatch, inside):
    place = tmp_path / "data" / inside
    place.mkdir(parents=True)
    (place / "train-images-idx3-ubyte").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch_dataset.configured(tmp_path, Path("~/data")).samefile(place)


def test_without_any_source_the_sample_stands_in_and_says_why(tmp_path, capsys):
    path = tmp_path / "data.safetensors"
    missing = str(tmp_path / "nothing here")
    fetch_dataset.main([*settings_of(sources=["folder"], folder=missing), "--output", str(path)])
    info = dataset.read(path).info
    assert (info.name, info.asked, info.source) == (SAMPLE, FULL, "embedded sample")
    assert info.reason == "folder: dataset.folder: there is no such folder"


def test_without_a_fallback_it_is_an_error(tmp_path):
    arguments = settings_of(sources=["folder"], fallback="none")
    with pytest.raises(
        SystemExit, match=r"dataset\.fallback is none: folder: dataset\.folder is not"
    ):
        fetch_dataset.main([*arguments, "--output", str(tmp_path / "data.safetensors")])
    assert list(tmp_path.iterdir()) == []


def test_a_tampered_folder_is_passed_over_by_name(copy, tmp_path):
    path = copy / f"{IMAGES}.gz"
    path.write_bytes(tamper(path.read_bytes()))
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (copy / name).write_bytes(b"")
    output = tmp_path / "data.safetensors"
    fetch_dataset.main(
        [*settings_of(sources=["folder"], folder=str(copy)), "--output", str(output)]
    )
    reason = str(dataset.read(output).info.reason)
    assert reason.startswith("folder: train-images-idx3-ubyte: not Fashion-MNIST's")
    assert str(copy) not in reason


def test_a_machine_without_a_network(tmp_path, monkeypatch):
    """torchvision's download is refused; the reason is one line."""
    from urllib.error import URLError

    def no_network(*arguments, **options):
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(fetch_dataset.NotHere, match="torchvision could not download it") as error:
        fetch_dataset.downloaded(tmp_path, None)
    assert "\n" not in str(error.value)


def test_a_machine_without_apt(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(fetch_dataset.NotHere, match="no apt-get"):
        fetch_dataset.unpacked(tmp_path, None)


@pytest.mark.skipif(not shutil.which("apt-get"), reason="needs apt (Debian)")
def test_the_package_is_unpacked_without_installing_it(tmp_path):
    try:
        folder = fetch_dataset.unpacked(tmp_path, None)
    except fetch_dataset.NotHere as reason:
        pytest.skip(f"{reason}: no network, or no package list")
    assert dataset.read_full(folder)["images"].shape == (60_000, 28, 28)


# ---- splitting -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=300),
    st.floats(0.01, 0.5),
    st.integers(0, 2**31),
)
def test_a_split_is_a_stratified_partition(labels, share, seed):
    classes = torch.tensor(labels, dtype=torch.uint8)
    parts = dataset.split(classes, share, seed)
    both = torch.cat([parts.training, parts.validation])
    assert sorted(both.tolist()) == list(range(len(labels)))
    for label in set(labels):
        taken = int((classes[parts.validation] == label).sum())
        assert abs(taken - share * labels.count(label)) <= 0.5
    again = dataset.split(classes, share, seed)
    assert torch.equal(parts.training, again.training)


def test_the_split_of_the_full_set_has_the_sizes_of_the_method():
    labels = torch.arange(60_000) % 10
    parts = dataset.split(labels, 0.16666667, seed=1)
    assert (len(parts.training), len(parts.validation)) == (50_000, 10_000)


def test_pixels_lie_between_0_and_1():
    images = torch.from_numpy(dataset.read_sample(EMBEDDED)["test_images"].copy())
    values = dataset.pixels(images, torch.device("cpu"))
    assert values.shape == (2000, 784)
    assert (values.min(), values.max()) == (0, 1)


def test_info_is_strict():
    with pytest.raises(ValueError, match="surprise"):
        DatasetInfo.model_validate({"name": "x", "surprise": 1})
