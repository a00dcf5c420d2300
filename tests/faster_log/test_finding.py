"""Finding entries by where they stand from the end, and by when they were committed; waiting for one to come."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from oxidbm import ClosedError, Log
from tests.faster_log.helpers import Place, data_of, push_to_disk, until_true


@pytest.mark.parametrize("size", [0, 30, 3000])
def test_the_last_entries(place: Place, size: int) -> None:
    """Of those that are committed; also where they are more than there are, on disk and in memory."""
    log = place.open()
    assert log.last() == log.last(5) == []
    wanted = [(log.append(data_of(number, size)), data_of(number, size)) for number in range(100)]
    assert log.last(3) == []
    log.commit()
    if place.durable:
        push_to_disk(log)
    log.append(b"not yet")
    for count in (0, 1, 2, 50, 99, 100, 101, 1 << 70):
        assert log.last(count) == (wanted[-count:] if count else [])
    log.truncate(wanted[90][0])
    assert log.last(20) == wanted[90:]
    with pytest.raises(ValueError, match="count is a number of entries, at least 0, not -1"):
        log.last(-1)
    untyped: Any = log
    for wrong in (1.0, None, True):
        with pytest.raises(TypeError):
            untyped.last(wrong)


def test_where_a_time_begins(disk: Place) -> None:
    """The entries of the commits of that time or later, as far as they are there."""
    log = disk.open()
    assert log.address_at(0) == log.address_at(time.time()) == log.begin
    times, addresses = [], []
    for number in range(20):
        addresses.append(log.append(b"%d" % number))
        log.append(data_of(number, 300))
        log.commit()
        times.append(log.stats()["commit_time"])
        until_true(lambda: time.time() > times[-1] + 1e-4)
    log.append(b"not committed")
    for number in range(20):
        for seconds in (times[number], times[number] - 1e-5):
            assert next(log.scan(log.address_at(seconds)))[0] == addresses[number]
    assert log.address_at(0) == log.begin
    assert log.address_at(times[-1] + 100) == log.address_at(float("inf")) == log.committed
    push_to_disk(log)
    assert next(log.scan(log.address_at(times[3])))[0] == addresses[3]
    log.truncate(addresses[10])
    log.commit()
    assert log.address_at(times[3]) == log.begin
    assert next(log.scan(log.address_at(times[15])))[0] == addresses[15]
    for seconds in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="1970"):
            log.address_at(seconds)


def test_a_log_in_memory_keeps_no_times() -> None:
    with Log() as log, pytest.raises(ValueError, match="in memory"):
        log.address_at(0)


def test_waiting_for_an_entry_that_is_to_come(place: Place) -> None:
    """At the tail, and behind it, in the process that writes and beside it; what was truncated was durable."""
    log = place.open()
    first = log.append(b"first")
    log.commit()
    logs: list[Log[Any]] = [log]
    if place.kind == "files":
        logs.append(place.open(read_only=True))
    tail = log.committed
    for one in logs:
        assert not one.wait(tail, timeout=0.001)
        assert not one.wait(tail + 10_000, timeout=0)
        assert one.wait(first, timeout=0)
    told: list[bool] = []
    threads = [threading.Thread(target=lambda one=one: told.append(one.wait(tail))) for one in logs]
    for thread in threads:
        thread.start()
    assert log.append(b"second") >= tail
    assert told == []
    log.commit()
    for thread in threads:
        thread.join()
    assert told == [True] * len(logs)
    log.truncate(log.tail)
    log.commit()
    for one in logs:
        one.refresh()
        assert one.wait(first, timeout=0)
        assert one.wait(0, timeout=0)
        assert one.wait(timeout=0)


def test_closing_ends_a_wait_for_what_never_comes(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            log.wait(10_000)
        except ClosedError as failure:
            raised.append(failure)

    thread = threading.Thread(target=wait)
    thread.start()
    log.append(b"short")
    log.commit()
    log.close()
    thread.join()
    assert len(raised) == 1
