"""What salvage and backup share: a store that is written beside its place, and gets its name when it is complete.

TARGET.unfinished is a directory beside the target. What fails, or is killed, leaves no target that looks whole.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from oxidbm._core.device.directory import LOCK, LOG, Directory, remove_directory
from oxidbm._core.device.open_file import OpenFile
from oxidbm._core.durability.superblock import Superblock, write_superblock

UNFINISHED: Final = ".unfinished"

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def path_of(path: Path) -> str:
    """Return a path as messages have it, without a slash at its end."""
    text = os.fsdecode(os.fspath(path))
    return text.rstrip(os.sep) or text


@contextlib.contextmanager
def beside_no_writer(directory: Directory) -> Iterator[bool]:
    """Keep writers away meanwhile, where the system can; yield False, and do nothing, where one is there."""
    try:
        import fcntl

        file = OpenFile(directory, LOCK, os.O_RDONLY)
    except (ImportError, OSError):  # no flock, or no file that a writer could hold
        yield True
        return
    with file as descriptor:
        free = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        yield free


def make_empty(path: str, block: Superblock) -> None:
    """Make the directory of a store or log in which nothing is, with this superblock."""
    os.makedirs(os.path.join(path, LOG))
    directory = Directory(path)
    try:
        write_superblock(directory, block, 0o666)
    finally:
        directory.close()


def sync_name(target: str) -> None:
    """Make a directory's name durable."""
    above = Directory(target)
    try:
        above.sync_parent()
    finally:
        above.close()


def discard(unfinished: str, failure: BaseException) -> None:
    """Delete a target that will not be complete; where that fails, the failure says so."""
    try:
        if os.path.lexists(unfinished):
            remove_directory(unfinished)
    except OSError as second:
        failure.add_note(f"{unfinished} holds a part of what was written and could not be deleted: {second}")
