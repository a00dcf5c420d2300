"""Read, upsert, conditional writes, delete: each over the four regions of the log.

Mutable region: updated in place. Read-only region: copied to the tail. Disk region: a read verifies the record; an
upsert is blind, it appends without reading and leaves `unverified` set. Absent: inserted. A function that finds its key
in memory runs to its end without a Python call, so under the GIL it is atomic; the others go through locate_steady. An
operation that finds no room returns the size of the record it wanted to append, negated, and has changed nothing; the
caller makes room and calls again (retry.py). When an operation is done the caller sees to `log.due`, but only after it
has counted the operation, since other threads may run, and commit, in there.

`read` and `upsert` carry copies of three things, because a call costs more than what it would do: the key's hash
(hashing.hash_key), the walk over a bucket (HashIndex.matching) and where a record's words stand in its frame
(HybridLog.slot_of, word_of). tests/unit/test_operations.py holds them against those; nothing else here looks into
buckets or frames.
"""

from typing import Final

from librt.strings import read_i64_le
from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK, with_sign
from oxidbm._core.hashing import SHORT_KEY, hash_key, hash_long, hash_words, tail_word
from oxidbm._core.index.entry import (
    ENTRY_ADDRESS,
    NO_ENTRY,
    TAG_FIELD,
    TAG_SHIFT,
    address_of,
    is_mixed,
    leading_to,
)
from oxidbm._core.index.hash_index import BUCKET_ENTRIES, CHUNK_BITS, CHUNK_LEAD, CHUNK_MASK, LINK_BITS, LINK_MASK
from oxidbm._core.log.append import append_record, append_tagged, bury_in_place, overwrite, rewrite, same_words
from oxidbm._core.log.reader import Record, expiry_of, is_live, tag_of, value_of
from oxidbm._core.log.record import (
    CAPACITY_SHIFT,
    FLAGS_SHIFT,
    HEADER_BYTES,
    HEADER_WORDS,
    INFO_VERSION,
    KEY_LENGTH_SHIFT,
    SHAPE_EXPIRY,
    SHAPE_TAG,
    TOMBSTONE,
    VALUE_LENGTH_MASK,
    pack_info,
)
from oxidbm._core.log.warm import WARM_READS, wants_warming, warm
from oxidbm._core.memory import VIEW_WORDS
from oxidbm._core.table.caching import give_way
from oxidbm._core.table.locate import locate, locate_steady
from oxidbm._core.table.table import Table

DONE: Final = 0
CHANGED: Final = 1

ALWAYS: Final = 0
IF_ABSENT: Final = 1  # only when the key has no value
IF_EQUAL: Final = 2  # only when its value is `expected`; never when it has none
IF_UNCHANGED: Final = -1  # as IF_EQUAL, while the log's `changes` are what they were before `expected` was read

KEEP_EXPIRY: Final = -1  # as an expiry, with IF_EQUAL and IF_UNCHANGED: the one that the key has, and its tag


