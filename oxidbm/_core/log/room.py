"""Room: what an allocation that found none wants, as an object that is handed on to whoever can make it.

An operation that finds no room has changed nothing and returns the size it wanted, negated; its caller makes a Room of
that, has the maintainer make it, and calls again. A batch asks for all of its room at once, before its first change.
"""

from typing import final

from mypy_extensions import i64


@final
class Room:
    """So many page frames, and a run of pages for each record larger than a page, by its size in bytes."""

    def __init__(self, pages: i64, runs: list[int]) -> None:
        self.pages: i64 = pages
        self.runs = runs

    def add(self, size: i64, at: i64, page_bytes: i64) -> i64:
        """Have room for one more record, at an offset of a page where it fits there; return the offset behind it."""
        if size > page_bytes:
            self.runs.append(int(size))
            return page_bytes  # what follows a run begins a page
        if at + size > page_bytes:
            self.pages += 1
            return size
        return at + size

    def one_page(self) -> bool:
        """Return whether this is no more than the next page."""
        return self.pages == 1 and not self.runs

    def one_run(self) -> bool:
        """Return whether this is one record larger than a page, and nothing else."""
        return self.pages == 0 and len(self.runs) == 1


def room_for(size: i64, page_bytes: i64) -> Room:
    """Return the room of one record of `size` bytes."""
    return Room(0, [int(size)]) if size > page_bytes else Room(1, [])
