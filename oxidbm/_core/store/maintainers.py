"""Maintainers: what an open store does besides its operations.

DiskMaintainer belongs to a store on disk: its thread flushes what has been sealed, commits at the interval, and
compacts when too much of the log is dead; when memory is full, the writer itself flushes. MemoryMaintainer belongs to a
store in memory: it compacts or evicts a little at each step of the log, and has no thread. ClosedMaintainer is what a
closed store has. Nothing here is on the path of an operation but `step`, which an operation calls once every 64 KiB of
new log.
"""

import contextlib
import errno
import threading
import time
from typing import Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.counters import Counters
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.device.system import disk_space
from oxidbm._core.durability.checkpointer import Checkpointer
from oxidbm._core.durability.commit import Commits
from oxidbm._core.errors import BusyError, CorruptionError, FullError, error
from oxidbm._core.life import Life
from oxidbm._core.locks import COMPACTING, StoreLock
from oxidbm._core.log.flush import FLUSH_BYTES, flush_for, flush_to
from oxidbm._core.log.room import Room
from oxidbm._core.log.warm import WARM_READS_BESIDE, wants_warming, warm
from oxidbm._core.store.over_budget import OverBudget
from oxidbm._core.store.size_limit import SizeLimit
from oxidbm._core.table import caching
from oxidbm._core.table.compaction import Compaction
from oxidbm._core.table.settle import settle
from oxidbm._core.table.table import Maintainer, Table
from oxidbm._core.worker import Worker

COMPACT_SLICE_BYTES: Final = 65536
STEP_SLICE_BYTES: Final = 262144
SETTLE_SLICE: Final = 256
SETTLE_HELP: Final = 1024
DEAD_LEAST: Final = 16777216


