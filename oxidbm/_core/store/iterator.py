"""Iterating a store: the keys, values or items that users see.

It visits the range from begin to the tail at the start, and yields each key that was present at the start and still is,
once, with its value at the moment of the visit; a key set anew after it was deleted meanwhile may be left out, one that
was not there at the start is. An iterator over a store on disk is a reader inside the epoch: segments that compaction
has passed stay until it is exhausted, closed or dropped. Over one in memory it is a walk, which keeps the keys it has
still to yield of a page that goes. In a store that is opened to read only it stays with the commit at which it began.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK, FIRST_ADDRESS
from oxidbm._core.coder import Coder, undecodable
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.life import OPEN
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import Record, expiry_of, is_live, key_of, tag_of, value_of
from oxidbm._core.log.record import SHAPE_EXPIRY, SHAPE_UNINDEXED, TOMBSTONE, key_length, key_word, value_length
from oxidbm._core.store.handle import Handle
from oxidbm._core.table.advice import CHAINS_WORTH, tell_of_chains
from oxidbm._core.table.iterate import MemoryWalk, NewestBefore, leave, pinned_inside
from oxidbm._core.table.locate import locate

KEYS: Final = 0
VALUES: Final = 1
ITEMS: Final = 2
ENTRIES: Final = 3  # key, value, expiry in milliseconds since 1970 or 0, tag or 0, address; for what copies stores

RAISE: Final = 0  # what to do with a key or a value that its codec did not write
SKIP: Final = 1
BYTES: Final = 2

SKIPPED: Final = object()


def policy_of(on_error: object) -> i64:
    """Return what an argument on_error= asks for; ValueError for another word."""
    if on_error == "raise":
        return RAISE
    if on_error == "skip":
        return SKIP
    if on_error == "bytes":
        return BYTES
    raise ValueError(f'on_error is "raise", "skip" or "bytes", not {on_error!r}')


@final
class StoreIterator:
    """Iterates the keys, values or items of a store; see the module's text for what it yields under mutation."""

    slot: i64 = -1  # a default of the class is there for the finalizer even when __init__ failed

    def __init__(self, handle: Handle, kind: i64, owner: object = None, raw: bool = False, policy: i64 = RAISE) -> None:
        self.owner = owner  # a store that is iterated stays open, also when nobody else holds it
        handle.life.check_open()
        self.walk: MemoryWalk | None = None
        table, slot = pinned_inside(handle.table)
        self.table = table
        self.slot = slot
        self.kind: i64 = kind
        self.coders = handle.coders
        self.raw = raw or not handle.coders.typed
        self.policy: i64 = policy
        self.cursor = Cursor(table.log, max(table.log.begin, i64(FIRST_ADDRESS)), table.log.tail)
        self.newest = NewestBefore(table, self.cursor.stop)
        self.told: i64 = -1  # where the piece of the log begins of whose chains the device was told
        self.chains: i64 = 0  # that were read for this piece
        if table.log.memory_only:
            self.walk = MemoryWalk(table, self.cursor, 0)
            self.slot = 0

    def __iter__(self) -> "StoreIterator":
        return self

    def __repr__(self) -> str:
        what = ("keys", "values", "items", "entries")[self.kind]
        return f"<{what} of {self.table.life.called()}{'' if self.slot >= 0 else ', ended'}>"

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
            kept = self.next_kept(walk, now)
            if kept is not SKIPPED:
                return kept
        while cursor.step():
            if cursor.info & TOMBSTONE or cursor.shape & SHAPE_UNINDEXED:
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
                if self.kind == KEYS and self.raw:
                    return key
                start += (length + 7) & -8
                value = b"" if self.kind == KEYS else data[start : start + value_length(shape)]
                if self.raw and self.kind != ENTRIES:  # the common case, without a call
                    return value if self.kind == VALUES else (key, value)
                if self.kind == ENTRIES:
                    return key, value, int(cursor.expiry()), int(cursor.tag()), int(cursor.address)
                given = self.given(key, value, cursor.address)
            elif not self.stood_at(key, key_hash):
                continue
            else:
                found = locate(table, key, key_hash)  # anew: while that one read the disk, others may have changed it
                if found is None or not is_live(table.log, found, now):
                    continue
                given = self.given_of(key, found)
            if given is not SKIPPED:
                return given
        self.close()
        raise StopIteration

    def stood_at(self, key: bytes, key_hash: i64) -> bool:
        """Return whether the current record was its key's newest, by reading the chain that may say so.

        Where the last piece had many such records, the device is told which ones the next piece will ask for.
        """
        cursor = self.cursor
        if cursor.chunk_start != self.told:
            self.told = cursor.chunk_start
            if self.chains >= CHAINS_WORTH:
                tell_of_chains(self.table, cursor, cursor.stop)
            self.chains = 0
        self.chains += 1
        return self.newest.stood_at(key, key_hash, cursor.address)

    def next_kept(self, walk: MemoryWalk, now: i64) -> object:
        """Return the next item of the pages that went before the iteration came to them; SKIPPED when none is left."""
        log = self.table.log
        while True:
            found = walk.next_kept(now)
            if found is None:
                return SKIPPED
            given = self.given_of(key_of(log, found), found)
            if given is not SKIPPED:
                return given

    def given_of(self, key: bytes, found: Record) -> object:
        """As `given`, of a record that was located."""
        log = self.table.log
        value = b"" if self.kind == KEYS else value_of(log, found)
        if self.kind == ENTRIES:
            return key, value, int(expiry_of(log, found)), int(tag_of(log, found)), int(found.address)
        return self.given(key, value, found.address)

    def given(self, key: bytes, value: bytes, address: i64) -> object:
        """Return what a record is to the caller; SKIPPED where a codec did not write it and it is to be left out."""
        kind = self.kind
        if self.raw:
            return key if kind == KEYS else value if kind == VALUES else (key, value)
        given_key: object = None
        given_value: object = None
        if kind != KEYS:
            given_value = self.decoded(self.coders.value, value, key, "value of the ", address)
        if kind != VALUES:
            given_key = self.decoded(self.coders.key, key, key, "", address)
        if given_key is SKIPPED or given_value is SKIPPED:
            return SKIPPED
        return given_key if kind == KEYS else given_value if kind == VALUES else (given_key, given_value)

    def decoded(self, coder: Coder, data: bytes, key: bytes, of: str, address: i64) -> object:
        """Return what a key's or a value's bytes stand for, or what the policy has in the place of an error."""
        try:
            return coder.decode(data)
        except ValueError as failure:
            if self.policy == SKIP:
                return SKIPPED
            if self.policy == BYTES:
                return data
            log = self.table.log
            where = f" ({log.device.place(address)})" if address < log.flushed else ""
            raise undecodable(key, of, where, failure) from failure

    def close(self) -> None:
        """Leave the epoch; the iterator yields nothing more."""
        if self.slot >= 0:
            leave(self.table, self.walk, self.slot)
            self.slot = -1
            self.owner = None

    def __del__(self) -> None:
        self.close()
