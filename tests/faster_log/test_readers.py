"""Named readers: where each goes on, who may have one, what they keep from being truncated, and what a crash leaves."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from oxidbm import BusyError, ClosedError, CorruptionError, Log, ReaderInfo, ReadOnlyError, StaleError
from oxidbm._core.address import ADDRESS_MAX
from tests.faster_log.helpers import Place, push_to_disk, until_true
from tests.inside import abandon_log
from tests.support import ROOT, scaled

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def filled(place: Place, count: int) -> tuple[Log[bytes], list[int]]:
    """Return a log of so many committed entries, and their addresses."""
    log = place.open()
    addresses = [log.append(b"%d" % number) for number in range(count)]
    log.commit()
    return log, addresses


def info(log: Log[bytes], name: str) -> ReaderInfo:
    """Return what is known of one reader."""
    return next(found for found in log.readers() if found.name == name)


def test_leaving_the_block_keeps_what_was_given(files: Place) -> None:
    log, _ = filled(files, 10)
    with log.reader("billing") as reader:
        for _, data in reader:
            if data == b"3":
                break
    assert info(log, "billing").lag == 6
    with log.reader("billing") as reader:
        assert [data for _, data in reader] == [b"4", b"5", b"6", b"7", b"8", b"9"]
    with log.reader("billing") as reader:
        assert list(reader) == []
        log.append(b"new")
        assert list(reader) == []
        log.commit()
        assert [data for _, data in reader] == [b"new"]
    assert info(log, "billing").lag == 0


def test_an_exception_lets_the_last_one_come_again(files: Place) -> None:
    log, _ = filled(files, 5)
    for fails_at in (b"0", b"0", b"2"):
        with suppress(KeyError), log.reader("billing") as reader:
            for _, data in reader:
                if data == fails_at:
                    raise KeyError
    with log.reader("billing") as reader:
        assert next(reader)[1] == b"2"


def test_done_says_it_and_nothing_else_does(files: Place) -> None:
    """By the address of any entry: of the last one, of one before, of one that was not given at all."""
    log, addresses = filled(files, 10)
    with log.reader("billing") as reader:
        for address, data in reader:
            if data == b"3":
                reader.done(address)
    assert info(log, "billing").address == addresses[4]
    with log.reader("billing") as reader:
        assert reader.position == addresses[4]
        assert next(reader)[1] == b"4"
        reader.done(addresses[1])
        assert reader.position == addresses[2]
    push_to_disk(log)
    with log.reader("billing") as reader:
        assert next(reader)[1] == b"2"
        reader.done(addresses[8])
        for wrong, error in (
            (addresses[8] + 8, ValueError),
            (log.tail, IndexError),
            (-1, IndexError),
            ("9", TypeError),
        ):
            with pytest.raises(error):
                reader.done(wrong)  # type: ignore[arg-type]
    with log.reader("billing") as reader:
        assert [data for _, data in reader] == [b"9"]
    with pytest.raises(ClosedError):
        reader.done(addresses[9])
    with pytest.raises(ClosedError):
        next(reader)


def test_reading_ahead_does_not_count(files: Place) -> None:
    """What is not done when the process dies comes again; what is done does not."""
    log, addresses = filled(files, 10)
    reader = log.reader("billing")
    assert len([next(reader) for _ in range(8)]) == 8
    reader.done(addresses[2])
    abandon_log(log)
    log = files.open()
    with log.reader("billing") as reader:
        assert next(reader)[1] == b"3"


def test_where_a_new_one_begins(files: Place) -> None:
    log, addresses = filled(files, 10)
    assert [data for _, data in log.reader("late", begin=addresses[8])] == [b"8", b"9"]
    assert list(log.reader("new", begin=log.tail)) == []
    assert info(log, "late").lag == 2
    assert info(log, "new").lag == 0
    with log.reader("late", begin=addresses[0]) as reader:
        assert next(reader)[1] == b"8"


def test_two_cannot_have_one(files: Place) -> None:
    """Not in one process, nor in another one; each has its own, and one that was dropped can be had again."""
    log, _ = filled(files, 3)
    first = log.reader("billing")
    with pytest.raises(BusyError, match="'billing'"):
        log.reader("billing")
    assert info(log, "billing").is_open
    other = Log(files.path, read_only=True)
    with pytest.raises(BusyError, match="'billing'"):
        other.reader("billing")
    code = 'import sys, oxidbm\nlog = oxidbm.Log(sys.argv[1], read_only=True)\nlog.reader("billing")'
    done = subprocess.run([sys.executable, "-c", code, files.path], env=ENVIRONMENT, capture_output=True, check=False)
    assert b"BusyError" in done.stderr
    first.close()
    first.close()
    with other.reader("billing") as reader:
        assert [data for _, data in reader] == [b"0", b"1", b"2"]
    assert not info(log, "billing").is_open
    log.reader("billing")
    assert not info(log, "billing").is_open
    other.close()


def test_names(files: Place) -> None:
    """Any name makes a file of its own; none leaves the directory."""
    log, _ = filled(files, 3)
    names = ["a", "A", "a.b", "../up", "ümläut", "with space", "x" * 240, "\n", "%41"]
    for number, name in enumerate(names):
        with log.reader(name) as reader:
            for _ in range(number % 3):
                next(reader)
    assert sorted(found.name for found in log.readers()) == sorted(names)
    assert [found.lag for found in sorted(log.readers(), key=lambda found: names.index(found.name))] == [
        3 - number % 3 for number in range(len(names))
    ]
    assert len(list((files.path / "readers").iterdir())) == len(names)
    for wrong in ("", "x" * 241, "ü" * 41):
        with pytest.raises(ValueError, match="name"):
            log.reader(wrong)


def test_a_log_in_memory_has_none() -> None:
    with Log() as log:
        with pytest.raises(ValueError, match="memory"):
            log.reader("billing")
        assert log.readers() == []


def test_a_reader_that_waits(files: Place) -> None:
    log, _ = filled(files, 2)
    with log.reader("billing", follow=True, timeout=0.01) as reader:
        assert [data for _, data in reader] == [b"0", b"1"]
    with log.reader("billing", follow=True) as reader:
        log.append(b"2")
        log.commit()
        assert next(reader)[1] == b"2"
    assert info(log, "billing").lag == 0


def test_closing_the_log_gives_its_readers_back(files: Place) -> None:
    log, addresses = filled(files, 5)
    reader = log.reader("billing")
    reader.done(addresses[2])
    log.close()
    with pytest.raises(ClosedError):
        reader.done(addresses[3])
    reader.close()
    log = files.open()
    with log.reader("billing") as again:
        assert next(again)[1] == b"3"


@pytest.mark.parametrize("damage", ["one slot", "both slots", "cut", "empty"])
def test_a_damaged_position(files: Place, damage: str) -> None:
    """The slot before counts where the newest one is torn; where none is left it is told."""
    log, addresses = filled(files, 5)
    with log.reader("billing") as reader:
        for number in (0, 1, 2):
            reader.done(addresses[number])
    path = files.path / "readers" / "billing.pos"
    data = bytearray(path.read_bytes())
    newest = 0 if data[8] > data[72] else 64
    data[newest + 20] ^= 1
    if damage == "both slots":
        data[(newest ^ 64) + 20] ^= 1
    path.write_bytes(bytes(data[:64] if damage == "cut" else b"" if damage == "empty" else data))
    if damage == "both slots" or (damage == "cut" and newest == 0):
        with pytest.raises(CorruptionError, match=r"billing\.pos"):
            log.reader("billing")
        with pytest.raises(CorruptionError, match=r"billing\.pos"):
            log.readers()
        return
    with log.reader("billing") as reader:
        assert next(reader)[1] == (b"0" if damage == "empty" else b"2")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_reader_to_its_parent(files: Place) -> None:
    log, addresses = filled(files, 3)
    reader = log.reader("billing")
    reader.done(addresses[0])
    child = os.fork()
    if child == 0:
        try:
            reader.done(addresses[1])
        except ClosedError:
            reader.close()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert info(log, "billing").is_open
    with pytest.raises(BusyError):
        log.reader("billing")
    reader.close()


CONSUMER = """
import sys
from oxidbm import Log
log = Log(sys.argv[1], read_only=True)
with log.reader("billing", follow=True, timeout=60) as reader, open(sys.argv[2], "a") as out:
    for address, data in reader:
        out.write(data.decode() + "\\n")
        out.flush()
        reader.done(address)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_consumer_that_is_killed_sees_each_entry_at_least_once(tmp_path: Path) -> None:
    """In order, and again only the one that it was working on."""
    path, out = tmp_path / "log", tmp_path / "out"
    out.touch()
    count = 0
    rounds = scaled(8, 2)
    with Log(path) as log:
        for turn in range(rounds):
            consumer = subprocess.Popen([sys.executable, "-c", CONSUMER, path, out], env=ENVIRONMENT)
            target = count + 50
            while count < target:
                log.append(b"%d" % count)
                count += 1
                log.commit()
            until_true(lambda goal=target - 20 + turn: len(out.read_text().split()) >= goal)  # type: ignore[misc]
            consumer.kill()
            consumer.wait()
            log.truncate()
        with log.reader("billing") as reader, out.open("a") as rest:
            for _, data in reader:
                rest.write(data.decode() + "\n")
    seen = [int(line) for line in out.read_text().split()]
    assert sorted(set(seen)) == list(range(count))
    steps = [after - before for before, after in pairwise(seen)]
    assert set(steps) <= {0, 1}
    assert steps.count(0) <= rounds


