"""Read, upsert, conditional writes, delete: each over the four regions of the log.

Mutable region: updated in place. Read-only region: copied to the tail. Disk region: a read verifies the record; an
upsert is blind, it appends without reading and leaves `unverified` set. Absent: inserted. A function that finds its key
in memory runs to its end without a Python call, so under the GIL it is atomic; the others go through locate_steady. An
operation that finds no room returns NO_ROOM and has changed nothing; the caller makes room and calls again. When
an operation is done the caller sees to `log.due`, but only after it has counted the operation, since other threads may
run, and commit, in there.
"""

from typing import Final

from librt.strings import read_i64_le
from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK, with_sign
from oxidbm._core.hashing import SHORT_KEY, hash_key, hash_long, hash_words, tail_word
from oxidbm._core.index.hash_index import (
    BUCKET_ENTRIES,
    CHUNK_BITS,
    CHUNK_LEAD,
    CHUNK_MASK,
    ENTRY_ADDRESS,
    LINK_BITS,
    LINK_MASK,
    TAG_FIELD,
    TAG_SHIFT,
)
from oxidbm._core.log.frames import VIEW_WORDS
from oxidbm._core.log.hybrid_log import NO_ROOM
from oxidbm._core.log.record import (
    CAPACITY_SHIFT,
    HEADER_WORDS,
    INFO_VERSION,
    KEY_LENGTH_SHIFT,
    SHAPE_EXPIRY,
    SHAPE_PAGE_RUN,
    TOMBSTONE,
    VALUE_LENGTH_MASK,
    pack_info,
    record_words,
    value_word,
)
from oxidbm._core.table.engine import Engine
from oxidbm._core.table.locate import Found, expiry_of, is_live, locate, locate_steady, value_of

DONE: Final = 0
CHANGED: Final = 1

ALWAYS: Final = 0
IF_ABSENT: Final = 1  # only when the key has no value
IF_EQUAL: Final = 2  # only when its value is `expected`

KEEP_EXPIRY: Final = -1  # as an expiry, with IF_EQUAL: the one that the key has


def same_words(frame: vec[i64], o: i64, data: bytes, size: i64) -> bool:
    """Return whether the bytes from word `o` on are `data`, `size` bytes long."""
    j: i64 = 0
    while j + 8 <= size:
        if frame[o] != read_i64_le(data, j):
            return False
        o += 1
        j += 8
    if j < size:
        return frame[o] == tail_word(data, j, size)
    return True


def write_words(frame: vec[i64], o: i64, data: bytes, size: i64) -> None:
    """Write `data` from word `o` on, the last word padded with zeros; four words a turn while there are as many."""
    j: i64 = 0
    while j + 32 <= size:
        i: i64 = j & VALUE_LENGTH_MASK  # as it is; the C compiler knows by this that it is not negative
        a = read_i64_le(data, i)
        b = read_i64_le(data, i + 8)
        c = read_i64_le(data, i + 16)
        d = read_i64_le(data, i + 24)
        frame[o] = a
        frame[o + 1] = b
        frame[o + 2] = c
        frame[o + 3] = d
        o += 4
        j += 32
    while j + 8 <= size:
        frame[o] = read_i64_le(data, j)
        o += 1
        j += 8
    if j < size:
        frame[o] = tail_word(data, j, size)


