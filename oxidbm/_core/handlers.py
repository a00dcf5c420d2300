"""Telling what a signal handler raised from what a call of the system, or a device, raised.

A handler written in Python runs in the middle of whatever the main thread does, a write to the disk too, and what it
raises comes out there: a TimeoutError, say, which is an OSError, and not the disk's.
"""

import sys
from types import CodeType, TracebackType
from typing import Any


def came_from_handler(failure: BaseException) -> bool:
    """Return whether a signal handler, installed now, raised it. O(frames between it and the caller)."""
    if sys.is_finalizing():
        return False  # no handler runs any more
    signal: Any = sys.modules.get("signal")
    if signal is None:  # without it nobody can have installed one; and it cannot always be imported, as in a chroot
        return False
    codes: set[CodeType] = set()
    for number in signal.valid_signals():
        code = code_of(signal.getsignal(number))
        if code is not None:
            codes.add(code)
    trace: TracebackType | None = failure.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def code_of(handler: object) -> CodeType | None:
    """Return the code of a function, a method, a partial function or an object that can be called; None for C's."""
    while hasattr(handler, "func"):
        handler = handler.func
    code = getattr(handler, "__code__", None)
    if code is None:
        code = getattr(vars(type(handler)).get("__call__"), "__code__", None)
    return code if isinstance(code, CodeType) else None
