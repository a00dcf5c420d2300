"""Items that are put to wait for a while first: when they come, also after a close or a crash, and who waits."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Queue
from oxidbm.queue import Empty, Full
from tests.facade.queues import Clock
from tests.inside import abandon_queue
from tests.support import scaled


@pytest.fixture(params=["path", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """The path of a queue, or none for one in memory."""
    return tmp_path / "q" if request.param == "path" else None


def items(queue: Queue[bytes]) -> Iterator[bytes]:
    """Take what can be taken now."""
    return (message.item for message in queue.messages(timeout=0))


def test_it_comes_when_its_time_has_come(place: Path | None) -> None:
    clock = Clock()
    with Queue(place, clock=clock) as queue:
        queue.put(b"later", delay=10)
        queue.put(b"now")
        queue.put("soon", delay=5)
        assert (len(queue), queue.stats()["delayed"]) == (3, 2)
        assert [(one.item, one.state, one.attempts) for one in queue.peek()] == [
            (b"later", "delayed", 0),
            (b"now", "waiting", 0),
            (b"soon", "delayed", 0),
        ]
        assert list(items(queue)) == [b"now"]
        clock.now += 5
        queue.put(b"last")
        assert [one.state for one in queue.peek()] == ["delayed", "held", "waiting", "waiting"]
        assert list(items(queue)) == [b"soon", b"last"]
        with pytest.raises(Empty):
            queue.get(timeout=0.001)
        clock.now += 5
        message = queue.take(timeout=0)
        assert (message.item, message.attempts) == (b"later", 1)
        message.ack()
        assert queue.check() == []


@pytest.mark.parametrize("crash", [True, False])
def test_it_waits_on_where_the_queue_was_closed(crash: bool, tmp_path: Path) -> None:
    clock = Clock()
    queue: Queue[bytes] = Queue(tmp_path / "q", clock=clock)
    queue.put(b"later", delay=60)
    queue.put(b"now")
    if crash:
        abandon_queue(queue)
    else:
        queue.close()
    with Queue(tmp_path / "q", read_only=True) as view:
        assert [one.state for one in view.peek()] == ["delayed", "waiting"]
        assert view.stats()["delayed"] == 1
    with Queue(tmp_path / "q", clock=clock) as queue:
        assert queue.stats()["delayed"] == 1
        assert list(items(queue)) == [b"now"]
        clock.now += 60
        assert list(items(queue)) == [b"later"]
        assert queue.check() == []


def test_when_its_time_comes_is_seen(tmp_path: Path) -> None:
    """By the system's clock, also beside the process that has the queue, and of items that were given back."""
    clock = Clock()
    with Queue(tmp_path / "q", clock=clock) as queue:
        queue.put_many([b"again", b"now"])
        queue.take().nack(delay=100)
        begun = time.time()
        queue.put(b"later", delay=1000)
        queue.commit()
        with Queue(tmp_path / "q", read_only=True) as view:
            for looked in (queue, view):
                again, now, later = looked.peek()
                assert now.due is None
                assert again.due is not None
                assert later.due is not None
                assert 90 < again.due - begun < 200
                assert 990 < later.due - begun < 1100
        clock.now += 500
        again, now, later = queue.peek()
        assert (again.state, again.due, now.due) == ("waiting", None, None)
        assert later.due is not None
        assert later.due < time.time() + 501


def test_who_waits_gets_it_in_time(place: Path | None) -> None:
    with Queue(place) as queue:
        found: list[bytes] = []
        thread = threading.Thread(target=lambda: found.append(queue.get(timeout=60)))
        thread.start()
        queue.put(b"soon", delay=0.05)
        thread.join(60)
        assert found == [b"soon"]


def test_it_counts_as_an_item_that_waits(place: Path | None) -> None:
    clock = Clock()
    with Queue(place, maxsize=2, clock=clock) as queue:
        queue.put(b"a", delay=1)
        queue.put(b"b", delay=1)
        with pytest.raises(Full):
            queue.put(b"c", block=False, delay=1)
        assert not queue.join(timeout=0)
        clock.now += 1
        for message in queue.messages(timeout=0):
            message.ack()
        assert queue.join(timeout=0)
        queue.shutdown()
        with pytest.raises(oxidbm.queue.ShutDown):
            queue.put(b"d", delay=1)


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "1", None, True])
def test_a_delay_that_is_none(wrong: Any) -> None:
    with Queue() as queue:
        with pytest.raises((TypeError, ValueError), match="delay is a number of seconds"):
            queue.put(b"a", delay=wrong)
        assert len(queue) == 0


def test_more_of_them_than_there_is_memory_for(tmp_path: Path) -> None:
    """And items that are larger than a page."""
    clock = Clock()
    count = scaled(2000, 200)
    wanted = [b"%d." % number + bytes(9000 if number % 50 == 0 else 900) for number in range(count)]
    with Queue(tmp_path / "q", memory="1MiB", page_size=4096, durability="manual", clock=clock) as queue:
        for number, item in enumerate(wanted):
            queue.put(item, delay=1 + number % 2)
        assert queue.stats()["delayed"] == count
        assert list(items(queue)) == []
        clock.now += 1
        assert list(items(queue)) == wanted[::2]
    with Queue(tmp_path / "q", memory="1MiB", page_size=4096, clock=clock) as queue:
        clock.now += 2
        assert sorted(items(queue)) == sorted(wanted)
        assert queue.check() == []


def test_nothing_is_kept_of_what_could_not_be_put() -> None:
    with Queue(memory="1MiB", page_size=4096) as queue:
        with contextlib.suppress(oxidbm.FullError):
            for _ in range(5000):
                queue.put(bytes(1000), delay=10)
        count = len(queue)
        assert 0 < count < 5000
        assert count == len(list(queue.peek())) == queue.stats()["delayed"]
