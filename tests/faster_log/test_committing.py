"""Committing: what is durable and who is told, cookies and numbers, and what closing does."""

import threading
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Log
from oxidbm._core.device.directory import STORE
from tests.faster_log.helpers import (
    COMMIT_BYTES,
    FIRST,
    SMALL_PAGE,
    WAIT_SECONDS,
    Place,
    data_of,
    entries,
    pairs,
    until_true,
)
from tests.inside import commits_of_log, hybrid_log_of
from tests.support import run, scaled


def waiting(log: Log[Any]) -> int:
    """Return how many threads wait for a commit."""
    return len(commits_of_log(log).notices.pending)


def test_committed_is_begin_before_the_commit_and_tail_after_it(place: Place) -> None:
    """A reader without uncommitted=True sees nothing before, everything after, also where pages were written before."""
    log = place.open()
    assert log.committed == log.begin == FIRST
    data = [data_of(i, 3000) for i in range(scaled(600, 30) if place.page_bytes == SMALL_PAGE and place.durable else 5)]
    for entry in data:
        log.append(entry)
    if place.durable and place.page_bytes == SMALL_PAGE and len(data) > 300:
        assert hybrid_log_of(log).flushed > FIRST
    assert log.committed == log.begin == FIRST
    assert (list(log), log.commit_number, log.stats()["committed"]) == ([], 0, FIRST)
    assert len(pairs(log)) == len(data) == len(log)
    assert log.commit() == log.commit_number == 1
    assert log.committed == log.tail
    assert entries(log) == data


def test_a_waiting_thread_is_woken_by_the_commit(place: Place) -> None:
    """Not by the append it waits for, nor by a page that was written."""
    log = place.open()
    address = log.append(b"first")
    seen: list[bool] = []

    def wait() -> None:
        assert not log.wait(address, timeout=0)
        seen.append(log.wait(address, timeout=WAIT_SECONDS))
        assert log.committed > address

    def commit() -> None:
        until_true(lambda: waiting(log) == 1)
        if place.page_bytes == SMALL_PAGE:
            log.append_many([data_of(i, 2000) for i in range(100)])
            hybrid = hybrid_log_of(log)
            if place.durable:
                hybrid.seal_step(hybrid.tail, 1 << 20)
                assert hybrid.flush_step(1 << 20)
                assert hybrid.flushed > address
        assert (seen, waiting(log)) == ([], 1)
        log.commit()

    run(wait, commit, seconds=WAIT_SECONDS)
    assert seen == [True]


def test_a_wait_for_what_is_committed_returns_at_once(place: Place) -> None:
    """For an address, or for all there is, also in a log without entries."""
    log = place.open()
    assert log.wait(timeout=0)
    address = log.append(b"a")
    assert not log.wait(timeout=0)
    assert not log.wait(address, 0)
    log.commit()
    assert log.wait(address)
    assert log.wait()
    log.append(b"b")
    assert log.wait(address, timeout=0)
    assert not log.wait(timeout=0.001)


def test_waits_of_several_threads_with_timeouts(place: Place) -> None:
    """Each is told of the first commit that has its entry; those whose time is over are not, and none is left."""
    log = place.open()
    addresses = [log.append(b"%d" % i) for i in range(6)]
    log.commit()
    late = [log.append(b"late %d" % i) for i in range(6)]
    told: dict[int, bool] = {}

    def wait(address: int, timeout: float | None) -> None:
        told[address] = log.wait(address, timeout)

    impatient = [threading.Thread(target=wait, args=(address, 0.01)) for address in late[:3]]
    patient = [threading.Thread(target=wait, args=(address, WAIT_SECONDS)) for address in late[3:]]
    forever = threading.Thread(target=wait, args=(addresses[0], None))
    for thread in [*impatient, *patient, forever]:
        thread.start()
    for thread in [*impatient, forever]:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
    until_true(lambda: waiting(log) == 3)
    log.commit()
    for thread in patient:
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
    assert told == {**dict.fromkeys(late[:3], False), **dict.fromkeys(late[3:], True), addresses[0]: True}
    assert waiting(log) == 0


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_timeouts_that_are_none(files: Place, timeout: float) -> None:
    log = files.open()
    log.append(b"a")
    with pytest.raises(ValueError, match="timeout is a number of seconds, at least 0"):
        log.wait(timeout=timeout)
    untimely: Any = "1"
    with pytest.raises(TypeError):
        log.wait(timeout=untimely)


