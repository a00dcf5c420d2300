"""Replay: one pass over the log that does to an index what its records did, and checks each commit record.

Every record is verified. A record that was appended with its key's previous record known (`unverified` not set)
replaces the index entry that leads to previous_address, so replay compares no keys; for the few others, and in mixed
chains, keys are compared. But not where it goes on from an image, in a log that may be long and cold: there it does no
more than was done when the record was written, and the last commit says what came of it. A commit record counts when
its checksum holds, it follows the one before it, and as many records stand between the two as it says. What session
records say counts with the commit record behind them.
"""

from typing import Final, final

from librt.strings import read_i64_le
from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import ADDRESS_MASK, ADDRESS_MAX, FIRST_ADDRESS, with_sign
from oxidbm._core.durability.commit_record import COMMIT_SHAPE, CommitRecord, decode
from oxidbm._core.durability.serials import SessionState
from oxidbm._core.durability.session_record import decode_session
from oxidbm._core.durability.unsettled import Unsettled
from oxidbm._core.errors import CorruptionError, alone
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.entry import NO_ENTRY, address_of, is_mixed
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.reader import key_of, record_at
from oxidbm._core.log.record import (
    INFO_VERSION,
    SHAPE_COMMIT,
    SHAPE_EXPIRY,
    SHAPE_UNINDEXED,
    TOMBSTONE,
    previous_address,
)
from oxidbm._core.table.advice import tell
from oxidbm._core.table.pending import WAS_PLAIN
from oxidbm._core.table.table import Table

SLICE_RECORDS: Final = 512
CHAINS_MAX: Final = 4096


