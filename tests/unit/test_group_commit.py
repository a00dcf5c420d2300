"""Group commit: threads that wait together share a sync, whatever becomes of the one that makes it."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm import PoisonedError, Store
from oxidbm._core.durability.group import MANY_TO_GO, SPARE_BELLS_MAX, Bell, Waiters
from oxidbm.testing import CrashDevice
from tests.inside import handle_of

PAGE_BYTES = 4096
WAIT_SECONDS = 60


class SlowDevice(CrashDevice):
    """A device whose sync waits until it may go on, and may fail once."""

    def __init__(self) -> None:
        super().__init__(PAGE_BYTES)
        self.syncs = 0
        self.inside = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.failure: BaseException | None = None

    def sync(self) -> None:
        self.syncs += 1
        self.inside.set()
        assert self.free.wait(WAIT_SECONDS)
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        super().sync()


def open_on(path: Path, device: SlowDevice) -> Store:
    return Store(path, device=device, memory="1MiB", page_size=PAGE_BYTES, durability="always", compaction=False)


def started(work: Callable[[int], object], count: int) -> list[threading.Thread]:
    """Start so many threads."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def joined(threads: list[threading.Thread]) -> None:
    """Wait for all of them."""
    for thread in threads:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def held(path: Path) -> tuple[SlowDevice, Store]:
    """Return a store in which the next sync waits until its device is set free."""
    device = SlowDevice()
    store = open_on(path, device)
    store[b"first"] = b"1"
    device.inside.clear()
    device.free.clear()
    return device, store


def waiting(store: Store, count: int) -> None:
    """Return when so many threads wait for a commit."""
    waiters = handle_of(store).commits.waiters
    deadline = time.monotonic() + WAIT_SECONDS
    while len(waiters.waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_those_who_wait_meanwhile_share_one_sync(tmp_path: Path) -> None:
    device, store = held(tmp_path / "store")
    leader = started(lambda _: store.__setitem__(b"leader", b"1"), 1)
    assert device.inside.wait(WAIT_SECONDS)
    before = device.syncs
    followers = started(lambda number: store.__setitem__(b"%d" % number, b"1"), 20)
    waiting(store, 20)
    device.free.set()
    joined(leader + followers)
    assert device.syncs == before + 1
    assert handle_of(store).commits.waiters.waiting == []
    store.close()
    with Store(tmp_path / "store", device=device, memory="1MiB") as again:
        assert len(again) == 22


def test_all_of_them_learn_that_the_store_is_poisoned(tmp_path: Path) -> None:
    device, store = held(tmp_path / "store")
    raised: list[BaseException] = []

    def write(number: int) -> None:
        with pytest.raises(PoisonedError, match="no disk") as failure:
            store[b"%d" % number] = b"1"
        raised.append(failure.value)

    threads = started(write, 1)
    assert device.inside.wait(WAIT_SECONDS)
    threads += started(lambda number: write(number + 1), 10)
    waiting(store, 10)
    device.failure = OSError("no disk")
    device.free.set()
    joined(threads)
    assert len(raised) == 11
    with pytest.raises(PoisonedError):
        store.close()


def test_a_commit_that_an_exception_ends_is_made_by_one_of_those_who_wait(tmp_path: Path) -> None:
    device, store = held(tmp_path / "store")

    def lead(_: int) -> None:
        with pytest.raises(KeyboardInterrupt):
            store[b"leader"] = b"1"

    leader = started(lead, 1)
    assert device.inside.wait(WAIT_SECONDS)
    followers = started(lambda number: store.__setitem__(b"%d" % number, b"1"), 5)
    waiting(store, 5)
    device.failure = KeyboardInterrupt()
    before = device.syncs
    device.free.set()
    joined(leader + followers)
    assert device.syncs == before + 1
    assert store.stats()["durable_tail"] == store.stats()["tail"]
    assert handle_of(store).commits.waiters.waiting == []
    store.close()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers here")
def test_a_signal_in_one_that_waits(tmp_path: Path) -> None:
    """What its handler raises comes out; what it writes is committed with the others; nobody is left waiting."""
    device, store = held(tmp_path / "store")
    threads = started(lambda _: store.__setitem__(b"leader", b"1"), 1)
    assert device.inside.wait(WAIT_SECONDS)
    threads += started(lambda number: store.__setitem__(b"%d" % number, b"1"), 3)
    waiting(store, 3)

    def interrupt(number: int, frame: object) -> None:
        assert len(handle_of(store).commits.waiters.waiting) == 4
        raise TimeoutError("the handler's own")

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeoutError, match="the handler's own"):
            store[b"main"] = b"1"
        assert len(handle_of(store).commits.waiters.waiting) == 3
        signal.signal(signal.SIGALRM, lambda number, frame: device.free.set())
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        store[b"again"] = b"1"
    finally:
        signal.signal(signal.SIGALRM, before)
    joined(threads)
    assert store.stats()["durable_tail"] == store.stats()["tail"]
    assert handle_of(store).commits.waiters.waiting == []
    assert sorted(store) == [b"0", b"1", b"2", b"again", b"first", b"leader", b"main"]
    store.close()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers here")
