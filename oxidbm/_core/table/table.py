"""The table: one index over one log, with what is counted of its keys; and whom it tells, or asks for something.

Invariants: 1. `count` plus what settling `pending` adds is the number of keys whose newest record is no tombstone;
2. `live_bytes` is the size of those records, exact but for pending ones; 3. every change of index and log happens in
one uninterrupted stretch of compiled code, or is checked afterwards and begun again (operations.py); 4. every key that
came or went, or may have, is told to the watchers in that same stretch.
"""

from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.life import READ_ONLY, Life
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import KEY_LENGTH_MAX, VALUE_LENGTH_MAX
from oxidbm._core.log.room import Room
from oxidbm._core.table.extent import Extent
from oxidbm._core.table.pending import Pending
from oxidbm._core.table.read_cache import ReadCache
from oxidbm._core.table.reads import Marks, Reads

MILLISECONDS: Final = 1000.0


class Watcher:
    """Who wants to know which keys come and go."""

    def changed(self, key: bytes) -> None:
        """Take note that a key came or went; in the middle of an operation, so nothing else may run in here."""

    def forgotten(self) -> None:
        """Take note that every key went; as `changed`, in the middle of an operation."""

    def catch_up_if_far_behind(self) -> None:
        """Between operations: work through the notes if there are very many."""


class Walk:
    """Who goes over the records of a log in memory, the oldest of which a maintainer is about to move or drop."""

    def pass_by(self, until: i64) -> None:
        """Take from the records before `until` what is still to be done with them."""


class Maintainer:
    """What a writer asks for when the log has moved on by a step, or has no room."""

    def step(self) -> None:
        """Do the work that one step of the log has made due; in small pieces, since an operation waits for it."""

    def make_room(self, room: Room) -> None:
        """Return when an allocation that found no such room may succeed; raise where it never will."""

    def cleared(self) -> None:
        """Take note that the whole log is dead."""

    def wake(self) -> None:
        """Take note that what was waited for may have come."""

    def compact_all(self) -> None:
        """Give back the space of everything dead now."""

    def compact(self, extent: Extent) -> i64:
        """Give back the space of what is dead, as far as `extent` says, and return how many bytes that was."""
        return 0


@final
class Table:
    """Index, log and counters. `clock` returns seconds since 1970 and may be interpreted code."""

    def __init__(self, log: HybridLog, index: HashIndex, seed: i64, clock: Callable[[], float]) -> None:
        self.life: Life = log.life
        self.log = log
        self.index = index
        self.seed: i64 = seed
        self.clock = clock
        self.maintainer = Maintainer()
        self.watchers: list[Watcher] = []
        self.walks: list[Walk] = []
        self.pinned_begin: i64 = 0  # where the log began when it was pinned, for one that is
        self.count: i64 = 0
        self.live_bytes: i64 = 0
        self.session_bytes: i64 = 0  # of the records that say where a session is, which no key leads to
        self.pending = Pending(log.budget)
        self.read_cache: ReadCache | None = None  # of what was read of this log's device
        self.cache_limit: i64 = 0  # bytes of it; see `caching`
        self.reads: Reads | None = None  # what is noted of lookups; most stores note nothing
        self.value_limit: i64 = min(log.budget.limit // 2 - KEY_LENGTH_MAX, i64(VALUE_LENGTH_MAX))

    def now_ms(self) -> i64:
        """Return the clock's time in milliseconds since 1970."""
        return i64(int(self.clock() * MILLISECONDS))

    def now_if_expiring(self) -> i64:
        """Return the time where a record of this log ever had an expiry, else 0 without asking the clock."""
        return self.now_ms() if self.log.expiring else i64(0)

    def marks(self) -> Marks | None:
        """Return the marks of keys that were read, where eviction asks for them."""
        return None if self.reads is None else self.reads.marks

    def tell(self, key: bytes) -> None:
        """Tell the watchers that a key came or went; called where there are any."""
        for watcher in self.watchers:
            watcher.changed(key)

    def begin(self) -> i64:
        """Return where the log begins, before which nothing counts."""
        return self.pinned_begin or self.log.begin

    def pinned(self) -> "Table":
        """Return the table as it is now, whatever becomes of it, for a walk; `unpin` ends that.

        Only one that is opened to read only stays the same for a walk while it moves to a newer commit. The walk is in
        the log's epoch, so that what it comes to can be read.
        """
        if self.life.writable != READ_ONLY:
            return self
        twin = Table(self.log, self.index, self.seed, self.clock)
        twin.life = self.life
        twin.pinned_begin = self.begin()
        twin.index.pins += 1  # not self's, which may have moved on while the twin was made
        return twin

    def unpin(self) -> None:
        """Give up what `pinned` returned."""
        if self.life.writable == READ_ONLY:
            self.index.pins -= 1

    def trade(self, other: "Table") -> None:
        """Have what another table has, which gets what this one had."""
        self.log, other.log = other.log, self.log
        self.index, other.index = other.index, self.index
        self.seed, other.seed = other.seed, self.seed
        self.count, other.count = other.count, self.count
        self.live_bytes, other.live_bytes = other.live_bytes, self.live_bytes
        self.session_bytes, other.session_bytes = other.session_bytes, self.session_bytes
        self.pending, other.pending = other.pending, self.pending
        self.read_cache, other.read_cache = other.read_cache, self.read_cache
        self.value_limit = other.value_limit
        for watcher in self.watchers:
            watcher.forgotten()

    def leave_walk(self, walk: Walk) -> None:
        """Let a walk be told nothing more."""
        self.walks = [other for other in self.walks if other is not walk]

    def dead_bytes(self) -> i64:
        """Return how many bytes of the log lead to nothing."""
        return max(self.log.tail - self.log.begin - self.live_bytes - self.session_bytes, i64(0))

    def drop_read_cache(self) -> None:
        """Give up every copy of the read cache."""
        cache = self.read_cache
        if cache is not None:
            self.read_cache = None
            cache.let_go()

    def forget_all(self) -> None:
        """Let the index lead to nothing; the log's records are dead from now on."""
        self.index = self.index.emptied()
        self.count = 0
        self.live_bytes = 0
        self.pending.drop()
        self.drop_read_cache()
        for watcher in self.watchers:
            watcher.forgotten()
