"""Opening a log reads as much of its device as was appended since the last durable commit, whatever its length."""

from pathlib import Path

import pytest

from oxidbm import CorruptionError, Log, MissingError
from oxidbm.testing import CrashDevice, FaultyDevice
from tests.crash.log_scenarios import DeviceStory, LogWriter, contents, open_log, sized
from tests.inside import abandon_log, hybrid_log_of
from tests.support import scaled
from tests.unit.helpers import CountedReads

PAGE_BYTES = 4096


def small_segments() -> CrashDevice:
    """Return a device that begins a segment with each page."""
    return CrashDevice(PAGE_BYTES, segment_bytes=PAGE_BYTES)


def filled(path: Path, entries: int, truncated: bool, clean: bool) -> CrashDevice:
    """Make a log of many small segments, and return its device."""
    device = small_segments()
    log = open_log(path, device=device)
    first = 0
    for _ in range(entries // 20):
        first, _ = log.append_many([bytes(1000)] * 20)
        log.commit(b"cookie")
    if truncated:
        log.truncate(first)
        log.commit()
    if clean:
        log.close()
    else:
        log.append(b"lost")
        abandon_log(log)
    return device


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("clean", [True, False], ids=["closed", "killed"])
@pytest.mark.parametrize("truncated", [False, True], ids=["whole", "truncated"])
def test_reads_do_not_grow_with_the_log(truncated: bool, clean: bool, read_only: bool, tmp_path: Path) -> None:
    reads = []
    for entries in (200, scaled(4000, least=1000)):
        path = tmp_path / str(entries)
        device = CountedReads(filled(path, entries, truncated, clean))
        log = open_log(path, device=device, read_only=read_only)
        reads.append((device.calls["read"] + device.calls["read_many"], device.bytes_read // (1 << 18)))
        assert len(log) == (20 if truncated else entries)
        assert log.cookie == b"cookie"
        abandon_log(log)
    assert reads[0] == reads[1]
    assert reads[1][0] < 30


def test_opening_gives_back_what_a_crash_kept_from_it(tmp_path: Path) -> None:
    """The begin is durable, and the power went before the segments before it were deleted."""
    device = small_segments()
    faulty = FaultyDevice(device)
    writer = LogWriter(DeviceStory(device), tmp_path / "log", device=faulty)
    writer.append(*sized(40, 1000))
    writer.commit()
    writer.truncate(30)
    faulty.fail("truncate_before", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        writer.commit()
    abandon_log(writer.log)
    left = device.crash()
    assert left.begin() == 0
    with open_log(tmp_path / "log", device=left) as log:
        assert left.begin() == log.begin & -PAGE_BYTES
    assert contents(tmp_path / "log", device=left) == writer.commits[-1]


def test_earlier_commits_of_a_log_that_was_truncated(tmp_path: Path) -> None:
    """One whose entries are there is opened, as far as they are; one whose cookie is gone says that."""
    path = tmp_path / "log"
    with open_log(path) as log:
        log.append(b"one")
        log.commit(b"first", number=10)
        second = log.append(b"two")
        log.commit(number=20)
        log.append(b"three")
        log.commit(b"third", number=30)
        log.append(b"four")
        log.commit()
        for number, cookie, count in ((10, b"first", 1), (20, b"first", 2), (30, b"third", 3), (31, b"third", 4)):
            with Log(path, read_only=True, commit=number) as earlier:
                assert (earlier.cookie, len(earlier), earlier.commit_number) == (cookie, count, number)
        log.truncate(second)
        log.commit()
        with Log(path, read_only=True, commit=30) as earlier:
            assert (earlier.cookie, [data for _, data in earlier]) == (b"third", [b"two", b"three"])
        with Log(path, read_only=True, commit=20) as earlier:
            assert [data for _, data in earlier] == [b"two"]
            with pytest.raises(MissingError, match="the cookie of commit 20 was truncated"):
                earlier.cookie  # noqa: B018
        for number in (10, 25, 99):
            with pytest.raises(MissingError, match=f"no commit {number}"):
                Log(path, read_only=True, commit=number)


def test_numbers_go_on_behind_the_largest_that_can_be_chosen(tmp_path: Path) -> None:
    with open_log(tmp_path / "log") as log:
        log.append(b"one")
        log.commit(number=0x7FFFFFFFFFFF)
        log.append(b"two")
        log.commit()
        with pytest.raises(ValueError, match="from 1 to"):
            log.commit(number=0x800000000000)
    with open_log(tmp_path / "log") as log:
        assert log.commit_number == 0x800000000000
        assert [data for _, data in log] == [b"one", b"two"]


@pytest.mark.parametrize("size", [PAGE_BYTES - 88, PAGE_BYTES - 80, PAGE_BYTES - 24, 3 * PAGE_BYTES])
def test_a_first_entry_that_fills_the_first_page(size: int, tmp_path: Path) -> None:
    """It goes to the second page: the log begins there, be it closed, killed or never committed."""
    with open_log(tmp_path / "log") as log:
        address = log.append(bytes(size))
        assert log.begin == address
    with open_log(tmp_path / "log") as log:
        assert list(log) == [(address, bytes(size))]
        assert log.begin == address
    with open_log(tmp_path / "never") as log:
        log.append_many([bytes(size)] * 600)  # more than memory holds
        log.close(commit=False)
    with open_log(tmp_path / "never") as log:
        assert list(log) == []


def test_a_log_whose_commits_are_gone_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    """Where its first segment was given back, there was a commit."""
    device = filled(tmp_path / "log", 200, True, False)
    assert device.begin() > PAGE_BYTES
    device.truncate_after(device.begin() + 100)
    with pytest.raises(CorruptionError, match="no commit is left"):
        open_log(tmp_path / "log", device=device)


def test_a_log_that_gave_back_a_first_page_of_commits_alone(tmp_path: Path) -> None:
    """It begins as one whose first entry did not fit into the first page; the commit before tells the two."""
    path = tmp_path / "log"
    log = open_log(path)
    log.commit(alone=True)
    hybrid_log_of(log).device.roll()
    log.append(bytes(PAGE_BYTES - 24))

    log.truncate(next(log.scan(uncommitted=True))[0])
    log.commit()
    assert [file.name for file in (path / "log").iterdir()] == ["0000000001.seg"]
    abandon_log(log)
    with open_log(path, read_only=True) as log:
        assert (len(log), log.commit_number) == (1, 2)
    with open_log(path) as log:
        assert [len(data) for _, data in log] == [PAGE_BYTES - 24]
