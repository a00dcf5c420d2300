"""The hybrid log: where its regions begin and end, and everything that moves one of those addresses.

    begin <= head <= flushed <= sealed <= read_only <= tail

mutable region [read_only, tail): updated in place. Read-only region [head, read_only): in memory, being sealed (each
record gets its checksum) up to `sealed` and written to the device up to `flushed`. Disk region [begin, head): read
through the device. All methods are atomic under the GIL except `flush_step`, which lets other threads run while the
device writes and therefore runs under the caller's flush lock. Invariants: 1. the order above, and no other module
assigns one of these addresses; 2. a frame is given back only when its page is flushed, or when the log lives in memory
only and its owner dropped the page; 3. `tail` only grows; the tail's page has a frame while `tail < limit` or records
may still be put there; 4. `due` says that the tail has moved on by a step since a maintainer last took note.

A log stands alone: it knows its device, the life of the store it belongs to, and the budget, but neither index nor
table. Iterations and reads of the device are readers inside its epoch.
"""

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX, FIRST_ADDRESS, NO_ADDRESS, power_of_two
from oxidbm._core.budget import PAGES, Budget
from oxidbm._core.device.device import Device
from oxidbm._core.epoch import LightEpoch
from oxidbm._core.hashing import checksum_words
from oxidbm._core.life import Life
from oxidbm._core.locks import FLUSHING, StoreLock
from oxidbm._core.log.device_use import DeviceUse
from oxidbm._core.log.frames import Frames
from oxidbm._core.log.record import SEAL_CAPACITY, content_words, record_words
from oxidbm._core.log.room import Room
from oxidbm._core.memory import STEP_BYTES, VIEW_WORDS
from oxidbm._core.paging import FRAMES_MIN

SLOTS_MIN: Final = 8
SLOTS_SPARE: Final = 2  # page numbers between head and tail that stay free
READ_GUESS: Final = 256


class Prelude:
    """What has to be done before the log's first byte is written to its device."""

    def run(self) -> None:
        """Do it where it has not been done; an OSError poisons the store."""


