"""Backups of a store: its log up to a commit, and the newest image of its index, from which an opening goes on.

Without one the first opening would replay the log from its first record on, which takes minutes in a large store. An
image that nothing is left of, or that a writer removes meanwhile, is left out: it makes opening faster, no more.
"""

import os
from collections.abc import Iterator

from oxidbm._backup import CHUNK_BYTES, Backup, naming
from oxidbm._core.device.directory import CHECKPOINTS, Directory
from oxidbm._core.device.system import read_at, sync_file, write_at
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.found_commit import FoundCommit
from oxidbm._core.durability.source import Recovery, Source, commit_of
from oxidbm._core.errors import CorruptionError, FormatError
from oxidbm._earlier_backup import Earlier


class StoreBackup(Backup):
    """One backup of a store under way."""

    def fill_beside(self, into: Directory, found: FoundCommit | None, earlier: Earlier | None, link: bool) -> None:
        """Take the newest image over that goes with the log that the backup has."""
        if found is None or self.directory.status(CHECKPOINTS) is None:
            return
        files = CheckpointFiles(self.directory, self.block.store_id, self.mode)
        copies = CheckpointFiles(into, self.block.store_id, self.mode)
        try:
            for metadata in self.candidates(files, found):
                try:
                    self.take_over(files, copies, metadata, earlier, link)
                except FileNotFoundError:  # removed meanwhile
                    copies.sweep()
                else:
                    break
        finally:
            copies.close()
            files.close()

    def candidates(self, files: CheckpointFiles, found: FoundCommit) -> Iterator[Metadata]:
        """Yield the checkpoints that have an image of a commit of the backup's log, the newest first."""
        source = Source(files)
        source.read_all(Recovery())
        first = self.pieces(int(found.record.log.begin), int(found.end()))[0].start
        for metadata in reversed(source.known):
            if metadata.image_bytes == 0 or metadata.has_copy() or not first <= metadata.begin:
                continue
            if metadata.end > found.end():
                continue
            try:
                commit_of(self.log, metadata)
            except (CorruptionError, FormatError):
                continue
            yield metadata

    def take_over(
        self, files: CheckpointFiles, copies: CheckpointFiles, metadata: Metadata, earlier: Earlier | None, link: bool
    ) -> None:
        """Give the backup an image and what says of which commit it is; the first later one takes its place."""
        name = metadata.image_name()
        given = files.made_or_missing(metadata.token)
        taken = copies.made()
        kept = earlier is not None and kept_image(earlier, taken, name, metadata.image_bytes)
        if not kept and not (link and given.link(name, taken)):
            copy_file(given, taken, name, self.mode)
        metadata.automatic = True
        copies.publish(metadata)
        self.report.checkpoint = metadata.token
        self.report.checkpoint_bytes = metadata.image_bytes


def kept_image(earlier: Earlier, taken: Directory, name: str, size: int) -> bool:
    """Take an image over from the earlier backup, if it has all of it, and links can be made there."""
    if earlier.directory.status(CHECKPOINTS) is None:
        return False
    given = earlier.directory.sub(CHECKPOINTS)
    try:
        status = given.status(name)
        return status is not None and status.st_size == size and given.link(name, taken)
    finally:
        given.close()


def copy_file(given: Directory, taken: Directory, name: str, mode: int) -> None:
    """Copy a file that nobody writes, durably but for its name."""
    source = given.open(name, os.O_RDONLY)
    try:
        with naming(taken.place(name)):
            target = taken.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            at = 0
            while data := read_at(source, CHUNK_BYTES, at):
                with naming(taken.place(name)):
                    write_at(target, memoryview(data), at)
                at += len(data)
            with naming(taken.place(name)):
                sync_file(target)
        finally:
            os.close(target)
    finally:
        os.close(source)
