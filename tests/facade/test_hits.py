"""count_reads: each call that asks for a key's value counts once, as a hit or as a miss, whatever the store is like."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Store
from tests.support import run, scaled
from tests.unit.helpers import Clock, disk_store, push_to_disk

Call = Callable[[Any, Any], object]


def counted(store: Store[Any, Any]) -> tuple[int | None, int | None]:
    """Return hits and misses."""
    figures = store.stats()
    return figures["hits"], figures["misses"]


def item(store: Any, key: Any) -> object:
    """Return a value, or None."""
    try:
        return store[key]
    except KeyError:
        return None


def read(store: Any, key: Any) -> object:
    """Read in a session."""
    with store.session() as session:
        return session.read(key)


ASKING: dict[str, Call] = {
    "get": lambda store, key: store.get(key),
    "item": item,
    "in": lambda store, key: key in store,
    "exists": lambda store, key: store.exists(key),
    "get_many of a list": lambda store, key: store.get_many([key]),
    "get_many of an iterator": lambda store, key: store.get_many(iter([key])),
    "get_and_touch": lambda store, key: store.get_and_touch(key, 5),
    "session": read,
}
STORING: dict[str, Call] = {  # which a second time finds what the first one stored
    "get_or_set": lambda store, key: store.get_or_set(key, 5 if store.value_codec == "int" else b"5"),
    "setdefault": lambda store, key: store.setdefault(key, 5 if store.value_codec == "int" else b"5"),
}
OTHERS: dict[str, Call] = {
    "set": lambda store, key: store.set(key, 7 if store.value_codec == "int" else b"7"),
    "touch": lambda store, key: store.touch(key),
    "ttl": lambda store, key: store.ttl(key),
    "incr": lambda store, key: store.incr(key),
    "pop": lambda store, key: store.pop(key),
    "delete": lambda store, key: store.delete(key),
    "iteration": lambda store, key: (list(store.items()), store.copy()),
    "history": lambda store, key: list(store.history(key)),
    "len": lambda store, key: len(store),
}


@pytest.mark.parametrize("policy", [{}, {"size_limit": "1MiB", "eviction_policy": "second-chance"}])
@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("place", ["memory", "disk", "cold"])
def test_each_lookup_counts_once(place: str, typed: bool, policy: dict[str, Any], tmp_path: Path) -> None:
    codecs: dict[str, Any] = {"key": int, "value": int} if typed else {}
    there, absent, other = (1, 2, 3) if typed else (b"1", b"2", b"3")
    options = {**codecs, **policy, "count_reads": True, "memory": "1MiB", "page_size": 4096}
    with Store(None if place == "memory" else tmp_path / "s", **options) as store:
        store.set(there, 5 if typed else b"5")
        if place == "cold":
            push_to_disk(store)
        hits, misses = 0, 0
        assert counted(store) == (0, 0)
        for name, call in ASKING.items():
            call(store, there)
            hits += 1
            assert counted(store) == (hits, misses), name
            call(store, absent)
            misses += 1
            assert counted(store) == (hits, misses), name
        for name, call in STORING.items():
            store.delete(other)
            call(store, other)
            misses += 1
            assert counted(store) == (hits, misses), name
            call(store, other)
            hits += 1
            assert counted(store) == (hits, misses), name
        for name, call in OTHERS.items():
            store.set(there, 5 if typed else b"5")
            call(store, there)
            assert counted(store) == (hits, misses), name


def test_many_keys_at_once() -> None:
    for kind in (list, tuple, iter):
        with Store(count_reads=True) as store:
            store.update({b"%d" % i: b"v" for i in range(0, 3000, 2)})
            values = store.get_many(kind([b"%d" % i for i in range(3000)]), b"none")
            assert values == [b"v", b"none"] * 1500
            assert store.get_many(["0", b"1", bytearray(b"2"), "3"]) == [b"v", None, b"v", None]
            assert counted(store) == (1502, 1502)
            with pytest.raises(TypeError, match="keys are bytes or str"):
                store.get_many([b"0", 5])  # type: ignore[list-item]
            assert counted(store) == (1503, 1502)


def test_what_is_no_key_of_a_typed_store_is_a_miss() -> None:
    with Store(key=int, value=int, count_reads=True) as store:
        assert store.get("a") is None  # type: ignore[call-overload]
        assert not store.exists("a")
        assert counted(store) == (0, 2)
        with pytest.raises(TypeError):
            store["a"]  # type: ignore[index]
        assert counted(store) == (0, 2)


def test_what_has_expired_is_a_miss() -> None:
    clock = Clock()
    with Store(count_reads=True, clock=clock) as store:
        store.set("a", "1", expire=5)
        assert store.get("a") == b"1"
        clock.now += 5
        assert store.get("a") is None
        assert store.get_and_touch("a", 5) is None
        assert counted(store) == (1, 2)


def test_memoized_functions_count_as_what_they_call() -> None:
    with Store(count_reads=True) as store:
        calls = []

        @store.memoize(name="calls")
        def call(number: int) -> int:
            calls.append(number)
            return number

        assert [call(1), call(1), call(1)] == [1, 1, 1]
        hits, misses = counted(store)
        assert hits == 2
        assert (misses or 0) >= 1
        assert calls == [1]


def test_reset_counts_from_0_on(tmp_path: Path) -> None:
    with Store(tmp_path / "s", count_reads=True) as store:
        assert store.get("a") is None
        store["a"] = "1"
        assert store["a"] == b"1"
        figures = store.stats(reset=True)
        assert (figures["hits"], figures["misses"]) == (1, 1)
        assert counted(store) == (0, 0)
        assert b"a" in store
        assert counted(store) == (1, 0)
        with pytest.raises(TypeError, match="reset is True or False"):
            store.stats(reset="yes")  # type: ignore[arg-type]
    with Store(tmp_path / "s", count_reads=True) as store:
        assert counted(store) == (0, 0)  # of this opening


def test_a_store_that_does_not_count_says_none(tmp_path: Path) -> None:
    for options in ({}, {"size_limit": "1MiB", "eviction_policy": "second-chance"}):
        with Store(**options) as store:  # type: ignore[call-overload]
            assert store.get("a") is None
            assert counted(store) == (None, None)
            store.stats(reset=True)


def test_readers_count_what_they_read(tmp_path: Path) -> None:
    with Store(tmp_path / "s", size_limit="1MiB", eviction_policy="second-chance") as writer:
        writer["a"] = "1"
        writer.sync()
        with Store(tmp_path / "s", read_only=True, count_reads=True) as store:
            assert store["a"] == b"1"
            writer["b"] = "2"
            writer.sync()
            assert store.refresh()
            assert store.get_many(["a", "b", "c"]) == [b"1", b"2", None]
            assert counted(store) == (3, 1)
        with Store(tmp_path / "s", read_only=True, size_limit="1MiB", eviction_policy="second-chance") as store:
            assert store["a"] == b"1"  # nothing goes in a reader, so the policy means nothing
            assert store.stats()["second_chances"] == 0


def test_stores_of_one_path_count_together(tmp_path: Path) -> None:
    with Store(tmp_path / "s", count_reads=True) as one, Store(tmp_path / "s", count_reads=True) as other:
        one["a"] = "1"
        assert one["a"] == other["a"]
        assert counted(one) == counted(other) == (2, 0)


def test_no_lookup_of_a_thread_is_lost() -> None:
    rounds = scaled(20_000, least=1000)
    with Store(count_reads=True) as store:
        store["there"] = "1"

        def look() -> None:
            for _ in range(rounds):
                assert store.get("there") == b"1"
                assert b"absent" not in store

        run(look, look, look)
        assert counted(store) == (3 * rounds, 3 * rounds)


def test_lookups_on_disk_count(tmp_path: Path) -> None:
    with disk_store(tmp_path / "s", page_size="4KiB", count_reads=True) as store:
        store.update({b"%d" % i: bytes(100) for i in range(300)})
        push_to_disk(store)
        assert sum(value is not None for value in store.get_many([b"%d" % i for i in range(400)])) == 300
        assert counted(store) == (300, 100)
        assert all(b"%d" % i in store for i in range(300))
        assert counted(store) == (600, 100)


def test_wrong_options() -> None:
    with pytest.raises(TypeError, match="count_reads is True or False"):
        Store(count_reads=1)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match='eviction_policy is "least-recently-stored" or "second-chance", not'):
        Store(size_limit=1, eviction_policy="least-recently-used")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="nothing goes without size_limit= or evict=True"):
        Store(eviction_policy="second-chance")
