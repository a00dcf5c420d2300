"""What caches need beyond a mapping: keys that expire, counters, and storing only what is not there.

Expiry is a word of the record, looked at by every read of a record that has one; a store that never had one asks no
clock. An expired key is gone for every operation; its record, and its place in len(), go when compaction passes it.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.hashing import hash_key
from oxidbm._core.store.arguments import expiry_at, from_value, to_value
from oxidbm._core.store.coder import PLAIN
from oxidbm._core.store.session import put
from oxidbm._core.table import operations
from oxidbm._core.table.engine import WRITABLE, Engine
from oxidbm._core.table.locate import expiry_of, is_live, locate_steady

NO_EXPIRY: Final = -1.0
NO_VALUE: Final = -2.0


def ttl(e: Engine, key: bytes) -> float:
    """Return how many seconds a key has left; NO_EXPIRY, or NO_VALUE."""
    now = e.now_ms()
    found = locate_steady(e, key, hash_key(key, e.seed))
    if found is None or not is_live(e, found, now):
        return NO_VALUE
    expiry = expiry_of(e, found)
    return NO_EXPIRY if expiry == 0 else float(expiry - now) / 1000.0


def touch(e: Engine, key: bytes, expire: object) -> bool:
    """Give a key another time to live, counted from now; False where it has no value."""
    expiry = expiry_at(e, expire)
    while True:
        value = operations.read(e, key)
        if value is None:
            return False
        if e.writable != WRITABLE or not e.alive():
            e.blocked_write()
        if put(e, key, value, operations.IF_EQUAL, value, expiry):
            return True


def number_in(e: Engine, data: bytes) -> int:
    """Return the number that a counter's bytes say; ValueError for something else, TypeError for another codec."""
    if e.value_coder.kind == PLAIN:
        try:
            return int(data)
        except ValueError:
            raise ValueError(
                f"incr() and decr() count in decimal digits, and the key's value of {len(data)} bytes is no number"
            ) from None
    value = from_value(e, data)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"incr() and decr() need values that are int, not {type(value).__name__}")
    return value


def incr(e: Engine, key: bytes, delta: int, default: int | None, expire: object) -> int | None:
    """Add to a counter and return its new value; None where the key has no value and there is no default.

    A counter that is there keeps its expiry; `expire` is for a new one.
    """
    plain: bool = e.value_coder.kind == PLAIN
    while True:
        old = operations.read(e, key)
        if old is None and default is None:
            return None
        number = (number_in(e, old) if old is not None else default or 0) + delta
        if not isinstance(number, int):  # compiled, the arguments' types are checked before
            raise TypeError(f"incr() and decr() count in int, not {type(number).__name__}")
        new = to_value(e, key, str(number) if plain else number)
        if e.writable != WRITABLE or not e.alive():
            e.blocked_write()
        if old is None:
            if not plain:
                number_in(e, new)  # what cannot be counted on is not begun
            done = put(e, key, new, operations.IF_ABSENT, b"", expiry_at(e, expire))
        else:
            done = put(e, key, new, operations.IF_EQUAL, old, i64(operations.KEEP_EXPIRY))
        if done:
            return number
