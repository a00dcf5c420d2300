"""Recovery: index and log are brought to the state of the log's last commit.

What lies past the last commit that counts (see replay) is cut off, physically and durably, before anything is appended,
or a later crash could take stale records for new ones. It is a torn tail, and not corruption, unless 1. the store was
closed cleanly, or 2. a later commit record says that a commit past that place was known durable.
"""

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import ADDRESS_MASK, ADDRESS_MAX, FIRST_ADDRESS
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.commit_record import (
    COMMIT_RECORD_BYTES,
    COMMIT_SHAPE,
    COMMIT_WORDS,
    CommitRecord,
    decode,
)
from oxidbm._core.durability.replay import SLICE_RECORDS, Chain, Chains, Replay
from oxidbm._core.durability.superblock import CleanMark
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_bytes, hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.log.cursor import CHUNK_BYTES, Cursor
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import read_or_nothing
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    HEADER_BYTES,
    INFO_VERSION,
    SEAL_CAPACITY,
    SHAPE_UNINDEXED,
    TOMBSTONE,
    capacity_words,
)
from oxidbm._core.table.table import Table


def purge_below(table: Table, begin: i64, start: i64) -> i64:
    """Remove the entries that lead below `begin`; return how many keys they led to in the log from `start` on."""
    before = table.index.entries
    mixed = table.index.purge_below(begin)
    count = before - table.index.entries - len(mixed)
    for entry in mixed:
        count += Chain(table, entry, start).count()
    return count


def later_durable_commit(log: HybridLog, start: i64, sequence: i64) -> i64:
    """Return where, behind `start`, a commit record knew a commit after `sequence` to be durable; 0 for nowhere.

    A record's checksum covers its own address, so commit records can be found without knowing where records begin. All
    have one shape and size: each byte is read once, whatever stands there, but for the last words of a chunk, and what
    looks like a header costs at most one checksum of so few bytes.
    """
    device = log.device
    address: i64 = start
    end = device.end()
    while address < end:
        address = device.data_from(address)
        chunk = read_or_nothing(log, address, CHUNK_BYTES)
        size: i64 = len(chunk)
        offset: i64 = 0
        while offset + COMMIT_RECORD_BYTES <= size:
            if read_i64_le(chunk, offset + 8) == COMMIT_SHAPE and knew_durable(log, chunk, offset, address) > sequence:
                return address + offset
            offset += 8
        if size < CHUNK_BYTES:  # the end of a segment: the next one starts at a page
            address = log.next_page(max(address + size, address + 1))
        else:
            address += offset
        _breath.breathe()
    return 0


def knew_durable(log: HybridLog, chunk: bytes, offset: i64, chunk_start: i64) -> i64:
    """Return which commit the commit record at an offset of a chunk knew to be durable; 0 where there is none."""
    address = chunk_start + offset
    info = read_i64_le(chunk, offset)
    seal = read_i64_le(chunk, offset + 16)
    if info & ~ADDRESS_MASK != INFO_VERSION or capacity_words(seal) != COMMIT_WORDS:
        return 0
    end = offset + COMMIT_RECORD_BYTES
    if checksum_bytes(chunk, offset, seal & SEAL_CAPACITY, end, address, log.checksum_key) != seal & CHECKSUM_MASK:
        return 0
    try:
        return decode(chunk[offset + HEADER_BYTES : end]).log.durable_sequence
    except ValueError:
        return 0


