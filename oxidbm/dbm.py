"""The dbm protocol: `import oxidbm as dbm`, or `oxidbm.dbm.install()` for programs that import the stdlib's.

`open` takes the flags of dbm.gnu and gives a `Database`, which is a Store. What goes wrong with the file is an
`oxidbm.error`, an OSError with errno and filename where the system gave them. A database is a directory; 'n' replaces a
store or a file under the name, and never a directory that holds anything else. The stdlib's dbm is imported only by
what needs it.
"""

import os
import threading
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, overload

from oxidbm._core.durability.superblock import A_STORE
from oxidbm._core.errors import MissingError, error
from oxidbm._remove import kind_of, make_way

if TYPE_CHECKING:
    from oxidbm import Database  # the class that the stub types
else:
    from oxidbm._core.store.database import Database

__all__ = ["Database", "FlagError", "Installation", "error", "install", "open", "open_flags", "whichdb"]

NAME = "oxidbm"
ACCESS = "rwcn"
OPTIONS = "fsu"

INSTALLING: Final = threading.Lock()
INSTALLED: Final[list["Installation"]] = []  # in the order in which they came

open_flags = ACCESS + OPTIONS
"""The characters that `flag` may have: one of r, w, c, n first, then any of f, s, u."""

StorePath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class FlagError(error, ValueError):
    """A flag is not one that `open` knows; dbm.gnu raises its error for it, dbm.sqlite3 a ValueError."""


@overload
def open(file: StorePath, flag: str = "r", mode: int = 0o666) -> Database: ...  # noqa: A001
@overload
def open(  # noqa: A001
    file: StorePath, flag: str = "r", mode: int = 0o666, *, key: object = None, value: object = None
) -> Any: ...
def open(  # noqa: A001
    file: StorePath, flag: str = "r", mode: int = 0o666, *, key: Any = None, value: Any = None
) -> Any:
    """Open the database `file` and return it; see `oxidbm.open` in the stub."""
    access, durability, lock = parse_flag(flag)
    path = os.fsdecode(os.fspath(file))
    if not path:
        raise MissingError(2, "a database has a name", path)
    try:
        if access in "cn" and not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            raise MissingError(2, "the directory for the database does not exist", path)
        if access == "n":
            path = make_way(path, A_STORE, lock=lock)
        return Database(
            path,
            durability=durability,
            read_only=access == "r",
            mode=mode,
            create=access in "cn",
            lock=lock,
            key=key,
            value=value,
        )
    except error:
        raise
    except OSError as failure:
        raise error(failure.errno, failure.strerror or str(failure), failure.filename or path) from failure


def parse_flag(flag: str) -> tuple[str, Literal["manual", "interval", "always"], bool]:
    """Return a flag's access, the durability it asks for, and whether to lock."""
    if not isinstance(flag, str):
        raise TypeError(f"a flag is a str, not {type(flag).__name__}")
    access, options = flag[:1], flag[1:]
    if not access or access not in ACCESS or options.strip(OPTIONS):
        raise FlagError(f"Flag must be one of 'r', 'w', 'c', or 'n', followed by any of 'f', 's', 'u', not {flag!r}")
    if "s" in options:
        return access, "always", "u" not in options
    return access, "manual" if "f" in options else "interval", "u" not in options


def is_store(file: StorePath) -> bool:
    """Return whether there is a store of ours at a path."""
    return kind_of(file) is A_STORE


def whichdb(filename: StorePath) -> str | None:
    """Return which module opens a database: "oxidbm", or what the stdlib's `dbm.whichdb` says."""
    if is_store(filename):
        return NAME
    import dbm

    return dbm.whichdb(filename)


class Installation:
    """The stdlib's `dbm.open` and `dbm.whichdb` with oxidbm among them, until `uninstall()` or the end of the block.

    Several may be there at once, and go in any order: each calls what was there before it came, and the one that came
    next is told when it goes. One that others still call, because they hold its functions, passes everything on.
    """

    def __init__(self) -> None:
        import dbm

        self.module: ModuleType = dbm
        self.installed = True
        with INSTALLING:
            self.previous_open: Callable[..., Any] = dbm.open
            self.previous_whichdb: Callable[..., Any] = dbm.whichdb
            vars(dbm).update(open=self.open, whichdb=self.whichdb)
            INSTALLED.append(self)

    def open(self, file: StorePath, flag: str = "r", mode: int = 0o666) -> Any:
        """Open a database by the module that made it, a new one by oxidbm."""
        if self.installed:
            kind = None if "n" in flag else self.whichdb(file)
            if kind == NAME or (kind is None and ("c" in flag or "n" in flag)):
                return open(file, flag, mode)
        return self.previous_open(file, flag, mode)

    def whichdb(self, filename: StorePath) -> str | None:
        """Return which module opens a database."""
        if self.installed and is_store(filename):
            return NAME
        kind: str | None = self.previous_whichdb(filename)
        return kind

    def uninstall(self) -> None:
        """Put back what was there before; a second time does nothing."""
        with INSTALLING:
            if not self.installed:
                return
            self.installed = False
            INSTALLED.remove(self)
            if self.module.open == self.open:
                vars(self.module)["open"] = self.previous_open
            if self.module.whichdb == self.whichdb:
                vars(self.module)["whichdb"] = self.previous_whichdb
            for other in INSTALLED:
                if other.previous_open == self.open:
                    other.previous_open = self.previous_open
                if other.previous_whichdb == self.whichdb:
                    other.previous_whichdb = self.previous_whichdb

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstall()


def install() -> Installation:
    """Let the stdlib's `dbm.open` make oxidbm stores, and let it, `dbm.whichdb` and `shelve.open` know them.

    It holds for the whole process; as a context manager, until the block ends. Databases of the other modules are
    opened by these as before.
    """
    return Installation()
