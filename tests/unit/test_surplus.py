"""The surplus: a file of the log is longer than its data, which is never taken for data, for damage, or for an end."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Store
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.segment import SURPLUS_BYTES
from oxidbm._core.device.segments import COMMIT_BYTES, FileDevice, segment_name
from oxidbm._core.device.system import nonzero_end
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES
from tests.inside import abandon, handle_of, log_of

PAGE_BITS = 12
PAGE = 1 << PAGE_BITS
FIRST = segment_name(0)


def device_at(path: Path) -> FileDevice:
    return FileDevice(Directory(str(path)), PAGE_BITS)


def length(path: Path, page: int = 0) -> int:
    """Return how long a segment's file is."""
    return (path / segment_name(page)).stat().st_size


def store_at(path: Path, **more: Any) -> Store:
    given: dict[str, Any] = {"memory": "1MiB", "page_size": PAGE, "durability": "manual", "compaction": False}
    return Store(path, **{**given, **more})


def test_a_commit_record_takes_what_the_device_keeps() -> None:
    assert COMMIT_BYTES == COMMIT_RECORD_BYTES


def test_a_file_that_is_synced_again_and_again_is_longer_than_its_data(tmp_path: Path) -> None:
    device = device_at(tmp_path)
    device.write(64, memoryview(b"x" * 100))
    assert length(tmp_path) == 164  # written once and closed, it costs no call
    device.sync()
    device.write(164, memoryview(b"y" * 100))
    assert length(tmp_path) == SURPLUS_BYTES
    assert (device.end(), device.size(), device.segment_end(64)) == (264, 264, 264)
    assert device.read(164, 1000) == b"y" * 100
    device.finish()
    device.finish()
    assert length(tmp_path) == 264
    device.write(264, memoryview(b"z" * 8))  # it may go on
    assert length(tmp_path) == SURPLUS_BYTES
    device.close()


