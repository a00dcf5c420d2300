"""What caches need beyond a mapping: keys that expire, counters, and storing only what is not there.

Expiry is a word of the record, looked at by every read of a record that has one; a store that never had one asks no
clock. An expired key is gone for every operation; its record, and its place in len(), go when compaction passes it.
"""

from typing import Final

from oxidbm._core.coder import PLAIN
from oxidbm._core.errors import alone
from oxidbm._core.hashing import hash_key
from oxidbm._core.log.reader import expiry_of, is_live
from oxidbm._core.store.arguments import expiry_at, to_value
from oxidbm._core.store.handle import Handle
from oxidbm._core.table import operations
from oxidbm._core.table.locate import locate
from oxidbm._core.table.retry import put, replace
from oxidbm._core.table.touch import give_expiry

NO_EXPIRY: Final = -1.0
NO_VALUE: Final = -2.0
DIGITS_SURE: Final = 640  # that Python always converts, whatever its limit is set to


def ttl(handle: Handle, key: bytes) -> float:
    """Return how many seconds a key has left; NO_EXPIRY, or NO_VALUE."""
    table = handle.table
    now = table.now_ms()
    found = locate(table, key, hash_key(key, table.seed))
    if found is None or not is_live(table.log, found, now):
        return NO_VALUE
    expiry = expiry_of(table.log, found)
    return NO_EXPIRY if expiry == 0 else float(expiry - now) / 1000.0


def touch(handle: Handle, key: bytes, expire: object) -> bool:
    """Give a key another time to live, counted from now; False where it has no value."""
    table = handle.table
    done = give_expiry(table, key, expiry_at(handle, expire), None)
    reads = table.reads
    if done and reads is not None:
        reads.mark(key)
    return done


def get_and_touch(handle: Handle, key: bytes, expire: object) -> bytes | None:
    """Return a key's value, and give it another time to live in the same step; None where it has none."""
    table = handle.table
    out: list[bytes] = []
    done = give_expiry(table, key, expiry_at(handle, expire), out)
    reads = table.reads
    if reads is not None:
        reads.note(key, done)
    return out[0] if done else None


def too_many_digits(failure: ValueError) -> OverflowError:
    """Return the error for a counter that Python does not convert to or from decimal digits."""
    return OverflowError(
        f"a counter in a store of bytes is kept in decimal digits, and Python converts no more of them ({failure}); "
        "open the store with value=int, which counts up to 960 bits, or raise the limit with "
        "sys.set_int_max_str_digits()"
    )


def digits_of(number: int) -> str:
    """Return an int in decimal digits; OverflowError for one that has more than Python converts."""
    try:
        return str(number)
    except ValueError as failure:
        raise alone(too_many_digits(failure)) from None


def number_in(handle: Handle, key: bytes, data: bytes) -> int:
    """Return the number that a counter's bytes say; ValueError for something else, TypeError for another codec."""
    if handle.coders.value.kind == PLAIN:
        try:
            return int(data)
        except ValueError as failure:
            if len(data) > DIGITS_SURE and data.strip(b"-+0123456789 ") == b"":
                raise alone(too_many_digits(failure)) from None
            raise alone(
                ValueError(
                    f"incr() and decr() count in decimal digits, and the key's value of {len(data)} bytes is no number"
                )
            ) from None
    value = handle.coders.value_of(key, data)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"incr() and decr() need values that are int, not {type(value).__name__}")
    return value


def incr(handle: Handle, key: bytes, delta: int, default: int | None, expire: object) -> int | None:
    """Add to a counter and return its new value; None where the key has no value and there is no default.

    A counter that is there keeps its expiry; `expire` is for a new one.
    """
    table = handle.table
    plain: bool = handle.coders.value.kind == PLAIN
    while True:
        changes = table.log.changes()
        old = operations.read(table, key)
        if old is None and default is None:
            return None
        number = (number_in(handle, key, old) if old is not None else default or 0) + delta
        new = to_value(handle, key, digits_of(number) if plain else number)
        handle.life.check_writable()
        if old is None:
            if not plain:
                number_in(handle, key, new)  # what cannot be counted on is not begun
            done = put(table, key, new, operations.IF_ABSENT, b"", expiry_at(handle, expire))
        else:
            done = replace(table, key, new, old, changes)
        if done:
            return number
