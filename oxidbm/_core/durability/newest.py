"""Which state of a store is the newest: its log's last commit, or a snapshot that the log has not gone beyond."""

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.rebuild import (
    Spill,
    assemble,
    check_whole,
    commit_end_before,
    is_in_log,
    went_on,
)
from oxidbm._core.durability.source import Recovery, Source, check_log_of, check_pages_of
from oxidbm._core.durability.superblock import CleanMark
from oxidbm._core.durability.torn_tail import later_durable_commit
from oxidbm._core.errors import CorruptionError, FormatError
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import read_disk
from oxidbm._core.log.record import CHECKSUM_MASK


def copy_of_log(log: HybridLog, mark: CleanMark | None, source: Source, report: Recovery) -> Spill | None:
    """Return what the log lacks of the state that is to be recovered; None where it has all of that."""
    at = source.at
    if at is None:
        return None if mark is not None else newest_snapshot(log, source, report)
    log.read_from_device(FIRST_ADDRESS)
    if source.files is None or not at.has_copy() or is_in_log(log, at):
        return None
    check_previous(log, at)
    check_log_of(log, at)
    source.rebuilt = at
    return assemble(source.files, source.chain_of(at), source.elsewhere)


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
        check_previous(log, metadata)
        check_nothing_later(log, metadata)
        try:
            check_log_of(log, metadata)
            spill = assembled(log, source, metadata)
        except FileNotFoundError as missing:
            report.faults.append(lost_with(metadata, f"{missing.filename} is missing"))
        except (CorruptionError, FormatError) as failure:
            report.faults.append(lost_with(metadata, str(failure)))
        else:
            source.rebuilt = metadata
            return spill
    return None


def assembled(log: HybridLog, source: Source, metadata: Metadata) -> Spill:
    """Return what the log lacks of a snapshot's state, if the two together lead there."""
    assert source.files is not None
    spill = assemble(source.files, source.chain_of(metadata), source.elsewhere)
    try:
        check_whole(log, metadata, spill)
    except BaseException:
        spill.close()
        raise
    return spill


def check_previous(log: HybridLog, metadata: Metadata) -> None:
    """Raise CorruptionError where the log has not, or not so, what it had durably when a snapshot was taken.

    It is damaged, or another one: two copies of a store that went on in their own ways have the same id.
    """
    device = log.device
    previous = i64(metadata.previous)
    place = device.place(previous)
    advice = (
        "Where the snapshot was made in a copy of the store, delete its files; else the log is damaged: restore the "
        "store from a copy"
    )
    if device.end() < metadata.durable_to > FIRST_ADDRESS:
        raise CorruptionError(
            f"{device.place(device.end())}: the log ends here, and the snapshot {metadata.token} needs it up to "
            f"address {metadata.durable_to}. {advice}"
        )
    if not metadata.previous_sum or previous < max(device.begin(), i64(FIRST_ADDRESS)):
        return  # there was none, or it was given back
    try:
        found = f"{int(read_disk(log, previous).seal & CHECKSUM_MASK):08x}"
    except CorruptionError:
        found = ""
    if found != metadata.previous_sum:
        raise CorruptionError(f"{place}: the commit is not there that the snapshot {metadata.token} follows. {advice}")


def lost_with(metadata: Metadata, why: str) -> str:
    """Return what is said where the newest state of all cannot be read."""
    return (
        f"{why}. The snapshot {metadata.token} was the newest state of the store: what was written between the commit "
        f"that is opened in its place and commit {metadata.sequence} is lost with it"
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
