"""Sessions: one caller's sequence of operations, numbered, with a commit of its own; and what is known of them by name.

Each operation of a session that may change the store takes the next serial number. A commit covers every operation of
all sessions at one instant, so a session's durable serial number says exactly which of its operations survived a crash;
a session opened again by the same name goes on from there. Sessions are not shared between threads; each thread opens
its own.
"""

from collections.abc import Callable
from types import GenericAlias
from typing import Any, Final, final

from oxidbm._core.arguments import as_text
from oxidbm._core.durability.commit import NANOSECONDS
from oxidbm._core.durability.serials import SessionState
from oxidbm._core.errors import ClosedError, alone
from oxidbm._core.log.record import KEY_LENGTH_MAX
from oxidbm._core.seconds import seconds_from_0
from oxidbm._core.store.arguments import to_key, to_value
from oxidbm._core.store.durable import wait_durable, when_durable
from oxidbm._core.store.handle import Handle
from oxidbm._core.table import operations, retry
from oxidbm._core.table.retry import Modification

USE_NS_MAX: Final = 3_600_000_000_000  # from there on opening a session is written down


@final
class Change(Modification):
    """What a user's function makes of a value, as bytes of one key's value and back."""

    def __init__(self, handle: Handle, key: bytes, function: Callable[[Any], object]) -> None:
        self.handle = handle
        self.key = key
        self.function = function

    def apply(self, old: bytes) -> bytes | None:
        """Return the new value, None to leave the old one."""
        result = self.function(self.handle.coders.value_of(self.key, old))
        return None if result is None else to_value(self.handle, self.key, result)


def open_session(handle: Handle, given: object, always: bool, owner: object) -> "Session":
    """Return a session of the store `owner` by its name, or one that has none."""
    if given is None:
        return Session(handle, SessionState("", 0, 0), None, always, owner)
    name = as_text("name", "a session's name, or None", given)
    commits = handle.commits
    now = commits.now_ns()
    state = commits.serials.known.get(name)
    if state is None:
        state = new_state(name)
        commits.serials.known[name] = state
    elif state.open:
        raise ClosedError(f"the session {name!r} is already open; close it first, or give this one another name")
    state.open = True
    session = Session(handle, state, name, always, owner)
    if handle.life.can_write():
        if state.address != 0 and now - state.used_ns > USE_NS_MAX:
            commits.note_use(state)  # not each time: a commit would follow where nothing was changed
        state.used_ns = max(state.used_ns, now)
    return session


def new_state(name: str) -> SessionState:
    """Return the state of a session that is not known; ValueError for what is no session's name."""
    if not name:
        raise ValueError("a session's name is not empty; for a session without a name leave it out")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise alone(
            ValueError(f"the session's name {name!r} cannot be written as UTF-8; give it another one")
        ) from None
    if size > KEY_LENGTH_MAX:
        raise ValueError(f"a session's name has up to {KEY_LENGTH_MAX} bytes in UTF-8, this one {size}; shorten it")
    return SessionState(name, 0, 0)


@final
class SessionInfo:
    """What is known of a session by its name."""

    def __init__(self, name: str, serial: int, durable_serial: int, last_used: float, is_open: bool) -> None:
        self.name = name
        self.serial = serial
        self.durable_serial = durable_serial
        self.last_used = last_used
        self.open = is_open

    def __repr__(self) -> str:
        return (
            f"SessionInfo(name={self.name!r}, serial={self.serial}, durable_serial={self.durable_serial}, "
            f"last_used={self.last_used}, open={self.open})"
        )

    def __reduce__(self) -> Any:
        return SessionInfo, (self.name, self.serial, self.durable_serial, self.last_used, self.open)


def known_sessions(handle: Handle) -> list[SessionInfo]:
    """Return what is known of each session that has a name, in the names' order."""
    commits = handle.commits
    known = commits.serials.known
    found: list[SessionInfo] = []
    for name in sorted(known):
        state = known.get(name)
        if state is not None:
            durable = int(state.durable_at(commits.durable_sequence))
            used = float(int(state.used_ns)) / NANOSECONDS
            found.append(SessionInfo(name, int(state.serial), durable, used, state.open))
    return found


def forget_session(handle: Handle, given: object) -> bool:
    """Know a session no more; False where it is not known."""
    name = as_text("name", "a session's name", given)
    state = handle.commits.serials.known.get(name)
    if state is None:
        return False
    if state.open:
        raise ClosedError(f"the session {name!r} is open and cannot be forgotten; close it first")
    handle.commits.forget_session(state)
    return True


def forget_sessions(handle: Handle, unused_for: object) -> list[str]:
    """Know no more those sessions that are not open and were not used for so many seconds; return their names."""
    seconds = seconds_from_0("unused_for", "", unused_for)
    commits = handle.commits
    known = commits.serials.known
    latest = float(int(commits.now_ns())) - seconds * NANOSECONDS
    names: list[str] = []
    for name in sorted(known):
        state = known.get(name)
        if state is not None and not state.open and float(int(state.used_ns)) <= latest:
            commits.forget_session(state)
            names.append(name)
    return names


class Session:
    """A numbered sequence of operations on a store; made by `Store.session`, used in a `with` block."""

    closed_already = True  # a default of the class is there for the finalizer even when __init__ failed

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

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def __repr__(self) -> str:
        called = "without a name" if self.session_name is None else repr(self.session_name)
        where = self.handle.life.place()
        return f"<oxidbm.Session {called} of {where}, at {self.serial}{', closed' if self.closed else ''}>"

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
        return self.state.durable_at(self.handle.commits.durable_sequence)

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
        if self.state.noted != self.handle.commits.sequence:
            self.handle.commits.note(self.state)
        if self.table.log.due:
            self.table.maintainer.step()
        if self.always:
            self.handle.commits.commit()

    def read(self, key: object, default: object = None) -> object:
        """Return the key's value, or `default`."""
        self.check_open()
        k = to_key(self.handle, key)
        value = operations.look_up(self.table, k)
        return default if value is None else self.handle.coders.value_of(k, value)

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
        return None if result is None else self.handle.coders.value_of(k, result)

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
        return serial

    def wait_durable(self, serial: int | None = None, timeout: object = None) -> bool:
        """Return whether operations up to a serial number are durable, after waiting up to so many seconds for that."""
        self.check_open()
        return wait_durable(self.handle, self.state, serial, timeout)

    def when_durable(self, serial: int | None = None) -> Any:
        """Return a future that is done when operations up to a serial number are durable."""
        self.check_open()
        return when_durable(self.handle, self.state, serial)

    def close(self) -> None:
        """Close the session without a commit; a second time does nothing."""
        if not self.closed_already:
            self.closed_already = True
            if self.session_name is not None:
                self.handle.commits.serials.leave(self.state)
            self.owner = None

    def __del__(self) -> None:
        self.close()  # so that its name can be opened again

    def __enter__(self) -> "Session":  # noqa: PYI034 - Self is not for compiled classes
        self.check_open()
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        try:
            if kind is None and not self.closed_already and self.handle.life.alive() and self.handle.life.can_write():
                self.commit()
        finally:
            self.close()
