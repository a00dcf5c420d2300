"""Which readers are known, and what that lets a log forget: truncate() goes by what they have done."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from oxidbm import BusyError, ClosedError, Log, MissingError, Queue
from oxidbm._core.device.directory import Directory
from oxidbm._core.faster_log.position_file import hold
from tests.faster_log.helpers import WAIT_SECONDS, Place
from tests.faster_log.test_readers import filled, info
from tests.inside import abandon_log
from tests.support import ROOT

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
HOLD = """
import sys
import oxidbm
with oxidbm.Log(sys.argv[1], read_only=True) as log, log.reader("billing") as reader:
    print("open", flush=True)
    sys.stdin.read()
"""


def test_truncation_stops_before_the_last_reader(files: Place) -> None:
    """Unless it is told to pass it, or it is forgotten; a reader that was passed goes on at the begin."""
    log, addresses = filled(files, 10)
    for name, number in (("fast", 7), ("slow", 3)):
        with log.reader(name) as reader:
            reader.done(addresses[number])
    with pytest.raises(ValueError, match="'slow' stands at"):
        log.truncate(addresses[5])
    assert log.truncate(addresses[2]) == 2
    assert log.truncate() == 2
    assert log.begin == addresses[4]
    assert log.truncate(addresses[6], past_readers=True) == 2
    assert info(log, "slow").lag == 4
    with log.reader("slow") as reader:
        assert next(reader)[1] == b"6"
    with log.reader("slow") as reader, pytest.raises(BusyError, match="slow"):
        log.forget_reader("slow")
    assert log.forget_reader("slow")
    assert not log.forget_reader("slow")
    assert log.truncate() == 2
    assert log.begin == addresses[8]
    log.commit()
    log.close()
    log = files.open()
    assert [data for _, data in log.reader("fast")] == [b"8", b"9"]


def test_commits_keep_nothing_from_being_truncated(files: Place) -> None:
    """A reader that has done all entries before an address stands before the commits in between, or before the end."""
    log, _ = filled(files, 3)
    with log.reader("billing") as reader:
        assert len(list(reader)) == 3
    last = log.append(b"3")
    log.commit()
    with pytest.raises(ValueError, match="'billing' stands at"):
        log.truncate(log.tail)
    assert log.truncate(last) == 3
    with log.reader("billing") as reader:
        assert [data for _, data in reader] == [b"3"]
    log.commit(alone=True)
    assert log.truncate(log.tail) == 1
    assert (len(log), info(log, "billing").lag) == (0, 0)
    log.append(b"4")
    log.commit()
    with log.reader("billing") as reader:
        assert [data for _, data in reader] == [b"4"]


def test_nothing_is_forgotten_that_nobody_has_done(files: Place) -> None:
    """Without an address truncate() goes by its readers, so that one has to be known."""
    log, addresses = filled(files, 10)
    with pytest.raises(ValueError, match=r"it has none\. Give it an address, `tail` to forget all; add_reader\(\)"):
        log.truncate()
    assert len(log) == 10
    assert log.add_reader("billing")
    assert log.truncate() == 0
    with log.reader("billing") as reader:
        reader.done(addresses[3])
    assert log.truncate() == 4
    assert log.forget_reader("billing")
    with pytest.raises(ValueError, match="it has none"):
        log.truncate()
    assert log.truncate(past_readers=True) == 6


def test_a_log_in_memory_forgets_up_to_an_address() -> None:
    with Log() as log:
        log.append_many([b"one", b"two"])
        with pytest.raises(ValueError, match=r"it has none\. Give it an address, `tail` to forget all$"):
            log.truncate()
        with pytest.raises(ValueError, match="a log in memory has no named readers"):
            log.add_reader("billing")
        assert log.truncate(log.tail) == 2


def test_a_queue_forgets_by_itself(tmp_path: Path) -> None:
    with Queue(tmp_path / "queue") as queue:
        queue.put(b"item")
        with queue.take() as message:
            assert message == b"item"


def test_a_reader_that_is_known_before_it_is_opened(files: Place) -> None:
    """Where it begins, and that a crash of the process leaves it."""
    log, addresses = filled(files, 5)
    assert log.add_reader("late", begin=addresses[3])
    assert not log.add_reader("late", begin=addresses[1])
    assert log.add_reader("early", begin=addresses[1])
    assert [(found.name, found.address, found.lag, found.is_open) for found in sorted(log.readers(), key=repr)] == [
        ("early", addresses[1], 4, False),
        ("late", addresses[3], 2, False),
    ]
    assert log.truncate() == 1
    log.commit()
    abandon_log(log)
    log = files.open()
    assert not log.add_reader("late")
    with log.reader("late", begin=addresses[4]) as reader:
        assert [data for _, data in reader] == [b"3", b"4"]
    with Log(files.path, read_only=True) as beside:
        assert beside.add_reader("beside")
        assert not beside.add_reader("late")
    assert info(log, "beside").lag == 4


def test_a_reader_begins_in_the_log(files: Place) -> None:
    """As one that is opened: at an address of it, which is committed by then."""
    log, _ = filled(files, 3)
    beginnings: list[tuple[Any, type[Exception]]] = [(log.tail + 8, IndexError), ("64", TypeError)]
    for begin, failure in beginnings:
        with pytest.raises(failure):
            log.add_reader("billing", begin=begin)
    names: list[tuple[Any, type[Exception]]] = [("", ValueError), ("a" * 241, ValueError), (7, TypeError)]
    for name, failure in names:
        with pytest.raises(failure):
            log.add_reader(name)
    assert log.readers() == []
    log.append(b"not committed")
    assert log.add_reader("billing", begin=log.tail)
    assert log.committed >= log.readers()[0].address
    log.close()
    with pytest.raises(ClosedError):
        log.add_reader("billing")
    with Log(files.path, read_only=True, commit=1) as earlier, pytest.raises(ValueError, match="stays"):
        earlier.add_reader("other")


def test_a_reader_that_is_open_is_known(files: Place) -> None:
    """In this process or in another one: who wants it to be known has nothing to wait for."""
    log, _ = filled(files, 3)
    with log.reader("here"):
        assert not log.add_reader("here")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, files.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "open\n"
        assert not log.add_reader("billing")
        with pytest.raises(BusyError):
            log.reader("billing")
        other.stdin.close()
        assert other.wait(WAIT_SECONDS) == 0


def test_a_reader_that_somebody_makes_just_now(files: Place) -> None:
    """Its file is held, and says nothing yet: who opens it, or has it be known, comes behind that."""
    log, _ = filled(files, 3)
    directory = Directory(str(files.path))
    for name, call in (("add", log.add_reader), ("open", lambda name: log.reader(name).close())):
        file = hold(directory, name, 0o666)
        found: list[Any] = []
        thread = threading.Thread(target=lambda name=name, call=call, found=found: found.append(call(name)))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        file.close()
        thread.join(WAIT_SECONDS)
        assert len(found) == 1
    directory.close()
    assert {reader.name for reader in log.readers()} == {"add", "open"}


def test_many_threads_have_a_reader_be_known(files: Place) -> None:
    """It is new to one of them, and none fails."""
    log, _ = filled(files, 3)
    for turn in range(20):
        found: list[bool] = []
        threads = [
            threading.Thread(target=lambda turn=turn, found=found: found.append(log.add_reader(f"reader {turn}")))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        assert sorted(found) == [False, False, False, True]


@pytest.mark.skipif(sys.platform == "win32", reason="an open log's directory cannot be removed")
def test_a_log_whose_directory_is_gone_has_none(files: Place) -> None:
    log, _ = filled(files, 1)
    files.path.rename(files.path.with_name("gone"))
    shutil.rmtree(files.path.with_name("gone"))
    with pytest.raises(MissingError):
        log.add_reader("billing")
