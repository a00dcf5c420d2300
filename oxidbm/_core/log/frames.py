"""Page frames: the only module that knows how a page is held in memory.

A frame is a vec of i64 words, one page long or, for a record larger than a page, as long as its run of pages. It is
allocated whole and reached step by step, so that a store costs what it holds. Frames given back are kept and used
again.

What makes reading fast is that the frame's first VIEW_WORDS words, in front of the page's own, are laid out as the
header of a `bytes` object whose content is the page. `views[slot][a:b]` then copies a value out of the page in one
memcpy (12 ns for 100 bytes, where a loop over words takes 40 and a memoryview 80 to 180; docs/design.md). Rules that
keep this sound:
1. a view is used within one compiled function and never stored, returned, hashed or handed to a caller: slices of it
are
   real, independent bytes; 2. views are dropped before their frame; 3. it is done only where the layout of `bytes` was
checked and the core is compiled (interpreted frames would keep views alive in tracebacks); elsewhere
`copy_out` goes through a memoryview.
"""

import mmap
import sys
from collections.abc import Callable
from typing import Final, final

from librt.strings import read_i64_le
from librt.vecs import append, extend, pop, vec
from mypy_extensions import i64

from oxidbm._core.address import power_of_two

VIEW_WORDS: Final = 4
VIEW_BYTES: Final = VIEW_WORDS * 8
STEP_BYTES: Final = 65536
ZERO_STEP = memoryview(bytes(STEP_BYTES)).cast("q")
OWN_REFERENCES: Final = 1 << 29
PAGE_BYTES: Final = 4096
HUGE_BYTES: Final = 2097152
MADV_COLLAPSE: Final = 25  # Linux 6.1; the mmap module does not name it
HEADS_BYTES: Final = 512


def layout_known() -> bool:
    """Return whether a `bytes` object is reference count, type, length, hash and content: CPython with a GIL, 64
    bits. Without a GIL an object's head is larger.
    """
    import ctypes

    return (
        sys.implementation.name == "cpython"
        and sys.byteorder == "little"
        and not __file__.endswith(".py")
        and not hasattr(sys, "getobjects")
        and bytes.__basicsize__ == VIEW_BYTES + 1
        and object.__basicsize__ == 16
        and ctypes.string_at(id(b"seven b") + VIEW_BYTES, 8) == b"seven b\0"
        and ctypes.c_int64.from_address(id(b"seven b") + 8).value == id(bytes)
        and ctypes.c_int64.from_address(id(b"seven b") + 16).value == 7
    )


@final
class Machine:
    """What the frames of all stores need to know of the machine; found out with the first store, since importing
    ctypes takes time.
    """

    def __init__(self) -> None:
        self.asked = False
        self.has_views = False
        self.madvise: Callable[..., object] | None = None

    def ask(self) -> None:
        """Find out."""
        if not self.asked:
            self.has_views = layout_known()
            self.madvise = load_madvise()
            self.asked = True


MACHINE: Final = Machine()


def buffer_address(data: memoryview) -> int:
    """Return where a buffer's first byte stands in memory."""
    import ctypes

    fields = (ctypes.c_void_p * 16)()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(data), ctypes.byref(fields), 0)
    address = fields[0]
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(fields))
    assert address is not None
    return int(address)


def load_madvise() -> Callable[..., object] | None:
    """Return the C library's madvise where there are transparent huge pages to ask for, else None.

    Through PyDLL, which keeps the GIL: a frame is opened in the middle of an operation.
    """
    import ctypes

    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="ascii") as file:
            if "[never]" in file.read() or not hasattr(mmap, "MADV_HUGEPAGE"):
                return None
        return ctypes.PyDLL(None).madvise
    except (OSError, AttributeError):
        return None


def advise_huge(start: int, size: int) -> None:
    """Ask for transparent huge pages under the whole 2 MiB stretches of a buffer that begins with such a stretch, but
    for a head that stands in front of it.

    The head has been written, with a small page under it, so the first stretch is asked for at once; the others become
    huge when they are touched. A system that has none changes nothing.
    """
    import ctypes

    MACHINE.ask()
    madvise = MACHINE.madvise
    first = start & -PAGE_BYTES
    stop = (start + size) & -HUGE_BYTES
    if madvise is not None and stop > first:
        madvise(ctypes.c_void_p(first), ctypes.c_size_t(stop - first), mmap.MADV_HUGEPAGE)
        if first & (HUGE_BYTES - 1) == 0:
            madvise(ctypes.c_void_p(first), ctypes.c_size_t(HUGE_BYTES), MADV_COLLAPSE)


