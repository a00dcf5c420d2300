"""A copy of a part of the log, taken in slices while operations go on, for a file of its own.

Nothing in [start, stop) changes meanwhile: the log is frozen up to `stop`. Each record is copied sealed, and what is in
memory keeps that seal, though it may be updated in place again afterwards: whoever does that takes the checksum away.
So a checksum that stands behind `sealed` says that the record is as the last copy has it. A copy that builds on
an earlier one, which reached up to `known`, leaves such records out; what has been sealed meanwhile, and flushed
perhaps, has lost that sign, and is copied.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.hashing import checksum_words
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import CHECKSUM_MASK, SEAL_CAPACITY, content_words, record_words

PIECE_BYTES_MAX: Final = 1 << 20
COPY_BYTES: Final = 1 << 21  # takes about a millisecond


@final
class LogCopy:
    """Copies [start, stop) of a log but for what a copy up to `known` has. `pieces` is what `step` took last."""

    def __init__(self, log: HybridLog) -> None:
        self.log = log
        self.at: i64 = 0
        self.stop: i64 = 0
        self.known: i64 = 0
        self.base: i64 = 0  # of the page, or run of pages, where `at` was sealed up to `sealed`, with `following` next
        self.sealed: i64 = 0
        self.following: i64 = 0
        self.left: i64 = 0
        self.pieces: list[tuple[int, bytes]] = []

    def begin(self, start: i64, stop: i64, known: i64) -> None:
        """Begin; nothing but compiled code runs in here."""
        self.at = self.sealed = start
        self.stop = stop
        self.known = known

    def step(self) -> bool:
        """Copy some more; False behind the last piece."""
        self.pieces = []
        self.left = COPY_BYTES
        while self.left > 0 and self.at < self.stop:
            if self.at < self.log.head:
                self.copy_from_device()
            elif self.at < self.sealed:
                self.copy_sealed()
            else:
                self.seal_records()
        return self.at < self.stop or len(self.pieces) > 0

    def copy_from_device(self) -> None:
        """Copy what has left memory, record or not."""
        log = self.log
        at = self.at
        data = log.read(at, min(min(log.head, self.stop) - at, self.left, i64(PIECE_BYTES_MAX)))
        self.add(at, data)
        self.at = at + len(data) if data else min(log.next_page(at + 1), self.stop)

    def copy_sealed(self) -> None:
        """Copy from memory what was sealed for it."""
        log = self.log
        at = self.at
        size: i64 = min(self.sealed - at, self.left, i64(PIECE_BYTES_MAX))
        self.add(at, log.frames.copy_out(log.slot_of(self.base), at - self.base, size))
        self.at = self.following if at + size == self.sealed else at + size

    def add(self, address: i64, data: bytes) -> None:
        """Add a piece."""
        if data:
            self.pieces.append((int(address), data))
        self.left -= len(data)

    def seal_records(self) -> None:
        """Seal the next records of one page, those that stand side by side."""
        log = self.log
        slot = log.slot_of(self.at)
        end = log.records_end(self.at)
        stop: i64 = min(self.stop, end if end else log.tail)
        self.base = self.at & ~log.offset_mask
        start: i64 = self.pass_known(slot, stop)
        self.sealed = self.seal_some(slot, start, stop)
        self.following = min(log.next_page(end), self.stop) if self.sealed == end else self.sealed
        self.at = start if self.sealed > start else self.following

    def pass_known(self, slot: i64, stop: i64) -> i64:
        """Return where the first record stands that an earlier copy does not have."""
        log = self.log
        frame = log.frames.words[slot]
        at: i64 = self.at
        o: i64 = log.word_of(at)
        stop = min(stop, self.known)
        while at < stop and at >= log.sealed and frame[o + 2] & CHECKSUM_MASK != 0:
            size: i64 = record_words(frame[o + 1], frame[o + 2])
            at += size << 3
            o += size
            self.left -= 8
        return at

    def seal_some(self, slot: i64, at: i64, stop: i64) -> i64:
        """Seal the records from an address on that are to be copied, and return the address behind them."""
        log = self.log
        frame = log.frames.words[slot]
        head: i64 = log.word_of(at)
        enough: i64 = at + self.left
        while at < stop and at < enough:
            shape = frame[head + 1]
            seal = frame[head + 2]
            if at >= log.sealed:
                if at < self.known and seal & CHECKSUM_MASK != 0:
                    break
                seal &= SEAL_CAPACITY
                checksum = checksum_words(frame, head, seal, head + content_words(shape), at, log.checksum_key)
                frame[head + 2] = seal | checksum
            size: i64 = record_words(shape, seal)
            at += size << 3
            head += size
        return at
