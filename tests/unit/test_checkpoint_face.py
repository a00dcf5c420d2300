"""Checkpoints as users meet them: as stores of their own, in the figures, in check(), and how far a replay is."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.durability.replay import replaying
from oxidbm.device import Device, Directory, FileDevice
from oxidbm.testing import FaultyDevice
from tests.inside import abandon, checkpointer_of, log_of
from tests.unit.helpers import PAGE_BITS, begun, disk_store

OLD = {b"%d" % number: b"old" * 50 for number in range(200)}
NEW = {b"%d" % number: b"new" * 50 for number in range(200)}


def two_states(path: Path) -> oxidbm.Checkpoint:
    """Make a store, with a checkpoint of what it was before all was written anew."""
    with disk_store(path) as store:
        store.update(OLD)
        with store.session("s") as session:
            session.upsert("in a session", "1")
        made = store.checkpoint(name="before")
        store.update(NEW)
        with store.session("s") as session:
            session.upsert("in a session", "2")
    return made


def snapshot(path: Path) -> dict[str, bytes]:
    """Return every file of a directory but for the lock, whose note is the last writer's."""
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "LOCK"}


def test_a_checkpoint_becomes_a_store_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "store"
    made = two_states(path)
    before = snapshot(path)
    report = oxidbm.recover(path, made.token, to=tmp_path / "copy")
    assert (report.checkpoint, report.commit, report.bytes_cut) == (made.token, made.commit, 0)
    assert snapshot(path) == before
    with disk_store(tmp_path / "copy") as copy:
        assert dict(copy.items()) == OLD | {b"in a session": b"1"}
        assert [known.serial for known in copy.sessions()] == [1]
        assert copy.check() == []
        copy[b"and on"] = b"it goes"
    with disk_store(path, read_only=True) as store:
        assert dict(store.items()) == NEW | {b"in a session": b"2"}


def test_also_beside_a_writer_that_gives_its_log_up(tmp_path: Path) -> None:
    path = tmp_path / "store"
    made = two_states(path)
    with disk_store(path) as store, disk_store(path, read_only=True, checkpoint=made.token) as past:
        oxidbm.recover(str(path), made.token, to=str(tmp_path / "one"))
        assert store.purge(token=made.token) == [made.token]
        store.reorganize()
        assert past.stats()["held_bytes"] == 0
        past.backup(tmp_path / "other")  # what it has open, no purge takes away
        with pytest.raises(oxidbm.MissingError, match=made.token):
            oxidbm.recover(path, made.token, to=tmp_path / "third")
    for name in ("one", "other"):
        with disk_store(tmp_path / name) as copy:
            assert dict(copy.items()) == OLD | {b"in a session": b"1"}
            assert copy.check() == []
    assert not (tmp_path / "third").exists()


