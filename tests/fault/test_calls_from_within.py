"""Calls from the middle of another call of the same thread, as a signal handler's are: they work, or raise at once.

A device in Python stands for the handler, so that each pair of calls meets for sure; real signals come in
test_signals.py. What hangs is ended by the dog.
"""

import faulthandler
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from oxidbm.testing import CrashDevice
from tests.inside import handle_of, log_of, order_of
from tests.support import leave_memory

PAGE_BYTES = 4096
WAIT = 60.0
WITHIN = ("sync", "write", "read", "batch")


class Calling(CrashDevice):
    """A device, and a clock, which make a call at the one place that is named, once."""

    def __init__(self, page_bytes: int) -> None:
        super().__init__(page_bytes)
        self.point = ""
        self.call: Callable[[], object] = lambda: None
        self.came: list[object] = []
        self.busy: Callable[[], bool] = lambda: False

    def reached(self, place: str) -> None:
        """Make the call where this is its place, and note what came of it."""
        if place != self.point:
            return
        self.point = ""
        try:
            self.came.append(self.call())
        except oxidbm.BusyError as failure:
            self.came.append(failure)

    def sync(self) -> None:
        self.reached("sync")
        super().sync()

    def write(self, address: int, data: memoryview) -> None:
        self.reached("write")
        super().write(address, data)

    def read(self, address: int, size: int) -> bytes:
        self.reached("read")
        return super().read(address, size)

    def clock(self) -> float:
        """Return a time that does not move."""
        if self.busy():
            self.reached("batch")
        return 1000.0


@pytest.fixture(autouse=True)
def dog() -> Iterator[None]:
    """End the process with a traceback where something hangs."""
    faulthandler.dump_traceback_later(WAIT, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def write_batch(store: Store) -> None:
    """Write a batch; its keys expire, so that the clock is asked while it is applied."""
    with store.batch() as batch:
        for number in range(20):
            batch.set(b"batch%d" % number, b"new" * 100, expire=1000)


def fill(store: Store) -> None:
    """Write more than fits into memory."""
    for number in range(200):
        store[b"fill%d" % number] = b"x" * 1500


def in_session(store: Store) -> None:
    """Write in a session of its own, and commit."""
    with store.session("inner") as session:
        session.upsert(b"session", b"1")


CALLS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get(b"cold"),
    "get_many": lambda store: store.get_many([b"cold", b"batch1"]),
    "items": lambda store: len(list(store.items())),
    "length": len,
    "set": lambda store: store.set(b"handler", b"1"),
    "large set": lambda store: store.set(b"handler", bytes(100_000)),
    "many sets": fill,
    "delete": lambda store: store.pop(b"handler", None),
    "sync": lambda store: store.sync(),
    "batch": write_batch,
    "session": in_session,
    "reorganize": lambda store: store.reorganize(),
    "range": lambda store: store.first_key(),
    "clear": lambda store: store.clear(),
    "check": lambda store: store.check(),
    "close": lambda store: store.close(),
}


def run_within(path: Path, place: str, call: Callable[[Store], object]) -> tuple[list[object], Store, Calling]:
    """Make a call from within a place, finish what was under way, and return what came of the call."""
    device = Calling(PAGE_BYTES)
    options: dict[str, Any] = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual", "compaction": False}
    store = Store(path, device=device, clock=device.clock, ordered=True, **options)
    leave_memory(store, 64 * PAGE_BYTES)
    store.set(b"cold", b"1", expire=1000)
    fill(store)
    for number in range(20):
        store.set(b"batch%d" % number, b"old", expire=1000)
    store.sync()
    assert log_of(store).head > 4 * PAGE_BYTES
    life = handle_of(store).life
    device.busy = lambda: life.state not in (0, 1)
    device.call = lambda: call(store)
    device.point = place
    try:
        store[b"more"] = b"1"
        if place == "sync":
            store.sync()
        elif place == "write":
            fill(store)
        elif place == "read":
            assert store.get(b"cold") in (b"1", None)
        else:
            write_batch(store)
    except oxidbm.ClosedError:
        assert store.closed, "the call has closed it"
    assert device.point == "", "the place was reached"
    return device.came, store, device


