"""Recovery: replay of the log into a fresh index, up to its last commit.

Every record is verified. A record that was appended with its key's previous record known (`unverified` not set)
replaces the index entry that leads to previous_address, so replay compares no keys; for the few others, and in mixed
chains, keys are compared. A commit record counts when its checksum holds, it follows the one before it, and as many
records stand between the two as it says. What lies past the last one that counts is cut off, physically and durably,
before anything is appended, or a later crash could take stale records for new ones. It is a torn tail, and not
corruption, unless 1. the store was closed cleanly, or 2. a later commit record says that a commit past that place was
known durable.
"""

from typing import Final, final

from librt.strings import read_i64_le
from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS, with_sign
from oxidbm._core.durability.commit import CommitRecord, decode
from oxidbm._core.durability.files import CleanMark
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_bytes, hash_key
from oxidbm._core.index.hash_index import ENTRY_ADDRESS, HashIndex
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    HEADER_BYTES,
    SEAL_CAPACITY,
    SHAPE_COMMIT,
    SHAPE_EXPIRY,
    TOMBSTONE,
    VALUE_LENGTH_MASK,
    content_words,
    previous_address,
)
from oxidbm._core.table.engine import Engine
from oxidbm._core.table.locate import key_of, record_at
from oxidbm._core.table.scan import CHUNK_BYTES, Cursor

EVERYTHING: Final = 0xFFFFFFFFFFFF
SLICE_RECORDS: Final = 512


@final
class Replay:
    """One pass over the log."""

    def __init__(self, e: Engine, stop: i64) -> None:
        self.e = e
        self.cursor = Cursor(e, max(e.log.device.begin(), i64(FIRST_ADDRESS)), stop)
        self.count: i64 = 0
        self.records: i64 = 0
        self.last: CommitRecord | None = None
        self.last_address: i64 = 0
        self.last_end: i64 = self.cursor.following
        self.fault: CorruptionError | None = None
        self.page: i64 = -1
        self.pages: vec[i64] = vec[i64]()
        self.page_ends: vec[i64] = vec[i64]()

    def run(self) -> None:
        """Replay until the range ends or something does not verify, which `fault` then says."""
        bits = self.e.log.page_bits
        cursor = self.cursor
        left: i64 = SLICE_RECORDS
        try:
            while cursor.step():
                if cursor.address >> bits != self.page:
                    self.page = cursor.address >> bits
                    self.pages = append(self.pages, cursor.address)
                    self.page_ends = append(self.page_ends, cursor.address)
                self.page_ends[len(self.page_ends) - 1] = cursor.address + cursor.size()
                if cursor.shape & SHAPE_COMMIT:
                    self.take_commit()
                else:
                    self.apply()
                    self.records += 1
                left -= 1
                if left == 0:
                    left = SLICE_RECORDS
                    _breath.breathe()
        except CorruptionError as failure:
            self.fault = failure

    def take_commit(self) -> None:
        """Check a commit record and take it as the last one."""
        cursor = self.cursor
        place = self.e.log.device.place(cursor.address)
        try:
            c = decode(cursor.value())
        except (ValueError, IndexError) as failure:
            raise CorruptionError(f"{place}: {failure}") from None
        previous = previous_address(cursor.info)
        start = self.cursor_start()  # records that commits passed by since then were deleted with their segments
        if self.last is not None:
            if previous != self.last_address or c.sequence != self.last.sequence + 1:
                raise CorruptionError(
                    f"{place}: commit {c.sequence} follows the one at address {previous}, not commit "
                    f"{self.last.sequence} at {self.last_address}"
                )
            if c.records != self.records:
                raise CorruptionError(
                    f"{place}: {self.records} records stand before commit {c.sequence}, which counted {c.records}"
                )
        elif previous >= start or (previous == 0 and start == FIRST_ADDRESS and c.records != self.records):
            raise CorruptionError(f"{place}: the records before commit {c.sequence} are not all there")
        self.last = c
        self.last_address = cursor.address
        self.last_end = cursor.following
        self.records = 0

    def cursor_start(self) -> i64:
        """Return where the replay began."""
        return max(self.e.log.device.begin(), i64(FIRST_ADDRESS))

    def apply(self) -> None:
        """Do to the index what the current record did."""
        e = self.e
        index = e.index
        cursor = self.cursor
        address = cursor.address
        key = cursor.key()
        key_hash = hash_key(key, e.seed)
        if cursor.shape & SHAPE_EXPIRY:
            e.expiring = True
        previous = previous_address(cursor.info)
        tombstone = cursor.info & TOMBSTONE != 0
        fresh: i64 = 0 if tombstone else index.entry_for(key_hash, address)
        if previous != 0:
            if cursor.info >= 0 and index.replace(key_hash, index.entry_for(key_hash, previous), fresh):
                self.count -= 1 if tombstone else 0
                return
            entry = index.holds(key_hash, previous, EVERYTHING)
            if entry != 0 and (entry & ENTRY_ADDRESS) << 3 == previous:
                self.apply_to_chain(key, key_hash, entry, tombstone)
                return
        if not tombstone:
            index.insert(key_hash, fresh)
            self.count += 1

    def apply_to_chain(self, key: bytes, key_hash: i64, entry: i64, tombstone: bool) -> None:
        """Do what the current record did to an entry whose chain may hold other keys: one read for each record looked
        at.

        The entry stays one for the whole chain, as it was while the store was written: were the keys given entries of
        their own, a key's old record would be left in the chain of another key's entry, to be found there later.
        """
        index = self.e.index
        chain = Chain(self.e, entry, self.cursor_start())
        was_live = chain.holds(key)
        others = chain.live_besides(key)
        self.count -= 1 if was_live else 0
        fresh: i64 = 0
        if others or not tombstone:
            fresh = index.entry_for(key_hash, self.cursor.address)
        if others:
            fresh = with_sign(fresh)
        index.replace(key_hash, entry, fresh)
        self.count += 0 if tombstone else 1


