"""Entries, cookies and numbers at the API's edge: what the caller gives becomes what the log keeps, or an error."""

from typing import Final

from mypy_extensions import i64

from oxidbm._buffers import bytes_of
from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.arguments import shown
from oxidbm._core.coder import PLAIN, Coder
from oxidbm._core.log.record import VALUE_LENGTH_MAX

NUMBER_MAX: Final = 0x7FFFFFFFFFFF  # of a commit that is given one: as many are left to count on from there
NUMBER_LAST: Final = 0xFFFFFFFFFFFE  # that a commit record can have


def to_entry(coder: Coder, data: object) -> bytes:
    """Return an entry as bytes: bytes as they are, str as UTF-8, buffers copied, or what the codec takes."""
    if coder.kind != PLAIN:
        return coder.encode(data)
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode()
    copied = bytes_of(data)
    if copied is None:
        raise TypeError(f"entries are bytes or str, not {type(data).__name__}; give the log a codec for others")
    return copied


def too_large(size: int, limit: i64) -> ValueError:
    """Return the error for an entry that does not fit, with both numbers."""
    if size > VALUE_LENGTH_MAX:
        return ValueError(f"an entry of {size} bytes is too long: at most {VALUE_LENGTH_MAX} are possible")
    return ValueError(
        f"an entry of {size} bytes does not fit: half of the memory budget, {limit} bytes, is the most one may take. "
        "Open the log with a larger memory="
    )


def checked_number(name: str, number: object, most: int = NUMBER_MAX) -> int:
    """Return a commit's number, up to `most`; TypeError, ValueError, of the argument that has it."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} is a commit's number, an int, not {shown(number)}")
    if not 0 < number <= most:
        raise ValueError(f"{name} is a commit's number, from 1 to {most}, not {shown(number)}")
    return number


def as_address(address: object) -> int:
    """Return an address as it is; TypeError for what is none."""
    if isinstance(address, bool) or not isinstance(address, int):
        raise TypeError(f"an address is an int, as append() returns it, not {type(address).__name__}")
    return address


def nearest_address(address: object) -> i64:
    """Return an address, or the nearest one that there can be."""
    return i64(max(min(as_address(address), ADDRESS_MAX), 0))
