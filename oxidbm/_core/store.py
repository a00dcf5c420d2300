"""The store: a mapping of bytes to bytes, over the engine.

Each method checks that the store is open, turns its arguments into bytes, calls one operation, and gives the result
mapping semantics. Under the GIL an operation in memory is atomic, so any number of threads may share a store.
"""

import os
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, cast

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core import commit, operations
from oxidbm._core.check import check as check_engine
from oxidbm._core.convert import to_key, to_value, too_large
from oxidbm._core.device import Device
from oxidbm._core.engine import OPEN, UNNAMED, WRITABLE, Engine, SessionState
from oxidbm._core.errors import ClosedError
from oxidbm._core.index import HashIndex
from oxidbm._core.locate import settle
from oxidbm._core.opening import Handle, Options, open_memory, open_path
from oxidbm._core.record import KEY_LENGTH_MAX
from oxidbm._core.scan import KEYS, LogScan, StoreIterator
from oxidbm._core.session import Session, put, remove
from oxidbm._core.sizes import parse_size
from oxidbm._core.statistics import statistics
from oxidbm._views import StoreItems, StoreKeys, StoreValues

MISSING: Final = object()
SETTLE_SLICE: Final = 256
SPLIT_SLICE: Final = 64


class Store:
    """Documented in oxidbm/__init__.pyi, since compiled classes have no docstrings."""

    # a default of the class is there even when __init__ failed or never ran, as the finalizer must expect
    owned: Handle | None = None

    def __init__(
        self,
        path: object = None,
        *,
        memory: object = "256MiB",
        durability: str = "interval",
        read_only: bool = False,
        page_size: object = "4MiB",
        evict: bool = False,
        interval: float = 1.0,
        compaction: bool = True,
        mapped: bool = True,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        options = Options(parse_size("memory", memory), parse_size("page_size", page_size), durability, interval)
        options.read_only = read_only
        options.evict = evict
        options.compaction = compaction
        options.mapped = mapped
        options.mode = mode
        options.create = create
        options.lock = lock
        options.device = device
        if clock is not None:
            options.clock = clock
        if path is None:
            if read_only:
                raise ValueError("a store without a path is always new, so read_only=True makes no sense")
            handle = open_memory(options)
        else:
            if evict:
                raise ValueError("evict=True is for stores without a path; a store on disk keeps everything")
            handle = open_path(os.fsdecode(os.fspath(cast(Any, path))), options)
        self.handle: Handle = handle
        self.owned = handle
        self.e: Engine = handle.e
        self.always: bool = durability == "always" and path is not None
        self.pop_position: i64 = 0
        self.unnamed: i64 = 0

    def __getitem__(self, key: object) -> bytes:
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        value = operations.read(e, key if isinstance(key, bytes) else to_key(e, key))
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: object, value: object) -> None:
        e = self.e
        if e.writable != WRITABLE or e.state != OPEN:
            e.blocked_write()
        k = key if isinstance(key, bytes) and len(key) <= KEY_LENGTH_MAX else to_key(e, key)
        v = value if isinstance(value, bytes) else to_value(e, k, value)
        if i64(len(v)) > e.value_limit:
            raise too_large(e, len(k), len(v))
        if operations.upsert(e, k, v, operations.ALWAYS, b"", 0) != operations.DONE:
            e.maintainer.make_room()
            put(e, k, v, operations.ALWAYS, b"", 0)
        if e.log.due:
            e.maintainer.step()
        if self.always:
            commit.commit(e)

    def __delitem__(self, key: object) -> None:
        self.check_writable()
        if not remove(self.e, to_key(self.e, key)):
            raise KeyError(key)
        if self.e.log.due:
            self.e.maintainer.step()
        if self.always:
            commit.commit(self.e)

    def __contains__(self, key: object) -> bool:
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        return operations.read(e, key if isinstance(key, bytes) else to_key(e, key)) is not None

    def __len__(self) -> int:
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        while e.pending_count() > 0 and not settle(e, SETTLE_SLICE):
            _breath.breathe()
        return e.count

    def __iter__(self) -> Iterator[bytes]:
        return cast(Iterator[bytes], StoreIterator(self.e, KEYS))

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, (Store, Mapping)):
            return NotImplemented
        return dict(self.items()) == dict(cast(Any, other).items())

    def __hash__(self) -> int:
        raise TypeError("unhashable type: 'Store'")

    def __repr__(self) -> str:
        where = repr(self.e.path) if self.e.path else "in memory"
        return f"<oxidbm.{type(self).__name__} {where}{', closed' if self.e.state != OPEN else ''}>"

    def __enter__(self) -> "Store":  # noqa: PYI034
        if self.e.state != OPEN:
            self.e.blocked_read()
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()

    def __del__(self) -> None:
        if self.owned is not None:
            try:
                self.owned.close()
            except Exception as failure:
                _breath.LastWord(failure)  # a compiled finalizer that raises leaves the exception to whatever runs next

    def __reduce__(self) -> Any:
        raise TypeError("a store cannot be pickled or copied; open its path where it is needed")

    def check_writable(self) -> None:
        """Raise where nothing can be written."""
        e = self.e
        if e.writable != WRITABLE or e.state != OPEN:
            e.blocked_write()

    @property
    def path(self) -> str | None:
        """The store's directory; None for one in memory."""
        return self.e.path or None

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self.e.state != OPEN

    @property
    def read_only(self) -> bool:
        """Whether the store was opened read-only."""
        return self.handle.options.read_only

    def get(self, key: object, default: object = None) -> Any:
        """Return the key's value, or `default`."""
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        value = operations.read(e, key if isinstance(key, bytes) else to_key(e, key))
        return default if value is None else value

    def keys(self) -> KeysView[bytes]:
        """Return a live view of the keys."""
        return StoreKeys(self, self.e)

    def values(self) -> ValuesView[bytes]:
        """Return a live view of the values."""
        return StoreValues(self, self.e)

    def items(self) -> ItemsView[bytes, bytes]:
        """Return a live view of the items."""
        return StoreItems(self, self.e)

    def setdefault(self, key: object, default: object = b"") -> bytes:
        """Return the key's value, after storing `default` where it has none."""
        self.check_writable()
        e = self.e
        k = to_key(e, key)
        while True:
            value = operations.read(e, k)
            if value is not None:
                return value
            first = to_value(e, k, default)
            if put(e, k, first, operations.IF_ABSENT, b"", 0):
                if e.log.due:
                    e.maintainer.step()
                if self.always:
                    commit.commit(e)
                return first

    def pop(self, key: object, default: object = MISSING) -> Any:
        """Remove a key and return its value; `default`, or KeyError, where it has none."""
        self.check_writable()
        e = self.e
        k = to_key(e, key)
        out: list[bytes] = []
        while True:
            status = operations.take(e, k, out)
            if status == operations.DONE:
                if e.log.due:
                    e.maintainer.step()
                if self.always:
                    commit.commit(e)
                return out[0]
            if status == operations.CHANGED:
                if default is MISSING:
                    raise KeyError(key)
                return default
            e.maintainer.make_room()

    def popitem(self) -> tuple[bytes, bytes]:
        """Remove and return the item that was written longest ago; KeyError when the store is empty."""
        self.check_writable()
        iterator = StoreIterator(self.e, KEYS)
        iterator.cursor.following = max(self.pop_position, iterator.cursor.following)
        try:
            while True:
                try:
                    key = cast(bytes, iterator.__next__())
                except StopIteration:
                    raise KeyError("popitem(): the store is empty") from None
                self.pop_position = iterator.cursor.address
                value = self.pop(key, None)
                if value is not None:
                    return key, value
        finally:
            iterator.close()

    def clear(self) -> None:
        """Remove every key, without reading one; the space comes back as compaction passes over it."""
        self.check_writable()
        e = self.e
        with e.commit_lock:
            e.index = HashIndex(0)
            e.count = 0
            e.live_bytes = 0
            e.drop_pending()
            e.begin_wanted = e.log.tail
            e.unlogged = True
            e.maintainer.cleared()
        if self.always:
            commit.commit(e)

    def update(self, other: object = (), /, **more: object) -> None:
        """Store the pairs of a mapping, of an iterable of pairs, and of keyword arguments."""
        if isinstance(other, (Mapping, Store)):
            for key in other:
                self[key] = other[key]
        elif hasattr(other, "keys"):
            for key in cast(Any, other).keys():  # noqa: SIM118 - a mapping need only have keys()
                self[key] = cast(Any, other)[key]
        else:
            for key, value in cast(Iterable[tuple[object, object]], other):
                self[key] = value
        for name, value in more.items():
            self[name] = value

    def insert(self, key: object, value: object) -> bool:
        """Store a value where the key has none; False where it has one."""
        self.check_writable()
        k = to_key(self.e, key)
        done = put(self.e, k, to_value(self.e, k, value), operations.IF_ABSENT, b"", 0)
        if self.e.log.due:
            self.e.maintainer.step()
        if self.always:
            commit.commit(self.e)
        return done

    def session(self, name: str | None = None) -> Session:
        """Return a session; one with a name goes on from its last durable serial number."""
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        if name is None:
            self.unnamed += 1
            state = SessionState(UNNAMED + str(self.unnamed), 0)
        else:
            if not name or name.startswith(UNNAMED):
                raise ValueError("a session's name is not empty and does not begin with a NUL character")
            held = e.sessions.get(name)
            if held is not None and held.open:
                raise ClosedError(
                    f"the session {name!r} is already open; close it first, or give this one another name"
                )
            state = SessionState(name, i64(e.recovered_serials.get(name, 0))) if held is None else held
            state.open = True
        e.sessions[state.name] = state
        return Session(e, state, name, self.always)

    def sync(self) -> None:
        """Return when everything written so far is durable."""
        self.check_writable()
        commit.commit(self.e)

    def close(self) -> None:
        """Commit and close; a second time does nothing."""
        self.handle.close()

    def check(self) -> list[str]:
        """Return every fault found in the store, as sentences."""
        if self.e.state != OPEN:
            self.e.blocked_read()
        return check_engine(self.e)

    def stats(self) -> dict[str, Any]:
        """Return figures about the store; see docs."""
        if self.e.state != OPEN:
            self.e.blocked_read()
        return statistics(self.handle)

    def scan(self, start: int | None = None, stop: int | None = None, *, live: bool = True) -> LogScan:
        """Return an iterator over the records of a range of log addresses."""
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        first = int(e.log.begin) if start is None else max(start, int(e.log.begin))
        last = int(e.log.tail) if stop is None else min(stop, int(e.log.tail))
        return LogScan(e, first, last, live)

    def grow_index(self) -> None:
        """Double the number of the index's buckets, in slices."""
        self.check_writable()
        index = self.e.index
        wanted = index.buckets() * 2
        while index.buckets() < wanted:
            left: i64 = SPLIT_SLICE
            before = index.buckets()
            while left > 0 and index.buckets() < wanted:
                index.split_one()
                left -= 1
            if index.buckets() == before:
                return
            _breath.breathe()

    def reorganize(self) -> None:
        """Give back all space that holds no live record; returns when the files have shrunk."""
        self.check_writable()
        self.e.maintainer.compact_all()
