"""The end of a queue that nobody holds any more, and that nobody has closed.

All that is open of a queue is in a circle that lives until it is closed; what its users hold is the face alone, which
is Python code. In a finalizer of that a signal's handler may raise before its first line, and then nobody would be left
to close the queue. So the face holds this, which is compiled.
"""

from typing import final

from oxidbm._core.finalizers import finish
from oxidbm._core.queue.exchange import Exchange
from oxidbm._core.queue.queue_log import QueueLog


@final
class QueueEnd:
    """Closes a queue when it goes; there before the exchange is, with which the circle begins."""

    log: QueueLog | None = None  # also where __init__ never ran, as the finalizer must expect
    exchange: Exchange | None = None

    def __init__(self, log: QueueLog) -> None:
        self.log = log

    def __del__(self) -> None:
        log = self.log
        exchange = self.exchange
        if log is None or log.closed:
            return
        if exchange is None:
            finish(log.handle, log.handle.close)
        else:
            finish(log.handle, exchange.close)
