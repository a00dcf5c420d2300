"""A cap on a store's live bytes: what is over it goes, oldest first.

The oldest is what the log has first: a record stands where it was written last, or where compaction moved it. A pass
goes over the log once, from begin to what was the tail when it began, and stops wherever the limit is kept; what it has
passed holds nothing live, so the next piece of work goes on there. On disk a key that goes leaves a tombstone, so that
it stays away after a reopening too. What is too large to stay whatever else goes is met first, and goes alone.
"""

import threading
import time
from typing import Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.counters import Counters
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.record import SHAPE_UNINDEXED, TOMBSTONE
from oxidbm._core.table.compaction import Compaction
from oxidbm._core.table.retry import remove_at
from oxidbm._core.table.settle import settle
from oxidbm._core.table.table import Table

RECORD_SLICE: Final = 1  # bytes: a slice ends behind one record
SCAN_BYTES: Final = 1048576  # between two breaths
STEP_SHARE_BITS: Final = 4
STEP_BYTES_MIN: Final = 4096
PAUSE_SECONDS: Final = 0.0005  # between two looks whether another thread is done
WAIT_SECONDS: Final = 10.0


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
        self.evicting = 0  # the thread that does, while it is busy
        self.position: i64 = 0
        self.seen: i64 = table.log.tail  # records before it were looked at for their size
        if limit > 0:
            table.log.set_step(max(limit >> STEP_SHARE_BITS, min(limit, i64(STEP_BYTES_MIN))))

    def keep(self) -> None:
        """Evict until the limit is kept; called at each step of the log. A second thread waits for the first."""
        if self.limit == 0:
            return
        if self.busy:
            self.wait()
            return
        self.busy = True
        self.evicting = threading.get_ident()
        try:
            self.drop_too_large()
            self.evict()
        finally:
            self.busy = False

    def wait(self) -> None:
        """Return when the thread that evicts has come to its end: else others would write faster than it drops.

        Not for ever: it may be waiting, in a user's clock, for what this one holds.
        """
        until = time.monotonic() + WAIT_SECONDS
        while self.busy and self.evicting != threading.get_ident() and time.monotonic() < until:
            if self.table.live_bytes <= self.limit and self.table.pending.count() == 0:
                return
            time.sleep(PAUSE_SECONDS)

    def make_room(self, current: Compaction) -> None:
        """Have room for a tombstone, or a record that is spared; that one goes where there is none in memory."""
        table = self.table
        if table.log.memory_only and not current.tight:
            current.tight = not table.log.prepare(current.wanted_room())
        else:
            table.maintainer.make_room(current.wanted_room())

    def room(self) -> i64:
        """Return what may be live at a step of the log, so that the limit is kept up to the next one."""
        return max(self.limit - self.table.log.step_bytes, i64(0))

    def drop_too_large(self) -> None:
        """Drop what was written since the last time and has no room by itself; it would have all others go before."""
        stop = self.table.log.tail
        if stop - self.seen > self.room():
            for key, address in self.too_large(self.seen, stop):
                if remove_at(self.table, key, i64(address)):
                    self.counters.evicted_keys += 1
        self.seen = stop

    def too_large(self, start: i64, stop: i64) -> list[tuple[bytes, int]]:
        """Return the keys and addresses of a range's records that have no room by themselves."""
        log = self.table.log
        found: list[tuple[bytes, int]] = []
        slot = log.epoch.protect()
        try:
            cursor = Cursor(log, max(start, log.begin), stop)
            while cursor.step():
                if log.footprint(cursor.size()) <= self.room() or cursor.shape & SHAPE_UNINDEXED:
                    continue
                if not cursor.info & TOMBSTONE:
                    found.append((cursor.key(), int(cursor.address)))
        finally:
            log.epoch.leave(slot)
        return found

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
        room = self.room()
        breath: i64 = 0
        while table.live_bytes > room:
            current = self.eviction
            if current is None:
                current = Compaction(table, table.log.tail)
                current.marks = self.marks
                current.gives_back = False
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
                self.make_room(current)
            else:
                current.tight = False
            breath += current.cursor.following - at
            if breath >= SCAN_BYTES:
                breath = 0
                _breath.breathe()
