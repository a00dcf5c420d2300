"""Making checkpoints: from the cut of a commit, in steps that any thread may do, to a file that says it is there.

A checkpoint begins in the instant in which a commit is cut, which is the one point for all threads and sessions (CPR:
Prasaad, Chandramouli and Kossmann, SIGMOD 2019): whatever was written before is in it, and nothing that comes after.
From then on the index's image is taken slice by slice while operations go on: no record before the cut changes any
more, so an entry that leads behind it is followed down its chain to where it led. Phases, each left for the next one:

    REST     no checkpoint is being made
    CUT      one was asked for, and waits for a commit to be cut
    IMAGE    slices of the image are written
    COPY     slices of a snapshot's part of the log are written (see snapshots)
    DURABLE  the commit becomes durable, by whoever cut it; for a snapshot, the log that it needs
    SYNC     the files become durable
    PUBLISH  the file that says that the checkpoint is there
    PURGE    older automatic ones go

While one is made the log's begin does not move. A failure, of no space for instance, ends it, deletes its files, and
harms nothing else: an automatic one is tried again when as much has been written anew.
"""

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.device.device import segment_starts
from oxidbm._core.durability.checkpoint import FOLD_OVER, INCREMENTAL, KINDS, LOG_ONLY, SNAPSHOT, Checkpoint, Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.commit import Aside, Commits, CutWatcher
from oxidbm._core.durability.compression import LEVEL
from oxidbm._core.durability.image_file import ImageHeader, ImageWriter
from oxidbm._core.durability.kept import Kept
from oxidbm._core.durability.schedule import Schedule
from oxidbm._core.durability.serials import SessionState
from oxidbm._core.durability.session_record import read_sessions
from oxidbm._core.durability.snapshots import Snapshots
from oxidbm._core.durability.tokens import token_for
from oxidbm._core.errors import BusyError, ClosedError, error
from oxidbm._core.index.image import ImageTaker
from oxidbm._core.locks import CHECKPOINTING, StoreLock
from oxidbm._core.log.reader import record_at
from oxidbm._core.log.record import CHECKSUM_MASK
from oxidbm._core.logbook import WARNING, tell

REST: Final = 0
CUT: Final = 1
IMAGE: Final = 2
COPY: Final = 3
DURABLE: Final = 4
SYNC: Final = 5
PUBLISH: Final = 6
PURGE: Final = 7
NAMES: Final = ("REST", "CUT", "IMAGE", "COPY", "DURABLE", "SYNC", "PUBLISH", "PURGE")

SHORTAGES: Final = (OSError, ImportError, MemoryError)  # an automatic checkpoint is not made where there is one
SLICES_A_STEP: Final = 2  # of an image: about a millisecond


