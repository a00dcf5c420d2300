"""Backups on disks that are full, fail or lie, and Ctrl-C in the middle of one: what was there is there as before."""

import errno
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Log, PoisonedError, Store, _backup
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.format.stores import TINY_FILES, Items, clock, make_tiny, open_store
from tests.format.test_flips import flip_bits, outcome
from tests.inside import abandon, abandon_log
from tests.support import PURE, Quiet, scaled

OPTIONS: Quiet = {"memory": "1MiB", "page_size": 4096, "durability": "manual", "compaction": False}
CALLS = ("pwrite", "write", "fsync", "fdatasync", "replace", "link", "rename", "mkdir", "open", "unlink", "rmdir")


def held(path: Path) -> dict[bytes, bytes] | None:
    """Return what a backup holds, which is without fault; None for none."""
    if not path.exists():
        return None
    with Store(path, read_only=True, memory="1MiB") as store:
        assert store.check() == []
        return dict(store)


class Counted:
    """Calls of the system that name files of a backup; the one whose turn it is raises."""

    def __init__(self, patch: pytest.MonkeyPatch, left: int, failure: BaseException) -> None:
        self.left = left
        self.calls = 0
        self.failure = failure
        for name in CALLS:
            patch.setattr(os, name, self.counted(name, getattr(os, name)))
        patch.setattr(_backup, "exchange", self.counted("exchange", _backup.exchange))

    def counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            if name == "open" and not arguments[1] & (os.O_CREAT | os.O_RDWR | os.O_WRONLY):
                return call(*arguments, **more)
            self.calls += 1
            if self.calls == self.left + 1:
                raise self.failure
            return call(*arguments, **more)

        return counted


def one_backup(store: Store, to: Path, left: int, failure: BaseException) -> int:
    """Make a backup in which the call after `left` others fails; return how many calls were made."""
    with pytest.MonkeyPatch.context() as patch:
        counted = Counted(patch, left, failure)
        try:
            store.backup(to, link=left % 2 == 0)
        except BaseException as caught:
            if caught is not failure and failure not in (caught.__cause__, caught.__context__):
                raise
    return counted.calls


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["ENOSPC", "Ctrl-C"])
@pytest.mark.parametrize("incremental", [False, True])
def test_a_call_that_fails_leaves_what_was_there(tmp_path: Path, incremental: bool, failure: str) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        store.update((b"%d" % number, b"v" * 1000) for number in range(50))
        store.sync()
        if incremental:
            store.backup(tmp_path / "earlier")
            store.reorganize()  # another segment
        store.update((b"%d" % number, b"w" * 1000) for number in range(40, 90))
        store.sync()
        after = dict(store)
        before = held(tmp_path / "earlier")
        calls = one_backup(store, tmp_path / "whole", 10**9, OSError())
        assert calls > 10
        finished = failed = 0
        for left in random.Random(7).sample(range(calls), scaled(calls, least=5)):
            to = tmp_path / f"b{left}"
            if incremental:
                shutil.copytree(tmp_path / "earlier", to)
            error: BaseException = KeyboardInterrupt()
            if failure == "ENOSPC":
                error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            one_backup(store, to, left, error)
            found = held(to)
            assert found in (before, after), f"after the failure of call {left}"
            finished += found == after
            failed += found == before
            store.backup(to)
            assert held(to) == after
            assert [path.name for path in tmp_path.glob(f"b{left}.*")] == []
            shutil.rmtree(to)
        assert failed > finished
        assert store.check() == []


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        store[b"small"] = b"1"
        store.backup(small_disk / "b", link=True)
        store.update((b"%d" % number, b"v" * 100_000) for number in range(80))
        for to in ("b", "new"):
            with pytest.raises(OSError, match="No space left on device") as caught:
                store.backup(small_disk / to)
            assert str(small_disk / to) in str(caught.value.filename)
        assert os.listdir(small_disk) == ["b"]
        assert held(small_disk / "b") == {b"small": b"1"}
        assert held(tmp_path / "s") == dict(store)


