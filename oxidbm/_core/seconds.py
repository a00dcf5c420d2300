"""Numbers of seconds at the API's edge: what each may be, and how long the system can wait at once."""

import threading
from typing import Final

from oxidbm._core.arguments import as_seconds, shown

LONGEST: Final = threading.TIMEOUT_MAX  # that a lock can be waited for; who waits longer waits again
EXPIRE_SECONDS_MAX: Final = 1e12  # that a key can live
DELAY_SECONDS_MAX: Final = 4e9  # more than a century


def checked_every(name: str, value: object) -> float:
    """Return after how many seconds something comes again: above 0, finite, and no NaN; TypeError, ValueError."""
    what = "a positive number of seconds"
    seconds = as_seconds(name, what, value)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{name} is {what}, not {shown(value)}")
    return seconds


def checked_timeout(timeout: object) -> float | None:
    """Return a number of seconds to wait, None for ever; TypeError, ValueError."""
    return None if timeout is None else seconds_from_0("timeout", ", or None", timeout)


def seconds_from_0(name: str, more: str, value: object) -> float:
    """Return a number of seconds of 0 or more; TypeError, ValueError for a negative one and NaN."""
    what = f"a number of seconds, at least 0{more}"
    seconds = as_seconds(name, what, value)
    if not seconds >= 0:
        raise ValueError(f"{name} is {what}, not {shown(value)}")
    return seconds


def to_delay(name: str, seconds: object, zero: bool) -> float:
    """Return what is a number of seconds until something comes again; TypeError or ValueError for what is none."""
    what = f"a number of seconds, {'at least 0' if zero else 'above 0'} and below {DELAY_SECONDS_MAX:g}"
    found = as_seconds(name, what, seconds)
    if not (0 < found < DELAY_SECONDS_MAX or (zero and found == 0)):
        raise ValueError(f"{name} is {what}, not {shown(seconds)}")
    return found


def to_time(now: object) -> float:
    """Return what a caller's clock said; TypeError or ValueError where that is no time."""
    if isinstance(now, bool) or not isinstance(now, (int, float)):
        raise TypeError(f"clock is a function that returns seconds, and this one returned {now!r}")
    if not float("-inf") < now < float("inf"):
        raise ValueError(f"clock is a function that returns seconds, and this one returned {now!r}")
    return float(now)


def to_wait(timeout: float | None) -> float:
    """Return how long to wait for a lock: -1 for None, which is for ever."""
    return -1.0 if timeout is None else min(timeout, LONGEST)
