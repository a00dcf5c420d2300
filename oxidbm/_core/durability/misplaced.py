"""Telling a torn tail from records that do not stand where they belong, and from a commit record that was damaged.

A crash tears what was being written; it moves nothing. A record's checksum covers its address and the log's key, so
each of these is a proof that files were exchanged, or changed, and no entry or value can be one, since none verifies:
1. a commit record that verifies at the address that the one behind it names, and stands at another; 2. a segment two of
whose records verify where another page would begin it; 3. first records of all that agree on another log's key; 4. a
commit record that does not verify, though the record behind it does, which begins in the same sector: a disk writes a
sector whole, and so did not tear it.
"""

from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS, PAGE_BITS_MAX, PAGE_BITS_MIN, power_of_two
from oxidbm._core.durability.carve import could_begin, sum_without_key
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, COMMIT_SHAPE, COMMIT_WORDS
from oxidbm._core.durability.torn_tail import CommitHeaders
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import read_disk, read_or_nothing
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    HEADER_BYTES,
    SEAL_CAPACITY,
    capacity_words,
    content_words,
    previous_address,
    record_words,
)

SECTOR_BITS: Final = 9
LOOKED_AT_MAX: Final = 64  # records of a segment
SUMMED_MAX: Final = 4
SUMMED_BYTES_MAX: Final = 1 << 16
PAGES_TRIED_MAX: Final = 1 << 16


def check_misplaced(log: HybridLog, start: i64) -> None:
    """Raise CorruptionError where what stands behind a log's last commit, from `start` on, is of another place.

    O(the bytes behind it).
    """
    device = log.device
    if start <= FIRST_ADDRESS:
        check_key(log)
    first = device.begin()
    while first < device.end():
        if first >= start or start <= FIRST_ADDRESS:
            check_segment(log, first)
        following = device.segment_end(first)
        if following <= first:
            break
        first = following
    check_commits(log, start)


def misplaced(log: HybridLog, at: i64, belongs: str) -> CorruptionError:
    """Return the error for a record that belongs somewhere else."""
    return CorruptionError(
        f"{log.device.place(at)}: the record there {belongs}. That is not a torn tail: files of the log were "
        "exchanged, renamed or changed. Put them back, or restore them from a copy; nothing was cut off"
    )


def check_commits(log: HybridLog, start: i64) -> None:
    """Raise for a commit record that stands elsewhere than the one behind it says, and verifies there."""
    headers = CommitHeaders(log, start)
    before = b""
    stands: i64 = 0
    while headers.step():
        belongs = previous_address(read_i64_le(headers.data, 0))
        if before and belongs != stands and belongs >= FIRST_ADDRESS and verifies(before, belongs, log.checksum_key):
            raise misplaced(log, stands, f"is the commit record of address {belongs}, and stands at {stands}")
        before = headers.data
        stands = headers.address


def verifies(data: bytes, address: i64, key: i64) -> bool:
    """Return whether a record's bytes verify at an address."""
    seal = read_i64_le(data, 16)
    return checksum_bytes(data, 0, seal & SEAL_CAPACITY, len(data), address, key) == seal & CHECKSUM_MASK


@final
class FirstRecords:
    """The first small records of a segment, as they stand there, whether they verify or not, by their offsets in it."""

    def __init__(self, log: HybridLog, first: i64, offset: i64) -> None:
        self.offsets: list[int] = []
        self.found: list[bytes] = []
        at: i64 = first + offset
        stop = log.device.segment_end(first)
        left: i64 = LOOKED_AT_MAX
        while at < stop and left > 0 and len(self.found) < SUMMED_MAX:
            left -= 1
            header = read_or_nothing(log, at, HEADER_BYTES)
            if len(header) < HEADER_BYTES:
                break
            info = read_i64_le(header, 0)
            if info == 0:
                at = log.next_page(at + 1)
                continue
            shape = read_i64_le(header, 8)
            if not could_begin(info, shape):
                break
            size: i64 = content_words(shape) << 3
            data = read_or_nothing(log, at, size) if size <= SUMMED_BYTES_MAX else b""
            if data and i64(len(data)) == size:
                self.offsets.append(int(at - first))
                self.found.append(data)
            whole: i64 = record_words(shape, read_i64_le(header, 16)) << 3
            at = at + whole if whole <= log.page_bytes else log.next_page(at + whole)

    def verifying(self, start: i64, key: i64) -> int:
        """Return how many of them verify where the segment starts at an address."""
        count = 0
        for i in range(len(self.found)):
            if verifies(self.found[i], start + i64(self.offsets[i]), key):
                count += 1
        return count

    def page(self, page_bits: i64, key: i64, pages: i64) -> i64:
        """Return the page that the segment begins with, as two of its records say; -1 where they say none."""
        smallest = 0
        for i in range(len(self.found)):
            if len(self.found[i]) < len(self.found[smallest]):
                smallest = i
        data = self.found[smallest]
        offset: i64 = self.offsets[smallest]
        page: i64 = 0
        while page < pages:
            if verifies(data, (page << page_bits) + offset, key) and self.verifying(page << page_bits, key) > 1:
                return page
            page += 1
            if page & 4095 == 0:
                _breath.breathe()
        return -1


