"""Operations repeated until there is room for them, and read-modify-write, repeated until nothing came in between."""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.log.room import Room, room_for
from oxidbm._core.table import operations
from oxidbm._core.table.table import Table

# Other threads that change a key without a pause are a reason to call a function this often only where there are
# hundreds of them; a function that writes its own key is one each time.
CALLS_MAX: Final = 10_000


def wanted_room(table: Table, status: i64) -> Room:
    """Return the room that an operation, which returned `status` < 0, did not find."""
    return room_for(-status, table.log.page_bytes)


def make_room(table: Table, status: i64) -> None:
    """Have the maintainer make the room that an operation, which returned `status` < 0, did not find."""
    table.maintainer.make_room(wanted_room(table, status))


def put(table: Table, key: bytes, value: bytes, condition: i64, expected: bytes, expiry: i64) -> bool:
    """Store a value, making room as often as needed; False where the condition did not hold."""
    while True:
        status = operations.upsert(table, key, value, condition, expected, expiry)
        if status >= 0:
            return status == operations.DONE
        make_room(table, status)
        if condition == operations.IF_UNCHANGED:  # others may have run
            condition = operations.IF_EQUAL


def put_tagged(table: Table, key: bytes, value: bytes, condition: i64, expected: bytes, expiry: i64, tag: i64) -> bool:
    """As `put`, with a tag, 0 for none."""
    if tag == 0:
        return put(table, key, value, condition, expected, expiry)
    while True:
        status = operations.upsert_tagged(table, key, value, condition, expected, expiry, tag)
        if status >= 0:
            return status == operations.DONE
        make_room(table, status)


def replace(table: Table, key: bytes, new: bytes, old: bytes, changes: i64) -> bool:
    """Give a key whose value is `old` another one, and let it keep expiry and tag; False where its value has changed.

    changes: what the log's `changes` were before `old` was read. Where they still are, values need not be compared.
    """
    condition: i64 = operations.IF_UNCHANGED if table.log.changes() == changes else operations.IF_EQUAL
    return put(table, key, new, condition, old, operations.KEEP_EXPIRY)


def remove(table: Table, key: bytes) -> bool:
    """Delete a key; False where it has no value."""
    while True:
        status = operations.delete(table, key)
        if status >= 0:
            return status == operations.DONE
        make_room(table, status)


def take(table: Table, key: bytes, expected: bytes | None) -> bytes | None:
    """Delete a key and return the value it had; None where it had none, or another than `expected`, if that is one."""
    out: list[bytes] = []
    while True:
        status = operations.take(table, key, expected, out)
        if status >= 0:
            return out[0] if status == operations.DONE else None
        make_room(table, status)


def remove_tagged(table: Table, key: bytes, key_hash: i64, tag: i64) -> bool:
    """Delete a key whose value was stored with this tag; False where it has none, or another."""
    while True:
        status = operations.delete_tagged(table, key, key_hash, tag)
        if status >= 0:
            return status == operations.DONE
        make_room(table, status)


def remove_at(table: Table, key: bytes, address: i64) -> bool:
    """Delete a key whose newest record stands there; False where it does not."""
    while True:
        status = operations.delete_at(table, key, address)
        if status >= 0:
            return status == operations.DONE
        make_room(table, status)


class Modification:
    """What a read-modify-write does to a value."""

    def apply(self, old: bytes) -> bytes | None:
        """Return the new value, None to leave the old one; called again when the value was changed meanwhile."""
        raise NotImplementedError


def read_modify_write(table: Table, key: bytes, modification: Modification, initial: bytes | None) -> bytes | None:
    """Replace a key's value with no update lost; return the new one, None where there is none.

    A key without a value gets `initial`, if that is one. RuntimeError where it never stays the same for one call.
    """
    calls: i64 = 0
    while True:
        changes = table.log.changes()
        old = operations.read(table, key)
        if old is None:
            if initial is None or put(table, key, initial, operations.IF_ABSENT, b"", 0):
                return initial
            continue
        new = modification.apply(old)
        if new is None:
            return None
        table.life.check_writable()
        if replace(table, key, new, old, changes):
            return new
        calls += 1
        if calls == CALLS_MAX:
            raise RuntimeError(
                f"rmw() called its function {CALLS_MAX} times, and the key's value had changed after each call; a "
                "function must not write its own key, but return the value that rmw() is to store"
            )
