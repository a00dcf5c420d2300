"""Tags: what gives a key one, what keeps it and what takes it away, and evict(), wherever the key's record stands."""

import random
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from oxidbm._core.store.tags import digest_of
from tests.collisions import colliding_key
from tests.inside import abandon, handle_of, log_of, table_of
from tests.support import scaled
from tests.unit.helpers import PAGE_BYTES, Clock, disk_store, push_to_disk

PLACES = ["memory", "mutable", "read-only", "disk"]


class Word(str):
    """A text that is equal to nothing."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0


def opened(place: str, path: Path, **options: Any) -> Store:
    """Return a store in memory, or one on disk."""
    return Store(memory="4MiB", page_size=PAGE_BYTES, **options) if place == "memory" else disk_store(path, **options)


def move_on(place: str, store: Store) -> None:
    """Have what was written stand in a region of the log."""
    if place == "read-only":
        store.sync()
    if place == "disk":
        push_to_disk(store)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("expire", [None, 100])
def test_what_gives_a_key_a_tag(place: str, expire: float | None, tmp_path: Path) -> None:
    with opened(place, tmp_path / "s") as store:
        store.set("set", "1", expire, tag="a")
        assert store.add("added", "2", expire, tag="a")
        store.set_many({"of a dict": "3"}, expire=expire, tag="a")
        store.set_many([("of a list", "4")], expire=expire, tag="a")
        store.set_many(iter([("of pairs", "5")]), expire=expire, tag="a")
        assert store.get_or_set("made", lambda: b"6", expire, tag="a") == b"6"
        with store.batch() as batch:
            batch.set("of a batch", "7", expire, tag="a")
        store.memoize(expire, tag="a", name="f")(lambda number: number)(8)
        store.set("other", "9", expire, tag="b")
        store.set("none", "10", expire)
        move_on(place, store)
        assert len(store) == 10
        assert store.get_many(["set", "added", "of a dict"]) == [b"1", b"2", b"3"]
        assert (store["of a list"], store.get("of pairs"), b"made" in store) == (b"4", b"5", True)
        assert store.check() == []
        assert store.evict("c") == 0
        assert store.evict("a") == 8
        assert dict(store.items()) == {b"other": b"9", b"none": b"10"}
        assert len(store) == 2
        assert store.evict("a") == 0
        assert store.check() == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("expire", [None, 100])
@pytest.mark.parametrize("size", [1, 5, 300])
def test_what_keeps_a_tag(place: str, expire: float | None, size: int, tmp_path: Path) -> None:
    """Also where the record is copied, since the new value is longer, or the old one may not be changed any more."""
    with opened(place, tmp_path / "s") as store, store.session() as session:
        for name in ("touched", "touched for ever", "counted", "counted down", "compared", "modified", "left"):
            store.set(name, "7", expire, tag="a")
        move_on(place, store)
        assert store.touch("touched", 50)
        assert store.touch("touched for ever")
        assert store.incr("counted", 10**size) == 7 + 10**size
        assert store.decr("counted down") == 6
        assert store.compare_and_set("compared", "7", b"x" * size)
        assert session.rmw("modified", lambda old: old * size) == b"7" * size
        assert not store.add("left", "8", tag="b")
        assert store.setdefault("left", "8") == b"7"
        assert not store.compare_and_set("left", "8", "9")
        assert store.get_or_set("left", b"8", tag="b") == b"7"
        assert store.ttl("touched for ever") is None
        assert (store.ttl("counted") is None) == (expire is None)
        assert store.check() == []
        assert store.evict("b") == 0
        assert store.evict("a") == 7
        assert len(store) == 0


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("expire", [None, 100])
def test_what_takes_a_tag_away(place: str, expire: float | None, tmp_path: Path) -> None:
    with opened(place, tmp_path / "s") as store, store.session() as session:
        names = ["item", "set", "expiring", "other", "many", "list", "upserted", "batched", "deleted", "popped"]
        store.set_many([(name, "old") for name in names], expire=expire, tag="a")
        move_on(place, store)
        store["item"] = "new"
        store.set("set", "new")
        store.set("expiring", "new", 50)
        store.set("other", "new", tag="b")
        store.set_many({"many": "new"})
        store.set_many([("list", "new")])
        session.upsert("upserted", "new")
        with store.batch() as batch:
            batch.set("batched", "old", tag="a")
            batch["batched"] = "new"
        del store["deleted"]
        store["deleted"] = "new"
        assert store.pop("popped") == b"old"
        assert store.add("popped", "new")
        move_on(place, store)
        assert store.evict("a") == 0
        assert dict(store.items()) == {name.encode(): b"new" for name in names}
        assert store.evict("b") == 1
        assert store.get("other") is None
        assert store.ttl("item") is None
        assert store.check() == []


@pytest.mark.parametrize("place", PLACES)
def test_one_that_expires_is_gone_before(place: str, tmp_path: Path) -> None:
    clock = Clock()
    with opened(place, tmp_path / "s", clock=clock) as store:
        store.set("short", "1", 10, tag="a")
        store.set("long", "2", 30, tag="a")
        store.set("for ever", "3", tag="a")
        move_on(place, store)
        clock.now += 20
        assert store.evict("a") == 2
        assert b"short" not in store
        assert store.check() == []
        store.set("long", "2", 30, tag="a")
        assert store.ttl("long") == 30.0
        clock.now += 31
        assert store.add("long", "4")
        assert store.evict("a") == 0
        assert store["long"] == b"4"


def test_types_of_tags_are_told_apart() -> None:
    tags: list[str | bytes | int] = ["1", b"1", 1, "", b"", 0, -1, 255, -256, 2**70, "\ud800", "é", "e\u0301"]
    with Store() as store:
        for number, tag in enumerate(tags):
            store.set(b"%d" % number, "v", tag=tag)
        for number, tag in enumerate(tags):
            assert store.evict(tag) == 1
            assert b"%d" % number not in store
        store.set("a", "v", tag=True)
        assert store.evict(1) == 1
        for wrong in (1.0, ["a"], ("a",), bytearray(b"a")):
            with pytest.raises(TypeError, match="tag is a str, bytes, an int or None, not"):
                store.set("a", "v", tag=wrong)  # type: ignore[call-overload]
            with pytest.raises(TypeError, match="tag is a str, bytes, an int or None, not"):
                store.evict(wrong)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="tag is a str, bytes, an int or None, not"):
                store.memoize(tag=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="evict\\(\\) takes a tag"):
            store.evict(None)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            store.set("a", "v", None, "of diskcache this would be read=")  # type: ignore[call-overload]
        assert len(store) == 0


def test_digests_are_of_62_bits_and_stay_what_they_are() -> None:
    assert digest_of(None) == 0
    said = {
        "page": 0x3CC04E043997BFCE,
        b"page": 0x34A1D000C3E37A9B,
        7: 0xC79CF76000D538F,
        -300: 0x3221043107F63AB7,
    }  # as docs/format.md has it: files hold them
    assert {tag: digest_of(tag) for tag in said} == said
    chance = random.Random(1)
    for number in range(2000):  # more than are kept
        assert digest_of(f"tag {number}") == digest_of(f"tag {number}") == digest_of(Word(f"tag {number}"))
    for _ in range(1000):
        assert 0 < digest_of(chance.randbytes(8)) < 1 << 62


def test_both_words_in_their_order(tmp_path: Path) -> None:
    """A record with an expiry and a tag, with either, with none: values of many lengths, read, moved and read again."""
    chance = random.Random(2)
    with disk_store(tmp_path / "s") as store:
        expected: dict[bytes, bytes] = {}
        terms: dict[bytes, tuple[bool, int | None]] = {}
        for number in range(scaled(2000, least=500)):
            key = b"%d" % chance.randrange(200) * chance.randrange(1, 4)
            value = chance.randbytes(chance.choice([0, 1, 7, 8, 9, 40, 300, 5000]))
            expires, tag = chance.random() < 0.5, chance.choice([None, 1, 2])
            store.set(key, value, 1000 if expires else None, tag=tag)
            expected[key] = value
            terms[key] = expires, tag
            if number % 100 == 99:
                move_on(chance.choice(PLACES), store)
        for _ in range(2):
            assert dict(store.items()) == expected
            assert {key: store.ttl(key) is not None for key in expected} == {
                key: expires for key, (expires, _) in terms.items()
            }
            store.reorganize()
            assert store.check() == []
        assert store.evict(1) == sum(tag == 1 for _, tag in terms.values())
        assert store.evict(2) == sum(tag == 2 for _, tag in terms.values())
        assert dict(store.items()) == {key: value for key, value in expected.items() if terms[key][1] is None}


def test_rewriting_in_place_takes_no_room(tmp_path: Path) -> None:
    with disk_store(tmp_path / "s") as store:
        store.set("a", "1", 10, tag=1)
        store.set("b", "1", tag=1)
        tail = log_of(store).tail
        store.set("a", "2", 20, tag=2)
        store.set("b", "2", tag=2)
        assert store.incr("b") == 3
        assert log_of(store).tail == tail
        assert (store["a"], store["b"]) == (b"2", b"3")
        store.set("b", "4", 10, tag=2)
        assert log_of(store).tail > tail
        assert (store.evict(1), store.evict(2)) == (0, 2)


@pytest.mark.parametrize("how", ["close", "commit", "checkpoint"])
def test_tags_are_there_after_reopening(how: str, tmp_path: Path) -> None:
    store = disk_store(tmp_path / "s")
    for number in range(300):
        store.set(b"%d" % number, b"v" * number, 1000 if number % 2 else None, tag=number % 3)
    store["0"] = "without"
    if how == "checkpoint":
        store.checkpoint("snapshot")
    store.sync()
    if how == "close":
        store.close()
    else:
        abandon(store)
    with disk_store(tmp_path / "s") as again:
        assert again.check() == []
        assert again.evict(0) == 99
        assert again.evict(1) == 100
        assert len(again) == 101
        assert again["0"] == b"without"
    with disk_store(tmp_path / "s", read_only=True) as reader:
        assert len(reader) == 101
        with pytest.raises(oxidbm.ReadOnlyError):
            reader.evict(2)


def test_eviction_is_durable_where_each_write_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", durability="always")
    store.set_many({b"%d" % number: b"v" for number in range(50)}, tag="a")
    store["b"] = "stays"
    before = handle_of(store).commits.sequence
    assert store.evict("a") == 50
    assert handle_of(store).commits.sequence == before + 1
    abandon(store)
    with Store(tmp_path / "s") as again:
        assert dict(again.items()) == {b"b": b"stays"}


@pytest.mark.parametrize("settled", [False, True])
def test_blind_writes(settled: bool, tmp_path: Path) -> None:
    """A tag that a blind write took away, or gave, before anybody has looked down the chain; other keys are in it."""
    with disk_store(tmp_path / "s") as store:
        keys = [[colliding_key(table_of(store).seed, group, number) for number in range(2)] for group in range(6)]
        for key, _ in keys:
            store.set(key, "old", tag="a")
        push_to_disk(store)
        store[keys[0][0]] = "new"
        store.set(keys[1][0], "new", tag="b")
        store.set(keys[2][0], "new", tag="a")
        store[keys[3][1]] = "new"
        store.set(keys[4][1], "new", tag="a")
        store.set(keys[5][1], "new", tag="b")
        assert table_of(store).pending.count() == 6
        if settled:
            assert len(store) == 9
        assert store.evict("a") == 5
        untagged, other = {keys[0][0]: b"new", keys[3][1]: b"new"}, {keys[1][0]: b"new", keys[5][1]: b"new"}
        assert dict(store.items()) == untagged | other
        assert len(store) == 4
        assert store.check() == []
        assert store.evict("b") == 2
        assert dict(store.items()) == untagged
        assert store.check() == []
    with disk_store(tmp_path / "s") as store:
        assert dict(store.items()) == untagged
        assert store.check() == []


def test_a_blind_write_with_a_tag_reads_nothing(tmp_path: Path) -> None:
    with disk_store(tmp_path / "s") as store:
        store.set_many({b"%d" % number: b"v" for number in range(20)})
        push_to_disk(store)
        for number in range(20):
            store.set(b"%d" % number, "w", tag="a")
        assert table_of(store).pending.count() > 0
        assert len(store) == 20
        assert store.evict("a") == 20
        assert len(store) == 0


def test_compaction_keeps_tags(tmp_path: Path) -> None:
    with disk_store(tmp_path / "s") as store:
        for turn in range(3):
            for number in range(200):
                store.set(b"%d" % number, b"%d" % turn * 100, 1000 if number % 2 else None, tag=number % 4)
        push_to_disk(store)
        store.reorganize()
        push_to_disk(store)
        assert store.check() == []
        assert store.evict(3) == 50
        assert store.compact(0.0) > 0
        assert store.evict(2) == 50
        assert len(store) == 100
        assert store.check() == []


def test_a_record_larger_than_a_page(tmp_path: Path) -> None:
    for store in (disk_store(tmp_path / "s"), Store(memory="4MiB", page_size=PAGE_BYTES)):
        with store:
            store.set("long", b"v" * 3 * PAGE_BYTES, 100, tag="a")
            store.set("longer", b"v" * 5 * PAGE_BYTES, tag="a")
            assert store.compare_and_set("long", b"v" * 3 * PAGE_BYTES, b"w" * 4 * PAGE_BYTES)
            store.reorganize()
            assert store["long"] == b"w" * 4 * PAGE_BYTES
            assert store.check() == []
            assert store.evict("a") == 2
            assert store.check() == []


def test_typed_stores_and_the_order() -> None:
    with Store(key=int, value="json", ordered=True) as store:
        store.set_many({number: {"n": number} for number in range(10)}, tag="even")
        store.set_many([(number, number) for number in range(1, 10, 2)], tag="odd")
        store[4] = "untagged"
        assert store.incr(3) == 4
        assert store.evict("even") == 4
        assert [key for key, _ in store.range()] == [1, 3, 4, 5, 7, 9]
        assert store.evict("odd") == 5
        assert dict(store.range()) == {4: "untagged"}


def test_the_read_cache_has_the_value_of_a_tagged_record(tmp_path: Path) -> None:
    with disk_store(tmp_path / "s", read_cache=8 * PAGE_BYTES) as store:
        store.set("a", "one", tag="a")
        store.set("b", "two", 100, tag="a")
        push_to_disk(store)
        for _ in range(5):
            assert (store["a"], store["b"]) == (b"one", b"two")
        assert store.incr("n") == 1
        assert store.touch("a", 50)
        assert store.evict("a") == 2
        assert store.get("a") is None


def test_a_reader_follows(tmp_path: Path) -> None:
    with disk_store(tmp_path / "s") as store:
        store.set("a", "1", tag="a")
        store.set("b", "2", 100, tag="a")
        store.sync()
        with disk_store(tmp_path / "s", read_only=True) as reader:
            assert dict(reader.items()) == {b"a": b"1", b"b": b"2"}
            store.set("c", "3", tag="c")
            store.evict("a")
            store.sync()
            assert reader.refresh()
            assert dict(reader.items()) == {b"c": b"3"}
            assert reader.check() == []


@pytest.mark.parametrize("how", ["backup", "salvage", "salvage without STORE"])
def test_copies_keep_tags(how: str, tmp_path: Path) -> None:
    with disk_store(tmp_path / "s") as store:
        for number in range(300):
            store.set(b"%d" % number, b"v" * number, 1000 if number % 2 else None, tag=number % 3)
        store[b"0"] = b"without"
        if how == "backup":
            store.backup(tmp_path / "copy")
    if how != "backup":
        if how != "salvage":
            (tmp_path / "s" / "STORE").unlink()
        oxidbm.salvage(tmp_path / "s", tmp_path / "copy")
    with Store(tmp_path / "copy") as copy:
        assert len(copy) == 300
        assert copy.ttl("1") is not None
        assert (copy.evict(0), copy.evict(1)) == (99, 100)
        assert copy.check() == []


def test_a_batch_that_only_just_fits(tmp_path: Path) -> None:
    """What a record takes with both words is reserved for it."""
    with disk_store(tmp_path / "s") as store:
        for turn in range(20):
            with store.batch() as batch:
                for number in range(600):
                    batch.set(b"%d" % number, b"v" * turn, 100, tag="a")
                    if number % 3 == turn % 3:
                        batch.delete(b"%d" % number)
        assert store.check() == []
        assert store.evict("a") == 400
        with store.batch() as batch:
            batch.set("b", "1", tag="a")
            batch.clear()
            batch["b"] = "2"
        assert store.evict("a") == 0


def test_memoized_results_go_together() -> None:
    calls: list[int] = []
    with Store() as store:

        @store.memoize(tag="prices")
        def price(number: int) -> int:
            calls.append(number)
            return number * 2

        assert [price(1), price(2), price(1)] == [2, 4, 2]
        assert store.evict("prices") == 2
        assert price(1) == 2
        assert calls == [1, 2, 1]
