"""Rebuilding the log of a snapshot: what its file has is put where the log's own bytes would be.

Up to `copied_from` a snapshot's log is the store's own. What stands behind it comes from the snapshot, and, between the
pieces of one that builds on others, from those, the oldest first. It is put together in a file without a name, and then
a writer writes it to the log, which from there on is like any other one; a reader reads it through an OverlayDevice.

A snapshot is the store's newest state as long as the log has not gone on to a later commit of its own, which counts
only when all its records verify. A writer that crashes while it rebuilds finds the same snapshot again.
"""

import errno
import mmap
import os
from typing import Any, Final, final

from librt.strings import read_i64_le
from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.device.device import Device
from oxidbm._core.device.directory import CHECKPOINTS
from oxidbm._core.device.system import read_at, write_at
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.commit_record import COMMIT_BYTES, COMMIT_RECORD_BYTES, COMMIT_SHAPE
from oxidbm._core.durability.replay import SLICE_RECORDS
from oxidbm._core.durability.snapshot_file import SnapshotHeader, SnapshotReader
from oxidbm._core.errors import CorruptionError, alone
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import read_disk, read_or_nothing
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    HEADER_BYTES,
    SHAPE_COMMIT,
    SHAPE_PAGE_RUN,
    previous_address,
    record_words,
)

NOT_WRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


@final
class Spill:
    """A file without a name that holds the log's bytes from an address on."""

    def __init__(self, place: str | None, start: i64) -> None:
        self.start: i64 = start
        self.end: i64 = start
        self.file: Any = self.opened(place)

    def opened(self, place: str | None) -> Any:
        """Return a new file in a directory, or where temporary files go if nothing may be written there."""
        import tempfile  # a sixth of what importing oxidbm takes, and few stores are opened at a snapshot

        try:
            return tempfile.TemporaryFile(dir=place, buffering=0)
        except OSError as failure:
            if failure.errno not in NOT_WRITABLE:
                raise
            return tempfile.TemporaryFile(buffering=0)

    def put(self, address: i64, data: bytes) -> None:
        """Have bytes at an address; those before the first one are left out."""
        if address < self.start:
            data = data[self.start - address :]
            address = self.start
        if data:
            write_at(self.file.fileno(), memoryview(data), address - self.start)
            self.end = max(self.end, address + len(data))

    def cut(self, address: i64) -> None:
        """Have nothing from an address on."""
        if address < self.end:
            self.end = max(address, self.start)
            os.ftruncate(self.file.fileno(), self.end - self.start)

    def read(self, address: i64, size: i64) -> bytes:
        """Return up to so many bytes from an address on; none before the first one."""
        size = min(size, self.end - address) if address >= self.start else 0
        return read_at(self.file.fileno(), size, address - self.start) if size > 0 else b""

    def close(self) -> None:
        """Let the file go; a second time does nothing."""
        self.file.close()


@final
class OverlayDevice(Device):
    """A log as it was at a snapshot, to read: the device as far as it was durable then, and the snapshot behind it."""

    def __init__(self, device: Device, spill: Spill, metadata: Metadata) -> None:
        self.device = device
        self.metadata = metadata
        self.spill = spill
        self.start: i64 = max(spill.start, i64(metadata.durable_to))

    def begin(self) -> i64:
        """Return where the first segment starts; the device's may be made later, behind a page that was left out."""
        return self.device.begin() if self.start > FIRST_ADDRESS else 0

    def end(self) -> i64:
        """Return the address behind the snapshot's last byte."""
        return self.spill.end

    def read(self, address: i64, size: i64) -> bytes:
        """Return bytes of the one or the other."""
        if address >= self.start:
            return self.spill.read(address, size)
        wanted: i64 = min(size, self.start - address)
        data = self.device.read(address, wanted)
        if len(data) < wanted and self.segment_end(address) == self.spill.end:
            data += bytes(wanted - len(data))  # before the first record, or at a page's end behind the last one
        if address + len(data) == self.start:
            data += self.spill.read(self.start, size - len(data))
        return data

    def will_read(self, address: i64, size: i64) -> bool:
        """As the device, of what it has."""
        return address < self.start and self.device.will_read(address, size)

    def data_from(self, address: i64) -> i64:
        """Return where data goes on before the snapshot begins."""
        if address >= self.start:
            return address
        following = self.device.data_from(address)
        return following if following < self.start else address

    def segment_end(self, address: i64) -> i64:
        """Return where the segment ends, which for the last one is the snapshot's end."""
        following = self.device.segment_end(address) if address < self.start else self.spill.end
        return following if address < following < min(self.start, self.device.end()) else self.spill.end

    def place(self, address: i64) -> str:
        """Return where an address stands."""
        return self.device.place(address) if address < self.start else f"a snapshot's address {address}"

    def size(self) -> i64:
        """Return the bytes of space taken."""
        return self.device.size() + self.spill.end - self.start

    def close(self) -> None:
        """Close both."""
        self.device.close()
        self.spill.close()


