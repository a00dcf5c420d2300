"""Reading ahead: records on disk that many keys will ask for are brought together, and not one after the other.

The device is told what will be read of it, some keys ahead, and reads as usual find it there. On Linux that is
posix_fadvise(WILLNEED), which begins a read and does not wait for it: as fast as io_uring, with nothing to install
(docs/design.md has both). A device that has all in memory says so at once. Keys that are read are only looked at ahead
once one of them has needed the device, so that those in memory are not looked up twice.
"""

from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import record_at
from oxidbm._core.log.record import key_length, key_word, previous_address
from oxidbm._core.table.table import Table

CHAINS_WORTH: Final = 8  # in a piece of the log, of 256 KiB: as many reads of the disk, one after the other
AHEAD: Final = 64  # keys: as many reads as a disk takes at a time, and little of the page cache


def has_cold(log: HybridLog) -> bool:
    """Return whether a part of the log is on disk alone."""
    return log.begin < log.head and not log.memory_only


def tell(log: HybridLog, address: i64) -> bool:
    """Tell the device that the record at an address will be read, where it is on disk; False where that is no use."""
    if not log.begin <= address < log.head:
        return True
    return not log.use.given_up and log.device.will_read(address, log.read_guess)


def tell_of_keys(table: Table, keys: list[bytes]) -> None:
    """Tell the device what reading these keys will ask for first."""
    cache = table.read_cache
    for key in keys:
        for entry in table.index.matching(hash_key(key, table.seed)):
            if cache is not None and cache.find(address_of(entry)) != 0:
                continue
            if not tell(table.log, address_of(entry)):
                return


@final
class Ahead:
    """Reads of many keys, group by group: whether the device is told of them, since the last ones have needed it."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.log = table.log
        self.cold_reads: i64 = table.log.cold_reads  # when the group began
        self.told = False
        self.keys: list[bytes] = []

    def begin(self, keys: list[bytes]) -> None:
        """Begin with a group, of up to AHEAD keys."""
        self.keys = keys
        self.told = self.log.cold_reads != self.cold_reads
        self.cold_reads = self.log.cold_reads
        if self.told:
            tell_of_keys(self.table, keys)

    def after(self, place: i64) -> None:
        """Go on behind the key at a place of the group, which was read."""
        if not self.told and self.log.cold_reads != self.cold_reads:
            self.told = True
            tell_of_keys(self.table, self.keys[place + 1 :])


def tell_of_chains(table: Table, cursor: Cursor, since: i64) -> None:
    """Tell the device which chains the records of a cursor's new piece will ask for: those that do not lead to them.

    since: as that of `HashIndex.holds`.
    """
    if cursor.in_memory:
        return
    data = cursor.chunk
    at = cursor.ahead(cursor.following - cursor.chunk_start)
    while at >= 0:
        shape = read_i64_le(data, at + 8)
        first: i64 = at + (key_word(shape) << 3)
        if first + key_length(shape) > len(data):
            return
        key_hash = hash_key(data[first : first + key_length(shape)], table.seed)
        address: i64 = cursor.chunk_start + at
        entry = table.index.holds(key_hash, address, since)
        if entry != 0 and address_of(entry) != address and not tell(table.log, address_of(entry)):
            return
        at = cursor.ahead_behind(at)


def tell_of_pending(table: Table, count: i64) -> None:
    """Tell the device what settling the oldest pending records will ask for; the caller is inside the epoch."""
    items = table.pending.some(count)  # other threads may settle some while the device is told
    for item in items:
        if not tell(table.log, item & ADDRESS_MASK):
            return
    for item in items:
        if not tell(table.log, previous_address(record_at(table.log, item & ADDRESS_MASK).info)):
            return
