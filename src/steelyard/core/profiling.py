"""What profiling a model gives: figures by runtime, layers, comparisons. The same as the JSON, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.core.environment import Environment
from steelyard.core.outcome import SCHEMA
from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain


@dataclass(frozen=True, slots=True)
class BatchPoint:
    """Latency and throughput of one batch size."""

    batch: int
    latency: Quantity
    throughput: Quantity

    def to_json(self) -> Plain:
        """The plain form."""
        return {
            "batch": self.batch,
            "latency_p50_s": self.latency.to_json(),
            "throughput_per_s": self.throughput.to_json(),
        }


@dataclass(frozen=True, slots=True)
class RuntimeProfile:
    """A model on one runtime.

    Attributes:
        metrics: figures by the names of the JSON contract.
        parity: how the runtime's outputs differ from the source's: `max_abs`, `max_rel`, `agreement` (null where the
            outputs are no decisions), `flips`, `n`, `source`; None where there is no source to differ from.
        batches: latency and throughput at other batch sizes.
        notes: plain JSON: how it was measured, what is absent and why.
        error: why there are no figures; None where there are.
    """

    metrics: Mapping[str, Quantity] = field(default_factory=dict)
    parity: Plain | None = None
    batches: tuple[BatchPoint, ...] = ()
    notes: Mapping[str, Plain] = field(default_factory=dict)
    error: str | None = None

    def to_json(self) -> Plain:
        """The plain form."""
        return {
            "metrics": {name: quantity.to_json() for name, quantity in self.metrics.items()},
            "parity": self.parity,
            "batches": [point.to_json() for point in self.batches],
            "notes": dict(self.notes),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Another model against the first, from one interleaved round.

    Attributes:
        model: the other model.
        runtime: that both ran on.
        ratio: its p50 over the first one's; above 1 it is slower. None where it could not be measured.
        p: of the test that the ratio is 1.
        is_different: whether the test at 1 % tells them apart by at least 2 %.
        error: why it could not be measured.
    """

    model: str
    runtime: str
    ratio: Quantity | None = None
    p: float | None = None
    is_different: bool = False
    error: str | None = None

    def to_json(self) -> Plain:
        """The plain form."""
        return {
            "model": self.model,
            "runtime": self.runtime,
            "ratio": None if self.ratio is None else self.ratio.to_json(),
            "p": self.p,
            "different": self.is_different,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that was found about a model.

    Attributes:
        model: as it was named.
        inputs: what it was measured with: `ports`, `origin`, `batch`.
        runtimes: by name, in the order asked for.
        layers: of the first runtime that tells them: plain rows, see docs/reference/json.md.
        limit: the machine's measured peaks and how far the model is from them; None where they were not measured.
        audit: what of a quantized file runs in float; None where there is nothing to audit.
        estimate: a prediction without a run; None where none was asked for.
        comparisons: with other models.
        notices: sentences the user should read.
    """

    model: str
    inputs: Plain
    runtimes: Mapping[str, RuntimeProfile]
    environment: Environment
    layers: Sequence[Plain] = ()
    limit: Plain | None = None
    audit: Plain | None = None
    estimate: Plain | None = None
    comparisons: tuple[Comparison, ...] = ()
    notices: tuple[str, ...] = ()

    def to_json(self) -> Plain:
        """The JSON of `profile`: schema 1."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "inputs": self.inputs,
            "runtimes": {name: each.to_json() for name, each in self.runtimes.items()},
            "layers": list(self.layers),
            "limit": self.limit,
            "audit": self.audit,
            "estimate": self.estimate,
            "compare": [each.to_json() for each in self.comparisons],
            "notices": list(self.notices),
            "environment": self.environment.to_json(),
        }
