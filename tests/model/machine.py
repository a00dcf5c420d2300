"""The state machine: a store beside a dict, on a device that the concrete machines choose.

What must hold: every answer is the dict's; a crash leaves exactly the last commit, and a batch whole; a read-only
opening beside the writer sees it too; an iterator yields what tests/model/iteration.py says; the ordered view is the
dict's keys sorted; check() finds nothing, and the count of live bytes is right. The rules of keys that expire, of the
ordered view and of sessions that come and go are in tests/model/features.py.
The store's memory is made so small that a few dozen records leave it, and half of the keys share bucket and tag.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import oxidbm
from oxidbm import Session, Store
from oxidbm._core.device.device import Device
from oxidbm._core.table.compaction import Compaction
from tests.collisions import colliding_key
from tests.inside import abandon, begin_compaction, compactor_of, log_of, table_of
from tests.model.iteration import Iteration
from tests.support import make_room, shrink
from tests.unit.helpers import live_bytes

PAGE_BYTES = 4096
MUTABLE_PAGES = 12
GROUPS = 3
COLLIDING = 24
KEYS = 48
SIZES = (0, 1, 7, 8, 9, 30, 100, 100, 500, 1500, 3900, 4072, 4100, 9000)
HELD_MAX = 3


keys = st.integers(0, KEYS - 1)
sizes = st.sampled_from(SIZES)


class StoreMachine(RuleBasedStateMachine):
    """Rules for a store on disk; `open_device` and `after_crash` say which device is under it."""

    mapped: bool | None = None
    ordered = False

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.now = 1_000_000.0
        self.model: dict[bytes, bytes] = {}
        self.committed: dict[bytes, bytes] = {}
        self.committed_serial = 0
        self.serial = 0
        self.written = 0
        self.iterations: list[Iteration] = []
        self.compaction: Compaction | None = None
        self.sessions: dict[str, int] = {}  # the serial numbers of those known by name, beside the worker's
        self.committed_sessions: dict[str, int] = {}
        self.durable: dict[str, int] = {}
        self.aside = False  # what was committed last stands in a snapshot, and not in the log
        self.held: dict[str, Session] = {}
        self.store = self.open()
        self.session = self.store.session("worker")

    def clock(self) -> float:
        """Return the time, which only rules move."""
        return self.now

    def open_device(self) -> Device | None:
        """Return the device for the next opening; None for the store's own files."""
        return None

    def after_crash(self) -> None:
        """Let the device lose what a crash loses."""

    def open(self) -> Store:
        """Open the store and make its memory small."""
        store = Store(
            self.directory / "store",
            memory="1MiB",
            page_size=PAGE_BYTES,
            durability="manual",
            compaction=False,
            mapped=self.mapped,
            device=self.open_device(),
            clock=self.clock,
            ordered=self.ordered,
        )
        self.shrink(store)
        return store

    def shrink(self, store: Store) -> None:
        """Leave the store only a few pages of memory."""
        shrink(store, MUTABLE_PAGES)

    def key(self, number: int) -> bytes:
        """Return a key: of a group that shares bucket and tag, or an ordinary one; one is empty, one long."""
        if number < COLLIDING:
            return colliding_key(table_of(self.store).seed, number % GROUPS, number // GROUPS)
        if number == COLLIDING:
            return b""
        return b"%d" % number * (100 if number == COLLIDING + 1 else 1 + number % 4)

    def value(self, size: int) -> bytes:
        """Return a value of that size, another one each time as far as the size allows."""
        self.written += 1
        text = b"%d." % self.written
        return (text * (size // len(text) + 1))[:size]

    def changed(self, key: bytes, value: bytes | None) -> None:
        """Do to the model what the store did: None deletes."""
        if value is None:
            self.model.pop(key, None)
            for iteration in self.iterations:
                iteration.deleted(key)
        else:
            self.model[key] = value

    def commit_seen(self) -> None:
        """Take note that the present state is durable."""
        self.committed = dict(self.model)
        self.committed_serial = self.serial
        self.durable = dict(self.sessions)
        self.committed_sessions = {name: serial for name, serial in self.sessions.items() if serial}
        self.aside = False

    def forgot(self, name: str) -> None:
        """Take note that a session is known no more."""
        self.sessions.pop(name, None)
        self.durable.pop(name, None)

    @rule(number=keys, size=sizes)
    def set_item(self, number: int, size: int) -> None:
        key, value = self.key(number), self.value(size)
        self.store[key] = value
        self.changed(key, value)

    @rule(writes=st.lists(st.tuples(keys, st.none() | sizes), max_size=10))
    def batch(self, writes: list[tuple[int, int | None]]) -> None:
        """Apply some writes together; one that is too large, and nothing else, changes nothing."""
        pairs = {self.key(number): None if size is None else self.value(size) for number, size in writes}
        try:
            with self.store.batch() as batch:
                for key, value in pairs.items():
                    if value is None:
                        batch.delete(key)
                    else:
                        batch[key] = value
        except ValueError:
            sizes = [24 + 8 + len(key) + 8 + len(value or b"") for key, value in pairs.items()]
            assert sum(sizes) > table_of(self.store).value_limit
        else:
            for key, value in pairs.items():
                self.changed(key, value)

    @rule(numbers=st.lists(keys, max_size=20))
    def get_many(self, numbers: list[int]) -> None:
        some = [self.key(number) for number in numbers]
        assert self.store.get_many(some, b"none") == [self.model.get(key, b"none") for key in some]

    @rule(first=keys, count=st.integers(1, KEYS))
    def read_again(self, first: int, count: int) -> None:
        """Read so often that there are copies of what is on disk, and read those."""
        some = [self.key((first + i) % KEYS) for i in range(count)]
        for _ in range(4):
            assert [self.store.get(key) for key in some] == [self.model.get(key) for key in some]

    @rule(numbers=st.lists(keys, max_size=20))
    def delete_many(self, numbers: list[int]) -> None:
        some = {self.key(number) for number in numbers}
        held = len(some & self.model.keys())
        assert self.store.delete_many(some) == held
        for key in some:
            self.changed(key, None)

    @rule(delta=st.integers(-(10**18), 10**18))
    def count_up(self, delta: int) -> None:
        number = int(self.model.get(b"counter", b"0")) + delta
        assert self.store.incr(b"counter", delta) == number
        self.changed(b"counter", b"%d" % number)

    @rule(first=keys, count=st.integers(1, KEYS), size=sizes)
    def set_many(self, first: int, count: int, size: int) -> None:
        pairs = {self.key((first + i) % KEYS): self.value(size) for i in range(count)}
        self.store.update(pairs)
        for key, value in pairs.items():
            self.changed(key, value)

    @rule(pages=st.integers(1, MUTABLE_PAGES * 2))
    def push_to_disk(self, pages: int) -> None:
        """Append so much that what was there leaves memory."""
        for i in range(pages):
            key, value = b"filler%d" % i, self.value(3000)
            self.store[key] = value
            self.changed(key, value)

    @rule(number=keys)
    def get(self, number: int) -> None:
        key = self.key(number)
        assert self.store.get(key) == self.model.get(key)
        assert (key in self.store) == (key in self.model)
        assert self.session.read(key, b"none") == self.model.get(key, b"none")

    @rule(number=keys)
    def delete_item(self, number: int) -> None:
        key = self.key(number)
        if key in self.model:
            del self.store[key]
        else:
            with pytest.raises(KeyError):
                del self.store[key]
        self.changed(key, None)

    @rule(number=keys)
    def pop(self, number: int) -> None:
        key = self.key(number)
        assert self.store.pop(key, None) == self.model.get(key)
        self.changed(key, None)

    @rule()
    def pop_item(self) -> None:
        if not self.model:
            with pytest.raises(KeyError):
                self.store.popitem()
            return
        key, value = self.store.popitem()
        assert value == self.model[key]
        self.changed(key, None)

    @rule(number=keys, size=sizes)
    def set_default(self, number: int, size: int) -> None:
        key, value = self.key(number), self.value(size)
        assert self.store.setdefault(key, value) == self.model.get(key, value)
        self.changed(key, self.model.get(key, value))

    @rule(number=keys, size=sizes)
    def insert(self, number: int, size: int) -> None:
        key, value = self.key(number), self.value(size)
        assert self.store.add(key, value) == (key not in self.model)
        self.changed(key, self.model.get(key, value))

    @rule(number=keys, size=sizes)
    def session_upsert(self, number: int, size: int) -> None:
        key, value = self.key(number), self.value(size)
        self.session.upsert(key, value)
        self.serial += 1
        self.changed(key, value)

    @rule(number=keys)
    def session_delete(self, number: int) -> None:
        key = self.key(number)
        assert self.session.delete(key) == (key in self.model)
        self.serial += 1
        self.changed(key, None)

    @rule(number=keys, size=sizes, keep=st.booleans(), initial=st.booleans())
    def session_rmw(self, number: int, size: int, keep: bool, initial: bool) -> None:
        key, value = self.key(number), self.value(size)
        old = self.model.get(key)
        first = b"first" if initial else None
        expected = (None if keep else value) if old is not None else first
        seen: set[bytes] = set()

        def function(held: bytes) -> bytes | None:
            seen.add(held)
            return None if keep else value

        result = self.session.rmw(key, function, first)
        assert result == expected
        assert seen == (set() if old is None else {old})
        self.serial += 1
        if expected is not None:
            self.changed(key, expected)

    def compare_sessions(self) -> None:
        """What is known of sessions by name, what is durable of them, and which are open, is what the rules did."""
        found = {known.name: known for known in self.store.sessions()}
        worker = found.pop("worker")
        assert (worker.serial, worker.open) == (self.serial, True)
        assert {name: known.serial for name, known in found.items()} == self.sessions
        for name, known in found.items():
            assert known.durable_serial == self.durable.get(name, 0)
            assert known.open == (name in self.held)

    @rule()
    def clear(self) -> None:
        self.store.clear()
        for key in list(self.model):
            self.changed(key, None)

    @rule()
    def count(self) -> None:
        assert len(self.store) == len(self.model)

    @rule()
    def compare(self) -> None:
        assert sorted(self.store.items()) == sorted(self.model.items())
        assert set(self.store.keys()) == self.model.keys()

    @rule()
    def start_iteration(self) -> None:
        if len(self.iterations) < HELD_MAX:
            self.iterations.append(Iteration(iter(self.store.items()), self.model))

    @rule(which=st.integers(0, HELD_MAX - 1), steps=st.integers(1, 60))
    def go_on_iterating(self, which: int, steps: int) -> None:
        if which < len(self.iterations) and not self.iterations[which].advance(steps, self.model):
            del self.iterations[which]

    @rule(which=st.integers(0, HELD_MAX - 1))
    def drop_iteration(self, which: int) -> None:
        if which < len(self.iterations):
            del self.iterations[which]

    @rule(splits=st.integers(1, 50))
    def split_buckets(self, splits: int) -> None:
        for _ in range(splits):
            table_of(self.store).index.split_one()
        self.shrink(self.store)

    @rule()
    def check(self) -> None:
        assert self.store.check() == []
        assert len(self.store) == len(self.model)
        self.compare_sessions()

    @invariant()
    def addresses_in_order(self) -> None:
        log_of(self.store).check_order()

    def teardown(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            stack.callback(self.drop_store)
            self.iterations.clear()
            self.compare()
            self.check()
            self.finish()

    def drop_store(self) -> None:
        """Give up the store that is open now."""
        abandon(self.store)

    def finish(self) -> None:
        """Check what is left to check at the end of a run."""


class DiskMachine(StoreMachine):
    """What a store on disk has besides: durability, compaction, growth in one go."""

    def drop_iterations(self) -> None:
        """Iterators of a closed store say so."""
        for iteration in self.iterations:
            with pytest.raises(oxidbm.ClosedError):
                next(iteration.source)
        self.iterations.clear()
        self.held.clear()
        self.compaction = None

    def before_crash(self) -> None:
        """Take note of what nobody has looked at yet."""

    def reopened(self) -> None:
        """Open again and compare."""
        self.store = self.open()
        self.aside = False
        self.session = self.store.session("worker")
        assert self.session.serial == self.session.durable_serial == self.serial
        self.sessions = dict(self.committed_sessions)
        self.durable = dict(self.committed_sessions)
        self.compare_sessions()
        assert dict(self.store.items()) == self.model
        assert len(self.store) == len(self.model)

    @rule()
    def sync(self) -> None:
        self.store.sync()
        self.commit_seen()

    @rule()
    def session_commit(self) -> None:
        assert self.session.commit() == self.serial
        assert self.session.durable_serial == self.serial
        self.commit_seen()

    @rule()
    def close_and_open(self) -> None:
        self.commit_seen()
        self.store.close()
        self.drop_iterations()
        self.reopened()

    @rule(times=st.integers(1, 2))
    def crash(self, times: int) -> None:
        for _ in range(times):
            self.before_crash()
            abandon(self.store)
            self.after_crash()
            self.drop_iterations()
            self.model = dict(self.committed)
            self.serial = self.committed_serial
            self.reopened()

    @rule()
    def grow_index(self) -> None:
        if self.store.stats()["index_buckets"] < 20_000:
            self.store.grow_index()
            self.shrink(self.store)

    @rule()
    def reorganize(self) -> None:
        self.store.reorganize()
        self.compaction = None
        self.commit_seen()

    @rule(dead=st.sampled_from([0.0, 0.1, 0.4]), max_bytes=st.none() | st.integers(1, 60_000))
    def compact(self, dead: float, max_bytes: int | None) -> None:
        """Compact as a user does; what a limit leaves is gone on with by what comes next."""
        before = self.store.stats()
        given_back = self.store.compact(dead, max_bytes=max_bytes)
        after = self.store.stats()
        assert 0 <= given_back <= after["begin"] - before["begin"]
        self.compaction = compactor_of(self.store).compaction
        if after["commit_sequence"] != before["commit_sequence"]:  # where no more is dead, nothing is done
            self.commit_seen()

    @precondition(lambda self: self.compaction is None)
    @rule(segments=st.integers(1, 8))
    def start_compaction(self, segments: int) -> None:
        """Begin to compact some segments that have been written, as the background thread does."""
        log = log_of(self.store)
        until = log.begin
        for _ in range(segments):
            end = log.device.segment_end(until)
            if end <= log.flushed and end % PAGE_BYTES == 0:
                until = end
        if until > log.begin:
            self.compaction = begin_compaction(self.store, until)

    @precondition(lambda self: self.compaction is not None)
    @rule(size=st.integers(1, 30_000))
    def compact_slice(self, size: int) -> None:
        """Go on compacting, and end it as the background thread does."""
        assert self.compaction is not None
        at = self.compaction.cursor.following
        if self.compaction.slice(size, False):
            if self.compaction.cursor.following == at:
                make_room(self.store)
        elif compactor_of(self.store).finish(self.compaction):  # else a checkpoint comes to its end first
            self.compaction = None
            self.commit_seen()

    @rule()
    def roll_segment(self) -> None:
        log_of(self.store).device.roll()

    def finish(self) -> None:
        """The count of live bytes is that of the records, and all is there after a clean end."""
        assert self.store.stats()["live_bytes"] == live_bytes(self.store)
        self.close_and_open()
        assert self.store.check() == []


class FilesMachine(DiskMachine):
    """What only files allow: a second, read-only opening beside the writer."""

    def beside(self) -> Store:
        """Open the store beside its writer."""
        return Store(self.directory / "store", memory="1MiB", read_only=True, clock=self.clock, ordered=self.ordered)

    def compare_with_committed(self, other: Store) -> None:
        """A reader shows what was committed last."""
        assert dict(other.items()) == self.committed
        names = {known.name: known.serial for known in other.sessions() if known.name != "worker"}
        assert names == self.committed_sessions
        assert len(other) == len(self.committed)
        assert other.check() == []

    @rule()
    def look_from_outside(self) -> None:
        with self.beside() as other:
            self.compare_with_committed(other)
