"""Commit records, what a crash leaves, and what is cut off."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oxidbm
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.durability.commit_record import (
    COMMIT_RECORD_BYTES,
    COMMIT_SHAPE,
    CommitRecord,
    LogPart,
    TablePart,
    decode,
    encode,
)
from oxidbm._core.durability.torn_tail import later_durable_commit
from oxidbm._core.log.cursor import CHUNK_BYTES
from oxidbm._core.log.flush import flush_to, seal_to
from oxidbm._core.log.record import INFO_VERSION
from oxidbm.testing import CrashDevice
from tests.inside import abandon, handle_of, log_of
from tests.unit.helpers import PAGE_BYTES, disk_store, push_to_disk, value_filling

WORDS = st.integers(0, 2**48 - 2)
FIELDS = ("sequence", "durable_sequence", "begin", "count", "pending", "records", "live_bytes", "time_ns", "sessions")
SEGMENT = "log/0000000000.seg"


def part_of(record: CommitRecord, field: str) -> CommitRecord | LogPart | TablePart:
    """Return the part of a commit record that has a field."""
    if field == "sessions":
        return record
    return record.table if hasattr(record.table, field) else record.log


@given(words=st.tuples(*[WORDS] * len(FIELDS)))
def test_commit_record_comes_back(words: tuple[int, ...]) -> None:
    first, second, begin, *others = words
    sequence = max(first, second, 1)
    words = (sequence, min(first, second, sequence - 1), begin % 2**48, *others)
    record = CommitRecord()
    for name, word in zip(FIELDS, words, strict=True):
        setattr(part_of(record, name), name, word)
    data = encode(record)
    assert len(data) == 8 * len(FIELDS)
    found = decode(data)
    assert tuple(getattr(part_of(found, name), name) for name in FIELDS) == words


@pytest.mark.parametrize("size", [0, 8, 71, 73, 80])
def test_commit_record_of_another_size(size: int) -> None:
    with pytest.raises(ValueError, match=f"a commit record of {size} bytes, 72 are needed"):
        decode(bytes(size))


def commit_words(**words: int) -> bytearray:
    """Return a commit record's value, all of it in order but for the words given."""
    record = CommitRecord()
    given_words = {"sequence": 1, **words}
    for name, word in given_words.items():
        setattr(part_of(record, name), name, word)
    return bytearray(encode(record))


