"""Backups of a log that stands alone: as of a store's, its files up to a commit, with where its named readers stand."""

from collections.abc import Callable
from typing import Any

from oxidbm._backup import Backup, Copied
from oxidbm._core.device.directory import Directory
from oxidbm._core.durability.found_commit import FoundCommit
from oxidbm._core.durability.superblock import CleanMark, Superblock
from oxidbm._earlier_backup import Earlier
from oxidbm._publish import Path

CopyReaders = Callable[[Directory, Directory, Any, int], None]


class LogBackup(Backup):
    """One backup of a log under way; `copy_readers` is what knows their files."""

    def __init__(
        self, commits: Copied, directory: Directory, block: Superblock, to: Path, copy_readers: CopyReaders
    ) -> None:
        super().__init__(commits, directory, block, to)
        self.copy_readers = copy_readers

    def mark_for(self, found: FoundCommit) -> CleanMark:
        """Return the mark of a clean end behind a commit."""
        table = found.record.table
        return CleanMark(int(found.end()), int(found.record.log.sequence), int(table.count - table.live_bytes))

    def fill_beside(self, into: Directory, found: FoundCommit | None, earlier: Earlier | None, link: bool) -> None:
        """Have the named readers go on where they stand in the log, and not behind the backup's end."""
        if found is not None:
            self.copy_readers(self.directory, into, found, self.mode)
