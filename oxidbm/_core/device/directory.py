"""A directory that is opened once: every file in it is named relative to that opening.

Where the system has directory descriptors, the directory is held by one, so a process that changes its working
directory, a directory that is renamed or a link that is switched do not lead a store to another one's files: it goes on
in the directory that it opened. Elsewhere the absolute path at the opening stands for it. This module also knows, and
nobody else does, which names make a store.

LOCK holds a note beside the lock: who took it last, and a word that is another one after each recovery. A reader takes
no lock, so it looks at that word before and after: the same one says that nothing it read was cut off and written anew.
A backup's note says of which commit it is, until a writer takes the lock and writes its own.
"""

import contextlib
import errno
import os
import stat
from typing import Final, final

from oxidbm._core.device.system import HAS_DIRECTORY_DESCRIPTORS, OPEN_FLAGS, host_name, sync_file, try_lock, unlock
from oxidbm._core.errors import FormatError, LockedError
from oxidbm._core.handlers import came_from_handler

STORE: Final = "STORE"  # the superblock; what has one is a store
LOCK: Final = "LOCK"
CLEAN: Final = "CLEAN"  # there only while the store is closed cleanly
LOG: Final = "log"  # the directory of the log's segments
READERS: Final = "readers"  # of a log by itself: where each of its named readers stands
POSITION_SUFFIX: Final = ".pos"
CHECKPOINTS: Final = "checkpoints"  # a directory, which there need not be
SEGMENT_SUFFIX: Final = ".seg"
METADATA_SUFFIX: Final = ".json"  # of a checkpoint
IMAGE_SUFFIX: Final = ".index.zst"  # of its image of the index
SNAPSHOT_SUFFIX: Final = ".snapshot.zst"  # of its copy of what was in memory alone
INNER_SUFFIXES: Final = (SEGMENT_SUFFIX, METADATA_SUFFIX, IMAGE_SUFFIX, SNAPSHOT_SUFFIX, POSITION_SUFFIX)
ASIDE_SUFFIX: Final = ".new"
NO_WAITING: Final[int] = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for its other end
NOTE_BYTES_MAX: Final = 4096
SMALL_BYTES_MAX: Final = 4096
PIECE_BYTES: Final = 262144
RECOVERY: Final = b'"recovery": "'  # what stands before the word in the note
BACKUP: Final = b'"backup": "'  # what stands before the number of the commit that a backup is of
NO_LINK: Final = (errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
NO_FILE: Final = (errno.EISDIR, errno.ELOOP, errno.ENXIO)  # a directory, links in a circle, a socket or a pipe's end
DIRECTORY_BITS: Final = 0o111
BEFORE_A_STORE: Final = (LOCK, LOG, STORE + ASIDE_SUFFIX)  # what may be there before there is a superblock


@final
class Directory:
    """One directory; `path` is what messages call it."""

    def __init__(self, path: str, above: "Directory | None" = None, name: str = "") -> None:
        self.path = path
        self.absolute: str = os.path.abspath(path) if above is None else os.path.join(above.absolute, name)
        self.descriptor = -1
        if above is not None and above.descriptor >= 0:
            try:
                self.descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS, dir_fd=above.descriptor)
            except OSError as failure:
                above.say_place(failure, name)
                raise
        elif HAS_DIRECTORY_DESCRIPTORS:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS)

    def where(self) -> str | int:
        """Return what leads to it for calls of the system: its descriptor, or else its path."""
        return self.descriptor if self.descriptor >= 0 else self.absolute

    def place(self, name: str) -> str:
        """Return what messages call a file."""
        return os.path.join(self.path, name)

    def say_place(self, failure: OSError, name: str) -> None:
        """Have a failed system call say where the file is: it knows the name in here alone.

        What a signal handler raised meanwhile says nothing of that name, and stays what it is.
        """
        if failure.filename == name:
            failure.filename = self.place(name)
        if failure.errno in (errno.EMFILE, errno.ENFILE) and failure.strerror is not None:
            failure.strerror += ". Let the process have more of them (ulimit -n, RLIMIT_NOFILE), or close others"

    def open(self, name: str, flags: int, mode: int = 0o666) -> int:
        """Return a descriptor of a regular file; FormatError for anything else, which is not waited for."""
        flags |= OPEN_FLAGS | NO_WAITING
        try:
            if self.descriptor >= 0:
                descriptor = os.open(name, flags, mode, dir_fd=self.descriptor)
            else:
                descriptor = os.open(os.path.join(self.absolute, name), flags, mode)
        except OSError as failure:
            if failure.errno in NO_FILE or self.leads_nowhere(name):
                raise self.no_file(name) from None
            self.say_place(failure, name)
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self.no_file(name)
        return descriptor

    def no_file(self, name: str) -> FormatError:
        """Return the error for something else in the place of a file."""
        link = ", but a link that leads to none" if self.leads_nowhere(name) else ""
        return FormatError(f"{self.place(name)} is no regular file{link}; a store has no other ones")

    def leads_nowhere(self, name: str) -> bool:
        """Return whether a name is that of a link that does not lead to a file."""
        try:
            if not stat.S_ISLNK(self.stat(name, False).st_mode):
                return False
        except OSError:
            return False
        try:
            self.stat(name, True)
        except FileNotFoundError:
            return True
        except OSError as failure:
            return failure.errno == errno.ELOOP
        return False

    def names(self) -> list[str]:
        """Return the names of all that is in it, sorted.

        How far it was read is kept with the descriptor and its duplicates: of two threads that list it by the same one
        each may get a part of the names.
        """
        if self.descriptor < 0:
            return sorted(os.listdir(self.absolute))
        own = os.open(".", os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS, dir_fd=self.descriptor)
        try:
            return sorted(os.listdir(own))
        finally:
            os.close(own)

    def status(self, name: str) -> os.stat_result | None:
        """Return a file's status, None only where there is no such name: every other failure is raised."""
        try:
            return self.stat(name, True)
        except OSError as failure:
            if failure.errno != errno.ENOENT and not self.leads_nowhere(name):
                self.say_place(failure, name)
                raise
        try:
            found = self.stat(name, False)
        except FileNotFoundError:
            return None
        if self.leads_nowhere(name):
            raise self.no_file(name)
        return found  # another process has made it meanwhile

    def stat(self, name: str, follow: bool) -> os.stat_result:
        """Return the status of a file, or of the link itself."""
        if self.descriptor >= 0:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=follow)
        return os.stat(os.path.join(self.absolute, name), follow_symlinks=follow)

    def removed(self) -> bool:
        """Return whether the directory was deleted, so that what is written to it is lost."""
        return self.descriptor >= 0 and os.fstat(self.descriptor).st_nlink == 0

    def holds(self, name: str, other: "Directory") -> bool:
        """Return whether a name in it leads to another directory that was opened, as it did then."""
        if self.descriptor < 0 or other.descriptor < 0:
            return self.status(name) is not None
        there = self.status(name)
        opened = os.fstat(other.descriptor)
        return there is not None and (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)

    def unlink(self, name: str) -> None:
        """Delete a file."""
        try:
            if self.descriptor >= 0:
                os.unlink(name, dir_fd=self.descriptor)
            else:
                os.unlink(os.path.join(self.absolute, name))
        except OSError as failure:
            self.say_place(failure, name)
            raise

    def replace(self, name: str, to: str) -> None:
        """Give a file another name, in place of what has that."""
        try:
            if self.descriptor >= 0:
                os.replace(name, to, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
            else:
                os.replace(os.path.join(self.absolute, name), os.path.join(self.absolute, to))
        except OSError as failure:
            self.say_place(failure, name)
            raise

    def link(self, name: str, into: "Directory") -> bool:
        """Give a file the same name in another directory too; False where it is gone, or no link to it can be made."""
        try:
            if self.descriptor >= 0 and into.descriptor >= 0:
                os.link(name, name, src_dir_fd=self.descriptor, dst_dir_fd=into.descriptor)
            else:
                os.link(os.path.join(self.absolute, name), os.path.join(into.absolute, name))
        except OSError as failure:
            if failure.errno in NO_LINK:
                return False
            raise
        return True

    def sub(self, name: str) -> "Directory":
        """Return a directory in it, opened."""
        return Directory(self.place(name), self, name)

    def make(self, name: str, mode: int) -> None:
        """Make a directory in it, which may be there already."""
        try:
            if self.descriptor >= 0:
                os.mkdir(name, mode | DIRECTORY_BITS, dir_fd=self.descriptor)
            else:
                os.mkdir(os.path.join(self.absolute, name), mode | DIRECTORY_BITS)
        except FileExistsError:
            return
        except OSError as failure:
            self.say_place(failure, name)
            raise

    def sync(self) -> None:
        """Make its entries durable; where directories cannot be opened (Windows) the rename itself must do."""
        if self.descriptor >= 0:
            os.fsync(self.descriptor)

    def sync_parent(self) -> None:
        """Make its own entry in the directory above durable."""
        if self.descriptor >= 0:
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS, dir_fd=self.descriptor)
            try:
                os.fsync(above)
            finally:
                os.close(above)

    def write_aside(self, name: str, data: bytes, mode: int, durable: bool = True) -> None:
        """Write a small file so that it is there whole or not at all, and durably unless that can wait."""
        aside = name + ASIDE_SUFFIX
        if self.status(aside) is not None:
            self.unlink(aside)  # a crash left it, or it is a link or a pipe that somebody put there
        descriptor = self.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, data[written:])
            if durable:
                sync_file(descriptor)
        except OSError as failure:
            if failure.filename is None and failure.errno is not None and not came_from_handler(failure):
                failure.filename = self.place(aside)
            raise
        finally:
            os.close(descriptor)
        self.replace(aside, name)
        if durable:
            self.sync()

    def give_up_aside(self, name: str) -> None:
        """Take away what `write_aside` left of a file that could not be written, where that can be done."""
        with contextlib.suppress(OSError):
            self.unlink(name + ASIDE_SUFFIX)

    def read_start(self, name: str, size: int) -> bytes:
        """Return the first `size` bytes of a file, fewer where it ends before."""
        descriptor = self.open(name, os.O_RDONLY)
        try:
            parts = []
            while size > 0:
                part = os.read(descriptor, min(size, PIECE_BYTES))  # which takes memory for as much as it may read
                if not part:
                    break
                parts.append(part)
                size -= len(part)
            return b"".join(parts)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Give the descriptor back; a second time does nothing."""
        descriptor = self.descriptor
        self.descriptor = -1
        if descriptor >= 0:
            os.close(descriptor)


@final
class DirectoryLock:
    """The one writer's lock: flock where there is one, a locked byte on Windows; it goes with the process."""

    def __init__(self, directory: Directory, mode: int) -> None:
        self.directory = directory
        self.identity = (-1, -1)  # of the file that is locked
        self.held = False
        self.descriptor = -1
        HELD[id(self)] = self
        try:
            self.descriptor = directory.open(LOCK, os.O_RDWR | os.O_CREAT, mode)
            while not self.take_named():
                os.close(self.descriptor)
                self.descriptor = -1
                self.descriptor = directory.open(LOCK, os.O_RDWR | os.O_CREAT, mode)
            self.held = True
            note = read_note(self.descriptor)
            write_note(self.descriptor, recovery_word(note), note)
        except BaseException:
            self.close()
            raise

    def take_named(self) -> bool:
        """Take the lock; False where it is one on a file that the name does not lead to any more."""
        if not self.take():
            raise LockedError(f"{self.directory.path} is open for writing in {self.holder()}")
        named = self.directory.status(LOCK)
        held = os.fstat(self.descriptor)
        self.identity = (held.st_dev, held.st_ino)
        return named is not None and (named.st_dev, named.st_ino) == self.identity

    def take(self) -> bool:
        """Try to take the lock."""
        return try_lock(self.descriptor)

    def holder(self) -> str:
        """Return who holds the lock and what to do about it, in words."""
        status = os.fstat(self.descriptor)
        identity = (status.st_dev, status.st_ino)
        if any(other.held and other.identity == identity for other in list(HELD.values())):
            return (
                f"this very process (process {os.getpid()} on {host_name()}): use the one that has it open, from as "
                "many threads as you like, or close that one first; read_only=True reads the last commit beside it"
            )
        import json

        try:
            note = json.loads(read_note(self.descriptor))
            who = f"process {note['pid']} on {note['host']}"
        except (ValueError, KeyError, TypeError, RecursionError):
            who = "another process or thread that has not written its number yet"
        return f"{who}; close it there, or open it with read_only=True to read the last commit"

    def note_backup(self, sequence: int) -> None:
        """Say that the store is a backup of a commit, which nobody has opened to write yet; durably."""
        write_note(self.descriptor, "", b"", f', "backup": "{sequence}"')
        sync_file(self.descriptor)

    def close(self) -> None:
        """Give the lock back, also where a forked child has not closed its copy yet."""
        if self.descriptor >= 0:
            try:  # and no contextlib, in whose code a signal handler may raise: the lock would be held for ever
                unlock(self.descriptor)
            except OSError:
                self.forget()  # closing it does as well
        self.forget()

    def forget(self) -> None:
        """Close the lock's file and leave the lock to the parent process, whose it is."""
        HELD.pop(id(self), None)
        self.held = False
        descriptor = self.descriptor
        self.descriptor = -1
        if descriptor >= 0:
            os.close(descriptor)


