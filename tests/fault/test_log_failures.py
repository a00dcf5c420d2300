"""Each call that a log makes fails once: no failed commit is silent, and what was durable is there afterwards."""

import errno
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Log
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.crash.log_scenarios import PAGE_BYTES, SCENARIOS, LogWriter, contents, held_by, open_log, sized
from tests.fault.test_every_failure import FailingDisk
from tests.inside import abandon_log, handle_of_log
from tests.support import run, soaked

CALLS = ("write", "sync", "truncate_before", "truncate_after", "read")
FILE_FAILURES = 5
DEVICE_FAILURES = 16

Scenario = Callable[[LogWriter], None]


class Notes:
    """A story of which only the newest commits count, as begun and as durable."""

    def __init__(self) -> None:
        self.newest = {"began": 0, "durable": 0}

    def note(self, *words: Any) -> None:
        """Note the words."""
        self.newest[words[0]] = words[1]

    def possible(self, writer: LogWriter) -> list[Any]:
        """Return which commits may be there."""
        return writer.commits[self.newest["durable"] : self.newest["began"] + 1]


class NotingDisk(FailingDisk):
    """One that keeps the newest notes too."""

    def __init__(self, root: Path, left: int, code: int) -> None:
        super().__init__(root, left, code)
        self.notes = Notes()

    def note(self, *words: Any) -> None:
        """Note the words."""
        self.notes.note(*words)


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE], ids=["ENOSPC", "EIO", "EMFILE"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_call_of_the_system_that_fails(scenario: Scenario, code: int, tmp_path: Path) -> None:
    def attempt(left: int) -> int:
        root = tmp_path / str(left)
        root.mkdir()
        disk = NotingDisk(root, left, code)
        writer: LogWriter | None = None
        claimed = 0
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            try:
                writer = LogWriter(disk, root / "log")
                scenario(writer)
            except OSError as failure:
                said = failure.errno == code or os.strerror(code) in str(failure)
                assert said or isinstance(failure, oxidbm.error)  # noqa: PT017
            finally:
                if writer is not None:
                    claimed = writer.log.commit_number
                    abandon_log(writer.log)
        if writer is not None:
            found = contents(root / "log")
            assert found in disk.notes.possible(writer), f"after the failure of call {left}"
            assert found.number >= claimed
        return disk.calls

    whole = attempt(10**9)
    chosen = random.Random(code).sample(range(whole), soaked(FILE_FAILURES, least=2))
    assert all(attempt(left) > left for left in chosen)


@pytest.mark.parametrize("failure", [errno.EIO, KeyboardInterrupt()], ids=["EIO", "Ctrl-C"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_call_of_the_device_that_fails_and_then_a_power_cut(
    scenario: Scenario, failure: int | BaseException, tmp_path: Path
) -> None:
    """What Ctrl-C came into goes on, as far as a commit that is begun and may be torn, and fails then."""
    counting = FaultyDevice(CrashDevice(PAGE_BYTES))
    writer = LogWriter(Notes(), tmp_path / "counted", device=counting)
    scenario(writer)
    abandon_log(writer.log)
    total = sum(counting.calls[call] for call in CALLS)
    for left in random.Random(1).sample(range(total), min(total, soaked(DEVICE_FAILURES, least=4))):
        notes = Notes()
        device = CrashDevice(PAGE_BYTES)
        faulty = FaultyDevice(device)
        faulty.fail(CALLS, failure, after=left, times=1, part=0.5)
        path = tmp_path / str(left)
        writer = LogWriter(notes, path, device=faulty)  # makes the log, for which it asks nothing of the device
        try:
            scenario(writer)
        except (OSError, KeyboardInterrupt):
            if isinstance(failure, KeyboardInterrupt) and not writer.log.closed:
                go_on(writer, notes, faulty)
        claimed = writer.log.commit_number
        abandon_log(writer.log)
        for seed in (None, left, left + 1000):
            place = tmp_path / f"{left} {seed}"
            shutil.copytree(path, place)
            found = contents(place, device=device.crash(seed))
            assert found in notes.possible(writer), f"after the failure of call {left}, crash {seed}"
            assert found.number >= claimed


def go_on(writer: LogWriter, notes: Notes, faulty: FaultyDevice) -> None:
    """Append and commit where a scenario was interrupted, up to a sync that fails: whatever was begun may be there."""
    log = writer.log
    for sync_fails in (False, True):
        entries = tuple(log.scan(uncommitted=True))
        address = log.append(b"after the interrupt")
        writer.entries = [*entries, (address, b"after the interrupt")]
        last = handle_of_log(log).commits
        held = writer.commits[-1]
        number = int(last.sequence) + 1
        writer.commits.append(
            held._replace(number=number, cookie=last.cookie, begin=log.begin, entries=tuple(writer.entries))
        )
        notes.note("began", len(writer.commits) - 1)
        if sync_fails:
            faulty.fail("sync", errno.EIO)
            with pytest.raises(oxidbm.PoisonedError):
                log.commit()
        else:
            assert log.commit() == number
            notes.note("durable", len(writer.commits) - 1)
    faulty.heal()


def test_a_torn_commit_before_a_whole_one(tmp_path: Path) -> None:
    """The commit that Ctrl-C ended and the next one are both written and not synced; of these any part may be there."""
    memory = CrashDevice(PAGE_BYTES)
    device = FaultyDevice(memory)
    log = committed_log(tmp_path / "log", device)
    log.append(b"second")
    device.fail("sync", KeyboardInterrupt(), times=1)
    with pytest.raises(KeyboardInterrupt):
        log.commit()
    log.append(b"third" * 500)
    device.fail("sync", errno.EIO)
    with pytest.raises(oxidbm.PoisonedError):
        log.commit()
    abandon_log(log)
    found = set()
    for seed in range(soaked(200, least=60)):
        place = tmp_path / str(seed)
        shutil.copytree(tmp_path / "log", place)
        found.add(len(contents(place, device=memory.crash(seed)).entries))
    assert found == {1, 2, 3}


def committed_log(path: Path, device: FaultyDevice) -> Log:
    """Return a log with one durable commit."""
    log = open_log(path, device=device)
    log.append(b"durable")
    log.commit(b"cookie")
    return log


@pytest.mark.parametrize("what", ["write", "sync"])
def test_every_waiting_thread_learns_of_a_failed_commit(what: str, tmp_path: Path) -> None:
    memory = CrashDevice(PAGE_BYTES)
    device = FaultyDevice(memory)
    log = committed_log(tmp_path / "log", device)
    before = log.committed
    address = log.append(b"lost")
    said: list[str] = []
    waiting = threading.Semaphore(0)
    device.before(what, lambda: [waiting.acquire() for _ in range(8)], times=1)
    device.fail(what, errno.EIO)

    def learns(call: Callable[[], object]) -> Callable[[], None]:
        def thread() -> None:
            waiting.release()
            with pytest.raises(oxidbm.PoisonedError) as caught:
                call()
            said.append(str(caught.value))

        return thread

    commits = [learns(log.commit) for _ in range(4)] + [learns(lambda: log.commit(b"own"))]
    waits = [learns(lambda: log.wait(address)), learns(log.wait), learns(lambda: log.wait(address, 60))]
    run(*commits, *waits, seconds=60)
    assert len(said) == 8
    assert len(set(said)) == 1
    assert os.strerror(errno.EIO) in said[0]
    assert log.committed == before
    assert log.cookie == b"cookie"
    assert [data for _, data in log] == [b"durable"]
    assert log.read(address) == b"lost"
    for call in (lambda: log.append(b"x"), lambda: log.try_append(b"x"), log.truncate, log.wait, log.batch, log.commit):
        with pytest.raises(oxidbm.PoisonedError):
            call()
    with pytest.raises(oxidbm.PoisonedError):
        log.close()
    assert log.closed
    assert contents(tmp_path / "log", device=memory.crash()).entries == ((64, b"durable"),)


@pytest.mark.parametrize("options", [{"durability": "interval", "interval": 0.005}, {"commit_bytes": 1}])
def test_a_failed_commit_in_the_background(options: dict[str, Any], tmp_path: Path) -> None:
    memory = CrashDevice(PAGE_BYTES)
    device = FaultyDevice(memory)
    log = open_log(tmp_path / "log", device=device, **options)
    assert log.wait(log.append(b"durable"), 60)
    device.fail("sync", errno.EIO)
    with pytest.raises(oxidbm.PoisonedError, match=os.strerror(errno.EIO)):  # noqa: PT012
        while True:
            log.wait(log.append(b"lost"), 60)
    assert [data for _, data in log] == [b"durable"]
    with pytest.raises(oxidbm.PoisonedError):
        log.close()
    assert [data for _, data in contents(tmp_path / "log", device=memory.crash()).entries] == [b"durable"]


def test_no_more_descriptors_is_no_fault_of_the_device(tmp_path: Path) -> None:
    """The commit says so and the next one goes through; a batch that had begun is finished, or poisons the log."""
    device = FaultyDevice(CrashDevice(PAGE_BYTES))
    log = committed_log(tmp_path / "log", device)
    log.append(b"more")
    device.fail("write", errno.EMFILE, times=1)
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)) as caught:
        log.commit()
    assert not isinstance(caught.value, oxidbm.error)
    assert log.commit_number == 1
    assert log.wait(64, 0)
    assert log.commit() > 1
    log.close()


@pytest.mark.parametrize("times", [1, 30, None])
@pytest.mark.parametrize("failure", [errno.EMFILE, KeyboardInterrupt()], ids=["EMFILE", "Ctrl-C"])
def test_a_batch_is_never_half_there(failure: Any, times: int | None, tmp_path: Path) -> None:
    """Its first pages are written in the middle of it, since memory does not hold all of them."""
    entries = sized(60, 3000)
    memory = CrashDevice(PAGE_BYTES)
    parts = 0
    for after in range(0, 24, 1 if soaked(1) > 1 else 4):
        device = FaultyDevice(memory)
        path = tmp_path / str(after)
        log = committed_log(path, device)
        handle_of_log(log).log.budget.limit = 8 * PAGE_BYTES
        device.fail("write", failure, after=after, times=times)
        try:
            with log.batch() as batch:
                for entry in entries:
                    batch.append(entry)
        except (OSError, KeyboardInterrupt):
            parts += len(log) not in (1, 61)
        device.heal()
        assert len(log) in (1, 61) or log.stats()["poisoned"]
        try:
            log.commit()
        except oxidbm.PoisonedError:
            assert log.commit_number == 1
        abandon_log(log)
        assert len(contents(path, device=memory.crash()).entries) in (1, 61)
        memory = CrashDevice(PAGE_BYTES)
    assert (parts > 0) == (times is None)


def test_closing_that_is_interrupted_can_be_done_again(tmp_path: Path) -> None:
    for after in range(4):
        memory = CrashDevice(PAGE_BYTES)
        device = FaultyDevice(memory)
        log = committed_log(tmp_path / str(after), device)
        first = log.append(b"first")
        device.fail(("write", "sync", "finish", "close"), KeyboardInterrupt(), after=after, times=1)
        with pytest.raises(KeyboardInterrupt):
            log.close()
        if not log.closed:
            assert log.read(first) == b"first"
            log.append(b"second")
            log.close()
        found = contents(tmp_path / str(after), device=memory.crash())
        assert [data for _, data in found.entries][:2] == [b"durable", b"first"]
        assert len(found.entries) == 2 + (after < 3)


def test_a_disk_that_is_full(small_disk: Path) -> None:
    path = small_disk / "log"
    log = open_log(path)
    log.append_many(sized(100, 1000))
    log.commit(b"last")
    held = held_by(log)
    with pytest.raises(oxidbm.PoisonedError, match=os.strerror(errno.ENOSPC)):  # noqa: PT012
        for _ in range(1000):
            log.append_many(sized(10, 1000))
            log.truncate(held.entries[1][0])
            if log.tail > 6 << 20:
                log.commit()
    assert log.committed < 4 << 20
    assert log.read(held.entries[50][0]) == held.entries[50][1]
    with pytest.raises(oxidbm.PoisonedError):
        log.close()
    with open_log(path, read_only=True) as log:
        assert held_by(log) == held
    assert contents(path) == held
