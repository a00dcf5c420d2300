"""Maintainers: what an open store does besides its operations.

DiskMaintainer belongs to a store on disk: its thread flushes what has been sealed, commits at the interval, and
compacts when too much of the log is dead; when memory is full, the writer itself flushes. MemoryMaintainer belongs to a
store in memory: it compacts or evicts a little at each step of the log, and has no thread. ClosedMaintainer is what a
closed store has. Nothing here is on the path of an operation but `step`, which an operation calls once every 64 KiB of
new log.
"""

import time
from typing import Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core import lookout
from oxidbm._core.errors import BusyError, CorruptionError, FullError, error
from oxidbm._core.life import Life
from oxidbm._core.log.flush import FLUSH_BYTES, flush_for, flush_to
from oxidbm._core.log.room import Room
from oxidbm._core.log.warm import WARM_READS_BESIDE, wants_warming, warm
from oxidbm._core.logbook import ERROR, WARNING, Telling
from oxidbm._core.store.compactor import Compactor
from oxidbm._core.store.over_budget import OverBudget
from oxidbm._core.store.size_limit import SizeLimit
from oxidbm._core.table import caching
from oxidbm._core.table.compaction import Compaction
from oxidbm._core.table.extent import Extent
from oxidbm._core.table.reads import Marks
from oxidbm._core.table.table import Maintainer, Table
from oxidbm._core.worker import Worker

STEP_SLICE_BYTES: Final = 262144
SPARING_TURNS: Final = 4  # slices more where as much may be carried on as is dropped


@final
class DiskMaintainer(Maintainer):
    """The background thread of a store on disk, and what its writers call."""

    def __init__(self, compactor: Compactor, limit: SizeLimit, compacts: bool) -> None:
        commits = compactor.commits
        self.commits = commits
        self.checkpoints = compactor.checkpoints
        self.table = commits.table
        self.log = commits.log
        self.limit = limit
        self.interval = compactor.interval
        self.compactor = compactor
        self.compacts = compacts
        self.worker = Worker()
        self.failure = ""
        self.telling = Telling(self.log.life.called())
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
                self.compactor.help()
        except BusyError:  # a call from within: its operation is done, and this can wait for the next one
            log.due = True
        self.over_budget.say(self.worker.ident)

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
        """Start the thread if none is alive."""
        lookout.start(self.worker, self.loop, self.quiet, self.start)

    def go_on(self) -> None:
        """Be as before `stop`."""
        lookout.go_on(self.worker, self.quiet, self.start)

    def commits_by_itself(self) -> bool:
        """Return whether the thread is there, and commits at the interval."""
        worker = self.worker
        return self.interval.seconds > 0 and (worker.ended.locked() or worker.resting) and not worker.stopping

    def stop(self) -> None:
        """End the thread and wait for it."""
        self.worker.stop()
        lookout.forget(self.worker)

    def loop(self) -> None:
        """Work while there is any, else sleep until woken or the interval is over; end where there is none for long."""
        life = self.log.life
        while not self.worker.stopping and life.alive() and life.can_write():
            try:
                busy = self.work()
                self.telling.fine()
            except error as failure:
                if not life.can_write():
                    break  # poisoned: the next write says why
                self.failure = str(failure)  # no room for a copy, say: tried again after the interval
                self.telling.trouble(WARNING, f"the background tries again what failed: {failure}")
                busy = False
            except OSError as shortage:
                self.telling.trouble(WARNING, f"the background tries again what failed: {shortage}")
                busy = False  # a shortage that is not the device's fault
            except Exception as unknown:  # a fault of the store must not end the thread without a word
                self.failure = repr(unknown)
                self.telling.trouble(ERROR, f"the background thread has ended: {unknown!r}")
                break
            if not busy:
                self.worker.wake.clear()
                if lookout.rest(self.worker, self.seconds_to_sleep(), self.quiet, self.start):
                    return

    def quiet(self) -> bool:
        """Return whether there is nothing that the thread would have to do, be it later."""
        log = self.log
        life = log.life
        compactor = self.compactor
        return (
            not self.worker.wake.is_set()
            and (self.interval.seconds == 0 or self.commits.all_durable())
            and not self.checkpoints.making()
            and log.sealed - log.flushed < FLUSH_BYTES >> 2
            and compactor.compaction is None
            and not self.failure
            and not compactor.failure
            and not log.epoch.actions
            and not wants_warming(log, WARM_READS_BESIDE)
            and life.alive()
            and life.can_write()
        )

    def seconds_to_sleep(self) -> float:
        """Return for how long the thread has nothing to do, 0 for until it is woken."""
        seconds = self.interval.seconds
        pause = self.compactor.pause()
        return pause if pause > 0.0 and (seconds == 0.0 or pause < seconds) else seconds

    def work(self) -> bool:
        """Do one piece of work; False when there was none."""
        log = self.log
        if log.sealed - log.flushed >= FLUSH_BYTES >> 2:
            flush_to(log, log.sealed)
        self.interval.commit()
        making = self.checkpoints.finishing == 0 and self.checkpoints.advance()
        if wants_warming(log, WARM_READS_BESIDE):
            caching.give_way(self.table)
            making = warm(log) or making
        try:
            return (self.compacts and self.compactor.work(self.worker.wake.is_set())) or making
        except CorruptionError as failure:
            self.compacts = False
            self.failure = str(failure)
            self.telling.trouble(ERROR, f"nothing is compacted any more: {failure}")
            return making

    def compact_all(self) -> None:
        """Compact the whole log now, and return when the space has been given back."""
        self.compactor.reorganize()

    def compact(self, extent: Extent) -> i64:
        """Compact as far as a user asks for."""
        return self.compactor.compact(extent)


