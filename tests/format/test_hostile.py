"""What the fuzzer (fuzz.py) has found, each on its own: files that no oxidbm writes, with checksums that are right."""

import os
import struct
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.segments import FileDevice
from tests.format.codec import COMMIT, Record, of_words, read_image
from tests.format.stores import PAGE_BITS, PAGE_BYTES, contents, make_paged, make_tiny, open_store

TERABYTE = 1 << 40


def has_holes(path: Path) -> bool:
    """Return whether the file system makes holes and tells where they are."""
    with (path / "probe").open("w+b") as file:
        os.truncate(file.fileno(), 1 << 24)
        try:
            os.lseek(file.fileno(), 0, getattr(os, "SEEK_DATA", -1))
        except OSError as failure:
            return failure.errno == 6
        return False


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("end", [b"", b"\xff"])
def test_a_log_file_of_a_terabyte_of_holes(tmp_path: Path, clean: bool, end: bytes) -> None:
    if not has_holes(tmp_path):
        pytest.skip("this file system does not tell holes")
    path = tmp_path / "store"
    expected = make_tiny(path)
    if not clean:
        (path / "CLEAN").unlink()
    with (path / "log" / "0000000000.seg").open("r+b") as file:
        file.truncate(TERABYTE)
        file.seek(TERABYTE - len(end))
        file.write(end)
    assert contents(path) == expected
    report = oxidbm.salvage(path, tmp_path / "saved", memory="1MiB")
    assert report.keys == len(expected)
    assert contents(path, read_only=False) == expected


def test_a_mark_of_more_keys_than_there_is_memory_for(tmp_path: Path) -> None:
    """The index begins with what a terabyte of holes could hold, but with no more than the memory budget can."""
    path = tmp_path / "store"
    expected = make_tiny(path)
    image = read_image(path)
    assert image.mark is not None
    image.mark = (image.mark[0], image.mark[1], 1 << 40)
    (path / "CLEAN").write_bytes(image.clean())
    os.truncate(path / "log" / "0000000000.seg", TERABYTE)
    with open_store(path, read_only=True) as store:
        assert len(store) == len(expected)
        assert store.stats()["index_bytes"] < 8 << 20


def test_a_file_of_the_log_far_behind_the_others(tmp_path: Path) -> None:
    path = tmp_path / "store"
    expected = make_paged(path)
    far = path / "log" / "9999999999.seg"
    far.write_bytes(b"\0" * 100)
    assert contents(path) == expected
    assert contents(path, read_only=False) == expected
    assert not far.exists()


def test_a_device_tells_where_data_go_on(tmp_path: Path) -> None:
    if not has_holes(tmp_path):
        pytest.skip("this file system does not tell holes")
    (tmp_path / "log").mkdir()
    size = 1 << 24
    with (tmp_path / "log" / "0000000000.seg").open("wb") as file:
        file.truncate(size)
        file.seek(size // 2 + 10)
        file.write(b"data")
    (tmp_path / "log" / f"{2 * size >> PAGE_BITS:010d}.seg").write_bytes(b"data")
    device = FileDevice(Directory(str(tmp_path / "log")), PAGE_BITS)
    assert device.data_from(0) == size // 2
    assert device.data_from(size // 2) == size // 2
    assert device.data_from(size // 2 + 2 * PAGE_BYTES) == 2 * size
    assert device.data_from(size + PAGE_BYTES) == 2 * size
    assert device.data_from(2 * size) == 2 * size
    device.close()


def with_commit(path: Path, words: dict[int, int]) -> None:
    """Change words of a tiny store's last commit record."""
    make_tiny(path)
    image = read_image(path)
    page, offset, record = [entry for entry in image.records() if entry[2].flags & COMMIT][-1]
    numbers = list(struct.unpack_from("<9q", record.value))
    for at, number in words.items():
        numbers[at] = number
    image.put(page, offset, record.with_fields(value=of_words(numbers) + record.value[72:]))
    image.mark = None
    for file in [*(path / "log").iterdir(), *path.glob("[A-Z]*")]:
        file.unlink()
    (path / "log").rmdir()
    image.write(path)


@pytest.mark.parametrize("words", [{0: (1 << 63) - 1}, {6: (1 << 63) - 1}, {6: 1 << 62}])
def test_numbers_of_a_commit_that_would_overflow(tmp_path: Path, words: dict[int, int]) -> None:
    """They make no commit: the one before it is the last."""
    with_commit(tmp_path / "store", words)
    assert contents(tmp_path / "store")[b"gone"] == b"soon"
    assert any("a commit record" in fault for fault in survey_faults(tmp_path))


def survey_faults(tmp_path: Path) -> list[str]:
    """Return what a salvage finds wrong with the store."""
    return oxidbm.salvage(tmp_path / "store", tmp_path / "saved", memory="1MiB").faults


def test_a_file_whose_place_would_be_looked_for_with_large_records(tmp_path: Path) -> None:
    """A file with a wrong name, whose first record takes a megabyte and verifies nowhere, is not tried at each page."""
    path = tmp_path / "store"
    make_tiny(path)
    image = read_image(path)
    (path / "log" / "copy.seg").write_bytes(Record(0, b"k", bytes((1 << 20) - 100)).encode(image.checksum_key))
    (path / "CLEAN").write_bytes(b"")
    faults = oxidbm.check(path)
    assert [fault for fault in faults if "copy.seg" in fault] == [
        f"{path / 'log' / 'copy.seg'} is not named by a page number that it may have, and holds no record of this log"
    ]


@pytest.mark.parametrize("name", ["STORE", "CLEAN", "log/0000000000.seg"])
@pytest.mark.parametrize("leads_to", ["nowhere", "itself", "a directory"])
def test_links_that_lead_to_no_file(tmp_path: Path, name: str, leads_to: str) -> None:
    path = tmp_path / "store"
    make_tiny(path)
    place = path / name
    place.unlink()
    targets = {"nowhere": tmp_path / "gone", "itself": Path(place.name), "a directory": tmp_path}
    place.symlink_to(targets[leads_to])
    with pytest.raises(oxidbm.FormatError, match=f"{place.name} is no regular file"):
        open_store(path)
