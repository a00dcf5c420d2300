"""Keys of a group, looked at together: what is read and overwritten is what it is for one key after the other."""

import random
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.table import operations
from oxidbm._core.table.retry import put, remove
from oxidbm._core.table.table import Table
from oxidbm._core.table.together import GROUP, Together, is_worth_it
from tests.inside import table_of
from tests.support import PURE, scaled
from tests.unit.helpers import PAGE_BYTES, colliding_keys, disk_store, memory_table, push_to_disk

MISSING = object()


def upsert(table: Table, key: bytes, value: bytes, expiry: int = 0) -> None:
    """Store a value, whatever room has to be made for it."""
    put(table, key, value, operations.ALWAYS, b"", expiry)


def found_by(together: Together, keys: list[object]) -> list[object]:
    """Return what a group's keys have as far as that is found, MISSING for those that have to be looked up."""
    stop = together.find(keys, 0)
    assert stop == min(len(keys), GROUP)
    found: list[object] = []
    place = 0
    while place < stop:
        place = together.read(keys, place, stop, None, found)
        if place < stop:
            found.append(MISSING)
            place += 1
    return found


def test_what_is_found() -> None:
    table = memory_table()
    together = Together(table)
    a, b, *_ = colliding_keys()
    wanted: dict[bytes, bytes] = {b"k%d" % number: b"v%d" % number for number in range(20)}
    for key, value in wanted.items():
        upsert(table, key, value)
    keys: list[object] = [*wanted, b"absent", "k1", 5, b"x" * 300]
    assert found_by(together, keys) == [*wanted.values(), MISSING, MISSING, MISSING, MISSING]
    upsert(table, a, b"one")
    assert found_by(together, [a, b]) == [b"one", MISSING]
    upsert(table, b, b"two")
    assert found_by(together, [a, b]) == [b"one", MISSING], "only the first entry of a tag is looked at"
    remove(table, b"k3")
    upsert(table, b"k4", b"v", table.now_ms() + 1000)
    assert found_by(together, [b"k3", b"k4", b"k5"]) in ([None, MISSING, b"v5"], [MISSING, MISSING, b"v5"])


def test_a_key_of_another_one_s_place_is_looked_up() -> None:
    """The caller's list may have changed since; what is in it then is not what was found."""
    table = memory_table()
    together = Together(table)
    for key in (b"first", b"other", b"longer than the others"):
        upsert(table, key, key)
    keys: list[object] = [b"first", b"first", b"first", b"first"]
    stop = together.find(keys, 0)
    keys[1:] = [b"other", b"longer than the others", None]
    found: list[object] = []
    assert together.read(keys, 0, stop, None, found) == 1
    for place in (1, 2, 3):
        assert together.read(keys, place, stop, None, found) == place
    assert found == [b"first"]
    assert not together.overwrite(1, b"other", b"12345")
    assert not together.overwrite(2, b"longer than the others", b"12345")
    assert together.overwrite(3, b"first", b"12345")
    assert operations.read(table, b"first") == b"12345"


def test_what_is_overwritten() -> None:
    table = memory_table()
    together = Together(table)
    upsert(table, b"k", b"12345678")
    upsert(table, b"gone", b"12345678")
    upsert(table, b"expires", b"12345678", table.now_ms() + 1000)
    keys: list[object] = [b"k", b"gone", b"expires", b"absent"]
    assert together.find(keys, 0) == 4
    assert not together.overwrite(0, b"k", b"1234567"), "of another length"
    assert together.overwrite(0, b"k", b"87654321")
    remove(table, b"gone")
    assert not together.overwrite(1, b"gone", b"87654321")
    assert not together.overwrite(2, b"expires", b"87654321")
    assert not together.overwrite(3, b"absent", b"87654321")
    upsert(table, b"new", b"value")
    assert together.moved()
    assert not together.overwrite(0, b"k", b"00000000"), "a newer record may be there"
    assert operations.read(table, b"k") == b"87654321"


