"""What is left of a damaged log: one that does not open is shown as far as its records verify, where that is asked for.

Nothing is written, and nothing is hidden: what kept the log from opening is in `recovery.faults`. The begin is what the
last commit record says that is left. The end is that of the files: what stands behind that record may have been
committed by one that is lost.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.coder import ENTRIES, plain
from oxidbm._core.durability.found_commit import FoundCommit
from oxidbm._core.durability.newest_commit import newest_commit
from oxidbm._core.errors import CorruptionError
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.scan import EntryIterator
from oxidbm._core.log.reader import read_disk, value_of
from oxidbm._core.log.record import SHAPE_SESSION

NO_NUMBER: Final = -1


def stand_at_what_is_left(commits: EntryCommits) -> None:
    """Stand at the end of the files, whatever they hold. O(what stands behind the last commit record that is left)."""
    log = commits.log
    device = log.device
    log.read_from_device(FIRST_ADDRESS)
    end = max(device.end() & -8, i64(FIRST_ADDRESS))
    begin = max(device.begin(), i64(FIRST_ADDRESS))
    first: i64 = NO_NUMBER
    behind = begin
    newest = newest_commit(log, end)
    if newest is not None:
        record = newest.record
        if begin <= record.log.begin <= end:
            begin = record.log.begin
            first = record.table.live_bytes
        behind = max(begin, newest.end())
        commits.sequence = commits.durable_sequence = record.log.sequence
        commits.address = newest.address
        commits.time_ns = record.log.time_ns
        commits.following = record.table.count
        take_cookie(commits, newest, begin)
    commits.end = commits.durable_tail = end
    commits.begin = commits.durable_begin = begin
    log.start_at(begin & ~log.offset_mask, end, end)
    walk = EntryIterator(commits, plain(ENTRIES), behind, end, True, None)
    while walk.step():
        commits.following = i64(walk.number()) + 1
    if first < 0:
        walk = EntryIterator(commits, plain(ENTRIES), begin, end, True, None)
        first = i64(walk.number()) if walk.step() else commits.following
    commits.first = first


def take_cookie(commits: EntryCommits, newest: FoundCommit, begin: i64) -> None:
    """Have the cookie of a commit, where its record is left."""
    address = newest.record.table.pending
    commits.cookie_address = address
    if address <= 0:
        return
    commits.cookie_gone = True
    if address < begin:
        return
    try:
        found = read_disk(commits.log, address)
    except CorruptionError:
        return
    if found.shape & SHAPE_SESSION:
        commits.cookie = commits.durable_cookie = value_of(commits.log, found)
        commits.cookie_gone = False