def read(table: Table, key: bytes) -> bytes | None:
    """Return the key's value, or None."""
    length: i64 = len(key)
    first: i64 = 0
    second: i64 = 0
    short = 0 < length <= SHORT_KEY
    if short:
        first = read_i64_le(key, 0) if length >= 8 else tail_word(key, 0, length)
        if length > 8:
            second = read_i64_le(key, 8) if length == SHORT_KEY else tail_word(key, 8, length)
        key_hash = hash_words(first, second, length, table.seed)
    else:
        key_hash = hash_long(key, length, table.seed)
    bucket: i64 = key_hash & table.index.low_mask
    if bucket < table.index.split:
        bucket = key_hash & ((table.index.low_mask << 1) | 1)
    position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
    bucket >>= CHUNK_BITS
    words = table.index.chunks[bucket]
    tag: i64 = (key_hash >> table.index.tag_base) & TAG_FIELD
    end: i64 = position + BUCKET_ENTRIES
    while True:
        entry = words[position]
        if entry == 0:
            return None
        if position == end:
            words = table.index.overflow[entry >> LINK_BITS]
            position = entry & LINK_MASK
            end = position + BUCKET_ENTRIES
            continue
        if (entry >> TAG_SHIFT) & TAG_FIELD == tag:
            address: i64 = (entry & ENTRY_ADDRESS) << 3
            if address < table.log.head:
                cache = table.read_cache
                if cache is not None and address >= table.log.begin:
                    value = cache.value_of(address, key)
                    if value is not None:
                        return value
                break
            slot: i64 = (address >> table.log.page_bits) & table.log.frames.mask
            offset: i64 = address & table.log.offset_mask & ADDRESS_MASK
            head: i64 = (offset >> 3) + VIEW_WORDS
            head_1: i64 = head + 1
            head_3: i64 = head + 3
            head_4: i64 = head + 4
            info = table.log.frames.words[slot][head]
            shape = table.log.frames.words[slot][head_1]
            if (shape >> KEY_LENGTH_SHIFT) == length and (
                table.log.frames.words[slot][head_3] == first
                and (length <= 8 or table.log.frames.words[slot][head_4] == second)
                if short
                else same_words(table.log.frames.words[slot], head_3, key, length)
            ):
                if info & TOMBSTONE:
                    return None
                offset += HEADER_BYTES + ((length + 7) & -8)
                if table.log.frames.has_views:
                    return table.log.frames.views[slot][offset : offset + (shape & VALUE_LENGTH_MASK)]
                return table.log.frames.copy_out(slot, offset, shape & VALUE_LENGTH_MASK)
            if entry < 0 or (shape >> FLAGS_SHIFT) != 0:
                break
        position += 1
    return read_slow(table, key, key_hash)


def look_up(table: Table, key: bytes | None) -> bytes | None:
    """As `read`, for whoever asks for a key from outside, which is noted where lookups are; None for what is no key."""
    value = None if key is None else read(table, key)
    reads = table.reads
    if reads is not None:
        reads.note(key, value is not None)
    return value


def read_slow(table: Table, key: bytes, key_hash: i64) -> bytes | None:
    """As `read`, of a record that is on disk, down a mixed chain, or has flags."""
    now = table.now_if_expiring()
    found = locate(table, key, key_hash, True)
    value = value_of(table.log, found) if found is not None and is_live(table.log, found, now) else None
    if wants_warming(table.log, WARM_READS):
        give_way(table)
        warm(table.log)
    return value


