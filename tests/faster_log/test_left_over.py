"""Damaged logs: what does not open is read as far as it is sound, passed over by those who follow, and told."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from oxidbm import CorruptionError, Log, MissingError
from tests.inside import commits_of_log, hybrid_log_of

PAGE = 4096
COUNT = 300


def flip(file: Path, offset: int) -> None:
    """Change one byte of a file; a negative offset counts from its end."""
    data = bytearray(file.read_bytes())
    data[offset] ^= 16
    file.write_bytes(data)


def made(path: Path) -> list[tuple[int, bytes]]:
    """Make a log of several files and commits, closed cleanly; return its entries."""
    with Log(path, page_size=PAGE, memory="1MiB") as log:
        for number in range(COUNT):
            log.append(b"entry %03d" % number)
            if number % 60 == 0:
                log.commit(b"cookie %d" % number)
                hybrid_log_of(log).device.roll()
        log.commit()
        return list(log)


def reading(path: Path, **options: Any) -> Log[Any]:
    """Open a log to read what is left of it."""
    return Log(path, read_only=True, on_error="skip", **options)


def files(path: Path) -> list[Path]:
    """Return the log's files in their order."""
    return sorted((path / "log").iterdir())


def test_a_sound_log_is_opened_as_ever(tmp_path: Path) -> None:
    """It shows its last commit, and moves on."""
    wanted = made(tmp_path / "log")
    with Log(tmp_path / "log") as log, reading(tmp_path / "log") as left:
        assert left.recovery.faults == []
        assert list(left) == wanted
        log.append(b"later")
        log.commit()
        assert left.refresh()
        assert list(left.follow(wanted[-1][0], timeout=0))[-1][1] == b"later"


@pytest.mark.parametrize("offset", [0, 20, -1])
def test_the_mark_of_a_clean_end_is_damaged(tmp_path: Path, offset: int) -> None:
    """All entries are there; what opens says so as little as it hides it."""
    path = tmp_path / "log"
    wanted = made(path)
    flip(path / "CLEAN", offset)
    for read_only in (False, True):
        with pytest.raises(CorruptionError, match=r'CLEAN.*read_only=True, on_error="skip".*salvage_log'):
            Log(path, read_only=read_only)
    with reading(path) as left:
        assert list(left) == wanted
        assert left.cookie == b"cookie 240"
        assert len(left) == COUNT
        assert left.check() == left.recovery.faults
        assert "CLEAN" in left.recovery.faults[0]
        for call in (left.refresh, left.follow, lambda: left.reader("r")):
            with pytest.raises(ValueError, match="damaged"):
                call()
        with pytest.raises(CorruptionError, match="salvage_log"):
            left.backup(tmp_path / "copy")
    assert (path / "CLEAN").exists()


@pytest.mark.parametrize("clean", [True, False])
def test_the_last_commit_is_damaged(tmp_path: Path, clean: bool) -> None:
    """What stands behind the one before is shown too, since it was committed."""
    path = tmp_path / "log"
    wanted = made(path)
    if not clean:
        os.unlink(path / "CLEAN")
    flip(files(path)[-1], -40)
    if clean:
        with pytest.raises(CorruptionError, match="that is not there"):
            Log(path)
        with reading(path) as left:
            assert list(left) == wanted
            assert len(left) == COUNT
            assert list(left.scan(wanted[250][0], wanted[260][0])) == wanted[250:260]
            assert left.last(3) == wanted[-3:]
            assert left.read(wanted[-1][0]) == wanted[-1][1]
    else:  # as a crash in the middle of that commit would leave it
        with Log(path) as log:
            assert len(log) < COUNT


def test_a_file_is_missing(tmp_path: Path) -> None:
    """In the middle, at the end and at the begin: what the others have is shown, and what is gone is counted."""
    wanted = made(tmp_path / "log")
    names = files(tmp_path / "log")
    assert len(names) >= 4
    for name in names:
        path = tmp_path / "damaged"
        shutil.copytree(tmp_path / "log", path)
        start = int(name.stem) * PAGE
        following = [int(other.stem) * PAGE for other in names if other.stem > name.stem]
        stop = following[0] if following else 1 << 40
        os.unlink(path / "log" / name.name)
        with reading(path) as left:
            assert list(left) == [entry for entry in wanted if not start <= entry[0] < stop]
            assert left.check()
        shutil.rmtree(path)


def test_everything_is_damaged(tmp_path: Path) -> None:
    """Of files of noise nothing is left, and nothing else happens."""
    path = tmp_path / "log"
    made(path)
    for file in files(path):
        file.write_bytes(os.urandom(file.stat().st_size))
    with reading(path) as left:
        assert list(left) == []
        assert left.check()
    with pytest.raises(MissingError):
        reading(tmp_path / "nothing")


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    made(tmp_path / "log")
    with pytest.raises(ValueError, match="on_error"):
        Log(tmp_path / "log", on_error="skip")
    with pytest.raises(ValueError, match="on_error"):
        reading(tmp_path / "log", commit=1)
    with pytest.raises(ValueError, match='on_error is "raise" or "skip"'):
        Log(tmp_path / "log", on_error="pass")  # type: ignore[call-overload]


