"""Checking a log: every entry and every record of the log's own is read and verified, and what is wrong is listed."""

from typing import Final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.coder import ENTRIES, plain
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.scan import EntryIterator

SLICE_ENTRIES: Final = 512


def check(commits: EntryCommits) -> list[str]:
    """Return every fault found in a log, as sentences. O(the log), in bounded memory but for the faults."""
    wanted = commits.length()
    entries = EntryIterator(commits, plain(ENTRIES), commits.begin, commits.log.tail, True, None)
    faults: list[str] = []
    entries.noted = faults
    found: i64 = 0
    while entries.step():
        found += 1
        if found % SLICE_ENTRIES == 0:
            _breath.breathe()
    if found < wanted and (faults or wanted == commits.length()):
        faults.append(f"{commits.log.life.called()} has {found} sound entries of {wanted}; the others are lost")
    return faults
