"""Closing a log beside other threads' calls: they find it closed, and nothing is written to a file that was closed."""

import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from oxidbm import ClosedError, Log, Store
from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.position_file import Position, hold, known
from oxidbm._core.faster_log.reading import truncation
from oxidbm.testing import CrashDevice
from tests.faster_log.helpers import SMALL_PAGE, WAIT_SECONDS, Place, until_true
from tests.inside import commits_of_log, handle_of_log, hybrid_log_of
from tests.support import scaled, soaked

STRANGERS = 6


class Gated(CrashDevice):
    """A device whose writes, or syncs, wait while the gate is shut; it says what it was asked for when."""

    def __init__(self) -> None:
        super().__init__(SMALL_PAGE)
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        self.said: list[str] = []

    def wait(self, what: str) -> None:
        """Wait where the gate is shut."""
        if not self.gate.is_set():
            self.waiting.set()
            assert self.gate.wait(WAIT_SECONDS)
        self.said.append(what)

    def write(self, address: int, data: memoryview) -> None:
        """Write once the gate is open."""
        self.wait("write")
        super().write(address, data)

    def sync(self) -> None:
        """Sync once the gate is open."""
        self.wait("sync")
        super().sync()

    def close(self) -> None:
        """Close."""
        self.said.append("close")
        super().close()


def in_thread(work: Any, raised: list[BaseException]) -> threading.Thread:
    """Have a thread do something, and keep what it raises."""

    def run() -> None:
        try:
            work()
        except BaseException as failure:
            raised.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def for_ever(call: Any) -> Any:
    """Return what calls again and again."""

    def work() -> None:
        while True:
            call()

    return work


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("follows", [False, True])
def test_the_device_is_closed_behind_the_write_that_is_under_way(tmp_path: Path, commit: bool, follows: bool) -> None:
    """Whoever appends writes when there is no memory left; a follower that has not come to its end changes nothing."""
    device = Gated()
    log = Log(tmp_path / "log", memory="1MiB", page_size=SMALL_PAGE, device=device)
    log.append(b"first")
    log.commit()
    follower = log.follow() if follows else None
    device.gate.clear()
    raised: list[BaseException] = []
    appender = in_thread(for_ever(lambda: log.append(bytes(1000))), raised)
    assert device.waiting.wait(WAIT_SECONDS)
    device.said.clear()
    closer = in_thread(lambda: log.close(commit=commit), raised)
    until_true(lambda: log.closed)
    closer.join(0.05)
    assert closer.is_alive()
    assert device.said == []
    device.gate.set()
    closer.join(WAIT_SECONDS)
    appender.join(WAIT_SECONDS)
    assert [type(failure) for failure in raised] == [ClosedError]
    assert follower is None or next(follower)[1] == b"first"
    del follower
    assert device.said[0] == "write"
    assert device.said[-1] == "close"
    assert device.said.count("close") == 1


def test_the_device_is_closed_behind_the_sync_that_is_under_way(tmp_path: Path) -> None:
    """A commit whose sync was under way is one, or raises: it never counts what another file's sync has done."""
    device = Gated()
    log = Log(tmp_path / "log", memory="1MiB", page_size=SMALL_PAGE, device=device)
    log.append(b"first")
    log.commit()
    log.append(b"second")
    device.gate.clear()
    raised: list[BaseException] = []
    committer = in_thread(log.commit, raised)
    assert device.waiting.wait(WAIT_SECONDS)
    closer = in_thread(lambda: log.close(commit=False), raised)
    until_true(lambda: log.closed)
    assert "close" not in device.said
    device.gate.set()
    committer.join(WAIT_SECONDS)
    closer.join(WAIT_SECONDS)
    assert device.said[-1] == "close"
    assert [type(failure) for failure in raised] in ([], [ClosedError])


def test_a_readers_file_is_closed_by_the_last_call_that_uses_it(files: Place) -> None:
    """What it writes is durable then, and the name is free."""
    log = files.open()
    log.append(b"first")
    log.commit()
    directory = Directory(str(files.path))
    file = hold(directory, "billing", 0o666)
    file.begin_use()
    file.close()
    os.fstat(file.descriptor)
    with pytest.raises(ClosedError, match="the reader 'billing' is closed"):
        file.store(Position(64, 0, 0, 0))
    file.end_use()
    assert file.descriptor == -1
    hold(directory, "billing", 0o666).close()
    assert known(directory) == []
    directory.close()


