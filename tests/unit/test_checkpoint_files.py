"""The files of checkpoints: how long they stay, what damage does to them, and going back to one."""

import gc
import json
import os
import random
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.durability.checkpointer import CUT, IMAGE, NAMES, REST, Checkpointer
from oxidbm._recover import checkpoints_at, loss_of
from tests.inside import abandon, checkpointer_of, disk_of, handle_of, log_of, table_of
from tests.support import scaled
from tests.unit.helpers import begun, disk_store, opened_at, steps_until


def test_a_checkpoint_holds_its_log_until_it_is_purged(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        for number in range(200):
            store[b"%d" % number] = b"old" * 50
        made = store.checkpoint(name="before")
        for number in range(200):
            store[b"%d" % number] = b"new" * 50
        held = store.stats()["file_bytes"]
        store.reorganize()
        assert store.stats()["file_bytes"] >= held
        assert set(opened_at(path, made).values()) == {b"old" * 50}
    with disk_store(path) as store:  # and so it does after reopening
        store.reorganize()
        assert set(opened_at(path, made).values()) == {b"old" * 50}
        assert [known.name for known in store.checkpoints() if not known.automatic] == ["before"]
        assert store.purge(token=made.token) == [made.token]
        assert store.stats()["file_bytes"] < held
        with pytest.raises(oxidbm.MissingError, match=made.token):
            store.purge(token=made.token)
        assert set(store.values()) == {b"new" * 50}


def test_purging_deletes_what_a_crash_left(tmp_path: Path) -> None:
    """A large store's image takes gigabytes; and none of what is made meanwhile."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update((b"%d" % number, b"value") for number in range(2000))
        begun(store)
        steps_until(store, IMAGE + 1)
        abandon(store)
    left = {file.name for file in (path / "checkpoints").iterdir()}
    assert len(left) == 1
    with disk_store(path) as store:
        assert {file.name for file in (path / "checkpoints").iterdir()} == left
        assert store.purge(keep=0) == []
        assert list((path / "checkpoints").iterdir()) == []
        made = begun(store)
        steps_until(store, IMAGE + 1)
        being_made = {file.name for file in (path / "checkpoints").iterdir()}
        assert len(being_made) == 1
        assert being_made != left
        assert store.purge(keep=0) == []
        assert {file.name for file in (path / "checkpoints").iterdir()} == being_made
        steps_until(store, len(NAMES))
        assert [known.token for known in store.checkpoints()] == [made.token]
    assert len(opened_at(path, made)) == 2000


def test_purging_all_but_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        made = []
        for number in range(4):
            store[b"%d" % number] = b"value"
            made.append(store.checkpoint().token)
        assert store.purge(keep=5) == []
        assert store.purge(keep=1) == made[:3]
        assert [known.token for known in store.checkpoints()] == made[3:]
        assert sorted(file.name for file in (path / "checkpoints").iterdir()) == [
            made[3] + ".index.zst",
            made[3] + ".json",
        ]
        for arguments in ({}, {"keep": 1, "token": made[3]}, {"keep": -1}):
            with pytest.raises(ValueError, match="keep"):
                store.purge(**arguments)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "longer"])
@pytest.mark.parametrize("suffix", [".json", ".index.zst"])
def test_a_damaged_one_is_passed_over(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update((b"%d" % number, b"value") for number in range(200))
        older = store.checkpoint()
        store[b"a"] = b"value"
        newer = store.checkpoint()
    file = path / "checkpoints" / (newer.token + suffix)
    data = bytearray(file.read_bytes())
    match damage:
        case "cut":
            file.write_bytes(data[:-2])  # the last byte of the one is an empty line's
        case "flipped":
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
        case "longer":
            file.write_bytes(data + b"\0")
        case _:
            file.unlink()
    if suffix == ".json" and damage == "gone":  # then there is no such checkpoint
        store = disk_store(path)
    else:
        with pytest.warns(oxidbm.RecoveryWarning, match=newer.token):
            store = disk_store(path)
    with store:
        assert store.recovery.checkpoint == older.token
        assert store.recovery.records == 2
        assert len(store) == 201
        faults = store.check()
        if suffix == ".json" and damage == "gone":
            assert faults == []
            return
        assert [newer.token in fault and str(file) in fault for fault in faults] == [True]
        assert oxidbm.check(path) == faults
        assert store.purge(token=newer.token) == [newer.token]
        assert store.check() == []
        assert [known.token for known in store.checkpoints()] == [older.token]
        assert not [left.name for left in file.parent.iterdir() if left.name.startswith(newer.token)]


def test_every_byte_of_the_files(tmp_path: Path) -> None:
    """A flipped bit is found, or changes nothing."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        model = {b"%d" % number: b"value" for number in range(40)}
        store.update(model)
        with store.session("a session") as session:
            session.upsert("a", "value")
        model[b"a"] = b"value"
        made = store.checkpoint()
    chance = random.Random(1)
    for suffix in (".json", ".index.zst"):
        file = path / "checkpoints" / (made.token + suffix)
        data = file.read_bytes()
        places = range(len(data)) if suffix == ".json" else chance.sample(range(len(data)), min(len(data), 300))
        for place in chance.sample(list(places), scaled(len(places), 40)):
            flipped = bytearray(data)
            flipped[place] ^= 1 << chance.randrange(8)
            file.write_bytes(flipped)
            with warnings.catch_warnings(action="ignore"), disk_store(path, read_only=True) as store:
                assert dict(store.items()) == model, place
                assert [known.serial for known in store.sessions()] == [1]
        file.write_bytes(data)


def test_one_of_another_store_is_no_good(tmp_path: Path) -> None:
    for name in ("one", "other"):
        with oxidbm.Store(tmp_path / name) as store:
            store.update((b"%d" % number, name.encode()) for number in range(50))
            made = store.checkpoint()
    for file in list((tmp_path / "other" / "checkpoints").iterdir()):
        target = tmp_path / "one" / "checkpoints" / file.name
        target.write_bytes(file.read_bytes())
    with pytest.warns(oxidbm.RecoveryWarning, match="of another store"):
        store = oxidbm.Store(tmp_path / "one")
    with store:
        assert set(store.values()) == {b"one"}
        assert made.token not in [known.token for known in store.checkpoints()]


def test_one_of_a_newer_release(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"value"
        made = store.checkpoint()
    file = path / "checkpoints" / f"{made.token}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format_version": 2}))
    with pytest.warns(oxidbm.RecoveryWarning, match="Upgrade"):
        store = disk_store(path)
    with store:
        assert store[b"a"] == b"value"


