"""A commit record that was found in a log, by its address or by its checksum."""

from typing import final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK
from oxidbm._core.durability.commit_record import (
    COMMIT_RECORD_BYTES,
    COMMIT_SHAPE,
    COMMIT_WORDS,
    CommitRecord,
    decode,
)
from oxidbm._core.errors import CorruptionError, alone
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import record_at, value_of
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    HEADER_BYTES,
    INFO_VERSION,
    SEAL_CAPACITY,
    capacity_words,
    previous_address,
)


@final
class FoundCommit:
    """A commit record, where it stands, and where the one before it does."""

    def __init__(self, address: i64, previous: i64, record: CommitRecord) -> None:
        self.address: i64 = address
        self.previous: i64 = previous
        self.record = record

    def end(self) -> i64:
        """Return the address behind it, where the log of that commit ends."""
        return self.address + COMMIT_RECORD_BYTES


def commit_at(log: HybridLog, address: i64) -> FoundCommit:
    """Return the commit record at an address; CorruptionError where none stands there."""
    found = record_at(log, address)
    data = value_of(log, found) if found.shape == COMMIT_SHAPE else b""
    try:
        return FoundCommit(address, previous_address(found.info), decode(data))
    except ValueError as failure:
        raise alone(
            CorruptionError(
                f"{log.device.place(address)}: a commit record should stand at address {address}, and none does: "
                f"{failure}"
            )
        ) from None


def commit_in(log: HybridLog, chunk: bytes, offset: i64, chunk_start: i64) -> FoundCommit | None:
    """Return the commit record at an offset of a chunk, whose shape is that of one, as its checksum says; else None."""
    address = chunk_start + offset
    info = read_i64_le(chunk, offset)
    seal = read_i64_le(chunk, offset + 16)
    if info & ~ADDRESS_MASK != INFO_VERSION or capacity_words(seal) != COMMIT_WORDS:
        return None
    end = offset + COMMIT_RECORD_BYTES
    if checksum_bytes(chunk, offset, seal & SEAL_CAPACITY, end, address, log.checksum_key) != seal & CHECKSUM_MASK:
        return None
    try:
        return FoundCommit(address, previous_address(info), decode(chunk[offset + HEADER_BYTES : end]))
    except ValueError:
        return None
