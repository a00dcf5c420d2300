"""Commit: the one place where what was written becomes durable.

A commit is cut in one instant: the records of the sessions that changed and a commit record go to the tail, and
read_only moves behind it, so that the log up to there never changes again. Then it is sealed, flushed and synced while
operations go on. Threads that wait together share one sync (see committer).
The commit record says how many records stand between it and the one before, which commit was known durable when it was
written, where the log begins, and how many keys and sessions there are. Invariants: 1. a commit counts only when all
records since the one before it verify; 2. `durable_tail` moves only after a sync that returned; 3. a failed write or
sync poisons the store; 4. no commit is cut while somebody else holds the cut lock.
"""

import time
from typing import Final, final

from librt.strings import read_i64_le
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, CommitRecord, encode, sealed_record
from oxidbm._core.durability.committer import Committer
from oxidbm._core.durability.holds import Holds, Truncation
from oxidbm._core.durability.serials import Serials, SessionState
from oxidbm._core.durability.session_record import SESSION_BYTES, encode_session
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.locks import CUTTING, StoreLock
from oxidbm._core.log.append import append_record, mark_as, record_bytes
from oxidbm._core.log.flush import flush_for, flush_to, seal_to
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import CHECKSUM_MASK, SHAPE_COMMIT, SHAPE_SESSION, pack_info
from oxidbm._core.log.room import room_for
from oxidbm._core.table.table import Table

NANOSECONDS: Final = 1e9
CLOCK_MAX: Final = 4.6e9  # seconds, in the year 2115: the numbers of a checkpoint's file end soon after
SESSIONS_SLICE: Final = 256


@final
class Aside:
    """A commit record that does not go to the log, but stands in a snapshot where the log's next one would."""

    def __init__(self) -> None:
        self.record = CommitRecord()
        self.copied_to: i64 = 0  # where the log ended
        self.address: i64 = 0
        self.data = b""

    def place(self, log: HybridLog, previous: i64) -> None:
        """Give it its place behind the log's tail, and its bytes."""
        self.copied_to = log.tail
        self.address = log.tail
        if (self.address & log.offset_mask) + COMMIT_RECORD_BYTES > log.page_bytes:
            self.address = log.next_page(self.address)
        self.data = sealed_record(self.record, self.address, previous, log.checksum_key)

    def end(self) -> i64:
        """Return the address behind it."""
        return self.address + COMMIT_RECORD_BYTES

    def checksum(self) -> str:
        """Return its checksum, as checkpoints say it."""
        return f"{int(read_i64_le(self.data, 16) & CHECKSUM_MASK):08x}"


class CutWatcher:
    """Who wants to know when a commit is cut."""

    def cut_made(self) -> None:
        """Take note of the cut; in its very instant, so nothing else may run in here."""

    def cut_made_aside(self, aside: Aside) -> None:
        """As `cut_made`, of a commit whose record does not stand in the log."""

    def cut_durable(self) -> None:
        """Take note that it is durable; no other one has been cut since."""

    def making(self) -> bool:
        """Return whether something is being made for which the log's begin has to stay where it is."""
        return False


