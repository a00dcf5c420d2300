"""The ordered view: the keys of a store in the order of their bytes, in a sorted list beside the hash index.

An operation that adds or removes a key only notes the key (`Engine.note_change`), so that it stays one uninterrupted
stretch of compiled code; whoever asks for an order takes the notes up first, by looking at what the store says of each
key now. Writers take them up themselves when thousands have come together. So the view is never behind for anyone who
looks. Memory: each key's bytes object and a pointer. The list is sortedcontainers' SortedList (Grant Jenks): an
insertion costs O(log n) comparisons and a move within a list of about a thousand.
"""

import sys
import threading
from collections.abc import Iterator
from typing import Any, Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core import operations
from oxidbm._core.convert import from_key, from_value
from oxidbm._core.engine import OPEN, Engine, Order
from oxidbm._core.scan import KEYS, StoreIterator

CHUNK: Final = 128
BULK: Final = 2048  # changes from which on a merge is cheaper than insertions
POINTER_BYTES: Final = 8


@final
class KeyOrder(Order):
    """The sorted keys of one store."""

    def __init__(self, e: Engine) -> None:
        from sortedcontainers import SortedList  # type: ignore[import-untyped]

        self.e = e
        self.lock = threading.RLock()
        self.key_bytes: i64 = 0
        e.changed = []
        e.tracked = True
        found: list[bytes] = []
        iterator = StoreIterator(e, KEYS)
        iterator.raw = True
        for key in iterator:
            assert isinstance(key, bytes)
            found.append(key)
            self.key_bytes += sys.getsizeof(key)
        self.keys: Any = SortedList(found)

    def size_bytes(self) -> i64:
        """Return the memory that the keys and the list take."""
        return self.key_bytes + i64(len(self.keys)) * POINTER_BYTES

    def clear(self) -> None:
        """Forget every key, since the store has."""
        with self.lock:
            self.e.changed = []
            self.keys.clear()
            self.key_bytes = 0

    def catch_up(self) -> None:
        """Take up every change noted so far."""
        if not self.e.changed:
            return
        with self.lock:
            while self.e.changed:
                changed = self.e.changed
                self.e.changed = []
                if len(changed) >= BULK:
                    self.merge(changed)
                else:
                    for key in changed:
                        self.look_at(key)
                _breath.breathe()

    def look_at(self, key: bytes) -> None:
        """Have the list say of one key what the store says."""
        if operations.read(self.e, key) is None:
            if key in self.keys:
                self.keys.remove(key)
                self.key_bytes -= sys.getsizeof(key)
        elif key not in self.keys:
            self.keys.add(key)
            self.key_bytes += sys.getsizeof(key)

    def merge(self, changed: list[bytes]) -> None:
        """As `look_at` for many keys; the new ones go in together."""
        fresh: list[bytes] = []
        left: i64 = CHUNK
        for key in set(changed):
            if operations.read(self.e, key) is not None and key not in self.keys:
                fresh.append(key)
                self.key_bytes += sys.getsizeof(key)
            else:
                self.look_at(key)
            left -= 1
            if left == 0:
                left = CHUNK
                _breath.breathe()
        self.keys.update(fresh)

    def after(self, low: bytes | None, low_in: bool, high: bytes | None, reverse: bool) -> list[bytes]:
        """Return the next keys from `low` on and before `high`; in reverse, those before `high` from the top down."""
        self.catch_up()
        found: list[bytes] = []
        with self.lock:
            for key in self.keys.irange(low, high, (low_in, False), reverse):
                found.append(key)
                if len(found) == CHUNK:
                    break
        return found

    def neighbour(self, key: bytes | None, reverse: bool) -> bytes | None:
        """Return the live key next to `key`, which need not be there itself; the first, or last, where it is None."""
        at = key
        while True:
            for candidate in self.after(None, True, at, True) if reverse else self.after(at, at is None, None, False):
                at = candidate
                if operations.read(self.e, candidate) is not None:  # it may have expired
                    return candidate
            if not self.more(at, reverse):
                return None

    def more(self, at: bytes | None, reverse: bool) -> bool:
        """Return whether there are keys beyond `at`."""
        if at is None:
            return False
        return bool(self.after(None, True, at, True) if reverse else self.after(at, False, None, False))


@final
class RangeIterator:
    """Iterates the items of a range of keys in order, lazily: each key that is there when its place is reached."""

    def __init__(self, order: KeyOrder, low: bytes | None, high: bytes | None, reverse: bool) -> None:
        self.order = order
        self.e = order.e
        self.low = low
        self.low_in = True
        self.high = high
        self.reverse = reverse
        self.chunk: list[bytes] = []
        self.position: i64 = 0
        self.ended = False

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        e = self.e
        while not self.ended:
            if e.state != OPEN:
                e.blocked_read()
            if self.position == len(self.chunk):
                self.chunk = self.order.after(self.low, self.low_in, self.high, self.reverse)
                self.position = 0
                if not self.chunk:
                    break
                if self.reverse:
                    self.high = self.chunk[-1]
                else:
                    self.low = self.chunk[-1]
                    self.low_in = False
            key = self.chunk[self.position]
            self.position += 1
            value = operations.read(e, key)
            if value is not None:
                return from_key(e, key), from_value(e, value)
        self.ended = True
        raise StopIteration


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the first key behind all that begin with a prefix; None where there is none."""
    end = prefix.rstrip(b"\xff")
    return end[:-1] + bytes([end[-1] + 1]) if end else None
