"""Visiting what the log holds for the table: which record of a key is its newest, and the scan that users see.

A scan is a reader inside the epoch: segments that compaction has passed stay until it is exhausted, closed or dropped.
The chain walk for records superseded since the start costs one record a version.
"""

from collections.abc import Iterator
from typing import final

from mypy_extensions import i64

from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import Record, is_live, key_of, record_at
from oxidbm._core.log.record import SHAPE_UNINDEXED, TOMBSTONE, previous_address
from oxidbm._core.table.table import Table


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


@final
class LogScan:
    """Iterates the records of an address range; `position` is where another scan can go on."""

    slot: i64 = -1

    def __init__(self, table: Table, start: int, stop: int, live: bool, owner: object = None) -> None:
        self.owner = owner  # a store that is scanned stays open
        table.life.check_open()
        self.table = table
        self.live = live
        self.slot = table.log.epoch.protect()
        self.start: i64 = start
        self.cursor = Cursor(table.log, table.log.walk_start(i64(start)), i64(stop))

    @property
    def position(self) -> int:
        """The address of the record behind the last one yielded."""
        return max(self.cursor.following, self.start)

    def __iter__(self) -> Iterator[LogRecord]:
        return self

    def __next__(self) -> LogRecord:
        table = self.table
        if self.slot < 0:
            raise StopIteration
        table.life.check_open()
        cursor = self.cursor
        while cursor.step():
            if cursor.shape & SHAPE_UNINDEXED or cursor.address < self.start:
                continue
            key = cursor.key()
            value = cursor.value()  # before the device is read again, since others may change the record then
            tombstone = cursor.info & TOMBSTONE != 0
            if self.live:
                found = newest_since(table, key, hash_key(key, table.seed), cursor.address, cursor.address + 1)
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
            self.table.log.epoch.leave(self.slot)
            self.slot = -1
            self.owner = None

    def __del__(self) -> None:
        self.close()
