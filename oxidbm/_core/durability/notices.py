"""Notices: who is told when a commit is durable, or never will be.

A commit tells after it has given its lock back, so whoever is told may use the store. Where the store is poisoned or
closed before, those that are left are told that. Invariants: 1. a notice leaves the list before it is told, so it is
told once; 2. one that comes after the store's end is told at once; 3. all that are due are told, also where one raises.
"""

import _thread
import threading
from typing import Any, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.errors import error
from oxidbm._core.life import Life, LifeWatch


class Notice:
    """Somebody who is to be told of the commit with this sequence number, or a later one."""

    def __init__(self, sequence: i64) -> None:
        self.sequence: i64 = sequence

    def tell(self, failure: BaseException | None) -> None:
        """Say that the commit is durable, or why nobody will know it to be; once more where this raised."""
        raise NotImplementedError


@final
class ThreadNotice(Notice):
    """A thread that waits."""

    def __init__(self, sequence: i64) -> None:
        super().__init__(sequence)
        self.told = False
        self.failure: BaseException | None = None
        self.lock = _thread.allocate_lock()
        self.lock.acquire()

    def tell(self, failure: BaseException | None) -> None:
        """Let the thread go on."""
        if not self.told:
            self.failure = failure
            self.told = True
            self.lock.release()

    def wait(self, seconds: float) -> bool:
        """Return whether it was told within so many seconds, < 0 for any number; raise what it was told."""
        self.lock.acquire(True, seconds)
        if self.failure is not None:
            raise self.failure
        return self.told


@final
class FutureNotice(Notice):
    """A future, which gets a session's serial number as its result."""

    def __init__(self, sequence: i64, serial: int) -> None:
        from concurrent.futures import Future  # takes time to import, and few ask for one

        super().__init__(sequence)
        self.serial = serial
        self.future: Any = Future()

    def tell(self, failure: BaseException | None) -> None:
        """Give the future its result, unless somebody has cancelled it."""
        if self.future.done():
            return
        try:
            if failure is None:
                self.future.set_result(self.serial)
            else:
                self.future.set_exception(failure)
        except Exception:
            if not self.future.done():  # else it was cancelled meanwhile
                raise


@final
class Notices(LifeWatch):
    """Those of one store."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.pending: list[Notice] = []

    def add(self, notice: Notice, durable_sequence: i64) -> None:
        """Tell somebody of a commit when it is time; at once where it is."""
        self.pending.append(notice)
        if notice.sequence <= durable_sequence:
            self.tell(durable_sequence)
        elif not self.life.can_write() or not self.life.alive():
            self.ended()

    def discard(self, notice: Notice) -> None:
        """Do not tell somebody any more."""
        if notice in self.pending:
            self.pending.remove(notice)

    def tell(self, durable_sequence: i64) -> None:
        """Tell those whose commit is durable."""
        if not self.pending:
            return
        due = [notice for notice in self.pending if notice.sequence <= durable_sequence]
        self.tell_all(due, False)

    def ended(self) -> None:
        """Tell everybody that the store makes nothing durable any more."""
        self.tell_all(self.pending.copy(), True)

    def tell_all(self, due: list[Notice], ended: bool) -> None:
        """Tell some of them; what a signal handler or a callback raises meanwhile comes when all are told."""
        interrupted: BaseException | None = None
        for notice in due:
            self.discard(notice)
            failure = self.why_ended() if ended else None
            for _ in range(2):  # the second time tells what the first one was kept from
                try:
                    notice.tell(failure)
                    break
                except BaseException as stop:
                    interrupted = stop
        if interrupted is None:
            return
        if _thread.get_ident() == threading.main_thread().ident:
            raise interrupted
        _breath.LastWord(interrupted)  # a thread that commits for others is not to end because of one of them

    def why_ended(self) -> BaseException | None:
        """Return the error that a write would raise now."""
        try:
            self.life.blocked_write()
        except error as failure:
            return failure
        return None
