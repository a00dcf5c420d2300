"""Devices: where the sealed part of the log goes and comes back from.

A device holds one contiguous range of logical addresses, written in rising order, cut at either end. `write`, `read`
and `sync` may let other threads run. A device never retries and never hides a failure: the OSError goes to the caller,
who poisons the store. NullDevice keeps nothing, for stores that live in memory; FileDevice (segments.py) keeps files.
`oxidbm.testing.check_device` tries all of that on anybody's device.
"""

from mypy_extensions import i64, mypyc_attr

from oxidbm._core.arguments import shown
from oxidbm._core.errors import CorruptionError


@mypyc_attr(allow_interpreted_subclasses=True)
class Device:
    """The interface of what keeps a store's log; the module oxidbm.device says what a device of one's own owes.

    Addresses and sizes are in bytes. A device holds [begin(), end()) in segments, each of which starts at a page.
    """

    def begin(self) -> i64:
        """Return the address where the first segment starts, 0 where nothing is held."""
        raise NotImplementedError

    def end(self) -> i64:
        """Return the address behind the last byte held, 0 where nothing is."""
        raise NotImplementedError

    def write(self, address: i64, data: memoryview) -> None:
        """Write `data` at `address`; it can be read at once, and is durable after the next `sync`.

        It starts where the last write ended, at the start of a later page, or, after a write that was interrupted,
        where that one started. What is left out before it reads as zeros. The first write of all may start inside of a
        page: the segment starts with the page. Copy the data: it is the store's memory, and changes after the call.
        """
        raise NotImplementedError

    def read(self, address: i64, size: i64) -> bytes:
        """Return up to `size` bytes from `address` on, fewer only at the end of a segment, b"" where nothing is held.

        Any number of threads may read at a time, also while another thread writes, syncs or truncates.
        """
        raise NotImplementedError

    def read_many(self, requests: list[tuple[int, int]]) -> list[bytes]:
        """Return what `read` returns for each (address, size), in order; a device that can overlap them should."""
        found: list[bytes] = []
        for address, size in requests:
            found.append(self.read(address, size))
        return found

    def will_read(self, address: i64, size: i64) -> bool:
        """Take note that `read` will be asked for these bytes soon, to bring them meanwhile; False for no use.

        Of many such calls in a row the first False is the last one. A failure is the later read's to say.
        """
        return False

    def data_from(self, address: i64) -> i64:
        """Return `address`, or the start of a later page or `end()` where all bytes before that are zeros, unread."""
        return address

    def sync(self) -> None:
        """Return when everything written before the call is durable; another thread may write meanwhile."""
        raise NotImplementedError

    def truncate_before(self, address: i64) -> None:
        """Give back the space of whole segments that end at or before `address`, never that of the last segment."""
        raise NotImplementedError

    def truncate_after(self, address: i64) -> None:
        """Forget what stands at `address` and behind it, durably when the call returns; the log goes on from there.

        It is called when a store is opened, before anything is written. What it cut off must never be read again.
        """
        raise NotImplementedError

    def roll(self) -> None:
        """Begin a new segment with the next write that starts a page."""
        raise NotImplementedError

    def finish(self) -> None:
        """Give back what was taken ahead of writes; the store is closing, and durable. It may be written all the same.

        A device that takes nothing ahead leaves this as it is.
        """

    def segment_end(self, address: i64) -> i64:
        """Return the address where the segment that holds `address` ends: the next one's start, or `end()`."""
        raise NotImplementedError

    def place(self, address: i64) -> str:
        """Return where any address stands, as file and offset or the like, for error messages."""
        raise NotImplementedError

    def size(self) -> i64:
        """Return the bytes of space taken, 0 only where nothing is held."""
        raise NotImplementedError

    def look_again(self) -> None:
        """Take note of what a writer beside this reader has appended; to do where a device does not see that anyway."""

    def close(self) -> None:
        """Give back files and the like; a second time does nothing. A store has synced before, and calls no more."""
        raise NotImplementedError


class NullDevice(Device):
    """Keeps nothing: the log of a store without a path."""

    def __init__(self, begin: i64) -> None:
        self.begin_address: i64 = begin

    def begin(self) -> i64:
        """Return the address where the log begins."""
        return self.begin_address

    def end(self) -> i64:
        """Return the same: nothing is held."""
        return self.begin_address

    def write(self, address: i64, data: memoryview) -> None:
        """Drop the data."""

    def read(self, address: i64, size: i64) -> bytes:
        """Raise: what left memory is gone."""
        raise CorruptionError(f"address {address} was read from a store that lives in memory only")

    def sync(self) -> None:
        """Return at once."""

    def truncate_before(self, address: i64) -> None:
        """Do nothing."""
        self.begin_address = max(self.begin_address, address)

    def truncate_after(self, address: i64) -> None:
        """Do nothing."""

    def roll(self) -> None:
        """Do nothing."""

    def segment_end(self, address: i64) -> i64:
        """Return the address: there are no segments."""
        return address

    def place(self, address: i64) -> str:
        """Return the address in words."""
        return f"address {address} in memory"

    def size(self) -> i64:
        """Return 0."""
        return 0

    def close(self) -> None:
        """Do nothing."""


def as_device(device: object) -> Device | None:
    """Return a device that was given, None where none was; TypeError for what is none."""
    if device is not None and not isinstance(device, Device):
        raise TypeError(f"device is an oxidbm.device.Device, or None for files, not {shown(device)}")
    return device


def segment_starts(device: Device, begin: i64, end: i64) -> list[int]:
    """Return where the segments start that hold [begin, end) of the log; the last one of all goes on behind its end."""
    start = device.begin()
    stop = device.end()
    found: list[int] = []
    while begin < end and start < min(end, stop):
        following = device.segment_end(start)
        if following > begin or following == stop:
            found.append(int(start))
        if following <= start:
            break
        start = following
    return found
