"""Handlers of real signals that use the store, whatever it is doing: each call works or says at once why it does not.

A timer sends signals at random moments while the main thread works and another one writes and commits. Afterwards
everything that was written is there. What hangs is ended by the dog.
"""

import faulthandler
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer"),
    pytest.mark.compiled_only("on the sources a handler runs between any two lines"),
]

PAGE_BYTES = 16384
SIGNALS = 20
ROUNDS_MAX = 5000
WAIT = 120.0


def sets(store: Store, number: int) -> None:
    """Write more than a page."""
    for i in range(30):
        store[b"set %d" % i] = b"%d." % number * 300


def deletes(store: Store, number: int) -> None:
    """Delete, and write again."""
    for i in range(30):
        store.pop(b"popped %d" % i, None)
        store[b"popped %d" % i] = b"%d" % number


def batches(store: Store, number: int) -> None:
    """Write a batch."""
    with store.batch() as batch:
        for i in range(30):
            batch[b"batch %d" % i] = b"%d." % number * 300


def syncs(store: Store, number: int) -> None:
    """Write and commit."""
    store[b"sync"] = b"%d" % number
    store.sync()


def reorganizes(store: Store, number: int) -> None:
    """Write and give space back."""
    store[b"reorganize"] = b"%d" % number
    store.reorganize()


def reads(store: Store, number: int) -> None:
    """Read all there is."""
    assert len(list(store.items())) >= 0
    store.get_many([b"set %d" % i for i in range(30)])
    assert len(store) >= 0


def clears(store: Store, number: int) -> None:
    """Delete everything."""
    store.clear()
    store[b"clear"] = b"%d" % number


def sessions(store: Store, number: int) -> None:
    """Write in a session, commit it, and forget another one."""
    with store.session(f"session {number % 5}") as session:
        session.upsert(b"in session", b"%d" % number)
        session.rmw(b"in session", lambda old: old + b".")
    store.forget_session(f"session {(number + 1) % 5}")


def expiring(store: Store, number: int) -> None:
    """Write keys that expire, or are renewed."""
    for i in range(20):
        store.set(b"expiring %d" % i, b"%d." % number * 50, expire=1000 + i)
        store.touch(b"expiring %d" % i, expire=None if i % 3 else 2000)


def ranges(store: Store, number: int) -> None:
    """Read in order, and change what is in order."""
    store[b"set %d" % (1000 + number % 40)] = b"%d" % number
    found = [key for key, _ in store.prefix(b"set ")]
    assert found == sorted(set(found))
    assert all(key.startswith(b"set ") for key in found)


MAIN: dict[str, Callable[[Store, int], None]] = {
    function.__name__: function
    for function in (sets, deletes, batches, syncs, reorganizes, reads, sessions, expiring, ranges, clears)
}


def write_and_sync(store: Store) -> None:
    """Do what a heartbeat does."""
    store[b"handler"] = b"beat"
    store.sync()


def write_large(store: Store) -> None:
    """Write what takes a run of pages."""
    store[b"handler large"] = bytes(60_000)


def batch_from_handler(store: Store) -> None:
    """Write a batch of its own."""
    with store.batch() as batch:
        batch[b"handler 1"] = b"1"
        batch[b"handler 2"] = b"2"


def session_from_handler(store: Store) -> None:
    """Write in a session of its own."""
    with store.session("of the handler") as session:
        session.upsert(b"handler", b"1")


HANDLERS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get(b"set 1"),
    "length": len,
    "items": lambda store: len(list(store.items())),
    "set": lambda store: store.set(b"handler", b"1"),
    "set large": write_large,
    "pop": lambda store: store.pop(b"handler", None),
    "sync": write_and_sync,
    "batch": batch_from_handler,
    "reorganize": lambda store: store.reorganize(),
    "session": session_from_handler,
    "first key": lambda store: store.first_key(),
    "expire": lambda store: store.set(b"handler", b"1", expire=1000),
}


class Alarm:
    """A handler that makes a call, and what came of it."""

    def __init__(self, store: Store, call: Callable[[Store], object]) -> None:
        self.store = store
        self.call = call
        self.calls = 0
        self.inside = False
        self.busy = 0
        self.failures: list[BaseException] = []

    def __call__(self, number: int, frame: object) -> None:
        if self.inside:
            return
        self.inside = True
        self.calls += 1
        try:
            self.call(self.store)
        except oxidbm.BusyError:
            self.busy += 1
        except Exception as failure:
            self.failures.append(failure)
        finally:
            self.inside = False


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_may_use_the_store(tmp_path: Path, name: str) -> None:
    faulthandler.dump_traceback_later(WAIT, exit=True)
    options: dict[str, Any] = {"memory": "2MiB", "page_size": PAGE_BYTES, "size_limit": "600KiB", "ordered": True}
    store = Store(tmp_path / "store", durability="manual", **options)
    alarm = Alarm(store, HANDLERS[name])
    chance = random.Random(name)
    before = signal.signal(signal.SIGALRM, alarm)
    stop = threading.Event()
    others: list[BaseException] = []

    def write() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                store[b"other %d" % (number % 50)] = b"o" * 700
                if number % 20 == 0:
                    store.sync()
                    stop.wait(0.001)  # where a sync costs nothing, the log would grow faster than it can be read
        except BaseException as failure:
            others.append(failure)

    other = threading.Thread(target=write)
    other.start()
    try:
        for work in MAIN.values():
            wanted = alarm.calls + SIGNALS
            for number in range(ROUNDS_MAX):
                if alarm.calls >= wanted:
                    break
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00002, 0.003))
                work(store, number)
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        stop.set()
        other.join(WAIT)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
    assert alarm.failures == []
    assert others == []
    assert alarm.calls >= SIGNALS
    assert alarm.busy < alarm.calls
    assert store.check() == []
    sets(store, 1)
    batches(store, 2)
    expected = dict(store.items())
    assert expected[b"set 29"] == b"1." * 300
    store.close()
    with Store(tmp_path / "store") as store:
        assert dict(store.items()) == expected
        assert store.check() == []
