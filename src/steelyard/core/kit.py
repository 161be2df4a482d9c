"""What a kit says of itself: `kit.json`, written where a bundle is and read where its models are to be measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from steelyard.core.candidate import Setting
from steelyard.core.wire import Plain, content_key

SCHEMA = 1
MANIFEST = "kit.json"
"""The name of a kit's own description inside it."""
InputKind = Literal["random", "samples"]


@dataclass(frozen=True, slots=True)
class KitPoint:
    """One variant of a kit: its file, and how its runtime loads it.

    `loader` is the address of the callable `(path, threads, **options) -> run`; `imports` are the modules that it
    imports late. `options` are the candidate's, its threads among them; none means the runtime's defaults.
    """

    name: str
    path: str
    runtime: str
    loader: str
    imports: tuple[str, ...] = ()
    options: tuple[tuple[str, Setting], ...] = ()

    def to_json(self) -> Plain:
        """The plain form; without options it has no such field."""
        names = [each for each in self.__dataclass_fields__ if each != "options"]
        plain = {**{each: getattr(self, each) for each in names}, "imports": list(self.imports)}
        return {**plain, "options": dict(self.options)} if self.options else plain

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        options = tuple(plain.get("options", {}).items())
        return cls(**{**plain, "imports": tuple(plain["imports"]), "options": options})


@dataclass(frozen=True, slots=True)
class Kit:
    """A kit: variants of one bundle, inputs to run them on, and the checksum of every file.

    Attributes:
        study: the bundle's study.
        task: what the models are for.
        points: the variants by key.
        chosen: the key of the point that the bundle chose; it is compared with itself.
        inputs: the file of the input rows, relative to the kit.
        input_kind: whether they were drawn at random or are the user's own rows.
        batch: rows an inference, unless the one who measures asks for another number.
        threads: threads of the runtime, likewise.
        floor: the file of a model that does nothing, where the runtime has one.
        packages: distributions to install, as pip takes them.
        sha256: of every file by its path relative to the kit, `kit.json` excepted.
    """

    study: str
    task: str
    points: Mapping[str, KitPoint]
    chosen: str
    inputs: str
    input_kind: InputKind
    batch: int = 1
    threads: int = 1
    floor: str | None = None
    packages: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Hash of all that it holds: figures name the kit they come from."""
        return content_key(self._plain())

    def to_json(self) -> Plain:
        """The plain form."""
        return {"schema": SCHEMA, "kit": self.key, **self._plain()}

    def _plain(self) -> dict[str, Plain]:
        plain = {each: getattr(self, each) for each in self.__dataclass_fields__}
        return plain | {
            "points": {key: point.to_json() for key, point in self.points.items()},
            "packages": list(self.packages),
            "sha256": dict(self.sha256),
        }

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError: if the schema is another one, or the key is not that of what stands there.
            KeyError: if a field is missing.
            TypeError: if a field is of another type, or unknown.
        """
        if plain["schema"] != SCHEMA:
            raise ValueError(f"its schema is {plain['schema']!r}, where {SCHEMA} is read")
        rest = {name: value for name, value in plain.items() if name not in ("schema", "kit")}
        points = {key: KitPoint.from_json(point) for key, point in plain["points"].items()}
        kit = cls(**{**rest, "points": points, "packages": tuple(plain["packages"])})
        if kit.key != plain["kit"]:
            raise ValueError("it was changed after the kit was made")
        return kit
