"""Life: whether a store may be read and written, and the gate behind which a batch is applied.

One object of an open store, shared by its log, its table and its faces. Invariants: 1. `state` is read before every
operation, so that a closed, forked or poisoned store answers with a sentence; 2. it goes from OPEN to BUSY and back
while one thread applies a batch, and from OPEN to CLOSED or FORKED for good: every operation that begins while it is
BUSY waits at the gate, in blocked_read() or blocked_write(), and then goes on; in the batch's own thread it raises
BusyError; 3. `writable` goes from WRITABLE, or COMMITTED, to POISONED for good when a write to the device failed, or is
READ_ONLY from the start. Hot paths compare `state` and `writable` themselves, and call in here where they are not OPEN
and WRITABLE.
"""

from typing import Final, final

from mypy_extensions import i64

from oxidbm._core.errors import ClosedError, PoisonedError, ReadOnlyError
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.locks import BATCHING, COMMITTING, LockOrder, StoreLock
from oxidbm._core.logbook import ERROR, tell

OPEN: Final = 0
CLOSED: Final = 1
FORKED: Final = 2
BUSY: Final = 3

WRITABLE: Final = 0
READ_ONLY: Final = 1
POISONED: Final = 2
COMMITTED: Final = 3  # writable, and each write ends with a commit

REOPEN: Final = "reopen it to get the last commit"
PUT_BACK: Final = "put back what is missing, and reopen it to get the last commit"
NOTHING_LEFT: Final = "nothing is left to reopen"


class LifeWatch:
    """Who is to be told when a store makes nothing durable any more."""

    def ended(self) -> None:
        """Take note of it."""


def state_in_words(life: "Life") -> str:
    """Return whether something can be read and written, in a word or a few."""
    if life.state == CLOSED:
        return "closed"
    if life.state == FORKED:
        return "of the parent process"
    if life.writable == READ_ONLY:
        return "read-only"
    return "no more writes, since one failed" if life.writable == POISONED else "open"


@final
class Life:
    """State of one open store, or of a log that stands alone; `path` names it, "" stands for one in memory."""

    def __init__(self, path: str, what: str = "store") -> None:
        self.path = path
        self.what = what  # messages call it "the store", or what it is
        self.state: i64 = OPEN
        self.writable: i64 = WRITABLE
        self.poison = ""
        self.remedy = REOPEN  # where it is poisoned
        self.locks = LockOrder(self.called())
        self.gate = StoreLock(self.locks, BATCHING)
        self.watch = LifeWatch()

    def name(self) -> str:
        """Return its path, or where it is."""
        return self.path or "in memory"

    def place(self) -> str:
        """Return where it is, for a repr: its path as a literal, or that it has none."""
        return repr(self.path) if self.path else f"a {self.what} in memory"

    def called(self) -> str:
        """Return what a sentence about it begins with, such as "the store PATH"."""
        return f"the {self.what} {self.name()}"

    def alive(self) -> bool:
        """Return whether the store is open, be it busy with a batch or not."""
        return self.state == OPEN or self.state == BUSY

    def check_open(self) -> None:
        """Raise unless the store is open; wait while a batch is applied."""
        if self.state != OPEN:
            self.blocked_read()

    def check_writable(self) -> None:
        """Raise unless the store can be written; wait while a batch is applied."""
        if self.writable != WRITABLE or self.state != OPEN:
            self.blocked_write()

    def can_write(self) -> bool:
        """Return whether the store takes writes, as long as it is open."""
        return self.writable == WRITABLE or self.writable == COMMITTED

    def check_not_poisoned(self) -> None:
        """Raise where nothing can be written any more; not of the gate, since the batch itself may be asking."""
        if not self.can_write():
            self.blocked_write()

    def check_alive(self) -> None:
        """Raise unless the store is open, also within a batch: for what is already under way."""
        if not self.alive():
            self.blocked_read()

    def check_not_forked(self) -> None:
        """Raise ClosedError in a forked child, where the end of what is void would be taken for that of its entries."""
        if self.state == FORKED:
            self.blocked_read()

    def wait_at_gate(self) -> None:
        """Return when no thread applies a batch; BusyError in the one that does."""
        while self.state == BUSY:
            with self.gate:  # given back by the batch's thread
                pass

    def shut_gate(self) -> None:
        """Have every operation wait; the caller holds the gate."""
        if self.writable != READ_ONLY:
            self.check_not_poisoned()
        self.check_alive()
        self.state = BUSY

    def open_gate(self) -> None:
        """Let the operations of other threads go on."""
        if self.state == BUSY:
            self.state = OPEN

    def blocked_read(self) -> None:
        """Wait while a batch is applied; raise the sentence for an operation on a store that is not open."""
        self.wait_at_gate()
        if self.alive():
            return
        if self.state == FORKED:
            raise ClosedError(
                f"{self.called()} was opened by the parent process; a forked child must open it for itself, "
                "after the parent closed it, or with read_only=True"
            )
        raise ClosedError(f"{self.called()} is closed; open it again to use it")

    def blocked_write(self) -> None:
        """Wait while a batch is applied; raise the sentence for a write that is not possible."""
        if self.writable != POISONED:  # else without waiting: who finds that out may hold a lock that the batch needs
            self.wait_at_gate()
        if self.can_write() and self.alive():
            if self.writable == COMMITTED:
                self.locks.check(COMMITTING)  # before the write, which would be done when its commit could not be
            return
        if self.writable == POISONED:
            raise PoisonedError(
                f"{self.called()} takes no more writes since one failed: {self.poison}. Reads still work; {self.remedy}"
            )
        if not self.alive():
            self.blocked_read()
        raise ReadOnlyError(f"{self.called()} was opened read-only; open it without read_only=True to write")

    def poison_with(self, failure: OSError) -> None:
        """Stop all writes for good, because of `failure`; raise it where it is a signal handler's, and no device's."""
        if came_from_handler(failure):
            raise failure
        if self.can_write():
            self.poison = str(failure) or type(failure).__name__
            if isinstance(failure, FileNotFoundError):
                self.remedy = NOTHING_LEFT if failure.filename == self.path else PUT_BACK
            self.writable = POISONED
            self.watch.ended()
            tell(ERROR, f"{self.called()} takes no more writes since one failed: {self.poison}. {self.remedy}")
