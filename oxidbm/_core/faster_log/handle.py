"""The handle: everything that an open log holds, and what closing it gives back.

As a store's handle, it is closed once, by the log, by its finalizer or at the interpreter's exit, and void in a forked
child process. Whoever closes it, its owner has the last word: what that says is appended and committed.
"""

from typing import final

from oxidbm._core.coder import BYTES_NAME
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.directory_lock import DirectoryLock
from oxidbm._core.durability.source import Recovery
from oxidbm._core.durability.superblock import A_QUEUE, CleanMark, StorePrelude, Superblock
from oxidbm._core.errors import CorruptionError, error
from oxidbm._core.exits import Openable, attempt
from oxidbm._core.faster_log.commits import BeforeCommit, EntryCommits
from oxidbm._core.faster_log.keeper import LogKeeper
from oxidbm._core.faster_log.options import LogOptions
from oxidbm._core.faster_log.refresh import Refresher
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.life import CLOSED, OPEN, READ_ONLY, state_in_words


class Owner:
    """Who has a log to itself, and something to say in it before it is closed, whoever closes it: a queue."""

    def check_end(self) -> None:
        """Raise BusyError where the calling thread is in the middle of what ending needs."""

    def end(self) -> None:
        """Begin nothing more, and append what is left to say."""

    def begin_again(self) -> None:
        """Go on, since the log could not be closed."""


