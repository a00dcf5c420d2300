"""Iterating a store: the keys, values or items that users see.

It visits the range from begin to the tail at the start, and yields each key that was present at the start and still is,
once, with its value at the moment of the visit; a key set anew after it was deleted meanwhile may be left out, one that
was not there at the start is. An iterator over a store on disk is a reader inside the epoch: segments that compaction
has passed stay until it is exhausted, closed or dropped. Over one in memory it is a walk, which keeps the keys it has
still to yield of a page that goes.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK, FIRST_ADDRESS
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.life import OPEN
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import is_live, key_of, value_of
from oxidbm._core.log.record import SHAPE_COMMIT, SHAPE_EXPIRY, TOMBSTONE, key_length, key_word, value_length
from oxidbm._core.store.handle import Handle
from oxidbm._core.table.iterate import MemoryWalk, newest_since
from oxidbm._core.table.locate import locate

KEYS: Final = 0
VALUES: Final = 1
ITEMS: Final = 2


@final
class StoreIterator:
    """Iterates the keys, values or items of a store; see the module's text for what it yields under mutation."""

    slot: i64 = -1  # a default of the class is there for the finalizer even when __init__ failed

    def __init__(self, handle: Handle, kind: i64, owner: object = None, raw: bool = False) -> None:
        self.owner = owner  # a store that is iterated stays open, also when nobody else holds it
        table = handle.table
        table.life.check_open()
        self.table = table
        self.kind: i64 = kind
        self.coders = handle.coders
        self.raw = raw or not handle.coders.typed
        self.cursor = Cursor(table.log, max(table.log.begin, i64(FIRST_ADDRESS)), table.log.tail)
        self.walk: MemoryWalk | None = None
        if table.log.memory_only:
            self.walk = MemoryWalk(table, self.cursor, 0)
            self.slot = 0
        else:
            self.slot = table.log.epoch.protect()

    def __iter__(self) -> "StoreIterator":
        return self

    def __next__(self) -> object:
        table = self.table
        if self.slot < 0:
            raise StopIteration
        if table.life.state != OPEN:
            table.life.blocked_read()
        cursor = self.cursor
        now = table.now_if_expiring()  # asked for first: a clock may be Python code, during which no view may be held
        walk = self.walk
        if walk is not None and walk.kept:
            kept = walk.next_kept(now)
            if kept is not None:
                key = key_of(table.log, kept)
                return self.key_given(key) if self.kind == KEYS else self.given(key, value_of(table.log, kept))
        while cursor.step():
            if cursor.info & TOMBSTONE or cursor.shape & SHAPE_COMMIT:
                continue
            shape = cursor.shape
            data = cursor.data()
            start: i64 = (cursor.offset + (key_word(shape) << 3)) & ADDRESS_MASK
            length = key_length(shape)
            key = data[start : start + length]
            key_hash = hash_key(key, table.seed)
            entry = table.index.holds(key_hash, cursor.address, cursor.stop)
            if entry == 0:
                continue
            if address_of(entry) == cursor.address:
                if shape & SHAPE_EXPIRY and cursor.expiry() <= now:
                    continue
                if self.kind == KEYS:
                    return self.key_given(key)
                start += (length + 7) & -8
                value = data[start : start + value_length(shape)]
                return self.given(key, value)
            if newest_since(table, key, key_hash, cursor.address, cursor.stop) is None:
                continue
            found = locate(table, key, key_hash)  # anew: while that one read the disk, others may have changed things
            if found is None or not is_live(table.log, found, now):
                continue
            if self.kind == KEYS:
                return self.key_given(key)
            return self.given(key, value_of(table.log, found))
        self.close()
        raise StopIteration

    def key_given(self, key: bytes) -> object:
        """Return what a record's key is to the caller."""
        return key if self.raw else self.coders.key.decode(key)

    def given(self, key: bytes, value: bytes) -> object:
        """Return what a record's key and value are to the caller."""
        if self.raw:
            return value if self.kind == VALUES else (key, value)
        given = self.coders.value.decode(value)
        return given if self.kind == VALUES else (self.coders.key.decode(key), given)

    def close(self) -> None:
        """Leave the epoch; the iterator yields nothing more."""
        if self.slot >= 0:
            walk = self.walk
            if walk is not None:
                walk.leave()
            else:
                self.table.log.epoch.leave(self.slot)
            self.slot = -1
            self.owner = None

    def __del__(self) -> None:
        self.close()
