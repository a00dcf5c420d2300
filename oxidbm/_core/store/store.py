"""The store: a mapping of bytes to bytes, over the table.

Each method checks that the store is open, turns its arguments into bytes, calls one operation, and gives the result
mapping semantics. Under the GIL an operation in memory is atomic, so any number of threads may share a store.
"""

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, cast

from mypy_extensions import i64, mypyc_attr

from oxidbm import _breath
from oxidbm._core.arguments import as_count, as_flag
from oxidbm._core.coder import PLAIN
from oxidbm._core.errors import alone
from oxidbm._core.life import OPEN, WRITABLE
from oxidbm._core.log.record import KEY_LENGTH_MAX
from oxidbm._core.store import bulk, convenient, expiring
from oxidbm._core.store.arguments import expiry_at, to_bound, to_key, to_key_or_none, to_prefix, to_value, too_large
from oxidbm._core.store.base import StoreBase
from oxidbm._core.store.handle import Handle
from oxidbm._core.store.iterator import ITEMS, KEYS, VALUES, StoreIterator, policy_of
from oxidbm._core.store.ordered import KeyOrder, RangeIterator, prefix_end
from oxidbm._core.store.showing import shown_completions, shown_state, shown_table
from oxidbm._core.store.tags import digest_of, evict
from oxidbm._core.table import operations
from oxidbm._core.table.retry import put, put_tagged, remove, take
from oxidbm._core.table.settle import settle
from oxidbm._views import StoreItems, StoreKeys, StoreValues

NO_DEFAULT: Final = object()
MISSING: Final = object()
SETTLE_SLICE: Final = 256


def holds(handle: Handle, key: object) -> bool:
    """Return whether a key has a value; for a key that is no bytes, with codecs, or where lookups are noted."""
    return operations.look_up(handle.table, to_key_or_none(handle, key)) is not None


