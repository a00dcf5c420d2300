"""A key's expiry, given anew: its value is read in the same step, and written again only where it has to move.

Where the record may be changed in place and has a word for an expiry, that word is all that is written; its checksum,
where a snapshot gave it one, goes as with every change in place. A record without that word cannot get it where it
stands, and one that is to stay for ever has none: both are appended anew, as is what is on disk.
"""

from mypy_extensions import i64

from oxidbm._core.hashing import hash_key
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import Record, is_live, tag_of, value_of
from oxidbm._core.log.record import HEADER_WORDS, SEAL_CAPACITY, SHAPE_EXPIRY
from oxidbm._core.table.locate import locate_steady
from oxidbm._core.table.operations import CHANGED, DONE, supersede
from oxidbm._core.table.retry import make_room
from oxidbm._core.table.table import Table


def rewrite_expiry(log: HybridLog, address: i64, expiry: i64) -> None:
    """Give a record of the mutable region that has an expiry another one."""
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    log.rewrites += 1
    frame[o + 2] = frame[o + 2] & SEAL_CAPACITY
    frame[o + HEADER_WORDS] = expiry


def touch(table: Table, key: bytes, expiry: i64, out: list[bytes] | None) -> i64:
    """Give a key an expiry, 0 for none: DONE, CHANGED where it has no value, < 0 for no room. It keeps its tag.

    out: gets the key's value.
    """
    log = table.log
    key_hash = hash_key(key, table.seed)
    now = table.now_if_expiring()
    found = locate_steady(table, key, key_hash)
    if found is None or not is_live(log, found, now):
        return CHANGED
    there = stays(log, found, expiry)
    value = b"" if there and out is None else value_of(log, found)
    if not there:
        status = supersede(table, key, value, key_hash, found, expiry, tag_of(log, found))
        if status < 0:
            return status
    elif expiry != 0:
        rewrite_expiry(log, found.address, expiry)
    if out is not None:
        out.append(value)
    return DONE


def stays(log: HybridLog, found: Record, expiry: i64) -> bool:
    """Return whether a record can get an expiry where it stands; one without gets none anywhere."""
    if found.shape & SHAPE_EXPIRY:
        return expiry != 0 and found.address >= log.read_only
    return expiry == 0


def give_expiry(table: Table, key: bytes, expiry: i64, out: list[bytes] | None) -> bool:
    """As `touch`, making room as often as needed; False where the key has no value."""
    while True:
        status = touch(table, key, expiry, out)
        if status >= 0:
            return status == DONE
        make_room(table, status)
