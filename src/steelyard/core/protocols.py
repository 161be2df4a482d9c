"""The seams. A plugin is an object of one of these shapes; ours are frozen dataclasses.

Each protocol has a contract suite in `steelyard.testing` that any implementation, ours or a stranger's, can run.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from steelyard.core.candidate import Candidate, Knob, Scale, Setting, Space
from steelyard.core.generation import Generation
from steelyard.core.quantity import Unit
from steelyard.core.task import Array, Fact, InputSpec, OutputSpec, Rows, TaskKind
from steelyard.core.trial import Trial
from steelyard.core.wire import Plain

ProofMethod = Literal["trinomial", "disagreement", "mean", "bootstrap"]
"""How a drop of a metric is proved: design of certificates, `steelyard.select.proof`."""
Feed = Array | Mapping[str, Array]
"""What a model is run on: the one input's array (n, ...), or arrays by the names of the inputs, in their order."""
Source = Literal["module", "onnx"]
"""What an exporter makes its files of: a torch module, or an ONNX file."""


@runtime_checkable
class Metric(Protocol):
    """A figure of quality computed from a model's outputs and the true targets."""

    @property
    def name(self) -> str:
        """The field's name: accuracy, f1, auc, rmse, r2 ..."""

    @property
    def unit(self) -> Unit:
        """Its unit."""

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher figure is better."""

    @property
    def in_unit_range(self) -> bool:
        """Whether drops are absolute by default: metrics in [0, 1], and r2."""

    @property
    def proof(self) -> ProofMethod:
        """Which test proves a drop of it."""

    def __call__(self, outputs: Array, targets: Array) -> float:
        """The figure for outputs (n, width) and targets (n,). NaN outputs give the worst value, never NaN."""


@runtime_checkable
class Task(Protocol):
    """What is to be learned."""

    @property
    def name(self) -> str:
        """The task's name, or its kind for the user's own data."""

    @property
    def kind(self) -> TaskKind:
        """What sort of task it is."""

    @property
    def input(self) -> InputSpec:
        """How the graph reads a row; fitted on the training split only."""

    @property
    def output(self) -> OutputSpec:
        """What the graph gives."""

    @property
    def train(self) -> Rows:
        """Rows that weights are fitted on."""

    @property
    def valid(self) -> Rows:
        """Rows that stop training, rank and order."""

    @property
    def test(self) -> Rows:
        """Rows that prove; nothing touches them before the order of testing is frozen."""

    @property
    def split_how(self) -> str:
        """One sentence: where the splits come from."""

    @property
    def data_hash(self) -> str:
        """Hash of all rows, part of a study's identity."""

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What was read from the task: kind, rows, classes and balance, features."""

    @property
    def metric(self) -> str:
        """The name of its default metric."""

    @property
    def defaults(self) -> Mapping[str, Plain]:
        """Defaults of the search: "families", "budget_s", and training settings by name."""

    @property
    def environment(self) -> str:
        """Where models play to be judged: a gymnasium name or `file.py:function`; empty where rows have answers."""


class Family(Protocol):
    """Models whose scale can be set."""

    @property
    def name(self) -> str:
        """The family's name."""

    def refusal(self, task: Task) -> str | None:
        """Why the family can't learn the task, or None where it can."""

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Its knobs with default ranges taken from the task, each from small to large."""

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """A `torch.nn.Module` from raw rows (n, ...) to outputs (n, width), with fresh seeded weights.

        Its parts `front`, `body` and `back` run one after the other (`steelyard.families.parts.Model`); training
        changes the body alone. `front` has a `shape`, that of one of its output rows.
        """


@runtime_checkable
class FittedFamily(Protocol):
    """Models that learn by themselves and write their own ONNX files: trees, tables, clusters.

    No weights are shared between them, and no compression step applies to their files.
    """

    @property
    def name(self) -> str:
        """The family's name."""

    def refusal(self, task: Task) -> str | None:
        """Why the family can't learn the task, or None where it can; a library that is missing is such a reason."""

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Its knobs with default ranges taken from the task, each from small to large."""

    def fit(self, scale: Scale, task: Task, seed: int, path: Path, limit_s: float) -> Plain:
        """Learn, and write an ONNX file that does as what was learned does.

        The file has a free batch axis and one input, the task's raw rows (n, ...) in float32; its first output is
        (n, width). The same arguments give the same file, unless the limit ends the learning.

        Args:
            scale: settings of the knobs.
            task: its train rows are learned from, its valid rows may end the learning; its test rows are not looked at.
            seed: of what is random.
            path: of the file.
            limit_s: seconds after which learning ends with what there is.

        Returns:
            Notes: `train_s` at least; `curve` (lists by name, among them "epoch"), `stopped` ("time limit" where that
            ended it) and `parity` of the file with what was learned (`steelyard.runtimes.parity`) where there are such.

        Raises:
            SteelyardError: if it can't learn these rows at this scale, or the file does something else.
        """


class ModuleStep(Protocol):
    """One compression step on a torch module."""

    @property
    def name(self) -> str:
        """The step's name."""

    @property
    def learns(self) -> bool:
        """Whether it trains, for as long as the lesson says."""

    @property
    def keeps_structure(self) -> bool:
        """Whether the module's parameters keep their names and shapes: then its weights say all that it did."""

    def apply(self, module: Any, lesson: Any) -> tuple[Any, Plain]:
        """A compressed copy of a module, the one given left as it was, and what was done.

        Args:
            module: a `torch.nn.Module`.
            lesson: what it may learn from, a `steelyard.training.lesson.Lesson`.

        Raises:
            SteelyardError: if the step does not fit the module.
        """


