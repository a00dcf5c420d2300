"""Looking at a queue: what waits in it and since when, without taking anything; also beside the process that has it.

A view of another process's queue is that of its last commit. That says what was acknowledged, and, of items that were
out for longer than the interval between two commits, that they are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from oxidbm._core.errors import CorruptionError
from oxidbm._core.life import state_in_words
from oxidbm._core.queue.entries import Note, body_of
from oxidbm._core.queue.survey import Survey, refused

if TYPE_CHECKING:
    from oxidbm import codecs
    from oxidbm._core.queue.exchange import Exchange
    from oxidbm._core.queue.queue_log import QueueLog
    from oxidbm._queue_calls import Face

T = TypeVar("T")
UNTOUCHED = Note(1, 0)


class Peeked(Generic[T]):
    """An item that was looked at by `Queue.peek`.

    `id` is its address in the log, which is `Message.id` unless the item was moved; `attempts` how often it was handed
    out; `state` is "waiting", "held" by a consumer, or "delayed" until its time comes; `due` is when that is, in
    seconds since 1970, and None of an item that is not delayed.
    """

    __slots__ = ("attempts", "codec", "data", "due", "id", "state")

    def __init__(
        self,
        codec: codecs.Codec[T],
        address: int,
        data: bytes,
        state: Literal["waiting", "held", "delayed"],
        attempts: int,
        due: float | None,
    ) -> None:
        self.codec = codec
        self.id = address
        self.data = data
        self.state: Literal["waiting", "held", "delayed"] = state
        self.attempts = attempts
        self.due = due

    @property
    def item(self) -> T:
        """The item; raises what the codec raises, a DecodeError for bytes that it did not write."""
        return self.codec.decode(self.data)

    def __repr__(self) -> str:
        return f"<oxidbm.queue.Peeked {self.id}, {self.state}, attempts {self.attempts}>"


Peeked.__module__ = "oxidbm.queue"


def shown(queue: Any) -> str:
    """Return what a queue is, in words; how many items it has is said where that takes no read."""
    where = repr(queue.path) if queue.path else "in memory"
    view = getattr(queue, "view", None)
    words: list[str] = []
    if view is not None and view.deliveries is not None and not queue.closed:
        words = [f"{view.deliveries.waiting:,} waiting", f"{view.deliveries.in_flight():,} in flight"]
    return f"<oxidbm.Queue {where}: {', '.join([*words, state_in_words(queue.log.life)])}>"


def state_of(note: Note, now_ns: int) -> Literal["waiting", "held", "delayed"]:
    """Return what a note says of an item."""
    if note.due_ns == 0:
        return "held"
    return "delayed" if note.due_ns > now_ns else "waiting"


class View:
    """What is in a queue; `deliveries` is None where it is open read-only."""

    def __init__(self, log: QueueLog, exchange: Exchange | None, skips: bool) -> None:
        self.log = log
        self.deliveries = None if exchange is None else exchange.deliveries
        self.lock = threading.Lock() if exchange is None else exchange.lock
        self.skips = skips
        self.seen: Survey | None = None
        self.commit = -1
        if exchange is None:
            self.survey()

    def survey(self) -> Survey:
        """Return what the log says now; CorruptionError where it is damaged, and that is not to be passed over."""
        if self.deliveries is None:
            if not self.log.recovery.faults:  # a damaged log that did not open as it should stays as it is
                self.log.refresh()
            if self.seen is not None and self.commit == self.log.commit_number:
                return self.seen
        survey = Survey(self.log)
        if not self.skips:
            for _, _, why in survey.losses():
                raise CorruptionError(refused(why))
        if self.deliveries is None:
            self.seen, self.commit = survey, self.log.commit_number
        return survey

    def peek(self, queue: Face[Any], limit: int | None) -> Iterator[Peeked[Any]]:
        """Iterate the items that are not acknowledged, up to so many."""
        self.log.life.check_open()
        return self.peeked(queue, limit)

    def peeked(self, queue: Face[Any], limit: int | None) -> Iterator[Peeked[Any]]:
        """Iterate the first items that are not acknowledged, and keep the queue open meanwhile."""
        survey = self.survey()
        now_ns = time.time_ns()
        for address, entry in islice(self.left(survey), limit):
            note = self.note_of(survey, address, now_ns)
            state = state_of(note, now_ns)
            due = note.due_ns / 1e9 if state == "delayed" else None
            yield Peeked(queue.codec, address, body_of(entry), state, note.attempts, due)

    def left(self, survey: Survey) -> Iterator[tuple[int, bytes]]:
        """Iterate the items that are not acknowledged, be it that the log does not say so yet."""
        deliveries = self.deliveries
        for address, entry in survey.unfinished():
            if deliveries is not None:
                passed = address <= deliveries.cursor.address or address in deliveries.acked  # before it is looked for
                if passed and address not in deliveries.outstanding and address not in deliveries.moved:
                    continue
            yield address, entry

    def note_of(self, survey: Survey, address: int, now_ns: int) -> Note:
        """Return what is known of an item."""
        deliveries = self.deliveries
        if deliveries is None:
            return survey.notes.get(address, UNTOUCHED)
        delivery = deliveries.outstanding.get(address) or deliveries.moved.get(address)
        if delivery is None:
            note = deliveries.notes.get(address, UNTOUCHED)
            attempts, due = note.attempts, deliveries.clock.at(note.due_ns)  # who held it at the end does so no more
        elif deliveries.is_out(delivery):
            return Note(0, delivery.attempts)
        else:
            attempts, due = delivery.attempts, delivery.deadline
        left = due - deliveries.clock.now_or_last()
        return Note(now_ns + max(int(left * 1e9), 1) if left > 0 else 1, attempts)

    def states(self) -> list[str]:
        """Return the states of all items that are not acknowledged, of a queue that is open elsewhere."""
        survey = self.survey()
        now_ns = time.time_ns()
        left = survey.waiting()
        states: list[str] = [
            state_of(note, now_ns) for address, note in survey.notes.items() if self.is_left(survey, address)
        ]
        return states + ["waiting"] * (left - len(states))

    def is_left(self, survey: Survey, address: int) -> bool:
        """Return whether an item of which there is a note is to be delivered."""
        missing = any(gap.low < address < gap.high for gap in survey.gaps)
        return address >= survey.begin and address not in survey.done and not missing

    def figures(self) -> dict[str, Any]:
        """Return the figures that `Queue.stats` documents."""
        deliveries = self.deliveries
        if deliveries is not None:
            with self.lock:
                return {
                    "waiting": deliveries.waiting,
                    "in_flight": deliveries.in_flight(),
                    "delayed": deliveries.delayed_count(),
                    "oldest_seconds": self.oldest_seconds(deliveries.oldest()),
                    "skipped": deliveries.skipped,
                }
        states = self.states()
        return {
            "waiting": len(states) - states.count("held"),
            "in_flight": states.count("held"),
            "delayed": states.count("delayed"),
            "oldest_seconds": self.oldest_seconds(self.oldest()),
            "skipped": sum(count for _, count, _ in self.survey().losses()),
        }

    def oldest_seconds(self, address: int | None) -> float | None:
        """Return for how long the item at an address is there, by the commit that made it durable; None for none."""
        since = 0.0 if address is None else self.log.commit_time(address)
        return None if since == 0.0 else max(time.time() - since, 0.0)

    def oldest(self) -> int | None:
        """Return the address of the first item that is not acknowledged, of a queue that is open elsewhere."""
        return next((address for address, _ in self.survey().unfinished()), None)

    def faults(self) -> list[str]:
        """Return every fault of the log, and of what its entries say."""
        called = self.log.life.called()
        faults = Survey(self.log).faults
        return self.log.check() + [f"{called}: the entry at address {at} {fault}" for at, fault in faults.items()]


class Refusal:
    """Stands where an open queue has its exchange: whatever is asked of it, the queue was opened read-only."""

    def __init__(self, log: QueueLog) -> None:
        self.log = log

    def __getattr__(self, name: str) -> Any:
        self.log.life.check_writable()
        raise AttributeError(name)
