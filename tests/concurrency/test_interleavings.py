"""Threads that come exactly when the device is read: the places where another thread can get in, one by one.

The device calls the test at the start of each read of the first operation, and the test does a second one there. Keys
of one group share bucket and tag, so that every operation has to read records of other keys first.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from oxidbm import Store
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.collisions import colliding_key
from tests.inside import table_of
from tests.support import PURE, leave_memory

PAGE_BYTES = 4096
KEYS = 5
FILLER = 40

Operation = Callable[[Store, list[bytes]], object]


def get(store: Store, keys: list[bytes]) -> object:
    return store.get(keys[1])


def upsert(store: Store, keys: list[bytes]) -> object:
    store[keys[1]] = b"first" * 20
    return None


def insert(store: Store, keys: list[bytes]) -> object:
    return store.add(keys[1], b"inserted")


def rmw(store: Store, keys: list[bytes]) -> object:
    with store.session() as session:
        return session.rmw(keys[1], lambda old: old[:6] + b"+", b"initial")


def delete(store: Store, keys: list[bytes]) -> object:
    return store.pop(keys[1], None)


def count(store: Store, keys: list[bytes]) -> object:
    return len(store)


FIRST = [get, upsert, insert, rmw, delete, count]


def set_same(store: Store, keys: list[bytes]) -> object:
    store[keys[1]] = b"second" * 30
    return None


def set_other(store: Store, keys: list[bytes]) -> object:
    store[keys[3]] = b"other" * 30
    return None


def delete_same(store: Store, keys: list[bytes]) -> object:
    return store.pop(keys[1], None)


def delete_other(store: Store, keys: list[bytes]) -> object:
    return store.pop(keys[2], None)


def compact(store: Store, keys: list[bytes]) -> object:
    store.reorganize()
    return None


def evict(store: Store, keys: list[bytes]) -> object:
    for i in range(FILLER):
        store[b"filler%d" % i] = bytes(1000)
    return None


def clear(store: Store, keys: list[bytes]) -> object:
    store.clear()
    return None


def nothing(store: Store, keys: list[bytes]) -> object:
    return None


SECOND = [set_same, set_other, delete_same, delete_other, compact, evict, clear]


def prepared(path: Path, device: FaultyDevice) -> tuple[Store, list[bytes]]:
    """Return a store whose colliding keys are on disk, some in front of others unseen, one deleted."""
    store = Store(path, device=device, memory="1MiB", page_size=PAGE_BYTES, durability="manual", compaction=False)
    leave_memory(store, 8 * PAGE_BYTES)
    keys = [colliding_key(table_of(store).seed, 0, number) for number in range(KEYS)]
    for i, key in enumerate(keys):
        store[key] = b"value%d" % i
    evict(store, keys)
    store[keys[0]] = b"blind"
    del store[keys[4]]
    evict(store, keys)
    return store, keys


def outcome(path: Path, first: Operation, second: Operation, at: int) -> tuple[int, object, dict[bytes, bytes]]:
    """Run `first` with `second` inside of its read number `at` (-1: after it, -2: before it)."""
    device = FaultyDevice(CrashDevice(PAGE_BYTES))
    store, keys = prepared(path, device)
    if at == -2:
        second(store, keys)
    reads = device.calls["read"]
    if at >= 0:
        device.before("read", lambda: second(store, keys), after=at, times=1)
    result = first(store, keys)
    device.heal()
    happened = device.calls["read"] - reads
    if at == -1:
        second(store, keys)
    assert store.check() == []
    held = {bytes([keys.index(key)]) if key in keys else key: value for key, value in store.items()}
    assert len(store) == len(held)
    store.close()
    with Store(path, device=device, memory="1MiB", page_size=PAGE_BYTES) as again:
        assert {bytes([keys.index(key)]) if key in keys else key: value for key, value in again.items()} == held
    return happened, result, held


@pytest.mark.parametrize("second", SECOND, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("first", FIRST, ids=lambda operation: operation.__name__)
def test_a_thread_in_between(first: Operation, second: Operation, tmp_path: Path) -> None:
    """The result is that of one order of the two or of the other."""
    allowed = [outcome(tmp_path / f"order{at}", first, second, at)[1:] for at in (-1, -2)]
    reads, _, _ = outcome(tmp_path / "alone", first, nothing, -1)
    for at in range(0, min(reads, 12), 3 if PURE else 1):
        _, result, held = outcome(tmp_path / f"read{at}", first, second, at)
        if first is count:
            assert result in [order[0] for order in allowed]
            continue
        assert (result, held) in allowed, f"at read {at} of {reads}"


def test_iteration_reads_from_files_that_compaction_passed(tmp_path: Path) -> None:
    device = FaultyDevice(CrashDevice(PAGE_BYTES))
    store, _ = prepared(tmp_path / "store", device)
    with store:
        expected = dict(store.items())
        iterator = iter(store.items())
        seen = [next(iterator) for _ in range(3)]
        store.reorganize()
        assert store.stats()["readers"] == 1
        seen += list(iterator)
        assert dict(seen) == expected
        assert len(seen) == len(expected)
        assert store.stats()["readers"] == 0
