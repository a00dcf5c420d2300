"""Extent: how far a compaction that a user asked for goes, and how fast."""

import time
from typing import final

from mypy_extensions import i64

from oxidbm._core.arguments import as_seconds, shown
from oxidbm._core.seconds import checked_timeout
from oxidbm._core.sizes import parse_size


@final
class Extent:
    """A share of the log that may stay dead, and limits in bytes, seconds and bytes a second; at first without any."""

    def __init__(self) -> None:
        self.dead_share = 0.0
        self.bytes_left: i64 = -1  # of the log to go over, < 0 for no limit
        self.stop_at = 0.0  # by time.monotonic(), 0 for no limit
        self.rate: i64 = 0  # bytes of the log a second, 0 for as fast as it can be
        self.due_at = 0.0
        self.stopped = False  # the store is being closed

    def wanted(self, dead: i64, size: i64) -> bool:
        """Return whether more of a log of this size is dead than may stay."""
        return float(dead) > self.dead_share * float(size)

    def used_up(self) -> bool:
        """Return whether a limit is reached."""
        if self.stopped or self.bytes_left == 0:
            return True
        return self.stop_at > 0.0 and time.monotonic() >= self.stop_at

    def note(self, size: i64) -> None:
        """Take note of bytes that were gone over."""
        if self.bytes_left > 0:
            self.bytes_left = max(self.bytes_left - size, i64(0))
        self.slow_down(size)

    def slow_down(self, size: i64) -> None:
        """Have the next pause be as long as so many bytes may take."""
        if self.rate > 0:
            self.due_at = max(self.due_at, time.monotonic()) + float(size) / float(self.rate)

    def pause(self) -> float:
        """Return for how many seconds to wait, so as not to be faster than the rate."""
        return self.due_at - time.monotonic() if self.rate > 0 else 0.0


def to_extent(dead: object, max_bytes: object, timeout: object, rate: object) -> Extent:
    """Return what the arguments of `compact` ask for; TypeError, ValueError."""
    extent = Extent()
    extent.dead_share = as_seconds("dead", "the share of the log that may stay dead, from 0 to below 1", dead)
    if not 0 <= extent.dead_share < 1:
        raise ValueError(f"dead is the share of the log that may stay dead, from 0 to below 1, not {shown(dead)}")
    if max_bytes is not None:
        extent.bytes_left = i64(parse_size("max_bytes", max_bytes))
    seconds = checked_timeout(timeout)
    if seconds is not None:
        extent.stop_at = time.monotonic() + seconds
    if rate is not None:
        extent.rate = i64(parse_size("rate", rate))
    return extent