def opened_snapshot(files: CheckpointFiles, metadata: Metadata) -> SnapshotReader:
    """Return a snapshot's file, its header read and held against what its checkpoint says."""
    directory = files.made_or_missing(metadata.token)
    name = metadata.snapshot_name()
    try:
        reader = SnapshotReader(directory, name, metadata.snapshot_bytes, metadata.snapshot_sum)
    except FileNotFoundError:
        raise alone(
            CorruptionError(f"{directory.place(name)} is missing, which belongs to the checkpoint {metadata.token}")
        ) from None
    try:
        header = reader.read_header()
        said = (header.sequence, header.commit, header.copied_from, header.copied_to, header.previous)
        wanted = (metadata.sequence, metadata.commit, metadata.copied_from, metadata.copied_to, metadata.previous)
        if said != wanted:
            raise reader.fault(f"it says {said} of its commit, its checkpoint {wanted}")
        if f"{int(read_i64_le(header.record, 16) & CHECKSUM_MASK):08x}" != metadata.commit_sum:
            raise reader.fault("it has another commit record than its checkpoint")
        try:
            header.decoded()
        except ValueError as failure:
            raise alone(reader.fault(str(failure))) from None
    except BaseException:
        reader.close()
        raise
    return reader


def header_of(files: CheckpointFiles, metadata: Metadata) -> SnapshotHeader:
    """Return what a snapshot's file says of itself."""
    reader = opened_snapshot(files, metadata)
    reader.close()
    return reader.header


def buried_in(files: CheckpointFiles, chain: list[Metadata]) -> vec[i64]:
    """Return where records stood before the chain's first snapshot ended that were deleted in place since."""
    found = vec[i64]()
    for metadata in chain[1:]:
        reader = opened_snapshot(files, metadata)
        try:
            for address in reader.read_buried(i64(chain[0].copied_to)):
                found = append(found, address)
        finally:
            reader.close()
    return found


def assemble(files: CheckpointFiles, chain: list[Metadata], elsewhere: bool = False) -> Spill:
    """Return what the log of a chain's last snapshot has from its `copied_from` on; CorruptionError for no such.

    It is put together beside the store, and with `elsewhere` where temporary files go if there is no space.
    """
    place = files.store.place(CHECKPOINTS)
    places: list[str | None] = [place, None] if elsewhere else [place]
    for one in places:
        try:
            return put_together(files, chain, one)
        except OSError as failure:
            if failure.errno != errno.ENOSPC:
                raise
    top = chain[-1]
    size = top.end - top.copied_from
    raise OSError(errno.ENOSPC, f"no space to put the snapshot {top.token} together, {size} bytes", place)


def put_together(files: CheckpointFiles, chain: list[Metadata], place: str | None) -> Spill:
    """As `assemble`, in a directory; None is where temporary files go."""
    top = chain[-1]
    spill = Spill(place, i64(top.copied_from))
    try:
        record = b""
        for metadata in chain:
            reader = opened_snapshot(files, metadata)
            try:
                record = reader.header.record
                reader.read_buried(i64(chain[0].copied_to))
                put_pieces(reader, spill)
            finally:
                reader.close()
            if metadata is not top:
                spill.cut(i64(metadata.copied_to))
        spill.put(i64(top.commit), record)
        return spill
    except BaseException:
        spill.close()
        raise


def check_copy(files: CheckpointFiles, metadata: Metadata) -> SnapshotHeader:
    """Read a snapshot's file to its end, and return its header; CorruptionError where it cannot be believed."""
    reader = opened_snapshot(files, metadata)
    try:
        reader.read_buried(i64(metadata.copied_to))
        while reader.read_piece() is not None:
            _breath.breathe()
        return reader.header
    finally:
        reader.close()


def put_pieces(reader: SnapshotReader, spill: Spill) -> None:
    """Put the pieces of one snapshot where they belong."""
    while True:
        piece = reader.read_piece()
        if piece is None:
            return
        spill.put(i64(piece[0]), piece[1])
        _breath.breathe()


def put_in_log(log: HybridLog, spill: Spill, durable_to: i64) -> None:
    """Let the log go on with what was put together, durably; what it had there is cut off.

    What is known to be durable stands in the log already, and stays. The commit record comes last, when all before it
    is durable: where it stands, the snapshot is needed no more.
    """
    device = log.device
    at: i64 = spill.start
    if device.end() >= durable_to > at:
        at = durable_to
    device.truncate_after(at)
    commit: i64 = spill.end - COMMIT_RECORD_BYTES
    size = int(spill.end - spill.start)
    data = memoryview(mmap.mmap(spill.file.fileno(), size, access=mmap.ACCESS_READ))  # an error may still hold a part
    while at < spill.end:
        stop: i64 = min(stretch_end(log, spill, at), spill.end if at == commit else commit)
        device.write(at, data[at - spill.start : stop - spill.start])
        at = stop
        if at >= commit:
            device.sync()
        _breath.breathe()


