"""oxidbm.Queue from its opening to its end: what it refuses, what outlives the process, looking at it, stopping."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Full
from typing import Any

import pytest

import oxidbm
from oxidbm import ClosedError, Queue, ReadOnlyError
from oxidbm._core.queue.entries import ACK, ADDRESS, ITEM, NOTES
from oxidbm._core.queue.queue_log import QueueLog
from oxidbm.queue import ShutDown
from tests.facade.queues import Clock, drain, waits_in
from tests.inside import abandon_queue

WRONG: dict[str, list[Any]] = {
    "maxsize": ["3", 2.5, None, True],
    "redeliver_after": ["5", True, b"5"],
    "durability": [None, 5, b"always"],
    "interval": ["1", None, True],
    "on_error": [None, 5],
    "read_only": [1, "no"],
    "create": [None],
    "lock": ["yes"],
    "mode": ["600", None, True, 6.0],
    "clock": [5.0, None, lambda: None, lambda: "5", lambda: True],
    "codec": [5],
    "device": [5, "device"],
    "memory": [None, 1.5],
}
OUT_OF_RANGE: dict[str, list[Any]] = {
    "redeliver_after": [0, -1, float("nan"), float("inf"), 1e12],
    "durability": ["sometimes", ""],
    "interval": [0, -1, float("nan"), float("inf")],
    "on_error": ["bytes", ""],
    "mode": [-1, 1 << 70, 0o10000],
    "memory": [1000, "much"],
    "page_size": [1000],
}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(TypeError, name, value) for name, values in WRONG.items() for value in values]
    + [(ValueError, name, value) for name, values in OUT_OF_RANGE.items() for value in values],
)
def test_arguments_that_are_none_are_refused_at_once(
    tmp_path: Path, kind: type[Exception], name: str, value: Any
) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(kind, match=name if name != "codec" else "5"):
        Queue(tmp_path / "q", **given)
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize("wrong", ["x", b"1", [], True])
def test_arguments_of_methods_are_named(wrong: Any) -> None:
    """Nothing is put, taken or given back by a call that is refused."""
    calls: dict[str, list[Callable[[Queue[bytes]], object]]] = {
        "timeout": [
            lambda queue: queue.put("new", timeout=wrong),
            lambda queue: queue.put_many(["new"], timeout=wrong),
            lambda queue: queue.take(timeout=wrong),
            lambda queue: queue.get(timeout=wrong),
            lambda queue: queue.join(timeout=wrong),
            lambda queue: next(queue.messages(timeout=wrong)),
        ],
        "delay": [lambda queue: message.nack(wrong)],
        "seconds": [lambda queue: message.extend(wrong)],
        "limit": [lambda queue: queue.peek(wrong)],
    }
    if wrong is not True:
        calls["block"] = [lambda queue: queue.put("new", block=wrong), lambda queue: queue.take(block=wrong)]
        calls["immediate"] = [lambda queue: queue.shutdown(wrong)]
    with Queue(maxsize=5) as queue:
        queue.put_many(["held", "waits"])
        message = queue.take()
        for name, made in calls.items():
            for call in made:
                with pytest.raises(TypeError, match=f"{name} is "):
                    call(queue)
        assert (queue.qsize(), queue.in_flight) == (1, 1)
        with pytest.raises(ValueError, match="limit is a number of items, at least 0, or None, not -1"):
            queue.peek(-1)
        assert len(list(queue.peek(1 << 70))) == 2


def test_a_maxsize_of_no_items_is_any_number() -> None:
    with Queue(maxsize=-1) as queue:
        queue.put_many([b"a"] * 100)
        assert not queue.full()


def test_attempts_and_delays_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "q"
    with Queue(path, durability="manual") as queue:
        queue.put_many([b"delayed", b"held", b"given back", b"untouched"])
        queue.take().nack(delay=3600)
        queue.take()
        queue.take().nack()
        queue.take().nack()
    with Queue(path, durability="manual") as queue:
        assert {one.item: one.attempts for one in queue.peek()} == {
            b"delayed": 1,
            b"held": 1,
            b"given back": 2,
            b"untouched": 0,
        }
        assert (len(queue), queue.stats()["delayed"], queue.in_flight) == (4, 1, 0)
        messages = list(queue.messages(timeout=0))
        assert [(message.item, message.attempts) for message in messages] == [
            (b"held", 2),
            (b"given back", 3),
            (b"untouched", 1),
        ]
        for message in messages:
            message.ack()
        assert (len(queue), queue.stats()["delayed"]) == (1, 1)
        assert not queue.join(timeout=0)


def test_a_delay_goes_by_the_clock_from_the_opening_on(tmp_path: Path) -> None:
    """Also before anybody has come to the item."""
    path, clock = tmp_path / "q", Clock()
    with Queue(path, durability="manual", clock=clock) as queue:
        queue.put_many([b"before", b"delayed"])
        before, delayed = queue.take(), queue.take()
        delayed.nack(delay=60)
        before.nack()
    with Queue(path, durability="manual", clock=clock) as queue:
        assert [one.state for one in queue.peek()] == ["waiting", "delayed"]
        clock.now += 61
        assert [one.state for one in queue.peek()] == ["waiting", "waiting"]
        assert queue.stats()["delayed"] == 0
        assert [message.item for message in queue.messages(timeout=0)] == [b"before", b"delayed"]


def test_a_crash_counts_what_the_last_commit_knew(tmp_path: Path) -> None:
    path = tmp_path / "q"
    for attempt in (1, 2, 3):
        queue: Queue[bytes] = Queue(path, durability="manual")
        if attempt == 1:
            queue.put(b"a")
        message = queue.take()
        assert message.attempts == attempt
        queue.commit()
        abandon_queue(queue)
    queue = Queue(path, durability="manual")
    assert queue.take().attempts == 4
    abandon_queue(queue)  # before a commit
    with Queue(path) as queue:
        assert queue.take().attempts == 4


@pytest.mark.compiled_only("kills processes")
def test_a_job_that_kills_its_process_is_counted(tmp_path: Path) -> None:
    with Queue(tmp_path / "q") as queue:
        queue.put(b"poison")
    program = (
        "import oxidbm, os, sys, time\n"
        "queue = oxidbm.Queue(sys.argv[1], interval=0.02)\n"
        "message = queue.take()\n"
        "before = queue.stats()['commit_number']\n"
        "while queue.stats()['commit_number'] == before: time.sleep(0.005)\n"
        "print(message.attempts, flush=True)\n"
        "os._exit(9)\n"
    )
    for attempt in (1, 2, 3):
        done = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "q"], capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (9, b"%d\n" % attempt)


def test_a_short_job_leaves_no_note(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", interval=1000) as queue:
        for _ in range(10):
            queue.put(b"a")
            queue.take().ack()
        entries: Any = queue.log.scan(uncommitted=True)
        assert not any(entry[:1] == NOTES for _, entry in entries)


def test_a_queue_without_notes_opens_as_before(tmp_path: Path) -> None:
    with QueueLog(tmp_path / "q") as log:
        first = log.append(ITEM + b"a")
        log.append(ITEM + b"b")
        log.append(ACK + ADDRESS.pack(first))
    with Queue(tmp_path / "q") as queue:
        message = queue.take()
        assert (message.item, message.attempts) == (b"b", 1)


def test_a_delivery_is_extended() -> None:
    clock = Clock()
    with Queue(redeliver_after=5, clock=clock) as queue:
        queue.put_many([b"a", b"b", b"c"])
        first, second, third = (queue.take() for _ in range(3))
        assert first.extend(20)
        assert third.extend(1)
        clock.now += 2
        assert [message.item for message in queue.messages(timeout=0)] == [b"c"]
        assert not third.extend(5)
        clock.now += 4
        assert queue.get_nowait() == b"b"
        assert queue.in_flight == 3
        clock.now += 13
        assert first.extend(20)
        assert first.ack()
        assert not first.extend(1)
        for wrong in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="seconds is a number of seconds, above 0"):
                second.extend(wrong)
    with Queue() as queue:
        queue.put(b"a")
        message = queue.take()
        thread, results = waits_in(queue, queue.get)
        assert message.extend(0.01)
        thread.join()
        assert results == [b"a"]


def test_looking_at_a_queue(tmp_path: Path) -> None:
    path = tmp_path / "q"
    with pytest.raises(oxidbm.MissingError):
        Queue(path, read_only=True)
    with Queue(path, codec=str) as queue:
        queue.put_many(["a", "b", "c"])
        with Queue(path, codec=str, read_only=True) as view:
            assert [(one.item, one.state, one.attempts) for one in view.peek()] == [
                ("a", "waiting", 0),
                ("b", "waiting", 0),
                ("c", "waiting", 0),
            ]
            queue.take()
            queue.take().ack()
            queue.commit()
            assert [(one.item, one.state) for one in queue.peek()] == [("a", "held"), ("c", "waiting")]
            assert [(one.item, one.state) for one in view.peek()] == [("a", "held"), ("c", "waiting")]
            assert [one.item for one in view.peek(1)] == ["a"]
            assert (len(view), view.in_flight, view.check(), view.full(), view.empty()) == (1, 1, [], False, False)
            for figures in (view.stats(), queue.stats()):
                assert (figures["waiting"], figures["in_flight"], figures["delayed"]) == (1, 1, 0)
                assert 0 <= figures["oldest_seconds"] < 3600
            calls: list[Any] = [
                view.take, lambda: view.put("d"), view.get_nowait, view.join, view.commit, view.shutdown,
            ]  # fmt: skip
            for call in calls:
                with pytest.raises(ReadOnlyError, match="opened read-only"):
                    call()
        with pytest.raises(ClosedError):
            len(view)
    with Queue(path, codec=str, read_only=True) as view:
        assert view.in_flight == 1  # as the last commit says
        with Queue(path, codec=str) as queue:
            queue.commit()
            assert (view.in_flight, len(view)) == (0, 2)
            assert drain(queue) == ["a", "c"]
            assert queue.stats()["oldest_seconds"] is None


def test_workers_end_and_their_jobs_are_acknowledged(tmp_path: Path) -> None:
    done: list[bytes] = []
    begun, go_on = threading.Event(), threading.Event()
    with Queue(tmp_path / "q") as queue:
        queue.put_many([b"a", b"b"])

        def work() -> None:
            for message in queue.messages():
                with message as item:
                    begun.set()
                    go_on.wait()
                    done.append(item)

        thread = threading.Thread(target=work)
        thread.start()
        begun.wait()
        queue.shutdown(immediate=True)
        assert not queue.join(timeout=0.01)
        go_on.set()
        assert queue.join()
        thread.join()
        for call in (queue.take, queue.get_nowait, lambda: queue.put(b"c")):
            with pytest.raises(ShutDown):
                call()
    assert done == [b"a"]
    with Queue(tmp_path / "q") as queue:
        assert drain(queue) == [b"b"]


def test_a_shutdown_lets_what_is_there_be_taken() -> None:
    with Queue(maxsize=2) as queue:
        queue.put_many([b"a", b"b"])
        putter, put = waits_in(queue, lambda: queue.put(b"c"))
        queue.shutdown()
        putter.join()
        assert isinstance(put[0], ShutDown)
        message = queue.take()
        message.nack()
        assert queue.get() == b"a"
        queue.take().nack(delay=3600)
        with pytest.raises(ShutDown):
            queue.take()
        assert not queue.join(timeout=0)
        joiner, joined = waits_in(queue, queue.join)
        queue.ack()
        joiner.join()
        assert joined == [True]  # what is delayed is not waited for
        queue.shutdown(immediate=True)
        assert list(queue.messages()) == []


@pytest.mark.parametrize("immediate", [False, True])
def test_a_shutdown_ends_who_waits(immediate: bool) -> None:
    with Queue() as queue:
        taker, taken = waits_in(queue, queue.take)
        queue.shutdown(immediate)
        taker.join()
        assert isinstance(taken[0], ShutDown)
    if sys.version_info >= (3, 13):
        import queue as stdlib

        assert ShutDown is stdlib.ShutDown
    assert not issubclass(ShutDown, Empty | Full)


def test_a_queue_that_nobody_holds_is_closed(tmp_path: Path) -> None:
    queue: Queue[bytes] = Queue(tmp_path / "q", interval=0.01)
    queue.put(b"a")
    queue.take()
    time.sleep(0.05)
    del queue
    with Queue(tmp_path / "q") as queue:
        assert len(queue) == 1
