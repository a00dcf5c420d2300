"""What a queue knows of its items: which wait, which are being worked on, and how its log says so.

The log has three kinds of entries, told apart by their first byte: 0, an item, with its bytes; 1, an acknowledgement,
with the address of the item, 8 bytes, little-endian; and 2, an item that was moved, with the address where it stood,
which counts as acknowledged from there on, and its bytes. Items without an acknowledgement are to be delivered, in the
order of the log. An acknowledgement always stands behind its item, so whatever a crash leaves of a log is a state the
queue once had. One may stand there twice, as the second says nothing new. Invariants: 1. `outstanding` has what was
handed out at least once and is not acknowledged, by address, and nothing else is kept for an item: before the cursor
all others are done, behind it none was touched but `acked`, which the log said at the opening, and `moved`; 2. the log
is truncated up to the lowest outstanding item, or to the cursor; 3. an outstanding item is in flight, due again, or
delayed. Ctrl-C may come anywhere: where it came while an item was handed out, the cursor goes back to what it has
passed. The queue's lock is held by whoever calls.
"""

from __future__ import annotations

import heapq
import struct
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, cast

from oxidbm._core.errors import CorruptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oxidbm._core.faster_log.queue_log import QueueLog

ITEM = b"\0"
ACK = b"\1"
MOVED = b"\2"
ITEM_KIND = ITEM[0]
ACK_KIND = ACK[0]
ADDRESS = struct.Struct("<Q")
HEAD_BYTES = 1 + ADDRESS.size
MOVE_PAGES = 16  # as far as the cursor may leave an outstanding item behind
MOVE_SHARE = 4  # what is outstanding is moved where it is less than such a part of what lies behind the cursor
AHEAD_ENTRIES = 64
NEVER = float("inf")


class Delivery:
    """An item that was handed out, until it is acknowledged."""

    __slots__ = ("address", "attempts", "deadline", "done", "id", "size")

    def __init__(self, address: int, size: int) -> None:
        self.id = address  # which stays when the item is moved
        self.address = address
        self.size = size
        self.attempts = 0
        self.deadline = NEVER
        self.done = False

    def __lt__(self, other: Delivery) -> bool:
        return self.id < other.id


def body_of(entry: bytes) -> bytes:
    """Return an item's bytes."""
    return entry[1:] if entry[0] == ITEM_KIND else entry[HEAD_BYTES:]


