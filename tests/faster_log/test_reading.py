"""Reading: scans with any begin and end, with and without what is not committed, beside appends; entries by address."""

import itertools
from typing import Any

import pytest

from tests.faster_log.helpers import FIRST, SMALL_PAGE, Place, data_of, entries, pairs, push_to_disk
from tests.inside import hybrid_log_of
from tests.support import scaled

SIZES = (0, 1, 8, 100, 700, 2000, SMALL_PAGE - 24, SMALL_PAGE, 9000)


def test_a_scan_from_before_begin_starts_at_begin(place: Place) -> None:
    """Also after a truncation, and from 0, a negative address and a huge one, which is behind the end."""
    log = place.open()
    addresses = [log.append(b"%d" % i) for i in range(10)]
    log.commit()
    for begin in (None, 0, -1, -(1 << 70), FIRST):
        assert [address for address, _ in log.scan(begin)] == addresses
    log.truncate(addresses[3])
    for begin in (None, 0, addresses[0], addresses[2] + 1, addresses[3]):
        assert [address for address, _ in log.scan(begin)] == addresses[3:]
    for begin in (log.tail, log.tail + 1, 1 << 70):
        assert list(log.scan(begin)) == []


@pytest.mark.parametrize("where", ["memory", "pushed", "reopened"])
def test_scans_with_any_begin_and_end(place: Place, where: str) -> None:
    """From the first entry at or behind begin up to the last one before end, wherever these are: runs and gaps too."""
    if where != "memory" and not place.durable:
        pytest.skip("a log in memory has no device")
    log = place.open()
    expected = []
    for i in range(scaled(40, 20)):
        data = data_of(i, SIZES[i % len(SIZES)])
        expected.append((log.append(data), data))
        if i % 7 == 0:
            log.commit(b"cookie %d" % i)
    log.commit()
    if where == "pushed":
        push_to_disk(log)
    elif where == "reopened":
        log.close()
        log = place.open()
    assert list(log) == expected
    starts = [address for address, _ in expected]
    edges = {at + step for at in starts for step in (-8, -1, 0, 1, 8, 24, 200, 5000)}
    edges |= set(range(0, min(int(log.tail), 200_000), SMALL_PAGE))
    for begin in sorted(edges):
        assert list(log.scan(begin)) == [pair for pair in expected if pair[0] >= begin]
    for end in sorted(edges):
        found = list(itertools.islice(log.scan(end=end), len(expected)))
        assert found == [pair for pair in expected if pair[0] < end]
    assert list(log.scan(starts[5], starts[9])) == expected[5:9]
    assert list(log.scan(starts[9], starts[5])) == []


def test_an_uncommitted_scan_sees_the_tail_as_it_was_when_it_began(place: Place) -> None:
    """What is appended later is for the next scan: a scan ends where the log ended when it began, on purpose."""
    log = place.open()
    log.append(b"a")
    assert (list(log.scan()), [data for _, data in pairs(log)]) == ([], [b"a"])
    scan = log.scan(uncommitted=True)
    log.append(b"b")
    assert [data for _, data in scan] == [b"a"]
    assert [data for _, data in pairs(log)] == [b"a", b"b"]
    committed = log.scan()
    log.commit()
    assert list(committed) == []
    assert entries(log) == [b"a", b"b"]
    assert next(scan, None) is None


def test_a_scan_beside_appends_that_evict_what_it_reads(disk: Place) -> None:
    """It goes over from memory to the device and finds each entry once."""
    log = disk.open()
    size = disk.page_bytes // 4
    count = 20
    log.append_many([data_of(i, size) for i in range(count)])
    scan = log.scan(uncommitted=True)
    found = []
    for _, data in scan:
        found.append(data)
        if len(found) == 3 and disk.page_bytes == SMALL_PAGE:
            log.append_many([bytes(3000)] * 500)
            assert hybrid_log_of(log).head > FIRST
    assert found == [data_of(i, size) for i in range(count)]


def test_a_scan_after_recovery(disk: Place) -> None:
    """Of what was committed, and of that alone, after a clean end and after a crash; it goes on over both."""
    log = disk.open()
    log.append_many([data_of(i, 1000) for i in range(10)])
    log.commit()
    log.append(b"lost")
    disk.crash(log)
    log = disk.open()
    assert entries(log) == [data_of(i, 1000) for i in range(10)]
    log.append(b"more")
    log.close()
    log = disk.open()
    log.append(b"most")
    assert [data for _, data in pairs(log)] == [*(data_of(i, 1000) for i in range(10)), b"more", b"most"]
    assert len(log) == 12


def test_reading_by_address(place: Place) -> None:
    """The entry, its length alone; the first, the last, and several after one another; committed or not."""
    log = place.open()
    data = [data_of(i, SIZES[i % len(SIZES)]) for i in range(20)]
    addresses = [log.append(entry) for entry in data]
    for _ in range(2):
        assert [log.read(address) for address in addresses] == data
        assert [log[address] for address in reversed(addresses)] == data[::-1]
        assert [log.size(address) for address in addresses] == [len(entry) for entry in data]
        assert log.read(log.begin) == data[0]
        assert log.read(addresses[-1]) == data[-1]
        if place.durable:
            push_to_disk(log)
    for past in (log.tail, log.tail + 8, log.tail + (1 << 30)):
        with pytest.raises(IndexError, match=rf"address {past} is not in the log, which begins at {log.begin}"):
            log.read(past)
        with pytest.raises(IndexError, match="is not in the log"):
            log.size(past)


def test_a_log_cannot_be_read_backwards(place: Place) -> None:
    log = place.open()
    unknown: Any = "ignore"
    with pytest.raises(TypeError, match="read from its begin to its tail"):
        reversed(log)
    with pytest.raises(ValueError, match='on_error is "raise" or "skip"'):
        log.scan(on_error=unknown)


def test_length_is_exact(place: Place) -> None:
    """Of entries alone: neither commits nor cookies count, and what is truncated does not."""
    log = place.open()
    assert len(log) == 0
    addresses = []
    for i in range(20):
        addresses.append(log.append(b"x" * i))
        log.commit(b"cookie %d" % i)
        assert len(log) == i + 1
    log.truncate(addresses[7])
    assert len(log) == 13 == len(list(log))
    if place.durable:
        log.close()
        log = place.open()
        assert len(log) == 13 == len(list(log))
    log.truncate(log.tail)
    assert len(log) == 0
    log.append(b"y")
    assert len(log) == 1
