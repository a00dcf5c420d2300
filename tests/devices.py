"""Devices of the tests' own, written as a user would write one: interpreted subclasses of Device."""

from collections.abc import Callable

from oxidbm._core.device.device import Device


class HeapDevice(Device):
    """Keeps the log in memory. `survivors()` is what a crash leaves: nothing that was not synced.

    A segment ends at the first write that starts a page once it holds `segment_bytes`, so compaction gives space back
    in small steps. `before_read` is called at the start of each read, where other threads might run. Threads, and
    Ctrl-C, come between any two lines here: what asks for more than one thing about the segments copies their list,
    and nothing is a generator, since one that is left before its end swallows a Ctrl-C.
    """

    def __init__(self, page_bytes: int, segment_bytes: int = 16384) -> None:
        self.page_bytes = page_bytes
        self.segment_bytes = segment_bytes
        self.segments: list[tuple[int, bytearray]] = []
        self.synced: list[tuple[int, bytes]] = []
        self.rolling = False
        self.reads = 0
        self.before_read: Callable[[], None] = lambda: None

    def survivors(self) -> "HeapDevice":
        """Return the device as it is after a crash."""
        other = HeapDevice(self.page_bytes, self.segment_bytes)
        other.synced = self.synced
        other.segments = [(start, bytearray(data)) for start, data in self.synced]
        return other

    def begin(self) -> int:
        """Return the address of the first byte held."""
        held = self.segments.copy()
        return held[0][0] if held else 0

    def end(self) -> int:
        """Return the address behind the last byte held."""
        held = self.segments.copy()
        return held[-1][0] + len(held[-1][1]) if held else 0

    def write(self, address: int, data: memoryview) -> None:
        """Put the data where it belongs; a gap before it becomes zeros."""
        if not self.segments:
            self.segments.append((address // self.page_bytes * self.page_bytes, bytearray()))
        elif address % self.page_bytes == 0:
            aim = 1 if self.rolling else self.segment_bytes
            if address - self.segments[-1][0] >= aim:
                held = self.segments[-1][1]
                held.extend(bytes(max(0, address - self.segments[-1][0] - len(held))))
                self.segments.append((address, bytearray()))
                self.rolling = False
        start, held = self.segments[-1]
        held.extend(bytes(max(0, address - start - len(held))))
        held[address - start : address - start + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of one segment."""
        self.reads += 1
        self.before_read()
        for start, data in reversed(self.segments.copy()):
            if start <= address:
                return bytes(data[address - start : address - start + size])
        return b""

    def sync(self) -> None:
        """Let what is there now survive a crash."""
        self.synced = [(start, bytes(data)) for start, data in self.segments.copy()]

    def truncate_before(self, address: int) -> None:
        """Drop whole segments that end at or before `address`; the last one stays."""
        passed = [start for start, _ in self.segments[1:] if start <= address]
        del self.segments[: len(passed)]

    def truncate_after(self, address: int) -> None:
        """Cut the log off at `address`, durably."""
        while self.segments and self.segments[-1][0] >= address:
            self.segments.pop()
        if self.segments:
            start, data = self.segments[-1]
            del data[address - start :]
        self.sync()

    def roll(self) -> None:
        """Begin a new segment with the next write that starts a page."""
        self.rolling = True

    def segment_end(self, address: int) -> int:
        """Return where the segment that holds `address` ends."""
        for start, _ in self.segments.copy():
            if start > address:
                return start
        return self.end()

    def place(self, address: int) -> str:
        """Return the address in words."""
        return f"heap device at offset {address - self.begin()}"

    def size(self) -> int:
        """Return the bytes held."""
        return sum([len(data) for _, data in self.segments.copy()])

    def close(self) -> None:
        """Keep everything: the device is opened again by the next store."""
