"""Backups: the log of a store, or one by itself, up to a commit, copied to another directory while it is in use.

1. What is copied never changes: bytes of the log before a durable commit. The segments are held, so that compaction
   deletes none; nobody waits for a copy.
2. The copy ends exactly behind the commit record and has the mark of a clean end, so one that was cut is found out.
3. It is made in TO.unfinished, where the superblock comes last, after all else is durable, and then takes TO's name in
   one step. TO is at each instant what it was before or what it is now.
4. A file may have two names where nobody writes it: complete segments, of the store where that was asked for, of the
   earlier backup always. The segment that the commit ends in is always copied, since it is appended to, and cut by a
   recovery.
5. A backup keeps the store's id, for the records' checksums are keyed with it.
6. What stands in TO's place is an earlier backup of the same store, or TO is not taken: see _earlier_backup.py.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.device.directory import (
    CHECKPOINTS,
    LOCK,
    LOG,
    READERS,
    STORE,
    Directory,
    foreign_name,
    remove_directory,
)
from oxidbm._core.device.directory_lock import DirectoryLock
from oxidbm._core.device.open_file import OpenFile
from oxidbm._core.device.segments import FileDevice, segment_name
from oxidbm._core.device.system import sync_file, write_at
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES
from oxidbm._core.durability.found_commit import FoundCommit, commit_at
from oxidbm._core.durability.holds import Holds
from oxidbm._core.durability.superblock import (
    CleanMark,
    StorePrelude,
    Superblock,
    read_superblock,
    write_mark,
    write_superblock,
)
from oxidbm._core.errors import CorruptionError, FormatError, LockedError, error
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._earlier_backup import Earlier, earlier_in
from oxidbm._publish import UNFINISHED, Path, discard, path_of, sync_name

EARLIER: Final = ".earlier"  # what an earlier backup is called meanwhile, where two names cannot be exchanged
CHUNK_BYTES: Final = 1 << 20
NO_EXCHANGE: Final = (errno.ENOSYS, errno.EINVAL)

Progress = Callable[[int, int], None]


class Copied(Protocol):
    """The commits of what is copied: of a store, or of a log that stands alone."""

    log: HybridLog
    holds: Holds
    durable_tail: i64

    def commit(self) -> None:
        """Return when everything so far is durable."""

    def release(self, ticket: int) -> None:
        """Give a hold back."""


@dataclass
class BackupReport:
    """What `Store.backup` or `Log.backup` made.

    path: the backup's directory.
    commit_sequence, commit_time: the number of the commit that it holds, and its time in seconds since 1970; 0 and None
    for a store or log that was never committed.
    bytes_copied: bytes of the log that were written.
    bytes_linked: bytes of segments that are the store's own files, by a second name.
    bytes_kept: bytes of segments that the earlier backup had already.
    checkpoint: of a store, the token of the checkpoint whose image of the index is in the backup, so that opening it
        goes on from there; None for none.
    checkpoint_bytes: bytes of that image.
    """

    __module__ = "oxidbm"
    path: str
    commit_sequence: int = 0
    commit_time: float | None = None
    bytes_copied: int = 0
    bytes_linked: int = 0
    bytes_kept: int = 0
    checkpoint: str | None = None
    checkpoint_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return asdict(self)


@dataclass
class Piece:
    """What the backup has of one segment: the addresses [start, stop), `stop` the next segment's start or the end."""

    start: int
    stop: int
    is_last: bool


