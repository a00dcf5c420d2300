"""Compaction and eviction: how the space of dead records comes back.

Lookup-based, as in FASTER: scan [begin, until), copy each record that is still its key's newest to the tail, in the
same uninterrupted stretch in which that was established; drop the rest, and every tombstone, since nothing older is
left below it. When the range is done, begin moves by a commit, and whole segments before it are deleted once no reader
is inside. Work comes in slices. On disk a background thread does them; a store in memory does some at each step of its
log, and with `evict=True` drops the oldest live records too.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import NO_ADDRESS, with_sign
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.hash_index import ENTRY_ADDRESS
from oxidbm._core.log.hybrid_log import NO_ROOM
from oxidbm._core.log.record import SHAPE_COMMIT, SHAPE_EXPIRY, TOMBSTONE, pack_info
from oxidbm._core.table.engine import Engine
from oxidbm._core.table.locate import Found, locate_steady
from oxidbm._core.table.operations import DONE, append_record, bury
from oxidbm._core.table.scan import Cursor

EVERYTHING: Final = 0xFFFFFFFFFFFF


@final
class Compaction:
    """One pass over the oldest part of the log, resumable between slices."""

    def __init__(self, e: Engine, until: i64) -> None:
        self.e = e
        self.until: i64 = until
        self.cursor = Cursor(e, e.log.begin, until)
        self.copied_bytes: i64 = 0
        self.dropped_keys: i64 = 0
        self.running = False
        self.now: i64 = 0

    def slice(self, bytes_max: i64, evict: bool) -> bool:
        """Go over some `bytes_max` bytes; True while the pass is not at its end.

        A slice that finds no room stops before the record it could not copy, and the caller makes room. A second thread
        that comes while the device of the first one reads does nothing.
        """
        if self.running:
            return True
        self.running = True
        try:
            return self.go_on(bytes_max, evict)
        finally:
            self.running = False

    def go_on(self, bytes_max: i64, evict: bool) -> bool:
        """Do a slice."""
        cursor = self.cursor
        start = cursor.following
        self.now = self.e.now_if_expiring()
        while cursor.following - start < bytes_max and cursor.following < self.until:
            before = cursor.following
            if not cursor.step():
                break
            if not self.treat(evict):
                cursor.following = before
                return True
        return cursor.following < self.until

    def treat(self, evict: bool) -> bool:
        """Copy or drop the current record; False when there is no room for the copy."""
        cursor = self.cursor
        if cursor.shape & SHAPE_COMMIT:
            return True
        e = self.e
        key = cursor.key()
        key_hash = hash_key(key, e.seed)
        entry = e.index.holds(key_hash, cursor.address, EVERYTHING)
        if entry == 0:
            return True
        head: i64 = (entry & ENTRY_ADDRESS) << 3
        if head != cursor.address:
            found = locate_steady(e, key, key_hash)
            if found is None or found.address != cursor.address:
                return True
            entry = found.entry
            head = (entry & ENTRY_ADDRESS) << 3
        if cursor.info & TOMBSTONE:
            if head == cursor.address:
                e.index.replace(key_hash, entry, 0)
            return True
        expiry = cursor.expiry() if cursor.shape & SHAPE_EXPIRY else 0
        if (evict and not e.log.memory_only) or (expiry != 0 and expiry <= self.now):
            return self.drop(key, key_hash, entry)
        if evict and head == cursor.address:  # a log that is never replayed needs no tombstone
            e.index.replace(key_hash, entry, 0)
            e.count -= 1
            e.live_bytes -= e.log.footprint(cursor.size())
            self.dropped_keys += 1
            if e.tracked:
                e.note_change(key)
            return True
        return self.copy(key, key_hash, entry, head, expiry)

    def drop(self, key: bytes, key_hash: i64, entry: i64) -> bool:
        """Delete the current record's key, with a tombstone for recovery to see; False when there is no room for it."""
        cursor = self.cursor
        found = Found(cursor.address, cursor.info, cursor.shape, cursor.seal, b"")
        found.entry = entry
        if bury(self.e, key, key_hash, found, DONE) != DONE:
            return False
        self.dropped_keys += 1
        return True

    def copy(self, key: bytes, key_hash: i64, entry: i64, head: i64, expiry: i64) -> bool:
        """Append the current record again and let the index lead there; False when there is no room.

        Nothing live is left in the chain below a record that is its head here, so its entry is no longer mixed.
        """
        e = self.e
        cursor = self.cursor
        at_head = head == cursor.address
        old_size = e.log.footprint(cursor.size())
        if e.log.memory_only and cursor.size() > e.log.page_bytes:
            fresh = e.log.move_run(cursor.address, cursor.size())  # a second frame of its size may not fit the budget
        else:
            fresh = append_record(e, key, cursor.value(), pack_info(head, False, not at_head), expiry)
        if fresh == NO_ROOM:
            return False
        plain = e.index.entry_for(key_hash, fresh)
        replaced = e.index.replace(key_hash, entry, plain if at_head else with_sign(plain))
        assert replaced
        size = e.log.tail - fresh
        e.live_bytes += size - old_size
        self.copied_bytes += size
        return True


def drop_pages(e: Engine, until: i64) -> None:
    """Give back the frames of a memory-only log's pages before `until`, where a compaction has left nothing live."""
    log = e.log
    while log.head < until:
        end = log.frames.ends[log.slot_of(log.head)]
        if end == NO_ADDRESS or end > until:
            break
        log.drop_head_page(end)


def memory_target(e: Engine) -> i64:
    """Return up to where a memory-only log may be compacted: the first page's end, when that page is closed; else 0."""
    log = e.log
    end = log.frames.ends[log.slot_of(log.head)]
    return end if log.head < log.tail and end else i64(0)
