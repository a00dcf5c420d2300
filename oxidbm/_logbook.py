"""The logger `oxidbm`, which gets what oxidbm/_core/logbook.py has put aside; imported when there is something.

It has a handler that does nothing, as libraries' loggers do: without one of the user's nothing is printed.
"""

import _thread
import logging
import threading

from oxidbm import _breath

logger = logging.getLogger("oxidbm")
logger.addHandler(logging.NullHandler())


def handle_in_thread(taken: list[tuple[int, str]]) -> None:
    """Give texts to the logger, where somebody wants to have them, and return when the handlers are done.

    A thread of `threading` does it: of the caller's, which it does not know, it would keep a dummy for ever.
    """
    wanted = [(level, text) for level, text in taken if logger.isEnabledFor(level)]
    if wanted:
        handled = _thread.allocate_lock()
        handled.acquire()
        threading.Thread(target=handle, args=(wanted, handled), name="oxidbm-log", daemon=True).start()
        handled.acquire()


def handle(taken: list[tuple[int, str]], handled: _thread.LockType | None = None) -> None:
    """Give texts to the logger here; what a filter or a handler raises is reported, as from a finalizer."""
    try:
        for level, text in taken:
            try:
                if logger.isEnabledFor(level):
                    logger.handle(logger.makeRecord(logger.name, level, "(oxidbm)", 0, text, (), None))
            except BaseException as failure:
                _breath.LastWord(failure)
    finally:
        if handled is not None:
            handled.release()
