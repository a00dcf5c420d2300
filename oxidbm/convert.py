"""Bring another database's items into a store: gdbm, ndbm, dbm.dumb, dbm.sqlite3, lmdb and diskcache.

    from oxidbm.convert import convert
    convert("gdbm", "old.gdbm", "new-store")

1. The source is only read. SQLite files are opened read-only or as immutable, lmdb without its lock file where nobody
   else has it open, diskcache through its SQLite file, since opening a Cache writes to it. A source that is written
   meanwhile is told, where its library does not show one state of it.
2. What a damaged source has lost is an error, never an empty value, and none ends the process: what C libraries read
   is read in a process of its own. Only files are opened, no pipe is waited for.
3. Keys and values become bytes: text as UTF-8, numbers (diskcache) as decimal text. What has no such form is an error,
   and so are two keys that would become one. A typed store gets what its codecs make of that text.
4. Items are written one by one, so an interrupted conversion can be run again; items that the store already had stay.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Literal, TypeAlias

from oxidbm import CodecError, Store, codecs
from oxidbm._core.store.raw import put_entry
from oxidbm._plain import Plain, Refused
from oxidbm._sources.child import open_in_child
from oxidbm._sources.dumb import open_dumb
from oxidbm._sources.source import Source, SourceError
from oxidbm._sources.sqlite import open_diskcache, open_sqlite3

__all__ = ["Kind", "Source", "SourceError", "convert", "copy", "open_source"]

Kind: TypeAlias = Literal["gdbm", "ndbm", "dumb", "sqlite3", "lmdb", "diskcache"]

SUFFIXES: Final = {"gdbm": [""], "ndbm": [".db", ".pag"], "dumb": [".dat"]}
STEP: Final = 1000


def convert(
    kind: Kind,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | Store[Any, Any],
    *,
    database: str | None = None,
    keep_pickles: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> int:
    """Store every item of a source in a store; return their number when they are durable.

    kind: what the source is; "sqlite3" is the file of dbm.sqlite3, "diskcache" the directory of a Cache or FanoutCache.
    target: a path, where the store is made if there is none, or an open store. Where it has codecs, they are given the
        text of keys and values: b"12" is 12 to one of int.
    database: the name of an lmdb environment's database; default: its unnamed one, of which the named databases are
        left out, with a warning.
    keep_pickles: store what diskcache pickled as the pickle's bytes, unopened, instead of raising SourceError.
    progress: called now and then with the number of items so far and the source's, None where that is not known.

    Raises FileNotFoundError where there is no source, before anything is made at the target; SourceError, before that
    too where keys of SQLite files would become one; CodecError where the target's codecs are not known here;
    ModuleNotFoundError where Python lacks the module that reads it; and what Store raises.
    """
    with open_source(kind, source, database=database, keep_pickles=keep_pickles) as opened:
        if isinstance(target, Store):
            count = copy(opened, target, progress)
        else:
            with Store(target, key=codecs.RAW, value=codecs.RAW) as store:
                count = copy(opened, store, progress)
    if opened.left_out:
        warnings.warn(said_of_left_out(source, opened.left_out), stacklevel=2)
    return count


def said_of_left_out(source: str | os.PathLike[str], names: list[str]) -> str:
    """Return the sentence about databases that were left out."""
    return (
        f"{os.fspath(source)}: left out the named databases {', '.join(map(repr, names))}; convert each by its name, "
        "database= (--database)"
    )


def writer_of(store: Store[Any, Any], what: str, name: str) -> Plain:
    """Return what a store's codec makes of text; CodecError where only a program knows."""
    codec = Plain(name)
    if not codec.writes:
        raise CodecError(
            f"{store.path or 'the store'} keeps {what} of the codec {name!r}, and only its program knows what that "
            "makes of another database's items; convert into a new store, and copy from that"
        )
    return codec


def copy(source: Source, store: Store[Any, Any], progress: Callable[[int, int | None], None] | None) -> int:
    """Store a source's items and make them durable; return their number."""
    key_codec = writer_of(store, "keys", store.key_codec)
    value_codec = writer_of(store, "values", store.value_codec)
    count = 0
    for key, value in source.pairs:
        what = "key"
        try:
            key_bytes = key_codec.key_from_text(key)
            what = "value of the key"
            value_bytes = value_codec.from_text(value)
        except Refused as failure:
            before = "1 item was" if count == 1 else f"{count:,} items were"
            raise SourceError(f"the {what} {key[:80]!r} {failure}; {before} stored before it") from None
        try:
            put_entry(store, key_bytes, value_bytes, 0)
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
    opened: AbstractContextManager[Source]
    if kind == "dumb":
        opened = open_dumb(name)
    elif kind == "sqlite3":
        opened = open_sqlite3(name)
    elif kind == "diskcache":
        opened = open_diskcache(name, keep_pickles)
    elif kind in ("gdbm", "ndbm", "lmdb"):
        opened = open_in_child(kind, name, database)
    else:
        raise ValueError(f"nothing is known of {kind!r}; sources are gdbm, ndbm, dumb, sqlite3, lmdb and diskcache")
    with opened as source:
        yield source