def test_a_wait_ends_with_an_error_where_no_commit_can_come(disk: Place) -> None:
    """Closing without a commit and a failed write tell those who wait; what is durable is waited for at once."""
    log = disk.open()
    first = log.append(b"a")
    log.commit()
    address = log.append(b"b")
    failures: list[str] = []

    def wait() -> None:
        with pytest.raises(oxidbm.ClosedError) as failure:
            log.wait(address, WAIT_SECONDS)
        failures.append(str(failure.value))

    def close() -> None:
        until_true(lambda: waiting(log) == 1)
        log.close(commit=False)

    run(wait, close, seconds=WAIT_SECONDS)
    assert "is closed" in failures[0]
    log = disk.open()
    assert entries(log) == [b"a"]
    again = log.append(b"c")
    hybrid_log_of(log).life.poison_with(OSError("the disk broke"))
    assert log.wait(first)
    with pytest.raises(oxidbm.PoisonedError, match="the disk broke"):
        log.wait(again)


def test_commits_one_after_the_other_and_none_of_nothing_new(place: Place) -> None:
    """Each number is one more than the last; the log does not grow by a commit that has nothing new."""
    log = place.open()
    assert (log.commit(), log.tail) == (0, FIRST)
    for number in range(1, 6):
        log.append(b"%d" % number)
        assert log.commit() == number
        tail = log.tail
        assert log.commit() == number
        assert (log.tail, log.committed) == (tail, tail)
    assert log.commit(alone=True) == 6
    assert (log.tail > tail) == place.durable


def test_a_cookie_comes_back(disk: Place) -> None:
    """With the log, until a commit has another one, b"" included; it is no entry."""
    log = disk.open()
    assert log.cookie == b""
    log.append(b"a")
    assert log.commit(b"one") == 1
    assert log.cookie == b"one"
    log.append(b"b")
    log.commit()
    assert log.cookie == b"one"
    disk.crash(log)
    log = disk.open()
    assert (log.cookie, entries(log), len(log), log.commit_number) == (b"one", [b"a", b"b"], 2, 2)
    log.commit(bytearray(b"two"))
    assert log.commit("three") == 4
    disk.crash(log)
    log = disk.open()
    assert log.cookie == b"three"
    log.commit(b"")
    assert log.cookie == b""
    log.close()
    log = disk.open()
    assert (log.cookie, entries(log)) == (b"", [b"a", b"b"])


def test_a_cookie_of_a_log_in_memory() -> None:
    log = Log()
    log.commit(b"one")
    assert log.cookie == b"one"
    log.append(b"a")
    assert (log.commit(), log.cookie) == (2, b"one")
    log.commit(b"")
    assert log.cookie == b""


@pytest.mark.parametrize("size", [65536, SMALL_PAGE - 24, SMALL_PAGE - 23, 1])
def test_cookies_of_any_size(files: Place, size: int) -> None:
    """Larger than a page too; one byte more than is possible is refused, and nothing is committed."""
    log = files.open()
    log.append(b"a")
    cookie = data_of(3, size)
    log.commit(cookie)
    log.append(b"b")
    with pytest.raises(ValueError, match="a cookie of 65537 bytes is too long"):
        log.commit(bytes(65537))
    unfit: Any = 7
    with pytest.raises(TypeError, match="a cookie is bytes or str, not int"):
        log.commit(unfit)
    assert log.commit_number == 1
    files.crash(log)
    log = files.open()
    assert (log.cookie, entries(log)) == (cookie, [b"a"])


def test_numbered_commits_are_opened_by_number(disk: Place) -> None:
    """Entries, tail and cookie as they were then; the newest by default; a number that there is not is an error."""
    log = disk.open()
    then = {}
    for number in (1, 2, 7, 8, 1000):
        log.append(data_of(number, 3000))
        assert log.commit(b"cookie %d" % number, number=number) == number
        then[number] = (pairs(log), log.tail, log.cookie, len(log))
    with pytest.raises(ValueError, match="last commit has the number 1000, and the next one a larger one, not 1000"):
        log.commit(number=1000)
    log.append(b"more")
    assert log.commit() == 1001
    log.close()
    for number, (expected, tail, cookie, count) in then.items():
        earlier = disk.open(read_only=True, commit=number)
        assert (list(earlier), earlier.tail, earlier.cookie, len(earlier)) == (expected, tail, cookie, count)
        assert earlier.commit_number == number
        assert earlier.committed == earlier.tail
        earlier.close()
    for number in (3, 999, 2000):
        with pytest.raises(oxidbm.MissingError, match=f"no commit {number}; its last one is 1001"):
            disk.open(read_only=True, commit=number)
    newest = disk.open(read_only=True)
    assert (newest.commit_number, len(newest)) == (1001, 6)


