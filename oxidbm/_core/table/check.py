"""check(): every invariant of an open store, every fault found as a sentence, nothing repaired.

It reads the whole log, so it costs what replay costs. Other threads should not write meanwhile.
"""

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_words, hash_key
from oxidbm._core.index.hash_index import (
    BUCKET_ENTRIES,
    CHUNK_BITS,
    CHUNK_LEAD,
    CHUNK_MASK,
    ENTRY_ADDRESS,
    LINK_BITS,
    LINK_MASK,
)
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    SEAL_CAPACITY,
    SHAPE_COMMIT,
    TOMBSTONE,
    content_words,
    fault_of,
    previous_address,
)
from oxidbm._core.table.engine import Engine
from oxidbm._core.table.locate import key_of, record_at, settle
from oxidbm._core.table.scan import Cursor, newest_since

SLICE: i64 = 256


def check(e: Engine) -> list[str]:
    """Return every fault found; an empty list when the store is sound."""
    slot = e.epoch.protect()
    try:
        return check_all(e)
    finally:
        e.epoch.release(slot)


def check_all(e: Engine) -> list[str]:
    """As `check`, inside the epoch: what compaction passes meanwhile stays readable."""
    faults: list[str] = []
    try:
        while not settle(e, SLICE):
            _breath.breathe()
    except CorruptionError as failure:
        faults.append(str(failure))
    log = e.log
    if not log.begin <= log.head <= log.flushed <= log.sealed <= log.read_only <= log.tail:
        faults.append(
            f"log: the addresses are out of order: begin {log.begin}, head {log.head}, flushed {log.flushed}, "
            f"sealed {log.sealed}, read_only {log.read_only}, tail {log.tail}"
        )
    faults += e.index.faults()
    faults += check_entries(e)
    live = check_log(e, faults)
    if not faults and live != e.count:
        faults.append(f"store: {live} keys are live in the log, {e.count} were counted")
    return faults


def check_entries(e: Engine) -> list[str]:
    """Return the faults of index entries that do not lead to a record of theirs."""
    faults: list[str] = []
    index = e.index
    bucket: i64 = 0
    while bucket < index.buckets():
        words = index.chunks[bucket >> CHUNK_BITS]
        position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
        end: i64 = position + BUCKET_ENTRIES
        while True:
            entry = words[position]
            if entry == 0:
                break
            if position == end:
                words = index.overflow[entry >> LINK_BITS]
                position = entry & LINK_MASK
                end = position + BUCKET_ENTRIES
                continue
            fault = check_entry(e, entry)
            if fault:
                faults.append(fault)
            position += 1
        bucket += 1
        if bucket & 255 == 0:
            _breath.breathe()
    return faults


def check_entry(e: Engine, entry: i64) -> str:
    """Return what is wrong with one index entry, "" for nothing."""
    address: i64 = (entry & ENTRY_ADDRESS) << 3
    if address < e.log.begin or address >= e.log.tail:
        return f"index: an entry leads to address {address}, outside of the log [{e.log.begin}, {e.log.tail})"
    try:
        key_hash = hash_key(key_of(e, record_at(e, address)), e.seed)
    except CorruptionError as failure:
        return str(failure)
    if e.index.holds(key_hash, address, e.log.tail) != entry:
        return f"index: the entry for address {address} stands where its record's key does not lead"
    return ""


def check_log(e: Engine, faults: list[str]) -> i64:
    """Add the faults of the log's records to the list, and return how many keys are live."""
    live: i64 = 0
    log = e.log
    cursor = Cursor(e, max(log.begin, i64(FIRST_ADDRESS)), log.tail)
    seen: i64 = 0
    while True:
        try:
            if not cursor.step():
                return live
            if cursor.address >= log.head and cursor.address < log.sealed:
                check_sealed(e, cursor, faults)
            if previous_address(cursor.info) >= cursor.address:
                faults.append(
                    f"{log.device.place(cursor.address)}: the chain of address {cursor.address} leads forward"
                )
            if not cursor.shape & SHAPE_COMMIT and not cursor.info & TOMBSTONE:
                key = cursor.key()
                newest = newest_since(e, key, hash_key(key, e.seed), cursor.address, cursor.stop)
                if newest is not None and not newest.tombstone():  # compaction may have copied it meanwhile
                    live += 1
        except CorruptionError as failure:
            faults.append(str(failure))
            cursor.following = log.next_page(max(cursor.following, cursor.address) + 1)
        seen += 1
        if seen & 255 == 0:
            _breath.breathe()


def check_sealed(e: Engine, cursor: Cursor, faults: list[str]) -> None:
    """Verify a sealed record that is still in memory."""
    log = e.log
    fault = fault_of(cursor.info, cursor.shape, cursor.seal)
    if not fault:
        frame = log.frames.words[log.slot_of(cursor.address)]
        o = log.word_of(cursor.address)
        wanted = cursor.seal & CHECKSUM_MASK
        if (
            checksum_words(frame, o, cursor.seal & SEAL_CAPACITY, o + content_words(cursor.shape), cursor.address)
            != wanted
        ):
            fault = "it does not match its checksum"
    if fault:
        faults.append(f"memory: the sealed record at address {cursor.address} is corrupt: {fault}")
