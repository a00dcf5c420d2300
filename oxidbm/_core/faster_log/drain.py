"""Draining: whoever follows a log in the process that closes it gets what was committed before, and ends then.

What followers read by, files and pages, stays when the log is closed, until the last one that had not come to the end
has, or is closed or dropped. All else that the log held is given back by close(): its lock, its directory, its thread.
"""

from typing import final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.exits import attempt
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.life import Life
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.hybrid_log import HybridLog


@final
class Drain:
    """One follower: where it stands."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor


@final
class Drains:
    """The followers of one log; `ended` once close() has come so far that nothing more is committed."""

    def __init__(self, log: HybridLog) -> None:
        self.log = log
        self.open: list[Drain] = []
        self.ended = False
        self.life = Life(log.life.path, log.life.what)  # under which they read when the log's own is over

    def add(self, cursor: Cursor) -> Drain:
        """Know a follower."""
        drain = Drain(cursor)
        self.open.append(drain)
        return drain

    def end(self, stop: i64) -> bool:
        """Take note that the log is closed, and its commits end at an address; return whether somebody reads on."""
        for drain in self.open.copy():
            if drain.cursor.following >= stop:
                self.open.remove(drain)
        self.ended = True
        return len(self.open) > 0

    def holds(self, drain: Drain) -> bool:
        """Return whether a follower may read on although the log is closed."""
        return drain in self.open

    def remove(self, drain: Drain) -> None:
        """Know a follower no more; the last one gives back what was left to it. A second time does nothing."""
        if drain not in self.open:
            return
        self.open.remove(drain)
        if self.ended and not self.open:
            failure = attempt(self.log.use.give_up)
            failure = attempt(self.log.let_go) or failure
            if failure is not None:
                if not isinstance(failure, OSError) or came_from_handler(failure):
                    raise failure
                _breath.LastWord(failure)  # the one who closed the log has gone on
