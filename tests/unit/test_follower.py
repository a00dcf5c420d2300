"""Readers that follow their writer: each state that they show is that of one commit, whatever the writer does."""

import contextlib
import os
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Unpack

import pytest

import oxidbm
from oxidbm import Store
from oxidbm.testing import CrashDevice
from tests.inside import abandon, handle_of, log_of, table_of
from tests.support import MoreOptions, run, scaled
from tests.unit.helpers import Clock, disk_store

Model = dict[bytes, bytes]
SIZES = (0, 3, 3, 3, 30, 300, 3000, 6000)


def reader_of(path: Path, **options: Unpack[MoreOptions]) -> Store:
    """Open a store to read only, with little memory."""
    options["read_only"] = True
    return disk_store(path, **options)


def write(store: Store, chance: random.Random, count: int, keys: int = 300) -> None:
    """Do some operations of each kind."""
    for _ in range(count):
        key = b"%d" % chance.randrange(keys)
        match chance.randrange(6):
            case 0:
                store.pop(key, None)
            case 1:
                store.set(key, b"for a time", expire=10**7)
            case 2:
                store.add(key, b"%d" % chance.getrandbits(60))
            case _:
                store[key] = chance.randbytes(chance.choice(SIZES))


def compare(reader: Store, model: Model, writer: Store | None = None) -> None:
    """The reader holds exactly this, and nothing is wrong with it."""
    assert dict(reader.items()) == model
    assert len(reader) == len(model)
    assert all(reader[key] == value for key, value in model.items())
    assert reader.check() == []
    if writer is not None:
        found = [(known.name, known.serial) for known in reader.sessions()]
        assert found == [(known.name, known.serial) for known in writer.sessions()]


