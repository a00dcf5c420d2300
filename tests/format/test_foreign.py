"""What is not a store, or not a whole one: foreign paths and missing files are refused and left alone."""

import struct
from pathlib import Path

import pytest

import oxidbm
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.log.flush import flush_to, seal_to
from oxidbm._core.log.record import SHAPE_COMMIT, pack_info
from tests.format.stores import SEGMENT, STORE_ID, Items, contents, make_directory, make_tiny, open_store
from tests.inside import abandon, log_of


def tree(path: Path) -> dict[str, bytes]:
    """Return every file below a path, but for LOCK."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.name != "LOCK"
    }


def test_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a store")
    for read_only in (True, False):
        with pytest.raises(oxidbm.FormatError, match=r"notes\.txt is a file; a store is a directory"):
            oxidbm.Store(path, read_only=read_only)
    assert path.read_text() == "not a store"


def test_foreign_directory(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(oxidbm.FormatError, match=r"letters is not a store: it has no STORE but a\.txt"):
        oxidbm.Store(tmp_path / "letters")
    with pytest.raises(oxidbm.MissingError, match="letters"):
        oxidbm.Store(tmp_path / "letters", read_only=True)
    assert [file.name for file in (tmp_path / "letters").iterdir()] == ["a.txt"]


def test_foreign_superblock(tmp_path: Path) -> None:
    make_directory(tmp_path / "store")
    (tmp_path / "store" / "STORE").write_bytes(b"SQLite format 3\0" * 4)
    with pytest.raises(oxidbm.FormatError, match="STORE does not begin at offset 0"):
        oxidbm.Store(tmp_path / "store")


def test_foreign_segment_name(tmp_path: Path) -> None:
    expected = make_tiny(tmp_path / "store")
    stray = tmp_path / "store" / "log" / "copy.seg"
    stray.write_bytes(b"")
    with pytest.raises(oxidbm.CorruptionError, match=r"copy\.seg is not named by a page number"):
        contents(tmp_path / "store")
    stray.rename(stray.with_name("copy.txt"))
    assert contents(tmp_path / "store") == expected


def test_mark_of_another_store(tmp_path: Path) -> None:
    make_tiny(tmp_path / "mine")
    with oxidbm.Store(tmp_path / "other", memory="1MiB", page_size=4096) as store:
        store[b"a"] = b"b"
    (tmp_path / "mine" / "CLEAN").write_bytes((tmp_path / "other" / "CLEAN").read_bytes())
    with pytest.raises(oxidbm.CorruptionError, match="CLEAN is not this store's"):
        contents(tmp_path / "mine")


@pytest.mark.parametrize("also_clean", [False, True])
def test_missing_superblock_never_makes_a_new_store_over_a_log(tmp_path: Path, also_clean: bool) -> None:
    path = tmp_path / "store"
    expected = make_tiny(path)
    superblock = (path / "STORE").read_bytes()
    (path / "STORE").unlink()
    mark = (path / "CLEAN").read_bytes()
    if also_clean:
        (path / "CLEAN").unlink()
    before = tree(path)
    for read_only in (True, False):
        with pytest.raises(oxidbm.CorruptionError, match="STORE is missing"):
            oxidbm.Store(path, memory="1MiB", read_only=read_only)
    assert tree(path) == before
    (path / "STORE").write_bytes(superblock)
    (path / "CLEAN").write_bytes(mark)
    assert contents(path) == expected


def test_missing_log_directory(tmp_path: Path) -> None:
    path = tmp_path / "store"
    make_tiny(path)
    (path / SEGMENT).unlink()
    with pytest.raises(oxidbm.CorruptionError, match="commit 2"):
        contents(path)
    (path / "log").rmdir()
    for read_only in (True, False):
        with pytest.raises(oxidbm.CorruptionError, match="log is missing"):
            contents(path, read_only=read_only)


def test_creation_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "store"
    (path / "log").mkdir(parents=True)
    (path / "LOCK").write_bytes(b"")
    (path / "STORE.new").write_bytes(b"\x89oxi")
    with oxidbm.Store(path, memory="1MiB", page_size=4096) as store:
        store[b"a"] = b"1"
    with oxidbm.Store(path, memory="1MiB", read_only=True) as store:
        assert dict(store) == {b"a": b"1"}


def test_missing_mark_is_no_fault_of_the_log(tmp_path: Path) -> None:
    expected = make_tiny(tmp_path / "store")
    (tmp_path / "store" / "CLEAN").unlink()
    assert contents(tmp_path / "store") == expected


def make_segments(path: Path, segments: int) -> Items:
    """Make a store of several segments, each closed by a commit."""
    make_directory(path)
    expected: Items = {}
    with open_store(path) as store:
        for segment in range(segments):
            for number in range(40):
                key = b"%d/%d" % (segment, number)
                store[key] = expected[key] = key * 30
            store.sync()
            log_of(store).device.roll()
    assert len(list((path / "log").iterdir())) == segments
    return expected


@pytest.mark.parametrize("missing", range(4))
@pytest.mark.parametrize("clean", [True, False])
def test_missing_segment(tmp_path: Path, missing: int, clean: bool) -> None:
    """One in front or in the middle is always noticed; the last one whenever the store was closed cleanly."""
    path = tmp_path / "store"
    expected = make_segments(path, 4)
    assert contents(path) == expected
    names = sorted(file.name for file in (path / "log").iterdir())
    segment = path / "log" / names[missing]
    data = segment.read_bytes()
    segment.unlink()
    if not clean:
        (path / "CLEAN").unlink()
    if clean or missing < 3:
        with pytest.raises(oxidbm.CorruptionError, match=str(path / "log")):
            contents(path)
    else:
        assert contents(path).items() < expected.items()
    segment.write_bytes(data)
    assert contents(path) == expected


@pytest.mark.parametrize("which", range(4))
def test_truncated_segment(tmp_path: Path, which: int) -> None:
    path = tmp_path / "store"
    expected = make_segments(path, 4)
    segment = sorted((path / "log").iterdir())[which]
    data = segment.read_bytes()
    for size in (0, 8, 64, len(data) // 2, len(data) - 96, len(data) - 1):
        segment.write_bytes(data[:size])
        with pytest.raises(oxidbm.CorruptionError, match=str(path / "log")):
            contents(path)
    segment.write_bytes(data)
    assert contents(path) == expected


def test_swapped_segments(tmp_path: Path) -> None:
    """A record's checksum covers its address, so a segment in another's place does not verify."""
    path = tmp_path / "store"
    expected = make_segments(path, 3)
    first, second, _ = sorted((path / "log").iterdir())
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    with pytest.raises(oxidbm.CorruptionError, match=first.name):
        contents(path)
    first.write_bytes(one)
    second.write_bytes(two)
    assert contents(path) == expected


def forged_commit(address: int, key: int) -> bytes:
    """Return a commit record for an address that would know commit 2**40 to be durable, sealed with a key."""
    value = struct.pack("<9q", 2**40 + 1, 2**40, 64, 0, 0, 0, 0, 0, 0)
    seal = 9 << 32
    data = struct.pack("<3q", pack_info(0, False, False), SHAPE_COMMIT | len(value), seal) + value
    return data[:16] + struct.pack("<q", seal | checksum_bytes(data, 0, seal, len(data), address, key)) + data[24:]


def killed_after_a_value(path: Path, key: int) -> Path:
    """Make a store whose uncommitted tail holds, in a value, a commit record forged for just that place."""
    make_directory(path)
    store = open_store(path)
    store[b"precious"] = b"data"
    store.sync()
    store[b"k"] = bytes(800)
    at = log_of(store).tail - 800
    store[b"k"] = forged_commit(at, key) + bytes(800 - len(forged_commit(at, key)))
    log = log_of(store)
    seal_to(log, log.tail)
    flush_to(log, log.tail)
    abandon(store)
    return path


def test_a_value_cannot_forge_a_commit(tmp_path: Path) -> None:
    with open_store(killed_after_a_value(tmp_path / "store", 0)) as store:
        assert dict(store) == {b"precious": b"data"}


def test_the_forged_commit_counts_under_the_right_key(tmp_path: Path) -> None:
    path = killed_after_a_value(tmp_path / "store", int.from_bytes(STORE_ID[:4], "little"))
    with pytest.raises(oxidbm.CorruptionError, match="not a torn tail: a later commit record"):
        open_store(path)


@pytest.mark.parametrize("kind", ["file", "dangling link", "link in a circle"])
@pytest.mark.parametrize("with_superblock", [True, False])
def test_a_log_that_is_no_directory(tmp_path: Path, kind: str, with_superblock: bool) -> None:
    path = tmp_path / "store"
    make_directory(path)
    (path / "log").rmdir()
    if kind == "file":
        (path / "log").write_bytes(b"")
    else:
        (path / "log").symlink_to(path / ("log" if kind == "link in a circle" else "gone"))
    if not with_superblock:
        (path / "STORE").unlink()
    for read_only in (True, False):
        with pytest.raises(oxidbm.FormatError, match=r"store/log is no directory, as a store's is"):
            oxidbm.Store(path, read_only=read_only)
