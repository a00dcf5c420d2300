"""Opening and closing: options, locks, marks, forks, and what a reopened store remembers."""

import os
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.inside import abandon
from tests.support import Options
from tests.unit.helpers import disk_store, push_to_disk


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": 1000}, "memory is 1000 bytes; a store needs at least 1048576"),
        ({"durability": "never"}, "not 'never'"),
        ({"interval": 0}, "interval is a positive number of seconds, not 0"),
        ({"page_size": 5000}, "page_size is a power of two from 4096 to 67108864 bytes, not 5000"),
        ({"page_size": 2048}, "not 2048"),
        ({"page_size": 1 << 27}, "not 134217728"),
        ({"read_only": True}, "read_only=True makes no sense"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        oxidbm.Store(**options)


def test_evict_is_for_memory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="evict=True is for stores without a path"):
        oxidbm.Store(tmp_path / "store", evict=True)
    assert not (tmp_path / "store").exists()


def test_pages_shrink_to_a_small_budget(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "store", memory="1MiB") as store:
        assert store.stats()["page_bytes"] == 1 << 17
    with oxidbm.Store(tmp_path / "store", memory="64MiB", page_size="1MiB") as store:
        assert store.stats()["page_bytes"] == 1 << 17, "the superblock says so"


def test_budget_too_small_for_the_pages(tmp_path: Path) -> None:
    oxidbm.Store(tmp_path / "store", page_size="1MiB").close()
    with pytest.raises(ValueError, match=r"pages of 1048576 bytes and needs at least 4194304"):
        oxidbm.Store(tmp_path / "store", memory="2MiB")


def test_failed_constructors_leave_nothing_behind(tmp_path: Path) -> None:
    """Finalizers run for objects whose constructor raised, or never ran."""
    for _ in range(3):
        with pytest.raises(oxidbm.MissingError):
            oxidbm.Store(tmp_path / "none", create=False)
        with pytest.raises(TypeError):
            oxidbm.Store(no_such_option=1)  # type: ignore[call-overload]
        oxidbm.Store.__new__(oxidbm.Store)
    assert not (tmp_path / "none").exists()


def test_missing(tmp_path: Path) -> None:
    openings: list[Options] = [{"create": False}, {"read_only": True}]
    for options in openings:
        with pytest.raises(oxidbm.MissingError) as caught:
            oxidbm.Store(tmp_path / "none", **options)
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.filename == str(tmp_path / "none")


def test_a_link_to_nowhere_or_a_file_is_no_place_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "file").write_bytes(b"")
    for name in ("link", "file"):
        with pytest.raises(oxidbm.FormatError, match=f"{name} is (no directory|a file).*hoose another path"):
            oxidbm.Store(tmp_path / name)


@pytest.mark.parametrize("kind", [str, Path, os.fsencode], ids=["str", "path", "bytes"])
def test_kinds_of_path(tmp_path: Path, kind: type) -> None:
    name = kind(str(tmp_path / "a" / "store \N{SNOWMAN}".replace("\N{SNOWMAN}", "\N{LATIN SMALL LETTER E WITH ACUTE}")))
    with oxidbm.Store(name) as store:
        store[b"k"] = b"v"
        assert store.path == os.fsdecode(name)
    with oxidbm.Store(name, read_only=True) as store:
        assert store[b"k"] == b"v"
        assert store.read_only


def test_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"k"] = b"v"
        store.sync()
        with pytest.raises(oxidbm.LockedError, match=rf"process {os.getpid()}\b"):
            disk_store(path, checkpoints=False)
        with disk_store(path, read_only=True) as reader:
            assert dict(reader) == {b"k": b"v"}
            for write in (lambda: reader.update(a=b"1"), lambda: reader.pop(b"k"), reader.clear, reader.sync):
                with pytest.raises(oxidbm.ReadOnlyError, match="opened read-only"):
                    write()
        store[b"k2"] = b"v"
    with disk_store(path) as store:
        assert len(store) == 2


def test_refused_opening_gives_the_lock_back(tmp_path: Path) -> None:
    path = tmp_path / "store"
    disk_store(path).close()
    with pytest.raises(ValueError, match="a power of two"):
        disk_store(path, page_size=5000)
    (path / "CLEAN").write_bytes(b"")
    with pytest.raises(oxidbm.CorruptionError, match="CLEAN has 0 bytes"):
        disk_store(path)
    (path / "CLEAN").unlink()
    disk_store(path).close()


def test_close_twice_and_use_after(tmp_path: Path) -> None:
    store = disk_store(tmp_path / "store")
    store[b"k"] = b"v"
    store.close()
    store.close()
    assert store.closed
    assert "closed" in repr(store)
    uses = [lambda: store[b"k"], lambda: len(store), lambda: b"k" in store, store.check, store.stats, store.sync]
    for use in uses:
        with pytest.raises(oxidbm.ClosedError, match="is closed; open it again"):
            use()


def test_reopened_at_every_kind_of_tail(tmp_path: Path) -> None:
    """The tail inside of a page, at its end, behind a run, and in an empty log."""
    path = tmp_path / "store"
    expected: dict[bytes, bytes] = {}
    for number, size in enumerate([0, 10, 3000, 4096 - 24 - 8 - 120, 9000, 0, 4000]):
        with disk_store(path) as store:
            assert dict(store) == expected
            assert store.check() == []
            if size:
                store[b"%d" % number] = expected[b"%d" % number] = b"x" * size
            if number % 2:
                store.sync()
                push_to_disk(store)
    store = disk_store(path)
    store[b"more"] = b"lost"
    abandon(store)
    with disk_store(path) as store:
        assert dict(store) == expected


def test_reopening_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"k"] = b"v"
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file() and file.name != "LOCK"}
    disk_store(path).close()
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_is_refused_and_the_parent_keeps_its_lock(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"k"] = b"v"
        child = os.fork()
        if child == 0:
            code = 1
            try:
                store[b"k"]
            except oxidbm.ClosedError as failure:
                code = 0 if "parent process" in str(failure) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        store[b"k"] = b"still mine"
        with pytest.raises(oxidbm.LockedError):
            disk_store(tmp_path / "store", checkpoints=False)
    with disk_store(tmp_path / "store") as store:
        assert store[b"k"] == b"still mine"
