"""What opening says behind an image of keys and live records: what the last commit knew, and the rest when asked."""

import random
from pathlib import Path

import pytest

import oxidbm
from oxidbm.testing import CrashDevice
from tests.inside import abandon, disk_of
from tests.support import pending_is_known, scaled
from tests.unit.helpers import CountedReads, disk_store, push_to_disk
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


@pytest.mark.parametrize("how", ["updates", "deletes", "compaction", "clear", "settled"])
@pytest.mark.parametrize("seed", range(scaled(20, 5)))
def test_the_size_of_live_records_behind_a_replay_of_all(tmp_path: Path, seed: int, how: str) -> None:
    """The commit says it but for what was pending, which are the newest that had not looked at what they replaced."""
    path = tmp_path / "store"
    chance = random.Random(seed)
    model: Model = {}
    with disk_store(path, checkpoints=False) as store:
        fill(store, model, chance, 200)
        if how == "settled":
            assert len(store) == len(model)
            push_to_disk(store)
        elif how == "compaction":
            store.reorganize()
            push_to_disk(store)
        elif how == "clear":
            store.clear()
            model.clear()
        change(store, model, chance, 40 if how != "deletes" else 0)
        for key in list(model)[: 50 if how == "deletes" else 0]:
            del store[key], model[key]
        for key in list(model)[:10]:
            model[key] = store[key] = b"blind"
        assert how == "clear" or store.stats()["unverified"] > 0
        store.sync()
        assert len(store) == len(model)  # which looks at them
        size = store.stats()["live_bytes"]
        abandon(store)
    with disk_store(path, checkpoints=False, read_only=True) as store:
        assert store.recovery.checkpoint is None
        assert dict(store.items()) == model
        assert store.stats()["live_bytes"] == size
        assert store.check() == []


def test_what_was_pending_and_is_not_kept_is_counted(tmp_path: Path) -> None:
    """A store with little memory keeps little of it, and reads the log once more."""
    path = tmp_path / "store"
    keys = 12_000
    with disk_store(path, checkpoints=False, memory="8MiB") as store:
        disk_of(store).stop()
        store.update((b"%d" % number, b"value") for number in range(keys))
        push_to_disk(store)
        store.update((b"%d" % number, b"another value, longer") for number in range(0, keys, 2))
        assert store.stats()["unverified"] > 2 * 2048  # of which a megabyte keeps half
        store.sync()
        assert len(store) == keys
        size = store.stats()["live_bytes"]
        abandon(store)
    for memory in ("8MiB", "1MiB"):
        with disk_store(path, checkpoints=False, read_only=True, memory=memory) as store:
            assert store.stats()["live_bytes"] == size


def test_a_replay_of_all_reads_the_log_once(tmp_path: Path) -> None:
    device = CrashDevice(4096, segment_bytes=1 << 20)
    keys = 4000
    with disk_store(tmp_path / "store", checkpoints=False, device=device) as store:
        disk_of(store).stop()
        store.update((b"%d" % number, bytes(200)) for number in range(keys))
        push_to_disk(store)
        store.update((b"%d" % number, bytes(200)) for number in range(100))
        assert store.stats()["unverified"] == 100
        store.sync()
        length = store.stats()["tail"]
        abandon(store)
    counted = CountedReads(device, least=4096)
    with disk_store(tmp_path / "store", checkpoints=False, device=counted) as store:
        assert store.stats()["live_bytes"] == keys * 232
        assert length <= counted.bytes_read < 1.5 * length


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


@pytest.mark.parametrize("written", [0, 3])
def test_what_was_settled_is_not_pending_again(tmp_path: Path, written: int) -> None:
    """No commit says so where nothing was written since; each would be a read of the disk, at each opening anew."""
    path = tmp_path / "store"
    with disk_store(path, memory="8MiB") as store:
        disk_of(store).stop()
        store.update((b"%d" % number, b"value") for number in range(3000))
        push_to_disk(store)
        store.update((b"%d" % number, b"blind") for number in range(200))
        store.checkpoint("index")
        store.sync()
    with disk_store(path, memory="8MiB") as store:
        assert store.stats()["unverified"] == 200
        assert len(store) == 3000
        for number in range(written):
            store[b"new %d" % number] = b"value"
    with disk_store(path, memory="8MiB") as store:
        assert store.stats()["unverified"] == 0
        assert len(store) == 3000 + written
