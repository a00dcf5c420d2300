"""Going back: a store's directory is brought to the state of one of its checkpoints, for good.

The checkpoint is opened first, as it will be afterwards; only then something changes. Newer checkpoints go, durably,
then the mark of a clean end, then what the log has behind the checkpoint. Killed in between it leaves a store that
opens, as it was or as it was to be, and it can be begun again.
"""

from typing import Final

from mypy_extensions import i64

from oxidbm._core.address import FIRST_ADDRESS, power_of_two
from oxidbm._core.device.directory import LOG, STORE, Directory
from oxidbm._core.device.directory_lock import DirectoryLock, note_recovery
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.checkpoint import Metadata
from oxidbm._core.durability.checkpoint_files import CheckpointFiles
from oxidbm._core.durability.rebuild import assemble, is_in_log, put_in_log
from oxidbm._core.durability.source import Recovery, Source
from oxidbm._core.durability.superblock import CleanMark, Superblock, read_superblock, remove_mark, write_mark
from oxidbm._core.durability.tokens import commit_in
from oxidbm._core.errors import FormatError, MissingError, alone
from oxidbm._core.log.reader import log_to_read
from oxidbm._core.paging import FRAMES_MIN
from oxidbm._core.store.opening import open_log
from oxidbm._core.store.options import Options

MODE: Final = 0o666


def go_back(path: str, token: str | None) -> Recovery:
    """Bring the store at `path` to a checkpoint, the newest one where no token is given."""
    directory = directory_of(path)
    lock: DirectoryLock | None = None
    try:
        lock = DirectoryLock(directory, MODE)
        block = read_superblock(directory)
        files = CheckpointFiles(directory, block.store_id, MODE)
        try:
            chosen = choose(files, token)
            memory = max(256 << 20, int(FRAMES_MIN * power_of_two(block.page_bits)))
            options = Options(memory, int(power_of_two(block.page_bits)), "manual", 1.0)
            options.read_only = True
            options.checkpoint = chosen.token
            handle = open_log(directory, options, block)
            count = int(handle.table.count + handle.table.pending.count())
            handle.abandon()
            for other in files.tokens():
                if commit_in(other) > chosen.sequence:  # one of the same commit is of this state, too
                    files.remove(other)
            files.sweep()  # an image that a killed process had begun may be as large as the index
            remove_mark(directory)
            note_recovery(directory, MODE)
            device = FileDevice(directory.sub(LOG), block.page_bits, mode=MODE)
            try:
                handle.recovery.bytes_cut = max(int(device.end()) - chosen.end, 0)
                bring_log_back(path, device, block, files, chosen)
            finally:
                device.close()
            note_recovery(directory, MODE)  # once more: a reader may have opened the log as it was, by the first word
            write_mark(directory, block, CleanMark(chosen.end, chosen.sequence, count), MODE)
            return handle.recovery
        finally:
            files.close()
    finally:
        if lock is not None:
            lock.close()
        directory.close()


def directory_of(path: str) -> Directory:
    """Return the directory of a store that is there; MissingError or FormatError where there is none."""
    try:
        directory = Directory(path)
    except FileNotFoundError:
        raise alone(MissingError(2, "there is no store", path)) from None
    except NotADirectoryError:
        raise alone(FormatError(f"{path} is a file; a store is a directory. Choose another path")) from None
    try:
        if directory.status(STORE) is None:
            raise MissingError(2, "the directory holds no store", path)
    except BaseException:
        directory.close()
        raise
    return directory


def bring_log_back(path: str, device: FileDevice, block: Superblock, files: CheckpointFiles, chosen: Metadata) -> None:
    """Have the log end with a checkpoint; what a snapshot has of its own is read before anything is cut off."""
    log = log_to_read(device, path, block.page_bits, i64(block.checksum_key()), FIRST_ADDRESS)
    if not chosen.has_copy() or is_in_log(log, chosen):
        device.go_back_to(i64(chosen.end))
        return
    source = Source(files)
    source.read_all(Recovery())
    spill = assemble(files, source.chain_of(chosen))
    try:
        device.go_back_to(max(i64(chosen.copied_from), i64(chosen.durable_to)))  # below it the checkpoint would be lost
        put_in_log(log, spill, i64(chosen.durable_to))
    finally:
        spill.close()


def choose(files: CheckpointFiles, token: str | None) -> Metadata:
    """Return the checkpoint of a token, or the newest one that can be gone back to."""
    source = Source(files)
    source.read_all(Recovery())
    if token is not None:
        return source.find(token)
    for metadata in reversed(source.known):
        if metadata.is_state():
            return metadata
    raise MissingError(2, "the store has no checkpoint that could be gone back to", files.store.path)
