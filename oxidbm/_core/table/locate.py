"""Finding a key's newest record when the index alone does not tell: on disk, down a mixed chain, or with flags.

These are the slow paths of every operation. A record in memory is looked at in place; one on disk is read whole and
verified by its checksum, and never becomes a value when that fails.
"""

from typing import final

from librt.strings import read_i64_le
from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.address import with_sign
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_bytes, hash_key
from oxidbm._core.index.hash_index import ENTRY_ADDRESS
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    FLAG_EXPIRY,
    HEADER_BYTES,
    SEAL_CAPACITY,
    TOMBSTONE,
    content_words,
    fault_of,
    flags_of,
    key_length,
    key_word,
    previous_address,
    record_words,
    value_length,
    value_word,
)
from oxidbm._core.table.engine import OPEN, PENDING_ADDRESS, PENDING_WAS_PLAIN, Engine

READ_GUESS_MAX = 16384


@final
class Found:
    """A record: its address, header words, and, when it came from disk, its bytes."""

    def __init__(self, address: i64, info: i64, shape: i64, seal: i64, data: bytes) -> None:
        self.address: i64 = address
        self.info: i64 = info
        self.shape: i64 = shape
        self.seal: i64 = seal
        self.data = data
        self.entry: i64 = 0

    def size(self) -> i64:
        """Return the record's size in bytes."""
        return record_words(self.shape, self.seal) << 3

    def tombstone(self) -> bool:
        """Return whether the record says that its key was deleted."""
        return self.info & TOMBSTONE != 0


def read_disk(e: Engine, address: i64) -> Found:
    """Return the record at an address below head, verified."""
    device = e.log.device
    data = device.read(address, e.read_guess)
    if len(data) < HEADER_BYTES:
        if e.state != OPEN:
            e.blocked_read()
        raise CorruptionError(
            f"{device.place(address)}: the file ends inside a record's header ({len(data)} of {HEADER_BYTES} bytes)"
        )
    info = read_i64_le(data, 0)
    shape = read_i64_le(data, 8)
    seal = read_i64_le(data, 16)
    fault = fault_of(info, shape, seal)
    if fault:
        raise CorruptionError(f"{device.place(address)}: the record at address {address} is corrupt: {fault}")
    size: i64 = content_words(shape) << 3
    if size > len(data):
        data = device.read(address, size)
        if len(data) < size:
            raise CorruptionError(f"{device.place(address)}: the record of {size} bytes is cut off after {len(data)}")
    if size <= READ_GUESS_MAX:
        e.read_guess = max(i64(128), size)
    checksum = checksum_bytes(data, 0, seal & SEAL_CAPACITY, size, address)
    if checksum != seal & CHECKSUM_MASK:
        raise CorruptionError(
            f"{device.place(address)}: the record at address {address} has checksum {checksum:#010x}, "
            f"its header says {seal & CHECKSUM_MASK:#010x}"
        )
    return Found(address, info, shape, seal, data)


def record_at(e: Engine, address: i64) -> Found:
    """Return the record at an address at or above begin."""
    log = e.log
    if address < log.head:
        return read_disk(e, address)
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    return Found(address, frame[o], frame[o + 1], frame[o + 2], b"")


def part_of(e: Engine, found: Found, first_word: i64, size: i64) -> bytes:
    """Return `size` bytes of a record from one of its words on."""
    if found.data:
        return found.data[first_word << 3 : (first_word << 3) + size]
    log = e.log
    return log.frames.copy_out(log.slot_of(found.address), (found.address & log.offset_mask) + (first_word << 3), size)


def key_of(e: Engine, found: Found) -> bytes:
    """Return a record's key."""
    return part_of(e, found, key_word(found.shape), key_length(found.shape))


def value_of(e: Engine, found: Found) -> bytes:
    """Return a record's value."""
    return part_of(e, found, value_word(found.shape), value_length(found.shape))


