"""Telling a torn tail from a log that was damaged, by what later commit records knew to be durable.

A tail that a crash tore was never known to be durable; where a commit record behind it says otherwise, what is missing
was lost afterwards.
"""

from typing import final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, COMMIT_SHAPE
from oxidbm._core.durability.found_commit import commit_in
from oxidbm._core.log.cursor import CHUNK_BYTES
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import read_or_nothing


@final
class CommitHeaders:
    """Steps over all that looks like a commit record behind an address, without knowing where records begin.

    All have one shape and size: each byte is read once, whatever stands there, but for the last words of a chunk.
    """

    def __init__(self, log: HybridLog, start: i64) -> None:
        self.log = log
        self.chunk = b""
        self.chunk_start: i64 = start
        self.offset: i64 = 0  # in the chunk, of the next word to look at
        self.at: i64 = 0  # and of the current one
        self.address: i64 = 0
        self.data = b""  # the current one's bytes

    def step(self) -> bool:
        """Move to the next one; False at the end."""
        end = self.log.device.end()
        while True:
            chunk = self.chunk
            offset = self.offset
            last: i64 = i64(len(chunk)) - COMMIT_RECORD_BYTES
            while offset <= last:
                if read_i64_le(chunk, offset + 8) == COMMIT_SHAPE:
                    self.at = offset
                    self.address = self.chunk_start + offset
                    self.data = chunk[offset : offset + COMMIT_RECORD_BYTES]
                    self.offset = offset + 8
                    return True
                offset += 8
            following = self.chunk_start + offset
            size: i64 = len(chunk)
            if chunk and size < CHUNK_BYTES:  # the end of a segment: the next one starts at a page
                following = self.log.next_page(max(self.chunk_start + size, self.chunk_start + 1))
            if following >= end:
                return False
            following = self.log.device.data_from(following)
            self.chunk = read_or_nothing(self.log, following, CHUNK_BYTES)
            if not self.chunk:
                self.chunk = b"\0"  # so that it goes on with the next page
            self.chunk_start = following
            self.offset = 0
            _breath.breathe()


def later_durable_commit(log: HybridLog, start: i64, sequence: i64) -> i64:
    """Return where, behind `start`, a commit record knew a commit after `sequence` to be durable; 0 for nowhere.

    A record's checksum covers its own address, so commit records can be found without knowing where records begin. What
    looks like a header costs at most one checksum of so few bytes.
    """
    headers = CommitHeaders(log, start)
    while headers.step():
        found = commit_in(log, headers.chunk, headers.at, headers.chunk_start)
        if found is not None and found.record.log.durable_sequence > sequence:
            return headers.address
    return 0
