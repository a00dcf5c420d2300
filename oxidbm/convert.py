"""Bring another database's items into a store: gdbm, ndbm, dbm.dumb, dbm.sqlite3, shelve, lmdb and diskcache.

    from oxidbm.convert import convert
    convert("gdbm", "old.gdbm", "new-store")

1. The source is only read. SQLite files are opened read-only or as immutable, lmdb without its lock file where nobody
   else has it open, diskcache through its SQLite file, since opening a Cache writes to it. A source that is written
   meanwhile is told, where its library does not show one state of it.
2. What a damaged source has lost is an error, never an empty value, and none ends the process: what C libraries read
   is read in a process of its own. Only files are opened, no pipe is waited for.
3. Keys and values become bytes: text as UTF-8, numbers (diskcache) as decimal text. What has no such form is an error,
   and so are two keys that would become one. A typed store gets what its codecs make of that text.
4. A shelf's values are pickles, which are stored as they are, unopened, in a store of value="pickle" or bytes. Only
   where the caller says that they can be trusted are they opened, and stored as another codec writes them.
5. Items are written one by one, so an interrupted conversion can be run again; items that the store already had stay.
"""

import dbm
import os
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Literal, TypeAlias

from oxidbm import CodecError, Store, codecs
from oxidbm._core.store.raw import put_entry
from oxidbm._objects import LOAD_FAILURES
from oxidbm._plain import Plain, Refused, not_taken
from oxidbm._sources.child import open_in_child
from oxidbm._sources.dumb import open_dumb
from oxidbm._sources.source import Source, SourceError, check_regular, open_regular
from oxidbm._sources.sqlite import SQLITE_MAGIC, open_diskcache, open_sqlite3
from oxidbm.dump import CodecOrName, Unmade, name_of, named_codecs

__all__ = ["Kind", "Source", "SourceError", "convert", "copy", "open_source"]

Kind: TypeAlias = Literal["gdbm", "ndbm", "dumb", "sqlite3", "shelve", "lmdb", "diskcache"]

SUFFIXES: Final = {"gdbm": [""], "ndbm": [".db", ".pag"], "dumb": [".dat"], "shelve": ["", ".db", ".pag", ".dat"]}
STEP: Final = 1000
MAIN_ONLY: Final = (
    "a class of the old program's own file is found by that program alone: copy the items there, in Python"
)


