"""Checkpoints: what is in one, in whatever phase others write, and what opening makes of it."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.durability.checkpointer import IMAGE, NAMES
from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.table.settle import settle
from tests.inside import abandon, checkpointer_of, disk_of, log_of, table_of
from tests.support import run, scaled
from tests.unit.helpers import PAGE_BYTES, begun, disk_store, opened_at, push_to_disk, steps_until

Model = dict[bytes, bytes]


def entries_of(index: HashIndex) -> list[int]:
    """Return all entries, without the bit that a chain may hold more than one key."""
    found = [int(entry) & (2**63 - 1) for bucket in range(index.buckets()) for entry in index.entries_in(bucket)]
    return sorted(found)


def change(store: oxidbm.Store, model: Model, chance: random.Random, count: int, keys: int = 300) -> None:
    """Do some operations of each kind to a store and its model."""
    for _ in range(count):
        key = b"%d" % chance.randrange(keys)
        match chance.randrange(5):
            case 0:
                if key in model:
                    del store[key], model[key]
            case 1:
                model[key] = store[key] = bytes(chance.randrange(200))
            case 2 if key in model:
                model[key] = store[key] = bytes(len(model[key]))
            case _:
                model[key] = store[key] = b"%d" % chance.getrandbits(60)


def test_a_key_that_is_deleted_before_its_blind_write_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update({b"%d" % i: b"1" for i in range(100)})
        store.checkpoint()
    with disk_store(path) as store:  # with nothing in memory
        store[b"7"] = b"2"
        assert store.stats()["unverified"] == 1
        del store[b"7"]
        assert len(store) == 99
        assert store.stats()["index_entries"] == 99
        store.checkpoint()
        store.clear()
    with disk_store(path) as store:
        assert len(store) == 0
        assert store.check() == []


@pytest.mark.parametrize("kind", ["fold-over", "log"])
@pytest.mark.parametrize("seed", range(scaled(8, 2)))
def test_every_checkpoint_is_the_state_of_its_commit(tmp_path: Path, kind: str, seed: int) -> None:
    path = tmp_path / "store"
    chance = random.Random(seed)
    model: Model = {}
    states: list[tuple[oxidbm.Checkpoint, Model]] = []
    with disk_store(path) as store:
        for _ in range(5):
            change(store, model, chance, 200)
            if chance.random() < 0.5:
                push_to_disk(store)
            states.append((store.checkpoint(kind), dict(model)))  # type: ignore[arg-type]
        change(store, model, chance, 100)
        assert [made.token for made in store.checkpoints() if not made.automatic] == [made.token for made, _ in states]
        for made, state in states:
            assert opened_at(path, made) == state  # beside the writer
    for made, state in states:
        assert opened_at(path, made) == state
    with disk_store(path) as store:
        assert dict(store.items()) == model
        assert store.check() == []


@pytest.mark.parametrize("seed", range(scaled(6, 2)))
@pytest.mark.parametrize("phase", range(IMAGE, len(NAMES)), ids=NAMES[IMAGE:])
def test_operations_of_each_kind_in_each_phase(tmp_path: Path, phase: int, seed: int) -> None:
    """What is written after the cut is in no checkpoint, and what was written before always is."""
    path = tmp_path / "store"
    chance = random.Random(seed)
    model: Model = {}
    with disk_store(path) as store:
        change(store, model, chance, 600)
        push_to_disk(store)
        change(store, model, chance, 200)
        state = dict(model)
        made = begun(store)
        steps_until(store, phase)
        change(store, model, chance, 300)
        if seed % 2:
            store.sync()
            push_to_disk(store)
        with store.batch() as batch:
            batch["in a batch"] = "1"
        model[b"in a batch"] = b"1"
        change(store, model, chance, 300)
        checkpointer_of(store).finish()
        assert made.result(0).done()
        assert opened_at(path, made) == state
        assert dict(store.items()) == model
        assert store.check() == []
        store.sync()
        abandon(store)
    with disk_store(path) as store:
        assert store.recovery.checkpoint == made.token
        assert store.recovery.records > 0
        assert dict(store.items()) == model
        assert len(store) == len(model)
        assert store.check() == []


@pytest.mark.parametrize("seed", range(scaled(6, 2)))
def test_the_image_is_the_index_that_replay_makes(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "store"
    chance = random.Random(seed)
    model: Model = {}
    with disk_store(path) as store:
        change(store, model, chance, 900)
        made = begun(store)
        change(store, model, chance, 900)
        checkpointer_of(store).finish()
    with disk_store(path, read_only=True, checkpoint=made.token) as store:
        assert store.recovery.checkpoint == made.token
        with_image = entries_of(table_of(store).index)
    (path / "checkpoints" / f"{made.token}.index.zst").rename(tmp_path / "image")
    with pytest.warns(oxidbm.RecoveryWarning, match="is missing"):
        store = disk_store(path, read_only=True, checkpoint=made.token)
    with store:
        assert store.recovery.checkpoint is None
        rebuilt = entries_of(table_of(store).index)
    assert with_image == rebuilt


def test_opening_replays_only_what_came_later(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        for number in range(500):
            store[b"%d" % number] = b"value"
        made = store.checkpoint()
        assert store.checkpoint().commit == made.commit  # nothing was written in between
        store[b"one more"] = b"value"
        store.sync()
        abandon(store)
    with disk_store(path) as store:
        assert store.recovery.checkpoint is not None
        assert store.recovery.records == 2  # the record and the commit
        assert store.recovery.faults == []
        assert len(store) == 501
        assert "records=2" in repr(store.recovery)


def test_a_tail_in_the_middle_of_a_page_goes_on_there(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"value"
        store.checkpoint()
    for size in (PAGE_BYTES - 100, 10, PAGE_BYTES, 3 * PAGE_BYTES, 10):  # one that does not fit, and runs of pages
        with disk_store(path) as store:
            assert store.recovery.records == 0
            tail = log_of(store).tail
            store[b"%d" % size] = bytes(size)
            assert (log_of(store).tail & -PAGE_BYTES == tail & -PAGE_BYTES) == (size == 10)
            assert store[b"a"] == b"value"
            assert store.check() == []
            store.checkpoint()
    with disk_store(path) as store:
        assert {key: len(value) for key, value in store.items()} == {
            b"a": 5,
            b"%d" % (PAGE_BYTES - 100): PAGE_BYTES - 100,
            b"10": 10,
            b"%d" % PAGE_BYTES: PAGE_BYTES,
            b"%d" % (3 * PAGE_BYTES): 3 * PAGE_BYTES,
        }


def test_sessions_come_with_it(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        for name in ("kept", "forgotten", "later"):
            with store.session(name) as session:
                session.upsert(name, "1")
        made = begun(store)
        store.forget_session("forgotten")
        with store.session("later") as session:
            session.upsert("later", "2")
        with store.session("new") as session:
            session.upsert("new", "1")
        checkpointer_of(store).finish()
    with disk_store(path, read_only=True, checkpoint=made.token) as store:
        assert {known.name: known.serial for known in store.sessions()} == {"kept": 1, "forgotten": 1, "later": 1}
    with disk_store(path) as store:
        assert {known.name: known.serial for known in store.sessions()} == {"kept": 1, "later": 2, "new": 1}


def test_clear_while_an_image_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        for number in range(200):
            store[b"%d" % number] = b"value"
        made = begun(store)
        store.clear()
        store[b"new"] = b"value"
        checkpointer_of(store).finish()
        assert len(opened_at(path, made)) == 200
        store.reorganize()
        assert len(opened_at(path, made)) == 200
        assert store.purge(keep=0) == [made.token]
        assert dict(store.items()) == {b"new": b"value"}
    with disk_store(path) as store:
        assert dict(store.items()) == {b"new": b"value"}


def test_no_second_one_meanwhile(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"a"] = b"value"
        made = begun(store)
        with pytest.raises(oxidbm.BusyError, match="is being made"):
            store.checkpoint()
        assert not made.done()
        with pytest.raises(TimeoutError, match="not there after 0 seconds"):
            made.result(0)
        checkpointer_of(store).finish()
        assert made.done()
        assert store.checkpoint().commit == made.commit
        with pytest.raises(ValueError, match="not 'whole'"):
            store.checkpoint("whole")  # type: ignore[arg-type]


def test_closing_finishes_what_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"value"
        made = begun(store)
    assert made.result().done()
    assert opened_at(path, made) == {b"a": b"value"}


def test_the_background_makes_it(tmp_path: Path) -> None:
    with oxidbm.Store(tmp_path / "store") as store:
        store[b"a"] = b"value"
        made = store.checkpoint("log", wait=False)
        assert made.result(60) is made
        assert made.bytes == 0


def test_in_memory_there_are_none() -> None:
    with oxidbm.Store() as store:
        assert store.checkpoints() == []
        with pytest.raises(ValueError, match="give it a path"):
            store.checkpoint()


def test_closing_leaves_an_image_where_it_pays(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update((b"%d" % number, b"value") for number in range(100))
    assert not (path / "checkpoints").exists()
    with disk_store(path, checkpoints=False) as store:
        store.update((b"%d" % number, b"value") for number in range(3000))
    assert not (path / "checkpoints").exists()
    with disk_store(path) as store:
        assert store.recovery.records > 3000
        assert store.checkpoints() == []
        store[b"a"] = b"value"
    with disk_store(path) as store:
        (first,) = store.checkpoints()
        assert first is not None
        assert first.automatic
        assert store.recovery.records == 0
        assert len(store) == 3001
    with disk_store(path) as store:
        (again,) = store.checkpoints()
        assert again.token == first.token
        store.update((b"%d" % number, b"other") for number in range(3000))
    with disk_store(path) as store:
        (other,) = store.checkpoints()
        assert other.token != first.token
        assert store.check() == []


def test_what_is_due_begins_with_a_commit(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        checkpoints = checkpointer_of(store)
        store.update((b"%d" % number, b"value") for number in range(200))
        checkpoints.schedule.records = log_of(store).records - 1_000_000
        store.sync()
        assert checkpoints.making()
        store[b"a"] = b"value"
        checkpoints.finish()
        store.sync()
        assert not checkpoints.making()
        (made,) = store.checkpoints()
        assert made.automatic
        assert len(opened_at(path, made)) == 200


def test_an_index_that_was_made_for_more(tmp_path: Path) -> None:
    """Nothing live: kilobytes, whatever was there before."""
    path = tmp_path / "store"
    with oxidbm.Store(path) as store:
        store.update((b"%d" % number, b"value") for number in range(scaled(200_000)))
        for _ in range(3):
            store.grow_index()
        large = store.checkpoint()
        for key in list(store)[10:]:
            del store[key]
        small = store.checkpoint()
        assert small.bytes < 8192 < large.bytes
        state = dict(store.items())
        store[b"more"] = b"value"
    with oxidbm.Store(path, read_only=True, checkpoint=small.token) as store:
        assert dict(store.items()) == state
        assert store.check() == []


def test_growth_before_between_and_while(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update((b"%d" % number, b"value") for number in range(100))
        made = begun(store)
        steps_until(store, IMAGE)
        buckets = table_of(store).index.buckets()
        store.update((b"%d" % number, b"value") for number in range(scaled(60_000, 30_000)))
        assert table_of(store).index.buckets() == buckets
        checkpointer_of(store).finish()
        store.update((b"more %d" % number, b"value") for number in range(scaled(40_000, 20_000)))
        assert table_of(store).index.buckets() > buckets
        assert store.check() == []
    assert len(opened_at(path, made)) == 100


def test_threads_write_their_numbers(tmp_path: Path) -> None:
    """For each session everything up to its recovered serial is there, and nothing behind it."""
    path = tmp_path / "store"
    store = oxidbm.Store(path, durability="manual")
    made: list[oxidbm.Checkpoint] = []
    done = threading.Event()

    def write(name: str) -> Callable[[], None]:
        def go() -> None:
            with store.session(name) as session:
                for number in range(1, scaled(20_000, 500)):
                    session.upsert(f"{name} {number % 97}", str(number))

        return go

    def checkpoint() -> None:
        while not done.is_set():
            made.append(store.checkpoint())

    writers = [write(f"s{number}") for number in range(4)]
    checker = threading.Thread(target=checkpoint)
    checker.start()
    try:
        run(*writers)
    finally:
        done.set()
        checker.join()
    for each in [made[0], made[len(made) // 2], made[-1]]:
        with oxidbm.Store(path, read_only=True, checkpoint=each.token) as state:
            for known in state.sessions():
                expected = {
                    f"{known.name} {number % 97}".encode(): str(number).encode()
                    for number in range(1, known.serial + 1)
                }
                found = {key: value for key, value in state.items() if key.startswith(known.name.encode() + b" ")}
                assert found == expected
    store.close()


def test_a_key_that_was_deleted_before_it_was_settled(tmp_path: Path) -> None:
    """Nothing is left that leads to it, or it would be counted where compaction passes it by behind the checkpoint."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        store.update((b"%d" % number, b"value") for number in range(50))
        push_to_disk(store)
        store[b"5"] = b"written without a look at what was there"
        del store[b"5"]
        assert settle(table_of(store), 100)
        made = store.checkpoint()
        store.reorganize()
        store[b"more"] = b"value"
        store.sync()
        abandon(store)
    with disk_store(path) as store:
        assert store.recovery.checkpoint == made.token
        assert len(store) == 50
        assert b"5" not in store
        assert store.check() == []