@pytest.mark.parametrize("number", [0, -1, 1 << 48, 1 << 70])
def test_numbers_that_no_commit_has(files: Place, number: int) -> None:
    log = files.open()
    with pytest.raises(ValueError, match="number is a commit's number, from 1 to"):
        log.commit(number=number)
    with pytest.raises(ValueError, match="commit is a commit's number, from 1 to"):
        files.open(read_only=True, commit=number)
    with pytest.raises(ValueError, match="an earlier commit is opened with read_only=True"):
        files.open(commit=1)
    for wrong in ("1", True, 1.0):
        unfit: Any = wrong
        with pytest.raises(TypeError):
            log.commit(number=unfit)


def test_the_largest_number_is_the_last_one(files: Place) -> None:
    """No commit can come after it, and says so; a number that is given leaves as many again to count on."""
    log = files.open()
    log.append(b"a")
    with pytest.raises(ValueError, match="number"):
        log.commit(number=1 << 47)
    assert log.commit(number=(1 << 47) - 1) == (1 << 47) - 1
    assert log.commit(alone=True) == 1 << 47
    assert entries(files.open(read_only=True, commit=1 << 47)) == [b"a"]
    commits_of_log(log).sequence = (1 << 48) - 3
    assert log.commit(alone=True) == (1 << 48) - 2
    log.append(b"b")
    with pytest.raises(ValueError, match="number"):
        log.commit()
    with pytest.raises(ValueError, match="number"):
        log.commit(b"cookie")
    log.close(commit=False)
    assert entries(files.open()) == [b"a"]


def test_a_cookie_that_an_earlier_commit_has_lost(files: Place) -> None:
    """Truncated, it is stated again by the next commit; an earlier one is opened all the same, without it."""
    log = files.open()
    for number in range(1, 4):
        log.append(data_of(number, 3000))
        log.commit(b"kept" if number == 1 else None, alone=True)
    entry = log.append(data_of(4, 3000))
    log.commit()
    log.append(b"last")
    log.truncate(entry)
    log.commit()
    assert log.cookie == b"kept"
    log.close()
    earlier = files.open(read_only=True, commit=4)
    assert [data for _, data in earlier] == [data_of(4, 3000)]
    with pytest.raises(oxidbm.MissingError, match="the cookie of commit 4 was truncated"):
        _ = earlier.cookie
    assert files.open().cookie == b"kept"
    with pytest.raises(oxidbm.MissingError, match="no commit 3"):
        files.open(read_only=True, commit=3)


def test_losing_the_small_files_changes_nothing(disk: Place) -> None:
    """The mark of a clean end is a help: without it the last commit is found as well. The superblock is needed."""
    log = disk.open()
    log.append(b"a")
    log.commit(b"cookie", number=5)
    log.close()
    for file in disk.path.iterdir():
        if file.is_file() and file.name != STORE:
            file.unlink()
    log = disk.open()
    assert (entries(log), log.cookie, log.commit_number) == ([b"a"], b"cookie", 5)


