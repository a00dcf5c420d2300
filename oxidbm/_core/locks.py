"""The locks of one open store, taken in one order, and never waited for by the thread that holds one of them.

Python code runs in the middle of the store's own calls: signal handlers, finalizers, a device or a clock written in
Python. What it asks of the same store may need a lock that its own thread holds further down, or one whose holder waits
for such a lock; to wait would be for ever. So a thread takes a lock only while it holds none that comes at the same
place of the order or behind it, and gets a BusyError that says so instead. The lock of an ordered view has an order of
its own: who holds it takes no other one.
"""

import threading
from typing import Any, Final, final

from oxidbm._core.errors import BusyError

CLOSING: Final = 0
COMPACTING: Final = 1
REFRESHING: Final = 2
BATCHING: Final = 3
CHECKPOINTING: Final = 4
COMMITTING: Final = 5
CUTTING: Final = 6
FLUSHING: Final = 7
ORDERING: Final = 8
QUEUEING: Final = 9  # in an order of its own, which comes before that of the log below

DOING: Final = (
    "closing",
    "reorganizing or closing",
    "moving to a newer commit",
    "applying a batch",
    "making a checkpoint",
    "committing",
    "cutting a commit",
    "writing to its device",
    "looking into the order of its keys",
    "handing out or counting items",
)


@final
class StoreLock:
    """One of a store's locks; `place` says where in the order it comes."""

    def __init__(self, order: "LockOrder", place: int) -> None:
        self.order = order
        self.place = place
        lock: Any = threading.RLock()  # for knowing its owner from the instant it is taken
        self.lock = lock
        self.is_owned = lock._is_owned  # at hand, since each commit asks several times
        order.locks.append(self)

    def __enter__(self) -> None:
        self.order.check(self.place)
        self.lock.acquire()

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.lock.release()

    def take_surely(self) -> BaseException | None:
        """Take it, whatever a signal's handler raises meanwhile, and return that: for what has to be put in order."""
        self.order.check(self.place)
        interrupted: BaseException | None = None
        while True:
            try:
                self.lock.acquire()
                return interrupted
            except BaseException as stop:
                interrupted = stop

    def release(self) -> None:
        """Give it back."""
        self.lock.release()

    def take(self) -> bool:
        """Take it where that can be done without waiting, and return whether it could."""
        self.order.check(self.place)
        return bool(self.lock.acquire(False))

    def held(self) -> bool:
        """Return whether the calling thread holds it."""
        return bool(self.is_owned())


@final
class LockOrder:
    """Every lock of one store; `called` is what messages call it, such as "the store PATH"."""

    def __init__(self, called: str) -> None:
        self.called = called
        self.locks: list[StoreLock] = []

    def check(self, place: int) -> None:
        """Raise BusyError where the calling thread holds a lock from `place` on."""
        for lock in self.locks:
            if lock.place >= place and lock.held():
                raise self.busy(lock.place)

    def busy(self, place: int) -> BusyError:
        """Return the error for a call from within what the lock at a place guards."""
        return BusyError(
            f"{self.called} is {DOING[place]} in this very thread, further up: what runs in the middle of "
            "that, a signal handler or a finalizer, cannot wait for its end. Note there what is to be done, and do it "
            "afterwards"
        )
