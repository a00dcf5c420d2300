"""Snapshots and incremental ones: what is in one, whatever goes on meanwhile, and that the log is as it was afterwards.

Each test looks at what a crash just after the snapshot leaves, as a writer and as a reader, and at the snapshot alone.
"""

import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.durability.checkpointer import COPY, IMAGE, NAMES
from tests.inside import abandon, checkpointer_of, disk_of, log_of, table_of
from tests.support import PURE, leave_memory, run, scaled
from tests.unit.helpers import Clock, begun, disk_store, opened_at, push_to_disk, steps_until
from tests.unit.test_checkpoint import Model, change

KINDS = ("snapshot", "incremental")


def crashed(path: Path, expected: Model, **options: Any) -> None:
    """See that a crash now would leave a state, to a reader, and to a writer, which goes on, crashes, and goes on."""
    left = path.with_name("crashed")
    shutil.copytree(path, left)
    (left / "LOCK").unlink()
    with disk_store(left, read_only=True, **options) as store:
        assert dict(store.items()) == expected
        assert len(store) == len(expected)
        assert store.check() == []
    for turn in range(2):
        store = disk_store(left, checkpoints=False, **options)
        assert store.recovery.faults == []
        assert dict(store.items()) == expected
        assert len(store) == len(expected)
        assert store.check() == []
        store[b"later"] = b"not durable"
        if turn == 1:
            store.sync()
        abandon(store)
    with disk_store(left, **options) as store:
        assert dict(store.items()) == expected | {b"later": b"not durable"}
        assert store.check() == []
    shutil.rmtree(left)


@pytest.mark.parametrize("kind", [*KINDS, "fold-over"])
def test_what_is_updated_in_place_behind_one(tmp_path: Path, kind: Any) -> None:
    """The log does not grow by what is overwritten and deleted behind a snapshot; behind a fold-over it does."""
    with disk_store(tmp_path / "store", checkpoints=False) as store:
        store.update((b"%d" % number, b"old") for number in range(100))
        for turn in range(3):
            store.checkpoint(kind)
            tail = log_of(store).tail
            for number in range(50):
                store[b"%d" % number] = b"%03d" % turn
            del store[b"%d" % (50 + turn)]
            assert (log_of(store).tail == tail) == (kind != "fold-over")
        assert store.check() == []


