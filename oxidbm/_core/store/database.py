"""The store as `oxidbm.open` returns it: the same operations, and what the dbm protocol has besides.

A compiled subclass, so that its operations are the store's own, at the same cost. A traversal by `nextkey` is one
iteration of the store: it begins at the first call of `nextkey`, and not with `firstkey`, which many call only to see
whether there is a key; an iteration keeps compaction from deleting files.
"""

from typing import Any

from mypy_extensions import i64, mypyc_attr

from oxidbm._core.hashing import hash_key
from oxidbm._core.life import CLOSED, FORKED, OPEN, READ_ONLY
from oxidbm._core.store.arguments import to_key
from oxidbm._core.store.iterator import KEYS, StoreIterator, policy_of
from oxidbm._core.store.store import Store
from oxidbm._core.table.locate import locate_steady


@mypyc_attr(allow_interpreted_subclasses=True)  # as Store, or __init__ would be called twice
class Database(Store):
    """Documented in oxidbm/__init__.pyi."""

    traversal: StoreIterator | None = None
    traversed: bytes | None = None
    traversed_to: i64 = 0
    traversal_stop: i64 = 0
    shut: bool = False

    def keys(self, *, on_error: object = "raise") -> Any:
        """Return a list of the keys."""
        found: list[object] = []
        found.extend(StoreIterator(self.handle, KEYS, None, False, policy_of(on_error)))
        return found

    def firstkey(self) -> Any:
        """Return the first key of a traversal; None when there is none."""
        self.end_traversal()
        iterator = StoreIterator(self.handle, KEYS)
        try:
            for key in iterator:
                self.traversed = to_key(self.handle, key)
                self.traversed_to = iterator.cursor.following
                self.traversal_stop = iterator.cursor.stop
                return key
            return None
        finally:
            iterator.close()

    def nextkey(self, key: object) -> Any:
        """Return the key that follows another in a traversal; None at the end, and for a key that is not there."""
        self.life.check_open()
        k = to_key(self.handle, key)
        if self.traversal is None or k != self.traversed:
            if not self.begin_traversal(k):
                return None
        iterator = self.traversal
        assert iterator is not None
        for following in iterator:
            self.traversed = to_key(self.handle, following)
            return following
        self.end_traversal()
        return None

    def begin_traversal(self, key: bytes) -> bool:
        """Have the iteration stand behind `key`; False where the key has no place in the log."""
        follows = self.traversal is None and key == self.traversed
        self.end_traversal()
        iterator = StoreIterator(self.handle, KEYS)
        if follows:
            if self.traversed_to >= iterator.cursor.following:
                iterator.cursor.following = self.traversed_to
                iterator.cursor.stop = self.traversal_stop
        else:
            found = locate_steady(iterator.table, key, hash_key(key, iterator.table.seed))
            if found is None or found.tombstone():
                iterator.close()
                return False
            iterator.cursor.following = found.address
            iterator.cursor.step()
        self.traversed = key
        self.traversal = iterator
        return True

    def end_traversal(self) -> None:
        """Give up the iteration, and what it keeps from being deleted."""
        iterator = self.traversal
        if iterator is not None:
            iterator.close()
        self.traversal = None
        self.traversed = None

    def clear(self) -> None:
        """Remove every key; ends a traversal."""
        self.end_traversal()
        super().clear()

    def reorganize(self) -> None:
        """Give back all space that holds no live record; ends a traversal, which would keep its files."""
        self.end_traversal()
        super().reorganize()

    def sync(self) -> None:
        """Return when everything written so far is durable; nothing to do where it is open to read."""
        life = self.life
        if life.state == CLOSED and not self.shut:
            return  # closed, durably, by the interpreter's exit: a shelf's finalizer comes after that
        if life.state == FORKED:
            return  # a forked child has written nothing: the end of a shelf that it inherited is none of the parent's
        if life.writable != READ_ONLY or life.state != OPEN:
            super().sync()

    def close(self) -> None:
        """Commit and close; a second time does nothing."""
        self.shut = True
        self.end_traversal()
        super().close()
