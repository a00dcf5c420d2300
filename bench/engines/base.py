"""Engine: how the harness opens a store, and the statements a user of that store would write.

A statement is Python text in the names of `bench.loops`; the loops are generated around it. `None` means that the
engine has nothing better than a loop of single operations. How an engine is opened is said in one place, `settings`,
which every report and the documentation print.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench.loops import Key, LoopInput, Value, build
from bench.records import rotate

# The budget of an engine that has one: room for TIMES the records, but never less than the minimum.
MINIMUM_MEMORY = 256 << 20
MEMORY_TIMES = 4
MEMORY_BEYOND_RECORD = 64


def optional_module(name: str) -> Any | None:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def spelled(options: Mapping[str, object]) -> str:
    """Keyword arguments as a user would write them."""

    def word(option: object) -> str:
        if isinstance(option, type):
            return option.__name__
        return json.dumps(option) if isinstance(option, str) else repr(option)

    return ", ".join(f"{name}={word(option)}" for name, option in options.items())


class Engine:
    """One store of one kind, in a directory of its own.

    `m` is the object in the timed statements, `s` a second one where the engine needs it.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    distribution: ClassVar[str | None] = None
    opened_by: ClassVar[str]  # the call, with every argument that is not left at its default
    effect: ClassVar[str]  # what a reader of the figures must know beyond the call
    persistent: ClassVar[bool] = True
    text_keys: ClassVar[bool] = False
    change: ClassVar[Callable[..., Value]] = staticmethod(rotate)  # the rmw function

    get: str = "m[k]"
    set: str = "m[k] = v"
    delete: str = "del m[k]"
    missing: str = "m.get(k)"
    rmw: str = "m[k] = f(m[k])"
    scan: str = "for k, v in m.items(): pass"
    set_ordered: str | None = None
    get_many: str | None = None
    set_many: str | None = None
    set_many_ordered: str | None = None
    range: str | None = None

    def __init__(self, directory: Path, memory: int = MINIMUM_MEMORY) -> None:
        self.directory = directory
        self.memory = memory
        self.m: Any = None
        self.s: Any = None

    @classmethod
    def available(cls) -> bool:
        """Whether the engine can be used in this interpreter."""
        return optional_module(cls.module) is not None

    @classmethod
    def version(cls) -> str:
        """Version of the distribution, or of Python for what comes with it."""
        if cls.distribution is None:
            return f"python {platform.python_version()}"
        try:
            return importlib.metadata.version(cls.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "unknown"

    @classmethod
    def call(cls) -> str:
        """The call that opens the store."""
        return cls.opened_by

    @classmethod
    def settings(cls) -> str:
        """What the store is opened with, and what that means."""
        return f"`{cls.call()}`: {cls.effect}"

    def open(self) -> None:
        """Open the store in `directory`, creating it where there is none."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the store; what was written can be read after the next `open`."""
        if self.m is not None and hasattr(self.m, "close"):
            self.m.close()
        self.m = None

    def begin_session(self) -> None:
        """Open what the rmw statement needs beyond the store itself."""

    def end_session(self) -> None:
        """Close what `begin_session` opened."""

    def recreate(self) -> None:
        """Leave an empty open store, whatever there was before."""
        self.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.open()

    def keys(self, keys: list[bytes]) -> Sequence[Key]:
        """The keys in the type that the engine takes."""
        return [key.decode("ascii") for key in keys] if self.text_keys else keys

    def values(self, values: list[bytes]) -> Sequence[Value]:
        """The values in the type that the engine takes."""
        return values

    def load(self, keys: Sequence[Key], values: Sequence[Value]) -> None:
        """Write the pairs by the quickest way there is; not timed."""
        build("pairs", self.set)(LoopInput(m=self.m, s=self.s, keys=keys, values=values))

    def count(self) -> int:
        """How many records a scan gives; `len` where the scan is a loop over keys."""
        if ": pass" not in self.scan:
            return len(self.m)
        counter: list[int] = []
        statement = self.scan.replace(": pass", ": add(1)")
        build("whole", statement)(LoopInput(m=self.m, s=self.s, latencies=counter))
        return len(counter)

    def files_size(self) -> int:
        """Bytes that the store's files take on the disk."""
        return sum(disk_usage(path) for path in files_below(self.directory))


def files_below(directory: Path) -> Iterable[Path]:
    """Every regular file in the tree."""
    return (path for path in directory.rglob("*") if path.is_file())


def disk_usage(path: Path) -> int:
    """Allocated bytes of a file; its length where the system does not count blocks; 0 if it has just been deleted."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else int(blocks) * 512
