"""The logger `oxidbm`: what happens in the background, and that no handler comes into the engine's way."""

import errno
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core import logbook
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.inside import abandon, abandon_log
from tests.support import ROOT, Quiet

SMALL: Quiet = {"memory": "1MiB", "page_size": 4096, "durability": "manual", "compaction": False}


class Kept(logging.Handler):
    """A handler that keeps what it gets, and does what it is told with each."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.then: Callable[[], object] = lambda: None

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep a record, without the lock that emit() would be called with; what `then` raises gets out."""
        self.records.append(record)
        self.then()
        return True

    def wait(self, word: str) -> logging.LogRecord:
        """Return the first record with a word in it, once it is there."""
        stop = time.monotonic() + 30
        while time.monotonic() < stop:
            for record in list(self.records):
                if word in record.getMessage():
                    return record
            time.sleep(0.001)
        raise AssertionError(f"nothing says {word!r}: {[record.getMessage() for record in self.records]}")


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A handler of the logger, which lets everything through."""
    logger = logging.getLogger("oxidbm")
    handler = Kept()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def crashed(path: Path) -> None:
    """Leave a store as a crash does: with a commit, and with something behind it."""
    store = oxidbm.Store(path, **SMALL)
    store["a"] = b"1"
    store.sync()
    abandon(store)
    (segment,) = (path / "log").iterdir()
    with segment.open("ab") as file:
        file.write(b"\1" * 64)


def test_a_recovery_tells_what_it_cut_off(tmp_path: Path, kept: Kept) -> None:
    crashed(tmp_path / "s")
    with oxidbm.Store(tmp_path / "s", **SMALL) as store:
        cut = store.recovery.bytes_cut
        assert cut > 0
    record = kept.wait("had not been closed")
    assert (record.levelno, record.name) == (logging.WARNING, "oxidbm")
    assert f"its commit 1 again; the {cut} bytes" in record.getMessage()
    assert str(tmp_path / "s") in record.getMessage()


def test_a_new_store_and_one_that_was_closed_tell_nothing(tmp_path: Path, kept: Kept) -> None:
    for _ in range(2):
        with oxidbm.Store(tmp_path / "s", **SMALL) as store:
            store["a"] = b"1"
        with oxidbm.Log(tmp_path / "l") as log:
            log.append(b"1")
    logbook.end_telling()
    assert kept.records == []


def test_a_log_tells_of_its_recovery_too(tmp_path: Path, kept: Kept) -> None:
    log = oxidbm.Log(tmp_path / "l")
    log.append(b"1")
    log.commit()
    abandon_log(log)
    oxidbm.Log(tmp_path / "l").close()
    record = kept.wait("had not been closed")
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith(f"the log {tmp_path / 'l'} ")


def test_a_compaction_tells_of_its_begin_and_its_end(tmp_path: Path, kept: Kept) -> None:
    with oxidbm.Store(tmp_path / "s", **SMALL) as store:
        for number in range(100):
            store["a"] = b"x" * 200
            store[str(number)] = b"y"
        store.reorganize()
        assert kept.wait("a compaction begins").levelno == logging.DEBUG
        assert "gave back" in kept.wait("a compaction ended").getMessage()


def poisoned(path: Path) -> oxidbm.Store:
    """Return a store whose commit has failed."""
    device = FaultyDevice(CrashDevice(4096))
    store = oxidbm.Store(path, device=device, **SMALL)
    store["a"] = b"1"
    device.fail("sync", errno.EIO)
    with pytest.raises(oxidbm.PoisonedError):
        store.sync()
    return store


def test_a_failed_commit_is_an_error(tmp_path: Path, kept: Kept) -> None:
    store = poisoned(tmp_path / "s")
    record = kept.wait("takes no more writes")
    assert record.levelno == logging.ERROR
    assert "reopen it" in record.getMessage()
    assert record.threadName == "oxidbm-log"
    assert "no more writes" in repr(store)
    with pytest.raises(oxidbm.PoisonedError):
        store.close()


def test_a_handler_may_use_the_store_that_is_told_of(tmp_path: Path, kept: Kept) -> None:
    """What it is told was told with locks held; a handler waits for none of them where others go on."""
    found: list[object] = []
    with oxidbm.Store(tmp_path / "s", **SMALL) as store:

        def use() -> None:
            store["told"] = b"1"
            store.sync()
            found.append(store["told"])

        kept.then = use
        for _ in range(100):
            store["a"] = b"x" * 200
        store.reorganize()
        kept.wait("a compaction ended")
        logbook.end_telling()
        assert found[:1] == [b"1"]


def test_a_handler_that_does_not_come_back_keeps_nobody_waiting(tmp_path: Path, kept: Kept) -> None:
    gate = threading.Event()
    kept.then = gate.wait
    with oxidbm.Store(tmp_path / "s", **SMALL) as store:
        for number in range(logbook.WAITING_MAX + 20):
            logbook.tell(logging.WARNING, f"number {number}")
        store["a"] = b"1"
        store.reorganize()
    gate.set()
    kept.wait("messages were left out")
    assert len(kept.records) <= logbook.WAITING_MAX + 10


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_handler_raises_comes_nowhere(tmp_path: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: said.append(unraisable.exc_value))

    def fail() -> None:
        raise SystemExit("a handler")

    kept.then = fail
    store = poisoned(tmp_path / "s")
    assert store["a"] == b"1"
    kept.wait("takes no more writes")
    logbook.tell(logging.INFO, "the next one is told all the same")
    kept.wait("the next one")
    logbook.end_telling()
    assert [str(one) for one in said] == ["a handler"] * len(kept.records)
    abandon(store)


def test_no_thread_is_left_behind(kept: Kept) -> None:
    before = threading.enumerate()
    logbook.tell(logging.WARNING, "something")
    kept.wait("something")
    logbook.end_telling()
    stop = time.monotonic() + 30
    while threading.enumerate() != before and time.monotonic() < stop:
        time.sleep(0.001)
    assert threading.enumerate() == before


def test_a_level_that_is_off_makes_no_record(kept: Kept) -> None:
    logging.getLogger("oxidbm").setLevel(logging.ERROR)
    logbook.tell(logging.WARNING, "nothing")
    logbook.end_telling()
    assert kept.records == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_tells_what_is_its_own(kept: Kept) -> None:
    gate = threading.Event()
    kept.then = gate.wait
    logbook.tell(logging.WARNING, "of the parent")
    kept.wait("of the parent")
    logbook.tell(logging.WARNING, "which waits")
    child = os.fork()
    if child == 0:
        kept.records = []
        kept.then = lambda: None
        logbook.tell(logging.WARNING, "of the child")
        try:
            kept.wait("of the child")
            os._exit(0 if len(kept.records) == 1 else 1)
        finally:
            os._exit(2)
    gate.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    kept.wait("which waits")


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own."""
    command = [sys.executable, *arguments, "-c", textwrap.dedent(code)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)


def test_importing_and_using_imports_no_logging(tmp_path: Path) -> None:
    crashed(tmp_path / "s")
    code = f"""
        import sys, oxidbm
        with oxidbm.Store({str(tmp_path / "s")!r}) as store:
            store["a"] = b"2"
            store.reorganize()
        print(sorted({{"logging", "oxidbm._logbook", "oxidbm._prompt"}} & set(sys.modules)))
    """
    assert run(code).stdout == "[]\n"


def test_what_is_told_last_is_told_before_the_exit(tmp_path: Path) -> None:
    crashed(tmp_path / "s")
    code = f"""
        import logging, oxidbm
        logging.basicConfig()
        store = oxidbm.Store({str(tmp_path / "s")!r})
    """
    assert "WARNING:oxidbm:the store" in run(code).stderr


def test_without_a_handler_nothing_is_printed(tmp_path: Path) -> None:
    crashed(tmp_path / "s")
    done = run(f"import logging, oxidbm; oxidbm.Store({str(tmp_path / 's')!r}).close()")
    assert (done.stdout, done.stderr) == ("", "")
