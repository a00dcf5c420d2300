"""Threads, signal handlers and finalizers: what comes in the middle of an append, a commit or a batch."""

import functools
import gc
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import oxidbm
from oxidbm import BusyError, Log
from tests.faster_log.helpers import SMALL_PAGE, WAIT_SECONDS, Place, data_of, entries, pairs, until_true
from tests.inside import commits_of_log, hybrid_log_of
from tests.support import run, scaled, soaked


def in_order(found: list[tuple[int, bytes]], threads: int, count: int) -> None:
    """See that each thread's entries are there in its order, at rising addresses."""
    following = [0] * threads
    previous = 0
    for address, data in found:
        assert address > previous
        previous = address
        thread, number = (int(part) for part in data.split(b".")[0].split(b":"))
        assert number == following[thread]
        following[thread] += 1
    assert following == [count] * threads


@pytest.mark.parametrize("kind", ["files", "device", "memory"])
def test_many_appenders_a_committer_and_a_scanner(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """On tiny pages, most of which have left memory: every scan sees a prefix without a gap, at last all of it."""
    place = Place(kind, SMALL_PAGE, tmp_path_factory.mktemp("logs") / "log")
    log = place.open() if kind != "memory" else Log(memory="64MiB", page_size=SMALL_PAGE)
    threads, count = 4, soaked(2500, 60)
    left = list(range(threads))

    def append(thread: int) -> None:
        try:
            i = 0
            while i < count:
                if i % 50 == 7 and i + 3 <= count:
                    log.append_many([b"%d:%d.many" % (thread, i + step) for step in range(3)])
                    i += 3
                elif i % 50 == 31 and i + 2 <= count:
                    with log.batch() as batch:
                        batch.append(b"%d:%d.batch" % (thread, i))
                        batch.append(b"%d:%d." % (thread, i + 1) + bytes(i % 3000))
                    i += 2
                else:
                    log.append(b"%d:%d." % (thread, i) + bytes(i % 300))
                    i += 1
        finally:
            left.remove(thread)

    def commit() -> None:
        while left:
            log.commit()
            log.wait(timeout=0.001)

    def scan() -> None:
        seen = 0
        while left:
            begin, end = log.begin, log.committed
            found = list(log.scan(begin, end))
            assert len(found) >= seen
            seen = len(found)
            following = [0] * threads
            for _, data in found:
                thread, number = (int(part) for part in data.split(b".")[0].split(b":"))
                assert number == following[thread]
                following[thread] += 1

    run(*(functools.partial(append, thread) for thread in range(threads)), commit, scan, seconds=300)
    log.commit()
    in_order(list(log), threads, count)
    if kind != "memory":
        place.crash(log)
        log = place.open()
        in_order(list(log), threads, count)
        assert len(log) == threads * count
    place.close()


def test_truncation_beside_appenders_and_scanners(files: Place) -> None:
    """A scan sees a stretch of each thread's entries without a gap, wherever the log begins meanwhile."""
    log = files.open()
    threads, count = 3, soaked(2000, 60)
    left = list(range(threads))

    def append(thread: int) -> None:
        try:
            for i in range(count):
                log.append(b"%d:%d." % (thread, i) + bytes(i % 500))
        finally:
            left.remove(thread)

    def truncate() -> None:
        while left:
            log.truncate(log.committed)
            log.commit()

    def scan() -> None:
        while left:
            following: dict[int, int] = {}
            for _, data in log.scan(uncommitted=True):
                thread, number = (int(part) for part in data.split(b".")[0].split(b":"))
                assert number >= following.get(thread, 0)
                following[thread] = number + 1

    run(*(functools.partial(append, thread) for thread in range(threads)), truncate, scan, seconds=300)
    total = len(log)
    assert total == len(pairs(log))
    log.close()
    assert len(list(files.open())) == total


class Alarm:
    """A handler of signals that calls something, and takes note of what that said."""

    def __init__(self, call: Callable[[int], object]) -> None:
        self.call = call
        self.calls = 0
        self.inside = False
        self.busy = 0
        self.failures: list[BaseException] = []

    def __call__(self, number: int, frame: object) -> None:
        if self.inside:  # where a sync takes longer than the alarm, there would be no end
            return
        self.inside = True
        self.calls += 1
        try:
            self.call(self.calls)
        except BusyError:
            self.busy += 1
        except Exception as failure:
            self.failures.append(failure)
        finally:
            self.inside = False


@pytest.fixture
def alarm() -> Iterator[Callable[[Alarm], None]]:
    """A function that lets an alarm ring every so often until the test ends."""
    before = signal.getsignal(signal.SIGALRM)

    def start(alarm: Alarm) -> None:
        signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.compiled_only("on the sources, handlers and finalizers come between any two lines")
@pytest.mark.parametrize("what", ["append", "commit", "batch", "truncate"])
def test_a_handler_may_use_the_log(what: str, disk: Place, alarm: Callable[[Alarm], None]) -> None:
    """In the middle of appends, commits and batches: it does what it was to, or a BusyError says why not."""
    if disk.page_bytes != SMALL_PAGE:
        pytest.skip("small pages have more middles")
    log = disk.open()
    noted: list[bytes] = []

    def append(call: int) -> None:
        entry = b"handler %d" % call
        log.append(entry)
        noted.append(entry)

    def commit(call: int) -> None:
        append(call)
        log.commit()

    def batch(call: int) -> None:
        parts = [b"handler batch %d.%d" % (call, i) for i in range(3)]
        with log.batch() as batch:
            for part in parts:
                batch.append(part)
        noted.extend(parts)

    def truncate(call: int) -> None:
        append(call)
        log.truncate(1)

    rings = Alarm({"append": append, "commit": commit, "batch": batch, "truncate": truncate}[what])
    alarm(rings)
    written: list[bytes] = []
    i = 0
    while rings.calls < soaked(60, 10) or i < 50:
        entry = data_of(i, 700)
        log.append(entry)
        many = [b"many %d.%d" % (i, j) for j in range(20)]
        log.append_many(many)
        parts = [b"batch %d.%d" % (i, j) for j in range(30)]
        with log.batch() as block:
            for part in parts:
                block.append(part)
        written += [entry, *many, *parts]
        log.commit(b"cookie" if i % 3 == 0 else None)
        i += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert rings.failures == []
    assert rings.busy < rings.calls
    log.commit()
    found = entries(log)
    assert sorted(found) == sorted(written + noted)
    assert [entry for entry in found if not entry.startswith(b"handler")] == written
    assert len(log) == len(found)
    disk.crash(log)
    assert entries(disk.open()) == found


@pytest.mark.compiled_only("on the sources, handlers and finalizers come between any two lines")
def test_a_handler_that_raises(files: Place, alarm: Callable[[Alarm], None]) -> None:
    """Wherever it does, the log stays in order, a batch is whole, and what a commit said is durable."""
    log = files.open()

    class Stop(BaseException):
        """What it raises."""

    def stop(number: int, frame: object) -> None:
        raise Stop

    sure: list[bytes] = []
    stopped = 0
    before = signal.signal(signal.SIGALRM, stop)
    try:
        for i in range(100_000):
            if stopped >= soaked(40, 8):
                break
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0003 + i % 7 * 0.0001)
                while True:
                    with log.batch() as batch:
                        for part in range(20):
                            batch.append(b"%d.%d." % (i, part) + bytes(400))
                    log.commit()
            except Stop:
                stopped += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            log.commit()
            sure = [data for _, data in pairs(log)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert stopped >= soaked(40, 8)
    parts = [data.split(b".")[1] for data in sure]
    assert parts == [b"%d" % part for part in range(20)] * (len(parts) // 20)
    assert len(log) == len(sure)
    files.crash(log)
    assert entries(files.open()) == sure


class Garbage:
    """Something in a circle, whose finalizer appends."""

    def __init__(self, log: Log[Any], noted: list[bytes]) -> None:
        self.log = log
        self.noted = noted
        self.itself = self

    def __del__(self) -> None:
        entry = b"finalizer %d" % len(self.noted)
        try:
            self.log.append(entry)
        except BusyError:
            return
        self.noted.append(entry)


@pytest.mark.compiled_only("on the sources, handlers and finalizers come between any two lines")
def test_finalizers_may_append(disk: Place) -> None:
    """In the middle of whatever the collection of garbage comes in: appends, many at once, batches, commits, scans."""
    log = disk.open()
    noted: list[bytes] = []
    written: list[bytes] = []
    threshold = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:
        for i in range(scaled(300, 40)):
            Garbage(log, noted)
            entry = data_of(i, 300)
            log.append(entry)
            Garbage(log, noted)
            parts = [b"part %d.%d" % (i, j) for j in range(5)]
            with log.batch() as batch:
                for part in parts:
                    batch.append(part)
                    Garbage(log, noted)
            written += [entry, *parts]
            if i % 10 == 0:
                log.commit(b"%d" % i)
                assert [data for data in entries(log) if not data.startswith(b"finalizer")][: len(written)] == written
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert noted
    log.commit()
    found = entries(log)
    assert sorted(found) == sorted(written + noted)
    assert [data for data in found if not data.startswith(b"finalizer")] == written
    disk.crash(log)
    assert entries(disk.open()) == found


def test_what_holds_a_lock_of_the_log_further_up_is_told(files: Place) -> None:
    """A commit, a batch and a closing from within a commit raise a BusyError, and nothing of them is kept."""
    log = files.open()
    log.append(b"a")
    batch = log.batch()
    batch.append(b"b")
    with commits_of_log(log).cut_lock:
        for call in (log.commit, lambda: log.commit(b"cookie"), lambda: batch.__exit__(None, None, None), log.close):
            with pytest.raises(BusyError, match="is cutting a commit in this very thread"):
                call()
    assert (log.cookie, log.commit_number) == (b"", 0)
    log.commit()
    assert (log.cookie, log.commit_number, entries(log)) == (b"", 1, [b"a"])
    with batch:
        pass
    log.close()
    assert entries(files.open()) == [b"a", b"b"]


def test_closing_beside_appenders_and_those_who_wait(disk: Place) -> None:
    """Each thread gets an error that says it is closed; what was appended before is there, and nothing half."""
    log = disk.open()
    counts: dict[int, int] = {0: 0, 1: 0}
    started = threading.Barrier(4)

    def append(thread: int) -> None:
        started.wait(WAIT_SECONDS)
        with pytest.raises(oxidbm.ClosedError):
            append_on(thread)

    def append_on(thread: int) -> None:
        while True:
            log.append(b"%d:%d." % (thread, counts[thread]))
            counts[thread] += 1

    def wait_on() -> None:
        while True:
            log.wait(timeout=WAIT_SECONDS)

    def wait() -> None:
        started.wait(WAIT_SECONDS)
        with pytest.raises(oxidbm.ClosedError):
            wait_on()

    def close() -> None:
        started.wait(WAIT_SECONDS)
        until_true(lambda: min(counts.values()) > 10)
        log.close()

    run(functools.partial(append, 0), functools.partial(append, 1), wait, close, seconds=WAIT_SECONDS)
    found = [tuple(int(part) for part in data.split(b".")[0].split(b":")) for _, data in disk.open()]
    for thread, count in counts.items():
        assert [number for owner, number in found if owner == thread] == list(range(count))


def test_a_commit_covers_what_came_before_it_and_no_part_of_a_batch(files: Place) -> None:
    """Whatever another thread commits meanwhile: in a crash's state, batches are whole."""
    log = files.open()
    done: list[bool] = []

    def batches() -> None:
        try:
            for i in range(scaled(400, 30)):
                with log.batch() as batch:
                    for part in range(4):
                        batch.append(b"%d.%d." % (i, part) + bytes(1500))
        finally:
            done.append(True)

    def commit() -> None:
        while not done:
            log.commit()

    run(batches, commit, seconds=120)
    assert hybrid_log_of(log).head >= 64
    with files.open(read_only=True) as reader:
        parts = [data.split(b".")[1] for _, data in reader]
    assert parts == [b"0", b"1", b"2", b"3"] * (len(parts) // 4)
