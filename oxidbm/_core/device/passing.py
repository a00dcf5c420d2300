"""Passing: what a pass over much of the log brings into the system's memory goes again behind it.

A scan, a check or a compaction reads each byte once. Left in memory, that drives out what is read again and again, of
this store and of others. The system would take it back for the asking (POSIX_FADV_DONTNEED), and with it what was
there before the pass. So it is looked at before what is in memory, so far ahead of what is read that the system's own
reading ahead has not come there, and what was not is given back once the pass is behind it.
"""

import mmap
import os
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.device.residence import missing
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.device.spare_memory import spare_memory
from oxidbm._core.handlers import came_from_handler

WINDOW_BYTES: Final = 4 << 20  # no large page of the system's reaches over the end of one, or it would not go
AHEAD_BYTES: Final = 32 << 20  # systems read up to 8 MiB ahead, and once more as much while that is being read
PASS_BYTES_MIN: Final = 64 << 20  # what is shorter drives out little, and the system is not even asked what it has
NOT_MAPPED: Final[int] = getattr(mmap, "MADV_DONTNEED", -1)  # comes back with the next touch
DONT_NEED: Final[int] = getattr(os, "POSIX_FADV_DONTNEED", -1)


@final
class Passing:
    """One pass in order of addresses, up to `stop`."""

    def __init__(self, device: FileDevice, stop: i64) -> None:
        self.device = device
        self.stop: i64 = stop
        self.seen: i64 = 0  # up to where it was looked at
        self.brought: list[tuple[int, int]] = []  # what was not in memory then, from one address to another

    def before(self, address: i64, size: i64) -> None:
        """Look at what is in memory of the bytes that are read next, and give back what was brought before them."""
        self.give_back(address)
        at = max(self.seen, address)
        stop = min(address + size + AHEAD_BYTES, self.stop)
        while at < stop:
            at = self.look(at)
        self.seen = at

    def look(self, address: i64) -> i64:
        """Look at the window that an address is in, from there on, and return where it ends."""
        device = self.device
        i = device.find(address)
        if i < 0:
            return self.stop
        segment = device.segments[i]
        offset: i64 = address - segment.start
        end: i64 = min((offset + WINDOW_BYTES) & -WINDOW_BYTES, segment.size, self.stop - segment.start)
        if end <= offset:
            return device.starts[i + 1] if i + 1 < len(device.starts) else self.stop
        for first, last in missing(segment.descriptor, offset, end - offset):
            self.brought.append((int(segment.start) + first, int(segment.start) + last))
        return segment.start + end

    def give_back(self, until: i64) -> None:
        """Let the system forget what was brought before an address."""
        while self.brought and self.brought[0][1] <= until:
            first, last = self.brought.pop(0)
            i = self.device.find(i64(first))
            if i >= 0:
                segment = self.device.segments[i]
                forget(segment.descriptor, segment.map, first - segment.start, last - first)

    def end(self) -> None:
        """As `give_back`, of all."""
        self.give_back(ADDRESS_MAX)


def forget(descriptor: int, view: mmap.mmap | None, offset: i64, size: i64) -> None:
    """Let the system have the memory of a stretch of a file, also where it was read through a map; it may say no."""
    try:
        if view is not None and NOT_MAPPED >= 0:
            view.madvise(NOT_MAPPED, offset, size)
        os.posix_fadvise(descriptor, offset, size, DONT_NEED)
    except (OSError, ValueError) as failure:  # as of a map that is closed meanwhile
        if came_from_handler(failure):
            raise


def passing_over(device: FileDevice, address: i64, stop: i64) -> Passing | None:
    """Return the pass between two addresses; None where what it brings into memory may stay there."""
    most: i64 = device.pass_bytes
    if DONT_NEED < 0 or stop - address <= (PASS_BYTES_MIN if most < 0 else most):
        return None
    if most < 0 and stop - address <= spare_memory():
        return None
    return Passing(device, stop)