def recover(commits: Commits, mark: CleanMark | None, read_only: bool) -> None:
    """Bring index and log to the state of the last commit."""
    table = commits.table
    log = commits.log
    device = log.device
    if mark is not None:
        table.index = HashIndex(min(i64(mark.count), device.size() // HEADER_BYTES, log.budget.limit // 8), log.budget)
    log.read_from_device()
    replay = Replay(table, device.end())
    replay.read_all()
    last = replay.last
    check_end(log, replay, mark)
    if replay.cursor.address >= replay.last_end and len(replay.pages) > 0:  # records past the commit were applied
        count: i64 = last.table.count if last is not None else 0
        count = min(max(count, i64(0)), replay.last_end // HEADER_BYTES, log.budget.limit // 8)
        table.index = HashIndex(count, log.budget)
        replay = Replay(table, replay.last_end)
        replay.read_all()
        last = replay.last
    begin = FIRST_ADDRESS if last is None else take_over(commits, replay, last)
    tail = FIRST_ADDRESS if last is None else replay.last_end
    if device.end() > tail:
        if not read_only:
            device.truncate_after(tail)
        elif isinstance(device, FileDevice):
            device.see_until(tail)
    if mark is None and not read_only and device.size() > 0:
        device.sync()  # a commit may have been written, but not synced, by a process that was killed
    load_pages(log, replay, begin, tail)
    commits.end = commits.durable_tail = log.tail


def take_over(commits: Commits, replay: Replay, last: CommitRecord) -> i64:
    """Hold what was replayed against the last commit, take over what that says, and return where the log begins."""
    table = commits.table
    device = commits.log.device
    begin = replay.cursor_start()
    place = device.place(replay.last_address)
    table.count = replay.count
    if last.log.begin < begin:
        raise CorruptionError(
            f"{place}: the log begins at address {last.log.begin}, but its first segment starts at {begin}; "
            "a file is missing"
        )
    if last.log.begin > begin:
        table.count -= purge_below(table, last.log.begin, begin)
        begin = last.log.begin
    if not last.table.count <= table.count <= last.table.count + last.table.pending:
        raise CorruptionError(
            f"{table.life.path}: replay found {table.count} keys, the last commit, {place}, counted "
            f"{last.table.count} and {last.table.pending} it had not verified"
        )
    known = last.table.pending == 0 and last.table.live_bytes >= 0
    table.live_bytes = last.table.live_bytes if known else count_live_bytes(table, begin, replay.last_end)
    commits.sequence = commits.durable_sequence = last.log.sequence
    commits.address = replay.last_address
    commits.take_sessions(replay.sessions, begin)
    if commits.serials.stated != last.sessions:
        raise CorruptionError(
            f"{table.life.path}: replay found {commits.serials.stated} sessions, the last commit, {place}, counted "
            f"{last.sessions}"
        )
    return begin


def is_newest(table: Table, cursor: Cursor, chains: Chains) -> bool:
    """Return whether the current record is its key's newest, by reading down the chains that may say so."""
    key = cursor.key()
    key_hash = hash_key(key, table.seed)
    entry = table.index.holds(key_hash, cursor.address, ADDRESS_MAX)
    if entry == 0 or address_of(entry) == cursor.address:
        return entry != 0
    for entry in table.index.matching(key_hash):
        chain = chains.of(entry)
        if chain.holds_any(key):
            return chain.newest[key] == cursor.address
    return False


def count_live_bytes(table: Table, begin: i64, tail: i64) -> i64:
    """Return the size of the records that are their key's newest, by one more pass over the log.

    A commit with pending records could not know it.
    """
    total: i64 = 0
    left: i64 = SLICE_RECORDS
    cursor = Cursor(table.log, begin, tail)
    chains = Chains(table, begin)
    while cursor.step():
        if not cursor.shape & SHAPE_UNINDEXED and not cursor.info & TOMBSTONE:
            if is_newest(table, cursor, chains):
                total += table.log.footprint(cursor.size())
        left -= 1
        if left == 0:
            left = SLICE_RECORDS
            _breath.breathe()
    return total


def check_end(log: HybridLog, replay: Replay, mark: CleanMark | None) -> None:
    """Raise where the log does not reach as far as it is known to have reached."""
    sequence: i64 = replay.last.log.sequence if replay.last is not None else 0
    place = log.device.place(replay.cursor.following)
    why = str(replay.fault) if replay.fault is not None else f"{place}: the log ends here"
    if mark is not None:
        if replay.last_end != mark.tail or sequence != mark.sequence:
            raise CorruptionError(
                f"{why}. The store was closed cleanly with commit {mark.sequence} ending at address {mark.tail}, "
                f"but the log verifies only up to commit {sequence}, address {replay.last_end}. Restore it from a copy"
            )
        return
    if replay.cursor.following > replay.last_end or replay.fault is not None or log.device.end() > replay.last_end:
        later = later_durable_commit(log, replay.last_end, sequence)
        if later:
            raise CorruptionError(
                f"{why}. That is not a torn tail: a later commit record, {log.device.place(later)}, knew more than "
                f"commit {sequence} to be durable. Restore the store from a copy"
            )


def load_pages(log: HybridLog, replay: Replay, begin: i64, tail: i64) -> None:
    """Bring the newest pages into memory, as many as the mutable region may have, and always the one of the tail."""
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
