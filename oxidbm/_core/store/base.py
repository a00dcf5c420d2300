"""An open store without its mapping: how it is opened, committed, looked into, reorganized and closed.

`Store` adds the mapping. Each method checks that the store is open and calls one thing of the engine.
"""

import os
from collections.abc import Callable
from types import GenericAlias
from typing import Any, Final, cast

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.device.device import Device
from oxidbm._core.durability import commit
from oxidbm._core.errors import ClosedError
from oxidbm._core.sizes import parse_size
from oxidbm._core.store.batch import Batch
from oxidbm._core.store.coder import ANY_NAME, BYTES_NAME, CALLED, INT, PLAIN, STR, Coder
from oxidbm._core.store.opening import Handle, Options, open_memory, open_path
from oxidbm._core.store.ordered import KeyOrder
from oxidbm._core.store.session import Session
from oxidbm._core.store.statistics import statistics
from oxidbm._core.table.check import check as check_engine
from oxidbm._core.table.engine import OPEN, UNNAMED, WRITABLE, Engine, SessionState
from oxidbm._core.table.scan import LogScan

SPLIT_SLICE: Final = 64


def coder_for(what: str, spec: object) -> Coder:
    """Return the coder for what a store was asked to use for its keys or values: see oxidbm.codecs.resolve."""
    if spec is None:
        return Coder(what, BYTES_NAME, PLAIN, None, None)
    from oxidbm import codecs

    codec: Any = codecs.resolve(cast(Any, spec))
    if codec.name == ANY_NAME and codec is not codecs.RAW:
        raise ValueError(f"a codec's name is not {ANY_NAME!r}, which is codecs.RAW's")
    kind = CALLED
    if codec is codecs.BYTES or codec is codecs.RAW:
        kind = PLAIN
    elif codec is codecs.STR:
        kind = STR
    elif codec is codecs.INT:
        kind = INT
    coder = Coder(what, codec.name, kind, codec.encode, codec.decode)
    coder.prefixer = getattr(codec, "encode_prefix", None)
    return coder


class OpenStore:
    """Documented in oxidbm/__init__.pyi, with Store."""

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
        key: object = None,
        value: object = None,
        ordered: bool = False,
        size_limit: object = None,
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
        options.key_coder = coder_for("keys", key)
        options.value_coder = coder_for("values", value)
        options.size_limit = 0 if size_limit is None else parse_size("size_limit", size_limit)
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
        self.order: KeyOrder | None = None
        if ordered:
            self.order = KeyOrder(self.e)
            self.e.maintainer.order = self.order

    def __enter__(self) -> "OpenStore":  # noqa: PYI034
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

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

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
    def key_codec(self) -> str:
        """The name of the codec of the keys, "bytes" for none."""
        block = self.handle.superblock
        return self.e.key_coder.name if block is None else block.key_codec

    @property
    def value_codec(self) -> str:
        """The name of the codec of the values, "bytes" for none."""
        block = self.handle.superblock
        return self.e.value_coder.name if block is None else block.value_codec

    @property
    def ordered(self) -> bool:
        """Whether the store was opened with ordered=True."""
        return self.order is not None

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return not self.e.alive()

    @property
    def read_only(self) -> bool:
        """Whether the store was opened read-only."""
        return self.handle.options.read_only

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

    def batch(self) -> Batch:
        """Return a batch: writes that become visible and durable together, or not at all."""
        self.check_writable()
        return Batch(self.e, self.always)

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
        return statistics(self.handle, self.order)

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
