"""What a queue knows of its items: which wait, which are being worked on, and how its log says so.

_queue_entries says what the log holds. Invariants: 1. `outstanding` has what was handed out at least once, or is
delayed, and is not acknowledged, by address, and nothing else is kept for an item: before the cursor all others are
done, behind it none was touched but `acked`, which the log said at the opening, `notes`, which it said of others, and
`moved`; 2. the log is truncated up to the lowest outstanding item, or to the cursor; 3. an outstanding item is in
flight, due again, or delayed; 4. `own` counts the entries that are no items and were appended here, so that the log's
numbers say how many items of `reserved` it has. Ctrl-C may come anywhere: where it came while an item was handed out,
the cursor goes back to what it has passed. The queue's lock is held by whoever calls.
"""

import heapq
import time
from collections import OrderedDict
from typing import Final, final

from oxidbm._core.errors import CorruptionError
from oxidbm._core.queue.entries import (
    ACK,
    ADDRESS,
    ATTEMPTS_MAX,
    ITEM_KINDS,
    MOVED,
    NOTE,
    NOTES,
    TIME_MAX_NS,
    body_of,
)
from oxidbm._core.queue.queue_clock import QueueClock
from oxidbm._core.queue.queue_cursor import QueueCursor
from oxidbm._core.queue.queue_log import QueueLog
from oxidbm._core.queue.survey import Gap, Survey, passed_over, refused

MOVE_PAGES: Final = 16  # as far as the cursor may leave an outstanding item behind
MOVE_SHARE: Final = 4  # what is outstanding is moved where it is less than such a part of what lies behind the cursor
ACKS_MAX: Final = 2000  # in one entry
NOTES_MAX: Final = 1000  # in one entry
NEVER: Final = float("inf")


@final
class Delivery:
    """An item that was handed out, until it is acknowledged."""

    def __init__(self, address: int, size: int) -> None:
        self.id = address  # which stays when the item is moved
        self.address = address
        self.size = size
        self.attempts = 0
        self.noted = 0  # the attempt of which the log says that it is out
        self.deadline = NEVER  # until when it is out, or from when on it waits
        self.done = False

    def __hash__(self) -> int:
        return self.id

    def __lt__(self, other: "Delivery") -> bool:
        return self.id < other.id


