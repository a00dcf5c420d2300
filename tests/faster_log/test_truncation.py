"""Truncation: begin moves at once, what is committed says so, and the space goes."""

import os
from typing import Any

import pytest

from oxidbm import Log
from tests.faster_log.helpers import FIRST, SMALL_PAGE, Place, data_of, entries, pairs, push_to_disk
from tests.inside import hybrid_log_of
from tests.support import scaled


def test_begin_moves_at_once_and_what_is_committed_with_the_next_commit(disk: Place) -> None:
    """A crash in between brings the entries back."""
    log = disk.open()
    addresses = [log.append(b"%d" % i) for i in range(10)]
    log.commit()
    assert log.truncate(addresses[4]) == 4
    assert (log.begin, log.stats()["committed_begin"], len(log)) == (addresses[4], FIRST, 6)
    assert [address for address, _ in log] == addresses[4:]
    disk.crash(log)
    log = disk.open()
    assert (log.begin, len(log)) == (addresses[0], 10)
    assert log.truncate(addresses[4]) == 4
    assert log.commit() == 2
    assert log.stats()["committed_begin"] == addresses[4]
    disk.crash(log)
    log = disk.open()
    assert (log.begin, len(log), [address for address, _ in log]) == (addresses[4], 6, addresses[4:])
    with pytest.raises(IndexError, match=f"address {addresses[3]} is not in the log.*; what was there was truncated"):
        log.read(addresses[3])


def test_truncating_forwards_only(place: Place) -> None:
    """An address before begin changes nothing, nor does the same one again; one past the tail forgets all."""
    log = place.open()
    addresses = [log.append(b"%d" % i) for i in range(5)]
    assert log.truncate(addresses[2]) == 2
    for again in (addresses[2], addresses[1], 0, -5, -(1 << 80)):
        assert log.truncate(again) == 0
    assert log.truncate(1 << 80) == 3
    assert (log.begin, log.tail, len(log), pairs(log)) == (log.tail, log.tail, 0, [])
    address = log.append(b"again")
    assert pairs(log) == [(address, b"again")]
    assert log.truncate(log.tail) == 1
    assert log.truncate(log.tail) == 0


@pytest.mark.parametrize("where", ["memory", "pushed"])
def test_every_address_that_was_ever_the_tail_will_do(place: Place, where: str) -> None:
    """Of append_many(), tail and committed: behind the last entry of a page, a run, a commit."""
    if where == "pushed" and not place.durable:
        pytest.skip("a log in memory has no device")
    log = place.open()
    tails: list[tuple[int, int]] = []
    for i in range(scaled(40, 20)):
        following = log.append_many([data_of(i, (1000, 1500, 3000, 9000, 100)[i % 5])])[1]
        tails.append((following, i + 1))
        if i % 6 == 0:
            log.commit()
            tails.append((log.tail, i + 1))
            tails.append((log.committed, i + 1))
    count = scaled(40, 20)
    if where == "pushed":
        push_to_disk(log)
    for tail, before in tails:
        log.truncate(tail)
        assert len(log) == count - before == len(pairs(log))
        if before < count:
            assert log.begin == pairs(log)[0][0] >= tail


@pytest.mark.parametrize("where", ["memory", "pushed"])
def test_an_address_inside_of_a_page_and_at_its_start(place: Place, where: str) -> None:
    """A scan, and a read, of what is left work; no entry begins inside of another one."""
    if where == "pushed" and not place.durable:
        pytest.skip("a log in memory has no device")
    log = place.open()
    size = place.page_bytes // 4 - 24
    addresses = [log.append(data_of(i, size)) for i in range(12)]
    at_start = next(address for address in addresses if address % place.page_bytes == 0)
    if where == "pushed":
        push_to_disk(log)
    for wrong in (addresses[1] + 8, addresses[1] + 1, addresses[2] - 8):
        with pytest.raises(ValueError, match=f"no entry of the log.*starts at address {wrong}; the next one starts at"):
            log.truncate(wrong)
    for until in (addresses[1], at_start):
        log.truncate(until)
        log.commit()
        assert log.begin == until
        assert [address for address, _ in pairs(log)] == [address for address in addresses if address >= until]
        assert log.read(until) == data_of(addresses.index(until), size)