@final
class Chain:
    """The keys that one index entry leads to and whether each is live, read from the newest on as far as is asked."""

    def __init__(self, e: Engine, entry: i64, start: i64) -> None:
        self.e = e
        self.start: i64 = start
        self.mixed = entry < 0
        self.following: i64 = (entry & ENTRY_ADDRESS) << 3
        self.live: dict[bytes, bool] = {}

    def step(self) -> bool:
        """Read one more record; False at the end."""
        if self.following < self.start:
            return False
        found = record_at(self.e, self.following)
        self.following = previous_address(found.info) if self.mixed else 0  # a plain entry leads to one key
        key = key_of(self.e, found)
        if key not in self.live:
            self.live[key] = not found.tombstone()
        return True

    def holds(self, key: bytes) -> bool:
        """Return whether the chain's newest record of `key` gives it a value."""
        while key not in self.live:
            if not self.step():
                return False
        return self.live[key]

    def live_besides(self, key: bytes) -> bool:
        """Return whether another key than `key` has a value in the chain."""
        while True:
            for other, alive in self.live.items():
                if alive and other != key:
                    return True
            if not self.step():
                return False

    def count(self) -> i64:
        """Return how many keys have a value in the chain."""
        while self.step():
            pass
        count: i64 = 0
        for alive in self.live.values():
            count += 1 if alive else 0
        return count


def purge_below(e: Engine, begin: i64, start: i64) -> i64:
    """Remove the entries that lead below `begin`, and return how many keys they led to; the log was read from `start`
    on.
    """
    before = e.index.entries
    mixed = e.index.purge_below(begin)
    count = before - e.index.entries - len(mixed)
    for entry in mixed:
        count += Chain(e, entry, start).count()
    return count


def later_durable_commit(e: Engine, start: i64, sequence: i64) -> i64:
    """Return the address of a commit record behind `start` that knew a commit after `sequence` to be durable; 0 for
    none.

    A record's checksum covers its own address, so commit records can be found without knowing where records begin.
    """
    device = e.log.device
    address: i64 = start
    end = device.end()
    while address < end:
        chunk = device.read(address, CHUNK_BYTES)
        size: i64 = len(chunk)
        o: i64 = 0
        while o + HEADER_BYTES <= size:
            shape = read_i64_le(chunk, o + 8)
            if (shape & ~VALUE_LENGTH_MASK) == SHAPE_COMMIT and (shape & VALUE_LENGTH_MASK) < CHUNK_BYTES // 2:
                length: i64 = content_words(shape) << 3
                data = device.read(address + o, length)
                if len(data) == length:
                    seal = read_i64_le(data, 16)
                    if checksum_bytes(data, 0, seal & SEAL_CAPACITY, length, address + o) == seal & CHECKSUM_MASK:
                        if decode(data[HEADER_BYTES:]).durable_sequence > sequence:
                            return address + o
            o += 8
        if size < CHUNK_BYTES:  # the end of a segment: the next one starts at a page
            address = e.log.next_page(address + size + 1)
        else:
            address += size
        _breath.breathe()
    return 0


