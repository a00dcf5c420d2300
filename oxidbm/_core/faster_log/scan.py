"""Scanning a log: its entries in order, each with its address.

A scan ends where the log ended when it began. It reads memory in place, and the device in chunks; it holds nothing of
the log, so a log may be truncated meanwhile: a scan that stands before the new begin goes on there. Entries are
numbered, and commit records count them: where some are not there, as with a file that is missing, the scan says so.
Where it is to pass over what is damaged, it passes over entries that cannot be decoded, too.
"""

from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.coder import PLAIN, Coder, undecodable_entry
from oxidbm._core.durability.carve import ALLOWANCE_PAGES, ALLOWANCE_RATE, could_begin
from oxidbm._core.durability.commit_record import COMMIT_SHAPE, COUNT_OFFSET
from oxidbm._core.errors import CorruptionError
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.entry import is_entry, starts_record
from oxidbm._core.life import OPEN
from oxidbm._core.log.cursor import Cursor, walk_start
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import fault_at
from oxidbm._core.log.record import HEADER_BYTES, HEADER_WORDS, VALUE_LENGTH_MASK, content_words, previous_address

RUN_BYTES_MAX: Final = 1 << 32  # what the pages of one entry can take, about


def start_for(commits: EntryCommits, address: i64) -> i64:
    """Return where to step from to reach the first record at or behind an address. O(a page) where none starts there.

    Records say how long they are, not where they begin, so the walk begins with the page, unless a record stands there;
    inside of a run of pages, and of pages that are damaged or missing, with the last page before that begins with one.
    """
    log = commits.log
    begin = max(commits.begin, i64(FIRST_ADDRESS))
    if address <= begin:
        return begin
    if address >= log.tail:
        return log.tail
    if starts_record(log, address):
        return address
    if address >= log.head:
        base = walk_start(log, address)
        if base >= log.head or base <= begin:
            return max(begin, base)
        address = base
    base = address & ~log.offset_mask
    least = max(begin, base - RUN_BYTES_MAX)
    while base > least and not starts_record(log, base):
        base -= log.page_bytes
        _breath.breathe()
    return max(least, base)


def decoded(coder: Coder, address: i64, data: bytes) -> object:
    """Return the entry that the bytes at an address stand for; DecodeError where its codec did not write them."""
    try:
        return coder.decode(data)
    except ValueError as failure:
        raise undecodable_entry(address, failure) from failure


@final
class Allowance:
    """What checksums may cost that fail, of bytes that look like records and are none: it grows with the bytes passed.

    Without, a page of such headers would cost the square of its size; as `Carver` has it for a file.
    """

    def __init__(self, log: HybridLog, start: i64, stop: i64) -> None:
        self.page_bytes: i64 = log.page_bytes
        self.start: i64 = start
        self.stop: i64 = stop
        self.page: i64 = -1
        self.page_spent: i64 = 0
        self.run_spent: i64 = 0

    def allows(self, at: i64, size: i64) -> bool:
        """Return whether a checksum over `size` bytes from an address on may be tried."""
        if size > self.stop - at:
            return False
        if size > self.page_bytes:
            return size <= self.stop - self.start + ALLOWANCE_RATE * (at - self.start) - self.run_spent
        page = at & -self.page_bytes
        if page != self.page:
            self.page = page
            self.page_spent = 0
        return size <= ALLOWANCE_PAGES * self.page_bytes + ALLOWANCE_RATE * (at - page) - self.page_spent

    def spend(self, size: i64) -> None:
        """Take note of a checksum that failed."""
        if size > self.page_bytes:
            self.run_spent += size
        else:
            self.page_spent += size


