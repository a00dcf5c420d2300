"""What a queue raises and warns of, beside the errors that it shares with stores."""

import os
import queue
import sys
import warnings

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep

if sys.version_info >= (3, 13):
    ShutDown = queue.ShutDown
else:

    class ShutDown(Exception):
        """The queue was shut down: it takes no more items, and hands out none."""

    ShutDown.__module__ = "oxidbm.queue"


class SkippedWarning(UserWarning):
    """A queue that was opened with on_error="skip" has passed over what is damaged."""


SkippedWarning.__module__ = "oxidbm.queue"


def warn(report: str) -> None:
    """Warn of damage that was passed over, at the line that called the package."""
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
        level += 1
    warnings.warn(report, SkippedWarning, stacklevel=level)
