"""oxidbm: an embedded key-value store with a dict's face, a compiled hybrid log and one number for its memory.

This stub types and documents the public names; `help(oxidbm.Store)` shows its text. It stands here, and not beside the
compiled modules, because a stub hides its module's source from mypy.
"""

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, MutableMapping, ValuesView
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar, final, overload

from _typeshed import StrOrBytesPath, SupportsKeysAndGetItem

from oxidbm import dbm as dbm
from oxidbm import shelve as shelve
from oxidbm._core.device import Device
from oxidbm._core.errors import (
    ClosedError,
    CorruptionError,
    FormatError,
    FullError,
    LockedError,
    MissingError,
    PoisonedError,
    ReadOnlyError,
    error,
)

__version__: str

__all__ = [
    "ClosedError",
    "CorruptionError",
    "Database",
    "FormatError",
    "FullError",
    "LockedError",
    "LogRecord",
    "LogScan",
    "MissingError",
    "PoisonedError",
    "ReadOnlyError",
    "Session",
    "Store",
    "error",
    "open",
    "open_flags",
    "whichdb",
]

_T = TypeVar("_T")
_Bytes: TypeAlias = bytes | str | bytearray | memoryview
_K = TypeVar("_K", bound=_Bytes)

class Store(MutableMapping[bytes, bytes]):
    """A mapping of bytes to bytes, on disk or in memory: a hash index over a hybrid log.

    Keys and values are given as bytes, str (stored as UTF-8), bytearray or memoryview, and come back as bytes. A key
    has up to 65,535 bytes, a value up to 2**32 - 1, and both together fit into half of the memory budget.

    Reading and writing take O(1), without I/O while the key's newest record is in memory. Any number of threads may
    share a store: an operation in memory is atomic, and none waits for a lock. One process at a time may write.

    Every method raises ClosedError after close() and in a forked child, and every one that writes raises ReadOnlyError
    or PoisonedError where nothing can be written; CorruptionError, with file and offset, where the disk does not hold
    what was written; TypeError for a key or value of another type; ValueError for one that is too large. All errors of
    the store's own derive from `oxidbm.error`, an OSError.

    Architecture: Chandramouli et al., "FASTER: A Concurrent Key-Value Store with In-Place Updates", SIGMOD 2018;
    commits: Prasaad et al., "Concurrent Prefix Recovery", SIGMOD 2019.
    """

    def __init__(
        self,
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Literal["manual", "interval", "always"] = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
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
        """Open the store in the directory `path`, or make it; without a path the store lives in memory.

        path: the store's directory; made, with its parents, where it does not exist.
        memory: the whole budget for index and pages, in bytes or as "256MiB"; at least 1 MiB.
        durability: when writes become durable besides at sync() and close(): "manual" never, "interval" every
            `interval` seconds, "always" before each operation that writes returns.
        read_only: see the last commit of a store, also while another process writes it; takes no lock, changes no file.
        page_size: bytes of a page, a power of two from 4 KiB to 64 MiB; fixed when the store is made, and made smaller
            until eight pages fit the memory budget.
        evict: without a path, drop the oldest records where memory is used up, instead of raising FullError.
        interval: seconds between commits for durability="interval".
        compaction: give back dead space by itself, in a background thread.
        mapped: read files through mmap; False reads with pread.
        mode: permission bits of new files, less the umask.
        create: False raises MissingError where there is no store.
        lock: False opens for writing without the lock that keeps a second writer out; only where something else does.
        device: where the log's bytes go, instead of files in `path`.
        clock: what gives the time in seconds since 1970, instead of time.time.

        Opening replays the log from its begin to its last commit: O(log), more than a million small records a second.

        Raises LockedError, with the holder's process number, where another writer has the store open; FormatError where
        the path is something else or of a newer format; MissingError; CorruptionError; ValueError for a budget that is
        smaller than four pages of the store.
        """

    def __getitem__(self, key: _Bytes) -> bytes:
        """Return the key's value; KeyError where it has none."""

    def __setitem__(self, key: _Bytes, value: _Bytes) -> None:
        """Store a value under a key.

        In place where the newest record is in the mutable region and the value fits it, else as a new record at the
        tail. A key whose newest record is on disk is written without reading it. Waits for a flush only where memory is
        full.
        """

    def __delitem__(self, key: _Bytes) -> None:
        """Remove a key; KeyError where it has no value."""

    def __contains__(self, key: object) -> bool:
        """Return whether a key has a value; TypeError for a key that is no bytes or str."""

    def __len__(self) -> int:
        """Return the number of keys, exactly.

        O(1) while the keys' newest records are in memory. Keys written blindly over records on disk are settled by the
        first len() after them: one or two reads each.
        """

    def __iter__(self) -> Iterator[bytes]:
        """Iterate the keys in the order of the log, lazily, in bounded memory.

        Yields each key that is there from the first step to its visit, once; writing meanwhile is allowed. A key that
        was added meanwhile is left out; one that was deleted and set again may be. Raises ClosedError when the store is
        closed meanwhile. While it runs, no file it may still read is deleted.
        """

    def __eq__(self, other: object) -> bool:
        """Return whether a mapping has the same items; builds a dict of each. O(n) memory."""

    def __enter__(self) -> Self:
        """Return the store."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the store; what was written is committed, also when the block ends by an exception."""

    def __del__(self) -> None:
        """Close the store."""

    @property
    def path(self) -> str | None:
        """The store's directory; None for a store in memory."""

    @property
    def closed(self) -> bool:
        """Whether close() was called."""

    @property
    def read_only(self) -> bool:
        """Whether the store was opened with read_only=True."""

    @overload
    def get(self, key: _Bytes, default: None = None) -> bytes | None: ...
    @overload
    def get(self, key: _Bytes, default: bytes) -> bytes: ...
    @overload
    def get(self, key: _Bytes, default: _T) -> bytes | _T:
        """Return the key's value, or `default`."""

    def keys(self) -> KeysView[bytes]:
        """Return a live view of the keys, iterated as the store itself is."""

    def values(self) -> ValuesView[bytes]:
        """Return a live view of the values; each is the key's value at the moment of its visit. `in` is O(n)."""

    def items(self) -> ItemsView[bytes, bytes]:
        """Return a live view of the items, iterated as the store itself is."""

    def setdefault(self, key: _Bytes, default: _Bytes = b"") -> bytes:
        """Return the key's value, after storing `default` where it has none; atomic."""

    @overload
    def pop(self, key: _Bytes) -> bytes: ...
    @overload
    def pop(self, key: _Bytes, default: bytes) -> bytes: ...
    @overload
    def pop(self, key: _Bytes, default: _T) -> bytes | _T:
        """Remove a key and return its value; where it has none, return `default` or raise KeyError. Atomic."""

    def popitem(self) -> tuple[bytes, bytes]:
        """Remove and return the item written longest ago (a dict's popitem takes the newest); KeyError when empty."""

    def clear(self) -> None:
        """Remove every key, without reading one; the space comes back as compaction passes over it. O(1)."""

    @overload
    def update(self, other: SupportsKeysAndGetItem[_K, _Bytes], /, **more: _Bytes) -> None: ...
    @overload
    def update(self, other: Iterable[tuple[_Bytes, _Bytes]] = (), /, **more: _Bytes) -> None:
        """Store the pairs of a mapping or of an iterable of pairs, then those given by name."""

    def insert(self, key: _Bytes, value: _Bytes) -> bool:
        """Store a value where the key has none, and return True; return False, and change nothing, where it has one."""

    def session(self, name: str | None = None) -> Session:
        """Return a session: a numbered sequence of operations with read-modify-write and a commit of its own.

        name: with a name, the serial number goes on from the session's last durable one, also after a crash; a name can
            be open once at a time, else ClosedError. A session without a name is forgotten when it closes.
        """

    def sync(self) -> None:
        """Return when everything written so far is durable.

        Threads that call it together share one fsync. Raises PoisonedError where writing failed, now or before.
        """

    def close(self) -> None:
        """Commit, mark the clean end and close; a second time does nothing. Leaving a `with` block does the same.

        Raises PoisonedError where the commit is not possible; the store is closed all the same.
        """

    def check(self) -> list[str]:
        """Return every fault found in the store, as sentences with file and offset; an empty list is good news.

        Reads the whole log and index, and repairs nothing. O(log).
        """

    def stats(self) -> dict[str, Any]:
        """Return figures about the store; gathering them costs nothing elsewhere.

        Addresses of the log, in bytes: begin <= head <= flushed <= read_only <= tail, durable_tail.
        Sizes in bytes: log_bytes, live_bytes, dead_bytes, file_bytes, memory_bytes (frame_bytes and index_bytes),
        memory_budget, page_bytes.
        Numbers: keys (exact where unverified is 0), unverified (blind writes that len() settles), index_buckets,
        index_entries, overflow_buckets, readers (iterations inside), compactions, commit_sequence, durable_sequence.
        State: path, durability, read_only_store, poisoned (the failed write's error, or ""), maintenance_failure (what
        stopped the background work, or "").
        """

    def scan(self, start: int | None = None, stop: int | None = None, *, live: bool = True) -> LogScan:
        """Return an iterator over the records in the log's addresses [start, stop), in the order of writing.

        start: a record's address or a scan's `position`; default: the log's begin.
        stop: default: the tail at this moment.
        live: only records that are their key's value now; False: every version still there, tombstones included.
        """

    def grow_index(self) -> None:
        """Double the number of the index's buckets now, in slices; it also grows by itself. O(buckets)."""

    def reorganize(self) -> None:
        """Give back all space that holds no live record; returns when the files have shrunk. O(log).

        Files that an iteration is still inside of go when it ends.
        """

@final
class Database(Store):
    """A store as `open` returns it: a Store, at the same cost, that keeps the dbm protocol where that differs."""

    def keys(self) -> list[bytes]:  # type: ignore[override]
        """Return a list of the keys, in the order of the log. O(n) memory; iterate the store itself to have none."""

    def firstkey(self) -> bytes | None:
        """Return the first key of a traversal by `nextkey`; None when the store is empty."""

    def nextkey(self, key: _Bytes) -> bytes | None:
        """Return the key that follows `key` in the log; None behind the last one.

        Going on from the key that `firstkey` or `nextkey` returned last costs one step; it visits what was there at
        `firstkey`, and keys may be set and deleted meanwhile. Any other key begins a traversal behind it, and None
        is returned where it has no value. A traversal that is left unfinished keeps files from being deleted until the
        next `firstkey`, `reorganize`, `clear` or `close`.
        """

    def sync(self) -> None:
        """Return when everything written so far is durable; does nothing where the store is open to read."""

def open(file: StrOrBytesPath, flag: str = "r", mode: int = 0o666) -> Database:  # noqa: A001
    """Open the database `file`, a store's directory, as the modules of the dbm protocol do.

    flag: "r" to read the last commit (the default), "w" to write a store that is there, "c" to make it where it is not,
        "n" to make a new, empty one in place of a store or a file of any kind. Then any of "f", to make writes durable
        only at sync() and close(); "s", before each operation that writes returns; "u", to open without the lock that
        keeps a second writer out. Without f and s, writes are durable a second later.
    mode: permission bits of new files, less the umask.

    Raises `error`, an OSError: MissingError where there is no store, or no directory to make it in; LockedError;
    FormatError where the path is something else, which "n" replaces if it is a file, never if it is a directory that
    holds more than a store; ValueError too for a flag that is not one of these.
    """

open_flags: str
"""The characters of `open`'s flag: r, w, c, n, then f, s, u."""

def whichdb(filename: StrOrBytesPath) -> str | None:
    """Return "oxidbm" for a store, and what the standard library's `dbm.whichdb` says of anything else."""

@final
class Session:
    """A numbered sequence of one caller's operations on a store; made by `Store.session`.

        with store.session("import") as session:
            session.rmw(key, function, initial=b"1")

    Leaving the block commits; leaving it by an exception does not; either way the session closes. Each thread opens a
    session of its own. Each changing operation takes the next serial number, and every commit says how far each named
    session had come; after a crash, a session of the same name begins at the number that survived.

    Serial numbers: Prasaad et al., "Concurrent Prefix Recovery", SIGMOD 2019; here a commit is one instant for all
    sessions.
    """

    @property
    def name(self) -> str | None:
        """The session's name; None for one that is forgotten when it closes."""

    @property
    def serial(self) -> int:
        """The number of this session's changing operations so far."""

    @property
    def durable_serial(self) -> int:
        """The number of this session's changing operations known to be durable."""

    @property
    def closed(self) -> bool:
        """Whether the session was closed."""

    @overload
    def read(self, key: _Bytes, default: None = None) -> bytes | None: ...
    @overload
    def read(self, key: _Bytes, default: bytes) -> bytes: ...
    @overload
    def read(self, key: _Bytes, default: _T) -> bytes | _T:
        """Return the key's value, or `default`."""

    def upsert(self, key: _Bytes, value: _Bytes) -> None:
        """Store a value under a key, whatever was there."""

    @overload
    def rmw(self, key: _Bytes, function: Callable[[bytes], _Bytes], initial: _Bytes) -> bytes: ...
    @overload
    def rmw(
        self, key: _Bytes, function: Callable[[bytes], _Bytes | None], initial: _Bytes | None = None
    ) -> bytes | None:
        """Replace the key's value by function(old value) and return the new one; no concurrent update is lost.

        function: gets the old value and returns the new one, or None to leave it. It runs outside of any lock and again
            when another thread changed the value meanwhile, so it should do nothing but compute.
        initial: what a key without a value gets, as it is; without it, such a key stays absent and None is returned.
        """

    def delete(self, key: _Bytes) -> bool:
        """Delete a key; return False where it had no value."""

    def commit(self) -> int:
        """Return the serial number when all of this session's operations up to it are durable."""

    def close(self) -> None:
        """Close the session without a commit; a second time does nothing."""

    def __enter__(self) -> Session:
        """Return the session."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, unless the block ended by an exception, and close."""

@final
class LogScan:
    """An iterator over records of the log; made by `Store.scan`.

    It holds at most 256 KiB, or one record larger than that. It is a reader inside the store's epoch: until it is
    exhausted, closed or dropped, no file it may still read is deleted.
    """

    @property
    def position(self) -> int:
        """The address behind the last record; a scan can start there, as long as compaction has not passed it."""

    def __iter__(self) -> Iterator[LogRecord]:
        """Return the scan itself."""

    def __next__(self) -> LogRecord:
        """Return the next record; CorruptionError, with file and offset, where one does not verify."""

    def close(self) -> None:
        """Leave the epoch; the scan yields nothing more."""

    def __del__(self) -> None:
        """Close the scan."""

@final
class LogRecord:
    """One record of the log."""

    address: int
    """The record's logical address in bytes."""
    key: bytes
    """Its key."""
    value: bytes
    """Its value; empty for a tombstone."""
    tombstone: bool
    """Whether it says that its key was deleted."""
    previous_address: int
    """The address of the record before it in its hash chain, not always of the same key; 0 for none."""
    expiry: int
    """When it expires, in milliseconds since 1970; 0 for never."""

    def __init__(
        self, address: int, key: bytes, value: bytes, tombstone: bool, previous_address: int, expiry: int
    ) -> None:
        """Records are made by scans."""
