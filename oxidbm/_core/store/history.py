"""A key's history: its versions, newest first, each with the time of the commit that made it durable.

The versions of a key are a chain in the log: each record names the one before it. The index leads to the first, as long
as the key has a value; a deletion ends the chain, and what is written after it begins a new one. A scan of the whole
log finds what is behind that too. The log goes as far back as compaction has left it.

A history of a store on disk is a reader inside the epoch, as a scan is. One of a store in memory is not, since a reader
that is left lying would keep compaction away: there the newest record is read in the same stretch as the index, and
those below it are dead, so that they stay where they are until begin has passed them; a scan keeps what it found.
"""

from collections.abc import Iterator
from types import GenericAlias
from typing import Any, Final, NamedTuple, final

from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import ADDRESS_MAX, FIRST_ADDRESS
from oxidbm._core.durability.commit_chain import NOT_COMMITTED, CommitTimes
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of, is_mixed
from oxidbm._core.life import READ_ONLY
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import Record, expiry_of, key_of, record_at, value_of
from oxidbm._core.log.record import SHAPE_UNINDEXED, TOMBSTONE, previous_address
from oxidbm._core.store.handle import Handle
from oxidbm._core.table.iterate import pinned_inside

SLICE_RECORDS: Final = 512
NANOSECONDS: Final = 1e9


class KeyVersion(NamedTuple):
    """Documented in oxidbm/__init__.pyi."""

    address: int
    time: float | None
    value: Any
    tombstone: bool
    expiry: int


@final
class FoundVersion:
    """A record of the key, its value copied out of it."""

    def __init__(self, address: i64, value: bytes, tombstone: bool, expiry: i64) -> None:
        self.address: i64 = address
        self.value = value
        self.tombstone = tombstone
        self.expiry: i64 = expiry


@final
class KeyHistory:
    """Documented in oxidbm/__init__.pyi."""

    slot: i64 = -1

    def __init__(self, handle: Handle, key: bytes, scan: bool, owner: object = None) -> None:
        handle.life.check_open()
        self.handle = handle
        self.owner = owner  # a store whose history is read stays open
        self.key = key
        table, slot = pinned_inside(handle.table)
        self.table = table
        self.log = table.log
        self.slot = slot
        self.scans = scan
        self.ended = False
        self.hit = False  # the key was found: another entry does not lead to it as well
        self.mixed = False  # the entry whose chain is followed may lead to other keys
        self.entries = vec[i64]()
        self.entry: i64 = 0  # the index of the next one
        self.following: i64 = 0
        self.addresses = vec[i64]()
        self.left: i64 = 0  # of the addresses
        self.kept: list[FoundVersion] = []
        self.first: i64 = self.begin()
        self.times: CommitTimes | None = None
        self.scanned = False
        self.stop: i64 = ADDRESS_MAX
        if handle.life.writable == READ_ONLY:  # it may move to a newer commit meanwhile
            self.stop = self.log.tail
            self.times = CommitTimes(handle.commits)

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def begin(self) -> i64:
        """Return where the log begins; what clear() removed is no part of it any more."""
        return max(self.log.begin, self.handle.commits.begin_wanted, i64(FIRST_ADDRESS))

    def __iter__(self) -> Iterator[KeyVersion]:
        return self

    def __repr__(self) -> str:
        ended = ", ended" if self.ended else ""
        return f"<versions of the key {self.key!r} of {self.handle.life.called()}{ended}>"

    def __next__(self) -> KeyVersion:
        if self.ended:
            raise StopIteration
        self.table.life.check_open()
        if self.scans and not self.scanned:
            self.find_all()
            self.scanned = True
        times = self.times
        if times is None:
            self.times = times = CommitTimes(self.handle.commits)
        found = self.next_found() if self.scans else self.next_of_chain()
        if found is None:
            self.close()
            raise StopIteration
        time_ns = times.time_ns(found.address)
        value = None if found.tombstone else self.handle.coders.value_of(self.key, found.value)
        time = None if time_ns == NOT_COMMITTED else float(time_ns) / NANOSECONDS
        return KeyVersion(found.address, time, value, found.tombstone, found.expiry)

    def next_of_chain(self) -> FoundVersion | None:
        """Return the next version of the chain that the index leads to; None at its end."""
        if not self.hit and self.entry == 0:
            self.entries = self.table.index.matching(hash_key(self.key, self.table.seed))
        while True:
            first = self.begin() if self.log.memory_only else self.first
            while self.following < first:
                if self.hit or self.entry >= len(self.entries):
                    return None
                entry = self.entries[self.entry]
                self.entry += 1
                self.mixed = is_mixed(entry)
                self.following = address_of(entry)
            found = record_at(self.log, self.following)
            self.following = previous_address(found.info)
            if key_of(self.log, found) == self.key:
                if found.tombstone():  # one that the entry leads to, or a blind write: the key had no value here
                    return None
                self.hit = True
                return self.version_of(found)
            if not self.hit and not self.mixed:
                self.following = 0  # a plain entry leads to one key, and it is another one

    def version_of(self, found: Record) -> FoundVersion:
        """Copy what is asked of a record, in the same stretch in which it was found."""
        value = b"" if found.tombstone() else value_of(self.log, found)
        return FoundVersion(found.address, value, found.tombstone(), expiry_of(self.log, found))

    def find_all(self) -> None:
        """Go over the log and keep where the key's records stand; of a log in memory, which moves, what they say."""
        log = self.log
        epoch = log.epoch
        slot = epoch.protect()
        try:
            cursor = Cursor(log, self.first, min(self.stop, log.tail))
            left: i64 = SLICE_RECORDS
            while cursor.step():
                if not cursor.shape & SHAPE_UNINDEXED and cursor.key() == self.key:
                    if log.memory_only:
                        tombstone = cursor.info & TOMBSTONE != 0
                        value = b"" if tombstone else cursor.value()
                        self.kept.append(FoundVersion(cursor.address, value, tombstone, cursor.expiry()))
                    else:
                        self.addresses = append(self.addresses, cursor.address)
                left -= 1
                if left == 0:
                    left = SLICE_RECORDS
                    _breath.breathe()
        finally:
            epoch.leave(slot)
        self.left = len(self.addresses)

    def next_found(self) -> FoundVersion | None:
        """Return the newest of the versions that the scan found and that were not yielded yet; None for no more."""
        if self.log.memory_only:
            return self.kept.pop() if self.kept else None
        if self.left == 0:
            return None
        found = self.version_of(record_at(self.log, self.addresses[self.left - 1]))
        self.left -= 1
        return found

    def close(self) -> None:
        """Leave the epoch; the history yields nothing more."""
        self.ended = True
        if self.slot >= 0:
            self.log.epoch.leave(self.slot)
            self.table.unpin()
            self.slot = -1
        self.kept = []
        self.owner = None

    def __del__(self) -> None:
        self.close()
