"""The ordered view: the keys of a store in the order of their bytes, in a sorted list beside the hash index.

The table tells it which keys come and go; it only notes them then, so that an operation stays one uninterrupted stretch
of compiled code; whoever asks for an order takes the notes up first, by looking at what the store says of each key now.
Writers take them up themselves when thousands have come together. So the view is never behind for anyone who looks.
Memory, drawn from the budget: each key's bytes object and a pointer. The list is sortedcontainers' SortedList (Grant
Jenks): an insertion costs O(log n) comparisons and a move within a list of about a thousand.
"""

import importlib
import sys
from collections.abc import Iterator
from typing import Any, Final, final

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.budget import ORDER
from oxidbm._core.life import OPEN, READ_ONLY
from oxidbm._core.locks import ORDERING, LockOrder, StoreLock
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.iterator import KEYS, StoreIterator
from oxidbm._core.table import operations
from oxidbm._core.table.advice import AHEAD, Ahead
from oxidbm._core.table.iterate import pinned_inside
from oxidbm._core.table.table import Watcher

CHANGED_MAX: Final = 8192  # notes that have not been taken up yet; then a writer sees to it
CHUNK: Final = 128
CHUNK_GROWTH_BITS: Final = 2
BULK: Final = 2048  # changes from which on a merge is cheaper than insertions
POINTER_BYTES: Final = 8


@final
class KeyOrder(Watcher):
    """The sorted keys of one store."""

    def __init__(self, handle: Handle, original: "KeyOrder | None" = None) -> None:
        # not by an import statement: mypy would have to see the package when the core is built
        self.sorted_list: Any = importlib.import_module("sortedcontainers").SortedList
        self.handle = handle
        self.table = handle.table
        self.changes: list[bytes] = []
        self.lock = StoreLock(LockOrder(self.table.life.called()), ORDERING)
        self.key_bytes: i64 = 0
        self.version: i64 = 0
        self.whole = False
        self.stale = False
        self.behind = False
        self.pins: i64 = 0  # ranges of a reader that need the list as it is
        self.lists: i64 = 0  # that it had before this one
        self.original = original
        self.slot: i64 = -1
        if original is not None:
            self.keys: Any = original.keys
            self.lists = original.lists
            table, slot = pinned_inside(original.table)
            self.table = table
            self.slot = slot
            self.whole = True
            return
        self.keys = self.sorted_list()
        self.table.watchers = [*self.table.watchers, self]
        self.build()

    def pinned(self) -> "KeyOrder":
        """Return the order as it is now, whatever becomes of it, for a range of a reader; `unpin` ends that."""
        if self.handle.life.writable != READ_ONLY:
            return self
        while True:
            self.catch_up()
            if not self.changes and not self.stale and self.whole and not self.behind:
                self.pins += 1
                return KeyOrder(self.handle, self)

    def unpin(self) -> None:
        """Give up what `pinned` returned."""
        original = self.original
        if original is not None:
            self.original = None
            if original.lists == self.lists:
                original.pins -= 1
            self.table.log.epoch.leave(self.slot)
            self.table.unpin()

    def leave_list(self) -> None:
        """Go on with a list of one's own where ranges need this one as it is."""
        if self.pins > 0:
            fresh = self.sorted_list(self.keys)
            self.keys = fresh
            self.pins = 0
            self.lists += 1

    def changed(self, key: bytes) -> None:
        """Note that a key has to be looked at again."""
        self.changes.append(key)
        if len(self.changes) > CHANGED_MAX:
            self.table.log.due = True

    def forgotten(self) -> None:
        """Note that the list has to be made anew."""
        self.stale = True
        self.version += 1

    def catch_up_if_far_behind(self) -> None:
        """Take up the changes where there are very many."""
        if (self.stale or len(self.changes) > CHANGED_MAX) and not self.lock.held():
            self.catch_up()

    def build(self) -> None:
        """Make the list from what the store holds."""
        self.changes = []
        found: list[bytes] = []
        for key in StoreIterator(self.handle, KEYS, None, True):
            assert isinstance(key, bytes)
            found.append(key)
        self.keys = self.sorted_list(found)
        self.pins = 0
        self.lists += 1
        self.key_bytes = 0
        for key in found:
            self.key_bytes += sys.getsizeof(key)
        self.version += 1
        self.whole = True
        self.draw()

    def draw(self) -> None:
        """Tell the budget what keys and list take now."""
        self.table.log.budget.hold(ORDER, self.size_bytes())

    def size_bytes(self) -> i64:
        """Return the memory that the keys and the list take."""
        return self.key_bytes + i64(len(self.keys)) * POINTER_BYTES

    def catch_up(self) -> None:
        """Take up every change noted so far."""
        if self.whole and not self.stale and not self.behind and not self.changes:
            return
        with self.lock:  # which waits for a thread that has taken the notes and is not through with them
            if self.stale or not self.whole:  # Ctrl-C came while the list, which is interpreted code, was changed
                self.whole = self.stale = False  # until the list is made: that may be interrupted, too
                self.build()
            while self.changes:
                self.leave_list()
                self.behind = True
                changed = self.changes
                self.changes = []
                try:
                    if len(changed) >= BULK:
                        self.merge(changed)
                    else:
                        for key in changed:
                            self.look_at(key)
                except BaseException:
                    changed.extend(self.changes)  # to look at a key twice does no harm
                    self.changes = changed
                    raise
                finally:
                    self.behind = False
                    self.draw()
                _breath.breathe()

    def look_at(self, key: bytes) -> None:
        """Have the list say of one key what the store says."""
        there = operations.read(self.table, key) is not None
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
            if operations.read(self.table, key) is not None and key not in self.keys:
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
        life = self.handle.life
        while True:
            life.check_open()
            self.catch_up()
            version = self.version
            found, sure = self.live_beyond(key, reverse)
            if sure or (life.state == OPEN and not self.changes and not self.behind and version == self.version):
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
                if operations.read(self.table, candidate) is not None:  # it may have expired
                    return candidate, sure
                sure = False


