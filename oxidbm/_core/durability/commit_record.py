"""A commit record's value: what it says and its bytes, in parts by whose they are.

Nine words, then for each named session its serial number, its name's length and its padded name. The parts stand
interleaved, as docs/format.md states:

    log      sequence, durable_sequence, begin, records, time_ns
    table    count, pending, live_bytes
    serials  the number of sessions and, behind the nine words, each one
"""

from typing import Final, final

from librt.strings import BytesWriter, read_i64_le, write_i64_le
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX

COMMIT_WORDS: Final = 9
COMMIT_BYTES: Final = COMMIT_WORDS * 8
SERIAL_WORDS: Final = 2


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
        self.serials: dict[str, int] = {}


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
    write_i64_le(out, i64(len(record.serials)))
    for name, serial in record.serials.items():
        encoded = name.encode()
        write_i64_le(out, i64(serial))
        write_i64_le(out, i64(len(encoded)))
        out.write(encoded + bytes(-len(encoded) % 8))
    return out.getvalue()


def decode(data: bytes) -> CommitRecord:
    """Return what a commit record's value says; ValueError where it is not one."""
    if len(data) < COMMIT_BYTES:
        raise ValueError(f"a commit record of {len(data)} bytes, at least {COMMIT_BYTES} are needed")
    record = CommitRecord()
    record.log.sequence = read_i64_le(data, 0)
    record.log.durable_sequence = read_i64_le(data, 8)
    record.log.begin = read_i64_le(data, 16)
    record.table.count = read_i64_le(data, 24)
    record.table.pending = read_i64_le(data, 32)
    record.log.records = read_i64_le(data, 40)
    record.table.live_bytes = read_i64_le(data, 48)
    record.log.time_ns = read_i64_le(data, 56)
    check_words(record)
    record.serials = read_serials(data)
    return record


def read_serials(data: bytes) -> dict[str, int]:
    """Return the sessions' serial numbers in a commit record's value; ValueError where they cannot be read."""
    serials: dict[str, int] = {}
    left = read_i64_le(data, 64)
    head: i64 = SERIAL_WORDS * 8
    at: i64 = COMMIT_BYTES
    size: i64 = len(data)
    if left < 0 or left > (size - at) // head:
        raise ValueError(f"a commit record of {size} bytes that counts {left} sessions")
    while left > 0:
        if at + head > size:
            raise ValueError(f"a commit record of {size} bytes that ends inside a session's words")
        serial = read_i64_le(data, at)
        length = read_i64_le(data, at + 8)
        at += head
        if serial < 0 or length < 0 or length > size - at:
            raise ValueError(f"a commit record with a session of serial {serial} whose name has {length} bytes")
        serials[data[at : at + length].decode()] = serial
        at += (length + 7) & -8
        left -= 1
    return serials


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
    settled: bool = table.pending == 0  # what is pending may have been deleted, and was not counted before that
    if log.records < 0 or (settled and table.live_bytes < 0) or table.live_bytes > ADDRESS_MAX:
        raise ValueError(f"a commit record that counts {log.records} records and {table.live_bytes} live bytes")
