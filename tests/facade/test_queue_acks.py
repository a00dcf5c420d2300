"""Acknowledgements: said by where the log begins, by entries only where that does not say it; and a full disk."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Queue
from oxidbm._core.queue.entries import ACK, ADDRESS
from oxidbm._core.queue.exchange import OWED_MAX
from oxidbm._core.queue.reserve import RESERVE_BYTES
from tests.facade.queues import drain
from tests.inside import abandon_queue
from tests.support import Free, scaled


def acks_in(queue: Queue[Any]) -> int:
    """Return how many acknowledgements the log's entries have."""
    entries: Any = queue.log.scan(uncommitted=True)
    return sum(len(entry) // ADDRESS.size for _, entry in entries if entry[:1] == ACK)


def test_in_order_they_take_no_entries(tmp_path: Path) -> None:
    count = scaled(1000, 200)
    with Queue(tmp_path / "q", codec=int, durability="manual") as queue:
        queue.put_many(range(count))
        for number in range(count // 2):
            message = queue.take()
            assert message.item == number
            message.ack()
        assert acks_in(queue) == 0
        queue.commit()
        assert acks_in(queue) == 1  # the one of the last item that was taken: what comes behind it was not looked at
        assert len(queue.log) == count // 2 + 2
        queue.put(count)
        abandon_queue(queue)
    with Queue(tmp_path / "q", codec=int) as queue:
        assert drain(queue) == list(range(count // 2, count))


def test_out_of_order_they_are_entries(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", codec=int, durability="manual") as queue:
        queue.put_many(range(10))
        messages = [queue.take() for _ in range(10)]
        for message in messages[3:]:
            message.ack()
        queue.commit()
        assert acks_in(queue) == 7
        abandon_queue(queue)
    with Queue(tmp_path / "q", codec=int) as queue:
        assert drain(queue) == [0, 1, 2]


def test_many_of_them_are_said_without_a_commit(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", codec=int, durability="manual") as queue:
        queue.put_many(range(OWED_MAX + 10))
        for message in [queue.take() for _ in range(OWED_MAX + 10)][1:]:
            message.ack()
        assert acks_in(queue) == OWED_MAX
        assert len(queue.exchange.deliveries.owed) == 9


def test_a_close_says_all_of_them_however_little_memory_there_is(tmp_path: Path) -> None:
    count = scaled(2000, 300)
    with Queue(tmp_path / "q", durability="manual", memory="1MiB", page_size="64KiB") as queue:
        queue.put_many(b"%20000d" % number for number in range(count // 20))
        messages = [queue.take() for _ in range(count // 20)]
        for message in messages[1:]:
            message.ack()
    with Queue(tmp_path / "q") as queue:
        assert [int(item) for item in drain(queue)] == [0]


def test_a_put_leaves_the_reserve(tmp_path: Path, free: Free) -> None:
    with Queue(tmp_path / "q") as queue:
        free(RESERVE_BYTES + 100)
        queue.put(b"x" * 10)
        for items in ([b"x" * 200], [b"x" * 20] * 5):
            with pytest.raises(OSError, match="the disk has 4194404 bytes free") as raised:
                queue.put_many(items)
            assert raised.value.errno == errno.ENOSPC
            assert raised.value.filename == str(tmp_path / "q")
        assert len(queue) == 1
        free(0)
        with pytest.raises(OSError, match="nothing was put"):
            queue.put(b"")
        assert drain(queue) == [b"x" * 10]
        queue.commit()
        assert queue.join(timeout=0)
        free(RESERVE_BYTES * 2)
        queue.put(b"again")
        assert drain(queue) == [b"again"]


def test_what_is_not_written_yet_counts(tmp_path: Path, free: Free) -> None:
    with Queue(tmp_path / "q", durability="manual") as queue:
        free(RESERVE_BYTES + 100_000)
        for _ in range(5):
            queue.put(b"x" * 10_000)
        with pytest.raises(OSError, match="nothing was put"):
            queue.put(b"x" * 60_000)
        assert len(queue) == 5


def test_in_a_task(tmp_path: Path, free: Free) -> None:
    async def run() -> None:
        async with Queue(tmp_path / "q") as queue:
            free(0)
            with pytest.raises(OSError, match="nothing was put"):
                await queue.aput(b"x")
            free(1 << 30)
            await queue.aput(b"x")
            assert await queue.aget() == b"x"

    asyncio.run(run())


def test_a_disk_that_does_not_tell_is_not_asked_for_a_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_path: str) -> os.statvfs_result:
        raise OSError(errno.ENOSYS, "not here")

    monkeypatch.setattr(os, "statvfs", failing)
    with Queue(tmp_path / "q") as queue:
        queue.put(b"x")
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result([0] * 10))
    with Queue(tmp_path / "q") as queue:
        queue.put(b"y")
        assert drain(queue) == [b"x", b"y"]
    with Queue() as queue:
        queue.put(b"in memory")
