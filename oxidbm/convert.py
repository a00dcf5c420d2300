"""Bring another database's items into a store: gdbm, ndbm, dbm.dumb, dbm.sqlite3, lmdb and diskcache.

    from oxidbm.convert import convert
    convert("gdbm", "old.gdbm", "new-store")

1. The source is only read. SQLite files are opened read-only or as immutable, lmdb without its lock file where nobody
   else has it open, diskcache through its SQLite file, since opening a Cache writes to it.
2. Keys and values become bytes: text as UTF-8, numbers (diskcache) as decimal text. What has no such form is an error.
3. Items are written one by one, so an interrupted conversion can be run again; items that the store already had stay.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from oxidbm import Store, error

Kind: TypeAlias = Literal["gdbm", "ndbm", "dumb", "sqlite3", "lmdb", "diskcache"]
Pairs: TypeAlias = Iterator[tuple[bytes, bytes]]

MODULES: Final = {"gdbm": "dbm.gnu", "ndbm": "dbm.ndbm", "dumb": "dbm.dumb"}
SUFFIXES: Final = {"gdbm": [""], "ndbm": [".db", ".pag"], "dumb": [".dat"]}
SQLITE_MAGIC: Final = b"SQLite format 3\0"
SQLITE_WAL_VERSION: Final = 2
RAW, BINARY, TEXT, PICKLE = 1, 2, 3, 4  # diskcache's modes of a value
LMDB_SUBDATABASE_BYTES: Final = 48
STEP: Final = 1000


class SourceError(error):
    """The source is no database of that kind, is damaged, or holds what a store cannot; the message says which."""


class Source:
    """An open source: how many items it has, None where only reading tells, and the items."""

    def __init__(self, count: int | None, pairs: Pairs) -> None:
        self.count = count
        self.pairs = pairs


def convert(
    kind: Kind,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | Store,
    *,
    database: str | None = None,
    keep_pickles: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> int:
    """Store every item of a source in a store; return their number when they are durable.

    kind: what the source is; "sqlite3" is the file of dbm.sqlite3, "diskcache" the directory of a Cache or FanoutCache.
    target: a path, where the store is made if there is none, or an open store.
    database: the name of an lmdb environment's database; default: its unnamed one.
    keep_pickles: store what diskcache pickled as the pickle's bytes, unopened, instead of raising SourceError.
    progress: called now and then with the number of items so far and the source's, None where that is not known.

    Raises FileNotFoundError where there is no source, before anything is made at the target; SourceError;
    ModuleNotFoundError where Python lacks the module that reads it; and what Store raises.
    """
    with open_source(kind, source, database=database, keep_pickles=keep_pickles) as opened:
        if isinstance(target, Store):
            return copy(opened, target, progress)
        with Store(target) as store:
            return copy(opened, store, progress)


def copy(source: Source, store: Store, progress: Callable[[int, int | None], None] | None) -> int:
    """Store a source's items and make them durable; return their number."""
    count = 0
    for key, value in source.pairs:
        try:
            store[key] = value
        except ValueError as failure:
            raise SourceError(f"the item {key[:80]!r} does not fit into a store: {failure}") from None
        count += 1
        if progress is not None and count % STEP == 0:
            progress(count, source.count)
    store.sync()
    if progress is not None:
        progress(count, count)
    return count


@contextmanager
def open_source(
    kind: str, path: str | os.PathLike[str], *, database: str | None = None, keep_pickles: bool = False
) -> Iterator[Source]:
    """Open a source for reading; its errors become SourceError."""
    name = os.fspath(path)
    if not any(os.path.exists(name + suffix) for suffix in SUFFIXES.get(kind, [""])):
        raise FileNotFoundError(2, "there is nothing to convert", name)
    if database is not None and kind != "lmdb":
        raise ValueError("only lmdb has named databases")
    if kind in MODULES:
        opened = open_dbm(kind, name)
    elif kind == "sqlite3":
        opened = open_sqlite3(name)
    elif kind == "lmdb":
        opened = open_lmdb(name, database)
    elif kind == "diskcache":
        opened = open_diskcache(name, keep_pickles)
    else:
        raise ValueError(f"nothing is known of {kind!r}; sources are gdbm, ndbm, dumb, sqlite3, lmdb and diskcache")
    with opened as source:
        yield source


