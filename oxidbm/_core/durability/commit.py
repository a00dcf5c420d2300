"""Commit: the one place where what was written becomes durable.

A commit is cut in one instant: a commit record goes to the tail and read_only moves behind it, so that the log up to
there never changes again. Then it is sealed, flushed and synced while operations go on. Threads that wait together
share one sync: the first one commits, the others find their tail durable. The commit record says how many records stand
between it and the one before, which commit was known durable when it was written, where the log begins, how many keys
are live, and each named session's serial number. Invariants: 1. a commit counts only when all records since the one
before it verify; 2. `durable_tail` moves only after a sync that returned; 3. a failed write or sync poisons the store;
4. no commit is cut while somebody else holds the cut lock.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.durability.commit_record import CommitRecord, encode
from oxidbm._core.durability.serials import Serials
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.locks import COMMITTING, CUTTING, StoreLock
from oxidbm._core.log.append import append_record, mark_as_commit
from oxidbm._core.log.flush import flush_for, flush_to, seal_to
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import pack_info
from oxidbm._core.log.room import room_for
from oxidbm._core.table.table import Table

NANOSECONDS: Final = 1e9


@final
class Commits:
    """The commits of one table's log: the last one cut, the last one durable, and what the next one has to say."""

    def __init__(self, table: Table, serials: Serials) -> None:
        self.table = table
        self.log = table.log
        self.serials = serials
        locks = table.log.life.locks
        self.lock = StoreLock(locks, COMMITTING)
        self.cut_lock = StoreLock(locks, CUTTING)
        self.sequence: i64 = 0
        self.durable_sequence: i64 = 0
        self.address: i64 = 0  # of the last commit record
        self.end: i64 = FIRST_ADDRESS
        self.durable_tail: i64 = FIRST_ADDRESS
        self.records_before: i64 = 0  # appended up to and with the last commit record
        self.records_durable: i64 = 0  # as that, of the last commit that is durable
        self.begin_wanted: i64 = 0
        self.unlogged = False  # the next commit has to say something that no record since the last one says
        self.cut_serials: dict[str, int] = {}

    def cut(self) -> i64:
        """Append a commit record and make everything up to it read-only, in one instant.

        Returns its address; 0 where something was written meanwhile; < 0, its size, where there is no room for it.
        """
        table = self.table
        log = self.log
        record = CommitRecord()
        record.log.sequence = self.sequence + 1
        record.log.durable_sequence = self.durable_sequence
        record.log.begin = max(log.begin, self.begin_wanted)
        record.log.records = log.records - self.records_before
        record.log.time_ns = i64(int(table.clock() * NANOSECONDS))
        record.table.count = table.count
        record.table.pending = table.pending.count()
        record.table.live_bytes = table.live_bytes
        serials = self.serials.now()
        record.serials = self.serials.to_keep(serials)
        value = encode(record)
        if record.log.records != log.records - self.records_before or record.table.count != table.count:
            return 0  # a finalizer, run by the garbage collector, or the clock wrote
        address = append_record(log, b"", value, pack_info(self.address, False, False), 0)
        if address < 0:
            return address
        mark_as_commit(log, address)
        log.freeze()
        self.sequence = record.log.sequence
        self.address = address
        self.end = log.tail
        self.records_before = log.records
        self.unlogged = False
        self.cut_serials = serials
        return address

    def commit(self) -> None:
        """Return when every operation that has returned so far is durable; PoisonedError where that cannot be."""
        if self.log.memory_only or (self.durable_tail >= self.log.tail and not self.unlogged):
            return
        wanted = self.log.tail
        with self.lock:
            if self.durable_tail < wanted or self.unlogged:
                self.commit_now()

    def commit_now(self) -> None:
        """Cut, seal, flush and sync one commit; the caller holds the lock."""
        log = self.log
        log.life.check_not_poisoned()
        with self.cut_lock:  # not in the middle of a batch
            while True:
                address = self.cut()
                if address > 0:
                    break
                if address < 0:
                    flush_for(log, room_for(-address, log.page_bytes))
        target = self.end
        records = self.records_before
        sequence = self.sequence
        serials = self.cut_serials
        seal_to(log, target)
        flush_to(log, target)
        self.sync_device(log)
        self.durable_tail = target
        self.records_durable = records
        self.durable_sequence = sequence
        self.serials.made_durable(serials)

    def sync_device(self, log: HybridLog) -> None:
        """Sync the device; a failure poisons the store, what a signal handler raised meanwhile does not."""
        try:
            log.device.sync()
        except OSError as failure:
            if came_from_handler(failure):
                raise
            log.life.poison_with(failure)
            log.life.blocked_write()

    def move_begin(self, until: i64) -> None:
        """Commit that the log begins at `until`, and give the space before it back once no reader is inside."""
        log = self.log
        with self.lock:
            self.begin_wanted = max(self.begin_wanted, until)  # the store may have been cleared meanwhile
            if not log.memory_only:
                self.commit_now()
            log.move_begin(until)
        log.epoch.bump(Truncation(log, until).delete)

    def forget_all(self) -> None:
        """Let the table be empty from the next commit on; the log's records are dead."""
        with self.lock, self.cut_lock:  # not in the middle of a batch
            self.table.forget_all()
            self.begin_wanted = self.log.tail
            self.unlogged = True
            self.table.maintainer.cleared()


@final
class Truncation:
    """The deletion of segments that end before an address, for the epoch to run."""

    def __init__(self, log: HybridLog, until: i64) -> None:
        self.log = log
        self.until: i64 = until

    def delete(self) -> None:
        """Delete them; a failure leaves files behind that the next opening passes over."""
        try:
            self.log.device.truncate_before(self.until)
        except OSError as failure:
            if came_from_handler(failure):
                raise
            self.log.life.poison_with(failure)
