"""The clock of a queue: by it items come again that are delayed, or were out for too long; nothing else is measured.

How long a caller waits is counted by the system's monotonic clock, or a test's clock that stands still would have it
wait for ever. What the log says of delays is said by the system's clock: that goes while the queue is closed, and this
one from its opening on.
"""

import time
from collections.abc import Callable
from typing import final

from oxidbm._core.handlers import came_from_handler
from oxidbm._core.queue.entries import TIME_MAX_NS
from oxidbm._core.seconds import to_time


@final
class QueueClock:
    """A caller's clock, which may be any code."""

    def __init__(self, read: Callable[[], object]) -> None:
        self.read = read
        self.last = to_time(read())
        self.begun = self.last  # when the queue was opened, by this clock and by the system's
        self.begun_ns = time.time_ns()

    def at(self, due_ns: int) -> float:
        """Return when it is, by this clock, that a note of an earlier opening says by the system's."""
        return self.begun + (due_ns - self.begun_ns) / 1e9

    def note_ns(self, due: float) -> int:
        """Return what a note has to say for `at` to return a time; the log's say it by the system's clock."""
        return min(self.begun_ns + int((due - self.begun) * 1e9), TIME_MAX_NS)

    def system_ns(self, due: float) -> int:
        """Return when it is, by the system's clock, that this one tells a time."""
        return min(time.time_ns() + int(max(due - self.last, 0.0) * 1e9), TIME_MAX_NS)

    def now(self) -> float:
        """Return its time; TypeError or ValueError where it tells none."""
        now = to_time(self.read())
        self.last = now
        return now

    def now_or_last(self) -> float:
        """Return its time, or what it told last where it fails: what is said of items is not lost with a clock."""
        try:
            return self.now()
        except Exception as failure:
            if came_from_handler(failure):
                raise
            return self.last
