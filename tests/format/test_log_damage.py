"""Logs that were damaged: the right entries or an error that says where, and what is sound can still be read."""

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, CommitRecord, decode, sealed_record
from oxidbm._core.log.record import HEADER_BYTES
from tests.format import logs
from tests.format.logs import Entries, flip, held, open_log, outcome, scanned
from tests.format.stores import PAGE_BYTES, STORE_ID, edit, make_tiny, padded, resum
from tests.support import PURE, one_in

SEGMENT = "log/0000000000.seg"
KEY = int.from_bytes(STORE_ID[:4], "little")


def segments(path: Path) -> list[Path]:
    """Return a log's files, in order."""
    return sorted((path / "log").iterdir())


@pytest.mark.parametrize("name", ["STORE", "CLEAN"])
def test_every_bit_of_the_small_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "log"
    entries = logs.make_tiny(path)
    for bit in range(0, 8 * (path / name).stat().st_size, one_in(5, 31)):
        flip(path / name, bit)
        assert str(path / name) in outcome(path, entries, read_only=True)
        flip(path / name, bit)
    assert outcome(path, entries) == ""


def damaged(entries: Entries, offset: int) -> Entries:
    """Return the entries but the one whose record holds an offset of the first segment."""
    return {at: data for at, data in entries.items() if not at <= offset < at + record_bytes(data)}


def record_bytes(data: bytes) -> int:
    """Return the size of an entry's record."""
    return HEADER_BYTES + padded(len(data))


def test_every_bit_of_a_segment(tmp_path: Path) -> None:
    """Opening reads the last commit and its cookie alone; the damage of an entry is found when it is read."""
    path = tmp_path / "log"
    entries = logs.make_tiny(path)
    size = (path / SEGMENT).stat().st_size
    cookie = list(entries)[2] + record_bytes(b"gamma" * 5)
    opening = [range(cookie, cookie + HEADER_BYTES + 8), range(size - COMMIT_RECORD_BYTES, size)]
    for bit in range(0, 8 * size, 5 if PURE else 1):
        flip(path / SEGMENT, bit)
        offset = bit >> 3
        said = outcome(path, entries, read_only=True)
        assert (said == "") == (offset < 64)
        refused = any(offset in part for part in opening)
        assert (f"{path / SEGMENT} at offset" in said) == refused
        if not refused:
            with open_log(path, read_only=True) as log:
                assert dict(log.scan(on_error="skip")) == damaged(entries, offset)
        flip(path / SEGMENT, bit)
    assert outcome(path, entries) == ""


def of_one_commit(path: Path, size: int) -> int:
    """Make a log of one commit, as a crash leaves it, whose second entry is damaged; return where that stands."""
    with oxidbm.Log(path) as log:
        addresses = [log.append(bytes([number]) * size) for number in range(1, 5)]
    (path / "CLEAN").unlink()
    flip(path / SEGMENT, 8 * (addresses[1] + HEADER_BYTES))
    return addresses[1]


@pytest.mark.parametrize("read_only", [True, False])
def test_a_log_of_one_commit_is_damaged_before_it(read_only: bool, tmp_path: Path) -> None:
    """Nothing says that the commit was durable, but a sector of the disk is written whole or not at all."""
    path = tmp_path / "log"
    at = of_one_commit(path, 40)
    before = (path / SEGMENT).read_bytes()
    with pytest.raises(oxidbm.CorruptionError, match=rf"at offset {at}: .*That is not a torn tail"):
        oxidbm.Log(path, read_only=read_only)
    assert (path / SEGMENT).read_bytes() == before


def test_a_log_of_one_commit_that_may_be_torn_says_what_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "log"
    of_one_commit(path, 5000)
    before = (path / SEGMENT).read_bytes()
    with pytest.raises(oxidbm.RecoveryWarning, match="the log has commit 1, and not all of the 4 entries before it"):
        oxidbm.Log(path)
    assert (path / SEGMENT).read_bytes() == before  # where the warning is an error, nothing is cut off
    with pytest.warns(oxidbm.RecoveryWarning, match="are cut off"), oxidbm.Log(path) as log:
        assert len(log) == 0


