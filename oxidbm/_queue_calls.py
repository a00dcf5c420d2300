"""What several methods of a queue have in common, and the codec of its log."""

from __future__ import annotations

from queue import Full
from typing import TYPE_CHECKING, Protocol, TypeVar

from oxidbm._core.errors import ClosedError
from oxidbm._core.life import FORKED
from oxidbm._core.queue.entries import HEAD_BYTES, ITEM

if TYPE_CHECKING:
    from oxidbm import codecs
    from oxidbm._core.queue.exchange import Exchange
    from oxidbm._core.queue.queue_log import QueueLog
    from oxidbm._queue_message import Holdings, Message

T = TypeVar("T")


class Face(Protocol[T]):
    """What is needed of a queue."""

    codec: codecs.Codec[T]
    log: QueueLog
    exchange: Exchange
    holdings: Holdings[T]


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


def check_end(queue: Face[T], end: Exception) -> None:
    """Raise what ended the messages where that is no end: a forked child has not got what the parent still gets."""
    if isinstance(end, ClosedError) and queue.log.life.state == FORKED:
        raise end


def oldest_of(queue: Face[T]) -> Message[T]:
    """Return what the calling thread or task has got first, which is to have it no more."""
    queue.log.life.check_open()
    if queue.log.read_only:
        queue.log.life.check_writable()
    return queue.holdings.pop_oldest()


def put(queue: Face[T], entries: list[bytes], block: bool, timeout: float | None) -> None:
    """Put items; raise Full where there is no room for them."""
    exchange = queue.exchange
    if not exchange.put(entries, exchange.deadline(block, timeout)):
        raise Full
