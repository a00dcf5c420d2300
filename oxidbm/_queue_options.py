"""What a queue is opened with, checked before anything is opened."""

from __future__ import annotations

import sys
from typing import Any

from oxidbm._core.arguments import as_flag, as_mode, as_seconds, one_of, shown
from oxidbm._core.seconds import DELAY_SECONDS_MAX, to_time


def check_options(
    maxsize: Any,
    redeliver_after: Any,
    durability: Any,
    interval: Any,
    on_error: Any,
    flags: dict[str, Any],
    mode: Any,
    clock: Any,
) -> float | None:
    """Raise TypeError or ValueError for what a log does not check; return `redeliver_after` in seconds."""
    again: float | None = None
    if isinstance(maxsize, bool) or not isinstance(maxsize, int):
        raise TypeError(f"maxsize is a number of items, 0 or less for any number, not {shown(maxsize)}")
    if redeliver_after is not None:
        what = f"a number of seconds above 0 and below {DELAY_SECONDS_MAX:g}, or None"
        again = as_seconds("redeliver_after", what, redeliver_after)
        if not 0 < again < DELAY_SECONDS_MAX:  # nor is NaN
            raise ValueError(f"redeliver_after is {what}, not {shown(redeliver_after)}")
    one_of("durability", '"manual", "interval" or "always"', durability, "manual", "interval", "always")
    what = f"a number of seconds above 0 and below {DELAY_SECONDS_MAX:g}"
    if not 0 < as_seconds("interval", what, interval) < DELAY_SECONDS_MAX:
        raise ValueError(f"interval is {what}, not {shown(interval)}")
    one_of("on_error", '"raise" or "skip"', on_error, "raise", "skip")
    for name, value in flags.items():
        as_flag(name, value)
    as_mode(mode)
    if not callable(clock):
        raise TypeError(f"clock is a function that returns seconds, as time.monotonic is, not {shown(clock)}")
    to_time(clock())
    return again


def checked_limit(limit: Any) -> int | None:
    """Return how many items are asked for, None for all; TypeError, ValueError."""
    what = "limit is a number of items, at least 0, or None"
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
        raise TypeError(f"{what}, not {shown(limit)}")
    if limit is not None and limit < 0:
        raise ValueError(f"{what}, not {shown(limit)}")
    return None if limit is None else min(limit, sys.maxsize)
