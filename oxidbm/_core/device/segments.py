"""Segment files: the device of a store on disk.

FileDevice keeps the log in files of one directory, each named by its first page. A segment ends at the first page
boundary past its aim, a sixty-fourth of the log and at least 16 MiB: so there are never more than some hundred files,
and compaction gives space back in steps of less than two in a hundred.

A map is the fast way to a small record whose page is in memory (see residence.py), but where the system cannot bring a
page, since the file was cut or its disk failed, a map is a signal that ends the process, and pread an error or fewer
bytes. So only the one writer, whose files nobody else may cut, maps, and only complete segments; the last one, large
pieces, and all of a store that is opened to read only are read with pread, as everything is with `mapped=False`.

A sync of a file that has become longer has to make its new length durable too, through the file system's journal. So a
file that is written between syncs is made longer ahead of what is written, a step at a time: by a hole, which takes no
space and reads as zeros. Such a surplus stands behind the last file's data only. `finish` cuts it off, and a crash
leaves it there: who opens the files leaves zeros at their end out, or a reader beside a writer would have no end to go
by. A commit record may end with zero words, so as many bytes are kept as one takes.
"""

import contextlib
import errno
import os
from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX, power_of_two
from oxidbm._core.device.device import Device
from oxidbm._core.device.directory import ASIDE_SUFFIX, SEGMENT_SUFFIX, Directory
from oxidbm._core.device.residence import Residence
from oxidbm._core.device.segment import SURPLUS_BYTES, Segment
from oxidbm._core.device.system import (
    file_size,
    hole_end,
    is_named,
    nonzero_end,
    read_at,
    sync_file,
    with_advice,
    write_at,
)
from oxidbm._core.errors import CorruptionError, alone

SEGMENT_BYTES_MIN: Final = 16 << 20
SEGMENTS_AIM: Final = 64
SEGMENT_DIGITS: Final = 10
COMMIT_BYTES: Final = 96  # of a commit record
COPY_BYTES: Final = 1 << 20
MAPPED_READ_MAX: Final = 65536  # a larger piece costs a map more, in page faults, than pread's one call


def segment_name(page: i64) -> str:
    """Return the file name of the segment whose first page is `page`."""
    return str(page).rjust(SEGMENT_DIGITS, "0") + SEGMENT_SUFFIX


def start_of(named: tuple[str, i64]) -> i64:
    """Return where a segment starts that was found by its name."""
    return named[1]


