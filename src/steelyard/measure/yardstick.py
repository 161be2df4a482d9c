"""The yardstick: a fixed timing kernel that tells how fast the machine is right now.

Shared machines change their speed by a third for minutes on end. Dividing a latency by the yardstick's time in the
same process, and multiplying by its nominal time, makes figures of different speed states comparable. It corrects the
clock of the processor; contention for memory and caches hits every model differently, and stays in the intervals.
"""

from collections.abc import Callable

import numpy as np

SIDE = 96
"""Side of the matrices: the three of them fit the second-level cache, wherever they lie."""

PRODUCTS = 3
"""Matrix products a call, about 65 µs on server processors of 2021."""

ADDITIONS = 1200
"""Turns of the interpreter's loop a call, about 65 µs as well."""


def make_yardstick() -> Callable[[object], None]:
    """The kernel, as a callable with the shape of a loaded model: it ignores its input.

    Half of it multiplies matrices as models do, half runs the interpreter as every call of a runtime does; it is
    deterministic and single-threaded (the parent sets the BLAS thread count to one). It has no part that streams
    through memory: where such buffers happen to lie gave it 1.5 to 2 % of noise between processes, against 0.3 % for
    the products and 1.1 % for the loop.
    """
    matrix = np.linspace(-1.0, 1.0, SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    product = np.empty_like(matrix)

    def run(_: object) -> None:
        for _product in range(PRODUCTS):
            np.matmul(matrix, matrix, out=product)
        total = 0
        for index in range(ADDITIONS):
            total += index * index % 7

    return run
