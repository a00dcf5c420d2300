"""What is kept in SQLite files: dbm.sqlite3's file and diskcache's directories.

Files are opened read-only or as immutable, so that nothing is written beside them, and are checked by SQLite before an
item is taken from them. Keys that are several there and would be one in a store are told before anything is stored.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote

from oxidbm._core.store.tags import digest_of
from oxidbm._sources.source import (
    Items,
    Source,
    SourceError,
    SourceOfItems,
    Unchanged,
    check_regular,
    open_regular,
)

T = TypeVar("T")

Value: TypeAlias = bytes | int | float | None
Named: TypeAlias = tuple[bytes, str]  # a key's bytes, and how its source writes it

SQLITE_MAGIC: Final = b"SQLite format 3\0"
SQLITE_WAL_VERSION: Final = 2
RAW, BINARY, TEXT, PICKLE = 1, 2, 3, 4  # diskcache's modes of a value
FOREVER: Final = 1e12  # seconds since 1970


@contextmanager
def open_database(path: str, table: str) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file so that nothing is written beside it either; its errors become SourceError.

    A reader of a database in WAL mode leaves files behind, unless it is told that nobody writes; where there is no WAL
    file, nobody does.
    """
    for suffix in ("-wal", "-shm", "-journal"):
        check_regular(path + suffix)
    with open_regular(path) as file:
        header = file.read(20)
    if header[:16] != SQLITE_MAGIC:
        raise SourceError(f"{path} is no SQLite database")
    unused = len(header) > 18 and header[18] == SQLITE_WAL_VERSION and not os.path.exists(path + "-wal")
    unchanged = Unchanged([path] if unused else [])  # else SQLite shows one state to a transaction
    address = f"file:{quote(os.path.abspath(path))}?mode=ro{'&immutable=1' if unused else ''}"
    try:
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.text_factory = bytes
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("BEGIN")
            check_sound(connection, path, table)
            yield connection
        unchanged.check()
    except (sqlite3.Error, OverflowError) as failure:
        raise SourceError(f"{path} cannot be read: {failure}") from None


