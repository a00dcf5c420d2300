"""Converting: all items, from a source that is not touched; again after an interruption; faults as sentences."""

import dbm.dumb
import os
import shutil
import sqlite3
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import convert
from oxidbm._sources import native
from tests.cli.helpers import contents, files

ITEMS = {b"key %d" % number: b"value %d" % number * number for number in range(300)} | {b"\xff\x00": b"\xfe", b"": b""}


def make_dbm(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        module = pytest.importorskip(name, reason=f"this Python was built without {name}", exc_type=ImportError)
        with module.open(str(path), "n") as database:
            for key, value in ITEMS.items():
                database[key] = value

    return make


def make_sqlite3(path: Path) -> None:
    """Write what dbm.sqlite3 of Python 3.13 writes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        connection.executemany("REPLACE INTO Dict (key, value) VALUES (?, ?)", ITEMS.items())
        connection.commit()


def make_lmdb(path: Path) -> None:
    lmdb = pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in ITEMS.items():
            if key:
                transaction.put(key, value)


def make_diskcache(path: Path) -> None:
    diskcache = pytest.importorskip("diskcache", reason="the package diskcache is not installed")
    with diskcache.Cache(str(path), disk_min_file_size=1000) as cache:
        for key, value in ITEMS.items():
            cache[key] = value
        cache.set(b"gone", b"expired", expire=-1)


def make_fanout(path: Path) -> None:
    diskcache = pytest.importorskip("diskcache", reason="the package diskcache is not installed")
    with closing(diskcache.FanoutCache(str(path), shards=3)) as cache:
        for key, value in ITEMS.items():
            cache.set(key, value)


MAKERS: list[tuple[str, Callable[[Path], None]]] = [
    ("gdbm", make_dbm("dbm.gnu")),
    ("ndbm", make_dbm("dbm.ndbm")),
    ("dumb", make_dbm("dbm.dumb")),
    ("sqlite3", make_sqlite3),
    ("lmdb", make_lmdb),
    ("diskcache", make_diskcache),
    ("diskcache", make_fanout),
]
SOURCES = pytest.mark.parametrize(("kind", "make"), MAKERS, ids=[f"{kind}-{make.__name__}" for kind, make in MAKERS])


@SOURCES
def test_all_items_come_over_and_the_source_is_not_touched(kind: Any, make: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make(source)
    before = list(files(source))
    expected = {key: value for key, value in ITEMS.items() if key or kind != "lmdb"}
    assert convert.convert(kind, source, target) == len(expected)
    assert contents(target) == expected
    assert list(files(source)) == before


@SOURCES
def test_an_interrupted_conversion_is_run_again(
    kind: Any, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    make(source)

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(convert, "STEP", 100)
    with pytest.raises(KeyboardInterrupt):
        convert.convert(kind, source, target, progress=interrupt)
    assert len(contents(target)) == 100
    seen: list[tuple[int, int | None]] = []
    count = convert.convert(kind, source, target, progress=lambda done, total: seen.append((done, total)))
    assert len(contents(target)) == count
    assert [done for done, _ in seen] == [100, 200, 300, count]


@SOURCES
def test_a_source_that_is_not_there_makes_no_target(kind: Any, make: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        convert.convert(kind, tmp_path / "source", tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["dumb", "sqlite3", "lmdb", "diskcache"])
def test_junk_is_no_source(kind: Any, tmp_path: Path) -> None:
    if kind == "lmdb":
        pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    for name in ("source", "source.dat", "source.dir"):
        (tmp_path / name).write_bytes(b"[neither one nor the other]\n" * 400)
    with pytest.raises(convert.SourceError, match="source"):
        convert.convert(kind, tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_an_open_store_is_a_target_and_keeps_what_it_has(tmp_path: Path) -> None:
    make_sqlite3(tmp_path / "source")
    with oxidbm.Store() as store:
        store.update({b"other": b"1", b"key 1": b"old"})
        convert.convert("sqlite3", tmp_path / "source", store)
        assert dict(store.items()) == ITEMS | {b"other": b"1"}


def test_a_wal_that_was_never_brought_in_is_read_and_left(tmp_path: Path) -> None:
    make_sqlite3(tmp_path / "live")
    with closing(sqlite3.connect(tmp_path / "live")) as connection:
        connection.execute("REPLACE INTO Dict VALUES (x'01', x'02')")
        connection.commit()
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(tmp_path / f"live{suffix}", tmp_path / f"source{suffix}")
        convert.convert("sqlite3", tmp_path / "live", tmp_path / "first")  # beside its writer
    before = {path: path.read_bytes() for path in (tmp_path / "source", tmp_path / "source-wal")}
    convert.convert("sqlite3", tmp_path / "source", tmp_path / "second")
    assert contents(tmp_path / "first") == contents(tmp_path / "second") == ITEMS | {b"\x01": b"\x02"}
    assert all(path.read_bytes() == data for path, data in before.items())


def test_another_sqlite_database_is_no_source(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "source")) as connection:
        connection.execute("CREATE TABLE other (a)")
    with pytest.raises(convert.SourceError, match="no such table"):
        convert.convert("sqlite3", tmp_path / "source", tmp_path / "target")


def test_an_item_that_a_store_cannot_hold_is_named(tmp_path: Path) -> None:
    with dbm.dumb.open(str(tmp_path / "source"), "n") as database:
        database[b"a"] = b"1"
        database[b"k" * 65_536] = b"2"
    with pytest.raises(convert.SourceError, match=r"kkkk.* does not fit"):
        convert.convert("dumb", tmp_path / "source", tmp_path / "target")
    assert contents(tmp_path / "target") == {b"a": b"1"}


def test_lmdb_named_databases_and_live_environments(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    source = tmp_path / "source"
    with lmdb.open(str(source), map_size=1 << 24, max_dbs=2) as environment:
        environment.open_db(b"many", dupsort=True)
        handle = environment.open_db(b"users")
        with environment.begin(write=True) as transaction:
            transaction.put(b"ann", b"1" * 48, db=handle)
    convert.convert("lmdb", source, tmp_path / "users", database="users")
    assert contents(tmp_path / "users") == {b"ann": b"1" * 48}
    with pytest.raises(convert.SourceError, match=r"named database 'many'.*--database"):
        convert.convert("lmdb", source, tmp_path / "unnamed")
    with pytest.raises(convert.SourceError, match="dupsort"):
        convert.convert("lmdb", source, tmp_path / "several", database="many")
    with pytest.raises(convert.SourceError, match="cannot be read"):
        convert.convert("lmdb", source, tmp_path / "none", database="nobody")
    with pytest.raises(ValueError, match="only lmdb"):
        convert.convert("sqlite3", source, tmp_path / "none", database="nobody")


def test_an_lmdb_file_without_a_directory(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    with lmdb.open(str(tmp_path / "source"), subdir=False) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"a", b"x" * 48)
    before = list(files(tmp_path / "source"))
    convert.convert("lmdb", tmp_path / "source", tmp_path / "target")
    assert contents(tmp_path / "target") == {b"a": b"x" * 48}
    assert list(files(tmp_path / "source")) == before


def test_diskcache_texts_numbers_and_pickles(tmp_path: Path) -> None:
    diskcache = pytest.importorskip("diskcache", reason="the package diskcache is not installed")
    source = tmp_path / "source"
    with diskcache.Cache(str(source), disk_min_file_size=100) as cache:
        cache["text"] = "\u00e9"
        cache[7] = 1.5
        cache["long"] = "\u00e9" * 1000
    convert.convert("diskcache", source, tmp_path / "plain")
    expected = {b"text": "\u00e9".encode(), b"7": b"1.5", b"long": "\u00e9".encode() * 1000}
    assert contents(tmp_path / "plain") == expected
    with diskcache.Cache(str(source)) as cache:
        cache["list"] = [1, 2]
    with pytest.raises(convert.SourceError, match="the value of 'list' is a pickle"):
        convert.convert("diskcache", source, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    convert.convert("diskcache", source, tmp_path / "kept", keep_pickles=True)
    assert contents(tmp_path / "kept")[b"list"].startswith(b"\x80")
    next(source.rglob("*.val")).unlink()
    with pytest.raises(convert.SourceError, match="the value of 'long' is missing"):
        convert.convert("diskcache", source, tmp_path / "missing", keep_pickles=True)


def test_diskcache_expiry_and_tags(tmp_path: Path) -> None:
    diskcache = pytest.importorskip("diskcache", reason="the package diskcache is not installed")
    source = tmp_path / "source"
    with diskcache.Cache(str(source)) as cache:
        for number, tag in enumerate(["\u00e9", b"bytes", 7, 7.0, 1.5, None]):
            cache.set(number, "value", expire=1000 if number % 2 else None, tag=tag)
    convert.convert("diskcache", source, tmp_path / "target")
    with oxidbm.Store(tmp_path / "target") as store:
        left = [store.ttl(b"%d" % number) for number in range(6)]
        assert [seconds is not None and 900 < seconds <= 1000 for seconds in left] == [False, True] * 3
        assert (store.evict("\u00e9"), store.evict(b"bytes"), store.evict(7)) == (1, 1, 2)
        assert sorted(store) == [b"4", b"5"]


class Chain:
    """Stands in for a gdbm object, which has firstkey and nextkey, where this Python has no dbm.gnu."""

    def __init__(self, items: dict[bytes, bytes]) -> None:
        self.items = items
        self.order: Iterator[bytes] = iter(())

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: bytes) -> bytes:
        return self.items[key]

    def firstkey(self) -> bytes | None:
        self.order = iter(self.items)
        return next(self.order, None)

    def nextkey(self, key: bytes) -> bytes | None:
        return next(self.order, None)

    def close(self) -> None:
        self.items = {}


def test_gdbm_is_walked_key_by_key_and_opened_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_chain(path: str, flag: str) -> Chain:
        opened.append((path, flag))
        return Chain(dict(ITEMS))

    monkeypatch.setitem(sys.modules, "dbm.gnu", types.SimpleNamespace(open=open_chain, error=OSError))
    (tmp_path / "source").write_bytes(bytes(1000))
    with native.open_dbm("gdbm", os.fspath(tmp_path / "source")) as source:
        assert dict(source.pairs) == ITEMS
    assert opened == [(os.fspath(tmp_path / "source"), "r")]


def test_a_module_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(b"")
    for kind, name in (("gdbm", "dbm.gnu"), ("lmdb", "lmdb")):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ModuleNotFoundError, match=name):
            convert.convert(kind, tmp_path / "source", tmp_path / "target")  # type: ignore[arg-type]
        with pytest.raises(ImportError):
            import_module(name)
    assert not (tmp_path / "target").exists()
