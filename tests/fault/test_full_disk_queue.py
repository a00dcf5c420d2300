"""A queue on a disk that is full: puts are refused in time, and what is there can be taken, acknowledged, durably."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Queue
from tests.inside import abandon_queue


@pytest.mark.parametrize("durability", ["manual", "interval", "always"])
@pytest.mark.parametrize("left", [0, 300_000, 900_000])
def test_a_disk_that_others_fill_is_seen(small_disk: Path, durability: Any, left: int) -> None:
    with Queue(small_disk / "q", durability=durability, memory="1MiB", page_size="64KiB") as queue:
        queue.put(b"x" * 1000)
        queue.commit()
        for _ in range(100):  # the looks of the first puts are over, however little they have to wait for one
            queue.put(b"x" * 1000)
        found = os.statvfs(small_disk)
        kept = found.f_blocks * found.f_frsize // 8
        with open(small_disk / "others", "wb") as file:
            file.write(bytes(found.f_bavail * found.f_frsize - kept - left))

        def fill() -> None:
            for _ in range(2000):
                queue.put(b"x" * 1000)

        with pytest.raises(OSError, match="nothing was put") as raised:
            fill()
        assert raised.value.errno == errno.ENOSPC
        for message in queue.messages(timeout=0):
            message.ack()
        queue.commit()
        assert queue.join(timeout=0)


@pytest.mark.parametrize("durability", ["manual", "always"])
@pytest.mark.parametrize("size", [10, 1000])
def test_a_full_queue_can_be_emptied(small_disk: Path, durability: Any, size: int) -> None:
    path = small_disk / "q"

    def opened() -> Queue[bytes]:
        return Queue(path, durability=durability, memory="1MiB", page_size="64KiB")

    queue = opened()

    def fill() -> None:
        while True:
            queue.put_many([b"x" * size] * 100)

    with pytest.raises(OSError, match="nothing was put") as raised:
        fill()
    assert raised.value.errno == errno.ENOSPC
    assert len(queue) * (size + 40) > 2_000_000
    held = queue.take() if size > 10 else None  # then the log cannot begin behind what is acknowledged
    for number, message in enumerate(queue.messages(timeout=0)):
        message.ack()
        if number % 1000 == 999:
            queue.commit()
    if held is not None:
        held.ack()
    queue.commit()
    assert queue.join(timeout=0)
    abandon_queue(queue)
    with opened() as queue:
        assert len(queue) == 0
        assert queue.check() == []
