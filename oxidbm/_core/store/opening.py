"""Opening: how a path, or none, becomes the handle of an open store."""

import os
import time
from typing import cast

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS, power_of_two
from oxidbm._core.budget import Budget
from oxidbm._core.coder import ANY_NAME, BYTES_NAME, Coder, script_hint
from oxidbm._core.counters import Counters
from oxidbm._core.device.device import Device, NullDevice
from oxidbm._core.device.directory import LOG, STORE, Directory
from oxidbm._core.device.directory_lock import DirectoryLock, note_recovery
from oxidbm._core.device.making import Making, prepare_directory
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.beside import open_beside_writer
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.checkpointer import Checkpointer
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.newest import copy_of_log
from oxidbm._core.durability.rebuild import OverlayDevice, Spill, put_in_log
from oxidbm._core.durability.recovery import recover
from oxidbm._core.durability.serials import Serials
from oxidbm._core.durability.source import Recovery, Source, tell_of_recovery
from oxidbm._core.durability.superblock import (
    StorePrelude,
    Superblock,
    never_durable,
    read_mark,
    read_superblock,
    write_superblock,
)
from oxidbm._core.errors import CodecError, CorruptionError, FormatError
from oxidbm._core.hashing import MASK_62
from oxidbm._core.index.hash_index import NOTHING, HashIndex
from oxidbm._core.life import READ_ONLY, Life
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.paging import check_memory, check_pages
from oxidbm._core.store.compactor import Compactor
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.interval import Interval
from oxidbm._core.store.maintainers import DiskMaintainer, MemoryMaintainer
from oxidbm._core.store.options import Options
from oxidbm._core.store.size_limit import SizeLimit
from oxidbm._core.table.table import Table


def random_seed() -> int:
    """Return 62 random bits; the module `secrets` would cost a seventh of the time to import oxidbm."""
    return int.from_bytes(os.urandom(8), "little") & MASK_62


def open_memory(options: Options) -> Handle:
    """Return a store that lives in memory."""
    check_pages("store", options.memory, int(power_of_two(options.page_bits)))
    budget = Budget(i64(options.memory))
    log = HybridLog(NullDevice(FIRST_ADDRESS), Life(""), budget, options.page_bits, True)
    table = Table(log, HashIndex(0, budget), random_seed(), options.clock)
    table.reads = options.reads_noted(budget, table.seed)
    counters = Counters()
    table.maintainer = MemoryMaintainer(table, SizeLimit(table, counters, i64(options.size_limit)), options.evict)
    return Handle(Commits(table, Serials()), options, counters)


def open_path(path: str, options: Options) -> Handle:
    """Open or make the store at `path`."""
    if not options.read_only:
        return open_once(path, options)
    return cast(Handle, open_beside_writer(path, lambda: open_once(path, options), options.device is None))


def open_once(path: str, options: Options) -> Handle:
    """Open or make the store at `path`, once."""
    making = Making("store", options.create and not options.read_only, options.mode, options.device is None)
    prepare_directory(path, making)
    directory = Directory(path)
    lock: DirectoryLock | None = None
    try:
        if not options.read_only and options.lock:
            lock = DirectoryLock(directory, options.mode)
        status = directory.status(STORE)
        made = False
        if status is None or (options.device is None and never_durable(directory, status)):
            if not making.allowed:
                raise making.none_in(path)
            check_device(options, options.page_bits)
            made = True
            block = Superblock(os.urandom(16), random_seed(), options.page_bits)
            block.key_codec = name_to_keep(options.coders.key)
            block.value_codec = name_to_keep(options.coders.value)
            write_superblock(directory, block, options.mode)
        block = read_superblock(directory)
        check_device(options, block.page_bits)
        check_codec(path, options.coders.key, block.key_codec)
        check_codec(path, options.coders.value, block.value_codec)
        handle = open_log(directory, options, block)
        if handle.prelude is not None and not handle.prelude.mark_present:
            note_recovery(directory, options.mode)
            tell_of_recovery(handle.life, handle.recovery, made)
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
            f"was made with, {coder.what[:-1]}=...{script_hint(kept, coder.name)}"
        )


def check_device(options: Options, page_bits: int) -> None:
    """Raise ValueError for files that were opened as those of a log with pages of another size than the store's."""
    device = options.device
    if isinstance(device, FileDevice) and device.page_bits != page_bits:
        raise ValueError(
            f"the device is one of pages of {int(power_of_two(device.page_bits))} bytes, and the store's have "
            f"{int(power_of_two(page_bits))}; give FileDevice {page_bits} as page_bits"
        )


