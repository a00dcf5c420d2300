"""Looking at a queue beside those who take from it: what is truncated meanwhile is no damage."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oxidbm import Queue
from oxidbm.queue import Empty

COUNT = 1200
AT_ONCE = 7

pytestmark = pytest.mark.skipif(not hasattr(os, "pread"), reason="needs reads that can be stood in for")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue[bytes]]:
    """A queue most of whose items are on disk, some of them acknowledged behind one that is out."""
    with Queue(tmp_path / "q", durability="manual", memory="1MiB", page_size=4096, interval=0.001) as queue:
        queue.put_many([b"%06d" % number + bytes(2000) for number in range(COUNT)])
        queue.commit()
        yield queue


@contextmanager
def beside_reads(monkeypatch: pytest.MonkeyPatch, each: int, does: Callable[[], None]) -> Iterator[list[int]]:
    """Have something be done in the middle of each so many reads of the disk, and not while it is done."""
    real = os.pread
    reads = [0]
    within = [False]

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        found = real(descriptor, size, offset)
        reads[0] += 1
        if reads[0] % each == 0 and not within[0]:
            within[0] = True
            does()
            within[0] = False
        return found

    monkeypatch.setattr(os, "pread", pread)
    yield reads
    monkeypatch.undo()


@pytest.mark.parametrize("each", [1, 2, 5])
@pytest.mark.parametrize("look", ["peek", "check"])
def test_what_is_acknowledged_meanwhile_is_no_damage(
    look: str, each: int, queue: Queue[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = queue.take()
    for _ in range(20):
        queue.take().ack()
    queue.commit()

    def work() -> None:
        if held.ack():  # from here on the log is truncated
            return
        for _ in range(AT_ONCE):
            try:
                queue.take(block=False).ack()
            except Empty:
                return
        queue.put(b"more" + bytes(2000))
        queue.commit()

    for _ in range(5):
        with beside_reads(monkeypatch, each, work) as reads:
            if look == "peek":
                for peeked in queue.peek():
                    assert len(peeked.item) > 2000
            else:
                assert queue.check() == []
        assert reads[0] > 0
    assert queue.check() == []
    left = sum(1 for _ in queue.peek())
    assert left == len(queue) + queue.in_flight
