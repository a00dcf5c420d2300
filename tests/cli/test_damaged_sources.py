"""Sources that are damaged, hostile, changed meanwhile or ambiguous: a sentence each, no item that was not there."""

import dbm.dumb
import os
import random
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import convert
from oxidbm._sources import child, native
from oxidbm._sources.source import Unchanged
from tests.cli.helpers import contents
from tests.cli.test_convert import ITEMS, make_diskcache, make_lmdb, make_sqlite3
from tests.support import scaled

needs_pipes = pytest.mark.skipif(sys.platform == "win32", reason="pipes with a name")


def make_dumb(path: Path) -> None:
    with dbm.dumb.open(str(path), "n") as database:
        for key, value in ITEMS.items():
            database[key] = value


MAKERS = {"dumb": make_dumb, "sqlite3": make_sqlite3, "lmdb": make_lmdb, "diskcache": make_diskcache}


def data_files(path: Path) -> list[Path]:
    """Return the files of a source that hold its items."""
    named = [found for found in path.parent.rglob("*") if found.is_file()]
    return sorted(
        found for found in named if "lock" not in found.name and not found.name.endswith(("-shm", "-wal", ".bak"))
    )


def make_table(path: Path, *rows: str) -> None:
    """Make a file of dbm.sqlite3's shape whose rows are given in SQL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE Dict (key BLOB, value BLOB)")
        for row in rows:
            connection.execute(f"INSERT INTO Dict VALUES ({row})")
        connection.commit()


@pytest.mark.parametrize("kind", MAKERS)
def test_a_cut_source_is_told_or_whole(kind: Any, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    MAKERS[kind](good / "source")
    expected = {key: value for key, value in ITEMS.items() if key or kind != "lmdb"}
    chance = random.Random(7)
    told = 0
    for number in range(scaled(12, least=6)):
        place = tmp_path / str(number)
        shutil.copytree(good, place)
        chosen = chance.choice([found for found in data_files(place / "source") if found.suffix != ".dir"])
        chosen.write_bytes(chosen.read_bytes()[: chance.randrange(chosen.stat().st_size)])
        try:
            convert.convert(kind, place / "source", tmp_path / f"{number}.store")
        except convert.SourceError:
            told += 1
        else:
            assert contents(tmp_path / f"{number}.store") == expected
    assert told > 0


@pytest.mark.parametrize("kind", MAKERS)
def test_bytes_by_chance_end_in_a_sentence(kind: Any, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    MAKERS[kind](good / "source")
    chance = random.Random(11)
    for number in range(scaled(12, least=6)):
        place = tmp_path / str(number)
        shutil.copytree(good, place)
        chosen = chance.choice(data_files(place / "source"))
        data = bytearray(chosen.read_bytes())
        for _ in range(60):
            data[chance.randrange(min(len(data), chance.choice([300, len(data)])))] = chance.randrange(256)
        chosen.write_bytes(data)
        target = tmp_path / f"{number}.store"
        try:
            count = convert.convert(kind, place / "source", target)
        except convert.SourceError:
            continue
        assert len(contents(target)) == count


@needs_pipes
@pytest.mark.parametrize("kind", MAKERS)
def test_a_pipe_or_a_directory_in_a_files_place_is_not_waited_for(kind: Any, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    MAKERS[kind](good / "source")
    for name in [found.relative_to(good) for found in data_files(good / "source")][:3]:
        for put in (os.mkfifo, os.mkdir):
            place = tmp_path / f"{put.__name__}-{name.name}"
            shutil.copytree(good, place)
            (place / name).unlink()
            put(place / name)
            with pytest.raises(convert.SourceError, match=r"a pipe, not a file|a directory, not a file"):
                convert.convert(kind, place / "source", tmp_path / "target")


@needs_pipes
def test_pipes_in_the_place_of_files_beside_a_source(tmp_path: Path) -> None:
    make_sqlite3(tmp_path / "source")
    os.mkfifo(tmp_path / "source-journal")
    with pytest.raises(convert.SourceError, match="source-journal is a pipe"):
        convert.convert("sqlite3", tmp_path / "source", tmp_path / "target")
    make_lmdb(tmp_path / "environment")
    (tmp_path / "environment" / "lock.mdb").unlink()
    os.mkfifo(tmp_path / "environment" / "lock.mdb")
    with pytest.raises(convert.SourceError, match=r"lock\.mdb is a pipe"):
        convert.convert("lmdb", tmp_path / "environment", tmp_path / "target")


@pytest.mark.parametrize(
    "line",
    [
        "5\n",
        "'k', 5\n",
        "'k', ('a', 'b')\n",
        "5, (0, 1)\n",
        "'k', (-1, 1)\n",
        "'k', (0, True)\n",
        "'k', (0, 1",
        "(" * 9999,
    ],
)
def test_a_line_that_dumb_does_not_write_is_named(line: str, tmp_path: Path) -> None:
    with dbm.dumb.open(str(tmp_path / "source"), "n") as database:
        database["a"] = "b"
    (tmp_path / "source.dir").write_text("'a', (0, 1)\n" + line)
    with pytest.raises(convert.SourceError, match=r"source\.dir line 2 is not what dbm\.dumb writes"):
        convert.convert("dumb", tmp_path / "source", tmp_path / "target")


def test_a_dumb_source_that_lost_its_values_or_its_keys(tmp_path: Path) -> None:
    make_dumb(tmp_path / "source")
    directory = (tmp_path / "source.dir").read_bytes()
    (tmp_path / "source.dir").write_bytes(b"")
    with pytest.raises(convert.SourceError, match="says no key"):
        convert.convert("dumb", tmp_path / "source", tmp_path / "target")
    (tmp_path / "source.dir").write_bytes(directory)
    (tmp_path / "source.dat").write_bytes(b"")
    with pytest.raises(convert.SourceError, match="is cut off: it has 0 bytes"):
        convert.convert("dumb", tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_null_has_no_place_in_a_store(tmp_path: Path) -> None:
    make_table(tmp_path / "value", "'a', NULL")
    with pytest.raises(convert.SourceError, match="the value of the key 'a' is NULL"):
        convert.convert("sqlite3", tmp_path / "value", tmp_path / "target")
    make_table(tmp_path / "key", "NULL, 'a'")
    with pytest.raises(convert.SourceError, match="a key is NULL"):
        convert.convert("sqlite3", tmp_path / "key", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_view_is_not_run(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "source")) as connection:
        connection.execute(
            "CREATE VIEW Dict AS WITH RECURSIVE n(key, value) AS (SELECT 1, 1 UNION ALL SELECT key + 1, 1 FROM n) "
            "SELECT * FROM n"
        )
    with pytest.raises(convert.SourceError, match="Dict is no table"):
        convert.convert("sqlite3", tmp_path / "source", tmp_path / "target")


def test_keys_that_would_become_one_are_both_named(tmp_path: Path) -> None:
    make_table(tmp_path / "source", "'a', 'text'", "x'61', 'blob'")
    with pytest.raises(convert.SourceError, match="the keys 'a' and b'a' are two in the source"):
        convert.convert("sqlite3", tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(("first", "second"), [(1, "1"), ("1", b"1"), (1, b"1"), (1.5, "1.5")])
def test_keys_of_a_cache_that_would_become_one(first: Any, second: Any, tmp_path: Path) -> None:
    diskcache = pytest.importorskip("diskcache", reason="the package diskcache is not installed")
    with diskcache.Cache(str(tmp_path / "cache")) as cache:
        cache[first], cache[second] = "one", "two"
    with closing(diskcache.FanoutCache(str(tmp_path / "fanout"), shards=4)) as cache:
        cache.set(first, "one")
        cache.set(second, "two")
    for name in ("cache", "fanout"):
        with pytest.raises(convert.SourceError, match="are two in the source") as told:
            convert.convert("diskcache", tmp_path / name, tmp_path / "target")
        assert repr(first) in str(told.value)
        assert repr(second) in str(told.value)
    assert not (tmp_path / "target").exists()


def test_a_cache_gives_no_file_from_outside(tmp_path: Path) -> None:
    diskcache = pytest.importorskip("diskcache", reason="the package diskcache is not installed")
    with diskcache.Cache(str(tmp_path / "cache"), disk_min_file_size=10) as cache:
        cache["long"] = b"x" * 100
    (tmp_path / "secret").write_bytes(b"s" * 100)
    for name in ("../secret", str(tmp_path / "secret")):
        with closing(sqlite3.connect(tmp_path / "cache" / "cache.db")) as connection:
            connection.execute("UPDATE Cache SET filename = ?", (name,))
            connection.commit()
        with pytest.raises(convert.SourceError, match="outside of the cache"):
            convert.convert("diskcache", tmp_path / "cache", tmp_path / "target")


def test_a_value_that_is_shorter_than_the_cache_says(tmp_path: Path) -> None:
    diskcache = pytest.importorskip("diskcache", reason="the package diskcache is not installed")
    with diskcache.Cache(str(tmp_path / "cache"), disk_min_file_size=10) as cache:
        cache["long"] = b"x" * 100
    next((tmp_path / "cache").rglob("*.val")).write_bytes(b"")
    with pytest.raises(convert.SourceError, match="the value of 'long' is cut off or was changed"):
        convert.convert("diskcache", tmp_path / "cache", tmp_path / "target")


def test_a_source_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    make_dumb(tmp_path / "source")
    with convert.open_source("dumb", tmp_path / "source") as source:
        next(source.pairs)
        with dbm.dumb.open(str(tmp_path / "source"), "w") as database:
            database[b"new"] = b"value"
        with pytest.raises(convert.SourceError, match=r"source\.\w+ was changed while it was read"):
            dict(source.pairs)


def test_unchanged_notices_a_file_that_is_made_removed_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for change in (lambda: path.write_bytes(b"1"), lambda: path.write_bytes(b"22"), path.unlink):
        unchanged = Unchanged([str(path)])
        unchanged.check()
        change()
        with pytest.raises(convert.SourceError, match="was changed"):
            unchanged.check()


def test_an_environment_with_items_and_databases_gives_its_items(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    with lmdb.open(str(tmp_path / "source"), max_dbs=9) as environment:
        for name in (b"first", b"second", b"third"):
            environment.open_db(name)
        with environment.begin(write=True) as transaction:
            transaction.put(b"a", b"1")
            transaction.put(b"z", b"2" * 48)
    with pytest.warns(UserWarning, match="left out the named databases 'first', 'second', 'third'"):
        assert convert.convert("lmdb", tmp_path / "source", tmp_path / "target") == 2
    assert contents(tmp_path / "target") == {b"a": b"1", b"z": b"2" * 48}


@needs_pipes
def test_a_library_that_ends_its_process_ends_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lmdb", reason="the package lmdb is not installed")
    make_lmdb(tmp_path / "source")
    ending = "import os, signal, sys; sys.stderr.write('page 7 is bad\\n'); sys.stderr.flush(); "
    monkeypatch.setattr(child, "PROGRAM", ending + "os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(convert.SourceError, match=r"is damaged: .* SIGKILL \(page 7 is bad\)"):
        convert.convert("lmdb", tmp_path / "source", tmp_path / "target")
    monkeypatch.setattr(child, "PROGRAM", 'import sys; sys.stdout.write(\'{"count": 1, "error": null}\\n\')')
    with pytest.raises(convert.SourceError, match=r"is damaged: .* exit code 0"):
        convert.convert("lmdb", tmp_path / "source", tmp_path / "other")


class Circle:
    """Stands in for a gdbm object whose keys lead in a circle, or are fewer than it says."""

    def __init__(self, count: int, following: bytes | None) -> None:
        self.count = count
        self.following = following

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: bytes) -> bytes:
        return b"value"

    def firstkey(self) -> bytes:
        return b"a"

    def nextkey(self, key: bytes) -> bytes | None:
        return self.following


@pytest.mark.parametrize(
    ("opened", "fault"), [(Circle(1, b"a"), "lead in a circle"), (Circle(3, None), "3 items, and 1 can be read")]
)
def test_a_damaged_chain_of_gdbm_ends(opened: Circle, fault: str) -> None:
    with pytest.raises(convert.SourceError, match=fault):
        list(native.dbm_pairs(opened, (KeyError,), "source", 100, Unchanged([])))


def test_a_typed_store_gets_what_its_codecs_make_of_text(tmp_path: Path) -> None:
    with dbm.dumb.open(str(tmp_path / "source"), "n") as database:
        database["7"], database["-8"] = "1.5", "2e3"
    with oxidbm.Store(tmp_path / "typed", key=int, value=float):
        pass
    convert.convert("dumb", tmp_path / "source", tmp_path / "typed")
    with oxidbm.Store(tmp_path / "typed", key=int, value=float) as store:
        assert dict(store) == {7: 1.5, -8: 2000.0}
        assert convert.convert("dumb", tmp_path / "source", store) == 2
    with oxidbm.Store(key=str, value="pickle") as store:
        with pytest.raises(oxidbm.CodecError, match="only its program knows"):
            convert.convert("dumb", tmp_path / "source", store)
        assert len(store) == 0


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("x", "1", "the key 'x' is not what the codec 'int' takes"),
        ("1", "x", "the value of the key '1' is not what the codec 'int' takes"),
        ("01", "1", "the key '01' would become the key 1"),
        (" 1", "1", "the key ' 1' would become the key 1"),
    ],
)
def test_what_a_codec_cannot_take_is_refused(key: str, value: str, fault: str, tmp_path: Path) -> None:
    with dbm.dumb.open(str(tmp_path / "source"), "n") as database:
        database[key] = value
    with oxidbm.Store(key=int, value=int) as store:
        with pytest.raises(convert.SourceError, match=fault):
            convert.convert("dumb", tmp_path / "source", store)
        assert len(store) == 0
