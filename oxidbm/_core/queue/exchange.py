"""The exchange: those who put, take and wait, and the one lock below which they meet; a queue without its face.

A put reserves its place below the lock, appends outside of it, since an append may wait for the disk, and commits
outside of it, so that threads share a sync. An acknowledgement is decided below the lock, and said by the next commit.
Who is about to wait stands in the line before it looks for the last time, and who has appended looks at the line
afterwards: one of them sees the other.

The end, whoever brings it about, is decided below the lock, too: what was acknowledged or given back before is said in
the log, and from then on nothing is, nor handed out, nor put. What was counted before and is appended meanwhile is
either committed, or the append raises.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar, final

from mypy_extensions import i64

from oxidbm import _queue_errors
from oxidbm._core.arguments import as_flag
from oxidbm._core.errors import ClosedError
from oxidbm._core.faster_log.handle import Owner
from oxidbm._core.life import FORKED
from oxidbm._core.locks import QUEUEING, LockOrder, StoreLock
from oxidbm._core.queue.deliveries import NEVER, Deliveries
from oxidbm._core.queue.handout import Handout
from oxidbm._core.queue.queue_clock import QueueClock
from oxidbm._core.queue.queue_log import QueueLog
from oxidbm._core.queue.reserve import Reserve
from oxidbm._core.queue.waiting import Helping, ThreadWaiter, Waiter, Waiters
from oxidbm._core.seconds import checked_timeout, to_delay

R = TypeVar("R")

OWED_MAX: Final = 4096
ENTRY_BYTES: Final = 32  # around an item's bytes, at the most


@final
class Exchange(Owner):
    """What the threads and tasks of one queue share."""

    def __init__(
        self,
        log: QueueLog,
        maxsize: int,
        redeliver_after: float | None,
        commits_puts: bool,
        clock: Callable[[], object],
        interval: float,
        skips: bool,
    ) -> None:
        super().__init__()
        self.log = log
        self.maxsize = maxsize
        self.commits_puts = commits_puts
        self.clock = QueueClock(clock)
        self.deliveries = Deliveries(log, redeliver_after, self.clock, skips)
        self.lock = StoreLock(LockOrder(log.life.called()), QUEUEING)
        self.room = Reserve(log, commits_puts)
        self.takers = Waiters()
        self.putters = Waiters()
        self.joiners = Waiters()
        self.helping: Helping | None = None
        self.shut = False  # nothing is to be put any more
        self.ended = False  # nor to be handed out, though something may wait
        self.closing = False  # the log has been told all, and nothing may change any more
        self.interval = interval  # seconds until the log says what is out, 0 for when it is asked to
        self.resting = interval > 0 and self.deliveries.durable  # until something is handed out
        self.noted_at = time.monotonic()
        self.tell_skipped()
        log.belong_to(self, self.has_notes if self.resting else None, self.note_in_time)

    def check_going(self) -> None:
        """Raise where the queue is being closed; the caller holds the lock."""
        if self.closing:
            raise ClosedError(f"{self.log.life.called()} is closed; open it again to use it")

    def deadline(self, block: object, timeout: object) -> float:
        """Return until when to wait, by the monotonic clock; TypeError and ValueError for what says neither."""
        if block is True and timeout is None:
            return NEVER
        waits = as_flag("block", block)
        seconds = checked_timeout(timeout)
        if not waits:
            return -NEVER
        return NEVER if seconds is None else time.monotonic() + seconds

    def put(self, entries: list[bytes], deadline: float) -> bool:
        """Append items, durably where that is asked; False where there is no room for them until the deadline."""
        count = len(entries)
        self.log.life.check_writable()
        self.check_reserve(entries)
        if self.maxsize > 0:
            if self.attempt(self.putters, lambda: self.reserve(count), deadline) is None:
                return False
        else:
            with self.lock:
                self.reserve(count)
        self.append(entries)
        if self.commits_puts:
            self.log.commit()
        return True

    def check_reserve(self, entries: list[bytes]) -> None:
        """Raise OSError where the disk has too little left for some items."""
        size: i64 = 0
        for entry in entries:
            size += len(entry) + ENTRY_BYTES
        self.room.check(size)

    def reserve(self, count: int) -> bool | None:
        """Count items that are about to be appended; None where there is no room for them."""
        self.check_going()
        if self.shut:
            raise _queue_errors.ShutDown("the queue was shut down, and takes no more items")
        deliveries = self.deliveries
        if 0 < self.maxsize < deliveries.waiting + count:
            return None
        deliveries.waiting += count
        deliveries.reserved += count
        return True

    def release(self, count: int) -> None:
        """Count items no more that were not appended."""
        interrupted = self.lock.take_surely()
        try:
            self.deliveries.waiting -= count
            self.deliveries.reserved -= count
            self.pass_on(self.putters)
        finally:
            self.lock.release()
        if interrupted is not None:
            raise interrupted

    def append(self, entries: list[bytes]) -> None:
        """Append items that were counted, and wake who waits for them."""
        done = 0
        failure: BaseException | None = None
        try:
            for entry in entries:
                _, failure = self.log.add(entry, True)
                done += 1
                if failure is not None:
                    break
        finally:
            try:
                self.wake_takers(done)
            finally:
                if done < len(entries):
                    self.release(len(entries) - done)
        if failure is not None:
            raise failure

    def put_now(self, entry: bytes) -> bool | None:
        """Count and append an item; None where there is no room for it, False where only the append has to wait."""
        self.room.check(i64(len(entry) + ENTRY_BYTES))
        if self.reserve(1) is None:
            return None
        address = -1
        failure: BaseException | None = None
        try:
            address, failure = self.log.add(entry, False)
        except BaseException:
            self.deliveries.waiting -= 1
            self.deliveries.reserved -= 1
            raise
        if address >= 0:
            self.takers.wake()
        if failure is not None:
            raise failure
        return address >= 0

    def wake_takers(self, count: int) -> None:
        """Wake so many of those that wait for an item."""
        if self.takers:
            interrupted = self.lock.take_surely()
            try:
                self.takers.wake(count)
            finally:
                self.lock.release()
            if interrupted is not None:
                raise interrupted

    def take(self, handout: Handout, deadline: float) -> bool:
        """Hand out the next item, once there is one; False where there is none until the deadline.

        Whoever calls this and then raises, or is interrupted, has to `forsake` it.
        """
        self.log.life.check_open()
        if self.resting:
            self.start_rhythm()
        with self.lock:
            found = self.take_now(handout)
        if found is None:
            found = self.attempt(self.takers, lambda: self.take_now(handout), deadline)
        if self.deliveries.reports:
            self.tell_skipped()
        return found is not None

    def take_now(self, handout: Handout) -> bool | None:
        """Hand out the next item, where there is one; None where there is none."""
        self.check_going()
        if self.ended:
            raise _queue_errors.ShutDown("the queue was shut down, and hands out no more items")
        found = self.deliveries.take(self.clock.now())
        if found is None and self.shut:
            raise _queue_errors.ShutDown("the queue was shut down, and no item is left that could be handed out")
        if found is None:
            return None
        handout.fill(found[0], found[1])
        if self.putters or self.takers:
            self.pass_on(self.putters)
            self.pass_on(self.takers)
        return True

    def forsake(self, handout: Handout, held: "deque[Handout] | None" = None) -> None:
        """Have an item wait on, as if it had not been out, whose taker raises instead of having it."""
        if not handout.taken:
            return
        interrupted = self.lock.take_surely()
        try:
            drop(handout, held)
            if not handout.settled:
                handout.settled = handout.given_back = True
                if self.deliveries.take_back(handout.delivery, handout.attempts):
                    self.takers.wake()
        finally:
            self.lock.release()
        if interrupted is not None:
            raise interrupted

    def acknowledge(self, handout: Handout, held: "deque[Handout] | None" = None) -> bool:
        """Have an item be done, and its holder have it no more; False where it was done, or its holder gave it back."""
        deliveries = self.deliveries
        self.log.life.check_writable()
        with self.lock:
            self.check_going()
            handout.settled = True
            done = not handout.given_back and deliveries.acknowledge(handout.delivery)
            drop(handout, held)
            if done:
                if len(deliveries.owed) >= OWED_MAX:
                    deliveries.pay()
                self.go_on()
        return done

    def go_on(self) -> None:
        """Give back the space of what is done, and let those go on who wait for the last of it."""
        self.deliveries.settle()
        if self.joiners:
            self.pass_on(self.joiners)

    def give_back(self, handout: Handout, delay: object, held: "deque[Handout] | None" = None) -> bool:
        """Have an item come again, and its holder have it no more; False where it is not out any more."""
        seconds = to_delay("delay", delay, True)
        self.log.life.check_open()
        with self.lock:
            due = self.clock.now() + seconds if seconds > 0 else None
            self.check_going()
            self.takers.wake()  # already: whoever is interrupted and tries again gives nothing back then
            given = self.deliveries.give_back(handout.delivery, handout.attempts, due)
            handout.settled = True
            handout.given_back = handout.given_back or given
            drop(handout, held)
            if self.joiners:
                self.pass_on(self.joiners)
        return given

    def extend(self, handout: Handout, seconds: object) -> bool:
        """Have an item stay out for so many seconds from now; False where it is not out any more."""
        longer = to_delay("seconds", seconds, False)
        self.log.life.check_open()
        with self.lock:
            deadline = self.clock.now() + longer
            self.check_going()
            if not self.deliveries.extend(handout.delivery, handout.attempts, deadline):
                return False
            self.takers.wake()  # which may have to wait less than it meant to
        return True

    def shutdown(self, immediate: object) -> None:
        """Take no more items, and hand out none, or only what is there."""
        at_once = as_flag("immediate", immediate)
        self.log.life.check_open()
        with self.lock:
            self.shut = True
            self.ended = self.ended or at_once
            for waiters in (self.takers, self.putters, self.joiners):
                waiters.wake_all()

    def join(self, deadline: float) -> bool:
        """Return whether nothing waits, nor is being worked on, before the deadline."""
        return self.attempt(self.joiners, self.is_done, deadline) is not None

    def is_done(self) -> bool | None:
        """Return True where nothing waits, nor is being worked on, else None."""
        deliveries = self.deliveries
        if not self.shut:
            return deliveries.idle() or None
        if deliveries.in_flight() > 0:
            return None
        return self.ended or deliveries.waiting <= deliveries.delayed_count() or None

    def attempt(self, waiters: Waiters, once: Callable[[], R | None], deadline: float) -> R | None:
        """Return what a function returns once that is not None; None where that is not so until the deadline."""
        while True:
            waiter = ThreadWaiter()
            found = self.try_once(waiters, once, waiter)
            if found is not None:
                return found
            try:
                left = self.seconds_left(waiters, deadline)
                if left > 0:
                    waiter.wait(left)
            except BaseException:
                self.give_up(waiters, waiter)
                raise
            if self.leave(waiters, waiter, deadline):
                return None

    def try_once(self, waiters: Waiters, once: Callable[[], R | None], waiter: Waiter) -> R | None:
        """Return what the function returns; where that is None, the waiter stands in the line."""
        self.log.life.check_open()
        with self.lock:
            found = once()
            if found is None:
                waiters.add(waiter)
                try:
                    found = once()
                except BaseException:
                    waiters.leave(waiter)
                    raise
                if found is None and not self.log.closed:  # else close() has woken those that stood there
                    return None
                waiters.leave(waiter)
            if waiters is not self.takers:
                self.pass_on(waiters)
        self.log.life.check_open()
        return found

    def seconds_left(self, waiters: Waiters, deadline: float) -> float:
        """Return how long to wait for something to change."""
        left = NEVER if deadline == NEVER else deadline - time.monotonic()
        if waiters is self.takers:
            with self.lock:
                due = self.deliveries.next_due()
            if due < NEVER:
                left = min(left, due - self.clock.now())
        return left

    def leave(self, waiters: Waiters, waiter: Waiter, deadline: float) -> bool:
        """Let a waiter go that was woken or has waited; return whether it is not to try again."""
        interrupted = self.lock.take_surely()
        try:
            waiters.leave(waiter)
            over: bool = interrupted is not None or not (waiter.woken or time.monotonic() < deadline)
            if over:
                self.pass_on(waiters)
        finally:
            self.lock.release()
        if interrupted is not None:
            raise interrupted
        return over

    def give_up(self, waiters: Waiters, waiter: Waiter) -> None:
        """Let a waiter go that was interrupted, and have another one get what it was woken for."""
        self.lock.take_surely()
        try:
            waiters.leave(waiter)
            self.pass_on(waiters)
        finally:
            self.lock.release()

    def pass_on(self, waiters: Waiters) -> None:
        """Wake the next one in a line where there may be something for it."""
        deliveries = self.deliveries
        if waiters is self.takers:
            due = deliveries.waiting > 0 or deliveries.next_due() < NEVER
        elif waiters is self.putters:
            due = deliveries.waiting < self.maxsize
        else:
            due = False
            if waiters and self.is_done():
                waiters.wake_all()
        if due:
            waiters.wake()

    def read_ahead(self) -> None:
        """Read what is next from the device."""
        with self.lock:
            if not self.log.closed:
                self.deliveries.cursor.read_ahead()

    def tell_skipped(self) -> None:
        """Warn of damage that was passed over."""
        with self.lock:
            reports = self.deliveries.reports
            self.deliveries.reports = []
        for report in reports:
            _queue_errors.warn(report)

    def start_rhythm(self) -> None:
        """Have the log say at intervals what is out."""
        self.resting = False
        self.log.start_rhythm()

    def has_notes(self) -> bool:
        """Return whether the log is to say now what is done, or what is out."""
        if self.closing:
            return False
        if self.deliveries.owed:
            return True
        if time.monotonic() - self.noted_at < self.interval:
            return False
        with self.lock:
            return bool(self.deliveries.unnoted())

    def note_in_time(self) -> None:
        """Let the log say what is done, and what is out, unless it did the latter just now."""
        now = time.monotonic()
        with self.lock:
            if self.closing:
                return
            self.deliveries.pay()
            if now - self.noted_at >= self.interval:
                self.noted_at = now
                self.deliveries.note()

    def commit(self) -> None:
        """Commit what was put, what is done, what is out and how often, and until when what was given back waits."""
        self.log.life.check_open()  # first: in a forked child nobody may be left to give the lock back
        with self.lock:
            self.check_going()
            self.deliveries.pay()
            self.noted_at = time.monotonic()
            self.deliveries.note(True)
        self.deliveries.say_owed(True)
        self.log.commit()

    def check_end(self) -> None:
        """Raise BusyError where the calling thread holds the lock."""
        self.lock.order.check(QUEUEING)

    def end(self) -> None:
        """Let nothing change any more; give back the space of what is done, and say what the log does not say yet."""
        with self.lock:
            self.closing = True
            self.deliveries.settle(all_of_it=True)
            self.deliveries.pay()
            self.deliveries.note(True)
        self.deliveries.say_owed(True)

    def begin_again(self) -> None:
        """Go on, since the log could not be closed."""
        self.closing = False

    def close(self) -> None:
        """Close the log, and tell everybody."""
        try:
            self.log.close()
        finally:
            if self.log.life.state != FORKED:  # else the lock may be another thread's, which the child has not got
                self.tell_all()

    def tell_all(self) -> None:
        """Let all go on who wait, to find the queue closed."""
        with self.lock:
            for waiters in (self.takers, self.putters, self.joiners):
                waiters.wake_all()
        helping = self.helping
        if helping is not None:
            helping.stop()


def drop(handout: Handout, held: "deque[Handout] | None") -> None:
    """Take an item from what somebody holds."""
    if held is not None and handout in held:
        held.remove(handout)
