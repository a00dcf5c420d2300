"""The ordered view beside a sorted dict: a state machine, and what it says at the edges."""

import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import oxidbm
from oxidbm import Store, codecs
from oxidbm._core.store.ordered import CHANGED_MAX
from tests.inside import order_of
from tests.support import PURE, Quiet, leave_memory, scaled

PAGE_BYTES = 4096
OPTIONS: Quiet = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual", "compaction": False}

keys = st.one_of(
    st.binary(max_size=3), st.sampled_from([b"\xff", b"\xff\xff", b"\xff\xff\x01", b"\xfe\xff", b"", b"\0"])
)
bounds = st.none() | keys


class OrderedMachine(RuleBasedStateMachine):
    """A small store on disk with a clock, beside a dict of values and expiries."""

    path: str | None = None
    size_limit: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.now = 1000.0
        self.values: dict[bytes, bytes] = {}
        self.expiries: dict[bytes, float] = {}
        self.number = 0
        self.store = self.open()

    def open(self) -> Store:
        """Open the store with memory for a few pages."""
        store = Store(
            os.path.join(self.directory, "s"),
            ordered=True,
            clock=lambda: self.now,
            size_limit=self.size_limit,
            **OPTIONS,
        )
        leave_memory(store, 12 * PAGE_BYTES)
        return store

    def value(self) -> bytes:
        """Return another value each time."""
        self.number += 1
        return b"%d" % self.number * (1 + self.number * 7919 % 300)

    def put(self, key: bytes, value: bytes | None, expire: float | None = None) -> None:
        """Do to the model what the store did."""
        self.expiries.pop(key, None)
        if value is None:
            self.values.pop(key, None)
            return
        self.values[key] = value
        if expire is not None:
            self.expiries[key] = self.now + expire

    def model(self) -> dict[bytes, bytes]:
        """Return what is live now."""
        for key, expiry in list(self.expiries.items()):
            if expiry <= self.now:
                self.put(key, None)
        return self.values

    def items(self, low: bytes | None, high: bytes | None, reverse: bool) -> list[tuple[bytes, bytes]]:
        """Return what a range of the model holds."""
        found = [
            (key, value)
            for key, value in sorted(self.model().items())
            if (low is None or low <= key) and (high is None or key < high)
        ]
        return found[::-1] if reverse else found

    @rule(key=keys, expire=st.none() | st.sampled_from([1, 5, 100]))
    def set(self, key: bytes, expire: float | None) -> None:
        value = self.value()
        self.store.set(key, value, expire)
        self.put(key, value, expire)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        expected = self.model().get(key)
        assert self.store.pop(key, None) == expected
        self.put(key, None)

    @rule(pairs=st.lists(st.tuples(keys, st.sampled_from(["set", "delete", "expire"])), max_size=20))
    def batch(self, pairs: list[tuple[bytes, str]]) -> None:
        with self.store.batch() as batch:
            for key, what in pairs:
                value, expire = None if what == "delete" else self.value(), 3.0 if what == "expire" else None
                if value is None:
                    batch.delete(key)
                else:
                    batch.set(key, value, expire)
                self.put(key, value, expire)

    @rule(some=st.lists(keys, max_size=30))
    def many(self, some: list[bytes]) -> None:
        pairs = {key: self.value() for key in some}
        self.store.set_many(pairs)
        for key, value in pairs.items():
            self.put(key, value)

    @rule(first=st.integers(0, 255), count=st.integers(1, 300))
    def very_many(self, first: int, count: int) -> None:
        pairs = {b"%c%d" % (first, i): self.value() for i in range(count)}
        self.store.update(pairs)
        for key, value in pairs.items():
            self.put(key, value)

    @rule(some=st.lists(keys, max_size=10))
    def delete_many(self, some: list[bytes]) -> None:
        expected = len(set(some) & self.model().keys())
        count = self.store.delete_many(some)
        assert count == expected or (self.size_limit is not None and count < expected)
        for key in some:
            self.put(key, None)

    @rule(key=keys)
    def session(self, key: bytes) -> None:
        with self.store.session() as session:
            value = self.value()
            session.upsert(key, value)
            self.put(key, value)
            expected = key + b"!" in self.model()
            assert session.delete(key + b"!") == expected
            self.put(key + b"!", None)

    @rule(seconds=st.sampled_from([1, 2, 10]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(key=keys, expire=st.none() | st.just(4))
    def touch(self, key: bytes, expire: float | None) -> None:
        there = key in self.model()
        assert self.store.touch(key, expire) == there
        assert self.store.get_and_touch(key, expire) == self.values.get(key)
        if there:
            self.put(key, self.values[key], expire)

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.values.clear()
        self.expiries.clear()

    @rule()
    def pop_item(self) -> None:
        if self.model():
            key, value = self.store.popitem()
            assert value == self.values[key]
            self.put(key, None)

    @rule()
    def reorganize(self) -> None:
        self.store.reorganize()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()

    @rule(low=bounds, high=bounds, reverse=st.booleans())
    def range(self, low: bytes | None, high: bytes | None, reverse: bool) -> None:
        assert list(self.store.range(low, high, reverse=reverse)) == self.items(low, high, reverse)

    @rule(prefix=keys, reverse=st.booleans())
    def prefix(self, prefix: bytes, reverse: bool) -> None:
        expected = [pair for pair in self.items(None, None, reverse) if pair[0].startswith(prefix)]
        assert list(self.store.prefix(prefix, reverse=reverse)) == expected

    @rule(key=keys)
    def neighbours(self, key: bytes) -> None:
        live = sorted(self.model())
        assert self.store.first_key() == next(iter(live), None)
        assert self.store.last_key() == next(iter(live[::-1]), None)
        assert self.store.next_key(key) == next((other for other in live if other > key), None)
        assert self.store.previous_key(key) == next((other for other in live[::-1] if other < key), None)

    @rule(reverse=st.booleans(), writes=st.lists(st.tuples(keys, st.booleans()), max_size=40))
    def change_while_iterating(self, reverse: bool, writes: list[tuple[bytes, bool]]) -> None:
        """A key is visited if it is there when its place is reached."""
        at: bytes | None = None
        iterator = self.store.range(reverse=reverse)
        while True:
            low, high = (None, at) if reverse else (None if at is None else at + b"\0", None)
            expected = self.items(low, high, reverse)
            assert next(iterator, None) == (expected[0] if expected else None)
            if not expected:
                break
            at = expected[0][0]
            for key, put in writes[:2]:
                value = self.value() if put else None
                if value is None:
                    self.store.pop(key, None)
                else:
                    self.store[key] = value
                self.put(key, value)
            writes = writes[2:]

    @invariant()
    def memory_is_counted(self) -> None:
        stats = self.store.stats()
        held = list(order_of(self.store).keys)
        assert stats["order_bytes"] == sum(sys.getsizeof(key) + 8 for key in held)
        assert held == sorted(set(held))
        assert set(held) >= self.model().keys()

    def teardown(self) -> None:
        self.range(None, None, False)
        assert self.store.check() == []
        self.store.close()
        shutil.rmtree(self.directory)


class LimitedMachine(OrderedMachine):
    """With a cap: what is evicted leaves the view too."""

    size_limit = 20_000

    def model(self) -> dict[bytes, bytes]:
        """Return what is live now: what the store has evicted is gone."""
        live = super().model()
        for key in [key for key in live if key not in self.store]:
            self.put(key, None)
        return live


TestOrdered = pytest.mark.slow(OrderedMachine.TestCase)
TestOrdered.settings = settings(max_examples=scaled(40, least=8), stateful_step_count=30)
TestLimited = pytest.mark.slow(LimitedMachine.TestCase)
TestLimited.settings = settings(max_examples=scaled(25, least=5), stateful_step_count=30)


def test_needs_ordered(tmp_path: Path) -> None:
    store = Store()
    calls: list[Callable[[], object]] = [
        store.range, lambda: store.prefix("a"), store.first_key, store.last_key,
        lambda: store.next_key("a"), lambda: store.previous_key("a"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="ordered=True"):
            call()
    assert not store.ordered
    assert store.stats()["order_bytes"] == 0


def test_closed_store() -> None:
    store = Store(ordered=True)
    store.update(a="1", b="2")
    iterator = store.range()
    next(iterator)
    store.close()
    with pytest.raises(oxidbm.ClosedError):
        next(iterator)
    with pytest.raises(oxidbm.ClosedError):
        store.first_key()


def test_read_only_opening(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        store.update({b"%03d" % i: b"x" for i in range(500)})
    with Store(tmp_path / "s", read_only=True, ordered=True, memory="1MiB") as reader:
        assert [key for key, _ in reader.range("100", "110")] == [b"%03d" % i for i in range(100, 110)]
        assert reader.last_key() == b"499"


def test_more_changes_than_are_noted() -> None:
    """Writers take the notes up themselves."""
    count = CHANGED_MAX * (1 if PURE else 3)
    with Store(ordered=True, memory="64MiB") as store:
        for i in range(count):
            store[b"%d" % (i * 7919 % count)] = b"x"
        assert len(order_of(store).changes) <= CHANGED_MAX + 4096
        assert [key for key, _ in store.range()] == sorted(b"%d" % i for i in range(count))


def test_integers_in_order() -> None:
    numbers = [0, 1, -1, 255, 256, -256, -257, 2**56, -(2**56), 2**959, -(2**959), 10**20, -(10**20), 7, -7]
    with Store(key=int, value=str, ordered=True) as store:
        store.update({number: str(number) for number in numbers})
        assert [key for key, _ in store.range()] == sorted(numbers)
        assert [value for _, value in store.range(-256, 256)] == ["-256", "-7", "-1", "0", "1", "7", "255"]
        assert (store.first_key(), store.last_key()) == (-(2**959), 2**959)
        assert (store.next_key(-1), store.previous_key(0), store.next_key(2**959)) == (0, -1, None)
        with pytest.raises(TypeError, match="has no prefixes"):
            store.prefix(1)
        with pytest.raises(TypeError, match="keys are int, not str"):
            store.range("a")  # type: ignore[arg-type]


def test_tuples_and_their_prefixes() -> None:
    pairs = [("a", 1), ("a", -5), ("a\0", 0), ("ab", 2), ("b", 3), ("", 9)]
    with Store(key=codecs.Tuple(str, int), ordered=True) as store:
        store.update(dict.fromkeys(pairs, b"x"))
        assert [key for key, _ in store.range()] == sorted(pairs)
        assert [key for key, _ in store.prefix(("a",))] == [("a", -5), ("a", 1)]
        assert [key for key, _ in store.prefix(("a",), reverse=True)] == [("a", 1), ("a", -5)]
        assert [key for key, _ in store.prefix(())] == sorted(pairs)
        assert list(store.prefix(("zz",))) == []
        assert store.previous_key(("ab", 2)) == ("a\0", 0)


@pytest.mark.parametrize("kind", [bytes, str])
def test_prefixes_of_text(kind: type) -> None:
    with Store(key=kind, ordered=True) as store:
        store.update(dict.fromkeys(["a", "ä", "äb", "b", "ä€", "\U0010ffff"], "x"))
        found = [key if isinstance(key, str) else key.decode() for key, _ in store.prefix("ä")]
        assert found == ["ä", "äb", "ä€"]


def test_threads_write_while_others_range(tmp_path: Path) -> None:
    """Keys that are always there are always yielded, in order; those that come and go may be."""
    steady = [b"%04d" % i for i in range(0, 400, 2)]
    failures: list[BaseException] = []
    done = threading.Event()
    with Store(tmp_path / "s", ordered=True, interval=0.01, memory="1MiB", page_size=PAGE_BYTES) as store:
        store.update(dict.fromkeys(steady, b"s"))

        def write(first: int) -> None:
            for i in range(scaled(3000, least=150)):
                key = b"%04d" % (1 + 2 * ((i * 7 + first) % 200))
                if i % 3:
                    store[key] = bytes(i * 31 % 1500)
                else:
                    store.pop(key, None)

        def look() -> None:
            try:
                while not done.is_set():
                    found = [key for key, _ in store.range(reverse=False)]
                    assert found == sorted(set(found))
                    assert set(steady) <= set(found)
                    assert store.first_key() == b"0000"
            except BaseException as failure:
                failures.append(failure)

        readers = [threading.Thread(target=look) for _ in range(2)]
        writers = [threading.Thread(target=write, args=(i,)) for i in range(2)]
        for thread in readers + writers:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in readers:
            thread.join()
        assert failures == []
        assert [key for key, _ in store.range()] == sorted(store.keys())


@pytest.mark.compiled_only("on the sources an exception may come between any two lines")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_interrupts_leave_the_order_whole() -> None:
    """The sorted list is interpreted code: Ctrl-C may come in the middle of it."""
    interrupted = 0
    armed = False

    def handler(number: int, frame: object) -> None:
        if armed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    store = Store(ordered=True, memory="64MiB")
    try:
        for turn in range(120):
            store.update({b"%d.%d" % (i, turn): b"x" for i in range(60 if turn % 10 else 2500)})
            store.delete_many([b"%d.%d" % (i, turn // 2) for i in range(30)])
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, 0.00002 + turn % 30 * 0.00001)
                store.first_key()
                list(store.range(b"5", b"6"))
                armed = False
            except KeyboardInterrupt:
                interrupted += 1
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 20
    assert [key for key, _ in store.range()] == sorted(store.keys())
    assert store.stats()["order_bytes"] == sum(sys.getsizeof(key) + 8 for key in store)
