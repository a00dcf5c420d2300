"""Damaged logs: `salvage_log` brings the sound entries of one into a new log, in order, and says what was lost.

As with a store, the source is only read, and the target is written beside its place and gets its name when all of it
is durable. Entries are numbered, so what is missing is known exactly, as far as a commit that is left counts them. They
have other addresses in the target; named readers are given the ones at which they go on there.
"""

import os

from oxidbm import _queue_salvage
from oxidbm._core.coder import BYTES_NAME, coder_for
from oxidbm._core.device.directory import STORE, Directory
from oxidbm._core.durability.superblock import A_QUEUE, Superblock, encode_name
from oxidbm._core.errors import CodecError, CorruptionError, LockedError
from oxidbm._core.faster_log.log import Log
from oxidbm._core.faster_log.position_file import Position, hold, known
from oxidbm._core.log.record import previous_address
from oxidbm._core.paging import FRAMES_MIN
from oxidbm._core.queue.queue_log import QueueLog
from oxidbm._core.sizes import parse_size
from oxidbm._log_remains import LogSalvageReport, LogSurvey, sound_entries
from oxidbm._publish import UNFINISHED, Path, beside_no_writer, discard, make_empty, path_of, sync_name
from oxidbm._remains import Remains
from oxidbm._salvage import MEMORY_FACTOR, RECORDS_A_STEP, Progress, check_target
from oxidbm.codecs import RAW


class Readers:
    """The named readers of the source, which go on in the target where they stood."""

    def __init__(self, remains: Remains, report: LogSalvageReport) -> None:
        self.waiting: list[tuple[int, str, int]] = []  # the number of the entry at which each goes on, and the time
        self.placed: dict[str, Position] = {}
        try:
            for name, position, _ in known(remains.directory):
                self.waiting.append((int(position.number), name, int(position.time_ns)))
        except (CorruptionError, OSError) as failure:
            report.faults.append(f"named readers are left out, and begin anew: {failure}")
        self.waiting.sort(reverse=True)

    def pass_by(self, number: int, address: int, new_number: int) -> None:
        """Place those that go on at an entry, or before it, at its new address."""
        while self.waiting and self.waiting[-1][0] <= number:
            _, name, time_ns = self.waiting.pop()
            self.placed[name] = Position(address, new_number, time_ns, 0)

    def store(self, directory: Directory) -> None:
        """Write their files."""
        for name, position in self.placed.items():
            file = hold(directory, name, 0o666)
            try:
                file.store(position)
                file.sync()
            finally:
                file.close()


def salvage_log(
    source: Path,
    target: Path,
    *,
    codec: object = None,
    committed_only: bool = False,
    queue: bool = False,
    memory: int | str = "64MiB",
    progress: Progress | None = None,
) -> LogSalvageReport:
    """Write every entry of a damaged log whose checksum holds into a new log, in order, and say what was lost.

    Of a damaged queue, every item that is not acknowledged into a new queue: one whose acknowledgement is lost, too.

    source: the damaged log's directory, which is only read. Its STORE and CLEAN may be missing or damaged, and files of
    it missing, cut, overwritten or renamed. A log that is not damaged is copied; `Log.backup` keeps its addresses.
    target: the new log's directory; it is not there yet, or empty. Until all is written and durable it is called
    TARGET.unfinished.
    codec: the entries' codec, or its name, where STORE is lost; without one they are bytes then.
    committed_only: leave out what stands behind the last commit that is left. By default each sound entry is taken,
    since a later commit may be among what is lost.
    queue: the source is a queue; for one whose STORE is lost, which says so.
    memory: the target's memory budget, which is made larger where an entry of the source needs that.
    progress: is called with the numbers of entries stored and found, now and then.

    Entries get new addresses. Named readers go on at the same entry, or behind it where that is lost. The last cookie
    is kept.

    Returns the report. Raises CorruptionError where no entry can be told from other bytes, LockedError where a writer
    has the source open, FormatError for a target that is there or in the source, and for what is no log, MissingError
    where there is nothing, CodecError where the source keeps another codec. Costs two passes over the log. A target
    that could not be completed is deleted.
    """
    report = LogSalvageReport(path_of(source), path_of(target))
    budget = parse_size("memory", memory)
    check_target(report.source, report.target)
    kind = A_QUEUE if queue else _queue_salvage.kind_at(os.path.join(report.source, STORE))
    remains = Remains(report.source, kind)
    try:
        with beside_no_writer(remains.directory) as free:
            if not free:
                raise LockedError(f"{report.source} is open for writing; close it there, and salvage what is left then")
            if remains.page_bits is None or not remains.files:
                raise CorruptionError(
                    "; ".join(remains.faults) or f"{report.source}: there is no file of a {kind.what}"
                )
            take_codec(report, remains, codec)
            report.faults += remains.faults
            survey = LogSurvey(remains, report)
            budget = max(budget, FRAMES_MIN << remains.page_bits, MEMORY_FACTOR * survey.largest)
            write_target(report, remains, survey, committed_only, budget, progress)
    finally:
        remains.close()
    return report