def open_again(path: Path, device: Calling) -> Store:
    """Open what a crash would leave."""
    return Store(path, device=device.crash(), memory="1MiB", page_size=PAGE_BYTES, clock=device.clock)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("place", WITHIN)
def test_a_call_from_within_works_or_says_at_once_why_not(tmp_path: Path, place: str, name: str) -> None:
    came, store, device = run_within(tmp_path / "store", place, CALLS[name])
    assert len(came) == 1
    if isinstance(came[0], oxidbm.BusyError):
        assert "in this very thread" in str(came[0])
        assert not store.closed
    elif name == "close":
        assert store.closed
    if not store.closed:
        if name != "close":
            CALLS[name](store)
        assert store.check() == []
        expected = dict(store.items())
        store.close()
    else:
        expected = None
    with open_again(tmp_path / "store", device) as store:
        assert store.check() == []
        assert expected is None or dict(store.items()) == expected


@pytest.mark.parametrize("place", ["sync", "write"])
def test_what_needs_no_lock_works_from_within(tmp_path: Path, place: str) -> None:
    for name in ("get", "items", "set", "delete", "range"):
        came, store, _ = run_within(tmp_path / name, place, CALLS[name])
        assert not isinstance(came[0], oxidbm.BusyError), name
        store.close()


def test_nobody_sees_half_a_batch_from_within(tmp_path: Path) -> None:
    came, store, _ = run_within(tmp_path / "store", "batch", lambda store: store.get(b"batch0"))
    assert isinstance(came[0], oxidbm.BusyError)
    assert "is applying a batch in this very thread" in str(came[0])
    assert store.get(b"batch0") == b"new" * 100
    store.close()


def test_a_thread_that_waits_for_what_is_under_way_does_not_make_the_call_wait(tmp_path: Path) -> None:
    """Another thread is committing, and waits for the write under way; a sync from within must not wait for it."""

    def sync_in_two_threads(store: Store) -> None:
        other = threading.Thread(target=store.sync)
        other.start()
        others.append(other)
        lock = handle_of(store).commits.lock.lock
        while lock.acquire(blocking=False):
            lock.release()
            time.sleep(0.001)
        store.sync()

    others: list[threading.Thread] = []
    came, store, _ = run_within(tmp_path / "store", "write", sync_in_two_threads)
    others[0].join(WAIT)
    assert isinstance(came[0], oxidbm.BusyError)
    assert store.check() == []
    store.close()


@pytest.mark.parametrize("failure", [TimeoutError("my own limit"), FileNotFoundError(2, "my own file")], ids=repr)
@pytest.mark.parametrize("place", ["sync", "write"])
def test_what_a_handler_raises_is_not_the_disk_s(tmp_path: Path, place: str, failure: OSError) -> None:
    """The store is as it was; what was interrupted can be done again."""

    def handler(number: int, frame: object) -> None:
        raise failure

    before = signal.signal(signal.SIGTERM, handler)
    try:
        device = Calling(PAGE_BYTES)
        store = Store(tmp_path / "store", device=device, memory="1MiB", page_size=PAGE_BYTES, durability="manual")
        store[b"key"] = b"value"
        device.point = place
        device.call = lambda: signal.raise_signal(signal.SIGTERM)
        with pytest.raises(type(failure), match="my own"):
            store.sync()
        store[b"again"] = b"works"
        device.point = place
        with pytest.raises(type(failure), match="my own"):
            store.close()
        assert not store.closed
        store.close()
    finally:
        signal.signal(signal.SIGTERM, before)
    with open_again(tmp_path / "store", device) as store:
        assert dict(store) == {b"key": b"value", b"again": b"works"}
        assert store.check() == []


