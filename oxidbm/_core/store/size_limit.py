"""A cap on a store's live bytes: what is over it goes, oldest first.

The oldest is what the log has first: a record stands where it was written last, or where compaction moved it. A pass
goes over the log once, from begin to what was the tail when it began, and stops wherever the limit is kept; what it has
passed holds nothing live, so the next piece of work goes on there. On disk a key that goes leaves a tombstone, so that
it stays away after a reopening too.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.counters import Counters
from oxidbm._core.table.compaction import Compaction
from oxidbm._core.table.settle import settle
from oxidbm._core.table.table import Table

RECORD_SLICE: Final = 1  # bytes: a slice ends behind one record
SCAN_BYTES: Final = 1048576  # between two breaths
STEP_SHARE_BITS: Final = 4
STEP_BYTES_MIN: Final = 4096


@final
class SizeLimit:
    """The limit of one store, in bytes of live records, headers included; 0 for none."""

    def __init__(self, table: Table, counters: Counters, limit: i64) -> None:
        self.table = table
        self.counters = counters
        self.limit: i64 = limit
        self.marks = table.marks()
        self.eviction: Compaction | None = None
        self.busy = False
        self.position: i64 = 0
        if limit > 0:
            table.log.set_step(max(limit >> STEP_SHARE_BITS, min(limit, i64(STEP_BYTES_MIN))))

    def keep(self) -> None:
        """Evict until the limit is kept; called at each step of the log. A second thread leaves it to the first."""
        if self.limit == 0 or self.busy:
            return
        self.busy = True
        try:
            self.evict()
        finally:
            self.busy = False

    def slice(self, current: Compaction) -> bool:
        """Do a slice of a pass, inside of the epoch: what it reads must not be deleted by a compaction meanwhile."""
        epoch = self.table.log.epoch
        slot = epoch.protect()
        try:
            return current.slice(RECORD_SLICE, True)
        finally:
            epoch.leave(slot)

    def evict(self) -> None:
        """Go on with the pass, and begin another one where it ends, until there is room for what the next step adds."""
        table = self.table
        settle(table, table.pending.count())  # what was overwritten blindly still counts as live
        room = max(self.limit - table.log.step_bytes, i64(0))
        breath: i64 = 0
        while table.live_bytes > room:
            current = self.eviction
            if current is None:
                current = Compaction(table, table.log.tail)
                current.marks = self.marks
                current.cursor.following = max(current.cursor.following, self.position)
                self.eviction = current
            cursor = current.cursor
            cursor.following = at = max(cursor.following, table.log.begin)  # compaction may have come by meanwhile
            before = current.dropped_keys
            more = self.slice(current)
            self.counters.evicted_keys += current.dropped_keys - before
            if not more:
                self.position = current.cursor.following
                self.eviction = None
                if self.position >= table.log.tail:
                    return
            elif current.cursor.following == at:
                table.maintainer.make_room(current.wanted_room())  # for a tombstone
            breath += current.cursor.following - at
            if breath >= SCAN_BYTES:
                breath = 0
                _breath.breathe()
