"""Read, upsert, conditional writes and delete in each region of the log, and at the edges of sizes."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oxidbm
from oxidbm._core.hashing import hash_key
from oxidbm._core.log.reader import expiry_of, value_of
from oxidbm._core.log.record import KEY_LENGTH_MAX
from oxidbm._core.table import operations
from oxidbm._core.table.locate import locate
from oxidbm._core.table.retry import put, remove, wanted_room
from oxidbm._core.table.table import Table
from tests.inside import log_of, table_of
from tests.support import scaled
from tests.unit.helpers import (
    PAGE_BYTES,
    Clock,
    disk_store,
    keys_of_a_bucket,
    memory_table,
    push_to_disk,
    value_filling,
)


def upsert(table: Table, key: bytes, value: bytes) -> int:
    """Store a value unconditionally, with a frame more where one is allowed, and return the status."""
    status: int = operations.upsert(table, key, value, operations.ALWAYS, b"", 0)
    if status < 0 and table.log.prepare(wanted_room(table, status)):
        status = operations.upsert(table, key, value, operations.ALWAYS, b"", 0)
    return status


@pytest.mark.parametrize("key", [b"", b"k", b"12345678", b"x" * 65_535], ids=["empty", "short", "word", "longest"])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 4063, 4064, 4065, 4096, 4097, 70_000])
def test_sizes_in_memory_and_on_disk(tmp_path: Path, key: bytes, size: int) -> None:
    value = random.Random(size).randbytes(size)
    for store in (oxidbm.Store(page_size=4096), disk_store(tmp_path / "store")):
        with store:
            store[b"before"] = b"1"
            store[key] = value
            store[b"after"] = b"2"
            expected = {b"before": b"1", key: value, b"after": b"2"}
            assert dict(store.items()) == expected
            if store.path:
                push_to_disk(store)
                assert (store[b"before"], store[key], store[b"after"]) == (b"1", value, b"2")
            assert store.check() == []
    with disk_store(tmp_path / "store") as store:
        assert dict(store.items()) == expected
        assert store[key] == value
        del store[key]
    with disk_store(tmp_path / "store") as store:
        assert key not in store
        assert len(store) == 2


@pytest.mark.parametrize("left", [0, 8, 16, 24, 32, 40])
def test_records_around_a_page_boundary(tmp_path: Path, left: int) -> None:
    """The first record leaves so many bytes of its page; the next ones fill a page and one word more or less."""
    expected = {b"first": value_filling(b"first", PAGE_BYTES - 64 - left)}
    for name, size in [(b"exact", PAGE_BYTES), (b"small", 32), (b"over", PAGE_BYTES + 8), (b"under", PAGE_BYTES - 8)]:
        expected[name] = value_filling(name, size)
    with disk_store(tmp_path / "store") as store:
        store.update(expected)
        addresses = {record.key: record.address for record in store.scan()}
        assert addresses[b"first"] == 64
        assert addresses[b"exact"] == PAGE_BYTES
        assert addresses[b"small"] == 2 * PAGE_BYTES
        assert addresses[b"over"] == 3 * PAGE_BYTES
        assert addresses[b"under"] == 5 * PAGE_BYTES
        push_to_disk(store)
        assert dict(store.items()) == expected
        store[b"tail"] = expected[b"tail"] = b"word"
    with disk_store(tmp_path / "store") as store:
        assert dict(store.items()) == expected
        assert store.check() == []


def test_key_and_value_that_are_too_long() -> None:
    with oxidbm.Store(memory="4MiB", page_size=4096) as store:
        store[b"k"] = b"old"
        with pytest.raises(ValueError, match=f"65536 bytes is too long: at most {KEY_LENGTH_MAX}"):
            store[b"x" * 65_536] = b""
        with pytest.raises(ValueError, match=r"4194333 bytes does not fit: half of the memory budget, 2097152 bytes"):
            store[b"kkkkk"] = bytes(4 << 20)
        with pytest.raises(ValueError, match="does not fit"):
            store[b"k"] = bytes(2 << 20)
        assert dict(store.items()) == {b"k": b"old"}


def test_update_in_place_uses_the_capacity() -> None:
    table = memory_table()
    assert upsert(table, b"k", b"x" * 20) == operations.DONE
    tail = table.log.tail
    for value in (b"y" * 20, b"", b"z" * 24, b"12345678", b"w" * 23):
        assert upsert(table, b"k", value) == operations.DONE
        assert operations.read(table, b"k") == value
        assert table.log.tail == tail
    assert upsert(table, b"k", b"x" * 25) == operations.DONE
    assert table.log.tail == tail + 64
    assert operations.read(table, b"k") == b"x" * 25
    assert table.count == 1
    assert table.live_bytes == 64
    assert table.dead_bytes() == 56


def test_shorter_value_in_place_leaves_no_bytes_of_the_old_one(tmp_path: Path) -> None:
    """The padding behind a value is zero, or the checksum of reopened records could not agree."""
    with disk_store(tmp_path / "store") as store:
        store[b"k"] = b"\xff" * 16
        store[b"k"] = b"a"
        store[b"l"] = b"\xff" * 16
        store[b"l"] = b"\xee" * 9
    with disk_store(tmp_path / "store") as store:
        assert dict(store.items()) == {b"k": b"a", b"l": b"\xee" * 9}
        assert store.check() == []


def test_read_only_region_is_copied(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"k"] = b"old"
        store.sync()
        tail = log_of(store).tail
        store[b"k"] = b"new"
        assert log_of(store).tail == tail + 40
        records = list(store.scan(live=False))
        assert [(record.key, record.value) for record in records] == [(b"k", b"old"), (b"k", b"new")]
        assert records[1].previous_address == records[0].address
        assert [record.value for record in store.scan()] == [b"new"]
        assert len(store) == 1


def test_disk_region_is_updated_blindly(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store.update({b"a": b"1", b"b": b"2"})
        push_to_disk(store)
        store[b"a"] = b"3"
        assert store.stats()["unverified"] == 1
        assert store.stats()["keys"] == 2
        assert store[b"a"] == b"3"
        assert len(store) == 2
        assert store.stats()["unverified"] == 0
        assert store.check() == []


@pytest.mark.parametrize("where", ["mutable", "read-only", "disk"])
def test_conditions_and_deletes_in_each_region(tmp_path: Path, where: str) -> None:
    with disk_store(tmp_path / "store") as store:
        store.update({b"a": b"1", b"b": b"2", b"c": b"3", b"d": b"4"})
        if where == "read-only":
            store.sync()
        elif where == "disk":
            push_to_disk(store)
        table = table_of(store)
        assert not put(table, b"a", b"x", operations.IF_ABSENT, b"", 0)
        assert put(table, b"new", b"5", operations.IF_ABSENT, b"", 0)
        assert not put(table, b"a", b"x", operations.IF_EQUAL, b"2", 0)
        assert put(table, b"a", b"one", operations.IF_EQUAL, b"1", 0)
        assert not put(table, b"none", b"x", operations.IF_EQUAL, b"", 0)
        assert remove(table, b"b")
        assert not remove(table, b"b")
        assert not remove(table, b"none")
        assert not put(table, b"b", b"x", operations.IF_EQUAL, b"2", 0)
        out: list[bytes] = []
        assert operations.take(table, b"c", None, out) == operations.DONE
        assert operations.take(table, b"c", None, out) == operations.CHANGED
        assert out == [b"3"]
        assert store.add(b"c", b"again")
        expected = {b"a": b"one", b"c": b"again", b"d": b"4", b"new": b"5"}
        assert dict(store.items()) == expected
        assert len(store) == 4
        assert store.check() == []
    with disk_store(tmp_path / "store") as store:
        assert dict(store.items()) == expected
        assert len(store) == 4
        assert store.check() == []


def test_keys_of_one_bucket_fill_overflow_buckets(tmp_path: Path) -> None:
    keys = keys_of_a_bucket(30)
    with disk_store(tmp_path / "store") as store:
        expected = {key: b"value of " + key for key in keys}
        store.update(expected)
        assert store.stats()["overflow_buckets"] == 4
        for key in keys[::2]:
            del store[key]
            del expected[key]
        assert dict(store.items()) == expected
        assert store.stats()["overflow_buckets"] == 2
        store.grow_index()
        assert dict(store.items()) == expected
        push_to_disk(store)
        for key in keys[1::4]:
            store[key] = expected[key] = b"new"
        assert len(store) == 15
        assert store.check() == []
    with disk_store(tmp_path / "store") as store:
        assert dict(store.items()) == expected


@pytest.mark.parametrize("splits", [0, 1, 700])
def test_the_hot_paths_copies_of_hash_walk_and_frame_agree_with_the_originals(splits: int) -> None:
    """`read` and `upsert` have copies of hash_key, HashIndex.matching and a frame's places, which `locate` calls."""
    table = memory_table(memory=1 << 22)
    draw = random.Random(splits)
    keys = [draw.randbytes(length) for length in range(41) for _ in range(1 if length == 0 else 12)]
    keys += keys_of_a_bucket(40)
    values = {key: draw.randbytes(draw.choice((0, 1, 8, 9, 100))) for key in keys}
    for key, value in values.items():
        assert upsert(table, key, value) == operations.DONE
    for _ in range(splits):
        table.index.split_one()
    for key in [*values, b"none", b"none that is long enough to be hashed by words"]:
        found = locate(table, key, hash_key(key, table.seed))
        assert (found is None) == (key not in values)
        assert operations.read(table, key) == (None if found is None else value_of(table.log, found))
        assert operations.read(table, key) == values.get(key)
    tail = table.log.tail
    for key, value in values.items():
        before = locate(table, key, hash_key(key, table.seed))
        assert upsert(table, key, value[::-1]) == operations.DONE
        after = locate(table, key, hash_key(key, table.seed))
        assert before is not None
        assert after is not None
        assert (after.address, value_of(table.log, after)) == (before.address, value[::-1])
    assert table.log.tail == tail, "all were updated in place"


