"""Exits: what is open in this process, to be closed at the interpreter's end, and void in a forked child."""

import atexit
import os
import warnings
from collections.abc import Callable
from typing import Final

from oxidbm import _breath
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.life import FORKED, Life
from oxidbm._core.locks import CLOSING, StoreLock
from oxidbm._core.logbook import COMPILED, end_telling, forget
from oxidbm._core.lookout import begin_end, end_watch, watch_anew

ATTEMPTS_MAX: Final = 100


class Openable:
    """What is open and has to be closed once: by who holds it, by its finalizer, or at the interpreter's exit.

    It stays among HANDLES until everything was given back, so that an exit waits for a close() that another thread is
    in, and a child forked meanwhile finds it void.
    """

    def __init__(self, life: Life) -> None:
        self.life = life
        self.handed = False  # to a user, who is to close it
        self.recovery_word = ""  # that LOCK held when it was opened to read only
        self.ending = StoreLock(life.locks, CLOSING)

    def belong(self) -> None:
        """Be closed at the interpreter's exit from now on: somebody has it, where an opening could still be lost."""
        HANDLES[id(self)] = self

    def part(self) -> None:
        """Be closed at the exit no more, since everything was given back."""
        HANDLES.pop(id(self), None)

    def faulty(self) -> bool:
        """Return whether something was found damaged that opening could do without."""
        return False

    def close(self) -> None:
        """Make durable what is to be, and give everything back; a second time does nothing.

        It returns when that is done, also where another thread does it.
        """
        self.end_once(self.end)

    def end_once(self, end: Callable[[], None]) -> None:
        """Do what closes it, where nobody has; and wait for who is about to."""
        life = self.life
        if life.state == FORKED or (self.ending.held() and not life.alive()):
            return
        life.wait_at_gate()
        self.check_end()
        with self.ending:
            if life.alive():
                end()

    def check_end(self) -> None:
        """Raise BusyError where this thread is in the middle of what closing waits for; before anything has changed."""

    def end(self) -> None:
        """Do what `close` says, in the one thread that holds `ending`."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Close as a crash would leave it."""
        raise NotImplementedError

    def loss(self, failure: BaseException) -> BaseException:
        """Return what to say where it could not be closed, and nobody is left to close it again."""
        return failure


def say_unclosed(handle: Openable, frames: int) -> None:
    """Issue the ResourceWarning for something with files that its user has not closed, as Python does for files.

    frames: how many uncompiled frames of the core there are between this one and what let go of it.
    """
    life = handle.life
    if handle.handed and life.alive() and life.path:
        warnings.warn(
            f"{life.called()} was never closed: call close() when you are done, or use it in a with block",
            ResourceWarning,
            stacklevel=1 if COMPILED else 2 + frames,
            source=handle,
        )


def attempt(step: Callable[[], object]) -> BaseException | None:
    """Do a step of giving back, again where a signal handler's exception broke into it; return what it raised."""
    interrupted: BaseException | None = None
    for _ in range(ATTEMPTS_MAX):
        try:
            try:
                step()
            except Exception as failure:
                if not came_from_handler(failure):
                    return failure
                interrupted = failure
            else:
                break
        except BaseException as raised:  # Ctrl-C, or a handler's exception while it was asked whose the first one was
            interrupted = raised
    return interrupted


HANDLES: Final[dict[int, Openable]] = {}


class Exiting:
    """The end of what is open when the interpreter exits, whatever a signal's handler raises meanwhile."""

    def __init__(self, handle: Openable) -> None:
        self.handle = handle
        self.failure: BaseException | None = None
        self.said = False

    def close(self) -> None:
        """Close it, and keep why that was not possible."""
        said = attempt(self.say_unclosed)
        if said is not None:
            _breath.LastWord(said)
        if self.failure is None:
            self.failure = attempt(self.handle.close)

    def say_unclosed(self) -> None:
        """Say that it was left open; once, however often it is tried to close it."""
        if not self.said:
            self.said = True
            say_unclosed(self.handle, 5)

    def say(self) -> None:
        """Have what is lost said, unless it was closed all the same."""
        failure = self.failure
        if failure is None:
            return
        if not self.handle.life.alive() and (not isinstance(failure, Exception) or came_from_handler(failure)):
            return
        _breath.LastWord(self.handle.loss(failure))


def close_all() -> None:
    """Close all that is still open when the interpreter exits: each has its own chance."""
    attempt(_breath.begin_exit)
    attempt(begin_end)
    for handle in list(HANDLES.values()):
        exiting = Exiting(handle)
        attempt(exiting.close)
        attempt(exiting.say)
    attempt(end_watch)
    attempt(end_telling)


def forget_all() -> None:
    """Make every handle void in a forked child."""
    for handle in list(HANDLES.values()):
        handle.life.state = FORKED
    HANDLES.clear()
    watch_anew()
    forget()


atexit.register(close_all)
atexit.register(close_all)  # once more, where a signal's handler has ended it in its first line; else nothing is left
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_all)
