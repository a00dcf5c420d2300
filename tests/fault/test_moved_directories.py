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


DIRECTORY: dict[str, Change] = {
    "deleted": shutil.rmtree,
    "moved": move,
    "replaced": replace,
    "a link to another": link_elsewhere,
    "a link to nowhere": link_nowhere,
}
FILES: dict[str, Change] = {"deleted": delete_files, "replaced": replace_files}


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


@pytest.mark.parametrize(("changes", "how"), [(DIRECTORY, how) for how in DIRECTORY] + [(FILES, how) for how in FILES])
def test_the_log(tmp_path: Path, changes: dict[str, Change], how: str) -> None:
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