def device_for(directory: Directory, options: Options, block: Superblock) -> Device:
    """Return the device that keeps the log: the caller's, or the directory's segments."""
    if options.device is not None:
        return options.device
    return FileDevice(
        directory.sub(LOG), block.page_bits, read_only=options.read_only, mapped=options.mapped, mode=options.mode
    )


def unrecovered(directory: Directory, device: Device, options: Options, block: Superblock) -> Commits:
    """Return table and log on a device, as nothing has been read of it yet; recovery makes the index."""
    budget = Budget(i64(options.memory))
    log = HybridLog(device, Life(directory.path), budget, block.page_bits, False)
    log.checksum_key = i64(block.checksum_key())
    table = Table(log, HashIndex(NOTHING, budget), block.seed & MASK_62, options.clock)
    table.cache_limit = options.read_cache
    table.reads = options.reads_noted(budget, table.seed)
    return Commits(table, Serials())


def open_log(directory: Directory, options: Options, block: Superblock) -> Handle:
    """Open the log, recover it, and return the handle."""
    page_bytes = int(power_of_two(block.page_bits))
    check_memory(directory.path, options.memory, page_bytes)
    check_pages("store", options.memory, page_bytes)
    started = time.monotonic()
    mark = read_mark(directory, block) if options.checkpoint is None else None
    device = device_for(directory, options, block)
    files = CheckpointFiles(directory, block.store_id, options.mode)
    try:
        commits = unrecovered(directory, device, options, block)
        source = Source(files)
        source.elsewhere = options.read_only
        report = Recovery()
        source.read_all(report)
        choose_checkpoint(source, options.checkpoint)
        spill = copy_of_log(commits.log, mark, source, report)
        if spill is not None:
            device = with_copy(commits.log, spill, source, options)
            commits = unrecovered(directory, device, options, block)
        try:
            replay = recover(commits, mark, options.read_only, source, report)
        except CorruptionError as failure:
            if report.checkpoint is None:
                raise
            report.faults.append(f"begun with the checkpoint {report.checkpoint}: {failure}")
            report.checkpoint = None
            source.images = False
            commits = unrecovered(directory, device, options, block)
            replay = recover(commits, mark, options.read_only, source, report)
    except BaseException:
        device.close()
        files.close()
        raise
    report.seconds = time.monotonic() - started
    table = commits.table
    log = commits.log
    counters = Counters()
    handle = Handle(commits, options, counters)
    handle.files = files
    handle.recovery = report
    if options.read_only:
        log.life.writable = READ_ONLY
        return handle
    segments = device.directory if isinstance(device, FileDevice) and options.device is None else None
    prelude = StorePrelude(directory, segments)
    prelude.creation_synced = device.size() > 0
    prelude.mark_present = mark is not None
    log.prelude = handle.prelude = prelude
    limit = SizeLimit(table, counters, i64(options.size_limit))
    checkpoints = Checkpointer(commits, files, options.checkpoints)
    checkpoints.recovered(source.known, report.checkpoint, replay.total, replay.start)
    if source.known:  # one that was passed over has a number that no commit may have again
        latest = max(commits.sequence, i64(source.known[-1].sequence))
        commits.sequence = commits.durable_sequence = latest
    commits.watcher = checkpoints
    timing = Interval(commits, options.interval if options.durability == "interval" else 0.0)
    compactor = Compactor(timing, checkpoints, counters, i64(options.compaction_rate))
    disk = DiskMaintainer(compactor, limit, options.compaction)
    table.maintainer = handle.disk = disk
    return handle


def with_copy(log: HybridLog, spill: Spill, source: Source, options: Options) -> Device:
    """Return a device that has what a snapshot has of the log as well: for a writer the log's own, which it goes to."""
    rebuilt = source.rebuilt
    assert rebuilt is not None
    if options.read_only:
        return OverlayDevice(log.device, spill, rebuilt)
    try:
        put_in_log(log, spill, i64(rebuilt.durable_to))
    finally:
        spill.close()
    return log.device


def choose_checkpoint(source: Source, token: str | None) -> None:
    """Have recovery stop at a checkpoint; MissingError where there is none of that token."""
    if token is None:
        return
    metadata = source.find(token)
    if not metadata.is_state():
        raise FormatError(f"the checkpoint {token} is an image of the index alone; it makes opening faster, no more")
    source.at = metadata
