"""A message: an item that was handed out, and what its holder can do with it; and who holds which of them."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from oxidbm._core.queue.handout import Handout

if TYPE_CHECKING:
    import asyncio
    from datetime import timedelta

    from oxidbm._core.queue.exchange import Exchange

    _Seconds = float | timedelta

T = TypeVar("T")


class Message(Handout, Generic[T]):
    """An item that was handed out by `Queue.take`, to be acknowledged; in a `with` block, that is done at its end.

    The block's variable is the item. It is given back, and comes again, where the block ends by an exception. Where
    ack() or nack() was called in the block, its end does nothing. `async with` is the same: an acknowledgement waits
    for nothing.

    attempts: how often the item was handed out, this time included: 1 for the first time. It counts on where the queue
        is closed and opened again; what a process did not tell the log before it was killed, within interval=, it does
        not count.
    """

    __slots__ = ()

    if TYPE_CHECKING:  # compiled, and of no type there

        def __enter__(self) -> T: ...

        def item_or_give_back(self) -> T: ...

    @property
    def item(self) -> T:
        """The item; raises what the codec raises, a DecodeError for bytes that it did not write."""
        found: T = self.decoded()
        return found

    @property
    def exchange(self) -> Exchange:
        """Where the queue's items are handed out, and taken back."""
        found: Exchange = self.queue.exchange
        return found

    @property
    def id(self) -> int:
        """A number that no other item of this open queue has."""
        return self.delivery.id

    def ack(self) -> bool:
        """Acknowledge: the item is done, and does not come again; False where it was acknowledged before.

        It is done also where it had come again meanwhile, since redeliver_after= had passed; but not where this message
        has given it back: then it comes again, and this is False.
        """
        return self.exchange.acknowledge(self)

    def nack(self, delay: _Seconds = 0) -> bool:
        """Give the item back, to come again after so many seconds, before items that were never out.

        False where it was acknowledged, or was given back, or has come again meanwhile. The delay goes on where the
        queue is closed and opened again, by the system's clock.
        """
        return self.exchange.give_back(self, delay)

    def extend(self, seconds: _Seconds) -> bool:
        """Have the item come again only where it is not acknowledged within so many seconds from now.

        That stands in place of what redeliver_after= says of this delivery, be it sooner or later. False as for `nack`.
        """
        return self.exchange.extend(self, seconds)

    async def __aenter__(self) -> T:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, value, trace)

    def __repr__(self) -> str:
        return f"<oxidbm.queue.Message {self.id}, attempt {self.attempts}{', done' if self.delivery.done else ''}>"


Message.__module__ = "oxidbm.queue"


class Holdings:
    """What `Queue.get` and `Queue.aget` handed out: to which thread, or task."""

    def __init__(self) -> None:
        self.threads = threading.local()
        self.tasks: weakref.WeakKeyDictionary[asyncio.Task[Any], deque[Handout]] = weakref.WeakKeyDictionary()

    def of_thread(self) -> deque[Handout]:
        """Return what the calling thread has got, in the order in which it did."""
        found: deque[Handout] | None = getattr(self.threads, "messages", None)
        if found is None:
            found = self.threads.messages = deque()
        return found

    def of_task(self) -> deque[Handout]:
        """Return what the task that runs has got."""
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        return self.tasks.setdefault(task, deque())

    def of_caller(self) -> deque[Handout]:
        """Return what the task that runs has got, or the thread where no task has."""
        held = self.of_thread()
        if self.tasks:
            import asyncio

            try:
                task = asyncio.current_task()
            except RuntimeError:  # no loop runs here
                task = None
            held = self.tasks.get(task, held) if task is not None else held
        return held