@pytest.mark.slow
@pytest.mark.parametrize("make", [logs.make_segments, logs.make_killed], ids=["segments", "killed"])
def test_bits_of_a_log_of_several_segments(make: Callable[[Path], Entries], tmp_path: Path) -> None:
    path = tmp_path / "log"
    entries = make(path)
    begin = min(held(path))
    for number, file in enumerate(segments(path)):
        size = min(file.stat().st_size, 40_000)  # the last one has a surplus of zeros
        for bit in range(number, 8 * size, 8 * one_in(401, 2401) + 1):
            flip(file, bit)
            said = outcome(path, entries, read_only=True)
            flip(file, bit)
            if said == "":
                truncated = number == 0 and bit >> 3 < begin
                torn = make is logs.make_killed and file == segments(path)[-1]  # as an end that was never durable
                gap = file.read_bytes()[bit >> 3] == 0
                assert truncated or torn or gap, f"byte {bit >> 3} of {file.name}"
    assert outcome(path, entries, read_only=True) == ""


@pytest.mark.parametrize("make", [logs.make_segments, logs.make_killed], ids=["segments", "killed"])
def test_files_that_are_cut_lengthened_missing_or_swapped(make: Callable[[Path], Entries], tmp_path: Path) -> None:
    base = tmp_path / "base"
    entries = make(base)
    count = len(segments(base))

    def changed(change: Callable[[list[Path]], object], **more: Any) -> str:
        path = tmp_path / "log"
        shutil.copytree(base, path)
        change(segments(path))
        said = outcome(path, entries, **more)
        shutil.rmtree(path)
        return said

    assert count >= 5
    for read_only in (True, False):
        for i in range(count - 1):
            size = segments(base)[i].stat().st_size
            for cut in (0, 1, 100, size // 2, size - 8):
                assert changed(lambda files: os.truncate(files[i], cut), read_only=read_only) != ""  # noqa: B023
            assert changed(lambda files: files[i].unlink(), read_only=read_only) != ""  # noqa: B023
            said = changed(lambda files: swap(files[i], files[i + 1]), read_only=read_only)  # noqa: B023
            assert said != "" or (make is logs.make_killed and i == count - 2)  # which looks like a torn end
            changed(lambda files: os.truncate(files[i], 1 << 40), read_only=read_only)  # noqa: B023
        for size in (0, 1, 70, 200):
            changed(lambda files: os.truncate(files[-1], size), read_only=read_only)  # noqa: B023
        assert changed(lambda files: os.truncate(files[-1], 1 << 20), read_only=read_only) == ""
        assert changed(lambda files: os.truncate(files[-1], 1 << 40), read_only=read_only) == ""
        said = changed(lambda files: files[-1].rename(files[-1].with_name("9999999999.seg")), read_only=read_only)
        assert said != "" or make is logs.make_killed


def swap(one: Path, other: Path) -> None:
    """Swap the bytes of two files."""
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def test_a_missing_segment_in_the_middle(tmp_path: Path) -> None:
    """It is no gap: each way to read says that entries are missing, and none ends without a word."""
    path = tmp_path / "log"
    logs.make_segments(path)
    entries = held(path)
    gone = segments(path)[2]
    start = int(gone.stem) * PAGE_BYTES
    stop = int(segments(path)[3].stem) * PAGE_BYTES
    gone.unlink()
    left = {address: data for address, data in entries.items() if not start <= address < stop}
    inside = sorted(set(entries) - set(left))
    with open_log(path, read_only=True) as log:
        for call in (
            lambda: list(log),
            lambda: list(log.scan(inside[5])),
            lambda: list(log.scan(inside[5], inside[9])),
            lambda: list(log.scan(end=stop)),
            lambda: log.read(inside[0]),
        ):
            with pytest.raises(oxidbm.CorruptionError, match="offset"):
                call()
        assert dict(log.scan(on_error="skip")) == left
        assert dict(log.scan(stop)) == {address: data for address, data in left.items() if address >= stop}


def test_entries_that_became_zeros(tmp_path: Path) -> None:
    """A page that ends early looks like one with a gap; the number of the next entry tells."""
    path = tmp_path / "log"
    logs.make_segments(path)
    entries = held(path)
    file = segments(path)[1]
    start = int(file.stem) * PAGE_BYTES
    cut = next(address for address in entries if address > start + 500)
    edit(file, lambda data: data.__setitem__(slice(cut - start, PAGE_BYTES), bytes(PAGE_BYTES - (cut - start))))
    left = {address: data for address, data in entries.items() if not cut <= address < start + PAGE_BYTES}
    with open_log(path, read_only=True) as log:
        with pytest.raises(oxidbm.CorruptionError, match="more entries, from entry"):
            list(log)
        assert dict(log.scan(on_error="skip")) == left
        for address in set(entries) - set(left):
            with pytest.raises(oxidbm.CorruptionError, match="offset"):
                log.read(address)


def test_a_scan_may_start_inside_of_a_long_entry(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.make_segments(path)
    entries = held(path)
    run = next(address for address, data in entries.items() if len(data) == 9000)
    for read_only in (True, False):
        with open_log(path, read_only=read_only) as log:
            for inside in (run + 8, run + PAGE_BYTES, run + 2 * PAGE_BYTES + 1):
                assert dict(log.scan(inside)) == {at: data for at, data in entries.items() if at > run}
                with pytest.raises(ValueError, match="the next one starts at"):
                    log.read(inside)


def test_files_of_something_else(tmp_path: Path) -> None:
    path, other, store = tmp_path / "log", tmp_path / "other", tmp_path / "store"
    entries = logs.make_segments(path)
    logs.make_directory(other, bytes(16))
    with open_log(other) as log:
        log.append_many([b"other"] * 2000)
    make_tiny(store)
    with pytest.raises(oxidbm.FormatError, match=r"is a store, not a log; open it with oxidbm\.Store"):
        oxidbm.Log(store)
    with pytest.raises(oxidbm.FormatError, match=r"is a log, not a store; open it with oxidbm\.Log"):
        oxidbm.Store(path)
    for name in ("STORE", "CLEAN", SEGMENT):
        for source in (other, store):
            changed = tmp_path / "changed"
            shutil.copytree(path, changed)
            shutil.copyfile(source / name, changed / name)
            assert outcome(changed, entries) != ""
            shutil.rmtree(changed)
    (path / "STORE").unlink()
    assert outcome(path, entries) != ""


IMPOSSIBLE: list[Callable[[CommitRecord], object]] = [
    lambda record: setattr(record.log, "begin", 72),
    lambda record: setattr(record.log, "begin", 1 << 47),
    lambda record: setattr(record.log, "sequence", (1 << 48) - 2),
    lambda record: setattr(record.log, "sequence", 0),
    lambda record: setattr(record.log, "durable_sequence", 1),
    lambda record: setattr(record.log, "durable_sequence", 77),
    lambda record: setattr(record.log, "records", 12345),
    lambda record: setattr(record.table, "count", 12345),
    lambda record: setattr(record.table, "count", -1),
    lambda record: setattr(record.table, "pending", 72),
    lambda record: setattr(record.table, "pending", (1 << 48) - 8),
    lambda record: setattr(record.table, "pending", 64),
    lambda record: setattr(record.table, "live_bytes", 3),
    lambda record: setattr(record.table, "live_bytes", 6),
    lambda record: setattr(record.table, "live_bytes", -1),
]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("change", IMPOSSIBLE)
def test_a_commit_record_with_impossible_numbers(
    change: Callable[[CommitRecord], object], clean: bool, tmp_path: Path
) -> None:
    """Its checksum is right. The log is refused, or stands at the commit before it, or says what does not fit."""
    path = tmp_path / "log"
    entries = logs.make_tiny(path)
    at = (path / SEGMENT).stat().st_size - COMMIT_RECORD_BYTES
    record = decode((path / SEGMENT).read_bytes()[at + HEADER_BYTES :])
    (info,) = struct.unpack_from("<Q", (path / SEGMENT).read_bytes(), at)
    change(record)
    sealed = sealed_record(record, at, info & ((1 << 48) - 1), KEY)
    edit(path / SEGMENT, lambda data: data.__setitem__(slice(at, None), sealed))
    if not clean:
        (path / "CLEAN").unlink()
    for read_only in (True, False):
        try:
            log = open_log(path, read_only=read_only)
        except oxidbm.CorruptionError as failure:
            assert "offset" in str(failure)  # noqa: PT017
            continue
        with log:
            found = scanned(log, on_error="skip")
            assert dict(found).items() <= entries.items()
            if found == scanned(log):
                assert len(found) == 3 or len(found) == len(log)


@pytest.mark.parametrize("numbers", [(64, 0, 0), (0, 0, 0), (1 << 47, 2, 5), (72, 2, 5), (400, 1, 5), (400, 2, 77)])
def test_a_mark_with_impossible_numbers(numbers: tuple[int, int, int], tmp_path: Path) -> None:
    """Nothing is cut off because of it."""
    path = tmp_path / "log"
    entries = logs.make_tiny(path)
    whole = (path / SEGMENT).read_bytes()
    mark = bytearray((path / "CLEAN").read_bytes())
    kept = bytes(mark)
    end, sequence, count = numbers
    struct.pack_into("<QQQ", mark, 24, len(whole) if end == 400 else end, sequence, count)
    resum(mark)
    (path / "CLEAN").write_bytes(mark)
    assert "the log was closed cleanly with commit" in outcome(path, entries)
    assert (path / SEGMENT).read_bytes() == whole
    (path / "CLEAN").write_bytes(kept)
    assert outcome(path, entries) == ""