@final
class EntryIterator:
    """Iterates entries; see the module's text for what it yields while others append and truncate."""

    def __init__(self, commits: EntryCommits, coder: Coder, begin: i64, stop: i64, skips: bool, owner: object) -> None:
        self.owner = owner  # a log that is scanned stays open, also when nobody else holds it
        self.commits = commits
        self.coder = coder
        self.log = commits.log
        self.life = commits.log.life
        self.skips = skips
        self.plain: bool = coder.kind == PLAIN
        self.least: i64 = begin  # entries before it are not asked for: where no record begins, the walk does before it
        self.cursor = Cursor(commits.log, start_for(commits, begin), stop)
        self.expected: i64 = -1  # the next entry's number, where it is known
        if self.cursor.following <= commits.begin:
            self.expected = commits.first
        self.overtaken: i64 = 0  # entries that were truncated before it came to them
        self.noted: list[str] | None = None  # what is wrong, where it is to be noted and passed over
        self.decodes: bool = skips and not self.plain  # each entry as it is come to, to pass over it where that fails
        self.entry: object = None  # what became of the current one then

    def __iter__(self) -> "EntryIterator":
        return self

    def __repr__(self) -> str:
        cursor = self.cursor
        return f"<entries of {self.log.life.called()}, at {int(cursor.following)}, up to {int(cursor.stop)}>"

    def __next__(self) -> object:
        if not self.step():
            self.owner = None
            raise StopIteration
        return self.current()

    def current(self) -> object:
        """Return the current entry, with its address."""
        cursor = self.cursor
        if self.decodes:
            found = self.entry
            self.entry = None  # it is the caller's
            return int(cursor.address), found
        start: i64 = cursor.offset + (HEADER_WORDS << 3)
        data = cursor.data()[start : start + (cursor.shape & VALUE_LENGTH_MASK)]
        if self.plain:
            return int(cursor.address), data
        address = cursor.address
        return int(address), decoded(self.coder, address, data)

    def step(self) -> bool:
        """Move to the next entry; False at the end."""
        cursor = self.cursor
        while True:
            if self.life.state != OPEN:
                self.life.blocked_read()
            if cursor.following <= self.commits.begin:
                cursor.following = self.commits.begin
                if self.expected >= 0:
                    self.overtaken += max(self.commits.first - self.expected, i64(0))
                self.expected = self.commits.first
            before = cursor.following
            found = self.step_on_disk() if before < self.log.head else cursor.step()
            if before < self.commits.begin:  # truncated meanwhile, and perhaps no more there when it was read
                cursor.following = before
            elif not found:
                self.check_end(before)
                return False
            elif is_entry(cursor.shape):
                number = previous_address(cursor.info)
                if number != self.expected:
                    self.check_number(number)
                self.expected = number + 1
                if cursor.address >= self.least and (not self.decodes or self.can_decode()):
                    return True
            elif cursor.shape == COMMIT_SHAPE:
                self.check_number(read_i64_le(cursor.value(), COUNT_OFFSET))

    def can_decode(self) -> bool:
        """Decode the current entry for `current`; False, which is noted, where its codec did not write it."""
        cursor = self.cursor
        try:
            self.entry = decoded(self.coder, cursor.address, cursor.value())
        except ValueError as failure:
            if self.noted is not None:
                self.noted.append(str(failure))
            return False
        return True

    def check_number(self, number: i64) -> None:
        """Raise where the entries before the current record, which says the number of the next one, are not there."""
        expected = self.expected
        if number == expected or expected < 0:
            return
        address = self.cursor.address
        place = self.log.device.place(address)
        if number < expected:
            self.fault(f"{place}: entry {number} stands at address {address}, where entry {expected} should")
        else:
            self.fault(
                f"{place}: before address {address} there should be {number - expected} more entries, from entry "
                f"{expected} on: that part of the log is missing, or empty. Restore it from a copy"
            )

    def fault(self, why: str) -> None:
        """Raise CorruptionError, or note why, where what is wrong is to be passed over."""
        if not self.skips:
            raise CorruptionError(why)
        if self.noted is not None:
            self.noted.append(why)

    def check_end(self, last: i64) -> None:
        """Raise where between the last record and the end of the range there are pages on disk without one."""
        log = self.log
        following = log.next_page(last)
        if following < min(self.cursor.stop, log.head):
            self.fault(
                f"{log.device.place(following)}: the page at address {following} holds no record: that part of the log "
                "is missing, or empty. Restore it from a copy"
            )

    def step_on_disk(self) -> bool:
        """As `Cursor.step`, inside the epoch: the segment that is read stays meanwhile, and its file open."""
        use = self.log.use
        use.begin()
        try:
            return self.step_inside()
        finally:
            use.end()

    def step_inside(self) -> bool:
        """As `step_on_disk`, within a use of the device."""
        epoch = self.log.epoch
        while True:
            slot = epoch.protect()
            try:
                return self.cursor.step()
            except CorruptionError as failure:
                asked: bool = self.cursor.following >= self.least
                if asked and not self.skips:
                    raise
                self.pass_over()
                if self.cursor.following > self.least and not self.skips:  # what is asked for may be damaged, too
                    raise
                if self.noted is not None:
                    self.noted.append(str(failure))
            finally:
                epoch.release(slot)

    def pass_over(self) -> None:
        """Go on behind what does not verify, with the next record that does, or with what is in memory."""
        cursor = self.cursor
        log = self.log
        stop = min(cursor.stop, log.head)
        if not self.skips:
            stop = min(stop, self.least + 1)  # what is asked for has to be sound
        at = cursor.following + 8
        allowance = Allowance(log, at, stop)
        self.expected = -1
        while at < stop:
            if at & log.offset_mask == 0:
                _breath.breathe()
                at = log.device.data_from(at)
            if self.load(at) < HEADER_BYTES:
                at = log.next_page(at + 1)
                continue
            o = at - cursor.chunk_start
            info = read_i64_le(cursor.chunk, o)
            shape = read_i64_le(cursor.chunk, o + 8)
            if could_begin(info, shape) and not fault_at(log, at, info, shape, read_i64_le(cursor.chunk, o + 16)):
                size: i64 = content_words(shape) << 3
                if allowance.allows(at, size):
                    if starts_record(log, at):
                        break
                    allowance.spend(size)
            at += 8
        cursor.following = min(at, stop)

    def load(self, at: i64) -> i64:
        """Have a header in the cursor's chunk; return how many bytes of it there are, 0 also where a file was cut."""
        try:
            return self.cursor.load(at, HEADER_BYTES)
        except CorruptionError:
            return 0

    def number(self) -> int:
        """Return the running number of the current entry."""
        return int(previous_address(self.cursor.info))
