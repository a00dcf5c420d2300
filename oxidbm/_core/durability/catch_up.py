"""Catching up: a table that is opened to read only moves to a newer commit, at a cost in proportion to what is new.

What a writer has appended since is replayed on a small index, into which the entries of the keys concerned are copied
first; what has changed there is then carried out in the table's index, behind the gate, with nothing left to do that
could fail. So 1. every operation sees the one commit or the other, and a reading that comes to nothing has changed
nothing; 2. walks that are under way keep the index that they began with, of which the table gets a copy; 3. what a walk
or a read may still want of the log stays open until it has left the epoch.

Far behind, it goes from commit to commit: what a step holds in memory is in proportion to what its commits changed.
"""

from typing import Final, final

from librt.strings import read_i64_le
from librt.vecs import append, vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import power_of_two
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES, CommitRecord
from oxidbm._core.durability.recovery import purge_below
from oxidbm._core.durability.replay import SLICE_RECORDS, Chain, Replay
from oxidbm._core.durability.serials import SessionState, forgotten
from oxidbm._core.durability.torn_tail import later_durable_commit
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import hash_key
from oxidbm._core.index.copying import copy_of, entries_below
from oxidbm._core.index.entry import NO_ENTRY, TAG_BITS, address_of, is_mixed, tag_in
from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.log.ahead import forget_ahead, go_on, take_ahead
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import log_to_read, read_or_nothing
from oxidbm._core.log.record import SHAPE_COMMIT, SHAPE_UNINDEXED
from oxidbm._core.table.advice import AHEAD, tell
from oxidbm._core.table.settle import settle
from oxidbm._core.table.table import Table

NOTHING: Final = 0  # there is no newer commit
MOVED: Final = 1
LOST: Final = 2  # there is one, to which what is here does not lead

SETTLED_MAX: Final = 4096  # records that a step may settle; with more of them the store is opened anew
KEYS_MAX: Final = 262144  # places of the index that a step has changed when it ends with the next commit
ATTEMPTS_MAX: Final = 100


class Ground:
    """What a reader stands on: the files of a store that others may recover, replace or remove."""

    def same(self) -> bool:
        """Return whether it is the store that was opened, and nothing was cut off its log since."""
        raise NotImplementedError

    def newer_snapshot(self, sequence: i64) -> bool:
        """Return whether there is a snapshot of a later commit than that, which the log does not lead to."""
        raise NotImplementedError

    def has_checkpoint(self, token: str) -> bool:
        """Return whether there is the checkpoint of a token."""
        raise NotImplementedError

    def begin_anew(self) -> bool:
        """Open the store anew, at its newest commit; False where that is the one that was seen before."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Close the reader, since what it holds is neither the one commit nor the other."""
        raise NotImplementedError


def commit_end(commits: Commits) -> i64:
    """Return where the commit that the table stands at ends; where the log begins before the first one."""
    return commits.address + COMMIT_RECORD_BYTES if commits.sequence > 0 else commits.log.tail


def anything_new(commits: Commits) -> bool:
    """Return whether something stands behind the last commit: there, or else where the next page starts."""
    log = commits.log
    end = commit_end(commits)
    behind = log.next_page(end)
    if begins_at(log, end) or begins_at(log, behind):
        return True
    return len(read_or_nothing(log, behind, 8)) < 8 and log.device.end() > behind  # a segment between is gone


def begins_at(log: HybridLog, address: i64) -> bool:
    """Return whether the device has something else than zeros at an address."""
    data = read_or_nothing(log, address, 8)
    return len(data) == 8 and read_i64_le(data, 0) != 0


def catch_up(commits: Commits, stop: i64, ground: Ground) -> i64:
    """Take one step to a newer commit that ends at or before `stop`: NOTHING, MOVED or LOST."""
    if commits.sequence == 0:
        return LOST  # replayed from its beginning the log needs no small index
    step = CatchUp(commits, stop)
    if not step.find_commit():
        if step.replay.fault is None:
            return NOTHING
        # what does not verify is being written now, or what lies between is gone
        if not later_durable_commit(step.reading, commit_end(commits), commits.sequence - 1):
            return NOTHING
        step = CatchUp(commits, stop)
        if not step.find_commit():
            return LOST
    if not step.prepare():
        return LOST
    return step.move(ground)


