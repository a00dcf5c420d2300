"""Addresses at which no entry starts: each is told so, whatever stands there, in memory and on disk."""

from typing import Any

import pytest

from oxidbm import Log
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.log.record import HEADER_BYTES, INFO_VERSION, SHAPE_COMMIT
from tests.faster_log.helpers import FIRST, SMALL_PAGE, Place, data_of, entries, pairs, push_to_disk
from tests.inside import commits_of_log, hybrid_log_of
from tests.support import one_in

WHERE = ["memory", "pushed", "reopened"]


@pytest.fixture(params=WHERE)
def where(request: pytest.FixtureRequest, place: Place) -> str:
    """Where the entries are when they are asked for."""
    chosen: str = request.param
    if chosen != "memory" and not place.durable:
        pytest.skip("a log in memory has no device")
    return chosen


def moved(log: Log[Any], place: Place, where: str) -> Log[Any]:
    """Return the log, with its entries where they are to be."""
    if where == "pushed":
        push_to_disk(log)
    elif where == "reopened":
        log.close()
        return place.open()
    return log


def told(log: Log[Any], address: int, following: int | None = None) -> None:
    """See that reading, sizes and truncation say that no entry starts at an address, and which one is the next."""
    hint = "" if following is None else f"; the next one starts at {following}"
    for call in (log.read, log.size, log.__getitem__):
        with pytest.raises(ValueError, match=f"no entry of the log .* starts at address {address}{hint}. Use what"):
            call(address)


def record(address: int, data: bytes, key: int, flags: int = 0, previous: int = 0) -> bytes:
    """Return the bytes of a whole record, as if it stood at an address of a log with that key of checksums."""
    padded = data + bytes(-len(data) % 8)
    shape = len(data) | flags
    seal = len(padded) // 8 << 32
    words = (INFO_VERSION | previous, shape, seal)
    bare = b"".join(int(word).to_bytes(8, "little") for word in words) + padded
    checksum = checksum_bytes(bare, 0, seal, len(bare), address, key)
    return b"".join(int(word).to_bytes(8, "little") for word in (*words[:2], seal | checksum)) + padded


