"""What the arguments of an opening that has to do with pages and commits have to be."""

from typing import Final

from oxidbm._core.address import PAGE_BITS_MAX, PAGE_BITS_MIN, power_of_two
from oxidbm._core.arguments import one_of

MEMORY_MIN: Final = 1 << 20
PAGES_AIM: Final = 8
PAGES_MAX: Final = 1 << 24
FRAMES_MIN: Final = 4


def checked_durability(durability: object) -> str:
    """Return a policy of when to commit; TypeError, ValueError."""
    return one_of("durability", '"manual", "interval" or "always"', durability, "manual", "interval", "always")


def page_bits_for(what: str, memory: int, page_size: int) -> int:
    """Return the bits of an offset in a page: of the size asked for, or of a smaller one that fits the memory."""
    if memory < MEMORY_MIN:
        raise ValueError(f"memory is {memory} bytes; a {what} needs at least {MEMORY_MIN}")
    bits = page_size.bit_length() - 1
    if page_size & (page_size - 1) or not PAGE_BITS_MIN <= bits <= PAGE_BITS_MAX:
        raise ValueError(
            f"page_size is a power of two from {1 << PAGE_BITS_MIN} to {1 << PAGE_BITS_MAX} bytes, not {page_size}"
        )
    while bits > PAGE_BITS_MIN and PAGES_AIM * power_of_two(bits) > memory:
        bits -= 1
    return bits


def check_pages(what: str, memory: int, page_bytes: int) -> None:
    """Raise ValueError for more pages in memory than there is a table for."""
    if memory // page_bytes > PAGES_MAX:
        raise ValueError(
            f"memory is {memory} bytes, more than {PAGES_MAX} pages of {page_bytes}; give it less, or make the {what} "
            "with a larger page_size="
        )


def check_memory(path: str, memory: int, page_bytes: int) -> None:
    """Raise ValueError where the memory does not hold as many pages as an open log needs."""
    if memory < FRAMES_MIN * page_bytes:
        raise ValueError(
            f"memory is {memory} bytes; {path} has pages of {page_bytes} bytes and needs at least "
            f"{FRAMES_MIN * page_bytes}"
        )
