"""Opening and closing: how a path becomes an engine, and what has to be given back.

A Handle owns everything that an open store holds: the engine, its maintenance, the directory's lock. It is closed once,
by the store, by the store's finalizer or at the interpreter's exit. In a forked child every handle is void: the state
says so, and the child's copy of the lock's file is closed, so that the lock stays the parent's alone.
"""

import atexit
import os
import time
from collections.abc import Callable
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS, PAGE_BITS_MAX, PAGE_BITS_MIN, power_of_two
from oxidbm._core.device.device import SUFFIX, Device, FileDevice, NullDevice
from oxidbm._core.durability import commit, files
from oxidbm._core.durability.recovery import recover
from oxidbm._core.errors import CodecError, CorruptionError, FormatError, MissingError, error
from oxidbm._core.hashing import MASK_62
from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.log.hybrid_log import FRAMES_MIN, HybridLog
from oxidbm._core.store.coder import ANY_NAME, BYTES_NAME, PLAIN, Coder, plain
from oxidbm._core.store.maintenance import DiskMaintainer, MemoryMaintainer
from oxidbm._core.store.size_limit import SizeLimit
from oxidbm._core.table.engine import CLOSED, FORKED, OPEN, READ_ONLY, WRITABLE, ClosedMaintainer, Engine

MEMORY_MIN: Final = 1 << 20
PAGES_AIM: Final = 8
DIRECTORY_BITS: Final = 0o111
ATTEMPTS_MAX: Final = 100
EVERYTHING: Final = 0xFFFFFFFFFFFF


def random_seed() -> int:
    """Return 62 random bits; the module `secrets` would cost a seventh of the time to import oxidbm."""
    return int.from_bytes(os.urandom(8), "little") & MASK_62


@final
class Options:
    """What a store is opened with; `Store` documents each."""

    def __init__(self, memory: int, page_size: int, durability: str, interval: float) -> None:
        if memory < MEMORY_MIN:
            raise ValueError(f"memory is {memory} bytes; a store needs at least {MEMORY_MIN}")
        if durability not in ("manual", "interval", "always"):
            raise ValueError(f'durability is "manual", "interval" or "always", not {durability!r}')
        if interval <= 0:
            raise ValueError(f"interval is a positive number of seconds, not {interval}")
        bits = page_size.bit_length() - 1
        if page_size & (page_size - 1) or not PAGE_BITS_MIN <= bits <= PAGE_BITS_MAX:
            raise ValueError(
                f"page_size is a power of two from {1 << PAGE_BITS_MIN} to {1 << PAGE_BITS_MAX} bytes, not {page_size}"
            )
        while bits > PAGE_BITS_MIN and PAGES_AIM * power_of_two(bits) > memory:
            bits -= 1
        self.memory = memory
        self.page_bits = bits
        self.durability = durability
        self.interval = interval
        self.read_only = False
        self.create = True
        self.lock = True
        self.evict = False
        self.compaction = True
        self.mapped = True
        self.mode = 0o666
        self.device: Device | None = None
        self.key_coder = plain("keys")
        self.value_coder = plain("values")
        self.size_limit = 0
        self.clock: Callable[[], float] = time.time


@final
class Handle:
    """An open store's engine and what closing it gives back."""

    def __init__(self, e: Engine, options: Options) -> None:
        self.e = e
        self.options = options
        self.disk: DiskMaintainer | None = None
        self.lock: files.DirectoryLock | None = None
        self.superblock: files.Superblock | None = None
        self.made = False
        self.limit: SizeLimit | None = None
        e.key_coder = options.key_coder
        e.value_coder = options.value_coder
        e.typed = e.key_coder.kind != PLAIN or e.value_coder.kind != PLAIN
        HANDLES[id(self)] = self

    def close(self) -> None:
        """Commit, mark the clean end, and give everything back, whatever fails; a second time does nothing."""
        e = self.e
        e.wait_at_gate()
        if e.state != OPEN:
            return
        HANDLES.pop(id(self), None)
        disk = self.disk
        if disk is not None:
            with e.compact_lock:
                if not e.alive():
                    return  # another thread was faster
                disk.stop()
                with e.gate:  # a batch that began meanwhile is applied first
                    e.state = CLOSED
        e.state = CLOSED
        try:
            if disk is not None and e.writable == WRITABLE:
                self.commit_all()
                self.mark_end()
            elif disk is not None and e.writable != READ_ONLY:
                e.blocked_write()
        finally:
            self.give_back()

    def abandon(self) -> None:
        """Close without a commit or a mark, as a crash would leave it; for tests of recovery."""
        e = self.e
        if e.state != OPEN:
            return
        HANDLES.pop(id(self), None)
        if self.disk is not None:
            self.disk.stop()
        e.state = CLOSED
        self.give_back()

    def commit_all(self) -> None:
        """Commit also what operations that were under way still append, until nothing more can be appended."""
        e = self.e
        while not e.log.shut:
            commit.commit(e)
            if e.durable_tail >= e.log.tail:
                e.log.shut_down()

    def mark_end(self) -> None:
        """Write the mark of a clean end."""
        e = self.e
        if not e.creation_synced:
            files.sync_creation(e.path)
        if self.superblock is not None and not e.mark_present:
            mark = files.CleanMark(int(e.commit_end), int(e.durable_sequence), int(e.count + e.pending_count()))
            files.write_mark(e.path, self.superblock, mark, self.options.mode)

    def give_back(self) -> None:
        """Close files, free frames and index, give up the lock."""
        e = self.e
        e.maintainer = ClosedMaintainer(e)
        e.log.shut_down()
        self.disk = None
        try:
            e.epoch.drain()
            e.log.device.close()
        finally:
            e.log.frames.free()
            e.log.head = EVERYTHING  # nothing is in memory
            e.log.tail = e.log.limit = FIRST_ADDRESS
            e.log.tail_open = False
            e.index = HashIndex(0)
            if self.lock is not None:
                self.lock.close()


