"""oxidbm.open as dbm.gnu and dbm.sqlite3 behave, and what it does with names, files and flags."""

import dbm
import dbm.dumb
import os
import shelve
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.support import ROOT, scaled


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "database")


@pytest.fixture
def db(path: str) -> Iterator[oxidbm.Database]:
    with oxidbm.open(path, "c") as opened:
        yield opened


class Name:
    """A PathLike that is no Path."""

    def __init__(self, name: str | bytes) -> None:
        self.name = name

    def __fspath__(self) -> Any:
        return self.name


def disk_bytes(path: str) -> int:
    return sum(file.stat().st_blocks * 512 for file in Path(path).rglob("*") if file.is_file())


def make_foreign(kind: str, path: str) -> None:
    """Make something at `path` that is no store."""
    if kind == "empty":
        Path(path).touch()
    elif kind == "junk":
        Path(path).write_bytes(b"\x00junk" * 999)
    elif kind == "gnu":
        Path(path).write_bytes(b"\xcf\x9a\x57\x13" + bytes(1 << 14))
    elif kind == "sqlite":
        Path(path).write_bytes(b"SQLite format 3\x00" + bytes(4080))
    elif kind == "dangling link":
        os.symlink(path + ".nowhere", path)
    elif kind == "empty directory":
        os.mkdir(path)
    else:
        module = pytest.importorskip(kind)
        with module.open(path, "n") as other:
            other[b"k"] = b"v"


def test_keys_get_and_setdefault(db: oxidbm.Database) -> None:
    assert db.keys() == []
    db["a"] = "b"
    db["12345678910"] = "019237410982340912840198242"
    db[b"bytes"] = b"data"
    assert type(db.keys()) is list
    assert set(db.keys()) == {b"a", b"bytes", b"12345678910"}
    assert "a" in db  # type: ignore[comparison-overlap]
    assert b"a" in db
    assert db[b"bytes"] == b"data"
    assert db.get(b"a") == b"b"
    assert db.get(b"xxx") is None
    assert db.get(b"xxx", b"foo") == b"foo"
    with pytest.raises(KeyError):
        db["xxx"]
    with pytest.raises(KeyError):
        del db["xxx"]
    assert db.setdefault(b"xxx", b"foo") == b"foo"
    assert db[b"xxx"] == b"foo"
    assert bool(db)
    db.clear()
    assert not db
    assert len(db) == 0


def traverse(db: oxidbm.Database) -> list[bytes]:
    found = []
    key = db.firstkey()
    while key is not None:
        found.append(key)
        key = db.nextkey(key)
    return found


def test_traversal_visits_each_key_once(db: oxidbm.Database) -> None:
    assert traverse(db) == []
    expected = [b"%d" % i for i in range(scaled(2000))]
    for key in expected:
        db[key] = key
    assert traverse(db) == expected
    db[expected[0]] = "longer than it was"
    assert traverse(db) == [*expected[1:], expected[0]]


def test_traversal_from_any_key(db: oxidbm.Database) -> None:
    for key in "abcde":
        db[key] = key
    assert db.nextkey("c") == b"d"
    assert db.nextkey(b"a") == b"b"
    assert db.nextkey("b") == b"c"
    assert db.nextkey("e") is None
    assert db.nextkey("no such key") is None
    del db["e"]
    assert db.nextkey("e") is None
    with pytest.raises(TypeError):
        db.nextkey(1)  # type: ignore[arg-type]


def test_traversal_goes_on_while_keys_are_deleted_and_set(db: oxidbm.Database) -> None:
    for i in range(100):
        db[str(i)] = "x"
    visited = []
    key = db.firstkey()
    while key is not None:
        visited.append(key)
        del db[key]
        db[b"new " + key] = "y"
        key = db.nextkey(key)
    assert visited == [b"%d" % i for i in range(100)]
    assert sorted(db.keys()) == sorted(b"new %d" % i for i in range(100))


