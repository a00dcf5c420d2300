"""Recovery: index and log are brought to the state of the log's last commit.

It begins with the newest checkpoint that verifies, and replays what was written since; where none does, or what comes
of it is not what the last commit says, with the log's first record.

What lies past the last commit that counts (see replay) is cut off, physically and durably, before anything is appended,
or a later crash could take stale records for new ones. It is a torn tail, and not corruption, unless 1. the store was
closed cleanly, or 2. a later commit record says that a commit past that place was known durable.
"""

from typing import final

from librt.strings import read_i64_le
from librt.vecs import vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import ADDRESS_MASK, FIRST_ADDRESS
from oxidbm._core.budget import Budget
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.checkpoint import CheckpointFiles, Metadata
from oxidbm._core.durability.checkpointer import segment_starts
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.commit_record import (
    COMMIT_RECORD_BYTES,
    COMMIT_SHAPE,
    COMMIT_WORDS,
    CommitRecord,
    decode,
)
from oxidbm._core.durability.image_file import ImageHeader, ImageReader
from oxidbm._core.durability.live_bytes import live_bytes_of
from oxidbm._core.durability.page_size import check_page_size
from oxidbm._core.durability.rebuild import (
    Spill,
    assemble,
    buried_in,
    commit_end_before,
    header_of,
    is_in_log,
    went_on,
)
from oxidbm._core.durability.replay import SLICE_RECORDS, Chain, Replay
from oxidbm._core.durability.superblock import CleanMark
from oxidbm._core.errors import CorruptionError, FormatError
from oxidbm._core.hashing import checksum_bytes
from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.log.cursor import CHUNK_BYTES
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import read_disk, read_or_nothing, value_of
from oxidbm._core.log.record import (
    CHECKSUM_MASK,
    HEADER_BYTES,
    INFO_VERSION,
    SEAL_CAPACITY,
    capacity_words,
)
from oxidbm._core.table.pending import WAS_PLAIN
from oxidbm._core.table.settle import settle
from oxidbm._core.table.table import Table


def purge_below(table: Table, begin: i64, start: i64) -> i64:
    """Remove the entries that lead below `begin`; return how many keys they led to in the log from `start` on."""
    before = table.index.entries
    mixed = table.index.purge_below(begin)
    count = before - table.index.entries - len(mixed)
    for entry in mixed:
        count += Chain(table, entry, start).count()
    return count


def later_durable_commit(log: HybridLog, start: i64, sequence: i64) -> i64:
    """Return where, behind `start`, a commit record knew a commit after `sequence` to be durable; 0 for nowhere.

    A record's checksum covers its own address, so commit records can be found without knowing where records begin. All
    have one shape and size: each byte is read once, whatever stands there, but for the last words of a chunk, and what
    looks like a header costs at most one checksum of so few bytes.
    """
    device = log.device
    address: i64 = start
    end = device.end()
    while address < end:
        address = device.data_from(address)
        chunk = read_or_nothing(log, address, CHUNK_BYTES)
        size: i64 = len(chunk)
        offset: i64 = 0
        while offset + COMMIT_RECORD_BYTES <= size:
            if read_i64_le(chunk, offset + 8) == COMMIT_SHAPE and knew_durable(log, chunk, offset, address) > sequence:
                return address + offset
            offset += 8
        if size < CHUNK_BYTES:  # the end of a segment: the next one starts at a page
            address = log.next_page(max(address + size, address + 1))
        else:
            address += offset
        _breath.breathe()
    return 0


def knew_durable(log: HybridLog, chunk: bytes, offset: i64, chunk_start: i64) -> i64:
    """Return which commit the commit record at an offset of a chunk knew to be durable; 0 where there is none."""
    address = chunk_start + offset
    info = read_i64_le(chunk, offset)
    seal = read_i64_le(chunk, offset + 16)
    if info & ~ADDRESS_MASK != INFO_VERSION or capacity_words(seal) != COMMIT_WORDS:
        return 0
    end = offset + COMMIT_RECORD_BYTES
    if checksum_bytes(chunk, offset, seal & SEAL_CAPACITY, end, address, log.checksum_key) != seal & CHECKSUM_MASK:
        return 0
    try:
        return decode(chunk[offset + HEADER_BYTES : end]).log.durable_sequence
    except ValueError:
        return 0


