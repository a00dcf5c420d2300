"""Page frames: the only module that knows how a page is held in memory.

A frame is a vec of i64 words, one page long or, for a record larger than a page, as long as its run of pages, behind
the VIEW_WORDS words that make a `bytes` view of it (see memory). It is allocated whole and reached step by step, so a
store costs what it holds. Frames given back are kept and used again. Invariants: 1. views are dropped before their
frame; 2. a slot of a vec of frames or views is cleared before it is popped; 3. what frames take is drawn from the
budget, whole frames, spare ones included, by the consumer that they are for; 4. no vec of frames or views grows in the
middle of anything: that makes an object, on 3.11 the garbage collector may come by, and what it runs lets others run.
"""

from typing import Final, final

from librt.strings import read_i64_le
from librt.vecs import append, pop, vec
from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.address import power_of_two
from oxidbm._core.budget import PAGES, RUNS, Budget
from oxidbm._core.memory import (
    ADDRESS_WORD,
    MACHINE,
    STEP_BYTES,
    VIEW_BYTES,
    VIEW_WORDS,
    bytes_header,
    copy_into,
    extend_zero,
    reserve_words,
    view_of,
)

PIECE_WORDS: Final = 131072


@final
class Frames:
    """The frames of the pages in memory: page number & mask is a page's slot.

    `words[slot]` is the frame, `views[slot]` its content as bytes, `ends[slot]` the address where its records end, 0
    while the page is still appended to.
    """

    def __init__(self, page_bits: i64, slots: i64, budget: Budget, consumer: i64 = PAGES) -> None:
        self.budget = budget
        self.consumer = consumer
        self.views: vec[bytes] = vec[bytes]()  # before words: freed first
        self.spare_views: vec[bytes] = vec[bytes](capacity=slots)
        self.run_views: vec[bytes] = vec[bytes]()
        self.words: vec[vec[i64]] = vec[vec[i64]]()
        self.spare_words: vec[vec[i64]] = vec[vec[i64]](capacity=slots)
        self.run_words: vec[vec[i64]] = vec[vec[i64]]()
        self.no_words: vec[i64] = vec[i64]()
        self.ends: vec[i64] = vec[i64]()
        MACHINE.ask()
        self.has_views = MACHINE.has_views
        self.page_words: i64 = power_of_two(page_bits) >> 3
        self.mask: i64 = slots - 1
        self.page_frames: i64 = 0
        self.run_changes: i64 = 0  # of the list of runs
        i: i64 = 0
        while i < slots:
            self.views = append(self.views, b"")
            self.words = append(self.words, vec[i64]())
            self.ends = append(self.ends, i64(0))
            i += 1

    def open(self, page: i64) -> None:
        """Give `page` a spare frame."""
        slot: i64 = page & self.mask
        assert len(self.words[slot]) == 0
        spare: i64 = len(self.spare_words)
        self.words[slot] = self.spare_words[spare - 1]
        self.views[slot] = self.spare_views[spare - 1]
        self.forget_last_spare()
        self.ends[slot] = 0

    def open_run(self, page: i64, words: i64) -> None:
        """Give `page` and those behind it a run of that size that was prepared."""
        slot: i64 = page & self.mask
        assert len(self.words[slot]) == 0
        run = self.find_run(words)
        last: i64 = len(self.run_words) - 1
        self.words[slot] = self.run_words[run]
        self.views[slot] = self.run_views[run]
        self.run_views[run] = self.run_views[last]
        self.run_words[run] = self.run_words[last]
        self.run_views[last] = b""
        self.run_words[last] = self.no_words
        self.run_views, _ = pop(self.run_views)
        self.run_words, _ = pop(self.run_words)
        self.run_changes += 1
        self.ends[slot] = 0

    def prepare(self) -> None:
        """Add a spare frame. This allocates Python objects, so it is done between operations and not in one."""
        size: i64 = self.page_words
        # the first frame stays small until it is used: a huge page would make an empty store cost 2 MiB
        frame = reserve_words(bytes_header(size << 3), VIEW_WORDS + size, self.page_frames > 0)
        if size < STEP_BYTES >> 3:
            frame = extend_zero(frame, size)
        view = view_of(frame)  # runs Python code, which Ctrl-C may end: nothing has changed before
        if len(self.spare_words) > self.mask:
            return  # there is a spare one for each page
        self.spare_words = append(self.spare_words, frame)
        self.spare_views = append(self.spare_views, view)
        self.page_frames += 1
        self.budget.add(self.consumer, size << 3)

    def prepare_run(self, words: i64, breathes: bool = False) -> None:
        """Have one more frame of `words` ready for a record larger than a page; as `prepare`.

        A large one takes its time; where others may run meanwhile, they do, so the budget is drawn from first.
        """
        self.budget.add(RUNS, words << 3)
        try:
            frame = reserve_words(bytes_header(words << 3), VIEW_WORDS + words, True)
            left = words
            while left > PIECE_WORDS and breathes:
                frame = extend_zero(frame, PIECE_WORDS)
                left -= PIECE_WORDS
                _breath.breathe()
            frame = extend_zero(frame, left)
            self.add_run(frame, view_of(frame))
        except BaseException:
            self.budget.add(RUNS, -(words << 3))
            raise

    def add_run(self, frame: vec[i64], view: bytes) -> None:
        """Put a run on the list of those that are prepared; again where others changed that while it grew."""
        while True:
            changes = self.run_changes
            words = append(self.run_words, frame)
            views = append(self.run_views, view)
            if changes == self.run_changes:
                self.run_words = words
                self.run_views = views
                self.run_changes += 1
                return

    def find_run(self, words: i64) -> i64:
        """Return which prepared run has that many words, -1 for none."""
        run: i64 = len(self.run_words) - 1
        while run >= 0 and len(self.run_words[run]) != VIEW_WORDS + words:
            run -= 1
        return run

    def run_ready(self, words: i64) -> bool:
        """Return whether a run of that many words is prepared."""
        return self.find_run(words) >= 0

    def drop_runs(self) -> None:
        """Free the runs that were prepared and not used."""
        run: i64 = 0
        while run < len(self.run_words):
            self.budget.add(RUNS, (VIEW_WORDS - i64(len(self.run_words[run]))) << 3)
            run += 1
        self.run_changes += 1
        self.run_views = vec[bytes]()
        self.run_words = vec[vec[i64]]()

    def spares(self) -> i64:
        """Return how many spare frames there are."""
        return len(self.spare_words)

    def reach(self, page: i64, words: i64) -> i64:
        """Make at least the first `words` of a page usable, in steps, and return how many are."""
        slot: i64 = page & self.mask
        frame = self.words[slot]
        reached: i64 = len(frame) - VIEW_WORDS
        if reached < words:
            step: i64 = STEP_BYTES >> 3
            wanted: i64 = (words + step - 1) & -step
            if wanted > self.page_words:
                wanted = max(self.page_words, words)
            frame = extend_zero(frame, wanted - reached)
            self.words[slot] = frame
            reached = wanted
        return reached

    def fill(self, page: i64, data: bytes, first_word: i64 = 0) -> None:
        """Put a page's bytes, whole words, into its frame, from one of its words on."""
        slot: i64 = page & self.mask
        self.reach(page, first_word + (len(data) >> 3))
        frame = self.words[slot]
        first: i64 = VIEW_WORDS + first_word
        i: i64 = 0
        n: i64 = len(data) & -8
        if 0 < n == len(data) and frame[ADDRESS_WORD] > 0:
            copy_into(frame, first, data)
            return
        while i < n:
            frame[first + (i >> 3)] = read_i64_le(data, i)
            i += 8

    def close(self, page: i64) -> None:
        """Take a page's frame away and keep it for another page; a run's frame is freed, one that was moved is gone.

        No local holds frame or view: when compiled code lets go of a local is not ours to say, and a view goes first.
        """
        slot: i64 = page & self.mask
        words: i64 = max(i64(len(self.words[slot])) - VIEW_WORDS, i64(0))
        self.ends[slot] = 0
        if 0 < words <= self.page_words:
            self.spare_words = append(self.spare_words, self.words[slot])
            self.spare_views = append(self.spare_views, self.views[slot])
        else:
            self.budget.add(RUNS, -(words << 3))
        self.views[slot] = b""
        self.words[slot] = self.no_words

    def move(self, page: i64, to: i64) -> None:
        """Let another page have a page's frame."""
        slot: i64 = page & self.mask
        target: i64 = to & self.mask
        self.words[target] = self.words[slot]
        self.views[target] = self.views[slot]
        self.words[slot] = self.no_words
        self.views[slot] = b""

    def drop_spare(self) -> bool:
        """Free one spare frame; False when there is none."""
        spare: i64 = len(self.spare_words)
        if spare == 0:
            return False
        self.forget_last_spare()
        self.page_frames -= 1
        self.budget.add(self.consumer, -(self.page_words << 3))
        return True

    def forget_last_spare(self) -> None:
        """Take the last spare frame off the list, its view first.

        `pop` leaves a second reference behind the vec's end, which the next append drops, at a time of its own: the
        slots are cleared before, so that it is a reference to nothing.
        """
        last: i64 = len(self.spare_words) - 1
        self.spare_views[last] = b""
        self.spare_words[last] = self.no_words
        self.spare_views, _ = pop(self.spare_views)
        self.spare_words, _ = pop(self.spare_words)

    def in_use(self) -> i64:
        """Return how many page frames hold a page."""
        return self.page_frames - len(self.spare_words)

    def copy_out(self, slot: i64, offset: i64, size: i64) -> bytes:
        """Return bytes [offset, offset + size) of a page in memory."""
        if self.has_views:
            return self.views[slot][offset : offset + size]
        return bytes(memoryview(self.words[slot]).cast("B")[VIEW_BYTES + offset : VIEW_BYTES + offset + size])

    def export(self, page: i64, offset: i64, stop: i64) -> memoryview:
        """Return bytes [offset, stop) of a page without copying them, for a device to write."""
        return memoryview(self.words[page & self.mask]).cast("B")[VIEW_BYTES + offset : VIEW_BYTES + stop]

    def free(self) -> None:
        """Free every frame, views first."""
        self.views = vec[bytes]()
        self.spare_views = vec[bytes]()
        self.run_views = vec[bytes]()
        self.words = vec[vec[i64]]()
        self.spare_words = vec[vec[i64]]()
        self.run_words = vec[vec[i64]]()
        self.page_frames = 0
        self.budget.hold(self.consumer, 0)
        if self.consumer == PAGES:
            self.budget.hold(RUNS, 0)
