"""Following a log: its entries in order, and those that come, each as soon as it may be seen.

In the process that writes, a follower waits for the commit that it is woken by; in another one it looks at the file
each two milliseconds. It ends when nothing has come for as long as was asked, when the follower is closed by anybody,
or when the log is, behind what was committed by then (see drain).
"""

import threading
import time
from types import GenericAlias
from typing import Any, Final, final

from mypy_extensions import i64

from oxidbm._core.coder import Coder
from oxidbm._core.durability.notices import FutureNotice, Notice, ThreadNotice
from oxidbm._core.errors import ClosedError
from oxidbm._core.faster_log.commits import EntryCommits
from oxidbm._core.faster_log.drain import Drain
from oxidbm._core.faster_log.refresh import LOOK_SECONDS, Refresher
from oxidbm._core.faster_log.scan import EntryIterator
from oxidbm._core.finalizers import let_go

APPENDS_SECONDS: Final = 0.5  # at the longest, until one who follows what is uncommitted looks at the log's state again


@final
class LogFollower:
    """Iterates the entries of a log, and waits for more at its end; documented in oxidbm/__init__.pyi."""

    drain: Drain | None = None  # also where __init__ fails, as the finalizer must expect

    def __init__(
        self,
        commits: EntryCommits,
        coder: Coder,
        begin: i64,
        timeout: float | None,
        uncommitted: bool,
        skips: bool,
        refresher: Refresher | None,
        owner: object,
        drains: bool,
    ) -> None:
        self.commits = commits
        self.log = commits.log
        self.timeout = timeout
        self.uncommitted = uncommitted
        self.refresher = refresher
        self.closed = False
        self.notice: Notice | None = None
        first: i64 = (begin + 7) & -8  # no entry begins before, and a place to stop at is where one could
        self.entries = EntryIterator(commits, coder, first, min(first, self.reach()), skips, owner)
        self.drain = commits.drains.add(self.entries.cursor) if drains else None

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    def __iter__(self) -> "LogFollower":
        return self

    def __enter__(self) -> "LogFollower":
        return self

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        self.close()

    def __repr__(self) -> str:
        at = int(self.entries.cursor.following)
        return f"<oxidbm.LogFollower of {self.log.life.place()}, at {at}{', closed' if self.closed else ''}>"

    @property
    def overtaken(self) -> int:
        """How many entries were truncated before it came to them."""
        return int(self.entries.overtaken)

    def __next__(self) -> object:
        entries = self.entries
        deadline = -1.0
        while not self.closed:
            if not self.log.life.alive():
                self.log.life.check_not_forked()
                if self.closing():
                    time.sleep(LOOK_SECONDS)
                    continue
                if self.step_behind_end():
                    return entries.current()
                break
            if self.step():
                return entries.current()
            if self.timeout is not None and deadline < 0:
                deadline = time.monotonic() + self.timeout
            if not self.wait(deadline) and self.log.life.alive():
                break
        raise StopIteration

    def step(self) -> bool:
        """Move to the next entry; False where none is to be seen yet, or the log is being closed."""
        try:
            return self.entries.step() or (self.go_on() and self.entries.step())
        except ClosedError:
            if self.log.life.alive():
                raise
            return False

    def closing(self) -> bool:
        """Return whether the log is being closed, so that what it commits last is not known yet."""
        return self.drain is not None and not self.commits.drains.ended

    def step_behind_end(self) -> bool:
        """Move to the next entry of a log that is closed; False where there is none."""
        drain = self.drain
        if drain is None or not self.commits.drains.holds(drain):
            return False
        entries = self.entries
        entries.life = self.commits.drains.life
        if entries.cursor.stop != self.commits.durable_tail:
            entries.cursor.go_on_to(self.commits.durable_tail)
        if entries.step():
            return True
        self.end_drain()
        return False

    def end_drain(self) -> None:
        """Need nothing of the log any more, once it is closed."""
        drain = self.drain
        if drain is not None:
            self.commits.drains.remove(drain)

    def reach(self) -> i64:
        """Return up to where entries may be seen."""
        return self.log.tail if self.uncommitted else self.commits.durable_tail

    def go_on(self) -> bool:
        """Have the entries reach as far as they may by now; False where that is no farther."""
        cursor = self.entries.cursor
        reach = self.reach()
        if reach <= cursor.stop:
            return False
        cursor.go_on_to(reach)
        return True

    def wait(self, deadline: float) -> bool:
        """Return when there may be more; False after a deadline of the monotonic clock, < 0 for none, or at the end."""
        if self.refresher is not None:
            return self.wait_for_file(deadline)
        left = min(deadline - time.monotonic(), threading.TIMEOUT_MAX) if deadline >= 0 else -1.0
        if deadline >= 0 and left <= 0:
            return False
        commits = self.commits
        notice = ThreadNotice(commits.durable_sequence + 1)
        self.notice = notice
        if self.uncommitted:
            commits.appends.append(notice)
            self.log.due = True  # so that the next append, however small, is followed by a step
            left = APPENDS_SECONDS if left < 0 else min(left, APPENDS_SECONDS)
        if self.reach() > self.entries.cursor.stop or self.closed:
            self.forget()
            return not self.closed
        try:
            commits.notices.add(notice, commits.durable_sequence)
            told = notice.wait(left)
        except ClosedError:
            return False
        finally:
            self.forget()
        return told or self.uncommitted

    def look(self) -> bool:
        """Return whether the file of a log that another process writes has a newer commit."""
        refresher = self.refresher
        try:
            return refresher is not None and refresher.look()
        except ClosedError:
            return False

    def wait_for_file(self, deadline: float) -> bool:
        """As `wait`, in a process that reads what another one writes."""
        if self.look():
            return True
        if deadline >= 0 and time.monotonic() >= deadline:
            return False
        notice = ThreadNotice(0)
        self.notice = notice
        if not self.closed:
            notice.wait(LOOK_SECONDS)
        return not self.closed

    def forget(self) -> None:
        """Wait no more."""
        notice = self.notice
        self.notice = None
        if notice is not None:
            self.commits.notices.discard(notice)
            if notice in self.commits.appends:
                self.commits.appends.remove(notice)

    def next_now(self) -> object:
        """Return the next entry where there is one, None where it is to be waited for, itself at the end."""
        if self.closed:
            return self
        if not self.log.life.alive():
            self.log.life.check_not_forked()
            if self.closing():
                return None
            return self.entries.current() if self.step_behind_end() else self
        if self.step():
            return self.entries.current()
        if self.look() and self.step():
            return self.entries.current()
        return None

    def more(self) -> Any:
        """Return a future that is done when there may be more; None where the file is to be looked at again."""
        if self.refresher is not None or not self.log.life.alive():
            return None
        commits = self.commits
        notice = FutureNotice(commits.durable_sequence + 1, 0)
        self.notice = notice
        if self.uncommitted:
            commits.appends.append(notice)
            self.log.due = True  # so that the next append, however small, is followed by a step
        if self.reach() > self.entries.cursor.stop:
            notice.tell(None)
        else:
            commits.notices.add(notice, commits.durable_sequence)
        return notice.future

    def close(self) -> None:
        """End, also for a thread that waits in it."""
        self.closed = True
        notice = self.notice
        if notice is not None:
            notice.tell(None)
        self.end_drain()

    def __del__(self) -> None:
        if self.drain is not None:
            let_go(self.end_drain)


def wait_until(commits: EntryCommits, wanted: i64, timeout: float | None) -> bool:
    """Return True once everything before an address is durable, False after so many seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while commits.durable_tail < wanted:
        notice = ThreadNotice(commits.sequence if commits.end >= wanted else commits.sequence + 1)
        left = -1.0 if deadline is None else min(max(deadline - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
        try:
            commits.notices.add(notice, commits.durable_sequence)
            if not notice.wait(left):
                return False
        finally:
            commits.notices.discard(notice)
    return True
