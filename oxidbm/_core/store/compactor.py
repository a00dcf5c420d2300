"""Compactor: when a store on disk compacts, how far, how fast, and in whose thread.

Three drive it: the background thread, when enough of the log is dead; a writer, when the thread cannot keep up; and a
user's call. One pass is under way at a time, over whole segments from begin on, and whoever comes does its next slice.
What a pass went over is given back at its end, so each takes no more of the log than it has to, and no more than the
disk has room to copy. Its memory is a piece of the log that it reads, and the copies, which are records as all others.
"""

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
from oxidbm._core.locks import COMPACTING, StoreLock
from oxidbm._core.log.flush import flush_for
from oxidbm._core.logbook import DEBUG, WARNING, tell
from oxidbm._core.store.interval import Interval
from oxidbm._core.table.compaction import Compaction
from oxidbm._core.table.extent import Extent
from oxidbm._core.table.settle import settle

COMPACT_SLICE_BYTES: Final = 65536
STEP_SLICE_BYTES: Final = 262144
SETTLE_SLICE: Final = 256
SETTLE_BYTES: Final = 4096  # that settling a record reads at least: a page of the disk
SETTLE_HELP: Final = 128  # more than a step of the log has records of a kilobyte, and no writer stands still for long
DEAD_LEAST: Final = 16777216
OTHERS_SECONDS: Final = 0.0005  # until a look whether another thread is done with its slice
PAUSE_SECONDS: Final = 0.05  # that a user's call sleeps at most before it looks whether the store is being closed


