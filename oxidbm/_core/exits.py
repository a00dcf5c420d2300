"""Exits: what is open in this process, to be closed at the interpreter's end, and void in a forked child."""

import atexit
import os
from collections.abc import Callable
from typing import Final

from oxidbm import _breath
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.life import FORKED, Life

ATTEMPTS_MAX: Final = 100


class Openable:
    """What is open and has to be closed once: by who holds it, by its finalizer, or at the interpreter's exit."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.recovery_word = ""  # that LOCK held when it was opened to read only

    def faulty(self) -> bool:
        """Return whether something was found damaged that opening could do without."""
        return False

    def close(self) -> None:
        """Make durable what is to be, and give everything back; a second time does nothing."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Close as a crash would leave it."""
        raise NotImplementedError

    def loss(self, failure: BaseException) -> BaseException:
        """Return what to say where it could not be closed, and nobody is left to close it again."""
        return failure


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


def close_all() -> None:
    """Close all that is still open when the interpreter exits."""
    _breath.begin_exit()
    for handle in list(HANDLES.values()):
        failure = close_at_exit(handle)
        if failure is not None:  # each store has its own chance, and what it lost is said
            _breath.LastWord(handle.loss(failure))


def close_at_exit(handle: Openable) -> BaseException | None:
    """Close one, again where a signal handler's exception broke into it; return why it could not be closed."""
    failure = attempt(handle.close)
    interrupted = failure is not None and (not isinstance(failure, Exception) or came_from_handler(failure))
    return None if interrupted and not handle.life.alive() else failure


def forget_all() -> None:
    """Make every handle void in a forked child."""
    for handle in list(HANDLES.values()):
        handle.life.state = FORKED
    HANDLES.clear()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_all)