@pytest.mark.parametrize("end", ["close", "close in its middle", "sync", "purge"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_that_has_nothing_but_its_number(tmp_path: Path, kind: Any, end: str) -> None:
    """The log has all of it, and yet its commit is in the log too, before that is closed or the snapshot goes."""
    path = tmp_path / "store"
    store = disk_store(path, checkpoints=False)
    if kind == "incremental":
        store[b"a"] = b"1"
        store.checkpoint("snapshot")
        store.sync()
    made = begun(store, kind) if end == "close in its middle" else store.checkpoint(kind)
    if end.startswith("close"):
        store.close()
    elif end == "sync":
        store.sync()
        shutil.rmtree(path / "checkpoints")
    else:
        store.purge(keep=0)
    abandon(store)
    assert made.kind == kind
    with disk_store(path, read_only=True) as reader:
        assert reader.recovery.commit > made.commit
        assert len(reader) == (kind == "incremental")
        assert reader.check() == []


def test_what_is_written_while_it_is_copied_is_copied_to_the_tail(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store[b"a"] = b"before"
        store[b"b"] = b"before"
        made = begun(store, "snapshot")
        steps_until(store, COPY)
        tail = log_of(store).tail
        store[b"a"] = b"behind"
        del store[b"b"]
        assert log_of(store).tail > tail
        checkpointer_of(store).finish()
        tail = log_of(store).tail
        store[b"a"] = b"BEHIND"
        assert log_of(store).tail == tail
        assert opened_at(path, made) == {b"a": b"before", b"b": b"before"}
        crashed(path, {b"a": b"before", b"b": b"before"})
        assert dict(store.items()) == {b"a": b"BEHIND"}
        assert store.check() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(scaled(5, 2)))
@pytest.mark.parametrize("phase", range(IMAGE, len(NAMES)), ids=NAMES[IMAGE:])
def test_operations_of_each_kind_in_each_phase(tmp_path: Path, phase: int, seed: int, kind: Any) -> None:
    """What is written after the cut is in no snapshot, and what was written before always is."""
    path = tmp_path / "store"
    chance = random.Random(seed)
    model: Model = {}
    with disk_store(path, checkpoints=False) as store:
        change(store, model, chance, 400)
        if seed % 2:
            push_to_disk(store)
        change(store, model, chance, 200)
        store.checkpoint("snapshot")
        change(store, model, chance, 150)
        state = dict(model)
        made = begun(store, kind)
        steps_until(store, phase)
        change(store, model, chance, 300)
        if seed == 1:
            store.sync()
            push_to_disk(store)
            state_of_crash = None
        else:
            state_of_crash = state
        with store.batch() as batch:
            batch["in a batch"] = "1"
        model[b"in a batch"] = b"1"
        change(store, model, chance, 300)
        checkpointer_of(store).finish()
        assert made.result(0).kind == kind
        assert opened_at(path, made) == state
        if state_of_crash is not None:
            crashed(path, state_of_crash)
        assert dict(store.items()) == model
        assert store.check() == []
        change(store, model, chance, 100)
        assert store.checkpoint("incremental").kind == "incremental"
        crashed(path, model)
        abandon(store)
    with disk_store(path) as store:
        assert dict(store.items()) == model
        assert store.check() == []


@pytest.mark.parametrize("kind", KINDS)
def test_pages_leave_memory_in_the_middle_of_the_copy(tmp_path: Path, kind: Any) -> None:
    """What was in memory when it was cut is sealed, flushed and evicted by the time its turn comes."""
    path = tmp_path / "store"
    chance = random.Random(kind)
    model: Model = {}
    with disk_store(path, checkpoints=False, memory="4MiB") as store:
        leave_memory(store, 2 << 20)
        for turn in range(2):
            for number in range(300):
                model[b"%d" % number] = store[b"%d" % number] = chance.randbytes(chance.randrange(6000))
            if turn == 0:
                store.checkpoint("snapshot")
        state = dict(model)
        made = begun(store, kind)
        steps_until(store, COPY)
        head = log_of(store).head
        while checkpointer_of(store).phase == COPY:
            checkpointer_of(store).advance()
            for number in range(200):
                model[b"more %d" % number] = store[b"more %d" % number] = chance.randbytes(5000)
        assert log_of(store).head > head
        assert log_of(store).head > checkpointer_of(store).snapshots.copied_from
        checkpointer_of(store).finish()
        assert opened_at(path, made) == state
        crashed(path, state)
        assert dict(store.items()) == model
        assert store.check() == []


@pytest.mark.parametrize("page_size", ["4KiB", "1MiB"] if PURE else ["4KiB", "64KiB", "1MiB"])
def test_sizes_of_values_and_pages(tmp_path: Path, page_size: str) -> None:
    path = tmp_path / "store"
    chance = random.Random(page_size)
    sizes = (0, 8, 100, 4000, 4096, 70_000)
    large = (1 << 17 if PURE and page_size == "4KiB" else 1 << 20) + 5
    options: Any = {"memory": "32MiB", "page_size": page_size}
    model: Model = {}
    path.mkdir()
    with disk_store(path, checkpoints=False, **options) as store:
        for turn in range(4):
            for number in range(scaled(40, 15)):
                key = b"%d" % chance.randrange(60)
                if turn and chance.random() < 0.3:
                    store.pop(key, None)
                    model.pop(key, None)
                else:
                    size = chance.choice(sizes) if number % 20 else large
                    model[key] = store[key] = chance.randbytes(8) * (size // 8 + 1)
            made = store.checkpoint("incremental")
            assert made.kind == ("incremental" if turn else "snapshot")
            crashed(path, model, **options)
        with disk_store(path, read_only=True, checkpoint=made.token, **options) as reader:
            assert dict(reader.items()) == model


def test_an_incremental_one_leaves_out_what_has_not_changed(tmp_path: Path) -> None:
    chance = random.Random(1)
    with disk_store(tmp_path / "store", checkpoints=False) as store:
        store.update((b"%d" % number, chance.randbytes(100)) for number in range(2000))
        whole = store.checkpoint("snapshot")
        assert whole.bytes > 200_000
        nothing = store.checkpoint("incremental")
        assert nothing.bytes < 500
        for number in range(10):
            store[b"%d" % (number * 171)] = chance.randbytes(100)
        ten = store.checkpoint("incremental")
        assert 1000 < ten.bytes < 5000
        again = store.checkpoint("incremental")
        assert again.bytes < 500
        store[b"new"] = chance.randbytes(100)
        one = store.checkpoint("incremental")
        assert 100 < one.bytes < 700
        assert [made.kind for made in (nothing, ten, again, one)] == ["incremental"] * 4
        assert store.checkpoint("snapshot").bytes > 200_000
        state = dict(store.items())
        crashed(tmp_path / "store", state)


def test_what_was_flushed_is_left_to_the_log(tmp_path: Path) -> None:
    """A snapshot has what is in memory alone, and a commit leaves it nothing at all."""
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store.update((b"%d" % number, random.Random(number).randbytes(100)) for number in range(1500))
        push_to_disk(store)
        store[b"a"] = b"value"
        made = store.checkpoint("snapshot")
        assert made.metadata.snapshot_bytes < 500  # type: ignore[attr-defined]
        crashed(path, dict(store.items()))
        store.sync()
        made = store.checkpoint("snapshot")
        assert made.metadata.snapshot_bytes == 0  # type: ignore[attr-defined]
        assert len(opened_at(path, made)) == 1501


@pytest.mark.parametrize("work", ["reorganize", "grow_index", "clear", "sync"])
@pytest.mark.parametrize("phase", range(IMAGE, len(NAMES)), ids=NAMES[IMAGE:])
def test_work_on_the_whole_log_or_index_in_each_phase(tmp_path: Path, phase: int, work: str) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store.update({b"%d" % number: b"old" for number in range(400)})
        push_to_disk(store)
        store.update({b"%d" % number: b"new" for number in range(200)})
        model = dict(store.items())
        store.checkpoint("snapshot")
        store[b"199"] = model[b"199"] = b"in"
        made = begun(store, "incremental")
        steps_until(store, phase)
        getattr(store, work)()
        store[b"later"] = b"value"
        checkpointer_of(store).finish()
        assert made.result(0) is made
        assert opened_at(path, made) == model
        now = {} if work == "clear" else dict(model)
        now[b"later"] = b"value"
        assert dict(store.items()) == now
        store.checkpoint("incremental")
        crashed(path, now)
        assert store.check() == []
    with disk_store(path) as store:
        assert dict(store.items()) == now


def test_clear_between_two(tmp_path: Path) -> None:
    """What was pending at the first one is looked for where the log began then, and not where it begins now."""
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        disk_of(store).stop()
        store.update({b"%d" % number: b"old" for number in range(100)})
        push_to_disk(store)
        store.update({b"%d" % number: b"new" for number in range(60)})
        assert table_of(store).pending.count() > 0
        store.checkpoint("snapshot")
        store.clear()
        made = store.checkpoint("incremental")
        assert made.kind == "incremental"
        crashed(path, {})
        store[b"a"] = b"value"
        store.checkpoint("incremental")
        crashed(path, {b"a": b"value"})


def test_what_is_pending_and_deleted_where_it_stands(tmp_path: Path) -> None:
    """Blind writes of keys that are on disk, and of none, then deleted in place, before and after they are settled."""
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        disk_of(store).stop()
        store.update({b"%d" % number: b"old" for number in range(200)})
        push_to_disk(store)
        model = dict(store.items())
        for number in range(100):
            store[b"%d" % number] = model[b"%d" % number] = b"blind"
        assert table_of(store).pending.count() > 50
        for turn in range(3):
            store.checkpoint("incremental")
            crashed(path, model)
            for number in range(turn, 100, 7):
                if store.pop(b"%d" % number, None) is not None:
                    del model[b"%d" % number]
            for number in range(turn + 1, 100, 7):
                store[b"%d" % number] = model[b"%d" % number] = b"BLIND"
            if turn == 1:
                assert len(store) == len(model)
        store.checkpoint("incremental")
        crashed(path, model)
        assert store.check() == []


def test_sessions_are_those_of_its_instant(tmp_path: Path) -> None:
    path = tmp_path / "store"

    def serials(made: oxidbm.Checkpoint) -> dict[str, int]:
        with disk_store(path, read_only=True, checkpoint=made.token) as store:
            return {known.name: known.serial for known in store.sessions()}

    with disk_store(path, checkpoints=False) as store:
        session = store.session("used")
        for name in ("kept", "forgotten"):
            with store.session(name) as other:
                other.upsert(name, "1")
        session.upsert("a", "1")
        first = begun(store, "snapshot")
        assert session.durable_serial == 0
        steps_until(store, COPY)
        session.upsert("a", "2")
        new = store.session("new")
        new.upsert("new", "1")
        checkpointer_of(store).finish()
        assert session.durable_serial == 1
        assert store.forget_session("forgotten")
        assert serials(first) == {"used": 1, "kept": 1, "forgotten": 1}
        session.upsert("a", "3")
        second = store.checkpoint("incremental")
        assert session.durable_serial == 3
        assert serials(second) == {"used": 3, "kept": 1, "new": 1}
        session.upsert("a", "4")
        third = store.checkpoint("incremental")  # nothing but a session and one value has changed
        assert serials(third) == {"used": 4, "kept": 1, "new": 1}
        crashed(path, dict(store.items()))
        session.upsert("a", "5")
        assert (session.durable_serial, new.durable_serial) == (4, 1)
        abandon(store)
    with disk_store(path) as store, store.session("used") as session:
        assert session.serial == session.durable_serial == 4
        assert store[b"a"] == b"4"


def test_a_session_waits_for_a_snapshot_or_makes_a_commit(tmp_path: Path) -> None:
    """One that asks for its operations to be durable gets a commit of the log; a snapshot that fails keeps nobody."""
    with disk_store(tmp_path / "store", checkpoints=False) as store:
        session = store.session("used")
        session.upsert("a", "1")
        made = begun(store, "snapshot")
        steps_until(store, COPY)
        assert session.commit() == session.durable_serial == 1
        session.upsert("a", "2")
        failure = OSError("no space")
        checkpointer_of(store).cancel(made, failure)  # type: ignore[arg-type]
        assert session.durable_serial == 1
        assert session.commit() == session.durable_serial == 2
        with pytest.raises(OSError, match="no space"):
            made.result(0)


def test_keys_that_expire(tmp_path: Path) -> None:
    path = tmp_path / "store"
    clock = Clock()
    with disk_store(path, checkpoints=False, clock=clock) as store:
        for number in range(30):
            store.set(b"%d" % number, b"value", expire=10 + number)
        store.checkpoint("snapshot")
        for number in range(10):
            store.touch(b"%d" % number, 100)  # in place
        clock.now += 25
        store.delete_many([b"12"])  # it has expired, and becomes a tombstone where it stands
        store.set(b"13", b"other", expire=50)
        store.checkpoint("incremental")
        alive = {number: store.ttl(b"%d" % number) for number in range(30) if b"%d" % number in store}
        assert set(alive) == {*range(10), 13, *range(16, 30)}
        abandon(store)
    with disk_store(path, clock=clock) as store:
        assert {number: store.ttl(b"%d" % number) for number in range(30) if b"%d" % number in store} == alive
        assert store.check() == []


@pytest.mark.parametrize("kind", KINDS)
def test_threads_write_their_numbers(tmp_path: Path, kind: Any) -> None:
    """Everything of a session up to its number in a snapshot is there, and nothing behind it; in place, most of it."""
    path = tmp_path / "store"
    store = oxidbm.Store(path, durability="manual", checkpoints=False)
    made: list[oxidbm.Checkpoint] = []
    done = threading.Event()

    def write(name: str) -> Callable[[], None]:
        def go() -> None:
            with store.session(name) as session:
                for number in range(1, scaled(30_000, 500)):
                    session.upsert(f"{name} {number % 97}", f"{number:09}")
                    if number % 1000 == 0:
                        session.delete(f"{name} {number % 97}")
                        session.upsert(f"{name} {number % 97}", f"{number:09}")

        return go

    def checkpoint() -> None:
        while not done.is_set() and len(made) < 40:
            made.append(store.checkpoint(kind))

    checker = threading.Thread(target=checkpoint)
    checker.start()
    try:
        run(*[write(f"s{number}") for number in range(3)])
    finally:
        done.set()
        checker.join()
    assert store.check() == []
    abandon(store)
    for each in [made[0], made[len(made) // 2], made[-1]]:
        with oxidbm.Store(path, read_only=True, checkpoint=each.token) as state:
            assert state.check() == []
            for known in state.sessions():
                check_numbers(state, known)


def check_numbers(state: oxidbm.Store, known: oxidbm.SessionInfo) -> None:
    """See that a session's keys have what its first operations, as many as its number says, have left there."""
    serial = 0
    expected: Model = {}
    number = 0
    while serial < known.serial:
        number += 1
        key = f"{known.name} {number % 97}".encode()
        for delete in (False, True, False) if number % 1000 == 0 else (False,):
            if serial < known.serial:
                serial += 1
                if delete:
                    del expected[key]
                else:
                    expected[key] = b"%09d" % number
    prefix = known.name.encode() + b" "
    assert {key: value for key, value in state.items() if key.startswith(prefix)} == expected


def test_the_first_state_of_a_store(tmp_path: Path) -> None:
    """Nothing of the log has ever been written when the first snapshot is there; an empty store has one too."""
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        empty = store.checkpoint("snapshot")
        crashed(path, {})
        store[b"a"] = b"value"
        made = store.checkpoint("incremental")
        assert not list((path / "log").iterdir())
        crashed(path, {b"a": b"value"})
        assert opened_at(path, made) == {b"a": b"value"}
        assert opened_at(path, empty) == {}
        abandon(store)
    oxidbm.recover(path, empty.token)
    with disk_store(path) as store:
        assert dict(store.items()) == {}


@pytest.mark.parametrize("size", [4072, 9000])
def test_a_first_record_that_leaves_the_first_page_out(tmp_path: Path, size: int) -> None:
    """The log begins behind it then; a snapshot from before, which needed nothing of it, can be gone back to."""
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        empty = store.checkpoint("snapshot")
        store[b"large"] = bytes(size)
        push_to_disk(store) if size == 9000 else store.checkpoint("snapshot")
        crashed(path, {b"large": bytes(size)})
        with disk_store(path, read_only=True, checkpoint=empty.token) as reader:
            assert dict(reader.items()) == {}
            reader.backup(tmp_path / "copy")
        abandon(store)
    with disk_store(tmp_path / "copy") as store:
        assert dict(store.items()) == {}
    oxidbm.recover(path, empty.token)
    with disk_store(path) as store:
        assert dict(store.items()) == {}
        store[b"small"] = b"value"
    with disk_store(path) as store:
        assert dict(store.items()) == {b"small": b"value"}
