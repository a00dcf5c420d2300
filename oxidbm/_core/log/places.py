"""Part of check(): the pages in memory, and where in the log a record begins.

The records of a page in memory are gone through from its start, each header before it is believed, so that a later walk
steps onto nothing else: a page without a frame, or a record that does not end where one may, is said here, and what
stands behind it counts as damaged. Of what is on disk nothing is kept: there reading a record verifies it.
"""

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import power_of_two
from oxidbm._core.hashing import checksum_words
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import Record, fault_at, record_at
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    HEADER_BYTES,
    SEAL_CAPACITY,
    content_words,
    record_words,
)
from oxidbm._core.memory import VIEW_WORDS, extend_zero

SOUND: Final = 0  # a record begins there, or it is on disk, where reading it tells
DAMAGED: Final = 1  # what is wrong there has been said
NO_RECORD: Final = 2


@final
class Places:
    """Where records begin in the pages that are in memory when it is made; what is appended later counts as sound."""

    def __init__(self, log: HybridLog, faults: list[str]) -> None:
        self.log = log
        self.faults = faults
        self.head: i64 = log.head
        self.tail: i64 = log.tail
        self.stop: i64 = log.tail  # what stands behind it cannot be walked
        self.starts: vec[i64] = vec[i64]()  # a bit for each word of the log from head on, 32 of them in each
        self.lost: list[tuple[int, int]] = []
        self.damaged: set[int] = set()

    def find(self) -> None:
        """Go through the records of every page in memory, and note where they begin."""
        log = self.log
        at = self.head
        while at < self.stop:
            at = max(at, log.head)  # pages may have gone meanwhile
            if at >= self.stop:
                return
            end = self.end_of_page(at)
            if end == 0:
                self.stop = at
                return
            self.note_starts(0, end)
            self.check_page(at, end)
            at = log.next_page(end)
            _breath.breathe()

    def end_of_page(self, at: i64) -> i64:
        """Return where the records of the page in memory that holds `at` end; 0 where that cannot be, which is said."""
        log = self.log
        slot = log.slot_of(at)
        base: i64 = at & ~log.offset_mask
        size: i64 = (i64(len(log.frames.words[slot])) - VIEW_WORDS) << 3
        if size <= 0:
            self.faults.append(f"memory: the page of address {at} has no frame")
            return 0
        end: i64 = log.frames.ends[slot]
        if end == 0 and log.tail_open and base < log.tail <= base + log.page_bytes:
            end = log.tail
        if base < end <= base + size and at <= end:
            return min(end, self.tail)
        self.faults.append(
            f"memory: the page of address {at} ends at {end}, its frame reaches from {base} to {base + size}"
        )
        return 0

    def note_starts(self, address: i64, end: i64) -> None:
        """Note that a record begins at `address`, 0 for none; there is room for what is noted up to `end`."""
        wanted: i64 = ((end - self.head) >> 8) + 1
        if len(self.starts) < wanted:
            self.starts = extend_zero(self.starts, wanted - len(self.starts))
        if address:
            word: i64 = (address - self.head) >> 8
            self.starts[word] = self.starts[word] | power_of_two(((address - self.head) >> 3) & 31)

    def noted(self, at: i64) -> bool:
        """Return whether a record in memory was noted to begin at an address at or behind head."""
        word: i64 = (at - self.head) >> 8
        return word < len(self.starts) and self.starts[word] & power_of_two(((at - self.head) >> 3) & 31) != 0

    def check_page(self, at: i64, end: i64) -> None:
        """Check header, bounds and seal of the records in [at, end) of a page in memory."""
        log = self.log
        frame = log.frames.words[log.slot_of(at)]
        while at < end:
            head = log.word_of(at)
            fault = "its header reaches beyond the end of its page"
            size: i64 = HEADER_BYTES
            if end - at >= size:
                fault = fault_at(log, at, frame[head], frame[head + 1], frame[head + 2])
                size = record_words(frame[head + 1], frame[head + 2]) << 3
                if not fault and size > end - at:
                    fault = f"its {size} bytes reach beyond the end of its page"
            kind = "sealed record" if at < log.sealed else "record"
            if fault:
                self.faults.append(f"memory: the {kind} at address {at} is corrupt: {fault}")
                self.lost.append((int(at), int(log.next_page(end))))
                return
            self.note_starts(at, end)
            if at < log.sealed:
                seal = frame[head + 2]
                stop = head + content_words(frame[head + 1])
                checksum = checksum_words(frame, head, seal & SEAL_CAPACITY, stop, at, log.checksum_key)
                if checksum != seal & CHECKSUM_MASK:
                    fault = "it does not match its checksum"
                    self.faults.append(f"memory: the {kind} at address {at} is corrupt: {fault}")
                    self.damaged.add(int(at))
            at += size

    def covers(self, at: i64) -> bool:
        """Return whether an address is in memory and was then; pages may have gone or come back since."""
        return at >= self.log.head and at >= self.head

    def state_of(self, at: i64) -> i64:
        """Return whether a record begins at an address of the log: SOUND, DAMAGED or NO_RECORD."""
        if self.damaged and int(at) in self.damaged:
            return DAMAGED
        if not self.covers(at) or at >= self.tail:
            return SOUND
        if at >= self.stop:
            return DAMAGED
        if self.noted(at):
            return SOUND
        for start, end in self.lost:
            if i64(start) <= at < i64(end):
                return DAMAGED
        return NO_RECORD

    def record_of_chain(self, at: i64) -> Record | None:
        """Return the record at an address that an entry or a record leads to; None where none begins there."""
        if at >= self.log.tail or self.state_of(at) != SOUND:
            return None
        return record_at(self.log, at)
