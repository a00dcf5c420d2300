"""Removing what stands at a path: a store, a log or a queue, with all its files, and nothing that is none of theirs.

It is moved aside first, so that a crash leaves all of it, or none, and never a part of it under its name.
"""

import os
from typing import Final

from oxidbm._core.device.directory import STORE, Directory, foreign_name, remove_directory
from oxidbm._core.device.directory_lock import DirectoryLock
from oxidbm._core.durability.superblock import A_STORE, KINDS, Kind
from oxidbm._core.errors import FormatError, MissingError

__all__ = ["A_STORE", "kind_of", "make_way", "remove"]

REPLACED: Final = ".replaced"

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def remove(path: AnyPath) -> None:
    """Remove a store, a log or a queue: its directory with all its files, and a link that led there.

    It is moved aside first, to its name with ".replaced" behind it, so that a crash leaves all of it or none under its
    own name; what a crash has left there goes with the next removal. O(number of files).

    Raises MissingError (a FileNotFoundError) where nothing is there; FormatError, and removes nothing, where it is
    something else, or holds a file that is none of its own; LockedError where it is open for writing.
    """
    name = os.fsdecode(os.fspath(path))
    name = name.rstrip(os.sep) or name  # behind a link's name it would stand for what that leads to
    if not os.path.lexists(name):
        raise MissingError(2, "there is no store, log or queue to remove", name)
    if kind_of(name) is None:
        raise FormatError(f"{name} is no store, log or queue: it has no file {STORE} of one; nothing was removed")
    where = move_away(name, None, lock=True)
    if os.path.islink(name):
        os.unlink(name)  # which led to what is gone
    elif os.path.isdir(where):
        os.rmdir(where)


def make_way(path: str, kind: Kind, *, lock: bool) -> str:
    """Remove the store or file at `path`, and return where another is to be made: behind a link to a store."""
    if not os.path.isdir(path):
        if os.path.lexists(path):
            os.unlink(path)
        return path
    return move_away(path, kind, lock=lock)


def move_away(path: str, only: Kind | None, *, lock: bool) -> str:
    """Remove what is in a directory, of one kind where `only` says so, and the directory; return where it stood.

    An empty one stays.
    """
    path = os.path.realpath(path)
    aside = path + REPLACED
    kind = kind_of(path)
    if kind is not None and only is not None and kind is not only:
        raise FormatError(f"{path} is a {kind.what}, which is not replaced by a {only.what}; choose a new name")
    if os.path.isdir(aside) and not foreign_name(aside) and kind_of(aside) in (None, only, kind):
        held = locked(aside) if lock else None  # nobody has it open, who calls a store so
        try:
            remove_directory(aside)  # a crash left it
        finally:
            if held is not None:
                held.close()
    names = os.listdir(path)
    foreign = foreign_name(path)
    if foreign:
        raise FormatError(
            f"{path} is a directory that holds {foreign}, which is no part of a {(only or kind or KINDS[0]).what}; "
            + ("choose a new name" if only is not None else "move that away first")
        )
    if not names:
        return path
    held = locked(path) if lock else None
    try:
        os.rename(path, aside)
        remove_directory(aside)
    finally:
        if held is not None:
            held.close()
    return path


def locked(path: str) -> DirectoryLock:
    """Return the lock of a store's directory."""
    directory = Directory(path)
    try:
        return DirectoryLock(directory, 0o666)
    finally:
        directory.close()


def kind_of(file: AnyPath) -> Kind | None:
    """Return what the directory at a path is, as its superblock begins; None where it has none of ours."""
    try:
        descriptor = os.open(os.path.join(os.fsdecode(os.fspath(file)), STORE), os.O_RDONLY)
    except OSError:
        return None
    try:
        magic = os.read(descriptor, len(KINDS[0].magic))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return next((kind for kind in KINDS if kind.magic == magic), None)
