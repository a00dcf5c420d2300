"""keys(), values() and items() of a store: live views, iterated lazily by a scan of the log.

The store imports this module, so its type cannot be named here.
"""

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, cast

from oxidbm._core.table.engine import Engine
from oxidbm._core.table.scan import ITEMS, KEYS, VALUES, StoreIterator


class StoreKeys(KeysView[bytes]):
    """The keys of a store."""

    def __init__(self, store: Any, engine: Engine) -> None:
        super().__init__(store)
        self.engine = engine

    def __iter__(self) -> Iterator[bytes]:
        return cast(Iterator[bytes], StoreIterator(self.engine, KEYS))


class StoreValues(ValuesView[bytes]):
    """The values of a store."""

    def __init__(self, store: Any, engine: Engine) -> None:
        super().__init__(store)
        self.engine = engine

    def __iter__(self) -> Iterator[bytes]:
        return cast(Iterator[bytes], StoreIterator(self.engine, VALUES))

    def __contains__(self, value: object) -> bool:
        return any(value == held for held in self)


class StoreItems(ItemsView[bytes, bytes]):
    """The items of a store."""

    def __init__(self, store: Any, engine: Engine) -> None:
        super().__init__(store)
        self.engine = engine

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return cast(Iterator[tuple[bytes, bytes]], StoreIterator(self.engine, ITEMS))