def test_one_that_cannot_be_read_is_not_said_to_be_missing(tmp_path: Path) -> None:
    """Asked for by its token; an opening at the last commit passes over it, with a warning."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"1"
        made = store.checkpoint()
    file = path / "checkpoints" / f"{made.token}.json"
    said = json.loads(file.read_text())
    del said["checksum"]
    for change, error, words in (
        ({"format_version": 2}, oxidbm.FormatError, "format version 2; this release reads 1. Upgrade"),
        ({"begin": "64"}, oxidbm.CorruptionError, "its checksum None does not match"),
    ):
        file.write_text(json.dumps(said | change))
        for attempt in (
            lambda: disk_store(path, read_only=True, checkpoint=made.token),
            lambda: oxidbm.recover(path, made.token),
            lambda: oxidbm.recover(path, made.token, to=tmp_path / "copy"),
        ):
            with pytest.raises(error, match=words):
                attempt()
    file.unlink()
    with pytest.raises(oxidbm.MissingError, match=f"no checkpoint of the token {made.token}; there are: none"):
        oxidbm.recover(path, made.token)


def test_going_back(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update((b"%d" % number, b"old") for number in range(200))
        with store.session("s") as session:
            session.upsert("in a session", "1")
        made = store.checkpoint(name="before")
        state = dict(store.items())
        store.update((b"%d" % number, b"new") for number in range(100, 300))
        with store.session("s") as session:
            session.upsert("in a session", "2")
        newer = store.checkpoint()
        with pytest.raises(oxidbm.LockedError):
            oxidbm.recover(path, made.token)
    with pytest.raises(oxidbm.MissingError, match="no checkpoint of the token '7'; there are: 0000"):
        oxidbm.recover(path, "7")
    with pytest.raises(oxidbm.MissingError, match="there is no store"):
        oxidbm.recover(tmp_path / "nowhere", made.token)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "file").write_text("a file")
    for to in None, tmp_path / "copy":
        with pytest.raises(oxidbm.FormatError, match="is a file; a store is a directory"):
            oxidbm.recover(tmp_path / "file", made.token, to=to)
    report = oxidbm.recover(path, made.token)
    assert report.checkpoint == made.token
    assert report.commit == made.commit
    assert report.bytes_cut > 0
    with disk_store(path) as store:
        assert store.recovery.records == 0
        assert dict(store.items()) == state
        assert [known.serial for known in store.sessions()] == [1]
        assert newer.token not in [known.token for known in store.checkpoints()]
        assert store.check() == []
        store[b"and on"] = b"it goes"
    assert oxidbm.recover(path).commit == made.commit
    with disk_store(path) as store:
        assert dict(store.items()) == state


def test_an_image_alone_is_no_state(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update((b"%d" % number, b"old") for number in range(200))
        made = store.checkpoint("index")
    with pytest.raises(oxidbm.FormatError, match="image of the index alone"):
        oxidbm.recover(path, made.token)
    with pytest.raises(oxidbm.MissingError, match="no checkpoint"):
        oxidbm.recover(path)
    with pytest.raises(oxidbm.FormatError, match="image of the index alone"):
        disk_store(path, read_only=True, checkpoint=made.token)
    with pytest.raises(ValueError, match="read_only=True"):
        disk_store(path, checkpoint=made.token)
    with disk_store(path) as store:
        assert store.recovery.checkpoint == made.token


def test_a_failure_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"value"
        store.sync()
        (path / "checkpoints").write_text("in the way")
        with pytest.raises(OSError, match="checkpoints"):
            store.checkpoint()
        with pytest.warns(oxidbm.RecoveryWarning, match="is no directory"):
            disk_store(path, read_only=True).close()
        (path / "checkpoints").unlink()
        assert checkpointer_of(store).phase == REST
        assert not table_of(store).index.imaging
        store[b"b"] = b"value"
        made = store.checkpoint()
        assert handle_of(store).commits.holds.lowest() == made.begin
    assert opened_at(path, made) == {b"a": b"value", b"b": b"value"}


def test_who_waits_for_one_of_a_store_that_cannot_go_on_is_told(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        store[b"a"] = b"value"
        made = begun(store)
        abandon(store)
        assert made.done()
        with pytest.raises(oxidbm.ClosedError, match="before the checkpoint was there"):
            made.result()


def test_another_threads_commit_is_as_good(tmp_path: Path) -> None:
    """Asked for while another thread cuts a commit: that is the one."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        store[b"a"] = b"value"
        checkpoints = checkpointer_of(store)
        checkpoints.phase = CUT
        store.sync()
        assert checkpoints.making()
        begun_at = checkpoints.end
        checkpoints.begin_at_commit()
        assert checkpoints.end == begun_at
        checkpoints.finish()
        (made,) = store.checkpoints()
        assert handle_of(store).commits.holds.addresses == {2: made.begin}


