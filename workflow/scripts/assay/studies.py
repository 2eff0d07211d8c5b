"""What each study may be asked: its axes and its settings, with types, bounds and meanings.

A class stands for a block of ``config.yaml``, which holds the values and their reasons. What a
block cannot be is said by its validators, in a sentence in which ``<here>`` is the block's key.
"""

from collections import Counter
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

BYTES = {"float64": 8, "float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}
LAYERS = "^(none|[1-9][0-9]{0,4}(-[1-9][0-9]{0,4}){0,15})$"

T = TypeVar("T")


def _once(values: list[T]) -> list[T]:
    if any(value in values[:place] for place, value in enumerate(values)):
        raise ValueError(f"<here> is {values}; no entry may stand there twice.")
    return values


def _one_job_each(values: list[str]) -> list[str]:
    count = Counter(name for value in values for name in value.split("+"))
    twice = ", ".join(name for name, times in count.items() if times > 1)
    if twice:
        raise ValueError(f"<here> names {twice} more than once; one job each is enough.")
    return values


def _joined(names: str) -> str:
    """The pattern of some of these names, joined by +."""
    return rf"^({names})(\+({names}))*$"


def _refuse_absent(key: str, value: int, place: str, values: list[int]) -> None:
    if value not in values:
        raise ValueError(
            f"<here>.{key} is {value}, which is not among <here>.{place}; "
            f"allowed: {', '.join(map(str, values))}."
        )


def means(text: str, **bounds: Any) -> Any:
    """A key, by what its value means and what bounds it."""
    return Field(description=text, **bounds)


# ---- values --------------------------------------------------------------------------------------

Once = Annotated[list[T], AfterValidator(_once), Field(json_schema_extra={"uniqueItems": True})]
Several = Annotated[Once[T], Field(min_length=1)]
Joined = Annotated[Several[T], AfterValidator(_one_job_each)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Rounds = Annotated[int, Field(ge=6)]  # an interval of a median at 95 % needs six samples
Bytes = Annotated[int, Field(ge=1024)]
Width = Annotated[int, Field(ge=1, le=65536)]
Outputs = Annotated[int, Field(ge=1, le=4096)]
LearningRate = Annotated[float, Field(gt=0)]

Activation = Literal[
    "relu", "sigmoid", "tanh", "leaky_relu", "prelu", "elu", "gelu", "silu", "identity", "placebo",
]  # fmt: skip
Initialization = Literal[
    "default", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal",
    "normal_0_001", "normal_0_01", "normal_0_1", "normal_1", "uniform_0_1", "zeros", "constant",
    "placebo",
]  # fmt: skip
Precision = Literal[
    "float32", "tf32", "bfloat16", "float16", "float16_scaled", "bfloat16_weights", "placebo",
]  # fmt: skip
Exercise = Literal[
    "framework", "sizes", "activations", "initialisers", "rates", "devices", "norm_log", "two_gpus",
]  # fmt: skip
InMemory = Literal["float64", "float32", "bfloat16", "float16"]
Dtype = Literal["float64", "float32", "tf32", "bfloat16", "float16"]
Dtypes = Annotated[Several[Dtype], means("number formats")]
DtypesInMemory = Annotated[Several[InMemory], means("number formats in memory")]
Size = Annotated[int, means("rows and columns of a matrix", ge=2, le=65536)]
Sizes = Annotated[Several[Size], means("rows and columns of the matrices")]
Growing = Annotated[Several[Width], means("rows and columns of the matrices")]
Varied = Annotated[
    Once[Size], means("sizes of a regression, which needs two at least", min_length=2)
]
Shape = Annotated[
    str,
    means(
        "a network and a batch, such as depth-3, width-64, batch-16, convolution-2",
        pattern="^(depth|width|batch|convolution|recurrent)-[1-9][0-9]{0,4}$",
    ),
]
Hidden = Annotated[
    Several[Width | Annotated[str, Field(pattern=LAYERS)]],
    means('width of each hidden layer: 256, or "256-256", or none'),
]
Storage = Annotated[
    str,
    Field(
        pattern=_joined(
            "list|dict|tuple|partial|children|add_module|module_list|module_dict|attribute|"
            "sequential|fixed_tensor|fixed_buffer"
        )
    ),
]
Structure = Annotated[str, Field(pattern=_joined("parallel|independent|copied|shared"))]
# Smaller or larger ones would be written with an exponent, which is no path.
Rate = Annotated[float, means("a learning rate", ge=0.0001, le=1000)]
Rates = Annotated[Several[Rate], means("learning rates")]
Candidates = Annotated[Several[LearningRate], means("learning rates, the best of which is taken")]
Units = Annotated[Width, means("units of a hidden layer")]
Widths = Annotated[list[Width], means("width of each hidden layer", min_length=1)]
Batch = Annotated[int, means("images in a step", ge=1, le=60000)]
Epochs = Annotated[Count, means("epochs of each run that counts")]
Seeds = Annotated[int, means("runs that count", ge=2)]
ValidationShare = Annotated[float, means("share of the training images set aside", gt=0, le=0.5)]
Cap = Annotated[Seconds, means("seconds of rounds at most")]
RoundsMost = Annotated[Rounds, means("rounds that count at most")]
HalfWidth = Annotated[float, means("stop when every ratio is known this well", gt=0, le=1)]
LeastSets = Annotated[Count, means("operand sets per arm at least")]
MostSets = Annotated[Count, means("operand sets per arm at most")]


# ---- what blocks share ---------------------------------------------------------------------------


class Block(BaseModel):
    """A block of the configuration: its keys, all of them, and no other."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class AxesBlock(Block):
    """The axes besides the device; a study without any has one job per device."""

    model_config = ConfigDict(json_schema_extra={"description": "the axes besides the device"})


class Occasions(AxesBlock):
    """Axes of a study that is measured more than once."""

    occasion: Several[Annotated[int, Field(ge=1, le=1000)]] = means(
        "occasions on which every cell is measured, far apart in the run"
    )


class SettingsBlock(Block):
    """What a measuring script is given besides its axes."""

    model_config = ConfigDict(json_schema_extra={"description": "settings of the study"})


class Training(SettingsBlock):
    """Settings of runs that are compared by their accuracy."""

    batch: Batch
    epochs: Epochs
    seeds: Seeds
    validation_share: ValidationShare


class Tuned(Training):
    """The same where each arm is trained at its best rate."""

    rates: Candidates
    tuning_epochs: Count = means("epochs at each rate")


class Spread(Block):
    """The same of one number format, or published answer, by its name."""

    ratio: float = means("of a ratio within a trial", ge=0)
    time: float = means("of a time", ge=0)


class BetweenOccasions(Spread):
    """Standard deviation of logarithms from one occasion to the next; nothing is measured again."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Spread]


class Study(Block):
    """A study: what it varies, what its script is given, how long a job takes."""

    axes: AxesBlock
    settings: SettingsBlock
    expected_s: Seconds = means("seconds of one job from its start to its end, on two cores")


class Timed(Study):
    """A study whose answers are times, which move from one occasion to the next."""

    between_occasions: BetweenOccasions


# ---- the studies ---------------------------------------------------------------------------------


class Hardware(Timed):
    """The probe of a device."""

    class Settings(SettingsBlock):
        class MemoryBus(Block):
            bits: int = means("width in bits", ge=8, le=65536)
            source: str = means("who says so", min_length=1, max_length=200)

        cpu_memory_bus: MemoryBus | None = means("null, or {bits: …, source: …}")
        fastest_memory_mts: float = means("millions of transfers per second", gt=0)
        smallest_bytes: Bytes = means("bytes of the smallest working set")
        largest_bytes: Bytes = means("bytes of the largest working set")
        cap_s: Cap

    settings: Settings


class Bandwidth(Timed):
    """Bandwidth of memory and caches, by size of the working set."""

    class Settings(SettingsBlock):
        class Overheads(Block):
            """Calls on one element that an operation must outlast."""

            cpu: float = means("on a CPU", ge=1)
            gpu: float = means("on anything else", ge=1)

        operations: Several[Literal["read", "copy", "triad"]] = means(
            "what is done with the memory"
        )
        smallest_bytes: Bytes = means("bytes of the smallest working set")
        largest_bytes: Bytes = means("bytes of the largest working set")
        memory_share: float = means("share of the free memory at most", gt=0, le=1)
        points_per_doubling: Count = means("working sets in a doubling")
        point_s: Seconds = means("seconds of samples for a point")
        attempts: Count = means("how often void samples are repeated")
        overheads: Overheads
        transfer_bytes: int = means("bytes copied between host and device", ge=4096)

    axes: Occasions
    settings: Settings


class Alignment(Timed):
    """Products of aligned and misaligned sizes."""

    class Axes(Occasions):
        n: Sizes

    class Settings(SettingsBlock):
        class Layout(Block):
            n: Size
            layout: Literal["offset", "odd_leading_dimension", "padded_leading_dimension"] = means(
                "where its elements lie"
            )

        class Shapes(Block):
            """Other products at some of the sizes."""

            kinds: Once[Literal["batched", "vector"]] = means(
                "a batch of matrices times a matrix, a matrix times a vector"
            )
            batch: int = means("matrices in a batch", ge=1, le=1024)
            sizes: Sizes
            dtypes: Dtypes
            rounds_most: RoundsMost

        anchor: Size
        dtypes: Dtypes
        layouts: Once[Layout] = means("sizes measured again with other addresses")
        shapes: Shapes
        cap_s: Seconds = means("seconds of rounds of one trial at most")
        half_width: HalfWidth

    axes: Axes
    settings: Settings

    @model_validator(mode="after")
    def _anchor_is_measured(self) -> Self:
        _refuse_absent("settings.anchor", self.settings.anchor, "axes.n", self.axes.n)
        return self

    @model_validator(mode="after")
    def _fits_into_memory(self, info: ValidationInfo) -> Self:
        # Three arms of three matrices each, in the widest number format.
        largest, width = max(self.axes.n), max(BYTES[name] for name in self.settings.dtypes)
        needed, memory_bytes = 9 * largest**2 * width, (info.context or {})["memory_bytes"]
        if needed > memory_bytes / 2:
            allowed = int((memory_bytes / 2 / 9 / width) ** 0.5)
            raise ValueError(
                f"<here>.axes.n holds {largest}, whose operands need {needed / 1e9:.1f} GB, more "
                f"than half of this machine's {memory_bytes / 1e9:.1f} GB; the largest size that "
                f"fits is {allowed}."
            )
        return self


class Contrast(Timed):
    """Sizes near the anchor, timed in the same rounds."""

    class Settings(SettingsBlock):
        anchor: Size
        sizes: Sizes
        dtypes: Dtypes
        cap_s: Seconds = means("seconds of rounds of a number format at most")

    axes: Occasions
    settings: Settings


class Crossover(Timed):
    """Products of growing size, in every way that a device offers."""

    class Axes(Occasions):
        n: Growing

    class Settings(SettingsBlock):
        operations: dict[Literal["product", "elementwise"], DtypesInMemory] = means(
            "number formats of each operation", min_length=1
        )
        cell_s: Seconds = means("seconds of an operation at one size at most")
        half_width: HalfWidth
        operand_sets_least: LeastSets

    axes: Axes
    settings: Settings


class NormLog(Timed):
    """Ways of keeping a log of norms."""

    class Settings(SettingsBlock):
        products: int = means("products in the log", ge=2, le=100000)
        printed: Count = means("products of the way that prints each norm")
        n: Size
        cap_s: Cap
        operand_sets: Count = means("operand sets per way")

    axes: Occasions
    settings: Settings


class TwoDevices(Timed):
    """Two products at once against in sequence."""

    class Axes(Occasions):
        n: Sizes

    class Settings(SettingsBlock):
        dtype: InMemory = means("number format")
        work_s: Seconds = means("seconds of work of each device in a block")
        cap_s: Seconds = means("seconds of rounds at most")
        half_width: HalfWidth

    axes: Axes
    settings: Settings


class Implementation(Timed):
    """A step of training by implementation, from NumPy to a compiled framework."""

    class Axes(Occasions):
        shape: Several[Shape] = means("networks and batches")

    class Settings(SettingsBlock):
        class Perceptron(Block):
            """The perceptrons."""

            hidden: Widths
            batch: Batch

        class Convolution(Block):
            """The convolutional networks."""

            channels: list[Outputs] = means("channels that each convolution makes", min_length=1)
            kernel: Literal[1, 3, 5, 7] = means("rows and columns of the kernels")
            batch: Batch

        class Recurrent(Block):
            """The recurrent networks."""

            hidden: Width = means("units of each layer")
            batch: Batch

        perceptron: Perceptron
        convolution: Convolution
        recurrent: Recurrent
        rate: LearningRate = means("learning rate of the comparison of losses")
        steps: int = means("steps whose losses must be equal", ge=1, le=10000)
        tolerance: dict[Literal["float32", "float64"], Annotated[float, Field(gt=0, le=1)]] = means(
            "largest relative difference of two losses, by number format", min_length=1
        )
        compiled: Once[Shape] = means("shapes at which torch.compile takes part")
        detailed: Once[Shape] = means(
            "shapes at which a step is split, and operations and memory are counted"
        )
        rounds_most: RoundsMost
        cell_s: Seconds = means("seconds of rounds of one shape at most")
        half_width: HalfWidth
        operand_sets: MostSets
        substantial: float = means("relative difference that counts as substantial", gt=0)

    axes: Axes
    settings: Settings

    @model_validator(mode="after")
    def _every_layer_is_described(self) -> Self:
        described = {
            "depth": ("perceptron.hidden", self.settings.perceptron.hidden),
            "convolution": ("convolution.channels", self.settings.convolution.channels),
        }
        for shape in self.axes.shape:
            family, number = shape.split("-")
            name, layers = described.get(family, ("", None))
            if layers is not None and int(number) > len(layers):
                raise ValueError(
                    f"<here>.axes.shape holds {shape}, but <here>.settings.{name} describes "
                    f"{len(layers)} layers; allowed: {family}-1 to {family}-{len(layers)}."
                )
        return self


class Activations(Study):
    """Accuracy by activation."""

    class Axes(AxesBlock):
        activation: Several[Activation] = means("activations to compare")

    class Settings(Tuned):
        hidden: Widths

    axes: Axes
    settings: Settings


class Steps(Timed):
    """Time of a step of training by activation."""

    class Settings(SettingsBlock):
        activations: Several[Activation] = means("activations to time beside ReLU")
        hidden: Widths
        batch: Batch
        validation_share: ValidationShare
        operand_sets: Count = means("copies of the network per activation at most")
        cap_s: Cap
        half_width: HalfWidth

    axes: Occasions
    settings: Settings


class Loader(Timed):
    """A pass over images by how many workers load them."""

    class Settings(SettingsBlock):
        images: int = means("images in a pass", ge=2, le=8000)
        batch: Batch
        hidden: Widths
        workers: Several[Annotated[int, Field(ge=1, le=256)]] = means(
            "numbers of workers: up to that of the cores; of ToTensor beside a step also up to 4"
        )
        alone: Once[Literal["indexed", "to_tensor", "augmented"]] = means(
            "conversions that are also timed without a step beside them"
        )
        rounds_least: Rounds = means("rounds that count at least")
        rounds_most: RoundsMost
        cap_s: Seconds = means("seconds of rounds of one trial at most")
        half_width: HalfWidth

    axes: Occasions
    settings: Settings


class Throughput(Timed):
    """Time per sample by batch."""

    class Settings(SettingsBlock):
        class Formats(Block):
            """Number formats by kind of device."""

            cpu: DtypesInMemory
            gpu: DtypesInMemory

        batches: Annotated[Once[Batch], means("batches to time", min_length=2)]
        anchor: Batch
        features: Width = means("inputs and outputs of the linear layer")
        hidden: Widths
        dtypes: Formats
        operand_sets_least: LeastSets
        cell_s: Seconds = means("seconds of rounds of one trial at most")
        half_width: HalfWidth

        @model_validator(mode="after")
        def _anchor_is_timed(self) -> Self:
            _refuse_absent("anchor", self.anchor, "batches", self.batches)
            return self

    axes: Occasions
    settings: Settings


class Scaling(Study):
    """Accuracy by batch and by rule for its learning rate."""

    class Axes(AxesBlock):
        batch: Several[Batch] = means("batches to train with")

    class Settings(Tuned):
        batch: Batch = means("the batch from whose rate the rules start")
        rate: LearningRate = means("its learning rate")
        hidden: Widths

    axes: Axes
    settings: Settings

    @model_validator(mode="after")
    def _reference_is_trained(self) -> Self:
        _refuse_absent("settings.batch", self.settings.batch, "axes.batch", self.axes.batch)
        return self


class Initializations(Study):
    """Accuracy by initialisation and depth."""

    class Axes(AxesBlock):
        initialization: Several[Initialization] = means("initialisations to compare")
        depth: Several[Annotated[int, Field(ge=1, le=64)]] = means("numbers of hidden layers")

    class Settings(Tuned):
        width: Width = means("units of each hidden layer")

    axes: Axes
    settings: Settings


class Precisions(Study):
    """Accuracy by number format."""

    class Axes(AxesBlock):
        precision: Several[Precision] = means("precisions to compare")

    class Settings(Training):
        hidden: Widths
        rate: LearningRate = means("learning rate of every run")
        cell_s: Seconds = means("seconds of the runs of a precision at most")

    axes: Axes
    settings: Settings


class PrecisionSteps(Timed):
    """Time of a step of training by number format."""

    class Settings(SettingsBlock):
        precisions: Several[Precision] = means("precisions to time beside float32")
        widths: Several[Width] = means("units of the hidden layer, a trial each")
        batch: Batch
        validation_share: ValidationShare
        operand_sets: Count = means("copies of the network per precision at most")
        cap_s: Seconds = means("seconds of rounds of each network at most")
        half_width: HalfWidth

    axes: Occasions
    settings: Settings


class Reproduction(Timed):
    """Published answers, run as they were and corrected."""

    class Axes(Occasions):
        exercise: Several[Exercise] = means("exercises with a published answer")

    class Settings(SettingsBlock):
        # The first batch is not extrapolated from, so there must be another.
        loader_images: int = means(
            "images that the textbook's loader is timed on", ge=512, le=60000
        )
        epochs: Count = means("epochs of each training for accuracy")
        batch: Batch
        validation_share: ValidationShare
        cap_s: Seconds = means("seconds of rounds of each corrected timing at most")
        half_width: HalfWidth

    axes: Axes
    settings: Settings


class Registration(Study):
    """What torch finds, by what keeps the blocks."""

    class Axes(AxesBlock):
        storage: Joined[Storage] = means("what keeps the blocks; ways joined by + share a job")

    class Settings(Training):
        hidden: Widths
        rate: LearningRate = means("learning rate of every run")

    axes: Axes
    settings: Settings


class Composition(Study):
    """Blocks side by side, and several instances of one."""

    class Axes(AxesBlock):
        structure: Joined[Structure] = means(
            "how blocks are composed; structures joined by + share a job"
        )

    class Settings(Tuned):
        branches: list[Annotated[int, Field(ge=1, le=16)]] = means(
            "outputs of each network side by side", min_length=2
        )
        width: Size = means("features of the block that is instantiated")
        stacked: int = means("instances that two inputs go through", ge=1, le=30)
        draws: int = means("pairs of inputs and weights", ge=2)
        depth: int = means("instances in the network that is trained", ge=2, le=100)

    axes: Axes
    settings: Settings


class Parameters(Study):
    """How parameters begin, are shared and are saved."""

    class Axes(AxesBlock):
        topic: Several[Literal["initialisation", "storage"]] = means("what is looked at")

    class Settings(SettingsBlock):
        features: Varied
        channels: Varied
        kernels: Several[Annotated[int, Field(ge=1, le=15)]] = means(
            "side lengths of convolution kernels"
        )
        tested_values: int = means("weights that a test looks at", ge=50)
        bins: int = means("bins of a histogram", ge=8)
        width: Outputs = means("width of the network that shares a layer")
        times: int = means("how often it is used", ge=2, le=100)
        steps: Count = means("steps of SGD")

    axes: Axes
    settings: Settings


class Reduction(Timed):
    """Implementations of a layer of quadratic forms."""

    class Axes(Occasions):
        sweep: Several[Literal["batch", "n", "k"]] = means("which size grows")

    class Settings(SettingsBlock):
        class Base(Block):
            """The sizes that stay."""

            batch: Width = means("samples")
            n: Outputs = means("inputs")
            k: Outputs = means("outputs")

        class Growth(Block):
            """The values of the size that grows."""

            batch: Growing
            n: Growing
            k: Growing

        base: Base
        sizes: Growth
        dtype: InMemory = means("number format")
        cell_s: Seconds = means("seconds of rounds of one size at most")
        block_s: Seconds = means("seconds in a block at least")
        half_width: HalfWidth
        operand_sets_least: LeastSets

    axes: Axes
    settings: Settings


class Fourier(Study):
    """Accuracy from some Fourier coefficients."""

    class Axes(AxesBlock):
        selection: Several[Literal["leading", "random"]] = means("which coefficients are kept")

    class Settings(Tuned):
        kept: Several[Annotated[float, Field(gt=0, le=1)]] = means("fractions of the coefficients")
        checked_sizes: Several[Size] = means("sizes in which the layer is checked")
        hidden: Widths

    axes: Axes
    settings: Settings


class Resume(Study):
    """Trainings that are killed and continued."""

    class Settings(SettingsBlock):
        examples: Count = means("examples in an epoch")
        features: Count = means("features of an example")
        hidden: Count = means("width of the hidden layer")
        batch: Count = means("examples in a step")
        dropout: float = means("share of the hidden units that are dropped", ge=0, lt=1)
        rate: LearningRate = means("learning rate")
        momentum: float = means("of the optimiser", ge=0, lt=1)
        steps: int = means("steps of the whole training", ge=2)
        every: Count = means("steps between two checkpoints")
        kill_at: Count = means("step from which on the training is killed")
        kills: int = means("writers killed of each kind", ge=1, le=1000)
        kill_after_s: list[Annotated[float, Field(ge=0, le=60)]] = means(
            "shortest and longest time to the kill in seconds", min_length=2, max_length=2
        )
        file_bytes: int = means("bytes of a checkpoint that is written", ge=4)

        @model_validator(mode="after")
        def _is_killed_between_a_checkpoint_and_the_end(self) -> Self:
            if self.kill_at < self.every:
                raise ValueError(
                    f"<here>.kill_at is {self.kill_at}, before the first checkpoint; "
                    f"allowed: from every, {self.every}, on."
                )
            if self.steps <= self.kill_at:
                raise ValueError(
                    f"<here>.steps is {self.steps}, and nothing is left to continue after "
                    f"kill_at, {self.kill_at}; allowed: more than that."
                )
            return self

        @field_validator("kill_after_s")
        @classmethod
        def _shorter_first(cls, times: list[float]) -> list[float]:
            if times[0] > times[1]:
                raise ValueError(f"<here> is {times}; the shorter time stands first.")
            return times

    settings: Settings


class Transfer(Study):
    """Two layers of a network reused in another."""

    class Axes(AxesBlock):
        images: Several[Annotated[Count | Literal["all"], means("a number of images, or all")]] = (
            means("training images of the new classes, or all")
        )

    class Settings(Tuned):
        class Donor(Block):
            """How the network is trained whose layers are reused."""

            rate: LearningRate = means("learning rate")
            epochs: Count = means("epochs")

        hidden: list[Width] = means(
            "widths of the two layers that are reused", min_length=2, max_length=2
        )
        epoch_images: Count = means("images in an epoch at least")
        validation_images: Count = means("images looked at after each epoch at most")
        donor: Donor

    axes: Axes
    settings: Settings


class Formats(Timed):
    """Formats of a saved network, and what can go wrong with each."""

    class Axes(Occasions):
        format: Several[
            Literal["state_dict", "module", "class_in_dict", "torchscript", "export", "safetensors"]
        ] = means("formats to compare; files are written from the CPU")

    class Settings(SettingsBlock):
        features: Width = means("inputs and outputs of the network")
        hidden: Width = means("width of the hidden layer")
        view_bytes: int = means("bytes of the tensor of which a part is saved", ge=40000)
        cap_s: Seconds = means("seconds of rounds of each time at most")
        half_width: HalfWidth

    axes: Axes
    settings: Settings


class Placement(Study):
    """Moves between number formats and devices."""

    class Settings(SettingsBlock):
        features: Width = means("width of the layers that are moved")

    settings: Settings


class Perceptron(Study):
    """Accuracy by the network's hidden layers and by the learning rate."""

    class Axes(AxesBlock):
        hidden: Hidden
        rate: Rates

    axes: Axes
    settings: Training


class Range(Block):
    """The ends of what is searched."""

    least: float
    most: float

    @model_validator(mode="after")
    def _least_is_less_than_most(self) -> Self:
        if self.least >= self.most:
            raise ValueError(
                f"<here>.least is {self.least}, and not less than <here>.most, {self.most}."
            )
        return self


class Search(Study):
    """Width and rate searched together."""

    class Axes(AxesBlock):
        strategy: Once[Literal["grid", "random"]] = means(
            "strategies to compare; none where nothing shall be searched"
        )

    class Settings(Training):
        class UnitsRange(Range):
            """Range of the units of the hidden layer."""

            least: Units
            most: Units

        class RateRange(Range):
            """Range of the learning rate."""

            least: Rate
            most: Rate

        width: UnitsRange
        rate: RateRange
        points: int = means("points of the grid per axis", ge=2, le=32)
        tuning_epochs: Count = means("epochs of each pair")

    axes: Axes
    settings: Settings


class Studies(Block):
    """What is measured."""

    hardware: Hardware
    bandwidth: Bandwidth
    alignment: Alignment
    contrast: Contrast
    crossover: Crossover
    norm_log: NormLog
    two_devices: TwoDevices
    implementation: Implementation
    activation: Activations
    steps: Steps
    loader: Loader
    throughput: Throughput
    scaling: Scaling
    initialization: Initializations
    precision: Precisions
    precision_steps: PrecisionSteps
    reproduction: Reproduction
    registration: Registration
    composition: Composition
    parameters: Parameters
    reduction: Reduction
    fourier: Fourier
    resume: Resume
    transfer: Transfer
    formats: Formats
    placement: Placement
    perceptron: Perceptron
    search: Search