def test_a_value_is_never_equal_where_there_is_none() -> None:
    table = memory_table()
    assert operations.upsert(table, b"key", b"x", operations.IF_EQUAL, b"", 0) == operations.CHANGED
    assert not put(table, b"key", b"x", operations.IF_EQUAL, b"", operations.KEEP_EXPIRY)
    assert operations.read(table, b"key") is None
    assert table.count == 0


def test_no_room_changes_nothing() -> None:
    table = memory_table()
    number = 0
    while upsert(table, b"%d" % number, bytes(1000)) >= 0:
        number += 1
    before = (table.count, table.live_bytes, table.log.tail, table.index.entries)
    assert upsert(table, b"0", bytes(2000)) == -(24 + 8 + 2000)
    assert upsert(table, b"fresh", bytes(9000)) == -(24 + 8 + 9000)
    assert (table.count, table.live_bytes, table.log.tail, table.index.entries) == before
    assert all(operations.read(table, b"%d" % held) == bytes(1000) for held in range(number))
    assert operations.read(table, b"fresh") is None
    assert upsert(table, b"0", b"shorter") == operations.DONE
    assert operations.delete(table, b"1") == operations.DONE


def test_expiry_is_kept_and_obeyed() -> None:
    table = memory_table()
    clock = table.clock
    assert isinstance(clock, Clock)
    now = int(clock() * 1000)
    assert put(table, b"k", b"v", operations.ALWAYS, b"", now + 500)
    assert put(table, b"l", b"stays", operations.ALWAYS, b"", 0)
    found = locate(table, b"k", hash_key(b"k", table.seed))
    assert found is not None
    assert expiry_of(table.log, found) == now + 500
    assert found.size() == 24 + 8 + 8 + 8
    assert operations.read(table, b"k") == b"v"
    clock.now += 0.499
    assert operations.read(table, b"k") == b"v"
    clock.now += 0.001
    assert operations.read(table, b"k") is None
    assert operations.read(table, b"l") == b"stays"
    assert put(table, b"k", b"again", operations.IF_ABSENT, b"", 0)
    assert operations.read(table, b"k") == b"again"


