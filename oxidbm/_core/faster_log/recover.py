"""Recovery of a log: its last commit is found from the end, whatever the log's length, and what lies behind is cut off.

Commit records are looked for backwards from the last byte: their checksum covers their own address, so they are found
without knowing where records begin. The last one there says which commit was known durable before it; what stands
behind that one is verified, and the last commit up to which all of it holds counts. What is before was durable: it is
verified when it is read. What has to be read is what was appended since the last durable commit; holes are passed over.
"""

import errno
from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS, PAGE_BITS_MAX, PAGE_BITS_MIN
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, decode
from oxidbm._core.durability.found_commit import FoundCommit, commit_at
from oxidbm._core.durability.misplaced import SECTOR_BITS, check_damaged_commit, check_misplaced, other_pages
from oxidbm._core.durability.newest_commit import newest_commit
from oxidbm._core.durability.superblock import CleanMark
from oxidbm._core.errors import CorruptionError, MissingError, alone
from oxidbm._core.faster_log.entry import is_entry
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import fault_at, log_to_read, read_disk, read_or_nothing
from oxidbm._core.log.record import HEADER_BYTES, SHAPE_COMMIT, previous_address, record_words

SLICE_RECORDS: Final = 512


def last_commit(log: HybridLog, mark: CleanMark | None) -> tuple[FoundCommit | None, i64]:
    """Return the last commit that counts, None where there is none, and the address up to which the log was durable.

    Raises CorruptionError where a durable commit is missing.
    """
    device = log.device
    log.read_from_device(FIRST_ADDRESS)
    if mark is not None:
        return marked_commit(log, mark), i64(mark.tail)
    newest = newest_commit(log, device.end())
    gave_back = has_given_back(log)
    if newest is None:
        if gave_back:  # which only a durable commit lets
            raise CorruptionError(
                f"{device.place(device.begin())}: no commit is left in a log that begins there. Restore it from a copy"
            )
        walk = Verification(log, None)
        walk.go_on(device.end())
        check_torn(log, walk)
        return None, FIRST_ADDRESS
    base = durable_before(log, newest, gave_back)
    walk = Verification(log, base)
    walk.go_on(device.end())
    if (0 if walk.last is None else walk.last.record.log.sequence) < newest.record.log.durable_sequence:
        raise lost(log, newest, walk)
    if walk.last is None or walk.last.end() < device.end():
        check_pages_fit(log, base, newest, walk)
        check_torn(log, walk)
    return walk.last, FIRST_ADDRESS if base is None else base.end()


def check_torn(log: HybridLog, walk: "Verification") -> None:
    """Raise CorruptionError where what stands behind the last commit that counts is there by no crash."""
    if walk.fault is not None:
        check_damaged_commit(log, walk.cursor.following)
        check_damaged_entry(log, walk.cursor.following)
    check_misplaced(log, FIRST_ADDRESS if walk.last is None else walk.last.end())