@pytest.mark.parametrize("size", [2000, 3 * SMALL_PAGE])
def test_inside_of_an_entry_that_imitates_records(place: Place, where: str, size: int) -> None:
    """Each word of it begins what looks like a record of a log, an entry or a commit; the key is not this log's."""
    log = place.open()
    log.append(b"before")
    probe = log.append(bytes(size))
    log.truncate(log.tail)
    fake = log.tail if size <= SMALL_PAGE else -(-log.tail // SMALL_PAGE) * SMALL_PAGE
    assert probe < fake
    data = b""
    while len(data) < size - 100:
        at = fake + HEADER_BYTES + len(data)
        data += record(at, b"imitated", 0, 0 if len(data) % 64 else SHAPE_COMMIT, len(data))
    address = log.append(data)
    after = log.append(b"after")
    log.commit()
    log = moved(log, place, where)
    assert [entry for _, entry in log] == [data, b"after"]
    step = one_in(1, 9) * 8
    for inside in range(address + 8, address + HEADER_BYTES + len(data), step):
        with pytest.raises(ValueError, match=f"starts at address {inside}"):
            log.read(inside)
    told(log, address + HEADER_BYTES, after)
    with pytest.raises(ValueError, match=f"starts at address {address + HEADER_BYTES}; the next one starts at {after}"):
        log.truncate(address + HEADER_BYTES)
    assert [data for _, data in log.scan(address + HEADER_BYTES)] == [b"after"]


def test_a_copy_of_a_record_of_this_log_inside_of_an_entry(files: Place) -> None:
    """Header and all, with this log's key: its checksum covers where it stood, so it is none where it is now."""
    log = files.open()
    original = log.append(b"original")
    log.commit()
    hybrid = hybrid_log_of(log)
    copy = record(original, b"original", hybrid.checksum_key)
    assert hybrid.device.read(original, 32) == copy
    address = log.append(copy * 20)
    after = log.append(b"after")
    log.commit()
    for _ in range(2):
        for at in range(address + HEADER_BYTES, address + HEADER_BYTES + 640, 32):
            told(log, at, after)
        push_to_disk(log)


def test_inside_of_the_pages_of_a_run(place: Place, where: str) -> None:
    """At each page's start and in the middle; a scan from there on begins behind it."""
    log = place.open()
    page = place.page_bytes
    log.append(b"before")
    run = log.append(data_of(1, 3 * page + 100))
    after = log.append(b"after")
    log.commit()
    log = moved(log, place, where)
    assert run % page == 0
    assert after == run + 4 * page
    inside_of_it = [run + 2 * page, run + 8, run + page, run + page + 8, run + 3 * page, run + 3 * page + 800]
    for inside in inside_of_it[: 1 if page > SMALL_PAGE else None]:
        told(log, inside, after)
        assert pairs(log, begin=inside) == [(after, b"after")]
        with pytest.raises(ValueError, match=f"the next one starts at {after}"):
            log.truncate(inside)
    assert len(log) == 3


def test_in_the_gap_at_the_end_of_a_page(place: Place, where: str) -> None:
    """Where no entry fitted any more."""
    log = place.open()
    page = place.page_bytes
    first = log.append(bytes(page // 2))
    following = log.append(data_of(1, page // 2))
    third = log.append(b"x")
    log.commit()
    log = moved(log, place, where)
    end = first + HEADER_BYTES + page // 2
    assert following == page
    for inside in (end, end + 8, page - 24, page - 8):
        told(log, inside, following)
        assert [address for address, _ in log.scan(inside)] == [following, third]
    with pytest.raises(ValueError, match=f"the next one starts at {following}"):
        log.truncate(end + 8)
    assert log.truncate(end) == 1
    assert log.begin == following


def test_addresses_that_are_not_aligned(place: Place, where: str) -> None:
    log = place.open()
    first = log.append(b"first")
    second = log.append(b"second")
    log.commit()
    log = moved(log, place, where)
    for step in range(1, 8):
        told(log, first + step, second)
        with pytest.raises(ValueError, match=f"starts at address {first + step}"):
            log.truncate(first + step)


def test_the_logs_own_records(disk: Place) -> None:
    """At a commit's record, or a cookie's, no entry starts; truncating to one leaves what is behind it."""
    log = disk.open()
    log.append(b"first")
    cookie = log.tail
    log.commit(b"cookie")
    commit = commits_of_log(log).address
    second = log.append(b"second")
    assert cookie < commit < second
    for pushed in (False, True):
        if pushed:
            push_to_disk(log)
        told(log, cookie, second)
        told(log, commit, second)
    end = log.tail
    last = commits_of_log(log).address
    with pytest.raises(ValueError, match=f"no entry of the log .* starts at address {last}. Use what append"):
        log.read(last)
    assert pairs(log, begin=commit) == [(second, b"second")]
    assert log.truncate(cookie) == 1
    assert log.begin == second
    assert log.truncate(last) == 1
    assert (len(log), log.begin) == (0, end)


def test_addresses_that_are_outside_of_the_log(place: Place) -> None:
    """Negative, in the header's place, past the tail, huge, and before begin."""
    log = place.open()
    with pytest.raises(IndexError, match="which begins at 64 and ends at 64"):
        log.read(FIRST)
    addresses = [log.append(b"%d" % i) for i in range(5)]
    outside = (
        -1,
        -8,
        -(1 << 62),
        -(1 << 64),
        0,
        8,
        FIRST - 1,
        log.tail,
        log.tail + 8,
        1 << 47,
        1 << 62,
        1 << 63,
        1 << 99,
    )
    for address in outside:
        for call in (log.read, log.size, log.__getitem__):
            with pytest.raises(IndexError, match=f"address {address} is not in the log, which begins at 64"):
                call(address)
    log.truncate(addresses[3])
    for address in (addresses[0], addresses[2], addresses[2] + 4, FIRST):
        with pytest.raises(IndexError, match=f"address {address} is not in the log.*what was there was truncated"):
            log.read(address)
    assert log.read(addresses[3]) == b"3"


def test_what_is_not_committed_is_not_there_for_a_reader(disk: Place) -> None:
    """Of a log opened read-only beside the writer."""
    if disk.kind == "device":
        pytest.skip("two logs do not share a device's object")
    log = disk.open()
    committed = log.append(b"committed")
    log.commit()
    late = log.append(b"late")
    reader = disk.open(read_only=True)
    assert (entries(reader), len(reader)) == ([b"committed"], 1)
    assert reader.read(committed) == b"committed"
    with pytest.raises(IndexError, match=f"address {late} is not in the log"):
        reader.read(late)
    assert log.read(late) == b"late"


@pytest.mark.parametrize("wrong", ["64", b"64", 64.0, None, True, [64], slice(64, 80), object()])
def test_addresses_of_other_types(place: Place, wrong: Any) -> None:
    log = place.open()
    log.append(b"a")
    calls = [log.read, log.size, log.__getitem__]
    if wrong is not None:
        calls += [log.scan, log.truncate, log.wait, lambda end: log.scan(None, end)]
    for call in calls:
        with pytest.raises(TypeError, match="an address is an int, as append"):
            call(wrong)
    assert len(log) == 1
