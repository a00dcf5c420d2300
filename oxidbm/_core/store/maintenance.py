"""Maintenance: what an open store does besides its operations.

DiskMaintainer belongs to a store on disk: its thread flushes what has been sealed, commits at the interval, and
compacts when too much of the log is dead; when memory is full, the writer itself flushes. MemoryMaintainer belongs to a
store in memory: it compacts or evicts a little at each step of the log, and has no thread. Nothing here is on the path
of an operation but `step`, which an operation calls once every 64 KiB of new log.
"""

import _thread
import threading
import time
from typing import Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.durability import commit
from oxidbm._core.errors import CorruptionError, FullError, error
from oxidbm._core.store.size_limit import SizeLimit
from oxidbm._core.table.compaction import Compaction, drop_pages, memory_target
from oxidbm._core.table.engine import CHANGED_MAX, OPEN, WRITABLE, Engine, Maintainer
from oxidbm._core.table.locate import settle

COMPACT_SLICE_BYTES: Final = 65536
STEP_SLICE_BYTES: Final = 262144
SETTLE_SLICE: Final = 256
SETTLE_HELP: Final = 1024
DEAD_LEAST: Final = 16777216
IDLE_SECONDS: Final = 0.2


@final
class Wake:
    """As threading.Event, of nothing but a lock: it is set while the lock is free.

    An Event runs Python code with its own lock held, where Ctrl-C may leave it locked for ever.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear()

    def is_set(self) -> bool:
        """Return whether it is set."""
        return not self.lock.locked()

    def set(self) -> None:
        """Let the one that waits go on."""
        if self.lock.locked():
            self.lock.release()

    def clear(self) -> None:
        """Have the next wait wait."""
        self.lock.acquire(False)

    def wait(self, seconds: float) -> None:
        """Return when it is set, or after so many seconds; 0 waits for ever. One thread may wait."""
        if self.lock.acquire(True, seconds if seconds > 0 else -1.0):
            self.lock.release()


@final
class DiskMaintainer(Maintainer):
    """The background thread of a store on disk, and what its writers call."""

    def __init__(self, e: Engine, interval: float, compacts: bool) -> None:
        self.e = e
        self.interval = interval
        self.compacts = compacts
        self.running = False
        self.ident = 0
        self.ended = threading.Lock()
        self.wake = Wake()
        self.stopping = False
        self.compaction: Compaction | None = None
        self.compactions: i64 = 0
        self.settling = False
        self.last_commit = time.monotonic()
        self.failure = ""
        self.limit: SizeLimit | None = None

    def step(self) -> None:
        """Seal what has left the mutable region, and wake the thread."""
        e = self.e
        e.log.due = False
        e.log.other_memory = e.index.size_bytes() + (i64(len(e.pending)) << 3)
        e.log.follow_tail()
        e.log.trim()
        e.log.prepare_ahead()
        if not self.running:
            self.start()
        if not self.wake.is_set():
            self.wake.set()
        if self.limit is not None:
            self.limit.keep()
        if self.order is not None and len(e.changed) > CHANGED_MAX:
            self.order.catch_up()
        if e.dead_bytes() * 2 > e.log.tail - e.log.begin:
            self.help()

    def help(self) -> None:
        """Do a piece of the thread's work: it alone gets too little of the GIL to keep up with writers."""
        current = self.compaction
        if self.settling:
            settle(self.e, SETTLE_HELP)
        elif current is not None and not current.running:
            current.slice(STEP_SLICE_BYTES, False)
            self.e.log.due = False

    def make_room(self) -> None:
        """Flush the oldest page; the caller tries again."""
        self.e.log.due = False
        commit.make_room(self.e)

    def cleared(self) -> None:
        """Let the thread find out that there is something to compact."""
        self.wake.set()

    def start(self) -> None:
        """Start the thread if none is alive; a `threading.Thread` is Python code that Ctrl-C can leave half started."""
        if not self.stopping and self.ended.acquire(blocking=False):
            self.running = True
            _thread.start_new_thread(self.run, ())

    def stop(self) -> None:
        """End the thread and wait for it."""
        self.stopping = True
        self.wake.set()
        if self.running and threading.get_ident() != self.ident:
            self.ended.acquire()  # the thread gives it back when it ends
            self.running = False
            self.ended.release()

    def run(self) -> None:
        """The thread's whole life."""
        self.ident = threading.get_ident()
        try:
            self.loop()
        finally:
            self.ended.release()

    def loop(self) -> None:
        """Work while there is any, else sleep until woken or the interval is over."""
        e = self.e
        while not self.stopping and e.alive() and e.writable == WRITABLE:
            try:
                busy = self.work()
            except error:
                break  # poisoned: the next write says why
            except Exception as failure:  # a fault of the store must not end the thread without a word
                self.failure = repr(failure)
                break
            if not busy and not self.stopping:
                self.wake.clear()
                self.wake.wait(self.interval)

    def work(self) -> bool:
        """Do one piece of work; False when there was none."""
        e = self.e
        if e.log.sealed - e.log.flushed >= commit.FLUSH_BYTES >> 2:
            commit.flush_to(e, e.log.sealed)
        if self.interval > 0 and time.monotonic() - self.last_commit >= self.interval:
            commit.commit(e)
            e.epoch.drain()
            self.last_commit = time.monotonic()
        try:
            return self.compacts and self.compact_some()
        except CorruptionError as failure:
            self.compacts = False
            self.failure = str(failure)
            return False

    def compact_some(self) -> bool:
        """Do a slice of the compaction under way, or begin one when enough of the log is dead; False when there is
        none.
        """
        e = self.e
        if self.compaction is None:
            until = self.compaction_target()
            if until == 0:
                return False
            self.compaction = Compaction(e, until)
        current = self.compaction
        at = current.cursor.following
        if current.slice(COMPACT_SLICE_BYTES, False):
            if e.log.due:
                self.step()
            if current.cursor.following == at:
                commit.make_room(e)
            time.sleep(0)
            return True
        self.finish(current)
        return True

    def compaction_target(self) -> i64:
        """Return up to where it pays to compact now, 0 for nowhere: the first segment, when enough of the log is dead.

        Under load a third of the log may be dead, since copying then takes time from the writers; at rest a fifth.
        """
        e = self.e
        log = e.log
        size = log.tail - log.begin
        dead = e.dead_bytes()
        share = 3 if self.wake.is_set() else 5
        if dead < DEAD_LEAST or dead * share < size:
            return 0
        until = log.device.segment_end(log.begin)
        while until - log.begin < size >> 3:
            following = log.device.segment_end(until)
            if following <= until or following >= log.flushed:  # it stands still where nothing has been flushed yet
                break
            until = following
        return until if log.begin < until <= log.flushed and until & log.offset_mask == 0 else i64(0)

    def finish(self, current: Compaction) -> None:
        """Settle what the passed records still say about the number of keys, then move begin."""
        e = self.e
        last = e.settled + e.pending_count()
        self.settling = True
        try:
            while e.settled < last and not settle(e, SETTLE_SLICE):
                time.sleep(0)
        finally:
            self.settling = False
        commit.move_begin(e, current.until)
        self.compaction = None
        self.compactions += 1
        e.epoch.drain()

    def compact_all(self) -> None:
        """Compact the whole log now, and return when the space has been given back."""
        with self.e.compact_lock:
            self.compact_now()

    def compact_now(self) -> None:
        """As `compact_all`, one at a time, and never beside a close()."""
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        try:
            self.stop()
            if self.compaction is not None:
                self.go_through(self.compaction)
            commit.commit(e)
            e.log.close_tail_page()
            e.log.device.roll()
            self.go_through(Compaction(e, e.log.tail))
        finally:
            self.stopping = False
            self.start()

    def go_through(self, current: Compaction) -> None:
        """Run a compaction to its end in the caller's thread."""
        at = current.cursor.following
        while current.slice(COMPACT_SLICE_BYTES, False):
            if self.e.log.due:
                self.e.log.due = False
                self.e.log.follow_tail()
            if current.cursor.following == at:
                commit.make_room(self.e)
            at = current.cursor.following
            _breath.breathe()
        self.finish(current)


