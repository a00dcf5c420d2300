"""What a power cut leaves of a log: which of its bytes are certain, and what may be there of the rest.

What a file system owes, and so the least that a device may owe: the bytes after a sync, and what truncate_after() cut
off at once. All else may be lost in part: writes by sectors of 512 bytes in any combination, a file's size apart from
its bytes, and from any of them on the segments that were begun or given back, in the order in which that happened.
"""

import random
from typing import Final, NamedTuple

SECTOR: Final = 512
KEEP: Final = (0.1, 0.5, 0.9)

Segments = list[tuple[int, bytearray]]
Files = dict[str, bytes | None]  # of a directory: path below it to content, None for a directory


class Event(NamedTuple):
    """One thing that happened to a device, with the files that its store's directory held just before."""

    kind: str  # begin, write, sync, drop, cut, close or note
    address: int
    data: bytes
    note: object
    files: Files | None


class Write(NamedTuple):
    """A write that was not synced yet."""

    segment: int
    address: int
    data: bytes


class Platter:
    """The durable bytes of a log, and what was not synced since."""

    def __init__(self, durable: Segments) -> None:
        self.durable: Segments = [(start, bytearray(data)) for start, data in durable]
        self.steps: list[tuple[str, int]] = []  # segments begun and given back, in order
        self.writes: list[Write] = []
        self.last = durable[-1][0] if durable else 0

    def apply(self, event: Event) -> None:
        """Take an event into account."""
        match event.kind:
            case "begin":
                self.last = event.address
                self.steps.append(("begin", event.address))
            case "drop":
                self.steps.append(("drop", event.address))
            case "write":
                self.writes.append(Write(self.last, event.address, event.data))
            case "sync":
                self.settle()
            case "cut":
                self.cut(event.address)

    def settle(self) -> None:
        """Make everything durable, in place: a log that is synced often would be copied as often."""
        held = dict(self.durable)
        self.take_steps(held, len(self.steps))
        for write in self.writes:
            put(held, write.segment, write.address, write.data)
        self.durable = sorted(held.items())
        self.steps.clear()
        self.writes.clear()

    def cut(self, address: int) -> None:
        """Cut everything off from an address on, durable or not."""
        self.durable = cut_segments(self.durable, address)
        self.steps = [step for step in self.steps if step[1] < address]
        self.writes = [
            Write(write.segment, write.address, write.data[: address - write.address])
            for write in self.writes
            if write.address < address
        ]
        starts = [start for start, _ in self.durable] + [start for kind, start in self.steps if kind == "begin"]
        self.last = max(starts, default=0)

    def unsynced(self) -> bool:
        """Return whether anything may be lost."""
        return bool(self.steps or self.writes)

    def take_steps(self, held: dict[int, bytearray], count: int) -> None:
        """Begin and give back the first so many segments."""
        for kind, start in self.steps[:count]:
            if kind == "begin":
                held.setdefault(start, bytearray())  # an interrupted write begins its segment again
            else:
                held.pop(start, None)

    def after_steps(self, count: int) -> dict[int, bytearray]:
        """Return a copy of the durable bytes, by segment, with the first so many segments begun and given back."""
        held = {start: bytearray(data) for start, data in self.durable}
        self.take_steps(held, count)
        return held

    def nothing(self) -> Segments:
        """Return what is left where nothing is that was not synced."""
        return sorted(self.after_steps(0).items())

    def everything(self) -> Segments:
        """Return what is left where everything had arrived."""
        return self.left(self.writes)

    def any(self, chance: random.Random) -> Segments:
        """Return what is left where more than nothing may be: everything, parts, or all with a torn end."""
        rests = [lambda _: self.everything(), self.parts]
        return chance.choice([*rests, self.torn] if self.writes else rests)(chance)

    def torn(self, chance: random.Random) -> Segments:
        """Return what is left where the last write broke off somewhere in its middle."""
        last = self.writes[-1]
        cut = chance.randrange(len(last.data)) if last.data else 0
        return self.left([*self.writes[:-1], Write(last.segment, last.address, last.data[:cut])])

    def left(self, writes: list[Write]) -> Segments:
        """Return what is left where all segments and these writes had arrived."""
        held = self.after_steps(len(self.steps))
        for write in writes:
            put(held, write.segment, write.address, write.data)
        return sorted(held.items())

    def parts(self, chance: random.Random) -> Segments:
        """Return what is left where sectors of the writes had arrived in any combination."""
        held = self.after_steps(chance.randint(0, len(self.steps)))
        keep = chance.choice(KEEP)
        for write in self.writes:
            at, end = write.address, write.address + len(write.data)
            while at < end:
                stop = min(end, at // SECTOR * SECTOR + SECTOR)
                if chance.random() < keep:
                    put(held, write.segment, at, write.data[at - write.address : stop - write.address])
                elif chance.random() < keep / 2:  # its size alone is there
                    put(held, write.segment, stop, b"")
                at = stop
        return sorted(held.items())


def cut_segments(segments: Segments, address: int) -> Segments:
    """Return what stands before an address."""
    return [(start, data[: address - start]) for start, data in segments if start < address]


def put(held: dict[int, bytearray], segment: int, address: int, data: bytes) -> None:
    """Put bytes where they belong, behind zeros where there is a gap; nowhere where the segment is not there."""
    if segment in held:
        there = held[segment]
        offset = address - segment
        there.extend(bytes(max(0, offset - len(there))))
        there[offset : offset + len(data)] = data