def check_damaged_entry(log: HybridLog, at: i64) -> None:
    """Raise where an entry, which should stand at an address, is damaged, and not torn.

    A disk writes a sector whole. So where the entry's header is there, and the record behind it is and verifies, which
    begins in the same sector as the entry ends, and these two are the only ones that it is in, then all of it was.
    """
    header = read_or_nothing(log, at, HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return
    shape = read_i64_le(header, 8)
    seal = read_i64_le(header, 16)
    if not is_entry(shape) or fault_at(log, at, read_i64_le(header, 0), shape, seal):
        return
    following: i64 = at + (record_words(shape, seal) << 3)
    last: i64 = (following - 1) >> SECTOR_BITS
    if following >> SECTOR_BITS != last or last - (at >> SECTOR_BITS) > 1:
        return
    try:
        read_disk(log, following)
    except CorruptionError:
        return
    try:
        read_disk(log, at)  # again: a writer beside this reader was perhaps writing it
    except CorruptionError as failure:
        raise alone(
            CorruptionError(
                f"{failure}, and what stands behind it does. That is not a torn tail: something has changed it. "
                "Restore the log from a copy; nothing was cut off"
            )
        ) from None


def check_pages_fit(log: HybridLog, base: FoundCommit | None, newest: FoundCommit, walk: "Verification") -> None:
    """Raise CorruptionError where the newest commit does not count, and does with pages of another size."""
    if walk.last is not None and walk.last.address >= newest.address:
        return
    bits: i64 = PAGE_BITS_MIN
    while bits <= PAGE_BITS_MAX:
        if bits != log.page_bits:
            trial = log_to_read(log.device, log.life.path, bits, log.checksum_key, i64(FIRST_ADDRESS))
            other = Verification(trial, base)
            other.go_on(newest.end())
            if other.last is not None and other.last.address == newest.address:
                raise other_pages(log, bits)
        bits += 1


def has_given_back(log: HybridLog) -> bool:
    """Return whether the log has given back its first segment.

    Where the first page alone is not there, it may also be that the first record of all did not fit into it.
    """
    begin = log.device.begin()
    if begin != log.page_bytes:
        return begin > log.page_bytes
    try:
        first = read_disk(log, begin)
    except CorruptionError:  # torn, as what was never durable may be
        return False
    return not is_entry(first.shape) or previous_address(first.info) > 0


def older_mark(log: HybridLog, mark: CleanMark, behind: int) -> CorruptionError:
    """Return the error for a log that goes on behind the end that its mark of a clean end says: files of two times."""
    return CorruptionError(
        f"{log.device.place(i64(mark.tail))}: the log was closed cleanly with commit {mark.sequence} ending at address "
        f"{mark.tail}, as its file CLEAN says, and goes on for {behind} bytes behind: CLEAN is older than the log, "
        "as of a copy that was put together from two. Put back what belongs together, or delete CLEAN where the log is "
        "the newer. Nothing was cut off"
    )


def marked_commit(log: HybridLog, mark: CleanMark) -> FoundCommit | None:
    """Return the last commit of a log that was closed cleanly; CorruptionError where it is not there."""
    end = i64(mark.tail)
    if mark.sequence == 0 and log.device.end() <= FIRST_ADDRESS:
        return None
    try:
        found = commit_at(log, end - COMMIT_RECORD_BYTES) if end <= log.device.end() else None
    except CorruptionError:
        found = None
    if found is None or found.record.log.sequence != mark.sequence or entries_of(found) != mark.count:
        raise CorruptionError(
            f"{log.device.place(end)}: the log was closed cleanly with commit {mark.sequence} ending at address {end}, "
            f"and {mark.count} entries, and that is not there; its files end at address {log.device.end()}. Restore it "
            "from a copy"
        )
    return found


def entries_of(found: FoundCommit) -> i64:
    """Return how many entries a commit says there are."""
    return found.record.table.count - found.record.table.live_bytes


def lost(log: HybridLog, newest: FoundCommit, walk: "Verification") -> CorruptionError:
    """Return the error where what was known to be durable does not verify."""
    why = log.device.place(walk.cursor.following) + ": the log ends here" if walk.fault is None else str(walk.fault)
    return CorruptionError(
        f"{why}. That is not a torn tail: a later commit record, {log.device.place(newest.address)}, knew commit "
        f"{newest.record.log.durable_sequence} to be durable. Restore the log from a copy"
    )


def durable_before(log: HybridLog, newest: FoundCommit, gave_back: bool) -> FoundCommit | None:
    """Return the commit that a commit record knew to be durable, or a later durable one; None where that was none.

    Segments are given back once a commit is durable that says so: where the one that was known is in these, that commit
    is the newest one itself. Between the two there may be commits that were cut and not finished, which may be torn.
    """
    known = newest.record.log.durable_sequence
    begin = max(log.device.begin(), i64(FIRST_ADDRESS))
    found = newest
    while found.record.log.sequence > known:
        if found.previous < begin:
            return newest if gave_back or found.previous > 0 else None  # a commit stood in what is not there any more
        try:
            found = commit_at(log, found.previous)
        except CorruptionError:
            before = newest_commit(log, found.address)
            if before is None:
                return None
            found = before
    return found


def commit_numbered(log: HybridLog, last: FoundCommit, number: i64) -> FoundCommit:
    """Return the commit of a number; MissingError where there is none, or it is given back. O(the commits since)."""
    begin = max(log.device.begin(), last.record.log.begin)
    found = last
    while found.record.log.sequence > number and found.previous >= begin:
        found = commit_at(log, found.previous)
    if found.record.log.sequence != number:
        raise MissingError(
            errno.ENOENT,
            f"the log has no commit {number}; its last one is {last.record.log.sequence}, and the one at or before "
            f"{number} that it still has is {found.record.log.sequence}",
            log.life.path,
        )
    return found


@final
class Verification:
    """A walk over what stands behind a commit, or from a log's first record on, which finds the commits that count."""

    def __init__(self, log: HybridLog, base: FoundCommit | None) -> None:
        self.log = log
        self.last = base
        self.begin: i64 = max(log.device.begin(), i64(FIRST_ADDRESS))
        self.cursor = Cursor(log, self.begin if base is None else base.end(), self.begin)
        self.following: i64 = 0 if base is None else base.record.table.count  # the next entry's number
        self.records: i64 = 0  # since the last commit
        self.fault: CorruptionError | None = None
        self.broken = False  # by a record that verifies, and is not what should stand there
        self.total: i64 = 0

    def go_on(self, stop: i64) -> bool:
        """Verify up to an address; return whether a commit was found. What does not verify ends it: see `fault`.

        It can be called again once there is more.
        """
        cursor = self.cursor
        cursor.go_on_to(stop)
        found = False
        self.fault = None
        left: i64 = SLICE_RECORDS
        at = cursor.following
        try:
            while cursor.step():
                at = cursor.following
                self.broken = True
                if is_entry(cursor.shape):
                    self.take_entry()
                elif cursor.shape & SHAPE_COMMIT:
                    self.take_commit()
                    found = True
                else:
                    self.records += 1
                self.broken = False
                self.total += 1
                left -= 1
                if left == 0:
                    left = SLICE_RECORDS
                    _breath.breathe()
            cursor.following = at  # something may come there, in a log that somebody writes
        except CorruptionError as failure:
            self.fault = failure
        return found

    def take_entry(self) -> None:
        """Check an entry's number."""
        number = previous_address(self.cursor.info)
        if number != self.following:
            place = self.log.device.place(self.cursor.address)
            raise CorruptionError(f"{place}: entry {number} stands where entry {self.following} should")
        self.following = number + 1
        self.records += 1

    def take_commit(self) -> None:
        """Check a commit record and take it as the last one."""
        cursor = self.cursor
        place = self.log.device.place(cursor.address)
        try:
            record = decode(cursor.value())
        except ValueError as failure:
            raise alone(CorruptionError(f"{place}: {failure}")) from None
        previous = previous_address(cursor.info)
        sequence = record.log.sequence
        address: i64 = 0 if self.last is None else self.last.address
        before: i64 = 0 if self.last is None else self.last.record.log.sequence
        if previous != address or sequence <= before or record.log.records != self.records:
            raise CorruptionError(
                f"{place}: commit {sequence} follows the one at address {previous} and {record.log.records} "
                f"records, not commit {before} at {address} and {self.records}"
            )
        if record.table.count != self.following:
            raise CorruptionError(
                f"{place}: commit {sequence} says that entry {record.table.count} follows, and it is {self.following}"
            )
        self.last = FoundCommit(cursor.address, previous, record)
        self.records = 0