def upsert(table: Table, key: bytes, value: bytes, condition: i64, expected: bytes, expiry: i64) -> i64:
    """Store a value under a key where `condition` allows it: DONE, CHANGED where it does not, < 0 for no room.

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
        key_hash = hash_words(first, second, length, table.seed)
    else:
        key_hash = hash_long(key, length, table.seed)
    bucket: i64 = key_hash & table.index.low_mask
    if bucket < table.index.split:
        bucket = key_hash & ((table.index.low_mask << 1) | 1)
    position: i64 = ((bucket & CHUNK_MASK) << 3) + CHUNK_LEAD
    bucket >>= CHUNK_BITS
    words = table.index.chunks[bucket]
    tag: i64 = (key_hash >> table.index.tag_base) & TAG_FIELD
    end: i64 = position + BUCKET_ENTRIES
    disk_words = words
    disk: i64 = -1
    while entry := words[position]:
        if position == end:
            words = table.index.overflow[entry >> LINK_BITS]
            position = entry & LINK_MASK
            end = position + BUCKET_ENTRIES
            continue
        if (entry >> TAG_SHIFT) & TAG_FIELD == tag:
            address: i64 = (entry & ENTRY_ADDRESS) << 3
            if address < table.log.head:
                if disk >= 0 or condition != ALWAYS:
                    return upsert_slow(table, key, value, key_hash, condition, expected, expiry, 0)
                disk_words = words
                disk = position
            else:
                slot: i64 = (address >> table.log.page_bits) & table.log.frames.mask
                head: i64 = ((address & table.log.offset_mask) >> 3) + VIEW_WORDS
                head_1: i64 = head + 1
                head_3: i64 = head + 3
                head_4: i64 = head + 4
                info = table.log.frames.words[slot][head]
                shape = table.log.frames.words[slot][head_1]
                if (shape >> KEY_LENGTH_SHIFT) == length and (
                    table.log.frames.words[slot][head_3] == first
                    and (length <= 8 or table.log.frames.words[slot][head_4] == second)
                    if short
                    else same_words(table.log.frames.words[slot], head_3, key, length)
                ):
                    if condition > ALWAYS or expiry > 0 or info & TOMBSTONE:
                        return upsert_slow(table, key, value, key_hash, condition, expected, expiry, 0)
                    if address >= table.log.read_only and (shape & VALUE_LENGTH_MASK) == len(value):
                        table.log.rewrites += 1
                        rewrite(table.log.frames.words[slot], head + 2, head_3 + ((length + 7) >> 3), value, len(value))
                        return DONE
                    return update(table, key, value, words, position, address, shape)
                if entry < 0 or (shape >> FLAGS_SHIFT) != 0:
                    return upsert_slow(table, key, value, key_hash, condition, expected, expiry, 0)
        position += 1
    if disk >= 0:
        if table.pending.count() >= table.pending.most:  # many to settle: one read now is cheaper than two later
            return upsert_slow(table, key, value, key_hash, condition, expected, expiry, 0)
        return upsert_blind(table, key, value, expiry, disk_words, disk)
    if condition == IF_EQUAL or condition < ALWAYS:
        return CHANGED
    return insert(table, key, value, key_hash, expiry)


def insert(table: Table, key: bytes, value: bytes, key_hash: i64, expiry: i64) -> i64:
    """Store a key that has no entry, until `expiry` in milliseconds since 1970, 0 for ever."""
    log = table.log
    fresh = append_record(log, key, value, INFO_VERSION, expiry)
    if fresh < 0:
        return fresh
    index = table.index
    table.count += 1
    table.live_bytes += log.tail - fresh
    index.insert(key_hash, index.entry_for(key_hash, fresh))
    if table.watchers:
        table.tell(key)
    return DONE


def update(table: Table, key: bytes, value: bytes, words: vec[i64], position: i64, address: i64, shape: i64) -> i64:
    """Update the live record, without flags, that the entry at words[position] leads to: in place, else a copy."""
    log = table.log
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    capacity: i64 = frame[o + 2] >> CAPACITY_SHIFT
    value_at: i64 = HEADER_WORDS + ((i64(len(key)) + 7) >> 3)
    if address >= log.read_only and (i64(len(value)) + 7) >> 3 <= capacity:
        log.rewrites += 1
        rewrite(frame, o + 2, o + value_at, value, len(value))
        frame[o + 1] = (shape & ~VALUE_LENGTH_MASK) | i64(len(value))
        return DONE
    fresh = append_record(log, key, value, address | INFO_VERSION, 0)
    if fresh < 0:
        return fresh
    words[position] = leading_to(words[position], fresh)
    table.live_bytes += log.tail - fresh - ((value_at + capacity) << 3)
    return DONE


def upsert_blind(table: Table, key: bytes, value: bytes, expiry: i64, words: vec[i64], position: i64) -> i64:
    """Put a record in front of the one on disk that the entry leads to, whatever its key is."""
    entry = words[position]
    fresh = append_record(table.log, key, value, pack_info(address_of(entry), False, True), expiry)
    if fresh < 0:
        return fresh
    words[position] = with_sign(leading_to(entry, fresh))
    table.log.cold_reads += 1
    table.pending.add(fresh, not is_mixed(entry))
    if table.watchers:
        table.tell(key)
    return DONE


def upsert_slow(
    table: Table, key: bytes, value: bytes, key_hash: i64, condition: i64, expected: bytes, expiry: i64, tag: i64
) -> i64:
    """As `upsert_tagged`, after the key's newest record was found and looked at.

    KEEP_EXPIRY keeps the tag as well, whatever `tag` is, so that `upsert` need not tell the two apart.
    """
    log = table.log
    now = table.now_if_expiring()
    found = locate_steady(table, key, key_hash)
    live = found is not None and is_live(log, found, now)
    if condition == IF_ABSENT and live:
        return CHANGED
    same = condition == IF_EQUAL or condition < ALWAYS  # IF_UNCHANGED: others may have run since nothing was changed
    if same and (found is None or not live or value_of(log, found) != expected):
        return CHANGED
    if found is None:
        return insert_tagged(table, key, value, key_hash, expiry, tag)
    if expiry == KEEP_EXPIRY:
        expiry = expiry_of(log, found)
        tag = tag_of(log, found)
    if fits_in_place(table, found, len(key), len(value), expiry, tag):
        overwrite(log, found.address, found.shape, value, expiry, tag)
        if table.watchers:
            table.tell(key)  # it may have been expired
        return DONE
    return supersede(table, key, value, key_hash, found, expiry, tag)


def supersede(table: Table, key: bytes, value: bytes, key_hash: i64, found: Record, expiry: i64, tag: i64) -> i64:
    """Append a record in place of the one that was found as its key's newest: DONE, < 0 for no room."""
    log = table.log
    head: i64 = address_of(found.entry)
    deep = found.address != head
    fresh = append_tagged(log, key, value, pack_info(head, False, deep), expiry, tag)
    if fresh < 0:
        return fresh
    replaced = table.index.replace(key_hash, found.entry, leading_to(found.entry, fresh))
    assert replaced
    if deep:
        table.pending.add(fresh, False)
    else:
        table.live_bytes += log.tail - fresh
        if found.tombstone():
            table.count += 1
        else:
            table.live_bytes -= log.footprint(found.size())
    if table.watchers:
        table.tell(key)
    return DONE


