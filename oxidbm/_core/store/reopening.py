"""Reopening: a reader whose files are no longer those that it opened begins anew, in the place of what it had.

That is so after a recovery, which may have cut off what the reader knew; after a return to an older checkpoint; where
the store was replaced; and where a writer has deleted what lies between the reader's commit and the newest one. The
store is opened a second time, as by a program that comes new, and everything is exchanged in one instant. What the
walks that are under way need of the old one is kept until they have ended.
"""

from typing import final

from mypy_extensions import i64

from oxidbm._core.device.directory import LOG, STORE
from oxidbm._core.device.directory_lock import recovery_in
from oxidbm._core.device.segments import FileDevice
from oxidbm._core.durability.catch_up import Ground
from oxidbm._core.durability.rebuild import OverlayDevice
from oxidbm._core.durability.superblock import read_superblock
from oxidbm._core.errors import CorruptionError, FormatError, MissingError, StaleError, alone
from oxidbm._core.store.follower import Follower
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.opening import open_path


def attach_follower(handle: Handle) -> None:
    """Have a store that was opened to read only follow its writer."""
    if handle.options.checkpoint is None:
        handle.follower = Follower(handle.commits, Files(handle), handle.options.follow)
        handle.follower.start()


@final
class Files(Ground):
    """The files of one open store."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.path = handle.life.path
        self.passed: set[str] = set()  # snapshots that were no newer states after all

    def same(self) -> bool:
        """Return whether they are those that were opened, and nothing was cut off the log since."""
        handle = self.handle
        directory = handle.directory
        block = handle.superblock
        assert directory is not None
        assert block is not None
        if directory.removed() or directory.status(STORE) is None or recovery_in(directory) != handle.recovery_word:
            return False
        device = handle.table.log.device
        if isinstance(device, OverlayDevice):
            device = device.device
        if isinstance(device, FileDevice) and not directory.holds(LOG, device.directory):
            return False
        try:
            return read_superblock(directory).store_id == block.store_id
        except (CorruptionError, FormatError, FileNotFoundError):  # it is being replaced
            return False

    def newer_snapshot(self, sequence: i64) -> bool:
        """Return whether there is a snapshot of a later commit than that, which the log does not lead to.

        It is the newest state as long as the log has not gone on either, which beginning anew finds out; each is looked
        at once.
        """
        files = self.handle.files
        if files is None:
            return False
        for token in reversed(files.tokens()):
            number = token.partition("-")[0]
            if not (number.isascii() and number.isdigit()) or int(number) <= sequence:
                return False
            if token not in self.passed:
                self.passed.add(token)
                try:
                    if files.read(token).has_copy():
                        return True
                except (CorruptionError, FormatError, FileNotFoundError):
                    continue
        return False

    def has_checkpoint(self, token: str) -> bool:
        """Return whether there is the checkpoint of a token."""
        files = self.handle.files
        return files is not None and token in files.tokens()

    def begin_anew(self) -> bool:
        """Open the store a second time and exchange everything; False where it stands at the same commit."""
        handle = self.handle
        self.give_back_retired()
        if handle.options.device is not None:
            raise StaleError(
                f"{self.path} is not what it was when this reader opened it, and a device= of your own is not opened a "
                "second time; close this store and open it again"
            )
        try:
            fresh = open_path(self.path, handle.options)
        except MissingError:
            raise alone(
                MissingError(
                    2,
                    f"the store is gone; this reader still shows commit {handle.commits.sequence} of it. Close it, or "
                    "call refresh() again when there is a store",
                    self.path,
                )
            ) from None
        try:
            moved = identity(fresh) != identity(handle)
            if moved:
                with handle.life.gate:
                    handle.life.shut_gate()
                    exchange(handle, fresh)
                    handle.life.open_gate()
        finally:
            handle.retired.append(fresh)
        self.give_back_retired()
        return moved

    def give_back_retired(self) -> None:
        """Give back what was exchanged, where no walk needs it any more."""
        for old in list(self.handle.retired):
            if old.table.log.epoch.readers() == 0:
                self.handle.retired.remove(old)
                old.give_back()

    def give_up(self) -> None:
        """Close the store, since what it holds is neither the one commit nor the other."""
        self.handle.abandon()


def identity(handle: Handle) -> tuple[bytes, str, int, int]:
    """Return what is another one where the store, its log or its commit is."""
    block = handle.superblock
    assert block is not None
    return block.store_id, handle.recovery_word, int(handle.commits.sequence), int(handle.commits.address)


def exchange(handle: Handle, fresh: Handle) -> None:
    """Have a handle hold what another one holds, and the other way around; nothing else may run in here."""
    handle.commits.trade(fresh.commits)
    handle.table.log.life = handle.life
    handle.directory, fresh.directory = fresh.directory, handle.directory
    handle.files, fresh.files = fresh.files, handle.files
    handle.superblock, fresh.superblock = fresh.superblock, handle.superblock
    handle.recovery = fresh.recovery
    handle.recovery_word = fresh.recovery_word
