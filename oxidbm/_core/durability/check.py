"""check(): every invariant of an open store, every fault found as a sentence, nothing repaired.

Whatever index and log hold, it ends and does not raise: what cannot be walked safely is a fault, and is not walked.
Pages in memory are gone through first (see places), then the log from begin to tail, the index entries, the counters.
1. A damaged record is said once, not again for each entry or chain that leads to it. 2. What a fault makes uncertain is
not said: counters are compared only where nothing else was found. 3. What others append meanwhile (commits and the
copies of a compaction) is no fault; other threads should not write. It reads the whole log, so it costs what replay
costs; on top come the reads of mixed chains.
"""

from typing import Final, final

from librt.strings import read_i64_le
from librt.vecs import vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import ADDRESS_MASK, ADDRESS_MAX, FIRST_ADDRESS
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.commit_record import COMMIT_SHAPE
from oxidbm._core.durability.session_check import SessionCheck
from oxidbm._core.errors import CorruptionError
from oxidbm._core.hashing import MASK_62, hash_key
from oxidbm._core.index.entry import address_of, is_mixed
from oxidbm._core.index.faults import belongs, chain_faults, faults_of, is_in
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.places import DAMAGED, NO_RECORD, SOUND, Places
from oxidbm._core.log.reader import Record, key_of, read_or_nothing, record_at
from oxidbm._core.log.record import (
    HEADER_BYTES,
    INFO_VERSION,
    SHAPE_COMMIT,
    SHAPE_EXPIRY,
    SHAPE_TAG,
    SHAPE_UNINDEXED,
    TOMBSTONE,
    fault_of,
    key_length,
    key_word,
    previous_address,
    record_words,
    value_length,
    value_word,
)
from oxidbm._core.table.advice import tell
from oxidbm._core.table.settle import settle

SLICE: Final = 256
TELL_BUCKETS: Final = 16  # of up to seven entries: as many as are told ahead elsewhere
UNKNOWN: Final = -1


def check(commits: Commits) -> list[str]:
    """Return every fault found; an empty list when the store is sound."""
    epoch = commits.log.epoch
    slot = epoch.protect()  # what compaction passes meanwhile stays readable
    try:
        faults = Check(commits).check_all()
    finally:
        epoch.release(slot)
    commits.log.life.check_alive()  # what was closed meanwhile has faults without end
    return faults


