"""The configuration: every mistake gets one sentence with key, value and what is allowed."""

import copy
import math
from datetime import date
from typing import Any

import pytest
import yaml
from assay import configuration
from conftest import ROOT, load, plan
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

reference = load(ROOT / "workflow/reference.py")
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())


def changed(path: str, value: Any) -> dict[str, Any]:
    """The default configuration with one key changed; the value ``...`` removes it."""
    config = copy.deepcopy(DEFAULT)
    *parents, last = path.split(".")
    block = config
    for name in parents:
        block = block[name]
    if value is ...:
        del block[last]
    else:
        block[last] = value
    return config


def complaint(config: dict[str, Any]) -> str:
    with pytest.raises(configuration.ConfigurationError) as error:
        configuration.check(config)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("config: ")
    return message


def accept(config: dict[str, Any]) -> None:
    """By the models, and by the schema that is written from them."""
    configuration.check(config)
    Draft202012Validator(configuration.schema()).validate(config)


def test_a_study_may_have_nothing_to_measure():
    accept(changed("studies.search.axes.strategy", []))


def test_the_default_is_valid():
    accept(DEFAULT)


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_presets_are_valid_over_the_default(preset):
    config = plan.merged([str(ROOT / f"workflow/presets/{preset}.yaml")])
    accept(config)
    assert config["preset"] == preset


SIZES = "studies.alignment.axes.n"
SETTINGS = "studies.alignment.settings"
STORAGE = "studies.registration.axes.storage"
HIDDEN, RATES = "questions.width.axes.hidden", "questions.rate.axes.rate"
BUS = "studies.hardware.settings.cpu_memory_bus"
RESUME = "studies.resume.settings"
IMPLEMENTATION = "studies.implementation.settings"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("seeed", 1, ["unknown key seeed", "seed"]),
        ("protocol.cap", 1, ["unknown key protocol.cap", "cap_s"]),
        ("seed", ..., ["missing key seed"]),
        ("protocol.cpu.block_s", ..., ["missing key protocol.cpu.block_s"]),
        ("seed", "one", ["seed", "'one'", "integer"]),
        ("protocol.cap_s", "1e-3", ["protocol.cap_s", "0.001, not 1e-3"]),
        ("protocol.cap_s", "4.5", ["protocol.cap_s", "--configfile"]),
        ("compare.references", "true", ["compare.references", "--configfile"]),
        ("protocol.rounds_least", 5, ["protocol.rounds_least", "5", "6"]),
        ("protocol.rounds_most", 10, ["protocol.rounds_most is 10", "rounds_least, 20"]),
        ("protocol.confidence", 0.999, ["loader.settings.rounds_least is 10", "confidence 0.999"]),
        (SIZES, [], [SIZES, "empty"]),
        (SIZES, [1024, 1024], [SIZES, "twice"]),
        (SIZES, [1024, 1.5], [f"{SIZES}[1]", "1.5", "integer"]),
        (SIZES, [8], ["anchor is 1024", "allowed: 8"]),
        (SIZES, [1024, 65536], ["65536", "the largest size that fits is"]),
        (f"{SETTINGS}.dtypes", ["float31"], ["dtypes[0]", "'float31'", "bfloat16"]),
        (f"{SETTINGS}.layouts", [{"n": 8, "layout": "diagonal"}], ["'diagonal'", "offset"]),
        (STORAGE, ["shelf"], [f"{STORAGE}[0]", "'shelf'", "module_list"]),
        (STORAGE, ["list", "tuple+list"], [STORAGE, "names list more than once"]),
        ("ask", [], ["ask is empty"]),
        ("ask", ["meaning_of_life"], ["ask[0]", "'meaning_of_life'", "alignment"]),
        ("ask", ["hardware", "hardware"], ["ask", "twice"]),
        ("devices", [], ["devices is empty, and so is records"]),
        ("devices", {"a": {"device": "cpu", "threads": 0}}, ["devices"]),
        (
            "devices",
            {"a": {"device": "cpu", "resources": {"slurm_partition": "x; rm"}}},
            ["devices"],
        ),
        (
            "devices",
            {"a": {"device": "cpu"}, "b": {"device": "cpu", "resources": {"qos": "q", "gpu": 1}}},
            ["devices.a.resources lacks qos"],
        ),
        ("records", "../lab", ["records", "array"]),
        ("devices", ["toaster"], ["devices", "'toaster'"]),
        ("devices", ["cpu", "cpu"], ["devices", "twice"]),
        ("devices", "any", ["devices", "'any'", "auto"]),
        ("devices", {"GPU 1": {"device": "cuda:0"}}, ["devices", "GPU 1"]),
        ("devices", {"gpu": {"device": "cuda:0; rm -rf ~"}}, ["devices", "rm -rf"]),
        ("devices", {"gpu": {}}, ["devices", "device"]),
        ("devices", ["relu; rm -rf ~"], ["devices", "rm -rf"]),
        ("preset", "../../etc", ["preset", "must match"]),
        (HIDDEN, [256, "256-0"], [f"{HIDDEN}[1]", "'256-0'", "must match"]),
        (HIDDEN, ["256; rm -rf ~"], [f"{HIDDEN}[0]", "must match"]),
        (HIDDEN, [date(1024, 10, 10)], [f"{HIDDEN}[0]", "integer or string"]),  # unquoted
        (RATES, [1e-5], [f"{RATES}[0]", "0.0001"]),
        ("questions.width.axes", {"n": [1]}, ["unknown key questions.width.axes.n", "hidden"]),
        ("questions.hardware.axes", {"rate": [1]}, ["questions.hardware.axes.rate", "nothing"]),
        ("questions.activation.axes", {"rate": [1]}, ["axes.rate", "allowed: activation"]),
        ("studies.search.axes.strategy", ["luck"], ["strategy[0]", "'luck'", "grid, random"]),
        ("seed", 1.0, ["seed", "1.0", "integer"]),
        ("protocol.patience", math.inf, ["protocol.patience", "inf", "finite"]),
        ("dataset.size", 3, ["dataset.size is 3", "full, sample"]),
        ("dataset.folder", 3, ["dataset.folder", "string or null"]),
        ("devices", {"gpu": {"device": "cuda", "thread": 3}}, ["devices.gpu.thread", "threads"]),
        ("questions.shelf", {}, ["unknown key questions.shelf", "alignment"]),
        ("questions.width.studies", ["shelf"], ["studies[0]", "'shelf'", "perceptron"]),
        ("questions.width.axes", {}, ["questions.width.axes is empty"]),
        ("questions.width", ..., ["missing key questions.width"]),
        ("studies.perceptron.axes.rate", [0.1, 0.3], ["questions.width", "allowed: one rate"]),
        (HIDDEN, [64, "64-64"], ["questions.width", "one hidden layer or none"]),
        ("questions.depth.axes.hidden", [64, 128], ["questions.depth", "one network of each"]),
        ("questions.bottleneck.axes.hidden", [64, "128-1"], ["with and without a last layer"]),
        ("questions.rate.axes", {"rate": [0.1], "hidden": [64, 128]}, ["allowed: one network"]),
        (BUS, 128, [f"{BUS} is 128", "null, or {bits: …, source: …}"]),
        (BUS, {"bits": 128}, [f"missing key {BUS}.source"]),
        (f"{IMPLEMENTATION}.tolerance", {"float16": 0.1}, ["key", "tolerance.float16", "float64"]),
        ("studies.transfer.axes.images", [0], ["images[0] is 0"]),
        (f"{RESUME}.kill_at", 5, [f"{RESUME}.kill_at is 5", "before the first checkpoint"]),
        (f"{RESUME}.steps", 20, [f"{RESUME}.steps is 20", "kill_at, 50"]),
        (f"{RESUME}.kill_after_s", [2, 1], [f"{RESUME}.kill_after_s", "shorter time"]),
        ("studies.search.settings.rate.least", 3, ["rate.least is 3", "less than", "most, 1"]),
        (
            "studies.search.settings.rate.most",
            ...,
            ["missing key", "settings.rate.most"],
        ),
    ],
)
def test_a_mistake_gets_one_sentence(path, value, says):
    message = complaint(changed(path, value))
    assert all(words in message for words in says), message


