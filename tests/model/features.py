"""Rules beside those of tests/model/machine.py: keys that expire by a clock that rules move, tags, the order, sessions.

len() counts an expired key until it is met, so `wait` meets each one and makes that durable. The keys that expire are
their own, because rmw and counting would keep the expiry; they share bucket and tag with others.
"""

from typing import TypeAlias

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

import oxidbm
from tests.collisions import colliding_key
from tests.inside import table_of
from tests.model.machine import COLLIDING, GROUPS, StoreMachine, keys, sizes

EXPIRING = 9
NAMES = ("a", "b", "c", "larger than a page" * 300)

expiring = st.integers(0, EXPIRING - 1)
names = st.sampled_from(NAMES)
times = st.none() | st.sampled_from([1, 3, 10])
Tag: TypeAlias = str | bytes | int
TAGS: list[Tag] = ["1", b"1", 1]
tags = st.none() | st.sampled_from(TAGS)


class OrderedRules(StoreMachine):
    """With the ordered view on."""

    ordered = True

    @rule(low=st.none() | keys, high=st.none() | keys, reverse=st.booleans())
    def range_of_keys(self, low: int | None, high: int | None, reverse: bool) -> None:
        first, last = None if low is None else self.key(low), None if high is None else self.key(high)
        expected = sorted(
            (key, value)
            for key, value in self.model.items()
            if (first is None or first <= key) and (last is None or key < last)
        )
        assert list(self.store.range(first, last, reverse=reverse)) == (expected[::-1] if reverse else expected)

    @rule(number=keys, length=st.integers(0, 4))
    def prefix_of_keys(self, number: int, length: int) -> None:
        prefix = self.key(number)[:length]
        expected = sorted(pair for pair in self.model.items() if pair[0].startswith(prefix))
        assert list(self.store.prefix(prefix)) == expected

    @rule(number=keys)
    def neighbours_of_key(self, number: int) -> None:
        key = self.key(number)
        assert self.store.next_key(key) == min((other for other in self.model if other > key), default=None)
        assert self.store.previous_key(key) == max((other for other in self.model if other < key), default=None)
        assert self.store.first_key() == min(self.model, default=None)
        assert self.store.last_key() == max(self.model, default=None)


