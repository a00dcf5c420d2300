"""A file that is locked, as long as it is open: this process knows all of them, and a forked child has none.

A lock of the system's belongs to the opening, which a child shares: were its descriptor left in there, the lock would
be held as long as that child lives, though who took it is dead.
"""

import os
from typing import Final, final

from oxidbm._core.device.directory import Directory
from oxidbm._core.device.system import unlock


@final
class LockFile:
    """One file, which is locked, or about to be. Who owns it closes it in its finalizer: it is known in here."""

    def __init__(self) -> None:
        self.identity = (-1, -1)  # of the file that is locked
        self.held = False
        self.descriptor = -1

    def open(self, directory: Directory, name: str, flags: int, mode: int) -> None:
        """Open it."""
        HELD[id(self)] = self
        self.descriptor = directory.open(name, flags, mode)

    def is_named(self, directory: Directory, name: str) -> bool:
        """Return whether a name leads to it, and no other file was put there, or none, since it was opened."""
        named = directory.status(name)
        held = os.fstat(self.descriptor)
        self.identity = (held.st_dev, held.st_ino)
        return named is not None and (named.st_dev, named.st_ino) == self.identity

    def close(self) -> None:
        """Give the lock back, also where a forked child has not closed its copy yet."""
        descriptor = self.take_descriptor()
        if descriptor >= 0:
            try:  # and no contextlib, in whose code a signal handler may raise: the lock would be held for ever
                unlock(descriptor)
            except OSError:
                return  # closing it does as well
            finally:
                os.close(descriptor)

    def forget(self) -> None:
        """Close the file and leave the lock to the parent process, whose it is, or to nobody."""
        descriptor = self.take_descriptor()
        if descriptor >= 0:
            os.close(descriptor)

    def take_descriptor(self) -> int:
        """Return the descriptor, which nobody else gives back then; -1 where somebody does."""
        HELD.pop(id(self), None)
        self.held = False
        descriptor = self.descriptor
        self.descriptor = -1
        return descriptor


def close_of_lost(file: LockFile | None) -> None:
    """Close the file of an owner that is lost, in its finalizer; None where that has not come to have one."""
    try:
        if file is not None:
            file.close()
    except Exception:  # the interpreter may have ended, and nobody is left to be told
        return


HELD: Final[dict[int, LockFile]] = {}  # also those that are just being opened


def forget_locks() -> None:
    """Leave every lock to the parent process, in a forked child."""
    for file in list(HELD.values()):
        file.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_locks)
