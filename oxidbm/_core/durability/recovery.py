"""Recovery: index and log are brought to the state of the log's last commit.

It begins with the newest checkpoint that verifies, and replays what was written since; where none does, or what comes
of it is not what the last commit says, with the log's first record.

What lies past the last commit that counts (see replay) is cut off, physically and durably, before anything is appended,
or a later crash could take stale records for new ones. It is a torn tail, and not corruption, unless 1. the store was
closed cleanly, 2. a later commit record says that a commit past that place was known durable, or 3. what stands there
belongs somewhere else (see misplaced).
"""

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MASK, FIRST_ADDRESS
from oxidbm._core.budget import Budget
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.commit_record import (
    CommitRecord,
)
from oxidbm._core.durability.image_file import ImageHeader, ImageReader
from oxidbm._core.durability.live_bytes import count_live_bytes
from oxidbm._core.durability.misplaced import check_damaged_commit, check_misplaced
from oxidbm._core.durability.newest_commit import newest_commit
from oxidbm._core.durability.page_size import check_page_size
from oxidbm._core.durability.rebuild import (
    buried_in,
    header_of,
    is_in_log,
)
from oxidbm._core.durability.replay import Chain, Replay
from oxidbm._core.durability.source import Recovery, Source, check_pages_of, commit_of
from oxidbm._core.durability.superblock import CleanMark
from oxidbm._core.durability.torn_tail import later_durable_commit
from oxidbm._core.errors import CorruptionError, FormatError, alone
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import bytes_behind
from oxidbm._core.log.record import (
    HEADER_BYTES,
)
from oxidbm._core.table.pending import WAS_PLAIN
from oxidbm._core.table.table import Table

ENTRY_BYTES: Final = 14  # of the table, an entry's share of the buckets


def purge_below(table: Table, begin: i64, start: i64) -> i64:
    """Remove the entries that lead below `begin`; return how many keys they led to in the log from `start` on."""
    before = table.index.entries
    mixed = table.index.purge_below(begin)
    count = before - table.index.entries - len(mixed)
    for entry in mixed:
        count += Chain(table, entry, start).count()
    return count


@final
class Image:
    """What an image's file holds."""

    def __init__(self, header: ImageHeader, pending: vec[i64], index: HashIndex) -> None:
        self.header = header
        self.pending = pending
        self.index = index


def recover(commits: Commits, mark: CleanMark | None, read_only: bool, source: Source, report: Recovery) -> Replay:
    """Bring index and log to the state of the last commit, or of the checkpoint that was asked for."""
    table = commits.table
    log = commits.log
    device = log.device
    at = source.at
    if at is not None:
        check_pages_of(log, at)
    stop = device.end() if at is None else end_of(at, log)
    if at is None:
        replay = replay_to_newest(commits, mark, stop, source, report)
    else:
        replay = begin_replay(commits, mark, stop, source, report, None)
        replay.read_all()
    last = replay.last
    if replay.inside:
        raise CorruptionError(f"{log.device.place(replay.cursor.following)}: the log does not lead on to a commit")
    if at is None:
        check_end(log, replay, mark)
        if last is None:
            check_never_durable(log, source)
    if replay.records > 0:  # applied, and past the commit
        replay = begin_replay(commits, None, replay.last_end, source, Recovery(), last)
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
        report.bytes_cut = bytes_behind(device, tail) if at is None else 0
        if not read_only:
            device.truncate_after(tail)
        elif isinstance(device, FileDevice):
            device.see_until(tail)
    if mark is None and not read_only and device.size() > 0:
        if isinstance(device, FileDevice):
            device.own_last()  # going back may have been killed when it had deleted what stood behind that
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


def replay_to_newest(commits: Commits, mark: CleanMark | None, stop: i64, source: Source, report: Recovery) -> Replay:
    """Replay up to the log's newest commit, see what stands behind it, and return the replay.

    That may be all that a bulk load wrote before it was killed: applied, it would have to be taken back.
    """
    newest = newest_commit(commits.log, stop)
    replay = begin_replay(commits, mark, stop, source, report, None if newest is None else newest.record)
    end = replay.cursor.following if newest is None else max(replay.cursor.following, newest.end())
    replay.cursor.go_on_to(end)
    replay.read_all()
    if replay.fault is None:
        came_there = replay.cursor.following == end and replay.look_on(stop)
    else:  # a torn tail, with a commit that it tore in it
        came_there = not replay.begun_empty
    if not came_there:
        replay = begin_replay(commits, mark, stop, source, Recovery(), None)
        replay.read_all()
    return replay


