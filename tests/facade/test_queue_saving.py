"""Saving a queue's items: one that does not open is looked at, and salvaged; a sound one is copied while it is used."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm import CorruptionError, FormatError, Queue
from oxidbm._core.queue.queue_log import QueueLog
from tests.facade.queues import drain
from tests.inside import abandon_queue

COUNT = 2000
LEFT = [0, 2, *range(13, COUNT)]  # of which 0 was out, and 2 is delayed


def item_of(number: int) -> str:
    return f"item {number:05d}" + "." * 3000


def number_of(item: str) -> int:
    return int(item[5:10])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed queue of some megabytes."""
    path = tmp_path_factory.mktemp("sound") / "q"
    with Queue(path, codec=str, memory="1MiB", page_size="64KiB", durability="manual") as queue:
        queue.put_many(map(item_of, range(COUNT)))
        messages = [queue.take() for _ in range(13)]
        messages[2].nack(3600)
        for message in [messages[1], *messages[3:]]:
            message.ack()
    return path


def segments(path: Path) -> list[Path]:
    return sorted((path / "log").iterdir())


def damage_clean(path: Path) -> None:
    with open(path / "CLEAN", "r+b") as file:
        file.write(b"?")


def cut(path: Path) -> None:
    os.truncate(segments(path)[-1], 3_000_000)


def garble(path: Path) -> None:
    with open(segments(path)[0], "r+b") as file:
        file.seek(1_000_000)
        file.write(bytes(range(256)) * 400)
    damage_clean(path)


def lose_file(path: Path) -> None:
    segments(path)[0].unlink()


def lose_store(path: Path) -> None:
    (path / "STORE").unlink()


def flip_magic(path: Path) -> None:
    with open(path / "STORE", "r+b") as file:
        file.seek(3)
        file.write(b"?")


@pytest.fixture
def copy_of(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "q"))


@pytest.mark.parametrize("damage", [damage_clean, cut, garble])
def test_a_queue_that_does_not_open_is_looked_at_and_saved(
    copy_of: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(copy_of)
    for skips in ("raise", "skip"):
        with pytest.raises(CorruptionError, match=r'queue is read with read_only=True, on_error="skip".*salvage_log'):
            Queue(copy_of, codec=str, on_error=skips)
    with Queue(copy_of, codec=str, read_only=True, on_error="skip") as view:
        looked = [(number_of(found.item), found.state, found.attempts) for found in view.peek()]
        assert view.check()
        assert len(looked) == view.stats()["waiting"] + view.stats()["in_flight"]
    numbers = [number for number, _, _ in looked]
    assert set(numbers) >= set(LEFT if damage is damage_clean else LEFT[2:300])
    if damage is damage_clean:
        assert looked[:3] == [(0, "held", 1), (2, "delayed", 1), (13, "waiting", 0)]
    report = oxidbm.salvage_log(copy_of, tmp_path / "saved")
    assert (report.entries, report.codec) == (len(looked), "str")
    with Queue(tmp_path / "saved", codec=str) as queue:
        assert queue.check() == []
        states = {"held": "waiting"}
        found = [(number_of(one.item), one.state, one.attempts) for one in queue.peek()]
        assert found == [(number, states.get(state, state), attempts) for number, state, attempts in looked]
        done = [number for number, state, _ in looked if state != "delayed"]
        assert [number_of(item) for item in drain(queue)] == done


def test_a_queue_whose_file_is_missing_opens_to_be_looked_at(copy_of: Path, tmp_path: Path) -> None:
    lose_file(copy_of)
    with Queue(copy_of, codec=str, read_only=True, on_error="skip") as view:
        assert list(view.peek()) == []
        assert view.check()


def test_a_queue_whose_superblock_is_lost_is_saved_as_one(copy_of: Path, tmp_path: Path) -> None:
    lose_store(copy_of)
    oxidbm.salvage_log(copy_of, tmp_path / "log")  # nothing says that it is no log
    with pytest.raises(FormatError, match="is a log, not a queue"):
        Queue(tmp_path / "log")
    report = oxidbm.salvage_log(copy_of, tmp_path / "saved", codec=str, queue=True)
    assert report.entries == len(LEFT)
    with Queue(tmp_path / "saved", codec=str) as queue:
        assert [number_of(found.item) for found in queue.peek()] == LEFT


def test_one_wrong_byte_makes_no_log_of_a_queue(copy_of: Path, tmp_path: Path) -> None:
    flip_magic(copy_of)
    assert oxidbm.salvage_log(copy_of, tmp_path / "saved").entries == len(LEFT)
    Queue(tmp_path / "saved", codec=str, create=False).close()


def test_a_log_is_not_salvaged_as_a_queue(tmp_path: Path) -> None:
    oxidbm.Log(tmp_path / "log").close()
    with pytest.raises(FormatError, match="is a log, not a queue"):
        oxidbm.salvage_log(tmp_path / "log", tmp_path / "new", queue=True)


def test_what_a_queue_does_not_write_is_left_out_of_what_is_saved(tmp_path: Path) -> None:
    with Queue(tmp_path / "q") as queue:
        queue.put_many([b"a", b"b", b"c"])
        queue.take()
        queue.take().ack()
    log = QueueLog(tmp_path / "q")
    log.append(b"\7what")
    log.close()
    report = oxidbm.salvage_log(tmp_path / "q", tmp_path / "saved", committed_only=True)
    assert report.entries == 2
    assert "is none of a queue" in report.faults[0]
    with Queue(tmp_path / "saved") as queue:
        assert drain(queue) == [b"a", b"c"]


def test_a_queue_is_copied_while_it_is_used(tmp_path: Path) -> None:
    with Queue(tmp_path / "q", codec=str, durability="manual") as queue:
        queue.put_many(["a", "b", "c"])
        queue.take()
        queue.take().ack()
        queue.backup(tmp_path / "copy")
        queue.take().ack()
        queue.put("d")
        report = queue.backup(tmp_path / "copy")  # onto the earlier one
        queue.put("e")
        with Queue(tmp_path / "q", codec=str, read_only=True) as view:
            view.backup(tmp_path / "by a view", link=True)
    assert report.path == str(tmp_path / "copy")
    for path in ("copy", "by a view"):
        with Queue(tmp_path / path, codec=str, create=False) as queue:
            assert queue.check() == []
            assert [(found.item, found.attempts) for found in queue.peek()] == [("a", 1), ("d", 0)]
            assert drain(queue) == ["a", "d"]


def test_what_cannot_be_copied(tmp_path: Path) -> None:
    with Queue() as queue, pytest.raises(ValueError, match="a queue in memory has no files to copy"):
        queue.backup(tmp_path / "copy")
    with pytest.raises(oxidbm.ClosedError):
        queue.backup(tmp_path / "copy")


def test_a_poisoned_queue_says_from_which_commit_on_what_was_put_is_lost(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q")
    queue.put(b"a")
    handle = queue.log.handle
    last = queue.log.commit_number
    wanted = (
        f"the queue .* could not be closed: why. What was put or acknowledged since commit {last}, the last durable"
    )
    with pytest.raises(oxidbm.error, match=wanted):
        raise handle.loss(OSError("why"))
    abandon_queue(queue)
