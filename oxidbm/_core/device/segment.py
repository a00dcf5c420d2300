"""One segment file: its place in the log, its map, and the surplus behind its data."""

import mmap
import os
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.device.residence import map_of
from oxidbm._core.device.system import close_lost
from oxidbm._core.handlers import came_from_handler

SURPLUS_BYTES: Final = 1 << 20


@final
class Segment:
    """One file of the log: the range [start, start + size), and behind it a surplus up to `length`.

    One that is lost closes its file (see open_file).
    """

    descriptor: int = -1  # also where __init__ fails, as the finalizer must expect

    def __init__(self, name: str, start: i64, descriptor: int, size: i64) -> None:
        self.name = name
        self.start: i64 = start
        self.descriptor = descriptor
        self.size: i64 = size
        self.length: i64 = size
        self.synced = False  # since it was opened
        self.dirty = False
        self.map: mmap.mmap | None = None

    def mapping(self) -> mmap.mmap | None:
        """Return the file's map, made once, when the file is complete; None where it cannot be mapped to its end.

        Making one lets other threads run, which may have made it too by then; dropping one does as well, and compiled
        code lets go of an attribute's old value before it sets the new one: a map that can be reached is not replaced.
        """
        view = self.map
        if view is None:
            fresh = map_of(self.descriptor, self.size)
            if fresh is None:
                return None
            view = self.held_map()
            if view is None:
                self.map = view = fresh
        return view

    def held_map(self) -> mmap.mmap | None:
        """Return the map, read anew: a second look in one function would be taken to be the first one's."""
        return self.map

    def lengthen(self, stop: i64) -> bool:
        """Make the file longer than `stop` by a surplus; False where the system or a limit does not let it.

        The length is noted before: the call may be interrupted when it is done, by a signal handler that raises.
        """
        self.length = (stop + SURPLUS_BYTES) & -SURPLUS_BYTES
        try:
            os.ftruncate(self.descriptor, self.length)
        except OSError as failure:
            if came_from_handler(failure):
                raise
            return False
        return True

    def cut_surplus(self) -> None:
        """Let the file end with its data."""
        if self.length > self.size:
            os.ftruncate(self.descriptor, self.size)
            self.length = self.size
            self.dirty = True

    def unmap(self) -> None:
        """Drop the map."""
        old = self.map
        self.map = None
        if old is not None:
            old.close()

    def close(self) -> None:
        """Close file and mapping; there is nothing to sync any more, though it may still be in a list of segments."""
        self.dirty = False
        self.unmap()
        descriptor = self.descriptor
        self.descriptor = -1  # before other threads can run: the number may be another file's after it was closed once
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        descriptor = self.descriptor
        self.descriptor = -1  # or who is lost with it, and finalized behind it, would close the number once more
        close_lost(descriptor)