def test_what_cannot_be_a_store_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "store"
    made = two_states(path)
    before = snapshot(path)
    for to in (path, path / "inside"):
        with pytest.raises(oxidbm.FormatError, match="the store"):
            oxidbm.recover(path, made.token, to=to)
    with oxidbm.Store(tmp_path / "other") as other:
        other[b"a"] = b"value"
    with pytest.raises(oxidbm.FormatError, match="another store"):
        oxidbm.recover(path, made.token, to=tmp_path / "other")
    (tmp_path / "file").write_text("a file")
    with pytest.raises(oxidbm.FormatError, match="is a file"):
        oxidbm.recover(path, made.token, to=tmp_path / "file")
    with pytest.raises(oxidbm.MissingError, match="no store"):
        oxidbm.recover(tmp_path / "nowhere", made.token, to=tmp_path / "copy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(oxidbm.MissingError, match="holds no store"):
        oxidbm.recover(tmp_path / "empty", to=tmp_path / "copy")
    assert snapshot(path) == before
    assert not (tmp_path / "copy").exists()


def test_without_a_token_it_is_the_newest_state(tmp_path: Path) -> None:
    path = tmp_path / "store"
    made = two_states(path)
    with disk_store(path, checkpoints=False) as store:
        store.checkpoint("index")
    assert oxidbm.recover(path, to=tmp_path / "copy").commit == made.commit


def test_a_log_that_is_damaged_behind_the_checkpoint(tmp_path: Path) -> None:
    """Going back needs nothing of what came later."""
    path = tmp_path / "store"
    made = two_states(path)
    (segment,) = (path / "log").iterdir()
    data = bytearray(segment.read_bytes())
    data[made.end + 200] ^= 1
    segment.write_bytes(data)
    with pytest.raises(oxidbm.CorruptionError):
        disk_store(path, read_only=True)
    oxidbm.recover(path, made.token, to=tmp_path / "copy")
    oxidbm.recover(path, made.token)
    for name in ("store", "copy"):
        with disk_store(tmp_path / name) as store:
            assert dict(store.items()) == OLD | {b"in a session": b"1"}
            assert store.check() == []


def test_the_figures(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update(OLD)
        stats = store.stats()
        assert (stats["checkpoints"], stats["checkpoint_bytes"], stats["held_bytes"]) == (0, 0, 0)
        made = begun(store)
        assert store.stats()["checkpoint_running"]
        checkpointer_of(store).finish()
        stats = store.stats()
        assert (stats["checkpoints"], stats["checkpoint_running"]) == (1, False)
        assert stats["checkpoint_bytes"] == sum(file.stat().st_size for file in (path / "checkpoints").iterdir())
        assert stats["checkpoint_bytes"] > made.bytes
        before = sum(file.stat().st_size for file in (path / "log").iterdir())
        store.update(NEW)
        store.reorganize()
        held = store.stats()["held_bytes"]
        assert before <= held < store.stats()["file_bytes"]
        with disk_store(path, read_only=True) as reader:
            assert (reader.stats()["checkpoints"], reader.stats()["held_bytes"]) == (store.stats()["checkpoints"], held)
        left = store.stats()["file_bytes"] - held
        store.purge(keep=0)
        assert (store.stats()["held_bytes"], store.stats()["file_bytes"]) == (0, left)
    with oxidbm.Store() as memory:
        figures = ("checkpoints", "checkpoint_bytes", "held_bytes", "checkpoint_running", "checkpoint_failure")
        assert [memory.stats()[name] for name in figures] == [0, 0, 0, False, ""]


def test_which_one_builds_on_which(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store.update(OLD)
        folded = store.checkpoint()
        store.update(NEW)
        whole = store.checkpoint("snapshot")
        store[b"1"] = b"another value"
        part = begun(store, "incremental")
        assert part.base is None  # it is not known yet
        checkpointer_of(store).finish()
        part.result(0)
        store[b"2"] = b"another value"
        further = store.checkpoint("incremental")
        assert [known.base for known in (folded, whole, part, further)] == [None, None, whole.token, part.token]
        assert [known.base for known in store.checkpoints()] == [None, None, whole.token, part.token]
        assert store.purge(keep=1) == [folded.token]
        with pytest.raises(
            oxidbm.BusyError, match=f"the checkpoint {further.token} builds on {part.token}: purge it first"
        ):
            store.purge(token=part.token)
        assert store.purge(token=further.token) == [further.token]
        assert store.purge(keep=0) == [whole.token, part.token]
    with disk_store(tmp_path / "store") as store:
        assert store.checkpoint("incremental").kind == "snapshot"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["fold-over", "index", "log"])
def test_a_later_checkpoint_that_ends_where_a_snapshot_does(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update(OLD)
        made = store.checkpoint("snapshot")
        store[b"1"] = b"new" * 50  # in place
        later = store.checkpoint(kind)
        assert later.end == made.end
    with disk_store(path, read_only=True, checkpoint=made.token) as past:
        assert dict(past.items()) == OLD
        assert (past.recovery.checkpoint, past.recovery.faults) == (made.token, [])
    oxidbm.recover(path, made.token, to=tmp_path / "copy")
    assert oxidbm.recover(path, made.token).commit == made.commit
    for name in ("store", "copy"):
        with disk_store(tmp_path / name) as store:
            assert dict(store.items()) == OLD
            assert store.check() == []


def test_the_newest_state_is_a_snapshot_that_is_gone(tmp_path: Path) -> None:
    """The warning says what is missing and what is lost; as an error, it leaves the store as it was."""
    path = tmp_path / "store"
    store = disk_store(path)
    store.update(OLD)
    store.sync()
    store[b"1"] = b"new" * 50
    made = store.checkpoint("snapshot")
    abandon(store)
    file = path / "checkpoints" / f"{made.token}.snapshot.zst"
    file.rename(tmp_path / "aside")
    before = snapshot(path)
    said = f"^{re.escape(str(file))} is missing, .* The snapshot {made.token} was .* and commit {made.commit} is lost"
    with pytest.warns(oxidbm.RecoveryWarning, match=said):
        reader = disk_store(path, read_only=True)
    with reader:
        assert dict(reader.items()) == OLD
        assert reader.recovery.commit == made.commit - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", oxidbm.RecoveryWarning)
        with pytest.raises(oxidbm.RecoveryWarning, match=said):
            disk_store(path, read_only=True)
    assert snapshot(path) == before
    (tmp_path / "aside").rename(file)
    with disk_store(path) as store:
        assert dict(store.items()) == OLD | {b"1": b"new" * 50}
        assert store.check() == []


def test_what_is_durable_by_a_snapshot_alone_outlives_its_purge(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = disk_store(path)
    store.update(OLD)
    store.sync()
    store[b"1"] = b"new" * 50
    made = store.checkpoint("snapshot")
    assert store.stats()["durable_sequence"] == made.commit
    assert store.purge(token=made.token) == [made.token]
    abandon(store)
    with disk_store(path) as store:
        assert dict(store.items()) == OLD | {b"1": b"new" * 50}


def test_the_last_failure_of_an_automatic_one(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update(OLD)
        store.checkpoint()
        store.update(NEW)
        store.purge(keep=0)
        (path / "checkpoints").rmdir()
        (path / "checkpoints").write_text("in the way")
        checkpoints = checkpointer_of(store)
        checkpoints.files.close()
        checkpoints.schedule.records -= 1_000_000_000
        store.sync()
        checkpoints.finish()
        (path / "checkpoints").unlink()
        assert "checkpoints" in store.stats()["checkpoint_failure"]
        assert store.check() == []


def test_check_reads_what_only_a_checkpoint_needs(tmp_path: Path) -> None:
    path = tmp_path / "store"
    made = two_states(path)
    file = path / "checkpoints" / f"{made.token}.json"
    with disk_store(path) as store:
        assert store.check() == []
        file.rename(tmp_path / "aside")
        assert store.check() == []  # it is gone: there is nothing to say
        (tmp_path / "aside").rename(file)
        said = json.loads(file.read_text())
        with disk_store(path, read_only=True, checkpoint=made.token) as past:
            store.checkpoint(name="later")
            assert past.check() == []  # of what came later a reader knows nothing
        file.write_text(json.dumps({**said, "format_version": 9}))
        assert [made.token in fault and "Upgrade" in fault for fault in store.check()] == [True]


def test_check_and_salvage_of_a_store_that_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "store"
    made = two_states(path)
    (segment,) = (path / "log").iterdir()
    data = bytearray(segment.read_bytes())
    data[made.end + 200] ^= 1
    segment.write_bytes(data)
    faults = oxidbm.check(path)
    assert faults
    assert not [fault for fault in faults if "checkpoint" in fault]
    report = oxidbm.salvage(path, tmp_path / "saved")
    assert report.lost_ranges == 1
    assert not [fault for fault in report.faults if "checkpoint" in fault]
    assert not (tmp_path / "saved" / "checkpoints").exists()


class Watched(FaultyDevice):
    """A device at whose reads somebody looks how far the replay is."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.seen: list[tuple[int, int]] = []

    def read(self, address: int, size: int) -> bytes:
        """Read, and look."""
        found = replaying()
        if found is not None:
            self.seen.append(found)
        return super().read(address, size)


def test_how_far_a_replay_is(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        for _ in range(40):
            store.update(NEW)
            store.sync()
    assert replaying() is None
    device = Watched(FileDevice(Directory(str(path / "log")), PAGE_BITS))
    with disk_store(path, device=device, checkpoints=False) as store:
        total = int(log_of(store).device.end()) - FIRST_ADDRESS
    assert replaying() is None
    done = [done for done, _ in device.seen]
    assert {whole for _, whole in device.seen} == {total}
    assert done == sorted(done)
    assert 0 <= done[0] < total // 2 < done[-1] <= total
