"""oxidbm.Queue and its end, whoever brings it about: what was put, acknowledged and given back before is said."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from oxidbm import ClosedError, Queue
from tests.facade.queues import Clock, drain
from tests.support import ROOT, scaled

DURABILITIES = ["manual", "interval", "always"]
Durability = Literal["manual", "interval", "always"]

WORK = """
import gc, os, signal, sys, threading
import oxidbm
queue = oxidbm.Queue(sys.argv[1], codec=int, durability=sys.argv[2], interval=1000)
queue.put(0)
queue.take().ack()
queue.put_many(range(1, 11))
messages = [queue.take() for _ in range(4)]
messages[0].ack()
messages[1].nack(delay=3600)
messages[2].nack()
"""
ENDS = {
    "exit": "sys.exit(0)",
    "end": "",
    "in a function": "def work(queue):\n    sys.exit(0)\nwork(queue)",
    "signal": (
        "signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "threading.Event().wait()"
    ),
    "nobody holds it": "del queue, messages\nos._exit(0)",
    "garbage": "messages.append(messages)\ndel queue, messages\ngc.collect()\nos._exit(0)",
}


def run(program: str, path: Path, durability: str) -> str:
    """Run a program to its end, which is to say nothing of a failure; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), durability],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def left_in(path: Path) -> dict[int, int]:
    """Return the items that are left, each with its attempts."""
    with Queue(path, codec=int) as queue:
        found = [(one.item, one.attempts) for one in queue.peek()]
        assert queue.check() == []
    assert len(dict(found)) == len(found)
    return dict(found)


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_is_not_a_crash_loses_nothing(tmp_path: Path, end: str, durability: str) -> None:
    run(WORK + ENDS[end], tmp_path / "q", durability)
    assert left_in(tmp_path / "q") == {2: 1, 3: 1, 4: 1, **dict.fromkeys(range(5, 11), 0)}
    with Queue(tmp_path / "q", codec=int) as queue:
        assert queue.stats()["delayed"] == 1


@pytest.mark.parametrize(("durability", "left"), [("manual", []), ("interval", []), ("always", list(range(1, 11)))])
def test_a_crash_loses_what_is_not_durable(tmp_path: Path, durability: str, left: list[int]) -> None:
    run(WORK + "os._exit(0)", tmp_path / "q", durability)
    assert list(left_in(tmp_path / "q")) == left


def test_threads_that_work_when_the_process_ends(tmp_path: Path) -> None:
    """What was acknowledged by a thread that nobody waits for does not come again, and all else does.

    The thread may go on for a moment after the exit has closed the queue, and then it is told so.
    """
    program = (
        "import contextlib, oxidbm, os, sys, threading\n"
        "queue = oxidbm.Queue(sys.argv[1], codec=int, durability=sys.argv[2], interval=0.01)\n"
        "queue.put_many(range(20000))\n"
        "begun = threading.Event()\n"
        "def work():\n"
        "    with contextlib.suppress(oxidbm.ClosedError):\n"
        "        for message in queue.messages():\n"
        "            number = message.item\n"
        "            if message.ack():\n"
        "                os.write(1, b'%d ' % number)\n"
        "            if number == 50:\n"
        "                begun.set()\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "begun.wait()\n"
    )
    done = [int(word) for word in run(program, tmp_path / "q", "interval").split()]
    assert len(done) > 50
    left = list(left_in(tmp_path / "q"))
    assert left == list(range(left[0], 20000))
    assert done == list(range(len(done)))
    assert len(done) <= left[0] <= len(done) + 1  # the thread may have ended before it could say the last one


