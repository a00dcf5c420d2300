"""Closing that is interrupted, or has no thread to wait for: nothing is lost and nothing waits for ever."""

import _thread
import gc
import os
import weakref
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Store
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.inside import abandon, disk_of, order_of

PAGE_BYTES = 4096


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1)], ids=["Ctrl-C", "exit"])
def test_an_interrupted_close_can_be_called_again(tmp_path: Path, stop: BaseException) -> None:
    """What a signal handler would raise comes in the middle of a sync."""
    memory = CrashDevice(PAGE_BYTES)
    device = FaultyDevice(memory)
    options: dict[str, Any] = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}
    store = Store(tmp_path / "store", device=device, **options)
    store[b"key"] = b"value"
    device.fail("sync", stop, times=1)
    with pytest.raises(type(stop)):
        store.close()
    assert not store.closed
    store[b"more"] = b"is still possible"
    store.close()
    assert store.closed
    with Store(tmp_path / "store", device=memory.crash(), **options) as store:
        assert dict(store) == {b"key": b"value", b"more": b"is still possible"}
        assert store.check() == []


def test_a_close_that_is_interrupted_while_it_waits_has_not_happened(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", durability="manual")
    store[b"key"] = b"value"
    lock = disk_of(store).compactor.lock
    real = lock.lock

    class Interrupted:
        def acquire(self) -> None:
            lock.lock = real
            raise KeyboardInterrupt

        def _is_owned(self) -> bool:
            return False

    lock.lock = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        store.close()
    assert not store.closed
    store.close()
    with Store(tmp_path / "store") as again:
        assert dict(again) == {b"key": b"value"}
        assert again.check() == []


def test_a_mark_that_an_interrupted_close_wrote_goes_before_the_next_write(tmp_path: Path) -> None:
    """Else a crash would leave a mark of an end that is not the log's."""
    path = tmp_path / "store"
    store = Store(path, durability="manual")
    store[b"key"] = b"value"
    real = os.replace

    def replace_and_stop(*names: Any, **more: Any) -> None:
        real(*names, **more)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace_and_stop)
        with pytest.raises(KeyboardInterrupt):
            store.close()
    assert (path / "CLEAN").exists()
    store[b"more"] = b"1"
    store.sync()
    assert not (path / "CLEAN").exists()
    abandon(store)
    with Store(path) as store:
        assert dict(store) == {b"key": b"value", b"more": b"1"}
        assert store.check() == []


def test_a_store_closes_where_no_thread_could_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", none_left)
    with Store(tmp_path / "store", durability="manual") as store:
        store.update({b"%d" % number: bytes(1000) for number in range(1000)})
        store.reorganize()
    monkeypatch.undo()
    with Store(tmp_path / "store") as store:
        assert len(store) == 1000


def test_a_closed_ordered_store_goes_without_a_garbage_collection(tmp_path: Path) -> None:
    """The keys of an ordered store are much memory, and collections may be rare, or off."""
    gc.disable()
    try:
        for path in (None, tmp_path / "store"):
            with Store(path, ordered=True) as store:
                store.update({b"key": b"value"})
                assert store.first_key() == b"key"
                keys = weakref.ref(order_of(store).keys)
            del store
            assert keys() is None
    finally:
        gc.enable()
