"""Writing records: at the tail, and in place in the mutable region.

Each function runs to its end without a Python call, so under the GIL it is atomic. A record below read_only is never
written to; the callers look, since what is decided there (in place or copy) is theirs to decide. What is changed in
place loses the checksum that a snapshot may have given it (see snapshot).
"""

from typing import Final

from librt.strings import read_i64_le
from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm._core.hashing import tail_word
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import (
    CAPACITY_SHIFT,
    HEADER_BYTES,
    HEADER_WORDS,
    KEY_LENGTH_SHIFT,
    SEAL_CAPACITY,
    SHAPE_EXPIRY,
    SHAPE_PAGE_RUN,
    SHAPE_TAG,
    TOMBSTONE,
    VALUE_LENGTH_MASK,
    key_word,
    tag_word,
    value_word,
)
from oxidbm._core.memory import ADDRESS_WORD, VIEW_WORDS, copy_into

COPY_BYTES: Final = 256


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


def write_words(frame: vec[i64], at: i64, data: bytes, size: i64) -> None:
    """Write `data` from word `at` on, the last word padded with zeros; four words a turn while there are as many.

    From some size on one memcpy is faster than that.
    """
    if size >= COPY_BYTES and frame[ADDRESS_WORD] > 0 and size == len(data):
        copy_into(frame, at, data)
        return
    done: i64 = 0
    while done + 32 <= size:
        from_byte: i64 = done & VALUE_LENGTH_MASK  # as it is; the C compiler knows by this that it is not negative
        a = read_i64_le(data, from_byte)
        b = read_i64_le(data, from_byte + 8)
        c = read_i64_le(data, from_byte + 16)
        d = read_i64_le(data, from_byte + 24)
        frame[at] = a
        frame[at + 1] = b
        frame[at + 2] = c
        frame[at + 3] = d
        at += 4
        done += 32
    while done + 8 <= size:
        frame[at] = read_i64_le(data, done)
        at += 1
        done += 8
    if done < size:
        frame[at] = tail_word(data, done, size)


def rewrite(frame: vec[i64], seal: i64, at: i64, data: bytes, size: i64) -> None:
    """Write another value from word `at` on, in a record whose seal, which then says nothing of it, is word `seal`.

    The caller counts it in the log's `rewrites`.
    """
    frame[seal] = frame[seal] & SEAL_CAPACITY
    write_words(frame, at, data, size)


def record_bytes(key_length: i64, value_length: i64, expires: bool, tagged: bool) -> i64:
    """Return the size of the record that `append_tagged` writes."""
    size: i64 = HEADER_BYTES + ((key_length + 7) & -8) + ((value_length + 7) & -8)
    if expires:
        size += 8
    return size + 8 if tagged else size


def append_record(log: HybridLog, key: bytes, value: bytes, info: i64, expiry: i64) -> i64:
    """Write a record at the tail and return its address; its size, negated, where there is no room for it."""
    words: i64 = HEADER_WORDS + ((i64(len(key)) + 7) >> 3) + ((i64(len(value)) + 7) >> 3)
    if expiry:
        words += 1
    address = log.allocate(words << 3)
    if address > 0:
        write_record(log, address, words, key, value, info, expiry)
    return address


def append_tagged(log: HybridLog, key: bytes, value: bytes, info: i64, expiry: i64, tag: i64) -> i64:
    """As `append_record`, with a tag where that is not 0."""
    if tag == 0:
        return append_record(log, key, value, info, expiry)
    size = record_bytes(i64(len(key)), i64(len(value)), expiry != 0, True)
    address = log.allocate(size)
    if address > 0:
        write_tagged(log, address, size >> 3, key, value, info, expiry, tag)
    return address


def append_reserved(log: HybridLog, key: bytes, value: bytes, info: i64, expiry: i64, tag: i64) -> i64:
    """As `append_tagged`, of a record that found no room, on the page that a log in memory has in reserve."""
    size = record_bytes(i64(len(key)), i64(len(value)), expiry != 0, tag != 0)
    address = log.allocate_reserved(size)
    if address > 0:
        if tag == 0:
            write_record(log, address, size >> 3, key, value, info, expiry)
        else:
            write_tagged(log, address, size >> 3, key, value, info, expiry, tag)
    return address


def write_record(log: HybridLog, address: i64, words: i64, key: bytes, value: bytes, info: i64, expiry: i64) -> None:
    """Write a record of so many words at an address that was allocated for it."""
    length: i64 = len(key)
    size: i64 = len(value)
    shape: i64 = (length << KEY_LENGTH_SHIFT) | size
    if expiry:
        shape |= SHAPE_EXPIRY
    if words << 3 > log.page_bytes:
        shape |= SHAPE_PAGE_RUN
    frame = log.frames.words[(address >> log.page_bits) & log.frames.mask]
    o: i64 = ((address & log.offset_mask) >> 3) + VIEW_WORDS
    frame[o] = info
    frame[o + 1] = shape
    frame[o + 2] = ((size + 7) >> 3) << CAPACITY_SHIFT
    o += HEADER_WORDS
    if expiry:
        log.expiring = True
        frame[o] = expiry
        o += 1
    write_words(frame, o, key, length)
    write_words(frame, o + ((length + 7) >> 3), value, size)
    log.records += 1


def write_tagged(
    log: HybridLog, address: i64, words: i64, key: bytes, value: bytes, info: i64, expiry: i64, tag: i64
) -> None:
    """As `write_record`, with a tag: another function, so that records without one do not ask for it."""
    length: i64 = len(key)
    size: i64 = len(value)
    shape: i64 = (length << KEY_LENGTH_SHIFT) | size | SHAPE_TAG
    if expiry:
        log.expiring = True
        shape |= SHAPE_EXPIRY
    if words << 3 > log.page_bytes:
        shape |= SHAPE_PAGE_RUN
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    frame[o] = info
    frame[o + 1] = shape
    frame[o + 2] = ((size + 7) >> 3) << CAPACITY_SHIFT
    if expiry:
        frame[o + HEADER_WORDS] = expiry
    frame[o + tag_word(shape)] = tag
    write_words(frame, o + key_word(shape), key, length)
    write_words(frame, o + value_word(shape), value, size)
    log.records += 1


def mark_as(log: HybridLog, address: i64, flag: i64) -> None:
    """Give a record that was just appended a flag in its shape: that of a commit record, or of a session record."""
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    frame[o + 1] = frame[o + 1] | flag


def overwrite(log: HybridLog, address: i64, shape: i64, value: bytes, expiry: i64, tag: i64) -> None:
    """Give a record of the mutable region, whose shape is known, another value; of expiry and tag those that it has."""
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    size: i64 = len(value)
    log.rewrites += 1
    rewrite(frame, o + 2, o + value_word(shape), value, size)
    frame[o + 1] = (shape & ~VALUE_LENGTH_MASK) | size
    if expiry != 0:
        frame[o + HEADER_WORDS] = expiry
    if tag != 0:
        frame[o + tag_word(shape)] = tag


def bury_in_place(log: HybridLog, address: i64) -> None:
    """Turn a record of the mutable region into a tombstone."""
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    log.rewrites += 1
    frame[o] = frame[o] | TOMBSTONE
    frame[o + 2] = frame[o + 2] & SEAL_CAPACITY
    if address < log.noted_until:
        log.buried = append(log.buried, address)
