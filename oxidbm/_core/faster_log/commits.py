"""The commits of a log that stands alone: how entries become durable, and what a commit says.

A commit is cut in one instant, as a store's is: a cookie record where there is a new cookie, and a commit record go to
the tail, which is frozen there, sealed, flushed and synced. Threads that wait together share one sync (see committer).
Invariants: 1. `durable_tail` moves only after a sync that returned; 2. a failed write or sync poisons the log;
3. `begin` is what readers see, and moves at once; the log itself, whose segments go, moves once a commit that says so
is durable.
"""

import time
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.durability.commit_record import CommitRecord, encode
from oxidbm._core.durability.committer import Committer
from oxidbm._core.durability.holds import Holds, Truncation
from oxidbm._core.durability.notices import Notice
from oxidbm._core.errors import MissingError
from oxidbm._core.faster_log.arguments import NUMBER_LAST
from oxidbm._core.faster_log.drain import Drains
from oxidbm._core.faster_log.entry import append_cookie, append_entry
from oxidbm._core.faster_log.position_file import PositionFile
from oxidbm._core.locks import CUTTING, StoreLock
from oxidbm._core.log.append import append_record, mark_as
from oxidbm._core.log.flush import flush_for, flush_to, seal_to
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import SHAPE_COMMIT, pack_info
from oxidbm._core.log.room import room_for

TIME_MAX_NS: Final = 4_600_000_000_000_000_000


class BeforeCommit:
    """Who is asked before a commit is cut; `failure` is what kept it from what it was to do."""

    def __init__(self) -> None:
        self.failure = ""

    def pending(self) -> bool:
        """Return whether there is something to commit though nothing was appended."""
        return False

    def by_itself(self) -> bool:
        """Return whether there may come to be something to do while nothing is appended."""
        return False

    def run(self) -> None:
        """Truncate what need not be kept any more, which the commit then says."""


