"""Hybrid log: allocation at page boundaries, runs, sealing, flushing and eviction keep the order of the addresses."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.budget import Budget
from oxidbm._core.device.device import Device, NullDevice
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.recovery import load_page
from oxidbm._core.life import Life
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import CAPACITY_SHIFT, CHECKSUM_MASK, INFO_VERSION, KEY_LENGTH_SHIFT
from oxidbm._core.log.room import room_for
from tests.unit.helpers import PAGE_BITS, PAGE_BYTES


def make(device: Device | None = None, *, memory: int = 16 * PAGE_BYTES) -> HybridLog:
    """Return an empty log with small pages; in memory only, where there is no device."""
    return HybridLog(device or NullDevice(FIRST_ADDRESS), Life(""), Budget(memory), PAGE_BITS, device is None)


def put(log: HybridLog, size: int) -> int:
    """Allocate a record of `size` bytes with an 8-byte key, and write its header."""
    address: int = log.allocate(size)
    if address < 0 and log.prepare(room_for(-address, PAGE_BYTES)):
        address = log.allocate(size)
    if address > 0:
        frame = log.frames.words[log.slot_of(address)]
        o = log.word_of(address)
        frame[o] = INFO_VERSION
        frame[o + 1] = 8 << KEY_LENGTH_SHIFT | size - 32
        frame[o + 2] = (size - 32) // 8 << CAPACITY_SHIFT
        frame[o + 3] = address
    log.check_order()
    return address


def flush(log: HybridLog) -> None:
    """Seal and flush all."""
    while not log.seal_step(log.tail, 1 << 20):
        pass
    while log.flush_step(1 << 20):
        pass
    log.check_order()


def test_first_address() -> None:
    log = make()
    assert log.tail == FIRST_ADDRESS
    assert put(log, 40) == FIRST_ADDRESS
    assert put(log, 64) == FIRST_ADDRESS + 40
    assert log.tail == FIRST_ADDRESS + 104


def test_page_exactly_full() -> None:
    log = make()
    assert put(log, PAGE_BYTES - FIRST_ADDRESS) == FIRST_ADDRESS
    assert log.tail == PAGE_BYTES
    assert put(log, PAGE_BYTES) == PAGE_BYTES
    assert put(log, 32) == 2 * PAGE_BYTES
    assert log.records_end(FIRST_ADDRESS) == PAGE_BYTES
    assert log.records_end(PAGE_BYTES) == 2 * PAGE_BYTES
    assert log.records_end(2 * PAGE_BYTES) == 0


@pytest.mark.parametrize("left", [8, 16, 24, 32])
def test_record_that_does_not_fit_goes_to_the_next_page(left: int) -> None:
    log = make()
    put(log, PAGE_BYTES - FIRST_ADDRESS - left)
    assert put(log, left + 8 if left >= 24 else 32) == PAGE_BYTES
    assert log.records_end(FIRST_ADDRESS) == PAGE_BYTES - left
    if left == 32:
        assert put(log, PAGE_BYTES - 48) == PAGE_BYTES + 40


def test_first_record_of_a_whole_page_leaves_the_first_page_empty() -> None:
    for size in (PAGE_BYTES - FIRST_ADDRESS + 8, PAGE_BYTES, 3 * PAGE_BYTES + 8):
        log = make()
        assert put(log, size) == PAGE_BYTES
        assert log.begin == log.head == PAGE_BYTES


def test_run_of_pages() -> None:
    log = make()
    put(log, 40)
    address = put(log, 2 * PAGE_BYTES + 8)
    assert address == PAGE_BYTES
    assert log.tail == 4 * PAGE_BYTES
    assert log.records_end(address) == address + 2 * PAGE_BYTES + 8
    assert put(log, 40) == 4 * PAGE_BYTES
    assert log.budget.frame_bytes() == 2 * PAGE_BYTES + 2 * PAGE_BYTES + 8


def test_memory_only_log_runs_full_and_stays_sound() -> None:
    log = make()
    made = []
    while (address := put(log, 1024)) > 0:
        made.append(address)
    assert log.frames.in_use() <= log.frames_allowed()
    tail = log.tail
    assert put(log, 1024) == -1024
    assert put(log, 5 * PAGE_BYTES) == -5 * PAGE_BYTES
    assert log.tail == tail
    assert not log.prepare(room_for(1024, PAGE_BYTES))
    assert not log.prepare(room_for(5 * PAGE_BYTES, PAGE_BYTES))
    assert [log.frames.words[log.slot_of(a)][log.word_of(a) + 3] for a in made] == made
    assert not log.flush_step(1 << 20), "nothing is sealed, so nothing is written"


def test_seal_moves_read_only_and_writes_checksums(tmp_path: Path) -> None:
    log = make(FileDevice(Directory(str(tmp_path)), PAGE_BITS))
    addresses = [put(log, 48) for _ in range(100)]
    assert log.read_only == log.sealed == FIRST_ADDRESS
    assert not log.seal_step(log.tail, 10)
    assert FIRST_ADDRESS < log.sealed < log.tail
    assert log.read_only == log.sealed
    middle = log.sealed
    for address in addresses:
        seal = log.frames.words[log.slot_of(address)][log.word_of(address) + 2]
        assert (seal & CHECKSUM_MASK != 0) == (address < middle)
        assert seal >> CAPACITY_SHIFT == 2
    flush(log)
    assert log.flushed == log.sealed == log.read_only == log.tail
    assert log.device.end() == log.tail
    log.device.close()


def test_flush_writes_pages_and_gaps_as_they_are_in_memory(tmp_path: Path) -> None:
    log = make(FileDevice(Directory(str(tmp_path)), PAGE_BITS))
    for size in (40, 2000, 2400, 5000, 64):
        put(log, size)
    flush(log)
    assert log.device.read(0, FIRST_ADDRESS) == bytes(FIRST_ADDRESS)
    for page, stop in [(0, 64 + 2040), (1, 2400), (2, 5000), (4, 64)]:
        base = page * PAGE_BYTES
        offset = FIRST_ADDRESS if page == 0 else 0
        held = bytes(log.frames.export(page, offset, stop))
        assert log.device.read(base + offset, stop - offset) == held
    assert log.device.read(64 + 2040, PAGE_BYTES - 2104) == bytes(PAGE_BYTES - 2104)
    log.device.close()


def test_eviction_takes_whole_flushed_pages_in_order(tmp_path: Path) -> None:
    log = make(FileDevice(Directory(str(tmp_path)), PAGE_BITS))
    for _ in range(10):
        put(log, 2000)
    assert not log.evict_page(), "nothing is flushed"
    flush(log)
    heads = []
    while log.evict_page():
        heads.append(log.head)
        log.check_order()
    assert heads == [PAGE_BYTES, 2 * PAGE_BYTES, 3 * PAGE_BYTES, 4 * PAGE_BYTES]
    assert log.tail_open, "the tail's page stays"
    log.close_tail_page()
    assert log.evict_page()
    assert log.head == log.tail == 5 * PAGE_BYTES
    assert not log.evict_page()
    log.device.close()


def test_more_than_the_budget_with_flushes(tmp_path: Path) -> None:
    log = make(FileDevice(Directory(str(tmp_path)), PAGE_BITS))
    failures = 0
    for _ in range(200):
        while put(log, 1504) < 0:
            failures += 1
            flush(log)
            assert log.prepare(room_for(1504, PAGE_BYTES))
        assert log.frames.in_use() <= log.frames_allowed() <= 16
    assert failures > 0
    assert log.head > FIRST_ADDRESS
    log.device.close()


def test_start_at_and_load_page(tmp_path: Path) -> None:
    log = make(FileDevice(Directory(str(tmp_path)), PAGE_BITS))
    for size in (400, 4000, 9000, 48):
        put(log, size)
    tail = log.tail
    flush(log)
    again = make(log.device)
    load_page(again, 5, log.device.read(5 * PAGE_BYTES, PAGE_BYTES), 0)
    again.start_at(FIRST_ADDRESS, 5 * PAGE_BYTES, tail)
    assert again.tail_open
    assert again.tail == tail == 5 * PAGE_BYTES + 48
    assert put(again, 40) == tail
    again.device.close()


def test_order_is_asserted() -> None:
    log = make()
    put(log, 40)
    log.head = log.tail + 8
    with pytest.raises(AssertionError):
        log.check_order()


SIZES = st.one_of(
    st.integers(4, 40).map(lambda words: words * 8),
    st.integers(PAGE_BYTES // 8 - 3, PAGE_BYTES // 8 + 3).map(lambda words: words * 8),
    st.integers(PAGE_BYTES // 4, PAGE_BYTES // 2).map(lambda words: words * 8),
)


@given(sizes=st.lists(SIZES, max_size=40))
def test_records_lie_behind_one_another_and_in_one_page(sizes: list[int]) -> None:
    log = make(memory=1 << 20)
    following = 0
    made = []
    for size in sizes:
        address = put(log, size)
        assert address >= max(following, FIRST_ADDRESS)
        assert address % 8 == 0
        if size <= PAGE_BYTES:
            assert address // PAGE_BYTES == (address + size - 1) // PAGE_BYTES
        else:
            assert address % PAGE_BYTES == 0
            assert log.tail == -(-(address + size) // PAGE_BYTES) * PAGE_BYTES
        following = address + size
        assert following <= log.tail
        made.append(address)
    for address, size in zip(made, sizes, strict=True):
        frame = log.frames.words[log.slot_of(address)]
        o = log.word_of(address)
        assert (frame[o + 1] & 0xFFFFFFFF, frame[o + 3]) == (size - 32, address)
        assert (log.records_end(address) or log.tail) >= address + size
