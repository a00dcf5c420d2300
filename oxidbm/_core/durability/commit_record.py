"""A commit record's value: what it says and its bytes, in parts by whose they are.

Nine words, so that all commit records have the same shape and size. The parts stand interleaved, as docs/format.md
states:

    log       sequence, durable_sequence, begin, records, time_ns
    table     count, pending, live_bytes
    sessions  the number of sessions that session records state; a lost one would begin anew without a word
"""

from typing import Final, final

from librt.strings import BytesWriter, read_i64_le, write_i64_le
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.log.record import CAPACITY_SHIFT, HEADER_BYTES, SHAPE_COMMIT, pack_info

COMMIT_WORDS: Final = 9
COMMIT_BYTES: Final = COMMIT_WORDS * 8
COUNT_OFFSET: Final = 24  # of what it counts, in its value
COMMIT_SHAPE: Final = SHAPE_COMMIT | COMMIT_BYTES
COMMIT_RECORD_BYTES: Final = HEADER_BYTES + COMMIT_BYTES


@final
class LogPart:
    """What a commit says of the log.

    Its own number, the last one known durable, where the log begins, how many records stand since the commit before,
    and when it was made.
    """

    def __init__(self) -> None:
        self.sequence: i64 = 0
        self.durable_sequence: i64 = 0
        self.begin: i64 = 0
        self.records: i64 = 0
        self.time_ns: i64 = 0


@final
class TablePart:
    """What a commit says of the table: its keys, those records whose effect on that is not known, and live bytes."""

    def __init__(self) -> None:
        self.count: i64 = 0
        self.pending: i64 = 0
        self.live_bytes: i64 = 0


@final
class CommitRecord:
    """What a commit record says."""

    def __init__(self) -> None:
        self.log = LogPart()
        self.table = TablePart()
        self.sessions: i64 = 0


def encode(record: CommitRecord) -> bytes:
    """Return a commit record's value."""
    out = BytesWriter()
    write_i64_le(out, record.log.sequence)
    write_i64_le(out, record.log.durable_sequence)
    write_i64_le(out, record.log.begin)
    write_i64_le(out, record.table.count)
    write_i64_le(out, record.table.pending)
    write_i64_le(out, record.log.records)
    write_i64_le(out, record.table.live_bytes)
    write_i64_le(out, record.log.time_ns)
    write_i64_le(out, record.sessions)
    return out.getvalue()


def sealed_record(record: CommitRecord, address: i64, previous: i64, key: i64) -> bytes:
    """Return the bytes of a whole commit record that stands at an address, behind the one at `previous`."""
    value = encode(record)
    seal: i64 = COMMIT_WORDS << CAPACITY_SHIFT
    data = header_bytes(previous, seal) + value
    checksum = checksum_bytes(data, 0, seal, COMMIT_RECORD_BYTES, address, key)
    return header_bytes(previous, seal | checksum) + value


def header_bytes(previous: i64, seal: i64) -> bytes:
    """Return the header of a commit record behind the one at `previous`."""
    out = BytesWriter()
    write_i64_le(out, pack_info(previous, False, False))
    write_i64_le(out, COMMIT_SHAPE)
    write_i64_le(out, seal)
    return out.getvalue()


def decode(data: bytes) -> CommitRecord:
    """Return what a commit record's value says; ValueError where it is not one."""
    if len(data) != COMMIT_BYTES:
        raise ValueError(f"a commit record of {len(data)} bytes, {COMMIT_BYTES} are needed")
    record = CommitRecord()
    record.log.sequence = read_i64_le(data, 0)
    record.log.durable_sequence = read_i64_le(data, 8)
    record.log.begin = read_i64_le(data, 16)
    record.table.count = read_i64_le(data, COUNT_OFFSET)
    record.table.pending = read_i64_le(data, 32)
    record.log.records = read_i64_le(data, 40)
    record.table.live_bytes = read_i64_le(data, 48)
    record.log.time_ns = read_i64_le(data, 56)
    record.sessions = read_i64_le(data, 64)
    check_words(record)
    return record


def check_words(record: CommitRecord) -> None:
    """Raise ValueError where a word of a commit record says what cannot be."""
    log = record.log
    table = record.table
    if not 1 <= log.sequence < ADDRESS_MAX or not 0 <= log.durable_sequence < log.sequence:
        raise ValueError(f"a commit record of sequence {log.sequence} that knew {log.durable_sequence} to be durable")
    if not 0 <= log.begin <= ADDRESS_MAX:
        raise ValueError(f"a commit record that says the log begins at address {log.begin}")
    if not 0 <= table.pending <= ADDRESS_MAX or not -table.pending <= table.count <= ADDRESS_MAX:
        raise ValueError(f"a commit record that counts {table.count} keys and {table.pending} pending records")
    if log.records < 0 or table.live_bytes > ADDRESS_MAX:  # the latter may be negative, where some is pending
        raise ValueError(f"a commit record that counts {log.records} records and {table.live_bytes} live bytes")
    if not 0 <= record.sessions <= ADDRESS_MAX:
        raise ValueError(f"a commit record that counts {record.sessions} sessions")
