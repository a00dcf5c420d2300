"""Pages of another size than those that a log was written with: refused, with both sizes, and nothing is changed."""

import json
import struct
import zlib
from pathlib import Path
from typing import Literal, TypedDict

import pytest

import oxidbm
from oxidbm.device import Directory, FileDevice
from tests.inside import log_of


class Unpaged(TypedDict):
    """Options without the one that is tried here."""

    memory: str
    durability: Literal["manual"]
    compaction: bool


OPTIONS: Unpaged = {"memory": "16MiB", "durability": "manual", "compaction": False}
KEYS = 400  # of a commit: some pages of 4 KiB
SIZES = ((12, 13), (13, 12), (12, 22), (16, 12))


def make(path: Path, bits: int, commits: int = 1, value: bytes = b"v" * 100) -> oxidbm.Store:
    """Return a store of pages of 2**bits bytes, with so many commits."""
    store = oxidbm.Store(path, page_size=1 << bits, checkpoints=False, **OPTIONS)
    for commit in range(commits):
        store.update((b"%d %d" % (commit, number), value) for number in range(KEYS))
        store.sync()
    return store


def say(path: Path, bits: int) -> None:
    """Have the superblock say pages of 2**bits bytes, with a checksum that is right."""
    data = bytearray((path / "STORE").read_bytes())
    struct.pack_into("<Q", data, 40, bits)
    struct.pack_into("<I", data, 560, zlib.crc32(data[:560]))
    (path / "STORE").write_bytes(data)


def snapshot(path: Path) -> dict[str, bytes]:
    """Return every file but for the lock, whose note is the last writer's."""
    return {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "LOCK"}


def check_refused(path: Path, said: int, true: int) -> None:
    """See that the store is opened neither to write nor to read, that both sizes are said, and nothing is changed."""
    before = snapshot(path)
    for read_only in (True, False):
        with pytest.raises(oxidbm.CorruptionError, match=rf"pages of {1 << said} bytes, .* pages of {1 << true}\. "):
            oxidbm.Store(path, read_only=read_only, **OPTIONS)
    assert snapshot(path) == before


@pytest.mark.parametrize("checkpoint", [True, False])
@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("commits", [1, 3])
@pytest.mark.parametrize(("true", "said"), SIZES)
def test_a_superblock_that_says_another_size(
    tmp_path: Path, true: int, said: int, commits: int, clean: bool, checkpoint: bool
) -> None:
    path = tmp_path / "store"
    token = None
    with make(path, true, commits) as store:
        if checkpoint:
            token = store.checkpoint().token
    if not clean:
        (path / "CLEAN").unlink()
    say(path, said)
    check_refused(path, said, true)
    if token is not None:
        with pytest.raises(oxidbm.CorruptionError, match=rf"{token} .* pages of {1 << true} .* pages of {1 << said}"):
            oxidbm.Store(path, read_only=True, checkpoint=token, **OPTIONS)
        with pytest.raises(oxidbm.CorruptionError, match=f"pages of {1 << true} "):
            oxidbm.recover(path, token)
    say(path, true)
    with oxidbm.Store(path, **OPTIONS) as store:
        assert len(store) == commits * KEYS
        assert store.check() == []


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("from_page_0", [True, False])
@pytest.mark.parametrize(("true", "said"), SIZES)
def test_a_log_in_segments(tmp_path: Path, true: int, said: int, from_page_0: bool, clean: bool) -> None:
    """Files are named by pages: under another size their records stand at addresses where they do not verify."""
    path = tmp_path / "store"
    with make(path, true) as store:
        for _ in range(2):
            log_of(store).close_tail_page()
            log_of(store).device.roll()
            store.update((b"0 %d" % number, b"w" * 100) for number in range(KEYS))
            store.sync()
        if not from_page_0:
            store.reorganize()
            store.sync()
        assert (log_of(store).device.begin() == 0) == from_page_0
    if not clean:
        (path / "CLEAN").unlink()
    say(path, said)
    check_refused(path, said, true)
    say(path, true)
    with oxidbm.Store(path, **OPTIONS) as store:
        assert set(store.values()) == {b"w" * 100}
        assert store.check() == []