class Deliveries:
    """The items of one open queue."""

    def __init__(self, log: QueueLog, redeliver_after: float | None) -> None:
        self.log = log
        self.redeliver_after = redeliver_after
        self.page_bytes: int = log.stats()["page_bytes"]
        self.durable = log.path is not None
        self.acked: set[int] = set()  # behind the cursor
        self.moved: dict[int, Delivery] = {}  # by their new addresses, behind the cursor
        self.outstanding: OrderedDict[int, Delivery] = OrderedDict()
        self.outstanding_bytes = 0
        self.flying: OrderedDict[Delivery, None] = OrderedDict()  # in the order of their deadlines
        self.again: list[Delivery] = []  # a heap
        self.delayed: list[tuple[float, Delivery]] = []  # a heap
        self.ahead: deque[tuple[int, bytes]] = deque()  # read, and not passed by the cursor
        self.passed = 0  # the address of the last entry that the cursor has passed
        self.passing = False  # the cursor has read an entry that it has not passed
        self.waiting = self.replay()
        self.follower = log.follow(uncommitted=True)

    def replay(self) -> int:
        """Find which items are acknowledged; return how many are not. O(the log), in memory O(acknowledgements)."""
        items = 0
        acked = self.acked
        begin = self.log.begin
        for address, entry in self.entries():
            kind = entry[:1]
            if kind == ITEM:
                items += 1
                continue
            if not (kind == ACK and len(entry) == HEAD_BYTES) and not (kind == MOVED and len(entry) >= HEAD_BYTES):
                raise self.corrupt(address, f"is none of a queue: it has {len(entry)} bytes and begins with {kind!r}")
            (of,) = ADDRESS.unpack_from(entry, 1)
            if kind == MOVED:
                items += 1
            if of >= address:
                raise self.corrupt(address, f"acknowledges the item at {of}, which comes after it")
            if of >= begin:
                acked.add(of)
        self.check_acked()
        return items - len(acked)

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Iterate the log's entries."""
        return cast("Iterator[tuple[int, bytes]]", self.log.scan())

    def check_acked(self) -> None:
        """Raise where something else than an item is acknowledged."""
        left = set(self.acked)
        last = max(left, default=0)
        for address, entry in self.entries() if left else ():
            if address > last:
                break
            if entry[0] != ACK_KIND:
                left.discard(address)
        if left:
            raise self.corrupt(min(left), "is acknowledged, and no item stands there")

    def corrupt(self, address: int, what: str) -> CorruptionError:
        """Return the error for an entry that no queue writes."""
        return CorruptionError(
            f"{self.log.life.called()}: the entry at address {address} {what}; restore the queue from a copy"
        )

    def take(self, now: float) -> tuple[Delivery, bytes] | None:
        """Hand out the item that is next, with its bytes: one that is due again before one that was never out."""
        self.expire(now)
        again = self.again
        while again:
            delivery = again[0]
            if not delivery.done and delivery not in self.flying:
                entry = self.log.read(delivery.address)
                break
            heapq.heappop(again)
        else:
            found = self.next_new()
            if found is None:
                return None
            delivery, entry = found
            self.outstanding[delivery.address] = delivery
            self.outstanding_bytes += delivery.size
            self.flying.pop(delivery, None)
        delivery.attempts += 1
        if self.redeliver_after is not None:
            delivery.deadline = now + self.redeliver_after
        self.flying[delivery] = None
        self.waiting -= 1
        if self.passing:
            self.passed = delivery.address
            self.passing = False
        if again and again[0] is delivery:
            heapq.heappop(again)
        return delivery, body_of(entry)

    def next_new(self) -> tuple[Delivery, bytes] | None:
        """Move the cursor to the next item that was never out; None where there is none."""
        if self.passing:
            self.go_back()
        while True:
            self.passing = True
            found = self.next_entry()
            if found is None:
                self.passing = False
                return None
            address, entry = found
            if entry[0] != ACK_KIND and address not in self.acked:
                moved = self.moved.get(address)
                if moved is None:
                    return self.outstanding.get(address) or Delivery(address, len(entry)), entry
                self.outstanding[address] = moved
                del self.moved[address]
            self.acked.discard(address)
            self.passed = address
            self.passing = False

    def go_back(self) -> None:
        """Have the cursor stand behind what it has passed, after an interruption."""
        self.ahead.clear()
        self.follower = self.log.follow(self.passed + 1, uncommitted=True)
        self.passing = False

    def next_entry(self) -> tuple[int, bytes] | None:
        """Return the next entry that the cursor has not passed."""
        if self.ahead:
            return self.ahead.popleft()
        found: Any = self.follower.next_now()
        if found is self.follower:
            self.log.life.check_open()
            return None
        return None if found is None else (found[0], found[1])

    def slow(self) -> bool:
        """Return whether the next entry has to be read from the device."""
        return not self.ahead and self.log.on_disk(self.follower)

    def read_ahead(self) -> None:
        """Read some entries from the device before they are asked for."""
        while len(self.ahead) < AHEAD_ENTRIES and self.log.on_disk(self.follower):
            found: Any = self.follower.next_now()
            if found is None or found is self.follower:
                return
            self.ahead.append((found[0], found[1]))

    def expire(self, now: float) -> None:
        """Let those be due again whose time has come."""
        while self.delayed and self.delayed[0][0] <= now:
            delivery = heapq.heappop(self.delayed)[1]
            if not delivery.done:
                heapq.heappush(self.again, delivery)
        while self.flying:
            delivery = next(iter(self.flying))
            if delivery.deadline > now:
                return
            del self.flying[delivery]
            self.waiting += 1
            heapq.heappush(self.again, delivery)

    def next_due(self) -> float:
        """Return when the next item is due again, as far as that is known."""
        due = self.delayed[0][0] if self.delayed else NEVER
        return min(due, next(iter(self.flying)).deadline) if self.flying else due

    def acknowledge(self, delivery: Delivery) -> bool:
        """Take note that an item is done; False where it was."""
        if delivery.done:
            return False
        delivery.done = True
        if delivery in self.flying:
            del self.flying[delivery]
        else:
            self.waiting -= 1
        if self.outstanding.pop(delivery.address, None) is None:
            del self.moved[delivery.address]
            self.acked.add(delivery.address)
        self.outstanding_bytes -= delivery.size
        return True

    def give_back(self, delivery: Delivery, attempts: int, due: float | None) -> bool:
        """Let an item be due again, at once or later; False where it is not out any more, or out anew."""
        if delivery not in self.flying or delivery.attempts != attempts:
            return False
        del self.flying[delivery]
        self.waiting += 1
        if due is None:
            heapq.heappush(self.again, delivery)
        else:
            heapq.heappush(self.delayed, (due, delivery))
        return True

    def idle(self) -> bool:
        """Return whether nothing waits, nor is being worked on."""
        return not self.waiting and not self.outstanding and not self.moved

    def settle(self, all_of_it: bool = False) -> None:
        """Give back the space of what is done, page by page or all of it."""
        log = self.log
        least = 1 if all_of_it else self.page_bytes
        if log.tail - log.begin < least:
            return
        if self.idle():
            self.settle_idle()
            return
        self.move_on()
        lowest = next(iter(self.outstanding), self.passed)
        if lowest - log.begin >= least:
            log.truncate(lowest)

    def settle_idle(self) -> None:
        """Empty the log, once the cursor has passed all of it."""
        found = self.next_new()
        if found is not None:  # what was put by a thread that was interrupted before it could count it
            self.go_back()
            self.waiting += 1
            return
        self.log.truncate(None)
        self.acked.clear()

    def move_on(self) -> None:
        """Move to the tail what keeps the space of much that is done.

        Each is moved once while so many pages of others are done, and only as long as what is outstanding is a part of
        these, so that moving costs a part of what is put.
        """
        while self.outstanding:
            delivery = next(iter(self.outstanding.values()))
            span = self.passed - delivery.address
            if span < MOVE_PAGES * self.page_bytes or self.outstanding_bytes * MOVE_SHARE > span:
                return
            entry = MOVED + ADDRESS.pack(delivery.address) + body_of(self.log.read(delivery.address))
            if len(entry) > self.log.value_limit:
                return
            address = self.log.try_append(entry)
            if address is None:
                return
            old = delivery.address
            self.moved[address] = delivery
            delivery.address = address
            del self.outstanding[old]