@final
class MemoryMaintainer(Maintainer):
    """Keeps a store without a path inside its budget."""

    def __init__(self, e: Engine, evict: bool) -> None:
        self.e = e
        self.evict = evict
        self.compaction: Compaction | None = None
        self.busy = False
        self.limit: SizeLimit | None = None

    def step(self) -> None:
        """Compact a little when half of the log is dead; evict a little when the budget is nearly used up."""
        e = self.e
        log = e.log
        log.due = False
        log.other_memory = e.index.size_bytes()
        if self.busy:
            return
        if self.limit is not None:
            self.limit.keep()
        if self.order is not None and len(e.changed) > CHANGED_MAX:
            self.order.catch_up()
        log.prepare_ahead()
        tight = log.frames.in_use() + 2 >= log.frames_allowed()
        if self.compaction is not None or e.dead_bytes() * 2 > log.tail - log.begin or tight:
            self.slice(self.evict and tight, STEP_SLICE_BYTES)

    def cleared(self) -> None:
        """Drop every closed page."""
        self.compaction = None
        drop_pages(self.e, self.e.log.tail)

    def compact_all(self) -> None:
        """Compact every page there is now, the tail's too."""
        self.e.log.close_tail_page()
        stop = self.e.log.tail
        while self.e.log.head < stop and self.slice(False, self.e.log.page_bytes):
            _breath.breathe()

    def slice(self, evict: bool, bytes_max: i64) -> bool:
        """Work on the oldest page; False when nothing can be gained or the copies found no room."""
        e = self.e
        log = e.log
        if self.compaction is None:
            until = memory_target(e)
            if until == 0 or (e.epoch.readers() > 0 and not evict):
                return False
            self.compaction = Compaction(e, until)
        current = self.compaction
        at = current.cursor.following
        wanted = log.run_wanted
        for_batch = log.for_batch
        self.busy = True
        # The page in reserve is for the copies of the oldest page, which goes in return. Where the index has grown into
        # the budget of the pages, they get one all the same, or a full store could never become smaller.
        log.reserve = min(i64(0), log.frames_allowed() - log.frames.in_use() - 1)
        log.run_wanted = 0
        log.for_batch = False
        try:
            more = current.slice(bytes_max, evict)
            if more and current.cursor.following == at and log.prepare():  # with the page that is in reserve
                more = current.slice(bytes_max, evict)
        finally:
            self.busy = False
            log.reserve = 1
            log.run_wanted = wanted
            log.for_batch = for_batch
        if more:
            return current.cursor.following > at
        drop_pages(e, current.until)
        log.trim()
        self.compaction = None
        return True

    def make_room(self) -> None:
        """Compact, or evict, until a page is free; FullError when all that is there is live."""
        e = self.e
        log = e.log
        if log.shut:
            e.blocked_read()
        stop = log.tail  # once over everything: what stays dead after that is the ends of pages
        while not log.prepare():
            worthwhile = log.head < stop and (self.evict or e.dead_bytes() >= log.page_bytes)
            if not worthwhile or not self.slice(self.evict, log.page_bytes << 1):
                log.run_wanted = 0
                raise FullError(
                    f"the store in memory is full: {log.frames.frame_bytes + e.index.size_bytes()} bytes of its "
                    "budget of "
                    f"{log.memory} are used, {e.live_bytes} of them by live records. Give it more memory=, a "
                    "path, or evict=True"
                )