def read(e: Engine, key: bytes) -> bytes | None:
    """Return the key's value, or None."""
    length: i64 = len(key)
    first: i64 = 0
    second: i64 = 0
    short = 0 < length <= SHORT_KEY
    if short:
        first = read_i64_le(key, 0) if length >= 8 else tail_word(key, 0, length)
        if length > 8:
            second = read_i64_le(key, 8) if length == SHORT_KEY else tail_word(key, 8, length)
        key_hash = hash_words(first, second, length, e.seed)
    else:
        key_hash = hash_long(key, length, e.seed)
    bucket: i64 = key_hash & e.index.low_mask
    if bucket < e.index.split:
        bucket = key_hash & ((e.index.low_mask << 1) | 1)
    position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
    bucket >>= CHUNK_BITS
    words = e.index.chunks[bucket]
    tag: i64 = (key_hash >> e.index.tag_base) & TAG_FIELD
    end: i64 = position + BUCKET_ENTRIES
    while True:
        entry = words[position]
        if entry == 0:
            return None
        if position == end:
            words = e.index.overflow[entry >> LINK_BITS]
            position = entry & LINK_MASK
            end = position + BUCKET_ENTRIES
            continue
        if (entry >> TAG_SHIFT) & TAG_FIELD == tag:
            address: i64 = (entry & ENTRY_ADDRESS) << 3
            if address < e.log.head:
                break
            slot: i64 = (address >> e.log.page_bits) & e.log.frames.mask
            offset: i64 = address & e.log.offset_mask & ADDRESS_MASK
            o: i64 = (offset >> 3) + VIEW_WORDS
            o1: i64 = o + 1
            o3: i64 = o + 3
            o4: i64 = o + 4
            info = e.log.frames.words[slot][o]
            shape = e.log.frames.words[slot][o1]
            if (shape >> KEY_LENGTH_SHIFT) == length and (
                e.log.frames.words[slot][o3] == first and (length <= 8 or e.log.frames.words[slot][o4] == second)
                if short
                else same_words(e.log.frames.words[slot], o3, key, length)
            ):
                if info & TOMBSTONE:
                    return None
                offset += (HEADER_WORDS << 3) + ((length + 7) & -8)
                if e.log.frames.has_views:
                    return e.log.frames.views[slot][offset : offset + (shape & VALUE_LENGTH_MASK)]
                return e.log.frames.copy_out(slot, offset, shape & VALUE_LENGTH_MASK)
            if entry < 0 or (shape >> 48) != 0:
                break
        position += 1
    return read_slow(e, key, key_hash)


def read_slow(e: Engine, key: bytes, key_hash: i64) -> bytes | None:
    """As `read`, of a record that is on disk, down a mixed chain, or has flags."""
    now = e.now_if_expiring()
    found = locate(e, key, key_hash)
    return value_of(e, found) if found is not None and is_live(e, found, now) else None


def upsert(e: Engine, key: bytes, value: bytes, condition: i64, expected: bytes, expiry: i64) -> i64:
    """Store a value under a key where `condition` allows it: DONE, CHANGED where it does not, or NO_ROOM.

    IF_ABSENT: only when the key has no value. IF_EQUAL: only when that is `expected`. `expiry`: as in `insert`.
    """
    length: i64 = len(key)
    first: i64 = 0
    second: i64 = 0
    short = 0 < length <= SHORT_KEY
    if short:
        first = read_i64_le(key, 0) if length >= 8 else tail_word(key, 0, length)
        if length > 8:
            second = read_i64_le(key, 8) if length == SHORT_KEY else tail_word(key, 8, length)
        key_hash = hash_words(first, second, length, e.seed)
    else:
        key_hash = hash_long(key, length, e.seed)
    bucket: i64 = key_hash & e.index.low_mask
    if bucket < e.index.split:
        bucket = key_hash & ((e.index.low_mask << 1) | 1)
    position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
    bucket >>= CHUNK_BITS
    words = e.index.chunks[bucket]
    tag: i64 = (key_hash >> e.index.tag_base) & TAG_FIELD
    size: i64 = len(value)
    end: i64 = position + BUCKET_ENTRIES
    disk_words = words
    disk: i64 = -1
    while entry := words[position]:
        if position == end:
            words = e.index.overflow[entry >> LINK_BITS]
            position = entry & LINK_MASK
            end = position + BUCKET_ENTRIES
            continue
        if (entry >> TAG_SHIFT) & TAG_FIELD == tag:
            address: i64 = (entry & ENTRY_ADDRESS) << 3
            if address < e.log.head:
                if disk >= 0 or condition != ALWAYS:
                    return upsert_slow(e, key, value, key_hash, condition, expected, expiry)
                disk_words = words
                disk = position
            else:
                slot: i64 = (address >> e.log.page_bits) & e.log.frames.mask
                o: i64 = ((address & e.log.offset_mask) >> 3) + VIEW_WORDS
                o1: i64 = o + 1
                o3: i64 = o + 3
                o4: i64 = o + 4
                info = e.log.frames.words[slot][o]
                shape = e.log.frames.words[slot][o1]
                if (shape >> KEY_LENGTH_SHIFT) == length and (
                    e.log.frames.words[slot][o3] == first and (length <= 8 or e.log.frames.words[slot][o4] == second)
                    if short
                    else same_words(e.log.frames.words[slot], o3, key, length)
                ):
                    if condition != ALWAYS or expiry != 0 or info & TOMBSTONE:
                        return upsert_slow(e, key, value, key_hash, condition, expected, expiry)
                    if address >= e.log.read_only and (shape & VALUE_LENGTH_MASK) == size:
                        write_words(e.log.frames.words[slot], o3 + ((length + 7) >> 3), value, size)
                        return DONE
                    return update(e, key, value, words, position, address)
                if entry < 0 or (shape >> 48) != 0:
                    return upsert_slow(e, key, value, key_hash, condition, expected, expiry)
        position += 1
    if disk >= 0 and e.pending_count() >= e.pending_max:  # many to settle: one read now is cheaper than two later
        return upsert_slow(e, key, value, key_hash, condition, expected, expiry)
    if disk >= 0:
        return upsert_blind(e, key, value, expiry, disk_words, disk)
    return insert(e, key, value, key_hash, expiry)