def test_the_log_grows_by_a_bounded_amount_where_threads_do_nothing_but_commit(files: Place) -> None:
    """At most a commit for each append, whatever the number of threads that commit."""
    log = files.open()
    count = scaled(40, 30)
    done: list[bool] = []

    def append() -> None:
        try:
            for i in range(count):
                log.append(b"%d" % i)
                log.commit()
        finally:
            done.append(True)

    def commit() -> None:
        while not done:
            log.commit()

    run(append, commit, commit, commit, seconds=WAIT_SECONDS)
    assert log.commit_number <= count
    assert log.tail - FIRST <= count * (32 + COMMIT_BYTES) + (log.tail // SMALL_PAGE) * COMMIT_BYTES
    assert entries(log) == [b"%d" % i for i in range(count)]


def test_nothing_is_committed_unless_asked(disk: Place) -> None:
    """Neither by page boundaries nor by close(commit=False); plain closing commits, on purpose, as a store does."""
    log = disk.open()
    log.append_many([data_of(i, 2000) for i in range(scaled(2000, 200) if disk.page_bytes == SMALL_PAGE else 20)])
    assert (log.commit_number, log.committed) == (0, FIRST)
    log.close(commit=False)
    log = disk.open()
    assert (len(log), log.tail, log.commit_number) == (0, FIRST, 0)
    log.append(b"a")
    log.commit()
    log.append(b"b")
    log.close(commit=False)
    log = disk.open()
    assert entries(log) == [b"a"]
    log.append(b"c")
    log.close()
    log = disk.open()
    assert (entries(log), log.commit_number) == ([b"a", b"c"], 2)
    with log:
        log.append(b"d")
    assert entries(disk.open()) == [b"a", b"c", b"d"]


def test_a_block_that_fails_is_committed_all_the_same(disk: Place) -> None:
    with pytest.raises(ArithmeticError), disk.open() as log:  # noqa: PT012 - both belong to the block
        log.append(b"a")
        raise ArithmeticError
    assert entries(disk.open()) == [b"a"]


def test_closing_right_after_a_commit_leaves_no_file_locked(disk: Place) -> None:
    """The next opening finds it all, time and again; a second closing does nothing."""
    for number in range(10):
        log = disk.open()
        assert entries(log) == [b"%d" % i for i in range(number)]
        log.append(b"%d" % number)
        log.commit()
        with pytest.raises(oxidbm.LockedError):
            disk.open()
        log.close()
        log.close()
        log.close(commit=False)
        assert log.closed


def test_a_closing_that_could_not_be_done_says_nothing_of_the_next_one(files: Place) -> None:
    """close(commit=False) within a commit's lock is refused; whoever closes the log later commits."""
    log = files.open()
    log.append(b"a")
    with commits_of_log(log).cut_lock, pytest.raises(oxidbm.BusyError):
        log.close(commit=False)
    assert not log.closed
    log.append(b"b")
    files.opened.clear()
    del log
    assert entries(files.open()) == [b"a", b"b"]


def test_always_durable(disk: Place) -> None:
    """Each append, many at once, a batch and a truncation is durable when it returns."""
    log = disk.open(durability="always")
    log.append(b"a")
    assert log.committed == log.tail
    log.append_many([b"b", b"c"])
    assert log.try_append(b"d") is not None
    with log.batch() as batch:
        batch.append(b"e")
        batch.append(b"f")
    disk.crash(log)
    log = disk.open(durability="always")
    assert entries(log) == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert log.truncate(pairs(log)[4][0]) == 4
    disk.crash(log)
    log = disk.open()
    assert (entries(log), len(log)) == ([b"e", b"f"], 2)


def test_interval_and_bytes_commit_in_the_background(disk: Place) -> None:
    """Every so many seconds, or each so many bytes, without anybody asking."""
    log = disk.open(durability="interval", interval=0.001)
    address = log.append(b"a")
    assert log.wait(address, WAIT_SECONDS)
    log.close(commit=False)
    log = disk.open(commit_bytes=1000)
    assert entries(log) == [b"a"]
    address = log.append_many([bytes(100)] * 20)[0]
    assert log.wait(address, WAIT_SECONDS)
    disk.crash(log)
    assert len(disk.open()) >= 2


def test_a_batch_is_there_whole_or_not_at_all(disk: Place) -> None:
    """Not where its block fails, or an entry of it is wrong; where a commit cannot be, a part of it is not kept."""
    log = disk.open()
    with pytest.raises(ArithmeticError), log.batch() as batch:  # noqa: PT012 - both belong to the block
        batch.append(b"a")
        raise ArithmeticError
    wrong: Any = 5
    with log.batch() as batch:
        batch.append(b"b")
        with pytest.raises(TypeError, match="entries are bytes or str"):
            batch.append(wrong)
        batch.append("c")
    with log.batch() as batch:
        batch.append(b"d")
        batch.clear()
        batch.append(b"e")
    with log.batch() as batch:
        pass
    assert [data for _, data in pairs(log)] == [b"b", b"c", b"e"]
    log.commit()
    with log.batch() as batch:
        batch.append(b"f")
    disk.crash(log)
    assert entries(disk.open()) == [b"b", b"c", b"e"]


def test_batches_of_entries_that_fill_half_a_page_each(tmp_path: Path) -> None:
    """As many as half of the memory budget takes, though they need all of its pages; one more is refused."""
    for path in (None, tmp_path / "log"):
        log = Log(path, memory="1MiB", page_size=SMALL_PAGE)
        refused = False
        for size in (2060, 1500, 4072, 4073, 9000, 100):
            before = len(log)
            with log.batch() as batch:
                while True:
                    try:
                        batch.append(data_of(len(batch), size))
                    except ValueError as failure:
                        assert "a batch of" in str(failure)  # noqa: PT017 - the last one of many
                        refused = True
                        break
                count = len(batch)
                if path is None and size != 100:
                    batch.clear()
                    count = 0
            assert len(log) == before + count
            log.commit()
            assert [data for _, data in pairs(log)][before:] == [data_of(i, size) for i in range(count)]
        assert refused
        log.close()


def test_a_batch_that_cannot_be_finished_is_not_kept(files: Place) -> None:
    """A failed write poisons the log before anything of it counts."""
    log = files.open()
    log.append(b"a")
    log.commit()
    hybrid = hybrid_log_of(log)
    with pytest.raises(oxidbm.PoisonedError, match="the disk broke"), log.batch() as batch:  # noqa: PT012
        batch.append(b"b")
        hybrid.life.poison_with(OSError("the disk broke"))
    assert [data for _, data in pairs(log)] == [b"a"]
    files.crash(log)
    assert entries(files.open()) == [b"a"]
