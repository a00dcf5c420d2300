"""Copies of logs: backups beside a writer, and what a salvage brings out of a damaged one."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import CodecError, CorruptionError, FormatError, LockedError, Log, MissingError
from tests.faster_log.test_left_over import COUNT, PAGE, files, flip, made


def writing(path: Path, **options: Any) -> Log[Any]:
    """Open a log with small pages to write."""
    return Log(path, page_size=PAGE, memory="1MiB", **options)


@pytest.mark.parametrize("link", [False, True])
def test_a_backup_is_the_log_as_of_a_commit(tmp_path: Path, link: bool) -> None:
    """With the same addresses, cookie and readers, while others append; a later one onto it copies what is new."""
    path, to = tmp_path / "log", tmp_path / "copy"
    wanted = made(path)
    with writing(path) as log:
        with log.reader("r") as reader:
            reader.done(wanted[4][0])
        address = log.append(b"with the backup's own commit")
        report = log.backup(to, link=link)
        assert (report.commit_sequence, report.path) == (log.commit_number, str(to))
        assert (report.bytes_linked > 0) == link
        log.append(b"later")
        log.commit()
        with Log(to) as copy:
            assert list(copy) == [*wanted, (address, b"with the backup's own commit")]
            assert copy.recovery.faults == copy.check() == []
            assert copy.cookie == log.cookie
            assert len(copy) == COUNT + 1
            with copy.reader("r") as reader:
                assert next(reader) == wanted[5]
        log.truncate(wanted[200][0], past_readers=True)
        log.commit()
        report = log.backup(to)
        assert report.bytes_kept > 0
        with Log(path, read_only=True) as beside:
            beside.backup(tmp_path / "another")
        for made_now in (to, tmp_path / "another"):
            with Log(made_now, read_only=True) as copy:
                assert list(copy) == list(log)
                assert copy.readers()[0].lag == len(log)


def test_the_backup_of_an_earlier_commit_goes_on_from_there(tmp_path: Path) -> None:
    """Each commit of a log, in turn; the log itself is as it was."""
    with writing(tmp_path / "log") as log:
        for number in range(5):
            first, _ = log.append_many([b"%d" % number * 300] * 20)
            log.commit(b"cookie %d" % number)
            with log.reader("r") as reader:
                reader.done(first)
        whole = list(log)
        for number in range(1, 6):
            with Log(tmp_path / "log", read_only=True, commit=number) as earlier:
                wanted = list(earlier)
                assert earlier.backup(tmp_path / "copy", link=number % 2 == 0).commit_sequence == number
            assert wanted == whole[: 20 * number]
            with writing(tmp_path / "copy") as copy:
                assert (list(copy), copy.commit_number) == (wanted, number)
                assert copy.cookie == b"cookie %d" % (number - 1)
                address = copy.append(b"another way")
                copy.commit()
            with Log(tmp_path / "copy", read_only=True) as copy:
                assert list(copy) == [*wanted, (address, b"another way")]
                assert copy.check() == []
                assert copy.readers()[0].lag <= 21
            shutil.rmtree(tmp_path / "copy")
        assert list(log) == whole
        assert log.check() == []


def test_a_reader_that_is_ahead_goes_on_at_the_backups_end(tmp_path: Path) -> None:
    """Else it would pass over what is appended to the backup."""
    path = tmp_path / "log"
    wanted = made(path)
    with writing(path) as log, Log(path, read_only=True) as before:
        later = log.append(b"later")
        log.commit()
        with log.reader("ahead") as reader:
            reader.done(later)
        before.backup(tmp_path / "copy")
    with Log(tmp_path / "copy") as copy:
        assert list(copy) == wanted
        address = copy.append(b"other")
        copy.commit()
        with copy.reader("ahead") as reader:
            assert list(reader) == [(address, b"other")]


def test_what_is_no_place_for_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "log"
    made(path)
    oxidbm.Store(tmp_path / "store").close()
    Log(tmp_path / "other").close()
    with Log(path) as log:
        for to in (path, path / "inside", tmp_path / "store", tmp_path / "other"):
            with pytest.raises(FormatError):
                log.backup(to)
        assert log.check() == []
    with Log() as memory, pytest.raises(ValueError, match="in memory"):
        memory.backup(tmp_path / "copy")
    with pytest.raises(FormatError):
        oxidbm.salvage(path, tmp_path / "new")
    with pytest.raises(FormatError):
        oxidbm.salvage_log(tmp_path / "store", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_backups_go_on_beside_truncation(tmp_path: Path) -> None:
    """No file goes that is being copied; afterwards its space comes back."""
    path = tmp_path / "log"
    wanted = made(path)
    with writing(path) as log:
        before = len(files(path))

        def progress(done: int, total: int) -> None:
            log.truncate(log.tail)
            log.append(b"meanwhile")
            log.commit()
            assert len(files(path)) == before

        log.backup(tmp_path / "copy", progress=progress)
        log.commit(alone=True)
        assert len(files(path)) < before
    with Log(tmp_path / "copy") as copy:
        assert list(copy) == wanted


def test_a_sound_log_is_salvaged_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    wanted = made(path)
    with writing(path) as log:
        log.truncate(wanted[10][0])
        log.commit()
        with log.reader("r") as reader:
            reader.done(wanted[19][0])
        with pytest.raises(LockedError):
            oxidbm.salvage_log(path, tmp_path / "new")
    seen = []
    report = oxidbm.salvage_log(path, tmp_path / "new", progress=lambda *numbers: seen.append(numbers))
    assert (report.entries, report.missing, report.lost_ranges, report.faults) == (COUNT - 10, 0, 0, [])
    assert report.below_begin == 10
    with Log(tmp_path / "new") as new:
        assert [data for _, data in new] == [data for _, data in wanted[10:]]
        assert new.cookie == b"cookie 240" == report.cookie
        assert new.check() == []
        with new.reader("r") as reader:
            assert next(reader)[1] == wanted[20][1]
    with pytest.raises(FormatError, match="is there already"):
        oxidbm.salvage_log(path, tmp_path / "new")


@pytest.mark.parametrize("what", ["entry", "commit", "CLEAN", "STORE", "STORE and CLEAN", "file"])
def test_what_is_left_is_salvaged(tmp_path: Path, what: str) -> None:
    """Each sound entry, in order; what is missing is counted, and the source stays as it is."""
    path = tmp_path / "log"
    wanted = made(path)
    lost = set()
    if what == "entry":
        flip(files(path)[0], wanted[5][0] + 25)
        lost = {5}
    elif what == "commit":
        flip(files(path)[-1], -40)
    elif what == "file":
        names = files(path)
        start, stop = int(names[1].stem) * PAGE, int(names[2].stem) * PAGE
        os.unlink(names[1])
        lost = {number for number, (address, _) in enumerate(wanted) if start <= address < stop}
        assert lost
    else:
        for name in what.split(" and "):
            flip(path / name, 20)
            if len(what) > 5:
                flip(path / name, 21)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    report = oxidbm.salvage_log(path, tmp_path / "new")
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert report.entries == COUNT - len(lost)
    assert report.missing == len(lost)
    assert bool(report.faults) == ("STORE" in what or "CLEAN" in what)
    assert bool(report.lost) == (what in ("entry", "commit"))
    with Log(tmp_path / "new") as new:
        assert [data for _, data in new] == [data for n, (_, data) in enumerate(wanted) if n not in lost]
        assert new.cookie == b"cookie 240"
    if what == "commit":
        assert report.behind_commit == COUNT - 241
        report = oxidbm.salvage_log(path, tmp_path / "committed", committed_only=True)
        assert report.entries == 241


def test_a_typed_log_keeps_its_codec(tmp_path: Path) -> None:
    """Also one whose name is not known where it is salvaged; where STORE is lost it is the caller's to name."""
    path = tmp_path / "log"
    with Log(path, codec="json") as log:
        log.append_many([{"a": 1}, None, [2]])
    with pytest.raises(CodecError, match="leave codec= out"):
        oxidbm.salvage_log(path, tmp_path / "new", codec=int)
    assert oxidbm.salvage_log(path, tmp_path / "new").codec == "json"
    (path / "STORE").unlink()
    report = oxidbm.salvage_log(path, tmp_path / "bytes")
    assert any("taken as bytes" in fault for fault in report.faults)
    assert oxidbm.salvage_log(path, tmp_path / "named", codec="json").entries == 3
    for name in ("new", "named"):
        with Log(tmp_path / name, codec="json") as log:
            assert [entry for _, entry in log] == [{"a": 1}, None, [2]]


def test_what_cannot_be_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    made(path)
    with pytest.raises(MissingError, match="log"):
        oxidbm.salvage_log(tmp_path / "nothing", tmp_path / "new")
    with pytest.raises(FormatError, match="inside"):
        oxidbm.salvage_log(path, path / "new")
    shutil.rmtree(path / "log")
    with pytest.raises(CorruptionError):
        oxidbm.salvage_log(path, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "new.unfinished").exists()