def test_a_read_only_log_keeps_positions_only(files: Place) -> None:
    """It may not append, and changes nothing but its reader's file."""
    log, addresses = filled(files, 3)
    log.close()
    before = {file: file.read_bytes() for file in files.path.rglob("*") if file.is_file()}
    with Log(files.path, read_only=True) as reading:
        with reading.reader("billing") as reader:
            reader.done(addresses[1])
            reader.sync()
        with pytest.raises(ReadOnlyError):
            reading.append(b"no")
    after = {file: file.read_bytes() for file in files.path.rglob("*") if file.is_file()}
    assert {file.name for file in after if after[file] != before.get(file)} == {"billing.pos"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of a file's size")
def test_a_reader_that_could_not_be_made_is_none(files: Place) -> None:
    """A full disk lets a file be made and nothing be written to it."""
    import resource

    log, addresses = filled(files, 10)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limit[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            log.reader("late", begin=log.tail)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert log.readers() == []
    assert not log.forget_reader("late")
    assert log.truncate(addresses[5]) == 5
    with pytest.raises(ValueError, match="has none"):
        log.truncate()
    with log.reader("late") as reader:
        assert reader.position == log.begin


@pytest.mark.parametrize("data", [b"", bytes(128)], ids=["empty", "zeros"])
def test_a_position_that_was_never_written_is_no_reader(files: Place, data: bytes) -> None:
    """As a process leaves it that is killed while it makes the reader, or a power cut before that was synced."""
    log, _ = filled(files, 10)
    (files.path / "readers").mkdir()
    (files.path / "readers" / "late.pos").write_bytes(data)
    assert log.readers() == []
    assert log.truncate(log.tail) == 10
    log.append(b"new")
    log.commit()
    with log.reader("late") as reader:
        assert [data for _, data in reader] == [b"new"]
    assert [found.name for found in log.readers()] == ["late"]


def test_a_position_knows_what_was_durable(files: Place) -> None:
    """A log that ends before what a reader knew to be durable has lost it; nothing is cut off."""
    log, _ = filled(files, 10)
    with log.reader("billing") as reader:
        next(reader)
    committed = log.committed
    abandon_log(log)
    (segment,) = (files.path / "log").iterdir()
    sound = segment.read_bytes()
    data = bytearray(sound)
    data[committed - 60] ^= 1
    segment.write_bytes(data)
    with pytest.raises(CorruptionError, match=r"billing\.pos knew commit 1 to be durable"):
        files.open()
    assert segment.read_bytes() == bytes(data)
    segment.write_bytes(sound)
    assert len(files.open()) == 10


def test_a_position_before_the_first_commit_knows_nothing(files: Place) -> None:
    """A reader of what is not committed yet may be ahead of what a crash leaves, which is no damage."""
    log = files.open()
    log.append(b"never committed")
    with log.reader("billing") as reader:
        assert list(reader) == []
    abandon_log(log)
    assert len(files.open()) == 0


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("begin", [1 << 70, ADDRESS_MAX, 5000])
def test_no_reader_begins_behind_the_log(begin: int, read_only: bool, files: Place) -> None:
    """It would see nothing that comes, and have it truncated unread."""
    log, _ = filled(files, 3)
    if read_only:
        log.close()
        log = files.open(read_only=True)
    with pytest.raises(IndexError, match=rf"the reader 'billing' cannot begin at address {begin}: the log .* ends at"):
        log.reader("billing", begin=begin)
    assert log.readers() == []
    with log.reader("billing", begin=-1) as reader:
        assert len(list(reader)) == 3


def test_a_reader_begins_at_what_the_writer_has_committed_since(files: Place) -> None:
    log, _ = filled(files, 3)
    beside = files.open(read_only=True)
    address = log.append(b"new")
    log.commit()
    with beside.reader("billing", begin=address) as reader:
        assert list(reader) == [(address, b"new")]


def test_where_a_reader_begins_is_committed(files: Place) -> None:
    """Else a crash left it behind the log's end, and it would miss what comes there."""
    log, _ = filled(files, 3)
    log.append(b"not yet committed")
    log.reader("billing", begin=log.tail).close()
    files.crash(log)
    log = files.open()
    assert info(log, "billing").lag == 0
    assert info(log, "billing").address <= log.tail
    log.append(b"new")
    log.commit()
    with log.reader("billing") as reader:
        assert [data for _, data in reader] == [b"new"]


@pytest.mark.parametrize("wrong", [None, "64", 64.0, True])
def test_what_is_no_address_is_not_done(wrong: Any, files: Place) -> None:
    log, addresses = filled(files, 2)
    with log.reader("billing") as reader:
        next(reader)
        with pytest.raises(TypeError, match="an address is an int, as append"):
            reader.done(wrong)
        with pytest.raises(IndexError, match="is not in the log"):
            reader.done(10**30)
        reader.done(addresses[0])
    assert info(log, "billing").lag == 1


@pytest.mark.parametrize("follows", [False, True])
def test_what_is_said_to_be_done_is_committed(follows: bool, files: Place) -> None:
    """Else a crash left the reader behind the log's end, and it would take for done what comes there."""
    log, addresses = filled(files, 3)
    with log.reader("billing", follow=follows, timeout=0) as reader:
        reader.done(log.append(b"not yet committed"))
        assert log.committed == log.tail
        log.append(b"lost")
        reader.done(addresses[2])  # the last one given or not: it is durable, and makes no commit
        assert log.committed < log.tail
        reader.done(addresses[2])
        next(reader)
    files.crash(log)
    log = files.open()
    log.append(b"new")
    log.commit()
    with log.reader("billing") as reader:
        assert [data for _, data in reader] == [b"not yet committed", b"new"]


def test_a_reader_does_not_stay_behind_the_end_of_a_log_that_lost_a_commit(files: Place) -> None:
    """A reader in another process can be done with a commit whose sync the system did not come back from."""
    log, _ = filled(files, 3)
    end = log.committed
    for data in (b"3", b"4"):
        log.append(data)
    log.commit()
    with files.open(read_only=True) as beside, beside.reader("billing") as reader:
        assert len(list(reader)) == 5
    assert info(log, "billing").lag == 0
    files.crash(log)
    segment = next(iter(sorted((files.path / "log").iterdir())))
    os.truncate(segment, end)
    with files.open(read_only=True) as beside:
        assert len(beside) == 3
        assert list(beside.reader("billing")) == []
    log = files.open()
    assert (info(log, "billing").address, info(log, "billing").lag) == (end, 0)
    for data in (b"new", b"newer", b"newest"):
        log.append(data)
    log.commit()
    with log.reader("billing") as reader:
        assert [data for _, data in reader] == [b"new", b"newer", b"newest"]


@pytest.mark.skipif(sys.platform == "win32", reason="a directory that is open is not deleted there")
@pytest.mark.parametrize("anew", [False, True])
def test_a_log_that_is_deleted_has_those_end_who_wait(anew: bool, files: Place) -> None:
    log, _ = filled(files, 3)
    log.close()
    beside = files.open(read_only=True)
    with beside.reader("billing", follow=True) as reader:
        assert [next(reader)[1] for _ in range(3)] == [b"0", b"1", b"2"]
        shutil.rmtree(files.path)
        if anew:
            filled(files, 5)
        for call in (lambda: next(reader), lambda: beside.wait(beside.tail), beside.refresh):
            with pytest.raises(StaleError, match=r"the log .* was deleted or replaced since this reader opened it"):
                call()
    assert len(beside) == 3


def test_how_readers_and_followers_show_themselves(files: Place) -> None:
    log, addresses = filled(files, 3)
    reader = log.reader("billing")
    next(reader)
    reader.done(addresses[0])
    assert repr(reader) == f"<oxidbm.LogReader 'billing' of {str(files.path)!r}, at {addresses[1]}>"
    reader.close()
    assert repr(reader).endswith(f"at {addresses[1]}, closed>")
    with log.follow(addresses[1]) as follower:
        assert repr(follower) == f"<oxidbm.LogFollower of {str(files.path)!r}, at {addresses[1]}>"
    assert repr(follower).endswith(", closed>")
    scan = log.scan(addresses[1])
    next(scan)
    assert repr(scan) == f"<entries of the log {files.path}, at {addresses[2]}, up to {log.committed}>"
    log.close()
    assert repr(scan)
    assert repr(reader)
    assert repr(follower)
