"""A store that a command made, and put nothing into, is removed where the command fails; others stay as they are."""

import dbm.dumb
import os
from pathlib import Path

import pytest

from oxidbm import Store, convert
from tests.cli.helpers import invoke

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with dbm.dumb.open(str(tmp_path / "source"), "n") as database:
        database[b"a"] = b"words"
    return tmp_path / "source"


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "new", "x", "notint", "--value", "int"),
        ("set", "new", "x", "1", "--key", "int"),
        ("set", "new", "x", "1", "--expire", "0"),
        ("set", "new", "x", "%%%", "--base64"),
        ("convert", "source", "new", "--from", "dumb", "--key", "str", "--value", "objects"),
        ("convert", "source", "new", "--from", "dumb", "--key", "int"),
    ],
)
def test_what_is_refused_leaves_no_store(
    arguments: tuple[str, ...], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    before = sorted(os.listdir())
    assert invoke(*arguments).exit_code in (2, 6)
    assert sorted(os.listdir()) == before
    os.mkdir("new")
    assert invoke(*arguments).exit_code in (2, 6)
    assert os.listdir("new") == []
    os.rmdir("new")
    if arguments[0] == "convert":
        assert invoke("convert", "source", "new", "--from", "dumb", "--value", "str").exit_code == 0
    else:
        assert invoke("set", "new", "x", "notint", "--value", "str").exit_code == 0


def test_a_store_that_was_there_stays_also_where_it_is_empty(source: Path) -> None:
    path = source.parent / "empty"
    Store(path, value=int).close()
    assert invoke("set", path, "a", "words").exit_code == 2
    assert invoke("convert", source, path, "--from", "dumb").exit_code == 6
    with pytest.raises(convert.SourceError):
        convert.convert("dumb", source, path)
    with Store(path, value=int, create=False) as store:
        assert len(store) == 0


def test_the_function_removes_what_it_made_and_keeps_what_it_stored(source: Path) -> None:
    target = source.parent / "new"
    with pytest.raises(convert.SourceError, match="0 items were stored before it"):
        convert.convert("dumb", source, target, value="int")
    assert not target.exists()
    with dbm.dumb.open(str(source), "n") as database:
        database[b"a"] = b"1"
        database[b"b"] = b"words"
    with pytest.raises(convert.SourceError, match="1 item was stored before it"):
        convert.convert("dumb", source, target, value="int")
    with Store(target, read_only=True, value=int) as store:
        assert dict(store) == {b"a": 1}
