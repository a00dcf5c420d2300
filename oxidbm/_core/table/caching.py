"""How large the read cache is, and what is offered to it.

What copies take of the budget is taken from what was written last. The cache grows, up to half of what there is for
both, and to seven eighths while next to nothing is written, as long as one in EARNS of the reads of records on disk
finds a copy, or would have in a larger cache; where next to none does, it gives pages back, and so it does where the
log goes on and nobody reads copies. With `read_cache=` it is as large as that says.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.budget import PAGES
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.reader import Record
from oxidbm._core.log.record import content_words
from oxidbm._core.log.room import Room
from oxidbm._core.paging import FRAMES_MIN
from oxidbm._core.table.read_cache import ReadCache
from oxidbm._core.table.table import Table

OFF: Final = 0
AS_IT_EARNS: Final = -1
EARNS: Final = 16
EARNS_NOTHING: Final = 64
PAGES_FIRST: Final = 2
READ_MOSTLY: Final = 16
LEAST_BYTES: Final = 16384  # of which its first sets take a quarter
FRAMES_LEFT: Final = 2  # to the log whatever is read: more come back with what it writes


def offer(table: Table, log: HybridLog, found: Record) -> None:
    """Take note of a record that a read needed the device for, and copy it where it is worth that.

    Python code may run in here, as while a device reads.
    """
    if table.cache_limit == OFF or table.log is not log or log.shut:
        return
    cache = table.read_cache
    if cache is None:
        most: i64 = most_bytes(table, 0, True)
        if most < LEAST_BYTES:
            return
        cache = new_cache(table, log)
        if cache is None:
            return
        cache.most = most
        table.read_cache = cache
    if log.budget.free() < 0:
        log.trim()  # sets grow by themselves
    size: i64 = content_words(found.shape) << 3
    if size > cache.largest or not cache.note(found.address, size):
        return
    if cache.wants_page(size) and may_grow(table, cache) and not prepare(cache):
        return
    cache.keep(found.address, found.data, size)


def new_cache(table: Table, log: HybridLog) -> ReadCache | None:
    """Return a cache; None, now and from then on, where the system has no memory for one: a read needs none."""
    try:
        return ReadCache(log)
    except MemoryError as failure:
        if came_from_handler(failure):
            raise
        table.cache_limit = OFF
        return None


def prepare(cache: ReadCache) -> bool:
    """Have a frame for the next page of copies where the system has the memory; False where there is no cache now."""
    try:
        cache.prepare()
    except MemoryError as failure:
        if came_from_handler(failure):
            raise
        cache.turning = True
    if cache.gone:  # another thread has cleared the store, or closed it
        cache.frames.drop_spare()
    return not cache.gone


def most_bytes(table: Table, size: i64, read_mostly: bool) -> i64:
    """Return how many bytes a cache that has `size` may have as things are."""
    log = table.log
    both: i64 = log.budget.left_for(PAGES) + size
    most: i64 = table.cache_limit
    if most == AS_IT_EARNS:
        most = both - (both >> 3) if read_mostly else both >> 1
    return max(min(most, both - log.page_bytes * FRAMES_LEFT), i64(0))


def may_grow(table: Table, cache: ReadCache) -> bool:
    """Return whether to prepare a frame for a page of copies; it gives pages back where they are too many."""
    hits: i64 = cache.hits + cache.again - cache.weighed_hits
    lookups: i64 = cache.hits + cache.misses - cache.weighed_lookups
    cache.weighed_hits = cache.hits + cache.again
    cache.weighed_lookups = cache.hits + cache.misses
    written: i64 = table.log.records - cache.weighed_records
    cache.weighed_records = table.log.records
    cache.most = most_bytes(table, cache.size(), written * READ_MOSTLY < lookups)
    cache.turning = True
    while cache.size() > cache.most and cache.drop_page():
        pass
    if table.cache_limit == AS_IT_EARNS and cache.frames.page_frames >= PAGES_FIRST and hits * EARNS < lookups:
        if hits * EARNS_NOTHING < lookups and cache.frames.page_frames > PAGES_FIRST:
            cache.drop_page()
        return False
    if cache.size() + cache.page_bytes > cache.most or not find_room(table, cache):
        return False
    cache.turning = False
    return cache.frames.spares() == 0


def find_room(table: Table, cache: ReadCache) -> bool:
    """Return whether the budget has a page left; the log gives up one of its own for that, but not where all have room.

    A page of copies is no larger than one of the log.
    """
    log = table.log
    if log.budget.free() >= cache.page_bytes or log.frames.drop_spare():
        return True
    return not whole_log_has_room(table, cache) and log.evict_page() and log.frames.drop_spare()


def whole_log_has_room(table: Table, cache: ReadCache) -> bool:
    """Return whether all pages of the log may come back into memory, in place of copies."""
    log = table.log
    return log.tail - log.begin <= (log.budget.left_for(PAGES) + cache.size()) * 3 // 4


def give_page(log: HybridLog, cache: ReadCache) -> None:
    """Give up as much as a page of the log takes."""
    given: i64 = 0
    while given < log.page_bytes and cache.drop_page():
        given += cache.page_bytes


def give_way(table: Table) -> None:
    """Give up a page of the log's, which is about to come back, where all of them have room."""
    cache = table.read_cache
    if cache is not None and whole_log_has_room(table, cache):
        give_page(table.log, cache)


def go_on(table: Table) -> None:
    """Give a page back where the log has grown by one, and few copies were read meanwhile; as it is a step further."""
    cache = table.read_cache
    if cache is None:
        return
    log = table.log
    while log.budget.free() < 0 and cache.drop_page():
        pass
    written: i64 = log.records - cache.written_records
    if log.tail - cache.written_tail < log.page_bytes:
        return
    if table.cache_limit == AS_IT_EARNS and (cache.hits - cache.written_hits) * EARNS < written:
        give_page(log, cache)
    cache.written_tail = log.tail
    cache.written_records = log.records
    cache.written_hits = cache.hits


def make_room(table: Table, room: Room) -> None:
    """Give pages back for what the budget has to hold at once: a record larger than a page, a batch's pages."""
    cache = table.read_cache
    if cache is None or room.one_page():
        return
    log = table.log
    wanted: i64 = (room.pages + FRAMES_MIN) << log.page_bits
    for size in room.runs:
        wanted += size
    while log.budget.left_for(PAGES) < wanted and cache.drop_page():
        pass
    if log.budget.left_for(PAGES) < wanted:
        table.drop_read_cache()
