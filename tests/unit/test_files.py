"""The small files: written aside, read back, and the lock that names its holder."""

import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oxidbm._core.address import PAGE_BITS_MAX, PAGE_BITS_MIN
from oxidbm._core.device.directory import Directory, DirectoryLock
from oxidbm._core.durability import superblock
from oxidbm._core.errors import CorruptionError, LockedError

WORDS = st.integers(0, 2**64 - 1)
IDS = st.binary(min_size=16, max_size=16)
SAME_DIRECTORY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)


@SAME_DIRECTORY
@given(store_id=IDS, seed=WORDS, page_bits=st.integers(PAGE_BITS_MIN, PAGE_BITS_MAX))
def test_superblock_comes_back(tmp_path: Path, store_id: bytes, seed: int, page_bits: int) -> None:
    superblock.write_superblock(Directory(str(tmp_path)), superblock.Superblock(store_id, seed, page_bits), 0o600)
    block = superblock.read_superblock(Directory(str(tmp_path)))
    assert (block.store_id, block.seed, block.page_bits) == (store_id, seed, page_bits)
    assert [path.name for path in tmp_path.iterdir()] == ["STORE"]


@SAME_DIRECTORY
@given(tail=WORDS, sequence=WORDS, count=WORDS)
def test_clean_mark_comes_back(tmp_path: Path, tail: int, sequence: int, count: int) -> None:
    block = superblock.Superblock(bytes(16), 1, PAGE_BITS_MIN)
    superblock.write_mark(Directory(str(tmp_path)), block, superblock.CleanMark(tail, sequence, count), 0o600)
    mark = superblock.read_mark(Directory(str(tmp_path)), block)
    assert mark is not None
    assert (mark.tail, mark.sequence, mark.count) == (tail, sequence, count)
    with pytest.raises(CorruptionError, match="not this store's"):
        superblock.read_mark(Directory(str(tmp_path)), superblock.Superblock(b"another store id", 1, PAGE_BITS_MIN))
    superblock.remove_mark(Directory(str(tmp_path)))
    assert superblock.read_mark(Directory(str(tmp_path)), block) is None
    superblock.remove_mark(Directory(str(tmp_path)))


def test_written_aside(tmp_path: Path) -> None:
    (tmp_path / "X").write_bytes(b"old")
    (tmp_path / "X.new").write_bytes(b"left by a crash, and longer")
    Directory(str(tmp_path)).write_aside("X", b"new", 0o640)
    assert (tmp_path / "X").read_bytes() == b"new"
    assert not (tmp_path / "X.new").exists()


@pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
def test_mode(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Directory(str(tmp_path)).write_aside("X", b"", 0o604)
    finally:
        os.umask(before)
    assert (tmp_path / "X").stat().st_mode & 0o777 == 0o604


@pytest.mark.parametrize("size", [0, 10, 13, 15, 1000])
def test_small_file_of_another_size(tmp_path: Path, size: int) -> None:
    (tmp_path / "X").write_bytes(bytes(size))
    with pytest.raises(CorruptionError, match=f"X has {min(size, 15)} bytes, 14 were expected"):
        superblock.read_small(Directory(str(tmp_path)), "X", 10)


def test_lock_names_its_holder(tmp_path: Path) -> None:
    lock = DirectoryLock(Directory(str(tmp_path)), 0o600)
    note = json.loads((tmp_path / "LOCK").read_bytes())
    assert note == {"pid": os.getpid(), "host": socket.gethostname()}
    with pytest.raises(LockedError, match=f"process {os.getpid()} on {socket.gethostname()}") as caught:
        DirectoryLock(Directory(str(tmp_path)), 0o600)
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "LOCK").write_bytes(b"{")
    with pytest.raises(LockedError, match="another process that has not written its number yet"):
        DirectoryLock(Directory(str(tmp_path)), 0o600)
    lock.close()
    lock.close()
    DirectoryLock(Directory(str(tmp_path)), 0o600).close()


def test_longer_note_of_an_earlier_holder_goes(tmp_path: Path) -> None:
    (tmp_path / "LOCK").write_bytes(b"x" * 1000)
    lock = DirectoryLock(Directory(str(tmp_path)), 0o600)
    assert json.loads((tmp_path / "LOCK").read_bytes())["pid"] == os.getpid()
    lock.close()