@final
class DiskMaintainer(Maintainer):
    """The background thread of a store on disk, and what its writers call."""

    def __init__(
        self,
        commits: Commits,
        checkpoints: Checkpointer,
        counters: Counters,
        limit: SizeLimit,
        interval: float,
        compacts: bool,
    ) -> None:
        self.commits = commits
        self.checkpoints = checkpoints
        self.table = commits.table
        self.log = commits.log
        self.counters = counters
        self.limit = limit
        self.compact_lock = StoreLock(self.log.life.locks, COMPACTING)
        self.interval = interval
        self.compacts = compacts
        self.worker = Worker()
        self.compaction: Compaction | None = None
        self.settling = False
        self.last_commit = time.monotonic()
        self.failure = ""
        self.over_budget = OverBudget(commits.table)

    def step(self) -> None:
        """Seal what has left the mutable region, and wake the thread."""
        table = self.table
        log = self.log
        log.due = False
        log.follow_tail()
        caching.go_on(table)
        log.trim()
        log.prepare_ahead()
        if not self.worker.running or not self.worker.wake.is_set():
            self.call()
        try:
            self.limit.keep()
            for watcher in table.watchers:
                watcher.catch_up_if_far_behind()
            if table.dead_bytes() * 2 > log.tail - log.begin:
                self.help()
        except BusyError:  # a call from within: its operation is done, and this can wait for the next one
            log.due = True
        self.over_budget.say(self.worker.ident)

    def help(self) -> None:
        """Do a piece of the thread's work: it alone gets too little of the GIL to keep up with writers."""
        current = self.compaction
        if self.settling:
            settle(self.table, SETTLE_HELP)
        elif current is not None and not current.running:
            current.slice(STEP_SLICE_BYTES, False)
            self.log.due = False

    def make_room(self, room: Room) -> None:
        """Flush the oldest page; the caller tries again."""
        self.log.due = False
        caching.make_room(self.table, room)
        flush_for(self.log, room)

    def cleared(self) -> None:
        """Let the thread find out that there is something to compact."""
        self.worker.wake.set()

    def wake(self) -> None:
        """Let the thread look whether there is something to do."""
        self.worker.wake.set()

    def call(self) -> None:
        """Have the thread do what there is to do."""
        if not self.worker.running:
            self.start()
        self.worker.wake.set()

    def start(self) -> None:
        """Start the thread if none is alive; where the system has no more, the next step of the log tries again."""
        with contextlib.suppress(RuntimeError):
            self.worker.start(self.loop)

    def commits_by_itself(self) -> bool:
        """Return whether the thread is there, and commits at the interval."""
        return self.interval > 0 and self.worker.ended.locked() and not self.worker.stopping

    def stop(self) -> None:
        """End the thread and wait for it."""
        self.worker.stop()

    def loop(self) -> None:
        """Work while there is any, else sleep until woken or the interval is over."""
        life = self.log.life
        while not self.worker.stopping and life.alive() and life.can_write():
            try:
                busy = self.work()
            except error as failure:
                if not life.can_write():
                    break  # poisoned: the next write says why
                self.failure = str(failure)  # no room for a copy, say: tried again after the interval
                busy = False
            except OSError:
                busy = False  # a shortage that is not the device's fault
            except Exception as unknown:  # a fault of the store must not end the thread without a word
                self.failure = repr(unknown)
                break
            if not busy:
                self.worker.sleep(self.interval)

    def work(self) -> bool:
        """Do one piece of work; False when there was none."""
        log = self.log
        if log.sealed - log.flushed >= FLUSH_BYTES >> 2:
            flush_to(log, log.sealed)
        self.commit_in_time()
        making = self.checkpoints.finishing == 0 and self.checkpoints.advance()
        if wants_warming(log, WARM_READS_BESIDE):
            caching.give_way(self.table)
            making = warm(log) or making
        try:
            return (self.compacts and self.compact_some()) or making
        except CorruptionError as failure:
            self.compacts = False
            self.failure = str(failure)
            return making

    def commit_in_time(self) -> None:
        """Commit where the interval since the last time is over."""
        if self.interval > 0 and time.monotonic() - self.last_commit >= self.interval:
            self.commits.commit()
            self.log.epoch.drain()
            self.last_commit = time.monotonic()

    def compact_some(self) -> bool:
        """Do a slice of the compaction under way, or begin one when enough of the log is dead; False for neither."""
        if self.compaction is None:
            until = self.compaction_target()
            if until == 0:
                return False
            self.compaction = Compaction(self.table, until)
        current = self.compaction
        at = current.cursor.following
        if current.slice(COMPACT_SLICE_BYTES, False):
            if self.log.due:
                self.step()
            if current.cursor.following == at:
                flush_for(self.log, current.wanted_room())
            time.sleep(0)
            return True
        return self.finish(current)

    def compaction_target(self) -> i64:
        """Return up to where it pays to compact now, 0 for nowhere: the first segment, when enough of the log is dead.

        Under load a third of the log may be dead, since copying then takes time from the writers; at rest a fifth.
        """
        log = self.log
        size = log.tail - log.begin
        dead = self.table.dead_bytes()
        share = 3 if self.worker.wake.is_set() else 5
        if dead < DEAD_LEAST or dead * share < size:
            return 0
        until = log.device.segment_end(log.begin)
        while until - log.begin < size >> 3:
            following = log.device.segment_end(until)
            if following <= until or following >= log.flushed:  # it stands still where nothing has been flushed yet
                break
            until = following
        return until if log.begin < until <= log.flushed and until & log.offset_mask == 0 else i64(0)

    def finish(self, current: Compaction) -> bool:
        """Settle what the passed records still say about the number of keys, then move begin.

        False where a checkpoint is being made, which has to come to its end first.
        """
        pending = self.table.pending
        last = pending.settled + pending.count()
        self.settling = True
        try:
            while pending.settled < last and not settle(self.table, SETTLE_SLICE):
                time.sleep(0)
                self.commit_in_time()
        finally:
            self.settling = False
        if not self.commits.move_begin(current.until):
            return False
        self.compaction = None
        self.counters.compactions += 1
        self.log.epoch.drain()
        return True

    def compact_all(self) -> None:
        """Compact the whole log now, and return when the space has been given back."""
        with self.compact_lock:
            self.compact_now()

    def compact_now(self) -> None:
        """As `compact_all`, one at a time, and never beside a close()."""
        log = self.log
        log.life.check_open()
        try:
            self.stop()
            if self.compaction is not None:
                self.go_through(self.compaction)
            self.check_space()
            self.commits.commit()
            log.close_tail_page()
            log.device.roll()
            self.go_through(Compaction(self.table, log.tail))
            self.checkpoints.renew()
        finally:
            self.worker.stopping = False
            self.start()

    def check_space(self) -> None:
        """Raise OSError, ENOSPC, where the disk has no room for the copies; nothing was copied then.

        What is found only by the write that fails poisons the store.
        """
        device = self.log.device
        space = disk_space(device.directory.where()) if isinstance(device, FileDevice) else None
        live: i64 = self.table.live_bytes
        wanted: i64 = live + (live >> 3) + (self.log.page_bytes << 1)  # the ends of pages and of blocks count, too
        if space is not None and wanted > space[1]:
            raise OSError(
                errno.ENOSPC,
                f"reorganize() copies all that is live, some {wanted} bytes, before it gives space back, and the disk "
                f"has {space[1]} bytes free; nothing was changed. Free some, or leave it to the compaction in the "
                "background, which goes file by file",
                self.log.life.path,
            )

    def go_through(self, current: Compaction) -> None:
        """Run a compaction to its end in the caller's thread."""
        log = self.log
        at = current.cursor.following
        if current.running and current.runner == threading.get_ident():
            raise log.life.locks.busy(COMPACTING)
        while current.slice(COMPACT_SLICE_BYTES, False):
            if log.due:
                log.due = False
                log.follow_tail()
            if current.cursor.following == at:
                flush_for(log, current.wanted_room())
            at = current.cursor.following
            _breath.breathe()
            self.commit_in_time()  # which the thread does not, while it is stopped
        while not self.finish(current):
            self.checkpoints.finish()


