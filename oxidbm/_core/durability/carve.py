"""Carving: the records that verify in one file of a log, whatever else the file holds.

Sound pages are stepped through as a cursor does. Where a record does not verify, each word behind it is tried as the
start of one, up to the end of the page; what lies between is lost, and said. A record's checksum covers its address and
is keyed, so what verifies is a record of this log in its own place, and no value can look like one. Nothing is raised
for what the file holds.
1. The work is linear in the file's size, whatever its bytes claim: what checksums that fail may cost is an allowance
that grows with the bytes passed, for the records of a page and for runs of pages, each its own. 2. Memory holds one
chunk, or one record larger than that. 3. Holes of a sparse file are passed over without being read.
"""

from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS, power_of_two
from oxidbm._core.device.system import hole_end, read_at
from oxidbm._core.durability.serials import SessionState
from oxidbm._core.durability.session_record import decode_session
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.log.cursor import CHUNK_BYTES
from oxidbm._core.log.reader import fault_in_page
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    FLAGS_KNOWN,
    HEADER_BYTES,
    HEADER_WORDS,
    SEAL_CAPACITY,
    SHAPE_COMMIT,
    SHAPE_EXPIRY,
    SHAPE_SESSION,
    SHAPE_TAG,
    TOMBSTONE,
    VERSION_FIRST,
    VERSION_MASK,
    VERSION_SHIFT,
    content_words,
    flags_of,
    key_length,
    key_word,
    record_words,
    tag_word,
    value_length,
    value_word,
)

EMPTY_PAGES: Final = "pages without a record, of which a log has none"
ALLOWANCE_PAGES: Final = 4  # what failing checksums may cost from a page's start on, in pages
ALLOWANCE_RATE: Final = 16  # and for each byte passed
SANE_MASK: Final = VERSION_MASK | 0x4000  # the bit `invalid` too


def could_begin(info: i64, shape: i64) -> bool:
    """Return whether two words may be a record's first, by the bits that are the same in every record."""
    return (info >> VERSION_SHIFT) & SANE_MASK == VERSION_FIRST and flags_of(shape) & ~FLAGS_KNOWN == 0


def sum_without_key(data: bytes, offset: i64, address: i64) -> i64:
    """Return what the checksum of the record at `offset` would be under a key of 0; -1 where it is not all there."""
    shape = read_i64_le(data, offset + 8)
    stop = offset + (content_words(shape) << 3)
    if stop > len(data):
        return -1
    return checksum_bytes(data, offset, read_i64_le(data, offset + 16) & SEAL_CAPACITY, stop, address, 0)


def page_of(data: bytes, offset: i64, page_bits: i64, key: i64, pages: i64) -> i64:
    """Return the first of `pages` page numbers that a file can begin with, by one record in it; -1 for none.

    The record begins at `offset` of the file and of `data`. O(pages * the record's size).
    """
    shape = read_i64_le(data, offset + 8)
    seal = read_i64_le(data, offset + 16)
    stop = offset + (content_words(shape) << 3)
    if stop > len(data):
        return -1
    page: i64 = 0
    while page < pages:
        address: i64 = (page << page_bits) + offset
        if checksum_bytes(data, offset, seal & SEAL_CAPACITY, stop, address, key) == seal & CHECKSUM_MASK:
            return page
        page += 1
        if page & 4095 == 0:
            _breath.breathe()
    return -1


