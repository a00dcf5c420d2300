"""The reserve: space on the disk that items are not given, so that what is there can be taken and acknowledged.

A commit needs space, also one that gives some back. Where a disk that is full kept a queue from committing, nothing
could empty it any more; so a put is refused while there is still some left. Others write to the disk, too, so what is
free is asked for again before each put that is made durable, which costs a hundredth of that; else after some time,
after some bytes, and before each put while little is left. Asking costs as much as an append, or it would be each time.
"""

import errno
import time
from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.device.segments import FileDevice
from oxidbm._core.device.system import disk_space
from oxidbm._core.queue.queue_log import QueueLog

RESERVE_BYTES: Final = 4 << 20  # what emptying a queue takes until a file of 16 MiB is given back
SHARE: Final = 8  # of a small disk less is kept
LOOK_BYTES: Final = 64 << 10  # after so much was put there is another look, at the latest
LOOK_SECONDS: Final = 0.05  # or after so long
LITTLE_BYTES: Final = 1 << 20  # with less than so much, beside what is kept, there is one before each put


@final
class Reserve:
    """Looks after the disk of one queue."""

    def __init__(self, log: QueueLog, each_put: bool) -> None:
        self.log = log
        self.path: str | None = log.path
        self.each_put = each_put
        self.next_look: i64 = 0  # a tail of the log
        self.looked_at = 0.0

    def check(self, size: i64) -> None:
        """Raise OSError, ENOSPC, where items of so many bytes would leave too little; nothing was put then."""
        log = self.log.log
        if self.path is None:
            return
        now = 0.0
        if not self.each_put:
            now = time.monotonic()
            if log.tail + size < self.next_look and now < self.looked_at + LOOK_SECONDS:
                return
        device = log.device
        space = disk_space(device.directory.where() if isinstance(device, FileDevice) else self.path)
        if space is None:  # a write says better what is wrong
            return
        kept: i64 = min(i64(RESERVE_BYTES), space[0] // SHARE)
        free: i64 = space[1]
        left: i64 = free - (log.tail - log.flushed) - size - kept
        if left < 0:
            raise OSError(
                errno.ENOSPC,
                f"the disk has {free} bytes free, and the last {kept} are kept for acknowledging what is in "
                "the queue; nothing was put. Take and acknowledge items, or free space",
                self.path,
            )
        self.looked_at = now
        self.next_look = log.tail + size + LOOK_BYTES if left >= LITTLE_BYTES else 0