@contextmanager
def open_dbm(kind: str, path: str) -> Iterator[Source]:
    """Open a database of one of the standard library's dbm modules."""
    try:
        module = import_module(MODULES[kind])
    except ImportError:
        raise ModuleNotFoundError(
            f"this Python was built without {MODULES[kind]}; convert with a Python that has it", name=MODULES[kind]
        ) from None
    if kind == "dumb" and not os.path.exists(path + ".dir"):
        raise SourceError(f"{path}.dir is missing, without which dbm.dumb's {path}.dat cannot be read")
    try:
        opened = module.open(path, "r")
    except (module.error, SyntaxError, ValueError) as failure:
        raise SourceError(f"{path} cannot be read by {MODULES[kind]}: {failure}") from None
    with closing(opened):
        yield Source(None if kind == "ndbm" else len(opened), dbm_pairs(opened, module.error, path))


def dbm_pairs(opened: Any, failure_type: Any, path: str) -> Pairs:
    """Yield the items of a dbm object, without a list of all keys where it has firstkey and nextkey."""
    try:
        if hasattr(opened, "nextkey"):
            key = opened.firstkey()
            while key is not None:
                yield key, opened[key]
                key = opened.nextkey(key)
        else:
            for key in opened.keys():  # noqa: SIM118 (some of these modules cannot be iterated)
                yield key, opened[key]
    except failure_type as failure:
        raise SourceError(f"{path} is damaged: {failure}") from None