def test_a_key_that_yaml_reads_as_a_truth_value_is_named():
    assert "unknown key True" in complaint(DEFAULT | {True: 1})  # on: 1


def test_operands_that_do_not_fit_into_this_memory_are_named():
    with pytest.raises(configuration.ConfigurationError, match=r"holds 1032, .* fits is 1020\.$"):
        configuration.check(DEFAULT, memory_bytes=150_000_000)


def test_what_is_generated_is_in_step_with_the_models_and_with_the_defaults():
    for path, text in reference.files().items():
        assert (ROOT / path).read_text() == text, "python workflow/reference.py"


def test_every_value_has_a_type_and_a_meaning():
    leaves = dict(reference.leaves(configuration.schema()))
    assert len(leaves) > 200
    assert [
        key for key, schema in leaves.items() if not {"type", "description"} <= set(schema)
    ] == []


@pytest.mark.parametrize(
    "devices",
    [
        "auto",
        ["cpu"],
        ["cpu", "gpu", "gpu1", "mps"],
        {"h100": {"device": "cuda:0"}},
        {"h100": {"device": "cuda", "threads": 8, "resources": {"gpu": 1, "slurm_partition": "g"}}},
    ],
)
def test_forms_of_devices(devices):
    accept(changed("devices", devices))


@given(st.text(min_size=1))
def test_no_label_reaches_a_path_or_a_shell_unless_it_is_plain(label):
    config = changed("devices", {label: {"device": "cpu"}})
    plain = all(c in "abcdefghijklmnopqrstuvwxyz0123456789_" for c in label) and len(label) <= 32
    if plain:
        configuration.check(config)
    else:
        complaint(config)
