"""The configuration: every mistake gets one sentence with key, value and what is allowed."""

import copy
from datetime import date
from typing import Any

import pytest
import yaml
from assay import configuration
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
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
        configuration.check(config, SCHEMA)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("config: ")
    return message


def test_a_study_may_have_nothing_to_measure():
    configuration.check(changed("studies.search.axes.strategy", []), SCHEMA)


def test_the_default_is_valid():
    configuration.check(DEFAULT, SCHEMA)


@pytest.mark.parametrize("preset", ["quick", "full"])
def test_presets_are_valid_over_the_default(preset):
    from snakemake.utils import update_config

    config = copy.deepcopy(DEFAULT)
    update_config(config, yaml.safe_load((ROOT / f"workflow/presets/{preset}.yaml").read_text()))
    configuration.check(config, SCHEMA)
    assert config["preset"] == preset


SIZES = "studies.alignment.axes.n"
SETTINGS = "studies.alignment.settings"
STORAGE = "studies.registration.axes.storage"
HIDDEN, RATES = "questions.width.axes.hidden", "questions.rate.axes.rate"


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
    configuration.check(changed("devices", devices), SCHEMA)


@given(st.text(min_size=1))
def test_no_label_reaches_a_path_or_a_shell_unless_it_is_plain(label):
    config = changed("devices", {label: {"device": "cpu"}})
    plain = all(c in "abcdefghijklmnopqrstuvwxyz0123456789_" for c in label) and len(label) <= 32
    if plain:
        configuration.check(config, SCHEMA)
    else:
        complaint(config)