def test_a_scan_that_stands_behind_the_truncation_goes_on_at_begin(place: Place) -> None:
    log = place.open()
    addresses = [log.append(b"%d" % i) for i in range(20)]
    scan = log.scan(uncommitted=True)
    assert [next(scan)[0] for _ in range(3)] == addresses[:3]
    log.truncate(addresses[10])
    if place.durable:
        push_to_disk(log)
    assert next(scan)[0] == addresses[10]
    log.truncate(addresses[5])
    log.truncate(addresses[12])
    assert [address for address, _ in scan] == addresses[12:]
    scan = log.scan(uncommitted=True)
    next(scan)
    log.truncate(log.tail)
    log.append(b"later")
    assert list(scan) == []


def test_a_scan_that_walks_right_behind_the_truncation(disk: Place) -> None:
    """Each entry is truncated as soon as it was read, and the space given back meanwhile."""
    log = disk.open()
    size = disk.page_bytes // 5
    count = scaled(300, 60) if disk.page_bytes == SMALL_PAGE else 20
    log.append_many([data_of(i, size) for i in range(count)])
    log.commit()
    found = 0
    for address, data in log:
        assert data == data_of(found, size)
        found += 1
        log.truncate(address)
        if found % 25 == 0:
            log.commit()
    assert found == count
    assert len(log) == 1


def test_disk_space_falls(disk: Place) -> None:
    """Once a commit says that the log begins later; opened again, it begins there."""
    log = disk.open()
    size = disk.page_bytes // 2
    for i in range(24):
        if i % 4 == 0:
            hybrid_log_of(log).device.roll()
        log.append(data_of(i, size))
        log.commit()
    before = log.stats()["file_bytes"]
    kept = log.append(b"kept")
    log.commit()
    log.truncate(kept)
    assert log.stats()["file_bytes"] >= before
    log.commit()
    assert log.stats()["file_bytes"] < before / 2
    log.close()
    log = disk.open()
    assert (list(log), len(log), log.begin) == ([(kept, b"kept")], 1, kept)


def test_memory_comes_back() -> None:
    """In a log in memory, a page at a time."""
    log: Log[Any] = Log(memory="1MiB", page_size=SMALL_PAGE)
    for i in range(scaled(5000, 600)):
        address = log.append(data_of(i, 1000))
        if i % 50 == 0:
            log.truncate(address)
    assert [data for _, data in pairs(log)] == [
        data_of(i, 1000) for i in range((scaled(5000, 600) - 1) // 50 * 50, scaled(5000, 600))
    ]


def test_a_log_that_was_emptied_is_empty_when_it_is_opened(disk: Place) -> None:
    """Its numbers go on, and its length is that of what is appended then."""
    log = disk.open()
    log.append_many([data_of(i, 3000) for i in range(10)])
    log.commit(b"cookie")
    log.truncate(log.tail)
    log.close()
    for count in range(3):
        log = disk.open()
        assert (len(log), log.cookie, entries(log)) == (count, b"cookie", [b"%d" % i for i in range(count)])
        log.append(b"%d" % count)
        log.close()


@pytest.mark.skipif(not hasattr(os, "pread"), reason="needs reads that can be stood in for")
@pytest.mark.parametrize("moves", [50, 600])
def test_what_is_truncated_beside_a_check_is_not_lost(
    moves: int, files: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that moves on meanwhile gets as many new entries as are gone: there are as many as before."""
    log = files.open()
    addresses = [log.append(data_of(i, 3000)) for i in range(600)]
    log.commit()
    reader = files.open(read_only=True)
    real = os.pread
    reads: list[int] = []

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        reads.append(offset)
        if len(reads) == 2:
            following = [log.append(data_of(i, 3000)) for i in range(moves)]
            log.truncate([*addresses, *following][moves])
            log.commit()
            reader.refresh()
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    assert reader.check() == []
    monkeypatch.undo()
    assert (len(reader), reader.begin) == (600, log.begin)
