"""Worker: the one background thread of an open store, how it is started, woken and ended."""

import _thread
import sys
import threading
from collections.abc import Callable
from typing import final

from oxidbm import _breath
from oxidbm._core.seconds import LONGEST


@final
class Wake:
    """As threading.Event, of nothing but a lock: it is set while the lock is free.

    An Event runs Python code with its own lock held, where Ctrl-C may leave it locked for ever.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear()

    def is_set(self) -> bool:
        """Return whether it is set."""
        return not self.lock.locked()

    def set(self) -> None:
        """Let the one that waits go on."""
        if self.lock.locked():
            self.lock.release()

    def clear(self) -> None:
        """Have the next wait wait."""
        self.lock.acquire(False)

    def wait(self, seconds: float) -> None:
        """Return when it is set, or after so many seconds or `LONGEST`; 0 waits for ever. One thread may wait."""
        if self.lock.acquire(True, min(seconds, LONGEST) if seconds > 0 else -1.0):
            self.lock.release()


@final
class Worker:
    """A thread, or none; a `threading.Thread` is Python code that Ctrl-C can leave half started.

    It keeps nothing of what it works for, so that a closed store is in no circle.
    """

    def __init__(self) -> None:
        self.running = False
        self.stopping = False
        self.resting = False  # it has ended for want of work, and somebody watches for that: see lookout.py
        self.asked = False  # the thread that there is was asked to end, be it that nobody waits for that any more
        self.ident = 0
        self.failure = ""  # what has ended the thread
        self.wake = Wake()
        self.ended = threading.Lock()  # held while there is a thread

    def start(self, work: Callable[[], None]) -> None:
        """Have a thread do the work where none is alive and one may be; RuntimeError where the system has no more."""
        if not self.stopping and not _breath.Exit.begun and self.ended.acquire(blocking=False):
            rested = self.resting
            self.running = True
            self.asked = self.resting = False
            try:
                _thread.start_new_thread(self.run, (work,))
            except BaseException:
                self.running = False
                self.resting = rested
                self.ended.release()
                raise
            _breath.thread_started()

    def stop(self) -> None:
        """End the thread and wait for it; not where the interpreter has ended it."""
        self.stopping = self.asked = True
        self.wake.set()
        if self.running and threading.get_ident() != self.ident and not sys.is_finalizing():
            with self.ended:  # the thread gives it back when it ends
                self.running = False

    def sleep(self, seconds: float) -> None:
        """Let the thread wait until it is woken, stopped, or so many seconds are over; 0 waits for ever."""
        self.wake.clear()
        if not self.stopping:  # asked behind the clearing, which may have taken what `stop` had set
            self.wake.wait(seconds)

    def run(self, work: Callable[[], None]) -> None:
        """The thread's whole life."""
        self.ident = threading.get_ident()
        try:
            work()
        except BaseException as end:
            self.failure = f"the background thread has ended: {end!r}"
            raise
        finally:
            if self.asked:  # else another one would only fail in the same way
                self.running = False
            self.ended.release()
