"""Readers that stay far behind: what they would go on with is gone, or damaged, when they look again."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest

from oxidbm import CorruptionError, Log
from oxidbm._core.faster_log import refresh
from tests.faster_log.helpers import data_of, until_true
from tests.inside import commits_of_log, handle_of_log, hybrid_log_of

PAGE = 4096


def writing(path: Path, **options: Any) -> Log[Any]:
    """Open a log with tiny pages to write."""
    return Log(path, page_size=PAGE, memory="1MiB", **options)


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


@pytest.mark.parametrize("files", [1, 2, 3, 6, 20])
@pytest.mark.parametrize("entries", [0, 1, 5])
def test_it_goes_on_at_the_new_begin(tmp_path: Path, files: int, entries: int) -> None:
    """By refresh(), follow(), wait() and a named reader; a scan that stands before the begin goes on there."""
    path = tmp_path / "log"
    with writing(path) as log, contextlib.ExitStack() as stack:
        old = [log.append(b"old %d" % number) for number in range(entries)]
        log.commit()
        readers = [stack.enter_context(Log(path, read_only=True)) for _ in range(4)]
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


def test_again_and_again_beside_a_writer(tmp_path: Path) -> None:
    """A follower that sleeps now and then sees numbers that grow, and the last one."""
    path = tmp_path / "log"
    count = 60
    with writing(path) as log:
        next_file(log, 0)
        reader = Log(path, read_only=True)
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


@pytest.mark.parametrize("what", ["entry", "commit"])
def test_what_was_durable_and_is_damaged_is_told(tmp_path: Path, what: str) -> None:
    """As opening would: a reader does not stay where it is without a word; it shows what it showed before.

    An entry is told when it is read, since the commits behind it are sound; a commit when one comes to it.
    """
    path = tmp_path / "log"
    with writing(path) as log, Log(path, read_only=True) as reader:
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
        refresher = handle_of_log(reader).refresher
        assert refresher is not None
        for _ in range(7 * refresh.FAULTS_MAX):
            assert not reader.refresh()
        assert refresher.patience == 8 * refresh.FAULTS_MAX
        log.append(b"second")
        log.commit()
        assert reader.refresh()
        assert refresher.patience == refresh.FAULTS_MAX
