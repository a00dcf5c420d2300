"""Calls that users of other caches reach for, each in one step that no other thread comes into the middle of."""

from typing import Any

from mypy_extensions import i64

from oxidbm._core.coder import PLAIN
from oxidbm._core.store.arguments import expiry_at, to_value
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.ordered import KeyOrder
from oxidbm._core.table import operations
from oxidbm._core.table.retry import put_tagged, replace


def compare_and_set(handle: Handle, key: bytes, expected: object, value: object) -> bool:
    """Give a key whose value equals `expected` another one, and let it keep expiry and tag; False where it has not.

    Values are compared as objects, since equal ones need not have equal bytes; what was written meanwhile by others is
    looked at again.
    """
    table = handle.table
    plain = not handle.coders.typed or handle.coders.value.kind == PLAIN
    wanted = to_value(handle, key, expected) if plain else b""
    while True:
        changes = table.log.changes()
        old = operations.read(table, key)
        if old is None:
            return False
        if (old != wanted) if plain else (handle.coders.value_of(key, old) != expected):
            return False
        new = to_value(handle, key, value)
        handle.life.check_writable()
        if replace(table, key, new, old, changes):
            return True


def get_or_set(handle: Handle, key: bytes, function: Any, expire: object, tag: i64) -> tuple[object, bool]:
    """Return a key's value, and whether it was stored by this: what the function returned, where there was none.

    Where another thread has stored one meanwhile, that is returned.
    """
    table = handle.table
    value = operations.look_up(table, key)
    while value is None:
        made = function() if callable(function) else function
        first = to_value(handle, key, made)
        handle.life.check_writable()
        if put_tagged(table, key, first, operations.IF_ABSENT, b"", expiry_at(handle, expire), tag):
            return handle.coders.value_of(key, first), True
        value = operations.read(table, key)
    return handle.coders.value_of(key, value), False


def peek(handle: Handle, order: KeyOrder, reverse: bool) -> tuple[Any, Any] | None:
    """Return the item at an end of the order, which stays there; None where there is none."""
    key = order.neighbour(None, reverse)
    while key is not None:
        value = operations.read(handle.table, key)
        if value is not None:
            return handle.coders.from_key(key), handle.coders.value_of(key, value)
        key = order.neighbour(key, reverse)  # it is gone meanwhile
    return None