def test_a_signal_handler_that_writes_in_one_that_waits(tmp_path: Path) -> None:
    """Its own commit does not wait for the word that the interrupted one has to pass on."""
    device, store = held(tmp_path / "store")
    threads = started(lambda _: store.__setitem__(b"leader", b"1"), 1)
    assert device.inside.wait(WAIT_SECONDS)

    def write(number: int, frame: object) -> None:
        assert len(handle_of(store).commits.waiters.waiting) == 1
        threading.Timer(0.05, device.free.set).start()
        store[b"handler"] = b"1"
        assert store.stats()["durable_tail"] == store.stats()["tail"]

    before = signal.signal(signal.SIGALRM, write)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        store[b"main"] = b"1"
    finally:
        signal.signal(signal.SIGALRM, before)
    joined(threads)
    assert handle_of(store).commits.waiters.waiting == []
    assert sorted(store) == [b"first", b"handler", b"leader", b"main"]
    store.close()


def test_compaction_has_its_turn_beside_those_who_only_commit(tmp_path: Path) -> None:
    """What waits for the lock itself is not kept waiting by threads that take it again and again."""
    with Store(tmp_path / "store", memory="4MiB", page_size=PAGE_BYTES, durability="always") as store:
        stop = threading.Event()

        def write(number: int) -> None:
            while not stop.is_set():
                store[b"%d" % number] = b"v" * 20

        threads = started(write, 32)
        for _ in range(10):
            store.clear()
        stop.set()
        joined(threads)
        assert handle_of(store).commits.waiters.claims == 0


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store(path, memory="4MiB", page_size=PAGE_BYTES, durability="always") as store:
        begun = store.stats()["commit_sequence"]

        def write(number: int) -> None:
            with store.session(f"writer {number}") as session:
                for turn in range(50):
                    session.upsert(b"%d/%d" % (number, turn), b"%d" % turn)
                    assert session.durable_serial == session.serial == turn + 1

        joined(started(write, 3 * MANY_TO_GO))
        assert 0 < store.stats()["commit_sequence"] - begun <= 3 * MANY_TO_GO * 51
        assert handle_of(store).commits.waiters.waiting == []
        assert handle_of(store).commits.waiters.threads == set()
        assert len(store) == 150 * MANY_TO_GO
    with Store(path, read_only=True) as reader:
        assert len(reader) == 150 * MANY_TO_GO
        assert oxidbm.check(path) == []


def test_clear_and_compaction_let_those_who_wait_go_on(tmp_path: Path) -> None:
    with Store(tmp_path / "store", memory="4MiB", page_size=PAGE_BYTES, durability="always") as store:
        stop = threading.Event()

        def write(number: int) -> None:
            turn = 0
            while not stop.is_set():
                store[b"%d" % number] = b"%d" % turn * 20
                turn += 1

        threads = started(write, 6)
        for _ in range(5):
            store.clear()
            store.reorganize()
        stop.set()
        joined(threads)
        assert store.check() == []


@pytest.mark.parametrize("descriptors", [True, False])
def test_a_bell_is_rung_before_or_while_it_is_waited_at(monkeypatch: pytest.MonkeyPatch, descriptors: bool) -> None:
    if not descriptors:
        monkeypatch.delattr("os.eventfd", raising=False)
    bell = Bell()
    bell.ring()
    bell.wait()
    thread = threading.Thread(target=bell.wait)
    thread.start()
    time.sleep(0.01)
    assert thread.is_alive()
    bell.ring()
    joined([thread])
    bell.close()
    bell.close()


def test_bells_are_kept_for_the_next_one_up_to_a_number() -> None:
    waiters = Waiters()
    there = [waiters.join(1) for _ in range(SPARE_BELLS_MAX + 5)]
    for waiter in there:
        waiters.leave(waiter)
    assert len(waiters.spare) == SPARE_BELLS_MAX
    assert waiters.join(2).bell in [waiter.bell for waiter in there]
    assert len(waiters.spare) == SPARE_BELLS_MAX - 1
    waiters.close()
    assert waiters.spare == []


def test_one_that_leaves_after_it_was_rung_takes_the_ring_with_it() -> None:
    waiters = Waiters()
    waiter = waiters.join(1)
    waiters.pass_on(1)
    waiters.leave(waiter)
    assert waiters.waiting == []
    bell = waiters.join(2).bell
    assert bell is waiter.bell
    thread = threading.Thread(target=bell.wait)
    thread.start()
    time.sleep(0.01)
    assert thread.is_alive()  # the old ring is gone
    bell.ring()
    joined([thread])


def test_who_comes_while_many_are_let_go_on_joins_them() -> None:
    waiters = Waiters()
    there = [waiters.join(1) for _ in range(MANY_TO_GO + 1)]
    assert not waiters.many_to_go(0), "what they wait for is not durable"
    assert waiters.many_to_go(1)
    thread = threading.Thread(target=lambda: waiters.wait(waiters.join(2), 1))
    thread.start()
    while len(waiters.waiting) == len(there):
        time.sleep(0.001)
    waiters.pass_on(1)
    assert not waiters.many_to_go(1)
    assert thread.is_alive()
    for _ in there:
        waiters.pass_on(1)
    joined([thread])
    assert waiters.waiting == []
    waiters.wait(waiters.join(2), 1)  # nobody commits, and nobody is to be let go on: at once


def test_nobody_is_woken_to_commit_while_somebody_does() -> None:
    waiters = Waiters()
    waiters.committing = True
    first, second = waiters.join(3), waiters.join(4)
    waiters.pass_on(2)
    assert waiters.waiting == [first, second]
    waiters.pass_on(3)
    assert waiters.waiting == [second]
    waiters.committing = False
    waiters.pass_on(3)
    assert waiters.waiting == []
