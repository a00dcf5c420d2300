"""Readers that stay far behind: what they would go on with is long, gone, or damaged, when they look again."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from oxidbm import CorruptionError, Log
from oxidbm._core.faster_log import refresh
from tests.faster_log.helpers import data_of, until_true
from tests.inside import abandon_log, commits_of_log, handle_of_log, hybrid_log_of

PAGE = 4096
LEAP = 1000  # bytes from which on a reader in these tests leaps, instead of many that are slow to write


def writing(path: Path, **options: Any) -> Log[Any]:
    """Open a log with tiny pages to write."""
    return Log(path, page_size=PAGE, memory="1MiB", **options)


def refresher_of(reader: Log[Any]) -> refresh.Refresher:
    """Return what moves a reader on."""
    refresher = handle_of_log(reader).refresher
    assert refresher is not None
    return refresher


def reading(path: Path, leap_bytes: int = LEAP) -> Log[Any]:
    """Open a log to read, to leap where so many bytes are behind what was seen of it."""
    reader: Log[Any] = Log(path, read_only=True)
    refresher_of(reader).leap_bytes = leap_bytes
    return reader


def state_of(log: Log[Any]) -> tuple[object, ...]:
    """Return what a log says of itself as of its last commit, and its entries."""
    return log.begin, log.committed, log.commit_number, len(log), log.cookie, list(log)


def next_file(log: Log[Any], number: int) -> int:
    """Commit an entry in a file of its own, and return its address."""
    hybrid_log_of(log).device.roll()
    hybrid_log_of(log).close_tail_page()
    address = log.append(b"entry %d" % number)
    log.commit()
    return address


def pass_by(log: Log[Any], files: int) -> None:
    """Go on in so many new files, and truncate all but the last one."""
    address = 0
    for number in range(files):
        address = next_file(log, number)
    log.truncate(address, past_readers=True)
    log.commit()
    log.append_many([b"new 1", b"new 2"])
    log.commit()


@pytest.mark.parametrize("leap", [refresh.LEAP_BYTES, 0])
@pytest.mark.parametrize("files", [1, 2, 3, 6, 20])
@pytest.mark.parametrize("entries", [0, 1, 5])
def test_it_goes_on_at_the_new_begin(tmp_path: Path, files: int, entries: int, leap: int) -> None:
    """By refresh(), follow(), wait() and a named reader; a scan that stands before the begin goes on there."""
    path = tmp_path / "log"
    with writing(path) as log, contextlib.ExitStack() as stack:
        old = [log.append(b"old %d" % number) for number in range(entries)]
        log.commit()
        readers = [stack.enter_context(reading(path, leap)) for _ in range(4)]
        follower = readers[1].follow(timeout=0.2)
        scan = readers[0].scan()
        named = readers[3].reader("late", follow=True, timeout=0.2)
        for give in (follower, scan, named):
            assert [next(give)[0] for _ in old[:1]] == old[:1]
        pass_by(log, files)
        wanted = list(log)
        assert [data for _, data in wanted] == [b"entry %d" % (files - 1), b"new 1", b"new 2"]
        assert readers[0].refresh()
        assert not readers[0].refresh()
        assert list(scan) == []  # which ends where the log ended when it began
        assert list(readers[0]) == wanted
        state = (readers[0].begin, readers[0].committed, readers[0].commit_number, len(readers[0]))
        assert state == (log.begin, log.committed, log.commit_number, 3)
        seen = [entry for entry in follower if entry[0] >= log.begin]
        assert seen == wanted
        assert readers[2].wait(wanted[-1][0], timeout=10)
        assert [entry for entry in named if entry[0] >= log.begin] == wanted
        log.append(b"newest")
        log.commit()
        for reader in readers:
            assert reader.refresh()
            assert list(reader) == list(log)
        named.close()
    del scan, follower


@pytest.mark.parametrize("leap", [refresh.LEAP_BYTES, 0])
def test_again_and_again_beside_a_writer(tmp_path: Path, leap: int) -> None:
    """A follower that sleeps now and then sees numbers that grow, and the last one."""
    path = tmp_path / "log"
    count = 60
    with writing(path) as log:
        next_file(log, 0)
        reader = reading(path, leap)
        got: list[int] = []
        slow = threading.Event()

        def follow() -> None:
            for _, data in reader.follow():
                got.append(int(data.split()[1]))
                slow.wait(0.002)
                if got[-1] == count - 1:
                    return

        thread = threading.Thread(target=follow)
        thread.start()
        for number in range(1, count):
            address = next_file(log, number)
            if number % 3 == 0:
                log.truncate(address)
                log.commit()
        thread.join()
        reader.close()
    assert got == sorted(set(got))
    assert got[-1] == count - 1


@pytest.mark.parametrize("leap", [refresh.LEAP_BYTES, 0])
@pytest.mark.parametrize("what", ["entry", "commit"])
def test_what_was_durable_and_is_damaged_is_told(tmp_path: Path, what: str, leap: int) -> None:
    """As opening would: a reader does not stay where it is without a word; it shows what it showed before.

    An entry is told when it is read, since the commits behind it are sound; a commit when one comes to it.
    """
    path = tmp_path / "log"
    with writing(path) as log, reading(path, leap) as reader:
        log.append(b"sound")
        log.commit()
        assert reader.refresh()
        entry = log.append(data_of(7, 500))
        log.commit()
        at = {"entry": entry + 100, "commit": commits_of_log(log).address + 40}[what]
        log.append(b"behind it")
        log.commit()
        file = next((path / "log").iterdir())
        flip(file, at)
        if what == "entry":
            until_true(reader.refresh)
            assert len(reader) == 3
            with pytest.raises(CorruptionError, match="checksum"):
                list(reader)
            return
        with pytest.raises(CorruptionError, match="not a torn tail"):
            until_true(reader.refresh)
        with pytest.raises(CorruptionError, match="not a torn tail"):
            list(reader.follow(timeout=10))
        assert [data for _, data in reader] == [b"sound"]
        flip(file, at)
        until_true(reader.refresh)
        assert len(reader) == 3


def flip(file: Path, offset: int) -> None:
    """Change one byte of a file."""
    data = bytearray(file.read_bytes())
    data[offset] ^= 16
    file.write_bytes(data)


def test_what_is_not_written_yet_is_asked_for_ever_more_seldom(tmp_path: Path) -> None:
    """A record that ends in the middle is no damage: each time that this came to nothing takes twice as many looks."""
    path = tmp_path / "log"
    with writing(path) as log, Log(path, read_only=True) as reader:
        log.append(b"first")
        log.commit()
        assert reader.refresh()
        end = commits_of_log(log).end
        file = next((path / "log").iterdir())
        with file.open("r+b") as out:
            out.seek(end)
            out.write(b"\x01" * 8)
        refresher = refresher_of(reader)
        for _ in range(7 * refresh.FAULTS_MAX):
            assert not reader.refresh()
        assert refresher.patience == 8 * refresh.FAULTS_MAX
        log.append(b"second")
        log.commit()
        assert reader.refresh()
        assert refresher.patience == refresh.FAULTS_MAX


def fill(log: Log[Any], commits: int) -> int:
    """Commit so many times more than a leap needs; return the last entry's address."""
    address = 0
    for number in range(commits):
        address = log.append(data_of(number, LEAP))
        log.append(b"small")
        log.commit(b"cookie %d" % number)
    return address


