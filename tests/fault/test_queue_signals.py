"""Ctrl-C at any moment of what is done to a queue: it comes out, the counts are right, no item is lost or doubled."""

import gc
import itertools
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from oxidbm import BusyError, Queue
from oxidbm.queue import Full, Message
from tests.fault.test_interrupts import interrupts
from tests.inside import abandon_queue
from tests.support import soaked

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer"),
    pytest.mark.compiled_only("on the sources an exception may come between any two lines"),
]

T = TypeVar("T")

ROUNDS = soaked(60, 10)


def drained(queue: Queue[T]) -> list[T]:
    """Take and acknowledge all that waits, and hold what the queue says against it; return the items."""
    waiting = queue.qsize()
    items = []
    for message in queue.messages(timeout=0):
        items.append(message.item)
        assert message.ack()
    assert len(items) == waiting
    assert queue.in_flight == 0
    assert queue.join(timeout=0)
    return items


@pytest.mark.parametrize("maxsize", [0, 20])
@pytest.mark.parametrize("durability", ["manual", "always"])
def test_puts(tmp_path: Path, durability: Any, maxsize: int) -> None:
    """An interrupted put has put its item, or not; a queue with a size does not shrink."""
    with Queue(tmp_path / "q", codec=int, maxsize=maxsize, durability=durability, memory="1MiB") as queue:
        done: list[int] = []
        held: list[Message[int]] = []
        number = 0

        def work() -> None:
            nonlocal number
            while True:
                number += 1
                try:
                    queue.put(number, timeout=0.001)
                except Full:
                    held.append(queue.take())
                    held[-1].ack()
                    continue
                done.append(number)

        with interrupts() as interrupted:
            for _ in range(ROUNDS):
                assert interrupted(work)
                queue.qsize()
                if maxsize:
                    for message in held:
                        message.nack()
                    held.clear()
                assert queue.in_flight == 0
        out = queue.in_flight
        seen = [message.item for message in queue.messages(timeout=0)]
        assert seen == sorted(set(seen))
        assert queue.qsize() == 0
        assert queue.in_flight == out + len(seen)
        if not maxsize:
            assert out == 0
            assert set(done) <= set(seen)
            assert len(seen) <= len(done) + ROUNDS


@pytest.mark.parametrize("seed", range(soaked(4, 1)))
def test_consumers(tmp_path: Path, seed: int) -> None:
    """What was acknowledged durably does not come again, each other item comes once; however much was moved."""
    path = tmp_path / "q"
    queue = Queue(path, durability="manual", memory="1MiB", page_size="4KiB")
    held: list[Message[bytes]] = []
    kept: list[Message[bytes]] = []
    tried: list[Message[bytes]] = []
    put: list[int] = []
    numbers = itertools.count()

    def step() -> None:
        number = next(numbers)
        queue.put(b"%800d" % number)
        put.append(number)
        message = queue.take(timeout=0)
        held.append(message)
        if number % 50 == seed:
            kept.append(message)
            return  # it keeps the space of those behind it, until it is moved
        if number % 7 == 0:
            message.nack(0.0001)
        else:
            tried.append(message)
            message.ack()
        held.pop()

    def work() -> None:
        while True:
            step()

    with interrupts() as interrupted:
        for _ in range(ROUNDS):
            assert interrupted(work)
            assert queue.in_flight == sum(queue.exchange.deliveries.is_out(message.delivery) for message in held)
            for message in held:
                if message not in kept:
                    message.nack()
            held[:] = kept
            for _ in range(20):
                step()
    assert len(queue.exchange.deliveries.moved) > 3
    queue.commit()
    waiting = queue.qsize() + queue.in_flight
    done = {int(message.item) for message in tried if message.delivery.done}
    abandon_queue(queue)
    with Queue(path, memory="1MiB") as queue:
        assert queue.qsize() == waiting
        items = [int(item) for item in drained(queue)]
        assert len(items) == len(set(items))
        assert not done.intersection(items)
        assert set(put) <= done | set(items)
        assert queue.check() == []


@pytest.mark.parametrize("name", ["task_done", "ack", "nack"])
def test_what_a_thread_has_got(tmp_path: Path, name: str) -> None:
    """A get() that is interrupted has got nothing; what ends an item does so, or the thread still has it."""
    with Queue(tmp_path / "q", codec=int, durability="manual") as queue:
        queue.put_many(range(5))
        end: Callable[[], object] = getattr(queue, name)

        def work() -> None:
            while True:
                time.sleep(0)  # as the GIL is taken again, a signal is seen that another thread got
                if queue.qsize() < 3:
                    queue.put_many(range(5))
                queue.get()
                end()

        with interrupts() as interrupted:
            for _ in range(ROUNDS * 3):
                assert interrupted(work)
                held = queue.holdings.of_thread()
                assert queue.in_flight == len(held) <= 1
                if held:
                    end()
        assert queue.in_flight == 0
        drained(queue)


