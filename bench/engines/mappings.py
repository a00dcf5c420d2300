"""The peers that look like a mapping: dict, the standard library's dbm modules and shelve, and packages like them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.engines.base import Engine, optional_module
from bench.loops import Key, Value


class DictEngine(Engine):
    """The built-in dict: nothing is durable, and nothing can be faster for keys whose hash is cached."""

    name = "dict"
    module = "builtins"
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
    note = 'opened with "cf": not synced'
    scan = "k = m.firstkey()\nwhile k is not None: m[k]; k = m.nextkey(k)"

    def flag(self) -> str:
        """Fast mode: no sync before it is asked for."""
        return "cf"


class DbmDumbEngine(_DbmEngine):
    """The pure Python fallback of the standard library."""

    name = "dbm.dumb"
    module = "dbm.dumb"
    note = "a delete writes the whole index again"


class DbmSqliteEngine(_DbmEngine):
    """dbm over SQLite, the default of Python 3.13."""

    name = "dbm.sqlite3"
    module = "dbm.sqlite3"
    note = "every write is a transaction of its own"
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
    note = "pickles its values; str keys; over the dbm module that this Python prefers"
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
    note = "every write is a transaction of its own"
    scan = "for k in m: m[k]"
    set_many = "with m.transact():\n    for k, v in pairs: m[k] = v"

    def open(self) -> None:
        """Open with eviction switched off, so that it keeps what it is given."""
        module = optional_module(self.module)
        assert module is not None
        self.m = module.Cache(str(self.directory / "store"), eviction_policy="none")

    def load(self, keys: Sequence[Key], values: Sequence[Value]) -> None:
        """One transaction."""
        with self.m.transact():
            super().load(keys, values)


class SqlitedictEngine(Engine):
    """sqlitedict with bytes as they are (no pickle) and no journal."""

    name = "sqlitedict"
    module = "sqlitedict"
    distribution = "sqlitedict"
    note = "no pickle, no journal, committed when closed"
    set_many = "m.update(pairs)"

    def open(self) -> None:
        """Open; commits are left to `close`."""
        module = optional_module(self.module)
        assert module is not None
        path = str(self.directory / "store.sqlite")
        self.m = module.SqliteDict(path, autocommit=False, encode=bytes, decode=bytes, journal_mode="OFF")

    def load(self, keys: Sequence[Key], values: Sequence[Value]) -> None:
        """One executemany."""
        self.m.update(list(zip(keys, values, strict=True)))

    def close(self) -> None:
        """Commit and wait for its thread."""
        if self.m is not None:
            self.m.commit(blocking=True)
            self.m.close()
        self.m = None
