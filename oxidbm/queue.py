"""A durable work queue: `oxidbm.Queue`, with the interface of the stdlib's queue.Queue where that fits.

Items are kept in an `oxidbm.Log` of their own until they are acknowledged. One that was handed out and is not
acknowledged comes again: when it is given back, when redeliver_after= has passed, or when the queue is opened the next
time. So each comes at least once, and a consumer has to bear one that comes twice.

oxidbm/_deliveries.py says what the log holds.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, Full
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, overload

from oxidbm import codecs
from oxidbm._core.errors import ClosedError
from oxidbm._core.faster_log.queue_log import QueueLog
from oxidbm._deliveries import HEAD_BYTES, ITEM, Delivery
from oxidbm._exchange import Exchange

if TYPE_CHECKING:
    import asyncio
    import os

    from _typeshed import ReadableBuffer

    from oxidbm._core.device.device import Device

__all__ = ["Empty", "Full", "Message", "Queue"]

T = TypeVar("T")
C = TypeVar("C")


class Entries:
    """The codec of a typed queue's log: bytes as the queue makes them, under the name of the items' codec."""

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, value: bytes) -> bytes:
        """Return an entry as it is."""
        return value

    def decode(self, data: bytes) -> bytes:
        """Return an entry as it is."""
        return data


class Message(Generic[T]):
    """An item that was handed out by `Queue.take`, to be acknowledged; in a `with` block, that is done at its end.

    The block's variable is the item. It is given back, and comes again, where the block ends by an exception.
    """

    __slots__ = ("attempts", "data", "delivery", "kept", "queue")

    def __init__(self, queue: Queue[T], delivery: Delivery, data: bytes) -> None:
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

        False where it was acknowledged, or was given back, or has come again meanwhile.
        """
        return self.queue.exchange.give_back(self.delivery, self.attempts, delay)

    def __enter__(self) -> T:
        try:
            return self.item
        except BaseException:
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

    def __repr__(self) -> str:
        return f"<oxidbm.queue.Message {self.id}, attempt {self.attempts}{', done' if self.delivery.done else ''}>"


