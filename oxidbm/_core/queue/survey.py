"""A survey: what a queue's log says, read from an address on, and what of it is damaged or missing.

Entries are numbered, so it is known how many are gone between two that are sound. Those of them that are known to be
acknowledged are no loss. Others may acknowledge and truncate meanwhile: what stands before where the log begins at the
end is nobody's any more, and whether it could be read says nothing.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple, cast, final

from oxidbm._core.faster_log.scan import EntryIterator
from oxidbm._core.queue.entries import (
    ACK,
    ADDRESS,
    HEAD_BYTES,
    ITEM,
    ITEM_KINDS,
    MOVED_KIND,
    NOTE,
    Note,
    fault_of,
)
from oxidbm._core.queue.queue_log import QueueLog


class Gap(NamedTuple):
    """A place between two sound entries where entries are missing."""

    low: int  # the address of the sound entry before it
    high: int  # that of the one behind it, or of the log's end
    missing: int
    why: str

    def within(self, addresses: Collection[int]) -> list[int]:
        """Return those of some addresses that lie in it."""
        return [address for address in addresses if self.low < address < self.high]


@final
class Survey:
    """What the entries of a log say from one on; `done` and `notes` are about items from there on alone."""

    def __init__(self, log: QueueLog, begin: int | None = None, number: int | None = None) -> None:
        self.log = log
        self.begin: int = log.begin if begin is None else begin
        self.end = self.begin  # the address up to which it goes
        self.following = 0  # the number of the entry that will stand there
        self.items = 0
        self.done: set[int] = set()
        self.notes: dict[int, Note] = {}
        self.gaps: list[Gap] = []
        self.faults: dict[int, str] = {}  # of sound entries that no queue writes
        self.cut_short = False  # others truncated meanwhile, so that the numbers do not say how many items there are
        self.read(log.first_number() if number is None else number)
        self.check_done()
        self.forget_truncated()

    def entries(self, noted: list[str]) -> tuple[EntryIterator, int, int]:
        """Return an iterator over the entries, the number behind the last one, and the address behind it."""
        return self.log.walk(self.begin, noted)

    def read(self, number: int) -> None:
        """Read all entries. O(the log from there on), in memory O(acknowledgements)."""
        noted: list[str] = []
        entries, self.following, self.end = self.entries(noted)
        low = self.begin - 1
        begin = self.begin
        done = self.done
        unpack = ADDRESS.unpack_from
        items = 0
        for address, entry in pairs(entries):
            if noted or entries.number() != number:
                number = self.find_gap(low, address, number, entries.number(), noted)
            number += 1
            low = address
            kind = entry[:1]
            if kind == ITEM:
                items += 1
            elif kind == ACK and len(entry) == HEAD_BYTES:  # most of the rest, so nothing is called for them
                (of,) = unpack(entry, 1)
                if begin <= of < address:
                    done.add(of)
                elif of >= begin:
                    self.faults[address] = fault_of(address, entry)
            else:
                items += self.read_other(address, entry)
        self.find_gap(low, self.end, number, self.following, noted)
        self.items = items

    def read_other(self, address: int, entry: bytes) -> bool:
        """Take note of what an entry says that is neither an item that was put nor an acknowledgement.

        Returns whether it is an item that was moved.
        """
        fault = fault_of(address, entry)
        if fault:
            self.faults[address] = fault
        elif entry[0] == MOVED_KIND:
            (of,) = ADDRESS.unpack_from(entry, 1)
            if of >= self.begin:
                self.done.add(of)
            return True
        elif entry[:1] == ACK:
            for (of,) in ADDRESS.iter_unpack(entry[1:]):
                if of >= self.begin:
                    self.done.add(of)
        else:
            for of, due_ns, attempts in NOTE.iter_unpack(entry[1:]):
                self.notes[of] = Note(due_ns, attempts)
        return False

    def find_gap(self, low: int, high: int, number: int, found: int, noted: list[str]) -> int:
        """Take note of a gap where the entry behind it has another number than it should; return its number."""
        missing = found - max(number, self.log.first_number())
        if missing > 0:
            why = noted[0] if noted else f"{self.log.life.called()}: entries are missing before address {high}"
            self.gaps.append(Gap(low, high, missing, why))
        noted.clear()
        return found

    def check_done(self) -> None:
        """Find what is acknowledged and no item, and let it be acknowledged no more."""
        left = set(self.done)
        last = max(left, default=0)
        for address, entry in pairs(self.entries([])[0]) if left else ():
            if address > last:
                break
            if entry and entry[0] in ITEM_KINDS:
                left.discard(address)
        for gap in self.gaps:
            left.difference_update(gap.within(left))
        for address in left:
            self.done.discard(address)
            self.faults[address] = "is acknowledged, and no item stands there"

    def forget_truncated(self) -> None:
        """Hold nothing against what was truncated meanwhile."""
        begin = self.log.begin
        if begin > self.begin:
            self.cut_short = True
            self.gaps = [gap for gap in self.gaps if gap.high > begin]
            self.faults = {address: fault for address, fault in self.faults.items() if address >= begin}

    def waiting(self, *other: Collection[int]) -> int:
        """Return how many items there are that are not done, nor in other sets of addresses. O(acknowledgements)."""
        if not self.gaps and not self.faults and not other and not self.cut_short:
            return self.items - len(self.done)
        return sum(1 for _ in self.unfinished(*other))

    def unfinished(self, *other: Collection[int]) -> Iterator[tuple[int, bytes]]:
        """Iterate the items that are not done, nor in other sets, in order, each with its entry."""
        for address, entry in pairs(self.entries([])[0]):
            if address >= self.end:
                return
            if entry and entry[0] in ITEM_KINDS and address not in self.done and address not in self.faults:
                if not any(address in addresses for addresses in other):
                    yield address, entry

    def losses(self) -> list[tuple[int, int, str]]:
        """Return what is damaged and not known to be done: from where on, how many entries, and why."""
        found = []
        for gap in self.gaps:
            lost = gap.missing - len(gap.within(self.done))
            if lost > 0:
                found.append((gap.low, lost, gap.why))
        called = self.log.life.called()
        found += [
            (address, 1, f"{called}: the entry at address {address} {fault}; restore the queue from a copy")
            for address, fault in self.faults.items()
        ]
        return sorted(found)


def pairs(entries: EntryIterator) -> Iterator[tuple[int, bytes]]:
    """Return an iterator of entries as what it yields."""
    return cast("Iterator[tuple[int, bytes]]", entries)


def refused(why: str) -> str:
    """Return what is said where damage is not passed over."""
    return f'{why}. To go on with all other items, open the queue with on_error="skip"'


def passed_over(count: int, why: str) -> str:
    """Return what is said where damage is passed over."""
    what = "1 entry that is" if count == 1 else f"{count} entries that are"
    return f"passed over {what} damaged or missing, each an item or what was said of one: {why}"