@final
class HybridLog:
    """The log's addresses, its frames and its device. `memory_only` logs keep every page in memory."""

    def __init__(self, device: Device, life: Life, budget: Budget, page_bits: i64, memory_only: bool) -> None:
        page_bytes = power_of_two(page_bits)
        slots: i64 = SLOTS_MIN
        while slots < budget.limit // page_bytes + SLOTS_MIN:
            slots <<= 1
        self.frames = Frames(page_bits, slots, budget)
        self.device = device
        self.life = life
        self.budget = budget
        self.epoch = LightEpoch()
        self.prelude = Prelude()
        self.flush_lock = StoreLock(life.locks, FLUSHING)
        self.memory_only = memory_only
        self.checksum_key: i64 = 0  # of the store's records on disk
        self.page_bits: i64 = page_bits
        self.page_bytes: i64 = page_bytes
        self.offset_mask: i64 = page_bytes - 1
        self.begin: i64 = FIRST_ADDRESS
        self.head: i64 = FIRST_ADDRESS
        self.flushed: i64 = FIRST_ADDRESS
        self.sealed: i64 = FIRST_ADDRESS
        self.read_only: i64 = FIRST_ADDRESS
        self.thaw_at: i64 = FIRST_ADDRESS
        self.tail: i64 = FIRST_ADDRESS
        self.limit: i64 = FIRST_ADDRESS
        self.tail_open = False
        self.due = False
        self.shut = False
        self.use = DeviceUse(life, device)
        self.records: i64 = 0  # appended since the log was opened
        self.rewrites: i64 = 0  # values written, and records deleted, where they stood
        self.expiring = False  # a record of this log has, or had, an expiry
        self.cold_reads: i64 = 0  # records read from the device, or passed over there, since a page was brought back
        self.read_guess: i64 = READ_GUESS  # bytes of a record on the device that are read before its size is known
        self.step_bytes: i64 = STEP_BYTES
        self.noted_until: i64 = 0  # whatever is deleted in place before that address is noted
        self.buried: vec[i64] = vec[i64]()  # where it stood
        self.reserved_pages: i64 = 1 if memory_only else 0  # kept for the copies of the oldest page, which then goes

    def set_step(self, size: i64) -> None:
        """Have `due` set each time the tail has moved by some `size` bytes, at most STEP_BYTES."""
        while self.step_bytes > size and self.step_bytes > 8:
            self.step_bytes >>= 1

    def changes(self) -> i64:
        """Return a number that grows with each record appended and each one changed where it stands."""
        return self.tail + self.rewrites

    def check_order(self) -> None:
        """Assert the order of the addresses."""
        assert self.begin <= self.head <= self.flushed <= self.sealed <= self.read_only <= self.tail

    def slot_of(self, address: i64) -> i64:
        """Return the slot of an address's frame."""
        return (address >> self.page_bits) & self.frames.mask

    def word_of(self, address: i64) -> i64:
        """Return the index of an address's word in its frame."""
        return ((address & self.offset_mask) >> 3) + VIEW_WORDS

    def footprint(self, size: i64) -> i64:
        """Return how much of the log a record of `size` bytes takes: a run of pages, all of the last one."""
        return (size + self.offset_mask) & ~self.offset_mask if size > self.page_bytes else size

    def records_end(self, address: i64) -> i64:
        """Return where the records of an address's page end, 0 while that is the tail."""
        return self.frames.ends[self.slot_of(address)]

    def next_page(self, end: i64) -> i64:
        """Return the first address of the page behind a page, or run, whose records end at `end`."""
        return (end + self.offset_mask) & ~self.offset_mask

    def frames_allowed(self) -> i64:
        """Return how many page frames the budget leaves beside its other consumers."""
        return max(i64(FRAMES_MIN), self.budget.left_for(PAGES) >> self.page_bits)

    def mutable_bytes(self) -> i64:
        """Return how far behind the tail records are still updated in place: three quarters of the frames."""
        return (self.frames_allowed() * 3 // 4) << self.page_bits

    def allocate(self, size: i64) -> i64:
        """Return the address of `size` new bytes (whole words) at the tail; -size where there is no room for them."""
        address = self.tail
        stop: i64 = address + size
        if stop > self.limit:
            return self.allocate_slow(size)
        self.tail = stop
        return address

    def allocate_slow(self, size: i64) -> i64:
        """As `allocate`, where the step reached so far, or the page, is used up."""
        self.due = True
        if self.shut:
            return -size
        if not self.tail_open and self.tail & self.offset_mask != 0:
            self.leave_unopened_page(size)
        if size > self.page_bytes:
            return self.allocate_run(size)
        if not self.tail_open or (self.tail & self.offset_mask) + size > self.page_bytes or self.at_page_end():
            if not self.frame_ready():
                return -size
            self.open_page()
        return self.take(size)

    def allocate_reserved(self, size: i64) -> i64:
        """As `allocate`, of a record that found no room, on the page in reserve, whatever the budget says.

        It is for the copies of the oldest page, which goes in return; without, a full store could not become smaller.
        """
        if self.shut or size > self.page_bytes or not self.slots_free(1) or self.frames.spares() == 0:
            return -size
        self.open_page()
        return self.take(size)

    def take(self, size: i64) -> i64:
        """Give out bytes of the tail's page, which has them, and reach as many steps of its frame as that needs."""
        address = self.tail
        page = address >> self.page_bits
        stop: i64 = address + size
        words = ((address & self.offset_mask) + size) >> 3
        reached = self.frames.reach(page, words)
        self.limit = min((page << self.page_bits) + (reached << 3), (stop + self.step_bytes) & -self.step_bytes)
        self.tail = stop
        return address

    def open_page(self) -> None:
        """Let the tail go to a new page, for which there is a spare frame; a record has to follow at once."""
        self.close_tail_page()
        self.frames.open(self.tail >> self.page_bits)
        self.tail_open = True

    def prepare_reserved_page(self) -> bool:
        """Between operations: have a spare frame for `allocate_reserved`; False where no page number is free."""
        if not self.slots_free(1):
            return False
        if self.frames.spares() == 0:
            self.frames.prepare()
        return True

    def shut_down(self) -> None:
        """Refuse every allocation from now on: an operation that was under way when the store closed finds no room."""
        self.shut = True
        self.limit = self.tail

    def at_page_end(self) -> bool:
        """Return whether the open tail page is full to its last byte."""
        return self.tail_open and self.tail & self.offset_mask == 0

    def close_tail_page(self) -> None:
        """End the tail's page and move the tail to the next one's start."""
        if self.tail_open:
            self.frames.ends[self.slot_of(self.tail - 1)] = self.tail
            following = self.next_page(self.tail)
            if self.read_only == self.tail:
                self.read_only = following
                if self.sealed == self.tail:
                    self.sealed = following
                    if self.flushed == self.tail:
                        self.flushed = following
            self.tail = following
            self.limit = self.tail
            self.tail_open = False

    def allocate_run(self, size: i64) -> i64:
        """Give a record larger than a page a run of pages of its own."""
        if not self.frames.run_ready(size >> 3) or not self.slots_free((size + self.offset_mask) >> self.page_bits):
            return -size
        self.close_tail_page()
        address = self.tail
        page = address >> self.page_bits
        self.frames.open_run(page, size >> 3)
        self.frames.ends[page & self.frames.mask] = address + size
        self.tail = self.next_page(address + size)
        self.limit = self.tail
        return address

    def move_run(self, address: i64, size: i64) -> i64:
        """Let a run of a log in memory only stand at the tail, without copying it; the new address, or -size."""
        if not self.slots_free((size + self.offset_mask) >> self.page_bits):
            return -size
        self.close_tail_page()
        fresh = self.tail
        self.frames.move(address >> self.page_bits, fresh >> self.page_bits)
        self.frames.ends[self.slot_of(fresh)] = fresh + size
        self.tail = self.next_page(fresh + size)
        self.limit = self.tail
        return fresh

    def leave_unopened_page(self, size: i64) -> None:
        """Let the tail go on at the next page where it stands inside of one without a frame, which has no room.

        That is the first page, for a first record that fills a page, or the last one that recovery did not bring back.
        """
        if (self.tail & self.offset_mask) + size > self.page_bytes:
            following = self.next_page(self.tail)
            self.start_at(following if self.tail == FIRST_ADDRESS else self.begin, following, following)

    def slots_free(self, pages: i64) -> bool:
        """Return whether that many more page numbers, and two to spare, fit between head and tail."""
        used: i64 = (self.tail >> self.page_bits) - (self.head >> self.page_bits)
        return used + pages + SLOTS_SPARE <= self.frames.mask

    def pages_allowed(self, pages: i64) -> bool:
        """Return whether so many more pages may have a frame; the oldest are evicted where the budget is used up."""
        while self.frames.in_use() + self.reserved_pages + pages > self.frames_allowed() or not self.slots_free(pages):
            if self.memory_only or not self.evict_page():
                return False
        return True

    def run_allowed(self, size: i64) -> bool:
        """Return whether a run of a log in memory only leaves the page in reserve that compaction needs."""
        pages = (self.frames.in_use() + self.reserved_pages) * self.page_bytes
        return pages + size <= self.budget.left_for(PAGES)

    def frame_ready(self) -> bool:
        """Return whether a page may be opened now; nothing is allocated, since an operation is under way."""
        return self.pages_allowed(1) and self.frames.spares() > 0

    def trim(self) -> None:
        """Give up frames that the budget has no room for any more, since another consumer has grown into it."""
        allowed = self.frames_allowed()
        while self.frames.page_frames > allowed:
            if not self.frames.drop_spare() and (self.memory_only or not self.evict_page()):
                return

    def prepare_ahead(self) -> None:
        """Have a frame for the next page when the tail's is nearly full, so that no operation has to ask for it."""
        nearly: bool = self.tail & self.offset_mask > self.page_bytes - (self.page_bytes >> 3)
        if nearly and self.frames.spares() == 0:
            self.prepare_page()

    def prepare(self, room: Room) -> bool:
        """Between operations: have ready what an allocation wants; False where pages must be flushed or go first."""
        if room.one_page():
            return self.prepare_page()
        self.frames.drop_runs()
        return self.prepare_run(i64(room.runs[0])) if room.one_run() else self.prepare_all(room)

    def prepare_page(self) -> bool:
        """Have a frame for the next page."""
        if not self.pages_allowed(1):
            return False
        if self.frames.spares() == 0:
            self.frames.prepare()
        return True

    def prepare_run(self, size: i64) -> bool:
        """Have a run for a record of `size` bytes."""
        pages: i64 = (size + self.offset_mask) >> self.page_bits
        if self.memory_only and not self.run_allowed(size):
            return False
        while size > self.budget.free() or not self.slots_free(pages):
            if not self.frames.drop_spare() and (self.memory_only or not self.evict_page()):
                return False
        self.frames.prepare_run(size >> 3, True)
        return True

    def prepare_all(self, room: Room) -> bool:
        """Have frames and runs ready at once.

        On disk, where pages can be flushed in the middle, a batch begins with as many of its pages as the budget has.
        """
        frames = self.frames
        run_bytes: i64 = 0
        run_pages: i64 = 0
        for size in room.runs:
            run_bytes += size
            run_pages += (i64(size) + self.offset_mask) >> self.page_bits
        while True:
            allowed: i64 = self.frames_allowed() - ((run_bytes + self.offset_mask) >> self.page_bits)
            pages: i64 = room.pages if self.memory_only else max(min(room.pages, allowed - 1), i64(1))
            if frames.in_use() + self.reserved_pages + pages <= allowed and self.slots_free(pages + run_pages):
                break
            if self.memory_only or not self.evict_page():
                return False
        while frames.spares() > pages:
            frames.drop_spare()
        while frames.spares() < pages:
            frames.prepare()
        for size in room.runs:
            frames.prepare_run(i64(size) >> 3)
        return True

    def evict_page(self) -> bool:
        """Give back the oldest page's frame when it is flushed whole; False when it is not."""
        end = self.records_end(self.head)
        if end == 0 or end > self.flushed or self.head >= self.flushed:
            return False
        self.drop_head_page(end)
        return True

    def drop_head_page(self, end: i64) -> None:
        """Take the frame of the page that ends at `end` away and move head behind it."""
        page = self.head >> self.page_bits
        self.head = self.next_page(end)
        self.frames.close(page)
        if self.memory_only:
            self.begin = max(self.begin, self.head)
            self.flushed = max(self.flushed, self.head)
            self.sealed = max(self.sealed, self.head)
            self.read_only = max(self.read_only, self.head)
        self.check_order()

    def drop_pages(self, until: i64) -> None:
        """Give back the frames of a log in memory only before `until`, where a compaction has left nothing live."""
        while self.head < until:
            end = self.records_end(self.head)
            if end == NO_ADDRESS or end > until:
                return
            self.drop_head_page(end)

    def first_page_end(self) -> i64:
        """Return where the first page in memory ends once it is closed, else 0."""
        return self.records_end(self.head) if self.head < self.tail else i64(0)

    def move_begin(self, until: i64) -> None:
        """Let the log begin at `until`; what stands before it is read, if at all, by readers that began before."""
        while self.head < until and self.evict_page():
            pass
        self.begin = max(self.begin, until)
        self.check_order()

    def freeze(self) -> None:
        """Let everything up to the tail be updated in place no more."""
        self.read_only = self.thaw_at = self.tail

    def freeze_awhile(self) -> None:
        """As `freeze`, until `thaw`."""
        self.thaw_at = self.read_only
        self.read_only = self.tail

    def thaw(self) -> None:
        """Let be updated in place again what was before `freeze_awhile`, but for what was sealed, or frozen, since."""
        if self.thaw_at < self.read_only:
            self.read_only = max(self.sealed, self.thaw_at)

    def seal_step(self, target: i64, words_max: i64) -> bool:
        """Seal records from `sealed` up to `target`, some `words_max` words at a time; True when that is reached.

        A record whose seal is written can no longer be updated in place: read_only moves with it.
        """
        key = self.checksum_key
        while self.sealed < target and words_max > 0:
            slot = self.slot_of(self.sealed)
            end = self.records_end(self.sealed)
            stop: i64 = min(target, end if end else self.tail)
            frame = self.frames.words[slot]
            at: i64 = self.sealed
            o: i64 = self.word_of(at)
            while at < stop and words_max > 0:
                shape = frame[o + 1]
                seal = frame[o + 2] & SEAL_CAPACITY
                size = record_words(shape, seal)
                frame[o + 2] = seal | checksum_words(frame, o, seal, o + content_words(shape), at, key)
                at += size << 3
                o += size
                words_max -= size
            self.sealed = self.next_page(end) if at == end else at
            if self.read_only < self.sealed:
                self.read_only = self.sealed
        return self.sealed >= target

    def follow_tail(self) -> None:
        """Seal what the mutable region's size no longer allows; called once a step of the tail, so it costs little."""
        if self.memory_only:  # never written, so never sealed
            return
        target: i64 = self.tail - self.mutable_bytes()
        if target > self.sealed:
            self.seal_step(target, STEP_BYTES >> 1)

    def flush_step(self, bytes_max: i64) -> bool:
        """Write the next sealed stretch to the device; False when there is none. Other threads run meanwhile."""
        start = self.flushed
        if start >= self.sealed:
            return False
        page = start >> self.page_bits
        end = self.records_end(start)
        stop: i64 = min(self.sealed, end if end else self.tail)
        if stop - start > bytes_max and not (end - start > self.page_bytes):
            stop = start + bytes_max
        base: i64 = page << self.page_bits
        self.device.write(start, self.frames.export(page, start - base, stop - base))
        end = self.records_end(start)  # the page may have been closed meanwhile
        self.flushed = self.next_page(end) if stop == end else stop
        return True

    def follow_to(self, begin: i64, head: i64, tail: i64) -> None:
        """Take over the addresses of a newer commit, in a log that somebody else writes."""
        self.start_at(self.begin, head, tail)
        while self.head < begin and self.evict_page():
            pass
        self.start_at(max(self.begin, begin), max(self.head, begin), tail)

    def bring_back(self, page: i64, data: bytes, end: i64, head: i64) -> None:
        """Put a page's bytes up to the present head, which begin at `head`, back into memory; a frame is spare."""
        if len(self.frames.words[page & self.frames.mask]) == 0:
            self.frames.open(page)
            self.tail_open = self.tail_open or end == self.tail
            self.frames.ends[page & self.frames.mask] = 0 if end == self.tail else end
        self.frames.fill(page, data)
        self.head = head
        self.check_order()

    def start_at(self, begin: i64, head: i64, tail: i64) -> None:
        """Take over the addresses that recovery found; everything below the tail is sealed and flushed."""
        self.begin = begin
        self.head = head
        self.flushed = self.sealed = self.read_only = self.tail = self.limit = tail
        self.tail_open = tail & self.offset_mask != 0 and head < tail
        self.check_order()

    def read(self, address: i64, size: i64) -> bytes:
        """Return what the device's `read` returns; ClosedError once the device was given up."""
        self.use.begin()
        try:
            return self.device.read(address, size)
        finally:
            self.use.end()

    def read_from_device(self, begin: i64) -> None:
        """Have every address from `begin` on read through the device, until `start_at` says what is in memory."""
        self.begin = begin
        self.head = ADDRESS_MAX

    def let_go(self) -> None:
        """Free all frames; a log that was let go holds nothing and has room for nothing."""
        self.shut_down()
        self.frames.free()
        self.head = ADDRESS_MAX
        self.tail = self.limit = FIRST_ADDRESS
        self.tail_open = False
