"""Keys and values at the API's edge: whatever the caller gives becomes `bytes` here, or an error that names what it
was.
"""

from mypy_extensions import i64

from oxidbm._core.engine import Engine
from oxidbm._core.record import HEADER_BYTES, KEY_LENGTH_MAX, VALUE_LENGTH_MAX


def to_key(e: Engine, key: object) -> bytes:
    """Return a key as bytes: bytes as they are, str as UTF-8, bytearray and memoryview copied; TypeError for others."""
    if isinstance(key, bytes):
        data = key
    elif isinstance(key, str):
        data = key.encode()
    elif isinstance(key, (bytearray, memoryview)):
        data = bytes(key)
    else:
        raise TypeError(f"keys are bytes or str, not {type(key).__name__}")
    if len(data) > KEY_LENGTH_MAX:
        raise ValueError(f"a key of {len(data)} bytes is too long: at most {KEY_LENGTH_MAX} are possible")
    return data


def to_value(e: Engine, key: bytes, value: object) -> bytes:
    """Return a value as bytes; TypeError for other types, ValueError where the record cannot fit format or memory."""
    if isinstance(value, bytes):
        data = value
    elif isinstance(value, str):
        data = value.encode()
    elif isinstance(value, (bytearray, memoryview)):
        data = bytes(value)
    else:
        raise TypeError(f"values are bytes or str, not {type(value).__name__}")
    size: i64 = len(data)
    if size > e.value_limit:
        raise too_large(e, len(key), size)
    return data


def too_large(e: Engine, key_length: i64, size: i64) -> ValueError:
    """Return the error for a record that does not fit, with both numbers."""
    if size > VALUE_LENGTH_MAX:
        return ValueError(f"a value of {size} bytes is too long: at most {VALUE_LENGTH_MAX} are possible")
    record = HEADER_BYTES + key_length + size
    return ValueError(
        f"a record of {record} bytes does not fit: half of the memory budget, {e.log.memory // 2} bytes, is the "
        "most one may take. "
        "Open the store with a larger memory="
    )
