"""size_limit: the cap is kept after each write, the oldest records go, and the store stays sound."""

import random
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Store
from oxidbm.testing import CrashDevice
from tests.inside import abandon
from tests.support import Manual, leave_memory, scaled

PAGE_BYTES = 4096
SMALL: Manual = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}
HEADER = 24


def opened(place: str, path: Path, limit: int, **options: Any) -> Store:
    """Return a store with a limit, on disk with memory for a few pages."""
    if place == "memory":
        return Store(memory="8MiB", page_size=PAGE_BYTES, size_limit=limit, **options)
    store = Store(path, size_limit=limit, **{**SMALL, **options})
    leave_memory(store, 20 * PAGE_BYTES)
    return store


def live(store: Store) -> int:
    """Return the live bytes, blind writes settled."""
    len(store)
    return int(store.stats()["live_bytes"])


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("limit", [100, 1000, 5000, 50_000, 300_000])
def test_cap_is_kept_after_each_write(place: str, limit: int, tmp_path: Path) -> None:
    """Sets, blind writes of keys that have left memory, deletions, every other way to write."""
    chance = random.Random(limit)
    with opened(place, tmp_path / "s", limit, ordered=True) as store, store.session() as session:
        for step in range(scaled(2500, least=1000)):
            key = b"%d" % chance.randrange(600)
            value = bytes(chance.choice([0, 1, 30, 200, 900, 3000]))
            match chance.randrange(12):
                case 0:
                    store.pop(key, None)
                case 1:
                    session.upsert(key, value)
                case 2:
                    store.add(key, value)
                case 3:
                    store.setdefault(key, value)
                case 4:
                    store.set_many({key: value, key + b"!": value})
                case 5:
                    store.set(key, value, expire=100)
                case 6:
                    store.incr(b"counter")
                case _:
                    store[key] = value
            record = HEADER + len(key) + len(value) + 24
            if step % 10 == 0:
                assert live(store) <= max(limit, record)
            else:
                assert store.stats()["live_bytes"] <= max(limit, record)
            if step % 300 == 0:
                assert store.check() == []
        assert store.check() == []
        assert store.stats()["evicted_keys"] > 0
        assert store.stats()["size_limit"] == limit
        assert [key for key, _ in store.range()] == sorted(store.keys())


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_oldest_go_first(place: str, tmp_path: Path) -> None:
    """What goes stands before everything that stays; an update in place does not move its record."""
    with opened(place, tmp_path / "s", 30_000, compaction=False) as store:
        went = 0
        for i in range(scaled(600, least=200)):
            before = [record.key for record in store.scan()]
            key = b"%d" % (i if i % 3 else i // 3)
            store[key] = bytes(100 + i % 50 * 8)  # longer or shorter: some stay where they are
            held = set(store)
            gone = [other for other in before if other not in held]
            assert gone == [other for other in before if other != key][: len(gone)]
            assert key in held
            went += len(gone)
        assert went == store.stats()["evicted_keys"] > 50


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_queue_of_distinct_keys_keeps_the_newest(place: str, tmp_path: Path) -> None:
    with opened(place, tmp_path / "s", 50_000) as store:
        for i in range(2000):
            store[b"%06d" % i] = bytes(168)
            keys = len(store)
            if i % 100 == 99:
                assert sorted(store.keys()) == [b"%06d" % j for j in range(i + 1 - keys, i + 1)]
        assert 50_000 // 200 * 9 // 10 - 2 <= keys <= 50_000 // 200
        assert store.stats()["evicted_keys"] == 2000 - keys


@pytest.mark.parametrize("place", ["memory", "disk"])
@pytest.mark.parametrize("size", [9800, 10_000, 30_000, 50_000])
def test_a_record_that_has_no_room_goes_alone(place: str, size: int, tmp_path: Path) -> None:
    with opened(place, tmp_path / "s", 10_000, ordered=True) as store:
        for turn in range(20):
            small = b"small %d" % turn
            store[small] = bytes(100)
            expected = dict(store)
            store["large"] = bytes(size)
            assert dict(store) == expected
            many = {b"large": bytes(size), b"larger": bytes(size), small: bytes(90)}
            store.set_many(many, expire=100, tag="tag")
            expected[small] = bytes(90)
            assert dict(store) == expected
            store["grows"] = bytes(50)
            store["grows"] = bytes(size)
            assert dict(store) == expected
        assert store.stats()["evicted_keys"] == 4 * 20
        assert [key for key, _ in store.range()] == sorted(store)
        assert store.check() == []


def test_one_that_has_just_room_is_kept(tmp_path: Path) -> None:
    with Store(tmp_path / "s", size_limit=1_000_000) as store:
        for number in range(1000):
            store[b"%d" % number] = bytes(100)
        store["large"] = bytes(900_000)
        assert store["large"] == bytes(900_000)
        assert store.stats()["live_bytes"] <= 1_000_000


@pytest.mark.parametrize("end", ["close", "crash"])
def test_reopening_keeps_what_was_there_and_the_cap(end: str, tmp_path: Path) -> None:
    device = CrashDevice(PAGE_BYTES)
    for turn in range(6):
        with opened("disk", tmp_path / "s", 60_000, device=device, ordered=True) as store:
            for i in range(400):
                store[b"%d" % ((i * 7 + turn * 100) % 700)] = bytes(i * 13 % 900)
                assert live(store) <= 60_000
            store.sync()
            expected = dict(store.items())
            assert store.check() == []
            if end == "crash":
                abandon(store)
                device = device.crash()
        with opened("disk", tmp_path / "s", 60_000, device=device, ordered=True) as store:
            assert dict(store.items()) == expected
            assert live(store) <= 60_000
            assert [key for key, _ in store.range()] == sorted(expected)
            assert store.check() == []


def test_limit_given_to_a_store_that_is_larger(tmp_path: Path) -> None:
    with Store(tmp_path / "s", compaction=False, **SMALL) as store:
        store.update({b"%d" % i: bytes(1000) for i in range(3000)})
    with opened("disk", tmp_path / "s", 100_000, compaction=False) as store:
        assert len(store) == 3000  # nothing goes before something is written
        for i in range(100):
            store[b"new%d" % i] = bytes(100)
        assert live(store) <= 100_000
        assert all(b"new%d" % i in store for i in range(100))
        assert store.check() == []


def test_files_settle(tmp_path: Path) -> None:
    """With compaction, the files stay within a few times the limit."""
    limit = 2 << 20
    with Store(tmp_path / "s", size_limit=limit, memory="4MiB", page_size="64KiB", interval=0.05) as store:
        for i in range(scaled(60_000, least=1500)):
            store[b"%d" % i] = bytes(1000)
            if i % 5000 == 0:
                store.reorganize()
        store.reorganize()
        stats = store.stats()
        assert stats["live_bytes"] <= limit
        assert stats["file_bytes"] <= 2 * limit
        assert store.check() == []


@pytest.mark.parametrize("size", [0, -1, "", "many", 1.5])
def test_wrong_limits(size: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="size_limit"):
        Store(size_limit=size)


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_what_popitem_takes_and_a_limit_lets_go_is_the_oldest_record(place: str, tmp_path: Path) -> None:
    """A value that fits where another one stands takes its place, which a new record does not."""
    with Store(None if place == "memory" else tmp_path / "s", durability="manual") as store:
        store.update({"a": "1", "b": "2", "c": "3"})
        store["a"] = "4"
        assert store.popitem() == (b"a", b"4")
        store["b"] = "longer than before, so that it does not fit"
        store["a"] = "5"
        assert [key for key, _ in (store.popitem(), store.popitem(), store.popitem())] == [b"c", b"b", b"a"]
        store.update({"a": "1", "b": "2"})
        del store["a"]
        store["a"] = "1"
        assert store.popitem() == (b"b", b"2")
        store["b"] = "2"
        if place == "disk":
            store.sync()
            store["a"] = "3"
            assert store.popitem() == (b"b", b"2")
