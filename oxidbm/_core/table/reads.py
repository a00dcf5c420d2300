"""What is noted of lookups, in a store that was opened to: how many found a value, and which keys were read lately.

A table without such a store has none of this, and its lookups do nothing for it: `Table.reads` is None.

Marks are for the second chance (F. J. Corbató, "A Paging Experiment with the Multics System", 1968): what eviction
comes to goes, but for what was read since it came by last, which loses its mark and goes on as the newest. There it is
a ring of pages and a hand, here the log, whose oldest record is where the hand stands.

1. A key's mark is one bit, found by its hash. Keys may share one, and a key that is deleted leaves its own behind: one
   that was not read may have a second chance for that, once.
2. What is carried on for its mark is paid for by what is dropped, byte by byte, but for the first `most` bytes. So
   eviction comes to its end however many keys are marked, and whoever marks more meanwhile.
"""

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.address import power_of_two, with_sign
from oxidbm._core.budget import READ_MARKS, Budget
from oxidbm._core.hashing import hash_key
from oxidbm._core.memory import ZERO_STEP, extend_zero, reserve_words

BITS_SHIFT: Final = 6  # of a word
BITS_MASK: Final = 63
HIGHEST: Final = 61  # that `power_of_two` gives
SHARE_SHIFT: Final = 6  # of the budget, for marks
ENOUGH_SHIFT: Final = 5  # of what is evicted from: some bits for each of its records, however small they are
CARRIED_SHIFT: Final = 3  # of what the evicted may take: what is carried on before anything was dropped


def bit_of(key_hash: i64) -> i64:
    """Return the word in which only a hash's bit is set."""
    nth: i64 = key_hash & BITS_MASK
    if nth == BITS_MASK:
        return with_sign(0)
    return power_of_two(nth) if nth <= HIGHEST else power_of_two(HIGHEST) << 1


@final
class Marks:
    """A bit for each key that was read since eviction came to it last, and how much may still be carried on.

    evicted_from: the bytes that eviction keeps what is live under.
    """

    def __init__(self, budget: Budget, seed: i64, evicted_from: i64) -> None:
        most: i64 = min(budget.limit >> SHARE_SHIFT, evicted_from >> ENOUGH_SHIFT) >> 3
        words: i64 = 1
        while words << 1 <= most:
            words <<= 1
        self.seed: i64 = seed
        self.mask: i64 = words - 1
        self.words: vec[i64] = extend_zero(reserve_words(ZERO_STEP[:0], words, False), words)
        self.most: i64 = evicted_from >> CARRIED_SHIFT
        self.credit: i64 = self.most  # bytes that may be carried on
        self.chances: i64 = 0  # records that were
        budget.hold(READ_MARKS, words << 3)

    def mark(self, key: bytes) -> None:
        """Take note that a key was read."""
        key_hash = hash_key(key, self.seed)
        at: i64 = (key_hash >> BITS_SHIFT) & self.mask
        self.words[at] = self.words[at] | bit_of(key_hash)

    def spares(self, key_hash: i64, size: i64) -> bool:
        """Return whether the key's record, of `size` bytes, is to be carried on."""
        return self.credit >= size and self.words[(key_hash >> BITS_SHIFT) & self.mask] & bit_of(key_hash) != 0

    def carried(self, key_hash: i64, size: i64) -> None:
        """Take note that it was."""
        self.unmark(key_hash)
        self.credit -= size
        self.chances += 1

    def dropped(self, key_hash: i64, size: i64) -> None:
        """Take note that a key's record of `size` bytes was dropped."""
        self.unmark(key_hash)
        self.credit = min(self.credit + size, self.most)

    def unmark(self, key_hash: i64) -> None:
        """Have a key be one that was not read."""
        at: i64 = (key_hash >> BITS_SHIFT) & self.mask
        self.words[at] = self.words[at] & ~bit_of(key_hash)


@final
class Reads:
    """How many lookups found a value, and how many did not; with `marks`, of which keys."""

    def __init__(self, marks: Marks | None) -> None:
        self.marks = marks
        self.hits: i64 = 0
        self.misses: i64 = 0

    def note(self, key: bytes | None, found: bool) -> None:
        """Take note of a lookup; None stands for what is no key, and was not found."""
        if key is None or not found:
            self.misses += 1
            return
        self.hits += 1
        self.mark(key)

    def mark(self, key: bytes) -> None:
        """Have a key stay for another while, where eviction asks for that."""
        marks = self.marks
        if marks is not None:
            marks.mark(key)

    def taken(self, reset: bool) -> tuple[int, int]:
        """Return hits and misses; with `reset` both are 0 from then on, and none is lost in between."""
        hits = self.hits
        misses = self.misses
        if reset:
            self.hits = 0
            self.misses = 0
        return int(hits), int(misses)