class ExpiringRules(StoreMachine):
    """With keys that expire and have tags."""

    def __init__(self) -> None:
        super().__init__()
        self.expiries: dict[bytes, float] = {}
        self.committed_expiries: dict[bytes, float] = {}
        self.tags: dict[bytes, Tag] = {}
        self.committed_tags: dict[bytes, Tag] = {}

    def expiring_key(self, number: int) -> bytes:
        """Return a key of these rules."""
        return colliding_key(table_of(self.store).seed, number % GROUPS, COLLIDING + number)

    def note(self, key: bytes, seconds: float | None, tag: Tag | None = None) -> None:
        """Note when a key expires, and its tag."""
        self.note_expiry(key, seconds)
        self.tags.pop(key, None)
        if tag is not None:
            self.tags[key] = tag

    def note_expiry(self, key: bytes, seconds: float | None) -> None:
        """Note when a key expires."""
        self.expiries.pop(key, None)
        if seconds is not None:
            self.expiries[key] = self.now + seconds

    def commit_seen(self) -> None:
        """As it says; with expiries and tags."""
        super().commit_seen()
        self.committed_expiries = dict(self.expiries)
        self.committed_tags = dict(self.tags)

    def drop_iterations(self) -> None:
        """As it says; what was not committed is forgotten just then."""
        super().drop_iterations()  # type: ignore[misc]
        self.expiries = dict(self.committed_expiries)
        self.tags = dict(self.committed_tags)

    @rule(number=expiring, size=sizes, seconds=times, tag=tags)
    def set_expiring(self, number: int, size: int, seconds: float | None, tag: Tag | None) -> None:
        key, value = self.expiring_key(number), self.value(size)
        self.store.set(key, value, seconds, tag=tag)
        self.changed(key, value)
        self.note(key, seconds, tag)

    @rule(number=expiring, size=sizes, seconds=times, tag=tags)
    def add_expiring(self, number: int, size: int, seconds: float | None, tag: Tag | None) -> None:
        key, value = self.expiring_key(number), self.value(size)
        there = key in self.model
        assert self.store.add(key, value, seconds, tag=tag) != there
        if not there:
            self.changed(key, value)
            self.note(key, seconds, tag)

    @rule(tag=st.sampled_from(TAGS))
    def evict(self, tag: Tag) -> None:
        gone = [key for key, held in self.tags.items() if held == tag and key in self.model]
        assert self.store.evict(tag) == len(gone)
        for key in gone:
            self.changed(key, None)
            self.note(key, None)

    @rule(number=expiring, seconds=times)
    def touch(self, number: int, seconds: float | None) -> None:
        key = self.expiring_key(number)
        assert self.store.touch(key, seconds) == (key in self.model)
        if key in self.model:
            self.note_expiry(key, seconds)

    @rule(number=expiring)
    def look_at_expiring(self, number: int) -> None:
        key = self.expiring_key(number)
        assert self.store.get(key) == self.model.get(key)
        if key in self.model:
            assert self.store.ttl(key) == (self.expiries[key] - self.now if key in self.expiries else None)

    @rule(number=expiring, size=sizes)
    def update_expiring(self, number: int, size: int) -> None:
        """A read-modify-write keeps expiry and tag."""
        key, value = self.expiring_key(number), self.value(size)
        if key in self.model:
            assert self.session.rmw(key, lambda old: value) == value
            self.serial += 1
            self.changed(key, value)

    @rule(number=expiring)
    def delete_expiring(self, number: int) -> None:
        key = self.expiring_key(number)
        assert self.store.delete_many([key]) == (key in self.model)
        self.changed(key, None)
        self.note(key, None)

    @rule(numbers=st.lists(st.tuples(expiring, times, tags), max_size=8), size=st.integers(0, 300))
    def batch_expiring(self, numbers: list[tuple[int, float | None, Tag | None]], size: int) -> None:
        writes = [(self.expiring_key(number), self.value(size), seconds, tag) for number, seconds, tag in numbers]
        with self.store.batch() as batch:
            for key, value, seconds, tag in writes:
                batch.set(key, value, seconds, tag=tag)
        for key, value, seconds, tag in writes:
            self.changed(key, value)
            self.note(key, seconds, tag)

    @rule(numbers=st.lists(expiring, max_size=8), size=st.integers(0, 300), seconds=times, tag=tags)
    def set_many_expiring(self, numbers: list[int], size: int, seconds: float | None, tag: Tag | None) -> None:
        pairs = {self.expiring_key(number): self.value(size) for number in numbers}
        self.store.set_many(pairs, expire=seconds, tag=tag)
        for key, value in pairs.items():
            self.changed(key, value)
            self.note(key, seconds, tag)

    @rule(seconds=st.sampled_from([1, 1, 2, 20]))
    def wait(self, seconds: int) -> None:
        """Let time pass, and meet what has expired."""
        self.now += seconds
        for key, expiry in list(self.expiries.items()):
            if expiry <= self.now:
                assert self.store.get(key) is None
                assert key not in self.store
                self.store.delete_many([key])
                self.changed(key, None)
                self.note(key, None)
        self.store.sync()
        self.commit_seen()


class SessionRules(StoreMachine):
    """With sessions that are opened, used, closed, dropped, forgotten and opened again."""

    @rule(name=names)
    def open_session(self, name: str) -> None:
        if name in self.held:
            with pytest.raises(oxidbm.ClosedError, match="already open"):
                self.store.session(name)
            return
        self.held[name] = self.store.session(name)
        assert self.held[name].serial == self.sessions.setdefault(name, 0)
        assert self.held[name].durable_serial == self.durable.get(name, 0)

    @rule(name=names, number=keys, size=sizes)
    def use_session(self, name: str, number: int, size: int) -> None:
        if name in self.held:
            session, key, value = self.held[name], self.key(number), self.value(size)
            session.upsert(key, value)
            self.changed(key, value)
            self.sessions[name] += 1
            assert (session.serial, session.durable_serial) == (self.sessions[name], self.durable.get(name, 0))

    @rule(name=names, drop=st.booleans())
    def close_session(self, name: str, drop: bool) -> None:
        session = self.held.pop(name, None)
        if session is not None:
            if not drop:
                session.close()
            if self.sessions[name] == 0:
                del self.sessions[name]

    @rule(name=names)
    def forget_session(self, name: str) -> None:
        if name in self.held:
            with pytest.raises(oxidbm.ClosedError, match="is open and cannot be forgotten"):
                self.store.forget_session(name)
            return
        assert self.store.forget_session(name) == (name in self.sessions)
        self.forgot(name)

    @rule()
    def forget_sessions(self) -> None:
        unused = sorted(self.sessions.keys() - self.held.keys())
        assert self.store.forget_sessions(unused_for=0) == unused
        for name in unused:
            self.forgot(name)

    @rule()
    def list_sessions(self) -> None:
        self.compare_sessions()
