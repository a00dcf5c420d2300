"""Chains of incremental snapshots: recovery to each of them, what is missing or damaged, purging, and going on."""

import contextlib
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.durability.checkpointer import COPY
from oxidbm._core.log.flush import flush_to, seal_to
from oxidbm._salvage import salvage
from tests.inside import abandon, checkpointer_of, handle_of, log_of
from tests.support import scaled
from tests.unit.helpers import PAGE_BYTES, begun, disk_store, opened_at, push_to_disk, steps_until
from tests.unit.test_checkpoint import Model, change

States = list[tuple[oxidbm.Checkpoint, Model]]


def chain(store: oxidbm.Store, model: Model, count: int, seed: int = 1) -> States:
    """Make a snapshot and incremental ones, with updates of old and new keys between them."""
    chance = random.Random(seed)
    states: States = []
    for turn in range(count):
        change(store, model, chance, 150, 200 + 50 * turn)
        made = store.checkpoint("incremental")
        assert made.kind == ("incremental" if turn else "snapshot")
        states.append((made, dict(model)))
    return states


def with_chain(path: Path, count: int = 4) -> States:
    """Make a store with a chain, changes behind it, and the end of a crash."""
    model: Model = {}
    store = disk_store(path, checkpoints=False)
    states = chain(store, model, count)
    change(store, dict(model), random.Random(7), 50)
    abandon(store)
    return states


def file_of(path: Path, made: oxidbm.Checkpoint, suffix: str = ".snapshot.zst") -> Path:
    """Return a file of a checkpoint."""
    return path / "checkpoints" / (made.token + suffix)


@pytest.mark.parametrize("which", range(4), ids=["base", "middle", "another", "last"])
def test_recovery_to_each(tmp_path: Path, which: int) -> None:
    path = tmp_path / "store"
    states = with_chain(path)
    made, state = states[which]
    assert opened_at(path, made) == state
    report = oxidbm.recover(path, made.token, to=tmp_path / "copy")
    assert report.commit == made.commit
    with disk_store(tmp_path / "copy") as copy:
        assert dict(copy.items()) == state
        assert copy.check() == []
    for there, model in states:
        assert opened_at(path, there) == model
    assert oxidbm.recover(path, made.token).commit == made.commit
    for there, model in states[: which + 1]:
        assert opened_at(path, there) == model
    with disk_store(path, checkpoints=False) as store:
        assert [there.token for there in store.checkpoints()] == [there.token for there, _ in states[: which + 1]]
        assert dict(store.items()) == state
        assert store.check() == []
        more = chain(store, state, 2, seed=2)
        abandon(store)
    with disk_store(path) as store:
        assert dict(store.items()) == more[-1][1]
    for there, model in [*states[:which], *more]:
        assert opened_at(path, there) == model


def missing(path: Path) -> None:
    """Delete a file."""
    path.unlink()


