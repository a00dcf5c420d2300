"""Compressed files of a checkpoint: one zstandard frame with a content checksum, written and read as a stream.

A file's last bytes are those of the checksum; its checkpoint says which they are, so that a file of another checkpoint,
put in its place, is found out. Whatever a file says is checked before it is believed or allocated for.
"""

import os
from typing import Any, Final, final

from mypy_extensions import i64

from oxidbm._core.device.directory import Directory
from oxidbm._core.device.system import sync_file, write_at
from oxidbm._core.durability.compression import compressing, decompressing, zstandard
from oxidbm._core.errors import CorruptionError, alone

SUM_BYTES: Final = 4
RAW_BYTES: Final = 1 << 22  # are compressed at once
NO_MEMORY: Final = "Allocation error"  # in what the library says, whose errors have no numbers
WORDS_MAX: Final = 32768  # are read at once


@final
class FrameWriter:
    """Writes a new file. Other threads run in compressing, writing and syncing."""

    def __init__(self, directory: Directory, name: str, mode: int, level: int) -> None:
        self.raw_bytes: i64 = 0
        self.bytes: i64 = 0
        self.sum = b""
        self.raw: list[bytes] = []  # waits to be compressed
        self.raw_waiting: i64 = 0
        self.place = directory.place(name)
        self.failure: Any = zstandard().ZstdError
        self.frame: Any = compressing(level)
        self.descriptor = directory.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)

    def write(self, data: Any) -> None:
        """Compress and write, much at a time: each call lets other threads run, and has to wait for its turn."""
        copied = bytes(data)
        self.raw_bytes += len(copied)
        self.raw.append(copied)
        self.raw_waiting += len(copied)
        if self.raw_waiting >= RAW_BYTES:
            self.compress()

    def compress(self) -> None:
        """Compress what waits for it, and write what comes of that."""
        data = b"".join(self.raw)
        self.raw = []
        self.raw_waiting = 0
        self.put_all(self.frame.compress(data))

    def put_all(self, chunks: Any) -> None:
        """Write what the compressor yields; MemoryError where it has too little of that, which is all it lacks."""
        try:
            for chunk in chunks:
                self.put(chunk)
        except self.failure as failure:
            raise alone(MemoryError(f"{self.place}: {failure}")) from None

    def put(self, chunk: bytes) -> None:
        """Write compressed bytes."""
        write_at(self.descriptor, memoryview(chunk), self.bytes)
        self.bytes += len(chunk)
        self.sum = (self.sum + chunk[-SUM_BYTES:])[-SUM_BYTES:]

    def finish(self) -> None:
        """End the file and make it durable; its name is not, yet."""
        self.compress()
        self.put_all(self.frame.finish())
        sync_file(self.descriptor)
        self.close()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        descriptor = self.descriptor
        self.descriptor = -1
        if descriptor >= 0:
            os.close(descriptor)


@final
class FrameReader:
    """Reads a file; CorruptionError, with the file and what is wrong, for one that cannot be believed."""

    def __init__(self, directory: Directory, name: str, size: int, end: str) -> None:
        self.place = directory.place(name)
        self.offset = 0
        self.buffer = memoryview(b"")
        self.failure: Any = zstandard().ZstdError
        descriptor = directory.open(name, os.O_RDONLY)
        self.file = os.fdopen(descriptor, "rb", buffering=0)
        found = os.fstat(descriptor).st_size
        if found != size:
            self.file.close()
            raise CorruptionError(f"{self.place} has {found} bytes, its checkpoint says {size}")
        self.file.seek(max(size - SUM_BYTES, 0))
        last: bytes = self.file.read(SUM_BYTES)
        if last.hex() != end:
            self.file.close()
            raise CorruptionError(f"{self.place} has the checksum {last.hex()}, its checkpoint says {end}")
        self.file.seek(0)
        self.stream: Any = decompressing(self.file)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def fault(self, why: str) -> CorruptionError:
        """Return the error for what stands at the offset that was read up to."""
        return CorruptionError(f"{self.place}: at offset {self.offset} of its content: {why}")

    def failed(self, failure: BaseException) -> BaseException:
        """Return the error for a library that cannot go on: a shortage of memory is no damage, and over when it is."""
        if NO_MEMORY in str(failure):
            return MemoryError(f"{self.place}: {failure}")
        return self.fault(str(failure))

    def some(self, size: i64) -> bytes:
        """Return up to `size` bytes, none only at the end."""
        try:
            data: bytes = self.stream.read(int(size))
        except self.failure as failure:
            raise alone(self.failed(failure)) from None
        self.offset += len(data)
        return data

    def take(self, size: i64) -> bytes:
        """Return so many bytes."""
        data = self.some(size)
        if len(data) == size:
            return data
        parts = [data]
        left = size - len(data)
        while left > 0:
            data = self.some(left)
            if not data:
                raise self.fault(f"it ends {left} bytes early")
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def words(self, count: i64) -> memoryview:
        """Return up to WORDS_MAX words, which the next call overwrites: memory that is new costs more to touch."""
        if len(self.buffer) == 0:
            self.buffer = memoryview(bytearray(WORDS_MAX * 8))
        data = self.buffer[: count << 3]
        at = 0
        while at < len(data):
            try:
                size: int = self.stream.readinto(data[at:])
            except self.failure as failure:
                raise alone(self.failed(failure)) from None
            if size == 0:
                raise self.fault(f"it ends {len(data) - at} bytes early")
            at += size
            self.offset += size
        return data.cast("q")
