"""Addresses: powers, rounding, and the sign bit, which the compiled core must never reach by a 32-bit shift."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxidbm._core import address


@pytest.mark.parametrize("bits", range(62))
def test_power_of_two(bits: int) -> None:
    assert address.power_of_two(bits) == 2**bits


@given(size=st.integers(0, 2**50))
def test_align_word(size: int) -> None:
    aligned = address.align_word(size)
    assert aligned % address.WORD_BYTES == 0
    assert size <= aligned < size + 8


@given(count=st.integers(0, 2**60))
def test_bits_for(count: int) -> None:
    bits = address.bits_for(count)
    assert 2**bits >= count
    assert bits == 0 or 2 ** (bits - 1) < count


@given(word=st.integers(-(2**63), 2**63 - 1))
def test_sign(word: int) -> None:
    assert address.with_sign(word) % 2**64 == word % 2**64 | 1 << 63
    assert address.without_sign(word) == word % 2**63


def test_no_record_stands_at_no_address() -> None:
    assert address.NO_ADDRESS == 0 < address.FIRST_ADDRESS
    assert address.FIRST_ADDRESS % address.WORD_BYTES == 0
    assert address.ADDRESS_MASK == 2**address.ADDRESS_BITS - 1
    assert address.FIRST_ADDRESS < 2**address.PAGE_BITS_MIN
