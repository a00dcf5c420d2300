"""When an image of the index is due: so that opening replays about a second of writes, and at the end of a store.

What counts is the newest image that an opening can begin with whatever stands behind it in the log. That of a snapshot
is none: its commit stands beside the log, and an opening uses it as long as the log has no other one behind it; from
then on it is one where the snapshot's part of the log was put in.
"""

import time
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.log.record import HEADER_BYTES
from oxidbm._core.table.table import Table

DUE_RECORDS: Final = 1_000_000  # about a second of replay
DUE_BYTES: Final = 268_435_456
CLOSE_RECORDS: Final = 2048  # are replayed in a millisecond
CLOSE_SHARE: Final = 32  # an entry's image costs as much as a thirty-second of a record's replay
SETTLED_LEAST: Final = 64
SETTLED_SHARE: Final = 512  # images of entries cost what settling one record does, which is two reads of the disk
ENTRY_BYTES: Final = 8
ENTRY_SECONDS: Final = 1.2e-6  # twenty times what an entry's image costs
HELD_LEAST: Final = 16_777_216


@final
class Schedule:
    """What was written since the last image, by which the next one is due."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.log = table.log
        self.records: i64 = 0  # appended when the last image was begun, or has failed
        self.records_imaged: i64 = 0  # as that, of the last image that is there
        self.settled: i64 = 0  # records that were pending and are not, as the two before
        self.settled_imaged: i64 = 0
        self.token = ""  # of its checkpoint, where it has one
        self.bytes_end: i64 = FIRST_ADDRESS  # the tail when the last image was begun
        self.begun = 0.0
        self.entries_begun: i64 = 0  # in the index then

    def recovered(self, token: str | None, records: i64, end: i64) -> None:
        """Know that so many records were replayed behind an image, or from the log's first on, where `end` was."""
        self.token = token or ""
        self.records = self.records_imaged = self.log.records - records
        self.settled = self.settled_imaged = self.table.pending.settled
        self.bytes_end = end

    def due(self, held: i64) -> bool:
        """Return whether the next cut is to begin one: a second of replay, or `held` bytes, which it would give back.

        Images take at most a twentieth of the time, however fast and how much is written: what the last one has cost
        counts, since what the next one will cost grows as fast as the time where keys are loaded.
        """
        entries = self.table.index.entries
        if time.monotonic() - self.begun < float(self.entries_begun) * ENTRY_SECONDS:
            return False
        size = self.log.tail - self.bytes_end
        if self.log.records - self.records >= DUE_RECORDS or size >= DUE_BYTES:
            return size >= entries * ENTRY_BYTES
        return held >= max(i64(HELD_LEAST), entries * ENTRY_BYTES)

    def pays_at_end(self) -> bool:
        """Return whether the next opening would do again so much that an image at the end costs less.

        What was settled is known to no commit that was made before, and is pending again without an image.
        """
        records = self.log.records - self.records_imaged
        settled = self.table.pending.settled - self.settled_imaged
        if settled >= SETTLED_LEAST and settled * SETTLED_SHARE >= self.table.index.entries:
            return True
        return records >= CLOSE_RECORDS and records * CLOSE_SHARE >= self.table.index.entries

    def begin(self) -> None:
        """Take note that an image of the log up to here is begun."""
        self.records = self.log.records
        self.settled = self.table.pending.settled
        self.bytes_end = self.log.tail
        self.begun = time.monotonic()
        self.entries_begun = self.table.index.entries

    def made(self, token: str) -> None:
        """Take note that the image that was begun is there."""
        self.records_imaged = self.records
        self.settled_imaged = self.settled
        self.token = token

    def gone(self, token: str) -> None:
        """Take note that a checkpoint was removed; without the last image the whole log is replayed.

        How many records that has is told by its size, and by that of those that live.
        """
        if token == self.token:
            self.token = ""
            entries = self.table.index.entries
            size = self.log.tail - self.log.begin
            records = max(entries, size // max(self.table.live_bytes // max(entries, i64(1)), i64(HEADER_BYTES)))
            self.records = self.records_imaged = self.log.records - records
            self.bytes_end = self.log.begin
