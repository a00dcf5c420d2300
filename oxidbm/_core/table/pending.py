"""Pending records: those marked unverified whose effect on the number of keys has not been found out yet.

A queue of addresses: settle.py takes the oldest, looks at what it replaced, and passes over it. Invariant: whatever
appends an unverified record adds it here in the same instant, also where it knows what the record replaced. So those
that are pending at a commit are the last ones with that mark before it, as many as it says, and recovery knows them
without a look at what they replaced.
"""

from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK
from oxidbm._core.budget import PENDING, Budget

WAS_PLAIN: Final = 0x2000000000000000  # the entry was not mixed before
SHARE_BITS: Final = 9  # pending records take at most a sixty-fourth of the memory
DRAW_MASK: Final = 1023  # the budget is told once in so many


@final
class Pending:
    """The queue. `most` is how many a writer may leave for later."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.items: vec[i64] = vec[i64]()
        self.first: i64 = 0
        self.settled: i64 = 0
        self.most: i64 = budget.limit >> SHARE_BITS
        self.alone: set[int] = set()  # to which pending ones lead, above records of their own keys alone

    def add(self, address: i64, was_plain: bool) -> None:
        """Note an unverified record."""
        self.items = append(self.items, address | (WAS_PLAIN if was_plain else 0))
        if len(self.items) & DRAW_MASK == 0:
            self.budget.hold(PENDING, i64(len(self.items)) << 3)

    def count(self) -> i64:
        """Return how many records' effect on the number of keys is not known yet."""
        return len(self.items) - self.first

    def oldest(self) -> i64:
        """Return the oldest item: its address, with WAS_PLAIN or without; 0 where there is none."""
        return self.items[self.first] if self.first < len(self.items) else i64(0)

    def is_pending(self, address: i64) -> bool:
        """Return whether an unverified record is to be settled still: they are in the order of their addresses."""
        return self.count() > 0 and address >= self.oldest() & ADDRESS_MASK

    def note_alone(self, address: i64) -> None:
        """Take note that a record, to which a pending one leads, is above records of its own key alone."""
        self.alone.add(int(address))

    def is_alone(self, address: i64) -> bool:
        """Return whether that is known of a record."""
        return len(self.alone) > 0 and int(address) in self.alone

    def some(self, count: i64) -> vec[i64]:
        """Return the oldest items, up to so many."""
        return self.items[self.first : self.first + count]

    def pass_over(self) -> None:
        """Take the oldest item away, since it is settled."""
        self.first += 1
        self.settled += 1
        if self.first == len(self.items):
            self.drop()

    def drop(self) -> None:
        """Forget all, since they are settled or all keys are gone."""
        self.items = vec[i64]()
        self.first = 0
        self.alone = set()
        self.budget.hold(PENDING, 0)