@final
class Replay:
    """One pass over the log, from its first record on, or from the end of a commit whose state the index has."""

    def __init__(self, table: Table, stop: i64) -> None:
        self.table = table
        self.log = table.log
        self.start: i64 = max(table.log.device.begin(), i64(FIRST_ADDRESS))
        self.begin: i64 = self.start  # of the log, as the index knows it
        self.cursor = Cursor(table.log, self.start, stop)
        self.cursor.gives_back = False  # whoever opens a store reads what it has
        self.told: i64 = -1  # where the piece of the log began of which the device was told
        self.count: i64 = 0
        self.records: i64 = 0
        self.mixed = False  # an entry of the index is, or was
        self.last: CommitRecord | None = None
        self.last_address: i64 = 0
        self.last_end: i64 = self.cursor.following
        self.chains = Chains(table, self.cursor.following)
        self.stated: list[SessionState] = []  # since the last commit
        self.sessions: dict[str, SessionState] = {}
        self.fault: CorruptionError | None = None
        self.page: i64 = -1
        self.pages: vec[i64] = vec[i64]()
        self.page_ends: vec[i64] = vec[i64]()
        self.total: i64 = 0  # records
        self.live_bytes: i64 = 0  # as the next one
        self.settles = True  # what a record replaced is looked at
        self.unsettled = Unsettled(table.pending.most)  # where it is
        self.pending: vec[i64] = vec[i64]()  # at the commit that it went on from, and where nothing is looked at, since
        self.unsure: i64 = 0  # records of which that many more keys than `count` may have come, besides pending ones
        self.inside = False  # begun where no commit ends, and come to none
        self.begun_empty = False  # good only for a commit at which all that stands before is gone

    def go_on_from(self, record: CommitRecord, address: i64, end: i64, sessions: list[SessionState]) -> None:
        """Begin behind a commit, whose state the index has and whose sessions these are."""
        self.begin = max(record.log.begin, i64(FIRST_ADDRESS))
        self.start = self.cursor.following = end
        self.last = record
        self.last_address = address
        self.last_end = end
        self.mixed = True  # an entry may be
        self.chains = Chains(self.table, self.begin)
        for state in sessions:
            self.sessions[state.name] = state

    def go_on_empty(self, record: CommitRecord, address: i64, end: i64, sessions: list[SessionState]) -> None:
        """Begin behind a commit whose records are all gone at the one to come, as if the log began there."""
        self.go_on_from(record, address, end, sessions)
        self.begin = end
        self.chains = Chains(self.table, end)
        self.begun_empty = True

    def go_on_inside(self, record: CommitRecord, previous: i64, start: i64, sessions: list[SessionState]) -> None:
        """As `go_on_from`, behind what a snapshot's commit record counted, which has no place in the log itself.

        `previous` is where the log's own commit before it stands.
        """
        counted = record.log.records
        record.log.sequence -= 1  # the log's own is that one or an earlier one, and the next one is a later one
        self.go_on_from(record, previous, start, sessions)
        self.records = counted
        self.inside = True

    def bury(self, address: i64) -> None:
        """Do to the index what deleting a record where it stands did; CorruptionError where none was deleted there."""
        found = record_at(self.log, address)
        index = self.table.index
        key_hash = hash_key(key_of(self.log, found), self.table.seed)
        entry = index.holds(key_hash, address, ADDRESS_MAX)
        if not found.tombstone() or entry == 0:
            raise CorruptionError(
                f"{self.log.device.place(address)}: the record at address {address} was to be one that was deleted"
            )
        if not is_mixed(entry):
            index.replace(key_hash, entry, NO_ENTRY)
        self.count -= 1
        self.live_bytes -= self.log.footprint(found.size())

    def read_all(self) -> None:
        """Replay until the range ends or something does not verify, which `fault` then says."""
        bits = self.log.page_bits
        cursor = self.cursor
        left: i64 = SLICE_RECORDS
        RUNNING.append(self)
        try:
            while cursor.step():
                if self.settles and cursor.chunk_start != self.told:
                    self.tell_ahead()
                if cursor.address >> bits != self.page:
                    self.page = cursor.address >> bits
                    self.pages = append(self.pages, cursor.address)
                    self.page_ends = append(self.page_ends, cursor.address)
                self.page_ends[len(self.page_ends) - 1] = cursor.address + cursor.size()
                if cursor.shape & SHAPE_UNINDEXED == 0:
                    self.apply()
                    self.records += 1
                elif cursor.shape & SHAPE_COMMIT:
                    self.take_commit()
                else:
                    self.take_session()
                    self.records += 1
                self.total += 1
                left -= 1
                if left == 0:
                    left = SLICE_RECORDS
                    _breath.breathe()
        except CorruptionError as failure:
            self.fault = failure
        except (ArithmeticError, LookupError, TypeError, ValueError) as unknown:  # a fault that no check knows yet
            if came_from_handler(unknown):
                raise
            place = self.log.device.place(cursor.address)
            raise CorruptionError(
                f"{place}: replaying the record at address {cursor.address} failed: {unknown!r}. Restore the store "
                "from a copy"
            ) from unknown
        finally:
            RUNNING.remove(self)

    def tell_ahead(self) -> None:
        """Tell the device which records those of a new piece will be compared with: what unverified ones lead to.

        A blind write did not look; replay does, one read after the other, if nobody tells what is to come.
        """
        cursor = self.cursor
        self.told = cursor.chunk_start
        at = cursor.ahead(cursor.address - cursor.chunk_start)
        while at >= 0:
            info = read_i64_le(cursor.chunk, at)
            if info < 0 and not tell(self.log, previous_address(info)):
                return
            at = cursor.ahead_behind(at)

    def look_on(self, stop: i64) -> bool:
        """See how far what stands behind the range verifies, which `fault` says; False where it has a commit."""
        cursor = self.cursor
        cursor.go_on_to(stop)
        left: i64 = SLICE_RECORDS
        RUNNING.append(self)
        try:
            while cursor.step():
                if cursor.shape & SHAPE_COMMIT:
                    return False
                left -= 1
                if left == 0:
                    left = SLICE_RECORDS
                    _breath.breathe()
        except CorruptionError as failure:
            self.fault = failure
        finally:
            RUNNING.remove(self)
        return True

    def take_commit(self) -> None:
        """Check a commit record and take it as the last one."""
        cursor = self.cursor
        place = self.log.device.place(cursor.address)
        if cursor.shape != COMMIT_SHAPE or cursor.info & ~ADDRESS_MASK != INFO_VERSION:
            raise CorruptionError(f"{place}: a commit record whose header is not that of one")
        try:
            record = decode(cursor.value())
        except ValueError as failure:
            raise alone(CorruptionError(f"{place}: {failure}")) from None
        previous = previous_address(cursor.info)
        start = self.begin  # records that commits passed by since then were deleted with their segments
        sequence = record.log.sequence
        if self.last is not None:
            if previous != self.last_address or sequence <= self.last.log.sequence:
                raise CorruptionError(
                    f"{place}: commit {sequence} follows the one at address {previous}, not commit "
                    f"{self.last.log.sequence} at {self.last_address}"
                )
            if record.log.records != self.records:
                raise CorruptionError(
                    f"{place}: {self.records} records stand before commit {sequence}, "
                    f"which counted {record.log.records}"
                )
        elif previous >= start or (previous == 0 and start == FIRST_ADDRESS and record.log.records != self.records):
            raise CorruptionError(f"{place}: the records before commit {sequence} are not all there")
        self.last = record
        self.last_address = cursor.address
        self.last_end = cursor.following
        self.records = 0
        self.inside = False
        for state in self.stated:
            if not state.forgotten:
                self.sessions[state.name] = state
            elif state.name in self.sessions:
                del self.sessions[state.name]
        self.stated = []

    def take_session(self) -> None:
        """Check a session record and keep what it says for the commit that follows."""
        cursor = self.cursor
        try:
            state = decode_session(cursor.address, cursor.info, cursor.shape, cursor.key(), cursor.value())
            self.stated.append(state)
        except ValueError as failure:
            place = self.log.device.place(self.cursor.address)
            raise alone(CorruptionError(f"{place}: {failure}")) from None

    def apply(self) -> None:
        """Do to the index what the current record did."""
        table = self.table
        index = table.index
        cursor = self.cursor
        address = cursor.address
        key = cursor.key()
        key_hash = hash_key(key, table.seed)
        if cursor.shape & SHAPE_EXPIRY:
            self.log.expiring = True
        previous = previous_address(cursor.info)
        tombstone = cursor.info & TOMBSTONE != 0
        fresh: i64 = 0
        if not tombstone:
            fresh = index.entry_for(key_hash, address)
        if previous != 0:
            if cursor.info >= 0 and index.replace(key_hash, index.entry_for(key_hash, previous), fresh):
                self.count -= 1 if tombstone else 0
                return
            entry = index.holds(key_hash, previous, ADDRESS_MAX)
            if entry != 0 and address_of(entry) == previous:
                if cursor.info < 0 and self.mixed:
                    self.leave_chains(key, key_hash, entry)
                if self.settles:
                    self.apply_to_chain(key, key_hash, entry, tombstone)
                else:
                    self.lead_chain(key_hash, entry, tombstone)
                return
        if not tombstone:
            if self.mixed and index.holds(key_hash, 0, ADDRESS_MAX) != 0:
                self.leave_chains(key, key_hash, NO_ENTRY)
            if cursor.info < 0:  # its chain goes on with other keys, be they dead
                fresh = with_sign(fresh)
                self.mixed = True
            index.insert(key_hash, fresh)
        if self.settles or cursor.info >= 0:
            self.count += 0 if tombstone else 1
            if cursor.info < 0:
                self.unsettled.add(self.log.footprint(cursor.size()), 0)
        else:
            self.note_pending(False, tombstone)  # in front of a tombstone, which leave_chains took the entry of

    def leave_chains(self, key: bytes, key_hash: i64, into: i64) -> None:
        """Do what was done to a mixed entry whose chain holds `key`, which got an entry of its own, or came `into` one.

        No record says so. A compaction under way, at a tombstone that all had passed by, dropped the entry; at the last
        live record, which it copied, it let the entry lead to that key alone. Settling found that the entry led to one
        key, whose tombstone then took it away. Where more than the chain's head is live the store was cleared instead,
        and the next commit's begin takes the entry away.
        """
        index = self.table.index
        for entry in index.matching(key_hash):
            if is_mixed(entry) and entry != into:
                chain = self.chains.of(entry)
                if chain.holds_any(key) and not chain.live_below_head():
                    head = address_of(entry)
                    index.replace(key_hash, entry, index.entry_for(key_hash, head) if chain.head_lives() else NO_ENTRY)

    def lead_chain(self, key_hash: i64, entry: i64, tombstone: bool) -> None:
        """Do what the current record did to an entry whose chain may hold other keys, and did without reading it."""
        cursor = self.cursor
        self.table.index.replace(key_hash, entry, with_sign(self.table.index.entry_for(key_hash, cursor.address)))
        if cursor.info < 0:
            self.note_pending(not is_mixed(entry), tombstone)
            return
        self.unsure += 1  # it may have come behind a tombstone of its key
        if tombstone:
            self.count -= 1

    def note_pending(self, was_plain: bool, tombstone: bool) -> None:
        """Note the current record, which is unverified, as one that was pending, and deleted where it stands or not."""
        self.pending = append(self.pending, self.cursor.address | (WAS_PLAIN if was_plain else 0))
        if tombstone:
            self.count -= 1

    def apply_to_chain(self, key: bytes, key_hash: i64, entry: i64, tombstone: bool) -> None:
        """Do what the current record did to an entry whose chain may hold other keys.

        The entry stays one for the whole chain, as it was while the store was written, and as long as another key has a
        record there, a dead one too: were the keys given entries of their own, a key's old record would be left in the
        chain of another key's entry, to be found there later.
        """
        index = self.table.index
        chain = self.chains.of(entry)
        was_live = chain.holds(key)
        shared = chain.holds_besides(key)
        self.count -= 1 if was_live else 0
        if self.cursor.info < 0:
            replaced = self.log.footprint(i64(chain.sizes[key])) if was_live else i64(0)
            self.unsettled.add(self.log.footprint(self.cursor.size()), replaced)
        fresh: i64 = 0
        if shared or not tombstone:
            fresh = index.entry_for(key_hash, self.cursor.address)
        if shared:
            fresh = with_sign(fresh)
            self.mixed = True
            self.chains.lead(chain, entry, self.cursor, key)
        index.replace(key_hash, entry, fresh)
        self.count += 0 if tombstone else 1


