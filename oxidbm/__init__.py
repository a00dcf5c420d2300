"""oxidbm: an embedded key-value store with a dict's face, a compiled hybrid log and one number for its memory."""

from oxidbm import _pure

_pure.refuse_subinterpreter()
_pure.install()

__version__ = "0.1.0"

import importlib  # noqa: E402
from collections.abc import MutableMapping  # noqa: E402

from oxidbm._core import errors  # noqa: E402
from oxidbm._core.durability.checkpoint import Checkpoint  # noqa: E402
from oxidbm._core.durability.source import Recovery  # noqa: E402
from oxidbm._core.errors import (  # noqa: E402
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
from oxidbm._core.faster_log.batch import LogBatch  # noqa: E402
from oxidbm._core.faster_log.follow import LogFollower  # noqa: E402
from oxidbm._core.faster_log.log import Log  # noqa: E402
from oxidbm._core.faster_log.log_reader import LogReader, ReaderInfo  # noqa: E402
from oxidbm._core.faster_log.scan import EntryIterator  # noqa: E402
from oxidbm._core.queue.queue_log import QueueLog  # noqa: E402
from oxidbm._core.store.base import StoreBase  # noqa: E402
from oxidbm._core.store.batch import Batch  # noqa: E402
from oxidbm._core.store.database import Database  # noqa: E402
from oxidbm._core.store.history import KeyHistory, KeyVersion  # noqa: E402
from oxidbm._core.store.iterator import StoreIterator  # noqa: E402
from oxidbm._core.store.ordered import RangeIterator  # noqa: E402
from oxidbm._core.store.session import Session, SessionInfo  # noqa: E402
from oxidbm._core.store.store import Store  # noqa: E402
from oxidbm._core.table.iterate import LogRecord, LogScan  # noqa: E402
from oxidbm._documentation import Call, Documentation, document, public_names  # noqa: E402
from oxidbm._pickling import refuse  # noqa: E402

MutableMapping.register(Store)
PUBLIC = (
    Batch,
    Checkpoint,
    Database,
    KeyHistory,
    KeyVersion,
    Log,
    LogBatch,
    LogFollower,
    LogReader,
    LogRecord,
    LogScan,
    ReaderInfo,
    Recovery,
    Session,
    SessionInfo,
    Store,
)
for public in PUBLIC:
    public.__doc__ = Documentation(public.__name__)
    public.__module__ = "oxidbm"  # where users find it, tracebacks and pickles too
    public.__dir__ = public_names  # type: ignore[assignment]
for raised in vars(errors).values():
    if isinstance(raised, type) and raised.__module__ == errors.__name__:
        raised.__module__ = "oxidbm"
del public, raised
for part in (
    Batch,
    Checkpoint,
    EntryIterator,
    KeyHistory,
    LogBatch,
    LogFollower,
    LogReader,
    LogScan,
    RangeIterator,
    Session,
    StoreIterator,
):
    part.__reduce__ = refuse  # type: ignore[assignment]
del part
Store.__signature__ = Call("Store")  # type: ignore[attr-defined]
Log.__signature__ = Call("Log")  # type: ignore[attr-defined]
_pure.give_turns(
    Batch,
    Database,
    EntryIterator,
    KeyHistory,
    Log,
    LogBatch,
    LogFollower,
    LogReader,
    LogScan,
    QueueLog,
    StoreBase,
    RangeIterator,
    Session,
    Store,
    StoreIterator,
)
if not _pure.compiled():
    document(PUBLIC)
SUBMODULES = ("codecs", "convert", "dbm", "device", "dump", "queue", "shelve", "testing")


def __getattr__(name: str) -> object:
    """Import a module when it is used first: shelve needs pickle's, which takes time, and few need the others."""
    if name in SUBMODULES:
        return importlib.import_module(f"oxidbm.{name}")
    if name == "AsyncEntries":
        return importlib.import_module("oxidbm._async").AsyncEntries
    if name in ("CheckpointKind", "Durability", "EvictionPolicy", "OnError"):
        return getattr(importlib.import_module("oxidbm._choices"), name)
    if name == "Memoized":
        return importlib.import_module("oxidbm._memoize").Memoized
    if name == "BackupReport":
        return importlib.import_module("oxidbm._backup").BackupReport
    if name in ("LostRange", "SalvageReport", "check", "salvage"):
        return getattr(importlib.import_module("oxidbm._salvage"), name)
    if name in ("LogSalvageReport", "salvage_log"):
        return getattr(importlib.import_module("oxidbm._log_salvage"), name)
    if name in ("open", "open_flags", "whichdb"):
        return getattr(importlib.import_module("oxidbm.dbm"), name)
    if name == "remove":
        return importlib.import_module("oxidbm._remove").remove
    if name == "Queue":
        return importlib.import_module("oxidbm.queue").Queue
    if name == "recover":
        return importlib.import_module("oxidbm._recover").recover
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, also of what is imported when it is used, and Python's own."""
    return sorted([*__all__, *SUBMODULES, *(name for name in globals() if name.startswith("__"))])


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