def convert(
    kind: Kind,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | Store[Any, Any],
    *,
    database: str | None = None,
    keep_pickles: bool = False,
    open_pickles: bool = False,
    key: CodecOrName | None = None,
    value: CodecOrName | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> int:
    """Store every item of a source in a store; return their number when they are durable.

    kind: what the source is; "sqlite3" is the file of dbm.sqlite3, "shelve" the name that was given to shelve.open,
        "diskcache" the directory of a Cache or FanoutCache.
    target: a path, where the store is made if there is none, or an open store. Where it has codecs, they are given the
        text of keys and values: b"12" is 12 to one of int.
    database: the name of an lmdb environment's database; default: its unnamed one, of which the named databases are
        left out, with a warning.
    keep_pickles: store what diskcache pickled as the pickle's bytes, unopened, instead of raising SourceError.
    open_pickles: of a shelf, unpickle its values where the store's codec is another one. Whoever can write the shelf
        can have this run anything.
    key, value: the codecs of a store that is made, as Store takes them, or names, as "tuple(str,int)"; another one
        must have these. Default: "bytes", and "str" and "pickle" for a shelf.
    progress: called now and then with the number of items so far and the source's, None where that is not known.

    A store that this call made is removed again where it fails before anything was stored.

    Raises FileNotFoundError where there is no source, before anything is made at the target; SourceError, before that
    too where keys of SQLite files would become one; CodecError where the target's codecs are not known here;
    ModuleNotFoundError where Python lacks the module that reads it; and what Store raises.
    """
    with open_source(kind, source, database=database, keep_pickles=keep_pickles) as opened:
        if isinstance(target, Store):
            count = copy(opened, target, progress, open_pickles=open_pickles)
        else:
            keys, values = name_of(key), name_of(value)
            with opened_target(target, opened, keys, values, open_pickles=open_pickles) as store:
                count = copy(opened, store, progress, open_pickles=open_pickles)
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


@contextmanager
def opened_target(
    path: str | os.PathLike[str],
    source: Source,
    key: str | None,
    value: str | None,
    *,
    open_pickles: bool = False,
    **options: Any,
) -> Iterator[Store[Any, Any]]:
    """Open the store at a path, or make it with codecs of these names; CodecError where one is there with others.

    One that was made is removed where the block fails before anything is stored.
    """
    for what, name in (("keys", key), ("values", value)):
        if name is not None and not Plain(name).writes and not (source.pickled and name == codecs.PICKLE.name):
            raise CodecError(f"the codec {name!r} of the {what} is none that another database's items can be given to")
    if source.pickled and value is not None:
        check_pickles(path, value, open_pickles)  # before a store is made
    usual = ("str", codecs.PICKLE.name) if source.pickled else ("bytes", "bytes")
    unmade = Unmade(path)
    opened: Store[Any, Any] = Store(path, **named_codecs(path, key, value, usual), **options)
    with opened as store, unmade.unless_filled(store):
        yield store


def check_pickles(path: object, name: str, open_pickles: bool) -> None:
    """Raise SourceError where a store's codec needs that pickles are opened, and that may not be done."""
    if not (open_pickles or name in (codecs.PICKLE.name, codecs.BYTES.name)):
        raise SourceError(
            f"the values are pickles, which only their program may open, and {path or 'the store'} keeps values of the "
            f"codec {name!r}; where you trust who wrote the source, open_pickles=True (--open-pickles) opens them"
        )


def opener_of(store: Store[Any, Any], name: str, open_pickles: bool) -> Callable[[bytes], bytes]:
    """Return what makes a pickle what a store's codec writes; SourceError where that may not be done."""
    if name in (codecs.PICKLE.name, codecs.BYTES.name):
        return bytes
    check_pickles(store.path, name, open_pickles)
    codec = writer_of(store, "values", name).codec
    assert codec is not None

    def opened(data: bytes) -> bytes:
        try:
            value = pickle.loads(data)  # the caller has said that they can be trusted
        except Exception as failure:  # whatever what it names raises
            found = isinstance(failure, AttributeError) and "__main__" in str(failure)
            more = f"; {MAIN_ONLY}" if found else ""
            raise Refused(f"cannot be unpickled: {type(failure).__name__}: {failure}{more}") from None
        try:
            return codec.encode(value)
        except (*LOAD_FAILURES, OverflowError) as failure:
            raise not_taken(name, failure) from None

    return opened


def shown(codec: Plain, key: bytes) -> str:
    """Return how errors write a source's key: as text, but where the store's keys are bytes, or it is none."""
    try:
        return repr(key[:80] if codec.is_bytes else key.decode()[:80])
    except UnicodeDecodeError:
        return repr(key[:80])


def copy(
    source: Source,
    store: Store[Any, Any],
    progress: Callable[[int, int | None], None] | None,
    *,
    open_pickles: bool = False,
) -> int:
    """Store a source's items and make them durable; return their number."""
    key_codec = writer_of(store, "keys", store.key_codec)
    if source.pickled:
        to_value = opener_of(store, store.value_codec, open_pickles)
    else:
        to_value = writer_of(store, "values", store.value_codec).from_text
    count = 0
    for key, value, expiry, tag in source.items():
        what = "key"
        try:
            key_bytes = key_codec.key_from_text(key)
            what = "value of the key"
            value_bytes = to_value(value)
        except Refused as failure:
            before = "1 item was" if count == 1 else f"{count:,} items were"
            raise SourceError(f"the {what} {shown(key_codec, key)} {failure}; {before} stored before it") from None
        try:
            put_entry(store, key_bytes, value_bytes, expiry, tag)
        except ValueError as failure:
            raise SourceError(f"the item {shown(key_codec, key)} does not fit into a store: {failure}") from None
        count += 1
        if progress is not None and count % STEP == 0:
            progress(count, source.count)
    store.sync()
    if progress is not None:
        progress(count, count)
    return count


def kind_of_shelf(name: str) -> str:
    """Return what shelve.open has made of a name; SourceError for what it has not."""
    if os.path.isdir(name):
        raise SourceError(f"{name} is a directory, and no shelf of the dbm modules")
    for suffix in SUFFIXES["shelve"]:
        check_regular(name + suffix)
    if os.path.exists(name):
        with open_regular(name) as file:
            if file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC:
                return "sqlite3"
    if os.path.exists(f"{name}.dat") and os.path.exists(f"{name}.dir"):
        return "dumb"
    found = dbm.whichdb(name)
    kind = {"dbm.gnu": "gdbm", "dbm.ndbm": "ndbm", "dbm.dumb": "dumb", "dbm.sqlite3": "sqlite3"}.get(found or "")
    if kind is None:
        raise SourceError(f"{name} is no shelf: none of the dbm modules has written it")
    return kind


@contextmanager
def open_source(
    kind: str, path: str | os.PathLike[str], *, database: str | None = None, keep_pickles: bool = False
) -> Iterator[Source]:
    """Open a source for reading; its errors become SourceError."""
    name = os.fspath(path)
    if not any(os.path.exists(name + suffix) for suffix in SUFFIXES.get(kind, [""])):
        raise FileNotFoundError(2, "there is nothing to convert", name)
    pickled = kind == "shelve"
    if pickled:
        kind = kind_of_shelf(name)
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
        raise ValueError(
            f"nothing is known of {kind!r}; sources are gdbm, ndbm, dumb, sqlite3, shelve, lmdb, diskcache"
        )
    with opened as source:
        source.pickled = pickled
        yield source
