"""The cursor: steps over the records of an address range.

It reads memory in place and the device in chunks, verifying what comes from there; it holds at most one chunk, or one
record larger than that. What a long range of a file brings into the system's memory goes again behind it (see passing).
"""

from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.device.passing import Passing, passing_over
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import fault_at
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    HEADER_BYTES,
    HEADER_WORDS,
    SEAL_CAPACITY,
    SHAPE_EXPIRY,
    SHAPE_TAG,
    content_words,
    key_length,
    key_word,
    record_words,
    tag_word,
    value_length,
    value_word,
)
from oxidbm._core.memory import VIEW_WORDS

CHUNK_BYTES: Final = 262144


def walk_start(log: HybridLog, address: i64) -> i64:
    """Return where to step from to reach the first record at or behind any address: where its page begins.

    Records say how long they are, not where they begin. An address inside of a record's run of pages is followed by the
    page behind the run only once that is known, so the walk starts at the run's first page.
    """
    base: i64 = address & ~log.offset_mask
    while base > log.head and base < log.tail and base >= log.page_bytes:
        if len(log.frames.words[log.slot_of(base)]) > 0:
            break
        base -= log.page_bytes
    return max(log.begin, i64(FIRST_ADDRESS), base)


@final
class Cursor:
    """Steps over the records of [start, stop), commit records and tombstones included."""

    def __init__(self, log: HybridLog, start: i64, stop: i64) -> None:
        self.log = log
        self.following: i64 = start
        self.stop: i64 = stop
        self.address: i64 = 0
        self.info: i64 = 0
        self.shape: i64 = 0
        self.seal: i64 = 0
        self.offset: i64 = 0
        self.in_memory = False
        self.chunk = b""
        self.chunk_start: i64 = 0
        self.chunk_from_memory = False
        self.passing: Passing | None = None
        self.weighed = False  # whether it is known if there is to be one
        self.gives_back = True

    def step(self) -> bool:
        """Move to the next record; False at the end of the range."""
        log = self.log
        address = self.following
        if log.memory_only and address < log.begin:
            address = log.begin  # evicted meanwhile
        while address < self.stop:
            if address < log.head:
                if self.step_disk(address):
                    return True
                address = self.data_from(log.next_page(address + 1))
                continue
            slot = log.slot_of(address)
            end = log.frames.ends[slot]
            if end == 0:
                end = log.tail
            if address >= end:
                if end == log.tail and log.tail_open:
                    break
                address = log.next_page(end)
                continue
            offset: i64 = address & log.offset_mask
            o: i64 = (offset >> 3) + VIEW_WORDS
            o1: i64 = o + 1
            o2: i64 = o + 2
            info = log.frames.words[slot][o]
            shape = log.frames.words[slot][o1]
            seal = log.frames.words[slot][o2]
            self.address = address
            self.info = info
            self.shape = shape
            self.seal = seal
            self.offset = offset
            self.in_memory = log.frames.has_views
            if not self.in_memory:
                self.chunk = log.frames.copy_out(slot, offset, content_words(shape) << 3)
                self.chunk_start = address
                self.chunk_from_memory = True  # perhaps not sealed: no use when the record is asked for on disk
                self.offset = 0
            size: i64 = record_words(shape, seal) << 3
            self.following = address + size
            if size > log.page_bytes:
                self.following = log.next_page(address + size)
            return True
        self.following = max(self.following, self.stop)
        if self.passing is not None:
            self.end_passing()
        return False

    def go_on_to(self, stop: i64) -> None:
        """Have the range end later; what was read of the device may have been written since."""
        self.stop = stop
        self.chunk = b""
        self.weighed = False

    def read(self, address: i64, size: i64) -> bytes:
        """Return what the device has, as `HybridLog.read` does."""
        use = self.log.use
        use.begin()
        try:
            device = self.log.device
            if not self.weighed and isinstance(device, FileDevice):
                self.weighed = True
                if self.passing is None:
                    self.passing = passing_over(device, address, self.stop) if self.gives_back else None
                else:
                    self.passing.stop = self.stop
            if self.passing is not None:
                self.passing.before(address, size)
            return device.read(address, size)
        finally:
            use.end()

    def data_from(self, address: i64) -> i64:
        """Return what the device's `data_from` returns."""
        use = self.log.use
        use.begin()
        try:
            return self.log.device.data_from(address)
        finally:
            use.end()

    def end_passing(self) -> None:
        """Give back what the range's end has brought into memory."""
        passing = self.passing
        self.passing = None
        use = self.log.use
        if passing is not None and use.begins():
            try:
                passing.end()
            finally:
                use.end()

    def load(self, address: i64, size: i64) -> i64:
        """Have at least `size` bytes from `address` on in the chunk, if the device has them; return how many it has."""
        have: i64 = self.chunk_start + len(self.chunk) - address
        if address < self.chunk_start or have < size or self.chunk_from_memory:
            self.chunk = self.read(address, max(size, i64(CHUNK_BYTES)))
            self.chunk_start = address
            self.chunk_from_memory = False
            have = len(self.chunk)
        return have

    def ahead(self, at: i64) -> i64:
        """Return where in the chunk the first record at or behind an offset begins, as far as its header is there.

        -1 for nowhere. Nothing is verified: it serves to tell the device what will be asked of it.
        """
        while at >= 0 and at + HEADER_BYTES <= len(self.chunk):
            if read_i64_le(self.chunk, at) != 0:
                return at
            at = self.log.next_page(self.chunk_start + at + 1) - self.chunk_start
        return -1

    def ahead_behind(self, at: i64) -> i64:
        """As `ahead`, behind the record at an offset."""
        size: i64 = record_words(read_i64_le(self.chunk, at + 8), read_i64_le(self.chunk, at + 16)) << 3
        if size <= 0:
            return -1  # no record: the step that comes to it says so
        if size > self.log.page_bytes:
            return self.ahead(self.log.next_page(self.chunk_start + at + size) - self.chunk_start)
        return self.ahead(at + size)

    def step_disk(self, address: i64) -> bool:
        """Read the record at an address below head; False where its page's records end before it."""
        device = self.log.device
        have = self.load(address, HEADER_BYTES)
        offset: i64 = address - self.chunk_start
        info = read_i64_le(self.chunk, offset) if have >= HEADER_BYTES else i64(0)
        if info == 0:
            self.check_gap(address)
            return False
        shape = read_i64_le(self.chunk, offset + 8)
        seal = read_i64_le(self.chunk, offset + 16)
        fault = fault_at(self.log, address, info, shape, seal)
        size: i64 = content_words(shape) << 3
        if not fault and self.load(address, size) < size:
            fault = f"its {size} bytes are cut off"
        if fault:
            raise CorruptionError(f"{device.place(address)}: the record at address {address} is corrupt: {fault}")
        offset = address - self.chunk_start
        key = self.log.checksum_key
        checksum = checksum_bytes(self.chunk, offset, seal & SEAL_CAPACITY, offset + size, address, key)
        if checksum != seal & CHECKSUM_MASK:
            raise CorruptionError(
                f"{device.place(address)}: the record at address {address} does not match its checksum"
            )
        self.address = address
        self.info = info
        self.shape = shape
        self.seal = seal
        self.offset = offset
        self.in_memory = False
        self.following = self.behind(address)
        return True

    def check_gap(self, address: i64) -> None:
        """Raise where something else than zeros stands between a page's last record and its end: a record was there."""
        at = address
        stop = self.log.next_page(address + 1)
        while at < stop:
            have = min(self.load(at, 1), stop - at)
            if have <= 0:
                return
            o = at - self.chunk_start
            if self.chunk.count(0, o, o + have) != have:
                raise CorruptionError(
                    f"{self.log.device.place(address)}: no record begins at address {address}, but the rest of "
                    "its page is not empty"
                )
            at = max(at + have, self.data_from(at + have))

    def behind(self, address: i64) -> i64:
        """Return where the record behind the current one may stand; behind a run of pages that is the next page."""
        size: i64 = record_words(self.shape, self.seal) << 3
        log = self.log
        return log.next_page(address + size) if size > log.page_bytes else address + size

    def data(self) -> bytes:
        """Return what `offset` counts in: a chunk, or the view of a page, which no caller may keep (see memory)."""
        if self.in_memory:
            log = self.log
            return log.frames.views[(self.address >> log.page_bits) & log.frames.mask]
        return self.chunk

    def part(self, first_word: i64, size: i64) -> bytes:
        """Return `size` bytes of the current record from one of its words on."""
        start: i64 = self.offset + (first_word << 3)
        return self.data()[start : start + size]

    def key(self) -> bytes:
        """Return the current record's key."""
        return self.part(key_word(self.shape), key_length(self.shape))

    def value(self) -> bytes:
        """Return the current record's value."""
        return self.part(value_word(self.shape), value_length(self.shape))

    def size(self) -> i64:
        """Return the current record's size in bytes."""
        return record_words(self.shape, self.seal) << 3

    def expiry(self) -> i64:
        """Return when the current record expires in milliseconds since 1970, 0 for never."""
        return read_i64_le(self.part(HEADER_WORDS, 8), 0) if self.shape & SHAPE_EXPIRY else 0

    def tag(self) -> i64:
        """Return the current record's tag, 0 for none."""
        return read_i64_le(self.part(tag_word(self.shape), 8), 0) if self.shape & SHAPE_TAG else 0
