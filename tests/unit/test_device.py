"""Devices: segments rotate at page boundaries, are cut at either end, and say where an address stands."""

import mmap
import os
from pathlib import Path

import pytest

from oxidbm._core.device import segments, system
from oxidbm._core.device.device import Device, NullDevice
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.segments import FileDevice, segment_name
from oxidbm._core.errors import CorruptionError
from oxidbm.testing import CrashDevice, FaultyDevice

PAGE_BITS = 12
PAGE = 1 << PAGE_BITS


def page_of(number: int) -> memoryview:
    """Return a page's bytes, all alike."""
    return memoryview(bytes([number + 1]) * PAGE)


@pytest.fixture(params=[True, False], ids=["mapped", "pread"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> FileDevice:
    """An empty device on files."""
    return FileDevice(Directory(str(tmp_path)), PAGE_BITS, mapped=request.param)


def fill(files: FileDevice, pages: int, *, start: int = 0, each_a_segment: bool = False) -> None:
    """Write pages, up to so many."""
    for number in range(start, pages):
        if each_a_segment:
            files.roll()
        files.write(number * PAGE, page_of(number))


def names(files: FileDevice) -> list[str]:
    """Return the segment files in the directory."""
    return sorted(path.name for path in Path(files.directory.path).iterdir())


def test_null_device_keeps_nothing() -> None:
    null = NullDevice(64)
    null.write(64, memoryview(b"12345678"))
    null.sync()
    assert (null.begin(), null.end(), null.size()) == (64, 64, 0)
    with pytest.raises(CorruptionError, match="address 64 was read from a store that lives in memory only"):
        null.read(64, 8)
    null.truncate_before(4096)
    assert null.begin() == 4096
    assert null.segment_end(5000) == 5000
    assert "5000 in memory" in null.place(5000)
    null.truncate_after(0)
    null.roll()
    null.close()


def test_empty(files: FileDevice) -> None:
    assert (files.begin(), files.end(), files.size()) == (0, 0, 0)
    assert files.read(0, 100) == b""
    assert "before its first segment" in files.place(64)
    files.sync()
    files.truncate_before(PAGE)
    files.truncate_after(0)
    files.close()
    assert names(files) == []


def test_first_write_inside_a_page_begins_a_segment_at_the_page(files: FileDevice) -> None:
    files.write(PAGE + 64, memoryview(b"abcdefgh"))
    assert names(files) == [segment_name(1)]
    assert (files.begin(), files.end()) == (PAGE, PAGE + 72)
    assert files.read(PAGE, 100) == bytes(64) + b"abcdefgh"
    assert files.place(PAGE + 64).endswith(f"{segment_name(1)} at offset 64")
    files.close()


def test_write_and_read_back(files: FileDevice) -> None:
    fill(files, 3)
    assert names(files) == [segment_name(0)]
    assert files.read(0, 3 * PAGE) == b"".join(bytes(page_of(number)) for number in range(3))
    assert files.read(PAGE - 1, 2) == b"\1\2"
    assert files.read(3 * PAGE - 5, 100) == b"\3" * 5
    assert files.read(3 * PAGE, 100) == b""
    files.write(3 * PAGE, page_of(3))  # the mapping is older than this
    assert files.read(3 * PAGE + 7, 9) == b"\4" * 9
    files.close()


def test_segments_rotate_only_at_page_boundaries(files: FileDevice) -> None:
    files.write(64, memoryview(bytes(8)))
    files.roll()
    files.write(72, memoryview(bytes(8)))
    assert len(files.segments) == 1, "an address inside of a page goes on in the same file"
    files.write(PAGE, page_of(1))
    assert names(files) == [segment_name(0), segment_name(1)]
    files.write(2 * PAGE, page_of(2))
    assert len(files.segments) == 2, "roll() is for one segment"
    assert files.segment_end(0) == PAGE
    assert files.segment_end(PAGE) == files.end() == 3 * PAGE
    files.close()


def test_segments_rotate_by_size(files: FileDevice) -> None:
    """A segment ends at the first page boundary at least 16 MiB from its start."""
    aim = segments.SEGMENT_BYTES_MIN
    files.write(aim - PAGE, page_of(0))
    files.write(aim, page_of(1))
    assert len(files.segments) == 1
    assert files.begin() == aim - PAGE
    files.write(2 * aim - PAGE - 8, memoryview(bytes(8)))
    files.write(2 * aim - PAGE, page_of(2))
    assert [segment.start for segment in files.segments] == [aim - PAGE, 2 * aim - PAGE]
    files.close()


def test_reads_end_at_a_segment(files: FileDevice) -> None:
    fill(files, 3, each_a_segment=True)
    assert files.read(PAGE - 8, 100) == b"\1" * 8
    assert files.read(PAGE, 2 * PAGE) == b"\2" * PAGE
    assert [files.place(number * PAGE + 5) for number in range(3)] == [
        f"{files.directory.path}/{segment_name(number)} at offset 5" for number in range(3)
    ]
    files.close()


def test_truncate_before_deletes_whole_segments_only(files: FileDevice) -> None:
    fill(files, 4, each_a_segment=True)
    files.truncate_before(2 * PAGE - 8)
    assert names(files) == [segment_name(1), segment_name(2), segment_name(3)]
    files.truncate_before(2 * PAGE)
    assert files.begin() == 2 * PAGE
    assert files.read(PAGE, 8) == b""
    assert files.read(2 * PAGE, 8) == b"\3" * 8
    files.truncate_before(100 * PAGE)
    assert names(files) == [segment_name(3)], "the last segment stays"
    files.sync()
    files.close()


@pytest.mark.parametrize("cut", [0, 8, PAGE, PAGE + 8, 2 * PAGE, 3 * PAGE - 8, 3 * PAGE, 5 * PAGE])
def test_truncate_after(files: FileDevice, cut: int) -> None:
    fill(files, 3, each_a_segment=True)
    assert files.read(2 * PAGE, 8) == b"\3" * 8  # so that there is a mapping to lose
    files.truncate_after(cut)
    assert files.end() == min(cut, 3 * PAGE)
    whole = b"".join(bytes(page_of(number)) for number in range(3))
    assert b"".join(files.read(number * PAGE, PAGE) for number in range(3)) == whole[:cut]
    assert len(names(files)) == min(-(-cut // PAGE), 3)
    again = FileDevice(Directory(files.directory.path), PAGE_BITS)
    assert again.end() == files.end()
    again.close()
    if cut and cut % PAGE == 0 and cut <= 3 * PAGE:
        files.write(cut, page_of(7))
        assert files.read(cut, 8) == b"\10" * 8
    files.close()


def test_a_segment_that_grows_again_is_not_read_through_its_old_map(files: FileDevice) -> None:
    """Recovery reads a complete segment, cuts off all that follows it, and the store goes on writing in that file."""
    files.write(0, page_of(0)[:100])
    files.write(PAGE, page_of(1))
    files.roll()
    files.write(2 * PAGE, page_of(2))
    assert files.read(0, 2 * PAGE) == bytes(page_of(0)[:100]) + bytes(PAGE - 100) + bytes(page_of(1))
    files.truncate_after(2 * PAGE)
    files.write(2 * PAGE, page_of(3))
    files.roll()
    files.write(3 * PAGE, page_of(4))
    assert files.read(2 * PAGE, 2 * PAGE) == bytes(page_of(3))
    files.close()


def test_reopened(files: FileDevice) -> None:
    fill(files, 3, each_a_segment=True)
    files.sync()
    files.close()
    assert files.segments == []
    again = FileDevice(Directory(files.directory.path), PAGE_BITS, read_only=True)
    assert (again.begin(), again.end(), again.size()) == (0, 3 * PAGE, 3 * PAGE)
    assert again.read(PAGE, 3) == b"\2\2\2"
    with pytest.raises(OSError, match="Bad file descriptor"):
        again.write(3 * PAGE - 8, memoryview(bytes(8)))
    again.close()


def test_sync_is_asked_once(files: FileDevice) -> None:
    fill(files, 2, each_a_segment=True)
    assert files.directory_dirty
    assert [segment.dirty for segment in files.segments] == [True, True]
    files.sync()
    assert not files.directory_dirty
    assert [segment.dirty for segment in files.segments] == [False, False]
    files.write(2 * PAGE, page_of(2))
    assert [segment.dirty for segment in files.segments] == [False, True]
    files.close()


def test_sync_from_leaves_what_ends_before(files: FileDevice) -> None:
    fill(files, 3, each_a_segment=True)
    files.close()
    again = FileDevice(Directory(files.directory.path), PAGE_BITS)
    again.sync_from(PAGE + 8)
    assert [segment.dirty for segment in again.segments] == [True, False, False]
    assert not again.directory_dirty
    again.sync()
    assert [segment.dirty for segment in again.segments] == [False, False, False]
    again.close()


def test_read_many_returns_what_read_does_in_order(files: FileDevice) -> None:
    fill(files, 3, each_a_segment=True)
    requests = [(2 * PAGE, 8), (PAGE - 8, 100), (0, PAGE), (0, PAGE), (4, 8), (3 * PAGE, 8), (0, 0)]
    assert files.read_many(requests) == [b"\3" * 8, b"\1" * 8, b"\1" * PAGE, b"\1" * PAGE, b"\1" * 8, b"", b""]
    assert files.read_many([]) == []
    files.close()


def test_read_many_calls_read_of_a_device_in_python() -> None:
    inner = CrashDevice(PAGE)
    device = FaultyDevice(inner)
    inner.write(0, page_of(4))
    assert Device.read_many(device, [(8, 2), (PAGE - 1, 9)]) == [b"\5\5", b"\5"]
    assert device.calls == {"read": 2}
    with pytest.raises(CorruptionError, match="address 64 was read from a store that lives in memory only"):
        NullDevice(64).read_many([(64, 8)])


@pytest.mark.parametrize("name", ["x.seg", "-1.seg", "1e3.seg", ".seg"])
def test_names_that_are_no_page_number(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CorruptionError, match="is not named by a page number"):
        FileDevice(Directory(str(tmp_path)), PAGE_BITS)


def test_segment_names_sort_by_page() -> None:
    pages = [0, 1, 9, 10, 99, 12345, 2**36 - 1]
    made = [segment_name(page) for page in pages[:-1]]
    assert made == sorted(made)
    assert segment_name(2**36 - 1) == f"{2**36 - 1}.seg"


def test_files_without_the_suffix_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    files = FileDevice(Directory(str(tmp_path)), PAGE_BITS)
    assert files.size() == 0
    files.close()


def test_write_at_and_read_at(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        system.write_at(file.fileno(), memoryview(b"hello world"), 5)
        assert system.read_at(file.fileno(), 100, 0) == bytes(5) + b"hello world"
        assert system.read_at(file.fileno(), 3, 8) == b"lo "[:1] + b"lo"[1:] + b" "
        assert system.read_at(file.fileno(), 3, 100) == b""
        assert system.read_at(file.fileno(), 0, 0) == b""


def test_what_cannot_be_mapped_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a terabyte of holes, or one map more than the system allows, is no failure of the disk."""

    def no_room(*arguments: object, **more: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    device = FileDevice(Directory(str(tmp_path)), PAGE_BITS)
    fill(device, 3, each_a_segment=True)
    monkeypatch.setattr(mmap, "mmap", no_room)
    assert device.read(0, PAGE) == bytes(page_of(0))
    monkeypatch.undo()
    assert device.read(0, PAGE) == bytes(page_of(0))
    device.close()


def test_a_reader_holds_what_the_writer_deleted_while_it_looked(files: FileDevice, tmp_path: Path) -> None:
    """By what another device had opened before; and a file that ended where the next one was made goes on to there."""
    fill(files, 2)
    reader, fresh = (FileDevice(Directory(str(tmp_path)), PAGE_BITS, read_only=True) for _ in range(2))
    files.write(2 * PAGE, page_of(2))  # in the last file that both know
    fill(files, 8, start=3, each_a_segment=True)
    fresh.look_again()
    files.truncate_before(7 * PAGE)
    reader.take_over(fresh)
    assert fresh.segments == []
    assert [reader.read(page * PAGE, PAGE) for page in range(8)] == [bytes(page_of(page)) for page in range(8)]
    reader.see_from(7 * PAGE)
    assert [segment.name for segment in reader.segments] == names(files)
    reader.close()


def test_a_file_that_is_gone_when_it_is_opened_leaves_none_before_it_cut(
    files: FileDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(files, 2)
    reader = FileDevice(Directory(str(tmp_path)), PAGE_BITS, read_only=True)
    files.write(2 * PAGE, page_of(2))
    fill(files, 4, start=3, each_a_segment=True)
    gone = [*names(files), segment_name(4)]
    monkeypatch.setattr(os, "listdir", lambda _place: gone)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            reader.look_again()
        assert [reader.read(page * PAGE, PAGE) for page in range(4)] == [bytes(page_of(page)) for page in range(4)]
    reader.close()
