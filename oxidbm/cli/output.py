"""Where a dump goes: stdout, a pipe or a device, or a file that takes its name when it is complete.

1. A file is written under a name of its own in the same directory, made with O_EXCL, so no neighbour is touched, then
   synced and renamed over what was there. Whatever ends the dump leaves that, and takes the unfinished file away.
2. A symbolic link stays, and what it leads to is replaced: the link is where people look for the dump.
3. What was there keeps its mode, and its owner where that can be set.
4. A pipe, a device, and the file that stdout goes to already are written as they are, since they cannot be replaced.
"""

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from oxidbm.cli import streams

EXCLUSIVE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def output_file(path: Path | None, store: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open stdout, or a file that gets its name when all is written and durable; none inside of the store."""
    if path is None:
        with streams.of_stream("stdout"):
            yield streams.stdout()
        return
    try:
        before = path.stat()
    except FileNotFoundError:
        before = None
    target = os.path.realpath(path)
    inside = os.path.realpath(store)
    if before is not None and is_stdout(before):
        with streams.of_stream("stdout"):
            yield streams.stdout()
    elif before is not None and not stat.S_ISREG(before.st_mode):
        with path.open("wb") as file:
            yield file
    elif os.path.commonpath([inside, target]) == inside:
        raise ValueError(f"{path} is inside of the store {store}, whose files it may replace; choose another place")
    elif before is not None and not os.access(target, os.W_OK):
        raise PermissionError(13, "it may not be written", os.fspath(path))
    else:
        with replaced_file(target, before) as file:
            yield file


def is_stdout(status: os.stat_result) -> bool:
    """Tell whether a file is what stdout goes to, as /dev/stdout is."""
    try:
        return os.path.samestat(status, os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):
        return False


@contextmanager
def replaced_file(target: str, before: os.stat_result | None) -> Iterator[BinaryIO]:
    """Open a new file that takes the target's name at the end of the block, and is deleted where that fails."""
    directory = os.path.dirname(target)
    unfinished = os.path.join(directory, f".oxidbm-{secrets.token_hex(8)}.new")
    try:
        descriptor = os.open(unfinished, EXCLUSIVE, 0o666)
    except OSError as failure:
        failure.filename = target
        raise
    try:
        with open(descriptor, "wb") as file:
            if before is not None and hasattr(os, "fchmod"):
                with contextlib.suppress(OSError):
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(unfinished, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    if os.name == "posix":
        opened = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
