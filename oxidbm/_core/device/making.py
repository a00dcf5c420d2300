"""Making a directory: what a path has to be before a store, or a log that stands alone, can be opened or made there."""

import os
from typing import final

from oxidbm._core.device.directory import BEFORE_A_STORE, DIRECTORY_BITS, LOG, SEGMENT_SUFFIX, STORE
from oxidbm._core.errors import CorruptionError, FormatError, MissingError, alone


@final
class Making:
    """Whether a directory may be made, for `what` and with which permissions; `own_log`: its log is to be in it."""

    def __init__(self, what: str, allowed: bool, mode: int, own_log: bool) -> None:
        self.what = what
        self.allowed = allowed
        self.mode = mode
        self.own_log = own_log

    def missing(self, path: str) -> MissingError:
        """Return the error where there is nothing, and nothing may be made."""
        return MissingError(2, f"there is no {self.what} to open, and this call may not make one", path)

    def none_in(self, path: str) -> MissingError:
        """As `missing`, of a directory that has none."""
        return MissingError(2, f"the directory holds no {self.what}, and this call may not make one", path)


def prepare_directory(path: str, making: Making) -> None:
    """See that the path is the directory of a store, or of a log that stands alone, or may become one."""
    if not path:
        raise ValueError(f"the path of a {making.what} is empty; name a directory, or leave it out for one in memory")
    log = os.path.join(path, LOG)
    if os.path.lexists(os.path.join(path, STORE)) and os.path.isdir(log):
        return  # what the names would say, at a third of the system calls
    try:
        names = set(os.listdir(path))
    except NotADirectoryError:
        raise alone(FormatError(f"{path} is a file; a {making.what} is a directory. Choose another path")) from None
    except FileNotFoundError:
        if not making.allowed:
            raise alone(making.missing(path)) from None
        make_directory(path, making)
        names = set()
    if LOG in names and not os.path.isdir(log):
        raise FormatError(
            f"{log} is no directory, as a {making.what}'s is; put that back, or restore the {making.what} from a copy"
        )
    if STORE in names:
        if LOG not in names and making.own_log and not os.path.isdir(log):
            raise CorruptionError(f"{os.path.join(path, LOG)} is missing; restore the {making.what} from a copy")
        return
    fault = fault_without_superblock(path, names, making)
    if fault is not None:
        if os.path.lexists(os.path.join(path, STORE)):
            return  # another process or thread made the store while the names were listed
        raise fault
    make_directory(os.path.join(path, LOG), making)


def fault_without_superblock(path: str, names: set[str], making: Making) -> Exception | None:
    """Return why no store can be made of a directory with these names, None where one can."""
    log = os.path.join(path, LOG)
    if LOG in names and any(name.endswith(SEGMENT_SUFFIX) for name in os.listdir(log)):
        return CorruptionError(f"{os.path.join(path, STORE)} is missing, but there is a log; restore it from a copy")
    if not making.allowed:
        return making.none_in(path)
    foreign = sorted(names.difference(BEFORE_A_STORE))
    if foreign:
        return FormatError(
            f"{path} is not a {making.what}: it has no {STORE} but {foreign[0]}. "
            "Choose an empty directory or a new name"
        )
    return None


def make_directory(path: str, making: Making) -> None:
    """Make a directory, which another process or thread may be making at the same time."""
    try:
        os.makedirs(path, making.mode | DIRECTORY_BITS, exist_ok=True)
    except FileExistsError:
        raise alone(
            FormatError(f"{path} is no directory, but a file or a link to nowhere; choose another path")
        ) from None
