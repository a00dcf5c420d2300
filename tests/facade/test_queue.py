"""oxidbm.Queue: order, waiting, room, redelivery, space, and what else may be at its path."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Full
from typing import Any

import pytest

import oxidbm
from oxidbm import ClosedError, CodecError, FormatError, LockedError, Queue
from oxidbm._core.queue.entries import ITEM
from oxidbm.queue import Message
from tests.facade.queues import Clock, drain, waits_in
from tests.support import scaled


def test_items_come_in_order_and_survive_a_reopening(tmp_path: Path) -> None:
    with Queue(tmp_path / "q") as queue:
        for number in range(10):
            queue.put(b"%d" % number)
        assert (len(queue), queue.qsize(), queue.in_flight, queue.empty(), queue.full()) == (10, 10, 0, False, False)
        assert queue.get() == b"0"
        queue.task_done()
        message = queue.take()
        assert (message.item, message.attempts, queue.in_flight, len(queue)) == (b"1", 1, 1, 8)
        assert str(tmp_path) in repr(queue)
    assert queue.closed
    with Queue(tmp_path / "q") as queue:
        assert len(queue) == 9
        assert drain(queue) == [b"%d" % number for number in range(1, 10)]
        assert queue.join(timeout=0)
    with Queue(tmp_path / "q") as queue:
        assert queue.empty()
        assert queue.stats()["log_bytes"] < 200


def test_a_queue_in_memory() -> None:
    with Queue(memory="1MiB") as queue:
        for _ in range(scaled(2000, least=200)):  # more than fits, if nothing were given back
            queue.put(b"x" * 5000)
            with queue.take() as item:
                assert len(item) == 5000
        assert queue.path is None
        assert "in memory" in repr(queue)
        with pytest.raises(oxidbm.FullError):
            queue.put_many([b"x" * 5000] * 1000)
        count = len(queue)
        assert len(drain(queue)) == count
        queue.put("again")
        assert queue.get() == b"again"


@pytest.mark.parametrize(
    ("codec", "items"),
    [(str, ["a", "ä"]), (int, [1, -5]), ("json", [{"a": [1, None]}]), ("pickle", [{1, 2}]), (None, [b"", b"\1\2"])],
)
def test_codecs(tmp_path: Path, codec: Any, items: list[Any]) -> None:
    with Queue(tmp_path / "q", codec=codec) as queue:
        queue.put_many(items)
    with Queue(tmp_path / "q", codec=codec) as queue:
        assert drain(queue) == items
    other: Any = "objects"
    with pytest.raises(CodecError, match="objects"):
        Queue(tmp_path / "q", codec=other)


def test_items_that_the_codec_does_not_take(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", codec=int) as queue:
        wrong: Any = "1"
        with pytest.raises(TypeError):
            queue.put(wrong)
        assert len(queue) == 0
    with Queue(memory="1MiB") as small, pytest.raises(ValueError, match="most one may take"):
        small.put(bytes(1 << 20))


def test_an_item_that_cannot_be_decoded_can_be_acknowledged(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", codec="json") as queue:
        queue.log.append(ITEM + b"{")
        queue.exchange.deliveries.waiting += 1
        message = queue.take()
        with pytest.raises(ValueError, match="json"):
            message.item  # noqa: B018
        with pytest.raises(ValueError, match="json"), message:
            raise AssertionError
        assert queue.in_flight == 0  # given back
        assert message.ack()
        assert queue.join(timeout=0)


def test_nothing_to_take() -> None:
    with Queue() as queue:
        calls: list[Callable[[], object]] = [
            queue.get_nowait,
            lambda: queue.take(False),
            lambda: queue.get(timeout=0.01),
        ]
        for call in calls:
            with pytest.raises(Empty):
                call()
        assert list(queue.messages(timeout=0)) == []
        for bad in (-1, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                queue.get(timeout=bad)


def test_room(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", maxsize=2, durability="manual") as queue:
        queue.put_many([b"a", b"b"])
        assert queue.full()
        calls: list[Callable[[], object]] = [lambda: queue.put_nowait(b"c"), lambda: queue.put(b"c", timeout=0.01)]
        for call in calls:
            with pytest.raises(Full):
                call()
        with pytest.raises(ValueError, match="never room"):
            queue.put_many([b"c"] * 3)
        with pytest.raises(TypeError, match="items is an iterable of items, not 5"):
            queue.put_many(5)  # type: ignore[call-overload]
        thread, results = waits_in(queue, lambda: queue.put(b"c"))
        message = queue.take()
        thread.join()
        assert results == [None]
        message.nack()  # what comes again is not kept out
        assert queue.qsize() == 3
        assert drain(queue) == [b"a", b"b", b"c"]


def test_a_put_wakes_one_who_waits() -> None:
    with Queue() as queue:
        threads = [waits_in(queue, queue.get)]
        for _ in range(3):
            before = len(queue.exchange.takers.line)
            thread = threading.Thread(target=queue.get)
            thread.start()
            threads.append((thread, []))
            while len(queue.exchange.takers.line) == before:
                time.sleep(0.001)
        queue.put(b"a")
        threads[0][0].join()
        assert threads[0][1] == [b"a"]
        assert len(queue.exchange.takers.line) == 3
        queue.put_many([b"b"] * 3)
        for thread, _ in threads:
            thread.join()


def test_what_is_given_back_comes_first_and_after_its_delay() -> None:
    clock = Clock()
    with Queue(clock=clock) as queue:
        queue.put_many([b"a", b"b", b"c"])
        first, second = queue.take(), queue.take()
        assert second.nack()
        assert first.nack(delay=10)
        assert not first.nack()
        assert (len(queue), queue.in_flight) == (3, 0)
        third = queue.take()
        assert (third.item, third.attempts, third.id) == (b"b", 2, second.id)
        assert queue.take().item == b"c"
        with pytest.raises(Empty):
            queue.get_nowait()
        clock.now += 10
        assert queue.get_nowait() == b"a"
        assert not second.nack()  # which is out anew
        assert third.ack()
        assert not second.ack()
        with pytest.raises(ValueError, match="delay"):
            queue.nack(delay=-1)


def test_what_is_not_acknowledged_in_time_comes_again() -> None:
    clock = Clock()
    with Queue(redeliver_after=5, clock=clock) as queue:
        queue.put_many([b"a", b"b"])
        late = queue.take()
        clock.now += 3
        kept = queue.take()
        clock.now += 2
        again = queue.take(block=False)
        assert (again.item, again.attempts) == (b"a", 2)
        assert kept.ack()
        assert not late.nack()
        assert late.ack()  # the work is done, whoever did it
        assert not again.ack()
        clock.now += 100
        assert queue.join(timeout=0)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="redeliver_after"):
            Queue(redeliver_after=wrong)


def test_who_waits_is_woken_when_something_is_due_or_given_back() -> None:
    with Queue(redeliver_after=0.05) as queue:
        queue.put(b"a")
        queue.take()
        assert queue.get() == b"a"  # by the deadline
        queue.ack()
    with Queue() as queue:
        queue.put(b"a")
        message = queue.take()
        thread, results = waits_in(queue, queue.get)
        message.nack(delay=0.02)
        thread.join()
        assert results == [b"a"]


def test_with_blocks() -> None:
    with Queue() as queue:
        queue.put("a")
        with pytest.raises(KeyError), queue.take() as item:
            raise KeyError(item)
        message = queue.take()
        assert message.attempts == 2
        with message as item:
            assert (item, message.item) == (b"a", b"a")
        assert "done" in repr(message)
        assert queue.join(timeout=0)
        queue.put("b")
        message = queue.take()
        message.ack()
        with pytest.raises(KeyError), message:
            raise KeyError  # too late
        assert queue.join(timeout=0)


def test_a_thread_acknowledges_its_own() -> None:
    with Queue() as queue:
        queue.put_many([b"a", b"b"])
        assert queue.get() == b"a"
        other = threading.Thread(target=queue.get)
        other.start()
        other.join()
        assert queue.ack()
        for call in (queue.ack, queue.task_done, queue.nack):
            with pytest.raises(ValueError, match="more often"):
                call()
        assert queue.in_flight == 1


def test_join_waits_for_the_last_acknowledgement() -> None:
    with Queue() as queue:
        queue.put(b"a")
        assert not queue.join(timeout=0.01)
        message = queue.take()
        thread, results = waits_in(queue, queue.join)
        message.ack()
        thread.join()
        assert results == [True]


@pytest.mark.parametrize("call", ["take", "put", "join"])
def test_closing_tells_who_waits(tmp_path: Path, call: str) -> None:
    queue: Queue[bytes] = Queue(tmp_path / "q", maxsize=1)
    if call != "take":
        queue.put(b"a")
    calls: dict[str, Callable[[], object]] = {"take": queue.take, "put": lambda: queue.put(b"b"), "join": queue.join}
    thread, results = waits_in(queue, calls[call])
    queue.close()
    queue.close()
    thread.join()
    assert isinstance(results[0], ClosedError)
    for closed in (queue.take, lambda: queue.put(b"b"), queue.join, queue.qsize, queue.commit, queue.stats):
        with pytest.raises(ClosedError, match=r"the queue .* is closed"):
            closed()
    assert list(queue.messages()) == []
    with Queue(tmp_path / "q") as queue:
        assert len(queue) == (call != "take")


def test_many_threads(tmp_path: Path) -> None:
    count, workers = scaled(2000, least=100), 4
    got: list[bytes] = []
    with Queue(tmp_path / "q", durability="manual", redeliver_after=60, maxsize=50) as queue:

        def put(first: int) -> None:
            for number in range(first, count, workers):
                queue.put(b"%d" % number)

        def work() -> None:
            for message in queue.messages():
                if message.attempts == 1 and int(message.item) % 7 == 0:
                    message.nack(delay=int(message.item) % 3 / 1000)
                    continue
                with message as item:
                    got.append(item)

        putters = [threading.Thread(target=put, args=(first,)) for first in range(workers)]
        takers = [threading.Thread(target=work) for _ in range(workers)]
        for thread in putters + takers:
            thread.start()
        for thread in putters:
            thread.join()
        assert queue.join()
        assert queue.in_flight == 0
    for thread in takers:
        thread.join()
    assert sorted(map(int, got)) == list(range(count))


def test_other_things_at_the_path(tmp_path: Path) -> None:
    oxidbm.Store(tmp_path / "store").close()
    oxidbm.Log(tmp_path / "log").close()
    Queue(tmp_path / "queue").close()
    for kind in ("store", "log"):
        with pytest.raises(FormatError, match=f"is a {kind}, not a queue; open it with oxidbm"):
            Queue(tmp_path / kind)
    for opener, kind in ((oxidbm.Store, "store"), (oxidbm.Log, "log")):
        with pytest.raises(FormatError, match=f"is a queue, not a {kind}; open it with oxidbm.Queue"):
            opener(tmp_path / "queue")
    for call in (oxidbm.check, lambda path: oxidbm.salvage(path, tmp_path / "to"), oxidbm.recover):
        with pytest.raises(FormatError, match=r"is a queue, not a store; open it with oxidbm.Queue"):
            call(tmp_path / "queue")
    with pytest.raises(FormatError, match="is a queue, which is not replaced by a store"):
        oxidbm.open(tmp_path / "queue", "n")
    assert oxidbm.whichdb(tmp_path / "queue") is None
    Queue(tmp_path / "queue", create=False).close()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(FormatError):
        Queue(tmp_path / "other")
    with pytest.raises(oxidbm.MissingError):
        Queue(tmp_path / "none", create=False)


def test_a_queue_is_open_once(tmp_path: Path) -> None:
    with Queue(tmp_path / "q"), pytest.raises(LockedError):
        Queue(tmp_path / "q")


def test_a_forked_child_is_told(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    with Queue(tmp_path / "q") as queue:
        queue.put(b"a")
        message = queue.take()
        queue.exchange.lock.take()  # as another thread may hold it
        child = os.fork()
        if child == 0:
            told = 0
            for call in (queue.take, lambda: queue.put(b"b"), queue.join, message.ack, message.nack, queue.qsize):
                try:
                    call()
                except ClosedError:
                    told += 1
            queue.close()
            os._exit(told)
        queue.exchange.lock.release()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 6
        assert message.ack()


def test_what_a_queue_refuses() -> None:
    import copy

    with Queue() as queue:
        assert queue
        with pytest.raises(TypeError, match="cannot be pickled"):
            copy.copy(queue)
        assert isinstance(queue, Queue)
        assert not isinstance(queue, Message)


@pytest.mark.parametrize("items", ["hello", b"hello", bytearray(b"hello"), memoryview(b"hello")])
def test_put_many_takes_no_single_item(items: Any) -> None:
    with Queue() as queue:
        with pytest.raises(TypeError, match=r"put_many\(\) takes an iterable of items, not \w+; put\(\) one"):
            queue.put_many(items)
        assert queue.empty()