def close_beside_calls(path: Path, durability: Durability, seconds: float) -> None:
    """Close a queue so long after others have begun to use it: each of their calls counts, or raises ClosedError."""
    queue = Queue(path, codec=int, durability=durability, interval=0.002, memory="1MiB", page_size="4KiB")
    queue.put_many(range(1500))
    messages = [queue.take() for _ in range(1000)]
    acked: list[int] = []
    delayed: list[int] = []
    put: list[int] = []

    def acknowledge() -> None:
        with contextlib.suppress(ClosedError):
            acked.extend(message.item for message in messages[:600] if message.ack())

    def give_back() -> None:
        with contextlib.suppress(ClosedError):
            delayed.extend(message.item for message in messages[600:] if message.nack(delay=3600))

    def put_more() -> None:
        with contextlib.suppress(ClosedError):
            for number in range(10_000, 100_000):
                queue.put(number)
                put.append(number)

    threads = [threading.Thread(target=work) for work in (acknowledge, give_back, put_more)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    queue.close()
    for thread in threads:
        thread.join()
    with Queue(path, codec=int) as queue:
        left = {one.item: one.state for one in queue.peek()}
        assert queue.check() == []
    assert left.keys() & range(1500) == set(range(1500)) - set(acked)
    assert {number for number, state in left.items() if state == "delayed"} == set(delayed)
    assert left.keys() >= set(put)
    assert len(left.keys() - range(1500) - set(put)) <= (durability == "always")  # whose commit was that of close()


@pytest.mark.parametrize("durability", DURABILITIES)
def test_what_happens_while_a_queue_is_closed(tmp_path: Path, durability: Durability) -> None:
    for turn in range(scaled(20, 4)):
        close_beside_calls(tmp_path / f"q{turn}", durability, turn % 10 * 1e-4)


def test_after_the_end_every_call_says_so(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", codec=int)
    queue.put_many([1, 2, 3])
    message, held = queue.take(), queue.get()
    queue.close()
    calls: list[Callable[[], object]] = [
        message.ack, message.nack, lambda: message.extend(5), queue.task_done, queue.nack, queue.take, queue.get,
        lambda: queue.put(4), queue.commit, queue.shutdown, queue.join,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ClosedError, match="is closed; open it again"):
            call()
    assert held == 2
    with Queue(tmp_path / "q", codec=int) as queue:
        assert drain(queue) == [1, 2, 3]


def test_a_log_that_is_closed_itself_says_what_the_queue_has_to_say(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", codec=int)
    queue.put_many([1, 2])
    queue.take().ack()
    queue.log.close()
    assert queue.closed
    assert left_in(tmp_path / "q") == {2: 0}


def test_notes_are_said_however_little_memory_there_is(tmp_path: Path) -> None:
    count = scaled(30_000, 3000)
    with Queue(tmp_path / "q", codec=int, durability="manual", memory="1MiB", page_size="4KiB") as queue:
        queue.put_many(range(count))
        for message in [queue.take() for _ in range(count)]:
            message.nack(delay=3600)
    with Queue(tmp_path / "q", codec=int) as queue:
        assert (len(queue), queue.stats()["delayed"]) == (count, count)


@pytest.mark.parametrize("path", [None, "q"])
def test_a_closed_queue_is_in_no_circle(tmp_path: Path, path: str | None) -> None:
    gc.collect()
    gc.disable()
    try:
        clock = Clock()
        known = weakref.ref(clock)  # which the queue holds, far below its face
        queue = Queue(path and tmp_path / path, codec=int, clock=clock)
        queue.put_many([1, 2])
        queue.take().ack()
        del clock
        assert known() is not None
        queue.close()
        del queue
        assert known() is None
    finally:
        gc.enable()


def test_a_queue_that_nobody_holds_is_closed_but_not_while_it_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "q"
    Queue(path, codec=int, durability="manual").put_many(range(5))
    looking = Queue(path, codec=int).peek()
    assert next(looking).item == 0
    assert [one.item for one in looking] == [1, 2, 3, 4]
    del looking
    message = Queue(path, codec=int).take()
    assert message.ack()
    del message
    assert list(left_in(path)) == [1, 2, 3, 4]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_ends_nothing(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", codec=int) as queue:
        queue.put_many([1, 2])
        message = queue.take()
        child = os.fork()
        if child == 0:
            try:
                queue.close()
                del queue, message
                gc.collect()
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert message.ack()
        assert drain(queue) == [2]


def test_an_opening_that_fails_leaves_nothing_to_close(tmp_path: Path) -> None:
    def broken() -> Any:
        raise RuntimeError("no clock")

    with pytest.raises(RuntimeError, match="no clock"):
        Queue(tmp_path / "q", clock=broken)
    with Queue(tmp_path / "q") as queue:
        assert len(queue) == 0
