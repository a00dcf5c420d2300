"""What is left of a damaged log, or of a queue's: the report of a salvage, and the passes over what is sound."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from oxidbm._core.coder import BYTES_NAME
from oxidbm._core.durability.carve import Carver
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, CommitRecord, decode
from oxidbm._core.faster_log.entry import is_entry
from oxidbm._remains import Remains, SegmentFile
from oxidbm._survey import LISTED_MAX, LostRange, carver_of


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

    __module__ = "oxidbm"
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


def sound_entries(remains: Remains) -> Iterator[Carver]:
    """Yield what stands at each sound entry, in the order of the log."""
    for file in remains.segments:
        carver = carver_of(remains, file)
        while carver.step():
            carver.losses = []
            if is_entry(carver.shape):
                yield carver
