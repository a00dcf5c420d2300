"""touch and get_and_touch: a key's time to live begins anew, where that is possible without writing its value."""

import shutil
import tempfile
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import oxidbm
from oxidbm import Store
from tests.inside import abandon, log_of
from tests.support import leave_memory, run, scaled
from tests.unit.helpers import Clock, disk_store, push_to_disk


def test_a_value_and_its_time(tmp_path: Path) -> None:
    clock = Clock()
    for path in (None, tmp_path / "s"):
        with Store(path, clock=clock) as store:
            store.set("a", "1", expire=10)
            clock.now += 9
            assert store.get_and_touch("a", 10) == b"1"
            clock.now += 9
            assert store.get_and_touch("a", timedelta(seconds=20)) == b"1"
            assert store.ttl("a") == 20.0
            assert store.get_and_touch("a", None) == b"1"
            assert store.ttl("a") is None
            assert store.get_and_touch("a", 5) == b"1"
            assert store.ttl("a") == 5.0
            clock.now += 5
            assert store.get_and_touch("a", 5) is None
            assert store.get_and_touch("a", 5, b"none") == b"none"
            assert store.get_and_touch("b", None, "none") == "none"
            assert len(list(store)) == 0
            assert store.check() == []


def test_a_typed_store() -> None:
    with Store(key=int, value="json") as store:
        store.set(1, {"a": [1]}, expire=10)
        assert store.get_and_touch(1, 100) == {"a": [1]}
        assert store.get_and_touch(2, 100, "none") == "none"
        assert 99 < (store.ttl(1) or 0) <= 100


@pytest.mark.parametrize("call", ["touch", "get_and_touch"])
def test_only_the_expiry_is_written_where_the_record_can_be_changed(call: str) -> None:
    """In memory no record comes by it; nothing at all is written for a key that stays for ever as it does already."""
    clock = Clock()
    with Store(clock=clock) as store:
        store.set("short", bytes(1000), expire=10)
        store["long"] = bytes(1000)
        log = log_of(store)
        tail, changes = log.tail, log.changes()
        getattr(store, call)("short", 50)
        assert (log.tail, log.changes()) == (tail, changes + 1)
        getattr(store, call)("long", None)
        getattr(store, call)("absent", 10)
        assert (log.tail, log.changes()) == (tail, changes + 1)
        getattr(store, call)("long", 10)  # it has no word for an expiry where it stands
        assert log.tail > tail
        tail = log.tail
        getattr(store, call)("short", None)  # and one that stays for ever has none
        assert log.tail > tail
        assert store.ttl("short") is None
        assert store.ttl("long") == 10.0
        assert store.check() == []


@pytest.mark.parametrize("ending", ["close", "crash"])
@pytest.mark.parametrize("place", ["mutable", "committed", "disk"])
def test_the_new_time_is_there_after_a_reopening(place: str, ending: str, tmp_path: Path) -> None:
    clock = Clock()
    with disk_store(tmp_path / "s", clock=clock) as store:
        for i in range(50):
            store.set(b"%d" % i, b"value %d" % i, expire=10 if i % 3 else None)
        if place == "committed":
            store.sync()
        elif place == "disk":
            push_to_disk(store)
        for i in range(50):
            assert store.get_and_touch(b"%d" % i, None if i % 5 == 0 else 100 + i) == b"value %d" % i
        store.sync()
        if ending == "crash":
            abandon(store)
    clock.now += 10
    with disk_store(tmp_path / "s", clock=clock) as store:
        assert len(list(store)) == 50
        for i in range(50):
            assert store.ttl(b"%d" % i) == (None if i % 5 == 0 else 90.0 + i)
            assert store[b"%d" % i] == b"value %d" % i
        assert store.check() == []


def test_durable_where_each_write_is(tmp_path: Path) -> None:
    clock = Clock()
    with Store(tmp_path / "s", durability="always", clock=clock) as store:
        store.set("a", "1", expire=10)
        assert store.get_and_touch("a", 50) == b"1"
        with Store(tmp_path / "s", read_only=True, clock=clock) as reader:
            assert reader.ttl("a") == 50.0
            with pytest.raises(oxidbm.ReadOnlyError):
                reader.get_and_touch("a", 5)
            with pytest.raises(oxidbm.ReadOnlyError):
                reader.get_and_touch("absent", 5)


@pytest.mark.parametrize("expire", [0, -1, float("nan"), 1e12])
def test_wrong_times(expire: Any) -> None:
    with Store() as store:
        store["a"] = "1"
        with pytest.raises(ValueError, match="expire is a number of seconds above 0"):
            store.get_and_touch("a", expire)
        with pytest.raises(TypeError, match="expire is a number of seconds"):
            store.get_and_touch("a", "soon")  # type: ignore[call-overload]
        assert store.ttl("a") is None


