"""Finding a key's newest record when the index alone does not tell: on disk, down a mixed chain, or with flags.

These are the slow paths of every operation. Other threads may run while the device reads; `locate_steady` says how an
operation is atomic all the same.
"""

from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.index.entry import address_of, is_mixed
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import Record, copied_record, key_of, read_disk, record_at
from oxidbm._core.log.record import key_length, previous_address
from oxidbm._core.table.caching import offer
from oxidbm._core.table.table import Table


def locate_among(table: Table, key: bytes, entries: vec[i64], offers: bool) -> Record | None:
    """Return the newest record of `key` that one of the entries leads to, with that entry; a tombstone too.

    Begin may move while the device reads. What the entries led to stays readable, since the caller is inside the epoch.
    """
    log = table.log
    begin = table.begin()
    for entry in entries:
        address: i64 = address_of(entry)
        while address >= begin:
            found = record_through_cache(table, log, address, offers)
            if key_length(found.shape) == len(key) and key_of(log, found) == key:
                found.entry = entry
                return found
            if not is_mixed(entry):
                break
            address = previous_address(found.info)
    return None


def record_through_cache(table: Table, log: HybridLog, address: i64, offers: bool) -> Record:
    """Return the record at an address, from its copy where there is one; with `offers`, one may be made.

    `log` is the table's, or was before it moved to a newer commit.
    """
    if address < log.head:
        cache = table.read_cache
        if cache is not None and cache.log is log:
            data = cache.record_of(address)
            if data:
                return copied_record(address, data)
        found = read_disk(log, address)
        if offers:
            offer(table, log, found)
        return found
    return record_at(log, address)


def locate(table: Table, key: bytes, key_hash: i64, offers: bool = False) -> Record | None:
    """Return the newest record of `key`, or None. Other threads may run while the device reads.

    offers: what the device was read for is offered to the read cache.
    """
    epoch = table.log.epoch
    slot = epoch.protect()
    try:
        return locate_among(table, key, table.index.matching(key_hash), offers)
    finally:
        epoch.leave(slot)


def locate_steady(table: Table, key: bytes, key_hash: i64) -> Record | None:
    """As `locate`, and nothing has moved meanwhile.

    What follows in the same stretch of compiled code is atomic with it. A record in memory is looked at after the last
    read from the device, one on disk never changes; so it is enough that the entries are the same as before.
    """
    epoch = table.log.epoch
    while True:
        entries = table.index.matching(key_hash)
        slot = epoch.protect()
        try:
            found = locate_among(table, key, entries, False)
        finally:
            epoch.leave(slot)
        if same_entries(entries, table.index.matching(key_hash)):
            return found


def same_entries(a: vec[i64], b: vec[i64]) -> bool:
    """Return whether two lists of entries are alike."""
    if len(a) != len(b):
        return False
    i: i64 = 0
    while i < len(a):
        if a[i] != b[i]:
            return False
        i += 1
    return True