def test_a_closed_store_goes_at_once(tmp_path: Path) -> None:
    """It is in no circle that only the garbage collector finds: its index is megabytes."""
    before = {id(found) for found in gc.get_objects() if isinstance(found, Checkpointer)}
    gc.disable()
    try:
        store = disk_store(tmp_path / "store")
        store[b"a"] = b"value"
        store.checkpoint()
        store.close()
        del store
        assert {id(found) for found in gc.get_objects() if isinstance(found, Checkpointer)} <= before
    finally:
        gc.enable()


def test_two_of_one_commit_stay_in_order(tmp_path: Path) -> None:
    """Their tokens sort as it happens; the newest is the one that was made last, after reopening too."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"value"
        tokens = [store.checkpoint().token for _ in range(6)]
        names = [made.token for made in store.checkpoints()]
        assert names == tokens
    with disk_store(path) as store:
        assert [made.token for made in store.checkpoints()] == tokens
        assert store.purge(keep=1) == tokens[:5]


def test_closing_leaves_an_image_though_one_was_begun(tmp_path: Path) -> None:
    """The commit at the end begins one that is due, and closing takes its place; one of the log alone is no image."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        disk_of(store).stop()
        store.update((b"%d" % number, b"value") for number in range(3000))
        checkpointer_of(store).schedule.records -= 1_000_000
    with disk_store(path) as store:
        assert store.recovery.records == 0
        store.update((b"%d" % number, b"value") for number in range(3000))
        store.checkpoint("log")
        store[b"a"] = b"value"
    with disk_store(path) as store:
        assert store.recovery.records == 0


