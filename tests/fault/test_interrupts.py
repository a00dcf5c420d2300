"""Ctrl-C at any moment of any call: KeyboardInterrupt comes out, and the store is usable and sound.

A timer sends a signal again and again while one kind of operation runs. An interrupted operation has happened or not;
there is no third, and all that went before stays. On the sources an exception may come between any two lines, which no
code in Python can stand; compiled, only where the core calls Python code.
"""

import contextlib
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from oxidbm import Session, Store
from oxidbm.testing import CrashDevice
from tests.inside import abandon
from tests.support import Manual

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer"),
    pytest.mark.compiled_only("on the sources an exception may come between any two lines"),
]

INTERRUPTS = 40
LOST_SECONDS = 5
KEYS = 400
PAGE_BYTES = 4096


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[Callable[[], None]], bool]]:
    """Yield a function that runs another one with a signal due after a random time; True when it was interrupted."""
    chance = random.Random(1)
    armed = False

    def handler(number: int, frame: object) -> None:
        if armed:
            raise KeyboardInterrupt

    def interrupted(operation: Callable[[], None]) -> bool:
        nonlocal armed
        try:
            armed = True
            # and once more after a while: what the first one raised may have been lost where nobody reports it
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00005, 0.003), LOST_SECONDS)
            operation()
            armed = False
        except KeyboardInterrupt:
            return True
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        return False

    def try_again(lost: "sys.UnraisableHookArgs") -> None:
        """A signal that came in a finalizer is reported and forgotten; without another the operation never ends."""
        if armed and lost.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, 0.001)
        else:
            reported(lost)

    before, reported = signal.signal(signal.SIGALRM, handler), sys.unraisablehook
    sys.unraisablehook = try_again
    try:
        yield interrupted
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.unraisablehook = reported


def replace_by(value: bytes, old: bytes) -> bytes:
    """Return the value, whatever the old one was."""
    return value


