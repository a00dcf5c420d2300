"""An entry's bytes: a record of the log that has no key, and whose previous address is the entry's running number.

Entries are numbered from 0 on, without a gap, so that of any two it is known how many lie between, and what is missing
shows. An entry takes at least a header, so its number is always below its address, as a previous address has to be. The
log's own records besides are commit records (see durability/commit_record), whose `count` is the number of the next
entry, `live_bytes` that of the first one and `pending` the address of the newest cookie record; and cookie records,
which have the flag of a session record, no key, and the cookie as their value.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_words
from oxidbm._core.log.append import append_record, mark_as, write_words
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import fault_at, read_disk
from oxidbm._core.log.record import (
    CAPACITY_SHIFT,
    CHECKSUM_MASK,
    HEADER_BYTES,
    HEADER_WORDS,
    INFO_VERSION,
    SEAL_CAPACITY,
    SHAPE_PAGE_RUN,
    SHAPE_SESSION,
    VALUE_LENGTH_MASK,
    content_words,
    previous_address,
    record_words,
)
from oxidbm._core.memory import VIEW_WORDS

NOT_ENTRY: Final = ~(SHAPE_PAGE_RUN | VALUE_LENGTH_MASK)  # the bits of a shape that no entry has
SEAL_SLICE_WORDS: Final = 65536


def is_entry(shape: i64) -> bool:
    """Return whether a record is an entry, and not one of the log's own."""
    return shape & NOT_ENTRY == 0


def entry_bytes(length: i64) -> i64:
    """Return the size of an entry's record."""
    return HEADER_BYTES + ((length + 7) & -8)


def append_entry(log: HybridLog, data: bytes, number: i64) -> i64:
    """Write an entry at the tail and return its address; its size, negated, where there is no room for it."""
    length: i64 = len(data)
    words: i64 = (length + 7) >> 3
    size: i64 = (words << 3) + HEADER_BYTES
    address = log.allocate(size)
    if address > 0:  # as write_record, which knows of keys and expiry as well; a log has no hotter path
        slot: i64 = (address >> log.page_bits) & log.frames.mask
        frame = log.frames.words[slot]
        o: i64 = ((address & log.offset_mask) >> 3) + VIEW_WORDS
        frame[o] = number | INFO_VERSION
        frame[o + 1] = length if size <= log.page_bytes else length | SHAPE_PAGE_RUN
        frame[o + 2] = words << CAPACITY_SHIFT
        write_words(frame, o + HEADER_WORDS, data, length)
        log.records += 1
    return address


def append_cookie(log: HybridLog, cookie: bytes) -> i64:
    """Write a cookie record at the tail and return its address; its size, negated, where there is no room for it."""
    address = append_record(log, b"", cookie, INFO_VERSION, 0)
    if address > 0:
        mark_as(log, address, SHAPE_SESSION)
    return address


def seal_all(log: HybridLog) -> None:
    """Give every record its checksum, since what is verified has one: no entry is ever changed."""
    while not log.seal_step(log.tail, SEAL_SLICE_WORDS):
        pass


def starts_in_memory(log: HybridLog, address: i64) -> bool:
    """Return whether a record stands at an address between head and tail, as its checksum says."""
    if address >= log.sealed:
        seal_all(log)
    slot = log.slot_of(address)
    end = log.frames.ends[slot]
    if end == 0:
        end = log.tail
    if address & 7 != 0 or address + HEADER_BYTES > end or i64(len(log.frames.words[slot])) == 0:
        return False
    frame = log.frames.words[slot]
    o = log.word_of(address)
    shape = frame[o + 1]
    seal = frame[o + 2]
    size: i64 = content_words(shape) << 3
    if size > end - address or fault_at(log, address, frame[o], shape, seal):
        return False
    stop = o + (size >> 3)
    checksum = checksum_words(frame, o, seal & SEAL_CAPACITY, stop, address, log.checksum_key)
    return checksum == seal & CHECKSUM_MASK


def starts_record(log: HybridLog, address: i64) -> bool:
    """Return whether a record stands at an address from the log's begin to its tail; one read where it is on disk."""
    if address >= log.head:
        return starts_in_memory(log, address)
    if address & 7 != 0:
        return False
    slot = log.epoch.protect()
    try:
        read_disk(log, address)
    except CorruptionError:
        return False
    finally:
        log.epoch.release(slot)
    return True


def number_at(log: HybridLog, address: i64) -> i64:
    """Return the number of the entry at an address where one stands; -1 for another record."""
    if address >= log.head:
        frame = log.frames.words[log.slot_of(address)]
        o = log.word_of(address)
        return previous_address(frame[o]) if is_entry(frame[o + 1]) else -1
    found = read_disk(log, address)
    return previous_address(found.info) if is_entry(found.shape) else -1


def end_of(log: HybridLog, address: i64) -> i64:
    """Return where the record ends that stands at an address; behind a run of pages, where its last page does."""
    if address >= log.head:
        frame = log.frames.words[log.slot_of(address)]
        o = log.word_of(address)
        size: i64 = record_words(frame[o + 1], frame[o + 2]) << 3
    else:
        size = read_disk(log, address).size()
    return log.next_page(address + size) if size > log.page_bytes else address + size