def test_all_is_durable_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of the backup is synced after its last write, and so are its directories, when the name is given."""
    dirty: dict[tuple[int, int], str] = {}
    named: list[list[str]] = []

    def identity(descriptor: int) -> tuple[int, int]:
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino

    def noting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **more: Any) -> Any:
            if name == "named":
                named.append(sorted(dirty.values()))
            result = call(*arguments, **more)
            if name in ("write", "pwrite"):
                dirty[identity(arguments[0])] = f"file {arguments[0]}"
            elif name in ("fsync", "fdatasync"):
                dirty.pop(identity(arguments[0]), None)
            elif name == "open" and arguments[1] & os.O_CREAT and more.get("dir_fd") is not None:
                dirty[identity(more["dir_fd"])] = f"directory of {arguments[0]}"
            elif name in ("link", "replace"):
                dirty[identity(more["dst_dir_fd"])] = f"directory of {arguments[1]}"
            return result

        return noted

    with Store(tmp_path / "s", **OPTIONS) as store:
        for first in (0, 50):
            store.update((b"%d" % number, b"v" * 1000) for number in range(first, first + 50))
            store.reorganize()
            with monkeypatch.context() as patch:
                for name in ("write", "pwrite", "fsync", "fdatasync", "open", "link", "replace"):
                    patch.setattr(os, name, noting(name, getattr(os, name)))
                patch.setattr(os, "rename", noting("named", os.rename))
                patch.setattr(_backup, "exchange", noting("named", _backup.exchange))
                store.backup(tmp_path / "b", link=True)
            assert dirty == {}
    assert named == [[], []]


def make_backup(path: Path) -> Items:
    """Make a backup of the tiny store, and return what it holds."""
    expected = make_tiny(path.with_name("source"))
    with open_store(path.with_name("source"), read_only=True) as store:
        assert store.backup(path).commit_time == clock()
    assert sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()) == sorted(
        [*TINY_FILES, "LOCK"]
    )
    return expected


@pytest.mark.parametrize("name", TINY_FILES)
def test_every_flip_of_a_backup_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / "b"
    expected = make_backup(path)
    silent = set()

    def judge(offset: int, said: str) -> None:
        if said == "":
            silent.add(offset)

    size = (path / name).stat().st_size
    flip_bits(path, name, range(0, 8 * size, 21 if PURE else 3), judge, expected)
    assert silent <= (set() if "log" not in name else set(range(64)))  # unused bytes before the first record
    assert outcome(path, expected) == ""


@pytest.mark.parametrize("name", TINY_FILES)
def test_every_cut_of_a_backup_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / "b"
    expected = make_backup(path)
    whole = (path / name).read_bytes()
    for size in range(0, len(whole), 40 if PURE else 1):
        (path / name).write_bytes(whole[:size])
        assert outcome(path, expected) != ""
    (path / name).unlink()
    if name == "CLEAN":
        assert outcome(path, expected) == ""  # as after a crash: all of the log is there
    else:
        assert outcome(path, expected) != ""


def test_damage_of_the_source_is_found_in_the_backup(tmp_path: Path) -> None:
    """Segments are copied as they are."""
    with Store(tmp_path / "s", **OPTIONS) as store:
        store.update((b"%d" % number, b"v" * 100) for number in range(100))
    with (tmp_path / "s" / "log" / "0000000000.seg").open("r+b") as file:
        store = Store(tmp_path / "s", **OPTIONS)
        file.seek(5000)
        file.write(b"damage")
        file.flush()
        store.backup(tmp_path / "b")
        store.close()
    assert oxidbm.check(tmp_path / "b") != []
    with pytest.raises(oxidbm.CorruptionError):
        Store(tmp_path / "b", read_only=True)


@pytest.mark.parametrize("failed", ["sync", "checkpoint", "interval", "log"])
def test_a_poisoned_store_is_not_backed_up_without_what_it_could_not_commit(tmp_path: Path, failed: str) -> None:
    """Nor as it was before, without a word; a reader copies what is durable."""
    device = FaultyDevice(CrashDevice(4096))
    path, to = tmp_path / "it", tmp_path / "backup"
    if failed == "log":
        log = Log(path, device=device, page_size=4096)
        log.append(b"old")
        log.commit()
        device.fail("sync", errno.EIO)
        log.append(b"new")
        with pytest.raises(PoisonedError):
            log.commit()
        with pytest.raises(PoisonedError, match="takes no more writes since one failed"):
            log.backup(to)
        abandon_log(log)
    else:
        options: Any = {"durability": "manual", "page_size": 4096, "memory": "1MiB", "device": device}
        store = Store(path, **options | ({"durability": "interval", "interval": 0.01} if failed == "interval" else {}))
        store[b"old"] = b"1"
        store.sync()
        device.fail("sync", errno.EIO)
        store[b"new"] = b"2"
        if failed == "interval":
            while not store.stats()["poisoned"]:
                time.sleep(0.01)
        else:
            with pytest.raises(PoisonedError):
                (store.sync if failed == "sync" else store.checkpoint)()
        with pytest.raises(PoisonedError, match="takes no more writes since one failed"):
            store.backup(to)
        abandon(store)
        device.heal()
        with Store(path, read_only=True, **options) as reader:
            reader.backup(to)
        assert dict(Store(to, read_only=True)) in ({b"old": b"1"}, {b"old": b"1", b"new": b"2"})
    assert failed != "log" or not to.exists()
