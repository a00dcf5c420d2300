"""Backups: what they hold, what is copied, linked and kept, and where none can be made."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import oxidbm
from oxidbm import BackupReport, Store, _backup
from oxidbm.testing import CrashDevice
from tests.inside import abandon, handle_of, log_of
from tests.support import Quiet, run, scaled
from tests.unit.helpers import Clock

OPTIONS: Quiet = {"memory": "1MiB", "page_size": 4096, "durability": "manual", "compaction": False}


def roll(store: Store) -> None:
    """Let the log go on in a new segment."""
    log = log_of(store)
    store.sync()
    log.close_tail_page()
    log.device.roll()


def fill(store: Store, first: int, count: int = 3, size: int = 500) -> None:
    """Write so many segments, the last of which goes on."""
    for number in range(first, first + count):
        store.update((b"%d" % key, b"%d," % number * size) for key in range(number % 7, number % 7 + 20))
        if number < first + count - 1:
            roll(store)
    store.sync()


def sound(path: Path, **options: bool) -> dict[bytes, bytes]:
    """Return what a backup holds, which is without fault, opened to read and to write."""
    with Store(path, read_only=True) as reader:
        assert reader.check() == []
        held = dict(reader)
    if options.get("write"):
        with Store(path, **OPTIONS) as store:
            assert dict(store) == held
            assert store.check() == []
            store[b"written to"] = b"the backup"
    return held


def segments(path: Path) -> dict[str, os.stat_result]:
    """Return the status of each file of a store's log."""
    return {file.name: file.stat() for file in sorted((path / "log").iterdir())}


def names(path: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(os.listdir(path))


def test_a_backup_is_a_store_of_its_own(tmp_path: Path) -> None:
    clock = Clock()
    with Store(tmp_path / "s", key=str, value=int, ordered=True, clock=clock, **OPTIONS) as store:
        store.update({"a": 1, "b": 2})
        store.set("soon", 3, expire=10)
        with store.session("ingest") as session:
            session.upsert("c", 4)
        store["not committed"] = 5
        report = store.backup(tmp_path / "b")
        assert report == BackupReport(str(tmp_path / "b"), 2, clock.now, int(log_of(store).tail))
        store["later"] = 6
        assert names(tmp_path) == ["b", "s"]
        with Store(tmp_path / "b", key=str, value=int, ordered=True, clock=clock, **OPTIONS) as copy:
            assert dict(copy) == {"a": 1, "b": 2, "soon": 3, "c": 4, "not committed": 5}
            assert copy.ttl("soon") == 10
            assert copy.check() == []
            assert copy.session("ingest").serial == 1
            assert [*copy.prefix("not")] == [("not committed", 5)]
            copy["a"] = 7
        assert store["a"] == 1
        assert store.check() == []
    assert BackupReport("b").as_dict()["commit_time"] is None


def test_a_store_that_holds_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        assert store.backup(tmp_path / "b") == BackupReport(str(tmp_path / "b"))
        assert sound(tmp_path / "b") == {}
        store[b"a"] = b"1"
        assert store.backup(tmp_path / "b").commit_sequence == 1
        assert sound(tmp_path / "b", write=True) == {b"a": b"1"}


@pytest.mark.parametrize("link", [False, True])
def test_what_is_new_is_copied_and_what_is_gone_goes(tmp_path: Path, link: bool) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        first = store.backup(tmp_path / "b", link=link)
        assert (first.bytes_linked > 0) is link
        assert first.bytes_kept == 0
        before = segments(tmp_path / "b")
        fill(store, 3)
        second = store.backup(tmp_path / "b", link=link)
        after = segments(tmp_path / "b")
        kept = [name for name in before if before[name].st_ino == after[name].st_ino]
        assert kept == list(before)[:-1]
        assert second.bytes_kept == sum(before[name].st_size for name in kept)
        assert second.bytes_kept + second.bytes_copied + second.bytes_linked == sum(
            status.st_size for status in after.values()
        )
        for name, status in after.items():
            linked = os.path.samestat(status, (tmp_path / "s" / "log" / name).stat())
            assert linked is (link and name != list(after)[-1])
        assert sound(tmp_path / "b") == dict(store)
        store.reorganize()
        fill(store, 6)
        third = store.backup(tmp_path / "b", link=link)
        assert third.bytes_kept == 0
        assert not set(after) & set(segments(tmp_path / "b"))
        assert sound(tmp_path / "b") == dict(store)
        again = store.backup(tmp_path / "b", link=link)
        assert (again.bytes_linked, again.commit_sequence) == (0, third.commit_sequence)
        assert names(tmp_path) == ["b", "s"]


def test_no_store_writes_a_file_that_has_two_names(tmp_path: Path) -> None:
    """Neither by going on, nor by a recovery that cuts a torn tail off."""
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        store.backup(tmp_path / "b", link=True)
        held = {name: (tmp_path / "b" / "log" / name).read_bytes() for name in segments(tmp_path / "b")}
        expected = dict(store)
        fill(store, 3)
        abandon(store)
    for path in (tmp_path / "s", tmp_path / "b"):
        with Store(path, **OPTIONS) as store:
            fill(store, 10)
            store[b"torn"] = b"tail" * 5000
            log_of(store).follow_tail()
            abandon(store)
        last = path / "log" / list(segments(path))[-1]
        with last.open("ab") as file:
            file.write(b"\x01" * 100)
        Store(path, **OPTIONS).close()
        assert sound(path)
    shared = [name for name in held if (tmp_path / "s" / "log" / name).stat().st_nlink == 2]
    assert shared == list(held)[:-1]
    assert [name for name in shared if (tmp_path / "s" / "log" / name).read_bytes() != held[name]] == []
    shutil.rmtree(tmp_path / "s")
    with Store(tmp_path / "b", read_only=True) as store:
        assert expected.items() - dict(store).items() == {
            item for item in expected.items() if store.get(item[0]) != item[1]
        }


@pytest.mark.parametrize("killed", [False, True])
def test_going_back_to_the_end_of_a_shared_segment_goes_on_in_a_copy_of_it(killed: bool, tmp_path: Path) -> None:
    """Nothing is cut off that segment, which is the last one then; one that was killed has deleted those behind it."""
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0, 1)
        token = store.checkpoint().token
        roll(store)
        fill(store, 3)
        store.backup(tmp_path / "b", link=True)
        expected = dict(store)
        shared, *later = segments(tmp_path / "s")
        assert (tmp_path / "s" / "log" / shared).stat().st_nlink == 2
    if killed:
        (tmp_path / "s" / "CLEAN").unlink()
        for name in reversed(later):
            (tmp_path / "s" / "log" / name).unlink()
    else:
        oxidbm.recover(tmp_path / "s", token)
    for number in range(2):
        with Store(tmp_path / "s", **OPTIONS) as store:
            assert store.check() == []
            store[b"another"] = b"way %d" % number
    assert (tmp_path / "s" / "log" / shared).stat().st_nlink == 1
    assert sound(tmp_path / "b", write=True) == expected