@given(
    pairs=st.lists(st.tuples(st.sampled_from([b"", b"a", b"b" * 8, b"c" * 9]), st.integers(0, 60)), max_size=60),
    seed=st.integers(0, 2**32),
)
def test_memory_store_against_a_dict(pairs: list[tuple[bytes, int]], seed: int) -> None:
    draw = random.Random(seed)
    table = memory_table()
    model: dict[bytes, bytes] = {}
    for key, size in pairs:
        if size == 0 and key in model:
            assert operations.delete(table, key) == operations.DONE
            del model[key]
        else:
            value = draw.randbytes(size)
            assert upsert(table, key, value) == operations.DONE
            model[key] = value
        assert {held: operations.read(table, held) for held in model} == model
        assert table.count == len(model)


def test_many_keys_through_growth_and_disk(tmp_path: Path) -> None:
    count = scaled(30_000, least=3_000)
    with disk_store(tmp_path / "store") as store:
        for number in range(count):
            store[b"%d" % number] = b"%d" % (number * 3)
        assert store.stats()["head"] > 64 or count < 10_000
        if count > 5 * 4096:
            assert store.stats()["index_buckets"] > 4096
        assert len(store) == count
        assert all(store[b"%d" % number] == b"%d" % (number * 3) for number in range(0, count, 11))
        assert sum(1 for _ in store) == count
        assert store.check() == []
    with disk_store(tmp_path / "store") as store:
        assert len(store) == count
        assert all(store[b"%d" % number] == b"%d" % (number * 3) for number in range(0, count, 11))
