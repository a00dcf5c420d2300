"""States of a log in which something cannot be done: closed, forked, poisoned, read-only; each says so."""

import copy
import errno
import gc
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Log
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.faster_log.helpers import SMALL_PAGE, Place, entries, pairs
from tests.support import ROOT

WRITES: dict[str, Callable[[Log[Any]], object]] = {
    "append": lambda log: log.append(b"x"),
    "try_append": lambda log: log.try_append(b"x"),
    "append_many": lambda log: log.append_many([b"x"]),
    "append_many of an iterable": lambda log: log.append_many(iter([b"x"])),
    "batch": lambda log: log.batch(),
    "commit": lambda log: log.commit(),
    "commit with a cookie": lambda log: log.commit(b"cookie"),
    "truncate": lambda log: log.truncate(log.tail),
}
READS: dict[str, Callable[[Log[Any]], object]] = {
    "read": lambda log: log.read(64),
    "item": lambda log: log[64],
    "size": lambda log: log.size(64),
    "scan": lambda log: log.scan(),
    "iteration": iter,
    "length": len,
    "wait": lambda log: log.wait(),
    "statistics": lambda log: log.stats(),
    "block": lambda log: log.__enter__(),
}


@pytest.mark.parametrize("call", [*WRITES, *READS])
def test_a_closed_log(call: str, place: Place) -> None:
    """Every call says that it is closed; what only describes it still does."""
    log = place.open()
    log.append(b"a")
    scan = log.scan(uncommitted=True)
    batch = log.batch()
    batch.append(b"b")
    log.close()
    with pytest.raises(oxidbm.ClosedError, match=r"^the log .* is closed; open it again to use it$"):
        {**WRITES, **READS}[call](log)
    with pytest.raises(oxidbm.ClosedError):
        next(scan)
    with pytest.raises(oxidbm.ClosedError), batch:
        pass
    assert log.closed
    assert "closed" in repr(log)
    assert log.path == (str(place.path) if place.durable else None)
    log.close()


@pytest.mark.parametrize("call", WRITES)
def test_a_log_opened_to_read(call: str, files: Place) -> None:
    """Also while it is open for writing elsewhere; reading works, and closing writes nothing."""
    with files.open() as log:
        address = log.append(b"a")
    with files.open(read_only=True) as reader:
        assert reader.read_only
        with pytest.raises(oxidbm.ReadOnlyError, match=r"^the log .* was opened read-only; open it without read_only"):
            WRITES[call](reader)
        assert (reader.read(address), len(reader), entries(reader)) == (b"a", 1, [b"a"])
        assert reader.wait(address)
        assert reader.wait()
    assert entries(files.open()) == [b"a"]


def poisoned(path: Path) -> tuple[Log[Any], CrashDevice, int]:
    """Return a log whose last commit failed, its device, and the address of the entry that is durable."""
    device = CrashDevice(SMALL_PAGE)
    faulty = FaultyDevice(device)
    log: Log[Any] = Log(path, memory="1MiB", page_size=SMALL_PAGE, device=faulty)
    address = log.append(b"durable")
    log.commit(b"cookie")
    log.append(b"lost")
    faulty.fail("sync", errno.EIO)
    with pytest.raises(oxidbm.PoisonedError, match=os.strerror(errno.EIO)):
        log.commit(b"lost")
    return log, device, address


@pytest.mark.parametrize("call", WRITES)
def test_a_poisoned_log(call: str, tmp_path: Path) -> None:
    """Every write says why; reads go on, also of what was not committed; opened again, it is at its last commit."""
    log, device, address = poisoned(tmp_path / "log")
    with pytest.raises(
        oxidbm.PoisonedError, match=r"^the log .* takes no more writes since one failed: .*last commit$"
    ):
        WRITES[call](log)
    assert log.read(address) == b"durable"
    assert [data for _, data in pairs(log)] == [b"durable", b"lost"]
    assert (entries(log), log.cookie, log.commit_number) == ([b"durable"], b"cookie", 1)
    assert os.strerror(errno.EIO) in log.stats()["poisoned"]
    with pytest.raises(oxidbm.PoisonedError):
        log.close()
    assert log.closed
    with Log(tmp_path / "log", memory="1MiB", device=device.crash()) as again:
        assert (entries(again), again.cookie) == ([b"durable"], b"cookie")


def test_a_log_that_is_open_already(files: Place) -> None:
    log = files.open()
    for _ in range(2):
        with pytest.raises(oxidbm.LockedError, match=str(os.getpid())):
            files.open()
    log.append(b"a")
    log.close()
    assert entries(files.open()) == [b"a"]


def test_a_log_is_not_copied(place: Place) -> None:
    log = place.open()
    for call in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a log cannot be pickled or copied"):
            call(log)


def test_what_holds_a_log_open(disk: Place) -> None:
    """A scan and a batch of one that nobody else holds; when they are dropped, it is closed, and committed."""
    log = disk.open()
    log.append(b"a")
    scan = log.scan(uncommitted=True)
    batch = log.batch()
    disk.opened.clear()
    del log
    gc.collect()
    assert next(scan)[1] == b"a"
    assert next(scan, None) is None
    with batch:
        batch.append(b"b")
    del batch, scan
    gc.collect()
    assert entries(disk.open()) == [b"a", b"b"]


CHILD = """
    import os, sys
    import oxidbm
    log = oxidbm.Log(sys.argv[1], memory="1MiB")
    log.append(b"a")
    scan = log.scan(uncommitted=True)
    batch = log.batch()
    batch.append(b"in the child")
    child = os.fork()
    if child == 0:
        said = []
        calls = [
            lambda: log.append(b"x"), lambda: log.try_append(b"x"), lambda: log.append_many([b"x"]), log.commit,
            lambda: log.commit(b"x"), log.truncate, lambda: log.read(64), lambda: len(log), lambda: list(log), log.wait,
            lambda: next(scan), lambda: batch.__exit__(None, None, None),
        ]
        for call in calls:
            try:
                call()
            except oxidbm.ClosedError as failure:
                said.append("was opened by the parent process; a forked child must open it for itself" in str(failure))
        assert said == [True] * len(calls), said
        END
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log.append(b"b")
    log.close()
    assert [data for _, data in oxidbm.Log(sys.argv[1])] == [b"a", b"b"]
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("end", ["log.close()", "del log, scan, batch, calls", "sys.exit(0)", "pass"])
def test_a_forked_child(end: str, tmp_path: Path) -> None:
    """It can do nothing with its parent's log, and its end leaves that alone."""
    program = textwrap.dedent(CHILD).replace("END", end)
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(tmp_path / "log")],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")


def test_arguments_of_other_types(tmp_path: Path) -> None:
    """Each is a TypeError or ValueError that names it, and no log is made."""
    wrong: list[dict[str, Any]] = [
        {"memory": None}, {"memory": 1.5}, {"page_size": []}, {"commit_bytes": b"1"}, {"durability": 5},
        {"commit": "1", "read_only": True}, {"commit": True, "read_only": True}, {"codec": 5}, {"interval": "x"},
        {"unknown": 1},
    ]  # fmt: skip
    for options in wrong:
        with pytest.raises((TypeError, ValueError)):
            Log(tmp_path / "log", **options)
    path: Any = 5
    with pytest.raises(TypeError):
        Log(path)
    assert not (tmp_path / "log").exists()
