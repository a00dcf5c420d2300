"""The lookout: one thread that watches for all stores and logs of the process that have nothing to do.

Each has a thread of its own as long as it is written, so that no store's commit waits for the disk of another. A thread
that has found nothing to do for a while ends, and leaves its store to the lookout, which starts another one when there
is something to do again. A hundred idle stores so have one thread, and what it looks at is in memory.
"""

import contextlib
from collections.abc import Callable
from typing import Final, final

from oxidbm._core.worker import Worker

REST_SECONDS: Final = 1.0  # that a thread sleeps with nothing to do before it ends; and between two looks


@final
class Resting:
    """A store whose thread has ended for want of work: how to see that there is some, and to start the thread."""

    def __init__(self, worker: Worker, quiet: Callable[[], bool], resume: Callable[[], None]) -> None:
        self.worker = worker
        self.quiet = quiet
        self.resume = resume


@final
class Lookout:
    """All that rest in this process. The thread is there while any do; whatever changes `resting` is one call of it."""

    def __init__(self) -> None:
        self.worker = Worker()
        self.seconds = REST_SECONDS
        self.resting: dict[int, Resting] = {}  # by the identity of their workers

    def take(self, worker: Worker, quiet: Callable[[], bool], resume: Callable[[], None]) -> bool:
        """Watch for a store whose thread ends when this returns True; False where it has to go on."""
        with contextlib.suppress(RuntimeError):  # the system has no more threads
            self.worker.start(self.loop)
        if not self.worker.running or self.worker.stopping or worker.stopping or not quiet():
            return False
        one = Resting(worker, quiet, resume)
        worker.running = False
        worker.resting = True
        self.resting[id(worker)] = one  # last: the lookout drops what has a thread
        return True

    def care(self, worker: Worker, quiet: Callable[[], bool], resume: Callable[[], None]) -> None:
        """Watch for a store that has no thread, though it should have one, or whose thread may be about to end."""
        worker.resting = True
        self.resting[id(worker)] = Resting(worker, quiet, resume)
        with contextlib.suppress(RuntimeError):
            self.worker.start(self.loop)

    def forget(self, worker: Worker) -> None:
        """Watch no more for what is closed."""
        worker.resting = False
        self.resting.pop(id(worker), None)

    def loop(self) -> None:
        """Look at each that rests, until none does."""
        while not self.worker.stopping:
            self.worker.sleep(self.seconds)
            for one in list(self.resting.values()):
                self.look_at(one)
            if not self.resting:
                self.worker.running = False
                return

    def look_at(self, one: Resting) -> None:
        """Start its thread where there is something to do; the next look tries again where that cannot be now."""
        worker = one.worker
        if worker.resting and not worker.running and not one.quiet():
            one.resume()
        if not worker.resting or (worker.running and not worker.asked):  # else the thread may be about to end
            worker.resting = False
            if self.resting.get(id(worker)) is one:
                del self.resting[id(worker)]


@final
class Watch:
    """The process's lookout: another one in a forked child, where the parent's thread is not."""

    def __init__(self) -> None:
        self.lookout = Lookout()


WATCH: Final = Watch()


def rest(worker: Worker, seconds: float, quiet: Callable[[], bool], resume: Callable[[], None]) -> bool:
    """Let a store's thread sleep until it is woken, or `seconds` are over, 0 for ever; True where it is to end.

    That is where there was nothing to do before, and there is nothing after a while.
    """
    if worker.stopping:
        return False
    if not quiet():
        worker.wake.wait(seconds)
        return False
    lookout = WATCH.lookout
    worker.wake.wait(min(seconds, lookout.seconds) if seconds > 0.0 else lookout.seconds)
    return lookout.take(worker, quiet, resume)


def start(worker: Worker, work: Callable[[], None], quiet: Callable[[], bool], resume: Callable[[], None]) -> None:
    """Have a store's thread do its work; where the system has no more of them now, it is tried again later."""
    try:
        worker.start(work)
    except RuntimeError:
        WATCH.lookout.care(worker, quiet, resume)


def go_on(worker: Worker, quiet: Callable[[], bool], resume: Callable[[], None]) -> None:
    """Be as before a thread was asked to end, be it that it has."""
    worker.stopping = False
    WATCH.lookout.care(worker, quiet, resume)


def forget(worker: Worker) -> None:
    """Watch no more for what is closed."""
    WATCH.lookout.forget(worker)


def begin_end() -> None:
    """Let the thread end, when the interpreter exits: it has until everything is closed."""
    worker = WATCH.lookout.worker
    worker.stopping = worker.asked = True
    worker.wake.set()


def end_watch() -> None:
    """Return when the thread has ended."""
    WATCH.lookout.worker.stop()


def watch_anew() -> None:
    """In a forked child nothing rests: what the parent watches for is the parent's."""
    WATCH.lookout = Lookout()