@final
class MemoryMaintainer(Maintainer):
    """Keeps a store without a path inside its budget."""

    def __init__(self, table: Table, limit: SizeLimit, evict: bool) -> None:
        self.table = table
        self.log = table.log
        self.limit = limit
        self.evict = evict
        self.compaction: Compaction | None = None
        self.busy = False

    def step(self) -> None:
        """Compact a little when half of the log is dead; evict a little when the budget is nearly used up."""
        table = self.table
        log = self.log
        log.due = False
        if self.busy:
            return
        self.limit.keep()
        for watcher in table.watchers:
            watcher.catch_up_if_far_behind()
        log.prepare_ahead()
        tight = log.frames.in_use() + 2 >= log.frames_allowed()
        if self.compaction is not None or table.dead_bytes() * 2 > log.tail - log.begin or tight:
            self.slice(self.evict and tight, STEP_SLICE_BYTES)

    def cleared(self) -> None:
        """Drop every closed page."""
        self.compaction = None
        self.log.drop_pages(self.log.tail)

    def compact_all(self) -> None:
        """Compact every page there is now, the tail's too."""
        log = self.log
        log.close_tail_page()
        stop = log.tail
        while log.head < stop and self.slice(False, log.page_bytes):
            _breath.breathe()

    def slice(self, evict: bool, bytes_max: i64) -> bool:
        """Work on the oldest page; False when nothing can be gained or the copies found no room."""
        log = self.log
        if log.epoch.readers() > 0 and not evict:
            return False  # a check of the whole store is under way
        if self.compaction is None:
            until = log.first_page_end()
            if until == 0:
                return False
            self.compaction = Compaction(self.table, until)
        current = self.compaction
        at = current.cursor.following
        self.busy = True
        try:
            for walk in self.table.walks:
                walk.pass_by(current.until)
            more = current.slice(bytes_max, evict)
            if more and current.cursor.following == at and log.prepare_reserved_page():
                more = current.slice(bytes_max, evict)
        finally:
            self.busy = False
        if more:
            return current.cursor.following > at
        log.drop_pages(current.until)
        log.trim()
        self.compaction = None
        return True

    def make_room(self, room: Room) -> None:
        """Compact, or evict, until there is room; FullError when all that is there is live."""
        table = self.table
        log = self.log
        if log.shut:
            log.life.blocked_read()
        stop = log.tail  # once over everything: what stays dead after that is the ends of pages
        while not log.prepare(room):
            worthwhile = log.head < stop and (self.evict or table.dead_bytes() >= log.page_bytes)
            if not worthwhile or not self.slice(self.evict, log.page_bytes << 1):
                raise self.full()

    def full(self) -> FullError:
        """Return the error for a store that has no room, with the numbers and what to do."""
        budget = self.log.budget
        readers = self.log.epoch.readers()
        why = "; a check() under way keeps the space of the others: let it come to its end" if readers else ""
        return FullError(
            f"the store in memory is full: {budget.total} bytes of its budget of {budget.limit} are used, "
            f"{self.table.live_bytes} of them by live records{why}. Give it more memory=, a path, or evict=True"
        )


@final
class ClosedMaintainer(Maintainer):
    """What a closed store has: an operation that was under way asks for room, and learns that there is no store."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def make_room(self, room: Room) -> None:
        """Raise: the store is closed."""
        self.life.blocked_read()