def recover(e: Engine, mark: CleanMark | None, read_only: bool) -> None:
    """Bring index and log to the state of the last commit."""
    log = e.log
    device = log.device
    if mark is not None:
        e.index = HashIndex(i64(mark.count))
    log.head = EVERYTHING
    replay = Replay(e, device.end())
    replay.run()
    last = replay.last
    sequence: i64 = last.sequence if last is not None else 0
    check_end(e, replay, mark, sequence)
    if replay.cursor.address >= replay.last_end and len(replay.pages) > 0:  # records past the commit were applied
        e.index = HashIndex(last.count if last is not None else 0)
        replay = Replay(e, replay.last_end)
        replay.run()
        last = replay.last
    tail = replay.last_end
    begin = replay.cursor_start()
    e.count = replay.count
    if last is None:
        tail = begin = FIRST_ADDRESS
    else:
        if last.begin < begin:
            raise CorruptionError(
                f"{device.place(replay.last_address)}: the log begins at address {last.begin}, but its first "
                f"segment starts at {begin}; "
                "a file is missing"
            )
        if last.begin > begin:
            e.count -= purge_below(e, last.begin, begin)
            begin = last.begin
        if not last.count <= e.count <= last.count + last.pending:
            raise CorruptionError(
                f"{e.path}: replay found {e.count} keys, the last commit, {device.place(replay.last_address)}, "
                f"counted {last.count} "
                f"and {last.pending} it had not verified"
            )
        e.live_bytes = last.live_bytes if last.pending == 0 else count_live_bytes(e, begin, tail)
        e.commit_sequence = e.durable_sequence = last.sequence
        e.commit_address = replay.last_address
        e.recovered_serials = last.serials
    if not read_only and device.end() > tail:
        device.truncate_after(tail)
    if mark is None and not read_only and device.size() > 0:
        device.sync()  # a commit may have been written, but not synced, by a process that was killed
    load_pages(e, replay, begin, tail)
    e.commit_end = e.durable_tail = log.tail


def count_live_bytes(e: Engine, begin: i64, tail: i64) -> i64:
    """Return the size of the records that the index leads to directly, by one more pass over the log.

    A commit with pending records could not know it. Records further down a mixed chain are left out; there are few.
    """
    total: i64 = 0
    left: i64 = SLICE_RECORDS
    cursor = Cursor(e, begin, tail)
    while cursor.step():
        if not cursor.shape & SHAPE_COMMIT and not cursor.info & TOMBSTONE:
            entry = e.index.holds(hash_key(cursor.key(), e.seed), cursor.address, EVERYTHING)
            if (entry & ENTRY_ADDRESS) << 3 == cursor.address:
                total += e.log.footprint(cursor.size())
        left -= 1
        if left == 0:
            left = SLICE_RECORDS
            _breath.breathe()
    return total


def check_end(e: Engine, replay: Replay, mark: CleanMark | None, sequence: i64) -> None:
    """Raise where the log does not reach as far as it is known to have reached."""
    place = e.log.device.place(replay.cursor.following)
    why = str(replay.fault) if replay.fault is not None else f"{place}: the log ends here"
    if mark is not None:
        if replay.last_end != mark.tail or sequence != mark.sequence:
            raise CorruptionError(
                f"{why}. The store was closed cleanly with commit {mark.sequence} ending at address {mark.tail}, "
                f"but the log verifies only up to commit {sequence}, address {replay.last_end}. Restore it from a copy"
            )
        return
    if replay.cursor.following > replay.last_end or replay.fault is not None or e.log.device.end() > replay.last_end:
        later = later_durable_commit(e, replay.last_end, sequence)
        if later:
            raise CorruptionError(
                f"{why}. That is not a torn tail: a later commit record, {e.log.device.place(later)}, knew more "
                "than commit "
                f"{sequence} to be durable. Restore the store from a copy"
            )


def load_pages(e: Engine, replay: Replay, begin: i64, tail: i64) -> None:
    """Bring the newest pages into memory, as many as the mutable region may have, and always the one of the tail."""
    log = e.log
    log.other_memory = e.index.size_bytes()
    budget = log.mutable_bytes()
    first: i64 = len(replay.pages)
    while first > 0 and replay.pages[first - 1] >= tail:
        first -= 1
    stop = first
    open_tail = tail & log.offset_mask != 0 and stop > 0 and replay.page_ends[stop - 1] == tail
    size: i64 = 0
    while first > 0 and replay.page_ends[first - 1] > begin:
        base: i64 = replay.pages[first - 1] & ~log.offset_mask
        size += max(log.page_bytes, replay.page_ends[first - 1] - base)
        if size > budget and not (open_tail and first == stop):
            break
        first -= 1
    if not open_tail:
        tail = log.next_page(tail) if tail > FIRST_ADDRESS else tail
    i: i64 = first
    while i < stop:
        base = replay.pages[i] & ~log.offset_mask
        end = replay.page_ends[i]
        log.load_page(
            base >> log.page_bits, log.device.read(base, end - base), 0 if open_tail and i == stop - 1 else end
        )
        i += 1
    head: i64 = tail
    if first < stop:
        head = max(replay.pages[first] & ~log.offset_mask, begin)
    log.start_at(begin, head, tail)
