"""Write what the models of the configuration say: the schema that editors read, and a reference.

    python workflow/reference.py

Both hold the defaults of config.yaml, so they are written again when it changes.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from assay import configuration  # noqa: E402

Schema = dict[str, Any]

WRITTEN = "Written by `python workflow/reference.py` from the models in workflow/scripts/assay"
HEAD = f"""\
# The configuration

<!-- {WRITTEN}. -->

Every key of `config.yaml`. To change some, write them into a file of your own and run
`snakemake --cores all --configfile yours.yaml`: it is merged over `config.yaml`, where a list takes
the place of a list. `config.yaml` gives the reason of each value. An unknown key or an impossible
value is refused with a sentence before anything runs. A `*` stands for a name, or for an entry
of a list.
"""
TABLE = ["| key | what it is | default | meaning |", "|---|---|---|---|"]
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
KINDS = {"string": "text", "boolean": "true or false", "object": "mapping"}


def main() -> None:
    """Write the schema and the reference."""
    for path, text in files().items():
        (ROOT / path).write_text(text, encoding="utf-8")


def files() -> dict[str, str]:
    """The text of each file that is written here, by its path."""
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    schema = with_defaults(configuration.schema(), defaults)
    return {
        "workflow/schemas/config.schema.yaml": schema_text(schema),
        "docs/configuration.md": reference(schema),
    }


def with_defaults(schema: Schema, values: Any) -> Schema:
    """The same with a default at every value; a mapping of blocks has none."""
    if is_block(schema):
        below = {
            name: with_defaults(each, values[name]) if name in values else each
            for name, each in schema["properties"].items()
        }
        return schema | {"properties": below}
    return schema if is_mapping(schema) else schema | {"default": values}


def is_block(schema: Any) -> bool:
    """Whether keys stand below, all of them known."""
    return isinstance(schema, dict) and schema.get("additionalProperties") is False


def is_mapping(schema: Schema) -> bool:
    """Whether blocks stand below, under any names."""
    return "properties" not in schema and is_block(schema.get("additionalProperties"))


def schema_text(schema: Schema) -> str:
    """The schema as YAML, small blocks on one line."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of torch-assay",
    }
    plain = json.loads(json.dumps(head | schema))  # no aliases
    return f"# {WRITTEN}.\n" + yaml.safe_dump(
        plain, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def reference(schema: Schema) -> str:
    """The reference as Markdown: a table for each block."""
    blocks = dict(schema["properties"])
    studies, questions = blocks.pop("studies"), blocks.pop("questions")
    run = {name: each for name, each in blocks.items() if not is_block(each)}
    lines = [HEAD, *section("## The run", "What is asked, of what.", run)]
    for name in [name for name in blocks if name not in run]:
        lines += section(f"## `{name}`", blocks[name]["description"], {name: blocks[name]})
    lines += section("## `questions`", questions["description"], {"questions": questions})
    lines += ["## `studies`", "", studies["description"], ""]
    for name, each in studies["properties"].items():
        lines += section(f"### `{name}`", each["description"], each["properties"])
    return "\n".join(lines)


def section(heading: str, words: str, keys: Mapping[str, Schema]) -> list[str]:
    """A heading, what it is about, and a row for each value below these keys."""
    rows = [row(*leaf) for key, each in keys.items() for leaf in leaves(each, key)]
    return [heading, "", words, "", *TABLE, *rows, ""]


def leaves(schema: Schema, key: str = "") -> Iterator[tuple[str, Schema]]:
    """Each key that holds a value, with its schema; ``*`` stands for any name or entry."""
    if key and not is_block(schema) and not is_mapping(schema):
        yield key, schema
    for each in (schema, *schema.get("anyOf", [])):
        if is_block(each):
            for name, below in each["properties"].items():
                yield from leaves(below, f"{key}.{name}" if key else name)
        elif is_mapping(each):
            yield from leaves(each["additionalProperties"], f"{key}.*")
        elif is_block(each.get("items")):
            yield from leaves(each["items"], f"{key}.*")


def row(key: str, schema: Schema) -> str:
    """A row of a table."""
    default = f"`{on_one_line(schema['default'])}`" if "default" in schema else ""
    cells = (f"`{key}`", kind(schema), default, schema.get("description", ""))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def on_one_line(value: Any) -> str:
    """A value as it may stand in a configuration."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()


def kind(schema: Schema) -> str:
    """What a value has to be, in words."""
    if "anyOf" in schema:
        return " or ".join(map(kind, schema["anyOf"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        *others, last = (f"`{value}`" for value in schema["enum"])
        return f"{', '.join(others)} or {last}"
    if schema["type"] == "array":
        return f"list, each {kind(schema['items'])}"
    kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    bounds = [f"{sign} {schema[rule]}" for rule, sign in BOUNDS.items() if rule in schema]
    return " ".join(
        [" or ".join(KINDS.get(each, each) for each in kinds), ", ".join(bounds)]
    ).strip()


if __name__ == "__main__":
    main()
