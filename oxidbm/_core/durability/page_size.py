"""Which page size a log was written with, where its superblock says another one: the places of its records tell.

A superblock that does not fit its log makes what is sound look torn, and a torn tail is cut off. So before that is
done, and before a log is called corrupt, other sizes are tried. It takes a proof to believe one: a commit that follows
the last one that was found, with as many records before it as it says; or a segment whose first record verifies at the
address that the file's name then stands for. No torn tail holds such a proof, so none is taken for another log's.
"""

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm._core.address import PAGE_BITS_MAX, PAGE_BITS_MIN, power_of_two
from oxidbm._core.durability.commit_record import COMMIT_SHAPE, decode
from oxidbm._core.durability.replay import Replay
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import fault_at, log_to_read, read_disk, read_or_nothing
from oxidbm._core.log.record import CHECKSUM_MASK, HEADER_BYTES, SEAL_CAPACITY, content_words, previous_address


def check_page_size(log: HybridLog, replay: Replay) -> None:
    """Raise CorruptionError, with both sizes, where a replay ended early since the log has pages of another size."""
    if replay.fault is None:
        return
    bits: i64 = PAGE_BITS_MIN
    while bits <= PAGE_BITS_MAX:
        if bits != log.page_bits and is_written_with(log, replay, bits):
            raise CorruptionError(
                f"{log.life.path}: the superblock says pages of {log.page_bytes} bytes, but the log was written with "
                f"pages of {power_of_two(bits)}. Restore the file STORE from a copy"
            )
        bits += 1


def is_written_with(log: HybridLog, replay: Replay, bits: i64) -> bool:
    """Return whether the log has pages of 2**bits bytes, for all that can be told where the replay ended."""
    start = log.device.begin()
    if start < log.page_bytes:  # page 0, which is at address 0 whatever the size
        start = log.device.segment_end(start)
    if is_named_for(log, bits, start):
        return True
    trial = log_to_read(log.device, log.life.path, bits, log.checksum_key, log.begin)
    return goes_on(log, trial, replay.cursor.following) and commit_follows(trial, replay)


def is_named_for(log: HybridLog, bits: i64, start: i64) -> bool:
    """Return whether the first record of a segment, of some page behind the first one, stands where it should."""
    address: i64 = (start >> log.page_bits) << bits
    data = read_or_nothing(log, start, HEADER_BYTES)
    if len(data) < HEADER_BYTES:
        return False
    size: i64 = content_words(read_i64_le(data, 8)) << 3
    seal = read_i64_le(data, 16)
    data = read_or_nothing(log, start, size)
    if len(data) < size:
        return False
    return checksum_bytes(data, 0, seal & SEAL_CAPACITY, size, address, log.checksum_key) == seal & CHECKSUM_MASK


def goes_on(log: HybridLog, trial: HybridLog, address: i64) -> bool:
    """Return whether the replay ended at a sound record that pages of the log's own size cannot have there."""
    data = read_or_nothing(log, address, HEADER_BYTES)
    if len(data) < HEADER_BYTES:
        return False
    info = read_i64_le(data, 0)
    if info == 0:
        address = trial.next_page(address + 1)
    elif not fault_at(log, address, info, read_i64_le(data, 8), read_i64_le(data, 16)):
        return False
    try:
        read_disk(trial, address)
    except CorruptionError:
        return False
    return True


def commit_follows(trial: HybridLog, replay: Replay) -> bool:
    """Return whether the commit behind the last one that the replay found counts, read in pages of the trial's size."""
    records: i64 = 0
    cursor = Cursor(trial, replay.last_end, trial.device.end())
    try:
        while cursor.step():
            if cursor.shape == COMMIT_SHAPE:
                said = decode(cursor.value()).log
                sequence: i64 = 0 if replay.last is None else replay.last.log.sequence
                follows: bool = previous_address(cursor.info) == replay.last_address
                return follows and said.sequence > sequence and said.records == records
            records += 1
    except (CorruptionError, ValueError):
        return False
    return False
