"""Compaction and eviction: how the space of dead records comes back.

Lookup-based, as in FASTER: scan [begin, until), copy each record that is still its key's newest to the tail, in the
same uninterrupted stretch in which that was established; drop the rest, and every tombstone, since nothing older is
left below it. When the range is done, begin moves by a commit, and whole segments before it are deleted once no reader
is inside. Work comes in slices. On disk a background thread does them; a store in memory does some at each step of its
log, and with `evict=True` drops the oldest live records too.
"""

import threading
from typing import final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX, with_sign
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import NO_ENTRY, address_of, is_mixed
from oxidbm._core.log.append import append_reserved, append_tagged
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import Record
from oxidbm._core.log.record import (
    SHAPE_EXPIRY,
    SHAPE_UNINDEXED,
    TOMBSTONE,
    pack_info,
    previous_address,
)
from oxidbm._core.log.room import Room, room_for
from oxidbm._core.table.advice import CHAINS_WORTH, tell_of_chains
from oxidbm._core.table.locate import locate_steady
from oxidbm._core.table.operations import DONE, bury
from oxidbm._core.table.reads import Marks
from oxidbm._core.table.table import Table


@final
class Compaction:
    """One pass over the oldest part of the log, resumable between slices."""

    def __init__(self, table: Table, until: i64) -> None:
        self.table = table
        self.log = table.log
        self.until: i64 = until
        self.cursor = Cursor(table.log, table.log.begin, until)
        self.marks: Marks | None = None  # of keys that eviction is to carry on
        self.tight = False  # there is no room for what could go as well
        self.gives_back = True  # the pages behind it, when it is done: what is large may then move with its own
        self.dropped_keys: i64 = 0
        self.copied: i64 = 0  # bytes
        self.running = False
        self.runner = 0  # the thread that is in a slice
        self.now: i64 = 0
        self.wanted: i64 = 0  # bytes of the record there was no room for
        self.chains: i64 = 0  # that were gone down since the last piece of the log was read
        self.told: i64 = 0  # where the last piece began

    def slice(self, bytes_max: i64, evict: bool) -> bool:
        """Go over some `bytes_max` bytes; True while the pass is not at its end.

        A slice that finds no room stops before the record it could not copy, and the caller makes room. A second thread
        that comes while the device of the first one reads does nothing.
        """
        if self.running:
            return True
        self.running = True
        self.runner = threading.get_ident()
        try:
            return self.go_on(bytes_max, evict)
        finally:
            self.running = False

    def go_on(self, bytes_max: i64, evict: bool) -> bool:
        """Do a slice."""
        cursor = self.cursor
        start = cursor.following
        self.now = self.table.now_if_expiring()
        while cursor.following - start < bytes_max and cursor.following < self.until:
            before = cursor.following
            if not cursor.step():
                break
            if cursor.chunk_start != self.told:
                self.tell_ahead()
            if not self.treat(evict):
                cursor.following = before
                return True
        return cursor.following < self.until

    def tell_ahead(self) -> None:
        """Tell the device which chains the records of a new piece will ask for, where those of the last asked for many.

        A chain of several keys' records is the one thing for which a record's fate is not known without another read.
        """
        cursor = self.cursor
        self.told = cursor.chunk_start
        if self.chains >= CHAINS_WORTH:
            tell_of_chains(self.table, cursor, ADDRESS_MAX)
        self.chains = 0

    def treat(self, evict: bool) -> bool:
        """Copy or drop the current record; False when there is no room for the copy."""
        cursor = self.cursor
        if cursor.shape & SHAPE_UNINDEXED:
            return True
        table = self.table
        key = cursor.key()
        key_hash = hash_key(key, table.seed)
        entry = table.index.holds(key_hash, cursor.address, ADDRESS_MAX)
        if entry == 0:
            return True
        head: i64 = address_of(entry)
        if head != cursor.address:
            self.chains += 1
            found = locate_steady(table, key, key_hash)
            if found is None or found.address != cursor.address:
                return True
            entry = found.entry
            head = address_of(entry)
        if cursor.info & TOMBSTONE:
            if head == cursor.address:
                table.index.replace(key_hash, entry, NO_ENTRY)
            return True
        expiry = cursor.expiry() if cursor.shape & SHAPE_EXPIRY else 0
        if expiry != 0 and expiry <= self.now:
            return self.drop(key, key_hash, entry)
        if evict:
            return self.evict(key, key_hash, entry, head, expiry)
        return self.copy(key, key_hash, entry, head, expiry, True)

    def evict(self, key: bytes, key_hash: i64, entry: i64, head: i64, expiry: i64) -> bool:
        """Drop the current record, or carry it on where it is marked; False when there is no room for that.

        A record that a log in memory has no room to carry goes, marked or not: at once where pages are to come back.
        """
        table = self.table
        size = self.log.footprint(self.cursor.size())
        marks = self.marks
        if marks is not None and not self.tight and marks.spares(key_hash, size):
            if self.copy(key, key_hash, entry, head, expiry, False):
                marks.carried(key_hash, size)
                return True
            if not self.log.memory_only or not self.gives_back:
                return False
        if not self.log.memory_only:
            if not self.drop(key, key_hash, entry):
                return False
        elif head == self.cursor.address:  # a log that is never replayed needs no tombstone
            table.index.replace(key_hash, entry, NO_ENTRY)
            table.count -= 1
            table.live_bytes -= size
            self.dropped_keys += 1
            if table.watchers:
                table.tell(key)
        else:
            return self.copy(key, key_hash, entry, head, expiry, True)
        if marks is not None:
            marks.dropped(key_hash, size)
        return True

    def drop(self, key: bytes, key_hash: i64, entry: i64) -> bool:
        """Delete the current record's key, with a tombstone for recovery to see; False when there is no room for it."""
        cursor = self.cursor
        found = Record(cursor.address, cursor.info, cursor.shape, cursor.seal, b"")
        found.entry = entry
        status = bury(self.table, key, key_hash, found, DONE)
        if status < 0:
            self.wanted = -status
            return False
        self.dropped_keys += 1
        return True

    def copy(self, key: bytes, key_hash: i64, entry: i64, head: i64, expiry: i64, reserve: bool) -> bool:
        """Append the current record again and let the index lead there; False when there is no room.

        Nothing live is left in the chain below a record that is its head here. The entry stays mixed all the same while
        something is there: a key that is dead below may be inserted anew, and would then be found twice.
        """
        table = self.table
        cursor = self.cursor
        at_head = head == cursor.address
        alone = not is_mixed(entry) or (at_head and previous_address(cursor.info) < self.log.begin)
        old_size = self.log.footprint(cursor.size())
        fresh = self.append_copy(head, not at_head, expiry, reserve)
        if fresh < 0:
            self.wanted = -fresh
            return False
        self.copied += old_size
        plain = table.index.entry_for(key_hash, fresh)
        replaced = table.index.replace(key_hash, entry, plain if alone else with_sign(plain))
        assert replaced
        if at_head:
            table.live_bytes += self.log.tail - fresh - old_size
        else:
            table.pending.add(fresh, False)
        return True

    def append_copy(self, head: i64, unverified: bool, expiry: i64, reserve: bool) -> i64:
        """Append the current record again and return its address, < 0 for no room.

        A log in memory only is compacted because it is full: a run moves with its frame, since a second one of its size
        may not fit the budget, and the other records may use the page in reserve, but for those that could go as well.
        """
        log = self.log
        cursor = self.cursor
        if log.memory_only and self.gives_back and cursor.size() > log.page_bytes:
            return log.move_run(cursor.address, cursor.size())
        info = pack_info(head, False, unverified)
        fresh = append_tagged(log, cursor.key(), cursor.value(), info, expiry, cursor.tag())
        if fresh < 0 and reserve and log.memory_only:
            fresh = append_reserved(log, cursor.key(), cursor.value(), info, expiry, cursor.tag())
        return fresh

    def wanted_room(self) -> Room:
        """Return the room that the last slice did not find, where it stopped before a record."""
        return room_for(self.wanted, self.log.page_bytes)
