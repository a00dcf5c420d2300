"""Numbers of seconds at the API's edge: what each may be, and how long the system can wait at once."""

import threading
from typing import Final

LONGEST: Final = threading.TIMEOUT_MAX  # that a lock can be waited for; who waits longer waits again
EXPIRE_SECONDS_MAX: Final = 1e12  # that a key can live


def check_every(what: str, seconds: float) -> None:
    """Raise ValueError for what is no time after which something comes again: above 0, finite, and no NaN."""
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{what} is a positive number of seconds, not {seconds!r}")


def check_timeout(timeout: float | None) -> None:
    """Raise ValueError for what is no number of seconds to wait."""
    if timeout is not None and not timeout >= 0:  # nor is NaN
        raise ValueError(f"timeout is a number of seconds, at least 0, or None, not {timeout!r}")


def to_wait(timeout: float | None) -> float:
    """Return how long to wait for a lock: -1 for None, which is for ever."""
    return -1.0 if timeout is None else min(timeout, LONGEST)
