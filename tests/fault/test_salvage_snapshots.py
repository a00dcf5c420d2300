"""A salvage of a store whose newest state is in a snapshot, which is not in the log: it says so, and what to do."""

from pathlib import Path

import pytest

import oxidbm
from tests.inside import abandon
from tests.unit.helpers import disk_store


@pytest.fixture
def crashed(tmp_path: Path) -> tuple[Path, oxidbm.Checkpoint]:
    """A store that was killed behind a commit, a snapshot and one that builds on it; and the last one."""
    path = tmp_path / "store"
    store = disk_store(path)
    store[b"a"] = b"in the log"
    store.checkpoint()
    store[b"a"] = b"in a snapshot"
    store.checkpoint("snapshot")
    store[b"b"] = b"in an incremental one"
    newest = store.checkpoint("incremental")
    abandon(store)
    return path, newest


def damage(path: Path) -> None:
    """Change a byte of the first record."""
    with (path / "log" / "0000000000.seg").open("r+b") as file:
        file.seek(64 + 24)
        file.write(b"\xff")


def test_the_newest_snapshot_is_told(crashed: tuple[Path, oxidbm.Checkpoint], tmp_path: Path) -> None:
    path, newest = crashed
    report = oxidbm.salvage(path, tmp_path / "saved")
    assert (report.newer_snapshot, report.newer_commit) == (newest.token, newest.commit)
    assert report.commit_sequence == 1
    assert report.as_dict()["newer_snapshot"] == newest.token
    way = f"`oxidbm recover {path} {newest.token} --to NEW` makes a store of it, if the log before is sound"
    said = (
        f"{path / 'checkpoints'}: the snapshot {newest.token} is of commit {newest.commit}, and the log has commit 1 "
        f"that counts; what only the snapshot has is not in {tmp_path / 'saved'}: {way}"
    )
    assert report.faults == [said]
    with oxidbm.Store(tmp_path / "saved") as saved:
        assert dict(saved) == {b"a": b"in the log"}
    oxidbm.recover(path, newest, to=tmp_path / "new")  # as it said
    with oxidbm.Store(tmp_path / "new") as new:
        assert dict(new) == {b"a": b"in a snapshot", b"b": b"in an incremental one"}


def test_what_the_log_has_is_not_told(crashed: tuple[Path, oxidbm.Checkpoint], tmp_path: Path) -> None:
    path, newest = crashed
    with disk_store(path) as store:
        assert store.recovery.commit == newest.commit
    report = oxidbm.salvage(path, tmp_path / "saved")
    assert (report.newer_snapshot, report.newer_commit, report.faults) == (None, 0, [])
    with oxidbm.Store(tmp_path / "saved") as saved:
        assert dict(saved) == {b"a": b"in a snapshot", b"b": b"in an incremental one"}


@pytest.mark.parametrize("how", ["missing", "one wrong byte"])
def test_without_a_superblock_that_has_to_come_back_first(
    crashed: tuple[Path, oxidbm.Checkpoint], tmp_path: Path, how: str
) -> None:
    path, newest = crashed
    superblock = (path / "STORE").read_bytes()
    if how == "missing":
        (path / "STORE").unlink()
    else:
        (path / "STORE").write_bytes(superblock[:20] + bytes([superblock[20] ^ 1]) + superblock[21:])
    report = oxidbm.salvage(path, tmp_path / "saved")
    assert report.newer_snapshot == newest.token
    assert "restore STORE from a copy, it never changes; then `oxidbm recover" in report.faults[-1]
    (path / "STORE").write_bytes(superblock)
    oxidbm.recover(path, newest, to=tmp_path / "new")
    with oxidbm.Store(tmp_path / "new") as new:
        assert dict(new) == {b"a": b"in a snapshot", b"b": b"in an incremental one"}


def test_no_commit_of_the_log_counts(crashed: tuple[Path, oxidbm.Checkpoint], tmp_path: Path) -> None:
    path, newest = crashed
    damage(path)
    report = oxidbm.salvage(path, tmp_path / "saved")
    assert (report.newer_snapshot, report.commit_sequence) == (newest.token, 0)
    assert "and the log has no commit that counts" in report.faults[-1]


def test_checkpoints_that_cannot_be_read_are_faults(crashed: tuple[Path, oxidbm.Checkpoint], tmp_path: Path) -> None:
    path, newest = crashed
    said = path / "checkpoints" / f"{newest.token}.json"
    said.write_text("{}")
    report = oxidbm.salvage(path, tmp_path / "saved")
    assert report.newer_commit == newest.commit - 1
    assert report.newer_snapshot is not None
    assert [str(said) in fault for fault in report.faults] == [True, False]
    for file in (path / "checkpoints").iterdir():
        file.unlink()
    (path / "checkpoints").rmdir()
    (path / "checkpoints").write_text("a file")
    report = oxidbm.salvage(path, tmp_path / "again")
    assert report.newer_snapshot is None
    assert report.faults == [f"{path / 'checkpoints'} is no directory; delete it to have checkpoints"]


def test_a_checkpoint_of_another_store_is_a_fault(crashed: tuple[Path, oxidbm.Checkpoint], tmp_path: Path) -> None:
    path, _ = crashed
    with oxidbm.Store(tmp_path / "other", durability="manual") as other:
        other[b"a"] = b"b"
        other.checkpoint("snapshot")
    for file in (path / "checkpoints").iterdir():
        file.unlink()
    for file in (tmp_path / "other" / "checkpoints").iterdir():
        file.rename(path / "checkpoints" / file.name)
    report = oxidbm.salvage(path, tmp_path / "saved")
    assert report.newer_snapshot is None
    assert ["is of another store" in fault for fault in report.faults] == [True] * len(report.faults) != []