@final
class Recovery:
    """Documented in oxidbm/__init__.pyi."""

    def __init__(self) -> None:
        self.checkpoint: str | None = None
        self.commit = 0
        self.records = 0
        self.bytes_cut = 0
        self.seconds = 0.0
        self.faults: list[str] = []

    def __repr__(self) -> str:
        return (
            f"Recovery(checkpoint={self.checkpoint!r}, commit={self.commit}, records={self.records}, "
            f"bytes_cut={self.bytes_cut}, seconds={self.seconds:.3f}, faults={self.faults})"
        )


@final
class Image:
    """What an image's file holds."""

    def __init__(self, header: ImageHeader, pending: vec[i64], index: HashIndex) -> None:
        self.header = header
        self.pending = pending
        self.index = index


@final
class Source:
    """Where recovery begins and ends: the checkpoints that there are, and the one to stop at, if that was asked for."""

    def __init__(self, files: CheckpointFiles | None) -> None:
        self.files = files
        self.known: list[Metadata] = []  # the oldest first
        self.images = True  # False where the log is to be read from its first record on
        self.at: Metadata | None = None  # what lies behind it is not looked at
        self.rebuilt: Metadata | None = None  # a snapshot from which the log was completed

    def read_all(self, report: Recovery) -> None:
        """Read what every checkpoint says of itself."""
        files = self.files
        if files is None:
            return
        try:
            tokens = files.tokens()
        except FormatError as fault:
            report.faults.append(str(fault))
            return
        for token in tokens:
            try:
                self.known.append(files.read(token))
            except (CorruptionError, FormatError) as failure:
                report.faults.append(str(failure))
        self.known.sort(key=age)  # tokens of one commit sort as it happens

    def chain_of(self, metadata: Metadata) -> list[Metadata]:
        """Return a snapshot and those that it builds on, the first one of all first; CorruptionError without one."""
        chain = [metadata]
        while chain[0].base is not None:
            found = [other for other in self.known if other.token == chain[0].base]
            if not found or not found[0].has_copy() or found[0].sequence >= chain[0].sequence:
                raise CorruptionError(
                    f"the checkpoint {metadata.token} builds on the snapshot {chain[0].base}, which is not there"
                )
            chain.insert(0, found[0])
        return chain


def age(metadata: Metadata) -> tuple[int, int]:
    """Return what checkpoints are put in order by: their commit, and when they were made."""
    return metadata.sequence, metadata.time_ns


