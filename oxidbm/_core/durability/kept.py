"""The checkpoints that are kept, what each holds of the log, and how one is removed.

A checkpoint holds the log's segments from its begin on. One that another builds on stays as long as that one does. What
is durable by a snapshot alone is made so by a commit before that goes. Whoever calls holds the checkpointer's lock.
"""

from typing import final

from mypy_extensions import i64

from oxidbm._core.address import ADDRESS_MAX
from oxidbm._core.device.directory import CHECKPOINTS
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.schedule import Schedule
from oxidbm._core.durability.snapshots import Snapshots
from oxidbm._core.durability.source import said_of_missing
from oxidbm._core.errors import BusyError, MissingError


@final
class Kept:
    """The checkpoints of an open store, the oldest first."""

    def __init__(self, commits: Commits, files: CheckpointFiles, snapshots: Snapshots, schedule: Schedule) -> None:
        self.commits = commits
        self.log = commits.log
        self.files = files
        self.snapshots = snapshots
        self.schedule = schedule
        self.known: list[Metadata] = []
        self.tickets: dict[str, int] = {}

    def add(self, metadata: Metadata) -> None:
        """Keep a checkpoint, and with it the log that it needs."""
        self.known.append(metadata)
        self.tickets[metadata.token] = self.commits.holds.take(i64(metadata.begin))

    def holds_back(self) -> i64:
        """Return how much of the log is kept for the newest automatic checkpoint alone."""
        newest: i64 = ADDRESS_MAX
        others: i64 = ADDRESS_MAX
        for metadata in self.known:
            if metadata.automatic:
                newest = metadata.begin
            else:
                others = min(others, i64(metadata.begin))
        return max(min(self.log.begin, others) - newest, i64(0))

    def purge(self, keep: int | None, token: str | None) -> list[str]:
        """Remove the checkpoint of a token, or those that were asked for but for the newest `keep`."""
        if (keep is None) == (token is None):
            raise ValueError("purge() takes either keep=, how many of the newest checkpoints stay, or token=")
        if keep is not None and keep < 0:
            raise ValueError(f"keep is the number of checkpoints that stay, not {keep}")
        if token is not None:
            chosen = [metadata for metadata in self.known if metadata.token == token]
            if not chosen and token in self.files.tokens():  # one that is damaged, which holds nothing
                self.files.remove(token)
                return [token]
            if not chosen:
                raise MissingError(2, said_of_missing(self.known, token), self.files.store.place(CHECKPOINTS))
            if self.is_base(chosen[0]):
                later = next((other.token for other in self.known if other.base == token), "that is being made")
                raise BusyError(f"the checkpoint {later} builds on {token}: purge it first, or both with keep=")
        else:
            chosen = [metadata for metadata in self.known if not metadata.automatic]
            chosen = chosen[: max(len(chosen) - (0 if keep is None else keep), 0)]
        removed: list[str] = []
        for metadata in reversed(chosen):
            if not self.is_base(metadata):
                self.remove(metadata)
                removed.append(metadata.token)
        removed.reverse()
        return removed

    def is_base(self, metadata: Metadata) -> bool:
        """Return whether a checkpoint that is there, or is being made, builds on this one."""
        if self.snapshots.builds_on is metadata and self.snapshots.taking():
            return True
        return any(other.base == metadata.token for other in self.known)

    def purge_automatic(self, newest: Metadata) -> None:
        """Remove the automatic checkpoints before the one that was made last."""
        for metadata in list(self.known):
            if metadata.automatic and metadata is not newest:
                self.remove(metadata)

    def remove(self, metadata: Metadata) -> None:
        """Remove a checkpoint, and give back the part of the log that only it needed."""
        if metadata.has_copy() and metadata.sequence > self.commits.logged_durable:
            self.commits.commit()
        if self.snapshots.base is metadata:
            self.snapshots.forget_base()
        self.files.remove(metadata.token)
        self.known.remove(metadata)
        self.schedule.gone(metadata.token)
        self.commits.release(self.tickets.pop(metadata.token))
