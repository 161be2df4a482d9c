"""An adaptive binary arithmetic coder: bits in, bytes out, and back. Whole numbers only, so that every machine agrees.

One model drives both directions: it asks the coder to `code` a bit, the writer with the bit known, the reader
finding it.

References:
    G. N. N. Martin, Range encoding: an algorithm for removing redundancy from a digitised message, 1979.
    M. Mahoney, Adaptive weighing of context models for lossless data compression, Florida Institute of Technology
    CS-2005-16, 2005: the logistic mixing of predictions.
"""

import math
from typing import Protocol

_STATE = 48
"""Bits of the interval. 16 more than a probability has, and 16 in reserve, keep the loss below a thousandth."""
_WHOLE = (1 << _STATE) - 1
_TOP = 1 << (_STATE - 8)
_HALF = 1 << 15
"""Even odds: probabilities count in 65536ths."""
_UNIT = 256
"""Log odds count in 256ths."""
_FAR = 11 * _UNIT
"""Log odds beyond 11 are cut off: the rarest bit costs 16 bits."""


class Coder(Protocol):
    """One direction of coding."""

    def code(self, chance: int, bit: int) -> int:
        """The bit, coded by the chance (in 65536ths) that it is 1; a reader ignores `bit` and returns what it finds."""


class BitWriter:
    """Turns bits into bytes."""

    __slots__ = ("_high", "_low", "_out")

    def __init__(self) -> None:
        """Start with the whole interval."""
        self._low, self._high = 0, _WHOLE
        self._out = bytearray()

    def code(self, chance: int, bit: int) -> int:
        """Narrow the interval to the part of the bit."""
        low, high = self._low, self._high
        middle = low + ((high - low) * chance >> 16)
        if bit:
            high = middle
        else:
            low = middle + 1
        while low ^ high < _TOP:
            self._out.append(high >> (_STATE - 8))
            low = low << 8 & _WHOLE
            high = (high << 8 & _WHOLE) | 255
        self._low, self._high = low, high
        return bit

    def finish(self) -> bytes:
        """The bytes: the fewest that lead to the last interval; a reader takes what follows for zeros."""
        for count in range(_STATE // 8 + 1):
            spare = _STATE - 8 * count
            value = -(-self._low >> spare)
            if value << spare <= self._high:
                return bytes(self._out + value.to_bytes(count, "big")).rstrip(b"\0")
        raise AssertionError("the last interval holds its own lower end")


class BitReader:
    """Turns bytes back into bits."""

    __slots__ = ("_data", "_high", "_low", "_place", "_value")

    def __init__(self, data: bytes) -> None:
        """Start at the first byte; behind the last come zeros."""
        self._low, self._high = 0, _WHOLE
        self._data = data
        self._place = _STATE // 8
        self._value = int.from_bytes(data[: self._place].ljust(self._place, b"\0"), "big")

    def code(self, chance: int, bit: int = 0) -> int:  # noqa: ARG002  the writer's argument
        """The next bit."""
        low, high = self._low, self._high
        middle = low + ((high - low) * chance >> 16)
        if self._value <= middle:
            found, high = 1, middle
        else:
            found, low = 0, middle + 1
        while low ^ high < _TOP:
            following = self._data[self._place] if self._place < len(self._data) else 0
            self._value = (self._value << 8 & _WHOLE) | following
            self._place += 1
            low = low << 8 & _WHOLE
            high = (high << 8 & _WHOLE) | 255
        self._low, self._high = low, high
        return found


def _stretched() -> list[int]:
    """Log odds of chances, by the upper 12 bits of a chance."""
    odds = ((2 * step + 1) / (2 * 4096 - 2 * step - 1) for step in range(4096))
    return [round(_UNIT * math.log(each)) for each in odds]


def _squashed() -> list[int]:
    """Chances of log odds, from -11 to 11."""
    chances = (65536 / (1 + math.exp(-step / _UNIT)) for step in range(-_FAR, _FAR + 1))
    return [min(65535, max(1, round(each))) for each in chances]


STRETCH = _stretched()
"""Table of log odds. Its numbers are part of the format, a test pins them."""
SQUASH = _squashed()
"""Table of chances. Its numbers are part of the format, a test pins them."""
_MOST = 255
"""A counter that has seen so many bits goes on as if it had seen no more."""
_RATES = [int(65536 / (count + 1.5)) for count in range(_MOST + 1)]
_BUCKETS = [min(count.bit_length(), 7) for count in range(_MOST + 1)]
"""Counters that have seen about as much share a weight."""
_LEARNING = 16
"""Shift of a weight's step, found on the networks of benchmarks/deep_compression.py."""


class Mixture:
    """Adaptive counters whose predictions are mixed, each weighted by how much its counter has seen."""

    __slots__ = ("_chances", "_counts", "_weights")

    def __init__(self, counters: int, inputs: int) -> None:
        """Fresh counters, which know nothing: even odds.

        Args:
            counters: how many there are.
            inputs: how many are asked for one bit.
        """
        self._chances = [_HALF] * counters
        self._counts = [0] * counters
        self._weights = [[0] + [(1 << 16) // inputs] * 7 for _ in range(inputs)]

    def code(self, coder: Coder, asked: tuple[int, ...], bit: int) -> int:
        """Code one bit by the counters asked, and teach them. O(inputs)."""
        chances, counts = self._chances, self._counts
        total, said = 0, []
        for counter, weights in zip(asked, self._weights, strict=True):
            odds = STRETCH[chances[counter] >> 4]
            bucket = _BUCKETS[counts[counter]]
            total += odds * weights[bucket]
            said.append((counter, odds, weights, bucket))
        total >>= 16
        chance = SQUASH[(_FAR if total > _FAR else -_FAR if total < -_FAR else total) + _FAR]
        bit = coder.code(chance, bit)
        target = 65535 if bit else 0
        error = target - chance
        for counter, odds, weights, bucket in said:
            weights[bucket] += odds * error >> _LEARNING
            count = counts[counter]
            chances[counter] += (target - chances[counter]) * _RATES[count] >> 16
            if count < _MOST:
                counts[counter] = count + 1
        return bit


def code_bits(coder: Coder, value: int, width: int) -> int:
    """A whole number of that many bits, each at even odds."""
    found = 0
    for place in range(width - 1, -1, -1):
        found = found << 1 | coder.code(_HALF, value >> place & 1)
    return found


def code_number(coder: Coder, value: int, most: int = 48) -> int:
    """A whole number from 0, small ones in few bits (Elias' gamma code); none has over `most` bits.

    Raises:
        ValueError: if a reader finds one that has.
    """
    width = 0
    wanted = (value + 1).bit_length() - 1
    while coder.code(_HALF, int(width < wanted)):
        width += 1
        if width > most:
            raise ValueError("a number is too long")
    return ((1 << width) | code_bits(coder, value + 1, width)) - 1
