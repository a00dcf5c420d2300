"""compact() and close() beside many blind writes, which are settled before a pass; and how far a pass goes."""

import time
from pathlib import Path

import pytest

import oxidbm
from tests.inside import compactor_of, disk_of, log_of
from tests.unit.helpers import disk_store, push_to_disk
from tests.unit.test_compact import in_files


def with_pending(path: Path, keys: int = 3000) -> oxidbm.Store:
    """Return a store with so many records on disk, half of which were written again without a look at them."""
    store = disk_store(path, checkpoints=False, memory="8MiB")
    disk_of(store).stop()
    store.update((b"%d" % number, b"value") for number in range(keys))
    push_to_disk(store)
    store.update((b"%d" % number, b"again") for number in range(0, keys, 2))
    push_to_disk(store)
    return store


class Ticks:
    """A clock that goes on by a second with each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_timeout_holds_while_blind_writes_are_settled_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be hundreds of thousands, each a read of the disk or more."""
    with with_pending(tmp_path / "store") as store:
        before = store.stats()
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", Ticks())
            assert store.compact(0, timeout=6) == 0
        left = store.stats()["unverified"]
        assert 0 < left < before["unverified"]
        assert store.stats()["begin"] == before["begin"]
        assert store.compact(0) > 0
        assert store.stats()["unverified"] == 0
        assert len(store) == 3000
        assert store.check() == []


def test_a_rate_holds_while_blind_writes_are_settled_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with with_pending(tmp_path / "store") as store:
        before = store.stats()["unverified"]
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", Ticks())
            patch.setattr(time, "sleep", lambda seconds: None)
            assert store.compact(0, timeout=100, rate="4KiB") == 0
        assert before - store.stats()["unverified"] == 256  # which is a megabyte, and four minutes
        assert store.compact(0, rate="1GiB") > 0
        assert len(store) == 3000
        assert store.check() == []


def test_closing_ends_settling(tmp_path: Path) -> None:
    with with_pending(tmp_path / "store") as store:
        compacts = compactor_of(store)
        compacts.closing = True
        try:
            assert not compacts.settle_pending()
            assert store.stats()["unverified"] > 0
            compacts.begin_pass(log_of(store).tail)
            assert compacts.compaction is None
        finally:
            compacts.closing = False
        assert compacts.settle_pending()
        assert store.stats()["unverified"] == 0


def test_a_pass_goes_over_an_eighth_of_the_log(tmp_path: Path) -> None:
    """Each has its settling and its commit: with one for each of hundreds of files writers would outrun it."""
    with disk_store(tmp_path / "store") as store:
        expected = in_files(store, 80)
        before = store.stats()["compactions"]
        store.compact(0)
        passes = store.stats()["compactions"] - before
        assert 8 <= passes <= 30
        assert dict(store) == expected
        assert store.check() == []
