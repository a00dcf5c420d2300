"""Opening: how a path, or none, becomes the handle of an open store."""

import os
import time
from typing import Final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS, power_of_two
from oxidbm._core.budget import Budget
from oxidbm._core.counters import Counters
from oxidbm._core.device.device import Device, NullDevice
from oxidbm._core.device.directory import (
    BEFORE_A_STORE,
    DIRECTORY_BITS,
    LOG,
    SEGMENT_SUFFIX,
    STORE,
    Directory,
    DirectoryLock,
    appearance,
    last_recovery,
    note_recovery,
)
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.checkpointer import Checkpointer
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.newest import copy_of_log
from oxidbm._core.durability.rebuild import OverlayDevice, Spill, put_in_log
from oxidbm._core.durability.recovery import recover
from oxidbm._core.durability.serials import Serials
from oxidbm._core.durability.source import Recovery, Source
from oxidbm._core.durability.superblock import (
    BYTES_NAME,
    StorePrelude,
    Superblock,
    never_durable,
    read_mark,
    read_superblock,
    write_superblock,
)
from oxidbm._core.errors import CodecError, CorruptionError, FormatError, LockedError, MissingError
from oxidbm._core.hashing import MASK_62
from oxidbm._core.index.hash_index import NOTHING, HashIndex
from oxidbm._core.life import READ_ONLY, Life
from oxidbm._core.log.hybrid_log import FRAMES_MIN, HybridLog
from oxidbm._core.store.coder import ANY_NAME, Coder
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.maintainers import DiskMaintainer, MemoryMaintainer
from oxidbm._core.store.options import Options
from oxidbm._core.store.size_limit import SizeLimit
from oxidbm._core.table.table import Table

ATTEMPTS_MAX: Final = 100
PAGES_MAX: Final = 1 << 24
PAUSE_SECONDS: Final = 0.0005  # before the second attempt, and as much more before each later one


def random_seed() -> int:
    """Return 62 random bits; the module `secrets` would cost a seventh of the time to import oxidbm."""
    return int.from_bytes(os.urandom(8), "little") & MASK_62


def check_pages(memory: int, page_bytes: int) -> None:
    """Raise ValueError for more pages in memory than there is a table for."""
    if memory // page_bytes > PAGES_MAX:
        raise ValueError(
            f"memory is {memory} bytes, more than {PAGES_MAX} pages of {page_bytes}; give it less, or make the store "
            "with a larger page_size="
        )


def open_memory(options: Options) -> Handle:
    """Return a store that lives in memory."""
    check_pages(options.memory, int(power_of_two(options.page_bits)))
    budget = Budget(i64(options.memory))
    log = HybridLog(NullDevice(FIRST_ADDRESS), Life(""), budget, options.page_bits, True)
    table = Table(log, HashIndex(0, budget), random_seed(), options.clock)
    counters = Counters()
    table.maintainer = MemoryMaintainer(table, SizeLimit(table, counters, i64(options.size_limit)), options.evict)
    return Handle(Commits(table, Serials()), options, counters)


def open_path(path: str, options: Options) -> Handle:
    """Open or make the store at `path`."""
    return open_beside_writer(path, options) if options.read_only else open_once(path, options)


def open_beside_writer(path: str, options: Options) -> Handle:
    """Open a store read-only. Writers may change meanwhile what is being read; then what was read means nothing.

    A missing file is one that was listed and then deleted, whatever else has changed. A log in which a torn tail was
    cut off and written anew may be read as one that never was, without a fault in it; the recovery's word tells. What
    looks as before may have changed and changed back, as a mark does of one who closed and one who opened meanwhile:
    a fault is believed when it is found twice.
    """
    attempt = 0
    said = ""
    while True:
        attempt += 1
        again = attempt < ATTEMPTS_MAX and options.device is None  # a device that was closed is not opened again
        before = appearance(path)
        recovery = last_recovery(path)
        try:
            handle = open_once(path, options)
            faults = len(handle.recovery.faults) > 0 and again and appearance(path) != before
            if recovery == last_recovery(path) and not faults:
                handle.recovery_word = recovery
                return handle
            handle.abandon()
            if not again:
                raise LockedError(
                    f"{path} was recovered by a writer each of the {attempt} times that it was read; open it again "
                    "when its writers have come to rest"
                )
        except MissingError:
            raise
        except FileNotFoundError:
            if not again:
                raise
        except (CorruptionError, FormatError) as failure:
            if not again or (str(failure) == said and appearance(path) == before):
                raise
            said = str(failure)
        time.sleep(PAUSE_SECONDS * attempt)


