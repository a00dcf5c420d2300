"""Settling: finding out what a blind write did to the number of keys, by a read of the disk or more for each."""

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK, with_sign
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import NO_ENTRY, address_of, is_mixed
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
    before = previous_address(newer.info)
    plain = item & WAS_PLAIN != 0 or pending.is_alone(before)
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
    gone = newer.tombstone()  # in place, since it was written: as in a replay, nothing leads to it
    if not gone and not newer.data:  # in memory, where it may have been deleted meanwhile
        gone = record_at(log, address).tombstone()
    if pending.first != first or pending.oldest() != item:
        return  # another thread settled it while the device read
    pending.pass_over()
    table.count += added
    table.live_bytes += log.footprint(newer.size()) - replaced
    if plain:
        key_hash = hash_key(key, table.seed)
        entry = table.index.entry_for(key_hash, address)
        if not table.index.replace(key_hash, with_sign(entry), NO_ENTRY if gone else entry):
            make_plain_above(table, key, key_hash, address)


def make_plain_above(table: Table, key: bytes, key_hash: i64, address: i64) -> None:
    """Make the entry plain that leads to newer records of a key, where none of another key is in the chain.

    The record at `address`, just settled, has none below it, but was written once more before that was known. Where one
    of the newer ones is to be settled still, it is told of what is below it instead. An entry that stays mixed costs
    compaction a read of the disk for each record in its chain.
    """
    log = table.log
    pending = table.pending
    for entry in table.index.matching(key_hash):
        at: i64 = address_of(entry) if is_mixed(entry) else i64(0)
        lowest: i64 = 0
        while at > address:
            newer = record_at(log, at)
            if key_of(log, newer) != key or newer.tombstone():
                break
            before = previous_address(newer.info)
            if newer.info < 0 and pending.is_pending(at):
                lowest = before
            at = before
        if at == address:
            if lowest > 0:
                pending.note_alone(lowest)
            else:
                table.index.replace(key_hash, entry, table.index.entry_for(key_hash, address_of(entry)))
            return


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
