"""The exchange: those who put, take and wait, and the one lock below which they meet; a queue without its face.

A put reserves its place below the lock, appends outside of it, since an append may wait for the disk, and commits
outside of it, so that threads share a sync. An acknowledgement is decided below the lock and appended outside of it.
Who is about to wait stands in the line before it looks for the last time, and who has appended looks at the line
afterwards: one of them sees the other.
"""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from oxidbm._core.faster_log.queue_log import QueueLog
from oxidbm._core.seconds import check_timeout
from oxidbm._deliveries import NEVER, Deliveries, Delivery
from oxidbm._queue_entries import ACK, ADDRESS
from oxidbm._queue_errors import ShutDown, SkippedWarning
from oxidbm._waiting import ThreadWaiter, Waiter, Waiters

if TYPE_CHECKING:
    from oxidbm._queue_helper import Helper

R = TypeVar("R")


class Exchange:
    """What the threads and tasks of one queue share."""

    def __init__(
        self,
        log: QueueLog,
        maxsize: int,
        redeliver_after: float | None,
        commits_puts: bool,
        clock: Callable[[], float],
        *,
        interval: float,
        skips: bool,
    ) -> None:
        self.log = log
        self.maxsize = maxsize
        self.commits_puts = commits_puts
        self.clock = clock
        self.deliveries = Deliveries(log, redeliver_after, clock, skips)
        self.lock = threading.Lock()
        self.takers = Waiters()
        self.putters = Waiters()
        self.joiners = Waiters()
        self.helping: Helper | None = None
        self.shut = False  # nothing is to be put any more
        self.ended = False  # nor to be handed out, though something may wait
        self.interval = interval  # seconds until the log says what is out, 0 for when it is asked to
        self.resting = interval > 0 and self.deliveries.durable  # until something is handed out
        self.noted_at = time.monotonic()
        if self.resting:
            known = weakref.ref(self)  # the log's thread must not keep a queue open that nobody holds
            log.before_commits(
                lambda: (found := known()) is not None and found.has_notes(),
                lambda: None if (found := known()) is None else found.note_in_time(),
            )
        self.tell_skipped(None)

    def deadline(self, block: bool, timeout: float | None) -> float:
        """Return until when to wait, by the clock; ValueError for a timeout that is none."""
        check_timeout(timeout)
        if not block:
            return -NEVER
        return NEVER if timeout is None else self.clock() + timeout

    def put(self, entries: list[bytes], deadline: float) -> bool:
        """Append items, durably where that is asked; False where there is no room for them until the deadline."""
        count = len(entries)
        self.log.life.check_writable()
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

    def reserve(self, count: int) -> bool | None:
        """Count items that are about to be appended; None where there is no room for them."""
        if self.shut:
            raise ShutDown("the queue was shut down, and takes no more items")
        deliveries = self.deliveries
        if 0 < self.maxsize < deliveries.waiting + count:
            return None
        deliveries.waiting += count
        deliveries.reserved += count
        return True

    def release(self, count: int) -> None:
        """Count items no more that were not appended."""
        with self.lock:
            self.deliveries.waiting -= count
            self.deliveries.reserved -= count
            self.pass_on(self.putters)

    def append(self, entries: list[bytes]) -> None:
        """Append items that were counted, and wake who waits for them."""
        done = 0
        try:
            for entry in entries:
                self.log.append(entry)
                done += 1
        finally:
            if done < len(entries):
                self.release(len(entries) - done)
            self.wake_takers(done)

    def try_append(self, entry: bytes) -> bool:
        """Append an item that was counted, unless that has to wait."""
        try:
            address = self.log.try_append(entry)
        except BaseException:
            self.release(1)
            raise
        if address is None:
            return False
        self.wake_takers(1)
        return True

    def wake_takers(self, count: int) -> None:
        """Wake so many of those that wait for an item."""
        if self.takers:
            with self.lock:
                self.takers.wake(count)

    def take(self, deadline: float) -> tuple[Delivery, bytes] | None:
        """Hand out the next item, once there is one; None where there is none until the deadline."""
        self.log.life.check_open()
        if self.resting:
            self.start_rhythm()
        with self.lock:
            found = self.take_now()
            if found is not None and self.takers:
                self.pass_on(self.takers)
        if found is None:
            found = self.attempt(self.takers, self.take_now, deadline)
        if self.deliveries.reports:
            self.tell_skipped(found)
        return found

    def take_now(self) -> tuple[Delivery, bytes] | None:
        """Hand out the next item, where there is one."""
        if self.ended:
            raise ShutDown("the queue was shut down, and hands out no more items")
        found = self.deliveries.take(self.clock())
        if found is None and self.shut:
            raise ShutDown("the queue was shut down, and no item is left that could be handed out")
        if found is not None and self.putters:
            self.pass_on(self.putters)
        return found

    def acknowledge(self, delivery: Delivery) -> bool:
        """Have an item be done; False where it was."""
        entry = self.settle_ack(delivery)
        if entry:
            self.append_ack(entry)
        return entry is not None

    def settle_ack(self, delivery: Delivery) -> bytes | None:
        """Have an item be done; None where it was, else what is still to be appended, b"" for nothing."""
        deliveries = self.deliveries
        self.log.life.check_writable()
        with self.lock:
            if not deliveries.acknowledge(delivery):
                return None
            if deliveries.durable and not deliveries.append_ack(delivery.address):
                return ACK + ADDRESS.pack(delivery.address)
            self.go_on()
        return b""

    def append_ack(self, entry: bytes) -> None:
        """Append an acknowledgement, as soon as there is room for it."""
        self.log.append(entry)
        with self.lock:
            self.deliveries.own += 1
            self.go_on()

    def go_on(self) -> None:
        """Give back the space of what is done, and let those go on who wait for the last of it."""
        self.deliveries.settle()
        if self.joiners:
            self.pass_on(self.joiners)

    def give_back(self, delivery: Delivery, attempts: int, delay: float) -> bool:
        """Have an item come again; False where it is not out any more."""
        if not delay >= 0:
            raise ValueError(f"delay is a number of seconds, at least 0, not {delay!r}")
        self.log.life.check_open()
        with self.lock:
            due = self.clock() + delay if delay > 0 else None
            if not self.deliveries.give_back(delivery, attempts, due):
                return False
            self.takers.wake()
            if self.joiners:
                self.pass_on(self.joiners)
        return True

    def extend(self, delivery: Delivery, attempts: int, seconds: float) -> bool:
        """Have an item stay out for so many seconds from now; False where it is not out any more."""
        if not seconds > 0:
            raise ValueError(f"an item is extended by a number of seconds above 0, not {seconds!r}")
        self.log.life.check_open()
        with self.lock:
            if not self.deliveries.extend(delivery, attempts, self.clock() + seconds):
                return False
            self.takers.wake()  # which may have to wait less than it meant to
        return True

    def shutdown(self, immediate: bool) -> None:
        """Take no more items, and hand out none, or only what is there."""
        self.log.life.check_open()
        with self.lock:
            self.shut = True
            self.ended = self.ended or immediate
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
            self.pass_on(waiters)
        self.log.life.check_open()
        return found

    def seconds_left(self, waiters: Waiters, deadline: float) -> float:
        """Return how long to wait for something to change."""
        with self.lock:
            if waiters is self.takers:
                deadline = min(deadline, self.deliveries.next_due())
        return NEVER if deadline == NEVER else deadline - self.clock()

    def leave(self, waiters: Waiters, waiter: Waiter, deadline: float) -> bool:
        """Let a waiter go that was woken or has waited; return whether it is not to try again."""
        with self.lock:
            waiters.leave(waiter)
            if waiter.woken or self.clock() < deadline:
                return False
            self.pass_on(waiters)
        return True

    def give_up(self, waiters: Waiters, waiter: Waiter) -> None:
        """Let a waiter go that was interrupted; another one has what it was woken for."""
        with self.lock:
            waiters.leave(waiter)
            self.pass_on(waiters)

    def pass_on(self, waiters: Waiters) -> None:
        """Wake the next one in a line where there may be something for it."""
        deliveries = self.deliveries
        if waiters is self.takers:
            due = deliveries.waiting > 0 or deliveries.next_due() < NEVER
        elif waiters is self.putters:
            due = deliveries.waiting < self.maxsize
        else:
            due = False
            if self.is_done():
                waiters.wake_all()
        if due:
            waiters.wake()

    def read_ahead(self) -> None:
        """Read what is next from the device."""
        with self.lock:
            if not self.log.closed:
                self.deliveries.cursor.read_ahead()

    def tell_skipped(self, found: tuple[Delivery, bytes] | None) -> None:
        """Warn of damage that was passed over; where warnings are raised, what was found is given back before."""
        with self.lock:
            reports = self.deliveries.reports
            self.deliveries.reports = []
        try:
            for report in reports:
                warnings.warn(report, SkippedWarning, stacklevel=4)
        except SkippedWarning:
            if found is not None:
                self.give_back(found[0], found[0].attempts, 0)
            raise

    def start_rhythm(self) -> None:
        """Have the log say at intervals what is out."""
        self.resting = False
        self.log.start_rhythm()

    def has_notes(self) -> bool:
        """Return whether the log is to say now what is out."""
        if time.monotonic() - self.noted_at < self.interval:
            return False
        with self.lock:
            return bool(self.deliveries.unnoted())

    def note_in_time(self) -> None:
        """Let the log say what is out, unless it did so just now."""
        if time.monotonic() - self.noted_at >= self.interval:
            self.note()

    def note(self) -> None:
        """Let the log say what is out, how often it was, and from when on what was given back waits."""
        with self.lock:
            self.noted_at = time.monotonic()
            self.deliveries.note()

    def helper(self) -> Helper:
        """Return the thread that works for tasks."""
        if self.helping is None:
            from oxidbm import _queue_helper  # asyncio takes time to import, and few ask for it

            self.helping = _queue_helper.Helper()
        return self.helping

    def close(self) -> None:
        """Give back the space of what is done, close the log, and tell everybody."""
        try:
            with self.lock:
                if self.log.life.can_write():
                    self.deliveries.settle(all_of_it=True)
                    self.deliveries.note()
        finally:
            try:
                self.log.close()
            finally:
                self.tell_all()

    def tell_all(self) -> None:
        """Let all go on who wait, to find the queue closed."""
        with self.lock:
            for waiters in (self.takers, self.putters, self.joiners):
                waiters.wake_all()
        if self.helping is not None:
            self.helping.stop()
