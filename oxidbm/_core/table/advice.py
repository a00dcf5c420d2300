"""Reading ahead: records on disk that many keys will ask for are brought together, and not one after the other.

The device is told what will be read of it, some keys ahead, and reads as usual find it there. On Linux that is
posix_fadvise(WILLNEED), which begins a read and does not wait for it: as fast as io_uring, with nothing to install
(docs/design.md has both). A device that has all in memory says so at once, and no key is looked at.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import address_of
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import record_at
from oxidbm._core.log.record import previous_address
from oxidbm._core.table.table import Table

AHEAD: Final = 64  # keys: as many reads as a disk takes at a time, and little of the page cache


def has_cold(log: HybridLog) -> bool:
    """Return whether a part of the log is on disk alone."""
    return log.begin < log.head and not log.memory_only


def tell(log: HybridLog, address: i64) -> bool:
    """Tell the device that the record at an address will be read, where it is on disk; False where that is no use."""
    if not log.begin <= address < log.head:
        return True
    return not log.device_given_up and log.device.will_read(address, log.read_guess)


def tell_of_keys(table: Table, keys: list[bytes]) -> None:
    """Tell the device what reading these keys will ask for first."""
    for key in keys:
        for entry in table.index.matching(hash_key(key, table.seed)):
            if not tell(table.log, address_of(entry)):
                return


def tell_of_pending(table: Table, count: i64) -> None:
    """Tell the device what settling the oldest pending records will ask for; the caller is inside the epoch."""
    pending = table.pending
    stop = min(pending.first + count, i64(len(pending.items)))
    i = pending.first
    while i < stop:
        if not tell(table.log, pending.items[i] & ADDRESS_MASK):
            return
        i += 1
    i = pending.first
    while i < min(stop, i64(len(pending.items))):  # other threads may settle some while the device reads
        if not tell(table.log, previous_address(record_at(table.log, pending.items[i] & ADDRESS_MASK).info)):
            return
        i += 1