@final
class FileDevice(Device):
    """The log's files in one directory, which it owns and closes."""

    def __init__(
        self,
        directory: Directory,
        page_bits: int,
        *,
        read_only: bool = False,
        mapped: bool | None = None,
        mode: int = 0o666,
    ) -> None:
        self.directory = directory
        self.page_bits: i64 = page_bits
        self.read_only = read_only
        self.use_maps = mapped is not False and not read_only
        self.mode = mode
        self.segments: list[Segment] = []
        self.starts: vec[i64] = vec[i64]()
        self.directory_dirty = not read_only
        self.rolling = False
        self.lengthens = True
        self.residence = Residence(mapped is True)
        self.pass_bytes: i64 = -1  # what a pass over more brings into memory goes again; -1 for what the system has
        try:
            self.open_segments()
        except BaseException:
            self.close()
            raise

    def open_segments(self) -> None:
        """Open every segment in the directory."""
        named = self.named_segments()
        for name, start in named:
            try:
                self.open_segment(name, start)
            except OSError as failure:
                raise alone(with_advice(failure, len(named))) from None
        self.end_with_the_next(0)
        if self.segments:
            last = self.segments[-1]
            end = nonzero_end(last.descriptor, last.size, COMMIT_BYTES, SURPLUS_BYTES)
            last.size = min(last.size, ((end + 7) & -8) + COMMIT_BYTES)

    def named_segments(self) -> list[tuple[str, i64]]:
        """Return the names of all segments in the directory and where they start, in order."""
        found: list[tuple[str, i64]] = []
        for name in self.directory.names():
            if not name.endswith(SEGMENT_SUFFIX):
                continue
            digits = name[: -len(SEGMENT_SUFFIX)]
            if not (digits.isascii() and digits.isdigit() and int(digits) <= ADDRESS_MAX >> int(self.page_bits)):
                raise CorruptionError(
                    f"{self.directory.place(name)} is not named by a page number; it is no segment of this log"
                )
            found.append((name, i64(int(digits)) << self.page_bits))
        found.sort(key=start_of)
        return found

    def end_with_the_next(self, place: i64) -> None:
        """Let each segment from a place on end where the next one begins: a crash may have left a surplus there."""
        while place + 1 < len(self.starts):
            segment = self.segments[place]
            segment.size = min(segment.size, self.starts[place + 1] - segment.start)
            place += 1

    def open_segment(self, name: str, start: i64) -> None:
        """Open an existing segment file and put it last."""
        flags = os.O_RDONLY if self.read_only else os.O_RDWR
        segment = Segment(name, start, self.directory.open(name, flags), 0)
        segment.size = segment.length = os.fstat(segment.descriptor).st_size
        self.add_segment(segment)

    def new_segment(self, start: i64) -> None:
        """Make a segment file and put it last.

        Between the two nothing is called that Ctrl-C could end: a file that is not in the list would make a gap.
        """
        self.finish()
        name = segment_name(start >> self.page_bits)
        descriptor = self.directory.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, self.mode)
        self.add_segment(Segment(name, start, descriptor, 0))
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
        stop: i64 = address - last.start + len(data)
        if stop > last.length and last.synced and self.lengthens:
            self.lengthens = last.lengthen(stop)
        write_at(last.descriptor, data, address - last.start)
        last.size = max(last.size, stop)

    def read(self, address: i64, size: i64) -> bytes:
        """Return bytes of one segment, short where it ends; CorruptionError where its file was cut before `address`."""
        i = self.find(address)
        if i < 0:
            return b""
        segment = self.segments[i]
        offset = address - segment.start
        stop = min(offset + size, segment.size)
        if offset >= stop:
            return b""
        if size <= MAPPED_READ_MAX:
            maps = self.use_maps and i != len(self.starts) - 1
            view = segment.mapping() if maps and self.residence.may_map() else None
            if view is not None:
                mapped: bytes = view[offset:stop]
                return mapped
            data = self.residence.read(segment.descriptor, stop - offset, offset)
        else:
            data = read_at(segment.descriptor, stop - offset, offset)
        if not data:
            raise CorruptionError(
                f"{self.place(address)}: the file has no more than that of the {segment.size} bytes it had; something "
                "has cut it since the store was opened"
            )
        return data

    def will_read(self, address: i64, size: i64) -> bool:
        """Have the system begin to bring bytes from the disk; False while it has what is read in memory."""
        i = self.find(address)
        if i < 0:
            return False
        segment = self.segments[i]
        return self.residence.bring(segment.descriptor, size, address - segment.start)

    def data_from(self, address: i64) -> i64:
        """Return where data goes on behind a hole of the file, from the page that holds it on, or `address`."""
        i = self.find(address)
        if i < 0:
            return address
        segment = self.segments[i]
        offset = hole_end(segment.descriptor, address - segment.start, segment.size)
        if offset >= segment.size:
            return max(address, self.segment_end(address))
        return max(address, (segment.start + offset) & -power_of_two(self.page_bits))

    def sync(self) -> None:
        """Sync every file written since the last time, and the directory when it has new files."""
        self.sync_from(0)

    def sync_from(self, address: i64) -> None:
        """As `sync`, of the files that hold something from an address on; the others are synced the next time."""
        for segment in self.segments:
            if segment.dirty and self.segment_end(segment.start) >= address:
                segment.dirty = False  # before, since it may be written meanwhile
                segment.synced = True
                try:
                    self.check_in_place(segment)
                    sync_file(segment.descriptor)
                except BaseException:
                    segment.dirty = True
                    raise
        if self.directory_dirty:
            self.directory_dirty = False
            try:
                self.directory.sync()
            except BaseException:
                self.directory_dirty = True
                raise

    def check_in_place(self, segment: Segment) -> None:
        """Raise FileNotFoundError for a file whose name is gone or another's: what is written there, nobody finds."""
        if is_named(segment.descriptor, segment.name):
            return
        status = os.fstat(segment.descriptor)
        named = self.directory.status(segment.name)
        if named is None or (named.st_dev, named.st_ino) != (status.st_dev, status.st_ino):
            raise FileNotFoundError(
                errno.ENOENT,
                "the file was deleted, moved or replaced while it was open",
                self.directory.place(segment.name),
            )

    def sync_all(self) -> None:
        """Sync every file and the directory, whoever wrote them: a writer beside this reader may not have done so."""
        for segment in self.segments:
            sync_file(segment.descriptor)
        self.directory.sync()

    def link(self, address: i64, into: Directory) -> bool:
        """Give the file of the segment that starts at an address its name in another directory too; False for no link.

        Nor is a file taken that has the name, and is not the one that is open.
        """
        i = self.find(address)
        if i < 0 or not self.directory.link(self.segments[i].name, into):
            return False
        segment = self.segments[i]
        if os.path.samestat(into.stat(segment.name, True), os.fstat(segment.descriptor)):
            return True
        into.unlink(segment.name)
        return False

    def truncate_before(self, address: i64) -> None:
        """Delete whole segments that end at or before `address`; the last one always stays."""
        while len(self.segments) > 1 and self.segments[1].start <= address:
            segment = self.segments[0]
            segment.close()
            with contextlib.suppress(FileNotFoundError):  # an earlier call was interrupted here
                self.directory.unlink(segment.name)
            self.segments = self.segments[1:]  # only now: one that is left behind must not have a gap after it
            self.starts = self.starts[1:]
            self.directory_dirty = True

    def truncate_after(self, address: i64) -> None:
        """Delete the segments from `address` on, then cut the one that holds it, each durably before the next step.

        A segment that came back behind a gap would tell of commits that are not there.
        """
        self.cut_off(address, False)

    def go_back_to(self, address: i64) -> None:
        """As `truncate_after`, but leave what readers beside have open as it is: the log will go on in another file.

        A reader that has not noticed would take what is written in the place of what was cut off for what it knew.
        """
        self.cut_off(address, True)

    def cut_off(self, address: i64, aside: bool) -> None:
        """Delete and cut what stands from `address` on, `aside` in a copy, as where a backup shares the file."""
        changed = False
        while self.segments and self.segments[-1].start >= address:
            segment = self.segments.pop()
            self.starts = self.starts[: len(self.segments)]
            segment.close()
            self.directory.unlink(segment.name)
            changed = True
        if changed:
            self.directory.sync()
        if self.segments:
            last = self.segments[-1]
            last.unmap()  # made when the segment was complete; now it grows again, also where nothing is cut off it
            if self.end() > address:
                if aside or os.fstat(last.descriptor).st_nlink > 1:
                    self.take_copy(last, address - last.start)
                os.ftruncate(last.descriptor, address - last.start)
                last.size = last.length = address - last.start
                sync_file(last.descriptor)
            else:
                self.own_last()

    def own_last(self) -> None:
        """Have the last file alone, where a backup has it too, since it was complete: the log goes on in it now."""
        if self.segments and os.fstat(self.segments[-1].descriptor).st_nlink > 1:
            last = self.segments[-1]
            last.unmap()
            self.take_copy(last, last.size)
            last.length = last.size

    def take_copy(self, segment: Segment, size: i64) -> None:
        """Put a copy of a file's first `size` bytes in its place, durably: a backup has the file by another name."""
        aside = segment.name + ASIDE_SUFFIX
        if self.directory.status(aside) is not None:
            self.directory.unlink(aside)  # a crash left it
        descriptor = self.directory.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, self.mode)
        try:
            done: i64 = 0
            while done < size:
                data = read_at(segment.descriptor, min(size - done, i64(COPY_BYTES)), done)
                if not data:
                    raise CorruptionError(f"{self.place(segment.start + done)}: the file ends here")
                write_at(descriptor, memoryview(data), done)
                done += len(data)
            sync_file(descriptor)
            self.directory.replace(aside, segment.name)
            self.directory.sync()
        except BaseException:
            os.close(descriptor)
            raise
        os.close(segment.descriptor)
        segment.descriptor = descriptor

    def see_until(self, address: i64) -> None:
        """Hold nothing from `address` on, and change no file: a writer may cut there, and go on as it likes."""
        while self.segments and self.segments[-1].start >= address:
            segment = self.segments.pop()
            self.starts = self.starts[: len(self.segments)]
            segment.close()
        if self.end() > address:
            self.segments[-1].size = address - self.segments[-1].start

    def see_from(self, address: i64) -> None:
        """Hold no segment that ends at or before `address` and was deleted; no reader may want one any more.

        Those that are still there are held by the writer for something, as a checkpoint.
        """
        if len(self.segments) < 2 or self.segments[1].start > address:
            return
        names = set(self.directory.names())
        while len(self.segments) > 1 and self.segments[1].start <= address and self.segments[0].name not in names:
            segment = self.segments[0]
            self.segments = self.segments[1:]
            self.starts = self.starts[1:]
            segment.close()

    def look_again(self) -> None:
        """Hold the segments that a writer has made since, and the last one as far as it reaches now, with its surplus.

        What the writer has deleted meanwhile stays readable, since it is open here. FileNotFoundError for a segment
        that was deleted before it could be opened. The one writer knows all of that, and where its data ends.
        """
        if not self.read_only:
            return
        held: i64 = len(self.segments)
        last: i64 = self.segments[-1].start if self.segments else -1
        try:
            for name, start in self.named_segments():
                if start > last:
                    self.open_segment(name, start)
        finally:
            self.end_behind(held)

    def take_over(self, other: "FileDevice") -> None:
        """Hold what another device of these files does behind the last segment here; it lets go of all, and is closed.

        As `look_again`, with files that the writer may have deleted since the other one was opened.
        """
        held: i64 = len(self.segments)
        last: i64 = self.segments[-1].start if self.segments else -1
        left: list[Segment] = []
        for segment in other.segments:
            if segment.start > last:
                self.add_segment(segment)
            else:
                left.append(segment)
        other.segments = left
        other.close()
        self.end_behind(held)

    def end_behind(self, held: i64) -> None:
        """Let what was the last of so many segments end where it does now that others may stand behind it."""
        if held > 0:
            segment = self.segments[held - 1]
            segment.size = file_size(segment.descriptor)  # less than before where the writer cut its surplus off
        self.end_with_the_next(max(held - 1, i64(0)))

    def first_named(self) -> i64:
        """Return where the first segment starts that the directory has now, 0 where it has none."""
        named = self.named_segments()
        return named[0][1] if named else 0

    def roll(self) -> None:
        """Begin a new segment with the next write that starts a page."""
        self.rolling = True

    def finish(self) -> None:
        """Let the last file end with its data."""
        if self.segments:
            self.segments[-1].cut_surplus()

    def segment_end(self, address: i64) -> i64:
        """Return where the segment that holds `address` ends: the next one's start, or the end of the last file."""
        i = self.find(address) + 1
        return self.starts[i] if i < len(self.starts) else self.end()

    def place(self, address: i64) -> str:
        """Return "FILE at offset N"."""
        i = self.find(address)
        if i < 0:
            return f"{self.directory.path} before its first segment (address {address})"
        segment = self.segments[i]
        return f"{self.directory.place(segment.name)} at offset {address - segment.start}"

    def size(self) -> i64:
        """Return the bytes of all files."""
        total: i64 = 0
        for segment in self.segments:
            total += segment.size
        return total

    def close(self) -> None:
        """Close every file, every mapping and the directory."""
        for segment in self.segments:
            segment.close()
        self.segments = []
        self.starts = vec[i64]()
        self.directory.close()
