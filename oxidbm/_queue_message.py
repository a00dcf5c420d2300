"""A message: an item that was handed out, and what its holder can do with it; and who holds which of them."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from oxidbm._core.errors import ClosedError

if TYPE_CHECKING:
    import asyncio

    from oxidbm import codecs
    from oxidbm._core.queue.deliveries import Delivery
    from oxidbm._core.queue.exchange import Exchange

T = TypeVar("T")


class Origin(Protocol[T]):
    """What a message needs of its queue, which it keeps open."""

    codec: codecs.Codec[T]
    exchange: Exchange


class Message(Generic[T]):
    """An item that was handed out by `Queue.take`, to be acknowledged; in a `with` block, that is done at its end.

    The block's variable is the item. It is given back, and comes again, where the block ends by an exception. `async
    with` is the same: an acknowledgement waits for nothing.

    attempts: how often the item was handed out, this time included: 1 for the first time. It counts on where the queue
        is closed and opened again; what a process did not tell the log before it was killed, within interval=, it does
        not count.
    """

    __slots__ = ("attempts", "data", "delivery", "kept", "queue")

    def __init__(self, queue: Origin[T], delivery: Delivery, data: bytes) -> None:
        self.queue = queue
        self.delivery = delivery
        self.data: bytes | None = data
        self.attempts = delivery.attempts
        self.kept: Any = None

    @property
    def item(self) -> T:
        """The item; raises what the codec raises, a DecodeError for bytes that it did not write."""
        if self.data is not None:
            self.kept = self.queue.codec.decode(self.data)
            self.data = None
        found: T = self.kept
        return found

    @property
    def id(self) -> int:
        """A number that no other item of this open queue has."""
        return self.delivery.id

    def ack(self) -> bool:
        """Acknowledge: the item is done, and does not come again; False where it was acknowledged before.

        It is done also where it had come again meanwhile, since redeliver_after= had passed.
        """
        return self.queue.exchange.acknowledge(self.delivery)

    def nack(self, delay: float = 0) -> bool:
        """Give the item back, to come again after so many seconds, before items that were never out.

        False where it was acknowledged, or was given back, or has come again meanwhile. The delay goes on where the
        queue is closed and opened again, by the system's clock.
        """
        return self.queue.exchange.give_back(self.delivery, self.attempts, delay)

    def extend(self, seconds: float) -> bool:
        """Have the item come again only where it is not acknowledged within so many seconds from now.

        That stands in place of what redeliver_after= says of this delivery, be it sooner or later. False as for `nack`.
        """
        return self.queue.exchange.extend(self.delivery, self.attempts, seconds)

    def __enter__(self) -> T:
        return self.item_or_give_back()

    def item_or_give_back(self) -> T:
        """Return the item; where the codec raises, nobody has it, and it comes again."""
        try:
            return self.item
        except BaseException:
            with contextlib.suppress(ClosedError):
                self.nack()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.ack()
        else:
            with contextlib.suppress(ClosedError):  # it comes again anyway, and the block's own exception says more
                self.nack()

    async def __aenter__(self) -> T:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, value, trace)

    def __repr__(self) -> str:
        return f"<oxidbm.queue.Message {self.id}, attempt {self.attempts}{', done' if self.delivery.done else ''}>"


Message.__module__ = "oxidbm.queue"


class Holdings(Generic[T]):
    """What `Queue.get` and `Queue.aget` handed out: to which thread, or task."""

    def __init__(self) -> None:
        self.threads = threading.local()
        self.tasks: weakref.WeakKeyDictionary[asyncio.Task[Any], deque[Message[T]]] = weakref.WeakKeyDictionary()

    def of_thread(self) -> deque[Message[T]]:
        """Return what the calling thread has got."""
        found: deque[Message[T]] | None = getattr(self.threads, "messages", None)
        if found is None:
            found = self.threads.messages = deque()
        return found

    def add_to_task(self, message: Message[T]) -> None:
        """Let a message belong to the task that runs."""
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        self.tasks.setdefault(task, deque()).append(message)

    def pop_oldest(self) -> Message[T]:
        """Take what the task, or thread, has got first from what it has."""
        messages = self.of_thread()
        if self.tasks:
            import asyncio

            try:
                task = asyncio.current_task()
            except RuntimeError:  # no loop runs here
                task = None
            messages = self.tasks.get(task, messages) if task is not None else messages
        if not messages:
            raise ValueError("task_done(), ack() or nack() was called more often than get() in this thread or task")
        return messages.popleft()
