"""Interval: the commits that a store makes by itself, one each so many seconds."""

import time
from typing import final

from oxidbm._core.durability.commit import Commits


@final
class Interval:
    """When the next commit is due; `seconds` is 0 where none is made by itself."""

    def __init__(self, commits: Commits, seconds: float) -> None:
        self.commits = commits
        self.seconds = seconds
        self.last = time.monotonic()

    def commit(self) -> None:
        """Commit where the interval since the last time is over."""
        if self.seconds > 0 and time.monotonic() - self.last >= self.seconds:
            self.commits.commit()
            self.commits.log.epoch.drain()
            self.last = time.monotonic()
