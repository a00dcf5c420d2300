"""Log scan: ranges, versions, resumption, and what an iteration yields while the store changes."""

from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.log.cursor import CHUNK_BYTES, Cursor
from oxidbm._core.store.maintainers import MemoryMaintainer
from oxidbm._core.table.compaction import Compaction
from tests.inside import log_of, table_of
from tests.support import scaled
from tests.unit.helpers import PAGE_BYTES, disk_store, push_to_disk


def versions(store: oxidbm.Store, *, live: bool = True) -> list[tuple[bytes, bytes, bool]]:
    """Return key, value and tombstone of every record of a scan."""
    return [(record.key, record.value, record.tombstone) for record in store.scan(live=live)]


def test_every_version_or_live_only(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store.update({b"a": b"1", b"b": b"2"})
        store.sync()
        store[b"a"] = b"3"
        del store[b"b"]
        every = [(b"a", b"1", False), (b"b", b"2", False), (b"a", b"3", False), (b"b", b"", True)]
        assert versions(store, live=False) == every
        assert versions(store) == [(b"a", b"3", False)]
        push_to_disk(store)
        assert versions(store, live=False) == every
        assert versions(store) == [(b"a", b"3", False)]


def test_ranges_and_resumption(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        for number in range(300):
            store[b"%03d" % number] = b"v" * 20
        records = list(store.scan())
        addresses = [record.address for record in records]
        assert addresses == sorted(addresses)
        first, last = addresses[100], addresses[200]
        assert [record.key for record in store.scan(first, last)] == [b"%03d" % number for number in range(100, 200)]
        scan = store.scan()
        taken = [next(scan).key for _ in range(150)]
        taken += [record.key for record in store.scan(scan.position)]
        assert taken == [b"%03d" % number for number in range(300)]
        assert list(store.scan(10**12)) == []
        assert list(store.scan(first, first)) == []
        scan.close()
        with pytest.raises(StopIteration):
            next(scan)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_iteration_under_mutation(tmp_path: Path, where: str) -> None:
    with disk_store(tmp_path / "store") as store:
        store.update({b"%02d" % number: b"old" for number in range(50)})
        if where == "disk":
            push_to_disk(store)
        items = iter(store.items())
        assert next(items) == (b"00", b"old")
        del store[b"10"]
        store[b"20"] = b"a longer value than before"
        store[b"00"] = b"again"
        store[b"new"] = b"not seen"
        for _ in range(3):
            store[b"30"] = b"x" * 30
            store.sync()
        seen = dict(items)
        expected = {b"%02d" % number: b"old" for number in range(1, 50) if number != 10}
        expected[b"20"] = b"a longer value than before"
        expected[b"30"] = b"x" * 30
        assert seen == expected


def test_each_key_is_seen_once_over_many_pages(tmp_path: Path) -> None:
    count = scaled(5000, least=500)
    with disk_store(tmp_path / "store") as store:
        for turn in range(3):
            for number in range(count):
                store[b"%d" % number] = b"%d" % (number + turn)
            store.sync()
        push_to_disk(store)
        keys = list(store.keys())
        assert len(keys) == len(set(keys)) == count
        assert sorted(store.values()) == sorted(b"%d" % (number + 2) for number in range(count))


def test_records_larger_than_a_chunk(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        expected = {b"a": b"1", b"large": b"L" * (CHUNK_BYTES + 100), b"b": b"2", b"run": b"r" * PAGE_BYTES}
        store.update(expected)
        push_to_disk(store)
        assert dict(store.items()) == expected
        assert {record.key: record.value for record in store.scan()} == expected


def test_a_record_that_goes_to_disk_is_read_again(tmp_path: Path) -> None:
    """A compaction without room steps back; meanwhile the record may be sealed, written, and gone from memory."""
    with disk_store(tmp_path / "store") as store:
        store[b"key"] = b"value"
        cursor = Cursor(log_of(store), FIRST_ADDRESS, log_of(store).tail)
        assert cursor.step()
        cursor.following = FIRST_ADDRESS
        push_to_disk(store)
        assert cursor.step()
        assert (cursor.key(), cursor.value()) == (b"key", b"value")


def test_iterators_are_readers_until_they_end(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store.update({b"a": b"1", b"b": b"2"})
        iterators: list[Any] = [iter(store), iter(store.values()), store.scan()]
        assert store.stats()["readers"] == 3
        assert list(iterators[0]) == [b"a", b"b"]
        assert store.stats()["readers"] == 2
        iterators[2].close()
        del iterators
        assert store.stats()["readers"] == 0


def test_iteration_across_close(tmp_path: Path) -> None:
    store = disk_store(tmp_path / "store")
    store.update({b"a": b"1", b"b": b"2"})
    keys, scan = iter(store), store.scan()
    assert next(keys) == b"a"
    store.close()
    for iterator in (keys, scan):
        with pytest.raises(oxidbm.ClosedError, match="is closed"):
            next(iterator)
    for begin in (lambda: iter(store), store.scan):
        with pytest.raises(oxidbm.ClosedError):
            begin()


def test_record_has_a_repr(tmp_path: Path) -> None:
    with oxidbm.Store() as store:
        store[b"k"] = b"v"
        (record,) = store.scan()
        assert repr(record) == "LogRecord(address=64, key=b'k', value=b'v', tombstone=False)"
        assert (record.expiry, record.previous_address) == (0, 0)


def test_iteration_that_begins_while_a_page_in_memory_is_half_compacted() -> None:
    """A pass under way waits for the iterator: a copy behind its end, on a page that goes, would be lost to it."""
    with oxidbm.Store(memory="4MiB", page_size="256KiB") as store:
        keys = [b"stays %d" % number for number in range(1000)]
        store.update(dict.fromkeys(keys, b"v" * 100))
        table = table_of(store)
        maintainer = table.maintainer
        assert isinstance(maintainer, MemoryMaintainer)
        turn = 0
        while maintainer.compaction is None or maintainer.compaction.cursor.following < 20_000:
            store[b"other %d" % (turn % 50)] = b"y" * (2000 + turn // 50)
            turn += 1
            if maintainer.compaction is None and table.log.begin == 64 and turn > 300:
                maintainer.compaction = Compaction(table, table.log.first_page_end())
                assert maintainer.compaction.slice(25_000, False)
        assert maintainer.compaction.cursor.following < maintainer.compaction.until
        iterator = iter(store)
        seen = [next(iterator)]
        for number in range(200):
            store[b"other %d" % (number % 50)] = b"z" * (2500 + number)
            if number % 100 == 0:
                seen.append(next(iterator))
        seen += iterator
        assert sorted(key for key in seen if key.startswith(b"stays")) == sorted(keys)
        assert store.check() == []


def overwrite(store: oxidbm.Store, rounds: int) -> None:
    """Delete and set every tenth key, and change all others' values to another length, many times."""
    for turn in range(rounds):
        for number in range(100):
            if number % 10 == 0:
                del store[b"%d" % number]
            store[b"%d" % number] = b"%d." % turn + bytes((turn * 100 + number * 7) % 900)


@pytest.mark.parametrize("kind", ["keys", "values", "items", "scan", "every version"])
def test_an_iterator_that_is_kept_does_not_fill_a_store_in_memory(kind: str) -> None:
    with oxidbm.Store(memory="1MiB", page_size=PAGE_BYTES) as store:
        store.update({b"%d" % number: b"old" for number in range(100)})
        scans: dict[str, Any] = {"scan": store.scan, "every version": lambda: store.scan(live=False)}
        walk = scans[kind]() if kind in scans else iter(getattr(store, kind)())
        first = next(walk)
        store[b"came later"] = b"new"
        rounds = scaled(100, least=40)
        overwrite(store, rounds)
        assert store.stats()["readers"] == 1
        assert store.stats()["tail"] > 1 << 20, "more was written than fits the budget"
        assert store.check() == []
        left = list(walk)
        assert store.stats()["readers"] == 0
        expected = {key: value for key, value in store.items() if key not in (b"0", b"came later")}
        always_there = {key for key in expected if int(key) % 10 != 0}
        if kind == "keys":
            assert first == b"0"
            assert len(left) == len(set(left))
            assert always_there <= set(left) <= set(expected)
        elif kind == "values":
            assert first == b"old"
            assert {expected[key] for key in always_there} <= set(left) <= set(expected.values())
        else:
            found = left if kind == "items" else [(record.key, record.value) for record in left]
            assert len(found) == len(dict(found))
            assert always_there <= dict(found).keys() <= expected.keys()
            assert dict(found).items() <= expected.items()


def test_many_kept_iterators_see_each_key_once_wherever_they_stand() -> None:
    """They stand at different places of different pages when the pages go, some begun in the middle of a pass."""
    with oxidbm.Store(memory="1MiB", page_size=PAGE_BYTES) as store:
        keys = {b"%d" % number for number in range(100)}
        store.update(dict.fromkeys(keys, b"old"))
        walks: list[tuple[Any, list[bytes]]] = []
        for turn in range(scaled(60, least=30)):
            walk = iter(store)
            seen = [next(walk) for _ in range(turn * 7 % 100)]
            walks.append((walk, seen))
            for number in range(100):
                store[b"%d" % number] = bytes((turn * 100 + number * 7) % 900)
            for number, (other, others) in enumerate(walks):
                if number % 3 == turn % 3:
                    others.extend(key for key in [next(other, None)] if key is not None)
        for walk, seen in walks:
            seen.extend(walk)
            assert len(seen) == len(keys)
            assert set(seen) == keys
        assert store.check() == []


def test_a_kept_iterator_of_a_cache_yields_what_was_not_evicted() -> None:
    with oxidbm.Store(memory="1MiB", page_size=PAGE_BYTES, evict=True) as store:
        store.update({b"%d" % number: bytes(500) for number in range(500)})
        walk = iter(store)
        first = next(walk)
        for number in range(3000):
            store[b"other%d" % (number % 1700)] = bytes(number % 900)
        left = list(walk)
        assert first not in left
        assert len(left) == len(set(left))
        assert not any(key.startswith(b"other") for key in left)
        assert all(key in store for key in left)