class Backup:
    """One backup under way: where from, where to, and what was done of it."""

    def __init__(self, commits: Copied, directory: Directory, block: Superblock, to: Path) -> None:
        self.commits = commits
        self.log = commits.log
        self.directory = directory
        self.block = block
        self.report = BackupReport(path_of(to))
        self.target = os.path.realpath(os.fsdecode(to))
        self.unfinished = self.target + UNFINISHED
        status = directory.status(STORE)
        self.mode = 0o600 if status is None else stat.S_IMODE(status.st_mode)
        self.directory_mode = stat.S_IMODE(directory.stat(os.curdir, True).st_mode)
        self.published = False

    def make(self, link: bool, progress: Progress | None) -> BackupReport:
        """Make it, and return the report. Who closes what is copied meanwhile leaves its files open until this ends."""
        return self.log.use.during(lambda: self.make_now(link, progress))

    def make_now(self, link: bool, progress: Progress | None) -> BackupReport:
        """As `make`, within a use of the device."""
        self.check_target()
        begin = int(self.log.begin)
        ticket = self.commits.holds.take(begin)
        try:
            with self.unfinished_directory() as lock:
                self.put_back_earlier()
                with earlier_in(self.target, self.block) as earlier:
                    found = self.commit(link)
                    if earlier is not None:
                        earlier.check_course(self.log, found, begin)
                    self.fill(lock, found, earlier, link, progress)
                    self.publish(earlier)
        finally:
            self.commits.release(ticket)
        return self.report

    def commit(self, link: bool) -> FoundCommit | None:
        """Make a commit, where the store can be written, and return the last one; None where there is none.

        Beside a writer the last commit may be one that is not on the disk yet. Were its end lost, the writer's recovery
        would cut a file off at an earlier commit, and that may be one that has got a second name here.
        """
        life = self.log.life
        if life.can_write():
            self.commits.commit()
        elif life.poison:
            life.blocked_write()  # raises: what was written since the failed commit would not be in the copy
        elif link and isinstance(self.log.device, FileDevice):
            self.log.device.sync_all()
        tail = self.commits.durable_tail
        return commit_at(self.log, tail - COMMIT_RECORD_BYTES) if tail > FIRST_ADDRESS else None

    def check_target(self) -> None:
        """Raise FormatError where no backup can be made, whatever the store is."""
        store = self.directory.stat(os.curdir, True)
        at = self.target
        while True:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if os.path.samestat(os.stat(at), store):
                    what = self.block.kind.what
                    what = f"the {what} itself" if at == self.target else f"inside of the {what}"
                    raise FormatError(f"{self.report.path} is {what}; name another directory")
            above = os.path.dirname(at)
            if above == at:
                break
            at = above
        if os.path.lexists(self.target) and not os.path.isdir(self.target):
            raise FormatError(f"{self.report.path} is a file, and a backup is a directory; name another one")
        if os.path.ismount(self.target):
            raise FormatError(f"{self.report.path} is where a file system is mounted; name a directory in it")
        for path in (self.unfinished, self.target + EARLIER):
            if os.path.lexists(path):
                self.check_leftover(path)

    def check_leftover(self, path: str) -> None:
        """Raise FormatError where a name that is needed leads to something else than what a backup has left there."""
        is_of_it = os.path.isdir(path) and not os.path.islink(path) and not foreign_name(path)
        if is_of_it and os.path.lexists(os.path.join(path, STORE)):
            directory = Directory(path)
            try:
                is_of_it = read_superblock(directory, self.block.kind).store_id == self.block.store_id
            except error:
                is_of_it = False
            finally:
                directory.close()
        if not is_of_it:
            raise FormatError(
                f"{path} is in the way, and not left by a backup of this {self.block.kind.what}; delete it, or name "
                "another"
            )

    def put_back_earlier(self) -> None:
        """Give an earlier backup its name back where a backup was killed between two renames; delete it behind them."""
        if os.path.lexists(self.target + EARLIER):
            if os.path.lexists(self.target):
                remove_directory(self.target + EARLIER)
            else:
                os.rename(self.target + EARLIER, self.target)

    @contextlib.contextmanager
    def unfinished_directory(self) -> Iterator[DirectoryLock]:
        """Yield the lock of an empty directory beside the target, which is deleted where it was not published."""
        os.makedirs(self.unfinished, self.directory_mode, exist_ok=True)
        directory = Directory(self.unfinished)
        try:
            try:
                lock = DirectoryLock(directory, self.mode)
            except LockedError:
                raise LockedError(
                    f"another backup to {self.report.path} is under way; wait for its end, or name another directory"
                ) from None
            try:
                empty(directory, self.unfinished)
                os.mkdir(os.path.join(self.unfinished, LOG), self.directory_mode)
                yield lock
            except BaseException as failure:
                if not self.published:
                    discard(self.unfinished, failure)
                raise
            finally:
                lock.close()
        finally:
            directory.close()

    def fill(
        self,
        lock: DirectoryLock,
        found: FoundCommit | None,
        earlier: Earlier | None,
        link: bool,
        progress: Progress | None,
    ) -> None:
        """Put log, mark and superblock into the directory, and make all of it durable."""
        mark = CleanMark(FIRST_ADDRESS, 0, 0)
        into = lock.directory.sub(LOG)
        try:
            if found is not None:
                record = found.record
                mark = self.mark_for(found)
                self.report.commit_sequence = mark.sequence
                self.report.commit_time = int(record.log.time_ns) / 1e9
                self.fill_log(into, self.pieces(int(record.log.begin), mark.tail), earlier, link, progress)
            into.sync()
        finally:
            into.close()
        with naming(self.unfinished):
            self.fill_beside(lock.directory, found, earlier, link)
            lock.note_backup(mark.sequence)
            write_mark(lock.directory, self.block, mark, self.mode)
            write_superblock(lock.directory, self.block, self.mode, durable=True)  # the next backup reads whose it is
            StorePrelude(lock.directory).sync_creation()

    def mark_for(self, found: FoundCommit) -> CleanMark:
        """Return the mark of a clean end behind a commit."""
        table = found.record.table
        return CleanMark(int(found.end()), int(found.record.log.sequence), int(table.count + table.pending))

    def fill_beside(self, into: Directory, found: FoundCommit | None, earlier: Earlier | None, link: bool) -> None:
        """Put what is beside the log into the directory."""
        raise NotImplementedError

    def pieces(self, begin: int, tail: int) -> list[Piece]:
        """Return what the backup has of each segment, from the one that `begin` stands in to the one with the end."""
        found = []
        device = self.log.device
        start = int(device.begin())
        while start < tail:
            stop = int(device.segment_end(start))
            if stop <= start:
                self.log.life.check_alive()
                raise CorruptionError(f"{device.place(start)}: the log ends here, before its last commit")
            if stop > begin:
                found.append(Piece(start, min(stop, tail), stop >= tail))
            start = stop
        return found

    def fill_log(
        self, into: Directory, pieces: list[Piece], earlier: Earlier | None, link: bool, progress: Progress | None
    ) -> None:
        """Keep, link or copy each segment."""
        done = 0
        total = sum(piece.stop - piece.start for piece in pieces)
        for piece in pieces:
            name = segment_name(piece.start >> self.block.page_bits)
            if earlier is not None and self.keep(piece, name, earlier, into):
                self.report.bytes_kept += earlier.sizes[name]
            elif link and self.link(piece, into):
                self.report.bytes_linked += into.stat(name, True).st_size
            else:
                for size in self.copy(piece, name, into):
                    self.report.bytes_copied += size
                    if progress is not None:
                        progress(done + size, total)
                    done += size
                done -= into.stat(name, True).st_size
            done += piece.stop - piece.start
        if progress is not None:
            progress(total, total)

    def keep(self, piece: Piece, name: str, earlier: Earlier, into: Directory) -> bool:
        """Take a segment over from the earlier backup, if it has all of it, and links can be made there."""
        size = earlier.sizes.get(name, 0)
        if piece.is_last or size == 0 or piece.start + size > piece.stop:
            return False
        same = len(self.log.read(piece.start + size - 1, 1)) == 1
        if same and piece.start + size < piece.stop:
            same = not self.log.read(piece.start + size, 1)
        return same and earlier.log.link(name, into)

    def link(self, piece: Piece, into: Directory) -> bool:
        """Give a segment of the store a second name, if it is complete, and links can be made there."""
        device = self.log.device
        if piece.is_last or not isinstance(device, FileDevice):
            return False
        try:
            return device.link(piece.start, into)
        except OSError:
            self.log.life.check_alive()  # closed meanwhile: that is what to say
            raise

    def copy(self, piece: Piece, name: str, into: Directory) -> Iterator[int]:
        """Copy a segment, and yield how many bytes each step took."""
        place = into.place(name)
        with naming(place):
            made = OpenFile(into, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.mode)
        with made as descriptor:
            at = piece.start
            while at < piece.stop:
                data = self.log.read(at, min(CHUNK_BYTES, piece.stop - at))
                if not data:
                    break
                with naming(place):
                    write_at(descriptor, memoryview(data), at - piece.start)
                at += len(data)
                yield len(data)
            if piece.is_last and at < piece.stop:
                raise CorruptionError(f"{self.log.device.place(at)}: the log ends here, before its last commit")
            with naming(place):
                sync_file(descriptor)

    def publish(self, earlier: Earlier | None) -> None:
        """Give the directory the target's name, durably, and delete the earlier backup."""
        old = self.unfinished
        if earlier is None:
            os.rename(self.unfinished, self.target)
        elif not exchange(self.unfinished, self.target):
            old = self.target + EARLIER
            os.rename(self.target, old)
            os.rename(self.unfinished, self.target)
        self.published = True
        sync_name(self.target)
        if earlier is not None:
            remove_directory(old)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Name a file in the errors of the system that do not."""
    try:
        yield
    except OSError as failure:
        if failure.filename is None and failure.errno is not None and not isinstance(failure, error):
            failure.filename = path
        raise


def empty(directory: Directory, path: str) -> None:
    """Delete what a backup that was killed has left in its directory, but for the lock."""
    for inner in (LOG, CHECKPOINTS, READERS):
        if directory.status(inner) is not None:
            below = directory.sub(inner)
            try:
                for name in below.names():
                    below.unlink(name)
            finally:
                below.close()
            os.rmdir(os.path.join(path, inner))
    for name in directory.names():
        if name != LOCK:
            directory.unlink(name)


def exchange(one: str, other: str) -> bool:
    """Exchange two names in one step; False where the system, or the file system, has no such call."""
    if sys.platform != "linux":
        return False
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    here, exchanging = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if call(here, os.fsencode(one), here, os.fsencode(other), exchanging) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), one, None, other)
