"""A directory that is opened once: every file in it is named relative to that opening.

Where the system has directory descriptors, the directory is held by one, so a process that changes its working
directory, a directory that is renamed or a link that is switched do not lead a store to another one's files: it goes on
in the directory that it opened. Elsewhere the absolute path at the opening stands for it. This module also knows, and
nobody else does, which names make a store.

A thread may close it while another one is in the middle of a call that names it by its descriptor, which is given back
behind the last such call (see uses); calls that come later are a ClosedError.
"""

import contextlib
import errno
import os
import stat
from typing import Final, final

from oxidbm._core.device.system import HAS_DIRECTORY_DESCRIPTORS, OPEN_FLAGS, close_lost, sync_file
from oxidbm._core.errors import ClosedError, FormatError, alone
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.uses import Uses

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
PIECE_BYTES: Final = 262144
NO_LINK: Final = (errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
NO_FILE: Final = (errno.EISDIR, errno.ELOOP, errno.ENXIO)  # a directory, links in a circle, a socket or a pipe's end
DIRECTORY_BITS: Final = 0o111
BEFORE_A_STORE: Final = (LOCK, LOG, STORE + ASIDE_SUFFIX)  # what may be there before there is a superblock


@final
class Directory:
    """One directory; `path` is what messages call it. One that is lost gives its descriptor back (see open_file)."""

    descriptor: int = -1  # also where __init__ fails, as the finalizer must expect

    def __init__(self, path: str, above: "Directory | None" = None, name: str = "") -> None:
        self.path = path
        self.absolute: str = os.path.abspath(path) if above is None else os.path.join(above.absolute, name)
        self.descriptor = -1
        self.uses = Uses()  # calls that name it by its descriptor
        if above is not None and (above.uses.closing or above.descriptor >= 0):
            held = above.enter()
            try:
                self.descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS, dir_fd=held)
            except OSError as failure:
                above.say_place(failure, name)
                raise
            finally:
                above.leave()
        elif HAS_DIRECTORY_DESCRIPTORS:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS)

    def enter(self) -> int:
        """Begin a call by the descriptor, which is returned; -1 where there is none. ClosedError behind close()."""
        if not self.uses.begin():
            raise ClosedError(f"{self.path} was closed by another thread; open it again to use it")
        return self.descriptor

    def leave(self) -> None:
        """End a call; the last one gives the descriptor back, where the directory was closed meanwhile."""
        if self.uses.end():
            self.give_back()

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
        held = self.enter()
        try:
            if held >= 0:
                descriptor = os.open(name, flags, mode, dir_fd=held)
            else:
                descriptor = os.open(os.path.join(self.absolute, name), flags, mode)
        except OSError as failure:
            if failure.errno in NO_FILE or self.leads_nowhere(name):
                raise alone(self.no_file(name)) from None
            self.say_place(failure, name)
            raise
        finally:
            self.leave()
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self.no_file(name)
        except BaseException:
            os.close(descriptor)
            raise
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
        held = self.enter()
        try:
            if held < 0:
                return sorted(os.listdir(self.absolute))
            own = os.open(".", os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS, dir_fd=held)
        finally:
            self.leave()
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
        held = self.enter()
        try:
            if held >= 0:
                return os.stat(name, dir_fd=held, follow_symlinks=follow)
            return os.stat(os.path.join(self.absolute, name), follow_symlinks=follow)
        finally:
            self.leave()

    def removed(self) -> bool:
        """Return whether the directory was deleted, so that what is written to it is lost."""
        held = self.enter()
        try:
            return held >= 0 and os.fstat(held).st_nlink == 0
        finally:
            self.leave()

    def holds(self, name: str, other: "Directory") -> bool:
        """Return whether a name in it leads to another directory that was opened, as it did then."""
        there = self.status(name)
        if there is None or self.descriptor < 0:
            return there is not None
        opened = other.stat(os.curdir, True)
        return (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)

    def unlink(self, name: str) -> None:
        """Delete a file."""
        held = self.enter()
        try:
            if held >= 0:
                os.unlink(name, dir_fd=held)
            else:
                os.unlink(os.path.join(self.absolute, name))
        except OSError as failure:
            self.say_place(failure, name)
            raise
        finally:
            self.leave()

    def replace(self, name: str, to: str) -> None:
        """Give a file another name, in place of what has that."""
        held = self.enter()
        try:
            if held >= 0:
                os.replace(name, to, src_dir_fd=held, dst_dir_fd=held)
            else:
                os.replace(os.path.join(self.absolute, name), os.path.join(self.absolute, to))
        except OSError as failure:
            self.say_place(failure, name)
            raise
        finally:
            self.leave()

    def link(self, name: str, into: "Directory") -> bool:
        """Give a file the same name in another directory too; False where it is gone, or no link to it can be made."""
        held = self.enter()
        try:
            return self.link_by(held, name, into)
        finally:
            self.leave()

    def link_by(self, held: int, name: str, into: "Directory") -> bool:
        """As `link`, within a call by the descriptor."""
        there = into.enter()
        try:
            if held >= 0 and there >= 0:
                os.link(name, name, src_dir_fd=held, dst_dir_fd=there)
            else:
                os.link(os.path.join(self.absolute, name), os.path.join(into.absolute, name))
        except OSError as failure:
            if failure.errno in NO_LINK:
                return False
            raise
        finally:
            into.leave()
        return True

    def sub(self, name: str) -> "Directory":
        """Return a directory in it, opened."""
        return Directory(self.place(name), self, name)

    def make(self, name: str, mode: int) -> None:
        """Make a directory in it, which may be there already."""
        held = self.enter()
        try:
            if held >= 0:
                os.mkdir(name, mode | DIRECTORY_BITS, dir_fd=held)
            else:
                os.mkdir(os.path.join(self.absolute, name), mode | DIRECTORY_BITS)
        except FileExistsError:
            return
        except OSError as failure:
            self.say_place(failure, name)
            raise
        finally:
            self.leave()

    def sync(self) -> None:
        """Make its entries durable; where directories cannot be opened (Windows) the rename itself must do."""
        held = self.enter()
        try:
            if held >= 0:
                os.fsync(held)
        finally:
            self.leave()

    def sync_parent(self) -> None:
        """Make its own entry in the directory above durable."""
        held = self.enter()
        try:
            if held < 0:
                return
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | OPEN_FLAGS, dir_fd=held)
        finally:
            self.leave()
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
        """Give the descriptor back, or have the last call by it do so; a second time does nothing."""
        if self.uses.close():
            self.give_back()

    def give_back(self) -> None:
        """Close the descriptor."""
        descriptor = self.descriptor
        self.descriptor = -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        descriptor = self.descriptor
        self.descriptor = -1  # or who is lost with it, and finalized behind it, would close the number once more
        close_lost(descriptor)


def foreign_name(path: str) -> str:
    """Return a name in a directory that is no part of a store; "" where there is none."""
    for name in sorted(os.listdir(path)):
        if name in (LOG, CHECKPOINTS, READERS):
            directory = os.path.join(path, name)
            if os.path.islink(directory) or not os.path.isdir(directory):
                return name
            for inner in sorted(os.listdir(directory)):
                named = inner.removesuffix(ASIDE_SUFFIX).endswith(INNER_SUFFIXES)
                if not named or not is_plain_file(os.path.join(directory, inner)):
                    return f"{name}/{inner}"
        elif name.removesuffix(ASIDE_SUFFIX) not in (STORE, LOCK, CLEAN) or not is_plain_file(os.path.join(path, name)):
            return name
    return ""


def is_plain_file(path: str) -> bool:
    """Return whether a name is that of a file, and of no link and no directory."""
    return os.path.isfile(path) and not os.path.islink(path)


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
