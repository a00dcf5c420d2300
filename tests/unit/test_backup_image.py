"""A backup has the newest image of the index that goes with its log, and does without one where there is none."""

import os
from pathlib import Path
from typing import Literal

import pytest

import oxidbm
from oxidbm import Store
from oxidbm._core.device.directory import Directory
from tests.inside import abandon
from tests.support import Quiet
from tests.unit.test_backup import fill

Kind = Literal["fold-over", "snapshot", "incremental", "index", "log"]
OPTIONS: Quiet = {"memory": "1MiB", "page_size": 4096, "durability": "manual", "compaction": False}


def image_of(path: Path, token: str) -> Path:
    """Return where the image of a checkpoint is."""
    (found,) = [file for file in (path / "checkpoints").iterdir() if file.name == f"{token}.index.zst"]
    return found


def opened(path: Path, token: str | None, faults: int = 0) -> dict[bytes, bytes]:
    """Return what a backup holds, once opened with the image of that checkpoint."""
    with Store(path, read_only=True) as reader:
        assert reader.recovery.checkpoint == token
        assert len(reader.recovery.faults) == len(reader.check()) == faults
        return dict(reader)


@pytest.mark.parametrize("kind", ["fold-over", "index"])
def test_an_opening_goes_on_from_the_newest_image(kind: Kind, tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        store.checkpoint(kind)
        fill(store, 3)
        made = store.checkpoint(kind, name="mine")
        fill(store, 6)
        report = store.backup(tmp_path / "b")
        assert (report.checkpoint, report.checkpoint_bytes) == (made.token, made.bytes)
        assert opened(tmp_path / "b", made.token) == dict(store)
        fill(store, 9)
    assert oxidbm.check(tmp_path / "b") == []
    with Store(tmp_path / "b", **OPTIONS) as backup:
        assert [found.token for found in backup.checkpoints()] == [made.token]
        assert backup.recovery.checkpoint == made.token
        backup[b"more"] = b"of it"
    with Store(tmp_path / "b", **OPTIONS) as backup:
        assert backup[b"more"] == b"of it"
        assert backup.check() == []


def test_it_goes_with_the_first_later_one(tmp_path: Path) -> None:
    """As one that was made by itself, whoever made it: nobody would purge it."""
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        made = store.checkpoint(name="mine", cookie=b"of mine")
        store.backup(tmp_path / "b")
    with Store(tmp_path / "b", **OPTIONS) as backup:
        (found,) = backup.checkpoints()
        assert (found.token, found.name, found.cookie, found.automatic) == (made.token, "mine", b"of mine", True)
    assert not made.automatic


@pytest.mark.parametrize("link", [False, True])
def test_it_is_linked_or_copied_and_kept(link: bool, tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        token = store.checkpoint().token
        store.backup(tmp_path / "b", link=link)
        mine, copy = (image_of(tmp_path / place, token).stat() for place in "sb")
        assert os.path.samestat(mine, copy) is link
        store[b"new"] = b"1"
        store.backup(tmp_path / "b")
        assert image_of(tmp_path / "b", token).stat().st_ino == copy.st_ino
        later = store.checkpoint().token
        store.backup(tmp_path / "b", link=link)
        assert sorted(file.name for file in (tmp_path / "b" / "checkpoints").iterdir()) == [
            f"{later}.index.zst",
            f"{later}.json",
        ]
        assert opened(tmp_path / "b", later) == dict(store)


def test_one_of_what_was_compacted_away_is_left_out(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        store.checkpoint()
        fill(store, 3)
        store.reorganize()
        report = store.backup(tmp_path / "b")
        assert (report.checkpoint, report.checkpoint_bytes) == (None, 0)
        assert not (tmp_path / "b" / "checkpoints").exists()
        assert opened(tmp_path / "b", None) == dict(store)


@pytest.mark.parametrize("kind", ["snapshot", "log"])
def test_one_that_has_no_image_of_the_log_alone_is_passed_over(kind: Kind, tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        made = store.checkpoint()
        store[b"more"] = b"of it"
        store.checkpoint(kind)
        store[b"more"] = b"and more"
        assert store.backup(tmp_path / "b").checkpoint == made.token
        assert opened(tmp_path / "b", made.token) == dict(store)


def test_damaged_ones_are_passed_over_or_passed_on(tmp_path: Path) -> None:
    """What says nothing is no image; the image itself is copied as it is, like a segment, and is found out in both."""
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        first = store.checkpoint()
        fill(store, 3)
        second = store.checkpoint()
        (tmp_path / "s" / "checkpoints" / f"{second.token}.json").write_text("{}")
        assert store.backup(tmp_path / "b").checkpoint == first.token
        image = image_of(tmp_path / "s", first.token)
        image.write_bytes(image.read_bytes()[:-9])
        report = store.backup(tmp_path / "c")
        assert report.checkpoint == first.token
        held = dict(store)
    with pytest.warns(oxidbm.RecoveryWarning, match=first.token):
        assert opened(tmp_path / "c", None, faults=1) == held
    assert len(oxidbm.check(tmp_path / "c")) == 1


def test_a_reader_and_going_back_elsewhere_take_one_too(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        first = store.checkpoint()
        at_first = dict(store)
        fill(store, 3)
        with Store(tmp_path / "s", read_only=True) as reader:
            store[b"later"] = b"1"
            later = store.checkpoint()
            report = reader.backup(tmp_path / "b")  # its commit is older than the newest image
            assert report.checkpoint == first.token
            assert opened(tmp_path / "b", first.token) == dict(reader)
        assert later.end > first.end
    oxidbm.recover(tmp_path / "s", first.token, to=tmp_path / "c")
    assert opened(tmp_path / "c", first.token) == at_first


def test_one_that_is_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        first = store.checkpoint()
        second = store.checkpoint("index")
        assert first.token != second.token
        real = Directory.open
        gone: list[str] = []

        def removing(directory: Directory, name: str, flags: int, *rest: int) -> int:
            if name == f"{second.token}.index.zst" and flags == os.O_RDONLY and not gone:
                gone.append(name)
                image_of(tmp_path / "s", second.token).unlink()
            return real(directory, name, flags, *rest)

        monkeypatch.setattr("oxidbm._store_backup.Directory.open", removing, raising=True)
        report = store.backup(tmp_path / "b")
        monkeypatch.undo()
        assert gone
        assert report.checkpoint == first.token
        assert opened(tmp_path / "b", first.token) == dict(store)
        assert len(list((tmp_path / "b" / "checkpoints").iterdir())) == 2
        abandon(store)
