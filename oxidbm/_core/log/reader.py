"""Reading one record at an address: in memory where it stands, or from the device, verified.

A record on the device is read whole and verified by its checksum, and never becomes a value when that fails. One in
memory is read in place: what is asked of it has to be asked before other threads can run.
"""

from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm._core.budget import Budget
from oxidbm._core.device.device import Device
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.life import Life
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    FLAG_EXPIRY,
    FLAG_PAGE_RUN,
    HEADER_BYTES,
    HEADER_WORDS,
    SEAL_CAPACITY,
    SHAPE_TAG,
    TOMBSTONE,
    content_words,
    fault_of,
    flags_of,
    key_length,
    key_word,
    previous_address,
    record_words,
    tag_word,
    value_length,
    value_word,
)

READ_GUESS_MIN: Final = 128
READ_GUESS_MAX: Final = 16384
LOOK_BYTES: Final = 4096  # as the smallest page


def log_to_read(device: Device, path: str, page_bits: i64, checksum_key: i64, begin: i64) -> HybridLog:
    """Return a log by which what a device holds from `begin` on is read, and nothing else; errors say the path."""
    log = HybridLog(device, Life(path), Budget(0), page_bits, False)
    log.checksum_key = checksum_key
    log.read_from_device(begin)
    return log


@final
class Record:
    """A record: its address, header words, and, when it came from disk, its bytes."""

    def __init__(self, address: i64, info: i64, shape: i64, seal: i64, data: bytes) -> None:
        self.address: i64 = address
        self.info: i64 = info
        self.shape: i64 = shape
        self.seal: i64 = seal
        self.data = data
        self.entry: i64 = 0  # the index entry that led here, where one did

    def size(self) -> i64:
        """Return the record's size in bytes."""
        return record_words(self.shape, self.seal) << 3

    def tombstone(self) -> bool:
        """Return whether the record says that its key was deleted."""
        return self.info & TOMBSTONE != 0


def copied_record(address: i64, data: bytes) -> Record:
    """Return the record at an address of which a copy, verified, is at hand."""
    return Record(address, read_i64_le(data, 0), read_i64_le(data, 8), read_i64_le(data, 16), data)


def fault_at(log: HybridLog, address: i64, info: i64, shape: i64, seal: i64) -> str:
    """Return what is wrong with a header at its place in the log as words of a sentence, or "" where nothing is."""
    return fault_in_page(address, info, shape, seal, log.page_bytes)


def fault_in_page(address: i64, info: i64, shape: i64, seal: i64, page_bytes: i64) -> str:
    """As `fault_at`, of a log with pages of so many bytes."""
    fault = fault_of(info, shape, seal)
    if fault:
        return fault
    if previous_address(info) >= address:
        return f"its previous address {previous_address(info)} does not lie before it"
    size: i64 = record_words(shape, seal) << 3
    offset: i64 = address & (page_bytes - 1)
    is_run: bool = flags_of(shape) & FLAG_PAGE_RUN != 0
    if is_run != (size > page_bytes):
        return f"its {size} bytes and the flag page_run do not agree about pages of {page_bytes} bytes"
    if (offset != 0) if is_run else (offset + size > page_bytes):
        return f"its {size} bytes from offset {offset} of its page on reach over the page's end"
    return ""


def read_disk(log: HybridLog, address: i64) -> Record:
    """Return the record at an address below head, verified."""
    device = log.device
    log.cold_reads += 1
    data = log.read(address, log.read_guess)
    if len(data) < HEADER_BYTES:
        raise CorruptionError(
            f"{device.place(address)}: the file ends inside a record's header ({len(data)} of {HEADER_BYTES} bytes)"
        )
    info = read_i64_le(data, 0)
    shape = read_i64_le(data, 8)
    seal = read_i64_le(data, 16)
    fault = fault_at(log, address, info, shape, seal)
    if fault:
        raise CorruptionError(f"{device.place(address)}: the record at address {address} is corrupt: {fault}")
    size: i64 = content_words(shape) << 3
    if size > len(data):
        data = log.read(address, size)
        if len(data) < size:
            raise CorruptionError(f"{device.place(address)}: the record of {size} bytes is cut off after {len(data)}")
    if size <= READ_GUESS_MAX:
        log.read_guess = max(i64(READ_GUESS_MIN), size)
    checksum = checksum_bytes(data, 0, seal & SEAL_CAPACITY, size, address, log.checksum_key)
    if checksum != seal & CHECKSUM_MASK:
        raise CorruptionError(
            f"{device.place(address)}: the record at address {address} has checksum {checksum:#010x}, "
            f"its header says {seal & CHECKSUM_MASK:#010x}"
        )
    return Record(address, info, shape, seal, data)


def read_or_nothing(log: HybridLog, address: i64, size: i64) -> bytes:
    """Return what the device has at an address, nothing where its file was cut, as by a writer that recovers."""
    try:
        return log.read(address, size)
    except CorruptionError:
        return b""


def bytes_behind(device: Device, address: i64) -> int:
    """Return how many bytes of records stand behind an address: a file's surplus of zeros at the end is none."""
    at = device.end()
    while at > address:
        start = max(address, (at - 1) & -LOOK_BYTES)  # so that no piece is in two files
        try:
            found = len(device.read(start, at - start).rstrip(b"\0"))
        except CorruptionError:  # the file was cut meanwhile
            found = 0
        if found > 0:
            return int(((start + found + 7) & -8) - address)
        at = start
        size: i64 = LOOK_BYTES
        while at > address:  # a hole can be as long as a file system lets it be
            low = max(address, at - size)
            if device.data_from(low) < at:
                break
            at = low
            size *= 2
    return 0


def record_at(log: HybridLog, address: i64) -> Record:
    """Return the record at an address at or above begin."""
    if address < log.head:
        return read_disk(log, address)
    frame = log.frames.words[log.slot_of(address)]
    o = log.word_of(address)
    return Record(address, frame[o], frame[o + 1], frame[o + 2], b"")


def part_of(log: HybridLog, record: Record, first_word: i64, size: i64) -> bytes:
    """Return `size` bytes of a record from one of its words on."""
    if record.data:
        return record.data[first_word << 3 : (first_word << 3) + size]
    return log.frames.copy_out(
        log.slot_of(record.address), (record.address & log.offset_mask) + (first_word << 3), size
    )


def key_of(log: HybridLog, record: Record) -> bytes:
    """Return a record's key."""
    return part_of(log, record, key_word(record.shape), key_length(record.shape))


def value_of(log: HybridLog, record: Record) -> bytes:
    """Return a record's value."""
    return part_of(log, record, value_word(record.shape), value_length(record.shape))


def expiry_of(log: HybridLog, record: Record) -> i64:
    """Return when a record expires in milliseconds since 1970, 0 for never."""
    if flags_of(record.shape) & FLAG_EXPIRY:
        return read_i64_le(part_of(log, record, HEADER_WORDS, 8), 0)
    return 0


def tag_of(log: HybridLog, record: Record) -> i64:
    """Return a record's tag, 0 for none."""
    if record.shape & SHAPE_TAG:
        return read_i64_le(part_of(log, record, tag_word(record.shape), 8), 0)
    return 0


def is_live(log: HybridLog, record: Record, now: i64) -> bool:
    """Return whether a key's newest record gives it a value at `now` (ms since 1970): no tombstone and not expired.

    The time is asked for before the record is located: a clock may be Python code, which lets other threads run.
    """
    if record.tombstone():
        return False
    expiry = expiry_of(log, record)
    return expiry == 0 or expiry > now
