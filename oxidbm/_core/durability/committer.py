"""Whose turn it is to commit: one thread commits for all that wait, whatever a commit consists of.

Threads that wait together share one sync: the first one commits, the others find what they wait for durable (see group,
how they are let go on). Invariants: 1. who commits holds the lock; 2. `durable_sequence` moves only after a sync that
returned; 3. a failed sync poisons the store.
"""

from typing import final

from mypy_extensions import i64

from oxidbm._core.durability.group import Waiters
from oxidbm._core.durability.notices import Notices
from oxidbm._core.locks import COMMITTING, StoreLock
from oxidbm._core.log.hybrid_log import HybridLog


class Committer:
    """The turns of those who commit a log."""

    def __init__(self, log: HybridLog) -> None:
        self.log = log
        self.lock = StoreLock(log.life.locks, COMMITTING)
        self.waiters = Waiters()
        self.notices = log.life.watch = Notices(log.life)
        self.sequence: i64 = 0  # of the last commit
        self.durable_sequence: i64 = 0

    def commit_now(self) -> None:
        """Make a commit, durably; the caller holds the lock."""
        raise NotImplementedError

    def commit_until(self, sequence: i64) -> None:
        """Return when a commit with this number, or a later one, is durable, made by this thread or by another one.

        Where many are still to be let go on, it comes behind them: they write, too, and are in the same commit then.
        """
        if self.waiters.many_to_go(self.durable_sequence):
            self.lock.order.check(COMMITTING)
            self.wait(sequence)
        while self.durable_sequence < sequence:
            self.waiters.give_way()
            if not self.waiters.committing and self.lock.take():
                try:
                    self.waiters.committing = True
                    if self.durable_sequence < sequence:
                        self.commit_now()
                finally:
                    self.end_turn()
            else:
                self.lock.order.check(COMMITTING)
                self.wait(sequence)

    def wait(self, sequence: i64) -> None:
        """Return when the commit is durable, or nobody makes it; let the next one that waits go on, as need be."""
        durable = self.durable_sequence  # as of now: one that joins must not count itself among those that can go on
        if durable >= sequence:
            return
        if self.waiters.inside():
            self.commit_within(sequence)
            return
        try:
            self.waiters.wait(self.waiters.join(sequence), durable)
        except BaseException:
            self.waiters.pass_on(self.durable_sequence)
            raise
        if self.durable_sequence >= sequence:
            self.waiters.pass_on(self.durable_sequence)

    def commit_within(self, sequence: i64) -> None:
        """Commit for a signal handler in the middle of a wait, which passes nothing on before the handler returns."""
        self.begin_turn()
        try:
            if self.durable_sequence < sequence:
                self.commit_now()
        finally:
            self.end_turn()

    def begin_turn(self) -> None:
        """Be the one that commits; waits until nobody else does."""
        self.waiters.claims += 1
        try:
            self.lock.__enter__()
        finally:
            self.waiters.claims -= 1
        self.waiters.committing = True

    def end_turn(self) -> None:
        """Let others commit, and go on where they have waited for what is durable now."""
        self.waiters.committing = False
        self.lock.release()
        self.waiters.pass_on(self.durable_sequence)
        self.notices.tell(self.durable_sequence)

    def end_writing(self) -> None:
        """Let nothing be committed or written any more: who is at it ends before, who comes finds the log closed."""
        flushing = self.log.flush_lock
        if self.lock.held() or flushing.held():  # by this very thread: it is left in the middle, as by a crash
            self.log.use.written = True
            return
        with self.turn():
            self.log.use.written = True
        with flushing:
            pass

    def turn(self) -> "Turn":
        """Return a block in which the calling thread is the one that commits."""
        return Turn(self)

    def sync_device(self, log: HybridLog) -> None:
        """Sync the device; a failure poisons the store, what a signal handler raised meanwhile does not."""
        log.use.begin()
        try:
            log.device.sync()
        except OSError as failure:
            log.life.poison_with(failure)
            log.life.blocked_write()
        finally:
            log.use.end()


@final
class Turn:
    """A block in which one thread is the one that commits, as `Committer.begin_turn` says."""

    def __init__(self, commits: Committer) -> None:
        self.commits = commits

    def __enter__(self) -> None:
        self.commits.begin_turn()

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.commits.end_turn()