class Step(Protocol):
    """One compression step on a model file."""

    @property
    def name(self) -> str:
        """The step's name."""

    def apply(self, source: Path, target: Path, rows: Iterator[Feed]) -> Plain:
        """Write the compressed model to `target`; `rows` are batches of training inputs. Returns what was done.

        Raises:
            SteelyardError: if the step does not fit the model.
        """


class Session(Protocol):
    """A model loaded by a runtime."""

    def run(self, x: Feed) -> Array:
        """Outputs (n, width) of inputs (n, ...), float32; of several outputs the first."""


class Runtime(Protocol):
    """A runtime that ships models. Loading and running need no training library, unless the runtime itself does."""

    @property
    def name(self) -> str:
        """The runtime's name."""

    @property
    def suffix(self) -> str:
        """The suffix of its model files, with the dot."""

    @property
    def companions(self) -> tuple[str, ...]:
        """Suffixes of the files that belong to a model file, under the same name beside it; mostly none."""

    @property
    def loader(self) -> str:
        """Address of the function that measuring processes load a file with, "module:function".

        It takes `(path, threads, **options)` and returns `run(x)`: one inference on an array, or on a mapping of arrays
        by input name. Where `runs_code`, it takes `trust` too and refuses the file without.
        """

    @property
    def describer(self) -> str:
        """Address of the function that tells what a file takes and gives, "module:function"; empty where none can.

        It takes `(path, **options)`, among them `trust` where `runs_code`, and returns `inputs` and `outputs`: lists of
        `name`, `type` as numpy calls it, and `shape`, None for a free axis or where the rank is not known. It is called
        in a process of its own, because reading a hostile file may crash it.
        """

    @property
    def imports(self) -> tuple[str, ...]:
        """Modules that the loader imports late: no model pays for them."""

    @property
    def options(self) -> Mapping[str, tuple[Setting, ...]]:
        """Options of loading by name, each with the settings it may have, the default first."""

    @property
    def runs_code(self) -> bool:
        """Whether opening a file of its can run code that the file holds."""

    def load(self, path: Path, *, threads: int = 1, trust: bool = False, **options: Setting) -> Session:
        """A session on a model file.

        Raises:
            RuntimeFailureError: if the runtime refuses the file.
            InputError: if an option is not known, or the file could run code and is not trusted.
            MissingExtraError: if its library is not installed.
        """


class Exporter(Protocol):
    """Makes the model files of a runtime. Importing it loads no training library; exporting may."""

    @property
    def name(self) -> str:
        """The runtime's name."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """What it makes files of."""

    def check(self) -> None:
        """Refuse at once where something that exporting or running needs is not installed. Imports nothing heavy.

        Raises:
            MissingExtraError: with the line that installs it.
        """

    def export(self, module: Any, example: Feed, path: Path) -> str:
        """Write a torch module as a model file with a free batch axis; returns which way it was written.

        Raises:
            RuntimeFailureError: if the module can't be written.
        """

    def convert(self, source: Path, path: Path) -> str:
        """Write an ONNX file as a model file; returns which way it was written.

        Raises:
            RuntimeFailureError: if the file can't be converted, or the runtime takes no ONNX.
        """


class Strategy(Protocol):
    """Proposes candidates; nothing else."""

    @property
    def name(self) -> str:
        """The strategy's name."""

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: "Problem"
    ) -> Candidate | None:
        """The next candidate, never one that is finished or pending; None when nothing is left to propose.

        Depends on its arguments alone, so a resumed study goes on as it would have.
        """


@runtime_checkable
class Generational(Protocol):
    """A strategy that breeds generations, and can tell of each."""

    def generations_of(self, space: Space, finished: Sequence[Trial], problem: "Problem") -> tuple[Generation, ...]:
        """The generations so far, as far as the finished trials tell; the same for the same arguments."""


class Problem(Protocol):
    """What a strategy may know of the question: the seed, and how a finished trial is scored."""

    @property
    def seed(self) -> int:
        """The seed of the study."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the objectives, quality first as loss; all are minimised."""

    def score(self, trial: Trial) -> tuple[float, ...] | None:
        """One number an objective, lower is better; None for a failure."""

    def is_good_enough(self, trial: Trial, finished: Sequence[Trial]) -> bool:
        """Whether the trial meets the permitted drop against the best so far, judged on validation."""

    @property
    def minimized(self) -> int:
        """The place among the objectives of the cost that the goal minimises."""

    def explored(self) -> Sequence[Candidate]:
        """The scales, or structures of a given model, that shared weights have been judged at; mostly none."""

    def estimate(self, candidate: Candidate) -> tuple[float, float] | None:
        """The loss of quality and the minimised cost that exploring found, as `score` has them.

        None where the candidate is not explored; the cost is NaN where it is not known.
        """

    def spent(self, candidate: Candidate, finished: Sequence[Trial]) -> float | None:
        """The share of the permitted drop that a candidate uses up on validation, 1 at its end; limits don't count.

        Known as soon as the candidate is made, before it is measured. None where it is not made, or not yet.
        """

    def worst_loss(self, finished: Sequence[Trial], share: float = 1.0) -> float | None:
        """The loss of quality at a share of the permitted drop; None before a plain model is measured."""
