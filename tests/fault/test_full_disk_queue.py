"""A queue on a disk that is full: puts are refused in time, and what is there can be taken, acknowledged, durably."""

import errno
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Queue
from tests.inside import abandon_queue


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
