"""An earlier backup in the place of a new one: whose it is, and what of it is taken over.

It has the store's id, and is told from a store that went its own way by its last commit, which the store must have too,
byte for byte. No writer has it open meanwhile, and only its directory's name changes.
"""

import contextlib
import os
from collections.abc import Iterator

from oxidbm._core.device.directory import LOG, SEGMENT_SUFFIX, STORE, Directory
from oxidbm._core.device.directory_lock import noted_backup
from oxidbm._core.device.open_file import OpenFile
from oxidbm._core.device.system import read_at
from oxidbm._core.durability.commit_record import COMMIT_RECORD_BYTES
from oxidbm._core.durability.found_commit import FoundCommit
from oxidbm._core.durability.superblock import Superblock, read_mark, read_superblock
from oxidbm._core.errors import CorruptionError, FormatError, LockedError
from oxidbm._core.log.hybrid_log import HybridLog
from oxidbm._publish import beside_no_writer


class Earlier:
    """An earlier backup of the store, as it is found in the target's place."""

    def __init__(self, path: str, directory: Directory, block: Superblock) -> None:
        self.path = path
        self.page_bits = block.page_bits
        self.directory = directory
        self.log = self.take(block)
        self.sizes = {name: self.log.stat(name, True).st_size for name in self.log.names()}

    def take(self, block: Superblock) -> Directory:
        """See that it is a backup of the store with this superblock, closed cleanly, and return its log's directory."""
        if self.directory.status(STORE) is None:
            raise FormatError(
                f"{self.path} is there already, and no backup; name a directory that is not, or an empty one"
            )
        try:
            if read_superblock(self.directory, block.kind).store_id != block.store_id:
                raise FormatError(f"{self.path} holds another {block.kind.what}; name another directory")
            mark = read_mark(self.directory, block)
        except CorruptionError as failure:
            raise FormatError(
                f"{self.path} is no sound backup: {failure}; delete it, or name another directory"
            ) from None
        if mark is None:
            raise FormatError(
                f"{self.path} was opened to write and not closed, so it is no backup any more; name another directory"
            )
        self.tail = mark.tail
        self.sequence = mark.sequence
        self.untouched = noted_backup(self.directory) == mark.sequence
        return self.directory.sub(LOG)

    def check_course(self, log: HybridLog, found: FoundCommit | None, begin: int) -> None:
        """Raise FormatError unless the store has the backup's last commit, or compacted what was before it away."""
        if self.sequence == 0:
            return
        sequence = 0 if found is None else int(found.record.log.sequence)
        at = self.tail - COMMIT_RECORD_BYTES
        name = log.life.name()
        if self.sequence > sequence:
            why = (
                f"holds commit {self.sequence}, and {name} only {sequence}: the backup was written to, or the store "
                "was restored from a copy, or went back to a checkpoint"
            )
        elif at >= begin and self.read(at, COMMIT_RECORD_BYTES) != log.read(at, COMMIT_RECORD_BYTES):
            why = f"holds another commit {self.sequence} than {name}: one of them changed since, or it is a snapshot's"
        elif at < begin and not self.untouched:
            why = f"was opened to write since it was made, and {name} no longer has what tells whether it was written"
        else:
            return
        raise FormatError(f"{self.path} {why}. Name another directory")

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of its log, fewer where a file ends."""
        names = [name for name in self.sizes if name.endswith(SEGMENT_SUFFIX)]
        before = [name for name in names if int(name.removesuffix(SEGMENT_SUFFIX)) << self.page_bits <= address]
        if not before:
            return b""
        with OpenFile(self.log, before[-1], os.O_RDONLY) as descriptor:
            return read_at(descriptor, size, address - (int(before[-1].removesuffix(SEGMENT_SUFFIX)) << self.page_bits))


@contextlib.contextmanager
def earlier_in(target: str, block: Superblock) -> Iterator[Earlier | None]:
    """Yield the earlier backup that the target is, which no writer opens meanwhile; None where it is to be made."""
    if not os.path.lexists(target) or not os.listdir(target):
        yield None
        return
    directory = Directory(target)
    try:
        with beside_no_writer(directory) as free:
            if not free:
                raise LockedError(f"{target} is open for writing; close it there, or name another directory")
            earlier = Earlier(target, directory, block)
            try:
                yield earlier
            finally:
                earlier.log.close()
    finally:
        directory.close()
