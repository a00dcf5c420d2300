"""What a queue raises and warns of, beside the errors that it shares with stores."""

import queue
import sys

if sys.version_info >= (3, 13):
    ShutDown = queue.ShutDown
else:

    class ShutDown(Exception):
        """The queue was shut down: it takes no more items, and hands out none."""


class SkippedWarning(UserWarning):
    """A queue that was opened with on_error="skip" has passed over what is damaged."""
