"""Warming: pages that stand on the device come back into memory, the newest first, once they are read often.

After an opening that began with a checkpoint nothing is in memory. To bring everything back at once would make opening
slow, and each record has to be verified before it is read in place. So a page comes for some number of records that
were read from the device, which about doubles what those cost, as long as there are frames that nothing else needs.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.errors import CorruptionError
from oxidbm._core.log.cursor import Cursor
from oxidbm._core.log.hybrid_log import HybridLog

WARM_READS: Final = 4096  # a page of small records is verified in the time that so many reads take
WARM_READS_BESIDE: Final = 256  # where a thread does it beside the others


def wants_warming(log: HybridLog, reads: i64) -> bool:
    """Return whether so many records were read that a page should come back, and may."""
    return log.cold_reads >= reads and log.head > max(log.begin, i64(FIRST_ADDRESS)) and not log.memory_only


def warm(log: HybridLog) -> bool:
    """Bring the page below head back; False where there is no room for one, or it is not one of sound small records.

    Between operations: it reads the device, and prepares a frame.
    """
    log.cold_reads = 0
    head = log.head
    if head > log.tail or (log.frames.in_use() + 1) << log.page_bits > log.mutable_bytes() or not log.slots_free(1):
        return False
    base: i64 = (head - 1) & ~log.offset_mask
    data = log.read(base, min(log.page_bytes, head - base))
    end = sound_end(log, base, data)
    if end == 0 or (head & log.offset_mask != 0 and end != head) or not log.prepare_page():
        return False
    if log.head != head or log.shut or log.frames.spares() == 0:
        return False  # another thread was faster, or needs the frame
    log.bring_back(base >> log.page_bits, data, end, max(base, log.begin, i64(FIRST_ADDRESS)))
    return True


def sound_end(log: HybridLog, base: i64, data: bytes) -> i64:
    """Return where a page's records end, which have all been verified; 0 where one does not, or is larger than that."""
    cursor = Cursor(log, max(base, i64(FIRST_ADDRESS)), base + len(data))
    cursor.chunk = data
    cursor.chunk_start = base
    end: i64 = 0
    try:
        while cursor.step():
            if cursor.size() > log.page_bytes:
                return 0
            end = cursor.address + cursor.size()
    except CorruptionError:
        return 0  # whoever reads the record is told; or the page is part of a larger record
    return end
