"""ENOSPC and EIO: reads go on, writes say why, close gives everything back, reopening has the last commit."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import oxidbm
from oxidbm import Store
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.support import Manual

PAGE_BYTES = 4096
OPTIONS: Manual = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}


def writes(store: Store) -> Iterator[object]:
    """Try everything that writes; each must raise before this goes on."""
    session = store.session()
    for operation in (
        lambda: store.__setitem__(b"new", b"value"),
        lambda: store.__setitem__(b"durable", b"same length"),
        lambda: store.__delitem__(b"durable"),
        lambda: store.pop(b"durable"),
        store.popitem,
        lambda: store.setdefault(b"new", b"value"),
        lambda: store.add(b"new", b"value"),
        lambda: store.update(new=b"value"),
        store.clear,
        store.sync,
        store.reorganize,
        store.grow_index,
        lambda: session.upsert(b"new", b"value"),
        lambda: session.rmw(b"durable", lambda old: old + b"1"),
        lambda: session.delete(b"durable"),
        session.commit,
    ):
        with pytest.raises(oxidbm.PoisonedError) as caught:
            operation()
        yield caught.value
    session.close()


def provoke(store: Store, device: FaultyDevice, what: str, code: int) -> None:
    """Let a call fail in the way that leads to it; a disk is full in the middle of a write."""
    device.fail(what, code, part=0.5)
    with pytest.raises(oxidbm.PoisonedError, match=os.strerror(code)):  # noqa: PT012
        if what == "write":
            for i in range(1000):  # until memory is full and a page has to be written
                store[b"more%d" % i] = bytes(3000)
        store.sync()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("what", ["write", "sync"])
def test_failed_write_poisons_the_store(what: str, code: int, tmp_path: Path) -> None:
    memory = CrashDevice(PAGE_BYTES)
    device = FaultyDevice(memory)
    store = Store(tmp_path / "store", device=device, **OPTIONS)
    store[b"durable"] = b"same length"
    store.sync()
    store[b"lost"] = b"not synced"
    provoke(store, device, what, code)

    assert sum(os.strerror(code) in str(raised) for raised in writes(store)) == 16
    assert store[b"durable"] == b"same length"
    assert store.get(b"lost") == b"not synced"
    assert b"new" not in store
    assert dict(store.items())[b"durable"] == b"same length"
    assert os.strerror(code) in store.stats()["poisoned"]
    assert store.check() == []

    with pytest.raises(oxidbm.PoisonedError, match=os.strerror(code)):
        store.close()
    assert store.closed
    assert device.calls["close"] == 1
    store.close()
    with pytest.raises(oxidbm.ClosedError):
        store[b"durable"]

    with Store(tmp_path / "store", device=memory.crash(), **OPTIONS) as store:
        assert dict(store.items()) == {b"durable": b"same length"}
        store[b"new"] = b"value"
        assert store.check() == []


def test_failure_in_the_background_reaches_the_writer(tmp_path: Path) -> None:
    memory = CrashDevice(PAGE_BYTES)
    device = FaultyDevice(memory)
    store = Store(tmp_path / "store", device=device, memory="1MiB", page_size=PAGE_BYTES, interval=0.01)
    store[b"durable"] = b"value"
    store.sync()
    device.fail("sync", errno.EIO)
    with pytest.raises(oxidbm.PoisonedError, match=os.strerror(errno.EIO)):  # noqa: PT012
        while True:
            store[b"more"] = b"%d" % device.size()
    assert store[b"durable"] == b"value"
    with pytest.raises(oxidbm.PoisonedError):
        store.close()


def test_session_left_normally_reports_the_failure(tmp_path: Path) -> None:
    memory = CrashDevice(PAGE_BYTES)
    device = FaultyDevice(memory)
    store = Store(tmp_path / "store", device=device, **OPTIONS)
    with pytest.raises(oxidbm.PoisonedError), store.session("worker") as session:  # noqa: PT012
        session.upsert(b"key", b"value")
        device.fail("sync", errno.EIO)
    assert session.closed
    assert session.durable_serial == 0
    with pytest.raises(oxidbm.PoisonedError):
        store.close()


def test_failed_deletion_of_segments_loses_nothing(tmp_path: Path) -> None:
    memory = CrashDevice(PAGE_BYTES)
    device = FaultyDevice(memory)
    store = Store(tmp_path / "store", device=device, **OPTIONS)
    expected = {b"%d" % i: bytes(3000) for i in range(30)}
    store.update(expected)
    device.fail("truncate_before", errno.EIO)
    store.reorganize()
    assert dict(store.items()) == expected
    with pytest.raises(oxidbm.PoisonedError, match=os.strerror(errno.EIO)):
        store[b"new"] = b"value"
    with pytest.raises(oxidbm.PoisonedError):
        store.close()
    with Store(tmp_path / "store", device=memory.crash(), **OPTIONS) as store:
        assert dict(store.items()) == expected


def test_failed_read_is_an_error_and_no_value(tmp_path: Path) -> None:
    device = FaultyDevice(CrashDevice(PAGE_BYTES))
    with Store(tmp_path / "store", device=device, **OPTIONS) as store:
        for i in range(600):
            store[b"%d" % i] = b"%d" % i * 1000
        device.fail("read", errno.EIO)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            store[b"0"]
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            list(store.values())
        device.heal()
        assert store[b"0"] == b"0" * 1000
        assert store.check() == []


def test_full_disk(small_disk: Path) -> None:
    store = Store(small_disk / "store", **OPTIONS)
    store[b"durable"] = b"value"
    store.sync()
    with pytest.raises(oxidbm.PoisonedError, match=os.strerror(errno.ENOSPC)):  # noqa: PT012
        for i in range(10_000):
            store[b"%d" % i] = bytes(3000)
    written = store.stats()["flushed"]
    assert store[b"0"] == bytes(3000)
    assert store[b"durable"] == b"value"
    with pytest.raises(oxidbm.PoisonedError, match=os.strerror(errno.ENOSPC)):
        store.close()
    with Store(small_disk / "store", **OPTIONS) as store:
        assert dict(store.items()) == {b"durable": b"value"}
        assert store.stats()["file_bytes"] < written  # what was not committed was cut off
        store[b"again"] = bytes(100_000)
    with Store(small_disk / "store", **OPTIONS) as store:
        assert store[b"again"] == bytes(100_000)
        assert store.check() == []
