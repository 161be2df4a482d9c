"""The yardstick: a fixed timing kernel that tells how fast the machine is right now.

Shared machines change their speed by a third for minutes on end. Dividing a latency by the yardstick's time in the
same process, and multiplying by its nominal time, makes figures of different speed states comparable. It corrects the
clock of the processor, not contention that comes and goes within a block.
"""

from collections.abc import Callable

import numpy as np

SIDE = 96
"""Side of the matrices: two of them fit the first-level cache, as the weights of a small layer do."""

STREAM = 16_384
"""Elements of the vectors (64 kB each): they spill to the second-level cache, as activations do."""

REPEATS = 3
"""Passes a call; with these sizes a call takes 100 to 300 µs on server processors of 2018 to 2025."""


def make_yardstick() -> Callable[[object], None]:
    """The kernel, as a callable with the shape of a loaded model: it ignores its input.

    One part multiplies matrices, one streams through memory; both are deterministic and single-threaded (the parent
    sets the BLAS thread count to one).
    """
    matrix = np.linspace(-1.0, 1.0, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    product = np.empty_like(matrix)
    stream = np.linspace(0.0, 1.0, STREAM, dtype=np.float32)
    scratch = np.empty_like(stream)

    def run(_: object) -> None:
        for _repeat in range(REPEATS):
            np.matmul(matrix, matrix, out=product)
            np.maximum(product, 0.0, out=product)
            np.multiply(stream, 0.5, out=scratch)
            np.add(scratch, stream, out=scratch)

    return run