def check_sound(connection: sqlite3.Connection, path: str, table: str) -> None:
    """Raise SourceError where a file has no such table, or is damaged."""
    found = connection.execute("SELECT type, sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    if found is None:
        raise SourceError(f"{path} cannot be read: no such table: {table}")
    if found[0] != b"table" or b"virtual" in bytes(found[1] or b"").lower().split()[:2]:
        raise SourceError(f"{path} cannot be read: {table} is no table but computed")
    (fault,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if fault != b"ok":
        raise SourceError(
            f"{path} is damaged: {' '.join(fault.decode(errors='replace').split())}; restore it from a copy"
        )


class Distinct:
    """The keys seen so far, in a temporary database of SQLite's, which is on disk where it does not fit its cache."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect("", isolation_level=None)
        self.connection.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, name TEXT) WITHOUT ROWID")
        self.connection.execute("BEGIN")

    def close(self) -> None:
        """Delete the temporary database."""
        self.connection.close()

    def take(self, keys: Iterable[Named]) -> None:
        """Take keys up; SourceError names both where two would become one."""
        for key, name in keys:
            try:
                self.connection.execute("INSERT INTO seen VALUES (?, ?)", (key, name))
            except sqlite3.IntegrityError:
                (other,) = self.connection.execute("SELECT name FROM seen WHERE key = ?", (key,)).fetchone()
                raise SourceError(
                    f"the keys {other} and {name} are two in the source and would be one in a store, {key[:80]!r}; "
                    "delete or rename one of them there"
                ) from None


def named(kind: bytes, key: Value) -> str:
    """Return how errors write a key of an SQLite file."""
    if kind == b"text" and isinstance(key, bytes):
        return repr(key.decode(errors="backslashreplace"))[:100]
    return repr(key)[:100]


@contextmanager
def open_sqlite3(path: str) -> Iterator[Source]:
    """Open a file that dbm.sqlite3 wrote."""
    with open_database(path, "Dict") as connection:
        rows = connection.execute("SELECT CAST(key AS BLOB), typeof(key), key FROM Dict WHERE key IS NOT NULL")
        with closing(Distinct()) as distinct:
            distinct.take((data, named(kind, key)) for data, kind, key in rows)
        found = connection.execute("SELECT typeof(key), key FROM Dict WHERE key IS NULL OR value IS NULL").fetchone()
        if found is not None:
            what = "a key" if found[1] is None else f"the value of the key {named(*found)}"
            raise SourceError(f"{path}: {what} is NULL, which is no bytes; delete it there, or give it a value")
        (count,) = connection.execute("SELECT count(*) FROM Dict").fetchone()
        rows = connection.execute("SELECT CAST(key AS BLOB), CAST(value AS BLOB) FROM Dict")
        yield Source(count, counted(path, rows, count))


def counted(path: str, items: Iterable[T], count: int) -> Iterator[T]:
    """Yield items; SourceError where they are not as many as the source says."""
    found = 0
    for item in items:
        yield item
        found += 1
    if found != count:
        raise SourceError(f"{path} is damaged: it says that it has {count} items, and {found} can be read")


LIVE: Final = "FROM Cache WHERE expire_time IS NULL OR expire_time > ? ORDER BY rowid"
CHECKED: Final = f"SELECT typeof(key), key, raw, mode, filename, length(value) {LIVE}"
ITEMS: Final = f"SELECT typeof(key), key, filename, value, size, expire_time, typeof(tag), tag {LIVE}"


@contextmanager
def open_diskcache(path: str, keep_pickles: bool) -> Iterator[Source]:
    """Open the directory of a diskcache Cache, or of a FanoutCache, whose shards are Caches in 000, 001 and so on."""
    directories = [path] if os.path.exists(os.path.join(path, "cache.db")) else fanout_shards(path)
    if not directories:
        raise SourceError(f"{path} is no diskcache directory: it has no cache.db")
    now = time.time()
    with ExitStack() as opened:  # one transaction for both passes over each
        names = [os.path.join(directory, "cache.db") for directory in directories]
        connections = [opened.enter_context(open_database(name, "Cache")) for name in names]
        shards = list(zip(directories, connections, strict=True))
        count = check_rows(path, connections, now, keep_pickles)
        yield SourceOfItems(count, counted(path, diskcache_items(shards, now), count))


def check_rows(path: str, shards: list[sqlite3.Connection], now: float, keep_pickles: bool) -> int:
    """Raise SourceError where an item cannot be stored; return the number of items."""
    count = 0
    with closing(Distinct()) as distinct:
        for connection in shards:
            for kind, key, raw, mode, filename, length in connection.execute(CHECKED, (now,)):
                name = named(kind, key)
                check_row(path, name, (key, raw, mode), filename is None and length is None, keep_pickles)
                distinct.take([(as_bytes(key), name if raw else f"{name} (a pickle)")])
                count += 1
    return count


def check_row(path: str, name: str, row: tuple[Value, Any, Any], is_null: bool, keep_pickles: bool) -> None:
    """Raise SourceError where a row of a Cache is none that can be stored."""
    key, raw, mode = row
    if key is None or is_null:
        what = "a key" if key is None else f"the value of the key {name}"
        raise SourceError(f"{path}: {what} is NULL, which diskcache does not write; delete it there")
    if not keep_pickles and (not raw or mode == PICKLE):
        what = f"the value of {name}" if raw else f"the key {name}"
        raise SourceError(
            f"{what} is a pickle, which only its program may open; keep_pickles (--keep-pickles) stores pickles "
            "as they are"
        )
    if mode not in (RAW, BINARY, TEXT, PICKLE):
        raise SourceError(f"the value of {name} has the unknown mode {mode}")


def fanout_shards(path: str) -> list[str]:
    """Return the directories of a FanoutCache's shards."""
    names = sorted(name for name in os.listdir(path) if name.isdecimal()) if os.path.isdir(path) else []
    directories = [os.path.join(path, name) for name in names]
    return [directory for directory in directories if os.path.isfile(os.path.join(directory, "cache.db"))]


def diskcache_items(shards: list[tuple[str, sqlite3.Connection]], now: float) -> Items:
    """Yield the items of Cache directories that had not expired when the conversion began."""
    for directory, connection in shards:
        for kind, key, filename, value, size, expiry, tag_kind, tag in connection.execute(ITEMS, (now,)):
            if filename is not None:
                value = read_value(directory, filename, size, named(kind, key))
            yield as_bytes(key), as_bytes(value), milliseconds(expiry), tag_of(tag_kind, tag)


def milliseconds(expiry: Any) -> int:
    """Return when an item expires, as a store has it; 0 for never."""
    return max(int(min(expiry, FOREVER) * 1000), 1) if isinstance(expiry, (int, float)) else 0


def tag_of(kind: bytes, tag: Value) -> int:
    """Return an item's tag as a store has it, 0 for none, or for one that is no text, bytes or whole number."""
    if kind == b"text" and isinstance(tag, bytes):
        return digest_of(tag.decode(errors="replace"))
    if isinstance(tag, float):
        return digest_of(int(tag)) if tag.is_integer() else 0
    return digest_of(tag)


def read_value(directory: str, filename: Any, size: Any, key: str) -> bytes:
    """Return a value that diskcache keeps in a file of its own, which is in the cache's directory."""
    name = os.fsdecode(filename) if isinstance(filename, bytes) else ""
    path = os.path.join(directory, name)
    inside = os.path.realpath(directory)
    if not name or os.path.commonpath([inside, os.path.realpath(path)]) != inside:
        raise SourceError(f"the value of {key} would be in {path[:200]!r}, which is outside of the cache")
    try:
        with open_regular(path) as file:
            value = file.read()
    except FileNotFoundError:
        raise SourceError(f"the value of {key} is missing: there is no {path}") from None
    if len(value) != size:
        raise SourceError(f"the value of {key} is cut off or was changed: {path} has {len(value)} bytes, not {size}")
    return value


def as_bytes(data: Value) -> bytes:
    """Return what SQLite holds as bytes; numbers as decimal text."""
    return data if isinstance(data, bytes) else repr(data).encode()
