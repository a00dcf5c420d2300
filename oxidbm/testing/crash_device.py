"""CrashDevice: a log in memory that remembers all that happened to it, so that every crash can be tried afterwards.

Threads, and Ctrl-C, come between any two lines here. What is done to the log is done under one lock, in the order of
the events; a read takes none, and copies the list of segments first. An event is noted before it takes effect: a write
that is interrupted in between is done again at the same address, and is then there twice, which changes nothing.
"""

import random
import threading
from typing import Final

from oxidbm._core.device.directory import STORE
from oxidbm._core.durability.superblock import SUPERBLOCK, kind_of, unpack_superblock
from oxidbm.device import Device
from oxidbm.testing.directory_files import DirectoryFiles, put_back
from oxidbm.testing.platter import Event, Files, Platter, Segments, cut_segments

PAGE_BYTES: Final = 4 << 20  # of a store that is opened without page_size=
SEGMENT_PAGES: Final = 4


class CrashDevice(Device):
    """Keeps a store's log in memory, and what a power cut at any moment would have left of it.

    page_bytes: the store's page_size=, or a multiple of it, which gives space back later.
    segment_bytes: a segment ends at the first write that starts a page once it holds so much; four pages by default.
    path: of the store. Its directory holds a few small files beside the log, and a crash state has to have those of its
        moment; without a path the device knows of the log alone, which is enough for the proof of a device.

    `crash_states` makes the states of it. After close() it keeps everything, and the next store can open it.
    All that was ever written is kept, in memory.
    """

    def __init__(
        self, page_bytes: int = PAGE_BYTES, *, segment_bytes: int | None = None, path: str | None = None
    ) -> None:
        self.page_bytes = page_bytes
        self.segment_bytes = SEGMENT_PAGES * page_bytes if segment_bytes is None else segment_bytes
        self.segments: Segments = []
        self.rolling = False
        self.lock = threading.RLock()  # a signal handler may come in the middle of a call, and make another one
        self.start: Segments = []  # what was durable before the first event
        self.events: list[Event] = []
        self.directory: DirectoryFiles | None = None
        self.first_files: Files | None = None
        if path is not None:
            self.watch(path)

    def watch(self, path: str) -> None:
        """Take the files below a path as those of the store's directory from now on."""
        self.directory = DirectoryFiles(path)
        self.first_files = self.directory.look()

    def hold(self, segments: Segments) -> None:
        """Begin with these segments, all of them durable."""
        self.start = segments
        self.segments = [(start, bytearray(data)) for start, data in segments]

    def look(self) -> Files | None:
        """Return the files of the store's directory as they are now."""
        return None if self.directory is None else self.directory.look()

    def happened(self, kind: str, address: int = 0, data: bytes = b"", note: object = None) -> None:
        """Note an event; the caller holds the lock."""
        self.events.append(Event(kind, address, data, note, self.look()))

    def note(self, note: object) -> None:
        """Note something, a number say: each crash state has the notes that were made before its crash, in order."""
        with self.lock:
            self.happened("note", note=note)

    def crash(self, seed: int | None = None) -> "CrashDevice":
        """Return a device that holds what a power cut now would leave: nothing that was not synced.

        seed: of a draw among all else that it may leave, for tests that try a crash in many places.
        """
        with self.lock:
            platter = Platter(self.start)
            for event in self.events:
                platter.apply(event)
        other = CrashDevice(self.page_bytes, segment_bytes=self.segment_bytes)
        other.hold(platter.nothing() if seed is None else platter.any(random.Random(seed)))
        return other

    def restore(self, path: str, files: Files | None) -> None:
        """Put the files of a store's directory back below a path, and go on as the device of the store there."""
        put_back(path, files)
        self.watch(path)

    def begin(self) -> int:
        """Return the address where the first segment starts."""
        held = self.segments.copy()
        return held[0][0] if held else 0

    def end(self) -> int:
        """Return the address behind the last byte held."""
        held = self.segments.copy()
        return held[-1][0] + len(held[-1][1]) if held else 0

    def write(self, address: int, data: memoryview) -> None:
        """Put the data where it belongs, in a new segment where the last one is full; a gap before it is zeros."""
        piece = bytes(data)
        with self.lock:
            if not self.segments:
                self.begin_segment(address // self.page_bytes * self.page_bytes)
            elif address % self.page_bytes == 0:
                aim = 1 if self.rolling else self.segment_bytes
                if address - self.segments[-1][0] >= aim:
                    self.begin_segment(address)
                    self.rolling = False
            self.happened("write", address, piece)
            start, held = self.segments[-1]
            held.extend(bytes(max(0, address - start - len(held))))
            held[address - start : address - start + len(piece)] = piece

    def begin_segment(self, address: int) -> None:
        """Begin a segment; ValueError where the store has pages that it could begin in the middle of."""
        self.happened("begin", address)
        files = self.events[-1].files or {}
        superblock = files.get(STORE)
        if superblock is not None:
            size = 1 << unpack_superblock(STORE, superblock[: SUPERBLOCK.size], kind_of(superblock)).page_bits
            if self.page_bytes % size:
                raise ValueError(
                    f"the store has pages of {size} bytes, and its crash device is for pages of {self.page_bytes}; "
                    f"give the device page_bytes={size}"
                )
        self.segments.append((address, bytearray()))

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of one segment."""
        for start, data in reversed(self.segments.copy()):
            if start <= address:
                return bytes(data[address - start : address - start + size])
        return b""

    def sync(self) -> None:
        """Let what is there now survive every crash."""
        with self.lock:
            self.happened("sync")

    def truncate_before(self, address: int) -> None:
        """Drop whole segments that end at or before `address`, the last one never; until the next sync it may fail."""
        with self.lock:
            while len(self.segments) > 1 and self.segments[1][0] <= address:
                self.happened("drop", self.segments[0][0])
                del self.segments[0]

    def truncate_after(self, address: int) -> None:
        """Cut the log off at `address`, durably."""
        with self.lock:
            self.happened("cut", address)
            self.segments = cut_segments(self.segments, address)

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
        return f"the crash device's log at address {address}"

    def size(self) -> int:
        """Return the bytes held."""
        return sum([len(data) for _, data in self.segments.copy()])

    def close(self) -> None:
        """Keep everything: the next store may open the device again."""
        with self.lock:
            self.happened("close")