def stretch_end(log: HybridLog, spill: Spill, at: i64) -> i64:
    """Return up to where bytes go to a device at once: a page, or a run of pages, which no segment may divide."""
    header = spill.read(at, HEADER_BYTES)
    if len(header) == HEADER_BYTES and read_i64_le(header, 8) & SHAPE_PAGE_RUN:
        return log.next_page(at + (record_words(read_i64_le(header, 8), read_i64_le(header, 16)) << 3))
    return log.next_page(at + 1)


def is_in_log(log: HybridLog, metadata: Metadata) -> bool:
    """Return whether a snapshot's commit record stands in the log, as after it was rebuilt there."""
    device = log.device
    commit = i64(metadata.commit)
    if metadata.end > device.end() or commit < device.begin():
        return False
    header = read_or_nothing(log, commit, HEADER_BYTES)
    if len(header) < HEADER_BYTES or read_i64_le(header, 8) != COMMIT_SHAPE:
        return False
    if f"{int(read_i64_le(header, 16) & CHECKSUM_MASK):08x}" != metadata.commit_sum:
        return False
    try:
        return read_disk(log, commit).shape == COMMIT_SHAPE
    except CorruptionError:
        return False


def commit_end_before(metadata: Metadata) -> i64:
    """Return where the last commit of the log ended when a snapshot was taken."""
    return i64(metadata.previous) + COMMIT_RECORD_BYTES if metadata.previous > 0 else i64(FIRST_ADDRESS)


def went_on(log: HybridLog, metadata: Metadata) -> bool:
    """Return whether the log has a commit of its own later than a snapshot's; the log is read from its device.

    It stands behind the commit that was the log's last one then; all records between have to verify. One with a lower
    number is there where the snapshot could not be read once, and an earlier one was the newest state.
    """
    device = log.device
    start = log_start_before(log, metadata)
    if device.begin() > start:
        return True  # what stood there was given back, and only a later commit lets that happen
    last = i64(metadata.previous)
    less = start > commit_end_before(metadata)  # a part of it was given back, if no page was left out
    while True:
        address, sequence = commit_behind(log, start, device.end(), last, less)
        less = False
        if address == 0 or sequence > metadata.sequence:
            return address != 0
        last = address
        start = address + COMMIT_RECORD_BYTES


def log_start_before(log: HybridLog, metadata: Metadata) -> i64:
    """Return where the log goes on behind the commit that was its last one when a snapshot was taken."""
    device = log.device
    start = commit_end_before(metadata)
    if metadata.previous == 0 and (device.begin() <= metadata.begin or metadata.copied_to == FIRST_ADDRESS):
        start = max(start, device.begin())  # a first record that does not fit behind it leaves the first page out
    return start


def commit_behind(log: HybridLog, start: i64, stop: i64, last: i64, less: bool) -> tuple[i64, i64]:
    """Return where the first commit record from `start` on stands, and its number; 0 and 0 for none that counts.

    It counts when it names `last` as the one before it, and all records up to it verify: as many as it says, or, with
    `less`, fewer.
    """
    cursor = Cursor(log, start, stop)
    records: i64 = 0
    try:
        while cursor.step():
            if cursor.shape & SHAPE_COMMIT:
                value = cursor.value()
                if len(value) != COMMIT_BYTES or previous_address(cursor.info) != last:
                    return 0, 0
                missing = read_i64_le(value, 40) - records
                return (cursor.address, read_i64_le(value, 0)) if missing == 0 or (less and missing > 0) else (0, 0)
            records += 1
            if records & (SLICE_RECORDS - 1) == 0:
                _breath.breathe()
    except CorruptionError:
        pass
    return 0, 0


def check_whole(log: HybridLog, metadata: Metadata, spill: Spill) -> None:
    """Raise CorruptionError where the log and what was put together do not lead to a snapshot's commit.

    It comes before anything of the log is cut off for it.
    """
    device = log.device
    log.device = OverlayDevice(device, spill, metadata)
    try:
        found = commit_behind(log, log_start_before(log, metadata), i64(metadata.end), i64(metadata.previous), False)
    finally:
        log.device = device
    if found != (metadata.commit, metadata.sequence):
        raise CorruptionError(
            f"{log.life.path}: the log and the snapshot {metadata.token} do not lead to commit {metadata.sequence}"
        )
