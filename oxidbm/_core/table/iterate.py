"""Visiting what the log holds for the table: which record of a key is its newest, and the scan that users see.

A scan of a store on disk is a reader inside the epoch: segments that compaction has passed stay until it is exhausted,
closed or dropped. Pages in memory cannot stay, or one scan that is left lying would fill the store: before a page goes,
each walk over it keeps the keys that it had still to yield (MemoryWalk). The chain walk for records superseded since
the start costs one record a version, once for a key.
"""

from collections.abc import Iterator
from typing import Any, Final, final

from librt.strings import BytesWriter, read_i64_le, write_i64_le
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.log.cursor import Cursor, walk_start
from oxidbm._core.log.reader import Record, expiry_of, is_live, key_of, record_at, value_of
from oxidbm._core.log.record import SHAPE_UNINDEXED, TOMBSTONE, previous_address
from oxidbm._core.table.locate import locate
from oxidbm._core.table.table import Table, Walk

KEY_LENGTH_BYTES: Final = 8
STEPS_WORTH: Final = 8
KNOWN_MAX: Final = 4096


def newest_since(table: Table, key: bytes, key_hash: i64, address: i64, since: i64) -> Record | None:
    """Return the newest record of `key` if the one at `address` was that when the tail stood at `since`, else None."""
    for entry in table.index.matching(key_hash):
        newest: Record | None = None
        at: i64 = address_of(entry)
        while at >= address:
            found = record_at(table.log, at)
            if key_of(table.log, found) == key:
                if newest is None:
                    newest = found
                if at == address:
                    return newest
                if at < since:
                    return None
            at = previous_address(found.info)
    return None


@final
class NewestBefore:
    """Where keys' newest records stood at one instant, for who meets many old records of keys that change meanwhile.

    What stood there then does not change any more. So of a key whose newer records take more than some steps to go down
    it is kept, or each of its old records would cost those steps, and an update of one key beside an iteration, of
    which there are thousands, a read of the disk for each of the thousands before.
    """

    def __init__(self, table: Table, since: i64) -> None:
        self.table = table
        self.since: i64 = since  # the tail in that instant
        self.known: dict[bytes, int] = {}

    def stood_at(self, key: bytes, key_hash: i64, address: i64) -> bool:
        """Return whether that of a key stood at an address, where one of the key's records stands."""
        if self.known:
            known = self.known.get(key)
            if known is not None:
                return known == int(address)
        log = self.table.log
        steps: i64 = 0
        for entry in self.table.index.matching(key_hash):
            at: i64 = address_of(entry)
            while at >= address:
                found = record_at(log, at)
                if at < self.since and key_of(log, found) == key:
                    if steps > STEPS_WORTH and len(self.known) < KNOWN_MAX:
                        self.known[key] = int(at)
                    return at == address
                at = previous_address(found.info)
                steps += 1
        return False


@final
class MemoryWalk(Walk):
    """A cursor over a log in memory, and the keys of the pages that went before it came to them.

    The keys of a page are kept as one string, each with its length before it: that is less than the page was, and so is
    what an iterator that nobody takes on costs, beside the budget. It is told of every page until `leave`.
    """

    def __init__(self, table: Table, cursor: Cursor, start: i64) -> None:
        self.table = table
        self.cursor = cursor
        self.start: i64 = start  # records before it are not asked for
        self.tag: i64 = 0  # records with another are not asked for either, if it is one
        self.kept: list[bytes] = []
        self.offset: i64 = 0
        table.walks = [*table.walks, self]

    def pass_by(self, until: i64) -> None:
        """Keep the keys of the records before `until` that are due, and stand behind them."""
        cursor = self.cursor
        before = cursor.following
        last = cursor.address
        stop = cursor.stop
        if before >= until or before >= stop:
            return
        keys = BytesWriter()
        cursor.stop = min(stop, until)
        try:
            while cursor.step():
                if not cursor.info & TOMBSTONE and not cursor.shape & SHAPE_UNINDEXED and cursor.address >= self.start:
                    if self.tag != 0 and cursor.tag() != self.tag:
                        continue
                    key = cursor.key()
                    if newest_at(self.table, key, cursor.address, stop):
                        write_i64_le(keys, i64(len(key)))
                        keys.write(key)
            if len(keys) > 0:
                self.kept.append(keys.getvalue())
        except BaseException:
            cursor.following = before
            raise
        finally:
            cursor.stop = stop
            cursor.address = last  # what was visited, not what was only kept

    def next_kept(self, now: i64) -> Record | None:
        """Return the record that the next kept key has now, if it has a value; None when no more are kept."""
        while self.kept:
            keys = self.kept[0]
            if self.offset >= len(keys):
                self.kept = self.kept[1:]
                self.offset = 0
                continue
            start: i64 = self.offset + KEY_LENGTH_BYTES
            self.offset = start + read_i64_le(keys, self.offset)
            key = keys[start : self.offset]
            found = locate(self.table, key, hash_key(key, self.table.seed))
            if found is not None and is_live(self.table.log, found, now):
                return found
        return None

    def leave(self) -> None:
        """Be told of no page any more."""
        self.table.leave_walk(self)
        self.kept = []