@final
class Carver:
    """Steps over the sound records of an open file, which holds the addresses [start, stop) of a log.

    `losses` takes what was lost, as (first address, address behind it, reason), in order; whoever steps empties it.
    Whether empty pages at the file's end are lost is not known here: at the end `empty_from` says where they begin.
    """

    def __init__(self, descriptor: int, start: i64, stop: i64, page_bits: i64, key: i64) -> None:
        self.descriptor = descriptor
        self.start: i64 = start
        self.stop: i64 = stop
        self.page_bytes: i64 = power_of_two(page_bits)
        self.key: i64 = key
        self.following: i64 = max(start, i64(FIRST_ADDRESS))
        self.losses: list[tuple[int, int, str]] = []
        self.address: i64 = 0
        self.info: i64 = 0
        self.shape: i64 = 0
        self.seal: i64 = 0
        self.chunk = b""
        self.chunk_start: i64 = start
        self.empty_from: i64 = -1  # where the pages begin that are empty, up to here
        self.page: i64 = -1  # where the page begins that `page_spent` is about
        self.page_spent: i64 = 0
        self.run_spent: i64 = 0

    def step(self) -> bool:
        """Move to the next sound record; False at the end of the file."""
        while self.following < self.stop:
            at = self.following
            page_end = min((at & -self.page_bytes) + self.page_bytes, self.stop)
            reason = self.verify(at)
            if reason == "":
                self.lose_empty(at)
                return True
            if self.load(at, 8) < 8 or read_i64_le(self.chunk, at - self.chunk_start) == 0:
                if self.data_end(at, page_end) == at:
                    self.following = self.skip_holes(page_end)
                    if at & (self.page_bytes - 1) == 0 and self.empty_from < 0:
                        self.empty_from = at  # the first page of all has no record at its start
                    continue
            self.lose_empty(at)
            found = self.search(at + 8, page_end)
            self.lose(at, found if found < page_end else self.data_end(at, page_end), reason)
            self.following = found
        return False

    def lose_empty(self, stop: i64) -> None:
        """Note that the empty pages before `stop` are lost, since something follows."""
        if self.empty_from >= 0:
            start = self.empty_from
            self.empty_from = -1
            self.lose(start, stop, EMPTY_PAGES)

    def lose(self, start: i64, stop: i64, reason: str) -> None:
        """Note that [start, stop) is lost; what goes on where the last loss ended is one with it."""
        if self.losses and self.losses[-1][1] == start:
            first, _, reason = self.losses.pop()
            self.losses.append((first, int(stop), reason))
        elif start < stop:
            self.losses.append((int(start), int(stop), reason))

    def load(self, at: i64, size: i64) -> i64:
        """Have `size` bytes from `at` on in the chunk, if the file has them; return how many it has."""
        have: i64 = self.chunk_start + len(self.chunk) - at
        if at < self.chunk_start or have < size:
            wanted = min(max(size, i64(CHUNK_BYTES)), self.stop - at)
            self.chunk = b""
            self.chunk = read_at(self.descriptor, max(wanted, i64(0)), at - self.start)
            self.chunk_start = at
            have = len(self.chunk)
            _breath.breathe()
        return have

    def verify(self, at: i64) -> str:
        """Make the record at an address the current one, and return ""; else return what is wrong, as a sentence's end.

        The current record is another one's then.
        """
        if self.load(at, HEADER_BYTES) < HEADER_BYTES:
            return "the file ends inside of a record's header"
        offset: i64 = at - self.chunk_start
        info = read_i64_le(self.chunk, offset)
        shape = read_i64_le(self.chunk, offset + 8)
        seal = read_i64_le(self.chunk, offset + 16)
        if info == 0:
            return "no record begins there"
        reason = fault_in_page(at, info, shape, seal, self.page_bytes)
        if reason != "":
            return f"the record there is corrupt: {reason}"
        size: i64 = content_words(shape) << 3
        if size > self.stop - at:
            return f"the file ends after {self.stop - at} of the record's {size} bytes"
        if not self.affordable(at, size):
            return "too many bytes before it look like records' headers, and it was not looked at"
        try:
            have = self.load(at, size)
        except MemoryError:
            return f"the record's {size} bytes do not fit into memory"
        offset = at - self.chunk_start
        if have < size:
            return f"the file ends after {have} of the record's {size} bytes"
        if checksum_bytes(self.chunk, offset, seal & SEAL_CAPACITY, offset + size, at, self.key) != (
            seal & CHECKSUM_MASK
        ):
            if size > self.page_bytes:
                self.run_spent += size
            else:
                self.page_spent += size
            return "the record there does not match its checksum"
        self.address = at
        self.info = info
        self.shape = shape
        self.seal = seal
        self.following = at + self.size()
        if self.size() > self.page_bytes:
            self.following = (self.following + self.page_bytes - 1) & -self.page_bytes
        return ""

    def affordable(self, at: i64, size: i64) -> bool:
        """Return whether a checksum over `size` bytes may be tried, which may fail."""
        if size > self.page_bytes:
            return size <= self.stop - self.start + ALLOWANCE_RATE * (at - self.start) - self.run_spent
        page = at & -self.page_bytes
        if page != self.page:
            self.page = page
            self.page_spent = 0
        return size <= ALLOWANCE_PAGES * self.page_bytes + ALLOWANCE_RATE * (at - page) - self.page_spent

    def search(self, at: i64, page_end: i64) -> i64:
        """Return where the next sound record of a page begins, `page_end` for nowhere."""
        while at < page_end:
            have = min(self.load(at, HEADER_BYTES), page_end - at)
            offset = at - self.chunk_start
            last = offset + have - HEADER_BYTES
            if read_i64_le(self.chunk, offset) == 0 if have >= 8 else True:
                if self.chunk.count(0, offset, offset + have) == have:
                    at = min(self.skip_holes(at + have), page_end)
                    continue
            while offset <= last:
                if could_begin(read_i64_le(self.chunk, offset), read_i64_le(self.chunk, offset + 8)):
                    break
                offset += 8
            at = self.chunk_start + offset
            if have < HEADER_BYTES:
                return page_end
            if offset <= last:
                if self.verify(at) == "":
                    return at
                at += 8
        return page_end

    def data_end(self, at: i64, stop: i64) -> i64:
        """Return the address behind the last byte of [at, stop) that is not zero, `at` where all are."""
        end = at
        while at < stop:
            have = min(self.load(at, 1), stop - at)
            if have <= 0:
                break
            offset = at - self.chunk_start
            left: i64 = len(self.chunk[offset : offset + have].rstrip(b"\0"))
            if left:
                end = at + left
            at += have
            if left == 0:
                at = self.skip_holes(at)
        return end

    def skip_holes(self, at: i64) -> i64:
        """Return where, from `at` on, the next page begins that is no hole; `at` where it stands in none."""
        found = hole_end(self.descriptor, at - self.start, self.stop - self.start)
        if found >= self.stop - self.start:
            return max(at, self.stop)
        return max(at, (found + self.start) & -self.page_bytes)

    def size(self) -> i64:
        """Return the current record's size in bytes."""
        return record_words(self.shape, self.seal) << 3

    def part(self, first_word: i64, size: i64) -> bytes:
        """Return `size` bytes of the current record from one of its words on."""
        offset: i64 = self.address - self.chunk_start + (first_word << 3)
        return self.chunk[offset : offset + size]

    def record_key(self) -> bytes:
        """Return the current record's key."""
        return self.part(key_word(self.shape), key_length(self.shape))

    def value(self) -> bytes:
        """Return the current record's value."""
        return self.part(value_word(self.shape), value_length(self.shape))

    def expiry(self) -> i64:
        """Return when the current record expires in milliseconds since 1970, 0 for never."""
        return read_i64_le(self.part(HEADER_WORDS, 8), 0) if self.shape & SHAPE_EXPIRY else 0

    def tag(self) -> i64:
        """Return the current record's tag, 0 for none."""
        return read_i64_le(self.part(tag_word(self.shape), 8), 0) if self.shape & SHAPE_TAG else 0

    def is_commit(self) -> bool:
        """Return whether the current record is a commit record."""
        return self.shape & SHAPE_COMMIT != 0

    def is_session(self) -> bool:
        """Return whether the current record is a session's."""
        return self.shape & SHAPE_SESSION != 0

    def session(self) -> SessionState:
        """Return what the current record says of a session; ValueError where it cannot be one's."""
        return decode_session(self.address, self.info, self.shape, self.record_key(), self.value())

    def tombstone(self) -> bool:
        """Return whether the current record says that its key was deleted."""
        return self.info & TOMBSTONE != 0