@final
class LogHandle(Openable):
    """An open log: its commits, its keeper, and what it took of the system."""

    def __init__(self, commits: EntryCommits, options: LogOptions, keeper: LogKeeper | None) -> None:
        super().__init__(commits.log.life)
        self.commits = commits
        self.log = commits.log
        self.options = options
        self.keeper = keeper  # None where it is open to read only
        self.directory: Directory | None = None
        self.lock: DirectoryLock | None = None
        self.superblock: Superblock | None = None
        self.prelude: StorePrelude | None = None
        self.recovery = Recovery()
        self.refresher: Refresher | None = None  # of one that is open to read only, and moves on
        self.commits_at_end = True
        self.owner = Owner()

    def faulty(self) -> bool:
        """Return whether the log is damaged, and was opened as far as it can be read."""
        return len(self.recovery.faults) > 0

    def codec(self) -> str:
        """Return the name of the entries' codec."""
        return self.options.coder.name if self.superblock is None else self.superblock.value_codec

    def check_end(self) -> None:
        """As in Openable; the owner has locks of its own."""
        self.owner.check_end()

    def end(self) -> None:
        """Commit, mark the clean end, and give everything back, whatever fails."""
        life = self.life
        try:
            unsaid = self.end_owner()
            self.shut()
        except BaseException:
            self.reopen()
            raise
        try:
            if life.can_write():
                self.commit_all()
                self.mark_end()
            elif life.writable != READ_ONLY:
                life.blocked_write()
        except error as failure:
            if came_from_handler(failure):
                self.reopen()
            else:
                self.give_back()  # nothing more can be saved
            raise
        except BaseException:  # Ctrl-C, or a shortage: all is still there, and close() can be called again
            self.reopen()
            raise
        self.give_back()
        if unsaid is not None:
            raise unsaid

    def close_uncommitted(self) -> None:
        """Close, and leave away what is not committed."""
        self.end_once(self.end_uncommitted)

    def end_uncommitted(self) -> None:
        """As `end`, without a commit; whoever closes a log that this could not close makes one."""
        self.commits_at_end = False
        try:
            self.end()
        finally:
            self.commits_at_end = True

    def end_owner(self) -> error | None:
        """Have the owner end, while the log still takes what it says; return why it could not say all of it."""
        if not self.commits_at_end or not self.life.can_write():
            return None
        try:
            self.owner.end()
        except error as failure:
            if came_from_handler(failure):
                raise
            return failure
        return None

    def shut(self) -> None:
        """Take nothing more."""
        if self.keeper is not None:
            self.keeper.stop()
        if self.refresher is None:
            self.life.state = CLOSED
        else:
            with self.refresher.lock:  # which reads the device
                self.life.state = CLOSED

    def reopen(self) -> None:
        """Be as open as before close(), which did not come to its end."""
        self.owner.begin_again()
        self.log.shut = False
        self.life.state = OPEN
        if self.keeper is not None:
            self.keeper.go_on()

    def abandon(self) -> None:
        """Close without a commit or a mark, as a crash would leave it."""
        if self.life.state != OPEN:
            return
        if self.keeper is not None:
            self.keeper.stop()
        self.life.state = CLOSED
        self.give_back()

    def loss(self, failure: BaseException) -> BaseException:
        """Return what to say where a log could not be closed, and nobody is left to close it again."""
        if self.life.writable == READ_ONLY:
            return failure
        done = "put or acknowledged" if self.options.kind is A_QUEUE else "appended"
        last = int(self.commits.durable_sequence)
        since = f" since commit {last}, the last durable one," if last > 0 else ""
        return error(f"{self.life.called()} could not be closed: {failure}. What was {done}{since} is lost")

    def commit_all(self) -> None:
        """Commit also what calls that were under way still append or truncate, until nothing more can be."""
        log = self.log
        if not self.commits_at_end:
            log.shut_down()
        while not log.shut:
            self.commits.commit()
            if self.commits.durable_tail >= log.tail and not self.commits.unlogged:
                log.shut_down()

    def mark_end(self) -> None:
        """Write the mark of a clean end, unless there is something behind the last commit, which is cut off then."""
        prelude = self.prelude
        directory = self.directory
        block = self.superblock
        commits = self.commits
        if prelude is None or directory is None or block is None or directory.removed():
            return
        if commits.durable_tail < self.log.tail or commits.unlogged:
            return
        prelude.sync_creation()
        self.log.device.finish()
        if not prelude.mark_present:
            mark = CleanMark(int(commits.end), int(commits.durable_sequence), int(commits.length()))
            prelude.mark_end(block, mark, self.options.mode)

    def give_back(self) -> None:
        """Close files, free frames, give up the lock: all of it, whatever fails or interrupts."""
        log = self.log
        log.shut_down()
        failure = attempt(self.commits.end_writing)
        self.owner = Owner()  # a closed log is in no circle
        self.commits.before = BeforeCommit()
        failure = attempt(self.commits.close_positions) or failure
        failure = attempt(log.epoch.drain) or failure
        if not self.commits.drains.end(self.commits.durable_tail):
            failure = attempt(log.use.give_up) or failure
            failure = attempt(log.let_go) or failure
        failure = attempt(self.commits.waiters.close) or failure
        failure = attempt(self.commits.notices.ended) or failure
        failure = attempt(self.commits.tell_of_append) or failure
        if self.lock is not None:
            failure = attempt(self.lock.close) or failure
        if self.directory is not None:
            failure = attempt(self.directory.close) or failure
        self.part()
        if failure is not None:
            raise failure


def not_to_copy(handle: LogHandle) -> Exception:
    """Return the error for a log that has no files, or not all of them, to make a backup of."""
    if handle.recovery.faults:
        return CorruptionError(
            f"{handle.life.called()} is damaged, and no backup can be made of it: {handle.recovery.faults[0]}. "
            "oxidbm.salvage_log(path, to) saves what is left"
        )
    what = handle.life.what
    return ValueError(f"a {what} in memory has no files to copy; bring what it holds into one that has a path")


def shown_log(handle: LogHandle) -> str:
    """Return where a log is, how many entries it has, of which codec, and what can be done with it, in words."""
    life = handle.life
    words: list[str] = []
    if life.alive():
        count = int(handle.commits.length())
        words.append(f"{count:,} entr{'y' if count == 1 else 'ies'}")
    if handle.codec() != BYTES_NAME:
        words.append(handle.codec())
    words.append(state_in_words(life))
    return f"{repr(life.path) if life.path else 'in memory'}: {', '.join(words)}"