class Worker:
    """Operations over a store, each with what may have changed when it was interrupted."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.session: Session = store.session("worker")
        self.sure = {b"key%d" % i: b"start" * 200 for i in range(KEYS)}
        self.store.update(self.sure)
        self.number = 0
        self.unsure: dict[bytes, set[bytes | None]] = {}
        self.together: dict[bytes, bytes | None] = {}

    def next(self, size: int) -> tuple[bytes, bytes]:
        self.number += 1
        return b"key%d" % (self.number * 7 % KEYS), b"%d." % self.number * (size // 4)

    def write(self, key: bytes, value: bytes | None, operation: Callable[[], object]) -> None:
        """Do a change, unsure until it has returned."""
        self.unsure = {key: {self.sure.get(key), value}}
        operation()
        if value is None:
            self.sure.pop(key, None)
        else:
            self.sure[key] = value
        self.unsure = {}  # last: Ctrl-C comes between these lines too

    def set(self) -> None:
        while True:
            key, value = self.next(self.number % 5 * 1500)
            self.write(key, value, partial(self.store.__setitem__, key, value))

    def get(self) -> None:
        while True:
            key, _ = self.next(0)
            assert self.store.get(key) == self.sure.get(key)

    def sync(self) -> None:
        while True:
            key, value = self.next(100)
            self.write(key, value, partial(self.session.upsert, key, value))
            self.store.sync()

    def iterate(self) -> None:
        while True:
            assert dict(self.store.items()) == self.sure

    def rmw(self) -> None:
        while True:
            key, value = self.next(800)
            self.write(key, value, partial(self.session.rmw, key, partial(replace_by, value), value))

    def delete(self) -> None:
        while True:
            key, value = self.next(300)
            self.write(key, None, partial(self.session.delete, key))
            self.write(key, value, partial(self.store.add, key, value))

    def count(self) -> None:
        while True:
            self.number += 1
            key = b"counter%d" % (self.number % 5)
            value = b"%d" % (int(self.sure.get(key, b"0")) + self.number)
            self.write(key, value, partial(self.store.incr, key, self.number, expire=1e6))
            assert self.store.touch(key, 1e6)

    def compact(self) -> None:
        while True:
            self.set_some()
            self.store.reorganize()

    def set_some(self) -> None:
        for _ in range(20):
            key, value = self.next(1000)
            self.write(key, value, partial(self.store.__setitem__, key, value))

    def length(self) -> None:
        while True:
            self.set_some()
            assert len(self.store) == len(self.sure)

    def grow(self) -> None:
        while True:
            self.set_some()
            self.store.grow_index() if self.store.stats()["index_buckets"] < 30_000 else self.store.check()

    def batch(self) -> None:
        """A batch of updates, deletions and a value larger than a page: all of it happens, or nothing."""
        while True:
            pairs: dict[bytes, bytes | None] = dict(self.next(self.number % 7 * 400) for _ in range(8))
            pairs[self.next(0)[0]] = None
            pairs[b"large"] = b"%d." % self.number * 1500
            self.unsure = {key: {self.sure.get(key), value} for key, value in pairs.items()}
            self.together = pairs
            with self.store.batch() as batch:
                for key, value in pairs.items():
                    if value is None:
                        batch.delete(key)
                    else:
                        batch[key] = value
            for key, value in pairs.items():
                self.sure.pop(key, None)
                if value is not None:
                    self.sure[key] = value
            self.unsure = {}

    def learn(self) -> None:
        """Look what an interrupted change did; it must be one of the two, and for a batch the same one for all."""
        if self.unsure and self.together:
            done = {key: self.store.get(key) for key in self.together}
            assert done in (self.together, {key: self.sure.get(key) for key in self.together})
        self.together = {}
        for key, possible in self.unsure.items():
            found = self.store.get(key)
            assert found in possible
            if found is None:
                self.sure.pop(key, None)
            else:
                self.sure[key] = found
        self.unsure = {}


OPERATIONS = ["set", "get", "sync", "iterate", "rmw", "delete", "compact", "length", "grow", "batch", "count"]


@pytest.mark.parametrize("own_device", [False, True], ids=["files", "own device"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_interrupt(name: str, own_device: bool, tmp_path: Path) -> None:
    device = CrashDevice(PAGE_BYTES) if own_device else None
    options: Manual = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}
    store = Store(tmp_path / "store", device=device, **options)
    worker = Worker(store)
    with interrupts() as interrupted:
        for _ in range(INTERRUPTS):
            assert interrupted(getattr(worker, name))
            worker.learn()
    assert dict(store.items()) == worker.sure
    assert store.check() == []
    assert len(store) == len(worker.sure)
    store.sync()
    store[b"after"] = b"the storm"
    store.reorganize()
    store.close()
    with Store(tmp_path / "store", device=device, **options) as store:
        assert dict(store.items()) == {**worker.sure, b"after": b"the storm"}
        assert store.check() == []


def test_sigint_reaches_a_call_that_waits(tmp_path: Path) -> None:
    """A real Ctrl-C while a commit of another thread holds the writer up."""
    device = CrashDevice(PAGE_BYTES)
    hold = threading.Event()
    inside = threading.Event()

    class SlowDevice(CrashDevice):
        def sync(self) -> None:
            inside.set()
            hold.wait(300)
            super().sync()

    device = SlowDevice(PAGE_BYTES)
    hold.set()
    store = Store(tmp_path / "store", device=device, memory="1MiB", page_size=PAGE_BYTES, durability="manual")
    store[b"key"] = b"value"
    hold.clear()
    inside.clear()
    other = threading.Thread(target=store.sync)
    other.start()
    inside.wait(300)
    store[b"key"] = b"newer"

    def release() -> None:
        signal.raise_signal(signal.SIGINT)
        hold.set()

    helper = threading.Timer(0.05, release)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the signal may come just before or after
        helper.start()
        store.sync()
        signal.pause()
    hold.set()
    helper.join()
    other.join()
    store.sync()
    abandon(store)
    with Store(tmp_path / "store", device=device.crash(), memory="1MiB", page_size=PAGE_BYTES) as store:
        assert dict(store.items()) == {b"key": b"newer"}


@pytest.mark.parametrize("walking", [False, True], ids=["alone", "under an iteration"])
def test_an_interrupted_refresh_leaves_the_one_commit_or_the_other(walking: bool, tmp_path: Path) -> None:
    options: Manual = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}
    states: dict[int, dict[bytes, bytes]] = {}
    with Store(tmp_path / "store", **options) as writer:
        writer.update({b"key%d" % i: b"start" * 20 for i in range(KEYS)})
        writer.sync()
        states[writer.stats()["commit_sequence"]] = dict(writer.items())
        with Store(tmp_path / "store", read_only=True, memory="1MiB", ordered=True) as reader:
            number = 0

            def go_on() -> None:
                nonlocal number
                while True:
                    for _ in range(50):
                        number += 1
                        writer[b"key%d" % (number * 7 % KEYS)] = b"%d." % number * (number % 100)
                        writer.pop(b"key%d" % (number * 11 % KEYS), None)
                    note()
                    walk = iter(reader.items()) if walking else iter(())
                    next(walk, None)
                    reader.refresh()

            def note() -> None:
                writer.sync()
                states[writer.stats()["commit_sequence"]] = dict(writer.items())

            with interrupts() as interrupted:
                for _ in range(INTERRUPTS):
                    assert interrupted(go_on)
                    note()
                    held = dict(reader.items())
                    assert held == states[reader.stats()["commit_sequence"]]
                    assert len(reader) == len(held)
                    assert list(reader.range()) == sorted(held.items())
                    assert reader.check() == []
            reader.refresh()
            assert dict(reader.items()) == states[max(states)]
