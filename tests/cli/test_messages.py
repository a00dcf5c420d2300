"""What is said of wrong arguments, of a source's keys and of tags: one line each, in words of the command's own."""

import dbm.dumb
from pathlib import Path

import pytest

from oxidbm import Store, convert
from tests.cli.helpers import invoke

pytest.importorskip("typer", reason="typer is not installed: pip install oxidbm[cli]")
pytest.importorskip("rich", reason="rich is not installed: pip install oxidbm[cli]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("convert", "a", "b"), "missing option '--from'. Choose from: gdbm, ndbm, dumb, sqlite3, "),
        (("convert", "a", "b", "--from", "redis"), "invalid value for '--from': 'redis' is not one of 'gdbm', 'ndbm'"),
        (("dump", "a", "--format", "xml"), "invalid value for '--format': 'xml' is not one of 'json', 'binary'"),
        (("keys", "a", "--limit", "x"), "invalid value for '--limit': "),
        (("compact", "a", "--dead", "x"), "invalid value for '--dead': "),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], said: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"oxidbm: {said}")
    first = result.stderr.splitlines()[0]
    assert not any(words in first for words in ("\t", "\\t", "Value error", "Input should", "unable to parse"))


@pytest.mark.parametrize(("codec", "name"), [("bytes", "b'bob'"), ("str", "'bob'")])
def test_a_source_s_key_is_written_as_the_store_s_keys_are(codec: str, name: str, tmp_path: Path) -> None:
    with dbm.dumb.open(str(tmp_path / "source"), "n") as database:
        database["bob"] = "words"
    with pytest.raises(convert.SourceError, match=f"^the value of the key {name} is not what"):
        convert.convert("dumb", tmp_path / "source", tmp_path / "target", key=codec, value="int")
    with dbm.dumb.open(str(tmp_path / "other"), "n") as database:
        database[b"\xff"] = "1"
    with pytest.raises(convert.SourceError, match=r"^the key b'\\xff' is not UTF-8"):
        convert.convert("dumb", tmp_path / "other", tmp_path / "target", key="str")


def test_evict_takes_tags_of_each_type(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Store(path) as store:
        for key, tag in (("a", "7"), ("b", 7), ("c", b"7"), ("d", -5)):
            store.set(key, "1", tag=tag)
    assert invoke("evict", path, "7").stdout == f"{path}: 1 item deleted\n"
    again = invoke("evict", path, "7")
    assert (again.exit_code, again.stdout) == (0, f"{path}: 0 items deleted\n")
    assert again.stderr == "oxidbm: that was the text 7; --int is for tags that are numbers\n"
    assert invoke("evict", path, "7", "--int").stdout == f"{path}: 1 item deleted\n"
    assert invoke("evict", path, "Nw==", "--base64").stdout == f"{path}: 1 item deleted\n"
    last = invoke("evict", path, "--int", "--", "-5")
    assert (last.stdout, last.stderr) == (f"{path}: 1 item deleted\n", "")
    assert invoke("evict", path, "seven", "--int").exit_code == 2
    assert invoke("evict", path, "7", "--int", "--base64").exit_code == 2
