"""recover(): a store goes back to one of its checkpoints."""

import os
from typing import TYPE_CHECKING

from oxidbm._core.durability.recovery import Recovery
from oxidbm._core.store.going_back import go_back

if TYPE_CHECKING:
    from _typeshed import StrOrBytesPath


def recover(path: "StrOrBytesPath", token: str | None = None) -> Recovery:
    """Bring the store at `path` back to one of its checkpoints, for good, and return what was done.

    path: a store that no process has open for writing.
    token: of the checkpoint, as `Store.checkpoints` lists them; the newest one where none is given.

    What was written behind the checkpoint is deleted, and so are newer checkpoints; older ones stay. The checkpoint is
    opened and verified before anything is changed. Killed at any point the store opens as it was or as it was to be.

    Raises LockedError where the store is open for writing; MissingError where there is no store, or no such checkpoint;
    FormatError for one of the kind "index"; CorruptionError where the log, or the checkpoint, is not what was written.
    """
    return go_back(os.fsdecode(path), token)
