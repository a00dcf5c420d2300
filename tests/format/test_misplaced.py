"""Files of a log that were exchanged, renamed or changed are no torn tail: opening says so, and cuts nothing off."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import oxidbm
from oxidbm import Log, Store
from oxidbm._core.device.directory import Directory
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, COMMIT_SHAPE
from oxidbm._core.durability.superblock import A_LOG, A_STORE, Superblock, read_superblock, write_superblock
from oxidbm._core.log.flush import flush_to, seal_to
from tests.inside import abandon, abandon_log, hybrid_log_of, log_of

PAGE_BITS = 12
PAGE_BYTES = 1 << PAGE_BITS
FIRST = 64  # where a log's first record stands
SECTOR = 512
RECORDS = 40
SHAPE = int(COMMIT_SHAPE).to_bytes(8, "little")
OPTIONS: dict[str, Any] = {"memory": "1MiB", "page_size": PAGE_BYTES, "durability": "manual"}
KINDS = {"log": A_LOG, "store": A_STORE}
Content = dict[Any, bytes]


def make(kind: str, path: Path, turns: int = 4, commits: bool = True, size: int = 200) -> Content:
    """Make a log or a store of several segments, and leave it as a killed process does."""
    log: Log[Any] | None = None
    store: Store[Any, Any] | None = None
    if kind == "log":
        log = Log(path, **OPTIONS)
        hybrid = hybrid_log_of(log)
    else:
        store = Store(path, checkpoints=False, **OPTIONS)
        hybrid = log_of(store)
    for turn in range(turns):
        if log is not None:
            log.append_many(b"%d.%d." % (turn, number) + bytes(size) for number in range(RECORDS))
        if store is not None:
            store.set_many({b"%d.%d" % (turn, number): bytes(size) for number in range(RECORDS)})
        if commits and log is not None:
            log.commit()
        if commits and store is not None:
            store.sync()
        seal_to(hybrid, hybrid.tail)
        flush_to(hybrid, hybrid.sealed)
        hybrid.device.roll()
    content = dict(store or {}) if log is None else dict(log)
    if log is not None:
        abandon_log(log)
    if store is not None:
        abandon(store)
    return content


def opened(kind: str, path: Path, **more: Any) -> Content:
    """Open what is there, and return what it holds."""
    options = {**OPTIONS, "create": False, **more}
    if kind == "log":
        with Log(path, **options) as log:
            return dict(log)
    with Store(path, checkpoints=False, **options) as store:
        return dict(store)


def files(path: Path) -> dict[str, bytes]:
    """Return the names and bytes of all files but the lock."""
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "LOCK"}


def segments(path: Path) -> list[Path]:
    """Return a log's files, in order."""
    return sorted((path / "log").iterdir())


def exchange(one: Path, other: Path) -> None:
    """Exchange two files."""
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def refuse(kind: str, path: Path, words: str) -> None:
    """Check that opening raises, to write and to read, and changes nothing."""
    before = files(path)
    for read_only in (False, True):
        with pytest.raises(oxidbm.CorruptionError, match=words):
            opened(kind, path, read_only=read_only)
    assert files(path) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("one", "other"), [(0, 1), (0, 3), (1, 2), (2, 3)])
