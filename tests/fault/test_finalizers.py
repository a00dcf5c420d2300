"""Finalizers in which a handler of signals raises: what nobody holds is closed all the same, and that is told."""

import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oxidbm import Log, Queue, Store
from oxidbm._core.exits import HANDLES
from oxidbm.testing import CrashDevice

PAGE_BYTES = 4096
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal of the user's own")


class Stop(Exception):
    """What the handler raises."""


class StopAll(BaseException):
    """What it raises as Ctrl-C does."""


class Interrupted(CrashDevice):
    """A device in the middle of one of whose calls a signal comes, once."""

    at = ""
    closed = False

    def come(self, call: str) -> None:
        """Have the signal come, where it is to."""
        if self.at == call:
            self.at = ""
            signal.raise_signal(signal.SIGUSR1)

    def sync(self) -> None:
        self.come("sync")
        super().sync()

    def close(self) -> None:
        self.come("close")
        super().close()
        self.closed = True


@pytest.fixture
def told() -> Iterator[list[type]]:
    """The types of the exceptions that were ignored, since nobody could be told."""
    found: list[type] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda lost: found.append(lost.exc_type)
    handler = signal.getsignal(signal.SIGUSR1)
    yield found
    sys.unraisablehook = before
    signal.signal(signal.SIGUSR1, handler)


def handled_by(kind: type[BaseException]) -> None:
    """Have the handler raise something from now on."""

    def handler(number: int, frame: object) -> None:
        raise kind

    signal.signal(signal.SIGUSR1, handler)


def opened(kind: Any, path: Path, device: CrashDevice) -> Any:
    """Open a store, a log or a queue, with memory that is small."""
    return kind(path, durability="manual", memory="1MiB", page_size=PAGE_BYTES, device=device)


@pytest.mark.parametrize("raised", [Stop, StopAll, TimeoutError])
@pytest.mark.parametrize("at", ["sync", "close"])
@pytest.mark.parametrize("kind", [Store, Log, Queue])
def test_what_is_dropped_is_closed(
    kind: Any, at: str, raised: type[BaseException], tmp_path: Path, told: list[type]
) -> None:
    known = len(HANDLES)
    device = Interrupted(PAGE_BYTES)
    dropped = opened(kind, tmp_path / "it", device)
    if kind is Store:
        dropped[b"a"] = b"1"
    elif kind is Log:
        dropped.append(b"a")
    else:
        dropped.put(b"a")
    handled_by(raised)
    device.at = at
    del dropped
    gc.collect()
    assert told == [raised]
    assert device.closed
    assert len(HANDLES) == known
    with opened(kind, tmp_path / "it", device) as again:
        assert len(again) == 1


def test_the_last_follower_of_a_closed_log(tmp_path: Path, told: list[type]) -> None:
    """It closes the device."""
    device = Interrupted(PAGE_BYTES)
    log = opened(Log, tmp_path / "it", device)
    log.append(b"a")
    follower = log.follow()
    log.close()
    assert not device.closed
    handled_by(StopAll)
    device.at = "close"
    del follower
    gc.collect()
    assert told == [StopAll]
    assert device.closed


def test_a_queue_whose_finalizer_does_not_come_to_its_end(tmp_path: Path, told: list[type]) -> None:
    """Its face is Python code, where a handler may raise at the first line."""

    class Stopped(Queue[bytes]):
        def __del__(self) -> None:
            raise Stop

    queue = Stopped(tmp_path / "it", durability="manual")
    queue.put(b"a")
    del queue
    gc.collect()
    assert told == [Stop]
    with Queue(tmp_path / "it") as again:
        assert len(again) == 1