def test_a_log_of_less_than_a_page_is_the_same_in_any(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with oxidbm.Store(path, page_size=4096, **OPTIONS) as store:
        store[b"a"] = b"value"
    say(path, 13)
    with oxidbm.Store(path, **OPTIONS) as store:
        store.update((b"%d" % number, b"value") for number in range(KEYS))
    with oxidbm.Store(path, **OPTIONS) as store:
        assert len(store) == KEYS + 1
        assert store.check() == []


@pytest.mark.parametrize("hole", range(1, 8))
def test_a_torn_tail_is_not_taken_for_pages_of_another_size(tmp_path: Path, hole: int) -> None:
    """A power cut leaves out sectors of a commit, and behind them stand sound records, at the start of such pages."""
    path = tmp_path / "store"
    with make(path, 15, value=bytes(32)) as store:  # records of 64 bytes fill pages of any size
        end = int(log_of(store).tail)
        store.update((b"1 %d" % number, bytes(32)) for number in range(KEYS))
    (path / "CLEAN").unlink()
    (segment,) = (path / "log").iterdir()
    data = bytearray(segment.read_bytes())
    start = ((end >> 12) + hole) << 12
    if start + 4096 > len(data):
        start = len(data) - 4096
    data[start : start + 4096] = bytes(4096)
    segment.write_bytes(data)
    with oxidbm.Store(path, **OPTIONS) as store:
        assert store.recovery.bytes_cut > 0
        assert len(store) == KEYS
        assert store.check() == []


def test_a_store_keeps_its_size_whatever_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "store"
    make(path, 13).close()
    for size in ("4KiB", "16KiB", "4MiB"):
        with oxidbm.Store(path, page_size=size, **OPTIONS) as store:
            assert log_of(store).page_bytes == 8192
            store[size] = "value"
    with oxidbm.Store(path, read_only=True, page_size=1 << 26, **OPTIONS) as store:
        assert len(store) == KEYS + 3
        assert store.check() == []
    with pytest.raises(ValueError, match="power of two"):
        oxidbm.Store(path, page_size=5000, **OPTIONS)


def change(path: Path, token: str, page_size: object) -> None:
    """Have a checkpoint's file say another page size, None for none, with a checksum that is right."""
    file = path / "checkpoints" / f"{token}.json"
    said = json.loads(file.read_text())
    del said["checksum"]
    said["page_size"] = page_size
    if page_size is None:
        del said["page_size"]
    line = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    file.write_text(json.dumps({**said, "checksum": f"{zlib.crc32(line):08x}"}))


@pytest.mark.parametrize("kind", ["fold-over", "log"])
def test_a_checkpoint_of_another_size(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store"
    with make(path, 12) as store:
        token = store.checkpoint(kind).token  # type: ignore[arg-type]
    change(path, token, None)
    with oxidbm.Store(path, read_only=True, checkpoint=token, **OPTIONS) as store:
        assert store.recovery.checkpoint == (token if kind == "fold-over" else None)
        assert len(store) == KEYS
    change(path, token, 8192)
    words = rf"{token} .* pages of 8192 bytes, .* pages of 4096"
    before = snapshot(path)
    with pytest.raises(oxidbm.CorruptionError, match=words):
        oxidbm.Store(path, read_only=True, checkpoint=token, **OPTIONS)
    with pytest.raises(oxidbm.CorruptionError, match=words):
        oxidbm.recover(path, token)
    with pytest.raises(oxidbm.CorruptionError, match=words):
        oxidbm.recover(path, token, to=tmp_path / "copy")
    assert snapshot(path) == before
    assert not (tmp_path / "copy").exists()
    if kind == "fold-over":
        with pytest.warns(oxidbm.RecoveryWarning, match=words):
            store = oxidbm.Store(path, **OPTIONS)
    else:
        store = oxidbm.Store(path, **OPTIONS)
    with store:
        assert len(store) == KEYS
        assert ["pages of 8192" in fault for fault in store.check()] == [True]


def test_a_device_of_another_size(tmp_path: Path) -> None:
    path = tmp_path / "store"
    words = r"pages of 16384 bytes, and the store's have 8192; give FileDevice 13 "
    (tmp_path / "log").mkdir()
    device = FileDevice(Directory(str(tmp_path / "log")), 14)
    with pytest.raises(ValueError, match=words):
        oxidbm.Store(path, device=device, page_size=8192, **OPTIONS)
    assert not (path / "STORE").exists()
    device.close()
    make(path, 13).close()
    before = snapshot(path)
    device = FileDevice(Directory(str(path / "log")), 14)
    with pytest.raises(ValueError, match=words):
        oxidbm.Store(path, device=device, page_size=1 << 14, **OPTIONS)
    device.close()
    assert snapshot(path) == before
    with oxidbm.Store(path, device=FileDevice(Directory(str(path / "log")), 13), **OPTIONS) as store:
        assert len(store) == KEYS