def test_traversal_of_what_is_on_disk(path: str) -> None:
    expected = [b"%06d" % i for i in range(scaled(20_000))]
    with oxidbm.open(path, "n") as db:
        db.update((key, key) for key in expected)
    with oxidbm.open(path) as db:
        assert traverse(db) == expected
        assert db.nextkey(expected[50]) == expected[51]


def test_an_unfinished_traversal_does_not_keep_reorganize_from_its_work(path: str) -> None:
    with oxidbm.open(path, "nf") as db:
        for i in range(40):
            db[str(i)] = bytes(500_000)
        db.sync()
        first = db.firstkey()
        assert first is not None
        second = db.nextkey(first)
        for i in range(39):
            del db[str(i)]
        before = disk_bytes(path)
        db.reorganize()
        assert disk_bytes(path) < before
        assert second is not None
        assert db.nextkey(second) is None
        assert db.keys() == [b"39"]


def test_reorganize_gives_disk_space_back(db: oxidbm.Database, path: str) -> None:
    db["x"] = bytes(30_000_000)
    db.sync()
    written = disk_bytes(path)
    del db["x"]
    db.sync()
    db.reorganize()
    assert disk_bytes(path) < written - 20_000_000


@pytest.mark.parametrize("bad", [None, 1, 1.5, ["a"], object()])
def test_keys_and_values_are_bytes_or_str(db: oxidbm.Database, bad: Any) -> None:
    with pytest.raises(TypeError):
        db[bad] = "value"
    with pytest.raises(TypeError):
        db["key"] = bad
    with pytest.raises(TypeError):
        db[bad]
    with pytest.raises(TypeError):
        del db[bad]
    with pytest.raises(TypeError):
        bad in db  # noqa: B015
    assert len(db) == 0


def test_unicode_and_any_bytes(path: str) -> None:
    with oxidbm.open(path, "c") as db:
        db["Unicode key \U0001f40d"] = "Unicode value \U0001f40d"
        db[b"bytes key \xbd"] = b"bytes value \xbd"
    with oxidbm.open(path) as db:
        assert db.keys() == ["Unicode key \U0001f40d".encode(), b"bytes key \xbd"]
        assert db["Unicode key \U0001f40d"] == "Unicode value \U0001f40d".encode()
        assert db[b"bytes key \xbd"] == b"bytes value \xbd"


def test_after_close_everything_is_an_error(db: oxidbm.Database) -> None:
    db["a"] = "b"
    iterator, started = iter(db), iter(db)
    next(started)
    db.firstkey()
    db.close()
    db.close()
    uses: list[Any] = [
        lambda: db["a"],
        lambda: db.get("a"),
        lambda: "a" in db,  # type: ignore[comparison-overlap]
        lambda: len(db),
        lambda: bool(db),
        db.keys,
        lambda: db.__setitem__("a", "b"),
        lambda: db.__delitem__("a"),
        db.firstkey,
        lambda: db.nextkey("a"),
        db.sync,
        db.reorganize,
        db.clear,
        lambda: next(iterator),
        lambda: next(started),
        lambda: iter(db),
        db.__enter__,
    ]
    for use in uses:
        with pytest.raises(oxidbm.error, match="closed"):
            use()


def test_reading_only(path: str) -> None:
    with oxidbm.open(path, "c") as db:
        db["key1"], db["key2"] = "value1", "value2"
    with oxidbm.open(path, "r") as db:
        assert db.keys() == list(db) == [b"key1", b"key2"]
        for use in (
            lambda: db.__setitem__("new", "value"),
            lambda: db.__delitem__("key1"),
            db.clear,
            db.reorganize,
            lambda: db.__delitem__("no such key"),
            lambda: db.setdefault("a", "b"),
        ):
            with pytest.raises(oxidbm.ReadOnlyError):
                use()
        db.sync()
        assert db["key1"] == b"value1"