def test_no_write_of_another_thread_is_lost_or_undone() -> None:
    """A value that was read and written again by a touch would be older than one that came in between."""
    rounds = scaled(20_000, least=2000)
    ended = threading.Event()
    with Store(memory="8MiB") as store:
        store.set("a", b"%08d" % 0, expire=1000)

        def write() -> None:
            try:
                for i in range(1, rounds):
                    store.set("a", b"%08d" % i, expire=1000)
                    assert store["a"] == b"%08d" % i
            finally:
                ended.set()

        def touch() -> None:
            last = b""
            while not ended.is_set():
                value = store.get_and_touch("a", 500)
                assert value is not None
                assert value >= last
                last = value
                assert store.touch("a", 700)

        run(write, touch, touch)
        assert store.check() == []


def test_a_memoized_result_that_is_used_stays() -> None:
    clock = Clock()
    calls = []
    with Store(clock=clock) as store:

        @store.memoize(expire=60, sliding=True)
        def double(number: int) -> int:
            calls.append(number)
            return 2 * number

        for _ in range(5):
            assert double(4) == 8
            clock.now += 59
        assert calls == [4]
        clock.now += 1
        assert double(4) == 8
        assert calls == [4, 4]
        assert store.ttl(double.cache_key(4)) == 60.0
        with pytest.raises(ValueError, match="sliding=True begins a result's time anew"):
            store.memoize(sliding=True)
        with pytest.raises(TypeError, match="sliding is True or False"):
            store.memoize(expire=60, sliding="yes")  # type: ignore[arg-type]


class Touching(RuleBasedStateMachine):
    """Expiries given anew beside every other write, in a store on disk with few pages in memory."""

    keys = st.integers(0, 7).map(lambda number: b"key %d" % number)
    times = st.none() | st.sampled_from([1, 3, 100])

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.model: dict[bytes, tuple[bytes, float | None]] = {}
        self.number = 0
        self.directory = Path(tempfile.mkdtemp())
        self.store = self.open()

    def open(self) -> Store:
        """Open the store with memory for a few pages."""
        store = disk_store(self.directory / "s", clock=self.clock, page_size="4KiB")
        leave_memory(store, 12 * 4096)
        return store

    def value(self) -> bytes:
        """Return another value each time."""
        self.number += 1
        return b"%d" % self.number * (1 + self.number * 7919 % 300)

    def live(self, key: bytes) -> bytes | None:
        """Return what the model has."""
        value, until = self.model.get(key, (None, None))
        return value if until is None or until > self.clock.now else None

    def until(self, seconds: float | None) -> float | None:
        """Return when what lives for so many seconds expires."""
        return None if seconds is None else self.clock.now + seconds

    @rule(key=keys, seconds=times)
    def set(self, key: bytes, seconds: float | None) -> None:
        value = self.value()
        self.store.set(key, value, seconds)
        self.model[key] = value, self.until(seconds)

    @rule(key=keys, seconds=times)
    def get_and_touch(self, key: bytes, seconds: float | None) -> None:
        value = self.live(key)
        assert self.store.get_and_touch(key, seconds) == value
        if value is not None:
            self.model[key] = value, self.until(seconds)

    @rule(key=keys, seconds=times)
    def touch(self, key: bytes, seconds: float | None) -> None:
        value = self.live(key)
        assert self.store.touch(key, seconds) == (value is not None)
        if value is not None:
            self.model[key] = value, self.until(seconds)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        assert self.store.delete(key) == (self.live(key) is not None)
        self.model.pop(key, None)

    @rule(seconds=st.sampled_from([1, 2, 50]))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(kind=st.sampled_from(["commit", "snapshot", "fold-over", "cold", "compact", "fill"]))
    def move(self, kind: str) -> None:
        """Have records stand elsewhere."""
        if kind == "commit":
            self.store.sync()
        elif kind == "cold":
            push_to_disk(self.store)
        elif kind == "compact":
            self.store.reorganize()
        elif kind == "fill":
            self.store.update({b"filler": bytes(3000)})
            self.store.delete("filler")
        else:
            self.store.checkpoint("snapshot" if kind == "snapshot" else "fold-over")

    @rule(crash=st.booleans())
    def reopen(self, crash: bool) -> None:
        if crash:
            self.store.sync()
            abandon(self.store)
        self.store.close()
        self.store = self.open()

    @invariant()
    def agrees(self) -> None:
        """Values and times are those of the model."""
        for key, (_, until) in self.model.items():
            value = self.live(key)
            assert self.store.get(key) == value
            if value is not None:
                assert self.store.ttl(key) == (None if until is None else until - self.clock.now)

    def teardown(self) -> None:
        """Close it."""
        assert self.store.check() == []
        self.store.close()
        shutil.rmtree(self.directory)


TestTouching = Touching.TestCase
TestTouching.settings = settings(max_examples=scaled(40, least=8), stateful_step_count=30)
