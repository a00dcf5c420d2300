"""The newest commit record of a log, found from the log's end, without a walk over what stands before it."""

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.device.device import Device
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, COMMIT_SHAPE
from oxidbm._core.durability.found_commit import FoundCommit, commit_in
from oxidbm._core.log.cursor import CHUNK_BYTES
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import read_or_nothing


def segments_of(device: Device) -> list[int]:
    """Return where the segments start."""
    found: list[int] = []
    start = device.begin()
    while start < device.end():
        found.append(int(start))
        following = device.segment_end(start)
        if following <= start:
            break
        start = following
    return found


def hole_before(device: Device, start: i64, at: i64) -> i64:
    """Return from where on, `start` at the earliest, up to an address all is a hole; the address where none is.

    O(log(the hole)) calls of the device.
    """
    size: i64 = CHUNK_BYTES
    while at > start:
        low = max(start, at - size)
        if device.data_from(low) < at:
            break
        at = low
        size *= 2
    return at


def newest_commit(log: HybridLog, stop: i64, begin: i64 = FIRST_ADDRESS) -> FoundCommit | None:
    """Return the last commit record between two addresses that verifies, None for none. O(the bytes behind it)."""
    device = log.device
    for first in reversed(segments_of(device)):
        start = max(i64(first), begin)
        at = min(device.segment_end(i64(first)), stop)
        if at <= begin:
            return None
        while True:
            at = hole_before(device, start, at)
            if at <= start:
                break
            low = max(start, at - CHUNK_BYTES)
            size: i64 = at - low + COMMIT_RECORD_BYTES - 8  # one that begins before `at` may end behind it
            chunk = read_or_nothing(log, low, size)
            offset: i64 = (min(i64(len(chunk)), size) - COMMIT_RECORD_BYTES) & -8
            while offset >= 0:
                if read_i64_le(chunk, offset + 8) == COMMIT_SHAPE:
                    found = commit_in(log, chunk, offset, low)
                    if found is not None:
                        return found
                offset -= 8
            at = low
            _breath.breathe()
    return None
