"""The small files: written aside, read back, and the lock that names its holder."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oxidbm
from oxidbm._core.address import ADDRESS_MAX, PAGE_BITS_MAX, PAGE_BITS_MIN
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.directory_lock import DirectoryLock, last_recovery, note_recovery
from oxidbm._core.durability import superblock
from oxidbm._core.errors import CorruptionError, LockedError

WORDS = st.integers(0, 2**64 - 1)
ADDRESSES = st.integers(0, ADDRESS_MAX)
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
@given(tail=ADDRESSES, sequence=ADDRESSES, count=ADDRESSES)
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


@pytest.mark.parametrize("words", [(2**48, 1, 1), (64, 2**63, 1), (64, 1, 2**64 - 1)])
def test_clean_mark_that_cannot_be(tmp_path: Path, words: tuple[int, int, int]) -> None:
    """A mark whose checksum holds and whose numbers do not: nothing is allocated for them."""
    block = superblock.Superblock(bytes(16), 1, PAGE_BITS_MIN)
    superblock.write_mark(Directory(str(tmp_path)), block, superblock.CleanMark(*words), 0o600)
    with pytest.raises(CorruptionError, match=f"commit {words[1]} ends at address {words[0]} with {words[2]} keys"):
        superblock.read_mark(Directory(str(tmp_path)), block)


def test_names_while_others_list_the_same_directory(tmp_path: Path) -> None:
    """All of them, however far somebody else has come who reads by the same descriptor."""
    names = [f"{number:02}" for number in range(40)]
    for name in names:
        (tmp_path / name).touch()
    directory = Directory(str(tmp_path))
    if directory.descriptor >= 0:
        with os.scandir(directory.descriptor) as other:
            next(other)
            assert directory.names() == names
    assert directory.names() == names
    directory.close()


def test_names_of_a_removed_directory(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    directory = Directory(str(tmp_path / "gone"))
    if directory.descriptor >= 0:
        (tmp_path / "gone").rmdir()
        assert directory.names() == []
    directory.close()


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
    assert note == {"pid": os.getpid(), "host": socket.gethostname(), "recovery": ""}
    with pytest.raises(LockedError, match=f"process {os.getpid()} on {socket.gethostname()}") as caught:
        DirectoryLock(Directory(str(tmp_path)), 0o600)
    assert str(tmp_path) in str(caught.value)
    assert "this very process" in str(caught.value)
    lock.close()
    lock.close()
    DirectoryLock(Directory(str(tmp_path)), 0o600).close()


@pytest.mark.skipif(os.name == "nt", reason="flock is of POSIX")
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b'{"pid": 1}', b"[" * 4000, b"\xff" * 9000])
def test_lock_of_a_holder_that_left_no_note(tmp_path: Path, content: bytes) -> None:
    import fcntl

    (tmp_path / "LOCK").write_bytes(content)
    with open(tmp_path / "LOCK", "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="another process or thread that has not written its number yet"):
            DirectoryLock(Directory(str(tmp_path)), 0o600)
        (tmp_path / "LOCK").write_bytes(b'{"pid": 17, "host": "other"}')
        with pytest.raises(LockedError, match="process 17 on other; close it there"):
            DirectoryLock(Directory(str(tmp_path)), 0o600)


def test_the_note_is_written_anew_only_where_it_says_something_else(tmp_path: Path) -> None:
    path = tmp_path / "LOCK"
    DirectoryLock(Directory(str(tmp_path)), 0o600).close()
    os.utime(path, (1, 1))
    DirectoryLock(Directory(str(tmp_path)), 0o600).close()
    assert path.stat().st_mtime == 1
    path.write_bytes(path.read_bytes() + b" ")
    os.utime(path, (1, 1))
    DirectoryLock(Directory(str(tmp_path)), 0o600).close()
    assert path.stat().st_mtime > 1
    assert json.loads(path.read_bytes()) == {"pid": os.getpid(), "host": socket.gethostname(), "recovery": ""}


def test_note_of_a_recovery_outlives_its_writer(tmp_path: Path) -> None:
    path = str(tmp_path)
    assert last_recovery(path) == ""
    note_recovery(Directory(path), 0o600)
    word = last_recovery(path)
    assert len(word) == 16
    DirectoryLock(Directory(path), 0o600).close()
    assert last_recovery(path) == word
    note_recovery(Directory(path), 0o600)
    assert last_recovery(path) not in ("", word)


def test_a_lock_on_a_file_that_was_replaced_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the opening of LOCK and its locking another writer put a directory's files anew."""
    real = os.stat
    turns: list[str] = []

    def replaced_once(name: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if not turns:
            (tmp_path / "LOCK").unlink()
            (tmp_path / "LOCK").write_bytes(b"")
        turns.append(name)
        return real(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "stat", replaced_once)
    lock = DirectoryLock(Directory(str(tmp_path)), 0o600)
    monkeypatch.undo()
    assert os.fstat(lock.file.descriptor).st_ino == (tmp_path / "LOCK").stat().st_ino
    assert json.loads((tmp_path / "LOCK").read_bytes())["pid"] == os.getpid()
    lock.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("name", ["STORE", "CLEAN", "LOCK", "STORE.new", "log/0000000000.seg"])
def test_a_pipe_in_a_files_place_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / "store"
    with oxidbm.Store(path) as store:
        store[b"a"] = b"1"
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    if name == "STORE.new":
        oxidbm.Store(path).close()
        return
    with pytest.raises(oxidbm.FormatError, match="is no regular file"):
        oxidbm.Store(path)


def test_a_link_to_nowhere_is_no_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "store"
    oxidbm.Store(path).close()
    (path / "STORE").unlink()
    (path / "STORE").symlink_to(tmp_path / "gone")
    with pytest.raises(oxidbm.FormatError, match="STORE is no regular file, but a link that leads to none"):
        oxidbm.Store(path)
    assert (path / "STORE").is_symlink()


def test_a_superblock_of_zeros_and_an_empty_log_are_what_a_crash_left(tmp_path: Path) -> None:
    path = tmp_path / "store"
    oxidbm.Store(path).close()
    size = (path / "STORE").stat().st_size
    (path / "CLEAN").unlink(missing_ok=True)
    for segment in (path / "log").iterdir():
        segment.unlink()
    (path / "STORE").write_bytes(bytes(size))
    with oxidbm.Store(path) as store:
        store[b"a"] = b"1"
    (path / "STORE").write_bytes(bytes(size))
    with pytest.raises(oxidbm.FormatError):
        oxidbm.Store(path)


@pytest.mark.parametrize("kept", ["first sector", "second sector", "beginning", "word"])
def test_a_torn_superblock_and_an_empty_log_are_what_a_crash_left(tmp_path: Path, kept: str) -> None:
    """Nothing was durable, so there is nothing to restore; a log, or a clean end, says that it was."""
    path = tmp_path / "store"
    oxidbm.Store(path).close()
    (path / "CLEAN").unlink()
    whole = (path / "STORE").read_bytes()
    torn = {
        "first sector": whole[:512] + bytes(len(whole) - 512),
        "second sector": bytes(512) + whole[512:],
        "beginning": whole[:100],
        "word": whole[:3],
    }[kept]
    (path / "STORE").write_bytes(torn)
    with pytest.raises(oxidbm.MissingError):
        oxidbm.Store(path, read_only=True)
    with oxidbm.Store(path) as store:
        store[b"a"] = b"1"
    (path / "STORE").write_bytes(torn)
    with pytest.raises((oxidbm.CorruptionError, oxidbm.FormatError)):
        oxidbm.Store(path)


def test_a_superblock_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store"
    (path / "log").mkdir(parents=True)
    for content in (b"my own file", b"\x89oxidbm\n" + bytes([9]) + bytes(100)):
        (path / "STORE").write_bytes(content)
        with pytest.raises(oxidbm.FormatError):
            oxidbm.Store(path)
        assert (path / "STORE").read_bytes() == content


def test_longer_note_of_an_earlier_holder_goes(tmp_path: Path) -> None:
    (tmp_path / "LOCK").write_bytes(b"x" * 1000)
    lock = DirectoryLock(Directory(str(tmp_path)), 0o600)
    assert json.loads((tmp_path / "LOCK").read_bytes())["pid"] == os.getpid()
    lock.close()


CALLS: dict[str, Callable[[Directory], object]] = {
    "open": lambda directory: directory.open("gone", os.O_RDONLY),
    "sub": lambda directory: directory.sub("gone"),
    "unlink": lambda directory: directory.unlink("gone"),
    "replace": lambda directory: directory.replace("gone", "there"),
    "make": lambda directory: directory.make("gone/below", 0o777),
    "status": lambda directory: directory.status("x" * 300),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_failed_call_says_where_the_file_is(tmp_path: Path, call: str) -> None:
    directory = Directory(str(tmp_path))
    with pytest.raises(OSError, match=r"gone|xxx") as raised:
        CALLS[call](directory)
    assert Path(raised.value.filename).is_relative_to(tmp_path)
    assert Path(raised.value.filename) != tmp_path
    directory.close()
