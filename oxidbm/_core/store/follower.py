"""The follower: has a store that was opened to read only move to newer commits, when asked or by itself.

A thread of its own does the latter: an operation that had to look at a clock would cost each of them, and one that
found it due would wait for the move. The thread holds nothing of the store but what closing it takes away, and sleeps
between two looks at the files; it never asks a writer for anything. What it could not do it tries again the next time,
and says so in stats(): reads go on with the commit that is there.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core import lookout
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.catch_up import LOST, MOVED, Ground, anything_new, catch_up, commit_end
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.newest_commit import newest_commit
from oxidbm._core.durability.rebuild import OverlayDevice, log_start_before, went_on
from oxidbm._core.errors import CorruptionError
from oxidbm._core.locks import REFRESHING, StoreLock
from oxidbm._core.log.reader import log_to_read
from oxidbm._core.logbook import INFO, WARNING, Telling, tell
from oxidbm._core.worker import Worker

UNSURE_BYTES: Final = 64 << 20  # more than a file's surplus and what one write brings but for a record's inside
FAR_RECORDS: Final = 262144
FAR_SHARE: Final = 8  # of the keys
RECORD_BYTES: Final = 64  # of a small record, about; large ones are no more work each, but are read, too


@final
class Follower:
    """Moves one store; `seconds` is how often it does so by itself, 0 for never."""

    def __init__(self, commits: Commits, ground: Ground, seconds: float) -> None:
        self.commits = commits
        self.table = commits.table
        self.life = commits.table.life
        self.ground = ground
        self.seconds = seconds
        self.lock = StoreLock(self.life.locks, REFRESHING)
        self.worker = Worker()
        self.failure = ""
        self.telling = Telling(f"a reader of {self.life.called()}")
        self.looked: i64 = 0  # in the log that is open there is no newer commit before

    def refresh(self) -> bool:
        """Move to the newest commit; False where it is the one that was seen before."""
        self.life.check_open()
        with self.lock:
            self.life.check_open()
            try:
                moved = self.move()
            except CorruptionError:
                if self.ground.same():
                    raise
                moved = self.begin_anew()  # a recovery has cut off what was being read
            self.commits.log.epoch.drain()
        for watcher in self.table.watchers:
            watcher.catch_up_if_far_behind()
        return moved

    def move(self) -> bool:
        """As `refresh`, under the lock."""
        if not self.ground.same():
            return self.begin_anew()
        commits = self.commits
        log = commits.log
        device = log.device
        if isinstance(device, OverlayDevice):
            return self.leaves(device) and self.begin_anew()
        try:
            log.device.look_again()
        except FileNotFoundError:  # the writer has passed it by meanwhile
            return self.begin_anew()
        try:
            moved = self.go_on()
            return (self.ground.newer_snapshot(commits.sequence) and self.begin_anew()) or moved
        finally:
            device = log.device
            if isinstance(device, FileDevice):  # which was exchanged where the store was opened anew
                device.see_until(commit_end(commits) if commits.log is log else log.tail)

    def begin_anew(self) -> bool:
        """Open the store anew, see `Ground`; what was looked through was another log."""
        self.looked = 0
        return self.ground.begin_anew()

    def leaves(self, device: OverlayDevice) -> bool:
        """Return whether there is a later state than that of a snapshot, to which the log leads, or another one.

        Where the writer has given back what would lead there, only a later commit has let it; and one is made before a
        snapshot goes that alone has a commit.
        """
        commits = self.commits
        files = device.device
        try:
            files.look_again()
        except FileNotFoundError:
            return True
        known = commits.log
        log = log_to_read(files, self.life.path, known.page_bits, known.checksum_key, FIRST_ADDRESS)
        if isinstance(files, FileDevice) and files.first_named() > log_start_before(log, device.metadata):
            return True
        if not self.ground.has_checkpoint(device.metadata.token):
            return True
        return self.ground.newer_snapshot(commits.sequence) or went_on(log, device.metadata)

    def go_on(self) -> bool:
        """Move on in the log that was opened, as far as it leads."""
        commits = self.commits
        if not anything_new(commits):
            return False
        stop = self.reach()
        moved = False
        if self.is_far(stop):
            behind = stop - commit_end(commits)
            tell(INFO, f"a reader of {self.life.called()} was {behind} bytes of the log behind, and opens it anew")
            return self.begin_anew()
        while stop > 0 and not self.worker.stopping:
            outcome = catch_up(commits, stop, self.ground)
            if outcome == LOST:
                return self.begin_anew() or moved
            if outcome != MOVED:
                break
            moved = True
        return moved

    def reach(self) -> i64:
        """Return where the newest commit ends that stands behind the present one, 0 for none.

        What a writer has not committed yet may be as much as it likes, and is not replayed; nor is it looked through
        each time, but for its last part, which may not have been written when it was.
        """
        commits = self.commits
        known = commits.log
        end = known.device.end()
        begin = max(commit_end(commits), self.looked)
        log = log_to_read(known.device, self.life.path, known.page_bits, known.checksum_key, FIRST_ADDRESS)
        found = newest_commit(log, end, begin)
        if found is not None:
            return found.end()
        self.looked = max(begin, end - UNSURE_BYTES)
        return 0

    def is_far(self, stop: i64) -> bool:
        """Return whether opening the store anew costs less than going there record by record, twenty times less each.

        And nothing of how many there are is to be held meanwhile but an index.
        """
        commits = self.commits
        least = max(i64(FAR_RECORDS), self.table.count // FAR_SHARE) * RECORD_BYTES
        return stop - commit_end(commits) > least and isinstance(commits.log.device, FileDevice)

    def start(self) -> None:
        """Start the thread, where there is one to be and none is alive."""
        if self.seconds > 0:
            self.worker.stopping = False
            lookout.start(self.worker, self.loop, self.quiet, self.start)

    def go_on_again(self) -> None:
        """Be as before `stop`."""
        if self.seconds > 0:
            lookout.go_on(self.worker, self.quiet, self.start)

    def quiet(self) -> bool:
        """Return that there is always something to look for."""
        return False

    def stop(self) -> None:
        """End the thread and wait for it."""
        self.worker.stop()
        lookout.forget(self.worker)

    def loop(self) -> None:
        """Look again each time that so many seconds are over."""
        worker = self.worker
        while not worker.stopping and self.life.alive():
            worker.sleep(self.seconds)
            if not worker.stopping:
                self.follow()

    def follow(self) -> None:
        """Move, and keep what came in the way."""
        try:
            self.refresh()
            self.failure = ""
            self.telling.fine()
        except Exception as failure:
            self.failure = str(failure) or repr(failure)
            if self.life.alive():
                self.telling.trouble(WARNING, f"it stays with its commit, and tries again: {self.failure}")
