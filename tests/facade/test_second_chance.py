"""eviction_policy="second-chance": what was read is spared, the limit is kept, and the store stays sound."""

import os
import random
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from oxidbm import EvictionPolicy, Store
from oxidbm._core.budget import READ_MARKS
from oxidbm._core.table.reads import BITS_MASK, Marks, bit_of
from oxidbm.testing import CrashDevice
from tests.facade.test_size_limit import PAGE_BYTES
from tests.facade.test_size_limit import opened as limited
from tests.inside import abandon, log_of, table_of
from tests.support import run, scaled

HEADER = 24
RECORD = HEADER + 8 + 168
LIMIT = 20_000  # of the state machine's store


@pytest.fixture(autouse=True)
def same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the keys' hashes be the same each time: keys that share a bit take each other's mark away."""
    monkeypatch.setattr(os, "urandom", lambda size: bytes(range(1, size + 1)))


def opened(place: str, path: Path, limit: int, **options: Any) -> Store:
    """Return a store with a limit that gives second chances, on disk with memory for a few pages."""
    return limited(place, path, limit, **{"eviction_policy": "second-chance", **options})


def name(number: int) -> bytes:
    """Return a key of eight bytes."""
    return b"%08d" % number


PLACES = pytest.mark.parametrize("place", ["memory", "disk"])


@PLACES
def test_a_record_larger_than_a_page_is_spared(place: str, tmp_path: Path) -> None:
    """In memory it has pages of its own, which are not to go from the middle of the log."""
    with opened(place, tmp_path / "s", 100_000) as store:
        store["large"] = bytes(5000)
        for number in range(3000):
            assert store["large"] == bytes(5000)
            store[name(number)] = bytes(100)
            if number % 500 == 0:
                assert store.check() == []
                assert len(list(store.items())) == len(store)
        assert store.stats()["second_chances"] > 3
        store.reorganize()
        assert store["large"] == bytes(5000)
        assert store.check() == []


@PLACES
@pytest.mark.parametrize("seed", range(4))
def test_records_of_many_sizes(place: str, seed: int, tmp_path: Path) -> None:
    """Some of several pages, read often: whatever is there has the value that it was given last."""
    chance = random.Random(seed)
    with opened(place, tmp_path / "s", 200_000, ordered=True) as store:
        model: dict[bytes, bytes] = {}
        for step in range(scaled(4000, least=800)):
            key = name(chance.randrange(300))
            if chance.random() < 0.5:
                model[key] = store[key] = b"%d." % step + bytes(chance.choice([0, 50, 400, 3000, 5000, 9000, 20_000]))
            elif chance.random() < 0.1:
                store.pop(key, None)
            else:
                assert store.get(key) in (None, model.get(key))
            if step % 400 == 0:
                assert store.check() == []
        found = dict(store)
        assert found == {key: model[key] for key in found}
        assert [key for key, _ in store.range()] == sorted(found)
        assert store.stats()["live_bytes"] <= 200_000
        assert store.stats()["second_chances"] > 0
        assert store.check() == []


@PLACES
@pytest.mark.parametrize("call", ["get", "get_and_touch"])
def test_what_is_spared_keeps_its_tag_and_its_time(place: str, call: str, tmp_path: Path) -> None:
    """Also where its record has to move to get another time."""
    with opened(place, tmp_path / "s", 40_000) as store:
        store.set(b"spared", bytes(100), expire=1000, tag="tag")
        store.set(b"for ever", bytes(100), tag="tag")
        for number in range(1000):
            store[name(number)] = bytes(168)
            for key, seconds in ((b"spared", 1000), (b"for ever", None)):
                found = store.get(key) if call == "get" else store.get_and_touch(key, seconds)
                assert found == bytes(100)
        assert store.stats()["second_chances"] > 2
        assert 900 < (store.ttl(b"spared") or 0) <= 1000
        assert store.ttl(b"for ever") is None
        assert store.get_and_touch(b"for ever", 500) == bytes(100)
        assert 400 < (store.ttl(b"for ever") or 0) <= 500
        assert store.evict("tag") == 2
        assert store.check() == []


@PLACES
@pytest.mark.parametrize("way", ["get", "item", "in", "get_many", "session", "get_or_set", "touch", "get_and_touch"])
def test_what_is_read_stays(place: str, way: str, tmp_path: Path) -> None:
    with opened(place, tmp_path / "s", 40_000) as store, store.session() as session:
        for number in range(1000):
            store[name(number)] = bytes(168)
            match way:
                case "get":
                    assert store.get(name(3 if number >= 3 else number)) is not None
                case "item":
                    assert store[name(min(number, 3))] == bytes(168)
                case "in":
                    assert name(min(number, 3)) in store
                case "get_many":
                    assert store.get_many([name(min(number, 3))]) == [bytes(168)]
                case "session":
                    assert session.read(name(min(number, 3))) == bytes(168)
                case "get_or_set":
                    assert store.get_or_set(name(min(number, 3)), b"") == bytes(168)
                case "touch":
                    assert store.touch(name(min(number, 3)))
                case _:
                    assert store.get_and_touch(name(min(number, 3)), None) == bytes(168)
        assert name(3) in store
        assert store.stats()["second_chances"] > 0
        assert store.stats()["evicted_keys"] == 1000 - len(store)
        assert store.check() == []


@PLACES
def test_what_is_not_read_goes_in_the_order_of_writing(place: str, tmp_path: Path) -> None:
    with opened(place, tmp_path / "s", 50_000) as store:
        for number in range(2000):
            store[name(number)] = bytes(168)
        keys = len(store)
        assert sorted(store) == [name(number) for number in range(2000 - keys, 2000)]
        assert store.stats()["second_chances"] == 0


@PLACES
def test_one_chance_is_all_that_a_read_gives(place: str, tmp_path: Path) -> None:
    """What was read once is spared once: by the time that eviction comes to it again, it goes."""
    with opened(place, tmp_path / "s", 50_000) as store:
        store["read"] = bytes(168)
        assert store["read"] == bytes(168)
        for number in range(400):
            store[name(number)] = bytes(168)
        assert b"read" in list(store)  # without a lookup
        for number in range(400, 1000):
            store[name(number)] = bytes(168)
        assert b"read" not in list(store)
        assert store.stats()["second_chances"] == 1


@PLACES
@pytest.mark.parametrize("limit", [100, 1000, 5000, 50_000, 300_000])
def test_the_limit_is_kept_however_much_is_read(place: str, limit: int, tmp_path: Path) -> None:
    """Every key is read after every few writes, so each that eviction comes to is marked."""
    chance = random.Random(limit)
    with opened(place, tmp_path / "s", limit, ordered=True) as store:
        for step in range(scaled(2500, least=700)):
            key = b"%d" % chance.randrange(600)
            value = bytes(chance.choice([0, 1, 30, 200, 900, 3000]))
            match chance.randrange(8):
                case 0:
                    store.pop(key, None)
                case 1:
                    store.set(key, value, expire=100)
                case 2:
                    store.set_many({key: value, key + b"!": value})
                case _:
                    store[key] = value
            if step % 5 == 0:
                store.get_many([b"%d" % number for number in range(600)])
            record = HEADER + len(key) + len(value) + 24
            if step % 10 == 0:
                len(store)
            assert store.stats()["live_bytes"] <= max(limit, record)
            if step % 300 == 0:
                assert store.check() == []
        assert store.check() == []
        assert store.stats()["evicted_keys"] > 0
        assert [key for key, _ in store.range()] == sorted(store.keys())


@PLACES
def test_no_more_is_carried_than_is_dropped(place: str, tmp_path: Path) -> None:
    limit = 80_000
    count = scaled(2000, least=1000)
    with opened(place, tmp_path / "s", limit, compaction=False) as store:
        for number in range(count):
            store[name(number)] = bytes(168)
            if number % 10 == 0:
                assert len(store.get_many([name(other) for other in range(number + 1)])) == number + 1
        figures = store.stats()
        assert figures["second_chances"] > 100
        assert figures["second_chances"] * RECORD <= figures["evicted_keys"] * RECORD + limit // 8
        assert name(count - 1) in store


@PLACES
def test_a_record_of_more_than_its_share_of_the_limit_goes(place: str, tmp_path: Path) -> None:
    with opened(place, tmp_path / "s", 40_000) as store:
        store["large"] = bytes(20_000)
        for number in range(300):
            store[name(number)] = bytes(168)
            store.get("large")
        assert b"large" not in store
        assert store.stats()["second_chances"] == 0


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("page", [PAGE_BYTES, 1 << 16, 1 << 22])
def test_a_store_in_memory_that_is_full_never_refuses(page: int, reads: bool) -> None:
    """evict=True: every key is read all the time, small records and some that need a run of pages of their own."""
    with Store(memory="2MiB", page_size=page, evict=True, eviction_policy="second-chance") as store:
        sizes = [10, 900, 3000, 900, 100_000, 700]
        for number in range(scaled(12_000, least=4000)):
            store[name(number)] = bytes(sizes[number % 6] if number % 600 < 6 else 900)
            if reads and number % 50 == 0:
                store.get_many([name(other) for other in range(max(number - 3000, 0), number + 1)])
        assert name(number) in store
        assert store.stats()["memory_bytes"] <= (2 << 20) + page
        assert (store.stats()["second_chances"] > 0) == reads
        store["huge"] = bytes(900_000)
        assert store["huge"] == bytes(900_000)
        assert store.check() == []


def test_what_is_read_stays_in_a_store_that_is_full() -> None:
    with Store(memory="2MiB", page_size=1 << 16, evict=True, eviction_policy="second-chance") as store:
        for number in range(scaled(20_000, least=6000)):
            store[name(number)] = bytes(900)
            store.get(name(7))
        assert name(7) in store
        assert name(8) not in store
    with Store(memory="2MiB", page_size=1 << 16, evict=True) as store:
        for number in range(scaled(20_000, least=6000)):
            store[name(number)] = bytes(900)
            store.get(name(7))
        assert name(7) not in store


def test_expiry_is_carried_along_and_what_has_expired_goes(tmp_path: Path) -> None:
    now = 1000.0
    with opened("disk", tmp_path / "s", 40_000, clock=lambda: now) as store:
        store.set("short", bytes(168), expire=10)
        store.set("long", bytes(168), expire=1000)
        for number in range(400):
            store[name(number)] = bytes(168)
            store.get_many(["short", "long"])
        assert store.ttl("short") == 10.0
        assert store.ttl("long") == 1000.0
        assert store.stats()["second_chances"] > 2
        now += 10
        for number in range(400, 800):
            store[name(number)] = bytes(168)
            store.get_many(["short", "long"])
        assert store.ttl("long") == 990.0
        assert b"short" not in list(store)
        assert store.check() == []


@pytest.mark.parametrize("ending", ["close", "crash"])
def test_reopening_keeps_what_was_there(ending: str, tmp_path: Path) -> None:
    device = CrashDevice(PAGE_BYTES)
    for turn in range(scaled(4, least=2)):
        with opened("disk", tmp_path / "s", 60_000, device=device) as store:
            for number in range(400):
                store[b"%d" % ((number * 7 + turn * 100) % 700)] = bytes(number * 13 % 900)
                store.get_many([b"%d" % other for other in range(0, 700, 3)])
            store.sync()
            expected = dict(store.items())
            assert store.stats()["second_chances"] > 0
            if ending == "crash":
                abandon(store)
                device = device.crash()
        with opened("disk", tmp_path / "s", 60_000, device=device) as store:
            assert dict(store.items()) == expected
            assert store.check() == []


@PLACES
def test_threads_that_read_beside_eviction(place: str, tmp_path: Path) -> None:
    """Whoever reads marks anew what eviction has just spared, and it comes to its end all the same."""
    rounds = scaled(30_000, least=2000)
    ended = threading.Event()
    with opened(place, tmp_path / "s", 60_000, count_reads=True) as store:

        def write() -> None:
            try:
                for number in range(rounds):
                    store[name(number % 3000)] = b"%d" % number * 20
                    store.get(name((number - 100) % 3000))  # also where the others get no turn
            finally:
                ended.set()

        def look() -> None:
            chance = random.Random(threading.get_ident())
            while not ended.is_set():
                key = name(chance.randrange(3000))
                value = store.get(key)
                assert value is None or int(value[: len(value) // 20]) % 3000 == int(key)
                store.get_many([name(number) for number in range(0, 3000, 50)])

        run(write, look, look)
        len(store)
        assert store.stats()["live_bytes"] <= 60_000
        assert store.stats()["second_chances"] > 0
        assert store.check() == []


@pytest.mark.parametrize(("limit", "size"), [("1GiB", 1 << 20), ("1MiB", 1 << 15), (1, 8)])
def test_marks_are_of_the_budget(limit: int | str, size: int) -> None:
    with Store(memory="64MiB", size_limit=limit, eviction_policy="second-chance") as store:
        budget = log_of(store).budget
        marks = table_of(store).marks()
        assert marks is not None
        assert budget.held[READ_MARKS] == len(marks.words) * 8 == size
        assert store.stats()["eviction_policy"] == "second-chance"


def test_what_only_counts_has_no_marks() -> None:
    with Store(memory="64MiB", size_limit="1MiB", count_reads=True) as store:
        assert table_of(store).marks() is None
        assert log_of(store).budget.held[READ_MARKS] == 0


def test_each_hash_has_a_bit_of_its_own() -> None:
    bits = [bit_of(number) for number in range(BITS_MASK + 1)]
    assert len(set(bits)) == 64
    assert all(bit & (bit - 1) == 0 for bit in bits[:-1])
    assert bits[-1] == -(1 << 63)
    with Store(memory="1MiB", size_limit=10_000, eviction_policy="second-chance") as store:
        marks = table_of(store).marks()
        assert isinstance(marks, Marks)
        for number in range(200):
            assert not marks.spares(number, 8)
        store.update({b"%d" % number: b"" for number in range(100)})
        store.get_many([b"%d" % number for number in range(100)])
        assert sum(word != 0 for word in marks.words) > 3


class Caching(RuleBasedStateMachine):
    """A store with a limit beside a dict: what it has is what was stored last, and it has no more than it may."""

    keys = st.integers(0, 80).map(name)
    sizes = st.sampled_from([0, 20, 168, 900])

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.model: dict[bytes, bytes] = {}
        self.number = 0
        self.place = "memory"
        self.policy: EvictionPolicy = "second-chance"
        self.found = 0
        self.asked = 0

    @initialize(
        place=st.sampled_from(["memory", "disk"]), policy=st.sampled_from(["second-chance", "least-recently-stored"])
    )
    def begin(self, place: str, policy: EvictionPolicy) -> None:
        self.place = place
        self.policy = policy
        self.store = self.open()

    def open(self) -> Store:
        """Open the store."""
        return opened(
            self.place, self.directory / "s", LIMIT, eviction_policy=self.policy, count_reads=True, ordered=True
        )

    def value(self, size: int) -> bytes:
        """Return another value each time."""
        self.number += 1
        return b"%d." % self.number + bytes(size)

    @rule(key=keys, size=sizes)
    def set(self, key: bytes, size: int) -> None:
        self.model[key] = self.value(size)
        self.store[key] = self.model[key]
        assert self.store.get(key) == self.model[key]
        self.asked += 1
        self.found += 1

    @rule(key=keys, size=sizes)
    def get_or_set(self, key: bytes, size: int) -> None:
        there = key in set(self.store)
        value = self.value(size)
        self.model[key] = self.model[key] if there else value
        assert self.store.get_or_set(key, value) == self.model[key]
        self.asked += 1
        self.found += there

    @rule(some=st.lists(keys, max_size=30))
    def get_many(self, some: list[bytes]) -> None:
        for key, value in zip(some, self.store.get_many(some), strict=True):
            assert value in (None, self.model.get(key))
            self.asked += 1
            self.found += value is not None

    @rule(key=keys)
    def get_and_touch(self, key: bytes) -> None:
        value = self.store.get_and_touch(key, 1000)
        assert value in (None, self.model.get(key))
        self.asked += 1
        self.found += value is not None

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.store.delete(key)
        self.model.pop(key, None)

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.model.clear()

    @rule()
    def reorganize(self) -> None:
        self.store.reorganize()

    @rule()
    def reopen(self) -> None:
        if self.place == "disk":
            before = dict(self.store.items())
            self.store.close()
            self.store = self.open()
            assert dict(self.store.items()) == before
            self.asked = self.found = 0

    @invariant()
    def agrees(self) -> None:
        """What is there is what was stored, and it is within the limit."""
        for key, value in self.store.items():
            assert self.model[key] == value
        figures = self.store.stats()
        assert figures["live_bytes"] <= LIMIT
        assert (figures["hits"], figures["misses"]) == (self.found, self.asked - self.found)
        if self.policy == "least-recently-stored":
            assert figures["second_chances"] == 0
        assert [key for key, _ in self.store.range()] == sorted(self.store)

    def teardown(self) -> None:
        """Close it."""
        if hasattr(self, "store"):
            assert self.store.check() == []
            self.store.close()
        shutil.rmtree(self.directory)


TestCaching = Caching.TestCase
TestCaching.settings = settings(max_examples=scaled(60, least=10), stateful_step_count=50)
