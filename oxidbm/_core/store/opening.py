"""Opening: how a path, or none, becomes the handle of an open store."""

import os
from typing import Final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS, power_of_two
from oxidbm._core.budget import Budget
from oxidbm._core.counters import Counters
from oxidbm._core.device.device import Device, NullDevice
from oxidbm._core.device.directory import BEFORE_A_STORE, LOG, SEGMENT_SUFFIX, STORE, Directory, DirectoryLock
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.recovery import recover
from oxidbm._core.durability.serials import Serials
from oxidbm._core.durability.superblock import (
    BYTES_NAME,
    StorePrelude,
    Superblock,
    appearance,
    never_durable,
    read_mark,
    read_superblock,
    write_superblock,
)
from oxidbm._core.errors import CodecError, CorruptionError, FormatError, MissingError
from oxidbm._core.hashing import MASK_62
from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.life import READ_ONLY, Life
from oxidbm._core.log.hybrid_log import FRAMES_MIN, HybridLog
from oxidbm._core.store.coder import ANY_NAME, Coder
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.maintainers import DiskMaintainer, MemoryMaintainer
from oxidbm._core.store.options import Options
from oxidbm._core.store.size_limit import SizeLimit
from oxidbm._core.table.table import Table

DIRECTORY_BITS: Final = 0o111
ATTEMPTS_MAX: Final = 100


def random_seed() -> int:
    """Return 62 random bits; the module `secrets` would cost a seventh of the time to import oxidbm."""
    return int.from_bytes(os.urandom(8), "little") & MASK_62


def open_memory(options: Options) -> Handle:
    """Return a store that lives in memory."""
    budget = Budget(i64(options.memory))
    log = HybridLog(NullDevice(FIRST_ADDRESS), Life(""), budget, options.page_bits, True)
    table = Table(log, HashIndex(0, budget), random_seed(), options.clock)
    counters = Counters()
    table.maintainer = MemoryMaintainer(table, SizeLimit(table, counters, i64(options.size_limit)), options.evict)
    return Handle(Commits(table, Serials()), options, counters)


def open_path(path: str, options: Options) -> Handle:
    """Open or make the store at `path`."""
    prepare_directory(path, options)
    directory = Directory(path)
    lock: DirectoryLock | None = None
    try:
        if not options.read_only and options.lock:
            lock = DirectoryLock(directory, options.mode)
        if directory.status(STORE) is None or (options.device is None and never_durable(directory)):
            if options.read_only or not options.create:
                raise MissingError(2, "the directory holds no store, and this call may not make one", path)
            block = Superblock(os.urandom(16), random_seed(), options.page_bits)
            block.key_codec = name_to_keep(options.coders.key)
            block.value_codec = name_to_keep(options.coders.value)
            write_superblock(directory, block, options.mode)
        block = read_superblock(directory)
        check_codec(path, options.coders.key, block.key_codec)
        check_codec(path, options.coders.value, block.value_codec)
        opened = open_beside_writer if options.read_only else open_log
        handle = opened(directory, options, block)
        handle.directory = directory
        handle.lock = lock
        handle.superblock = block
        return handle
    except BaseException:
        if lock is not None:
            lock.close()
        directory.close()
        raise


def name_to_keep(coder: Coder) -> str:
    """Return the codec's name that a new store keeps."""
    return BYTES_NAME if coder.name == ANY_NAME else coder.name


def check_codec(path: str, coder: Coder, kept: str) -> None:
    """Raise CodecError where a store was made with another codec than it is opened with."""
    if coder.name not in (ANY_NAME, kept):
        given = "none (bytes as they are)" if coder.name == BYTES_NAME else repr(coder.name)
        raise CodecError(
            f"{path} keeps {coder.what} of the codec {kept!r}, and was opened with {given}; open it with the codec it "
            f"was made with, {coder.what[:-1]}=..."
        )


def prepare_directory(path: str, options: Options) -> None:
    """See that the path is a store's directory, or may become one."""
    try:
        names = set(os.listdir(path))
    except NotADirectoryError:
        raise FormatError(f"{path} is a file; a store is a directory. Choose another path") from None
    except FileNotFoundError:
        if options.read_only or not options.create:
            raise MissingError(2, "there is no store to open, and this call may not make one", path) from None
        os.makedirs(path, options.mode | DIRECTORY_BITS)
        names = set()
    if STORE in names:
        if LOG not in names and options.device is None:
            raise CorruptionError(f"{os.path.join(path, LOG)} is missing; restore the store from a copy")
        return
    if LOG in names and any(name.endswith(SEGMENT_SUFFIX) for name in os.listdir(os.path.join(path, LOG))):
        raise CorruptionError(f"{os.path.join(path, STORE)} is missing, but there is a log; restore it from a copy")
    if options.read_only or not options.create:
        raise MissingError(2, "the directory holds no store, and this call may not make one", path)
    foreign = sorted(names.difference(BEFORE_A_STORE))
    if foreign:
        raise FormatError(
            f"{path} is not a store: it has no {STORE} but {foreign[0]}. Choose an empty directory or a new name"
        )
    os.makedirs(os.path.join(path, LOG), options.mode | DIRECTORY_BITS, exist_ok=True)


def open_beside_writer(directory: Directory, options: Options, block: Superblock) -> Handle:
    """Open the log read-only. A writer may remove the mark or segments meanwhile; then what was read means nothing."""
    attempt = 0
    while True:
        before = appearance(directory)
        try:
            return open_log(directory, options, block)
        except (CorruptionError, FileNotFoundError):
            attempt += 1
            if attempt == ATTEMPTS_MAX or appearance(directory) == before:
                raise


def device_for(directory: Directory, options: Options, block: Superblock) -> Device:
    """Return the device that keeps the log: the caller's, or the directory's segments."""
    if options.device is not None:
        return options.device
    return FileDevice(
        directory.sub(LOG), block.page_bits, read_only=options.read_only, mapped=options.mapped, mode=options.mode
    )


def open_log(directory: Directory, options: Options, block: Superblock) -> Handle:
    """Open the log, recover it, and return the handle."""
    page_bytes = int(power_of_two(block.page_bits))
    if options.memory < FRAMES_MIN * page_bytes:
        raise ValueError(
            f"memory is {options.memory} bytes; {directory.path} has pages of {page_bytes} bytes and needs at least "
            f"{FRAMES_MIN * page_bytes}"
        )
    mark = read_mark(directory, block)
    device = device_for(directory, options, block)
    try:
        budget = Budget(i64(options.memory))
        log = HybridLog(device, Life(directory.path), budget, block.page_bits, False)
        log.checksum_key = i64(block.checksum_key())
        table = Table(log, HashIndex(0, budget), block.seed & MASK_62, options.clock)
        commits = Commits(table, Serials())
        recover(commits, mark, options.read_only)
    except BaseException:
        device.close()
        raise
    counters = Counters()
    handle = Handle(commits, options, counters)
    if options.read_only:
        log.life.writable = READ_ONLY
        return handle
    prelude = StorePrelude(directory)
    prelude.creation_synced = device.size() > 0
    prelude.mark_present = mark is not None
    log.prelude = handle.prelude = prelude
    limit = SizeLimit(table, counters, i64(options.size_limit))
    interval = options.interval if options.durability == "interval" else 0.0
    disk = DiskMaintainer(commits, counters, limit, interval, options.compaction)
    table.maintainer = handle.disk = disk
    return handle
