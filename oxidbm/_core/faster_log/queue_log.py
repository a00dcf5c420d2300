"""The log below a queue: a log whose directory says that it is a queue's, so that neither is opened as the other."""

from typing import final

from oxidbm._core.durability.superblock import A_QUEUE, Kind
from oxidbm._core.faster_log.follow import LogFollower
from oxidbm._core.faster_log.log import Log


@final
class QueueLog(Log):
    """A log as `oxidbm.queue` opens it; its entries are described there."""

    kind: Kind = A_QUEUE

    def on_disk(self, follower: LogFollower) -> bool:
        """Return whether the next entry has to be read from the device, which may take its time."""
        return follower.entries.cursor.following < self.log.head
