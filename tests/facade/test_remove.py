"""Removing a store, a log or a queue, and opening a new one in its place."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import FormatError, LockedError, Log, MissingError, Queue, Store, _remove
from tests.unit.helpers import disk_store, push_to_disk


def make_store(path: Path) -> None:
    """Make a store with a checkpoint and files of all kinds."""
    with Store(path, ordered=True) as store:
        store[b"a"] = b"1"
        store.checkpoint()
        store.session("name").close()


def make_log(path: Path) -> None:
    """Make a log with a named reader."""
    with Log(path) as log:
        log.append(b"entry")
        log.reader("name").close()


def make_queue(path: Path) -> None:
    """Make a queue."""
    with Queue(path) as queue:
        queue.put(b"item")


@pytest.mark.parametrize("make", [make_store, make_log, make_queue])
@pytest.mark.parametrize("named", [str, os.fsencode, Path])
def test_it_goes_with_all_its_files(tmp_path: Path, make: Callable[[Path], None], named: Callable[[Path], Any]) -> None:
    make(tmp_path / "it")
    oxidbm.remove(named(tmp_path / "it"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingError, match="no store, log or queue to remove") as caught:
        oxidbm.remove(named(tmp_path / "it"))
    assert isinstance(caught.value, FileNotFoundError)


def test_what_is_none_of_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "directory").mkdir()
    make_store(tmp_path / "it")
    (tmp_path / "it" / "notes.txt").write_text("mine")
    for name in ("file", "directory", "it"):
        with pytest.raises(FormatError):
            oxidbm.remove(tmp_path / name)
    with pytest.raises(FormatError, match=r"holds notes\.txt, which is no part of a store; move that away first"):
        oxidbm.remove(tmp_path / "it")
    assert (tmp_path / "file").read_bytes() == b"data"
    with Store(tmp_path / "it") as store:
        assert store[b"a"] == b"1"


@pytest.mark.parametrize("what", [Store, Log, Queue])
def test_one_that_is_open_stays(tmp_path: Path, what: Any) -> None:
    with what(tmp_path / "it"), pytest.raises(LockedError):
        oxidbm.remove(tmp_path / "it")
    oxidbm.remove(tmp_path / "it")
    assert list(tmp_path.iterdir()) == []


def test_a_link_goes_with_what_it_leads_to(tmp_path: Path) -> None:
    make_store(tmp_path / "it")
    (tmp_path / "link").symlink_to("it")
    oxidbm.remove(tmp_path / "link")
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_of_a_removal(tmp_path: Path) -> None:
    make_store(tmp_path / "it")
    os.rename(tmp_path / "it", tmp_path / ("it" + _remove.REPLACED))
    with pytest.raises(MissingError):
        oxidbm.remove(tmp_path / "it")
    make_store(tmp_path / "it")
    oxidbm.remove(tmp_path / "it")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("replace", [oxidbm.remove, lambda path: Store(path, flag="n")], ids=["remove", "flag"])
def test_a_store_that_somebody_has_open_is_no_rest_of_a_crash(
    tmp_path: Path, replace: Callable[[Path], object]
) -> None:
    make_store(tmp_path / "it")
    with Store(tmp_path / ("it" + _remove.REPLACED)) as other:
        other[b"a"] = b"1"
        with pytest.raises(LockedError):
            replace(tmp_path / "it")
    with Store(tmp_path / ("it" + _remove.REPLACED)) as other, Store(tmp_path / "it") as store:
        assert other[b"a"] == store[b"a"] == b"1"


@pytest.mark.parametrize("foreign", ["linked log", "directory of a segment's name", "CLEAN", "linked segment"])
def test_nothing_goes_of_what_is_in_part_another_s(tmp_path: Path, foreign: str) -> None:
    make_store(tmp_path / "it")
    if foreign == "linked log":
        os.rename(tmp_path / "it" / "log", tmp_path / "elsewhere")
        (tmp_path / "it" / "log").symlink_to(tmp_path / "elsewhere")
    elif foreign == "CLEAN":
        (tmp_path / "it" / "CLEAN").unlink()
        (tmp_path / "it" / "CLEAN").mkdir()
    elif foreign == "linked segment":
        (tmp_path / "elsewhere").write_bytes(b"mine")
        (tmp_path / "it" / "log" / "mine.seg").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "it" / "log" / "mine.seg").mkdir()
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    for _ in range(2):
        with pytest.raises(FormatError):
            oxidbm.remove(tmp_path / "it")
        with pytest.raises(FormatError):
            Store(tmp_path / "it", flag="n")
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_a_link_whose_name_ends_with_a_slash(tmp_path: Path) -> None:
    make_store(tmp_path / "it")
    (tmp_path / "link").symlink_to("it")
    oxidbm.remove(f"{tmp_path / 'link'}{os.sep}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("flag", "makes"), [("r", False), ("w", False), ("c", True), ("n", True)])
def test_a_store_by_a_flag(tmp_path: Path, flag: Any, makes: bool) -> None:
    path = tmp_path / "it"
    if makes:
        Store(path, flag=flag).close()
        oxidbm.remove(path)
    else:
        with pytest.raises(MissingError):
            Store(path, flag=flag)
    make_store(path)
    with Store(path, flag=flag) as store:
        assert store.read_only == (flag == "r")
        assert dict(store) == ({} if flag == "n" else {b"a": b"1"})


def test_a_new_store_in_the_place_of_one_with_other_codecs(tmp_path: Path) -> None:
    make_store(tmp_path / "it")
    with Store(tmp_path / "it", flag="n", key=int, value="objects") as store:
        store[1] = {1, 2}
        assert dict(store) == {1: {1, 2}}
        with pytest.raises(LockedError):
            Store(tmp_path / "it", flag="n", key=int, value="objects")
    (tmp_path / "file").write_bytes(b"data")
    with Store(tmp_path / "file", flag="n") as new:
        assert len(new) == 0


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"flag": 1}, TypeError, "flag is one of"),
        ({"flag": "x"}, ValueError, "flag is one of"),
        ({"flag": ""}, ValueError, "flag is one of"),
        ({"flag": "cs"}, ValueError, "durability= and lock= say the rest"),
        ({"flag": "c", "read_only": True}, ValueError, "leave read_only= and create= out"),
        ({"flag": "n", "create": False}, ValueError, "leave read_only= and create= out"),
    ],
)
def test_flags_that_are_none(tmp_path: Path, options: dict[str, Any], kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        Store(tmp_path / "it", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_has_no_flag() -> None:
    with pytest.raises(ValueError, match="always new"):
        Store(flag="n")


def test_nothing_goes_before_the_options_are_right(tmp_path: Path) -> None:
    make_store(tmp_path / "it")
    with pytest.raises(ValueError, match="memory"):
        Store(tmp_path / "it", flag="n", memory="1 byte")
    with Store(tmp_path / "it") as store:
        assert store[b"a"] == b"1"


def test_a_database_with_codecs(tmp_path: Path) -> None:
    with oxidbm.open(tmp_path / "it", "n", key=int, value="objects") as db:
        db[1] = [1, "a"]
        assert db.firstkey() == 1
        assert db.nextkey(1) is None
    with oxidbm.open(tmp_path / "it", key=int, value="objects") as db:
        assert db[1] == [1, "a"]
    with pytest.raises(oxidbm.CodecError):
        oxidbm.open(tmp_path / "it")


def test_what_has_pages_on_disk_goes_too(tmp_path: Path) -> None:
    with disk_store(tmp_path / "it", page_size="4KiB") as store:
        store.update((b"%d" % number, bytes(100)) for number in range(1000))
        push_to_disk(store)
    oxidbm.remove(tmp_path / "it")
    assert list(tmp_path.iterdir()) == []
