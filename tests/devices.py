"""Devices of the tests' own, written as a user would write one: interpreted subclasses of Device."""

from bisect import bisect_right
from collections.abc import Callable

from oxidbm._core.device import Device


class HeapDevice(Device):
    """Keeps the log in a bytearray. `survivors()` is what a crash leaves: nothing that was not synced.

    A segment ends at the first write that starts a page once it holds `segment_bytes`, so compaction gives space back
    in small steps. `before_read` is called at the start of each read, where other threads might run.
    """

    def __init__(self, page_bytes: int, segment_bytes: int = 16384) -> None:
        self.page_bytes = page_bytes
        self.segment_bytes = segment_bytes
        self.starts: list[int] = []
        self.data = bytearray()
        self.synced: tuple[list[int], bytes] = ([], b"")
        self.rolling = False
        self.reads = 0
        self.before_read: Callable[[], None] = lambda: None

    def survivors(self) -> "HeapDevice":
        """Return the device as it is after a crash."""
        other = HeapDevice(self.page_bytes, self.segment_bytes)
        other.synced = self.synced
        other.starts, other.data = list(self.synced[0]), bytearray(self.synced[1])
        return other

    def begin(self) -> int:
        """Return the address of the first byte held."""
        return self.starts[0] if self.starts else 0

    def end(self) -> int:
        """Return the address behind the last byte held."""
        return self.begin() + len(self.data)

    def write(self, address: int, data: memoryview) -> None:
        """Put the data where it belongs; a gap before it becomes zeros."""
        if not self.starts:
            self.starts.append(address // self.page_bytes * self.page_bytes)
        elif address % self.page_bytes == 0:
            aim = 1 if self.rolling else self.segment_bytes
            if address - self.starts[-1] >= aim:
                self.starts.append(address)
                self.rolling = False
        start = address - self.begin()
        self.data.extend(bytes(max(0, start - len(self.data))))
        self.data[start : start + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of one segment."""
        self.reads += 1
        self.before_read()
        start = address - self.begin()
        if start < 0:
            return b""
        return bytes(self.data[start : min(start + size, self.segment_end(address) - self.begin())])

    def sync(self) -> None:
        """Let what is there now survive a crash."""
        self.synced = (list(self.starts), bytes(self.data))

    def truncate_before(self, address: int) -> None:
        """Drop whole segments that end at or before `address`; the last one stays."""
        passed = min(bisect_right(self.starts, address), len(self.starts)) - 1
        if passed > 0:
            data = self.data[self.starts[passed] - self.starts[0] :]
            self.starts, self.data = self.starts[passed:], data  # in one step: Ctrl-C comes between calls only

    def truncate_after(self, address: int) -> None:
        """Cut the log off at `address`, durably."""
        del self.data[max(address - self.begin(), 0) :]
        while self.starts and self.starts[-1] >= address:
            self.starts.pop()
        self.sync()

    def roll(self) -> None:
        """Begin a new segment with the next write that starts a page."""
        self.rolling = True

    def segment_end(self, address: int) -> int:
        """Return where the segment that holds `address` ends."""
        following = bisect_right(self.starts, address)
        return self.starts[following] if following < len(self.starts) else self.end()

    def place(self, address: int) -> str:
        """Return the address in words."""
        return f"heap device at offset {address - self.begin()}"

    def size(self) -> int:
        """Return the bytes held."""
        return len(self.data)

    def close(self) -> None:
        """Keep everything: the device is opened again by the next store."""