@contextmanager
def open_database(path: str) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file so that nothing is written beside it either.

    A reader of a database in WAL mode leaves files behind, unless it is told that nobody writes; where there is no WAL
    file, nobody does.
    """
    with open(path, "rb") as file:
        header = file.read(20)
    if header[:16] != SQLITE_MAGIC:
        raise SourceError(f"{path} is no SQLite database")
    unused = len(header) > 18 and header[18] == SQLITE_WAL_VERSION and not os.path.exists(path + "-wal")
    address = f"file:{quote(os.path.abspath(path))}?mode=ro{'&immutable=1' if unused else ''}"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.text_factory = bytes
            yield connection
    except sqlite3.Error as failure:
        raise SourceError(f"{path} cannot be read: {failure}") from None


@contextmanager
def open_sqlite3(path: str) -> Iterator[Source]:
    """Open a file that dbm.sqlite3 wrote."""
    with open_database(path) as connection:
        (count,) = connection.execute("SELECT count(*) FROM Dict").fetchone()
        rows = connection.execute("SELECT CAST(key AS BLOB), CAST(value AS BLOB) FROM Dict")
        yield Source(count, iter(rows))


def is_in_use(lock_file: str) -> bool:
    """Tell whether a process has the lmdb environment of a lock file open: each holds a lock on its first byte."""
    try:
        import fcntl

        with open(lock_file, "r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
    except FileNotFoundError:
        return False
    except (ImportError, OSError):
        return True
    return False


@contextmanager
def open_lmdb(path: str, database: str | None) -> Iterator[Source]:
    """Open an lmdb environment, as a directory or a file."""
    try:
        lmdb = import_module("lmdb")
    except ImportError:
        raise ModuleNotFoundError("reading lmdb needs its package: pip install lmdb", name="lmdb") from None
    is_directory = os.path.isdir(path)
    data = os.path.join(path, "data.mdb") if is_directory else path
    if not os.path.isfile(data):
        raise SourceError(f"{path} is no lmdb environment: it has no data.mdb")
    lock = is_in_use(os.path.join(path, "lock.mdb") if is_directory else path + "-lock")
    try:
        with lmdb.open(path, subdir=is_directory, readonly=True, lock=lock, create=False, max_dbs=1) as environment:
            handle = environment.open_db(None if database is None else database.encode(), create=False)
            with environment.begin(db=handle) as transaction:
                if handle.flags(transaction)["dupsort"]:
                    raise SourceError(f"{path} has several values under one key (dupsort); a store has one")
                count = transaction.stat(handle)["entries"]
                yield Source(count, lmdb_pairs(lmdb, environment, transaction, database, path))
    except lmdb.Error as failure:
        raise SourceError(f"{path} cannot be read by lmdb: {failure}") from None


def lmdb_pairs(lmdb: Any, environment: Any, transaction: Any, database: str | None, path: str) -> Pairs:
    """Yield the items of a transaction; SourceError where one is not an item but a database of its own."""
    for key, value in transaction.cursor():
        if database is None and len(value) == LMDB_SUBDATABASE_BYTES:
            try:
                environment.open_db(key, txn=transaction, create=False)
            except lmdb.Error:
                pass  # an ordinary value of that length
            else:
                name = key.decode(errors="backslashreplace")
                raise SourceError(f"{path} holds the named database {name!r}; convert it by its name (--database)")
        yield key, value


@contextmanager
def open_diskcache(path: str, keep_pickles: bool) -> Iterator[Source]:
    """Open the directory of a diskcache Cache, or of a FanoutCache, whose shards are Caches in 000, 001 and so on."""
    directories = [path] if os.path.isfile(os.path.join(path, "cache.db")) else fanout_shards(path)
    if not directories:
        raise SourceError(f"{path} is no diskcache directory: it has no cache.db")
    now = time.time()
    count = 0
    for directory in directories:
        with open_database(os.path.join(directory, "cache.db")) as connection:
            query = "SELECT count(*) FROM Cache WHERE expire_time IS NULL OR expire_time > ?"
            count += connection.execute(query, (now,)).fetchone()[0]
    yield Source(count, diskcache_pairs(directories, now, keep_pickles))


def fanout_shards(path: str) -> list[str]:
    """Return the directories of a FanoutCache's shards."""
    names = sorted(name for name in os.listdir(path) if name.isdecimal()) if os.path.isdir(path) else []
    directories = [os.path.join(path, name) for name in names]
    return [directory for directory in directories if os.path.isfile(os.path.join(directory, "cache.db"))]


def diskcache_pairs(directories: list[str], now: float, keep_pickles: bool) -> Pairs:
    """Yield the items of Cache directories that have not expired."""
    query = """SELECT key, raw, mode, filename, value FROM Cache WHERE expire_time IS NULL OR expire_time > ?
        ORDER BY rowid"""
    for directory in directories:
        with open_database(os.path.join(directory, "cache.db")) as connection:
            for key, raw, mode, filename, value in connection.execute(query, (now,)):
                name = as_bytes(key)
                if filename is not None:
                    value = read_value(directory, os.fsdecode(filename), name)
                if not keep_pickles and (not raw or mode == PICKLE):
                    what = f"the value of {name!r}" if raw else f"the key {name!r}"
                    raise SourceError(
                        f"{what} is a pickle, which only its program may open; keep_pickles (--keep-pickles) stores "
                        "pickles as they are"
                    )
                if mode not in (RAW, BINARY, TEXT, PICKLE):
                    raise SourceError(f"the value of {name!r} has the unknown mode {mode}")
                yield name, as_bytes(value)


def read_value(directory: str, filename: str, key: bytes) -> bytes:
    """Return a value that diskcache keeps in a file of its own."""
    path = Path(directory, filename)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceError(f"the value of {key!r} is missing: there is no {path}") from None


def as_bytes(data: bytes | float) -> bytes:
    """Return what SQLite holds as bytes; numbers as decimal text."""
    return data if isinstance(data, bytes) else repr(data).encode()
