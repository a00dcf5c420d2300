"""The peers that look like a mapping: dict, the standard library's dbm modules and shelve, and packages like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from bench.engines.base import Engine, optional_module, spelled
from bench.loops import Key, Value


class DictEngine(Engine):
    """The built-in dict: nothing is durable, and nothing can be faster for keys whose hash is cached."""

    name = "dict"
    module = "builtins"
    opened_by = "{}"
    effect = "no file, no copy of a value"
    persistent = False
    set_many = set_many_ordered = "m.update(pairs)"
    get_many = "[m[k] for k in keys]"

    def open(self) -> None:
        """An empty dict."""
        self.m = {}


class _DbmEngine(Engine):
    """What the dbm modules have in common."""

    scan = "for k in m.keys(): m[k]"

    def open(self) -> None:
        """Open as `dbm.open(file, "c")` would."""
        module = optional_module(self.module)
        assert module is not None
        self.m = module.open(str(self.directory / "store"), self.flag())

    def flag(self) -> str:
        """How to open: create the file where there is none."""
        return "c"


class DbmGnuEngine(_DbmEngine):
    """gdbm, in its fast mode."""

    name = "dbm.gnu"
    module = "dbm.gnu"
    opened_by = 'dbm.gnu.open(path, "cf")'
    effect = "fast mode, not synced"
    scan = "k = m.firstkey()\nwhile k is not None: m[k]; k = m.nextkey(k)"

    def flag(self) -> str:
        """Fast mode: no sync before it is asked for."""
        return "cf"


class DbmDumbEngine(_DbmEngine):
    """The pure Python fallback of the standard library."""

    name = "dbm.dumb"
    module = "dbm.dumb"
    opened_by = 'dbm.dumb.open(path, "c")'
    effect = "not synced; the index is in memory, a new key is appended to its file, a delete writes it anew"


class DbmSqliteEngine(_DbmEngine):
    """dbm over SQLite, the default of Python 3.13."""

    name = "dbm.sqlite3"
    module = "dbm.sqlite3"
    opened_by = 'dbm.sqlite3.open(path, "c")'
    effect = (
        "each write is a transaction of its own and is synced (journal_mode=wal, synchronous=FULL), for which it has "
        "no switch"
    )
    scan = "for k, v in m.items(): pass"

    def load(self, keys: Sequence[Key], values: Sequence[Value]) -> None:
        """One transaction around the load; dbm.sqlite3 itself has no word for it."""
        connection: Any = self.m._cx
        connection.execute("BEGIN")
        super().load(keys, values)
        connection.execute("COMMIT")


class SemidbmEngine(_DbmEngine):
    """semidbm: an append-only file under a dict of offsets."""

    name = "semidbm"
    module = "semidbm"
    distribution = "semidbm"
    opened_by = 'semidbm.open(path, "c")'
    effect = "not synced, checksums not verified; the index is in memory"
    missing = "k in m"

    @classmethod
    def available(cls) -> bool:
        """semidbm needs its compiled-in platform support as well as its module."""
        return hasattr(optional_module(cls.module), "open")

    def count(self) -> int:
        """The number of keys."""
        return len(list(self.m.keys()))


class ShelveEngine(Engine):
    """shelve over whatever `dbm.open` chooses: pickled values."""

    name = "shelve"
    module = "shelve"
    opened_by = "shelve.open(path)"
    effect = "pickled values, str keys, over the first there is of dbm.sqlite3, dbm.gnu, dbm.ndbm and dbm.dumb"
    text_keys = True

    def open(self) -> None:
        """Open, creating it."""
        module = optional_module(self.module)
        assert module is not None
        self.m = module.open(str(self.directory / "store"))

    def load(self, keys: Sequence[Key], values: Sequence[Value]) -> None:
        """One transaction, where the dbm module below is SQLite's."""
        connection: Any = getattr(self.m.dict, "_cx", None)
        if connection is not None:
            connection.execute("BEGIN")
        super().load(keys, values)
        if connection is not None:
            connection.execute("COMMIT")


class DiskcacheEngine(Engine):
    """diskcache.Cache without a size limit."""

    name = "diskcache"
    module = "diskcache"
    distribution = "diskcache"
    options: ClassVar[dict[str, Any]] = {"eviction_policy": "none"}  # so that it keeps what it is given
    opened_by = f"Cache(path, {spelled(options)})"
    effect = (
        "each write is a transaction of its own, synced at checkpoints only (its defaults: sqlite_journal_mode=wal, "
        "sqlite_synchronous=NORMAL)"
    )
    scan = "for k in m: m[k]"
    set_many = "with m.transact():\n    for k, v in pairs: m[k] = v"

    def open(self) -> None:
        """Open with eviction switched off."""
        module = optional_module(self.module)
        assert module is not None
        self.m = module.Cache(str(self.directory / "store"), **self.options)

    def load(self, keys: Sequence[Key], values: Sequence[Value]) -> None:
        """One transaction."""
        with self.m.transact():
            super().load(keys, values)


class SqlitedictEngine(Engine):
    """sqlitedict with bytes as they are (no pickle) and no journal."""

    name = "sqlitedict"
    module = "sqlitedict"
    distribution = "sqlitedict"
    options: ClassVar[dict[str, Any]] = {
        "autocommit": False,
        "encode": bytes,
        "decode": bytes,
        "journal_mode": "OFF",
    }
    opened_by = f"SqliteDict(path, {spelled(options)})"
    effect = "no pickle, no journal, committed when it is closed, not synced (it sets synchronous=OFF itself)"
    set_many = "m.update(pairs)"

    def open(self) -> None:
        """Open; commits are left to `close`."""
        module = optional_module(self.module)
        assert module is not None
        path = str(self.directory / "store.sqlite")
        self.m = module.SqliteDict(path, **self.options)

    def load(self, keys: Sequence[Key], values: Sequence[Value]) -> None:
        """One executemany."""
        self.m.update(list(zip(keys, values, strict=True)))

    def close(self) -> None:
        """Commit and wait for its thread."""
        if self.m is not None:
            self.m.commit(blocking=True)
            self.m.close()
        self.m = None
