"""Logical addresses: 48 bits, a byte offset into the log; the page number stands above `page_bits` of offset.

Address 0 means "no address": the first record of a log stands at FIRST_ADDRESS. Records are 8-byte aligned.
"""

from typing import Final

from mypy_extensions import i64

ADDRESS_BITS: Final = 48
ADDRESS_MASK: Final = 0xFFFFFFFFFFFF
NO_ADDRESS: Final = 0
FIRST_ADDRESS: Final = 64
ADDRESS_MAX: Final = ADDRESS_MASK  # behind every record
WORD_BYTES: Final = 8

PAGE_BITS_MIN: Final = 12
PAGE_BITS_MAX: Final = 26

BIT_61: Final[i64] = 0x2000000000000000
HALF_SIGN: Final = -0x4000000000000000


def power_of_two(bits: i64) -> i64:
    """Return 2**bits for 0 <= bits <= 61; a literal shifted by a variable would be a 32-bit shift in C."""
    return BIT_61 >> (61 - bits)


def with_sign(word: i64) -> i64:
    """Return the word with bit 63 set. Literals of 2**62 and more would be boxed ints, converted at every use."""
    half: i64 = HALF_SIGN
    return word | (half + half)


def without_sign(word: i64) -> i64:
    """Return the word with bit 63 clear."""
    half: i64 = HALF_SIGN
    return word & ~(half + half)


def align_word(size: i64) -> i64:
    """Return `size` in bytes, rounded up to whole words."""
    return (size + 7) & -8


def bits_for(count: i64) -> i64:
    """Return the least number of bits b with 2**b >= count."""
    bits: i64 = 0
    while bits < 61 and power_of_two(bits) < count:
        bits += 1
    return bits
