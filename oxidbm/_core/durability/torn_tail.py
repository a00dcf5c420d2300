"""Telling a torn tail from a log that was damaged, by what later commit records knew to be durable.

A tail that a crash tore was never known to be durable; where a commit record behind it says otherwise, what is missing
was lost afterwards.
"""

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, COMMIT_SHAPE
from oxidbm._core.durability.found_commit import commit_in
from oxidbm._core.log.cursor import CHUNK_BYTES
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import read_or_nothing


def later_durable_commit(log: HybridLog, start: i64, sequence: i64) -> i64:
    """Return where, behind `start`, a commit record knew a commit after `sequence` to be durable; 0 for nowhere.

    A record's checksum covers its own address, so commit records can be found without knowing where records begin. All
    have one shape and size: each byte is read once, whatever stands there, but for the last words of a chunk, and what
    looks like a header costs at most one checksum of so few bytes.
    """
    device = log.device
    address: i64 = start
    end = device.end()
    while address < end:
        address = device.data_from(address)
        chunk = read_or_nothing(log, address, CHUNK_BYTES)
        size: i64 = len(chunk)
        offset: i64 = 0
        while offset + COMMIT_RECORD_BYTES <= size:
            if read_i64_le(chunk, offset + 8) == COMMIT_SHAPE and knew_durable(log, chunk, offset, address) > sequence:
                return address + offset
            offset += 8
        if size < CHUNK_BYTES:  # the end of a segment: the next one starts at a page
            address = log.next_page(max(address + size, address + 1))
        else:
            address += offset
        _breath.breathe()
    return 0


def knew_durable(log: HybridLog, chunk: bytes, offset: i64, chunk_start: i64) -> i64:
    """Return which commit the commit record at an offset of a chunk knew to be durable; 0 where there is none."""
    found = commit_in(log, chunk, offset, chunk_start)
    return 0 if found is None else found.record.log.durable_sequence
