"""Batches and threads: who reads several keys never sees a part, and close, clear, reorganize and commits fall between.

A device or a clock of the test's own is where other threads get in while a batch is applied; the rest is chance.
"""

import errno
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from oxidbm._core.life import BUSY
from oxidbm.testing import CrashDevice, FaultyDevice
from tests import support
from tests.inside import abandon, disk_of, handle_of
from tests.support import Small, scaled, shrink

PAGE_BYTES = 4096
SMALL: Small = {"memory": "1MiB", "page_size": PAGE_BYTES}
KEYS = [b"key%d" % i for i in range(12)]
WAIT = 30

run = partial(support.run, seconds=2 * WAIT)


@pytest.fixture(params=["memory", "files", "few pages", "own device"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store on each device, and a check at the end."""
    if request.param == "memory":
        opened = Store(memory="16MiB", page_size=PAGE_BYTES, ordered=True)
    else:
        device = CrashDevice(PAGE_BYTES) if request.param == "own device" else None
        opened = Store(tmp_path / "s", device=device, interval=0.02, ordered=True, **SMALL)
        if request.param != "files":
            shrink(opened, 24)
    with opened:
        yield opened
        assert opened.check() == []


def numbers(values: list[bytes | None]) -> list[int]:
    """Return the numbers in values."""
    return [int(value.split(b".")[0]) for value in values if value is not None]


def test_readers_never_see_a_part(store: Store) -> None:
    """Every batch writes one higher number under all keys: whoever reads keys one by one never sees it fall."""
    rounds = scaled(150, least=20)
    lock = threading.Lock()
    number = 0
    done = threading.Event()
    store.update(dict.fromkeys(KEYS, b"0."))

    def write() -> None:
        nonlocal number
        for _ in range(rounds):
            with lock:
                number += 1
                with store.batch() as batch:
                    for key in random.sample(KEYS, len(KEYS)):
                        batch[key] = (b"%d." % number) * random.randrange(1, 200)

    def write_all() -> None:
        try:
            run(write, write)
        finally:
            done.set()

    def steady(look: Callable[[], list[int]]) -> Callable[[], None]:
        def read() -> None:
            while not done.is_set():
                seen = look()
                assert len(seen) == len(KEYS)
                assert seen == sorted(seen)

        return read

    session = store.session()
    run(
        write_all,
        steady(lambda: numbers(store.get_many(random.sample(KEYS, len(KEYS))))),
        steady(lambda: numbers([store.get(key) for key in random.sample(KEYS, len(KEYS))])),
        steady(lambda: numbers([session.read(key) for key in KEYS])),
        steady(lambda: numbers([value for _, value in store.items()])),
        steady(lambda: numbers([value for _, value in store.range()])),
    )
    assert set(numbers(list(store.values()))) == {2 * rounds}


def test_keys_come_and_go_together(store: Store) -> None:
    """Each batch moves one value from one key to the next: there is always one."""
    rounds = scaled(300, least=30)
    done = threading.Event()
    store[KEYS[0]] = b"x" * 500

    def move() -> None:
        try:
            for i in range(rounds):
                with store.batch() as batch:
                    batch.delete(KEYS[i % len(KEYS)])
                    batch[KEYS[(i + 1) % len(KEYS)]] = b"x" * (i * 37 % 3000)
        finally:
            done.set()

    def look() -> None:
        while not done.is_set():
            assert len(store) == 1
            assert store.first_key() is not None
            assert store.last_key() is not None

    def iterate() -> None:
        while not done.is_set():
            assert len(list(store)) <= 1

    run(move, look, look, iterate)
    assert len(list(store.items())) == len(store) == 1


def test_batches_beside_all_else(store: Store) -> None:
    """Batches of several threads, single writes, deletions, iterations, commits, reorganize: every key is right."""
    rounds = scaled(100, least=10)

    def batches(name: bytes) -> Callable[[], None]:
        def write() -> None:
            for i in range(rounds):
                with store.batch() as batch:
                    for j in range(10):
                        batch[b"%s.%d" % (name, j)] = b"%d;" % i * (j * 60 + 1)
                    batch.delete(b"single%d" % (i % 20))

        return write

    def single() -> None:
        for i in range(rounds * 5):
            store[b"single%d" % (i % 20)] = bytes(i * 31 % 4500)
            if i % 50 == 0:
                store.sync()

    def look() -> None:
        for _ in range(rounds // 5):
            for key, value in store.items():
                assert key.startswith(b"single") or len(set(value.split(b";")[:-1])) == 1
            store.reorganize()

    run(batches(b"a"), batches(b"b"), single, look)
    for name in (b"a", b"b"):
        for j in range(10):
            assert store[b"%s.%d" % (name, j)] == b"%d;" % (rounds - 1) * (j * 60 + 1)
    assert [key for key, _ in store.range()] == sorted(store.keys())
    assert len(store) == len(list(store))


class Door:
    """A clock at which a batch that is half applied waits until the test has done something."""

    def __init__(self) -> None:
        self.life: Any = None
        self.inside = threading.Event()
        self.go_on = threading.Event()
        self.calls = 0

    def __call__(self) -> float:
        if self.life is not None and self.life.state == BUSY:
            self.calls += 1
            if self.calls == 3:
                self.inside.set()
                self.go_on.wait(WAIT)
        return 1000.0


def half_applied(
    path: Path | None, action: Callable[[Store], Any], lock: str = "", **options: Any
) -> tuple[Store, list[Any]]:
    """Begin `action` in another thread while a batch is half applied, then let that go on.

    With the name of a lock, the action begins before the batch, waits for the lock, and gets it then.
    """
    door = Door()
    store = Store(path, clock=door, compaction=False, **{**SMALL, **options})
    for key in KEYS:
        store.set(key, b"old", expire=100)
    held: Any = None
    if lock:
        held = {"compaction": disk_of(store).compactor.lock.lock, "commit": handle_of(store).commits.lock.lock}[lock]
    results: list[Any] = []
    taken = threading.Event()

    def apply() -> None:
        if held is not None:
            assert taken.wait(WAIT)
            time.sleep(0.1)
        with store.batch() as batch:
            for key in KEYS[1:]:
                batch[key] = b"new"
            batch.delete(KEYS[0])

    def act() -> None:
        assert (taken if held is not None else door.inside).wait(WAIT)
        try:
            results.append(action(store))
        except oxidbm.error as failure:
            results.append(type(failure))

    def release() -> None:
        if held is not None:
            held.acquire()
            taken.set()
        assert door.inside.wait(WAIT)
        if held is not None:
            held.release()
        assert not store.closed
        assert "closed" not in repr(store)
        time.sleep(0.1)
        assert results == []  # it waits
        door.go_on.set()

    door.life = handle_of(store).life
    run(apply, act, release)
    assert door.calls >= 3
    door.life = None
    return store, results


AFTER = dict.fromkeys(KEYS[1:], b"new")

ACTIONS: dict[str, Callable[[Store], Any]] = {
    "get": lambda store: store.get(KEYS[0]),
    "get_many": lambda store: [value for value in store.get_many(KEYS) if value != b"new"],
    "items": lambda store: dict(store.items()) == AFTER,
    "length": len,
    "contains": lambda store: KEYS[0] in store,
    "ttl": lambda store: store.ttl(KEYS[1]),
    "range": lambda store: dict(store.range()) == AFTER,
    "first": lambda store: store.first_key(),
    "scan": lambda store: sorted(record.key for record in store.scan()) == sorted(AFTER),
    "check": lambda store: store.check(),
    "popitem": lambda store: store.popitem()[1],
    "clear": lambda store: store.clear(),
    "batch": lambda store: store.batch().__enter__() is not None,
    "close": lambda store: store.close(),
}
EXPECTED = {
    "get": None, "get_many": [None], "items": True, "length": 11, "contains": False, "ttl": None, "range": True,
    "first": b"key1", "scan": True, "check": [], "popitem": b"new", "clear": None, "batch": True, "close": None,
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_half_applied_batch_is_seen_by_nobody(name: str, place: str, tmp_path: Path) -> None:
    path = None if place == "memory" else tmp_path / "s"
    store, results = half_applied(path, ACTIONS[name], ordered=True)
    assert results == [EXPECTED[name]]
    assert store.closed == (name == "close")
    if name == "close" and path is not None:
        store = Store(path, **SMALL)
    if name == "clear":
        assert len(store) == 0
    elif not store.closed:
        assert len(store) == len(AFTER) - (name == "popitem")
        assert store.check() == []


@pytest.mark.parametrize(("name", "lock"), [("close", "compaction"), ("clear", "commit")])
def test_who_waited_for_a_lock_waits_for_the_batch_too(name: str, lock: str, tmp_path: Path) -> None:
    store, results = half_applied(tmp_path / "s", ACTIONS[name], lock)
    assert results == [None]
    assert store.closed == (name == "close")
    store.close()
    with Store(tmp_path / "s", clock=lambda: 1000.0, **SMALL) as again:
        assert dict(again.items()) == (AFTER if name == "close" else {})
        assert again.check() == []


def test_commit_falls_before_or_after_a_batch(tmp_path: Path) -> None:
    """The background thread commits all the time; a crash at the end leaves whole batches."""
    store = Store(tmp_path / "s", interval=0.001, **SMALL)
    shrink(store, 16)
    number = 0
    while store.stats()["durable_sequence"] < 20:
        number += 1
        with store.batch() as batch:
            for j in range(20):
                batch[b"%d" % j] = b"%d." % number * (100 + j * 7)
    abandon(store)
    with Store(tmp_path / "s", **SMALL) as again:
        assert len({value.split(b".")[0] for value in again.values()}) == 1
        assert len(again) == 20


def test_failed_commit_while_a_batch_waits_for_it(tmp_path: Path) -> None:
    """The batch needs the flush lock that the failing thread holds: both get an error, and none waits for ever."""
    device = FaultyDevice(CrashDevice(PAGE_BYTES))
    writing, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        writing.set()
        go_on.wait(WAIT)

    store = Store(tmp_path / "s", device=device, compaction=False, durability="manual", **SMALL)
    shrink(store, 8)
    for i in range(30):
        store[b"%d" % i] = bytes(900)
    device.before("write", wait)  # in the committing thread
    device.fail("write", errno.ENOSPC)

    def commit() -> None:
        with pytest.raises(oxidbm.PoisonedError):
            store.sync()

    def apply() -> None:
        assert writing.wait(WAIT)
        batch = store.batch()
        batch.update((b"new%d" % i, bytes(3900)) for i in range(3))
        with pytest.raises(oxidbm.PoisonedError):
            batch.__exit__(None, None, None)

    def release() -> None:
        assert writing.wait(WAIT)
        until = time.monotonic() + WAIT
        while handle_of(store).life.state != BUSY:
            assert time.monotonic() < until
            time.sleep(0.001)
        time.sleep(0.05)
        go_on.set()

    run(commit, apply, release)
    assert b"new0" not in store
    assert store[b"1"] == bytes(900)
    abandon(store)


def test_close_while_batches_come(tmp_path: Path) -> None:
    """close() always closes, and every batch that returned without an error is there afterwards."""
    for turn in range(scaled(40, least=5)):
        path = tmp_path / f"s{turn}"
        store = Store(path, **SMALL)
        applied: list[int] = []

        def write(store: Store = store, applied: list[int] = applied) -> None:
            try:
                for i in range(100_000):
                    with store.batch() as batch:
                        batch.update({b"%d" % j: b"%d" % i for j in range(30)})
                    applied.append(i)
            except oxidbm.ClosedError:
                pass

        def close(store: Store = store, turn: int = turn) -> None:
            time.sleep(0.001 * (turn % 7))
            store.close()
            assert store.closed

        run(write, close)
        with Store(path, **SMALL) as again:
            found = {int(value) for value in again.values()}
            assert len(again) == (30 if found else 0)
            assert len(found) <= 1
            if applied:
                assert found
                assert min(found) >= applied[-1]


def test_clear_falls_before_or_after_a_batch(tmp_path: Path) -> None:
    """clear() waits for the commit lock, gets it while a batch makes room, and must not come in between."""
    device = CrashDevice(PAGE_BYTES)
    store = Store(tmp_path / "s", device=device, interval=0.001, **SMALL)
    shrink(store, 16)

    def write() -> None:
        for i in range(scaled(150, least=15)):
            with store.batch() as batch:
                batch.update(dict.fromkeys(KEYS, b"%d" % i * 400))

    def clear() -> None:
        for _ in range(scaled(150, least=15)):
            store.clear()
            time.sleep(0)

    def look() -> None:
        for _ in range(scaled(300, least=30)):
            assert len(store) in (0, len(KEYS))

    run(write, clear, look)
    assert len(dict(store.items())) == len(store)
    assert store.check() == []
    store.close()
