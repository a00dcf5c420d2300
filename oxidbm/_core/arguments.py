"""Arguments at the API's edge for which anything may be given: each becomes what it has to be, or an error names it.

Another type is a TypeError, a value out of range a ValueError. What a compiled function declares as bool, float or str
it checks by itself, with a TypeError that names no argument; so methods take `object` where a user may be wrong, and
have it looked at here. That costs some nanoseconds: what is called most takes a path of its own around it.
"""

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


def as_seconds(name: str, what: str, value: object) -> float:
    """Return a number, NaN among them, as a float; TypeError, which says `what` it is, for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {what}, not {shown(value)}")
    if isinstance(value, int):
        return float(max(min(value, int(SECONDS_END)), -int(SECONDS_END)))
    return value


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