def test_one_writer_unless_it_asks_for_no_lock(db: oxidbm.Database, path: str) -> None:
    db["a"] = "b"
    db.sync()
    for flag in ("ws", "cf", "n"):
        with pytest.raises(oxidbm.LockedError):
            oxidbm.open(path, flag)
    with oxidbm.open(path, "r") as reader:
        assert reader["a"] == b"b"
    assert db["a"] == b"b"
    db.close()
    with oxidbm.open(path, "wu") as unlocked:
        assert unlocked["a"] == b"b"


def test_every_flag_opens(path: str) -> None:
    assert set("rwcnfsu") == set(oxidbm.open_flags)
    for access in "cnrw":
        for options in ("", "f", "s", "u", "fu", "su", "fsu"):
            oxidbm.open(path, access + options).close()


@pytest.mark.parametrize("flag", ["", "x", "rx", "rw", "invalid", "f", "cc", "C"])
def test_a_flag_that_is_none(path: str, flag: str) -> None:
    with pytest.raises(oxidbm.error, match=f"must be.*'r'.*'w'.*'c'.*'n'.*not {flag!r}") as caught:
        oxidbm.open(path, flag)
    assert isinstance(caught.value, ValueError)
    assert not os.path.exists(path)


def test_a_flag_is_a_str(path: str) -> None:
    with pytest.raises(TypeError):
        oxidbm.open(path, 1)  # type: ignore[call-overload]


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "kept"), [("cf", [b"synced"]), ("cs", [b"synced", b"later"])])
def test_what_a_crash_leaves(path: str, flag: str, kept: list[bytes]) -> None:
    code = f"import os, time, oxidbm; db = oxidbm.open({path!r}, {flag!r}); db['synced'] = 'x'; db.sync()\n"
    code += "db['later'] = 'x'; time.sleep(1.5); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with oxidbm.open(path) as db:
        assert db.keys() == kept


@pytest.mark.parametrize("flag", ["r", "w"])
def test_a_missing_database(tmp_path: Path, flag: str) -> None:
    missing = str(tmp_path / "nonexisting")
    with pytest.raises(oxidbm.error) as caught:
        oxidbm.open(missing, flag)
    assert missing in str(caught.value)
    assert caught.value.filename == missing
    assert isinstance(caught.value, FileNotFoundError)
    assert not os.path.exists(missing)


@pytest.mark.parametrize("flag", ["r", "w", "c", "n"])
def test_a_name_that_cannot_be(tmp_path: Path, flag: str) -> None:
    with pytest.raises(oxidbm.error):
        oxidbm.open("", flag)
    with pytest.raises(oxidbm.error):
        oxidbm.open(tmp_path / "no" / "such" / "directory", flag)
    with pytest.raises(oxidbm.error):
        oxidbm.open(tmp_path / ("x" * 300), flag)
    with pytest.raises(TypeError):
        oxidbm.open(1, flag)  # type: ignore[call-overload]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["database", "d\u00e4tabase \u20ac"])
def test_names_of_every_kind(tmp_path: Path, name: str) -> None:
    text = str(tmp_path / name)
    names: list[Any] = [text, os.fsencode(text), Path(text), Name(text), Name(os.fsencode(text))]
    for i, given in enumerate(names):
        with oxidbm.open(given, "c") as db:
            assert len(db) == i
            db[str(i)] = "x"
        assert oxidbm.whichdb(given) == "oxidbm"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
@pytest.mark.parametrize(("mode", "file_bits"), [(0o666, 0o640), (0o600, 0o600), (0o640, 0o640)])
def test_mode_is_honoured(path: str, mode: int, file_bits: int) -> None:
    before = os.umask(0o027)
    try:
        with oxidbm.open(path, "c", mode) as db:
            db["a"] = "b"
    finally:
        os.umask(before)
    files = [file for file in Path(path).rglob("*") if file.is_file()]
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {file_bits}
    for directory in (Path(path), Path(path, "log")):
        assert stat.S_IMODE(directory.stat().st_mode) & 0o666 == file_bits