def test_nothing_is_written_to_files_that_are_opened_behind_close(tmp_path: Path) -> None:
    """They get the numbers of the log's descriptors, which calls under way must not use any more."""
    path = tmp_path / "log"
    with Log(path, memory="1MiB", page_size=SMALL_PAGE) as log:
        log.append_many([b"entry"] * 10)
    for turn in range(soaked(100, 30)):
        reads = turn % 2 == 0
        log = Log(path, read_only=reads, memory="1MiB", page_size=SMALL_PAGE)
        log.forget_reader("billing")
        reader = log.reader("billing")
        address = log.begin
        calls: list[Any] = [lambda reader=reader, address=address: reader.done(address)]
        if not reads:
            calls += [lambda log=log: log.append(bytes(1000)), lambda log=log: log.commit(b"cookie")]
        raised: list[BaseException] = []
        threads = [in_thread(for_ever(call), raised) for call in calls]
        threads[0].join(0.001 * (turn % 5))
        log.close(*(() if reads else (turn % 4 == 1,)))
        with ExitStack() as opened:
            strangers = [opened.enter_context((tmp_path / f"stranger {i}").open("w+b")) for i in range(STRANGERS)]
            for thread in threads:
                thread.join(WAIT_SECONDS)
            assert [os.fstat(file.fileno()).st_size for file in strangers] == [0] * STRANGERS
        assert [type(failure) for failure in raised] == [ClosedError] * len(calls)


class TruncatedAtTheEnd(CrashDevice):
    """A device during whose last calls another thread's truncate() comes to its end, which had begun before."""

    commits: EntryCommits | None = None
    raised: BaseException | None = None

    def finish(self) -> None:
        """Truncate."""
        commits = self.commits
        if commits is not None:
            try:
                truncation(commits, commits.log.tail)
            except ClosedError as failure:
                self.raised = failure
        super().finish()


def test_nothing_is_truncated_behind_the_last_commit(tmp_path: Path) -> None:
    """The mark of a clean end would count other entries than that commit, and the log would be taken for damaged."""
    device = TruncatedAtTheEnd(SMALL_PAGE)
    log = Log(tmp_path / "log", memory="1MiB", page_size=SMALL_PAGE, device=device)
    log.append_many([b"entry"] * 10)
    log.commit()
    device.commits = commits_of_log(log)
    log.close()
    assert isinstance(device.raised, ClosedError)
    device.commits = None
    with Log(tmp_path / "log", memory="1MiB", page_size=SMALL_PAGE, device=device) as log:
        assert len(log) == 10


class ClosedWhileAsked(CrashDevice):
    """A device whose log another thread closes in the middle of a call that looks for where the data go on."""

    log: Log[bytes] | Store[bytes, bytes] | None = None
    damaged = -1  # the page that cannot be read any more
    closed = False
    closed_within = False

    def read(self, address: int, size: int) -> bytes:
        """Read, but for the damaged page."""
        data = bytearray(super().read(address, size))
        for at in range(max(self.damaged - address, 0), min(self.damaged + SMALL_PAGE - address, len(data))):
            data[at] ^= 255
        return bytes(data)

    def data_from(self, address: int) -> int:
        """Have the log be closed."""
        if self.log is not None:
            closing = threading.Thread(target=self.log.close)
            self.log = None
            closing.start()
            closing.join(WAIT_SECONDS)
            self.closed_within = self.closed
        return super().data_from(address)

    def close(self) -> None:
        """Close."""
        self.closed = True
        super().close()


def test_the_device_is_closed_behind_a_scan_that_passes_over_damage(tmp_path: Path) -> None:
    device = ClosedWhileAsked(SMALL_PAGE)
    log = Log(tmp_path / "log", memory="1MiB", page_size=SMALL_PAGE, device=device)
    log.append_many([b"e" * 1000] * 2000)
    log.commit()
    device.damaged = 2 * SMALL_PAGE
    device.log = log
    with pytest.raises(ClosedError):
        list(log.scan(on_error="skip"))
    assert device.closed
    assert not device.closed_within


