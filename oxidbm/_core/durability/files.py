"""The small files of a store's directory: STORE, LOCK and CLEAN.

STORE (the superblock) is written once: magic, format version, store id, hash seed, page size. LOCK carries the lock of
the one writer and says who that is. CLEAN is there only while a store is closed cleanly, and says where its log ends;
it is removed before anything else is written. Each is written aside, synced, renamed, and the directory synced.
"""

import os
import struct
import zlib
from typing import Any, final

from oxidbm._core.address import PAGE_BITS_MAX, PAGE_BITS_MIN
from oxidbm._core.device.device import OPEN_FLAGS, sync_directory, sync_file
from oxidbm._core.errors import CorruptionError, FormatError, LockedError
from oxidbm._core.store.coder import BYTES_NAME

STORE = "STORE"
LOCK = "LOCK"
CLEAN = "CLEAN"
LOG = "log"
MAGIC = b"\x89oxidbm\n"
FORMAT_VERSION = 1
CODEC_NAME_MAX = 255
KEY_CODEC_OFFSET = 48
SUPERBLOCK = struct.Struct("<8sQ16sQQ256p256p")
CLEAN_MAGIC = b"\x89oxiend\n"
CLEAN_MARK = struct.Struct("<8s16sQQQ")
SUM = struct.Struct("<I")


@final
class Superblock:
    """What is fixed when a store is made."""

    def __init__(self, store_id: bytes, seed: int, page_bits: int) -> None:
        self.store_id = store_id
        self.seed = seed
        self.page_bits = page_bits
        self.key_codec = BYTES_NAME
        self.value_codec = BYTES_NAME


@final
class CleanMark:
    """Where a cleanly closed log ends, its last commit's sequence number, and how many keys it holds."""

    def __init__(self, tail: int, sequence: int, count: int) -> None:
        self.tail = tail
        self.sequence = sequence
        self.count = count


def write_aside(directory: str, name: str, data: bytes, mode: int, durable: bool = True) -> None:
    """Write a small file so that it is there whole or not at all, and durably unless that can wait."""
    path = os.path.join(directory, name)
    descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | OPEN_FLAGS, mode)
    try:
        os.write(descriptor, data)
        if durable:
            sync_file(descriptor)
    finally:
        os.close(descriptor)
    os.replace(path + ".new", path)
    if durable:
        sync_directory(directory)


def read_small(directory: str, name: str, size: int) -> bytes:
    """Return a small file's bytes without its checksum, verified."""
    path = os.path.join(directory, name)
    with open(path, "rb") as file:
        data = file.read(size + SUM.size + 1)
    if len(data) != size + SUM.size:
        raise CorruptionError(f"{path} has {len(data)} bytes, {size + SUM.size} were expected; restore it from a copy")
    (wanted,) = SUM.unpack_from(data, size)
    if zlib.crc32(data[:size]) != wanted:
        raise CorruptionError(
            f"{path}: the checksum at offset {size} does not match the bytes before it; restore it from a copy"
        )
    return data[:size]


def with_sum(data: bytes) -> bytes:
    """Return data followed by its checksum."""
    return data + SUM.pack(zlib.crc32(data))


def encode_name(name: str) -> bytes:
    """Return a codec's name as the superblock keeps it."""
    data = name.encode()
    if not 0 < len(data) <= CODEC_NAME_MAX:
        raise ValueError(f"a codec's name has 1 to {CODEC_NAME_MAX} bytes, not the {len(data)} of {name!r}")
    return data


def decode_name(path: str, offset: int, data: bytes) -> str:
    """Return a codec's name from the superblock."""
    try:
        name = data.decode()
    except UnicodeDecodeError:
        name = ""
    if not name:
        raise CorruptionError(f"{path} at offset {offset} has no codec's name; restore it from a copy")
    return name


def write_superblock(directory: str, block: Superblock, mode: int) -> None:
    """Make a store of the directory. Nothing in it is durable yet; the first commit calls `sync_creation`."""
    key_codec = encode_name(block.key_codec)
    value_codec = encode_name(block.value_codec)
    data = SUPERBLOCK.pack(MAGIC, FORMAT_VERSION, block.store_id, block.seed, block.page_bits, key_codec, value_codec)
    write_aside(directory, STORE, with_sum(data), mode, durable=False)


def sync_creation(directory: str) -> None:
    """Make the superblock and the directory itself durable, before the first thing that relies on them."""
    descriptor = os.open(os.path.join(directory, STORE), os.O_RDWR | OPEN_FLAGS)
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(directory)
    sync_directory(os.path.dirname(os.path.abspath(directory)))


def never_durable(directory: str) -> bool:
    """Return whether a crash left a store that was being made: its superblock empty, its log without a segment."""
    store = os.path.join(directory, STORE)
    log = os.path.join(directory, LOG)
    return os.path.exists(store) and os.path.getsize(store) == 0 and not (os.path.isdir(log) and os.listdir(log))


