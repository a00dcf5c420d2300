"""Snapshots whose files are gone, those of another copy of the store, and one that a later checkpoint ends beside."""

import shutil
from pathlib import Path

import pytest

import oxidbm
from tests.inside import abandon

pytestmark = pytest.mark.filterwarnings("error")


def open_writer(path: Path) -> oxidbm.Store:
    return oxidbm.Store(path, durability="manual", checkpoints=False, page_size="64KiB", memory="4MiB")


def chain(path: Path) -> list[oxidbm.Checkpoint]:
    with open_writer(path) as store:
        store["first"] = "1"
        made = [store.checkpoint("snapshot")]
        for turn in range(2):
            store[f"turn {turn}"] = "2"
            made.append(store.checkpoint("incremental"))
    assert [one.kind for one in made] == ["snapshot", "incremental", "incremental"]
    return made


@pytest.mark.parametrize("lost", range(3))
def test_a_snapshot_without_a_file_of_its_chain_says_which_one_is_missing(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "store"
    made = chain(path)
    file = path / "checkpoints" / f"{made[lost].token}.snapshot.zst"
    file.unlink()
    for one in made[lost:]:
        with pytest.raises(oxidbm.CorruptionError, match="is missing, which belongs to") as caught:
            oxidbm.Store(path, read_only=True, checkpoint=one.token)
        assert str(file) in str(caught.value)
        with pytest.raises(oxidbm.CorruptionError, match="is missing, which belongs to"):
            oxidbm.recover(path, one.token)
    with oxidbm.Store(path) as store:
        assert len(store) == 3


def test_a_later_checkpoint_that_ends_where_a_snapshot_does_is_not_looked_at_for_it(tmp_path: Path) -> None:
    with open_writer(tmp_path / "store") as store:
        store["key"] = "1"
        store.sync()
        store["key"] = "2"
        snapshot = store.checkpoint("snapshot")
        store["key"] = "3"  # in place: the log's commit comes to stand where the snapshot's would
        store.checkpoint("fold-over")
        with oxidbm.Store(tmp_path / "store", read_only=True, checkpoint=snapshot.token) as then:
            assert dict(then.items()) == {b"key": b"2"}
            assert then.recovery.faults == []


@pytest.mark.parametrize("size", [3, 10, 300])
def test_a_snapshot_of_a_copy_that_went_on_in_another_way_takes_nothing_from_this_one(
    tmp_path: Path, size: int
) -> None:
    path, copy = tmp_path / "store", tmp_path / "copy"
    with open_writer(path) as store:
        store["both"] = "1"
        store.sync()
        shutil.copytree(path, copy)
    with open_writer(copy) as store:
        store.update((f"{number:02}", "y" * 10) for number in range(50))
        store.sync()
        for turn in range(3):
            store["turn"] = f"{turn}"
            store.checkpoint("incremental")
    store = open_writer(path)
    for turn in range(4):
        store.update((f"{number:02}", "x" * size) for number in range(turn, turn + 50))
        store.sync()
    items = dict(store.items())
    abandon(store)
    shutil.copytree(copy / "checkpoints", path / "checkpoints")
    for read_only in (True, False):
        with pytest.raises(oxidbm.CorruptionError, match=r"is not there that the snapshot .* follows"):
            oxidbm.Store(path, read_only=read_only, checkpoints=False, memory="4MiB")
    for file in (path / "checkpoints").iterdir():
        file.unlink()
    with oxidbm.Store(path) as store:
        assert dict(store.items()) == items


@pytest.mark.parametrize("damage", ["flipped", "deleted"])
@pytest.mark.parametrize("which", range(3))
def test_check_finds_the_damage_of_a_snapshot_that_was_the_newest_state(
    tmp_path: Path, which: int, damage: str
) -> None:
    path = tmp_path / "store"
    with open_writer(path) as store:
        store["key"] = "1"
        store.sync()
        store["key"] = "2"
        made = [store.checkpoint("snapshot")]
        for turn in range(2):
            store["key"] = f"{turn + 3}"
            made.append(store.checkpoint("incremental"))
        shutil.copytree(path, tmp_path / "crashed")
    crashed = tmp_path / "crashed"
    assert oxidbm.check(crashed) == []
    file = crashed / "checkpoints" / f"{made[which].token}.snapshot.zst"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.unlink() if damage == "deleted" else file.write_bytes(data)
    assert any(made[which].token in fault for fault in oxidbm.check(crashed))
    with pytest.warns(oxidbm.RecoveryWarning), oxidbm.Store(crashed, read_only=True) as reader:
        assert any(made[which].token in fault for fault in reader.check())
