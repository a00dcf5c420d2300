"""Who waits for something of a queue: threads, and tasks (see _queue_async), in the order in which they came.

One is woken for each thing that there is to have. Whoever leaves wakes the next one where there may be more, so nothing
that was told to one who has given up is lost. The queue's lock is held by whoever calls, but for waiting itself.
"""

from __future__ import annotations

import _thread
import threading
from collections import deque


class Waiter:
    """One who waits; `woken` once it need not any more."""

    def __init__(self) -> None:
        self.woken = False

    def tell(self) -> bool:
        """Let it go on; False where it is gone."""
        raise NotImplementedError


class ThreadWaiter(Waiter):
    """A thread that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = _thread.allocate_lock()
        self.gate.acquire()

    def tell(self) -> bool:
        """Let the thread go on."""
        self.gate.release()
        return True

    def wait(self, seconds: float) -> None:
        """Return once it is woken, or after so many seconds."""
        self.gate.acquire(True, min(seconds, threading.TIMEOUT_MAX))


class Waiters:
    """Those that wait for the same."""

    def __init__(self) -> None:
        self.line: deque[Waiter] = deque()

    def __bool__(self) -> bool:
        return bool(self.line)

    def add(self, waiter: Waiter) -> None:
        """Have one wait."""
        self.line.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Let one go that waits no more, woken or not."""
        if not waiter.woken:
            self.line.remove(waiter)

    def wake(self, count: int = 1) -> None:
        """Wake those that wait longest, so many of them."""
        while count > 0 and self.line:
            waiter = self.line.popleft()
            waiter.woken = True
            count -= waiter.tell()

    def wake_all(self) -> None:
        """Wake everybody."""
        self.wake(len(self.line))