HANDLES: dict[int, Handle] = {}


def close_all() -> None:
    """Close every store still open when the interpreter exits."""
    for handle in list(HANDLES.values()):
        try:
            handle.close()
        except error:
            continue  # poisoned: its writer has been told


def forget_all() -> None:
    """Make every handle void in a forked child."""
    for handle in list(HANDLES.values()):
        handle.e.state = FORKED
        if handle.lock is not None:
            handle.lock.close()
    HANDLES.clear()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_all)


def open_memory(options: Options) -> Handle:
    """Return a store that lives in memory."""
    log = HybridLog(NullDevice(FIRST_ADDRESS), options.page_bits, options.memory, True)
    e = Engine("", log, HashIndex(0), random_seed(), options.clock)
    memory = MemoryMaintainer(e, options.evict)
    e.maintainer = memory
    memory.limit = SizeLimit(e, i64(options.size_limit))
    log.other_memory = e.index.size_bytes()
    handle = Handle(e, options)
    handle.limit = memory.limit
    return handle


def open_path(path: str, options: Options) -> Handle:
    """Open or make the store at `path`."""
    prepare_directory(path, options)
    lock = None if options.read_only or not options.lock else files.DirectoryLock(path, options.mode)
    try:
        made = not options.read_only and (
            not os.path.exists(os.path.join(path, files.STORE)) or files.never_durable(path)
        )
        if made:
            block = files.Superblock(os.urandom(16), random_seed(), options.page_bits)
            block.key_codec = name_to_keep(options.key_coder)
            block.value_codec = name_to_keep(options.value_coder)
            files.write_superblock(path, block, options.mode)
        block = files.read_superblock(path)
        check_codec(path, options.key_coder, block.key_codec)
        check_codec(path, options.value_coder, block.value_codec)
        handle = open_beside_writer(path, options, block) if options.read_only else open_log(path, options, block)
        handle.lock = lock
        handle.superblock = block
        handle.made = made
        return handle
    except BaseException:
        if lock is not None:
            lock.close()
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
    if files.STORE in names:
        if files.LOG not in names and options.device is None:
            raise CorruptionError(f"{os.path.join(path, files.LOG)} is missing; restore the store from a copy")
        return
    if files.LOG in names and any(name.endswith(SUFFIX) for name in os.listdir(os.path.join(path, files.LOG))):
        raise CorruptionError(
            f"{os.path.join(path, files.STORE)} is missing, but there is a log; restore it from a copy"
        )
    if options.read_only or not options.create:
        raise MissingError(2, "the directory holds no store, and this call may not make one", path)
    foreign = sorted(names - {files.LOCK, files.LOG, files.STORE + ".new"})
    if foreign:
        raise FormatError(
            f"{path} is not a store: it has no {files.STORE} but {foreign[0]}. Choose an empty directory or a new name"
        )
    os.makedirs(os.path.join(path, files.LOG), options.mode | DIRECTORY_BITS, exist_ok=True)


def open_beside_writer(path: str, options: Options, block: files.Superblock) -> Handle:
    """Open the log read-only. A writer may remove the mark or segments meanwhile; then what was read means nothing."""
    attempt = 0
    while True:
        before = files.appearance(path)
        try:
            return open_log(path, options, block)
        except (CorruptionError, FileNotFoundError):
            attempt += 1
            if attempt == ATTEMPTS_MAX or files.appearance(path) == before:
                raise


def open_log(path: str, options: Options, block: files.Superblock) -> Handle:
    """Open the log, recover it, and return the handle."""
    page_bytes = int(power_of_two(block.page_bits))
    if options.memory < FRAMES_MIN * page_bytes:
        raise ValueError(
            f"memory is {options.memory} bytes; {path} has pages of {page_bytes} bytes and needs at least "
            f"{FRAMES_MIN * page_bytes}"
        )
    mark = files.read_mark(path, block)
    device = options.device
    if device is None:
        device = FileDevice(
            os.path.join(path, files.LOG),
            block.page_bits,
            read_only=options.read_only,
            mapped=options.mapped,
            mode=options.mode,
        )
    try:
        log = HybridLog(device, block.page_bits, options.memory, False)
        e = Engine(path, log, HashIndex(0), block.seed & MASK_62, options.clock)
        recover(e, mark, options.read_only)
    except BaseException:
        device.close()
        raise
    e.mark_present = mark is not None
    e.creation_synced = device.size() > 0
    handle = Handle(e, options)
    if options.read_only:
        e.writable = READ_ONLY
        return handle
    disk = DiskMaintainer(e, options.interval if options.durability == "interval" else 0.0, options.compaction)
    handle.disk = disk
    e.maintainer = disk
    disk.limit = SizeLimit(e, i64(options.size_limit))
    handle.limit = disk.limit
    return handle