def read_note(descriptor: int) -> bytes:
    """Return what stands in LOCK."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, NOTE_BYTES_MAX)


def write_note(descriptor: int, word: str, known: bytes = b"", more: str = "") -> None:
    """Say in LOCK who has the store open, and the word of its last recovery, unless what is known to stand there does.

    It does where one process opens a store again and again.
    """
    note = f'{{"pid": {os.getpid()}, "host": "{host_name()}", "recovery": "{word}"{more}}}'.encode()
    if note == known:
        return
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, note)
    os.ftruncate(descriptor, len(note))


def recovery_word(note: bytes) -> str:
    """Return the word of the last recovery in a note, "" for none; without the module json, which is slow to import."""
    word = note.partition(RECOVERY)[2].partition(b'"')[0]
    return word.decode() if word.isalnum() else ""


def noted_backup(directory: Directory) -> int:
    """Return the commit that a store is an untouched backup of; -1 where its note does not say that it is one."""
    note = b"" if directory.status(LOCK) is None else directory.read_start(LOCK, NOTE_BYTES_MAX)
    number = note.partition(BACKUP)[2].partition(b'"')[0]
    return int(number) if number.isdigit() else -1


def note_recovery(directory: Directory, mode: int) -> None:
    """Change the word: a tail may have been cut off, and the log goes on where that stood."""
    descriptor = directory.open(LOCK, os.O_RDWR | os.O_CREAT, mode)
    try:
        write_note(descriptor, os.urandom(8).hex())
    finally:
        os.close(descriptor)


def last_recovery(path: str) -> str:
    """Return the word of a store's last recovery, "" for none."""
    try:
        directory = Directory(path)
    except OSError:
        return ""
    try:
        return recovery_in(directory)
    finally:
        directory.close()


