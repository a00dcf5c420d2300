"""What opening says behind an image of keys and live records: what the last commit knew, and the rest when asked."""

import random
from pathlib import Path

import pytest

import oxidbm
from tests.inside import abandon, disk_of
from tests.support import pending_is_known, scaled
from tests.unit.helpers import disk_store, push_to_disk
from tests.unit.test_checkpoint import Model, change


def fill(store: oxidbm.Store, model: Model, chance: random.Random, pending: int) -> None:
    """Have much on disk, and some operations behind it, of which blind writes are pending in the image that follows."""
    disk_of(store).stop()
    change(store, model, chance, 2000)
    push_to_disk(store)
    change(store, model, chance, pending)


@pytest.mark.parametrize("how", ["updates", "deletes", "compaction", "clear", "another commit"])
@pytest.mark.parametrize("seed", range(scaled(6, 2)))
def test_the_size_of_live_records_behind_an_image(tmp_path: Path, seed: int, how: str) -> None:
    """A commit with blind writes that nobody has looked at does not know it."""
    path = tmp_path / "store"
    chance = random.Random(seed)
    model: Model = {}
    with disk_store(path) as store:
        fill(store, model, chance, 20)
        store.checkpoint()
        if how == "compaction":
            store.reorganize()
            push_to_disk(store)
        elif how == "clear":
            store.clear()
            model.clear()
        change(store, model, chance, 20 if how != "deletes" else 0)
        for key in list(model)[: 5 if how == "deletes" else 0]:
            del store[key], model[key]
        push_to_disk(store)
        for key in list(model)[-3:]:
            model[key] = store[key] = b"blind"
        pending = store.stats()["unverified"]
        assert pending > 0 or not model
        store.sync()
        if how == "another commit":
            push_to_disk(store)
            change(store, model, chance, 3, keys=5)
            store.sync()
        pending = store.stats()["unverified"]
        assert len(store) == len(model)  # which looks at them
        size = store.stats()["live_bytes"]
        abandon(store)
    with disk_store(path, read_only=True) as store:
        assert store.recovery.checkpoint is not None
        assert store.recovery.records > 0
        assert store.stats()["unverified"] == (0 if pending_is_known(store) else pending)
        assert dict(store.items()) == model
        assert len(store) == len(model)
        assert store.stats()["live_bytes"] == size
        assert store.check() == []


@pytest.mark.parametrize("how", ["updates", "deletes", "compaction", "clear", "two"])
@pytest.mark.parametrize("seed", range(scaled(12, 4)))
def test_the_size_of_live_records_at_an_incremental_snapshot(tmp_path: Path, seed: int, how: str) -> None:
    """What its image leads to may have been updated and deleted where it stands since."""
    path = tmp_path / "store"
    chance = random.Random(seed)
    model: Model = {}
    with disk_store(path) as store:
        fill(store, model, chance, 40)
        store.checkpoint("snapshot")
        if how == "compaction":
            store.reorganize()
        elif how == "clear":
            store.clear()
            model.clear()
        change(store, model, chance, 40 if how != "deletes" else 0)
        for key in list(model)[-20 if how == "deletes" else len(model) :]:
            del store[key], model[key]
        if how == "two":
            store.checkpoint("incremental")
            change(store, model, chance, 40)
        for key in list(model)[:10]:  # most of which are on disk alone
            model[key] = store[key] = b"blind"
        assert how in ("compaction", "clear") or store.stats()["unverified"] > 0
        pending = store.stats()["unverified"]
        made = store.checkpoint("incremental")
        assert len(store) == len(model)  # which looks at them
        size = store.stats()["live_bytes"]
        abandon(store)
    for read_only in (True, False):
        with disk_store(path, read_only=read_only) as store:
            assert store.recovery.checkpoint == made.token
            assert store.stats()["unverified"] == pending
            assert dict(store.items()) == model
            assert len(store) == len(model)
            assert store.stats()["live_bytes"] == size
            assert store.check() == []


@pytest.mark.parametrize("kind", ["fold-over", "incremental"])
def test_opening_behind_an_image_reads_nothing_of_the_log_before(tmp_path: Path, kind: str) -> None:
    """Not either where the last commit did not know the size of the live records: damage there is not found."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        store.update((b"%d" % number, b"value") for number in range(5000))
        made = store.checkpoint()
        push_to_disk(store)
        if kind == "incremental":
            store.checkpoint("snapshot")
        store[b"7"] = b"written without a look at what was there"
        assert store.stats()["unverified"] == 1
        if kind == "incremental":
            made = store.checkpoint("incremental")
        else:
            store.sync()
        abandon(store)
    segment = path / "log" / "0000000000.seg"
    data = bytearray(segment.read_bytes())
    data[100_000] ^= 1
    segment.write_bytes(data)
    with disk_store(path, read_only=True) as store:
        assert store.recovery.checkpoint == made.token
        assert store.recovery.records == 2
        assert store[b"7"] == b"written without a look at what was there"
        assert len(store) == 5000
