"""Opening: how a path, or none, becomes the handle of an open log."""

import os
import time
import warnings
from typing import cast

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS, power_of_two
from oxidbm._core.budget import Budget
from oxidbm._core.coder import ANY_NAME, BYTES_NAME, script_hint
from oxidbm._core.device.device import Device, NullDevice
from oxidbm._core.device.directory import LOG, STORE, Directory
from oxidbm._core.device.directory_lock import DirectoryLock, note_recovery
from oxidbm._core.device.making import Making, prepare_directory
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.beside import open_beside_writer
from oxidbm._core.durability.found_commit import FoundCommit
from oxidbm._core.durability.newest_commit import newest_commit
from oxidbm._core.durability.source import tell_of_recovery
from oxidbm._core.durability.superblock import (
    StorePrelude,
    Superblock,
    never_durable,
    read_mark,
    read_superblock,
    write_superblock,
)
from oxidbm._core.errors import CodecError, CorruptionError, RecoveryWarning, alone
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.handle import LogHandle
from oxidbm._core.faster_log.keeper import LogKeeper
from oxidbm._core.faster_log.left_over import stand_at_what_is_left
from oxidbm._core.faster_log.options import LogOptions
from oxidbm._core.faster_log.position_file import known_durable, move_back
from oxidbm._core.faster_log.recover import commit_numbered, last_commit, older_mark
from oxidbm._core.faster_log.refresh import Refresher, stand_at
from oxidbm._core.faster_log.retention import Retention
from oxidbm._core.life import READ_ONLY, Life
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import bytes_behind
from oxidbm._core.paging import check_memory, check_pages


def open_memory(options: LogOptions) -> LogHandle:
    """Return a log that lives in memory."""
    check_pages(options.kind.what, options.memory, int(power_of_two(options.page_bits)))
    life = Life("", options.kind.what)
    log = HybridLog(NullDevice(FIRST_ADDRESS), life, Budget(i64(options.memory)), options.page_bits, True)
    log.checksum_key = i64(int.from_bytes(os.urandom(4), "little"))  # no entry can hold what looks like a record
    commits = EntryCommits(log)
    return LogHandle(commits, options, LogKeeper(commits, 0.0, 0))


def open_path(path: str, options: LogOptions) -> LogHandle:
    """Open or make the log at `path`."""
    if not options.read_only:
        return open_once(path, options)
    return cast(LogHandle, open_beside_writer(path, lambda: open_once(path, options), options.device is None))


def open_once(path: str, options: LogOptions) -> LogHandle:
    """Open or make the log at `path`, once."""
    making = Making(options.kind.what, options.create and not options.read_only, options.mode, options.device is None)
    prepare_directory(path, making)
    directory = Directory(path)
    lock: DirectoryLock | None = None
    try:
        if not options.read_only and options.lock:
            lock = DirectoryLock(directory, options.mode)
        status = directory.status(STORE)
        made = False
        if status is None or (options.device is None and never_durable(directory, status, options.kind)):
            if not making.allowed:
                raise making.none_in(path)
            made = True
            block = Superblock(os.urandom(16), 0, options.page_bits)
            block.kind = options.kind
            block.value_codec = BYTES_NAME if options.coder.name == ANY_NAME else options.coder.name
            write_superblock(directory, block, options.mode)
        block = read_superblock(directory, options.kind)
        check_codec(path, options, block)
        handle = open_as_asked(directory, options, block)
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


def open_as_asked(directory: Directory, options: LogOptions, block: Superblock) -> LogHandle:
    """Open the log; where it is damaged, as far as it can be read, if that is asked for, else say how to."""
    try:
        return open_log(directory, options, block)
    except CorruptionError as damage:
        if options.skips:
            return open_what_is_left(directory, options, block, str(damage))
        raise alone(
            CorruptionError(
                f'{damage}. What is left of the {options.kind.what} is read with read_only=True, on_error="skip", and '
                "saved by oxidbm.salvage_log(path, to)"
            )
        ) from None


def open_what_is_left(directory: Directory, options: LogOptions, block: Superblock, fault: str) -> LogHandle:
    """Open a damaged log to be read: by its last commit where only the mark of a clean end is damaged, else to its end.

    It stays as it is then, since nobody writes it.
    """
    device = device_for(directory, options, block)
    try:
        commits = unrecovered(directory, device, options, block)
        stand_at_what_is_left(commits)
    except BaseException:
        device.close()
        raise
    commits.log.life.writable = READ_ONLY
    handle = LogHandle(commits, options, None)
    handle.recovery.faults.append(fault)
    handle.recovery.commit = int(commits.sequence)
    return handle


def check_codec(path: str, options: LogOptions, block: Superblock) -> None:
    """Raise CodecError where a log was made with another codec than it is opened with."""
    name = options.coder.name
    if name not in (ANY_NAME, block.value_codec):
        given = "none (bytes as they are)" if name == BYTES_NAME else repr(name)
        raise CodecError(
            f"{path} keeps entries of the codec {block.value_codec!r}, and was opened with {given}; open it with the "
            f"codec it was made with, codec=...{script_hint(block.value_codec, name)}"
        )


def device_for(directory: Directory, options: LogOptions, block: Superblock) -> Device:
    """Return the device that keeps the log: the caller's, or the directory's segments."""
    if options.device is not None:
        return options.device
    return FileDevice(directory.sub(LOG), block.page_bits, read_only=options.read_only, mode=options.mode)


