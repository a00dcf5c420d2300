"""Draining: what was committed before a log was closed comes to its followers before they end."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from oxidbm import ClosedError, Log
from tests.faster_log.helpers import Place, data_of, push_to_disk
from tests.inside import hybrid_log_of

COUNT = 40


def filled(place: Place, **options: Any) -> tuple[Log[Any], list[tuple[int, bytes]]]:
    """Return a log with committed entries, some of them on disk where it has one, and those."""
    log = place.open(**options)
    wanted = [(log.append(data_of(number, 700)), data_of(number, 700)) for number in range(COUNT)]
    log.commit()
    if place.durable:
        push_to_disk(log)
    wanted += [(log.append(data_of(number, 30)), data_of(number, 30)) for number in range(COUNT, COUNT + 5)]
    log.commit()
    return log, wanted


def test_a_follower_that_is_behind_gets_the_rest(place: Place) -> None:
    """From wherever it stands, also from before its first entry; and what close() itself commits."""
    log, wanted = filled(place)
    fresh, begun, late = log.follow(), log.follow(), log.follow(wanted[-1][0], uncommitted=True)
    got = [next(begun) for _ in range(7)]
    wanted.append((log.append(b"with the end"), b"with the end"))
    log.close()
    assert list(fresh) == wanted
    assert got + list(begun) == wanted
    assert list(late) == wanted[-2:]
    for follower in (fresh, begun, late):
        assert next(follower, None) is None


def test_what_was_not_committed_does_not_come(place: Place) -> None:
    log, wanted = filled(place)
    followers = [log.follow(), log.follow(uncommitted=True)]
    log.append(b"left away")
    log.close(commit=False)
    for follower in followers:
        assert list(follower) == wanted


def test_async_for_gets_the_rest(place: Place) -> None:
    log, wanted = filled(place)

    async def follow() -> list[Any]:
        entries = log.aiter()
        got = [await anext(entries)]
        log.close()
        return got + [entry async for entry in entries]

    assert asyncio.run(follow()) == wanted


def test_threads_get_what_is_committed_beside_them(place: Place) -> None:
    """However the threads run, each of them gets all of it, and ends."""
    log = place.open()
    got: list[list[Any]] = [[] for _ in range(4)]

    def collect(follower: Iterable[Any], entries: list[Any]) -> None:
        entries.extend(follower)

    threads = [threading.Thread(target=collect, args=(log.follow(), entries)) for entries in got]
    for thread in threads:
        thread.start()
    wanted = []
    for number in range(COUNT):
        wanted.append((log.append(b"%d" % number), b"%d" % number))
        log.commit()
    log.close()
    for thread in threads:
        thread.join()
    assert got == [wanted] * len(got)


def test_the_last_follower_gives_back_what_was_left_to_it(files: Place) -> None:
    """A file stays open no longer than somebody reads on; who was at the end when the log was closed keeps nothing."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs to see which files are open")

    def opened() -> int:
        names = []
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                names.append(os.readlink(f"/proc/self/fd/{number}"))
        return sum(name.startswith(str(files.path)) for name in names)

    for ending in ("drained", "closed", "dropped", "at the end"):
        log, wanted = filled(files)
        followers = [log.follow(timeout=0) for _ in range(2)]
        if ending == "at the end":
            log.commit(alone=True)
            followers = [log.follow(log.committed)]
        log.close()
        assert (opened() > 0) == (ending != "at the end")
        core = hybrid_log_of(log)
        if ending == "drained":
            assert [len(list(follower)) for follower in followers] == [len(wanted)] * 2
        elif ending == "closed":
            for follower in followers:
                follower.close()
        elif ending == "dropped":
            followers.clear()
        assert opened() == 0
        assert core.use.given_up
        files.opened.clear()
        with files.open() as again:
            again.truncate(again.tail)


def test_another_writer_may_go_on_meanwhile(files: Place) -> None:
    """What the follower has still to give is what there was, whatever becomes of the log's files."""
    log, wanted = filled(files)
    follower = log.follow()
    assert next(follower) == wanted[0]
    log.close()
    with files.open() as other:
        other.truncate(other.tail)
        other.append_many([data_of(number, 900) for number in range(50)])
        other.commit()
        assert list(follower) == wanted[1:]


def test_all_else_of_a_closed_log_says_so(place: Place) -> None:
    log, wanted = filled(place)
    follower = log.follow()
    scan = log.scan()
    assert next(scan) == wanted[0]
    log.close()
    assert next(follower) == wanted[0]
    for call in (lambda: next(scan), lambda: log.read(wanted[1][0]), log.follow, lambda: len(log)):
        with pytest.raises(ClosedError):
            call()
    assert list(follower) == wanted[1:]


def test_a_reading_log_that_is_closed(files: Place) -> None:
    """As far as it had seen the log: it does not look for more."""
    log, wanted = filled(files)
    reading = Log(files.path, read_only=True)
    follower = reading.follow()
    assert next(follower) == wanted[0]
    log.append(b"later")
    log.commit()
    reading.close()
    assert list(follower) == wanted[1:]


def test_a_named_reader_ends_with_the_log(files: Place) -> None:
    """What it would still give could not be marked as done any more: it comes when the reader is opened again."""
    log, wanted = filled(files)
    reader = log.reader("r", follow=True)
    assert next(reader) == wanted[0]
    reader.done(wanted[0][0])
    log.close()
    assert next(reader, None) is None
    with files.open() as again, again.reader("r") as reader:
        assert list(reader) == wanted[1:]
