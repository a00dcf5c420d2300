"""Ahead: what a writer beside this reader has appended comes into memory before the log goes on to it.

A log that was opened to read only has pages in memory as recovery left them. To move it to a newer commit, the pages
behind its tail are read into frames first, where nobody looks, and then `go_on` has the log reach over them, in one
stretch. What does not fit is left on the device, and with it all that is older: what is in memory has no gaps.
"""

from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.warm import warm


def take_ahead(log: HybridLog, pages: vec[i64], ends: vec[i64]) -> bool:
    """Have in memory what was appended to these pages, up to these ends; False where there is no room for it."""
    if not log.tail_open and log.tail & log.offset_mask != 0 and not warm(log) and not log.tail_open:
        return False  # the page of the tail is not in memory, and no other thread has brought it there meanwhile
    i: i64 = 0
    try:
        while i < len(pages) and take_page(log, pages[i], ends[i]):
            i += 1
    except BaseException:
        forget_ahead(log, pages)
        raise
    if i < len(pages):
        forget_ahead(log, pages)
    return i == len(pages)


def is_ahead(log: HybridLog, page: i64) -> bool:
    """Return whether a page has no frame yet, or one that only `take_ahead` has given it."""
    return page << log.page_bits >= log.tail


def take_page(log: HybridLog, page: i64, end: i64) -> bool:
    """As `take_ahead`, of one page or run of pages; a frame that the tail's page has is filled up."""
    frames = log.frames
    base: i64 = page << log.page_bits
    start: i64 = max(base, log.tail)
    if is_ahead(log, page):
        if not room_ahead(log, page, end - base):
            return False
        if end - base > log.page_bytes:
            frames.prepare_run((end - base) >> 3)
            frames.open_run(page, (end - base) >> 3)
        else:
            while frames.spares() == 0:
                frames.prepare()
            frames.open(page)  # nothing has run since that was asked: a read that warms memory takes a frame as well
    data = log.read(start, end - start)
    frames.fill(page, data, (start - base) >> 3)
    return len(data) == end - start


def room_ahead(log: HybridLog, page: i64, size: i64) -> bool:
    """Make room for so many bytes of a page, or run of pages, by evicting older ones; False where that is not enough.

    The tail's page cannot go.
    """
    frames = log.frames
    pages: i64 = page - (log.tail >> log.page_bits) + ((size + log.offset_mask) >> log.page_bits)
    while True:
        run: bool = size > log.page_bytes
        lacking = size > log.budget.free() if run else frames.in_use() >= log.frames_allowed()
        if not lacking and log.slots_free(pages):
            return True
        if not (run and lacking and frames.drop_spare()) and not log.evict_page():
            return False


def forget_ahead(log: HybridLog, pages: vec[i64]) -> None:
    """Give back what `take_ahead` has taken."""
    for page in pages:
        if is_ahead(log, page) and len(log.frames.words[page & log.frames.mask]) > 0:
            log.frames.close(page)


def go_on(log: HybridLog, begin: i64, tail: i64, pages: vec[i64], ends: vec[i64], taken: bool) -> None:
    """Have the log reach up to the commit that ends at `tail`; `taken` says whether its pages are in memory."""
    frames = log.frames
    head: i64 = log.head
    page: i64 = log.tail >> log.page_bits
    if not taken:
        while page >= head >> log.page_bits:
            if len(frames.words[page & frames.mask]) > 0:
                frames.close(page)
            page -= 1
        log.follow_to(begin, tail, tail)
        return
    if log.tail_open:
        frames.ends[page & frames.mask] = log.tail
    if head == log.tail:  # nothing was in memory
        head = max(head, pages[0] << log.page_bits)
    i: i64 = 0
    while i < len(pages):
        at_tail: bool = ends[i] == tail and tail & log.offset_mask != 0
        frames.ends[pages[i] & frames.mask] = 0 if at_tail else ends[i]
        i += 1
    log.follow_to(begin, head, tail)
