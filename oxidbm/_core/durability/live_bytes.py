"""What the live records take, where recovery cannot take that over from an image or from the last commit.

A commit that was made while blind writes waited to be settled does not know it: it says what it is without them.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.durability.commit_record import CommitRecord
from oxidbm._core.durability.replay import SLICE_RECORDS, Chains, Replay
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import key_of, record_at
from oxidbm._core.log.record import SHAPE_UNINDEXED, TOMBSTONE, previous_address
from oxidbm._core.table.table import Table

READ_BYTES: Final = 4096  # are read of the disk for one record


def live_bytes_of(table: Table, replay: Replay, last: CommitRecord, begin: i64, cleared: bool) -> i64:
    """Return the size of the live records: as an image or the last commit says, else counted.

    Behind an image it is that of the image, settled, and what the replayed records changed; but a clear() leaves no
    record of what it took away. An update in place keeps a record's size, and of what an incremental snapshot's image
    leads to, those records that were deleted where they stand are known.
    """
    if replay.started_late() and replay.total == 0:
        return replay.live_bytes
    if last.table.pending == 0 and last.table.live_bytes >= 0:
        return last.table.live_bytes
    if replay.started_late() and not cleared:
        total = live_bytes_behind(table, replay, begin)
        if total >= 0:
            return total
    return count_live_bytes(table, begin, replay.last_end)


def live_bytes_behind(table: Table, replay: Replay, begin: i64) -> i64:
    """Return the size of the live records, of which the table has that before the replay, by one more pass over it.

    What a record replaced is read. -1 where so much of that stands before the replay that the whole log is read sooner.
    """
    log = table.log
    total = table.live_bytes
    reads: i64 = (replay.last_end - begin) // READ_BYTES
    left: i64 = SLICE_RECORDS
    cursor = Cursor(log, replay.start, replay.last_end)
    while cursor.step():
        if not cursor.shape & SHAPE_UNINDEXED:
            if not cursor.info & TOMBSTONE:
                total += log.footprint(cursor.size())
            key = cursor.key()
            before = previous_address(cursor.info)
            while before >= replay.begin:
                reads -= 1 if before < replay.start else 0
                older = record_at(log, before)
                if key_of(log, older) == key:
                    total -= 0 if older.tombstone() else log.footprint(older.size())
                    break
                before = previous_address(older.info)
            if reads < 0:
                return -1
        left -= 1
        if left == 0:
            left = SLICE_RECORDS
            _breath.breathe()
    return total


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
    """Return the size of the records that are their key's newest, by one more pass over the log."""
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
