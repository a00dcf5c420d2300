"""A place where compiled code lets the interpreter breathe.

Compiled code never looks whether another thread wants the GIL or a signal has come; entering any interpreted function
does (17 ns). Long loops of the core call `breathe` between slices. It must stay outside the compiled core. In pure mode
nobody asks for the GIL, so there it is given (see `_pure.py`).
"""

from collections.abc import Callable
from typing import Final

from oxidbm import _pure


def be_interpreted() -> None:
    """Do nothing: being interpreted is what counts."""


breathe: Final[Callable[[], None]] = be_interpreted if _pure.compiled() else _pure.turns.give
thread_started: Final[Callable[[], None]] = be_interpreted if _pure.compiled() else _pure.turns.expect


class Exit:
    """Whether the interpreter ends: a thread that is started from then on may never run, or never end."""

    begun = False


def begin_exit() -> None:
    """Take note that the interpreter ends."""
    Exit.begun = True


class LastWord:
    """Has the interpreter report an exception that nobody can catch, as it does for one that leaves a finalizer."""

    def __init__(self, failure: BaseException) -> None:
        self.failure = failure

    def __del__(self) -> None:
        raise self.failure
