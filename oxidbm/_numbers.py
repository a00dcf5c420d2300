"""Numbers of other packages as int and float: what the codecs of these take besides, such as numpy's.

That is what has `__index__`, which says that it is an int, and for floats `__float__` too. A bool, text, a complex
number and a time are none, whichever package they are of, although some have these methods.
"""

import operator
from typing import Any, Final

REAL_KINDS: Final = ("i", "u", "f")  # of what has a dtype as numpy's: the others would lose what they are


def may_be_real(value: Any) -> bool:
    """Tell whether a value that has a number's methods may be one."""
    return not isinstance(value, bool | str) and getattr(getattr(value, "dtype", None), "kind", "f") in REAL_KINDS


def index_of(value: Any) -> int | None:
    """Return the int that a value says it is; None for another, such as an array of many."""
    if not hasattr(type(value), "__index__") or not may_be_real(value):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def float_of(value: Any) -> float | None:
    """Return the float that a value says it is; None for what says none.

    A number in Python's sense, such as a Decimal or a Fraction, has to be equal to it: ValueError and OverflowError
    where no float is. Other objects are taken at their word.
    """
    if not hasattr(type(value), "__float__") or not may_be_real(value):
        return None
    try:
        nearest = float(value)
    except TypeError:
        return None
    except OverflowError:
        raise OverflowError(f"this {type(value).__name__} is too large for a float") from None
    from numbers import Number  # which is imported already where there are any

    is_number = isinstance(value, Number)
    if is_number and nearest == nearest and nearest != value:
        raise ValueError(f"no float is equal to {value!r}, the nearest is {nearest!r}; give float() of it for that one")
    return nearest
