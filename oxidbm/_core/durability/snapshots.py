"""Taking snapshots: what a checkpoint of these kinds has besides an image, a copy of what stands in memory alone.

The commit is cut aside: its record goes to the snapshot, and the log is frozen only until all was copied, so that
afterwards records are updated in place as before. An incremental snapshot builds on the last one: it leaves out what
has not changed since (see log/snapshot), and shares the image of the first of its chain, to which it adds where records
were deleted in place; whatever else changed the index left a record. A snapshot that fails takes the signs along by
which changes are told, and the next incremental one is a whole one.
"""

from typing import final

from librt.vecs import vec
from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.commit import Aside, Commits
from oxidbm._core.durability.snapshot_file import SnapshotHeader, SnapshotWriter
from oxidbm._core.log.flush import flush_to
from oxidbm._core.log.reader import record_at
from oxidbm._core.log.record import CHECKSUM_MASK
from oxidbm._core.log.snapshot import LogCopy


@final
class Snapshots:
    """Takes the snapshots of an open store, one at a time."""

    def __init__(self, commits: Commits, files: CheckpointFiles) -> None:
        self.commits = commits
        self.log = commits.log
        self.files = files
        self.aside: Aside | None = None  # the commit of the one that is taken
        self.copy = LogCopy(commits.log)
        self.writer: SnapshotWriter | None = None
        self.base: Metadata | None = None  # the last one, whose signs are all there
        self.builds_on: Metadata | None = None
        self.buried: vec[i64] = vec[i64]()
        self.copied_from: i64 = FIRST_ADDRESS
        self.previous: i64 = 0
        self.durable_to: i64 = 0
        self.frozen = False

    def begin(self, aside: Aside, incremental: bool) -> None:
        """Begin, in the instant of the cut; nothing but compiled code runs in here."""
        log = self.log
        self.aside = aside
        self.builds_on = self.base if incremental else None
        self.base = None
        self.previous = self.commits.address
        self.durable_to = self.commits.durable_tail
        self.copied_from = max(log.flushed & ~log.offset_mask, i64(FIRST_ADDRESS))  # where a record begins
        builds_on = self.builds_on
        self.copy.begin(self.copied_from, aside.copied_to, 0 if builds_on is None else i64(builds_on.copied_to))
        if builds_on is None:
            log.noted_until = aside.copied_to
            self.buried = vec[i64]()
        else:
            self.buried = log.buried
        log.buried = vec[i64]()
        self.frozen = True

    def taking(self) -> bool:
        """Return whether one is taken."""
        return self.aside is not None

    def write_some(self, metadata: Metadata) -> bool:
        """Copy and write the next slice; False behind the last one."""
        writer = self.writer
        if writer is None:
            writer = self.opened(metadata)
        if not self.copy.step():
            return False
        writer.write_pieces(self.copy)
        return True

    def opened(self, metadata: Metadata) -> SnapshotWriter:
        """Return the new file, begun."""
        aside = self.aside
        assert aside is not None
        metadata.copied_from = int(self.copied_from)
        metadata.copied_to = int(aside.copied_to)
        metadata.previous = int(self.previous)
        metadata.durable_to = int(self.durable_to)
        metadata.commit_sum = aside.checksum()
        if 0 < self.previous < self.durable_to:
            metadata.previous_sum = f"{int(record_at(self.log, self.previous).seal & CHECKSUM_MASK):08x}"
        builds_on = self.builds_on
        metadata.base = None if builds_on is None else builds_on.token
        header = SnapshotHeader(
            int(aside.record.log.sequence),
            int(aside.address),
            metadata.copied_from,
            metadata.copied_to,
            metadata.previous,
        )
        header.record = aside.data
        self.writer = SnapshotWriter(self.files.made(), metadata.snapshot_name(), self.files.mode, metadata.level)
        self.writer.write_header(header, self.buried)
        return self.writer

    def thaw(self) -> None:
        """Let records be updated in place again, since all is copied; a second time does nothing."""
        if self.frozen:
            self.frozen = False
            self.log.thaw()

    def sync_log(self) -> None:
        """Make durable what the snapshot needs of the log, and that the store is no longer as it was closed."""
        flush_to(self.log, self.log.flushed)
        with self.commits.turn():
            self.commits.sync_device(self.log)

    def finish(self, metadata: Metadata) -> None:
        """Make the file durable."""
        writer = self.writer
        assert writer is not None
        writer.finish()
        metadata.snapshot_bytes = int(writer.file.bytes)
        metadata.snapshot_raw_bytes = int(writer.file.raw_bytes)
        metadata.snapshot_sum = writer.file.sum.hex()
        self.writer = None

    def published(self, metadata: Metadata) -> None:
        """Take note that it is there, and its commit durable."""
        self.base = metadata
        self.aside = self.builds_on = None
        self.buried = vec[i64]()
        self.commits.aside_durable(i64(metadata.sequence))

    def drop(self) -> None:
        """Give up the one that is taken; a second time does nothing."""
        self.thaw()
        writer = self.writer
        self.writer = None
        if writer is not None:
            writer.file.close()
        if self.aside is not None:
            self.aside = self.builds_on = None
            self.forget_base()

    def forget_base(self) -> None:
        """Have the next one build on none."""
        self.base = self.builds_on = None
        self.buried = vec[i64]()
        self.log.noted_until = 0
        self.log.buried = vec[i64]()
