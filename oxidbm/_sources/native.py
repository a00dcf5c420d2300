"""What C libraries read: gdbm, ndbm and lmdb. A damaged file may end the process, so this runs in one of its own.

lmdb is opened without its lock file where nobody else has it open. These libraries keep no checksums: what they say of
a damaged file is held against what a sound one would say, and a flipped bit inside a value is not noticed.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any, Final

from oxidbm._sources.source import Pairs, Source, SourceError, Unchanged, check_regular

MODULES: Final = {"gdbm": "dbm.gnu", "ndbm": "dbm.ndbm"}
LMDB_SUBDATABASE_BYTES: Final = 48
LMDB_DATABASES_MAX: Final = 1024
LMDB_PAGE_BYTES_MIN: Final = 512


def reader_of(kind: str) -> Any:
    """Return the module that reads a kind of source; ModuleNotFoundError with what to do where it is missing."""
    if kind == "lmdb":
        try:
            return import_module("lmdb")
        except ImportError:
            raise ModuleNotFoundError("reading lmdb needs its package: pip install lmdb", name="lmdb") from None
    try:
        return import_module(MODULES[kind])
    except ImportError:
        raise ModuleNotFoundError(
            f"this Python was built without {MODULES[kind]}; convert with a Python that has it", name=MODULES[kind]
        ) from None


@contextmanager
def open_native(kind: str, path: str, database: str | None) -> Iterator[Source]:
    """Open a source of one of the kinds."""
    with open_lmdb(path, database) if kind == "lmdb" else open_dbm(kind, path) as source:
        yield source


@contextmanager
def open_dbm(kind: str, path: str) -> Iterator[Source]:
    """Open a database of dbm.gnu or dbm.ndbm."""
    module = reader_of(kind)
    files = [name for name in (path, f"{path}.db", f"{path}.pag", f"{path}.dir") if os.path.exists(name)]
    files = [name for name in files if kind == "ndbm" or name == path]
    for name in files:
        check_regular(name)
    unchanged = Unchanged(files)
    size = sum(os.path.getsize(name) for name in files)
    try:
        opened = module.open(path, "r")
    except (module.error, ValueError) as failure:
        raise SourceError(f"{path} cannot be read by {MODULES[kind]}: {failure}") from None
    with closing(opened):
        yield Source(None, dbm_pairs(opened, (module.error, KeyError, ValueError, SystemError), path, size, unchanged))


def dbm_pairs(opened: Any, failures: tuple[Any, ...], path: str, size: int, unchanged: Unchanged) -> Pairs:
    """Yield the items of a dbm object, without a list of all keys where it has firstkey and nextkey.

    A damaged chain of keys may lead in a circle: a file has fewer items than bytes.
    """
    count = 0
    try:
        for key in dbm_keys(opened):
            if count > size:
                raise SourceError(f"{path} is damaged: its keys lead in a circle; restore it from a copy")
            yield key, opened[key]
            count += 1
        if hasattr(opened, "nextkey") and len(opened) != count:
            raise SourceError(f"{path} is damaged: it says that it has {len(opened)} items, and {count} can be read")
    except failures as failure:
        if isinstance(failure, SourceError):
            raise
        raise SourceError(f"{path} is damaged: {failure}; restore it from a copy") from None
    unchanged.check()


def dbm_keys(opened: Any) -> Iterator[bytes]:
    """Yield the keys of a dbm object."""
    if not hasattr(opened, "nextkey"):
        yield from opened.keys()
        return
    key = opened.firstkey()
    while key is not None:
        yield key
        key = opened.nextkey(key)


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
    lmdb = reader_of("lmdb")
    is_directory = os.path.isdir(path)
    data = os.path.join(path, "data.mdb") if is_directory else path
    lock_file = os.path.join(path, "lock.mdb") if is_directory else f"{path}-lock"
    if not os.path.exists(data):
        raise SourceError(f"{path} is no lmdb environment: it has no data.mdb")
    check_regular(data)
    check_regular(lock_file)
    size = os.path.getsize(data)
    if size % LMDB_PAGE_BYTES_MIN or not size:
        raise SourceError(f"{data} is damaged or no lmdb file: its {size} bytes are no whole pages")
    lock = is_in_use(lock_file)
    unchanged = Unchanged([] if lock else [data])  # with its lock, a transaction sees one state
    try:
        with lmdb.open(
            path, subdir=is_directory, readonly=True, lock=lock, create=False, max_dbs=LMDB_DATABASES_MAX
        ) as environment:
            handle = environment.open_db(None if database is None else database.encode(), create=False)
            with environment.begin(db=handle) as transaction:
                flags = handle.flags(transaction)
                if flags["dupsort"]:
                    raise SourceError(f"{path} has several values under one key (dupsort); a store has one")
                page_bytes = transaction.stat(handle)["psize"]
                if size % page_bytes:
                    raise SourceError(f"{data} is cut off: its {size} bytes are no whole pages of {page_bytes}")
                count = transaction.stat(handle)["entries"]
                is_ordered = not flags["reverse_key"] and not flags.get("integerkey", False)
                left_out: list[str] = []
                pairs = lmdb_pairs(transaction.cursor(), count, path, is_ordered)
                if database is None:
                    pairs = without_databases(lmdb, environment, transaction, pairs, path, left_out)
                yield Source(count, pairs, left_out)
        unchanged.check()
    except lmdb.Error as failure:
        raise SourceError(f"{path} cannot be read by lmdb: {failure}") from None


def lmdb_pairs(cursor: Any, count: int, path: str, is_ordered: bool) -> Pairs:
    """Yield the items of a cursor, which come in order and are as many as the environment says."""
    found = 0
    before = None
    for key, value in cursor:
        found += 1
        if found > count or (is_ordered and before is not None and key <= before):
            raise SourceError(f"{path} is damaged: its keys are not in order or more than the {count} that it says")
        before = key
        yield key, value
    if found != count:
        raise SourceError(f"{path} is damaged: it says that it has {count} items, and {found} can be read")


def without_databases(
    lmdb: Any, environment: Any, transaction: Any, pairs: Pairs, path: str, left_out: list[str]
) -> Pairs:
    """Yield the items that are no databases of their own, whose names go to `left_out`.

    SourceError where there are only such, since one of them is meant then.
    """
    found = 0
    for key, value in pairs:
        if len(value) == LMDB_SUBDATABASE_BYTES:
            try:
                environment.open_db(key, txn=transaction, create=False)
            except lmdb.IncompatibleError:
                pass  # an ordinary value of that length
            else:
                left_out.append(key.decode(errors="backslashreplace"))
                continue
        found += 1
        yield key, value
    if left_out and not found:
        raise SourceError(f"{path} holds the named database {left_out[0]!r}; convert it by its name (--database)")
