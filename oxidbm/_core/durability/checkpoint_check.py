"""What check() says of a store's checkpoints: each is read as recovery would read it, and nothing is repaired.

What its file says is held against its checksum and against the log: its commit record, and where its segments start.
Its image is decompressed, verified and made into an index that nobody uses, one after the other: while that is there
it takes what the store's own index takes, beside the budget. That each entry leads to the right record is not looked
at, since it would cost a read of the log for each: the image's checksum stands for that.
"""

from oxidbm._core.budget import Budget
from oxidbm._core.device.directory_lock import recovery_in
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.commit import Commits
from oxidbm._core.durability.rebuild import check_copy, is_in_log
from oxidbm._core.durability.recovery import read_image
from oxidbm._core.durability.source import commit_of
from oxidbm._core.errors import error


def check_checkpoints(commits: Commits, files: CheckpointFiles | None, recovery: str | None) -> list[str]:
    """Return a sentence for each fault of a checkpoint; one that is removed meanwhile has none.

    recovery: for a store that is open to read, the word that the last recovery had left when it was opened.
    """
    faults: list[str] = []
    if files is None:
        return faults
    epoch = commits.log.epoch
    slot = epoch.protect()  # no segment is deleted meanwhile
    try:
        for token in files.tokens():
            passed_by = is_passed_by(files, recovery)
            fault = fault_of(commits, files, token, passed_by)
            if fault and not passed_by and is_passed_by(files, recovery):  # meanwhile
                fault = fault_of(commits, files, token, True)
            if fault:
                faults.append(fault)
    finally:
        epoch.release(slot)
    commits.log.life.check_alive()  # what was closed meanwhile has faults without end
    return faults


def is_passed_by(files: CheckpointFiles, recovery: str | None) -> bool:
    """Return whether the log went on elsewhere than what a reader has of it, and a checkpoint may be of that."""
    return recovery is not None and recovery_in(files.store) != recovery


def fault_of(commits: Commits, files: CheckpointFiles, token: str, passed_by: bool) -> str:
    """Return a sentence for what keeps a checkpoint from being used, "" for nothing."""
    try:
        check_one(commits, files, files.read(token), passed_by)
    except (error, ImportError, FileNotFoundError) as failure:
        if token in files.tokens():
            return sentence_of(token, failure)
    return ""


def sentence_of(token: str, failure: BaseException) -> str:
    """Return what a failure says of a checkpoint, and what to do about it."""
    said = str(failure)
    if isinstance(failure, FileNotFoundError):
        said = f"{failure.filename} is missing"
    return f"the checkpoint {token} cannot be used: {said}. Opening passes over it; purge it, and make another one"


def check_one(commits: Commits, files: CheckpointFiles, metadata: Metadata, passed_by: bool) -> None:
    """Raise what keeps a checkpoint from being used.

    One that is newer than the commit that is read has its commit in a part of the log that is not: what is looked at
    are its own files. So it may be with any where a recovery has passed a reader by. A snapshot may be newer because
    they are damaged, and its state is lost.
    """
    log = commits.log
    later = passed_by or metadata.sequence > commits.durable_sequence
    if metadata.has_copy():
        said = check_copy(files, metadata).decoded()
        if not later and is_in_log(log, metadata):
            commit_of(log, metadata)
    elif later:
        return
    else:
        said = commit_of(log, metadata)
    if metadata.base is not None:
        files.read(metadata.base)
    elif metadata.has_image():
        read_image(files, metadata, said, Budget(log.budget.limit))
