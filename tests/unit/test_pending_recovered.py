"""What is pending at a commit is pending behind an opening: the records alone say which ones, and nothing is read."""

import random
import shutil
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.log.flush import flush_for
from oxidbm._core.table.compaction import Compaction
from oxidbm._core.table.settle import settle
from tests.collisions import colliding_key
from tests.inside import abandon, begin_compaction, compactor_of, disk_of, log_of, table_of
from tests.support import pending_is_known, soaked
from tests.unit.helpers import SEED, disk_store, push_to_disk

Model = dict[bytes, bytes]

# groups of keys that share an index entry when one of them is written blindly, and how many are in each
SHAPES = ((12, 4), (2, 8), (40, 2), (60, 1), (6, 3), (6, 1))
CHANCES = {"set": 30, "same": 12, "delete": 14, "add": 10, "take": 5, "push": 6, "len": 0.7, "settle": 2, "sync": 5}
RARELY = {"fold-over": 2, "snapshot": 2, "incremental": 3, "slice": 4, "reorganize": 1, "clear": 0.3, "crash": 5}


def write(store: oxidbm.Store, model: Model, chance: random.Random, what: str, shape: tuple[int, int]) -> None:
    """Do a write to a store and its model."""
    key = colliding_key(SEED, chance.randrange(shape[0]), chance.randrange(shape[1]))
    value = bytes(chance.randrange(90)) + b"%d" % chance.getrandbits(30)
    if what == "set":
        model[key] = store[key] = value
    elif what == "same" and key in model:
        model[key] = store[key] = bytes(len(model[key]))
    elif what == "delete" and key in model:
        del store[key], model[key]
    elif what == "add" and store.setdefault(key, value) == value:
        model[key] = value
    elif what == "take" and key in model:
        assert store.pop(key) == model.pop(key)


def slice_of(store: oxidbm.Store, current: Compaction | None, size: int) -> Compaction | None:
    """Do some of a compaction, or begin one; return it where there is more to do."""
    log = log_of(store)
    if current is None:
        log.device.roll()
        until = log.device.segment_end(log.begin) if log.flushed > log.begin else 0
        if not log.begin < until <= log.flushed or until & log.offset_mask:
            return None
        current = begin_compaction(store, until)
    at = current.cursor.following
    if current.slice(size, False):
        if current.cursor.following == at:
            flush_for(log, current.wanted_room())
        return current
    return None if compactor_of(store).finish(current) else current


def same(store: oxidbm.Store, model: Model, pending: int, size: int) -> None:
    """Hold a store against its model, and what it says of itself against what it said before."""
    assert store.stats()["unverified"] == pending
    assert dict(store.items()) == model
    assert store.get_many(model) == list(model.values())
    assert len(store) == len(model)
    assert store.stats()["live_bytes"] == size
    assert store.check() == []


@pytest.mark.parametrize("seed", range(soaked(40, 4)))
def test_a_crash_at_any_commit(tmp_path: Path, seed: int) -> None:
    """Whatever was written, compacted and copied: what one store knew at its last commit the next one knows."""
    path = tmp_path / "store"
    chance = random.Random(seed)
    model: Model = {}
    store = disk_store(path)
    disk_of(store).stop()
    shape = chance.choice(SHAPES)
    names = {name: weight * chance.choice([0.2, 1, 1, 3]) for name, weight in {**CHANCES, **RARELY}.items()}
    compaction: Compaction | None = None
    try:
        for what in chance.choices(list(names), list(names.values()), k=400):
            if what in ("fold-over", "snapshot", "incremental"):
                store.checkpoint(what)  # type: ignore[arg-type]
            elif what == "push":
                push_to_disk(store)
            elif what == "len":
                assert len(store) == len(model)
            elif what == "sync":
                store.sync()
            elif what == "settle":
                settle(table_of(store), chance.randrange(1, 8))
            elif what == "slice":
                compaction = slice_of(store, compaction, chance.choice([100, 1000, 5000]))
            elif what == "reorganize":
                store.reorganize()
                compaction = None
            elif what == "clear":
                while compaction is not None:
                    compaction = slice_of(store, compaction, 5000)
                store.clear()
                model.clear()
            elif what == "crash":
                compaction = None
                model[b"last"] = store[b"last"] = b"%d" % chance.getrandbits(30)  # or no commit would be made
                store.sync()
                pending = store.stats()["unverified"]
                with oxidbm.Store(path, read_only=True) as reader:
                    assert reader.stats()["unverified"] in (0, pending)  # 0 by replay from the first record on
                    assert dict(reader.items()) == model
                    assert len(reader) == len(model)
                assert len(store) == len(model)
                size = store.stats()["live_bytes"]
                abandon(store)
                store = disk_store(path)
                disk_of(store).stop()
                assert store.recovery.faults == []
                same(store, model, 0 if pending_is_known(store) else pending, size)
            else:
                write(store, model, chance, what, shape)
    finally:
        abandon(store)