def newest_at(table: Table, key: bytes, address: i64, since: i64) -> bool:
    """Return whether the record at `address` was the newest of its key when the tail stood at `since`."""
    key_hash = hash_key(key, table.seed)
    entry = table.index.holds(key_hash, address, since)
    if entry == 0:
        return False
    return address_of(entry) == address or newest_since(table, key, key_hash, address, since) is not None


@final
class LogRecord:
    """One record of the log as a scan sees it."""

    def __init__(
        self, address: int, key: bytes, value: bytes, tombstone: bool, previous_address: int, expiry: int
    ) -> None:
        self.address = address
        self.key = key
        self.value = value
        self.tombstone = tombstone
        self.previous_address = previous_address
        self.expiry = expiry

    def __repr__(self) -> str:
        return f"LogRecord(address={self.address}, key={self.key!r}, value={self.value!r}, tombstone={self.tombstone})"

    def __reduce__(self) -> Any:
        return LogRecord, (self.address, self.key, self.value, self.tombstone, self.previous_address, self.expiry)


def moved_record(table: Table, found: Record) -> LogRecord:
    """Return what a scan yields of a live record that has moved on since its page went."""
    log = table.log
    previous = previous_address(found.info)
    return LogRecord(found.address, key_of(log, found), value_of(log, found), False, previous, expiry_of(log, found))


def pinned_inside(table: Table) -> tuple[Table, i64]:
    """Return a table as `pinned` does, with the slot by which the caller is inside of its log's epoch, -1 in memory.

    Inside first: what is made here may have the garbage collector run, on 3.11, and a reader move to a newer commit
    meanwhile, which lets the pages of the one before go.
    """
    while True:
        log = table.log
        slot: i64 = -1 if log.memory_only else log.epoch.protect()
        pinned = table.pinned()
        if pinned.log is log:
            return pinned, slot
        pinned.unpin()
        log.epoch.leave(slot)  # a reader's, which is on disk


def leave(table: Table, walk: MemoryWalk | None, slot: i64) -> None:
    """Be done with a table that was pinned, its epoch, or, in memory, the walk."""
    if walk is not None:
        walk.leave()
    else:
        table.log.epoch.leave(slot)
    table.unpin()


@final
class LogScan:
    """Iterates the records of an address range; `position` is where another scan can go on."""

    slot: i64 = -1

    def __init__(self, table: Table, start: int, stop: int, live: bool, owner: object = None) -> None:
        self.owner = owner  # a store that is scanned stays open
        table.life.check_open()
        self.walk: MemoryWalk | None = None
        table, slot = pinned_inside(table)
        self.table = table
        self.slot = slot
        self.live = live
        self.start: i64 = start
        self.cursor = Cursor(table.log, walk_start(table.log, i64(start)), i64(stop))
        if table.log.memory_only:
            self.walk = MemoryWalk(table, self.cursor, i64(start))
            self.slot = 0

    @property
    def position(self) -> int:
        """The address of the record behind the last one yielded."""
        return max(self.cursor.following, self.start)

    def __iter__(self) -> Iterator[LogRecord]:
        return self

    def __repr__(self) -> str:
        where = f"at {self.position}, up to {int(self.cursor.stop)}" if self.slot >= 0 else "ended"
        return f"<records of {self.table.life.called()}, {where}>"

    def __next__(self) -> LogRecord:
        table = self.table
        if self.slot < 0:
            raise StopIteration
        table.life.check_open()
        walk = self.walk
        if walk is not None and walk.kept:
            found = walk.next_kept(table.now_if_expiring())
            if found is not None:
                return moved_record(table, found)
        cursor = self.cursor
        while cursor.step():
            if cursor.shape & SHAPE_UNINDEXED or cursor.address < self.start:
                continue
            key = cursor.key()
            key_hash = hash_key(key, table.seed)
            if self.live and table.index.holds(key_hash, cursor.address, ADDRESS_MAX) == 0:
                continue  # superseded, as the index says by itself
            value = cursor.value()  # before the device is read again, since others may change the record then
            tombstone = cursor.info & TOMBSTONE != 0
            if self.live:
                found = newest_since(table, key, key_hash, cursor.address, cursor.address + 1)
                if (
                    found is None
                    or found.address != cursor.address
                    or not is_live(table.log, found, table.now_if_expiring())
                ):
                    continue
            return LogRecord(
                cursor.address,
                key,
                value,
                tombstone,
                previous_address(cursor.info),
                cursor.expiry(),
            )
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Leave the epoch; the scan yields nothing more."""
        if self.slot >= 0:
            leave(self.table, self.walk, self.slot)
            self.slot = -1
            self.owner = None

    def __del__(self) -> None:
        self.close()
