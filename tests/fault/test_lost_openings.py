"""An opening that a signal handler ends by an exception leaves nothing open, at whatever place that comes."""

import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from oxidbm import Log, Queue, Store
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.directory_lock import DirectoryLock
from oxidbm._core.device.lock_file import HELD
from oxidbm._core.device.open_file import OpenFile
from oxidbm._core.exits import HANDLES
from tests.fault.test_interrupts import interrupts
from tests.support import soaked

DESCRIPTORS = Path("/proc/self/fd")
ROUNDS = 150

storm = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer"),
    pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="the system does not list what is open"),
    pytest.mark.compiled_only("on the sources an exception may come between any two lines"),
]


def open_below(path: Path) -> list[str]:
    """Return what this process has open below a path."""
    gc.collect()
    found = []
    for entry in os.listdir(DESCRIPTORS):
        try:
            found.append(os.readlink(DESCRIPTORS / entry))
        except OSError:  # that of the listing
            continue
    return sorted(name for name in found if name.startswith(str(path)))


def openings(path: Path) -> dict[str, Callable[[], object]]:
    """Return calls that open something, by what they do, and close it."""
    log, queue, store = path / "log", path / "queue", path / "store"
    with Store(store) as stored:
        stored.update({b"%d" % number: b"value" for number in range(100)})
    with Log(log) as made:
        made.append_many([b"entry"] * 100)
    with Queue(queue) as filled:
        filled.put_many([b"item"] * 100)
    return {
        "log": lambda: Log(log).close(),
        "read-only log": lambda: Log(log, read_only=True).close(),
        "queue": lambda: Queue(queue).close(),
        "read-only queue": lambda: Queue(queue, read_only=True).close(),
        "store": lambda: Store(store).close(),
        "read-only store": lambda: Store(store, read_only=True).close(),
        "lost log": lambda: Log(log),
        "lost queue": lambda: Queue(queue),
        "lost store": lambda: Store(store),
    }


@pytest.mark.parametrize(
    "kind", [f"{how}{what}" for what in ("log", "queue", "store") for how in ("", "read-only ", "lost ")]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestOpenings:
    pytestmark = storm

    def test_an_opening_that_is_interrupted_leaves_nothing_open(self, kind: str, tmp_path: Path) -> None:
        call = openings(tmp_path)[kind]
        known, held = len(HANDLES), len(HELD)

        def work() -> None:
            while True:
                call()

        with interrupts() as interrupted:
            assert all(interrupted(work) for _ in range(soaked(ROUNDS)))
        assert open_below(tmp_path) == []
        assert (len(HANDLES), len(HELD)) == (known, held)
        call()


class TestCalls:
    pytestmark = storm

    def test_a_backup_that_is_interrupted_keeps_no_lock(self, tmp_path: Path) -> None:
        with Log(tmp_path / "log") as log:
            log.append_many([b"entry"] * 100)
            log.backup(tmp_path / "copy")  # which imports what it needs: an import that is interrupted loses files
            before = open_below(tmp_path)

            def work() -> None:
                while True:
                    log.backup(tmp_path / "copy")

            with interrupts() as interrupted:
                assert all(interrupted(work) for _ in range(soaked(ROUNDS)))
            assert open_below(tmp_path) == before
            log.backup(tmp_path / "copy")
        with Log(tmp_path / "copy") as copy:
            assert len(copy) == 100

    def test_a_reader_whose_opening_is_interrupted_is_not_held(self, tmp_path: Path) -> None:
        with Log(tmp_path / "log") as log:
            log.append_many([b"entry"] * 100)
            before = open_below(tmp_path)

            def work() -> None:
                while True:
                    log.reader("billing").close()

            with interrupts() as interrupted:
                assert all(interrupted(work) for _ in range(soaked(ROUNDS)))
            assert open_below(tmp_path) == before
            log.reader("billing").close()

    @pytest.mark.parametrize("name", ["readers", "check", "add_reader", "forget_reader", "truncate"])
    def test_a_call_that_reads_where_readers_stand_leaves_none_of_their_files_open(
        self, name: str, tmp_path: Path
    ) -> None:
        with Log(tmp_path / "log") as log:
            log.append_many([b"entry"] * 100)
            for other in range(10):
                log.add_reader(f"other {other}")
            before = open_below(tmp_path)
            calls: dict[str, Callable[[], object]] = {
                "readers": log.readers,
                "check": log.check,
                "add_reader": lambda: (log.add_reader("billing"), log.forget_reader("other 1")),
                "forget_reader": lambda: (log.forget_reader("billing"), log.add_reader("billing")),
                "truncate": log.truncate,
            }

            def work() -> None:
                while True:
                    calls[name]()

            with interrupts() as interrupted:
                assert all(interrupted(work) for _ in range(soaked(ROUNDS)))
            assert open_below(tmp_path) == before


def test_what_is_lost_is_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    directory = Directory(str(tmp_path))
    numbers = [OpenFile(directory, "file", os.O_RDONLY).descriptor for _ in range(3)]
    assert len(set(numbers)) == 1
    for _ in range(3):
        DirectoryLock(directory, 0o600)  # LockedError, were the one before still held
    del directory
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(numbers[0])
