"""The ordered view: the keys of a store in the order of their bytes, in a sorted list beside the hash index.

An operation that adds or removes a key only notes the key (`Engine.note_change`), so that it stays one uninterrupted
stretch of compiled code; whoever asks for an order takes the notes up first, by looking at what the store says of each
key now. Writers take them up themselves when thousands have come together. So the view is never behind for anyone who
looks. Memory: each key's bytes object and a pointer. The list is sortedcontainers' SortedList (Grant Jenks): an
insertion costs O(log n) comparisons and a move within a list of about a thousand.
"""

import importlib
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.store.arguments import from_key, from_value
from oxidbm._core.table import operations
from oxidbm._core.table.engine import OPEN, Engine, Order
from oxidbm._core.table.scan import KEYS, StoreIterator

CHUNK: Final = 128
CHUNK_GROWTH_BITS: Final = 2
BULK: Final = 2048  # changes from which on a merge is cheaper than insertions
POINTER_BYTES: Final = 8


@final
class KeyOrder(Order):
    """The sorted keys of one store."""

    def __init__(self, e: Engine) -> None:
        # not by an import statement: mypy would have to see the package when the core is built
        self.sorted_list: Any = importlib.import_module("sortedcontainers").SortedList
        self.e = e
        self.lock = threading.RLock()
        self.key_bytes: i64 = 0
        self.version: i64 = 0
        self.whole = False
        self.behind = False
        self.keys: Any = self.sorted_list()
        e.tracked = True
        self.build()

    def build(self) -> None:
        """Make the list from what the store holds."""
        self.e.changed = []
        found: list[bytes] = []
        iterator = StoreIterator(self.e, KEYS)
        iterator.raw = True
        for key in iterator:
            assert isinstance(key, bytes)
            found.append(key)
        self.keys = self.sorted_list(found)
        self.key_bytes = 0
        for key in found:
            self.key_bytes += sys.getsizeof(key)
        self.version += 1
        self.whole = True

    def size_bytes(self) -> i64:
        """Return the memory that the keys and the list take."""
        return self.key_bytes + i64(len(self.keys)) * POINTER_BYTES

    def clear(self) -> None:
        """Forget every key, since the store has."""
        with self.lock:
            self.e.changed = []
            self.whole = False
            self.version += 1
            self.keys.clear()
            self.key_bytes = 0
            self.whole = True

    def catch_up(self) -> None:
        """Take up every change noted so far."""
        if self.whole and not self.behind and not self.e.changed:
            return
        with self.lock:  # which waits for a thread that has taken the notes and is not through with them
            if not self.whole:  # Ctrl-C came while the list, which is interpreted code, was changed
                self.build()
            while self.e.changed:
                self.behind = True
                changed = self.e.changed
                self.e.changed = []
                try:
                    if len(changed) >= BULK:
                        self.merge(changed)
                    else:
                        for key in changed:
                            self.look_at(key)
                except BaseException:
                    changed.extend(self.e.changed)  # to look at a key twice does no harm
                    self.e.changed = changed
                    raise
                finally:
                    self.behind = False
                _breath.breathe()

    def look_at(self, key: bytes) -> None:
        """Have the list say of one key what the store says."""
        there = operations.read(self.e, key) is not None
        if there == (key in self.keys):
            return
        self.whole = False
        self.version += 1
        if there:
            self.keys.add(key)
            self.key_bytes += sys.getsizeof(key)
        else:
            self.keys.remove(key)
            self.key_bytes -= sys.getsizeof(key)
        self.whole = True

    def merge(self, changed: list[bytes]) -> None:
        """As `look_at` for many keys; the new ones go in together."""
        fresh: list[bytes] = []
        left: i64 = CHUNK
        for key in set(changed):
            if operations.read(self.e, key) is not None and key not in self.keys:
                fresh.append(key)
            else:
                self.look_at(key)
            left -= 1
            if left == 0:
                left = CHUNK
                _breath.breathe()
        self.whole = False
        self.version += 1
        self.keys.update(fresh)
        for key in fresh:
            self.key_bytes += sys.getsizeof(key)
        self.whole = True

    def after(self, low: bytes | None, low_in: bool, high: bytes | None, reverse: bool, most: i64) -> list[bytes]:
        """Return the next keys from `low` on and before `high`; in reverse, those before `high` from the top down."""
        self.catch_up()
        found: list[bytes] = []
        with self.lock:
            for key in self.keys.irange(low, high, (low_in, False), reverse):
                found.append(key)
                if len(found) >= most:
                    break
        return found

    def beyond(self, key: bytes | None, reverse: bool, most: i64) -> list[bytes]:
        """Return the next keys beyond one, or from an end of the order on."""
        return self.after(None, True, key, True, most) if reverse else self.after(key, key is None, None, False, most)

    def neighbour(self, key: bytes | None, reverse: bool) -> bytes | None:
        """Return the live key next to `key`, which need not be there itself; the first, or last, where it is None.

        Where keys had to be passed over, and the order has changed meanwhile, they may have moved: looked at again.
        """
        e = self.e
        while True:
            if e.state != OPEN:
                e.blocked_read()
            self.catch_up()
            version = self.version
            found, sure = self.live_beyond(key, reverse)
            if sure or (e.state == OPEN and not e.changed and version == self.version):
                return found

    def live_beyond(self, key: bytes | None, reverse: bool) -> tuple[bytes | None, bool]:
        """Return the next key that has a value, and whether it was the very first one looked at."""
        sure = True
        most: i64 = 1  # nearly always enough
        at = key
        while True:
            candidates = self.beyond(at, reverse, most)
            most = CHUNK
            if not candidates:
                return None, False
            for candidate in candidates:
                at = candidate
                if operations.read(self.e, candidate) is not None:  # it may have expired
                    return candidate, sure
                sure = False


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
        self.version: i64 = -1
        self.chunk_keys: i64 = CHUNK
        self.ended = False

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        e = self.e
        while not self.ended:
            if e.state != OPEN:
                e.blocked_read()
            self.order.catch_up()
            if self.position == len(self.chunk) or self.version != self.order.version:
                self.load()
                if not self.chunk:
                    break
            key = self.chunk[self.position]
            self.position += 1
            if self.reverse:
                self.high = key
            else:
                self.low = key
                self.low_in = False
            value = operations.read(e, key)
            if value is not None:
                return from_key(e, key), from_value(e, value)
        self.ended = True
        raise StopIteration

    def load(self) -> None:
        """Get the next keys: many ahead where none comes or goes, few where the order changes all the time."""
        changed: bool = self.version >= 0 and self.version != self.order.version
        self.chunk_keys = 1 if changed else min(self.chunk_keys << CHUNK_GROWTH_BITS, i64(CHUNK))
        self.version = self.order.version
        self.position = 0
        self.chunk = self.order.after(self.low, self.low_in, self.high, self.reverse, self.chunk_keys)


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the first key behind all that begin with a prefix; None where there is none."""
    end = prefix.rstrip(b"\xff")
    return end[:-1] + bytes([end[-1] + 1]) if end else None