def test_where_the_surplus_is_used_up_there_is_another_one(tmp_path: Path) -> None:
    device = device_at(tmp_path)
    device.write(0, memoryview(bytes([1]) * PAGE))
    device.sync()
    for page in range(1, 2 + SURPLUS_BYTES // PAGE):
        device.write(page * PAGE, memoryview(bytes([1]) * PAGE))
        assert device.end() <= length(tmp_path) <= device.end() + SURPLUS_BYTES
        assert length(tmp_path) % SURPLUS_BYTES == 0
    assert length(tmp_path) == 2 * SURPLUS_BYTES
    device.close()


def test_only_the_last_file_has_one(tmp_path: Path) -> None:
    device = device_at(tmp_path)
    device.write(0, memoryview(b"x" * 104))
    device.sync()
    device.write(104, memoryview(b"x" * 8))
    assert length(tmp_path) == SURPLUS_BYTES
    device.roll()
    device.write(PAGE, memoryview(b"y" * 104))
    assert length(tmp_path) == 112
    assert device.read(0, PAGE) == b"x" * 112
    device.close()


def test_a_surplus_that_a_crash_left_is_no_data(tmp_path: Path) -> None:
    device = device_at(tmp_path)
    device.write(0, memoryview(b"x" * 104))
    device.roll()
    device.write(PAGE, memoryview(b"y" * 104))
    device.close()
    for page in (0, 1):
        os.truncate(tmp_path / segment_name(page), SURPLUS_BYTES)
    device = device_at(tmp_path)
    assert device.end() == PAGE + 104 + COMMIT_BYTES
    assert device.read(0, 2 * PAGE) == b"x" * 104 + bytes(PAGE - 104)
    assert device.read(PAGE, 2 * PAGE) == b"y" * 104 + bytes(COMMIT_BYTES)
    device.truncate_after(PAGE + 104)
    assert length(tmp_path, 1) == 104
    device.close()


@pytest.mark.parametrize("why", [errno.EFBIG, errno.ENOSPC, errno.EPERM])
def test_where_a_file_cannot_be_made_longer_it_grows_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    asked = []
    cut = os.ftruncate

    def refuse(descriptor: int, size: int) -> None:
        if size <= os.fstat(descriptor).st_size or size < SURPLUS_BYTES:
            cut(descriptor, size)
            return
        asked.append(size)
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(os, "ftruncate", refuse)
    with store_at(tmp_path / "store") as store:
        for number in range(5):
            store[b"%d" % number] = b"v"
            store.sync()
            assert length(tmp_path / "store" / "log") == handle_of(store).commits.end
    assert asked == [SURPLUS_BYTES]
    with store_at(tmp_path / "store") as store:
        assert len(store) == 5


def test_what_a_signal_handler_raises_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = device_at(tmp_path)
    device.write(0, memoryview(b"x" * 104))
    device.sync()

    def interrupt(descriptor: int, size: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            device.write(104, memoryview(b"y" * 8))
    device.write(104, memoryview(b"y" * 8))
    assert device.read(0, 1000) == b"x" * 104 + b"y" * 8
    device.close()


def test_a_closed_store_has_none(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with store_at(path) as store:
        for number in range(3):
            store[b"%d" % number] = b"v"
            store.sync()
        end = handle_of(store).commits.end
        assert store.stats()["file_bytes"] == end
        assert length(path / "log") == SURPLUS_BYTES
    assert length(path / "log") == end


def test_a_mark_beside_a_file_that_was_not_cut_yet(tmp_path: Path) -> None:
    """A power failure may leave the mark of a clean end, and the file as long as it was before."""
    path = tmp_path / "store"
    with store_at(path) as store:
        store[b"a"] = b"v"
    for size in (4096, SURPLUS_BYTES, 3 * SURPLUS_BYTES):
        os.truncate(path / "log" / FIRST, size)
        assert oxidbm.check(path) == []
        with store_at(path, read_only=True) as store:
            assert dict(store) == {b"a": b"v"}
        with store_at(path) as store:
            assert dict(store) == {b"a": b"v"}


def test_after_a_crash_nothing_is_damaged_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = store_at(path)
    for number in range(100):
        store[b"%d" % number] = bytes(300)  # zeros, as the surplus
        store.sync()
    wanted = dict(store)
    abandon(store)
    assert length(path / "log") == SURPLUS_BYTES
    assert oxidbm.check(path) == []
    report = oxidbm.salvage(path, tmp_path / "saved", memory="1MiB")
    assert (report.lost, report.faults, report.keys) == ([], [], 100)
    with store_at(path, read_only=True) as reader:
        assert dict(reader) == wanted
        assert length(path / "log") == SURPLUS_BYTES  # who only reads leaves it
    with store_at(path) as again:
        assert dict(again) == wanted
        assert again.check() == []
        assert length(path / "log") == handle_of(again).commits.end
        again[b"more"] = b"v"
        again.sync()


def test_a_copy_without_holes_is_the_same(tmp_path: Path) -> None:
    """Its surplus is zeros on the disk; they are read, once."""
    path = tmp_path / "store"
    store = store_at(path)
    for number in range(20):
        store[b"%d" % number] = b"v" * 100
        store.sync()
    abandon(store)
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    data = (copy / "log" / FIRST).read_bytes()
    (copy / "log" / FIRST).write_bytes(data)
    assert oxidbm.check(copy) == []
    with store_at(copy) as again:
        assert len(again) == 20


def test_a_reader_beside_a_writer_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with store_at(path) as store:
        for number in range(50):
            store[b"%d" % number] = b"v" * 50
            store.sync()
            with store_at(path, read_only=True) as reader:
                assert len(reader) == number + 1
                assert log_of(reader).device.end() == handle_of(store).commits.end


def test_damage_in_front_of_the_surplus_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = store_at(path)
    for number in range(20):
        store[b"%d" % number] = b"v" * 1000
        store.sync()
    end = int(handle_of(store).commits.end)
    abandon(store)
    with (path / "log" / FIRST).open("r+b") as file:
        file.seek(PAGE)
        file.write(bytes(PAGE))
    assert end > 3 * PAGE
    with pytest.raises(oxidbm.CorruptionError, match="not a torn tail"):
        store_at(path)
    assert any("4096 bytes are lost" in fault for fault in oxidbm.check(path))


def test_zeros_where_the_mark_says_that_there_was_a_log_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with store_at(path) as store:
        for number in range(20):
            store[b"%d" % number] = b"v" * 1000
            store.sync()
    size = length(path / "log")
    with (path / "log" / FIRST).open("r+b") as file:
        file.seek(2 * PAGE)
        file.write(bytes(size - 2 * PAGE))
    with pytest.raises(oxidbm.CorruptionError, match="closed cleanly"):
        store_at(path)
    assert any("pages without a record" in fault for fault in oxidbm.check(path))


@pytest.mark.parametrize(
    "data", [b"", b"x", bytes(5), b"x" + bytes(100), bytes(200_000), b"x" * 70_000 + bytes(150_000)]
)
@pytest.mark.parametrize("most", [10, 100_000, 1 << 20])
def test_where_a_file_ends_in_zeros(tmp_path: Path, data: bytes, most: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        found = nonzero_end(file.fileno(), len(data), COMMIT_BYTES, most)
    assert found == max(len(data.rstrip(b"\0")), len(data) - most)
