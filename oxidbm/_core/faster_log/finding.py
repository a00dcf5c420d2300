"""Finding entries other than by their address: the last ones, and those that were committed from some time on."""

from typing import Final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import ADDRESS_MAX, FIRST_ADDRESS
from oxidbm._core.arguments import shown
from oxidbm._core.coder import Coder
from oxidbm._core.durability.found_commit import commit_at
from oxidbm._core.errors import CorruptionError
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.scan import EntryIterator

FIRST_PIECE_BYTES: Final = 1 << 16
PIECES_GROW: Final = 8
NANOSECONDS: Final = 1e9
SLICE_COMMITS: Final = 512


def checked_count(count: object) -> int:
    """Return how many entries are asked for; TypeError, ValueError."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"count is a number of entries, not {shown(count)}")
    if count < 0:
        raise ValueError(f"count is a number of entries, at least 0, not {shown(count)}")
    return min(count, ADDRESS_MAX)


def last_entries(commits: EntryCommits, coder: Coder, count: int, skips: bool) -> list[object]:
    """Return the last committed entries, in order: ever longer pieces of the log's end are read until it is enough.

    CorruptionError where one of them, or what stands among or behind them, is damaged, DecodeError where one cannot be
    decoded, unless that is passed over. An entry before them, in the same piece, is in nobody's way.
    """
    stop = commits.durable_tail
    begin = commits.begin
    size: i64 = FIRST_PIECE_BYTES
    while count > 0:
        start = max(stop - size, begin)
        entries = EntryIterator(commits, coder, start, stop, True, None)
        faults: list[str] = []
        entries.noted = faults
        entries.decodes = False
        found: list[object] = []
        known: list[int] = []  # how many faults stand before each of them
        while entries.step():
            try:
                found.append(entries.current())
            except ValueError as failure:
                if skips:
                    continue
                found.append(failure)
            known.append(len(faults))
            if len(found) >= 2 * count:  # a piece of many small entries is not held whole
                found = found[-count:]
                known = known[-count:]
        enough: bool = len(found) >= count
        if enough or start <= begin:
            before = known[-count] if enough else 0
            if len(faults) > before and not skips:
                raise CorruptionError(faults[before])
            found = found[-count:]
            for one in found:
                if isinstance(one, ValueError):
                    raise one
            return found
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
