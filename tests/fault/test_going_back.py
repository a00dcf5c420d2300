"""Going back to a snapshot that ends in its middle: what the log had of that state stays, and it can be begun again."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from oxidbm._recover import loss_of
from tests.unit.helpers import disk_store

if sys.platform != "win32":
    import resource

OLD = {b"%d" % number: b"old" * 20 for number in range(300)}


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit of the size of files")
@pytest.mark.parametrize("room", [0, 8])
def test_a_full_disk_while_the_log_goes_back(room: int, tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update(OLD)
        store.sync()
        durable = store.stats()["durable_tail"]
        store[b"in memory"] = b"when it was made"
        made = store.checkpoint("snapshot")
        assert store.stats()["durable_tail"] == durable
        store.update(dict.fromkeys(OLD, b"new"))
    assert (path / "log" / "0000000000.seg").stat().st_size > durable
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (durable + room, hard))  # the log is cut, and cannot go on
    try:
        with pytest.raises(OSError, match="too large"):
            oxidbm.recover(path, made.token)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with disk_store(path, read_only=True) as store:
        assert dict(store.items()) == OLD | {b"in memory": b"when it was made"}
    assert oxidbm.recover(path, made.token).commit == made.commit
    with disk_store(path) as store:
        assert dict(store.items()) == OLD | {b"in memory": b"when it was made"}
        assert store.check() == []


@pytest.mark.parametrize("kind", ["fold-over", "snapshot", "log"])
def test_a_reader_that_looks_in_the_middle_of_it_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"key"] = b"1"
        made = store.checkpoint(kind)
        store[b"key"] = b"2"
    truncate = os.ftruncate
    looked: list[bytes] = []
    with oxidbm.Store(path, read_only=True, memory="1MiB") as reader:

        def look(descriptor: int, size: int) -> None:
            truncate(descriptor, size)  # the note of a recovery ends so, before anything is cut off, and after that
            reader.refresh()
            looked.append(reader[b"key"])

        with monkeypatch.context() as patch:
            patch.setattr(os, "ftruncate", look)
            oxidbm.recover(path, made.token)
        assert b"2" in looked
        reader.refresh()
        assert reader[b"key"] == b"1"
        with disk_store(path) as store:
            store[b"key"] = b"3"
        assert reader.refresh()
        assert reader[b"key"] == b"3"


def test_what_a_killed_process_left_of_a_checkpoint_goes(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"key"] = b"1"
        made = store.checkpoint("snapshot")
        store[b"key"] = b"2"
    left = path / "checkpoints" / "000000000009-01234567.index.zst"
    left.write_bytes(b"an image that was begun")
    oxidbm.recover(path, made.token)
    assert not left.exists()
    with disk_store(path) as store:
        assert dict(store.items()) == {b"key": b"1"}


def test_checkpoints_of_the_same_commit_stay(tmp_path: Path) -> None:
    """Whatever their tokens are, which are chance, and whichever of them was gone back to."""
    path = tmp_path / "store"
    with Store(path, durability="manual") as store:
        store[b"a"] = b"1"
        made = [store.checkpoint("log", name=f"{number}") for number in range(8)]
        store[b"b"] = b"2"
        later = store.checkpoint()
    for chosen in made:
        loss = loss_of(str(path), chosen.token)
        assert set(loss.newer) <= {later.token}
        oxidbm.recover(path, chosen.token)
        with Store(path, read_only=True) as store:
            assert {found.token for found in store.checkpoints()} == {one.token for one in made}
            assert dict(store) == {b"a": b"1"}
            assert store.check() == []