@pytest.mark.parametrize("broken", [0, 1, 50, COUNT - 1])
def test_readers_and_followers_pass_a_damaged_entry(tmp_path: Path, broken: int) -> None:
    """Where they are asked to; what was passed is done with what comes behind it, and can be truncated."""
    path = tmp_path / "log"
    wanted = made(path)
    address = wanted[broken][0]
    for file in reversed(files(path)):
        if int(file.stem) * PAGE <= address:
            flip(file, address - int(file.stem) * PAGE + 25)
            break
    sound = wanted[:broken] + wanted[broken + 1 :]
    with Log(path) as log:
        for make in (lambda: log.follow(timeout=0), lambda: log.reader("stops")):
            got: list[Any] = []
            with pytest.raises(CorruptionError):
                got.extend(make())
            assert got == sound[: len(got)]
        log.forget_reader("stops")
        assert list(log.follow(timeout=0, on_error="skip")) == sound
        got = []
        while len(got) < len(sound):
            with log.reader("passes", on_error="skip") as reader:
                for entry in reader:
                    got.append(entry)
                    reader.done(entry[0])
                    if len(got) in (broken, broken + 1):
                        break  # and go on with a new one
        assert got == sound
        assert log.truncate() >= COUNT - 1
        with log.reader("passes", on_error="skip") as reader:
            assert list(reader) == []


def test_what_is_asked_for_is_sound(tmp_path: Path) -> None:
    """Damage before the first entry that is asked for, in its page, is none of it."""
    path = tmp_path / "log"
    with Log(path) as log:
        addresses = [log.append(b"entry %03d" % number) for number in range(COUNT)]
    flip(files(path)[0], addresses[100] + 25)
    with Log(path, read_only=True) as log:
        assert [data for _, data in log.scan(addresses[200] + 1)] == [b"entry %03d" % n for n in range(201, COUNT)]
        assert log.last(1) == [(addresses[-1], b"entry 299")]
        assert len(log.last(199)) == 199
        for count in (200, COUNT):
            with pytest.raises(CorruptionError):
                log.last(count)
        with pytest.raises(CorruptionError):
            list(log.scan(addresses[99] + 1))
        assert len(log.last(200, on_error="skip")) == 200
        assert len(log.last(COUNT, on_error="skip")) == COUNT - 1
        with pytest.raises(ValueError, match="no entry"):
            log.read(addresses[200] + 8)


@pytest.mark.parametrize("slots", ["newest", "oldest", "both"])
def test_positions_that_do_not_verify_are_told(tmp_path: Path, slots: str) -> None:
    path = tmp_path / "log"
    wanted = made(path)
    with Log(path) as log:
        with log.reader("r") as reader:
            for address, _ in wanted[:2]:
                reader.done(address)
        assert log.check() == []
    file = path / "readers" / "r.pos"
    for offset in {"newest": [70], "oldest": [10], "both": [10, 70]}[slots]:
        flip(file, offset)
    with Log(path) as log:
        faults = log.check()
        assert len(faults) == 1
        assert str(file) in faults[0]
        if slots == "both":
            with pytest.raises(CorruptionError, match="delete the file"):
                log.reader("r")
        else:
            with log.reader("r") as reader:
                assert next(reader) == wanted[1 if slots == "newest" else 2]


def test_what_a_crash_has_cut_off_is_counted(tmp_path: Path) -> None:
    """Records, and no zeros that a file was made longer by; of what was in memory alone nothing is known."""
    path = tmp_path / "log"
    for size in (0, 1, 700, 5000):
        log = Log(path, page_size=PAGE, memory="1MiB")
        log.append(b"kept")
        log.commit()
        if size:
            log.append(b"\x01" * size)
            hybrid = hybrid_log_of(log)
            hybrid.seal_step(hybrid.tail, 1 << 20)
            hybrid.flush_step(1 << 20)
        behind = int(hybrid_log_of(log).flushed) - int(commits_of_log(log).end)
        crashed = tmp_path / f"crashed {size}"
        shutil.copytree(path, crashed)
        log.close(commit=False)
        with Log(crashed, page_size=PAGE, memory="1MiB") as found:
            zeros = behind - found.recovery.bytes_cut  # at the end of the last page of an entry that has its own
            assert 0 <= zeros < PAGE if size > PAGE else zeros == 0
            assert found.recovery.commit == found.commit_number
        assert (behind > 0) == (size > 0)