def recover(commits: Commits, mark: CleanMark | None, read_only: bool, source: Source, report: Recovery) -> Replay:
    """Bring index and log to the state of the last commit, or of the checkpoint that was asked for."""
    table = commits.table
    log = commits.log
    device = log.device
    at = source.at
    if at is not None:
        check_pages_of(log, at)
    stop = device.end() if at is None else end_of(at, log)
    replay = begin_replay(commits, mark, stop, source, report)
    replay.read_all()
    last = replay.last
    if replay.inside:
        raise CorruptionError(f"{log.device.place(replay.cursor.following)}: the log does not lead on to a commit")
    if at is None:
        check_end(log, replay, mark)
    if replay.cursor.address >= replay.last_end and len(replay.pages) > 0:  # records past the commit were applied
        count: i64 = last.table.count if last is not None else 0
        count = min(max(count, i64(0)), replay.last_end // HEADER_BYTES, log.budget.limit // 8)
        table.index = HashIndex(count, log.budget)
        replay = begin_replay(commits, None, replay.last_end, source, Recovery())
        replay.read_all()
        last = replay.last
    report.records = int(replay.total)
    begin = FIRST_ADDRESS if last is None else take_over(commits, replay, last)
    tail = FIRST_ADDRESS if last is None else replay.last_end
    report.commit = int(commits.sequence)
    if at is not None and (report.commit != at.sequence or tail != at.end):
        raise CorruptionError(
            f"{table.life.path}: the log leads to commit {report.commit}, ending at address {tail}; the checkpoint "
            f"{at.token} is of commit {at.sequence}, ending at {at.end}"
        )
    if device.end() > tail:
        report.bytes_cut = int(device.end() - tail) if at is None else 0
        if not read_only:
            device.truncate_after(tail)
        elif isinstance(device, FileDevice):
            device.see_until(tail)
    if mark is None and not read_only and device.size() > 0:
        device.sync()  # a commit may have been written, but not synced, by a process that was killed
    load_pages(log, replay, begin, tail)
    commits.end = commits.durable_tail = log.tail
    return replay


def end_of(at: Metadata, log: HybridLog) -> i64:
    """Return where the log of a checkpoint ends; CorruptionError where there is no more of the log that far."""
    if at.end > log.device.end():
        raise CorruptionError(
            f"{log.life.path}: the checkpoint {at.token} ends at address {at.end}, the log at {log.device.end()}"
        )
    return i64(at.end)


def begin_replay(commits: Commits, mark: CleanMark | None, stop: i64, source: Source, report: Recovery) -> Replay:
    """Return a replay that goes on from the newest checkpoint that verifies, else from the log's first record on."""
    table = commits.table
    log = commits.log
    for metadata in reversed(source.known):
        if not source.images or not metadata.has_image() or metadata.end > stop:
            continue
        if metadata.has_copy() and not is_in_log(log, metadata):
            continue  # the log went on in another way
        try:
            replay = from_image(table, source, metadata, stop)
        except FileNotFoundError as missing:
            report.faults.append(f"{missing.filename} is missing, which belongs to the checkpoint {metadata.token}")
        except (CorruptionError, FormatError, ImportError) as failure:
            report.faults.append(str(failure))
        else:
            report.checkpoint = metadata.token
            return replay
    if mark is not None:
        count = min(i64(mark.count), log.device.size() // HEADER_BYTES, log.budget.limit // 8)
        table.index = HashIndex(count, log.budget)
    replay = Replay(table, stop)
    log.read_from_device(replay.start)
    return replay


def from_image(table: Table, source: Source, metadata: Metadata, stop: i64) -> Replay:
    """Return a replay that goes on from a checkpoint; CorruptionError where that cannot be believed."""
    files = source.files
    assert files is not None
    log = table.log
    log.read_from_device(i64(metadata.begin))
    record = commit_of(log, metadata)
    chain = source.chain_of(metadata)
    first = chain[0]
    buried = buried_in(files, chain)
    try:
        if first is not metadata:
            record = header_of(files, first).decoded()
        image = read_image(files, first, record, log.budget)
    except BaseException:
        table.index = table.index.emptied()  # which says anew what is drawn from the budget
        raise
    table.index = image.index
    log.expiring = log.expiring or metadata.expiring
    replay = Replay(table, stop)
    if first is metadata:
        replay.go_on_from(record, i64(metadata.commit), i64(metadata.end), metadata.sessions)
    else:
        replay.go_on_inside(record, i64(first.previous), i64(first.copied_to), first.sessions)
    replay.count = image.header.count
    for address in buried:
        replay.bury(address)
    replay.live_bytes = image.header.live_bytes
    replay.pending = image.pending
    replay.steady = not metadata.has_copy()
    return replay


def read_image(files: CheckpointFiles, metadata: Metadata, record: CommitRecord, budget: Budget) -> Image:
    """Return the image of a checkpoint; CorruptionError where it is not the one, or cannot be believed."""
    reader = ImageReader(
        files.made_or_missing(metadata.token), metadata.image_name(), metadata.image_bytes, metadata.image_sum
    )
    try:
        header = reader.read_header()
        if (header.sequence, header.commit, header.begin, header.end) != (
            metadata.sequence,
            metadata.commit,
            metadata.begin,
            metadata.end,
        ):
            raise reader.fault(f"it is of commit {header.sequence}, not {metadata.sequence}")
        if not record.table.count <= header.count <= record.table.count + record.table.pending:
            raise reader.fault(f"it has {header.count} keys, its commit {record.table.count}")
        pending = reader.read_pending(i64(metadata.begin), i64(metadata.end))
        index = reader.read_index(header, budget)
        if index.entries != metadata.entries or reader.file.offset != metadata.raw_bytes:
            raise reader.fault(f"it has {index.entries} entries, its checkpoint says {metadata.entries}")
        return Image(header, pending, index)
    finally:
        reader.close()


def check_pages_of(log: HybridLog, metadata: Metadata) -> None:
    """Raise CorruptionError where a checkpoint was made of a log with pages of another size."""
    if metadata.page_size is not None and metadata.page_size != log.page_bytes:
        raise CorruptionError(
            f"{log.life.path}: the checkpoint {metadata.token} was made of a log with pages of {metadata.page_size} "
            f"bytes, and the superblock says pages of {log.page_bytes}"
        )


def commit_of(log: HybridLog, metadata: Metadata) -> CommitRecord:
    """Return the commit record of a checkpoint; CorruptionError where the log is not the one that it was made of."""
    device = log.device
    place = f"{log.life.path}: the checkpoint {metadata.token}"
    check_log_of(log, metadata)
    if metadata.commit + COMMIT_RECORD_BYTES > metadata.end or metadata.end > device.end():
        raise CorruptionError(f"{place} ends at address {metadata.end}, the log at {device.end()}")
    record = read_disk(log, i64(metadata.commit))
    if record.shape != COMMIT_SHAPE or f"{int(record.seal & CHECKSUM_MASK):08x}" != metadata.commit_sum:
        raise CorruptionError(f"{place} is of another commit than the one at {device.place(i64(metadata.commit))}")
    try:
        said = decode(value_of(log, record))
    except ValueError as failure:
        raise CorruptionError(f"{device.place(i64(metadata.commit))}: {failure}") from None
    if said.log.sequence != metadata.sequence or said.log.begin != metadata.begin:
        raise CorruptionError(f"{place} says commit {metadata.sequence}, its commit record {said.log.sequence}")
    names = {state.name for state in metadata.sessions}
    if len(names) != len(metadata.sessions) or len(names) != said.sessions:
        raise CorruptionError(f"{place} has {len(names)} sessions, its commit record counted {said.sessions}")
    return said


def check_log_of(log: HybridLog, metadata: Metadata) -> None:
    """Raise CorruptionError where the log is not the one that a checkpoint was made of, as far as it needs one."""
    device = log.device
    place = f"{log.life.path}: the checkpoint {metadata.token}"
    check_pages_of(log, metadata)
    if metadata.has_copy() and device.end() < metadata.durable_to > FIRST_ADDRESS:
        raise CorruptionError(f"{place} needs the log up to address {metadata.durable_to}, it ends at {device.end()}")
    if metadata.begin < max(device.begin(), i64(FIRST_ADDRESS)):
        raise CorruptionError(f"{place} begins at address {metadata.begin}, the log only at {device.begin()}")
    found = segment_starts(device, i64(metadata.begin), i64(metadata.log_end()))
    if found != metadata.segments:
        raise CorruptionError(
            f"{place} was made of a log with segments at {metadata.segments}, which now has them at {found}"
        )


def newest_snapshot(log: HybridLog, source: Source, report: Recovery) -> Spill | None:
    """Return what the log lacks of the store's newest state, where that is a snapshot's; None where it is the log's.

    One that is damaged is passed over, with what it alone had.
    """
    files = source.files
    for metadata in reversed(source.known):
        if files is None or not metadata.has_copy():
            continue
        log.read_from_device(FIRST_ADDRESS)
        if is_in_log(log, metadata):
            return None
        check_pages_of(log, metadata)
        if went_on(log, metadata):
            return None
        check_nothing_later(log, metadata)
        try:
            check_log_of(log, metadata)
            spill = assemble(files, source.chain_of(metadata))
        except FileNotFoundError as missing:
            report.faults.append(lost_with(metadata, f"{missing.filename} is missing"))
        except (CorruptionError, FormatError) as failure:
            report.faults.append(lost_with(metadata, str(failure)))
        else:
            source.rebuilt = metadata
            return spill
    return None


def copy_of_log(log: HybridLog, mark: CleanMark | None, source: Source, report: Recovery) -> Spill | None:
    """Return what the log lacks of the state that is to be recovered; None where it has all of that."""
    at = source.at
    if at is None:
        return None if mark is not None else newest_snapshot(log, source, report)
    log.read_from_device(FIRST_ADDRESS)
    if source.files is None or not at.has_copy() or is_in_log(log, at):
        return None
    check_log_of(log, at)
    source.rebuilt = at
    return assemble(source.files, source.chain_of(at))


def lost_with(metadata: Metadata, why: str) -> str:
    """Return what is said where the newest state of all cannot be read."""
    return (
        f"{why}. The snapshot {metadata.token} was the newest state of the store: what was written between the log's "
        f"last commit and commit {metadata.sequence} is lost with it"
    )


def check_nothing_later(log: HybridLog, metadata: Metadata) -> None:
    """Raise where the log is known to have been durable up to a later commit than a snapshot's, and is not whole."""
    start = commit_end_before(metadata)
    later = later_durable_commit(log, start, i64(metadata.sequence))
    if later:
        raise CorruptionError(
            f"{log.device.place(start)}: the log does not verify from here on, but a later commit record, "
            f"{log.device.place(later)}, knew more than commit {metadata.sequence} to be durable. Restore the store "
            f"from a copy, or go back to the checkpoint {metadata.token}"
        )


def settle_recovered(table: Table, replay: Replay) -> None:
    """Settle what was pending at the checkpoint, unless nothing was written since: then it can wait."""
    pending = replay.pending
    i: i64 = 0
    while i < len(pending):
        table.pending.add(pending[i] & ADDRESS_MASK, pending[i] & WAS_PLAIN != 0)
        i += 1
    while replay.total > 0 and not settle(table, SLICE_RECORDS):
        _breath.breathe()


def take_over(commits: Commits, replay: Replay, last: CommitRecord) -> i64:
    """Hold what was replayed against the last commit, take over what that says, and return where the log begins."""
    table = commits.table
    device = commits.log.device
    begin = replay.begin
    place = device.place(replay.last_address)
    table.count = replay.count
    table.live_bytes = replay.live_bytes
    settle_recovered(table, replay)
    if last.log.begin < begin:  # only where the replay began with the log's first record
        raise CorruptionError(
            f"{place}: the log begins at address {last.log.begin}, but its first segment starts at {begin}; "
            "a file is missing"
        )
    cleared: i64 = 0
    if last.log.begin > begin:
        cleared = purge_below(table, last.log.begin, begin)
        table.count -= cleared
        begin = last.log.begin
    if not last.table.count <= table.count <= last.table.count + last.table.pending:
        raise CorruptionError(
            f"{table.life.path}: replay found {table.count} keys, the last commit, {place}, counted "
            f"{last.table.count} and {last.table.pending} it had not verified"
        )
    table.live_bytes = live_bytes_of(table, replay, last, begin, cleared > 0)
    commits.sequence = commits.durable_sequence = last.log.sequence
    commits.logged = commits.logged_durable = last.log.sequence
    commits.address = replay.last_address
    commits.take_sessions(replay.sessions, begin)
    if commits.serials.stated != last.sessions:
        raise CorruptionError(
            f"{table.life.path}: replay found {commits.serials.stated} sessions, the last commit, {place}, counted "
            f"{last.sessions}"
        )
    return begin


def check_end(log: HybridLog, replay: Replay, mark: CleanMark | None) -> None:
    """Raise where the log does not reach as far as it is known to have reached."""
    sequence: i64 = replay.last.log.sequence if replay.last is not None else 0
    place = log.device.place(replay.cursor.following)
    why = str(replay.fault) if replay.fault is not None else f"{place}: the log ends here"
    if mark is not None:
        if replay.last_end != mark.tail or sequence != mark.sequence:
            check_page_size(log, replay)
            raise CorruptionError(
                f"{why}. The store was closed cleanly with commit {mark.sequence} ending at address {mark.tail}, "
                f"but the log verifies only up to commit {sequence}, address {replay.last_end}. Restore it from a copy"
            )
        return
    if replay.cursor.following > replay.last_end or replay.fault is not None or log.device.end() > replay.last_end:
        check_page_size(log, replay)
        later = later_durable_commit(log, replay.last_end, sequence)
        if later:
            raise CorruptionError(
                f"{why}. That is not a torn tail: a later commit record, {log.device.place(later)}, knew more than "
                f"commit {sequence} to be durable. Restore the store from a copy"
            )


def load_page(log: HybridLog, page: i64, data: bytes, end: i64) -> None:
    """Put a page that was read into memory; `end` is its records' end, 0 for the page of the tail."""
    base: i64 = page << log.page_bits
    if end - base > log.page_bytes:
        log.frames.prepare_run((end - base) >> 3)
        log.frames.open_run(page, (end - base) >> 3)
    else:
        log.frames.prepare()
        log.frames.open(page)
    log.frames.fill(page, data)
    log.frames.ends[page & log.frames.mask] = end


def load_pages(log: HybridLog, replay: Replay, begin: i64, tail: i64) -> None:
    """Bring the newest pages into memory, as many as the mutable region may have, and always the one of the tail."""
    budget = log.mutable_bytes()
    first: i64 = len(replay.pages)
    while first > 0 and replay.pages[first - 1] >= tail:
        first -= 1
    stop = first
    open_tail = tail & log.offset_mask != 0 and stop > 0 and replay.page_ends[stop - 1] == tail
    size: i64 = 0
    while first > 0 and replay.page_ends[first - 1] > begin:
        base: i64 = replay.pages[first - 1] & ~log.offset_mask
        size += max(log.page_bytes, replay.page_ends[first - 1] - base)
        if size > budget and not (open_tail and first == stop):
            break
        first -= 1
    if not open_tail and stop > 0:
        tail = log.next_page(tail)
    i: i64 = first
    while i < stop:
        base = replay.pages[i] & ~log.offset_mask
        end = replay.page_ends[i]
        load_page(
            log, base >> log.page_bits, log.device.read(base, end - base), 0 if open_tail and i == stop - 1 else end
        )
        i += 1
    head: i64 = tail
    if first < stop:
        head = max(replay.pages[first] & ~log.offset_mask, begin, replay.start)
    log.start_at(begin, head, tail)