def test_refresh_moves_to_the_newest_commit_and_says_whether_it_moved(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as writer:
        writer["a"] = "1"
        writer.sync()
        with reader_of(tmp_path / "store") as reader:
            assert not reader.refresh()
            writer["a"] = "2"
            writer["b"] = "3"
            assert not reader.refresh()  # not committed
            assert reader["a"] == b"1"
            writer.sync()
            assert reader["a"] == b"1"
            assert reader.refresh()
            assert dict(reader) == {b"a": b"2", b"b": b"3"}
            assert not reader.refresh()
            assert reader.stats()["commit_sequence"] == writer.stats()["commit_sequence"]


def test_a_store_that_is_open_to_write_is_at_its_newest(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as writer:
        assert not writer.refresh()
    with Store() as memory:
        assert not memory.refresh()
    with pytest.raises(oxidbm.ClosedError):
        writer.refresh()


@pytest.mark.parametrize("seed", range(scaled(6, 2)))
def test_every_state_is_that_of_the_newest_commit(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "store"
    writer = disk_store(path)
    writer.sync()
    reader = reader_of(path, ordered=seed % 2 == 1)
    model: Model = {}
    for _ in range(scaled(120, 20)):
        begun = iter(reader.items())
        first = next(begun, None)
        before = dict(model)
        commit = reader.stats()["commit_sequence"]
        write(writer, chance, chance.choice((1, 10, 200)))
        if chance.random() < 0.2:
            with writer.session(f"s{chance.randrange(4)}") as session:
                session.upsert("by a session", str(session.serial))
        if chance.random() < 0.1:
            writer.forget_session(f"s{chance.randrange(4)}")
        match chance.randrange(12):
            case 0:
                writer.clear()
            case 1:
                writer.reorganize()
            case 2:
                writer.checkpoint()
            case 3:
                writer.close()
                writer = disk_store(path)
        writer.sync()
        compare(reader, before)
        assert reader.refresh() == (reader.stats()["commit_sequence"] > commit)
        assert reader.stats()["commit_sequence"] == writer.stats()["commit_sequence"]
        assert first is None or before.pop(first[0]) == first[1]
        assert dict(begun) == before  # it stays with the commit at which it began
        model = dict(writer.items())
        compare(reader, model, writer)
        if reader.ordered:
            assert list(reader.range()) == sorted(model.items())
    reader.close()
    writer.close()


def test_pages_that_are_in_memory_stay_there_and_new_ones_join_them(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as writer:
        writer.update({b"%d" % i: b"x" * 100 for i in range(100)})
        writer.sync()
        with reader_of(tmp_path / "store") as reader:
            log = log_of(reader)
            head = log.head
            for round_ in range(20):
                writer[b"%d" % round_] = b"y" * 1000
                writer.sync()
                reader.refresh()
            assert log.head == head
            assert all(reader[b"%d" % i] == b"y" * 1000 for i in range(20))
            writer.update({b"%d" % i: b"z" * 3000 for i in range(2000)})  # more than it has memory for
            writer.sync()
            assert reader.refresh()
            assert log.head > head
            assert reader.stats()["memory_bytes"] <= reader.stats()["memory_budget"]
            compare(reader, dict(writer.items()))


def test_a_record_larger_than_a_page_joins_what_is_in_memory(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as writer:
        writer["small"] = "1"
        writer.sync()
        with reader_of(tmp_path / "store") as reader:
            head = log_of(reader).head
            writer["large"] = b"x" * 50_000
            writer["after it"] = b"y"
            writer.sync()
            assert reader.refresh()
            assert log_of(reader).head == head
            compare(reader, dict(writer.items()))


def test_far_behind_it_goes_from_commit_to_commit(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store", memory="64MiB", checkpoints=False) as writer:
        writer.sync()
        with reader_of(tmp_path / "store", memory="64MiB") as reader:
            each = scaled(70_000)
            for part in range(5):
                writer.update({b"%d" % i: b"%d" % part for i in range(part * each, (part + 2) * each)})
                writer.sync()
            assert reader.refresh()
            assert len(reader) == len(writer) == 6 * each
            assert reader.stats()["commit_sequence"] == writer.stats()["commit_sequence"]
            assert reader.check() == []


def test_segments_that_the_writer_deleted_stay_readable_and_a_stale_reader_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as writer:
        model = {b"%d" % i: b"x" * 1000 for i in range(300)}
        writer.update(model)
        writer.sync()
        with reader_of(path) as reader:
            for round_ in range(4):
                writer.update({b"%d" % i: b"%d" % round_ * 500 for i in range(300)})
                writer.reorganize()
            old = set(os.listdir(path / "log"))
            compare(reader, model)
            assert {segment.name for segment in log_of(reader).device.segments}.isdisjoint(old)  # type: ignore[attr-defined]
            assert reader.refresh()
            compare(reader, dict(writer.items()), writer)
            assert {segment.name for segment in log_of(reader).device.segments} <= old  # type: ignore[attr-defined]


def test_what_a_walk_needs_is_kept_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as writer:
        model = {b"%d" % i: b"x" * 1000 for i in range(300)}
        writer.update(model)
        writer.sync()
        with reader_of(path, ordered=True) as reader:
            walks = [iter(reader.items()), reader.range(), ((found.key, found.value) for found in reader.scan())]
            history = reader.history("7")
            firsts = [next(walk) for walk in walks]
            for round_ in range(3):
                writer.update({b"%d" % i: b"%d" % round_ * 500 for i in range(round_, 300)})
                writer.clear() if round_ == 1 else writer.reorganize()
                writer.sync()
                reader.refresh()
            for walk, first in zip(walks, firsts, strict=True):
                assert dict([first, *walk]) == model
            assert [version.value for version in history] == [b"x" * 1000]
            assert table_of(reader).index.pins == 0
            compare(reader, dict(writer.items()))
            reader.refresh()
            assert handle_of(reader).retired == []


def test_a_crash_and_what_the_recovery_writes_in_the_place_of_the_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "store"
    writer = disk_store(path)
    writer["kept"] = "1"
    writer.sync()
    reader = reader_of(path)
    model = dict(reader)
    for round_ in range(3):
        writer.update({b"lost%d" % i: b"x" * 100 for i in range(200)})
        log = log_of(writer)
        log.seal_step(log.tail, 1 << 30)
        while log.flush_step(1 << 20):
            pass
        reader.refresh()
        compare(reader, model)
        abandon(writer)
        with open(max((path / "log").iterdir()), "ab") as file:
            file.write(b"torn")
        writer = disk_store(path)
        writer.update({b"new%d" % i: b"y" * 100 for i in range(100 + round_)})
        writer.sync()
        compare(reader, model)
        assert reader.refresh()
        model = dict(writer)
        compare(reader, model)
    writer.close()
    reader.close()


def test_a_return_to_an_older_checkpoint_leaves_a_reader_with_its_commit_until_it_moves(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as writer:
        writer.update({b"%d" % i: b"old" for i in range(100)})
        made = writer.checkpoint()
        writer.update({b"%d" % i: b"new" for i in range(100)})
    with reader_of(path) as reader:
        log_of(reader).evict_page()
        oxidbm.recover(path, made.token)
        with disk_store(path) as writer:
            writer.update({b"%d" % i: b"3rd" for i in range(100)})  # in the place of what was cut off
            writer.sync()
            assert set(reader.values()) == {b"new"}
            assert [reader[b"%d" % i] for i in range(100)] == [b"new"] * 100
            assert reader.check() == []
            assert reader.refresh()
            compare(reader, dict(writer.items()))


def test_a_store_that_is_removed_and_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as writer:
        writer["a"] = "1"
    with reader_of(path, ordered=True) as reader:
        shutil.rmtree(path)
        with pytest.raises(oxidbm.MissingError, match="still shows commit 1"):
            reader.refresh()
        assert dict(reader) == {b"a": b"1"}
        with Store(path, page_size=8192, durability="manual") as writer:  # of another kind, too
            writer["b"] = "2"
            writer.sync()
            assert dict(reader) == {b"a": b"1"}
            assert reader.refresh()
            compare(reader, {b"b": b"2"})
            assert reader.first_key() == b"b"
            writer["c"] = "3"
            writer.sync()
            assert reader.refresh()
            assert list(reader.range()) == [(b"b", b"2"), (b"c", b"3")]


def test_a_typed_store(tmp_path: Path) -> None:
    with Store(tmp_path / "store", key=int, value="json") as writer:
        writer.sync()
        with Store(tmp_path / "store", key=int, value="json", read_only=True, ordered=True) as reader:
            writer.update({3: ["three"], 1: {"one": 1}})
            writer.sync()
            assert reader.refresh()
            assert list(reader.range()) == [(1, {"one": 1}), (3, ["three"])]
            assert reader.last_key() == 3


def test_an_open_session_shows_the_number_of_the_new_commit(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as writer, writer.session("ingest") as ingest:
        ingest.upsert("a", "1")
        ingest.commit()
        with reader_of(tmp_path / "store") as reader, reader.session("ingest") as seen, reader.session("new") as other:
            assert (seen.serial, other.serial) == (1, 0)
            ingest.upsert("a", "2")
            ingest.commit()
            reader.refresh()
            assert (seen.serial, seen.durable_serial, other.serial) == (2, 2, 0)
            assert seen.read("a") == b"2"


def test_keys_that_expire(tmp_path: Path) -> None:
    clock = Clock()
    with disk_store(tmp_path / "store", clock=clock) as writer:
        writer.sync()
        with reader_of(tmp_path / "store", clock=clock) as reader:
            writer.set("a", "1", expire=10)
            writer.sync()
            reader.refresh()
            assert reader.ttl("a") == 10
            clock.now += 11
            assert reader.get("a") is None


def test_threads_see_the_one_commit_or_the_other(tmp_path: Path) -> None:
    count = 200
    done = threading.Event()
    with disk_store(tmp_path / "store") as writer:
        writer.update({b"%d" % i: b"0" for i in range(count)})
        writer.sync()
        with reader_of(tmp_path / "store", ordered=True) as reader:

            def read() -> None:
                last = 0
                while not done.is_set():
                    for items in (list(reader.items()), list(reader.range())):
                        assert len(items) == count
                        (value,) = {value for _, value in items}
                        assert int(value) >= last
                        last = int(value)
                    number = int(reader[b"7"])
                    assert number >= last
                    last = number

            def move() -> None:
                try:
                    for number in range(1, scaled(60, 10)):
                        with writer.batch() as batch:
                            batch.update({b"%d" % i: b"%d" % number for i in range(count)})
                        writer.sync()
                        if number % 10 == 0:
                            writer.reorganize()
                        assert reader.refresh()
                finally:
                    done.set()

            run(read, read, move, seconds=120)


def wait_for(condition: object, seconds: float = 60) -> None:
    """Return when a condition, a callable, holds; fail when that takes very long."""
    assert callable(condition)
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_it_follows_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "store"
    threads = threading.active_count()
    with disk_store(path) as writer:
        writer.sync()
        reader = Store(path, read_only=True, follow=0.01)
        for number in range(5):
            writer["number"] = str(number)
            writer.sync()
            wait_for(lambda number=number: reader.get("number") == str(number).encode())
        assert reader.stats()["maintenance_failure"] == ""
        reader.close()
        assert not handle_of(reader).follower.worker.running  # type: ignore[union-attr]
    shutil.rmtree(path)
    assert threading.active_count() == threads


def test_what_keeps_it_from_following_is_said_and_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as writer:
        writer["a"] = "1"
    with Store(path, read_only=True, follow=0.01) as reader:
        shutil.rmtree(path)
        wait_for(lambda: "the store is gone" in reader.stats()["maintenance_failure"])
        assert reader["a"] == b"1"
        with disk_store(path) as writer:
            writer["a"] = "2"
        wait_for(lambda: reader.get("a") == b"2" and reader.stats()["maintenance_failure"] == "")


def test_a_store_that_nobody_holds_ends_its_thread(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as writer:
        writer.sync()
    reader = Store(tmp_path / "store", read_only=True, follow=0.01)
    follower = handle_of(reader).follower
    assert follower is not None
    assert follower.worker.running
    del reader
    assert not follower.worker.running


def test_arguments(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as writer:
        made = writer.checkpoint()
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive number of seconds"):
            Store(tmp_path / "store", read_only=True, follow=wrong)
    with pytest.raises(ValueError, match="read_only=True"):
        Store(tmp_path / "store", follow=1)
    with pytest.raises(ValueError, match="stays as it is"):
        Store(tmp_path / "store", read_only=True, follow=1, checkpoint=made.token)
    with (
        Store(tmp_path / "store", read_only=True, checkpoint=made.token) as old,
        pytest.raises(ValueError, match="stays"),
    ):
        old.refresh()


def test_a_device_of_ones_own_is_followed_until_it_would_have_to_be_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "store"
    device = CrashDevice(4096)
    writer = Store(path, device=device, durability="manual", memory="1MiB", page_size=4096)
    writer["a"] = "1"
    writer.sync()
    reader = Store(path, device=device, read_only=True, memory="1MiB")
    writer["a"] = "2"
    writer.sync()
    assert reader.refresh()
    assert reader["a"] == b"2"
    shutil.rmtree(path)
    with pytest.raises(oxidbm.StaleError, match="open it again"):
        reader.refresh()
    assert reader["a"] == b"2"
    reader.close()
    with contextlib.suppress(oxidbm.error):
        writer.close()


def test_a_damaged_log_is_no_reason_to_stay_behind_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as writer:
        writer["a"] = "1"
        writer.sync()
        with reader_of(path) as reader:
            end = handle_of(reader).commits.end
            for number in range(3):
                writer["b"] = str(number)
                writer.sync()
            (segment,) = (path / "log").iterdir()
            with open(segment, "r+b") as file:
                file.seek(int(end) + 40)
                file.write(b"damage")
            with pytest.raises(oxidbm.CorruptionError, match="not a torn tail"):
                reader.refresh()
            assert dict(reader) == {b"a": b"1"}


def test_a_refresh_does_not_open_the_store_anew(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store", memory="64MiB") as writer:
        writer.update({b"%d" % i: b"x" * 100 for i in range(scaled(50_000))})
        writer.sync()
        with reader_of(tmp_path / "store", memory="64MiB") as reader:
            log, index, recovery = log_of(reader), table_of(reader).index, reader.recovery
            writer["a"] = "1"
            writer.sync()
            assert reader.refresh()
            assert (log_of(reader), table_of(reader).index, reader.recovery) == (log, index, recovery)


def test_a_history_that_was_begun_shows_what_its_commit_had(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as writer:
        writer["a"] = "1"
        writer.sync()
        with reader_of(tmp_path / "store") as reader:
            histories = [reader.history("a"), reader.history("a", scan=True)]
            writer["a"] = "2"
            writer.sync()
            reader.refresh()
            assert [[version.value for version in history] for history in histories] == [[b"1"], [b"1"]]
            assert [version.value for version in reader.history("a", scan=True)] == [b"2", b"1"]
