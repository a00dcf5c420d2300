"""Log scan: a cursor over the records of an address range, and the iterators that users see.

The cursor reads memory in place and the device in chunks, verifying what comes from there; it holds at most one chunk,
or one record larger than that. Iterating a store visits the range from begin to the tail at the start, and yields each
key that was present at the start and still is, once, with its value at the moment of the visit; a key set anew after it
was deleted meanwhile may be left out, one that was not there at the start is. An iterator is a reader inside the epoch:
segments that compaction has passed stay until it is exhausted, closed or dropped. The chain walk for records superseded
since the start costs one record a version.
"""

from collections.abc import Iterator
from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK, FIRST_ADDRESS
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_bytes, hash_key
from oxidbm._core.index.hash_index import ENTRY_ADDRESS
from oxidbm._core.log.frames import VIEW_WORDS
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    HEADER_BYTES,
    SEAL_CAPACITY,
    SHAPE_COMMIT,
    SHAPE_EXPIRY,
    TOMBSTONE,
    content_words,
    fault_of,
    key_length,
    key_word,
    previous_address,
    record_words,
    value_length,
    value_word,
)
from oxidbm._core.store.arguments import from_key, from_value
from oxidbm._core.table.engine import OPEN, Engine
from oxidbm._core.table.locate import Found, is_live, key_of, locate, record_at, value_of

CHUNK_BYTES: Final = 262144
KEYS: Final = 0
VALUES: Final = 1
ITEMS: Final = 2


