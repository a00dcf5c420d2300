"""A record's bytes: where each field stands, how it is read and written.

Three little-endian header words, then up to two optional words, then key and value, each padded with zeros to a word:

    word 0  info   bits 0-47 previous_address, 48-60 version (never 0), 61 tombstone, 62 invalid, 63 unverified
    word 1  shape  bits 0-31 value_length, 32-47 key_length, 48-63 flags
    word 2  seal   bits 0-31 checksum (0 until sealed), 32-63 value_capacity in words
    word 3  expiry milliseconds since 1970, only where the flag has_expiry is set
    next    tag    62 bits of its digest, never 0, only where the flag has_tag is set

A version of 0 does not exist, so an info word of 0 ends a page. `unverified` says that the key of the record at
previous_address was not looked at when this one was appended. Unknown flags are an error. docs/format.md states the
same once for readers; tests/format ties the two.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK, with_sign

HEADER_WORDS: Final = 3
HEADER_BYTES: Final = HEADER_WORDS * 8

VERSION_SHIFT: Final = 48
VERSION_MASK: Final = 0x1FFF
VERSION_FIRST: Final = 1
INFO_VERSION: Final = VERSION_FIRST << VERSION_SHIFT
TOMBSTONE: Final = 0x2000000000000000
INVALID_SHIFT: Final = 62

KEY_LENGTH_SHIFT: Final = 32
KEY_LENGTH_MASK: Final = 0xFFFF
VALUE_LENGTH_MASK: Final = 0xFFFFFFFF
FLAGS_SHIFT: Final = 48
TAG_SHIFT: Final = 52
FLAG_EXPIRY: Final = 1
FLAG_PAGE_RUN: Final = 2
FLAG_COMMIT: Final = 4
FLAG_SESSION: Final = 8
FLAG_TAG: Final = 16
FLAGS_KNOWN: Final = FLAG_EXPIRY | FLAG_PAGE_RUN | FLAG_COMMIT | FLAG_SESSION | FLAG_TAG
SHAPE_EXPIRY: Final = 0x1000000000000
SHAPE_PAGE_RUN: Final = 0x2000000000000
SHAPE_COMMIT: Final = 0x4000000000000
SHAPE_SESSION: Final = 0x8000000000000
SHAPE_TAG: Final = 0x10000000000000
SHAPE_UNINDEXED: Final = SHAPE_COMMIT | SHAPE_SESSION  # of the store's own records: no index entry leads to one

CAPACITY_SHIFT: Final = 32
CHECKSUM_MASK: Final = 0xFFFFFFFF
SEAL_CAPACITY: Final = -0x100000000

KEY_LENGTH_MAX: Final = 65_535
VALUE_LENGTH_MAX: Final = 4_294_967_295
CAPACITY_MAX: Final = (VALUE_LENGTH_MAX + 7) // 8


def pack_info(previous: i64, tombstone: bool, unverified: bool) -> i64:
    """Return an info word: the previous address in the chain, the current version, tombstone and unverified."""
    info: i64 = previous | INFO_VERSION
    if tombstone:
        info |= TOMBSTONE
    return with_sign(info) if unverified else info


def previous_address(info: i64) -> i64:
    """Return the address of the record before this one in its hash chain, 0 for none."""
    return info & ADDRESS_MASK


def key_length(shape: i64) -> i64:
    """Return the key's length in bytes."""
    return (shape >> KEY_LENGTH_SHIFT) & KEY_LENGTH_MASK


def value_length(shape: i64) -> i64:
    """Return the value's length in bytes."""
    return shape & VALUE_LENGTH_MASK


def flags_of(shape: i64) -> i64:
    """Return the 16 flag bits."""
    return (shape >> FLAGS_SHIFT) & 0xFFFF


def capacity_words(seal: i64) -> i64:
    """Return how many words an in-place update may use for the value."""
    return (seal >> CAPACITY_SHIFT) & 0xFFFFFFFF


def words_for(length: i64) -> i64:
    """Return how many words `length` bytes take."""
    return (length + 7) >> 3


def tag_word(shape: i64) -> i64:
    """Return the tag's word of a record that has one, counted from the record's first."""
    return HEADER_WORDS + ((shape >> FLAGS_SHIFT) & FLAG_EXPIRY)


def key_word(shape: i64) -> i64:
    """Return the key's first word, counted from the record's first."""
    return tag_word(shape) + ((shape >> TAG_SHIFT) & 1)


def value_word(shape: i64) -> i64:
    """Return the value's first word, counted from the record's first."""
    return key_word(shape) + ((key_length(shape) + 7) >> 3)


def content_words(shape: i64) -> i64:
    """Return how many words the checksum covers: from the header to the value, not the spare capacity behind it."""
    return value_word(shape) + ((value_length(shape) + 7) >> 3)


def record_words(shape: i64, seal: i64) -> i64:
    """Return the record's size in words, spare capacity included."""
    return value_word(shape) + capacity_words(seal)


def fault_of(info: i64, shape: i64, seal: i64) -> str:
    """Return what is wrong with a header as words of a sentence, or "" where nothing is.

    Version and flag bits that this release does not know, a capacity that its value does not fit: none is passed over.
    """
    version: i64 = (info >> VERSION_SHIFT) & VERSION_MASK
    if version != VERSION_FIRST:
        return f"its version is {version}, only {VERSION_FIRST} is known"
    if (info >> INVALID_SHIFT) & 1:
        return "it is marked invalid, which this release never does"
    unknown: i64 = flags_of(shape) & ~FLAGS_KNOWN
    if unknown:
        return f"its flags have the unknown bits {unknown:#x}"
    if capacity_words(seal) > CAPACITY_MAX:  # the checksum does not see the two highest bits
        return f"its capacity of {capacity_words(seal)} words is more than the longest value takes"
    if words_for(value_length(shape)) > capacity_words(seal):
        return f"its value of {value_length(shape)} bytes exceeds its capacity of {capacity_words(seal)} words"
    return ""
