"""Encode: an ONNX file as one small file that is read back bit for bit and runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steelyard.core.errors import SteelyardError
from steelyard.core.protocols import Feed
from steelyard.core.wire import Plain
from steelyard.graph.encoded import decode_model, encode_model, first_changed
from steelyard.graph.reading import read_model


@dataclass(frozen=True, slots=True)
class Encode:
    """Weights as sparse positions and codebook indices through an adaptive arithmetic coder, exactly.

    What earlier steps won decides what is won here: zeros and repeated values take little, floats that all differ
    take nearly all their bytes.
    """

    name: str = "encode"

    def apply(self, source: Path, target: Path, rows: Iterator[Feed]) -> Plain:  # noqa: ARG002  needs no rows
        """Write the encoded model, and read it back to see that no bit is lost.

        Raises:
            SteelyardError: if a weight has a type that is not encoded, or would not come back as it was.
        """
        model = read_model(source)
        data = encode_model(model)
        changed = first_changed(model, decode_model(data))
        if changed is not None:
            raise SteelyardError(f"encode would change the weight {changed!r}; take the step away, and tell us.")
        target.write_bytes(data)
        return {"bytes": len(data), "from_bytes": source.stat().st_size}


ENCODE = Encode()
"""The entry of the registry."""
