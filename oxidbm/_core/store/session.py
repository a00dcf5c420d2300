"""Sessions: one caller's sequence of operations, numbered, with a commit of its own.

Each operation of a session that may change the store takes the next serial number. A commit covers every operation of
all sessions at one instant, so a session's durable serial number says exactly which of its operations survived a crash;
a session opened again by the same name goes on from there. Sessions are not shared between threads; each thread opens
its own.
"""

from collections.abc import Callable
from typing import Any, final

from mypy_extensions import i64

from oxidbm._core.durability.serials import UNNAMED, SessionState
from oxidbm._core.errors import ClosedError
from oxidbm._core.life import WRITABLE
from oxidbm._core.store.arguments import to_key, to_value
from oxidbm._core.store.handle import Handle
from oxidbm._core.table import operations, retry
from oxidbm._core.table.retry import Modification


@final
class Change(Modification):
    """What a user's function makes of a value, as bytes of one key's value and back."""

    def __init__(self, handle: Handle, key: bytes, function: Callable[[Any], object]) -> None:
        self.handle = handle
        self.key = key
        self.function = function

    def apply(self, old: bytes) -> bytes | None:
        """Return the new value, None to leave the old one."""
        result = self.function(self.handle.coders.from_value(old))
        return None if result is None else to_value(self.handle, self.key, result)


def open_session(handle: Handle, name: str | None, unnamed: int, always: bool, owner: object) -> "Session":
    """Return a session of the store `owner`; `unnamed` numbers those without a name."""
    serials = handle.commits.serials
    if name is None:
        state = SessionState(UNNAMED + str(unnamed), 0)
    else:
        if not name or name.startswith(UNNAMED):
            raise ValueError("a session's name is not empty and does not begin with a NUL character")
        held = serials.sessions.get(name)
        if held is not None and held.open:
            raise ClosedError(f"the session {name!r} is already open; close it first, or give this one another name")
        state = SessionState(name, i64(serials.recovered.get(name, 0))) if held is None else held
        state.open = True
    serials.sessions[state.name] = state
    return Session(handle, state, name, always, owner)


class Session:
    """A numbered sequence of operations on a store; made by `Store.session`, used in a `with` block."""

    def __init__(
        self, handle: Handle, state: SessionState, name: str | None, always: bool, owner: object = None
    ) -> None:
        self.owner = owner  # a store with a session stays open
        self.handle = handle
        self.table = handle.table
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
        self.handle.life.check_open()

    def check_writable(self) -> None:
        """Raise where the session cannot write."""
        self.check_open()
        self.handle.life.check_writable()

    def count_one(self) -> None:
        """Number an operation, and make it durable where the store does that each time."""
        self.state.serial += 1
        self.handle.commits.unlogged = True
        if self.table.log.due:
            self.table.maintainer.step()
        if self.always:
            self.handle.commits.commit()

    def read(self, key: object, default: object = None) -> object:
        """Return the key's value, or `default`."""
        self.check_open()
        value = operations.read(self.table, to_key(self.handle, key))
        return default if value is None else self.handle.coders.from_value(value)

    def upsert(self, key: object, value: object) -> None:
        """Store a value under a key, whatever was there."""
        self.check_writable()
        k = to_key(self.handle, key)
        retry.put(self.table, k, to_value(self.handle, k, value), operations.ALWAYS, b"", 0)
        self.count_one()

    def rmw(self, key: object, function: Callable[[Any], object], initial: object = None) -> object:
        """Replace the key's value by function(old value) and return the new one; no concurrent update is lost.

        A key without a value gets `initial` as it is, and the function is not called; without an initial value nothing
        is stored and None is returned. A function that returns None leaves the value. The function may be called more
        than once, when another thread changed the value meanwhile, so it should do nothing but compute.
        """
        self.check_writable()
        k = to_key(self.handle, key)
        first = None if initial is None else to_value(self.handle, k, initial)
        change = Change(self.handle, k, function)
        result = retry.read_modify_write(self.table, k, change, first)
        self.count_one()
        return None if result is None else self.handle.coders.from_value(result)

    def delete(self, key: object) -> bool:
        """Delete a key; False where it had no value."""
        self.check_writable()
        removed = retry.remove(self.table, to_key(self.handle, key))
        self.count_one()
        return removed

    def commit(self) -> int:
        """Return the serial number when all of this session's operations up to it are durable."""
        self.check_writable()
        serial = self.state.serial
        self.handle.commits.commit()
        self.state.durable_serial = max(self.state.durable_serial, serial)
        return serial

    def close(self) -> None:
        """Close the session without a commit; a second time does nothing."""
        if not self.closed_already:
            self.closed_already = True
            self.state.open = False
            self.owner = None
            if self.session_name is None:
                self.handle.commits.serials.sessions.pop(self.state.name, None)

    def __enter__(self) -> "Session":  # noqa: PYI034 - Self is not for compiled classes
        self.check_open()
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        try:
            if (
                kind is None
                and not self.closed_already
                and self.handle.life.alive()
                and self.handle.life.writable == WRITABLE
            ):
                self.commit()
        finally:
            self.close()
