"""A handout: an item on its way to somebody, and what that one has said of it; `oxidbm.queue.Message` is one.

Whoever asks for an item makes an empty one before, and the exchange fills it below its lock. So where a signal's
handler raises behind that, the item is in there, and not with nobody: the call that raises has it wait again. What
begins and ends a block is compiled for the same reason: no handler runs between a block and its acknowledgement.
"""

from typing import Any

from mypy_extensions import mypyc_attr

from oxidbm._core.errors import ClosedError, error
from oxidbm._core.exits import attempt
from oxidbm._core.handlers import came_from_handler
from oxidbm._core.queue.deliveries import Delivery


@mypyc_attr(allow_interpreted_subclasses=True)
class Handout:
    """An item that is, or is to be, handed out once; what its holder says is decided below the queue's lock."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue  # which stays open as long as somebody holds this
        self.taken = False
        self.delivery: Delivery
        self.data: bytes | None = None
        self.attempts = 0
        self.kept: Any = None  # the item, once it was decoded
        self.settled = False  # its holder has acknowledged it, or meant to give it back
        self.given_back = False

    def fill(self, delivery: Delivery, data: bytes) -> None:
        """Be about an item that is handed out now."""
        self.delivery = delivery
        self.data = data
        self.attempts = delivery.attempts
        self.taken = True

    def decoded(self) -> Any:
        """Return the item; raises what the codec raises."""
        data = self.data
        if data is not None:
            self.kept = self.queue.codec.decode(data)
            self.data = None
        return self.kept

    def item_or_give_back(self) -> Any:
        """Return the item; where the codec raises, nobody has it, and it comes again."""
        try:
            return self.decoded()
        except BaseException:
            self.come_again()
            self.given_back = False  # not by its holder, who can acknowledge it yet
            raise

    def __enter__(self) -> Any:
        return self.item_or_give_back()

    def __exit__(self, kind: object, value: object, trace: object) -> None:
        if self.settled:
            return
        if kind is not None:
            self.come_again()  # the block's own exception says more than that the queue is closed
            return
        try:
            self.queue.exchange.acknowledge(self)
        except error as failure:
            if not self.settled and came_from_handler(failure):
                self.come_again()
            raise
        except BaseException:  # of a signal's handler
            if not self.settled:
                self.come_again()
            raise

    def come_again(self) -> None:
        """Give the item back, whatever interrupts that; where the queue is closed, it comes again anyway."""
        failure = attempt(self.wait_again)
        if failure is not None and (not isinstance(failure, ClosedError) or came_from_handler(failure)):
            raise failure

    def wait_again(self) -> None:
        """Let the item wait at once."""
        self.queue.exchange.give_back(self, 0)
