"""The directory that a store's checkpoints are kept in.

A checkpoint is there when its `TOKEN.json` is, which is written aside and renamed once all that it names is durable.
What else is in the directory was left by a crash, and is deleted before the next checkpoint is written.
"""

import errno
from typing import final

from oxidbm._core.device.directory import (
    ASIDE_SUFFIX,
    CHECKPOINTS,
    IMAGE_SUFFIX,
    METADATA_SUFFIX,
    SNAPSHOT_SUFFIX,
    Directory,
)
from oxidbm._core.durability.checkpoint import METADATA_BYTES_MAX, Metadata, decode_metadata, encode_metadata
from oxidbm._core.durability.tokens import is_token, shown_token
from oxidbm._core.errors import CorruptionError, FormatError, alone


@final
class CheckpointFiles:
    """The directory of a store's checkpoints, which there may not be yet."""

    def __init__(self, store: Directory, store_id: bytes, mode: int) -> None:
        self.store = store
        self.store_id = store_id.hex()
        self.mode = mode
        self.directory: Directory | None = None

    def opened(self) -> Directory | None:
        """Return the directory, None where there is none; FormatError where something else has its name."""
        if self.directory is None and self.store.status(CHECKPOINTS) is not None:
            try:
                found = self.store.sub(CHECKPOINTS)
            except NotADirectoryError:
                place = self.store.place(CHECKPOINTS)
                raise alone(FormatError(f"{place} is no directory; delete it to have checkpoints")) from None
            if self.held() is None:
                self.directory = found
            else:  # another thread was faster
                found.close()
        return self.directory

    def held(self) -> Directory | None:
        """Return the directory, read anew: a second look in one function would be taken to be the first one's."""
        return self.directory

    def made(self) -> Directory:
        """Return the directory, which is made where there is none, durably."""
        directory = self.opened()
        if directory is None:
            self.store.make(CHECKPOINTS, self.mode)
            self.store.sync()
            directory = self.opened()
        assert directory is not None
        self.check_in_place(directory)
        return directory

    def check_in_place(self, directory: Directory) -> None:
        """Raise FileNotFoundError where the name leads to another directory by now, or to none.

        What is written to the one that is open, nobody would find there.
        """
        if not self.store.holds(CHECKPOINTS, directory):
            raise FileNotFoundError(
                errno.ENOENT,
                "the directory was deleted, moved or replaced while the store was open; put it back, or open the store "
                "again to have checkpoints",
                self.store.place(CHECKPOINTS),
            )

    def tokens(self) -> list[str]:
        """Return the tokens of the checkpoints that are there, the oldest first."""
        directory = self.opened()
        names = [] if directory is None else directory.names()
        return [name.removesuffix(METADATA_SUFFIX) for name in names if name.endswith(METADATA_SUFFIX)]

    def size(self) -> int:
        """Return the bytes of all files in the directory."""
        directory = self.opened()
        total = 0
        for name in [] if directory is None else directory.names():
            status = None if directory is None else directory.status(name)
            total += 0 if status is None else status.st_size
        return total

    def read(self, token: str) -> Metadata:
        """Return what a checkpoint's file says; FileNotFoundError, CorruptionError or FormatError."""
        metadata = self.read_of_any(token)
        if metadata.store_id != self.store_id:
            place = self.made_or_missing(token).place(token + METADATA_SUFFIX)
            raise CorruptionError(f"{place} is of another store, {metadata.store_id}; delete it")
        return metadata

    def read_of_any(self, token: str) -> Metadata:
        """As `read`, of whatever store it is."""
        directory = self.made_or_missing(token)
        name = token + METADATA_SUFFIX
        if not is_token(token):
            raise CorruptionError(f"{directory.place(ascii(name)[1:-1])} is not named as a checkpoint is; delete it")
        start = directory.read_start(name, 1)
        if start != b"{":  # it may be a gigabyte of zeros
            raise CorruptionError(f"{directory.place(name)} is not what was written: it begins with {start!r}")
        metadata = decode_metadata(directory.place(name), directory.read_start(name, METADATA_BYTES_MAX))
        if metadata.token != token:
            raise CorruptionError(f"{directory.place(name)} is of the checkpoint {metadata.token}; delete it")
        return metadata

    def made_or_missing(self, token: str) -> Directory:
        """Return the directory; FileNotFoundError where there is none."""
        directory = self.opened()
        if directory is None:
            raise FileNotFoundError(2, f"there is no checkpoint {shown_token(token)}", self.store.place(CHECKPOINTS))
        return directory

    def publish(self, metadata: Metadata) -> None:
        """Let a checkpoint be there, durably; what it names is durable already, but for the names."""
        directory = self.made()
        directory.sync()
        directory.write_aside(metadata.token + METADATA_SUFFIX, encode_metadata(metadata), self.mode)
        self.check_in_place(directory)  # it may have been moved since it was made sure of

    def remove(self, token: str) -> None:
        """Let a checkpoint be gone, durably, and then its files."""
        directory = self.opened()
        if directory is None:
            return
        for suffix in (METADATA_SUFFIX, METADATA_SUFFIX + ASIDE_SUFFIX, IMAGE_SUFFIX, SNAPSHOT_SUFFIX):
            try:
                directory.unlink(token + suffix)
            except FileNotFoundError:
                continue
            if suffix == METADATA_SUFFIX:
                directory.sync()

    def sweep(self) -> None:
        """Delete what a crash left of checkpoints that were not finished, or were being removed."""
        directory = self.opened()
        if directory is None:
            return
        known = set(self.tokens())
        for name in directory.names():
            token = name.partition(".")[0]
            if name.endswith((METADATA_SUFFIX + ASIDE_SUFFIX, IMAGE_SUFFIX, SNAPSHOT_SUFFIX)) and token not in known:
                directory.unlink(name)

    def close(self) -> None:
        """Close the directory."""
        directory = self.directory
        self.directory = None
        if directory is not None:
            directory.close()