def upsert_tagged(
    table: Table, key: bytes, value: bytes, condition: i64, expected: bytes, expiry: i64, tag: i64
) -> i64:
    """As `upsert`, with a tag, 0 for none: apart, so that others do not ask for one."""
    key_hash = hash_key(key, table.seed)
    if condition == ALWAYS and tag > 0:
        entries = table.index.matching(key_hash)
        if len(entries) == 1 and address_of(entries[0]) < table.log.head:
            if table.pending.count() < table.pending.most:
                return upsert_blind_tagged(table, key, value, key_hash, entries[0], expiry, tag)
    return upsert_slow(table, key, value, key_hash, condition, expected, expiry, tag)


def insert_tagged(table: Table, key: bytes, value: bytes, key_hash: i64, expiry: i64, tag: i64) -> i64:
    """As `insert`, with a tag, 0 for none."""
    log = table.log
    fresh = append_tagged(log, key, value, INFO_VERSION, expiry, tag)
    if fresh < 0:
        return fresh
    table.count += 1
    table.live_bytes += log.tail - fresh
    table.index.insert(key_hash, table.index.entry_for(key_hash, fresh))
    if table.watchers:
        table.tell(key)
    return DONE


def upsert_blind_tagged(
    table: Table, key: bytes, value: bytes, key_hash: i64, entry: i64, expiry: i64, tag: i64
) -> i64:
    """As `upsert_blind`, with a tag."""
    fresh = append_tagged(table.log, key, value, pack_info(address_of(entry), False, True), expiry, tag)
    if fresh < 0:
        return fresh
    table.index.replace(key_hash, entry, with_sign(leading_to(entry, fresh)))
    table.log.cold_reads += 1
    table.pending.add(fresh, not is_mixed(entry))
    if table.watchers:
        table.tell(key)
    return DONE