def test_the_segment_of_the_commit_is_copied_where_it_is_complete_too(tmp_path: Path) -> None:
    """A backup of it is opened to write, and goes on in it."""
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        with Store(tmp_path / "s", read_only=True) as reader:
            last = list(segments(tmp_path / "s"))[-1]
            roll(store)
            fill(store, 3)
            reader.backup(tmp_path / "b", link=True)
        assert list(segments(tmp_path / "b"))[-1] == last
        assert [status.st_nlink for status in segments(tmp_path / "b").values()] == [2, 2, 1]
        sound(tmp_path / "b", write=True)
        assert store.check() == []


def test_where_no_links_can_be_made_all_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)

        def refuse(*arguments: object, **options: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        for _ in range(2):
            report = store.backup(tmp_path / "b", link=True)
            assert (report.bytes_linked, report.bytes_kept) == (0, 0)
        assert sound(tmp_path / "b") == dict(store)


def test_a_reader_makes_backups_beside_the_writer(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        expected = dict(store)
        with Store(tmp_path / "s", read_only=True) as reader:
            fill(store, 3)
            store.reorganize()
            store.clear()
            store.sync()
            for link in (True, False):
                report = reader.backup(tmp_path / f"b{link}", link=link)
                assert report.commit_sequence == reader.stats()["commit_sequence"]
                assert sound(tmp_path / f"b{link}") == expected
        with Store(tmp_path / "s", read_only=True) as reader:
            reader.backup(tmp_path / "bTrue", link=True)
        assert sound(tmp_path / "bTrue", write=True) == {}


def test_a_device_of_ones_own_is_read_through_it(tmp_path: Path) -> None:
    device = CrashDevice(4096)
    with Store(tmp_path / "s", device=device, **OPTIONS) as store:
        fill(store, 0)
        report = store.backup(tmp_path / "b", link=True)
        assert report.bytes_copied == sum(status.st_size for status in segments(tmp_path / "b").values())
        assert len(segments(tmp_path / "b")) > 1
        before = segments(tmp_path / "b")
        fill(store, 3)
        report = store.backup(tmp_path / "b")
        assert report.bytes_kept == sum(status.st_size for status in list(before.values())[:-1])
        assert sound(tmp_path / "b", write=True) == dict(store)


def test_compaction_and_clear_in_the_middle_of_a_backup_take_nothing_from_it(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0, 5)
        expected = dict(store)
        seen: list[tuple[int, int]] = []

        def disturb(done: int, total: int) -> None:
            seen.append((done, total))
            store.reorganize() if len(seen) % 2 else store.clear()
            store[b"meanwhile"] = b"%d" % len(seen)
            store.sync()

        for link in (False, True):
            store.backup(tmp_path / f"b{link}", link=link, progress=disturb)
            assert sound(tmp_path / f"b{link}") == expected
            expected = dict(store)
        assert [done for done, _ in seen] == sorted(done for done, _ in seen[:-2]) + [done for done, _ in seen[-2:]]
        assert all(done <= total for done, total in seen)
        assert handle_of(store).commits.holds.addresses == {}
        store.reorganize()
        assert len(segments(tmp_path / "s")) <= 2
        assert store.check() == []


def test_threads_write_while_backups_are_made(tmp_path: Path) -> None:
    """Each backup is one commit: the threads' batches are whole, and their numbers rise from backup to backup."""
    with Store(tmp_path / "s", memory="1MiB", page_size=4096, interval=0.005) as store:
        done = threading.Event()

        def write(name: bytes) -> None:
            number = 0
            while not done.is_set():
                number += 1
                with store.batch() as batch:
                    for part in range(10):
                        batch[name + b"%d" % part] = b"%d," % number * 50
                time.sleep(0.001)  # or most of the test's time would go into reading what was written

        def back_up() -> None:
            newest: dict[bytes, int] = {}
            try:
                for number in range(scaled(20, least=4)):
                    store.backup(tmp_path / f"b{number % 2}", link=number % 3 == 0)
                    held = sound(tmp_path / f"b{number % 2}")
                    for name in (b"x", b"y"):
                        parts = {held.get(name + b"%d" % part, b"0,").split(b",")[0] for part in range(10)}
                        assert len(parts) == 1
                        (value,) = parts
                        assert int(value) >= newest.get(name, 0)
                        newest[name] = int(value)
            finally:
                done.set()

        run(lambda: write(b"x"), lambda: write(b"y"), back_up)
        assert store.check() == []


def test_places_where_no_backup_can_be_made(tmp_path: Path) -> None:
    with Store(tmp_path / "other", **OPTIONS) as other:
        other[b"a"] = b"1"
        other.backup(tmp_path / "another.unfinished")
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "directory").mkdir()
        (tmp_path / "directory" / "file").write_bytes(b"")
        (tmp_path / "link").symlink_to(tmp_path / "s")
        (tmp_path / "taken.unfinished").mkdir()
        (tmp_path / "taken.unfinished" / "file").write_bytes(b"")
        before = sorted(tmp_path.rglob("*"))
        for to, words in {
            "s": "is the store itself",
            "link": "is the store itself",
            "s/log": "is inside of the store",
            "s/new/backup": "is inside of the store",
            "link/new": "is inside of the store",
            "file": "is a file, and a backup is a directory",
            "directory": "is there already, and no backup",
            ".": "is there already, and no backup",
            "other": "holds another store",
            "taken": "taken.unfinished is in the way",
            "another": "another.unfinished is in the way",
        }.items():
            with pytest.raises(oxidbm.FormatError, match=words):
                store.backup(tmp_path / to)
        assert sorted(tmp_path.rglob("*")) == before
        with pytest.raises(OSError, match="file"):
            store.backup(tmp_path / "file" / "below")
        assert store.check() == []
    with pytest.raises(oxidbm.ClosedError):
        store.backup(tmp_path / "b")
    with Store() as memory, pytest.raises(ValueError, match="a store in memory has no files"):
        memory.backup(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_empty_directory_and_a_link_to_a_backup_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with Store(tmp_path / "s", **OPTIONS) as store:
        for to in ("empty", "link", "link/"):
            fill(store, 0)
            assert store.backup(f"{tmp_path}/{to}").path == f"{tmp_path}/{to}".rstrip("/")
            assert sound(tmp_path / "empty") == dict(store)
    assert (tmp_path / "link").is_symlink()


def test_a_backup_that_went_its_own_way_is_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        store.backup(tmp_path / "b")
        shutil.copytree(tmp_path / "b", tmp_path / "old")
        shutil.copytree(tmp_path / "b", tmp_path / "looked into")
        Store(tmp_path / "looked into", **OPTIONS).close()
        with Store(tmp_path / "b", **OPTIONS) as writer:
            writer[b"its own"] = b"1"
            writer.sync()
            abandon(writer)
        with pytest.raises(oxidbm.FormatError, match="was opened to write and not closed"):
            store.backup(tmp_path / "b")
        Store(tmp_path / "b", **OPTIONS).close()
        with pytest.raises(oxidbm.FormatError, match=r"holds commit 4, and .*s only 3: the backup was written to"):
            store.backup(tmp_path / "b")
        fill(store, 3)
        with pytest.raises(oxidbm.FormatError, match="holds another commit 4 than"):
            store.backup(tmp_path / "b")
        store.backup(tmp_path / "looked into")
        Store(tmp_path / "looked into", **OPTIONS).close()
        store.reorganize()
        fill(store, 6)
        with pytest.raises(oxidbm.FormatError, match="was opened to write since it was made"):
            store.backup(tmp_path / "looked into")
        store.backup(tmp_path / "old")
        expected = dict(store)
    assert sound(tmp_path / "old") == expected
    assert sound(tmp_path / "b")[b"its own"] == b"1"
    assert names(tmp_path) == ["b", "looked into", "old", "s"]


def test_a_restored_store_does_not_replace_a_newer_backup(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        store.backup(tmp_path / "old")
        fill(store, 3)
        store.backup(tmp_path / "b")
        expected = dict(store)
    shutil.rmtree(tmp_path / "s")
    shutil.copytree(tmp_path / "old", tmp_path / "s")
    with Store(tmp_path / "s", **OPTIONS) as store:
        with pytest.raises(oxidbm.FormatError, match="s only 3: the backup was written to, or the store was restored"):
            store.backup(tmp_path / "b")
        fill(store, 3, 9)
        with pytest.raises(oxidbm.FormatError, match="holds another commit"):
            store.backup(tmp_path / "b")
        store.backup(tmp_path / "old")
    assert sound(tmp_path / "b") == expected


def test_a_target_that_is_in_use(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        store.backup(tmp_path / "b")
        with (
            Store(tmp_path / "b", **OPTIONS),
            pytest.raises(oxidbm.LockedError, match="is open for writing; close it there"),
        ):
            store.backup(tmp_path / "b")
        with Store(tmp_path / "b", read_only=True) as reader:
            store[b"a"] = b"1"
            store.backup(tmp_path / "b")
            assert dict(reader) == {}

        def second(done: int, total: int) -> None:
            with pytest.raises(oxidbm.LockedError, match=r"another backup to .*b is under way"):
                store.backup(tmp_path / "b")

        store.backup(tmp_path / "b", progress=second)
        assert sound(tmp_path / "b") == {b"a": b"1"}


def closing(store: Store) -> Callable[[int, int], None]:
    """Return a progress that closes the store."""
    return lambda done, total: store.close()


def test_a_store_that_is_closed_meanwhile(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        store.backup(tmp_path / "b")
        expected = sound(tmp_path / "b")
        fill(store, 3)
    for to in ("b", "new"):
        with Store(tmp_path / "s", **OPTIONS) as store, pytest.raises(oxidbm.ClosedError):
            store.backup(tmp_path / to, progress=closing(store))
    assert names(tmp_path) == ["b", "s"]
    assert sound(tmp_path / "b") == expected


def test_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backup, "exchange", lambda one, other: False)
    with Store(tmp_path / "s", **OPTIONS) as store:
        for first in (0, 3):
            fill(store, first)
            store.backup(tmp_path / "b")
            assert sound(tmp_path / "b") == dict(store)
        assert names(tmp_path) == ["b", "s"]
        os.rename(tmp_path / "b", tmp_path / "b.earlier")  # killed between the two renames
        fill(store, 6)
        report = store.backup(tmp_path / "b")
        assert report.bytes_kept > 0
        shutil.copytree(tmp_path / "b", tmp_path / "b.earlier")  # killed before the earlier one was deleted
        store.backup(tmp_path / "b")
        assert sound(tmp_path / "b") == dict(store)
    assert names(tmp_path) == ["b", "s"]


def test_files_are_as_private_as_the_stores(tmp_path: Path) -> None:
    with Store(tmp_path / "s", mode=0o600, **OPTIONS) as store:
        fill(store, 0)
    with Store(tmp_path / "s", read_only=True) as reader:
        reader.backup(tmp_path / "b")
    for path in [tmp_path / "b", *(tmp_path / "b").rglob("*")]:
        assert path.stat().st_mode & 0o077 == (tmp_path / "s" / path.relative_to(tmp_path / "b")).stat().st_mode & 0o077
        assert path.is_dir() or path.stat().st_mode & 0o777 == 0o600


def test_a_last_segment_that_was_cut_is_no_backup(tmp_path: Path) -> None:
    with Store(tmp_path / "s", **OPTIONS) as store:
        fill(store, 0)
        last = tmp_path / "s" / "log" / list(segments(tmp_path / "s"))[-1]
        with last.open("r+b") as file:
            file.truncate(last.stat().st_size - 4096)
        with pytest.raises(oxidbm.CorruptionError, match=last.name):
            store.backup(tmp_path / "b")
        assert names(tmp_path) == ["s"]
