"""Finding entries other than by their address: the last ones, and those that were committed from some time on."""

from typing import Final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.coder import Coder
from oxidbm._core.durability.found_commit import commit_at
from oxidbm._core.errors import CorruptionError
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.scan import EntryIterator

FIRST_PIECE_BYTES: Final = 1 << 16
PIECES_GROW: Final = 8
NANOSECONDS: Final = 1e9
SLICE_COMMITS: Final = 512


def last_entries(commits: EntryCommits, coder: Coder, count: int, skips: bool) -> list[object]:
    """Return the last committed entries, in order: ever longer pieces of the log's end are read until it is enough.

    CorruptionError where one of them, or what stands among or behind them, is damaged, unless that is passed over.
    """
    stop = commits.durable_tail
    begin = commits.begin
    size: i64 = FIRST_PIECE_BYTES
    while count > 0:
        start = max(stop - size, begin)
        entries = EntryIterator(commits, coder, start, stop, True, None)
        faults: list[str] = []
        entries.noted = faults
        found: list[object] = []
        known: list[int] = []  # how many faults stand before each of them
        while entries.step():
            found.append(entries.current())
            known.append(len(faults))
            if len(found) >= 2 * count:  # a piece of many small entries is not held whole
                found = found[-count:]
                known = known[-count:]
        enough: bool = len(found) >= count
        if enough or start <= begin:
            before = known[-count] if enough else 0
            if len(faults) > before and not skips:
                raise CorruptionError(faults[before])
            return found[-count:]
        size *= PIECES_GROW
    return []


def address_at(commits: EntryCommits, seconds: float) -> i64:
    """Return where the entries begin that were committed at a time or later. O(the commits since)."""
    log = commits.log
    if log.memory_only:
        raise ValueError("a log in memory does not keep when its entries were committed; give it a path")
    if not seconds >= 0:  # nor is NaN
        raise ValueError(f"a time is a number of seconds since 1970, not {seconds!r}")
    stop = commits.durable_tail
    at = commits.address
    asked: i64 = 0
    slot = log.epoch.protect()
    try:
        while at >= max(commits.begin, i64(FIRST_ADDRESS)):
            found = commit_at(log, at)
            if found.end() <= stop and int(found.record.log.time_ns) / NANOSECONDS < seconds:
                return found.end()
            at = found.previous
            asked += 1
            if asked % SLICE_COMMITS == 0:
                _breath.breathe()
    finally:
        log.epoch.release(slot)
    return commits.begin