@mypyc_attr(allow_interpreted_subclasses=True)
class Store(StoreBase):  # noqa: PLW1641 - no hash, as no mutable mapping has one
    """Documented in oxidbm/__init__.pyi, since compiled classes have no docstrings."""

    def __getitem__(self, key: object) -> Any:
        if self.life.state != OPEN:
            self.life.blocked_read()
        if isinstance(key, bytes) and not self.typed_or_noted:
            value = operations.read(self.table, key)
            if value is None:
                raise KeyError(key)
            return value
        return self.item_of(key)

    def item_of(self, key: object) -> object:
        """As `__getitem__`, of a key that is no bytes, with codecs, or where lookups are noted."""
        k = to_key(self.handle, key)
        value = operations.look_up(self.table, k)
        if value is None:
            raise KeyError(key)
        return self.coders.value_of(k, value)

    def __setitem__(self, key: object, value: object) -> None:
        if self.life.writable != WRITABLE or self.life.state != OPEN:
            self.life.blocked_write()
        if isinstance(key, bytes) and len(key) <= KEY_LENGTH_MAX and isinstance(value, bytes) and not self.typed:
            key_bytes: bytes = key  # locals of the type, or each use would look at the type again
            value_bytes: bytes = value
            if i64(len(value_bytes)) > self.table.value_limit:
                raise too_large(self.handle, len(key_bytes), len(value_bytes))
            if operations.upsert(self.table, key_bytes, value_bytes, operations.ALWAYS, b"", 0) < 0:
                put(self.table, key_bytes, value_bytes, operations.ALWAYS, b"", 0)
        else:
            key_bytes = to_key(self.handle, key)
            put(self.table, key_bytes, to_value(self.handle, key_bytes, value), operations.ALWAYS, b"", 0)
        if self.table.log.due:
            self.table.maintainer.step()
        if self.always:
            self.handle.commits.commit()

    def written(self) -> None:
        """Do what is due after an operation that may have changed the store."""
        if self.table.log.due:
            self.table.maintainer.step()
        if self.always:
            self.handle.commits.commit()

    def __delitem__(self, key: object) -> None:
        if self.life.writable != WRITABLE or self.life.state != OPEN:
            self.life.blocked_write()
        plain = isinstance(key, bytes) and len(key) <= KEY_LENGTH_MAX and not self.typed
        if not remove(self.table, cast(bytes, key) if plain else to_key(self.handle, key)):
            raise KeyError(key)
        self.written()

    def __contains__(self, key: object) -> bool:
        if self.life.state != OPEN:
            self.life.blocked_read()
        if isinstance(key, bytes) and not self.typed_or_noted:
            return operations.read(self.table, key) is not None
        return holds(self.handle, key)

    def __len__(self) -> int:
        table = self.table
        self.life.check_open()
        while table.pending.count() > 0 and not settle(table, SETTLE_SLICE):
            _breath.breathe()
        return table.count

    def __iter__(self) -> Iterator[bytes]:
        return cast(Iterator[bytes], StoreIterator(self.handle, KEYS, self))

    def iterate(self, kind: int, on_error: object = "raise") -> Any:
        """Return an iterator over the keys, values or items; for the views."""
        return StoreIterator(self.handle, i64(kind), self, False, policy_of(on_error))

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, (Store, Mapping)):
            return NotImplemented
        return dict(self.items()) == dict(cast(Any, other).items())

    def __ior__(self, other: object) -> "Store":  # noqa: PYI034 - Self is not for compiled classes
        self.set_many(other)
        return self

    def __or__(self, other: object) -> Any:
        if not isinstance(other, (Store, Mapping)):
            return NotImplemented
        return self.copy() | dict(cast(Any, other).items())

    def __ror__(self, other: object) -> Any:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(cast(Any, other).items()) | self.copy()

    def copy(self) -> dict[Any, Any]:
        """Return a dict of all that the store holds."""
        return dict(self.items())

    def __repr__(self) -> str:
        where = repr(self.life.path) if self.life.path else "in memory"
        kind: Any = type(self)
        state = shown_state(self.handle, self.order is not None, self.life)
        return f"<{kind.__module__}.{kind.__name__} {where}: {state}>"

    def _repr_html_(self) -> str:
        return shown_table(self)

    def _ipython_key_completions_(self) -> list[Any]:
        return shown_completions(self)

    def get(self, key: object, default: object = None) -> Any:
        """Return the key's value, or `default`."""
        if self.life.state != OPEN:
            self.life.blocked_read()
        if isinstance(key, bytes) and not self.typed_or_noted:
            value = operations.read(self.table, key)
            return default if value is None else value
        k = to_key_or_none(self.handle, key)
        value = operations.look_up(self.table, k)
        return default if value is None or k is None else self.coders.value_of(k, value)

    def keys(self, *, on_error: object = "raise") -> KeysView[bytes]:
        """Return a live view of the keys."""
        policy_of(on_error)
        return StoreKeys(self, KEYS, on_error)

    def values(self, *, on_error: object = "raise") -> ValuesView[bytes]:
        """Return a live view of the values."""
        policy_of(on_error)
        return StoreValues(self, VALUES, on_error)

    def items(self, *, on_error: object = "raise") -> ItemsView[bytes, bytes]:
        """Return a live view of the items."""
        policy_of(on_error)
        return StoreItems(self, ITEMS, on_error)

    def setdefault(self, key: object, default: object = NO_DEFAULT) -> Any:
        """Return the key's value, after storing `default` where it has none: b"", in a typed store None."""
        self.check_writable()
        if default is NO_DEFAULT:
            default = None if self.typed and self.coders.value.kind != PLAIN else b""
        k = to_key(self.handle, key)
        value = operations.look_up(self.table, k)
        while value is None:
            first = to_value(self.handle, k, default)
            if put(self.table, k, first, operations.IF_ABSENT, b"", 0):
                self.written()
                return self.coders.value_of(k, first)
            value = operations.read(self.table, k)
        return self.coders.value_of(k, value)

    def pop(self, key: object, default: object = NO_DEFAULT) -> Any:
        """Remove a key and return its value; `default`, or KeyError, where it has none."""
        self.check_writable()
        key_bytes = to_key(self.handle, key)
        if self.typed:
            return self.pop_typed(key, key_bytes, default)
        value = take(self.table, key_bytes, None)
        if value is None:
            if default is NO_DEFAULT:
                raise KeyError(key)
            return default
        self.written()
        return value

    def pop_typed(self, key: object, key_bytes: bytes, default: object) -> object:
        """As `pop`, with codecs: the value is decoded before it is removed, so one that cannot be stays."""
        while True:
            data = operations.read(self.table, key_bytes)
            if data is None:
                if default is NO_DEFAULT:
                    raise KeyError(key)
                return default
            value = self.coders.value_of(key_bytes, data)
            if take(self.table, key_bytes, data) is not None:
                self.written()
                return value

    def popitem(self) -> tuple[Any, Any]:
        """Remove and return the item of the oldest record; KeyError when the store is empty."""
        self.check_writable()
        iterator = StoreIterator(self.handle, KEYS)
        iterator.cursor.following = max(self.pop_position, iterator.cursor.following)
        try:
            while True:
                try:
                    key = iterator.__next__()
                except StopIteration:
                    raise alone(KeyError("popitem(): the store is empty")) from None
                self.pop_position = iterator.cursor.address
                value = self.pop(key, MISSING)
                if value is not MISSING:
                    return key, value
        finally:
            iterator.close()

    def clear(self) -> None:
        """Remove every key, without reading one; the space comes back as compaction passes over it."""
        self.check_writable()
        self.handle.commits.forget_all()
        if self.order is not None:
            self.order.catch_up_if_far_behind()
        if self.always:
            self.handle.commits.commit()

    def update(self, /, *others: object, **more: object) -> None:
        """Store the pairs of a mapping or of an iterable of pairs, at most one, and of keyword arguments."""
        if len(others) > 1:  # compiled code would take a positional-only parameter by its name, too
            raise TypeError(f"update() takes at most one mapping or iterable, not {len(others)}")
        if others:
            self.set_many(others[0])
        if more:
            self.set_many(more)

    def get_many(self, keys: object, default: object = None) -> list[Any]:
        """Return the values of many keys, in their order; `default` for each that has none."""
        self.life.check_open()
        return bulk.get_many(self.handle, keys, default)

    def prefetch(self, keys: object) -> None:
        """Documented in oxidbm/__init__.pyi."""
        bulk.prefetch(self.handle, keys)

    def set_many(self, pairs: object, *, expire: object = None, tag: object = None) -> None:
        """Store the pairs of a mapping or of an iterable of pairs."""
        self.check_writable()
        try:
            bulk.set_many(self.handle, pairs, expire, tag)
        finally:
            self.commit_many()

    def delete_many(self, keys: object) -> int:
        """Delete many keys; return how many had a value."""
        self.check_writable()
        try:
            return bulk.delete_many(self.handle, keys)
        finally:
            self.commit_many()

    def commit_many(self) -> None:
        """Make durable what a call on many keys did, also one that ends by an error."""
        if self.always and self.life.alive():
            self.handle.commits.commit()

    def set(self, key: object, value: object, expire: object = None, *, tag: object = None) -> None:
        """Store a value under a key, for `expire` seconds, with a tag where one is given."""
        self.check_writable()
        k = to_key(self.handle, key)
        v = to_value(self.handle, k, value)
        expiry = expiry_at(self.handle, expire)
        if tag is None:
            put(self.table, k, v, operations.ALWAYS, b"", expiry)
        else:
            put_tagged(self.table, k, v, operations.ALWAYS, b"", expiry, digest_of(tag))
        self.written()

    def add(self, key: object, value: object, expire: object = None, *, tag: object = None) -> bool:
        """Store a value where the key has none; False where it has one."""
        self.check_writable()
        k = to_key(self.handle, key)
        v = to_value(self.handle, k, value)
        expiry = expiry_at(self.handle, expire)
        done = put_tagged(self.table, k, v, operations.IF_ABSENT, b"", expiry, digest_of(tag))
        self.written()
        return done

    def evict(self, tag: object) -> int:
        """Delete every key that was stored with a tag; return how many."""
        self.check_writable()
        try:
            return evict(self.handle, tag)
        finally:
            self.commit_many()

    def delete(self, key: object) -> bool:
        """Delete a key; False where it has no value."""
        self.check_writable()
        done = remove(self.table, to_key(self.handle, key))
        self.written()
        return done

    def exists(self, key: object) -> bool:
        """Return whether a key has a value."""
        return key in self

    def get_or_set(self, key: object, function: object, expire: object = None, *, tag: object = None) -> Any:
        """Return the key's value, after storing what `function` returns where it has none."""
        self.check_writable()
        value, stored = convenient.get_or_set(self.handle, to_key(self.handle, key), function, expire, digest_of(tag))
        if stored:
            self.written()
        return value

    def compare_and_set(self, key: object, expected: object, value: object) -> bool:
        """Replace the key's value where it equals `expected`; False where it does not."""
        self.check_writable()
        done = convenient.compare_and_set(self.handle, to_key(self.handle, key), expected, value)
        if done:
            self.written()
        return done

    def touch(self, key: object, expire: object = None) -> bool:
        """Give a key another time to live; False where it has no value."""
        self.check_writable()
        done = expiring.touch(self.handle, to_key(self.handle, key), expire)
        self.written()
        return done

    def get_and_touch(self, key: object, expire: object, default: object = None) -> Any:
        """Return a key's value, or `default`, and give it another time to live, in one step."""
        self.check_writable()
        k = to_key(self.handle, key)
        value = expiring.get_and_touch(self.handle, k, expire)
        self.written()
        return default if value is None else self.coders.value_of(k, value)

    def ttl(self, key: object) -> float | None:
        """Return how many seconds a key has left; None where it does not expire."""
        self.life.check_open()
        left = expiring.ttl(self.handle, to_key(self.handle, key))
        if left == expiring.NO_VALUE:
            raise KeyError(key)
        return None if left == expiring.NO_EXPIRY else left

    def incr(self, key: object, delta: object = 1, default: object = 0, expire: object = None) -> int:
        """Add to a counter and return its new value."""
        self.check_writable()
        start = None if default is None else as_count("default", default)
        number = expiring.incr(self.handle, to_key(self.handle, key), as_count("delta", delta), start, expire)
        if number is None:
            raise KeyError(key)
        self.written()
        return number

    def decr(self, key: object, delta: object = 1, default: object = 0, expire: object = None) -> int:
        """Subtract from a counter and return its new value."""
        return self.incr(key, -as_count("delta", delta), default, expire)

    def memoize(
        self,
        expire: object = None,
        key: object = None,
        *,
        name: str | None = None,
        codec: object = None,
        tag: object = None,
        sliding: object = False,
    ) -> Any:
        """Return a decorator that keeps a function's results in the store."""
        from oxidbm import _memoize

        digest_of(tag)  # which raises for what is none
        return _memoize.memoize(
            cast(Any, self),
            cast(Any, expire),
            cast(Any, key),
            name=name,
            codec=cast(Any, codec),
            tag=cast(Any, tag),
            sliding=as_flag("sliding", sliding),
        )

    def key_order(self) -> KeyOrder:
        """Return the ordered view; ValueError where the store was opened without."""
        self.life.check_open()
        if self.order is None:
            raise ValueError("the store was opened without ordered=True, which range, prefix and neighbours need")
        return self.order

    def range(self, low: object = None, high: object = None, *, reverse: bool = False) -> RangeIterator:
        """Iterate the items with low <= key < high in the order of the keys."""
        order = self.key_order()
        start = None if low is None else to_bound(self.handle, low)
        end = None if high is None else to_bound(self.handle, high)
        return RangeIterator(order, start, end, reverse, self)

    def prefix(self, prefix: object, *, reverse: bool = False) -> RangeIterator:
        """Iterate the items whose keys begin with a prefix in the order of the keys."""
        order = self.key_order()
        start = to_prefix(self.handle, prefix)
        return RangeIterator(order, start, prefix_end(start), reverse, self)

    def first_key(self) -> Any:
        """Return the first key in order; None when there is none."""
        return self.neighbour(None, False)

    def last_key(self) -> Any:
        """Return the last key in order; None when there is none."""
        return self.neighbour(None, True)

    def peek_first(self) -> tuple[Any, Any] | None:
        """Return the first item in the order of the keys; None when there is none."""
        return convenient.peek(self.handle, self.key_order(), False)

    def peek_last(self) -> tuple[Any, Any] | None:
        """Return the last item in the order of the keys; None when there is none."""
        return convenient.peek(self.handle, self.key_order(), True)

    def next_key(self, key: object) -> Any:
        """Return the first key behind `key` in order; None where there is none."""
        return self.neighbour(to_bound(self.handle, key), False)

    def previous_key(self, key: object) -> Any:
        """Return the last key before `key` in order; None where there is none."""
        return self.neighbour(to_bound(self.handle, key), True)

    def neighbour(self, key: bytes | None, reverse: bool) -> object:
        """Return the key next to another, or an end of the order."""
        found = self.key_order().neighbour(key, reverse)
        return None if found is None else self.coders.from_key(found)
