"""Flushing: how the log reaches its device, up to an address or as far as the next frame needs.

Other threads run meanwhile; one at a time writes, under the log's flush lock. A failed write poisons the store. What a
signal handler raised meanwhile does not, and what it kept from being written is written the next time.
"""

import errno
import time
from typing import Final

from mypy_extensions import i64

from oxidbm._core.budget import INDEX
from oxidbm._core.errors import FullError
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._core.log.room import Room

FLUSH_BYTES: Final = 4194304
SLICE_WORDS: Final = 65536
SLICE_WORDS_MAX: Final = 262144  # about a millisecond
SLICES: Final = 256  # that what is to be sealed is cut into, where they have these sizes
SHORTAGES: Final = (errno.EMFILE, errno.ENFILE)  # only opening a file says so: nothing was written, and it may be again


def flush_to(log: HybridLog, target: i64) -> None:
    """Write the sealed log up to `target` to the device; a failure poisons the store."""
    with log.flush_lock:
        log.use.check_written_to()
        log.life.check_not_poisoned()
        try:
            log.prelude.run()
            while log.flushed < target and log.flush_step(FLUSH_BYTES):
                pass
        except OSError as failure:
            if failure.errno in SHORTAGES:
                raise
            log.life.poison_with(failure)
            log.life.blocked_write()


def seal_to(log: HybridLog, target: i64) -> None:
    """Seal the log up to `target` in slices between which the GIL is given away.

    Giving it away costs this thread up to a switch interval a slice; being asked for it would cost the other one that.
    """
    slice_words: i64 = min(max((target - log.sealed) // (8 * SLICES), i64(SLICE_WORDS)), i64(SLICE_WORDS_MAX))
    while not log.seal_step(target, slice_words):
        time.sleep(0)
        if log.shut:
            log.life.blocked_read()


def flush_for(log: HybridLog, room: Room) -> None:
    """Seal and flush the oldest unflushed page, where that is needed before the log can have such room.

    FullError when there is none left to flush.
    """
    log.life.check_not_poisoned()
    if log.shut:
        log.life.blocked_read()
    if log.prepare(room):
        return
    flushed = log.flushed
    if flushed >= log.tail:
        budget = log.budget
        raise FullError(
            f"{log.life.called()} needs more than its memory budget of {budget.limit} bytes: the index takes "
            f"{budget.held[INDEX]} and {budget.frame_bytes()} are in page frames. Open it with a larger memory="
        )
    target = min(log.tail, log.next_page(flushed + 1))
    if log.sealed < target:
        seal_to(log, target)
    flush_to(log, target)