def test_nothing_is_overwritten_in_the_read_only_region(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"k"] = b"12345678"
        table = table_of(store)
        together = Together(table)
        keys: list[object] = [b"k"]
        together.find(keys, 0)
        assert together.overwrite(0, b"k", b"87654321")
        store.sync()
        together.find(keys, 0)
        assert not together.overwrite(0, b"k", b"00000000")
        found: list[object] = []
        assert together.read(keys, 0, 1, None, found) == 1
        push_to_disk(store)
        assert together.moved()
        together.find(keys, 0)
        assert together.read(keys, 0, 1, None, found) == 0
        assert found == [b"87654321"]
        store.clear()
        assert together.moved()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_reads_and_writes_together_are_those_one_by_one(place: str, seed: int, tmp_path: Path) -> None:
    """Random changes between finding and using, in memory, on disk and across both, with growth of the index."""
    rnd = random.Random(seed)
    count = scaled(3000)
    store = oxidbm.Store(page_size=PAGE_BYTES) if place == "memory" else disk_store(tmp_path / "store")
    with store:
        table = table_of(store)
        together = Together(table)
        wanted: dict[bytes, bytes] = {}

        def change(key: bytes) -> None:
            if rnd.random() < 0.15:
                store.pop(key, None)
                wanted.pop(key, None)
            else:
                wanted[key] = store[key] = rnd.randbytes(rnd.choice((8, 8, 8, 20, 300)))

        for turn in range(count // 20):
            for _ in range(20):
                change(b"%d" % rnd.randrange(count))
            keys: list[object] = [b"%d" % rnd.randrange(count) for _ in range(rnd.randrange(1, GROUP + 8))]
            first = rnd.randrange(len(keys))
            stop = together.find(keys, first)
            if turn % 3 == 0:
                for key in rnd.sample(keys, 1):
                    assert isinstance(key, bytes)
                    change(key)
            at = first
            while at < stop and not together.moved():
                found: list[object] = []
                behind = together.read(keys, at, stop, None, found)
                assert found == [wanted.get(key) for key in keys[at:behind] if isinstance(key, bytes)]
                at = behind + 1
            for at in range(first, stop):
                key = keys[at]
                assert isinstance(key, bytes)
                value = rnd.randbytes(8)
                if together.overwrite(at, key, value):
                    wanted[key] = value
                assert store.get(key) == wanted.get(key)
            if turn % 50 == 49 and place == "disk":
                push_to_disk(store)
        assert dict(store.items()) == wanted
        assert store.check() == []
        assert store.get_many([b"%d" % number for number in range(count)]) == [
            wanted.get(b"%d" % number) for number in range(count)
        ]


@pytest.mark.compiled_only("a table that no cache holds has more keys than the sources write in time")
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_many_keys_of_a_large_table(place: str, tmp_path: Path) -> None:
    """Lists, tuples and dicts, bytes and typed, with what is no key and no pair in the middle."""
    count = 350_000
    path = None if place == "memory" else tmp_path / "store"
    with oxidbm.Store(path, memory="64MiB", durability="manual", key=int, value=str) as store:
        store.set_many({number: str(number) for number in range(count)})
        assert is_worth_it(table_of(store), GROUP)
        keys = [random.Random(7).randrange(count + 1000) for _ in range(5000)]
        wanted = [str(key) if key < count else "none" for key in keys]
        assert store.get_many(keys, "none") == wanted
        assert store.get_many(tuple(keys), "none") == wanted
        with pytest.raises(TypeError):
            store.get_many([1] * 50 + [None])  # type: ignore[list-item]
    with oxidbm.Store(None, memory="64MiB") as plain:
        pairs = [(b"%07d" % number, b"%08d" % number) for number in range(count)]
        plain.set_many(pairs)
        assert is_worth_it(table_of(plain), GROUP)
        again = [(key, value[::-1]) for key, value in pairs]
        random.Random(3).shuffle(again)
        plain.set_many(again[:50_000])
        plain.set_many(dict(again[50_000:100_000]))
        expected = dict(pairs) | dict(again[:100_000])
        assert plain.get_many(list(expected)) == list(expected.values())
        wrong: list[object] = [*again[100_000:100_040], again[0][0], again[-1]]
        with pytest.raises(ValueError, match="pairs holds"):
            plain.set_many(wrong)  # type: ignore[arg-type]
        assert plain.get_many([key for key, _ in again[100_000:100_040]]) == [
            value for _, value in again[100_000:100_040]
        ]
        assert plain[again[-1][0]] == expected[again[-1][0]]
        plain.set_many([(key, value * 3) for key, value in again[:100]], expire=60)
        assert all(plain[key] == value * 3 for key, value in again[:100])
        assert plain.get_many(["0000005", bytearray(b"0000006")] * 20) == [plain[b"0000005"], plain[b"0000006"]] * 20
        assert plain.check() == []
        plain.close()
        with pytest.raises(oxidbm.ClosedError):
            plain.get_many([b"0000005"] * 50)


def test_delete_many_of_a_large_table() -> None:
    """As one after the other: keys that are there, twice, absent; and those before one that is none are deleted."""
    count = GROUP * 8 if PURE else 350_000
    with oxidbm.Store(memory="64MiB") as store:
        keys = [b"%d" % number for number in range(count)]
        store.set_many([(key, b"value") for key in keys])
        assert is_worth_it(table_of(store), GROUP) or PURE
        few = keys[: GROUP * 5 : 2]
        assert store.delete_many([*few, b"absent", *few[:5]]) == len(few)
        assert len(store) == count - len(few)
        assert store.get_many(keys[: GROUP * 5]) == [b"value" if n % 2 else None for n in range(GROUP * 5)]
        wrong: list[Any] = [*keys[1 : GROUP * 3 : 2], None, keys[-1]]
        with pytest.raises(TypeError):
            store.delete_many(wrong)
        assert len(store) == count - len(few) - GROUP * 3 // 2
        assert keys[-1] in store
        assert store.check() == []
