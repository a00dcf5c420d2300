"""A survey: one pass over what remains of a store, without keeping a key of it in memory.

It finds every range of bytes that holds no record any more, follows the commit records as recovery does, and goes on
behind what breaks their row. A commit counts when its record verifies, it follows the commit record found before it,
and as many records as it says stand between the two; or when the mark of a clean end, or the commit record found next,
knew it to be durable: then it has lost records since. The survey says where the log begins, how far it is committed,
which serial numbers the sessions had then, and how large the largest record is.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.device.directory import LOG
from oxidbm._core.device.segments import segment_name
from oxidbm._core.durability.carve import EMPTY_PAGES, Carver
from oxidbm._core.durability.commit_record import CommitRecord, decode
from oxidbm._core.durability.serials import SessionState
from oxidbm._core.log.record import previous_address
from oxidbm._remains import Remains, SegmentFile

LISTED_MAX: Final = 10_000  # ranges that are listed one by one; those that follow are counted


@dataclass(frozen=True)
class LostRange:
    """Bytes of a store's file that were lost.

    file, offset, size: where they stand and how many they are. reason: why they are no records, in words.
    committed: False where no commit is known behind them: there they may be a torn tail, the normal trace of a crash.
    """

    __module__ = "oxidbm"
    file: str
    offset: int
    size: int
    reason: str
    committed: bool = True

    def __str__(self) -> str:
        behind = "" if self.committed else "; it stands behind the last commit, and may be a torn tail"
        return f"{self.file} at offset {self.offset}: {self.size} bytes are lost: {self.reason}{behind}"


def carver_of(remains: Remains, file: SegmentFile) -> Carver:
    """Return what steps over the sound records of one file."""
    assert remains.page_bits is not None
    assert remains.checksum_key is not None
    return Carver(file.descriptor, file.start, file.stop, remains.page_bits, remains.checksum_key)


class Survey:
    """What one pass over the remains has found."""

    def __init__(self, remains: Remains) -> None:
        self.remains = remains
        self.faults: list[str] = []
        self.found: list[tuple[SegmentFile | None, int, int, str]] = []
        self.lost_bytes = 0
        self.lost_ranges = 0
        self.records = 0
        self.missing = 0  # records that commits counted and that were not found, as far as commit records tell
        self.largest = 0
        self.counted: CommitRecord | None = None  # the last commit that counts
        self.counted_end = FIRST_ADDRESS
        self.last: CommitRecord | None = None  # the commit record that was found last
        self.last_address = 0
        self.last_end = FIRST_ADDRESS
        self.stretch = 0  # records since then
        self.sessions: dict[str, SessionState] = {}  # as of the last commit that counts
        self.waiting: list[SessionState] = []  # what was said of sessions from there up to the commit record found last
        self.stated: list[SessionState] = []  # and behind that
        self.broken = False  # whether something was lost since then
        self.start = max(remains.segments[0].start, FIRST_ADDRESS) if remains.segments else FIRST_ADDRESS
        end = self.start
        for file in remains.segments:
            self.pass_gap(end, file)
            self.pass_over(file)
            end = file.stop
        self.check_ends()

    def begin(self) -> int:
        """Return where the log begins by the last commit that counts."""
        return FIRST_ADDRESS if self.counted is None else self.counted.log.begin

    def pass_gap(self, end: int, file: SegmentFile) -> None:
        """Note whole pages between two files that are in neither."""
        assert self.remains.page_bits is not None
        page_bytes = 1 << self.remains.page_bits
        end = -(-end // page_bytes) * page_bytes
        if FIRST_ADDRESS < end < file.start:
            self.lose(None, end, file.start, "no file of the log holds these pages: it is missing, or one was cut")

    def pass_over(self, file: SegmentFile) -> None:
        """Take what one file holds."""
        carver = carver_of(self.remains, file)
        while carver.step():
            self.take_losses(file, carver)
            self.largest = max(self.largest, carver.size())
            if carver.is_commit():
                self.take_commit(file, carver)
            elif carver.is_session():
                self.take_session(file, carver)
                self.stretch += 1
            else:
                self.records += 1
                self.stretch += 1
        self.take_losses(file, carver)
        self.take_end(file, carver)

    def take_end(self, file: SegmentFile, carver: Carver) -> None:
        """Take empty pages at a file's end for lost, but where a writer has made the last file longer ahead of data."""
        mark = self.remains.mark
        start = carver.empty_from
        if start >= 0 and (file is not self.remains.segments[-1] or (mark is not None and mark.tail > start)):
            self.lose(file, start, file.stop, EMPTY_PAGES)

    def take_losses(self, file: SegmentFile, carver: Carver) -> None:
        """Take over what the carver has lost."""
        if carver.losses:
            for start, stop, reason in carver.losses:
                self.lose(file, start, stop, reason)
            carver.losses = []

    def lose(self, file: SegmentFile | None, start: int, stop: int, reason: str) -> None:
        """Note a range of addresses that is lost; one that goes on where the last one ended is a part of that."""
        self.broken = True
        self.lost_bytes += stop - start
        if self.found and self.found[-1][0] is file and self.found[-1][2] == start:
            _, first, _, why = self.found.pop()
            self.found.append((file, first, stop, why))
            return
        self.lost_ranges += 1
        if len(self.found) < LISTED_MAX:
            self.found.append((file, start, stop, reason))

    def take_session(self, file: SegmentFile, carver: Carver) -> None:
        """Take note of what a session's record says."""
        try:
            self.stated.append(carver.session())
        except ValueError as failure:
            self.faults.append(f"{file.place(carver.address)}: {failure}")

    def count(self, record: CommitRecord, end: int) -> None:
        """Take a commit, whose record was found last, for the last one that counts."""
        self.counted = record
        self.counted_end = end
        for state in self.waiting:
            if state.forgotten:
                self.sessions.pop(state.name, None)
            else:
                self.sessions[state.name] = state
        self.waiting = []

    def take_commit(self, file: SegmentFile, carver: Carver) -> None:
        """Take a commit record as the last one, and as one that counts where it does."""
        address = carver.address
        previous = previous_address(carver.info)
        place = file.place(address)
        try:
            record = decode(carver.value())
        except ValueError as failure:
            self.faults.append(f"{place}: {failure}")
            self.broken = True
            return
        sequence = record.log.sequence
        fault = ""
        if previous == self.last_address:
            self.missing += max(0, record.log.records - self.stretch)
        if self.last is None:
            first = previous == 0
            if previous >= self.start or (first and record.log.records != self.stretch):
                fault = f"{place}: the records before commit {sequence} are not all there"
        elif previous != self.last_address or sequence <= self.last.log.sequence:
            fault = (
                f"{place}: commit {sequence} follows the one at address {previous}, not commit "
                f"{self.last.log.sequence} at {self.last_address}"
            )
        elif record.log.records != self.stretch:
            fault = (
                f"{place}: {self.stretch} records stand before commit {sequence}, which counted {record.log.records}"
            )
        elif record.log.begin > address:
            fault = f"{place}: commit {sequence} says that the log begins behind it, at {record.log.begin}"
        if fault and not self.broken:  # what is lost has been said
            self.faults.append(fault)
        self.count_durable(record.log.durable_sequence)
        self.last = record
        self.last_address = address
        self.last_end = carver.following
        self.stretch = 0
        self.broken = False
        self.waiting += self.stated
        self.stated = []
        if not fault:
            self.count(record, carver.following)

    def count_durable(self, sequence: int) -> None:
        """Take the commit found last for one that counts where it is known that it was durable: it had its records."""
        if self.last is not None and self.last.log.sequence <= sequence:
            self.count(self.last, self.last_end)

    def check_ends(self) -> None:
        """Hold where the log begins and ends against what the last commit and the mark of a clean end say."""
        mark = self.remains.mark
        if mark is not None:
            self.count_durable(mark.sequence)
        path = os.path.join(self.remains.path, LOG)
        if self.counted is not None and self.counted.log.begin < self.start and self.remains.segments:
            self.faults.append(
                f"{path}: the log begins at address {self.counted.log.begin}, but its first segment starts at "
                f"{self.start}; a file is missing"
            )
        sequence = 0 if self.last is None else self.last.log.sequence
        if mark is not None and (self.last_end, sequence) != (mark.tail, mark.sequence):
            self.faults.append(
                f"{path}: the store was closed cleanly with commit {mark.sequence} ending at address {mark.tail}, but "
                f"the last commit in the log is {sequence}, ending at {self.last_end}"
            )

    def lost(self) -> Iterator[LostRange]:
        """Yield what was lost, in the order of the log."""
        mark = self.remains.mark
        committed = max(self.last_end, 0 if mark is None else mark.tail)
        for file, start, stop, reason in self.found:
            if file is None:
                assert self.remains.page_bits is not None
                name = os.path.join(self.remains.path, LOG, segment_name(start >> self.remains.page_bits))
                yield LostRange(name, 0, stop - start, reason)
            else:
                yield LostRange(file.path, start - file.start, stop - start, reason, start < committed)
