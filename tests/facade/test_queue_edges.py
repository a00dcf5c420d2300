"""oxidbm.Queue at its edges: items that cannot be decoded, clocks that fail, numbers, closed and forked."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from queue import Empty, Full
from typing import Any

import pytest

from oxidbm import ClosedError, Log, Queue, ReadOnlyError, Store
from tests.facade.queues import Clock, Picky, drain


def test_what_get_could_not_decode_is_given_back() -> None:
    with Queue(codec=Picky()) as queue:
        queue.put_many(["bad", "good", "better"])
        for attempts in (1, 2):
            with pytest.raises(ValueError, match="not to be read"):
                queue.get()
            assert queue.in_flight == 0
            assert [(found.state, found.attempts) for found in queue.peek(1)] == [("waiting", attempts)]
            with pytest.raises(ValueError, match="more often than get"):
                queue.ack()
        message = queue.take()
        assert (message.data, message.attempts) == (b"bad", 3)
        assert queue.get() == "good"
        assert queue.ack()
        assert [found.data for found in queue.peek()] == [b"bad", b"better"]
        assert message.ack()
        assert drain(queue) == ["better"]


def test_what_aget_could_not_decode_is_given_back() -> None:
    async def run() -> None:
        async with Queue(codec=Picky()) as queue:
            await queue.aput("bad")
            await queue.aput("good")
            with pytest.raises(ValueError, match="not to be read"):
                await queue.aget()
            assert queue.in_flight == 0
            message = await queue.atake()
            assert message.attempts == 2
            assert await queue.aget() == "good"
            assert queue.ack()
            assert message.ack()
            assert queue.join(timeout=0)

    asyncio.run(run())


def test_a_delay_that_is_none_leaves_the_item_with_its_thread() -> None:
    with Queue() as queue:
        queue.put(b"a")
        queue.get()
        with pytest.raises(ValueError, match="delay"):
            queue.nack(-1)
        assert queue.ack()


@pytest.mark.parametrize("clock", [lambda: 5.0, lambda: -time.monotonic(), lambda: time.monotonic() / 1000])
def test_timeouts_do_not_follow_the_callers_clock(clock: Callable[[], float]) -> None:
    with Queue(clock=clock, maxsize=1) as queue:
        for delayed in (False, True):
            if delayed:
                queue.put(b"a")
                queue.take().nack(60)
                assert not queue.join(timeout=0.02)
                with pytest.raises(Full):
                    queue.put(b"b", timeout=0.02)
            with pytest.raises(Empty):
                queue.take(timeout=0.02)
            with pytest.raises(Empty):
                queue.get(timeout=0.02)
            assert list(queue.messages(timeout=0.02)) == []

        async def run() -> None:
            with pytest.raises(Empty):
                await queue.atake(timeout=0.02)
            with pytest.raises(Full):
                await queue.aput(b"b", timeout=0.02)
            assert not await queue.ajoin(timeout=0.02)

        asyncio.run(run())


@pytest.mark.parametrize("now", [float("nan"), float("inf"), -float("inf")])
def test_a_clock_that_tells_no_time_is_refused(tmp_path: Path, now: float) -> None:
    with pytest.raises(ValueError, match="clock is a function that returns seconds, and this one returned"):
        Queue(tmp_path / "q", clock=lambda: now)
    with pytest.raises(ValueError, match="clock is a function that returns seconds, and this one returned"):
        Store(tmp_path / "s", clock=lambda: now)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("told", [None, "5"])
def test_a_stores_clock_that_returns_no_number_is_refused(tmp_path: Path, told: Any) -> None:
    with pytest.raises(TypeError, match="clock is a function that returns seconds, and this one returned"):
        Store(tmp_path / "s", clock=lambda: told)


class Failing(Clock):
    """A clock that can fail."""

    told: Any = 1.0

    def __call__(self) -> Any:
        if self.told is None:
            raise RuntimeError("no time")
        return self.told


@pytest.mark.parametrize("told", [None, "5", float("nan")])
def test_a_clock_that_fails_later_keeps_no_queue_from_closing(tmp_path: Path, told: object) -> None:
    clock = Failing()
    queue = Queue(tmp_path / "q", codec=str, clock=clock)
    queue.put_many(["a", "b"])
    queue.take().nack(3600)
    message = queue.take()
    clock.told = told
    for call in (queue.take, lambda: message.nack(5)):
        with pytest.raises((RuntimeError, TypeError, ValueError)):
            call()
    assert [found.state for found in queue.peek()] == ["delayed", "held"]
    assert queue.stats()["delayed"] == 1
    queue.close()
    with Queue(tmp_path / "q", codec=str) as queue:
        assert [(found.item, found.state) for found in queue.peek()] == [("a", "delayed"), ("b", "waiting")]


@pytest.mark.parametrize("told", [None, "5", float("nan")])
def test_a_clock_that_fails_later_keeps_no_store_from_closing(tmp_path: Path, told: object) -> None:
    clock = Failing()
    store = Store(tmp_path / "s", clock=clock)
    store.set("a", "b", expire=3600)
    clock.told = told
    store.close()
    with Store(tmp_path / "s", clock=lambda: 2.0) as store:
        assert store["a"] == b"b"


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 2.0**70, 10**400, -1])
def test_no_delay_is_for_ever(seconds: float) -> None:
    with Queue() as queue:
        queue.put(b"a")
        message = queue.take()
        for call in (message.nack, message.extend):
            with pytest.raises(ValueError, match="below 4e"):
                call(seconds)
        assert queue.in_flight == 1
        with pytest.raises(TypeError, match="is a number of seconds, at least 0 and below 4e"):
            message.nack("5")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["q", None])
def test_what_is_acknowledged_is_not_there_to_look_at(tmp_path: Path, path: str | None) -> None:
    with Queue(path and tmp_path / path, codec=str) as queue:
        queue.put_many(["a", "b", "c", "d"])
        queue.take()
        queue.take().ack()
        assert [(found.item, found.state) for found in queue.peek(2)] == [("a", "held"), ("c", "waiting")]
        queue.put("e")
        assert [found.item for found in queue.peek()] == ["a", "c", "d", "e"]


def test_a_limit_that_is_none_is_refused_at_the_call() -> None:
    wrong: list[Any] = [float("nan"), 2.0, "x", True]
    with Queue() as queue:
        queue.put_many([b"a", b"b"])
        for limit in wrong:
            with pytest.raises(TypeError, match="limit is a number of items"):
                queue.peek(limit)
        with pytest.raises(ValueError, match="limit is a number of items, at least 0"):
            queue.peek(-1)
        assert [len(list(queue.peek(limit))) for limit in (0, 1, 2**70, None)] == [0, 1, 2, 2]


def test_a_closed_queue_says_so_at_each_call() -> None:
    queue = Queue()
    queue.put(b"a")
    queue.get()
    queue.close()
    for call in (queue.full, queue.ack, queue.nack, queue.task_done, queue.peek, queue.empty, queue.qsize):
        with pytest.raises(ClosedError):
            call()


def test_what_is_open_to_look_at_has_nothing_to_acknowledge(tmp_path: Path) -> None:
    with Queue(tmp_path / "q") as queue, Queue(tmp_path / "q", read_only=True) as view:
        queue.put(b"a")
        for call in (view.ack, view.nack, view.task_done):
            with pytest.raises(ReadOnlyError):
                call()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_iterators_of_a_forked_child_do_not_just_end(tmp_path: Path) -> None:
    with Log(tmp_path / "l") as log, Queue(tmp_path / "q") as queue, Store(tmp_path / "s", ordered=True) as store:
        log.append_many(["a", "b"])
        log.commit()
        queue.put_many(["a", "b"])
        store.update({b"a": b"b", b"c": b"d"})
        read = log.follow(timeout=0)
        assert len(list(read)) == 2
        named = log.reader("named")
        begun: list[Any] = [
            read, log.follow(), named, log.reader("following", follow=True), log.scan(), iter(log), queue.peek(),
            queue.messages(), iter(store), iter(store.items()), store.scan(), store.range(),
        ]  # fmt: skip

        awaited: list[AsyncIterator[object]] = [log.aiter(), queue.amessages()]

        async def await_all() -> int:
            return sum([await is_refused(iterator) for iterator in awaited])

        calls: list[Callable[[], object]] = [*(iterator.__next__ for iterator in begun), named.sync]
        child = os.fork()
        if child == 0:
            told = 0
            try:
                for call in calls:
                    try:
                        call()
                    except ClosedError:
                        told += 1
                told += asyncio.run(await_all())
            finally:
                os._exit(told)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(calls) + 2
        assert [data for _, data in named] == [b"a", b"b"]
        named.close()


async def is_refused(iterator: AsyncIterator[object]) -> bool:
    """Return whether the next one of an iterator is a ClosedError."""
    try:
        await anext(iterator)
    except ClosedError:
        return True
    except BaseException:
        return False
    return False
