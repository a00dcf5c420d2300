"""Residence: whether what is read of the files is in memory, so that a map may be touched.

A page that is not there is brought by a fault when a map is touched: no other thread runs meanwhile, and an error of
the disk is a signal that ends the process. A read of the file lets others run and fails with an OSError, but takes
twice the time where the page is in memory. So files are read until many reads in a row found all in memory, which Linux
tells (RWF_NOWAIT), and through their maps from then on, until the process had a fault for a page that was not there.
"""

import errno
import mmap
import os
import sys
from typing import Any, Final, final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.device.system import optional_module, read_at

ROW_TOLD: Final = 32  # reads in a row for which the disk was not needed, where the system tells
ROW_UNTOLD: Final = 1024  # reads, where it does not
REST_READS: Final = 15  # without asking, after one that waited: each time that the GIL is given away others keep it
BROUGHT_MAX: Final = 256  # more than are told ahead at a time; what was told and is never read is soon forgotten
LOOK_EVERY: Final = 64  # reads through a map between two looks at the number of faults
RANDOM_ACCESS: Final[int] = getattr(mmap, "MADV_RANDOM", -1)
ADVICE: Final[int] = getattr(os, "POSIX_FADV_WILLNEED", -1)
NOT_THERE: Final = (errno.EAGAIN, errno.EWOULDBLOCK)
NO_WAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0) if hasattr(os, "preadv") else 0

IS_IN_MEMORY: Final = bytes([number & 1 for number in range(256)])  # of what mincore says of a page
MAP_SHARED: Final = 1

resource: Final[Any] = optional_module("resource")


def faults_of_disk() -> i64:
    """Return how many pages this process has waited for; 0 where the system does not say."""
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt  # type: ignore[no-any-return]


def map_of(descriptor: int, size: i64) -> mmap.mmap | None:
    """Return a map of a file's first `size` bytes; None where it was cut, or the system has no more maps."""
    try:
        made = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    if RANDOM_ACCESS >= 0:
        made.madvise(RANDOM_ACCESS)  # a page that is missing all the same is brought alone
    return made


@final
class MapCalls:
    """The system's calls by which it says which pages of a file are in memory; Python's own maps do not have them.

    With ctypes, which takes time to import, so they are looked for when they are wanted. None of them waits for a disk.
    """

    def __init__(self) -> None:
        self.asked = False
        self.ctypes: Any = None
        self.library: Any = None  # None where they are not there

    def found(self) -> bool:
        """Return whether the calls are there."""
        if not self.asked:
            self.asked = True
            try:
                self.find()
            except (AttributeError, OSError, TypeError):
                self.library = None
        return self.library is not None

    def find(self) -> None:
        """Look for them in the C library."""
        ctypes = optional_module("ctypes")
        if ctypes is None or not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
            return
        library = ctypes.PyDLL(None)
        library.mmap.restype = ctypes.c_void_p
        library.mmap.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int64,
        ]
        library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        library.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
        self.ctypes = ctypes
        self.library = library


MAP_CALLS: Final = MapCalls()


def pages_in_memory(descriptor: int, offset: i64, size: i64) -> bytes:
    """Return for each page of a stretch, which begins with one, 1 where it is in memory, else 0; b"" for unknown."""
    if not MAP_CALLS.found():
        return b""
    library = MAP_CALLS.library
    states = MAP_CALLS.ctypes.create_string_buffer(int((size + mmap.PAGESIZE - 1) // mmap.PAGESIZE))
    base = library.mmap(None, int(size), 0, MAP_SHARED, descriptor, int(offset))
    if base is None or base == MAP_CALLS.ctypes.c_void_p(-1).value:
        return b""
    try:
        told = library.mincore(base, int(size), states) == 0
    finally:
        library.munmap(base, int(size))
    return states.raw.translate(IS_IN_MEMORY) if told else b""


def missing(descriptor: int, offset: i64, size: i64) -> list[tuple[int, int]]:
    """Return the stretches, in whole pages, that are not in memory of some of a file; none where that is not known."""
    page: i64 = mmap.PAGESIZE
    start: i64 = offset & -page
    states = pages_in_memory(descriptor, start, offset + size - start)
    found: list[tuple[int, int]] = []
    first = states.find(b"\0")
    while first >= 0:
        last = states.find(b"\1", first)
        if last < 0:
            last = len(states)
        found.append((int(start + first * page), int(start + last * page)))
        first = states.find(b"\0", last)
    return found


@final
class Residence:
    """What is known of one device's files. Threads may get into each other's way here, which costs speed alone."""

    def __init__(self, always: bool) -> None:
        self.told = NO_WAIT != 0
        self.row: i64 = 0
        self.rest: i64 = 0  # reads before the system is asked again
        self.unasked: i64 = 0  # as that, of what the system is told to bring
        self.brought: i64 = 0  # reads to come of what it was told to bring: that they find it there says nothing
        self.left: i64 = ADDRESS_MAX if always else 0  # reads through a map before the next look
        self.faults: i64 = -1  # when it was looked last, -1 while no map is touched

    def may_map(self) -> bool:
        """Return whether the next read may go through a map."""
        if self.left > 0:
            self.left -= 1
            return True
        if self.row < (ROW_TOLD if self.told else ROW_UNTOLD):
            return False
        faults = faults_of_disk()
        if self.faults >= 0 and faults != self.faults:
            self.row = 0
            self.faults = -1
            return False
        self.faults = faults
        self.left = LOOK_EVERY - 1
        return True

    def bring(self, descriptor: int, size: i64, offset: i64) -> bool:
        """Have the system begin to bring some bytes; False where that is of no use, since they are in memory."""
        if ADVICE < 0 or self.left > 0 or (self.told and self.row >= ROW_TOLD):
            return False
        if self.told:
            self.unasked -= 1
            if self.unasked < 0:
                self.unasked = REST_READS
                if len(self.read_there(descriptor, 1, offset)) > 0:
                    self.row += 1
                    return True
                self.row = 0
        try:
            os.posix_fadvise(descriptor, offset, size, ADVICE)
        except OSError:  # what is wrong a read says better
            return False
        if self.brought < BROUGHT_MAX:
            self.brought += 1
        return True

    def read(self, descriptor: int, size: i64, offset: i64) -> bytes:
        """Return up to `size` bytes at `offset`, as read_at does, and take note of whether they were in memory."""
        if self.brought > 0:
            self.brought -= 1
        elif not self.told:
            self.row += 1
        elif self.rest > 0:
            self.rest -= 1
        else:
            data = self.read_there(descriptor, size, offset)
            if len(data) == size:
                self.row += 1
                return data
            self.row = 0
            self.rest = REST_READS
        return read_at(descriptor, size, offset)

    def read_there(self, descriptor: int, size: i64, offset: i64) -> bytes:
        """Return what is in memory of these bytes from their first one on."""
        buffer = bytearray(size)
        try:
            done = os.preadv(descriptor, [buffer], offset, NO_WAIT)
        except OSError as failure:
            if failure.errno not in NOT_THERE:  # no file system for that, or what a read will say better
                self.told = False
            return b""
        return bytes(buffer) if done == size else b""
