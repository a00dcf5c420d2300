"""Settling: finding out what a blind write did to the number of keys, by a read of the disk or more for each."""

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK, with_sign
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import NO_ENTRY
from oxidbm._core.log.reader import key_of, record_at
from oxidbm._core.log.record import previous_address
from oxidbm._core.table.advice import AHEAD, tell_of_pending
from oxidbm._core.table.pending import WAS_PLAIN
from oxidbm._core.table.table import Table


def settle_oldest(table: Table) -> None:
    """Find out what the oldest pending record did, and pass over it; the caller is inside the epoch."""
    log = table.log
    pending = table.pending
    first = pending.first
    item = pending.oldest()
    address: i64 = item & ADDRESS_MASK
    newer = record_at(log, address)
    key = key_of(log, newer)
    plain = item & WAS_PLAIN != 0
    before = previous_address(newer.info)
    added: i64 = 1
    replaced: i64 = 0
    while before >= log.begin:
        older = record_at(log, before)
        if key_of(log, older) == key:
            if not older.tombstone():
                added = 0
                replaced = log.footprint(older.size())
            break
        plain = False
        before = previous_address(older.info)
    gone = record_at(log, address).tombstone()  # in place, since it was written: as in a replay, nothing leads to it
    if pending.first != first or pending.oldest() != item:
        return  # another thread settled it while the device read
    pending.pass_over()
    table.count += added
    table.live_bytes += log.footprint(newer.size()) - replaced
    if plain:
        key_hash = hash_key(key, table.seed)
        entry = table.index.entry_for(key_hash, address)
        table.index.replace(key_hash, with_sign(entry), NO_ENTRY if gone else entry)


def settle(table: Table, most: i64) -> bool:
    """Settle up to `most` pending records, each one or more reads from disk; True when none is left."""
    slot = table.log.epoch.protect()
    try:
        while most > 0 and table.pending.count() > 0:
            count = min(most, AHEAD)
            tell_of_pending(table, count)
            most -= count
            while count > 0 and table.pending.count() > 0:
                settle_oldest(table)
                count -= 1
    finally:
        table.log.epoch.leave(slot)
    return table.pending.count() == 0
