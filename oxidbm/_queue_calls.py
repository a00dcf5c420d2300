"""What several methods of a queue have in common, and the codec of its log."""

from __future__ import annotations

from collections.abc import Iterable
from queue import Full
from typing import TYPE_CHECKING, Protocol, TypeVar

from oxidbm._core.arguments import check_iterable
from oxidbm._core.errors import ClosedError
from oxidbm._core.life import FORKED
from oxidbm._core.queue.entries import HEAD_BYTES, ITEM
from oxidbm._core.queue.later import put_later
from oxidbm._core.seconds import to_delay

if TYPE_CHECKING:
    from collections import deque

    from _typeshed import ReadableBuffer

    from oxidbm import codecs
    from oxidbm._core.queue.exchange import Exchange
    from oxidbm._core.queue.handout import Handout
    from oxidbm._core.queue.queue_log import QueueLog
    from oxidbm._queue_message import Holdings, _Seconds

    _Plain = str | ReadableBuffer  # an item of a queue without a codec

T = TypeVar("T")


class Face(Protocol[T]):
    """What is needed of a queue."""

    codec: codecs.Codec[T]
    log: QueueLog
    maxsize: int
    exchange: Exchange
    holdings: Holdings


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


def entry_of(queue: Face[T], item: T) -> bytes:
    """Return an item as the log keeps it."""
    entry = ITEM + queue.codec.encode(item)
    if len(entry) + HEAD_BYTES > queue.log.value_limit:
        raise ValueError(
            f"an item of {len(entry) - 1} bytes does not fit: the most one may take is half of the memory budget, "
            f"{queue.log.value_limit - HEAD_BYTES - 1} bytes. Open the queue with more memory="
        )
    return entry


def entries_of(queue: Face[T], items: Iterable[T]) -> list[bytes]:
    """Return items as the log keeps them; ValueError where they are more than the queue ever has room for."""
    if isinstance(items, (bytes, str, bytearray, memoryview)):
        raise TypeError(f"put_many() takes an iterable of items, not {type(items).__name__}; put() one")
    check_iterable("items", "an iterable of items", items)
    entries = [entry_of(queue, item) for item in items]
    if 0 < queue.maxsize < len(entries):
        raise ValueError(f"there is never room for {len(entries)} items in a queue with maxsize={queue.maxsize}")
    return entries


def check_end(queue: Face[T], end: Exception) -> None:
    """Raise what ended the messages where that is no end: a forked child has not got what the parent still gets."""
    if isinstance(end, ClosedError) and queue.log.life.state == FORKED:
        raise end


def oldest_of(queue: Face[T]) -> tuple[Handout, deque[Handout]]:
    """Return what the calling thread or task has got first, and all that it has; ValueError where it has nothing."""
    queue.log.life.check_open()
    if queue.log.read_only:
        queue.log.life.check_writable()
    held = queue.holdings.of_caller()
    if not held:
        raise ValueError("task_done(), ack() or nack() was called more often than get() in this thread or task")
    return held[0], held


def put(queue: Face[T], entries: list[bytes], block: bool, timeout: _Seconds | None, delay: _Seconds = 0) -> None:
    """Put items, or one that is to wait first; raise Full where there is no room for them."""
    exchange = queue.exchange
    deadline = exchange.deadline(block, timeout)
    seconds = to_delay("delay", delay, True)
    done = put_later(exchange, entries[0], seconds, deadline) if seconds > 0 else exchange.put(entries, deadline)
    if not done:
        raise Full
