"""Damaged logs: `salvage_log` brings the sound entries of one into a new log, in order, and says what was lost.

As with a store, the source is only read, and the target is written beside its place and gets its name when all of it
is durable. Entries are numbered, so what is missing is known exactly, as far as a commit that is left counts them. They
have other addresses in the target; named readers are given the ones at which they go on there.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from oxidbm._core.coder import BYTES_NAME, coder_for
from oxidbm._core.device.directory import STORE, Directory
from oxidbm._core.durability.carve import Carver
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, CommitRecord, decode
from oxidbm._core.durability.superblock import A_QUEUE, Superblock, encode_name
from oxidbm._core.errors import CodecError, CorruptionError, LockedError
from oxidbm._core.faster_log.entry import is_entry
from oxidbm._core.faster_log.log import Log
from oxidbm._core.faster_log.position_file import Position, hold, known
from oxidbm._core.log.record import previous_address
from oxidbm._core.paging import FRAMES_MIN
from oxidbm._core.queue.queue_log import QueueLog
from oxidbm._core.sizes import parse_size
from oxidbm._publish import UNFINISHED, Path, beside_no_writer, discard, make_empty, path_of, sync_name
from oxidbm._remains import Remains, SegmentFile
from oxidbm._salvage import MEMORY_FACTOR, RECORDS_A_STEP, Progress, check_target
from oxidbm._survey import LISTED_MAX, LostRange, carver_of
from oxidbm.codecs import RAW


@dataclass
class LogSalvageReport:
    """What `salvage_log` found, wrote and could not read.

    source, target: the two paths. codec: the codec's name that the target keeps.
    entries: how many entries the target has, or items, where it is a queue; missing: how many more entries the source
    should have from its begin on, as far as a commit or an entry that is left tells.
    behind_commit: how many of the target's stand behind the last commit that is left. below_begin: how many were left
    out, since that commit says that the log begins behind them.
    commit_number, commit_time: that commit's number and time in seconds since 1970; 0 and None where none is left.
    cookie: that commit's cookie, which the target has too; b"" where it has none, or its record is lost.
    lost: the ranges of bytes that are no records any more, the first 10,000 of them; lost_ranges, lost_bytes: of all.
    faults: what else is wrong with the source, as sentences.
    """

    source: str
    target: str
    codec: str = BYTES_NAME
    entries: int = 0
    missing: int = 0
    behind_commit: int = 0
    below_begin: int = 0
    commit_number: int = 0
    commit_time: float | None = None
    cookie: bytes = b""
    lost: list[LostRange] = field(default_factory=list)
    lost_ranges: int = 0
    lost_bytes: int = 0
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dict, whose cookie is bytes."""
        return asdict(self)


class LogSurvey:
    """What one pass over the remains of a log has found."""

    def __init__(self, remains: Remains, report: LogSalvageReport) -> None:
        self.remains = remains
        self.report = report
        self.records = 0
        self.largest = 0
        self.commit: CommitRecord | None = None  # the last one that is left
        self.commit_end = 0
        self.cookie = (-1, b"")  # of the last commit that is left, and where its record stands
        self.losses: list[tuple[SegmentFile, int, int, str]] = []
        for file in remains.segments:
            carver = carver_of(remains, file)
            while carver.step():
                self.take(carver)
                self.take_losses(file, carver)
            self.take_losses(file, carver)
        mark = remains.mark
        committed = max(self.commit_end, 0 if mark is None else mark.tail)
        for file, start, stop, reason in self.losses:
            report.lost.append(LostRange(file.path, start - file.start, stop - start, reason, start < committed))
        if self.commit is not None:
            report.commit_number = int(self.commit.log.sequence)
            report.commit_time = int(self.commit.log.time_ns) / 1e9
            at, cookie = self.cookie
            report.cookie = cookie if at == self.commit.table.pending else b""

    def take(self, carver: Carver) -> None:
        """Take note of a sound record."""
        if carver.is_commit():
            try:
                self.commit = decode(carver.value())
            except ValueError as failure:
                self.report.faults.append(f"the commit record at address {carver.address} cannot be: {failure}")
                return
            self.commit_end = int(carver.address) + COMMIT_RECORD_BYTES
        elif carver.is_session():
            self.cookie = (int(carver.address), carver.value())
        else:
            self.records += 1
            self.largest = max(self.largest, int(carver.size()))

    def take_losses(self, file: SegmentFile, carver: Carver) -> None:
        """Take note of the bytes before the current record, or before the file's end, that are none."""
        for start, stop, reason in carver.losses:
            self.report.lost_ranges += 1
            self.report.lost_bytes += stop - start
            if len(self.losses) < LISTED_MAX:
                self.losses.append((file, start, stop, reason))
        carver.losses = []

    def begin(self) -> int:
        """Return where the last commit that is left says that the log begins."""
        return 0 if self.commit is None else int(self.commit.log.begin)


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
    from oxidbm import _queue_salvage

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
                from oxidbm import _queue_salvage

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


def sound_entries(remains: Remains) -> Iterator[Carver]:
    """Yield what stands at each sound entry, in the order of the log."""
    for file in remains.segments:
        carver = carver_of(remains, file)
        while carver.step():
            carver.losses = []
            if is_entry(carver.shape):
                yield carver