def test_a_count_may_be_negative_while_records_are_pending() -> None:
    found = decode(bytes(commit_words(count=-3, pending=3, live_bytes=-100)))
    assert (found.table.count, found.table.pending, found.table.live_bytes) == (-3, 3, -100)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"sequence": 0}, "of sequence 0 that knew 0 to be durable"),
        ({"sequence": 5, "durable_sequence": 5}, "of sequence 5 that knew 5 to be durable"),
        ({"durable_sequence": -1}, "of sequence 1 that knew -1 to be durable"),
        ({"begin": 2**48}, f"says the log begins at address {2**48}"),
        ({"begin": -8}, "says the log begins at address -8"),
        ({"records": -1}, "counts -1 records"),
        ({"pending": -1}, "counts 0 keys and -1 pending records"),
        ({"count": -2, "pending": 1}, "counts -2 keys and 1 pending records"),
        ({"count": 2**48}, f"counts {2**48} keys and 0 pending records"),
        ({"sessions": -1}, "counts -1 sessions"),
        ({"sessions": 2**48}, f"counts {2**48} sessions"),
    ],
)
def test_commit_record_that_cannot_be(words: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        decode(bytes(commit_words(**words)))


class CountingDevice(CrashDevice):
    """Counts what is read of it, and has one segment that grows without an end."""

    def __init__(self) -> None:
        super().__init__(PAGE_BYTES, segment_bytes=1 << 40)
        self.taken: list[tuple[int, int]] = []

    def read(self, address: int, size: int) -> bytes:
        data = super().read(address, size)
        self.taken.append((address, len(data)))
        return data


def open_on(device: CountingDevice, path: Path) -> oxidbm.Store:
    """Make a store on a device."""
    return oxidbm.Store(path, memory="1MiB", page_size=PAGE_BYTES, durability="manual", compaction=False, device=device)


def searched(word: bytes, tmp_path: Path) -> tuple[int, list[tuple[int, int]], int]:
    """Fill a log with words; return what the search for a commit finds, its reads, and where the log ends."""
    device = CountingDevice()
    with open_on(device, tmp_path / "store") as store:
        for number in range(100):
            store[b"%d" % number] = word * (PAGE_BYTES * 3 // len(word))
        push_to_disk(store)
        log = log_of(store)
        device.taken.clear()
        found = later_durable_commit(log, FIRST_ADDRESS, 5)
        return found, list(device.taken), int(device.end())


@pytest.mark.parametrize(
    "words",
    [
        (0,),
        (0x0706050403020100,),
        (COMMIT_SHAPE,),
        (INFO_VERSION, COMMIT_SHAPE, 9 << 32),
        (INFO_VERSION, COMMIT_SHAPE, 9 << 32 | 0x12345678),
        (COMMIT_SHAPE - 72 + 0x1FFF8,),
    ],
)
def test_the_search_for_a_commit_reads_a_log_once_whatever_it_holds(words: tuple[int, ...], tmp_path: Path) -> None:
    found, reads, end = searched(struct.pack(f"<{len(words)}q", *words), tmp_path)
    assert found == 0
    assert end > 1_000_000
    assert len(reads) <= end // CHUNK_BYTES + 2
    assert sum(size for _, size in reads) <= end + COMMIT_RECORD_BYTES * len(reads)


def test_a_commit_record_is_found_wherever_a_chunk_ends(tmp_path: Path) -> None:
    """The end of the first chunk falls on each of its words in turn, and on either side of it."""
    device = CountingDevice()
    with open_on(device, tmp_path / "store") as store:
        for number in range(100):
            store[b"%d" % number] = b"v" * PAGE_BYTES * 3
        store.sync()
        store[b"more"] = b"1"
        store.sync()
        push_to_disk(store)
        log = log_of(store)
        address = handle_of(store).commits.address
        for before in range(-16, COMMIT_RECORD_BYTES + 16, 8):
            assert later_durable_commit(log, address + before - CHUNK_BYTES, 0) == address


def test_a_later_commit_is_found_behind_a_segment_that_ends_with_its_page(tmp_path: Path) -> None:
    """The first page of the next segment is not passed over."""
    with disk_store(tmp_path / "store") as store:
        log = log_of(store)
        log.device.roll()
        store[b"key"] = value_filling(b"key", PAGE_BYTES - FIRST_ADDRESS)
        store.sync()
        store[b"more"] = b"1"
        store.sync()
        assert log.device.segment_end(FIRST_ADDRESS) == PAGE_BYTES
        assert len(log.device.read(FIRST_ADDRESS, PAGE_BYTES)) == PAGE_BYTES - FIRST_ADDRESS
        assert later_durable_commit(log, FIRST_ADDRESS, 0) == handle_of(store).commits.address
        assert later_durable_commit(log, FIRST_ADDRESS, 1) == 0


def test_sequence_and_durable_sequence(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        for number in range(1, 4):
            store[b"k%d" % number] = b"v"
            store.sync()
            assert store.stats()["commit_sequence"] == store.stats()["durable_sequence"] == number
            assert store.stats()["durable_tail"] == store.stats()["tail"]
            store.sync()
            assert store.stats()["commit_sequence"] == number, "nothing changed, so nothing is written"
    with disk_store(tmp_path / "store") as store:
        assert store.stats()["commit_sequence"] == 3


def test_crash_brings_back_the_last_commit(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = disk_store(path)
    store.update({b"a": b"1", b"b": b"2"})
    store.sync()
    store[b"a"] = b"lost"
    del store[b"b"]
    store[b"c"] = b"lost"
    abandon(store)
    for _ in range(2):
        with disk_store(path) as store:
            assert dict(store) == {b"a": b"1", b"b": b"2"}
            assert store.check() == []


def test_flushed_but_not_committed_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = disk_store(path)
    store[b"a"] = b"1"
    store.sync()
    tail = handle_of(store).commits.end
    store[b"b"] = b"2" * 3 * PAGE_BYTES
    store[b"a"] = b"3"
    seal_to(log_of(store), log_of(store).tail)
    flush_to(log_of(store), log_of(store).tail)
    abandon(store)
    assert (path / SEGMENT).stat().st_size > tail
    with disk_store(path, read_only=True) as store:
        assert dict(store) == {b"a": b"1"}
    assert (path / SEGMENT).stat().st_size > tail
    with disk_store(path) as store:
        assert (path / SEGMENT).stat().st_size == tail
        assert dict(store) == {b"a": b"1"}
        store[b"b"] = b"anew"
    with disk_store(path) as store:
        assert dict(store) == {b"a": b"1", b"b": b"anew"}


def test_every_length_of_a_torn_tail_gives_a_commit(tmp_path: Path) -> None:
    """Without the clean mark a file cut anywhere gives the last commit that is whole."""
    path = tmp_path / "store"
    store = disk_store(path)
    ends = [64]
    for number in range(4):
        store[b"%d" % number] = b"v" * 9 * number
        store.sync()
        ends.append(handle_of(store).commits.end)
    abandon(store)
    surplus = (path / SEGMENT).read_bytes()[ends[-1] :]
    assert surplus.count(0) == len(surplus) > 0
    whole = (path / SEGMENT).read_bytes()[: ends[-1]]
    for size in range(64, len(whole) + 1):
        for behind in (b"", surplus):
            (path / SEGMENT).write_bytes(whole[:size] + behind)
            commits = sum(end <= size or (behind != b"" and not any(whole[size:end])) for end in ends) - 1
            with disk_store(path, read_only=True) as store:
                assert dict(store) == {b"%d" % number: b"v" * 9 * number for number in range(commits)}


def test_fault_before_a_commit_that_was_known_durable_is_corruption(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = disk_store(path)
    for number in range(3):
        store[b"%d" % number] = b"value"
        store.sync()
    abandon(store)
    with (path / SEGMENT).open("r+b") as file:
        os.pwrite(file.fileno(), b"X", 64 + 24 + 8)
    with pytest.raises(oxidbm.CorruptionError, match=r"0000000000\.seg at offset 64.*not a torn tail"):
        disk_store(path)


def test_more_than_the_memory_budget_in_one_commit(tmp_path: Path) -> None:
    with disk_store(tmp_path / "store") as store:
        value = bytes(range(256)) * 12
        for number in range(500):
            store[b"%d" % number] = value
        assert store.stats()["head"] > 64
        assert store.stats()["memory_bytes"] <= 1 << 20
        assert all(store[b"%d" % number] == value for number in range(500))
    with disk_store(tmp_path / "store") as store:
        assert len(store) == 500


def test_more_sessions_in_a_commit_than_a_page_holds(tmp_path: Path) -> None:
    path = tmp_path / "store"
    names = [f"{number}" + "n" * 500 for number in range(20)]
    store = disk_store(path)
    for name in names:
        with store.session(name) as session:
            session.upsert(name, b"v")
    push_to_disk(store)
    abandon(store)
    with disk_store(path) as store:
        assert len(store) == 20
        assert [store.session(name).serial for name in names] == [1] * 20
        store[b"more"] = b"v"
    with disk_store(path) as store:
        assert len(store) == 21
        assert store.check() == []
