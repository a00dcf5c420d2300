"""Keys that expire and counters, with a clock of the test's own, on disk and in memory, over crash and compaction."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Unpack

import pytest

import oxidbm
from oxidbm import Store
from tests.inside import abandon
from tests.support import Options, Quiet, leave_memory, scaled

PAGE_BYTES = 4096
SMALL: Quiet = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual", "compaction": False}
START = 1_700_000_000.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the store."""
    return Clock()


@pytest.fixture(params=["memory", "disk", "few pages"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """A store on each device; sound at the end."""
    with opened(None if request.param == "memory" else tmp_path / "s", clock) as store:
        if request.param == "few pages":
            leave_memory(store, 8 * PAGE_BYTES)
        yield store
        assert store.closed or store.check() == []


def opened(path: Path | None, clock: Clock, **options: Unpack[Options]) -> Store:
    """Open a store with the clock."""
    given: Options = {**SMALL, **options}
    return Store(path, clock=clock, **given)


def push_to_disk(store: Store) -> None:
    """Write so much that in a store of few pages all before has left memory."""
    for i in range(40):
        store[b"filler%d" % i] = bytes(2000)


def test_expired_keys_are_gone_for_every_operation(store: Store, clock: Clock) -> None:
    store.set("a", "1", expire=10)
    store.set("b", "2")
    clock.now += 9.999
    assert store["a"] == b"1"
    assert store.ttl("a") == pytest.approx(0.001)
    clock.now += 0.001
    assert store.get("a") is None
    assert "a" not in store  # type: ignore[comparison-overlap]
    assert list(store) == [b"b"]
    assert dict(store.items()) == {b"b": b"2"}
    assert list(store.values()) == [b"2"]
    assert store.get_many(["a", "b"], b"none") == [b"none", b"2"]
    assert [record.key for record in store.scan()] == [b"b"]
    assert not store.touch("a", 10)
    assert store.pop("a", b"none") == b"none"
    for call in (store.__getitem__, store.pop, store.ttl):
        with pytest.raises(KeyError):
            call("a")
    with store.session() as session:
        assert session.read("a") is None
        assert session.rmw("a", lambda old: old + b"!") is None
        assert not session.delete("a")
    assert store.popitem() == (b"b", b"2")
    with pytest.raises(KeyError):
        store.popitem()
    assert store.check() == []


def test_reorganize_drops_what_has_expired(store: Store, clock: Clock) -> None:
    """Also from the page that is still appended to."""
    store.set("short", "1", expire=1)
    store["long"] = "2"
    clock.now += 2
    assert len(store) == 2
    store.reorganize()
    assert len(store) == 1
    assert dict(store) == {b"long": b"2"}
    assert store.check() == []


def test_length_counts_an_expired_key_until_it_is_met(store: Store, clock: Clock) -> None:
    store.set("a", "1", expire=1)
    store.set("b", "1", expire=1)
    store["c"] = "1"
    clock.now += 2
    assert len(store) == 3
    with pytest.raises(KeyError):
        del store["a"]
    assert len(store) == 2
    store["b"] = "2"
    assert len(store) == 2
    assert store.delete_many(["b", "c", "a"]) == 2
    assert len(store) == 0


AGAIN: dict[str, tuple[Callable[[Store], object], object, bytes | None, float | None]] = {
    "setitem": (lambda s: s.__setitem__("k", "new"), None, b"new", None),
    "set": (lambda s: s.set("k", "new", 5), None, b"new", 5.0),
    "add": (lambda s: s.add("k", "new"), True, b"new", None),
    "add with expiry": (lambda s: s.add("k", "new", expire=7), True, b"new", 7.0),
    "setdefault": (lambda s: s.setdefault("k", "new"), b"new", b"new", None),
    "incr": (lambda s: s.incr("k", 5), 5, b"5", None),
    "incr with expiry": (lambda s: s.incr("k", 5, default=1, expire=3), 6, b"6", 3.0),
    "decr": (lambda s: s.decr("k"), -1, b"-1", None),
    "rmw": (lambda s: s.session().rmw("k", lambda old: b"wrong", "new"), b"new", b"new", None),
    "upsert": (lambda s: s.session().upsert("k", "new"), None, b"new", None),
    "set_many": (lambda s: s.set_many({"k": "new"}, expire=2), None, b"new", 2.0),
    "update": (lambda s: s.update(k="new"), None, b"new", None),
    "touch": (lambda s: s.touch("k", 5), False, None, None),
    "get_and_touch": (lambda s: s.get_and_touch("k", 5, b"none"), b"none", None, None),
    "pop": (lambda s: s.pop("k", b"none"), b"none", None, None),
}


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("name", AGAIN)
def test_expired_key_written_again(name: str, on_disk: bool, store: Store, clock: Clock) -> None:
    operation, result, value, left = AGAIN[name]
    store.set("k", "7", expire=1)
    if on_disk:
        push_to_disk(store)
    clock.now += 1
    before = len(store)
    assert operation(store) == result
    assert store.get("k") == value
    if value is not None:
        assert store.ttl("k") == left
        assert len(store) == before
        clock.now += 100
        assert ("k" in store) == (left is None)  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("on_disk", [False, True])
def test_counting_and_rmw_keep_the_expiry(on_disk: bool, store: Store, clock: Clock) -> None:
    store.set("k", "9", expire=10)
    if on_disk:
        push_to_disk(store)
    clock.now += 4
    assert store.incr("k", expire=100) == 10  # longer by a digit
    assert store.decr("k", 10) == 0
    assert store.ttl("k") == 6.0
    with store.session() as session:
        assert session.rmw("k", lambda old: old + b"0" * 3000) == b"0" * 3001
    assert store.ttl("k") == 6.0
    assert store.incr("k", 10**30) == 10**30
    clock.now += 6
    assert "k" not in store  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("sizes", [(8, 8), (8, 16), (100, 3), (3, 3000)])
def test_updates_with_and_without_expiry(sizes: tuple[int, int], on_disk: bool, store: Store, clock: Clock) -> None:
    """Every change between expiring and not: in place where it fits, elsewhere where it does not."""
    for turn, expire in enumerate([None, 5, 9, None, None, 2, None, 7]):
        value = b"%d" % turn * sizes[turn % 2]
        store.set("k", value, expire)
        if on_disk:
            push_to_disk(store)
        assert store["k"] == value
        assert store.ttl("k") == expire
        assert store.touch("k", None if turn % 2 else 3)
        assert store.ttl("k") == (None if turn % 2 else 3.0)
        assert store["k"] == value
    assert store["k"] == b"7" * sizes[1]
    assert len(store) == (41 if on_disk else 1)
    live = sum(1 for _ in store.scan())
    assert live == len(store)


def test_live_bytes_with_expiries(store: Store, clock: Clock) -> None:
    """Counted as the records stand, also where an update in place and a deletion met an expired one."""
    for i in range(50):
        store.set(b"%d" % i, b"x" * (i % 20), expire=1 + i % 5)
    clock.now += 3
    for i in range(0, 50, 2):
        store.set(b"%d" % i, b"y" * (i % 20), expire=100)
    for i in range(1, 50, 4):
        store.pop(b"%d" % i, None)
    store.reorganize()
    clock.now += 1000
    for i in range(50):
        with pytest.raises(KeyError):
            del store[b"%d" % i]
    assert len(store) == 0
    assert store.stats()["live_bytes"] == 0


@pytest.mark.parametrize("expire", [0, -1, -0.001, 0.0, float("nan"), float("inf"), -float("inf"), 1e12, 10**400])
def test_impossible_times(store: Store, expire: float) -> None:
    store["k"] = "1"
    calls: list[Callable[[], object]] = [
        lambda: store.set("k", "2", expire), lambda: store.add("n", "2", expire), lambda: store.touch("k", expire),
        lambda: store.incr("n", expire=expire), lambda: store.set_many({"n": "1"}, expire=expire),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="seconds above 0"):
            call()
    assert dict(store.items()) == {b"k": b"1"}


@pytest.mark.parametrize("expire", [True, "1", b"1", 1j, [1]])
def test_times_of_another_type(store: Store, expire: Any) -> None:
    for call in (lambda: store.set("k", "2", expire), lambda: store.touch("k", expire)):
        with pytest.raises(TypeError, match=f"not {type(expire).__name__}"):
            call()
    assert len(store) == 0


def test_shortest_and_longest_time(store: Store, clock: Clock) -> None:
    store.set("short", "1", expire=1e-9)
    store.set("long", "1", expire=999_999_999_999)
    assert store.ttl("short") == pytest.approx(0.001)
    clock.now += 0.002
    assert "short" not in store  # type: ignore[comparison-overlap]
    assert store.ttl("long") == pytest.approx(999_999_999_999, abs=1)


def test_clock_that_goes_back(store: Store, clock: Clock) -> None:
    """What was not met while it was expired is there again; nothing breaks."""
    store.set("k", "1", expire=10)
    clock.now += 20
    assert "k" not in store  # type: ignore[comparison-overlap]
    clock.now -= 15
    assert store["k"] == b"1"
    assert store.ttl("k") == 5.0
    clock.now -= 100
    assert store.ttl("k") == 105.0
    assert list(store) == [b"k"]


@pytest.mark.parametrize("end", ["close", "crash"])
def test_expiry_survives(end: str, tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path / "s", clock)
    store.set("short", "1", expire=10)
    store.set("long", "2", expire=1000)
    store["ever"] = "3"
    store.set("was short", "4", expire=10)
    store.touch("was short")
    store.sync()
    store.set("late", "5", expire=1000)
    if end == "close":
        store.close()
    else:
        abandon(store)
    clock.now += 5
    late = {b"late": b"5"} if end == "close" else {}
    with opened(tmp_path / "s", clock, read_only=True, ordered=True) as reader:
        assert dict(reader.range()) == {b"short": b"1", b"long": b"2", b"ever": b"3", b"was short": b"4", **late}
        assert reader.ttl("short") == 5.0
        clock.now += 5
        assert reader.first_key() == b"ever"
        assert dict(reader.items()) == {b"long": b"2", b"ever": b"3", b"was short": b"4", **late}
    with opened(tmp_path / "s", clock) as store:
        assert store.ttl("long") == 990.0
        assert store.ttl("was short") is None
        assert dict(store.items()) == {b"long": b"2", b"ever": b"3", b"was short": b"4", **late}
        assert store.check() == []


def test_compaction_drops_what_has_expired(store: Store, clock: Clock) -> None:
    for i in range(300):
        store.set(b"%d" % i, bytes(500), expire=10 if i % 3 else None)
    clock.now += 10
    store.reorganize()
    store.reorganize()  # the first one wrote tombstones
    assert {key: len(value) for key, value in store.items()} == {b"%d" % i: 500 for i in range(0, 300, 3)}
    if store.path is not None:
        assert len(store) == 100
        assert store.stats()["log_bytes"] < 100 * 560 + 4 * PAGE_BYTES
        store.close()
        with opened(Path(str(store.path)), clock) as again:
            assert len(again) == 100
            clock.now -= 10
            assert len(list(again)) == 100  # also for a clock that says that it is too early


def test_evicting_store_with_expiries(clock: Clock) -> None:
    store = opened(None, clock, evict=True)
    for i in range(3000):
        store.set(b"%d" % i, bytes(700), expire=1 + i % 50)
        clock.now += 0.1
    assert store.stats()["memory_bytes"] <= 1 << 20
    assert b"2999" in store
    assert store.check() == []


@pytest.mark.parametrize("value", ["", "x", "1.5", "0x10", b"\xff", "9" * 5000 + "x"])
def test_counting_on_what_is_no_number(store: Store, value: Any) -> None:
    store["k"] = value
    before = store["k"]
    with pytest.raises(ValueError, match="is no number"):
        store.incr("k")
    assert store["k"] == before


def test_a_counter_of_more_digits_than_python_converts(store: Store) -> None:
    most = sys.get_int_max_str_digits()
    store["k"] = largest = "9" * most
    store["longer"] = "9" * (most + 1)
    for key, count in (("k", store.incr), ("longer", store.incr), ("longer", store.decr)):
        with pytest.raises(OverflowError, match=r"kept in decimal digits.*set_int_max_str_digits"):
            count(key)
    with pytest.raises(OverflowError, match="kept in decimal digits"):
        store.incr("new", 10**most)
    assert dict(store) == {b"k": largest.encode(), b"longer": b"9" * (most + 1)}
    assert store.decr("k", 9 * 10 ** (most - 1)) == 10 ** (most - 1) - 1


def test_counters(store: Store) -> None:
    assert store.incr("k") == 1
    assert store.incr("k", 41) == 42
    assert store.decr("k", 50) == -8
    assert store["k"] == b"-8"
    assert store.incr("k", 10**100) == 10**100 - 8
    assert store.incr("k", -(10**100)) == -8
    assert store.incr("k", 0) == -8
    assert store.incr("new", default=100) == 101
    with pytest.raises(KeyError) as caught:
        store.incr("missing", default=None)
    assert caught.value.args == ("missing",)
    with pytest.raises(KeyError):
        store.decr(b"missing", default=None)
    assert "missing" not in store  # type: ignore[comparison-overlap]
    wrong: list[Any] = ["1", 1.0, None]
    for delta in wrong:
        with pytest.raises(TypeError):
            store.incr("k", delta)
    assert store["k"] == b"-8"


@pytest.mark.parametrize("codec", [int, "json", "msgpack", "pickle", "objects"])
def test_counters_of_typed_stores(codec: Any) -> None:
    with Store(key=str, value=codec) as store:
        assert store.incr("k", 5) == 5
        assert store.decr("k", 7) == -2
        assert store["k"] == -2
        assert store.incr("big", 2**40) == 2**40
        with pytest.raises(KeyError):
            store.incr("none", default=None)
        if codec is int:
            with pytest.raises(OverflowError):
                store.incr("k", 2**961)
            assert store["k"] == -2
            return
        for value in ("text", 1.5, True, None):
            store["k"] = value
            with pytest.raises(TypeError, match="need values that are int"):
                store.incr("k")
            assert store["k"] is value or store["k"] == value


@pytest.mark.parametrize("codec", [str, float])
def test_no_counters_without_int(codec: type) -> None:
    """Neither the first count nor a later one."""
    with Store(value=codec) as store:
        with pytest.raises(TypeError, match="int"):
            store.incr("k")
        assert len(store) == 0


@pytest.mark.parametrize("codec", [None, int])
def test_no_count_is_lost(codec: Any, tmp_path: Path) -> None:
    rounds = scaled(2000, least=100)
    with Store(tmp_path / "s", value=codec, memory="1MiB", page_size=PAGE_BYTES, interval=0.01) as store:
        leave_memory(store, 12 * PAGE_BYTES)

        def count(sign: int) -> None:
            for i in range(rounds):
                store.incr(b"%d" % (i % 5), sign, expire=1000)
                store.incr(b"own", 1)

        threads = [threading.Thread(target=count, args=(sign,)) for sign in (1, 3, -1)]
        for thread in threads:
            thread.start()
        for i in range(rounds):
            store[b"filler%d" % (i % 50)] = 1 if codec else bytes(1500)
        for thread in threads:
            thread.join()
        assert sum(int(store[b"%d" % i]) for i in range(5)) == 3 * rounds
        assert int(store[b"own"]) == 3 * rounds
        assert all(store.ttl(b"%d" % i) is not None for i in range(5))


def changes(store: Store) -> list[Callable[[], object]]:
    """Return every call that may change a key's expiry or counter."""
    return [
        lambda: store.set("k", "1"), lambda: store.add("k", "1"), lambda: store.touch("k"), lambda: store.incr("k"),
        lambda: store.decr("k"), lambda: store.get_and_touch("k", 5), lambda: store.get_and_touch("k", None),
    ]  # fmt: skip


def test_refused_where_nothing_can_be_written(tmp_path: Path, clock: Clock) -> None:
    opened(tmp_path / "s", clock).close()
    cases: list[tuple[Options, type[Exception]]] = [
        ({"read_only": True}, oxidbm.ReadOnlyError), ({}, oxidbm.ClosedError),
    ]  # fmt: skip
    for options, error in cases:
        store = opened(tmp_path / "s", clock, **options)
        if not options:
            store.close()
        for call in changes(store):
            with pytest.raises(error):
                call()
        if options:
            store.close()
        else:
            with pytest.raises(oxidbm.ClosedError):
                store.ttl("k")
