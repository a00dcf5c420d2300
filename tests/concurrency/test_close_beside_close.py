"""A close() that another thread is in: it is waited for, by another close(), by an exit, and a forked child sees it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import BusyError, ClosedError, LockedError, Log, Queue, Store
from oxidbm.device import Directory, FileDevice
from oxidbm.testing import FaultyDevice
from tests.support import run, scaled

PAGE_BITS = 12
PAGE_BYTES = 1 << PAGE_BITS
KINDS = ("store", "log", "queue")
COUNT = scaled(30_000, 300)


def opened(path: Path, what: str, **options: Any) -> Any:
    """Return a store, a log or a queue that commits when it is told."""
    kinds: dict[str, Callable[..., Any]] = {"store": Store, "log": Log, "queue": Queue}
    return kinds[what](path, durability="manual", **options)


def put(found: Any, number: int) -> None:
    """Write something."""
    if isinstance(found, Store):
        found[b"%d" % number] = b"value"
    elif isinstance(found, Log):
        found.append(b"value")
    else:
        found.put(b"value")


class Syncing:
    """A device whose next sync waits until it is told."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.device = FaultyDevice(FileDevice(Directory(str(directory)), PAGE_BITS))
        self.inside = threading.Event()
        self.go_on = threading.Event()

    def wait_in_next(self) -> None:
        """Have the next sync wait."""
        self.device.before("sync", self.wait, times=1)

    def wait(self) -> None:
        """Say that the sync has begun, and wait."""
        self.inside.set()
        assert self.go_on.wait(60)

    def again(self) -> FileDevice:
        """The same files, for another opening."""
        return FileDevice(Directory(str(self.directory)), PAGE_BITS)


@pytest.fixture(params=KINDS)
def what(request: pytest.FixtureRequest) -> str:
    """A kind of what can be open."""
    kind: str = request.param
    return kind


@pytest.fixture
def syncing(tmp_path: Path) -> Syncing:
    """A device that waits."""
    return Syncing(tmp_path / "device")


def check_again(path: Path, what: str, syncing: Syncing) -> None:
    """What was written before it was closed is there."""
    with opened(path, what, device=syncing.again(), page_size=PAGE_BYTES) as found:
        assert len(found) == 1
        assert found.check() == []


def test_a_second_close_returns_when_it_is_closed(what: str, tmp_path: Path, syncing: Syncing) -> None:
    found = opened(tmp_path / "it", what, device=syncing.device, page_size=PAGE_BYTES)
    put(found, 1)
    syncing.wait_in_next()
    returned = threading.Event()

    def second() -> None:
        assert syncing.inside.wait(60)
        found.close()
        returned.set()

    def watch() -> None:
        assert syncing.inside.wait(60)
        assert not returned.wait(0.05)
        with pytest.raises(LockedError):
            opened(tmp_path / "it", what, device=syncing.again(), page_size=PAGE_BYTES)
        syncing.go_on.set()

    run(found.close, second, second, watch)
    check_again(tmp_path / "it", what, syncing)


def test_a_close_that_comes_to_nothing_lets_the_next_one_try(what: str, tmp_path: Path, syncing: Syncing) -> None:
    found = opened(tmp_path / "it", what, device=syncing.device, page_size=PAGE_BYTES)
    put(found, 1)
    syncing.wait_in_next()
    syncing.device.fail("sync", KeyboardInterrupt(), times=1)
    raised: list[BaseException] = []

    def first() -> None:
        try:
            found.close()
        except KeyboardInterrupt as failure:
            raised.append(failure)

    def second() -> None:
        assert syncing.inside.wait(60)
        found.close()

    def go_on() -> None:
        assert syncing.inside.wait(60)
        syncing.go_on.set()

    run(first, second, go_on)
    assert len(raised) == 1
    assert found.closed
    check_again(tmp_path / "it", what, syncing)