class Queue(Generic[T]):
    """A queue of items that outlives its process; any number of threads and tasks of one process share it.

    Items are delivered in the order in which they were put, each at least once; one that comes again comes before those
    that were never out. Without a codec they are bytes; str and other buffers are taken, and come back as bytes.

    Every method raises ClosedError after close() and in a forked child, and those that write raise PoisonedError where
    a write or sync has failed; what was durable still is. An item that put() could not make durable may have been
    handed out. A put or take costs O(the item), without I/O but for commits and for what does not fit into memory.
    """

    @overload
    def __init__(
        self: Queue[bytes],
        path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        *,
        maxsize: int = 0,
        redeliver_after: float | None = None,
        durability: Literal["manual", "interval", "always"] = "always",
        interval: float = 1.0,
        memory: int | str = "64MiB",
        page_size: int | str = "4MiB",
        codec: None = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None: ...
    @overload
    def __init__(
        self: Queue[C],
        path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        *,
        maxsize: int = 0,
        redeliver_after: float | None = None,
        durability: Literal["manual", "interval", "always"] = "always",
        interval: float = 1.0,
        memory: int | str = "64MiB",
        page_size: int | str = "4MiB",
        codec: type[C] | codecs.Codec[C],
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None: ...
    @overload
    def __init__(
        self: Queue[Any],
        path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        *,
        maxsize: int = 0,
        redeliver_after: float | None = None,
        durability: Literal["manual", "interval", "always"] = "always",
        interval: float = 1.0,
        memory: int | str = "64MiB",
        page_size: int | str = "4MiB",
        codec: str,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None: ...
    def __init__(
        self,
        path: Any = None,
        *,
        maxsize: int = 0,
        redeliver_after: float | None = None,
        durability: Literal["manual", "interval", "always"] = "always",
        interval: float = 1.0,
        memory: int | str = "64MiB",
        page_size: int | str = "4MiB",
        codec: Any = None,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the queue in the directory `path`, or make it; without a path it lives in memory.

        maxsize: how many items may wait, before put() does; 0 for any number. Those that come again are not kept out.
        redeliver_after: seconds after which an item that was handed out and is not acknowledged comes again; None for
            when the queue is opened the next time.
        durability: when what was put is durable: "always" when put() returns, "interval" after `interval` seconds,
            "manual" with commit() or close(). Threads that put at the same time share one sync.
        interval: seconds until acknowledgements are durable, unless it is "manual": they wait for no sync of their own.
            One that a crash loses has its item come again.
        memory: the whole budget for items in memory; what does not fit is read from disk.
        page_size: bytes of a page of the log, whose space is given back in pages; fixed when the queue is made.
        codec: of the items, as of a Log; its name is kept, and another one is a CodecError.
        mode, create, lock, device: as of a Log.
        clock: seconds for redelivery and delays.

        Opening costs O(what the log holds), which is what is not acknowledged, and at most a few pages more.

        Raises LockedError where the queue is open already, here or in another process; FormatError where the path is a
        store, a plain log, or something else; CorruptionError for entries that no queue writes; MissingError;
        CodecError; ValueError for a redeliver_after that is no time.
        """
        if redeliver_after is not None and not redeliver_after > 0:
            raise ValueError(f"redeliver_after is a number of seconds above 0, or None, not {redeliver_after!r}")
        self.codec: codecs.Codec[T] = codecs.resolve(codec)
        self.durability = durability
        plain: Any = (codecs.BYTES, codecs.RAW)
        self.log = QueueLog(
            path,
            memory=memory,
            durability="interval" if durability == "always" else durability,
            page_size=page_size,
            interval=interval,
            codec=self.codec if self.codec in plain else Entries(self.codec.name),
            mode=mode,
            create=create,
            lock=lock,
            device=device,
        )
        always = durability == "always" and path is not None
        try:
            self.exchange = Exchange(self.log, maxsize, redeliver_after, always, clock)
        except BaseException:
            self.log.close(commit=False)
            raise
        self.threads = threading.local()
        self.tasks: weakref.WeakKeyDictionary[asyncio.Task[Any], deque[Message[T]]] = weakref.WeakKeyDictionary()

    @overload
    def put(
        self: Queue[bytes], item: str | ReadableBuffer, block: bool = True, timeout: float | None = None
    ) -> None: ...
    @overload
    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None: ...
    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item at the end.

        block, timeout: wait for room, for ever or for so many seconds, where maxsize= items wait; then raise Full.

        Raises TypeError and ValueError for what the codec does not take or is too large; FullError in memory.
        """
        self.put_entries([self.entry_of(item)], block, timeout)

    @overload
    def put_nowait(self: Queue[bytes], item: str | ReadableBuffer) -> None: ...
    @overload
    def put_nowait(self, item: T) -> None: ...
    def put_nowait(self, item: Any) -> None:
        """As `put`, but raise Full where there is no room now."""
        self.put_entries([self.entry_of(item)], False, None)

    @overload
    def put_many(
        self: Queue[bytes], items: Iterable[str | ReadableBuffer], block: bool = True, timeout: float | None = None
    ) -> None: ...
    @overload
    def put_many(self, items: Iterable[T], block: bool = True, timeout: float | None = None) -> None: ...
    def put_many(self, items: Iterable[Any], block: bool = True, timeout: float | None = None) -> None:
        """Put several items, which wait for room together, and share one sync; a crash may leave the first of them.

        Raises ValueError for more than maxsize=.
        """
        entries = [self.entry_of(item) for item in items]
        if 0 < self.exchange.maxsize < len(entries):
            raise ValueError(
                f"there is never room for {len(entries)} items in a queue with maxsize={self.exchange.maxsize}"
            )
        self.put_entries(entries, block, timeout)

    def take(self, block: bool = True, timeout: float | None = None) -> Message[T]:
        """Hand out the next item as a message, which is to be acknowledged.

        block, timeout: wait for one, for ever or for so many seconds; then raise Empty.
        """
        found = self.exchange.take(self.exchange.deadline(block, timeout))
        if found is None:
            raise Empty
        return Message(self, *found)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Hand out the next item; `ack`, `nack` and `task_done` are about the oldest that the thread still has."""
        message = self.take(block, timeout)
        self.own().append(message)
        return message.item

    def get_nowait(self) -> T:
        """As `get`, but raise Empty where nothing waits now."""
        return self.get(False)

    def ack(self) -> bool:
        """Acknowledge the item that this thread, or task, got first of those that it still has; see `Message.ack`.

        Raises ValueError where it has none.
        """
        return self.oldest().ack()

    def nack(self, delay: float = 0) -> bool:
        """Give it back instead; see `Message.nack`."""
        return self.oldest().nack(delay)

    def task_done(self) -> None:
        """As `ack`, by the name that it has in the stdlib."""
        self.oldest().ack()

    def messages(self, timeout: float | None = None) -> Iterator[Message[T]]:
        """Iterate messages as they come, until none has for so many seconds, or the queue is closed."""
        while True:
            try:
                message = self.take(True, timeout)
            except (Empty, ClosedError):
                return
            yield message

    @overload
    async def aput(self: Queue[bytes], item: str | ReadableBuffer, timeout: float | None = None) -> None: ...
    @overload
    async def aput(self, item: T, timeout: float | None = None) -> None: ...
    async def aput(self, item: Any, timeout: float | None = None) -> None:
        """As `put`, in a task: others run while it waits. Cancelled, it may have put the item, or not."""
        from oxidbm import _queue_async

        if not await _queue_async.put(self.exchange, self.entry_of(item), self.exchange.deadline(True, timeout)):
            raise Full

    async def atake(self, timeout: float | None = None) -> Message[T]:
        """As `take`, in a task. Cancelled, it has taken nothing."""
        from oxidbm import _queue_async

        found = await _queue_async.take(self.exchange, self.exchange.deadline(True, timeout))
        if found is None:
            raise Empty
        return Message(self, *found)

    async def aget(self, timeout: float | None = None) -> T:
        """As `get`, in a task, to which the item belongs then."""
        import asyncio

        message = await self.atake(timeout)
        task = asyncio.current_task()
        assert task is not None
        self.tasks.setdefault(task, deque()).append(message)
        return message.item

    def qsize(self) -> int:
        """Return how many items wait, those that come again later among them. O(1)."""
        self.log.life.check_open()
        return self.exchange.deliveries.waiting

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        """Return True, as of a queue.Queue: an empty queue is one, too."""
        return True

    @property
    def in_flight(self) -> int:
        """How many items are handed out and neither acknowledged nor given back."""
        self.log.life.check_open()
        return len(self.exchange.deliveries.flying)

    def empty(self) -> bool:
        """Return whether nothing waits."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Return whether maxsize= items wait."""
        return 0 < self.exchange.maxsize <= self.qsize()

    def join(self, timeout: float | None = None) -> bool:
        """Return True once nothing waits nor is in flight, False where that takes longer than so many seconds."""
        return self.exchange.join(self.exchange.deadline(True, timeout))

    def commit(self) -> None:
        """Return once all that was put and acknowledged is durable."""
        self.log.commit()

    def stats(self) -> dict[str, Any]:
        """Return figures: those of the log below, and waiting, in_flight, maxsize and durability of the queue."""
        figures = self.log.stats()
        figures["waiting"] = self.exchange.deliveries.waiting
        figures["in_flight"] = len(self.exchange.deliveries.flying)
        figures["maxsize"] = self.exchange.maxsize
        figures["durability"] = self.durability
        return figures

    @property
    def path(self) -> str | None:
        """The queue's directory; None for one in memory."""
        return self.log.path

    @property
    def closed(self) -> bool:
        """Whether the queue was closed."""
        return self.log.closed

    def close(self) -> None:
        """Make everything durable and close; a second time does nothing. Who waits is told by a ClosedError."""
        if not self.log.closed:
            self.exchange.close()

    def __enter__(self) -> Self:
        self.log.life.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a queue cannot be pickled or copied; open its path where it is needed")

    def __repr__(self) -> str:
        where = repr(self.path) if self.path else "in memory"
        return f"<oxidbm.Queue {where}{', closed' if self.closed else ''}>"

    def entry_of(self, item: T) -> bytes:
        """Return an item as the log keeps it."""
        entry = ITEM + self.codec.encode(item)
        if len(entry) + HEAD_BYTES > self.log.value_limit:
            raise ValueError(
                f"an item of {len(entry) - 1} bytes does not fit: the most one may take is half of the memory budget, "
                f"{self.log.value_limit - HEAD_BYTES - 1} bytes. Open the queue with more memory="
            )
        return entry

    def put_entries(self, entries: list[bytes], block: bool, timeout: float | None) -> None:
        """Put items; raise Full where there is no room for them."""
        if not self.exchange.put(entries, self.exchange.deadline(block, timeout)):
            raise Full

    def own(self) -> deque[Message[T]]:
        """Return what the calling thread has got."""
        found: deque[Message[T]] | None = getattr(self.threads, "messages", None)
        if found is None:
            found = self.threads.messages = deque()
        return found

    def oldest(self) -> Message[T]:
        """Take what the task, or thread, has got first from what it has."""
        messages = self.own()
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