def check_segment(log: HybridLog, first: i64) -> None:
    """Raise where the records of a segment verify, and not in the place that its name says."""
    key = log.checksum_key
    for offset in (0, FIRST_ADDRESS):
        records = FirstRecords(log, first, offset)
        if len(records.found) < 2 or records.verifying(first, key) > 0:
            continue
        bits: i64 = PAGE_BITS_MIN
        while bits <= PAGE_BITS_MAX and first > 0:
            if bits != log.page_bits and records.verifying((first >> log.page_bits) << bits, key) > 1:
                raise other_pages(log, bits)
            bits += 1
        pages = min((log.device.end() >> log.page_bits) * 2 + 2, i64(PAGES_TRIED_MAX))
        page = records.page(log.page_bits, key, pages)
        if page >= 0:
            at = first + i64(records.offsets[0])
            raise misplaced(log, at, f"is of the segment that starts at address {page << log.page_bits}, not {first}")


def other_pages(log: HybridLog, bits: i64) -> CorruptionError:
    """Return the error for a log that was written with pages of 2**bits bytes."""
    return CorruptionError(
        f"{log.life.path}: the superblock says pages of {log.page_bytes} bytes, but the log was written with "
        f"pages of {power_of_two(bits)}. Restore the file STORE from a copy"
    )


def check_key(log: HybridLog) -> None:
    """Raise where the first records of all verify with the key of another log."""
    first = log.device.begin()
    records = FirstRecords(log, first, FIRST_ADDRESS if first == 0 else 0)
    if records.verifying(first, log.checksum_key) > 0:
        return
    said: list[int] = []
    for i in range(len(records.found)):
        data = records.found[i]
        key = sum_without_key(data, 0, first + i64(records.offsets[i])) ^ (read_i64_le(data, 16) & CHECKSUM_MASK)
        if int(key) in said:
            raise CorruptionError(
                f"{log.life.path}: the first records of the log verify with another key than that of the superblock: "
                "STORE and log/ are not of one another. Restore the file STORE from a copy; nothing was cut off"
            )
        said.append(int(key))


def check_damaged_commit(log: HybridLog, at: i64) -> None:
    """Raise where a verified record is followed, at `at`, by a commit record that is damaged, and not torn."""
    data = read_or_nothing(log, at, COMMIT_RECORD_BYTES)
    if len(data) < COMMIT_RECORD_BYTES or read_i64_le(data, 8) != COMMIT_SHAPE:
        return
    following: i64 = at + COMMIT_RECORD_BYTES
    same_sector: bool = (following - 1) >> SECTOR_BITS == following >> SECTOR_BITS
    if capacity_words(read_i64_le(data, 16)) != COMMIT_WORDS or not same_sector:
        return
    try:
        read_disk(log, following)
    except CorruptionError:
        return
    data = read_or_nothing(log, at, COMMIT_RECORD_BYTES)  # again: a writer beside this reader was perhaps writing it
    if len(data) < COMMIT_RECORD_BYTES or verifies(data, at, log.checksum_key):
        return
    raise CorruptionError(
        f"{log.device.place(at)}: the commit record at address {at} does not match its checksum, and what stands "
        "behind it does. That is not a torn tail: something has changed it. Restore the log from a copy; nothing was "
        "cut off"
    )
