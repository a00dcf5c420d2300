"""Calls that users of other caches reach for: delete, exists, get_or_set, compare_and_set, peek_first and peek_last."""

import threading
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from tests.support import run, scaled
from tests.unit.helpers import Clock, disk_store, push_to_disk


def test_delete_and_exists(tmp_path: Path) -> None:
    with disk_store(tmp_path / "s", page_size="4KiB") as store:
        store["a"] = "1"
        assert store.exists("a")
        assert store.delete("a")
        assert not store.exists("a")
        assert not store.delete("a")
        store["b"] = "2"
        push_to_disk(store)
        assert store.exists(b"b")
        assert store.delete(b"b")
        assert len(store) == 0
        with pytest.raises(TypeError, match="keys are bytes or str, not int"):
            store.delete(1)  # type: ignore[call-overload]


def test_delete_is_durable_where_each_write_is(tmp_path: Path) -> None:
    with Store(tmp_path / "s", durability="always") as store:
        store["a"] = "1"
        assert store.delete("a")
        with Store(tmp_path / "s", read_only=True) as reader:
            assert b"a" not in reader
            with pytest.raises(oxidbm.ReadOnlyError):
                reader.delete("a")


def test_get_or_set() -> None:
    clock = Clock()
    calls: list[None] = []

    def make() -> bytes:
        calls.append(None)
        return b"made %d" % len(calls)

    with Store(clock=clock) as store:
        assert store.get_or_set("a", make, expire=10) == b"made 1"
        assert store.get_or_set("a", make) == b"made 1"
        assert store.ttl("a") == 10.0
        clock.now += 11
        assert store.get_or_set("a", make) == b"made 2"
        assert store.ttl("a") is None
        assert store.get_or_set("b", b"a value that is no function") == b"a value that is no function"
        with pytest.raises(TypeError, match="values are bytes or str"):
            store.get_or_set("c", lambda: 5)  # type: ignore[arg-type,return-value]
        with pytest.raises(ZeroDivisionError):
            store.get_or_set("c", lambda: b"%d" % (1 // 0))
        assert b"c" not in store


def test_get_or_set_gives_what_comes_back() -> None:
    with Store(key=int, value="json") as store:
        assert store.get_or_set(1, lambda: (1, 2)) == [1, 2]
        assert store.get_or_set(1, lambda: 5) == [1, 2]
        assert store.get_or_set(2, lambda: None) is None
        assert store.get_or_set(2, lambda: 7) is None


def test_one_that_is_stored_by_its_own_function() -> None:
    with Store() as store:

        def make() -> bytes:
            store["a"] = "of the function"
            return b"returned"

        assert store.get_or_set("a", make) == b"of the function"


def test_threads_that_make_one_value_get_the_same() -> None:
    with Store() as store:
        for turn in range(scaled(200, least=20)):
            start = threading.Barrier(4)
            found: list[bytes] = []

            def ask(
                number: int, turn: int = turn, start: threading.Barrier = start, found: list[bytes] = found
            ) -> None:
                start.wait()
                found.append(store.get_or_set(b"%d" % turn, lambda: b"%d" % number))

            run(*[lambda number=number: ask(number) for number in range(4)])
            assert len(set(found)) == 1
            assert store[b"%d" % turn] == found[0]


@pytest.mark.parametrize("on_disk", [False, True])
def test_compare_and_set(tmp_path: Path, on_disk: bool) -> None:
    clock = Clock()
    with disk_store(tmp_path / "s", page_size="4KiB", clock=clock) as store:
        store.set("a", "1", expire=10)
        if on_disk:
            push_to_disk(store)
        assert not store.compare_and_set("a", "2", "3")
        assert store.compare_and_set("a", "1", "a longer value")
        assert store["a"] == b"a longer value"
        assert store.ttl("a") == 10.0
        assert not store.compare_and_set("b", "", "3")
        assert b"b" not in store
        clock.now += 11
        assert not store.compare_and_set("a", "a longer value", "3")
        with pytest.raises(TypeError, match="values are bytes or str"):
            store.compare_and_set("a", 1, "3")  # type: ignore[call-overload]


def test_values_are_compared_as_objects() -> None:
    with Store(key=str, value="objects") as store:
        store["a"] = {"x": 1, "y": 2}
        assert store.compare_and_set("a", {"y": 2, "x": 1}, {1, 2, 3})
        assert store.compare_and_set("a", {3, 2, 1}, 1)
        assert store.compare_and_set("a", 1.0, None)
        assert store.compare_and_set("a", None, "end")
        assert not store.compare_and_set("a", None, "no")
        assert store["a"] == "end"


def test_a_counter_of_threads_loses_none() -> None:
    count = scaled(2000, least=200)
    with Store(key=str, value=int) as store:
        store["n"] = 0

        def work() -> None:
            for _ in range(count):
                while not store.compare_and_set("n", old := store["n"], old + 1):
                    pass

        run(*[work] * 4)
        assert store["n"] == 4 * count


@pytest.mark.parametrize("options", [{}, {"key": int, "value": "objects"}])
def test_the_ends_of_the_order(options: dict[str, Any]) -> None:
    keys: list[Any] = [5, 300, -2] if options else [b"b", b"c", b"a"]
    with Store(ordered=True, **options) as store:
        assert store.peek_first() is None
        assert store.peek_last() is None
        for key in keys:
            store[key] = b"%d" % keys.index(key)
        assert store.peek_first() == (min(keys), b"2")
        assert store.peek_last() == (max(keys), b"1")
        assert len(store) == 3
        del store[min(keys)]
        assert store.peek_first() == (keys[0], b"0")
    with Store(**options) as store, pytest.raises(ValueError, match="ordered=True"):
        store.peek_first()
