"""Damaged stores: `check` lists every fault of one that does not open, `salvage` brings what is sound into a new store.

The source is only read. What is written goes to a directory beside the target, which gets the target's name when all
of it is durable: a salvage that fails, or is killed, never leaves a target that looks whole. Records are stored in the
order of their addresses, so that the newest of each key stays; the target's memory budget is all that this takes.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.coder import BYTES_NAME, coder_for
from oxidbm._core.device.directory import CHECKPOINTS, STORE
from oxidbm._core.durability.superblock import Superblock, encode_name
from oxidbm._core.errors import CodecError, CorruptionError, FormatError, LockedError, MissingError
from oxidbm._core.paging import FRAMES_MIN
from oxidbm._core.sizes import parse_size
from oxidbm._core.store.opening import random_seed
from oxidbm._core.store.store import Store
from oxidbm._core.table import operations, retry
from oxidbm._opened import opened_quietly
from oxidbm._plain import Plain
from oxidbm._publish import UNFINISHED, Path, beside_no_writer, discard, make_empty, path_of, sync_name
from oxidbm._remains import Remains
from oxidbm._survey import LostRange, Survey, carver_of
from oxidbm.codecs import PICKLE, RAW

AGAIN: Final = "salvage again with its codecs: --key-codec and --value-codec, in Python key= and value="
RECORDS_A_STEP: Final = 1024  # between two reports of progress
MEMORY_FACTOR: Final = 4  # of the largest record, which may take half of the budget and has copies while it is moved

Progress = Callable[[int, int], None]


@dataclass
class SalvageReport:
    """What `salvage` found, wrote and could not read.

    source, target: the two paths. key_codec, value_codec: the codecs' names that the target keeps.
    keys: how many keys the target has.
    records: how many sound records the source has; missing: how many more its commits counted, as far as commit records
    that are left tell; copied: how many were stored in the target, older ones of the same key included.
    behind_commit: how many of those stand behind the last commit that counts.
    below_begin: how many were left out, since that commit says that the log begins behind them.
    commit_sequence, commit_time: that commit's number and time in seconds since 1970; 0 and None where there is none.
    sessions: the serial number of each named session as of that commit.
    newer_snapshot, newer_commit: the token of the newest snapshot of a later commit than that, and its commit's number;
    None and 0 where there is none. What only a snapshot has is not in the target: the last of `faults` says what to do.
    lost: the ranges of bytes that are no records any more, the first 10,000 of them; lost_ranges, lost_bytes: of all.
    faults: what else is wrong with the source, as sentences; and where STORE, which names the codecs, is lost, what was
    taken for them without being known, and what to do about it.
    """

    __module__ = "oxidbm"
    source: str
    target: str
    key_codec: str = BYTES_NAME
    value_codec: str = BYTES_NAME
    keys: int = 0
    records: int = 0
    missing: int = 0
    copied: int = 0
    behind_commit: int = 0
    below_begin: int = 0
    commit_sequence: int = 0
    commit_time: float | None = None
    sessions: dict[str, int] = field(default_factory=dict)
    newer_snapshot: str | None = None
    newer_commit: int = 0
    lost: list[LostRange] = field(default_factory=list)
    lost_ranges: int = 0
    lost_bytes: int = 0
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return asdict(self)


def check(path: Path) -> list[str]:
    """Return every fault of the store at a path as sentences with file and offset; an empty list when it is sound.

    A store that opens is checked as `Store.check` does it. Of one that does not, all that is wrong is listed: STORE and
    CLEAN, files that are missing, cut, or not where they belong, every range of bytes that are no records any more,
    commits that do not follow each other. No byte is changed, and no lock taken from a writer; where one has the store
    open, the last sentence says so.

    Raises MissingError where there is no store, FormatError for something else or a store of another format version.
    Costs one pass over the log.
    """
    name = path_of(path)
    try:
        with opened_quietly(name, read_only=True) as store:
            return store.check()
    except MissingError:
        raise
    except OSError as failure:
        remains = Remains(name)
        try:
            survey = Survey(remains)
            if isinstance(failure, FormatError) and remains.block is None and survey.records == 0:
                raise
            faults = faults_of(remains, survey) or [str(failure)]
            with beside_no_writer(remains.directory) as free:
                if not free:
                    faults.append(f"{name}: a writer has the store open; what it is writing may be among the faults")
            return faults
        finally:
            remains.close()


def faults_of(remains: Remains, survey: Survey) -> list[str]:
    """Return every fault of a store that does not open."""
    ranges = [lost for lost in survey.lost() if lost.committed]
    if survey.lost_ranges > len(survey.found):
        survey.faults.append(f"{remains.path}: {survey.lost_ranges - len(survey.found)} more ranges of bytes are lost")
    return [*remains.faults, *map(str, ranges), *survey.faults]


def salvage(
    source: Path,
    target: Path,
    *,
    key: object = None,
    value: object = None,
    committed_only: bool = False,
    memory: int | str = "256MiB",
    progress: Progress | None = None,
) -> SalvageReport:
    """Write every record of a damaged store whose checksum holds into a new store, and say what was lost.

    source: the damaged store's directory, which is only read. Its STORE may be missing or damaged, and files of its log
    missing, cut, overwritten or renamed. A store that is not damaged is copied.
    target: the new store's directory; it is not there yet, or empty. Until all is written and durable it is called
    TARGET.unfinished.
    key, value: the codecs, or their names, where STORE is lost; a name is kept also where it cannot be imported.
    Without one, keys or values are bytes, and the report says so, as it does of a name that is unknown here.
    committed_only: leave out what stands behind the last commit that counts. By default each sound record is taken.
    memory: the target's memory budget, which is made larger where a record of the source needs that.
    progress: is called with the numbers of records stored and found, now and then.

    Of each key the record at the highest address wins, and a tombstone deletes it. Expiry and the serial numbers of
    named sessions are kept. Records below where the last commit that counts says the log begins are left out, as any
    opening does.

    Returns the report. Raises CorruptionError where no record can be told from other bytes, LockedError where a writer
    has the source open, FormatError for a target that is there or in the source, and for what is no store, MissingError
    where there is nothing, CodecError where the source keeps other codecs. Costs two passes over the log. A target that
    could not be completed is deleted.
    """
    report = SalvageReport(path_of(source), path_of(target))
    budget = parse_size("memory", memory)
    check_target(report.source, report.target)
    remains = Remains(report.source)
    try:
        with beside_no_writer(remains.directory) as free:
            if not free:
                raise LockedError(f"{report.source} is open for writing; close it there, and salvage what is left then")
            if remains.page_bits is None or not remains.files:
                raise CorruptionError("; ".join(remains.faults) or f"{report.source}: there is no file of a log")
            take_codecs(report, remains, key, value)
            survey = Survey(remains)
            take_survey(report, remains, survey)
            take_snapshots(report, remains)
            write_target(report, remains, survey, committed_only, budget, progress)
    finally:
        remains.close()
    return report


def check_target(source: str, target: str) -> None:
    """Raise where the target may not be made."""
    unfinished = target + UNFINISHED
    if os.path.lexists(unfinished):
        raise FormatError(f"{unfinished} is in the way, left by a salvage that did not end; delete it")
    if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target) or os.path.islink(target)):
        raise FormatError(f"{target} is there already; name a target that is not, or an empty directory")
    if os.path.ismount(target):
        raise FormatError(f"{target} is where a file system is mounted; name a directory in it")
    inside = os.path.join(os.path.realpath(source), "")
    if os.path.join(os.path.realpath(target), "").startswith(inside):
        raise FormatError(f"{target} is inside of {source}, which is only read; name another target")


def take_codecs(report: SalvageReport, remains: Remains, key: object, value: object) -> None:
    """Take the codecs' names from the superblock, or from the caller where that is lost."""
    names = []
    for what, codec in (("keys", key), ("values", value)):
        known = BYTES_NAME
        if remains.block is not None:
            known = remains.block.key_codec if what == "keys" else remains.block.value_codec
        given = known if codec is None else codec if isinstance(codec, str) else coder_for(what, codec).name
        if remains.block is not None and given != known:
            raise CodecError(
                f"{report.source} keeps {what} of the codec {known!r}, not {given!r}; leave {what[:-1]}= out"
            )
        encode_name(given)
        names.append(given)
    report.key_codec, report.value_codec = names
    if remains.block is None:
        report.faults = codec_faults(report, key, value)


