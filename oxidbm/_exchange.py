"""The exchange: those who put, take and wait, and the one lock below which they meet; a queue without its face.

A put reserves its place below the lock, appends outside of it, since an append may wait for the disk, and commits
outside of it, so that threads share a sync. An acknowledgement is decided below the lock and appended outside of it.
Who is about to wait stands in the line before it looks for the last time, and who has appended looks at the line
afterwards: one of them sees the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from oxidbm._core.faster_log.arguments import check_timeout
from oxidbm._core.faster_log.queue_log import QueueLog
from oxidbm._deliveries import ACK, ADDRESS, NEVER, Deliveries, Delivery
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
    ) -> None:
        self.log = log
        self.maxsize = maxsize
        self.commits_puts = commits_puts
        self.clock = clock
        self.deliveries = Deliveries(log, redeliver_after)
        self.lock = threading.Lock()
        self.takers = Waiters()
        self.putters = Waiters()
        self.joiners = Waiters()
        self.helping: Helper | None = None

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
                self.deliveries.waiting += count
        self.append(entries)
        if self.commits_puts:
            self.log.commit()
        return True

    def reserve(self, count: int) -> bool | None:
        """Count items that are about to be appended; None where there is no room for them."""
        deliveries = self.deliveries
        if 0 < self.maxsize < deliveries.waiting + count:
            return None
        deliveries.waiting += count
        return True

    def release(self, count: int) -> None:
        """Count items no more that were not appended."""
        with self.lock:
            self.deliveries.waiting -= count
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
        with self.lock:
            found = self.take_now()
            if found is not None:
                if self.takers:
                    self.pass_on(self.takers)
                return found
        return self.attempt(self.takers, self.take_now, deadline)

    def take_now(self) -> tuple[Delivery, bytes] | None:
        """Hand out the next item, where there is one."""
        found = self.deliveries.take(self.clock())
        if found is not None and self.putters:
            self.pass_on(self.putters)
        return found

    def acknowledge(self, delivery: Delivery) -> bool:
        """Have an item be done; False where it was."""
        deliveries = self.deliveries
        self.log.life.check_writable()
        with self.lock:
            if not deliveries.acknowledge(delivery):
                return False
            address = delivery.address
        if deliveries.durable:
            self.log.append(ACK + ADDRESS.pack(address))
        with self.lock:
            deliveries.settle()
            if self.joiners:
                self.pass_on(self.joiners)
        return True

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
        return True

    def join(self, deadline: float) -> bool:
        """Return whether nothing waits, nor is being worked on, before the deadline."""
        return self.attempt(self.joiners, self.is_done, deadline) is not None

    def is_done(self) -> bool | None:
        """Return True where nothing waits, nor is being worked on, else None."""
        return self.deliveries.idle() or None

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
            if deliveries.idle():
                waiters.wake_all()
        if due:
            waiters.wake()

    def read_ahead(self) -> None:
        """Read what is next from the device."""
        with self.lock:
            if not self.log.closed:
                self.deliveries.read_ahead()

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
