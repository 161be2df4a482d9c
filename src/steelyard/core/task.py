"""What is to be learned: rows, how a model reads its input, what its output means."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from steelyard.core.port import Port
from steelyard.core.sequence import SeriesInput, SoundInput, TextInput, Tokens
from steelyard.core.wire import Plain

TaskKind = Literal[
    "image-classification",
    "tabular-classification",
    "tabular-regression",
    "recommendation",
    "series-classification",
    "text-classification",
    "audio-classification",
    "reinforcement-learning",
    "clustering",
    "classification",
    "regression",
    "language-modelling",
    "label-free",
]
"""What sort of task it is. The last four are those of a model that is there already, whatever its inputs are."""
Layout = Literal["hw", "hwc", "chw"]
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """One split. `x` is what the exported graph takes, `y` the encoded target, `groups` what rows belong together.

    Shapes: x (n, ...) float32 or uint8, or (n,) of a structured type with a field for each named input, in the type
    that the input takes; y (n,) int64 class indices or float32 values, or (n, width) outputs to agree with;
    groups (n,) int64 or None. Of language models y is (n, tokens), the next token of each, −1 where none is asked for.
    Where models play, a row of valid or test is an episode: x its first observation, y (n, 1) its seed.
    Of clusterings y is (n, 1 + features), the number of the row's cluster (−1: none) and its standardised features.
    """

    x: Array
    y: Array
    groups: Array | None = None

    def __len__(self) -> int:
        """How many rows."""
        return len(self.y)

    def batches(self, size: int) -> Iterator[Array | Mapping[str, Array]]:
        """The inputs in order, `size` rows at a time, as a model is fed with them."""
        for start in range(0, len(self), size):
            yield feed_of(self.x[start : start + size])


def feed_of(x: Array) -> Array | Mapping[str, Array]:
    """Rows as a model is fed with them: float32, or arrays of their own types by input name where structured."""
    if x.dtype.names:
        return {name: np.ascontiguousarray(x[name]) for name in x.dtype.names}
    return np.ascontiguousarray(x, dtype=np.float32)


def structured(arrays: Mapping[str, Array]) -> Array:
    """Arrays (n, ...) by input name as one structured array (n,)."""
    kinds = [(name, array.dtype, array.shape[1:]) for name, array in arrays.items()]
    rows = np.empty(len(next(iter(arrays.values()))), dtype=kinds)
    for name, array in arrays.items():
        rows[name] = array
    return rows


@dataclass(frozen=True, slots=True)
class ImageInput:
    """Images as the graph takes them, raw: (n, height, width) for layout "hw", else with a channel axis.

    `mean` and `std` hold one value per channel, fitted on the training split; standardising is part of the graph.
    """

    height: int
    width: int
    channels: int
    layout: Layout
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one raw row."""
        if self.layout == "hw":
            return (self.height, self.width)
        if self.layout == "chw":
            return (self.channels, self.height, self.width)
        return (self.height, self.width, self.channels)