@final
class CatchUp:
    """One step to a newer commit."""

    def __init__(self, commits: Commits, stop: i64) -> None:
        self.commits = commits
        self.table = commits.table
        log = commits.log
        self.log = log
        self.reading = log_to_read(log.device, log.life.path, log.page_bits, log.checksum_key, log.begin)
        self.class_mask: i64 = power_of_two(self.table.index.tag_base + TAG_BITS) - 1
        self.begin: i64 = log.begin
        self.all_gone = False  # what stands before the new commits
        self.live_bytes: i64 = 0
        self.live_bytes_before: i64 = 0
        self.count_before: i64 = 0
        self.pending: i64 = 0  # of the table, when it was counted
        self.drops_pending = False
        self.below = vec[i64]()  # pairs of a bucket and an entry that leads below the new begin
        self.changes = vec[i64]()  # triples of a key's hash, an entry, and the one in its place
        self.begin_reading(stop)

    def begin_reading(self, stop: i64) -> None:
        """Stand at the table's commit, with nothing read yet."""
        commits = self.commits
        table = self.table
        self.small = Table(self.reading, HashIndex(0, self.reading.budget), table.seed, table.clock)
        self.replay = Replay(self.small, stop)
        record = CommitRecord()
        record.log.sequence = commits.sequence
        record.log.begin = self.log.begin
        self.replay.go_on_from(record, commits.address, commit_end(commits), [])
        self.replay.count = self.count_before = table.count
        self.pending = table.pending.count()
        self.places: dict[int, None] = {}
        self.hashes = vec[i64]()  # one for each of the places
        self.keys: list[bytes] = []  # for the watchers
        self.sessions: dict[str, SessionState] = {}
        self.pages = vec[i64]()
        self.ends = vec[i64]()

    def find_commit(self) -> bool:
        """Replay what is new up to its last commit; False where there is none."""
        self.read()
        last = self.replay.last_address
        if last == self.commits.address:
            return False
        if self.replay.cursor.address >= self.replay.last_end:  # what it is to end with is known now
            self.begin_reading(self.replay.last_end)
            self.read()
        return self.replay.last_address == last

    def read(self) -> None:
        """Replay until the log ends, does not verify, or a commit ends a step that is large enough."""
        replay = self.replay
        cursor = replay.cursor
        try:
            while cursor.step():
                self.note_page()
                if cursor.shape & SHAPE_UNINDEXED == 0:
                    self.copy_entries(cursor.key())
                    replay.apply()
                    replay.records += 1
                elif cursor.shape & SHAPE_COMMIT:
                    stated = replay.stated
                    replay.take_commit()
                    for state in stated:
                        self.sessions[state.name] = state
                    if len(self.hashes) >= KEYS_MAX:
                        return
                else:
                    replay.take_session()
                    replay.records += 1
                replay.total += 1
                if replay.total & (SLICE_RECORDS - 1) == 0:
                    _breath.breathe()
        except CorruptionError as failure:
            replay.fault = failure

    def note_page(self) -> None:
        """Note on which page the current record stands, and that its records reach so far."""
        cursor = self.replay.cursor
        page = cursor.address >> self.log.page_bits
        last: i64 = len(self.pages) - 1
        if last < 0 or self.pages[last] != page:
            self.pages = append(self.pages, page)
            self.ends = append(self.ends, page)
            last += 1
        self.ends[last] = cursor.address + cursor.size()

    def copy_entries(self, key: bytes) -> None:
        """Have the small index lead where the table's does for a key, and for those that it does not tell from it."""
        key_hash = hash_key(key, self.table.seed)
        place = int(key_hash & self.class_mask)
        if place not in self.places:
            self.places[place] = None
            self.hashes = append(self.hashes, key_hash)
            for entry in self.table.index.matching(key_hash):
                self.small.index.insert(key_hash, entry)
        if self.table.watchers:
            self.keys.append(key)

    def prepare(self) -> bool:
        """Find out all that moving needs; False where it does not agree with what the commit says."""
        replay = self.replay
        last = replay.last
        assert last is not None
        start = self.log.begin
        self.begin = max(start, last.log.begin)
        self.all_gone = self.begin >= commit_end(self.commits)
        if self.begin > start and not self.all_gone and not self.settled():
            return False
        if self.begin > start:
            replay.count -= purge_below(self.small, self.begin, start)
        if self.all_gone:
            replay.count = self.count_small()
        elif self.begin > start:
            self.find_below()
        exact = last.table.pending == 0 and last.table.live_bytes >= 0
        self.live_bytes = last.table.live_bytes if exact else self.count_live_bytes()
        self.find_changes()
        counted = last.table.count
        pending: i64 = 0 if self.all_gone else self.pending
        agrees = replay.count <= counted + last.table.pending and counted <= replay.count + pending
        if exact:
            replay.count = counted
        self.drops_pending = exact or self.all_gone
        return agrees and self.count_sessions() == last.sessions

    def settled(self) -> bool:
        """Settle what is pending, as what it replaced may go with what lies before the new begin; False for much."""
        if self.table.pending.count() > SETTLED_MAX:
            return False
        while not settle(self.table, SLICE_RECORDS):
            _breath.breathe()
        return True

    def count_small(self) -> i64:
        """Return how many keys the small index leads to."""
        index = self.small.index
        count: i64 = 0
        bucket: i64 = 0
        while bucket < index.buckets():
            for entry in index.entries_in(bucket):
                count += Chain(self.small, entry, self.begin).count() if is_mixed(entry) else 1
            bucket += 1
        return count

    def find_below(self) -> None:
        """Find the entries of the other places that lead below the new begin, and count what they lead to."""
        index = self.table.index
        low: i64 = power_of_two(index.tag_base) - 1
        found = entries_below(index, self.begin)
        i: i64 = 0
        while i < len(found):
            entry = found[i + 1]
            if int((tag_in(entry) << index.tag_base) | (found[i] & low)) not in self.places:
                self.below = append(self.below, found[i])
                self.below = append(self.below, entry)
                self.replay.count -= Chain(self.small, entry, self.log.begin).count() if is_mixed(entry) else 1
            i += 2

    def find_changes(self) -> None:
        """Find what of the table's index is another entry in the small one."""
        for key_hash in self.hashes:
            before = vec[i64]() if self.all_gone else self.table.index.matching(key_hash)
            after = self.small.index.matching(key_hash)
            gone = without(before, after)
            fresh = without(after, before)
            i: i64 = 0
            while i < len(gone) or i < len(fresh):
                self.changes = append(self.changes, key_hash)
                self.changes = append(self.changes, gone[i] if i < len(gone) else i64(NO_ENTRY))
                self.changes = append(self.changes, fresh[i] if i < len(fresh) else i64(NO_ENTRY))
                i += 1

    def count_live_bytes(self) -> i64:
        """Return the size of the live records, which a commit with pending records could not know."""
        self.live_bytes_before = self.table.live_bytes
        total: i64 = 0 if self.all_gone else self.live_bytes_before
        for place, key_hash in enumerate(self.hashes):
            if place % AHEAD == 0:
                self.tell_of_chains(place)
                _breath.breathe()
            if not self.all_gone:
                for entry in self.table.index.matching(key_hash):
                    total -= self.live_bytes_of(entry)
            for entry in self.small.index.matching(key_hash):
                total += self.live_bytes_of(entry)
        i: i64 = 1
        while i < len(self.below):
            total -= self.live_bytes_of(self.below[i])
            i += 2
        return total

    def live_bytes_of(self, entry: i64) -> i64:
        """Return the size of the live records that an entry leads to."""
        chain = Chain(self.small, entry, self.log.begin)
        chain.count()
        total: i64 = 0
        for key, size in chain.sizes.items():
            if chain.live[key]:
                total += self.log.footprint(i64(size))
        return total

    def tell_of_chains(self, place: i64) -> None:
        """Tell the device of the records that the next AHEAD keys lead to first, of which most may be on disk."""
        stop: i64 = min(place + AHEAD, i64(len(self.hashes)))
        while place < stop:
            for index in (self.table.index, self.small.index):
                for entry in index.matching(self.hashes[place]):
                    if not tell(self.reading, address_of(entry)):
                        return
            place += 1

    def count_sessions(self) -> i64:
        """Return how many sessions the new commit should count; what stands below begin says nothing any more."""
        serials = self.commits.serials
        if self.begin > self.log.begin:
            for known in serials.known.values():
                if 0 < known.address < self.begin and known.name not in self.sessions:
                    self.sessions[known.name] = forgotten(known.name)
        count = serials.stated
        for name, state in self.sessions.items():
            before = serials.known.get(name)
            count += 0 if state.forgotten else 1
            count -= 0 if before is None or before.address == 0 else 1
        return count

    def move(self, ground: Ground) -> i64:
        """Have the table stand at the new commit: MOVED, or LOST where what was read meanwhile may not be one log."""
        life = self.table.life
        interrupted: BaseException | None = None
        taken = take_ahead(self.log, self.pages, self.ends)
        moved = False
        try:
            if not ground.same():
                return LOST
            while not moved:
                fresh = self.index_to_change()
                with life.gate:
                    life.shut_gate()
                    try:
                        if fresh is not None or self.table.index.pins == 0:  # else a walk began meanwhile
                            moved = True
                            interrupted = self.carry_out(fresh, taken)
                    finally:
                        life.open_gate()
        except BaseException:
            if moved:
                ground.give_up()
            raise
        finally:
            if not moved:
                forget_ahead(self.log, self.pages)
        self.let_go()
        if interrupted is not None:
            raise interrupted
        return MOVED

    def index_to_change(self) -> HashIndex | None:
        """Return the index that the table is to have, None for its own."""
        if self.all_gone:
            return self.table.index.emptied()
        return copy_of(self.table.index) if self.table.index.pins > 0 else None

    def carry_out(self, fresh: HashIndex | None, taken: bool) -> BaseException | None:
        """Do it, behind the gate, whatever the signal handlers have to say, which is returned."""
        table = self.table
        commits = self.commits
        last = self.replay.last
        assert last is not None
        if fresh is not None:
            table.index = fresh
        i: i64 = 0
        while i < len(self.below) and not self.all_gone:
            table.index.replace_in(self.below[i], self.below[i + 1], NO_ENTRY)
            i += 2
        interrupted = self.change_index()
        go_on(self.log, self.begin, self.replay.last_end, self.pages, self.ends, taken)
        self.log.expiring = self.log.expiring or self.reading.expiring
        if self.drops_pending:
            table.count = self.replay.count
            table.live_bytes = self.live_bytes
            table.pending.drop()
        else:  # some of it may have been settled meanwhile
            table.count += self.replay.count - self.count_before
            table.live_bytes += self.live_bytes - self.live_bytes_before
        commits.sequence = commits.durable_sequence = last.log.sequence
        commits.logged = commits.logged_durable = last.log.sequence
        commits.address = self.replay.last_address
        commits.end = commits.durable_tail = self.log.tail
        self.take_sessions()
        if self.all_gone:
            for watcher in table.watchers:
                watcher.forgotten()
        elif table.watchers:
            for key in self.keys:
                table.tell(key)
        return interrupted

    def change_index(self) -> BaseException | None:
        """Carry out all changes; an exception that comes in between is returned, or raised where there is no end."""
        index = self.table.index
        interrupted: BaseException | None = None
        attempts: i64 = 0
        i: i64 = 0
        while i < len(self.changes):
            try:
                change(index, self.changes[i], self.changes[i + 1], self.changes[i + 2])
                i += 3
                if i & 4095 == 0:
                    _breath.breathe()
            except BaseException as stop:
                attempts += 1
                if attempts > ATTEMPTS_MAX:
                    raise
                interrupted = stop
        return interrupted

    def take_sessions(self) -> None:
        """Know the sessions as the new commit does."""
        commits = self.commits
        table = self.table
        for state in self.sessions.values():
            before = commits.serials.stated
            commits.serials.take_newer(state)
            table.session_bytes += (commits.serials.stated - before) * commits.session_footprint(state)

    def let_go(self) -> None:
        """Close what the new commit needs no more, as soon as nobody reads there."""
        log = self.log
        device = log.device
        if isinstance(device, FileDevice):
            log.epoch.bump(Passed(device, self.begin).close)
        log.trim()


@final
class Passed:
    """The segments that a log has passed by, for the epoch to have closed."""

    def __init__(self, device: FileDevice, until: i64) -> None:
        self.device = device
        self.until: i64 = until

    def close(self) -> None:
        """Close them."""
        self.device.see_from(self.until)


def without(entries: vec[i64], others: vec[i64]) -> vec[i64]:
    """Return those entries that are not among others."""
    found = vec[i64]()
    for entry in entries:
        if entry not in others:
            found = append(found, entry)
    return found


def change(index: HashIndex, key_hash: i64, old: i64, new: i64) -> None:
    """Put an entry in the place of another; done twice, it is done once."""
    if old != NO_ENTRY and index.replace(key_hash, old, new):
        return
    if new != NO_ENTRY and new not in index.matching(key_hash):
        index.insert(key_hash, new)
