"""Many keys in one call: the same operations as one by one, in loops of compiled code.

They are not atomic as a whole (a batch is): other threads may come in between keys. Each key counts on its own, so what
was written before an error stays written.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.log.record import KEY_LENGTH_MAX
from oxidbm._core.store.arguments import expiry_at, from_value, to_key, to_value
from oxidbm._core.store.coder import PLAIN
from oxidbm._core.store.session import put, remove
from oxidbm._core.table import operations
from oxidbm._core.table.engine import OPEN, WRITABLE, Engine

SLICE: Final = 1024  # keys between two breaths


def get_many(e: Engine, keys: object, default: object) -> list[object]:
    """Return the values of many keys, in their order; `default` for each that has none."""
    found: list[object] = []
    left: i64 = SLICE
    for key in cast(Iterable[object], keys):
        if e.state != OPEN:
            e.blocked_read()
        value = operations.read(e, key if isinstance(key, bytes) and not e.typed else to_key(e, key))
        if value is None:
            found.append(default)
        elif e.typed:
            found.append(from_value(e, value))
        else:
            found.append(value)
        left -= 1
        if left == 0:
            left = SLICE
            _breath.breathe()
    return found


def set_one(e: Engine, key: object, value: object, expiry: i64) -> None:
    """Store one pair of many."""
    if e.writable != WRITABLE or e.state != OPEN:
        e.blocked_write()
    k = key if isinstance(key, bytes) and len(key) <= KEY_LENGTH_MAX and not e.typed else to_key(e, key)
    if isinstance(value, bytes) and e.value_coder.kind == PLAIN and i64(len(value)) <= e.value_limit:
        v = value
    else:
        v = to_value(e, k, value)
    if operations.upsert(e, k, v, operations.ALWAYS, b"", expiry) != operations.DONE:
        e.maintainer.make_room()
        put(e, k, v, operations.ALWAYS, b"", expiry)
    if e.log.due:
        e.maintainer.step()


def set_pair(e: Engine, pair: object, expiry: i64) -> None:
    """Store one pair of many, which is any iterable of two."""
    if isinstance(pair, tuple) and len(pair) == 2:
        set_one(e, pair[0], pair[1], expiry)
    else:
        key, value = cast(Any, pair)
        set_one(e, key, value, expiry)


def set_list(e: Engine, pairs: list[object], expiry: i64) -> None:
    """As `set_many`, of a list: tuples of bytes, the common case, cost two calls less."""
    plain: bool = not e.typed
    limit: i64 = e.value_limit
    left: i64 = SLICE
    for pair in pairs:
        done = False
        if plain and isinstance(pair, tuple) and len(pair) == 2:
            key = pair[0]
            value = pair[1]
            if isinstance(key, bytes) and isinstance(value, bytes) and e.state == OPEN and e.writable == WRITABLE:
                if len(key) <= KEY_LENGTH_MAX and i64(len(value)) <= limit:
                    done = operations.upsert(e, key, value, operations.ALWAYS, b"", expiry) == operations.DONE
        if not done:
            set_pair(e, pair, expiry)
        elif e.log.due:
            e.maintainer.step()
        left -= 1
        if left == 0:
            left = SLICE
            _breath.breathe()


def set_many(e: Engine, pairs: object, expire: object) -> None:
    """Store the pairs of a mapping, of what has keys(), or of an iterable of pairs."""
    expiry = expiry_at(e, expire)
    left: i64 = SLICE
    if isinstance(pairs, dict):
        for key, value in pairs.items():
            set_one(e, key, value, expiry)
            left -= 1
            if left == 0:
                left = SLICE
                _breath.breathe()
        return
    if isinstance(pairs, list):
        set_list(e, pairs, expiry)
        return
    if isinstance(pairs, Mapping):
        pairs = pairs.items()
    elif hasattr(pairs, "keys"):
        for key in cast(Any, pairs).keys():  # noqa: SIM118 - a mapping need only have keys()
            set_one(e, key, cast(Any, pairs)[key], expiry)
        return
    for pair in cast(Iterable[object], pairs):
        set_pair(e, pair, expiry)
        left -= 1
        if left == 0:
            left = SLICE
            _breath.breathe()


def delete_many(e: Engine, keys: object) -> int:
    """Delete many keys, and return how many of them had a value."""
    count = 0
    left: i64 = SLICE
    for key in cast(Iterable[object], keys):
        if e.writable != WRITABLE or e.state != OPEN:
            e.blocked_write()
        if remove(e, to_key(e, key)):
            count += 1
        if e.log.due:
            e.maintainer.step()
        left -= 1
        if left == 0:
            left = SLICE
            _breath.breathe()
    return count
