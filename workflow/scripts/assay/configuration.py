"""Whether a configuration can be run: models of its blocks, and a sentence for what is wrong.

``python workflow/reference.py`` writes the schema that editors read, and the reference for people.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

import psutil
from pydantic import ConfigDict, Field, ValidationError, model_validator

from assay.studies import (
    Block,
    Count,
    HalfWidth,
    Hidden,
    LeastSets,
    MostSets,
    Once,
    Rates,
    Rounds,
    RoundsMost,
    Seconds,
    Several,
    Share,
    Studies,
    means,
)

if TYPE_CHECKING:
    from jsonschema.exceptions import _Error as SchemaError

    StudyName = str
else:
    StudyName = Literal[tuple(Studies.model_fields)]

Question = Literal[
    "hardware", "bandwidth", "alignment", "crossover", "norm_log", "two_devices", "decade",
    "implementation", "activation", "initialization", "reproduction", "registration", "composition",
    "parameters", "custom_layers", "checkpoint", "placement", "width", "depth", "bottleneck",
    "rate", "loader", "precision", "batch", "fleet",
]  # fmt: skip
Label = Annotated[str, Field(pattern="^[a-z0-9_]{1,32}$")]
BareLabel = Annotated[str, Field(pattern="^(cpu|mps|(gpu|cuda_?|xpu_?)[0-9]*)$")]
ResourceName = Annotated[str, Field(pattern="^[a-z][a-z_]{0,31}$")]
Resource = Annotated[
    Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern="^[A-Za-z0-9_.,:=@+-]{1,100}$")],
    means("a number, or plain text"),
]


class ConfigurationError(ValueError):
    """A configuration that cannot be run; one message with key, value and what is allowed."""


# ---- the models ----------------------------------------------------------------------------------


class Device(Block):
    """What stands behind a label."""

    device: str = means("what torch is asked for", pattern="^(cpu|mps|(cuda|xpu)(:[0-9]+)?)$")
    threads: Count | None = means("CPU threads of its timing jobs", default=None)
    resources: dict[ResourceName, Resource] = means(
        "Snakemake resources of all its jobs, such as a cluster's partition", default_factory=dict
    )


class Compare(Block):
    """What else to show beside this run."""

    references: bool = means("whether the records that come with this are shown")


class Pace(Block):
    """Pace of a trial on this kind of device."""

    half_width: HalfWidth
    block_s: Seconds = means("seconds of a block at least")
    block_least_s: Seconds = means("the same beside a neighbour that disturbs longer ones")
    lead_in_s: float = means(
        "seconds that an arm of short calls beside long ones runs untimed before its block", ge=0
    )
    energy_s: float = means(
        "seconds in each stretch in which an arm's energy is counted, where it can be; 0: none",
        ge=0,
    )
    warmup_calls: Count = means("calls before the first round")
    warmup_s: float = means("seconds before the first round", ge=0)
    settle_s: float = means("seconds before the first trial at most", ge=0)


class Protocol(Block):
    """How a paired trial is run."""

    confidence: float = means(
        "confidence of the intervals that stop a trial and stand in its record; answers give 95 %",
        gt=0.5,
        lt=1,
    )
    rounds_least: Rounds = means("rounds that count at least")
    rounds_most: RoundsMost
    look_every: Count = means("rounds between two looks")
    cap_s: Seconds = means("seconds of rounds that count for one trial at most")
    patience: float = means("times cap_s that disturbed rounds and pauses may take", ge=0)
    operand_sets: MostSets
    operand_sets_least: LeastSets
    operand_bytes: int = means("bytes of all operand sets of a trial", ge=0)
    void_delay_share: Share = means(
        "share of a block that a thread waited for a core above which it is disturbed"
    )
    void_clock_share: Share = means("share of the settled SM clock below which a round is void")
    cpu: Pace
    gpu: Pace

    @model_validator(mode="after")
    def _most_is_no_less_than_least(self) -> Self:
        if self.rounds_most < self.rounds_least:
            raise ValueError(
                f"<here>.rounds_most is {self.rounds_most}, less than "
                f"<here>.rounds_least, {self.rounds_least}."
            )
        return self


class Dataset(Block):
    """Where Fashion-MNIST comes from."""

    size: Literal["full", "sample"] = means("which set")
    sources: Once[Literal["folder", "installed", "torchvision", "apt"]] = means(
        "where to look, in this order"
    )
    folder: str | None = means("folder with the four files")
    fallback: Literal["sample", "none"] = means("what to do when no source has it")


class OwnAxes(Block):
    """Values of its own, in place of those of its studies' axes."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    hidden: Hidden = Field(default_factory=list)
    rate: Rates = Field(default_factory=list)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("<here> is empty; give at least one entry.")
        return self


class About(Block):
    """How the report presents a question."""

    title: str = means("what it asks", min_length=1, max_length=120)
    # The categories of Snakemake's report, which are link targets.
    group: str = means("the heading it stands under", pattern="^[A-Za-z0-9 ]{1,40}$")
    exercise: str = means("the exercise it answers", min_length=1, max_length=2000)
    studies: Several[StudyName] = means("studies whose records it reads")
    axes: OwnAxes = Field(default_factory=OwnAxes.model_construct)


