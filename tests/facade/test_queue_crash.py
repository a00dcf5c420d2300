"""oxidbm.Queue and kill -9: every item that was put durably comes at least once, and none after its durable end.

The process under test puts, takes and acknowledges, and reports what is durable in a pipe: what was put, and what was
acknowledged before a commit. Whatever it had in flight, and what it reported nothing of, may come again or not.
"""

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import PoisonedError, Queue
from oxidbm.testing import CrashDevice, FaultyDevice, check_crashes
from tests.inside import abandon_queue
from tests.support import ROOT, soaked

PROGRAM = """
import sys, threading
import oxidbm
queue = oxidbm.Queue(sys.argv[1], codec=int, page_size="4KiB", memory="1MiB", interval=0.01, redeliver_after=30)
write = threading.Lock()
def say(word, numbers):
    with write:
        print(word, *numbers, flush=True)
def put():
    number = int(sys.argv[2])
    while True:
        numbers = list(range(number, number + 3))
        queue.put_many(numbers)
        say("put", numbers)
        number += 3
def work():
    done = []
    for message in queue.messages():
        if message.item % 11 == 0 and message.attempts == 1:
            message.nack(delay=0.001)
            continue
        if message.item % 13 == 0:
            continue  # stays in flight
        with message as item:
            done.append(item)
        if len(done) == 5:
            queue.commit()
            say("done", done)
            done = []
for target in (put, work, work):
    threading.Thread(target=target).start()
"""


def test_what_a_kill_leaves(tmp_path: Path) -> None:
    put: set[int] = set()
    done: set[int] = set()
    first = 0
    for turn in range(soaked(4, least=2)):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path / "q"), str(first)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(random.Random(turn).uniform(0.0, 0.2))
        process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
        assert process.wait() != 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stdout.close()
        process.stderr.close()
        for line in lines:
            if line.endswith("\n"):  # else it was killed in the middle of it
                word, *numbers = line.split()
                (put if word == "put" else done).update(map(int, numbers))
        first = (max(put) // 1000 + 1) * 1000  # what was put and not reported is below it
        with Queue(tmp_path / "q", codec=int, memory="1MiB") as queue:
            count = len(queue)
            left = [message.item for message in queue.messages(timeout=0)]
        assert len(left) == count == len(set(left))
        assert not done.intersection(left)
        assert put - done - set(left) <= acknowledged_unreported(put, done, left)
    assert done


def acknowledged_unreported(put: set[int], done: set[int], left: list[int]) -> set[int]:
    """Return what may be missing: acknowledged, with a commit of others, and not reported before the kill.

    Each of the two workers holds at most five of them, and one whose report was cut off.
    """
    missing = put - done - set(left)
    assert len(missing) <= 12, missing
    done |= missing
    return missing


PAGE_BYTES = 4096


def queue_on(path: str, device: CrashDevice) -> Queue[str]:
    """Open the queue whose power is cut."""
    return Queue(path, codec=str, device=device, page_size=PAGE_BYTES, memory="1MiB", interval=1000)


def work_until_power_is_cut(path: str, device: CrashDevice) -> None:
    """Put, take and acknowledge, with one item that stays out until it was moved; note what is promised."""
    with queue_on(path, device) as queue:
        queue.put("stuck")
        device.note(("put", "stuck"))
        stuck = queue.take()
        for turn in range(16):
            items = [f"{turn}.{number}" + "x" * 1500 for number in range(4)]
            queue.put_many(items)
            for item in items:
                device.note(("put", item))
            for _ in range(4):
                message = queue.take()
                device.note(("acknowledging", message.item))
                message.ack()
            if turn % 5 == 0:
                queue.commit()
                device.note(("done", message.item))
        assert stuck.delivery.address != stuck.id  # it was moved
        device.note(("acknowledging", "stuck"))
        stuck.ack()
        queue.put("last")
        device.note(("put", "last"))
        device.note(("done", "stuck"))


def look_at_what_is_left(path: str, device: CrashDevice, notes: list[Any]) -> None:
    """Every item whose put had returned is there unless it was acknowledged, and none whose end was durable."""
    said: dict[str, set[str]] = {"put": set(), "acknowledging": set(), "done": set()}
    for word, item in notes:
        said[word].add(item)
    with queue_on(path, device) as queue:
        count = len(queue)
        left = [message.item for message in queue.messages(timeout=0)]
    assert len(set(left)) == len(left) == count
    assert said["put"] - said["acknowledging"] <= set(left)
    assert not said["done"].intersection(left)


@pytest.mark.compiled_only("hundreds of recoveries")
def test_what_a_power_cut_leaves() -> None:
    assert check_crashes(work_until_power_is_cut, look_at_what_is_left, limit=300, page_bytes=PAGE_BYTES) > 100


def test_a_sync_that_fails(tmp_path: Path) -> None:
    memory = CrashDevice(PAGE_BYTES)
    device: Any = FaultyDevice(memory)
    queue = queue_on(str(tmp_path / "q"), device)
    queue.put_many(["a", "b"])
    message = queue.take()
    device.fail("sync", errno.EIO)
    with pytest.raises(PoisonedError):
        queue.put("c")
    with pytest.raises(PoisonedError):
        queue.put("d")
    with pytest.raises(PoisonedError):
        message.ack()
    assert (len(queue), queue.take().item, queue.in_flight) == (2, "b", 2)
    with pytest.raises(PoisonedError):
        queue.close()
    assert queue.closed
    with queue_on(str(tmp_path / "q"), memory.crash()) as queue:
        assert [message.item for message in queue.messages(timeout=0)][:2] == ["a", "b"]


@pytest.mark.parametrize("acks", [0, 1, 3])
def test_what_a_crash_leaves_of_a_queue(tmp_path: Path, acks: int) -> None:
    with Queue(tmp_path / "q", codec=int, durability="manual") as queue:
        queue.put_many(range(5))
        messages = [queue.take() for _ in range(4)]
        for message in messages[:acks]:
            message.ack()
        queue.commit()
        messages[-1].ack()  # which no commit says
        queue.put(5)
        abandon_queue(queue)
    with Queue(tmp_path / "q", codec=int) as queue:
        assert [message.item for message in queue.messages(timeout=0)] == list(range(acks, 5))


def test_a_put_is_durable_when_it_returns_and_an_acknowledgement_soon(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", codec=int, interval=0.01) as queue:
        queue.put_many([1, 2])
        queue.take().ack()
        while queue.exchange.deliveries.owed:
            time.sleep(0.002)
        tail = queue.log.tail
        while queue.log.committed < tail:
            time.sleep(0.002)
        abandon_queue(queue)
    with Queue(tmp_path / "q", codec=int) as queue:
        assert queue.get() == 2
        with pytest.raises(oxidbm.queue.Empty):
            queue.get_nowait()


def test_two_processes(tmp_path: Path) -> None:
    program = "import sys, oxidbm\ntry:\n    oxidbm.Queue(sys.argv[1])\nexcept oxidbm.LockedError:\n    print('locked')"
    with Queue(tmp_path / "q") as queue:
        queue.put(b"a")
        command = [sys.executable, "-c", program, str(tmp_path / "q")]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ))
        assert result.stdout == "locked\n"
        assert queue.get() == b"a"