@final
class Commits(Committer):
    """The commits of one table's log: the last one cut, the last one durable, and what the next one has to say."""

    def __init__(self, table: Table, serials: Serials) -> None:
        super().__init__(table.log)
        self.table = table
        self.serials = serials
        self.holds = Holds()
        self.watcher = CutWatcher()
        self.cut_lock = StoreLock(table.log.life.locks, CUTTING)
        self.logged: i64 = 0  # as sequence and durable_sequence, of commits in the log alone, where those count all
        self.logged_durable: i64 = 0
        self.address: i64 = 0  # of the last commit record in the log
        self.end: i64 = FIRST_ADDRESS
        self.durable_tail: i64 = FIRST_ADDRESS
        self.records_before: i64 = 0  # appended up to and with the last commit record
        self.records_durable: i64 = 0  # as that, of the last commit that is durable
        self.own: i64 = 0  # of the records appended, those that say where sessions are, or are commit records
        self.own_durable: i64 = 0
        self.begin_wanted: i64 = 0
        self.unlogged = False  # the next commit has to say something that no record since the last one says

    def now_ns(self) -> i64:
        """Return the clock's time in nanoseconds since 1970: the nearest that files say where it is set beyond.

        The system's where a caller's clock fails, or no store that has such a one could be closed.
        """
        try:
            seconds = self.table.clock()
            if not seconds > 0.0:
                return 0
        except Exception as failure:
            if came_from_handler(failure):
                raise
            seconds = time.time()
        return i64(int(min(seconds, CLOCK_MAX) * NANOSECONDS))

    def note(self, state: SessionState) -> None:
        """Take note of a session's first change since the last cut, or since its record was written."""
        if state.cut != self.sequence:
            state.begin_after(self.sequence, self.durable_sequence)
        state.noted = self.sequence
        if self.log.memory_only:
            return
        self.unlogged = True
        if state.name:
            self.note_use(state)

    def note_use(self, state: SessionState) -> None:
        """Have the next commit say that a session was used, though it has changed nothing yet."""
        state.used = True
        self.serials.join(state)
        self.unlogged = True

    def give_session(self, name: str, serial: i64, used_ns: i64) -> None:
        """Know a session of another store as though it were of this one, durably with the next commit."""
        state = SessionState(name, serial, used_ns)
        self.serials.known[name] = state
        self.serials.join(state)
        self.unlogged = True

    def take_sessions(self, recovered: dict[str, SessionState], begin: i64) -> None:
        """Know the sessions that recovery found."""
        self.serials.take_over(recovered, begin)
        for state in self.serials.known.values():
            self.table.session_bytes += self.session_footprint(state)

    def trade(self, other: "Commits") -> None:
        """Have the table, and stand at the commit, of another one that is closed afterwards; as `Table.trade`."""
        self.table.trade(other.table)
        self.log, other.log = other.log, self.log
        self.serials.take_all(other.serials)
        self.sequence = other.sequence
        self.durable_sequence = other.durable_sequence
        self.logged = other.logged
        self.logged_durable = other.logged_durable
        self.address = other.address
        self.end = other.end
        self.durable_tail = other.durable_tail

    def session_footprint(self, state: SessionState) -> i64:
        """Return how much of the log a session's record takes."""
        return self.log.footprint(record_bytes(i64(len(state.name.encode())), SESSION_BYTES, False, False))

    def forget_session(self, state: SessionState) -> None:
        """Know a session no more, durably with the next commit."""
        self.serials.forget(state)
        if not self.log.memory_only:
            self.serials.join(state)
            self.unlogged = True

    def state_sessions(self, time_ns: i64, count_max: i64) -> i64:
        """Append the records of up to so many sessions that have to be stated; < 0, a size, where there is no room."""
        serials = self.serials
        while serials.left() > 0 and count_max > 0:
            size = self.state_session(serials.unstated[serials.following], time_ns)
            if size < 0:
                return size
            serials.following += 1
            count_max -= 1
        if serials.left() == 0:
            serials.unstated.clear()
            serials.following = 0
        return 0

    def state_session(self, state: SessionState, time_ns: i64) -> i64:
        """Append what there is to say of a session, or that it was forgotten; < 0, a size, where there is no room."""
        fresh = state.address == 0
        if fresh and state.forgotten:
            return 0
        state.queued = False  # first of all: what changes the session from here on lets it be stated once more
        state.noted = -1
        if state.used:
            state.used_ns = time_ns
        name = state.name.encode()
        value = b"" if state.forgotten else encode_session(state)
        address = append_record(self.log, name, value, pack_info(0, state.forgotten, False), 0)
        if address < 0:
            state.queued = True
            return address
        mark_as(self.log, address, SHAPE_SESSION)
        self.own += 1
        state.address = address
        state.used = False
        if fresh or state.forgotten:
            size = self.session_footprint(state)
            self.table.session_bytes += size if fresh else -size
            self.serials.stated += 1 if fresh else -1
        return 0

    def cut(self) -> i64:
        """Append the sessions' records that are due and a commit record, and make all up to it read-only.

        The last of it is one instant; a session that was stated before it, and has changed since, is stated again.
        Returns the commit record's address; 0 where something was written meanwhile; < 0, a size that there is no room
        for. What was stated of sessions by then stays, and is not stated again when the cut is tried again.
        """
        log = self.log
        record = CommitRecord()
        size = self.prepare_record(record)
        if size < 0:
            return size
        value = encode(record)
        if self.written_since(record):
            return 0  # a finalizer, run by the garbage collector, or the clock wrote
        address = append_record(log, b"", value, pack_info(self.address, False, False), 0)
        if address < 0:
            return address
        mark_as(log, address, SHAPE_COMMIT)
        self.own += 1
        log.freeze()
        self.sequence = self.logged = record.log.sequence
        self.address = address
        self.end = log.tail
        self.records_before = log.records
        self.unlogged = False
        self.watcher.cut_made()
        return address

    def prepare_record(self, record: CommitRecord) -> i64:
        """Have a commit record say what is so now, behind what is due of the sessions; < 0, a size, for no room."""
        table = self.table
        log = self.log
        record.log.sequence = self.sequence + 1
        record.log.durable_sequence = self.logged_durable
        record.log.begin = max(log.begin, self.begin_wanted)
        record.log.time_ns = self.now_ns()
        size = self.state_sessions(record.log.time_ns, self.serials.left())
        record.log.records = log.records - self.records_before
        record.sessions = self.serials.stated
        record.table.count = table.count
        record.table.pending = table.pending.count()
        record.table.live_bytes = table.live_bytes
        return size

    def written_since(self, record: CommitRecord) -> bool:
        """Return whether something was written since a commit record was prepared."""
        written = self.log.records - self.records_before != record.log.records
        return written or self.table.count != record.table.count or self.serials.left() > 0

    def cut_aside(self, aside: Aside) -> i64:
        """As `cut`, for a commit whose record does not go to the log; what there is frozen thaws when it was copied.

        The records of the sessions do: what they say counts with whatever commit record comes behind them.
        """
        size = self.prepare_record(aside.record)
        if size < 0:
            return size
        log = self.log
        aside.place(log, self.address)
        if self.written_since(aside.record):
            return 0
        log.freeze_awhile()
        self.sequence = aside.record.log.sequence
        self.unlogged = True  # its number, where the log has all else that it says
        self.watcher.cut_made_aside(aside)
        return aside.address

    def commit_aside(self) -> None:
        """Cut a commit whose record does not go to the log, for the watcher; the caller holds the lock."""
        self.log.life.check_not_poisoned()
        with self.cut_lock:  # not in the middle of a batch
            self.state_many()
            while True:
                address = self.cut_aside(Aside())
                if address > 0:
                    break
                if address < 0:
                    flush_for(self.log, room_for(-address, self.log.page_bytes))

    def aside_durable(self, sequence: i64) -> None:
        """Take note that a commit which was cut aside is durable; the caller waits for nobody."""
        self.durable_sequence = max(self.durable_sequence, sequence)
        self.waiters.pass_on(self.durable_sequence)
        self.notices.tell(self.durable_sequence)

    def all_durable(self) -> bool:
        """Return whether there is nothing to commit."""
        return self.log.memory_only or (self.durable_tail >= self.log.tail and not self.unlogged)

    def commit(self) -> None:
        """Return when every operation that has returned so far is durable; PoisonedError where that cannot be."""
        if self.all_durable():
            return
        fresh: bool = self.unlogged or self.log.tail != self.end
        self.commit_until(self.sequence + 1 if fresh else self.sequence)

    def commit_now(self) -> None:
        """Cut, seal, flush and sync one commit; the caller holds the lock."""
        log = self.log
        log.use.check_written_to()
        log.life.check_not_poisoned()
        with self.cut_lock:  # not in the middle of a batch
            self.state_many()
            while True:
                address = self.cut()
                if address > 0:
                    break
                if address < 0:
                    flush_for(log, room_for(-address, log.page_bytes))
        target = self.end
        records = self.records_before
        own = self.own
        sequence = self.sequence
        seal_to(log, target)
        flush_to(log, target)
        self.sync_device(log)
        self.durable_tail = target
        self.records_durable = records
        self.own_durable = own
        self.durable_sequence = self.logged_durable = sequence
        self.watcher.cut_durable()

    def state_many(self) -> None:
        """Where very many sessions are to be stated, do most of it before the cut, in slices: it is one instant.

        Their number is that of now: what changes meanwhile is for the cut, or this might never end.
        """
        log = self.log
        slices = self.serials.left() // SESSIONS_SLICE
        time_ns = self.now_ns() if slices > 0 else i64(0)
        while slices > 0:
            size = self.state_sessions(time_ns, SESSIONS_SLICE)
            if size < 0:
                flush_for(log, room_for(-size, log.page_bytes))
                continue
            slices -= 1
            _breath.breathe()

    def move_begin(self, until: i64) -> bool:
        """Commit that the log begins at `until`, and give the space before it back once no reader is inside.

        False where it has to stay where it is, for the watcher's sake.
        """
        log = self.log
        self.begin_turn()
        try:
            if self.watcher.making():
                return False
            self.begin_wanted = max(self.begin_wanted, until)  # the store may have been cleared meanwhile
            if not log.memory_only:
                self.serials.state_again_below(self.begin_wanted)
                self.commit_now()
            log.move_begin(until)
        finally:
            self.end_turn()
        log.epoch.bump(Truncation(log, self.holds, until).delete)
        return True

    def release(self, ticket: int) -> None:
        """Give a hold back, and with it the space of the segments that nobody else needs."""
        self.holds.release(ticket)
        if self.log.life.can_write():
            self.log.epoch.bump(Truncation(self.log, self.holds, self.log.begin).delete)

    def forget_all(self) -> None:
        """Let the table be empty from the next commit on; the log's records are dead."""
        self.begin_turn()
        try:
            with self.cut_lock:  # not in the middle of a batch
                self.table.forget_all()
                self.begin_wanted = self.log.tail
                self.serials.state_again_below(self.begin_wanted)
                self.unlogged = True
                self.table.maintainer.cleared()
        finally:
            self.end_turn()
