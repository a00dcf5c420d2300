"""Finalizers: what nobody holds any more is closed, whatever interrupts that, and what goes wrong is said.

A compiled finalizer that raised would leave the exception to whatever runs next, and one that ends in the middle would
leave a lock, a thread and descriptors that nobody can give back.
"""

from collections.abc import Callable

from oxidbm import _breath
from oxidbm._core.exits import Openable, attempt, say_unclosed
from oxidbm._core.handlers import came_from_handler


def finish(handle: Openable, close: Callable[[], None]) -> None:
    """Close what was open; what was not durable is lost where that fails, and is not tried again at the exit."""
    let_go(lambda: say_unclosed(handle, 5))
    failure = attempt(close)
    if failure is not None:
        lost = isinstance(failure, Exception) and not came_from_handler(failure) and not handle.life.alive()
        _breath.LastWord(handle.loss(failure) if lost else failure)


def let_go(step: Callable[[], None]) -> None:
    """Do a step of giving back what is left of something that is not open."""
    failure = attempt(step)
    if failure is not None:
        _breath.LastWord(failure)