@final
class Check:
    """One check of a store; the log's addresses and what they are compared with are taken in one instant."""

    def __init__(self, commits: Commits) -> None:
        log = commits.log
        self.log = log
        self.table = commits.table
        self.faults: list[str] = []
        self.begin: i64 = max(log.begin, i64(FIRST_ADDRESS))
        self.places = Places(log, self.faults)
        self.sessions = SessionCheck(commits.serials, self.begin)
        self.records_noted: i64 = log.records - commits.records_before
        self.sequence_noted: i64 = commits.logged
        self.address_noted: i64 = commits.address
        self.unlogged = commits.unlogged
        self.rewrites: i64 = log.rewrites
        self.walkable = True  # the index
        fresh = self.begin == FIRST_ADDRESS or commits.logged == 0  # nothing was there before begin
        self.records: i64 = 0 if fresh else UNKNOWN  # since the last commit record
        self.commit_address: i64 = 0
        self.commit_sequence: i64 = 0 if fresh else UNKNOWN
        self.commit_begin: i64 = 0
        self.commit_count: i64 = 0
        self.commit_pending: i64 = 0
        self.commit_live_bytes: i64 = 0
        self.commit_sessions: i64 = 0
        self.exact = True  # no recovery has left live bytes uncounted, see check_counters
        self.timeless = False
        self.live: i64 = 0
        self.live_bytes: i64 = 0

    def check_all(self) -> list[str]:
        """Check everything and return the faults."""
        log = self.log
        index = self.table.index
        if not log.begin <= log.head <= log.flushed <= log.sealed <= log.read_only <= log.tail:
            self.faults.append(
                f"log: the addresses are out of order: begin {log.begin}, head {log.head}, flushed {log.flushed}, "
                f"sealed {log.sealed}, read_only {log.read_only}, tail {log.tail}"
            )
            self.faults.extend(faults_of(index))
            return self.faults
        if log.memory_only and self.begin < log.head:
            self.faults.append(f"log: it begins at address {log.begin}, but in memory nothing is kept below {log.head}")
            self.begin = log.head
        self.places.find()
        found = faults_of(index)
        self.walkable = not found or not chain_faults(index, set())
        self.faults.extend(found)
        self.check_log()
        if self.walkable:
            self.check_entries()
        if not self.faults:
            self.check_last_commit()
        if not self.faults:
            self.check_pending()
        if not self.faults and self.settled():
            self.check_counters()
        return self.faults

    def check_log(self) -> None:
        """Check every record of the log, and count the live ones."""
        cursor = Cursor(self.log, self.begin, self.places.stop)
        seen: i64 = 0
        while True:
            self.pass_over_lost(cursor)
            try:
                if not cursor.step():
                    return
            except CorruptionError as failure:
                self.note_damage(cursor, str(failure))
                continue
            if self.places.covers(cursor.address) and not self.places.noted(cursor.address):
                cursor.following = cursor.address  # the step began on disk, and ended at what was lost
                continue
            if self.places.state_of(cursor.address) == SOUND:
                self.check_record(cursor)
            else:
                self.forget_commits()
            seen += 1
            if seen & 255 == 0:
                _breath.breathe()

    def pass_over_lost(self, cursor: Cursor) -> None:
        """Have the cursor go on at the next record in memory that `check_memory` has found sound, if it is there."""
        log = self.log
        places = self.places
        while cursor.following < cursor.stop and places.covers(cursor.following) and not places.noted(cursor.following):
            if places.state_of(cursor.following) == DAMAGED:
                self.forget_commits()
            cursor.following = log.next_page(cursor.following + 1)

    def note_damage(self, cursor: Cursor, sentence: str) -> None:
        """Say what is wrong with the record on disk that the cursor could not step to, and pass over its page, or run.

        That record stands at `following`, or, where that is the end of a page's records, at the start of the next page:
        then this is said a second time when the cursor has come to there.
        """
        log = self.log
        at = cursor.following
        if not self.faults or self.faults[-1] != sentence:
            self.faults.append(sentence)
        self.places.damaged.add(int(at))
        self.forget_commits()
        cursor.following = log.next_page(at + 1)
        header = read_or_nothing(log, at, HEADER_BYTES)
        if len(header) == HEADER_BYTES:
            shape = read_i64_le(header, 8)
            seal = read_i64_le(header, 16)
            size: i64 = record_words(shape, seal) << 3
            if not fault_of(read_i64_le(header, 0), shape, seal) and size > log.page_bytes:
                cursor.following = log.next_page(at + size)

    def forget_commits(self) -> None:
        """A record was lost, and it may have been a commit record: the next one is compared with nothing."""
        self.records = UNKNOWN
        self.commit_sequence = UNKNOWN

    def check_record(self, cursor: Cursor) -> None:
        """Check the record that the cursor has come to; its checksum, where it has one, is right."""
        address = cursor.address
        shape = cursor.shape
        previous = previous_address(cursor.info)
        if previous & 7 or 0 < previous < FIRST_ADDRESS or self.misses_record(previous):
            self.say(address, f"the chain of address {address} leads to {previous}, where no record begins")
        if not padded(cursor, key_word(shape), key_length(shape)):
            self.say(address, f"the key of address {address} is not padded with zeros")
        if not padded(cursor, value_word(shape), value_length(shape)):
            self.say(address, f"the value of address {address} is not padded with zeros")
        if shape & SHAPE_COMMIT:
            self.check_commit(cursor)
            return
        if self.records != UNKNOWN:
            self.records += 1
        if shape & SHAPE_UNINDEXED:
            fault = self.sessions.take(cursor)
            if fault:
                self.say(address, fault)
            return
        if shape & SHAPE_EXPIRY and not self.log.expiring and not self.timeless:
            self.timeless = True
            self.faults.append(f"store: the record at address {address} has an expiry, but the clock is never asked")
        if shape & SHAPE_TAG and not 0 < cursor.tag() <= MASK_62:
            self.say(address, f"the tag of address {address} is none of 62 bits")
        if self.walkable and not cursor.info & TOMBSTONE:
            self.count_live(cursor)

    def say(self, address: i64, words: str) -> None:
        """Add a fault of the record at an address, and where that is."""
        log = self.log
        place = log.device.place(address) if address < log.flushed else "memory"
        self.faults.append(f"{place}: {words}")

    def misses_record(self, at: i64) -> bool:
        """Return whether an address that a chain leads to is in memory, and no record begins there."""
        return at >= self.begin and self.places.state_of(at) == NO_RECORD

    def check_commit(self, cursor: Cursor) -> None:
        """Check a commit record against the one before it and the records between the two."""
        at = cursor.address
        value = cursor.value()
        previous = previous_address(cursor.info)
        if cursor.shape != COMMIT_SHAPE or cursor.info & ~ADDRESS_MASK != INFO_VERSION:
            self.say(at, "a commit record whose header is not that of one")
            self.forget_commits()
            return
        sequence = read_i64_le(value, 0)
        durable = read_i64_le(value, 8)
        begin = read_i64_le(value, 16)
        records = read_i64_le(value, 40)
        if self.commit_sequence == UNKNOWN:
            self.exact = self.exact and previous == 0
            if self.begin <= previous and not self.faults:
                self.say(at, f"the records before commit {sequence} are not all there")
        elif previous != self.commit_address or sequence <= self.commit_sequence:
            self.say(
                at,
                f"commit {sequence} follows the one at address {previous}, not commit {self.commit_sequence} at "
                f"{self.commit_address}",
            )
        elif records != self.records:
            self.say(at, f"{self.records} records stand before commit {sequence}, which counted {records}")
        if not 0 <= durable < sequence:
            self.say(at, f"commit {sequence} knew commit {durable} to be durable")
        if begin > at:
            self.say(at, f"commit {sequence} says that the log begins behind it, at {begin}")
        self.records = 0
        self.commit_address = at
        self.commit_sequence = sequence
        self.commit_begin = begin
        self.commit_count = read_i64_le(value, 24)
        self.commit_pending = read_i64_le(value, 32)
        self.commit_live_bytes = read_i64_le(value, 48)
        self.commit_sessions = read_i64_le(value, 64)
        self.sessions.behind_commit = False
        if self.commit_pending:
            self.exact = False

    def count_live(self, cursor: Cursor) -> None:
        """Count the record that the cursor has come to where it gives its key a value."""
        key = cursor.key()
        key_hash = hash_key(key, self.table.seed)
        entry = self.table.index.holds(key_hash, cursor.address, ADDRESS_MAX)
        if entry == 0:
            return
        if address_of(entry) == cursor.address or self.newest_of_chain(key, key_hash, cursor.address):
            self.live += 1
            self.live_bytes += self.log.footprint(cursor.size())

    def newest_of_chain(self, key: bytes, key_hash: i64, address: i64) -> bool:
        """Return whether the record at `address` is its key's newest in a mixed chain that it is not the head of."""
        for entry in self.table.index.matching(key_hash):
            at: i64 = address_of(entry)
            while is_mixed(entry) and at >= address:
                try:
                    found = self.places.record_of_chain(at)
                except CorruptionError:
                    return False  # said when its entry is checked
                if found is None:
                    return False
                if key_of(self.log, found) == key:
                    if at == address:
                        return True
                    break
                at = before(found)
        return False

    def check_entries(self) -> None:
        """Check that each entry leads to a record of its own, and that no two lead to the same key."""
        index = self.table.index
        bucket: i64 = 0
        while bucket < index.buckets():
            if bucket & (TELL_BUCKETS - 1) == 0:
                self.tell_of_entries(bucket)
            for entry in index.entries_in(bucket):
                fault = self.check_entry(entry) if belongs(index, bucket, entry) else ""  # which the index has said
                if fault and fault not in self.faults and is_in(index, bucket, entry):  # it may have changed meanwhile
                    self.faults.append(fault)
            bucket += 1
            if bucket & 255 == 0:
                _breath.breathe()

    def tell_of_entries(self, bucket: i64) -> None:
        """Tell the device of the records that the entries of some buckets lead to: they stand anywhere in the log."""
        index = self.table.index
        stop: i64 = min(bucket + TELL_BUCKETS, index.buckets())
        while bucket < stop:
            for entry in index.entries_in(bucket):
                if not tell(self.log, address_of(entry)):
                    return
            bucket += 1

    def check_entry(self, entry: i64) -> str:
        """Return what is wrong with one index entry, "" for nothing."""
        log = self.log
        index = self.table.index
        address: i64 = address_of(entry)
        begin = max(self.begin, log.begin)
        if address < begin or address >= log.tail:
            return f"index: an entry leads to address {address}, outside of the log [{begin}, {log.tail})"
        state = self.places.state_of(address)
        if state == NO_RECORD:
            return f"index: an entry leads to address {address}, where no record begins"
        if state == DAMAGED:
            return ""
        try:
            found = record_at(log, address)
            if found.shape & SHAPE_UNINDEXED:
                kind = "commit" if found.shape & SHAPE_COMMIT else "session"
                return f"index: an entry leads to the {kind} record at address {address}"
            key_hash = hash_key(key_of(log, found), self.table.seed)
            others = index.matching(key_hash)
            count: i64 = 0
            for other in others:
                count += 1 if other == entry else 0
            if count == 0:
                return f"index: the entry for address {address} stands where its record's key does not lead"
            if count > 1:
                return f"index: {count} entries lead to address {address}"
            if is_mixed(entry) or len(others) > 1:
                return self.check_keys(entry, key_hash, others)
        except CorruptionError as failure:
            return str(failure)
        return ""

    def check_keys(self, entry: i64, key_hash: i64, others: vec[i64]) -> str:
        """Return a sentence where an entry leads to a key that one of the others leads to as well, else ""."""
        address: i64 = address_of(entry)
        keys = self.keys_of(entry, key_hash)  # reads all of a mixed chain, also where there are no others
        for other in others:
            second: i64 = address_of(other)
            if second < address and self.places.state_of(second) == SOUND:
                both = keys & self.keys_of(other, key_hash)
                if both:
                    return f"index: the entries for addresses {second} and {address} lead to the same key {min(both)!r}"
        return ""

    def keys_of(self, entry: i64, key_hash: i64) -> set[bytes]:
        """Return the keys that are found by an entry that `key_hash` leads to.

        An index made with another size may have chained keys that this one tells apart; those are not looked for here.
        """
        index = self.table.index
        keys: set[bytes] = set()
        at: i64 = address_of(entry)
        while at >= self.log.begin:
            found = self.places.record_of_chain(at)
            if found is None:
                break
            key = key_of(self.log, found)
            other = hash_key(key, self.table.seed)
            if index.tag_of(other) == index.tag_of(key_hash) and index.bucket_of(other) == index.bucket_of(key_hash):
                keys.add(key)
            at = before(found) if is_mixed(entry) else i64(0)  # a plain entry leads to one key
        return keys

    def check_last_commit(self) -> None:
        """Compare what the store noted of its last commit with the log; a log in memory has no commits."""
        log = self.log
        if log.memory_only:
            return
        sequence: i64 = max(self.commit_sequence, i64(0))
        if sequence != self.sequence_noted or self.commit_address != self.address_noted:
            self.faults.append(
                f"store: the last commit in the log is {sequence} at address {self.commit_address}, "
                f"{self.sequence_noted} at {self.address_noted} was noted"
            )
            return
        if self.records != self.records_noted:
            self.faults.append(
                f"store: {self.records} records stand behind the last commit, {self.records_noted} were counted"
            )
        if sequence and self.commit_begin < self.begin:
            self.faults.append(f"log: it begins at address {self.begin}, the last commit says at {self.commit_begin}")
        fault = self.sessions.compare()
        if fault:
            self.faults.append(fault)
            return
        fault = self.sessions.compare_count(self.commit_sessions, self.commit_begin) if sequence else ""
        if fault:
            self.say(self.commit_address, fault)

    def check_pending(self) -> None:
        """Check that each record whose effect on the number of keys is not known is one whose effect may be unknown."""
        pending = self.table.pending
        at = pending.first
        if at < 0 or at > len(pending.items):
            self.faults.append(f"store: {at} of {len(pending.items)} records to be settled are noted to be settled")
            return
        while at < len(pending.items):
            address: i64 = pending.items[at] & ADDRESS_MASK
            try:
                found = self.places.record_of_chain(address) if address >= self.begin else None
                if found is None or found.info >= 0:
                    self.faults.append(
                        f"store: no unverified record stands at address {address}, which is to be settled"
                    )
            except CorruptionError as failure:
                self.faults.append(str(failure))
            at += 1

    def settled(self) -> bool:
        """Find out the exact counters; False where that cannot be done.

        Either the log does not let it, which is said, or others changed them meanwhile: only commits may have been
        appended, since a compaction changes them as well, and nothing deleted where it stands.
        """
        if self.log.rewrites != self.rewrites:
            return False
        try:
            while not settle(self.table, SLICE):
                _breath.breathe()
            cursor = Cursor(self.log, self.places.tail, self.log.tail)
            while cursor.step():
                if not cursor.shape & SHAPE_UNINDEXED:
                    return False
        except CorruptionError as failure:
            self.faults.append(str(failure))
        return not self.faults

    def check_counters(self) -> None:
        """Compare what was counted with what is live in the log.

        Recovery of a commit with unverified records leaves some live bytes uncounted, never too many (see recovery).
        """
        table = self.table
        if self.live != table.count:
            self.faults.append(f"store: {self.live} keys are live in the log, {table.count} were counted")
        if self.wrong_bytes(table.live_bytes):
            self.faults.append(f"store: the live records take {self.live_bytes} bytes, {table.live_bytes} were counted")
        if self.records_noted or self.unlogged or self.commit_sequence <= 0:
            return
        if not self.commit_count <= self.live <= self.commit_count + self.commit_pending:
            self.say(
                self.commit_address,
                f"{self.live} keys are live, the last commit counted {self.commit_count} and {self.commit_pending} it "
                "had not verified",
            )
        if self.commit_pending == 0 and self.wrong_bytes(self.commit_live_bytes):
            self.say(
                self.commit_address,
                f"the live records take {self.live_bytes} bytes, the last commit counted {self.commit_live_bytes}",
            )

    def wrong_bytes(self, counted: i64) -> bool:
        """Return whether a number of live bytes cannot be right."""
        return counted > self.live_bytes or (self.exact and counted != self.live_bytes)


def before(found: Record) -> i64:
    """Return the address that a record's chain leads to, 0 where it leads forward: the walk must end in any case."""
    previous = previous_address(found.info)
    return previous if previous < found.address else i64(0)


def padded(cursor: Cursor, first_word: i64, length: i64) -> bool:
    """Return whether zeros follow `length` bytes from a word of the cursor's record on, up to the next whole word."""
    over: i64 = length & 7
    if over == 0:
        return True
    last = read_i64_le(cursor.data(), cursor.offset + ((first_word + (length >> 3)) << 3))
    return last >> (over << 3) == 0