RUNNING: Final[list[Replay]] = []


def replaying() -> tuple[int, int] | None:
    """Return how many bytes the replay that began last in this process has read, and of how many; None for none.

    It asks, and a replay says nothing: that costs the loop over the records nothing.
    """
    running = list(RUNNING)
    if not running:
        return None
    replay = running[-1]
    return int(replay.cursor.following - replay.start), int(replay.cursor.stop - replay.start)


@final
class Chains:
    """The chains of mixed entries that were read last, by the address of their head.

    A chain holds every version of its keys. Were it read anew for each record, from the newest down to the first one of
    another key, a thousand updates of one key would cost half a million reads.
    """

    def __init__(self, table: Table, start: i64) -> None:
        self.table = table
        self.start: i64 = start
        self.kept: dict[int, Chain] = {}

    def of(self, entry: i64) -> "Chain":
        """Return the chain of an entry."""
        if not is_mixed(entry):
            return Chain(self.table, entry, self.start)
        head = int(address_of(entry))
        chain = self.kept.get(head)
        if chain is None:
            chain = Chain(self.table, entry, self.start)
            self.keep(head, chain)
        return chain

    def lead(self, chain: "Chain", entry: i64, cursor: Cursor, key: bytes) -> None:
        """Take note that the chain of an entry is led by the current record from now on, and its entry mixed.

        What is read of a plain entry is not all of what is below it.
        """
        if chain.mixed:
            self.kept.pop(int(address_of(entry)), None)
            chain.lead(cursor, key)
            self.keep(int(cursor.address), chain)

    def keep(self, head: int, chain: "Chain") -> None:
        """Keep a chain; the one that was not used for longest goes where there are too many."""
        if len(self.kept) >= CHAINS_MAX:
            del self.kept[next(iter(self.kept))]
        self.kept[head] = chain


