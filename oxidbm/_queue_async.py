"""Waiting for a queue in a task of asyncio: as a thread does, while other tasks run.

What may take its time, a commit, a read from the device, an append where the memory is full, is done by one thread of
the queue's. An item is handed out in the last step of the task that asks, so one that is cancelled has not taken it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from oxidbm._core.queue.deliveries import NEVER
from oxidbm._core.queue.waiting import Waiter, Waiters
from oxidbm._queue_helper import Helper

if TYPE_CHECKING:
    from oxidbm._core.queue.exchange import Exchange
    from oxidbm._core.queue.handout import Handout

R = TypeVar("R")


class TaskWaiter(Waiter):
    """A task that waits, to be made in its loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()

    def tell(self) -> bool:
        """Let the task go on, from whichever thread; False where its loop was closed."""
        try:
            self.loop.call_soon_threadsafe(self.finish)
        except RuntimeError:
            return False
        return True

    def finish(self) -> None:
        """Be done, in the loop."""
        if not self.future.done():
            self.future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Return once it is woken, or after so many seconds."""
        await asyncio.wait([self.future], timeout=None if seconds == NEVER else seconds)


def helper(exchange: Exchange) -> Helper:
    """Return the thread that works for the tasks of a queue."""
    found = exchange.helping
    if not isinstance(found, Helper) or found.stopped:  # by a close() that could not be completed
        found = exchange.helping = Helper()
    return found


async def attempt(exchange: Exchange, waiters: Waiters, once: Callable[[], R | None], deadline: float) -> R | None:
    """Return what a function returns once that is not None; None after the deadline. As `Exchange.attempt`."""
    while True:
        exchange.log.life.check_open()
        if waiters is exchange.takers and exchange.deliveries.cursor.slow():
            await helper(exchange).run(exchange.read_ahead)
        waiter = TaskWaiter()
        found = exchange.try_once(waiters, once, waiter)
        if found is not None:
            return found
        try:
            left = exchange.seconds_left(waiters, deadline)
            if left > 0:
                await waiter.wait(left)
        except BaseException:
            exchange.give_up(waiters, waiter)
            raise
        if exchange.leave(waiters, waiter, deadline):
            return None


async def take(exchange: Exchange, handout: Handout, deadline: float) -> bool:
    """Hand out the next item, once there is one; False where there is none until the deadline. See `Exchange.take`."""
    exchange.log.life.check_open()
    if exchange.resting:
        exchange.start_rhythm()
    found = await attempt(exchange, exchange.takers, lambda: exchange.take_now(handout), deadline)
    if exchange.deliveries.reports:
        exchange.tell_skipped()
    return found is not None


async def join(exchange: Exchange, deadline: float) -> bool:
    """Return whether nothing waits, nor is being worked on, before the deadline."""
    return await attempt(exchange, exchange.joiners, exchange.is_done, deadline) is not None


async def put(exchange: Exchange, entry: bytes, deadline: float) -> bool:
    """Append an item, durably where that is asked; False where there is no room for it until the deadline."""
    exchange.log.life.check_writable()
    appended = await attempt(exchange, exchange.putters, lambda: exchange.put_now(entry), deadline)
    if appended is None:
        return False
    if not appended:
        await helper(exchange).run(lambda: exchange.append([entry]), lambda: exchange.release(1))
    if exchange.commits_puts:
        await helper(exchange).run(exchange.log.commit)
    return True


async def to_the_end(function: Callable[[], None]) -> None:
    """Call a function in a thread and wait for its end, also where the task is cancelled, which comes out then.

    Whoever is told that would else find a queue still open that was to be closed.
    """
    called = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        await asyncio.shield(called)
    except asyncio.CancelledError:
        while not called.done():
            with contextlib.suppress(asyncio.CancelledError):  # once more
                await asyncio.wait([called])
        raise
