"""oxidbm: an embedded key-value store with a dict's face, a compiled hybrid log and one number for its memory.

This stub types and documents the public names; `help(oxidbm.Store)` shows its text. It stands here, and not beside the
compiled modules, because a stub hides its module's source from mypy.
"""

import builtins
from collections.abc import (
    AsyncIterator,
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from concurrent.futures import Future
from datetime import timedelta
from types import GenericAlias, TracebackType
from typing import Any, Generic, Literal, NamedTuple, ParamSpec, Self, SupportsIndex, TypeAlias, final, overload

from _typeshed import ReadableBuffer, StrOrBytesPath, SupportsKeysAndGetItem
from typing_extensions import TypeVar

from oxidbm import codecs as codecs
from oxidbm import dbm as dbm
from oxidbm import device as device
from oxidbm import queue as queue
from oxidbm import shelve as shelve
from oxidbm._backup import BackupReport as BackupReport
from oxidbm._choices import CheckpointKind as CheckpointKind
from oxidbm._choices import Durability as Durability
from oxidbm._choices import EvictionPolicy as EvictionPolicy
from oxidbm._choices import OnError as OnError
from oxidbm._core.device.device import Device
from oxidbm._core.errors import (
    BudgetWarning,
    BusyError,
    ClosedError,
    CodecError,
    CorruptionError,
    FormatError,
    FullError,
    LockedError,
    MissingError,
    PoisonedError,
    ReadOnlyError,
    RecoveryWarning,
    StaleError,
    error,
)
from oxidbm._log_remains import LogSalvageReport as LogSalvageReport
from oxidbm._log_salvage import salvage_log as salvage_log
from oxidbm._memoize import Memoized as Memoized
from oxidbm._recover import recover as recover
from oxidbm._remove import remove as remove
from oxidbm._salvage import SalvageReport as SalvageReport
from oxidbm._salvage import check as check
from oxidbm._salvage import salvage as salvage
from oxidbm._survey import LostRange as LostRange
from oxidbm.codecs import Codec
from oxidbm.codecs import Name as _Name
from oxidbm.queue import Queue as Queue

__version__: str

__all__ = [
    "AsyncEntries",
    "BackupReport",
    "Batch",
    "BudgetWarning",
    "BusyError",
    "Checkpoint",
    "CheckpointKind",
    "ClosedError",
    "CodecError",
    "CorruptionError",
    "Database",
    "Durability",
    "EvictionPolicy",
    "FormatError",
    "FullError",
    "KeyHistory",
    "KeyVersion",
    "LockedError",
    "Log",
    "LogBatch",
    "LogFollower",
    "LogReader",
    "LogRecord",
    "LogSalvageReport",
    "LogScan",
    "LostRange",
    "Memoized",
    "MissingError",
    "OnError",
    "PoisonedError",
    "Queue",
    "ReadOnlyError",
    "ReaderInfo",
    "Recovery",
    "RecoveryWarning",
    "SalvageReport",
    "Session",
    "SessionInfo",
    "StaleError",
    "Store",
    "check",
    "error",
    "open",
    "open_flags",
    "recover",
    "remove",
    "salvage",
    "salvage_log",
    "whichdb",
]

_T = TypeVar("_T")
_P = ParamSpec("_P")
_R = TypeVar("_R")
_Bytes: TypeAlias = str | ReadableBuffer
_Seconds: TypeAlias = float | timedelta
_Tag: TypeAlias = str | bytes | int
_K = TypeVar("_K", default=bytes)  # a bare Store is one of bytes
_V = TypeVar("_V", default=bytes)
_B = TypeVar("_B", bound=_Bytes)
_Parts = TypeVar("_Parts", bound=tuple[Any, ...])
_CK = TypeVar("_CK", default=Any)
_CV = TypeVar("_CV", default=Any)

class Store(MutableMapping[_K, _V]):
    """A mapping of bytes to bytes, on disk or in memory: a hash index over a hybrid log.

    Keys and values are given as bytes, str (stored as UTF-8) or another buffer, and come back as bytes; with key= and
    value=, which name a codec each, they are what these take and give. A key has up to 65,535 bytes, a value
    up to 2**32 - 1, and both together fit into half of the memory budget.

    Reading and writing take O(1), without I/O while the key's newest record is in memory. Any number of threads may
    share a store: an operation in memory is atomic, and none waits for a lock. One process at a time may write.
    Pickled, as an argument for another process, it is opened there by its path, with read_only=True.

    Every method raises ClosedError after close() and in a forked child, and every one that writes raises ReadOnlyError
    or PoisonedError where nothing can be written; CorruptionError, with file and offset, where the disk does not hold
    what was written; TypeError for a key or value of another type; ValueError for one that is too large. All errors of
    the store's own derive from `oxidbm.error`, an OSError.

    Architecture: Chandramouli et al., "FASTER: A Concurrent Key-Value Store with In-Place Updates", SIGMOD 2018;
    commits: Prasaad et al., "Concurrent Prefix Recovery", SIGMOD 2019.
    """

    @overload
    def __init__(
        self: Store[bytes, bytes],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Durability = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        evict: bool = False,
        interval: _Seconds = 1.0,
        compaction: bool = True,
        compaction_rate: int | str | None = None,
        mapped: bool | None = None,
        read_cache: bool | int | str | None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
        key: None = None,
        value: None = None,
        ordered: bool = False,
        size_limit: int | str | None = None,
        eviction_policy: EvictionPolicy = "least-recently-stored",
        count_reads: bool = False,
        checkpoints: bool = True,
        checkpoint: str | Checkpoint | None = None,
        follow: _Seconds | None = None,
        flag: Literal["r", "w", "c", "n"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Store[_CK, bytes],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Durability = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        evict: bool = False,
        interval: _Seconds = 1.0,
        compaction: bool = True,
        compaction_rate: int | str | None = None,
        mapped: bool | None = None,
        read_cache: bool | int | str | None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
        key: type[_CK] | Codec[_CK],
        value: None = None,
        ordered: bool = False,
        size_limit: int | str | None = None,
        eviction_policy: EvictionPolicy = "least-recently-stored",
        count_reads: bool = False,
        checkpoints: bool = True,
        checkpoint: str | Checkpoint | None = None,
        follow: _Seconds | None = None,
        flag: Literal["r", "w", "c", "n"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Store[Any, bytes],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Durability = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        evict: bool = False,
        interval: _Seconds = 1.0,
        compaction: bool = True,
        compaction_rate: int | str | None = None,
        mapped: bool | None = None,
        read_cache: bool | int | str | None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
        key: _Name,
        value: None = None,
        ordered: bool = False,
        size_limit: int | str | None = None,
        eviction_policy: EvictionPolicy = "least-recently-stored",
        count_reads: bool = False,
        checkpoints: bool = True,
        checkpoint: str | Checkpoint | None = None,
        follow: _Seconds | None = None,
        flag: Literal["r", "w", "c", "n"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Store[bytes, _CV],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Durability = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        evict: bool = False,
        interval: _Seconds = 1.0,
        compaction: bool = True,
        compaction_rate: int | str | None = None,
        mapped: bool | None = None,
        read_cache: bool | int | str | None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
        key: None = None,
        value: type[_CV] | Codec[_CV],
        ordered: bool = False,
        size_limit: int | str | None = None,
        eviction_policy: EvictionPolicy = "least-recently-stored",
        count_reads: bool = False,
        checkpoints: bool = True,
        checkpoint: str | Checkpoint | None = None,
        follow: _Seconds | None = None,
        flag: Literal["r", "w", "c", "n"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Store[bytes, Any],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Durability = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        evict: bool = False,
        interval: _Seconds = 1.0,
        compaction: bool = True,
        compaction_rate: int | str | None = None,
        mapped: bool | None = None,
        read_cache: bool | int | str | None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
        key: None = None,
        value: _Name,
        ordered: bool = False,
        size_limit: int | str | None = None,
        eviction_policy: EvictionPolicy = "least-recently-stored",
        count_reads: bool = False,
        checkpoints: bool = True,
        checkpoint: str | Checkpoint | None = None,
        follow: _Seconds | None = None,
        flag: Literal["r", "w", "c", "n"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Store[_CK, Any],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Durability = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        evict: bool = False,
        interval: _Seconds = 1.0,
        compaction: bool = True,
        compaction_rate: int | str | None = None,
        mapped: bool | None = None,
        read_cache: bool | int | str | None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
        key: type[_CK] | Codec[_CK],
        value: _Name,
        ordered: bool = False,
        size_limit: int | str | None = None,
        eviction_policy: EvictionPolicy = "least-recently-stored",
        count_reads: bool = False,
        checkpoints: bool = True,
        checkpoint: str | Checkpoint | None = None,
        follow: _Seconds | None = None,
        flag: Literal["r", "w", "c", "n"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Store[Any, _CV],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Durability = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        evict: bool = False,
        interval: _Seconds = 1.0,
        compaction: bool = True,
        compaction_rate: int | str | None = None,
        mapped: bool | None = None,
        read_cache: bool | int | str | None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
        key: _Name,
        value: type[_CV] | Codec[_CV],
        ordered: bool = False,
        size_limit: int | str | None = None,
        eviction_policy: EvictionPolicy = "least-recently-stored",
        count_reads: bool = False,
        checkpoints: bool = True,
        checkpoint: str | Checkpoint | None = None,
        follow: _Seconds | None = None,
        flag: Literal["r", "w", "c", "n"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Store[Any, Any],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Durability = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        evict: bool = False,
        interval: _Seconds = 1.0,
        compaction: bool = True,
        compaction_rate: int | str | None = None,
        mapped: bool | None = None,
        read_cache: bool | int | str | None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
        key: _Name,
        value: _Name,
        ordered: bool = False,
        size_limit: int | str | None = None,
        eviction_policy: EvictionPolicy = "least-recently-stored",
        count_reads: bool = False,
        checkpoints: bool = True,
        checkpoint: str | Checkpoint | None = None,
        follow: _Seconds | None = None,
        flag: Literal["r", "w", "c", "n"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Store[_CK, _CV],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "256MiB",
        durability: Durability = "interval",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        evict: bool = False,
        interval: _Seconds = 1.0,
        compaction: bool = True,
        compaction_rate: int | str | None = None,
        mapped: bool | None = None,
        read_cache: bool | int | str | None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] | None = None,
        key: type[_CK] | Codec[_CK],
        value: type[_CV] | Codec[_CV],
        ordered: bool = False,
        size_limit: int | str | None = None,
        eviction_policy: EvictionPolicy = "least-recently-stored",
        count_reads: bool = False,
        checkpoints: bool = True,
        checkpoint: str | Checkpoint | None = None,
        follow: _Seconds | None = None,
        flag: Literal["r", "w", "c", "n"] | None = None,
    ) -> None:
        """Open the store in the directory `path`, or make it; without a path the store lives in memory.

        path: the store's directory; made, with its parents, where it does not exist.
        memory: the whole budget for index and pages, in bytes or as "256MiB"; at least 1 MiB. Resident memory beyond it
            is of mapped files, which is the system's to take back (see `mapped`). On disk the index of more keys than
            that, 16 to 24 bytes each, is in memory all the same, and a BudgetWarning says so once.
        durability: when writes become durable besides at sync() and close(): "manual" never, "interval" every
            `interval` seconds, "always" before each operation that writes returns.
        read_only: see the last commit of a store, also while another process writes it; takes no lock, changes no file.
            Opening begins anew where a writer changes files that are being read.
        page_size: bytes of a page, a power of two from 4 KiB to 64 MiB; fixed when the store is made, and made smaller
            until eight pages fit the memory budget. A store that is there keeps its own, whatever is given here.
        evict: without a path, drop the oldest records where memory is used up, instead of raising FullError.
        interval: seconds between commits for durability="interval".
        compaction: give back dead space by itself, in a background thread.
        compaction_rate: the most bytes of the log a second, or such as "20MiB", that this thread goes over; None for as
            many as it can. A rate below what writes leave dead lets the log grow. `compact` has a rate of its own.
        mapped: whether small records of complete segments are read through mmap. None: while what is read is in memory
            anyway; else with pread, as read_only always does. True: always; where the disk is needed no other thread
            runs meanwhile, and where it fails, or a file was cut, a signal ends the process. False: never.
        read_cache: how much of `memory` may be copies of records on disk that are read again and again. None: as much
            as pays, up to half of what the index leaves, and most of it while next to nothing is written; a size: as
            much as that, and no less where it does not pay; False: none.
        mode: permission bits of new files, less the umask.
        create: False raises MissingError where there is no store.
        flag: instead of `read_only` and `create`, one of dbm's letters: "r" reads only, "w" opens what is there, "c"
            makes it if need be, "n" removes what is there, as `remove` does, and makes a new, empty one.
        lock: False opens for writing without the lock that keeps a second writer out; only where something else does.
        device: where the log's bytes go, instead of files in `path`; see oxidbm.device.
        clock: what gives the time in seconds since 1970, instead of time.time.
        key, value: the codec of the keys or values: a type (bytes, str, int, float, a dataclass), a codec's name
            ("json", "msgpack", "objects", "pickle"), or an object with name, encode and decode; see oxidbm.codecs. The
            names are kept in the store, and another codec on reopening is a CodecError. For keys, one that can write
            equal values as other bytes is a ValueError: "json", "msgpack" and "pickle" are.
        ordered: keep the keys in order beside the hash index, for range, prefix and neighbours; built on opening, O(n
            log n), and held in memory, inside the budget (order_bytes in stats()).
        size_limit: keep the live records, headers included, under so many bytes: what has the oldest records goes,
            in the order in which `popitem` takes items.
        eviction_policy: what goes first, with size_limit or evict: "least-recently-stored", or "second-chance": what
            was read since it was written, or spared last, is spared, and written again. Lookups cost more then, and up
            to a sixty-fourth of `memory` is for marks of the keys that were read.
        count_reads: count the lookups that find a value and those that do not, as hits and misses in stats(). Lookups
            cost more then.
        checkpoints: make automatic checkpoints, so that opening has at most about a second's writes to replay.
        checkpoint: a checkpoint to open, or its token, in place of the last commit, with read_only=True; also while the
            store is open elsewhere. oxidbm.recover() goes back to one, or makes a store of its own of it.
        follow: with read_only=True, move to the newest commit every so many seconds, in a background thread, as
            `refresh` does; what kept it from that is in stats() as maintenance_failure, and is tried again.

        Opening reads the newest checkpoint, some 9 bytes for each key, and replays what was written since: more than a
        million small records a second. Where no checkpoint can be used it replays the whole log, and warns with
        RecoveryWarning if there was one. Where a snapshot is newer than the log's last commit, as after a crash, what
        it has is written to the log first (with read_only=True, to a temporary file without a name); where it is
        damaged, RecoveryWarning says what is lost.

        Raises LockedError, with the holder's process number, where the store is open for writing already, also in this
        process; FormatError where the path is something else or of a newer format; MissingError; CorruptionError;
        ValueError for a budget that is smaller than four pages of the store, and for a FileDevice of another page size;
        CodecError where it holds keys or values of another codec.
        """

    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """Return the class with types for keys and values, for annotations."""

    @overload
    def __getitem__(self: Store[bytes, _V], key: _Bytes) -> _V: ...
    @overload
    def __getitem__(self, key: _K) -> _V:
        """Return the key's value; KeyError where it has none."""

    @overload
    def __setitem__(self: Store[bytes, bytes], key: _Bytes, value: _Bytes) -> None: ...
    @overload
    def __setitem__(self: Store[bytes, _V], key: _Bytes, value: _V) -> None: ...
    @overload
    def __setitem__(self: Store[_K, bytes], key: _K, value: _Bytes) -> None: ...
    @overload
    def __setitem__(self, key: _K, value: _V) -> None:
        """Store a value under a key.

        In place where the newest record is in the mutable region and the value fits it, else as a new record at the
        tail. A key whose newest record is on disk is written without reading it. Waits for a flush only where no memory
        is left.
        """

    @overload
    def __delitem__(self: Store[bytes, _V], key: _Bytes) -> None: ...
    @overload
    def __delitem__(self, key: _K) -> None:
        """Remove a key; KeyError where it has no value."""

    def __contains__(self, key: object) -> bool:
        """Return whether a key has a value.

        In a store without a codec for keys, TypeError for a key that is no bytes or str, which can only be a mistake;
        with one, False for a key that the codec does not take, as in a dict.
        """

    def __len__(self) -> int:
        """Return the number of keys, exactly.

        O(1) while the keys' newest records are in memory. Keys written blindly over records on disk are settled by the
        first len() after them: one or two reads each. Without a read, stats() says how many there are as "keys", which
        is no more than "unverified" off.
        """

    def __iter__(self) -> Iterator[_K]:
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
    def key_codec(self) -> str:
        """The name of the codec of the keys; "bytes" for none."""

    @property
    def value_codec(self) -> str:
        """The name of the codec of the values; "bytes" for none."""

    @property
    def ordered(self) -> bool:
        """Whether the store was opened with ordered=True."""

    @property
    def closed(self) -> bool:
        """Whether close() was called."""

    @property
    def read_only(self) -> bool:
        """Whether the store was opened with read_only=True."""

    @overload
    def get(self: Store[bytes, _V], key: _Bytes, default: None = None) -> _V | None: ...
    @overload
    def get(self: Store[bytes, _V], key: _Bytes, default: _V) -> _V: ...
    @overload
    def get(self: Store[bytes, _V], key: _Bytes, default: _T) -> _V | _T: ...
    @overload
    def get(self, key: _K, default: None = None) -> _V | None: ...
    @overload
    def get(self, key: _K, default: _V) -> _V: ...
    @overload
    def get(self, key: _K, default: _T) -> _V | _T:
        """Return the key's value, or `default`.

        A key that the store's codec does not take has no value; without a codec for keys, TypeError for one that is no
        bytes or str. `in`, `exists` and this are alone in that: all others raise for such a key.
        """

    def keys(self, *, on_error: OnError = "raise") -> KeysView[_K]:
        """Return a live view of the keys, iterated as the store itself is.

        on_error: what an iteration does at a key that the codec did not write: "raise" codecs.DecodeError, which names
            the key and the place of its record, after which the iterator can go on; "skip" it; or give its "bytes".

        Raises ValueError for another word.
        """

    def values(self, *, on_error: OnError = "raise") -> ValuesView[_V]:
        """Return a live view of the values; each is the key's value at the moment of its visit. `in` is O(n).

        on_error: as in `keys`, for values.
        """

    def items(self, *, on_error: OnError = "raise") -> ItemsView[_K, _V]:
        """Return a live view of the items, iterated as the store itself is.

        on_error: as in `keys`, for keys and values; "skip" leaves out the item where one of the two cannot be decoded.
        """

    @overload
    def setdefault(self: Store[bytes, bytes], key: _Bytes, default: _Bytes = b"") -> bytes: ...
    @overload
    def setdefault(self: Store[_K, bytes], key: _K, default: _Bytes = b"") -> bytes: ...
    @overload
    def setdefault(self: Store[bytes, _V], key: _Bytes, default: _V) -> _V: ...
    @overload
    def setdefault(self, key: _K, default: _V) -> _V:
        """Return the key's value, after storing `default` where it has none; atomic."""

    @overload
    def pop(self: Store[bytes, _V], key: _Bytes) -> _V: ...
    @overload
    def pop(self: Store[bytes, _V], key: _Bytes, default: _V) -> _V: ...
    @overload
    def pop(self: Store[bytes, _V], key: _Bytes, default: _T) -> _V | _T: ...
    @overload
    def pop(self, key: _K) -> _V: ...
    @overload
    def pop(self, key: _K, default: _V) -> _V: ...
    @overload
    def pop(self, key: _K, default: _T) -> _V | _T:
        """Remove a key and return its value; where it has none, return `default` or raise KeyError. Atomic.

        A key that the store does not take is a TypeError or ValueError, where `get` would return the default.
        """

    def popitem(self) -> tuple[_K, _V]:
        """Remove and return the item of the oldest record; KeyError when empty. A dict's popitem takes the newest one.

        That is the one written longest ago, but that a value which took another's place in its record, as one that is
        no longer does until the next commit, is as old as that, and one that compaction has moved is new.
        """

    def clear(self) -> None:
        """Remove every key, without reading one; the space comes back as compaction passes over it. O(1)."""

    @overload
    def update(self: Store[bytes, bytes], other: SupportsKeysAndGetItem[_B, _Bytes], /, **more: _Bytes) -> None: ...
    @overload
    def update(self: Store[bytes, bytes], other: Iterable[tuple[_Bytes, _Bytes]] = (), /, **more: _Bytes) -> None: ...
    @overload
    def update(self: Store[bytes, _V], other: SupportsKeysAndGetItem[_B, _V], /, **more: _V) -> None: ...
    @overload
    def update(self: Store[bytes, _V], other: Iterable[tuple[_Bytes, _V]] = (), /, **more: _V) -> None: ...
    @overload
    def update(self: Store[_K, bytes], other: SupportsKeysAndGetItem[_K, _B], /, **more: _Bytes) -> None: ...
    @overload
    def update(self: Store[_K, bytes], other: Iterable[tuple[_K, _Bytes]] = (), /, **more: _Bytes) -> None: ...
    @overload
    def update(self, other: SupportsKeysAndGetItem[_K, _V], /, **more: _V) -> None: ...
    @overload
    def update(self, other: Iterable[tuple[_K, _V]] = (), /, **more: _V) -> None:
        """Store the pairs of a mapping or of an iterable of pairs, then those given by name; as set_many."""

    @overload  # type: ignore[misc]  # it changes the store, and `|` makes a dict
    def __ior__(
        self: Store[bytes, bytes], other: SupportsKeysAndGetItem[_B, _Bytes] | Iterable[tuple[_Bytes, _Bytes]]
    ) -> Store[bytes, bytes]: ...
    @overload
    def __ior__(
        self: Store[bytes, _V], other: SupportsKeysAndGetItem[_B, _V] | Iterable[tuple[_Bytes, _V]]
    ) -> Store[bytes, _V]: ...
    @overload
    def __ior__(self, other: SupportsKeysAndGetItem[_K, _V] | Iterable[tuple[_K, _V]]) -> Self:
        """As update, with one mapping or iterable of pairs, for `|=`; returns the store."""

    def __or__(self, other: Mapping[_T, _R]) -> dict[_K | _T, _V | _R]:
        """Return a dict of the store's items and of another mapping's, which count where both have a key."""

    def __ror__(self, other: Mapping[_T, _R]) -> dict[_K | _T, _V | _R]:
        """Return a dict of another mapping's items and of the store's, which count where both have a key."""

    def copy(self) -> dict[_K, _V]:
        """Return a dict of all items, in memory, as `dict(store)` is; a copy on disk is made by `backup`."""

    @overload
    def get_many(self: Store[bytes, _V], keys: Iterable[_Bytes], default: None = None) -> list[_V | None]: ...
    @overload
    def get_many(self: Store[bytes, _V], keys: Iterable[_Bytes], default: _T) -> list[_V | _T]: ...
    @overload
    def get_many(self, keys: Iterable[_K], default: None = None) -> list[_V | None]: ...
    @overload
    def get_many(self, keys: Iterable[_K], default: _T) -> list[_V | _T]:
        """Return the values of many keys, in the order of the keys; `default` for each that has none.

        One loop of compiled code, each key read on its own: other threads may write between two keys. What is on disk
        alone is brought together, some keys ahead.

        Here a key that the store does not take is a TypeError or ValueError, which names it.
        """

    @overload
    def prefetch(self: Store[bytes, _V], keys: Iterable[_Bytes]) -> None: ...
    @overload
    def prefetch(self, keys: Iterable[_K]) -> None:
        """Have the system begin to read what is on disk of these keys, and return without waiting for it.

        For reads that follow soon, one by one or in other threads; get_many does as much by itself. Costs nothing where
        all is in memory. On a system that takes no such advice it does nothing.
        """

    @overload
    def set_many(
        self: Store[bytes, bytes],
        pairs: SupportsKeysAndGetItem[_B, _Bytes],
        *,
        expire: _Seconds | None = None,
        tag: _Tag | None = None,
    ) -> None: ...
    @overload
    def set_many(
        self: Store[bytes, bytes],
        pairs: Iterable[tuple[_Bytes, _Bytes]],
        *,
        expire: _Seconds | None = None,
        tag: _Tag | None = None,
    ) -> None: ...
    @overload
    def set_many(
        self: Store[bytes, _V],
        pairs: SupportsKeysAndGetItem[_B, _V],
        *,
        expire: _Seconds | None = None,
        tag: _Tag | None = None,
    ) -> None: ...
    @overload
    def set_many(
        self: Store[bytes, _V],
        pairs: Iterable[tuple[_Bytes, _V]],
        *,
        expire: _Seconds | None = None,
        tag: _Tag | None = None,
    ) -> None: ...
    @overload
    def set_many(
        self: Store[_K, bytes],
        pairs: SupportsKeysAndGetItem[_K, _B],
        *,
        expire: _Seconds | None = None,
        tag: _Tag | None = None,
    ) -> None: ...
    @overload
    def set_many(
        self: Store[_K, bytes],
        pairs: Iterable[tuple[_K, _Bytes]],
        *,
        expire: _Seconds | None = None,
        tag: _Tag | None = None,
    ) -> None: ...
    @overload
    def set_many(
        self, pairs: SupportsKeysAndGetItem[_K, _V], *, expire: _Seconds | None = None, tag: _Tag | None = None
    ) -> None: ...
    @overload
    def set_many(
        self, pairs: Iterable[tuple[_K, _V]], *, expire: _Seconds | None = None, tag: _Tag | None = None
    ) -> None:
        """Store the pairs of a mapping or of an iterable of pairs, each for `expire` seconds and with `tag`.

        One loop of compiled code. Each pair is written on its own: what came before an error stays. See batch() for all
        or none. TypeError for one str or buffer in the place of pairs.
        """

    @overload
    def delete_many(self: Store[bytes, _V], keys: Iterable[_Bytes]) -> int: ...
    @overload
    def delete_many(self, keys: Iterable[_K]) -> int:
        """Delete many keys, and return how many of them had a value."""

    @overload
    def set(
        self: Store[bytes, bytes],
        key: _Bytes,
        value: _Bytes,
        expire: _Seconds | None = None,
        *,
        tag: _Tag | None = None,
    ) -> None: ...
    @overload
    def set(
        self: Store[bytes, _V], key: _Bytes, value: _V, expire: _Seconds | None = None, *, tag: _Tag | None = None
    ) -> None: ...
    @overload
    def set(
        self: Store[_K, bytes], key: _K, value: _Bytes, expire: _Seconds | None = None, *, tag: _Tag | None = None
    ) -> None: ...
    @overload
    def set(self, key: _K, value: _V, expire: _Seconds | None = None, *, tag: _Tag | None = None) -> None:
        """Store a value under a key for `expire` seconds; without, for ever.

        An expired key is gone for every operation. len() counts it until compaction, reorganize() or the next write of
        the key has met it.

        tag: a str, bytes or an int, by which `evict` deletes the key together with all others that have it. "1", b"1"
            and 1 are three tags; True is 1. The key keeps it while touch, incr, decr, compare_and_set and rmw change
            it; what stores it anew without a tag, as `store[key] = value` does, takes it away. A key with a tag takes
            eight bytes more, and is read and written some tenths of a microsecond more slowly.

        TypeError for a tag of another type.
        """

    @overload
    def add(
        self: Store[bytes, bytes],
        key: _Bytes,
        value: _Bytes,
        expire: _Seconds | None = None,
        *,
        tag: _Tag | None = None,
    ) -> bool: ...
    @overload
    def add(
        self: Store[bytes, _V], key: _Bytes, value: _V, expire: _Seconds | None = None, *, tag: _Tag | None = None
    ) -> bool: ...
    @overload
    def add(
        self: Store[_K, bytes], key: _K, value: _Bytes, expire: _Seconds | None = None, *, tag: _Tag | None = None
    ) -> bool: ...
    @overload
    def add(self, key: _K, value: _V, expire: _Seconds | None = None, *, tag: _Tag | None = None) -> bool:
        """Store a value where the key has none, and return True; return False, and change nothing, where it has one.

        expire, tag: as those of `set`.
        """

    def evict(self, tag: _Tag) -> int:
        """Delete every key that was stored with this tag, and return how many they were.

        Goes over the whole log once, and reads what of it is on disk: O(log). Other threads go on meanwhile; a key that
        they store before the walk has come to it, with the same tag, may be deleted or not, and one that they store
        anew without the tag stays. With durability="always" it is durable when it returns, in one commit.

        A record has 62 bits of the tag's BLAKE2 digest, not the tag: keys of another tag with the same ones would be
        deleted too, which is not to be expected among fewer than hundreds of millions of tags.

        Raises TypeError for what is no tag, ReadOnlyError.
        """

    @overload
    def delete(self: Store[bytes, _V], key: _Bytes) -> bool: ...
    @overload
    def delete(self, key: _K) -> bool:
        """Delete a key; return whether it had a value, where `del` would raise KeyError."""

    def exists(self, key: object) -> bool:
        """Return whether a key has a value: `key in store`, as a call, also in what it says of other keys."""

    @overload
    def get_or_set(
        self: Store[bytes, bytes],
        key: _Bytes,
        function: Callable[[], _Bytes] | _Bytes,
        expire: _Seconds | None = None,
        *,
        tag: _Tag | None = None,
    ) -> bytes: ...
    @overload
    def get_or_set(
        self: Store[_K, bytes],
        key: _K,
        function: Callable[[], _Bytes] | _Bytes,
        expire: _Seconds | None = None,
        *,
        tag: _Tag | None = None,
    ) -> bytes: ...
    @overload
    def get_or_set(
        self: Store[bytes, _V],
        key: _Bytes,
        function: Callable[[], _V] | _V,
        expire: _Seconds | None = None,
        *,
        tag: _Tag | None = None,
    ) -> _V: ...
    @overload
    def get_or_set(
        self, key: _K, function: Callable[[], _V] | _V, expire: _Seconds | None = None, *, tag: _Tag | None = None
    ) -> _V:
        """Return the key's value; where it has none, store what `function()` returns, for `expire` seconds, with `tag`.

        What is no function is stored as it is. Threads that ask at once may each call it; the first one to store wins,
        and all return what it stored, as it comes back from the store.
        """

    @overload
    def compare_and_set(self: Store[bytes, bytes], key: _Bytes, expected: _Bytes, value: _Bytes) -> bool: ...
    @overload
    def compare_and_set(self: Store[bytes, _V], key: _Bytes, expected: _V, value: _V) -> bool: ...
    @overload
    def compare_and_set(self: Store[_K, bytes], key: _K, expected: _Bytes, value: _Bytes) -> bool: ...
    @overload
    def compare_and_set(self, key: _K, expected: _V, value: _V) -> bool:
        """Store `value` where the key's value equals `expected`, in one step; return whether that was so.

        Values are compared as objects. The key keeps expiry and tag. One without a value equals nothing; `add` is
        for that.
        """

    @overload
    def touch(self: Store[bytes, _V], key: _Bytes, expire: _Seconds | None = None) -> bool: ...
    @overload
    def touch(self, key: _K, expire: _Seconds | None = None) -> bool:
        """Let a key live for `expire` seconds from now, None for ever; return False where it has no value.

        It keeps its tag. The value is not written again where the key has an expiry already and was written lately.
        """

    @overload
    def get_and_touch(
        self: Store[bytes, _V], key: _Bytes, expire: _Seconds | None, default: None = None
    ) -> _V | None: ...
    @overload
    def get_and_touch(self: Store[bytes, _V], key: _Bytes, expire: _Seconds | None, default: _V) -> _V: ...
    @overload
    def get_and_touch(self: Store[bytes, _V], key: _Bytes, expire: _Seconds | None, default: _T) -> _V | _T: ...
    @overload
    def get_and_touch(self, key: _K, expire: _Seconds | None, default: None = None) -> _V | None: ...
    @overload
    def get_and_touch(self, key: _K, expire: _Seconds | None, default: _V) -> _V: ...
    @overload
    def get_and_touch(self, key: _K, expire: _Seconds | None, default: _T) -> _V | _T:
        """Return the key's value and let it live for `expire` seconds from now, None for ever; else `default`.

        Both in one step: nothing that another thread writes comes in between. So what is used stays, as a login does.
        Writes as `touch` does, and nothing where the key has no value.

        A key that the store does not take is a TypeError or ValueError, where `get` would return the default.
        """

    @overload
    def ttl(self: Store[bytes, _V], key: _Bytes) -> float | None: ...
    @overload
    def ttl(self, key: _K) -> float | None:
        """Return how many seconds a key has left, None where it does not expire; KeyError where it has no value."""

    @overload
    def incr(
        self: Store[bytes, _V],
        key: _Bytes,
        delta: SupportsIndex = 1,
        default: SupportsIndex | None = 0,
        expire: _Seconds | None = None,
    ) -> int: ...
    @overload
    def incr(
        self, key: _K, delta: SupportsIndex = 1, default: SupportsIndex | None = 0, expire: _Seconds | None = None
    ) -> int:
        """Add `delta` to a counter and return its new value; no concurrent count is lost.

        A counter is a number in decimal digits in a store of bytes, an int in one whose codec gives ints. One that is
        there keeps expiry and tag.

        default: what a key without a value counts from; None raises KeyError.
        expire: seconds that a new counter lives.

        Raises ValueError, or TypeError in a typed store, where the value is no number; OverflowError for one of more
        digits than Python converts (4,300, see sys.get_int_max_str_digits()), or of more bits than the codec takes.
        """

    @overload
    def decr(
        self: Store[bytes, _V],
        key: _Bytes,
        delta: SupportsIndex = 1,
        default: SupportsIndex | None = 0,
        expire: _Seconds | None = None,
    ) -> int: ...
    @overload
    def decr(
        self, key: _K, delta: SupportsIndex = 1, default: SupportsIndex | None = 0, expire: _Seconds | None = None
    ) -> int:
        """Subtract `delta` from a counter; as incr."""

    def memoize(
        self,
        expire: _Seconds | None = None,
        key: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        codec: type[Any] | Codec[Any] | _Name | None = None,
        tag: _Tag | None = None,
        sliding: bool = False,
    ) -> Callable[[Callable[_P, _R]], Memoized[_P, _R]]:
        """Return a decorator that keeps a function's results in the store, by its arguments.

            @store.memoize(expire=60)
            def area(country: str) -> int: ...

        The function runs once for concurrent calls with the same arguments. An exception is not kept. The decorated
        function has `cache_key(*args)` and `forget(*args)`. Functions made with `async def` stay such.

        expire: seconds that a result is used.
        key: a function of the call's arguments that gives the key, instead of one made of name and arguments.
        name: what the keys begin with, instead of the function's module and qualified name.
        codec: of the results, see oxidbm.codecs; default: "objects" in a store of bytes, else the store's own.
        tag: of the results, for `evict`.
        sliding: begin those seconds anew whenever a result is used, as get_and_touch does; ValueError without expire.

        The key of a bound method begins with its object, that of a classmethod with its class. Raises TypeError for a
        method of an object that cannot be part of a key. Warns (RuntimeWarning) where the store has results of another
        function of that name. In a forked child the function is called each time.
        """

    def batch(self) -> Batch[_K, _V]:
        """Return a batch, for a `with` block: writes that become visible and durable together, or not at all.

            with store.batch() as batch:
                batch["a"] = "1"
                batch.delete("b")

        Nothing happens before the block ends, and nothing where it ends by an exception. A batch takes at most half of
        the memory budget; a larger one is a ValueError. Other threads wait while it is applied.
        """

    @overload
    def range(
        self: Store[bytes, _V], low: _Bytes | None = None, high: _Bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, _V]]: ...
    @overload
    def range(
        self: Store[_Parts, _V],
        low: tuple[Any, ...] | None = None,
        high: tuple[Any, ...] | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[_Parts, _V]]: ...
    @overload
    def range(self, low: _K | None = None, high: _K | None = None, *, reverse: bool = False) -> Iterator[tuple[_K, _V]]:
        """Iterate the items with low <= key < high in the order of the keys' bytes, lazily.

        Needs ordered=True, else ValueError. Writing meanwhile is allowed: a key is visited if it is there when its
        place is reached. O(log n) for every 128 keys, and a read for each.
        """

    @overload
    def prefix(self: Store[bytes, _V], prefix: _Bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, _V]]: ...
    @overload
    def prefix(
        self: Store[_Parts, _V], prefix: tuple[Any, ...], *, reverse: bool = False
    ) -> Iterator[tuple[_Parts, _V]]: ...
    @overload
    def prefix(self, prefix: _K, *, reverse: bool = False) -> Iterator[tuple[_K, _V]]:
        """Iterate the items whose keys begin with `prefix`, as range does; TypeError for codecs without prefixes."""

    def first_key(self) -> _K | None:
        """Return the first key in order, None where there is none. Needs ordered=True. O(log n)."""

    def last_key(self) -> _K | None:
        """Return the last key in order, None where there is none. Needs ordered=True. O(log n)."""

    def peek_first(self) -> tuple[_K, _V] | None:
        """Return the first item in the order of the keys, which stays; None when there is none.

        Raises ValueError unless the store was opened with ordered=True. O(log n).
        """

    def peek_last(self) -> tuple[_K, _V] | None:
        """Return the last item in the order of the keys, which stays; None when there is none; else as peek_first."""

    @overload
    def next_key(self: Store[bytes, _V], key: _Bytes) -> bytes | None: ...
    @overload
    def next_key(self, key: _K) -> _K | None:
        """Return the first key behind `key`, which need not be there. Needs ordered=True. O(log n)."""

    @overload
    def previous_key(self: Store[bytes, _V], key: _Bytes) -> bytes | None: ...
    @overload
    def previous_key(self, key: _K) -> _K | None:
        """Return the last key before `key`, which need not be there. Needs ordered=True. O(log n)."""

    def session(self, name: str | None = None) -> Session[_K, _V]:
        """Return a session: a numbered sequence of operations with read-modify-write and a commit of its own.

        name: with a name, the serial number goes on from the session's last durable one, also after a crash; a name can
            be open once at a time, else ClosedError. Any str but "", up to 65,535 bytes in UTF-8, else ValueError. A
            session without a name is forgotten when it closes.
        """

    def sessions(self) -> list[SessionInfo]:
        """Return what is known of each session that has a name, in the order of the names. O(n log n).

        A session is known by its name while it is open and, once it changed something, until it is forgotten; some 300
        bytes of memory are taken for each, beside the budget. A store open to read knows what the last commit says.
        """

    def forget_session(self, name: str) -> bool:
        """Forget a session's serial number, so that the name begins at 0 again; False where the name is not known.

        Durable with the next commit. Raises ClosedError where the session is open.
        """

    def forget_sessions(self, *, unused_for: _Seconds) -> list[str]:
        """Forget the sessions that were not used for so many seconds, and return their names. O(n log n).

        unused_for: in seconds, counted from `SessionInfo.last_used` on; 0 for all. Sessions that are open stay.

        Durable with the next commit.
        """

    @property
    def recovery(self) -> Recovery:
        """What opening the store found and did."""

    def checkpoint(
        self,
        kind: CheckpointKind = "fold-over",
        name: str | None = None,
        wait: bool = True,
        *,
        cookie: _Bytes | None = None,
        level: int | None = None,
    ) -> Checkpoint:
        """Make a checkpoint: the state of one commit, which can be opened and gone back to until it is purged.

        kind: "fold-over", a commit of the log and an image of the index, with which opening is fast; "log", without the
            image; "index", the image alone, which makes opening fast but holds no state to go back to. "snapshot", an
            image and a copy of what the log has in memory alone, whose commit stands in the copy: records go on being
            updated in place, where after the others each record's next update is a new record. "incremental", a
            copy of what has changed since the last snapshot or incremental one of this process, on which it builds; a
            whole "snapshot", as its `kind` says, where there is none. docs/guides/checkpoints.md has what each costs.
        name: kept with it, for people; at most 1,024 characters.
        wait: False returns at once, with a checkpoint that is being made in the background; see its `result`.
        cookie: up to 64 KiB of your own that belong to this state, such as how far a source was read: kept with it, and
            given back as bytes by its `cookie`; a str is kept as UTF-8.
        level: zstandard's, from -100 (fast) to 19 (small), that its files are compressed with; -5 where none is given,
            as for automatic ones. Little of an image can be saved: level 1 makes it a quarter smaller, 9 a third, in
            twice and in twelve times the time. At 19 a large image takes 110 MiB of memory, beside the budget, and a
            snapshot 200; at -5 some 20.

        The commit is made first. Other threads go on; the checkpoint has what was written before that commit, by all
        threads and sessions, and nothing else, and what it has is durable when it is there. Until it is purged, the
        log from its `begin` on stays on disk. O(keys) for the image, some 9 bytes a key on disk, which an incremental
        one shares with the snapshot that it goes back to; a snapshot copies on top what the log has in memory and not
        on disk, from the start of a page on. An incremental one looks at each record of that, and copies what changed.

        Raises BusyError while another checkpoint that was asked for is being made; ValueError for a store in memory,
        and for a longer name or cookie, or another level. An OSError, such as that of a full disk, changes nothing;
        nor does FileNotFoundError, where the directory of the checkpoints was moved meanwhile, or MemoryError.
        """

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that there are, the oldest first; automatic ones too."""

    def purge(self, *, keep: int | None = None, token: str | Checkpoint | None = None) -> list[str]:
        """Remove checkpoints, and the part of the log that only they needed; return the tokens of those removed.

        keep: how many of the newest ones stay; automatic ones are not counted, and stay. So do those on which one that
            stays builds.
        token: of the one to remove, also one that is damaged, or the Checkpoint itself; MissingError where it is not
            there, BusyError where a later one builds on it, which has to go first.

        What is durable by a snapshot alone is committed to the log before that snapshot goes; PoisonedError where that
        is not possible.
        """

    def sync(self) -> None:
        """Return when everything written so far is durable.

        Threads that call it together share one fsync. Raises PoisonedError where writing failed, now or before.
        """

    def refresh(self) -> bool:
        """Move a store that was opened with read_only=True to the newest commit; True where it was at another one.

        False too for a store that is open to write, which is always at its newest. It costs what was written since: a
        millisecond for a thousand small records, however many there are. It asks nothing of the writer, and takes no
        lock that other processes know. Other threads see the one commit or the other; iterations, scans, ranges and
        histories that are under way stay with the commit at which they began, for which the index is copied, O(n).

        After a crash of the writer, oxidbm.recover(), or where the store was replaced or the writer has deleted what
        lies between, and to come to a snapshot and from it to what is newer, the store is opened anew, which costs what
        opening does. What raises leaves the reader as it was:
        MissingError where there is no store any more; CorruptionError where its log is damaged; LockedError where a
        hundred attempts met writers that recover; StaleError for a device= of your own that would have to be opened
        anew; ValueError for one opened with checkpoint=. BusyError from a signal handler that came in its middle.
        """

    def close(self) -> None:
        """Commit, mark the clean end and close; a second time does nothing. Leaving a `with` block does the same.

        Raises PoisonedError where the commit is not possible; the store is closed all the same.
        """

    def check(self) -> list[str]:
        """Return every fault found in the store, as sentences with file and offset; an empty list is good news.

        Reads the whole log and index, and the files of each checkpoint as an opening would read them; repairs nothing.
        O(log), and O(keys) for each checkpoint, whose index is in memory meanwhile, beside the budget.
        """

    def stats(self, *, reset: bool = False) -> dict[str, Any]:
        """Return figures about the store; gathering them costs nothing elsewhere.

        reset: count hits and misses from 0 on, as of what this returns.

        Addresses of the log, in bytes: begin <= head <= flushed <= read_only <= tail, durable_tail. What is durable by
        a snapshot alone may stand behind durable_tail; commit_sequence and durable_sequence count its commit.
        Sizes in bytes: log_bytes, live_bytes, dead_bytes, file_bytes, memory_bytes (frame_bytes, index_bytes,
        order_bytes and read_cache_bytes), memory_budget, page_bytes, size_limit (0 for none).
        Numbers: keys (exact where unverified is 0), unverified (blind writes that len() settles), index_buckets,
        index_entries, overflow_buckets, readers (iterations inside), compactions, commit_sequence, durable_sequence,
        evicted_keys (by size_limit), second_chances (records that were spared, see eviction_policy), sessions (known by
        name), read_cache_records (copies there are), read_cache_hits and read_cache_misses (reads of records on disk
        that found one, or needed the disk).
        With count_reads, else None: hits and misses, the lookups since the store was opened that found a value, or did
        not, by get, [], in, exists, get_many, get_or_set, setdefault, get_and_touch, memoized functions and sessions,
        of all stores of this process that share it.
        Checkpoints: checkpoints (how many there are), checkpoint_bytes (of their files), held_bytes (of the log before
        begin, which only they keep on disk), checkpoint_running (whether one is being made), checkpoint_failure (why
        the last automatic one that failed did, or "").
        State: path, durability, read_only_store, key_codec, value_codec, eviction_policy, poisoned (the failed write's
        error, or ""), maintenance_failure (what stopped the background work, or "").
        """

    def scan(self, start: int | None = None, stop: int | None = None, *, live: bool = True) -> LogScan:
        """Return an iterator over the records in the log's addresses [start, stop), in the order of writing.

        start: a record's address or a scan's `position`; default: the log's begin.
        stop: default: the tail at this moment.
        live: only records that are their key's value now; False: every version still there, tombstones included.

        In a store without a path a live record that compaction has moved before the scan came to it is yielded as it
        stands then, ahead of the others.
        """

    @overload
    def history(self: Store[bytes, _V], key: _Bytes, *, scan: bool = False) -> KeyHistory[_V]: ...
    @overload
    def history(self, key: _K, *, scan: bool = False) -> KeyHistory[_V]:
        """Return an iterator over a key's versions, newest first, as far back as compaction has left the log.

        Each version says where it stands, when it was committed, and its value; see KeyVersion. An update, or a
        deletion, that is made in place, as one before the next commit is where the value fits, leaves no version
        behind. What compaction copied is a version of its own, with the time of the commit behind the copy, and the
        original goes. What clear() removed is not shown. In a store in memory no version has a time, since it has no
        commits.

        scan: False follows the key's chain, which the index leads to: it goes back to where the key was last set after
            it had no value, and a deleted key has none, so nothing is yielded for it. True reads the whole log first,
            and yields every version that is left, deletions and what was before them too.

        Costs a read for each version, O(log) before the first one with scan=True (and 8 bytes of memory for each; in a
        store in memory the values). The time of a commit costs at most twice the shorter of two ways, once a commit:
        over the log from the version to the commit, and over the commits from the last one back, a read each.
        """

    def backup(
        self, to: StrOrBytesPath, *, link: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> BackupReport:
        """Make a commit, and copy the store as of it into the directory `to`; reads and writes go on meanwhile.

        The copy is a store of its own, with codecs, expiry and sessions. It has the store's id, since the records'
        checksums are keyed with it. Until all of it is durable it is called TO.unfinished. A store that was opened to
        read is copied as of the commit that it sees.

        to: a directory that is not there yet, or empty, or an earlier backup of this store that nobody has written to
            since. Of that one, segments that are complete stay, what is new is copied, and what the store has given
            back goes; it is replaced in one step, and stays as it is where the backup fails.
        link: complete segments become second names of the store's own files, where the file system allows that, and
            take no time and no space. Neither store writes them, but damage of one is damage of both.
        progress: is called with the bytes done and their total, now and then.

        Raises FormatError where `to` is the store or inside of it, a file, a store that is no backup of this one, or
        one that went its own way since; LockedError where it is open to write, or another backup to it is under way;
        ValueError for a store in memory. What fails leaves what was there. Space that compaction gives back while a
        copy is made comes back at its end. O(log), with a segment, at least 16 MiB or a 64th of the log, as the least.
        """

    def grow_index(self) -> None:
        """Double the number of the index's buckets now, in slices; it also grows by itself. O(buckets)."""

    def compact(
        self,
        dead: float = 0.1,
        *,
        max_bytes: int | str | None = None,
        timeout: _Seconds | None = None,
        rate: int | str | None = None,
    ) -> int:
        """Give back space that holds no live record, the oldest first; return how many bytes of the log that were.

        Goes on until no more than a share `dead` of the log is dead, or all that was there at the call was gone over;
        at once where no more is. Reads, writes and commits go on meanwhile, in other threads, and what is live is
        copied file by file, so that a disk needs space for one file (at least 16 MiB, or a 64th of the log) besides.
        Files that an iteration is still inside of go when it ends. A file in whose middle a limit ends the call is
        given back by the next call, or by the background.

        dead: the share of the log that may stay dead, from 0 to below 1.
        max_bytes: go over no more than so many bytes of the log, or "100MiB".
        timeout: seconds after which to end, be it that nothing was given back.
        rate: go over no more than so many bytes of the log a second, or "20MiB".

        Raises ValueError and TypeError for other arguments; ReadOnlyError; OSError, ENOSPC, where the disk has no room
        for the copies of the next file: what came before is given back. close() in another thread ends it. A store in
        memory compacts page by page. O(bytes gone over). Lookup-based, as in FASTER: a record is live when the index
        leads to it.
        """

    def reorganize(self) -> None:
        """Give back all space that holds no live record; returns when the files have shrunk. O(log).

        Files that an iteration is still inside of go when it ends. All that is live is copied before anything is given
        back, so a disk needs an eighth more space free than stats()["live_bytes"]: OSError, ENOSPC, where it has not,
        and nothing is changed. The compaction in the background needs space for a file, and goes on file by file.
        """

@final
class Database(Store[bytes, bytes]):
    """A store as `open` returns it: a Store, at the same cost, that keeps the dbm protocol where that differs."""

    def keys(self, *, on_error: OnError = "raise") -> list[bytes]:  # type: ignore[override]
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
        """Return when everything written so far is durable; does nothing where the store is open to read.

        Nor in a forked child, which can have written nothing.
        """

@overload
def open(file: StrOrBytesPath, flag: str = "r", mode: int = 0o666) -> Database: ...  # noqa: A001
@overload
def open(  # noqa: A001
    file: StrOrBytesPath, flag: str = "r", mode: int = 0o666, *, key: object = None, value: object = None
) -> Any:
    """Open the database `file`, a store's directory, as the modules of the dbm protocol do.

    flag: "r" to read the last commit (the default), "w" to write a store that is there, "c" to make it where it is not,
        "n" to make a new, empty one in place of a store or a file of any kind. Then any of "f", to make writes durable
        only at sync() and close(); "s", before each operation that writes returns; "u", to open without the lock that
        keeps a second writer out. Without f and s, writes are durable a second later.
    mode: permission bits of new files, less the umask.
    key, value: the codecs of keys and values, as Store takes them.

    Raises `error`, an OSError: MissingError where there is no store, or no directory to make it in; LockedError;
    FormatError where the path is something else, which "n" replaces if it is a file, never if it is a directory that
    holds more than a store; ValueError too for a flag that is not one of these.
    """

open_flags: str
"""The characters of `open`'s flag: r, w, c, n, then f, s, u."""

def whichdb(filename: StrOrBytesPath) -> str | None:
    """Return "oxidbm" for a store, and what the standard library's `dbm.whichdb` says of anything else."""

@final
class Session(Generic[_K, _V]):
    """A numbered sequence of one caller's operations on a store; made by `Store.session`.

        with store.session("import") as session:
            session.rmw(key, function, initial=b"1")

    Leaving the block commits; leaving it by an exception does not; either way the session closes. Each thread opens a
    session of its own. Each upsert, rmw or delete that returns takes the next serial number, also one that changed
    nothing (a delete of an absent key, an rmw that left the value); one that raises takes none. Every commit covers how
    far each named session had come; after a crash, a session of the same name begins at the number that survived. What
    is known by name is listed by `Store.sessions` and dropped by `Store.forget_session`.

    Serial numbers: Prasaad et al., "Concurrent Prefix Recovery", SIGMOD 2019; here a commit is one instant
    for all sessions.
    """

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """Return the class with types for keys and values, for annotations."""

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
    def read(self: Session[bytes, _V], key: _Bytes, default: None = None) -> _V | None: ...
    @overload
    def read(self: Session[bytes, _V], key: _Bytes, default: _V) -> _V: ...
    @overload
    def read(self: Session[bytes, _V], key: _Bytes, default: _T) -> _V | _T: ...
    @overload
    def read(self, key: _K, default: None = None) -> _V | None: ...
    @overload
    def read(self, key: _K, default: _V) -> _V: ...
    @overload
    def read(self, key: _K, default: _T) -> _V | _T:
        """Return the key's value, or `default`."""

    @overload
    def upsert(self: Session[bytes, bytes], key: _Bytes, value: _Bytes) -> None: ...
    @overload
    def upsert(self: Session[bytes, _V], key: _Bytes, value: _V) -> None: ...
    @overload
    def upsert(self: Session[_K, bytes], key: _K, value: _Bytes) -> None: ...
    @overload
    def upsert(self, key: _K, value: _V) -> None:
        """Store a value under a key, whatever was there."""

    @overload
    def rmw(
        self: Session[bytes, bytes], key: _Bytes, function: Callable[[bytes], _Bytes], initial: _Bytes
    ) -> bytes: ...
    @overload
    def rmw(
        self: Session[bytes, bytes],
        key: _Bytes,
        function: Callable[[bytes], _Bytes | None],
        initial: _Bytes | None = None,
    ) -> bytes | None: ...
    @overload
    def rmw(self, key: _K, function: Callable[[_V], _V], initial: _V) -> _V: ...
    @overload
    def rmw(self, key: _K, function: Callable[[_V], _V | None], initial: _V | None = None) -> _V | None:
        """Replace the key's value by function(old value) and return the new one; no concurrent update is lost.

        function: gets the old value and returns the new one, or None to leave it. It runs outside of any lock and again
            when another thread changed the value meanwhile, so it should do nothing but compute.
        initial: what a key without a value gets, as it is; without it, such a key stays absent and None is returned.

        Raises RuntimeError after 10,000 calls, as for a function that writes its own key.
        """

    @overload
    def delete(self: Session[bytes, _V], key: _Bytes) -> bool: ...
    @overload
    def delete(self, key: _K) -> bool:
        """Delete a key; return False where it had no value."""

    def wait_durable(self, serial: int | None = None, timeout: _Seconds | None = None) -> bool:
        """Wait until this session's operations up to a serial number are durable; return whether they are.

        serial: up to which operation, all so far where it is left out.
        timeout: for how many seconds at most, without a limit where it is left out; False is returned after that.

        It commits nothing where the store does that at its interval, so threads that wait share a sync. With
        durability="manual", where nobody else may ever commit, it commits at once, as `commit` does, whatever the
        timeout. In a store in memory there is nothing to wait for, and True is returned.

        Raises ValueError for a serial number that no operation has yet, PoisonedError or ClosedError where the store
        can make nothing durable any more, BusyError in the middle of a commit of the same thread.
        """

    def when_durable(self, serial: int | None = None) -> Future[int]:
        """Return a future that is done when this session's operations up to a serial number are durable.

            session.when_durable().add_done_callback(lambda done: print("durable up to", done.result()))
            await asyncio.wrap_future(session.when_durable(7))

        serial: up to which operation, all so far where it is left out. It is the future's result, too.

        The call commits nothing; with durability="manual" the future waits for somebody's commit. It gets a
        PoisonedError or ClosedError where the store can make nothing durable any more. The thread that has committed
        calls its callbacks, before it goes on: let them be short. An exception of theirs is logged, as those of every
        `concurrent.futures.Future`. They may use the store, but for those that are told that it was poisoned.

        Raises ValueError for a serial number that no operation has yet.
        """

    def commit(self) -> int:
        """Return the serial number when all of this session's operations up to it are durable."""

    def close(self) -> None:
        """Close the session without a commit; a second time does nothing."""

    def __enter__(self) -> Self:
        """Return the session."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit, unless the block ended by an exception, and close."""

@final
class SessionInfo:
    """What is known of a session by its name, at the moment when `Store.sessions` was called."""

    name: str
    """The session's name."""
    serial: int
    """The number of its changing operations so far."""
    durable_serial: int
    """The number of its changing operations known to be durable."""
    last_used: float
    """When it was last used, in seconds since 1970: its opening or, later, the commit of its last operation.

    After a crash, and in a store that is open to read, an opening that no operation followed may be missing if it came
    less than an hour behind the use before."""
    open: bool
    """Whether a Session of this name is open in this store."""

    def __init__(self, name: str, serial: int, durable_serial: int, last_used: float, is_open: bool) -> None:
        """Made by `Store.sessions`."""

@final
class Checkpoint:
    """A checkpoint of a store, or one that is being made; from `Store.checkpoint` and `Store.checkpoints`."""

    @property
    def token(self) -> str:
        """What names it; tokens sort as their commits do. Empty until its making has begun."""

    @property
    def kind(self) -> CheckpointKind:
        """ "fold-over", "snapshot", "incremental", "index" or "log"."""

    @property
    def base(self) -> str | None:
        """The token of the checkpoint that an incremental one builds on, without which it cannot be used; else None."""

    @property
    def name(self) -> str | None:
        """The name it was given."""

    @property
    def cookie(self) -> builtins.bytes | None:
        """What it was given to keep, None where that was nothing."""

    @property
    def automatic(self) -> bool:
        """Whether the store made it by itself; the next automatic one replaces it."""

    @property
    def time(self) -> float:
        """When it was made, in seconds since 1970."""

    @property
    def bytes(self) -> int:
        """The size of its image and its copy of the log, of those that it has: its own files but for one of text."""

    @property
    def commit(self) -> int:
        """The number of the commit whose state it is."""

    @property
    def begin(self) -> int:
        """The address from which on it needs the log; of a snapshot's, a part may stand in its copy."""

    @property
    def end(self) -> int:
        """The address at which its log ends; that of a snapshot may go on in another way behind its copy."""

    def __init__(self, metadata: Any) -> None:
        """Made by `Store.checkpoint` and `Store.checkpoints`."""

    def done(self) -> bool:
        """Return whether it is there, or has failed."""

    def result(self, timeout: _Seconds | None = None) -> Checkpoint:
        """Return the checkpoint once it is there.

        timeout: in seconds, None for ever; then TimeoutError, and it is still being made. Raises what kept it from
        being made.
        """

@final
class Recovery:
    """What opening a store, or a log by itself, found and did; `Store.recovery` and `Log.recovery`."""

    checkpoint: str | None
    """The token of the checkpoint that it began with, None where the whole log was replayed."""
    commit: int
    """The number of the commit that it came to."""
    records: int
    """The records that were replayed, those that an incremental checkpoint added to its first image too."""
    bytes_cut: int
    """The bytes of records behind that commit, which a crash had left in the files: they were never durable, and are
    deleted. Of what was in memory alone nothing is left that could be counted."""
    seconds: float
    """How long it took."""
    faults: list[str]
    """Why checkpoints could not be used, and what is lost with one that was the newest state, as sentences; why a log
    that was opened with on_error="skip" does not open without."""

    def __init__(self) -> None:
        """Made by opening a store."""

class Batch(Generic[_K, _V]):
    """Writes that become visible and durable together, or not at all; made by `Store.batch` for a `with` block.

    The last write of a key counts. One commit decides about all of them. Behind the end of the block a write is a
    RuntimeError, until the batch is entered anew.
    """

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """Return the class with types for keys and values, for annotations."""

    def __len__(self) -> int:
        """Return how many keys the batch writes."""

    @overload
    def __setitem__(self: Batch[bytes, bytes], key: _Bytes, value: _Bytes) -> None: ...
    @overload
    def __setitem__(self: Batch[bytes, _V], key: _Bytes, value: _V) -> None: ...
    @overload
    def __setitem__(self: Batch[_K, bytes], key: _K, value: _Bytes) -> None: ...
    @overload
    def __setitem__(self, key: _K, value: _V) -> None:
        """Store a value under a key when the block ends."""

    @overload
    def __delitem__(self: Batch[bytes, _V], key: _Bytes) -> None: ...
    @overload
    def __delitem__(self, key: _K) -> None:
        """As `delete`."""

    @overload
    def set(
        self: Batch[bytes, bytes],
        key: _Bytes,
        value: _Bytes,
        expire: _Seconds | None = None,
        *,
        tag: _Tag | None = None,
    ) -> None: ...
    @overload
    def set(
        self: Batch[bytes, _V], key: _Bytes, value: _V, expire: _Seconds | None = None, *, tag: _Tag | None = None
    ) -> None: ...
    @overload
    def set(
        self: Batch[_K, bytes], key: _K, value: _Bytes, expire: _Seconds | None = None, *, tag: _Tag | None = None
    ) -> None: ...
    @overload
    def set(self, key: _K, value: _V, expire: _Seconds | None = None, *, tag: _Tag | None = None) -> None:
        """Store a value under a key, for `expire` seconds from now and with `tag`, when the block ends."""

    @overload
    def delete(self: Batch[bytes, _V], key: _Bytes) -> None: ...
    @overload
    def delete(self, key: _K) -> None:
        """Delete a key when the block ends; one without a value is passed over."""

    @overload
    def update(
        self: Batch[bytes, bytes], other: SupportsKeysAndGetItem[_B, _Bytes] | Iterable[tuple[_Bytes, _Bytes]]
    ) -> None: ...
    @overload
    def update(self: Batch[bytes, _V], other: SupportsKeysAndGetItem[_B, _V] | Iterable[tuple[_Bytes, _V]]) -> None: ...
    @overload
    def update(self, other: SupportsKeysAndGetItem[_K, _V] | Iterable[tuple[_K, _V]]) -> None:
        """Store the pairs of a mapping or of an iterable of pairs when the block ends."""

    def clear(self) -> None:
        """Forget the writes so far."""

    def __enter__(self) -> Self:
        """Return the batch."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do all the writes, unless the block ended by an exception.

        Raises ValueError for a batch that is too large; PoisonedError and others as a write does. Then nothing changed,
        unless a device failed in the middle: then the store is poisoned, so that no part becomes durable.
        """

class Log(Generic[_V]):
    """An append-only log of entries, on disk or in memory: fast to append to, durable up to its last commit.

    Entries are bytes, str (kept as UTF-8) or another buffer, of 0 to 2**32 - 1 bytes that fit into half of the memory
    budget, and come back as bytes; with codec= they are what that takes and gives. Each has an address, an int that
    grows from one entry to the next and never changes.

    Any number of threads may share a log: an append is atomic, and none waits for a lock. One process at a time may
    write, and any number read beside it. Appending takes O(the entry), without I/O; it waits for a flush only where no
    memory is left.

    Every method raises ClosedError after close() and in a forked child, and every one that writes raises ReadOnlyError
    or PoisonedError where nothing can be written; CorruptionError, with file and offset, where the disk does not hold
    what was written; TypeError for an entry of another type; ValueError for one that is too large.

    Architecture: FasterLog, the log of Microsoft FASTER: a hybrid log that has no index, and in which the commits stand
    beside the entries.
    """

    @overload
    def __init__(
        self: Log[bytes],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "64MiB",
        durability: Durability = "manual",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        interval: _Seconds = 1.0,
        commit_bytes: int | str | None = None,
        keep_entries: int | None = None,
        keep_bytes: int | str | None = None,
        keep_seconds: _Seconds | None = None,
        codec: None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        commit: int | None = None,
        on_error: Literal["raise", "skip"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Log[Any],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "64MiB",
        durability: Durability = "manual",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        interval: _Seconds = 1.0,
        commit_bytes: int | str | None = None,
        keep_entries: int | None = None,
        keep_bytes: int | str | None = None,
        keep_seconds: _Seconds | None = None,
        codec: _Name,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        commit: int | None = None,
        on_error: Literal["raise", "skip"] | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Log[_CV],
        path: StrOrBytesPath | None = None,
        *,
        memory: int | str = "64MiB",
        durability: Durability = "manual",
        read_only: bool = False,
        page_size: int | str = "4MiB",
        interval: _Seconds = 1.0,
        commit_bytes: int | str | None = None,
        keep_entries: int | None = None,
        keep_bytes: int | str | None = None,
        keep_seconds: _Seconds | None = None,
        codec: type[_CV] | Codec[_CV],
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        commit: int | None = None,
        on_error: Literal["raise", "skip"] | None = None,
    ) -> None:
        """Open the log in the directory `path`, or make it; without a path the log lives in memory.

        path: the log's directory; made, with its parents, where it does not exist.
        memory: the whole budget for pages, in bytes or as "64MiB"; at least 1 MiB. What does not fit is read from disk.
            Resident memory beyond it is of mapped files, which is the system's to take back.
        durability: when entries become durable besides by commit() and close(): "manual" never, "interval" every
            `interval` seconds, "always" before each append returns.
        read_only: see the last commit of a log, also while another process writes it; takes no lock, changes no file.
        page_size: bytes of a page, a power of two from 4 KiB to 64 MiB; fixed when the log is made, and made smaller
            until eight pages fit the memory budget.
        interval: seconds between commits for durability="interval".
        commit_bytes: commit in the background each time that so many bytes were appended, besides.
        keep_entries, keep_bytes, keep_seconds: forget the oldest entries where more than so many, more than so many
            bytes, or older ones are kept: whole files of them, as a commit is made, and nothing that a named reader has
            not done. So up to a file more stays, of 16 MiB or a sixty-fourth of the log.
        codec: the codec of the entries: a type (bytes, str, int, float, a dataclass), a codec's name ("json",
            "msgpack", "objects", "pickle"), or an object with name, encode and decode; see oxidbm.codecs. Its name is
            kept in the log, and another one on reopening is a CodecError.
        mode: permission bits of new files, less the umask.
        create: False raises MissingError where there is no log.
        lock: False opens for writing without the lock that keeps a second writer out; only where something else does.
        device: where the log's bytes go, instead of files in `path`; see oxidbm.device.
        commit: with read_only=True, the number of an earlier commit to see instead of the last one.
        on_error: "raise", which None stands for, or "skip", for read_only=True: opens also a log that is damaged, as
            far as its records verify: `scan` and what else reads passes over what is damaged, unless it is told not to.
            What keeps it from opening as it is stands in `recovery.faults`; then it ends where its files do, and does
            not move on to newer commits.

        Opening takes the same time whatever the log's length: it looks for the last commit from the end, and verifies
        what was appended since the last one known durable. What stands behind the last commit was never durable, and is
        cut off. Where that leaves nothing of a log whose only commit is not whole, RecoveryWarning says so before.

        Raises LockedError where the log is open for writing already; FormatError where the path is something else, as a
        store, or of a newer format; MissingError; CorruptionError; CodecError; ValueError for too small a budget;
        TypeError for an argument of another type.
        """

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """Return the class with a type for entries, for annotations."""

    def __enter__(self) -> Self:
        """Return the log."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the log; what was appended is committed, also when the block ends by an exception."""

    def __del__(self) -> None:
        """Close the log."""

    def __bool__(self) -> bool:
        """Return True: an empty log is one, too."""

    def __len__(self) -> int:
        """Return the number of entries, also of those that are not committed yet, exactly. O(1)."""

    def __iter__(self) -> Iterator[tuple[int, _V]]:
        """Iterate the committed entries, as `scan` does."""

    @overload
    def append(self: Log[bytes], data: _Bytes) -> int: ...
    @overload
    def append(self, data: _V) -> int:
        """Append an entry and return its address. It is durable with the next commit."""

    @overload
    def try_append(self: Log[bytes], data: _Bytes) -> int | None: ...
    @overload
    def try_append(self, data: _V) -> int | None:
        """As `append`, but return None where the memory is full, instead of waiting until something was written.

        Nothing has changed then. In a log in memory, None says that the budget is used up.
        """

    @overload
    def append_many(self: Log[bytes], entries: Iterable[_Bytes]) -> tuple[int, int]: ...
    @overload
    def append_many(self, entries: Iterable[_V]) -> tuple[int, int]:
        """Append each entry of an iterable; return the address of the first one, and the address behind the last one.

        scan(begin) from the latter on goes on behind them. What an iterable raises comes out, and the entries before
        stay. For entries that are committed together or not at all see `batch`.
        """

    def batch(self) -> LogBatch[_V]:
        """Return a batch for a `with` block, whose entries become durable together, or not at all."""

    def commit(self, cookie: _Bytes | None = None, *, number: int | None = None, alone: bool = False) -> int:
        """Return once everything appended so far is durable; return the number of the commit.

        Threads that commit at the same time share one sync, and where there is nothing new there is no commit. With a
        cookie, a number or alone=True it is a commit of its own, whatever is new: it can be found again by its number.

        cookie: up to 65,536 bytes that come back as `cookie` when the log is opened at this commit, or at a later one
            that was given none; b"" for none from now on.
        number: the number of the commit, larger than that of the last one, up to 2**47 - 1, instead of the next one.
            As many again are left to count on behind that, which can be opened by Log(commit=) as any other.
        alone: a commit that is shared with nobody.

        Raises PoisonedError where a write or sync failed: what was durable before still is, and reads still work.
        """

    def wait(self, address: int | None = None, timeout: _Seconds | None = None) -> bool:
        """Return True once the entry at an address, or all that is there, is durable; False after `timeout` seconds.

        It waits for somebody's commit, and makes none. Raises ClosedError or PoisonedError where that never comes.
        Opened to read only, a log moves on to newer commits meanwhile, however far it is behind.

        address: an entry's, or one where none stands yet, as `tail`: then for the entry that will. What was truncated
            was durable. None stands for all that was appended so far; opened to read only, that is durable.
        timeout: in seconds; None waits for ever.
        """

    def read(self, address: int) -> _V:
        """Return the entry that starts at an address, committed or not.

        Raises IndexError for an address before `begin` or past `tail`, ValueError for one at which no entry starts.
        """

    def __getitem__(self, address: int) -> _V:
        """As `read`."""

    def size(self, address: int) -> int:
        """Return the length in bytes of the entry that starts at an address."""

    def scan(
        self,
        begin: int | None = None,
        end: int | None = None,
        *,
        uncommitted: bool = False,
        on_error: Literal["raise", "skip"] | None = None,
    ) -> Iterator[tuple[int, _V]]:
        """Iterate the entries from the first one at or behind `begin` up to `end`, each with its address.

        It ends where the log ended, or the last commit did, when it began. Others may append meanwhile, and truncate: a
        scan that stands before the new begin goes on there. It keeps at most a chunk of 256 KiB, or one larger entry.

        begin, end: addresses; any will do, and costs up to a page more where no entry starts there.
        uncommitted: entries that are not durable yet, too.
        on_error: "raise" a CorruptionError at what does not verify, or is missing, and a codecs.DecodeError, whose
            `address` says which one it is, at an entry that the codec did not write, or "skip" it, and go on behind it;
            None does what the log was opened with.
        """

    def last(self, count: int = 1, *, on_error: Literal["raise", "skip"] | None = None) -> list[tuple[int, _V]]:
        """Return the last committed entries, in order, each with its address; all of them where there are no more.

        Reads the end of the log only: these entries, and up to a page before them. on_error: as for `scan`. Raises
        ValueError for a negative count.
        """

    def address_at(self, time: float) -> int:
        """Return the address from which on the entries were committed at a time or later; `committed` for none.

        For scan(address), or truncate(address). Goes back over the commits since then, a read each. Raises ValueError
        for a log in memory, which does not keep it.

        time: in seconds since 1970, by the clock of whoever committed.
        """

    def follow(
        self,
        begin: int | None = None,
        *,
        timeout: _Seconds | None = None,
        uncommitted: bool = False,
        on_error: Literal["raise", "skip"] | None = None,
    ) -> LogFollower[_V]:
        """Iterate the entries from an address on, and then those that come, each once it is committed.

        In the process that writes, the commit wakes who waits; with read_only=True the file is looked at each two
        milliseconds, at no cost to the writer. It ends when the iterator is closed, also in another thread, and when
        the log is, behind what was committed by then: files and pages stay until the last follower has come so far, or
        is closed or dropped.

        begin: an address, `begin` for None; `tail` for what is appended from now on. One behind `tail` waits until the
            log has come so far.
        timeout: end where nothing has come for so many seconds; None waits for ever.
        uncommitted: entries as soon as they are appended, in the process that writes.
        on_error: as for `scan`.
        """

    def aiter(
        self,
        begin: int | None = None,
        *,
        timeout: _Seconds | None = None,
        uncommitted: bool = False,
        on_error: Literal["raise", "skip"] | None = None,
    ) -> AsyncEntries[_V]:
        """As `follow`, for `async for`: other tasks run while it waits. It has `overtaken`, too."""

    def reader(
        self,
        name: str,
        *,
        begin: int | None = None,
        follow: bool = False,
        timeout: _Seconds | None = None,
        on_error: Literal["raise", "skip"] | None = None,
    ) -> LogReader[_V]:
        """Return the reader of a name, which goes on where it last stood, for a `with` block.

        It may be open in any process, also one that has the log open with read_only=True, and in one at a time:
        BusyError where the name is in use.

        Raises MissingError where the log's directory is gone, and PermissionError where it may not be written.

        name: up to 240 letters, digits, - and _; other bytes count as three.
        begin: where a reader that is not known yet begins: an address up to `tail`, behind which IndexError is raised;
            None for `begin`, which an address before it stands for, too. What is not committed before it is, then.
        follow: wait for more at the end of what is committed, as `follow` does, instead of ending.
        timeout: with follow=True, end where nothing has come for so many seconds.
        on_error: "raise", "skip" or None, as for `scan`; what is skipped is done with what comes behind it.
        """

    def add_reader(self, name: str, *, begin: int | None = None) -> bool:
        """Have a named reader be known, durably, without opening it; False where it is known, be it open or not.

        From then on nothing is truncated that it has not done: for who writes, before `reader` is called elsewhere.

        name, begin: as for `reader`, and so are the errors, but for BusyError, which is for readers that are opened.
        """

    def readers(self) -> list[ReaderInfo]:
        """Return what is known of each named reader, those of other processes too."""

    def forget_reader(self, name: str) -> bool:
        """Know a reader no more, so that what it has not read may be truncated; False where it is not known.

        Raises BusyError where it is open.
        """

    def refresh(self) -> bool:
        """Move a log that is open to read only to the newest commit; False where it is there already.

        Verifies what was appended since: O(that). A log that is open to write is always at its newest.

        Raises StaleError where the log was deleted, or another one made in its place; so do `wait` and who follows it.
        """

    def __reversed__(self) -> Any:
        """Raise TypeError: a log is read forwards."""

    def __contains__(self, entry: object) -> bool:
        """Raise TypeError: a log is not searched."""

    def truncate(self, until: int | None = None, *, past_readers: bool = False) -> int:
        """Forget the entries before the one at an address, or those that readers have done; return how many those were.

        `begin` moves at once; the space is given back, in whole files, once a commit says so and no scan needs it.

        until: an entry's address, or any that `append_many`, `tail` or `committed` gave; one past the tail is the tail.
            None for where the named reader stands that is behind the others.
        past_readers: also what named readers have not done; without an address, all.

        Raises ValueError for an address inside of an entry, or where a named reader stands before it, and without an
        address where no named reader is known: nobody has said what is done then.
        """

    @property
    def path(self) -> str | None:
        """The log's directory; None for a log in memory."""

    @property
    def closed(self) -> bool:
        """Whether the log was closed."""

    @property
    def read_only(self) -> bool:
        """Whether the log was opened read-only."""

    @property
    def codec(self) -> str:
        """The name of the codec of the entries, "bytes" for none."""

    @property
    def begin(self) -> int:
        """The address before which there is nothing. A scan from there on starts with the first entry.

        That stands there unless the log was empty once: then a page may have ended there, or a commit come first.
        """

    @property
    def tail(self) -> int:
        """The address behind the last entry."""

    @property
    def committed(self) -> int:
        """The address up to which everything is durable; `begin` before the first commit."""

    @property
    def cookie(self) -> bytes:
        """The cookie of the last durable commit, b"" for none.

        Raises MissingError in a log opened at an earlier commit whose cookie was truncated since.
        """

    @property
    def commit_number(self) -> int:
        """The number of the last durable commit, 0 for none."""

    @property
    def recovery(self) -> Recovery:
        """What the opening found and did."""

    def backup(
        self, to: StrOrBytesPath, *, link: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> BackupReport:
        """Copy the log to another directory, as of a commit that is made now; return a report of what was done.

        Nobody waits for it: others append, read and truncate meanwhile. Opened read-only, it copies the commit that the
        log stands at, beside whoever writes it. Addresses are the same in the copy, and named readers go on there where
        they stand. It is a log like any other, without what is not committed.

        to: a new directory, an empty one, or an earlier backup of this log, to which only what is new is copied. It is
            at each instant what it was or the new backup.
        link: give complete files a second name instead of copying them, where the file system can.
        progress: is called with the numbers of bytes done and in all, now and then.

        Raises FormatError for a target that is something else, LockedError where another backup to it is under way,
        CorruptionError for a damaged log, ValueError for one in memory.
        """

    def check(self) -> list[str]:
        """Read and verify every entry; return what is wrong as sentences, with file and offset. O(the log).

        What opening does not read shows here, what kept a log from opening that was opened with on_error="skip", and
        positions of named readers that do not verify. `scan` with on_error="skip" gives what is sound.
        """

    def stats(self) -> dict[str, Any]:
        """Return figures about the log; addresses and sizes in bytes."""

    def close(self, commit: bool = True) -> None:
        """Commit and close; a second time does nothing.

        commit: False leaves away what was appended since the last commit.
        """

@final
class LogFollower(Generic[_V]):
    """An iterator over the entries of a log that waits for more at its end; made by `Log.follow`."""

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """Return the class with types for entries, for annotations."""

    @property
    def overtaken(self) -> int:
        """How many entries were truncated, by whatever process, before it came to them; it has gone on behind these.

        It counts from the entry on that it would have given next, or begins with where the log began. Where it was told
        to begin at an address before that, nothing says how many entries were there: compare that with `Log.begin`.
        """

    def __iter__(self) -> Self:
        """Return itself."""

    def __next__(self) -> tuple[int, _V]:
        """Return the next entry with its address, once there is one."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""

    def close(self) -> None:
        """End, also for a thread that waits in it; a second time does nothing."""

class AsyncEntries(AsyncIterator[tuple[int, _V]]):
    """An iterator over the entries of a log for `async for`; made by `Log.aiter`."""

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """Return the class with types for entries, for annotations."""

    @property
    def overtaken(self) -> int:
        """As of a `LogFollower`."""

    async def __anext__(self) -> tuple[int, _V]:
        """Return the next entry with its address, once there is one."""

    async def aclose(self) -> None:
        """End, also for who waits in it."""

@final
class LogReader(Generic[_V]):
    """A named reader of a log: an iterator that goes on where the one of that name last stood; made by `Log.reader`.

    Each entry comes at least once. Which are done is said by `done`; where that is not called, leaving the block says
    it of those that were given, but, by an exception, not of the last one. It is written at once, so that a killed
    process loses nothing of it, and durable with the next commit in this process, `sync` or `close`.
    """

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """Return the class with types for entries, for annotations."""

    name: str

    def __iter__(self) -> Self:
        """Return itself."""

    def __next__(self) -> tuple[int, _V]:
        """Return the next committed entry with its address."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the position, unless `done` says it, and close the reader."""

    def __del__(self) -> None:
        """Let others have the name."""

    @property
    def overtaken(self) -> int:
        """How many entries were truncated with past_readers=True before it came to them, also while it was not open."""

    @property
    def position(self) -> int:
        """The address at which the reader of this name goes on when it is opened next."""

    def done(self, address: int) -> None:
        """Keep that the entries up to and with the one at an address are done; an earlier one lets some come again.

        An entry that is not durable yet becomes so first, by a commit. Raises IndexError or ValueError for an address
        at which no entry starts, PoisonedError where that commit cannot be.
        """

    def sync(self) -> None:
        """Make what is done durable now."""

    def close(self) -> None:
        """Make what is done durable, and let others have the name; a second time does nothing."""

@final
class ReaderInfo:
    """What is known of a named reader; `Log.readers`."""

    name: str
    """The reader's name."""
    address: int
    """Where it goes on."""
    lag: int
    """How many entries it has not done."""
    time: float
    """When it last did something, in seconds since 1970."""
    is_open: bool
    """Whether some process has it open."""

    def __init__(self, name: str, address: int, lag: int, time: float, is_open: bool) -> None:
        """Made by a log."""

class LogBatch(Generic[_V]):
    """Entries that become durable together, or not at all; made by `Log.batch` for a `with` block."""

    addresses: list[int]
    """The addresses of the entries, once the block has ended."""

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """Return the class with a type for entries, for annotations."""

    def __len__(self) -> int:
        """Return how many entries the batch holds."""

    @overload
    def append(self: LogBatch[bytes], data: _Bytes) -> None: ...
    @overload
    def append(self, data: _V) -> None:
        """Append an entry when the block ends; ValueError where the batch would not fit half of the memory budget."""

    def clear(self) -> None:
        """Forget the entries so far."""

    def __enter__(self) -> Self:
        """Return the batch."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Append all entries, next to each other, unless the block ended by an exception."""

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

@final
class KeyHistory(Generic[_V]):
    """An iterator over the versions of a key; made by `Store.history`.

    It is a reader inside the store's epoch: until it is exhausted, closed or dropped, no file it may still read is
    deleted. In a store in memory it keeps nothing, and ends where compaction has overtaken it.
    """

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        """Return the class with types for values, for annotations."""

    def __iter__(self) -> Iterator[KeyVersion[_V]]:
        """Return the history itself."""

    def __next__(self) -> KeyVersion[_V]:
        """Return the next older version.

        Raises CorruptionError, with file and offset, where a record does not verify; codecs.DecodeError for a value
        that the store's codec did not write, after which the history can go on.
        """

    def close(self) -> None:
        """Leave the epoch; the history yields nothing more."""

    def __del__(self) -> None:
        """Close the history."""

class KeyVersion(NamedTuple, Generic[_V]):
    """One version of a key, as `Store.history` yields it."""

    address: int
    """The record's logical address in bytes: a greater one was written later."""
    time: float | None
    """When it was committed, in seconds since 1970; None where no durable commit covers it yet."""
    value: _V | None
    """Its value; None for a tombstone."""
    tombstone: bool
    """Whether it says that the key was deleted."""
    expiry: int
    """When it expires, in milliseconds since 1970; 0 for never. A version that has expired is yielded all the same."""