def expiry_of(e: Engine, found: Found) -> i64:
    """Return when a record expires in milliseconds since 1970, 0 for never."""
    if flags_of(found.shape) & FLAG_EXPIRY:
        return read_i64_le(part_of(e, found, 3, 8), 0)
    return 0


def is_live(e: Engine, found: Found, now: i64) -> bool:
    """Return whether a key's newest record gives it a value at `now` (ms since 1970): no tombstone and not expired.

    The time is asked for before the record is located: a clock may be Python code, which lets other threads run.
    """
    if found.tombstone():
        return False
    expiry = expiry_of(e, found)
    return expiry == 0 or expiry > now


def locate_among(e: Engine, key: bytes, entries: vec[i64]) -> Found | None:
    """Return the newest record of `key` that one of the entries leads to, with that entry; a tombstone too.

    Begin may move while the device reads. What the entries led to stays readable, since the caller is inside the epoch.
    """
    begin = e.log.begin
    length: i64 = len(key)
    for entry in entries:
        address: i64 = (entry & ENTRY_ADDRESS) << 3
        while address >= begin:
            found = record_at(e, address)
            if key_length(found.shape) == length and key_of(e, found) == key:
                found.entry = entry
                return found
            if entry >= 0:
                break
            address = previous_address(found.info)
    return None


def locate(e: Engine, key: bytes, key_hash: i64) -> Found | None:
    """Return the newest record of `key`, or None. Other threads may run while the device reads."""
    slot = e.epoch.protect()
    try:
        return locate_among(e, key, e.index.matching(key_hash))
    finally:
        e.epoch.leave(slot)


def locate_steady(e: Engine, key: bytes, key_hash: i64) -> Found | None:
    """As `locate`, and nothing has moved meanwhile: what follows in the same stretch of compiled code is atomic with
    it.

    A record in memory is looked at after the last read from the device, one on disk never changes; so it is enough that
    the entries are the same as before.
    """
    while True:
        entries = e.index.matching(key_hash)
        slot = e.epoch.protect()
        try:
            found = locate_among(e, key, entries)
        finally:
            e.epoch.leave(slot)
        if same_entries(entries, e.index.matching(key_hash)):
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


def settle_one(e: Engine) -> None:
    """Find out what the oldest pending record did to the number of keys, and pass over it."""
    slot = e.epoch.protect()
    try:
        settle_first(e)
    finally:
        e.epoch.leave(slot)


def settle_first(e: Engine) -> None:
    """As `settle_one`, inside the epoch."""
    first = e.pending_first
    item = e.pending[first]
    address: i64 = item & PENDING_ADDRESS
    newer = record_at(e, address)
    key = key_of(e, newer)
    plain = item & PENDING_WAS_PLAIN != 0
    before = previous_address(newer.info)
    added: i64 = 1
    replaced: i64 = 0
    while before >= e.log.begin:
        older = record_at(e, before)
        if key_of(e, older) == key:
            if not older.tombstone():
                added = 0
                replaced = e.log.footprint(older.size())
            break
        plain = False
        before = previous_address(older.info)
    if e.pending_first != first or len(e.pending) <= first or e.pending[first] != item:
        return  # another thread settled it while the device read
    e.pending_first = first + 1
    e.settled += 1
    if e.pending_first == len(e.pending):
        e.pending = vec[i64]()
        e.pending_first = 0
    e.count += added
    e.live_bytes += e.log.footprint(newer.size()) - replaced
    if plain:
        key_hash = hash_key(key, e.seed)
        entry = e.index.entry_for(key_hash, address)
        e.index.replace(key_hash, with_sign(entry), entry)


def settle(e: Engine, most: i64) -> bool:
    """Settle up to `most` pending records, each one or more reads from disk; True when none is left."""
    slot = e.epoch.protect()
    try:
        while most > 0 and e.pending_count() > 0:
            settle_one(e)
            most -= 1
    finally:
        e.epoch.leave(slot)
    return e.pending_count() == 0
