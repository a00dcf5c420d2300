"""A snapshot's file: the part of the log that was in memory alone, as it was at one commit; a frame (see frame_file).

    header   magic, version, then of commit `sequence` that number, `commit`, where its record stands, `copied_from` and
             `copied_to`, between which the pieces lie, and `previous`, where the log's last commit record stood, 0 for
             none; then the commit record itself, which stands nowhere else
    buried   a count, then as many addresses: records before the first snapshot's `copied_to` that were deleted where
             they stood since the snapshot that this one builds on
    pieces   address and size, then as many bytes of the log, in rising order; 0 and 0 behind the last one
    size     how many bytes the pieces had

What lies between pieces is as the snapshot before has it, or, in a whole one, zeros at the end of a page.
"""

import struct
from typing import Final, final

from librt.vecs import extend, vec
from mypy_extensions import i64

from oxidbm._core.device.directory import Directory
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, CommitRecord, decode
from oxidbm._core.durability.frame_file import WORDS_MAX, FrameReader, FrameWriter
from oxidbm._core.errors import CorruptionError
from oxidbm._core.log.record import HEADER_BYTES
from oxidbm._core.log.snapshot import PIECE_BYTES_MAX, LogCopy

SNAPSHOT_MAGIC: Final = b"\x89oxisnp\n"
SNAPSHOT_VERSION: Final = 1
SNAPSHOT_HEADER: Final = struct.Struct("<8s6q")
NUMBER: Final = struct.Struct("<q")
PIECE: Final = struct.Struct("<2q")


@final
class SnapshotHeader:
    """What a snapshot says of itself."""

    def __init__(self, sequence: int, commit: int, copied_from: int, copied_to: int, previous: int) -> None:
        self.sequence = sequence
        self.commit = commit
        self.copied_from = copied_from
        self.copied_to = copied_to
        self.previous = previous
        self.record = b""

    def decoded(self) -> CommitRecord:
        """Return what the commit record says; ValueError where it is none."""
        return decode(self.record[HEADER_BYTES:])


@final
class SnapshotWriter:
    """Writes what a copy of the log takes."""

    def __init__(self, directory: Directory, name: str, mode: int, level: int) -> None:
        self.file = FrameWriter(directory, name, mode, level)
        self.copied = 0

    def write_header(self, header: SnapshotHeader, buried: vec[i64]) -> None:
        """Write what comes before the pieces."""
        start = SNAPSHOT_HEADER.pack(
            SNAPSHOT_MAGIC,
            SNAPSHOT_VERSION,
            header.sequence,
            header.commit,
            header.copied_from,
            header.copied_to,
            header.previous,
        )
        self.file.write(start + header.record + NUMBER.pack(len(buried)))
        if len(buried) > 0:
            self.file.write(memoryview(buried))

    def write_pieces(self, copy: LogCopy) -> None:
        """Write the pieces that were copied last."""
        for address, data in copy.pieces:
            self.file.write(PIECE.pack(address, len(data)))
            self.file.write(data)
            self.copied += len(data)

    def finish(self) -> None:
        """End the file and make it durable; its name is not, yet."""
        self.file.write(PIECE.pack(0, 0) + NUMBER.pack(self.copied))
        self.file.finish()


@final
class SnapshotReader:
    """Reads a snapshot's file; CorruptionError, with the file and what is wrong, for one that cannot be believed."""

    def __init__(self, directory: Directory, name: str, size: int, end: str) -> None:
        self.file = FrameReader(directory, name, size, end)
        self.header = SnapshotHeader(0, 0, 0, 0, 0)
        self.stop = 0  # of the last piece
        self.copied = 0

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def fault(self, why: str) -> CorruptionError:
        """Return the error for what stands at the offset that was read up to."""
        return self.file.fault(why)

    def read_header(self) -> SnapshotHeader:
        """Return what stands at the start."""
        values = SNAPSHOT_HEADER.unpack(self.file.take(SNAPSHOT_HEADER.size))
        if values[0] != SNAPSHOT_MAGIC or values[1] != SNAPSHOT_VERSION:
            raise self.fault("it does not begin as a snapshot does that this release knows")
        self.header = SnapshotHeader(values[2], values[3], values[4], values[5], values[6])
        self.header.record = self.file.take(COMMIT_RECORD_BYTES)
        self.stop = self.header.copied_from
        return self.header

    def read_buried(self, until: i64) -> vec[i64]:
        """Return where the records stood that were deleted, all of them before `until`."""
        (count,) = NUMBER.unpack(self.file.take(NUMBER.size))
        if not 0 <= count <= until // HEADER_BYTES:
            raise self.fault(f"it counts {count} deleted records in a log of {until} bytes")
        found = vec[i64]()
        left: i64 = count
        while left > 0:
            size: i64 = min(left, i64(WORDS_MAX))
            found = extend(found, self.file.words(size))
            left -= size
        for address in found:
            if not 0 < address < until:
                raise self.fault(f"it has address {address} as that of a deleted record of a log of {until} bytes")
        return found

    def read_piece(self) -> tuple[int, bytes] | None:
        """Return where the next piece stands, and its bytes; None behind the last one."""
        address, size = PIECE.unpack(self.file.take(PIECE.size))
        if size == 0:
            self.read_end()
            return None
        header = self.header
        if not 0 < size <= PIECE_BYTES_MAX or not self.stop <= address <= header.copied_to - size:
            raise self.fault(f"a piece of {size} bytes at {address}, behind {self.stop} and before {header.copied_to}")
        data = self.file.take(size)
        self.stop = address + size
        self.copied += size
        return address, data

    def read_end(self) -> None:
        """Check what stands behind the pieces."""
        (copied,) = NUMBER.unpack(self.file.take(NUMBER.size))
        if copied != self.copied:
            raise self.fault(f"its pieces have {self.copied} bytes, it says {copied}")
        if self.file.some(1):
            raise self.fault("something stands behind its end")
