"""Tiny stores whose every byte is known: fixed id, seed and clock; and what a test does to their files."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import oxidbm
from oxidbm._core.device.directory import Directory
from oxidbm._core.durability.superblock import Superblock, write_superblock
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.log.record import HEADER_BYTES, KEY_LENGTH_MASK, KEY_LENGTH_SHIFT, SHAPE_COMMIT, VALUE_LENGTH_MASK

STORE_ID = bytes(range(16))
SEED = 0x0123456789ABCDEF
PAGE_BITS = 12
PAGE_BYTES = 1 << PAGE_BITS
TIME = 1_700_000_000.0
SEGMENT = "log/0000000000.seg"
TINY_FILES = ("STORE", "CLEAN", SEGMENT)
MASK_64 = 0xFFFFFFFFFFFFFFFF

Items = dict[bytes, bytes]


def clock() -> float:
    """Return the fixed time."""
    return TIME


def make_directory(path: Path) -> None:
    """Make an empty store's directory with the fixed id and seed."""
    (path / "log").mkdir(parents=True)
    directory = Directory(str(path))
    write_superblock(directory, Superblock(STORE_ID, SEED, PAGE_BITS), 0o666)
    directory.close()


def open_store(path: Path, *, read_only: bool = False) -> oxidbm.Store:
    """Open a store so that nothing happens in the background."""
    return oxidbm.Store(
        path, memory="1MiB", durability="manual", compaction=False, clock=clock, read_only=read_only, create=False
    )


def make_tiny(path: Path) -> Items:
    """Make the golden store: two commits, an update in place, a copy of a read-only record, a tombstone, a session."""
    make_directory(path)
    store = open_store(path)
    store[b"alpha"] = b"first"
    store[b"alpha"] = b"A"
    store[b""] = b"empty key"
    store[b"gone"] = b"soon"
    store[b"gamma"] = b"twelve bytes"
    store.sync()
    with store.session("s1") as session:
        session.upsert(b"gamma", b"copied to the tail")
        session.delete(b"gone")
        session.upsert(b"empty value", b"")
    store.close()
    return {b"alpha": b"A", b"": b"empty key", b"gamma": b"copied to the tail", b"empty value": b""}


def make_paged(path: Path) -> Items:
    """Make a store of several pages: one full to its last byte, one with a gap, a run of pages, one more commit."""
    make_directory(path)
    store = open_store(path)
    expected = {}
    first = PAGE_BYTES - 64
    for name, size in [(b"exact", first), (b"gap", 2500), (b"full", PAGE_BYTES), (b"run", 2 * PAGE_BYTES), (b"a", 40)]:
        value = (name * size)[: size - HEADER_BYTES - 8]
        store[name] = expected[name] = value
    store.sync()
    store[b"gap"] = expected[b"gap"] = b"smaller"
    store.close()
    return expected


def contents(path: Path, *, read_only: bool = True) -> Items:
    """Open a store and return all it holds, read in every way there is; each way must say the same."""
    store = open_store(path, read_only=read_only)
    try:
        items = dict(store.items())
        assert len(store) == len(items)
        assert {key: store[key] for key in items} == items
        return items
    finally:
        store.close()


def edit(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change a file's bytes."""
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def resum(data: bytearray) -> None:
    """Give a small file's bytes the checksum they should have."""
    data[-4:] = struct.pack("<I", zlib.crc32(data[:-4]))


def words_of(data: bytes | bytearray, offset: int) -> tuple[int, int, int]:
    """Return a record's three header words, unsigned."""
    info, shape, seal = struct.unpack_from("<QQQ", data, offset)
    return info, shape, seal


def padded(size: int) -> int:
    """Return a size rounded up to whole words."""
    return (size + 7) & -8


def record_size(data: bytes | bytearray, offset: int) -> int:
    """Return how many bytes of a record its checksum covers, computed here from the format's text."""
    _, shape, _ = words_of(data, offset)
    optional = 8 * ((shape >> 48 & 1) + (shape >> 52 & 1))
    return (
        HEADER_BYTES
        + optional
        + padded(shape >> KEY_LENGTH_SHIFT & KEY_LENGTH_MASK)
        + padded(shape & VALUE_LENGTH_MASK)
    )


def record_offsets(data: bytes, offset: int = 64) -> list[int]:
    """Return where the records of a segment's first page stand."""
    found = []
    while offset + HEADER_BYTES <= len(data) and words_of(data, offset)[0]:
        found.append(offset)
        _, shape, seal = words_of(data, offset)
        value_room = 8 * (seal >> 32)
        offset += record_size(data, offset) - padded(shape & VALUE_LENGTH_MASK) + value_room
    return found


def commit_offsets(data: bytes) -> list[int]:
    """Return where the commit records of a segment of one page stand."""
    return [offset for offset in record_offsets(data) if words_of(data, offset)[1] & SHAPE_COMMIT]


def reseal(data: bytearray, offset: int) -> None:
    """Give the record at an offset of the first segment the checksum it should have."""
    _, _, seal = words_of(data, offset)
    stop = offset + record_size(data, offset)
    signed = struct.unpack("<q", struct.pack("<Q", seal >> 32 << 32))[0]
    checksum = checksum_bytes(bytes(data), offset, signed, stop, offset, int.from_bytes(STORE_ID[:4], "little"))
    struct.pack_into("<I", data, offset + 16, checksum)


def truncate(path: Path, size: int) -> None:
    """Cut a file, or make it longer with zeros."""
    os.truncate(path, size)