class Configuration(Block):
    """Every key is needed in the merged configuration, and no other is allowed."""

    preset: str = means(
        "what the report calls the run", pattern="^[A-Za-z0-9][A-Za-z0-9 _.-]{0,39}$"
    )
    ask: Several[Question] = means("the questions to answer, in the order of the report")
    devices: (
        Literal["auto", "all"]
        | Once[BareLabel]
        | Annotated[dict[Label, Device], Field(min_length=1)]
    ) = means("auto, all, a list of labels, or labels with the device behind each")
    records: Once[Annotated[str, Field(min_length=1)]] = means("folders with records of other runs")
    compare: Compare
    retry: bool = means(
        "whether a cell that lost a trial to a neighbour is measured once more, at the end"
    )
    seed: int = means("seed of every random number", ge=0, le=2**32 - 1)
    protocol: Protocol
    dataset: Dataset
    questions: dict[Question, About] = means("Title, exercise and studies of every question.")
    studies: Studies

    @model_validator(mode="after")
    def _every_question_is_there(self) -> Self:
        if absent := [name for name in get_args(Question) if name not in self.questions]:
            named = ", ".join(f"questions.{name}" for name in absent)
            raise ValueError(f"missing key {named}; every key of config.yaml is needed.")
        return self

    @model_validator(mode="after")
    def _something_to_show(self) -> Self:
        if self.devices == [] and not self.records:
            raise ValueError(
                "devices is empty, and so is records; there is nothing to measure or to show."
            )
        return self

    @model_validator(mode="after")
    def _every_label_names_the_same_resources(self) -> Self:
        """One that a label names and another does not would be left to the cluster."""
        labels = self.devices if isinstance(self.devices, dict) else {}
        named = {label: set(block.resources) - {"gpu"} for label, block in labels.items()}
        every: set[str] = set().union(*named.values())
        for label, names in named.items():
            if names != every:
                absent = ", ".join(sorted(every - names))
                raise ValueError(
                    f"devices.{label}.resources lacks {absent}, which another label names; "
                    "name the same resources for every label (gpu apart)."
                )
        return self

    @model_validator(mode="after")
    def _the_least_rounds_make_an_interval(self) -> Self:
        """That of a median leaves out what lies beyond all rounds: else it would be infinite."""
        loader = self.studies.loader.settings.rounds_least
        least = {"protocol": self.protocol.rounds_least, "studies.loader.settings": loader}
        for key, rounds in least.items():
            if 0.5 ** (rounds - 1) > 1 - self.protocol.confidence:
                raise ValueError(
                    f"{key}.rounds_least is {rounds}, too few for an interval at "
                    f"protocol.confidence {self.protocol.confidence}."
                )
        return self

    @model_validator(mode="after")
    def _own_axes_are_those_of_the_studies(self) -> Self:
        for name, question in self.questions.items():
            read = [getattr(self.studies, study) for study in question.studies]
            known = {axis for study in read for axis, _ in study.axes}
            for axis in sorted(question.axes.model_fields_set - known):
                raise ValueError(
                    f"questions.{name}.axes.{axis}: none of its studies has this axis; "
                    f"allowed: {', '.join(sorted(known)) or 'nothing'}."
                )
        return self

    @model_validator(mode="after")
    def _each_question_varies_one_thing(self) -> Self:
        """What else differed between two networks would be laid to what is asked."""
        study = self.studies.perceptron.axes
        for name, allowed in VARIED.items():
            own = self.questions[name].axes
            hidden, rates = own.hidden or study.hidden, own.rate or study.rate
            if name in self.ask and not _varies_one_thing(name, [*map(str, hidden)], len(rates)):
                raise ValueError(
                    f"questions.{name} is asked of networks that differ in more than its {name}; "
                    f"allowed: {allowed} (questions.{name}.axes, studies.perceptron.axes)."
                )
        return self


# What may differ between the networks of a question.
VARIED: dict[Question, str] = {
    "width": "one rate, and networks of one hidden layer or none",
    "depth": "one rate, and one network of each depth",
    "bottleneck": "one rate, and one network with and without a last layer",
    "rate": "one network",
}


def _varies_one_thing(question: str, hidden: Sequence[str], rates: int) -> bool:
    layers = [[] if each == "none" else each.split("-") for each in hidden]
    if question == "rate":
        return len(layers) == 1
    if question == "width":
        return rates == 1 and max(map(len, layers)) <= 1
    if question == "depth":
        return rates == 1 and len({len(each) for each in layers}) == len(layers)
    return rates == 1 and len({tuple(each[:-1] or each) for each in layers}) == 1


# ---- the check -----------------------------------------------------------------------------------


