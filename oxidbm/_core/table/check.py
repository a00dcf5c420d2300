"""check(): every invariant of an open store, every fault found as a sentence, nothing repaired.

It reads the whole log, so it costs what replay costs. Other threads should not write meanwhile.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import key_of, record_at, sealed_fault
from oxidbm._core.log.record import SHAPE_COMMIT, TOMBSTONE, previous_address
from oxidbm._core.table.iterate import newest_since
from oxidbm._core.table.settle import settle
from oxidbm._core.table.table import Table

SLICE: Final = 256


def check(table: Table) -> list[str]:
    """Return every fault found; an empty list when the store is sound."""
    slot = table.log.epoch.protect()
    try:
        return check_all(table)
    finally:
        table.log.epoch.release(slot)


def check_all(table: Table) -> list[str]:
    """As `check`, inside the epoch: what compaction passes meanwhile stays readable."""
    faults: list[str] = []
    try:
        while not settle(table, SLICE):
            _breath.breathe()
    except CorruptionError as failure:
        faults.append(str(failure))
    log = table.log
    if not log.begin <= log.head <= log.flushed <= log.sealed <= log.read_only <= log.tail:
        faults.append(
            f"log: the addresses are out of order: begin {log.begin}, head {log.head}, flushed {log.flushed}, "
            f"sealed {log.sealed}, read_only {log.read_only}, tail {log.tail}"
        )
    faults += table.index.faults()
    faults += check_entries(table)
    live = check_log(table, faults)
    if not faults and live != table.count:
        faults.append(f"store: {live} keys are live in the log, {table.count} were counted")
    return faults


def check_entries(table: Table) -> list[str]:
    """Return the faults of index entries that do not lead to a record of theirs."""
    faults: list[str] = []
    bucket: i64 = 0
    while bucket < table.index.buckets():
        for entry in table.index.entries_in(bucket):
            fault = check_entry(table, entry)
            if fault:
                faults.append(fault)
        bucket += 1
        if bucket & (SLICE - 1) == 0:
            _breath.breathe()
    return faults


def check_entry(table: Table, entry: i64) -> str:
    """Return what is wrong with one index entry, "" for nothing."""
    log = table.log
    address: i64 = address_of(entry)
    if address < log.begin or address >= log.tail:
        return f"index: an entry leads to address {address}, outside of the log [{log.begin}, {log.tail})"
    try:
        key_hash = hash_key(key_of(log, record_at(log, address)), table.seed)
    except CorruptionError as failure:
        return str(failure)
    if table.index.holds(key_hash, address, log.tail) != entry:
        return f"index: the entry for address {address} stands where its record's key does not lead"
    return ""


def check_log(table: Table, faults: list[str]) -> i64:
    """Add the faults of the log's records to the list, and return how many keys are live."""
    live: i64 = 0
    log = table.log
    cursor = Cursor(log, max(log.begin, i64(FIRST_ADDRESS)), log.tail)
    seen: i64 = 0
    while True:
        try:
            if not cursor.step():
                return live
            if cursor.address >= log.head and cursor.address < log.sealed:
                check_sealed(table, cursor, faults)
            if previous_address(cursor.info) >= cursor.address:
                faults.append(
                    f"{log.device.place(cursor.address)}: the chain of address {cursor.address} leads forward"
                )
            if not cursor.shape & SHAPE_COMMIT and not cursor.info & TOMBSTONE:
                key = cursor.key()
                newest = newest_since(table, key, hash_key(key, table.seed), cursor.address, cursor.stop)
                if newest is not None and not newest.tombstone():  # compaction may have copied it meanwhile
                    live += 1
        except CorruptionError as failure:
            faults.append(str(failure))
            cursor.following = log.next_page(max(cursor.following, cursor.address) + 1)
        seen += 1
        if seen & 255 == 0:
            _breath.breathe()


def check_sealed(table: Table, cursor: Cursor, faults: list[str]) -> None:
    """Verify a sealed record that is still in memory."""
    fault = sealed_fault(table.log, cursor.address)
    if fault:
        faults.append(f"memory: the sealed record at address {cursor.address} is corrupt: {fault}")