def open_once(path: str, options: Options) -> Handle:
    """Open or make the store at `path`, once."""
    prepare_directory(path, options)
    directory = Directory(path)
    lock: DirectoryLock | None = None
    try:
        if not options.read_only and options.lock:
            lock = DirectoryLock(directory, options.mode)
        status = directory.status(STORE)
        if status is None or (options.device is None and never_durable(directory, status)):
            if options.read_only or not options.create:
                raise MissingError(2, "the directory holds no store, and this call may not make one", path)
            check_device(options, options.page_bits)
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
    log = os.path.join(path, LOG)
    if os.path.lexists(os.path.join(path, STORE)) and os.path.isdir(log):
        return  # what the names would say, at a third of the system calls
    try:
        names = set(os.listdir(path))
    except NotADirectoryError:
        raise FormatError(f"{path} is a file; a store is a directory. Choose another path") from None
    except FileNotFoundError:
        if options.read_only or not options.create:
            raise MissingError(2, "there is no store to open, and this call may not make one", path) from None
        make_directory(path, options)
        names = set()
    if LOG in names and not os.path.isdir(log):
        raise FormatError(f"{log} is no directory, as a store's is; put that back, or restore the store from a copy")
    if STORE in names:
        if LOG not in names and options.device is None and not os.path.isdir(log):
            raise CorruptionError(f"{os.path.join(path, LOG)} is missing; restore the store from a copy")
        return
    fault = fault_without_superblock(path, names, options)
    if fault is not None:
        if os.path.lexists(os.path.join(path, STORE)):
            return  # another process or thread made the store while the names were listed
        raise fault
    make_directory(os.path.join(path, LOG), options)


def fault_without_superblock(path: str, names: set[str], options: Options) -> Exception | None:
    """Return why no store can be made of a directory with these names, None where one can."""
    log = os.path.join(path, LOG)
    if LOG in names and any(name.endswith(SEGMENT_SUFFIX) for name in os.listdir(log)):
        return CorruptionError(f"{os.path.join(path, STORE)} is missing, but there is a log; restore it from a copy")
    if options.read_only or not options.create:
        return MissingError(2, "the directory holds no store, and this call may not make one", path)
    foreign = sorted(names.difference(BEFORE_A_STORE))
    if foreign:
        return FormatError(
            f"{path} is not a store: it has no {STORE} but {foreign[0]}. Choose an empty directory or a new name"
        )
    return None


def make_directory(path: str, options: Options) -> None:
    """Make a directory, which another process or thread may be making at the same time."""
    try:
        os.makedirs(path, options.mode | DIRECTORY_BITS, exist_ok=True)
    except FileExistsError:
        raise FormatError(f"{path} is no directory, but a file or a link to nowhere; choose another path") from None


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
    return Commits(Table(log, HashIndex(NOTHING, budget), block.seed & MASK_62, options.clock), Serials())


def open_log(directory: Directory, options: Options, block: Superblock) -> Handle:
    """Open the log, recover it, and return the handle."""
    page_bytes = int(power_of_two(block.page_bits))
    if options.memory < FRAMES_MIN * page_bytes:
        raise ValueError(
            f"memory is {options.memory} bytes; {directory.path} has pages of {page_bytes} bytes and needs at least "
            f"{FRAMES_MIN * page_bytes}"
        )
    check_pages(options.memory, page_bytes)
    started = time.monotonic()
    mark = read_mark(directory, block) if options.checkpoint is None else None
    device = device_for(directory, options, block)
    try:
        commits = unrecovered(directory, device, options, block)
        files = CheckpointFiles(directory, block.store_id, options.mode)
        source = Source(files)
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
    interval = options.interval if options.durability == "interval" else 0.0
    checkpoints = Checkpointer(commits, files, options.checkpoints)
    checkpoints.recovered(source.known, report.checkpoint, replay.total, replay.start)
    if source.known:  # one that was passed over has a number that no commit may have again
        latest = max(commits.sequence, i64(source.known[-1].sequence))
        commits.sequence = commits.durable_sequence = latest
    commits.watcher = checkpoints
    disk = DiskMaintainer(commits, checkpoints, counters, limit, interval, options.compaction)
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