def test_a_long_way_is_not_walked(tmp_path: Path) -> None:
    """It stands at the newest commit then, as an opening would, and who follows it misses nothing, nor does a scan."""
    path = tmp_path / "log"
    with writing(path) as log, reading(path) as reader, reading(path, 1 << 40) as walking:
        log.append(b"first")
        log.commit()
        assert reader.refresh()
        follower = reader.follow(timeout=0)
        assert next(follower)[1] == b"first"
        last = fill(log, 50)
        assert reader.wait(last, timeout=0)
        assert refresher_of(reader).walk.total == 0
        assert walking.refresh()
        assert refresher_of(walking).walk.total == 2 + 50 * 4  # with its cookies
        assert state_of(reader) == state_of(walking) == state_of(log)
        assert list(follower) == list(log)[1:]
        assert follower.overtaken == 0
        assert not reader.refresh()
        log.append(b"behind")
        log.commit()
        assert reader.refresh()
        assert refresher_of(reader).walk.total == 2
        assert state_of(reader) == state_of(log)


def test_what_is_not_committed_is_walked_once(tmp_path: Path) -> None:
    """However much stands behind the last commit, each refresh goes over what has come since the one before."""
    path = tmp_path / "log"
    with writing(path) as log, reading(path) as reader:
        fill(log, 2)
        assert reader.refresh()
        known = state_of(reader)
        for number in range(1, 6):
            for _ in range(100):
                log.append(data_of(number, LEAP))
            hybrid_log_of(log).freeze()
            write_out(log)
            before = refresher_of(reader).walk.total
            assert not reader.refresh()
            assert refresher_of(reader).walk.total == before + 100
            assert not reader.refresh()
            assert state_of(reader) == known
        log.commit()
        assert reader.refresh()
        assert state_of(reader) == state_of(log)