@final
class Cursor:
    """Steps over the records of [start, stop), commit records and tombstones included."""

    def __init__(self, e: Engine, start: i64, stop: i64) -> None:
        self.e = e
        self.following: i64 = start
        self.stop: i64 = stop
        self.address: i64 = 0
        self.info: i64 = 0
        self.shape: i64 = 0
        self.seal: i64 = 0
        self.offset: i64 = 0
        self.in_memory = False
        self.chunk = b""
        self.chunk_start: i64 = 0
        self.chunk_from_memory = False

    def step(self) -> bool:
        """Move to the next record; False at the end of the range."""
        log = self.e.log
        address = self.following
        if log.memory_only and address < log.begin:
            address = log.begin  # evicted meanwhile
        while address < self.stop:
            if address < log.head:
                if self.step_disk(address):
                    return True
                address = log.next_page(address + 1)
                continue
            slot = log.slot_of(address)
            end = log.frames.ends[slot]
            if end == 0:
                end = log.tail
            if address >= end:
                if end == log.tail and log.tail_open:
                    break
                address = log.next_page(end)
                continue
            offset: i64 = address & log.offset_mask
            o: i64 = (offset >> 3) + VIEW_WORDS
            o1: i64 = o + 1
            o2: i64 = o + 2
            info = log.frames.words[slot][o]
            shape = log.frames.words[slot][o1]
            seal = log.frames.words[slot][o2]
            self.address = address
            self.info = info
            self.shape = shape
            self.seal = seal
            self.offset = offset
            self.in_memory = log.frames.has_views
            if not self.in_memory:
                self.chunk = log.frames.copy_out(slot, offset, content_words(shape) << 3)
                self.chunk_start = address
                self.chunk_from_memory = True  # perhaps not sealed: no use when the record is asked for on disk
                self.offset = 0
            size: i64 = record_words(shape, seal) << 3
            self.following = address + size
            if size > log.page_bytes:
                self.following = log.next_page(address + size)
            return True
        self.following = max(self.following, self.stop)
        return False

    def load(self, address: i64, size: i64) -> i64:
        """Have at least `size` bytes from `address` on in the chunk, if the device has them; return how many there
        are.
        """
        have: i64 = self.chunk_start + len(self.chunk) - address
        if address < self.chunk_start or have < size or self.chunk_from_memory:
            self.chunk = self.e.log.device.read(address, max(size, i64(CHUNK_BYTES)))
            self.chunk_start = address
            self.chunk_from_memory = False
            have = len(self.chunk)
        return have

    def step_disk(self, address: i64) -> bool:
        """Read the record at an address below head; False where its page's records end before it."""
        device = self.e.log.device
        have = self.load(address, HEADER_BYTES)
        o: i64 = address - self.chunk_start
        info = read_i64_le(self.chunk, o) if have >= HEADER_BYTES else i64(0)
        if info == 0:
            if self.e.state != OPEN:
                self.e.blocked_read()
            self.check_gap(address)
            return False
        shape = read_i64_le(self.chunk, o + 8)
        seal = read_i64_le(self.chunk, o + 16)
        fault = fault_of(info, shape, seal)
        size: i64 = content_words(shape) << 3
        if not fault and self.load(address, size) < size:
            fault = f"its {size} bytes are cut off"
        if fault:
            raise CorruptionError(f"{device.place(address)}: the record at address {address} is corrupt: {fault}")
        o = address - self.chunk_start
        if checksum_bytes(self.chunk, o, seal & SEAL_CAPACITY, o + size, address) != seal & CHECKSUM_MASK:
            raise CorruptionError(
                f"{device.place(address)}: the record at address {address} does not match its checksum"
            )
        self.address = address
        self.info = info
        self.shape = shape
        self.seal = seal
        self.offset = o
        self.in_memory = False
        self.following = self.behind(address)
        return True

    def check_gap(self, address: i64) -> None:
        """Raise where something else than zeros stands between a page's last record and its end: a record was there."""
        at = address
        stop = self.e.log.next_page(address + 1)
        while at < stop:
            have = min(self.load(at, 1), stop - at)
            if have <= 0:
                return
            o = at - self.chunk_start
            if self.chunk.count(0, o, o + have) != have:
                raise CorruptionError(
                    f"{self.e.log.device.place(address)}: no record begins at address {address}, but the rest of "
                    "its page is not empty"
                )
            at += have

    def behind(self, address: i64) -> i64:
        """Return where the record behind the current one may stand; behind a run of pages that is the next page."""
        size: i64 = record_words(self.shape, self.seal) << 3
        log = self.e.log
        return log.next_page(address + size) if size > log.page_bytes else address + size

    def data(self) -> bytes:
        """Return what `offset` counts in: a chunk, or the view of a page, which no caller may keep (see frames)."""
        if self.in_memory:
            log = self.e.log
            return log.frames.views[(self.address >> log.page_bits) & log.frames.mask]
        return self.chunk

    def part(self, first_word: i64, size: i64) -> bytes:
        """Return `size` bytes of the current record from one of its words on."""
        start: i64 = self.offset + (first_word << 3)
        return self.data()[start : start + size]

    def key(self) -> bytes:
        """Return the current record's key."""
        return self.part(key_word(self.shape), key_length(self.shape))

    def value(self) -> bytes:
        """Return the current record's value."""
        return self.part(value_word(self.shape), value_length(self.shape))

    def size(self) -> i64:
        """Return the current record's size in bytes."""
        return record_words(self.shape, self.seal) << 3

    def expiry(self) -> i64:
        """Return when the current record expires in milliseconds since 1970, 0 for never."""
        return read_i64_le(self.part(3, 8), 0) if self.shape & SHAPE_EXPIRY else 0


def newest_since(e: Engine, key: bytes, key_hash: i64, address: i64, since: i64) -> Found | None:
    """Return the newest record of `key` if the one at `address` was its newest when the tail stood at `since`, else
    None.
    """
    for entry in e.index.matching(key_hash):
        newest: Found | None = None
        at: i64 = (entry & ENTRY_ADDRESS) << 3
        while at >= address:
            found = record_at(e, at)
            if key_of(e, found) == key:
                if newest is None:
                    newest = found
                if at == address:
                    return newest
                if at < since:
                    return None
            at = previous_address(found.info)
    return None


