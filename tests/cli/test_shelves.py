"""Shelves of the stdlib, and sources that go into stores with codecs."""

import dbm.dumb
import io
import pickle
import shelve
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

import oxidbm
from oxidbm import CodecError, Store, codecs, convert, dump
from tests.cli.helpers import invoke
from tests.support import ROOT

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")

THINGS: dict[str, Any] = {"a": [1, (2, 3)], "b\u00e9": {"x": {1, 2}}, "": None}


class Refusing:
    """What cannot be unpickled."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def make_dumb(path: Path) -> None:
    with shelve.Shelf[Any](cast(Any, dbm.dumb.open(str(path), "n"))) as shelf:
        shelf.update(THINGS)


def make_sqlite3(path: Path) -> None:
    """Write what shelve writes where dbm.sqlite3 is the usual one, from Python 3.13 on."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        rows = [(key.encode(), pickle.dumps(value)) for key, value in THINGS.items()]
        connection.executemany("REPLACE INTO Dict (key, value) VALUES (?, ?)", rows)
        connection.commit()


def make_usual(path: Path) -> None:
    with shelve.open(str(path)) as shelf:
        shelf.update(THINGS)


@pytest.fixture(params=[make_dumb, make_sqlite3, make_usual])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    request.param(tmp_path / "shelf")
    return tmp_path / "shelf"


def test_a_shelf_becomes_a_store_of_pickles_that_nobody_opened(shelf: Path, tmp_path: Path) -> None:
    assert convert.convert("shelve", shelf, tmp_path / "new") == 3
    with Store(tmp_path / "new", key=str, value="pickle") as store:
        assert dict(store) == THINGS
    assert convert.convert("shelve", shelf, tmp_path / "new") == 3  # again, into what is there


def test_a_shelf_becomes_a_shelf(shelf: Path, tmp_path: Path) -> None:
    result = invoke("convert", shelf, tmp_path / "new", "--from", "shelve", "--key", "bytes", "--value", "bytes")
    assert (result.exit_code, result.stderr) == (0, f"3 items of {shelf} stored in {tmp_path / 'new'}\n")
    with oxidbm.shelve.open(tmp_path / "new", serializer="pickle") as made:
        assert dict(made) == THINGS


def test_a_shelf_that_is_trusted_is_opened(shelf: Path, tmp_path: Path) -> None:
    into = ("--from", "shelve", "--value", "objects")
    result = invoke("convert", shelf, tmp_path / "new", *into)
    assert (result.exit_code, "--open-pickles opens them" in result.stderr) == (6, True)
    assert "open_pickles" not in result.stderr
    assert not (tmp_path / "new").exists()
    assert invoke("convert", shelf, tmp_path / "new", *into, "--open-pickles").exit_code == 0
    with Store(tmp_path / "new", key=str, value="objects") as store:
        assert dict(store) == THINGS
    with Store(tmp_path / "open", key=str, value="objects") as store:
        with pytest.raises(convert.SourceError, match=r"keeps values of the codec 'objects'"):
            convert.convert("shelve", shelf, store)
        assert convert.convert("shelve", shelf, store, open_pickles=True) == 3
        assert dict(store) == THINGS


def test_what_cannot_be_unpickled_or_stored_is_named(tmp_path: Path) -> None:
    for thing, said in (
        (Refusing(), r"cannot be unpickled: ValueError: .*"),
        ("text", "is not what the codec 'int' takes: .*"),
    ):
        with shelve.Shelf[Any](cast(Any, dbm.dumb.open(str(tmp_path / "shelf"), "n"))) as shelf:
            shelf["good"] = 1
            shelf["bad"] = thing
        with pytest.raises(
            convert.SourceError, match=f"the value of the key 'bad' {said}; 1 item was stored before it"
        ):
            convert.convert("shelve", tmp_path / "shelf", tmp_path / "new", value="int", open_pickles=True)