@final
class Compactor:
    """The compactions of one store on disk."""

    def __init__(self, interval: Interval, checkpoints: Checkpointer, counters: Counters, rate: i64) -> None:
        commits = interval.commits
        self.interval = interval
        self.commits = commits
        self.checkpoints = checkpoints
        self.counters = counters
        self.table = commits.table
        self.log = commits.log
        self.lock = StoreLock(self.log.life.locks, COMPACTING)
        self.background = Extent()  # that has no limit but its rate
        self.background.rate = rate
        self.compaction: Compaction | None = None
        self.called = False  # a user's call goes on with passes, and the background leaves them to it
        self.settling = False
        self.finisher = 0  # the thread that is giving back what a pass went over
        self.extent: Extent | None = None  # of a user's call that ends where the store is to be closed
        self.closing = False  # close() waits, and no user's call begins
        self.given_back: i64 = 0
        self.failure = ""
        self.short = False  # there was no room for copies when that was asked last

    def help(self) -> None:
        """Do a piece of the background's work in a writer's thread, where nobody said how fast it may be."""
        current = self.compaction
        if self.settling:
            if self.pace().rate == 0:
                settle(self.table, SETTLE_HELP)
        elif current is not None and not current.running and self.background.rate == 0:
            current.slice(STEP_SLICE_BYTES, False)
            self.log.due = False

    def work(self, loaded: bool) -> bool:
        """Do a slice in the background, of a new pass where enough of the log is dead; False for neither.

        `loaded` says that writers are under way, who then get the time that copies of live records would take.
        """
        if self.called or self.pause() > 0.0:
            return False
        if self.compaction is None:
            until = self.target(loaded)
            if until == 0:
                return False
            self.begin_pass(until)
        current = self.compaction
        if current is None:  # the store is being closed
            return False
        at = current.cursor.following
        more = current.slice(COMPACT_SLICE_BYTES, False)
        self.background.note(current.cursor.following - at)
        if not more:
            return self.finish(current)
        if self.log.due:
            self.table.maintainer.step()
        if current.cursor.following == at:
            flush_for(self.log, current.wanted_room())
        time.sleep(0)
        return True

    def pause(self) -> float:
        """Return for how many seconds the background has to wait, so as not to be faster than its rate."""
        return self.background.pause() if self.compaction is not None else 0.0

    def target(self, loaded: bool) -> i64:
        """Return up to where it pays to compact now, 0 for nowhere: the first segments, where enough is dead.

        Under load a third of the log may be dead, since copying then takes time from the writers; at rest a fifth.
        """
        log = self.log
        size = log.tail - log.begin
        dead = self.table.dead_bytes()
        share = 3 if loaded else 5
        self.failure = ""
        was_short = self.short
        self.short = False
        if dead < DEAD_LEAST or dead * share < size:
            return 0
        until = log.device.segment_end(log.begin)
        free = self.free_bytes()
        if 0 <= free < self.room_for_copies(until - log.begin):
            self.failure = self.no_room("compaction", until - log.begin, free)
            self.short = True
            if not was_short:
                tell(WARNING, f"{log.life.called()}: {self.failure}")
            return 0
        wanted: i64 = size >> 1 if dead * 2 > size else size >> 3
        until = self.reach(until, wanted, log.flushed - 1, free)  # it stands still where nothing has been flushed yet
        return until if log.begin < until <= log.flushed and until & log.offset_mask == 0 else i64(0)

    def finish(self, current: Compaction) -> bool:
        """Settle what the passed records still say about the number of keys, then move begin.

        False where a checkpoint is being made, which has to come to its end first, or another thread is at this.
        """
        if self.finisher != 0 or self.compaction is not current:
            return False
        self.finisher = threading.get_ident()
        try:
            if not self.settle_pending():
                return False
            before = self.log.begin
            if not self.commits.move_begin(current.until):
                return False
            self.compaction = None
            self.counters.compactions += 1
            self.given_back += current.until - before - current.copied
            tell(
                DEBUG,
                f"{self.log.life.called()}: a compaction ended, and gave back {current.until - before} bytes of the "
                f"log for {current.copied} that it copied",
            )
        finally:
            self.finisher = 0
        self.log.epoch.drain()
        return True

    def compact(self, extent: Extent) -> i64:
        """Compact segment by segment, as far as a user asked for, and return how many bytes that gave back.

        The store's other work goes on in its threads; close() ends this at its next slice.
        """
        log = self.log
        with self.lock:
            log.life.check_open()
            log.epoch.drain()  # files that iterations were inside of, which have ended
            given_back: i64 = self.given_back
            if self.closing or not self.wants(extent):
                return 0
            if self.compaction is None:
                self.check_first_segment()
            self.called = True
            self.extent = extent
            try:
                self.end_segment()
                stop = log.tail
                self.go_through(extent)
                while log.begin < stop and not extent.used_up() and self.wants(extent):
                    self.begin_pass(self.stretch(stop))
                    self.go_through(extent)
            finally:
                self.called = False
                self.extent = None
            return self.given_back - given_back

    def stretch(self, stop: i64) -> i64:
        """Return up to where a user's pass goes: an eighth of the log, where the disk has room, and a segment at least.

        Each pass has its settling and its commit, and passes of a segment each were outrun by four writers.
        """
        begin = self.log.begin
        until = self.first_end(stop)
        self.check_space("compact()", until - begin, "")
        return self.reach(until, (stop - begin) >> 3, stop, self.free_bytes())

    def first_end(self, stop: i64) -> i64:
        """Return where the log's first segment ends, or `stop` where that comes first."""
        until = self.log.device.segment_end(self.log.begin)
        return stop if until > stop or until & self.log.offset_mask else until

    def reach(self, until: i64, wanted: i64, stop: i64, free: i64) -> i64:
        """Return the end of as many more segments as make up what is wanted, up to `stop`, for which there is room."""
        log = self.log
        while until - log.begin < wanted:
            following = log.device.segment_end(until)
            if following <= until or following > stop or following & log.offset_mask:
                break
            if 0 <= free < self.room_for_copies(following - log.begin):
                break
            until = following
        return until

    def wants(self, extent: Extent) -> bool:
        """Return whether more is dead than a user wants to have."""
        return extent.wanted(self.table.dead_bytes(), self.log.tail - self.log.begin)

    def check_first_segment(self) -> None:
        """Raise OSError, ENOSPC, where there is no room for what begins a call: then not even a commit is made."""
        self.check_space("compact()", self.first_end(self.log.tail) - self.log.begin, "")

    def stop(self) -> None:
        """Have a user's call end with its next slice, and those that wait for it not begin."""
        self.closing = True
        extent = self.extent
        if extent is not None:
            extent.stopped = True

    def reorganize(self) -> None:
        """Compact the whole log, and return when the space has been given back."""
        with self.lock:
            self.log.life.check_open()
            self.called = True
            try:
                self.go_through(Extent())
                self.check_space(
                    "reorganize()", self.log.tail - self.log.begin, ", or call compact(), which goes file by file"
                )
                self.end_segment()
                self.go_through_all()
            finally:
                self.called = False
            self.checkpoints.renew()

    def go_through_all(self) -> None:
        """Make one pass of the whole log, which nobody goes on with where something ends it."""
        self.begin_pass(self.log.tail)
        current = self.compaction
        try:
            self.go_through(Extent())
        finally:
            if self.finisher == 0 and self.compaction is current:
                self.compaction = None

    def begin_pass(self, until: i64) -> None:
        """Begin a pass, with what is pending now behind it: else each record below one that is would cost a read.

        None begins where a user's limits are used up by that, or the store is being closed.
        """
        if not self.settle_pending():
            return
        self.compaction = Compaction(self.table, until)
        tell(
            DEBUG,
            f"{self.log.life.called()}: a compaction begins, of {until - self.log.begin} bytes of the log; of all its "
            f"{self.log.tail - self.log.begin} bytes {self.table.dead_bytes()} are dead",
        )

    def pace(self) -> Extent:
        """Return whose limits hold now: those of a user's call, or the background's."""
        extent = self.extent
        return self.background if extent is None else extent

    def settle_pending(self) -> bool:
        """Settle what is pending now, in slices; False where something ends that before."""
        pending = self.table.pending
        last = pending.settled + pending.count()
        self.settling = True
        try:
            while pending.settled < last:
                before = pending.settled
                done = settle(self.table, SETTLE_SLICE)
                self.pace().slow_down((pending.settled - before) * SETTLE_BYTES)
                if done:
                    break
                if not self.goes_on():
                    return False
            return True
        finally:
            self.settling = False

    def goes_on(self) -> bool:
        """Wait for the rate, and commit meanwhile; False where the limits are used up, or the store is being closed."""
        while not self.closing and not self.pace().used_up():
            pause = self.pace().pause()
            time.sleep(min(max(pause, 0.0), PAUSE_SECONDS))
            self.interval.commit()
            if pause <= 0.0:
                return True
        return False

    def end_segment(self) -> None:
        """Commit, and let what is written from now on stand in a segment of its own, so that all before may go."""
        self.commits.commit()
        self.log.close_tail_page()
        self.log.device.roll()

    def go_through(self, extent: Extent) -> None:
        """Go on with the pass under way, if there is one, to its end or that of the extent, in the caller's thread.

        What is left in the middle is there for the next call, and for the background.
        """
        current = self.compaction
        if current is None:
            return
        me = threading.get_ident()
        if (current.running and current.runner == me) or self.finisher == me:
            raise self.log.life.locks.busy(COMPACTING)
        while self.compaction is current and not extent.used_up():
            self.go_on(current, extent)

    def go_on(self, current: Compaction, extent: Extent) -> None:
        """Do a slice of a user's pass, or what comes at its end; or wait a little, for another thread or the rate."""
        log = self.log
        if current.running or self.finisher != 0:
            time.sleep(OTHERS_SECONDS)
            return
        pause = extent.pause()
        if pause > 0.0:
            time.sleep(min(pause, PAUSE_SECONDS))
            return
        at = current.cursor.following
        if current.slice(COMPACT_SLICE_BYTES, False):
            if log.due:
                self.table.maintainer.step()
            if current.cursor.following == at and not current.running:
                flush_for(log, current.wanted_room())
            extent.note(current.cursor.following - at)
            self.interval.commit()  # the thread may not have been started
            _breath.breathe()
        elif not self.finish(current) and self.finisher == 0 and not extent.used_up():
            self.checkpoints.finish()

    def free_bytes(self) -> i64:
        """Return how many bytes the log's disk has free, -1 where that cannot be known."""
        device = self.log.device
        space = disk_space(device.directory.where()) if isinstance(device, FileDevice) else None
        return i64(-1) if space is None else i64(space[1])

    def room_for_copies(self, size: i64) -> i64:
        """Return what the disk needs for copies of what is live in so many bytes: the ends of pages count, too."""
        live: i64 = max(self.table.live_bytes, i64(0))
        return min(size, live + (live >> 3)) + (self.log.page_bytes << 1)

    def check_space(self, call: str, size: i64, otherwise: str) -> None:
        """Raise OSError, ENOSPC, where the disk has no room for copies of so much of the log; nothing was copied then.

        What is found only by the write that fails poisons the store.
        """
        free = self.free_bytes()
        if 0 <= free < self.room_for_copies(size):
            raise OSError(errno.ENOSPC, self.no_room(call, size, free) + otherwise, self.log.life.path)

    def no_room(self, who: str, size: i64, free: i64) -> str:
        """Return the sentence about a disk that has no room for copies."""
        return (
            f"{who} copies what is live, some {self.room_for_copies(size)} bytes, before it gives space back, and the "
            f"disk has {free} bytes free; nothing was changed. Free some"
        )