@final
class StoreIterator:
    """Iterates the keys, values or items of a store; see the module's text for what it yields under mutation."""

    slot: i64 = -1  # a default of the class is there for the finalizer even when __init__ failed

    def __init__(self, e: Engine, kind: i64) -> None:
        if e.state != OPEN:
            e.blocked_read()
        self.e = e
        self.kind: i64 = kind
        self.raw = not e.typed
        self.cursor = Cursor(e, max(e.log.begin, i64(FIRST_ADDRESS)), e.log.tail)
        self.slot = e.epoch.protect()

    def __iter__(self) -> "StoreIterator":
        return self

    def __next__(self) -> object:
        e = self.e
        if self.slot < 0:
            raise StopIteration
        if e.state != OPEN:
            e.blocked_read()
        cursor = self.cursor
        now = e.now_if_expiring()  # asked for first: a clock may be Python code, during which no view may be held
        while cursor.step():
            if cursor.info & TOMBSTONE or cursor.shape & SHAPE_COMMIT:
                continue
            shape = cursor.shape
            data = cursor.data()
            start: i64 = (cursor.offset + (key_word(shape) << 3)) & ADDRESS_MASK
            length = key_length(shape)
            key = data[start : start + length]
            key_hash = hash_key(key, e.seed)
            entry = e.index.holds(key_hash, cursor.address, cursor.stop)
            if entry == 0:
                continue
            if (entry & ENTRY_ADDRESS) << 3 == cursor.address:
                if shape & SHAPE_EXPIRY and cursor.expiry() <= now:
                    continue
                if self.kind == KEYS:
                    return key if self.raw else from_key(e, key)
                start += (length + 7) & -8
                value = data[start : start + value_length(shape)]
                return self.given(key, value)
            if newest_since(e, key, key_hash, cursor.address, cursor.stop) is None:
                continue
            found = locate(e, key, key_hash)  # anew: while that one read the disk, others may have changed things
            if found is None or not is_live(e, found, now):
                continue
            if self.kind == KEYS:
                return key if self.raw else from_key(e, key)
            return self.given(key, value_of(e, found))
        self.close()
        raise StopIteration

    def given(self, key: bytes, value: bytes) -> object:
        """Return what a record's key and value are to the caller."""
        if self.raw:
            return value if self.kind == VALUES else (key, value)
        given = from_value(self.e, value)
        return given if self.kind == VALUES else (from_key(self.e, key), given)

    def close(self) -> None:
        """Leave the epoch; the iterator yields nothing more."""
        if self.slot >= 0:
            self.e.epoch.leave(self.slot)
            self.slot = -1

    def __del__(self) -> None:
        self.close()


def page_start(e: Engine, address: i64) -> i64:
    """Return where to step from to reach the first record at or behind any address: where the records of its page
    begin.

    Records say how long they are, not where they begin, so a walk starts at a page. An address inside of a record's run
    of pages is followed by the page behind the run only once that is known, so the walk starts at the run's first page.
    """
    log = e.log
    begin = max(log.begin, i64(FIRST_ADDRESS))
    base: i64 = address & ~log.offset_mask
    while (
        base > log.head and base < log.tail and len(log.frames.words[log.slot_of(base)]) == 0 and base >= log.page_bytes
    ):
        base -= log.page_bytes
    return max(begin, base)


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

    def __init__(self, e: Engine, start: int, stop: int, live: bool) -> None:
        if e.state != OPEN:
            e.blocked_read()
        self.e = e
        self.live = live
        self.slot = e.epoch.protect()
        self.start: i64 = start
        self.cursor = Cursor(e, page_start(e, i64(start)), i64(stop))

    @property
    def position(self) -> int:
        """The address of the record behind the last one yielded."""
        return max(self.cursor.following, self.start)

    def __iter__(self) -> Iterator[LogRecord]:
        return self

    def __next__(self) -> LogRecord:
        e = self.e
        if self.slot < 0:
            raise StopIteration
        if e.state != OPEN:
            e.blocked_read()
        cursor = self.cursor
        while cursor.step():
            if cursor.shape & SHAPE_COMMIT or cursor.address < self.start:
                continue
            key = cursor.key()
            value = cursor.value()  # before the device is read again, since others may change the record then
            tombstone = cursor.info & TOMBSTONE != 0
            if self.live:
                found = newest_since(e, key, hash_key(key, e.seed), cursor.address, cursor.address + 1)
                if found is None or found.address != cursor.address or not is_live(e, found, e.now_if_expiring()):
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
            self.e.epoch.leave(self.slot)
            self.slot = -1

    def __del__(self) -> None:
        self.close()