@dataclass(frozen=True, slots=True)
class TensorInput:
    """The inputs of a model that is there already, as it names and types them; rows are structured arrays of them."""

    ports: tuple[Port, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row of a structured array: none."""
        return ()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. A number has `mean` and `std`; a category has `categories`.

    Numbers reach the graph as they are, NaN where missing. Categories reach it as codes: 0 is missing or unknown,
    i + 1 is `categories[i]`. `has_missing` says whether the training split lacks values in this column.
    """

    name: str
    kind: Literal["number", "category"]
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()
    has_missing: bool = False


@dataclass(frozen=True, slots=True)
class TableInput:
    """Tables as the graph takes them: (n, columns) float32, categories as codes (see `Column`).

    Filling in missing values, standardising and one-hot coding are part of the graph.
    """

    columns: tuple[Column, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (len(self.columns),)


@dataclass(frozen=True, slots=True)
class PairInput:
    """Who is asked and what about, as the graph takes them: (n, 2) float32, the codes of a user and of an item.

    Both are categories (see `Column`): code 0 is one that the training split does not have.
    """

    user: Column
    item: Column

    @property
    def columns(self) -> tuple[Column, ...]:
        """Both columns, in the order of the codes."""
        return (self.user, self.item)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (2,)


@dataclass(frozen=True, slots=True)
class ClassOutput:
    """The graph gives (n, classes) scores, the highest wins; `labels[i]` is the user's name of class i."""

    labels: tuple[str | int, ...]

    @property
    def width(self) -> int:
        """Columns of the output."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class ValueOutput:
    """The graph gives (n, 1) values in the target's own unit; `mean` and `std` of the training targets."""

    mean: float
    std: float

    @property
    def width(self) -> int:
        """Columns of the output."""
        return 1


@dataclass(frozen=True, slots=True)
class TensorOutput:
    """The graph gives (n, width) numbers that are no decisions, or whose meaning is not known."""

    width: int


SequenceInput = SeriesInput | TextInput | SoundInput
InputSpec = ImageInput | TableInput | TensorInput | PairInput | SequenceInput
OutputSpec = ClassOutput | ValueOutput | TensorOutput


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing read from the task before the search: a name, a plain value and a sentence for people."""

    name: str
    value: Plain
    text: str


def input_to_json(spec: InputSpec) -> Plain:
    """The plain form of an input specification."""
    if isinstance(spec, ImageInput):
        plain: dict[str, Plain] = {name: getattr(spec, name) for name in ImageInput.__dataclass_fields__}
        return {"kind": "image", **plain, "mean": list(spec.mean), "std": list(spec.std)}
    if isinstance(spec, TensorInput):
        return {"kind": "tensors", "ports": [port.to_json() for port in spec.ports]}
    if isinstance(spec, TextInput):
        tokens = [{name: getattr(each, name) for name in Tokens.__dataclass_fields__} for each in spec.tokens]
        return {"kind": "text", "column": spec.column, "tokens": tokens}
    if isinstance(spec, SeriesInput | SoundInput):
        kind = "series" if isinstance(spec, SeriesInput) else "sound"
        plain = {name: getattr(spec, name) for name in spec.__dataclass_fields__}
        return {"kind": kind, **plain, "mean": list(spec.mean), "std": list(spec.std)}
    columns = [
        {**{name: getattr(column, name) for name in Column.__dataclass_fields__}, "categories": list(column.categories)}
        for column in spec.columns
    ]
    return {"kind": "pairs" if isinstance(spec, PairInput) else "table", "columns": columns}


def input_from_json(plain: Plain) -> InputSpec:
    """The inverse of `input_to_json`."""
    if plain["kind"] == "text":
        return TextInput(tuple(Tokens(**each) for each in plain["tokens"]), plain["column"])
    standardised = {"image": ImageInput, "series": SeriesInput, "sound": SoundInput}
    if plain["kind"] in standardised:
        rest = {key: value for key, value in plain.items() if key not in ("kind", "mean", "std")}
        spec: InputSpec = standardised[plain["kind"]](**rest, mean=tuple(plain["mean"]), std=tuple(plain["std"]))
        return spec
    if plain["kind"] == "tensors":
        return TensorInput(tuple(Port(each["name"], each["type"], tuple(each["shape"])) for each in plain["ports"]))
    columns = tuple(Column(**{**column, "categories": tuple(column["categories"])}) for column in plain["columns"])
    return PairInput(*columns) if plain["kind"] == "pairs" else TableInput(columns)


def output_to_json(spec: OutputSpec) -> Plain:
    """The plain form of an output specification."""
    if isinstance(spec, ClassOutput):
        return {"kind": "classes", "labels": list(spec.labels)}
    if isinstance(spec, TensorOutput):
        return {"kind": "tensor", "width": spec.width}
    return {"kind": "value", "mean": spec.mean, "std": spec.std}


def output_from_json(plain: Plain) -> OutputSpec:
    """The inverse of `output_to_json`."""
    if plain["kind"] == "classes":
        return ClassOutput(labels=tuple(plain["labels"]))
    if plain["kind"] == "tensor":
        return TensorOutput(plain["width"])
    return ValueOutput(mean=plain["mean"], std=plain["std"])
