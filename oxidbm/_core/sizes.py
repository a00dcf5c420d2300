"""Sizes as users write them: an int of bytes, or a number with a unit such as "256MiB"."""

from typing import Final

from oxidbm._core.arguments import shown

UNITS: Final = {
    "": 1,
    "b": 1,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}
SIZE_MAX: Final = 1 << 60


def parse_size(name: str, size: object) -> int:
    """Return a size in bytes; `name` is the argument's, for the error.

    Units with an i, or of one letter, are powers of 1024.
    """
    if isinstance(size, int) and not isinstance(size, bool):
        if size <= 0:
            raise ValueError(f"{name} must be positive, not {shown(size)}")
        if size > SIZE_MAX:
            raise ValueError(f"{name} must be at most {SIZE_MAX} bytes, not {shown(size)}")
        return size
    if not isinstance(size, str):
        raise TypeError(f'{name} is a number of bytes or a string such as "256MiB", not {type(size).__name__}')
    text = size.strip().replace("_", "")
    digits = len(text)
    while digits > 0 and not (text[digits - 1].isdigit() or text[digits - 1] == "."):
        digits -= 1
    unit = UNITS.get(text[digits:].strip().lower())
    try:
        number = float(text[:digits])
    except ValueError:
        number = -1.0
    if unit is None or not 0 < number * unit < SIZE_MAX:
        raise ValueError(f'{name}={shown(size)} is no size; write a number of bytes or, for example, "256MiB"')
    return int(number * unit)