def check(config: Mapping[str, Any], memory_bytes: int | None = None) -> Configuration:
    """Check the merged configuration, key by key and across its keys.

    Args:
        config: The configuration as Snakemake merges it.
        memory_bytes: Memory that operands have to fit into; that of this machine when None.

    Raises:
        ConfigurationError: The first thing that is wrong.
    """
    context = {"memory_bytes": memory_bytes or psutil.virtual_memory().total}
    try:
        return Configuration.model_validate(config, context=context)
    except ValidationError as error:
        raise ConfigurationError(f"config: {_first_wrong(config, error)}") from None


def _first_wrong(config: Mapping[str, Any], error: ValidationError) -> str:
    """What the schema complains of, which names one branch of a union; else what the models do."""
    from jsonschema import Draft202012Validator, validators
    from jsonschema.exceptions import best_match

    whole = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )  # 1.0 would be no path
    strict = validators.extend(Draft202012Validator, type_checker=whole)  # type: ignore[no-untyped-call]
    wrong = best_match(strict(schema()).iter_errors(config))
    if wrong is not None:
        return sentence(wrong)
    first = error.errors()[0]
    key = _dotted(first["loc"])
    if first["type"] == "value_error":
        return str(first["ctx"]["error"]).replace("<here>", key)
    return f"{key} is {first['input']!r}; {first['msg'].lower()}."


def sentence(error: "SchemaError") -> str:
    """What is wrong, in words: the key, the value, and what is allowed."""
    key = _dotted(error.absolute_path)
    rule = error.validator
    value: Any = error.instance
    allowed: Any = error.validator_value
    schema: Any = error.schema
    properties = schema.get("properties", {})
    if "propertyNames" in error.relative_schema_path:
        if rule == "enum":
            return f"unknown key {_join(key, value)}; allowed here: {', '.join(allowed)}."
        return f"{key} holds {value!r}; allowed: names that match {allowed}."
    if rule == "type" and "enum" in schema:
        rule, allowed = "enum", schema["enum"]
    if rule == "type" and "anyOf" in schema:
        rule = "anyOf"
    if rule in ("enum", "const") and error.parent is not None:  # one branch of several
        return sentence(error.parent)
    match rule:
        case "additionalProperties":
            unknown = ", ".join(_join(key, name) for name in value if name not in properties)
            known = ", ".join(properties) or "nothing"
            return f"unknown key {unknown}; allowed here: {known}."
        case "required":
            absent = ", ".join(_join(key, name) for name in allowed if name not in value)
            return f"missing key {absent}; every key of config.yaml is needed."
        case "enum":
            return f"{key} is {value!r}; allowed: {', '.join(map(str, allowed))}."
        case "type":
            kinds = allowed if isinstance(allowed, str) else " or ".join(allowed)
            return f"{key} is {value!r}; it must be of type {kinds}.{_hint(value, kinds)}"
        case "uniqueItems":
            return f"{key} is {value!r}; no entry may stand there twice."
        case "minItems" | "minProperties":
            return f"{key} is empty; give at least one entry."
        case "pattern":
            return f"{key} is {value!r}; it must match {allowed}."
        case "anyOf":
            return f"{key} is {value!r}; allowed: {schema['description']}."
        case _:
            return f"{key} is {value!r}; {rule} is {allowed}."


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


def _dotted(path: Iterable[str | int]) -> str:
    parts = ""
    for part in path:
        parts += f"[{part}]" if isinstance(part, int) else f".{part}" if parts else str(part)
    return parts


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else str(name)


# ---- the schema ----------------------------------------------------------------------------------


@cache
def schema() -> dict[str, Any]:
    """The JSON schema, without references, as simple readers of schemas need it."""
    made = Configuration.model_json_schema()
    return _plain(made, made["$defs"])


def _plain(node: Mapping[str, Any], models: Mapping[str, Any]) -> dict[str, Any]:
    """The same with its references resolved, and unions of plain values as one list of types."""
    if "$ref" in node:
        node = {**models[node["$ref"].rpartition("/")[2]], **node}
    plain = {k: v for k, v in node.items() if k not in ("$ref", "$defs", "title", "default")}
    if "patternProperties" in plain:
        [(pattern, values)] = plain.pop("patternProperties").items()
        names = {"type": "string", "pattern": pattern}
        plain |= {"propertyNames": names, "additionalProperties": values}
    for key, value in plain.items():
        if key == "properties":
            plain[key] = {name: _plain(each, models) for name, each in value.items()}
        elif isinstance(value, dict):
            plain[key] = _plain(value, models)
    if "description" in plain:
        plain["description"] = " ".join(plain["description"].split())
    if "anyOf" in plain:
        plain |= _union([_plain(each, models) for each in plain.pop("anyOf")])
    last = {key: plain.pop(key) for key in ("required", "properties") if key in plain}
    first = {key: plain.pop(key) for key in ("description", "type") if key in plain}
    return first | plain | last


def _union(branches: list[dict[str, Any]]) -> dict[str, Any]:
    """Its types; without branches where these are numbers, texts and null."""
    kinds = [branch["type"] for branch in branches]
    listed = any({"enum", "const"} & branch.keys() for branch in branches)
    if listed or {"array", "object"} & set(kinds):
        return {"type": kinds, "anyOf": branches}
    return {key: value for each in branches for key, value in each.items()} | {"type": kinds}
