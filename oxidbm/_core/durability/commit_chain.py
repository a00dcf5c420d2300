"""The chain of commit records: each one names the one before it, from the last durable one back to the log's begin.

It says when a record was committed: by the first commit record behind it. That one is looked for from both sides at
once, back along the chain and forward over the log from the record on, so that neither a key that was written long ago
nor one that was written in a huge commit costs more than twice the shorter way. Whoever asks is inside the epoch.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES
from oxidbm._core.durability.found_commit import FoundCommit, commit_at
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.record import SHAPE_COMMIT

NOT_COMMITTED: Final = -1
COMMITS_A_TURN: Final = 64  # a read each
RECORDS_A_TURN: Final = 512


def last_commit(commits: Commits) -> FoundCommit | None:
    """Return the last durable commit, None where there is none."""
    tail = commits.durable_tail
    if commits.log.memory_only or tail <= FIRST_ADDRESS:
        return None
    return commit_at(commits.log, tail - COMMIT_RECORD_BYTES)


@final
class CommitTimes:
    """When records were committed, for one who asks of ever lower addresses: a commit is looked for once."""

    def __init__(self, commits: Commits) -> None:
        self.log = commits.log
        self.found = last_commit(commits)

    def time_ns(self, address: i64) -> i64:
        """Return when the record at an address was committed, in nanoseconds since 1970; NOT_COMMITTED for not yet."""
        found = self.found
        if found is None or address > found.address:
            return NOT_COMMITTED
        if address < found.previous:
            self.found = found = self.search(found.previous, address)
        return found.record.log.time_ns

    def search(self, at: i64, address: i64) -> FoundCommit:
        """Return the first commit behind an address, which the one at `at` is behind as well."""
        cursor = Cursor(self.log, address, at)
        while True:
            left: i64 = COMMITS_A_TURN
            while left > 0:
                found = commit_at(self.log, at)
                if found.previous < address:
                    return found
                at = found.previous
                left -= 1
            left = RECORDS_A_TURN
            while left > 0 and cursor.step():
                if cursor.shape & SHAPE_COMMIT:
                    return commit_at(self.log, cursor.address)
                left -= 1
            _breath.breathe()
