"""Whether a configuration can be run: the strict schema, and the checks across keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

BYTES = {"float64": 8, "float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}


class ConfigurationError(ValueError):
    """A configuration that cannot be run; one message with key, value and what is allowed."""


def check(config: Mapping[str, Any], schema: Path) -> None:
    """Check the merged configuration against the schema, then across its keys.

    Raises:
        ConfigurationError: The first thing that is wrong.
    """
    rules = yaml.safe_load(schema.read_text(encoding="utf-8"))
    error = best_match(Draft202012Validator(rules).iter_errors(config))
    if error is not None:
        raise ConfigurationError(sentence(error))
    for problem in across_keys(config, psutil.virtual_memory().total):
        raise ConfigurationError(problem)


def sentence(error: ValidationError) -> str:
    """What is wrong, in words: the key, the value, and what is allowed."""
    key = _dotted(error.absolute_path)
    rule = error.validator
    value: Any = error.instance
    allowed: Any = error.validator_value
    schema: Any = error.schema
    properties = schema.get("properties", {})
    match rule:
        case "additionalProperties":
            unknown = ", ".join(_join(key, name) for name in value if name not in properties)
            known = ", ".join(properties) or "nothing"
            return f"config: unknown key {unknown}; allowed here: {known}."
        case "required":
            absent = ", ".join(_join(key, name) for name in allowed if name not in value)
            return f"config: missing key {absent}; every key of config.yaml is needed."
        case "enum":
            return f"config: {key} is {value!r}; allowed: {', '.join(map(str, allowed))}."
        case "type":
            kinds = allowed if isinstance(allowed, str) else " or ".join(allowed)
            return f"config: {key} is {value!r}; it must be of type {kinds}.{_hint(value, kinds)}"
        case "uniqueItems":
            return f"config: {key} is {value!r}; no entry may stand there twice."
        case "minItems" | "minProperties":
            return f"config: {key} is empty; give at least one entry."
        case "pattern":
            return f"config: {key} is {value!r}; it must match {allowed}."
        case "oneOf":
            what = schema.get("description", "one of several forms")
            return f"config: {key} is {value!r}; allowed: {what}."
        case _:
            return f"config: {key} is {value!r}; {rule} is {allowed}."


def _hint(value: object, kinds: str) -> str:
    """Help for common slips: text that looks like what is asked for."""
    if not isinstance(value, str) or kinds not in ("number", "integer", "boolean"):
        return ""
    if value in ("true", "false") or value.lstrip("-").replace(".", "", 1).isdigit():
        return (
            " Quotes make it text, and so does Snakemake inside --config key='{…}': write it into "
            "a file, without quotes, and add --configfile."
        )
    try:
        float(value)
    except ValueError:
        return ""
    return " Write it without quotes and without an exponent (0.001, not 1e-3)."  # YAML 1.1


def _dotted(path: Any) -> str:
    parts = ""
    for part in path:
        parts += f"[{part}]" if isinstance(part, int) else f".{part}" if parts else str(part)
    return parts


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def across_keys(config: Mapping[str, Any], memory_bytes: int) -> Iterator[str]:
    """What a schema cannot say: one sentence per contradiction between keys."""
    protocol = config["protocol"]
    if protocol["rounds_most"] < protocol["rounds_least"]:
        yield (
            f"config: protocol.rounds_most is {protocol['rounds_most']}, less than "
            f"protocol.rounds_least, {protocol['rounds_least']}."
        )
    if config["devices"] == [] and not config["records"]:
        yield "config: devices is empty, and so is records; there is nothing to measure or to show."
    yield from _labels(config["devices"])
    yield from _alignment(config["studies"]["alignment"], memory_bytes)
    yield from _resume(config["studies"]["resume"]["settings"])
    for study, axis in (("registration", "storage"), ("composition", "structure")):
        yield from _named_once(
            f"studies.{study}.axes.{axis}", config["studies"][study]["axes"][axis]
        )
    yield from _implementation(config["studies"]["implementation"])
    for name, question in config["questions"].items():
        yield from _own_axes(name, question, config["studies"])


def _named_once(key: str, values: Sequence[str]) -> Iterator[str]:
    """Of an axis whose values are names joined by +, each of which shares a job."""
    count = Counter(name for value in values for name in value.split("+"))
    twice = [name for name, times in count.items() if times > 1]
    if twice:
        yield f"config: {key} names {', '.join(twice)} more than once; one job each is enough."


def _own_axes(name: str, question: Mapping[str, Any], studies: Mapping[str, Any]) -> Iterator[str]:
    known = sorted({axis for study in question["studies"] for axis in studies[study]["axes"]})
    for axis in question.get("axes", {}):
        if axis not in known:
            yield (
                f"config: questions.{name}.axes.{axis}: none of its studies has this axis; "
                f"allowed: {', '.join(known) or 'nothing'}."
            )


def _labels(devices: object) -> Iterator[str]:
    """A resource that one label names and another does not would be left to the cluster."""
    labels = devices if isinstance(devices, dict) else {}
    named = {label: set(block.get("resources", {})) - {"gpu"} for label, block in labels.items()}
    every: set[str] = set().union(*named.values())
    for label, names in named.items():
        if names != every:
            absent = ", ".join(sorted(every - names))
            yield (
                f"config: devices.{label}.resources lacks {absent}, which another label names; "
                "name the same resources for every label (gpu apart)."
            )


def _alignment(study: Mapping[str, Any], memory_bytes: int) -> Iterator[str]:
    sizes, settings = study["axes"]["n"], study["settings"]
    if settings["anchor"] not in sizes:
        yield (
            f"config: studies.alignment.settings.anchor is {settings['anchor']}, which is not "
            f"among studies.alignment.axes.n; allowed: {', '.join(map(str, sizes))}."
        )
    # Three arms of three matrices each, in the widest number format.
    largest, width = max(sizes), max(BYTES[name] for name in settings["dtypes"])
    needed = 9 * largest**2 * width
    if needed > memory_bytes / 2:
        allowed = int((memory_bytes / 2 / 9 / width) ** 0.5)
        yield (
            f"config: studies.alignment.axes.n holds {largest}, whose operands need "
            f"{needed / 1e9:.1f} GB, more than half of this machine's "
            f"{memory_bytes / 1e9:.1f} GB; the largest size that fits is {allowed}."
        )


def _resume(settings: Mapping[str, Any]) -> Iterator[str]:
    where = "config: studies.resume.settings"
    if settings["kill_at"] < settings["every"]:
        yield (
            f"{where}.kill_at is {settings['kill_at']}, before the first checkpoint; "
            f"allowed: from every, {settings['every']}, on."
        )
    if settings["steps"] <= settings["kill_at"]:
        yield (
            f"{where}.steps is {settings['steps']}, and nothing is left to continue after "
            f"kill_at, {settings['kill_at']}; allowed: more than that."
        )
    if settings["kill_after_s"][0] > settings["kill_after_s"][1]:
        yield f"{where}.kill_after_s is {settings['kill_after_s']}; the shorter time stands first."


def _implementation(study: Mapping[str, Any]) -> Iterator[str]:
    """Shapes with more layers than the settings describe."""
    settings, key = study["settings"], "studies.implementation"
    described = {
        "depth": ("perceptron.hidden", settings["perceptron"]["hidden"]),
        "convolution": ("convolution.channels", settings["convolution"]["channels"]),
    }
    for shape in study["axes"]["shape"]:
        family, number = shape.split("-")
        name, layers = described.get(family, ("", None))
        if layers is not None and int(number) > len(layers):
            yield (
                f"config: {key}.axes.shape holds {shape}, but {key}.settings.{name} describes "
                f"{len(layers)} layers; allowed: {family}-1 to {family}-{len(layers)}."
            )
