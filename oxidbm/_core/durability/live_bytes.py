"""What the live records take, where recovery has replayed a whole log and cannot take that over from the last commit.

A commit that was made while blind writes waited to be settled does not know it: it says what it is without them.
"""

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.durability.replay import SLICE_RECORDS, Chains
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.record import SHAPE_UNINDEXED, TOMBSTONE
from oxidbm._core.table.table import Table


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
