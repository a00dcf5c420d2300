"""The keeper: what an open log does besides its appends.

Its thread writes to the device what has been sealed, and commits at the interval, or each so many bytes. Nothing here
is on the path of an append but `step`, which one calls each 64 KiB of new log.
"""

import time
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core import lookout
from oxidbm._core.errors import FullError, error
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.log.flush import flush_for, flush_to, seal_to
from oxidbm._core.log.room import Room
from oxidbm._core.logbook import ERROR, WARNING, Telling
from oxidbm._core.worker import Worker

FLUSH_LEAST: Final = 1 << 20
SEAL_WORDS: Final = 32768  # four times what is appended between two steps


@final
class LogKeeper:
    """The background thread of a log on disk, and what its writers call."""

    def __init__(self, commits: EntryCommits, interval: float, commit_bytes: i64) -> None:
        self.commits = commits
        self.log = commits.log
        self.interval = interval  # seconds between commits, 0 for none
        self.commit_bytes: i64 = commit_bytes
        self.worker = Worker()
        self.last_commit = time.monotonic()
        self.failure = ""
        self.telling = Telling(self.log.life.called())
        self.short = False  # somebody found no room, and does not wait for it

    def step(self) -> None:
        """Seal what was appended, and wake the thread where there is something for it to do."""
        log = self.log
        log.due = False
        if self.commits.appends:
            self.commits.tell_of_append()
        if log.memory_only:
            log.prepare_ahead()
            return
        log.seal_step(log.tail, SEAL_WORDS)
        log.trim()
        log.prepare_ahead()
        if self.wanted() and (not self.worker.running or not self.worker.wake.is_set()):
            self.call()

    def wanted(self) -> bool:
        """Return whether there is enough to write, or to commit."""
        log = self.log
        return log.sealed - log.flushed >= FLUSH_LEAST or self.interval > 0 or self.commit_is_due()

    def commit_is_due(self) -> bool:
        """Return whether so many bytes were appended since the last commit that the next one is due."""
        return self.commit_bytes > 0 and self.log.tail - self.commits.end >= self.commit_bytes

    def make_room(self, room: Room) -> None:
        """Make room for an append that found none, as long as that takes; FullError for a log in memory."""
        log = self.log
        if log.memory_only:
            if not log.prepare(room):
                raise self.full()
            return
        flush_for(log, room)

    def ask_for_room(self) -> None:
        """Have the thread write all that can be written, for somebody who found no room and comes again."""
        if not self.log.memory_only:
            self.short = True
            self.call()

    def full(self) -> FullError:
        """Return the error for a log in memory that has no room, with the numbers and what to do."""
        log = self.log
        return FullError(
            f"the log in memory is full: {log.budget.total} bytes of its budget of {log.budget.limit} are used by "
            f"{self.commits.length()} entries. truncate(address) it, give it more memory=, or a path"
        )

    def call(self) -> None:
        """Have the thread do what there is to do."""
        if not self.worker.running:
            self.start()
        self.worker.wake.set()

    def start(self) -> None:
        """Start the thread if none is alive."""
        lookout.start(self.worker, self.loop, self.quiet, self.start)

    def go_on(self) -> None:
        """Be as before `stop`."""
        lookout.go_on(self.worker, self.quiet, self.start)

    def stop(self) -> None:
        """End the thread and wait for it."""
        self.worker.stop()
        lookout.forget(self.worker)

    def said_failure(self) -> str:
        """Return what has ended the thread, or what it could not do the last time; "" for nothing."""
        return self.worker.failure or self.failure or self.commits.before.failure

    def loop(self) -> None:
        """Work while there is any, else sleep until woken or the interval is over; end where there is none for long."""
        life = self.log.life
        while not self.worker.stopping and life.alive() and life.can_write():
            self.worker.wake.clear()
            try:
                self.work()
                self.failure = ""
                self.telling.fine()
            except error as failure:
                if not life.can_write():
                    break  # poisoned: the next append says why
                self.failure = str(failure)
                self.telling.trouble(WARNING, f"the background tries again what failed: {failure}")
            except OSError as shortage:  # which is not the device's fault
                self.failure = str(shortage)
                self.telling.trouble(WARNING, f"the background tries again what failed: {shortage}")
            except Exception as unknown:  # a fault of the log must not end the thread without a word
                self.failure = repr(unknown)
                self.telling.trouble(ERROR, f"the background thread has ended: {unknown!r}")
                break
            if lookout.rest(self.worker, self.interval, self.quiet, self.start):
                return

    def quiet(self) -> bool:
        """Return whether there is nothing that the thread would have to do, be it later."""
        log = self.log
        return (
            not self.worker.wake.is_set()
            and not self.short
            and not self.wanted_now()
            and not self.commits.before.pending()
            and not self.commits.before.by_itself()
            and not self.failure
            and not log.epoch.actions
            and log.life.alive()
            and log.life.can_write()
        )

    def wanted_now(self) -> bool:
        """Return whether something is to be written, or committed when its time has come."""
        log = self.log
        if log.sealed - log.flushed >= FLUSH_LEAST or self.commit_is_due():
            return True
        return self.interval > 0 and not self.commits.all_durable()

    def work(self) -> None:
        """Write and commit what is due."""
        log = self.log
        if self.short:
            self.short = False
            seal_to(log, log.tail)
            flush_to(log, log.sealed)
        while log.sealed - log.flushed >= FLUSH_LEAST and not self.worker.stopping:
            flush_to(log, log.sealed)
        now = time.monotonic()
        late = self.interval > 0 and now - self.last_commit >= self.interval
        if late or self.commit_is_due():
            self.commits.commit()
            log.epoch.drain()
            self.last_commit = time.monotonic()