def take_codec(report: LogSalvageReport, remains: Remains, codec: object) -> None:
    """Take the codec's name from the superblock, or from the caller where that is lost."""
    known_name = BYTES_NAME if remains.block is None else remains.block.value_codec
    given = known_name if codec is None else codec if isinstance(codec, str) else coder_for("entries", codec).name
    if remains.block is not None and given != known_name:
        raise CodecError(f"{report.source} keeps entries of the codec {known_name!r}, not {given!r}; leave codec= out")
    if remains.block is None and codec is None:
        report.faults.append(
            f"{report.target}: entries were taken as bytes, since {STORE}, which names the codec, is lost; if it "
            f"was typed, delete {report.target} and salvage again with its codec: --codec, in Python codec="
        )
    encode_name(given)
    report.codec = given


def write_target(
    report: LogSalvageReport,
    remains: Remains,
    survey: LogSurvey,
    committed_only: bool,
    budget: int,
    progress: Progress | None,
) -> None:
    """Make the target and fill it; it has its name only when it is complete and durable."""
    assert remains.page_bits is not None
    unfinished = report.target + UNFINISHED
    try:
        block = Superblock(os.urandom(16), 0, remains.page_bits)
        block.kind = remains.kind
        block.value_codec = report.codec  # which need not be there to be imported
        make_empty(unfinished, block)
        opened = QueueLog if remains.kind is A_QUEUE else Log
        log = opened(unfinished, memory=budget, create=False, codec=RAW)
        try:
            readers = Readers(remains, report)
            if remains.kind is A_QUEUE:
                _queue_salvage.copy(report, remains, survey, log, committed_only, progress)
            else:
                copy(report, remains, survey, log, readers, committed_only, progress)
            log.commit(report.cookie if report.cookie else None)
            directory = log.handle.directory
            assert directory is not None
            readers.store(directory)
            log.close()
        except BaseException:
            log.handle.abandon()
            raise
        os.rename(unfinished, report.target)
        sync_name(report.target)
    except BaseException as failure:
        discard(unfinished, failure)
        raise


def copy(
    report: LogSalvageReport,
    remains: Remains,
    survey: LogSurvey,
    log: Log,
    readers: Readers,
    committed_only: bool,
    progress: Progress | None,
) -> None:
    """Append each sound entry from the log's begin on to the target."""
    begin = survey.begin()
    first = -1 if survey.commit is None else int(survey.commit.table.live_bytes)
    following = 0 if survey.commit is None else int(survey.commit.table.count)
    seen = 0
    for carver in sound_entries(remains):
        if committed_only and carver.address >= survey.commit_end:
            break
        seen += 1
        if progress is not None and seen % RECORDS_A_STEP == 0:
            progress(seen, survey.records)
        if carver.address < begin:
            report.below_begin += 1
            continue
        number = int(previous_address(carver.info))
        first = number if first < 0 else first
        following = max(following, number + 1)
        address = log.append(carver.value())
        readers.pass_by(number, address, report.entries)
        report.entries += 1
        report.behind_commit += carver.address >= survey.commit_end
    readers.pass_by(following, log.tail, report.entries)
    report.missing = max(following - max(first, 0) - report.entries, 0)
