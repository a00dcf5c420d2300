"""What is closed while other threads write: nothing is written, made or deleted through a descriptor given back."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oxidbm import ClosedError, Log, Store
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.system import HAS_DIRECTORY_DESCRIPTORS
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.support import run, soaked

PAGE_BYTES = 4096
ENTRY = b"e" * 1000


def opened(path: Path, what: str, **options: Any) -> Any:
    """Return a store or a log with little memory, so that whoever writes flushes."""
    if what == "store":
        return Store(path, memory="1MiB", page_size=PAGE_BYTES, durability="manual", compaction=False, **options)
    return Log(path, memory="1MiB", page_size=PAGE_BYTES, **options)


def write(found: Any, number: int) -> None:
    """Write something new."""
    if isinstance(found, Store):
        found[b"%d" % number] = ENTRY
    else:
        found.append(ENTRY)


class Slow(FaultyDevice):
    """Waits in the middle of a write, or of a sync, until it is told, and knows whether it was closed meanwhile."""

    def __init__(self, inner: CrashDevice) -> None:
        super().__init__(inner)
        self.waits_in = ""
        self.inside = threading.Event()
        self.go_on = threading.Event()
        self.uses = 0
        self.closed = False

    def use(self, what: str, call: Callable[[], None]) -> None:
        """Do something, after a while."""
        assert not self.closed
        self.uses += 1
        if self.waits_in == what:
            self.inside.set()
            assert self.go_on.wait(60)
        call()
        self.uses -= 1

    def write(self, address: int, data: memoryview) -> None:
        self.use("write", lambda: FaultyDevice.write(self, address, data))

    def sync(self) -> None:
        self.use("sync", lambda: FaultyDevice.sync(self))

    def close(self) -> None:
        assert not self.uses, "closed in the middle of a call"
        self.closed = True
        super().close()


@pytest.mark.parametrize("waits_in", ["write", "sync"])
@pytest.mark.parametrize("what", ["store", "log"])
def test_a_write_or_a_sync_that_is_under_way_ends_first(what: str, waits_in: str, tmp_path: Path) -> None:
    disk = CrashDevice(PAGE_BYTES)
    device = Slow(disk)
    found = opened(tmp_path / "it", what, device=device)
    write(found, 0)
    (found.sync if what == "store" else found.commit)()
    device.waits_in = waits_in
    ended: list[type[BaseException] | None] = []

    def write_on() -> None:
        try:
            for number in range(1, 100_000):
                write(found, number)
                if waits_in == "sync":
                    (found.sync if what == "store" else found.commit)()
        except ClosedError as end:
            ended.append(type(end))

    def close() -> None:
        assert device.inside.wait(60)
        closing = threading.Thread(target=found.close)
        closing.start()
        closing.join(0.05)
        assert not device.closed
        device.waits_in = ""
        device.go_on.set()
        closing.join(60)
        assert not closing.is_alive()

    run(write_on, close)
    assert ended == [ClosedError]
    assert device.closed
    with opened(tmp_path / "it", what, device=disk) as again:
        assert len(again) > 0
        assert again.check() == []


@pytest.mark.skipif(not HAS_DIRECTORY_DESCRIPTORS, reason="directories are not held by descriptors here")
def test_a_directory_s_descriptor_outlives_the_calls_that_name_it(tmp_path: Path) -> None:
    directory = Directory(str(tmp_path))
    (tmp_path / "file").write_bytes(b"")
    held = directory.enter()
    assert directory.enter() == held
    directory.close()
    os.fstat(held)
    directory.leave()
    os.fstat(held)
    directory.leave()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held)
    directory.close()
    other = Directory(str(tmp_path))
    calls: list[Callable[[], object]] = [
        lambda: directory.open("file", os.O_RDONLY),
        lambda: directory.status("file"),
        lambda: directory.unlink("file"),
        lambda: directory.replace("file", "other"),
        lambda: directory.link("file", other),
        lambda: other.link("file", directory),
        lambda: other.holds("file", directory),
        lambda: directory.make("below", 0o777),
        lambda: directory.sub("below"),
        lambda: directory.write_aside("file", b"x", 0o666),
        lambda: directory.read_start("file", 5),
        directory.names,
        directory.removed,
        directory.sync,
        directory.sync_parent,
    ]
    for call in calls:
        with pytest.raises(ClosedError, match="was closed by another thread"):
            call()
    other.close()
    assert os.listdir(tmp_path) == ["file"]


def write_for_ever(found: Any) -> None:
    """Write and commit until it is closed."""
    for number in range(10_000_000):
        write(found, number)
        if number % 500 == 499:
            (found.sync if isinstance(found, Store) else found.commit)()


@pytest.mark.slow
@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("what", ["store", "log"])
def test_no_foreign_file_is_written_to(what: str, commits: bool, tmp_path: Path) -> None:
    """Files that are opened as soon as one is closed get the numbers of its descriptors."""
    if what == "store" and not commits:
        pytest.skip("a store commits when it is closed")
    foreign = [tmp_path / f"foreign {number}" for number in range(8)]
    for turn in range(soaked(40, least=8)):
        path = tmp_path / f"it {turn}"
        found = opened(path, what)
        begun = threading.Barrier(4)

        def write_on(found: Any = found, begun: threading.Barrier = begun) -> None:
            begun.wait()
            with pytest.raises(ClosedError):
                write_for_ever(found)

        def close(found: Any = found, begun: threading.Barrier = begun, turn: int = turn) -> None:
            begun.wait()
            threading.Event().wait(0.002 * (turn % 8))
            if commits:
                found.close()
            else:
                found.close(commit=False)
            descriptors = [os.open(name, os.O_RDWR | os.O_CREAT) for name in foreign]
            threading.Event().wait(0.01)
            for descriptor in descriptors:
                os.close(descriptor)

        run(write_on, write_on, write_on, close)
        assert [name.stat().st_size for name in foreign] == [0] * len(foreign)
        with opened(path, what) as again:
            assert again.check() == []


@pytest.mark.parametrize("waits_in", ["write", "sync"])
def test_a_log_is_read_and_appended_to_while_its_device_takes_long(waits_in: str, tmp_path: Path) -> None:
    device = Slow(CrashDevice(PAGE_BYTES))
    with Log(tmp_path / "it", memory="1MiB", page_size=PAGE_BYTES, device=device) as log:
        addresses = [log.append(b"%d" % number + ENTRY) for number in range(2000)]
        log.commit()
        wanted = [(address, b"%d" % number + ENTRY) for number, address in enumerate(addresses)]
        log.append(ENTRY)
        device.waits_in = waits_in

        def commit() -> None:
            log.commit()
            assert log.committed > addresses[-1]

        def read() -> None:
            assert device.inside.wait(60)
            try:
                assert list(log) == wanted
                assert [log.read(address) for address, _ in wanted[::100]] == [entry for _, entry in wanted[::100]]
                assert next(log.follow(addresses[-1])) == wanted[-1]
                before = log.append(b"meanwhile")
                assert log.read(before) == b"meanwhile"
                assert log.committed < log.tail
            finally:
                device.waits_in = ""
                device.go_on.set()

        run(commit, read)
        assert len(log) == 2002
        log.commit()
        assert log.check() == []