@final
class Checkpointer(CutWatcher):
    """Makes the checkpoints of an open store, one at a time."""

    def __init__(self, commits: Commits, files: CheckpointFiles, automatic: bool) -> None:
        self.commits = commits
        self.table = commits.table
        self.log = commits.log
        self.files = files
        self.automatic = automatic
        self.lock = StoreLock(self.log.life.locks, CHECKPOINTING)
        self.phase: i64 = REST
        self.wanted: Checkpoint | None = None  # what was asked for; None where the one that is made is automatic
        self.taker = ImageTaker()
        self.writer: ImageWriter | None = None
        self.snapshots = Snapshots(commits, files)
        self.schedule = Schedule(commits.table)
        self.kept = Kept(commits, files, self.snapshots, self.schedule)
        self.metadata = Metadata(FOLD_OVER, "", files.store_id)
        self.sessions: list[SessionState] = []
        self.sessions_taken = False
        self.named = False
        self.with_image = True
        self.aside = False  # its commit is not to stand in the log
        self.incremental = False
        self.ticket = 0
        self.sequence: i64 = 0
        self.commit_address: i64 = 0
        self.begin: i64 = FIRST_ADDRESS
        self.end: i64 = FIRST_ADDRESS
        self.count: i64 = 0
        self.live_bytes: i64 = 0
        self.pending: vec[i64] = vec[i64]()
        self.pending_first: i64 = 0
        self.pending_stop: i64 = 0
        self.expiring = False
        self.swept = False
        self.failure = ""
        self.taking_sessions = False  # by who makes the commit durable
        self.unknown = ""  # why the sessions are not
        self.finishing: i64 = 0  # threads that bring the one that is being made to its end
        self.broken: BaseException | None = None  # what the one that is being made fails with, until it is put away

    def recovered(self, known: list[Metadata], token: str | None, records: i64, end: i64) -> None:
        """Know the checkpoints that are there; so many records were replayed behind one of them, which ended at `end`.

        Where no token is given, they were replayed from the log's first record on.
        """
        for metadata in known:
            self.kept.add(metadata)
        self.schedule.recovered(token, records, end)

    def making(self) -> bool:
        """Return whether one is being made."""
        return self.phase > CUT

    def due(self) -> bool:
        """Return whether the next cut is to begin an automatic one."""
        return self.automatic and self.schedule.due(self.kept.holds_back())

    def cut_made(self) -> None:
        """Begin here what was asked for, or what is due."""
        if (self.phase == CUT and not self.aside) or (self.phase == REST and self.due()):
            self.begin_here()

    def begin_here(self) -> None:
        """Take note of this instant: the last commit is the whole log."""
        commits = self.commits
        self.sequence = commits.logged
        self.commit_address = commits.address
        self.begin = max(self.log.begin, commits.begin_wanted)
        self.end = commits.end
        if self.with_image:
            self.schedule.begin()
        self.note_table()

    def cut_made_aside(self, aside: Aside) -> None:
        """As `begin_here`, with a commit that was cut aside."""
        self.snapshots.begin(aside, self.incremental)
        self.sequence = aside.record.log.sequence
        self.commit_address = aside.address
        self.begin = aside.record.log.begin
        self.end = aside.end()
        self.with_image = self.snapshots.builds_on is None
        self.note_table()

    def note_table(self) -> None:
        """Take note of what the table is in this instant."""
        self.ticket = self.commits.holds.take(self.begin)
        self.count = self.table.count  # more of them may be settled by now than when the commit was cut
        self.live_bytes = self.table.live_bytes
        self.pending = self.table.pending.items  # is only appended to
        self.pending_first = self.table.pending.first
        self.pending_stop = len(self.pending)
        self.expiring = self.log.expiring
        self.sessions_taken = self.named = False
        self.unknown = ""
        if self.with_image:
            self.taker.begin(self.table.index)
        self.phase = IMAGE

    def cut_durable(self) -> None:
        """Take the sessions as the cut stated them, which the next cut will state anew."""
        if IMAGE <= self.phase <= DURABLE and not self.sessions_taken and self.commits.sequence == self.sequence:
            self.taking_sessions = True
            try:
                self.take_sessions()
            except OSError as failure:  # the commit is durable, whatever becomes of the checkpoint
                self.unknown = str(failure)
            finally:
                self.taking_sessions = False
            if self.phase == DURABLE:
                self.table.maintainer.wake()  # the thread has nothing more to wait for

    def take_sessions(self) -> None:
        """Read what the sessions' records say; the caller holds the commits' lock."""
        serials = self.commits.serials
        forgotten = [state for state in serials.unstated if state.forgotten]
        self.sessions = read_sessions(self.log, list(serials.known.values()) + forgotten, self.end)
        self.sessions_taken = True

    def request(self, kind: str, name: str | None, cookie: bytes | None = None, level: int = LEVEL) -> Checkpoint:
        """Ask for a checkpoint at the commit that is made now, and return it, begun; BusyError while one is made."""
        if kind not in KINDS:
            kinds = ", ".join([repr(known) for known in KINDS])
            raise ValueError(f"the kind of a checkpoint is one of {kinds}, not {kind!r}")
        if kind == LOG_ONLY and self.phase == REST and self.due():
            self.make_automatic()  # while these alone are asked for, no commit begins one
        while self.making() and (self.wanted is None or self.wanted.unwanted is not None):  # it ends first
            self.advance()
            _breath.breathe()
        commits = self.commits
        metadata = Metadata(kind, "", self.files.store_id)
        metadata.name = name
        metadata.cookie = cookie
        metadata.level = level
        wanted = Checkpoint(metadata)
        wanted.running.acquire()
        with self.lock:
            if self.phase != REST:
                raise BusyError(
                    f"a checkpoint of the store {self.log.life.name()} is being made; wait for its result() before "
                    "the next one is asked for"
                )
            self.wanted = wanted
            self.with_image = kind != LOG_ONLY
            self.aside = kind in (SNAPSHOT, INCREMENTAL)
            self.incremental = kind == INCREMENTAL
            self.phase = CUT
            try:
                with commits.turn():
                    self.begin_at_commit()
            except BaseException:
                self.drop()
                self.end_with(None)
                raise
        return wanted

    def begin_at_commit(self) -> None:
        """Begin at the last commit where nothing was written since, else at a new one, if no other thread cut one."""
        commits = self.commits
        if self.phase != CUT:
            return
        builds_on = self.incremental and self.snapshots.base is not None
        if commits.logged > 0 and commits.durable_tail >= self.log.tail and not commits.unlogged and not builds_on:
            self.begin_here()
            self.take_sessions()
        elif self.aside:
            commits.commit_aside()
            self.take_sessions()
        else:
            commits.commit_now()

    def advance(self) -> bool:
        """Do the next step of the checkpoint that is being made; False where there is none that can be done now."""
        with self.lock:
            if not self.making():
                return False
            before = self.phase
            try:
                unwanted = self.broken if self.wanted is None else self.broken or self.wanted.unwanted
                if unwanted is not None:  # broken: a signal handler has broken into giving it up
                    raise unwanted
                self.step()
            except BaseException as failure:
                unheard = self.wanted is None and not isinstance(failure, SHORTAGES)
                self.broken = failure
                self.give_up(failure)
                self.end_with(failure)
                if unheard:
                    raise
            return self.making() and (self.phase != DURABLE or before != DURABLE)

    def finish(self) -> None:
        """Bring the checkpoint that is being made to its end."""
        self.finishing += 1
        try:
            while self.making():
                if not self.advance() and self.phase == DURABLE:
                    self.commits.commit()  # whoever cut it was interrupted, or is still at it
                _breath.breathe()
        finally:
            self.finishing -= 1

    def step(self) -> None:
        """Do one step, and go on to the next phase where the present one is done."""
        if self.phase == IMAGE:
            if self.with_image and self.write_some():
                return
        elif self.phase == COPY:
            if self.snapshots.taking() and self.copy_some():
                return
            self.snapshots.thaw()
        elif self.phase == DURABLE:
            if not self.is_durable():
                return
        elif self.phase == SYNC:
            self.close_files()
        elif self.phase == PUBLISH:
            self.say_all()
            self.files.publish(self.metadata)
            self.note_published()
        elif self.phase == PURGE:
            if self.metadata.automatic:
                self.kept.purge_automatic(self.metadata)
            self.end_with(None)
            return
        self.phase += 1

    def write_some(self) -> bool:
        """Write the next slice of the image; False behind the last one."""
        if self.writer is None:
            self.open_image()
        writer = self.writer
        slices = SLICES_A_STEP
        while writer is not None and slices > 0 and self.taker.step():
            writer.write_slice(self.taker)
            slices -= 1
        return slices < SLICES_A_STEP

    def copy_some(self) -> bool:
        """Write the next slice of a snapshot; False behind the last one."""
        self.name_it()
        return self.snapshots.write_some(self.metadata)

    def note_published(self) -> None:
        """Take note that the checkpoint is there."""
        self.kept.add(self.metadata)
        if self.snapshots.taking():
            self.snapshots.published(self.metadata)
        elif self.with_image:
            self.schedule.made(self.metadata.token)
        self.commits.release(self.ticket)

    def open_image(self) -> None:
        """Begin the image's file."""
        self.name_it()
        header = ImageHeader(int(self.sequence), int(self.commit_address), int(self.begin), int(self.end))
        header.add_counts(int(self.count), int(self.live_bytes), int(self.taker.low_mask), int(self.taker.split))
        writer = ImageWriter(
            self.files.made(), self.metadata.image_name(), self.files.mode, header, self.log, self.metadata.level
        )
        if self.snapshots.taking():
            writer.end = self.snapshots.copy.stop  # where the log itself went on
        self.writer = writer
        writer.write_header(header, memoryview(self.pending)[self.pending_first : self.pending_stop])

    def name_it(self) -> None:
        """Give the checkpoint its token, and delete what was left of others; a second time does nothing."""
        if self.named:
            return
        self.named = True
        wanted = self.wanted
        if wanted is not None:
            self.metadata = wanted.metadata
        else:
            self.metadata = Metadata(FOLD_OVER, "", self.files.store_id)
            self.metadata.automatic = True
        metadata = self.metadata
        metadata.token = token_for(int(self.sequence))
        if metadata.kind == INCREMENTAL and self.snapshots.builds_on is None:
            metadata.kind = SNAPSHOT  # there is none that it could build on
        self.sweep()

    def sweep(self) -> None:
        """Delete what a crash, or a checkpoint that failed, left; nothing is written yet by the one that is made."""
        if not self.swept:
            self.files.sweep()
            self.swept = True

    def is_durable(self) -> bool:
        """Return whether the commit is durable; raise where it never will be, or its sessions are not known."""
        self.log.life.check_not_poisoned()
        if self.snapshots.taking():
            self.snapshots.sync_log()
        elif self.commits.durable_sequence < self.sequence:
            return False
        if not self.sessions_taken:
            if self.taking_sessions:
                return False
            raise error(
                f"what commit {self.sequence} says of the sessions is not known: {self.unknown or 'it was interrupted'}"
            )
        return True

    def close_files(self) -> None:
        """Make the files durable."""
        self.name_it()
        if self.snapshots.taking():
            self.snapshots.finish(self.metadata)
        writer = self.writer
        if writer is not None:
            writer.finish(self.metadata)
            self.writer = None

    def say_all(self) -> None:
        """Complete what the checkpoint's file says."""
        metadata = self.metadata
        metadata.sequence = int(self.sequence)
        metadata.commit = int(self.commit_address)
        if not self.snapshots.taking():
            metadata.commit_sum = f"{int(record_at(self.log, self.commit_address).seal & CHECKSUM_MASK):08x}"
        metadata.begin = int(self.begin)
        metadata.end = int(self.end)
        metadata.time_ns = int(self.commits.now_ns())
        metadata.expiring = self.expiring
        metadata.page_size = int(self.log.page_bytes)
        metadata.segments = segment_starts(self.log.device, self.begin, i64(metadata.log_end()))
        metadata.sessions = self.sessions

    def purge(self, keep: int | None, token: str | None) -> list[str]:
        """Remove the checkpoint of a token, or those that were asked for but for the newest `keep`."""
        with self.lock:
            removed = self.kept.purge(keep, token)
            self.sweep()
            return removed

    def cancel(self, made: Checkpoint, failure: BaseException) -> None:
        """Give a checkpoint up for which nobody waits any more, unless it is there; who is at a step does it next."""
        made.unwanted = failure  # a signal handler may raise once more in waiting for the lock
        if self.lock.take():
            try:
                if self.wanted is made:
                    self.broken = failure
                    self.give_up(failure)
                    self.end_with(failure)
            finally:
                self.lock.release()

    def give_up(self, failure: BaseException) -> None:
        """Let the store be as if the checkpoint had not been begun."""
        self.drop()
        if self.wanted is None:
            self.failure = str(failure)
            tell(WARNING, f"{self.log.life.called()}: a checkpoint could not be made: {failure}")
        if self.metadata.token and self.metadata not in self.kept.known:
            try:
                self.files.remove(self.metadata.token)
            except OSError:
                self.swept = False  # the next one sweeps

    def drop(self) -> None:
        """Close the files, and let the index and the log go on."""
        self.taker.end()
        self.snapshots.drop()
        writer = self.writer
        self.writer = None
        if writer is not None:
            writer.file.close()
        self.commits.holds.release(self.ticket)
        self.pending = vec[i64]()

    def end_with(self, failure: BaseException | None) -> None:
        """Be at rest, and tell whoever waits."""
        wanted = self.wanted
        self.wanted = None
        self.with_image = True
        self.aside = self.incremental = False
        self.pending = vec[i64]()
        self.sessions = []
        self.broken = None
        self.phase = REST  # last of all: from here on a cut may begin the next one
        if wanted is not None:
            wanted.finish(failure)

    def let_go(self) -> None:
        """At the end of a store that could not finish it: end what is being made, and tell whoever waits."""
        if self.phase != REST:
            self.drop()
            self.end_with(ClosedError(f"the store {self.log.life.name()} was closed before the checkpoint was there"))

    def renew(self) -> None:
        """Make an automatic checkpoint in place of one that holds a part of the log that nobody else needs."""
        if self.automatic and self.kept.holds_back() > 0:
            self.make_automatic()

    def make_automatic(self) -> None:
        """Make an automatic checkpoint at a commit that is made now."""
        self.finish()
        with self.lock:
            if self.phase == REST:
                self.phase = CUT
                try:
                    with self.commits.turn():
                        self.begin_at_commit()
                except BaseException:
                    self.drop()
                    self.end_with(None)
                    raise
        self.finish()

    def close(self) -> None:
        """At the end of a store, when all is durable: finish what was asked for; leave an image where it pays."""
        if self.making() and self.wanted is None:
            with self.lock:
                self.drop()
                self.end_with(None)
        self.finish()
        if self.automatic and self.commits.sequence > 0 and self.schedule.pays_at_end():
            with self.lock, self.commits.turn():
                self.begin_here()
                try:
                    self.take_sessions()
                except error as failure:  # a damaged record of a session; what there is to lose is an image
                    self.give_up(failure)
                    self.end_with(None)
            self.finish()
