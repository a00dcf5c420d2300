"""keys(), values() and items() of a store: live views, iterated lazily by a scan of the log."""

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, cast

from oxidbm._core.store.handle import Handle
from oxidbm._core.store.iterator import ITEMS, KEYS, VALUES, StoreIterator


class StoreKeys(KeysView[bytes]):
    """The keys of a store."""

    def __init__(self, store: Any, handle: Handle) -> None:
        super().__init__(store)
        self.handle = handle

    def __iter__(self) -> Iterator[bytes]:
        return cast(Iterator[bytes], StoreIterator(self.handle, KEYS))


class StoreValues(ValuesView[bytes]):
    """The values of a store."""

    def __init__(self, store: Any, handle: Handle) -> None:
        super().__init__(store)
        self.handle = handle

    def __iter__(self) -> Iterator[bytes]:
        return cast(Iterator[bytes], StoreIterator(self.handle, VALUES))

    def __contains__(self, value: object) -> bool:
        return any(value == held for held in self)


class StoreItems(ItemsView[bytes, bytes]):
    """The items of a store."""

    def __init__(self, store: Any, handle: Handle) -> None:
        super().__init__(store)
        self.handle = handle

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return cast(Iterator[tuple[bytes, bytes]], StoreIterator(self.handle, ITEMS))