def unrecovered(directory: Directory, device: Device, options: LogOptions, block: Superblock) -> EntryCommits:
    """Return a log on a device, as nothing has been read of it yet."""
    life = Life(directory.path, options.kind.what)
    log = HybridLog(device, life, Budget(i64(options.memory)), block.page_bits, False)
    log.checksum_key = i64(block.checksum_key())
    return EntryCommits(log)


def open_log(directory: Directory, options: LogOptions, block: Superblock) -> LogHandle:
    """Open the log, recover it, and return the handle."""
    page_bytes = int(power_of_two(block.page_bits))
    check_memory(directory.path, options.memory, page_bytes)
    check_pages(options.kind.what, options.memory, page_bytes)
    started = time.monotonic()
    mark = read_mark(directory, block)
    device = device_for(directory, options, block)
    try:
        commits = unrecovered(directory, device, options, block)
        log = commits.log
        last, durable_to = last_commit(log, mark)
        if mark is None and not options.read_only:
            check_readers(directory, last)
        if options.commit:
            last = at_number(log, last, options.commit)
        end = i64(FIRST_ADDRESS) if last is None else last.end()
        cut = bytes_behind(device, end) if options.commit == 0 else 0
        if cut > 0 and mark is not None:
            raise older_mark(log, mark, cut)
        if last is None and cut > 0 and not options.read_only:
            say_nothing_counts(log, cut)
        if device.end() > end:
            if not options.read_only:
                device.truncate_after(end)
            elif isinstance(device, FileDevice):
                device.see_until(end)
        if mark is None and not options.read_only and device.size() > 0:
            sync_behind(device, durable_to)
        take_over(commits, last)
        if mark is None and not options.read_only:
            move_back(directory, end, commits.following, options.mode)
        if not options.read_only and device.begin() < log.begin & ~log.offset_mask:
            device.truncate_before(log.begin)  # a crash may have come before that
    except BaseException:
        device.close()
        raise
    if options.read_only:
        log.life.writable = READ_ONLY
        handle = LogHandle(commits, options, None)
        if options.commit == 0:
            handle.refresher = Refresher(commits, directory, block)
    else:
        keeper = LogKeeper(
            commits, options.interval if options.durability == "interval" else 0.0, i64(options.commit_bytes)
        )
        handle = LogHandle(commits, options, keeper)
        segments = device.directory if isinstance(device, FileDevice) and options.device is None else None
        prelude = StorePrelude(directory, segments)
        prelude.creation_synced = device.size() > 0
        prelude.mark_present = mark is not None
        log.prelude = handle.prelude = prelude
        if options.keeps():
            commits.before = Retention(commits, options, directory)
    handle.recovery.bytes_cut = cut
    handle.recovery.commit = int(commits.sequence)
    handle.recovery.seconds = time.monotonic() - started
    return handle


def say_nothing_counts(log: HybridLog, cut: int) -> None:
    """Warn where a log's only commit does not count, before what it had is cut off.

    A crash in the middle of a log's first commit leaves that, and nobody has been told then that it was durable; so may
    damage to a log that has no mark of a clean end, and nothing tells the two apart.
    """
    found = newest_commit(log, log.device.end())
    if found is not None:
        warnings.warn(
            f"{log.device.place(i64(FIRST_ADDRESS))}: the log has commit {found.record.log.sequence}, and not all of "
            f"the {found.record.table.count} entries before it; no commit is known that was durable, so it is taken "
            f"for one that a crash has ended, and its {cut} bytes are cut off. Restore the log from a copy if it was "
            "complete",
            RecoveryWarning,
            stacklevel=1,
        )


def check_readers(directory: Directory, last: FoundCommit | None) -> None:
    """Raise CorruptionError where a named reader knew a later commit to be durable than the log's last one."""
    place, known = known_durable(directory)
    sequence: i64 = 0 if last is None else last.record.log.sequence
    if known > sequence:
        raise CorruptionError(
            f"{directory.place(LOG)}: the last commit that counts has the number {sequence}, and the reader of the "
            f"file {place} knew commit {known} to be durable. Restore the log from a copy; where an older copy was put "
            "there on purpose, delete that file. Nothing was cut off"
        )


def sync_behind(device: Device, durable_to: i64) -> None:
    """Sync what stands behind the last commit known durable: a process that was killed may not have done so.

    A sync of each file would make opening depend on the log's length. The first commit syncs the others: they may be a
    copy whose bytes have not reached the disk.
    """
    if isinstance(device, FileDevice):
        device.sync_from(durable_to)
    else:
        device.sync()


def at_number(log: HybridLog, last: FoundCommit | None, number: int) -> FoundCommit:
    """Return the commit that was asked for, which says where the log begins now."""
    if last is None:
        raise CorruptionError(f"{log.life.path} has no commit {number}, and none at all")
    found = commit_numbered(log, last, i64(number))
    if last.record.log.begin > found.record.log.begin:
        found.record.log.begin = last.record.log.begin
        found.record.table.live_bytes = last.record.table.live_bytes
    return found


def take_over(commits: EntryCommits, last: FoundCommit | None) -> None:
    """Stand at a commit; without one, at the beginning."""
    if last is None:
        commits.log.start_at(FIRST_ADDRESS, FIRST_ADDRESS, FIRST_ADDRESS)
    else:
        stand_at(commits, last)
