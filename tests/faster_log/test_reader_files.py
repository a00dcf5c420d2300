"""The files of named readers: whose they are when a process forks, when they are forgotten, and when a write fails."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oxidbm import BusyError, Log
from tests.faster_log.helpers import Place
from tests.faster_log.test_readers import ENVIRONMENT, filled, info
from tests.support import ROOT

fcntl = pytest.importorskip("fcntl")

FORKING = """
import os, sys
from oxidbm import Log
log = Log(sys.argv[1])
log.append_many([b"first", b"second"])
log.commit()
reader = log.reader("billing")
reader.done(next(reader)[0])
gone, end = os.pipe()
if os.fork() == 0:
    os.close(end)
    print("forked", flush=True)
    sys.stdin.read()
    os._exit(0)
os.read(gone, 1)
"""


def test_who_is_killed_leaves_no_reader_to_a_child(tmp_path: Path) -> None:
    """Its lock would be held for as long as the child lives, whose descriptor is one of the same opening."""
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, str(tmp_path / "log")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT,
    )  # fmt: skip
    assert parent.stdout is not None
    assert parent.stdin is not None
    assert parent.stdout.readline() == b"forked\n"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    with Log(tmp_path / "log") as log:
        assert not info(log, "billing").is_open
        with log.reader("billing") as reader:
            assert next(reader)[1] == b"second"
        assert log.forget_reader("billing")
    parent.stdin.close()
    parent.stdout.close()


def test_a_block_whose_end_cannot_be_written_lets_the_name_go(files: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = filled(files, 3)

    def full(descriptor: int, data: Any, offset: int) -> int:
        raise OSError(errno.ENOSPC, "no space is left")

    reader = log.reader("billing")
    next(reader)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="no space is left"):
        reader.__exit__(None, None, None)
    monkeypatch.undo()
    with log.reader("billing") as again:
        assert next(again)[1] == b"0"


def before_locking(monkeypatch: pytest.MonkeyPatch, does: Any) -> None:
    """Have something be done between the next opening of a reader's file and its locking."""
    real = fcntl.flock
    turns: list[int] = []

    def flock(descriptor: int, operation: int) -> None:
        turns.append(descriptor)
        if len(turns) == 1:
            does()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("anew", [False, True])
def test_a_reader_that_is_forgotten_while_it_is_opened_is_made_anew(
    anew: bool, files: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock on a file that the name does not lead to keeps nobody out, and what is written to that file is lost."""
    log, addresses = filled(files, 3)
    log.add_reader("billing")

    def forgotten() -> None:
        assert log.forget_reader("billing")
        if anew:
            log.add_reader("billing", begin=addresses[1])

    before_locking(monkeypatch, forgotten)
    with log.reader("billing") as reader:
        with pytest.raises(BusyError):
            log.reader("billing")
        assert [data for _, data in reader] == ([b"1", b"2"] if anew else [b"0", b"1", b"2"])
    assert info(log, "billing").lag == 0


def test_a_reader_that_was_made_anew_is_not_forgotten_with_the_one_before(
    files: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, _ = filled(files, 3)
    log.add_reader("billing")
    held: list[Any] = []

    def made_anew() -> None:
        assert log.forget_reader("billing")
        held.append(log.reader("billing"))

    before_locking(monkeypatch, made_anew)
    with pytest.raises(BusyError):
        log.forget_reader("billing")
    held[0].done(next(held[0])[0])
    held[0].close()
    assert info(log, "billing").lag == 2


def test_a_reader_that_two_forget_was_forgotten_by_one(files: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = filled(files, 3)
    log.add_reader("billing")
    forgot: list[bool] = []
    before_locking(monkeypatch, lambda: forgot.append(log.forget_reader("billing")))
    assert (log.forget_reader("billing"), forgot) == (False, [True])
    assert log.readers() == []