def bytes_header(size: i64) -> memoryview:
    """Return the words of the header of a `bytes` object of `size` bytes, with references of its own so it is never
    freed.
    """
    words = vec[i64](capacity=VIEW_WORDS)
    for word in (OWN_REFERENCES, id(bytes), int(size), -1):
        words = append(words, i64(word))
    return memoryview(words)


def reserve_words(first: memoryview, count: i64, huge: bool) -> vec[i64]:
    """Return a vec of the words in `first` with room for `count`; the room is not touched yet, so it costs no
    memory.

    Linux places a mapping whose length is a multiple of 2 MiB on such a boundary; malloc's own words and the vec's
    fit into HEADS_BYTES. Without that, half of a frame's memory would lie in stretches that it shares.
    """
    size: i64 = count << 3
    if not huge or size < HUGE_BYTES:
        return vec[i64](first, capacity=count)
    mapped: i64 = (size + HEADS_BYTES + HUGE_BYTES - 1) & -HUGE_BYTES
    words = vec[i64](first, capacity=(mapped - HEADS_BYTES) >> 3)
    advise_huge(buffer_address(memoryview(words)), int(size))
    return words


def extend_zero(words: vec[i64], count: i64) -> vec[i64]:
    """Append `count` zero words; within the capacity nothing moves."""
    step: i64 = STEP_BYTES >> 3
    while count >= step:
        words = extend(words, ZERO_STEP)
        count -= step
    return extend(words, ZERO_STEP[:count]) if count else words


def view_of(frame: vec[i64]) -> bytes:
    """Return the frame's page as a `bytes` object that stands in the frame itself; b"" where views are not possible."""
    import ctypes

    if not MACHINE.has_views:
        return b""
    view: bytes = ctypes.cast(buffer_address(memoryview(frame)), ctypes.py_object).value
    return view


@final
class Frames:
    """The frames of the pages in memory: page number & mask is a page's slot.

    `words[slot]` is the frame, `views[slot]` its content as bytes, `ends[slot]` the address where its records end, 0
    while the page is still appended to. `frame_bytes` counts whole frames, spare ones included.
    """

    def __init__(self, page_bits: i64, slots: i64) -> None:
        self.views: vec[bytes] = vec[bytes]()  # before words: freed first
        self.spare_views: vec[bytes] = vec[bytes]()
        self.run_views: vec[bytes] = vec[bytes]()
        self.words: vec[vec[i64]] = vec[vec[i64]]()
        self.spare_words: vec[vec[i64]] = vec[vec[i64]]()
        self.run_words: vec[vec[i64]] = vec[vec[i64]]()
        self.no_words: vec[i64] = vec[i64]()
        self.ends: vec[i64] = vec[i64]()
        MACHINE.ask()
        self.has_views = MACHINE.has_views
        self.page_words: i64 = power_of_two(page_bits) >> 3
        self.mask: i64 = slots - 1
        self.frame_bytes: i64 = 0
        self.page_frames: i64 = 0
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
        self.ends[slot] = 0

    def prepare(self) -> None:
        """Add a spare frame. This allocates Python objects, so it is done between operations and not in one."""
        size: i64 = self.page_words
        # the first frame stays small until it is used: a huge page would make an empty store cost 2 MiB
        frame = reserve_words(bytes_header(size << 3), VIEW_WORDS + size, self.page_frames > 0)
        if size < STEP_BYTES >> 3:
            frame = extend_zero(frame, size)
        view = view_of(frame)  # runs Python code, which Ctrl-C may end: nothing has changed before
        self.spare_words = append(self.spare_words, frame)
        self.spare_views = append(self.spare_views, view)
        self.page_frames += 1
        self.frame_bytes += size << 3

    def prepare_run(self, words: i64) -> None:
        """Have one more frame of `words` ready for a record larger than a page; as `prepare`."""
        frame = extend_zero(reserve_words(bytes_header(words << 3), VIEW_WORDS + words, True), words)
        view = view_of(frame)
        self.run_words = append(self.run_words, frame)
        self.run_views = append(self.run_views, view)
        self.frame_bytes += words << 3

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
            self.frame_bytes -= (i64(len(self.run_words[run])) - VIEW_WORDS) << 3
            run += 1
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

    def fill(self, page: i64, data: bytes) -> None:
        """Put a page's bytes, whole words, into its frame."""
        slot: i64 = page & self.mask
        self.reach(page, len(data) >> 3)
        frame = self.words[slot]
        i: i64 = 0
        n: i64 = len(data) & -8
        while i < n:
            frame[VIEW_WORDS + (i >> 3)] = read_i64_le(data, i)
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
            self.frame_bytes -= words << 3
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
        self.frame_bytes -= self.page_words << 3
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
        self.frame_bytes = 0
        self.page_frames = 0
