"""The log below a queue: a log whose directory says that it is a queue's, so that neither is opened as the other."""

from collections.abc import Callable
from typing import final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.coder import ENTRIES, plain
from oxidbm._core.durability.commit_record import COMMIT_SHAPE, decode
from oxidbm._core.durability.superblock import A_QUEUE, Kind
from oxidbm._core.errors import CorruptionError
from oxidbm._core.faster_log.batch import PAGES_SPARE
from oxidbm._core.faster_log.commits import BeforeCommit
from oxidbm._core.faster_log.entry import entry_bytes
from oxidbm._core.faster_log.follow import LogFollower
from oxidbm._core.faster_log.handle import Owner
from oxidbm._core.faster_log.log import Log
from oxidbm._core.faster_log.scan import EntryIterator
from oxidbm._core.life import OPEN, WRITABLE
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.room import Room, room_for
from oxidbm._core.queue.entries import NOTE, NOTES


@final
class BeforeQueueCommit(BeforeCommit):
    """Has the queue append what it has to say before a commit."""

    def __init__(self, wanted: Callable[[], bool], note: Callable[[], None]) -> None:
        super().__init__()
        self.wanted = wanted
        self.note = note

    def pending(self) -> bool:
        """Return whether the queue has something to say."""
        return self.wanted()

    def run(self) -> None:
        """Have it be said."""
        self.note()


@final
class QueueLog(Log):
    """A log as `oxidbm.queue` opens it; its entries are described there."""

    kind: Kind = A_QUEUE

    def on_disk(self, follower: LogFollower) -> bool:
        """Return whether the next entry has to be read from the device, which may take its time."""
        return follower.entries.cursor.following < self.log.head

    def add(self, entry: bytes, waits: bool) -> tuple[int, BaseException | None]:
        """Append an entry; return its address, or -1 where it is not to wait and there is no room now.

        And what a signal's handler raised, or failed, when it was there already: so whoever counts entries can.
        """
        log = self.log
        if self.life.writable != WRITABLE or self.life.state != OPEN:
            self.life.blocked_write()
        address = self.commits.append(entry)
        while address < 0:
            room = room_for(-address, log.page_bytes)
            if waits:
                self.life.check_not_poisoned()
                self.life.check_open()
                self.writer().make_room(room)
                _breath.breathe()
            elif not log.prepare(room):
                self.writer().ask_for_room()
                return -1, None
            address = self.commits.append(entry)
        failure: BaseException | None = None
        if log.due:
            try:
                self.step()
            except BaseException as stop:
                failure = stop
        return int(address), failure

    def add_noted(self, entry: bytes, due_ns: int) -> int:
        """Append an item, and a note that it waits, with no commit between them; -1 where there is no room now."""
        if self.life.writable != WRITABLE or self.life.state != OPEN:
            self.life.blocked_write()
        with self.commits.cut_lock:
            try:
                if not self.log.prepare(self.room_with_note(entry)):
                    return -1
                address = self.commits.append(entry)
                if address < 0:
                    return -1
                noted = self.commits.append(NOTES + NOTE.pack(int(address), due_ns, 0))
                assert noted > 0  # there are frames for both
            finally:
                self.log.frames.drop_runs()
        return int(address)

    def room_with_note(self, entry: bytes) -> Room:
        """Return the room that an item and a note take."""
        room = Room(PAGES_SPARE, [])
        at: i64 = self.log.tail & self.log.offset_mask
        at = room.add(entry_bytes(i64(len(entry))), at, self.log.page_bytes)
        room.add(entry_bytes(i64(len(NOTES) + NOTE.size)), at, self.log.page_bytes)
        return room

    def wait_for_room(self, entry: bytes) -> None:
        """Have room be made for an item and a note."""
        self.life.check_not_poisoned()
        self.life.check_open()
        self.writer().make_room(self.room_with_note(entry))
        _breath.breathe()

    def walk(self, begin: int, noted: list[str]) -> tuple[EntryIterator, int, int]:
        """Return an iterator over all entries from one on, as bytes, the number that follows, and the address up to it.

        It passes over what is damaged, and notes the faults.
        """
        self.life.check_open()
        commits = self.commits
        stop: i64 = commits.durable_tail if self.read_only else self.log.tail
        following = commits.following  # already: what follows reads the device, and others append meanwhile
        entries = EntryIterator(commits, plain(ENTRIES), max(i64(begin), commits.begin), stop, True, self)
        entries.noted = noted
        return entries, int(following), int(stop)

    def cursor(self, begin: int, noted: list[str]) -> LogFollower:
        """Return a follower of all entries at or behind an address, which passes over damage as `walk` does."""
        follower = LogFollower(
            self.commits, plain(ENTRIES), max(i64(begin), self.commits.begin), None, True, True, None, self, False
        )
        follower.entries.noted = noted
        return follower

    def first_number(self) -> int:
        """Return the number of the log's first entry."""
        return int(self.commits.first)

    def next_number(self) -> int:
        """Return the number of the entry that will come next."""
        return int(self.commits.following)

    def commit_time(self, address: int) -> float:
        """Return when the first commit behind an entry was cut, in seconds since 1970; 0 where there is none yet.

        Where what stands before that one is damaged, the last commit has to do.
        """
        self.log.use.begin()
        slot = self.log.epoch.protect()
        try:
            cursor = Cursor(self.log, i64(address), self.commits.durable_tail)
            while cursor.step():
                if cursor.shape == COMMIT_SHAPE:
                    return int(decode(cursor.value()).log.time_ns) / 1e9
        except (CorruptionError, ValueError):
            return int(self.commits.time_ns) / 1e9
        finally:
            self.log.epoch.release(slot)
            self.log.use.end()
        return 0.0

    def belong_to(self, owner: Owner, wanted: Callable[[], bool] | None, note: Callable[[], None]) -> None:
        """Have the queue say something before the end, and before commits, where it wants to.

        The log is open from then on until it is closed: all of this holds the log, and what is open holds all of this.
        """
        self.handle.owner = owner
        if wanted is not None:
            self.commits.before = BeforeQueueCommit(wanted, note)

    def start_rhythm(self) -> None:
        """Have the thread run that commits at the interval, also where nothing was appended yet."""
        self.writer().call()
