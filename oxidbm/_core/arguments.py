"""Arguments at the API's edge for which anything may be given: each becomes what it has to be, or an error names it.

Another type is a TypeError, a value out of range a ValueError. What a compiled function declares as bool, float or str
it checks by itself, with a TypeError that names no argument; so methods take `object` where a user may be wrong, and
have it looked at here. That costs some nanoseconds: what is called most takes a path of its own around it.
"""

import operator
from typing import Final

SHOWN_CHARACTERS: Final = 60
SECONDS_END: Final = 1e300  # an int beyond is no float
MODE_MAX: Final = 0o7777


def shown(value: object) -> str:
    """Return how an error shows what was given."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."


def as_flag(name: str, value: object) -> bool:
    """Return what is True or False; TypeError for all else."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, not {shown(value)}")
    return value


def check_iterable(name: str, what: str, value: object) -> None:
    """Raise TypeError, which says `what` an argument is, for one that nothing can be taken out of."""
    if not hasattr(value, "__iter__") and not hasattr(value, "__getitem__"):
        raise TypeError(f"{name} is {what}, not {shown(value)}")


def as_text(name: str, what: str, value: object) -> str:
    """Return a str; TypeError, which says `what` it is, for all else."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {what}, a str, not {shown(value)}")
    return value


def number_of(value: object) -> float | int | None:
    """Return what stands for a number: one, a timedelta as its seconds, and what Python takes for one; None for others.

    That is what has __index__ or __float__, such as a number of numpy's.
    """
    if isinstance(value, (bool, str)):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        if hasattr(value, "total_seconds"):
            return float(value.total_seconds())
        if hasattr(value, "__index__"):
            return operator.index(value)
        return float(value) if hasattr(value, "__float__") else None
    except (TypeError, ValueError):  # an array of many, or the truth that numpy has
        return None


def as_count(name: str, value: object) -> int:
    """Return an int, and what Python takes for one; TypeError for all else."""
    number = number_of(value)
    if not isinstance(number, int):
        raise TypeError(f"{name} is an int, not {shown(value)}")
    return number


def as_seconds(name: str, what: str, value: object) -> float:
    """Return a number, NaN among them, or a timedelta's seconds, as a float; TypeError, which says `what` it is."""
    number = number_of(value)
    if number is None:
        raise TypeError(f"{name} is {what}, not {shown(value)}")
    if isinstance(number, int):
        return float(max(min(number, int(SECONDS_END)), -int(SECONDS_END)))
    return number


def as_mode(mode: object) -> int:
    """Return the permissions of new files; TypeError, ValueError."""
    if isinstance(mode, bool) or not isinstance(mode, int):
        raise TypeError(f"mode is the permissions of new files, an int such as 0o600, not {shown(mode)}")
    if not 0 <= mode <= MODE_MAX:
        raise ValueError(f"mode is the permissions of new files, from 0 to 0o{MODE_MAX:o}, not {shown(mode)}")
    return mode


def one_of(name: str, choices: str, value: object, first: str, second: str, third: str = "") -> str:
    """Return one of two or three words; TypeError for what is no str, ValueError for another one."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {choices}, not {shown(value)}")
    if value not in (first, second, third) or not value:
        raise ValueError(f"{name} is {choices}, not {shown(value)}")
    return value
