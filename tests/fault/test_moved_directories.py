"""Directories and files of an open store that somebody moves, replaces or deletes.

What is written to the ones that are open, nobody would find: no commit and no checkpoint may be said to be there then.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from tests.unit.helpers import disk_store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="open files cannot be moved or deleted here")

Change = Callable[[Path], None]


def replace(path: Path) -> None:
    """Put a copy in the place of a directory, as a restoring program does."""
    aside = path.with_name(path.name + " aside")
    path.rename(aside)
    shutil.copytree(aside, path)


def move(path: Path) -> None:
    """Give a directory another name."""
    path.rename(path.with_name("aside"))


def link_elsewhere(path: Path) -> None:
    """Put a link to another directory in the place of a directory."""
    aside = path.with_name(path.name + " aside")
    path.rename(aside)
    aside.with_name("elsewhere").mkdir()
    path.symlink_to(aside.with_name("elsewhere"))


def link_nowhere(path: Path) -> None:
    """Put a link to nothing in the place of a directory."""
    shutil.rmtree(path)
    path.symlink_to("nowhere")


def delete_files(path: Path) -> None:
    """Delete what is in a directory."""
    for file in path.iterdir():
        file.unlink()


def replace_files(path: Path) -> None:
    """Put a copy in the place of each file of a directory."""
    for file in path.iterdir():
        data = file.read_bytes()
        file.unlink()
        file.write_bytes(data)


def rename_over(path: Path) -> None:
    """Put a copy in the place of each file of a directory, in one step."""
    for file in path.iterdir():
        copy = path / "copy"
        copy.write_bytes(file.read_bytes())
        copy.rename(file)


def move_files(path: Path) -> None:
    """Give each file of a directory another name."""
    for file in path.iterdir():
        file.rename(path / "another")


DIRECTORY: dict[str, Change] = {
    "deleted": shutil.rmtree,
    "moved": move,
    "replaced": replace,
    "a link to another": link_elsewhere,
    "a link to nowhere": link_nowhere,
}
FILES: dict[str, Change] = {
    "deleted": delete_files,
    "replaced": replace_files,
    "renamed over": rename_over,
    "moved": move_files,
}


def no_links(*_arguments: Any) -> str:
    """Be a system that says of no open file what its name is."""
    raise FileNotFoundError("/proc")


@pytest.mark.filterwarnings("ignore::oxidbm.RecoveryWarning")  # of a link that leads nowhere
@pytest.mark.parametrize("kind", ["fold-over", "snapshot", "incremental", "index", "log"])
@pytest.mark.parametrize("how", DIRECTORY)
def test_the_checkpoints(tmp_path: Path, how: str, kind: Any) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"key"] = b"old"
        before = store.checkpoint("snapshot")
        DIRECTORY[how](path / "checkpoints")
        store[b"key"] = b"new"
        with pytest.raises(OSError, match="checkpoints"):
            store.checkpoint(kind)
        assert [made.token for made in store.checkpoints()] == [before.token]
        store.sync()  # which is the log's alone
        with oxidbm.Store(tmp_path / "store", read_only=True) as reader:
            assert dict(reader) == {b"key": b"new"}


def test_checkpoints_that_are_put_back(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"key"] = b"old"
        store.checkpoint("snapshot")
        (path / "checkpoints").rename(path / "aside")
        store[b"key"] = b"new"
        with pytest.raises(FileNotFoundError, match="put it back"):
            store.checkpoint("incremental")
        (path / "aside").rename(path / "checkpoints")
        made = store.checkpoint("incremental")
        assert made.kind == "snapshot"  # since the one that failed took along what had changed
        store[b"key"] = b"newer"
        shutil.copytree(path, tmp_path / "crashed")
    with oxidbm.Store(tmp_path / "crashed") as store:
        assert dict(store) == {b"key": b"new"}


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(("changes", "how"), [(DIRECTORY, how) for how in DIRECTORY] + [(FILES, how) for how in FILES])
def test_the_log(
    tmp_path: Path, changes: dict[str, Change], how: str, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the system tells an open file's name, or names have to be looked up."""
    if not told:
        monkeypatch.setattr(os, "readlink", no_links)
    store = disk_store(tmp_path / "store")
    store[b"key"] = b"old"
    store.sync()
    changes[how](tmp_path / "store" / "log")
    store[b"key"] = b"new"
    with pytest.raises(oxidbm.PoisonedError, match="log"):
        store.sync()
    assert store[b"key"] == b"new"
    with pytest.raises(oxidbm.PoisonedError, match="log"):
        store.close()


@pytest.mark.parametrize("told", [True, False])
def test_a_log_nobody_moved(tmp_path: Path, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its directory has another name now, and its files have second ones."""
    if not told:
        monkeypatch.setattr(os, "readlink", no_links)
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"key"] = b"old"
        store.sync()
        for file in (path / "log").iterdir():
            os.link(file, tmp_path / file.name)
        store[b"key"] = b"new"
        store.sync()
        path.rename(tmp_path / "moved")
        store[b"key"] = b"newer"
        store.sync()
    with oxidbm.Store(tmp_path / "moved") as store:
        assert dict(store) == {b"key": b"newer"}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not tell an open file's name")
def test_a_commit_does_not_ask_for_the_times_of_the_file_it_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Linux a status of the file makes the sync after the next write journal the file's times: 40 us each."""
    asked: list[int] = []
    fstat = os.fstat

    def noted(descriptor: int) -> os.stat_result:
        asked.append(fstat(descriptor).st_ino)
        return fstat(descriptor)

    path = tmp_path / "store"
    with disk_store(path, durability="always") as store:
        store[b"key"] = b"value"
        with oxidbm.Store(path, read_only=True) as reader:
            monkeypatch.setattr(os, "fstat", noted)
            for number in range(10):
                store[b"key"] = b"%d" % number
                reader.refresh()
                assert reader[b"key"] == b"%d" % number
            monkeypatch.undo()
        files = {file.stat().st_ino for file in (path / "log").iterdir()}
        assert asked, "nothing was asked at all"
        assert not files.intersection(asked)


def test_all_that_is_in_the_stores_directory(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = disk_store(path)
    store[b"key"] = b"old"
    store.checkpoint("snapshot")
    for name in path.iterdir():
        shutil.rmtree(name) if name.is_dir() else name.unlink()
    store[b"key"] = b"new"
    with pytest.raises(FileNotFoundError, match="checkpoints"):
        store.checkpoint("snapshot")
    with pytest.raises(oxidbm.PoisonedError, match="log"):
        store.close()