def insert(e: Engine, key: bytes, value: bytes, key_hash: i64, expiry: i64) -> i64:
    """Store a key that has no entry, until `expiry` in milliseconds since 1970, 0 for ever."""
    log = e.log
    address = append_record(e, key, value, INFO_VERSION, expiry)
    if address == NO_ROOM:
        return NO_ROOM
    index = e.index
    e.count += 1
    e.live_bytes += log.tail - address
    index.insert(key_hash, index.entry_for(key_hash, address))
    if e.tracked:
        e.note_change(key)
    return DONE


def update(e: Engine, key: bytes, value: bytes, words: vec[i64], position: i64, address: i64) -> i64:
    """Update the live record in memory that the entry at words[position] leads to: in place where it fits, else a
    copy.
    """
    log = e.log
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    shape = frame[o + 1]
    seal = frame[o + 2]
    length: i64 = len(key)
    size: i64 = len(value)
    if address >= log.read_only and (size + 7) >> 3 <= (seal >> CAPACITY_SHIFT):
        write_words(frame, o + HEADER_WORDS + ((length + 7) >> 3), value, size)
        frame[o + 1] = (length << KEY_LENGTH_SHIFT) | size
        return DONE
    fresh = append_record(e, key, value, address | INFO_VERSION, 0)
    if fresh == NO_ROOM:
        return NO_ROOM
    words[position] = (words[position] & ~ENTRY_ADDRESS) | (fresh >> 3)
    e.live_bytes += log.tail - fresh - (record_words(shape, seal) << 3)
    return DONE


def upsert_blind(e: Engine, key: bytes, value: bytes, expiry: i64, words: vec[i64], position: i64) -> i64:
    """Put a record in front of the one on disk that the entry leads to, whatever its key is."""
    entry = words[position]
    fresh = append_record(e, key, value, pack_info((entry & ENTRY_ADDRESS) << 3, False, True), expiry)
    if fresh == NO_ROOM:
        return NO_ROOM
    words[position] = with_sign((entry & ~ENTRY_ADDRESS) | (fresh >> 3))
    e.add_pending(fresh, entry >= 0)
    if e.tracked:
        e.note_change(key)
    return DONE


def upsert_slow(
    e: Engine, key: bytes, value: bytes, key_hash: i64, condition: i64, expected: bytes, expiry: i64
) -> i64:
    """As `upsert`, after the key's newest record was found and looked at."""
    now = e.now_if_expiring()
    found = locate_steady(e, key, key_hash)
    live = found is not None and is_live(e, found, now)
    if condition == IF_ABSENT and live:
        return CHANGED
    if condition == IF_EQUAL and (found is None or not live or value_of(e, found) != expected):
        return CHANGED
    if found is None:
        return insert(e, key, value, key_hash, expiry)
    if expiry == KEEP_EXPIRY:
        expiry = expiry_of(e, found)
    if fits_in_place(e, found, len(key), len(value), expiry):
        write_in_place(e, found, value, expiry)
        if e.tracked:
            e.note_change(key)  # it may have been expired
        return DONE
    log = e.log
    index = e.index
    head: i64 = (found.entry & ENTRY_ADDRESS) << 3
    fresh = append_record(e, key, value, pack_info(head, False, found.address != head), expiry)
    if fresh == NO_ROOM:
        return NO_ROOM
    replaced = index.replace(key_hash, found.entry, (found.entry & ~ENTRY_ADDRESS) | (fresh >> 3))
    assert replaced
    e.live_bytes += log.tail - fresh
    if found.tombstone():
        e.count += 1
    else:
        e.live_bytes -= log.footprint(found.size())
    if e.tracked:
        e.note_change(key)
    return DONE


