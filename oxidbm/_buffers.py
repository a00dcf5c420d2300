"""Buffers as bytes: what stores of bytes take besides bytes and str, such as an array.array, a PickleBuffer or an mmap.

A value is any buffer of one dimension or more, and stands for its bytes in C order, as `memoryview.tobytes()` gives
them. A key is one whose items are single bytes: buffers of other items can be equal without having equal bytes. Scalars
(a ctypes.c_int, a numpy.int64) and pointers are refused, although they are buffers: an int is none either, and an
address means nothing to another process.
"""

import re
from typing import Final

SINGLE_BYTES: Final = ("B", "b", "c")
BYTE_ORDERS: Final = "@=<>!"
FIELD_NAMES: Final = re.compile(":[^:]*:")
POINTERS: Final = frozenset("OPzZX&")


def bytes_of(value: object, *, single: bool = False) -> bytes | None:
    """Return a buffer's bytes; None for what is no buffer.

    single: only buffers of single bytes, for keys.

    Raises TypeError for a buffer that is none of bytes, ValueError for one that cannot be read, such as a memoryview
    that was released.
    """
    try:
        view = memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        return None
    except (ValueError, BufferError) as failure:
        raise ValueError(
            f"this {type(value).__name__} cannot be read as a buffer ({failure}); give its bytes"
        ) from None
    with view:
        kind = f"{type(value).__name__} of format {view.format!r}"
        if view.ndim == 0:
            raise TypeError(f"this {kind} is a single number or structure, not a buffer of bytes; give bytes() of it")
        if POINTERS.intersection(FIELD_NAMES.sub("", view.format)):
            raise TypeError(
                f"this {kind} holds pointers, which mean nothing in another process; give what they point to"
            )
        if single and view.format.lstrip(BYTE_ORDERS) not in SINGLE_BYTES:
            raise TypeError(f"this {kind} cannot be a key: equal ones need not have equal bytes; give bytes() of it")
        return view.tobytes()


def is_one_key(keys: object) -> bool:
    """Tell whether an object is a single key of a store of bytes, where an iterable of keys is asked for."""
    if isinstance(keys, str | bytes | bytearray | memoryview):
        return True
    try:
        view = memoryview(keys)  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return False
    with view:
        return view.format.lstrip(BYTE_ORDERS) in SINGLE_BYTES