@final
class Deliveries:
    """The items of one open queue."""

    def __init__(self, log: QueueLog, redeliver_after: float | None, clock: QueueClock, skips: bool = False) -> None:
        self.log = log
        self.redeliver_after = redeliver_after
        self.clock = clock
        self.skips = skips
        self.page_bytes: int = log.stats()["page_bytes"]
        self.durable = log.path is not None
        self.moved: dict[int, Delivery] = {}  # by their new addresses, behind the cursor
        self.outstanding: OrderedDict[int, Delivery] = OrderedDict()
        self.outstanding_bytes = 0
        self.flying: OrderedDict[Delivery, None] = OrderedDict()  # in the order of their deadlines
        self.extended: dict[Delivery, None] = {}  # in flight, too, with deadlines of their own
        self.extended_due: list[tuple[float, Delivery]] = []  # a heap of these, and of some that are not any more
        self.again: list[Delivery] = []  # a heap
        self.delayed: list[tuple[float, Delivery]] = []  # a heap
        self.owed: list[int] = []  # of what is acknowledged, and the log does not say so yet
        self.changed: dict[Delivery, None] = {}  # of which the log does not say where they are now
        self.skipped = 0  # entries that were passed over
        self.reports: list[str] = []  # what was passed over, to be told
        self.known: dict[int, int] = {}  # the gaps that were seen: how many entries are missing behind an address
        survey = Survey(log)
        for at, count, why in survey.losses():
            self.lose(count, why, at)
        self.acked = survey.done  # behind the cursor
        self.acked.update(survey.faults)  # which are no items
        self.notes = survey.notes
        self.notes_ahead()
        self.note_gaps(survey)
        self.waiting = survey.waiting()
        self.reserved = 0
        self.own = 0
        self.start = log.next_number()
        self.cursor = QueueCursor(log)
        self.let_wait()

    def lose(self, count: int, why: str, at: int) -> None:
        """Have damage be passed over; CorruptionError where it is not to be."""
        if not self.skips:
            raise CorruptionError(refused(why))
        self.skipped += count
        self.reports.append(passed_over(count, why))

    def note_gaps(self, survey: Survey) -> None:
        """Take note of gaps, which need not be looked at again when the cursor comes to them."""
        self.known.update((gap.low, gap.missing) for gap in survey.gaps)

    def take(self, now: float) -> tuple[Delivery, bytes] | None:
        """Hand out the item that is next, with its bytes: one that is due again before one that was never out."""
        self.expire(now)
        again = self.again
        while again:
            delivery = again[0]
            if not delivery.done and not self.is_out(delivery):
                found = self.entry_of(delivery)
                if found is not None:
                    entry = found
                    break
            heapq.heappop(again)
        else:
            new = self.next_new()
            if new is None:
                return None
            delivery, entry = new
            self.outstanding[delivery.address] = delivery
            self.outstanding_bytes += delivery.size
            self.flying.pop(delivery, None)
        delivery.attempts += 1
        delivery.deadline = NEVER if self.redeliver_after is None else now + self.redeliver_after
        self.flying[delivery] = None
        self.waiting -= 1
        if self.cursor.between:
            self.cursor.pass_entry(delivery.address)
            if self.notes:
                self.notes.pop(delivery.address, None)
        if again and again[0] is delivery:
            heapq.heappop(again)
        return delivery, body_of(entry)

    def entry_of(self, delivery: Delivery) -> bytes | None:
        """Return the entry of an item that was out before; None where it is damaged, and passed over."""
        try:
            return entry_at(self.log, delivery.address)
        except (CorruptionError, ValueError) as failure:
            self.lose(1, str(failure), delivery.address)
        self.acknowledge(delivery)
        return None

    def is_out(self, delivery: Delivery) -> bool:
        """Return whether an item is in flight."""
        return delivery in self.flying or delivery in self.extended

    def in_flight(self) -> int:
        """Return how many items are in flight."""
        return len(self.flying) + len(self.extended)

    def next_new(self) -> tuple[Delivery, bytes] | None:
        """Move the cursor to the next item that was never out; None where there is none."""
        cursor = self.cursor
        while True:
            found = cursor.read()
            if found is None:
                return None
            address, entry = found
            if cursor.gap is not None:
                self.cross(cursor.gap, address)
                cursor.pass_gap()
            if address not in self.acked and entry[0] in ITEM_KINDS:
                moved = self.moved.get(address)
                if moved is None:
                    delivery = self.outstanding.get(address) or Delivery(address, len(entry))
                    if not self.notes or not self.is_held_back(delivery):
                        return delivery, entry
                else:
                    self.outstanding[address] = moved
                    del self.moved[address]
            self.acked.discard(address)
            cursor.pass_entry(address)

    def is_held_back(self, delivery: Delivery) -> bool:
        """Have an item be as the log said of it when the queue was opened; return whether it is still delayed."""
        note = self.notes.get(delivery.address)
        if note is None:
            return False
        if delivery.address not in self.outstanding:
            delivery.attempts = note.attempts
        deadline = self.clock.at(note.due_ns)
        if deadline <= self.clock.now_or_last():
            return False
        if delivery.address not in self.outstanding:
            self.outstanding[delivery.address] = delivery
            self.outstanding_bytes += delivery.size
        delivery.deadline = deadline
        heapq.heappush(self.delayed, (delivery.deadline, delivery))
        del self.notes[delivery.address]
        return True

    def notes_ahead(self) -> None:
        """Keep of the notes those about items that are not done."""
        for address in [address for address in self.notes if address in self.acked or address < self.log.begin]:
            del self.notes[address]

    def let_wait(self) -> None:
        """Say in the log that what was out when the queue was last open waits now, for those who look at it."""
        now_ns = time.time_ns()
        held = [address for address, note in self.notes.items() if note.due_ns == 0]
        for first in range(0, len(held), NOTES_MAX):
            part = held[first : first + NOTES_MAX]
            entry = NOTES + b"".join([NOTE.pack(address, now_ns, self.notes[address].attempts) for address in part])
            self.say(entry)

    def oldest(self) -> int | None:
        """Return the address of the first item that is not done, None where there is none that can be read."""
        if self.outstanding:
            return next(iter(self.outstanding))
        try:
            found = self.next_new()
        except CorruptionError:  # which whoever takes is told
            return None
        if found is None:
            return next(iter(self.moved), None)
        self.cursor.go_back()
        return found[0].address

    def cross(self, gap: Gap, address: int) -> None:
        """Pass over missing entries, unless they are known to be done; CorruptionError where they may be items."""
        done, moved = gap.within(self.acked), gap.within(self.moved)
        if self.known.pop(gap.low, 0) != gap.missing:
            lost = gap.missing - len(done) - len(moved)
            if lost > 0:
                self.lose(lost, gap.why, gap.low)
                self.recount(address, self.cursor.number + gap.missing)
        self.acked.difference_update(done)
        for at in moved:
            self.outstanding[at] = self.moved.pop(at)
        for at in gap.within(self.notes):
            del self.notes[at]

    def recount(self, address: int, number: int) -> None:
        """Count anew what waits, since nobody knows how many items there were among what is missing. O(the rest)."""
        survey = Survey(self.log, address, number)
        for at, count, why in survey.losses():
            self.lose(count, why, at)
        self.note_gaps(survey)
        self.acked.update(survey.faults)
        put = survey.following - self.start - self.own
        returned = len(self.outstanding) + len(self.moved) - self.in_flight()
        self.waiting = survey.waiting(self.acked, self.moved) + returned + self.reserved - put

    def expire(self, now: float) -> None:
        """Let those be due again whose time has come."""
        while self.delayed and self.delayed[0][0] <= now:
            delivery = heapq.heappop(self.delayed)[1]
            if not delivery.done:
                heapq.heappush(self.again, delivery)
        while self.flying:
            delivery = next(iter(self.flying))
            if delivery.deadline > now:
                break
            del self.flying[delivery]
            self.come_again(delivery)
        while self.extended_due and self.extended_due[0][0] <= now:
            deadline, delivery = heapq.heappop(self.extended_due)
            if delivery in self.extended and delivery.deadline == deadline:
                del self.extended[delivery]
                self.come_again(delivery)

    def come_again(self, delivery: Delivery) -> None:
        """Let an item wait that was out for too long."""
        delivery.deadline = -NEVER
        self.waiting += 1
        heapq.heappush(self.again, delivery)
        if self.durable:
            self.changed[delivery] = None

    def next_due(self) -> float:
        """Return when the next item is due again, as far as that is known."""
        due = self.delayed[0][0] if self.delayed else NEVER
        if self.extended_due:
            due = min(due, self.extended_due[0][0])
        return min(due, next(iter(self.flying)).deadline) if self.flying else due

    def acknowledge(self, delivery: Delivery) -> bool:
        """Take note that an item is done; False where it was."""
        if delivery.done:
            return False
        delivery.done = True
        out = delivery in self.flying
        if out:
            del self.flying[delivery]
        if self.extended and delivery in self.extended:
            del self.extended[delivery]
            out = True
        if not out:
            self.waiting -= 1
        if self.outstanding.pop(delivery.address, None) is None:
            del self.moved[delivery.address]
            self.acked.add(delivery.address)
        if self.durable:
            self.owed.append(delivery.address)
        self.outstanding_bytes -= delivery.size
        if self.changed:
            self.changed.pop(delivery, None)
        return True

    def give_back(self, delivery: Delivery, attempts: int, due: float | None) -> bool:
        """Let an item be due again, at once or later; False where it is not out any more, or out anew."""
        if delivery.attempts != attempts or not self.is_out(delivery):
            return False
        self.flying.pop(delivery, None)
        self.extended.pop(delivery, None)
        self.waiting += 1
        delivery.deadline = -NEVER if due is None else due
        if due is None:
            heapq.heappush(self.again, delivery)
        else:
            heapq.heappush(self.delayed, (due, delivery))
        if self.durable:
            self.changed[delivery] = None
        return True

    def take_back(self, delivery: Delivery, attempts: int) -> bool:
        """Have an item wait that was handed out and did not arrive, as if it had not been; False as for `give_back`."""
        if not self.give_back(delivery, attempts, None):
            return False
        delivery.attempts -= 1
        return True

    def extend(self, delivery: Delivery, attempts: int, deadline: float) -> bool:
        """Let an item be out until another time; False where it is not out any more, or out anew."""
        if delivery.attempts != attempts or not self.is_out(delivery):
            return False
        self.extended[delivery] = None
        self.flying.pop(delivery, None)
        delivery.deadline = deadline
        heapq.heappush(self.extended_due, (deadline, delivery))
        return True

    def idle(self) -> bool:
        """Return whether nothing waits, nor is being worked on."""
        return not self.waiting and not self.outstanding and not self.moved

    def delayed_count(self) -> int:
        """Return how many items wait for their time to come. O(those, and what was noted at the opening)."""
        now = self.clock.now_or_last()
        known = sum(1 for note in self.notes.values() if self.clock.at(note.due_ns) > now)
        return known + sum(1 for _, delivery in self.delayed if not delivery.done)

    def unnoted(self) -> list[Delivery]:
        """Return the items of which the log does not say yet that they are out, or that they are not any more."""
        found = [delivery for delivery in self.changed if not delivery.done]
        newest = []
        for delivery in reversed(self.flying):
            if delivery.noted == delivery.attempts:  # then the earlier ones are noted, too
                break
            newest.append(delivery)
        found += [delivery for delivery in self.extended if delivery.noted != delivery.attempts]
        return found + newest[::-1]

    def note(self, waits: bool = False) -> bool:
        """Let the log say how often items were handed out, and from when on they wait; False where it has no room."""
        found = self.unnoted() if self.durable else []
        for first in range(0, len(found), NOTES_MAX):
            if not self.append_notes(found[first : first + NOTES_MAX], waits):
                return False
        self.changed.clear()
        return True

    def append_notes(self, deliveries: list[Delivery], waits: bool = False) -> bool:
        """Append notes about some items; False where the log has no room now."""
        now, now_ns = self.clock.now_or_last(), time.time_ns()
        parts = [NOTES]
        for delivery in deliveries:
            due_ns = 0
            if not self.is_out(delivery):
                left = min(max(delivery.deadline - now, 0), TIME_MAX_NS // 10**9)
                due_ns = min(now_ns + int(left * 1e9), TIME_MAX_NS)
            parts.append(NOTE.pack(delivery.address, due_ns, min(delivery.attempts, ATTEMPTS_MAX)))
        if not self.say(b"".join(parts), waits):
            return False
        for delivery in deliveries:
            delivery.noted = delivery.attempts
            self.changed.pop(delivery, None)
        return True

    def say(self, entry: bytes, waits: bool = False) -> bool:
        """Append an entry that is no item; False where it is not to wait, and the log has no room now."""
        address, failure = self.log.add(entry, waits)
        if address >= 0:
            self.own += 1
        if failure is not None:
            raise failure
        return address >= 0

    def pay(self) -> None:
        """Let the log say what is done, as far as it has room now: it begins behind the most of that."""
        if not self.owed:
            return
        if self.log.tail > self.log.begin:
            self.give_back_space(1)
        begin = self.log.begin
        self.owed = [address for address in self.owed if address >= begin]
        self.say_owed(False)

    def say_owed(self, waits: bool) -> None:
        """Append what is owed, as far as the log has room now, or all of it, without the queue's lock, which may wait.

        Other threads may append the same meanwhile, which says nothing new.
        """
        while self.owed:
            said = self.owed[:ACKS_MAX]
            address, failure = self.log.add(ACK + b"".join([ADDRESS.pack(done) for done in said]), waits)
            if address < 0:
                return
            self.own += 1
            gone = set(said)
            self.owed = [done for done in self.owed if done not in gone]
            if failure is not None:
                raise failure

    def settle(self, all_of_it: bool = False) -> None:
        """Give back the space of what is done, page by page or all of it."""
        least = 1 if all_of_it else self.page_bytes
        if self.log.tail - self.log.begin >= least:
            self.give_back_space(least)

    def give_back_space(self, least: int) -> None:
        """Let the log begin with the first item that is not done, unless that gives back less than so many bytes."""
        log = self.log
        if self.idle():
            self.settle_idle()
            return
        self.move_on()
        lowest = next(iter(self.outstanding), self.cursor.address)
        if lowest - log.begin >= least:
            log.truncate(lowest)

    def settle_idle(self) -> None:
        """Empty the log, once the cursor has passed all of it."""
        try:
            found = self.next_new()
        except CorruptionError:  # which whoever takes is told
            return
        if found is not None:  # what was put by a thread that was interrupted before it could count it
            self.cursor.go_back()
            self.waiting += 1
            return
        self.log.truncate(None)
        self.acked.clear()
        self.notes.clear()

    def move_on(self) -> None:
        """Move to the tail what keeps the space of much that is done.

        Each is moved once while so many pages of others are done, and only as long as what is outstanding is a part of
        these, so that moving costs a part of what is put.
        """
        while self.outstanding:
            delivery = next(iter(self.outstanding.values()))
            span = self.cursor.address - delivery.address
            if span < MOVE_PAGES * self.page_bytes or self.outstanding_bytes * MOVE_SHARE > span:
                return
            try:
                body = body_of(entry_at(self.log, delivery.address))
            except (CorruptionError, ValueError):  # which is told when it is due
                return
            entry = MOVED + ADDRESS.pack(delivery.address) + body
            if len(entry) > self.log.value_limit:
                return
            address, failure = self.log.add(entry, False)
            if address < 0:
                return
            self.own += 1
            old = delivery.address
            self.moved[address] = delivery
            delivery.address = address
            del self.outstanding[old]
            self.changed[delivery] = None
            if failure is not None:
                raise failure
            self.append_notes([delivery])
            delivery.noted = 0  # it says nothing of those that were handed out before it; see `unnoted`


def entry_at(log: QueueLog, address: int) -> bytes:
    """Return the entry at an address."""
    found = log.read(address)
    assert isinstance(found, bytes)
    return found
