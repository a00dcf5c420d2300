"""recover(): a store goes back to one of its checkpoints, or the checkpoint becomes a store of its own.

A store need not open for any of this: what is looked at are the checkpoints' own files, and then the log up to one of
them. So it also helps where the log is damaged behind a checkpoint.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from oxidbm._backup import BackupReport, Progress
from oxidbm._core.device.directory import LOG
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.checkpoint import Checkpoint, Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.source import Recovery, Source
from oxidbm._core.durability.superblock import read_superblock
from oxidbm._core.durability.tokens import commit_in
from oxidbm._core.errors import MissingError
from oxidbm._core.store.arguments import to_token
from oxidbm._core.store.going_back import MODE, choose, directory_of, go_back
from oxidbm._core.store.store import Store
from oxidbm._opened import opened_quietly
from oxidbm._publish import path_of

if TYPE_CHECKING:
    from _typeshed import StrOrBytesPath

    import oxidbm

ATTEMPTS_MAX: Final = 100


def recover(
    path: "StrOrBytesPath", token: "str | oxidbm.Checkpoint | None" = None, to: "StrOrBytesPath | None" = None
) -> "oxidbm.Recovery":
    """Bring the store at `path` back to one of its checkpoints, for good, or make a store of its own of that state.

    path: a store; one that no process has open for writing, unless `to` is given.
    token: of the checkpoint, as `Store.checkpoints` lists them, not its name, or the Checkpoint itself; where none is
    given the newest one that holds a state, which may be the automatic one of the last close.
    to: a directory that is not there yet, or empty: it becomes a store with the checkpoint's state, and the one at
    `path` stays as it is, also while it is written. Until all of it is durable it is called TO.unfinished. It may be an
    earlier backup too, which is brought up to the checkpoint.

    Without `to`, what was written behind the checkpoint is deleted, and so are newer checkpoints; older ones stay. The
    checkpoint is opened and verified before anything is changed. Where it is a snapshot whose copy is not what the log
    went on with, that copy takes the place of what the log has there. Killed at any point the store opens as it was or
    as it was to be.

    Returns what the opening at the checkpoint found. Raises LockedError where the store is open for writing;
    MissingError where there is no store, or no such checkpoint; FormatError for a path that is a file, a checkpoint of
    the kind "index", and a `to` that no backup could be made to (see `Store.backup`); CorruptionError where the log, or
    the checkpoint, is not what was written. Costs an opening at the checkpoint; with `to`, O(log) on top.
    """
    chosen = to_token("token", token)
    name = path_of(os.fsdecode(path))
    found = go_back(name, chosen) if to is None else copy_of(name, chosen, to)[0]
    return cast("oxidbm.Recovery", found)


def copy_of(
    path: str, token: str | None, to: "StrOrBytesPath", progress: Progress | None = None
) -> tuple[Recovery, BackupReport]:
    """Make a store of its own of a checkpoint; return what opening the checkpoint and copying it say."""
    with opened_at(path, token) as store:
        report: BackupReport = store.backup(os.fsdecode(to), progress=progress)
        return store.recovery, report


def opened_at(path: str, token: str | None) -> Store:
    """Return the store at a checkpoint, opened to read; the newest one where no token is given."""
    attempt = 0
    while True:
        attempt += 1
        with looked_into(path) as files:
            chosen = choose(files, token).token
        try:
            return opened_quietly(path, read_only=True, checkpoint=chosen)
        except MissingError:  # a writer's next automatic one has taken its place
            if token is not None or attempt == ATTEMPTS_MAX:
                raise


@contextlib.contextmanager
def looked_into(path: str) -> Iterator[CheckpointFiles]:
    """Yield the files of a store's checkpoints, without opening the store."""
    directory = directory_of(path)
    try:
        files = CheckpointFiles(directory, read_superblock(directory).store_id, MODE)
        try:
            yield files
        finally:
            files.close()
    finally:
        directory.close()


def checkpoints_at(path: str) -> tuple[list[Checkpoint], list[str]]:
    """Return a store's checkpoints, the oldest first, and what is wrong with others, without opening the store."""
    with looked_into(path) as files:
        source, report = Source(files), Recovery()
        source.read_all(report)
        return [made_of(metadata) for metadata in source.known], report.faults


def made_of(metadata: Metadata) -> Checkpoint:
    """Return a checkpoint that is there."""
    checkpoint = Checkpoint(metadata)
    checkpoint.finish(None)
    return checkpoint


@dataclass
class Loss:
    """What going back to a checkpoint deletes: newer checkpoints, and bytes of the log behind it."""

    checkpoint: Checkpoint
    newer: list[str]
    bytes: int


def loss_of(path: str, token: str | None) -> Loss:
    """Return what going back to a checkpoint would delete; MissingError where there is none such."""
    with looked_into(path) as files:
        chosen = choose(files, token)
        newer = [other for other in files.tokens() if commit_in(other) > chosen.sequence]
        directory = files.store
        device = FileDevice(directory.sub(LOG), read_superblock(directory).page_bits, read_only=True)
        try:
            return Loss(made_of(chosen), newer, max(int(device.end()) - chosen.end, 0))
        finally:
            device.close()