def test_blocks(tmp_path: Path) -> None:
    """What a block was about is done, or waits: nobody has it once the block was left."""
    with Queue(tmp_path / "q", codec=int, durability="manual") as queue:

        def work() -> None:
            while True:
                time.sleep(0)
                queue.put(1)
                with queue.take():
                    pass

        with interrupts() as interrupted:
            for _ in range(ROUNDS * 3):
                assert interrupted(work)
                assert queue.in_flight == 0
                assert queue.qsize() <= 1
                drained(queue)


@pytest.mark.parametrize("durability", ["manual", "interval", "always"])
def test_a_close_that_is_interrupted(tmp_path: Path, durability: Any) -> None:
    """The queue is closed, or as open as before; whatever was said before or between is there."""
    path = tmp_path / "q"
    expected: set[int] = set()
    again = 0
    with interrupts() as interrupted:
        for turn in range(ROUNDS):
            queue = Queue(path, codec=int, durability=durability, interval=0.001, memory="1MiB", page_size="4KiB")
            assert {one.item for one in queue.peek()} == expected
            put = range(turn * 100, turn * 100 + 50)
            queue.put_many(put)
            expected.update(put)
            messages = [queue.take() for _ in range(len(queue))]
            for message in messages[::2]:
                message.ack()
                expected.remove(message.item)
            interrupted(queue.close)
            if not queue.closed:
                again += 1
                assert messages[1].ack()
                expected.remove(messages[1].item)
                queue.put(-turn - 1)
                expected.add(-turn - 1)
                queue.close()
    assert again > 0
    with Queue(path, codec=int) as queue:
        assert {one.item for one in queue.peek()} == expected


@pytest.mark.parametrize("name", ["put", "take", "ack", "commit", "close"])
def test_a_finalizer_in_the_middle_of_a_call(tmp_path: Path, name: str) -> None:
    """What would wait for a lock that its own thread holds is told so."""
    with Queue(tmp_path / "q", durability="manual") as queue:
        queue.put_many([b"a", b"b"])
        message = queue.take()
        calls: dict[str, Callable[[], object]] = {
            "put": lambda: queue.put(b"c"),
            "take": lambda: queue.take(timeout=0),
            "ack": message.ack,
            "commit": queue.commit,
            "close": queue.close,
        }
        with queue.exchange.lock, pytest.raises(BusyError, match="handing out or counting items in this very thread"):
            calls[name]()
        assert message.extend(60)
        calls[name]()
        if name != "close":
            assert queue.qsize() + queue.in_flight == {"put": 3, "take": 2, "ack": 1, "commit": 2}[name]


def test_handlers_that_put(tmp_path: Path) -> None:
    """A handler may use the queue wherever it comes; where it cannot, it is told, and nothing hangs."""
    with Queue(tmp_path / "q", codec=int, durability="manual", memory="1MiB", page_size="4KiB") as queue:
        put = busy = 0

        def handler(number: int, frame: object) -> None:
            nonlocal put, busy
            try:
                queue.put(-1)
                put += 1
            except BusyError:
                busy += 1

        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
        try:
            taken = 0
            for number in range(4000):
                queue.put(number)
                with queue.take():
                    taken += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert put > 0
        assert queue.qsize() == 4000 + put - taken
        drained(queue)


def test_interrupted_waiters_leave_the_line(tmp_path: Path) -> None:
    """Beside threads that put and take: who was woken and interrupted has another one go on."""
    with Queue(tmp_path / "q", codec=int, durability="manual", maxsize=2) as queue:
        stop = threading.Event()

        def others() -> None:
            while not stop.is_set():
                with queue.take(timeout=60):
                    pass

        def work() -> None:
            while True:
                queue.put(1, timeout=60)

        threads = [threading.Thread(target=others) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            with interrupts() as interrupted:
                assert all(interrupted(work) for _ in range(ROUNDS))
        finally:
            stop.set()
            queue.put_many([1, 1], timeout=60)
            for thread in threads:
                thread.join(60)
        assert not queue.exchange.putters
        assert not queue.exchange.takers
        drained(queue)
    gc.collect()