EXITING = """
import sys, threading, time
import oxidbm
what, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
found = {"store": oxidbm.Store, "log": oxidbm.Log, "queue": oxidbm.Queue}[what](path, durability="manual")
if what == "store":
    found.update((b"%d" % number, bytes(1000)) for number in range(count))
elif what == "log":
    found.append_many([bytes(1000)] * count)
else:
    found.put_many([bytes(1000)] * count)
thread = threading.Thread(target=found.close, daemon=True)
thread.start()
while not found.closed:
    time.sleep(0)
print("closing")
"""


def test_an_exit_waits_for_it(what: str, tmp_path: Path) -> None:
    for turn in range(3):
        path = tmp_path / f"it{turn}"
        done = subprocess.run(
            [sys.executable, "-c", EXITING, what, str(path), str(COUNT)], capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == ("closing\n", "")
        with opened(path, what) as again:
            assert len(again) == COUNT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_child_that_is_forked_meanwhile_has_it_closed(what: str, tmp_path: Path, syncing: Syncing) -> None:
    found = opened(tmp_path / "it", what, device=syncing.device, page_size=PAGE_BYTES)
    put(found, 1)
    syncing.wait_in_next()

    def fork() -> None:
        assert syncing.inside.wait(60)
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            try:
                try:
                    put(found, 2)
                except ClosedError:
                    found.close()
                    os._exit(0 if found.closed else 2)
                os._exit(1)
            finally:
                os._exit(3)
        _, status = os.waitpid(child, 0)
        syncing.go_on.set()
        assert os.waitstatus_to_exitcode(status) == 0

    run(found.close, fork)
    check_again(tmp_path / "it", what, syncing)


def test_a_close_in_the_middle_of_one_does_nothing_or_says_so(what: str, tmp_path: Path, syncing: Syncing) -> None:
    """What runs in the middle of close(), here the device, cannot wait for its end."""
    found = opened(tmp_path / "it", what, device=syncing.device, page_size=PAGE_BYTES)
    put(found, 1)

    def close_again() -> None:
        with contextlib.suppress(BusyError):
            found.close()

    syncing.device.before("sync", close_again)
    found.close()
    assert found.closed
    check_again(tmp_path / "it", what, syncing)


ENDED_BY_A_SIGNAL = """
import atexit, ctypes, signal, sys, threading, time
import oxidbm
what, path = sys.argv[1], sys.argv[2]
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
found = {"store": oxidbm.Store, "log": oxidbm.Log, "queue": oxidbm.Queue}[what](path, durability="manual")
for number in range(100):
    if what == "store":
        found[b"%d" % number] = b"value"
    elif what == "log":
        found.append(b"value")
    else:
        found.put(b"value")
threading.Thread(target=lambda held: time.sleep(60), args=(found,), daemon=True).start()
atexit.register(ctypes.CDLL(None)["raise"], int(signal.SIGTERM))  # its handler runs where the next Python code does
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library's raise() is asked for by name")
def test_a_signal_as_the_exit_begins_keeps_nothing_from_being_closed(what: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", ENDED_BY_A_SIGNAL, what, str(tmp_path / "it")], capture_output=True, check=False
    )
    with opened(tmp_path / "it", what) as again:
        assert len(again) == 100


class Stopped(Exception):
    """What the signal's handler raises."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers that send signals")
def test_a_close_that_a_signal_ends_leaves_the_background_at_work(tmp_path: Path, syncing: Syncing) -> None:
    """It waits for the thread, which is in a sync, when the handler raises."""

    def stop(number: int, frame: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGALRM, stop)
    try:
        device = syncing.device
        log = Log(tmp_path / "it", durability="interval", interval=0.001, device=device, page_size=PAGE_BYTES)
        syncing.wait_in_next()
        log.append(b"entry")
        assert syncing.inside.wait(60)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Stopped):
            log.close()
        syncing.go_on.set()
        assert log.wait(log.append(b"another"), timeout=60)
        log.close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
