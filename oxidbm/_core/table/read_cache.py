"""The read cache: copies in memory of records on disk that are read again and again, by the address they have there.

A record on disk never changes, so a copy of it is right for as long as an index entry or a chain leads to its address.
A newer record, a tombstone, a compaction make the entry lead elsewhere, and nobody asks for the copy any more: nothing
here is ever told of a write, and the index knows nothing of copies (FASTER puts them into its chains; docs/design.md
has what either costs).

Copies stand in a ring of pages, in the order they came. Each is a word, the record's address with TOUCHED in its lowest
bit once the copy was read, and the record as it is on disk. Where they stand is found by sets of eight words, of which
an address may use one:

    a copy   bits 0-44 where it stands, in words, 45-62 bits of the address's hash
    a ghost  bit 63 set, bits 0-44 the address in words, 45-62 how many misses there had been, in sixteens

A ghost is left by a first read, and a second one makes the copy; once the ring is as large as it may be, only if no
more was read of the disk in between than it holds. What is read once, as by a scan, leaves none. The oldest copies go
first, but one that was read since it came comes once more (second chance; the ghosts are those of S3-FIFO: Yang et al.,
"FIFO Queues are All You Need for Cache Eviction", SOSP 2023). The sets grow one at a time (linear hashing), so that no
operation waits for the others.

Invariants: 1. a copy at or behind `begin` stands whole in a frame, and begins with its address; 2. entries that lead
before `begin` are as good as none; 3. all but `prepare` runs to its end without a Python call.
"""

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.address import PAGE_BITS_MIN, power_of_two, with_sign
from oxidbm._core.budget import READ_CACHE
from oxidbm._core.hashing import hash_address
from oxidbm._core.index.entry import ENTRY_ADDRESS, TAG_FIELD, TAG_SHIFT
from oxidbm._core.log.append import same_words, write_words
from oxidbm._core.log.frames import Frames
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.record import (
    HEADER_BYTES,
    HEADER_WORDS,
    KEY_LENGTH_SHIFT,
    TOMBSTONE,
    VALUE_LENGTH_MASK,
    content_words,
)
from oxidbm._core.memory import VIEW_WORDS, ZERO_STEP, extend_zero, reserve_words

PAGES_AIM: Final = 64
SET_WORDS: Final = 8
SETS_FIRST: Final = 64
FREE_LEAST: Final = 3  # words of a set, one of which a ghost takes
AGE_SHIFT: Final = 4
GHOST_SHIFT: Final = 10  # a sixteenth of what the ring may take, for sets of 64 bytes
COPIES_A_SET: Final = 4  # as many words are left for ghosts
HASH_TAG_SHIFT: Final = 40
TOUCHED: Final = 1
COPY_HEAD: Final = 8  # bytes before the record
SHARE_SHIFT: Final = 2  # a copy takes at most a quarter of a page
MEAN_SHIFT: Final = 6
CHANCES: Final = 2  # bytes gone through for each byte that comes