def write_out(log: Log[Any]) -> None:
    """Have what was appended written to the file, as a log does at its leisure, without a commit."""
    core = hybrid_log_of(log)
    assert core.seal_step(core.tail, 1 << 30)
    while core.flush_step(1 << 20):
        pass


@pytest.mark.parametrize("behind", [8, 200, 20 * LEAP])
def test_a_torn_tail_of_a_killed_writer(tmp_path: Path, behind: int) -> None:
    """It is passed over, and not searched each time that a reader looks, until twice as much stands there."""
    path = tmp_path / "log"
    log = writing(path)
    with reading(path) as reader:
        log.append(b"first")
        log.commit()
        assert reader.refresh()
        last = fill(log, 20)
        wanted = state_of(log)
        end = commits_of_log(log).end
        abandon_log(log)
        file = next((path / "log").iterdir())
        with file.open("r+b") as out:
            out.seek(end)
            out.write(b"\x01" * behind)
        assert reader.wait(last, timeout=0)
        assert state_of(reader) == wanted
        for _ in range(3 * refresh.FAULTS_MAX):
            assert not reader.refresh()
        refresher = refresher_of(reader)
        stands = refresher.log.device.end() - end
        assert stands >= behind
        assert refresher.leap_least == (2 * stands if stands > LEAP else LEAP)
        with writing(path) as again:
            assert state_of(again) == wanted
            again.append(b"after it")
            fill(again, 3)
            assert reader.refresh()
            assert state_of(reader) == state_of(again)


def test_who_was_overtaken_by_a_leap_knows_it(tmp_path: Path) -> None:
    """A follower and a named reader count what was truncated before they came to it."""
    path = tmp_path / "log"
    with writing(path) as log, reading(path) as reader:
        for number in range(5):
            next_file(log, number)
        assert reader.refresh()
        named = reader.reader("late", follow=True, timeout=0)
        follower = reader.follow(timeout=0)
        assert next(named)[1] == next(follower)[1] == b"entry 0"
        for number in range(5, 30):
            address = next_file(log, number)
        log.truncate(address, past_readers=True)
        log.commit()
        fill(log, 10)
        assert reader.refresh()
        assert refresher_of(reader).walk.total == 0
        assert [*named] == [*follower] == list(log)
        assert named.overtaken == follower.overtaken == 28
        named.close()


def test_damage_behind_which_no_commit_counts_is_shown_up_to(tmp_path: Path) -> None:
    """A leap that comes upon damage leaves it to the walk, which shows what is sound before it, and then says so."""
    path = tmp_path / "log"
    with writing(path) as log, reading(path) as reader:
        log.append(b"first")
        log.commit()
        assert reader.refresh()
        fill(log, 10)
        sound = state_of(log)
        log.append(data_of(1, LEAP))
        log.commit()
        at = commits_of_log(log).address + 40
        log.append(data_of(2, LEAP))
        log.commit()
        flip(next((path / "log").iterdir()), at)
        with pytest.raises(CorruptionError, match="not a torn tail"):
            until_true(lambda: reader.refresh() and False)
        assert state_of(reader) == sound
