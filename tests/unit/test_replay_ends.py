"""An opening replays up to the newest commit, once: what stands behind it is looked at and not applied."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.inside import abandon, table_of
from tests.support import scaled
from tests.unit.helpers import PAGE_BYTES, disk_store, push_to_disk

COUNT = scaled(20000, least=10000)
IN_IMAGE = 25000  # more than the least index has room for
Model = dict[bytes, bytes]


def pairs(word: str, count: int = COUNT) -> Model:
    """Return as many items, whose values name the word."""
    return {b"%d" % i: b"%s of %d" % (word.encode(), i) for i in range(count)}


def killed(path: Path, device: CrashDevice, committed: Model, behind: Model) -> None:
    """Make a store in which all of `behind` was written out and never committed."""
    store = disk_store(path, device=device, checkpoints=False)
    store.update(committed)
    store.sync()
    store.update(behind)
    assert table_of(store).log.flushed > 1.5 * store.stats()["durable_tail"]
    abandon(store)


def test_what_was_never_committed_is_read_through_and_not_applied(tmp_path: Path) -> None:
    device = CrashDevice(PAGE_BYTES)
    committed = pairs("committed")
    killed(tmp_path / "store", device, committed, pairs("lost", 3 * COUNT))
    counted = Begun(device)
    with disk_store(tmp_path / "store", device=counted) as store:
        assert counted.address_counts[FIRST_ADDRESS] == 1
        assert dict(store) == committed
        assert store.recovery.bytes_cut > 0
        assert store.recovery.records == COUNT + 1
        assert store.check() == []


class Begun(FaultyDevice):
    """A device that notes which addresses were read from, and how often."""

    def __init__(self, device: CrashDevice) -> None:
        super().__init__(device)
        self.address_counts: Counter[int] = Counter()

    def read(self, address: int, size: int) -> bytes:
        """Read, and note it."""
        self.address_counts[address] += 1
        return super().read(address, size)


class Behind(FaultyDevice):
    """A device that shows a commit only once it was read so often, as one does to which somebody writes."""

    def __init__(self, device: CrashDevice, hidden: tuple[int, int], reads: int) -> None:
        super().__init__(device)
        self.hidden = hidden
        self.reads = reads

    def read(self, address: int, size: int) -> bytes:
        """Read, with zeros where there is nothing yet."""
        data = bytearray(super().read(address, size))
        first, last = (max(address, min(place, address + len(data))) - address for place in self.hidden)
        if last > first:
            self.reads -= 1
            if self.reads >= 0:
                data[first:last] = bytes(last - first)
        return bytes(data)


@pytest.mark.parametrize("reads", [1, 2])
def test_a_commit_that_comes_meanwhile(reads: int, tmp_path: Path) -> None:
    """It is found by none that looks for the newest one, and met, whole, by the one who looks behind that."""
    device = CrashDevice(PAGE_BYTES)
    store = disk_store(tmp_path / "store", device=device, checkpoints=False)
    store.update(pairs("first"))
    store.sync()
    before = store.stats()["durable_tail"]
    store.update(pairs("second", COUNT // 2))
    store.sync()
    hidden = before, store.stats()["durable_tail"]
    abandon(store)
    late = Behind(device, hidden, reads)
    with disk_store(tmp_path / "store", device=late, read_only=True) as store:
        assert dict(store) in (pairs("first"), pairs("first") | pairs("second", COUNT // 2))
        assert len(store) == COUNT
        assert store.check() == []


def cleared(path: Path) -> tuple[oxidbm.Store, Model]:
    """Return a store that was full at its checkpoint, and was changed, cleared and filled anew since; killed."""
    store = disk_store(path)
    store.update(pairs("old", IN_IMAGE))
    with store.session("writer") as session:
        session.upsert(b"0", b"numbered")
    assert store.checkpoint().end <= store.stats()["durable_tail"]
    push_to_disk(store)
    store.update({b"%d" % i: b"changed" for i in range(COUNT // 10)})
    for i in range(COUNT // 20):
        del store[b"%d" % (i * 3)]
    store.sync()
    store.clear()
    new = pairs("new", 50)
    store.update(new)
    store.update({b"0": b"once more"})
    del store[b"1"]
    new[b"0"] = b"once more"
    del new[b"1"]
    store.sync()
    return store, new


@pytest.mark.parametrize("read_only", [False, True], ids=["writer", "reader"])
def test_the_index_of_a_store_that_was_cleared_since_its_checkpoint_is_as_small_as_it(
    read_only: bool, tmp_path: Path
) -> None:
    store, model = cleared(tmp_path / "store")
    shutil.copytree(tmp_path / "store", tmp_path / "killed")
    abandon(store)
    with disk_store(tmp_path / "killed", read_only=read_only) as again:
        assert again.recovery.checkpoint is not None
        assert again.recovery.faults == []
        assert again.recovery.records < IN_IMAGE
        assert dict(again) == model
        assert len(again) == len(model)
        assert again.stats()["index_buckets"] == 4096
        assert again.check() == []
        assert [found.serial for found in again.sessions()] == [1]
        if not read_only:
            again.update(pairs("newer", 100))
            again.sync()
            assert len(again) == 100


@pytest.mark.parametrize("lost", [1, 100])
def test_the_commit_of_a_clear_that_was_torn(lost: int, tmp_path: Path) -> None:
    """The newest commit is whole and what stands before it is not, so the state is one from before the clearing."""
    path = tmp_path / "store"
    store = disk_store(path)
    store.update(pairs("old"))
    store.checkpoint()
    store.update({b"more": b"of it"})
    store.sync()
    old = pairs("old") | {b"more": b"of it"}
    at = store.stats()["durable_tail"]
    store.clear()
    store.update(pairs("new", 200))
    store.sync()
    shutil.copytree(path, tmp_path / "torn")
    abandon(store)
    (name,) = [file for file in (tmp_path / "torn" / "log").iterdir() if int(file.stem) * PAGE_BYTES <= at][-1:]
    with name.open("r+b") as file:
        file.seek(at + lost * 8 - int(name.stem) * PAGE_BYTES)
        file.write(bytes(64))
    with disk_store(tmp_path / "torn") as again:
        assert dict(again) == old
        assert again.recovery.checkpoint is not None
        assert again.check() == []
