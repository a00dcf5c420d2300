"""A backend of dogpile.cache, which an installed oxidbm brings under the name "oxidbm".

    region = make_region().configure("oxidbm", expiration_time=3600, arguments={"path": "cache"})

"dogpile.cache.dbm" with `oxidbm.dbm.install()` keeps its data in a store, too, but opens and closes it at each call.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dogpile.cache.api import NO_VALUE, BytesBackend

from oxidbm import Store

__all__ = ["Backend"]


class Backend(BytesBackend):
    """What a region keeps its values in: a store of bytes, which the region's serializer makes.

    Its arguments: `path`, the store's directory, or `store`, one of bytes that is open already, for regions that share
    it; `expire`, how many seconds after its last writing a value is deleted, None for never; and the options of
    `oxidbm.Store`. Other than the region's expiration_time, which has a value made anew, `expire` gives space back.

    One caller at a time makes a value, as dogpile's own lock of threads has it.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        options = dict(arguments)
        expire = options.pop("expire", None)
        self.expire = None if expire is None else float(expire)  # from a file of settings it comes as text
        shared: Store | None = options.pop("store", None)
        self.store: Store = Store(options.pop("path"), **options) if shared is None else shared

    def get_serialized(self, key: str) -> Any:
        """Return the value of a key; NO_VALUE where it has none."""
        return self.store.get(key, NO_VALUE)

    def get_serialized_multi(self, keys: Iterable[str]) -> Sequence[Any]:
        """Return the values of keys, NO_VALUE for each that has none."""
        return self.store.get_many(keys, NO_VALUE)

    def set_serialized(self, key: str, value: bytes) -> None:
        """Store a value under a key."""
        self.store.set(key, value, self.expire)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        """Store the values of a mapping."""
        self.store.set_many(mapping.items(), expire=self.expire)

    def delete(self, key: str) -> None:
        """Delete a key, if it is there."""
        self.store.delete_many([key])

    def delete_multi(self, keys: Iterable[str]) -> None:
        """Delete keys, those that are there."""
        self.store.delete_many(keys)
