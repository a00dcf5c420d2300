"""Sessions: one caller's sequence of operations, numbered, with a commit of its own.

Each operation of a session that may change the store takes the next serial number. A commit covers every operation of
all sessions at one instant, so a session's durable serial number says exactly which of its operations survived a crash;
a session opened again by the same name goes on from there. Sessions are not shared between threads; each thread opens
its own.
"""

from collections.abc import Callable
from typing import Any

from mypy_extensions import i64

from oxidbm._core.durability import commit
from oxidbm._core.errors import ClosedError
from oxidbm._core.hashing import hash_key
from oxidbm._core.store.arguments import from_value, to_key, to_value
from oxidbm._core.table import operations
from oxidbm._core.table.engine import OPEN, WRITABLE, Engine, SessionState


def put(e: Engine, key: bytes, value: bytes, condition: i64, expected: bytes, expiry: i64) -> bool:
    """Store a value, making room as often as needed; False where the condition did not hold."""
    while True:
        if condition == operations.IF_EQUAL:  # upsert itself would insert a key that has gone meanwhile
            status = operations.upsert_slow(e, key, value, hash_key(key, e.seed), condition, expected, expiry)
        else:
            status = operations.upsert(e, key, value, condition, expected, expiry)
        if status == operations.DONE:
            return True
        if status == operations.CHANGED:
            return False
        e.maintainer.make_room()


def remove(e: Engine, key: bytes) -> bool:
    """Delete a key; False where it has no value."""
    while True:
        status = operations.delete(e, key)
        if status >= 0:
            return status == operations.DONE
        e.maintainer.make_room()


def read_modify_write(e: Engine, key: bytes, function: Callable[[Any], object], initial: bytes | None) -> bytes | None:
    """Replace a key's value by function(value), with no update lost; see Session.rmw."""
    while True:
        old = operations.read(e, key)
        if old is None:
            if initial is None:
                return None
            if put(e, key, initial, operations.IF_ABSENT, b"", 0):
                return initial
            continue
        result = function(from_value(e, old) if e.typed else old)
        if result is None:
            return None
        new = to_value(e, key, result)
        if e.writable != WRITABLE or e.state != OPEN:
            e.blocked_write()
        if put(e, key, new, operations.IF_EQUAL, old, operations.KEEP_EXPIRY):
            return new


class Session:
    """A numbered sequence of operations on a store; made by `Store.session`, used in a `with` block."""

    def __init__(self, e: Engine, state: SessionState, name: str | None, always: bool) -> None:
        self.e = e
        self.state = state
        self.session_name = name
        self.always = always
        self.closed_already = False

    @property
    def name(self) -> str | None:
        """The session's name; None for one that is forgotten when it closes."""
        return self.session_name

    @property
    def serial(self) -> int:
        """The number of this session's changing operations so far."""
        return self.state.serial

    @property
    def durable_serial(self) -> int:
        """The number of this session's changing operations known to be durable."""
        return self.state.durable_serial

    @property
    def closed(self) -> bool:
        """Whether the session was closed."""
        return self.closed_already

    def check_open(self) -> None:
        """Raise ClosedError where session or store are closed."""
        if self.closed_already:
            raise ClosedError("the session is closed; open another with store.session()")
        if self.e.state != OPEN:
            self.e.blocked_read()

    def check_writable(self) -> None:
        """Raise where the session cannot write."""
        self.check_open()
        if self.e.writable != WRITABLE:
            self.e.blocked_write()

    def count_one(self) -> None:
        """Number an operation, and make it durable where the store does that each time."""
        self.state.serial += 1
        self.e.unlogged = True
        if self.e.log.due:
            self.e.maintainer.step()
        if self.always:
            commit.commit(self.e)

    def read(self, key: object, default: object = None) -> object:
        """Return the key's value, or `default`."""
        self.check_open()
        value = operations.read(self.e, to_key(self.e, key))
        if value is None:
            return default
        return from_value(self.e, value) if self.e.typed else value

    def upsert(self, key: object, value: object) -> None:
        """Store a value under a key, whatever was there."""
        self.check_writable()
        e = self.e
        k = to_key(e, key)
        put(e, k, to_value(e, k, value), operations.ALWAYS, b"", 0)
        self.count_one()

    def rmw(self, key: object, function: Callable[[Any], object], initial: object = None) -> object:
        """Replace the key's value by function(old value) and return the new one; no concurrent update is lost.

        A key without a value gets `initial` as it is, and the function is not called; without an initial value nothing
        is stored and None is returned. A function that returns None leaves the value. The function may be called more
        than once, when another thread changed the value meanwhile, so it should do nothing but compute.
        """
        self.check_writable()
        e = self.e
        k = to_key(e, key)
        first = None if initial is None else to_value(e, k, initial)
        result = read_modify_write(e, k, function, first)
        self.count_one()
        return from_value(e, result) if e.typed and result is not None else result

    def delete(self, key: object) -> bool:
        """Delete a key; False where it had no value."""
        self.check_writable()
        removed = remove(self.e, to_key(self.e, key))
        self.count_one()
        return removed

    def commit(self) -> int:
        """Return the serial number when all of this session's operations up to it are durable."""
        self.check_writable()
        serial = self.state.serial
        commit.commit(self.e)
        self.state.durable_serial = max(self.state.durable_serial, serial)
        return serial

    def close(self) -> None:
        """Close the session without a commit; a second time does nothing."""
        if not self.closed_already:
            self.closed_already = True
            self.state.open = False
            if self.session_name is None:
                self.e.sessions.pop(self.state.name, None)

    def __enter__(self) -> "Session":  # noqa: PYI034 - Self is not for compiled classes
        self.check_open()
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        try:
            if kind is None and not self.closed_already and self.e.alive() and self.e.writable == WRITABLE:
                self.commit()
        finally:
            self.close()