@final
class ReadCache:
    """The copies, and where they stand. What is read of the device is offered; see `caching` for how large it is."""

    def __init__(self, log: HybridLog) -> None:
        self.log = log  # the one whose addresses these are
        budget = log.budget
        page_bits = log.page_bits  # or less, so that there are PAGES_AIM at least
        while page_bits > PAGE_BITS_MIN and power_of_two(page_bits) * PAGES_AIM > budget.limit:
            page_bits -= 1
        pages: i64 = PAGES_AIM
        while pages < budget.limit >> page_bits:
            pages <<= 1
        self.budget = budget
        self.frames = Frames(page_bits, pages, budget, READ_CACHE)
        self.page_bits = page_bits
        self.page_bytes: i64 = power_of_two(page_bits)
        self.offset_mask: i64 = self.page_bytes - 1
        self.largest: i64 = self.page_bytes >> SHARE_SHIFT
        self.begin: i64 = self.page_bytes  # so that nothing stands at 0
        self.tail: i64 = self.page_bytes
        self.limit: i64 = self.page_bytes  # where the tail's page ends
        self.is_open = False  # the tail's page, to more copies
        self.gone = False
        self.turning = False  # the ring is as large as it may be, and old copies go as new ones come
        self.most: i64 = 0  # bytes that the ring may come to have
        self.mean: i64 = 0  # bytes of a record that was read, about
        self.copies: i64 = 0
        self.hits: i64 = 0
        self.misses: i64 = 0
        self.again: i64 = 0  # misses of what was read shortly before: larger, it would have had a copy
        self.weighed_hits: i64 = 0
        self.weighed_lookups: i64 = 0
        self.weighed_records: i64 = log.records
        self.written_hits: i64 = 0
        self.written_records: i64 = log.records
        self.written_tail: i64 = log.tail
        self.low_mask: i64 = SETS_FIRST - 1
        self.split: i64 = 0
        room: i64 = (budget.limit >> 6) * SET_WORDS // COPIES_A_SET  # of copies of 64 bytes
        self.sets: vec[i64] = reserve_words(ZERO_STEP[:SET_WORDS], max(room, i64(SET_WORDS * SETS_FIRST)), False)
        self.sets = extend_zero(self.sets, SET_WORDS * (SETS_FIRST - 1))
        budget.add(READ_CACHE, SET_WORDS * SETS_FIRST * 8)

    def size(self) -> i64:
        """Return the bytes of the copies' pages and of the sets."""
        return self.budget.held[READ_CACHE]

    def set_of(self, key_hash: i64) -> i64:
        """Return the first word of the set of an address with this hash."""
        nth: i64 = key_hash & self.low_mask
        if nth < self.split:
            nth = key_hash & ((self.low_mask << 1) | 1)
        return nth * SET_WORDS

    def place_of(self, at: i64) -> i64:
        """Return which word leads to the copy that stands at `at`, -1 for none."""
        slot: i64 = (at >> self.page_bits) & self.frames.mask
        address = self.frames.words[slot][((at & self.offset_mask) >> 3) + VIEW_WORDS] & ~TOUCHED
        place = self.set_of(hash_address(address))
        stop: i64 = place + SET_WORDS
        while place < stop:
            entry = self.sets[place]
            if entry > 0 and entry & ENTRY_ADDRESS == at >> 3:
                return place
            place += 1
        return -1

    def find(self, address: i64) -> i64:
        """Return where the copy of the record at an address stands, 0 where there is none."""
        key_hash = hash_address(address)
        tag: i64 = (key_hash >> HASH_TAG_SHIFT) & TAG_FIELD
        place = self.set_of(key_hash)
        stop: i64 = place + SET_WORDS
        while place < stop:
            entry = self.sets[place]
            if entry > 0 and entry >> TAG_SHIFT == tag:
                at: i64 = (entry & ENTRY_ADDRESS) << 3
                if at >= self.begin:
                    slot: i64 = (at >> self.page_bits) & self.frames.mask
                    word: i64 = ((at & self.offset_mask) >> 3) + VIEW_WORDS
                    if self.frames.words[slot][word] & ~TOUCHED == address:
                        return at
            place += 1
        return 0

    def value_of(self, address: i64, key: bytes) -> bytes | None:
        """Return the value of the record at an address where there is a copy, it is of `key`, and has no flags."""
        at = self.find(address)
        if at == 0:
            return None
        slot: i64 = (at >> self.page_bits) & self.frames.mask
        offset: i64 = (at & self.offset_mask) + COPY_HEAD
        word: i64 = (offset >> 3) + VIEW_WORDS
        shape = self.frames.words[slot][word + 1]
        length: i64 = len(key)
        if shape >> KEY_LENGTH_SHIFT != length or self.frames.words[slot][word] & TOMBSTONE:
            return None
        if not same_words(self.frames.words[slot], word + HEADER_WORDS, key, length):
            return None
        self.frames.words[slot][word - 1] = address | TOUCHED
        self.hits += 1
        return self.frames.copy_out(slot, offset + HEADER_BYTES + ((length + 7) & -8), shape & VALUE_LENGTH_MASK)

    def record_of(self, address: i64) -> bytes:
        """Return the bytes of the record at an address, b"" where there is no copy."""
        at = self.find(address)
        if at == 0:
            return b""
        slot: i64 = (at >> self.page_bits) & self.frames.mask
        offset: i64 = (at & self.offset_mask) + COPY_HEAD
        word: i64 = (offset >> 3) + VIEW_WORDS
        self.frames.words[slot][word - 1] = address | TOUCHED
        self.hits += 1
        return self.frames.copy_out(slot, offset, content_words(self.frames.words[slot][word + 1]) << 3)

    def note(self, address: i64, size: i64) -> bool:
        """Take note that a record of `size` bytes was read from the device; return whether that is to be copied.

        It is where a ghost says that it was read before, and not too many others since.
        """
        self.misses += 1
        self.mean += (size - self.mean) >> MEAN_SHIFT
        room: i64 = self.most // (COPY_HEAD + max(self.mean, i64(HEADER_BYTES)))
        now: i64 = self.misses >> AGE_SHIFT
        oldest: i64 = -1
        chosen: i64 = -1
        free: i64 = 0
        place = self.set_of(hash_address(address))
        stop: i64 = place + SET_WORDS
        while place < stop:
            entry = self.sets[place]
            if entry < 0:
                age: i64 = (now - (entry >> TAG_SHIFT)) & TAG_FIELD
                if entry & ENTRY_ADDRESS == address >> 3:
                    if self.turning and age > (room >> AGE_SHIFT) + 1:
                        self.leave_ghost(place, address)
                        return False
                    self.sets[place] = 0
                    self.again += 1
                    return True
                if age > oldest:
                    oldest = age
                    chosen = place
            elif (entry & ENTRY_ADDRESS) << 3 < self.begin:  # also where there is none
                free += 1
                oldest = TAG_FIELD + 1
                chosen = place
            place += 1
        if chosen >= 0:
            self.leave_ghost(chosen, address)
        if free < FREE_LEAST and self.sets_in_use() < max(room // COPIES_A_SET, self.most >> GHOST_SHIFT):
            self.split_set()  # else it would have to forget what was read lately
        return False

    def leave_ghost(self, place: i64, address: i64) -> None:
        """Say in a word of a set that a record was read now."""
        now: i64 = self.misses >> AGE_SHIFT
        self.sets[place] = with_sign(((now & TAG_FIELD) << TAG_SHIFT) | (address >> 3))

    def sets_in_use(self) -> i64:
        """Return how many sets there are."""
        return self.low_mask + 1 + self.split

    def wants_page(self, size: i64) -> bool:
        """Return whether a copy of a record of `size` bytes needs a page besides the tail's."""
        return self.tail + COPY_HEAD + size > self.limit

    def keep(self, address: i64, data: bytes, size: i64) -> None:
        """Copy a record, the first `size` bytes of `data`, where there is room for it."""
        if size > self.largest or self.find(address) != 0:
            return
        if self.turning:
            self.pass_on((COPY_HEAD + size) * CHANCES)
        if self.wants_page(size) and not self.open_page():
            return
        at = self.tail
        page: i64 = at >> self.page_bits
        offset: i64 = at & self.offset_mask
        self.tail = at + COPY_HEAD + size
        self.frames.reach(page, (offset + COPY_HEAD + size) >> 3)
        slot: i64 = page & self.frames.mask
        word: i64 = (offset >> 3) + VIEW_WORDS
        self.frames.words[slot][word] = address
        write_words(self.frames.words[slot], word + 1, data, size)
        self.copies += 1
        self.lead_to(address, at)
        if self.copies > self.sets_in_use() * COPIES_A_SET:
            self.split_set()

    def lead_to(self, address: i64, at: i64) -> None:
        """Have the address's set lead to its copy, in place of a ghost, or of the oldest copy there."""
        key_hash = hash_address(address)
        place = self.set_of(key_hash)
        chosen = place
        lowest: i64 = ENTRY_ADDRESS
        stop: i64 = place + SET_WORDS
        while place < stop:
            entry = self.sets[place]
            stands: i64 = entry & ENTRY_ADDRESS
            if stands << 3 < self.begin and entry >= 0:
                chosen = place
                break
            if entry < 0:
                stands = 0
            if stands < lowest:
                lowest = stands
                chosen = place
            place += 1
        self.sets[chosen] = (((key_hash >> HASH_TAG_SHIFT) & TAG_FIELD) << TAG_SHIFT) | (at >> 3)

    def split_set(self) -> None:
        """Add a set, which takes what is its own from the one that it is split from."""
        place: i64 = self.split * SET_WORDS
        high: i64 = self.low_mask + 1
        other: i64 = (self.split + high) * SET_WORDS
        self.sets = extend_zero(self.sets, SET_WORDS)
        self.budget.add(READ_CACHE, SET_WORDS * 8)
        self.split += 1
        if self.split == high:
            self.low_mask = (high << 1) - 1
            self.split = 0
        stop: i64 = place + SET_WORDS
        while place < stop:
            entry = self.sets[place]
            address: i64 = (entry & ENTRY_ADDRESS) << 3
            if entry > 0:
                if address < self.begin:
                    self.sets[place] = 0
                    place += 1
                    continue
                slot: i64 = (address >> self.page_bits) & self.frames.mask
                address = self.frames.words[slot][((address & self.offset_mask) >> 3) + VIEW_WORDS] & ~TOUCHED
            if entry != 0 and hash_address(address) & high:
                self.sets[place] = 0
                self.sets[other] = entry
                other += 1
            place += 1

    def open_page(self) -> bool:
        """Let copies go to a new page; False where no frame is left even when the oldest copies are given up."""
        if self.frames.spares() == 0:
            self.drop_oldest_page()
        if self.frames.spares() == 0:
            return False
        self.close_page()
        self.frames.open(self.tail >> self.page_bits)
        self.limit = self.tail + self.page_bytes
        self.is_open = True
        return True

    def close_page(self) -> None:
        """End the tail's page."""
        if self.is_open:
            self.frames.ends[(self.tail_page() & self.frames.mask)] = self.tail
            self.tail = self.limit
            self.is_open = False

    def tail_page(self) -> i64:
        """Return the page that the last copy went to."""
        return (self.limit - 1) >> self.page_bits

    def pass_on(self, size: i64) -> None:
        """Go over the oldest copies, some `size` bytes of them, or until a frame is spare."""
        while size > 0 and self.frames.spares() == 0 and self.begin >> self.page_bits < self.tail_page():
            size -= self.pass_copy(True)

    def drop_oldest_page(self) -> None:
        """Give up what copies are left on the oldest page, and have its frame spare."""
        if self.begin >= self.limit:
            return
        page: i64 = self.begin >> self.page_bits
        if page == self.tail_page():
            self.close_page()
        while self.begin >> self.page_bits == page:
            self.pass_copy(False)

    def pass_copy(self, again: bool) -> i64:
        """Take the oldest copy out of the ring, and return its size; one that was read may come once more."""
        at = self.begin
        page: i64 = at >> self.page_bits
        slot: i64 = page & self.frames.mask
        word: i64 = ((at & self.offset_mask) >> 3) + VIEW_WORDS
        words: i64 = 1 + content_words(self.frames.words[slot][word + 2])
        size: i64 = words << 3
        if again and self.frames.words[slot][word] & TOUCHED and self.tail + size <= self.limit:
            self.move(at, words)
        else:
            self.copies -= 1
        self.begin = at + size
        if self.begin == self.frames.ends[slot]:
            self.begin = (page + 1) << self.page_bits
            self.frames.close(page)
        return size

    def move(self, at: i64, words: i64) -> None:
        """Copy a copy to the ring's tail, where there is room for it, and have its set lead there."""
        place = self.place_of(at)
        if place < 0:
            self.copies -= 1  # another one took its place in the set
            return
        source: i64 = (at >> self.page_bits) & self.frames.mask
        first: i64 = ((at & self.offset_mask) >> 3) + VIEW_WORDS
        page: i64 = self.tail >> self.page_bits
        offset: i64 = self.tail & self.offset_mask
        self.frames.reach(page, (offset >> 3) + words)
        target: i64 = page & self.frames.mask
        to: i64 = (offset >> 3) + VIEW_WORDS
        self.frames.words[target][to] = self.frames.words[source][first] & ~TOUCHED
        nth: i64 = 1
        while nth < words:
            self.frames.words[target][to + nth] = self.frames.words[source][first + nth]
            nth += 1
        entry = self.sets[place]
        self.sets[place] = (entry & ~ENTRY_ADDRESS) | (self.tail >> 3)
        self.tail += words << 3

    def prepare(self) -> None:
        """Between operations: have one more frame; Python code runs in here."""
        self.frames.prepare()

    def drop_page(self) -> bool:
        """Give a frame back to the budget, with the oldest copies where none is spare; False where there is none."""
        if self.frames.spares() == 0:
            self.drop_oldest_page()
        return self.frames.drop_spare()

    def let_go(self) -> None:
        """Free everything; there is nothing to find any more, and a frame that was being prepared goes, too."""
        self.gone = True
        self.frames.free()
        self.sets = vec[i64]()
