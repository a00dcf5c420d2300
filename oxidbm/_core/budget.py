"""The memory budget: one number for a store, and what each of its consumers has drawn from it.

Whoever holds memory that grows with the data says so here when it takes some or gives some back. The budget refuses
nothing; page frames are what gives way, since the log can put pages on disk: how many of them may be there is what the
other consumers leave. Under the GIL each method is atomic.
"""

from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

PAGES: Final = 0  # frames of one page
RUNS: Final = 1  # frames of records larger than a page
INDEX: Final = 2
PENDING: Final = 3  # addresses of records that are not settled yet
ORDER: Final = 4  # keys of an ordered view
READ_CACHE: Final = 5  # copies of records on disk, and where they stand
READ_MARKS: Final = 6  # bits of keys that were read
CONSUMERS: Final = 7

ORDER_SHARE_BITS: Final = 2


@final
class Budget:
    """The limit in bytes, and the bytes that each consumer holds."""

    def __init__(self, limit: i64) -> None:
        self.limit: i64 = limit
        self.total: i64 = 0
        self.held: vec[i64] = vec[i64]()
        while len(self.held) < CONSUMERS:
            self.held = append(self.held, i64(0))

    def hold(self, consumer: i64, size: i64) -> None:
        """Say that a consumer holds `size` bytes now."""
        self.total += size - self.held[consumer]
        self.held[consumer] = size

    def add(self, consumer: i64, size: i64) -> None:
        """Say that a consumer has taken `size` more bytes, or given some back where that is negative."""
        self.total += size
        self.held[consumer] += size

    def left_for(self, consumer: i64) -> i64:
        """Return how many bytes the others leave to a consumer; negative where they hold more than the limit."""
        return self.free() + self.held[consumer]

    def free(self) -> i64:
        """Return how many bytes nobody holds; negative where more than the limit is held.

        The keys of an ordered view count for at most a quarter of the limit: what is beyond that comes on top, or a
        store with many keys would have no room for the largest records it takes.
        """
        beyond: i64 = max(self.held[ORDER] - (self.limit >> ORDER_SHARE_BITS), i64(0))
        return self.limit - self.total + beyond

    def frame_bytes(self) -> i64:
        """Return the bytes of all frames, of pages and of runs."""
        return self.held[PAGES] + self.held[RUNS]
