"""The handle: everything that an open store holds, and what closing it gives back.

A handle is closed once, by the store, or by the last one of those that share it, by the store's finalizer or at the
interpreter's exit. In a forked child every handle is void: the life says so, and the child's copy of the lock's file is
closed, so that the lock stays the parent's alone.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.counters import Counters
from oxidbm._core.device.directory import Directory
from oxidbm._core.device.directory_lock import DirectoryLock
from oxidbm._core.durability.checkpoint import Checkpoint, Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.commit import Commits, CutWatcher
from oxidbm._core.durability.source import Recovery, Source
from oxidbm._core.durability.superblock import CleanMark, StorePrelude, Superblock
from oxidbm._core.errors import error
from oxidbm._core.exits import Openable, attempt
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.life import CLOSED, OPEN, READ_ONLY
from oxidbm._core.memory import trim_memory
from oxidbm._core.store.follower import Follower
from oxidbm._core.store.maintainers import ClosedMaintainer, DiskMaintainer
from oxidbm._core.store.options import Options

LARGE_BYTES: Final = 33_554_432  # of index and frames, of which something may stay with malloc


@final
class Handle(Openable):
    """An open store: its table, its commits, its codecs, and what it took of the system."""

    def __init__(self, commits: Commits, options: Options, counters: Counters) -> None:
        super().__init__(commits.log.life)
        self.commits = commits
        self.table = commits.table
        self.options = options
        self.coders = options.coders
        self.counters = counters
        self.disk: DiskMaintainer | None = None
        self.directory: Directory | None = None
        self.lock: DirectoryLock | None = None
        self.superblock: Superblock | None = None
        self.prelude: StorePrelude | None = None
        self.files: CheckpointFiles | None = None
        self.recovery = Recovery()
        self.follower: Follower | None = None
        self.holders: i64 = 1  # stores that have not been closed: see sharing.py
        self.order: object = None  # the ordered view that they share
        self.retired: list[Handle] = []  # what a reader has exchanged, for the walks that need it

    def key_codec(self) -> str:
        """Return the name of the keys' codec."""
        return self.coders.key.name if self.superblock is None else self.superblock.key_codec

    def value_codec(self) -> str:
        """Return the name of the values' codec."""
        return self.coders.value.name if self.superblock is None else self.superblock.value_codec

    def faulty(self) -> bool:
        """Return whether a checkpoint was passed over."""
        return len(self.recovery.faults) > 0

    def end(self) -> None:
        """Commit, mark the clean end, and give everything back, whatever fails."""
        life = self.life
        disk = self.disk
        if disk is not None:
            shut = False
            try:
                disk.compactor.stop()
                with disk.compactor.lock:
                    disk.stop()
                    with life.gate:  # a batch that began meanwhile is applied first
                        life.state = CLOSED
                        shut = True
            except BaseException:
                if shut:
                    self.reopen()
                else:
                    self.go_on()
                raise
        if self.follower is not None and not self.leave_writer(self.follower):
            return
        life.state = CLOSED
        try:
            if disk is not None and life.can_write():
                self.commit_all()
                disk.checkpoints.close()
                self.mark_end()
            elif disk is not None and life.writable != READ_ONLY:
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

    def leave_writer(self, follower: Follower) -> bool:
        """Be closed for a reader that may be moving to a newer commit; False where it came to its end by that."""
        life = self.life
        try:
            follower.stop()
            with follower.lock:
                moved_on = life.alive()
                if moved_on:
                    life.state = CLOSED
        except BaseException:
            if life.alive():
                self.go_on()
            raise
        return moved_on

    def reopen(self) -> None:
        """Be as open as before close(), which did not come to its end."""
        self.table.log.shut = False
        self.life.state = OPEN
        self.go_on()

    def go_on(self) -> None:
        """Let the background go on."""
        if self.disk is not None:
            self.disk.compactor.closing = False
            self.disk.go_on()
        if self.follower is not None:
            self.follower.go_on_again()

    def abandon(self) -> None:
        """Close without a commit or a mark, as a crash would leave it; for tests of recovery."""
        if self.life.state != OPEN:
            return
        if self.disk is not None:
            self.disk.stop()
        if self.follower is not None:
            self.follower.stop()
        self.life.state = CLOSED
        self.give_back()

    def loss(self, failure: BaseException) -> BaseException:
        """Return what to say where a store could not be closed, and nobody is left to close it again."""
        if self.life.writable == READ_ONLY:
            return failure
        commits = self.commits
        lost = self.table.log.records - commits.records_durable - (commits.own - commits.own_durable)
        return error(
            f"the store {self.life.name()} could not be closed: {failure}. What was written since its last durable "
            f"commit is lost: {lost} records, and all that was updated in place"
        )

    def commit_all(self) -> None:
        """Commit also what operations that were under way still append, until nothing more can be appended."""
        log = self.table.log
        while not log.shut:
            self.commits.commit()
            if self.commits.durable_tail >= log.tail:
                log.shut_down()

    def mark_end(self) -> None:
        """Write the mark of a clean end."""
        prelude = self.prelude
        directory = self.directory
        block = self.superblock
        if prelude is None or directory is None or block is None:
            return
        if directory.removed():
            return  # with all that was durable; what was not has raised in commit_all
        prelude.sync_creation()
        self.table.log.device.finish()
        if not prelude.mark_present:
            count = self.table.count + self.table.pending.count()
            mark = CleanMark(int(self.commits.end), int(self.commits.logged_durable), int(count))
            prelude.mark_end(block, mark, self.options.mode)

    def give_back(self) -> None:
        """Close files, free frames and index, give up the lock: all of it, whatever fails or interrupts."""
        table = self.table
        table.maintainer = ClosedMaintainer(self.life)
        self.commits.watcher = CutWatcher()
        self.order = None
        table.watchers = []  # both lead back to here: a closed store is to go at once, not with the next collection
        table.log.shut_down()
        large = table.index.size_bytes() + table.log.budget.frame_bytes() >= LARGE_BYTES
        failure = attempt(self.commits.end_writing)
        if self.disk is not None:
            failure = attempt(self.disk.checkpoints.let_go) or failure
        self.disk = None
        for old in self.retired:
            failure = attempt(old.give_back) or failure
        self.retired = []
        failure = attempt(table.log.epoch.drain) or failure
        failure = attempt(table.log.use.give_up) or failure
        failure = attempt(table.log.let_go) or failure
        failure = attempt(table.drop_read_cache) or failure
        table.index = table.index.given_up()
        table.reads = None
        failure = attempt(self.commits.waiters.close) or failure
        failure = attempt(self.commits.notices.ended) or failure
        if self.lock is not None:
            failure = attempt(self.lock.close) or failure
        if self.files is not None:
            failure = attempt(self.files.close) or failure
        if self.directory is not None:
            failure = attempt(self.directory.close) or failure
        if large:
            failure = attempt(trim_memory) or failure
        self.part()
        if failure is not None:
            raise failure


def checkpoints_of(handle: Handle) -> list[Checkpoint]:
    """Return the checkpoints of an open store, the oldest first; beside a writer those that are there now."""
    known: list[Metadata] = []
    disk = handle.disk
    files = handle.files
    if disk is not None:
        known = disk.checkpoints.kept.known
    elif files is not None:
        source = Source(files)
        source.read_all(Recovery())
        known = source.known
    found: list[Checkpoint] = []
    for metadata in known:
        checkpoint = Checkpoint(metadata)
        checkpoint.finish(None)
        found.append(checkpoint)
    return found