def fits_in_place(table: Table, found: Record, length: i64, size: i64, expiry: i64, tag: i64) -> bool:
    """Return whether a found record can take a value of `size` bytes where it stands, with the words that it has."""
    wanted: i64 = length if expiry == 0 else length | (SHAPE_EXPIRY >> KEY_LENGTH_SHIFT)
    if tag != 0:
        wanted |= SHAPE_TAG >> KEY_LENGTH_SHIFT
    return (
        found.address >= table.log.read_only
        and not found.tombstone()
        and (found.shape >> KEY_LENGTH_SHIFT) == wanted
        and (size + 7) >> 3 <= (found.seal >> CAPACITY_SHIFT)
    )


def delete(table: Table, key: bytes) -> i64:
    """Delete a key: DONE, CHANGED where it has no value, < 0 for no room.

    A record in the mutable region becomes a tombstone where it stands; else a tombstone is appended, for recovery to
    see. The entry goes, unless the chain below it may lead to other keys.
    """
    key_hash = hash_key(key, table.seed)
    now = table.now_if_expiring()
    found = locate_steady(table, key, key_hash)
    if found is None or found.info & TOMBSTONE:
        return CHANGED
    status = DONE if is_live(table.log, found, now) else CHANGED
    return bury(table, key, key_hash, found, status)


def delete_tagged(table: Table, key: bytes, key_hash: i64, tag: i64) -> i64:
    """As `delete`, of a key whose value was stored with this tag; CHANGED where it has none, or another."""
    now = table.now_if_expiring()
    found = locate_steady(table, key, key_hash)
    if found is None or not is_live(table.log, found, now) or tag_of(table.log, found) != tag:
        return CHANGED
    return bury(table, key, key_hash, found, DONE)


def delete_at(table: Table, key: bytes, address: i64) -> i64:
    """As `delete`, of a key whose newest record stands there, be it expired; CHANGED where it does not."""
    key_hash = hash_key(key, table.seed)
    found = locate_steady(table, key, key_hash)
    if found is None or found.address != address or found.tombstone():
        return CHANGED
    return bury(table, key, key_hash, found, DONE)


def take(table: Table, key: bytes, expected: bytes | None, out: list[bytes]) -> i64:
    """As `delete`, and append the value the key had to `out`; CHANGED also where `expected` is given and it is not."""
    key_hash = hash_key(key, table.seed)
    now = table.now_if_expiring()
    found = locate_steady(table, key, key_hash)
    if found is None or not is_live(table.log, found, now):
        return CHANGED
    value = value_of(table.log, found)
    if expected is not None and value != expected:
        return CHANGED
    status = bury(table, key, key_hash, found, DONE)
    if status == DONE:
        out.append(value)
    return status


def bury(table: Table, key: bytes, key_hash: i64, found: Record, status: i64) -> i64:
    """Make a found record's key absent, and return `status`; < 0 for no room."""
    log = table.log
    index = table.index
    entry: i64 = found.entry
    mixed: bool = is_mixed(entry)
    gone = log.footprint(found.size())
    if found.address >= log.read_only:
        bury_in_place(log, found.address)
        if not mixed:
            index.replace_in(index.bucket_of(key_hash), entry, NO_ENTRY)
    else:
        head: i64 = address_of(entry)
        deep = found.address != head
        fresh = append_record(log, key, b"", pack_info(head, True, deep), 0)
        if fresh < 0:
            return fresh
        index.replace(key_hash, entry, leading_to(entry, fresh) if mixed else NO_ENTRY)
        if deep:
            table.pending.add(fresh, False)
            gone = log.tail - fresh  # as of a pending record that was deleted where it stands
    table.count -= 1
    table.live_bytes -= gone
    if table.watchers:
        table.tell(key)
    return status
