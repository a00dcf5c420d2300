"""Devices: where the sealed part of the log goes and comes back from.

A device holds one contiguous range of logical addresses, written in rising order, cut at either end. `write`, `read`
and `sync` may let other threads run. A device never retries and never hides a failure: the OSError goes to the caller,
who poisons the store. NullDevice keeps nothing, for stores that live in memory; FileDevice keeps segment files.
"""

import contextlib
import mmap
import os
from typing import final

from librt.vecs import append, vec
from mypy_extensions import i64, mypyc_attr

from oxidbm._core.address import power_of_two
from oxidbm._core.errors import CorruptionError

SEGMENT_BYTES_MIN = 16 << 20
SEGMENTS_AIM = 64
SEGMENT_DIGITS = 10
SUFFIX = ".seg"
OPEN_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@mypyc_attr(allow_interpreted_subclasses=True)
class Device:
    """The interface. Addresses and sizes are in bytes; `write` starts where the last write ended or at a later page."""

    def begin(self) -> i64:
        """Return the address of the first byte held."""
        raise NotImplementedError

    def end(self) -> i64:
        """Return the address behind the last byte held."""
        raise NotImplementedError

    def write(self, address: i64, data: memoryview) -> None:
        """Write `data` at `address`; it is durable after the next `sync`."""
        raise NotImplementedError

    def read(self, address: i64, size: i64) -> bytes:
        """Return up to `size` bytes from `address` on, fewer at the end of a segment."""
        raise NotImplementedError

    def sync(self) -> None:
        """Return when everything written so far is durable."""
        raise NotImplementedError

    def truncate_before(self, address: i64) -> None:
        """Give back the space of whole segments that end at or before `address`."""
        raise NotImplementedError

    def truncate_after(self, address: i64) -> None:
        """Forget what stands at `address` and behind it, durably."""
        raise NotImplementedError

    def roll(self) -> None:
        """Begin a new segment with the next write that starts a page."""
        raise NotImplementedError

    def segment_end(self, address: i64) -> i64:
        """Return the address where the segment that holds `address` ends."""
        raise NotImplementedError

    def place(self, address: i64) -> str:
        """Return file and offset of an address, for error messages."""
        raise NotImplementedError

    def size(self) -> i64:
        """Return the bytes held."""
        raise NotImplementedError

    def close(self) -> None:
        """Close every file; `read` still works on nothing afterwards."""
        raise NotImplementedError


class NullDevice(Device):
    """Keeps nothing: the log of a store without a path."""

    def __init__(self, begin: i64) -> None:
        self.begin_address: i64 = begin

    def begin(self) -> i64:
        """Return the address where the log begins."""
        return self.begin_address

    def end(self) -> i64:
        """Return the same: nothing is held."""
        return self.begin_address

    def write(self, address: i64, data: memoryview) -> None:
        """Drop the data."""

    def read(self, address: i64, size: i64) -> bytes:
        """Raise: what left memory is gone."""
        raise CorruptionError(f"address {address} was read from a store that lives in memory only")

    def sync(self) -> None:
        """Return at once."""

    def truncate_before(self, address: i64) -> None:
        """Do nothing."""
        self.begin_address = max(self.begin_address, address)

    def truncate_after(self, address: i64) -> None:
        """Do nothing."""

    def roll(self) -> None:
        """Do nothing."""

    def segment_end(self, address: i64) -> i64:
        """Return the address: there are no segments."""
        return address

    def place(self, address: i64) -> str:
        """Return the address in words."""
        return f"address {address} in memory"

    def size(self) -> i64:
        """Return 0."""
        return 0

    def close(self) -> None:
        """Do nothing."""


@final
class Segment:
    """One file of the log: the range [start, start + size)."""

    def __init__(self, path: str, start: i64, descriptor: int, size: i64) -> None:
        self.path = path
        self.start: i64 = start
        self.descriptor = descriptor
        self.size: i64 = size
        self.dirty = False
        self.map: mmap.mmap | None = None

    def mapping(self) -> mmap.mmap:
        """Return the file's map, made once, when the file is complete.

        Making one lets other threads run, which may have made it too by then; dropping one does as well, and compiled
        code lets go of an attribute's old value before it sets the new one, so a map that can be reached is never
        replaced.
        """
        view = self.map
        if view is None:
            fresh = mmap.mmap(self.descriptor, self.size, access=mmap.ACCESS_READ)
            view = self.held_map()
            if view is None:
                self.map = view = fresh
        return view

    def held_map(self) -> mmap.mmap | None:
        """Return the map, read anew: a second look in one function would be taken to be the first one's."""
        return self.map

    def unmap(self) -> None:
        """Drop the map."""
        old = self.map
        self.map = None
        if old is not None:
            old.close()

    def close(self) -> None:
        """Close file and mapping."""
        self.unmap()
        descriptor = self.descriptor
        self.descriptor = -1  # before other threads can run: the number may be another file's after it was closed once
        if descriptor >= 0:
            os.close(descriptor)