def fits_in_place(e: Engine, found: Found, length: i64, size: i64, expiry: i64) -> bool:
    """Return whether a found record can take a value of `size` bytes where it stands; one with an expiry keeps one."""
    wanted: i64 = length if expiry == 0 else length | (SHAPE_EXPIRY >> KEY_LENGTH_SHIFT)
    return (
        found.address >= e.log.read_only
        and not found.tombstone()
        and (found.shape >> KEY_LENGTH_SHIFT) == wanted
        and (size + 7) >> 3 <= (found.seal >> CAPACITY_SHIFT)
    )


def write_in_place(e: Engine, found: Found, value: bytes, expiry: i64) -> None:
    """Give a found record of the mutable region another value, and another expiry where it has one."""
    log = e.log
    frame = log.frames.words[log.slot_of(found.address)]
    o = log.word_of(found.address)
    size: i64 = len(value)
    write_words(frame, o + value_word(found.shape), value, size)
    frame[o + 1] = (found.shape & ~VALUE_LENGTH_MASK) | size
    if expiry != 0:
        frame[o + HEADER_WORDS] = expiry


def append_record(e: Engine, key: bytes, value: bytes, info: i64, expiry: i64) -> i64:
    """Write a record at the tail and return its address, or NO_ROOM."""
    log = e.log
    length: i64 = len(key)
    size: i64 = len(value)
    value_words: i64 = (size + 7) >> 3
    words: i64 = HEADER_WORDS + ((length + 7) >> 3) + value_words
    shape: i64 = (length << KEY_LENGTH_SHIFT) | size
    if expiry:
        words += 1
        shape |= SHAPE_EXPIRY
    address = log.allocate(words << 3)
    if address == NO_ROOM:
        return NO_ROOM
    if words << 3 > log.page_bytes:
        shape |= SHAPE_PAGE_RUN
    frame = log.frames.words[(address >> log.page_bits) & log.frames.mask]
    o: i64 = ((address & log.offset_mask) >> 3) + VIEW_WORDS
    frame[o] = info
    frame[o + 1] = shape
    frame[o + 2] = value_words << CAPACITY_SHIFT
    o += HEADER_WORDS
    if expiry:
        e.expiring = True
        frame[o] = expiry
        o += 1
    write_words(frame, o, key, length)
    write_words(frame, o + ((length + 7) >> 3), value, size)
    e.records_since_commit += 1
    return address


def delete(e: Engine, key: bytes) -> i64:
    """Delete a key: DONE, CHANGED where it has no value, or NO_ROOM.

    A record in the mutable region becomes a tombstone where it stands; else a tombstone is appended, for recovery to
    see. The entry goes, unless the chain below it may lead to other keys.
    """
    key_hash = hash_key(key, e.seed)
    now = e.now_if_expiring()
    found = locate_steady(e, key, key_hash)
    if found is None or found.tombstone():
        return CHANGED
    status = DONE if is_live(e, found, now) else CHANGED
    return bury(e, key, key_hash, found, status)


def take(e: Engine, key: bytes, out: list[bytes]) -> i64:
    """As `delete`, and append the value the key had to `out`."""
    key_hash = hash_key(key, e.seed)
    now = e.now_if_expiring()
    found = locate_steady(e, key, key_hash)
    if found is None or not is_live(e, found, now):
        return CHANGED
    value = value_of(e, found)
    status = bury(e, key, key_hash, found, DONE)
    if status == DONE:
        out.append(value)
    return status


def bury(e: Engine, key: bytes, key_hash: i64, found: Found, status: i64) -> i64:
    """Make a found record's key absent, and return `status` or NO_ROOM."""
    log = e.log
    index = e.index
    entry: i64 = found.entry
    head: i64 = (entry & ENTRY_ADDRESS) << 3
    if found.address >= log.read_only:
        frame = log.frames.words[log.slot_of(found.address)]
        o = log.word_of(found.address)
        frame[o] = frame[o] | TOMBSTONE
        if entry >= 0:
            index.replace(key_hash, entry, 0)
    else:
        fresh = append_record(e, key, b"", pack_info(head, True, found.address != head), 0)
        if fresh == NO_ROOM:
            return NO_ROOM
        index.replace(key_hash, entry, 0 if entry >= 0 else (entry & ~ENTRY_ADDRESS) | (fresh >> 3))
    e.count -= 1
    e.live_bytes -= log.footprint(found.size())
    if e.tracked:
        e.note_change(key)
    return status