def test_what_is_no_shelf(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        convert.convert("shelve", tmp_path / "none", tmp_path / "new")
    (tmp_path / "file").write_bytes(b"anything but that")
    for name in ("file", "."):
        with pytest.raises(convert.SourceError, match="no shelf"):
            convert.convert("shelve", tmp_path / name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_source_goes_into_a_store_that_is_made_with_codecs(tmp_path: Path) -> None:
    with dbm.dumb.open(str(tmp_path / "old"), "n") as database:
        database["12"] = '{"a": 1}'
    source, target = tmp_path / "old", tmp_path / "new"
    result = invoke("convert", source, target, "--from", "dumb", "--key", "int", "--value", "objects")
    assert (result.exit_code, result.stderr) == (0, f"1 item of {source} stored in {target}\n")
    with Store(target, key=int, value="objects") as store:
        assert dict(store) == {12: {"a": 1}}
    assert invoke("convert", source, target, "--from", "dumb").exit_code == 0
    assert invoke("convert", source, target, "--from", "dumb", "--key", "int").exit_code == 0
    other = invoke("convert", source, target, "--from", "dumb", "--key", "str")
    assert (other.exit_code, "leave --key and --value out" in other.stderr) == (6, True)
    for codec in ("pickle", "app:codec"):
        with pytest.raises(CodecError, match="is none that another database's items can be given to"):
            convert.convert("dumb", source, tmp_path / "none", value=codec)
    assert not (tmp_path / "none").exists()


def test_a_dump_of_bytes_goes_into_a_store_that_is_made_with_codecs(tmp_path: Path) -> None:
    line = b'{"key": "k", "value": {"base64": "gQU="}}\n'
    for names in (("--key", "str", "--value", "int"), ("--keys", "str", "--values", "int")):
        assert invoke("load", tmp_path / names[0], *names, stdin=line).exit_code == 0
        assert invoke("get", tmp_path / names[0], "k").stdout == "5\n"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("int", "tuple(str,int)"),
        (int, tuple[str, int]),
        (codecs.INT, codecs.Tuple(str, int)),
    ],
)
def test_codecs_are_given_as_a_store_takes_them(key: Any, value: Any, tmp_path: Path) -> None:
    with dbm.dumb.open(str(tmp_path / "old"), "n") as database:
        database["12"] = '["a", 1]'
    assert convert.convert("dumb", tmp_path / "old", tmp_path / "new", key=key, value=value) == 1
    with Store(tmp_path / "new", key=int, value=tuple[str, int]) as store:
        assert dict(store) == {12: ("a", 1)}
    line = io.BytesIO(b'{"key_base64": "QkM=", "value_base64": ""}\n')
    with pytest.raises(dump.BadInput, match="codec"):
        dump.load(line, tmp_path / "loaded", keys=key, values=value)
    with pytest.raises(TypeError, match="has no codec of its own"):
        convert.convert("dumb", tmp_path / "old", tmp_path / "none", key=list)
    assert not (tmp_path / "none").exists()


def test_a_class_of_the_old_program_s_own_file_is_told(tmp_path: Path) -> None:
    with closing(dbm.dumb.open(str(tmp_path / "shelf"), "n")) as database:
        database["ann"] = b"c__main__\nPoint of no program\n."
    with pytest.raises(
        convert.SourceError, match=r"AttributeError: .*; a class of the old program's own file .* Python"
    ):
        convert.convert("shelve", tmp_path / "shelf", tmp_path / "new", value="objects", open_pickles=True)
    assert not (tmp_path / "new").exists()


def test_what_the_guide_says_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (ROOT / "docs" / "guides" / "shelve.md").read_text(encoding="utf-8").split("## Bringing the data along")[1]
    commands = [line.removeprefix("$ oxidbm ").split() for line in guide.splitlines() if line.startswith("$ oxidbm ")]
    monkeypatch.chdir(tmp_path)
    with shelve.open("old") as old:
        old["ann"] = {"born": 1990}
    for words in commands:
        assert invoke(*words).exit_code == 0
    with Store("pickles", key=str, value="pickle") as pickles, Store("objects", key=str, value="objects") as objects:
        assert dict(pickles) == dict(objects) == {"ann": {"born": 1990}}
    with oxidbm.shelve.open("shelf", serializer="pickle") as made:
        assert dict(made) == {"ann": {"born": 1990}}
