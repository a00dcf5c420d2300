"""Damaged queues, as `oxidbm.salvage_log` saves them: the sound items that are not acknowledged, in order.

What is said of items stands behind them and names addresses, which are others in the target. So the source is passed
over twice: for what is said, and for the items, each with how often it was out and until when it is delayed. An item
whose acknowledgement is lost comes again, as after a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oxidbm._core.durability.superblock import A_LOG, A_QUEUE, SUM, SUPERBLOCK, Kind, kind_of
from oxidbm._core.log.record import previous_address
from oxidbm._core.queue.deliveries import NOTES_MAX
from oxidbm._core.queue.entries import ACK, ADDRESS, ITEM, ITEM_KINDS, MOVED_KIND, NOTE, NOTES, body_of, fault_of
from oxidbm._log_remains import LogSalvageReport, LogSurvey, sound_entries
from oxidbm._remains import mended
from oxidbm._salvage import RECORDS_A_STEP, Progress

if TYPE_CHECKING:
    from oxidbm._core.faster_log.log import Log
    from oxidbm._remains import Remains


def kind_at(store: str) -> Kind:
    """Return whether a file STORE is a queue's; a log's where it does not say, or is not there."""
    try:
        with open(store, "rb") as file:
            data = file.read(SUPERBLOCK.size + SUM.size + 1)
    except OSError:
        return A_LOG
    return A_QUEUE if A_QUEUE in (kind_of(data), kind_of(mended(data) or b"")) else A_LOG


class Said:
    """What the entries of a damaged queue say of its items."""

    def __init__(self, report: LogSalvageReport, remains: Remains, begin: int, end: int | None) -> None:
        self.done: set[int] = set()
        self.notes: dict[int, tuple[int, int]] = {}
        self.faulty: set[int] = set()
        for carver in sound_entries(remains):
            if end is not None and carver.address >= end:
                break
            if carver.address >= begin:
                self.take(report, int(carver.address), carver.value())

    def take(self, report: LogSalvageReport, address: int, entry: bytes) -> None:
        """Take note of what one entry says."""
        fault = fault_of(address, entry)
        if fault:
            self.faulty.add(address)
            report.faults.append(f"{report.source}: the entry at address {address} {fault}")
        elif entry[:1] == ACK:
            self.done.update(of for (of,) in ADDRESS.iter_unpack(entry[1:]))
        elif entry[:1] == NOTES:
            self.notes.update((of, (due_ns, attempts)) for of, due_ns, attempts in NOTE.iter_unpack(entry[1:]))
        elif entry[0] == MOVED_KIND:
            self.done.add(ADDRESS.unpack_from(entry, 1)[0])


def copy(
    report: LogSalvageReport,
    remains: Remains,
    survey: LogSurvey,
    log: Log,
    committed_only: bool,
    progress: Progress | None,
) -> None:
    """Append each sound item that is not acknowledged to the target, and then what is known of those that were out."""
    begin = survey.begin()
    end = survey.commit_end if committed_only else None
    said = Said(report, remains, begin, end)
    first = -1 if survey.commit is None else int(survey.commit.table.live_bytes)
    following = 0 if survey.commit is None else int(survey.commit.table.count)
    seen = sound = 0
    notes: list[bytes] = []
    for carver in sound_entries(remains):
        address = int(carver.address)
        if end is not None and address >= end:
            break
        seen += 1
        if progress is not None and seen % RECORDS_A_STEP == 0:
            progress(seen, survey.records)
        if address < begin:
            report.below_begin += 1
            continue
        number = int(previous_address(carver.info))
        first = number if first < 0 else first
        following = max(following, number + 1)
        sound += 1
        entry = carver.value()
        if address in said.done or address in said.faulty or entry[0] not in ITEM_KINDS:
            continue
        new = log.append(ITEM + body_of(entry))
        if address in said.notes:
            notes.append(NOTE.pack(new, *said.notes[address]))
        report.entries += 1
        report.behind_commit += address >= survey.commit_end
    for start in range(0, len(notes), NOTES_MAX):
        log.append(NOTES + b"".join(notes[start : start + NOTES_MAX]))
    report.missing = max(following - max(first, 0) - sound, 0)