def test_the_device_is_closed_behind_an_iteration_that_asks_where_data_go_on(tmp_path: Path) -> None:
    device = ClosedWhileAsked(SMALL_PAGE)
    device.damaged = ADDRESS_MAX
    store = Store(tmp_path / "store", memory="1MiB", page_size=SMALL_PAGE, device=device)
    for number in range(1000):
        store[b"%d" % number] = b"e" * 1000
    store.sync()
    iteration = iter(store.items())
    next(iteration)
    device.log = store
    with pytest.raises(ClosedError):
        list(iteration)
    assert device.closed
    assert not device.closed_within


def test_the_files_are_closed_behind_a_backup_that_is_under_way(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", memory="1MiB", page_size=SMALL_PAGE)
    log.append_many([b"e" * 1000] * 2000)
    device = hybrid_log_of(log).device
    assert isinstance(device, FileDevice)
    found: list[int] = []

    def progress(done: int, total: int) -> None:
        log.close()
        found.extend(segment.descriptor for segment in device.segments)
        assert found
        for descriptor in found:
            os.fstat(descriptor)

    with pytest.raises(ClosedError):
        log.backup(tmp_path / "copy", progress=progress)
    assert found
    assert device.segments == []
    assert not (tmp_path / "copy").exists()


def test_a_batch_and_a_follower_beside_close(tmp_path: Path) -> None:
    """Batches are there as a whole or not at all, and what returned is there."""
    for turn in range(scaled(30, 5)):
        path = tmp_path / str(turn)
        log = Log(path, memory="1MiB", page_size=SMALL_PAGE)
        done: list[int] = []

        def add(log: Log[bytes] = log, done: list[int] = done) -> None:
            with log.batch() as batch:
                for _ in range(5):
                    batch.append(b"%d" % len(done) + bytes(500))
            done.append(1)

        raised: list[BaseException] = []
        thread = in_thread(for_ever(add), raised)
        thread.join(0.003)
        log.close()
        thread.join(WAIT_SECONDS)
        assert [type(failure) for failure in raised] == [ClosedError]
        with Log(path) as log:
            assert len(log) % 5 == 0
            assert len(log) >= 5 * len(done)


def test_a_commit_does_not_begin_behind_the_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.append(b"entry")
    log.close()
    with pytest.raises(ClosedError):
        commits_of_log(log).commit_alone(b"late", 0)


def test_the_directory_is_closed_by_the_last_call_that_uses_it(files: Place) -> None:
    """As by those about named readers: what they do is done in the log's own directory, or not at all."""
    log = files.open()
    log.append(b"entry")
    handle = handle_of_log(log)
    directory = handle.directory
    assert directory is not None
    held = directory.enter()
    log.close()
    os.fstat(held)
    for call in (log.readers, lambda: known(directory)):
        with pytest.raises(ClosedError):
            call()
    directory.leave()
    assert directory.descriptor == -1


def test_named_readers_beside_close(tmp_path: Path) -> None:
    """They are known, or the log is closed, and nothing else comes of it."""
    for turn in range(soaked(60, 10)):
        path = tmp_path / str(turn)
        log = Log(path, memory="1MiB", page_size=SMALL_PAGE)
        log.append(b"entry")
        log.commit()
        log.add_reader("kept")
        calls: list[Any] = [
            lambda log=log: (log.add_reader("added"), log.forget_reader("added")),
            lambda log=log: log.reader("opened").close(),
            lambda log=log: log.readers(),
            lambda log=log: log.truncate(),
            lambda log=log: log.check(),
        ]
        raised: list[BaseException] = []
        threads = [in_thread(for_ever(call), raised) for call in calls]
        threads[0].join(0.001 * (turn % 7))
        log.close()
        with ExitStack() as opened:
            for i in range(STRANGERS):
                opened.enter_context((tmp_path / f"stranger {i}").open("w+b"))
            for thread in threads:
                thread.join(WAIT_SECONDS)
        assert [type(failure) for failure in raised] == [ClosedError] * len(calls)
        with Log(path) as log:
            assert "kept" in [reader.name for reader in log.readers()]
            log.reader("opened").close()