def test_going_back_leaves_a_linked_backup_as_it_is(tmp_path: Path) -> None:
    """A backup that shares the file which going back has to cut."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        store.update((b"%d" % number, b"old") for number in range(200))
        made = store.checkpoint()
        store.update((b"%d" % number, b"new") for number in range(300))
        log_of(store).close_tail_page()
        log_of(store).device.roll()
        store[b"in the next segment"] = b"value"
        state = dict(store.items())
        assert store.backup(tmp_path / "backup", link=True).bytes_linked > 0
    (path / "log" / "0000000000.seg.new").write_bytes(b"a crash left it")
    oxidbm.recover(path, made.token)
    with disk_store(path) as store:
        assert set(store.values()) == {b"old"}
        store.update((b"%d" % number, b"newer") for number in range(100))
        assert store.check() == []
    with oxidbm.Store(tmp_path / "backup") as backup:
        assert dict(backup.items()) == state
        assert backup.check() == []


def test_a_copy_goes_its_own_way(tmp_path: Path) -> None:
    """Two stores over copies of one directory: what is done to the one, the other does not see."""
    path, other = tmp_path / "store", tmp_path / "other"
    with disk_store(path) as store:
        store.update((b"%d" % number, b"old") for number in range(100))
        made = store.checkpoint()
        store.update((b"%d" % number, b"new") for number in range(100))
        store.sync()
        state = dict(store.items())
        shutil.copytree(path, other, ignore=shutil.ignore_patterns("LOCK"))
        oxidbm.recover(other, made.token)
        with disk_store(other) as copy:
            assert set(copy.values()) == {b"old"}
            copy.clear()
            copy[b"a"] = b"way"
            copy.reorganize()
            assert copy.purge(keep=0) == [made.token]
        assert dict(store.items()) == state
        assert set(opened_at(path, made).values()) == {b"old"}
        assert store.check() == []
    with disk_store(other) as copy:
        assert dict(copy.items()) == {b"a": b"way"}


def test_one_that_is_newer_than_the_log(tmp_path: Path) -> None:
    """A log put back from an older copy, beside checkpoints that were not: they are passed over, and can be removed."""
    path = tmp_path / "store"
    with disk_store(path) as store:
        store[b"a"] = b"old"
    shutil.copytree(path / "log", tmp_path / "log")
    shutil.copy(path / "CLEAN", tmp_path / "CLEAN")
    with disk_store(path) as store:
        store[b"a"] = b"new"
        made = store.checkpoint()
    shutil.rmtree(path / "log")
    shutil.copytree(tmp_path / "log", path / "log")
    shutil.copy(tmp_path / "CLEAN", path / "CLEAN")
    with pytest.raises(oxidbm.CorruptionError, match="checkpoint"), warnings.catch_warnings(action="ignore"):
        disk_store(path, read_only=True, checkpoint=made.token)
    with warnings.catch_warnings(action="ignore"), disk_store(path) as store:
        assert dict(store.items()) == {b"a": b"old"}
        assert store.purge(keep=0) == [made.token]
        store[b"b"] = b"value"
        newer = store.checkpoint()
    assert opened_at(path, newer) == {b"a": b"old", b"b": b"value"}


def test_values_that_change_size_between_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "store"
    states: list[tuple[oxidbm.Checkpoint, dict[bytes, bytes]]] = []
    with disk_store(path) as store:
        model: dict[bytes, bytes] = {}
        for size in (10, 5000, 0, 300, 20_000, 4096):
            for number in range(12):
                if number % 4 or not states:
                    model[b"%d" % number] = b"%d." % size * (size * (1 + number % 3) // 4)
            store.update(model)
            if size == 300:
                store.reorganize()
            states.append((store.checkpoint("log" if size == 0 else "fold-over"), dict(model)))
    for made, state in states:
        assert opened_at(path, made) == state
    made, state = states[3]
    oxidbm.recover(path, made.token)
    with disk_store(path) as store:
        assert dict(store.items()) == state
        assert store.check() == []


@pytest.mark.parametrize(
    "look",
    [
        lambda path, token: oxidbm.recover(path, token, to=path.with_name("copy")).checkpoint,
        lambda path, token: loss_of(str(path), token).checkpoint.token,
        lambda path, token: checkpoints_at(str(path))[0][0].token,
    ],
    ids=["recover", "loss", "list"],
)
def test_one_that_is_removed_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Path, str], str]
) -> None:
    """A writer's next automatic one takes the place of the one before it; who lists them begins anew."""
    path = tmp_path / "store"
    opened = os.open
    with disk_store(path) as store:
        disk_of(store).stop()
        store[b"a"] = b"1"
        made = store.checkpoint()
        store[b"b"] = b"2"
        checkpointer_of(store).make_automatic()
        automatic = store.checkpoints()[-1]
        assert automatic.automatic
        removed: list[str] = []

        def replaced(name: Any, *arguments: Any, **more: Any) -> int:
            if name == f"{automatic.token}.json" and not removed:
                removed.append(name)
                store[b"c"] = b"3"
                checkpointer_of(store).make_automatic()
            return opened(name, *arguments, **more)

        monkeypatch.setattr(os, "open", replaced)
        assert look(path, made.token) == made.token
        assert len(removed) == 1
