"""The store: a mapping of bytes to bytes, over the engine.

Each method checks that the store is open, turns its arguments into bytes, calls one operation, and gives the result
mapping semantics. Under the GIL an operation in memory is atomic, so any number of threads may share a store.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, cast

from mypy_extensions import i64

from oxidbm import _breath
from oxidbm._core.durability import commit
from oxidbm._core.index.hash_index import HashIndex
from oxidbm._core.log.record import KEY_LENGTH_MAX
from oxidbm._core.store import bulk
from oxidbm._core.store import expiring as lifetime
from oxidbm._core.store.arguments import (
    expiry_at,
    from_key,
    from_value,
    to_bound,
    to_key,
    to_prefix,
    to_value,
    too_large,
)
from oxidbm._core.store.base import OpenStore
from oxidbm._core.store.ordered import KeyOrder, RangeIterator, prefix_end
from oxidbm._core.store.session import put, remove
from oxidbm._core.table import operations
from oxidbm._core.table.engine import OPEN, WRITABLE
from oxidbm._core.table.locate import settle
from oxidbm._core.table.scan import KEYS, StoreIterator
from oxidbm._views import StoreItems, StoreKeys, StoreValues

NO_DEFAULT: Final = object()
MISSING: Final = object()
SETTLE_SLICE: Final = 256


class Store(OpenStore):
    """Documented in oxidbm/__init__.pyi, since compiled classes have no docstrings."""

    def __getitem__(self, key: object) -> Any:
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        if e.typed:
            return self.typed_item(key)
        value = operations.read(e, key if isinstance(key, bytes) else to_key(e, key))
        if value is None:
            raise KeyError(key)
        return value

    def typed_item(self, key: object) -> object:
        """As `__getitem__`, with codecs."""
        e = self.e
        value = operations.read(e, to_key(e, key))
        if value is None:
            raise KeyError(key)
        return e.value_coder.decode(value)

    def __setitem__(self, key: object, value: object) -> None:
        e = self.e
        if e.writable != WRITABLE or e.state != OPEN:
            e.blocked_write()
        if isinstance(key, bytes) and len(key) <= KEY_LENGTH_MAX and isinstance(value, bytes) and not e.typed:
            k = key
            v = value
        else:
            k = to_key(e, key)
            v = to_value(e, k, value)
        if i64(len(v)) > e.value_limit:
            raise too_large(e, len(k), len(v))
        if operations.upsert(e, k, v, operations.ALWAYS, b"", 0) != operations.DONE:
            e.maintainer.make_room()
            put(e, k, v, operations.ALWAYS, b"", 0)
        if e.log.due:
            e.maintainer.step()
        if self.always:
            commit.commit(e)

    def written(self) -> None:
        """Do what is due after an operation that may have changed the store."""
        if self.e.log.due:
            self.e.maintainer.step()
        if self.always:
            commit.commit(self.e)

    def __delitem__(self, key: object) -> None:
        self.check_writable()
        if not remove(self.e, to_key(self.e, key)):
            raise KeyError(key)
        self.written()

    def __contains__(self, key: object) -> bool:
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        return operations.read(e, key if isinstance(key, bytes) and not e.typed else to_key(e, key)) is not None

    def __len__(self) -> int:
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        while e.pending_count() > 0 and not settle(e, SETTLE_SLICE):
            _breath.breathe()
        return e.count

    def __iter__(self) -> Iterator[bytes]:
        return cast(Iterator[bytes], StoreIterator(self.e, KEYS))

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, (Store, Mapping)):
            return NotImplemented
        return dict(self.items()) == dict(cast(Any, other).items())

    def __hash__(self) -> int:
        raise TypeError("unhashable type: 'Store'")

    def __repr__(self) -> str:
        where = repr(self.e.path) if self.e.path else "in memory"
        return f"<oxidbm.{type(self).__name__} {where}{', closed' if self.closed else ''}>"

    def get(self, key: object, default: object = None) -> Any:
        """Return the key's value, or `default`."""
        e = self.e
        if e.state != OPEN:
            e.blocked_read()
        value = operations.read(e, key if isinstance(key, bytes) and not e.typed else to_key(e, key))
        if value is None:
            return default
        return from_value(e, value) if e.typed else value

    def keys(self) -> KeysView[bytes]:
        """Return a live view of the keys."""
        return StoreKeys(self, self.e)

    def values(self) -> ValuesView[bytes]:
        """Return a live view of the values."""
        return StoreValues(self, self.e)

    def items(self) -> ItemsView[bytes, bytes]:
        """Return a live view of the items."""
        return StoreItems(self, self.e)

    def setdefault(self, key: object, default: object = b"") -> Any:
        """Return the key's value, after storing `default` where it has none."""
        self.check_writable()
        e = self.e
        k = to_key(e, key)
        while True:
            value = operations.read(e, k)
            if value is not None:
                return from_value(e, value)
            first = to_value(e, k, default)
            if put(e, k, first, operations.IF_ABSENT, b"", 0):
                self.written()
                return from_value(e, first)

    def pop(self, key: object, default: object = NO_DEFAULT) -> Any:
        """Remove a key and return its value; `default`, or KeyError, where it has none."""
        self.check_writable()
        e = self.e
        k = to_key(e, key)
        out: list[bytes] = []
        while True:
            status = operations.take(e, k, out)
            if status == operations.DONE:
                self.written()
                return from_value(e, out[0])
            if status == operations.CHANGED:
                if default is NO_DEFAULT:
                    raise KeyError(key)
                return default
            e.maintainer.make_room()

    def popitem(self) -> tuple[Any, Any]:
        """Remove and return the item that was written longest ago; KeyError when the store is empty."""
        self.check_writable()
        iterator = StoreIterator(self.e, KEYS)
        iterator.cursor.following = max(self.pop_position, iterator.cursor.following)
        try:
            while True:
                try:
                    key = iterator.__next__()
                except StopIteration:
                    raise KeyError("popitem(): the store is empty") from None
                self.pop_position = iterator.cursor.address
                value = self.pop(key, MISSING)
                if value is not MISSING:
                    return key, value
        finally:
            iterator.close()

    def clear(self) -> None:
        """Remove every key, without reading one; the space comes back as compaction passes over it."""
        self.check_writable()
        if self.order is None:
            self.forget_all()
        else:
            with self.order.lock:  # nothing is taken up between the two
                self.forget_all()
                self.order.clear()
        if self.always:
            commit.commit(self.e)

    def forget_all(self) -> None:
        """Let the index lead to nothing."""
        e = self.e
        with e.commit_lock, e.cut_lock:  # not in the middle of a batch
            e.index = HashIndex(0)
            e.count = 0
            e.live_bytes = 0
            e.drop_pending()
            e.begin_wanted = e.log.tail
            e.unlogged = True
            e.maintainer.cleared()

    def update(self, other: object = (), /, **more: object) -> None:
        """Store the pairs of a mapping, of an iterable of pairs, and of keyword arguments."""
        self.set_many(other)
        if more:
            self.set_many(more)

    def get_many(self, keys: object, default: object = None) -> list[Any]:
        """Return the values of many keys, in their order; `default` for each that has none."""
        if self.e.state != OPEN:
            self.e.blocked_read()
        return bulk.get_many(self.e, keys, default)

    def set_many(self, pairs: object, *, expire: object = None) -> None:
        """Store the pairs of a mapping or of an iterable of pairs."""
        self.check_writable()
        try:
            bulk.set_many(self.e, pairs, expire)
        finally:
            self.commit_many()

    def delete_many(self, keys: object) -> int:
        """Delete many keys; return how many had a value."""
        self.check_writable()
        try:
            return bulk.delete_many(self.e, keys)
        finally:
            self.commit_many()

    def commit_many(self) -> None:
        """Make durable what a call on many keys did, also one that ends by an error."""
        if self.always and self.e.alive():
            commit.commit(self.e)

    def set(self, key: object, value: object, expire: object = None) -> None:
        """Store a value under a key, for `expire` seconds."""
        self.check_writable()
        e = self.e
        k = to_key(e, key)
        put(e, k, to_value(e, k, value), operations.ALWAYS, b"", expiry_at(e, expire))
        self.written()

    def add(self, key: object, value: object, expire: object = None) -> bool:
        """Store a value where the key has none; False where it has one."""
        self.check_writable()
        e = self.e
        k = to_key(e, key)
        done = put(e, k, to_value(e, k, value), operations.IF_ABSENT, b"", expiry_at(e, expire))
        self.written()
        return done

    def touch(self, key: object, expire: object = None) -> bool:
        """Give a key another time to live; False where it has no value."""
        self.check_writable()
        done = lifetime.touch(self.e, to_key(self.e, key), expire)
        self.written()
        return done

    def ttl(self, key: object) -> float | None:
        """Return how many seconds a key has left; None where it does not expire."""
        if self.e.state != OPEN:
            self.e.blocked_read()
        left = lifetime.ttl(self.e, to_key(self.e, key))
        if left == lifetime.NO_VALUE:
            raise KeyError(key)
        return None if left == lifetime.NO_EXPIRY else left

    def incr(self, key: object, delta: int = 1, default: int | None = 0, expire: object = None) -> int:
        """Add to a counter and return its new value."""
        self.check_writable()
        number = lifetime.incr(self.e, to_key(self.e, key), delta, default, expire)
        if number is None:
            raise KeyError(key)
        self.written()
        return number

    def decr(self, key: object, delta: int = 1, default: int | None = 0, expire: object = None) -> int:
        """Subtract from a counter and return its new value."""
        return self.incr(key, -delta, default, expire)

    def memoize(
        self, expire: object = None, key: object = None, *, name: str | None = None, codec: object = None
    ) -> Any:
        """Return a decorator that keeps a function's results in the store."""
        from oxidbm import _memoize

        return _memoize.memoize(cast(Any, self), cast(Any, expire), cast(Any, key), name=name, codec=cast(Any, codec))

    def key_order(self) -> KeyOrder:
        """Return the ordered view; ValueError where the store was opened without."""
        if self.e.state != OPEN:
            self.e.blocked_read()
        if self.order is None:
            raise ValueError("the store was opened without ordered=True, which range, prefix and neighbours need")
        return self.order

    def range(self, low: object = None, high: object = None, *, reverse: bool = False) -> RangeIterator:
        """Iterate the items with low <= key < high in the order of the keys."""
        order = self.key_order()
        e = self.e
        start = None if low is None else to_bound(e, low)
        end = None if high is None else to_bound(e, high)
        return RangeIterator(order, start, end, reverse)

    def prefix(self, prefix: object, *, reverse: bool = False) -> RangeIterator:
        """Iterate the items whose keys begin with a prefix in the order of the keys."""
        order = self.key_order()
        start = to_prefix(self.e, prefix)
        return RangeIterator(order, start, prefix_end(start), reverse)

    def first_key(self) -> Any:
        """Return the first key in order; None when there is none."""
        return self.neighbour(None, False)

    def last_key(self) -> Any:
        """Return the last key in order; None when there is none."""
        return self.neighbour(None, True)

    def next_key(self, key: object) -> Any:
        """Return the first key behind `key` in order; None where there is none."""
        return self.neighbour(to_bound(self.e, key), False)

    def previous_key(self, key: object) -> Any:
        """Return the last key before `key` in order; None where there is none."""
        return self.neighbour(to_bound(self.e, key), True)

    def neighbour(self, key: bytes | None, reverse: bool) -> object:
        """Return the key next to another, or an end of the order."""
        found = self.key_order().neighbour(key, reverse)
        return None if found is None else from_key(self.e, found)
