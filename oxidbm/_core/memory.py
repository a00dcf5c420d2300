"""Memory as the core holds it: vecs of words reserved whole, huge pages under them, and words seen as `bytes`.

What makes reading fast is that a vec's first VIEW_WORDS words can be laid out as the header of a `bytes` object whose
content is the words behind them. A slice of that object copies a value out in one memcpy (12 ns for 100 bytes, where a
loop over words takes 40 and a memoryview 80 to 180; docs/design.md). Rules that keep this sound:
1. a view is used within one compiled function and never stored outside of log/frames.py, returned, hashed or handed to
a caller: slices of it are real, independent bytes; 2. views are dropped before their words; 3. it is done only where
the layout of `bytes` was checked and the core is compiled (interpreted frames would keep views alive in tracebacks).

What makes writing long values fast is a `BytesWriter` whose fields are words of a vec of ours: it is told where to
write, and its `write` is one memcpy, which makes no object, calls nothing and so is one step with what stands around it
(`copy_into`). A frame says where it stands in the word of its header that would be the hash.
"""

import mmap
import sys
from collections.abc import Callable
from typing import Final, final

from librt.strings import BytesWriter
from librt.vecs import append, extend, vec
from mypy_extensions import i64

VIEW_WORDS: Final = 4
VIEW_BYTES: Final = VIEW_WORDS * 8
ADDRESS_WORD: Final = VIEW_WORDS - 1
WRITER_BYTES: Final = 296
STEP_BYTES: Final = 65536
ZERO_STEP: Final = memoryview(bytes(STEP_BYTES)).cast("q")
OWN_REFERENCES: Final = 1 << 29
PAGE_BYTES: Final = 4096
HUGE_BYTES: Final = 2097152
MADV_COLLAPSE: Final = 25  # Linux 6.1; the mmap module does not name it
HEADS_BYTES: Final = 512


def layout_known() -> bool:
    """Return whether a `bytes` object is reference count, type, length, hash and content, of 64 bits each.

    That is CPython with a GIL; without one an object's head is larger.
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


def writer_layout_known() -> bool:
    """Return whether a `BytesWriter` is a head, where its bytes stand, how many were written, and for how many is room.

    Compiled code has the places of the first three fields in it, as of the librt that it was compiled against.
    """
    import ctypes

    writer = BytesWriter()
    writer.write(b"seven b")
    start: int = id(writer)
    return (
        BytesWriter.__basicsize__ == WRITER_BYTES
        and ctypes.c_int64.from_address(start + 8).value == id(BytesWriter)
        and ctypes.c_int64.from_address(start + 16).value == start + 40
        and ctypes.c_int64.from_address(start + 24).value == 7
        and ctypes.c_int64.from_address(start + 32).value == WRITER_BYTES - 40
        and ctypes.string_at(start + 40, 7) == b"seven b"
    )


@final
class Machine:
    """What the frames of all stores need to know of the machine.

    It is found out with the first store, since importing ctypes takes time. `writer` is a `BytesWriter` whose fields
    stand in `writer_words`. What a writer was made of is kept for good: threads may each make one, and Ctrl-C may end
    that, but nothing is let go of then.
    """

    def __init__(self) -> None:
        self.asked = False
        self.has_views = False
        self.has_writer = False
        self.madvise: Callable[..., object] | None = None
        self.kept: list[memoryview] = []
        self.writer = BytesWriter()
        self.writer_words = vec[i64]()

    def ask(self) -> None:
        """Find out."""
        if not self.asked:
            self.has_views = layout_known()
            if self.has_views and not self.has_writer and writer_layout_known():
                self.make_writer()
            self.madvise = load_madvise()
            self.asked = True

    def make_writer(self) -> None:
        """Make the writer, with references of its own so that it is never freed."""
        import ctypes

        words = vec[i64](capacity=WRITER_BYTES >> 3)
        for word in (OWN_REFERENCES, id(BytesWriter)):
            words = append(words, i64(word))
        words = extend_zero(words, (WRITER_BYTES >> 3) - 2)
        view = memoryview(words)
        self.kept.append(view)
        writer: BytesWriter = ctypes.cast(buffer_address(view), ctypes.py_object).value
        self.writer = writer
        self.writer_words = words
        self.has_writer = True


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
    """Ask for huge pages under the whole 2 MiB stretches of a buffer that begins with one, but for a head before it.

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


def trim_memory() -> None:
    """Have malloc give back to the system what was freed, where it is glibc's.

    What it once gave for a block of some MiB it keeps for the next ones of that size (its threshold for maps grows with
    the first that is freed), and in the holes between them for good: half of an index that is gone.
    """
    import ctypes

    if sys.platform == "linux":
        try:
            trim = ctypes.CDLL(None).malloc_trim
        except (OSError, AttributeError):
            return
        trim(0)


def bytes_header(size: i64) -> memoryview:
    """Return the header of a `bytes` object of `size` bytes, with references of its own so that it is never freed."""
    words = vec[i64](capacity=VIEW_WORDS)
    for word in (OWN_REFERENCES, id(bytes), int(size), -1):
        words = append(words, i64(word))
    return memoryview(words)


def reserve_words(first: memoryview, count: i64, huge: bool) -> vec[i64]:
    """Return a vec of the words in `first` with room for `count`, which is not touched yet and costs no memory.

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
    """Return what stands behind a frame's header as `bytes` that stand in it; b"" where views are not possible."""
    import ctypes

    if not MACHINE.has_views:
        return b""
    address = buffer_address(memoryview(frame))
    view: bytes = ctypes.cast(address, ctypes.py_object).value
    if MACHINE.has_writer:
        frame[ADDRESS_WORD] = i64(address) + VIEW_BYTES
    return view


def copy_into(frame: vec[i64], at: i64, data: bytes) -> None:
    """Write `data`, which is not empty, from a word of a frame on, the last word padded with zeros, in one memcpy.

    The frame has its address; nothing can fail once the first byte is written.
    """
    size: i64 = len(data)
    stop: i64 = at + ((size + 7) >> 3)
    assert VIEW_WORDS <= at < stop <= len(frame)
    frame[stop - 1] = 0
    words = MACHINE.writer_words
    words[2] = frame[ADDRESS_WORD] + ((at - VIEW_WORDS) << 3)
    words[4] = size
    # A function of librt's: the C compiler, to which the words and the writer's fields are things apart, has to have
    # stored the ones before it, and to load the others after it.
    MACHINE.writer.truncate(0)
    MACHINE.writer.write(data)
