"""Retention: which entries a log forgets by itself, as a commit is made: by their number, their bytes or their age.

Whole files go, as with every truncation, and the last one never does. So what is kept is at least what was asked for,
and up to a file more: 16 MiB, or a sixty-fourth of a large log. What a named reader has not done stays.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.device.directory import Directory
from oxidbm._core.durability.found_commit import commit_at
from oxidbm._core.faster_log.commits import BeforeCommit, EntryCommits
from oxidbm._core.faster_log.log_reader import lowest
from oxidbm._core.faster_log.options import LogOptions
from oxidbm._core.faster_log.position_file import known
from oxidbm._core.faster_log.reading import number_behind, truncation
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.record import SHAPE_COMMIT
from oxidbm._core.logbook import WARNING, Telling

NANOSECONDS: Final = 1e9
LOOK_BYTES: Final = 1 << 20  # it looks again when so much more is durable, or so much time has passed
LOOK_NS: Final = 1_000_000_000


@final
class Retention(BeforeCommit):
    """What one log keeps; 0 stands for no limit."""

    def __init__(self, commits: EntryCommits, options: LogOptions, directory: Directory) -> None:
        super().__init__()
        self.commits = commits
        self.log = commits.log
        self.directory = directory
        self.telling = Telling(commits.log.life.called())
        self.keep_entries: i64 = options.keep_entries
        self.keep_bytes: i64 = options.keep_bytes
        self.keep_ns: i64 = i64(int(options.keep_seconds * NANOSECONDS))
        self.looked_at: i64 = 0  # where the log was durable up to then
        self.looked_ns: i64 = 0

    def by_itself(self) -> bool:
        """Return that there may: entries grow old, and readers go on in other processes."""
        return True

    def run(self) -> None:
        """Truncate what need not be kept, as far as whole files of it are there."""
        log = self.log
        durable = self.commits.durable_tail
        now = self.commits.now_ns()
        if durable - self.looked_at < LOOK_BYTES and 0 <= now - self.looked_ns < LOOK_NS:
            return
        self.looked_at = durable
        self.looked_ns = now
        following = log.device.segment_end(log.begin)
        if following >= durable or following <= log.begin:
            return
        try:
            until = self.until(following)
            if until > self.commits.begin:
                truncation(self.commits, until)
            self.failure = ""
            self.telling.fine()
        except OSError as failure:  # a damaged entry or a reader's file that cannot be read is in no commit's way
            if came_from_handler(failure):
                raise
            self.failure = f"nothing is forgotten: {failure}"
            self.telling.trouble(WARNING, self.failure)

    def until(self, following: i64) -> i64:
        """Return up to where the log may go, from the end of its first file on: the start of a file, 0 for nowhere."""
        log = self.log
        durable = self.commits.durable_tail
        most = durable
        who, where, _ = lowest(known(self.directory))
        if who:
            most = min(most, where)
        until: i64 = 0
        while following <= most and following < durable and self.too_much(following):
            until = following
            following = log.device.segment_end(until)
            if following <= until:
                break
        return until

    def too_much(self, start: i64) -> bool:
        """Return whether all before the start of a file may go: one limit is passed without it."""
        commits = self.commits
        if 0 < self.keep_bytes <= commits.durable_tail - start:
            return True
        if self.keep_entries > 0 and commits.following - number_behind(commits, start) >= self.keep_entries:
            return True
        return self.keep_ns > 0 and commits.now_ns() - self.committed_ns(start) >= self.keep_ns

    def committed_ns(self, start: i64) -> i64:
        """Return when what stands before an address was committed at the latest. O(the commit that covers it)."""
        log = self.log
        slot = log.epoch.protect()
        try:
            cursor = Cursor(log, start, self.commits.durable_tail)
            while cursor.step():
                if cursor.shape & SHAPE_COMMIT:
                    return commit_at(log, cursor.address).record.log.time_ns
        finally:
            log.epoch.release(slot)
        return self.commits.time_ns
