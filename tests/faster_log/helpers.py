"""What the tests of a log share: the places where one is kept, and how its pages are pushed to disk."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oxidbm import Log
from oxidbm.device import Device
from oxidbm.testing import CrashDevice
from tests.inside import abandon_log, commits_of_log, hybrid_log_of
from tests.support import PURE, ROOT

SMALL_PAGE = 4096
LARGE_PAGE = 4 << (16 if PURE else 20)  # what becomes slow on the sources is the checksum of such a page
HEADER = 24
FIRST = 64  # the address of a log's first record
COMMIT_BYTES = 96  # of a commit's record
WAIT_SECONDS = 60


@dataclass
class Place:
    """Where a log is kept: in memory, in files, or on a device of the caller's; with pages of a size."""

    kind: str
    page_bytes: int
    path: Path
    device: CrashDevice | None = None
    opened: list[Log[Any]] = field(default_factory=list)

    @property
    def durable(self) -> bool:
        """Whether anything is left when a log is closed."""
        return self.kind != "memory"

    @property
    def memory(self) -> int:
        """The budget: many pages."""
        return 1 << 20 if self.page_bytes == SMALL_PAGE else 16 * LARGE_PAGE

    def own_device(self) -> Device | None:
        """Return the device that the log is kept on, None for its own."""
        if self.kind != "device":
            return None
        if self.device is None:
            self.device = CrashDevice(self.page_bytes)
        return self.device

    def open(self, **options: Any) -> Log[Any]:
        """Open or make the log."""
        given: dict[str, Any] = {"memory": self.memory, "page_size": self.page_bytes, **options}
        log: Log[Any] = Log(self.path, device=self.own_device(), **given) if self.durable else Log(**given)
        self.opened.append(log)
        return log

    def crash(self, log: Log[Any]) -> None:
        """Leave the log as a crash does, which loses what was not synced."""
        abandon_log(log)
        if self.device is not None:
            self.device = self.device.crash()

    def close(self) -> None:
        """Close what is open."""
        for log in self.opened:
            abandon_log(log)


def push_to_disk(log: Log[Any]) -> None:
    """Commit, and take every page out of memory, so that what there is so far is read from the device."""
    core = hybrid_log_of(log)
    log.commit(alone=True)
    core.close_tail_page()
    while core.evict_page():
        pass
    assert core.head >= commits_of_log(log).end


def data_of(number: int, size: int) -> bytes:
    """Return an entry's bytes that no other number has, as far as the size allows."""
    text = b"%d." % number
    return (text * (size // len(text) + 1))[:size]


def pairs(log: Log[Any], **options: Any) -> list[tuple[int, Any]]:
    """Return what a scan with uncommitted=True yields."""
    return list(log.scan(uncommitted=True, **options))


def entries(log: Log[Any]) -> list[Any]:
    """Return the committed entries."""
    return [data for _, data in log]


def until_true(condition: Callable[[], bool]) -> None:
    """Wait until something holds that another thread is about to do; fail where it never does."""
    pause = threading.Event()
    for _ in range(WAIT_SECONDS * 1000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("what another thread was to do did not come")


def numbers_of(log: Log[Any]) -> Iterator[int]:
    """Yield the number with which each committed entry begins."""
    for _, data in log:
        yield int(data.split(b".")[0])


def said_as_another_user(code: str, directory: Path) -> str:
    """Return what a script prints that becomes another user, who may not come through the folders above a directory."""
    directory.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
