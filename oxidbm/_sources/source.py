"""What a source is to the converter, and how its files are opened: regular ones only, and seen to stay as they are."""

import os
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, TypeAlias

from oxidbm import error

Pairs: TypeAlias = Iterator[tuple[bytes, bytes]]
Items: TypeAlias = Iterator[tuple[bytes, bytes, int, int]]  # with expiry in milliseconds since 1970 and tag, or 0

# What opens a pipe without a writer to read waits for one; where the system has no such flag, it has no such pipes.
NO_WAITING: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class SourceError(error):
    """The source is no database of that kind, is damaged, or holds what a store cannot; the message says which."""


class Source:
    """An open source.

    count: how many items it has, None where only reading tells.
    pairs: the items, which are read as they are taken.
    left_out: what is not among the items, in words, filled as they are read.
    pickled: whether the values are pickles, as a shelf's are.
    """

    def __init__(self, count: int | None, pairs: Pairs, left_out: list[str] | None = None) -> None:
        self.count = count
        self.pairs = pairs
        self.left_out = [] if left_out is None else left_out
        self.pickled = False

    def items(self) -> Items:
        """Return the items with expiry and tag, of which there are none."""
        return ((key, value, 0, 0) for key, value in self.pairs)


class SourceOfItems(Source):
    """An open source whose items have expiry and tag."""

    def __init__(self, count: int | None, items: Items) -> None:
        super().__init__(count, ((key, value) for key, value, _, _ in items))
        self.marked = items

    def items(self) -> Items:
        """Return the items."""
        return self.marked


def check_regular(path: str) -> None:
    """Raise SourceError where something is at a path that is no file; opening a pipe would wait for its writer."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # whoever opens it says what is wrong
    if not stat.S_ISREG(mode):
        raise SourceError(f"{path} is {kind_of(mode)}, not a file")


def kind_of(mode: int) -> str:
    """Return what a thing that is no file is, in words."""
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"


def open_regular(path: str) -> BinaryIO:
    """Open a file to read; SourceError for anything else, which is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | NO_WAITING)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise SourceError(f"{path} is {kind_of(mode)}, not a file")
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


class Unchanged:
    """Files as they were when it was made; `check` raises SourceError where one is another now."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.before = {path: appearance(path) for path in paths}

    def check(self) -> None:
        """Raise SourceError where a file was written, replaced, made or removed meanwhile."""
        for path, before in self.before.items():
            if appearance(path) != before:
                raise SourceError(
                    f"{path} was changed while it was read, so what is in the store may be of two states; convert it "
                    "again when nobody writes to it"
                )


def appearance(path: str) -> tuple[int, ...] | None:
    """Return what changes when a file is written or replaced; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
