"""What a queue is opened with, checked before anything is opened."""

from __future__ import annotations

from typing import Any

SECONDS_MAX = 4e9  # more than a century


def is_number(value: object) -> bool:
    """Return whether something is a number of seconds, NaN not among them."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def check_options(
    maxsize: Any,
    redeliver_after: Any,
    durability: Any,
    interval: Any,
    on_error: Any,
    flags: dict[str, Any],
    mode: Any,
    clock: Any,
) -> None:
    """Raise TypeError or ValueError for what a log does not check."""
    if isinstance(maxsize, bool) or not isinstance(maxsize, int):
        raise TypeError(f"maxsize is a number of items, 0 or less for any number, not {maxsize!r}")
    if redeliver_after is not None and not (is_number(redeliver_after) and redeliver_after > 0):
        raise ValueError(f"redeliver_after is a number of seconds above 0, or None, not {redeliver_after!r}")
    if durability not in ("manual", "interval", "always"):
        raise ValueError(f'durability is "manual", "interval" or "always", not {durability!r}')
    if not (is_number(interval) and 0 < interval < SECONDS_MAX):
        raise ValueError(f"interval is a number of seconds above 0 and below {SECONDS_MAX:g}, not {interval!r}")
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error is "raise" or "skip", not {on_error!r}')
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name} is True or False, not {value!r}")
    if isinstance(mode, bool) or not isinstance(mode, int):
        raise TypeError(f"mode is the permissions of new files, an int such as 0o600, not {mode!r}")
    if not callable(clock):
        raise TypeError(f"clock is a function that returns seconds, as time.monotonic is, not {clock!r}")