def test_a_busy_write_of_a_store_that_always_commits_has_changed_nothing(tmp_path: Path) -> None:
    """It would be durable when it returns, which cannot be; and a counter that is counted up again counts twice."""
    device = Calling(PAGE_BYTES)
    store = Store(tmp_path / "store", device=device, memory="1MiB", page_size=PAGE_BYTES, durability="always")
    store[b"key"] = b"value"
    calls: list[Callable[[], object]] = [
        lambda: store.__setitem__(b"key", b"changed"),
        lambda: store.__delitem__(b"key"),
        lambda: store.pop(b"key"),
        lambda: store.incr(b"count"),
        lambda: store.add(b"added", b"1"),
        lambda: store.update({b"many": b"1"}),
        lambda: store.session("worker").upsert(b"session", b"1"),
        lambda: write_batch(store),
        store.clear,
    ]
    for number, call in enumerate(calls):
        device.call = call
        device.point = "sync"
        store[b"outer"] = b"%d" % number
        assert isinstance(device.came[-1], oxidbm.BusyError), number
        assert dict(store) == {b"key": b"value", b"outer": b"%d" % number}
    store.close()


def test_a_close_that_is_interrupted_where_it_gives_back_gives_all_back(tmp_path: Path) -> None:
    """Nothing is left that keeps the path: neither lock nor file."""
    path = tmp_path / "store"
    before = signal.getsignal(signal.SIGTERM)

    def handler(number: int, frame: object) -> None:
        raise TimeoutError("my own limit")

    class Closing(Calling):
        def close(self) -> None:
            self.reached("close")
            super().close()

    signal.signal(signal.SIGTERM, handler)
    try:
        device = Closing(PAGE_BYTES)
        store = Store(path, device=device, memory="1MiB", page_size=PAGE_BYTES)
        store[b"key"] = b"value"
        device.point = "close"
        device.call = lambda: signal.raise_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError, match="my own"):
            store.close()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert store.closed
    with Store(path, device=device.crash(), memory="1MiB", page_size=PAGE_BYTES) as store:
        assert dict(store) == {b"key": b"value"}


def test_an_ordered_range_is_whole_beside_calls_from_within() -> None:
    """The keys' order is looked into by interpreted code, in the middle of which a handler may write and look, too."""
    store = Store(ordered=True)
    for number in range(3000):
        store[b"m%05d" % number] = b"1"
    order = order_of(store)
    came: list[object] = []

    class Keys(order.sorted_list):  # type: ignore[misc, name-defined]
        def irange(self, *arguments: Any) -> Iterator[bytes]:
            for key in super().irange(*arguments):
                store[b"h%d" % len(came)] = b"1"
                try:
                    came.append(store.first_key())
                except oxidbm.BusyError as failure:
                    came.append(failure)
                yield key

    order.keys = Keys(order.keys)
    assert [key for key, _ in store.prefix(b"m")] == [b"m%05d" % number for number in range(3000)]
    assert all(isinstance(one, oxidbm.BusyError) for one in came)
    assert "is looking into the order of its keys in this very thread" in str(came[0])
    assert store.first_key() == b"h0"
    assert store.check() == []


def test_an_order_that_is_made_anew_after_a_clear_and_interrupted_is_made_again() -> None:
    store = Store(ordered=True)
    store.update({b"old": b"1"})
    assert store.first_key() == b"old"
    order = order_of(store)
    real = order.sorted_list

    def interrupted(*arguments: object) -> object:
        order.sorted_list = real
        raise KeyboardInterrupt

    order.sorted_list = interrupted
    with pytest.raises(KeyboardInterrupt):
        store.clear()
    assert store.first_key() is None
    assert len(order.keys) == 0, "what went takes no memory"
    store[b"new"] = b"1"
    assert [key for key, _ in store.range()] == [b"new"]


def test_what_the_device_itself_raises_poisons_as_before(tmp_path: Path) -> None:
    device = Calling(PAGE_BYTES)
    store = Store(tmp_path / "store", device=device, memory="1MiB", page_size=PAGE_BYTES, durability="manual")
    store[b"key"] = b"value"
    device.point = "sync"

    def fail() -> None:
        raise TimeoutError("the device does not answer")

    device.call = fail
    with pytest.raises(oxidbm.PoisonedError, match="does not answer"):
        store.sync()
    with pytest.raises(oxidbm.PoisonedError):
        store.close()
