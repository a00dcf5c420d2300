"""An index entry's bits: where each field stands, and how an entry is made from its parts.

    bits 0-44 the record's address in words, 45-62 the tag, 63 `mixed`: the chain may lead to more than one key

Addresses are multiples of 8, so storing words leaves three more bits to tell keys apart than storing bytes: at ten
million keys, grown from empty, one lookup in fifty meets a foreign tag instead of one in six. An entry of 0 is none.
"""

from typing import Final

from mypy_extensions import i64

TAG_BITS: Final = 18
TAG_SHIFT: Final = 45
TAG_FIELD: Final = 0x3FFFF
ENTRY_ADDRESS: Final = 0x1FFFFFFFFFFF
NO_ENTRY: Final = 0


def address_of(entry: i64) -> i64:
    """Return the address that an entry leads to."""
    return (entry & ENTRY_ADDRESS) << 3


def tag_in(entry: i64) -> i64:
    """Return an entry's tag."""
    return (entry >> TAG_SHIFT) & TAG_FIELD


def is_mixed(entry: i64) -> bool:
    """Return whether the chain that an entry leads to may hold more than one key."""
    return entry < 0


def leading_to(entry: i64, address: i64) -> i64:
    """Return an entry with its tag and its `mixed` bit, leading to another address."""
    return (entry & ~ENTRY_ADDRESS) | (address >> 3)


def make_entry(tag: i64, address: i64) -> i64:
    """Return an entry, not mixed, of a tag and an address."""
    return (tag << TAG_SHIFT) | (address >> 3)
