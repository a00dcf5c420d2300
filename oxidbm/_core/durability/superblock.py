"""The superblock and the mark of a clean end: what a store says of itself beside its log.

STORE (the superblock) is written once: magic, format version, store id, hash seed, page size, the codecs' names. CLEAN
is there only while a store is closed cleanly, and says where its log ends; it is removed before anything else is
written. Each carries a checksum, is written aside, synced, renamed, and the directory synced.
"""

import errno
import os
import struct
import zlib
from typing import Final, final

from oxidbm._core.address import ADDRESS_MAX, PAGE_BITS_MAX, PAGE_BITS_MIN
from oxidbm._core.coder import BYTES_NAME
from oxidbm._core.device.directory import CLEAN, LOG, STORE, Directory
from oxidbm._core.device.system import sync_file
from oxidbm._core.errors import CorruptionError, FormatError
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.log.hybrid_log import Prelude

MAGIC: Final = b"\x89oxidbm\n"
FORMAT_VERSION: Final = 2
CODEC_NAME_MAX: Final = 255
KEY_CODEC_OFFSET: Final = 48
SUPERBLOCK: Final = struct.Struct("<8sQ16sQQ256p256p")
SUPERBLOCK_START: Final = struct.Struct("<8sQ")
CLEAN_MAGIC: Final = b"\x89oxiend\n"
CLEAN_MARK: Final = struct.Struct("<8s16sQQQ")
SUM: Final = struct.Struct("<I")


@final
class Kind:
    """What a directory with a superblock can be, and what opens it."""

    def __init__(self, magic: bytes, version: int, what: str, opener: str) -> None:
        self.magic = magic
        self.version = version
        self.what = what
        self.opener = opener

    def beginning(self) -> bytes:
        """Return what a superblock of this kind begins with."""
        return SUPERBLOCK_START.pack(self.magic, self.version)


A_STORE: Final = Kind(MAGIC, FORMAT_VERSION, "store", "oxidbm.Store")
A_LOG: Final = Kind(b"\x89oxilog\n", 1, "log", "oxidbm.Log")
A_QUEUE: Final = Kind(b"\x89oxique\n", 1, "queue", "oxidbm.Queue")
KINDS: Final = (A_STORE, A_LOG, A_QUEUE)


def kind_of(superblock: bytes) -> Kind:
    """Return what a superblock is one of, as it begins: a store's where that says nothing."""
    for kind in KINDS:
        if superblock[: len(kind.magic)] == kind.magic:
            return kind
    return A_STORE


@final
class Superblock:
    """What is fixed when a store, or a log that stands alone, is made."""

    def __init__(self, store_id: bytes, seed: int, page_bits: int) -> None:
        self.store_id = store_id
        self.seed = seed
        self.page_bits = page_bits
        self.key_codec = BYTES_NAME
        self.value_codec = BYTES_NAME
        self.kind = A_STORE

    def checksum_key(self) -> int:
        """Return the key of the records' checksums: a value cannot hold a record that verifies, whoever chose it."""
        return int.from_bytes(self.store_id[:4], "little")


@final
class CleanMark:
    """Where a cleanly closed log ends, its last commit's sequence number, and how many keys it holds."""

    def __init__(self, tail: int, sequence: int, count: int) -> None:
        self.tail = tail
        self.sequence = sequence
        self.count = count


def read_small(directory: Directory, name: str, size: int) -> bytes:
    """Return a small file's bytes without its checksum, verified."""
    return verified(directory.place(name), directory.read_start(name, size + SUM.size + 1), size)


def verified(path: str, data: bytes, size: int) -> bytes:
    """Return a small file's bytes without its checksum, which has to be that of the `size` bytes before it."""
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


def write_superblock(directory: Directory, block: Superblock, mode: int, durable: bool = False) -> None:
    """Make a store of the directory. Nothing in it is durable yet; the first commit calls `sync_creation`.

    durable: else a power failure may leave a torn one.
    """
    key_codec = encode_name(block.key_codec)
    value_codec = encode_name(block.value_codec)
    kind = block.kind
    data = SUPERBLOCK.pack(
        kind.magic, kind.version, block.store_id, block.seed, block.page_bits, key_codec, value_codec
    )
    directory.write_aside(STORE, with_sum(data), mode, durable=durable)


def never_durable(directory: Directory, superblock: os.stat_result, kind: Kind = A_STORE) -> bool:
    """Return whether a crash left a store that was being made: its superblock torn, its log empty, no clean end.

    What is torn has a beginning, as far as it is there, of a superblock or of zeros, and does not verify.
    """
    size = SUPERBLOCK.size + SUM.size
    if superblock.st_size > size or directory.status(CLEAN) is not None:
        return False
    data = directory.read_start(STORE, size)
    beginning = kind.beginning()
    if any(data[: len(beginning)]) and data[: len(beginning)] != beginning[: len(data)]:
        return False
    if with_sum(data[: SUPERBLOCK.size]) == data:
        return False
    if directory.status(LOG) is None:
        return True
    log = directory.sub(LOG)
    try:
        return not log.names()
    finally:
        log.close()