@final
class EntryCommits(Committer):
    """The commits of one log, the number of the next entry, and what the next commit has to say."""

    def __init__(self, log: HybridLog) -> None:
        super().__init__(log)
        self.holds = Holds()
        self.cut_lock = StoreLock(log.life.locks, CUTTING)
        self.address: i64 = 0  # of the last commit record
        self.end: i64 = FIRST_ADDRESS  # behind it
        self.durable_tail: i64 = FIRST_ADDRESS
        self.known_durable: i64 = 0  # the last commit that is durable for sure, also where a writer is beside a reader
        self.records_before: i64 = 0  # appended up to and with the last commit record
        self.following: i64 = 0  # the number of the next entry
        self.begin: i64 = FIRST_ADDRESS  # of what may be read
        self.first: i64 = 0  # the number of the first entry from there on
        self.durable_begin: i64 = FIRST_ADDRESS  # as the last durable commit says
        self.cookie = b""  # of the last commit, and of the next one unless it gets another
        self.durable_cookie = b""
        self.cookie_address: i64 = 0  # of its record, 0 for none
        self.cookie_new = False
        self.cookie_gone = False  # of the commit that a log was opened at: it was before where the log begins now
        self.number_wanted: i64 = 0  # of the next commit, 0 for the next number
        self.unlogged = False  # the next commit has to say something that no record since the last one says
        self.time_ns: i64 = 0  # of the last commit
        self.before = BeforeCommit()
        self.positions: list[PositionFile] = []  # of the named readers that are open here
        self.appends: list[Notice] = []  # who is to be told of the next append
        self.drains = Drains(log)

    def start(self) -> i64:
        """Return the address before which nothing is: a first record that fills a page leaves the first page out."""
        return max(self.begin, self.log.begin)

    def length(self) -> i64:
        """Return how many entries there are."""
        return self.following - self.first

    def said_cookie(self) -> bytes:
        """Return the cookie of the last durable commit; MissingError where it was truncated."""
        if self.cookie_gone:
            raise MissingError(
                2,
                f"the cookie of commit {self.durable_sequence} was truncated with the entries before address "
                f"{self.begin}; a later commit may have the same one",
                self.log.life.path,
            )
        return self.durable_cookie

    def append(self, entry: bytes) -> i64:
        """Append and count the next entry; return its address, or its size, negated, where there is no room for it."""
        address = append_entry(self.log, entry, self.following)
        if address > 0:
            self.following += 1
        return address

    def all_durable(self) -> bool:
        """Return whether there is nothing of the log's own to commit."""
        return self.durable_tail >= self.log.tail and not self.unlogged

    def commit(self) -> None:
        """Return when every entry that was appended so far is durable; PoisonedError where that cannot be."""
        pending: bool = self.before.pending()
        if self.all_durable() and not pending:
            return
        fresh: bool = pending or self.unlogged or self.log.tail != self.end
        self.commit_until(self.sequence + 1 if fresh else self.sequence)

    def commit_alone(self, cookie: bytes | None, number: i64) -> i64:
        """Make a commit that is shared with nobody, with a cookie, or a number, of its own; return its number."""
        self.begin_turn()
        try:
            if number != 0 and number <= self.sequence:
                raise ValueError(
                    f"the log's last commit has the number {self.sequence}, and the next one a larger one, not {number}"
                )
            if cookie is not None:
                self.cookie = cookie
                self.cookie_new = True
            self.number_wanted = number
            self.commit_now()
            return self.sequence
        finally:
            self.number_wanted = 0
            self.end_turn()

    def commit_now(self) -> None:
        """Cut, seal, flush and sync one commit; the caller holds the lock."""
        log = self.log
        log.use.check_written_to()
        log.life.check_not_poisoned()
        self.before.run()
        with self.cut_lock:  # not in the middle of a batch
            if log.memory_only:
                self.cut_in_memory()
            else:
                self.cut_on_disk()
            target = self.end
            sequence = self.sequence
            begin = self.begin
            cookie = self.cookie
        if not log.memory_only:
            seal_to(log, target)
            flush_to(log, target)
            self.sync_device(log)
        self.durable_tail = target
        self.durable_sequence = self.known_durable = sequence
        self.durable_begin = begin
        self.durable_cookie = cookie
        self.give_back(begin)
        for position in self.positions.copy():
            position.sync()

    def next_number(self) -> i64:
        """Return the number of the next commit; ValueError where none is left."""
        if self.number_wanted != 0:
            return self.number_wanted
        if self.sequence >= NUMBER_LAST:
            raise ValueError(
                f"the last commit of {self.log.life.called()} has the number {self.sequence}, the largest there is, "
                "and no commit can come behind it. Copy the entries to a new log, and close(commit=False) this one"
            )
        return self.sequence + 1

    def cut_in_memory(self) -> None:
        """Take note that all there is is committed: there is nothing to write, and nothing that a crash would leave."""
        self.sequence = self.next_number()
        self.end = self.log.tail
        self.cookie_new = False
        self.unlogged = False
        self.time_ns = self.now_ns()

    def cut_on_disk(self) -> None:
        """Append a commit record, once there is room for it."""
        while True:
            address = self.cut()
            if address > 0:
                return
            if address < 0:
                flush_for(self.log, room_for(-address, self.log.page_bytes))

    def cut(self) -> i64:
        """Append the cookie's record, where that is due, and a commit record, and freeze the log up to there.

        Returns the commit record's address; 0 where something was appended meanwhile; < 0, a size, where there is no
        room for that.
        """
        log = self.log
        self.begin = self.start()
        record = CommitRecord()
        record.log.sequence = self.next_number()
        record.log.durable_sequence = self.durable_sequence
        record.log.begin = self.begin
        record.log.time_ns = self.now_ns()
        size = self.state_cookie()
        if size < 0:
            return size
        record.log.records = log.records - self.records_before
        record.table.count = self.following
        record.table.live_bytes = self.first
        record.table.pending = self.cookie_address
        value = encode(record)
        if log.records - self.records_before != record.log.records or self.begin != record.log.begin:
            return 0  # a finalizer, run by the garbage collector, appended or truncated
        address = append_record(log, b"", value, pack_info(self.address, False, False), 0)
        if address < 0:
            return address
        mark_as(log, address, SHAPE_COMMIT)
        log.freeze()
        self.sequence = record.log.sequence
        self.address = address
        self.end = log.tail
        self.records_before = log.records
        self.unlogged = False
        self.time_ns = record.log.time_ns
        return address

    def state_cookie(self) -> i64:
        """Append the cookie where no record says it, or that one will be gone; < 0, a size, where there is no room."""
        lost: bool = 0 < self.cookie_address < self.begin
        if not self.cookie_new and not lost:
            return 0
        if not self.cookie:
            self.cookie_address = 0
        else:
            address = append_cookie(self.log, self.cookie)
            if address < 0:
                return address
            self.cookie_address = address
        self.cookie_new = False
        return 0

    def release(self, ticket: int) -> None:
        """Give a hold back, and with it the space of the segments that nobody else needs."""
        self.holds.release(ticket)
        if self.log.life.can_write():
            self.log.epoch.bump(Truncation(self.log, self.holds, self.log.begin).delete)

    def close_positions(self) -> None:
        """Make durable what the named readers that are open here have done, and let others have them."""
        while self.positions:
            position = self.positions[-1]
            try:
                position.sync()
            finally:
                position.close()
                if self.positions and self.positions[-1] is position:
                    self.positions.pop()

    def tell_of_append(self) -> None:
        """Let those go on who wait for an append."""
        waiting = self.appends
        self.appends = []
        for notice in waiting:
            notice.tell(None)

    def now_ns(self) -> i64:
        """Return the time in nanoseconds since 1970: the nearest that files say where the clock is set beyond."""
        return i64(min(max(time.time_ns(), 0), TIME_MAX_NS))

    def move_begin(self, until: i64, first: i64) -> None:
        """Let readers see nothing before an address, at which the entry with that number stands, or is to stand.

        ClosedError where no commit can say so any more: the mark of a clean end has the number of entries.
        """
        if until > self.begin:
            if self.log.shut:
                self.log.life.check_open()
            self.begin = until
            self.first = first
            self.unlogged = True
            if self.log.memory_only:
                self.log.drop_pages(until)

    def give_back(self, begin: i64) -> None:
        """Give back the space before where a durable commit says that the log begins."""
        log = self.log
        page: i64 = begin & ~log.offset_mask
        if page > log.begin and not log.memory_only:
            log.move_begin(page)
            log.epoch.bump(Truncation(log, self.holds, page).delete)