@pytest.mark.parametrize("seed", range(soaked(20, 3)))
def test_a_reader_that_follows_with_records_pending(tmp_path: Path, seed: int) -> None:
    """It has those of its opening, of which each new commit may or may not be sure."""
    path = tmp_path / "store"
    chance = random.Random(1000 + seed)
    model: Model = {}
    with disk_store(path) as store:
        disk_of(store).stop()
        for _ in range(100):
            write(store, model, chance, "set", SHAPES[0])
        push_to_disk(store)
        for _ in range(10):
            write(store, model, chance, "set", SHAPES[0])
        store.checkpoint("fold-over")
        with oxidbm.Store(path, read_only=True, memory="1MiB") as reader:
            for what in chance.choices(["set", "delete", "push", "len", "reader", "reorganize", "clear"], k=60):
                if what == "push":
                    push_to_disk(store)
                elif what == "len":
                    assert len(store) == len(model)
                elif what == "reorganize":
                    store.reorganize()
                elif what == "clear" and chance.random() < 0.3:
                    store.clear()
                    model.clear()
                elif what == "reader":
                    store.sync()
                    reader.refresh()
                    assert dict(reader.items()) == model
                    if chance.random() < 0.3:
                        assert len(reader) == len(model)
                        assert reader.check() == []
                else:
                    for _ in range(4):
                        write(store, model, chance, what, SHAPES[0])
            store.sync()
            reader.refresh()
            assert len(reader) == len(model) == len(store)
            assert reader.stats()["live_bytes"] == store.stats()["live_bytes"]


def test_opening_reads_nothing_of_the_log_before_its_image(tmp_path: Path) -> None:
    """Neither what was pending, nor what was updated, deleted or written blindly since: damage there is not found."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        store.update((b"%d" % number, b"value") for number in range(5000))
        push_to_disk(store)
        for number in range(100):
            store[b"%d" % number] = b"pending in the image"
        store.checkpoint()
        for number in range(50, 100):
            store[b"%d" % number] = b"updated, longer than before"
        for number in range(20):
            del store[b"%d" % number]
        push_to_disk(store)
        for number in range(80, 150):
            store[b"%d" % number] = b"written blindly"
        pending = store.stats()["unverified"]
        assert pending == 170
        made = store.checkpoint("log")
        abandon(store)
    segment = path / "log" / "0000000000.seg"
    whole = segment.read_bytes()
    data = bytearray(whole)
    for place in range(1000, 200_000, 48):  # each record
        data[place] ^= 1
    segment.write_bytes(data)
    with disk_store(path, read_only=True) as store:
        assert store.recovery.checkpoint is not None
        assert store.recovery.records > 100
        assert store.recovery.commit == made.commit
        assert store.stats()["unverified"] == pending
        assert store[b"120"] == b"written blindly"
    segment.write_bytes(whole)
    with disk_store(path) as store:
        assert store.stats()["unverified"] == pending
        assert len(store) == 4980
        assert store.check() == []


def test_a_key_that_came_in_front_of_another_ones_record(tmp_path: Path) -> None:
    """Its entry was one for it alone when it was deleted, as settling found; the image's may lead to others."""
    path = tmp_path / "store"
    a, b = colliding_key(SEED, 0, 0), colliding_key(SEED, 0, 1)
    with disk_store(path) as store:
        disk_of(store).stop()
        store[a] = b"1"
        push_to_disk(store)
        store[a] = b"blind"
        store.checkpoint()
        assert len(store) == 1
        store[b] = b"b"
        push_to_disk(store)
        del store[a]
        store[a] = b"blind, in front of b"
        store.sync()
        assert store.check() == []
        abandon(store)
    for read_only in (True, False):
        with disk_store(path, read_only=read_only) as store:
            assert store.recovery.checkpoint is not None
            assert store.get_many([a, b]) == [b"blind, in front of b", b"b"]
            assert dict(store.items()) == {a: b"blind, in front of b", b: b"b"}
            assert store.check() == []


def test_a_key_that_was_set_and_deleted_behind_its_tombstone(tmp_path: Path) -> None:
    """The one record that is left of that is a tombstone of a key that was not there."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        store[b"a"] = b"1"
        store[b"b"] = b"1"
        push_to_disk(store)
        store[b"a"] = b"blind"
        store.sync()
        del store[b"a"]
        assert len(store) == 1
        store.checkpoint()
        store[b"a"] = b"again"
        del store[b"a"]
        store.sync()
        abandon(store)
    with disk_store(path) as store:
        assert store.recovery.checkpoint is not None
        assert store.recovery.records == 2
        assert store.recovery.faults == []
        assert dict(store.items()) == {b"b": b"1"}
        assert store.check() == []


def test_a_key_in_front_of_another_ones_tombstone_by_a_replay_of_the_whole_log(tmp_path: Path) -> None:
    """The replay knows no entry that leads to the tombstone, behind which stand the other key's records."""
    path = tmp_path / "store"
    a, b = colliding_key(SEED, 0, 0), colliding_key(SEED, 0, 1)
    with disk_store(path) as store:
        store[a] = b"1"
        push_to_disk(store)
        store[a] = b"blind"
        store.checkpoint()
        abandon(store)
    with disk_store(path, checkpoints=False) as store:
        disk_of(store).stop()
        del store[a]
        push_to_disk(store)
        store[b] = b"in front of the tombstone"
        store.sync()
        abandon(store)
    shutil.rmtree(path / "checkpoints")
    with disk_store(path, checkpoints=False) as store:
        disk_of(store).stop()
        assert store.recovery.checkpoint is None
        store[a] = b"again"
        push_to_disk(store)
        store[a] = b"once more"  # in memory, so that what is set next is written blindly
        store[b] = b"blind again"
        assert store.get_many([a, b]) == [b"once more", b"blind again"]
        assert dict(store.items()) == {a: b"once more", b: b"blind again"}
        assert len(store) == 2
        assert store.check() == []
