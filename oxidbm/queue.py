"""A durable work queue: `oxidbm.Queue`, with the interface of the stdlib's queue.Queue where that fits.

Items are kept in an `oxidbm.Log` of their own until they are acknowledged. One that was handed out and is not
acknowledged comes again: when it is given back, when redeliver_after= has passed, or when the queue is opened the next
time. So each comes at least once, and a consumer has to bear one that comes twice.

oxidbm/_core/queue/ has what happens, and its entries.py what the log holds.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from queue import Empty, Full
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, cast, overload

from oxidbm import codecs
from oxidbm._core.arguments import as_seconds
from oxidbm._core.errors import ClosedError
from oxidbm._core.queue.exchange import Exchange
from oxidbm._core.queue.queue_end import QueueEnd
from oxidbm._core.queue.queue_log import QueueLog
from oxidbm._queue_calls import Entries, check_end, entries_of, entry_of, oldest_of, put
from oxidbm._queue_errors import ShutDown, SkippedWarning
from oxidbm._queue_message import Holdings, Message
from oxidbm._queue_options import check_options, checked_limit
from oxidbm._queue_view import Peeked, Refusal, View, shown

if TYPE_CHECKING:
    import os

    from oxidbm._backup import BackupReport
    from oxidbm._core.device.device import Device
    from oxidbm._publish import Path
    from oxidbm._queue_calls import _Plain
    from oxidbm._queue_message import _Seconds

__all__ = ["Empty", "Full", "Message", "Peeked", "Queue", "ShutDown", "SkippedWarning"]

T = TypeVar("T")
C = TypeVar("C")


class Queue(Generic[T]):
    """A queue of items that outlives its process; any number of threads and tasks of one process share it.

    Items are delivered in the order in which they were put, each at least once; one that comes again comes before those
    that were never out. Without a codec they are bytes; str and other buffers are taken, and come back as bytes.

    path: the queue's directory, which is made where there is none; without one the queue lives in memory.
    maxsize: how many items may wait, before put() does; 0 or less for any number. Those that come again are not
        kept out.
    redeliver_after: seconds after which an item that was handed out and is not acknowledged comes again; None for
        when the queue is opened the next time.
    durability: when what was put is durable: "always" when put() returns, "interval" after `interval` seconds,
        "manual" with commit() or close(). Threads that put at the same time share one sync.
    interval: seconds until acknowledgements are durable, unless it is "manual": they wait for no sync of their own.
        One that a crash loses has its item come again. As often the log is told which items are out, and how often
        they were: a process that dies after that has the attempt counted.
    memory: the whole budget for items in memory; what does not fit is read from disk.
    page_size: bytes of a page of the log, whose space is given back in pages; fixed when the queue is made.
    codec: of the items, as of a Log; its name is kept, and another one is a CodecError.
    on_error: at damage that may be an item which is not acknowledged: "raise" a CorruptionError, each time, or
        "skip" it, with a SkippedWarning; `stats` counts how many entries were passed over.
    read_only: look at the last commit, also beside the process that has the queue open, with peek(), stats(),
        check() and len(); all else raises ReadOnlyError.
    mode, create, lock, device: as of a Log.
    clock: what gives the seconds for redelivery and delays, and for them alone: a timeout is one of the real time.

    Opening costs O(what the log holds), which is what is not acknowledged, and at most a few pages more.

    Raises LockedError where the queue is open already, here or in another process; FormatError where the path is a
    store, a plain log, or something else; CorruptionError for damage, see on_error, and entries that no queue
    writes; MissingError; CodecError; TypeError and ValueError for arguments that are none.

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
        redeliver_after: _Seconds | None = None,
        durability: Literal["manual", "interval", "always"] = "always",
        interval: _Seconds = 1.0,
        memory: int | str = "64MiB",
        page_size: int | str = "4MiB",
        codec: None = None,
        on_error: Literal["raise", "skip"] = "raise",
        read_only: bool = False,
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
        redeliver_after: _Seconds | None = None,
        durability: Literal["manual", "interval", "always"] = "always",
        interval: _Seconds = 1.0,
        memory: int | str = "64MiB",
        page_size: int | str = "4MiB",
        codec: type[C] | codecs.Codec[C],
        on_error: Literal["raise", "skip"] = "raise",
        read_only: bool = False,
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
        redeliver_after: _Seconds | None = None,
        durability: Literal["manual", "interval", "always"] = "always",
        interval: _Seconds = 1.0,
        memory: int | str = "64MiB",
        page_size: int | str = "4MiB",
        codec: codecs.Name,
        on_error: Literal["raise", "skip"] = "raise",
        read_only: bool = False,
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
        redeliver_after: _Seconds | None = None,
        durability: Literal["manual", "interval", "always"] = "always",
        interval: _Seconds = 1.0,
        memory: int | str = "64MiB",
        page_size: int | str = "4MiB",
        codec: Any = None,
        on_error: Literal["raise", "skip"] = "raise",
        read_only: bool = False,
        mode: int = 0o666,
        create: bool = True,
        lock: bool = True,
        device: Device | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the queue in the directory `path`, or make it; what the arguments are, the class says."""
        flags = {"read_only": read_only, "create": create, "lock": lock}
        again = check_options(maxsize, redeliver_after, durability, interval, on_error, flags, mode, clock)
        self.codec: codecs.Codec[T] = codecs.resolve(codec)
        self.durability = durability
        self.maxsize = maxsize
        plain: Any = (codecs.BYTES, codecs.RAW)
        self.log = QueueLog(
            path,
            memory=memory,
            durability="interval" if durability == "always" else durability,
            read_only=read_only,
            page_size=page_size,
            interval=interval,
            codec=self.codec if self.codec in plain else Entries(self.codec.name),
            mode=mode,
            create=create,
            lock=lock,
            device=device,
            on_error=on_error if read_only else None,
        )
        self.ending = QueueEnd(self.log)
        always = durability == "always" and path is not None
        seconds = 0.0 if durability == "manual" else as_seconds("interval", "seconds", interval)
        skips = on_error == "skip"
        try:
            if read_only:
                self.exchange = cast(Exchange, Refusal(self.log))
                self.view = View(self.log, None, skips)
            else:
                self.exchange = Exchange(self.log, maxsize, again, always, clock, seconds, skips)
                self.ending.exchange = self.exchange
                self.view = View(self.log, self.exchange, skips)
        except BaseException:
            self.log.close(commit=False)
            raise
        self.holdings = Holdings()
        self.log.handle.handed = True

    @overload
    def put(
        self: Queue[bytes], item: _Plain, block: bool = True, timeout: _Seconds | None = None, delay: _Seconds = 0
    ) -> None: ...
    @overload
    def put(self, item: T, block: bool = True, timeout: _Seconds | None = None, delay: _Seconds = 0) -> None: ...
    def put(self, item: Any, block: bool = True, timeout: _Seconds | None = None, delay: _Seconds = 0) -> None:
        """Put an item at the end.

        block, timeout: wait for room, for ever or for so many seconds, where maxsize= items wait; then raise Full.
        delay: seconds before which nobody gets it, also where the queue is closed meanwhile; then it comes as by nack.

        Raises TypeError and ValueError for what the codec refuses or is too large; FullError in memory; ShutDown.
        """
        put(self, [entry_of(self, item)], block, timeout, delay)

    @overload
    def put_nowait(self: Queue[bytes], item: _Plain) -> None: ...
    @overload
    def put_nowait(self, item: T) -> None: ...
    def put_nowait(self, item: Any) -> None:
        """As `put`, but raise Full where there is no room now."""
        put(self, [entry_of(self, item)], False, None)

    @overload
    def put_many(
        self: Queue[bytes], items: Iterable[_Plain], block: bool = True, timeout: _Seconds | None = None
    ) -> None: ...
    @overload
    def put_many(self, items: Iterable[T], block: bool = True, timeout: _Seconds | None = None) -> None: ...
    def put_many(self, items: Iterable[Any], block: bool = True, timeout: _Seconds | None = None) -> None:
        """Put several items, which wait for room together, and share one sync.

        A crash may leave the first of them alone, and so may Ctrl-C, which ends the wait for the disk.
        Raises ValueError for more than maxsize=.
        """
        put(self, entries_of(self, items), block, timeout)

    def take(self, block: bool = True, timeout: _Seconds | None = None) -> Message[T]:
        """Hand out the next item as a message, which is to be acknowledged.

        block, timeout: wait for one, for ever or for so many seconds; then raise Empty.

        Raises ShutDown after shutdown(), and CorruptionError for damage, see on_error.
        """
        deadline = self.exchange.deadline(block, timeout)
        message: Message[T] = Message(self)
        try:
            if self.exchange.take(message, deadline):
                return message
        except BaseException:
            self.exchange.forsake(message)
            raise
        raise Empty

    def get(self, block: bool = True, timeout: _Seconds | None = None) -> T:
        """Hand out the next item; `ack`, `nack` and `task_done` are about the oldest that the thread still has.

        Raises what the codec raises for bytes that it did not write: then the item is given back, as by `nack`.
        """
        deadline = self.exchange.deadline(block, timeout)
        held = self.holdings.of_thread()
        message: Message[T] = Message(self)
        try:
            if self.exchange.take(message, deadline):
                item = message.item_or_give_back()
                held.append(message)
                return item
        except BaseException:
            self.exchange.forsake(message, held)
            raise
        raise Empty

    def get_nowait(self) -> T:
        """As `get`, but raise Empty where nothing waits now."""
        return self.get(False)

    def ack(self) -> bool:
        """Acknowledge the item that this thread, or task, got first of those that it still has; see `Message.ack`.

        Raises ValueError where it has none.
        """
        message, held = oldest_of(self)
        return self.exchange.acknowledge(message, held)

    def nack(self, delay: _Seconds = 0) -> bool:
        """Give it back instead; see `Message.nack`."""
        message, held = oldest_of(self)
        return self.exchange.give_back(message, delay, held)

    def task_done(self) -> None:
        """As `ack`, by the name that it has in the stdlib."""
        self.ack()

    def messages(self, timeout: _Seconds | None = None) -> Iterator[Message[T]]:
        """Iterate messages as they come, until none has for so many seconds, or the queue is shut down or closed."""
        while True:
            try:
                message = self.take(True, timeout)
            except (Empty, ShutDown, ClosedError) as end:
                check_end(self, end)
                return
            yield message

    def peek(self, limit: int | None = None) -> Iterator[Peeked[T]]:
        """Iterate the items that are not acknowledged, held ones among them, in their order, without taking any.

        limit: stop after so many.

        O(what the log holds). What is put, taken or acknowledged meanwhile may show or not.
        """
        return self.view.peek(self, checked_limit(limit))

    @overload
    async def aput(self: Queue[bytes], item: _Plain, timeout: _Seconds | None = None) -> None: ...
    @overload
    async def aput(self, item: T, timeout: _Seconds | None = None) -> None: ...
    async def aput(self, item: Any, timeout: _Seconds | None = None) -> None:
        """As `put`, in a task: others run while it waits. Cancelled, it may have put the item, or not."""
        from oxidbm import _queue_async

        if not await _queue_async.put(self.exchange, entry_of(self, item), self.exchange.deadline(True, timeout)):
            raise Full

    async def atake(self, timeout: _Seconds | None = None) -> Message[T]:
        """As `take`, in a task. Cancelled, it has taken nothing."""
        from oxidbm import _queue_async

        deadline = self.exchange.deadline(True, timeout)
        message: Message[T] = Message(self)
        try:
            if await _queue_async.take(self.exchange, message, deadline):
                return message
        except BaseException:
            self.exchange.forsake(message)
            raise
        raise Empty

    async def aget(self, timeout: _Seconds | None = None) -> T:
        """As `get`, in a task, to which the item belongs then."""
        from oxidbm import _queue_async

        deadline = self.exchange.deadline(True, timeout)
        held = self.holdings.of_task()
        message: Message[T] = Message(self)
        try:
            if await _queue_async.take(self.exchange, message, deadline):
                item = message.item_or_give_back()
                held.append(message)
                return item
        except BaseException:
            self.exchange.forsake(message, held)
            raise
        raise Empty

    async def amessages(self, timeout: _Seconds | None = None) -> AsyncIterator[Message[T]]:
        """As `messages`, in a task, for `async for`."""
        while True:
            try:
                message = await self.atake(timeout)
            except (Empty, ShutDown, ClosedError) as end:
                check_end(self, end)
                return
            yield message

    async def ajoin(self, timeout: _Seconds | None = None) -> bool:
        """As `join`, in a task."""
        from oxidbm import _queue_async

        return await _queue_async.join(self.exchange, self.exchange.deadline(True, timeout))

    def qsize(self) -> int:
        """Return how many items wait, those that come again later among them. O(1), but where it is open read-only."""
        self.log.life.check_open()
        deliveries = self.view.deliveries
        return deliveries.waiting if deliveries else len([one for one in self.view.states() if one != "held"])

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        """Return True, as of a queue.Queue: an empty queue is one, too."""
        return True

    @property
    def in_flight(self) -> int:
        """How many items are handed out and neither acknowledged nor given back."""
        self.log.life.check_open()
        deliveries = self.view.deliveries
        return deliveries.in_flight() if deliveries else self.view.states().count("held")

    def empty(self) -> bool:
        """Return whether nothing waits."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Return whether maxsize= items wait."""
        return self.qsize() >= self.maxsize > 0

    def join(self, timeout: _Seconds | None = None) -> bool:
        """Return True once nothing waits nor is in flight, False where that takes longer than so many seconds.

        Once the queue is shut down, what is delayed is not waited for; nor, where that was immediate, what waits.
        """
        return self.exchange.join(self.exchange.deadline(True, timeout))

    def shutdown(self, immediate: bool = False) -> None:
        """End all who put and take, as queue.Queue.shutdown() does since Python 3.13: they get ShutDown.

        immediate: hand out nothing more; else what can be handed out now still is. All that is left stays for when the
            queue is opened again.

        Messages that are out can be acknowledged and given back until close(); join() waits for these.
        """
        self.exchange.shutdown(immediate)

    def commit(self) -> None:
        """Return once all that was put and acknowledged is durable, and how often what is out was handed out."""
        self.exchange.commit()

    def backup(
        self, to: Path, *, link: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> BackupReport:
        """Copy the queue as of a commit that is made now, or of the last one where it is open read-only.

        to: the directory of the backup, or of an earlier one of this queue, to which what is new is added.
        link: take complete files as hard links, where the file system can.
        progress: is called with the numbers of bytes that are copied and that are to be, now and then.

        Others work with it meanwhile; what is not acknowledged by then waits in the copy. Returns the report. Raises
        ValueError for a queue in memory, and what `Log.backup` raises.
        """
        self.log.life.check_open()
        if not self.log.read_only:
            self.commit()
        report: BackupReport = self.log.backup(to, link=link, progress=progress)
        return report

    def check(self) -> list[str]:
        """Return every fault found, as sentences: what is damaged or missing, and what no queue writes. O(the log)."""
        self.log.life.check_open()
        return self.view.faults()

    def stats(self) -> dict[str, Any]:
        """Return figures: those of the log below, and of the queue, which are these.

        waiting, in_flight: how many items wait and are out; delayed: how many of the waiting ones do so until a time.
        oldest_seconds: for how long the first item that is not acknowledged is durable, None where it is not yet, or
            there is none; one that the log had to move counts anew.
        skipped: how many entries were passed over as damaged or missing; maxsize and durability: as they were given.
        """
        figures = self.log.stats()
        figures.update(self.view.figures())
        figures["maxsize"] = self.maxsize
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
        """Make everything durable and close; a second time does nothing. Who waits is told by a ClosedError.

        What is out cannot be acknowledged any more, and comes again: to let workers end, shutdown() and join() first.
        """
        if self.view.deliveries is None:
            self.log.close()
        else:
            self.exchange.close()

    def __enter__(self) -> Self:
        self.log.life.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        from oxidbm import _queue_async

        await _queue_async.to_the_end(self.close)

    def __reduce__(self) -> Any:
        raise TypeError("a queue cannot be pickled or copied; open its path where it is needed")

    def __repr__(self) -> str:
        return shown(self)
