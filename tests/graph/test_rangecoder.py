"""Bits through the range coder."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.graph.rangecoder import (
    SQUASH,
    STRETCH,
    BitReader,
    BitWriter,
    Mixture,
    code_bits,
    code_number,
)

BITS = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 65535)), max_size=300)


@given(BITS)
def test_every_bit_comes_back_whatever_its_chance(bits: list[tuple[int, int]]) -> None:
    writer = BitWriter()
    for bit, chance in bits:
        writer.code(chance, bit)
    reader = BitReader(writer.finish())
    assert [reader.code(chance, 0) for _, chance in bits] == [bit for bit, _ in bits]


@given(st.lists(st.integers(0, 1), max_size=400), st.lists(st.integers(0, 6), min_size=2, max_size=4))
def test_every_bit_comes_back_through_counters_that_learn(bits: list[int], asked: list[int]) -> None:
    def run(coder: BitWriter | BitReader, known: list[int]) -> list[int]:
        mixture = Mixture(9, len(asked))
        return [mixture.code(coder, tuple(each + i % 3 for each in asked), bit) for i, bit in enumerate(known)]

    writer = BitWriter()
    run(writer, bits)
    assert run(BitReader(writer.finish()), [0] * len(bits)) == bits


@given(st.lists(st.integers(0, 2**40), max_size=20))
def test_numbers_come_back(numbers: list[int]) -> None:
    writer = BitWriter()
    for each in numbers:
        code_number(writer, each)
    reader = BitReader(writer.finish())
    assert [code_number(reader, 0) for _ in numbers] == numbers


def test_a_number_that_never_ends_is_refused() -> None:
    writer = BitWriter()
    for _ in range(40):
        writer.code(1 << 15, 1)
    with pytest.raises(ValueError, match="a number is too long"):
        code_number(BitReader(writer.finish()), 0, 11)


def test_rare_bits_take_little_once_they_are_known_to_be_rare() -> None:
    writer, mixture = BitWriter(), Mixture(1, 1)
    for place in range(10_000):
        mixture.code(writer, (0,), int(place % 100 == 0))
    # The entropy of one in a hundred is .0808 bits: 101 bytes.
    assert len(writer.finish()) < 115


def test_bits_at_even_odds_take_their_own_length() -> None:
    writer = BitWriter()
    code_bits(writer, 0x123456789ABCDEF, 60)
    assert len(writer.finish()) in (7, 8)


def test_the_tables_are_those_of_the_format() -> None:
    # Another number in them would make old files unreadable: raise the format's number then.
    digest = hashlib.sha256(repr((STRETCH, SQUASH)).encode()).hexdigest()
    assert digest == "6488de7ccda4b53179f75188d01bcf672aff0c570644207cc412b4a794783763"