def codec_faults(report: SalvageReport, key: object, value: object) -> list[str]:
    """Return what is to be said of codecs that no superblock names: those that nobody gave, and unknown names."""
    given = {"keys": (key, report.key_codec), "values": (value, report.value_codec)}
    faults = []
    taken = " and ".join(what for what, (codec, _) in given.items() if codec is None)
    if taken:
        faults.append(
            f"{report.target}: {taken} were taken as bytes, since {STORE}, which names the codecs, is lost; if the "
            f"store was typed, delete {report.target} and {AGAIN}"
        )
    for what, (codec, name) in given.items():
        if isinstance(codec, str) and not Plain(name).writes and name != PICKLE.name:
            faults.append(
                f"{report.target}: {what} are kept under the codec {name!r}, which is unknown here; if no codec of "
                f"your program has exactly this name, delete {report.target} and {AGAIN}"
            )
    return faults


def take_survey(report: SalvageReport, remains: Remains, survey: Survey) -> None:
    """Put into the report what the survey says."""
    report.records = survey.records
    report.missing = survey.missing
    report.lost = list(survey.lost())
    report.lost_ranges = survey.lost_ranges
    report.lost_bytes = survey.lost_bytes
    report.faults = [*remains.faults, *report.faults, *survey.faults]
    if survey.counted is not None:
        report.commit_sequence = survey.counted.log.sequence
        report.commit_time = int(survey.counted.log.time_ns) / 1e9
        report.sessions = {name: int(state.serial) for name, state in survey.sessions.items()}


