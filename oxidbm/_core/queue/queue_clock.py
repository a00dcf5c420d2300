"""The clock of a queue: by it items come again that are delayed, or were out for too long; nothing else is measured.

How long a caller waits is counted by the system's monotonic clock, or a test's clock that stands still would have it
wait for ever.
"""

from collections.abc import Callable
from typing import final

from oxidbm._core.handlers import came_from_handler
from oxidbm._core.seconds import to_time


@final
class QueueClock:
    """A caller's clock, which may be any code."""

    def __init__(self, read: Callable[[], object]) -> None:
        self.read = read
        self.last = to_time(read())

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