def segment_name(page: i64) -> str:
    """Return the file name of the segment whose first page is `page`."""
    return str(page).rjust(SEGMENT_DIGITS, "0") + SUFFIX


def sync_directory(path: str) -> None:
    """Make a directory's entries durable; where directories cannot be opened (Windows) the rename itself must do."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(descriptor: int) -> None:
    """Make a file's bytes and size durable; on macOS past the drive's cache too, which plain fsync is not."""
    try:
        import fcntl

        full = getattr(fcntl, "F_FULLFSYNC", None)
        if full is not None:
            fcntl.fcntl(descriptor, full)
            return
    except ImportError:
        pass
    getattr(os, "fdatasync", os.fsync)(descriptor)


def read_at(descriptor: int, size: i64, offset: i64) -> bytes:
    """Return up to `size` bytes at `offset`, fewer only at the end of the file."""
    parts: list[bytes] = []
    while size > 0:
        if hasattr(os, "pread"):
            part: bytes = os.pread(descriptor, size, offset)
        else:
            os.lseek(descriptor, offset, os.SEEK_SET)
            part = os.read(descriptor, size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def write_at(descriptor: int, data: memoryview, offset: i64) -> None:
    """Write all of `data` at `offset`."""
    done: i64 = 0
    size: i64 = len(data)
    while done < size:
        part = data[done : done + 0x40000000]
        if hasattr(os, "pwrite"):
            done += os.pwrite(descriptor, part, offset + done)
        else:
            os.lseek(descriptor, offset + done, os.SEEK_SET)
            done += os.write(descriptor, part)


@final
class FileDevice(Device):
    """Segment files in one directory, each named by its first page.

    A segment ends at the first page boundary past its aim, a sixty-fourth of the log and at least 16 MiB: so there are
    never more than some hundred files, and compaction gives space back in steps of less than two in a hundred.
    Complete segments are read through mmap, the last one, which still grows, with pread; `mapped=False` reads all with
    pread.
    """

    def __init__(
        self, path: str, page_bits: int, *, read_only: bool = False, mapped: bool = True, mode: int = 0o666
    ) -> None:
        self.path = path
        self.page_bits: i64 = page_bits
        self.read_only = read_only
        self.use_maps = mapped
        self.mode = mode
        self.segments: list[Segment] = []
        self.starts: vec[i64] = vec[i64]()
        self.directory_dirty = not read_only
        self.rolling = False
        try:
            self.open_segments()
        except BaseException:
            self.close()
            raise

    def open_segments(self) -> None:
        """Open every segment in the directory."""
        for name in sorted(name for name in os.listdir(self.path) if name.endswith(SUFFIX)):
            digits = name[: -len(SUFFIX)]
            if not digits.isdigit():
                raise CorruptionError(
                    f"{os.path.join(self.path, name)} is not named by a page number; it is no segment of this log"
                )
            self.open_segment(os.path.join(self.path, name), i64(int(digits)) << self.page_bits)

    def open_segment(self, path: str, start: i64) -> None:
        """Open an existing segment file and put it last."""
        descriptor = os.open(path, (os.O_RDONLY if self.read_only else os.O_RDWR) | OPEN_FLAGS)
        self.add_segment(Segment(path, start, descriptor, os.fstat(descriptor).st_size))

    def new_segment(self, start: i64) -> None:
        """Make a segment file and put it last.

        Between the two nothing is called that Ctrl-C could end: a file that is not in the list would make a gap.
        """
        path = os.path.join(self.path, segment_name(start >> self.page_bits))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | OPEN_FLAGS, self.mode)
        self.add_segment(Segment(path, start, descriptor, 0))
        self.directory_dirty = True

    def add_segment(self, segment: Segment) -> None:
        """Put a segment last."""
        segment.dirty = not self.read_only  # whoever wrote it may have died before its sync
        self.segments.append(segment)  # no call lets another thread run between this line and the next
        self.starts = append(self.starts, segment.start)

    def find(self, address: i64) -> i64:
        """Return the index of the segment that holds `address`, -1 for none. O(log segments)."""
        low: i64 = 0
        high: i64 = len(self.starts)
        while low < high:
            middle = (low + high) >> 1
            if self.starts[middle] <= address:
                low = middle + 1
            else:
                high = middle
        return low - 1

    def begin(self) -> i64:
        """Return the first segment's start, 0 when there is none."""
        return self.starts[0] if self.segments else 0

    def end(self) -> i64:
        """Return the end of the last file."""
        if not self.segments:
            return 0
        last = self.segments[-1]
        return last.start + last.size

    def write(self, address: i64, data: memoryview) -> None:
        """Write behind what is there, in a new segment where the last one has reached its aim at a page boundary."""
        page_mask: i64 = power_of_two(self.page_bits) - 1
        if not self.segments:
            self.new_segment(address & ~page_mask)
        last = self.segments[-1]
        aim: i64 = 1 if self.rolling else max(i64(SEGMENT_BYTES_MIN), self.size() // SEGMENTS_AIM)
        if address & page_mask == 0 and address - last.start >= aim:
            self.new_segment(address)
            self.rolling = False
            last = self.segments[-1]
        last.dirty = True
        write_at(last.descriptor, data, address - last.start)
        last.size = max(last.size, address - last.start + len(data))

    def read(self, address: i64, size: i64) -> bytes:
        """Return bytes of one segment; short where it ends."""
        i = self.find(address)
        if i < 0:
            return b""
        segment = self.segments[i]
        offset = address - segment.start
        stop = min(offset + size, segment.size)
        if offset >= stop:
            return b""
        if not self.use_maps or i == len(self.starts) - 1:
            return read_at(segment.descriptor, stop - offset, offset)
        data: bytes = segment.mapping()[offset:stop]
        return data

    def sync(self) -> None:
        """Sync every file written since the last time, and the directory when it has new files."""
        for segment in self.segments:
            if segment.dirty:
                segment.dirty = False  # before, since it may be written meanwhile
                try:
                    sync_file(segment.descriptor)
                except BaseException:
                    segment.dirty = True
                    raise
        if self.directory_dirty:
            self.directory_dirty = False
            try:
                sync_directory(self.path)
            except BaseException:
                self.directory_dirty = True
                raise

    def truncate_before(self, address: i64) -> None:
        """Delete whole segments that end at or before `address`; the last one always stays."""
        while len(self.segments) > 1 and self.segments[1].start <= address:
            segment = self.segments[0]
            segment.close()
            with contextlib.suppress(FileNotFoundError):  # an earlier call was interrupted here
                os.unlink(segment.path)
            self.segments = self.segments[1:]  # only now: one that is left behind must not have a gap after it
            self.starts = self.starts[1:]
            self.directory_dirty = True

    def truncate_after(self, address: i64) -> None:
        """Delete the segments from `address` on, cut the one that holds it, sync both."""
        changed = False
        while self.segments and self.segments[-1].start >= address:
            segment = self.segments.pop()
            self.starts = self.starts[: len(self.segments)]
            segment.close()
            os.unlink(segment.path)
            changed = True
        if self.segments:
            last = self.segments[-1]
            last.unmap()  # made when the segment was complete; now it grows again, also where nothing is cut off it
            if self.end() > address:
                os.ftruncate(last.descriptor, address - last.start)
                last.size = address - last.start
                sync_file(last.descriptor)
        if changed:
            sync_directory(self.path)

    def roll(self) -> None:
        """Begin a new segment with the next write that starts a page."""
        self.rolling = True

    def segment_end(self, address: i64) -> i64:
        """Return where the segment that holds `address` ends: the next one's start, or the end of the last file."""
        i = self.find(address) + 1
        return self.starts[i] if i < len(self.starts) else self.end()

    def place(self, address: i64) -> str:
        """Return "FILE at offset N"."""
        i = self.find(address)
        if i < 0:
            return f"{self.path} before its first segment (address {address})"
        return f"{self.segments[i].path} at offset {address - self.segments[i].start}"

    def size(self) -> i64:
        """Return the bytes of all files."""
        total: i64 = 0
        for segment in self.segments:
            total += segment.size
        return total

    def close(self) -> None:
        """Close every file and mapping."""
        for segment in self.segments:
            segment.close()
        self.segments = []
        self.starts = vec[i64]()