def begin_replay(
    commits: Commits, mark: CleanMark | None, stop: i64, source: Source, report: Recovery, newest: CommitRecord | None
) -> Replay:
    """Return a replay that goes on from the newest checkpoint that verifies, else from the log's first record on.

    `newest` is the commit that it is to come to, where that is known.
    """
    table = commits.table
    log = commits.log
    count: i64 = 0
    if newest is not None:
        count = newest.table.count + newest.table.pending
    elif mark is not None:
        count = mark.count
    expected: i64 = max(min(count, log.device.size() // HEADER_BYTES, log.budget.limit // 8), i64(0))
    for metadata in reversed(source.known):
        if not source.images or not metadata.has_image() or metadata.end > stop:
            continue
        if source.at is not None and metadata.sequence > source.at.sequence:
            continue  # the log may have put that one's commit where this one ends, too
        if metadata.has_copy() and not is_in_log(log, metadata):
            continue  # the log went on in another way
        try:
            if newest is not None and newest.log.begin >= metadata.end and not metadata.has_copy():
                replay = from_nothing(table, metadata, stop, expected)
            else:
                replay = from_image(table, source, metadata, stop)
        except FileNotFoundError as missing:
            report.faults.append(f"{missing.filename} is missing, which belongs to the checkpoint {metadata.token}")
        except (CorruptionError, FormatError, ImportError) as failure:
            report.faults.append(str(failure))
        else:
            report.checkpoint = metadata.token
            return replay
    table.index = HashIndex(expected, log.budget)
    replay = Replay(table, stop)
    log.read_from_device(replay.start)
    return replay


def from_nothing(table: Table, metadata: Metadata, stop: i64, expected: i64) -> Replay:
    """Return a replay that goes on from a checkpoint of which nothing is left, as behind `clear`, but its commit."""
    table.log.read_from_device(i64(metadata.begin))
    record = commit_of(table.log, metadata)
    table.index = HashIndex(expected, table.log.budget)
    replay = Replay(table, stop)
    replay.go_on_empty(record, i64(metadata.commit), i64(metadata.end), metadata.sessions)
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
    log.read_from_device(i64(first.begin))  # what was pending at its image is looked for down to there
    buried = buried_in(files, chain)
    try:
        if first is not metadata:
            record = header_of(files, first).decoded()
        image = read_image(files, first, record, log.budget)
    except MemoryError as failure:
        table.index = table.index.given_up()
        if came_from_handler(failure):
            raise
        raise alone(
            MemoryError(
                f"{log.life.called()} has an index of {first.entries:,} entries, which takes some "
                f"{first.entries * ENTRY_BYTES >> 20} MiB, and the system does not let this process have that much: "
                "raise its limit (ulimit -v, a container's), or open the store where there is more memory"
            )
        ) from None
    except BaseException:
        table.index = table.index.given_up()  # which says anew what is drawn from the budget
        raise
    table.index = image.index
    log.expiring = log.expiring or metadata.expiring
    replay = Replay(table, stop)
    replay.settles = False
    if first is metadata:
        replay.go_on_from(record, i64(metadata.commit), i64(metadata.end), metadata.sessions)
    else:
        replay.go_on_inside(record, i64(first.previous), i64(first.copied_to), first.sessions)
    replay.count = image.header.count
    replay.live_bytes = image.header.live_bytes
    for address in buried:
        replay.bury(address)
    replay.pending = image.pending
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


def leave_pending(table: Table, pending: vec[i64], count: i64) -> None:
    """Have the last `count` of these records be settled later."""
    i: i64 = len(pending) - count
    while i < len(pending):
        table.pending.add(pending[i] & ADDRESS_MASK, pending[i] & WAS_PLAIN != 0)
        i += 1


def take_over(commits: Commits, replay: Replay, last: CommitRecord) -> i64:
    """Hold what was replayed against the last commit, take over what that says, and return where the log begins."""
    table = commits.table
    device = commits.log.device
    begin = replay.begin
    place = device.place(replay.last_address)
    if last.log.begin < begin:  # only where the replay began with the log's first record
        raise CorruptionError(
            f"{place}: the log begins at address {last.log.begin}, but its first segment starts at {begin}; "
            "a file is missing"
        )
    if replay.settles:
        take_over_exactly(table, replay, last, place)
    else:
        take_over_bounds(table, replay, last, place)
    commits.sequence = commits.durable_sequence = last.log.sequence
    commits.logged = commits.logged_durable = last.log.sequence
    commits.address = replay.last_address
    begin = max(begin, last.log.begin)
    commits.take_sessions(replay.sessions, begin)
    if commits.serials.stated != last.sessions:
        raise CorruptionError(
            f"{table.life.path}: replay found {commits.serials.stated} sessions, the last commit, {place}, counted "
            f"{last.sessions}"
        )
    return begin


def take_over_exactly(table: Table, replay: Replay, last: CommitRecord, place: str) -> None:
    """Take over what the replay of a whole log has found out."""
    table.count = replay.count
    if last.log.begin > replay.begin:
        table.count -= purge_below(table, last.log.begin, replay.begin)
    check_count(table, table.count, table.count, last, place)
    pending = last.table.pending
    begin = max(replay.begin, last.log.begin)
    known: i64 = -1
    if replay.unsettled.knows(pending):
        known = last.table.live_bytes + replay.unsettled.sum(pending)
    table.live_bytes = known if known >= 0 else count_live_bytes(table, begin, replay.last_end)


def take_over_bounds(table: Table, replay: Replay, last: CommitRecord, place: str) -> None:
    """Take over what the last commit says behind an image, where no more was found out than was known to it.

    It knew the number of keys and their size but for what was pending, and that were the newest unverified records.
    """
    least = replay.count
    most = least + replay.unsure + i64(len(replay.pending))
    begin = last.log.begin
    if begin > replay.begin:
        before = table.index.entries
        mixed = table.index.purge_below(begin)
        gone = before - table.index.entries
        least -= gone
        most -= gone - len(mixed)
        if len(mixed) > 0:
            least = 0  # nobody has looked at how many keys they led to
    check_count(table, least, most, last, place)
    if replay.total == 0:  # more of what was pending may have been settled when the image was made
        table.count = replay.count
        table.live_bytes = replay.live_bytes
        leave_pending(table, replay.pending, len(replay.pending))
        return
    pending = last.table.pending
    first: i64 = len(replay.pending) - pending
    if first < 0 or (pending > 0 and replay.pending[first] & ADDRESS_MASK < begin):
        raise CorruptionError(
            f"{table.life.path}: the last commit, {place}, counted {pending} records it had not verified, of which "
            f"replay found {len(replay.pending)}"
        )
    table.count = last.table.count
    table.live_bytes = last.table.live_bytes
    leave_pending(table, replay.pending, pending)


def check_count(table: Table, least: i64, most: i64, last: CommitRecord, place: str) -> None:
    """Raise CorruptionError where the last commit cannot have counted as many keys as were found."""
    if most < last.table.count or least > last.table.count + last.table.pending:
        found = f"{least}" if least == most else f"{least} to {most}"
        raise CorruptionError(
            f"{table.life.path}: replay found {found} keys, the last commit, {place}, counted "
            f"{last.table.count} and {last.table.pending} it had not verified"
        )


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
        if replay.fault is not None:
            check_damaged_commit(log, replay.cursor.following)
        check_misplaced(log, replay.last_end)
        later = later_durable_commit(log, replay.last_end, sequence)
        if later:
            raise CorruptionError(
                f"{why}. That is not a torn tail: a later commit record, {log.device.place(later)}, knew more than "
                f"commit {sequence} to be durable. Restore the store from a copy"
            )


def check_never_durable(log: HybridLog, source: Source) -> None:
    """Raise where a log without a commit has a checkpoint, each of which is of a commit that was durable before."""
    for metadata in source.known:
        if not metadata.has_copy():
            raise CorruptionError(
                f"{log.life.path}: no commit is left in the log, and the checkpoint {metadata.token} is of commit "
                f"{metadata.sequence}, which was durable. Restore the store from a copy; nothing was cut off"
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
