"""keys(), values() and items() of a store: live views, iterated lazily by a scan of the log.

A store is any object with `iterate(kind, on_error)`: this module imports nothing of the core, which imports it.
"""

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any


class StoreKeys(KeysView[bytes]):
    """The keys of a store."""

    def __init__(self, store: Any, kind: int, on_error: object) -> None:
        super().__init__(store)
        self.store = store
        self.kind = kind
        self.on_error = on_error

    def __iter__(self) -> Iterator[bytes]:
        found: Iterator[bytes] = self.store.iterate(self.kind, self.on_error)
        return found


class StoreValues(ValuesView[bytes]):
    """The values of a store."""

    def __init__(self, store: Any, kind: int, on_error: object) -> None:
        super().__init__(store)
        self.store = store
        self.kind = kind
        self.on_error = on_error

    def __iter__(self) -> Iterator[bytes]:
        found: Iterator[bytes] = self.store.iterate(self.kind, self.on_error)
        return found

    def __contains__(self, value: object) -> bool:
        return any(value == held for held in self)


class StoreItems(ItemsView[bytes, bytes]):
    """The items of a store."""

    def __init__(self, store: Any, kind: int, on_error: object) -> None:
        super().__init__(store)
        self.store = store
        self.kind = kind
        self.on_error = on_error

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        found: Iterator[tuple[bytes, bytes]] = self.store.iterate(self.kind, self.on_error)
        return found