def read_superblock(directory: str) -> Superblock:
    """Return the superblock; raise FormatError for what is no store or a newer one, CorruptionError for a damaged
    one.
    """
    path = os.path.join(directory, STORE)
    with open(path, "rb") as file:
        head = file.read(16)
    if head[:8] != MAGIC:
        raise FormatError(
            f"{path} does not begin at offset 0 as a store's superblock does; {directory} is something else"
        )
    if len(head) == 16:
        (version,) = struct.unpack_from("<Q", head, 8)
        if version > FORMAT_VERSION:
            raise FormatError(
                f"{path} at offset 8 says format version {version}; this release reads up to {FORMAT_VERSION}. "
                "Upgrade oxidbm to open it"
            )
    data = read_small(directory, STORE, SUPERBLOCK.size)
    magic, version, store_id, seed, page_bits, key_codec, value_codec = SUPERBLOCK.unpack(data)
    if version < 1:
        raise CorruptionError(
            f"{path} at offset 8 says format version {version}, which never was; restore it from a copy"
        )
    if not PAGE_BITS_MIN <= page_bits <= PAGE_BITS_MAX:
        raise CorruptionError(
            f"{path} at offset 40 says pages of 2**{page_bits} bytes, which never were; restore it from a copy"
        )
    if SUPERBLOCK.pack(magic, version, store_id, seed, page_bits, key_codec, value_codec) != data:
        raise CorruptionError(
            f"{path} from offset {KEY_CODEC_OFFSET} on has bytes behind a codec's name; restore it from a copy"
        )
    block = Superblock(store_id, seed, page_bits)
    block.key_codec = decode_name(path, KEY_CODEC_OFFSET, key_codec)
    block.value_codec = decode_name(path, KEY_CODEC_OFFSET + CODEC_NAME_MAX + 1, value_codec)
    return block


def write_mark(directory: str, block: Superblock, mark: CleanMark, mode: int) -> None:
    """Say that the log ends cleanly."""
    write_aside(
        directory,
        CLEAN,
        with_sum(CLEAN_MARK.pack(CLEAN_MAGIC, block.store_id, mark.tail, mark.sequence, mark.count)),
        mode,
    )


def read_mark(directory: str, block: Superblock) -> CleanMark | None:
    """Return the mark of a clean end, or None."""
    if not os.path.exists(os.path.join(directory, CLEAN)):
        return None
    magic, store_id, tail, sequence, count = CLEAN_MARK.unpack(read_small(directory, CLEAN, CLEAN_MARK.size))
    if magic != CLEAN_MAGIC or store_id != block.store_id:
        raise CorruptionError(
            f"{os.path.join(directory, CLEAN)} is not this store's: magic at offset 0, store id at offset 8. "
            "Delete it and open again"
        )
    return CleanMark(tail, sequence, count)


def appearance(directory: str) -> tuple[list[str], int]:
    """Return the names in the log and which clean mark is there: a writer that changes either changes this."""
    try:
        mark = os.stat(os.path.join(directory, CLEAN)).st_mtime_ns
    except FileNotFoundError:
        mark = 0
    return sorted(os.listdir(os.path.join(directory, LOG))), mark


def remove_mark(directory: str) -> None:
    """Take the mark of a clean end away, durably."""
    try:
        os.unlink(os.path.join(directory, CLEAN))
    except FileNotFoundError:
        return
    sync_directory(directory)


def host_name() -> str:
    """Return this machine's name; where the system does not say (Windows), through a module that is slow to import."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


@final
class DirectoryLock:
    """The one writer's lock: flock where there is one, a locked byte on Windows; it goes with the process."""

    def __init__(self, directory: str, mode: int) -> None:
        self.path = os.path.join(directory, LOCK)
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | OPEN_FLAGS, mode)
        if not self.take():
            holder = self.holder()
            os.close(self.descriptor)
            self.descriptor = -1
            raise LockedError(
                f"{directory} is open for writing in {holder}; close it there, or open it with read_only=True to "
                "read the last commit"
            )
        note = f'{{"pid": {os.getpid()}, "host": "{host_name()}"}}'.encode()
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.write(self.descriptor, note)

    def take(self) -> bool:
        """Try to take the lock."""
        try:
            import fcntl
        except ImportError:
            import msvcrt

            windows: Any = msvcrt

            try:
                os.lseek(self.descriptor, 1 << 20, os.SEEK_SET)
                windows.locking(self.descriptor, windows.LK_NBLCK, 1)
            except OSError:
                return False
            return True
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def holder(self) -> str:
        """Return who holds the lock, in words."""
        import json

        try:
            os.lseek(self.descriptor, 0, os.SEEK_SET)
            note = json.loads(os.read(self.descriptor, 4096))
            return f"process {note['pid']} on {note['host']}"
        except (ValueError, KeyError, TypeError):
            return "another process that has not written its number yet"

    def close(self) -> None:
        """Give the lock back."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