def take_snapshots(report: SalvageReport, remains: Remains) -> None:
    """Put into the report whether a snapshot has a later state than the log, of which alone a salvage takes records."""
    known, faults = remains.read_checkpoints()
    report.faults += faults
    newer = [metadata for metadata in known if metadata.has_copy() and metadata.sequence > report.commit_sequence]
    if not newer:
        return
    metadata = newer[-1]
    report.newer_snapshot, report.newer_commit = metadata.token, metadata.sequence
    last = f"commit {report.commit_sequence}" if report.commit_sequence else "no commit"
    way = f"`oxidbm recover {report.source} {metadata.token} --to NEW` makes a store of it, if the log before is sound"
    if not remains.superblock_sound:
        way = f"restore {STORE} from a copy, it never changes; then {way}"
    report.faults.append(
        f"{remains.directory.place(CHECKPOINTS)}: the snapshot {metadata.token} is of commit {metadata.sequence}, and "
        f"the log has {last} that counts; what only the snapshot has is not in {report.target}: {way}"
    )


def write_target(
    report: SalvageReport,
    remains: Remains,
    survey: Survey,
    committed_only: bool,
    budget: int,
    progress: Progress | None,
) -> None:
    """Make the target and fill it; it has its name only when it is complete and durable."""
    assert remains.page_bits is not None
    unfinished = report.target + UNFINISHED
    budget = max(budget, FRAMES_MIN << remains.page_bits, MEMORY_FACTOR * survey.largest)
    try:
        block = Superblock(os.urandom(16), random_seed(), remains.page_bits)
        block.key_codec = report.key_codec  # whose codecs need not be there to be imported
        block.value_codec = report.value_codec
        make_empty(unfinished, block)
        store = Store(unfinished, memory=budget, durability="manual", create=False, key=RAW, value=RAW)
        try:
            copy(report, remains, survey, store, survey.counted_end if committed_only else ADDRESS_MAX, progress)
            for state in survey.sessions.values():
                store.handle.commits.give_session(state.name, state.serial, state.used_ns)
            report.keys = len(store)
            store.close()
        except BaseException:
            store.handle.abandon()
            raise
        os.rename(unfinished, report.target)
        sync_name(report.target)
    except BaseException as failure:
        discard(unfinished, failure)
        raise


def copy(
    report: SalvageReport, remains: Remains, survey: Survey, store: Store, stop: int, progress: Progress | None
) -> None:
    """Do to the target what each sound record between the log's begin and `stop` says."""
    begin = survey.begin()
    table = store.table
    seen = 0
    for file in remains.segments:
        carver = carver_of(remains, file)
        while carver.step():
            carver.losses = []
            if carver.is_commit() or carver.is_session():
                continue
            if carver.address >= stop:
                return
            seen += 1
            if progress is not None and seen % RECORDS_A_STEP == 0:
                progress(seen, survey.records)
            if carver.address < begin:
                report.below_begin += 1
                continue
            report.copied += 1
            report.behind_commit += carver.address >= survey.counted_end
            if carver.tombstone():
                retry.remove(table, carver.record_key())
            else:
                key, value = carver.record_key(), carver.value()
                retry.put_tagged(table, key, value, operations.ALWAYS, b"", carver.expiry(), carver.tag())
            if table.log.due:
                table.maintainer.step()
