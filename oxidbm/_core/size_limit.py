"""A cap on a store's live bytes: what is over it goes, oldest first.

The oldest is what the log has first: a record stands where it was written last, or where compaction moved it. A pass
goes over the log once, from begin to what was the tail when it began, and stops wherever the limit is kept; what it has
passed holds nothing live, so the next piece of work goes on there. On disk a key that goes leaves a tombstone, so that
it stays away after a reopening too.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.compaction import Compaction
from oxidbm._core.engine import Engine
from oxidbm._core.locate import settle

RECORD_SLICE: Final = 1  # bytes: a slice ends behind one record
SCAN_BYTES: Final = 1048576
SETTLE_MOST: Final = 1024
STEP_SHARE_BITS: Final = 4
STEP_BYTES_MIN: Final = 4096


@final
class SizeLimit:
    """The limit of one store, in bytes of live records, headers included; 0 for none."""

    def __init__(self, e: Engine, limit: i64) -> None:
        self.e = e
        self.limit: i64 = limit
        self.eviction: Compaction | None = None
        self.position: i64 = 0
        self.evicted_keys: i64 = 0
        if limit > 0:
            e.log.set_step(max(limit >> STEP_SHARE_BITS, i64(STEP_BYTES_MIN)))

    def keep(self) -> None:
        """Evict until the limit is kept, or a piece of the log has been passed over; called at each step of the log."""
        e = self.e
        if self.limit == 0:
            return
        if e.pending_count() > 0:
            settle(e, SETTLE_MOST)  # what was overwritten blindly still counts as live
        room = max(self.limit - e.log.step_bytes, i64(0))  # for what is written before this is called again
        if e.live_bytes <= room:
            return
        current = self.eviction
        if current is None:
            current = Compaction(e, e.log.tail)
            current.cursor.following = max(current.cursor.following, self.position)
            self.eviction = current
        if current.running:
            return  # another thread is at it
        before = current.dropped_keys
        stop = current.cursor.following + SCAN_BYTES
        more = True
        while more and e.live_bytes > room and current.cursor.following < stop:
            at = current.cursor.following
            more = current.slice(RECORD_SLICE, True)
            if more and current.cursor.following == at:
                break  # no room for a tombstone: the writer that comes next makes it
        self.evicted_keys += current.dropped_keys - before
        if not more:
            self.position = current.cursor.following
            self.eviction = None