@final
class MemoryMaintainer(Maintainer):
    """Keeps a store without a path inside its budget."""

    def __init__(self, table: Table, limit: SizeLimit, evict: bool) -> None:
        self.table = table
        self.log = table.log
        self.limit = limit
        self.evict = evict
        self.marks = table.marks() if evict else None
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
        tight = self.tight()
        if self.compaction is not None or table.dead_bytes() * 2 > log.tail - log.begin or tight:
            self.slice(self.evict and tight, STEP_SLICE_BYTES, self.marks)
        turns: i64 = 0 if self.marks is not None else SPARING_TURNS
        while turns < SPARING_TURNS and self.tight() and self.slice(True, STEP_SLICE_BYTES, self.marks):
            turns += 1

    def tight(self) -> bool:
        """Return whether the budget is nearly used up."""
        return self.log.frames.in_use() + 2 >= self.log.frames_allowed()

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

    def compact(self, extent: Extent) -> i64:
        """Compact page by page, as far as a user asks for, and return how many bytes that gave back."""
        log = self.log
        size = log.tail - log.begin
        if not extent.wanted(self.table.dead_bytes(), size):
            return 0
        log.close_tail_page()
        stop = log.tail
        while log.head < stop and not extent.used_up() and extent.wanted(self.table.dead_bytes(), log.tail - log.begin):
            at = log.head
            if not self.slice(False, log.page_bytes):
                break
            extent.note(log.head - at)
            _breath.breathe()
            pause = extent.pause()
            if pause > 0.0:
                time.sleep(pause)
        return max(size - (log.tail - log.begin), i64(0))

    def slice(self, evict: bool, bytes_max: i64, marks: Marks | None = None) -> bool:
        """Work on the oldest page; False when nothing can be gained or the copies found no room.

        marks: of what eviction carries on; what has to have room at once gets it whatever was read.
        """
        log = self.log
        if log.epoch.readers() > 0 and not evict:
            return False  # a check of the whole store is under way
        if self.compaction is None:
            until = log.first_page_end()
            if until == 0:
                return False
            self.compaction = Compaction(self.table, until)
        current = self.compaction
        current.marks = marks
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
