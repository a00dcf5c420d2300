"""Who waits for something of a queue: threads, and tasks (see _queue_async), in the order in which they came.

One is woken for each thing that there is to have. Whoever leaves wakes the next one where there may be more, so nothing
that was told to one who has given up is lost. The queue's lock is held by whoever calls, but for waiting itself.
"""

import _thread
import threading
from collections import deque
from typing import Final, final

from mypy_extensions import mypyc_attr

ATTEMPTS_MAX: Final = 100


@mypyc_attr(allow_interpreted_subclasses=True)
class Waiter:
    """One who waits; `woken` once it need not any more."""

    def __init__(self) -> None:
        self.woken = False

    def tell(self) -> bool:
        """Let it go on; False where it is gone."""
        raise NotImplementedError


@final
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


@final
class Waiters:
    """Those that wait for the same."""

    def __init__(self) -> None:
        self.line: deque[Waiter] = deque()

    def __bool__(self) -> bool:
        return len(self.line) > 0

    def add(self, waiter: Waiter) -> None:
        """Have one wait."""
        self.line.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Let one go that waits no more, woken or not."""
        if not waiter.woken:
            self.line.remove(waiter)

    def wake(self, count: int = 1) -> None:
        """Wake those that wait longest, so many of them.

        A task is told by code that a signal's handler may end: then it is told once more, since once is not enough.
        """
        interrupted: BaseException | None = None
        while count > 0 and self.line:
            waiter = self.line.popleft()
            waiter.woken = True
            told = False
            for _ in range(ATTEMPTS_MAX):
                try:
                    told = waiter.tell()
                    break
                except BaseException as failure:
                    interrupted = failure
            count -= told
        if interrupted is not None:
            raise interrupted

    def wake_all(self) -> None:
        """Wake everybody."""
        self.wake(len(self.line))


@mypyc_attr(allow_interpreted_subclasses=True)
class Helping:
    """A thread that works for the tasks of a queue; see _queue_helper."""

    def stop(self) -> None:
        """End it, once it has done what it was given."""
        raise NotImplementedError
