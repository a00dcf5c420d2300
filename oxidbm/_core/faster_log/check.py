"""Checking a log: every entry and every record of the log's own is read and verified, and what is wrong is listed.

What kept a damaged log from opening, and positions of named readers that do not verify, are listed too.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.coder import ENTRIES, plain
from oxidbm._core.faster_log.handle import LogHandle
from oxidbm._core.faster_log.position_file import faults_of_positions
from oxidbm._core.faster_log.scan import EntryIterator

SLICE_ENTRIES: Final = 512


def check(handle: LogHandle) -> list[str]:
    """Return every fault found in a log, as sentences. O(the log), in bounded memory but for the faults."""
    commits = handle.commits
    following = commits.following
    entries = EntryIterator(commits, plain(ENTRIES), commits.begin, commits.log.tail, True, None)
    faults: list[str] = []
    entries.noted = faults
    found: i64 = 0
    while entries.step():
        found += 1
        if found % SLICE_ENTRIES == 0:
            _breath.breathe()
    wanted = following - commits.first  # as it begins now: what was truncated meanwhile need not have been found
    if found < wanted:
        faults.append(f"{commits.log.life.called()} has {found} sound entries of {wanted}; the others are lost")
    if handle.directory is not None:
        handle.life.check_open()
        faults += faults_of_positions(handle.directory)
    return handle.recovery.faults + faults
