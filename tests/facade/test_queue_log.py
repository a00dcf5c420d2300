"""What oxidbm.Queue keeps in its log: space that goes back, entries that no queue writes, and what Ctrl-C leaves."""

from pathlib import Path

import pytest

from oxidbm import CorruptionError, Queue
from oxidbm._core.queue.entries import ACK, ADDRESS, ITEM, MOVED, NOTE, NOTES
from oxidbm._core.queue.queue_log import QueueLog
from tests.facade.queues import drain
from tests.inside import abandon_queue
from tests.support import scaled


@pytest.mark.compiled_only("writes more than two files of 16 MiB")
def test_space_goes_back(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", page_size="64KiB", memory="2MiB", durability="manual") as queue:
        for _ in range(40):
            queue.put_many([b"x" * 50_000] * 20)
            assert len(drain(queue)) == 20
        queue.commit()
        stats = queue.stats()
        assert stats["log_bytes"] <= 2 * 65536
        assert stats["file_bytes"] < 30_000_000  # of 40 million that were written; files go whole, and have 16 MiB


def test_space_goes_back_behind_a_message_that_stays_out(tmp_path: Path) -> None:
    rounds = scaled(400, least=100)
    with Queue(tmp_path / "q", page_size="4KiB", memory="1MiB", durability="manual") as queue:
        queue.put_many([b"stuck", b"given back"])
        stuck = queue.take()
        queue.take().nack(delay=3600)
        for number in range(rounds):
            queue.put_many([b"x" * 1000] * 10)
            for _ in range(10):
                queue.take().ack()
            if number == rounds // 2:
                queue.commit()
                assert queue.stats()["log_bytes"] <= 20 * 4096
        assert (len(queue), queue.in_flight) == (1, 1)
        queue.commit()
        assert queue.stats()["log_bytes"] <= 20 * 4096
        abandon_queue(queue)
    with Queue(tmp_path / "q", page_size="4KiB", memory="1MiB") as queue:
        assert (len(queue), queue.stats()["delayed"]) == (2, 1)
        assert drain(queue) == [b"stuck"]
    del stuck


def test_an_item_that_was_moved_is_acknowledged_where_it_stands(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", page_size="4KiB", memory="1MiB", durability="manual") as queue:
        queue.put(b"stuck")
        stuck = queue.take()
        queue.put_many([b"x" * 1000] * 100)
        for _ in range(90):
            queue.take().ack()
        assert queue.exchange.deliveries.moved
        assert stuck.ack()
        queue.put(b"last")
        assert drain(queue) == [b"x" * 1000] * 10 + [b"last"]
        assert queue.join(timeout=0)
        assert not queue.exchange.deliveries.acked


HOSTILE = {
    "an empty entry": [b""],
    "an unknown kind": [ITEM + b"a", b"\4abc"],
    "short notes": [ITEM + b"a", NOTES + b"abc"],
    "no notes": [ITEM + b"a", NOTES],
    "notes of what comes later": [ITEM + b"a", NOTES + NOTE.pack(64, 0, 1) + NOTE.pack(1 << 20, 0, 1)],
    "a short acknowledgement": [ITEM + b"a", ACK + b"1234567"],
    "a long one": [ITEM + b"a", ACK + ADDRESS.pack(64) + b"x"],
    "an item that comes later": [ACK + ADDRESS.pack(1 << 20)],
    "itself": [ACK + ADDRESS.pack(64)],
    "no item": [ITEM + b"a" * 100, ACK + ADDRESS.pack(72)],
    "an acknowledgement": [ITEM + b"a", ACK + ADDRESS.pack(64), ACK + ADDRESS.pack(96)],
    "a short move": [MOVED + b"1234567"],
    "a move of what comes later": [MOVED + ADDRESS.pack(1 << 63)],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE)
def test_entries_that_no_queue_writes(tmp_path: Path, entries: list[bytes]) -> None:
    for _ in range(2):  # the second time as it was left by the first one
        with QueueLog(tmp_path / "q") as log:
            if not len(log):
                log.append_many(entries)
        with pytest.raises(CorruptionError, match=r"the queue .*: the entry at address \d+ .*; restore"):
            Queue(tmp_path / "q")


def test_a_second_acknowledgement_says_nothing_new(tmp_path: Path) -> None:
    with QueueLog(tmp_path / "q") as log:
        addresses = [log.append(ITEM + letter) for letter in (b"a", b"b")]
        log.append_many([ACK + ADDRESS.pack(addresses[0])] * 2)
    with Queue(tmp_path / "q") as queue:
        assert drain(queue) == [b"b"]


def test_an_item_that_an_interrupted_put_has_not_counted(tmp_path: Path) -> None:
    with Queue(tmp_path / "q") as queue:
        queue.put(b"a")
        queue.exchange.deliveries.waiting -= 1
    with Queue(tmp_path / "q") as queue:
        assert drain(queue) == [b"a"]
