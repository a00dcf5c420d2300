"""A damaged oxidbm.Queue: what is sound still comes, what is done is not missed, and no damage is passed in silence."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from oxidbm import CorruptionError, Queue
from oxidbm._core.queue.entries import ACK, ADDRESS, ITEM
from oxidbm._core.queue.queue_log import QueueLog
from oxidbm.queue import Message, SkippedWarning
from tests.facade.queues import drain, flip
from tests.inside import abandon_queue
from tests.support import scaled

COUNT = 100


def item_of(number: int) -> bytes:
    return b"item %05d" % number + bytes(100)


def large_item(number: int) -> bytes:
    """Return one of which 600 are more than fits into a mebibyte of memory."""
    return b"item %05d" % number + bytes(3000)


def skipping(path: Path) -> Queue[bytes]:
    """Open a queue that has damage, which it says, and passes over."""
    with pytest.warns(SkippedWarning, match="passed over"):
        return Queue(path, on_error="skip")


def filled(path: Path, done: int = 0) -> None:
    """Make a queue with some items of which one that stays out, and the first of the others, are not acknowledged."""
    with Queue(path, durability="manual") as queue:
        queue.put_many(map(item_of, range(COUNT)))
        queue.take()
        for _ in range(done):
            queue.take().ack()


@pytest.mark.parametrize("number", [1, COUNT // 2, COUNT - 1])
def test_a_damaged_item_is_told_and_passed_over_where_asked(tmp_path: Path, number: int) -> None:
    path = tmp_path / "q"
    filled(path)
    flip(path, b"item %05d" % number)
    with pytest.raises(CorruptionError, match=r'checksum.*open the queue with on_error="skip"'):
        Queue(path)
    for _ in range(2):  # it is there the second time, too
        with pytest.warns(SkippedWarning, match="passed over 1 entry that is damaged or missing.*checksum"):
            queue = Queue(path, on_error="skip")
        with queue:
            assert (len(queue), queue.stats()["skipped"], len(queue.check())) == (COUNT - 1, 1, 2)
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # of what was told already
                messages = list(queue.messages(timeout=0))
            assert [message.item for message in messages] == [item_of(n) for n in range(COUNT) if n != number]
            queue.put(b"more")
            assert drain(queue) == [b"more"]
            assert len(queue) == 0
    with skipping(path) as queue:
        assert len(drain(queue)) == COUNT - 1
        assert queue.join(timeout=0)
    with Queue(path) as queue:  # what was damaged was given back with all that is done
        assert queue.check() == []


def test_a_damaged_item_at_the_begin_is_given_back_with_what_is_done_before_it(tmp_path: Path) -> None:
    filled(tmp_path / "q")
    flip(tmp_path / "q", b"item 00000")
    with skipping(tmp_path / "q") as queue:
        assert [queue.get() for _ in range(COUNT - 1)] == [item_of(n) for n in range(1, COUNT)]
    with Queue(tmp_path / "q") as queue:
        assert len(queue) == COUNT - 1


@pytest.mark.parametrize("number", [1, 30, 59])
def test_a_damaged_item_that_is_done_is_no_loss(tmp_path: Path, number: int) -> None:
    path = tmp_path / "q"
    filled(path, done=60)
    flip(path, b"item %05d" % number)
    with Queue(path) as queue:
        assert len(queue) == COUNT - 60
        assert queue.check()
        assert [item[:10] for item in drain(queue)] == [b"item %05d" % n for n in (0, *range(61, COUNT))]
        assert queue.join(timeout=0)
        assert queue.stats()["skipped"] == 0


def test_a_damaged_acknowledgement_has_its_item_come_again(tmp_path: Path) -> None:
    path = tmp_path / "q"
    with QueueLog(path) as log:
        addresses = [log.append(ITEM + letter) for letter in (b"a", b"b", b"c")]
        log.append(ACK + ADDRESS.pack(addresses[1]))
        log.append(ITEM + b"d")
    flip(path, ACK + ADDRESS.pack(addresses[1]))
    with pytest.raises(CorruptionError):
        Queue(path)
    with skipping(path) as queue:
        assert len(queue) == 4
        assert drain(queue) == [b"a", b"b", b"c", b"d"]
        assert queue.join(timeout=0)


def test_entries_that_no_queue_writes_are_passed_over(tmp_path: Path) -> None:
    with QueueLog(tmp_path / "q") as log:
        log.append_many([ITEM + b"a", b"", b"\4", ACK + b"1", ACK + ADDRESS.pack(72), ACK + ADDRESS.pack(1 << 20)])
        log.append(ITEM + b"b")
    with skipping(tmp_path / "q") as queue:
        assert (len(queue), queue.stats()["skipped"], len(queue.check())) == (2, 5, 5)
        assert drain(queue) == [b"a", b"b"]
        assert queue.join(timeout=0)


def rest(queue: Queue[bytes]) -> Iterator[Message[bytes]]:
    """Take and acknowledge all that waits."""
    for message in queue.messages(timeout=0):
        yield message
        message.ack()


@pytest.mark.parametrize("skips", [False, True])
def test_damage_below_an_open_queue(tmp_path: Path, skips: bool) -> None:
    path, count = tmp_path / "q", scaled(1500, least=600)
    queue: Queue[bytes] = Queue(
        path, memory="1MiB", page_size="4KiB", durability="manual", on_error="skip" if skips else "raise"
    )
    queue.put_many(map(large_item, range(count)))
    queue.commit()
    for number in (100, 101, 200):
        flip(path, b"item %05d" % number)
    left = [n for n in range(count) if n not in (100, 101, 200)]
    if skips:
        with pytest.warns(SkippedWarning) as told:
            got = [int(message.item[5:10]) for message in rest(queue)]
        assert [str(warning.message)[:21] for warning in told] == ["passed over 2 entries", "passed over 1 entry t"]
        assert (got, len(queue), queue.stats()["skipped"]) == (left, 0, 3)
        assert queue.join(timeout=0)
        queue.put(b"more")
        assert drain(queue) == [b"more"]
        assert queue.stats()["log_bytes"] < 8192
    else:
        assert [int(queue.get()[5:10]) for _ in range(100)] == list(range(100))
        for _ in range(3):
            with pytest.raises(CorruptionError, match="on_error"):
                queue.take()
        assert (len(queue), queue.in_flight) == (count - 100, 100)
        for _ in range(100):
            queue.ack()
    queue.close()
    if not skips:
        with skipping(path) as queue:
            assert [int(message.item[5:10]) for message in rest(queue)] == [n for n in left if n >= 100]


def test_what_was_out_is_damaged_before_it_comes_again(tmp_path: Path) -> None:
    for skips in (False, True):
        path = tmp_path / f"q{skips}"
        queue: Queue[bytes] = Queue(
            path, memory="1MiB", page_size="4KiB", durability="manual", on_error="skip" if skips else "raise"
        )
        queue.put_many(map(large_item, range(600)))
        queue.commit()
        messages = [queue.take() for _ in range(3)]
        flip(path, b"item 00001")
        for message in messages:
            message.nack()
        assert queue.get() == large_item(0)
        if skips:
            with pytest.warns(SkippedWarning):
                assert queue.get() == large_item(2)
            assert (len(queue), queue.stats()["skipped"]) == (597, 1)
        else:
            with pytest.raises(CorruptionError):
                queue.get()
            assert len(queue) == 599
        queue.ack()
        abandon_queue(queue)


def test_a_warning_that_is_raised_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "q"
    with Queue(path, memory="1MiB", page_size="4KiB", durability="manual", on_error="skip") as queue:
        queue.put_many(map(large_item, range(600)))
        queue.commit()
        flip(path, b"item 00000")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(SkippedWarning):
                queue.take()
        assert (len(queue), queue.in_flight) == (599, 0)
        assert queue.get() == large_item(1)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "q"
    with Queue(path, memory="1MiB", page_size="4KiB", durability="manual") as queue:
        queue.put_many(bytes([n]) * 400_000 for n in range(90))
    (sorted((path / "log").iterdir())[1]).unlink()
    with pytest.raises(CorruptionError):
        Queue(path)
    with skipping(path) as queue:
        lost = queue.stats()["skipped"]
        assert lost > 30
        assert len(queue) == 90 - lost
        assert len(drain(queue)) == 90 - lost
