"""Calls of the operating system, each where systems differ: whole reads and writes at an offset, and syncs.

Nothing here retries or hides a failure; the OSError goes to the caller. All of it may let other threads run.
"""

import errno
import importlib
import os
from typing import Any, Final

from mypy_extensions import i64

OPEN_FLAGS: Final[int] = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
SEEK_DATA: Final[int] = getattr(os, "SEEK_DATA", -1)  # where the system tells holes
ZEROS_STEP: Final = 65536
LOCK_OFFSET: Final = 1 << 20  # of the byte that is locked on Windows, behind all that stands in such a file
WRITE_BYTES_MAX: Final = 0x40000000  # some systems write no more in one call
HAS_DIRECTORY_DESCRIPTORS: Final[bool] = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")


def optional_module(name: str) -> Any:
    """Return a module that not every system has, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


fcntl: Final = optional_module("fcntl")  # now: while the interpreter ends nothing can be imported any more
FULL_SYNC: Final[int] = getattr(fcntl, "F_FULLFSYNC", -1)
HAS_DATA_SYNC: Final[bool] = hasattr(os, "fdatasync")


def sync_file(descriptor: int) -> None:
    """Make a file's bytes and size durable; on macOS past the drive's cache too, which plain fsync is not."""
    if FULL_SYNC >= 0:
        fcntl.fcntl(descriptor, FULL_SYNC)
    elif HAS_DATA_SYNC:
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def is_named(descriptor: int, name: str) -> bool:
    """Return whether a file that was opened is known to have that name still; False where the system does not say.

    A file's status would say so too, but with its times: from then on Linux gives the next write a time of its own, and
    the file's next sync puts it through the file system's journal. That made a durable write half as long again.
    """
    try:
        link = os.readlink(
            f"/proc/self/fd/{descriptor}"
        )  # ends in " (deleted)" where the name is gone or another file's
    except (OSError, AttributeError):
        return False
    return link.endswith("/" + name)


def file_size(descriptor: int) -> i64:
    """Return how long a file is, without asking for its times (see is_named); moves where plain reads go on."""
    return os.lseek(descriptor, 0, os.SEEK_END)


def try_lock(descriptor: int) -> bool:
    """Lock a file for this opening of it, unless somebody has; flock where there is one, a byte of it on Windows."""
    if fcntl is None:
        windows: Any = importlib.import_module("msvcrt")
        try:
            os.lseek(descriptor, LOCK_OFFSET, os.SEEK_SET)
            windows.locking(descriptor, windows.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Give the lock back, also where a forked child has not closed its copy of the descriptor yet."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


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


def nonzero_end(descriptor: int, size: i64, first: i64, most: i64) -> i64:
    """Return the offset behind the last byte of a file of `size` bytes that is not zero, or that of its last `most`.

    It looks backwards, at the last `first` bytes before all others.
    """
    end = size
    least = max(size - most, i64(0))
    step = first
    while end > least:
        start = max(end - step, least)
        left: i64 = len(read_at(descriptor, end - start, start).rstrip(b"\0"))
        if left > 0:
            return start + left
        end = start
        step = ZEROS_STEP
    return end


def write_at(descriptor: int, data: memoryview, offset: i64) -> None:
    """Write all of `data` at `offset`."""
    done: i64 = 0
    size: i64 = len(data)
    while done < size:
        part = data if size <= WRITE_BYTES_MAX and done == 0 else data[done : done + WRITE_BYTES_MAX]
        if hasattr(os, "pwrite"):
            done += os.pwrite(descriptor, part, offset + done)
        else:
            os.lseek(descriptor, offset + done, os.SEEK_SET)
            done += os.write(descriptor, part)


def hole_end(descriptor: int, offset: i64, size: i64) -> i64:
    """Return the offset, or where the hole of a sparse file ends that it stands in; `size` where no data follow."""
    if SEEK_DATA < 0 or offset >= size:
        return offset
    try:
        return os.lseek(descriptor, offset, SEEK_DATA)
    except OSError as failure:
        return size if failure.errno == errno.ENXIO else offset


def host_name() -> str:
    """Return this machine's name; where the system does not say (Windows), through a module that is slow to import."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


def close_lost(descriptor: int) -> None:
    """Close a descriptor whose owner is gone, for its finalizer, which must not raise; of -1 there is none."""
    if descriptor >= 0:
        try:
            os.close(descriptor)
        except Exception:  # the interpreter may have ended, and nobody is left to be told
            return


def with_advice(failure: OSError, count: int) -> OSError:
    """Return the failure of opening one of so many files; where the system allows no more of them, what to do too."""
    if failure.errno not in (errno.EMFILE, errno.ENFILE):
        return failure
    why = (
        f"{os.strerror(failure.errno)}: the log keeps each of its {count} files open. Let the process have more "
        "(ulimit -n, RLIMIT_NOFILE), or close others"
    )
    return OSError(failure.errno, why, failure.filename)


def disk_space(path: str | int) -> tuple[int, int] | None:
    """Return the bytes of a path's or descriptor's file system, and how many are free; None where it does not say."""
    try:
        status = os.statvfs(path)
    except (AttributeError, OSError):
        return None
    if status.f_blocks == 0:
        return None
    return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