FOREIGN = ["empty", "junk", "gnu", "sqlite", "dangling link", "dbm.dumb", "dbm.gnu", "dbm.ndbm", "dbm.sqlite3"]


@pytest.mark.parametrize("kind", [*FOREIGN, "empty directory"])
def test_n_replaces_what_is_no_store(path: str, kind: str) -> None:
    make_foreign(kind, path)
    with oxidbm.open(path, "n") as db:
        assert len(db) == 0
        db["a"] = "b"
    assert oxidbm.whichdb(path) == "oxidbm"
    with oxidbm.open(path) as db:
        assert db.keys() == [b"a"]


@pytest.mark.parametrize("kind", ["empty", "junk", "gnu", "sqlite", "dbm.sqlite3", "dbm.gnu"])
@pytest.mark.parametrize("flag", ["r", "w", "c"])
def test_other_flags_leave_what_is_no_store(path: str, kind: str, flag: str) -> None:
    make_foreign(kind, path)
    before = Path(path).read_bytes()
    with pytest.raises(oxidbm.FormatError, match="is a file"):
        oxidbm.open(path, flag)
    assert Path(path).read_bytes() == before


def test_n_empties_a_store_also_a_damaged_one(path: str) -> None:
    for damage in ("none", "STORE", "log"):
        with oxidbm.open(path, "n") as db:
            assert len(db) == 0
            db["a"] = "b"
        if damage == "STORE":
            Path(path, "STORE").write_bytes(b"junk")
        elif damage == "log":
            Path(path, "STORE").unlink()
    with oxidbm.open(path, "n") as db:
        assert db.keys() == []
    assert [entry.name for entry in Path(path).parent.iterdir()] == ["database"]


def test_n_removes_what_a_crash_of_n_left(path: str) -> None:
    oxidbm.open(path, "c").close()
    os.rename(path, path + ".replaced")
    oxidbm.open(path, "c").close()
    with oxidbm.open(path, "n") as db:
        assert db.keys() == []
    assert not os.path.exists(path + ".replaced")


def test_n_follows_a_link_to_a_store(path: str, tmp_path: Path) -> None:
    with oxidbm.open(path, "c") as db:
        db["a"] = "b"
    link = tmp_path / "link"
    os.symlink(path, link)
    with oxidbm.open(link, "n") as db:
        db["c"] = "d"
    assert link.is_symlink()
    with oxidbm.open(path) as db:
        assert db.keys() == [b"c"]


@pytest.mark.parametrize("name", ["notes.txt", "log/notes.txt"])
def test_n_never_deletes_what_is_not_a_stores(path: str, name: str) -> None:
    oxidbm.open(path, "c").close()
    Path(path, name).write_text("mine")
    with pytest.raises(oxidbm.FormatError, match=name):
        oxidbm.open(path, "n")
    assert Path(path, name).read_text() == "mine"
    assert Path(path, "STORE").exists()


def test_whichdb(path: str, tmp_path: Path) -> None:
    assert oxidbm.whichdb(path) is None
    make_foreign("junk", path)
    assert oxidbm.whichdb(path) == ""
    make_foreign("gnu", path)
    assert oxidbm.whichdb(path) == "dbm.gnu"
    with dbm.dumb.open(str(tmp_path / "dumb"), "c"):
        pass
    assert oxidbm.whichdb(tmp_path / "dumb") == "dbm.dumb"
    assert oxidbm.whichdb(tmp_path) is None


def test_importing_takes_no_dbm_no_shelve_no_pickle() -> None:
    code = "import sys, oxidbm; print(sorted({'dbm', 'shelve', 'pickle'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_a_stdlib_shelf_left_open_ends_silently(path: str) -> None:
    code = f"import oxidbm, shelve; s = shelve.Shelf(oxidbm.open({path!r}, 'c')); s['a'] = 1"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert result.stderr == ""
    shelf: shelve.Shelf[Any]
    with shelve.Shelf(oxidbm.open(path)) as shelf:
        assert shelf["a"] == 1