def test_segments_that_were_exchanged(kind: str, one: int, other: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    content = make(kind, path)
    parts = segments(path)
    assert len(parts) == 4
    exchange(parts[one], parts[other])
    try:
        found = opened(kind, path)
    except oxidbm.CorruptionError:
        exchange(parts[one], parts[other])
        found = opened(kind, path)
    assert found == content


@pytest.mark.parametrize("kind", KINDS)
def test_two_segments_exchanged(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    make(kind, path, 2)
    exchange(*segments(path))
    refuse(kind, path, r"not a torn tail: files of the log were exchanged")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_lies_in_the_place_of_the_first(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    make(kind, path, 2)
    first, second = segments(path)
    second.replace(first)
    refuse(kind, path, r"not a torn tail: files of the log were exchanged")


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_have_moved(kind: str, tmp_path: Path) -> None:
    """Each commit record says where the one before it stands."""
    path = tmp_path / "x"
    make(kind, path)
    for file in segments(path)[1:]:
        data = segments(path)[0].read_bytes()
        segments(path)[0].write_bytes(data.ljust(-(-len(data) // PAGE_BYTES) * PAGE_BYTES, b"\0") + file.read_bytes())
        file.unlink()
    assert opened(kind, path, read_only=True)
    data = segments(path)[0].read_bytes()
    segments(path)[0].write_bytes(data[:FIRST] + bytes(8) + data[FIRST:])
    refuse(kind, path, "is the commit record of address")


def reseal(kind: str, path: Path, bits: int, store_id: bytes | None = None) -> None:
    """Have the superblock say other pages, or another id, with a checksum that is right."""
    directory = Directory(str(path))
    try:
        block = read_superblock(directory, KINDS[kind])
        fresh = Superblock(block.store_id if store_id is None else store_id, block.seed, bits)
        fresh.kind = KINDS[kind]
        fresh.key_codec, fresh.value_codec = block.key_codec, block.value_codec
        write_superblock(directory, fresh, 0o666)
    finally:
        directory.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [13, 15])
@pytest.mark.parametrize("turns", [1, 4])
def test_pages_of_another_size(kind: str, bits: int, turns: int, tmp_path: Path) -> None:
    path = tmp_path / "x"
    content = make(kind, path, turns)
    reseal(kind, path, bits)
    refuse(kind, path, r"pages of")
    reseal(kind, path, PAGE_BITS)
    assert opened(kind, path) == content


@pytest.mark.parametrize("kind", KINDS)
def test_the_superblock_of_another_log(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    make(kind, path)
    reseal(kind, path, PAGE_BITS, bytes(16))
    refuse(kind, path, r"STORE and log/ are not of one another")


def commit_offsets(data: bytes) -> list[int]:
    """Return where something stands that has the shape of a commit record."""
    return [at - 8 for at in range(FIRST + 8, len(data), 8) if data[at : at + 8] == SHAPE]


@pytest.mark.parametrize("kind", KINDS)
def test_commit_records_that_were_damaged(kind: str, tmp_path: Path) -> None:
    """What stands behind the first one in the same sector came to the disk with it."""
    path = tmp_path / "x"
    make(kind, path, 1, size=8)
    (file,) = segments(path)
    (first,) = commit_offsets(file.read_bytes())
    assert (first + COMMIT_RECORD_BYTES) % SECTOR
    append(kind, path)
    found = commit_offsets(file.read_bytes())
    assert found[0] == first < found[1]
    data = bytearray(file.read_bytes())
    for offset in found:
        data[offset + 30] ^= 1
    file.write_bytes(data)
    refuse(kind, path, rf"the commit record at address {first} does not match its checksum")


def append(kind: str, path: Path) -> None:
    """Append something to what is there, and be killed behind its commit."""
    if kind == "log":
        log: Log[Any] = Log(path, **OPTIONS)
        log.append(b"more")
        log.commit()
        abandon_log(log)
    else:
        store: Store[Any, Any] = Store(path, checkpoints=False, **OPTIONS)
        store["more"] = "more"
        store.sync()
        abandon(store)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turns", [1, 3])
def test_what_was_never_committed(kind: str, turns: int, tmp_path: Path) -> None:
    """A log that was killed before its first commit is empty, however many files it has, whatever was torn."""
    path = tmp_path / "x"
    make(kind, path, turns, commits=False)
    whole = [file.read_bytes() for file in segments(path)]
    assert len(whole) == turns
    for cut in (0, FIRST + 8, PAGE_BYTES // 2, PAGE_BYTES, 3 * PAGE_BYTES // 2):
        for part in (0, turns - 1):
            shutil.rmtree(tmp_path / "y", ignore_errors=True)
            shutil.copytree(path, tmp_path / "y")
            data = whole[part]
            segments(tmp_path / "y")[part].write_bytes(data[:cut] + bytes(len(data) - cut))
            assert opened(kind, tmp_path / "y") == {}
    assert opened(kind, path) == {}


def test_a_store_without_a_commit_that_has_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with Store(path, **OPTIONS) as store:
        store["a"] = "b"
        token = store.checkpoint().token
    (path / "CLEAN").unlink()
    (file,) = segments(path)
    file.write_bytes(file.read_bytes()[:FIRST])
    refuse("store", path, rf"the checkpoint {token} is of commit 1, which was durable")
