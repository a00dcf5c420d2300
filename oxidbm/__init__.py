"""oxidbm: an embedded key-value store with a dict's face, a compiled hybrid log and one number for its memory."""

from oxidbm import _pure

_pure.install()

__version__ = "0.1.0"

from collections.abc import MutableMapping  # noqa: E402

from oxidbm._core.errors import (  # noqa: E402
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
from oxidbm._core.scan import LogRecord, LogScan  # noqa: E402
from oxidbm._core.session import Session  # noqa: E402
from oxidbm._core.store import Store  # noqa: E402
from oxidbm._documentation import Documentation  # noqa: E402

MutableMapping.register(Store)
for public in (LogRecord, LogScan, Session, Store):
    public.__doc__ = Documentation(public.__name__)
del public

__all__ = [
    "ClosedError",
    "CorruptionError",
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
]