def read_superblock(directory: Directory, kind: Kind = A_STORE) -> Superblock:
    """Return the superblock.

    Raises FormatError for what is of no such kind or a newer one, CorruptionError for a damaged one.
    """
    path = directory.place(STORE)
    data = directory.read_start(STORE, SUPERBLOCK.size + SUM.size + 1)  # read once: a system call is a microsecond
    if data[:8] != kind.magic:
        for other in KINDS:
            if data[:8] == other.magic:
                raise FormatError(f"{directory.path} is a {other.what}, not a {kind.what}; open it with {other.opener}")
        raise FormatError(
            f"{path} does not begin at offset 0 as a {kind.what}'s superblock does; {directory.path} is something else"
        )
    if len(data) >= SUPERBLOCK_START.size:
        (version,) = struct.unpack_from("<Q", data, 8)
        if version > kind.version:
            raise FormatError(
                f"{path} at offset 8 says format version {version}; this release reads {kind.version}. "
                "Upgrade oxidbm to open it"
            )
    return unpack_superblock(path, verified(path, data, SUPERBLOCK.size), kind)


def unpack_superblock(path: str, data: bytes, kind: Kind = A_STORE) -> Superblock:
    """Return what a superblock's bytes say, whose checksum holds; `path` is what errors call them."""
    magic, version, store_id, seed, page_bits, key_codec, value_codec = SUPERBLOCK.unpack(data)
    if version < 1:
        raise CorruptionError(
            f"{path} at offset 8 says format version {version}, which never was; restore it from a copy"
        )
    if version < kind.version:
        raise FormatError(
            f"{path} at offset 8 says format version {version}, of before the first release; this release reads "
            f"{FORMAT_VERSION}. Dump the store with the oxidbm that wrote it, and load the dump"
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
    block.kind = kind
    block.key_codec = decode_name(path, KEY_CODEC_OFFSET, key_codec)
    block.value_codec = decode_name(path, KEY_CODEC_OFFSET + CODEC_NAME_MAX + 1, value_codec)
    return block


def write_mark(directory: Directory, block: Superblock, mark: CleanMark, mode: int) -> None:
    """Say that the log ends cleanly."""
    data = CLEAN_MARK.pack(CLEAN_MAGIC, block.store_id, mark.tail, mark.sequence, mark.count)
    directory.write_aside(CLEAN, with_sum(data), mode)


def read_mark(directory: Directory, block: Superblock) -> CleanMark | None:
    """Return the mark of a clean end, or None."""
    try:
        data = read_small(directory, CLEAN, CLEAN_MARK.size)
    except FileNotFoundError:
        return None
    magic, store_id, tail, sequence, count = CLEAN_MARK.unpack(data)
    if magic != CLEAN_MAGIC or store_id != block.store_id:
        raise CorruptionError(
            f"{directory.place(CLEAN)} is not this store's: magic at offset 0, store id at offset 8. "
            "Delete it and open again"
        )
    if tail > ADDRESS_MAX or sequence > ADDRESS_MAX or count > ADDRESS_MAX:
        raise CorruptionError(
            f"{directory.place(CLEAN)} says that commit {sequence} ends at address {tail} with {count} keys, which "
            "cannot be. Delete it and open again"
        )
    return CleanMark(tail, sequence, count)


def remove_mark(directory: Directory) -> None:
    """Take the mark of a clean end away, durably."""
    try:
        directory.unlink(CLEAN)
    except FileNotFoundError:
        return
    directory.sync()


@final
class StorePrelude(Prelude):
    """What has to be durable before the first byte of a store's log is written: that it is there, and in use."""

    def __init__(self, directory: Directory, log: Directory | None = None) -> None:
        self.directory = directory
        self.log = log  # the directory of its segments, as it was opened
        self.creation_synced = False
        self.mark_present = False

    def run(self) -> None:
        """Make superblock, directory and its entry above durable, and take the mark of a clean end away.

        FileNotFoundError where the directory is gone, or the log's in it: what would be written to its files could
        never be found again.
        """
        if self.directory.removed():
            raise FileNotFoundError(errno.ENOENT, "its directory was deleted", self.directory.path)
        if self.log is not None and not self.directory.holds(LOG, self.log):
            raise FileNotFoundError(
                errno.ENOENT, "the directory was deleted, moved or replaced while it was open", self.log.path
            )
        if not self.creation_synced:
            self.sync_creation()
        if self.mark_present:
            remove_mark(self.directory)
            self.mark_present = False

    def mark_end(self, block: Superblock, mark: CleanMark, mode: int) -> None:
        """Write the mark of a clean end, where that can be done.

        All is durable by now. Without the mark the next opening finds the end as it does behind a crash, so a full
        disk, or a directory that may not be written any more, keeps nobody from closing.
        """
        self.mark_present = True  # it may be from now on: whatever is written next takes it away first
        try:
            write_mark(self.directory, block, mark, mode)
        except OSError as failure:
            if came_from_handler(failure):
                raise
            self.directory.give_up_aside(CLEAN)

    def sync_creation(self) -> None:
        """Make the superblock and the directory itself durable, before the first thing that relies on them."""
        if self.creation_synced:
            return
        descriptor = self.directory.open(STORE, os.O_RDWR)
        try:
            sync_file(descriptor)
        finally:
            os.close(descriptor)
        self.directory.sync()
        self.directory.sync_parent()
        self.creation_synced = True