def flipped(path: Path) -> None:
    """Change a byte of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def shortened(path: Path) -> None:
    """Cut a file."""
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("suffix", [".snapshot.zst", ".json"])
@pytest.mark.parametrize("damage", [missing, flipped, shortened], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("which", range(3), ids=["base", "middle", "last"])
def test_a_missing_link(tmp_path: Path, which: int, damage: Any, suffix: str) -> None:
    """What builds on it is refused and the one before it used, with a warning; the store goes on from there."""
    path = tmp_path / "store"
    states = with_chain(path, 3)
    damage(file_of(path, states[which][0], suffix))
    left = states[which - 1][1] if which else {}
    bad_words = suffix == ".json" and damage is not missing  # which is said as long as the file is there
    there = not (suffix == ".json" and damage is missing and which == 2)  # else there is no such checkpoint
    for turn in range(2):
        for read_only in (True, False):
            said: Any = contextlib.nullcontext()
            if bad_words or (there and turn == 0):  # later on the log has gone on to a commit
                said = pytest.warns(oxidbm.RecoveryWarning)
            with said:
                store = disk_store(path, read_only=read_only, checkpoints=False)
            with store:
                assert dict(store.items()) == left
                assert all("cannot be used" in fault for fault in store.check())
                if not read_only:
                    store[b"on"] = b"from there"
                    left = {**left, b"on": b"from there"}
                    store.sync()
                    store[b"on"] = b"not durable"
                    abandon(store)
        for made, _ in states[which:]:
            with pytest.raises(
                (oxidbm.CorruptionError, oxidbm.MissingError), match=r"missing|not there|there is no|of"
            ):
                disk_store(path, read_only=True, checkpoint=made.token)


def test_what_was_passed_over_stays_so(tmp_path: Path) -> None:
    """A snapshot that could not be read once is older than the commits since, also when it can be read again."""
    path = tmp_path / "store"
    states = with_chain(path, 3)
    file = file_of(path, states[2][0])
    file.rename(tmp_path / "aside")
    with pytest.warns(oxidbm.RecoveryWarning, match="was the newest state of the store"):
        store = disk_store(path, checkpoints=False)
    with store:
        assert dict(store.items()) == states[1][1]
        store[b"on"] = b"from there"
        store.sync()
        assert store.stats()["commit_sequence"] > states[2][0].commit
        abandon(store)
    (tmp_path / "aside").rename(file)
    with disk_store(path) as store:
        assert store.recovery.faults == []
        assert dict(store.items()) == states[1][1] | {b"on": b"from there"}
        assert store.check() == []
    assert opened_at(path, states[1][0]) == states[1][1]


def test_the_number_of_one_behind_the_last_commit(tmp_path: Path) -> None:
    """One that was made of nothing new has a number of its own, which no later commit has, in whatever process."""
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store[b"a"] = b"1"
        store.checkpoint("snapshot")
        store.sync()
        made = store.checkpoint("incremental")
        assert made.kind == "incremental"
    with disk_store(path, checkpoints=False) as store:
        store[b"a"] = b"2"
        store.sync()
        assert store.stats()["commit_sequence"] > made.commit
        abandon(store)
    with disk_store(path) as store:
        assert store[b"a"] == b"2"
    assert opened_at(path, made) == {b"a": b"1"}


def test_what_another_one_builds_on_stays(tmp_path: Path) -> None:
    path = tmp_path / "store"
    model: Model = {}
    with disk_store(path, checkpoints=False) as store:
        states = chain(store, model, 4)
        for made, _ in states[:3]:
            with pytest.raises(oxidbm.BusyError, match=f"builds on {made.token}: purge it first"):
                store.purge(token=made.token)
        assert store.purge(keep=1) == []
        assert store.purge(keep=2) == []
        state = dict(model)
        model[b"behind"] = store[b"behind"] = b"the last one"
        assert store.purge(token=states[3][0].token) == [states[3][0].token]  # with a commit, since only it was durable
        assert handle_of(store).commits.logged_durable > states[3][0].commit
        states.pop()
        for made, expected in states:
            assert opened_at(path, made) == expected
        state = dict(model)
        other = store.checkpoint("incremental")
        assert other.kind == "snapshot"
        assert store.purge(keep=1) == [made.token for made, _ in states]
        assert opened_at(path, other) == state
        abandon(store)
    with disk_store(path, checkpoints=False) as store:
        assert dict(store.items()) == state
        assert len(store.purge(keep=0)) == 1
        assert list((path / "checkpoints").iterdir()) == []
        assert store.stats()["held_bytes"] == 0
        abandon(store)
    with disk_store(path) as store:
        assert dict(store.items()) == state
        assert store.check() == []


def test_the_base_is_not_purged_while_one_is_made_of_it(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store.update({b"a": b"1", b"b": b"1"})
        base = store.checkpoint("snapshot")
        store[b"a"] = b"2"
        made = begun(store, "incremental")
        steps_until(store, COPY)
        with pytest.raises(oxidbm.BusyError, match="builds on"):
            store.purge(token=base.token)
        assert store.purge(keep=0) == []
        checkpointer_of(store).finish()
        assert opened_at(path, made) == {b"a": b"2", b"b": b"1"}


def test_its_kind_where_there_is_none_to_build_on(tmp_path: Path) -> None:
    """The first of a process, one behind a purge, and one at a commit that is there already are whole ones."""
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store[b"a"] = b"1"
        assert store.checkpoint("incremental").kind == "snapshot"
        store[b"a"] = b"2"
        made = store.checkpoint("incremental")
        assert made.kind == "incremental"
        store.sync()
        store.purge(token=made.token)
        again = store.checkpoint("incremental")  # of a commit that is durable
        assert again.kind == "snapshot"
        assert opened_at(path, again) == {b"a": b"2"}
        store.sync()
        abandon(store)
    with disk_store(path, checkpoints=False) as store:
        assert len(store.checkpoints()) == 2
        store[b"a"] = b"3"
        assert store.checkpoint("incremental").kind == "snapshot"
        assert store.checkpoint("incremental").kind == "incremental"
        assert store.check() == []


def test_two_in_a_row(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store.update({b"a": b"1", b"b": b"1"})
        first = store.checkpoint("snapshot")
        second = store.checkpoint("snapshot")
        store[b"a"] = b"2"
        third = store.checkpoint("snapshot")
        assert second.bytes > 300
        abandon(store)
    for made, value in ((first, b"1"), (second, b"1"), (third, b"2")):
        assert opened_at(path, made) == {b"a": value, b"b": b"1"}
    with disk_store(path) as store:
        assert dict(store.items()) == {b"a": b"2", b"b": b"1"}
        assert store.check() == []


def test_fold_overs_and_snapshots_in_turn(tmp_path: Path) -> None:
    """Each kind beside the others, in one process and over a crash; each is the state of its commit for ever."""
    path = tmp_path / "store"
    chance = random.Random(3)
    model: Model = {}
    states: States = []
    kinds: list[Any] = ["fold-over", "snapshot", "log", "incremental", "incremental", "index", "snapshot"]
    for turn in range(scaled(4, 2)):
        store = disk_store(path, checkpoints=False)
        assert dict(store.items()) == model
        for _ in range(6):
            change(store, model, chance, 60)
            if chance.random() < 0.2:
                push_to_disk(store)
            made = store.checkpoint(chance.choice(kinds))
            if made.kind != "index":
                states.append((made, dict(model)))
        if turn % 2:
            change(store, model, chance, 60)
            store.close()
        else:
            abandon(store)
    for made, state in states:
        assert opened_at(path, made) == state
    with disk_store(path) as store:
        assert dict(store.items()) == model
        assert store.check() == []
        for made, _ in states[::-3]:
            if made.kind != "incremental":
                continue
            store.purge(token=made.token)
    for made, state in states[::-5]:
        if any(made.token == there.token for there in store_checkpoints(path)):
            oxidbm.recover(path, made.token)
            with disk_store(path) as store:
                assert dict(store.items()) == state
                assert store.check() == []


def store_checkpoints(path: Path) -> list[oxidbm.Checkpoint]:
    """Return what checkpoints a store has."""
    with disk_store(path, read_only=True) as store:
        return store.checkpoints()


def test_numbers_with_gaps(tmp_path: Path) -> None:
    """Commits aside take numbers that the log has not: check, history, followers and salvage know that."""
    path = tmp_path / "store"
    with disk_store(path, checkpoints=False) as store:
        store[b"a"] = b"0"
        store.sync()
        with disk_store(path, read_only=True) as reader:
            for turn in range(4):
                store[b"a"] = b"not in place %d" % turn
                for _ in range(turn):
                    store[b"b"] = b"%d" % turn
                    store.checkpoint("incremental")
                store.sync()
                assert reader.refresh()
                assert dict(reader.items()) == dict(store.items())
                assert reader.recovery.faults == []
        assert store.stats()["commit_sequence"] == 1 + 4 + 6
        assert [version.value for version in store.history(b"a")] == [
            *[b"not in place %d" % turn for turn in (3, 2, 1, 0)],
            b"0",
        ]
        assert all(version.time is not None for version in store.history(b"a", scan=True))
        assert store.check() == []
        state = dict(store.items())
        abandon(store)
    report = salvage(path, tmp_path / "saved")
    assert not report.lost
    assert not report.faults
    with oxidbm.Store(tmp_path / "saved") as saved:
        assert dict(saved.items()) == state
    with disk_store(path) as store:
        assert dict(store.items()) == state
        assert store.recovery.commit == 11
        assert store.check() == []


def test_check_finds_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "store"
    model: Model = {}
    with disk_store(path, checkpoints=False) as store:
        states = chain(store, model, 3)
        assert store.check() == []
        flipped(file_of(path, states[1][0]))
        (fault,) = store.check()
        assert states[1][0].token in fault
        assert "cannot be used" in fault
        file_of(path, states[0][0]).unlink()
        assert len(store.check()) == 2
        assert dict(store.items()) == model
        store.sync()
        abandon(store)
    with disk_store(path) as store:
        assert dict(store.items()) == model


def test_a_backup_at_one(tmp_path: Path) -> None:
    """Of the store, of a reader at it, and of one at an earlier one; over pages that are in the log, and runs."""
    path = tmp_path / "store"
    model: Model = {}
    with disk_store(path, checkpoints=False) as store:
        store[b"run"] = model[b"run"] = bytes(9000)
        states = chain(store, model, 2)
        push_to_disk(store)
        log_of(store).device.roll()
        store[b"long"] = model[b"long"] = bytes(3 * 4096)
        states += [(store.checkpoint("incremental"), dict(model))]
        for turn, (made, state) in enumerate(states):
            with disk_store(path, read_only=True, checkpoint=made.token) as reader:
                reader.backup(tmp_path / f"at {turn}")
            with disk_store(tmp_path / f"at {turn}") as other:
                assert dict(other.items()) == state
                assert other.check() == []
        abandon(store)
    with disk_store(path, read_only=True) as reader:
        assert dict(reader.items()) == model
        reader.backup(tmp_path / "newest")
    with disk_store(tmp_path / "newest") as other:
        assert dict(other.items()) == model
        assert other.recovery.faults == []


def test_two_stores_of_one_directory(tmp_path: Path) -> None:
    """The second one, recovered from the first one's snapshot, goes its own way without harming it."""
    path = tmp_path / "store"
    model: Model = {}
    with disk_store(path, checkpoints=False) as store:
        states = chain(store, model, 2)
        shutil.copytree(path, tmp_path / "other")
        (tmp_path / "other" / "LOCK").unlink()
        with disk_store(tmp_path / "other", checkpoints=False) as other:
            assert dict(other.items()) == model
            own = chain(other, dict(model), 2, seed=9)
            states += chain_on(store, model)
            abandon(other)
        abandon(store)
    with disk_store(path) as store, disk_store(tmp_path / "other") as other:
        assert dict(store.items()) == states[-1][1]
        assert dict(other.items()) == own[-1][1]
    for made, state in states:
        assert opened_at(path, made) == state
    for made, state in own:
        assert opened_at(tmp_path / "other", made) == state


def chain_on(store: oxidbm.Store, model: Model) -> States:
    """Go on with a chain."""
    change(store, model, random.Random(5), 100)
    made = store.checkpoint("incremental")
    assert made.kind == "incremental"
    return [(made, dict(model))]


def test_files_from_before_one_that_came_before_the_first_commit_were_given_back(tmp_path: Path) -> None:
    """The log's first commit counts more records than are left; that it was made says that the log went on."""
    path = tmp_path / "store"
    store = disk_store(path, checkpoints=False)
    store.update((b"%d" % number, bytes(300)) for number in range(100))
    store.clear()
    store[b"a"] = b"1"
    made = store.checkpoint("snapshot")
    log = log_of(store)
    seal_to(log, PAGE_BYTES)
    flush_to(log, PAGE_BYTES)
    log.device.roll()
    store[b"b"] = b"2"
    store.sync()
    store.reorganize()
    assert PAGE_BYTES == log.device.begin() < made.begin
    abandon(store)
    assert opened_at(path, made) == {b"a": b"1"}
    for read_only in (True, False):
        with disk_store(path, read_only=read_only) as store:
            assert dict(store.items()) == {b"a": b"1", b"b": b"2"}
            assert store.recovery.faults == []
            assert store.check() == []
