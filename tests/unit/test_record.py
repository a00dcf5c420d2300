"""Record codec: what is packed is found again, and a header that was never written is a fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxidbm._core.address import ADDRESS_MASK
from oxidbm._core.log import record

ADDRESSES = st.integers(0, 2**45 - 1).map(lambda words: words * 8)
KEY_LENGTHS = st.integers(0, record.KEY_LENGTH_MAX)
VALUE_LENGTHS = st.integers(0, record.VALUE_LENGTH_MAX)


def signed(word: int) -> int:
    """Return the signed form of an unsigned word."""
    return word - 2**64 if word >> 63 else word


def shape_of(key_length: int, value_length: int, flags: int = 0) -> int:
    """Return a shape word."""
    return signed(flags << 48 | key_length << 32 | value_length)


@given(previous=ADDRESSES, tombstone=st.booleans(), unverified=st.booleans())
def test_info(previous: int, tombstone: bool, unverified: bool) -> None:
    info = record.pack_info(previous, tombstone, unverified)
    assert record.previous_address(info) == previous
    assert bool(info & record.TOMBSTONE) == tombstone
    assert (info < 0) == unverified
    assert info != 0
    assert record.fault_of(info, 0, 0) == ""


@given(key_length=KEY_LENGTHS, value_length=VALUE_LENGTHS, flags=st.integers(0, 2**16 - 1))
def test_shape(key_length: int, value_length: int, flags: int) -> None:
    shape = shape_of(key_length, value_length, flags)
    assert record.key_length(shape) == key_length
    assert record.value_length(shape) == value_length
    assert record.flags_of(shape) == flags
    expiry = flags & record.FLAG_EXPIRY
    key_word = 3 + expiry + bool(flags & record.FLAG_TAG)
    key_words = -(-key_length // 8)
    assert record.tag_word(shape) == 3 + expiry
    assert record.key_word(shape) == key_word
    assert record.value_word(shape) == key_word + key_words
    assert record.content_words(shape) == key_word + key_words + -(-value_length // 8)


@given(
    key_length=KEY_LENGTHS, value_length=VALUE_LENGTHS, spare=st.integers(0, 1000), checksum=st.integers(0, 2**32 - 1)
)
def test_seal(key_length: int, value_length: int, spare: int, checksum: int) -> None:
    capacity = min(-(-value_length // 8) + spare, record.CAPACITY_MAX)
    seal = signed(capacity << 32 | checksum)
    shape = shape_of(key_length, value_length)
    assert record.capacity_words(seal) == capacity
    assert record.record_words(shape, seal) == record.value_word(shape) + capacity >= record.content_words(shape)
    assert record.fault_of(record.pack_info(0, False, False), shape, seal) == ""


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 65_535, 2**32 - 1])
def test_words_for(length: int) -> None:
    assert record.words_for(length) == -(-length // 8)


@pytest.mark.parametrize("version", [0, 2, 3, record.VERSION_MASK])
def test_unknown_version(version: int) -> None:
    assert f"version is {version}" in record.fault_of(version << record.VERSION_SHIFT, 0, 0)


@pytest.mark.parametrize("bit", range(16))
def test_unknown_flags(bit: int) -> None:
    fault = record.fault_of(record.pack_info(0, False, False), shape_of(1, 0, 1 << bit), 0)
    if 1 << bit & record.FLAGS_KNOWN:
        assert fault == ""
    else:
        assert f"unknown bits {1 << bit:#x}" in fault


def test_invalid_records_are_a_fault() -> None:
    assert "invalid" in record.fault_of(record.pack_info(0, False, False) | 1 << record.INVALID_SHIFT, 0, 0)


@pytest.mark.parametrize(("value_length", "capacity"), [(1, 0), (8, 0), (9, 1), (2**32 - 1, 2**29 - 1)])
def test_value_beyond_its_capacity(value_length: int, capacity: int) -> None:
    fault = record.fault_of(record.pack_info(0, False, False), shape_of(3, value_length), capacity << 32)
    assert f"value of {value_length} bytes exceeds its capacity of {capacity} words" in fault


def test_constants_follow_from_one_another() -> None:
    assert record.HEADER_BYTES == 8 * record.HEADER_WORDS
    flags = [record.FLAG_EXPIRY, record.FLAG_PAGE_RUN, record.FLAG_COMMIT, record.FLAG_SESSION, record.FLAG_TAG]
    assert sum(flags) == record.FLAGS_KNOWN
    assert record.words_for(record.VALUE_LENGTH_MAX) == record.CAPACITY_MAX
    parts = [ADDRESS_MASK, record.VERSION_MASK << record.VERSION_SHIFT, record.TOMBSTONE, 1 << record.INVALID_SHIFT]
    assert sum(parts) == 2**63 - 1