def recovery_in(directory: Directory) -> str:
    """As `last_recovery`, of a store whose directory is open."""
    try:
        descriptor = directory.open(LOCK, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return recovery_word(read_note(descriptor))
    finally:
        os.close(descriptor)


def start_or_nothing(directory: Directory, name: str) -> str:
    """Return the first bytes of a file in hexadecimal, "" where there is none."""
    return "" if directory.status(name) is None else directory.read_start(name, SMALL_BYTES_MAX).hex()


def appearance(path: str) -> list[str]:
    """Return what a writer changes beside a reader: directory, superblock, mark, recovery, and the log's segments.

    What cannot be looked at, since it is just being replaced, is left out.
    """
    try:
        directory = Directory(path)
    except OSError:
        return []
    seen: list[str] = []
    try:
        status = directory.stat(os.curdir, True)
        seen.append(f"{status.st_dev} {status.st_ino}")
        seen.append(start_or_nothing(directory, STORE))
        seen.append(start_or_nothing(directory, CLEAN))
        seen.append(last_recovery(path))
        for name in (LOG, CHECKPOINTS):
            if directory.status(name) is not None:
                below = directory.sub(name)
                try:
                    seen.extend(below.names())
                finally:
                    below.close()
    except OSError:
        return seen
    finally:
        directory.close()
    return seen


HELD: Final[dict[int, DirectoryLock]] = {}  # also those of stores that are being opened


def forget_locks() -> None:
    """Leave every lock to the parent process, in a forked child."""
    for lock in list(HELD.values()):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_locks)


def foreign_name(path: str) -> str:
    """Return a name in a directory that is no part of a store; "" where there is none."""
    for name in sorted(os.listdir(path)):
        if name in (LOG, CHECKPOINTS, READERS):
            for inner in sorted(os.listdir(os.path.join(path, name))):
                if not inner.removesuffix(ASIDE_SUFFIX).endswith(INNER_SUFFIXES):
                    return f"{name}/{inner}"
        elif name.removesuffix(ASIDE_SUFFIX) not in (STORE, LOCK, CLEAN):
            return name
    return ""


def remove_directory(path: str) -> None:
    """Delete a store's directory, in which nothing foreign is."""
    for below in (LOG, CHECKPOINTS, READERS):
        directory = os.path.join(path, below)
        if os.path.isdir(directory):
            for name in os.listdir(directory):
                os.unlink(os.path.join(directory, name))
            os.rmdir(directory)
    for name in os.listdir(path):
        os.unlink(os.path.join(path, name))
    os.rmdir(path)