@final
class RangeIterator:
    """Iterates the items of a range of keys in order, lazily: each key that is there when its place is reached.

    In a store that is opened to read only those are the keys of the commit at which it began.
    """

    ended = True  # a default of the class is there for the finalizer even when __init__ failed

    def __init__(
        self, order: KeyOrder, low: bytes | None, high: bytes | None, reverse: bool, owner: object = None
    ) -> None:
        self.owner = owner  # a store that is iterated stays open
        self.order = order.pinned()
        self.handle = order.handle
        self.ahead = Ahead(self.order.table)
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

    def __repr__(self) -> str:
        low = "" if self.low is None else f", from {self.low!r}"
        high = "" if self.high is None else f", up to {self.high!r}"
        order = ", backwards" if self.reverse else ""
        return f"<range of {self.handle.life.called()}{low}{high}{order}{', ended' if self.ended else ''}>"

    def __next__(self) -> object:
        handle = self.handle
        while not self.ended:
            handle.life.check_open()
            self.order.catch_up()
            if self.position == len(self.chunk) or self.version != self.order.version:
                self.load()
                if not self.chunk:
                    break
            place: i64 = self.position % AHEAD
            if place == 0:
                self.ahead.begin(self.chunk[self.position : self.position + AHEAD])
            key = self.chunk[self.position]
            self.position += 1
            if self.reverse:
                self.high = key
            else:
                self.low = key
                self.low_in = False
            value = operations.read(self.order.table, key)
            self.ahead.after(place)
            if value is not None:
                return handle.coders.from_key(key), handle.coders.value_of(key, value)
        self.ended = True
        self.owner = None
        self.order.unpin()
        raise StopIteration

    def __del__(self) -> None:
        if not self.ended:
            self.order.unpin()

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