@final
class Chain:
    """The keys that one index entry leads to and whether each is live, read from the newest on as far as is asked."""

    def __init__(self, table: Table, entry: i64, start: i64) -> None:
        self.log = table.log
        self.start: i64 = start
        self.mixed = is_mixed(entry)
        self.following: i64 = address_of(entry)
        self.head = b""  # its key
        self.live: dict[bytes, bool] = {}
        self.newest: dict[bytes, int] = {}  # the address of each key's newest record
        self.sizes: dict[bytes, int] = {}  # its size, as far as it was read

    def step(self) -> bool:
        """Read one more record; False at the end."""
        if self.following < self.start:
            return False
        address = self.following
        found = record_at(self.log, address)
        self.following = previous_address(found.info) if self.mixed else 0  # a plain entry leads to one key
        key = key_of(self.log, found)
        if not self.live:
            self.head = key
        if key not in self.live:
            self.live[key] = not found.tombstone()
            self.newest[key] = int(address)
            self.sizes[key] = int(found.size())
        return True

    def lead(self, cursor: Cursor, key: bytes) -> None:
        """Have the current record stand before those that were read."""
        self.head = key
        self.live[key] = cursor.info & TOMBSTONE == 0
        self.newest[key] = int(cursor.address)
        self.sizes[key] = int(cursor.size())

    def holds(self, key: bytes) -> bool:
        """Return whether the chain's newest record of `key` gives it a value."""
        return self.holds_any(key) and self.live[key]

    def holds_any(self, key: bytes) -> bool:
        """Return whether the chain has a record of `key`, be it a tombstone."""
        while key not in self.live:
            if not self.step():
                return False
        return True

    def holds_besides(self, key: bytes) -> bool:
        """Return whether the chain has a record of another key than `key`, be it a tombstone."""
        while len(self.live) == (1 if key in self.live else 0):
            if not self.step():
                return False
        return True

    def head_lives(self) -> bool:
        """Return whether the chain's first record gives its key a value."""
        return self.holds(self.head)

    def live_below_head(self) -> bool:
        """Return whether another key than that of the chain's first record has a value."""
        return self.count() > (1 if self.head_lives() else 0)

    def count(self) -> i64:
        """Return how many keys have a value in the chain."""
        while self.step():
            pass
        count: i64 = 0
        for alive in self.live.values():
            count += 1 if alive else 0
        return count
