"""oxidbm.Queue in asyncio: waiting tasks let others run, and one that is cancelled loses nothing."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from queue import Empty, Full
from typing import Any

import pytest

from oxidbm import ClosedError, Queue
from oxidbm._queue_helper import Helper
from oxidbm.queue import ShutDown
from tests.support import scaled


async def begun(queue: Queue[Any], call: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """Return a task once it waits."""
    lines = (queue.exchange.takers, queue.exchange.putters)
    before = sum(len(line.line) for line in lines)
    task = asyncio.create_task(call)
    while sum(len(line.line) for line in lines) == before:
        await asyncio.sleep(0)
    return task


def test_put_and_get(tmp_path: Path) -> None:
    async def run() -> None:
        with Queue(tmp_path / "q", codec=str) as queue:
            waiting = await begun(queue, queue.aget())
            await queue.aput("a")
            assert await waiting == "a"
            await queue.aput("b")
            message = await queue.atake()
            with message as item:
                assert item == "b"
            assert queue.in_flight == 1

    asyncio.run(run())
    with Queue(tmp_path / "q", codec=str) as queue:
        assert queue.get() == "a"


def test_a_task_acknowledges_its_own() -> None:
    async def work(queue: Queue[bytes], done: list[bytes]) -> None:
        item = await queue.aget()
        await asyncio.sleep(0)
        assert queue.ack()
        done.append(item)
        with pytest.raises(ValueError, match="more often"):
            queue.task_done()

    async def run() -> None:
        done: list[bytes] = []
        with Queue() as queue:
            queue.put_many([b"a", b"b", b"c"])
            assert queue.get() == b"a"  # the thread's
            await asyncio.gather(*(work(queue, done) for _ in range(2)))
            assert sorted(done) == [b"b", b"c"]
            assert queue.in_flight == 1
            assert queue.ack()
            assert queue.join(timeout=0)

    asyncio.run(run())


def test_timeouts() -> None:
    async def run() -> None:
        with Queue(maxsize=1) as queue:
            for timeout in (0, 0.01):
                with pytest.raises(Empty):
                    await queue.atake(timeout)
            await queue.aput(b"a")
            for timeout in (0, 0.01):
                with pytest.raises(Full):
                    await queue.aput(b"b", timeout)
            assert queue.qsize() == 1
            assert not queue.exchange.takers
            assert not queue.exchange.putters

    asyncio.run(run())


def test_a_task_is_woken_by_a_thread_and_by_a_deadline() -> None:
    async def run() -> None:
        with Queue(redeliver_after=0.02) as queue:
            waiting = await begun(queue, queue.atake())
            thread = threading.Thread(target=queue.put, args=(b"a",))
            thread.start()
            first = await waiting
            again = await queue.atake()
            assert (again.id, again.attempts) == (first.id, 2)
            thread.join()

    asyncio.run(run())


def test_a_cancelled_task_passes_on_what_it_was_woken_for() -> None:
    async def run() -> None:
        with Queue(maxsize=1) as queue:
            first = await begun(queue, queue.aget())
            second = await begun(queue, queue.aget())
            queue.put(b"a")  # which wakes the first one
            first.cancel()
            assert await second == b"a"
            queue.put(b"b")
            putters = [await begun(queue, queue.aput(item)) for item in (b"c", b"d")]
            assert await queue.aget() == b"b"
            putters[0].cancel()
            await putters[1]
            assert [await queue.aget(), queue.qsize()] == [b"d", 0]

    asyncio.run(run())


def test_cancellation_at_every_moment_loses_nothing(tmp_path: Path) -> None:
    count = scaled(300, least=40)

    async def run(queue: Queue[int]) -> list[int]:
        got = []

        async def work() -> None:
            while True:
                message = await queue.atake()
                got.append(message.item)
                message.ack()

        for number in range(count):
            tasks = [asyncio.create_task(work()) for _ in range(3)]
            putter = asyncio.create_task(queue.aput(number))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await putter
            await asyncio.gather(*tasks, return_exceptions=True)
        while not queue.empty():
            got.append((await queue.atake()).item)
        return got

    with Queue(tmp_path / "q", codec=int, durability="manual") as queue:
        assert sorted(asyncio.run(run(queue))) == list(range(count))


def test_what_is_on_disk_is_read_by_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = scaled(2000, least=200)
    with Queue(tmp_path / "q", codec=int) as queue:
        queue.put_many(range(count))
    threads: list[str] = []
    inside = Helper.run

    async def counted(helper: Helper, function: Callable[[], object], *others: Any) -> None:
        def noted() -> None:
            threads.append(threading.current_thread().name)
            function()

        await inside(helper, noted, *others)

    monkeypatch.setattr(Helper, "run", counted)

    async def run(queue: Queue[int]) -> list[int]:
        return [(await queue.atake(0)).item for _ in range(count)]

    with Queue(tmp_path / "q", codec=int) as queue:
        assert asyncio.run(run(queue)) == list(range(count))
    assert threads
    assert set(threads) == {"oxidbm-queue"}


def test_a_full_memory_is_waited_for_by_another_thread(tmp_path: Path) -> None:
    count = 30

    async def run(queue: Queue[bytes]) -> None:
        await asyncio.gather(*(queue.aput(b"%5d" % number * 20_000) for number in range(count)))

    with Queue(tmp_path / "q", memory="1MiB", page_size="64KiB", durability="manual") as queue:
        asyncio.run(run(queue))
        assert sorted(message.item[:5] for message in queue.messages(0)) == [b"%5d" % number for number in range(count)]


def test_closing_tells_a_task() -> None:
    async def run() -> None:
        queue: Queue[bytes] = Queue()
        waiting = await begun(queue, queue.aget())
        queue.close()
        with pytest.raises(ClosedError):
            await waiting
        with pytest.raises(ClosedError):
            await queue.aput(b"a")

    asyncio.run(run())


def test_a_loop_that_has_ended_is_passed_over() -> None:
    async def leave(queue: Queue[bytes]) -> None:
        await begun(queue, queue.aget())

    with Queue() as queue:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave(queue))
        tasks = asyncio.all_tasks(loop)
        loop.close()
        thread = threading.Thread(target=queue.get)
        thread.start()
        while len(queue.exchange.takers.line) < 2:
            pass
        queue.put(b"a")
        thread.join()
        assert queue.in_flight == 1
        for task in tasks:
            task.get_coro().close()


def test_blocks_and_loops_of_tasks(tmp_path: Path) -> None:
    async def work(queue: Queue[str], done: list[str]) -> None:
        async for message in queue.amessages():
            async with message as item:
                await asyncio.sleep(0)
                if item == "b" and message.attempts == 1:
                    queue.shutdown()
                    raise ValueError
                done.append(item)

    async def run() -> None:
        done: list[str] = []
        async with Queue(tmp_path / "q", codec=str) as queue:
            assert await queue.ajoin()
            for item in ("a", "b", "c"):
                await queue.aput(item)
            workers = [asyncio.create_task(work(queue, done)) for _ in range(2)]
            results = await asyncio.gather(*workers, return_exceptions=True)
            assert sorted(str(type(result)) for result in results) == ["<class 'NoneType'>", "<class 'ValueError'>"]
            assert await queue.ajoin()
            for call in (queue.atake(), queue.aput("d")):
                with pytest.raises(ShutDown):
                    await call
            assert [message async for message in queue.amessages()] == []
            assert await queue.ajoin(timeout=0)
        assert queue.closed
        assert sorted(done) == ["a", "b", "c"]

    asyncio.run(run())


def test_a_task_waits_for_all_to_be_done() -> None:
    async def run() -> None:
        async with Queue() as queue:
            queue.put(b"a")
            message = queue.take()
            assert not await queue.ajoin(timeout=0.01)
            waiting = asyncio.create_task(queue.ajoin())
            while not queue.exchange.joiners:
                await asyncio.sleep(0)
            message.ack()
            assert await waiting

    asyncio.run(run())


def test_acknowledgements_wait_for_no_room(tmp_path: Path) -> None:
    async def run() -> None:
        async with Queue(tmp_path / "q", durability="manual", memory="1MiB") as queue:
            for _ in range(scaled(300, least=50)):
                await queue.aput(b"x" * 20_000)
            for _ in range(scaled(300, least=50)):
                message = await queue.atake(0)
                async with message:
                    pass
                assert not message.ack()
            assert await queue.ajoin(timeout=0)

    asyncio.run(run())
    with Queue(tmp_path / "q") as queue:
        assert len(queue) == 0


@pytest.mark.parametrize("end", ["close", "thread", "with"])
@pytest.mark.parametrize("call", ["atake", "aget", "amessages"])
def test_closing_tells_tasks_also_where_the_thread_for_them_has_begun(tmp_path: Path, end: str, call: str) -> None:
    async def work(queue: Queue[bytes]) -> None:
        if call == "amessages":
            async for message in queue.amessages():
                message.ack()
        else:
            await getattr(queue, call)()

    async def run() -> None:
        queue = Queue(tmp_path / "q")
        await queue.aput(b"a")
        (await queue.atake()).ack()
        task = await begun(queue, work(queue))
        if end == "close":
            queue.close()
        elif end == "thread":
            await asyncio.to_thread(queue.close)
        else:
            async with queue:
                pass
        done, _ = await asyncio.wait([task], timeout=30)
        assert done
        if call == "amessages":
            await task
        else:
            with pytest.raises(ClosedError):
                await task

    asyncio.run(run())


def test_a_job_that_comes_when_the_thread_ends_is_done() -> None:
    async def run() -> None:
        helper = Helper()
        helper.stop()
        helper.thread.join()
        done: list[int] = []
        await asyncio.wait_for(helper.run(lambda: done.append(1)), 30)
        assert done == [1]

    asyncio.run(run())


@pytest.mark.parametrize("times", [1, 3])
def test_a_task_that_is_cancelled_while_its_queue_is_closed_ends_behind_that(times: int, tmp_path: Path) -> None:
    closing, going = threading.Event(), threading.Event()

    class Slow(Queue[bytes]):
        def close(self) -> None:
            closing.set()
            going.wait()
            super().close()

    async def work() -> None:
        async with Slow(tmp_path / "q", durability="manual") as queue:
            queue.put(b"a")

    async def run() -> None:
        task = asyncio.create_task(work())
        while not closing.is_set():
            await asyncio.sleep(0)
        for _ in range(times):
            task.cancel()
            for _ in range(20):
                await asyncio.sleep(0)
        ended = task.done()
        going.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not ended
        with Queue(tmp_path / "q") as queue:
            assert len(queue) == 1

    asyncio.run(run())
